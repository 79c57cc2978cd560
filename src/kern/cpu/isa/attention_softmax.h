/* attention_softmax.h - attention's softmax while keys come: the running one a block of keys, whose powers stay float32, and that of many
 * keys at once, whose powers become bf16. For AVX-512 by intrinsics, for every other processor in vectors of LANES numbers. Part of
 * attention_loops.c. */
#ifndef VT_KERN_CPU_ISA_ATTENTION_SOFTMAX_H
#define VT_KERN_CPU_ISA_ATTENTION_SOFTMAX_H

#include "kern/cpu/isa/attention_vectors.h"

/* 2^x = 2^n (1 + f g(f)), n whole, |f| <= 1/2; g is fitted to the least error of the power: 3e-9
 * with six terms. */
static const float fine[6] = {0x1.62e4311732144p-1f,  0x1.ebfbe2c53adffp-3f,
                              0x1.c6ae72e09542cp-5f,  0x1.3b270e6e49fd0p-7f,
                              0x1.5f7276ef95b38p-10f, 0x1.470b45e2a251cp-13f};

#if WIDE

/* Lanes outside `wanted` give zero. */
static inline __attribute__((always_inline)) __m512 exp2_wide(__m512 x, __mmask16 wanted) {
    __m512 n = _mm512_roundscale_ps(x, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(x, n), g = _mm512_set1_ps(fine[5]);
    for (int i = 4; i >= 0; --i) g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(fine[i]));
    g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(1.0f));
    return _mm512_maskz_scalef_ps(wanted, g, n);
}

/* The same to 3e-6, enough for a number rounded to bf16: vscalefps takes the whole part of its second number downwards by
 * itself, vreduceps leaves the rest, 0 <= f < 1, and 2^f is five terms. A fifth faster than with n between. */
static const float coarse[5] = {0x1.00002cp+0f, 0x1.62d166p-1f, 0x1.ee798ap-3f, 0x1.aa13fp-5f,
                                0x1.bb7cd4p-7f};

static inline __attribute__((always_inline)) __m512 exp2_coarse(__m512 x, __mmask16 wanted) {
    __m512 f = _mm512_reduce_ps(x, _MM_FROUND_TO_NEG_INF | _MM_FROUND_NO_EXC);
    __m512 g = _mm512_set1_ps(coarse[4]);
    for (int i = 3; i >= 0; --i) g = _mm512_fmadd_ps(g, f, _mm512_set1_ps(coarse[i]));
    return _mm512_maskz_scalef_ps(wanted, g, x);
}

/* NaN here is what arithmetic makes. */
static inline void store_bf16(uint16_t *to, __m512 x) {
#if defined(__AVX512BF16__)
    _mm256_storeu_si256((__m256i *)(void *)to, (__m256i)_mm512_cvtneps_pbh(x));
#else
    __m512i bits = _mm512_castps_si512(x), one = _mm512_set1_epi32(1);
    __m512i odd = _mm512_and_epi32(_mm512_srli_epi32(bits, 16), one);
    bits = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    _mm256_storeu_si256((__m256i *)(void *)to, _mm512_cvtepi32_epi16(_mm512_srli_epi32(bits, 16)));
#endif
}

static inline void store_bf16_line(uint16_t *to, __m512 low, __m512 high) {
#if defined(__AVX512BF16__)
    _mm512_storeu_si512(to, (__m512i)_mm512_cvtne2ps_pbh(high, low));
#else
    store_bf16(to, low);
    store_bf16(to + PANEL, high);
#endif
}

/* The largest lane of each of four vectors. */
static inline __m128 largest_of_4(const __m512 x[4]) {
    __m512 a = _mm512_max_ps(_mm512_unpacklo_ps(x[0], x[1]), _mm512_unpackhi_ps(x[0], x[1]));
    __m512 b = _mm512_max_ps(_mm512_unpacklo_ps(x[2], x[3]), _mm512_unpackhi_ps(x[2], x[3]));
    __m512d c = _mm512_castps_pd(a), d = _mm512_castps_pd(b);
    __m512 e = _mm512_max_ps(_mm512_castpd_ps(_mm512_unpacklo_pd(c, d)),
                             _mm512_castpd_ps(_mm512_unpackhi_pd(c, d)));
    __m256 f = _mm256_max_ps(_mm512_castps512_ps256(e), _mm512_extractf32x8_ps(e, 1));
    return _mm_max_ps(_mm256_castps256_ps128(f), _mm256_extractf128_ps(f, 1));
}

static inline __mmask16 first_of(int count) {
    return (__mmask16)(count >= PANEL ? 0xffffu : (1u << count) - 1u);
}

/* Up to four rows' maxima so far, x, become whole and no smaller than those before; what those were
 * relative to is made up for by keep. */
static inline void most_of_rows(const __m512 x[4], bool first, int rows, float *most, float *keep) {
    const __mmask8 mask = (__mmask8)((1u << rows) - 1u);
    __m128 now = _mm_ceil_ps(largest_of_4(x));
    if (!first) {
        __m128 old = _mm_maskz_loadu_ps(mask, most);
        now = _mm_max_ps(now, old);
        __m128 shift = _mm_sub_ps(old, now);
        _mm_mask_storeu_ps(keep, mask, _mm_scalef_ps(_mm_set1_ps(1.0f), shift));
    }
    _mm_mask_storeu_ps(most, mask, now);
}

static inline __m512 sum_so_far(const float *sum, const float *keep, bool first) {
    if (first) return _mm512_setzero_ps();
    return _mm512_mul_ps(_mm512_loadu_ps(sum), _mm512_set1_ps(*keep));
}

/* How many panels there are is a constant after inlining. */
static inline __m512 score_at(const vt_attention_step *s, int r, int i) {
    __m512 x = _mm512_loadu_ps(s->scores + r * KEYS + i * PANEL);
    return _mm512_mul_ps(x, _mm512_set1_ps(s->by));
}

static inline __mmask16 columns_of(const vt_attention_step *s, int i, const int panels) {
    return i < panels - 1 ? 0xffffu : first_of(s->columns - i * PANEL);
}

/* Every row's maximum before the first power: they are long chains of short operations, which hide
 * each other. Rows come in fours, the last one again where there are fewer. */
static inline __attribute__((always_inline)) void step_most(const vt_attention_step *s,
                                                            const int panels) {
    for (int r = 0; r < s->rows; r += 4) {
        int rows = least(4, s->rows - r);
        __m512 x[4];
        for (int k = 0; k < 4; ++k) {
            x[k] = _mm512_set1_ps(-INFINITY);
            for (int i = 0; i < panels; ++i)
                x[k] = _mm512_mask_max_ps(x[k], columns_of(s, i, panels), x[k],
                                          score_at(s, r + least(k, rows - 1), i));
        }
        most_of_rows(x, s->first, rows, s->most + r, s->keep + r);
    }
}

static inline __attribute__((always_inline)) void step_powers(const vt_attention_step *s,
                                                              const int panels) {
    for (int r = 0; r < s->rows; ++r) {
        const __m512 most = _mm512_set1_ps(s->most[r]);
        __m512 sum = sum_so_far(s->sum + r * PANEL, s->keep + r, s->first);
        for (int i = 0; i < KEYS / PANEL; ++i) {
            __m512 p = _mm512_setzero_ps();
            if (i < panels) {
                __m512 x = _mm512_sub_ps(score_at(s, r, i), most);
                p = exp2_wide(x, columns_of(s, i, panels));
                sum = _mm512_add_ps(sum, p);
            }
            _mm512_storeu_ps(s->p + r * KEYS + i * PANEL, p);
        }
        _mm512_storeu_ps(s->sum + r * PANEL, sum);
    }
}

#define STEP(panels)                                                                               \
    case panels:                                                                                   \
        step_most(s, panels);                                                                      \
        step_powers(s, panels);                                                                    \
        break;

static inline void step(const vt_attention_step *s) {
    switch ((s->columns + PANEL - 1) / PANEL) {
        STEP(1)
        STEP(2)
        STEP(3)
        STEP(4)
    }
}

/* ---- powers of many keys' scores, in bf16 ---- */

/* A row's scores in one tile: 64 of them, or `left`. Which of the factors there are, and whether the
 * tile is full, are constants after inlining. */
typedef struct score_run {
    const float *from, *k_scale, *v_scale;
    __m512 by;
    int left;
    bool full;
} score_run;

static inline __attribute__((always_inline)) score_run
run_at(const vt_attention_powers *s, int r, int key, const bool scaled, const bool full) {
    return (score_run){.from = s->scores + (size_t)(key / KEYS) * s->run + r * KEYS,
                       .k_scale = scaled ? s->k_scale + key : NULL,
                       .v_scale = scaled ? s->v_scale + key : NULL,
                       .by = _mm512_set1_ps(s->by),
                       .left = s->columns - key,
                       .full = full};
}

/* What k_scale leaves of 16 scores; `by` comes to the maximum alone, and to the power with its difference. */
static inline __attribute__((always_inline)) __m512 wide_score(const score_run *run, int c) {
    __m512 x = _mm512_loadu_ps(run->from + c);
    if (run->k_scale) x = _mm512_mul_ps(x, _mm512_loadu_ps(run->k_scale + c));
    return x;
}

static inline __attribute__((always_inline)) __mmask16 wanted_of(const score_run *run, int c) {
    return run->full ? 0xffffu : run->left <= c ? 0 : first_of(run->left - c);
}

static inline __attribute__((always_inline)) __m512 run_most(const score_run *run, __m512 most) {
    for (int c = 0; c < KEYS && (run->full || c < run->left); c += PANEL)
        most = _mm512_mask_max_ps(most, wanted_of(run, c), most, wide_score(run, c));
    return most;
}

/* Rows r to r + 3. */
static inline __attribute__((always_inline)) void powers_most(const vt_attention_powers *s, int r,
                                                              int rows, const bool scaled) {
    __m512 x[4];
    const int whole = s->columns / KEYS * KEYS;
    for (int k = 0; k < 4; ++k) x[k] = _mm512_set1_ps(-INFINITY);
    for (int key = 0; key < whole; key += KEYS)
        for (int k = 0; k < 4; ++k) {
            const score_run run = run_at(s, r + least(k, rows - 1), key, scaled, true);
            x[k] = run_most(&run, x[k]);
        }
    for (int k = 0; k < 4 && whole < s->columns; ++k) {
        const score_run run = run_at(s, r + least(k, rows - 1), whole, scaled, false);
        x[k] = run_most(&run, x[k]);
    }
    for (int k = 0; k < 4; ++k) x[k] = _mm512_mul_ps(x[k], _mm512_set1_ps(s->by));
    most_of_rows(x, s->first, rows, s->most + r, s->keep + r);
}

/* `far`: where a float's last bit is worth more than a rest, the maximum was rounded and its own product is rounded alike. */
static inline __attribute__((always_inline)) __m512 exponent_of(__m512 x, __m512 by, __m512 most,
                                                                const bool far) {
    return far ? _mm512_sub_ps(_mm512_mul_ps(x, by), most) : _mm512_fmsub_ps(x, by, most);
}

/* Two panels are a line of p. */
static inline __attribute__((always_inline)) __m512
run_powers(const score_run *run, __m512 most, __m512 sum, uint16_t *p, const bool far) {
    for (int c = 0; c < KEYS && (run->full || c < run->left); c += 2 * PANEL) {
        __m512 x[2];
        for (int i = 0; i < 2; ++i) {
            const int at = c + i * PANEL;
            x[i] = exp2_coarse(exponent_of(wide_score(run, at), run->by, most, far),
                               wanted_of(run, at));
            sum = _mm512_add_ps(sum, x[i]);
            if (run->v_scale) x[i] = _mm512_mul_ps(x[i], _mm512_loadu_ps(run->v_scale + at));
        }
        store_bf16_line(p + c, x[0], x[1]);
    }
    return sum;
}

static inline __attribute__((always_inline)) void powers_row(const vt_attention_powers *s, int r,
                                                             const bool scaled, const bool far) {
    const __m512 most = _mm512_set1_ps(s->most[r]);
    const int whole = s->columns / KEYS * KEYS;
    __m512 sum = sum_so_far(s->sum + r * PANEL, s->keep + r, s->first);
    uint16_t *p = s->p + (size_t)r * s->p_stride;
    for (int key = 0; key < whole; key += KEYS) {
        const score_run run = run_at(s, r, key, scaled, true);
        sum = run_powers(&run, most, sum, p + key, far);
    }
    if (whole < s->columns) {
        const score_run run = run_at(s, r, whole, scaled, false);
        sum = run_powers(&run, most, sum, p + whole, far);
    }
    _mm512_storeu_ps(s->sum + r * PANEL, sum);
}

/* Four rows' powers come after their maxima, while their scores are in the first cache. */
static inline __attribute__((always_inline)) void powers_of(const vt_attention_powers *s,
                                                            const bool scaled) {
    for (int r = 0; r < s->rows; r += 4) {
        const int rows = least(4, s->rows - r);
        powers_most(s, r, rows, scaled);
        for (int k = 0; k < rows; ++k) {
            if (fabsf(s->most[r + k]) > 0x1p20f)
                powers_row(s, r + k, scaled, true);
            else
                powers_row(s, r + k, scaled, false);
        }
    }
}

static inline void powers(const vt_attention_powers *s) {
    if (s->k_scale)
        powers_of(s, true);
    else
        powers_of(s, false);
}

#else

typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

static const float lowest = -126.0f; /* zero below */

/* Where x is NaN, b. */
static inline vector larger(vector a, vector b) {
#ifdef __AVX__
    return (vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    const ints above = a > b;
    return (vector)((above & (ints)a) | (~above & (ints)b));
#endif
}

/* Of x up to 0, a little more at most. Adding `magic` rounds to a whole number, whose last nine bits are the
 * power's exponent. */
static inline __attribute__((always_inline)) vector exp2_lanes(vector x) {
    const vector magic = splat(12582912.0f); /* 1.5 * 2^23 */
    const vector shifted = x + magic, f = x - (shifted - magic);
    vector g = splat(fine[5]);
#pragma GCC unroll 5
    for (int i = 4; i >= 0; --i) g = multiply_add(g, f, splat(fine[i]));
    g = multiply_add(g, f, splat(1.0f));
    return (vector)(((words)g + ((words)shifted << 23)) & ~(words)(x < splat(lowest)));
}

/* One row's scores and what they are multiplied with. */
typedef struct score_row {
    const float *scores; /* key j at scores + j / 64 * run + j % 64 */
    size_t run;
    const float *k_scale, *v_scale; /* or NULL */
    float by;
    int columns;
} score_row;

/* What `by` and k_scale leave of the 16 scores from `key` on; those behind the last column are the least. `scaled` and
 * `whole` are constants after inlining. */
static inline __attribute__((always_inline)) void panel_scores(const score_row *row, int key,
                                                               vector x[VECTORS], const bool scaled,
                                                               const bool whole) {
    const float *from = row->scores + (size_t)(key / KEYS) * row->run + key % KEYS;
    for (int i = 0; i < VECTORS; ++i) {
        x[i] = load(from + i * LANES);
        if (scaled) x[i] *= load(row->k_scale + key + i * LANES);
        x[i] *= row->by;
    }
    if (whole) return;
    float part[PANEL];
    memcpy(part, x, sizeof part);
    for (int c = row->columns - key; c < PANEL; ++c) part[c] = -INFINITY;
    memcpy(x, part, sizeof part);
}

static inline __attribute__((always_inline)) float row_most(const score_row *row,
                                                            const bool scaled) {
    vector x[VECTORS], high = splat(-INFINITY);
    const int whole = row->columns / PANEL * PANEL;
    for (int key = 0; key < whole; key += PANEL) {
        panel_scores(row, key, x, scaled, true);
        for (int i = 0; i < VECTORS; ++i) high = larger(x[i], high);
    }
    if (whole < row->columns) {
        panel_scores(row, whole, x, scaled, false);
        for (int i = 0; i < VECTORS; ++i) high = larger(x[i], high);
    }
    float most = high[0];
    for (int c = 1; c < LANES; ++c) most = high[c] > most ? high[c] : most;
    return ceilf(most);
}

/* 2^n, n whole and at most 0. */
static inline float power_of_2(float n) {
    const uint32_t bits = n >= lowest ? (uint32_t)((int32_t)n + 127) << 23 : 0;
    float power;
    memcpy(&power, &bits, sizeof power);
    return power;
}

/* A row's maximum so far, and what older sums are multiplied with. */
static inline void most_so_far(float now, bool first, float *most, float *keep, float *sum) {
    if (!first) {
        now = *most > now ? *most : now;
        *keep = power_of_2(*most - now);
    }
    *most = now;
    for (int c = 0; c < PANEL; ++c) sum[c] = first ? 0.0f : sum[c] * *keep;
}

/* The 16 powers in place of their scores, and to their row's sums. */
static inline __attribute__((always_inline)) void panel_powers(vector x[VECTORS], float most,
                                                               vector sum[VECTORS]) {
    for (int i = 0; i < VECTORS; ++i) {
        x[i] = exp2_lanes(x[i] - most);
        sum[i] += x[i];
    }
}

static inline __attribute__((always_inline)) void step_panel(const score_row *row, int key,
                                                             float most, vector sum[VECTORS],
                                                             float *p, const bool whole) {
    vector x[VECTORS];
    panel_scores(row, key, x, false, whole);
    panel_powers(x, most, sum);
    memcpy(p + key, x, sizeof x);
}

static inline void step(const vt_attention_step *s) {
    for (int r = 0; r < s->rows; ++r) {
        const score_row row = {
            .scores = s->scores + r * KEYS, .run = KEYS, .by = s->by, .columns = s->columns};
        float *at = s->sum + r * PANEL, *p = s->p + r * KEYS;
        most_so_far(row_most(&row, false), s->first, s->most + r, s->keep + r, at);
        vector sum[VECTORS];
        memcpy(sum, at, sizeof sum);
        int key = 0;
        for (; key + PANEL <= s->columns; key += PANEL)
            step_panel(&row, key, s->most[r], sum, p, true);
        for (; key < s->columns; key += PANEL) step_panel(&row, key, s->most[r], sum, p, false);
        memcpy(at, sum, sizeof sum);
        for (; key < KEYS; ++key) p[key] = 0.0f;
    }
}

/* ---- powers of many keys' scores, in bf16 ---- */

/* To nearest, ties to even; NaN here is what arithmetic makes. */
static inline words rounded_half(vector x) {
    const words bits = (words)x;
    return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}

static inline void store_panel(uint16_t *to, const vector x[VECTORS]) {
#ifdef __AVX2__
    const __m256i both =
        _mm256_packus_epi32((__m256i)rounded_half(x[0]), (__m256i)rounded_half(x[1]));
    _mm256_storeu_si256((__m256i *)(void *)to, _mm256_permute4x64_epi64(both, 0xd8));
#else
    for (int i = 0; i < VECTORS; ++i) {
        const words half = rounded_half(x[i]);
        for (int c = 0; c < LANES; ++c) to[i * LANES + c] = (uint16_t)half[c];
    }
#endif
}

static inline __attribute__((always_inline)) void half_panel(const score_row *row, int key,
                                                             float most, vector sum[VECTORS],
                                                             uint16_t *p, const bool scaled,
                                                             const bool whole) {
    vector x[VECTORS];
    panel_scores(row, key, x, scaled, whole);
    panel_powers(x, most, sum);
    for (int i = 0; scaled && i < VECTORS; ++i) x[i] *= load(row->v_scale + key + i * LANES);
    store_panel(p + key, x);
}

static inline __attribute__((always_inline)) void
powers_row(const score_row *row, float most, float *sums, uint16_t *p, const bool scaled) {
    vector sum[VECTORS];
    memcpy(sum, sums, sizeof sum);
    int key = 0;
    for (; key + PANEL <= row->columns; key += PANEL)
        half_panel(row, key, most, sum, p, scaled, true);
    for (; key < row->columns; key += PANEL) half_panel(row, key, most, sum, p, scaled, false);
    if (key / PANEL % 2) memset(p + key, 0, PANEL * sizeof *p);
    memcpy(sums, sum, sizeof sum);
}

static inline __attribute__((always_inline)) void powers_of(const vt_attention_powers *s,
                                                            const bool scaled) {
    for (int r = 0; r < s->rows; ++r) {
        const score_row row = {.scores = s->scores + r * KEYS,
                               .run = s->run,
                               .k_scale = s->k_scale,
                               .v_scale = s->v_scale,
                               .by = s->by,
                               .columns = s->columns};
        float *sum = s->sum + r * PANEL;
        most_so_far(row_most(&row, scaled), s->first, s->most + r, s->keep + r, sum);
        powers_row(&row, s->most[r], sum, s->p + (size_t)r * s->p_stride, scaled);
    }
}

static inline void powers(const vt_attention_powers *s) {
    if (s->k_scale)
        powers_of(s, true);
    else
        powers_of(s, false);
}

#endif

#endif

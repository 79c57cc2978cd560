/* attention_loops.c - see attention_loops.h. Compiled once an instruction set with
 * VT_LOOPS_SUFFIX=baseline, avx2, avx512 or avx512bf16; exports one symbol, the table
 * vt_attention_loops_SUFFIX.
 *
 * The product, the softmax step and the packing are what attention spends its time on: they are
 * written for AVX-512 by hand, where compilers neither keep a row's scores in registers nor find a
 * transposition. Every other processor has them in vectors of LANES numbers, which a compiler cuts to its
 * instructions (left to itself it takes powers one by one, which was half of all time with AVX2), and a
 * transposition by hand with AVX2. */
#include "kern/cpu/isa/attention_loops.h"

#include <math.h>
#include <string.h>

#include "kern/number.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) && defined(__AVX512BW__)
#include "kern/cpu/isa/transpose.h"
#define WIDE 1
#else
#define WIDE 0
#endif

#ifdef __FMA__
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

enum { PANEL = VT_ATTENTION_PANEL, KEYS = VT_ATTENTION_KEYS };

static inline int least(int a, int b) {
    return a < b ? a : b;
}

/* ---- product ---- */

/* A micro tile of ROWS x PANELS sums lives in registers: 24 of 32 with AVX-512, 12 of 16 with AVX2,
 * 8 of 16 without. AVX-512's six rows by four panels, 16 floats a register:
 *
 *            b0   b1   b2   b3      a line of each panel
 *     x0     s00  s01  s02  s03
 *      ...                          24 sums, 4 of panels, 1 of x: 29; 10 loads for 24 products
 *     x5     s50  s51  s52  s53
 *
 * A panel's row is two registers of AVX2 and four of SSE, so those hold one panel at a time. */
#if WIDE
#define LANES 16
#define MICRO_ROWS 6
#define MICRO_PANELS 4
#elif defined(__AVX__)
#define LANES 8
#define MICRO_ROWS 6
#define MICRO_PANELS 1
#else
#define LANES 4
#define MICRO_ROWS 2
#define MICRO_PANELS 1
#endif
#define VECTORS (PANEL / LANES) /* of a panel's row */

typedef float vector __attribute__((vector_size(4 * LANES)));

static inline vector load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline vector splat(float x) {
#if LANES == 16
    return (vector){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif LANES == 8
    return (vector){x, x, x, x, x, x, x, x};
#else
    return (vector){x, x, x, x};
#endif
}

/* Spelt out, because it must be the same operation in every tile shape. */
static inline vector multiply_add(vector a, vector b, vector c) {
#if WIDE
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

static inline void store(float *to, vector v) {
    memcpy(to, &v, sizeof v);
}

/* rows and panels are constants after inlining. */
static inline __attribute__((always_inline)) void
micro_product(const vt_attention_product *t, int row, int panel, const int rows, const int panels) {
    vector sum[MICRO_ROWS][MICRO_PANELS * VECTORS] = {{{0}}};
    const float *a = t->a + (size_t)row * t->a_row, *b = t->b + (size_t)panel * t->b_panel;
    const size_t a_row = t->a_row, a_depth = t->a_depth, b_panel = t->b_panel;
    for (int d = 0; d < t->depth; ++d, a += a_depth, b += PANEL) {
        vector wide[MICRO_PANELS * VECTORS];
        for (int i = 0; i < panels * VECTORS; ++i)
            wide[i] = load(b + (size_t)(i / VECTORS) * b_panel + (size_t)(i % VECTORS * LANES));
        for (int r = 0; r < rows; ++r) {
            vector x = splat(a[(size_t)r * a_row]);
            for (int i = 0; i < panels * VECTORS; ++i)
                sum[r][i] = multiply_add(x, wide[i], sum[r][i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
        float *out = t->out + (size_t)(row + r) * t->out_stride + (size_t)panel * PANEL;
        vector keep = splat(t->keep ? t->keep[row + r] : 0.0f);
        for (int i = 0; i < panels * VECTORS; ++i) {
            if (t->keep) sum[r][i] = multiply_add(load(out + i * LANES), keep, sum[r][i]);
            store(out + i * LANES, sum[r][i]);
        }
    }
}

#define MICRO(r, p)                                                                                \
    case (r)*8 + (p):                                                                              \
        micro_product(t, row, panel, r, p);                                                        \
        break;
#if WIDE
#define MICRO_ROW(r) MICRO(r, 1) MICRO(r, 2) MICRO(r, 3) MICRO(r, 4)
#else
#define MICRO_ROW(r) MICRO(r, 1)
#endif

static void product(const vt_attention_product *t) {
    for (int row = 0; row < t->rows; row += MICRO_ROWS) {
        int rows = least(MICRO_ROWS, t->rows - row);
        for (int panel = 0; panel < t->panels; panel += MICRO_PANELS) {
            switch (rows * 8 + least(MICRO_PANELS, t->panels - panel)) {
                MICRO_ROW(1)
                MICRO_ROW(2)
#if MICRO_ROWS > 2
                MICRO_ROW(3)
                MICRO_ROW(4)
                MICRO_ROW(5)
                MICRO_ROW(6)
#endif
            }
        }
    }
}

/* ---- running softmax ---- */

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

static void step(const vt_attention_step *s) {
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

static void powers(const vt_attention_powers *s) {
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

static void step(const vt_attention_step *s) {
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

static void powers(const vt_attention_powers *s) {
    if (s->k_scale)
        powers_of(s, true);
    else
        powers_of(s, false);
}

#endif

static void gather(float *out, size_t out_stride, const float *keep, const float *from,
                   size_t from_stride, int rows, int width) {
    for (int r = 0; r < rows; ++r, out += out_stride, from += from_stride) {
        for (int c = 0; c < width; c += LANES) {
            vector x = load(from + c);
            if (keep) x = multiply_add(load(out + c), splat(keep[r]), x);
            store(out + c, x);
        }
    }
}

static inline float total_of(const float *sum) {
#if WIDE
    return _mm512_reduce_add_ps(_mm512_loadu_ps(sum));
#endif
    float parts[PANEL];
    memcpy(parts, sum, sizeof parts);
    for (int half = PANEL / 2; half; half /= 2)
        for (int c = 0; c < half; ++c) parts[c] += parts[c + half];
    return parts[0];
}

static void finish(float *out, const float *from, const float *sum, int n) {
    const float inverse = 1.0f / total_of(sum);
#pragma omp simd
    for (int i = 0; i < n; ++i) out[i] = from[i] * inverse;
}

static void finish_bf16(uint16_t *out, const float *from, const float *sum, int n) {
    const float inverse = 1.0f / total_of(sum);
    int i = 0;
#if WIDE
    for (; i + PANEL <= n; i += PANEL)
        store_bf16(out + i, _mm512_mul_ps(_mm512_loadu_ps(from + i), _mm512_set1_ps(inverse)));
#endif
#pragma omp simd
    for (int rest = i; rest < n; ++rest) out[rest] = vt_to_bf16(from[rest] * inverse);
}

static void slopes(float *p, float *ds, const float *factor, const float *mean, float scale,
                   int rows, int columns) {
    int width = (columns + PANEL - 1) / PANEL * PANEL;
    for (int r = 0; r < rows; ++r, p += KEYS, ds += KEYS) {
        const vector f = splat(factor[r]), m = splat(mean[r]), by = splat(scale);
        for (int i = 0; i < width; i += LANES) {
            vector x = load(p + i) * f;
            store(p + i, x);
            store(ds + i, x * ((load(ds + i) - m) * by));
        }
    }
}

/* ---- packing ---- */

/* Rows of a cache lie a page apart: no processor fetches the next ones by itself. `rows` of them
 * after this one, where they are packed next; past the end of memory a prefetch does nothing. */
static inline void fetch_ahead(const void *row, size_t stride_bytes, int rows) {
    __builtin_prefetch((const void *)((uintptr_t)row + stride_bytes * (size_t)rows));
}

#if WIDE

static void pack(float *panel, const float *from, size_t stride, int columns, int length) {
    for (int d = 0; d < length; d += 16) {
        __m512i x[16];
        int count = least(16, length - d);
        __mmask16 mask = (__mmask16)((1u << count) - 1u);
        for (int c = 0; c < 16; ++c) {
            const float *row = from + (size_t)c * stride + d;
            x[c] = _mm512_setzero_si512();
            if (c >= columns) continue;
            x[c] = _mm512_maskz_loadu_epi32(mask, row);
            fetch_ahead(row, stride * sizeof *row, 16);
        }
        vt_transpose_16x16(x);
        for (int i = 0; i < 16; ++i)
            if (i < count) _mm512_storeu_si512(panel + (d + i) * PANEL, x[i]);
    }
}

static inline __mmask32 first_words(int count) {
    return count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1u;
}

static void pack_bf16(uint16_t *panel, const uint16_t *from, size_t stride, int columns, int length,
                      int depth) {
    for (int d = 0; d < depth; d += 32) {
        __m512i x[16];
        int pairs = least(16, (depth - d) / 2);
        __mmask32 mask = first_words(length - d);
        for (int c = 0; c < 16; ++c) {
            const uint16_t *row = from + (size_t)c * stride + d;
            x[c] = _mm512_setzero_si512();
            if (c >= columns) continue;
            x[c] = _mm512_maskz_loadu_epi16(mask, row);
            fetch_ahead(row, stride * sizeof *row, 16);
        }
        vt_transpose_16x16(x);
        for (int i = 0; i < 16; ++i)
            if (i < pairs) _mm512_storeu_si512(panel + (d + 2 * i) * PANEL, x[i]);
    }
}

static void pack_across_bf16(uint16_t *panels, size_t panel_stride, const uint16_t *from,
                             size_t stride, int rows, int length, int depth) {
    uint16_t order[32];
    for (int i = 0; i < 32; ++i) order[i] = (uint16_t)(i / 2 + i % 2 * 32);
    const __m512i low = _mm512_loadu_si512(order);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int d = 0; d < depth; d += 2) {
        const uint16_t *row = from + (size_t)d * stride;
        for (int c = 0; c < length; c += 32) {
            __mmask32 mask = first_words(length - c);
            __m512i a = _mm512_setzero_si512(), b = a;
            if (d < rows) a = _mm512_maskz_loadu_epi16(mask, row + c);
            if (d + 1 < rows) b = _mm512_maskz_loadu_epi16(mask, row + stride + c);
            fetch_ahead(row + c, stride * sizeof *row, 16);
            fetch_ahead(row + c, stride * sizeof *row, 17);
            uint16_t *to = panels + (size_t)(c / PANEL) * panel_stride + d * PANEL;
            _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, low, b));
            if (c + PANEL < length)
                _mm512_storeu_si512(to + panel_stride, _mm512_permutex2var_epi16(a, high, b));
        }
    }
}

#else

/* ---- 32 bits at a time: a float, or two of depth in bf16 ---- */

#ifdef __AVX2__
/* x[i] gets number i of each of the eight. */
static inline __attribute__((always_inline)) void transpose_8x8(__m256i x[8]) {
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; ++k) {
            b[i + 2 * k] = _mm256_unpacklo_epi64(a[i + k], a[i + 2 + k]);
            b[i + 2 * k + 1] = _mm256_unpackhi_epi64(a[i + k], a[i + 2 + k]);
        }
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        x[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

/* Eight words of `columns` rows into eight lines of a panel; rows lie `stride` bytes apart. */
static void pack_8_words(char *lines, const char *from, size_t stride, int columns) {
    for (int c = 0; c < PANEL; c += 8, lines += 32) {
        __m256i x[8];
        for (int i = 0; i < 8; ++i, from += stride) {
            x[i] = _mm256_setzero_si256();
            if (c + i >= columns) continue;
            x[i] = _mm256_loadu_si256((const __m256i *)(const void *)from);
            fetch_ahead(from, stride, 16);
        }
        transpose_8x8(x);
        for (int i = 0; i < 8; ++i)
            _mm256_storeu_si256((__m256i *)(void *)(lines + i * PANEL * 4), x[i]);
    }
}
#else
static void pack_8_words(char *lines, const char *from, size_t stride, int columns) {
    memset(lines, 0, 8 * PANEL * 4);
    for (int c = 0; c < columns; ++c, from += stride, lines += 4)
        for (int i = 0; i < 8; ++i) memcpy(lines + i * PANEL * 4, from + i * 4, 4);
}
#endif

static void pack(float *panel, const float *from, size_t stride, int columns, int length) {
    int d = 0;
    for (; d + 8 <= length; d += 8)
        pack_8_words((char *)(panel + d * PANEL), (const char *)(from + d), stride * sizeof *from,
                     columns);
    for (; d < length; ++d)
        for (int c = 0; c < PANEL; ++c)
            panel[d * PANEL + c] = c < columns ? from[(size_t)c * stride + (size_t)d] : 0.0f;
}

static void pack_bf16(uint16_t *panel, const uint16_t *from, size_t stride, int columns, int length,
                      int depth) {
    int d = 0;
    for (; d + 16 <= length; d += 16)
        pack_8_words((char *)(panel + d * PANEL), (const char *)(from + d), stride * sizeof *from,
                     columns);
    for (; d < depth; ++d)
        for (int c = 0; c < PANEL; ++c)
            panel[(d / 2 * PANEL + c) * 2 + d % 2] =
                c < columns && d < length ? from[(size_t)c * stride + (size_t)d] : 0;
}

/* A line of a panel: 16 pairs of two rows' numbers, the first in the lower half. */
static inline void put_pairs(uint16_t *line, const uint16_t *even, const uint16_t *odd) {
    uint32_t pairs[PANEL];
#pragma omp simd
    for (int i = 0; i < PANEL; ++i) pairs[i] = (uint32_t)even[i] | (uint32_t)odd[i] << 16;
    memcpy(line, pairs, sizeof pairs);
}

static void pack_across_bf16(uint16_t *panels, size_t panel_stride, const uint16_t *from,
                             size_t stride, int rows, int length, int depth) {
    static const uint16_t none[PANEL];
    for (int d = 0; d < depth; d += 2) {
        const uint16_t *row = from + (size_t)d * stride;
        for (int c = 0; c < length; c += PANEL) {
            uint16_t part[2][PANEL] = {{0}};
            const uint16_t *pair[2];
            const int count = least(PANEL, length - c);
            for (int i = 0; i < 2; ++i) {
                pair[i] = d + i < rows ? row + (size_t)i * stride + c : none;
                fetch_ahead(row + c, stride * sizeof *row, 16 + i);
                if (count == PANEL || d + i >= rows) continue;
                memcpy(part[i], pair[i], (size_t)count * sizeof *row);
                pair[i] = part[i];
            }
            put_pairs(panels + (size_t)(c / PANEL) * panel_stride + d * PANEL, pair[0], pair[1]);
        }
    }
}

#endif

static void pack_across(float *panels, size_t panel_stride, const float *from, size_t stride,
                        int rows, int length) {
    for (int d = 0; d < rows; ++d, panels += PANEL, from += stride) {
        float *to = panels;
        int c = 0;
        for (; c + PANEL <= length; c += PANEL, to += panel_stride) {
            memcpy(to, from + c, PANEL * sizeof *to);
            fetch_ahead(from + c, stride * sizeof *from, 16);
        }
        if (c == length) continue;
        for (int i = 0; i < PANEL; ++i) to[i] = c + i < length ? from[c + i] : 0.0f;
    }
}

/* ---- rows ---- */

static void to_bf16(uint16_t *to, const float *x, const float *bias, float by, size_t n) {
    if (bias) {
#pragma omp simd
        for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16((x[i] + bias[i]) * by);
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16(x[i] * by);
}

/* Bits of a magnitude order as the magnitudes do. */
static inline int32_t magnitude(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static float to_int8(int8_t *to, const float *x, const float *bias, float by, size_t n) {
    const float magic = 12582912.0f, smallest = 1e-36f;
    int32_t bits = 0;
#pragma omp simd reduction(max : bits)
    for (size_t i = 0; i < n; ++i) {
        int32_t size = magnitude((bias ? x[i] + bias[i] : x[i]) * by);
        bits = size > bits ? size : bits;
    }
    float most;
    memcpy(&most, &bits, sizeof most);
    if (most < smallest) { /* a scale would leave the normal numbers */
        memset(to, 0, n);
        return 0.0f;
    }
    const float scale = most / 127.0f, inverse = 127.0f / most;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        float y = (bias ? x[i] + bias[i] : x[i]) * by * inverse;
        y = y < 127.0f ? y : 127.0f; /* infinities and NaN end at a border, too */
        y = y > -127.0f ? y : -127.0f;
        to[i] = (int8_t)(int32_t)((y + magic) - magic);
    }
    return scale;
}

static void norm_modulate_bf16(uint16_t *y, const float *x, const float *row_scale,
                               const float *shift, int width, float eps, float *mean_out,
                               float *rstd_out) {
    float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < width; ++c) sum += x[c];
    float mean = sum / (float)width;
#pragma omp simd reduction(+ : square)
    for (int c = 0; c < width; ++c) square += (x[c] - mean) * (x[c] - mean);
    float rstd = 1.0f / sqrtf(square / (float)width + eps);
#pragma omp simd
    for (int c = 0; c < width; ++c)
        y[c] = vt_to_bf16(FMA((x[c] - mean) * rstd, 1.0f + row_scale[c], shift[c]));
    *mean_out = mean;
    *rstd_out = rstd;
}

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

const vt_attention_loops PASTE(vt_attention_loops_, VT_LOOPS_SUFFIX) = {
    .product = product,
    .step = step,
    .powers = powers,
    .gather = gather,
    .slopes = slopes,
    .finish = finish,
    .finish_bf16 = finish_bf16,
    .pack = pack,
    .pack_across = pack_across,
    .pack_bf16 = pack_bf16,
    .pack_across_bf16 = pack_across_bf16,
    .to_bf16 = to_bf16,
    .to_int8 = to_int8,
    .norm_modulate_bf16 = norm_modulate_bf16,
};

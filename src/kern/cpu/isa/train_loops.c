/* train_loops.c - see train_loops.h. Written once over the vectors of train_vectors.h; bf16 products have instructions of their
 * own where the processor does. Called by product_grad.c, residual.c and attend.c. */
#include "kern/cpu/isa/train_loops.h"
#include "kern/cpu/isa/train_gelu.h"

enum { PANEL = 16, RUN = 64 };

/* ---- outer products ---- */

#if defined(__AVX512F__)
#define ROWS(X)                                                                                    \
    X(0) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8) X(9) X(10) X(11) X(12) X(13) X(14) X(15)

/* Depth of a panel of a that is widened at a time: 256 x 16 floats are 16 KB, half of a first cache of
 * 32 KB; the rest is for the stretches of b that pass by. */
enum { WIDE = 256 };

INLINE __m512i pairs_at(const uint16_t *at) {
    return _mm512_loadu_si512(at);
}

/* outer_panels of a whose panel lies widened in x (depth, 16), by float32's multiply-adds. */
static void wide_panels(float *out, size_t stride, const float *x, const uint16_t *b, int depth,
                        bool accumulate) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
#define START(r) __m512 s##r = accumulate ? _mm512_loadu_ps(out + r * stride) : _mm512_setzero_ps();
    ROWS(START)
    for (int d = 0; d < depth; d += 2, x += 2 * PANEL, b += 2 * PANEL) {
        const __m512 even = (__m512)_mm512_slli_epi32(pairs_at(b), 16);
        const __m512 odd = (__m512)_mm512_and_si512(pairs_at(b), upper);
#define ADD_EVEN(r) s##r = _mm512_fmadd_ps(_mm512_set1_ps(x[r]), even, s##r);
#define ADD_ODD(r) s##r = _mm512_fmadd_ps(_mm512_set1_ps(x[PANEL + r]), odd, s##r);
        ROWS(ADD_EVEN)
        ROWS(ADD_ODD)
    }
#define KEEP(r) _mm512_storeu_ps(out + r * stride, s##r);
    ROWS(KEEP)
#undef START
#undef KEEP
}

/* A stretch of a panel of a as float32. */
INLINE void widen(float *to, const uint16_t *a, int depth) {
    const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);
    for (int d = 0; d < depth; d += 2) {
        const __m512i pairs = pairs_at(a + d * PANEL);
        _mm512_store_ps(to + d * PANEL, (__m512)_mm512_slli_epi32(pairs, 16));
        _mm512_store_ps(to + (d + 1) * PANEL, (__m512)_mm512_and_si512(pairs, upper));
    }
}
#elif EIGHT
/* Six rows by 16 columns of sums: 12 of 16 registers, 2 of b's even or odd numbers, one of a's. */
enum { WIDE = 256, HIGH = 6 };

INLINE __m256i pairs_at(const uint16_t *at) {
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

/* `rows` is a constant after inlining; a number's products are added in one order whatever it is. */
INLINE void wide_rows(float *out, size_t stride, const float *x, const uint16_t *b, int depth,
                      bool accumulate, const int rows) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    __m256 s[HIGH][2];
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < 2; ++i)
            s[r][i] = accumulate ? _mm256_loadu_ps(out + (size_t)r * stride + 8 * i)
                                 : _mm256_setzero_ps();
    for (int d = 0; d < depth; d += 2, x += 2 * PANEL, b += 2 * PANEL) {
        const __m256i pairs[2] = {pairs_at(b), pairs_at(b + PANEL)};
        const __m256 even[2] = {(__m256)_mm256_slli_epi32(pairs[0], 16),
                                (__m256)_mm256_slli_epi32(pairs[1], 16)};
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < 2; ++i)
                s[r][i] = _mm256_fmadd_ps(_mm256_broadcast_ss(x + r), even[i], s[r][i]);
        const __m256 odd[2] = {(__m256)_mm256_and_si256(pairs[0], upper),
                               (__m256)_mm256_and_si256(pairs[1], upper)};
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r)
            for (int i = 0; i < 2; ++i)
                s[r][i] = _mm256_fmadd_ps(_mm256_broadcast_ss(x + PANEL + r), odd[i], s[r][i]);
    }
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < 2; ++i) _mm256_storeu_ps(out + (size_t)r * stride + 8 * i, s[r][i]);
}

/* outer_panels of a whose panel lies widened in x (depth, 16). */
static void wide_panels(float *out, size_t stride, const float *x, const uint16_t *b, int depth,
                        bool accumulate) {
    wide_rows(out, stride, x, b, depth, accumulate, HIGH);
    wide_rows(out + HIGH * stride, stride, x + HIGH, b, depth, accumulate, HIGH);
    wide_rows(out + 2 * HIGH * stride, stride, x + 2 * HIGH, b, depth, accumulate,
              PANEL - 2 * HIGH);
}

/* A stretch of a panel of a as float32. */
INLINE void widen(float *to, const uint16_t *a, int depth) {
    const __m256i upper = _mm256_set1_epi32((int)0xffff0000u);
    for (int d = 0; d < depth; d += 2, a += 2 * PANEL, to += 2 * PANEL)
        for (int i = 0; i < PANEL; i += 8) {
            const __m256i pairs = pairs_at(a + 2 * i);
            _mm256_store_ps(to + i, (__m256)_mm256_slli_epi32(pairs, 16));
            _mm256_store_ps(to + PANEL + i, (__m256)_mm256_and_si256(pairs, upper));
        }
}
#endif

#if EIGHT || defined(__AVX512F__)
/* For processors whose pairs of bf16 are slower than that (bf16_pays.c), or missing. */
static void outer_wide(const vt_outer *o) {
    float x[WIDE * PANEL] __attribute__((aligned(64)));
    for (int i = 0; i < o->a_panels; ++i)
        for (int first = 0; first == 0 || first < o->depth; first += WIDE) {
            const int depth = o->depth - first < WIDE ? o->depth - first : WIDE;
            const size_t at = (size_t)first * PANEL;
            widen(x, o->a + (size_t)i * o->a_stride + at, depth);
            for (int j = 0; j < o->b_panels; ++j)
                wide_panels(o->out + (size_t)i * PANEL * o->out_stride + (size_t)j * PANEL,
                            o->out_stride, x, o->b + (size_t)j * o->b_stride + at, depth,
                            o->accumulate || first > 0);
        }
}
#endif

#if defined(__AVX512BF16__)
typedef int32_t __attribute__((may_alias, aligned(2))) pair_bits;

/* A pair in all lanes; written out because clang folds the load into each product that uses it,
 * which takes a third of the speed (Zen 4). */
INLINE __m512bh pair_at(const uint16_t *at) {
    __m512i wide;
    __asm__("vpbroadcastd %1, %0" : "=v"(wide) : "m"(*(const pair_bits *)at));
    return (__m512bh)wide;
}

/* Sixteen by sixteen sums in registers (drawn in train_loops.h); named, since compilers keep an array of
 * them in memory. One line of b and one pair of a at a time: 18 of the 32 registers, 17 loads for 16
 * products. */
static void outer_panels(float *out, size_t stride, const uint16_t *a, const uint16_t *b, int depth,
                         bool accumulate) {
#define START(r) __m512 s##r = accumulate ? _mm512_loadu_ps(out + r * stride) : _mm512_setzero_ps();
    ROWS(START)
    for (int d = 0; d < depth; d += 2, a += 2 * PANEL, b += 2 * PANEL) {
        const __m512bh y = (__m512bh)_mm512_loadu_si512(b);
#define ADD(r) s##r = _mm512_dpbf16_ps(s##r, pair_at(a + 2 * r), y);
        ROWS(ADD)
    }
#define KEEP(r) _mm512_storeu_ps(out + r * stride, s##r);
    ROWS(KEEP)
}
#elif !EIGHT && !defined(__AVX512F__)
/* Four rows at a time. */
static void outer_panels(float *out, size_t stride, const uint16_t *a, const uint16_t *b, int depth,
                         bool accumulate) {
    for (int r = 0; r < PANEL; r += 4) {
        vector s[4];
        for (int i = 0; i < 4; ++i)
            s[i] = accumulate ? load(out + (size_t)(r + i) * stride) : (vector){0};
        for (int d = 0; d < depth; d += 2) {
            const uint16_t *at = a + (size_t)d * PANEL + 2 * r;
            words pairs;
            memcpy(&pairs, b + (size_t)d * PANEL, sizeof pairs);
            const vector even = (vector)(pairs << 16), odd = (vector)(pairs & 0xffff0000u);
            for (int i = 0; i < 4; ++i) {
                uint32_t low = (uint32_t)at[2 * i] << 16, high = (uint32_t)at[2 * i + 1] << 16;
                float x0, x1;
                memcpy(&x0, &low, sizeof x0);
                memcpy(&x1, &high, sizeof x1);
                s[i] = fma_of(even, all(x0), s[i]);
                s[i] = fma_of(odd, all(x1), s[i]);
            }
        }
        for (int i = 0; i < 4; ++i) store(out + (size_t)(r + i) * stride, s[i]);
    }
}
#endif

#if defined(__AVX512BF16__) || (!EIGHT && !defined(__AVX512F__))
static void outer(const vt_outer *o) {
    for (int i = 0; i < o->a_panels; ++i)
        for (int j = 0; j < o->b_panels; ++j)
            outer_panels(o->out + (size_t)i * PANEL * o->out_stride + (size_t)j * PANEL,
                         o->out_stride, o->a + (size_t)i * o->a_stride,
                         o->b + (size_t)j * o->b_stride, o->depth, o->accumulate);
}
#define OUTER outer
#else
#define OUTER outer_wide
#endif

/* ---- the residual stream ---- */

static void residual(vt_residual_row *row, int width) {
    const float *from = row->x;
    vector total = {0}, square = {0};
    if (row->h) {
        for (int c = 0; c < width; c += LANES) {
            int n = width - c;
            vector s = fma_of(load_part(row->gamma + c, n), load_bf16_part(row->h + c, n),
                              load_part(row->x + c, n));
            store_part(row->sum + c, s, n);
            total += s;
        }
        from = row->sum;
    } else {
        for (int c = 0; c < width; c += LANES) {
            vector s = load_part(row->x + c, width - c);
            if (row->sum) store_part(row->sum + c, s, width - c);
            total += s;
        }
    }
    if (!row->y) return;
    const float mean = sum_of(total) / (float)width;
    for (int c = 0; c < width; c += LANES) {
        vector d = load_part(from + c, width - c) - mean;
        if (width - c < LANES) d = first_part(d, width - c, (vector){0});
        square = fma_of(d, d, square);
    }
    const float rstd = 1.0f / sqrtf(sum_of(square) / (float)width + row->eps);
    for (int c = 0; c < width; c += LANES) {
        int n = width - c;
        vector hat = (load_part(from + c, n) - mean) * rstd;
        vector y = fma_of(hat, 1.0f + load_part(row->scale + c, n), load_part(row->shift + c, n));
        store_bf16_part(row->y + c, y, n);
    }
    row->mean = mean;
    row->rstd = rstd;
}

/* dx += norm's share */
INLINE void norm_dx(const vt_residual_row_dx *row, int width) {
    vector total = {0}, along = {0};
    for (int c = 0; c < width; c += LANES) {
        int n = width - c;
        vector hat = (load_part(row->x + c, n) - row->mean) * row->rstd;
        vector dy = load_bf16_part(row->dy + c, n);
        vector grad = dy * (1.0f + load_part(row->scale + c, n)); /* zero beyond the row */
        total += grad;
        along = fma_of(grad, hat, along);
        store_part(row->dscale + c, fma_of(dy, hat, load_part(row->dscale + c, n)), n);
        store_part(row->dshift + c, load_part(row->dshift + c, n) + dy, n);
    }
    const float mean = sum_of(total) / (float)width, slope = sum_of(along) / (float)width;
    for (int c = 0; c < width; c += LANES) {
        int n = width - c;
        vector hat = (load_part(row->x + c, n) - row->mean) * row->rstd;
        vector grad = load_bf16_part(row->dy + c, n) * (1.0f + load_part(row->scale + c, n));
        vector part = fma_of(hat, all(-slope), grad - mean);
        store_part(row->dx + c, fma_of(part, all(row->rstd), load_part(row->dx + c, n)), n);
    }
}

static void residual_dx(const vt_residual_row_dx *row, int width) {
    if (row->dy) norm_dx(row, width);
    for (int c = 0; row->h && c < width; c += LANES) {
        int n = width - c;
        vector dx = load_part(row->dx + c, n), h = load_bf16_part(row->h + c, n);
        store_bf16_part(row->dh + c, dx * load_part(row->gamma + c, n), n);
        store_part(row->dgamma + c, fma_of(dx, h, load_part(row->dgamma + c, n)), n);
    }
}

/* ---- heads ---- */

static const float least_length = 1e-12f;

INLINE vector head_at(const uint16_t *from, const float *bias, int c, int n) {
    vector u = load_bf16_part(from + c, n - c);
    return bias ? u + load_part(bias + c, n - c) : u;
}

INLINE float length_of(const uint16_t *from, const float *bias, int n) {
    vector square = {0};
    for (int c = 0; c < n; c += LANES) {
        vector u = head_at(from, bias, c, n);
        square = fma_of(u, u, square);
    }
    return sqrtf(sum_of(square));
}

/* A head is a short piece of a long row: the rows to come are no stream that the processor sees. */
INLINE void fetch_ahead(const uint16_t *from, size_t stride, int n) {
    for (int c = 0; c < n; c += 32) __builtin_prefetch(from + 12 * stride + c);
}

static void head_rows(const vt_head_rows *a) {
    const uint16_t *from = a->from;
    uint16_t *to = a->out;
    for (int r = 0; r < a->rows; ++r, from += a->from_stride, to += a->depth) {
        float by = a->s;
        fetch_ahead(from, a->from_stride, a->n);
        if (a->unit) {
            float length = length_of(from, a->bias, a->n);
            by /= length > least_length ? length : least_length;
        }
        for (int c = 0; c < a->n; c += LANES)
            store_bf16_part(to + c, head_at(from, a->bias, c, a->n) * by, a->n - c);
        if (a->depth > a->n) memset(to + a->n, 0, (size_t)(a->depth - a->n) * sizeof *to);
    }
}

static float head_rows_dx(const vt_head_rows_dx *a) {
    const uint16_t *from = a->from;
    const float *dout = a->dout;
    uint16_t *to = a->dfrom;
    const int n = a->n;
    float all_along = 0.0f;
    for (int r = 0; r < a->rows;
         ++r, from += a->from_stride, dout += a->dout_stride, to += a->dfrom_stride) {
        float by = a->s, back = 0.0f;
        fetch_ahead(from, a->from_stride, n);
        if (a->unit) {
            vector square = {0}, dot = {0};
            for (int c = 0; c < n; c += LANES) {
                vector u = head_at(from, a->bias, c, n);
                square = fma_of(u, u, square);
                dot = fma_of(u, load_part(dout + c, n - c), dot);
            }
            float length = sqrtf(sum_of(square));
            float inverse = 1.0f / (length > least_length ? length : least_length);
            float along = sum_of(dot) * inverse;
            back = length >= least_length ? along * inverse : 0.0f; /* else a constant divisor */
            by *= inverse;
            all_along += along;
        }
        for (int c = 0; c < n; c += LANES) {
            vector d = load_part(dout + c, n - c);
            if (a->unit) d -= head_at(from, a->bias, c, n) * back;
            d *= by;
            store_bf16_part(to + c, d, n - c);
            if (a->dbias) store_part(a->dbias + c, load_part(a->dbias + c, n - c) + d, n - c);
        }
    }
    return all_along;
}

/* ---- scores ---- */

INLINE float *score_at(float *scores, size_t run, int c) {
    return scores + (size_t)(c / RUN) * run + c % RUN;
}

static float softmax(vt_score_row *row) {
    vector most = all(-INFINITY), total = {0};
    for (int c = 0; c < row->count; c += LANES) {
        vector s = load(score_at(row->scores, row->run, c)) * row->by;
        if (row->count - c < LANES) s = first_part(s, row->count - c, all(-INFINITY));
        most = larger(s, most);
    }
    const float top = most_of(most);
    for (int c = 0; c < row->padded; c += LANES) {
        vector p = {0};
        if (c < row->count) {
            p = exp2_of(fma_of(load(score_at(row->scores, row->run, c)), all(row->by), all(-top)));
            if (row->count - c < LANES) p = first_part(p, row->count - c, (vector){0});
        }
        total += p;
        store_bf16(row->p + c, p);
    }
    const float sum = sum_of(total);
    row->log = top + log2f(sum);
    return 1.0f / sum;
}

static void softmax_dx(const vt_score_row *row) {
    vector mean = {0};
    for (int c = 0; c < row->padded; c += LANES) {
        vector p = {0};
        float *at = score_at(row->scores, row->run, c);
        if (c < row->count) {
            p = exp2_of(fma_of(load(at), all(row->by), all(-row->log)));
            if (row->count - c < LANES) p = first_part(p, row->count - c, (vector){0});
            mean = fma_of(p, load(score_at((float *)(uintptr_t)row->dp, row->run, c)), mean);
            store(at, p);
        }
        store_bf16(row->p + c, p);
    }
    const float along = sum_of(mean);
    for (int c = 0; c < row->padded; c += LANES) {
        vector ds = {0};
        if (c < row->count)
            ds = load(score_at(row->scores, row->run, c)) *
                 (load(score_at((float *)(uintptr_t)row->dp, row->run, c)) - along) * row->scale;
        store_bf16(row->ds + c, ds);
    }
}

static void scale_bf16(uint16_t *out, const float *from, float by, const float *bias, int n) {
    for (int c = 0; c < n; c += LANES) {
        vector v = load_part(from + c, n - c) * by;
        if (bias) v += load_part(bias + c, n - c);
        store_bf16_part(out + c, v, n - c);
    }
}

/* ---- gelu ---- */

static void gelu(uint16_t *act, const uint16_t *pre, size_t n) {
    const gelu_pieces p = gelu_begin();
    for (size_t i = 0; i < n; i += LANES) {
        int left = n - i < LANES ? (int)(n - i) : LANES;
        store_bf16_part(act + i, gelu_of(&p, load_bf16_part(pre + i, left)), left);
    }
}

static void gelu_dx(uint16_t *dpre, uint16_t *act, const uint16_t *dact, const uint16_t *pre,
                    size_t n) {
    const gelu_pieces p = gelu_begin();
    for (size_t i = 0; i < n; i += LANES) {
        int left = n - i < LANES ? (int)(n - i) : LANES;
        vector y, dy = load_bf16_part(dact + i, left);
        vector slope = gelu_slope(&p, load_bf16_part(pre + i, left), &y);
        if (act) store_bf16_part(act + i, y, left);
        store_bf16_part(dpre + i, dy * slope, left);
    }
}

/* ---- tiles ---- */

INLINE vector rounded(vector v) {
#if defined(__AVX512BF16__)
    __m256i half = (__m256i)_mm512_cvtneps_pbh((__m512)v);
    return (vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(half), 16);
#else
    uint16_t half[LANES];
    store_bf16(half, v);
    return load_bf16(half);
#endif
}

/* The next tile's part of a row, which lies a long way off. */
INLINE void finish_fetch(const vt_train_finish *f, size_t at) {
    at += f->ahead;
    for (int c = 0; c < f->columns; c += 32) {
        __builtin_prefetch(f->y + at + c, 1);
        if (f->gelu) __builtin_prefetch(f->gelu + at + c, 1);
        if (f->gelu_of) __builtin_prefetch(f->gelu_of + at + c);
    }
}

/* What a product's sums become; known when it is compiled, and the arguments by value: a row is one loop
 * that reloads nothing after a store. */
typedef enum { PLAIN, GELU, GELU_SLOPE } finish_kind;

INLINE void finish_vector(const vt_train_finish f, const finish_kind kind, const gelu_pieces *p,
                          size_t row, int c, const float *sums, const int left) {
    const size_t at = row + (size_t)c;
    vector v = load(sums + c);
    if (kind == GELU_SLOPE) {
        vector act;
        v *= gelu_slope(p, load_bf16_part(f.gelu_of + at, left), &act);
        if (f.gelu) store_bf16_part(f.gelu + at, act, left);
    } else if (f.bias) {
        v += load_part(f.bias + c, left);
    }
    if (kind == GELU) {
        v = rounded(v);
        store_bf16_part(f.gelu + at, gelu_of(p, v), left);
    }
    store_bf16_part(f.y + at, v, left);
}

INLINE void finish_rows(const vt_train_finish f, const finish_kind kind) {
    const gelu_pieces p = gelu_begin();
    const float *sums = f.sums;
    size_t at = 0;
    for (int r = 0; r < f.rows; ++r, sums += RUN, at += f.y_stride) {
        finish_fetch(&f, at);
        int c = 0;
        for (; c + LANES <= f.columns; c += LANES) finish_vector(f, kind, &p, at, c, sums, LANES);
        if (c < f.columns) finish_vector(f, kind, &p, at, c, sums, f.columns - c);
    }
}

static void finish(const vt_train_finish *f) {
    if (f->gelu_of)
        finish_rows(*f, GELU_SLOPE);
    else if (f->gelu)
        finish_rows(*f, GELU);
    else
        finish_rows(*f, PLAIN);
}

/* ---- column sums ---- */

static void column_sums_bf16(float *sums, const uint16_t *x, size_t stride, int rows, int width) {
    for (int c = 0; c < width; c += LANES) {
        vector s = load_part(sums + c, width - c);
        for (int r = 0; r < rows; ++r) s += load_bf16_part(x + (size_t)r * stride + c, width - c);
        store_part(sums + c, s, width - c);
    }
}

static void column_sums_f32(float *sums, const float *x, size_t stride, int rows, int width) {
    for (int c = 0; c < width; c += LANES) {
        vector s = load_part(sums + c, width - c);
        for (int r = 0; r < rows; ++r) s += load_part(x + (size_t)r * stride + c, width - c);
        store_part(sums + c, s, width - c);
    }
}

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

/* A table whose outer products are `outer_product`, and of rows `of_rows`. */
#define TABLE(suffix, outer_product, of_rows)                                                      \
    const vt_train_loops PASTE(vt_train_loops_, suffix) = {                                        \
        .name = TEXT(suffix),                                                                      \
        .finish = finish,                                                                          \
        .outer = outer_product,                                                                    \
        .outer_rows = of_rows,                                                                     \
        .residual = residual,                                                                      \
        .residual_dx = residual_dx,                                                                \
        .head_rows = head_rows,                                                                    \
        .head_rows_dx = head_rows_dx,                                                              \
        .softmax = softmax,                                                                        \
        .softmax_dx = softmax_dx,                                                                  \
        .scale_bf16 = scale_bf16,                                                                  \
        .gelu = gelu,                                                                              \
        .gelu_dx = gelu_dx,                                                                        \
        .column_sums_bf16 = column_sums_bf16,                                                      \
        .column_sums_f32 = column_sums_f32,                                                        \
    };

TABLE(VT_LOOPS_SUFFIX, OUTER, NULL)
#if defined(__AVX512BF16__)
TABLE(avx512wide, outer_wide, NULL)
TABLE(amx, vt_outer_amx, vt_outer_rows_amx)
#endif

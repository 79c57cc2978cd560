/* map_loops.c - the loops of map_loops.h, compiled once an instruction set (variant_isa in
 * CMakeLists.txt): by the compiler's vectors, and with intrinsics where AVX-512 has instructions
 * that it does not find. */
#include "kern/cpu/isa/map_loops.h"

#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

/* e^x to about 2e-7 relative, clamped to where the result is a normal float. A NaN stays one.
 * Adding `round` leaves the nearest integer to x / ln 2 in the low bits, from where it goes to the
 * exponent.
 */
static inline float exp_clamped(float x) {
    const float round = 12582912.0f; /* 1.5 * 2^23 */
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    float shifted = x * 1.44269504f + round, n = shifted - round;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float silu(float u) {
    return u * (1.0f / (1.0f + exp_clamped(-u)));
}

static void to_f32(const vt_map_pixels *p) {
    const float *restrict center = p->center, *restrict factor = p->factor,
                          *restrict shift = p->shift;
    for (size_t i = 0; i < p->count; i++) {
        const float *restrict x = p->x + i * p->x_stride;
        float *restrict y = (float *)p->map + i * p->map_stride;
        if (!factor) {
            memcpy(y, x, p->channels * sizeof *y);
        } else if (p->silu) {
#pragma omp simd
            for (size_t c = 0; c < p->channels; c++)
                y[c] = silu((x[c] - center[c]) * factor[c] + shift[c]);
        } else {
#pragma omp simd
            for (size_t c = 0; c < p->channels; c++)
                y[c] = (x[c] - center[c]) * factor[c] + shift[c];
        }
    }
}

#if defined(__AVX512F__)

/* Sixteen numbers rounded to bf16; a NaN stays one. */
static inline __m256i bf16_16(__m512 value) {
#if defined(__AVX512BF16__)
    return (__m256i)_mm512_cvtneps_pbh(value);
#else
    __m512i bits = _mm512_castps_si512(value), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    sum = _mm512_srli_epi32(sum, 16);
    sum = _mm512_mask_or_epi32(sum, nan, high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(sum);
#endif
}

static inline __m512 float_16(const uint16_t *from) {
    __m256i bf16 = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

/* SiLU to well below bf16's precision: 2^t is a polynomial of t less its nearest integer, the
 * quotient an estimate and one Newton step. */
static inline __m512 silu_16(__m512 u) {
    __m512 t = _mm512_mul_ps(u, _mm512_set1_ps(-1.44269504f));
    t = _mm512_max_ps(_mm512_set1_ps(-126.0f), t); /* in this order a NaN stays */
    t = _mm512_min_ps(_mm512_set1_ps(126.0f), t);
    __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(t, n), p = _mm512_set1_ps(1.3333558e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    __m512 below = _mm512_add_ps(_mm512_scalef_ps(p, n), _mm512_set1_ps(1.0f));
    __m512 inverse = _mm512_rcp14_ps(below);
    inverse = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(below, inverse, _mm512_set1_ps(2.0f)));
    return _mm512_mul_ps(u, inverse);
}

/* 16 channels of all pixels. */
static inline __attribute__((always_inline)) void
channels_in(const vt_map_pixels *p, size_t c, __mmask16 mask, bool norm, bool silu) {
    __m512 center = _mm512_setzero_ps(), factor = center, shift = center;
    if (norm) {
        center = _mm512_maskz_loadu_ps(mask, p->center + c);
        factor = _mm512_maskz_loadu_ps(mask, p->factor + c);
        shift = _mm512_maskz_loadu_ps(mask, p->shift + c);
    }
    const float *x = p->x + c;
    uint16_t *y = (uint16_t *)p->map + c;
    for (size_t i = 0; i < p->count; i++, x += p->x_stride, y += p->map_stride) {
        __m512 u = _mm512_maskz_loadu_ps(mask, x);
        if (norm) u = _mm512_fmadd_ps(_mm512_sub_ps(u, center), factor, shift);
        if (silu) u = silu_16(u);
        _mm256_storeu_si256((__m256i *)(void *)y, bf16_16(u));
    }
}

/* The pixels of `some`, few enough that they stay in the first cache from one 16 channels to the next. */
static inline __attribute__((always_inline)) void pixels_in(const vt_map_pixels *some, bool norm,
                                                            bool silu) {
    for (size_t c = 0; c < some->map_stride; c += 16) { /* a multiple of 16 */
        const size_t left = some->channels > c ? some->channels - c : 0;
        channels_in(some, c, (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u), norm, silu);
    }
}

static void to_bf16(const vt_map_pixels *p) {
    enum { SOME = 4 };
    vt_map_pixels some = *p;
    for (size_t done = 0; done < p->count; done += some.count) {
        some.count = p->count - done < SOME ? p->count - done : SOME;
        if (!p->factor)
            pixels_in(&some, false, false);
        else if (p->silu)
            pixels_in(&some, true, true);
        else
            pixels_in(&some, true, false);
        some.x += some.count * some.x_stride;
        some.map = (uint16_t *)some.map + some.count * some.map_stride;
    }
}

/* Two columns of a square (four pixels one below the other), each transformed down its rows. */
static inline void square_columns(const uint16_t *map, size_t line, size_t pixel, __m512 to[2][4]) {
    for (size_t column = 0; column < 2; column++) {
        const uint16_t *at = map + column * pixel;
        __m512 a = float_16(at), b = float_16(at + line), c = float_16(at + 2 * line),
               d = float_16(at + 3 * line);
        to[column][0] = _mm512_sub_ps(a, c);
        to[column][1] = _mm512_add_ps(b, c);
        to[column][2] = _mm512_sub_ps(c, b);
        to[column][3] = _mm512_sub_ps(b, d);
    }
}

static inline void put_16(uint16_t *to, __m512 value) {
    _mm256_storeu_si256((__m256i *)(void *)to, bf16_16(value));
}

/* The 16 channels at `to` of a square, of whose columns `left` are the first two and `right` the last. */
static inline void square_in(uint16_t *to, size_t position, __m512 left[2][4], __m512 right[2][4]) {
    for (int row = 0; row < 4; row++, to += 4 * position) {
        put_16(to, _mm512_sub_ps(left[0][row], right[0][row]));
        put_16(to + position, _mm512_add_ps(left[1][row], right[0][row]));
        put_16(to + 2 * position, _mm512_sub_ps(right[0][row], left[1][row]));
        put_16(to + 3 * position, _mm512_sub_ps(left[1][row], right[1][row]));
    }
}

/* 32 channels at a time, which are a line of every position: a line whose halves are written far apart
 * has left the first cache in between. */
static void squares(const vt_map_squares *s) {
    for (size_t c = 0; c < s->pixel; c += 32) { /* a multiple of 32 */
        const uint16_t *map = s->map + c;
        uint16_t *to = s->to + c;
        __m512 left[2][2][4], right[2][4];
        for (size_t half = 0; half < 2; half++)
            square_columns(map + half * 16, s->line, s->pixel, left[half]);
        for (int i = 0; i < s->count; i++, to += s->pixel) {
            map += 2 * s->pixel;
            for (size_t half = 0; half < 2; half++) {
                square_columns(map + half * 16, s->line, s->pixel, right);
                square_in(to + half * 16, s->position, left[half], right);
                memcpy(left[half], right, sizeof right);
            }
        }
    }
}

typedef struct out_vectors {
    __m512 scale, bias, sums, squares;
    __mmask16 mask;
} out_vectors;

static inline void add_sums(float *to, size_t squares_at, __mmask16 mask, __m512 sums,
                            __m512 squares) {
    _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sums));
    to += squares_at;
    _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), squares));
}

/* One pixel of up to 16 columns. */
static inline void pixel_out(const vt_map_square *s, out_vectors *v, size_t at, __m512 sum) {
    sum = _mm512_add_ps(_mm512_mul_ps(sum, v->scale), v->bias);
    if (s->residual) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(v->mask, s->residual + at));
    v->sums = _mm512_add_ps(v->sums, sum);
    v->squares = _mm512_fmadd_ps(sum, sum, v->squares);
    if (s->stream)
        _mm512_stream_ps(s->y + at, sum);
    else
        _mm512_mask_storeu_ps(s->y + at, v->mask, sum);
}

/* The pixels of one square at y + at; rows and pixels are constants after inlining. */
static inline __attribute__((always_inline)) void square_out(const vt_map_square *s, out_vectors *v,
                                                             const float *sums, size_t at, int rows,
                                                             int pixels) {
    __m512 upper[4], lower[4];
    for (size_t j = 0; j < 4; j++) {
        const float *from = sums + j * 16;
        __m512 a = _mm512_load_ps(from), b = _mm512_load_ps(from + s->block),
               c = _mm512_load_ps(from + 2 * s->block), d = _mm512_load_ps(from + 3 * s->block);
        upper[j] = _mm512_add_ps(_mm512_add_ps(a, b), c);
        lower[j] = _mm512_sub_ps(_mm512_sub_ps(b, c), d);
    }
    pixel_out(s, v, at, _mm512_add_ps(_mm512_add_ps(upper[0], upper[1]), upper[2]));
    if (pixels > 1)
        pixel_out(s, v, at + s->pixel, _mm512_sub_ps(_mm512_sub_ps(upper[1], upper[2]), upper[3]));
    if (rows < 2) return;
    at += s->line;
    pixel_out(s, v, at, _mm512_add_ps(_mm512_add_ps(lower[0], lower[1]), lower[2]));
    if (pixels > 1)
        pixel_out(s, v, at + s->pixel, _mm512_sub_ps(_mm512_sub_ps(lower[1], lower[2]), lower[3]));
}

static void squares_out(const vt_map_square *s) {
    out_vectors v = {.sums = _mm512_setzero_ps(),
                     .squares = _mm512_setzero_ps(),
                     .mask = (__mmask16)((1u << s->columns) - 1u)};
    v.scale = s->scale ? _mm512_maskz_loadu_ps(v.mask, s->scale) : _mm512_set1_ps(1.0f);
    v.bias = s->bias ? _mm512_maskz_loadu_ps(v.mask, s->bias) : _mm512_setzero_ps();
    const int whole = s->rows < 2 ? 0 : s->pixels / 2 < s->count ? s->pixels / 2 : s->count;
    const float *sums = s->sums;
    size_t at = 0;
    for (int i = 0; i < s->count; i++, sums += s->next, at += 2 * s->pixel) {
        if (i < whole)
            square_out(s, &v, sums, at, 2, 2);
        else
            square_out(s, &v, sums, at, s->rows, s->pixels - 2 * i);
    }
    if (s->totals) add_sums(s->totals, s->squares, v.mask, v.sums, v.squares);
}

/* 16 columns of a tile. */
static inline void panel_out(const vt_map_tile *t, int c, __mmask16 mask, bool stream) {
    const __m512 scale = t->scale ? _mm512_maskz_loadu_ps(mask, t->scale + c) : _mm512_set1_ps(1);
    const __m512 bias = t->bias ? _mm512_maskz_loadu_ps(mask, t->bias + c) : _mm512_setzero_ps();
    __m512 sums = _mm512_setzero_ps(), squares = _mm512_setzero_ps();
    for (size_t r = 0; r < (size_t)t->rows; r++) {
        const size_t at = r * t->y_stride + (size_t)c;
        __m512 y = _mm512_maskz_loadu_ps(mask, t->tile + r * t->tile_stride + c);
        y = _mm512_add_ps(_mm512_mul_ps(y, scale), bias);
        if (t->residual) y = _mm512_add_ps(y, _mm512_maskz_loadu_ps(mask, t->residual + at));
        sums = _mm512_add_ps(sums, y);
        squares = _mm512_fmadd_ps(y, y, squares);
        if (stream)
            _mm512_stream_ps(t->y + at, y);
        else
            _mm512_mask_storeu_ps(t->y + at, mask, y);
    }
    if (t->sums) add_sums(t->sums + c, t->squares, mask, sums, squares);
}

static void tile_out(const vt_map_tile *t) {
    for (int c = 0; c < t->columns; c += 16) {
        const int left = t->columns - c;
        panel_out(t, c, (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u), t->stream);
    }
}

#else

/* vt_to_bf16 without its branch. */
static inline uint16_t bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline float float_of(uint16_t bf16) {
    uint32_t bits = (uint32_t)bf16 << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static void to_bf16(const vt_map_pixels *p) {
    size_t channels = p->channels;
    const float *restrict center = p->center, *restrict factor = p->factor,
                          *restrict shift = p->shift;
    for (size_t i = 0; i < p->count; i++) {
        const float *restrict x = p->x + i * p->x_stride;
        uint16_t *restrict y = (uint16_t *)p->map + i * p->map_stride;
        if (!factor) {
#pragma omp simd
            for (size_t c = 0; c < channels; c++) y[c] = bf16_of(x[c]);
        } else if (p->silu) {
#pragma omp simd
            for (size_t c = 0; c < channels; c++)
                y[c] = bf16_of(silu((x[c] - center[c]) * factor[c] + shift[c]));
        } else {
#pragma omp simd
            for (size_t c = 0; c < channels; c++)
                y[c] = bf16_of((x[c] - center[c]) * factor[c] + shift[c]);
        }
        memset(y + channels, 0, (p->map_stride - channels) * sizeof *y);
    }
}

static void squares(const vt_map_squares *s) {
    for (int i = 0; i < s->count; i++)
        for (size_t first = 0; first < s->pixel; first += 16) {
            const uint16_t *map = s->map + (size_t)i * 2 * s->pixel + first;
            uint16_t *to = s->to + (size_t)i * s->pixel + first;
            float m[4][4][16];
            for (size_t j = 0; j < 4; j++, map += s->pixel) {
#pragma omp simd
                for (int c = 0; c < 16; c++) {
                    float p = float_of(map[c]), q = float_of(map[c + (int)s->line]),
                          r = float_of(map[c + 2 * (int)s->line]),
                          t = float_of(map[c + 3 * (int)s->line]);
                    m[0][j][c] = p - r;
                    m[1][j][c] = q + r;
                    m[2][j][c] = r - q;
                    m[3][j][c] = q - t;
                }
            }
            for (size_t row = 0; row < 4; row++, to += 4 * s->position) {
#pragma omp simd
                for (size_t c = 0; c < 16; c++) {
                    float p = m[row][0][c], q = m[row][1][c], r = m[row][2][c], t = m[row][3][c];
                    to[c] = bf16_of(p - r);
                    to[c + s->position] = bf16_of(q + r);
                    to[c + 2 * s->position] = bf16_of(r - q);
                    to[c + 3 * s->position] = bf16_of(q - t);
                }
            }
        }
}

static inline void add_sums(float *restrict sums, size_t squares_at, const float *restrict y,
                            size_t columns) {
    float *restrict squares = sums + squares_at;
#pragma omp simd
    for (size_t c = 0; c < columns; c++) {
        sums[c] += y[c];
        squares[c] += y[c] * y[c];
    }
}

/* One square; its pixels at y + first. */
static void square_out(const vt_map_square *s, const float *sums, size_t first, int pixels) {
    float m[2][4][16];
    for (size_t j = 0; j < 4; j++) {
        const float *at = sums + j * 16;
#pragma omp simd
        for (size_t c = 0; c < 16; c++) {
            float p = at[c], q = at[c + s->block], r = at[c + 2 * s->block],
                  t = at[c + 3 * s->block];
            m[0][j][c] = p + q + r;
            m[1][j][c] = q - r - t;
        }
    }
    for (size_t row = 0; row < (size_t)s->rows; row++)
        for (size_t pixel = 0; pixel < 2 && (int)pixel < pixels; pixel++) {
            size_t at = first + row * s->line + pixel * s->pixel;
            for (size_t c = 0; c < (size_t)s->columns; c++) {
                float sum = pixel ? m[row][1][c] - m[row][2][c] - m[row][3][c]
                                  : m[row][0][c] + m[row][1][c] + m[row][2][c];
                if (s->scale) sum *= s->scale[c];
                if (s->bias) sum += s->bias[c];
                if (s->residual) sum += s->residual[at + c];
                s->y[at + c] = sum;
            }
            if (s->totals) add_sums(s->totals, s->squares, s->y + at, (size_t)s->columns);
        }
}

static void squares_out(const vt_map_square *s) {
    for (int i = 0; i < s->count; i++)
        square_out(s, s->sums + (size_t)i * s->next, (size_t)i * 2 * s->pixel, s->pixels - 2 * i);
}

static void tile_out(const vt_map_tile *t) {
    size_t columns = (size_t)t->columns;
    const float *restrict scale = t->scale, *restrict bias = t->bias;
    for (int r = 0; r < t->rows; r++) {
        const float *restrict tile = t->tile + (size_t)r * t->tile_stride;
        const float *residual = t->residual ? t->residual + (size_t)r * t->y_stride : NULL;
        float *y = t->y + (size_t)r * t->y_stride;
        /* y may be the residual, number for number */
#pragma omp simd
        for (size_t c = 0; c < columns; c++) {
            float sum = tile[c];
            if (scale) sum *= scale[c];
            if (bias) sum += bias[c];
            if (residual) sum += residual[c];
            y[c] = sum;
        }
        if (t->sums) add_sums(t->sums, t->squares, y, columns);
    }
}

#endif

static void end(void) {
#if defined(__AVX512F__)
    _mm_sfence();
#endif
}

#define PASTE(a, b) a##b
#define NAME(suffix) PASTE(vt_map_loops_, suffix)
const vt_map_loops NAME(VT_LOOPS_SUFFIX) = {
    .to_f32 = to_f32,
    .to_bf16 = to_bf16,
    .squares = squares,
    .squares_out = squares_out,
    .tile_out = tile_out,
    .end = end,
};

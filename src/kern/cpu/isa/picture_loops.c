/* picture_loops.c - the loops of picture_loops.h, compiled once an instruction set (variant_isa in
 * CMakeLists.txt); the compiler vectorises them, there are no intrinsics.
 *
 * Sums are float over SUM_ROWS rows and double beyond, so that a picture of any size keeps float's
 * precision. */
#include "kern/cpu/isa/picture_loops.h"

#include <math.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

enum { SUM_ROWS = 256, LANES = 16 };

/* e^x to about 2e-7 relative, for x clamped to where the result is a normal float. A NaN stays one.
 * Adding `round` leaves the nearest integer to x / ln 2 in the low bits, from where it goes to the
 * exponent. */
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

static inline float sigmoid(float u) {
    return 1.0f / (1.0f + exp_clamped(-u));
}

static void fold(double *sums, const float *partial, size_t width) {
    for (size_t c = 0; c < width; c++) sums[c] += (double)partial[c];
}

static void sums_of(const vt_norm_strip *s, double *sums) {
    size_t width = s->width, stride = s->stride;
    memset(sums, 0, width * sizeof *sums);
    for (size_t first = 0; first < s->rows; first += SUM_ROWS) {
        size_t end = s->rows - first < SUM_ROWS ? s->rows : first + SUM_ROWS, row = first;
        float partial[VT_PICTURE_STRIP] = {0};
        for (; row + 4 <= end; row += 4) {
            const float *x = s->x + row * stride;
#pragma omp simd
            for (size_t c = 0; c < width; c++)
                partial[c] += (x[c] + x[c + stride]) + (x[c + 2 * stride] + x[c + 3 * stride]);
        }
        for (; row < end; row++) {
            const float *x = s->x + row * stride;
#pragma omp simd
            for (size_t c = 0; c < width; c++) partial[c] += x[c];
        }
        fold(sums, partial, width);
    }
}

static void squares_of(const vt_norm_strip *s, double *squares) {
    size_t width = s->width, stride = s->stride;
    memset(squares, 0, width * sizeof *squares);
    for (size_t first = 0; first < s->rows; first += SUM_ROWS) {
        size_t end = s->rows - first < SUM_ROWS ? s->rows : first + SUM_ROWS, row = first;
        float partial[VT_PICTURE_STRIP] = {0};
        for (; row + 2 <= end; row += 2) {
            const float *x = s->x + row * stride;
#pragma omp simd
            for (size_t c = 0; c < width; c++) {
                float p = x[c] - s->mean[c], q = x[c + stride] - s->mean[c];
                partial[c] += p * p + q * q;
            }
        }
        for (; row < end; row++) {
            const float *x = s->x + row * stride;
#pragma omp simd
            for (size_t c = 0; c < width; c++)
                partial[c] += (x[c] - s->mean[c]) * (x[c] - s->mean[c]);
        }
        fold(squares, partial, width);
    }
}

static void normalise(const vt_norm_strip *s) {
    for (size_t row = 0; row < s->rows; row++) {
        const float *x = s->x + row * s->stride;
        float *y = s->out + row * s->stride;
        if (s->silu) {
#pragma omp simd
            for (size_t c = 0; c < s->width; c++) {
                float u = (x[c] - s->mean[c]) * s->rstd[c] * s->gamma[c] + s->beta[c];
                y[c] = u * sigmoid(u);
            }
        } else {
#pragma omp simd
            for (size_t c = 0; c < s->width; c++)
                y[c] = (x[c] - s->mean[c]) * s->rstd[c] * s->gamma[c] + s->beta[c];
        }
    }
}

/* d SiLU / du times dy. */
static inline float silu_gradient(float u, float dy) {
    float p = sigmoid(u);
    return dy * p * (1.0f + u * (1.0f - p));
}

/* One row's n and du. */
static inline void row_gradient(const vt_norm_strip *s, size_t row, float *restrict normal,
                                float *restrict du) {
    const float *x = s->x + row * s->stride, *dy = s->dy + row * s->stride;
    if (s->silu) {
#pragma omp simd
        for (size_t c = 0; c < s->width; c++) {
            float n = (x[c] - s->mean[c]) * s->rstd[c];
            normal[c] = n;
            du[c] = silu_gradient(n * s->gamma[c] + s->beta[c], dy[c]);
        }
    } else {
#pragma omp simd
        for (size_t c = 0; c < s->width; c++) {
            normal[c] = (x[c] - s->mean[c]) * s->rstd[c];
            du[c] = dy[c];
        }
    }
}

static void gradient_sums(const vt_norm_strip *s, double *dbeta, double *dgamma) {
    size_t width = s->width;
    memset(dbeta, 0, width * sizeof *dbeta);
    memset(dgamma, 0, width * sizeof *dgamma);
    for (size_t first = 0; first < s->rows; first += SUM_ROWS) {
        size_t end = s->rows - first < SUM_ROWS ? s->rows : first + SUM_ROWS;
        float sum[VT_PICTURE_STRIP] = {0}, product[VT_PICTURE_STRIP] = {0};
        float normal[VT_PICTURE_STRIP], du[VT_PICTURE_STRIP];
        for (size_t row = first; row < end; row++) {
            row_gradient(s, row, normal, du);
#pragma omp simd
            for (size_t c = 0; c < width; c++) {
                sum[c] += du[c];
                product[c] += du[c] * normal[c];
            }
        }
        fold(dbeta, sum, width);
        fold(dgamma, product, width);
    }
}

static void gradient(const vt_norm_strip *s) {
    float normal[VT_PICTURE_STRIP], du[VT_PICTURE_STRIP];
    for (size_t row = 0; row < s->rows; row++) {
        float *dx = s->out + row * s->stride;
        row_gradient(s, row, normal, du);
        if (s->accumulate) {
#pragma omp simd
            for (size_t c = 0; c < s->width; c++)
                dx[c] +=
                    s->rstd[c] * (du[c] * s->gamma[c] - s->mean_d[c] - normal[c] * s->mean_dn[c]);
        } else {
#pragma omp simd
            for (size_t c = 0; c < s->width; c++)
                dx[c] =
                    s->rstd[c] * (du[c] * s->gamma[c] - s->mean_d[c] - normal[c] * s->mean_dn[c]);
        }
    }
}

/* ---- convolutions ---- */

/* One pixel, normalised. */
static inline void map_pixel(const vt_map_pixels *p, const float *restrict x, float *restrict y) {
    const float *restrict center = p->center, *restrict factor = p->factor,
                          *restrict shift = p->shift;
    if (!factor) {
        memcpy(y, x, p->channels * sizeof *y);
    } else if (p->silu) {
#pragma omp simd
        for (size_t c = 0; c < p->channels; c++) {
            float u = (x[c] - center[c]) * factor[c] + shift[c];
            y[c] = u * sigmoid(u);
        }
    } else {
#pragma omp simd
        for (size_t c = 0; c < p->channels; c++)
            y[c] = (x[c] - center[c]) * factor[c] + shift[c];
    }
}

static void map_f32(const vt_map_pixels *p) {
    for (size_t i = 0; i < p->count; i++)
        map_pixel(p, p->x + i * p->x_stride, (float *)p->map + i * p->map_stride);
}

#if defined(__AVX512F__)
/* Sixteen numbers at a time: u SiLU'd to well below bf16's precision. 2^t is a polynomial of t less
 * its nearest integer; the quotient is an estimate and one Newton step. */
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

static inline __m256i bf16_16(__m512 value) {
    __m512i bits = _mm512_castps_si512(value), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    sum = _mm512_srli_epi32(sum, 16);
    sum = _mm512_mask_or_epi32(sum, nan, high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(sum);
}

static void map_bf16(const vt_map_pixels *p) {
    for (size_t i = 0; i < p->count; i++) {
        const float *x = p->x + i * p->x_stride;
        uint16_t *y = (uint16_t *)p->map + i * p->map_stride;
        for (size_t c = 0; c < p->map_stride; c += 16) { /* a multiple of 16 */
            size_t left = p->channels > c ? p->channels - c : 0;
            __mmask16 mask = (__mmask16)(left >= 16 ? 0xffff : (1u << left) - 1u);
            __m512 u = _mm512_maskz_loadu_ps(mask, x + c);
            if (p->factor) {
                u = _mm512_sub_ps(u, _mm512_maskz_loadu_ps(mask, p->center + c));
                u = _mm512_fmadd_ps(u, _mm512_maskz_loadu_ps(mask, p->factor + c),
                                    _mm512_maskz_loadu_ps(mask, p->shift + c));
                if (p->silu) u = silu_16(u);
            }
            _mm256_storeu_si256((__m256i *)(void *)(y + c), bf16_16(u));
        }
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

static void map_bf16(const vt_map_pixels *p) {
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
            for (size_t c = 0; c < channels; c++) {
                float u = (x[c] - center[c]) * factor[c] + shift[c];
                y[c] = bf16_of(u * sigmoid(u));
            }
        } else {
#pragma omp simd
            for (size_t c = 0; c < channels; c++)
                y[c] = bf16_of((x[c] - center[c]) * factor[c] + shift[c]);
        }
        memset(y + channels, 0, (p->map_stride - channels) * sizeof *y);
    }
}
#endif

static void store_tile(const vt_map_tile *t) {
    size_t columns = (size_t)t->columns;
    const float *restrict scale = t->scale, *restrict bias = t->bias;
    for (int r = 0; r < t->rows; r++) {
        const float *restrict tile = t->tile + (size_t)r * t->tile_stride;
        const float *residual = t->residual ? t->residual + (size_t)r * t->y_stride : NULL;
        float *y = t->y + (size_t)r * t->y_stride;
#if defined(__AVX512F__)
        if (t->stream) {
            for (size_t c = 0; c < columns; c += 16) {
                __m512 sum = _mm512_loadu_ps(tile + c);
                if (scale) sum = _mm512_mul_ps(sum, _mm512_loadu_ps(scale + c));
                if (bias) sum = _mm512_add_ps(sum, _mm512_loadu_ps(bias + c));
                if (residual) sum = _mm512_add_ps(sum, _mm512_loadu_ps(residual + c));
                _mm512_stream_ps(y + c, sum);
            }
            continue;
        }
#endif
        /* y may be the residual, number for number */
#pragma omp simd
        for (size_t c = 0; c < columns; c++) {
            float sum = tile[c];
            if (scale) sum *= scale[c];
            if (bias) sum += bias[c];
            if (residual) sum += residual[c];
            y[c] = sum;
        }
    }
}

static void store_end(void) {
#if defined(__AVX512F__)
    _mm_sfence();
#endif
}

static void add_scaled(float *restrict y, float a, const float *restrict x, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) y[i] += a * x[i];
}

static int32_t nearest(const float *norms, const float *dots, size_t n) {
    float best[LANES];
    int32_t at[LANES];
    for (int l = 0; l < LANES; l++) {
        best[l] = INFINITY;
        at[l] = INT32_MAX;
    }
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int l = 0; l < LANES; l++) {
            float v = norms[i + (size_t)l] - 2.0f * dots[i + (size_t)l];
            at[l] = v < best[l] ? (int32_t)i + l : at[l];
            best[l] = v < best[l] ? v : best[l];
        }
    }
    for (int l = 0; i < n; i++, l++) { /* at most one more for each lane, with a larger index */
        float v = norms[i] - 2.0f * dots[i];
        if (!(v < best[l])) continue;
        best[l] = v;
        at[l] = (int32_t)i;
    }
    int winner = 0;
    for (int l = 1; l < LANES; l++)
        if (best[l] < best[winner] || (best[l] == best[winner] && at[l] < at[winner])) winner = l;
    return at[winner] == INT32_MAX ? 0 : at[winner];
}

#define PASTE(a, b) a##b
#define NAME(suffix) PASTE(vt_picture_loops_, suffix)
const vt_picture_loops NAME(VT_LOOPS_SUFFIX) = {
    .sums = sums_of,
    .squares = squares_of,
    .normalise = normalise,
    .gradient_sums = gradient_sums,
    .gradient = gradient,
    .map_f32 = map_f32,
    .map_bf16 = map_bf16,
    .store_tile = store_tile,
    .store_end = store_end,
    .add_scaled = add_scaled,
    .nearest = nearest,
};

/* picture_loops.c - the loops of picture_loops.h, compiled once an instruction set (variant_isa in
 * CMakeLists.txt); the compiler vectorises them, there are no intrinsics.
 *
 * Sums are float over SUM_ROWS rows and double beyond, so that a picture of any size keeps float's
 * precision. */
#include "kern/cpu/isa/picture_loops.h"

#include <math.h>
#include <string.h>

#include "kern/cpu/isa/sigmoid.h"

enum { SUM_ROWS = 256, LANES = 16 };

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
    .add_scaled = add_scaled,
    .nearest = nearest,
};

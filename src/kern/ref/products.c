/* products.c - products with a weight matrix and their gradients, each number one sum in double. */
#include "kern/ref/ref.h"
#include "kern/weight.h"

#include <stdlib.h>

static variant_status weight_open(vt_kern *kern, vt_weight **out, const float *w, int n, int k,
                                  variant_error *err) {
    (void)kern;
    *out = NULL;
    if (!w || n <= 0 || k <= 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "weight: %d x %d numbers at %p, expected a matrix",
                       n, k, (const void *)w);
    vt_weight *weight = malloc(sizeof *weight);
    if (!weight) return vt_fail(err, VARIANT_E_MEMORY, "weight: out of memory");
    *weight = (vt_weight){.w = w, .n = n, .k = k};
    *out = weight;
    return VARIANT_OK;
}

static void weight_refresh(vt_kern *kern, vt_weight *weight) {
    (void)kern; /* read in place: nothing was packed */
    (void)weight;
}

static void weight_close(vt_kern *kern, vt_weight **weight) {
    (void)kern;
    if (!weight) return;
    free(*weight);
    *weight = NULL;
}

static void linear(vt_kern *kern, float *y, const float *x, const vt_weight *w, const float *bias,
                   int groups, int rows) {
    (void)kern;
    size_t n = (size_t)w->n, k = (size_t)w->k, all = (size_t)groups * (size_t)rows;
    for (size_t r = 0; r < all; ++r) {
        for (size_t j = 0; j < n; ++j) {
            double sum = bias ? bias[j] : 0.0;
            for (size_t i = 0; i < k; ++i) sum += (double)x[r * k + i] * w->w[j * k + i];
            y[r * n + j] = (float)sum;
        }
    }
}

static void linear_dx(vt_kern *kern, float *dx, const float *dy, const vt_weight *w, int groups,
                      int rows, bool accumulate) {
    (void)kern;
    size_t n = (size_t)w->n, k = (size_t)w->k, all = (size_t)groups * (size_t)rows;
    for (size_t r = 0; r < all; ++r) {
        for (size_t i = 0; i < k; ++i) {
            double sum = accumulate ? dx[r * k + i] : 0.0;
            for (size_t j = 0; j < n; ++j) sum += (double)dy[r * n + j] * w->w[j * k + i];
            dx[r * k + i] = (float)sum;
        }
    }
}

static void linear_dw(vt_kern *kern, float *dw, float *db, const float *dy, const float *x,
                      int rows, int n, int k) {
    (void)kern;
    size_t all = (size_t)rows, width_n = (size_t)n, width_k = (size_t)k;
    for (size_t j = 0; j < width_n; ++j) {
        for (size_t i = 0; i < width_k; ++i) {
            double sum = dw[j * width_k + i];
            for (size_t r = 0; r < all; ++r)
                sum += (double)dy[r * width_n + j] * x[r * width_k + i];
            dw[j * width_k + i] = (float)sum;
        }
        if (!db) continue;
        double sum = db[j];
        for (size_t r = 0; r < all; ++r) sum += dy[r * width_n + j];
        db[j] = (float)sum;
    }
}

void vt_ref_fill_products(vt_kern *kern) {
    kern->weight_open = weight_open;
    kern->weight_refresh = weight_refresh;
    kern->weight_close = weight_close;
    kern->linear = linear;
    kern->linear_dx = linear_dx;
    kern->linear_dw = linear_dw;
}

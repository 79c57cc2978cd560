/* moments.c - see moments.h. */
#include "eval/moments.h"

#include <stdlib.h>
#include <string.h>

#include "kern/blas.h"

enum { BLOCK = 256 }; /* samples centred at a time */

variant_status vt_moments_open(vt_moments *moments, int dims, variant_error *err) {
    size_t n = (size_t)dims;
    *moments = (vt_moments){.dims = dims};
    moments->mean = calloc(n, sizeof *moments->mean);
    moments->scatter = calloc(n * n, sizeof *moments->scatter);
    if (moments->mean && moments->scatter) return VARIANT_OK;
    vt_moments_close(moments);
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a covariance of %d features", dims);
}

void vt_moments_close(vt_moments *moments) {
    free(moments->mean);
    free(moments->scatter);
    *moments = (vt_moments){0};
}

/* `count` samples, at most BLOCK, centred in `room` (BLOCK, dims) on their mean `own` (dims). */
static void add_block(vt_moments *moments, const float *samples, int count, double *room,
                      double *own) {
    const size_t n = (size_t)moments->dims, rows = (size_t)count;
    memset(own, 0, n * sizeof *own);
    for (size_t r = 0; r < rows; ++r)
        for (size_t i = 0; i < n; ++i) own[i] += (double)samples[r * n + i];
    for (size_t i = 0; i < n; ++i) own[i] /= (double)count;
    for (size_t r = 0; r < rows; ++r)
        for (size_t i = 0; i < n; ++i) room[r * n + i] = (double)samples[r * n + i] - own[i];
    const double before = (double)moments->count, after = before + count;
    const double joint = before * count / after;
    for (size_t i = 0; i < n; ++i) own[i] -= moments->mean[i];
    cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, moments->dims, count, 1.0, room,
                moments->dims, 1.0, moments->scatter, moments->dims);
    cblas_dsyr(CblasRowMajor, CblasUpper, moments->dims, joint, own, 1, moments->scatter,
               moments->dims);
    for (size_t i = 0; i < n; ++i) moments->mean[i] += own[i] * count / after;
    moments->count += count;
}

variant_status vt_moments_add(vt_moments *moments, const float *samples, int count,
                              variant_error *err) {
    const size_t n = (size_t)moments->dims;
    if (count <= 0) return VARIANT_OK;
    double *room = malloc((BLOCK + 1) * n * sizeof *room);
    if (!room) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples", BLOCK);
    const int threads = vt_blas_enter();
    for (int first = 0; first < count; first += BLOCK)
        add_block(moments, samples + (size_t)first * n,
                  count - first < BLOCK ? count - first : BLOCK, room, room + BLOCK * n);
    vt_blas_leave(threads);
    free(room);
    for (size_t i = 0; i < n; ++i)
        for (size_t j = i + 1; j < n; ++j)
            moments->scatter[j * n + i] = moments->scatter[i * n + j];
    return VARIANT_OK;
}

void vt_moments_covariance(const vt_moments *moments, double *out) {
    const size_t n = (size_t)moments->dims;
    const double by = moments->count > 1 ? 1.0 / (double)(moments->count - 1) : 0.0;
    for (size_t i = 0; i < n * n; ++i) out[i] = moments->scatter[i] * by;
}

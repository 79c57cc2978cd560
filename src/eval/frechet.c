/* frechet.c - see frechet.h. */
#include "eval/frechet.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK's symmetric eigenvalue problem, divide and conquer; OpenBLAS carries it under its own name. */
extern void dsyevd_(const char *jobz, const char *uplo, const int *n, double *a, const int *lda,
                    double *w, double *work, const int *lwork, int *iwork, const int *liwork,
                    int *info);

/* Eigenvalues of a (n, n), ascending, into values; with vectors, a's rows become the eigenvectors. */
static variant_status eigen(double *a, int n, double *values, bool vectors, variant_error *err) {
    const char *job = vectors ? "V" : "N";
    int info = 0, query = -1, count = 0;
    double size = 0;
    dsyevd_(job, "U", &n, a, &n, values, &size, &query, &count, &query, &info);
    int length = (int)size;
    double *work = malloc((size_t)length * sizeof *work);
    int *integers = malloc((size_t)count * sizeof *integers);
    variant_status status = VARIANT_OK;
    if (!work || !integers)
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the eigenvalues of %d features", n);
    else
        dsyevd_(job, "U", &n, a, &n, values, work, &length, integers, &count, &info);
    if (status == VARIANT_OK && info != 0)
        status = vt_fail(err, VARIANT_E_FORMAT,
                         "the eigenvalues of a covariance of %d features do not converge", n);
    free(work);
    free(integers);
    return status;
}

static double root(double x) {
    return x > 0 ? sqrt(x) : 0;
}

/* tr (S1 S2)^(1/2). With S1 = V^T L V (V's rows are eigenvectors): the roots of the eigenvalues of
 * L^(1/2) V S2 V^T L^(1/2). room: two (n, n) and one (n). */
static variant_status root_trace(double *out, const double *s1, const double *s2, int n,
                                 double *room, variant_error *err) {
    const size_t size = (size_t)n, square = size * size;
    double *v = room, *product = room + square, *values = product + square;
    memcpy(v, s1, square * sizeof *v);
    VT_TRY(eigen(v, n, values, true, err));
    for (size_t i = 0; i < size; ++i) cblas_dscal(n, root(values[i]), v + i * size, 1);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, n, n, n, 1.0, v, n, s2, n, 0.0, product,
                n);
    double *joint = malloc(square * sizeof *joint);
    if (!joint) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d features", n);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, n, 1.0, product, n, v, n, 0.0, joint,
                n);
    for (size_t i = 0; i < size; ++i) /* symmetric but for rounding */
        for (size_t j = 0; j < i; ++j)
            joint[i * size + j] = joint[j * size + i] =
                0.5 * (joint[i * size + j] + joint[j * size + i]);
    variant_status status = eigen(joint, n, values, false, err);
    *out = 0;
    for (size_t i = 0; i < size; ++i) *out += root(values[i]);
    free(joint);
    return status;
}

variant_status vt_frechet_distance(double *out, const vt_gaussian *a, const vt_gaussian *b,
                                   int dims, variant_error *err) {
    const size_t n = (size_t)dims;
    double distance = 0, trace = 0, roots = 0;
    *out = NAN;
    for (size_t i = 0; i < n; ++i) {
        double d = a->mean[i] - b->mean[i];
        distance += d * d;
        trace += a->covariance[i * n + i] + b->covariance[i * n + i];
    }
    for (size_t i = 0; i < n * n; ++i)
        if (!isfinite(a->covariance[i]) || !isfinite(b->covariance[i]) || !isfinite(distance))
            return vt_fail(err, VARIANT_E_FORMAT,
                           "a mean or covariance of %d features holds a number that is not finite",
                           dims);
    double *room = malloc((2 * n * n + n) * sizeof *room);
    if (!room) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d features", dims);
    variant_status status = root_trace(&roots, a->covariance, b->covariance, dims, room, err);
    free(room);
    if (status == VARIANT_OK) *out = distance + trace - 2 * roots;
    return status;
}

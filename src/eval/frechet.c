/* frechet.c - the distance by two symmetric eigendecompositions.
 *
 * tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of S1^(1/2) S2 S1^(1/2). That matrix is
 * symmetric, so singular covariances (fewer samples than features) need no special care; eigenvalues
 * below zero are rounding and count as zero. With S1 = V diag(w) V^T the same eigenvalues belong to
 * R^T S2 R, R = V diag(w)^(1/2), which saves the last product. */
#include "eval/frechet.h"

#include <cblas.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* LAPACK, which OpenBLAS holds; the hidden lengths of the two letters come last. */
void dsyevd_(const char *job, const char *half, const int *n, double *a, const int *lda,
             double *values, double *work, const int *work_size, int *iwork, const int *iwork_size,
             int *info, size_t job_length, size_t half_length);

static bool is_finite(const double *values, size_t count) {
    for (size_t i = 0; i < count; ++i)
        if (!isfinite(values[i])) return false;
    return true;
}

/* Eigenvalues (n) of the symmetric matrix (n, n), ascending; with vectors, row i of matrix becomes
 * the i-th eigenvector. */
static variant_status decompose(double *matrix, int n, bool vectors, double *values,
                                variant_error *err) {
    variant_status status = VARIANT_OK;
    const char *job = vectors ? "V" : "N";
    double size = 0.0, *work = NULL;
    int info = 0, isize = 0, ask = -1, *iwork = NULL;
    dsyevd_(job, "U", &n, matrix, &n, values, &size, &ask, &isize, &ask, &info, 1, 1);
    int work_size = (int)size;
    work = info ? NULL : malloc((size_t)work_size * sizeof *work);
    iwork = info ? NULL : malloc((size_t)isize * sizeof *iwork);
    if (!work || !iwork) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory to decompose %d x %d covariances", n, n);
        goto cleanup;
    }
    dsyevd_(job, "U", &n, matrix, &n, values, work, &work_size, iwork, &isize, &info, 1, 1);
    if (info)
        status = vt_fail(err, VARIANT_E_FORMAT,
                         "the eigenvalues of a %d x %d covariance were not found", n, n);
cleanup:
    free(iwork);
    free(work);
    return status;
}

variant_status vt_frechet_distance(double *out, const vt_gaussian *a, const vt_gaussian *b,
                                   int dims, variant_error *err) {
    if (dims < 1) return vt_fail(err, VARIANT_E_ARGUMENT, "Frechet distance of %d features", dims);
    size_t n = (size_t)dims, square = n * n;
    if (!is_finite(a->mean, n) || !is_finite(b->mean, n) || !is_finite(a->covariance, square) ||
        !is_finite(b->covariance, square))
        return vt_fail(err, VARIANT_E_FORMAT,
                       "a mean or covariance holds a number that is not finite");

    variant_status status = VARIANT_OK;
    double *root = malloc(square * sizeof *root), *product = malloc(square * sizeof *product);
    double *inner = malloc(square * sizeof *inner), *values = malloc(n * sizeof *values);
    if (!root || !product || !inner || !values) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for covariances of %d features", dims);
        goto cleanup;
    }
    /* root = diag(w)^(1/2) V^T: row i is an eigenvector of S1 times the root of its eigenvalue */
    memcpy(root, a->covariance, square * sizeof *root);
    VT_CHECK(decompose(root, dims, true, values, err));
    for (size_t i = 0; i < n; ++i)
        cblas_dscal(dims, values[i] > 0.0 ? sqrt(values[i]) : 0.0, root + i * n, 1);

    /* inner = root S2 root^T */
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, dims, dims, dims, 1.0, root, dims,
                b->covariance, dims, 0.0, product, dims);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, dims, dims, dims, 1.0, product, dims, root,
                dims, 0.0, inner, dims);
    VT_CHECK(decompose(inner, dims, false, values, err));

    double distance = 0.0;
    for (size_t i = 0; i < n; ++i) {
        double apart = a->mean[i] - b->mean[i];
        distance += apart * apart + a->covariance[i * n + i] + b->covariance[i * n + i];
        if (values[i] > 0.0) distance -= 2.0 * sqrt(values[i]);
    }
    *out = distance > 0.0 ? distance : 0.0;
cleanup:
    free(values);
    free(inner);
    free(product);
    free(root);
    return status;
}

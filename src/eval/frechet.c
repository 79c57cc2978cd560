/* frechet.c - the distance by two symmetric eigendecompositions.
 *
 * tr (S1 S2)^(1/2) is the sum of the roots of the eigenvalues of S1^(1/2) S2 S1^(1/2). That matrix is
 * symmetric, so singular covariances (fewer samples than features) need no special care; eigenvalues
 * below zero are rounding and count as zero. With S1 = V diag(w) V^T the same eigenvalues belong to
 * R^T S2 R, R = V diag(w)^(1/2), which saves the last product. BLAS and LAPACK run on the calling thread alone:
 * their threads would change the order of sums, and so the last digits. */
#include "eval/frechet.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kern/blas.h"

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
    const int threads = vt_blas_enter();
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
    vt_blas_leave(threads);
    free(iwork);
    free(work);
    return status;
}

variant_status vt_eigenvalue_range(const double *matrix, int dims, double *least, double *most,
                                   variant_error *err) {
    size_t n = (size_t)dims;
    double *copy = malloc(n * n * sizeof *copy), *values = malloc(n * sizeof *values);
    variant_status status = VARIANT_OK;
    if (!copy || !values)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for covariances of %d features", dims));
    memcpy(copy, matrix, n * n * sizeof *copy);
    VT_CHECK(decompose(copy, dims, false, values, err));
    *least = values[0];
    *most = values[n - 1];
cleanup:
    free(values);
    free(copy);
    return status;
}

/* diag(w)^(1/2) V^T: row i is an eigenvector times the root of its eigenvalue. */
variant_status vt_frechet_root(double *root, const double *covariance, int dims,
                               variant_error *err) {
    size_t n = (size_t)dims;
    double *values = malloc(n * sizeof *values);
    if (!values)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for covariances of %d features", dims);
    memcpy(root, covariance, n * n * sizeof *root);
    variant_status status = decompose(root, dims, true, values, err);
    for (size_t i = 0; status == VARIANT_OK && i < n; ++i)
        cblas_dscal(dims, values[i] > 0.0 ? sqrt(values[i]) : 0.0, root + i * n, 1);
    free(values);
    return status;
}

variant_status vt_frechet_from_root(double *out, const vt_gaussian *a, const double *root,
                                    const vt_gaussian *b, double *room, int dims,
                                    variant_error *err) {
    size_t n = (size_t)dims, square = n * n;
    double *product = room, *inner = room + square, *values = room + 2 * square, distance = 0.0;
    const int threads = vt_blas_enter();
    /* inner = root S2 root^T */
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, dims, dims, dims, 1.0, root, dims,
                b->covariance, dims, 0.0, product, dims);
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, dims, dims, dims, 1.0, product, dims, root,
                dims, 0.0, inner, dims);
    vt_blas_leave(threads);
    VT_TRY(decompose(inner, dims, false, values, err));
    for (size_t i = 0; i < n; ++i) {
        double apart = a->mean[i] - b->mean[i];
        distance += apart * apart + a->covariance[i * n + i] + b->covariance[i * n + i];
        if (values[i] > 0.0) distance -= 2.0 * sqrt(values[i]);
    }
    if (!isfinite(distance))
        return vt_fail(
            err, VARIANT_E_FORMAT,
            "the Frechet distance is not finite: the means or covariances are too large");
    *out = distance > 0.0 ? distance : 0.0;
    return VARIANT_OK;
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
    double *root = malloc((3 * square + n) * sizeof *root);
    if (!root)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for covariances of %d features", dims);
    VT_CHECK(vt_frechet_root(root, a->covariance, dims, err));
    VT_CHECK(vt_frechet_from_root(out, a, root, b, root + square, dims, err));
cleanup:
    free(root);
    return status;
}

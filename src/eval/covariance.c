/* covariance.c - see covariance.h. */
#include "eval/covariance.h"

#include <math.h>

#include "eval/frechet.h"

static variant_status check_finite(const double *matrix, size_t n, const char *what,
                                   variant_error *err) {
    for (size_t i = 0; i < n * n; ++i)
        if (!isfinite(matrix[i]))
            return vt_fail(err, VARIANT_E_FORMAT, "%s holds %g at row %zu, column %zu", what,
                           matrix[i], i / n, i % n);
    return VARIANT_OK;
}

/* The largest difference of a matrix from its transpose, and where it is. */
static double asymmetry(const double *matrix, size_t n, size_t *row, size_t *column) {
    double most = 0;
    *row = *column = 0;
    for (size_t i = 0; i < n; ++i)
        for (size_t j = i + 1; j < n; ++j) {
            double apart = fabs(matrix[i * n + j] - matrix[j * n + i]);
            if (apart <= most) continue;
            most = apart;
            *row = i;
            *column = j;
        }
    return most;
}

variant_status vt_covariance_check(double *matrix, int dims, double step, const char *what,
                                   variant_error *err) {
    const size_t n = (size_t)dims;
    double least, most;
    size_t row, column;
    VT_TRY(check_finite(matrix, n, what, err));
    double apart = asymmetry(matrix, n, &row, &column);
    double above = matrix[row * n + column], below = matrix[column * n + row];
    for (size_t i = 0; i < n; ++i)
        for (size_t j = i + 1; j < n; ++j)
            matrix[i * n + j] = matrix[j * n + i] =
                0.5 * matrix[i * n + j] + 0.5 * matrix[j * n + i];
    VT_TRY(vt_eigenvalue_range(matrix, dims, &least, &most, err));
    double allowed = 4 * step * sqrt((double)dims) * (most > -least ? most : -least);
    if (apart > allowed)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s is no covariance: it is not symmetric (%.6g at row %zu, column %zu, "
                       "and %.6g on the other side; smallest eigenvalue of the mean of both "
                       "sides %.6g, largest %.6g)",
                       what, above, row, column, below, least, most);
    if (-least > allowed)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s is no covariance: its smallest eigenvalue is %.6g, the largest %.6g; "
                       "expected none below 0",
                       what, least, most);
    return VARIANT_OK;
}

/* psnr.c - see psnr.h. */
#include "core/psnr.h"

#include <math.h>

double vt_psnr_of_mse(double mse) {
    if (!isfinite(mse) || mse < 0.0) return (double)NAN;
    double psnr = mse > 0.0 ? -10.0 * log10(mse) : VT_PSNR_MOST;
    return psnr < VT_PSNR_MOST ? psnr : VT_PSNR_MOST;
}

size_t vt_first_not_finite(const float *values, size_t count) {
    for (size_t i = 0; i < count; ++i)
        if (!isfinite(values[i])) return i;
    return count;
}

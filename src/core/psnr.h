/* psnr.h - the peak signal-to-noise ratio, by one convention wherever pictures are compared. */
#ifndef VT_CORE_PSNR_H
#define VT_CORE_PSNR_H

#include <stddef.h>

/* What an exact copy counts as, and the most there is: infinity would be the mean of any set that holds one. */
#define VT_PSNR_MOST 100.0

/* 10 log10 (1 / mse) dB of samples in [0, 1], at most VT_PSNR_MOST. An error that is no number or not finite is no
 * score: NAN. */
double vt_psnr_of_mse(double mse);

/* Index of the first number that is not finite; count where there is none. */
size_t vt_first_not_finite(const float *values, size_t count);

#endif

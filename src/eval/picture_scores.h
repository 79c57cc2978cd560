/* picture_scores.h - how near one picture is to another: what a tokenizer is judged by. */
#ifndef VT_EVAL_PICTURE_SCORES_H
#define VT_EVAL_PICTURE_SCORES_H

#include "core/status.h"

/* 10 log10 (1 / mean squared difference) of n samples in [0, 1], dB, by the convention of core/psnr.h. */
double vt_psnr(const float *a, const float *b, size_t n);

/* Structural similarity (Wang et al. 2004): windows of 11 x 11 with Gaussian weights of sigma 1.5, K1 =
 * 0.01, K2 = 0.03, over the windows that lie wholly inside, the mean over channels. Pictures (height,
 * width, channels) in [0, 1], sides of at least 11; NAN below. */
double vt_ssim(const float *a, const float *b, int height, int width, int channels);

#endif

/* moments.h - mean and covariance of feature vectors, in float64, as a stream.
 *
 * Fifty thousand samples of 2048 features are 400 MB; their moments are 32. A block is centred on its own
 * mean and joined to what was there by the formula for two sets (Chan, Golub, LeVeque 1979), so that
 * nothing is lost to the difference of two large sums. Filled by eval.c and reference.c, read by
 * frechet.c. */
#ifndef VT_EVAL_MOMENTS_H
#define VT_EVAL_MOMENTS_H

#include "core/status.h"

typedef struct vt_moments {
    int dims;
    int64_t count;
    double *mean;    /* (dims) */
    double *scatter; /* (dims, dims), symmetric: sum over samples of (x - mean)(x - mean)^T */
} vt_moments;

variant_status vt_moments_open(vt_moments *moments, int dims, variant_error *err);
void vt_moments_close(vt_moments *moments);
/* Adds samples (count, dims). */
variant_status vt_moments_add(vt_moments *moments, const float *samples, int count,
                              variant_error *err);
/* scatter / (count - 1) into out (dims, dims); zeros below two samples. */
void vt_moments_covariance(const vt_moments *moments, double *out);

#endif

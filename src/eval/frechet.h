/* frechet.h - the Frechet distance of two Gaussians (Dowson, Landau 1982), which FID is:
 *
 *     |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)
 *
 * The trace of the root is the sum of the roots of the eigenvalues of S1^(1/2) S2 S1^(1/2): symmetric, so
 * that singular covariances (fewer samples than features) need no special care, and small negative
 * eigenvalues, which are rounding, count as zero. */
#ifndef VT_EVAL_FRECHET_H
#define VT_EVAL_FRECHET_H

#include "core/status.h"

typedef struct vt_gaussian {
    const double *mean;       /* (dims) */
    const double *covariance; /* (dims, dims), symmetric */
} vt_gaussian;

/* E_FORMAT where a number is not finite, E_MEMORY. */
variant_status vt_frechet_distance(double *out, const vt_gaussian *a, const vt_gaussian *b,
                                   int dims, variant_error *err);

#endif

/* frechet.h - the Frechet distance of two Gaussians (Dowson, Landau 1982), which FID is:
 *
 *     |m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2)
 *
 * Called by whoever scores pictures with moments of their features. Everything is float64: the four
 * terms are large and their sum small where the Gaussians are near each other. */
#ifndef VT_EVAL_FRECHET_H
#define VT_EVAL_FRECHET_H

#include "core/status.h"

typedef struct vt_gaussian {
    const double *mean;       /* (dims) */
    const double *covariance; /* (dims, dims), symmetric */
} vt_gaussian;

/* Root R of a covariance, (dims, dims): R^T R is the covariance, eigenvalues below zero count as zero. */
variant_status vt_frechet_root(double *root, const double *covariance, int dims,
                               variant_error *err);
/* The distance of `a`, whose root is known, from b. room: 2 dims^2 + dims numbers. Nothing is checked: for many
 * distances from one Gaussian. */
variant_status vt_frechet_from_root(double *out, const vt_gaussian *a, const double *root,
                                    const vt_gaussian *b, double *room, int dims,
                                    variant_error *err);
/* The smallest and the largest eigenvalue of a symmetric matrix (dims, dims). */
variant_status vt_eigenvalue_range(const double *matrix, int dims, double *least, double *most,
                                   variant_error *err);

/* Never negative; the same whatever the number of threads. E_ARGUMENT for dims < 1, E_FORMAT where a number is not finite, E_MEMORY. */
variant_status vt_frechet_distance(double *out, const vt_gaussian *a, const vt_gaussian *b,
                                   int dims, variant_error *err);

#endif

/* covariance.h - is a matrix from a file a covariance? Statistics of other programs come as bare matrices; one
 * that is none still gives a number, and a meaningless one. Called by reference.c. */
#ifndef VT_EVAL_COVARIANCE_H
#define VT_EVAL_COVARIANCE_H

#include "core/status.h"

/* How fine the numbers are that a covariance was made of or kept in: steps between 1 and 2. */
#define VT_FLOAT32_STEP 0x1p-23
#define VT_FLOAT16_STEP 0x1p-10

/* Checks a matrix (dims, dims) and makes it exactly symmetric. `what` begins the message: "x.npz: sigma".
 * E_FORMAT: not finite, not symmetric, or an eigenvalue below zero, by more than rounding explains.
 *
 * What rounding explains: features are float32 almost everywhere, so even a float64 matrix may hold sums of
 * float32, and errors of one step in each entry, independent of each other, move eigenvalues by at most about
 * sqrt(dims) steps of the largest. Four times that is allowed: 2e-5 of the largest eigenvalue for 2048 features,
 * 4e-6 for 64. Singular covariances (fewer samples than features) of NumPy and PyTorch went to -2e-16 in float64,
 * -2e-8 in float32, and -2e-7 where the square of the mean was subtracted in float32.
 * Asymmetry is held against the same bound. */
variant_status vt_covariance_check(double *matrix, int dims, double step, const char *what,
                                   variant_error *err);

#endif

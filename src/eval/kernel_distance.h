/* kernel_distance.h - KID (Binkowski et al., arXiv 1801.01401): how far generated samples' features lie from real ones', as the squared
 * maximum mean discrepancy under the kernel k(x, y) = (x y / dims + 1)^3. Its estimate is free of bias for any number of samples, where the
 * Frechet distance of few is too high. Needs the samples themselves (neighbours.h). Called by eval.c. */
#ifndef VT_EVAL_KERNEL_DISTANCE_H
#define VT_EVAL_KERNEL_DISTANCE_H

#include "eval/neighbours.h"

enum {
    VT_KERNEL_BLOCK = 1000, /* samples a side that are compared with each other, at most ... */
    VT_KERNEL_LEAST = 100,  /* ... and, where they can be as many as this, ... */
    VT_KERNEL_BLOCKS = 10   /* ... blocks of them that the estimate is the mean of, at least two */
};

/* Both sets hold equally many, 2 or more. The mean over blocks, which are drawn at random, since samples come
 * sorted by class, or one class after another; spread: the standard deviation of
 * that mean, from the blocks' own; NAN with one block. Below 0 where the sets are as near as chance lets them be. */
variant_status vt_kernel_distance(double *distance, double *spread, const vt_samples *real,
                                  const vt_samples *generated, int dims, variant_error *err);

#endif

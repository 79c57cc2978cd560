/* neighbours.h - precision and recall by nearest neighbours (Kynkaanniemi et al., arXiv 1904.06991).
 *
 * A set's manifold is the union of balls around its samples, each reaching to the sample's k-th nearest
 * neighbour within the set. Precision: the share of generated samples inside the manifold of the real ones;
 * recall: the share of real samples inside the manifold of the generated ones. Needs the samples
 * themselves, so eval.c and reference.c keep a limited number: any of the stream with the same chance,
 * because data sets come sorted by class. */
#ifndef VT_EVAL_NEIGHBOURS_H
#define VT_EVAL_NEIGHBOURS_H

#include "core/threads.h"

typedef struct vt_samples {
    const float *features; /* (held, dims) */
    int held;
    int count; /* of the held, evenly spread */
} vt_samples;

/* Keeps `most` of a stream in kept (most, dims), of which kept_count are filled: takes samples (count,
 * dims), `seen` came before them. */
void vt_keep(float *kept, int *kept_count, int most, int64_t seen, const float *samples, int count,
             int dims);

/* Squared distances of all of a from all of b, as (a's count, b's count). */
variant_status vt_square_distances(float *out, const vt_samples *a, const vt_samples *b, int dims,
                                   variant_error *err);

/* On the threads of `team` (NULL: one). E_ARGUMENT unless both sets hold more than k samples. */
variant_status vt_precision_recall(double *precision, double *recall, const vt_samples *real,
                                   const vt_samples *generated, int dims, int k, vt_team *team,
                                   variant_error *err);

#endif

/* batches.h - which pictures a step sees, and the pictures themselves.
 *
 * An epoch is a permutation of the pictures, keyed by (seed, epoch), of which whole batches are
 * taken; what is left over at its end is dropped. Mirroring and cropping are keyed by (seed, step,
 * place in the batch). So a step's batch is a function of its number, and nothing about it need be
 * stored in a checkpoint. */
#ifndef VT_TRAIN_BATCHES_H
#define VT_TRAIN_BATCHES_H

#include "core/threads.h"
#include "io/dataset.h"

/* Some pictures of a dataset: `count` of them, evenly spread, or all. Broken pictures are noted
 * once and replaced by another one of their class. */
typedef struct vt_pictures {
    const vt_dataset *dataset; /* borrowed; pictures of side + crop pixels */
    int count;
    int side, channels, crop;
    vt_team *team;   /* reads them; borrowed */
    uint8_t *broken; /* (dataset count): noted already */
    void (*note)(void *user, const char *line);
    void *user;
} vt_pictures;

typedef struct vt_pictures_options {
    const vt_dataset *dataset;
    int limit; /* 0: all */
    int side, channels, crop;
    vt_team *team;                              /* reads in parallel; NULL: one thread */
    void (*note)(void *user, const char *line); /* may be NULL */
    void *user;
} vt_pictures_options;
variant_status vt_pictures_open(vt_pictures *out, const vt_pictures_options *options,
                                variant_error *err);
void vt_pictures_close(vt_pictures *pictures);
int vt_pictures_index(const vt_pictures *pictures, int position); /* in the dataset */
int vt_pictures_label(const vt_pictures *pictures, int position);

/* One picture of a batch: its position and how it is varied. The window's corner lies at (x, y) of
 * the crop's slack. */
typedef struct vt_pick {
    int position;
    bool flip;
    int x, y;
} vt_pick;
/* Reads `count` picks into out (count, side, side, channels), in parallel. */
variant_status vt_pictures_read(const vt_pictures *pictures, const vt_pick *picks, int count,
                                float *out, variant_error *err);

/* Pictures [first, first + count) of a batch of `of`: what is computed at a time. Loss and gradient of a
 * slice are sums over its pictures divided by `of`, so those of a batch's slices add up to the batch's. */
typedef struct vt_slice {
    int first, count, of;
} vt_slice;
/* The i-th of `parts` parts of a slice, as even as they can be; the largest has vt_slice_most of them. */
vt_slice vt_slice_part(const vt_slice *slice, int parts, int i);
int vt_slice_most(const vt_slice *slice, int parts);

typedef struct vt_batches {
    int count, batch, crop;
    bool flip;
    uint64_t seed;
    uint32_t *order; /* (count): the permutation of order_epoch */
    int64_t order_epoch;
    vt_pick *picks; /* (batch): of the step last selected */
} vt_batches;

variant_status vt_batches_open(vt_batches *out, int count, int batch, bool flip, int crop,
                               uint64_t seed, variant_error *err);
void vt_batches_close(vt_batches *batches);
int64_t vt_batches_per_epoch(const vt_batches *batches);
/* Fills batches->picks for step 0, 1, ... */
void vt_batches_select(vt_batches *batches, int64_t step);
/* Likewise picks (batch); false: the step is of another epoch than the last selected. */
bool vt_batches_pick(const vt_batches *batches, int64_t step, vt_pick *picks);

#endif

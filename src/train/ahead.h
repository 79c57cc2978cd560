/* ahead.h - the pictures of a run's steps, those of the next slice of a batch read while this one computes.
 *
 * What a slice gets is what reading it there and then gives: the same bytes, and what is to be said of broken pictures, and errors,
 * come with the slice that shows them. One slice is held; the first of an epoch, and one that was not
 * expected, is read when it is asked for. Threads: one caller. */
#ifndef VT_TRAIN_AHEAD_H
#define VT_TRAIN_AHEAD_H

#include "train/batches.h"

typedef struct vt_ahead vt_ahead;

/* `pictures` is borrowed, until it is closed; `threads` of its own read slices of at most `most` pictures of a batch. */
variant_status vt_ahead_open(vt_ahead **out, const vt_pictures *pictures, int batch, int most,
                             int threads, variant_error *err);
/* Waits for what is being read. NULL is allowed. */
void vt_ahead_close(vt_ahead **ahead);
/* What it holds of host memory, or will once it reads. */
size_t vt_ahead_bytes(const vt_pictures *pictures, int batch, int most);

/* Pictures of a step. step -1: none. */
typedef struct vt_ahead_place {
    int64_t step;
    vt_slice slice;
} vt_ahead_place;
/* Those of `at`, the step that batches have selected, into out (slice count, side, side, channels). next: what will be asked for
 * then. ahead NULL: reads them now. */
variant_status vt_ahead_read(vt_ahead *ahead, const vt_pictures *pictures,
                             const vt_batches *batches, const vt_ahead_place *at,
                             const vt_ahead_place *next, float *out, variant_error *err);

#endif

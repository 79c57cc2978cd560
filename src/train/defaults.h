/* defaults.h - what a run takes that its options leave open: from the run it goes on with, else from the data
 * (choose.h); and how long it is, at which rates.
 *
 * A run that goes on asks the checkpoint first, so that a command line as short as the first one's
 * is the same run, and a later version's other choices are not another run. */
#ifndef VT_TRAIN_DEFAULTS_H
#define VT_TRAIN_DEFAULTS_H

#include "train/choose.h"
#include "train/loop.h"

/* Where *value is 0 (below 0 for the second): what the run that is gone on with has. */
void vt_defaults_recall_int(const vt_train_loop *loop, const char *key, int *value);
void vt_defaults_recall_double(const vt_train_loop *loop, const char *key, double *value);
/* Likewise a list, where *count is 0. */
void vt_defaults_recall_list(const vt_train_loop *loop, const char *key, int most, int *list,
                             int *count);

/* Remembers "--NAME VALUE" for the note below, where it was not given (given: its value before) and
 * the run is a new one. */
void vt_defaults_chose(vt_train_loop *loop, int given, const char *name, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
void vt_defaults_chose_list(vt_train_loop *loop, int given, const char *name, const int *list,
                            int count);
/* "chosen: --side 64 --mult 1,2,2 ..", once all is known. */
void vt_defaults_note(vt_train_loop *loop);

/* What a run's length and rates follow from. */
typedef struct vt_run_extent {
    vt_train_kind kind;
    int pictures;
    int width;       /* of a transformer */
    bool trained_on; /* a given model */
    int64_t steps_per_epoch;
} vt_run_extent;
/* Sets the loop's steps, and of `common`, which are the loop's options, the learning rate's fields that
 * are open. E_ARGUMENT: the run that is gone on with is longer already. */
variant_status vt_defaults_length(vt_train_loop *loop, vt_train_common *common,
                                  const vt_run_extent *extent, variant_error *err);
/* The batch, where it is 0. */
void vt_defaults_batch(vt_train_loop *loop, vt_train_common *common, vt_train_kind kind,
                       int pictures, int side);
/* Epochs of the run as it is now. */
double vt_defaults_epochs(const vt_train_loop *loop);

#endif

/* loop.h - the steps of a training, and what happens every so many of them: a line of the log, an
 * evaluation, a contact sheet, a checkpoint.
 *
 * vt_train_loop is a run while it runs; vt_trainer is what one kind of training does its own way. run.h
 * leads a run from its data to its last step and calls vt_train_loop_run here. */
#ifndef VT_TRAIN_LOOP_H
#define VT_TRAIN_LOOP_H

#include "io/dataset.h"
#include "train/ahead.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/choose.h"
#include "train/log.h"
#include "train/together.h"
#include "train/trainer.h"

/* The pictures of a run. */
typedef struct vt_train_data {
    vt_data source;           /* as opened: its choices belong to the settings */
    vt_dataset *train, *test; /* test NULL: none */
    vt_pictures pictures, test_pictures;
    vt_batches batches;
    vt_ahead *ahead; /* reads them; NULL: they are in memory already, or become tokens */
    int class_count;
    char **class_names; /* (class_count), owned */
} vt_train_data;

typedef struct vt_train_loop {
    /* Computes. Until the memory is measured it is one that holds nothing (kern/dry.h), and so are the
     * models opened over it. */
    vt_kern *kern;
    const vt_train_common *options;
    vt_train_data data;
    vt_params *params; /* of the model in training */
    vt_params *frozen; /* of one that serves it and stays as it is; NULL: none */
    vt_params *beside; /* likewise, of what goes with that one into its file; NULL: none */
    vt_arena arena;    /* of the whole run; what a step takes from it goes back after the step */
    void *memory;
    size_t memory_bytes;
    size_t host_bytes; /* taken with vt_train_host */
    vt_settings settings;
    int32_t *counters; /* of the trainer, part of the checkpoint (counter_count); NULL: none */
    int counter_count;
    vt_log log;
    int64_t step, steps; /* done, in all */
    int64_t steps_per_epoch;
    vt_together together;    /* the ranks that run it */
    vt_slice part;           /* of the step's batch: what this process computes, ... */
    int slices;              /* ... in so many slices ... */
    vt_slice slice;          /* ... of which this one is at hand, */
    int slice_at;            /* the how-manieth, from 0 */
    double loss, norm, rate; /* of the step just run */
    int path;                /* that the step ran: which running mean the loss belongs to */
    vt_spikes spikes;
    /* since the last line of the log */
    int64_t line_steps;
    double line_loss, line_norm, line_started, line_rate;
    char folder[4000]; /* "" in a dry run that names none */
    vt_past *past;     /* the run that this one goes on with; NULL: none */
    char chosen[1000]; /* options that follow from the data, as they would be given */
} vt_train_loop;

/* What a trainer needs of the data; `shape` fills it. */
typedef struct vt_train_wanted {
    vt_data source;
    int side, channels; /* channels 0: what the data have */
    int crop;           /* training pictures come this much larger */
    bool trained_on;    /* a given model is the beginning: lower rates */
} vt_train_wanted;

/* What one kind of training does its own way, in the order in which it is asked; `self` is its state. Hooks
 * that say so may be NULL. */
typedef struct vt_trainer {
    vt_train_kind kind;
    void *self;
    vt_train_common *common; /* the trainer's copy: what is open in it is settled on the way */

    /* ---- before there is memory ---- */

    /* What the pictures must be; all of the shape that does not depend on them. */
    variant_status (*shape)(void *self, vt_train_loop *loop, vt_train_wanted *wanted,
                            variant_error *err);
    /* The rest of the shape, now that loop->data is open; *width: of a transformer. */
    variant_status (*size)(void *self, vt_train_loop *loop, int *width, variant_error *err);
    /* What depends on the length, which is known now; or NULL. */
    variant_status (*settle)(void *self, vt_train_loop *loop, variant_error *err);

    /* ---- the model: opened, rehearsed and closed over a backend that holds nothing, then opened ---- */

    /* Models with values, gradients and moments, and buffers of the host; sets loop->params. */
    variant_status (*open)(void *self, vt_train_loop *loop, variant_error *err);
    /* After the values have come, from `open` or from a checkpoint: prepares weights for products. */
    variant_status (*prepare)(void *self, vt_train_loop *loop, variant_error *err);
    /* Runs everything once that will take memory from the arena; what is left of *memory is filled. */
    variant_status (*rehearse)(void *self, vt_train_loop *loop, vt_train_memory *memory,
                               variant_error *err);
    /* status; E_IO where a file that is mapped while the run goes on was cut short: what was made since is worth nothing. Or NULL:
     * there is none. */
    variant_status (*whole)(void *self, variant_status status, variant_error *err);
    /* The opposite of open; also after a failure in it, and twice. */
    void (*close)(void *self);
    /* Options that must be equal for a run to be the same run, after those that every training has. */
    variant_status (*describe_settings)(void *self, vt_train_loop *loop, variant_error *err);
    /* What lies between the model and the first step, such as tokens; or NULL. */
    variant_status (*begin)(void *self, vt_train_loop *loop, variant_error *err);

    /* ---- steps ---- */

    /* What all slices of loop->step share, its pictures being chosen; sets loop->path where there are
     * several (spike.h). What it takes from the arena stays until `updated` has returned. Or NULL. */
    variant_status (*plan)(void *self, vt_train_loop *loop, variant_error *err);
    /* Forward and backward of loop->slice: adds its gradient, and its share to loop->loss. */
    variant_status (*step)(void *self, vt_train_loop *loop, variant_error *err);
    /* After the last slice, whether or not its update follows: counts the step. Or NULL. */
    void (*count)(void *self, vt_train_loop *loop);
    /* After the optimizer changed the values: anything else that changes them, then refresh
     * prepared weights. */
    variant_status (*updated)(void *self, vt_train_loop *loop, variant_error *err);
    /* Its measures since the last line become the sums of all ranks'; one process has no use for it. */
    void (*unite)(void *self, variant_ranks *ranks);
    /* Adds its measures since the last line to the log line, and forgets them. */
    void (*describe)(void *self, vt_train_loop *loop, cJSON *line);
    /* On the test pictures, where there are some; or NULL. */
    variant_status (*evaluate)(void *self, vt_train_loop *loop, cJSON *line, variant_error *err);
    variant_status (*sample)(void *self, vt_train_loop *loop, const char *path,
                             variant_error *err); /* or NULL */

    /* ---- files ---- */

    const char *file; /* name of the model alone in the run's folder, for use */
    /* The model, for a checkpoint and for its own file; borrowed from self. */
    vt_model_save (*model)(void *self, vt_train_loop *loop);
    /* Writes the model's own file where it is more than `model`, which is then the checkpoint's alone; training: the
     * settings as JSON. Or NULL. */
    variant_status (*write)(void *self, vt_train_loop *loop, const char *path, const char *training,
                            variant_error *err);
    /* What goes beside the model's own file when a run ends; or NULL. */
    variant_status (*finish)(void *self, vt_train_loop *loop, variant_error *err);
} vt_trainer;

variant_status vt_train_common_check(const vt_train_common *options, variant_error *err);
void vt_train_common_init(vt_train_common *options);

/* Looks up the run to go on with, refuses to overwrite one; touches nothing. */
variant_status vt_train_loop_begin(vt_train_loop *loop, vt_kern *kern,
                                   const vt_train_common *options, variant_error *err);
/* Reserves an arena of so many bytes. */
variant_status vt_train_loop_open(vt_train_loop *loop, size_t bytes, variant_error *err);
void vt_train_loop_close(vt_train_loop *loop);
/* count things of `size` bytes of host memory, for as long as the model; free() it. NULL: none left. */
void *vt_train_host(vt_train_loop *loop, size_t count, size_t size);
/* Gradients and moments of loop->params, whose values are there; of several ranks what makes one step of theirs. */
variant_status vt_train_loop_gradients(vt_train_loop *loop, variant_error *err);
/* The next backward pass is the last of the slice: of the last slice, gradients travel as they become whole. */
void vt_train_loop_last_pass(vt_train_loop *loop);
/* Is this the rank that writes files and tells the caller? */
bool vt_train_loop_first(const vt_train_loop *loop);
/* What the first rank that failed returns is returned by all. */
variant_status vt_train_loop_agree(vt_train_loop *loop, variant_status status, variant_error *err);
/* The settings that every training has; once its length and rates are known. */
void vt_train_settings_common(vt_train_loop *loop, const char *training, uint64_t data_hash);
/* "FOLDER/name" into out. */
void vt_train_loop_path(const vt_train_loop *loop, const char *name, char *out, size_t size);
/* Values, moments, counters and the loop's step from the checkpoint of the run that this one goes on with;
 * does nothing for a new run. */
variant_status vt_train_loop_restore(vt_train_loop *loop, variant_error *err);
void vt_train_loop_note(const vt_train_loop *loop, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* A line of log.jsonl, which the caller's function sees as well. */
variant_status vt_train_loop_log(vt_train_loop *loop, const cJSON *line, variant_error *err);
bool vt_train_loop_stopping(const vt_train_loop *loop);
/* The pictures of loop->slice into out (slice count, side, side, channels); those of the next slice are read meanwhile. */
variant_status vt_train_loop_pictures(vt_train_loop *loop, float *out, variant_error *err);
/* Runs `run` for one slice of the step's batch after another; in a rehearsal for one of the largest alone.
 * What it takes from the arena goes back after each. */
variant_status vt_train_loop_slices(vt_train_loop *loop,
                                    variant_status (*run)(void *self, vt_train_loop *loop,
                                                          variant_error *err),
                                    void *self, variant_error *err);

variant_status vt_train_loop_run(vt_train_loop *loop, const vt_trainer *trainer,
                                 vt_train_result *result, variant_error *err);

#endif

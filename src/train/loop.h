/* loop.h - what all trainings share: the steps, and what happens every so many of them.
 *
 * train_tokenizer.c and train_transformer.c fill a vt_train_job with what is theirs (one step's
 * forward and backward pass, what to log, how to save) and hand it to vt_train_loop_run. */
#ifndef VT_TRAIN_LOOP_H
#define VT_TRAIN_LOOP_H

#include "io/dataset.h"
#include "train/checkpoint.h"
#include "train/log.h"
#include "train/trainer.h"

typedef struct vt_train_loop {
    vt_data data; /* as opened */
    vt_kern *kern;
    const vt_train_common *options;
    vt_params *params;
    vt_arena arena; /* of the whole run; what a step takes from it goes back after the step */
    void *memory;
    size_t memory_bytes;
    vt_log log;
    int64_t step, steps; /* done, in all */
    int64_t steps_per_epoch;
    double loss, norm, rate; /* of the step just run */
    int path;                /* that the step ran: which running mean the loss belongs to */
    vt_spikes spikes;
    /* since the last line of the log */
    int64_t line_steps;
    double line_loss, line_norm, line_started, line_rate;
    char folder[4000];
    vt_past *past;     /* the run that this one goes on with; NULL: none */
    char chosen[1000]; /* options that follow from the data, as they would be given */
} vt_train_loop;

/* self is the trainer's own state. */
typedef struct vt_train_job {
    void *self;
    /* Forward and backward of loop->step on zeroed gradients; sets loop->loss, and loop->path where
     * there are several (spike.h). What it took from the arena stays until `updated` has returned. */
    variant_status (*step)(void *self, vt_train_loop *loop, variant_error *err);
    /* After the optimizer changed the values: anything else that changes them, then refresh
     * prepared weights. */
    variant_status (*updated)(void *self, vt_train_loop *loop, variant_error *err);
    /* Adds its measures since the last line to the log line, and forgets them. */
    void (*describe)(void *self, vt_train_loop *loop, cJSON *line);
    variant_status (*evaluate)(void *self, vt_train_loop *loop, cJSON *line,
                               variant_error *err); /* or NULL */
    variant_status (*sample)(void *self, vt_train_loop *loop, const char *path,
                             variant_error *err); /* or NULL */
    variant_status (*checkpoint)(void *self, vt_train_loop *loop, const char *path,
                                 variant_error *err);
    /* The model alone, for use; puts its path into result->model. */
    variant_status (*finish)(void *self, vt_train_loop *loop, vt_train_result *result,
                             variant_error *err);
} vt_train_job;

variant_status vt_train_common_check(const vt_train_common *options, variant_error *err);
void vt_train_common_init(vt_train_common *options);

/* Looks up the run to go on with, refuses to overwrite one; touches nothing. */
variant_status vt_train_loop_begin(vt_train_loop *loop, vt_kern *kern,
                                   const vt_train_common *options, variant_error *err);
/* Makes the output folder and reserves the arena. */
variant_status vt_train_loop_open(vt_train_loop *loop, variant_error *err);
void vt_train_loop_close(vt_train_loop *loop);
/* The settings that every training has; after the plan. */
void vt_train_settings_common(vt_settings *settings, const vt_train_loop *loop, uint64_t data_hash);
/* "FOLDER/name" into out. */
void vt_train_loop_path(const vt_train_loop *loop, const char *name, char *out, size_t size);
/* Fills the checkpoint from the run that this one goes on with, and the loop's step; does nothing for
 * a new run. */
variant_status vt_train_loop_take_up(vt_train_loop *loop, vt_checkpoint *checkpoint,
                                     variant_error *err);
void vt_train_loop_note(const vt_train_loop *loop, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Opens the training pictures, `crop` pixels larger than side, and the test pictures, with the same classes;
 * *test stays NULL, with a note, where there are none. What the data are is noted. `data` is kept: its choices
 * belong to the settings. channels 0: what the data have. */
variant_status vt_train_loop_open_data(vt_train_loop *loop, const vt_data *data, int side, int crop,
                                       int channels, vt_dataset **train, vt_dataset **test,
                                       variant_error *err);
bool vt_train_loop_stopping(const vt_train_loop *loop);

variant_status vt_train_loop_run(vt_train_loop *loop, const vt_train_job *job,
                                 vt_train_result *result, variant_error *err);

#endif

/* checkpoint.h - a run's whole state in one file, so that it can go on bit for bit.
 *
 * The file is a model file (engine/model.h) with the AdamW moments as further tensors
 * "training/m/NAME" and "training/v/NAME", counters as "training/counters", and the step, the
 * running means of the loss and the run's settings as JSON in the metadata "variant.checkpoint".
 * Settings are what must be equal for a run to be the same run. */
#ifndef VT_TRAIN_CHECKPOINT_H
#define VT_TRAIN_CHECKPOINT_H

#include "engine/model.h"
#include "train/lr.h"
#include "train/spike.h"
#include "train/together.h"

#define VT_SETTINGS_MAX 64
/* Another length is no other run (defaults.c). */
#define VT_SETTING_STEPS "steps"
#define VT_SETTING_REPLANNED "replanned"
#define VT_SETTING_PRECISION "precision" /* runs from before there was a choice have none: f32 */

typedef struct vt_settings {
    int count;
    struct {
        char key[32], value[512];
    } items[VT_SETTINGS_MAX];
} vt_settings;

void vt_settings_add(vt_settings *settings, const char *key, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* {"key":"value",...}; free() it. NULL: no memory. */
char *vt_settings_json(const vt_settings *settings);

typedef struct vt_checkpoint {
    vt_model_save model; /* what to write; unused in reading */
    vt_params *params;   /* values, m and v */
    const vt_settings *settings;
    int64_t step, steps; /* done; in all (written only) */
    const vt_lr *lr;     /* written only */
    vt_spikes *spikes;   /* never NULL */
    bool trust;          /* checksums are not looked at; reading only */
    vt_together
        *together;     /* who have the moments, each its shares; NULL, or one: params has them */
    int32_t *counters; /* host memory, (counter_count); NULL: none */
    int counter_count;
} vt_checkpoint;

/* Of several ranks the first one writes, and all call it. */
variant_status vt_checkpoint_write(const char *path, const vt_checkpoint *checkpoint,
                                   variant_error *err);
/* What is known of a run before anything of it is built. */
typedef struct vt_past {
    vt_settings settings;
    int64_t step, steps;   /* steps 0: a checkpoint from before they were written */
    double rate, rate_end; /* of lr, exactly; 0: likewise */
} vt_past;
variant_status vt_past_read(const char *path, vt_past *past, variant_error *err);
/* The value of a setting, or NULL. */
const char *vt_past_setting(const vt_past *past, const char *key);

/* Fills values, moments, counters, step and means, which a file from before there were means leaves
 * at zero. E_ARGUMENT names the first setting that differs. Prepared weights are the caller's to
 * refresh. */
variant_status vt_checkpoint_read(const char *path, vt_checkpoint *checkpoint, variant_error *err);

#endif

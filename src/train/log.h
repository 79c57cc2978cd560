/* log.h - the run's diary: one JSON object a line, appended.
 *
 * A line is complete or absent for a reader at any time. When a run goes on from a checkpoint,
 * lines past the checkpoint's step, and a last line that a crash left unfinished, are cut: those
 * steps are run again. */
#ifndef VT_TRAIN_LOG_H
#define VT_TRAIN_LOG_H

#include <cjson/cJSON.h>

#include "core/status.h"

typedef struct vt_log {
    int file; /* its descriptor, -1: none */
    char *path;
} vt_log;

/* Keeps the lines with "step" <= last_step; last_step < 0: starts an empty file. */
variant_status vt_log_open(vt_log *log, const char *path, int64_t last_step, variant_error *err);
void vt_log_close(vt_log *log);
/* Appends the line; the object stays the caller's. */
variant_status vt_log_write(vt_log *log, const cJSON *line, variant_error *err);

/* A number with six significant digits; a number that is not finite becomes null. */
void vt_log_number(cJSON *line, const char *key, double value);
void vt_log_numbers(cJSON *line, const char *key, const double *values, int count);

#endif

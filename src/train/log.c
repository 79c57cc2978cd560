/* log.c - see log.h. */
#include "train/log.h"

#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/descriptor.h"
#include "io/file.h"
#include "io/json.h"

#define LOG_BYTES_MAX ((size_t)1 << 31)

/* Copies the lines of text that belong to steps up to last_step. */
static variant_status copy_kept(FILE *to, const char *text, int64_t last_step, variant_error *err) {
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        if (!end) break; /* unfinished */
        const size_t length = (size_t)(end - line);
        cJSON *object = vt_json_read(line, length, NULL);
        if (!object && vt_json_is(line, length))
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for a line of the log");
        const cJSON *step = cJSON_GetObjectItemCaseSensitive(object, "step");
        if (cJSON_IsNumber(step) && step->valuedouble <= (double)last_step)
            fwrite(line, 1, (size_t)(end + 1 - line), to);
        cJSON_Delete(object);
        line = end + 1;
    }
    return VARIANT_OK;
}

static variant_status cut(const char *path, int64_t last_step, variant_error *err) {
    char *text = NULL;
    bool there;
    VT_TRY(vt_look_for(path, &there, err));
    if (!there) return VARIANT_OK; /* nothing logged yet */
    VT_TRY(vt_file_read_text(&text, path, LOG_BYTES_MAX, err));
    vt_replace replace;
    variant_status status = vt_replace_open(&replace, path, err);
    if (status == VARIANT_OK) {
        status = copy_kept(replace.stream, text, last_step, err);
        if (status == VARIANT_OK) status = vt_replace_commit(&replace, err);
        vt_replace_abandon(&replace);
    }
    free(text);
    return status;
}

variant_status vt_log_open(vt_log *log, const char *path, int64_t last_step, variant_error *err) {
    *log = (vt_log){.file = -1};
    if (last_step >= 0) VT_TRY(cut(path, last_step, err));
    log->path = strdup(path);
    if (!log->path) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path);
    log->file = vt_open(path, O_WRONLY | O_CREAT | O_APPEND | (last_step >= 0 ? 0 : O_TRUNC));
    if (log->file >= 0) return VARIANT_OK;
    variant_status status =
        vt_fail(err, VARIANT_E_IO, "%s: cannot open for writing: %s", path, strerror(errno));
    vt_log_close(log);
    return status;
}

void vt_log_close(vt_log *log) {
    if (log->path && log->file >= 0) vt_close(log->file);
    free(log->path);
    *log = (vt_log){.file = -1};
}

variant_status vt_log_write(vt_log *log, const cJSON *line, variant_error *err) {
    char *text = vt_json_text(line);
    if (!text) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    const size_t length = strlen(text);
    const off_t before = lseek(log->file, 0, SEEK_END);
    text[length] = '\n'; /* in the place of its end */
    variant_status status = VARIANT_OK;
    if (!vt_write(log->file, text, length + 1)) {
        status = vt_fail(err, VARIANT_E_IO, "%s: cannot write: %s", log->path, strerror(errno));
        if (before >= 0) (void)!ftruncate(log->file, before); /* no half line */
    }
    cJSON_free(text);
    return status;
}

static cJSON *rounded(double value) {
    if (!isfinite(value)) return cJSON_CreateNull();
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    return cJSON_CreateNumber(strtod(text, NULL));
}

void vt_log_number(cJSON *line, const char *key, double value) {
    vt_json_put(line, key, rounded(value));
}

void vt_log_numbers(cJSON *line, const char *key, const double *values, int count) {
    cJSON *array = vt_json_array(line, key);
    for (int i = 0; i < count; ++i) vt_json_append(array, rounded(values[i]));
}

/* log.c - see log.h. */
#include "train/log.h"

#include <errno.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

#define LOG_BYTES_MAX ((size_t)1 << 31)

/* Copies the lines of text that belong to steps up to last_step. */
static void copy_kept(FILE *to, const char *text, int64_t last_step) {
    for (const char *line = text; *line;) {
        const char *end = strchr(line, '\n');
        if (!end) return; /* unfinished */
        cJSON *object = vt_json_read(line, (size_t)(end - line), NULL);
        const cJSON *step = cJSON_GetObjectItemCaseSensitive(object, "step");
        if (cJSON_IsNumber(step) && step->valuedouble <= (double)last_step)
            fwrite(line, 1, (size_t)(end + 1 - line), to);
        cJSON_Delete(object);
        line = end + 1;
    }
}

static variant_status cut(const char *path, int64_t last_step, variant_error *err) {
    char *text = NULL;
    FILE *there = fopen(path, "rb");
    if (!there) return VARIANT_OK; /* nothing logged yet */
    fclose(there);
    VT_TRY(vt_file_read_text(&text, path, LOG_BYTES_MAX, err));
    vt_replace replace;
    variant_status status = vt_replace_open(&replace, path, err);
    if (status == VARIANT_OK) {
        copy_kept(replace.stream, text, last_step);
        status = vt_replace_commit(&replace, err);
        vt_replace_abandon(&replace);
    }
    free(text);
    return status;
}

variant_status vt_log_open(vt_log *log, const char *path, int64_t last_step, variant_error *err) {
    *log = (vt_log){0};
    if (last_step >= 0) VT_TRY(cut(path, last_step, err));
    log->path = strdup(path);
    log->stream = fopen(path, last_step >= 0 ? "ab" : "wb");
    if (log->path && log->stream) return VARIANT_OK;
    variant_status status =
        vt_fail(err, VARIANT_E_IO, "%s: cannot open for writing: %s", path, strerror(errno));
    vt_log_close(log);
    return status;
}

void vt_log_close(vt_log *log) {
    if (log->stream) fclose(log->stream);
    free(log->path);
    *log = (vt_log){0};
}

variant_status vt_log_write(vt_log *log, const cJSON *line, variant_error *err) {
    char *text = cJSON_PrintUnformatted(line);
    if (!text) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    bool written = fprintf(log->stream, "%s\n", text) > 0 && fflush(log->stream) == 0;
    cJSON_free(text);
    if (written) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_IO, "%s: cannot write: %s", log->path, strerror(errno));
}

static cJSON *rounded(double value) {
    if (!isfinite(value)) return cJSON_CreateNull();
    char text[32];
    snprintf(text, sizeof text, "%.6g", value);
    return cJSON_CreateNumber(strtod(text, NULL));
}

void vt_log_number(cJSON *line, const char *key, double value) {
    cJSON_AddItemToObject(line, key, rounded(value));
}

void vt_log_numbers(cJSON *line, const char *key, const double *values, int count) {
    cJSON *array = cJSON_AddArrayToObject(line, key);
    for (int i = 0; i < count; ++i) cJSON_AddItemToArray(array, rounded(values[i]));
}

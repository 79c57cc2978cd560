/* log.c - see log.h. */
#include "serve/log.h"

#include <stdio.h>
#include <time.h>

#include "serve/server.h"

void sv_log(const char *event, cJSON *fields) {
    char when[40];
    struct timespec now;
    struct tm utc;
    cJSON *line = cJSON_CreateObject();
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    const size_t length = strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(when + length, sizeof when - length, ".%03dZ", (int)(now.tv_nsec / 1000000));
    cJSON_AddStringToObject(line, "time", when);
    cJSON_AddStringToObject(line, "event", event);
    while (fields && fields->child) {
        cJSON *item = cJSON_DetachItemViaPointer(fields, fields->child);
        cJSON_AddItemToObject(line, item->string, item);
    }
    char *text = cJSON_PrintUnformatted(line);
    if (text) fprintf(stderr, "%s\n", text);
    cJSON_free(text);
    cJSON_Delete(fields);
    cJSON_Delete(line);
}

void sv_log_seconds(cJSON *fields, const char *name, double seconds) {
    char text[32];
    snprintf(text, sizeof text, "%.6f", seconds);
    cJSON_AddRawToObject(fields, name, text);
}

static void log_message(const char *event, const char *where, const char *message) {
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "where", where);
    cJSON_AddStringToObject(fields, "message", message);
    sv_log(event, fields);
}

void sv_log_warning(const char *where, const char *message) {
    log_message("warning", where, message);
}

void sv_log_error(const char *where, const char *message) {
    log_message("error", where, message);
}

void sv_log_job(const sv_job *job) {
    if (job->server->options->quiet) return;
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "job", job->id);
    cJSON_AddStringToObject(fields, "state", sv_state_name(job->state));
    cJSON_AddNumberToObject(fields, "pictures", job->wish.request.count);
    cJSON_AddStringToObject(fields, "depths", job->report.depths);
    if (job->started > 0.0) sv_log_seconds(fields, "waited", job->started - job->created);
    sv_log_seconds(fields, "seconds", job->finished - job->created);
    if (job->fault.status) cJSON_AddStringToObject(fields, "message", job->fault.message);
    sv_log("job", fields);
}

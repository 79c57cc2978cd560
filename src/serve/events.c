/* events.c - see events.h. A stream has no list of events: it compares what the job is with what it last told. A client that
 * reads slowly is told less often, and costs no memory. */
#include "serve/events.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "io/json.h"
#include "serve/pictures.h"
#include "serve/scheduler.h"
#include "serve/text.h"

#define SECONDS_KEEPALIVE 15.0

char *sv_event(const char *type, cJSON *json) {
    char *data = cJSON_PrintUnformatted(json);
    char *text = data ? sv_format("event: %s\ndata: %s\n\n", type, data) : NULL;
    cJSON_free(data);
    cJSON_Delete(json);
    return text;
}

/* A comment, so that nobody between takes the connection for dead. */
static char *keepalive(const sv_call *call) {
    return vt_seconds() - call->sent_at >= SECONDS_KEEPALIVE ? strdup(": keepalive\n\n") : NULL;
}

/* What a job is at this moment. */
typedef struct view {
    sv_state state;
    int place, scale, done;
} view;

static view look(const sv_job *job) {
    pthread_mutex_lock(&job->server->lock);
    const int scale = job->state == SV_COMPLETED ? job->model->context.info.scales : job->scale;
    const view now = {job->state, sv_queue_place(job), scale, job->pictures_done};
    pthread_mutex_unlock(&job->server->lock);
    return now;
}

/* ---- the images API ---- */

static cJSON *image_event(const sv_job *job, const char *type, char *base64) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "type", type);
    cJSON_AddStringToObject(json, "b64_json", base64 ? base64 : "");
    free(base64);
    cJSON_AddNumberToObject(json, "created_at", (double)job->created_at);
    sv_add_form(json, job);
    return json;
}

static char *partial_of(const sv_job *job, int index, int slot, variant_picture *picture,
                        int scale) {
    const char *type =
        job->wish.request.edits ? "image_edit.partial_image" : "image_generation.partial_image";
    cJSON *json = image_event(job, type, sv_picture_base64(&job->wish, picture));
    cJSON_AddNumberToObject(json, "partial_image_index", slot);
    cJSON_AddNumberToObject(json, "image_index", index);
    cJSON_AddNumberToObject(json, "scale", scale);
    return sv_event(type, json);
}

/* The next partial picture that is there. One that was not decoded (job.c) is passed over once a later one of its picture is. */
static char *partial_event(sv_call *call) {
    sv_job *job = call->job;
    for (int slot = 0; call->seen && slot < job->wish.partials; ++slot)
        for (int i = 0; i < job->wish.request.count; ++i) {
            variant_picture picture;
            int scale;
            if (call->seen[i] > slot || !sv_preview_copy(job, i, slot, 0, &picture, &scale))
                continue;
            call->seen[i] = slot + 1;
            char *text = partial_of(job, i, slot, &picture, scale);
            free(picture.pixels);
            return text;
        }
    return NULL;
}

static char *completed_event(sv_call *call, bool *end) {
    sv_job *job = call->job;
    const int index = call->seen_done < 0 ? 0 : call->seen_done;
    const char *type =
        job->wish.request.edits ? "image_edit.completed" : "image_generation.completed";
    cJSON *json = image_event(job, type, sv_picture_base64(&job->wish, &job->pictures[index]));
    cJSON_AddNumberToObject(json, "image_index", index);
    cJSON_AddItemToObject(json, "settings", vt_json_of(job->pictures[index].settings));
    cJSON_AddItemToObject(json, "request", sv_settings_json(job));
    cJSON_AddItemToObject(json, "usage", sv_usage_json(job));
    call->seen_done = index + 1;
    *end = call->seen_done == job->wish.request.count;
    return sv_event(type, json);
}

/* An `error` member is what clients look for. */
static char *error_event(const sv_job *job, bool *end) {
    *end = true;
    return sv_event("error", sv_fault_json(&job->fault));
}

char *sv_next_image_event(sv_call *call, bool *end) {
    const view now = look(call->job);
    char *piece = partial_event(call);
    if (piece) return piece;
    if (now.state == SV_COMPLETED) return completed_event(call, end);
    if (now.state > SV_COMPLETED) return error_event(call->job, end);
    return keepalive(call);
}

/* ---- jobs ---- */

static char *progress_event(sv_call *call, const view *now) {
    const sv_job *job = call->job;
    cJSON *json = cJSON_CreateObject();
    call->seen_state = (int)now->state;
    call->seen_place = now->place;
    call->seen_scale = now->scale;
    call->seen_done = now->done;
    cJSON_AddStringToObject(json, "type", "progress");
    cJSON_AddStringToObject(json, "state", sv_state_name(now->state));
    cJSON_AddNumberToObject(json, "queue_position", now->place);
    cJSON_AddNumberToObject(json, "scale", now->scale);
    cJSON_AddNumberToObject(json, "scales", job->model->context.info.scales);
    cJSON_AddNumberToObject(json, "pictures_done", now->done);
    cJSON_AddNumberToObject(json, "pictures", job->wish.request.count);
    return sv_event("progress", json);
}

/* Takes the picture's pixels. */
static char *preview_of(const sv_job *job, int index, int scale, variant_picture *picture) {
    cJSON *json = image_event(job, "preview", sv_picture_base64(&job->wish, picture));
    free(picture->pixels);
    cJSON_AddNumberToObject(json, "picture", index);
    cJSON_AddNumberToObject(json, "scale", scale);
    return sv_event("preview", json);
}

/* The newest of each picture. */
static char *preview_event(sv_call *call) {
    sv_job *job = call->job;
    for (int i = 0; call->seen && i < job->wish.request.count; ++i) {
        variant_picture picture;
        if (!sv_preview_copy(job, i, 0, call->seen[i], &picture, &call->seen[i])) continue;
        return preview_of(job, i, call->seen[i], &picture);
    }
    return NULL;
}

/* Of a job that keeps every scale: the next one, of each picture in turn, none left out; over: none is still to come. */
static char *scale_event(sv_call *call, bool over) {
    sv_job *job = call->job;
    for (int slot = 0; call->seen && slot < job->slots; ++slot)
        for (int i = 0; i < job->wish.request.count; ++i) {
            variant_picture picture;
            int scale;
            if (call->seen[i] != slot) continue;
            const bool there = sv_preview_copy(job, i, slot, 0, &picture, &scale);
            if (there || over) ++call->seen[i];
            if (there) return preview_of(job, i, scale, &picture);
        }
    return NULL;
}

char *sv_next_job_event(sv_call *call, bool *end) {
    const view now = look(call->job);
    const bool over = now.state >= SV_COMPLETED, every = call->job->every_scale;
    char *piece = every && over ? scale_event(call, true) : NULL;
    if (piece) return piece;
    if (over) {
        *end = true;
        if (every) sv_job_forget_scales(call->job);
        return sv_event(sv_state_name(now.state), sv_job_json(call, call->job, true));
    }
    if ((int)now.state != call->seen_state || now.place != call->seen_place ||
        now.scale != call->seen_scale || now.done != call->seen_done)
        return progress_event(call, &now);
    piece = every ? scale_event(call, false) : preview_event(call);
    return piece ? piece : keepalive(call);
}

/* ---- a job as a whole ---- */

static void add_result(cJSON *json, sv_call *call, const sv_job *job) {
    cJSON *data = cJSON_AddArrayToObject(json, "data");
    for (int i = 0; i < job->wish.request.count; ++i)
        cJSON_AddItemToArray(data, sv_picture_json(call, job, i));
    sv_add_form(json, job);
    cJSON_AddItemToObject(json, "request", sv_settings_json(job));
    cJSON_AddItemToObject(json, "usage", sv_usage_json(job));
}

cJSON *sv_job_json(sv_call *call, sv_job *job, bool pictures) {
    const view now = look(job);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", job->id);
    cJSON_AddStringToObject(json, "state", sv_state_name(now.state));
    cJSON_AddNumberToObject(json, "created_at", (double)job->created_at);
    cJSON_AddNumberToObject(json, "queue_position", now.place);
    cJSON_AddNumberToObject(json, "scale", now.scale);
    cJSON_AddNumberToObject(json, "scales", job->model->context.info.scales);
    cJSON_AddNumberToObject(json, "pictures_done", now.done);
    cJSON_AddNumberToObject(json, "pictures", job->wish.request.count);
    if (now.state == SV_COMPLETED && pictures) add_result(json, call, job);
    if (now.state > SV_COMPLETED) {
        cJSON *fault = sv_fault_json(&job->fault);
        cJSON_AddItemToObject(json, "error", cJSON_DetachItemFromObject(fault, "error"));
        cJSON_Delete(fault);
    }
    return json;
}

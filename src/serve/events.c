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

/* Takes the JSON. NULL, which ends the stream (http.h): no memory. */
static char *event_of(const char *type, cJSON *json, bool *end) {
    char *data = vt_json_text(json);
    char *text = data ? sv_format("event: %s\ndata: %s\n\n", type, data) : NULL;
    cJSON_free(data);
    cJSON_Delete(json);
    if (!text) *end = true;
    return text;
}

/* Of what was told there is no record, so that events would be left out. */
static bool lacks_memory(const sv_call *call, bool *end) {
    if (!call->seen) *end = true;
    return !call->seen;
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
    vt_json_string(json, "type", type);
    vt_json_put(json, "b64_json", base64 ? cJSON_CreateString(base64) : NULL);
    free(base64);
    vt_json_number(json, "created_at", (double)job->created_at);
    sv_add_form(json, job);
    return json;
}

static char *partial_of(const sv_job *job, int index, int slot, variant_picture *picture, int scale,
                        bool *end) {
    const char *type =
        job->wish.request.edits ? "image_edit.partial_image" : "image_generation.partial_image";
    cJSON *json = image_event(job, type, sv_picture_base64(&job->wish, picture));
    vt_json_number(json, "partial_image_index", slot);
    vt_json_number(json, "image_index", index);
    vt_json_number(json, "scale", scale);
    return event_of(type, json, end);
}

/* The next partial picture that is there. One that was not decoded (job.c) is passed over once a later one of its picture is. */
static char *partial_event(sv_call *call, bool *end) {
    sv_job *job = call->job;
    for (int slot = 0; slot < job->wish.partials; ++slot)
        for (int i = 0; i < job->wish.request.count; ++i) {
            variant_picture picture;
            int scale;
            if (call->seen[i] > slot || !sv_preview_copy(job, i, slot, 0, &picture, &scale))
                continue;
            call->seen[i] = slot + 1;
            char *text = partial_of(job, i, slot, &picture, scale, end);
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
    vt_json_number(json, "image_index", index);
    if (job->pictures[index].settings)
        vt_json_put(json, "settings", vt_json_of(job->pictures[index].settings));
    vt_json_put(json, "request", sv_settings_json(job));
    vt_json_put(json, "usage", sv_usage_json(job));
    call->seen_done = index + 1;
    *end = call->seen_done == job->wish.request.count;
    return event_of(type, json, end);
}

/* An `error` member is what clients look for. */
static char *error_event(const sv_job *job, bool *end) {
    *end = true;
    return event_of("error", sv_fault_json(&job->fault), end);
}

char *sv_next_image_event(sv_call *call, bool *end) {
    const view now = look(call->job);
    if (lacks_memory(call, end)) return NULL;
    char *piece = partial_event(call, end);
    if (piece || *end) return piece;
    if (now.state == SV_COMPLETED) return completed_event(call, end);
    if (now.state > SV_COMPLETED) return error_event(call->job, end);
    return keepalive(call);
}

/* ---- jobs ---- */

static char *progress_event(sv_call *call, const view *now, bool *end) {
    const sv_job *job = call->job;
    cJSON *json = cJSON_CreateObject();
    call->seen_state = (int)now->state;
    call->seen_place = now->place;
    call->seen_scale = now->scale;
    call->seen_done = now->done;
    vt_json_string(json, "type", "progress");
    vt_json_string(json, "state", sv_state_name(now->state));
    vt_json_number(json, "queue_position", now->place);
    vt_json_number(json, "scale", now->scale);
    vt_json_number(json, "scales", job->model->context.info.scales);
    vt_json_number(json, "pictures_done", now->done);
    vt_json_number(json, "pictures", job->wish.request.count);
    return event_of("progress", json, end);
}

/* Takes the picture's pixels. */
static char *preview_of(const sv_job *job, int index, int scale, variant_picture *picture,
                        bool *end) {
    cJSON *json = image_event(job, "preview", sv_picture_base64(&job->wish, picture));
    free(picture->pixels);
    vt_json_number(json, "picture", index);
    vt_json_number(json, "scale", scale);
    return event_of("preview", json, end);
}

/* The newest of each picture. */
static char *preview_event(sv_call *call, bool *end) {
    sv_job *job = call->job;
    for (int i = 0; i < job->wish.request.count; ++i) {
        variant_picture picture;
        if (!sv_preview_copy(job, i, 0, call->seen[i], &picture, &call->seen[i])) continue;
        return preview_of(job, i, call->seen[i], &picture, end);
    }
    return NULL;
}

/* Of a job that keeps every scale: the next one, of each picture in turn, none left out; over: none is still to come. */
static char *scale_event(sv_call *call, bool over, bool *end) {
    sv_job *job = call->job;
    for (int slot = 0; slot < job->slots; ++slot)
        for (int i = 0; i < job->wish.request.count; ++i) {
            variant_picture picture;
            int scale;
            if (call->seen[i] != slot) continue;
            const bool there = sv_preview_copy(job, i, slot, 0, &picture, &scale);
            if (there || over) ++call->seen[i];
            if (there) return preview_of(job, i, scale, &picture, end);
        }
    return NULL;
}

char *sv_next_job_event(sv_call *call, bool *end) {
    const view now = look(call->job);
    const bool over = now.state >= SV_COMPLETED, every = call->job->every_scale;
    if (lacks_memory(call, end)) return NULL;
    char *piece = every && over ? scale_event(call, true, end) : NULL;
    if (piece || *end) return piece;
    if (over) {
        *end = true;
        if (every) sv_job_forget_scales(call->job);
        return event_of(sv_state_name(now.state), sv_job_json(call, call->job, true), end);
    }
    if ((int)now.state != call->seen_state || now.place != call->seen_place ||
        now.scale != call->seen_scale || now.done != call->seen_done)
        return progress_event(call, &now, end);
    piece = every ? scale_event(call, false, end) : preview_event(call, end);
    return piece || *end ? piece : keepalive(call);
}

/* ---- a job as a whole ---- */

static void add_result(cJSON *json, sv_call *call, const sv_job *job) {
    cJSON *data = vt_json_array(json, "data");
    for (int i = 0; i < job->wish.request.count; ++i)
        vt_json_append(data, sv_picture_json(call, job, i));
    sv_add_form(json, job);
    vt_json_put(json, "request", sv_settings_json(job));
    vt_json_put(json, "usage", sv_usage_json(job));
}

cJSON *sv_job_json(sv_call *call, sv_job *job, bool pictures) {
    const view now = look(job);
    cJSON *json = cJSON_CreateObject();
    vt_json_string(json, "id", job->id);
    vt_json_string(json, "state", sv_state_name(now.state));
    vt_json_number(json, "created_at", (double)job->created_at);
    vt_json_number(json, "queue_position", now.place);
    vt_json_number(json, "scale", now.scale);
    vt_json_number(json, "scales", job->model->context.info.scales);
    vt_json_number(json, "pictures_done", now.done);
    vt_json_number(json, "pictures", job->wish.request.count);
    if (now.state == SV_COMPLETED && pictures) add_result(json, call, job);
    if (now.state > SV_COMPLETED) {
        cJSON *fault = sv_fault_json(&job->fault);
        vt_json_put(json, "error", cJSON_DetachItemFromObject(fault, "error"));
        cJSON_Delete(fault);
    }
    return json;
}

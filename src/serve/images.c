/* images.c - the images API: pictures of a prompt, or changed in part, in one answer or as a stream. */
#include <stdlib.h>
#include <strings.h>

#include "serve/events.h"
#include "io/json.h"
#include "serve/handlers.h"
#include "serve/load.h"
#include "serve/pictures.h"
#include "serve/scheduler.h"

/* The job is over: its pictures, or what was wrong. */
static void answer(sv_call *call) {
    sv_job *job = call->job;
    pthread_mutex_lock(&call->server->lock);
    const sv_state state = job->state;
    pthread_mutex_unlock(&call->server->lock);
    if (state < SV_COMPLETED) return;
    if (state != SV_COMPLETED) {
        sv_answer_fault(call, &job->fault);
        return;
    }
    cJSON *json = cJSON_CreateObject(), *data;
    vt_json_number(json, "created", (double)job->created_at);
    data = vt_json_array(json, "data");
    for (int i = 0; i < job->wish.request.count; ++i)
        vt_json_append(data, sv_picture_json(call, job, i));
    sv_add_form(json, job);
    vt_json_put(json, "request", sv_settings_json(job));
    vt_json_put(json, "usage", sv_usage_json(job));
    sv_answer_json(call, 200, json);
}

static void release(sv_job *job) {
    sv_server *server = job->server;
    pthread_mutex_lock(&server->lock);
    sv_job_release(job);
    pthread_mutex_unlock(&server->lock);
}

/* Reads the wish and puts the job into the queue; the client waits or watches. False: a fault, or it is asked later. */
static bool begin(sv_call *call, sv_job *job, const sv_edit *edit, cJSON *json, sv_fault *fault) {
    if (!sv_wish_read(&job->wish, &call->model->context, NULL, edit, json, fault)) return false;
    job->kept = job->wish.url && !job->wish.stream; /* its pictures are asked for later */
    sv_load_adapt(job);
    if (!sv_latency_plan(call, job, fault) || !sv_job_measure(job, fault)) return false;
    if (job->wish.stream)
        sv_stream(call, job, true, sv_next_image_event);
    else
        sv_wait_for(call, job, true, answer);
    return sv_submit(job, fault);
}

/* Takes json and the edit, whose bytes are counted. */
static void begin_job(sv_call *call, const sv_edit *edit, cJSON *json) {
    sv_fault fault;
    sv_job *job = sv_job_new(call->model);
    if (!job) {
        sv_edit given = edit ? *edit : (sv_edit){0};
        cJSON_Delete(json);
        sv_edit_free(&given);
        sv_give_room(call->server, edit ? edit->bytes : 0);
        sv_refuse(&fault, 503, "out_of_memory", "", "no memory for a request");
        sv_answer_fault(call, &fault);
        return;
    }
    job->client = call->client;
    job->inbox = edit ? edit->bytes : 0;
    if (!begin(call, job, edit, json, &fault)) {
        sv_stop_waiting(call);
        if (!call->later) sv_answer_fault(call, &fault);
    }
    release(job);
}

void sv_images_generate(sv_call *call) {
    sv_fault fault;
    cJSON *json;
    if (sv_json_read(&json, call->body, call->size, &fault))
        begin_job(call, NULL, json);
    else
        sv_answer_fault(call, &fault);
}

/* ---- edits ---- */

static bool read_parts(sv_call *call, sv_parts *parts, sv_fault *fault) {
    const char *type = sv_header(call, "Content-Type");
    if (type && strncasecmp(type, "multipart/form-data", 19) == 0)
        return sv_parts_of_form(parts, call->connection, call->body, call->size, fault);
    return sv_parts_of_json(parts, call->body, call->size, fault);
}

bool sv_images_read_edit(sv_call *call, sv_edit *edit, cJSON **json, sv_fault *fault) {
    sv_parts parts = {0};
    bool room = false;
    *edit = (sv_edit){0};
    const bool read = read_parts(call, &parts, fault) && sv_edit_measure(edit, &parts, fault) &&
                      (room = sv_take_room(call->server, edit->bytes, fault)) &&
                      sv_edit_decode(edit, &parts, fault);
    if (read) {
        *json = parts.json;
        parts.json = NULL;
    } else {
        sv_edit_free(edit);
        if (room) sv_give_room(call->server, edit->bytes);
    }
    sv_parts_free(&parts);
    return read;
}

void sv_images_edit(sv_call *call) {
    sv_fault fault;
    sv_edit edit;
    cJSON *json;
    if (sv_images_read_edit(call, &edit, &json, &fault))
        begin_job(call, &edit, json);
    else
        sv_answer_fault(call, &fault);
}

/* jobs.c - jobs: requests that go on by themselves, are looked at, watched, cancelled, refined. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/events.h"
#include "serve/handlers.h"
#include "serve/load.h"
#include "serve/pictures.h"
#include "serve/scheduler.h"
#include "serve/text.h"

#define SECONDS_WATCHED 10.0 /* after somebody asked for the picture so far */

/* ---- finding one ---- */

/* The job of the path, held; NULL after a 404. */
static sv_job *find(sv_call *call) {
    sv_server *s = call->server;
    sv_fault fault;
    pthread_mutex_lock(&s->lock);
    sv_job *job = sv_job_find(s, call->arguments[0]);
    if (job) sv_job_hold(job);
    pthread_mutex_unlock(&s->lock);
    if (job) return job;
    sv_refuse(&fault, 404, "job_not_found", "",
              "no job %s: there was none, or its pictures are gone: they are kept for %g seconds "
              "and while there is room",
              call->arguments[0], s->options->keep);
    sv_answer_fault(call, &fault);
    return NULL;
}

static void release(sv_job *job) {
    sv_server *server = job->server;
    pthread_mutex_lock(&server->lock);
    sv_job_release(job);
    pthread_mutex_unlock(&server->lock);
}

static sv_state state_of(sv_job *job) {
    pthread_mutex_lock(&job->server->lock);
    const sv_state state = job->state;
    pthread_mutex_unlock(&job->server->lock);
    return state;
}

/* ---- a new one ---- */

static void answer_created(sv_call *call, sv_job *job) {
    char address[64], events[80];
    cJSON *json = sv_job_json(call, job, false);
    snprintf(address, sizeof address, "/api/jobs/%s", job->id);
    snprintf(events, sizeof events, "%s/events", address);
    cJSON_AddStringToObject(json, "poll_url", address);
    cJSON_AddStringToObject(json, "events_url", events);
    sv_answer_json(call, 202, json);
}

/* The scales that a refined picture keeps: as asked, else those at full depth. */
static bool keep_scales(sv_job *job, const sv_job *from, sv_fault *fault) {
    const variant_info *info = &job->model->context.info;
    variant_request *request = &job->wish.request;
    const int count = request->count, length = from->pictures[0].token_count;
    int keep = info->bridge < info->scales ? info->bridge : info->scales - 1;
    if (!sv_field_int(job->wish.json, "keep_scales", 0, info->scales - 1, &keep, fault))
        return false;
    if (from->wish.request.edits)
        return sv_refuse(fault, 400, "invalid_value", "",
                         "the job is an edit, whose scales are not kept: edit its picture again");
    job->wish.tokens = malloc((size_t)count * (size_t)length * sizeof *job->wish.tokens);
    if (!job->wish.tokens)
        return sv_refuse(fault, 503, "out_of_memory", "", "no memory for a request");
    for (int i = 0; i < count; ++i) {
        memcpy(job->wish.tokens + (size_t)i * (size_t)length, from->pictures[i].tokens,
               (size_t)length * sizeof *job->wish.tokens);
        job->wish.labels[i] = from->pictures[i].label;
    }
    request->given_tokens = job->wish.tokens;
    request->given_count = count;
    request->given_scales = keep;
    if (!request->class_name) {
        request->labels = job->wish.labels;
        request->label_count = count;
    }
    return true;
}

static bool create(sv_call *call, sv_job *job, const sv_job *from, cJSON *json, sv_fault *fault) {
    job->kept = true;
    job->client = call->client;
    if (!sv_wish_read(&job->wish, &call->model->context, from ? &from->wish : NULL, NULL, json,
                      fault))
        return false;
    job->wish.stream = false; /* events are there for all */
    job->wish.partials = 0;
    if (from && !keep_scales(job, from, fault)) return false;
    sv_load_adapt(job);
    return sv_latency_plan(call, job, fault) && sv_job_measure(job, fault) && sv_submit(job, fault);
}

/* from: the job that is refined, or NULL. */
static void begin(sv_call *call, const sv_job *from) {
    sv_fault fault;
    cJSON *json = NULL;
    const bool empty = from && call->size == 0;
    sv_job *job = NULL;
    if (empty)
        json = cJSON_CreateObject();
    else if (!sv_json_read(&json, call->body, call->size, &fault)) {
        sv_answer_fault(call, &fault);
        return;
    }
    job = sv_job_new(call->model);
    if (!job) {
        cJSON_Delete(json);
        sv_refuse(&fault, 503, "out_of_memory", "", "no memory for a request");
        sv_answer_fault(call, &fault);
        return;
    }
    if (create(call, job, from, json, &fault))
        answer_created(call, job);
    else if (!call->later)
        sv_answer_fault(call, &fault);
    release(job);
}

void sv_jobs_create(sv_call *call) {
    begin(call, NULL);
}

void sv_jobs_refine(sv_call *call) {
    sv_job *from = find(call);
    sv_fault fault;
    if (!from) return;
    if (state_of(from) != SV_COMPLETED) {
        sv_refuse(&fault, 409, "not_completed", "",
                  "job %s is not completed: there is nothing to refine", from->id);
        sv_answer_fault(call, &fault);
    } else if (strcmp(from->model->hash, call->model->hash) != 0) {
        sv_refuse(&fault, 409, "model_changed", "",
                  "job %s was made by the model %s, and this server has %s by now: its scales mean "
                  "nothing to that one",
                  from->id, from->model->hash, call->model->hash);
        sv_answer_fault(call, &fault);
    } else {
        begin(call, from);
    }
    release(from);
}

/* ---- one that is there ---- */

/* The picture so far, of a job that is at work; asking makes previews come for a while. */
static void add_so_far(cJSON *json, sv_job *job) {
    pthread_mutex_lock(&job->server->lock);
    job->watched_until = vt_seconds() + SECONDS_WATCHED;
    pthread_mutex_unlock(&job->server->lock);
    cJSON *list = NULL;
    for (int i = 0; i < job->wish.request.count; ++i) {
        variant_picture picture;
        int scale;
        if (!sv_preview_copy(job, i, 0, 0, &picture, &scale)) continue;
        if (!list) list = cJSON_AddArrayToObject(json, "previews");
        cJSON *one = cJSON_CreateObject();
        char *text = sv_picture_base64(&job->wish, &picture);
        cJSON_AddNumberToObject(one, "picture", i);
        cJSON_AddNumberToObject(one, "scale", scale);
        cJSON_AddStringToObject(one, "b64_json", text ? text : "");
        cJSON_AddItemToArray(list, one);
        free(text);
        free(picture.pixels);
    }
}

/* ?preview=true, or false. */
static bool read_preview(const sv_call *call, bool *out, sv_fault *fault) {
    const char *text = sv_query(call, "preview");
    *out = text && strcmp(text, "true") == 0;
    if (!text || *out || strcmp(text, "false") == 0) return true;
    return sv_refuse(fault, 400, "invalid_value", "preview", "preview: expected true or false");
}

void sv_jobs_show(sv_call *call) {
    sv_job *job = find(call);
    sv_fault fault;
    bool preview;
    if (!job) return;
    if (read_preview(call, &preview, &fault)) {
        cJSON *json = sv_job_json(call, job, true);
        if (preview && state_of(job) < SV_COMPLETED) add_so_far(json, job);
        sv_answer_json(call, 200, json);
    } else {
        sv_answer_fault(call, &fault);
    }
    release(job);
}

void sv_jobs_cancel(sv_call *call) {
    sv_job *job = find(call);
    if (!job) return;
    pthread_mutex_lock(&call->server->lock);
    sv_job_cancel(job);
    pthread_mutex_unlock(&call->server->lock);
    sv_answer_json(call, 200, sv_job_json(call, job, false));
    release(job);
}

void sv_jobs_events(sv_call *call) {
    sv_job *job = find(call);
    if (!job) return;
    sv_stream(call, job, false, sv_next_job_event);
    release(job);
}

/* "0.png": which picture, in which format; -1: it is no such name. */
static int read_name(const char *name, const char **format) {
    static const char *const formats[] = {"png", "jpeg", "webp"};
    char *end;
    if (*name < '0' || *name > '9') return -1;
    const long index = strtol(name, &end, 10);
    for (size_t i = 0; *end == '.' && i < sizeof formats / sizeof *formats; ++i)
        if (strcmp(end + 1, formats[i]) == 0) {
            *format = formats[i];
            return index < SV_MOST_PICTURES ? (int)index : -1;
        }
    return -1;
}

void sv_jobs_image(sv_call *call) {
    const char *format = "png";
    uint8_t *bytes;
    size_t size;
    sv_fault fault;
    variant_error err;
    sv_job *job = find(call);
    if (!job) return;
    const int index = read_name(call->arguments[1], &format);
    if (state_of(job) != SV_COMPLETED || index < 0 || index >= job->wish.request.count) {
        sv_refuse(&fault, 404, "not_found", "",
                  "job %s has no picture %s: expected 0.png (.jpeg, .webp) and on, once completed",
                  job->id, call->arguments[1]);
        sv_answer_fault(call, &fault);
    } else if (variant_picture_encode(&job->pictures[index], format,
                                      strcmp(format, "jpeg") == 0 ? job->wish.compression : 0,
                                      &bytes, &size, &err) != VARIANT_OK) {
        sv_refuse_error(&fault, "", &err);
        sv_answer_fault(call, &fault);
    } else {
        sv_answer_bytes(call,
                        strcmp(format, "png") == 0    ? "image/png"
                        : strcmp(format, "jpeg") == 0 ? "image/jpeg"
                                                      : "image/webp",
                        bytes, size);
    }
    release(job);
}

/* jobs.c - jobs: requests that go on by themselves, are looked at, watched, cancelled, refined. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "io/json.h"
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
    vt_json_string(json, "poll_url", address);
    vt_json_string(json, "events_url", events);
    sv_answer_json(call, 202, json);
}

/* One of the pictures alone, where that is asked: with the random numbers that it had among the others. */
static bool read_picture(sv_wish *wish, int *first, sv_fault *fault) {
    variant_request *request = &wish->request;
    int only = -1;
    if (!sv_field_int(wish->json, "picture", 0, request->count - 1, &only, fault)) return false;
    if (only < 0) return true;
    *first = only;
    request->first_image += only;
    request->count = 1;
    return true;
}

/* Tokens and classes of the pictures of `from`, from `first` on. */
static bool take_pictures(sv_wish *wish, const sv_job *from, int first, sv_fault *fault) {
    variant_request *request = &wish->request;
    const int count = request->count;
    const size_t length = (size_t)from->pictures[0].token_count;
    wish->tokens = malloc((size_t)count * length * sizeof *wish->tokens);
    if (!wish->tokens) return sv_refuse(fault, 503, "out_of_memory", "", "no memory for a request");
    for (int i = 0; i < count; ++i) {
        const variant_picture *picture = &from->pictures[first + i];
        const int slot = (request->first_image + i) % count; /* where the library looks */
        memcpy(wish->tokens + (size_t)slot * length, picture->tokens,
               length * sizeof *wish->tokens);
        wish->labels[slot] = picture->label;
    }
    request->given_tokens = wish->tokens;
    request->given_count = count;
    if (request->class_name) return true;
    request->labels = wish->labels;
    request->label_count = count;
    return true;
}

/* The scales that a refined picture keeps: as asked, else those at full depth. */
static bool keep_scales(sv_job *job, const sv_job *from, sv_fault *fault) {
    const variant_info *info = &job->model->context.info;
    int keep = info->bridge < info->scales ? info->bridge : info->scales - 1, first = 0;
    if (!sv_field_int(job->wish.json, "keep_scales", 0, info->scales - 1, &keep, fault) ||
        !read_picture(&job->wish, &first, fault))
        return false;
    if (from->wish.request.edits)
        return sv_refuse(fault, 409, "not_refinable", "",
                         "the job is an edit, whose scales are not kept: edit its picture again");
    job->wish.request.given_scales = keep;
    return take_pictures(&job->wish, from, first, fault);
}

/* What a job is made of: its members, and the picture that is edited or the job that is refined, or neither. */
typedef struct making {
    cJSON *json;
    const sv_edit *edit;
    const sv_job *from;
} making;

/* Takes what it is made of. */
static bool create(sv_call *call, sv_job *job, const making *of, sv_fault *fault) {
    const sv_job *from = of->from;
    job->kept = true;
    job->client = call->client;
    if (of->edit) job->inbox = of->edit->bytes;
    if (!sv_wish_read(&job->wish, &call->model->context, from ? &from->wish : NULL, of->edit,
                      of->json, fault) ||
        !sv_field_bool(of->json, "every_scale", &job->every_scale, fault))
        return false;
    job->wish.stream = false; /* events are there for all */
    job->wish.partials = 0;
    if (from && !keep_scales(job, from, fault)) return false;
    sv_load_adapt(job);
    return sv_latency_plan(call, job, fault) && sv_job_measure(job, fault) && sv_submit(job, fault);
}

static void give_back(sv_call *call, const making *of) {
    cJSON_Delete(of->json);
    if (!of->edit) return;
    sv_edit edit = *of->edit;
    sv_edit_free(&edit);
    sv_give_room(call->server, edit.bytes);
}

static void begin(sv_call *call, const making *of) {
    sv_fault fault;
    sv_job *job = sv_job_new(call->model);
    if (!job) {
        give_back(call, of);
        sv_refuse(&fault, 503, "out_of_memory", "", "no memory for a request");
        sv_answer_fault(call, &fault);
        return;
    }
    if (create(call, job, of, &fault))
        answer_created(call, job);
    else if (!call->later)
        sv_answer_fault(call, &fault);
    release(job);
}

/* from: the job that is refined, or NULL. */
static void begin_plain(sv_call *call, const sv_job *from) {
    sv_fault fault;
    making of = {.from = from};
    if (from && call->size == 0) {
        of.json = cJSON_CreateObject();
    } else if (!sv_json_read(&of.json, call->body, call->size, &fault)) {
        sv_answer_fault(call, &fault);
        return;
    }
    begin(call, &of);
}

void sv_jobs_create(sv_call *call) {
    begin_plain(call, NULL);
}

void sv_jobs_edit(sv_call *call) {
    sv_fault fault;
    sv_edit edit;
    making of = {.edit = &edit};
    if (sv_images_read_edit(call, &edit, &of.json, &fault))
        begin(call, &of);
    else
        sv_answer_fault(call, &fault);
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
        begin_plain(call, from);
    }
    release(from);
}

/* ---- one that is there ---- */

/* The newest that is kept of a picture, where the job keeps one a scale. */
static bool copy_newest(sv_job *job, int index, variant_picture *picture, int *scale) {
    for (int slot = job->slots - 1; slot >= 0; --slot)
        if (sv_preview_copy(job, index, slot, 0, picture, scale)) return true;
    return false;
}

/* The picture so far, of a job that is at work; asking makes previews come for a while. */
static void add_so_far(cJSON *json, sv_job *job) {
    pthread_mutex_lock(&job->server->lock);
    job->watched_until = vt_seconds() + SECONDS_WATCHED;
    pthread_mutex_unlock(&job->server->lock);
    cJSON *list = NULL;
    for (int i = 0; i < job->wish.request.count; ++i) {
        variant_picture picture;
        int scale;
        if (!copy_newest(job, i, &picture, &scale)) continue;
        if (!list) list = vt_json_array(json, "previews");
        cJSON *one = cJSON_CreateObject();
        char *text = sv_picture_base64(&job->wish, &picture);
        vt_json_number(one, "picture", i);
        vt_json_number(one, "scale", scale);
        vt_json_put(one, "b64_json", text ? cJSON_CreateString(text) : NULL);
        vt_json_append(list, one);
        free(text);
        free(picture.pixels);
    }
}

void sv_jobs_show(sv_call *call) {
    sv_job *job = find(call);
    sv_fault fault;
    bool preview;
    if (!job) return;
    if (sv_query_flag(call, "preview", &preview, &fault)) {
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

/* job.c - see job.h. */
#include "serve/job.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/log.h"
#include "serve/server.h"
#include "serve/text.h"

const char *sv_state_name(sv_state state) {
    static const char *const names[] = {"queued", "running", "completed", "failed", "cancelled"};
    return names[state];
}

/* ---- life ---- */

sv_job *sv_job_new(sv_model *model) {
    sv_job *job = calloc(1, sizeof *job);
    if (!job) return NULL;
    job->server = model->server;
    job->model = model;
    job->uses = true;
    job->holders = 1;
    pthread_mutex_lock(&model->server->lock);
    sv_model_add_user(model);
    sv_model_hold(model); /* as long as it is kept */
    pthread_mutex_unlock(&model->server->lock);
    job->created = vt_seconds();
    job->created_at = time(NULL);
    sv_random_id(job->id);
    return job;
}

void sv_job_hold(sv_job *job) {
    ++job->holders;
}

static size_t pixel_bytes(const sv_job *job) {
    return (size_t)job->shape.width * (size_t)job->shape.height * (size_t)job->shape.channels;
}

static void forget_previews(sv_job *job) {
    const int count = job->previews ? job->wish.request.count * job->slots : 0;
    for (int i = 0; i < count; ++i) {
        if (job->previews[i].pixels) job->held -= pixel_bytes(job);
        free(job->previews[i].pixels);
    }
    free(job->previews);
    job->previews = NULL;
}

void sv_job_forget_scales(sv_job *job) {
    pthread_mutex_lock(&job->server->lock);
    forget_previews(job);
    pthread_mutex_unlock(&job->server->lock);
}

void sv_job_drop_edit(sv_job *job) {
    job->server->inbox -= job->inbox;
    job->inbox = 0;
    sv_edit_free(&job->wish.edit);
}

/* It needs the engine no more. */
static void leave_engine(sv_job *job) {
    if (!job->uses) return;
    job->uses = false;
    sv_model_leave(job->model);
}

void sv_job_release(sv_job *job) {
    if (--job->holders > 0) return;
    leave_engine(job);
    sv_job_drop_edit(job);
    forget_previews(job);
    variant_pictures_free(&job->pictures, job->wish.request.count);
    sv_wish_free(&job->wish);
    sv_model_release(job->model);
    free(job);
}

bool sv_job_is_over(const sv_job *job) {
    return job->state >= SV_COMPLETED;
}

size_t sv_job_pixels(const sv_job *job) {
    const variant_picture *one = job->pictures ? job->pictures : &job->shape;
    return (size_t)one->width * (size_t)one->height * (size_t)job->wish.request.count;
}

/* ---- what the library calls, on the engine's thread ---- */

static bool on_progress(void *user, const variant_progress *at) {
    sv_job *job = user;
    pthread_mutex_lock(&job->server->lock);
    /* behind the last batch no other begins */
    job->scale = at->pictures_done == at->pictures ? at->scales : at->scale;
    job->server->made += (uint64_t)(at->pictures_done - job->pictures_done);
    job->pictures_done = at->pictures_done;
    sv_wake(job);
    pthread_mutex_unlock(&job->server->lock);
    return true;
}

/* The slot that a picture after `scale` scales goes to, or -1. */
static int slot_of(const sv_job *job, int scale) {
    if (job->every_scale) return scale <= job->slots ? scale - 1 : -1;
    if (job->kept) return 0;
    for (int i = 0; i < job->wish.partials; ++i)
        if (sv_partial_scale(&job->wish, job->model->context.info.scales, i) == scale) return i;
    return -1;
}

/* Nobody waits for a picture that nobody looks at, nor for one that somebody else looks at. */
static bool on_previews(void *user, int scale) {
    sv_job *job = user;
    sv_server *s = job->server;
    pthread_mutex_lock(&s->lock);
    const bool watched = job->every_scale || job->watchers > 0 || vt_seconds() < job->watched_until;
    const bool wanted = watched && slot_of(job, scale) >= 0, free = s->held_back == 0;
    s->metrics.previews_left_out += wanted && !free;
    pthread_mutex_unlock(&s->lock);
    return wanted && free;
}

static void on_preview(void *user, const variant_preview *at) {
    sv_job *job = user;
    const int slot = at->scale == at->scales ? -1 : slot_of(job, at->scale);
    const size_t bytes = (size_t)at->width * (size_t)at->height * (size_t)at->channels;
    if (slot < 0) return; /* the finished one comes by itself */
    uint8_t *pixels = malloc(bytes);
    if (!pixels) return; /* the picture itself may still be had */
    memcpy(pixels, at->pixels, bytes);
    pthread_mutex_lock(&job->server->lock);
    sv_preview *preview = &job->previews[at->picture * job->slots + slot];
    if (!preview->pixels) job->held += bytes;
    free(preview->pixels);
    *preview = (sv_preview){at->scale, pixels};
    job->shape =
        (variant_picture){.width = at->width, .height = at->height, .channels = at->channels};
    if (job->first_preview <= 0.0) {
        sv_metrics *m = &job->server->metrics;
        job->first_preview = vt_seconds();
        m->first_preview_seconds += job->first_preview - job->created;
        ++m->first_previews;
    }
    ++job->server->metrics.previews;
    sv_wake(job);
    pthread_mutex_unlock(&job->server->lock);
}

/* ---- what it takes ---- */

/* Bytes of the request at its batch, and of previews that are kept of it. */
static variant_status measure(sv_job *job, variant_error *err) {
    variant_memory memory = {.size = sizeof memory};
    VT_TRY(variant_request_memory(job->model->engine, &job->wish.request, &memory, err));
    const size_t picture = memory.pictures / (size_t)job->wish.request.count;
    job->kv = memory.kv;
    job->bytes = memory.arena + memory.kv + memory.edits + memory.pictures +
                 picture * (size_t)(job->wish.request.count * job->slots);
    return VARIANT_OK;
}

/* So many pictures at a time that another request finds room beside it: half of the memory, unless one alone takes more. */
bool sv_job_measure(sv_job *job, sv_fault *fault) {
    variant_request *request = &job->wish.request;
    const sv_server *s = job->server;
    const size_t most = s->memory - s->options->keep_bytes - job->model->bytes;
    variant_error err;
    job->slots = job->every_scale ? job->model->context.info.scales - 1
                 : job->kept      ? 1
                                  : job->wish.partials;
    if (job->slots > 0) {
        request->preview = on_preview;
        request->previews = on_previews;
        job->previews = calloc((size_t)(request->count * job->slots), sizeof *job->previews);
        if (!job->previews)
            return sv_refuse(fault, 503, "out_of_memory", "", "no memory for a request");
    }
    request->progress = on_progress;
    request->cancel = &job->cancel;
    request->user = job;
    if (request->batch > request->count) request->batch = request->count;
    for (;; request->batch = (request->batch + 1) / 2) {
        if (measure(job, &err) != VARIANT_OK) return sv_refuse_error(fault, "", &err);
        if (request->batch == 1 || job->bytes <= most / 2) break;
    }
    sv_times_unit(job->model, request, job->unit);
    if (job->bytes <= most) return true;
    return sv_refuse(fault, 400, "too_large", "n",
                     "the request takes %.1f MB of memory, this server has %.1f MB for all",
                     (double)job->bytes * 1e-6, (double)most * 1e-6);
}

/* ---- its end ---- */

static void count_end(sv_job *job) {
    sv_metrics *m = &job->server->metrics;
    const variant_report *r = &job->report;
    if (job->state == SV_FAILED) ++m->jobs_failed;
    if (job->state == SV_CANCELLED) ++m->jobs_cancelled;
    if (job->state != SV_COMPLETED) return;
    ++m->jobs_completed;
    ++m->finished;
    m->finished_seconds += job->finished - job->created;
    m->pictures += (uint64_t)job->wish.request.count;
    m->transformer_seconds += r->transformer_seconds;
    m->sampling_seconds += r->sampling_seconds;
    m->quantizer_seconds += r->quantizer_seconds;
    m->decoder_seconds += r->decoder_seconds;
}

void sv_job_end(sv_job *job, sv_state state, const sv_fault *fault) {
    sv_server *s = job->server;
    const int count = job->wish.request.count;
    if (job->state == SV_QUEUED) {
        --s->queued;
        sv_job_drop_edit(job); /* nobody will read it */
    }
    if (job->state == SV_RUNNING) {
        --s->running;
        --job->model->running;
        s->reserved -= job->bytes;
    }
    job->state = state;
    job->finished = vt_seconds();
    if (fault) job->fault = *fault;
    if (job->pictures) {
        const variant_picture *p = &job->pictures[0];
        job->held += (size_t)count * ((size_t)p->width * (size_t)p->height * (size_t)p->channels +
                                      (size_t)p->token_count * sizeof *p->tokens);
    }
    if (job->kept && !job->every_scale) forget_previews(job); /* the pictures are there */
    s->last_end = job->finished;
    count_end(job);
    leave_engine(job);
    sv_log_job(job);
    sv_wake(job);
}

void sv_job_cancel(sv_job *job) {
    static const sv_fault fault = {
        .status = 409, .code = "cancelled", .message = "the request was cancelled"};
    if (sv_job_is_over(job)) return;
    __atomic_store_n(&job->cancel, 1, __ATOMIC_RELAXED);
    if (job->state == SV_QUEUED) sv_job_end(job, SV_CANCELLED, &fault);
}

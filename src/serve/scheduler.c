/* scheduler.c - see scheduler.h. The order is queue.c's. */
#include "serve/scheduler.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/http.h"
#include "serve/load.h"
#include "serve/log.h"
#include "serve/queue.h"
#include "serve/reload.h"

enum { SECONDS_TO_TRIM = 10 };
#define SECONDS_UNKNOWN 1.0 /* of a request, while none was finished */

/* ---- the queue ---- */

/* Requests of the same client that are not over. */
static int count_of_client(const sv_server *s, uint64_t client) {
    int count = 0;
    for (const sv_job *job = s->jobs; job; job = job->next)
        count += job->client == client && !sv_job_is_over(job);
    return count;
}

static bool is_full_for(const sv_server *s, const sv_job *job) {
    const int most = s->options->per_client;
    return most > 0 && count_of_client(s, job->client) >= most;
}

/* Until so many of those that are there have ended, each as long as the backlog has for it; or as the present one has taken. */
static int retry_after(const sv_server *s, int waiting) {
    const double silent = vt_seconds() - s->last_end, known = sv_backlog(s),
                 each = known > 0.0 ? known / (s->queued + s->running) : SECONDS_UNKNOWN;
    return sv_queue_retry_after(waiting, silent > each ? silent : each);
}

bool sv_submit(sv_job *job, sv_fault *fault) {
    sv_server *s = job->server;
    pthread_mutex_lock(&s->lock);
    bool taken = false;
    if (s->draining) {
        ++s->metrics.rejected_draining;
        sv_refuse(fault, 503, "draining", "", "the server is about to end: ask another, or later");
        fault->retry_after = 5;
    } else if (s->queued >= s->options->queue) {
        ++s->metrics.rejected_full;
        sv_refuse(fault, 429, "queue_full", "", "%d requests wait already, which is the limit",
                  s->queued);
        fault->retry_after = retry_after(s, s->queued + s->running);
    } else if (is_full_for(s, job)) {
        ++s->metrics.rejected_client;
        sv_refuse(fault, 429, "client_limit", "",
                  "%d requests of this client wait or are at work already, which is its limit",
                  s->options->per_client);
        fault->retry_after = retry_after(s, 1);
    } else if (job->bytes > s->budget) { /* as it is while a second model is open */
        sv_refuse(fault, 503, "busy", "", "two models are open for a moment: there is less memory");
        fault->retry_after = 1;
    } else {
        sv_job **last = &s->jobs;
        while (*last) last = &(*last)->next;
        *last = job;
        sv_job_hold(job);
        if (s->queued + s->running == 0) s->last_end = vt_seconds();
        job->number = s->arrivals++;
        job->deadline = job->created + job->wish.deadline;
        const double latency = job->wish.max_latency;
        job->due = latency > 0.0 ? job->created + latency : job->deadline;
        ++s->queued;
        sv_times_interrupt(s);
        taken = true;
        pthread_cond_signal(&s->work);
    }
    pthread_mutex_unlock(&s->lock);
    return taken;
}

int sv_queue_place(const sv_job *job) {
    int place = 1;
    if (job->state != SV_QUEUED) return 0;
    for (const sv_job *other = job->server->jobs; other; other = other->next)
        if (other->state == SV_QUEUED &&
            (other->due < job->due || (other->due <= job->due && other->number < job->number)))
            ++place;
    return place;
}

sv_job *sv_job_find(sv_server *server, const char *id) {
    for (sv_job *job = server->jobs; job; job = job->next)
        if (job->kept && strcmp(job->id, id) == 0) return job;
    return NULL;
}

static void expire(sv_job *job) {
    static const sv_fault fault = {.status = 504,
                                   .code = "deadline_exceeded",
                                   .message = "the request was not finished by its deadline"};
    ++job->server->metrics.jobs_expired;
    job->fault = fault;
    __atomic_store_n(&job->cancel, 1, __ATOMIC_RELAXED);
    if (job->state == SV_QUEUED) sv_job_end(job, SV_FAILED, &fault);
}

static void forget(sv_job **at) {
    sv_job *job = *at;
    *at = job->next;
    job->next = NULL;
    sv_job_release(job);
}

void sv_jobs_tidy(sv_server *server) {
    const double now = vt_seconds();
    size_t kept = 0;
    for (sv_job *job = server->jobs; job; job = job->next) {
        if (!sv_job_is_over(job) && now >= job->deadline && !job->fault.status) expire(job);
        if (sv_job_is_over(job)) kept += job->held;
    }
    for (sv_job **at = &server->jobs; *at;) {
        const sv_job *job = *at;
        const bool old = now - job->finished > server->options->keep,
                   over = kept > server->options->keep_bytes;
        if (!sv_job_is_over(job) || (job->kept && !old && !over)) {
            at = &(*at)->next;
            continue;
        }
        kept -= job->held;
        forget(at);
    }
}

/* ---- joining and leaving ---- */

static sv_job *pick(sv_server *s) {
    sv_waiting *list = malloc((size_t)s->queued * sizeof *list);
    int count = 0;
    sv_job *picked = NULL;
    for (sv_job *job = s->jobs; list && job; job = job->next)
        if (job->state == SV_QUEUED)
            list[count++] = (sv_waiting){job->due, job->number, job->bytes, &job->passed};
    const int at = count > 0 ? sv_queue_pick(list, count, s->budget - s->reserved) : -1;
    for (sv_job *job = s->jobs; at >= 0 && job; job = job->next)
        if (job->number == list[at].number) picked = job;
    free(list);
    return picked;
}

/* The lock is given up while the library reads the request: of an edit that takes a while. */
static void begin(sv_engine_thread *e, sv_job *job) {
    sv_server *s = e->server;
    variant_error err;
    sv_fault fault;
    job->state = SV_RUNNING;
    job->started = vt_seconds();
    --s->queued;
    ++s->running;
    ++job->model->running;
    s->reserved += job->bytes;
    s->metrics.waited_seconds += job->started - job->created;
    ++s->metrics.waited;
    sv_wake(job);
    pthread_mutex_unlock(&s->lock);
    const variant_status status =
        variant_loop_add(job->model->loop, &job->wish.request, &job->running, &err);
    pthread_mutex_lock(&s->lock);
    sv_job_drop_edit(job);
    if (status == VARIANT_OK) return;
    sv_refuse_error(&fault, "", &err);
    sv_job_end(job, SV_FAILED, &fault);
}

static void take(sv_job *job) {
    variant_error err;
    sv_fault fault;
    variant_report_init(&job->report);
    const variant_status status =
        variant_job_take(&job->running, &job->pictures, &job->report, &err);
    if (status == VARIANT_OK) {
        sv_job_end(job, SV_COMPLETED, NULL);
    } else if (job->fault.status) { /* its deadline */
        sv_job_end(job, SV_FAILED, NULL);
    } else if (status == VARIANT_E_STOPPED) {
        sv_refuse(&fault, 409, "cancelled", "", "the request was cancelled");
        sv_job_end(job, SV_CANCELLED, &fault);
    } else {
        sv_refuse_error(&fault, "", &err);
        sv_job_end(job, SV_FAILED, &fault);
    }
}

static void collect(sv_server *s) {
    for (sv_job *job = s->jobs; job; job = job->next)
        if (job->running && variant_job_done(job->running)) take(job);
    sv_jobs_tidy(s);
}

static void step_model(sv_model *model, bool runs) {
    variant_error err;
    if (runs && variant_loop_step(model->loop, NULL, &err) != VARIANT_OK)
        sv_log_error("step", err.message);
}

/* One step of all that are at work. The lock is held, but for the step itself. */
static void step(sv_engine_thread *e) {
    sv_server *s = e->server;
    sv_model *model = s->model, *old = s->old; /* another may come meanwhile */
    const bool runs = model->running > 0, old_runs = old && old->running > 0;
    int pictures;
    const double alone = sv_times_step(s, &pictures);
    const uint64_t made = s->made;
    s->held_back = s->queued;
    pthread_mutex_unlock(&s->lock);
    sv_watch_clients(s);
    const double start = vt_seconds();
    step_model(model, runs);
    step_model(old, old_runs);
    const double took = vt_seconds() - start;
    pthread_mutex_lock(&s->lock);
    ++s->metrics.steps;
    s->metrics.step_seconds += took;
    sv_pace_learn(&s->step_pace, pictures, alone, took);
    sv_rhythm_step(&s->rhythm, took, (int)(s->made - made));
    collect(s);
}

static bool is_idle(const sv_server *s) {
    return !sv_reload_over(s) && s->queued == 0 && !s->stopping &&
           (s->draining || !sv_times_wanted(s->model));
}

/* For work. After a while without any, memory that requests left goes back. The lock is held, but for the waiting. */
static void wait(sv_server *s) {
    struct timespec until;
    clock_gettime(CLOCK_REALTIME, &until);
    until.tv_sec += SECONDS_TO_TRIM;
    if (!is_idle(s) || pthread_cond_timedwait(&s->work, &s->lock, &until) != ETIMEDOUT) return;
    pthread_mutex_unlock(&s->lock);
    variant_engine_trim(s->model->engine);
    pthread_mutex_lock(&s->lock);
    while (is_idle(s)) pthread_cond_wait(&s->work, &s->lock);
}

static void *run(void *user) {
    sv_engine_thread *e = user;
    sv_server *s = e->server;
    pthread_mutex_lock(&s->lock);
    for (;;) {
        sv_jobs_tidy(s);
        if (sv_reload_over(s)) sv_reload_close(s);
        for (sv_job *job = s->queued ? pick(s) : NULL; job; job = s->queued ? pick(s) : NULL)
            begin(e, job);
        if (s->running > 0)
            step(e);
        else if (s->stopping)
            break;
        else if (!s->draining && sv_times_wanted(s->model))
            sv_times_measure(s->model);
        else
            wait(s);
    }
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

variant_status sv_engine_start(sv_engine_thread *out, sv_server *server, variant_error *err) {
    *out = (sv_engine_thread){.server = server};
    out->started = pthread_create(&out->thread, NULL, run, out) == 0;
    return out->started ? VARIANT_OK
                        : vt_fail(err, VARIANT_E_MEMORY, "no thread for the engine could be had");
}

void sv_engine_join(sv_engine_thread *thread) {
    if (thread->started) pthread_join(thread->thread, NULL);
}

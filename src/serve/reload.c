/* reload.c - see reload.h. */
#include "serve/reload.h"

#include <stdlib.h>
#include <sys/stat.h>

#include "core/clock.h"
#include "serve/log.h"
#include "serve/systemd.h"

/* ---- memory ---- */

static size_t most_waiting(const sv_server *s) {
    size_t most = 0;
    for (const sv_job *job = s->jobs; job; job = job->next)
        if (job->state == SV_QUEUED && job->bytes > most) most = job->bytes;
    return most;
}

/* Is there room for a second model beside the one of now, what is at work and the largest that waits? The lock is held. */
static variant_status fits(const sv_server *s, size_t bytes, size_t least, variant_error *err) {
    const size_t fixed = s->options->keep_bytes + s->model->bytes + bytes;
    size_t need = s->reserved, waiting = most_waiting(s);
    if (waiting > need) need = waiting;
    if (least > need) need = least;
    if (s->memory >= fixed && s->memory - fixed >= need) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY,
                   "--max-memory: %.1f MB; two models and pictures kept take %.1f MB and requests "
                   "%.1f MB: the model of before stays",
                   (double)s->memory * 1e-6, (double)fixed * 1e-6, (double)need * 1e-6);
}

/* What the file may take, before it is opened: as the one of now, or less where it is a smaller file. */
static size_t guess(const sv_server *s) {
    struct stat file;
    const size_t now = s->model->bytes;
    if (stat(s->options->engine.model, &file) != 0 || !S_ISREG(file.st_mode)) return now;
    return (size_t)file.st_size < now ? (size_t)file.st_size : now;
}

static variant_status check_before(sv_server *s, variant_error *err) {
    pthread_mutex_lock(&s->lock);
    const variant_status status = fits(s, guess(s), 0, err);
    pthread_mutex_unlock(&s->lock);
    return status;
}

/* ---- the exchange ---- */

static variant_status exchange(sv_server *s, sv_model *next, variant_error *err) {
    pthread_mutex_lock(&s->lock);
    variant_status status = fits(s, next->bytes, next->least, err);
    if (s->draining) status = vt_fail(err, VARIANT_E_STOPPED, "the server is about to end");
    if (status == VARIANT_OK) {
        s->old = s->model;
        s->model = next;
        s->budget = s->memory - s->options->keep_bytes - s->old->bytes - next->bytes;
        ++s->metrics.reloads;
        sv_model_retire(s->old);
        sv_times_interrupt(s);
    }
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void log_reload(const sv_model *next, double seconds) {
    cJSON *fields = cJSON_CreateObject();
    cJSON_AddStringToObject(fields, "model_hash", next->hash);
    cJSON_AddNumberToObject(fields, "bytes", (double)next->bytes);
    sv_log_seconds(fields, "seconds", seconds);
    sv_log("reloaded", fields);
}

static variant_status reload(sv_server *s, variant_error *err) {
    const double start = vt_seconds();
    sv_model *next;
    VT_TRY(check_before(s, err));
    VT_TRY(sv_model_open(&next, s, err));
    const variant_status status = exchange(s, next, err);
    if (status == VARIANT_OK) {
        log_reload(next, vt_seconds() - start);
        return VARIANT_OK;
    }
    sv_model_close_engine(next);
    pthread_mutex_lock(&s->lock);
    sv_model_release(next);
    pthread_mutex_unlock(&s->lock);
    return status;
}

static void *run(void *user) {
    sv_server *s = user;
    variant_error err;
    const bool failed = reload(s, &err) != VARIANT_OK;
    if (failed) sv_log_error("reload", err.message);
    pthread_mutex_lock(&s->lock);
    s->metrics.reloads_failed += failed;
    s->reload.ended = true;
    pthread_mutex_unlock(&s->lock);
    return NULL;
}

/* ---- when ---- */

void sv_reload_ask(sv_server *s) {
    s->reload.wanted = true;
}

static void collect(sv_server *s) {
    pthread_mutex_lock(&s->lock);
    const bool ended = s->reload.running && s->reload.ended;
    pthread_mutex_unlock(&s->lock);
    if (!ended) return;
    sv_reload_end(s);
    sv_notify("READY=1");
}

static bool may_begin(sv_server *s) {
    pthread_mutex_lock(&s->lock);
    const bool may = !s->old && !s->draining;
    pthread_mutex_unlock(&s->lock);
    return may && s->reload.wanted && !s->reload.running;
}

void sv_reload_tick(sv_server *s) {
    collect(s);
    if (!may_begin(s)) return;
    s->reload.wanted = s->reload.ended = false;
    sv_notify_reloading();
    s->reload.running = pthread_create(&s->reload.thread, NULL, run, s) == 0;
    if (s->reload.running) return;
    sv_log_error("reload", "no thread could be had");
    sv_notify("READY=1");
}

void sv_reload_end(sv_server *s) {
    if (!s->reload.running) return;
    pthread_join(s->reload.thread, NULL);
    s->reload.running = false;
}

/* ---- the model of before ---- */

bool sv_reload_over(const sv_server *s) {
    return s->old && s->old->users == 0;
}

void sv_reload_close(sv_server *s) {
    sv_model *old = s->old;
    pthread_mutex_unlock(&s->lock);
    sv_model_close_engine(old);
    pthread_mutex_lock(&s->lock);
    s->old = NULL;
    s->budget = s->memory - s->options->keep_bytes - s->model->bytes;
    sv_model_release(old);
}

/* jobs.c - see jobs.h, and the loops and jobs of variant.h. */
#include "engine/jobs.h"

#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/sized.h"
#include "engine/blame.h"
#include "engine/picture.h"

/* ---- a job's life ---- */

static void leave(variant_job *job) {
    for (int i = 0; i < job->live; ++i) vt_loop_leave(&job->loop->loop, job->drawings[i]);
    job->live = 0;
}

static void end(variant_job *job, variant_status status) {
    leave(job);
    job->done = true;
    job->status = status;
    job->report.kv_end_bytes = job->report.scale_kv_bytes[job->choices.scales - 1];
    job->report.total_seconds = vt_seconds() - job->start;
    job->report.peak_resident_bytes = vt_peak_resident_bytes();
    vt_engine_log(job->loop->engine, VARIANT_LOG_DEBUG, "request ended after %.3f s: %s %s",
                  job->report.total_seconds, variant_status_name(status), job->error.message);
}

static bool is_cancelled(variant_job *job) {
    const int *flag = job->choices.request.cancel;
    return atomic_load(&job->cancelled) || (flag && __atomic_load_n(flag, __ATOMIC_RELAXED));
}

static void job_free(variant_job *job) {
    leave(job);
    if (job->pictures) variant_pictures_free(&job->pictures, job->choices.request.count);
    free(job->drawings);
    vt_choices_free(&job->choices);
    free(job);
}

static void log_begun(const variant_job *job) {
    const variant_report *r = &job->report;
    const vt_choices *c = &job->choices;
    if (r->warning[0])
        vt_engine_log(job->loop->engine, VARIANT_LOG_WARNING, "request: %s", r->warning);
    vt_engine_log(job->loop->engine, VARIANT_LOG_DEBUG,
                  "request of %d pictures, %d at a time, layers %s%s%s", c->request.count, c->batch,
                  r->depths, r->uncond_depths[0] ? ", unconditional " : "", r->uncond_depths);
}

variant_status variant_loop_add(variant_loop *loop, const variant_request *request,
                                variant_job **out, variant_error *error) {
    variant_status status = VARIANT_OK;
    variant_request today;
    VT_TRY(vt_need(out, "nowhere to put a job", error));
    *out = NULL;
    VT_TRY(vt_need(loop, VT_NO_LOOP, error));
    VT_TRY(VT_SIZED_TAKE(&today, request, variant_request, error));
    variant_job *job = calloc(1, sizeof *job), **last = &loop->jobs;
    if (!job) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a request");
    job->loop = loop;
    job->start = vt_seconds();
    VT_CHECK(vt_choices_make(&job->choices, loop->engine, &today, error));
    vt_choices_report(&job->choices, &job->report);
    job->drawings = calloc((size_t)job->choices.batch, sizeof *job->drawings);
    if (!job->drawings) VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for a request"));
    VT_CHECK(vt_pictures_new(&job->pictures, &job->choices,
                             today.keep_scales ? job->choices.scales : 0, error));
    while (*last) last = &(*last)->next;
    *last = *out = job;
    log_begun(job);
cleanup:
    if (status != VARIANT_OK) job_free(job);
    return status;
}

bool variant_job_done(const variant_job *job) {
    return !job || job->done;
}

void variant_job_cancel(variant_job *job) {
    if (job) atomic_store(&job->cancelled, 1);
}

variant_status variant_job_take(variant_job **job, variant_picture **pictures,
                                variant_report *report, variant_error *error) {
    variant_job *j = job ? *job : NULL;
    VT_TRY(vt_need(pictures, VT_NO_ROOM_FOR_PICTURES, error));
    *pictures = NULL;
    if (report) VT_TRY(vt_sized_clear(report, "variant_report", error));
    if (!j) return vt_fail(error, VARIANT_E_ARGUMENT, "no job: it was taken before");
    if (j->loop->stepping)
        return vt_fail(error, VARIANT_E_ARGUMENT,
                       "a job cannot be taken in a callback of its loop");
    variant_status status = j->status;
    if (error) *error = j->error;
    if (!j->done) status = vt_fail(error, VARIANT_E_STOPPED, "taken before it was done");
    if (report) vt_sized_give(report, &j->report, sizeof j->report);
    if (status == VARIANT_OK) {
        *pictures = j->pictures;
        j->pictures = NULL;
    }
    variant_job **at = &j->loop->jobs;
    while (*at != j) at = &(*at)->next;
    *at = j->next;
    job_free(j);
    *job = NULL;
    return status;
}

/* ---- joining ---- */

static variant_status join_batch(variant_job *job, variant_error *err) {
    const int left = job->choices.request.count - job->begun;
    const int batch = left < job->choices.batch ? left : job->choices.batch;
    vt_join *joins = malloc((size_t)batch * sizeof *joins);
    vt_loop_seconds *seconds = &job->loop->loop.seconds;
    const double before = seconds->condition;
    if (!joins) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", batch);
    for (int i = 0; i < batch; ++i) {
        joins[i] = vt_choices_join(&job->choices, job->begun + i);
        joins[i].owner = job;
        joins[i].tokens = job->pictures[job->begun + i].tokens;
    }
    variant_status status = vt_loop_join(&job->loop->loop, joins, batch, job->drawings, err);
    free(joins);
    if (status != VARIANT_OK) return status;
    job->live = batch;
    job->begun += batch;
    job->scale = 0;
    job->report.condition_seconds += seconds->condition - before;
    return VARIANT_OK;
}

/* Given scales are of codes, drawn ones of mixtures where those are asked for. */
static void set_smooth(variant_job *job) {
    const vt_choices *c = &job->choices;
    const bool given = c->given && job->scale < c->request.given_scales;
    for (int i = 0; i < job->live; ++i) job->drawings[i]->smooth = c->request.smooth && !given;
}

int vt_jobs_begin(variant_loop *loop) {
    int live = 0;
    for (variant_job *job = loop->jobs; job; job = job->next) {
        if (job->done) continue;
        if (is_cancelled(job)) {
            end(job, vt_fail(&job->error, VARIANT_E_STOPPED, "cancelled at scale %d of picture %d",
                             job->scale, job->begun - job->live));
            continue;
        }
        if (job->live == 0) {
            variant_status status = join_batch(job, &job->error);
            status = vt_model_settle(loop->engine->model, status, &job->error);
            if (status != VARIANT_OK) end(job, status);
        }
        set_smooth(job);
        live += job->live;
    }
    return live;
}

/* ---- after a step ---- */

/* Where a decoded picture goes: to its bytes, and to whoever wants to see it at this scale. */
typedef struct taking {
    variant_job *job;
    int scale;  /* after which it stands, from 0 */
    bool final; /* to the picture's own pixels */
} taking;

static variant_status take_picture(void *user, vt_drawing *drawing, const float *values,
                                   variant_error *err) {
    const taking *t = user;
    const variant_request *r = &t->job->choices.request;
    variant_picture *picture = &t->job->pictures[drawing->index];
    uint8_t *pixels =
        t->final || !r->keep_scales ? picture->pixels : picture->scale_pixels[t->scale];
    bool finite;
    VT_TRY(vt_picture_take(&t->job->choices, vt_choices_edit(&t->job->choices, drawing->index),
                           pixels, values, &finite, err));
    if (!finite) return vt_blame_picture(&t->job->loop->loop, drawing, t->scale, err);
    if (t->final && r->keep_scales)
        memcpy(picture->scale_pixels[t->scale], pixels,
               (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels);
    if (!r->preview) return VARIANT_OK;
    const variant_preview preview = {.picture = drawing->index,
                                     .pictures = r->count,
                                     .scale = t->scale + 1,
                                     .scales = t->job->choices.scales,
                                     .width = picture->width,
                                     .height = picture->height,
                                     .channels = picture->channels,
                                     .pixels = pixels};
    r->preview(r->user, &preview);
    return VARIANT_OK;
}

static variant_status decode(variant_job *job, bool final, variant_error *err) {
    const variant_request *r = &job->choices.request;
    const bool seen_alone = !final && !r->keep_scales; /* by the preview callback */
    if (seen_alone && (!r->preview || (r->previews && !r->previews(r->user, job->scale))))
        return VARIANT_OK;
    taking t = {.job = job, .scale = job->scale - 1, .final = final};
    double start = vt_seconds();
    variant_status status = vt_loop_decode(
        &job->loop->loop, seen_alone ? job->choices.preview_decoder : job->choices.decoder,
        job->drawings, job->live, take_picture, &t, err);
    job->report.decoder_seconds += vt_seconds() - start;
    status = vt_model_settle(job->loop->engine->model, status, err);
    return status == VARIANT_OK && final ? variant_engine_intact(job->loop->engine, err) : status;
}

static bool report_progress(const variant_job *job, int pictures_done, int scales_done) {
    const variant_request *r = &job->choices.request;
    if (!r->progress) return true;
    variant_progress at = {.pictures_done = pictures_done,
                           .pictures = r->count,
                           .scale = scales_done,
                           .scales = job->choices.scales};
    return r->progress(r->user, &at);
}

/* The batch at hand has all its scales. */
static variant_status finish_batch(variant_job *job, variant_error *err) {
    const variant_request *r = &job->choices.request;
    for (int i = job->begun - job->live; i < job->begun; ++i)
        VT_TRY(vt_picture_describe(&job->pictures[i], &job->choices, i, err));
    leave(job);
    if (!report_progress(job, job->begun, 0) && job->begun < r->count)
        return vt_fail(err, VARIANT_E_STOPPED, "stopped after %d pictures", job->begun);
    if (job->begun == r->count) end(job, VARIANT_OK);
    return VARIANT_OK;
}

/* What the step cost, shared with others or not, and what the batch holds. */
static void account(variant_job *job, const vt_loop_seconds *before) {
    const vt_loop *loop = &job->loop->loop;
    const vt_loop_seconds *now = &loop->seconds;
    variant_report *report = &job->report;
    const int k = job->scale;
    size_t held = 0;
    report->transformer_seconds += now->transformer - before->transformer;
    report->scale_seconds[k] += now->transformer - before->transformer;
    report->scale_head_seconds[k] += now->head - before->head;
    report->sampling_seconds += now->choose - before->choose;
    report->quantizer_seconds += now->quantizer - before->quantizer;
    for (int i = 0; i < job->live; ++i) held += vt_drawing_kv_bytes(job->drawings[i]);
    if (held > report->scale_kv_bytes[k]) report->scale_kv_bytes[k] = held;
    if (held > report->kv_peak_bytes) report->kv_peak_bytes = held;
}

static variant_status advance(variant_job *job, const vt_loop_seconds *before, variant_error *err) {
    const int scales = job->choices.scales;
    account(job, before);
    ++job->scale;
    for (int i = 0; i < job->live; ++i)
        if (job->drawings[i]->broken)
            return job->error.status; /* told by whoever drew its tokens */
    const bool last = job->scale == scales;
    if (!last) VT_TRY(decode(job, false, err));
    if (!report_progress(job, job->begun - job->live, job->scale))
        return vt_fail(err, VARIANT_E_STOPPED, "stopped at scale %d", job->scale);
    if (last) VT_TRY(decode(job, true, err));
    const size_t arena = job->loop->loop.arena.peak + vt_drawing_party_bytes(job->drawings[0]);
    if (arena > job->report.arena_peak_bytes) job->report.arena_peak_bytes = arena;
    return last ? finish_batch(job, err) : VARIANT_OK;
}

void vt_jobs_advance(variant_loop *loop, const vt_loop_seconds *before) {
    for (variant_job *job = loop->jobs; job; job = job->next) {
        if (job->done || job->live == 0) continue;
        variant_status status = advance(job, before, &job->error);
        if (status != VARIANT_OK) end(job, status);
    }
}

void vt_jobs_fail(variant_loop *loop, variant_status status, const variant_error *error) {
    for (variant_job *job = loop->jobs; job; job = job->next) {
        if (job->done) continue;
        job->error = *error;
        end(job, status);
    }
}

/* ---- the loop ---- */

variant_status variant_loop_open(variant_loop **out, const variant_engine *engine,
                                 variant_error *error) {
    VT_TRY(vt_need(out, "nowhere to put a loop", error));
    *out = NULL;
    VT_TRY(vt_need(engine, VT_NO_ENGINE, error));
    *out = calloc(1, sizeof **out);
    if (!*out) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a loop");
    (*out)->engine = engine;
    const vt_loop_parts parts = vt_engine_parts(engine);
    vt_loop_open(&(*out)->loop, &parts);
    return VARIANT_OK;
}

void variant_loop_close(variant_loop **loop) {
    variant_loop *l = loop ? *loop : NULL;
    if (!l) return;
    while (l->jobs) {
        variant_job *job = l->jobs;
        l->jobs = job->next;
        job_free(job);
    }
    vt_loop_close(&l->loop);
    free(l->parts);
    free(l->tokens);
    free(l);
    *loop = NULL;
}

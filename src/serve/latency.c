/* latency.c - see latency.h. */
#include "serve/latency.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "serve/connections.h"
#include "serve/log.h"

#define SECONDS_DISTURBED 60.0 /* until disturbed times are measured again, if asked for */
#define SHARE_AIMED 0.9        /* of a latency: forecasts err */
enum { HALVINGS = 24 };

/* ---- times ---- */

static int table_of(const variant_request *request) {
    bool guided = !request->cfg_scales && request->cfg_scale > 0.0f;
    for (int k = 0; request->cfg_scales && k < request->cfg_scale_count; ++k)
        guided = guided || request->cfg_scales[k] > 0.0f;
    return guided ? SV_GUIDED : SV_PLAIN;
}

/* One picture, whatever it is of: an edit is drawn as any other is. */
static variant_request alone(const variant_request *request) {
    variant_request one = *request;
    one.count = one.batch = 1;
    one.edits = NULL;
    one.edit_count = 0;
    one.given_tokens = NULL;
    one.given_count = one.given_scales = 0;
    one.preview = NULL;
    one.progress = NULL;
    return one;
}

static variant_plan_options planning(const sv_model *m, bool kept_only) {
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.times = m->times.kept;
    options.kept_only = kept_only;
    return options;
}

static variant_request request_of(int table) {
    variant_request request;
    variant_request_init(&request);
    if (table == SV_PLAIN) request.cfg_scale = 0.0f;
    return alone(&request);
}

void sv_times_look(sv_model *m) {
    for (int i = 0; i < SV_TABLES; ++i) {
        const variant_request request = request_of(i);
        const variant_plan_options options = planning(m, true);
        variant_seconds seconds = {.size = sizeof seconds};
        m->times.known[i] =
            variant_request_seconds(m->engine, &request, &options, &seconds, NULL) == VARIANT_OK;
        m->times.disturbed[i] = seconds.disturbed;
    }
}

static int wanted_table(const sv_model *m) {
    for (int i = 0; i < SV_TABLES; ++i)
        if (m->times.wanted[i]) return i;
    return -1;
}

bool sv_times_wanted(const sv_model *m) {
    return wanted_table(m) >= 0;
}

static void wake_later(sv_server *s) {
    ++s->times_version;
    for (sv_call *call = s->calls; call; call = call->next)
        if (call->later) sv_wake_call(call);
}

void sv_times_measure(sv_model *m) {
    sv_server *s = m->server;
    const int table = wanted_table(m);
    variant_request request = request_of(table);
    const variant_plan_options options = planning(m, false);
    variant_seconds seconds = {.size = sizeof seconds};
    variant_error err;
    request.cancel = &s->interrupt;
    __atomic_store_n(&s->interrupt, 0, __ATOMIC_RELAXED);
    pthread_mutex_unlock(&s->lock);
    const variant_status status =
        variant_request_seconds(m->engine, &request, &options, &seconds, &err);
    if (status != VARIANT_OK && status != VARIANT_E_STOPPED) sv_log_error("times", err.message);
    pthread_mutex_lock(&s->lock);
    m->times.wanted[table] = status == VARIANT_E_STOPPED;
    if (status == VARIANT_OK) {
        m->times.known[table] = true;
        m->times.disturbed[table] = seconds.disturbed;
        m->times.measured[table] = vt_seconds();
        ++s->metrics.measurements;
    }
    wake_later(s);
}

void sv_times_interrupt(sv_server *s) {
    __atomic_store_n(&s->interrupt, 1, __ATOMIC_RELAXED);
}

void sv_times_give_up(sv_server *s) {
    sv_times_interrupt(s);
    wake_later(s);
}

bool sv_times_ready(sv_call *call, const variant_request *request, sv_fault *fault) {
    sv_server *s = call->server;
    sv_model *m = call->model;
    const int table = table_of(request);
    sv_times *t = &m->times;
    *fault = (sv_fault){0};
    pthread_mutex_lock(&s->lock);
    const bool known = t->known[table],
               old = t->disturbed[table] && vt_seconds() - t->measured[table] > SECONDS_DISTURBED,
               idle = s->queued + s->running == 0 && !s->draining && m == s->model;
    if (!known || old) t->wanted[table] = true;
    call->later = !known && idle;
    call->times_seen = s->times_version;
    if (t->wanted[table]) pthread_cond_signal(&s->work);
    pthread_mutex_unlock(&s->lock);
    if (known || call->later) return known;
    sv_refuse(fault, 503, "no_times_yet", "max_latency",
              "how long pictures take is not known yet: it is measured as soon as nothing is at "
              "work");
    fault->retry_after = 2;
    return false;
}

bool sv_times_ended(const sv_call *call) {
    return call->times_seen != call->server->times_version;
}

bool sv_times_unit(sv_model *m, const variant_request *request, double *unit) {
    const variant_request one = alone(request);
    const variant_plan_options options = planning(m, true);
    variant_seconds seconds = {.size = sizeof seconds};
    if (variant_request_seconds(m->engine, &one, &options, &seconds, NULL) != VARIANT_OK)
        return false;
    const int scales = m->context.info.scales;
    memcpy(unit, seconds.scale, (size_t)scales * sizeof *unit);
    unit[scales - 1] += seconds.rest; /* most of it is the decoder */
    return true;
}

double sv_times_step(const sv_server *s, int *pictures) {
    double seconds = 0.0;
    bool known = true;
    *pictures = 0;
    for (const sv_job *job = s->jobs; job; job = job->next) {
        if (job->state != SV_RUNNING) continue;
        const variant_request *r = &job->wish.request;
        const int left = r->count - job->pictures_done, n = left < r->batch ? left : r->batch;
        const int scale = job->scale < job->model->context.info.scales ? job->scale : 0;
        known = known && job->unit[scale] > 0.0;
        seconds += n * job->unit[scale];
        *pictures += n;
    }
    return known ? seconds : 0.0;
}

/* ---- the load ---- */

/* A request that waits or is at work, as a forecast sees it. */
typedef struct entry {
    double due;
    uint64_t number;
    double unit[VARIANT_MAX_SCALES];
    sv_task task;
} entry;

typedef struct load {
    entry *entries;
    sv_task *tasks; /* what a forecast uses up */
    int count, own, scales;
    size_t memory;
    sv_pace pace;
} load;

static int by_due(const void *a, const void *b) {
    const entry *x = a, *y = b;
    if (x->task.running != y->task.running) return x->task.running ? -1 : 1;
    if (x->due < y->due || x->due > y->due) return x->due < y->due ? -1 : 1;
    return x->number < y->number ? -1 : x->number > y->number;
}

static void add_job(load *l, const sv_job *job, const double *unit) {
    entry *e = &l->entries[l->count++];
    const variant_request *r = &job->wish.request;
    *e = (entry){.due = job->due, .number = job->number};
    memcpy(e->unit, job->unit[0] > 0.0 ? job->unit : unit, sizeof e->unit);
    e->task = (sv_task){.factor = 1.0,
                        .left = r->count - job->pictures_done,
                        .batch = r->batch > 0 ? r->batch : 1,
                        .scale = job->scale < l->scales ? job->scale : 0,
                        .bytes = job->bytes,
                        .running = job->state == SV_RUNNING};
}

/* All that is there, then one more: its unit is of all layers, which those without one are taken to run. The lock is held. */
static bool look(load *l, const sv_server *s, const entry *own, int scales) {
    int most = s->queued + s->running + 1;
    *l = (load){.scales = scales, .memory = s->budget, .pace = s->step_pace};
    l->entries = malloc((size_t)most * sizeof *l->entries);
    l->tasks = malloc((size_t)most * sizeof *l->tasks);
    if (!l->entries || !l->tasks) return false;
    for (const sv_job *job = s->jobs; job; job = job->next)
        if (!sv_job_is_over(job)) add_job(l, job, own->unit);
    l->entries[l->count++] = *own;
    qsort(l->entries, (size_t)l->count, sizeof *l->entries, by_due);
    for (int i = 0; i < l->count; ++i) {
        l->entries[i].task.unit = l->entries[i].unit;
        if (l->entries[i].number == own->number) l->own = i;
    }
    return true;
}

static void load_free(load *l) {
    free(l->entries);
    free(l->tasks);
}

static double foretell(const load *l, double factor) {
    for (int i = 0; i < l->count; ++i) l->tasks[i] = l->entries[i].task;
    l->tasks[l->own].factor = factor;
    return sv_forecast(l->tasks, l->count, l->own, l->scales, l->memory, &l->pace);
}

/* With nothing else at work. */
static double foretell_alone(const load *l) {
    sv_task own = l->entries[l->own].task;
    return sv_forecast(&own, 1, 0, l->scales, l->memory, &l->pace);
}

/* The share of a full picture's seconds that may be spent on one, at most 1. */
static double find_share(const load *l, double seconds) {
    double low = 0.0, high = 1.0;
    if (foretell(l, 1.0) <= seconds) return 1.0;
    for (int i = 0; i < HALVINGS; ++i) {
        const double middle = 0.5 * (low + high);
        if (foretell(l, middle) <= seconds)
            low = middle;
        else
            high = middle;
    }
    return low;
}

/* ---- choosing ---- */

/* A sweep says nothing of guidance that it did not run: then layers count. */
static variant_status plan(sv_model *m, const variant_request *one, double seconds,
                           size_t max_bytes, variant_plan *out, variant_error *err) {
    variant_plan_options options = planning(m, true);
    options.sweep = m->server->options->sweep;
    options.max_seconds = seconds > 0.0 ? seconds : 1e-9;
    options.max_bytes = max_bytes;
    variant_plan_init(out);
    const variant_status status = variant_plan_make(m->engine, one, &options, out, err);
    if (status != VARIANT_E_ARGUMENT || !options.sweep) return status;
    options.sweep = NULL;
    return variant_plan_make(m->engine, one, &options, out, err);
}

static bool no_times(sv_fault *fault) {
    sv_refuse(fault, 503, "no_times_yet", "max_latency", "how long pictures take is not known yet");
    fault->retry_after = 2;
    return false;
}

static bool measure_own(entry *own, sv_model *m, const variant_request *request, sv_fault *fault) {
    variant_request all = *request;
    variant_memory memory = {.size = sizeof memory};
    variant_error err;
    all.depths = NULL;
    all.depth = 0;
    all.bridge = -1;
    if (all.batch > all.count) all.batch = all.count;
    own->number = UINT64_MAX;
    own->task = (sv_task){.factor = 1.0, .left = all.count, .batch = all.batch};
    if (!sv_times_unit(m, &all, own->unit)) return no_times(fault);
    if (variant_request_memory(m->engine, &all, &memory, &err) != VARIANT_OK)
        return sv_refuse_error(fault, "", &err);
    own->task.bytes = memory.arena + memory.kv + memory.edits + memory.pictures;
    return true;
}

static double sum(const double *values, int count) {
    double total = 0.0;
    for (int i = 0; i < count; ++i) total += values[i];
    return total;
}

/* How long the plan takes, by what its own layers take. */
static bool foretell_plan(load *l, sv_model *m, const variant_request *one, sv_choice *out) {
    variant_request planned = *one;
    variant_plan_apply(&out->plan, &planned);
    if (!sv_times_unit(m, &planned, l->entries[l->own].unit)) return false;
    out->seconds = foretell(l, 1.0);
    out->alone = foretell_alone(l);
    return true;
}

static bool choose(load *l, sv_model *m, const variant_request *request, double left,
                   size_t max_bytes, sv_choice *out, sv_fault *fault) {
    const variant_request one = alone(request);
    variant_error err;
    const double full = sum(l->entries[l->own].unit, l->scales),
                 share = find_share(l, SHARE_AIMED * left);
    if (plan(m, &one, share * full * (1.0 + 1e-9), max_bytes, &out->plan, &err) != VARIANT_OK)
        return sv_refuse_error(fault, "max_latency", &err);
    if (!foretell_plan(l, m, &one, out)) return no_times(fault);
    out->before = l->own;
    if (out->seconds > left) out->plan.fits = false;
    return true;
}

bool sv_latency_choose(sv_model *m, const variant_request *request, double latency, double since,
                       size_t max_bytes, sv_choice *out, sv_fault *fault) {
    sv_server *s = m->server;
    entry own = {0};
    load l;
    *out = (sv_choice){0};
    if (!measure_own(&own, m, request, fault)) return false;
    own.due = vt_seconds() - since + latency;
    pthread_mutex_lock(&s->lock);
    const bool seen = look(&l, s, &own, m->context.info.scales);
    pthread_mutex_unlock(&s->lock);
    const bool chosen = seen ? choose(&l, m, request, latency - since, max_bytes, out, fault)
                             : sv_refuse(fault, 503, "out_of_memory", "", "no memory for a plan");
    load_free(&l);
    return chosen;
}

/* ---- a job's ---- */

static bool refuse(const sv_wish *w, const sv_choice *c, sv_fault *fault) {
    if (c->alone > w->max_latency)
        return sv_refuse(fault, 400, "latency_too_short", "max_latency",
                         "max_latency: %g s; at the least depth %d picture%s take%s %.3g s with "
                         "nothing else at work",
                         w->max_latency, w->request.count, w->request.count > 1 ? "s" : "",
                         w->request.count > 1 ? "" : "s", c->alone);
    sv_refuse(fault, 503, "latency_not_now", "max_latency",
              "max_latency: %g s; behind %d other requests even the least depth takes %.3g s",
              w->max_latency, c->before, c->seconds);
    const double over = ceil(c->seconds - w->max_latency);
    fault->retry_after = over < 1.0 ? 1 : over > 60.0 ? 60 : (int)over;
    return false;
}

static void count(sv_server *s, uint64_t *counter) {
    pthread_mutex_lock(&s->lock);
    ++*counter;
    pthread_mutex_unlock(&s->lock);
}

bool sv_latency_plan(sv_call *call, sv_job *job, sv_fault *fault) {
    sv_wish *w = &job->wish;
    sv_choice c;
    char why[sizeof w->why];
    if (w->max_latency <= 0.0) return true;
    if (!sv_times_ready(call, &w->request, fault) ||
        !sv_latency_choose(job->model, &w->request, w->max_latency, vt_seconds() - job->created, 0,
                           &c, fault))
        return false;
    if (!c.plan.fits) {
        count(call->server, &call->server->metrics.rejected_latency);
        return refuse(w, &c, fault);
    }
    snprintf(why, sizeof why, "max_latency %g s, %d requests before it: %.*s", w->max_latency,
             c.before, 150, c.plan.why);
    sv_wish_take_plan(w, &c.plan, why);
    w->expected = c.seconds;
    count(call->server, &call->server->metrics.latency_plans);
    return true;
}

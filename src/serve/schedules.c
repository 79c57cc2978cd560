/* schedules.c - GET /api/schedules: what every depth costs, and how good it was where a sweep measured that. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "serve/handlers.h"
#include "serve/latency.h"

/* Schedules that a request may name, and those that the sweep knows. */
typedef struct lists {
    variant_plan **all, **measured; /* the arrays of variant_plan_list */
    int count, measured_count;
    bool timed, disturbed;
} lists;

static variant_status list(const sv_model *m, const char *sweep, variant_plan ***plans, int *count,
                           variant_error *err) {
    variant_request request;
    variant_plan_options options;
    variant_request_init(&request);
    variant_plan_options_init(&options);
    options.sweep = sweep;
    options.memory_only = true;
    return variant_plan_list(m->engine, &request, &options, plans, count, err);
}

static variant_status fill(lists *out, const sv_model *m, variant_error *err) {
    const char *sweep = m->server->options->sweep;
    VT_TRY(list(m, NULL, &out->all, &out->count, err));
    if (!sweep) return VARIANT_OK;
    return list(m, sweep, &out->measured, &out->measured_count, err);
}

/* Seconds of a picture alone, of times that are known. */
static void add_times(lists *l, const sv_model *m) {
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.times = m->times.kept;
    options.kept_only = true;
    l->timed = true;
    for (int i = 0; i < l->count && l->timed; ++i) {
        variant_request request;
        variant_seconds seconds = {.size = sizeof seconds};
        variant_request_init(&request);
        variant_plan_apply(l->all[i], &request);
        l->timed =
            variant_request_seconds(m->engine, &request, &options, &seconds, NULL) == VARIANT_OK;
        l->all[i]->seconds = seconds.total;
        l->disturbed = seconds.disturbed;
    }
}

/* Guidance as the model says, which is what a request gets that names a depth alone. */
static bool is_plain(const variant_plan *plan) {
    return plan->uncond_depth < 0 && plan->cfg_late < 0.0f;
}

/* At full depth there is no late scale for a bridge to lie before. */
static const variant_plan *measured_as(const lists *l, const variant_plan *plan, int full) {
    for (int i = 0; i < l->measured_count; ++i) {
        const variant_plan *m = l->measured[i];
        if (is_plain(m) && m->depth == plan->depth &&
            (m->bridge == plan->bridge || m->depth == full))
            return m;
    }
    return NULL;
}

static cJSON *schedule_json(const lists *l, const variant_info *info, const variant_plan *plan) {
    const variant_plan *measured = measured_as(l, plan, info->depth);
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "depth", plan->depth);
    vt_json_number(json, "bridge", plan->bridge);
    vt_json_number(json, "bytes", (double)(plan->bytes - info->weight_bytes - info->mapped_bytes));
    vt_json_number(json, "kept", plan->kept);
    if (l->timed) vt_json_number(json, "seconds", plan->seconds);
    if (!measured) return json;
    vt_json_number(json, "distance", measured->distance);
    vt_json_number(json, "distance_spread", measured->distance_spread);
    return json;
}

static cJSON *lists_json(sv_server *s, const lists *l, const variant_info *info) {
    cJSON *json = cJSON_CreateObject(), *all = vt_json_array(json, "schedules");
    for (int i = 0; i < l->count; ++i)
        if (is_plain(l->all[i])) vt_json_append(all, schedule_json(l, info, l->all[i]));
    vt_json_bool(json, "timed", l->timed);
    vt_json_bool(json, "disturbed", l->timed && l->disturbed);
    if (l->measured) vt_json_string(json, "score", l->measured[0]->score);
    pthread_mutex_lock(&s->lock);
    vt_json_number(json, "running", s->running);
    vt_json_number(json, "queued", s->queued);
    pthread_mutex_unlock(&s->lock);
    return json;
}

static void answer(sv_call *call) {
    lists l = {0};
    sv_fault fault;
    variant_error err;
    if (fill(&l, call->model, &err) == VARIANT_OK) {
        add_times(&l, call->model);
        sv_answer_json(call, 200, lists_json(call->server, &l, &call->model->context.info));
    } else {
        sv_refuse_error(&fault, "", &err);
        sv_answer_fault(call, &fault);
    }
    free(l.all);
    free(l.measured);
}

/* With measure=true the call waits until the engine's thread has measured times that are not known. While others are served it
 * does not: then they are measured once nothing is at work, for whoever asks again. */
void sv_schedules_show(sv_call *call) {
    sv_fault fault;
    variant_request request;
    bool measure;
    variant_request_init(&request);
    if (!sv_query_flag(call, "measure", &measure, &fault)) {
        sv_answer_fault(call, &fault);
        return;
    }
    if (measure) sv_times_ready(call, &request, &fault); /* what is not known yet is left out */
    if (!call->later) answer(call);
}

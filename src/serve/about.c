/* about.c - what the server is and how it does: models, sizes and costs, plans, health, counters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "serve/arguments.h"
#include "serve/handlers.h"

/* ---- the images API's list of models ---- */

static cJSON *model_json(const sv_server *s) {
    cJSON *json = cJSON_CreateObject();
    vt_json_string(json, "id", s->options->name);
    vt_json_string(json, "object", "model");
    vt_json_number(json, "created", (double)s->started_at);
    vt_json_string(json, "owned_by", "variant");
    return json;
}

void sv_models_list(sv_call *call) {
    cJSON *json = cJSON_CreateObject();
    vt_json_string(json, "object", "list");
    cJSON *data = vt_json_array(json, "data");
    vt_json_append(data, model_json(call->server));
    sv_answer_json(call, 200, json);
}

void sv_models_show(sv_call *call) {
    sv_fault fault;
    if (strcmp(call->arguments[0], call->server->options->name) == 0) {
        sv_answer_json(call, 200, model_json(call->server));
        return;
    }
    sv_refuse(&fault, 404, "model_not_found", "model", "no model %s: this server has %s",
              call->arguments[0], call->server->options->name);
    sv_answer_fault(call, &fault);
}

/* ---- all of the model ---- */

static void add_ints(cJSON *json, const char *name, const int *values, int count) {
    vt_json_put(json, name, cJSON_CreateIntArray(values, count));
}

static void add_classes(cJSON *json, const sv_model *m) {
    cJSON *classes = vt_json_array(json, "classes");
    for (int i = 0; i < m->context.info.classes; ++i) {
        const char *name = variant_engine_class_name(m->engine, i);
        cJSON *one = cJSON_CreateObject();
        vt_json_number(one, "label", i);
        if (name) vt_json_string(one, "name", name);
        vt_json_append(classes, one);
    }
}

static void add_cost(cJSON *costs, const sv_model *m, int depth) {
    variant_request request;
    variant_memory memory = {.size = sizeof memory};
    variant_request_init(&request);
    request.class_name = "0";
    request.depth = depth;
    const variant_status status = variant_request_memory(m->engine, &request, &memory, NULL);
    if (status != VARIANT_OK && status != VARIANT_E_MEMORY) return;
    cJSON *json = status == VARIANT_OK ? cJSON_CreateObject() : NULL;
    vt_json_number(json, "depth", depth);
    vt_json_number(json, "kv_bytes", (double)memory.kv);
    vt_json_number(json, "bytes", (double)(memory.arena + memory.kv + memory.pictures));
    vt_json_append(costs, json);
}

/* Memory of one picture by the depth of its late scales: those trained, else a few. */
static void add_costs(cJSON *json, const sv_model *m) {
    const variant_info *info = &m->context.info;
    cJSON *costs = vt_json_array(json, "costs");
    if (info->supernet)
        for (int i = 0; i < info->depth_count; ++i) add_cost(costs, m, info->depths[i]);
    for (int part = 4; !info->supernet && part >= 1; --part)
        add_cost(costs, m, (info->depth * part + 3) / 4);
}

static void add_qualities(cJSON *json, const sv_model *m) {
    cJSON *qualities = vt_json_object(json, "qualities");
    for (int i = 0; i < SV_QUALITIES; ++i) {
        const variant_plan *plan = &m->context.plans[i];
        if (!m->context.planned[i]) continue;
        cJSON *one = vt_json_object(qualities, sv_quality_names[i]);
        vt_json_number(one, "depth", plan->depth);
        vt_json_number(one, "bridge", plan->bridge);
        vt_json_string(one, "because", plan->why);
    }
}

/* What a request has that says nothing of it; rounded, for 0.96 is no float. */
static void add_defaults(cJSON *json) {
    variant_request request;
    variant_request_init(&request);
    cJSON *defaults = vt_json_object(json, "defaults");
    vt_json_number(defaults, "cfg_scale", round((double)request.cfg_scale * 1e6) / 1e6);
    vt_json_number(defaults, "top_k", request.top_k);
    vt_json_number(defaults, "top_p", round((double)request.top_p * 1e6) / 1e6);
}

void sv_model_show(sv_call *call) {
    sv_server *s = call->server;
    const sv_model *m = call->model;
    const variant_info *info = &m->context.info;
    cJSON *json = cJSON_CreateObject();
    vt_json_string(json, "name", s->options->name);
    vt_json_string(json, "hash", info->hash);
    char *arguments = sv_arguments(&s->options->engine);
    vt_json_put(json, "arguments", arguments ? cJSON_CreateString(arguments) : NULL);
    free(arguments);
    vt_json_number(json, "depth", info->depth);
    vt_json_number(json, "bridge", info->bridge);
    vt_json_bool(json, "supernet", info->supernet);
    add_ints(json, "depths", info->depths, info->depth_count);
    vt_json_number(json, "scales", info->scales);
    add_ints(json, "sides", info->sides, info->scales);
    vt_json_number(json, "picture_side", info->picture_side);
    vt_json_number(json, "channels", info->channels);
    vt_json_bool(json, "preview_decoder", info->preview_decoder);
    vt_json_string(json, "weights", info->weights);
    vt_json_string(json, "kv", info->kv);
    vt_json_string(json, "kernels", info->kernels);
    pthread_mutex_lock(&s->lock);
    const size_t budget = s->budget; /* less while two models are open */
    pthread_mutex_unlock(&s->lock);
    vt_json_number(json, "memory_for_requests", (double)budget);
    add_defaults(json);
    add_qualities(json, m);
    add_costs(json, m);
    add_classes(json, m);
    sv_answer_json(call, 200, json);
}

/* ---- plans ---- */

#define NO_LIMIT 1e15

/* A number above 0 of the query; missing: 0. */
static bool read_number(const sv_call *call, const char *name, double *out, sv_fault *fault) {
    const char *text = sv_query(call, name);
    char *end;
    *out = 0.0;
    if (!text) return true;
    *out = strtod(text, &end);
    if (end != text && !*end && *out > 0.0 && *out < NO_LIMIT) return true;
    return sv_refuse(fault, 400, "invalid_value", name, "%s: expected a number above 0", name);
}

static void add_plan(cJSON *json, const variant_plan *plan) {
    vt_json_bool(json, "fits", plan->fits);
    vt_json_number(json, "depth", plan->depth);
    vt_json_number(json, "bridge", plan->bridge);
    vt_json_string(json, "layers", plan->layers);
    vt_json_number(json, "uncond_depth", plan->uncond_depth);
    vt_json_number(json, "seconds", plan->seconds);
    vt_json_number(json, "bytes", (double)plan->bytes);
    vt_json_number(json, "kept", plan->kept);
    if (plan->has_distance) {
        vt_json_number(json, "distance", plan->distance);
        vt_json_string(json, "score", plan->score);
    }
    vt_json_string(json, "because", plan->why);
    vt_json_bool(json, "disturbed", plan->disturbed);
    if (plan->warning[0]) vt_json_string(json, "warning", plan->warning);
}

static void answer_plan(sv_call *call, const sv_choice *choice) {
    sv_server *s = call->server;
    cJSON *json = cJSON_CreateObject();
    add_plan(json, &choice->plan);
    vt_json_number(json, "expected_seconds", choice->seconds);
    vt_json_number(json, "before", choice->before);
    pthread_mutex_lock(&s->lock);
    vt_json_number(json, "running", s->running);
    vt_json_number(json, "queued", s->queued);
    pthread_mutex_unlock(&s->lock);
    sv_answer_json(call, 200, json);
}

/* What a request of one picture would get now. */
void sv_plan_show(sv_call *call) {
    double seconds, bytes;
    sv_fault fault;
    sv_choice choice;
    variant_request request;
    variant_request_init(&request);
    request.batch = 1;
    if (read_number(call, "max_latency", &seconds, &fault) &&
        read_number(call, "max_memory", &bytes, &fault) && sv_times_ready(call, &request, &fault) &&
        sv_latency_choose(call->model, &request, seconds > 0.0 ? seconds : NO_LIMIT, 0.0,
                          (size_t)bytes, &choice, &fault))
        answer_plan(call, &choice);
    else if (!call->later)
        sv_answer_fault(call, &fault);
}

/* ---- the server ---- */

/* Without the file's name, as nobody needs a key to ask: refused requests and the log have it. */
#define CUT_SHORT                                                                                  \
    "the model's file was cut short: requests fail until it is whole and opened again\n"

static bool is_intact(const sv_call *call) {
    return variant_engine_intact(call->model->engine, NULL) == VARIANT_OK;
}

static void answer_probe(sv_call *call, const char *trouble, const char *fine) {
    sv_answer_text(call, trouble ? 503 : 200, "text/plain", strdup(trouble ? trouble : fine));
}

void sv_health(sv_call *call) {
    answer_probe(call, is_intact(call) ? NULL : CUT_SHORT, "alive\n");
}

void sv_ready(sv_call *call) {
    pthread_mutex_lock(&call->server->lock);
    const bool draining = call->server->draining;
    pthread_mutex_unlock(&call->server->lock);
    answer_probe(call, draining ? "about to end\n" : is_intact(call) ? NULL : CUT_SHORT, "ready\n");
}

void sv_metrics_show(sv_call *call) {
    sv_answer_text(call, 200, "text/plain; version=0.0.4", sv_metrics_text(call->server));
}

void sv_openapi(sv_call *call) {
    sv_answer_text(call, 200, "application/json", strdup(sv_openapi_text));
}

/* about.c - what the server is and how it does: models, sizes and costs, plans, health, counters. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/arguments.h"
#include "serve/handlers.h"

/* ---- the images API's list of models ---- */

static cJSON *model_json(const sv_server *s) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "id", s->options->name);
    cJSON_AddStringToObject(json, "object", "model");
    cJSON_AddNumberToObject(json, "created", (double)s->started_at);
    cJSON_AddStringToObject(json, "owned_by", "variant");
    return json;
}

void sv_models_list(sv_call *call) {
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "object", "list");
    cJSON *data = cJSON_AddArrayToObject(json, "data");
    cJSON_AddItemToArray(data, model_json(call->server));
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
    cJSON_AddItemToObject(json, name, cJSON_CreateIntArray(values, count));
}

static void add_classes(cJSON *json, const sv_model *m) {
    cJSON *classes = cJSON_AddArrayToObject(json, "classes");
    for (int i = 0; i < m->context.info.classes; ++i) {
        const char *name = variant_engine_class_name(m->engine, i);
        cJSON *one = cJSON_CreateObject();
        cJSON_AddNumberToObject(one, "label", i);
        if (name) cJSON_AddStringToObject(one, "name", name);
        cJSON_AddItemToArray(classes, one);
    }
}

static cJSON *cost_json(const sv_model *m, int depth) {
    variant_request request;
    variant_memory memory = {.size = sizeof memory};
    variant_request_init(&request);
    request.class_name = "0";
    request.depth = depth;
    if (variant_request_memory(m->engine, &request, &memory, NULL) != VARIANT_OK) return NULL;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddNumberToObject(json, "depth", depth);
    cJSON_AddNumberToObject(json, "kv_bytes", (double)memory.kv);
    cJSON_AddNumberToObject(json, "bytes", (double)(memory.arena + memory.kv + memory.pictures));
    return json;
}

/* Memory of one picture by the depth of its late scales: those trained, else a few. */
static void add_costs(cJSON *json, const sv_model *m) {
    const variant_info *info = &m->context.info;
    cJSON *costs = cJSON_AddArrayToObject(json, "costs");
    if (info->supernet)
        for (int i = 0; i < info->depth_count; ++i)
            cJSON_AddItemToArray(costs, cost_json(m, info->depths[i]));
    for (int part = 4; !info->supernet && part >= 1; --part)
        cJSON_AddItemToArray(costs, cost_json(m, (info->depth * part + 3) / 4));
}

static void add_qualities(cJSON *json, const sv_model *m) {
    cJSON *qualities = cJSON_AddObjectToObject(json, "qualities");
    for (int i = 0; i < SV_QUALITIES; ++i) {
        const variant_plan *plan = &m->context.plans[i];
        if (!m->context.planned[i]) continue;
        cJSON *one = cJSON_AddObjectToObject(qualities, sv_quality_names[i]);
        cJSON_AddNumberToObject(one, "depth", plan->depth);
        cJSON_AddNumberToObject(one, "bridge", plan->bridge);
        cJSON_AddStringToObject(one, "because", plan->why);
    }
}

/* What a request has that says nothing of it; rounded, for 0.96 is no float. */
static void add_defaults(cJSON *json) {
    variant_request request;
    variant_request_init(&request);
    cJSON *defaults = cJSON_AddObjectToObject(json, "defaults");
    cJSON_AddNumberToObject(defaults, "cfg_scale", round((double)request.cfg_scale * 1e6) / 1e6);
    cJSON_AddNumberToObject(defaults, "top_k", request.top_k);
    cJSON_AddNumberToObject(defaults, "top_p", round((double)request.top_p * 1e6) / 1e6);
}

void sv_model_show(sv_call *call) {
    sv_server *s = call->server;
    const sv_model *m = call->model;
    const variant_info *info = &m->context.info;
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "name", s->options->name);
    cJSON_AddStringToObject(json, "hash", info->hash);
    char *arguments = sv_arguments(&s->options->engine);
    cJSON_AddStringToObject(json, "arguments", arguments ? arguments : "");
    free(arguments);
    cJSON_AddNumberToObject(json, "depth", info->depth);
    cJSON_AddNumberToObject(json, "bridge", info->bridge);
    cJSON_AddBoolToObject(json, "supernet", info->supernet);
    add_ints(json, "depths", info->depths, info->depth_count);
    cJSON_AddNumberToObject(json, "scales", info->scales);
    add_ints(json, "sides", info->sides, info->scales);
    cJSON_AddNumberToObject(json, "picture_side", info->picture_side);
    cJSON_AddNumberToObject(json, "channels", info->channels);
    cJSON_AddBoolToObject(json, "preview_decoder", info->preview_decoder);
    cJSON_AddStringToObject(json, "weights", info->weights);
    cJSON_AddStringToObject(json, "kv", info->kv);
    cJSON_AddStringToObject(json, "kernels", info->kernels);
    pthread_mutex_lock(&s->lock);
    const size_t budget = s->budget; /* less while two models are open */
    pthread_mutex_unlock(&s->lock);
    cJSON_AddNumberToObject(json, "memory_for_requests", (double)budget);
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
    cJSON_AddBoolToObject(json, "fits", plan->fits);
    cJSON_AddNumberToObject(json, "depth", plan->depth);
    cJSON_AddNumberToObject(json, "bridge", plan->bridge);
    cJSON_AddStringToObject(json, "layers", plan->layers);
    cJSON_AddNumberToObject(json, "uncond_depth", plan->uncond_depth);
    cJSON_AddNumberToObject(json, "seconds", plan->seconds);
    cJSON_AddNumberToObject(json, "bytes", (double)plan->bytes);
    cJSON_AddNumberToObject(json, "kept", plan->kept);
    if (plan->has_distance) {
        cJSON_AddNumberToObject(json, "distance", plan->distance);
        cJSON_AddStringToObject(json, "score", plan->score);
    }
    cJSON_AddStringToObject(json, "because", plan->why);
    cJSON_AddBoolToObject(json, "disturbed", plan->disturbed);
    if (plan->warning[0]) cJSON_AddStringToObject(json, "warning", plan->warning);
}

static void answer_plan(sv_call *call, const sv_choice *choice) {
    sv_server *s = call->server;
    cJSON *json = cJSON_CreateObject();
    add_plan(json, &choice->plan);
    cJSON_AddNumberToObject(json, "expected_seconds", choice->seconds);
    cJSON_AddNumberToObject(json, "before", choice->before);
    pthread_mutex_lock(&s->lock);
    cJSON_AddNumberToObject(json, "running", s->running);
    cJSON_AddNumberToObject(json, "queued", s->queued);
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

void sv_health(sv_call *call) {
    sv_answer_text(call, 200, "text/plain", strdup("alive\n"));
}

void sv_ready(sv_call *call) {
    pthread_mutex_lock(&call->server->lock);
    const bool draining = call->server->draining;
    pthread_mutex_unlock(&call->server->lock);
    sv_answer_text(call, draining ? 503 : 200, "text/plain",
                   strdup(draining ? "about to end\n" : "ready\n"));
}

void sv_metrics_show(sv_call *call) {
    sv_answer_text(call, 200, "text/plain; version=0.0.4", sv_metrics_text(call->server));
}

void sv_openapi(sv_call *call) {
    sv_answer_text(call, 200, "application/json", strdup(sv_openapi_text));
}

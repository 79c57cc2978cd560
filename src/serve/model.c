/* model.c - see model.h. */
#include "serve/model.h"

#include <stdio.h>
#include <stdlib.h>

#include "serve/log.h"
#include "serve/server.h"

static void on_warning(void *user, const char *line) {
    (void)user;
    sv_log_warning("model", line);
}

/* With its encoder, which edits need, where the model has one. */
static variant_status open_engine(variant_engine **out, const vt_serve_options *o,
                                  variant_error *err) {
    variant_engine_options asked = o->engine;
    asked.warn = on_warning;
    asked.encoder = true;
    if (variant_engine_open(out, &asked, err) == VARIANT_OK) return VARIANT_OK;
    asked.encoder = false;
    VT_TRY(variant_engine_open(out, &asked, err));
    on_warning(NULL, "the model has no encoder: pictures cannot be edited");
    return VARIANT_OK;
}

/* Beside a server at work nothing is measured: then layers alone decide. */
static variant_status plan_quality(sv_model *m, variant_plan_options options, variant_plan *out,
                                   variant_error *err) {
    variant_request request;
    variant_request_init(&request);
    options.times = m->times.kept;
    options.memory_only = true;
    options.kept_only = m->server->model != NULL;
    variant_plan_init(out);
    const variant_status status = variant_plan_make(m->engine, &request, &options, out, err);
    if (status != VARIANT_E_UNSUPPORTED || !options.kept_only) return status;
    sv_log_warning("model", "no times of it are known: a quality is planned without the sweep");
    options.sweep = NULL;
    return variant_plan_make(m->engine, &request, &options, out, err);
}

/* Schedules of low, medium and high, once: of a measured sweep where there is one. */
static variant_status plan_qualities(sv_model *m, const vt_serve_options *o, variant_error *err) {
    static const char *const qualities[] = {"fast", "balanced", "high"};
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.sweep = o->sweep;
    for (int i = 0; i < SV_AUTO; ++i) {
        options.quality = qualities[i];
        VT_TRY(plan_quality(m, options, &m->context.plans[i], err));
        m->context.planned[i] = true;
    }
    return VARIANT_OK;
}

static variant_status measure_least(sv_model *m, variant_error *err) {
    variant_request request;
    variant_memory one = {.size = sizeof one};
    variant_request_init(&request);
    VT_TRY(variant_request_memory(m->engine, &request, &one, err));
    m->least = one.arena + one.kv + one.pictures;
    return VARIANT_OK;
}

static variant_status find_levels(sv_model *m, const vt_serve_options *o, variant_error *err) {
    m->level_count = sv_adapt_levels(&m->context.info, m->levels);
    if (m->level_count > 1 || !(o->adapt > 0.0)) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_ARGUMENT,
        "--adapt: the model was trained at all of its layers alone, and has no fewer to give");
}

variant_status sv_model_open(sv_model **out, sv_server *server, variant_error *err) {
    const vt_serve_options *o = server->options;
    variant_status status = VARIANT_OK;
    sv_model *m = calloc(1, sizeof *m);
    *out = NULL;
    if (!m) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a model");
    m->server = server;
    m->holders = m->users = 1;
    VT_CHECK(open_engine(&m->engine, o, err));
    m->context = (sv_wish_context){.engine = m->engine, .batch = o->batch, .deadline = o->deadline};
    m->context.info = *variant_engine_info(m->engine);
    snprintf(m->hash, sizeof m->hash, "%.23s", m->context.info.hash ? m->context.info.hash : "");
    m->bytes = m->context.info.weight_bytes + m->context.info.mapped_bytes;
    VT_CHECK(measure_least(m, err));
    VT_CHECK(find_levels(m, o, err));
    VT_CHECK(variant_times_open(&m->times.kept, err));
    VT_CHECK(plan_qualities(m, o, err));
    sv_times_look(m);
    VT_CHECK(variant_loop_open(&m->loop, m->engine, err));
    *out = m;
cleanup:
    if (status != VARIANT_OK) {
        sv_model_close_engine(m);
        free(m);
    }
    return status;
}

sv_model *sv_model_use(sv_server *server) {
    pthread_mutex_lock(&server->lock);
    sv_model *model = server->model;
    sv_model_add_user(model);
    pthread_mutex_unlock(&server->lock);
    return model;
}

void sv_model_add_user(sv_model *model) {
    ++model->users;
    ++model->holders;
}

void sv_model_retire(sv_model *model) {
    if (--model->users == 0) pthread_cond_signal(&model->server->work);
}

void sv_model_leave(sv_model *model) {
    sv_model_retire(model);
    sv_model_release(model);
}

void sv_model_close_engine(sv_model *model) {
    variant_loop_close(&model->loop);
    variant_times_close(&model->times.kept);
    variant_engine_close(&model->engine);
}

void sv_model_hold(sv_model *model) {
    ++model->holders;
}

void sv_model_release(sv_model *model) {
    if (--model->holders == 0) free(model);
}

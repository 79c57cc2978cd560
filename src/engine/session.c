/* session.c - see session.h. */
#include "engine/session.h"

#include <stdlib.h>

#include "core/limits.h"
#include "kern/dry.h"

static variant_status open_cache(vt_session *session, const variant_engine *engine,
                                 const vt_schedule *schedule, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(engine->model->transformer);
    int capacity[VT_SCHEDULE_LAYERS];
    for (int layer = 0; layer < config->depth; ++layer)
        capacity[layer] =
            vt_schedule_layer_tokens(schedule, config->sides, layer, config->scales - 1);
    vt_kv_format format = {.type = engine->kv, .width = config->width, .heads = config->heads};
    return vt_kv_cache_open(&session->cache, session->kern, config->depth, session->streams,
                            &format, capacity, err);
}

static variant_status take_buffers(vt_session *session, const variant_engine *engine, bool smooth,
                                   variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    size_t batch = (size_t)session->batch, streams = (size_t)session->streams;
    size_t side = (size_t)vt_tokenizer_side(config),
           latent = (size_t)config->sides[config->scales - 1];
    size_t tokens = latent * latent, codes = (size_t)config->codes,
           dim = (size_t)config->latent_dim;
    session->tokens = vt_arena_ints(&session->arena, batch * tokens);
    session->logits = vt_arena_floats(&session->arena, streams * tokens * codes);
    session->input = vt_arena_floats(&session->arena, streams * tokens * dim);
    session->f_hat = vt_arena_floats(&session->arena, batch * tokens * dim);
    session->picture =
        vt_arena_floats(&session->arena, batch * side * side * (size_t)config->channels);
    if (smooth) {
        session->embeddings = vt_arena_floats(&session->arena, batch * tokens * dim);
        session->weights = vt_arena_floats(&session->arena, batch * tokens * codes);
    }
    return vt_arena_check(&session->arena, "generation", err);
}

static variant_status take_host_buffers(vt_session *session, const variant_engine *engine,
                                        variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    size_t latent = (size_t)config->sides[config->scales - 1];
    session->host_tokens =
        malloc((size_t)session->batch * latent * latent * sizeof *session->host_tokens);
    session->parts = malloc((size_t)session->batch * sizeof *session->parts);
    if (!session->host_tokens || !session->parts)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %d pictures",
                       session->batch);
    return VARIANT_OK;
}

static vt_session session_of(const variant_engine *engine, const vt_session_options *options) {
    return (vt_session){.kern = engine->kern,
                        .batch = options->batch,
                        .streams = options->guided ? 2 * options->batch : options->batch};
}

variant_status vt_session_sample(vt_session *session, int vocab, variant_error *err) {
    size_t mark = vt_arena_mark(&session->arena);
    vt_kern *kern = vt_arena_kern(&session->arena, session->kern);
    vt_sample args = {.parts = session->parts, .count = session->batch, .vocab = vocab};
    args.workspace = vt_arena_take(&session->arena, kern->sample_workspace(kern, &args));
    VT_TRY(vt_arena_check(&session->arena, "sampling", err));
    kern->sample(kern, &args);
    vt_arena_rewind(&session->arena, mark);
    return VARIANT_OK;
}

#define ROUND_PIXELS (1 << 17)

variant_status vt_session_decode(vt_session *session, vt_tokenizer *tokenizer, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(tokenizer);
    int side = vt_tokenizer_side(config), last = config->sides[config->scales - 1];
    int most = ROUND_PIXELS / (side * side) > 1 ? ROUND_PIXELS / (side * side) : 1;
    size_t map = (size_t)last * (size_t)last * (size_t)config->latent_dim;
    size_t picture = (size_t)side * (size_t)side * (size_t)config->channels;
    for (int first = 0; first < session->batch; first += most) {
        int count = session->batch - first < most ? session->batch - first : most;
        VT_TRY(vt_tokenizer_decode(tokenizer, &session->arena, count,
                                   session->f_hat + (size_t)first * map,
                                   session->picture + (size_t)first * picture, err));
    }
    return VARIANT_OK;
}

void vt_session_release(vt_session *session, const vt_schedule *schedule, int k) {
    for (int layer = 0; layer < schedule->depth; ++layer)
        if (vt_schedule_last_scale(schedule, layer) == k)
            vt_kv_cache_release(session->cache, layer);
}

/* ---- measuring ---- */

/* The steps of generate.c that take memory. */
static variant_status dry_run(vt_session *s, const variant_engine *engine,
                              const vt_session_options *options, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(engine->model->transformer);
    vt_condition condition;
    uint8_t layers[VT_SCHEDULE_LAYERS];
    for (int layer = 0; layer < config->depth; ++layer)
        layers[layer] = vt_schedule_last_scale(options->schedule, layer) >= 0;
    VT_TRY(take_buffers(s, engine, options->smooth, err));
    VT_TRY(vt_transformer_condition(engine->model->transformer, &s->arena, s->streams,
                                    options->labels, layers, &condition, err));
    for (int k = 0; k < config->scales; ++k) {
        vt_transformer_step step = {.k = k,
                                    .condition = &condition,
                                    .schedule = options->schedule,
                                    .cache = s->cache,
                                    .input = s->input,
                                    .logits = s->logits};
        VT_TRY(vt_transformer_run_step(engine->model->transformer, &s->arena, &step, err));
        VT_TRY(vt_session_sample(s, config->codes, err));
        vt_scale_step add = {.k = k,
                             .batch = s->batch,
                             .tokens = options->smooth ? NULL : s->tokens,
                             .embeddings = s->embeddings,
                             .f_hat = s->f_hat,
                             .next = k + 1 < config->scales ? s->input : NULL};
        VT_TRY(vt_tokenizer_step(engine->model->tokenizer, &s->arena, &add, err));
        if (!options->retain_kv) vt_session_release(s, options->schedule, k);
    }
    return vt_session_decode(s, engine->model->tokenizer, err);
}

variant_status vt_session_measure(vt_session_bytes *out, const variant_engine *engine,
                                  const vt_session_options *options, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_session session = session_of(engine, options);
    vt_dry_kern dry;
    vt_dry_kern_init(&dry, engine->kern);
    vt_arena_init_counting(&session.arena, &dry.kern);
    VT_CHECK(
        open_cache(&session, engine, options->schedule, err)); /* only reserved, never touched */
    VT_CHECK(dry_run(&session, engine, options, err));
    *out = (vt_session_bytes){.arena = session.arena.peak,
                              .kv = vt_kv_cache_peak_bytes(session.cache)};
cleanup:
    vt_kv_cache_close(&session.cache);
    return status;
}

/* ---- life ---- */

variant_status vt_session_open(vt_session *out, const variant_engine *engine,
                               const vt_session_options *options, variant_error *err) {
    vt_session_bytes bytes;
    vt_limits limits;
    *out = session_of(engine, options);
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_session_measure(&bytes, engine, options, err));
    out->memory_bytes = bytes.arena;
    vt_limits_read(&limits, "");
    VT_CHECK(vt_limits_memory(&limits, bytes.arena + bytes.kv, "this request", err));
    VT_CHECK(out->kern->memory_reserve(out->kern, out->memory_bytes, &out->memory, err));
    vt_arena_init(&out->arena, out->memory, out->memory_bytes);
    VT_CHECK(open_cache(out, engine, options->schedule, err));
    VT_CHECK(take_buffers(out, engine, options->smooth, err));
    /* scales are added to it */
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    const size_t latent = (size_t)config->sides[config->scales - 1];
    out->kern->fill(out->kern, out->f_hat, 0.0f,
                    (size_t)out->batch * latent * latent * (size_t)config->latent_dim);
    VT_CHECK(take_host_buffers(out, engine, err));
cleanup:
    if (status != VARIANT_OK) vt_session_close(out);
    return status;
}

void vt_session_close(vt_session *session) {
    vt_kv_cache_close(&session->cache);
    if (session->memory)
        session->kern->memory_release(session->kern, session->memory, session->memory_bytes);
    free(session->host_tokens);
    free(session->parts);
    *session = (vt_session){0};
}

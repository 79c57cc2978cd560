/* session.c - see session.h. */
#include "engine/session.h"

#include <stdlib.h>

#include "core/clock.h"

#define LEAST_ARENA ((size_t)4 << 30)

static variant_status open_cache(vt_session *session, const variant_engine *engine,
                                 const vt_schedule *schedule, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(engine->model->transformer);
    int capacity[VT_SCHEDULE_LAYERS];
    for (int layer = 0; layer < config->depth; ++layer)
        capacity[layer] =
            vt_schedule_layer_tokens(schedule, config->sides, layer, config->scales - 1);
    return vt_kv_cache_open(&session->cache, session->kern, config->depth, session->streams,
                            config->width, capacity, err);
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
    VT_TRY(vt_arena_check(&session->arena, "generation", err));
    session->host_logits = malloc(batch * tokens * codes * sizeof(float));
    session->host_tokens = malloc(batch * tokens * sizeof(int32_t));
    if (!session->host_logits || !session->host_tokens)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the logits of %d pictures",
                       session->batch);
    return VARIANT_OK;
}

variant_status vt_session_open(vt_session *out, const variant_engine *engine,
                               const vt_session_options *options, variant_error *err) {
    *out = (vt_session){.kern = engine->kern, .batch = options->batch};
    out->streams = options->guided ? 2 * options->batch : options->batch;
    size_t physical = vt_physical_bytes();
    out->memory_bytes = physical > LEAST_ARENA ? physical : LEAST_ARENA;
    variant_status status = VARIANT_OK;
    VT_CHECK(out->kern->memory_reserve(out->kern, out->memory_bytes, &out->memory, err));
    vt_arena_init(&out->arena, out->memory, out->memory_bytes);
    VT_CHECK(open_cache(out, engine, options->schedule, err));
    VT_CHECK(take_buffers(out, engine, options->smooth, err));
cleanup:
    if (status != VARIANT_OK) vt_session_close(out);
    return status;
}

void vt_session_close(vt_session *session) {
    vt_kv_cache_close(&session->cache);
    if (session->memory)
        session->kern->memory_release(session->kern, session->memory, session->memory_bytes);
    free(session->host_logits);
    free(session->host_tokens);
    *session = (vt_session){0};
}

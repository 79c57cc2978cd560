/* step.c - one generation step: the tokens of scale k through the layers of S_k, over the KV cache.
 *
 * Called by engine/generate.c once a scale. Streams are groups of every operation, so that a picture
 * is the same whatever its neighbours are. */
#include "transformer/model.h"

#include "core/clock.h"

static variant_status step_check(const vt_transformer *t, const vt_transformer_step *step,
                                 variant_error *err) {
    VT_TRY(vt_schedule_check(t, step->schedule, err));
    if (step->k < 0 || step->k >= t->config.scales)
        return vt_fail(err, VARIANT_E_ARGUMENT, "scale %d: this model has scales 0 to %d", step->k,
                       t->config.scales - 1);
    if (step->k > 0 && step->input == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "scale %d has no input: only scale 0 needs none",
                       step->k);
    if (t->table == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "the transformer is not prepared");
    return VARIANT_OK;
}

/* x (streams, n, C) = embedded input + lvl_embed[k] + pos_1LC */
static variant_status embed_input(vt_transformer *t, const vt_transformer_step *step, int n,
                                  vt_arena *arena, float *x, variant_error *err) {
    vt_kern *kern = vt_arena_kern(arena, t->kern);
    int streams = step->condition->streams, width = t->config.width;
    if (step->k == 0) {
        kern->copy(kern, x, step->condition->embedding, (size_t)streams * (size_t)width);
        kern->add_rows(kern, x, t->pos_start->value, streams, 1, width);
    } else {
        VT_TRY(vt_linear_forward(kern, &t->word_embed, arena, x, step->input, streams, n, err));
    }
    kern->add_rows(kern, x, t->table + (size_t)t->start[step->k] * (size_t)width, streams, n,
                   width);
    return VARIANT_OK;
}

variant_status vt_transformer_run_step(vt_transformer *transformer, vt_arena *arena,
                                       const vt_transformer_step *step, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kern *kern = vt_arena_kern(arena, transformer->kern);
    const vt_transformer_config *config = &transformer->config;
    const vt_condition *condition = step->condition;

    VT_TRY(step_check(transformer, step, err));
    int streams = condition->streams,
        n = transformer->start[step->k + 1] - transformer->start[step->k];
    size_t c = (size_t)config->width, mark = vt_arena_mark(arena);
    float *x = vt_arena_floats(arena, (size_t)streams * (size_t)n * c);
    VT_CHECK(vt_arena_check(arena, "a transformer step", err));

    /* 1. embed */
    VT_CHECK(embed_input(transformer, step, n, arena, x, err));

    /* 2. the layers of this scale */
    for (int l = 0; l < config->depth; ++l) {
        vt_kv_view view;
        if (!step->schedule->runs[step->k][l]) continue;
        VT_CHECK(vt_kv_cache_append(step->cache, l, n, &view, err));
        int seen = view.rows + n;
        vt_block_run run = {.kern = kern,
                            .config = config,
                            .block = &transformer->blocks[l],
                            .groups = streams,
                            .rows = n,
                            .mod = condition->blocks +
                                   (size_t)l * (size_t)streams * VT_MODULATIONS * c,
                            .x = x,
                            .kv = view,
                            .segments = 1,
                            .q_end = &n,
                            .k_end = &seen};
        VT_CHECK(vt_block_generate(&run, arena, err));
    }

    /* 3. head */
    double head_start = vt_seconds();
    vt_number type = vt_linear_input(kern, &transformer->head);
    void *normed = x;
    if (type != VT_NUMBER_F32) normed = vt_arena_halves(arena, (size_t)streams * (size_t)n * c);
    VT_CHECK(vt_arena_check(arena, "a transformer step", err));
    kern->norm_modulate(kern, &(vt_norm_modulate){.x = x,
                                                  .scale = condition->head,
                                                  .shift = condition->head + c,
                                                  .mod_stride = 2 * c,
                                                  .y = normed,
                                                  .y_type = type,
                                                  .groups = streams,
                                                  .rows = n,
                                                  .width = config->width,
                                                  .eps = VT_NORM_EPS});
    VT_CHECK(vt_linear_run(
        kern, &transformer->head, arena,
        &(vt_product){.x = normed, .x_type = type, .y = step->logits, .groups = streams, .rows = n},
        err));
    if (step->head_seconds != NULL) *step->head_seconds += vt_seconds() - head_start;
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

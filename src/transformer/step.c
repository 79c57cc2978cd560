/* step.c - one generation step: the tokens of each stream's scale through the layers of its schedule, over its keys and
 * values.
 *
 *     x       = embed(the inputs of all streams), rows of one after another
 *     layer l : x of the streams with l in S_k, each k its own, through the block
 *     logits  = head(norm(x))
 *
 * Called by engine/loop.c. Rows are rows: only attention, keys and values, and the class's vectors are a stream's own. */
#include "transformer/model.h"

#include <stdlib.h>

#include "core/clock.h"

/* The step's tables, host memory. `all` are the rows of every stream, in the order of x; `some` those of the streams that
 * run the layer at hand. */
typedef struct step_tables {
    vt_stream *const *streams;
    int count;
    vt_ragged all, some;
    int *begin, *some_begin, *some_at; /* (count + 1), (count + 1), (count) */
    const float **mod;                 /* (count) */
    vt_stream_rows *kv;                /* (count) */
    void *memory;
} step_tables;

static variant_status stream_check(const vt_transformer *t, const vt_stream *stream,
                                   variant_error *err) {
    VT_TRY(vt_schedule_check(t, stream->schedule, err));
    if (stream->k < 0 || stream->k >= t->config.scales)
        return vt_fail(err, VARIANT_E_ARGUMENT, "scale %d: this model has scales 0 to %d",
                       stream->k, t->config.scales - 1);
    if (stream->k > 0 && stream->input == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "scale %d has no input: only scale 0 needs none",
                       stream->k);
    return VARIANT_OK;
}

static int rows_at(const vt_transformer *t, int k) {
    return t->start[k + 1] - t->start[k];
}

static variant_status tables_open(step_tables *out, const vt_transformer *t,
                                  const vt_transformer_step *step, variant_error *err) {
    const size_t n = (size_t)step->count;
    *out = (step_tables){.streams = step->streams, .count = step->count};
    if (t->table == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "the transformer is not prepared");
    for (int i = 0; i < step->count; ++i) VT_TRY(stream_check(t, step->streams[i], err));
    out->memory = malloc(n * (sizeof *out->kv + sizeof *out->mod) + (3 * n + 2) * sizeof(int));
    if (out->memory == NULL)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a step of %d streams", step->count);
    out->kv = out->memory;
    out->mod = (const float **)(void *)(out->kv + n);
    out->begin = (int *)(void *)(out->mod + n);
    out->some_begin = out->begin + n + 1;
    out->some_at = out->some_begin + n + 1;
    out->begin[0] = 0;
    for (int i = 0; i < step->count; ++i)
        out->begin[i + 1] = out->begin[i] + rows_at(t, step->streams[i]->k);
    out->all =
        (vt_ragged){.groups = step->count, .begin = out->begin, .at = out->begin, .mod = out->mod};
    out->some =
        (vt_ragged){.begin = out->some_begin, .at = out->some_at, .mod = out->mod, .kv = out->kv};
    return VARIANT_OK;
}

/* The streams that run layer l: their rows, their room for keys and values, their class's vectors. */
static variant_status tables_layer(step_tables *t, const vt_transformer *transformer, int l,
                                   variant_error *err) {
    const size_t mods = VT_MODULATIONS * (size_t)transformer->config.width;
    int g = 0;
    t->some_begin[0] = 0;
    for (int i = 0; i < t->count; ++i) {
        const vt_stream *stream = t->streams[i];
        const vt_condition *c = stream->condition;
        if (!stream->schedule->runs[stream->k][l]) continue;
        const int rows = rows_at(transformer, stream->k);
        VT_TRY(vt_kv_cache_append(stream->cache, l, rows, &t->kv[g], err));
        t->some_at[g] = t->begin[i];
        t->mod[g] =
            c->blocks + ((size_t)l * (size_t)c->classes + (size_t)stream->class_index) * mods;
        t->some_begin[g + 1] = t->some_begin[g] + rows;
        ++g;
    }
    t->some.groups = g;
    return VARIANT_OK;
}

/* ---- 1. embed ---- */

/* Neighbours from stream i on that stand at its scale. */
static int neighbours(const step_tables *t, int i) {
    int n = 1;
    while (i + n < t->count && t->streams[i + n]->k == t->streams[i]->k) ++n;
    return n;
}

/* The inputs of the streams beyond scale 0, one after another; both branches of a picture read the same. */
static float *gather_inputs(vt_transformer *t, const step_tables *tables, vt_kern *kern,
                            vt_arena *arena) {
    const size_t width = (size_t)t->config.latent_dim;
    float *inputs = vt_arena_floats(arena, (size_t)tables->begin[tables->count] * width);
    for (int i = 0; inputs && i < tables->count; ++i) {
        const size_t rows = (size_t)(tables->begin[i + 1] - tables->begin[i]);
        if (tables->streams[i]->k > 0)
            kern->copy(kern, inputs + (size_t)tables->begin[i] * width, tables->streams[i]->input,
                       rows * width);
        else /* no input: its product is not looked at */
            vt_kern_fill(kern, inputs + (size_t)tables->begin[i] * width, 0.0f, rows * width);
    }
    return inputs;
}

/* x (rows, C) = embedded input + lvl_embed[k] + pos_1LC; scale 0 begins with the class. */
static variant_status embed(vt_transformer *t, const step_tables *tables, vt_kern *kern,
                            vt_arena *arena, float *x, variant_error *err) {
    const size_t width = (size_t)t->config.width, mark = vt_arena_mark(arena);
    bool any = false;
    for (int i = 0; i < tables->count; ++i) any = any || tables->streams[i]->k > 0;
    if (any) {
        float *inputs = gather_inputs(t, tables, kern, arena);
        VT_TRY(vt_arena_check(arena, "a transformer step", err));
        VT_TRY(vt_linear_run(kern, &t->word_embed, arena,
                             &(vt_product){.x = inputs,
                                           .y = x,
                                           .groups = 1,
                                           .rows = tables->begin[tables->count],
                                           .ragged = &tables->all},
                             err));
        vt_arena_rewind(arena, mark);
    }
    for (int i = 0, n; i < tables->count; i += n) {
        const int k = tables->streams[i]->k;
        float *rows = x + (size_t)tables->begin[i] * width;
        n = neighbours(tables, i);
        for (int j = i; k == 0 && j < i + n; ++j)
            kern->copy(kern, x + (size_t)tables->begin[j] * width,
                       tables->streams[j]->condition->embedding +
                           (size_t)tables->streams[j]->class_index * width,
                       width);
        if (k == 0) kern->add_rows(kern, rows, t->pos_start->value, n, 1, t->config.width);
        kern->add_rows(kern, rows, t->table + (size_t)t->start[k] * width, n, rows_at(t, k),
                       t->config.width);
    }
    return VARIANT_OK;
}

/* ---- 3. head ---- */

static variant_status run_head(vt_transformer *t, const step_tables *tables, vt_kern *kern,
                               vt_arena *arena, float *x, float *logits, variant_error *err) {
    const size_t c = (size_t)t->config.width;
    const int rows = tables->begin[tables->count];
    const vt_product_input input = vt_linear_input(kern, &t->head, rows);
    void *normed = input.type == VT_NUMBER_F32 ? x : vt_arena_take(arena, input.bytes);
    VT_TRY(vt_arena_check(arena, "a transformer step", err));
    for (int i = 0; i < tables->count; ++i)
        tables->mod[i] =
            tables->streams[i]->condition->head + (size_t)tables->streams[i]->class_index * 2 * c;
    kern->norm_modulate(kern, &(vt_norm_modulate){.x = x,
                                                  .y = normed,
                                                  .y_type = input.type,
                                                  .groups = 1,
                                                  .rows = rows,
                                                  .width = t->config.width,
                                                  .eps = VT_NORM_EPS,
                                                  .ragged = &tables->all,
                                                  .scale_at = 0,
                                                  .shift_at = c});
    return vt_linear_run(kern, &t->head, arena,
                         &(vt_product){.x = normed,
                                       .x_type = input.type,
                                       .y = logits,
                                       .groups = 1,
                                       .rows = rows,
                                       .ragged = &tables->all},
                         err);
}

variant_status vt_transformer_run_step(vt_transformer *transformer, vt_arena *arena,
                                       const vt_transformer_step *step, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kern *kern = vt_arena_kern(arena, transformer->kern);
    const vt_transformer_config *config = &transformer->config;
    const size_t mark = vt_arena_mark(arena);
    step_tables tables;

    VT_CHECK(tables_open(&tables, transformer, step, err));
    float *x = vt_arena_floats(arena, (size_t)tables.begin[step->count] * (size_t)config->width);
    VT_CHECK(vt_arena_check(arena, "a transformer step", err));

    /* 1. embed */
    VT_CHECK(embed(transformer, &tables, kern, arena, x, err));

    /* 2. the layers, each on the streams that run it */
    for (int l = 0; l < config->depth; ++l) {
        VT_CHECK(tables_layer(&tables, transformer, l, err));
        if (tables.some.groups == 0) continue;
        const vt_block_step block = {.kern = kern,
                                     .config = config,
                                     .block = &transformer->blocks[l],
                                     .rows = &tables.some,
                                     .kv_type = vt_kv_cache_type(step->streams[0]->cache),
                                     .x = x};
        VT_CHECK(vt_block_run_step(&block, arena, err));
    }

    /* 3. head */
    if (step->head_seconds != NULL) kern->sync(kern);
    double head_start = vt_seconds();
    VT_CHECK(run_head(transformer, &tables, kern, arena, x, step->logits, err));
    if (step->head_seconds != NULL) {
        kern->sync(kern);
        *step->head_seconds += vt_seconds() - head_start;
    }
cleanup:
    free(tables.memory);
    vt_arena_rewind(arena, mark);
    return status;
}

/* train.c - one teacher-forced pass over all L tokens and its backward, under any schedule.
 *
 * A layer sees only the tokens of the scales that run it: they are gathered into a compact (B, La,
 * C) buffer, pass the block with one segment a scale, and are put back; the others pass by as
 * identity. A subnet step is therefore exact and cheaper. Activations lie in the arena in the order
 * that pass_layout takes them; backward finds them by taking the same buffers again from where
 * forward began, so nothing has to be remembered in host memory. Where a pass keeps less than all (vt_transformer_keep), one
 * room serves all layers in turn. Called by train/ and by the checks
 * in tests/. */
#include "transformer/model.h"

#include <limits.h>

/* ---- which tokens a layer sees ---- */

typedef struct token_range {
    int at, count; /* in the sequence of L tokens */
} token_range;

typedef struct layer_tokens {
    int rows;                    /* La */
    int segments;                /* scales that run the layer */
    int end[VT_SCHEDULE_SCALES]; /* compact rows after each of them */
    int ranges;                  /* contiguous stretches of them */
    token_range range[VT_SCHEDULE_SCALES];
} layer_tokens;

static layer_tokens tokens_of_layer(const vt_transformer *t, const vt_schedule *schedule,
                                    int layer) {
    layer_tokens out = {0};
    for (int k = 0; k < t->config.scales; ++k) {
        int n = t->start[k + 1] - t->start[k];
        if (!schedule->runs[k][layer]) continue;
        out.rows += n;
        out.end[out.segments++] = out.rows;
        token_range *last = out.ranges > 0 ? &out.range[out.ranges - 1] : NULL;
        if (last != NULL && last->at + last->count == t->start[k])
            last->count += n;
        else
            out.range[out.ranges++] = (token_range){t->start[k], n};
    }
    return out;
}

/* (B, La, C) compact <- or -> the layer's rows of (B, L, C) whole. */
static void move_tokens(vt_transformer *t, const layer_tokens *tokens, int batch, float *compact,
                        float *whole, bool gather) {
    vt_kern *kern = t->kern;
    size_t c = (size_t)t->config.width, from = (size_t)t->tokens * c, to = (size_t)tokens->rows * c,
           at = 0;
    for (int i = 0; i < tokens->ranges; ++i) {
        size_t width = (size_t)tokens->range[i].count * c;
        float *place = whole + (size_t)tokens->range[i].at * c;
        if (gather)
            kern->copy_rows(kern, compact + at, to, place, from, batch, width);
        else
            kern->copy_rows(kern, place, from, compact + at, to, batch, width);
        at += width;
    }
}

/* ---- what forward leaves for backward ---- */

typedef struct saved_pass {
    vt_condition_buffers condition;
    int32_t *labels;
    vt_block_activations layers[VT_SCHEDULE_LAYERS];
    float *stream
        [VT_SCHEDULE_LAYERS]; /* KEEP_INPUTS: (B, La, C) in the room, for the way through a layer once more */
    uint8_t used[VT_SCHEDULE_LAYERS];
    float *x;           /* (B, L, C) the stream, in the end the head's input */
    float *mean, *rstd; /* (B, L) of the head's norm */
    float *logits;      /* (B, L, V) */
} saved_pass;

/* All layers in one room, which holds the largest of them. */
static void layout_in_turn(saved_pass *out, vt_arena *arena, const vt_transformer *t,
                           const vt_transformer_pass *pass) {
    const size_t b = (size_t)pass->batch, c = (size_t)t->config.width;
    float *inputs[VT_SCHEDULE_LAYERS] = {NULL};
    int rows[VT_SCHEDULE_LAYERS];
    for (int l = 0; l < t->config.depth; ++l) {
        rows[l] = tokens_of_layer(t, pass->schedule, l).rows;
        if (rows[l] > 0 && pass->keep == VT_KEEP_INPUTS)
            inputs[l] = vt_arena_floats(arena, b * (size_t)rows[l] * c);
    }
    const size_t room = vt_arena_mark(arena);
    size_t end = room;
    for (int l = 0; l < t->config.depth; ++l) {
        vt_block_activations *kept = &out->layers[l];
        out->used[l] = rows[l] > 0;
        if (rows[l] == 0) continue;
        vt_arena_rewind(arena, room);
        vt_block_take(kept, arena, &t->config, t->params.product_type, pass->batch, rows[l]);
        if (vt_arena_mark(arena) > end) end = vt_arena_mark(arena);
        if (!inputs[l]) continue;
        out->stream[l] = kept->x_in;
        kept->x_in = inputs[l];
    }
    vt_arena_rewind(arena, room);
    vt_arena_take(arena, end - room);
}

static void pass_layout(saved_pass *out, vt_arena *arena, const vt_transformer *t,
                        const vt_transformer_pass *pass) {
    const vt_transformer_config *config = &t->config;
    size_t b = (size_t)pass->batch, c = (size_t)config->width, n = b * (size_t)t->tokens;
    vt_condition_buffers *condition = &out->condition;

    out->labels = vt_arena_ints(arena, b);
    *condition =
        (vt_condition_buffers){.streams = pass->batch, .layers = out->used, .labels = out->labels};
    condition->embedding = vt_arena_floats(arena, b * c);
    condition->silu = vt_arena_floats(arena, b * c);
    condition->blocks = vt_arena_floats(arena, (size_t)config->depth * b * VT_MODULATIONS * c);
    condition->head = vt_arena_floats(arena, b * 2 * c);
    out->x = vt_arena_floats(arena, n * c);
    out->mean = vt_arena_floats(arena, n);
    out->rstd = vt_arena_floats(arena, n);
    out->logits = vt_arena_floats(arena, n * (size_t)config->codes);
    if (pass->keep != VT_KEEP_ALL) {
        layout_in_turn(out, arena, t, pass);
        return;
    }
    for (int l = 0; l < config->depth; ++l) {
        int rows = tokens_of_layer(t, pass->schedule, l).rows;
        out->used[l] = rows > 0;
        if (rows > 0)
            vt_block_take(&out->layers[l], arena, config, t->params.product_type, pass->batch,
                          rows);
    }
}

static vt_block_run layer_run(vt_transformer *t, const saved_pass *saved,
                              const layer_tokens *tokens, int layer, int batch, float *x) {
    size_t c = (size_t)t->config.width;
    const vt_block_activations *kept = &saved->layers[layer];
    return (vt_block_run){.kern = t->kern,
                          .config = &t->config,
                          .block = &t->blocks[layer],
                          .groups = batch,
                          .rows = tokens->rows,
                          .mod = saved->condition.blocks +
                                 (size_t)layer * (size_t)batch * VT_MODULATIONS * c,
                          .x = x,
                          .k = kept->k,
                          .v = kept->v,
                          .segments = tokens->segments,
                          .q_end = tokens->end,
                          .k_end = tokens->end};
}

static vt_norm_modulate head_norm(const vt_transformer *t, const saved_pass *saved, int batch) {
    size_t c = (size_t)t->config.width;
    return (vt_norm_modulate){.x = saved->x,
                              .scale = saved->condition.head,
                              .shift = saved->condition.head + c,
                              .mod_stride = 2 * c,
                              .mean = saved->mean,
                              .rstd = saved->rstd,
                              .groups = batch,
                              .rows = t->tokens,
                              .width = t->config.width,
                              .eps = VT_NORM_EPS};
}

/* ---- forward ---- */

static variant_status pass_check(const vt_transformer *t, const vt_transformer_pass *pass,
                                 variant_error *err) {
    if (pass->batch < 1 || pass->batch > INT_MAX / t->tokens)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a training batch of %d: expected 1 to %d",
                       pass->batch, INT_MAX / t->tokens);
    VT_TRY(vt_schedule_check(t, pass->schedule, err));
    VT_TRY(vt_labels_check(t, pass->labels, pass->batch, err));
    if (t->table == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "the transformer is not prepared");
    return VARIANT_OK;
}

/* x (B, L, C); words: scratch (B, L - 1, C) */
static variant_status embed_tokens(vt_transformer *t, const saved_pass *saved,
                                   const vt_transformer_pass *pass, vt_arena *arena, float *words,
                                   variant_error *err) {
    vt_kern *kern = t->kern;
    int rest = t->tokens - 1, width = t->config.width;
    size_t c = (size_t)width, all = (size_t)t->tokens * c;
    kern->copy_rows(kern, saved->x, all, saved->condition.embedding, c, pass->batch, c);
    kern->add_copy_rows(kern, saved->x, all, t->pos_start->value, 0, pass->batch, c);
    if (rest > 0) {
        VT_TRY(vt_linear_forward(kern, &t->word_embed, arena, words, pass->inputs, 1,
                                 pass->batch * rest, err));
        kern->copy_rows(kern, saved->x + c, all, words, (size_t)rest * c, pass->batch,
                        (size_t)rest * c);
    }
    kern->add_rows(kern, saved->x, t->table, pass->batch, t->tokens, width);
    return VARIANT_OK;
}

static variant_status run_layer(vt_transformer *t, const saved_pass *saved,
                                const vt_transformer_pass *pass, int layer, vt_arena *arena,
                                variant_error *err) {
    layer_tokens tokens = tokens_of_layer(t, pass->schedule, layer);
    size_t mark = vt_arena_mark(arena);
    variant_status status = VARIANT_OK;
    bool whole = tokens.rows == t->tokens;
    float *x = saved->x;
    if (!whole) {
        x = vt_arena_floats(arena,
                            (size_t)pass->batch * (size_t)tokens.rows * (size_t)t->config.width);
        VT_CHECK(vt_arena_check(arena, "a training pass", err));
        move_tokens(t, &tokens, pass->batch, x, saved->x, true);
    }
    vt_block_run run = layer_run(t, saved, &tokens, layer, pass->batch, x);
    VT_CHECK(vt_block_forward(&run, &saved->layers[layer], arena, err));
    if (!whole) move_tokens(t, &tokens, pass->batch, x, saved->x, false);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_transformer_forward(vt_transformer *transformer, vt_arena *arena,
                                      vt_transformer_pass *pass, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kern *kern = transformer->kern;
    saved_pass saved = {0};

    pass->logits = NULL;
    VT_TRY(pass_check(transformer, pass, err));
    pass->saved = arena->base + arena->used;
    pass_layout(&saved, arena, transformer, pass);
    size_t mark = vt_arena_mark(arena), n = (size_t)pass->batch * (size_t)transformer->tokens;
    float *scratch = vt_arena_floats(arena, n * (size_t)transformer->config.width);
    VT_CHECK(vt_arena_check(arena, "a training pass", err));

    /* 1. class, 2. tokens */
    kern->upload(kern, saved.labels, pass->labels, (size_t)pass->batch * sizeof *pass->labels);
    VT_CHECK(vt_condition_compute(transformer, arena, &saved.condition, err));
    VT_CHECK(embed_tokens(transformer, &saved, pass, arena, scratch, err));

    /* 3. layers */
    for (int l = 0; l < transformer->config.depth; ++l)
        if (saved.used[l]) VT_CHECK(run_layer(transformer, &saved, pass, l, arena, err));

    /* 4. head */
    vt_norm_modulate norm = head_norm(transformer, &saved, pass->batch);
    norm.y = scratch;
    kern->norm_modulate(kern, &norm);
    VT_CHECK(
        vt_linear_forward(kern, &transformer->head, arena, saved.logits, scratch, 1, (int)n, err));
    pass->logits = saved.logits;
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- backward ---- */

typedef struct pass_grad {
    float *dx;         /* (B, L, C) */
    float *scratch;    /* (B, L, C) */
    float *dblocks;    /* (D, B, 6C) */
    float *dhead;      /* (B, 2C) */
    float *dembedding; /* (B, C) */
    float *dsilu;      /* (B, C) */
    float *dshared;    /* (B, 6C), or NULL */
    float *dtable;     /* (L, C) */
} pass_grad;

static void grad_take(pass_grad *g, vt_arena *arena, const vt_transformer *t, int batch) {
    size_t b = (size_t)batch, c = (size_t)t->config.width, tokens = (size_t)t->tokens;
    g->dx = vt_arena_floats(arena, b * tokens * c);
    g->scratch = vt_arena_floats(arena, b * tokens * c);
    g->dblocks = vt_arena_floats(arena, (size_t)t->config.depth * b * VT_MODULATIONS * c);
    g->dhead = vt_arena_floats(arena, b * 2 * c);
    g->dembedding = vt_arena_floats(arena, b * c);
    g->dsilu = vt_arena_floats(arena, b * c);
    g->dshared = t->config.shared_adaln ? vt_arena_floats(arena, b * VT_MODULATIONS * c) : NULL;
    g->dtable = vt_arena_floats(arena, tokens * c);
}

/* 4. head: dlogits -> dx. The head's normed input is recomputed into `normed`, scratch of the size
 * of dx. */
static variant_status head_backward(vt_transformer *t, const saved_pass *saved,
                                    const vt_transformer_pass *pass, pass_grad *g, float *normed,
                                    vt_arena *arena, variant_error *err) {
    vt_kern *kern = t->kern;
    size_t c = (size_t)t->config.width, n = (size_t)pass->batch * (size_t)t->tokens;
    vt_norm_modulate norm = head_norm(t, saved, pass->batch), again = norm;
    again.y = normed;
    again.mean = again.rstd = NULL;
    kern->norm_modulate(kern, &again);
    VT_TRY(vt_linear_backward(
        kern, &t->head, arena,
        &(vt_product_grad){
            .dy = pass->logits, .x = normed, .dx = g->scratch, .groups = 1, .rows = (int)n},
        err));
    vt_kern_fill(kern, g->dx, 0, n * c);
    vt_kern_fill(kern, g->dhead, 0, (size_t)pass->batch * 2 * c);
    kern->norm_modulate_dx(kern, &(vt_norm_modulate_grad){.forward = norm,
                                                          .dy = g->scratch,
                                                          .dx = g->dx,
                                                          .dscale = g->dhead,
                                                          .dshift = g->dhead + c});
    return VARIANT_OK;
}

/* What the layer's forward left before the next one took its room. */
static variant_status layer_again(vt_transformer *t, const saved_pass *saved,
                                  const vt_transformer_pass *pass, const layer_tokens *tokens,
                                  int layer, vt_arena *arena, variant_error *err) {
    const vt_block_activations *kept = &saved->layers[layer];
    float *x = saved->stream[layer];
    t->kern->copy(t->kern, x, kept->x_in,
                  (size_t)pass->batch * (size_t)tokens->rows * (size_t)t->config.width);
    vt_block_run run = layer_run(t, saved, tokens, layer, pass->batch, x);
    return vt_block_forward(&run, kept, arena, err);
}

/* 3. one layer: dx of its tokens; those it never saw pass by. */
static variant_status layer_backward(vt_transformer *t, const saved_pass *saved,
                                     const vt_transformer_pass *pass, pass_grad *g, int layer,
                                     vt_arena *arena, variant_error *err) {
    layer_tokens tokens = tokens_of_layer(t, pass->schedule, layer);
    bool whole = tokens.rows == t->tokens;
    if (pass->keep == VT_KEEP_INPUTS)
        VT_TRY(layer_again(t, saved, pass, &tokens, layer, arena, err));
    float *dx = whole ? g->dx : g->scratch; /* (B, La, C) */
    float *dmod =
        g->dblocks + (size_t)layer * (size_t)pass->batch * VT_MODULATIONS * (size_t)t->config.width;
    if (!whole) move_tokens(t, &tokens, pass->batch, dx, g->dx, true);
    vt_block_run run = layer_run(t, saved, &tokens, layer, pass->batch, NULL);
    VT_TRY(vt_block_backward(&run, &saved->layers[layer], dx, dmod, arena, err));
    if (!whole) move_tokens(t, &tokens, pass->batch, dx, g->dx, false);
    return VARIANT_OK;
}

/* 2. tokens: positions, levels, words, start; the class embedding's share goes to dembedding. */
static variant_status embed_backward(vt_transformer *t, const vt_transformer_pass *pass,
                                     pass_grad *g, vt_arena *arena, variant_error *err) {
    vt_kern *kern = t->kern;
    int rest = t->tokens - 1, width = t->config.width;
    size_t c = (size_t)width, all = (size_t)t->tokens * c;
    vt_kern_fill(kern, g->dtable, 0, all);
    kern->add_rows_dx(kern, g->dtable, g->dx, pass->batch, t->tokens, width);
    kern->axpby(kern, t->pos_1lc->grad, 1, g->dtable, 1, all);
    for (int k = 0; k < t->config.scales; ++k)
        kern->add_rows_dx(kern, t->lvl_embed->grad + (size_t)k * c,
                          g->dtable + (size_t)t->start[k] * c, t->start[k + 1] - t->start[k], 1,
                          width);
    if (rest > 0) {
        kern->copy_rows(kern, g->scratch, (size_t)rest * c, g->dx + c, all, pass->batch,
                        (size_t)rest * c);
        VT_TRY(vt_linear_backward(
            kern, &t->word_embed, arena,
            &(vt_product_grad){
                .dy = g->scratch, .x = pass->inputs, .groups = 1, .rows = pass->batch * rest},
            err));
    }
    kern->copy_rows(kern, g->dembedding, c, g->dx, all, pass->batch, c);
    kern->add_rows_dx(kern, t->pos_start->grad, g->dembedding, pass->batch, 1, width);
    return VARIANT_OK;
}

variant_status vt_transformer_backward(vt_transformer *transformer, vt_arena *arena,
                                       vt_transformer_pass *pass, const vt_transformer_loss *loss,
                                       bool with_gradient, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kern *kern = transformer->kern;
    saved_pass saved = {0};
    pass_grad g = {0};
    vt_arena again;

    if (pass->saved == NULL || pass->logits == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a backward pass needs the forward pass before it");
    if (with_gradient && transformer->params.train == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "the transformer has no memory for gradients");
    if (with_gradient && pass->keep == VT_KEEP_NOTHING)
        return vt_fail(err, VARIANT_E_ARGUMENT, "the forward pass kept nothing for a gradient");
    int n = pass->batch * transformer->tokens;
    const float weight = loss->weight > 0 ? loss->weight : 1,
                tokens = (float)((double)(loss->of > 0 ? loss->of : pass->batch) *
                                 (double)transformer->tokens);
    kern->cross_entropy(kern, &(vt_cross_entropy){.logits = pass->logits,
                                                  .targets = loss->targets,
                                                  .dlogits = with_gradient ? pass->logits : NULL,
                                                  .loss = loss->loss,
                                                  .hit = loss->hit,
                                                  .rows = n,
                                                  .vocab = transformer->config.codes,
                                                  .smoothing = loss->smoothing,
                                                  .weight = weight / tokens,
                                                  .teacher = loss->teacher,
                                                  .pull = loss->pull,
                                                  .kl = loss->kl});
    if (!with_gradient) return VARIANT_OK;

    vt_arena_init_filled(&again, pass->saved, SIZE_MAX);
    pass_layout(&saved, &again, transformer, pass);
    size_t mark = vt_arena_mark(arena), c = (size_t)transformer->config.width;
    grad_take(&g, arena, transformer, pass->batch);
    VT_CHECK(vt_arena_check(arena, "backward of a training pass", err));
    vt_kern_fill(kern, g.dblocks, 0,
                 (size_t)transformer->config.depth * (size_t)pass->batch * VT_MODULATIONS * c);

    size_t inner = vt_arena_mark(arena);
    float *normed = vt_arena_floats(arena, (size_t)n * c);
    VT_CHECK(vt_arena_check(arena, "backward of a training pass", err));
    VT_CHECK(head_backward(transformer, &saved, pass, &g, normed, arena, err));
    vt_arena_rewind(arena, inner);
    for (int l = transformer->config.depth - 1; l >= 0; --l) {
        const vt_block *block = &transformer->blocks[l];
        if (saved.used[l]) VT_CHECK(layer_backward(transformer, &saved, pass, &g, l, arena, err));
        vt_params_whole(&transformer->params, block->scale_mul ? block->scale_mul : block->q_bias);
    }
    VT_CHECK(embed_backward(transformer, pass, &g, arena, err));
    /* 1. class */
    VT_CHECK(vt_condition_backward(transformer,
                                   &(vt_condition_grad){.forward = saved.condition,
                                                        .dblocks = g.dblocks,
                                                        .dhead = g.dhead,
                                                        .dembedding = g.dembedding,
                                                        .dsilu = g.dsilu,
                                                        .dshared = g.dshared},
                                   arena, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

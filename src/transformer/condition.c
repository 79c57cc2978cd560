/* condition.c - what depends on the class alone: its embedding and the modulation of every block
 * and of the head.
 *
 *     blocks[l] = ada_lin[l](SiLU(embedding)), or shared_ada_lin(SiLU(embedding)) + ada_gss[l]
 *     head      = head_nm.ada_lin(SiLU(embedding))
 *
 * In generation computed once for streams that begin together, a class once: every unconditional branch is the same
 * class. */
#include "transformer/model.h"

variant_status vt_labels_check(const vt_transformer *transformer, const int32_t *labels, int count,
                               variant_error *err) {
    for (int i = 0; i < count; ++i)
        if (labels[i] < 0 || labels[i] > transformer->config.classes)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "label %d of picture %d: expected 0 to %d (%d: no class)", labels[i], i,
                           transformer->config.classes, transformer->config.classes);
    return VARIANT_OK;
}

variant_status vt_schedule_check(const vt_transformer *transformer, const vt_schedule *schedule,
                                 variant_error *err) {
    if (schedule->scales != transformer->config.scales ||
        schedule->depth != transformer->config.depth)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the schedule has %d scales of %d layers, this model %d of %d",
                       schedule->scales, schedule->depth, transformer->config.scales,
                       transformer->config.depth);
    return VARIANT_OK;
}

/* ---- forward ---- */

variant_status vt_condition_compute(vt_transformer *transformer, vt_arena *arena,
                                    const vt_condition_buffers *c, variant_error *err) {
    vt_kern *kern = vt_arena_kern(arena, transformer->kern);
    const vt_transformer_config *config = &transformer->config;
    size_t width = (size_t)config->width, mods = VT_MODULATIONS * width,
           block = (size_t)c->streams * mods;
    const float *shared = NULL;

    kern->gather_rows(kern, c->embedding, transformer->class_emb->value, c->labels, c->streams,
                      config->width);
    kern->silu(kern, c->silu, c->embedding, (size_t)c->streams * width);
    for (int l = 0; l < config->depth; ++l) {
        float *out = c->blocks + (size_t)l * block; /* (streams, 6C) */
        if (c->layers != NULL && !c->layers[l]) continue;
        if (!config->shared_adaln) {
            VT_TRY(vt_linear_forward(kern, &transformer->blocks[l].ada, arena, out, c->silu,
                                     c->streams, 1, err));
            continue;
        }
        /* The first layer that runs holds the shared result until every other has taken it. */
        if (shared == NULL) {
            VT_TRY(vt_linear_forward(kern, &transformer->shared_ada, arena, out, c->silu,
                                     c->streams, 1, err));
            shared = out;
        } else {
            kern->copy(kern, out, shared, block);
        }
    }
    for (int l = 0; config->shared_adaln && l < config->depth; ++l)
        if (c->layers == NULL || c->layers[l])
            kern->add_rows(kern, c->blocks + (size_t)l * block,
                           transformer->blocks[l].ada_gss->value, c->streams, 1, (int)mods);
    return vt_linear_forward(kern, &transformer->head_ada, arena, c->head, c->silu, c->streams, 1,
                             err);
}

/* ---- backward ---- */

/* dsilu (streams, C) = or += dout W of one modulation. */
static variant_status modulation_backward(vt_transformer *transformer, const vt_linear *linear,
                                          const vt_condition_grad *grad, const float *dout,
                                          vt_arena *arena, bool accumulate, variant_error *err) {
    return vt_linear_backward(transformer->kern, linear, arena,
                              &(vt_product_grad){.dy = dout,
                                                 .x = grad->forward.silu,
                                                 .dx = grad->dsilu,
                                                 .groups = 1,
                                                 .rows = grad->forward.streams,
                                                 .accumulate = accumulate},
                              err);
}

variant_status vt_condition_backward(vt_transformer *transformer, const vt_condition_grad *grad,
                                     vt_arena *arena, variant_error *err) {
    vt_kern *kern = transformer->kern;
    const vt_transformer_config *config = &transformer->config;
    const vt_condition_buffers *c = &grad->forward;
    size_t width = (size_t)config->width, mods = VT_MODULATIONS * width,
           block = (size_t)c->streams * mods;

    VT_TRY(modulation_backward(transformer, &transformer->head_ada, grad, grad->dhead, arena, false,
                               err));
    if (config->shared_adaln) vt_kern_fill(kern, grad->dshared, 0, block);
    for (int l = 0; l < config->depth; ++l) {
        const float *dout = grad->dblocks + (size_t)l * block;
        if (c->layers != NULL && !c->layers[l]) continue;
        if (!config->shared_adaln) {
            VT_TRY(modulation_backward(transformer, &transformer->blocks[l].ada, grad, dout, arena,
                                       true, err));
            continue;
        }
        kern->add_rows_dx(kern, transformer->blocks[l].ada_gss->grad, dout, c->streams, 1,
                          (int)mods);
        kern->axpby(kern, grad->dshared, 1, dout, 1, block);
    }
    if (config->shared_adaln)
        VT_TRY(modulation_backward(transformer, &transformer->shared_ada, grad, grad->dshared,
                                   arena, true, err));
    kern->silu_dx(kern, grad->dsilu, grad->dsilu, c->embedding, (size_t)c->streams * width);
    kern->axpby(kern, grad->dembedding, 1, grad->dsilu, 1, (size_t)c->streams * width);
    kern->scatter_rows(kern, transformer->class_emb->grad, c->labels, grad->dembedding, c->streams,
                       config->width);
    return VARIANT_OK;
}

/* ---- once for streams that begin together ---- */

variant_status vt_transformer_condition(vt_transformer *transformer, vt_arena *keep,
                                        vt_arena *scratch, const int32_t *labels, int classes,
                                        const uint8_t *layers, vt_condition *out,
                                        variant_error *err) {
    vt_kern *kern = vt_arena_kern(keep, transformer->kern);
    const vt_transformer_config *config = &transformer->config;
    *out = (vt_condition){0};
    if (classes < 1 || classes > 1 << 20)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d classes: expected 1 to %d", classes, 1 << 20);
    VT_TRY(vt_labels_check(transformer, labels, classes, err));
    const size_t n = (size_t)classes, width = (size_t)config->width;
    vt_condition_buffers all = {.streams = classes, .layers = layers};
    all.embedding = vt_arena_floats(keep, n * width);
    all.blocks = vt_arena_floats(keep, (size_t)config->depth * n * VT_MODULATIONS * width);
    all.head = vt_arena_floats(keep, n * 2 * width);
    VT_TRY(vt_arena_check(keep, "the class condition", err));

    const size_t mark = vt_arena_mark(scratch);
    int32_t *index = vt_arena_ints(scratch, n);
    all.labels = index;
    all.silu = vt_arena_floats(scratch, n * width);
    variant_status status = vt_arena_check(scratch, "the class condition", err);
    if (status == VARIANT_OK) {
        kern->upload(kern, index, labels, n * sizeof *labels);
        status = vt_condition_compute(transformer, scratch, &all, err);
    }
    vt_arena_rewind(scratch, mark);
    *out = (vt_condition){
        .classes = classes, .embedding = all.embedding, .blocks = all.blocks, .head = all.head};
    return status;
}

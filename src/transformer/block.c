/* block.c - a block in training: see block.h. Backward mirrors forward step by step, last to first. */
#include "transformer/block.h"

#include <math.h>

void vt_block_take(vt_block_activations *out, vt_arena *arena, const vt_transformer_config *config,
                   vt_number products, int groups, int rows) {
    if (products == VT_NUMBER_BF16) {
        vt_block_take_bf16(out, arena, config, groups, rows);
        return;
    }
    size_t r = (size_t)groups * (size_t)rows, c = (size_t)config->width,
           hidden = (size_t)config->hidden;
    *out = (vt_block_activations){.products = VT_NUMBER_F32};
    out->qkv = vt_arena_floats(arena, r * 3 * c);
    out->q = vt_arena_floats(arena, r * c);
    out->fc1 = vt_arena_floats(arena, r * hidden);
    out->k = vt_arena_floats(arena, r * c);
    out->v = vt_arena_floats(arena, r * c);
    out->x_in = vt_arena_floats(arena, r * c);
    out->x_mid = vt_arena_floats(arena, r * c);
    out->mean1 = vt_arena_floats(arena, r);
    out->rstd1 = vt_arena_floats(arena, r);
    out->mean2 = vt_arena_floats(arena, r);
    out->rstd2 = vt_arena_floats(arena, r);
    out->attended = vt_arena_floats(arena, r * c);
    out->h1 = vt_arena_floats(arena, r * c);
    out->h2 = vt_arena_floats(arena, r * c);
    out->act = vt_arena_floats(arena, r * hidden);
}

/* ---- arguments that forward and backward share ---- */

static const float *modulation(const vt_block_run *run, enum vt_modulation which) {
    return run->mod + (size_t)which * (size_t)run->config->width;
}

static vt_norm_modulate norm_args(const vt_block_run *run, const float *x, enum vt_modulation scale,
                                  enum vt_modulation shift) {
    return (vt_norm_modulate){.x = x,
                              .scale = modulation(run, scale),
                              .shift = modulation(run, shift),
                              .mod_stride = VT_MODULATIONS * (size_t)run->config->width,
                              .groups = run->groups,
                              .rows = run->rows,
                              .width = run->config->width,
                              .eps = VT_NORM_EPS};
}

static vt_qkv qkv_args(const vt_block_run *run, const float *qkv, float *q) {
    const vt_block *b = run->block;
    return (vt_qkv){.qkv = qkv,
                    .q_bias = b->q_bias->value,
                    .v_bias = b->v_bias->value,
                    .scale_mul = b->scale_mul == NULL ? NULL : b->scale_mul->value,
                    .q = q,
                    .k = run->k,
                    .v = run->v,
                    .kv_stride = (size_t)run->config->width,
                    .kv_group_stride = (size_t)run->rows * (size_t)run->config->width,
                    .groups = run->groups,
                    .rows = run->rows,
                    .heads = run->config->heads,
                    .head_dim = run->config->width / run->config->heads};
}

float vt_block_attention_scale(const vt_transformer_config *config) {
    const int head_dim = config->width / config->heads;
    /* normalised q carries its own learned scale */
    return config->l2_norm ? 1.0f : 0.25f / sqrtf((float)head_dim);
}

static vt_attention attention_args(const vt_block_run *run, const float *q, float *out) {
    size_t c = (size_t)run->config->width, group = (size_t)run->rows * c;
    return (vt_attention){.q = q,
                          .k = run->k,
                          .v = run->v,
                          .out = out,
                          .q_stride = c,
                          .kv_stride = c,
                          .out_stride = c,
                          .q_group_stride = group,
                          .kv_group_stride = group,
                          .out_group_stride = group,
                          .groups = run->groups,
                          .heads = run->config->heads,
                          .head_dim = run->config->width / run->config->heads,
                          .segments = run->segments,
                          .q_end = run->q_end,
                          .k_end = run->k_end,
                          .scale = vt_block_attention_scale(run->config)};
}

/* ---- training ---- */

variant_status vt_block_forward(const vt_block_run *run, const vt_block_activations *a,
                                vt_arena *arena, variant_error *err) {
    if (a->products == VT_NUMBER_BF16) return vt_block_forward_pieces(run, a, arena, err);
    vt_kern *kern = run->kern;
    const vt_block *b = run->block;
    size_t mark = vt_arena_mark(arena), mod_stride = VT_MODULATIONS * (size_t)run->config->width;
    int rows = run->groups * run->rows, width = run->config->width;
    size_t n = (size_t)rows, c = (size_t)width;
    variant_status status = VARIANT_OK;
    float *normed = vt_arena_floats(arena, n * c); /* backward computes it again */
    vt_attention attention = attention_args(run, a->q, a->attended);
    attention.workspace = vt_arena_take(arena, kern->attention_workspace(kern, &attention));
    VT_CHECK(vt_arena_check(arena, "a transformer block", err));

    /* 1. attention */
    kern->copy(kern, a->x_in, run->x, n * c);
    vt_norm_modulate norm = norm_args(run, run->x, VT_SCALE1, VT_SHIFT1);
    norm.y = normed;
    norm.mean = a->mean1;
    norm.rstd = a->rstd1;
    kern->norm_modulate(kern, &norm);
    VT_CHECK(vt_linear_forward(kern, &b->qkv, arena, a->qkv, normed, 1, rows, err));
    vt_qkv split = qkv_args(run, a->qkv, a->q);
    kern->qkv_split(kern, &split);
    kern->attention(kern, &attention);
    VT_CHECK(vt_linear_forward(kern, &b->proj, arena, a->h1, a->attended, 1, rows, err));
    kern->gate_add(kern, run->x, a->h1, modulation(run, VT_GAMMA1), mod_stride, run->groups,
                   run->rows, width);

    /* 2. MLP */
    kern->copy(kern, a->x_mid, run->x, n * c);
    norm = norm_args(run, run->x, VT_SCALE2, VT_SHIFT2);
    norm.y = normed;
    norm.mean = a->mean2;
    norm.rstd = a->rstd2;
    kern->norm_modulate(kern, &norm);
    VT_CHECK(vt_linear_forward(kern, &b->fc1, arena, a->fc1, normed, 1, rows, err));
    kern->gelu(kern, a->act, a->fc1, n * (size_t)run->config->hidden);
    VT_CHECK(vt_linear_forward(kern, &b->fc2, arena, a->h2, a->act, 1, rows, err));
    kern->gate_add(kern, run->x, a->h2, modulation(run, VT_GAMMA2), mod_stride, run->groups,
                   run->rows, width);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

typedef struct backward_scratch {
    float *normed;       /* (R, C) recomputed input of qkv and of fc1 */
    float *dh;           /* (R, C) gradient of h2, then of h1; then of normed */
    float *dwide;        /* (R, max(hidden, 3C)) gradient of act and fc1, then of qkv */
    float *dattended;    /* (R, C) */
    float *dq, *dk, *dv; /* (R, C) */
} backward_scratch;

static variant_status linear_backward(const vt_block_run *run, const vt_linear *linear,
                                      const float *dy, const float *x, float *dx, vt_arena *arena,
                                      variant_error *err) {
    return vt_linear_backward(
        run->kern, linear, arena,
        &(vt_product_grad){
            .dy = dy, .x = x, .dx = dx, .groups = 1, .rows = run->groups * run->rows},
        err);
}

typedef struct sublayer {
    const vt_linear *linear; /* of which s->dwide is the gradient */
    vt_norm_modulate norm;   /* before it */
    enum vt_modulation scale, shift;
} sublayer;

/* dx += gradient through LN(x)(1 + scale) + shift; s->normed recomputed for the weight's gradient
 * first. */
static variant_status sublayer_backward(const vt_block_run *run, const backward_scratch *s,
                                        const sublayer *of, float *dx, float *dmod, vt_arena *arena,
                                        variant_error *err) {
    vt_kern *kern = run->kern;
    size_t c = (size_t)run->config->width;
    vt_norm_modulate again = of->norm;
    again.y = s->normed;
    again.mean = again.rstd = NULL;
    kern->norm_modulate(kern, &again);
    VT_TRY(linear_backward(run, of->linear, s->dwide, s->normed, s->dh, arena, err));
    kern->norm_modulate_dx(kern, &(vt_norm_modulate_grad){.forward = of->norm,
                                                          .dy = s->dh,
                                                          .dx = dx,
                                                          .dscale = dmod + (size_t)of->scale * c,
                                                          .dshift = dmod + (size_t)of->shift * c});
    return VARIANT_OK;
}

static variant_status mlp_backward(const vt_block_run *run, const vt_block_activations *a,
                                   const backward_scratch *s, float *dx, float *dmod,
                                   vt_arena *arena, variant_error *err) {
    vt_kern *kern = run->kern;
    size_t c = (size_t)run->config->width, n = (size_t)run->groups * (size_t)run->rows;
    kern->gate_add_dx(kern, s->dh, dmod + VT_GAMMA2 * c, dx, a->h2, modulation(run, VT_GAMMA2),
                      VT_MODULATIONS * c, run->groups, run->rows, (int)c);
    VT_TRY(linear_backward(run, &run->block->fc2, s->dh, a->act, s->dwide, arena, err));
    kern->gelu_dx(kern, s->dwide, s->dwide, a->fc1, n * (size_t)run->config->hidden);
    vt_norm_modulate norm = norm_args(run, a->x_mid, VT_SCALE2, VT_SHIFT2);
    norm.mean = a->mean2;
    norm.rstd = a->rstd2;
    return sublayer_backward(run, s, &(sublayer){&run->block->fc1, norm, VT_SCALE2, VT_SHIFT2}, dx,
                             dmod, arena, err);
}

static variant_status attention_backward(const vt_block_run *run, const vt_block_activations *a,
                                         const backward_scratch *s, float *dx, float *dmod,
                                         vt_arena *arena, variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_block *b = run->block;
    size_t c = (size_t)run->config->width;
    vt_attention_grad attention = {.forward = attention_args(run, a->q, a->attended),
                                   .dout = s->dattended,
                                   .dq = s->dq,
                                   .dk = s->dk,
                                   .dv = s->dv};
    attention.forward.workspace =
        vt_arena_take(arena, kern->attention_grad_workspace(kern, &attention.forward));
    VT_TRY(vt_arena_check(arena, "backward of attention", err));

    kern->gate_add_dx(kern, s->dh, dmod + VT_GAMMA1 * c, dx, a->h1, modulation(run, VT_GAMMA1),
                      VT_MODULATIONS * c, run->groups, run->rows, (int)c);
    VT_TRY(linear_backward(run, &b->proj, s->dh, a->attended, s->dattended, arena, err));
    kern->attention_dx(kern, &attention);
    kern->qkv_split_dx(
        kern, &(vt_qkv_grad){.forward = qkv_args(run, a->qkv, a->q),
                             .dq = s->dq,
                             .dk = s->dk,
                             .dv = s->dv,
                             .dqkv = s->dwide,
                             .dq_bias = b->q_bias->grad,
                             .dv_bias = b->v_bias->grad,
                             .dscale_mul = b->scale_mul == NULL ? NULL : b->scale_mul->grad});
    vt_norm_modulate norm = norm_args(run, a->x_in, VT_SCALE1, VT_SHIFT1);
    norm.mean = a->mean1;
    norm.rstd = a->rstd1;
    return sublayer_backward(run, s, &(sublayer){&b->qkv, norm, VT_SCALE1, VT_SHIFT1}, dx, dmod,
                             arena, err);
}

variant_status vt_block_backward(const vt_block_run *run, const vt_block_activations *kept,
                                 float *dx, float *dmod, vt_arena *arena, variant_error *err) {
    if (kept->products == VT_NUMBER_BF16)
        return vt_block_backward_pieces(run, kept, dx, dmod, arena, err);
    size_t mark = vt_arena_mark(arena), c = (size_t)run->config->width,
           hidden = (size_t)run->config->hidden;
    size_t n = (size_t)run->groups * (size_t)run->rows;
    variant_status status = VARIANT_OK;
    backward_scratch s = {.normed = vt_arena_floats(arena, n * c),
                          .dh = vt_arena_floats(arena, n * c),
                          .dwide = vt_arena_floats(arena, n * (hidden > 3 * c ? hidden : 3 * c)),
                          .dattended = vt_arena_floats(arena, n * c),
                          .dq = vt_arena_floats(arena, n * c),
                          .dk = vt_arena_floats(arena, n * c),
                          .dv = vt_arena_floats(arena, n * c)};
    VT_CHECK(vt_arena_check(arena, "backward of a transformer block", err));
    VT_CHECK(mlp_backward(run, kept, &s, dx, dmod, arena, err));       /* 2. MLP */
    VT_CHECK(attention_backward(run, kept, &s, dx, dmod, arena, err)); /* 1. attention */
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

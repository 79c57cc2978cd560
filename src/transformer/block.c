/* block.c - see block.h. Backward mirrors forward step by step, last to first. */
#include "transformer/block.h"

#include <math.h>

void vt_block_take(vt_block_activations *out, vt_arena *arena, const vt_transformer_config *config,
                   int groups, int rows, bool keep) {
    size_t r = (size_t)groups * (size_t)rows, c = (size_t)config->width,
           hidden = (size_t)config->hidden;
    *out = (vt_block_activations){0};
    out->qkv = vt_arena_floats(arena, r * 3 * c);
    out->q = vt_arena_floats(arena, r * c);
    out->fc1 = vt_arena_floats(arena, r * hidden);
    if (!keep) {
        out->normed = vt_arena_floats(arena, r * c);
        out->attended = out->normed; /* normed is dead once qkv exists */
        out->h1 = out->qkv;          /* qkv is dead once split */
        out->h2 = out->qkv;
        out->act = out->fc1;
        return;
    }
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

static vt_qkv qkv_args(const vt_block_run *run, const vt_block_activations *a) {
    const vt_block *b = run->block;
    size_t c = (size_t)run->config->width, at = (size_t)run->cached * c;
    return (vt_qkv){.qkv = a->qkv,
                    .q_bias = b->q_bias->value,
                    .v_bias = b->v_bias->value,
                    .scale_mul = b->scale_mul == NULL ? NULL : b->scale_mul->value,
                    .q = a->q,
                    .k = run->k + at,
                    .v = run->v + at,
                    .kv_stride = c,
                    .kv_group_stride = run->kv_group_stride,
                    .groups = run->groups,
                    .rows = run->rows,
                    .heads = run->config->heads,
                    .head_dim = run->config->width / run->config->heads};
}

static vt_attention attention_args(const vt_block_run *run, const vt_block_activations *a) {
    size_t c = (size_t)run->config->width, group = (size_t)run->rows * c;
    int head_dim = run->config->width / run->config->heads;
    return (vt_attention){.q = a->q,
                          .k = run->k,
                          .v = run->v,
                          .out = a->attended,
                          .q_stride = c,
                          .kv_stride = c,
                          .out_stride = c,
                          .q_group_stride = group,
                          .kv_group_stride = run->kv_group_stride,
                          .out_group_stride = group,
                          .groups = run->groups,
                          .heads = run->config->heads,
                          .head_dim = head_dim,
                          .segments = run->segments,
                          .q_end = run->q_end,
                          .k_end = run->k_end,
                          /* normalised q carries its own learned scale */
                          .scale = run->config->l2_norm ? 1.0f : 0.25f / sqrtf((float)head_dim)};
}

/* ---- forward ---- */

variant_status vt_block_forward(const vt_block_run *run, vt_arena *arena, variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_block *b = run->block;
    size_t mark = vt_arena_mark(arena), mod_stride = VT_MODULATIONS * (size_t)run->config->width;
    size_t n = (size_t)run->groups * (size_t)run->rows, c = (size_t)run->config->width;
    int groups = run->split ? run->groups : 1,
        rows = run->split ? run->rows : run->groups * run->rows;
    variant_status status = VARIANT_OK;
    vt_block_activations a;

    if (run->kept != NULL) {
        a = *run->kept;
        a.normed = vt_arena_floats(arena, n * c);
    } else {
        vt_block_take(&a, arena, run->config, run->groups, run->rows, false);
    }
    vt_attention attention = attention_args(run, &a);
    attention.workspace = vt_arena_floats(arena, kern->attention_workspace(kern, &attention));
    VT_CHECK(vt_arena_check(arena, "a transformer block", err));

    /* 1. attention */
    if (a.x_in != NULL) kern->copy(kern, a.x_in, run->x, n * c);
    vt_norm_modulate norm = norm_args(run, run->x, VT_SCALE1, VT_SHIFT1);
    norm.y = a.normed;
    norm.mean = a.mean1;
    norm.rstd = a.rstd1;
    kern->norm_modulate(kern, &norm);
    vt_linear_forward(kern, &b->qkv, a.qkv, a.normed, groups, rows);
    vt_qkv split = qkv_args(run, &a);
    kern->qkv_split(kern, &split);
    kern->attention(kern, &attention);
    vt_linear_forward(kern, &b->proj, a.h1, a.attended, groups, rows);
    kern->gate_add(kern, run->x, a.h1, modulation(run, VT_GAMMA1), mod_stride, run->groups,
                   run->rows, (int)c);

    /* 2. MLP */
    if (a.x_mid != NULL) kern->copy(kern, a.x_mid, run->x, n * c);
    norm = norm_args(run, run->x, VT_SCALE2, VT_SHIFT2);
    norm.y = a.normed;
    norm.mean = a.mean2;
    norm.rstd = a.rstd2;
    kern->norm_modulate(kern, &norm);
    vt_linear_forward(kern, &b->fc1, a.fc1, a.normed, groups, rows);
    kern->gelu(kern, a.act, a.fc1, n * (size_t)run->config->hidden);
    vt_linear_forward(kern, &b->fc2, a.h2, a.act, groups, rows);
    kern->gate_add(kern, run->x, a.h2, modulation(run, VT_GAMMA2), mod_stride, run->groups,
                   run->rows, (int)c);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- backward ---- */

typedef struct backward_scratch {
    float *normed;       /* (R, C) recomputed input of qkv and of fc1 */
    float *dh;           /* (R, C) gradient of h2, then of h1; then of normed */
    float *dwide;        /* (R, max(hidden, 3C)) gradient of act and fc1, then of qkv */
    float *dattended;    /* (R, C) */
    float *dq, *dk, *dv; /* (R, C) */
} backward_scratch;

/* dx += gradient through LN(x)(1 + scale) + shift; s->normed recomputed for the weight's gradient
 * first. */
static void half_backward(const vt_block_run *run, const backward_scratch *s,
                          const vt_linear *linear, vt_norm_modulate norm, enum vt_modulation scale,
                          enum vt_modulation shift, float *dx, float *dmod) {
    vt_kern *kern = run->kern;
    size_t c = (size_t)run->config->width;
    vt_norm_modulate again = norm;
    again.y = s->normed;
    again.mean = again.rstd = NULL;
    kern->norm_modulate(kern, &again);
    vt_linear_backward(kern, linear, s->dwide, s->normed, s->dh, run->groups * run->rows, false);
    kern->norm_modulate_dx(kern, &(vt_norm_modulate_grad){.forward = norm,
                                                          .dy = s->dh,
                                                          .dx = dx,
                                                          .dscale = dmod + (size_t)scale * c,
                                                          .dshift = dmod + (size_t)shift * c});
}

static void mlp_backward(const vt_block_run *run, const backward_scratch *s, float *dx,
                         float *dmod) {
    vt_kern *kern = run->kern;
    const vt_block_activations *a = run->kept;
    size_t c = (size_t)run->config->width, n = (size_t)run->groups * (size_t)run->rows;
    kern->gate_add_dx(kern, s->dh, dmod + VT_GAMMA2 * c, dx, a->h2, modulation(run, VT_GAMMA2),
                      VT_MODULATIONS * c, run->groups, run->rows, (int)c);
    vt_linear_backward(kern, &run->block->fc2, s->dh, a->act, s->dwide, (int)n, false);
    kern->gelu_dx(kern, s->dwide, s->dwide, a->fc1, n * (size_t)run->config->hidden);
    vt_norm_modulate norm = norm_args(run, a->x_mid, VT_SCALE2, VT_SHIFT2);
    norm.mean = a->mean2;
    norm.rstd = a->rstd2;
    half_backward(run, s, &run->block->fc1, norm, VT_SCALE2, VT_SHIFT2, dx, dmod);
}

static variant_status attention_backward(const vt_block_run *run, const backward_scratch *s,
                                         float *dx, float *dmod, vt_arena *arena,
                                         variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_block *b = run->block;
    const vt_block_activations *a = run->kept;
    size_t c = (size_t)run->config->width;
    vt_attention_grad attention = {.forward = attention_args(run, a),
                                   .dout = s->dattended,
                                   .dq = s->dq,
                                   .dk = s->dk,
                                   .dv = s->dv};
    attention.forward.workspace =
        vt_arena_floats(arena, kern->attention_grad_workspace(kern, &attention.forward));
    VT_TRY(vt_arena_check(arena, "backward of attention", err));

    kern->gate_add_dx(kern, s->dh, dmod + VT_GAMMA1 * c, dx, a->h1, modulation(run, VT_GAMMA1),
                      VT_MODULATIONS * c, run->groups, run->rows, (int)c);
    vt_linear_backward(kern, &b->proj, s->dh, a->attended, s->dattended, run->groups * run->rows,
                       false);
    kern->attention_dx(kern, &attention);
    kern->qkv_split_dx(
        kern, &(vt_qkv_grad){.forward = qkv_args(run, a),
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
    half_backward(run, s, &b->qkv, norm, VT_SCALE1, VT_SHIFT1, dx, dmod);
    return VARIANT_OK;
}

variant_status vt_block_backward(const vt_block_run *run, float *dx, float *dmod, vt_arena *arena,
                                 variant_error *err) {
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
    mlp_backward(run, &s, dx, dmod);                             /* 2. MLP */
    VT_CHECK(attention_backward(run, &s, dx, dmod, arena, err)); /* 1. attention */
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* block_bf16.c - a block in training with bf16 products; see block.h. Backward mirrors forward step by
 * step, last to first.
 *
 * Between two products stands one pass over memory: the residual stream is added to, kept and
 * normalised in one (vt_residual), q, k and v are split, normalised and attended to in one
 * (vt_attend), and what products read is written in bf16 by whoever makes it. The stream, its
 * gradient, statistics, modulations and every weight's gradient stay float32. */
#include "transformer/block.h"

#include <math.h>

void vt_block_take_bf16(vt_block_activations *out, vt_arena *arena,
                        const vt_transformer_config *config, int groups, int rows) {
    size_t r = (size_t)groups * (size_t)rows, c = (size_t)config->width;
    *out = (vt_block_activations){.products = VT_NUMBER_BF16};
    out->x_in = vt_arena_floats(arena, r * c);
    out->x_mid = vt_arena_floats(arena, r * c);
    out->mean1 = vt_arena_floats(arena, r);
    out->rstd1 = vt_arena_floats(arena, r);
    out->mean2 = vt_arena_floats(arena, r);
    out->rstd2 = vt_arena_floats(arena, r);
    out->bf16.normed1 = vt_arena_halves(arena, r * c);
    out->bf16.normed2 = vt_arena_halves(arena, r * c);
    out->bf16.qkv = vt_arena_halves(arena, r * 3 * c);
    out->bf16.attended = vt_arena_halves(arena, r * c);
    out->bf16.h1 = vt_arena_halves(arena, r * c);
    out->bf16.h2 = vt_arena_halves(arena, r * c);
    out->bf16.fc1 = vt_arena_halves(arena, r * (size_t)config->hidden);
    out->bf16.log_sum = vt_arena_floats(arena, r * (size_t)config->heads);
}

/* ---- arguments that forward and backward share ---- */

static size_t mod_stride(const vt_block_run *run) {
    return VT_MODULATIONS * (size_t)run->config->width;
}

static const float *modulation(const vt_block_run *run, enum vt_modulation which) {
    return run->mod + (size_t)which * (size_t)run->config->width;
}

static vt_attend attend_args(const vt_block_run *run, const vt_block_activations *a, void *out) {
    const vt_block *b = run->block;
    int head_dim = run->config->width / run->config->heads;
    return (vt_attend){.qkv = a->bf16.qkv,
                       .q_bias = b->q_bias->value,
                       .v_bias = b->v_bias->value,
                       .scale_mul = b->scale_mul == NULL ? NULL : b->scale_mul->value,
                       .out = out,
                       .log_sum = a->bf16.log_sum,
                       .groups = run->groups,
                       .rows = run->rows,
                       .heads = run->config->heads,
                       .head_dim = head_dim,
                       .segments = run->segments,
                       .ends = run->k_end,
                       /* normalised q carries its own learned scale */
                       .scale = vt_block_attention_scale(run->config)};
}

/* ---- forward ---- */

/* y = x W^T + b, or, with gelu_of, gelu of that, which goes there; all bf16. */
static variant_status linear(const vt_block_run *run, const vt_linear *linear, const uint16_t *x,
                             uint16_t *y, uint16_t *gelu_of, vt_arena *arena, variant_error *err) {
    return vt_linear_run(run->kern, linear, arena,
                         &(vt_product){.x = x,
                                       .x_type = VT_NUMBER_BF16,
                                       .y = y,
                                       .y_type = VT_NUMBER_BF16,
                                       .epilogue = gelu_of ? VT_EPILOGUE_GELU : VT_EPILOGUE_STORE,
                                       .pre = gelu_of,
                                       .groups = 1,
                                       .rows = run->groups * run->rows},
                         err);
}

static vt_residual residual_args(const vt_block_run *run, const float *x, float *sum) {
    return (vt_residual){.x = x,
                         .sum = sum,
                         .mod_stride = mod_stride(run),
                         .groups = run->groups,
                         .rows = run->rows,
                         .width = run->config->width,
                         .eps = VT_NORM_EPS};
}

static variant_status attend_forward(const vt_block_run *run, const vt_block_activations *a,
                                     vt_arena *arena, variant_error *err) {
    size_t mark = vt_arena_mark(arena);
    vt_attend attend = attend_args(run, a, a->bf16.attended);
    attend.workspace = vt_arena_take(arena, run->kern->attend_workspace(run->kern, &attend));
    variant_status status = vt_arena_check(arena, "attention", err);
    if (status == VARIANT_OK) run->kern->attend(run->kern, &attend);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_block_forward_bf16(const vt_block_run *run, const vt_block_activations *a,
                                     vt_arena *arena, variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_block *b = run->block;
    size_t mark = vt_arena_mark(arena);
    size_t wide = (size_t)run->groups * (size_t)run->rows * (size_t)run->config->hidden;
    variant_status status = VARIANT_OK;
    uint16_t *act = vt_arena_halves(arena, wide); /* backward computes it again */
    VT_CHECK(vt_arena_check(arena, "a transformer block", err));

    /* 1. attention */
    vt_residual residual = residual_args(run, run->x, a->x_in);
    residual.y = a->bf16.normed1;
    residual.scale = modulation(run, VT_SCALE1);
    residual.shift = modulation(run, VT_SHIFT1);
    residual.mean = a->mean1;
    residual.rstd = a->rstd1;
    kern->residual(kern, &residual);
    VT_CHECK(linear(run, &b->qkv, a->bf16.normed1, a->bf16.qkv, NULL, arena, err));
    VT_CHECK(attend_forward(run, a, arena, err));
    VT_CHECK(linear(run, &b->proj, a->bf16.attended, a->bf16.h1, NULL, arena, err));

    /* 2. MLP */
    residual = residual_args(run, a->x_in, a->x_mid);
    residual.h = a->bf16.h1;
    residual.gamma = modulation(run, VT_GAMMA1);
    residual.y = a->bf16.normed2;
    residual.scale = modulation(run, VT_SCALE2);
    residual.shift = modulation(run, VT_SHIFT2);
    residual.mean = a->mean2;
    residual.rstd = a->rstd2;
    kern->residual(kern, &residual);
    VT_CHECK(linear(run, &b->fc1, a->bf16.normed2, act, a->bf16.fc1, arena, err));
    VT_CHECK(linear(run, &b->fc2, act, a->bf16.h2, NULL, arena, err));
    residual = residual_args(run, a->x_mid, run->x);
    residual.h = a->bf16.h2;
    residual.gamma = modulation(run, VT_GAMMA2);
    kern->residual(kern, &residual);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- backward ---- */

typedef struct backward_scratch {
    uint16_t *dh;      /* (R, C) gradient of h2, then of h1 */
    uint16_t *dwide;   /* (R, max(hidden, 3C)) gradient of fc1, then of qkv */
    uint16_t *act;     /* (R, hidden) */
    uint16_t *dnarrow; /* (R, C) gradient of normed2, of attended, of normed1 */
} backward_scratch;

static variant_status linear_backward(const vt_block_run *run, const vt_linear *linear,
                                      vt_linear_grad to, const vt_product_grad *gradient,
                                      vt_arena *arena, variant_error *err) {
    vt_kern *kern = run->kern;
    size_t mark = vt_arena_mark(arena);
    vt_product_grad args = *gradient;
    args.w = linear->weight->weight;
    args.dw = to.dw;
    args.db = to.db;
    args.dy_type = args.x_type = args.dx_type = VT_NUMBER_BF16;
    args.groups = 1;
    args.rows = run->groups * run->rows;
    args.workspace = vt_arena_take(arena, kern->product_grad_workspace(kern, &args));
    variant_status status = vt_arena_check(arena, linear->weight->name, err);
    if (status == VARIANT_OK) {
        kern->product_dx(kern, &args);
        kern->product_dw(kern, &args);
    }
    vt_arena_rewind(arena, mark);
    return status;
}

static vt_residual_grad residual_grad_args(const vt_block_run *run, float *dx) {
    return (vt_residual_grad){.dx = dx,
                              .mod_stride = mod_stride(run),
                              .groups = run->groups,
                              .rows = run->rows,
                              .width = run->config->width};
}

static void add_norm(const vt_block_run *run, vt_residual_grad *grad, enum vt_modulation scale,
                     enum vt_modulation shift, float *dmod) {
    grad->scale = modulation(run, scale);
    grad->dscale = dmod + (size_t)scale * (size_t)run->config->width;
    grad->dshift = dmod + (size_t)shift * (size_t)run->config->width;
}

static void add_gate(const vt_block_run *run, vt_residual_grad *grad, enum vt_modulation gamma,
                     const uint16_t *h, uint16_t *dh, float *dmod) {
    grad->h = h;
    grad->gamma = modulation(run, gamma);
    grad->dh = dh;
    grad->dgamma = dmod + (size_t)gamma * (size_t)run->config->width;
}

static variant_status mlp_backward(const vt_block_run *run, const vt_block_activations *a,
                                   const backward_scratch *s, const vt_block_grad *to, float *dx,
                                   float *dmod, vt_arena *arena, variant_error *err) {
    vt_residual_grad gate = residual_grad_args(run, dx);
    add_gate(run, &gate, VT_GAMMA2, a->bf16.h2, s->dh, dmod);
    run->kern->residual_dx(run->kern, &gate);
    VT_TRY(linear_backward(
        run, &run->block->fc2, to->fc2,
        &(vt_product_grad){
            .dy = s->dh, .x = s->act, .dx = s->dwide, .gelu_of = a->bf16.fc1, .gelu = s->act},
        arena, err));
    return linear_backward(
        run, &run->block->fc1, to->fc1,
        &(vt_product_grad){.dy = s->dwide, .x = a->bf16.normed2, .dx = s->dnarrow}, arena, err);
}

static variant_status attention_backward(const vt_block_run *run, const vt_block_activations *a,
                                         const backward_scratch *s, const vt_block_grad *to,
                                         vt_arena *arena, variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_block *b = run->block;
    size_t mark = vt_arena_mark(arena);
    VT_TRY(linear_backward(run, &b->proj, to->proj,
                           &(vt_product_grad){.dy = s->dh, .x = a->bf16.attended, .dx = s->dnarrow},
                           arena, err));
    vt_attend_grad grad = {.forward = attend_args(run, a, a->bf16.attended),
                           .dout = s->dnarrow,
                           .dqkv = s->dwide,
                           .dq_bias = to->dq_bias,
                           .dv_bias = to->dv_bias,
                           .dscale_mul = to->dscale_mul};
    grad.forward.workspace = vt_arena_take(arena, kern->attend_grad_workspace(kern, &grad.forward));
    VT_TRY(vt_arena_check(arena, "backward of attention", err));
    kern->attend_dx(kern, &grad);
    vt_arena_rewind(arena, mark);
    return linear_backward(
        run, &b->qkv, to->qkv,
        &(vt_product_grad){.dy = s->dwide, .x = a->bf16.normed1, .dx = s->dnarrow}, arena, err);
}

variant_status vt_block_backward_bf16(const vt_block_run *run, const vt_block_activations *a,
                                      const vt_block_grad *to, float *dx, float *dmod,
                                      vt_arena *arena, variant_error *err) {
    size_t mark = vt_arena_mark(arena), c = (size_t)run->config->width,
           hidden = (size_t)run->config->hidden;
    size_t n = (size_t)run->groups * (size_t)run->rows;
    variant_status status = VARIANT_OK;
    backward_scratch s = {.dh = vt_arena_halves(arena, n * c),
                          .dwide = vt_arena_halves(arena, n * (hidden > 3 * c ? hidden : 3 * c)),
                          .act = vt_arena_halves(arena, n * hidden),
                          .dnarrow = vt_arena_halves(arena, n * c)};
    VT_CHECK(vt_arena_check(arena, "backward of a transformer block", err));

    /* 2. MLP */
    VT_CHECK(mlp_backward(run, a, &s, to, dx, dmod, arena, err));
    /* its norm, and the gate of attention, whose h1 was added just before */
    vt_residual_grad middle = residual_grad_args(run, dx);
    middle.x = a->x_mid;
    middle.dy = s.dnarrow;
    middle.mean = a->mean2;
    middle.rstd = a->rstd2;
    add_norm(run, &middle, VT_SCALE2, VT_SHIFT2, dmod);
    add_gate(run, &middle, VT_GAMMA1, a->bf16.h1, s.dh, dmod);
    run->kern->residual_dx(run->kern, &middle);

    /* 1. attention */
    VT_CHECK(attention_backward(run, a, &s, to, arena, err));
    vt_residual_grad first = residual_grad_args(run, dx);
    first.x = a->x_in;
    first.dy = s.dnarrow;
    first.mean = a->mean1;
    first.rstd = a->rstd1;
    add_norm(run, &first, VT_SCALE1, VT_SHIFT1, dmod);
    run->kern->residual_dx(run->kern, &first);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

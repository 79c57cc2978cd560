/* picture_blocks.c - see picture_blocks.h. Backward repeats its forward's steps from last to first.
 * Inference has the same steps in fewer operations, and keeps nothing. */
#include "nn/picture_blocks.h"

#include <math.h>
#include <stdio.h>

/* ---- GroupNorm ---- */

void vt_picture_norm_register(vt_picture_norm *norm, vt_params *params, int channels,
                              const char *name) {
    const int64_t shape[1] = {channels};
    norm->channels = channels;
    norm->gamma = vt_params_add(params, 0, 1, shape, "%s.weight", name);
    norm->beta = vt_params_add(params, 0, 1, shape, "%s.bias", name);
}

static vt_group_norm norm_arguments(const vt_picture_norm *norm, const vt_picture_run *run,
                                    int side, const float *x, bool silu) {
    return (vt_group_norm){.x = x,
                           .gamma = norm->gamma->value,
                           .beta = norm->beta->value,
                           .groups = run->batch,
                           .pixels = side * side,
                           .channels = norm->channels,
                           .channel_groups = VT_NORM_GROUPS,
                           .eps = VT_NORM_EPS,
                           .silu = silu};
}

/* The norm as a part of the convolution behind it. */
static vt_conv_norm norm_before_conv(const vt_picture_norm *norm, const double *sums, bool silu) {
    return (vt_conv_norm){.gamma = norm->gamma->value,
                          .beta = norm->beta->value,
                          .sums = sums,
                          .channel_groups = VT_NORM_GROUPS,
                          .eps = VT_NORM_EPS,
                          .silu = silu};
}

/* Statistics go to slot `slot` of saved, which took them. */
static void norm_forward(const vt_picture_norm *norm, const vt_picture_run *run, int side,
                         const float *x, float *y, bool silu, const vt_picture_saved *saved,
                         int slot) {
    vt_group_norm args = norm_arguments(norm, run, side, x, silu);
    args.y = y;
    args.mean = saved->mean[slot];
    args.rstd = saved->rstd[slot];
    run->kern->group_norm(run->kern, &args);
}

static void norm_backward(const vt_picture_norm *norm, const vt_picture_run *run, int side,
                          const float *x, bool silu, const vt_picture_saved *saved, int slot,
                          const float *dy, float *dx, bool accumulate) {
    vt_group_norm_grad args = {.forward = norm_arguments(norm, run, side, x, silu),
                               .dy = dy,
                               .dx = dx,
                               .accumulate = accumulate,
                               .dgamma = norm->gamma->grad,
                               .dbeta = norm->beta->grad};
    args.forward.mean = saved->mean[slot];
    args.forward.rstd = saved->rstd[slot];
    run->kern->group_norm_dx(run->kern, &args);
}

static void take_statistics(const vt_picture_run *run, vt_picture_saved *saved, int slot) {
    size_t count = (size_t)run->batch * VT_NORM_GROUPS;
    saved->mean[slot] = vt_arena_floats(run->arena, count);
    saved->rstd[slot] = vt_arena_floats(run->arena, count);
}

variant_status vt_norm_silu_forward(const vt_picture_norm *norm, const vt_picture_run *run,
                                    int side, const float *x, float *y, vt_picture_saved *saved,
                                    variant_error *err) {
    saved->x = x;
    take_statistics(run, saved, 0);
    VT_TRY(vt_arena_check(run->arena, "a norm", err));
    norm_forward(norm, run, side, x, y, true, saved, 0);
    return VARIANT_OK;
}

variant_status vt_norm_silu_conv(const vt_picture_norm *norm, const vt_conv2d *conv,
                                 const vt_picture_run *run, int side, const float *x, float *y,
                                 variant_error *err) {
    vt_conv_norm before = norm_before_conv(norm, run->x_sums, true);
    return vt_conv2d_run(conv, run, side,
                         &(vt_conv){.x = x,
                                    .y = y,
                                    .x_type = run->x_type,
                                    .y_type = run->y_type,
                                    .norm = &before,
                                    .sums = run->y_sums},
                         err);
}

variant_status vt_norm_silu_backward(const vt_picture_norm *norm, const vt_picture_run *run,
                                     int side, const vt_picture_saved *saved, const float *dy,
                                     float *dx, variant_error *err) {
    (void)err;
    norm_backward(norm, run, side, saved->x, true, saved, 0, dy, dx, false);
    return VARIANT_OK;
}

/* ---- ResnetBlock ---- */

void vt_resnet_block_register(vt_resnet_block *block, vt_params *params, int in_c, int out_c,
                              const char *name) {
    char part[128];
    *block = (vt_resnet_block){0};
    snprintf(part, sizeof part, "%s.norm1", name);
    vt_picture_norm_register(&block->norm1, params, in_c, part);
    snprintf(part, sizeof part, "%s.conv1", name);
    vt_conv2d_register(&block->conv1, params, in_c, out_c, 3, 1, part);
    snprintf(part, sizeof part, "%s.norm2", name);
    vt_picture_norm_register(&block->norm2, params, out_c, part);
    snprintf(part, sizeof part, "%s.conv2", name);
    vt_conv2d_register(&block->conv2, params, out_c, out_c, 3, 1, part);
    if (in_c != out_c) {
        snprintf(part, sizeof part, "%s.nin_shortcut", name);
        vt_conv2d_register(&block->shortcut, params, in_c, out_c, 1, 1, part);
    }
}

double *vt_sums_take(const vt_picture_run *run, const vt_conv2d *conv) {
    if (!vt_conv2d_sums(conv, run->kern)) return NULL;
    return vt_arena_take(run->arena, (size_t)run->batch * 2 * (size_t)conv->out_c * sizeof(double));
}

/* y holds conv1's result, then conv2's: a convolution that normalises has read all of a picture
 * before it writes. */
static variant_status resnet_block_infer(const vt_resnet_block *block, const vt_picture_run *run,
                                         int side, const float *x, float *y, variant_error *err) {
    bool shortcut = block->shortcut.w != NULL;
    size_t mark = vt_arena_mark(run->arena);
    vt_picture_run first = *run;
    first.y_sums = vt_sums_take(run, &block->conv1);
    VT_TRY(vt_arena_check(run->arena, "a residual block", err));
    vt_conv_norm norm2 = norm_before_conv(&block->norm2, first.y_sums, true);
    VT_TRY(vt_norm_silu_conv(&block->norm1, &block->conv1, &first, side, x, y, err));
    vt_conv conv2 = {.x = y,
                     .y = y,
                     .x_type = run->y_type,
                     .y_type = run->y_type,
                     .norm = &norm2,
                     .residual = shortcut ? NULL : x,
                     .residual_type = run->x_type,
                     .sums = shortcut ? NULL : run->y_sums};
    VT_TRY(vt_conv2d_run(&block->conv2, run, side, &conv2, err));
    if (shortcut)
        VT_TRY(vt_conv2d_run(&block->shortcut, run, side,
                             &(vt_conv){.x = x,
                                        .y = y,
                                        .x_type = run->x_type,
                                        .y_type = run->y_type,
                                        .residual = y,
                                        .residual_type = run->y_type,
                                        .sums = run->y_sums},
                             err));
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_resnet_block_forward(const vt_resnet_block *block, const vt_picture_run *run,
                                       int side, const float *x, float *y, vt_picture_saved *saved,
                                       variant_error *err) {
    if (!saved) return resnet_block_infer(block, run, side, x, y, err);
    vt_kern *kern = run->kern;
    size_t in = vt_picture_floats(run, side, block->conv1.in_c);
    size_t out = vt_picture_floats(run, side, block->conv1.out_c);
    saved->x = x;
    take_statistics(run, saved, 0);
    take_statistics(run, saved, 1);
    float *normed1 = saved->hidden[0] = vt_arena_floats(run->arena, in);
    float *hidden = saved->hidden[1] = vt_arena_floats(run->arena, out);
    float *normed2 = saved->hidden[2] = vt_arena_floats(run->arena, out);
    size_t mark = vt_arena_mark(run->arena);
    VT_TRY(vt_arena_check(run->arena, "a residual block", err));

    norm_forward(&block->norm1, run, side, x, normed1, true, saved, 0);
    VT_TRY(vt_conv2d_forward(&block->conv1, run, side, normed1, hidden, err));
    norm_forward(&block->norm2, run, side, hidden, normed2, true, saved, 1);
    VT_TRY(vt_conv2d_forward(&block->conv2, run, side, normed2, y, err));
    if (block->shortcut.w) {
        float *shortcut = vt_arena_floats(run->arena, out);
        VT_TRY(vt_arena_check(run->arena, "a residual block", err));
        VT_TRY(vt_conv2d_forward(&block->shortcut, run, side, x, shortcut, err));
        x = shortcut;
    }
    kern->axpby(kern, y, 1.0f, x, 1.0f, out);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_resnet_block_backward(const vt_resnet_block *block, const vt_picture_run *run,
                                        int side, const vt_picture_saved *saved, const float *dy,
                                        float *dx, variant_error *err) {
    int in_c = block->conv1.in_c, out_c = block->conv1.out_c;
    size_t mark = vt_arena_mark(run->arena);
    float *dnormed =
        vt_arena_floats(run->arena, vt_picture_floats(run, side, in_c > out_c ? in_c : out_c));
    float *dhidden = vt_arena_floats(run->arena, vt_picture_floats(run, side, out_c));
    VT_TRY(vt_arena_check(run->arena, "a residual block's gradient", err));

    VT_TRY(vt_conv2d_backward(&block->conv2, run, side, saved->hidden[2], dy, dnormed, err));
    norm_backward(&block->norm2, run, side, saved->hidden[1], true, saved, 1, dnormed, dhidden,
                  false);
    VT_TRY(vt_conv2d_backward(&block->conv1, run, side, saved->hidden[0], dhidden, dnormed, err));
    if (block->shortcut.w)
        VT_TRY(vt_conv2d_backward(&block->shortcut, run, side, saved->x, dy, dx, err));
    norm_backward(&block->norm1, run, side, saved->x, true, saved, 0, dnormed, dx, true);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* ---- attention ---- */

void vt_attention_block_register(vt_attention_block *block, vt_params *params, int channels,
                                 const char *name) {
    char part[128];
    snprintf(part, sizeof part, "%s.norm", name);
    vt_picture_norm_register(&block->norm, params, channels, part);
    snprintf(part, sizeof part, "%s.qkv", name);
    vt_conv2d_register(&block->qkv, params, channels, 3 * channels, 1, 1, part);
    snprintf(part, sizeof part, "%s.proj_out", name);
    vt_conv2d_register(&block->proj_out, params, channels, channels, 1, 1, part);
}

/* q, k and v are columns of one product, so attention reads them in place at a stride of 3C. */
static vt_attention attention_arguments(const vt_picture_run *run, const int *pixels, int channels,
                                        const float *qkv, float *out) {
    size_t stride = 3 * (size_t)channels, rows = (size_t)*pixels;
    return (vt_attention){.q = qkv,
                          .k = qkv + channels,
                          .v = qkv + 2 * channels,
                          .out = out,
                          .q_stride = stride,
                          .kv_stride = stride,
                          .out_stride = (size_t)channels,
                          .q_group_stride = rows * stride,
                          .kv_group_stride = rows * stride,
                          .out_group_stride = rows * (size_t)channels,
                          .groups = run->batch,
                          .heads = 1,
                          .head_dim = channels,
                          .segments = 1,
                          .q_end = pixels,
                          .k_end = pixels,
                          .scale = 1.0f / sqrtf((float)channels)};
}

static variant_status attention_block_infer(const vt_attention_block *block,
                                            const vt_picture_run *run, int side, const float *x,
                                            float *y, variant_error *err) {
    vt_kern *kern = run->kern;
    int channels = block->norm.channels, pixels = side * side;
    size_t count = vt_picture_floats(run, side, channels);
    size_t mark = vt_arena_mark(run->arena);
    vt_conv_norm norm = norm_before_conv(&block->norm, run->x_sums, false);
    float *attended = vt_arena_floats(run->arena, count);
    size_t after = vt_arena_mark(run->arena);
    float *qkv = vt_arena_floats(run->arena, 3 * count);
    VT_TRY(vt_arena_check(run->arena, "an attention block", err));
    VT_TRY(vt_conv2d_run(&block->qkv, run, side,
                         &(vt_conv){.x = x, .y = qkv, .x_type = run->x_type, .norm = &norm}, err));
    vt_attention args = attention_arguments(run, &pixels, channels, qkv, attended);
    args.workspace = vt_arena_take(run->arena, kern->attention_workspace(kern, &args));
    VT_TRY(vt_arena_check(run->arena, "an attention block", err));
    kern->attention(kern, &args);
    vt_arena_rewind(run->arena, after);
    VT_TRY(vt_conv2d_run(&block->proj_out, run, side,
                         &(vt_conv){.x = attended,
                                    .y = y,
                                    .y_type = run->y_type,
                                    .residual = x,
                                    .residual_type = run->x_type,
                                    .sums = run->y_sums},
                         err));
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_attention_block_forward(const vt_attention_block *block,
                                          const vt_picture_run *run, int side, const float *x,
                                          float *y, vt_picture_saved *saved, variant_error *err) {
    if (!saved) return attention_block_infer(block, run, side, x, y, err);
    vt_kern *kern = run->kern;
    int channels = block->norm.channels, pixels = side * side;
    size_t count = vt_picture_floats(run, side, channels);
    saved->x = x;
    take_statistics(run, saved, 0);
    float *normed = saved->hidden[0] = vt_arena_floats(run->arena, count);
    float *qkv = saved->hidden[1] = vt_arena_floats(run->arena, 3 * count);
    float *attended = saved->hidden[2] = vt_arena_floats(run->arena, count);
    size_t mark = vt_arena_mark(run->arena);
    vt_attention args = attention_arguments(run, &pixels, channels, qkv, attended);
    args.workspace = vt_arena_take(run->arena, kern->attention_workspace(kern, &args));
    VT_TRY(vt_arena_check(run->arena, "an attention block", err));

    norm_forward(&block->norm, run, side, x, normed, false, saved, 0);
    VT_TRY(vt_conv2d_forward(&block->qkv, run, side, normed, qkv, err));
    kern->attention(kern, &args);
    VT_TRY(vt_conv2d_forward(&block->proj_out, run, side, attended, y, err));
    kern->axpby(kern, y, 1.0f, x, 1.0f, count);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_attention_block_backward(const vt_attention_block *block,
                                           const vt_picture_run *run, int side,
                                           const vt_picture_saved *saved, float *dy,
                                           variant_error *err) {
    vt_kern *kern = run->kern;
    int channels = block->norm.channels, pixels = side * side;
    size_t count = vt_picture_floats(run, side, channels);
    size_t mark = vt_arena_mark(run->arena);
    float *dhidden = vt_arena_floats(run->arena, count); /* of attended, then of normed */
    float *dqkv = vt_arena_floats(run->arena, 3 * count);
    vt_attention_grad args = {
        .forward = attention_arguments(run, &pixels, channels, saved->hidden[1], saved->hidden[2]),
        .dout = dhidden,
        .dq = dqkv};
    args.forward.workspace =
        vt_arena_take(run->arena, kern->attention_grad_workspace(kern, &args.forward));
    VT_TRY(vt_arena_check(run->arena, "an attention block's gradient", err));
    args.dk = dqkv + channels;
    args.dv = dqkv + 2 * channels;

    VT_TRY(vt_conv2d_backward(&block->proj_out, run, side, saved->hidden[2], dy, dhidden, err));
    kern->attention_dx(kern, &args);
    VT_TRY(vt_conv2d_backward(&block->qkv, run, side, saved->hidden[0], dqkv, dhidden, err));
    norm_backward(&block->norm, run, side, saved->x, false, saved, 0, dhidden, dy, true);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* ---- upsample ---- */

variant_status vt_upsample_forward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                   const float *x, float *y, vt_picture_saved *saved,
                                   variant_error *err) {
    if (!saved)
        return vt_conv2d_run(conv, run, side,
                             &(vt_conv){.x = x,
                                        .y = y,
                                        .x_type = run->x_type,
                                        .y_type = run->y_type,
                                        .upsample = true,
                                        .sums = run->y_sums},
                             err);
    vt_kern *kern = run->kern;
    float *large = vt_arena_floats(run->arena, vt_picture_floats(run, 2 * side, conv->in_c));
    VT_TRY(vt_arena_check(run->arena, "an upsampling", err));
    kern->upsample2(kern, large, x, run->batch, side, side, conv->in_c);
    saved->x = x;
    saved->hidden[0] = large;
    return vt_conv2d_forward(conv, run, 2 * side, large, y, err);
}

variant_status vt_upsample_backward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                    const vt_picture_saved *saved, const float *dy, float *dx,
                                    variant_error *err) {
    vt_kern *kern = run->kern;
    size_t mark = vt_arena_mark(run->arena);
    float *dlarge = vt_arena_floats(run->arena, vt_picture_floats(run, 2 * side, conv->in_c));
    VT_TRY(vt_arena_check(run->arena, "an upsampling's gradient", err));
    VT_TRY(vt_conv2d_backward(conv, run, 2 * side, saved->hidden[0], dy, dlarge, err));
    kern->upsample2_dx(kern, dx, dlarge, run->batch, side, side, conv->in_c);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

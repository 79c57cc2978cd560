/* conv.c - see conv.h. */
#include "nn/conv.h"

enum { NARROW = 16 }; /* a picture's channels: packed, they would be padding for the most part */

void vt_conv2d_register(vt_conv2d *conv, vt_params *params, int in_c, int out_c, int kernel,
                        int stride, const char *name) {
    *conv = (vt_conv2d){.in_c = in_c, .out_c = out_c, .kernel = kernel, .stride = stride};
    const int64_t shape[4] = {out_c, in_c, kernel, kernel};
    int flags = VT_PARAM_PRODUCT | VT_PARAM_CONV;
    if (kernel == 3 && stride == 1) flags |= VT_PARAM_STRIDE_1;
    if (in_c < NARROW) flags |= VT_PARAM_EXACT;
    conv->w = vt_params_add(params, flags, 4, shape, "%s.weight", name);
    if (conv->w) conv->w->stride = stride;
    conv->b = vt_params_add(params, 0, 1, shape, "%s.bias", name);
}

vt_number vt_conv2d_map(const vt_conv2d *conv, const vt_kern *kern) {
    return conv->w ? kern->conv_map(kern, conv->w->weight) : VT_NUMBER_F32;
}

bool vt_conv2d_sums(const vt_conv2d *conv, const vt_kern *kern) {
    return conv->w && kern->weight_type(conv->w->weight) == VT_NUMBER_BF16;
}

/* Fills in what belongs to the convolution and the run; `request` holds the rest. */
static vt_conv conv_arguments(const vt_conv2d *conv, const vt_picture_run *run, int side,
                              const vt_conv *request) {
    vt_conv args = *request;
    int in_side = request->upsample ? 2 * side : side;
    int pad = conv->stride == 1 ? conv->kernel / 2 : 0; /* stride 2 pads right and bottom only */
    args.w = conv->w->weight;
    args.bias = conv->b->value;
    args.groups = run->batch;
    args.in_h = args.in_w = in_side;
    args.in_c = conv->in_c;
    args.out_h = args.out_w = in_side / conv->stride;
    args.out_c = conv->out_c;
    args.kernel = conv->kernel;
    args.stride = conv->stride;
    args.pad_top = args.pad_left = pad;
    return args;
}

variant_status vt_conv2d_run(const vt_conv2d *conv, const vt_picture_run *run, int side,
                             const vt_conv *request, variant_error *err) {
    vt_kern *kern = run->kern;
    size_t mark = vt_arena_mark(run->arena);
    vt_conv args = conv_arguments(conv, run, side, request);
    args.workspace = vt_arena_take(run->arena, kern->conv_workspace(kern, &args));
    variant_status status = vt_arena_check(run->arena, "a convolution", err);
    if (status == VARIANT_OK) kern->conv(kern, &args);
    vt_arena_rewind(run->arena, mark);
    return status;
}

/* In training, a 1x1 convolution is one product for the whole batch. */
static variant_status joined_product(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                     const float *x, float *y, variant_error *err) {
    vt_kern *kern = run->kern;
    size_t mark = vt_arena_mark(run->arena);
    vt_product args = {.x = x,
                       .w = conv->w->weight,
                       .bias = conv->b->value,
                       .y = y,
                       .groups = 1,
                       .rows = run->batch * side * side};
    args.workspace = vt_arena_take(run->arena, kern->product_workspace(kern, &args));
    variant_status status = vt_arena_check(run->arena, "a convolution", err);
    if (status == VARIANT_OK) kern->product(kern, &args);
    vt_arena_rewind(run->arena, mark);
    return status;
}

variant_status vt_conv2d_forward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                 const float *x, float *y, variant_error *err) {
    if (run->training && conv->kernel == 1) return joined_product(conv, run, side, x, y, err);
    return vt_conv2d_run(conv, run, side, &(vt_conv){.x = x, .y = y}, err);
}

static variant_status joined_product_grad(const vt_conv2d *conv, const vt_picture_run *run,
                                          int side, const float *x, const float *dy, float *dx,
                                          variant_error *err) {
    vt_kern *kern = run->kern;
    size_t mark = vt_arena_mark(run->arena);
    vt_product_grad args = {.w = conv->w->weight,
                            .dy = dy,
                            .groups = 1,
                            .rows = run->batch * side * side,
                            .dx = dx,
                            .x = x,
                            .dw = conv->w->grad,
                            .db = conv->b->grad};
    args.workspace = vt_arena_take(run->arena, kern->product_grad_workspace(kern, &args));
    VT_TRY(vt_arena_check(run->arena, "a convolution's gradient", err));
    kern->product_dw(kern, &args);
    if (dx) kern->product_dx(kern, &args);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_conv2d_backward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                  const float *x, const float *dy, float *dx, variant_error *err) {
    vt_kern *kern = run->kern;
    if (conv->kernel == 1) return joined_product_grad(conv, run, side, x, dy, dx, err);
    size_t mark = vt_arena_mark(run->arena);
    vt_conv args = conv_arguments(conv, run, side, &(vt_conv){.x = x});
    args.workspace = vt_arena_take(run->arena, kern->conv_workspace(kern, &args));
    VT_TRY(vt_arena_check(run->arena, "a convolution's gradient", err));
    kern->conv_dw(kern, &args, dy, conv->w->grad, conv->b->grad);
    if (dx) kern->conv_dx(kern, &args, dy, dx, false);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

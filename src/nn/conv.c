/* conv.c - see conv.h. */
#include "nn/conv.h"

void vt_conv2d_register(vt_conv2d *conv, vt_params *params, int in_c, int out_c, int kernel,
                        int stride, const char *name) {
    *conv = (vt_conv2d){.in_c = in_c, .out_c = out_c, .kernel = kernel, .stride = stride};
    const int64_t shape[4] = {out_c, in_c, kernel, kernel};
    conv->w = vt_params_add(params, VT_PARAM_PRODUCT | VT_PARAM_CONV, 4, shape, "%s.weight", name);
    conv->b = vt_params_add(params, 0, 1, shape, "%s.bias", name);
}

/* Rows of a 1x1 convolution's product: a product a picture, or one for the whole batch in training.
 */
static void product_rows(const vt_picture_run *run, int side, int *groups, int *rows) {
    *groups = run->training ? 1 : run->batch;
    *rows = run->training ? run->batch * side * side : side * side;
}

static vt_conv conv_arguments(const vt_conv2d *conv, const vt_picture_run *run, int side,
                              const float *x, float *y) {
    int out_side = side / conv->stride;
    int pad = conv->stride == 1 ? conv->kernel / 2 : 0; /* stride 2 pads right and bottom only */
    return (vt_conv){.x = x,
                     .w = conv->w->weight,
                     .bias = conv->b->value,
                     .y = y,
                     .groups = run->batch,
                     .in_h = side,
                     .in_w = side,
                     .in_c = conv->in_c,
                     .out_h = out_side,
                     .out_w = out_side,
                     .out_c = conv->out_c,
                     .kernel = conv->kernel,
                     .stride = conv->stride,
                     .pad_top = pad,
                     .pad_left = pad};
}

variant_status vt_conv2d_forward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                 const float *x, float *y, variant_error *err) {
    vt_kern *kern = run->kern;
    if (conv->kernel == 1) {
        int groups, rows;
        product_rows(run, side, &groups, &rows);
        kern->linear(kern, y, x, conv->w->weight, conv->b->value, groups, rows);
        return VARIANT_OK;
    }
    size_t mark = vt_arena_mark(run->arena);
    vt_conv args = conv_arguments(conv, run, side, x, y);
    args.workspace = vt_arena_floats(run->arena, kern->conv_workspace(kern, &args));
    VT_TRY(vt_arena_check(run->arena, "a convolution", err));
    kern->conv(kern, &args);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_conv2d_backward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                  const float *x, const float *dy, float *dx, variant_error *err) {
    vt_kern *kern = run->kern;
    if (conv->kernel == 1) {
        int groups, rows;
        product_rows(run, side, &groups, &rows);
        kern->linear_dw(kern, conv->w->grad, conv->b->grad, dy, x, groups * rows, conv->out_c,
                        conv->in_c);
        if (dx) kern->linear_dx(kern, dx, dy, conv->w->weight, groups, rows, false);
        return VARIANT_OK;
    }
    size_t mark = vt_arena_mark(run->arena);
    vt_conv args = conv_arguments(conv, run, side, x, NULL);
    args.workspace = vt_arena_floats(run->arena, kern->conv_workspace(kern, &args));
    VT_TRY(vt_arena_check(run->arena, "a convolution's gradient", err));
    kern->conv_dw(kern, &args, dy, conv->w->grad, conv->b->grad);
    if (dx) kern->conv_dx(kern, &args, dy, dx, false);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* conv.h - a convolution with its parameters: square maps, zero padding, NHWC.
 *
 * Three shapes are all that the tokenizer needs: 1x1, 3x3 that keeps the side, and 3x3 with stride
 * 2 that halves it (padded right and bottom by one). In inference the steps around a convolution
 * come along with it (vt_conv2d_run). Forward and backward stand side by side; all take temporaries
 * from the run's arena and give them back. Used by nn/picture_blocks.c and tokenizer/quantizer.c.
 * */
#ifndef VT_NN_CONV_H
#define VT_NN_CONV_H

#include "core/arena.h"
#include "nn/params.h"

/* What every layer of pictures needs to run. */
typedef struct vt_picture_run {
    vt_kern *kern;
    vt_arena *arena;
    int batch;
    bool training; /* activations are kept; products may join the batch (faster, results depend on
                      it) */
    bool
        recompute; /* training: a chain keeps the maps between its layers alone (picture_chain.h) */
    /* Inference, (batch, 2, channels), each NULL or sums of a map's channels and of their squares, which spare the norms a
     * pass over it: those of a block's input, and where those of its output go. */
    const double *x_sums;
    double *y_sums;
    /* Inference: how the numbers of a block's input and of its output are stored, whatever the pointers' type; F32 or, where
     * kern->conv_map says so of all convolutions that touch them, BF16. */
    vt_number x_type, y_type;
} vt_picture_run;

typedef struct vt_conv2d {
    vt_param *w; /* (O, k, k, I) */
    vt_param *b; /* (O) */
    int in_c, out_c;
    int kernel; /* 1 or 3 */
    int stride; /* 1 or 2 */
} vt_conv2d;

/* Floats of a (batch, side, side, channels) map. */
static inline size_t vt_picture_floats(const vt_picture_run *run, int side, int channels) {
    return (size_t)run->batch * (size_t)side * (size_t)side * (size_t)channels;
}

/* How inference had best store the maps that it reads and makes. */
vt_number vt_conv2d_map(const vt_conv2d *conv, const vt_kern *kern);
/* Can it leave the sums of its result? (with packed weights) */
bool vt_conv2d_sums(const vt_conv2d *conv, const vt_kern *kern);

/* Registers NAME.weight and NAME.bias. */
void vt_conv2d_register(vt_conv2d *conv, vt_params *params, int in_c, int out_c, int kernel,
                        int stride, const char *name);

/* What kern's convolution can do besides: `request` holds x (batch, side, side, I), y, and of the rest
 * norm, upsample (then y has twice the sides), residual, sums and the types of maps. Inference alone. */
variant_status vt_conv2d_run(const vt_conv2d *conv, const vt_picture_run *run, int side,
                             const vt_conv *request, variant_error *err);
/* y (batch, side / stride, side / stride, O) from x (batch, side, side, I). */
variant_status vt_conv2d_forward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                 const float *x, float *y, variant_error *err);
/* Adds to the parameters' gradients; dx (shape of x) is overwritten, or NULL when nobody wants it.
 */
variant_status vt_conv2d_backward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                  const float *x, const float *dy, float *dx, variant_error *err);

#endif

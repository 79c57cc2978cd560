/* picture_blocks.h - the blocks of a convolutional encoder or decoder, forward and backward side by
 * side.
 *
 * A block takes a map (batch, side, side, in_c) and gives one of its own side and width. In
 * inference (saved NULL) it needs at most one map beside its input and output, because a published
 * tokenizer's maps are 42 MB each (in float32; they are of the run's x_type and y_type); in training every activation that backward reads is kept in the
 * arena and remembered in a vt_picture_saved. Used by nn/picture_chain.c alone. */
#ifndef VT_NN_PICTURE_BLOCKS_H
#define VT_NN_PICTURE_BLOCKS_H

#include "nn/conv.h"

#define VT_NORM_GROUPS 32
#define VT_NORM_EPS 1e-6f

/* GroupNorm of 32 groups. */
typedef struct vt_picture_norm {
    vt_param *gamma, *beta; /* (C) */
    int channels;
} vt_picture_norm;

/* x + conv2(silu(norm2(conv1(silu(norm1(x)))))); x through a 1x1 convolution where the widths
 * differ. */
typedef struct vt_resnet_block {
    vt_picture_norm norm1, norm2;
    vt_conv2d conv1, conv2, shortcut; /* shortcut.w is NULL where the widths are equal */
} vt_resnet_block;

/* x + proj_out(attention(qkv(norm(x)))), one head over all pixels of a picture, scale C^-0.5. */
typedef struct vt_attention_block {
    vt_picture_norm norm;
    vt_conv2d qkv, proj_out;
} vt_attention_block;

/* What one block's backward reads, in the arena. */
typedef struct vt_picture_saved {
    const float *x;   /* the block's input */
    float *y;         /* and its output: where the chain recomputes */
    float *hidden[3]; /* resnet: silu(norm1), conv1, silu(norm2); attention: norm, qkv, attended;
                         upsample: enlarged */
    float *mean[2], *rstd[2]; /* of each norm, (batch, 32) */
} vt_picture_saved;

void vt_picture_norm_register(vt_picture_norm *norm, vt_params *params, int channels,
                              const char *name);
void vt_resnet_block_register(vt_resnet_block *block, vt_params *params, int in_c, int out_c,
                              const char *name);
void vt_attention_block_register(vt_attention_block *block, vt_params *params, int channels,
                                 const char *name);

/* Room for the sums of the convolution's result, in the arena; NULL where it leaves none. */
double *vt_sums_take(const vt_picture_run *run, const vt_conv2d *conv);

/* y = silu(norm(x)): the layer before a last convolution, in training. */
variant_status vt_norm_silu_forward(const vt_picture_norm *norm, const vt_picture_run *run,
                                    int side, const float *x, float *y, vt_picture_saved *saved,
                                    variant_error *err);
variant_status vt_norm_silu_backward(const vt_picture_norm *norm, const vt_picture_run *run,
                                     int side, const vt_picture_saved *saved, const float *dy,
                                     float *dx, variant_error *err);
/* y = conv(silu(norm(x))): that layer and the convolution, in inference. */
variant_status vt_norm_silu_conv(const vt_picture_norm *norm, const vt_conv2d *conv,
                                 const vt_picture_run *run, int side, const float *x, float *y,
                                 variant_error *err);

/* In the three forward functions below, saved is NULL in inference. */
variant_status vt_resnet_block_forward(const vt_resnet_block *block, const vt_picture_run *run,
                                       int side, const float *x, float *y, vt_picture_saved *saved,
                                       variant_error *err);
/* dx must be dy itself where there is no shortcut (the residual's gradient is then there already),
 * another buffer where there is one. */
variant_status vt_resnet_block_backward(const vt_resnet_block *block, const vt_picture_run *run,
                                        int side, const vt_picture_saved *saved, const float *dy,
                                        float *dx, variant_error *err);

variant_status vt_attention_block_forward(const vt_attention_block *block,
                                          const vt_picture_run *run, int side, const float *x,
                                          float *y, vt_picture_saved *saved, variant_error *err);
/* dy becomes dx. */
variant_status vt_attention_block_backward(const vt_attention_block *block,
                                           const vt_picture_run *run, int side,
                                           const vt_picture_saved *saved, float *dy,
                                           variant_error *err);

/* Nearest 2x, then the convolution: y (batch, 2 side, 2 side, O). */
variant_status vt_upsample_forward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                   const float *x, float *y, vt_picture_saved *saved,
                                   variant_error *err);
variant_status vt_upsample_backward(const vt_conv2d *conv, const vt_picture_run *run, int side,
                                    const vt_picture_saved *saved, const float *dy, float *dx,
                                    variant_error *err);

#endif

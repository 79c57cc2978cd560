/* picture_chain.h - an encoder or decoder as a list of layers, run first to last and differentiated
 * last to first.
 *
 * The list is data: tokenizer/encoder.c and decoder.c fill it in the order of the published
 * networks, and one pair of functions runs both. A chain begins and ends with a convolution, and a
 * norm has one behind it. Side and width of the map are carried along while it is built, so a layer
 * knows its input. */
#ifndef VT_NN_PICTURE_CHAIN_H
#define VT_NN_PICTURE_CHAIN_H

#include "nn/picture_blocks.h"

enum vt_picture_kind {
    VT_PICTURE_CONV,
    VT_PICTURE_RESNET,
    VT_PICTURE_ATTENTION,
    VT_PICTURE_UPSAMPLE,
    VT_PICTURE_NORM
};

typedef struct vt_picture_layer {
    enum vt_picture_kind kind;
    int side, out_side; /* of input and output */
    int in_c, out_c;
    union {
        vt_conv2d conv; /* CONV, UPSAMPLE */
        vt_resnet_block resnet;
        vt_attention_block attention;
        vt_picture_norm norm;
    } as;
} vt_picture_layer;

typedef struct vt_picture_chain {
    vt_params *params;
    vt_picture_layer *layers;
    vt_picture_saved
        *saved; /* (count): where a training pass finds its activations; one pass at a time */
    int count, capacity;
    int side, channels; /* of the map after the last layer so far */
    bool failed;        /* memory was short or a name too long: see vt_picture_chain_finish */
} vt_picture_chain;

/* Starts an empty chain for maps of this side and width. */
void vt_picture_chain_init(vt_picture_chain *chain, vt_params *params, int side, int channels);
void vt_picture_chain_close(vt_picture_chain *chain);
/* Appends a layer, its parameters named by a printf format. out_c is read by CONV, RESNET and
 * UPSAMPLE; stride (1 or 2) by CONV, whose kernel is 3x3. */
void vt_picture_chain_add(vt_picture_chain *chain, enum vt_picture_kind kind, int out_c, int stride,
                          const char *format, ...) __attribute__((format(printf, 5, 6)));
/* E_MEMORY if any step since init failed; makes room for a training pass. */
variant_status vt_picture_chain_finish(vt_picture_chain *chain, variant_error *err);

/* x (batch, first side, side, in_c) to y (batch, last side, side, out_c), both float32; maps between layers are bf16 in inference
 * where kern->conv_map says so of both layers' convolutions. In a training run
 * activations are taken from the arena and stay, with run->recompute the maps between layers alone; otherwise everything taken is given back. */
variant_status vt_picture_chain_forward(vt_picture_chain *chain, const vt_picture_run *run,
                                        const float *x, float *y, variant_error *err);
/* Adds to gradients. dy (shape of y) is read; dx (shape of x) overwritten, or NULL. Temporaries are
 * given back. With run->recompute each layer runs forward again first and writes, to x of the next and to forward's y, what is there. */
variant_status vt_picture_chain_backward(vt_picture_chain *chain, const vt_picture_run *run,
                                         float *dy, float *dx, variant_error *err);

#endif

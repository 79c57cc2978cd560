/* picture_chain.c - see picture_chain.h. */
#include "nn/picture_chain.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

void vt_picture_chain_init(vt_picture_chain *chain, vt_params *params, int side, int channels) {
    *chain = (vt_picture_chain){.params = params, .side = side, .channels = channels};
}

void vt_picture_chain_close(vt_picture_chain *chain) {
    free(chain->layers);
    free(chain->saved);
    *chain = (vt_picture_chain){0};
}

void vt_picture_chain_add(vt_picture_chain *chain, enum vt_picture_kind kind, int out_c, int stride,
                          const char *format, ...) {
    char name[96];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(name, sizeof name, format, arguments);
    va_end(arguments);
    if (length < 0 || length >= (int)sizeof name) chain->failed = true;
    if (chain->count == chain->capacity && !chain->failed) {
        int capacity = chain->capacity ? 2 * chain->capacity : 32;
        vt_picture_layer *grown = realloc(chain->layers, (size_t)capacity * sizeof *grown);
        if (grown)
            chain->layers = grown, chain->capacity = capacity;
        else
            chain->failed = true;
    }
    if (chain->failed) return;

    int registered = chain->params->count, expected = 2;
    vt_picture_layer *layer = &chain->layers[chain->count++];
    *layer = (vt_picture_layer){.kind = kind,
                                .side = chain->side,
                                .out_side = chain->side,
                                .in_c = chain->channels,
                                .out_c = chain->channels};
    switch (kind) {
    case VT_PICTURE_CONV:
        layer->out_c = out_c;
        layer->out_side = chain->side / stride;
        vt_conv2d_register(&layer->as.conv, chain->params, layer->in_c, out_c, 3, stride, name);
        break;
    case VT_PICTURE_RESNET:
        layer->out_c = out_c;
        expected = layer->in_c == out_c ? 8 : 10;
        vt_resnet_block_register(&layer->as.resnet, chain->params, layer->in_c, out_c, name);
        break;
    case VT_PICTURE_ATTENTION:
        expected = 6;
        vt_attention_block_register(&layer->as.attention, chain->params, layer->in_c, name);
        break;
    case VT_PICTURE_UPSAMPLE:
        layer->out_c = out_c;
        layer->out_side = 2 * chain->side;
        vt_conv2d_register(&layer->as.conv, chain->params, layer->in_c, out_c, 3, 1, name);
        if (layer->as.conv.w) layer->as.conv.w->flags ^= VT_PARAM_STRIDE_1 | VT_PARAM_UPSAMPLED;
        break;
    case VT_PICTURE_NORM:
        vt_picture_norm_register(&layer->as.norm, chain->params, layer->in_c, name);
        break;
    }
    if (chain->params->count != registered + expected) chain->failed = true; /* memory was short */
    chain->side = layer->out_side;
    chain->channels = layer->out_c;
}

variant_status vt_picture_chain_finish(vt_picture_chain *chain, variant_error *err) {
    if (!chain->failed) {
        chain->saved = calloc((size_t)chain->count, sizeof *chain->saved);
        if (chain->saved) return VARIANT_OK;
    }
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the layers of a picture network");
}

static size_t out_floats(const vt_picture_layer *layer, const vt_picture_run *run) {
    return vt_picture_floats(run, layer->out_side, layer->out_c);
}

static variant_status layer_forward(const vt_picture_layer *layer, const vt_picture_run *run,
                                    const float *x, float *y, vt_picture_saved *saved,
                                    variant_error *err) {
    switch (layer->kind) {
    case VT_PICTURE_CONV:
        if (saved) saved->x = x;
        if (!saved)
            return vt_conv2d_run(&layer->as.conv, run, layer->side,
                                 &(vt_conv){.x = x,
                                            .y = y,
                                            .x_type = run->x_type,
                                            .y_type = run->y_type,
                                            .sums = run->y_sums},
                                 err);
        return vt_conv2d_forward(&layer->as.conv, run, layer->side, x, y, err);
    case VT_PICTURE_RESNET:
        return vt_resnet_block_forward(&layer->as.resnet, run, layer->side, x, y, saved, err);
    case VT_PICTURE_ATTENTION:
        return vt_attention_block_forward(&layer->as.attention, run, layer->side, x, y, saved, err);
    case VT_PICTURE_UPSAMPLE:
        return vt_upsample_forward(&layer->as.conv, run, layer->side, x, y, saved, err);
    case VT_PICTURE_NORM:
        return vt_norm_silu_forward(&layer->as.norm, run, layer->side, x, y, saved, err);
    }
    return VARIANT_OK;
}

static variant_status layer_backward(const vt_picture_layer *layer, const vt_picture_run *run,
                                     const vt_picture_saved *saved, float *dy, float *dx,
                                     variant_error *err) {
    switch (layer->kind) {
    case VT_PICTURE_CONV:
        return vt_conv2d_backward(&layer->as.conv, run, layer->side, saved->x, dy, dx, err);
    case VT_PICTURE_RESNET:
        return vt_resnet_block_backward(&layer->as.resnet, run, layer->side, saved, dy, dx, err);
    case VT_PICTURE_ATTENTION:
        return vt_attention_block_backward(&layer->as.attention, run, layer->side, saved, dy, err);
    case VT_PICTURE_UPSAMPLE:
        return vt_upsample_backward(&layer->as.conv, run, layer->side, saved, dy, dx, err);
    case VT_PICTURE_NORM:
        return vt_norm_silu_backward(&layer->as.norm, run, layer->side, saved, dy, dx, err);
    }
    return VARIANT_OK;
}

/* Does backward leave its result where the output's gradient was? */
static bool runs_in_place(const vt_picture_layer *layer) {
    return layer->kind == VT_PICTURE_ATTENTION ||
           (layer->kind == VT_PICTURE_RESNET && layer->in_c == layer->out_c);
}

/* Do all convolutions of a layer gain by maps in bf16? A norm has none. */
static bool likes_bf16(const vt_picture_layer *layer, const vt_kern *kern) {
    const vt_conv2d *convs[3] = {NULL};
    switch (layer->kind) {
    case VT_PICTURE_CONV:
    case VT_PICTURE_UPSAMPLE:
        convs[0] = &layer->as.conv;
        break;
    case VT_PICTURE_RESNET:
        convs[0] = &layer->as.resnet.conv1;
        convs[1] = &layer->as.resnet.conv2;
        convs[2] = layer->as.resnet.shortcut.w ? &layer->as.resnet.shortcut : NULL;
        break;
    case VT_PICTURE_ATTENTION:
        convs[0] = &layer->as.attention.qkv;
        convs[1] = &layer->as.attention.proj_out;
        break;
    case VT_PICTURE_NORM:
        break;
    }
    for (int i = 0; i < 3; ++i)
        if (convs[i] && vt_conv2d_map(convs[i], kern) != VT_NUMBER_BF16) return false;
    return true;
}

/* How layer i's result is stored in inference: what comes out of the chain is float32. */
static vt_number type_of_layer(const vt_picture_chain *chain, const vt_kern *kern, int i) {
    const int next =
        i + 1 < chain->count && chain->layers[i + 1].kind == VT_PICTURE_NORM ? i + 2 : i + 1;
    if (next >= chain->count) return VT_NUMBER_F32;
    const bool both = likes_bf16(&chain->layers[i], kern) && likes_bf16(&chain->layers[next], kern);
    return both ? VT_NUMBER_BF16 : VT_NUMBER_F32;
}

/* Two buffers that take turns, each large enough for any layer between the first and the last. */
static variant_status take_pair(const vt_picture_chain *chain, const vt_picture_run *run,
                                float *pair[2], variant_error *err) {
    size_t largest = 0;
    for (int i = 0; i + 1 < chain->count; ++i) {
        /* the first layer's input and the last one's output are the caller's */
        const vt_number type = run->training ? VT_NUMBER_F32 : type_of_layer(chain, run->kern, i);
        const size_t bytes = out_floats(&chain->layers[i], run) * vt_number_size(type);
        if (bytes > largest) largest = bytes;
    }
    for (int i = 0; i < 2; ++i) pair[i] = vt_arena_take(run->arena, largest);
    return vt_arena_check(run->arena, "a picture network", err);
}

/* The convolution that makes a layer's result. */
static const vt_conv2d *last_conv(const vt_picture_layer *layer) {
    switch (layer->kind) {
    case VT_PICTURE_CONV:
    case VT_PICTURE_UPSAMPLE:
        return &layer->as.conv;
    case VT_PICTURE_RESNET:
        return layer->as.resnet.shortcut.w ? &layer->as.resnet.shortcut : &layer->as.resnet.conv2;
    case VT_PICTURE_ATTENTION:
        return &layer->as.attention.proj_out;
    case VT_PICTURE_NORM:
        break;
    }
    return NULL;
}

/* Does a layer begin with a norm? */
static bool is_normed(const vt_picture_layer *layer) {
    return layer->kind == VT_PICTURE_RESNET || layer->kind == VT_PICTURE_ATTENTION ||
           layer->kind == VT_PICTURE_NORM;
}

/* Where the sums of layer i's result go, which take turns as maps do; NULL where nobody wants them or can
 * tell them. `run` is that of the layer: its x_sums are in use. */
static double *sums_of_layer(const vt_picture_chain *chain, const vt_picture_run *run,
                             double *const pair[2], int i) {
    if (i + 1 >= chain->count || !is_normed(&chain->layers[i + 1])) return NULL;
    if (!vt_conv2d_sums(last_conv(&chain->layers[i]), run->kern)) return NULL;
    return run->x_sums == pair[0] ? pair[1] : pair[0];
}

static void take_sums(const vt_picture_chain *chain, const vt_picture_run *run, double *pair[2]) {
    int channels = 0;
    for (int i = 0; i < chain->count; ++i)
        if (chain->layers[i].out_c > channels) channels = chain->layers[i].out_c;
    for (int i = 0; i < 2; ++i)
        pair[i] =
            vt_arena_take(run->arena, (size_t)run->batch * 2 * (size_t)channels * sizeof(double));
}

static variant_status chain_infer(const vt_picture_chain *chain, const vt_picture_run *whole,
                                  const float *x, float *y, variant_error *err) {
    vt_picture_run of_layer = *whole, *run = &of_layer;
    size_t mark = vt_arena_mark(run->arena);
    const vt_picture_norm *norm = NULL; /* waits for the convolution behind it */
    float *pair[2], *out;
    double *sums[2];
    take_sums(chain, run, sums);
    VT_TRY(take_pair(chain, run, pair, err));
    for (int i = 0; i < chain->count; ++i) {
        const vt_picture_layer *layer = &chain->layers[i];
        if (layer->kind == VT_PICTURE_NORM) {
            norm = &layer->as.norm;
            continue;
        }
        out = i + 1 == chain->count ? y : x == pair[0] ? pair[1] : pair[0];
        run->y_sums = sums_of_layer(chain, run, sums, i);
        run->y_type = type_of_layer(chain, run->kern, i);
        if (norm)
            VT_TRY(vt_norm_silu_conv(norm, &layer->as.conv, run, layer->side, x, out, err));
        else
            VT_TRY(layer_forward(layer, run, x, out, NULL, err));
        norm = NULL;
        x = out;
        run->x_sums = run->y_sums;
        run->x_type = run->y_type;
    }
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_picture_chain_forward(vt_picture_chain *chain, const vt_picture_run *run,
                                        const float *x, float *y, variant_error *err) {
    if (!run->training) return chain_infer(chain, run, x, y, err);
    for (int i = 0; i < chain->count; ++i) {
        const vt_picture_layer *layer = &chain->layers[i];
        float *out = y;
        if (i + 1 < chain->count) {
            out = vt_arena_floats(run->arena, out_floats(layer, run));
            VT_TRY(vt_arena_check(run->arena, "a picture network", err));
        }
        const size_t mark = vt_arena_mark(run->arena);
        VT_TRY(layer_forward(layer, run, x, out, &chain->saved[i], err));
        chain->saved[i].y = out;
        if (run->recompute) vt_arena_rewind(run->arena, mark);
        x = out;
    }
    return VARIANT_OK;
}

variant_status vt_picture_chain_backward(vt_picture_chain *chain, const vt_picture_run *run,
                                         float *dy, float *dx, variant_error *err) {
    size_t mark = vt_arena_mark(run->arena);
    float *pair[2];
    VT_TRY(take_pair(chain, run, pair, err));
    for (int i = chain->count - 1; i >= 0; --i) {
        const vt_picture_layer *layer = &chain->layers[i];
        const size_t layers = vt_arena_mark(run->arena);
        if (run->recompute && layer->kind != VT_PICTURE_CONV) { /* which keeps its input alone */
            vt_picture_saved *saved = &chain->saved[i];
            VT_TRY(layer_forward(layer, run, saved->x, saved->y, saved, err));
        }
        float *down = i == 0 ? dx : runs_in_place(layer) ? dy : dy == pair[0] ? pair[1] : pair[0];
        VT_TRY(layer_backward(layer, run, &chain->saved[i], dy, down, err));
        vt_arena_rewind(run->arena, layers);
        dy = down;
    }
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* inception.c - FID's Inception-v3 (inception.h): opened from any source of tensors, and run.
 *
 * The table inception_layers.c is walked three times: for sizes, for weights, and for every batch. Batch
 * normalisation is folded into the convolutions in double while they are read, ReLU belongs to the
 * convolution, and a branch writes straight into its channels of the block's map, so that a block is
 * nothing but products and pools. Running is in
 * inception_run.c. */
#include "features/inception.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "features/inception_parts.h"

enum { MAPS = VT_INCEPTION_MAPS };
#define NORM_EPS 1e-3

/* ---- sizes ---- */

void vt_inception_measure(vt_inception_layer *layers) {
    struct {
        int h, w, c;
    } map[MAPS] = {{VT_INCEPTION_SIDE, VT_INCEPTION_SIDE, 3}};
    int begin = 0;
    for (int i = 0; i < vt_inception_step_count; ++i) {
        const vt_inception_step *step = &vt_inception_steps[i];
        vt_inception_layer *l = &layers[i];
        *l = (vt_inception_layer){0};
        if (step->op != VT_INCEPTION_NEXT) {
            l->in_h = map[step->from].h;
            l->in_w = map[step->from].w;
            l->in_c = map[step->from].c;
            l->out_h = (l->in_h + 2 * step->pad_rows - step->rows) / step->stride + 1;
            l->out_w = (l->in_w + 2 * step->pad_columns - step->columns) / step->stride + 1;
            l->out_c = step->op == VT_INCEPTION_CONV ? step->out_c : l->in_c;
            l->channel = step->to == VT_MAP_OUT ? map[VT_MAP_OUT].c : 0;
            l->stride = l->channel + l->out_c;
            map[step->to].h = l->out_h;
            map[step->to].w = l->out_w;
            map[step->to].c = l->stride;
        }
        if (step->op != VT_INCEPTION_NEXT && i + 1 < vt_inception_step_count) continue;
        for (; begin <= i; ++begin) /* branches learn the width of the block's map */
            if (vt_inception_steps[begin].to == VT_MAP_OUT)
                layers[begin].stride = map[VT_MAP_OUT].c;
        map[VT_MAP_IN] = map[VT_MAP_OUT];
        map[VT_MAP_OUT].c = 0;
    }
}

static bool is_fc(const vt_inception_step *step) {
    return strcmp(step->name, "fc") == 0;
}

static size_t patch_floats(int i, const vt_inception_layer *l) {
    const vt_inception_step *step = &vt_inception_steps[i];
    return (size_t)step->rows * (size_t)step->columns * (size_t)l->in_c;
}

vt_conv vt_inception_conv(const vt_inception *net, int i, int count) {
    const vt_inception_step *step = &vt_inception_steps[i];
    const vt_inception_layer *l = &net->layers[i];
    return (vt_conv){.w = net->weights[i],
                     .bias = net->biases[i],
                     .groups = count,
                     .in_h = l->in_h,
                     .in_w = l->in_w,
                     .in_c = l->in_c,
                     .out_h = l->out_h,
                     .out_w = l->out_w,
                     .out_c = l->out_c,
                     .kernel = step->rows,
                     .kernel_w = step->columns,
                     .stride = step->stride,
                     .pad_top = step->pad_rows,
                     .pad_left = step->pad_columns,
                     .y_stride = l->stride,
                     .relu = !is_fc(step),
                     .workspace = net->workspace};
}

/* ---- memory ---- */

/* Both take what they need from an arena: a counting one first. */
typedef void taking(vt_inception *net, vt_arena *arena);

static void take_weights(vt_inception *net, vt_arena *arena) {
    for (int i = 0; i < vt_inception_step_count; ++i) {
        const vt_inception_layer *l = &net->layers[i];
        if (vt_inception_steps[i].op != VT_INCEPTION_CONV) continue;
        net->values[i] = vt_arena_floats(arena, (size_t)l->out_c * patch_floats(i, l));
        net->biases[i] =
            is_fc(&vt_inception_steps[i]) ? NULL : vt_arena_floats(arena, (size_t)l->out_c);
    }
}

/* Once weights are open: what convolutions need depends on them. */
static void take_maps(vt_inception *net, vt_arena *arena) {
    size_t largest[MAPS] = {(size_t)VT_INCEPTION_SIDE * VT_INCEPTION_SIDE * 3}, workspace = 0;
    for (int i = 0; i < vt_inception_step_count; ++i) {
        const vt_inception_step *step = &vt_inception_steps[i];
        const vt_inception_layer *l = &net->layers[i];
        size_t floats = (size_t)l->out_h * (size_t)l->out_w * (size_t)l->stride;
        if (step->op != VT_INCEPTION_NEXT && floats > largest[step->to]) largest[step->to] = floats;
        if (step->op != VT_INCEPTION_CONV) continue;
        vt_conv conv = vt_inception_conv(net, i, VT_INCEPTION_BATCH);
        size_t needed = net->kern->conv_workspace(net->kern, &conv);
        if (needed > workspace) workspace = needed;
    }
    /* IN and OUT change places */
    if (largest[VT_MAP_IN] < largest[VT_MAP_OUT]) largest[VT_MAP_IN] = largest[VT_MAP_OUT];
    largest[VT_MAP_OUT] = largest[VT_MAP_IN];
    for (int m = 0; m < MAPS; ++m)
        net->map[m] = vt_arena_floats(arena, VT_INCEPTION_BATCH * largest[m]);
    net->workspace = vt_arena_take(arena, workspace);
}

static variant_status reserve(vt_inception *net, vt_inception_memory *memory, taking *take,
                              variant_error *err) {
    vt_arena arena;
    vt_arena_init_counting(&arena, NULL);
    take(net, &arena);
    memory->bytes = arena.peak;
    VT_TRY(net->kern->memory_reserve(net->kern, memory->bytes, &memory->base, err));
    if (net->kern->dry) /* which has no memory that could be touched, not even to poison it */
        vt_arena_init_filled(&arena, memory->base, memory->bytes);
    else
        vt_arena_init(&arena, memory->base, memory->bytes);
    take(net, &arena);
    return vt_arena_check(&arena, "an Inception", err);
}

static void release(vt_inception *net, vt_inception_memory *memory) {
    if (memory->base) net->kern->memory_release(net->kern, memory->base, memory->bytes);
}

/* ---- weights ---- */

/* One convolution's tensors as they were read, in host memory. */
typedef struct raw_layer {
    vt_inception_tensor tensor[VT_INCEPTION_TENSORS];
    int count;
    float *values[VT_INCEPTION_TENSORS];
} raw_layer;

static variant_status read_layer(raw_layer *raw, const vt_inception_step *step,
                                 const vt_inception_layer *layer, vt_inception_source source,
                                 const void *user, variant_error *err) {
    raw->count = vt_inception_tensors(step, layer, raw->tensor);
    for (int t = 0; t < raw->count; ++t) {
        raw->values[t] = malloc(raw->tensor[t].count * sizeof(float));
        if (!raw->values[t])
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for tensor %s", raw->tensor[t].name);
        VT_TRY(source(user, &raw->tensor[t], raw->values[t], err));
    }
    return VARIANT_OK;
}

static void free_layer(raw_layer *raw) {
    for (int t = 0; t < VT_INCEPTION_TENSORS; ++t) free(raw->values[t]);
}

/* w (O, kh, kw, I) and bias (O) from the raw tensors: normalisation folded in. */
static variant_status fold(const raw_layer *raw, float *w, float *bias, variant_error *err) {
    const int64_t *shape = raw->tensor[0].shape;
    size_t in_c = (size_t)shape[1], taps = raw->tensor[0].count / ((size_t)shape[0] * in_c);
    for (size_t o = 0; o < (size_t)shape[0]; ++o) {
        double factor = 1;
        bias[o] = 0;
        if (raw->count == VT_INCEPTION_TENSORS) {
            double variance = (double)raw->values[4][o] + NORM_EPS;
            if (!(variance > 0))
                return vt_fail(err, VARIANT_E_MODEL, "tensor %s: number %zu is %g: no variance",
                               raw->tensor[4].name, o, (double)raw->values[4][o]);
            factor = (double)raw->values[1][o] / sqrt(variance);
            bias[o] = (float)((double)raw->values[2][o] - (double)raw->values[3][o] * factor);
        }
        for (size_t t = 0; t < taps; ++t)
            for (size_t i = 0; i < in_c; ++i)
                w[(o * taps + t) * in_c + i] =
                    (float)((double)raw->values[0][(o * in_c + i) * taps + t] * factor);
    }
    return VARIANT_OK;
}

static variant_status load_layer(vt_inception *net, int i, vt_inception_source source,
                                 const void *user, variant_error *err) {
    const vt_inception_step *step = &vt_inception_steps[i];
    const vt_inception_layer *l = &net->layers[i];
    size_t out_c = (size_t)l->out_c, k = patch_floats(i, l);
    raw_layer raw = {0};
    variant_status status = VARIANT_OK;
    float *host = malloc(out_c * (k + 1) * sizeof *host);
    if (!host) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %s", step->name));
    VT_CHECK(read_layer(&raw, step, l, source, user, err));
    VT_CHECK(fold(&raw, host, host + out_c * k, err));
    net->kern->upload(net->kern, net->values[i], host, out_c * k * sizeof *host);
    if (is_fc(step))
        memcpy(net->fc_bias, raw.values[1], out_c * sizeof *net->fc_bias);
    else
        net->kern->upload(net->kern, net->biases[i], host + out_c * k, out_c * sizeof *host);
    vt_weight_spec spec = {
        .type = VT_NUMBER_F32, .n = l->out_c, .k = (int)k, .values = net->values[i]};
    VT_CHECK(net->kern->weight_open(net->kern, &net->weights[i], &spec, err));
cleanup:
    free_layer(&raw);
    free(host);
    return status;
}

/* ---- life ---- */

variant_status vt_inception_open(vt_inception **out, vt_kern *kern, vt_inception_source source,
                                 const void *user, variant_error *err) {
    *out = NULL;
    if (!kern->pool || !kern->resize_bilinear)
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "backend %s does not run an Inception",
                       kern->name);
    size_t steps = (size_t)vt_inception_step_count;
    variant_status status = VARIANT_OK;
    vt_inception *net = calloc(1, sizeof *net);
    if (!net) return vt_fail(err, VARIANT_E_MEMORY, "no memory for an Inception");
    net->kern = kern;
    net->layers = calloc(steps, sizeof *net->layers);
    net->weights = calloc(steps, sizeof(vt_weight *));
    net->values = calloc(steps, sizeof(float *));
    net->biases = calloc(steps, sizeof(float *));
    net->fc_bias = calloc(VT_INCEPTION_CLASSES, sizeof *net->fc_bias);
    if (!net->layers || !net->weights || !net->values || !net->biases || !net->fc_bias)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for an Inception"));
    vt_inception_measure(net->layers);
    VT_CHECK(reserve(net, &net->weight_memory, take_weights, err));
    for (int i = 0; i < vt_inception_step_count; ++i)
        if (vt_inception_steps[i].op == VT_INCEPTION_CONV && !kern->dry)
            VT_CHECK(load_layer(net, i, source, user, err));
    VT_CHECK(reserve(net, &net->map_memory, take_maps, err));
cleanup:
    if (status != VARIANT_OK) vt_inception_close(&net);
    *out = net;
    return status;
}

void vt_inception_close(vt_inception **net) {
    vt_inception *n = net ? *net : NULL;
    if (!n) return;
    for (int i = 0; n->weights && i < vt_inception_step_count; ++i)
        if (n->weights[i]) n->kern->weight_close(n->kern, &n->weights[i]);
    release(n, &n->map_memory);
    release(n, &n->weight_memory);
    free(n->layers);
    free(n->weights);
    free(n->values);
    free(n->biases);
    free(n->fc_bias);
    free(n);
    *net = NULL;
}

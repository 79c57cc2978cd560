/* inception_run.c - pictures through FID's Inception (inception.h), a batch at a time, and the network as
 * one of features.h.
 *
 * The table of layers is the program: each step is one convolution or pool over maps that lie in
 * backend memory; what is asked for is fetched where it comes up. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "features/inception_parts.h"
#include "features/network.h"

/* ---- a batch ---- */

/* Pictures [first, first + n) of a pass; host: a spread or resized picture, then (n, classes) logits. */
typedef struct batch {
    vt_inception *net;
    const vt_inception_pass *pass;
    size_t first;
    int n;
    float *
        host; /* a picture with three channels, or one as the network sees it, or a batch's logits */
    float *picture; /* backend memory: the same picture */
} batch;

/* The two pixels of a line of `from` between which place i of 299 lies, and how near it is to the second. */
static float place(int i, int from, size_t *first, size_t *second) {
    float at = (float)i * ((float)from / (float)VT_INCEPTION_SIDE), floor = floorf(at);
    *first = (size_t)floor;
    *second = *first + 1 < (size_t)from ? *first + 1 : *first;
    return at - floor;
}

/* TensorFlow 1's bilinear resize in bytes' range, then (x - 128) / 128: float32 throughout, as there. */
static void resize_as_tensorflow(float *out, const float *picture, int height, int width,
                                 int channels) {
    const size_t step = (size_t)channels, row = (size_t)width * step;
    for (int y = 0; y < VT_INCEPTION_SIDE; ++y) {
        size_t top, bottom, left, right;
        float down = place(y, height, &top, &bottom);
        for (int x = 0; x < VT_INCEPTION_SIDE; ++x) {
            float along = place(x, width, &left, &right);
            for (size_t c = 0; c < 3; ++c) {
                size_t k = channels == 3 ? c : 0;
                float a = 255.0f * picture[top * row + left * step + k];
                float b = 255.0f * picture[top * row + right * step + k];
                float d = 255.0f * picture[bottom * row + left * step + k];
                float e = 255.0f * picture[bottom * row + right * step + k];
                float above = a + (b - a) * along, below = d + (e - d) * along;
                *out++ = (above + (below - above) * down - 128.0f) / 128.0f;
            }
        }
    }
}

static void upload_picture(const batch *b, const float *picture, float *to) {
    const vt_inception_pass *pass = b->pass;
    vt_kern *kern = b->net->kern;
    size_t pixels = (size_t)pass->height * (size_t)pass->width;
    if (pass->tensorflow) {
        resize_as_tensorflow(b->host, picture, pass->height, pass->width, pass->channels);
        kern->upload(kern, to, b->host,
                     (size_t)VT_INCEPTION_SIDE * VT_INCEPTION_SIDE * 3 * sizeof *to);
        return;
    }
    vt_features_spread(b->host, picture, pixels, pass->channels, 3);
    kern->upload(kern, b->picture, b->host, pixels * 3 * sizeof *b->host);
    kern->resize_bilinear(kern, to, b->picture, 1, pass->height, pass->width, VT_INCEPTION_SIDE,
                          VT_INCEPTION_SIDE, 3);
}

static void upload_pictures(const batch *b) {
    const vt_inception_pass *pass = b->pass;
    vt_kern *kern = b->net->kern;
    const size_t seen = (size_t)VT_INCEPTION_SIDE * VT_INCEPTION_SIDE * 3;
    size_t pixels = (size_t)pass->height * (size_t)pass->width;
    float *map = b->net->map[VT_MAP_IN];
    for (size_t i = 0; i < (size_t)b->n; ++i)
        upload_picture(b, pass->pictures + (b->first + i) * pixels * (size_t)pass->channels,
                       map + i * seen);
    if (pass->input)
        kern->download(kern, pass->input + b->first * seen, map, (size_t)b->n * seen * sizeof *map);
}

/* The first channels of a branch that has just been written into `map`. */
static void download_spatial(const batch *b, const vt_inception_layer *l, const float *map) {
    vt_kern *kern = b->net->kern;
    size_t floats = (size_t)b->n * VT_INCEPTION_SPATIAL;
    int rows = b->n * l->out_h * l->out_w;
    size_t channels = VT_INCEPTION_SPATIAL / ((size_t)l->out_h * (size_t)l->out_w);
    float *packed = b->net->map[VT_MAP_B]; /* no branch has begun there yet */
    kern->copy_rows(kern, packed, channels, map, (size_t)l->stride, rows, channels);
    kern->download(kern, b->pass->spatial + b->first * VT_INCEPTION_SPATIAL, packed,
                   floats * sizeof *packed);
}

static void run_step(const batch *b, int i, float *const map[VT_INCEPTION_MAPS]) {
    const vt_inception_step *step = &vt_inception_steps[i];
    const vt_inception_layer *l = &b->net->layers[i];
    vt_kern *kern = b->net->kern;
    if (step->op == VT_INCEPTION_CONV) {
        vt_conv conv = vt_inception_conv(b->net, i, b->n);
        conv.x = map[step->from];
        conv.y = map[step->to] + l->channel;
        kern->conv(kern, &conv);
        return;
    }
    vt_pooling pool = {.x = map[step->from],
                       .y = map[step->to] + l->channel,
                       .groups = b->n,
                       .in_h = l->in_h,
                       .in_w = l->in_w,
                       .out_h = l->out_h,
                       .out_w = l->out_w,
                       .channels = l->in_c,
                       .window = step->rows,
                       .stride = step->stride,
                       .pad = step->pad_rows,
                       .y_stride = l->stride,
                       .average = step->op == VT_INCEPTION_AVERAGE};
    kern->pool(kern, &pool);
}

static void download_logits(const batch *b, const float *logits) {
    const vt_inception_pass *pass = b->pass;
    const size_t classes = VT_INCEPTION_CLASSES;
    b->net->kern->download(b->net->kern, b->host, logits, (size_t)b->n * classes * sizeof *logits);
    for (size_t i = 0; i < (size_t)b->n; ++i) {
        const float *from = b->host + i * classes;
        if (pass->probabilities)
            vt_features_softmax(from, VT_INCEPTION_CLASSES,
                                pass->probabilities + (b->first + i) * classes);
        for (size_t c = 0; pass->logits && c < classes; ++c)
            pass->logits[(b->first + i) * classes + c] = from[c] + b->net->fc_bias[c];
    }
}

static void run_batch(const batch *b) {
    const vt_inception_pass *pass = b->pass;
    vt_kern *kern = b->net->kern;
    float *map[VT_INCEPTION_MAPS];
    memcpy(map, b->net->map, sizeof map);
    upload_pictures(b);
    for (int i = 0; i < vt_inception_step_count; ++i) {
        const vt_inception_step *step = &vt_inception_steps[i];
        if (step->op == VT_INCEPTION_NEXT) {
            float *swap = map[VT_MAP_IN];
            map[VT_MAP_IN] = map[VT_MAP_OUT];
            map[VT_MAP_OUT] = swap;
            continue;
        }
        run_step(b, i, map);
        if (pass->spatial && strcmp(step->name, VT_INCEPTION_SPATIAL_STEP) == 0)
            download_spatial(b, &b->net->layers[i], map[VT_MAP_OUT]);
    }
    if (pass->pooled)
        kern->download(kern, pass->pooled + b->first * VT_INCEPTION_DIMS, map[VT_MAP_IN],
                       (size_t)b->n * VT_INCEPTION_DIMS * sizeof *pass->pooled);
    if (pass->logits || pass->probabilities) download_logits(b, map[VT_MAP_OUT]);
}

variant_status vt_inception_run(vt_inception *net, const vt_inception_pass *pass,
                                variant_error *err) {
    vt_kern *kern = net->kern;
    size_t picture = (size_t)pass->height * (size_t)pass->width * 3;
    size_t logits = (size_t)VT_INCEPTION_BATCH * VT_INCEPTION_CLASSES;
    size_t seen = (size_t)VT_INCEPTION_SIDE * VT_INCEPTION_SIDE * 3;
    size_t bytes = picture * sizeof(float), host = picture > logits ? picture : logits;
    variant_status status = VARIANT_OK;
    void *memory = NULL;
    batch b = {.net = net, .pass = pass};
    b.host = malloc((host > seen ? host : seen) * sizeof *b.host);
    if (!b.host)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for pictures of %d x %d", pass->width,
                         pass->height));
    VT_CHECK(kern->memory_reserve(kern, bytes, &memory, err));
    b.picture = memory;
    for (int first = 0; first < pass->count; first += VT_INCEPTION_BATCH) {
        int left = pass->count - first;
        b.first = (size_t)first;
        b.n = left < VT_INCEPTION_BATCH ? left : VT_INCEPTION_BATCH;
        run_batch(&b);
        VT_CHECK(kern->status(kern, err));
    }
cleanup:
    if (memory) kern->memory_release(kern, memory, bytes);
    free(b.host);
    return status;
}

/* ---- as a feature network ---- */

typedef struct inception_features {
    vt_features base;
    vt_inception *net;
} inception_features;

static variant_status run(vt_features *features, const vt_features_batch *all, variant_error *err) {
    inception_features *self = (inception_features *)(void *)features;
    vt_inception_pass pass = {.pictures = all->pictures,
                              .count = all->count,
                              .height = all->height,
                              .width = all->width,
                              .channels = all->channels,
                              .tensorflow = features->info.resize == VT_RESIZE_TENSORFLOW,
                              .pooled = all->pooled,
                              .spatial = all->spatial,
                              .probabilities = all->probabilities};
    return vt_inception_run(self->net, &pass, err);
}

static void close_features(vt_features *features) {
    inception_features *self = (inception_features *)(void *)features;
    vt_inception_close(&self->net);
    free(self);
}

variant_status vt_inception_features_open(vt_features **out, vt_kern *kern, vt_tensor_file *file,
                                          variant_error *err) {
    *out = NULL;
    inception_features *self = calloc(1, sizeof *self);
    if (!self) return vt_fail(err, VARIANT_E_MEMORY, "no memory for an Inception");
    variant_status status = vt_inception_load(&self->net, kern, file, err);
    if (status != VARIANT_OK) {
        close_features(&self->base);
        return status;
    }
    bool synthetic = vt_tensor_file_meta(file, VT_INCEPTION_SYNTHETIC) != NULL;
    self->base = (vt_features){.info = {.inception = !synthetic,
                                        .side = VT_INCEPTION_SIDE,
                                        .channels = 3,
                                        .dims = VT_INCEPTION_DIMS,
                                        .spatial_dims = VT_INCEPTION_SPATIAL,
                                        .classes = VT_INCEPTION_CLASSES,
                                        .resizes = true},
                               .run = run,
                               .close = close_features,
                               .file = file};
    snprintf(self->base.info.name, sizeof self->base.info.name, "%s",
             synthetic ? "inception-synthetic" : "inception-2015-12-05");
    vt_features_hash(self->base.info.hash, file);
    *out = &self->base;
    return VARIANT_OK;
}

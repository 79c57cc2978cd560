/* bench_kernels.c - `variant bench kernels`: each fast kernel at sizes of VAR-d16, against its
 * plain-C twin (backend ref) and against the least time this machine could take; with --products the products of a layer
 * of VAR-d16 and of VAR-d30 alone, as the transformer asks for them, at the rows of many scales and batches. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/cpu.h"
#include "core/rng.h"
#include "kern/watch.h"
#include "tools.h"

/* Weights of one shape in turn, so that a call finds its own in memory and not in a cache: as many as are so many times the last
 * cache. */
#define CACHES 4
#define MOST_COPIES 256
#define MAX_BUFFERS 16
/* A step of ten requests of the published shape that began one after another: two streams at each scale. */
static const int step_sides[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
enum { STEP_SCALES = 10, MOST_STREAMS = 2 * STEP_SCALES, CACHED = 4 };

/* One kernel at one size, set up on one backend. */
typedef struct bench_case {
    vt_kern *kern;
    vt_weight *weights[MOST_COPIES];
    void *buffers[MAX_BUFFERS];
    int buffer_count, weight_count, turn;
    int repeat;  /* calls that will be timed */
    bool failed; /* memory was short */
    union {
        vt_product product;
        vt_attention attention;
        vt_conv conv;
        vt_norm_modulate norm;
        struct {
            float *y;
            size_t n;
        } run;
        vt_cross_entropy loss;
        vt_sample sample;
    } as;
    void (*ready)(struct bench_case *c); /* before every call, not timed; NULL: nothing */
    vt_sample_part part;                 /* of sample */
    const float *logits;                 /* which it overwrites */
    vt_conv_norm conv_norm;
    float *gradient; /* of a convolution's kernel */
    int ends[2];
    struct bench_step { /* of streams that stand at different scales */
        int begin[MOST_STREAMS + 1];
        vt_stream_rows kv[MOST_STREAMS];
        const float *mod[MOST_STREAMS];
        vt_ragged rows;
    } step;
} bench_case;

typedef struct bench_kernel {
    const char *name;
    vt_number number; /* of weights, or of keys and values */
    void (*set_up)(bench_case *c, const struct bench_kernel *k);
    void (*run)(bench_case *c);
    int size[6]; /* what set_up makes of it */
} bench_kernel;

/* ---- buffers ---- */

/* In large pages, as an engine's buffers lie (kern/ref/memory.c). */
static void *take(bench_case *c, size_t bytes) {
    void *memory = NULL;
    const size_t large = (size_t)2 << 20, line = bytes < large / 2 ? 64 : large;
    if (c->buffer_count == MAX_BUFFERS || posix_memalign(&memory, line, bytes ? bytes : 64) != 0) {
        c->failed = true;
        return NULL;
    }
#if defined(__linux__) && defined(MADV_HUGEPAGE)
    if (line == large) madvise(memory, bytes, MADV_HUGEPAGE);
#endif
    memset(memory, 0, bytes);
    c->buffers[c->buffer_count++] = memory;
    return memory;
}

/* n numbers of a normal distribution, the same for every backend. */
static float *random_floats(bench_case *c, size_t n, float scale) {
    float *x = take(c, n * sizeof *x);
    if (!x) return NULL;
    vt_normal_fill(x, n, 7, (uint32_t)c->buffer_count);
    for (size_t i = 0; i < n; ++i) x[i] *= scale;
    return x;
}

static void *random_numbers(bench_case *c, size_t n, vt_number number) {
    float *x = random_floats(c, n, 1.0f);
    if (!x || number == VT_NUMBER_F32) return x;
    /* bf16: the upper half of a float; int8: its sign and upper exponent would be no spread at all */
    if (number == VT_NUMBER_BF16)
        for (size_t i = 0; i < n; ++i) memcpy((char *)x + 2 * i, (const char *)&x[i] + 2, 2);
    else
        for (size_t i = 0; i < n; ++i) ((int8_t *)x)[i] = (int8_t)(x[i] * 30.0f);
    return x;
}

/* What a call cannot find in a cache. The plain-C twin is called once. */
static int cold_copies(const bench_case *c, size_t bytes) {
    const size_t copies = CACHES * vt_cache_bytes() / bytes + 1;
    if (c->repeat <= 1 || strcmp(c->kern->name, vt_kern_reference()) == 0) return 1;
    return copies < MOST_COPIES ? (int)copies : MOST_COPIES;
}

/* `copies` of one weight, 0: so many that each call finds its own in memory. */
static void open_weights(bench_case *c, vt_number number, int n, int k, int taps, int copies) {
    const size_t numbers = (size_t)n * (size_t)k;
    if (copies == 0) copies = cold_copies(c, (size_t)vt_number_bytes(number, (double)numbers));
    const bool in_place = number == VT_NUMBER_F32;
    float *values = take(c, numbers * sizeof *values * (in_place ? (size_t)copies : 1));
    if (values) vt_normal_fill(values, numbers, 7, 0);
    for (size_t i = 0; values && i < numbers; ++i) values[i] *= 0.05f;
    for (int i = 0; values && i < copies; ++i) {
        if (in_place && i > 0) {
            memcpy(values + numbers, values, numbers * sizeof *values);
            values += numbers;
        }
        const vt_weight_spec spec = {.type = number,
                                     .n = n,
                                     .k = k,
                                     .taps = taps,
                                     .gradients = taps > 1 && number == VT_NUMBER_BF16,
                                     .values = values};
        if (c->kern->weight_open(c->kern, &c->weights[i], &spec, NULL) != VARIANT_OK)
            c->failed = true;
        else
            c->weight_count = i + 1;
    }
}

static void case_close(bench_case *c) {
    for (int i = 0; i < c->weight_count; ++i) c->kern->weight_close(c->kern, &c->weights[i]);
    for (int i = 0; i < c->buffer_count; ++i) free(c->buffers[i]);
    *c = (bench_case){0};
}

/* ---- kernels ---- */

/* size: rows, n, k, epilogue, 1: one weight, which stays in a cache where it fits */
static void set_up_product(bench_case *c, const bench_kernel *k) {
    int rows = k->size[0], n = k->size[1], depth = k->size[2];
    open_weights(c, k->number, n, depth, 1, k->size[CACHED]);
    if (c->failed) return;
    c->as.product = (vt_product){.x = random_floats(c, (size_t)rows * (size_t)depth, 1.0f),
                                 .w = c->weights[0],
                                 .bias = random_floats(c, (size_t)n, 1.0f),
                                 .y = take(c, (size_t)rows * (size_t)n * sizeof(float)),
                                 .groups = 1,
                                 .rows = rows,
                                 .epilogue = (vt_epilogue)k->size[3]};
    c->as.product.workspace = take(c, c->kern->product_workspace(c->kern, &c->as.product));
}

static void run_product(bench_case *c) {
    c->as.product.w = c->weights[c->turn++ % c->weight_count];
    c->kern->product(c->kern, &c->as.product);
}

/* The same as the transformer has it: rows of bf16 in, bf16 out, or added to float32 behind a gate. */
static void set_up_layer_product(bench_case *c, const bench_kernel *k) {
    const int rows = k->size[0], n = k->size[1], depth = k->size[2];
    const bool gate = k->size[3] == VT_EPILOGUE_GATE_ADD;
    open_weights(c, k->number, n, depth, 1, 0);
    if (c->failed) return;
    c->as.product =
        (vt_product){.x = random_numbers(c, (size_t)rows * (size_t)depth, VT_NUMBER_BF16),
                     .x_type = VT_NUMBER_BF16,
                     .w = c->weights[0],
                     .bias = random_floats(c, (size_t)n, 1.0f),
                     .y = take(c, (size_t)rows * (size_t)n * sizeof(float)),
                     .y_type = gate ? VT_NUMBER_F32 : VT_NUMBER_BF16,
                     .groups = 1,
                     .rows = rows,
                     .epilogue = (vt_epilogue)k->size[3],
                     .gamma = gate ? random_floats(c, (size_t)n, 1.0f) : NULL};
    c->as.product.workspace = take(c, c->kern->product_workspace(c->kern, &c->as.product));
}

/* size: streams, heads, head size, queries, keys */
static void set_up_attention(bench_case *c, const bench_kernel *k) {
    int groups = k->size[0], heads = k->size[1], dim = k->size[2];
    size_t width = (size_t)(heads * dim), queries = (size_t)k->size[3], keys = (size_t)k->size[4];
    size_t all = (size_t)groups * keys;
    c->ends[0] = k->size[3];
    c->ends[1] = k->size[4];
    vt_attention a = {.q = random_floats(c, (size_t)groups * queries * width, 1.0f),
                      .k = random_numbers(c, all * width, k->number),
                      .v = random_numbers(c, all * width, k->number),
                      .out = take(c, (size_t)groups * queries * width * sizeof(float)),
                      .kv_type = k->number,
                      .q_stride = width,
                      .kv_stride = width,
                      .out_stride = width,
                      .q_group_stride = queries * width,
                      .kv_group_stride = keys * width,
                      .out_group_stride = queries * width,
                      .groups = groups,
                      .heads = heads,
                      .head_dim = dim,
                      .segments = 1,
                      .q_end = &c->ends[0],
                      .k_end = &c->ends[1],
                      .scale = 0.125f};
    if (k->number == VT_NUMBER_INT8) {
        a.k_scale = random_floats(c, all * (size_t)heads, 0.01f);
        a.v_scale = random_floats(c, all * (size_t)heads, 0.01f);
        a.scale_group_stride = keys * (size_t)heads;
    }
    a.workspace = take(c, c->kern->attention_workspace(c->kern, &a));
    c->as.attention = a;
}

/* The rows of such a step, those farthest on first, with keys and values of the kernel's type. */
static void set_up_step(bench_case *c, const bench_kernel *k, size_t width) {
    struct bench_step *step = &c->step;
    const float *mod = random_floats(c, width, 1.0f);
    int held[STEP_SCALES] = {0}, keys = 0;
    for (int s = 0; s < STEP_SCALES; ++s) {
        const int rows = step_sides[s] * step_sides[s];
        if (s + 1 < STEP_SCALES) held[s + 1] = held[s] + rows;
        keys += 2 * (held[s] + rows);
    }
    char *room = random_numbers(c, 2 * (size_t)keys * width, k->number);
    for (int i = 0; room && i < MOST_STREAMS; ++i) {
        const int scale = STEP_SCALES - 1 - i / 2, rows = step_sides[scale] * step_sides[scale];
        const size_t bytes = (size_t)(held[scale] + rows) * width * vt_number_size(k->number);
        step->begin[i + 1] = step->begin[i] + rows;
        step->mod[i] = mod;
        step->kv[i] = (vt_stream_rows){.k = room, .v = room + bytes, .held = held[scale]};
        room += 2 * bytes;
    }
    step->rows = (vt_ragged){.groups = MOST_STREAMS,
                             .begin = step->begin,
                             .at = step->begin,
                             .mod = step->mod,
                             .kv = step->kv};
}

/* size: heads, head size */
static void set_up_attention_step(bench_case *c, const bench_kernel *k) {
    const size_t width = (size_t)(k->size[0] * k->size[1]);
    set_up_step(c, k, width);
    const size_t rows = (size_t)c->step.begin[MOST_STREAMS];
    vt_attention a = {.q = random_floats(c, rows * width, 1.0f),
                      .out = take(c, rows * width * sizeof(float)),
                      .kv_type = k->number,
                      .q_stride = width,
                      .kv_stride = width,
                      .out_stride = width,
                      .groups = 1,
                      .heads = k->size[0],
                      .head_dim = k->size[1],
                      .scale = 0.125f,
                      .ragged = &c->step.rows};
    a.workspace = take(c, c->kern->attention_workspace(c->kern, &a));
    c->as.attention = a;
}

/* size: n, k; the gate of each stream behind it */
static void set_up_product_step(bench_case *c, const bench_kernel *k) {
    const int n = k->size[0], depth = k->size[1];
    open_weights(c, k->number, n, depth, 1, 0);
    set_up_step(c, &(bench_kernel){.number = VT_NUMBER_BF16}, (size_t)n);
    if (c->failed) return;
    const int rows = c->step.begin[MOST_STREAMS];
    c->as.product = (vt_product){.x = random_floats(c, (size_t)rows * (size_t)depth, 1.0f),
                                 .w = c->weights[0],
                                 .bias = random_floats(c, (size_t)n, 1.0f),
                                 .y = take(c, (size_t)rows * (size_t)n * sizeof(float)),
                                 .groups = 1,
                                 .rows = rows,
                                 .epilogue = VT_EPILOGUE_GATE_ADD,
                                 .ragged = &c->step.rows};
    c->as.product.workspace = take(c, c->kern->product_workspace(c->kern, &c->as.product));
}

static void run_attention(bench_case *c) {
    c->kern->attention(c->kern, &c->as.attention);
}

/* size: side, in, out, 1: with group norm and SiLU before, 2: enlarged before */
static void set_up_conv(bench_case *c, const bench_kernel *k) {
    int side = k->size[0], in = k->size[1], out = k->size[2];
    bool enlarged = k->size[3] == 2;
    size_t pixels = (size_t)side * (size_t)side;
    open_weights(c, k->number, out, 9 * in, 9, 1);
    if (c->failed) return;
    vt_conv a = {.x = random_floats(c, pixels * (size_t)in / (enlarged ? 4 : 1), 1.0f),
                 .w = c->weights[0],
                 .bias = random_floats(c, (size_t)out, 1.0f),
                 .y = take(c, pixels * (size_t)out * sizeof(float)),
                 .groups = 1,
                 .in_h = side,
                 .in_w = side,
                 .in_c = in,
                 .out_h = side,
                 .out_w = side,
                 .out_c = out,
                 .kernel = 3,
                 .stride = 1,
                 .pad_top = 1,
                 .pad_left = 1,
                 .upsample = enlarged};
    c->conv_norm = (vt_conv_norm){.gamma = random_floats(c, (size_t)in, 1.0f),
                                  .beta = random_floats(c, (size_t)in, 1.0f),
                                  .channel_groups = 32,
                                  .eps = 1e-6f,
                                  .silu = true};
    if (k->size[3] == 1) a.norm = &c->conv_norm;
    a.workspace = take(c, c->kern->conv_workspace(c->kern, &a));
    c->as.conv = a;
}

static void run_conv(bench_case *c) {
    c->kern->conv(c->kern, &c->as.conv);
}

/* The same sizes: in and out are the forward's. y is read as dy, x written as dx. */
static void run_conv_dx(bench_case *c) {
    c->kern->conv_dx(c->kern, &c->as.conv, c->as.conv.y, (float *)c->as.conv.x, false);
}

static void set_up_conv_dw(bench_case *c, const bench_kernel *k) {
    set_up_conv(c, k);
    c->gradient = take(c, (size_t)(k->size[1] * k->size[2]) * 9 * sizeof(float));
}

static void run_conv_dw(bench_case *c) {
    c->kern->conv_dw(c->kern, &c->as.conv, c->as.conv.y, c->gradient, NULL);
}

/* size: rows, width */
static void set_up_norm(bench_case *c, const bench_kernel *k) {
    size_t width = (size_t)k->size[1], all = (size_t)k->size[0] * width;
    c->as.norm = (vt_norm_modulate){.x = random_floats(c, all, 1.0f),
                                    .scale = random_floats(c, width, 1.0f),
                                    .shift = random_floats(c, width, 1.0f),
                                    .y = take(c, all * sizeof(float)),
                                    .y_type = k->number,
                                    .groups = 1,
                                    .rows = k->size[0],
                                    .width = k->size[1],
                                    .eps = 1e-6f};
}

static void run_norm(bench_case *c) {
    c->kern->norm_modulate(c->kern, &c->as.norm);
}

/* size: numbers */
static void set_up_run(bench_case *c, const bench_kernel *k) {
    c->as.run.n = (size_t)k->size[0];
    c->as.run.y = random_floats(c, c->as.run.n, 1.0f);
}

static void run_gelu(bench_case *c) {
    c->kern->gelu(c->kern, c->as.run.y, c->as.run.y, c->as.run.n);
}

/* size: rows, vocabulary, with a teacher */
static void set_up_loss(bench_case *c, const bench_kernel *k) {
    size_t rows = (size_t)k->size[0], all = rows * (size_t)k->size[1];
    c->as.loss = (vt_cross_entropy){.logits = random_floats(c, all, 1.0f),
                                    .targets = take(c, rows * sizeof(int32_t)),
                                    .dlogits = take(c, all * sizeof(float)),
                                    .loss = take(c, rows * sizeof(float)),
                                    .rows = k->size[0],
                                    .vocab = k->size[1],
                                    .weight = 1.0f};
    if (!k->size[2]) return;
    float *pull = take(c, rows * sizeof(float));
    vt_kern_fill(c->kern, pull, 1.0f, rows);
    c->as.loss.teacher = random_floats(c, all, 1.0f);
    c->as.loss.pull = pull;
}

static void run_loss(bench_case *c) {
    c->kern->cross_entropy(c->kern, &c->as.loss);
}

static void ready_sample(bench_case *c) {
    const size_t rows = (size_t)c->part.rows, vocab = (size_t)c->as.sample.vocab;
    c->kern->copy(c->kern, c->part.cond, c->logits, rows * vocab);
}

/* size: rows, vocabulary; guided, with the filters' usual bounds */
static void set_up_sample(bench_case *c, const bench_kernel *k) {
    const size_t rows = (size_t)k->size[0], all = rows * (size_t)k->size[1];
    c->ready = ready_sample;
    c->logits = random_floats(c, all, 3.0f);
    c->part = (vt_sample_part){.cond = take(c, all * sizeof(float)),
                               .uncond = random_floats(c, all, 3.0f),
                               .guide = 0.75f,
                               .rows = k->size[0],
                               .seed = 1,
                               .top_k = 900,
                               .top_p = 0.96f,
                               .tokens = take(c, rows * sizeof(int32_t))};
    c->as.sample = (vt_sample){.parts = &c->part, .count = 1, .vocab = k->size[1]};
    c->as.sample.workspace = take(c, c->kern->sample_workspace(c->kern, &c->as.sample));
}

static void run_sample(bench_case *c) {
    c->kern->sample(c->kern, &c->as.sample);
}

#define PRODUCT(number, rows, n, k)                                                                \
    {                                                                                              \
        "product", number, set_up_product, run_product, {                                          \
            rows, n, k, VT_EPILOGUE_STORE                                                          \
        }                                                                                          \
    }
#define PRODUCT_CACHED(number, rows, n, k)                                                         \
    {                                                                                              \
        "product, cached", number, set_up_product, run_product, {                                  \
            rows, n, k, VT_EPILOGUE_STORE, 1                                                       \
        }                                                                                          \
    }
#define ATTENTION(number, queries, keys)                                                           \
    {                                                                                              \
        "attention", number, set_up_attention, run_attention, {                                    \
            2, 16, 64, queries, keys                                                               \
        }                                                                                          \
    }
static const bench_kernel kernels[] = {
    PRODUCT(VT_NUMBER_F32, 2, 3072, 1024),
    PRODUCT(VT_NUMBER_F32, 32, 3072, 1024),
    PRODUCT(VT_NUMBER_F32, 512, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 2, 3072, 1024),
    PRODUCT_CACHED(VT_NUMBER_BF16, 2, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 8, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 18, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 32, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 72, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 128, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 512, 3072, 1024),
    PRODUCT(VT_NUMBER_BF16, 512, 1024, 4096),
    {"product, gelu",
     VT_NUMBER_BF16,
     set_up_product,
     run_product,
     {512, 4096, 1024, VT_EPILOGUE_GELU}},
    {"product, a step", VT_NUMBER_F32, set_up_product_step, run_product, {1024, 1024}},
    {"product, a step", VT_NUMBER_BF16, set_up_product_step, run_product, {1024, 1024}},
    PRODUCT(VT_NUMBER_INT8, 2, 3072, 1024),
    PRODUCT_CACHED(VT_NUMBER_INT8, 2, 3072, 1024),
    PRODUCT(VT_NUMBER_INT8, 18, 3072, 1024),
    PRODUCT(VT_NUMBER_INT8, 72, 3072, 1024),
    PRODUCT(VT_NUMBER_INT8, 512, 3072, 1024),
    PRODUCT(VT_NUMBER_INT4, 2, 3072, 1024),
    PRODUCT_CACHED(VT_NUMBER_INT4, 2, 3072, 1024),
    PRODUCT(VT_NUMBER_INT4, 18, 3072, 1024),
    PRODUCT(VT_NUMBER_INT4, 72, 3072, 1024),
    PRODUCT(VT_NUMBER_INT4, 512, 3072, 1024),
    ATTENTION(VT_NUMBER_F32, 36, 91),
    ATTENTION(VT_NUMBER_F32, 256, 680),
    ATTENTION(VT_NUMBER_BF16, 36, 91),
    ATTENTION(VT_NUMBER_BF16, 256, 680),
    ATTENTION(VT_NUMBER_INT8, 256, 680),
    {"attention, a step", VT_NUMBER_F32, set_up_attention_step, run_attention, {16, 64}},
    {"attention, a step", VT_NUMBER_BF16, set_up_attention_step, run_attention, {16, 64}},
    {"conv 3x3", VT_NUMBER_F32, set_up_conv, run_conv, {64, 160, 160, 0}},
    {"conv 3x3", VT_NUMBER_BF16, set_up_conv, run_conv, {64, 160, 160, 0}},
    {"norm, conv 3x3", VT_NUMBER_BF16, set_up_conv, run_conv, {64, 160, 160, 1}},
    {"2x, conv 3x3", VT_NUMBER_BF16, set_up_conv, run_conv, {64, 160, 160, 2}},
    {"norm, conv 3x3", VT_NUMBER_BF16, set_up_conv, run_conv, {16, 640, 640, 1}},
    {"conv 3x3 dx", VT_NUMBER_F32, set_up_conv, run_conv_dx, {32, 64, 64, 0}},
    {"conv 3x3 dx", VT_NUMBER_BF16, set_up_conv, run_conv_dx, {32, 64, 64, 0}},
    {"conv 3x3 dw", VT_NUMBER_F32, set_up_conv_dw, run_conv_dw, {32, 64, 64, 0}},
    {"conv 3x3 dw", VT_NUMBER_BF16, set_up_conv_dw, run_conv_dw, {32, 64, 64, 0}},
    {"norm_modulate", VT_NUMBER_F32, set_up_norm, run_norm, {512, 1024}},
    {"norm_modulate", VT_NUMBER_BF16, set_up_norm, run_norm, {512, 1024}},
    {"gelu", VT_NUMBER_F32, set_up_run, run_gelu, {1 << 20}},
    {"cross entropy", VT_NUMBER_F32, set_up_loss, run_loss, {1024, 4096}},
    {"cross entropy, taught", VT_NUMBER_F32, set_up_loss, run_loss, {1024, 4096, 1}},
    {"sample", VT_NUMBER_F32, set_up_sample, run_sample, {256, 4096}},
};

/* Products of a layer of width 1024 (VAR-d16) and 1920 (d30), each at each number of rows. */
static const struct layer_product {
    const char *name;
    int n, k;
    vt_epilogue epilogue;
} layer_products[] = {
    {"qkv", 3072, 1024, VT_EPILOGUE_STORE},      {"proj", 1024, 1024, VT_EPILOGUE_GATE_ADD},
    {"fc1, gelu", 4096, 1024, VT_EPILOGUE_GELU}, {"fc2", 1024, 4096, VT_EPILOGUE_GATE_ADD},
    {"qkv", 5760, 1920, VT_EPILOGUE_STORE},      {"proj", 1920, 1920, VT_EPILOGUE_GATE_ADD},
    {"fc1, gelu", 7680, 1920, VT_EPILOGUE_GELU}, {"fc2", 1920, 7680, VT_EPILOGUE_GATE_ADD},
};
static const int layer_rows[] = {2, 8, 18, 32, 72, 128, 200, 338, 512};

static bool is_product(const bench_kernel *k) {
    return k->set_up == set_up_product || k->set_up == set_up_layer_product;
}

static bool is_conv(const bench_kernel *k) {
    return k->set_up == set_up_conv || k->set_up == set_up_conv_dw;
}

/* ---- floors ---- */

/* Multiply-adds count two; bytes are what no cache holds between calls. */
static void kernel_work(const bench_kernel *k, double *flops, double *bytes) {
    const double s0 = k->size[0], s1 = k->size[1], s2 = k->size[2];
    *flops = *bytes = 0.0;
    if (is_product(k)) {
        *flops = 2.0 * s0 * s1 * s2;
        *bytes = vt_number_bytes(k->number, s1 * s2);
    } else if (k->set_up == set_up_attention) {
        *flops = 4.0 * s0 * s1 * s2 * k->size[3] * k->size[4];
    } else if (k->set_up == set_up_attention_step) {
        for (int i = 0, held = 0; i < STEP_SCALES; ++i) {
            const double rows = step_sides[i] * step_sides[i];
            held += step_sides[i] * step_sides[i];
            *flops += 2.0 * 4.0 * s0 * s1 * rows * held;
        }
    } else if (k->set_up == set_up_product_step) {
        for (int i = 0; i < STEP_SCALES; ++i)
            *flops += 2.0 * 2.0 * s0 * s1 * step_sides[i] * step_sides[i];
        *bytes = vt_number_bytes(k->number, s0 * s1);
    } else if (is_conv(k)) {
        *flops = 18.0 * s0 * s0 * s1 * s2;
    } else if (k->set_up == set_up_norm) {
        *bytes = s0 * s1 * (4.0 + (double)vt_number_size(k->number));
    } else if (k->set_up == set_up_run) {
        *bytes = 8.0 * s0;
    } else if (k->set_up == set_up_loss) {
        *bytes = (s2 > 0.0 ? 12.0 : 8.0) * s0 * s1;
    } else if (k->set_up == set_up_sample) {
        *bytes = 12.0 * s0 * s1;
    }
}

/* What the machine could do at most. */
typedef struct peaks {
    double flops[4]; /* by vt_number */
    double stream;   /* bytes a second from memory */
} peaks;

static double floor_ms(const bench_kernel *k, vt_kern *kern, const peaks *most) {
    double flops, bytes;
    kernel_work(k, &flops, &bytes);
    const bool cached = k->set_up == set_up_product && k->size[CACHED];
    const double stream = cached ? kern->stream_bytes(kern, (size_t)bytes) : most->stream;
    bool wide = (k->set_up == set_up_attention || k->set_up == set_up_attention_step) &&
                k->number != VT_NUMBER_F32; /* multiplied as bf16 */
    const double compute = flops / most->flops[wide ? VT_NUMBER_BF16 : k->number];
    return 1e3 * (compute > bytes / stream ? compute : bytes / stream);
}

/* ---- timing ---- */

#define TRIES 3 /* of a kernel's calls, until they are quiet */

/* Medians of a kernel, and whether its calls were disturbed every time. */
typedef struct kernel_time {
    double ms; /* < 0: memory was short */
    bool disturbed;
    char why[200];
} kernel_time;

static double median_call(bench_case *c, const bench_kernel *k, int repeat) {
    static double ms[BENCH_MAX_REPEAT];
    for (int i = 0; i < repeat; ++i) {
        if (c->ready) c->ready(c);
        double start = cli_now();
        k->run(c);
        c->kern->sync(c->kern);
        ms[i] = 1e3 * (cli_now() - start);
    }
    return bench_median(ms, repeat);
}

/* Of `repeat` calls after one that is not counted. Disturbed ones are made again: the fastest median counts. */
static kernel_time time_kernel(vt_kern *kern, const bench_kernel *k, int repeat, int tries,
                               vt_quiet *quiet) {
    bench_case c = {.kern = kern, .repeat = repeat};
    kernel_time result = {.ms = -1.0};
    k->set_up(&c, k);
    if (!c.failed && repeat > 1) {
        if (c.ready) c.ready(&c);
        k->run(&c);
    }
    for (int i = 0; i < tries && !c.failed && (i == 0 || result.disturbed); ++i) {
        vt_quiet_begin(quiet);
        double ms = median_call(&c, k, repeat);
        vt_quiet_span span = vt_quiet_end(quiet);
        result.disturbed = vt_quiet_is_disturbed(quiet, &span);
        if (i == 0 || ms < result.ms || !result.disturbed) result.ms = ms;
        vt_quiet_why(quiet, &span, 1, result.why, sizeof result.why);
    }
    case_close(&c);
    return result;
}

static void describe(const bench_kernel *k, char *out, size_t size) {
    const int *s = k->size;
    if (is_product(k))
        snprintf(out, size, "%d rows, %d x %d", s[0], s[1], s[2]);
    else if (k->set_up == set_up_attention)
        snprintf(out, size, "%d streams, %d heads of %d, %d on %d", s[0], s[1], s[2], s[3], s[4]);
    else if (k->set_up == set_up_attention_step)
        snprintf(out, size, "%d streams of 10 scales, %d heads of %d", MOST_STREAMS, s[0], s[1]);
    else if (k->set_up == set_up_product_step)
        snprintf(out, size, "%d streams of 10 scales, %d x %d", MOST_STREAMS, s[0], s[1]);
    else if (is_conv(k))
        snprintf(out, size, "%d x %d, %d to %d", s[0], s[0], s[1], s[2]);
    else if (k->set_up == set_up_run)
        snprintf(out, size, "%d", s[0]);
    else
        snprintf(out, size, "%d x %d", s[0], s[1]);
}

static void print_head(bool json, const vt_kern *kern, const peaks *most) {
    if (json)
        printf("{\"kernels\": \"%s\", \"peak_f32\": %.4g, \"peak_bf16\": %.4g, \"stream_bytes\": "
               "%.4g, \"cases\": [",
               kern->details, most->flops[0], most->flops[1], most->stream);
    else
        printf(
            "%s\nregister peak %.0f GFLOP/s float32, %.0f bf16; memory %.1f GB/s\n\n  %-18s %-5s "
            "%-40s %10s %10s %7s %9s\n",
            kern->details, most->flops[0] * 1e-9, most->flops[1] * 1e-9, most->stream * 1e-9,
            "kernel", "type", "size", "median", "floor", "ratio", "plain C");
}

/* One kernel: its time, the least it could take, and its plain-C twin's (< 0: not run), in milliseconds. */
static void print_case(const bench_kernel *k, const char *size, const kernel_time *fast,
                       double least, double twin) {
    char times[24] = "-";
    if (twin >= 0.0) snprintf(times, sizeof times, "%.0fx", twin / fast->ms);
    printf("  %-18s %-5s %-40s %7.3f ms %7.3f ms %7.2f %9s%s%s\n", k->name,
           vt_number_name(k->number), size, fast->ms, least, fast->ms / least, times,
           fast->disturbed ? "  disturbed: " : "", fast->disturbed ? fast->why : "");
}

static void print_case_json(const bench_kernel *k, const char *size, const kernel_time *fast,
                            double least, double twin, bool first) {
    char plain[32] = "null";
    if (twin >= 0.0) snprintf(plain, sizeof plain, "%.3f", twin);
    printf("%s{\"name\": \"%s\", \"type\": \"%s\", \"size\": \"%s\", \"ms\": %.5f, "
           "\"floor_ms\": %.5f, \"plain_ms\": %s, \"disturbed\": %s}",
           first ? "" : ", ", k->name, vt_number_name(k->number), size, fast->ms, least, plain,
           fast->disturbed ? "true" : "false");
}

typedef struct settings {
    variant_engine_options engine;
    int repeat;
    bool json, products;
} settings;

/* What all cases share. */
typedef struct bench_run {
    const settings *s;
    vt_kern *kern, *ref;
    peaks most;
    vt_quiet quiet;
    int done;
} bench_run;

/* `twin`: the plain-C one is timed as well. */
static variant_status run_case(bench_run *r, const bench_kernel *k, bool with_twin,
                               variant_error *err) {
    char size[64];
    describe(k, size, sizeof size);
    kernel_time fast = time_kernel(r->kern, k, r->s->repeat, TRIES, &r->quiet);
    double twin = with_twin ? time_kernel(r->ref, k, 1, 1, &r->quiet).ms : -1.0;
    if (fast.ms < 0.0 || (with_twin && twin < 0.0))
        return variant_fail(err, VARIANT_E_MEMORY, "no memory for %s, %s", k->name, size);
    const double least = floor_ms(k, r->kern, &r->most);
    if (r->s->json)
        print_case_json(k, size, &fast, least, twin, r->done == 0);
    else
        print_case(k, size, &fast, least, twin);
    fflush(stdout);
    ++r->done;
    return VARIANT_OK;
}

static variant_status run_kernels(bench_run *r, variant_error *err) {
    for (size_t i = 0; i < sizeof kernels / sizeof *kernels; ++i)
        CLI_TRY(run_case(r, &kernels[i], true, err));
    return VARIANT_OK;
}

static variant_status run_products(bench_run *r, variant_error *err) {
    for (size_t i = 0; i < sizeof layer_products / sizeof *layer_products; ++i)
        for (size_t j = 0; j < sizeof layer_rows / sizeof *layer_rows; ++j)
            for (int number = VT_NUMBER_BF16; number <= VT_NUMBER_INT4; ++number) {
                const struct layer_product *p = &layer_products[i];
                const bench_kernel k = {p->name,
                                        (vt_number)number,
                                        set_up_layer_product,
                                        run_product,
                                        {layer_rows[j], p->n, p->k, (int)p->epilogue}};
                CLI_TRY(run_case(r, &k, false, err));
            }
    return VARIANT_OK;
}

static int run(void *user, const cli_line *line) {
    (void)line;
    const settings *s = user;
    vt_kern *kern = NULL, *ref = NULL;
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    bench_run r = {.s = s};
    CLI_CHECK(vt_kern_open(&kern, NULL, s->engine.threads, &err));
    CLI_CHECK(vt_kern_open(&ref, vt_kern_reference(), 1, &err));
    if (!kern->peak_flops || !kern->stream_bytes)
        CLI_CHECK(variant_fail(&err, VARIANT_E_UNSUPPORTED,
                               "backend %s has no probes to measure against", kern->name));
    r.kern = kern;
    r.ref = ref;
    r.most =
        (peaks){{kern->peak_flops(kern, VT_NUMBER_F32), kern->peak_flops(kern, VT_NUMBER_BF16),
                 kern->peak_flops(kern, VT_NUMBER_INT8), kern->peak_flops(kern, VT_NUMBER_INT4)},
                kern->stream_bytes(kern, CACHES * vt_cache_bytes())};
    vt_kern_watch(&r.quiet, kern);
    print_head(s->json, kern, &r.most);
    CLI_CHECK(s->products ? run_products(&r, &err) : run_kernels(&r, &err));
    if (s->json) printf("]}\n");
cleanup:
    vt_kern_close(&kern);
    vt_kern_close(&ref);
    return cli_end(status, &err);
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.repeat = 5};
    cli_engine_init(&s->engine);
}

static const cli_option options[] = {
    {"repeat", "N", "calls counted, {range}; as many again while too few are quiet",
     CLI_INT(settings, repeat, 1, BENCH_MAX_REPEAT), .own = true},
    {"products", NULL,
     "products of a layer of VAR-d16 and of VAR-d30 alone, in bf16 and int8, 2 to 512 rows; "
     "without plain C",
     CLI_FLAG(settings, products)},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, "threads"),
    {0},
};

const cli_command bench_kernels = {
    .name = "bench kernels",
    .purpose = "time of each kernel beside its plain-C twin and its floor",
    .usage = "[--products] [--repeat N] [--threads N] [--json]",
    .about = "Times each kernel by itself at sizes of VAR-d16, beside its plain-C twin and the "
             "least time that this machine could take.",
    .examples = "variant bench kernels --repeat 20\nvariant bench kernels --products --repeat 20",
    CLI_OF_THIS_FILE,
};

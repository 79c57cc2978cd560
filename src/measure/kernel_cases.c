/* kernel_cases.c - see kernel_cases.h: the kernels at sizes of VAR-d16; and the products of a layer of VAR-d16 and of VAR-d30 as the
 * transformer asks for them, at the rows of many scales and batches. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__linux__)
#include <sys/mman.h>
#endif

#include "core/cpu.h"
#include "core/rng.h"
#include "measure/kernel_cases.h"

/* A step of ten requests of the published shape that began one after another: two streams at each scale. */
static const int step_sides[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
enum { STEP_SCALES = 10, MOST_STREAMS = VT_BENCH_STREAMS, CACHED = 4 };

/* ---- buffers ---- */

/* In large pages, as an engine's buffers lie (kern/ref/memory.c). */
static void *take(bench_case *c, size_t bytes) {
    void *memory = NULL;
    const size_t large = (size_t)2 << 20, line = bytes < large / 2 ? 64 : large;
    if (c->buffer_count == VT_BENCH_BUFFERS ||
        posix_memalign(&memory, line, bytes ? bytes : 64) != 0) {
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
    const size_t copies = VT_BENCH_CACHES * vt_cache_bytes() / bytes + 1;
    if (c->repeat <= 1 || strcmp(c->kern->name, vt_kern_reference()) == 0) return 1;
    return copies < VT_BENCH_COPIES ? (int)copies : VT_BENCH_COPIES;
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

void vt_bench_case_close(bench_case *c) {
    for (int i = 0; i < c->weight_count; ++i) c->kern->weight_close(c->kern, &c->weights[i]);
    for (int i = 0; i < c->buffer_count; ++i) free(c->buffers[i]);
    *c = (bench_case){0};
}

/* ---- kernels ---- */

/* (rows, depth) by the case's first weight (n, depth). */
static void make_product(bench_case *c, int rows, int n, int depth, vt_epilogue epilogue,
                         const vt_ragged *ragged) {
    c->as.product = (vt_product){.x = random_floats(c, (size_t)rows * (size_t)depth, 1.0f),
                                 .w = c->weights[0],
                                 .bias = random_floats(c, (size_t)n, 1.0f),
                                 .y = take(c, (size_t)rows * (size_t)n * sizeof(float)),
                                 .groups = 1,
                                 .rows = rows,
                                 .epilogue = epilogue,
                                 .ragged = ragged};
    c->as.product.workspace = take(c, c->kern->product_workspace(c->kern, &c->as.product));
}

/* size: rows, n, k, epilogue, 1: one weight, which stays in a cache where it fits */
static void set_up_product(bench_case *c, const bench_kernel *k) {
    const int n = k->size[1], depth = k->size[2];
    open_weights(c, k->number, n, depth, 1, k->size[CACHED]);
    if (!c->failed) make_product(c, k->size[0], n, depth, (vt_epilogue)k->size[3], NULL);
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
    make_product(c, c->step.begin[MOST_STREAMS], n, depth, VT_EPILOGUE_GATE_ADD, &c->step.rows);
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
const bench_kernel vt_bench_cases[] = {
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

const int vt_bench_case_count = sizeof vt_bench_cases / sizeof *vt_bench_cases;

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

/* Layer by layer, of each the rows, of each the types. */
bool vt_bench_product(int i, bench_kernel *out) {
    enum {
        TYPES = VT_NUMBER_INT4 - VT_NUMBER_BF16 + 1,
        ROWS = sizeof layer_rows / sizeof *layer_rows,
        PRODUCTS = sizeof layer_products / sizeof *layer_products
    };
    if (i >= PRODUCTS * ROWS * TYPES) return false;
    const struct layer_product *p = &layer_products[i / (ROWS * TYPES)];
    *out = (bench_kernel){p->name,
                          (vt_number)(VT_NUMBER_BF16 + i % TYPES),
                          set_up_layer_product,
                          run_product,
                          {layer_rows[i / TYPES % ROWS], p->n, p->k, (int)p->epilogue}};
    return true;
}

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

double vt_bench_floor_ms(const bench_kernel *k, vt_kern *kern, const vt_bench_peaks *most) {
    double flops, bytes;
    kernel_work(k, &flops, &bytes);
    const bool cached = k->set_up == set_up_product && k->size[CACHED];
    const double stream = cached ? kern->stream_bytes(kern, (size_t)bytes) : most->stream;
    bool wide = (k->set_up == set_up_attention || k->set_up == set_up_attention_step) &&
                k->number != VT_NUMBER_F32; /* multiplied as bf16 */
    const double compute = flops / most->flops[wide ? VT_NUMBER_BF16 : k->number];
    return 1e3 * (compute > bytes / stream ? compute : bytes / stream);
}

void vt_bench_describe(const bench_kernel *k, char *out, size_t size) {
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

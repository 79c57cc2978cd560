/* onednn_products.c - what oneDNN reaches on this program's products and convolutions, as CSV on
 * stdout: a yardstick for the kernels of src/kern, never linked into the product.
 *
 * Weights are packed once (memory format "any"), the bias is float32 and joined to the product,
 * activations are bf16, float32 or int8. A product is timed twice: "cold" takes another copy of the
 * weight each call, more of them than the last-level cache holds, as a pass over the layers of a
 * model does; "warm" keeps one. Built and run by hand, see README.md. */
#define _GNU_SOURCE
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "oneapi/dnnl/dnnl.h"

#define COLD_BYTES ((size_t)160 << 20)
#define MAX_COPIES 96
#define MAX_SAMPLES 64

static dnnl_engine_t engine;
static dnnl_stream_t stream;

static void must(dnnl_status_t status, const char *what) {
    if (status == dnnl_success) return;
    fprintf(stderr, "onednn_products: %s: status %d\n", what, (int)status);
    exit(1);
}
#define MUST(call) must(call, #call)

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

/* ---- buffers ---- */

/* Small numbers in any type: bytes of a pattern that is a normal bf16, float and int8. */
static void fill(dnnl_memory_t memory, size_t bytes, dnnl_data_type_t type) {
    void *data = NULL;
    MUST(dnnl_memory_map_data(memory, &data));
    uint32_t state = 12345;
    for (size_t i = 0; data && i < bytes / 2; ++i) {
        state = state * 1664525u + 1013904223u;
        uint16_t bf16 = (uint16_t)(0x3c00u | ((state >> 16) & 0x81ffu));
        if (type == dnnl_s8 || type == dnnl_u8)
            ((uint16_t *)data)[i] = (uint16_t)((state >> 16) & 0x3f3fu);
        else if (type == dnnl_f32)
            ((uint16_t *)data)[i] = i & 1 ? bf16 : 0;
        else
            ((uint16_t *)data)[i] = bf16;
    }
    MUST(dnnl_memory_unmap_data(memory, data));
}

static dnnl_memory_t make_memory(const_dnnl_memory_desc_t desc, dnnl_data_type_t type) {
    dnnl_memory_t memory = NULL;
    MUST(dnnl_memory_create(&memory, desc, engine, DNNL_MEMORY_ALLOCATE));
    fill(memory, dnnl_memory_desc_get_size(desc), type);
    return memory;
}

static dnnl_memory_t packed_copy(const_dnnl_memory_desc_t want, const_dnnl_memory_desc_t plain,
                                 dnnl_memory_t from) {
    dnnl_primitive_desc_t desc = NULL;
    dnnl_primitive_t reorder = NULL;
    dnnl_memory_t memory = NULL;
    MUST(dnnl_memory_create(&memory, want, engine, DNNL_MEMORY_ALLOCATE));
    MUST(dnnl_reorder_primitive_desc_create(&desc, plain, engine, want, engine, NULL));
    MUST(dnnl_primitive_create(&reorder, desc));
    dnnl_exec_arg_t args[] = {{DNNL_ARG_FROM, from}, {DNNL_ARG_TO, memory}};
    MUST(dnnl_primitive_execute(reorder, stream, 2, args));
    MUST(dnnl_stream_wait(stream));
    dnnl_primitive_destroy(reorder);
    dnnl_primitive_desc_destroy(desc);
    return memory;
}

/* ---- timing ---- */

typedef struct timed {
    dnnl_primitive_t primitive;
    dnnl_exec_arg_t args[8];
    int arg_count;
    int weight_arg; /* its place in args */
    dnnl_memory_t copies[MAX_COPIES];
    int copy_count;
} timed;

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Seconds of one call, median and least over samples of `calls` calls each. */
static void time_calls(timed *t, bool cold, double seconds, double *median, double *least) {
    double samples[MAX_SAMPLES];
    int count = 0, turn = 0, calls = cold ? t->copy_count : 1;
    double start = now(), stop = start + seconds, begun = start;
    for (int warm = 0; warm < 2; ++warm) { /* settles the clock, and tells how long a call takes */
        begun = now();
        MUST(dnnl_primitive_execute(t->primitive, stream, t->arg_count, t->args));
        MUST(dnnl_stream_wait(stream));
    }
    double one = now() - begun;
    if (!cold && one < 1e-3) calls = (int)(2e-3 / one) + 1;
    stop += 2 * one * calls;
    while (count < MAX_SAMPLES && (count < 3 || now() < stop)) {
        start = now();
        for (int i = 0; i < calls; ++i) {
            if (cold) t->args[t->weight_arg].memory = t->copies[turn++ % t->copy_count];
            MUST(dnnl_primitive_execute(t->primitive, stream, t->arg_count, t->args));
            MUST(dnnl_stream_wait(stream));
        }
        samples[count++] = (now() - start) / calls;
    }
    qsort(samples, (size_t)count, sizeof *samples, ascending);
    *median = 0.5 * (samples[(count - 1) / 2] + samples[count / 2]);
    *least = samples[0];
}

static const char *type_name(dnnl_data_type_t type) {
    return type == dnnl_bf16 ? "bf16" : type == dnnl_f32 ? "f32" : "int8";
}

static void print_line(const char *kind, const char *shape, dnnl_data_type_t type, const char *heat,
                       double ops, double median, double least, const char *impl) {
    const dnnl_version_t *v = dnnl_version();
    printf("%s,%s,%s,%s,%.1f,%.1f,%.1f,%.1f,oneDNN %d.%d.%d,%s\n", kind, shape, type_name(type),
           heat, 1e6 * median, 1e6 * least, 1e-9 * ops / median, 1e-9 * ops / least, v->major,
           v->minor, v->patch, impl);
    fflush(stdout);
}

static const char *implementation(const_dnnl_primitive_desc_t desc) {
    const char *name = "";
    MUST(dnnl_primitive_desc_query(desc, dnnl_query_impl_info_str, 0, &name));
    return name;
}

static dnnl_memory_desc_t describe(int count, const dnnl_dims_t dims, dnnl_data_type_t type,
                                   dnnl_format_tag_t tag) {
    dnnl_memory_desc_t desc = NULL;
    MUST(dnnl_memory_desc_create_with_tag(&desc, count, dims, type, tag));
    return desc;
}

static void make_copies(timed *t, const_dnnl_memory_desc_t want, const_dnnl_memory_desc_t plain,
                        dnnl_memory_t from, bool cold) {
    size_t bytes = dnnl_memory_desc_get_size(want);
    size_t count = cold ? COLD_BYTES / bytes + 1 : 1;
    t->copy_count = (int)(count > MAX_COPIES ? MAX_COPIES : count);
    for (int i = 0; i < t->copy_count; ++i) t->copies[i] = packed_copy(want, plain, from);
}

/* ---- products: (m, k) (n, k)' + bias -> (m, n) ---- */

static void time_product(int64_t m, int64_t n, int64_t k, dnnl_data_type_t type,
                         dnnl_data_type_t out, double seconds) {
    dnnl_data_type_t in = type;
    dnnl_memory_desc_t src = describe(2, (dnnl_dims_t){m, k}, in, dnnl_ab);
    dnnl_memory_desc_t any = describe(2, (dnnl_dims_t){k, n}, type, dnnl_format_tag_any);
    dnnl_memory_desc_t plain = describe(2, (dnnl_dims_t){k, n}, type, dnnl_ba);
    dnnl_memory_desc_t bias = describe(2, (dnnl_dims_t){1, n}, dnnl_f32, dnnl_ab);
    dnnl_memory_desc_t dst = describe(2, (dnnl_dims_t){m, n}, out, dnnl_ab);
    dnnl_memory_desc_t one = describe(1, (dnnl_dims_t){1}, dnnl_f32, dnnl_a);
    dnnl_memory_desc_t many = describe(1, (dnnl_dims_t){n}, dnnl_f32, dnnl_a);
    dnnl_primitive_attr_t attr = NULL;
    MUST(dnnl_primitive_attr_create(&attr));
    if (type == dnnl_s8) {
        MUST(dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_SRC, 0));
        MUST(dnnl_primitive_attr_set_scales_mask(attr, DNNL_ARG_WEIGHTS, 2));
    }
    dnnl_primitive_desc_t desc = NULL;
    MUST(dnnl_matmul_primitive_desc_create(&desc, engine, src, any, bias, dst, attr));
    timed t = {.arg_count = 4, .weight_arg = 1};
    MUST(dnnl_primitive_create(&t.primitive, desc));
    const_dnnl_memory_desc_t want = dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0);
    dnnl_memory_t from = make_memory(plain, type);
    make_copies(&t, want, plain, from, true);
    t.args[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, make_memory(src, in)};
    t.args[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, t.copies[0]};
    t.args[2] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, make_memory(bias, dnnl_f32)};
    t.args[3] = (dnnl_exec_arg_t){DNNL_ARG_DST, make_memory(dst, out)};
    if (type == dnnl_s8) {
        t.args[4] =
            (dnnl_exec_arg_t){DNNL_ARG_ATTR_SCALES | DNNL_ARG_SRC, make_memory(one, dnnl_f32)};
        t.args[5] =
            (dnnl_exec_arg_t){DNNL_ARG_ATTR_SCALES | DNNL_ARG_WEIGHTS, make_memory(many, dnnl_f32)};
        t.arg_count = 6;
    }
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d", (int)m, (int)n, (int)k);
    for (int cold = 1; cold >= 0; --cold) {
        double median, least;
        time_calls(&t, cold, seconds, &median, &least);
        print_line(out == dnnl_f32 && type == dnnl_bf16 ? "product_to_f32" : "product", shape, type,
                   cold ? "cold" : "warm", 2.0 * (double)(m * n * k), median, least,
                   implementation(desc));
    }
    for (int i = 0; i < t.copy_count; ++i) dnnl_memory_destroy(t.copies[i]);
    for (int i = 0; i < t.arg_count; ++i)
        if (i != t.weight_arg) dnnl_memory_destroy(t.args[i].memory);
    dnnl_memory_destroy(from);
    dnnl_primitive_destroy(t.primitive);
    dnnl_primitive_desc_destroy(desc);
    dnnl_primitive_attr_destroy(attr);
    dnnl_memory_desc_t descs[] = {src, any, plain, bias, dst, one, many};
    for (size_t i = 0; i < sizeof descs / sizeof *descs; ++i) dnnl_memory_desc_destroy(descs[i]);
}

/* ---- 3x3 convolutions, NHWC, stride 1, padding 1 ---- */

static void time_convolution(int64_t side, int64_t in, int64_t out, dnnl_data_type_t type,
                             double seconds) {
    dnnl_memory_desc_t src = describe(4, (dnnl_dims_t){1, in, side, side}, type, dnnl_nhwc);
    dnnl_memory_desc_t any = describe(4, (dnnl_dims_t){out, in, 3, 3}, type, dnnl_format_tag_any);
    dnnl_memory_desc_t plain = describe(4, (dnnl_dims_t){out, in, 3, 3}, type, dnnl_oihw);
    dnnl_memory_desc_t bias = describe(1, (dnnl_dims_t){out}, dnnl_f32, dnnl_a);
    dnnl_memory_desc_t dst = describe(4, (dnnl_dims_t){1, out, side, side}, type, dnnl_nhwc);
    dnnl_primitive_desc_t desc = NULL;
    MUST(dnnl_convolution_forward_primitive_desc_create(
        &desc, engine, dnnl_forward_inference, dnnl_convolution_direct, src, any, bias, dst,
        (dnnl_dims_t){1, 1}, (dnnl_dims_t){0, 0}, (dnnl_dims_t){1, 1}, (dnnl_dims_t){1, 1}, NULL));
    timed t = {.arg_count = 4, .weight_arg = 1};
    MUST(dnnl_primitive_create(&t.primitive, desc));
    dnnl_memory_t from = make_memory(plain, type);
    make_copies(&t, dnnl_primitive_desc_query_md(desc, dnnl_query_weights_md, 0), plain, from,
                false);
    t.args[0] = (dnnl_exec_arg_t){DNNL_ARG_SRC, make_memory(src, type)};
    t.args[1] = (dnnl_exec_arg_t){DNNL_ARG_WEIGHTS, t.copies[0]};
    t.args[2] = (dnnl_exec_arg_t){DNNL_ARG_BIAS, make_memory(bias, dnnl_f32)};
    t.args[3] = (dnnl_exec_arg_t){DNNL_ARG_DST, make_memory(dst, type)};
    char shape[64];
    snprintf(shape, sizeof shape, "%dx%dx%d->%d", (int)side, (int)side, (int)in, (int)out);
    double median, least;
    time_calls(&t, false, seconds, &median, &least);
    print_line("convolution3x3", shape, type, "warm", 18.0 * (double)(side * side * in * out),
               median, least, implementation(desc));
    for (int i = 0; i < 4; ++i) dnnl_memory_destroy(t.args[i].memory);
    dnnl_memory_destroy(from);
    dnnl_primitive_destroy(t.primitive);
    dnnl_primitive_desc_destroy(desc);
    dnnl_memory_desc_t descs[] = {src, any, plain, bias, dst};
    for (size_t i = 0; i < sizeof descs / sizeof *descs; ++i) dnnl_memory_desc_destroy(descs[i]);
}

/* ---- the shapes ---- */

static const int rows[] = {2, 8, 18, 32, 50, 72, 128, 200, 338, 512};
static const int weights[][2] = {{3072, 1024}, {1024, 1024}, {4096, 1024}, {1024, 4096},
                                 {5760, 1920}, {1920, 1920}, {7680, 1920}, {1920, 7680}};
static const int convolutions[][3] = {{256, 160, 160}, {128, 160, 160}, {256, 160, 3},
                                      {128, 320, 160}, {64, 320, 320},  {32, 320, 320},
                                      {32, 640, 320},  {16, 640, 640}};

int main(int argc, char **argv) {
    /* [seconds for each figure] [types, such as bf16,int8,f32] */
    double seconds = argc > 1 ? atof(argv[1]) : 0.1;
    const char *types = argc > 2 ? argv[2] : "bf16";
    MUST(dnnl_engine_create(&engine, dnnl_cpu, 0));
    MUST(dnnl_stream_create(&stream, engine, dnnl_stream_default_flags));
    printf("kind,shape,type,weights,median_us,least_us,median_gops,best_gops,library,kernel\n");
    static const dnnl_data_type_t known[] = {dnnl_bf16, dnnl_s8, dnnl_f32};
    for (size_t i = 0; i < sizeof known / sizeof *known; ++i) {
        dnnl_data_type_t type = known[i];
        if (!strstr(types, type_name(type))) continue;
        for (size_t w = 0; w < sizeof weights / sizeof *weights; ++w)
            for (size_t r = 0; r < sizeof rows / sizeof *rows; ++r)
                time_product(rows[r], weights[w][0], weights[w][1], type,
                             type == dnnl_s8 ? dnnl_f32 : type, seconds);
        if (type == dnnl_s8) continue;
        for (size_t c = 0; c < sizeof convolutions / sizeof *convolutions; ++c)
            time_convolution(convolutions[c][0], convolutions[c][1], convolutions[c][2], type,
                             seconds);
    }
    dnnl_stream_destroy(stream);
    dnnl_engine_destroy(engine);
    return 0;
}

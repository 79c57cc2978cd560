/* Products with bf16 and int8 weights of the cpu backend against the ones of ref: every epilogue,
 * type of x and of y, odd sizes, extremes, poisoned results with canaries around them; and bit by bit
 * against themselves with other rows, groups and numbers of threads beside. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kern/kern.h"
#include "kern/number.h"
#define RANDOM_SEED 0x9e3779b97f4a7c15u
#include "random.h"

static vt_kern *ref, *cpu, *one; /* cpu: three threads, one: a single one */

static float *random_floats(size_t n) {
    float *out = malloc((n + 1) * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < n; ++i) out[i] = random_float();
    return out;
}

/* ---- buffers with a canary on each side ---- */

enum { CANARY = 64 };

static void *guarded(size_t bytes, int fill) {
    char *room = malloc(bytes + 2 * CANARY);
    assert_non_null(room);
    memset(room, 0x5a, bytes + 2 * CANARY);
    memset(room + CANARY, fill, bytes);
    return room + CANARY;
}

static void guarded_free(void *buffer, size_t bytes) {
    if (!buffer) return;
    char *room = (char *)buffer - CANARY;
    for (int i = 0; i < CANARY; ++i) {
        assert_int_equal(room[i], 0x5a);
        assert_int_equal(room[CANARY + bytes + (size_t)i], 0x5a);
    }
    free(room);
}

/* ---- one product on one backend ---- */

typedef struct shape {
    vt_number weight, x_type, y_type, kv_type;
    vt_epilogue epilogue;
    int groups, rows, n, k, taps;
    int heads, head_dim; /* QKV: n = 3 heads head_dim */
    bool bias, unit;
    bool by_rows; /* the weight comes from a function */
} shape;

typedef struct operands {
    float *w, *x, *bias, *gamma, *y, *q_bias, *v_bias, *scale_mul;
    uint16_t *half; /* x as bf16 */
} operands;

/* What a product leaves behind. */
typedef struct outcome {
    void *y, *q, *k, *v, *k_scale, *v_scale;
    size_t y_bytes, q_bytes, kv_bytes, scale_bytes;
} outcome;

static void operands_open(operands *o, const shape *s) {
    size_t rows = (size_t)s->groups * (size_t)s->rows, n = (size_t)s->n, k = (size_t)s->k;
    *o = (operands){.w = random_floats(n * k),
                    .x = random_floats(rows * k),
                    .bias = random_floats(n),
                    .gamma = random_floats((size_t)s->groups * (n + 3)),
                    .y = random_floats(rows * n),
                    .q_bias = random_floats(n),
                    .v_bias = random_floats(n),
                    .scale_mul = random_floats((size_t)s->heads),
                    .half = malloc((rows * k + 1) * sizeof(uint16_t))};
    for (int h = 0; h < s->heads; ++h) o->scale_mul[h] = 3.0f + 3.0f * o->scale_mul[h];
    for (size_t i = 0; i < rows * k; ++i) o->half[i] = vt_to_bf16(o->x[i]);
}

static void operands_close(operands *o) {
    free(o->w);
    free(o->x);
    free(o->bias);
    free(o->gamma);
    free(o->y);
    free(o->q_bias);
    free(o->v_bias);
    free(o->scale_mul);
    free(o->half);
}

typedef struct source {
    const float *w;
    size_t k;
} source;

static void source_rows(const void *user, int first, int count, float *out) {
    const source *s = user;
    memcpy(out, s->w + (size_t)first * s->k, (size_t)count * s->k * sizeof *out);
}

static vt_weight *weight_of(vt_kern *kern, const shape *s, const operands *o) {
    const source from = {.w = o->w, .k = (size_t)s->k};
    const vt_weight_spec spec = {.type = s->weight,
                                 .n = s->n,
                                 .k = s->k,
                                 .taps = s->taps,
                                 .values = s->by_rows ? NULL : o->w,
                                 .rows = s->by_rows ? source_rows : NULL,
                                 .user = &from};
    vt_weight *w = NULL;
    variant_error err;
    assert_int_equal(kern->weight_open(kern, &w, &spec, &err), VARIANT_OK);
    assert_int_equal(kern->weight_type(w), s->weight);
    return w;
}

static const size_t kv_gap = 5, gamma_gap = 3;

static size_t size_of(vt_number type) {
    return type == VT_NUMBER_F32 ? 4 : type == VT_NUMBER_BF16 ? 2 : 1;
}

static void outcome_open(outcome *out, const shape *s, const operands *o) {
    size_t rows = (size_t)s->groups * (size_t)s->rows, n = (size_t)s->n;
    memset(out, 0, sizeof *out);
    if (s->epilogue == VT_EPILOGUE_QKV) {
        size_t width = n / 3;
        out->q_bytes = rows * width * sizeof(float);
        out->kv_bytes = rows * (width + kv_gap) * size_of(s->kv_type);
        out->scale_bytes = (rows + (size_t)s->groups) * (size_t)s->heads * sizeof(float);
        out->q = guarded(out->q_bytes, 0xff);
        out->k = guarded(out->kv_bytes, 0xff);
        out->v = guarded(out->kv_bytes, 0xff);
        out->k_scale = guarded(out->scale_bytes, 0xff);
        out->v_scale = guarded(out->scale_bytes, 0xff);
        return;
    }
    out->y_bytes = rows * n * size_of(s->y_type);
    out->y = guarded(out->y_bytes, 0xff);
    if (s->epilogue == VT_EPILOGUE_GATE_ADD) memcpy(out->y, o->y, out->y_bytes);
}

static void outcome_close(outcome *out) {
    guarded_free(out->y, out->y_bytes);
    guarded_free(out->q, out->q_bytes);
    guarded_free(out->k, out->kv_bytes);
    guarded_free(out->v, out->kv_bytes);
    guarded_free(out->k_scale, out->scale_bytes);
    guarded_free(out->v_scale, out->scale_bytes);
}

/* Rows [row, row + s->rows) of every group g counted from `group`, of operands made for more. */
static void run(vt_kern *kern, const shape *s, const operands *o, const vt_weight *w, size_t group,
                size_t first_row, outcome *out) {
    size_t n = (size_t)s->n, k = (size_t)s->k, width = n / 3;
    vt_qkv qkv = {.q_bias = o->q_bias,
                  .v_bias = o->v_bias,
                  .scale_mul = s->unit ? o->scale_mul : NULL,
                  .q = out->q,
                  .k = out->k,
                  .v = out->v,
                  .kv_type = s->kv_type,
                  .kv_stride = width + kv_gap,
                  .kv_group_stride = (size_t)s->rows * (width + kv_gap),
                  .k_scale = out->k_scale,
                  .v_scale = out->v_scale,
                  .scale_group_stride = ((size_t)s->rows + 1) * (size_t)s->heads,
                  .groups = s->groups,
                  .rows = s->rows,
                  .heads = s->heads,
                  .head_dim = s->head_dim};
    vt_product p = {.x = s->x_type == VT_NUMBER_BF16 ? (const void *)(o->half + first_row * k)
                                                     : (const void *)(o->x + first_row * k),
                    .x_type = s->x_type,
                    .w = w,
                    .bias = s->bias ? o->bias : NULL,
                    .y = out->y,
                    .y_type = s->y_type,
                    .groups = s->groups,
                    .rows = s->rows,
                    .epilogue = s->epilogue,
                    .gamma = o->gamma + group * (n + gamma_gap),
                    .gamma_stride = n + gamma_gap,
                    .qkv = s->epilogue == VT_EPILOGUE_QKV ? &qkv : NULL};
    size_t bytes = kern->product_workspace(kern, &p);
    p.workspace = guarded(bytes, 0xff);
    kern->product(kern, &p);
    guarded_free(p.workspace, bytes);
}

/* ---- comparisons ---- */

static const char *describe(const shape *s) {
    static char text[256];
    snprintf(text, sizeof text,
             "%s weight, x %s, y %s, kv %s, epilogue %d, %d x %d rows, n %d, k %d"
             ", taps %d, %d heads of %d%s%s",
             vt_number_name(s->weight), vt_number_name(s->x_type), vt_number_name(s->y_type),
             vt_number_name(s->kv_type), s->epilogue, s->groups, s->rows, s->n, s->k, s->taps,
             s->heads, s->head_dim, s->bias ? ", bias" : "", s->unit ? ", unit" : "");
    return text;
}

static double number_of(const void *numbers, vt_number type, size_t i) {
    if (type == VT_NUMBER_F32) return ((const float *)numbers)[i];
    if (type == VT_NUMBER_BF16) return vt_from_bf16(((const uint16_t *)numbers)[i]);
    return ((const int8_t *)numbers)[i];
}

/* `near`: what float32 sums may differ by. */
static void compare(const shape *s, const char *what, vt_number type, const void *got,
                    const void *want, size_t bytes, double near) {
    for (size_t i = 0; i < bytes / size_of(type); ++i) {
        double a = number_of(got, type, i), b = number_of(want, type, i), allowed = near;
        if (type == VT_NUMBER_BF16) allowed += fabs(b) / 128.0;
        if (type == VT_NUMBER_F32) allowed += fabs(b) * 1e-5;
        if (type == VT_NUMBER_INT8) allowed = 1.0;
        if (isnan(a) && isnan(b)) continue;
        if (isinf(b) && a == b) continue;
        if (!(fabs(a - b) <= allowed))
            fail_msg("%s: %s[%zu] is %g, expected %g (within %g)", describe(s), what, i, a, b,
                     allowed);
    }
}

static void compare_all(const shape *s, const outcome *got, const outcome *want, double near) {
    if (got->y) compare(s, "y", s->y_type, got->y, want->y, got->y_bytes, near);
    if (!got->q) return;
    double head = s->unit ? 1e-4 : near;
    compare(s, "q", VT_NUMBER_F32, got->q, want->q, got->q_bytes, s->unit ? 1e-2 : near);
    compare(s, "k", s->kv_type, got->k, want->k, got->kv_bytes, head);
    compare(s, "v", s->kv_type, got->v, want->v, got->kv_bytes, near);
    compare(s, "k_scale", VT_NUMBER_F32, got->k_scale, want->k_scale, got->scale_bytes, head);
    compare(s, "v_scale", VT_NUMBER_F32, got->v_scale, want->v_scale, got->scale_bytes, near);
}

static void check(const shape *s) {
    operands o;
    outcome got, want;
    operands_open(&o, s);
    outcome_open(&got, s, &o);
    outcome_open(&want, s, &o);
    vt_weight *a = weight_of(cpu, s, &o), *b = weight_of(ref, s, &o);
    run(cpu, s, &o, a, 0, 0, &got);
    run(ref, s, &o, b, 0, 0, &want);
    compare_all(s, &got, &want, 4e-6 * sqrt(s->k) + 1e-6);
    cpu->weight_close(cpu, &a);
    ref->weight_close(ref, &b);
    assert_null(a);
    outcome_close(&got);
    outcome_close(&want);
    operands_close(&o);
}

static const int all_rows[] = {1, 2, 3, 7, 12, 13, 31, 33, 100};
static const int all_n[] = {1, 5, 17, 63, 64, 65, 130}, all_k[] = {1, 7, 31, 32, 33, 100, 160};
#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

static void test_sizes(void **unused) {
    (void)unused;
    int turn = 0;
    for (int r = 0; r < COUNT(all_rows); ++r)
        for (int n = 0; n < COUNT(all_n); ++n)
            for (int k = 0; k < COUNT(all_k); ++k)
                for (int epilogue = 0; epilogue < VT_EPILOGUE_QKV; ++epilogue, ++turn) {
                    shape s = {.weight = turn / 3 % 2 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                               .x_type = random_bits() % 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                               .y_type = random_bits() % 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                               .epilogue = (vt_epilogue)epilogue,
                               .groups = all_rows[r] % 3 == 0 ? 3 : 1,
                               .n = all_n[n],
                               .k = all_k[k],
                               .bias = random_bits() % 2,
                               .by_rows = random_bits() % 2};
                    s.rows = all_rows[r] / s.groups;
                    if (s.k % 4 == 0 && random_bits() % 4 == 0 && s.weight == VT_NUMBER_BF16)
                        s.taps = 4;
                    if (epilogue == VT_EPILOGUE_GATE_ADD) s.y_type = VT_NUMBER_F32;
                    check(&s);
                }
}

static void test_types(void **unused) {
    (void)unused;
    for (int i = 0; i < 2 * 2 * 2 * 3 * 12; ++i) {
        shape s = {.weight = i & 1 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                   .x_type = i & 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .y_type = i & 4 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .epilogue = (vt_epilogue)(i / 8 % 3),
                   .groups = random_int(1, 4),
                   .rows = random_int(1, 40),
                   .n = random_int(1, 200),
                   .k = random_int(1, 300),
                   .bias = random_bits() % 2};
        if (s.epilogue == VT_EPILOGUE_GATE_ADD) s.y_type = VT_NUMBER_F32;
        check(&s);
    }
}

/* Rows whose length would make them share cache sets, columns beyond a block's size, many tasks. */
static void test_large(void **unused) {
    (void)unused;
    static const int sizes[][3] = {
        {9, 70, 1024}, {50, 33, 2048}, {2, 100, 7680}, {200, 20, 64}, {26, 40, 6500}};
    for (int i = 0; i < COUNT(sizes); ++i)
        for (int j = 0; j < 4; ++j) {
            shape s = {.weight = j & 1 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                       .x_type = j & 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                       .groups = 1,
                       .rows = sizes[i][0],
                       .n = sizes[i][1],
                       .k = sizes[i][2],
                       .bias = true};
            check(&s);
        }
}

/* More rows than a tile has, at every edge of the cuts that AMX makes: rows, columns and depth beside whole ones, taps, depth
 * that is multiplied a stretch at a time. */
static void test_many_rows(void **unused) {
    (void)unused;
    static const int rows[] = {17, 31, 32, 33, 48, 49, 64, 72, 129, 161};
    static const int n[] = {1, 16, 17, 48, 64, 65, 130, 192, 257, 300};
    static const int k[] = {1, 32, 100, 257, 1024, 2048, 2049, 2080, 3100};
    for (int i = 0; i < 72; ++i) {
        shape s = {.weight = VT_NUMBER_BF16,
                   .x_type = i & 1 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .y_type = i & 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .epilogue = (vt_epilogue)(i / 4 % 3),
                   .groups = i % 5 == 0 ? 3 : 1,
                   .n = n[random_int(0, COUNT(n) - 1)],
                   .k = k[i % COUNT(k)],
                   .bias = random_bits() % 2};
        s.rows = rows[random_int(0, s.k > 2048 ? COUNT(rows) - 1 : 7)] / s.groups;
        if (s.k > 1024) s.n = s.n / 2 + 1; /* the twin is slow */
        if (s.k % 4 == 0 && i % 3 == 0) s.taps = 4;
        if (s.epilogue == VT_EPILOGUE_GATE_ADD) s.y_type = VT_NUMBER_F32;
        check(&s);
    }
    static const int deep_rows[] = {129, 160, 300};
    for (int i = 0; i < 9; ++i) { /* depth is cut */
        shape s = {.weight = VT_NUMBER_BF16,
                   .epilogue = (vt_epilogue)(i / 3),
                   .groups = 1,
                   .rows = deep_rows[i % 3],
                   .n = random_int(1, 90),
                   .k = random_int(2049, 2500)};
        check(&s);
    }
}

/* A row has the bits that it has in a product of any other number of rows, on any number of threads, depth cut or not. */
static void test_row_counts(void **unused) {
    (void)unused;
    enum { MOST = 600, THREADS = 5 };
    static const int threads[THREADS] = {1, 2, 3, 5, 8};
    static const int deep[] = {96, 2112};
    vt_kern *kerns[THREADS];
    for (int t = 0; t < THREADS; ++t)
        assert_int_equal(vt_kern_open(&kerns[t], "cpu", threads[t], NULL), VARIANT_OK);
    for (int i = 0; i < COUNT(deep); ++i) {
        shape s = {.weight = VT_NUMBER_BF16,
                   .x_type = i ? VT_NUMBER_F32 : VT_NUMBER_BF16,
                   .epilogue = i ? VT_EPILOGUE_STORE : VT_EPILOGUE_GELU,
                   .groups = 1,
                   .rows = MOST,
                   .n = i ? 18 : 150,
                   .k = deep[i],
                   .bias = true};
        operands o;
        outcome all, some;
        operands_open(&o, &s);
        outcome_open(&all, &s, &o);
        vt_weight *w = weight_of(kerns[0], &s, &o);
        run(kerns[0], &s, &o, w, 0, 0, &all);
        for (int rows = 1, t = 0; rows <= MOST; rows += 1 + rows / 20, ++t) {
            s.rows = rows;
            outcome_open(&some, &s, &o);
            run(kerns[t % THREADS], &s, &o, w, 0, 0, &some);
            assert_memory_equal(some.y, all.y, some.y_bytes);
            outcome_close(&some);
        }
        kerns[0]->weight_close(kerns[0], &w);
        outcome_close(&all);
        operands_close(&o);
    }
    for (int t = 0; t < THREADS; ++t) vt_kern_close(&kerns[t]);
}

/* x as product_input likes it, written by a norm and by an earlier product, gives the bytes that bf16 rows give. Where it
 * likes rows of bf16 that is all there is to see. */
static void test_laid(void **unused) {
    (void)unused;
    for (int i = 0; i < 40; ++i) {
        const int rows = i < 4 ? 16 : random_int(17, 100), k = random_int(1, 150);
        const int between = random_int(1, 200), n = random_int(1, 100);
        const size_t r = (size_t)rows;
        shape first = {.weight = VT_NUMBER_BF16, .groups = 1, .rows = rows, .n = between, .k = k};
        shape second = {.weight = VT_NUMBER_BF16, .groups = 1, .rows = rows, .n = n, .k = between};
        operands o, p;
        operands_open(&o, &first);
        operands_open(&p, &second);
        vt_weight *a = weight_of(cpu, &first, &o), *b = weight_of(cpu, &second, &p);
        const vt_product_input in = cpu->product_input(cpu, a, rows),
                               mid = cpu->product_input(cpu, b, rows);
        assert_true(mid.type == VT_NUMBER_LAID ? rows > 16 : mid.type == VT_NUMBER_BF16);
        assert_true(in.bytes >= r * (size_t)k * 2 && mid.bytes >= r * (size_t)between * 2);
        float *y[2];
        for (int laid = 0; laid < 2; ++laid) {
            const size_t in_bytes = laid ? in.bytes : r * (size_t)k * 2;
            const size_t mid_bytes = laid ? mid.bytes : r * (size_t)between * 2;
            const size_t y_bytes = r * (size_t)n * sizeof(float);
            void *x = aligned_alloc(64, (in_bytes + 127) / 64 * 64);
            void *act = aligned_alloc(64, (mid_bytes + 127) / 64 * 64);
            memset(x, 0xff, in_bytes);
            memset(act, 0xff, mid_bytes);
            y[laid] = guarded(y_bytes, 0xff);
            cpu->norm_modulate(cpu, &(vt_norm_modulate){.x = o.x,
                                                        .scale = o.w,
                                                        .shift = o.w,
                                                        .y = x,
                                                        .y_type = laid ? in.type : VT_NUMBER_BF16,
                                                        .groups = 1,
                                                        .rows = rows,
                                                        .width = k,
                                                        .eps = 1e-6f});
            vt_product products[2] = {{.x = x,
                                       .x_type = laid ? in.type : VT_NUMBER_BF16,
                                       .w = a,
                                       .bias = o.bias,
                                       .y = act,
                                       .y_type = laid ? mid.type : VT_NUMBER_BF16,
                                       .epilogue = i % 2 ? VT_EPILOGUE_GELU : VT_EPILOGUE_STORE},
                                      {.x = act,
                                       .x_type = laid ? mid.type : VT_NUMBER_BF16,
                                       .w = b,
                                       .y = y[laid],
                                       .y_type = VT_NUMBER_F32}};
            for (int j = 0; j < 2; ++j) {
                products[j].groups = 1;
                products[j].rows = rows;
                const size_t bytes = cpu->product_workspace(cpu, &products[j]);
                products[j].workspace = guarded(bytes, 0xff);
                cpu->product(cpu, &products[j]);
                guarded_free(products[j].workspace, bytes);
            }
            free(x);
            free(act);
        }
        assert_memory_equal(y[0], y[1], r * (size_t)n * sizeof(float));
        guarded_free(y[0], r * (size_t)n * sizeof(float));
        guarded_free(y[1], r * (size_t)n * sizeof(float));
        cpu->weight_close(cpu, &a);
        cpu->weight_close(cpu, &b);
        operands_close(&o);
        operands_close(&p);
    }
}

static void test_qkv(void **unused) {
    (void)unused;
    static const int dims[] = {16, 32, 64, 8, 20, 128};
    for (int i = 0; i < COUNT(dims) * 3 * 2 * 2 * 4; ++i) {
        shape s = {.weight = i % 2 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                   .x_type = random_bits() % 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .kv_type = (vt_number)(i / 2 % 3),
                   .unit = i / 6 % 2,
                   .epilogue = VT_EPILOGUE_QKV,
                   .head_dim = dims[i / 12 % COUNT(dims)],
                   .heads = random_int(1, 5),
                   .groups = random_int(1, 4),
                   .rows = random_int(1, 30),
                   .k = random_int(1, 200)};
        if (i % 7 == 0) s.rows = random_int(31, 70);
        s.n = 3 * s.heads * s.head_dim;
        check(&s);
    }
    /* heads stay whole where blocks are cut small */
    shape wide = {.weight = VT_NUMBER_BF16,
                  .epilogue = VT_EPILOGUE_QKV,
                  .head_dim = 64,
                  .heads = 2,
                  .groups = 1,
                  .rows = 2,
                  .k = 7000,
                  .n = 384,
                  .unit = true};
    check(&wide);
}

static void test_empty(void **unused) {
    (void)unused;
    for (int i = 0; i < 8; ++i) {
        shape s = {.weight = i & 1 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                   .epilogue = (vt_epilogue)(i / 2),
                   .groups = 2,
                   .n = 48,
                   .k = 33,
                   .heads = 1,
                   .head_dim = 16};
        check(&s);
    }
}

/* One group's row r alone gives the bits that it has among others, on any number of threads. */
static void test_bits(void **unused) {
    (void)unused;
    for (int i = 0; i < 60; ++i) {
        shape s = {.weight = i & 1 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                   .x_type = i & 2 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .y_type = i & 4 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .kv_type = VT_NUMBER_BF16,
                   .epilogue = (vt_epilogue)(i % 4),
                   .groups = random_int(1, 3),
                   .rows = random_int(1, 60),
                   .heads = random_int(1, 4),
                   .head_dim = 32,
                   .k = i % 5 == 0 ? 1024 : random_int(1, 200),
                   .n = random_int(1, 200),
                   .bias = i % 4 != VT_EPILOGUE_QKV,
                   .unit = true};
        if (s.epilogue == VT_EPILOGUE_GATE_ADD) s.y_type = VT_NUMBER_F32;
        if (s.epilogue == VT_EPILOGUE_QKV) s.n = 3 * s.heads * s.head_dim;
        operands o;
        outcome all, again, alone;
        operands_open(&o, &s);
        outcome_open(&all, &s, &o);
        outcome_open(&again, &s, &o);
        vt_weight *w = weight_of(cpu, &s, &o), *v = weight_of(one, &s, &o);
        run(cpu, &s, &o, w, 0, 0, &all);
        run(one, &s, &o, v, 0, 0, &again);
        if (all.y) assert_memory_equal(all.y, again.y, all.y_bytes);
        if (all.q) assert_memory_equal(all.q, again.q, all.q_bytes);
        if (all.k) assert_memory_equal(all.k, again.k, all.kv_bytes);
        if (all.v) assert_memory_equal(all.v, again.v, all.kv_bytes);
        shape single = s;
        single.groups = single.rows = 1;
        for (int g = 0; g < s.groups; ++g)
            for (int r = 0; r < s.rows; r += 1 + s.rows / 5) {
                size_t row = (size_t)g * (size_t)s.rows + (size_t)r, width = (size_t)s.n / 3;
                operands at = o;
                at.y = o.y + row * (size_t)s.n;
                outcome_open(&alone, &single, &at);
                run(cpu, &single, &o, w, (size_t)g, row, &alone);
                if (alone.y)
                    assert_memory_equal(alone.y, (char *)all.y + row * alone.y_bytes,
                                        alone.y_bytes);
                if (alone.q) {
                    assert_memory_equal(alone.q, (char *)all.q + row * alone.q_bytes,
                                        alone.q_bytes);
                    assert_memory_equal(alone.k, (char *)all.k + row * alone.kv_bytes, width * 2);
                    assert_memory_equal(alone.v, (char *)all.v + row * alone.kv_bytes, width * 2);
                }
                outcome_close(&alone);
            }
        cpu->weight_close(cpu, &w);
        one->weight_close(one, &v);
        outcome_close(&all);
        outcome_close(&again);
        operands_close(&o);
    }
}

/* Large and small numbers, rows of zeros, and a NaN that stays in its row. */
static void test_extremes(void **unused) {
    (void)unused;
    for (int i = 0; i < 12; ++i) {
        shape s = {.weight = i & 1 ? VT_NUMBER_BF16 : VT_NUMBER_INT8,
                   .epilogue = (vt_epilogue)(i / 2 % 3),
                   .x_type = i >= 6 ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                   .groups = 1,
                   .rows = 30,
                   .n = 70,
                   .k = 90};
        operands o;
        outcome got, want;
        operands_open(&o, &s);
        static const float size[] = {1e15f, 1e-15f, 0.0f, 1.0f, 100.0f};
        for (int r = 0; r < s.rows; ++r)
            for (int j = 0; j < s.k; ++j) o.x[r * s.k + j] *= size[r % 5];
        for (int j = 0; j < s.k; ++j) {
            o.w[3 * s.k + j] = 0.0f;
            o.w[4 * s.k + j] *= 1e12f;
            o.w[5 * s.k + j] *= 1e-12f;
        }
        o.x[8 * s.k + 7] = NAN;
        for (int j = 0; j < s.rows * s.k; ++j) o.half[j] = vt_to_bf16(o.x[j]);
        outcome_open(&got, &s, &o);
        outcome_open(&want, &s, &o);
        vt_weight *a = weight_of(cpu, &s, &o), *b = weight_of(ref, &s, &o);
        run(cpu, &s, &o, a, 0, 0, &got);
        run(ref, &s, &o, b, 0, 0, &want);
        for (int r = 0; r < s.rows; ++r)
            for (int c = 0; c < s.n; ++c) {
                float x = ((float *)got.y)[r * s.n + c], y = ((float *)want.y)[r * s.n + c];
                double most = 90.0 * size[r % 5] * (c == 4 ? 1e12 : c == 5 ? 1e-12 : 1.0);
                if (isnan(y) != isnan(x) || fabs(x - y) > 4e-6 * (fabs((double)y) + most) + 1e-6)
                    fail_msg("%s: at %d %d %g, expected %g", describe(&s), r, c, (double)x,
                             (double)y);
                if (r == 8) assert_true(isnan(x));
            }
        cpu->weight_close(cpu, &a);
        ref->weight_close(ref, &b);
        outcome_close(&got);
        outcome_close(&want);
        operands_close(&o);
    }
}

/* refresh packs the caller's numbers anew; bytes are those of whole panels. */
static void test_weights(void **unused) {
    (void)unused;
    for (int i = 0; i < 2; ++i) {
        shape s = {.weight = i ? VT_NUMBER_INT8 : VT_NUMBER_BF16,
                   .groups = 1,
                   .rows = 3,
                   .n = 20,
                   .k = 40};
        operands o;
        outcome got, want;
        operands_open(&o, &s);
        outcome_open(&got, &s, &o);
        outcome_open(&want, &s, &o);
        vt_weight *a = weight_of(cpu, &s, &o);
        assert_int_equal(cpu->weight_bytes(a), i ? 32 * 64 + 32 * 4 : 32 * 64 * 2);
        for (int j = 0; j < s.n * s.k; ++j) o.w[j] = random_float();
        cpu->weight_refresh(cpu, a);
        vt_weight *b = weight_of(ref, &s, &o);
        run(cpu, &s, &o, a, 0, 0, &got);
        run(ref, &s, &o, b, 0, 0, &want);
        compare_all(&s, &got, &want, 1e-5);
        cpu->weight_close(cpu, &a);
        ref->weight_close(ref, &b);
        outcome_close(&got);
        outcome_close(&want);
        operands_close(&o);
    }
    variant_error err;
    vt_weight *w = (vt_weight *)&err;
    const vt_weight_spec none = {.type = VT_NUMBER_BF16, .n = 4, .k = 4};
    assert_int_equal(cpu->weight_open(cpu, &w, &none, &err), VARIANT_E_ARGUMENT);
    assert_null(w);
    const vt_weight_spec odd = {
        .type = VT_NUMBER_BF16, .n = 4, .k = 4, .taps = 3, .values = (const float *)&odd};
    assert_int_equal(cpu->weight_open(cpu, &w, &odd, &err), VARIANT_E_ARGUMENT);
}

int main(void) {
    variant_error err;
    if (vt_kern_open(&ref, "ref", 1, &err) != VARIANT_OK ||
        vt_kern_open(&cpu, "cpu", 3, &err) != VARIANT_OK ||
        vt_kern_open(&one, "cpu", 1, &err) != VARIANT_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_weights),   cmocka_unit_test(test_types),
        cmocka_unit_test(test_sizes),     cmocka_unit_test(test_large),
        cmocka_unit_test(test_many_rows), cmocka_unit_test(test_row_counts),
        cmocka_unit_test(test_laid),      cmocka_unit_test(test_qkv),
        cmocka_unit_test(test_empty),     cmocka_unit_test(test_bits),
        cmocka_unit_test(test_extremes),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vt_kern_close(&ref);
    vt_kern_close(&cpu);
    vt_kern_close(&one);
    return failed;
}

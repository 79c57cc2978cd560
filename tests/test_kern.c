/* test_kern.c - the products, elementwise, row and transformer operations of kern/kern.h.
 *
 * Every case is a function that makes its inputs from a seed, runs operations of one backend and
 * records what they wrote. The driver runs it on ref and on cpu with every instruction set, with 1
 * and with 3 threads: cpu must be close to ref, and 1 and 3 threads must agree in every bit.
 * Outputs start as NaN and end in a canary. test_kern_slopes.c checks ref's backward operations. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/cpu/cpu.h"
#include "kern/kern.h"
#include "kern_run.h"

/* ---- the driver ---- */

typedef struct test_case {
    const char *name;
    void (*body)(run *r, const int *shape);
    int shape[6];
    double tolerance; /* relative L2 */
} test_case;

static vt_kern *ref;
static vt_kern *cpus[VT_ISA_COUNT][2]; /* by instruction set; 1 and 3 threads */

static double difference(const float *a, const float *b, size_t n) {
    double off = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        if (isnan(a[i]) || isnan(b[i])) return INFINITY;
        off += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
        size += (double)b[i] * b[i];
    }
    return off == 0 ? 0 : sqrt(off / (size + 1e-30));
}

static void start(run *r, vt_kern *kern, const test_case *c) {
    *r = (run){.kern = kern, .state = 99};
    c->body(r, c->shape);
}

static void check_case(const test_case *c) {
    run want;
    start(&want, ref, c);
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        run one, three;
        start(&one, cpus[isa][0], c);
        start(&three, cpus[isa][1], c);
        assert_int_equal(one.record_count, want.record_count);
        for (int i = 0; i < want.record_count; ++i) {
            const record *a = &one.records[i], *b = &three.records[i], *w = &want.records[i];
            assert_int_equal(a->n, w->n);
            double off = difference(a->data, w->data, w->n);
            if (!(off <= c->tolerance))
                fail_msg("%s (%d %d %d %d %d %d), %s, output %d: relative error %g", c->name,
                         c->shape[0], c->shape[1], c->shape[2], c->shape[3], c->shape[4],
                         c->shape[5], vt_isa_name((vt_isa)isa), i, off);
            if (memcmp(a->data, b->data, w->n * sizeof(float)) != 0)
                fail_msg("%s (%d %d %d ...), %s, output %d: 1 and 3 threads differ", c->name,
                         c->shape[0], c->shape[1], c->shape[2], vt_isa_name((vt_isa)isa), i);
        }
        run_close(&one);
        run_close(&three);
    }
    run_close(&want);
}

static void check_cases(const test_case *cases, size_t count) {
    for (size_t i = 0; i < count; ++i) check_case(&cases[i]);
}

#define CHECK_CASES(cases) check_cases(cases, sizeof(cases) / sizeof(cases)[0])

/* ---- products ---- */

static vt_weight *weight_of(run *r, const float *w, int n, int k) {
    vt_weight *weight = NULL;
    variant_error err;
    assert_int_equal(r->kern->weight_open(r->kern, &weight,
                                          &(vt_weight_spec){.values = w, .n = n, .k = k}, &err),
                     VARIANT_OK);
    return weight;
}

/* shape: groups, rows, n, k, with bias */
/* float32 in and out, nothing after the product. */
static void linear(vt_kern *kern, float *y, const float *x, const vt_weight *w, const float *bias,
                   int groups, int rows) {
    kern->product(
        kern, &(vt_product){.x = x, .w = w, .bias = bias, .y = y, .groups = groups, .rows = rows});
}

static void case_linear(run *r, const int *s) {
    size_t all = (size_t)s[0] * (size_t)s[1], n = (size_t)s[2], k = (size_t)s[3];
    const float *w = input(r, n * k, 1), *x = input(r, all * k, 1), *bias = input(r, n, 1);
    float *y = output(r, all * n);
    vt_weight *weight = weight_of(r, w, s[2], s[3]);
    linear(r->kern, y, x, weight, s[4] ? bias : NULL, s[0], s[1]);
    keep(r, y, all * n);
    r->kern->weight_refresh(r->kern, weight);
    r->kern->weight_close(r->kern, &weight);
    assert_null(weight);
}

/* shape: groups, rows, n, k, accumulate */
static void case_linear_dx(run *r, const int *s) {
    size_t all = (size_t)s[0] * (size_t)s[1], n = (size_t)s[2], k = (size_t)s[3];
    const float *w = input(r, n * k, 1), *dy = input(r, all * n, 1);
    float *dx = s[4] ? input(r, all * k, 1) : output(r, all * k);
    vt_weight *weight = weight_of(r, w, s[2], s[3]);
    r->kern->linear_dx(r->kern, dx, dy, weight, s[0], s[1], s[4] != 0);
    keep(r, dx, all * k);
    r->kern->weight_close(r->kern, &weight);
}

/* shape: rows, n, k, with db */
static void case_linear_dw(run *r, const int *s) {
    size_t rows = (size_t)s[0], n = (size_t)s[1], k = (size_t)s[2];
    const float *dy = input(r, rows * n, 1), *x = input(r, rows * k, 1);
    float *dw = input(r, n * k, 1), *db = input(r, n, 1);
    r->kern->linear_dw(r->kern, dw, s[3] ? db : NULL, dy, x, s[0], s[1], s[2]);
    keep(r, dw, n * k);
    keep(r, db, n);
}

static void test_products(void **state) {
    (void)state;
    static const test_case cases[] = {
        {"linear", case_linear, {1, 1, 1, 1, 1}, 1e-6},
        {"linear", case_linear, {2, 1, 300, 65, 1}, 2e-6},
        {"linear", case_linear, {3, 1, 70, 33, 0}, 2e-6},
        {"linear", case_linear, {5, 2, 17, 19, 0}, 2e-6},
        {"linear", case_linear, {2, 4, 515, 96, 1}, 2e-6},
        {"linear", case_linear, {3, 64, 33, 1027, 1}, 2e-6}, /* few rows: the last count, */
        {"linear", case_linear, {3, 65, 33, 1027, 1}, 2e-6}, /* the first that goes to BLAS, */
        {"linear", case_linear, {2, 7, 18, 5, 0}, 2e-6},     /* and a short k, which does */
        {"linear", case_linear, {2, 130, 130, 64, 1}, 2e-6},
        {"linear", case_linear, {1, 401, 67, 31, 1}, 2e-6},
        {"linear", case_linear, {1, 66, 1030, 20, 0}, 2e-6},
        {"linear", case_linear, {0, 3, 8, 8, 0}, 0},
        {"linear", case_linear, {3, 0, 8, 8, 0}, 0},
        {"linear_dx", case_linear_dx, {1, 1, 1, 1, 0}, 1e-6},
        {"linear_dx", case_linear_dx, {3, 1, 33, 270, 0}, 2e-6},
        {"linear_dx", case_linear_dx, {3, 1, 33, 270, 1}, 2e-6},
        {"linear_dx", case_linear_dx, {2, 130, 65, 130, 1}, 2e-6},
        {"linear_dx", case_linear_dx, {2, 9, 65, 300, 0}, 2e-6},
        {"linear_dx", case_linear_dx, {2, 0, 65, 300, 0}, 0},
        {"linear_dw", case_linear_dw, {1, 1, 1, 1}, 1e-6},
        {"linear_dw", case_linear_dw, {700, 33, 65, 1}, 2e-6},
        {"linear_dw", case_linear_dw, {77, 130, 128, 1}, 2e-6},
        {"linear_dw", case_linear_dw, {5, 300, 530, 0}, 2e-6},
        {"linear_dw", case_linear_dw, {0, 30, 53, 1}, 0},
    };
    CHECK_CASES(cases);
}

/* ---- elementwise ---- */

/* Numbers that break naive formulas, then random ones. */
static float *hard_input(run *r, size_t n) {
    static const float hard[] = {0.0f,   -0.0f, 1e-40f, -1e-40f, 1e-20f, 80.0f,
                                 -80.0f, 9.99f, -9.99f, 88.9f,   -104.5f};
    float *x = input(r, n, 8);
    for (size_t i = 0; i < n && i < sizeof hard / sizeof hard[0]; ++i) x[i] = hard[i];
    return x;
}

/* shape: n */
static void case_elementwise(run *r, const int *s) {
    vt_kern *kern = r->kern;
    size_t n = (size_t)s[0];
    const float *x = hard_input(r, n), *dy = input(r, n, 1), *q = input(r, n, 3);
    float *y = output(r, n), *acc = input(r, n, 2);
    kern->gelu(kern, y, x, n);
    keep(r, y, n);
    kern->silu(kern, y, x, n);
    keep(r, y, n);
    kern->gelu_dx(kern, y, dy, x, n);
    keep(r, y, n);
    kern->silu_dx(kern, y, dy, x, n);
    keep(r, y, n);
    kern->clamp(kern, y, x, -1.5f, 2.5f, n);
    keep(r, y, n);
    vt_kern_fill(kern, y, NAN, n);
    kern->axpby(kern, y, 0.3f, q, 0.0f, n);
    keep(r, y, n);
    kern->axpby(kern, acc, 0.3f, q, -1.7f, n);
    kern->scaled_difference(kern, acc, 1.25f, q, dy, n);
    keep(r, acc, n);
    kern->copy(kern, y, acc, n);
    kern->gelu(kern, y, y, n); /* in place */
    keep(r, y, n);
    double sums[2];
    kern->sum_squares(kern, &sums[0], &(vt_floats){(float *)q, n}, 1);
    kern->sum_squared_difference(kern, &sums[1], &(vt_floats){(float *)q, n},
                                 &(vt_floats){(float *)dy, n}, 1);
    keep(r, (float[]){(float)sums[0], (float)sums[1]}, 2);
    vt_kern_fill(kern, y, 0.75f, n);
    keep(r, y, n);
}

/* shape: n, step */
static void case_adamw(run *r, const int *s) {
    size_t n = (size_t)s[0];
    float *value = input(r, n, 1), *m = input(r, n, 0.1), *v = input(r, n, 0.01);
    for (size_t i = 0; i < n; ++i) v[i] = fabsf(v[i]);
    const float *grad = input(r, n, 1);
    const float decay = 0.05f;
    const vt_adamw step = {.value = &(vt_floats){value, n},
                           .m = &(vt_floats){m, n},
                           .v = &(vt_floats){v, n},
                           .grad = &(vt_floats){(float *)grad, n},
                           .weight_decay = &decay,
                           .count = 1,
                           .lr = 1e-2f,
                           .beta1 = 0.9f,
                           .beta2 = 0.95f,
                           .eps = 1e-8f,
                           .grad_scale = 0.5f,
                           .step = s[1]};
    r->kern->adamw(r->kern, &step);
    keep(r, value, n);
    keep(r, m, n);
    keep(r, v, n);
}

/* Lists give what their runs give one by one, in every bit. shape: lengths of the runs, 0 among them */
static void case_lists(run *r, const int *s) {
    enum { RUNS = 6 };
    vt_kern *kern = r->kern;
    vt_floats list[5][RUNS], alone[5][RUNS]; /* value, m, v, gradient, filled */
    float decay[RUNS];
    double sums[2 * RUNS], one[2];
    for (int i = 0; i < RUNS; ++i) {
        const size_t n = (size_t)s[i];
        decay[i] = 0.01f * (float)i;
        for (int kind = 0; kind < 5; ++kind) {
            list[kind][i] = (vt_floats){input(r, n, 1), n};
            alone[kind][i] = (vt_floats){output(r, n), n};
            for (size_t j = 0; kind == 2 && j < n; ++j)
                list[kind][i].x[j] = fabsf(list[kind][i].x[j]);
            memcpy(alone[kind][i].x, list[kind][i].x, n * sizeof(float));
        }
    }
    vt_adamw step = {.value = list[0],
                     .m = list[1],
                     .v = list[2],
                     .grad = list[3],
                     .weight_decay = decay,
                     .count = RUNS,
                     .lr = 0.02f,
                     .beta1 = 0.9f,
                     .beta2 = 0.95f,
                     .eps = 1e-8f,
                     .grad_scale = 0.7f,
                     .step = 3};
    kern->sum_squares(kern, sums, list[0], RUNS);
    kern->sum_squared_difference(kern, sums + RUNS, list[0], list[3], RUNS);
    kern->adamw(kern, &step);
    kern->fill(kern, 2.5f, list[4], RUNS);
    for (int i = 0; i < RUNS; ++i) {
        kern->sum_squares(kern, &one[0], &alone[0][i], 1);
        kern->sum_squared_difference(kern, &one[1], &alone[0][i], &alone[3][i], 1);
        assert_true(one[0] == sums[i] && one[1] == sums[RUNS + i]);
        step.value = &alone[0][i], step.m = &alone[1][i], step.v = &alone[2][i];
        step.grad = &alone[3][i], step.weight_decay = &decay[i], step.count = 1;
        kern->adamw(kern, &step);
        vt_kern_fill(kern, alone[4][i].x, 2.5f, alone[4][i].n);
        for (int kind = 0; kind < 5; ++kind)
            assert_memory_equal(list[kind][i].x, alone[kind][i].x,
                                alone[kind][i].n * sizeof(float));
        keep(r, list[0][i].x, list[0][i].n);
        keep(r, (float[]){(float)one[0], (float)one[1]}, 2);
    }
}

static void test_elementwise(void **state) {
    (void)state;
    static const test_case cases[] = {
        {"elementwise", case_elementwise, {0}, 0},
        {"elementwise", case_elementwise, {1}, 1e-6},
        {"elementwise", case_elementwise, {77}, 1e-6},
        {"elementwise", case_elementwise, {40001}, 1e-6},
        {"adamw", case_adamw, {0, 1}, 0},
        {"adamw", case_adamw, {37, 1}, 1e-6},
        {"adamw", case_adamw, {33001, 1000}, 1e-6},
        {"lists", case_lists, {1, 0, 5, 16384, 40000, 16385}, 1e-6},
        {"lists", case_lists, {0, 0, 70000, 3, 0, 0}, 1e-6},
    };
    CHECK_CASES(cases);
}

/* Number by number, where an L2 norm would hide errors in small results. */
static void test_activation_accuracy(void **state) {
    (void)state;
    enum { N = 40000 };
    float *x = malloc(4 * N * sizeof *x), *want = x + N, *got = x + 2 * N, *ones = x + 3 * N;
    assert_non_null(x);
    for (int i = 0; i < N; ++i) x[i] = (float)(i - N / 2) * (12.0f / (N / 2)), ones[i] = 1;
    for (int op = 0; op < 4; ++op) {
        for (int isa = -1; isa < VT_ISA_COUNT; ++isa) {
            vt_kern *kern = isa < 0 ? ref : cpus[isa][0];
            if (!kern) continue;
            float *to = isa < 0 ? want : got;
            if (op == 0) kern->gelu(kern, to, x, N);
            if (op == 1) kern->silu(kern, to, x, N);
            if (op == 2) kern->gelu_dx(kern, to, ones, x, N);
            if (op == 3) kern->silu_dx(kern, to, ones, x, N);
            for (int i = 0; isa >= 0 && i < N; ++i) {
                double off = fabs((double)got[i] - want[i]), floor = op < 2 ? 1e-14 : 3e-7;
                if (!(off <= 2e-6 * fabs(want[i]) + floor))
                    fail_msg("activation %d, %s: x %g gives %g, expected %g", op,
                             vt_isa_name((vt_isa)isa), x[i], got[i], want[i]);
            }
        }
    }
    const float ends[] = {INFINITY, 1e30f, 3e38f, -1e30f, -3e38f, -INFINITY};
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        vt_kern *kern = cpus[isa][0];
        kern->gelu(kern, got, ends, 5);
        kern->silu(kern, got + 8, ends, 5);
        for (int i = 0; i < 5; ++i) {
            assert_true(got[i] == (ends[i] > 0 ? ends[i] : 0));
            assert_true(got[i + 8] == (ends[i] > 0 ? ends[i] : 0));
        }
        kern->gelu_dx(kern, got, ones, ends, 6);
        kern->silu_dx(kern, got + 8, ones, ends, 6);
        for (int i = 0; i < 6; ++i) {
            assert_true(fabs(got[i] - (ends[i] > 0)) < 1e-6);
            assert_true(fabs(got[i + 8] - (ends[i] > 0)) < 1e-6);
        }
    }
    free(x);
}

/* ---- rows ---- */

/* shape: groups, rows, width, table */
static void case_rows(run *r, const int *s) {
    vt_kern *kern = r->kern;
    size_t size = (size_t)s[1] * (size_t)s[2], all = (size_t)s[0] * size,
           table_size = (size_t)(s[3] * s[2]);
    float *y = input(r, all, 1), *x = input(r, size, 1), *table = input(r, table_size, 1);
    const float *dy = input(r, all, 1);
    float *gathered = output(r, size);
    int32_t *index = malloc((size_t)(s[1] + 1) * sizeof *index);
    assert_non_null(index);
    for (int i = 0; i < s[1]; ++i) index[i] = (int32_t)(draw(r) * s[3]);
    kern->add_rows(kern, y, x, s[0], s[1], s[2]);
    keep(r, y, all);
    kern->add_rows_dx(kern, x, dy, s[0], s[1], s[2]);
    keep(r, x, size);
    kern->gather_rows(kern, gathered, table, index, s[1], s[2]);
    keep(r, gathered, size);
    kern->scatter_rows(kern, table, index, dy, s[1], s[2]);
    keep(r, table, table_size);
    size_t stride = (size_t)s[2] + 3;
    float *wide = output(r, (size_t)s[1] * stride);
    vt_kern_fill(kern, wide, 5, (size_t)s[1] * stride);
    kern->copy_rows(kern, wide, stride, dy, (size_t)s[2], s[1], (size_t)s[2]);
    keep(r, wide, (size_t)s[1] * stride);
    kern->add_copy_rows(kern, wide, stride, dy, (size_t)s[2], s[1], (size_t)s[2]);
    keep(r, wide, (size_t)s[1] * stride);
    free(index);
}

static void test_rows(void **state) {
    (void)state;
    static const test_case cases[] = {
        {"rows", case_rows, {1, 1, 1, 1}, 1e-6},    {"rows", case_rows, {3, 7, 33, 5}, 1e-6},
        {"rows", case_rows, {5, 300, 70, 9}, 1e-6}, {"rows", case_rows, {2, 257, 300, 1000}, 1e-6},
        {"rows", case_rows, {2, 0, 30, 4}, 0},
    };
    CHECK_CASES(cases);
}

/* ---- transformer ---- */

/* shape: groups, rows, width, mod_stride beyond width, offset of x */
static void case_norm_modulate(run *r, const int *s) {
    vt_kern *kern = r->kern;
    size_t rows = (size_t)s[0] * (size_t)s[1], width = (size_t)s[2], all = rows * width;
    size_t stride = s[3] < 0 ? 0 : width + (size_t)s[3], mods = (size_t)s[0] * (width + 8);
    float *x = input(r, all, 1), *y = output(r, all), *mean = output(r, rows),
          *rstd = output(r, rows);
    for (size_t i = 0; i < all; ++i) x[i] += (float)s[4];
    const float *scale = input(r, mods, 1), *shift = input(r, mods, 1), *dy = input(r, all, 1);
    float *dx = input(r, all, 1), *dscale = input(r, mods, 1), *dshift = input(r, mods, 1);
    vt_norm_modulate f = {.x = x,
                          .scale = scale,
                          .shift = shift,
                          .mod_stride = stride,
                          .y = y,
                          .mean = mean,
                          .rstd = rstd,
                          .groups = s[0],
                          .rows = s[1],
                          .width = s[2],
                          .eps = 1e-6f};
    kern->norm_modulate(kern, &f);
    keep(r, y, all);
    keep(r, mean, rows);
    keep(r, rstd, rows);
    const vt_norm_modulate_grad g = {f, dy, dx, dscale, dshift};
    kern->norm_modulate_dx(kern, &g);
    keep(r, dx, all);
    keep(r, dscale, mods);
    keep(r, dshift, mods);
    f.y = x, f.mean = f.rstd = NULL; /* in place */
    kern->norm_modulate(kern, &f);
    keep(r, x, all);
    const float *h = input(r, all, 1);
    float *dh = output(r, all), *dgamma = input(r, mods, 1);
    kern->gate_add(kern, y, h, scale, stride, s[0], s[1], s[2]);
    keep(r, y, all);
    kern->gate_add_dx(kern, dh, dgamma, dy, h, scale, stride, s[0], s[1], s[2]);
    keep(r, dh, all);
    keep(r, dgamma, mods);
}

/* shape: groups, rows, heads, head_dim, normed */
static void case_qkv(run *r, const int *s) {
    vt_kern *kern = r->kern;
    size_t width = (size_t)s[2] * (size_t)s[3], rows = (size_t)s[0] * (size_t)s[1],
           all = rows * width;
    size_t stride = width + 5, cache = (size_t)(s[1] + 2) * stride;
    float *qkv = input(r, 3 * all, 1), *scale_mul = input(r, (size_t)s[2], 2);
    if (all && s[4] == 2)
        memset(qkv, 0, width * sizeof *qkv); /* a row of q of zero length, with zero bias */
    if (s[4]) scale_mul[0] = 5.5f;           /* above ln 100: capped, no gradient */
    const float *q_bias = input(r, width, s[4] == 2 ? 0 : 0.5), *v_bias = input(r, width, 0.5);
    float *q = output(r, all), *k = output(r, (size_t)s[0] * cache),
          *v = output(r, (size_t)s[0] * cache);
    vt_kern_fill(kern, k, 3, (size_t)s[0] * cache);
    vt_kern_fill(kern, v, 4, (size_t)s[0] * cache);
    const vt_qkv f = {.qkv = qkv,
                      .q_bias = q_bias,
                      .v_bias = v_bias,
                      .scale_mul = s[4] ? scale_mul : NULL,
                      .q = q,
                      .k = k,
                      .v = v,
                      .kv_stride = stride,
                      .kv_group_stride = cache,
                      .groups = s[0],
                      .rows = s[1],
                      .heads = s[2],
                      .head_dim = s[3]};
    kern->qkv_split(kern, &f);
    keep(r, q, all);
    keep(r, k, (size_t)s[0] * cache);
    keep(r, v, (size_t)s[0] * cache);
    float *dq = input(r, all, 1);
    const float *dk = input(r, all, 1), *dv = input(r, all, 1);
    if (all && s[4] == 2)
        memset(dq, 0, width * sizeof *dq); /* else divided by 1e-12, and drowning the rest */
    float *dqkv = output(r, 3 * all), *dq_bias = input(r, width, 1), *dv_bias = input(r, width, 1);
    float *dscale = input(r, (size_t)s[2], 1);
    const vt_qkv_grad g = {f, dq, dk, dv, dqkv, dq_bias, dv_bias, s[4] ? dscale : NULL};
    kern->qkv_split_dx(kern, &g);
    keep(r, dqkv, 3 * all);
    keep(r, dq_bias, width);
    keep(r, dv_bias, width);
    keep(r, dscale, (size_t)s[2]);
}

static const int pyramid_q[] = {1, 5, 14, 30, 100}, pyramid_k[] = {1, 5, 14, 30, 100};

/* shape: groups, heads, head_dim, segments (0: one, s[4] queries on s[5] keys) */
static vt_attention attention_of(run *r, const int *s, int size) {
    int queries = s[3] ? pyramid_q[s[3] - 1] : s[4], keys = s[3] ? pyramid_k[s[3] - 1] : s[5];
    size_t width = (size_t)s[1] * (size_t)s[2], q_stride = width + 3, kv_stride = width + 1,
           out_stride = width;
    vt_attention a = {.groups = s[0], .heads = s[1], .head_dim = s[2], .scale = 0.3f};
    a.q_stride = q_stride, a.kv_stride = kv_stride, a.out_stride = out_stride;
    a.q_group_stride = q_stride * (size_t)queries,
    a.kv_group_stride = kv_stride * (size_t)(keys + 4);
    a.out_group_stride = out_stride * (size_t)queries;
    a.segments = s[3] ? s[3] : 1;
    a.q_end = s[3] ? pyramid_q : &s[4];
    a.k_end = s[3] ? pyramid_k : &s[5];
    a.q = input(r, (size_t)s[0] * a.q_group_stride, size);
    a.k = input(r, (size_t)s[0] * a.kv_group_stride, 1);
    a.v = input(r, (size_t)s[0] * a.kv_group_stride, 1);
    a.out = output(r, (size_t)s[0] * a.out_group_stride);
    a.workspace = output(r, floats_in(r->kern->attention_workspace(r->kern, &a)));
    return a;
}

static void case_attention_sized(run *r, const int *s, int size) {
    vt_kern *kern = r->kern;
    vt_attention a = attention_of(r, s, size);
    kern->attention(kern, &a);
    size_t outs = (size_t)s[0] * a.out_group_stride, qs = (size_t)s[0] * a.q_group_stride;
    size_t kvs = (size_t)s[0] * a.kv_group_stride;
    keep(r, a.out, outs);
    vt_attention_grad g = {.forward = a, .dout = input(r, outs, 1)};
    g.dq = output(r, qs), g.dk = output(r, kvs), g.dv = output(r, kvs);
    vt_kern_fill(kern, g.dq, 7, qs); /* the gaps between rows stay as they are */
    vt_kern_fill(kern, g.dk, 7, kvs);
    vt_kern_fill(kern, g.dv, 7, kvs);
    g.forward.workspace = output(r, floats_in(kern->attention_grad_workspace(kern, &a)));
    kern->attention_dx(kern, &g);
    for (size_t i = 0; i < qs; ++i) assert_true((i % a.q_stride < a.out_stride) || g.dq[i] == 7);
    keep(r, g.dq, qs);
    keep(r, g.dk, kvs);
    keep(r, g.dv, kvs);
}

static void case_attention(run *r, const int *s) {
    case_attention_sized(r, s, 1);
}
static void case_attention_large(run *r, const int *s) {
    case_attention_sized(r, s, 60);
}

/* shape: rows, vocab, size of logits, percent of smoothing, in place; a teacher: 1, and 2 without a
 * gradient. Every third row has none, and a teacher's row of NaN that must not be read. */
static void case_cross_entropy(run *r, const int *s) {
    size_t rows = (size_t)s[0], vocab = (size_t)s[1], all = rows * vocab;
    float *logits = input(r, all, s[2]), *dlogits = s[4] ? logits : output(r, all);
    float *loss = output(r, rows), *hits = output(r, rows);
    int32_t *targets = malloc((rows + 1) * sizeof *targets),
            *hit = malloc((rows + 1) * sizeof *hit);
    assert_non_null(targets);
    assert_non_null(hit);
    for (size_t i = 0; i < rows; ++i) targets[i] = (int32_t)(draw(r) * (double)vocab);
    for (size_t i = 0; i < rows; i += 3)
        logits[i * vocab + (size_t)targets[i]] = (float)s[2] * 1.01f;
    if (rows > 1) logits[vocab] = logits[vocab + vocab - 1] = 2.0f * (float)s[2]; /* a tie */
    if (rows > 1) targets[1] = s[3] ? 0 : (int32_t)vocab - 1;
    vt_cross_entropy a = {.logits = logits,
                          .targets = targets,
                          .dlogits = dlogits,
                          .loss = loss,
                          .hit = hit,
                          .rows = s[0],
                          .vocab = s[1],
                          .smoothing = (float)s[3] / 100,
                          .weight = 0.37f};
    if (s[5]) {
        float *teacher = input(r, all, s[2]), *pull = input(r, rows, 1);
        for (size_t i = 0; i < rows; ++i) pull[i] = i % 3 == 2 ? 0 : 0.5f + fabsf(pull[i]);
        for (size_t i = 2; i < rows; i += 3)
            for (size_t j = 0; j < vocab; ++j) teacher[i * vocab + j] = NAN;
        a.teacher = teacher;
        a.pull = pull;
        a.kl = output(r, rows);
        if (s[5] == 2) a.dlogits = NULL;
    }
    r->kern->cross_entropy(r->kern, &a);
    if (s[5]) keep(r, a.kl, rows);
    for (size_t i = 0; i < rows; ++i) hits[i] = (float)hit[i];
    if (rows > 1) assert_int_equal(hit[1], s[3] || vocab == 1 ? 1 : 0);
    if (rows > 0) assert_int_equal(hit[0], 1);
    if (a.dlogits) keep(r, dlogits, all);
    keep(r, loss, rows);
    keep(r, hits, rows);
    free(targets);
    free(hit);
}

static void test_transformer(void **state) {
    (void)state;
    static const test_case cases[] = {
        {"norm_modulate", case_norm_modulate, {1, 1, 1, 0, 0}, 1e-4}, /* rstd is 1000 */
        {"norm_modulate", case_norm_modulate, {1, 1, 2, 0, 0}, 1e-5},
        {"norm_modulate", case_norm_modulate, {2, 3, 65, 7, 0}, 2e-6},
        {"norm_modulate", case_norm_modulate, {3, 100, 200, 0, 0}, 2e-6},
        {"norm_modulate",
         case_norm_modulate,
         {3, 50, 100, -1, 0},
         2e-6}, /* one modulation for all */
        {"norm_modulate", case_norm_modulate, {1, 9, 130, 0, 100}, 1e-4}, /* a mean far from 0 */
        {"norm_modulate", case_norm_modulate, {2, 0, 30, 0, 0}, 0},
        {"qkv", case_qkv, {1, 1, 1, 1, 0}, 2e-6},
        {"qkv", case_qkv, {2, 33, 3, 20, 0}, 2e-6},
        {"qkv", case_qkv, {2, 33, 3, 20, 1}, 2e-6},
        {"qkv", case_qkv, {1, 3, 2, 64, 2}, 2e-6},
        {"qkv", case_qkv, {3, 60, 4, 32, 1}, 2e-6},
        {"qkv", case_qkv, {3, 0, 4, 32, 1}, 0},
        {"attention", case_attention, {1, 1, 1, 0, 1, 1}, 1e-5},
        {"attention", case_attention, {2, 3, 20, 0, 9, 14}, 1e-5},
        {"attention", case_attention, {1, 1, 70, 0, 150, 150}, 1e-5},
        {"attention", case_attention, {2, 2, 64, 5}, 1e-5},
        {"attention", case_attention, {1, 3, 17, 4}, 1e-5},
        {"attention", case_attention, {0, 3, 17, 4}, 0},
        {"attention, large logits", case_attention_large, {2, 2, 33, 4}, 2e-5},
        {"cross_entropy", case_cross_entropy, {1, 1, 3, 0}, 2e-6},
        {"cross_entropy", case_cross_entropy, {9, 77, 5, 0}, 2e-6},
        {"cross_entropy", case_cross_entropy, {9, 77, 5, 10}, 2e-6},
        {"cross_entropy", case_cross_entropy, {40, 1025, 80, 0}, 2e-6},
        {"cross_entropy", case_cross_entropy, {40, 1025, 80, 10, 1}, 2e-6},
        {"cross_entropy", case_cross_entropy, {0, 10, 1, 0}, 0},
        {"cross_entropy, taught", case_cross_entropy, {1, 1, 3, 0, 0, 1}, 2e-6},
        {"cross_entropy, taught", case_cross_entropy, {9, 77, 5, 10, 0, 1}, 4e-6},
        {"cross_entropy, taught", case_cross_entropy, {9, 77, 5, 10, 0, 2}, 4e-6},
        {"cross_entropy, taught", case_cross_entropy, {40, 1025, 80, 10, 1, 1}, 4e-6},
        {"cross_entropy, taught", case_cross_entropy, {0, 10, 1, 0, 0, 1}, 0},
    };
    CHECK_CASES(cases);
}

/* ---- a sample's result does not depend on its neighbours ---- */

static void assert_same(const float *a, const float *b, size_t n, const char *what) {
    if (memcmp(a, b, n * sizeof *a) != 0)
        fail_msg("%s: a sample's result depends on its neighbours", what);
}

enum { GROUPS = 5 };

static void groups_linear(run *r, int rows) {
    enum { N = 300, K = 70 };
    vt_kern *kern = r->kern;
    size_t in = (size_t)rows * K, out = (size_t)rows * N;
    const float *x = input(r, GROUPS * in, 1), *dy = input(r, GROUPS * out, 1),
                *bias = input(r, N, 1);
    vt_weight *w = weight_of(r, input(r, N * K, 1), N, K);
    float *y = output(r, GROUPS * out), *dx = output(r, GROUPS * in), *one = output(r, out);
    linear(kern, y, x, w, bias, GROUPS, rows);
    kern->linear_dx(kern, dx, dy, w, GROUPS, rows, false);
    for (size_t g = 0; g < GROUPS; ++g) {
        linear(kern, one, x + g * in, w, bias, 1, rows);
        assert_same(one, y + g * out, out, "linear");
        kern->linear_dx(kern, one, dy + g * out, w, 1, rows, false);
        assert_same(one, dx + g * in, in, "linear_dx");
    }
    kern->weight_close(kern, &w);
}

static void groups_rows(run *r, int rows) {
    enum { HEADS = 2, DIM = 35, WIDTH = HEADS * DIM };
    vt_kern *kern = r->kern;
    size_t size = (size_t)rows * WIDTH;
    const float *x = input(r, GROUPS * size, 1), *mod = input(r, GROUPS * WIDTH, 1);
    const float *qkv = input(r, GROUPS * size * 3, 1);
    float *y = output(r, GROUPS * size), *one = output(r, size);
    vt_norm_modulate norm = {.x = x,
                             .scale = mod,
                             .shift = mod,
                             .mod_stride = WIDTH,
                             .y = y,
                             .groups = GROUPS,
                             .rows = rows,
                             .width = WIDTH,
                             .eps = 1e-6f};
    kern->norm_modulate(kern, &norm);
    kern->gate_add(kern, y, x, mod, WIDTH, GROUPS, rows, WIDTH);
    kern->gelu(kern, y, y, GROUPS * size);
    float *q = output(r, GROUPS * size), *k = output(r, GROUPS * size),
          *v = output(r, GROUPS * size);
    float *one_q = output(r, size), *one_k = output(r, size), *one_v = output(r, size);
    vt_qkv split = {.qkv = qkv,
                    .q_bias = mod,
                    .v_bias = mod,
                    .scale_mul = mod,
                    .q = q,
                    .k = k,
                    .v = v,
                    .kv_stride = WIDTH,
                    .kv_group_stride = size,
                    .groups = GROUPS,
                    .rows = rows,
                    .heads = HEADS,
                    .head_dim = DIM};
    kern->qkv_split(kern, &split);
    vt_attention a = {.q = q,
                      .k = k,
                      .v = v,
                      .out = output(r, GROUPS * size),
                      .q_stride = WIDTH,
                      .kv_stride = WIDTH,
                      .out_stride = WIDTH,
                      .q_group_stride = size,
                      .kv_group_stride = size,
                      .out_group_stride = size,
                      .groups = GROUPS,
                      .heads = HEADS,
                      .head_dim = DIM,
                      .segments = 1,
                      .q_end = &rows,
                      .k_end = &rows,
                      .scale = 0.2f};
    a.workspace = output(r, floats_in(kern->attention_workspace(kern, &a)));
    kern->attention(kern, &a);
    for (size_t g = 0; g < GROUPS; ++g) {
        vt_norm_modulate n = norm;
        n.x = x + g * size, n.scale = n.shift = mod + g * WIDTH, n.y = one, n.groups = 1;
        kern->norm_modulate(kern, &n);
        kern->gate_add(kern, one, n.x, n.scale, WIDTH, 1, rows, WIDTH);
        kern->gelu(kern, one, one, size);
        assert_same(one, y + g * size, size, "norm_modulate, gate_add, gelu");
        vt_qkv s = split;
        s.qkv = qkv + g * size * 3, s.q = one_q, s.k = one_k, s.v = one_v, s.groups = 1;
        kern->qkv_split(kern, &s);
        assert_same(one_q, q + g * size, size, "qkv_split q");
        assert_same(one_k, k + g * size, size, "qkv_split k");
        assert_same(one_v, v + g * size, size, "qkv_split v");
        vt_attention b = a;
        b.q = one_q, b.k = one_k, b.v = one_v, b.out = one, b.groups = 1;
        kern->attention(kern, &b);
        assert_same(one, (float *)a.out + g * size, size, "attention");
    }
}

static void test_groups(void **state) {
    (void)state;
    static const int row_counts[] = {1, 2, 9, 100};
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        for (int i = 0; i < 4 && cpus[isa][1]; ++i) {
            run r = {.kern = cpus[isa][1], .state = 5};
            groups_linear(&r, row_counts[i]);
            groups_rows(&r, row_counts[i]);
            run_close(&r);
        }
    }
}

static int open_all(void **state) {
    (void)state;
    if (vt_kern_open(&ref, "ref", 0, NULL) != VARIANT_OK) return -1;
    unsetenv("VARIANT_CPU");
    vt_isa best = vt_isa_best();
    for (int isa = 0; isa <= (int)best; ++isa) {
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        if (vt_kern_open(&cpus[isa][0], "cpu", 1, NULL) != VARIANT_OK) return -1;
        if (vt_kern_open(&cpus[isa][1], "cpu", 3, NULL) != VARIANT_OK) return -1;
    }
    unsetenv("VARIANT_CPU");
    return 0;
}

static int close_all(void **state) {
    (void)state;
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        vt_kern_close(&cpus[isa][0]);
        vt_kern_close(&cpus[isa][1]);
    }
    vt_kern_close(&ref);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_products),
        cmocka_unit_test(test_elementwise),
        cmocka_unit_test(test_activation_accuracy),
        cmocka_unit_test(test_rows),
        cmocka_unit_test(test_transformer),
        cmocka_unit_test(test_groups),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

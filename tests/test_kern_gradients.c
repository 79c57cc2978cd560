/* test_kern_gradients.c - the operations of training with bf16 products against their plain-C twins:
 * odd sizes, one row, none, extremes, poisoned outputs, canaries behind every buffer; and that neither
 * threads nor neighbours change a bit. VARIANT_CPU lowers the instruction set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kern/kern.h"
#include "kern/number.h"
#include "tests/kern_run.h"

enum { LINE = 64 };

/* ---- buffers of bf16 inside those of floats (kern_run.h): values, canaries and poison likewise ---- */

/* n bf16 numbers of NaN. */
static vt_bf16 *output_half(run *r, size_t n) {
    return (vt_bf16 *)(void *)output(r, (n + 1) / 2);
}

static vt_bf16 *input_half(run *r, size_t n, double size) {
    vt_bf16 *x = output_half(r, n);
    for (size_t i = 0; i < n; ++i) x[i] = vt_to_bf16((float)((2 * draw(r) - 1) * size));
    return x;
}

static void keep_half(run *r, const vt_bf16 *x, size_t n) {
    float *wide = malloc((n + 1) * sizeof *wide);
    assert_non_null(wide);
    for (size_t i = 0; i < n; ++i) wide[i] = vt_from_bf16(x[i]);
    keep(r, wide, n);
    free(wide);
}

/* A workspace of whole lines, NaN all over. */
static void *room(run *r, size_t bytes) {
    return output(r, (bytes + sizeof(float) - 1) / sizeof(float));
}

static vt_weight *weight_of(run *r, const float *values, int n, int k) {
    vt_weight *weight = NULL;
    variant_error err = {0};
    vt_weight_spec spec = {
        .type = VT_NUMBER_BF16, .n = n, .k = k, .values = values, .gradients = true};
    assert_int_equal(r->kern->weight_open(r->kern, &weight, &spec, &err), VARIANT_OK);
    return weight;
}

/* ---- cases: sizes, and what is recorded of a run ---- */

typedef struct sizes {
    int groups, rows, a, b, c, d; /* the meaning is the case's */
    double size;                  /* of random numbers; 0: 1 */
} sizes;

static double size_of(const sizes *s) {
    return s->size > 0 ? s->size : 1.0;
}

/* a x b weight; c: dx accumulates, d: F32 dy */
static void case_product_dx(run *r, const sizes *s) {
    size_t rows = (size_t)(s->groups * s->rows), n = (size_t)s->a, k = (size_t)s->b;
    vt_weight *w = weight_of(r, input(r, n * k, size_of(s)), s->a, s->b);
    vt_product_grad a = {.w = w, .groups = s->groups, .rows = s->rows, .accumulate = s->c != 0};
    a.dy_type = s->d ? VT_NUMBER_F32 : VT_NUMBER_BF16;
    a.dy = s->d ? (void *)input(r, rows * n, 1) : (void *)input_half(r, rows * n, 1);
    a.dx_type = s->c || s->d ? VT_NUMBER_F32 : VT_NUMBER_BF16;
    a.dx = s->c                         ? (void *)input(r, rows * k, 1)
           : a.dx_type == VT_NUMBER_F32 ? (void *)output(r, rows * k)
                                        : (void *)output_half(r, rows * k);
    a.workspace = room(r, r->kern->product_grad_workspace(r->kern, &a));
    r->kern->product_dx(r->kern, &a);
    if (a.dx_type == VT_NUMBER_F32)
        keep(r, a.dx, rows * k);
    else
        keep_half(r, a.dx, rows * k);
    r->kern->weight_close(r->kern, &w);
}

static void case_product_dx_gelu(run *r, const sizes *s) {
    size_t rows = (size_t)(s->groups * s->rows), n = (size_t)s->a, k = (size_t)s->b;
    vt_weight *w = weight_of(r, input(r, n * k, 1), s->a, s->b);
    vt_product_grad a = {.w = w, .groups = s->groups, .rows = s->rows};
    a.dy_type = a.dx_type = VT_NUMBER_BF16;
    a.dy = input_half(r, rows * n, 1);
    a.gelu_of = input_half(r, rows * k, 4 * size_of(s));
    a.dx = output_half(r, rows * k);
    a.gelu = s->c ? output_half(r, rows * k) : NULL;
    a.workspace = room(r, r->kern->product_grad_workspace(r->kern, &a));
    r->kern->product_dx(r->kern, &a);
    keep_half(r, a.dx, rows * k);
    if (a.gelu) keep_half(r, a.gelu, rows * k);
    r->kern->weight_close(r->kern, &w);
}

/* c: no db; d: F32 */
static void case_product_dw(run *r, const sizes *s) {
    size_t rows = (size_t)(s->groups * s->rows), n = (size_t)s->a, k = (size_t)s->b;
    vt_weight *w = weight_of(r, input(r, n * k, 1), s->a, s->b);
    vt_product_grad a = {.w = w, .groups = s->groups, .rows = s->rows};
    a.dy_type = a.x_type = s->d ? VT_NUMBER_F32 : VT_NUMBER_BF16;
    a.dy =
        s->d ? (void *)input(r, rows * n, size_of(s)) : (void *)input_half(r, rows * n, size_of(s));
    a.x = s->d ? (void *)input(r, rows * k, 1) : (void *)input_half(r, rows * k, 1);
    a.dw = input(r, n * k, 1);
    a.db = s->c ? NULL : input(r, n, 1);
    a.workspace = room(r, r->kern->product_grad_workspace(r->kern, &a));
    r->kern->product_dw(r->kern, &a);
    keep(r, a.dw, n * k);
    if (a.db) keep(r, a.db, n);
    r->kern->weight_close(r->kern, &w);
}

/* Weights that changed: products of both ways see the new numbers. */
static void case_refresh(run *r, const sizes *s) {
    size_t rows = (size_t)(s->groups * s->rows), n = (size_t)s->a, k = (size_t)s->b;
    float *values = input(r, n * k, 1), *other = input(r, n * k, 1), *fresh = input(r, n * k, 1);
    vt_weight *w[3] = {weight_of(r, values, s->a, s->b), NULL, weight_of(r, other, s->b, s->a)};
    memcpy(values, fresh, n * k * sizeof *values);
    for (size_t i = 0; i < n * k; ++i) other[i] = fresh[n * k - 1 - i];
    r->kern->weights_refresh(r->kern, w, 3);
    for (int i = 0; i < 3; i += 2) {
        vt_product forward = {.w = w[i],
                              .x = input(r, rows * (i ? n : k), 1),
                              .y = output(r, rows * (i ? k : n)),
                              .groups = s->groups,
                              .rows = s->rows};
        forward.workspace = room(r, r->kern->product_workspace(r->kern, &forward));
        r->kern->product(r->kern, &forward);
        keep(r, forward.y, rows * (i ? k : n));
        vt_product_grad back = {.w = w[i],
                                .dy = forward.y,
                                .dx = output(r, rows * (i ? n : k)),
                                .groups = s->groups,
                                .rows = s->rows};
        back.dy = input(r, rows * (i ? k : n), 1);
        back.workspace = room(r, r->kern->product_grad_workspace(r->kern, &back));
        r->kern->product_dx(r->kern, &back);
        keep(r, back.dx, rows * (i ? n : k));
        r->kern->weight_close(r->kern, &w[i]);
    }
}

static void case_gelu(run *r, const sizes *s) {
    size_t n = (size_t)s->a;
    vt_bf16 *pre = input_half(r, n, 6 * size_of(s)), *act = output_half(r, n);
    r->kern->gelu_bf16(r->kern, act, pre, n);
    keep_half(r, act, n);
}

/* a: width; b: with h; c: norm; d: in place */
static void case_residual(run *r, const sizes *s) {
    size_t groups = (size_t)s->groups, rows = groups * (size_t)s->rows, width = (size_t)s->a;
    size_t stride = width + 5, mods = groups * stride;
    vt_residual a = {.groups = s->groups, .rows = s->rows, .width = s->a, .eps = 1e-6f};
    float *x = input(r, rows * width, size_of(s));
    a.x = x;
    a.mod_stride = stride;
    if (s->b) {
        a.h = input_half(r, rows * width, 1);
        a.gamma = input(r, mods, 1);
    }
    a.sum = s->d ? x : s->b || s->c == 2 ? output(r, rows * width) : NULL;
    if (s->c) {
        a.y = output_half(r, rows * width);
        a.scale = input(r, mods, 1);
        a.shift = input(r, mods, 1);
        a.mean = output(r, rows);
        a.rstd = output(r, rows);
    }
    r->kern->residual(r->kern, &a);
    if (a.sum) keep(r, a.sum, rows * width);
    if (!s->c) return;
    keep_half(r, a.y, rows * width);
    keep(r, a.mean, rows);
    keep(r, a.rstd, rows);
}

/* a: width; b: with norm; c: with gate */
static void case_residual_dx(run *r, const sizes *s) {
    size_t groups = (size_t)s->groups, rows = groups * (size_t)s->rows, width = (size_t)s->a;
    size_t stride = 3 * width + 2, mods = groups * stride;
    vt_residual_grad a = {
        .groups = s->groups, .rows = s->rows, .width = s->a, .mod_stride = stride};
    float *mod = input(r, mods, 1), *dmod = input(r, mods, 1);
    a.dx = input(r, rows * width, 1);
    if (s->b) {
        a.x = input(r, rows * width, 1);
        a.dy = input_half(r, rows * width, size_of(s));
        a.mean = input(r, rows, 0.1);
        a.rstd = input(r, rows, 2);
        a.scale = mod;
        a.dscale = dmod;
        a.dshift = dmod + width;
    }
    if (s->c) {
        a.h = input_half(r, rows * width, 1);
        a.gamma = mod + 2 * width;
        a.dgamma = dmod + 2 * width;
        a.dh = output_half(r, rows * width);
    }
    r->kern->residual_dx(r->kern, &a);
    keep(r, a.dx, rows * width);
    keep(r, dmod, mods);
    if (s->c) keep_half(r, a.dh, rows * width);
}

/* Segments of a sample of `rows` rows: 1, 4, 9, ... and what is left. */
static int segments_of(int rows, int *ends) {
    int count = 0, at = 0;
    for (int side = 1; at < rows; ++side) {
        at = at + side * side < rows ? at + side * side : rows;
        ends[count++] = at;
    }
    return count;
}

/* a: heads; b: head size; c: normalised; d: backward */
static void case_attend(run *r, const sizes *s) {
    int ends[64];
    size_t width = (size_t)(s->a * s->b), rows = (size_t)(s->groups * s->rows);
    vt_attend a = {.groups = s->groups, .rows = s->rows, .heads = s->a, .head_dim = s->b};
    a.segments = segments_of(s->rows, ends);
    a.ends = ends;
    a.scale = s->c ? 1.0f : 0.25f / sqrtf((float)s->b);
    a.qkv = input_half(r, rows * 3 * width, size_of(s));
    a.q_bias = input(r, width, 0.3);
    a.v_bias = input(r, width, 0.3);
    float *scale_mul = input(r, (size_t)s->a, 1);
    if (s->a > 1) scale_mul[1] = 6.0f; /* beyond ln 100: held there, without gradient */
    if (s->c) a.scale_mul = scale_mul;
    vt_bf16 *out = output_half(r, rows * width);
    a.out = out;
    a.log_sum = output(r, rows * (size_t)s->a);
    a.workspace = room(r, r->kern->attend_workspace(r->kern, &a));
    r->kern->attend(r->kern, &a);
    if (!s->d) {
        keep_half(r, out, rows * width);
        keep(r, a.log_sum, rows * (size_t)s->a);
        return;
    }
    vt_attend_grad g = {.forward = a, .dout = input_half(r, rows * width, 1)};
    g.forward.workspace = room(r, r->kern->attend_grad_workspace(r->kern, &a));
    vt_bf16 *dqkv = output_half(r, rows * 3 * width);
    g.dqkv = dqkv;
    g.dq_bias = input(r, width, 1);
    g.dv_bias = input(r, width, 1);
    g.dscale_mul = s->c ? input(r, (size_t)s->a, 1) : NULL;
    r->kern->attend_dx(r->kern, &g);
    keep_half(r, dqkv, rows * 3 * width);
    keep(r, g.dq_bias, width);
    keep(r, g.dv_bias, width);
    if (s->c) keep(r, g.dscale_mul, (size_t)s->a);
}

/* ---- running ---- */

typedef struct test_case {
    const char *name;
    void (*go)(run *r, const sizes *s);
    sizes sizes;
    double tolerance; /* of the root mean square of the difference, over that of the result */
} test_case;

#define HALF 4e-3 /* results rounded to bf16: half of 2^-8, and a neighbour now and then */

static const test_case cases[] = {
    {"product_dx", case_product_dx, {1, 1, 1, 1, 0, 0, 0}, HALF},
    {"product_dx", case_product_dx, {1, 33, 64, 48, 0, 0, 0}, HALF},
    {"product_dx", case_product_dx, {3, 25, 65, 130, 0, 0, 0}, HALF},
    {"product_dx", case_product_dx, {2, 100, 96, 17, 0, 1, 0}, 1e-5},
    {"product_dx", case_product_dx, {5, 1, 130, 33, 1, 1, 0}, 1e-5},
    {"product_dx", case_product_dx, {2, 50, 384, 128, 1, 0, 0}, 1e-5},
    {"product_dx", case_product_dx, {1, 31, 33, 300, 0, 0, 1e18}, HALF},
    {"product_dx", case_product_dx, {2, 0, 65, 130, 0, 0, 0}, 0},
    {"product_dx_gelu", case_product_dx_gelu, {1, 1, 3, 1, 1, 0, 0}, HALF},
    {"product_dx_gelu", case_product_dx_gelu, {1, 77, 128, 512, 1, 0, 0}, HALF},
    {"product_dx_gelu", case_product_dx_gelu, {3, 25, 65, 131, 0, 0, 0}, HALF},
    {"product_dx_gelu", case_product_dx_gelu, {1, 40, 33, 65, 1, 0, 1e4}, HALF},
    {"product_dw", case_product_dw, {1, 1, 1, 1, 0, 0, 0}, 1e-5},
    {"product_dw", case_product_dw, {1, 2, 17, 33, 0, 1, 0}, 1e-5},
    {"product_dw", case_product_dw, {3, 301, 130, 65, 0, 0, 0}, 1e-5},
    {"product_dw", case_product_dw, {1, 1027, 33, 300, 1, 0, 0}, 1e-5},
    {"product_dw", case_product_dw, {2, 515, 300, 290, 0, 1, 0}, 1e-5},
    {"product_dw", case_product_dw, {1, 5, 530, 270, 0, 0, 0}, 1e-5},
    {"product_dw", case_product_dw, {1, 600, 40, 50, 0, 0, 1e30}, 1e-5},
    {"product_dw", case_product_dw, {1, 2399, 33, 40, 0, 0, 0}, 1e-5},
    {"product_dw", case_product_dw, {1, 0, 30, 53, 0, 0, 0}, 0},
    {"refresh", case_refresh, {1, 9, 17, 33, 0, 0, 0}, 1e-5},
    {"refresh", case_refresh, {2, 13, 200, 320, 0, 0, 0}, 1e-5},
    {"gelu", case_gelu, {0, 0, 1, 0, 0, 0, 0}, HALF},
    {"gelu", case_gelu, {0, 0, 50021, 0, 0, 0, 0}, HALF},
    {"gelu", case_gelu, {0, 0, 333, 0, 0, 0, 1e30}, HALF},
    {"gelu", case_gelu, {0, 0, 0, 0, 0, 0, 0}, 0},
    {"residual", case_residual, {1, 1, 1, 0, 1, 0, 0}, HALF},
    {"residual", case_residual, {3, 7, 33, 1, 1, 0, 0}, HALF},
    {"residual", case_residual, {2, 40, 128, 1, 0, 1, 0}, 1e-6},
    {"residual", case_residual, {2, 155, 128, 0, 2, 0, 100}, HALF},
    {"residual", case_residual, {2, 60, 130, 1, 1, 1, 0}, HALF},
    {"residual", case_residual, {4, 0, 64, 1, 1, 0, 0}, 0},
    {"residual_dx", case_residual_dx, {1, 1, 1, 1, 1, 0, 0}, HALF},
    {"residual_dx", case_residual_dx, {3, 7, 33, 1, 0, 0, 0}, 1e-5},
    {"residual_dx", case_residual_dx, {2, 40, 128, 0, 1, 0, 0}, HALF},
    {"residual_dx", case_residual_dx, {5, 155, 130, 1, 1, 0, 0}, HALF},
    {"residual_dx", case_residual_dx, {2, 0, 64, 1, 1, 0, 0}, 0},
    {"attend", case_attend, {1, 1, 1, 16, 1, 0, 0}, HALF},
    {"attend", case_attend, {2, 155, 2, 64, 1, 0, 0}, HALF},
    {"attend", case_attend, {2, 30, 3, 20, 0, 0, 0}, HALF},
    {"attend", case_attend, {1, 91, 2, 80, 1, 0, 0}, HALF},
    {"attend", case_attend, {1, 170, 1, 128, 0, 0, 0}, HALF},
    {"attend", case_attend, {3, 55, 4, 16, 0, 0, 20}, 2 * HALF},
    {"attend", case_attend, {3, 0, 4, 16, 0, 0, 0}, 0},
    {"attend_dx", case_attend, {1, 1, 1, 16, 1, 1, 0}, 4 * HALF},
    {"attend_dx", case_attend, {2, 155, 2, 64, 1, 1, 0}, 4 * HALF},
    {"attend_dx", case_attend, {2, 30, 3, 20, 0, 1, 0}, 4 * HALF},
    {"attend_dx", case_attend, {1, 91, 2, 80, 1, 1, 0}, 4 * HALF},
    {"attend_dx", case_attend, {1, 170, 1, 128, 0, 1, 0}, 4 * HALF},
    {"attend_dx", case_attend, {4, 47, 2, 33, 1, 1, 0}, 4 * HALF},
    {"attend_dx", case_attend, {3, 0, 4, 16, 1, 1, 0}, 0},
};
enum { CASES = sizeof cases / sizeof *cases };

static void run_open(run *r, const test_case *c, const char *backend, int threads) {
    variant_error err = {0};
    *r = (run){.state = 1 + (uint64_t)(c - cases)};
    assert_int_equal(vt_kern_open(&r->kern, backend, threads, &err), VARIANT_OK);
    c->go(r, &c->sizes);
}

static void run_end(run *r) {
    run_close(r);
    vt_kern_close(&r->kern);
}

/* Root mean square of the difference over that of what is right. */
static double error_of(const record *got, const record *want) {
    double difference = 0, size = 0;
    for (size_t i = 0; i < want->n; ++i) {
        double d = (double)got->data[i] - want->data[i];
        difference += d * d;
        size += (double)want->data[i] * want->data[i];
    }
    return difference == 0 ? 0 : sqrt(difference / (size > 0 ? size : 1e-30));
}

static void against_plain(void **state) {
    (void)state;
    for (const test_case *c = cases; c < cases + CASES; ++c) {
        run want, got;
        run_open(&want, c, "ref", 1);
        run_open(&got, c, "cpu", 2);
        assert_int_equal(want.record_count, got.record_count);
        for (int i = 0; i < want.record_count; ++i) {
            double error = error_of(&got.records[i], &want.records[i]);
            if (!(error <= c->tolerance))
                fail_msg("%s, case %d, result %d: error %.3g, allowed %.3g", c->name,
                         (int)(c - cases), i, error, c->tolerance);
        }
        run_end(&want);
        run_end(&got);
    }
}

static void same_for_any_threads(void **state) {
    (void)state;
    for (const test_case *c = cases; c < cases + CASES; ++c) {
        run one, many;
        run_open(&one, c, "cpu", 1);
        run_open(&many, c, "cpu", 5);
        for (int i = 0; i < one.record_count; ++i)
            if (memcmp(one.records[i].data, many.records[i].data,
                       one.records[i].n * sizeof(float)) != 0)
                fail_msg("%s, case %d, result %d: differs between 1 and 5 threads", c->name,
                         (int)(c - cases), i);
        run_end(&one);
        run_end(&many);
    }
}

/* The first sample alone gives the bits that it has among three. */
static void same_for_any_neighbours(void **state) {
    (void)state;
    enum { GROUPS = 3, ROWS = 37, HEADS = 2, DIM = 32, C = HEADS * DIM };
    run r = {.state = 7};
    variant_error err = {0};
    int ends[8];
    assert_int_equal(vt_kern_open(&r.kern, "cpu", 2, &err), VARIANT_OK);
    size_t one = (size_t)ROWS * 3 * C;
    vt_bf16 *qkv = input_half(&r, GROUPS * one, 1), *dout = input_half(&r, GROUPS * ROWS * C, 1);
    float *bias = input(&r, 2 * C, 1), *log_sum = output(&r, GROUPS * HEADS * ROWS);
    float *sums = input(&r, 4 * C, 1);
    vt_bf16 *result[2][2];
    for (int i = 0; i < 2; ++i) {
        vt_attend a = {.qkv = qkv,
                       .q_bias = bias,
                       .v_bias = bias + C,
                       .log_sum = log_sum,
                       .groups = i ? 1 : GROUPS,
                       .rows = ROWS,
                       .heads = HEADS,
                       .head_dim = DIM,
                       .segments = segments_of(ROWS, ends),
                       .ends = ends,
                       .scale = 0.1f};
        result[i][0] = output_half(&r, GROUPS * ROWS * C);
        result[i][1] = output_half(&r, GROUPS * one);
        a.out = result[i][0];
        a.workspace = room(&r, r.kern->attend_workspace(r.kern, &a));
        r.kern->attend(r.kern, &a);
        a.workspace = room(&r, r.kern->attend_grad_workspace(r.kern, &a));
        r.kern->attend_dx(r.kern, &(vt_attend_grad){.forward = a,
                                                    .dout = dout,
                                                    .dqkv = result[i][1],
                                                    .dq_bias = sums,
                                                    .dv_bias = sums + C});
    }
    assert_memory_equal(result[0][0], result[1][0], ROWS * C * sizeof(vt_bf16));
    assert_memory_equal(result[0][1], result[1][1], one * sizeof(vt_bf16));

    /* a row of dx, alone and among all */
    enum { N = 65, K = 50 };
    vt_weight *w = weight_of(&r, input(&r, N * K, 1), N, K);
    vt_bf16 *dy = input_half(&r, GROUPS * ROWS * N, 1), *dx = output_half(&r, GROUPS * ROWS * K);
    vt_bf16 *alone = output_half(&r, K);
    vt_product_grad a = {.w = w, .dy = dy, .dx = dx, .groups = GROUPS, .rows = ROWS};
    a.dy_type = a.dx_type = VT_NUMBER_BF16;
    a.workspace = room(&r, r.kern->product_grad_workspace(r.kern, &a));
    r.kern->product_dx(r.kern, &a);
    a.groups = a.rows = 1;
    a.dy = dy + 40 * N;
    a.dx = alone;
    r.kern->product_dx(r.kern, &a);
    assert_memory_equal(alone, dx + 40 * K, K * sizeof *alone);
    r.kern->weight_close(r.kern, &w);
    run_end(&r);
}

/* What cannot have gradients says so. */
static void refused(void **state) {
    (void)state;
    vt_kern *kern = NULL;
    vt_weight *weight = NULL;
    variant_error err = {0};
    float values[64] = {0};
    assert_int_equal(vt_kern_open(&kern, "cpu", 1, &err), VARIANT_OK);
    vt_weight_spec spec = {
        .type = VT_NUMBER_INT8, .n = 8, .k = 8, .values = values, .gradients = true};
    assert_int_equal(kern->weight_open(kern, &weight, &spec, &err), VARIANT_E_ARGUMENT);
    assert_null(weight);
    vt_kern_close(&kern);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(against_plain),
        cmocka_unit_test(same_for_any_threads),
        cmocka_unit_test(same_for_any_neighbours),
        cmocka_unit_test(refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

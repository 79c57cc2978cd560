/* test_kern_slopes.c - ref's backward operations (transformer, elementwise) against differences of
 * its forward ones, along random directions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kern_run.h"

static vt_kern *ref;
static const int pyramid[] = {1, 5, 14};

/* value: a scalar of x computed by the forward operation; grad: what backward says. Compares the
 * slope along random directions. */
typedef double (*scalar_function)(run *r, void *args);

static void check_slope(run *r, const char *what, scalar_function value, void *args, float *x,
                        const float *grad, size_t n) {
    float *start_x = malloc(n * sizeof *x), *way = malloc(n * sizeof *way);
    assert_non_null(start_x);
    assert_non_null(way);
    memcpy(start_x, x, n * sizeof *x);
    for (int trial = 0; trial < 3; ++trial) {
        const double h = 4e-3;
        double want = 0, size = 0;
        for (size_t i = 0; i < n; ++i) {
            way[i] = (float)(2 * draw(r) - 1);
            want += (double)grad[i] * way[i];
            size += (double)grad[i] * grad[i];
        }
        for (size_t i = 0; i < n; ++i) x[i] = (float)(start_x[i] + h * way[i]);
        double high = value(r, args);
        for (size_t i = 0; i < n; ++i) x[i] = (float)(start_x[i] - h * way[i]);
        double slope = (high - value(r, args)) / (2 * h);
        memcpy(x, start_x, n * sizeof *x);
        if (!(fabs(slope - want) <= 3e-3 * (sqrt(size) + fabs(want))))
            fail_msg("%s: slope %g, backward says %g", what, slope, want);
    }
    free(start_x);
    free(way);
}

static double weigh(const float *y, const float *by, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (double)y[i] * by[i];
    return sum;
}

typedef struct activation {
    void (*op)(vt_kern *, float *, const float *, size_t);
    float *x, *y, *dy;
    size_t n;
} activation;

static double activation_value(run *r, void *args) {
    activation *a = args;
    a->op(r->kern, a->y, a->x, a->n);
    return weigh(a->y, a->dy, a->n);
}

static void test_slopes_elementwise(void **state) {
    (void)state;
    enum { N = 40 };
    run r = {.kern = ref, .state = 17};
    activation a = {ref->gelu, input(&r, N, 3), output(&r, N), input(&r, N, 1), N};
    float *dx = output(&r, N);
    ref->gelu_dx(ref, dx, a.dy, a.x, N);
    check_slope(&r, "gelu", activation_value, &a, a.x, dx, N);
    a.op = ref->silu;
    ref->silu_dx(ref, dx, a.dy, a.x, N);
    check_slope(&r, "silu", activation_value, &a, a.x, dx, N);
    run_close(&r);
}

typedef struct norm_args {
    vt_norm_modulate f;
    const float *dy;
} norm_args;

static double norm_value(run *r, void *args) {
    norm_args *a = args;
    r->kern->norm_modulate(r->kern, &a->f);
    return weigh(a->f.y, a->dy, (size_t)(a->f.groups * a->f.rows * a->f.width));
}

static void test_slopes_norm(void **state) {
    (void)state;
    enum { G = 2, R = 3, W = 16, N = G * R * W, M = G * W };
    run r = {.kern = ref, .state = 23};
    float *x = input(&r, N, 1), *scale = input(&r, M, 1), *shift = input(&r, M, 1);
    norm_args a = {{.x = x,
                    .scale = scale,
                    .shift = shift,
                    .mod_stride = W,
                    .y = output(&r, N),
                    .mean = output(&r, G * R),
                    .rstd = output(&r, G * R),
                    .groups = G,
                    .rows = R,
                    .width = W,
                    .eps = 1e-6f},
                   input(&r, N, 1)};
    float *dx = input(&r, N, 0), *dscale = input(&r, M, 0), *dshift = input(&r, M, 0);
    norm_value(&r, &a);
    const vt_norm_modulate_grad g = {a.f, a.dy, dx, dscale, dshift};
    ref->norm_modulate_dx(ref, &g);
    check_slope(&r, "norm_modulate x", norm_value, &a, x, dx, N);
    check_slope(&r, "norm_modulate scale", norm_value, &a, scale, dscale, M);
    check_slope(&r, "norm_modulate shift", norm_value, &a, shift, dshift, M);
    run_close(&r);
}

typedef struct qkv_args {
    vt_qkv f;
    const float *dq, *dk, *dv;
} qkv_args;

static double qkv_value(run *r, void *args) {
    qkv_args *a = args;
    size_t n = (size_t)(a->f.groups * a->f.rows * a->f.heads * a->f.head_dim);
    r->kern->qkv_split(r->kern, &a->f);
    return weigh(a->f.q, a->dq, n) + weigh(a->f.k, a->dk, n) + weigh(a->f.v, a->dv, n);
}

static void test_slopes_qkv(void **state) {
    (void)state;
    enum { G = 2, R = 3, H = 2, D = 12, W = H * D, N = G * R * W };
    for (int normed = 0; normed < 2; ++normed) {
        run r = {.kern = ref, .state = 31};
        float *qkv = input(&r, 3 * N, 1), *q_bias = input(&r, W, 1), *v_bias = input(&r, W, 1);
        float *scale_mul = input(&r, H, 1);
        qkv_args a = {{.qkv = qkv,
                       .q_bias = q_bias,
                       .v_bias = v_bias,
                       .scale_mul = normed ? scale_mul : NULL,
                       .q = output(&r, N),
                       .k = output(&r, N),
                       .v = output(&r, N),
                       .kv_stride = W,
                       .kv_group_stride = R * W,
                       .groups = G,
                       .rows = R,
                       .heads = H,
                       .head_dim = D},
                      input(&r, N, 1),
                      input(&r, N, 1),
                      input(&r, N, 1)};
        float *dqkv = output(&r, 3 * N), *dq_bias = input(&r, W, 0), *dv_bias = input(&r, W, 0);
        float *dscale = input(&r, H, 0);
        const vt_qkv_grad g = {a.f,  a.dq,    a.dk,    a.dv,
                               dqkv, dq_bias, dv_bias, normed ? dscale : NULL};
        ref->qkv_split_dx(ref, &g);
        check_slope(&r, "qkv_split qkv", qkv_value, &a, qkv, dqkv, 3 * N);
        check_slope(&r, "qkv_split q_bias", qkv_value, &a, q_bias, dq_bias, W);
        check_slope(&r, "qkv_split v_bias", qkv_value, &a, v_bias, dv_bias, W);
        if (normed) check_slope(&r, "qkv_split scale_mul", qkv_value, &a, scale_mul, dscale, H);
        run_close(&r);
    }
}

typedef struct attention_args {
    vt_attention f;
    const float *dout;
} attention_args;

static double attention_value(run *r, void *args) {
    attention_args *a = args;
    r->kern->attention(r->kern, &a->f);
    return weigh(a->f.out, a->dout, (size_t)a->f.groups * a->f.out_group_stride);
}

static void test_slopes_attention(void **state) {
    (void)state;
    enum { G = 2, H = 2, D = 8, W = H * D, R = 14, N = G * R * W };
    run r = {.kern = ref, .state = 41};
    float *q = input(&r, N, 2), *k = input(&r, N, 2), *v = input(&r, N, 1);
    attention_args a = {{.q = q,
                         .k = k,
                         .v = v,
                         .out = output(&r, N),
                         .q_stride = W,
                         .kv_stride = W,
                         .out_stride = W,
                         .q_group_stride = R * W,
                         .kv_group_stride = R * W,
                         .out_group_stride = R * W,
                         .groups = G,
                         .heads = H,
                         .head_dim = D,
                         .segments = 3,
                         .q_end = pyramid,
                         .k_end = pyramid,
                         .scale = 0.35f,
                         .workspace = output(&r, R)},
                        input(&r, N, 1)};
    float *dq = output(&r, N), *dk = output(&r, N), *dv = output(&r, N);
    attention_value(&r, &a);
    vt_attention_grad g = {a.f, a.dout, dq, dk, dv};
    g.forward.workspace = output(&r, floats_in(ref->attention_grad_workspace(ref, &a.f)));
    ref->attention_dx(ref, &g);
    check_slope(&r, "attention q", attention_value, &a, q, dq, N);
    check_slope(&r, "attention k", attention_value, &a, k, dk, N);
    check_slope(&r, "attention v", attention_value, &a, v, dv, N);
    run_close(&r);
}

static double loss_value(run *r, void *args) {
    vt_cross_entropy a = *(vt_cross_entropy *)args;
    a.dlogits = NULL;
    r->kern->cross_entropy(r->kern, &a);
    double sum = 0;
    for (int i = 0; i < a.rows; ++i) {
        sum += (double)a.loss[i] * a.weight;
        if (a.teacher) sum += (double)a.pull[i] * (double)a.kl[i] * a.weight;
    }
    return sum;
}

static void test_slopes_loss(void **state) {
    (void)state;
    enum { R = 4, V = 11 };
    for (int smoothing = 0; smoothing < 2; ++smoothing) {
        run r = {.kern = ref, .state = 53};
        float *logits = input(&r, R * V, 2), *dlogits = output(&r, R * V), *loss = output(&r, R);
        const int32_t targets[R] = {0, 10, 5, 5};
        vt_cross_entropy a = {.logits = logits,
                              .targets = targets,
                              .dlogits = dlogits,
                              .loss = loss,
                              .rows = R,
                              .vocab = V,
                              .smoothing = 0.1f * (float)smoothing,
                              .weight = 2.5f};
        ref->cross_entropy(ref, &a);
        check_slope(&r, "cross_entropy", loss_value, &a, logits, dlogits, R * V);
        const float pull[R] = {0.7f, 0, 2, 1};
        a.teacher = input(&r, R * V, 2);
        a.pull = pull;
        a.kl = output(&r, R);
        ref->cross_entropy(ref, &a);
        check_slope(&r, "cross_entropy, taught", loss_value, &a, logits, dlogits, R * V);
        run_close(&r);
    }
}

static int open_ref(void **state) {
    (void)state;
    return vt_kern_open(&ref, "ref", 0, NULL) == VARIANT_OK ? 0 : -1;
}

static int close_ref(void **state) {
    (void)state;
    vt_kern_close(&ref);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_slopes_elementwise), cmocka_unit_test(test_slopes_norm),
        cmocka_unit_test(test_slopes_qkv),         cmocka_unit_test(test_slopes_attention),
        cmocka_unit_test(test_slopes_loss),
    };
    return cmocka_run_group_tests(tests, open_ref, close_ref);
}

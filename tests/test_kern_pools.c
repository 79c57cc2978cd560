/* test_kern_pools.c - pools, bilinear resizing and convolutions with rectangular kernels: ref by hand, cpu
 * against ref at every instruction set and for any threads. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpu.h"
#include "tests/kern_run.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

typedef void a_case(run *r, const int *sizes);

static void compare(const char *what, const run *got, const run *want, double tolerance) {
    assert_int_equal(got->record_count, want->record_count);
    for (int i = 0; i < want->record_count; ++i)
        for (size_t j = 0; j < want->records[i].n; ++j) {
            float a = got->records[i].data[j], b = want->records[i].data[j];
            bool equal = a == b || (isnan(a) && isnan(b)) ||
                         fabs((double)a - b) <= tolerance * (1 + fabs((double)b));
            if (!equal) fail_msg("%s: number %zu is %.9g, expected %.9g", what, j, a, b);
        }
}

static void one_run(run *r, a_case *which, const int *sizes, const char *backend, int threads) {
    variant_error err = {0};
    *r = (run){.state = 7};
    if (vt_kern_open(&r->kern, backend, threads, &err) != VARIANT_OK) fail_msg("%s", err.message);
    which(r, sizes);
}

static void end_run(run *r) {
    run_close(r);
    vt_kern_close(&r->kern);
}

/* Every instruction set within tolerance of ref; three threads give the bits of one. */
static void check(const char *what, a_case *which, const int *sizes, double tolerance) {
    run want;
    one_run(&want, which, sizes, "ref", 1);
    for (int isa = 0; isa <= (int)vt_isa_best(); ++isa) {
        run one, three;
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        one_run(&one, which, sizes, "cpu", 1);
        one_run(&three, which, sizes, "cpu", 3);
        unsetenv("VARIANT_CPU");
        compare(what, &one, &want, tolerance);
        compare("three threads", &three, &one, 0);
        end_run(&one);
        end_run(&three);
    }
    end_run(&want);
}

/* groups, h, w, channels, window, stride, pad, y_stride, average, size of numbers */
static void pool_case(run *r, const int *s) {
    vt_pooling a = {.groups = s[0],
                    .in_h = s[1],
                    .in_w = s[2],
                    .channels = s[3],
                    .window = s[4],
                    .stride = s[5],
                    .pad = s[6],
                    .y_stride = s[7],
                    .average = s[8] != 0};
    a.out_h = (a.in_h + 2 * a.pad - a.window) / a.stride + 1;
    a.out_w = (a.in_w + 2 * a.pad - a.window) / a.stride + 1;
    size_t stride = (size_t)(a.y_stride ? a.y_stride : a.channels);
    size_t n = (size_t)(a.groups * a.out_h * a.out_w) * stride;
    float *x = input(r, (size_t)(a.groups * a.in_h * a.in_w * a.channels), pow(10, s[9]));
    if (s[9] < 0 && a.groups > 0) x[0] = INFINITY;
    a.x = x;
    a.y = output(r, n);
    r->kern->pool(r->kern, &a);
    for (size_t i = 0; i < n; ++i) a.y[i] /= (float)pow(10, s[9]); /* errors are of x's size */
    keep(r, a.y, n);
}

static void test_pools(void **unused) {
    (void)unused;
    static const int cases[][10] = {
        {2, 35, 35, 33, 3, 1, 1, 0, 1, 0},   {1, 17, 17, 64, 3, 1, 1, 100, 1, 3},
        {3, 8, 8, 5, 8, 1, 0, 0, 1, 0},      {2, 73, 5, 16, 3, 2, 0, 0, 0, 0},
        {1, 8, 8, 19, 3, 1, 1, 40, 0, -3},   {5, 1, 1, 1, 3, 1, 1, 0, 1, 0},
        {5, 1, 7, 2, 3, 1, 1, 0, 0, 0},      {0, 4, 4, 4, 3, 1, 1, 0, 1, 0},
        {2, 147, 147, 17, 3, 2, 0, 0, 0, 0}, {2, 3, 3, 700, 3, 2, 0, 701, 1, 30},
    };
    for (size_t i = 0; i < COUNT(cases); ++i) check("pool", pool_case, cases[i], 2e-6);
}

static void test_pools_by_hand(void **unused) {
    (void)unused;
    const float x[6] = {1, -2, 3, -4, 5, 6}; /* two lines of three */
    const float most[6] = {5, 6, 6, 5, 6, 6}, mean[6] = {0, 1.5f, 3, 0, 1.5f, 3};
    float y[6];
    variant_error err;
    vt_kern *ref = NULL;
    assert_int_equal(vt_kern_open(&ref, "ref", 1, &err), VARIANT_OK);
    vt_pooling a = {.x = x,
                    .y = y,
                    .groups = 1,
                    .in_h = 2,
                    .in_w = 3,
                    .out_h = 2,
                    .out_w = 3,
                    .channels = 1,
                    .window = 3,
                    .stride = 1,
                    .pad = 1};
    ref->pool(ref, &a);
    assert_memory_equal(y, most, sizeof y);
    a.average = true; /* padding does not count */
    ref->pool(ref, &a);
    for (int i = 0; i < 6; ++i) assert_true(fabsf(y[i] - mean[i]) < 1e-6f);
    const float two[2] = {0, 1}, four[4] = {0, 0.25f, 0.75f, 1};
    ref->resize_bilinear(ref, y, two, 1, 1, 2, 1, 4, 1);
    assert_memory_equal(y, four, sizeof four);
    ref->resize_bilinear(ref, y, x, 1, 2, 3, 1, 1, 1); /* between the lines, the middle column */
    assert_true(fabsf(y[0] - 1.5f) < 1e-6f);
    vt_kern_close(&ref);
}

/* groups, in_h, in_w, out_h, out_w, channels */
static void resize_case(run *r, const int *s) {
    size_t n = (size_t)(s[0] * s[3] * s[4] * s[5]);
    const float *x = input(r, (size_t)(s[0] * s[1] * s[2] * s[5]), 1);
    float *y = output(r, n);
    r->kern->resize_bilinear(r->kern, y, x, s[0], s[1], s[2], s[3], s[4], s[5]);
    keep(r, y, n);
    if (s[1] == s[3] && s[2] == s[4]) assert_memory_equal(x, y, n * sizeof *x);
}

static void test_resize(void **unused) {
    (void)unused;
    static const int cases[][6] = {
        {2, 32, 32, 299, 299, 3}, {1, 1, 1, 299, 299, 3}, {1, 400, 311, 299, 299, 3},
        {3, 5, 9, 4, 13, 1},      {2, 1, 8, 3, 1, 17},    {2, 299, 299, 299, 299, 3},
        {0, 3, 3, 5, 5, 3},
    };
    for (size_t i = 0; i < COUNT(cases); ++i) check("resize", resize_case, cases[i], 2e-6);
}

/* groups, in_h, in_w, in_c, out_c, rows, columns, stride, pad_top, pad_left, y_stride, relu, bias */
static void conv_case(run *r, const int *s) {
    vt_conv a = {.groups = s[0],
                 .in_h = s[1],
                 .in_w = s[2],
                 .in_c = s[3],
                 .out_c = s[4],
                 .kernel = s[5],
                 .kernel_w = s[6],
                 .stride = s[7],
                 .pad_top = s[8],
                 .pad_left = s[9],
                 .y_stride = s[10],
                 .relu = s[11] != 0};
    variant_error err;
    vt_weight *w = NULL;
    int k = a.kernel * a.kernel_w * a.in_c;
    a.out_h = (a.in_h + 2 * a.pad_top - a.kernel) / a.stride + 1;
    a.out_w = (a.in_w + 2 * a.pad_left - a.kernel_w) / a.stride + 1;
    int stride = a.y_stride ? a.y_stride : a.out_c;
    size_t n = (size_t)(a.groups * a.out_h * a.out_w) * (size_t)stride;
    a.x = input(r, (size_t)(a.groups * a.in_h * a.in_w * a.in_c), 1);
    vt_weight_spec spec = {
        .n = a.out_c, .k = k, .values = input(r, (size_t)(a.out_c * k), 1 / sqrt(k))};
    assert_int_equal(r->kern->weight_open(r->kern, &w, &spec, &err), VARIANT_OK);
    a.w = w;
    if (s[12]) a.bias = input(r, (size_t)a.out_c, 1);
    a.y = output(r, n);
    a.workspace = output(r, floats_in(r->kern->conv_workspace(r->kern, &a)));
    r->kern->conv(r->kern, &a);
    keep(r, a.y, n); /* what lies between is still NaN */
    r->kern->weight_close(r->kern, &w);
}

static void test_convolutions(void **unused) {
    (void)unused;
    static const int cases[][13] = {
        {2, 17, 17, 16, 21, 1, 7, 1, 0, 3, 0, 1, 1},  {2, 17, 17, 16, 21, 7, 1, 1, 3, 0, 50, 1, 1},
        {1, 8, 8, 33, 40, 1, 3, 1, 0, 1, 0, 0, 1},    {3, 8, 8, 20, 8, 3, 1, 1, 1, 0, 9, 1, 0},
        {1, 21, 35, 8, 16, 5, 5, 1, 2, 2, 17, 1, 1},  {2, 35, 35, 7, 12, 3, 3, 2, 0, 0, 30, 1, 1},
        {1, 29, 30, 3, 32, 3, 3, 2, 0, 0, 0, 1, 1},   {4, 1, 1, 64, 10, 1, 1, 1, 0, 0, 0, 0, 0},
        {2, 8, 8, 70, 330, 1, 1, 1, 0, 0, 400, 1, 1}, {0, 8, 8, 4, 4, 1, 3, 1, 0, 1, 0, 1, 1},
        {1, 3, 2, 2, 1, 1, 7, 1, 0, 3, 0, 1, 1},
    };
    for (size_t i = 0; i < COUNT(cases); ++i) check("conv", conv_case, cases[i], 2e-5);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_pools_by_hand),
        cmocka_unit_test(test_pools),
        cmocka_unit_test(test_resize),
        cmocka_unit_test(test_convolutions),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

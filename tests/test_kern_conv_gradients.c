/* test_kern_conv_gradients.c - backward of convolutions with bf16 weights against the plain-C twin: odd
 * sizes, one pixel, no picture, strides, unlike margins, extremes, poisoned outputs, canaries; weights
 * that changed; and that neither threads nor neighbours change a bit. VARIANT_CPU lowers the instruction
 * set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "kern/kern.h"
#include "tests/kern_run.h"

typedef struct conv_case {
    int groups, in_h, in_w, in_c, out_h, out_w, out_c, kernel, stride, pad_top, pad_left;
    double size; /* of dy's numbers; 0: 1 */
} conv_case;

static const conv_case cases[] = {
    {5, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 0},
    {0, 5, 5, 16, 5, 5, 16, 3, 1, 1, 1, 0},
    {5, 5, 7, 16, 5, 7, 32, 3, 1, 1, 1, 0},
    {5, 19, 23, 18, 19, 23, 33, 3, 1, 1, 1, 0},
    {3, 18, 14, 33, 9, 7, 18, 3, 2, 0, 0, 0}, /* the encoder's: padded right and bottom by one */
    {3, 17, 13, 32, 9, 7, 3, 3, 2, 1, 1, 0},
    {2, 9, 17, 16, 9, 17, 330, 3, 1, 1, 1, 0},
    {2, 3, 5, 330, 3, 5, 16, 3, 1, 1, 1, 0},
    {5, 6, 6, 18, 4, 4, 3, 3, 1, 0, 0, 0},
    {5, 4, 3, 18, 6, 5, 3, 3, 1, 2, 2, 0},
    {5, 7, 5, 16, 3, 2, 18, 4, 2, 1, 1, 0},
    {2, 9, 11, 16, 9, 11, 17, 5, 1, 2, 2, 0},
    {3, 6, 5, 16, 7, 4, 3, 3, 1, 2, 0, 0}, /* unlike margins */
    {2, 4, 4, 16, 9, 5, 3, 3, 1, 4, 1, 0}, /* and wider than the kernel */
    {2, 9, 8, 16, 5, 4, 18, 3, 2, 1, 0, 0},
    {4, 32, 32, 32, 32, 32, 32, 3, 1, 1, 1, 0}, /* lanes and bands */
    {40, 4, 4, 64, 4, 4, 64, 3, 1, 1, 1, 1e-6}, /* many small pictures */
    {1, 64, 66, 16, 32, 33, 16, 3, 2, 0, 0, 1e6},
    {1, 8, 150, 32, 8, 150, 16, 3, 1, 1, 1, 0}, /* rows longer than a tile */
};
enum { CASES = sizeof cases / sizeof *cases };

static size_t floats_of(int groups, int h, int w, int c) {
    return (size_t)groups * (size_t)h * (size_t)w * (size_t)c;
}

/* y, dx, dx added to, dw and db; of pictures [first, first + count). Weights are packed before and after
 * their values changed. */
static void go(run *r, const conv_case *c, int first, int count) {
    const size_t nx = floats_of(1, c->in_h, c->in_w, c->in_c);
    const size_t ny = floats_of(1, c->out_h, c->out_w, c->out_c), n = (size_t)count;
    const size_t nw = (size_t)(c->out_c * c->kernel * c->kernel * c->in_c);
    const double size = c->size > 0 ? c->size : 1;
    float *x = input(r, (size_t)c->groups * nx, 1), *dy = input(r, (size_t)c->groups * ny, size);
    float *w = input(r, nw, 1), *fresh = input(r, nw, 1), *bias = input(r, (size_t)c->out_c, 1);
    float *dx_more = input(r, (size_t)c->groups * nx, 1);
    x += (size_t)first * nx;
    dy += (size_t)first * ny;
    dx_more += (size_t)first * nx;
    vt_weight *weight = NULL;
    variant_error err = {0};
    vt_weight_spec spec = {.type = VT_NUMBER_BF16,
                           .n = c->out_c,
                           .k = c->kernel * c->kernel * c->in_c,
                           .taps = c->kernel * c->kernel,
                           .stride = c->stride,
                           .gradients = true,
                           .values = w};
    assert_int_equal(r->kern->weight_open(r->kern, &weight, &spec, &err), VARIANT_OK);
    memcpy(w, fresh, nw * sizeof *w);
    r->kern->weights_refresh(r->kern, &weight, 1);
    vt_conv a = {.x = x,
                 .w = weight,
                 .bias = bias,
                 .y = output(r, n * ny),
                 .groups = count,
                 .in_h = c->in_h,
                 .in_w = c->in_w,
                 .in_c = c->in_c,
                 .out_h = c->out_h,
                 .out_w = c->out_w,
                 .out_c = c->out_c,
                 .kernel = c->kernel,
                 .stride = c->stride,
                 .pad_top = c->pad_top,
                 .pad_left = c->pad_left};
    a.workspace = output(r, floats_in(r->kern->conv_workspace(r->kern, &a)));
    float *dx = output(r, n * nx);
    float *dw = input(r, nw, 1), *db = input(r, (size_t)c->out_c, 1), *dw_alone = output(r, nw);
    memcpy(dw_alone, dw, nw * sizeof *dw);
    r->kern->conv(r->kern, &a);
    r->kern->conv_dx(r->kern, &a, dy, dx, false);
    r->kern->conv_dx(r->kern, &a, dy, dx_more, true);
    r->kern->conv_dw(r->kern, &a, dy, dw, db);
    r->kern->conv_dw(r->kern, &a, dy, dw_alone, NULL);
    assert_memory_equal(dw, dw_alone, nw * sizeof *dw);
    keep(r, a.y, n * ny);
    keep(r, dx, n * nx);
    keep(r, dx_more, n * nx);
    keep(r, dw, nw);
    keep(r, db, (size_t)c->out_c);
    r->kern->weight_close(r->kern, &weight);
}

static void run_open(run *r, const conv_case *c, const char *backend, int threads, int first,
                     int count) {
    variant_error err = {0};
    *r = (run){.state = 1 + (uint64_t)(c - cases)};
    assert_int_equal(vt_kern_open(&r->kern, backend, threads, &err), VARIANT_OK);
    go(r, c, first, count);
}

static void run_end(run *r) {
    run_close(r);
    vt_kern_close(&r->kern);
}

static const char *const names[] = {"y", "dx", "dx +=", "dw", "db"};

/* Each number of both is a sum of the same rounded numbers; only orders differ. */
static void against_plain(void **state) {
    (void)state;
    for (const conv_case *c = cases; c < cases + CASES; ++c) {
        run want, got;
        run_open(&want, c, "ref", 1, 0, c->groups);
        run_open(&got, c, "cpu", 2, 0, c->groups);
        for (int i = 0; i < want.record_count; ++i) {
            double difference = 0, size = 0;
            for (size_t j = 0; j < want.records[i].n; ++j) {
                double d = (double)got.records[i].data[j] - want.records[i].data[j];
                difference += d * d;
                size += (double)want.records[i].data[j] * want.records[i].data[j];
            }
            if (!(sqrt(difference) <= 1e-6 * sqrt(size)))
                fail_msg("case %d, %s: error %.3g", (int)(c - cases), names[i],
                         sqrt(difference / (size > 0 ? size : 1)));
        }
        run_end(&want);
        run_end(&got);
    }
}

static void same_for_any_threads(void **state) {
    (void)state;
    for (const conv_case *c = cases; c < cases + CASES; ++c) {
        run one, many;
        run_open(&one, c, "cpu", 1, 0, c->groups);
        run_open(&many, c, "cpu", 5, 0, c->groups);
        for (int i = 0; i < one.record_count; ++i)
            if (memcmp(one.records[i].data, many.records[i].data,
                       one.records[i].n * sizeof(float)) != 0)
                fail_msg("case %d, %s: differs between 1 and 5 threads", (int)(c - cases),
                         names[i]);
        run_end(&one);
        run_end(&many);
    }
}

/* y and dx of a picture alone are what they are among others. */
static void same_for_any_neighbours(void **state) {
    (void)state;
    for (const conv_case *c = cases; c < cases + CASES; ++c) {
        if (c->groups < 2) continue;
        run all, one;
        run_open(&all, c, "cpu", 2, 0, c->groups);
        run_open(&one, c, "cpu", 2, 1, 1);
        for (int i = 0; i < 3; ++i)
            if (memcmp(one.records[i].data, all.records[i].data + one.records[i].n,
                       one.records[i].n * sizeof(float)) != 0)
                fail_msg("case %d, %s: differs beside other pictures", (int)(c - cases), names[i]);
        run_end(&all);
        run_end(&one);
    }
}

static void refused(void **state) {
    (void)state;
    static const char *const backends[] = {"ref", "cpu"};
    float values[9 * 16] = {0};
    for (int i = 0; i < 2; ++i) {
        vt_kern *kern = NULL;
        vt_weight *weight = NULL;
        variant_error err = {0};
        assert_int_equal(vt_kern_open(&kern, backends[i], 1, &err), VARIANT_OK);
        vt_weight_spec spec = {.type = VT_NUMBER_BF16, .n = 1, .k = 144, .values = values};
        spec.gradients = true;
        spec.taps = 9;
        spec.stride = 3;
        assert_int_equal(kern->weight_open(kern, &weight, &spec, &err), VARIANT_E_UNSUPPORTED);
        assert_non_null(strstr(err.message, "stride 3"));
        assert_null(weight);
        spec.stride = 1;
        spec.taps = 8;
        assert_int_equal(kern->weight_open(kern, &weight, &spec, &err), VARIANT_E_UNSUPPORTED);
        assert_null(weight);
        vt_kern_close(&kern);
    }
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

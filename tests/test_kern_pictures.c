/* test_kern_pictures.c - the picture operations of kern: ref against hand-computed values, finite
 * differences and adjoints; cpu against ref on odd sizes, for every instruction set, with outputs
 * poisoned and guarded; and that neither the thread count nor the batch changes a bit. */
#include "kern/kern.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { GUARD = 16, ISAS = 3 };
#define CANARY 12345.678f

static vt_kern *ref;
static vt_kern *single[ISAS], *threaded[ISAS]; /* 1 and 3 threads */

/* ---- buffers ---- */

static uint32_t state = 1;

static float uniform(void) { /* [-1, 1) */
    state = state * 1664525u + 1013904223u;
    return (float)(state >> 8) / 8388608.0f - 1.0f;
}

static size_t floats_of(size_t bytes) {
    return (bytes + sizeof(float) - 1) / sizeof(float);
}

/* n floats of NaN between canaries. */
static float *poisoned(size_t n) {
    float *base = NULL;
    if (posix_memalign((void **)&base, 64, (n + 2 * GUARD) * sizeof *base) != 0) abort();
    for (size_t i = 0; i < n + 2 * GUARD; i++) base[i] = i < GUARD || i >= GUARD + n ? CANARY : NAN;
    return base + GUARD;
}

static float *randoms(size_t n) {
    float *x = poisoned(n);
    for (size_t i = 0; i < n; i++) x[i] = uniform();
    return x;
}

static float *copied(const float *from, size_t n) {
    float *x = poisoned(n);
    memcpy(x, from, n * sizeof *x);
    return x;
}

static void release(float *x, size_t n) {
    for (size_t i = 0; i < GUARD; i++)
        if (x[n + i] != CANARY || x[-1 - (ptrdiff_t)i] != CANARY)
            fail_msg("wrote outside a buffer of %zu", n);
    free(x - GUARD);
}

static void assert_close(const char *what, const float *got, const float *want, size_t n,
                         double tolerance) {
    for (size_t i = 0; i < n; i++)
        if (!(fabs((double)got[i] - want[i]) <= tolerance * (1 + fabs((double)want[i]))))
            fail_msg("%s: element %zu of %zu is %.9g, expected %.9g", what, i, n, got[i], want[i]);
}

static void assert_same(const char *what, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0)
            fail_msg("%s: element %zu of %zu differs: %.9g and %.9g", what, i, n, a[i], b[i]);
}

static double dot(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += (double)a[i] * b[i];
    return sum;
}

static int open_all(void **unused) {
    (void)unused;
    static const char *const isa[ISAS] = {"baseline", "avx2", "avx512"};
    variant_error err;
    if (vt_kern_open(&ref, "ref", 1, &err) != VARIANT_OK) return -1;
    for (int i = 0; i < ISAS; i++) {
        setenv("VARIANT_CPU", isa[i], 1);
        if (vt_kern_open(&single[i], "cpu", 1, &err) != VARIANT_OK) return -1;
        if (vt_kern_open(&threaded[i], "cpu", 3, &err) != VARIANT_OK) return -1;
    }
    unsetenv("VARIANT_CPU");
    return 0;
}

static int close_all(void **unused) {
    (void)unused;
    vt_kern_close(&ref);
    for (int i = 0; i < ISAS; i++) {
        vt_kern_close(&single[i]);
        vt_kern_close(&threaded[i]);
    }
    return 0;
}

/* ---- convolution ---- */

typedef struct conv_case {
    int groups, in_h, in_w, in_c, out_h, out_w, out_c, kernel, stride, pad_top, pad_left;
    bool bias;
} conv_case;

static const conv_case conv_cases[] = {
    {5, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, true},
    {5, 1, 1, 33, 1, 1, 8, 1, 1, 0, 0, false},
    {5, 5, 7, 3, 5, 7, 32, 3, 1, 1, 1, true},
    {5, 19, 23, 8, 19, 23, 33, 3, 1, 1, 1, true}, /* two blocks */
    {5, 18, 14, 33, 9, 7, 8, 3, 2, 0, 0, true}, /* the encoder's: padded right and bottom by one */
    {9, 17, 13, 32, 9, 7, 3, 3, 2, 1, 1, false},
    {2, 9, 17, 8, 9, 17, 330, 3, 1, 1, 1, true},   /* output channels cut */
    {2, 3, 5, 330, 3, 5, 8, 3, 1, 1, 1, true},     /* and those of dx */
    {5, 16, 17, 32, 16, 17, 33, 1, 1, 0, 0, true}, /* no patches */
    {5, 8, 6, 3, 4, 3, 8, 1, 2, 0, 0, true},
    {5, 6, 6, 8, 4, 4, 3, 3, 1, 0, 0, true},
    {5, 4, 3, 8, 6, 5, 3, 3, 1, 2, 2, true},
    {5, 7, 5, 8, 3, 2, 8, 4, 2, 1, 1, false},
    {1, 40, 38, 1, 20, 19, 3, 3, 2, 0, 0, true},
    {11, 6, 5, 32, 6, 5, 32, 3, 1, 1, 1, true},
    {3, 6, 5, 8, 7, 4, 3, 3, 1, 2, 0, true}, /* unlike margins */
    {2, 4, 4, 3, 9, 5, 3, 3, 1, 4, 1, true}, /* and wider than the kernel */
    {2, 9, 8, 3, 5, 4, 8, 3, 2, 1, 0, true},
};

/* A convolution with random x, w, bias and dy. */
typedef struct conv_data {
    vt_conv args;
    size_t nx, nw, ny, out_c;
    float *x, *w, *bias, *dy;
    vt_weight *weight; /* ref's and cpu's weights are one type, so one serves all */
} conv_data;

static void conv_open(conv_data *d, const conv_case *c) {
    d->args = (vt_conv){.groups = c->groups,
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
    d->nx = (size_t)(c->groups * c->in_h * c->in_w * c->in_c);
    d->nw = (size_t)(c->out_c * c->kernel * c->kernel * c->in_c);
    d->ny = (size_t)(c->groups * c->out_h * c->out_w * c->out_c);
    d->out_c = (size_t)c->out_c;
    d->x = randoms(d->nx);
    d->w = randoms(d->nw);
    d->bias = randoms(d->out_c);
    d->dy = randoms(d->ny);
    variant_error err;
    assert_int_equal(
        ref->weight_open(
            ref, &d->weight,
            &(vt_weight_spec){.values = d->w, .n = c->out_c, .k = c->kernel * c->kernel * c->in_c},
            &err),
        VARIANT_OK);
    d->args.x = d->x;
    d->args.w = d->weight;
    d->args.bias = c->bias ? d->bias : NULL;
}

static void conv_close(conv_data *d) {
    ref->weight_close(ref, &d->weight);
    release(d->x, d->nx);
    release(d->w, d->nw);
    release(d->bias, d->out_c);
    release(d->dy, d->ny);
}

/* Everything a backend computes from conv_data; gradients overwritten, accumulated onto x, and onto
 * w and bias. */
typedef struct conv_result {
    float *y, *dx, *dx_more, *dw, *db;
} conv_result;

static conv_result conv_run(vt_kern *kern, const conv_data *d) {
    vt_conv a = d->args;
    size_t floats = floats_of(kern->conv_workspace(kern, &a));
    a.workspace = poisoned(floats);
    conv_result r = {poisoned(d->ny), poisoned(d->nx), copied(d->x, d->nx), copied(d->w, d->nw),
                     copied(d->bias, d->out_c)};
    a.y = r.y;
    kern->conv(kern, &a);
    a.y = NULL;
    kern->conv_dx(kern, &a, d->dy, r.dx, false);
    kern->conv_dx(kern, &a, d->dy, r.dx_more, true);
    a.w = NULL;
    a.bias = NULL;
    kern->conv_dw(kern, &a, d->dy, r.dw, r.db);
    float *dw = copied(d->w, d->nw);
    kern->conv_dw(kern, &a, d->dy, dw, NULL);
    assert_same("dw without db", dw, r.dw, d->nw);
    release(dw, d->nw);
    release(a.workspace, floats);
    return r;
}

static void conv_release(conv_result *r, const conv_data *d) {
    release(r->y, d->ny);
    release(r->dx, d->nx);
    release(r->dx_more, d->nx);
    release(r->dw, d->nw);
    release(r->db, d->out_c);
}

/* Each picture alone gives what it gave in the batch. */
static void conv_assert_groups(vt_kern *kern, const conv_data *d, const conv_result *all) {
    size_t groups = (size_t)d->args.groups, nx = d->nx / groups, ny = d->ny / groups;
    for (size_t g = 0; g < groups; g++) {
        vt_conv a = d->args;
        a.groups = 1;
        a.x = d->x + g * nx;
        size_t floats = floats_of(kern->conv_workspace(kern, &a));
        float *y = poisoned(ny), *dx = poisoned(nx), *workspace = poisoned(floats);
        a.y = y;
        a.workspace = workspace;
        kern->conv(kern, &a);
        assert_same("conv of one picture", y, all->y + g * ny, ny);
        kern->conv_dx(kern, &a, d->dy + g * ny, dx, false);
        assert_same("conv_dx of one picture", dx, all->dx + g * nx, nx);
        release(workspace, floats);
        release(y, ny);
        release(dx, nx);
    }
}

static void test_conv_against_ref(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(conv_cases); i++) {
        conv_data d;
        conv_open(&d, &conv_cases[i]);
        conv_result want = conv_run(ref, &d);
        for (int k = 0; k < ISAS; k++) {
            conv_result one = conv_run(single[k], &d), more = conv_run(threaded[k], &d);
            assert_close("conv", one.y, want.y, d.ny, 3e-5);
            assert_close("conv_dx", one.dx, want.dx, d.nx, 3e-5);
            assert_close("conv_dx +=", one.dx_more, want.dx_more, d.nx, 3e-5);
            assert_close("conv_dw", one.dw, want.dw, d.nw, 3e-5);
            assert_close("conv_dw's db", one.db, want.db, d.out_c, 3e-5);
            assert_same("conv, 3 threads", more.y, one.y, d.ny);
            assert_same("conv_dx, 3 threads", more.dx, one.dx, d.nx);
            assert_same("conv_dx +=, 3 threads", more.dx_more, one.dx_more, d.nx);
            assert_same("conv_dw, 3 threads", more.dw, one.dw, d.nw);
            assert_same("db, 3 threads", more.db, one.db, d.out_c);
            conv_assert_groups(threaded[k], &d, &one);
            conv_release(&one, &d);
            conv_release(&more, &d);
        }
        conv_release(&want, &d);
        conv_close(&d);
    }
}

/* A kernel with one tap set moves the picture; tells (O, kh, kw, I) from its permutations. */
static void test_conv_by_hand(void **unused) {
    (void)unused;
    float x[3 * 4 * 2], y[3 * 4 * 2], w[2 * 3 * 3 * 2] = {0}, bias[2] = {100, 200};
    for (int i = 0; i < 24; i++) x[i] = (float)i;
    w[((0 * 3 + 0) * 3 + 2) * 2 + 1] = 1; /* y0 = x1 of the pixel above, right */
    w[((1 * 3 + 2) * 3 + 1) * 2 + 0] = 2; /* y1 = 2 x0 of the pixel below */
    vt_weight *weight;
    assert_int_equal(
        ref->weight_open(ref, &weight, &(vt_weight_spec){.values = w, .n = 2, .k = 18}, NULL),
        VARIANT_OK);
    vt_conv a = {.x = x,
                 .w = weight,
                 .bias = bias,
                 .y = y,
                 .groups = 1,
                 .in_h = 3,
                 .in_w = 4,
                 .in_c = 2,
                 .out_h = 3,
                 .out_w = 4,
                 .out_c = 2,
                 .kernel = 3,
                 .stride = 1,
                 .pad_top = 1,
                 .pad_left = 1};
    ref->conv(ref, &a);
    for (int r = 0; r < 3; r++)
        for (int c = 0; c < 4; c++) {
            float above = r > 0 && c < 3 ? x[((r - 1) * 4 + c + 1) * 2 + 1] : 0;
            float below = r < 2 ? x[((r + 1) * 4 + c) * 2] : 0;
            assert_true(y[(r * 4 + c) * 2] == 100 + above);
            assert_true(y[(r * 4 + c) * 2 + 1] == 200 + 2 * below);
        }
    ref->weight_close(ref, &weight);
}

/* <conv(x), dy> is linear in x and in w: its change along a direction is the gradient's product
 * with it. */
static void test_conv_gradients_of_ref(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(conv_cases); i++) {
        conv_case c = conv_cases[i];
        c.bias = false;
        conv_data d;
        conv_open(&d, &c);
        float *y = poisoned(d.ny), *dx = poisoned(d.nx), *dw = poisoned(d.nw),
              *db = poisoned(d.out_c);
        d.args.y = y;
        ref->conv(ref, &d.args);
        ref->conv_dx(ref, &d.args, d.dy, dx, false);
        memset(dw, 0, d.nw * sizeof *dw);
        memset(db, 0, d.out_c * sizeof *db);
        ref->conv_dw(ref, &d.args, d.dy, dw, db);
        double loss = dot(y, d.dy, d.ny), bound = 1e-5 * (1 + (double)d.ny);
        assert_true(fabs(dot(dx, d.x, d.nx) - loss) < bound);
        assert_true(fabs(dot(dw, d.w, d.nw) - loss) < bound);
        for (int k = 0; k < 20; k++) { /* single coordinates */
            size_t j = (size_t)rand() % d.nx;
            float old = d.x[j], step = 2;
            d.x[j] = old + step;
            ref->conv(ref, &d.args);
            assert_true(fabs((dot(y, d.dy, d.ny) - loss) / step - dx[j]) < bound);
            d.x[j] = old;
            j = (size_t)rand() % d.nw;
            old = d.w[j];
            d.w[j] = old + step;
            ref->conv(ref, &d.args);
            assert_true(fabs((dot(y, d.dy, d.ny) - loss) / step - dw[j]) < bound * 10);
            d.w[j] = old;
        }
        d.args.bias = d.bias;
        ref->conv(ref, &d.args);
        assert_true(fabs(dot(db, d.bias, d.out_c) - (dot(y, d.dy, d.ny) - loss)) < bound * 2);
        release(y, d.ny);
        release(dx, d.nx);
        release(dw, d.nw);
        release(db, d.out_c);
        conv_close(&d);
    }
}

/* ---- group norm ---- */

typedef struct norm_case {
    int groups, pixels, channels, channel_groups;
} norm_case;

static const norm_case norm_cases[] = {
    {5, 1, 8, 2},    {5, 1, 33, 33},  {5, 35, 3, 1},   {5, 221, 32, 32},
    {5, 64, 33, 3},  {3, 49, 64, 32}, {3, 300, 60, 3}, {2, 600, 40, 2},
    {2, 30, 130, 1}, {2, 17, 150, 2}, {2, 3, 4200, 2}, {5, 4, 1, 1},
};

typedef struct norm_result {
    float *y, *mean, *rstd, *dx, *dx_more, *dgamma, *dbeta;
} norm_result;

typedef struct norm_data {
    vt_group_norm args;
    size_t n, rows, channels;
    float *x, *gamma, *beta, *dy;
} norm_data;

static void norm_open(norm_data *d, const norm_case *c, bool silu) {
    d->n = (size_t)(c->groups * c->pixels * c->channels);
    d->rows = (size_t)(c->groups * c->channel_groups);
    d->channels = (size_t)c->channels;
    d->x = randoms(d->n);
    for (size_t i = 0; i < d->n; i++) d->x[i] = d->x[i] * 3 + 2;
    d->gamma = randoms(d->channels);
    d->beta = randoms(d->channels);
    d->dy = randoms(d->n);
    d->args = (vt_group_norm){.x = d->x,
                              .gamma = d->gamma,
                              .beta = d->beta,
                              .groups = c->groups,
                              .pixels = c->pixels,
                              .channels = c->channels,
                              .channel_groups = c->channel_groups,
                              .eps = 1e-2f,
                              .silu = silu};
}

static void norm_close(norm_data *d) {
    release(d->x, d->n);
    release(d->gamma, d->channels);
    release(d->beta, d->channels);
    release(d->dy, d->n);
}

static norm_result norm_run(vt_kern *kern, const norm_data *d) {
    norm_result r = {poisoned(d->n),
                     poisoned(d->rows),
                     poisoned(d->rows),
                     poisoned(d->n),
                     copied(d->x, d->n),
                     copied(d->gamma, d->channels),
                     copied(d->beta, d->channels)};
    vt_group_norm_grad g = {
        .forward = d->args, .dy = d->dy, .dx = r.dx, .dgamma = r.dgamma, .dbeta = r.dbeta};
    vt_group_norm a = d->args;
    a.y = r.y;
    a.mean = r.mean;
    a.rstd = r.rstd;
    kern->group_norm(kern, &a);
    float *in_place = copied(d->x, d->n);
    a.x = a.y = in_place;
    a.mean = a.rstd = NULL;
    kern->group_norm(kern, &a);
    assert_same("group_norm in place", in_place, r.y, d->n);
    release(in_place, d->n);
    g.forward.mean = r.mean;
    g.forward.rstd = r.rstd;
    kern->group_norm_dx(kern, &g);
    g.dx = r.dx_more;
    g.accumulate = true;
    kern->group_norm_dx(kern, &g); /* dgamma and dbeta grow twice */
    return r;
}

static void norm_release(norm_result *r, const norm_data *d) {
    release(r->y, d->n);
    release(r->mean, d->rows);
    release(r->rstd, d->rows);
    release(r->dx, d->n);
    release(r->dx_more, d->n);
    release(r->dgamma, d->channels);
    release(r->dbeta, d->channels);
}

static void norm_assert_same(const norm_result *a, const norm_result *b, const norm_data *d) {
    assert_same("group_norm", a->y, b->y, d->n);
    assert_same("group_norm's mean", a->mean, b->mean, d->rows);
    assert_same("group_norm's rstd", a->rstd, b->rstd, d->rows);
    assert_same("group_norm_dx", a->dx, b->dx, d->n);
    assert_same("group_norm_dx +=", a->dx_more, b->dx_more, d->n);
}

static void norm_assert_groups(vt_kern *kern, const norm_data *d, const norm_result *all) {
    size_t groups = (size_t)d->args.groups, n = d->n / groups, rows = d->rows / groups;
    for (size_t g = 0; g < groups; g++) {
        norm_data one = *d;
        one.n = n;
        one.rows = rows;
        one.args.groups = 1;
        one.args.x = one.x = d->x + g * n;
        one.dy = d->dy + g * n;
        norm_result r = norm_run(kern, &one);
        norm_result part = {all->y + g * n,
                            all->mean + g * rows,
                            all->rstd + g * rows,
                            all->dx + g * n,
                            all->dx_more + g * n,
                            NULL,
                            NULL};
        norm_assert_same(&r, &part, &one);
        norm_release(&r, &one);
    }
}

static void test_group_norm_against_ref(void **unused) {
    (void)unused;
    for (size_t i = 0; i < 2 * COUNT(norm_cases); i++) {
        norm_data d;
        norm_open(&d, &norm_cases[i / 2], i % 2 != 0);
        norm_result want = norm_run(ref, &d);
        for (int k = 0; k < ISAS; k++) {
            norm_result one = norm_run(single[k], &d), more = norm_run(threaded[k], &d);
            assert_close("group_norm", one.y, want.y, d.n, 2e-5);
            assert_close("group_norm's mean", one.mean, want.mean, d.rows, 2e-6);
            assert_close("group_norm's rstd", one.rstd, want.rstd, d.rows, 2e-6);
            assert_close("group_norm_dx", one.dx, want.dx, d.n, 5e-5);
            assert_close("group_norm_dx +=", one.dx_more, want.dx_more, d.n, 5e-5);
            assert_close("dgamma", one.dgamma, want.dgamma, d.channels, 5e-5);
            assert_close("dbeta", one.dbeta, want.dbeta, d.channels, 5e-5);
            norm_assert_same(&more, &one, &d);
            assert_same("dgamma, 3 threads", more.dgamma, one.dgamma, d.channels);
            assert_same("dbeta, 3 threads", more.dbeta, one.dbeta, d.channels);
            norm_assert_groups(threaded[k], &d, &one);
            norm_release(&one, &d);
            norm_release(&more, &d);
        }
        norm_release(&want, &d);
        norm_close(&d);
    }
}

static void test_group_norm_by_hand(void **unused) {
    (void)unused;
    /* two pixels, four channels in two groups: (1, 3, 5, 7) and (-2, -2, 4, 4) */
    const float x[8] = {1, 3, -2, -2, 5, 7, 4, 4}, gamma[4] = {1, 1, 2, 1}, beta[4] = {0, 1, 0, 0};
    float y[8], mean[2], rstd[2];
    vt_group_norm a = {.x = x,
                       .gamma = gamma,
                       .beta = beta,
                       .y = y,
                       .mean = mean,
                       .rstd = rstd,
                       .groups = 1,
                       .pixels = 2,
                       .channels = 4,
                       .channel_groups = 2};
    ref->group_norm(ref, &a);
    const double root5 = sqrt(5);
    const float want[8] = {(float)(-3 / root5), (float)(-1 / root5 + 1), -2, -1,
                           (float)(1 / root5),  (float)(3 / root5 + 1),  2,  1};
    assert_close("group_norm", y, want, 8, 1e-6);
    assert_true(mean[0] == 4 && mean[1] == 1 && fabs(rstd[1] - 1.0 / 3) < 1e-6);
    a.silu = true;
    ref->group_norm(ref, &a);
    assert_true(fabs(y[3] + 1 / (1 + exp(1))) < 1e-6); /* SiLU(-1) */
}

/* Large values saturate the SiLU without a NaN. */
static void test_group_norm_extremes(void **unused) {
    (void)unused;
    float x[16], y[16], dx[16], dy[16], mean, rstd, gamma = 1, beta = 0, dgamma = 0, dbeta = 0;
    for (int i = 0; i < 16; i++) x[i] = i == 3 ? 1e4f : (float)i * 1e-3f;
    for (int i = 0; i < 16; i++) dy[i] = 1;
    for (int k = 0; k < ISAS; k++)
        for (int sign = -1; sign <= 1; sign += 2) {
            gamma = 300.0f * (float)sign;
            vt_group_norm a = {.x = x,
                               .gamma = &gamma,
                               .beta = &beta,
                               .y = y,
                               .mean = &mean,
                               .rstd = &rstd,
                               .groups = 1,
                               .pixels = 16,
                               .channels = 1,
                               .channel_groups = 1,
                               .eps = 1e-6f,
                               .silu = true};
            single[k]->group_norm(single[k], &a);
            float want[16];
            vt_group_norm b = a;
            b.y = want;
            ref->group_norm(ref, &b);
            assert_close("group_norm, extremes", y, want, 16, 2e-5);
            vt_group_norm_grad g = {
                .forward = a, .dy = dy, .dx = dx, .dgamma = &dgamma, .dbeta = &dbeta};
            single[k]->group_norm_dx(single[k], &g);
            for (int i = 0; i < 16; i++) assert_true(isfinite(dx[i]));
        }
}

static double norm_loss(const norm_data *d, float *y) {
    vt_group_norm a = d->args;
    a.y = y;
    ref->group_norm(ref, &a);
    return dot(y, d->dy, d->n);
}

static void test_group_norm_gradients_of_ref(void **unused) {
    (void)unused;
    for (int silu = 0; silu < 2; silu++) {
        norm_data d;
        norm_open(&d, &(norm_case){2, 7, 6, 3}, silu != 0);
        norm_result r = norm_run(ref, &d);
        const float step = 1e-2f;
        for (size_t i = 0; i < d.n + 2 * d.channels; i++) {
            size_t c = (i - d.n) % d.channels;
            float *at = i < d.n ? &d.x[i] : i < d.n + d.channels ? &d.gamma[c] : &d.beta[c];
            /* dgamma and dbeta were run twice, onto gamma and beta */
            double want =
                i < d.n ? r.dx[i] : ((i < d.n + d.channels ? r.dgamma[c] : r.dbeta[c]) - *at) / 2;
            float old = *at, y[128];
            *at = old + step;
            double up = norm_loss(&d, y), high = *at;
            *at = old - step;
            double slope = (up - norm_loss(&d, y)) / (high - *at);
            *at = old;
            if (fabs(slope - want) > 1e-3) fail_msg("gradient %zu is %g, slope %g", i, want, slope);
        }
        for (size_t i = 0; i < d.n; i++) assert_true(fabs(r.dx_more[i] - d.x[i] - r.dx[i]) < 1e-5);
        norm_release(&r, &d);
        norm_close(&d);
    }
}

/* ---- resizing ---- */

typedef void resize_op(vt_kern *kern, float *to, const float *from, int groups, int a, int b,
                       int c);

/* Runs one operation in every backend: ref's result is the measure. Returns it; the caller
 * releases. */
static float *resize_check(const char *what, size_t entry, int groups, int a, int b, int c,
                           const float *from, size_t n_from, size_t n_to, double tolerance) {
    resize_op *op;
    memcpy(&op, (char *)ref + entry, sizeof op);
    float *want = poisoned(n_to);
    op(ref, want, from, groups, a, b, c);
    for (int k = 0; k < ISAS; k++) {
        float *one = poisoned(n_to), *more = poisoned(n_to);
        memcpy(&op, (char *)single[k] + entry, sizeof op);
        op(single[k], one, from, groups, a, b, c);
        op(threaded[k], more, from, groups, a, b, c);
        assert_close(what, one, want, n_to, tolerance);
        assert_same(what, more, one, n_to);
        for (size_t g = 0; g < (size_t)groups; g++) {
            size_t part = n_to / (size_t)groups;
            op(threaded[k], more, from + g * (n_from / (size_t)groups), 1, a, b, c);
            assert_same(what, more, one + g * part, part);
        }
        release(one, n_to);
        release(more, n_to);
    }
    return want;
}

#define ENTRY(op) #op, offsetof(vt_kern, op)

static void test_resize_against_ref(void **unused) {
    (void)unused;
    static const int sizes[] = {1, 2, 3, 5, 8, 13, 16}, channels[] = {1, 3, 33};
    for (size_t i = 0; i < COUNT(sizes); i++)
        for (size_t j = 0; j < COUNT(sizes); j++)
            for (size_t k = 0; k < COUNT(channels); k++) {
                int from = sizes[i], to = sizes[j], c = channels[k], groups = k == 0 ? 5 : 2;
                if (c == 33 && from * to > 80) continue; /* ref's time */
                size_t nx = (size_t)(groups * from * from * c), ny = (size_t)(groups * to * to * c);
                float *x = randoms(nx), *dy = randoms(ny);
                float *area =
                    resize_check(ENTRY(resize_area), groups, from, to, c, x, nx, ny, 2e-6);
                float *y =
                    resize_check(ENTRY(resize_bicubic), groups, from, to, c, x, nx, ny, 5e-6);
                float *dx =
                    resize_check(ENTRY(resize_bicubic_dx), groups, from, to, c, dy, ny, nx, 1e-5);
                assert_true(fabs(dot(y, dy, ny) - dot(x, dx, nx)) <
                            1e-6 * (10 + (double)ny)); /* adjoints */
                if (from == to) assert_same("resize to the same size", area, x, nx);
                if (from == to) assert_close("resize to the same size", y, x, nx, 1e-6);
                release(area, ny);
                release(y, ny);
                release(dx, nx);
                release(x, nx);
                release(dy, ny);
            }
}

static void test_resize_by_hand(void **unused) {
    (void)unused;
    /* columns 0 and 1, two channels the second of which is turned */
    const float x[8] = {0, 0, 1, 0, 0, 1, 1, 1},
                line[4] = {-0.10546875f, 0.2265625f, 0.7734375f, 1.10546875f};
    float y[32];
    ref->resize_bicubic(ref, y, x, 1, 2, 4, 2);
    for (int r = 0; r < 4; r++)
        for (int c = 0; c < 4; c++) {
            assert_true(fabs(y[(r * 4 + c) * 2] - line[c]) < 1e-6);
            assert_true(fabs(y[(r * 4 + c) * 2 + 1] - line[r]) < 1e-6);
        }
    const float three[9] = {1, 2, 6, 3, 4, 8, 5, 0, 1}, area[4] = {2.5f, 5, 3, 3.25f};
    ref->resize_area(ref, y, three, 1, 3, 2, 1); /* windows of 2, one apart */
    assert_close("area 3 -> 2", y, area, 4, 1e-6);
    const float two[4] = {2, 4, 6, 8}, grown[9] = {2, 3, 4, 4, 5, 6, 6, 7, 8};
    ref->resize_area(ref, y, two, 1, 2, 3, 1);
    assert_close("area 2 -> 3", y, grown, 9, 1e-6);
}

static void test_upsample2(void **unused) {
    (void)unused;
    static const int sizes[][3] = {{1, 1, 1}, {3, 5, 3}, {8, 7, 33}, {16, 31, 32}};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        int h = sizes[i][0], w = sizes[i][1], c = sizes[i][2], groups = 5;
        size_t n = (size_t)(groups * h * w * c);
        float *x = randoms(n), *dy = randoms(4 * n);
        float *y = resize_check(ENTRY(upsample2), groups, h, w, c, x, n, 4 * n, 0);
        float *dx = resize_check(ENTRY(upsample2_dx), groups, h, w, c, dy, 4 * n, n, 1e-6);
        for (int row = 0; row < groups * 2 * h; row++)
            for (int k = 0; k < 2 * w * c; k++)
                assert_true(y[row * 2 * w * c + k] == x[(row / 2 * w + k / c / 2) * c + k % c]);
        assert_true(fabs(dot(y, dy, 4 * n) - dot(x, dx, n)) < 1e-6 * (10 + (double)n));
        release(x, n);
        release(dy, 4 * n);
        release(y, 4 * n);
        release(dx, n);
    }
}

/* ---- codes ---- */

static double distance(const float *a, const float *b, int width) {
    double sum = 0;
    for (int i = 0; i < width; i++) sum += ((double)a[i] - b[i]) * ((double)a[i] - b[i]);
    return sum;
}

static void nearest_run(vt_kern *kern, int32_t *index, const float *x, const vt_weight *book,
                        int groups, int rows, int codes) {
    size_t floats = floats_of(kern->nearest_code_workspace(kern, groups, rows, codes));
    float *workspace = poisoned(floats);
    memset(index, 0xff, (size_t)(groups * rows) * sizeof *index);
    kern->nearest_code(kern, index, x, book, groups, rows, workspace);
    release(workspace, floats);
}

static void test_nearest_code_against_ref(void **unused) {
    (void)unused;
    static const int cases[][3] = {
        {1, 1, 1}, {7, 16, 8}, {65, 17, 3}, {130, 1000, 32}, {1, 515, 33}}; /* rows, codes, width */
    enum { GROUPS = 5, MOST = 5 * 130 };
    for (size_t i = 0; i < COUNT(cases); i++) {
        int rows = cases[i][0], codes = cases[i][1], width = cases[i][2], all = GROUPS * rows;
        float *x = randoms((size_t)(all * width)), *book = randoms((size_t)(codes * width));
        memcpy(x, book + (codes - 1) * width,
               (size_t)width * sizeof *x); /* row 0 is the last code */
        vt_weight *weight;
        assert_int_equal(ref->weight_open(ref, &weight,
                                          &(vt_weight_spec){.values = book, .n = codes, .k = width},
                                          NULL),
                         VARIANT_OK);
        int32_t want[MOST], one[MOST], more[MOST];
        nearest_run(ref, want, x, weight, GROUPS, rows, codes);
        assert_int_equal(want[0], codes - 1);
        for (int k = 0; k < ISAS; k++) {
            nearest_run(single[k], one, x, weight, GROUPS, rows, codes);
            nearest_run(threaded[k], more, x, weight, GROUPS, rows, codes);
            assert_memory_equal(one, more, (size_t)all * sizeof *one);
            for (int r = 0; r < all; r++) {
                assert_in_range(one[r], 0, codes - 1);
                double least = distance(x + r * width, book + want[r] * width, width);
                double got = distance(x + r * width, book + one[r] * width, width);
                assert_true(one[r] == want[r] || got - least < 1e-5);
            }
            for (int g = 0; g < GROUPS; g++) {
                nearest_run(threaded[k], more, x + g * rows * width, weight, 1, rows, codes);
                assert_memory_equal(more, one + g * rows, (size_t)rows * sizeof *one);
            }
        }
        ref->weight_close(ref, &weight);
        release(x, (size_t)(all * width));
        release(book, (size_t)(codes * width));
    }
}

/* Small integers are exact in float, so a tie is one; the first wins. A row of NaN gets a valid
 * index. */
static void test_nearest_code_ties(void **unused) {
    (void)unused;
    float book[70 * 2], x[6] = {1, 1, 0, 2, NAN, 0};
    for (int n = 0; n < 70; n++) {
        book[2 * n] = (float)(n % 7 == 3 ? 0 : 50);
        book[2 * n + 1] = (float)(n % 7 == 3 ? 1 : n);
    }
    vt_weight *weight;
    assert_int_equal(
        ref->weight_open(ref, &weight, &(vt_weight_spec){.values = book, .n = 70, .k = 2}, NULL),
        VARIANT_OK);
    for (int k = -1; k < ISAS; k++) {
        int32_t index[3];
        nearest_run(k < 0 ? ref : single[k], index, x, weight, 1, 3, 70);
        assert_int_equal(index[0], 3);
        assert_int_equal(index[1], 3);
        assert_int_equal(index[2], 0);
    }
    ref->weight_close(ref, &weight);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conv_by_hand),
        cmocka_unit_test(test_conv_gradients_of_ref),
        cmocka_unit_test(test_conv_against_ref),
        cmocka_unit_test(test_group_norm_by_hand),
        cmocka_unit_test(test_group_norm_extremes),
        cmocka_unit_test(test_group_norm_gradients_of_ref),
        cmocka_unit_test(test_group_norm_against_ref),
        cmocka_unit_test(test_resize_by_hand),
        cmocka_unit_test(test_resize_against_ref),
        cmocka_unit_test(test_upsample2),
        cmocka_unit_test(test_nearest_code_against_ref),
        cmocka_unit_test(test_nearest_code_ties),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

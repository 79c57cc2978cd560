/* test_kern_conv.c - convolutions of kern with packed weights and with the steps around them (norm,
 * upsampling, residual): ref against compositions of its own operations, cpu against ref for every
 * instruction set and type of number on odd sizes, with outputs poisoned and guarded; and that
 * neither the thread count nor the batch changes a bit. */
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

#include "core/cpu.h"

#define COUNT(array) (sizeof(array) / sizeof((array)[0]))

enum { GUARD = 16 };
#define CANARY 12345.678f

static vt_kern *ref;
static vt_kern *single[VT_ISA_COUNT], *threaded[VT_ISA_COUNT]; /* 1 and 3 threads */
static int isas;                                               /* that this machine has */

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

static float *randoms(size_t n, float low, float high) {
    float *x = poisoned(n);
    for (size_t i = 0; i < n; i++) x[i] = low + (high - low) * 0.5f * (uniform() + 1);
    return x;
}

static void release(float *x, size_t n) {
    for (size_t i = 0; i < GUARD; i++)
        if (x[n + i] != CANARY || x[-1 - (ptrdiff_t)i] != CANARY)
            fail_msg("wrote outside a buffer of %zu", n);
    free(x - GUARD);
}

static void assert_same(const char *what, const float *a, const float *b, size_t n) {
    for (size_t i = 0; i < n; i++)
        if (memcmp(a + i, b + i, sizeof *a) != 0)
            fail_msg("%s: element %zu of %zu differs: %.9g and %.9g", what, i, n, a[i], b[i]);
}

static int open_all(void **unused) {
    (void)unused;
    variant_error err;
    if (vt_kern_open(&ref, "ref", 1, &err) != VARIANT_OK) return -1;
    unsetenv("VARIANT_CPU");
    isas = (int)vt_isa_best() + 1;
    for (int i = 0; i < isas; i++) {
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)i), 1);
        if (vt_kern_open(&single[i], "cpu", 1, &err) != VARIANT_OK) return -1;
        if (vt_kern_open(&threaded[i], "cpu", 3, &err) != VARIANT_OK) return -1;
    }
    unsetenv("VARIANT_CPU");
    return 0;
}

static int close_all(void **unused) {
    (void)unused;
    vt_kern_close(&ref);
    for (int i = 0; i < isas; i++) {
        vt_kern_close(&single[i]);
        vt_kern_close(&threaded[i]);
    }
    return 0;
}

/* ---- cases ---- */

/* no upsampling; with a 3x3 kernel; with four of 2x2; kernels in Winograd's domain, of x, of x
 * enlarged */
enum { PLAIN, ENLARGED, PHASES, WINOGRAD, WINOGRAD_ENLARGED };

typedef struct conv_case {
    int groups, in_h, in_w, in_c, out_h, out_w, out_c, kernel, stride, top, left;
    int norm_groups; /* 0: none */
    int upsample;
    bool silu, residual, bias;
} conv_case;

static const conv_case cases[] = {
    {3, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 0, PLAIN, false, false, true},
    {2, 1, 1, 33, 1, 1, 8, 1, 1, 0, 0, 11, PLAIN, true, true, false},
    {3, 5, 7, 3, 5, 7, 32, 3, 1, 1, 1, 0, PLAIN, false, true, true},
    {2, 19, 23, 8, 19, 23, 33, 3, 1, 1, 1, 4, PLAIN, true, false, true},
    {2, 18, 14, 33, 9, 7, 5, 3, 2, 0, 0, 3, PLAIN, true, true, true}, /* stride 2 */
    {3, 17, 13, 32, 9, 7, 3, 3, 2, 1, 1, 0, PLAIN, false, false, false},
    {2, 13, 33, 330, 13, 33, 100, 3, 1, 1, 1, 33, PLAIN, true, true, true}, /* weights cut */
    {1, 4, 41, 65, 4, 41, 100, 3, 1, 1, 1, 5, PLAIN, false, true, false},
    {2, 16, 17, 32, 16, 17, 49, 1, 1, 0, 0, 32, PLAIN, false, true, true}, /* pointwise */
    {2, 8, 6, 3, 4, 3, 8, 1, 2, 0, 0, 0, PLAIN, false, false, true},
    {2, 6, 6, 8, 4, 4, 3, 3, 1, 0, 0, 2, PLAIN, true, false, true}, /* no padding */
    {2, 4, 3, 8, 6, 5, 3, 3, 1, 2, 2, 8, PLAIN, true, true, true},  /* much */
    {2, 6, 5, 8, 7, 4, 3, 3, 1, 2, 0, 1, PLAIN, true, true, true},  /* unlike */
    {2, 7, 5, 8, 3, 2, 8, 4, 2, 1, 1, 0, PLAIN, false, false, false},
    {2, 4, 4, 3, 9, 5, 3, 3, 1, 4, 1, 3, PLAIN, true, false, true}, /* wider than the kernel */
    {1, 256, 256, 2, 256, 256, 32, 3, 1, 1, 1, 2, PLAIN, true, true, true}, /* past the caches */
    {7, 64, 64, 160, 64, 64, 2, 3, 1, 1, 1, 32, PLAIN, true, false, true},  /* several rounds */
    {2, 10, 14, 5, 10, 14, 7, 3, 1, 1, 1, 0, ENLARGED, false, false, true},
    {2, 2, 2, 33, 2, 2, 16, 3, 1, 1, 1, 3, ENLARGED, true, true, true},
    {2, 6, 10, 8, 6, 10, 3, 1, 1, 0, 0, 2, ENLARGED, false, true, false},
    {2, 10, 14, 8, 5, 7, 3, 3, 2, 0, 0, 4, ENLARGED, true, false, true},
    {2, 9, 200, 290, 9, 200, 33, 3, 1, 1, 1, 29, PLAIN, true, true,
     true}, /* rolls, and so do the next: conv_rolling.c */
    {1, 30, 270, 33, 31, 269, 17, 3, 1, 2, 0, 11, PLAIN, true, false, true},
    {2, 60, 100, 96, 60, 100, 96, 3, 1, 1, 1, 32, PLAIN, true, false, false}, /* over itself */
    {1, 40, 170, 80, 40, 170, 70, 1, 1, 0, 0, 0, PLAIN, false, true, true},
    {1, 120, 300, 64, 120, 300, 32, 3, 1, 1, 1, 0, PHASES, false, false, true},
    {2, 2, 2, 3, 2, 2, 16, 3, 1, 1, 1, 0, PHASES, false, false, false},
    {2, 10, 14, 33, 10, 14, 48, 3, 1, 1, 1, 3, PHASES, true, true, true},
    {1, 34, 62, 64, 34, 62, 160, 3, 1, 1, 1, 0, PHASES, false, true, true},
    {1, 20, 18, 330, 20, 18, 176, 3, 1, 1, 1, 0, PHASES, false, false, true}, /* weights cut */
    {3, 1, 1, 1, 1, 1, 1, 3, 1, 1, 1, 0, WINOGRAD, false, false, true},
    {3, 5, 7, 3, 5, 7, 32, 3, 1, 1, 1, 0, WINOGRAD, false, true, true},
    {2, 19, 23, 8, 19, 23, 33, 3, 1, 1, 1, 4, WINOGRAD, true, false, true},
    {2, 6, 6, 8, 4, 4, 3, 3, 1, 0, 0, 2, WINOGRAD, true, true, false},
    {2, 4, 3, 33, 6, 5, 50, 3, 1, 2, 2, 11, WINOGRAD, true, true, true},
    {2, 18, 33, 330, 18, 33, 50, 3, 1, 1, 1, 33, WINOGRAD, true, true, true},  /* several blocks */
    {1, 256, 256, 2, 256, 256, 32, 3, 1, 1, 1, 2, WINOGRAD, true, true, true}, /* streams */
    {7, 64, 64, 160, 64, 64, 2, 3, 1, 1, 1, 32, WINOGRAD, true, false, true},  /* rounds */
    {2, 10, 14, 5, 10, 14, 17, 3, 1, 1, 1, 5, WINOGRAD_ENLARGED, true, true, true},
};

static bool is_enlarged(const conv_case *c) {
    return c->upsample == ENLARGED || c->upsample == PHASES || c->upsample == WINOGRAD_ENLARGED;
}

/* Weights of the last three are no float32 convolution's. */
static bool is_packed_only(const conv_case *c) {
    return c->upsample >= PHASES;
}

typedef struct conv_data {
    const conv_case *c;
    vt_conv args;
    vt_conv_norm norm;
    vt_weight_spec spec;
    size_t nx, nw, ny;
    float *x, *w, *bias, *gamma, *beta, *residual;
} conv_data;

static void data_open(conv_data *d, const conv_case *c, vt_number type) {
    int small = is_enlarged(c) ? 4 : 1;
    *d = (conv_data){.c = c};
    d->spec = (vt_weight_spec){.type = type,
                               .n = c->upsample == PHASES ? 4 * c->out_c : c->out_c,
                               .taps = c->upsample == PHASES     ? 4
                                       : c->upsample >= WINOGRAD ? 16
                                                                 : c->kernel * c->kernel};
    d->spec.k = d->spec.taps * c->in_c;
    d->nx = (size_t)(c->groups * c->in_h * c->in_w * c->in_c / small);
    d->nw = (size_t)d->spec.n * (size_t)d->spec.k;
    d->ny = (size_t)(c->groups * c->out_h * c->out_w * c->out_c);
    d->x = randoms(d->nx, -2, 3);
    d->w = randoms(d->nw, -1, 1);
    d->bias = randoms((size_t)c->out_c, -1, 1);
    d->gamma = randoms((size_t)c->in_c, -2, 2);
    d->beta = randoms((size_t)c->in_c, -1, 1);
    d->residual = randoms(d->ny, -9, 9);
    d->spec.values = d->w;
    d->norm = (vt_conv_norm){.gamma = d->gamma,
                             .beta = d->beta,
                             .channel_groups = c->norm_groups,
                             .eps = 1e-6f,
                             .silu = c->silu};
    d->args = (vt_conv){.x = d->x,
                        .bias = c->bias ? d->bias : NULL,
                        .groups = c->groups,
                        .in_h = c->in_h,
                        .in_w = c->in_w,
                        .in_c = c->in_c,
                        .out_h = c->out_h,
                        .out_w = c->out_w,
                        .out_c = c->out_c,
                        .kernel = c->kernel,
                        .stride = c->stride,
                        .pad_top = c->top,
                        .pad_left = c->left,
                        .norm = c->norm_groups ? &d->norm : NULL,
                        .upsample = is_enlarged(c),
                        .residual = c->residual ? d->residual : NULL};
}

static void data_close(conv_data *d) {
    release(d->x, d->nx);
    release(d->w, d->nw);
    release(d->bias, (size_t)d->c->out_c);
    release(d->gamma, (size_t)d->c->in_c);
    release(d->beta, (size_t)d->c->in_c);
    release(d->residual, d->ny);
}

static vt_weight *weight_for(vt_kern *kern, const conv_data *d) {
    vt_weight *weight;
    variant_error err;
    if (kern->weight_open(kern, &weight, &d->spec, &err) != VARIANT_OK) fail_msg("%s", err.message);
    return weight;
}

/* y of pictures [first, first + groups). */
static float *conv_run(vt_kern *kern, const conv_data *d, vt_weight *weight, int first,
                       int groups) {
    vt_conv a = d->args;
    size_t all = (size_t)a.groups, nx = d->nx / all, ny = d->ny / all, at = (size_t)first;
    a.w = weight;
    a.groups = groups;
    a.x = d->x + at * nx;
    if (a.residual) a.residual = d->residual + at * ny;
    size_t floats = floats_of(kern->conv_workspace(kern, &a));
    float *workspace = poisoned(floats), *y = poisoned((size_t)groups * ny);
    a.workspace = workspace;
    a.y = y;
    kern->conv(kern, &a);
    release(workspace, floats);
    return y;
}

/* ---- ref ---- */

/* What ref's fused convolution should be: its own operations one after another, then rounded
 * numbers given to its float32 convolution. The four kernels are the 3x3 ones they were made of. */
static float round_bf16(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    bits = (bits + 0x7fffu + (bits >> 16 & 1u)) & 0xffff0000u;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static float *composed_x(const conv_data *d, bool rounded, size_t *count) {
    const vt_conv *a = &d->args;
    int scale = a->upsample ? 2 : 1, h = a->in_h / scale, w = a->in_w / scale;
    *count = d->nx * (size_t)(scale * scale);
    float *x = poisoned(d->nx), *large = poisoned(*count);
    memcpy(x, d->x, d->nx * sizeof *x);
    if (a->norm) {
        vt_group_norm norm = {.x = x,
                              .gamma = d->gamma,
                              .beta = d->beta,
                              .y = x,
                              .groups = a->groups,
                              .pixels = h * w,
                              .channels = a->in_c,
                              .channel_groups = a->norm->channel_groups,
                              .eps = a->norm->eps,
                              .silu = a->norm->silu};
        ref->group_norm(ref, &norm);
    }
    for (size_t i = 0; rounded && i < d->nx; i++) x[i] = round_bf16(x[i]);
    if (a->upsample)
        ref->upsample2(ref, large, x, a->groups, h, w, a->in_c);
    else
        memcpy(large, x, d->nx * sizeof *x);
    release(x, d->nx);
    return large;
}

/* Makes the weight's numbers representable in its type, so that rounding them changes nothing. */
static void round_weights(conv_data *d) {
    for (size_t i = 0; i < d->nw; i++) d->w[i] = round_bf16(d->w[i]);
}

static void test_ref_is_a_composition(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int type = 0; type <= VT_NUMBER_BF16; type++) {
            const conv_case *c = &cases[i];
            if (is_packed_only(c) || c->groups * c->in_h * c->in_w * c->in_c > 100000) continue;
            conv_data d;
            data_open(&d, c, (vt_number)type);
            if (type != VT_NUMBER_F32) round_weights(&d);
            vt_weight *weight = weight_for(ref, &d);
            float *y = conv_run(ref, &d, weight, 0, c->groups);
            ref->weight_close(ref, &weight);

            size_t count;
            float *x = composed_x(&d, type != VT_NUMBER_F32, &count), *plain = poisoned(d.ny);
            vt_conv a = d.args;
            d.spec.type = VT_NUMBER_F32;
            weight = weight_for(ref, &d);
            a.x = x;
            a.w = weight;
            a.y = plain;
            a.norm = NULL;
            a.upsample = false;
            a.residual = NULL;
            ref->conv(ref, &a);
            for (size_t j = 0; j < d.ny; j++) {
                double want = (double)plain[j] + (c->residual ? d.residual[j] : 0);
                if (!(fabs(y[j] - want) <= 2e-6 * (10 + fabs(want))))
                    fail_msg("case %zu, %s: element %zu is %.9g, expected %.9g", i,
                             vt_number_name((vt_number)type), j, y[j], want);
            }
            ref->weight_close(ref, &weight);
            release(x, count);
            release(plain, d.ny);
            release(y, d.ny);
            data_close(&d);
        }
}

/* The four 2x2 kernels of a 3x3 one after nearest 2x: phase (py, px), tap (ty, tx) is the sum of
 * the taps that read the same small pixel. */
static void test_phases_are_the_enlarged_convolution(void **unused) {
    (void)unused;
    conv_case c = {2, 8, 6, 5, 8, 6, 16, 3, 1, 1, 1, 5, ENLARGED, true, true, true};
    conv_data d;
    data_open(&d, &c, VT_NUMBER_F32);
    float *sums = poisoned((size_t)(16 * c.out_c * c.in_c));
    for (int phase = 0; phase < 4; phase++)
        for (int o = 0; o < c.out_c; o++)
            for (int tap = 0; tap < 4; tap++)
                for (int i = 0; i < c.in_c; i++) {
                    float sum = 0;
                    for (int k = 0; k < 9; k++) {
                        /* the small row that tap ky reads from output row py, less the first one */
                        int ty = (phase / 2 + k / 3 + 1) / 2 - phase / 2;
                        int tx = (phase % 2 + k % 3 + 1) / 2 - phase % 2;
                        if (ty * 2 + tx == tap)
                            sum += d.w[((size_t)o * 9 + (size_t)k) * (size_t)c.in_c + (size_t)i];
                    }
                    sums[(((size_t)phase * (size_t)c.out_c + (size_t)o) * 4 + (size_t)tap) *
                             (size_t)c.in_c +
                         (size_t)i] = sum;
                }
    vt_weight *whole = weight_for(ref, &d);
    float *want = conv_run(ref, &d, whole, 0, c.groups);
    conv_case phased = c;
    phased.upsample = PHASES;
    conv_data p = d;
    p.c = &phased;
    p.spec.n = 4 * c.out_c;
    p.spec.taps = 4;
    p.spec.k = 4 * c.in_c;
    p.spec.values = sums;
    vt_weight *phases = weight_for(ref, &p);
    float *y = conv_run(ref, &p, phases, 0, c.groups);
    for (size_t j = 0; j < d.ny; j++)
        if (!(fabs((double)y[j] - want[j]) <= 2e-6 * (10 + fabs((double)want[j]))))
            fail_msg("element %zu is %.9g, expected %.9g", j, y[j], want[j]);
    ref->weight_close(ref, &whole);
    ref->weight_close(ref, &phases);
    release(sums, (size_t)(16 * c.out_c * c.in_c));
    release(y, d.ny);
    release(want, d.ny);
    data_close(&d);
}

/* Winograd's domain is a way to convolve: on numbers small enough to be exact, ref and cpu give
 * what ref's plain convolution gives. */
static void test_winograd_is_the_convolution(void **unused) {
    (void)unused;
    static const float g_rows[4][3] = {
        {1, 0, 0}, {0.5f, 0.5f, 0.5f}, {0.5f, -0.5f, 0.5f}, {0, 0, 1}};
    conv_case c = {2, 11, 8, 37, 11, 8, 19, 3, 1, 1, 1, 0, PLAIN, false, true, true};
    conv_data d;
    data_open(&d, &c, VT_NUMBER_F32);
    for (size_t i = 0; i < d.nx; i++) d.x[i] = rintf(4 * uniform());
    for (size_t i = 0; i < d.nw; i++) d.w[i] = 4 * rintf(2 * uniform());
    vt_weight *weight = weight_for(ref, &d);
    float *want = conv_run(ref, &d, weight, 0, c.groups);
    ref->weight_close(ref, &weight);

    size_t in_c = (size_t)c.in_c, count = (size_t)c.out_c * 16 * in_c;
    float *u = poisoned(count);
    for (size_t o = 0; o < (size_t)c.out_c; o++)
        for (size_t t = 0; t < 16; t++)
            for (size_t i = 0; i < in_c; i++) {
                float sum = 0;
                for (size_t k = 0; k < 9; k++)
                    sum +=
                        g_rows[t / 4][k / 3] * g_rows[t % 4][k % 3] * d.w[(o * 9 + k) * in_c + i];
                u[(o * 16 + t) * in_c + i] = sum;
            }
    conv_data p = d;
    p.spec = (vt_weight_spec){
        .type = VT_NUMBER_BF16, .n = c.out_c, .k = 16 * c.in_c, .taps = 16, .values = u};
    for (int k = -1; k < isas; k++) {
        vt_kern *kern = k < 0 ? ref : threaded[k];
        weight = weight_for(kern, &p);
        float *y = conv_run(kern, &p, weight, 0, c.groups);
        for (size_t i = 0; i < d.ny; i++)
            if (!(fabsf(y[i] - want[i]) <= 1e-4f))
                fail_msg("%s: element %zu is %.9g, expected %.9g", kern->details, i, y[i], want[i]);
        kern->weight_close(kern, &weight);
        release(y, d.ny);
    }
    release(u, count);
    release(want, d.ny);
    data_close(&d);
}

/* ---- cpu against ref ---- */

/* float32 differs by the order of sums alone: by a part of what was summed, of which the root mean square
 * of all results tells the size (a single one may have cancelled). Packed numbers differ besides where a
 * normalised x falls on the other side of a rounding: rarely, and by one part in 256 of one product. */
static void assert_near(size_t i, const conv_data *d, const char *isa, const float *got,
                        const float *want) {
    const bool packed = d->spec.type != VT_NUMBER_F32, may_round = packed && d->args.norm;
    const double near = packed ? 1e-4 : 1e-5;
    double most = may_round ? 0.1 : 0, squares = 0, size = 0;
    for (size_t j = 0; j < d->ny; j++) size += (double)want[j] * want[j];
    const double typical = packed ? 1 : sqrt(size / (double)(d->ny ? d->ny : 1));
    for (size_t j = 0; j < d->ny; j++) {
        double off = fabs((double)got[j] - want[j]);
        squares += off * off;
        bool good = off <= most + near * (typical + fabs((double)want[j])) &&
                    off <= most + 1e-4 * (1 + fabs((double)want[j]));
        if (!good)
            fail_msg("case %zu, %s %s: element %zu of %zu is %.9g, expected %.9g", i, isa,
                     vt_number_name(d->spec.type), j, d->ny, got[j], want[j]);
    }
    if (!(sqrt(squares) <= 1e-3 * (sqrt(size) + 1e-2 * sqrt((double)d->ny))))
        fail_msg("case %zu, %s %s: off by %g of %g", i, isa, vt_number_name(d->spec.type),
                 sqrt(squares), sqrt(size));
}

/* A residual in y's own place; x there too where the shapes allow it and x is normalised first. */
static void assert_in_place(vt_kern *kern, const conv_data *d, vt_weight *weight,
                            const float *want) {
    vt_conv a = d->args;
    bool over_x = a.norm && d->nx == d->ny;
    if (!a.residual && !over_x) return;
    float *y = poisoned(d->ny), *workspace;
    memcpy(y, a.residual ? d->residual : d->x, d->ny * sizeof *y);
    a.w = weight;
    a.y = y;
    if (a.residual)
        a.residual = y;
    else
        a.x = y;
    size_t floats = floats_of(kern->conv_workspace(kern, &a));
    a.workspace = workspace = poisoned(floats);
    kern->conv(kern, &a);
    assert_same("in place", y, want, d->ny);
    release(workspace, floats);
    release(y, d->ny);
}

static void test_cpu_against_ref(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int type = 0; type <= VT_NUMBER_BF16; type++) {
            conv_data d;
            if (is_packed_only(&cases[i]) && type == VT_NUMBER_F32) continue;
            data_open(&d, &cases[i], (vt_number)type);
            vt_weight *weight = weight_for(ref, &d);
            float *want = conv_run(ref, &d, weight, 0, d.c->groups);
            ref->weight_close(ref, &weight);
            for (int k = 0; k < isas; k++) {
                weight = weight_for(single[k], &d);
                float *one = conv_run(single[k], &d, weight, 0, d.c->groups);
                float *more = conv_run(threaded[k], &d, weight, 0, d.c->groups);
                assert_near(i, &d, vt_isa_name((vt_isa)k), one, want);
                assert_same("3 threads", more, one, d.ny);
                size_t ny = d.ny / (size_t)d.c->groups;
                for (int g = 0; g < d.c->groups; g++) {
                    float *alone = conv_run(threaded[k], &d, weight, g, 1);
                    assert_same("one picture", alone, one + (size_t)g * ny, ny);
                    release(alone, ny);
                }
                assert_in_place(threaded[k], &d, weight, one);
                single[k]->weight_close(single[k], &weight);
                release(one, d.ny);
                release(more, d.ny);
            }
            release(want, d.ny);
            data_close(&d);
        }
}

/* ---- sums of the result, and norms from them ---- */

/* y of pictures [first, first + groups), and their sums. */
static float *conv_run_sums(vt_kern *kern, const conv_data *d, vt_weight *weight, int first,
                            int groups, double *sums) {
    conv_data with = *d;
    with.args.sums = sums;
    return conv_run(kern, &with, weight, first, groups);
}

/* Sums of x (groups, pixels, channels) and of its squares, picture by picture. */
static double *sums_of(const float *x, int groups, size_t pixels, size_t channels) {
    double *sums = calloc((size_t)groups * 2 * channels + 1, sizeof *sums);
    for (int g = 0; g < groups; g++)
        for (size_t i = 0; i < pixels * channels; i++, x++) {
            sums[(size_t)g * 2 * channels + i % channels] += (double)*x;
            sums[((size_t)g * 2 + 1) * channels + i % channels] += (double)*x * (double)*x;
        }
    return sums;
}

/* As near as float32 sums of some hundred numbers are. */
static void assert_sums(size_t i, const conv_data *d, const float *y, const double *got) {
    const size_t channels = (size_t)d->c->out_c;
    const size_t pixels = (size_t)d->c->out_h * (size_t)d->c->out_w;
    double *want = sums_of(y, d->c->groups, pixels, channels);
    for (size_t g = 0; g < (size_t)d->c->groups; g++)
        for (size_t c = 0; c < channels; c++) {
            const double *w = want + g * 2 * channels + c, *s = got + g * 2 * channels + c;
            const double size = sqrt(w[channels] * (double)pixels);
            if (!(fabs(*s - *w) <= 1e-5 * size) ||
                !(fabs(s[channels] - w[channels]) <= 1e-5 * w[channels]))
                fail_msg(
                    "case %zu, picture %zu, channel %zu: sums %.9g and %.9g, expected %.9g and "
                    "%.9g",
                    i, g, c, *s, s[channels], *w, w[channels]);
        }
    free(want);
}

static void test_sums(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int k = 0; k < isas; k++) {
            conv_data d;
            data_open(&d, &cases[i], VT_NUMBER_BF16);
            const size_t groups = (size_t)d.c->groups, ny = d.ny / groups;
            const size_t count = 2 * (size_t)d.c->out_c;
            double *one = malloc(groups * count * sizeof *one),
                   *more = malloc(2 * groups * count * sizeof *more);
            vt_weight *weight = weight_for(single[k], &d);
            float *plain = conv_run(single[k], &d, weight, 0, d.c->groups);
            float *y = conv_run_sums(single[k], &d, weight, 0, d.c->groups, one);
            assert_same("with sums", y, plain, d.ny);
            assert_sums(i, &d, y, one);
            release(y, d.ny);
            y = conv_run_sums(threaded[k], &d, weight, 0, d.c->groups, more);
            assert_same("3 threads with sums", y, plain, d.ny);
            assert_memory_equal(one, more, groups * count * sizeof *one);
            release(y, d.ny);
            y = conv_run_sums(threaded[k], &d, weight, d.c->groups - 1, 1, more);
            assert_same("one picture with sums", y, plain + (groups - 1) * ny, ny);
            assert_memory_equal(one + (groups - 1) * count, more, count * sizeof *one);
            release(y, ny);
            release(plain, d.ny);
            single[k]->weight_close(single[k], &weight);
            free(one);
            free(more);
            data_close(&d);
        }
}

/* A norm is the same whoever took its sums. */
static void test_norm_from_sums(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(cases); i++)
        for (int type = 0; type <= VT_NUMBER_BF16; type++) {
            conv_data d;
            if (!cases[i].norm_groups || (is_packed_only(&cases[i]) && type == VT_NUMBER_F32))
                continue;
            data_open(&d, &cases[i], (vt_number)type);
            const size_t channels = (size_t)d.c->in_c;
            double *sums =
                sums_of(d.x, d.c->groups, d.nx / (size_t)d.c->groups / channels, channels);
            for (int k = 0; k < isas; k++) {
                vt_weight *weight = weight_for(threaded[k], &d);
                d.norm.sums = NULL;
                float *want = conv_run(threaded[k], &d, weight, 0, d.c->groups);
                d.norm.sums = sums;
                float *got = conv_run(threaded[k], &d, weight, 0, d.c->groups);
                assert_near(i, &d, vt_isa_name((vt_isa)k), got, want);
                release(want, d.ny);
                release(got, d.ny);
                threaded[k]->weight_close(threaded[k], &weight);
            }
            free(sums);
            data_close(&d);
        }
}

/* ---- maps in bf16 ---- */

/* The upper halves of n floats, in a guarded buffer; with `empty` none yet. */
static float *halves_of(const float *x, size_t n, bool empty) {
    float *room = poisoned((n + 1) / 2);
    for (size_t i = 0; !empty && i < n; i++)
        memcpy((uint16_t *)(void *)room + i, (const char *)(x + i) + 2, 2);
    return room;
}

/* Which of x, y and residual are bf16. */
enum { X_BF16 = 1, Y_BF16 = 2, RESIDUAL_BF16 = 4 };

static vt_number type_if(int maps, int which) {
    return maps & which ? VT_NUMBER_BF16 : VT_NUMBER_F32;
}

/* y with maps of those types, as floats, and its sums. In place: y is x, which has its size and type. */
static float *conv_run_maps(vt_kern *kern, const conv_data *d, vt_weight *weight, int maps,
                            bool in_place, double *sums) {
    vt_conv a = d->args;
    float *x = halves_of(d->x, d->nx, false), *residual = halves_of(d->residual, d->ny, false);
    float *half = halves_of(NULL, d->ny, true), *y = poisoned(d->ny);
    a.w = weight;
    a.x_type = type_if(maps, X_BF16);
    a.y_type = type_if(maps, Y_BF16);
    a.residual_type = type_if(maps, RESIDUAL_BF16);
    if (maps & X_BF16) a.x = x;
    if (a.residual && maps & RESIDUAL_BF16) a.residual = residual;
    a.y = in_place ? x : maps & Y_BF16 ? half : y;
    a.sums = sums;
    const size_t floats = floats_of(kern->conv_workspace(kern, &a));
    a.workspace = poisoned(floats);
    kern->conv(kern, &a);
    for (size_t i = 0; maps & Y_BF16 && i < d->ny; i++) {
        const uint32_t bits = (uint32_t)((const uint16_t *)a.y)[i] << 16;
        memcpy(y + i, &bits, sizeof bits);
    }
    release(a.workspace, floats);
    release(half, (d->ny + 1) / 2);
    release(residual, (d->ny + 1) / 2);
    release(x, (d->nx + 1) / 2);
    return y;
}

/* The numbers and sums that float32 maps of the same numbers give, y rounded. */
static void assert_maps(vt_kern *kern, const conv_data *d, vt_weight *weight, int maps) {
    const size_t count = (size_t)d->c->groups * 2 * (size_t)d->c->out_c;
    double *sums = malloc(2 * count * sizeof *sums), *others = sums + count;
    float *want = conv_run_sums(kern, d, weight, 0, d->c->groups, sums);
    for (size_t i = 0; maps & Y_BF16 && i < d->ny; i++) want[i] = round_bf16(want[i]);
    float *y = conv_run_maps(kern, d, weight, maps, false, others);
    assert_same(kern->details ? kern->details : kern->name, y, want, d->ny);
    assert_memory_equal(sums, others, count * sizeof *sums);
    release(y, d->ny);
    if (d->args.norm && d->nx == d->ny && maps & X_BF16 && maps & Y_BF16) {
        y = conv_run_maps(kern, d, weight, maps, true, others);
        assert_same("bf16 in place", y, want, d->ny);
        release(y, d->ny);
    }
    release(want, d->ny);
    free(sums);
}

static void test_bf16_maps(void **unused) {
    (void)unused;
    for (size_t i = 0; i < COUNT(cases); i++) {
        const conv_case *c = &cases[i];
        /* float32 ones of three channels and fewer are summed in another order */
        const bool narrow = c->kernel == 3 && c->stride == 1 && c->out_c <= 3;
        const int most = narrow ? X_BF16 : X_BF16 | Y_BF16 | RESIDUAL_BF16,
                  some = narrow ? most : 1 + (int)(i % 6);
        if (c->upsample >= WINOGRAD) continue;
        conv_data d;
        data_open(&d, c, VT_NUMBER_BF16);
        for (size_t j = 0; j < d.nx; j++) d.x[j] = round_bf16(d.x[j]);
        for (size_t j = 0; j < d.ny; j++) d.residual[j] = round_bf16(d.residual[j]);
        const size_t channels = (size_t)c->in_c;
        double *sums = sums_of(d.x, c->groups, d.nx / (size_t)c->groups / channels, channels);
        d.norm.sums = sums;
        for (int k = -1; k < 2 * isas; k++) {
            vt_kern *kern = k < 0 ? ref : k < isas ? single[k] : threaded[k - isas];
            if (k < 0 && d.nx > 200000) continue; /* slow */
            vt_weight *weight = weight_for(kern, &d);
            assert_maps(kern, &d, weight, most);
            assert_maps(kern, &d, weight, some);
            kern->weight_close(kern, &weight);
        }
        free(sums);
        data_close(&d);
    }
}

/* A map of equal numbers, huge numbers, and one NaN: reaches what its taps reach, and no more. */
static void test_cpu_extremes(void **unused) {
    (void)unused;
    const conv_case c = {1, 9, 14, 32, 9, 14, 20, 3, 1, 1, 1, 0, PLAIN, false, false, true};
    conv_case normed = c;
    normed.norm_groups = 32;
    normed.silu = true;
    for (int type = 1; type <= VT_NUMBER_BF16; type++)
        for (int k = 0; k < isas; k++) {
            conv_data d;
            data_open(&d, &c, (vt_number)type);
            vt_weight *weight = weight_for(single[k], &d);
            for (size_t j = 0; j < d.nx; j++) d.x[j] = 1e30f * uniform();
            float *huge = conv_run(single[k], &d, weight, 0, 1);
            for (size_t j = 0; j < d.ny; j++) assert_true(isfinite(huge[j]));
            release(huge, d.ny);
            for (size_t j = 0; j < d.nx; j++) d.x[j] = uniform();
            d.x[(4 * 14 + 5) * 32 + 31] = NAN;
            float *y = conv_run(single[k], &d, weight, 0, 1);
            for (int p = 0; p < 9 * 14; p++)
                for (int o = 0; o < 20; o++) {
                    bool reached = abs(p / 14 - 4) <= 1 && abs(p % 14 - 5) <= 1;
                    assert_int_equal(isnan(y[p * 20 + o]) != 0, reached);
                }
            release(y, d.ny);
            for (size_t j = 0; j < d.nx; j++) d.x[j] = 7.0f; /* normalised: beta */
            d.c = &normed;
            d.args.norm = &d.norm;
            d.norm.channel_groups = 32;
            d.norm.silu = true;
            y = conv_run(single[k], &d, weight, 0, 1);
            for (size_t j = 0; j < d.ny; j++) assert_true(isfinite(y[j]) && fabsf(y[j]) < 300.0f);
            release(y, d.ny);
            single[k]->weight_close(single[k], &weight);
            data_close(&d);
        }
}

static void test_no_pictures(void **unused) {
    (void)unused;
    for (int type = 0; type <= VT_NUMBER_BF16; type++)
        for (int k = 0; k < isas; k++) {
            conv_data d;
            data_open(&d, &cases[3], (vt_number)type);
            vt_weight *weight = weight_for(threaded[k], &d);
            float *y = conv_run(threaded[k], &d, weight, 0, 0);
            release(y, 0);
            threaded[k]->weight_close(threaded[k], &weight);
            data_close(&d);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_ref_is_a_composition),
        cmocka_unit_test(test_phases_are_the_enlarged_convolution),
        cmocka_unit_test(test_winograd_is_the_convolution),
        cmocka_unit_test(test_cpu_against_ref),
        cmocka_unit_test(test_sums),
        cmocka_unit_test(test_norm_from_sums),
        cmocka_unit_test(test_bf16_maps),
        cmocka_unit_test(test_cpu_extremes),
        cmocka_unit_test(test_no_pictures),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

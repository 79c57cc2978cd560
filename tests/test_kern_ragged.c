/* test_kern_ragged.c - the operations of a generation step on streams of any sizes at once: norm, product with each
 * epilogue, the split into q, k and v, attention. For the plain-C backend and for every instruction set of the
 * machine, with 1 and 3 threads: each stream gets the bits that it gets alone, in a call that knows nothing of ragged
 * rows, and nothing outside its own rows is written. What it gets alone is compared with the plain-C twin elsewhere. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/number.h"
#include "kern/ragged.h"

enum { MOST_GROUPS = 80, CANARY = 64 };

static vt_kern *kerns[1 + VT_ISA_COUNT][2]; /* ref, then by instruction set; 1 and 3 threads */

static uint64_t state;

static uint32_t draw(void) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (uint32_t)(state >> 33);
}

static int between(int low, int high) {
    return low + (int)(draw() % (uint32_t)(high - low + 1));
}

static float number(void) { /* [-1, 1) */
    return (float)draw() * 0x1p-30f - 1.0f;
}

/* ---- buffers: poison with a canary behind it ---- */

static void *buffer(size_t bytes) {
    unsigned char *x = malloc(bytes + CANARY);
    assert_non_null(x);
    memset(x, 0xff, bytes); /* NaN in float32 and in bf16 */
    memset(x + bytes, 0x5a, CANARY);
    return x;
}

static void buffer_close(void *of, size_t bytes) {
    const unsigned char *x = of;
    for (size_t i = 0; i < CANARY; ++i)
        if (x[bytes + i] != 0x5a) fail_msg("written past the end of %zu bytes", bytes);
    free(of);
}

static float *numbers(size_t count) {
    float *x = malloc(count * sizeof *x);
    assert_non_null(x);
    for (size_t i = 0; i < count; ++i) x[i] = number();
    return x;
}

/* ---- a step: streams with rows, held keys, modulation ---- */

typedef struct step {
    int groups, heads, head_dim, width, hidden, rows,
        all; /* rows of the groups; of the stream, gaps included */
    vt_number weights, kv_type;
    bool normed; /* q and k are */
    int begin[MOST_GROUPS + 1], at[MOST_GROUPS], held[MOST_GROUPS];
    float *mods, *x; /* (groups, 3 width); (all, width) */
    float *q_bias, *v_bias, *scale_mul;
    const float *mod[MOST_GROUPS];
    vt_weight_spec qkv, wide, back; /* (3C, C), (hidden, C), (C, hidden) */
    float *bias;                    /* (hidden) */
} step;

static void spec_make(vt_weight_spec *spec, vt_number type, int n, int k) {
    *spec =
        (vt_weight_spec){.type = type, .n = n, .k = k, .values = numbers((size_t)n * (size_t)k)};
}

static void step_make(step *s, int most_rows) {
    static const int dims[] = {16, 32, 64, 20};
    s->head_dim = dims[draw() % 4];
    s->heads = between(1, 3);
    s->width = s->heads * s->head_dim;
    s->hidden = draw() % 3 ? 2 * s->width : 1040; /* long enough for float32's way with few rows */
    s->rows = s->all = 0;
    s->begin[0] = 0;
    for (int g = 0; g < s->groups; ++g) {
        int rows = g > 0 && draw() % 2 ? s->begin[g] - s->begin[g - 1] : between(1, most_rows);
        s->all += between(0, 2) * (int)(draw() % 2);
        s->at[g] = s->all;
        s->all += rows;
        s->begin[g + 1] = s->rows += rows;
        s->held[g] = draw() % 3 ? between(0, 70) : 0;
    }
    size_t width = (size_t)s->width;
    s->mods = numbers((size_t)s->groups * 3 * width);
    for (int g = 0; g < s->groups; ++g) /* some share a class */
        s->mod[g] = s->mods + (size_t)(g / 2) * 3 * width;
    s->x = numbers((size_t)s->all * width);
    s->q_bias = numbers(width);
    s->v_bias = numbers(width);
    s->scale_mul = numbers((size_t)s->heads);
    s->bias = numbers((size_t)s->hidden);
    spec_make(&s->qkv, s->weights, 3 * s->width, s->width);
    spec_make(&s->wide, s->weights, s->hidden, s->width);
    spec_make(&s->back, s->weights, s->width, s->hidden);
}

static void step_close(step *s) {
    free(s->mods);
    free(s->x);
    free(s->q_bias);
    free(s->v_bias);
    free(s->scale_mul);
    free(s->bias);
    free((void *)(uintptr_t)s->qkv.values);
    free((void *)(uintptr_t)s->wide.values);
    free((void *)(uintptr_t)s->back.values);
}

/* ---- one way through it ---- */

typedef struct results {
    float *x, *q;                  /* (all, C), (rows, C) */
    void *normed, *attended, *act; /* (rows, C), (rows, C), (rows, hidden) of what products read */
    char *kv[MOST_GROUPS];         /* k, v (held + rows, C) each, then scales of both */
    size_t kv_bytes[MOST_GROUPS];
} results;

typedef struct run {
    vt_kern *kern;
    const step *s;
    vt_weight *qkv, *wide, *back;
    vt_number type; /* of what products read */
    results r;
} run;

static size_t normed_bytes(const run *r, size_t count) {
    return count * vt_number_size(r->type);
}

static vt_stream_rows kv_of(const run *r, int g) {
    const step *s = r->s;
    size_t rows = (size_t)(s->held[g] + s->begin[g + 1] - s->begin[g]);
    size_t half = rows * (size_t)s->width * vt_number_size(s->kv_type);
    vt_stream_rows kv = {.k = r->r.kv[g], .v = r->r.kv[g] + half, .held = s->held[g]};
    if (s->kv_type != VT_NUMBER_INT8) return kv;
    kv.k_scale = (float *)(void *)(r->r.kv[g] + (2 * half + 3) / 4 * 4);
    kv.v_scale = kv.k_scale + rows * (size_t)s->heads;
    return kv;
}

/* What streams hold already: the same for every way. */
static void kv_take(run *r, int g) {
    const step *s = r->s;
    size_t held = (size_t)s->held[g], rows = held + (size_t)(s->begin[g + 1] - s->begin[g]);
    size_t size = vt_number_size(s->kv_type), width = (size_t)s->width;
    r->r.kv_bytes[g] = 2 * rows * (width * size + (size_t)s->heads * sizeof(float)) + 4;
    r->r.kv[g] = buffer(r->r.kv_bytes[g]);
    vt_stream_rows kv = kv_of(r, g);
    state = (uint64_t)g * 77 + 1;
    for (size_t i = 0; i < held * width; ++i)
        for (int part = 0; part < 2; ++part) {
            void *to = part ? kv.v : kv.k;
            float value = number();
            if (s->kv_type == VT_NUMBER_F32) ((float *)to)[i] = value;
            if (s->kv_type == VT_NUMBER_BF16) ((vt_bf16 *)to)[i] = vt_to_bf16(value);
            if (s->kv_type == VT_NUMBER_INT8) ((int8_t *)to)[i] = (int8_t)(127.0f * value);
        }
    for (size_t i = 0; kv.k_scale && i < held * (size_t)s->heads; ++i)
        kv.k_scale[i] = kv.v_scale[i] = 0.01f;
}

static void run_open(run *r, vt_kern *kern, const step *s) {
    size_t width = (size_t)s->width, rows = (size_t)s->rows;
    *r = (run){.kern = kern, .s = s};
    assert_int_equal(kern->weight_open(kern, &r->qkv, &s->qkv, NULL), VARIANT_OK);
    assert_int_equal(kern->weight_open(kern, &r->wide, &s->wide, NULL), VARIANT_OK);
    assert_int_equal(kern->weight_open(kern, &r->back, &s->back, NULL), VARIANT_OK);
    r->type = s->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16;
    r->r.x = buffer((size_t)s->all * width * 4);
    memcpy(r->r.x, s->x, (size_t)s->all * width * 4);
    r->r.q = buffer(rows * width * 4);
    r->r.normed = buffer(normed_bytes(r, rows * width));
    r->r.attended = buffer(normed_bytes(r, rows * width));
    r->r.act = buffer(normed_bytes(r, rows * (size_t)r->s->hidden));
    for (int g = 0; g < s->groups; ++g) kv_take(r, g);
}

static void run_close(run *r) {
    size_t width = (size_t)r->s->width, rows = (size_t)r->s->rows;
    buffer_close(r->r.x, (size_t)r->s->all * width * 4);
    buffer_close(r->r.q, rows * width * 4);
    buffer_close(r->r.normed, normed_bytes(r, rows * width));
    buffer_close(r->r.attended, normed_bytes(r, rows * width));
    buffer_close(r->r.act, normed_bytes(r, rows * (size_t)r->s->hidden));
    for (int g = 0; g < r->s->groups; ++g) buffer_close(r->r.kv[g], r->r.kv_bytes[g]);
    r->kern->weight_close(r->kern, &r->qkv);
    r->kern->weight_close(r->kern, &r->wide);
    r->kern->weight_close(r->kern, &r->back);
}

static void multiply(run *r, vt_product *p) {
    size_t bytes = r->kern->product_workspace(r->kern, p);
    p->workspace = buffer(bytes);
    r->kern->product(r->kern, p);
    buffer_close(p->workspace, bytes);
}

static void attend(run *r, vt_attention *a) {
    size_t bytes = r->kern->attention_workspace(r->kern, a);
    a->workspace = buffer(bytes);
    r->kern->attention(r->kern, a);
    buffer_close(a->workspace, bytes);
}

/* Rows [first, first + rows) of what is contiguous, `at` of the stream: all of them where ragged is given, else group g's.
 */
static void block(run *r, const vt_ragged *ragged, int g) {
    const step *s = r->s;
    const size_t width = (size_t)s->width, first = ragged ? 0 : (size_t)s->begin[g];
    const int rows = ragged ? s->rows : s->begin[g + 1] - s->begin[g];
    const float *mod = s->mod[g];
    float *x = r->r.x + (ragged ? 0 : (size_t)s->at[g] * width), *q = r->r.q + first * width;
    char *normed = (char *)r->r.normed + normed_bytes(r, first * width);
    char *attended = (char *)r->r.attended + normed_bytes(r, first * width);
    char *act = (char *)r->r.act + normed_bytes(r, first * (size_t)s->hidden);
    const vt_stream_rows kv = kv_of(r, g);
    const int q_end = rows, k_end = kv.held + rows;
    r->kern->norm_modulate(r->kern, &(vt_norm_modulate){.x = x,
                                                        .scale = mod,
                                                        .shift = mod + width,
                                                        .y = normed,
                                                        .y_type = r->type,
                                                        .groups = 1,
                                                        .rows = rows,
                                                        .width = s->width,
                                                        .eps = 1e-6f,
                                                        .ragged = ragged,
                                                        .shift_at = width});
    size_t size = vt_number_size(s->kv_type), scales = (size_t)kv.held * (size_t)s->heads;
    vt_qkv split = {.q_bias = s->q_bias,
                    .v_bias = s->v_bias,
                    .scale_mul = s->normed ? s->scale_mul : NULL,
                    .q = q,
                    .k = (char *)kv.k + (size_t)kv.held * width * size,
                    .v = (char *)kv.v + (size_t)kv.held * width * size,
                    .kv_type = s->kv_type,
                    .kv_stride = width,
                    .k_scale = kv.k_scale ? kv.k_scale + scales : NULL,
                    .v_scale = kv.v_scale ? kv.v_scale + scales : NULL,
                    .groups = 1,
                    .rows = rows,
                    .heads = s->heads,
                    .head_dim = s->head_dim,
                    .ragged = ragged};
    multiply(r, &(vt_product){.x = normed,
                              .x_type = r->type,
                              .w = r->qkv,
                              .groups = 1,
                              .rows = rows,
                              .epilogue = VT_EPILOGUE_QKV,
                              .qkv = &split,
                              .ragged = ragged});
    attend(r, &(vt_attention){.q = q,
                              .k = kv.k,
                              .v = kv.v,
                              .out = attended,
                              .kv_type = s->kv_type,
                              .out_type = r->type,
                              .k_scale = kv.k_scale,
                              .v_scale = kv.v_scale,
                              .q_stride = width,
                              .kv_stride = width,
                              .out_stride = width,
                              .groups = 1,
                              .heads = s->heads,
                              .head_dim = s->head_dim,
                              .segments = 1,
                              .q_end = &q_end,
                              .k_end = &k_end,
                              .scale = 0.3f,
                              .ragged = ragged});
    multiply(r, &(vt_product){.x = attended,
                              .x_type = r->type,
                              .w = r->wide,
                              .bias = s->bias,
                              .y = act,
                              .y_type = r->type,
                              .groups = 1,
                              .rows = rows,
                              .epilogue = VT_EPILOGUE_GELU,
                              .ragged = ragged});
    multiply(r, &(vt_product){.x = act,
                              .x_type = r->type,
                              .w = r->back,
                              .y = x,
                              .groups = 1,
                              .rows = rows,
                              .epilogue = VT_EPILOGUE_GATE_ADD,
                              .gamma = mod + 2 * width,
                              .ragged = ragged,
                              .gamma_at = 2 * width});
}

static void same(const run *a, const run *b, const char *who) {
    const step *s = a->s;
    size_t width = (size_t)s->width, rows = (size_t)s->rows;
#define SAME(field, bytes)                                                                         \
    if (memcmp(a->r.field, b->r.field, bytes) != 0) fail_msg("%s: " #field " differs", who)
    SAME(normed, normed_bytes(a, rows * width));
    for (int g = 0; g < s->groups; ++g) SAME(kv[g], a->r.kv_bytes[g]);
    SAME(q, rows * width * 4);
    SAME(attended, normed_bytes(a, rows * width));
    SAME(act, normed_bytes(a, rows * (size_t)s->hidden));
    SAME(x, (size_t)s->all * width * 4);
#undef SAME
}

static void check(step *s, int most_rows) {
    step_make(s, most_rows);
    uint64_t after = state;
    for (int k = 0; k < 1 + VT_ISA_COUNT; ++k) {
        if (!kerns[k][0]) continue;
        run alone;
        run_open(&alone, kerns[k][0], s);
        for (int g = 0; g < s->groups; ++g) block(&alone, NULL, g);
        for (int threads = 0; threads < 2; ++threads) {
            if (!kerns[k][threads]) continue;
            run together;
            vt_stream_rows kv[MOST_GROUPS];
            run_open(&together, kerns[k][threads], s);
            for (int g = 0; g < s->groups; ++g) kv[g] = kv_of(&together, g);
            const vt_ragged ragged = {
                .groups = s->groups, .begin = s->begin, .at = s->at, .mod = s->mod, .kv = kv};
            block(&together, &ragged, 0);
            char who[128];
            snprintf(who, sizeof who, "%s, %d threads, %s weights, %s keys, %d groups of %d wide",
                     k ? vt_isa_name((vt_isa)(k - 1)) : "ref", threads ? 3 : 1,
                     vt_number_name(s->weights), vt_number_name(s->kv_type), s->groups, s->width);
            same(&together, &alone, who);
            run_close(&together);
        }
        run_close(&alone);
    }
    state = after;
    step_close(s);
}

static void test_random(void **unused) {
    (void)unused;
    state = 18;
    for (int i = 0; i < 27; ++i) {
        step s = {.groups = between(1, 9),
                  .weights = (vt_number)(i % 3),
                  .kv_type = (vt_number)(i / 3 % 3),
                  .normed = i % 2};
        check(&s, i % 4 ? 40 : 130);
    }
}

/* More runs of equal groups than are dealt out at a time. */
static void test_many(void **unused) {
    (void)unused;
    state = 5;
    for (int i = 0; i < 2; ++i) {
        step s = {.groups = MOST_GROUPS,
                  .weights = i ? VT_NUMBER_BF16 : VT_NUMBER_F32,
                  .kv_type = i ? VT_NUMBER_BF16 : VT_NUMBER_F32};
        check(&s, 9);
    }
}

static void test_find(void **unused) {
    (void)unused;
    const int begin[] = {0, 1, 5, 9, 13, 14};
    const vt_ragged ragged = {.groups = 5, .begin = begin};
    const int of[] = {0, 1, 1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 3, 4};
    for (int row = 0; row < 14; ++row) assert_int_equal(vt_ragged_find(&ragged, row), of[row]);
    vt_ragged_run run = vt_ragged_run_at(&ragged, 1);
    assert_int_equal(run.groups, 3);
    assert_int_equal(run.rows, 4);
    assert_int_equal(run.row, 1);
}

static int open_kerns(void **unused) {
    (void)unused;
    if (vt_kern_open(&kerns[0][0], "ref", 1, NULL) != VARIANT_OK) return -1;
    vt_isa best = vt_isa_best(); /* held down by VARIANT_CPU, if it is set */
    for (int isa = 0; isa <= (int)best; ++isa) {
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        if (vt_kern_open(&kerns[1 + isa][0], "cpu", 1, NULL) != VARIANT_OK) return -1;
        if (vt_kern_open(&kerns[1 + isa][1], "cpu", 3, NULL) != VARIANT_OK) return -1;
    }
    return 0;
}

static int close_kerns(void **unused) {
    (void)unused;
    for (int k = 0; k < 1 + VT_ISA_COUNT; ++k)
        for (int threads = 0; threads < 2; ++threads) vt_kern_close(&kerns[k][threads]);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_find),
        cmocka_unit_test(test_random),
        cmocka_unit_test(test_many),
    };
    return cmocka_run_group_tests(tests, open_kerns, close_kerns);
}

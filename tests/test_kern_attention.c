/* test_kern_attention.c - attention over float32, bf16 and int8 keys, what writes them
 * (qkv_split) and what the products read (norm_modulate), cpu against ref on every instruction
 * set.
 *
 * Every number that nobody may read is NaN: keys past the last one seen, gaps between rows, the
 * workspace, outputs. Every number that nobody may write is checked to be what it was. 1 and 3
 * threads, and one sample alone, must give the same bits. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/number.h"

static vt_kern *ref;
static vt_kern *cpus[VT_ISA_COUNT][2]; /* by instruction set; 1 and 3 threads */

static uint64_t state;

static float draw(void) { /* [-1, 1) */
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (float)((double)(state >> 11) * 0x1p-52 - 1.0);
}

/* ---- buffers: poison, numbers of any type, a canary ---- */

enum { CANARY = 64 }; /* bytes */

static void *buffer(size_t bytes) {
    unsigned char *x = malloc(bytes + CANARY);
    assert_non_null(x);
    memset(x, 0xff, bytes); /* NaN in float32 and in bf16, -1 in int8 */
    memset(x + bytes, 0x5a, CANARY);
    return x;
}

static void buffer_close(void *buffer_of, size_t bytes) {
    const unsigned char *x = buffer_of;
    for (size_t i = 0; i < CANARY; ++i)
        if (x[bytes + i] != 0x5a) fail_msg("written past the end of %zu bytes", bytes);
    free(buffer_of);
}

static void put(void *to, vt_number type, size_t i, float value) {
    if (type == VT_NUMBER_F32)
        ((float *)to)[i] = value;
    else if (type == VT_NUMBER_BF16)
        ((vt_bf16 *)to)[i] = vt_to_bf16(value);
    else
        ((int8_t *)to)[i] = (int8_t)rintf(127.0f * value);
}

static float get(const void *from, vt_number type, size_t i) {
    if (type == VT_NUMBER_F32) return ((const float *)from)[i];
    if (type == VT_NUMBER_BF16) return vt_from_bf16(((const vt_bf16 *)from)[i]);
    return (float)((const int8_t *)from)[i];
}

/* ---- one attention ---- */

enum { MOST_SEGMENTS = 8 };

typedef struct shape {
    const char *name;
    int groups, heads, head_dim, segments;
    int q_end[MOST_SEGMENTS], k_end[MOST_SEGMENTS];
    float q_size, k_size, v_size, scale;
    double tolerance; /* relative L2; 0: what rounding asks for */
} shape;

typedef struct problem {
    vt_attention args;
    size_t q_count, kv_count, scale_count, out_count, workspace_count; /* numbers */
    void *k, *v;
    float *k_scale, *v_scale, *q;
} problem;

static size_t between(size_t begin, size_t more) {
    return begin + (size_t)((draw() + 1.0f) * 0.5f * (float)more);
}

static void problem_open(problem *p, const shape *s, vt_number kv_type, vt_number out_type) {
    *p = (problem){0};
    vt_attention *a = &p->args;
    size_t width = (size_t)s->heads * (size_t)s->head_dim;
    size_t queries = (size_t)s->q_end[s->segments - 1], keys = 0;
    for (int i = 0; i < s->segments; ++i)
        keys = (size_t)s->k_end[i] > keys ? (size_t)s->k_end[i] : keys;
    *a = (vt_attention){.kv_type = kv_type,
                        .out_type = out_type,
                        .groups = s->groups,
                        .heads = s->heads,
                        .head_dim = s->head_dim,
                        .segments = s->segments,
                        .q_end = s->q_end,
                        .k_end = s->k_end,
                        .scale = s->scale};
    a->q_stride = between(width, 5), a->kv_stride = between(width, 5);
    a->out_stride = between(width, 5);
    a->q_group_stride = a->q_stride * queries + 3;
    a->kv_group_stride = a->kv_stride * (keys + 3) + 1;
    a->out_group_stride = a->out_stride * queries + 7;
    a->scale_group_stride = (keys + 2) * (size_t)s->heads;
    size_t groups = (size_t)s->groups;
    p->q_count = groups * a->q_group_stride, p->kv_count = groups * a->kv_group_stride;
    p->out_count = groups * a->out_group_stride, p->scale_count = groups * a->scale_group_stride;
    p->q = buffer(p->q_count * 4);
    p->k = buffer(p->kv_count * vt_number_size(kv_type));
    p->v = buffer(p->kv_count * vt_number_size(kv_type));
    p->k_scale = buffer(p->scale_count * 4), p->v_scale = buffer(p->scale_count * 4);
    a->q = p->q, a->k = p->k, a->v = p->v, a->k_scale = p->k_scale, a->v_scale = p->v_scale;
    bool int8 = kv_type == VT_NUMBER_INT8;
    for (size_t g = 0; g < groups; ++g) {
        for (size_t i = 0; i < queries * width; ++i)
            p->q[g * a->q_group_stride + i / width * a->q_stride + i % width] = s->q_size * draw();
        for (size_t i = 0; i < keys * width; ++i) {
            size_t at = g * a->kv_group_stride + i / width * a->kv_stride + i % width;
            put(p->k, kv_type, at, (int8 ? 1.0f : s->k_size) * draw());
            put(p->v, kv_type, at, (int8 ? 1.0f : s->v_size) * draw());
        }
        for (size_t i = 0; i < keys * (size_t)s->heads; ++i) {
            p->k_scale[g * a->scale_group_stride + i] = s->k_size / 127 * (1 + 0.5f * draw());
            p->v_scale[g * a->scale_group_stride + i] = s->v_size / 127 * (1 + 0.9f * draw());
        }
    }
}

static void problem_close(problem *p) {
    size_t bytes = vt_number_size(p->args.kv_type);
    buffer_close(p->q, p->q_count * 4);
    buffer_close(p->k, p->kv_count * bytes);
    buffer_close(p->v, p->kv_count * bytes);
    buffer_close(p->k_scale, p->scale_count * 4);
    buffer_close(p->v_scale, p->scale_count * 4);
}

/* Runs it; the caller frees the output. */
static void *attend(const problem *p, vt_kern *kern) {
    vt_attention a = p->args;
    size_t bytes = p->out_count * vt_number_size(a.out_type);
    size_t workspace = kern->attention_workspace(kern, &a);
    void *out = buffer(bytes);
    a.out = out;
    a.workspace = buffer(workspace);
    kern->attention(kern, &a);
    buffer_close(a.workspace, workspace);
    return out;
}

static bool in_a_row(const problem *p, size_t i) {
    const vt_attention *a = &p->args;
    size_t at = i % a->out_group_stride, width = (size_t)a->heads * (size_t)a->head_dim;
    return at / a->out_stride < (size_t)a->q_end[a->segments - 1] && at % a->out_stride < width;
}

/* Relative error in L2 over the rows; gaps between them must still be poison. */
static double error_of(const problem *p, const void *got, const void *want) {
    double off = 0, size = 0;
    vt_number type = p->args.out_type;
    for (size_t i = 0; i < p->out_count; ++i) {
        float a = get(got, type, i), b = get(want, type, i);
        if (!in_a_row(p, i)) {
            assert_true(isnan(a) && isnan(b));
            continue;
        }
        if (isnan(a) || isnan(b)) return INFINITY;
        off += ((double)a - b) * ((double)a - b);
        size += (double)b * b;
    }
    return off == 0 ? 0 : sqrt(off / (size + 1e-300));
}

/* Sample g alone. */
static void check_alone(const problem *p, vt_kern *kern, const void *all, int g) {
    problem one = *p;
    size_t bytes = vt_number_size(p->args.kv_type), out = vt_number_size(p->args.out_type);
    vt_attention *a = &one.args;
    a->groups = 1;
    a->q += (size_t)g * a->q_group_stride;
    a->k = (const char *)a->k + (size_t)g * a->kv_group_stride * bytes;
    a->v = (const char *)a->v + (size_t)g * a->kv_group_stride * bytes;
    a->k_scale += (size_t)g * a->scale_group_stride;
    a->v_scale += (size_t)g * a->scale_group_stride;
    one.out_count = a->out_group_stride;
    void *got = attend(&one, kern);
    assert_memory_equal(got, (const char *)all + (size_t)g * a->out_group_stride * out,
                        a->out_group_stride * out);
    buffer_close(got, one.out_count * out);
}

/* A probability near the border between two bf16 numbers may fall to the other side of it: one that
 * does is wrong by 2^-8, but few do. So a result may be off by as much, and the usual result, which
 * check_usual looks at, by far less. */
static double tolerance_of(const shape *s, vt_number kv_type, vt_number out_type) {
    double tolerance = s->tolerance > 0 ? s->tolerance : 2e-6;
    if (kv_type != VT_NUMBER_F32) tolerance = tolerance > 2e-3 ? tolerance : 2e-3;
    return out_type == VT_NUMBER_BF16 ? tolerance + 1e-3 : tolerance;
}

static double worst[3];
static int compared[3], off_by_more[3]; /* by key type; more than 2e-4 */

static void check_usual(void) {
    for (int kv = 0; kv < 3; ++kv) {
        printf("%s keys: worst error %.2g; %d of %d above 2e-4\n", vt_number_name((vt_number)kv),
               worst[kv], off_by_more[kv], compared[kv]);
        assert_true(compared[kv] > 0 && off_by_more[kv] * 8 <= compared[kv]);
        worst[kv] = compared[kv] = off_by_more[kv] = 0;
    }
}

static void check_shape(const shape *s, vt_number kv_type, vt_number out_type) {
    problem p;
    problem_open(&p, s, kv_type, out_type);
    size_t bytes = p.out_count * vt_number_size(out_type);
    void *want = attend(&p, ref);
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        void *one = attend(&p, cpus[isa][0]), *three = attend(&p, cpus[isa][1]);
        double off = error_of(&p, one, want);
        if (out_type == VT_NUMBER_F32) {
            worst[kv_type] = off > worst[kv_type] ? off : worst[kv_type];
            ++compared[kv_type];
            off_by_more[kv_type] += off > 2e-4;
        }
        if (!(off <= tolerance_of(s, kv_type, out_type)))
            fail_msg("%s (%d groups, %d heads of %d, %d queries), %s keys, %s out, %s: relative "
                     "error %g",
                     s->name, s->groups, s->heads, s->head_dim, s->q_end[s->segments - 1],
                     vt_number_name(kv_type), vt_number_name(out_type), vt_isa_name((vt_isa)isa),
                     off);
        if (memcmp(one, three, bytes) != 0)
            fail_msg("%s, %s keys, %s: 1 and 3 threads differ", s->name, vt_number_name(kv_type),
                     vt_isa_name((vt_isa)isa));
        if (s->groups > 1) check_alone(&p, cpus[isa][1], one, s->groups - 1);
        buffer_close(one, bytes);
        buffer_close(three, bytes);
    }
    buffer_close(want, bytes);
    problem_close(&p);
}

static void check_types(const shape *s) {
    for (int kv = 0; kv < 3; ++kv) {
        check_shape(s, (vt_number)kv, VT_NUMBER_F32);
        check_shape(s, (vt_number)kv, VT_NUMBER_BF16);
    }
}

#define ONE(q, k)                                                                                  \
    1, {q}, {                                                                                      \
        k                                                                                          \
    }
#define USUAL 1, 1, 1, 0.3f, 0

static void test_shapes(void **unused) {
    (void)unused;
    static const shape shapes[] = {
        {"one of all", 1, 1, 1, ONE(1, 1), USUAL},
        {"one key", 2, 2, 64, ONE(5, 1), USUAL},
        {"one row", 1, 3, 16, ONE(1, 70), USUAL},
        {"one row, two samples", 2, 4, 64, ONE(1, 5), USUAL},
        {"a step", 2, 3, 64, ONE(16, 30), USUAL},
        {"whole steps", 1, 2, 64, ONE(64, 128), USUAL},
        {"a key more", 1, 2, 64, ONE(65, 129), USUAL},
        {"many rows", 1, 1, 32, ONE(300, 191), USUAL},
        {"odd head", 2, 3, 20, ONE(9, 14), USUAL},
        {"odd head of one", 1, 2, 1, ONE(3, 40), USUAL},
        {"odd head, many", 1, 2, 17, ONE(37, 100), USUAL},
        {"wide head", 1, 1, 128, ONE(40, 90), USUAL},
        {"wider head", 2, 1, 320, ONE(100, 100), USUAL},
        {"wide odd head", 1, 2, 161, ONE(13, 33), USUAL},
        {"segments", 2, 2, 64, 5, {1, 5, 14, 30, 100}, {1, 5, 14, 30, 100}, USUAL},
        {"segments of a pyramid",
         1,
         2,
         16,
         7,
         {1, 5, 14, 30, 55, 91, 155},
         {1, 5, 14, 30, 55, 91, 155},
         USUAL},
        {"segments with earlier rows", 1, 2, 20, 3, {4, 13, 29}, {5, 14, 30}, USUAL},
        {"an empty segment", 1, 2, 32, 3, {4, 4, 20}, {5, 14, 30}, USUAL},
        {"no keys", 2, 2, 20, 2, {4, 9}, {0, 3}, USUAL},
        {"no rows", 2, 2, 20, ONE(0, 3), USUAL},
        {"no samples", 0, 2, 20, ONE(4, 3), USUAL},
        {"a whole step of bf16", 1, 1, 64, ONE(25, 1024), USUAL},
        {"a key more of it", 1, 1, 64, ONE(25, 1025), USUAL},
        {"steps of bf16", 2, 1, 32, ONE(13, 2200), USUAL},
        {"steps of a wide odd head", 1, 1, 81, ONE(7, 1100), USUAL},
        {"segments across a step", 1, 1, 16, 3, {5, 40, 70}, {1000, 1050, 1120}, USUAL},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) check_types(&shapes[i]);
    check_usual();
}

static void test_random_shapes(void **unused) {
    (void)unused;
    for (int i = 0; i < 40; ++i) {
        shape s = {"random",
                   (int)between(1, 3),
                   (int)between(1, 5),
                   (int)between(1, 90),
                   1,
                   {0},
                   {0},
                   1,
                   1,
                   1,
                   0.3f,
                   0};
        s.segments = (int)between(1, 4);
        for (int j = 0; j < s.segments; ++j) {
            s.q_end[j] = (j ? s.q_end[j - 1] : 0) + (int)between(0, 90);
            s.k_end[j] = (j ? s.k_end[j - 1] : 0) + (int)between(1, 90);
        }
        vt_number kv = (vt_number)(i % 3);
        check_shape(&s, kv, i % 2 ? VT_NUMBER_F32 : VT_NUMBER_BF16);
    }
    check_usual();
}

/* A score of 1e4 is known to 1e-3 at best, and so is its power. */
static void test_extremes(void **unused) {
    (void)unused;
    static const shape shapes[] = {
        {"large scores", 2, 2, 64, ONE(40, 150), 30, 1, 1, 1, 1e-3},
        {"huge scores", 1, 2, 64, ONE(9, 20), 1e4f, 1, 1, 1, 1e-2},
        {"overflowing powers", 1, 1, 32, ONE(9, 70), 1e9f, 1e9f, 1, 1, 1e-3},
        {"equal scores", 2, 2, 32, ONE(40, 150), 0, 1, 1, 1, 0},
        {"no scale", 1, 2, 32, ONE(20, 70), 1, 1, 1, 0, 0},
        {"small scores", 1, 2, 64, ONE(20, 70), 1e-20f, 1e-20f, 1, 1, 0},
        {"large values", 1, 2, 64, ONE(20, 70), 1, 1, 1e30f, 0.3f, 0},
        {"small values", 1, 2, 64, ONE(20, 70), 1, 1, 1e-30f, 0.3f, 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) check_types(&shapes[i]);
}

/* Equal scores: the mean of the values, to the last bits. */
static void test_mean(void **unused) {
    (void)unused;
    const shape s = {"mean", 1, 1, 32, ONE(3, 200), 0, 1, 1, 1, 0};
    problem p;
    problem_open(&p, &s, VT_NUMBER_F32, VT_NUMBER_F32);
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        float *out = attend(&p, cpus[isa][0]);
        for (size_t d = 0; d < 32; ++d) {
            double mean = 0;
            for (size_t j = 0; j < 200; ++j) mean += ((float *)p.v)[j * p.args.kv_stride + d];
            assert_true(fabs(out[d] - mean / 200) < 1e-6);
        }
        buffer_close(out, p.out_count * 4);
    }
    problem_close(&p);
}

/* What a segment does not see may be infinite. */
static void test_unseen(void **unused) {
    (void)unused;
    const shape s = {"unseen", 1, 2, 32, 2, {10, 30}, {17, 40}, USUAL};
    for (int kv = 0; kv < 2; ++kv) {
        problem p;
        problem_open(&p, &s, (vt_number)kv, VT_NUMBER_F32);
        for (size_t i = 0; i < 64; ++i) {
            put(p.k, p.args.kv_type, 17 * p.args.kv_stride + i, INFINITY);
            put(p.v, p.args.kv_type, 17 * p.args.kv_stride + i, NAN);
        }
        for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
            if (!cpus[isa][0]) continue;
            float *out = attend(&p, cpus[isa][0]);
            for (size_t i = 0; i < 30; ++i)
                for (size_t c = 0; c < 64; ++c)
                    assert_int_equal(isnan(out[i * p.args.out_stride + c]) != 0, i >= 10);
            buffer_close(out, p.out_count * 4);
        }
        problem_close(&p);
    }
}

/* ---- backward ---- */

typedef struct slopes {
    float *dq, *dk, *dv;
} slopes;

static slopes attend_dx(const problem *p, vt_kern *kern, float *out, const float *dout) {
    slopes s = {buffer(p->q_count * 4), buffer(p->kv_count * 4), buffer(p->kv_count * 4)};
    vt_attention_grad g = {.forward = p->args, .dout = dout, .dq = s.dq, .dk = s.dk, .dv = s.dv};
    size_t workspace = kern->attention_grad_workspace(kern, &g.forward);
    g.forward.out = out;
    g.forward.workspace = buffer(workspace);
    kern->attention_dx(kern, &g);
    buffer_close(g.forward.workspace, workspace);
    return s;
}

static void slopes_close(const problem *p, slopes *s) {
    buffer_close(s->dq, p->q_count * 4);
    buffer_close(s->dk, p->kv_count * 4);
    buffer_close(s->dv, p->kv_count * 4);
}

/* Relative error in L2 of what both wrote; poison must be in the same places. Slopes far below
 * those of one score (0.1, say) are differences of larger numbers. */
static double slope_error(const float *got, const float *want, size_t n) {
    double off = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        if (isnan(got[i]) != isnan(want[i])) return INFINITY;
        if (isnan(got[i])) continue;
        off += ((double)got[i] - want[i]) * ((double)got[i] - want[i]);
        size += (double)want[i] * want[i] + 0.01;
    }
    return off == 0 ? 0 : sqrt(off / size);
}

static void check_slopes(const shape *s) {
    problem p;
    problem_open(&p, s, VT_NUMBER_F32, VT_NUMBER_F32);
    float *out = attend(&p, ref), *dout = buffer(p.out_count * 4);
    for (size_t i = 0; i < p.out_count; ++i)
        if (in_a_row(&p, i)) dout[i] = draw();
    slopes want = attend_dx(&p, ref, out, dout);
    double most = s->tolerance > 0 ? s->tolerance : 5e-6;
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        slopes one = attend_dx(&p, cpus[isa][0], out, dout);
        slopes three = attend_dx(&p, cpus[isa][1], out, dout);
        double dq = slope_error(one.dq, want.dq, p.q_count);
        double dk = slope_error(one.dk, want.dk, p.kv_count);
        double dv = slope_error(one.dv, want.dv, p.kv_count);
        if (!(dq <= most && dk <= most && dv <= most))
            fail_msg("%s (%d groups, %d heads of %d, %d queries), %s: relative errors of dq %g, dk "
                     "%g, dv %g",
                     s->name, s->groups, s->heads, s->head_dim, s->q_end[s->segments - 1],
                     vt_isa_name((vt_isa)isa), dq, dk, dv);
        assert_memory_equal(one.dq, three.dq, p.q_count * 4);
        assert_memory_equal(one.dk, three.dk, p.kv_count * 4);
        assert_memory_equal(one.dv, three.dv, p.kv_count * 4);
        problem last = p; /* the last sample alone */
        size_t g = s->groups > 0 ? (size_t)s->groups - 1 : 0;
        last.args.groups = s->groups > 0;
        last.args.q += g * p.args.q_group_stride;
        last.args.k = (const float *)last.args.k + g * p.args.kv_group_stride;
        last.args.v = (const float *)last.args.v + g * p.args.kv_group_stride;
        slopes alone = attend_dx(&last, cpus[isa][1], out + g * p.args.out_group_stride,
                                 dout + g * p.args.out_group_stride);
        if (s->groups > 0) {
            assert_memory_equal(alone.dq, one.dq + g * p.args.q_group_stride,
                                p.args.q_group_stride * 4);
            assert_memory_equal(alone.dk, one.dk + g * p.args.kv_group_stride,
                                p.args.kv_group_stride * 4);
            assert_memory_equal(alone.dv, one.dv + g * p.args.kv_group_stride,
                                p.args.kv_group_stride * 4);
        }
        slopes_close(&p, &alone);
        slopes_close(&p, &one);
        slopes_close(&p, &three);
    }
    slopes_close(&p, &want);
    buffer_close(out, p.out_count * 4);
    buffer_close(dout, p.out_count * 4);
    problem_close(&p);
}

static void test_slopes(void **unused) {
    (void)unused;
    static const shape shapes[] = {
        {"one of all", 1, 1, 1, ONE(1, 1), USUAL},
        {"one key", 2, 2, 64, ONE(5, 1), USUAL},
        {"one row", 1, 3, 16, ONE(1, 70), USUAL},
        {"a step", 2, 3, 64, ONE(16, 30), USUAL},
        {"more than a block", 1, 2, 64, ONE(37, 129), USUAL},
        {"many rows", 1, 1, 32, ONE(150, 191), USUAL},
        {"odd head", 2, 3, 20, ONE(40, 70), USUAL},
        {"wide odd head", 1, 2, 161, ONE(13, 33), USUAL},
        {"wide head", 2, 1, 320, ONE(50, 50), USUAL},
        {"a pyramid", 2, 2, 16, 7, {1, 5, 14, 30, 55, 91, 155}, {1, 5, 14, 30, 55, 91, 155}, USUAL},
        {"earlier rows", 1, 2, 20, 3, {4, 13, 29}, {5, 14, 30}, USUAL},
        {"an empty segment", 1, 2, 32, 3, {4, 4, 20}, {5, 14, 30}, USUAL},
        {"no keys", 2, 2, 20, 2, {4, 9}, {0, 3}, USUAL},
        {"no rows", 2, 2, 20, ONE(0, 3), USUAL},
        {"no samples", 0, 2, 20, ONE(4, 3), USUAL},
        {"large scores", 2, 2, 64, ONE(40, 150), 30, 1, 1, 1, 1e-3},
        {"equal scores", 2, 2, 32, ONE(40, 150), 0, 1, 1, 1, 0},
    };
    for (size_t i = 0; i < sizeof shapes / sizeof *shapes; ++i) check_slopes(&shapes[i]);
    for (int i = 0; i < 15; ++i) {
        shape s = {"random",
                   (int)between(1, 3),
                   (int)between(1, 4),
                   (int)between(1, 90),
                   1,
                   {0},
                   {0},
                   1,
                   1,
                   1,
                   0.3f,
                   0};
        s.segments = (int)between(1, 4);
        for (int j = 0; j < s.segments; ++j) {
            s.q_end[j] = (j ? s.q_end[j - 1] : 0) + (int)between(0, 60);
            s.k_end[j] = (j ? s.k_end[j - 1] : 0) + (int)between(1, 60);
        }
        check_slopes(&s);
    }
}

/* ---- what writes the cache ---- */

typedef struct split_result {
    float *q, *k_scale, *v_scale;
    void *k, *v;
    size_t q_bytes, kv_bytes, scale_bytes;
} split_result;

static split_result split(vt_kern *kern, const vt_qkv *from) {
    vt_qkv a = *from;
    size_t width = (size_t)a.heads * (size_t)a.head_dim, groups = (size_t)a.groups;
    split_result r = {.q_bytes = groups * (size_t)a.rows * width * 4,
                      .kv_bytes = groups * a.kv_group_stride * vt_number_size(a.kv_type),
                      .scale_bytes = groups * a.scale_group_stride * 4};
    a.q = r.q = buffer(r.q_bytes);
    a.k = r.k = buffer(r.kv_bytes), a.v = r.v = buffer(r.kv_bytes);
    if (a.kv_type == VT_NUMBER_INT8) {
        a.k_scale = r.k_scale = buffer(r.scale_bytes);
        a.v_scale = r.v_scale = buffer(r.scale_bytes);
    }
    kern->qkv_split(kern, &a);
    return r;
}

static void split_close(split_result *r) {
    buffer_close(r->q, r->q_bytes);
    buffer_close(r->k, r->kv_bytes);
    buffer_close(r->v, r->kv_bytes);
    if (r->k_scale) buffer_close(r->k_scale, r->scale_bytes);
    if (r->v_scale) buffer_close(r->v_scale, r->scale_bytes);
}

/* Numbers agree to one step of their type; few differ at all. */
static void check_cache(const vt_qkv *a, float size, const void *got, const float *got_scale,
                        const void *want, const float *want_scale) {
    size_t width = (size_t)a->heads * (size_t)a->head_dim, different = 0, all = 0;
    for (size_t i = 0; i < (size_t)a->groups * a->kv_group_stride; ++i) {
        size_t g = i / a->kv_group_stride, at = i % a->kv_group_stride, row = at / a->kv_stride;
        float x = get(got, a->kv_type, i), y = get(want, a->kv_type, i);
        if (row >= (size_t)a->rows || at % a->kv_stride >= width) { /* untouched */
            assert_true(a->kv_type == VT_NUMBER_INT8 ? x == -1 : isnan(x));
            continue;
        }
        bool whole = a->kv_type == VT_NUMBER_F32;
        float step = fabsf(y) * (whole ? 2e-6f : 0x1p-7f) + (whole ? 1e-6f * size : 1e-38f);
        if (a->kv_type == VT_NUMBER_INT8) {
            size_t head = at % a->kv_stride / (size_t)a->head_dim;
            size_t s = g * a->scale_group_stride + row * (size_t)a->heads + head;
            assert_true(fabsf(got_scale[s] - want_scale[s]) <= 1e-5f * want_scale[s]);
            step = 1.0f;
        }
        assert_true(fabsf(x - y) <= step);
        ++all;
        different += !whole && x != y;
    }
    if (different * 200 > all + 200) fail_msg("%zu of %zu numbers differ", different, all);
}

static void check_split(int groups, int rows, int heads, int head_dim, bool unit, vt_number type,
                        float size) {
    size_t width = (size_t)heads * (size_t)head_dim, all = (size_t)groups * (size_t)rows;
    float *qkv = buffer((all * 3 * width + 1) * 4), *bias = buffer((2 * width + 1) * 4);
    float *scale_mul = buffer((size_t)heads * 4);
    for (size_t i = 0; i < all * 3 * width; ++i) qkv[i] = size * draw();
    for (size_t i = 0; i < 2 * width; ++i) bias[i] = size * draw();
    for (int h = 0; h < heads; ++h) scale_mul[h] = 3 * draw();
    if (all) memset(qkv + width, 0, (size_t)head_dim * 4); /* a head of zeros */
    vt_qkv a = {.qkv = qkv,
                .q_bias = bias,
                .v_bias = bias + width,
                .scale_mul = unit ? scale_mul : NULL,
                .kv_type = type,
                .kv_stride = width + 3,
                .kv_group_stride = (width + 3) * ((size_t)rows + 1) + 1,
                .scale_group_stride = (size_t)(heads * (rows + 2)),
                .groups = groups,
                .rows = rows,
                .heads = heads,
                .head_dim = head_dim};
    split_result want = split(ref, &a);
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        split_result one = split(cpus[isa][0], &a), three = split(cpus[isa][1], &a);
        for (size_t i = 0; i < all * width; ++i)
            assert_true(fabsf(one.q[i] - want.q[i]) <= 1e-5f * (fabsf(want.q[i]) + size));
        check_cache(&a, size, one.k, one.k_scale, want.k, want.k_scale);
        check_cache(&a, size, one.v, one.v_scale, want.v, want.v_scale);
        assert_memory_equal(one.q, three.q, one.q_bytes);
        assert_memory_equal(one.k, three.k, one.kv_bytes);
        assert_memory_equal(one.v, three.v, one.kv_bytes);
        if (one.k_scale) assert_memory_equal(one.k_scale, three.k_scale, one.scale_bytes);
        if (one.v_scale) assert_memory_equal(one.v_scale, three.v_scale, one.scale_bytes);
        split_close(&one);
        split_close(&three);
    }
    split_close(&want);
    buffer_close(qkv, (all * 3 * width + 1) * 4);
    buffer_close(bias, (2 * width + 1) * 4);
    buffer_close(scale_mul, (size_t)heads * 4);
}

static void test_split(void **unused) {
    (void)unused;
    for (int type = 0; type < 3; ++type) {
        for (int unit = 0; unit < 2; ++unit) {
            check_split(1, 1, 1, 1, unit != 0, (vt_number)type, 1);
            check_split(2, 9, 3, 20, unit != 0, (vt_number)type, 1);
            check_split(2, 40, 4, 64, unit != 0, (vt_number)type, 30);
            check_split(1, 7, 2, 161, unit != 0, (vt_number)type, 1e-3f);
            check_split(2, 0, 2, 16, unit != 0, (vt_number)type, 1);
        }
    }
}

/* int8 and bf16 round to nearest: half a step from the number they stand for. */
static void test_rounding(void **unused) {
    (void)unused;
    enum { DIM = 64 };
    float qkv[3 * DIM], bias[DIM] = {0};
    for (int i = 0; i < 3 * DIM; ++i) qkv[i] = draw();
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        if (!cpus[isa][0]) continue;
        for (int type = 1; type < 3; ++type) {
            const vt_qkv a = {.qkv = qkv,
                              .q_bias = bias,
                              .v_bias = bias,
                              .kv_type = (vt_number)type,
                              .kv_stride = DIM,
                              .kv_group_stride = DIM,
                              .scale_group_stride = 1,
                              .groups = 1,
                              .rows = 1,
                              .heads = 1,
                              .head_dim = DIM};
            split_result r = split(cpus[isa][0], &a);
            for (size_t i = 0; i < DIM; ++i) {
                float k = qkv[DIM + i], got = get(r.k, a.kv_type, i), half = fabsf(k) * 0x1p-8f;
                if (type == VT_NUMBER_INT8) got *= r.k_scale[0], half = 0.5001f * r.k_scale[0];
                assert_true(fabsf(got - k) <= half);
            }
            split_close(&r);
        }
    }
}

/* ---- what the products read ---- */

static void check_norm(int groups, int rows, int width) {
    size_t n = (size_t)groups * (size_t)rows * (size_t)width, mods = (size_t)groups * (size_t)width;
    float *x = buffer((n + 1) * 4), *mod = buffer((2 * mods + 1) * 4), *y = buffer(n * 4 + 4);
    for (size_t i = 0; i < n; ++i) x[i] = draw() + 0.2f;
    for (size_t i = 0; i < 2 * mods; ++i) mod[i] = draw();
    vt_norm_modulate a = {.x = x,
                          .scale = mod,
                          .shift = mod + mods,
                          .mod_stride = (size_t)width,
                          .y = y,
                          .groups = groups,
                          .rows = rows,
                          .width = width,
                          .eps = 1e-6f};
    for (int isa = -1; isa < VT_ISA_COUNT; ++isa) {
        vt_kern *one = isa < 0 ? ref : cpus[isa][0], *three = isa < 0 ? ref : cpus[isa][1];
        if (!one) continue;
        vt_bf16 *half = buffer(n * 2), *again = buffer(n * 2);
        a.y = y, a.y_type = VT_NUMBER_F32;
        one->norm_modulate(one, &a);
        a.y = half, a.y_type = VT_NUMBER_BF16;
        one->norm_modulate(one, &a);
        a.y = again;
        three->norm_modulate(three, &a);
        for (size_t i = 0; i < n; ++i) {
            float step = fabsf(y[i]) * 0x1p-8f + 1e-6f; /* half a step, and another order of sums */
            assert_true(fabsf(vt_from_bf16(half[i]) - y[i]) <= step);
        }
        assert_memory_equal(half, again, n * 2);
        buffer_close(half, n * 2);
        buffer_close(again, n * 2);
    }
    buffer_close(x, (n + 1) * 4);
    buffer_close(mod, (2 * mods + 1) * 4);
    buffer_close(y, n * 4 + 4);
}

static void test_norm(void **unused) {
    (void)unused;
    check_norm(1, 1, 1);
    check_norm(2, 3, 65);
    check_norm(3, 50, 200);
    check_norm(2, 0, 30);
}

/* ---- */

static int open_all(void **unused) {
    (void)unused;
    state = 2024;
    if (vt_kern_open(&ref, "ref", 0, NULL) != VARIANT_OK) return -1;
    const char *asked = getenv("VARIANT_CPU");
    char *kept = asked ? strdup(asked) : NULL;
    vt_isa best = vt_isa_best(); /* held down by VARIANT_CPU, if it is set */
    for (int isa = 0; isa <= (int)best; ++isa) {
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        if (vt_kern_open(&cpus[isa][0], "cpu", 1, NULL) != VARIANT_OK) return -1;
        if (vt_kern_open(&cpus[isa][1], "cpu", 3, NULL) != VARIANT_OK) return -1;
    }
    if (kept)
        setenv("VARIANT_CPU", kept, 1);
    else
        unsetenv("VARIANT_CPU");
    free(kept);
    return 0;
}

static int close_all(void **unused) {
    (void)unused;
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
        vt_kern_close(&cpus[isa][0]);
        vt_kern_close(&cpus[isa][1]);
    }
    vt_kern_close(&ref);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_shapes),   cmocka_unit_test(test_random_shapes),
        cmocka_unit_test(test_extremes), cmocka_unit_test(test_mean),
        cmocka_unit_test(test_unseen),   cmocka_unit_test(test_slopes),
        cmocka_unit_test(test_split),    cmocka_unit_test(test_rounding),
        cmocka_unit_test(test_norm),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

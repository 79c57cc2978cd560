/* elementwise.c - runs of floats cut into chunks of a fixed length, a chunk to a thread. */
#include "kern/cpu/cpu.h"

#include <math.h>

enum { CHUNK = 16384 };

/* What an operation reads and writes; each uses some of it. */
typedef struct operands {
    size_t n;
    float *y;
    const float *x, *q;
    float a, b;
    const vt_adamw *step;
    const vt_loops_adamw *constants;
} operands;

/* NAME_part: `call`, one of vt_loops, on every chunk [at, at + count) of the operands o. */
#define PART(name, call)                                                                           \
    static void name##_part(const vt_kern *kern, const void *args, vt_span span) {                 \
        const operands *o = args;                                                                  \
        for (int64_t chunk = span.begin; chunk < span.end; ++chunk) {                              \
            const size_t at = (size_t)chunk * CHUNK;                                               \
            const size_t count = o->n - at < CHUNK ? o->n - at : CHUNK;                            \
            vt_cpu_loops(kern)->call;                                                              \
        }                                                                                          \
    }
PART(gelu, gelu(o->y + at, o->x + at, count))
PART(gelu_dx, gelu_dx(o->y + at, o->q + at, o->x + at, count))
PART(silu, silu(o->y + at, o->x + at, count))
PART(silu_dx, silu_dx(o->y + at, o->q + at, o->x + at, count))
PART(axpby, axpby(o->y + at, o->a, o->x + at, o->b, count))
PART(scaled_difference, scaled_difference(o->y + at, o->a, o->x + at, o->q + at, count))
PART(clamp, clamp(o->y + at, o->x + at, o->a, o->b, count))
PART(fill, fill(o->y + at, o->a, count))
PART(adamw, adamw(o->step->value + at, o->step->m + at, o->step->v + at, o->step->grad + at, count,
                  o->constants))
#undef PART

static void run(const vt_kern *kern, vt_cpu_part *part, const operands *o) {
    const int64_t chunks = vt_cpu_pieces((int64_t)o->n, CHUNK);
    vt_cpu_split(kern, chunks > 1, chunks, part, o);
}

static void gelu(vt_kern *kern, float *y, const float *x, size_t n) {
    run(kern, gelu_part, &(operands){.n = n, .y = y, .x = x});
}

static void gelu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {
    run(kern, gelu_dx_part, &(operands){.n = n, .y = dx, .x = x, .q = dy});
}

static void silu(vt_kern *kern, float *y, const float *x, size_t n) {
    run(kern, silu_part, &(operands){.n = n, .y = y, .x = x});
}

static void silu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {
    run(kern, silu_dx_part, &(operands){.n = n, .y = dx, .x = x, .q = dy});
}

static void axpby(vt_kern *kern, float *y, float a, const float *x, float b, size_t n) {
    run(kern, axpby_part, &(operands){.n = n, .y = y, .x = x, .a = a, .b = b});
}

static void scaled_difference(vt_kern *kern, float *y, float a, const float *p, const float *q,
                              size_t n) {
    run(kern, scaled_difference_part, &(operands){.n = n, .y = y, .x = p, .q = q, .a = a});
}

static void clamp(vt_kern *kern, float *y, const float *x, float low, float high, size_t n) {
    run(kern, clamp_part, &(operands){.n = n, .y = y, .x = x, .a = low, .b = high});
}

static void fill(vt_kern *kern, float *x, float value, size_t n) {
    run(kern, fill_part, &(operands){.n = n, .y = x, .a = value});
}

/* A batch of chunks, each into a place of its own. */
typedef struct chunk_sums {
    const float *x, *y;
    int64_t first, total; /* chunks before it; numbers of all */
    double *part;
} chunk_sums;

static void chunk_sums_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_loops *loops = vt_cpu_loops(kern);
    const chunk_sums *s = args;
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t at = (s->first + i) * CHUNK;
        size_t count = (size_t)(s->total - at < CHUNK ? s->total - at : CHUNK);
        s->part[i] = s->y ? loops->sum_squared_difference(s->x + at, s->y + at, count)
                          : loops->sum_squares(s->x + at, count);
    }
}

/* Sum over chunks of x[i]^2, or (x[i] - y[i])^2 when y is given: a batch of chunks in parallel, then
 * their places in order. */
static double sum_chunks(vt_kern *kern, const float *x, const float *y, size_t n) {
    enum { BATCH = 256 };
    int64_t total = (int64_t)n, chunks = vt_cpu_pieces(total, CHUNK);
    double sum = 0;
    for (int64_t first = 0; first < chunks; first += BATCH) {
        int64_t batch = chunks - first < BATCH ? chunks - first : BATCH;
        double part[BATCH];
        const chunk_sums sums = {x, y, first, total, part};
        vt_cpu_split(kern, batch > 1, batch, chunk_sums_part, &sums);
        for (int64_t i = 0; i < batch; ++i) sum += part[i];
    }
    return sum;
}

static double sum_squares(vt_kern *kern, const float *x, size_t n) {
    return sum_chunks(kern, x, NULL, n);
}

static double sum_squared_difference(vt_kern *kern, const float *p, const float *q, size_t n) {
    return n ? sum_chunks(kern, p, q, n) : 0;
}

static void adamw(vt_kern *kern, const vt_adamw *s) {
    const vt_loops_adamw c = {
        .keep = (float)(1 - (double)s->lr * s->weight_decay),
        .grad_scale = s->grad_scale,
        .beta1 = s->beta1,
        .beta2 = s->beta2,
        .rest1 = (float)(1 - (double)s->beta1),
        .rest2 = (float)(1 - (double)s->beta2),
        .step_size = (float)(s->lr / (1 - pow(s->beta1, s->step))),
        .root_scale = (float)(1 / sqrt(1 - pow(s->beta2, s->step))),
        .eps = s->eps,
    };
    run(kern, adamw_part, &(operands){.n = s->count, .step = s, .constants = &c});
}

void vt_cpu_fill_elementwise(vt_kern *kern) {
    kern->fill = fill;
    kern->gelu = gelu;
    kern->gelu_dx = gelu_dx;
    kern->silu = silu;
    kern->silu_dx = silu_dx;
    kern->axpby = axpby;
    kern->scaled_difference = scaled_difference;
    kern->clamp = clamp;
    kern->sum_squares = sum_squares;
    kern->sum_squared_difference = sum_squared_difference;
    kern->adamw = adamw;
}

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

/* ---- lists of runs: the chunks of all of them are numbered through ---- */

/* Numbers [at, at + count) of a run. */
typedef struct chunk {
    int run;
    size_t at, count;
} chunk;

static chunk chunk_of(const vt_floats *runs, int run, size_t at) {
    const size_t left = runs[run].n - at;
    return (chunk){run, at, left < CHUNK ? left : CHUNK};
}

static chunk chunk_number(const vt_floats *runs, int64_t i) {
    int run = 0;
    for (int64_t chunks; i >= (chunks = vt_cpu_pieces((int64_t)runs[run].n, CHUNK)); ++run)
        i -= chunks;
    return chunk_of(runs, run, (size_t)i * CHUNK);
}

/* There must be one. */
static chunk chunk_after(const vt_floats *runs, chunk c) {
    if (c.at + c.count < runs[c.run].n) return chunk_of(runs, c.run, c.at + CHUNK);
    do ++c.run;
    while (runs[c.run].n == 0);
    return chunk_of(runs, c.run, 0);
}

static int64_t count_chunks(const vt_floats *runs, int count) {
    int64_t chunks = 0;
    for (int r = 0; r < count; ++r) chunks += vt_cpu_pieces((int64_t)runs[r].n, CHUNK);
    return chunks;
}

/* ---- fill ---- */

typedef struct fill_list {
    const vt_floats *runs;
    float value;
} fill_list;

static void fill_part(const vt_kern *kern, const void *args, vt_span span) {
    const fill_list *l = args;
    chunk c = {0};
    for (int64_t i = span.begin; i < span.end; ++i) {
        c = i == span.begin ? chunk_number(l->runs, i) : chunk_after(l->runs, c);
        vt_cpu_loops(kern)->fill(l->runs[c.run].x + c.at, l->value, c.count);
    }
}

static void fill(vt_kern *kern, float value, const vt_floats *runs, int count) {
    const int64_t chunks = count_chunks(runs, count);
    vt_cpu_split(kern, chunks > 1, chunks, fill_part, &(fill_list){runs, value});
}

/* ---- sums ---- */

/* A batch of chunks, each into a place of its own. */
typedef struct chunk_sums {
    const vt_floats *x, *y; /* y NULL: of squares */
    int64_t first;          /* chunks before the batch */
    double *part;
} chunk_sums;

static void chunk_sums_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_loops *loops = vt_cpu_loops(kern);
    const chunk_sums *s = args;
    chunk c = {0};
    for (int64_t i = span.begin; i < span.end; ++i) {
        c = i == span.begin ? chunk_number(s->x, s->first + i) : chunk_after(s->x, c);
        const float *x = s->x[c.run].x + c.at;
        s->part[i] = s->y ? loops->sum_squared_difference(x, s->y[c.run].x + c.at, c.count)
                          : loops->sum_squares(x, c.count);
    }
}

/* sums[r] = sum over chunks of x[r]^2, or (x[r] - y[r])^2 when y is given: a batch of chunks in parallel, then
 * their places in order. */
static void sum_chunks(vt_kern *kern, double *sums, const vt_floats *x, const vt_floats *y,
                       int count) {
    enum { BATCH = 1024 };
    double part[BATCH];
    const int64_t chunks = count_chunks(x, count);
    for (int r = 0; r < count; ++r) sums[r] = 0;
    chunk c = {0};
    for (int64_t first = 0; first < chunks; first += BATCH) {
        const int64_t batch = chunks - first < BATCH ? chunks - first : BATCH;
        const chunk_sums shared = {x, y, first, part};
        vt_cpu_split(kern, batch > 1, batch, chunk_sums_part, &shared);
        for (int64_t i = 0; i < batch; ++i) {
            c = first + i == 0 ? chunk_number(x, 0) : chunk_after(x, c);
            sums[c.run] += part[i];
        }
    }
}

static void sum_squares(vt_kern *kern, double *sums, const vt_floats *x, int count) {
    sum_chunks(kern, sums, x, NULL, count);
}

static void sum_squared_difference(vt_kern *kern, double *sums, const vt_floats *p,
                                   const vt_floats *q, int count) {
    sum_chunks(kern, sums, p, q, count);
}

/* ---- AdamW ---- */

typedef struct adamw_list {
    const vt_adamw *step;
    vt_loops_adamw constants; /* but for `keep`, which is a tensor's */
} adamw_list;

static void adamw_part(const vt_kern *kern, const void *args, vt_span span) {
    const adamw_list *l = args;
    const vt_adamw *s = l->step;
    vt_loops_adamw constants = l->constants;
    chunk c = {0};
    for (int64_t i = span.begin; i < span.end; ++i) {
        c = i == span.begin ? chunk_number(s->value, i) : chunk_after(s->value, c);
        const int t = c.run;
        constants.keep = (float)(1 - (double)s->lr * s->weight_decay[t]);
        vt_cpu_loops(kern)->adamw(s->value[t].x + c.at, s->m[t].x + c.at, s->v[t].x + c.at,
                                  s->grad[t].x + c.at, c.count, &constants);
    }
}

static void adamw(vt_kern *kern, const vt_adamw *s) {
    const adamw_list list = {.step = s,
                             .constants = {
                                 .grad_scale = s->grad_scale,
                                 .beta1 = s->beta1,
                                 .beta2 = s->beta2,
                                 .rest1 = (float)(1 - (double)s->beta1),
                                 .rest2 = (float)(1 - (double)s->beta2),
                                 .step_size = (float)(s->lr / (1 - pow(s->beta1, s->step))),
                                 .root_scale = (float)(1 / sqrt(1 - pow(s->beta2, s->step))),
                                 .eps = s->eps,
                             }};
    const int64_t chunks = count_chunks(s->value, s->count);
    vt_cpu_split(kern, chunks > 1, chunks, adamw_part, &list);
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

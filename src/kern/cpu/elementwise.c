/* elementwise.c - runs of floats cut into chunks of a fixed length, a chunk to a thread. */
#include "kern/cpu/cpu.h"

#include <math.h>

enum { CHUNK = 16384 };

/* Runs `statement` for every chunk [at, at + count) of n floats. */
#define THREADED _Pragma("omp parallel for num_threads(kern->threads) if (chunks > 1)")
#define FOR_CHUNKS(n, statement)                                                                   \
    do {                                                                                           \
        const vt_loops *loops = vt_cpu_loops(kern);                                                \
        int64_t total = (int64_t)(n), chunks = vt_cpu_pieces(total, CHUNK);                        \
        THREADED                                                                                   \
        for (int64_t chunk = 0; chunk < chunks; ++chunk) {                                         \
            int64_t at = chunk * CHUNK;                                                            \
            size_t count = (size_t)(total - at < CHUNK ? total - at : CHUNK);                      \
            loops->statement;                                                                      \
        }                                                                                          \
    } while (0)

static void gelu(vt_kern *kern, float *y, const float *x, size_t n) {
    FOR_CHUNKS(n, gelu(y + at, x + at, count));
}

static void gelu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {
    FOR_CHUNKS(n, gelu_dx(dx + at, dy + at, x + at, count));
}

static void silu(vt_kern *kern, float *y, const float *x, size_t n) {
    FOR_CHUNKS(n, silu(y + at, x + at, count));
}

static void silu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {
    FOR_CHUNKS(n, silu_dx(dx + at, dy + at, x + at, count));
}

static void axpby(vt_kern *kern, float *y, float a, const float *x, float b, size_t n) {
    FOR_CHUNKS(n, axpby(y + at, a, x + at, b, count));
}

static void scaled_difference(vt_kern *kern, float *y, float a, const float *p, const float *q,
                              size_t n) {
    FOR_CHUNKS(n, scaled_difference(y + at, a, p + at, q + at, count));
}

static void clamp(vt_kern *kern, float *y, const float *x, float low, float high, size_t n) {
    FOR_CHUNKS(n, clamp(y + at, x + at, low, high, count));
}

static void fill(vt_kern *kern, float *x, float value, size_t n) {
    FOR_CHUNKS(n, fill(x + at, value, count));
}

/* Sum over chunks of x[i]^2, or (x[i] - y[i])^2 when y is given: a batch of chunks in parallel,
 * each into a place of its own, then those places in order. */
static double sum_chunks(vt_kern *kern, const float *x, const float *y, size_t n) {
    enum { BATCH = 256 };
    const vt_loops *loops = vt_cpu_loops(kern);
    int64_t total = (int64_t)n, chunks = vt_cpu_pieces(total, CHUNK);
    double sum = 0;
    for (int64_t first = 0; first < chunks; first += BATCH) {
        int64_t batch = chunks - first < BATCH ? chunks - first : BATCH;
        double part[BATCH];
#pragma omp parallel for schedule(static) num_threads(kern->threads) if (batch > 1)
        for (int64_t i = 0; i < batch; ++i) {
            int64_t at = (first + i) * CHUNK;
            size_t count = (size_t)(total - at < CHUNK ? total - at : CHUNK);
            part[i] = y ? loops->sum_squared_difference(x + at, y + at, count)
                        : loops->sum_squares(x + at, count);
        }
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
    FOR_CHUNKS(s->count, adamw(s->value + at, s->m + at, s->v + at, s->grad + at, count, &c));
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

/* probe.c - what this machine can do at most: multiply-adds in registers, and reading memory. The
 * floors that `variant bench` prints beside its times come from here, measured in the same process
 * by the same threads. */
#include "core/clock.h"
#include "kern/cpu/cpu.h"

#include <stdlib.h>

#define PEAK_ROUNDS 2000000
#define STREAM_FLOATS ((size_t)32 << 20) /* 128 MiB: beyond every cache */
#define REPEATS 5

typedef struct peak_loop {
    double (*peak)(int64_t);
    double *flops; /* a task */
} peak_loop;

static void peak_part(const vt_kern *kern, const void *args, vt_span span) {
    const peak_loop *loop = args;
    (void)kern;
    for (int64_t t = span.begin; t < span.end; ++t) loop->flops[t] = loop->peak(PEAK_ROUNDS);
}

/* A task a thread. The best of a few runs: a floor is what the machine can do when nothing disturbs
 * it. */
static double peak_flops(vt_kern *kern, vt_number weights) {
    double (*peak)(int64_t) = weights == VT_NUMBER_F32    ? NULL
                              : weights == VT_NUMBER_BF16 ? vt_cpu_tiles(kern)->peak
                                                          : vt_cpu_tiles8(kern)->peak;
    if (!peak) peak = vt_cpu_loops(kern)->peak;
    double best = 0.0, *flops = calloc((size_t)kern->threads, sizeof *flops);
    if (!flops) return 0.0;
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        double all = 0.0, start = vt_seconds();
        vt_cpu_deal(kern, true, kern->threads, peak_part, &(peak_loop){peak, flops});
        const double seconds = vt_seconds() - start;
        for (int t = 0; t < kern->threads; ++t) all += flops[t];
        if (all / seconds > best) best = all / seconds;
    }
    free(flops);
    return best;
}

typedef struct stream_loop {
    const float *memory;
    size_t piece; /* floats of a task */
    double *sums;
} stream_loop;

static void stream_part(const vt_kern *kern, const void *args, vt_span span) {
    const stream_loop *loop = args;
    for (int64_t t = span.begin; t < span.end; ++t)
        loop->sums[t] =
            vt_cpu_loops(kern)->sum_squares(loop->memory + (size_t)t * loop->piece, loop->piece);
}

static double stream_bytes(vt_kern *kern) {
    float *memory = malloc(STREAM_FLOATS * sizeof *memory);
    double best = 0.0, *sums = calloc((size_t)kern->threads, sizeof *sums);
    const size_t piece = STREAM_FLOATS / (size_t)kern->threads;
    if (memory && sums) vt_cpu_loops(kern)->fill(memory, 1.0f, STREAM_FLOATS);
    for (int repeat = 0; memory && sums && repeat < REPEATS; ++repeat) {
        double start = vt_seconds();
        vt_cpu_deal(kern, true, kern->threads, stream_part, &(stream_loop){memory, piece, sums});
        double rate =
            (double)(piece * (size_t)kern->threads * sizeof *memory) / (vt_seconds() - start);
        if (rate > best) best = rate;
    }
    free(memory);
    free(sums);
    return best;
}

void vt_cpu_fill_probe(vt_kern *kern) {
    kern->peak_flops = peak_flops;
    kern->stream_bytes = stream_bytes;
}

/* probe.c - what this machine can do at most: multiply-adds in registers, and reading memory. The
 * floors that `variant bench` prints beside its times come from here, measured in the same process
 * by the same threads. */
#include "kern/cpu/cpu.h"

#include <omp.h>
#include <stdlib.h>

#define PEAK_ROUNDS 2000000
#define STREAM_FLOATS ((size_t)32 << 20) /* 128 MiB: beyond every cache */
#define REPEATS 5

/* The best of a few runs: a floor is what the machine can do when nothing disturbs it. */
static double peak_flops(vt_kern *kern, vt_number weights) {
    double (*peak)(int64_t) = weights == VT_NUMBER_F32    ? NULL
                              : weights == VT_NUMBER_BF16 ? vt_cpu_tiles(kern)->peak
                                                          : vt_cpu_tiles8(kern)->peak;
    if (!peak) peak = vt_cpu_loops(kern)->peak;
    double best = 0.0;
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        double flops = 0.0, start = omp_get_wtime();
#pragma omp parallel num_threads(kern->threads) reduction(+ : flops)
        flops += peak(PEAK_ROUNDS);
        double rate = flops / (omp_get_wtime() - start);
        if (rate > best) best = rate;
    }
    return best;
}

static double stream_bytes(vt_kern *kern) {
    const vt_loops *loops = vt_cpu_loops(kern);
    float *memory = malloc(STREAM_FLOATS * sizeof *memory);
    if (!memory) return 0.0;
    loops->fill(memory, 1.0f, STREAM_FLOATS);
    const size_t piece = STREAM_FLOATS / (size_t)kern->threads;
    double best = 0.0;
    volatile double sink = 0.0;
    for (int repeat = 0; repeat < REPEATS; ++repeat) {
        double sum = 0.0, start = omp_get_wtime();
#pragma omp parallel for num_threads(kern->threads) schedule(static) reduction(+ : sum)
        for (int t = 0; t < kern->threads; ++t)
            sum += loops->sum_squares(memory + (size_t)t * piece, piece);
        double rate =
            (double)(piece * (size_t)kern->threads * sizeof *memory) / (omp_get_wtime() - start);
        sink = sink + sum;
        if (rate > best) best = rate;
    }
    free(memory);
    return best;
}

void vt_cpu_fill_probe(vt_kern *kern) {
    kern->peak_flops = peak_flops;
    kern->stream_bytes = stream_bytes;
}

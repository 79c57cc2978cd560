/* probe.c - what this machine can do at most: multiply-adds in registers, and reading memory. The
 * floors that `variant bench` prints beside its times come from here, measured in the same process
 * by the same threads. */
#include "core/clock.h"
#include "kern/cpu/cpu.h"

#include <stdlib.h>
#include <string.h>

#define PEAK_ROUNDS 2000000
#define CACHES 4 /* of the last cache: beyond it, whatever it kept */
#define STREAM_LEAST                                                                               \
    ((size_t)256 << 20) /* bytes read in one repetition, several times over where memory is less */
#define REPEATS 5
#define CANARY_DEPTH 256 /* 4 panels are 32 KB, rows of x 12 or 16: about a first cache */
#define CANARY_TILES 48

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
                              : weights == VT_NUMBER_INT8 ? vt_cpu_tiles8(kern)->peak
                                                          : vt_cpu_tiles4(kern)->peak;
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
    const uint32_t *memory;
    size_t piece; /* words of a task */
    int passes;
    uint32_t *sums;
} stream_loop;

static void stream_part(const vt_kern *kern, const void *args, vt_span span) {
    const stream_loop *loop = args;
    for (int64_t t = span.begin; t < span.end; ++t)
        for (int pass = 0; pass < loop->passes; ++pass)
            loop->sums[t] +=
                vt_cpu_loops(kern)->read_all(loop->memory + (size_t)t * loop->piece, loop->piece);
}

static double stream_bytes(vt_kern *kern, size_t bytes) {
    const size_t threads = (size_t)kern->threads, most = CACHES * vt_cache_bytes();
    const size_t piece =
        ((bytes < most ? bytes : most) / sizeof(uint32_t) / threads + 63) / 64 * 64;
    const size_t all = piece * threads * sizeof(uint32_t);
    uint32_t *memory = malloc(all), *sums = calloc(threads, sizeof *sums);
    double best = 0.0;
    if (memory) memset(memory, 1, all);
    for (int repeat = 0; memory && sums && repeat < REPEATS; ++repeat) {
        const int passes = (int)((STREAM_LEAST + all - 1) / all);
        double start = vt_seconds();
        vt_cpu_deal(kern, true, kern->threads, stream_part,
                    &(stream_loop){memory, piece, passes, sums});
        double rate = (double)all * passes / (vt_seconds() - start);
        if (rate > best) best = rate;
    }
    free(memory);
    free(sums);
    return best;
}

/* A tile as large as the products take it, whose numbers are zero: they are as fast as others. */
static double canary(vt_kern *kern) {
    static const uint16_t zeros[VT_TILE_MOST_ROWS * CANARY_DEPTH] __attribute__((aligned(64)));
    static const uint16_t panels[VT_TILE_COLUMNS * CANARY_DEPTH] __attribute__((aligned(64)));
    float out[VT_TILE_MOST_ROWS * VT_TILE_COLUMNS] __attribute__((aligned(64)));
    const vt_tiles *tiles = vt_cpu_tiles(kern);
    const vt_tile tile = {.out = out,
                          .a = zeros,
                          .a_stride = CANARY_DEPTH,
                          .b = panels,
                          .b_stride = CANARY_DEPTH * VT_PANEL,
                          .taps = 1,
                          .depth = CANARY_DEPTH,
                          .rows = tiles->most_rows,
                          .panels = VT_TILE_PANELS};
    const double start = vt_seconds();
    tiles->begin();
    for (int i = 0; i < CANARY_TILES; ++i) tiles->product(&tile);
    tiles->end();
    return vt_seconds() - start;
}

void vt_cpu_fill_probe(vt_kern *kern) {
    kern->peak_flops = peak_flops;
    kern->stream_bytes = stream_bytes;
    kern->canary = canary;
}

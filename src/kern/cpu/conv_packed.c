/* conv_packed.c - convolutions with bf16 weights as products of tiles, without rows of patches.
 *
 * Called by conv.c for such weights. A picture first becomes a map (conv_map.h). On it a patch
 * needs no copy: the rows of a tile are neighbouring output pixels, a pixel's stride apart, and
 * each tap of the kernel is an offset that is the same for all of them (isa/tiles.h).
 *
 *     the map, C numbers a pixel, 3x3, padding 1 (dots are zeros)
 *
 *     . . . . . . .      the tile's first row:    0 1 2      taps 0, C, 2 C
 *     . a b c d e .                               3 4 5      line + 0, C, 2 C
 *     . f g h i j .                               6 7 8      2 line + 0, C, 2 C
 *     . k l m n o .      its second row: all of that one pixel (stride C) to the right
 *
 * A tile is taken through all panels of weights at hand while its pixels are in the first cache.
 * Weights of more than WEIGHT_BYTES are cut into blocks of panels that fill about half of a second
 * cache, and the picture into bands of rows that leave room beside them:
 *
 *     weights   | block 0: 384 KB     | block 1 | ...     each block, all bands: threads share the block
 *     picture   | band 0: 256 KB | band 1 | band 2 | ...
 *
 * A 3x3 convolution of an enlarged map (`upsample`) reads each small pixel in up to four taps. With
 * a weight of four taps it is done as four 2x2 convolutions of the small map, one for each place
 * (phase) in a 2x2 square of output pixels, whose kernels are sums of the taps: 4/9 of the work.
 * Along one axis, k0 k1 k2 being the taps:
 *
 *     rows of the enlarged map    2i-1   2i     2i+1   2i+2
 *     are rows of the small one   i-1    i      i      i+1
 *     output row 2i reads         k0     k1     k2              i-1 by k0, i by k1 + k2
 *     output row 2i+1 reads              k0     k1     k2       i by k0 + k1, i+1 by k2
 *
 * The gradient of a convolution's input is a convolution of dy with the kernel turned by 180 degrees
 * (conv_turned.h). With a stride, only every stride-th tap meets a given input pixel: the pixels are
 * phases again, each with taps of its own. */
#include "kern/cpu/conv.h"

#include "kern/cpu/conv_beside.h"
#include "kern/cpu/conv_map.h"
#include "kern/cpu/conv_sums.h"
#include "kern/cpu/conv_turned.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/weight.h"

#include <string.h>

enum {
    WEIGHT_BYTES = 512 << 10, /* weights that stay in a core's second cache */
    BLOCK_BYTES = 384 << 10,  /* of a block of larger weights */
    BAND_BYTES = 256 << 10,   /* of the map's rows beside a block */
    /* A picture is cut into so many, where its weights stay: more than threads, so that the last one to
     * finish is not waited for long; whole rows, so that a tile's pixels are neighbours. */
    BANDS = 32,
    PARALLEL_WORK = 1 << 20 /* multiplications worth a parallel region */
};

/* Output pixels that share their taps: every `apart`-th from (y, x) on. */
typedef struct conv_phase {
    int out_h, out_w; /* so many */
    int y, x;
    int taps, row_taps; /* all; of a row of the kernel */
    size_t tap;         /* its first in conv_plan.tap */
    size_t weights;     /* its first in conv_plan.weights */
} conv_phase;

typedef struct conv_plan {
    const vt_conv *args;
    const vt_tiles *tiles;
    const vt_map_loops *loops;
    vt_conv_map map;
    conv_phase phase[VT_TURNED_STRIDE * VT_TURNED_STRIDE];
    int phases, apart;
    int panels;            /* of a phase */
    int64_t bands, blocks; /* pieces of a phase's out_h and of panels */
    bool stream;
    size_t taps; /* of all phases */
    /* places in the workspace */
    vt_conv_sums sums; /* of each phase's bands */
    size_t *tap;       /* (taps): offsets into the map */
    char *beside;      /* (threads, vt_conv_beside_bytes) */
    const uint16_t *weights;
} conv_plan;

static size_t panel_numbers(const conv_plan *p, const conv_phase *phase) {
    return (size_t)phase->taps * p->map.channels * VT_PANEL;
}

/* One phase, or the four of an enlarged map. */
static void plan_phases(conv_plan *p, const vt_conv *a) {
    p->apart = a->upsample && a->w->spec.taps == 4 && a->kernel == 3 ? 2 : 1;
    p->phases = p->apart * p->apart;
    p->map = (vt_conv_map){.args = a, .loops = p->loops, .channels = (size_t)a->w->depth};
    if (p->apart == 2) {
        p->map.left = p->map.top = 1;
        p->map.h = a->in_h / 2 + 2;
        p->map.w = a->in_w / 2 + 2;
    } else {
        p->map.left = a->pad_left;
        p->map.top = a->pad_top;
        p->map.h = (a->out_h - 1) * a->stride + a->kernel;
        p->map.w = (a->out_w - 1) * a->stride + a->kernel;
        p->map.enlarged = a->upsample;
    }
    int side = p->apart == 2 ? 2 : a->kernel;
    size_t weights = 0;
    for (int i = 0; i < p->phases; i++) {
        conv_phase *phase = &p->phase[i];
        *phase = (conv_phase){.out_h = a->out_h / p->apart,
                              .out_w = a->out_w / p->apart,
                              .y = i / p->apart,
                              .x = i % p->apart,
                              .taps = side * side,
                              .row_taps = side,
                              .tap = p->taps,
                              .weights = weights};
        p->taps += (size_t)phase->taps;
        weights += (size_t)p->panels * panel_numbers(p, phase);
    }
}

/* Phases of the gradient dx of `of`; a is the convolution of dy. */
static void plan_turned_phases(conv_plan *p, const vt_conv *a, const vt_conv *of) {
    const int s = of->stride, reach = (of->kernel - 1) / s;
    size_t weights = 0;
    p->apart = s;
    p->phases = s * s;
    p->map = (vt_conv_map){.args = a,
                           .loops = p->loops,
                           .channels = (size_t)a->w->depth,
                           .left = reach,
                           .top = reach,
                           .h = 1,
                           .w = 1};
    for (int i = 0; i < p->phases; i++) {
        const vt_turned_line y = vt_turned_line_of(of->kernel, s, of->pad_top, of->in_h, i / s);
        const vt_turned_line x = vt_turned_line_of(of->kernel, s, of->pad_left, of->in_w, i % s);
        conv_phase *phase = &p->phase[i];
        *phase = (conv_phase){.out_h = y.pixels,
                              .out_w = x.pixels,
                              .y = y.first,
                              .x = x.first,
                              .taps = y.taps * x.taps,
                              .row_taps = x.taps,
                              .tap = p->taps,
                              .weights = weights};
        p->taps += (size_t)phase->taps;
        weights += (size_t)p->panels * panel_numbers(p, phase);
        if (p->map.h < y.source + y.pixels + reach) p->map.h = y.source + y.pixels + reach;
        if (p->map.w < x.source + x.pixels + reach) p->map.w = x.source + x.pixels + reach;
    }
}

/* How the work is cut, by sizes alone. */
static void plan_pieces(conv_plan *p, const vt_conv *a) {
    int out_h = 0;
    size_t panel_bytes = 1;
    for (int i = 0; i < p->phases; i++) {
        size_t bytes = panel_numbers(p, &p->phase[i]) * sizeof(uint16_t);
        if (p->phase[i].out_h > out_h) out_h = p->phase[i].out_h;
        if (bytes > panel_bytes) panel_bytes = bytes;
    }
    size_t line_bytes = vt_conv_map_line(&p->map) * sizeof(uint16_t);
    p->blocks = 1;
    p->bands = BANDS;
    if ((size_t)p->panels * panel_bytes > WEIGHT_BYTES) {
        int64_t most = (int64_t)(BLOCK_BYTES / panel_bytes) / 2 * 2;
        int64_t lines = (int64_t)(BAND_BYTES / line_bytes) - a->kernel + 1;
        p->blocks = vt_cpu_pieces(p->panels, most > 2 ? most : 2);
        p->bands = vt_cpu_pieces((int64_t)out_h * a->stride, lines > a->stride ? lines : 1);
    }
    if (p->bands > out_h) p->bands = out_h;
}

/* Fills the plan; its places begin at workspace. Returns the bytes that they take. `of` is NULL, or the
 * convolution whose dx this is. */
static size_t plan_make(conv_plan *p, const vt_kern *kern, const vt_conv *a, const vt_conv *of,
                        char *workspace) {
    *p = (conv_plan){.args = a,
                     .tiles = vt_cpu_tiles(kern),
                     .loops = ((const vt_cpu *)kern)->map_loops,
                     .panels = (a->out_c + VT_PANEL - 1) / VT_PANEL};
    if (of)
        plan_turned_phases(p, a, of);
    else
        plan_phases(p, a);
    plan_pieces(p, a);
    size_t map_bytes = vt_conv_map_size(&p->map, kern);
    size_t tap_bytes = vt_conv_lines(p->taps * sizeof(size_t));
    size_t beside_bytes = (size_t)kern->threads * vt_conv_beside_bytes(p->tiles);
    if (workspace) {
        vt_conv_map_place(&p->map, kern, workspace);
        p->tap = (size_t *)(void *)(workspace + map_bytes);
        p->weights = a->w->numbers;
        p->beside = workspace + map_bytes + tap_bytes;
        vt_conv_sums_place(&p->sums, a, p->phases * p->bands, p->beside + beside_bytes);
    }
    return map_bytes + tap_bytes + beside_bytes +
           vt_conv_sums_bytes(a, p->phases * p->bands, p->map.round);
}

/* dx of `of` as a convolution of dy. */
static vt_conv turned_conv(const vt_conv *of, const float *dy, float *dx, bool accumulate) {
    return (vt_conv){.x = dy,
                     .w = of->w->turned,
                     .y = dx,
                     .groups = of->groups,
                     .in_h = of->out_h,
                     .in_w = of->out_w,
                     .in_c = of->out_c,
                     .out_h = of->in_h,
                     .out_w = of->in_w,
                     .out_c = of->in_c,
                     .kernel = of->kernel,
                     .stride = 1,
                     .residual = accumulate ? dx : NULL,
                     .workspace = of->workspace};
}

/* One line more than the plan: the workspace may begin inside one. */
static size_t plan_room(size_t bytes) {
    return bytes + 64;
}

size_t vt_cpu_conv_packed_workspace(const vt_kern *kern, const vt_conv *a) {
    conv_plan plan;
    size_t bytes = plan_make(&plan, kern, a, NULL, NULL);
    if (!a->w->turned) return plan_room(bytes);
    vt_conv turned = turned_conv(a, NULL, NULL, false);
    size_t dx = plan_make(&plan, kern, &turned, a, NULL);
    size_t room = plan_room(bytes > dx ? bytes : dx), dw = vt_cpu_conv_dw_workspace(kern, a);
    return room > dw ? room : dw;
}

static void set_taps(const conv_plan *p) {
    int side = p->apart == 2 ? 2 : p->args->kernel;
    size_t *tap = p->tap;
    for (int i = 0; i < p->phases; i++)
        for (int ky = 0; ky < side; ky++)
            for (int kx = 0; kx < side; kx++)
                *tap++ = ((size_t)(p->phase[i].y + ky) * (size_t)p->map.w +
                          (size_t)(p->phase[i].x + kx)) *
                         p->map.channels;
}

static void set_turned_taps(const conv_plan *p, const vt_conv *of) {
    const int s = of->stride, reach = (of->kernel - 1) / s;
    size_t *tap = p->tap;
    for (int i = 0; i < p->phases; i++) {
        const vt_turned_line y = vt_turned_line_of(of->kernel, s, of->pad_top, of->in_h, i / s);
        const vt_turned_line x = vt_turned_line_of(of->kernel, s, of->pad_left, of->in_w, i % s);
        for (int ty = 0; ty < y.taps; ty++)
            for (int tx = 0; tx < x.taps; tx++)
                *tap++ = ((size_t)(y.source + reach - ty) * (size_t)p->map.w +
                          (size_t)(x.source + reach - tx)) *
                         p->map.channels;
    }
}

/* ---- products ---- */

/* Where the pixel (oy, ox) of a phase lies in y. */
static size_t out_pixel(const conv_plan *p, size_t picture, const conv_phase *phase, int oy,
                        int ox) {
    const vt_conv *a = p->args;
    size_t row = (size_t)(oy * p->apart + phase->y), column = (size_t)(ox * p->apart + phase->x);
    return (picture * (size_t)a->out_h + row) * (size_t)a->out_w + column;
}

/* What the tiles of a task have in common: panels [first, end) of a phase. */
static void run_begin(const conv_plan *p, vt_conv_run *run, const conv_phase *phase, int first,
                      int end, float *total) {
    const vt_conv *a = p->args;
    const size_t out_c = (size_t)a->out_c, column = (size_t)first * VT_PANEL,
                 panel = panel_numbers(p, phase);
    run->tile = (vt_tile){.a_stride = (size_t)a->stride * p->map.channels,
                          .b = p->weights + phase->weights + (size_t)first * panel,
                          .b_stride = panel,
                          .tap = p->tap + phase->tap,
                          .taps = phase->taps,
                          .depth = (int)p->map.channels};
    run->store = (vt_map_tile){
        .y = vt_conv_numbers(a->y, a->y_type, column),
        .residual = a->residual ? vt_conv_numbers(a->residual, a->residual_type, column) : NULL,
        .y_bf16 = a->y_type == VT_NUMBER_BF16,
        .residual_bf16 = a->residual_type == VT_NUMBER_BF16,
        .bias = a->bias ? a->bias + column : NULL,
        .sums = total,
        .squares = p->sums.columns,
        .y_stride = (size_t)p->apart * out_c,
        .columns = a->out_c - (int)column,
        .stream = p->stream};
    run->panels = end - first;
    run->row_taps = phase->row_taps;
    run->count = run->pieces = 0;
}

/* Adds `rows` output pixels from (oy, ox) of a phase on. */
static void run_add(const conv_plan *p, vt_conv_beside *beside, vt_conv_run *run, size_t picture,
                    const conv_phase *phase, int oy, int ox, int rows) {
    const vt_conv *a = p->args;
    const size_t step = (size_t)a->stride, line = step * vt_conv_map_line(&p->map);
    run->strips[run->count++] =
        (vt_map_strip){.a = (size_t)oy * line + (size_t)ox * step * p->map.channels,
                       .y = out_pixel(p, picture, phase, oy, ox) * (size_t)a->out_c,
                       .rows = rows};
    if (run->count < vt_conv_beside_strips(beside, run)) return;
    vt_conv_beside_run(beside, run);
    run->count = 0;
}

/* Lines of as many pixels as half a tile has, two of which can be one tile: they are neighbours in y. */
static bool lines_pair(const conv_plan *p, const conv_phase *phase) {
    return p->tiles->product_beside && p->apart == 1 && phase->out_w == VT_ROW_TILE;
}

/* Tasks count bands innermost, so that threads at work at one time share a block of weights. */
static void conv_task(const conv_plan *p, size_t first_picture, int64_t task, int thread) {
    int64_t band = task % p->bands, rest = task / p->bands;
    const int64_t phase_at = rest % p->phases;
    const conv_phase *phase = &p->phase[phase_at];
    rest /= p->phases;
    int64_t block = rest % p->blocks;
    size_t at = (size_t)(rest / p->blocks);
    int first = (int)vt_cpu_piece_begin(p->panels, p->blocks, 2, block);
    int end = (int)vt_cpu_piece_begin(p->panels, p->blocks, 2, block + 1);
    int row_end = (int)vt_cpu_piece_begin(phase->out_h, p->bands, 1, band + 1);
    int64_t runs = vt_cpu_pieces(phase->out_w, p->tiles->most_rows);
    vt_conv_beside beside;
    vt_conv_run run;
    vt_conv_beside_begin(
        &beside, p->tiles, p->loops,
        (float *)(void *)(p->beside + (size_t)thread * vt_conv_beside_bytes(p->tiles)));
    run_begin(p, &run, phase, first, end,
              vt_conv_sums_begin(&p->sums, at, phase_at * p->bands + band, (size_t)first * VT_PANEL,
                                 (size_t)(end - first) * VT_PANEL));
    run.tile.a = p->map.numbers + at * vt_conv_map_picture(&p->map);
    if (lines_pair(p, phase)) run.tile.a_half = (size_t)p->args->stride * vt_conv_map_line(&p->map);
    for (int oy = (int)vt_cpu_piece_begin(phase->out_h, p->bands, 1, band); oy < row_end; oy++) {
        if (lines_pair(p, phase)) {
            const int lines = row_end - oy < 2 ? 1 : 2;
            run_add(p, &beside, &run, first_picture + at, phase, oy, 0, lines * phase->out_w);
            oy += lines - 1;
            continue;
        }
        for (int64_t strip = 0; strip < runs; strip++) {
            const int ox = (int)vt_cpu_piece_begin(phase->out_w, runs, 1, strip);
            const int ox_end = (int)vt_cpu_piece_begin(phase->out_w, runs, 1, strip + 1);
            run_add(p, &beside, &run, first_picture + at, phase, oy, ox, ox_end - ox);
        }
    }
    if (run.count > 0) vt_conv_beside_run(&beside, &run);
    vt_conv_beside_end(&beside);
    if (p->stream) p->loops->end();
}

typedef struct conv_round {
    const conv_plan *plan;
    size_t first; /* picture */
} conv_round;

static void conv_part(const vt_kern *kern, const void *args, vt_span span) {
    const conv_round *round = args;
    (void)kern;
    round->plan->tiles->begin();
    for (int64_t task = span.begin; task < span.end; task++)
        conv_task(round->plan, round->first, task, span.thread);
    round->plan->tiles->end();
}

static void plan_run(conv_plan *p, const vt_kern *kern) {
    const vt_conv *a = p->args;
    size_t out_floats = (size_t)a->out_h * (size_t)a->out_w * (size_t)a->out_c;
    p->stream = vt_conv_streams(a);
    double work = (double)a->groups * (double)out_floats * (double)p->taps *
                  (double)p->map.channels / p->phases;
    const bool worth = work > PARALLEL_WORK;
    for (size_t first = 0; first < (size_t)a->groups; first += p->map.round) {
        size_t left = (size_t)a->groups - first, count = left < p->map.round ? left : p->map.round;
        vt_conv_map_run(&p->map, kern, first, count, worth);
        vt_cpu_deal(kern, worth, (int64_t)count * p->blocks * p->phases * p->bands, conv_part,
                    &(conv_round){p, first});
        vt_conv_sums_finish(&p->sums, kern, first, count, worth);
    }
}

static char *workspace_line(const vt_conv *a) {
    return (char *)(((uintptr_t)a->workspace + 63) / 64 * 64);
}

void vt_cpu_conv_packed(vt_kern *kern, const vt_conv *a) {
    if (a->groups <= 0) return;
    conv_plan plan;
    plan_make(&plan, kern, a, NULL, workspace_line(a));
    set_taps(&plan);
    plan_run(&plan, kern);
}

void vt_cpu_conv_packed_dx(vt_kern *kern, const vt_conv *of, const float *dy, float *dx,
                           bool accumulate) {
    if (of->groups <= 0) return;
    conv_plan plan;
    vt_conv turned = turned_conv(of, dy, dx, accumulate);
    plan_make(&plan, kern, &turned, of, workspace_line(of));
    set_turned_taps(&plan, of);
    plan_run(&plan, kern);
}

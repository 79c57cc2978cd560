/* conv_packed.c - convolutions with bf16 weights as products of tiles, without rows of patches.
 *
 * Called by conv.c for such weights. A picture first becomes a map (conv_map.h). On it a patch
 * needs no copy: the rows of a tile are neighbouring output pixels, a pixel's stride apart, and
 * each tap of the kernel is an offset that is the same for all of them (isa/tiles.h).
 *
 * A tile is taken through all panels of weights at hand while its pixels are in the first cache.
 * Weights of more than WEIGHT_BYTES are cut into blocks of panels that fill about half of a second
 * cache, and the picture into bands of rows that leave room beside them.
 *
 * A 3x3 convolution of an enlarged map (`upsample`) reads each small pixel in up to four taps. With
 * a weight of four taps it is done as four 2x2 convolutions of the small map, one for each place
 * (phase) in a 2x2 square of output pixels, whose kernels are sums of the taps: 4/9 of the work. */
#include "kern/cpu/conv.h"

#include "kern/cpu/conv_map.h"
#include "kern/cpu/cpu.h"
#include "kern/weight.h"

#include <omp.h>

enum {
    WEIGHT_BYTES = 512 << 10, /* weights that stay in a core's second cache */
    BLOCK_BYTES = 384 << 10,  /* of a block of larger weights */
    BAND_BYTES = 256 << 10,   /* of the map's rows beside a block */
    BANDS = 32,               /* a picture is cut into so many, where its weights stay */
    PARALLEL_WORK = 1 << 20   /* multiplications worth a parallel region */
};

typedef struct conv_plan {
    const vt_conv *args;
    const vt_tiles *tiles;
    const vt_map_loops *loops;
    vt_conv_map map;
    int phases, taps;      /* taps of a phase */
    int out_h, out_w;      /* pixels of a phase */
    int panels;            /* of a phase */
    size_t panel;          /* numbers of a panel */
    int64_t bands, blocks; /* pieces of out_h and of panels */
    bool stream;
    /* places in the workspace */
    size_t *tap; /* (phases, taps): offsets into the map */
    const uint16_t *weights;
} conv_plan;

static void plan_sizes(conv_plan *p, const vt_conv *a) {
    p->phases = a->upsample && a->w->spec.taps == 4 && a->kernel == 3 ? 4 : 1;
    p->map = (vt_conv_map){.args = a, .loops = p->loops, .channels = (size_t)a->w->depth};
    if (p->phases == 4) {
        p->taps = 4;
        p->out_h = a->in_h / 2;
        p->out_w = a->in_w / 2;
        p->map.left = p->map.top = 1;
        p->map.h = p->out_h + 2;
        p->map.w = p->out_w + 2;
    } else {
        p->taps = a->kernel * a->kernel;
        p->out_h = a->out_h;
        p->out_w = a->out_w;
        p->map.left = a->pad_left;
        p->map.top = a->pad_top;
        p->map.h = (a->out_h - 1) * a->stride + a->kernel;
        p->map.w = (a->out_w - 1) * a->stride + a->kernel;
        p->map.enlarged = a->upsample;
    }
    p->panels = (a->out_c + VT_PANEL - 1) / VT_PANEL;
    p->panel = (size_t)p->taps * p->map.channels * VT_PANEL;
}

/* How the work is cut, by sizes alone. */
static void plan_pieces(conv_plan *p, const vt_conv *a) {
    size_t panel_bytes = p->panel * sizeof(uint16_t);
    size_t line_bytes = vt_conv_map_line(&p->map) * sizeof(uint16_t);
    p->blocks = 1;
    p->bands = BANDS;
    if ((size_t)p->panels * panel_bytes > WEIGHT_BYTES) {
        int64_t most = (int64_t)(BLOCK_BYTES / panel_bytes) / 2 * 2;
        int64_t lines = (int64_t)(BAND_BYTES / line_bytes) - a->kernel + 1;
        p->blocks = vt_cpu_pieces(p->panels, most > 2 ? most : 2);
        p->bands = vt_cpu_pieces((int64_t)p->out_h * a->stride, lines > a->stride ? lines : 1);
    }
    if (p->bands > p->out_h) p->bands = p->out_h;
}

/* Fills the plan; its places begin at workspace. Returns the bytes that they take. */
static size_t plan_make(conv_plan *p, const vt_kern *kern, const vt_conv *a, char *workspace) {
    *p = (conv_plan){
        .args = a, .tiles = vt_cpu_tiles(kern), .loops = ((const vt_cpu *)kern)->map_loops};
    plan_sizes(p, a);
    plan_pieces(p, a);
    size_t map_bytes = vt_conv_map_size(&p->map, kern);
    size_t tap_bytes = vt_conv_lines((size_t)p->phases * (size_t)p->taps * sizeof(size_t));
    if (workspace) {
        vt_conv_map_place(&p->map, kern, workspace);
        p->tap = (size_t *)(void *)(workspace + map_bytes);
        p->weights = a->w->numbers;
    }
    return map_bytes + tap_bytes;
}

size_t vt_cpu_conv_packed_workspace(const vt_kern *kern, const vt_conv *a) {
    conv_plan plan;
    /* one line more: the workspace may begin inside one */
    return (plan_make(&plan, kern, a, NULL) + 64 + sizeof(float) - 1) / sizeof(float);
}

static void set_taps(const conv_plan *p) {
    int side = p->phases == 4 ? 2 : p->args->kernel;
    size_t *tap = p->tap;
    for (int phase = 0; phase < p->phases; phase++)
        for (int ky = 0; ky < side; ky++)
            for (int kx = 0; kx < side; kx++)
                *tap++ = ((size_t)(phase / 2 + ky) * (size_t)p->map.w + (size_t)(phase % 2 + kx)) *
                         p->map.channels;
}

/* ---- products ---- */

/* Where the pixel (oy, ox) of a phase lies in y. */
static size_t out_pixel(const conv_plan *p, size_t picture, int phase, int oy, int ox) {
    const vt_conv *a = p->args;
    size_t row = (size_t)oy, column = (size_t)ox;
    if (p->phases == 4) {
        row = 2 * row + (size_t)(phase / 2);
        column = 2 * column + (size_t)(phase % 2);
    }
    return (picture * (size_t)a->out_h + row) * (size_t)a->out_w + column;
}

/* `rows` output pixels from (oy, ox) on, panels [first, end). */
static void conv_tile(const conv_plan *p, const uint16_t *map, size_t picture, int phase, int oy,
                      int ox, int rows, int first, int end) {
    const vt_conv *a = p->args;
    _Alignas(64) float out[VT_TILE_MOST_ROWS * VT_TILE_COLUMNS];
    size_t line = vt_conv_map_line(&p->map), step = (size_t)a->stride, out_c = (size_t)a->out_c;
    size_t pixel = out_pixel(p, picture, phase, oy, ox) * out_c;
    vt_tile tile = {.out = out,
                    .a = map + (size_t)oy * step * line + (size_t)ox * step * p->map.channels,
                    .a_stride = step * p->map.channels,
                    .b_stride = p->panel,
                    .tap = p->tap + (size_t)phase * (size_t)p->taps,
                    .taps = p->taps,
                    .depth = (int)p->map.channels,
                    .rows = rows};
    vt_map_tile store = {.tile = out,
                         .tile_stride = VT_TILE_COLUMNS,
                         .y_stride = p->phases == 4 ? 2 * out_c : out_c,
                         .rows = rows,
                         .stream = p->stream};
    for (int panel = first; panel < end; panel += tile.panels) {
        size_t column = (size_t)panel * VT_PANEL, at = (size_t)phase * (size_t)p->panels;
        tile.panels = end - panel < VT_TILE_PANELS ? end - panel : VT_TILE_PANELS;
        tile.b = p->weights + (at + (size_t)panel) * p->panel;
        p->tiles->product(&tile);
        store.columns = tile.panels * VT_PANEL;
        if (store.columns > a->out_c - (int)column) store.columns = a->out_c - (int)column;
        store.y = a->y + pixel + column;
        store.residual = a->residual ? a->residual + pixel + column : NULL;
        store.bias = a->bias ? a->bias + column : NULL;
        p->loops->tile_out(&store);
    }
}

/* Tasks count bands innermost, so that threads at work at one time share a block of weights. */
static void conv_task(const conv_plan *p, size_t first_picture, int64_t task) {
    int64_t band = task % p->bands, rest = task / p->bands;
    int phase = (int)(rest % p->phases);
    rest /= p->phases;
    int64_t block = rest % p->blocks;
    size_t at = (size_t)(rest / p->blocks);
    int first = (int)vt_cpu_piece_begin(p->panels, p->blocks, 2, block);
    int end = (int)vt_cpu_piece_begin(p->panels, p->blocks, 2, block + 1);
    int row_end = (int)vt_cpu_piece_begin(p->out_h, p->bands, 1, band + 1);
    int64_t runs = vt_cpu_pieces(p->out_w, p->tiles->most_rows);
    for (int oy = (int)vt_cpu_piece_begin(p->out_h, p->bands, 1, band); oy < row_end; oy++)
        for (int64_t run = 0; run < runs; run++) {
            int ox = (int)vt_cpu_piece_begin(p->out_w, runs, 1, run);
            int ox_end = (int)vt_cpu_piece_begin(p->out_w, runs, 1, run + 1);
            conv_tile(p, p->map.numbers + at * vt_conv_map_picture(&p->map), first_picture + at,
                      phase, oy, ox, ox_end - ox, first, end);
        }
    if (p->stream) p->loops->end();
}

static void conv_round(const conv_plan *p, const vt_kern *kern, size_t first, size_t count) {
    int64_t tasks = (int64_t)count * p->blocks * p->phases * p->bands;
    vt_conv_map_run(&p->map, kern, first, count);
    p->tiles->begin();
#pragma omp for schedule(dynamic)
    for (int64_t task = 0; task < tasks; task++) conv_task(p, first, task);
    p->tiles->end();
}

void vt_cpu_conv_packed(vt_kern *kern, const vt_conv *a) {
    if (a->groups <= 0) return;
    conv_plan plan;
    plan_make(&plan, kern, a, (char *)(((uintptr_t)a->workspace + 63) / 64 * 64));
    const conv_plan *p = &plan;
    size_t out_floats = (size_t)a->out_h * (size_t)a->out_w * (size_t)a->out_c;
    plan.stream = vt_conv_streams(a);
    set_taps(p);
    double work =
        (double)a->groups * (double)out_floats * (double)p->taps * (double)p->map.channels;
#pragma omp parallel num_threads(kern->threads) if (work > PARALLEL_WORK)
    {
        for (size_t first = 0; first < (size_t)a->groups; first += p->map.round) {
            size_t left = (size_t)a->groups - first;
            conv_round(p, kern, first, left < p->map.round ? left : p->map.round);
        }
    }
}

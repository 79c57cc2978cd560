/* conv_narrow.c - 3x3 convolutions of stride 1 to three channels at most, with packed weights: the last one of a
 * decoder.
 *
 * Called by conv.c. Panels have 16 columns, of which such a convolution would use three, tap after tap. Here
 * the taps are columns too: a pixel of the map (conv_map.h) is multiplied once by all nine taps of all
 * channels, and the results of neighbouring pixels are added up.
 *
 *     z of a map pixel, up to 27 columns:   tap 0: c0 c1 c2 | tap 1: c0 c1 c2 | ... | tap 8: c0 c1 c2
 *
 *     y[oy, ox] = bias + z[oy, ox, tap 0] + z[oy, ox + 1, tap 1] + z[oy, ox + 2, tap 2]
 *                      + z[oy + 1, ox, tap 3] + ...                        (rows and columns of the padded map)
 *
 * A task is a band of rows of y. It makes z of a row of the map in its thread's slot and adds it to the three
 * rows of y that read it. A number is summed tap by tap in that order, whatever band it is in. */
#include "kern/cpu/conv.h"

#include "kern/cpu/conv_map.h"
#include "kern/cpu/conv_sums.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/weight.h"

#include <string.h>

enum {
    SIDE = 3,
    TAPS = SIDE * SIDE,
    MOST_CHANNELS = 3, /* of y: their taps fill two panels */
    BANDS = 32,
    PARALLEL_WORK = 1 << 20 /* multiplications worth a parallel region */
};

typedef struct narrow_plan {
    const vt_conv *args;
    const vt_tiles *tiles;
    vt_conv_map map;
    int panels;
    int64_t bands;
    size_t slot; /* floats of a row of z */
    /* places in the workspace */
    vt_conv_sums sums; /* of bands */
    uint16_t *weights; /* (panels, channels, VT_PANEL), as tiles.h's */
    float *slots;      /* (threads, slot) */
} narrow_plan;

bool vt_cpu_conv_is_narrow(const vt_conv *a) {
    return a->w && a->w->spec.type == VT_NUMBER_BF16 && a->kernel == SIDE && a->stride == 1 &&
           a->w->spec.taps == TAPS && a->out_c <= MOST_CHANNELS && a->y_type == VT_NUMBER_F32 &&
           a->residual_type == VT_NUMBER_F32;
}

/* Fills the plan; its places begin at workspace. Returns the bytes that they take. */
static size_t plan_make(narrow_plan *p, const vt_kern *kern, const vt_conv *a, char *workspace) {
    *p = (narrow_plan){.args = a,
                       .tiles = vt_cpu_tiles(kern),
                       .panels = (TAPS * a->out_c + VT_PANEL - 1) / VT_PANEL,
                       .bands = a->out_h < BANDS ? a->out_h : BANDS};
    p->map = (vt_conv_map){.args = a,
                           .loops = ((const vt_cpu *)kern)->map_loops,
                           .channels = (size_t)a->w->depth,
                           .h = a->out_h + SIDE - 1,
                           .w = a->out_w + SIDE - 1,
                           .top = a->pad_top,
                           .left = a->pad_left,
                           .enlarged = a->upsample};
    p->slot = (size_t)p->map.w * VT_TILE_COLUMNS;
    size_t map = vt_conv_map_size(&p->map, kern);
    size_t weights =
        vt_conv_lines((size_t)p->panels * p->map.channels * VT_PANEL * sizeof(uint16_t));
    size_t slots = vt_conv_lines((size_t)kern->threads * p->slot * sizeof(float));
    if (workspace) {
        vt_conv_map_place(&p->map, kern, workspace);
        p->weights = (uint16_t *)(void *)(workspace + map);
        p->slots = (float *)(void *)(workspace + map + weights);
        vt_conv_sums_place(&p->sums, a, p->bands, workspace + map + weights + slots);
    }
    return map + weights + slots + vt_conv_sums_bytes(a, p->bands, p->map.round);
}

size_t vt_cpu_conv_narrow_workspace(const vt_kern *kern, const vt_conv *a) {
    narrow_plan plan;
    /* one line more: the workspace may begin inside one */
    return plan_make(&plan, kern, a, NULL) + 64;
}

/* The weight's one panel, tap after tap, with the taps side by side. */
static void spread_taps(const narrow_plan *p) {
    const vt_conv *a = p->args;
    const size_t channels = p->map.channels, out_c = (size_t)a->out_c;
    const uint16_t *from = a->w->numbers;
    memset(p->weights, 0, (size_t)p->panels * channels * VT_PANEL * sizeof *p->weights);
    for (size_t tap = 0; tap < TAPS; tap++)
        for (size_t pair = 0; pair < channels / 2; pair++, from += 2 * VT_PANEL)
            for (size_t o = 0; o < out_c; o++) {
                const size_t column = tap * out_c + o, panel = column / VT_PANEL;
                uint16_t *to = p->weights + panel * channels * VT_PANEL +
                               (pair * VT_PANEL + column % VT_PANEL) * 2;
                to[0] = from[2 * o];
                to[1] = from[2 * o + 1];
            }
}

/* z of a row of the map. */
static void row_products(const narrow_plan *p, const uint16_t *row, float *z) {
    const int64_t runs = vt_cpu_pieces(p->map.w, p->tiles->most_rows);
    vt_tile tile = {.a_stride = p->map.channels,
                    .b = p->weights,
                    .b_stride = p->map.channels * VT_PANEL,
                    .taps = 1,
                    .depth = (int)p->map.channels,
                    .panels = p->panels};
    for (int64_t run = 0; run < runs; run++) {
        const size_t x = (size_t)vt_cpu_piece_begin(p->map.w, runs, 1, run);
        tile.rows = (int)((size_t)vt_cpu_piece_begin(p->map.w, runs, 1, run + 1) - x);
        tile.a = row + x * p->map.channels;
        tile.out = z + x * VT_TILE_COLUMNS;
        p->tiles->product(&tile);
    }
}

/* What a row of y begins with; `at` floats from y's first. */
static void row_begin(const vt_conv *a, size_t at) {
    const size_t out_c = (size_t)a->out_c, count = (size_t)a->out_w * out_c;
    const float *residual = a->residual;
    float *y = a->y;
    for (size_t i = 0; i < count; i++) {
        float first = a->bias ? a->bias[i % out_c] : 0.0f;
        y[at + i] = residual ? first + residual[at + i] : first;
    }
}

/* y += the three taps of kernel row ky. */
static void row_add(const vt_conv *a, float *y, const float *z, int ky) {
    const size_t out_c = (size_t)a->out_c;
    z += (size_t)(ky * SIDE) * out_c;
    for (int x = 0; x < a->out_w; x++, y += out_c, z += VT_TILE_COLUMNS)
        for (size_t o = 0; o < out_c; o++)
            y[o] =
                y[o] + z[o] + z[VT_TILE_COLUMNS + out_c + o] + z[2 * (VT_TILE_COLUMNS + out_c) + o];
}

static void row_sums(const narrow_plan *p, const float *y, float *total) {
    const size_t out_c = (size_t)p->args->out_c, count = (size_t)p->args->out_w * out_c;
    for (size_t i = 0; i < count; i++) {
        total[i % out_c] += y[i];
        total[p->sums.columns + i % out_c] += y[i] * y[i];
    }
}

/* A band of one picture, `at` of the round. */
static void narrow_task(const narrow_plan *p, size_t first_picture, int64_t task, int thread) {
    const vt_conv *a = p->args;
    const size_t at = (size_t)(task / p->bands), line = (size_t)a->out_w * (size_t)a->out_c;
    const int64_t band = task % p->bands;
    const int first = (int)vt_cpu_piece_begin(a->out_h, p->bands, 1, band);
    const int end = (int)vt_cpu_piece_begin(a->out_h, p->bands, 1, band + 1);
    const uint16_t *map = p->map.numbers + at * vt_conv_map_picture(&p->map);
    const size_t picture = (first_picture + at) * (size_t)a->out_h * line;
    float *z = p->slots + (size_t)thread * p->slot;
    float *total = vt_conv_sums_begin(&p->sums, at, band, 0, VT_PANEL);
    for (int row = first; row < end + SIDE - 1; row++) {
        row_products(p, map + (size_t)row * vt_conv_map_line(&p->map), z);
        if (row < end) row_begin(a, picture + (size_t)row * line);
        for (int ky = 0; ky < SIDE; ky++) {
            const int oy = row - ky;
            if (oy < first || oy >= end) continue;
            float *y = (float *)a->y + picture + (size_t)oy * line;
            row_add(a, y, z, ky);
            if (ky == SIDE - 1 && total) row_sums(p, y, total);
        }
    }
}

typedef struct narrow_round {
    const narrow_plan *plan;
    size_t first; /* picture */
} narrow_round;

static void narrow_part(const vt_kern *kern, const void *args, vt_span span) {
    const narrow_round *round = args;
    (void)kern;
    round->plan->tiles->begin();
    for (int64_t task = span.begin; task < span.end; task++)
        narrow_task(round->plan, round->first, task, span.thread);
    round->plan->tiles->end();
}

void vt_cpu_conv_narrow(vt_kern *kern, const vt_conv *a) {
    if (a->groups <= 0) return;
    narrow_plan plan;
    plan_make(&plan, kern, a, (char *)(((uintptr_t)a->workspace + 63) / 64 * 64));
    spread_taps(&plan);
    const narrow_plan *p = &plan;
    double work = (double)a->groups * (double)a->out_h * (double)p->map.w *
                  (double)p->map.channels * p->panels * VT_PANEL;
    const bool worth = work > PARALLEL_WORK;
    for (size_t first = 0; first < (size_t)a->groups; first += p->map.round) {
        size_t left = (size_t)a->groups - first, count = left < p->map.round ? left : p->map.round;
        vt_conv_map_run(&p->map, kern, first, count, worth);
        vt_cpu_deal(kern, worth, (int64_t)count * p->bands, narrow_part, &(narrow_round){p, first});
        vt_conv_sums_finish(&p->sums, kern, first, count, worth);
    }
}

/* tiles_agree.c - do two tables of tile products give the same numbers? Asked by cpu.c before it trusts
 * an instruction set whose kernels could be tested in emulation alone: where they disagree, the next
 * lower one is used. One tile of each kind, some microseconds; the numbers are on the heap, for a thread of a
 * program may have a stack of 64 KB. */
#include "kern/cpu/cpu.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

enum { ROWS = 23, PANELS = 3, DEPTH = 192 };

/* Numbers in [-1, 1) that look random and are the same everywhere. */
static float number_at(uint32_t i) {
    uint32_t z = (i + 1) * 2654435761u;
    z ^= z >> 15;
    return (float)(int32_t)(z * 2246822519u) / 2147483648.0f;
}

static bool same(const float *a, const float *b) {
    for (int r = 0; r < ROWS; ++r)
        for (int c = 0; c < PANELS * VT_PANEL; ++c) {
            float x = a[r * VT_TILE_COLUMNS + c], y = b[r * VT_TILE_COLUMNS + c];
            if (!(fabsf(x - y) <= 1e-3f * (1.0f + fabsf(y)))) return false;
        }
    return true;
}

/* All that two tables are asked with. */
typedef struct products {
    _Alignas(64) uint16_t panels[PANELS * VT_PANEL * DEPTH];
    _Alignas(64) float sums[3][VT_SQUARE_ROWS * VT_TILE_COLUMNS];
    _Alignas(64) uint16_t laid[2 * VT_ROW_TILE * DEPTH];
    float numbers[PANELS * VT_PANEL * DEPTH];
    uint16_t rows[ROWS * DEPTH];
} products;

/* Zeros on a line of the cache; free(). NULL: no memory. */
static void *zeros(size_t size) {
    void *out = aligned_alloc(64, size); /* of structs aligned so, whose size is a multiple of it */
    return out ? memset(out, 0, size) : NULL;
}

/* The same numbers from rows in tiles. */
static void squares_run(const vt_tiles *tiles, float *sums, uint16_t *x, const float *rows,
                        const uint16_t *panels) {
    vt_meanwhile nothing = {0};
    for (int t = 0; t < 2; ++t) {
        const int left = ROWS - t * VT_ROW_TILE;
        tiles->lay(x + t * VT_ROW_TILE * DEPTH, rows + t * VT_ROW_TILE * DEPTH, VT_NUMBER_F32,
                   DEPTH, left < VT_ROW_TILE ? left : VT_ROW_TILE, DEPTH, DEPTH);
    }
    tiles->begin();
    for (int panel = 0; panel < PANELS; panel += 2)
        tiles->squares(&(vt_squares){.out = sums + panel * VT_PANEL,
                                     .a = x,
                                     .a_stride = VT_ROW_TILE * DEPTH,
                                     .b = panels + panel * VT_PANEL * DEPTH,
                                     .b_stride = VT_PANEL * DEPTH,
                                     .steps = DEPTH / VT_TILE_DEPTH,
                                     .row_tiles = 2,
                                     .panels = panel + 1 < PANELS ? 2 : 1,
                                     .meanwhile = &nothing});
    tiles->end();
}

static void products_fill(products *w, const vt_tiles *by) {
    for (uint32_t i = 0; i < PANELS * VT_PANEL * DEPTH; ++i) w->numbers[i] = number_at(i);
    for (int p = 0; p < PANELS; ++p)
        by->pack(w->panels + p * VT_PANEL * DEPTH, w->numbers + p * VT_PANEL * DEPTH, DEPTH,
                 VT_PANEL, DEPTH, DEPTH);
    for (uint32_t i = 0; i < ROWS * DEPTH; ++i) w->numbers[i] = number_at(i + 77777);
    by->to_bf16(w->rows, w->numbers, ROWS * DEPTH);
}

static void products_run(const products *w, const vt_tiles *tiles, float *sums) {
    tiles->begin();
    for (int done = 0; done < ROWS; done += tiles->most_rows) {
        const int left = ROWS - done;
        const vt_tile tile = {.out = sums + done * VT_TILE_COLUMNS,
                              .a = w->rows + done * DEPTH,
                              .a_stride = DEPTH,
                              .b = w->panels,
                              .b_stride = VT_PANEL * DEPTH,
                              .taps = 1,
                              .depth = DEPTH,
                              .rows = left < tiles->most_rows ? left : tiles->most_rows,
                              .panels = PANELS};
        tiles->product(&tile);
    }
    tiles->end();
}

bool vt_cpu_tiles_agree(const vt_tiles *one, const vt_tiles *other) {
    products *w = zeros(sizeof *w);
    if (!w) return false;
    products_fill(w, other);
    products_run(w, one, w->sums[0]);
    products_run(w, other, w->sums[1]);
    if (one->squares) squares_run(one, w->sums[2], w->laid, w->numbers, w->panels);
    const bool agree =
        same(w->sums[0], w->sums[1]) && (!one->squares || same(w->sums[2], w->sums[1]));
    free(w);
    return agree;
}

enum {
    STRIDE8 = DEPTH + 3 * 64, /* of a row of bytes, with what stands behind it */
    LINE8 = VT_TILE8_DEPTH,
    STEPS8 = DEPTH / LINE8,
    TILE8 = VT_ROW_TILE * LINE8
};

/* All that two tables of bytes are asked with. */
typedef struct products8 {
    _Alignas(64) uint8_t panels[PANELS * VT_PANEL * DEPTH];
    _Alignas(64) float sums[2][ROWS * VT_TILE_COLUMNS];
    _Alignas(64) int8_t rows[ROWS * STRIDE8];
    _Alignas(64) int16_t spread[ROWS * DEPTH];
    _Alignas(64) int8_t laid[2 * STEPS8 * TILE8];
    _Alignas(64) int32_t whole[VT_SQUARE_ROWS * VT_TILE_COLUMNS];
    float numbers[VT_PANEL * DEPTH], scale[VT_PANEL];
} products8;

/* Rows of a tile as the table reads them; room for most_rows of them. */
static void sums8_spread(const vt_tiles8 *tiles, int16_t *to, const vt_tile8 *tile) {
    for (int r = 0; tiles->spread && r < tile->rows; ++r)
        tiles->spread(to + r * VT_SPREAD_STEP, tile->a + (size_t)r * tile->x.stride, DEPTH,
                      tile->spread_rows);
}

/* The sums of the tiles of one table. */
static void sums8_make(products8 *w, const vt_tiles8 *tiles, float *sums, const vt_rows8 *x) {
    tiles->begin();
    for (int done = 0; done < ROWS; done += tiles->most_rows) {
        const int left = ROWS - done;
        vt_tile8 tile = {.out = sums + done * VT_TILE_COLUMNS,
                         .a = w->rows + (size_t)done * x->stride,
                         .x = *x,
                         .b = w->panels,
                         .b_stride = VT_PANEL * DEPTH,
                         .rows = left < tiles->most_rows ? left : tiles->most_rows,
                         .panels = PANELS,
                         .spread = w->spread};
        tile.spread_rows = tile.rows;
        sums8_spread(tiles, w->spread, &tile);
        tiles->product(&tile);
    }
    tiles->end();
}

/* The same sums, a scale a row, from rows in tiles. */
static void squares8_run(products8 *w, const vt_tiles8 *tiles, float *sums, const vt_rows8 *x) {
    vt_meanwhile nothing = {0};
    for (int r = 0; r < ROWS; ++r)
        for (int s = 0; s < STEPS8; ++s)
            memcpy(w->laid + (r / VT_ROW_TILE * STEPS8 + s) * TILE8 + r % VT_ROW_TILE * LINE8,
                   w->rows + (size_t)r * x->stride + s * LINE8, LINE8);
    tiles->begin();
    for (int panel = 0; panel < PANELS; panel += 2)
        tiles->squares(&(vt_squares){
            .out = (float *)(void *)(w->whole + panel * VT_PANEL),
            .a = (const uint16_t *)(const void *)w->laid,
            .a_stride = STEPS8 * VT_TILE_NUMBERS,
            .b = (const uint16_t *)(const void *)(w->panels + panel * VT_PANEL * DEPTH),
            .b_stride = STEPS8 * VT_TILE_NUMBERS,
            .steps = STEPS8,
            .row_tiles = 2,
            .panels = panel + 1 < PANELS ? 2 : 1,
            .meanwhile = &nothing});
    tiles->end();
    for (int r = 0; r < ROWS; ++r)
        tiles->floats(sums + r * VT_TILE_COLUMNS, w->whole + r * VT_TILE_COLUMNS,
                      *vt_scales8(w->rows + (size_t)r * x->stride, x->depth));
}

static void panels8_fill(products8 *w, const vt_tiles8 *by) {
    for (uint32_t p = 0; p < PANELS; ++p) {
        for (uint32_t i = 0; i < VT_PANEL * DEPTH; ++i)
            w->numbers[i] = number_at(p * VT_PANEL * DEPTH + i);
        by->pack(w->panels + p * VT_PANEL * DEPTH, w->scale, w->numbers, DEPTH, VT_PANEL, DEPTH,
                 DEPTH);
    }
}

/* Of rows with one scale, or one a piece. */
static bool rows8_agree(products8 *w, const vt_tiles8 *one, const vt_tiles8 *other, bool whole) {
    const vt_rows8 x = vt_rows8_of(DEPTH, whole);
    for (uint32_t r = 0; r < ROWS; ++r) {
        for (uint32_t i = 0; i < DEPTH; ++i) w->numbers[i] = number_at(99999 + r * DEPTH + i);
        other->quantise(w->rows + r * x.stride, &x, w->numbers, VT_NUMBER_F32, DEPTH);
    }
    sums8_make(w, one, w->sums[0], &x);
    sums8_make(w, other, w->sums[1], &x);
    if (!same(w->sums[0], w->sums[1])) return false;
    if (!whole || !one->squares) return true;
    squares8_run(w, one, w->sums[0], &x);
    return same(w->sums[0], w->sums[1]);
}

bool vt_cpu_tiles8_agree(const vt_tiles8 *one, const vt_tiles8 *other) {
    products8 *w = zeros(sizeof *w);
    if (!w) return false;
    panels8_fill(w, other);
    const bool agree = rows8_agree(w, one, other, false) && rows8_agree(w, one, other, true);
    free(w);
    return agree;
}

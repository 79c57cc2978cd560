/* tiles_agree.c - do two tables of tile products give the same numbers? Asked by cpu.c before it trusts
 * an instruction set whose kernels could be tested in emulation alone: where they disagree, the next
 * lower one is used. One tile of each kind, some microseconds. */
#include "kern/cpu/cpu.h"

#include <math.h>
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

/* The same numbers from rows in tiles. */
static void squares_run(const vt_tiles *tiles, float *sums, const float *rows,
                        const uint16_t *panels) {
    _Alignas(64) uint16_t x[2 * VT_ROW_TILE * DEPTH];
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

bool vt_cpu_tiles_agree(const vt_tiles *one, const vt_tiles *other) {
    _Alignas(64) uint16_t panels[PANELS * VT_PANEL * DEPTH];
    _Alignas(64) float sums[3][VT_SQUARE_ROWS * VT_TILE_COLUMNS] = {{0}};
    float numbers[PANELS * VT_PANEL * DEPTH];
    uint16_t rows[ROWS * DEPTH];
    for (uint32_t i = 0; i < PANELS * VT_PANEL * DEPTH; ++i) numbers[i] = number_at(i);
    for (int p = 0; p < PANELS; ++p)
        other->pack(panels + p * VT_PANEL * DEPTH, numbers + p * VT_PANEL * DEPTH, DEPTH, VT_PANEL,
                    DEPTH, DEPTH);
    for (uint32_t i = 0; i < ROWS * DEPTH; ++i) numbers[i] = number_at(i + 77777);
    other->to_bf16(rows, numbers, ROWS * DEPTH);
    for (int which = 0; which < 2; ++which) {
        const vt_tiles *tiles = which ? other : one;
        tiles->begin();
        for (int done = 0; done < ROWS; done += tiles->most_rows) {
            int left = ROWS - done;
            const vt_tile tile = {.out = sums[which] + done * VT_TILE_COLUMNS,
                                  .a = rows + done * DEPTH,
                                  .a_stride = DEPTH,
                                  .b = panels,
                                  .b_stride = VT_PANEL * DEPTH,
                                  .taps = 1,
                                  .depth = DEPTH,
                                  .rows = left < tiles->most_rows ? left : tiles->most_rows,
                                  .panels = PANELS};
            tiles->product(&tile);
        }
        tiles->end();
    }
    if (one->squares) squares_run(one, sums[2], numbers, panels);
    return same(sums[0], sums[1]) && (!one->squares || same(sums[2], sums[1]));
}

/* Rows of a tile as the table reads them; room for most_rows of them. */
static void sums8_spread(const vt_tiles8 *tiles, int16_t *to, const vt_tile8 *tile) {
    for (int r = 0; tiles->spread && r < tile->rows; ++r)
        tiles->spread(to + r * VT_SPREAD_STEP, tile->a + (size_t)r * tile->x.stride, DEPTH,
                      tile->spread_rows);
}

/* The sums of the tiles of one table. */
static void sums8_make(const vt_tiles8 *tiles, float *sums, const int8_t *rows, const vt_rows8 *x,
                       const uint8_t *panels) {
    _Alignas(64) int16_t spread[ROWS * DEPTH];
    tiles->begin();
    for (int done = 0; done < ROWS; done += tiles->most_rows) {
        const int left = ROWS - done;
        vt_tile8 tile = {.out = sums + done * VT_TILE_COLUMNS,
                         .a = rows + (size_t)done * x->stride,
                         .x = *x,
                         .b = panels,
                         .b_stride = VT_PANEL * DEPTH,
                         .rows = left < tiles->most_rows ? left : tiles->most_rows,
                         .panels = PANELS,
                         .spread = spread};
        tile.spread_rows = tile.rows;
        sums8_spread(tiles, spread, &tile);
        tiles->product(&tile);
    }
    tiles->end();
}

/* The same sums, a scale a row, from rows in tiles. */
static void squares8_run(const vt_tiles8 *tiles, float *sums, const int8_t *rows, const vt_rows8 *x,
                         const uint8_t *panels) {
    enum { LINE = VT_TILE8_DEPTH, STEPS = DEPTH / LINE, TILE = VT_ROW_TILE * LINE };
    _Alignas(64) int8_t laid[2 * STEPS * TILE] = {0};
    _Alignas(64) int32_t whole[VT_SQUARE_ROWS * VT_TILE_COLUMNS] = {0};
    vt_meanwhile nothing = {0};
    for (int r = 0; r < ROWS; ++r)
        for (int s = 0; s < STEPS; ++s)
            memcpy(laid + (r / VT_ROW_TILE * STEPS + s) * TILE + r % VT_ROW_TILE * LINE,
                   rows + (size_t)r * x->stride + s * LINE, LINE);
    tiles->begin();
    for (int panel = 0; panel < PANELS; panel += 2)
        tiles->squares(
            &(vt_squares){.out = (float *)(void *)(whole + panel * VT_PANEL),
                          .a = (const uint16_t *)(const void *)laid,
                          .a_stride = STEPS * VT_TILE_NUMBERS,
                          .b = (const uint16_t *)(const void *)(panels + panel * VT_PANEL * DEPTH),
                          .b_stride = STEPS * VT_TILE_NUMBERS,
                          .steps = STEPS,
                          .row_tiles = 2,
                          .panels = panel + 1 < PANELS ? 2 : 1,
                          .meanwhile = &nothing});
    tiles->end();
    for (int r = 0; r < ROWS; ++r)
        tiles->floats(sums + r * VT_TILE_COLUMNS, whole + r * VT_TILE_COLUMNS,
                      *vt_scales8(rows + (size_t)r * x->stride, x->depth));
}

bool vt_cpu_tiles8_agree(const vt_tiles8 *one, const vt_tiles8 *other) {
    enum { STRIDE = DEPTH + 3 * 64 };
    _Alignas(64) uint8_t panels[PANELS * VT_PANEL * DEPTH];
    _Alignas(64) float sums[2][ROWS * VT_TILE_COLUMNS] = {{0}};
    _Alignas(64) int8_t rows[ROWS * STRIDE] = {0};
    float numbers[VT_PANEL * DEPTH], scale[VT_PANEL];
    for (uint32_t p = 0; p < PANELS; ++p) {
        for (uint32_t i = 0; i < VT_PANEL * DEPTH; ++i)
            numbers[i] = number_at(p * VT_PANEL * DEPTH + i);
        other->pack(panels + p * VT_PANEL * DEPTH, scale, numbers, DEPTH, VT_PANEL, DEPTH, DEPTH);
    }
    for (int whole = 0; whole < 2; ++whole) {
        const vt_rows8 x = vt_rows8_of(DEPTH, whole);
        for (uint32_t r = 0; r < ROWS; ++r) {
            for (uint32_t i = 0; i < DEPTH; ++i) numbers[i] = number_at(99999 + r * DEPTH + i);
            other->quantise(rows + r * x.stride, &x, numbers, VT_NUMBER_F32, DEPTH);
        }
        sums8_make(one, sums[0], rows, &x, panels);
        sums8_make(other, sums[1], rows, &x, panels);
        if (!same(sums[0], sums[1])) return false;
        if (!whole || !one->squares) continue;
        squares8_run(one, sums[0], rows, &x, panels);
        if (!same(sums[0], sums[1])) return false;
    }
    return true;
}

/* conv_beside.c - see conv_beside.h. */
#include "kern/cpu/conv_beside.h"

#include <string.h>

enum {
    ROWS = 2,        /* finished at a time: as few instructions as pass between two steps */
    LINE_FLOATS = 16 /* of a cache line */
};

void vt_conv_beside_begin(vt_conv_beside *b, const vt_tiles *tiles, const vt_map_loops *loops) {
    b->tiles = tiles;
    b->loops = loops;
    b->work = NULL;
    b->user = NULL;
    b->waiting.rows = 0;
    b->ask = NULL;
    b->turn = 0;
}

/* Asks for the residual that the same rows of the tile at hand will add. */
static void ask_residual(vt_conv_beside *b, int rows) {
    const vt_map_tile *w = &b->waiting;
    if (!b->ask) return;
    for (int r = 0; r < rows; r++, b->ask += w->y_stride)
        for (int c = 0; c < w->columns; c += LINE_FLOATS) __builtin_prefetch(b->ask + c, 0, 3);
}

static void waiting_rows(vt_conv_beside *b) {
    vt_map_tile *w = &b->waiting, some = *w;
    if (some.rows > ROWS) some.rows = ROWS;
    b->loops->tile_out(&some);
    ask_residual(b, some.rows);
    w->rows -= some.rows;
    w->tile += (size_t)some.rows * w->tile_stride;
    w->y += (size_t)some.rows * w->y_stride;
    if (w->residual) w->residual += (size_t)some.rows * w->y_stride;
}

static void one_piece(void *user) {
    vt_conv_beside *b = user;
    if (b->waiting.rows > 0)
        waiting_rows(b);
    else
        b->work(b->user);
}

void vt_conv_beside_end(vt_conv_beside *b) {
    b->ask = NULL;
    while (b->waiting.rows > 0) waiting_rows(b);
}

/* Of no taps (a gradient's phase may have none): nothing. */
static void tile_product(const vt_tiles *tiles, const vt_tile *tile) {
    if (tile->taps > 0)
        tiles->product(tile);
    else
        memset(tile->out, 0, (size_t)tile->rows * VT_TILE_COLUMNS * sizeof *tile->out);
}

void vt_conv_beside_tile(vt_conv_beside *b, vt_tile *tile, vt_map_tile *store, int pieces) {
    tile->out = b->sums[b->turn];
    store->tile = tile->out;
    store->tile_stride = VT_TILE_COLUMNS;
    if (!b->tiles->product_beside || tile->taps == 0) {
        vt_conv_beside_end(b);
        for (; pieces > 0; pieces--) b->work(b->user);
        tile_product(b->tiles, tile);
        b->loops->tile_out(store);
        return;
    }
    vt_meanwhile meanwhile = {
        .run = one_piece, .user = b, .runs = (b->waiting.rows + ROWS - 1) / ROWS + pieces};
    b->ask = store->residual;
    b->tiles->product_beside(tile, &meanwhile);
    for (; meanwhile.runs > 0; meanwhile.runs--) one_piece(b);
    b->waiting = *store;
    b->turn ^= 1;
}

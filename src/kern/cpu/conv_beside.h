/* conv_beside.h - tiles of a convolution one after another, each one's sums finished (bias, residual, sums of channels,
 * store: vt_map_tile) while the next one is multiplied, where a table has `product_beside`; else before. Other pieces
 * of work, such as pixels of a map, may come along.
 *
 *     tile instructions   | tile 0          | tile 1          | tile 2       ...
 *     vector units          work              work, out of 0    work, out of 1
 *
 * Used by conv_packed.c and conv_rolling.c; of one thread. */
#ifndef VT_KERN_CPU_CONV_BESIDE_H
#define VT_KERN_CPU_CONV_BESIDE_H

#include "kern/cpu/isa/map_loops.h"
#include "kern/cpu/isa/tiles.h"

typedef struct vt_conv_beside {
    _Alignas(64) float sums[2][VT_TILE_MOST_ROWS * VT_TILE_COLUMNS]; /* they take turns */
    const vt_tiles *tiles;
    const vt_map_loops *loops;
    void (*work)(void *user); /* does one piece of what comes along; NULL: nothing does */
    void *user;
    /* the rest is conv_beside.c's own */
    vt_map_tile waiting; /* what is left of a tile's rows */
    const float
        *ask; /* of the tile at hand: the residual that belongs to the next waiting row, or NULL */
    int turn;
} vt_conv_beside;

void vt_conv_beside_begin(vt_conv_beside *b, const vt_tiles *tiles, const vt_map_loops *loops);
/* tile->out and store->tile are set here; `pieces` of work come along. */
void vt_conv_beside_tile(vt_conv_beside *b, vt_tile *tile, vt_map_tile *store, int pieces);
/* Finishes what waits. */
void vt_conv_beside_end(vt_conv_beside *b);

#endif

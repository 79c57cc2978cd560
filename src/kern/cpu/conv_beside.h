/* conv_beside.h - the tiles of a convolution, a run of strips of pixels at a time. Where a table has `product_beside`, each
 * pair of panels is finished (bias, residual, sums of channels, store: vt_map_tile) while the next one is multiplied; else every
 * tile when it is there. Other pieces of work, such as pixels of a map, may come along.
 *
 *     tile instructions   | pair 0, all strips | pair 1            | pair 2        ...
 *     vector units          work                 work, out of 0      work, out of 1
 *
 * A pair of panels is longer than a first cache. It is taken a stretch at a time, a row of the kernel or a part of its depth,
 * which stays there beside what passes, through all strips, whose sums wait in the second cache meanwhile (deeper kernels go strip
 * by strip: rows would pass too often):
 *
 *     weights   | taps 0 1 2, 30 KB at 160 channels           | taps 3 4 5 ...
 *     strips      0   1   2 ...   (32 pixels, 4 KB of sums)     0   1   2 ...
 *
 * Used by conv_packed.c and conv_rolling.c; of one thread. */
#ifndef VT_KERN_CPU_CONV_BESIDE_H
#define VT_KERN_CPU_CONV_BESIDE_H

#include "kern/cpu/isa/map_loops.h"
#include "kern/cpu/isa/tiles.h"

typedef struct vt_conv_run {
    vt_tile
        tile; /* of all strips and panels: a, a_stride, a_half, b of the first panel, b_stride, tap, taps, depth */
    vt_map_tile
        store; /* likewise, from the first panel's column on, all columns; tile, rows and tile_stride are not read */
    vt_map_strip strips[VT_MAP_STRIPS]; /* of 1 .. vt_tiles.most_rows rows */
    int count;                          /* of strips */
    int panels;
    int row_taps; /* of a row of the kernel, whose pixels are neighbours */
    int pieces;   /* of work.in that come along */
} vt_conv_run;

typedef struct vt_conv_beside {
    /* rows of strips one after another; two pairs of panels side by side, which take turns */
    float *sums; /* vt_conv_beside_bytes of the caller's */
    const vt_tiles *tiles;
    const vt_map_loops *loops;
    vt_map_work
        work; /* its pixels are the caller's, where tables have product_beside; the rest is conv_beside.c's own */
    int turn;
} vt_conv_beside;

/* Of the sums that a thread's runs have: whole lines of the cache, in the workspace, since a thread may have a stack of 128 KB. */
size_t vt_conv_beside_bytes(const vt_tiles *tiles);
/* sums: 64-byte aligned, of this thread alone, until vt_conv_beside_end. */
void vt_conv_beside_begin(vt_conv_beside *b, const vt_tiles *tiles, const vt_map_loops *loops,
                          float *sums);
/* Strips that a run had best have, by sizes alone. */
int vt_conv_beside_strips(const vt_conv_beside *b, const vt_conv_run *run);
void vt_conv_beside_run(vt_conv_beside *b, const vt_conv_run *run);
/* Finishes what waits. */
void vt_conv_beside_end(vt_conv_beside *b);

#endif

/* tiles4.h - the int4 products of the cpu backend: rows of x in int8 with a scale a block of 128, as isa/tiles8.h has them,
 * by panels of 16 columns of a weight W (n, k) whose numbers are q, of -8 .. 7, times an integer of their group of 16, times a
 * scale a column (kern/int4.h).
 *
 * A panel is one unit of 576 bytes, nine lines, for each 64 numbers of depth:
 *
 *     groups 0 .. 3         the integers of 16 columns, int8                                                     a line
 *     group 0, d =  0 ..  7   column 0: w0 w1 w2 w3 | column 1 | ... | column 15      low halves: d = 0 .. 3     a line
 *              d =  8 .. 15   ...                                                     high ones:  d = 4 .. 7     a line
 *     group 1 ...
 *
 * A half holds q + 8. Sums of a group are multiplied with its integer and added up over a block as 32-bit integers, exactly;
 *
 *     out = sum over the blocks, in order, of x's scale * float(that sum)
 *
 * so that a number of the result is one chain of float32 additions, whatever stands beside it. packed_products.c cuts the
 * work into tiles and finishes them. There are three tables; AVX-512 without VNNI runs AVX2's. */
#ifndef VT_KERN_CPU_ISA_TILES4_H
#define VT_KERN_CPU_ISA_TILES4_H

#include "kern/cpu/isa/tiles8.h"

typedef struct vt_tiles4 {
    const char *name; /* "baseline", "avx2", "avx512vnni" */
    int most_rows;    /* rows a tile, at most: the fastest number too */
    /* Of vt_tile8: rows as spread has them; b: panels of INT4; x.block at most 128; out without the columns' scales. */
    void (*product)(const vt_tile8 *tile);
    /* int16 numbers that a group of one row takes, spread. */
    int spread_group;
    /* A row that vt_tiles8.quantise made, as one of `rows` that lie group by group side by side: row r of them goes to
     * spread_group * r numbers from their beginning; they take rows * depth / 16 * spread_group in all. */
    void (*spread)(int16_t *to, const int8_t *row, int depth, int rows);
    /* As vt_tiles8.peak. */
    double (*peak)(int64_t rounds);
} vt_tiles4;

extern const vt_tiles4 vt_tiles4_baseline;
#if defined(__x86_64__)
extern const vt_tiles4 vt_tiles4_avx2;
extern const vt_tiles4 vt_tiles4_avx512vnni;
#endif

#endif

/* product_finish.h - where the sums of a packed product go: which columns of W are one block, and what becomes
 * of a block's sums row by row, by epilogue, head and group of rows. Shared by packed_products.c and square_products.c. */
#ifndef VT_KERN_CPU_PRODUCT_FINISH_H
#define VT_KERN_CPU_PRODUCT_FINISH_H

#include "kern/cpu/isa/tiles.h"
#include "kern/kern.h"

/* What is the same for all of a product's sums. */
typedef struct vt_product_finish {
    const vt_product *args;
    const vt_tiles *tiles;
    int64_t rows;
    bool split;       /* QKV as a pass of its own, after a plain product into y */
    int parts;        /* QKV: 3, whose columns share no block; else 1 */
    int part_columns; /* columns of a part */
    float *y;         /* split: (rows, n), given later; else NULL */
} vt_product_finish;

/* Up to VT_TILE_COLUMNS columns: where they are and what becomes of them. */
typedef struct vt_finish_block {
    int part, column, columns; /* columns of the whole matrix */
    vt_finish finish;          /* of row 0 */
    float head_scale[VT_TILE_COLUMNS / 16];
} vt_finish_block;

void vt_product_finish_make(vt_product_finish *out, const vt_tiles *tiles, const vt_product *args);

/* Columns [column, column + columns) of part `part`; they hold whole heads. `out` points into itself, so it is not
 * copied. */
void vt_finish_block_make(const vt_product_finish *p, int part, int column, int columns,
                          vt_finish_block *out);

/* Of rows [first, first + most): what becomes of the first ones, as many as one finish may take (of one group,
 * where the epilogue asks which); returns how many, out->rows. out->sums is the caller's to set. */
int vt_finish_block_rows(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                         int most, vt_finish *out);

/* Finishes rows [first, first + rows), whose sums begin at `sums`, rows at VT_TILE_COLUMNS. */
void vt_finish_block_run(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                         int rows, const float *sums);

/* Asks for the lines of y that rows [first, first + rows) will end in, which come while they are multiplied. */
void vt_finish_block_ask(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                         int rows);

#endif

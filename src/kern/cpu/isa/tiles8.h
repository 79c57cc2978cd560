/* tiles8.h - the int8 products of the cpu backend: one table of functions an instruction set, and the
 * layout of rows and panels that all of them read.
 *
 * A row of x is cut into blocks along the depth, each with a scale of its own: VT_INT8_BLOCK numbers a block, or
 * the whole depth (vt_weight_spec.whole). A panel holds 16 columns of the result (16 rows of a weight W (n, k), a
 * scale a column), quads of depth side by side as vpdpbusd and tdpbsud take them:
 *
 *     panel[d / 4][column][d % 4],   d = 0 .. depth - 1, depth a multiple of VT_TILE8_DEPTH
 *
 *                    column 0             column 1                column 15
 *     d = 0 ..  3    w0,0 .. w0,3 (4 bytes) | w1,0 .. w1,3 | ... | w15,0 .. w15,3     a line, 64 bytes
 *     d = 4 ..  7    ...
 *        ...
 *     d = 60 .. 63   ...                                         16 lines: one register of AMX
 *
 * A row of x: its numbers, then what its blocks have beside them; whole lines, an odd number of them, so that rows
 * do not fall on the same sets of a cache.
 *
 *     | depth x int8                        | scale, balance | scale, balance | ... | to the line's end |
 *       depth bytes, whole lines              4 + 4 bytes a block
 *
 * The instructions multiply unsigned by signed bytes. The weights are the unsigned ones, as w + 128,
 * and a block of x knows -128 times the sum of its integers, which takes the 128 out again: the sums
 * are then exact (of up to VT_INT8_WHOLE numbers they fit 32 bits), and memory holds nothing beside the
 * panels. What a matrix lacks to whole panels or depth is zero (128), what a row lacks to whole depth is zero.
 *
 *     out = sum over the blocks, in order, of scale * float(the exact sum of the block)
 *
 * Products are single-threaded and know one tile alone; packed_products.c cuts its work into tiles,
 * multiplies by the scales of the columns and finishes them (isa/finish.c). A number of the result is
 * one chain of float32 additions, whatever rows and columns stand beside it. */
#ifndef VT_KERN_CPU_ISA_TILES8_H
#define VT_KERN_CPU_ISA_TILES8_H

#include "kern/cpu/isa/tiles.h"
#include "kern/number.h"

enum {
    VT_TILE8_DEPTH = 64, /* depth comes in multiples of this */
    VT_SPREAD_STEP = 4   /* numbers from a spread row to the next */
};

/* Of a block of a row of x. A block of 128 makes its scale one addition in 32 (the quads of a block), and keeps
 * an outlier's coarse scale to itself. */
typedef struct vt_scale8 {
    float scale;     /* NaN, with zeros, where x had a number that is not finite */
    int32_t balance; /* -128 times the sum of the block's integers */
} vt_scale8;

/* Rows of x as quantise makes them and product reads them. */
typedef struct vt_rows8 {
    int depth, block; /* numbers; a multiple of VT_TILE8_DEPTH; at most `depth` */
    size_t stride;    /* bytes from a row to the next */
} vt_rows8;

/* Of k numbers a row, in one block or in blocks of VT_INT8_BLOCK. */
static inline vt_rows8 vt_rows8_of(int k, bool whole) {
    const int depth = (k + VT_TILE8_DEPTH - 1) / VT_TILE8_DEPTH * VT_TILE8_DEPTH;
    const int block = whole || depth < VT_INT8_BLOCK ? depth : VT_INT8_BLOCK;
    const size_t blocks = (size_t)((depth + block - 1) / block);
    const size_t lines = ((size_t)depth + blocks * sizeof(vt_scale8) + 63) / 64;
    return (vt_rows8){.depth = depth, .block = block, .stride = (lines | 1) * 64};
}

/* What stands behind a row's numbers. */
static inline const vt_scale8 *vt_scales8(const int8_t *row, int depth) {
    return (const vt_scale8 *)(const void *)(row + depth);
}

/* out (rows, 16 * panels) = a b^T, without the scales of b's columns. */
typedef struct vt_tile8 {
    float *out;      /* row r at out + r * VT_TILE_COLUMNS; 64-byte aligned; overwritten */
    const int8_t *a; /* row r at a + r * x.stride; 64-byte aligned */
    vt_rows8 x;
    const uint8_t *b; /* panel p at b + p * b_stride; 64-byte aligned */
    size_t b_stride;  /* bytes */
    int rows;         /* 1 .. vt_tiles8.most_rows */
    int panels;       /* 1 .. VT_TILE_PANELS */
    /* Of a table that has `spread`: these rows as it writes them, the first at spread. a is read for the blocks' scales
     * alone. */
    const int16_t *spread;
    int spread_rows; /* side by side there, `rows` or more */
} vt_tile8;

typedef struct vt_tiles8 {
    const char *name; /* "baseline", "avx2", "avxvnni", "avx512", "avx512vnni", "amx" */
    int most_rows;    /* rows a tile, at most: the fastest number too */
    /* Around the tiles of one task on one thread (AMX configures its registers). */
    void (*begin)(void);
    void (*end)(void);
    void (*product)(const vt_tile8 *tile);
    /* Where rows of one block pay to be laid in tiles, else NULL: vt_squares with tiles of 16 rows by VT_TILE8_DEPTH integers,
     * 1 KB likewise, and int32 sums in the place of floats: exact ones, before the balance. */
    void (*squares)(const vt_squares *squares);
    /* A row of VT_TILE_COLUMNS such sums as floats: what product makes of a block's. */
    void (*floats)(float *to, const int32_t *sums, vt_scale8 by);
    /* Where product reads rows in an order of its own, else NULL: a row that quantise made, `depth` numbers, as one of
     * `rows` that lie quad by quad side by side. Row r of them goes to VT_SPREAD_STEP * r numbers from their
     * beginning; they take rows * depth numbers in all. */
    void (*spread)(int16_t *to, const int8_t *row, int depth, int rows);
    /* A row of n numbers, F32 or BF16, and zeros up to x->depth, with its blocks' scales behind. */
    void (*quantise)(int8_t *to, const vt_rows8 *x, const void *from, vt_number type, size_t n);
    /* One panel of `columns` (1..16) columns: column c's numbers are the floats at from + c * stride,
     * `length` of them. scale: (columns), NaN where a number of the column is not finite; NULL: the floats are
     * integers of -127 .. 127 already. */
    void (*pack)(uint8_t *panel, float *scale, const float *from, size_t stride, int columns,
                 int length, int depth);
    /* Multiply-adds in registers alone, as product does them, `rounds` times twelve instructions; gives
     * the operations done. NULL: no faster than float32 (vt_loops.peak). */
    double (*peak)(int64_t rounds);
} vt_tiles8;

extern const vt_tiles8 vt_tiles8_baseline;
#if defined(__x86_64__)
extern const vt_tiles8 vt_tiles8_avx2;
extern const vt_tiles8 vt_tiles8_avxvnni;
extern const vt_tiles8 vt_tiles8_avx512;
extern const vt_tiles8 vt_tiles8_avx512vnni;
extern const vt_tiles8 vt_tiles8_amx;
#endif

/* Of isa/tiles8.c, which is compiled once an instruction set; tables share them. */
#define VT_TILES8(suffix)                                                                          \
    void vt_quantise8_##suffix(int8_t *to, const vt_rows8 *x, const void *from, vt_number type,    \
                               size_t n);                                                          \
    void vt_pack8_##suffix(uint8_t *panel, float *scale, const float *from, size_t stride,         \
                           int columns, int length, int depth);
VT_TILES8(baseline)
#if defined(__x86_64__)
VT_TILES8(avx2)
VT_TILES8(avx512)
void vt_quantise8_avx512vnni(int8_t *to, const vt_rows8 *x, const void *from, vt_number type,
                             size_t n);
#endif

#endif

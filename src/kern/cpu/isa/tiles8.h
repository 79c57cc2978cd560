/* tiles8.h - the int8 products of the cpu backend: one table of functions an instruction set, and the
 * layout of rows and panels that all of them read.
 *
 * A row of x is cut into blocks of VT_INT8_BLOCK numbers along the depth, each with a scale of its own; a
 * panel holds 16 columns of the result (16 rows of a weight W (n, k), a scale a column), quads of
 * depth side by side as vpdpbusd and tdpbsud take them:
 *
 *     panel[d / 4][column][d % 4],   d = 0 .. depth - 1, depth a multiple of VT_TILE8_DEPTH
 *
 *                    column 0             column 1                column 15
 *     d = 0 ..  3    w0,0 .. w0,3 (4 bytes) | w1,0 .. w1,3 | ... | w15,0 .. w15,3     a line, 64 bytes
 *     d = 4 ..  7    ...
 *        ...
 *     d = 60 .. 63   ...                                         16 lines: one register of AMX
 *
 * A row of x, blocks of 128 numbers, which are 32 lines of a panel:
 *
 *     | 128 x int8 | scale | balance |  128 x int8 | scale | balance | ...
 *       128 bytes    4       4
 *
 * The instructions multiply unsigned by signed bytes. The weights are the unsigned ones, as w + 128,
 * and a block of x knows -128 times the sum of its integers, which takes the 128 out again: the sums
 * are then exact, and memory holds nothing beside the panels. What a matrix lacks to whole panels or
 * depth is zero (128), what a row lacks to whole blocks is zero.
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

enum { VT_TILE8_DEPTH = 64 }; /* depth comes in multiples of this */

/* 136 bytes: rows of 1024 numbers do not fall on the same sets of a cache. A block of 128 makes its scale
 * one addition in 32 (the quads of a block), and keeps an outlier's coarse scale to itself; for the
 * shipped model's loss blocks of 64, 128 and whole rows made no difference (docs/PERFORMANCE_APPENDIX.md). */
typedef struct vt_block8 {
    int8_t number[VT_INT8_BLOCK]; /* -127 .. 127 */
    float scale;                  /* NaN, with zeros, where x had a number that is not finite */
    int32_t balance;              /* -128 times the sum of the numbers */
} vt_block8;

/* out (rows, 16 * panels) = a b^T, without the scales of b's columns. */
typedef struct vt_tile8 {
    float *out;         /* row r at out + r * VT_TILE_COLUMNS; 64-byte aligned; overwritten */
    const vt_block8 *a; /* row r at a + r * a_stride */
    size_t a_stride;    /* blocks */
    const uint8_t *b;   /* panel p at b + p * b_stride; 64-byte aligned */
    size_t b_stride;    /* bytes */
    int depth;
    int rows;   /* 1 .. vt_tiles8.most_rows */
    int panels; /* 1 .. VT_TILE_PANELS */
} vt_tile8;

typedef struct vt_tiles8 {
    const char *name; /* "baseline", "avx2", "avx512", "avx512vnni", "amx" */
    int most_rows;    /* rows a tile, at most: the fastest number too */
    /* Around the tiles of one task on one thread (AMX configures its registers). */
    void (*begin)(void);
    void (*end)(void);
    void (*product)(const vt_tile8 *tile);
    /* A row of n numbers, F32 or BF16, into whole blocks. */
    void (*quantise)(vt_block8 *to, const void *from, vt_number type, size_t n);
    /* One panel of `columns` (1..16) columns: column c's numbers are the floats at from + c * stride,
     * `length` of them. scale: (columns), NaN where a number of the column is not finite. */
    void (*pack)(uint8_t *panel, float *scale, const float *from, size_t stride, int columns,
                 int length, int depth);
    /* Multiply-adds in registers alone, as product does them, `rounds` times twelve instructions; gives
     * the operations done. NULL: no faster than float32 (vt_loops.peak). */
    double (*peak)(int64_t rounds);
} vt_tiles8;

extern const vt_tiles8 vt_tiles8_baseline;
#if defined(__x86_64__)
extern const vt_tiles8 vt_tiles8_avx2;
extern const vt_tiles8 vt_tiles8_avx512;
extern const vt_tiles8 vt_tiles8_avx512vnni;
extern const vt_tiles8 vt_tiles8_amx;
#endif

/* Of isa/tiles8.c, which is compiled once an instruction set; tables share them. */
#define VT_TILES8(suffix)                                                                          \
    void vt_quantise8_##suffix(vt_block8 *to, const void *from, vt_number type, size_t n);         \
    void vt_pack8_##suffix(uint8_t *panel, float *scale, const float *from, size_t stride,         \
                           int columns, int length, int depth);
VT_TILES8(baseline)
#if defined(__x86_64__)
VT_TILES8(avx2)
VT_TILES8(avx512)
void vt_quantise8_avx512vnni(vt_block8 *to, const void *from, vt_number type, size_t n);
#endif

#endif

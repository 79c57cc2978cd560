/* map_loops.h - the inner loops of the convolutions (cpu/conv*.c) around their products: pixels
 * into a map, squares of it into Winograd's domain and back, finished tiles into y. One table of
 * functions an instruction set, map_loops.c being compiled once for each, as loops.c is.
 *
 * A map is rows of pixels, a pixel its channels, padded with zeros to whole depth (tiles.h) where
 * it is bf16. */
#ifndef VT_KERN_CPU_ISA_MAP_LOOPS_H
#define VT_KERN_CPU_ISA_MAP_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Pixels on their way into a map: normalised channel by channel (or as they are, when factor is
 * NULL), SiLU when `silu`. */
typedef struct vt_map_pixels {
    const float *x;                       /* (count, channels) at x_stride floats */
    const float *center, *factor, *shift; /* (channels): (x - center) factor + shift */
    void *map;                            /* float, or bf16 padded with zeros to map_stride */
    size_t x_stride, map_stride, count, channels;
    bool silu;
} vt_map_pixels;

/* A finished tile of a convolution (tiles.h) on its way out: times scale, plus bias, plus residual.
 * */
typedef struct vt_map_tile {
    const float *tile; /* row r at tile + r * tile_stride */
    float *y; /* row r at y + r * y_stride; 64-byte aligned and in whole lines with `stream` */
    const float *residual;     /* as y, or NULL; may be y */
    const float *scale, *bias; /* (columns), or NULL */
    float *sums;               /* (columns), or NULL: += of what y receives; */
    size_t squares;            /* floats from a sum to that of the squares */
    size_t tile_stride, y_stride;
    int rows, columns;
    bool stream; /* past the caches: y is larger than they are */
} vt_map_tile;

/* Neighbouring squares of 4x4 pixels, two pixels apart, into Winograd's domain: V = B^T d B,
 * position (i, j) of square s at to + (4 i + j) * position + s * pixel. Rows are transformed before
 * columns, in float, each number rounded to bf16 once.
 *
 *     map      p p p p p p ...          B^T d:  row 0 - row 2      (d B: the same on columns)
 *              p p p p p p                      row 1 + row 2
 *              p p p p p p                      row 2 - row 1
 *              p p p p p p                      row 1 - row 3
 *     square 0 |-----|
 *     square 1     |-----|              two columns in common, whose transformed rows are made once
 */
typedef struct vt_map_squares {
    const uint16_t *map;
    size_t line, pixel; /* numbers from a row and from a pixel to the next; pixel = channels */
    uint16_t *to;
    size_t position;
    int count;
} vt_map_squares;

/* Sums of neighbouring squares out of it: the four pixels Y = A^T M A of each, up to 16 columns, as
 * vt_map_tile.
 *
 *     A^T M:  row 0 + row 1 + row 2     upper pixels       (M A: the same on columns, left and right)
 *             row 1 - row 2 - row 3     lower pixels */
typedef struct vt_map_square {
    const float *sums;  /* position (i, j) at sums + i * block + j * 16; 64-byte aligned */
    size_t block, next; /* floats; next: from a square to the one two pixels on */
    int count;          /* squares */
    float *y;           /* of the first */
    const float *residual, *scale, *bias;
    float *totals; /* (16), or NULL: += of what y receives, as in vt_map_tile */
    size_t squares;
    size_t line, pixel; /* floats from a row and from a pixel of y to the next */
    int rows;           /* 1 or 2: y's last row may be missing, */
    int pixels;         /* ... and its last pixel: so many from the first square on */
    int columns;
    bool stream;
} vt_map_square;

typedef struct vt_map_loops {
    void (*to_f32)(const vt_map_pixels *pixels);
    void (*to_bf16)(const vt_map_pixels *pixels);
    void (*squares)(const vt_map_squares *squares);
    void (*squares_out)(const vt_map_square *squares);
    void (*tile_out)(const vt_map_tile *tile);
    void (*end)(void); /* after the last _out of a task */
} vt_map_loops;

extern const vt_map_loops vt_map_loops_baseline;
#if defined(__x86_64__)
extern const vt_map_loops vt_map_loops_avx2;
extern const vt_map_loops vt_map_loops_avx512;
extern const vt_map_loops vt_map_loops_avx512bf16;
#endif

#endif

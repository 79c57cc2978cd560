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
    const void *x; /* (count, channels) at x_stride numbers: float, or bf16 where */
    bool x_bf16;   /* ... a bf16 map is made */
    const float *center, *factor, *shift; /* (channels): (x - center) factor + shift */
    void *map;                            /* float, or bf16 padded with zeros to width */
    size_t x_stride, map_stride, count, channels;
    size_t width; /* bf16: channels of the map, a multiple of 16 */
    bool silu;
} vt_map_pixels;

/* A finished tile of a convolution (tiles.h) on its way out: plus bias, plus residual. */
typedef struct vt_map_tile {
    const float *tile; /* row r at tile + r * tile_stride */
    void *
        y; /* float or bf16, row r at number r * y_stride; 64-byte aligned and in whole lines with `stream` */
    const void *residual; /* as y, or NULL; may be y */
    bool y_bf16, residual_bf16;
    const float *bias; /* (columns), or NULL */
    float *sums;       /* (columns), or NULL: += of what y receives, before it is rounded; */
    size_t squares;    /* floats from a sum to that of the squares */
    size_t tile_stride, y_stride;
    int rows, columns;
    bool stream; /* past the caches: y is larger than they are */
} vt_map_tile;

enum {
    VT_MAP_STRIPS = 8,
    VT_MAP_ROWS = 2,   /* of sums that a piece finishes, */
    VT_MAP_PIXELS = 2, /* ... pixels of a map that it makes, */
    VT_MAP_CHANNELS =
        32 /* ... so many channels of them: as few instructions as pass between two steps */
};

/* Neighbouring pixels that one tile makes. */
typedef struct vt_map_strip {
    size_t a; /* elements from the first strip's place in the map */
    size_t y; /* numbers from y and residual */
    int rows;
} vt_map_strip;

/* What is done a piece at a time beside products: sums that wait are finished, then pixels go into a map. */
typedef struct vt_map_work {
    vt_map_tile out; /* rows of the strip at hand that are left */
    void *y;         /* of all strips */
    const void *residual;
    vt_map_strip strips[VT_MAP_STRIPS];
    int strip, count; /* the next one, all */
    vt_map_pixels in; /* the next pixels, whole ones; count is not read */
    size_t channel;   /* of them, made so far */
    int left;         /* pixels */
    int runs;         /* pieces that are due: product_beside */
} vt_map_work;

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

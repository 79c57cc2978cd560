/* tiles.h - the bf16 products of the cpu backend: one table of functions an instruction set, and the
 * layout of packed numbers that all of them read.
 *
 * A panel holds 16 columns of the result (16 rows of a weight W (n, k), 16 keys of a cache, ...),
 * pairs of depth side by side, as vdpbf16ps and tdpbf16ps take them:
 *
 *     panel[d / 2][column][d % 2],   d = 0 .. depth - 1, depth a multiple of VT_TILE_DEPTH
 *
 *                  column 0    column 1         column 15
 *     d =  0,  1   w0,0 w0,1 | w1,0 w1,1 | ... | w15,0 w15,1     a line of 64 bytes, one AVX-512 register
 *     d =  2,  3   w0,2 w0,3 | w1,2 w1,3 | ... | w15,2 w15,3
 *        ...
 *     d = 30, 31   ...                                           16 lines: one register of AMX, 1 KB
 *     d = 32, 33   ... and so on to the whole depth; then the next panel
 *
 * So a product walks a panel line by line, and a weight panel by panel: memory is one stream from its
 * first byte to its last. A line against a pair of x in all lanes (vdpbf16ps) is 16 columns and two of
 * depth at once. 16 lines are 32 of depth, which is why depth is padded to that: the one tdpbf16ps wants,
 * and no other loop has a remainder.
 *
 * What a matrix lacks to whole panels or whole depth is zero. A convolution's panel is its taps one
 * after another, each padded to whole depth.
 *
 * A tile is a few rows against up to four panels:
 *
 *                      panel 0    panel 1    panel 2    panel 3     b, each `depth` long
 *                    +----------+----------+----------+----------+
 *     a   row 0      | 16 sums  | 16 sums  | 16 sums  | 16 sums  |  a row of out: 64 floats
 *         row 1      |          |          |          |          |
 *         ...        |          |          |          |          |
 *         most_rows  |          |          |          |          |
 *                    +----------+----------+----------+----------+
 *
 * 64 columns hold a whole head of 16, 32 or 64 numbers, so that q and k are normalised while they are
 * here (vt_finish), and 24 rows of them are 6 KB, which are in the first cache when finish reads them.
 * How rows and panels share the registers is each instruction set's own affair (tiles*.c).
 *
 * Products are single-threaded and know no shapes beyond one tile: packed_products.c, square_products.c,
 * conv_packed.c and attention.c cut their work into tiles. A number of the result is summed over taps and depth in
 * one order, whatever rows and columns stand beside it. */
#ifndef VT_KERN_CPU_ISA_TILES_H
#define VT_KERN_CPU_ISA_TILES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "kern/kern.h"

struct vt_map_work;

enum {
    VT_TILE_DEPTH = 32,    /* depth comes in multiples of this */
    VT_PANEL = 16,         /* columns of a panel */
    VT_TILE_PANELS = 4,    /* panels a tile, at most */
    VT_TILE_COLUMNS = 64,  /* VT_PANEL * VT_TILE_PANELS: the stride of a tile's rows */
    VT_TILE_MOST_ROWS = 32 /* of any instruction set */
};

/* out (rows, 16 * panels) = sum over taps and depth of a and b. */
typedef struct vt_tile {
    float *out;        /* row r at out + r * VT_TILE_COLUMNS; 64-byte aligned; overwritten */
    const uint16_t *a; /* bf16; row r at a + r * a_stride, then tap[t] on: depth numbers */
    /* elements, even; multiples of 1024 cost speed: 2 KB apart, all rows lie on two sets of a first
     * cache of 64 sets of lines */
    size_t a_stride;
    const uint16_t *b; /* panel p at b + p * b_stride; 64-byte aligned */
    size_t b_stride;   /* elements */
    const size_t *tap; /* (taps) offsets into a row of a; NULL: one tap at 0 */
    int taps, depth;   /* depth of one tap */
    int rows;          /* 1 .. vt_tiles.most_rows */
    int panels;        /* 1 .. VT_TILE_PANELS */
    /* read by product_beside alone: */
    bool go_on; /* out += the sum */
    size_t
        a_half; /* elements from row 0 to row VT_ROW_TILE, which may lie elsewhere; 0: VT_ROW_TILE * a_stride */
} vt_tile;

/* Squares: where rows are many, those of x lie in tiles too (of the table whose `squares` is there), 16
 * rows by 32 of depth on end, as a register of AMX takes them, so that a load is 16 neighbouring lines and
 * not one line of each of 16 rows:
 *
 *     x          d 0..31   d 32..63              in memory
 *     rows 0-15  tile 0    tile 1    ...         | tile 0: row 0 | row 1 | ... | row 15 | tile 1 | ...   1 KB each
 *     rows 16-31 tile s    tile s+1  ...           s = depth / 32; depth that x lacks is zero, rows are anything
 *
 * and two row tiles meet two panels at a time:
 *
 *                     panel 0   panel 1       each step of 32 of depth: four loads, then four products
 *     row tile 0      16 x 16   16 x 16
 *     row tile 1      16 x 16   16 x 16 */
enum {
    VT_ROW_TILE = 16,                              /* rows of a tile of x */
    VT_TILE_NUMBERS = VT_ROW_TILE * VT_TILE_DEPTH, /* of one: 1 KB */
    VT_SQUARE_ROWS = 2 * VT_ROW_TILE,
    VT_LAID_MOST =
        16384 /* numbers of a row that is made in one piece before it is put into tiles */
};

/* Asks for a line that will be written: where another core has it, it comes as this core's own, once. A plain request would fetch
 * it to be read, and the first store then asks again. Processors without the instruction do nothing. */
static inline void vt_ask_to_write(const void *line) {
#if defined(__x86_64__)
    __asm__ volatile("prefetchw %0" : : "m"(*(const char *)line));
#else
    __builtin_prefetch(line, 1);
#endif
}

/* Where number `column`, a multiple of VT_TILE_DEPTH, of row `row` lies in tiles of `depth` numbers a row. */
static inline size_t vt_tiles_at(size_t depth, int64_t row, int column) {
    return (size_t)(row / VT_ROW_TILE) * VT_ROW_TILE * depth +
           (size_t)(row % VT_ROW_TILE) * VT_TILE_DEPTH + (size_t)column * VT_ROW_TILE;
}

/* Numbers [column, column + width) of row `row` of x, (rows, k), which is in tiles; with a row's last number its depth is
 * filled up with zeros. */
static inline void vt_tiles_put(uint16_t *x, int k, int64_t row, int column, const uint16_t *from,
                                int width) {
    const int depth = (k + VT_TILE_DEPTH - 1) / VT_TILE_DEPTH * VT_TILE_DEPTH;
    const int end = column + width;
    x += (size_t)(row / VT_ROW_TILE) * VT_ROW_TILE * (size_t)depth +
         (size_t)(row % VT_ROW_TILE) * VT_TILE_DEPTH;
    while (column < end) {
        const int at = column % VT_TILE_DEPTH;
        const int count = end - column < VT_TILE_DEPTH - at ? end - column : VT_TILE_DEPTH - at;
        uint16_t *to = x + (size_t)(column - at) * VT_ROW_TILE + at;
        if (count ==
            VT_TILE_DEPTH) /* a length that is known is a load and a store; else gcc has a string instruction */
            memcpy(to, from, VT_TILE_DEPTH * sizeof *x);
        else
            memcpy(to, from, (size_t)count * sizeof *x);
        column += count;
        from += count;
    }
    if (end != k || end == depth) return;
    const int at = end % VT_TILE_DEPTH;
    memset(x + (size_t)(end - at) * VT_ROW_TILE + at, 0, (size_t)(VT_TILE_DEPTH - at) * sizeof *x);
}

/* What a core does between the steps of squares, whose tile instructions leave its vector units idle: a row of earlier
 * sums is finished, and lines that will be read later are asked for to the second cache. */
typedef struct vt_meanwhile {
    void (*run)(void *user); /* does one piece of work; NULL: none */
    void *user;
    int runs;        /* pieces, spread evenly over the steps; what is left on return remains here */
    const char *ask; /* the first line; each step takes its share */
    int lines;       /* lines to ask for */
} vt_meanwhile;

/* out (16 * row_tiles, 16 * panels) = sum over depth of a and b, or, with `go_on`, out += it. */
typedef struct vt_squares {
    float *out;        /* row r at out + r * VT_TILE_COLUMNS; 64-byte aligned */
    const uint16_t *a; /* tiles; 64-byte aligned */
    size_t a_stride;   /* elements from a row tile to the next */
    const uint16_t *b; /* panel p at b + p * b_stride; 64-byte aligned */
    size_t b_stride;   /* elements */
    int steps;         /* of VT_TILE_DEPTH */
    int row_tiles;     /* 1 or 2 */
    int panels;        /* 1 or 2 */
    bool go_on;
    vt_meanwhile *meanwhile;
} vt_squares;

/* What a row of sums is multiplied with and added to; 0 beyond `columns`, and 1 is no scale. */
typedef struct vt_factors {
    float scale[VT_TILE_COLUMNS], bias[VT_TILE_COLUMNS], gamma[VT_TILE_COLUMNS];
} vt_factors;

/* What happens to the sums of a tile before they are stored: y = epilogue(sums scale + bias). */
typedef struct vt_finish {
    const float *sums; /* (rows, columns), rows at VT_TILE_COLUMNS; 64-byte aligned */
    int rows, columns; /* columns 1 .. VT_TILE_COLUMNS */
    vt_epilogue epilogue;
    const float *scale; /* (columns), or NULL */
    const float *bias;  /* (columns), or NULL */
    /* (rows, columns) of y_type; INT8 for QKV alone; LAID: one row, all columns of a tile, STORE or GELU, and the second
     * half of them lies VT_TILE_NUMBERS after the first */
    void *y;
    vt_number y_type;
    size_t y_stride;    /* elements */
    const float *gamma; /* GATE_ADD: (columns) */
    /* made of these by vt_factors_make, for a caller that has a row finished at a time; NULL: made here */
    const vt_factors *factors;
    /* QKV: the columns are whole heads of head_dim (16, 32 or 64) numbers. `unit`: each is divided by
     * max(its L2 norm, 1e-12) and multiplied by head_scale[head] (NULL: 1). INT8: row r's scales, one
     * a head, go to scales + r * scales_stride. */
    int head_dim;
    bool unit;
    const float *head_scale;
    float *scales;
    size_t scales_stride;
} vt_finish;

static inline void vt_factors_make(vt_factors *to, const vt_finish *f) {
    const size_t bytes = (size_t)f->columns * sizeof(float);
    memset(to, 0, sizeof *to);
    for (int c = 0; c < f->columns; ++c) to->scale[c] = 1.0f;
    if (f->scale) memcpy(to->scale, f->scale, bytes);
    if (f->bias) memcpy(to->bias, f->bias, bytes);
    if (f->gamma) memcpy(to->gamma, f->gamma, bytes);
}

typedef struct vt_tiles {
    const char *name; /* "baseline", "avx2", "avx512", "avx512bf16", "amx" */
    int most_rows;    /* rows a tile, at most; the fastest number too */
    /* Products are so fast that transforms into Winograd's domain and back cost more than the 5/9 of them
     * that they save. */
    bool direct_conv;
    /* Around the tiles of one task on one thread (AMX configures its registers). */
    void (*begin)(void);
    void (*end)(void);
    void (*product)(const vt_tile *tile);
    /* The same numbers, with work->runs pieces of a convolution's other work (map_loops.h) spread over the steps, which are done
     * on return; or NULL, both: the vector units are what multiplies. */
    void (*product_beside)(const vt_tile *tile, struct vt_map_work *work);
    void (*map_pieces)(struct vt_map_work *work); /* work->runs of them, alone */
    void (*finish)(const vt_finish *finish);
    /* Where x of many rows pays to be laid in tiles, else NULL, these two: their products, whose numbers are those of
     * `product` to the bit; and one row tile of x from `rows` rows (1 .. 16) of F32 or BF16 at `stride` elements,
     * `length` numbers of each; rows and depth beyond are zero. */
    void (*squares)(const vt_squares *squares);
    void (*lay)(uint16_t *tiles, const void *x, vt_number type, size_t stride, int rows, int length,
                int depth);
    /* One panel of `columns` (1..16) columns: column c's numbers are the floats at from + c * stride,
     * `length` of them; the rest up to depth is zero. */
    void (*pack)(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                 int depth);
    /* The same from numbers that lie the other way: depth d of column c at from[d * stride + c]. */
    void (*pack_across)(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                        int depth);
    void (*unpack_int8)(uint16_t *to, const int8_t *from, size_t n); /* exact */
    void (*to_bf16)(uint16_t *to, const float *from, size_t n);
    void (*from_bf16)(float *to, const uint16_t *from, size_t n);
    /* Multiply-adds in registers alone, as product does them, `rounds` times twelve instructions; gives
     * the flops done. NULL: no faster than float32 (vt_loops.peak). */
    double (*peak)(int64_t rounds);
} vt_tiles;

extern const vt_tiles vt_tiles_baseline;
#if defined(__x86_64__)
extern const vt_tiles vt_tiles_avx2;
extern const vt_tiles vt_tiles_avx512;
extern const vt_tiles vt_tiles_avx512bf16;
/* Its conversions with avx512's products, for processors whose vdpbf16ps is slower than float32's
 * multiply-adds (Intel's: half of their rate). */
extern const vt_tiles vt_tiles_avx512wide;
extern const vt_tiles vt_tiles_amx;
#endif

#if defined(__x86_64__)
/* Of isa/tiles_avx512wide.c. */
void vt_product_avx512wide(const vt_tile *tile);
#endif

#if defined(__x86_64__)
#endif

/* Of isa/finish.c, which is compiled once an instruction set; tables share them. */
#define VT_FINISH(suffix) void vt_finish_##suffix(const vt_finish *finish);
VT_FINISH(baseline)
#if defined(__x86_64__)
VT_FINISH(avx2)
VT_FINISH(avx512)
VT_FINISH(avx512bf16)
/* Of tiles_avx512bf16.c, which the table of AMX shares. */
void vt_pack_avx512bf16(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                        int depth);
void vt_pack_across_avx512bf16(uint16_t *panel, const float *from, size_t stride, int columns,
                               int length, int depth);
void vt_lay_avx512bf16(uint16_t *tiles, const void *x, vt_number type, size_t stride, int rows,
                       int length, int depth);
void vt_unpack_int8_avx512bf16(uint16_t *to, const int8_t *from, size_t n);
void vt_to_bf16_avx512bf16(uint16_t *to, const float *from, size_t n);
void vt_from_bf16_avx512bf16(float *to, const uint16_t *from, size_t n);
#endif

#endif

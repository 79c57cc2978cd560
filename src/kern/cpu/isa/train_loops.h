/* train_loops.h - the inner loops of training with bf16 products: one table of functions an
 * instruction set (train_loops.c is compiled once for each). Single-threaded; they work on one row or
 * one tile.
 *
 * Numbers of type uint16_t are bf16. Rows of widths that are no multiple of 16 are allowed
 * everywhere; nothing beyond a row is read or written unless said so. */
#ifndef VT_KERN_CPU_ISA_TRAIN_LOOPS_H
#define VT_KERN_CPU_ISA_TRAIN_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* out (16 a_panels, 16 b_panels) = or += a^T b. Both hold 16 columns a panel and pairs of depth, as
 * tiles.h's: panel[d / 2][column][d % 2]. So neither is turned around: pairs of rows are interleaved
 * and that is all. A number of the result is one sum over depth in order.
 *
 *     a line of a, columns i          a line of b, columns j, the same two of depth
 *     | a0 a0' | a1 a1' | ...         | b0 b0' | b1 b1' | ... | b15 b15' |
 *
 *     a0 a0' in all lanes   x   the line of b   ->   sums[0][0 .. 15]      out's row 0
 *     a1 a1'                x   the same        ->   sums[1][0 .. 15]      out's row 1
 *      ...                                            16 registers of sums
 *
 * In dw = dy^T x the depth is rows of a batch, so a and b are stretches of dy and x (product_grad.c), or
 * pixels (conv_dw.c). */
typedef struct vt_outer {
    float *out;
    size_t out_stride;
    const uint16_t *a, *b;
    size_t a_stride, b_stride; /* from a panel to the next */
    int a_panels, b_panels;
    int depth; /* even */
    bool accumulate;
} vt_outer;

/* The same where both are rows: out (a_columns, b_columns) = or += a^T b over `rows` rows. */
typedef struct vt_outer_rows {
    float *out;
    size_t out_stride;
    const uint16_t *a, *b;
    size_t a_stride, b_stride; /* from a row to the next */
    int a_columns, b_columns;  /* multiples of 32 */
    int rows;
    bool accumulate;
    float *a_sums;  /* (a_columns) += column sums of a; or NULL */
    uint16_t *room; /* b_columns numbers for each row and up to 31 more; 64-byte aligned */
} vt_outer_rows;

/* sum = x + gamma h; y = LN(sum) (1 + scale) + shift. */
typedef struct vt_residual_row {
    const float *x;
    const uint16_t *h; /* NULL: sum = x */
    const float *gamma;
    float *sum;  /* may be x; NULL without h: not stored */
    uint16_t *y; /* NULL: no norm */
    const float *scale, *shift;
    float eps, mean, rstd; /* the last two are results */
} vt_residual_row;

/* dx += gradient through the norm; then dh = gamma dx. The sums of this row are added to those of the
 * rows before it. */
typedef struct vt_residual_row_dx {
    float *dx;
    const float *x;     /* what was normalised */
    const uint16_t *dy; /* NULL: no norm */
    const float *scale;
    float mean, rstd;
    float *dscale, *dshift; /* += */
    const uint16_t *h;      /* NULL: no gate */
    const float *gamma;
    uint16_t *dh;
    float *dgamma; /* += */
} vt_residual_row_dx;

/* Rows of one head of a q, k or v: out = s u / max(|u|, 1e-12), u = from + bias. */
typedef struct vt_head_rows {
    const uint16_t *from;
    size_t from_stride;
    const float *bias; /* (n), or NULL */
    bool unit;         /* else out = s u */
    float s;
    uint16_t *out; /* rows of `depth` numbers, zero beyond n */
    int rows, n, depth;
} vt_head_rows;

/* Backward of vt_head_rows: dfrom from dout; *dbias += sum over rows; returns sum of dout . u / |u|. */
typedef struct vt_head_rows_dx {
    const uint16_t *from;
    size_t from_stride;
    const float *bias;
    bool unit;
    float s;
    const float *dout; /* rows of dout_stride floats */
    size_t dout_stride;
    uint16_t *dfrom;
    size_t dfrom_stride;
    float *dbias; /* (n) +=, or NULL */
    int rows, n;
} vt_head_rows_dx;

/* A row of scores, in runs of 64 at `run` floats from each other: p = 2^(by score - log). The first
 * `count` count, the others up to `padded` (a multiple of 16) become zero.
 *
 *     key      0 .. 63     64 .. 127    128 ..
 *     tile     rows x 64 | rows x 64  | rows x 64      tiles of scores as products leave them, `run` apart:
 *     row r    64 floats   64 floats    ...            one row of all keys is a piece of each */
typedef struct vt_score_row {
    float *scores;
    const float *dp; /* gradient of p, laid out like scores */
    size_t run;
    int count, padded;
    float by;         /* the scores' factor times log2 e */
    float log;        /* log2 of the sum of 2^(by score) */
    float scale;      /* the scores' factor */
    uint16_t *p, *ds; /* (padded) */
} vt_score_row;

/* What becomes of a tile's sums: y = sums + bias in bf16; with gelu, that of the rounded y besides. With
 * gelu_of instead: y = sums gelu'(gelu_of), gelu = gelu(gelu_of). */
typedef struct vt_train_finish {
    const float *sums; /* (rows, columns), rows 64 floats apart; 64 floats of each may be read */
    const float *bias; /* (columns), or NULL */
    uint16_t *y, *gelu;
    const uint16_t *gelu_of;
    size_t y_stride; /* of y, gelu and gelu_of */
    size_t ahead;    /* from them to the next tile's, which is fetched meanwhile */
    int rows, columns;
} vt_train_finish;

typedef struct vt_train_loops {
    const char *name;
    void (*finish)(const vt_train_finish *args);
    void (*outer)(const vt_outer *args);
    /* where it is faster than interleaving first; else NULL */
    void (*outer_rows)(const vt_outer_rows *args);
    void (*residual)(vt_residual_row *row, int width);
    void (*residual_dx)(const vt_residual_row_dx *row, int width);
    void (*head_rows)(const vt_head_rows *args);
    float (*head_rows_dx)(const vt_head_rows_dx *args);
    /* p and log; returns 1 / (sum of p): p is not normalised here */
    float (*softmax)(vt_score_row *row);
    /* p, normalised, and ds = p (dp - sum p dp) scale */
    void (*softmax_dx)(const vt_score_row *row);
    /* out = from * by + bias, n numbers */
    void (*scale_bf16)(uint16_t *out, const float *from, float by, const float *bias, int n);
    /* act = gelu(pre) */
    void (*gelu)(uint16_t *act, const uint16_t *pre, size_t n);
    /* act likewise, dpre = dact gelu'(pre); dpre may be dact; act NULL: not wanted */
    void (*gelu_dx)(uint16_t *dpre, uint16_t *act, const uint16_t *dact, const uint16_t *pre,
                    size_t n);
    /* sums[width] += rows of bf16, of float32 */
    void (*column_sums_bf16)(float *sums, const uint16_t *x, size_t stride, int rows, int width);
    void (*column_sums_f32)(float *sums, const float *x, size_t stride, int rows, int width);
} vt_train_loops;

extern const vt_train_loops vt_train_loops_baseline;
#if defined(__x86_64__)
extern const vt_train_loops vt_train_loops_avx2;
extern const vt_train_loops vt_train_loops_avx512;
extern const vt_train_loops vt_train_loops_avx512bf16;
extern const vt_train_loops vt_train_loops_avx512wide; /* where bf16 pairs are slow (bf16_pays.c) */
extern const vt_train_loops vt_train_loops_amx;
void vt_outer_amx(const vt_outer *args); /* of outer_amx.c, and */
void vt_outer_rows_amx(const vt_outer_rows *args);
#endif

#endif

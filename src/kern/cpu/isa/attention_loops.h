/* attention_loops.h - the inner loops of attention (cpu/attention*.c) and of what feeds it bf16
 * and int8 (cpu/transformer.c): one table of functions an instruction set, attention_loops.c
 * being compiled once for each, as loops.c is.
 *
 * Products of float32 numbers read a panel layout like tiles.h's without its pairs: a panel
 * holds 16 columns of the result, panel[depth][column]. A number of a result is one sum over
 * depth, first to last, whatever rows and columns stand beside it.
 *
 * A head's keys and values as attention packs them, D = head_dim:
 *
 *     keys: columns are keys, depth is D         values: columns are channels, depth is keys
 *            key 0 1 .. 15 | 16 .. 31 |             channel 0 .. 15     | 16 .. 31    |
 *     d = 0      k k    k  | k      k |          key 0       v       v  | v         v |
 *     d = 1      k k    k  |          |          key 1       v       v  |             |
 *      ...                                        ...
 *     D - 1      panel 0   | panel 1  |          last        panel 0    | panel 1     |
 *
 * (bf16: two d, two keys side by side.) Keys have to be turned around for that, `pack`; values lie so
 * already and are only cut into panels, `pack_across`. Then, for a few rows of q,
 *
 *     scores (rows, 64) = q keys^T   ->   step: p (rows, 64)   ->   sums (rows, D) = keep sums + p values
 *
 * and on to the next 64 keys: there never is a row of all scores. 64 keys are four panels, as much as a
 * tile holds (VT_TILE_COLUMNS), and 12 rows of scores stay in the first cache until they have become
 * probabilities. bf16 products are too fast for that: what stands between them, the maximum, older sums'
 * factor and a call for every 64 keys, weighs more. There `powers` takes all keys at once. Packing is
 * worth its pass because every row of q meets every key: at 256 queries on 680 keys it is 6 to 7 % of the
 * time (docs/PERFORMANCE_APPENDIX.md). */
#ifndef VT_KERN_CPU_ISA_ATTENTION_LOOPS_H
#define VT_KERN_CPU_ISA_ATTENTION_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum {
    VT_ATTENTION_PANEL = 16, /* columns of a panel */
    VT_ATTENTION_KEYS = 64   /* keys a step, the stride of scores and probabilities */
};

/* out (rows, 16 * panels) = a b, plus what was there times keep[row]. */
typedef struct vt_attention_product {
    float *out; /* 64-byte aligned, as its rows */
    size_t out_stride;
    const float *keep; /* (rows), or NULL: out is overwritten, not read */
    const float *a;    /* row r's number d at a[r * a_row + d * a_depth] */
    size_t a_row, a_depth;
    const float *b; /* panel p at b + p * b_panel; 64-byte aligned */
    size_t b_panel;
    int rows, panels, depth;
} vt_attention_product;

/* One step of a running softmax over `columns` more keys:
 *
 *     step       most (whole)    p of this step        what older sums are multiplied with (keep)
 *     keys 0..   m               2^(x - m)
 *     keys 64..  m' >= m         2^(x - m')            2^(m - m'), an exact power of two: 1 where m' = m
 *
 * `rows` rows of VT_ATTENTION_KEYS
 * scores become exp2(score * by - most), zero from `columns` on. `most` is a whole number no
 * smaller than the largest exponent but for rounding, so that what older steps found is
 * corrected by an exact power of two. Scores are finite. */
typedef struct vt_attention_step {
    float *scores; /* (rows, VT_ATTENTION_KEYS); scratch afterwards */
    float *p;      /* (likewise): probabilities; may be scores */
    float by;      /* the scores' factor, times log2 e */
    bool first;    /* nothing has been found yet: most, sum and keep are not read */
    int rows, columns;
    float *most; /* (rows) */
    float *sum;  /* (rows, VT_ATTENTION_PANEL): parts of the sum of probabilities */
    float *keep; /* (rows): out, the factor of older results */
} vt_attention_step;

/* The same of more keys at once, in bf16: scores lie in tiles as products leave them, and what older
 * steps found is the sums of vt_attention_step. Numbers of p from `columns` up to whole VT_TILE_DEPTH
 * are zero. */
typedef struct vt_attention_powers {
    const float *scores; /* key j of row r at scores + j / 64 * run + r * 64 + j % 64 */
    size_t run;          /* floats */
    uint16_t *p;         /* rows p_stride numbers apart */
    size_t p_stride;
    /* (columns), readable to whole VT_ATTENTION_KEYS, or NULL: factors of the scores, and of the
     * probabilities after they were summed */
    const float *k_scale, *v_scale;
    float by; /* above 0 */
    bool first;
    int rows, columns;
    float *most, *sum, *keep; /* as a step's */
} vt_attention_powers;

typedef struct vt_attention_loops {
    /* ---- running softmax ---- */
    void (*product)(const vt_attention_product *args);
    void (*step)(const vt_attention_step *args);
    void (*powers)(const vt_attention_powers *args);
    /* rows of out = keep[row] out + from, `width` numbers (a multiple of 16); keep NULL: out =
     * from */
    void (*gather)(float *out, size_t out_stride, const float *keep, const float *from,
                   size_t from_stride, int rows, int width);
    /* out = from / (sum of sum[0..16)), n numbers, of one row */
    void (*finish)(float *out, const float *from, const float *sum, int n);
    void (*finish_bf16)(uint16_t *out, const float *from, const float *sum, int n);

    /* ---- backward of the softmax: rows of VT_ATTENTION_KEYS numbers ----
     * p *= factor[row], then ds = p (ds - mean[row]) scale */
    void (*slopes)(float *p, float *ds, const float *factor, const float *mean, float scale,
                   int rows, int columns);

    /* ---- packing; rows `stride` numbers apart, `columns` (1..16) of them; the rest zero ---- */
    /* panel[d][c] = from[c * stride + d], d < length */
    void (*pack)(float *panel, const float *from, size_t stride, int columns, int length);
    /* rows[d] of `length` numbers to panels[length / 16][d][..], panels panel_stride apart */
    void (*pack_across)(float *panels, size_t panel_stride, const float *from, size_t stride,
                        int rows, int length);
    /* tiles.h's layout from bf16: panel[d / 2][c][d % 2] = from[c * stride + d], d < length,
     * zero up to depth (even) */
    void (*pack_bf16)(uint16_t *panel, const uint16_t *from, size_t stride, int columns, int length,
                      int depth);
    /* panels[length / 16][d / 2][..][d % 2] = from[d * stride ..], d < rows, zero up to depth
     * (even) */
    void (*pack_across_bf16)(uint16_t *panels, size_t panel_stride, const uint16_t *from,
                             size_t stride, int rows, int length, int depth);

    /* ---- rows of the cache and of the products: (x + bias) by, bias may be NULL ---- */
    void (*to_bf16)(uint16_t *to, const float *x, const float *bias, float by, size_t n);
    /* -127..127 times the scale it returns (largest / 127) */
    float (*to_int8)(int8_t *to, const float *x, const float *bias, float by, size_t n);
    /* one row of y = LN(x) (1 + scale) + shift, rounded to bf16 */
    void (*norm_modulate_bf16)(uint16_t *y, const float *x, const float *scale, const float *shift,
                               int width, float eps, float *mean, float *rstd);
} vt_attention_loops;

extern const vt_attention_loops vt_attention_loops_baseline;
#if defined(__x86_64__)
extern const vt_attention_loops vt_attention_loops_avx2;
extern const vt_attention_loops vt_attention_loops_avx512;
extern const vt_attention_loops vt_attention_loops_avx512bf16;
#endif

#endif

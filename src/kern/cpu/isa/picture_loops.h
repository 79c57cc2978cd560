/* picture_loops.h - the inner loops of the picture operations (cpu/pictures.c): one table of
 * functions an instruction set, picture_loops.c being compiled once for each, as loops.c is.
 *
 * All work on a strip of up to VT_PICTURE_STRIP channels of NHWC rows (pixels), at a stride in
 * floats; what holds for a channel is an array over the strip's channels. Sums run down the rows of
 * one channel, in an order that does not depend on which strip the channel is in. */
#ifndef VT_KERN_CPU_ISA_PICTURE_LOOPS_H
#define VT_KERN_CPU_ISA_PICTURE_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define VT_PICTURE_STRIP 64

/* A strip of a group norm, forward or backward. */
typedef struct vt_norm_strip {
    const float *x, *dy; /* rows of `width` floats; dy in backward */
    float *out;          /* y or dx */
    size_t stride, rows, width;
    bool silu, accumulate;
    float mean[VT_PICTURE_STRIP], rstd[VT_PICTURE_STRIP]; /* of the channel's group */
    float gamma[VT_PICTURE_STRIP], beta[VT_PICTURE_STRIP];
    float mean_d[VT_PICTURE_STRIP],
        mean_dn[VT_PICTURE_STRIP]; /* means of d and d n over the channel's group */
} vt_norm_strip;

typedef struct vt_picture_loops {
    /* sums[c] = sum over rows of x; squares[c] = sum over rows of (x - mean)^2 */
    void (*sums)(const vt_norm_strip *strip, double *sums);
    void (*squares)(const vt_norm_strip *strip, double *squares);
    /* out = (x - mean) rstd gamma + beta, then SiLU when `silu` */
    void (*normalise)(const vt_norm_strip *strip);
    /* With n = (x - mean) rstd and du = dy SiLU'(n gamma + beta): dbeta = sum of du, dgamma = sum
     * of du n */
    void (*gradient_sums)(const vt_norm_strip *strip, double *dbeta, double *dgamma);
    /* out = rstd (du gamma - mean_d - n mean_dn); += when accumulate */
    void (*gradient)(const vt_norm_strip *strip);

    /* y += a x over n floats */
    void (*add_scaled)(float *y, float a, const float *x, size_t n);
    /* The first i with the smallest norms[i] - 2 dots[i]; 0 where none compares. */
    int32_t (*nearest)(const float *norms, const float *dots, size_t n);
} vt_picture_loops;

extern const vt_picture_loops vt_picture_loops_baseline;
#if defined(__x86_64__)
extern const vt_picture_loops vt_picture_loops_avx2;
extern const vt_picture_loops vt_picture_loops_avx512;
#endif

#endif

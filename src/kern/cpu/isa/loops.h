/* loops.h - the inner loops of the cpu backend: one table of functions an instruction set (loops.c
 * is compiled once for each). They are single-threaded, work on one row or one run of floats, and
 * know no shapes. */
#ifndef VT_KERN_CPU_ISA_LOOPS_H
#define VT_KERN_CPU_ISA_LOOPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Constants of one AdamW step, corrections folded in. */
typedef struct vt_loops_adamw {
    float keep; /* 1 - lr * weight_decay */
    float grad_scale;
    float beta1, beta2;
    float rest1, rest2; /* 1 - beta1, 1 - beta2, rounded once */
    float step_size;    /* lr / (1 - beta1^t) */
    float root_scale;   /* 1 / sqrt(1 - beta2^t) */
    float eps;
} vt_loops_adamw;

/* One row of logits after its maximum is known. */
typedef struct vt_loops_row {
    float max;
    float sum_exp;   /* sum of exp(x - max) */
    float sum_shift; /* sum of (x - max) */
    bool hit;        /* the target is the first of the largest */
} vt_loops_row;

/* One row of logits x beside its teacher's t: dx = a exp(x - x_max) + b - c p with
 * p = exp(t - t_max) t_by. */
typedef struct vt_loops_teach {
    float *dx; /* may be x; NULL: none */
    const float *x, *t;
    float x_max, t_max, t_by, a, b, c;
} vt_loops_teach;

/* Backward of one row of y = xhat (1 + scale) + shift. */
typedef struct vt_loops_norm_dx {
    float *dx; /* += */
    const float *x, *dy, *scale;
    float mean, rstd;
} vt_loops_norm_dx;

/* y (rows, columns) = x (rows, k) W^T + bias, W (columns, k); x and W contiguous, y's rows at y_stride
 * floats. */
typedef struct vt_loops_dots {
    float *y;
    size_t y_stride;
    const float *x, *w, *bias; /* bias: (columns) or NULL */
    int64_t rows, columns, k;
} vt_loops_dots;

typedef struct vt_loops {
    const char *name;

    /* elementwise: a number's result does not depend on where in the run it stands */
    void (*gelu)(float *y, const float *x, size_t n);
    void (*gelu_dx)(float *dx, const float *dy, const float *x, size_t n);
    void (*silu)(float *y, const float *x, size_t n);
    void (*silu_dx)(float *dx, const float *dy, const float *x, size_t n);
    void (*axpby)(float *y, float a, const float *x, float b, size_t n);
    void (*scaled_difference)(float *y, float a, const float *p, const float *q, size_t n);
    void (*clamp)(float *y, const float *x, float low, float high, size_t n);
    void (*fill)(float *y, float value, size_t n);
    void (*sum)(float *y, const float *a, const float *b, size_t n); /* y = a + b */
    void (*add)(float *y, const float *x, size_t n);                 /* y += x */
    void (*add_scaled)(float *y, const float *x, const float *c,
                       size_t n);                               /* y += c x, each by each */
    void (*scale)(float *y, const float *x, float a, size_t n); /* y = a x; may alias */
    void (*adamw)(float *value, float *m, float *v, const float *grad, size_t n,
                  const vt_loops_adamw *c);

    /* multiply-adds in registers alone, `rounds` times twelve vectors; gives the flops done */
    double (*peak)(int64_t rounds);

    /* few rows against many columns, W streamed once: every number is summed in an order that k alone
     * decides, whatever rows and columns stand beside it */
    void (*dots)(const vt_loops_dots *args);

    /* sums over one run, vector lanes added at its end */
    double (*sum_squares)(const float *x, size_t n);
    /* Reads `words` numbers, a multiple of 64, as fast as memory or a cache gives them; their sum, which nobody needs. */
    uint32_t (*read_all)(const uint32_t *x, size_t words);
    double (*sum_squared_difference)(const float *p, const float *q, size_t n);
    float (*dot)(const float *p, const float *q, size_t n);

    /* columns: rows of `width` floats at `stride`, sums[width] += down the rows */
    void (*column_sums)(double *sums, const float *x, size_t stride, int rows, int width);

    /* one row */
    void (*norm_modulate)(float *y, const float *x, const float *scale, const float *shift,
                          int width, float eps, float *mean, float *rstd);
    void (*norm_modulate_dx)(const vt_loops_norm_dx *row, int width);
    /* Backward of y = s u / max(|u|, 1e-12), u = x + bias (bias NULL: zero): writes du, returns dy
     * . u / |u|. */
    float (*unit_dx)(float *du, const float *dy, const float *x, const float *bias, float s,
                     size_t n);
    /* Strip of a column block over rows: dscale += sum dy xhat, dshift += sum dy. */
    void (*norm_columns)(float *dscale, float *dshift, const float *x, const float *dy,
                         size_t stride, const float *mean, const float *rstd, int rows, int width);
    /* dh = gamma dx, dgamma += sum over rows of dx h, on a column block. */
    void (*gate_columns)(float *dh, float *dgamma, const float *dx, const float *h,
                         const float *gamma, size_t stride, int rows, int width);
    /* x = exp(x - max x), in place; returns the sum. */
    float (*softmax)(float *x, int n);
    /* ds = p (dp - d) scale; may alias dp. */
    void (*softmax_dx)(float *ds, const float *p, const float *dp, float d, float scale, int n);
    void (*logits)(const float *x, int n, int target, vt_loops_row *out);
    /* dx = a exp(x - max) + b; may alias x. */
    void (*logits_dx)(float *dx, const float *x, float max, float a, float b, int n);
    /* Returns sum p ((t - t_max) - (x - x_max)). */
    float (*teach)(const vt_loops_teach *row, int n);
} vt_loops;

extern const vt_loops vt_loops_baseline;
#if defined(__x86_64__)
extern const vt_loops vt_loops_avx2;
extern const vt_loops vt_loops_avx512;
#endif

#endif

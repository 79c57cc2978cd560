/* kernel_cases.h - which kernels are timed by themselves, at which sizes: set up on a backend, run once and again, and the least that
 * each could take. Private to kernels.c and kernel_cases.c. */
#ifndef VT_MEASURE_KERNEL_CASES_H
#define VT_MEASURE_KERNEL_CASES_H

#include "kern/kern.h"

/* Weights of one shape in turn, so that a call finds its own in memory and not in a cache: as many as are so many times the last
 * cache. */
#define VT_BENCH_CACHES 4
enum { VT_BENCH_COPIES = 256, VT_BENCH_BUFFERS = 16, VT_BENCH_STREAMS = 20 };

/* One kernel at one size, set up on one backend. */
typedef struct bench_case {
    vt_kern *kern;
    vt_weight *weights[VT_BENCH_COPIES];
    void *buffers[VT_BENCH_BUFFERS];
    int buffer_count, weight_count, turn;
    int repeat;  /* calls that will be timed */
    bool failed; /* memory was short */
    union {
        vt_product product;
        vt_attention attention;
        vt_conv conv;
        vt_norm_modulate norm;
        struct {
            float *y;
            size_t n;
        } run;
        vt_cross_entropy loss;
        vt_sample sample;
    } as;
    void (*ready)(struct bench_case *c); /* before every call, not timed; NULL: nothing */
    vt_sample_part part;                 /* of sample */
    const float *logits;                 /* which it overwrites */
    vt_conv_norm conv_norm;
    float *gradient; /* of a convolution's kernel */
    int ends[2];
    struct bench_step { /* of streams that stand at different scales */
        int begin[VT_BENCH_STREAMS + 1];
        vt_stream_rows kv[VT_BENCH_STREAMS];
        const float *mod[VT_BENCH_STREAMS];
        vt_ragged rows;
    } step;
} bench_case;

typedef struct bench_kernel {
    const char *name;
    vt_number number; /* of weights, or of keys and values */
    void (*set_up)(bench_case *c, const struct bench_kernel *k);
    void (*run)(bench_case *c);
    int size[6]; /* what set_up makes of it */
} bench_kernel;

/* The kernels, each at its sizes. */
extern const bench_kernel vt_bench_cases[];
extern const int vt_bench_case_count;
/* Products of a layer of VAR-d16 and of d30, i from 0: false behind the last. */
bool vt_bench_product(int i, bench_kernel *out);

void vt_bench_case_close(bench_case *c);
/* "18 rows, 3072 x 1024" */
void vt_bench_describe(const bench_kernel *k, char *out, size_t size);

/* What the machine could do at most. */
typedef struct vt_bench_peaks {
    double flops[4]; /* by vt_number */
    double stream;   /* bytes a second from memory */
} vt_bench_peaks;
/* The larger of arithmetic and bytes, in milliseconds. */
double vt_bench_floor_ms(const bench_kernel *k, vt_kern *kern, const vt_bench_peaks *most);

#endif

/* attention.h - what the files of the cpu backend's attention share, and its loops for
 * transformer.c. */
#ifndef VT_KERN_CPU_ATTENTION_H
#define VT_KERN_CPU_ATTENTION_H

#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/attention_loops.h"

#include <string.h>

static inline const vt_attention_loops *vt_cpu_attention_loops(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->attention_loops;
}

/* Workspaces may begin anywhere; ours begin on a cache line. */
#define VT_ATTENTION_ALIGN 16 /* floats */

static inline float *vt_attention_align(void *workspace) {
    uintptr_t line = VT_ATTENTION_ALIGN * sizeof(float), past = (uintptr_t)workspace % line;
    return (float *)(void *)((char *)workspace + (past ? line - past : 0));
}

/* A slot's next part begins here; parts are whole cache lines. */
static inline size_t vt_attention_take(size_t *total, size_t floats) {
    size_t at = *total;
    *total += (floats + VT_ATTENTION_ALIGN - 1) / VT_ATTENTION_ALIGN * VT_ATTENTION_ALIGN;
    return at;
}

static inline int vt_round_up(int n, int unit) {
    return (n + unit - 1) / unit * unit;
}

static inline int vt_least(int a, int b) {
    return a < b ? a : b;
}

/* Rows are short: whole panels go without a call for each. */
static inline void vt_attention_copy(const vt_attention_loops *loops, float *to, size_t to_stride,
                                     const float *from, size_t from_stride, int rows, int width) {
    if (width % VT_ATTENTION_PANEL == 0) {
        loops->gather(to, to_stride, NULL, from, from_stride, rows, width);
        return;
    }
    for (int r = 0; r < rows; ++r, to += to_stride, from += from_stride)
        memcpy(to, from, (size_t)width * sizeof *to);
}

/* The most keys that a segment sees. */
static inline int vt_attention_keys(const vt_attention *a) {
    int most = 0;
    for (int i = 0; i < a->segments; ++i) most = a->k_end[i] > most ? a->k_end[i] : most;
    return most;
}

void vt_cpu_fill_attention_grad(vt_kern *kern);

#endif

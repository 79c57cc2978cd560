/* attention.h - what the files of the cpu backend's attention share, and its loops for transformer.c. */
#ifndef VT_KERN_CPU_ATTENTION_H
#define VT_KERN_CPU_ATTENTION_H

#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/attention_loops.h"

static inline const vt_attention_loops *vt_cpu_attention_loops(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->attention_loops;
}

/* Workspaces are handed in as floats; ours begin on a cache line. */
#define VT_ATTENTION_ALIGN 16 /* floats */

static inline float *vt_attention_align(float *workspace) {
    uintptr_t line = VT_ATTENTION_ALIGN * sizeof(float), past = (uintptr_t)workspace % line;
    return workspace + (past ? (line - past) / sizeof(float) : 0);
}

void vt_cpu_fill_attention_grad(vt_kern *kern);

#endif

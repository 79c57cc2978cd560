/* training.h - what the files of training with bf16 products share: product_grad.c, residual.c,
 * attend.c. */
#ifndef VT_KERN_CPU_TRAINING_H
#define VT_KERN_CPU_TRAINING_H

#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/train_loops.h"

enum { VT_CPU_LINE = 64 };

static inline const vt_train_loops *vt_cpu_train_loops(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->train_loops;
}

static inline size_t vt_cpu_whole_lines(size_t bytes) {
    return (bytes + VT_CPU_LINE - 1) / VT_CPU_LINE * VT_CPU_LINE;
}

/* The first whole line in a workspace, which has room for one line more. */
static inline char *vt_cpu_line_of(void *workspace) {
    char *at = workspace;
    size_t past = (uintptr_t)at % VT_CPU_LINE;
    return at + (past ? VT_CPU_LINE - past : 0);
}

/* train_products.c: rows of bf16 to rows of bf16. Whether they take a product depends on types and on
 * the weight, never on the rows. Called by weights.c and product_grad.c. */
bool vt_cpu_rows_product_takes(const vt_product *args);
bool vt_cpu_rows_product_takes_dx(const vt_product_grad *args);
void vt_cpu_rows_product(vt_kern *kern, const vt_product *args);
void vt_cpu_rows_product_dx(vt_kern *kern, const vt_product_grad *args);

void vt_cpu_fill_product_grad(vt_kern *kern);
void vt_cpu_fill_residual(vt_kern *kern);
void vt_cpu_fill_attend(vt_kern *kern);

/* weight->turned: opened and packed, packed again, closed. Called by weights.c. */
variant_status vt_cpu_turned_open(vt_kern *kern, vt_weight *weight, variant_error *err);
void vt_cpu_turned_refresh(vt_kern *kern, vt_weight *weight);
void vt_cpu_turned_close(vt_weight *weight);

#endif

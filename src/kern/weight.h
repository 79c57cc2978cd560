/* weight.h - what the backends on the host share about weights and convolutions. What a vt_weight is inside
 * belongs to its backend: kern/ref/weight.h, kern/cpu/weight.h. */
#ifndef VT_KERN_WEIGHT_H
#define VT_KERN_WEIGHT_H

#include "core/arena.h"
#include "kern/kern.h"

/* Where the numbers of a packed weight would be that has sizes alone (spec.sizes_only): not NULL, which says F32. */
#define VT_NO_NUMBERS ((void *)(uintptr_t)VT_ALIGN)

/* Columns of a convolution's kernel, and floats from a pixel of its result to the next. */
static inline int vt_conv_columns(const vt_conv *a) {
    return a->kernel_w ? a->kernel_w : a->kernel;
}
static inline size_t vt_conv_stride(const vt_conv *a) {
    return (size_t)(a->y_stride ? a->y_stride : a->out_c);
}

/* E_ARGUMENT where the spec is not a matrix, E_UNSUPPORTED for INT8 taps; shared by the backends'
 * weight_open. */
variant_status vt_weight_check(const vt_weight_spec *spec, variant_error *err);
/* product_input of a backend that has no order of its own: float32, or bf16 where the weight is packed. */
vt_product_input vt_weight_input(const vt_weight_spec *spec, int64_t rows);
/* Rows [first, first + count), from spec.rows or spec.values. */
void vt_weight_read(const vt_weight_spec *spec, int first, int count, float *out);

#endif

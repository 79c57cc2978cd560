/* weight.h - what a vt_weight is inside kern/, both backends.
 *
 * float32 products read the caller's matrix in place, so preparing such a weight costs nothing and
 * a mapped file serves as weights without a copy. Other types are packed copies: ref keeps rounded
 * floats in the caller's order, cpu keeps panels (kern/cpu/isa/tiles.h, tiles8.h). */
#ifndef VT_KERN_WEIGHT_H
#define VT_KERN_WEIGHT_H

#include "core/arena.h"
#include "kern/kern.h"

struct vt_weight {
    vt_weight_spec spec; /* taps at least 1 */
    const float *w;      /* F32: spec.values, (n, k); ref's packed ones: `numbers`; else NULL */
    int n, k;
    /* owned, of types other than F32; with spec.sizes_only `numbers` is VT_NO_NUMBERS, and no scale */
    void *numbers;
    float *scale;             /* INT8: (n, rounded up to whole panels), else NULL */
    size_t bytes;             /* of the two */
    int depth;                /* cpu: k / taps rounded up to VT_TILE_DEPTH (INT8: VT_TILE8_DEPTH) */
    struct vt_weight *turned; /* cpu, owned: (k, n), for product_dx; NULL unless spec.gradients */
};

/* Where the numbers of a weight would be that has sizes alone: not NULL, which says F32. */
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
/* Rows [first, first + count), from spec.rows or spec.values. */
void vt_weight_read(const vt_weight_spec *spec, int first, int count, float *out);

#endif

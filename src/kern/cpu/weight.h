/* weight.h - a weight of the cpu backend. float32 is the caller's matrix, read in place, so that preparing it
 * costs nothing and a mapped file serves without a copy; other types are packed panels (isa/tiles.h,
 * isa/tiles8.h). Made and filled by weights.c. */
#ifndef VT_KERN_CPU_WEIGHT_H
#define VT_KERN_CPU_WEIGHT_H

#include "kern/panels.h"
#include "kern/weight.h"

struct vt_weight {
    vt_weight_spec spec; /* taps and stride at least 1 */
    const float *w;      /* F32: spec.values, (n, k); else NULL */
    int n, k;
    bool given; /* numbers and scale are whoever's who packed them */
    /* owned unless given, of types other than F32; with spec.sizes_only `numbers` is VT_NO_NUMBERS, and no scale */
    void *numbers;
    float *scale;      /* INT8, INT4: (n, rounded up to whole panels), else NULL */
    size_t bytes;      /* of the two, and of `turned` */
    int depth;         /* k / taps rounded up to VT_TILE_DEPTH (INT8, INT4: VT_TILE8_DEPTH) */
    vt_weight *turned; /* owned: (k, n), for product_dx and conv_dx; NULL unless spec.gradients */
};

/* Of packed numbers: bytes of a panel, which is 16 rows over their whole depth. */
static inline size_t vt_cpu_panel_bytes(const vt_weight *w) {
    if (w->spec.type == VT_NUMBER_INT4)
        return (size_t)w->depth / VT_PANELS_DEPTH8 * VT_PANELS_UNIT4;
    return (size_t)w->depth * (size_t)w->spec.taps * VT_PANELS_ROWS * vt_number_size(w->spec.type);
}

#endif

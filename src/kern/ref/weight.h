/* weight.h - a weight of the reference backend: floats in the caller's order, rounded to what the type can
 * hold. float32 is the caller's matrix, read in place. */
#ifndef VT_KERN_REF_WEIGHT_H
#define VT_KERN_REF_WEIGHT_H

#include "kern/weight.h"

struct vt_weight {
    vt_weight_spec spec; /* taps at least 1 */
    const float *w;      /* (n, k): spec.values, or `numbers` */
    int n, k;
    /* owned, of types other than F32; with spec.sizes_only `numbers` is VT_NO_NUMBERS, and no scale */
    float *numbers;
    float *scale;    /* INT8, INT4: (n), else NULL */
    uint8_t *record; /* INT4: room for one (kern/int4.h), else NULL */
    size_t bytes;    /* of the numbers */
};

#endif

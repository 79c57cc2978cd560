/* weight.h - what a vt_weight is inside kern/ (both backends): the borrowed numbers and their
 * shape.
 *
 * float32 products read the caller's matrix in place, so preparing a weight costs nothing and a
 * mapped file serves as weights without a copy. */
#ifndef VT_KERN_WEIGHT_H
#define VT_KERN_WEIGHT_H

struct vt_weight {
    const float *w; /* (n, k), borrowed */
    int n, k;
};

#endif

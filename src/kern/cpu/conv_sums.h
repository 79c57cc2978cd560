/* conv_sums.h - sums of a convolution's results and of their squares (vt_conv.sums), taken where they
 * leave the registers, so that the norm behind needs no pass over the map for them.
 *
 * Made by conv_packed.c and conv_winograd.c. Each piece of a picture, cut by sizes alone, has sums of its
 * own; they are added up in double, in the order of pieces, when all are there. */
#ifndef VT_KERN_CPU_CONV_SUMS_H
#define VT_KERN_CPU_CONV_SUMS_H

#include "kern/kern.h"

typedef struct vt_conv_sums {
    const vt_conv *args;
    int64_t pieces; /* of a picture */
    size_t columns; /* out_c in whole panels */
    float *parts;   /* (pictures, pieces, 2, columns), in the workspace; NULL: nobody asks */
} vt_conv_sums;

/* Bytes for `pictures` pictures at a time; 0 where nobody asks. */
size_t vt_conv_sums_bytes(const vt_conv *args, int64_t pieces, size_t pictures);
void vt_conv_sums_place(vt_conv_sums *sums, const vt_conv *args, int64_t pieces, char *at);
/* The sums of `count` columns from `column` on of a piece, now zero; those of squares lie `columns` floats on.
 * NULL where nobody asks. */
float *vt_conv_sums_begin(const vt_conv_sums *sums, size_t picture, int64_t piece, size_t column,
                          size_t count);
/* Adds up those of the round's `count` pictures, which are args' from `first` on. */
void vt_conv_sums_finish(const vt_conv_sums *sums, const vt_kern *kern, size_t first, size_t count,
                         bool worth);

#endif

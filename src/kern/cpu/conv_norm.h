/* conv_norm.h - the group norm that a convolution applies to what it reads: its statistics, and
 * what they make of each channel (x - center) factor + beta.
 *
 * Used by conv_map.c and conv.c. Where the convolution that made the picture left its sums
 * (conv_sums.h) they are used. Else it is read once: its pixels are cut into chunks that stay in a
 * cache while their sums and then their squares are taken; the chunks' results are put together in
 * double and in order. */
#ifndef VT_KERN_CPU_CONV_NORM_H
#define VT_KERN_CPU_CONV_NORM_H

#include "kern/kern.h"

/* Of one channel group of one chunk: the sum, and the squared distances from the chunk's mean. */
typedef struct vt_norm_part {
    double sum, squares;
} vt_norm_part;

typedef struct vt_norm_plan {
    const vt_conv_norm *norm;
    size_t pixels, channels, channel_groups; /* of a picture of x */
    int64_t chunks;                          /* of a picture */
    /* places in the workspace */
    vt_norm_part *parts;    /* (pictures, chunks, channel_groups) */
    double *sums;           /* (threads, channels) */
    float *center, *factor; /* (pictures, channels) */
} vt_norm_plan;

/* Bytes for `pictures` pictures at a time. */
size_t vt_norm_plan_bytes(const vt_kern *kern, const vt_conv *args, size_t pictures);
void vt_norm_plan_place(vt_norm_plan *plan, const vt_kern *kern, const vt_conv *args,
                        size_t pictures, char *workspace);
/* Fills center and factor for pictures [first, first + count) of args->x; on one thread unless `worth`
 * more. */
void vt_norm_plan_run(const vt_norm_plan *plan, const vt_kern *kern, const vt_conv *args,
                      size_t first, size_t count, bool worth);

#endif

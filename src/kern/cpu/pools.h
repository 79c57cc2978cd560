/* pools.h - pooling and bilinear resizing of the cpu backend; filled into the table by pictures.c. */
#ifndef VT_KERN_CPU_POOLS_H
#define VT_KERN_CPU_POOLS_H

#include "kern/kern.h"

void vt_cpu_pool(vt_kern *kern, const vt_pooling *args);
void vt_cpu_resize_bilinear(vt_kern *kern, float *y, const float *x, int groups, int in_h, int in_w,
                            int out_h, int out_w, int c);

#endif

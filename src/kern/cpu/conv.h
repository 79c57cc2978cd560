/* conv.h - the convolutions of the cpu backend (conv.c), for its table (pictures.c). */
#ifndef VT_KERN_CPU_CONV_H
#define VT_KERN_CPU_CONV_H

#include "kern/kern.h"

size_t vt_cpu_conv_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv(vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_dx(vt_kern *kern, const vt_conv *args, const float *dy, float *dx,
                    bool accumulate);
void vt_cpu_conv_dw(vt_kern *kern, const vt_conv *args, const float *dy, float *dw, float *db);

#endif

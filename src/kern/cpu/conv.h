/* conv.h - the convolutions of the cpu backend, for its table (pictures.c): float32 and all
 * gradients in conv.c, bf16 and int8 weights in conv_packed.c. */
#ifndef VT_KERN_CPU_CONV_H
#define VT_KERN_CPU_CONV_H

#include "kern/kern.h"

size_t vt_cpu_conv_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv(vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_dx(vt_kern *kern, const vt_conv *args, const float *dy, float *dx,
                    bool accumulate);
void vt_cpu_conv_dw(vt_kern *kern, const vt_conv *args, const float *dy, float *dw, float *db);

/* With packed weights; workspace in floats too. */
size_t vt_cpu_conv_packed_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_packed(vt_kern *kern, const vt_conv *args);

/* Bytes in whole cache lines. */
static inline size_t vt_conv_lines(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

#endif

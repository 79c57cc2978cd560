/* conv.h - the convolutions of the cpu backend, for its table (pictures.c): float32 in conv.c, bf16
 * weights in conv_packed.c (forward and dx), conv_dw.c, conv_narrow.c and conv_winograd.c. */
#ifndef VT_KERN_CPU_CONV_H
#define VT_KERN_CPU_CONV_H

#include "kern/kern.h"

#include <stdint.h>

size_t vt_cpu_conv_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv(vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_dx(vt_kern *kern, const vt_conv *args, const float *dy, float *dx,
                    bool accumulate);
void vt_cpu_conv_dw(vt_kern *kern, const vt_conv *args, const float *dy, float *dw, float *db);

/* With packed weights. Winograd's are 3x3 ones of 16 taps. */
size_t vt_cpu_conv_packed_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_packed(vt_kern *kern, const vt_conv *args);
/* Backward with packed weights opened with `gradients`; vt_cpu_conv_packed_workspace is enough. */
void vt_cpu_conv_packed_dx(vt_kern *kern, const vt_conv *args, const float *dy, float *dx,
                           bool accumulate);
size_t vt_cpu_conv_dw_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_packed_dw(vt_kern *kern, const vt_conv *args, const float *dy, float *dw,
                           float *db);
/* 3x3 of stride 1, nine taps, to three channels at most: conv_narrow.c. */
bool vt_cpu_conv_is_narrow(const vt_conv *args);
size_t vt_cpu_conv_narrow_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_narrow(vt_kern *kern, const vt_conv *args);
size_t vt_cpu_conv_winograd_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_winograd(vt_kern *kern, const vt_conv *args);

/* The address of number `count` of a map of this type. */
static inline void *vt_conv_numbers(const void *map, vt_number type, size_t count) {
    return (char *)(uintptr_t)map +
           count * (type == VT_NUMBER_BF16 ? sizeof(uint16_t) : sizeof(float));
}

/* Is y written past the caches? From 8 MB a picture on, where that is whole lines of the columns that are written at a time. */
static inline bool vt_conv_streams(const vt_conv *args) {
    const size_t numbers = (size_t)args->out_h * (size_t)args->out_w * (size_t)args->out_c;
    const bool bf16 = args->y_type == VT_NUMBER_BF16;
    return numbers >= (size_t)1 << (bf16 ? 22 : 21) && args->out_c % (bf16 ? 32 : 16) == 0 &&
           (uintptr_t)args->y % 64 == 0;
}

/* Bytes in whole cache lines. */
static inline size_t vt_conv_lines(size_t bytes) {
    return (bytes + 63) / 64 * 64;
}

#endif

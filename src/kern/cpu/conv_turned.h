/* conv_turned.h - a convolution's kernel as the gradient of its input reads it.
 *
 * Input pixel i belongs to the outputs o and taps k with i = stride o + k - pad. So the residue r = (i +
 * pad) % stride decides which taps it meets: k = r, r + stride, ..., and with i + pad = stride j + r
 * their outputs are o = j, j - 1, .... The pixels of one residue in y and x are a phase, a convolution of
 * dy with those taps alone, input and output channels exchanged.
 *
 * vt_weight.turned holds the phases one after another (residue of y major), each as panels of 16 input
 * channels, a panel its taps (ty major, tap t being k = r + t stride), a tap its output channels padded to
 * whole depth. Used by conv_packed.c (which computes dx) and product_grad.c (which packs). */
#ifndef VT_KERN_CPU_CONV_TURNED_H
#define VT_KERN_CPU_CONV_TURNED_H

#include "kern/cpu/cpu.h"

enum { VT_TURNED_STRIDE = 2 }; /* the largest stride whose gradients are packed */

/* One residue along one axis. */
typedef struct vt_turned_line {
    int taps;
    int first, pixels; /* the input pixels: first, first + stride, ... */
    int source;        /* j of the first */
} vt_turned_line;

static inline vt_turned_line vt_turned_line_of(int kernel, int stride, int pad, int pixels,
                                               int residue) {
    vt_turned_line line = {.taps = kernel > residue ? (kernel - residue + stride - 1) / stride : 0};
    line.source = (pad - residue + stride - 1) / stride;
    line.first = line.source * stride + residue - pad;
    line.pixels = pixels > line.first ? (pixels - line.first + stride - 1) / stride : 0;
    return line;
}

/* Panel `panel` (16 input channels) of every phase, from weight->spec.values. */
void vt_cpu_conv_turned_panel(const vt_tiles *tiles, const vt_weight *weight, int64_t panel);

#endif

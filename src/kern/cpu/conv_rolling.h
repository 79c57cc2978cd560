/* conv_rolling.h - convolutions of large maps with packed weights whose map is made a line at a time: conv_rolling.c. For
 * conv.c. */
#ifndef VT_KERN_CPU_CONV_ROLLING_H
#define VT_KERN_CPU_CONV_ROLLING_H

#include "kern/kern.h"

/* By sizes alone. */
bool vt_cpu_conv_is_rolling(const vt_kern *kern, const vt_conv *args);
size_t vt_cpu_conv_rolling_workspace(const vt_kern *kern, const vt_conv *args);
void vt_cpu_conv_rolling(vt_kern *kern, const vt_conv *args);

#endif

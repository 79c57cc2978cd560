/* packed_products.h - products with bf16 and int8 weights; called by weights.c. */
#ifndef VT_KERN_CPU_PACKED_PRODUCTS_H
#define VT_KERN_CPU_PACKED_PRODUCTS_H

#include "kern/kern.h"

size_t vt_cpu_packed_workspace(const vt_kern *kern, const vt_product *args); /* bytes */
void vt_cpu_packed_product(vt_kern *kern, const vt_product *args);

#endif

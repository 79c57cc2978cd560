/* square_products.h - products of many rows in squares of tiles, with weights in bf16, or in int8 where a row of x has one scale; called by weights.c. */
#ifndef VT_KERN_CPU_SQUARE_PRODUCTS_H
#define VT_KERN_CPU_SQUARE_PRODUCTS_H

#include "kern/kern.h"

/* Of a packed weight: does this product go through squares? */
bool vt_cpu_square_product_takes(const vt_kern *kern, const vt_product *args);
/* product_input of such a weight: LAID, tiles of x (isa/tiles.h), where its product goes through squares. */
vt_product_input vt_cpu_square_input(const vt_kern *kern, const vt_weight *weight, int64_t rows);
size_t vt_cpu_square_workspace(const vt_kern *kern, const vt_product *args); /* bytes */
void vt_cpu_square_product(vt_kern *kern, const vt_product *args);

#endif

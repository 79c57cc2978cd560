/* ref.h - the parts of the reference backend; each fills its own entries of the table (called by
 * ref.c). */
#ifndef VT_KERN_REF_REF_H
#define VT_KERN_REF_REF_H

#include "kern/kern.h"

void vt_ref_fill_memory(vt_kern *kern);
void vt_ref_fill_products(vt_kern *kern);
void vt_ref_fill_elementwise(vt_kern *kern);
void vt_ref_fill_rows(vt_kern *kern);
void vt_ref_fill_transformer(vt_kern *kern);
void vt_ref_fill_sample(vt_kern *kern);
void vt_ref_fill_pictures(vt_kern *kern);
void vt_ref_fill_pools(vt_kern *kern); /* called by the last */
void vt_ref_fill_training(vt_kern *kern);

/* The mixture of vt_sample_part for one row of filtered logits; sample.c. */
void vt_ref_mix(float *weights, const float *logits, int vocab, const vt_sample_part *part,
                uint32_t position);

/* Allocates a ref kern; kern/kern.c. */
variant_status vt_ref_open(vt_kern **out, variant_error *err);

#endif

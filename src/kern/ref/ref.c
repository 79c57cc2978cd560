/* ref.c - the reference backend: single thread, plain loops, double accumulators. It is the
 * definition of correct that other backends are tested against, and the table they start from. */
#include "kern/ref/ref.h"

#include <stdlib.h>

static void ref_close(vt_kern *kern) {
    free(kern);
}

void vt_kern_ref_fill(vt_kern *kern) {
    kern->details = "plain C, 1 thread";
    kern->unified = true;
    kern->threads = 1;
    kern->close = ref_close;
    vt_ref_fill_memory(kern);
    vt_ref_fill_products(kern);
    vt_ref_fill_elementwise(kern);
    vt_ref_fill_rows(kern);
    vt_ref_fill_transformer(kern);
    vt_ref_fill_sample(kern);
    vt_ref_fill_pictures(kern);
    vt_ref_fill_training(kern);
}

variant_status vt_ref_open(vt_kern **out, variant_error *err) {
    vt_kern *kern = calloc(1, sizeof *kern);
    if (!kern) return vt_fail(err, VARIANT_E_MEMORY, "kern: out of memory for the ref backend");
    vt_kern_ref_fill(kern);
    *out = kern;
    return VARIANT_OK;
}

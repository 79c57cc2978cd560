/* blas_core.c - does OpenBLAS use what this processor has?
 *
 * Called by main before anything else, and through cpu.c's description by whoever wonders about speed.
 * A release of OpenBLAS knows the processors of its day by their model numbers. On one that came later it
 * falls back to kernels without AVX, whatever the processor's flags say; its own variable
 * OPENBLAS_CORETYPE is the way to tell it, and is read once, while the library is loaded. */
#include <cblas.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/kern.h"

const char *vt_kern_blas_core(void) {
    /* those of OpenBLAS's kernels for x86-64 that use AVX2 or more */
    static const char *const modern[] = {"Haswell",  "Zen",        "Excavator",
                                         "SkylakeX", "Cooperlake", "SapphireRapids"};
    const char *asked = getenv("OPENBLAS_CORETYPE");
    if (asked && *asked) return NULL;
    const char *core = openblas_get_corename();
    for (size_t i = 0; i < sizeof modern / sizeof modern[0]; ++i)
        if (strcmp(core, modern[i]) == 0) return NULL;
    const vt_isa isa = vt_isa_best();
    return isa >= VT_ISA_AVX512 ? "SkylakeX" : isa == VT_ISA_AVX2 ? "Haswell" : NULL;
}

/* cpu.c - see cpu.h. */
#include "core/cpu.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

static const char *const names[VT_ISA_COUNT] = {"baseline", "avx2", "avx512"};

static vt_isa isa_of_processor(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    return avx2 && avx512 ? VT_ISA_AVX512 : avx2 ? VT_ISA_AVX2 : VT_ISA_BASELINE;
#else
    return VT_ISA_BASELINE;
#endif
}

vt_isa vt_isa_best(void) {
    vt_isa best = isa_of_processor();
    const char *asked = getenv("VARIANT_CPU");
    for (int isa = 0; asked && isa < (int)best; ++isa)
        if (strcmp(asked, names[isa]) == 0) best = (vt_isa)isa;
    return best;
}

const char *vt_isa_name(vt_isa isa) { return names[isa]; }

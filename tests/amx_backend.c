/* amx_backend.c - linked into a test, it makes the cpu backend compute its bf16 products on AMX tiles whose registers are
 * plain C (amx_in_c.h): the test then runs whole operations, models and requests through them, on any machine with AVX-512 bf16,
 * whose conversions and epilogues that table shares. On others, and at a lower VARIANT_CPU, the backend stays as it is. */
#include <stdio.h>

#include "core/cpu.h"
#include "kern/cpu/cpu.h"

extern const vt_tiles vt_tiles_amx_in_c;

static variant_status open_in_c(vt_kern **out, int threads, variant_error *err) {
    VT_TRY(vt_cpu_open(out, threads, err));
    if (vt_isa_best() >= VT_ISA_AVX512BF16) ((vt_cpu *)*out)->tiles = &vt_tiles_amx_in_c;
    return VARIANT_OK;
}

__attribute__((constructor)) static void register_in_c(void) {
    if (vt_isa_best() < VT_ISA_AVX512BF16) printf("SKIP: AMX in C needs AVX-512 bf16 beside it\n");
    vt_kern_register("cpu", open_in_c, NULL);
}

/* cpu.h - which processor this is and which instruction sets it has, found at run time.
 *
 * VARIANT_CPU in the environment lowers the answer ("baseline", "avx2", "avxvnni", "avx512", "avx512vnni",
 * "avx512bf16", "amx"), so that tests can run every path on one machine. */
#ifndef VT_CORE_CPU_H
#define VT_CORE_CPU_H

#include <stdbool.h>
#include <stddef.h>

typedef enum vt_isa {
    VT_ISA_BASELINE = 0, /* whatever the compiler targets by default */
    VT_ISA_AVX2,         /* AVX2 and FMA */
    VT_ISA_AVXVNNI,      /* and AVX-VNNI, which some processors without AVX-512 have (Alder Lake) */
    VT_ISA_AVX512,       /* AVX-512 F, BW, DQ, VL */
    VT_ISA_AVX512VNNI,   /* and VNNI (Cascade Lake, Ice Lake, Cooper Lake) */
    VT_ISA_AVX512BF16,   /* and BF16, VBMI (Zen 4, Sapphire Rapids) */
    VT_ISA_AMX,          /* and AMX tiles of bf16 and int8, granted by the system */
    VT_ISA_COUNT
} vt_isa;

/* Highest level of processor, system and VARIANT_CPU together. Levels above one have all of it, but for AVX-VNNI: where
 * the processor lacks that, asking for it gives AVX2. */
vt_isa vt_isa_best(void);

/* Likewise, whatever VARIANT_CPU asks for. */
vt_isa vt_isa_offered(void);

/* Does VARIANT_CPU name this level? Then it is meant to be used, whatever would be faster. */
bool vt_isa_is_asked(vt_isa isa);

/* Why a level that the processor has is not had: "AMX: not granted by the system (No space left on device: ...)"; "" where
 * nothing was refused. */
void vt_isa_refused(char *out, size_t size);

const char *vt_isa_name(vt_isa isa); /* "baseline", "avx2", ... as in VARIANT_CPU */

/* Bytes of the last cache that processors share; 32 MB where the system does not say. */
size_t vt_cache_bytes(void);

/* "Intel(R) Xeon(R) ...", or "" where the system does not say. */
void vt_processor_name(char *out, size_t size);

#endif

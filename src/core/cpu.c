/* cpu.c - see cpu.h. */
#include "core/cpu.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__x86_64__)
#include <cpuid.h>
#include <sys/syscall.h>
#endif

static const char *const names[VT_ISA_COUNT] = {"baseline",   "avx2",       "avxvnni", "avx512",
                                                "avx512vnni", "avx512bf16", "amx"};

#if defined(__x86_64__)
/* CPUID leaf 7 tells AMX; compilers of today do not name it in __builtin_cpu_supports. */
static bool has_amx(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid_count(7, 0, &a, &b, &c, &d)) return false;
    const unsigned bf16 = 1u << 22, tile = 1u << 24, int8 = 1u << 25;
    return (d & (bf16 | tile | int8)) == (bf16 | tile | int8);
}

/* Its leaf 7, subleaf 1. */
static bool has_avxvnni(void) {
    unsigned a, b, c, d;
    return __get_cpuid_count(7, 1, &a, &b, &c, &d) && (a >> 4 & 1u);
}

/* The kernel grants a process the tile registers on request (Linux 5.16); threads inherit it. 0, or
 * the number of the error. */
static int tiles_refusal(void) {
#if defined(__linux__)
    const long request_permission = 0x1023, tile_data = 18; /* ARCH_REQ_XCOMP_PERM, XTILEDATA */
    return syscall(SYS_arch_prctl, request_permission, tile_data) == 0 ? 0 : errno;
#else
    return ENOSYS;
#endif
}
#endif

void vt_isa_refused(char *out, size_t size) {
    *out = '\0';
#if defined(__x86_64__)
    const int refusal = has_amx() ? tiles_refusal() : 0;
    if (refusal == 0) return;
    snprintf(out, size, "AMX: not granted by the system (%s%s)", strerror(refusal),
             refusal == ENOSPC   ? ": an alternate signal stack is too small for its registers"
             : refusal == EINVAL ? ": a kernel before 5.16, or one that masks it"
                                 : "");
#else
    (void)size;
#endif
}

vt_isa vt_isa_offered(void) {
#if defined(__x86_64__)
    __builtin_cpu_init();
    bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    bool avx512 = __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512bw") &&
                  __builtin_cpu_supports("avx512dq") && __builtin_cpu_supports("avx512vl");
    bool vnni = __builtin_cpu_supports("avx512vnni");
    bool bf16 = __builtin_cpu_supports("avx512bf16") && __builtin_cpu_supports("avx512vbmi");
    if (!avx2) return VT_ISA_BASELINE;
    if (!avx512) return has_avxvnni() ? VT_ISA_AVXVNNI : VT_ISA_AVX2;
    if (!vnni) return VT_ISA_AVX512;
    if (!bf16) return VT_ISA_AVX512VNNI;
    return has_amx() && tiles_refusal() == 0 ? VT_ISA_AMX : VT_ISA_AVX512BF16;
#else
    return VT_ISA_BASELINE;
#endif
}

vt_isa vt_isa_best(void) {
    vt_isa best = vt_isa_offered();
    const char *asked = getenv("VARIANT_CPU");
    for (int isa = 0; asked && isa < (int)best; ++isa)
        if (strcmp(asked, names[isa]) == 0) best = (vt_isa)isa;
#if defined(__x86_64__)
    if (best == VT_ISA_AVXVNNI && !has_avxvnni()) best = VT_ISA_AVX2;
#endif
    return best;
}

bool vt_isa_is_asked(vt_isa isa) {
    const char *asked = getenv("VARIANT_CPU");
    return asked && strcmp(asked, names[isa]) == 0;
}

const char *vt_isa_name(vt_isa isa) {
    return names[isa];
}

size_t vt_cache_bytes(void) {
    long bytes = 0;
#if defined(_SC_LEVEL3_CACHE_SIZE)
    bytes = sysconf(_SC_LEVEL3_CACHE_SIZE);
#endif
    return bytes > 0 ? (size_t)bytes : (size_t)32 << 20;
}

void vt_processor_name(char *out, size_t size) {
    char line[512];
    *out = '\0';
    FILE *file = fopen("/proc/cpuinfo", "r");
    while (file && !*out && fgets(line, sizeof line, file)) {
        char *value = strncmp(line, "model name", 10) == 0 ? strchr(line, ':') : NULL;
        if (!value) continue;
        value += 1 + strspn(value + 1, " \t");
        value[strcspn(value, "\n")] = '\0';
        snprintf(out, size, "%s", value);
    }
    if (file) fclose(file);
}

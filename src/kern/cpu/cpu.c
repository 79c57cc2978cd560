/* cpu.c - opens the cpu backend: ref's table, then every entry that has a faster twin here. */
#include "kern/cpu/cpu.h"

#include "core/cpu.h"
#include "core/limits.h"
#include "kern/blas.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void cpu_close(vt_kern *kern) {
    vt_team_close(&kern->team);
    vt_blas_release();
    free(kern->alone);
    free((vt_cpu *)kern);
}

/* ---- loops ---- */

typedef struct shared_loop {
    const vt_kern *kern;
    vt_cpu_part *part;
    const void *args;
} shared_loop;

static void run_part(const void *args, vt_span span) {
    const shared_loop *loop = args;
    loop->part(loop->kern, loop->args, span);
}

void vt_cpu_split(const vt_kern *kern, bool worth, int64_t tasks, vt_cpu_part *part,
                  const void *args) {
    vt_team_split(worth ? kern->team : NULL, tasks, run_part, &(shared_loop){kern, part, args});
}

void vt_cpu_deal(const vt_kern *kern, bool worth, int64_t tasks, vt_cpu_part *part,
                 const void *args) {
    vt_team_deal(worth ? kern->team : NULL, tasks, run_part, &(shared_loop){kern, part, args});
}

/* ---- instruction sets ---- */

static const vt_loops *loops_for(vt_isa isa) {
#if defined(__x86_64__)
    if (isa >= VT_ISA_AVX512) return &vt_loops_avx512;
    if (isa >= VT_ISA_AVX2) return &vt_loops_avx2;
#endif
    (void)isa;
    return &vt_loops_baseline;
}

/* AMX is tested on few processors and under fewer hypervisors, so this one is asked. */
static vt_isa trusted(vt_isa isa) {
#if defined(__x86_64__)
    if (isa >= VT_ISA_AMX && !(vt_cpu_tiles_agree(&vt_tiles_amx, &vt_tiles_avx512bf16) &&
                               vt_cpu_tiles8_agree(&vt_tiles8_amx, &vt_tiles8_avx512vnni)))
        return VT_ISA_AVX512BF16;
#endif
    return isa;
}

/* Below AMX's tiles, and for what they do not do. */
static vt_isa bf16_isa_for(vt_isa isa) {
    if (isa < VT_ISA_AVX512BF16) return isa < VT_ISA_AVX512 ? isa : VT_ISA_AVX512;
    bool pays = vt_isa_is_asked(VT_ISA_AVX512BF16) || vt_cpu_bf16_pays();
    return pays ? VT_ISA_AVX512BF16 : VT_ISA_AVX512;
}

static const vt_tiles *tiles_for(vt_isa isa) {
#if defined(__x86_64__)
    if (isa >= VT_ISA_AMX) return &vt_tiles_amx;
    if (isa == VT_ISA_AVX512BF16) return &vt_tiles_avx512bf16;
    if (isa == VT_ISA_AVX512) return &vt_tiles_avx512;
    if (isa >= VT_ISA_AVX2) return &vt_tiles_avx2;
#endif
    (void)isa;
    return &vt_tiles_baseline;
}

static const vt_tiles8 *tiles8_for(vt_isa isa) {
#if defined(__x86_64__)
    if (isa >= VT_ISA_AMX) return &vt_tiles8_amx;
    if (isa >= VT_ISA_AVX512VNNI) return &vt_tiles8_avx512vnni;
    if (isa == VT_ISA_AVX512) return &vt_tiles8_avx512;
    if (isa == VT_ISA_AVXVNNI) return &vt_tiles8_avxvnni;
    if (isa == VT_ISA_AVX2) return &vt_tiles8_avx2;
#endif
    (void)isa;
    return &vt_tiles8_baseline;
}

static const vt_tiles4 *tiles4_for(vt_isa isa) {
#if defined(__x86_64__)
    if (isa >= VT_ISA_AVX512VNNI) return &vt_tiles4_avx512vnni;
    if (isa >= VT_ISA_AVX2) return &vt_tiles4_avx2;
#endif
    (void)isa;
    return &vt_tiles4_baseline;
}

/* "OpenBLAS 0.3.21 Cooperlake, loops avx512, bf16 avx512bf16, int8 avx512vnni, int4 avx512vnni, 2 threads". */
static void describe(vt_cpu *cpu) {
    char blas[64];
    vt_kern_blas(blas, sizeof blas);
    snprintf(cpu->text, sizeof cpu->text, "%s, loops %s, bf16 %s, int8 %s, int4 %s, %d thread%s",
             blas, cpu->loops->name, cpu->tiles->name, cpu->tiles8->name, cpu->tiles4->name,
             cpu->kern.threads, cpu->kern.threads == 1 ? "" : "s");
    cpu->kern.details = cpu->text;
}

static variant_status open_alone(vt_cpu *cpu, variant_error *err) {
    vt_cpu *alone = malloc(sizeof *alone);
    if (!alone) return vt_fail(err, VARIANT_E_MEMORY, "kern: out of memory for the cpu backend");
    *alone = *cpu;
    alone->kern.team = NULL;
    alone->kern.threads = 1;
    cpu->kern.alone = &alone->kern;
    return VARIANT_OK;
}

variant_status vt_cpu_open(vt_kern **out, int threads, variant_error *err) {
    *out = NULL;
    vt_team *team = NULL;
    vt_limits limits;
    if (threads <= 0) vt_limits_read(&limits, "");
    if (threads <= 0) threads = limits.threads;
    VT_TRY(vt_blas_fit(&threads, err));
    VT_TRY(vt_team_open(&team, threads, err));
    vt_cpu *cpu = calloc(1, sizeof *cpu);
    if (!cpu) {
        vt_team_close(&team);
        return vt_fail(err, VARIANT_E_MEMORY, "kern: out of memory for the cpu backend");
    }
    vt_kern *kern = &cpu->kern;
    vt_kern_ref_fill(kern);
    kern->team = team;
    kern->threads = vt_team_size(team);
    kern->close = cpu_close;
    const vt_isa isa = trusted(vt_isa_best());
    cpu->loops = loops_for(isa);
    cpu->bf16_isa = bf16_isa_for(isa);
    cpu->tiles = tiles_for(isa >= VT_ISA_AMX ? isa : cpu->bf16_isa);
#if defined(__x86_64__)
    if (isa == VT_ISA_AVX512BF16 && cpu->bf16_isa != isa) cpu->tiles = &vt_tiles_avx512wide;
#endif
    cpu->tiles8 = tiles8_for(isa);
    cpu->tiles4 = tiles4_for(isa);
    vt_blas_hold();
    vt_cpu_fill_weights(kern);
    vt_cpu_fill_products(kern);
    vt_cpu_fill_elementwise(kern);
    vt_cpu_fill_rows(kern);
    vt_cpu_fill_transformer(kern);
    vt_cpu_fill_attention(kern);
    vt_cpu_fill_sample(kern);
    vt_cpu_fill_pictures(kern);
    vt_cpu_fill_probe(kern);
    vt_cpu_fill_training(kern);
    describe(cpu);
    const variant_status status = open_alone(cpu, err);
    if (status != VARIANT_OK) {
        cpu_close(kern);
        return status;
    }
    *out = kern;
    return VARIANT_OK;
}

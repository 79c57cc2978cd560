/* residual.c - the residual stream of training with bf16 products: addition, norm and modulation in
 * one pass over the rows, forward and backward. Also opens the table of training loops.
 *
 * Forward is cut by rows. Backward sums over the rows of a sample, so a sample is a task, its sums
 * staying in the first cache. */
#include "kern/cpu/training.h"

static bool worth_threads(int64_t numbers) {
    return numbers > VT_CPU_PARALLEL_MIN / 4;
}

static void residual_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_residual *a = args;
    const size_t width = (size_t)a->width;
    for (int64_t r = span.begin; r < span.end; ++r) {
        const size_t at = (size_t)r * width, mod = (size_t)(r / a->rows) * a->mod_stride;
        vt_residual_row row = {.x = a->x + at,
                               .h = a->h ? (const uint16_t *)a->h + at : NULL,
                               .gamma = a->h ? a->gamma + mod : NULL,
                               .sum = a->sum ? a->sum + at : NULL,
                               .y = a->y ? (uint16_t *)a->y + at : NULL,
                               .scale = a->y ? a->scale + mod : NULL,
                               .shift = a->y ? a->shift + mod : NULL,
                               .eps = a->eps};
        vt_cpu_train_loops(kern)->residual(&row, a->width);
        if (!a->y) continue;
        a->mean[r] = row.mean;
        a->rstd[r] = row.rstd;
    }
}

static void residual(vt_kern *kern, const vt_residual *a) {
    const int64_t all = (int64_t)a->groups * a->rows;
    vt_cpu_split(kern, worth_threads(all * a->width), all, residual_part, a);
}

static void residual_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_residual_grad *a = args;
    const size_t width = (size_t)a->width, rows = (size_t)a->rows;
    for (int64_t g = span.begin; g < span.end; ++g) {
        const size_t mod = (size_t)g * a->mod_stride;
        for (size_t r = (size_t)g * rows; r < ((size_t)g + 1) * rows; ++r) {
            const size_t at = r * width;
            vt_residual_row_dx row = {.dx = a->dx + at};
            if (a->dy) {
                row.x = a->x + at;
                row.dy = (const uint16_t *)a->dy + at;
                row.scale = a->scale + mod;
                row.mean = a->mean[r];
                row.rstd = a->rstd[r];
                row.dscale = a->dscale + mod;
                row.dshift = a->dshift + mod;
            }
            if (a->h) {
                row.h = (const uint16_t *)a->h + at;
                row.gamma = a->gamma + mod;
                row.dh = (uint16_t *)a->dh + at;
                row.dgamma = a->dgamma + mod;
            }
            vt_cpu_train_loops(kern)->residual_dx(&row, a->width);
        }
    }
}

static void residual_dx(vt_kern *kern, const vt_residual_grad *a) {
    vt_cpu_deal(kern, worth_threads((int64_t)a->groups * a->rows * a->width), a->groups,
                residual_dx_part, a);
}

void vt_cpu_fill_residual(vt_kern *kern) {
    kern->residual = residual;
    kern->residual_dx = residual_dx;
}

void vt_cpu_fill_training(vt_kern *kern) {
    vt_cpu *cpu = (vt_cpu *)kern;
    cpu->train_loops = &vt_train_loops_baseline;
#if defined(__x86_64__)
    if (cpu->loops == &vt_loops_avx2) cpu->train_loops = &vt_train_loops_avx2;
    if (cpu->loops == &vt_loops_avx512) cpu->train_loops = &vt_train_loops_avx512;
    if (cpu->bf16_isa == VT_ISA_AVX512BF16)
        cpu->train_loops = &vt_train_loops_avx512bf16;
    else if (vt_isa_best() >= VT_ISA_AVX512BF16)
        cpu->train_loops = &vt_train_loops_avx512wide;
    if (cpu->tiles == &vt_tiles_amx) cpu->train_loops = &vt_train_loops_amx;
#endif
    vt_cpu_fill_product_grad(kern);
    vt_cpu_fill_residual(kern);
    vt_cpu_fill_attend(kern);
}

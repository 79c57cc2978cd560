/* blas.c - the process's OpenBLAS: its threads, and whether it uses what this processor has.
 *
 * A release of OpenBLAS knows the processors of its day by their model numbers. On one that came later it
 * falls back to kernels without AVX, whatever the processor's flags say; its own variable
 * OPENBLAS_CORETYPE is the way to tell it, and is read once, while the library is loaded. So main asks before anything else. */
#include "kern/blas.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/limits.h"
#include "kern/kern.h"

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER, turn = PTHREAD_MUTEX_INITIALIZER;
static int holders, threads_before;

void vt_blas_wait_turn(void) {
    pthread_mutex_lock(&turn);
}

void vt_blas_end_turn(void) {
    pthread_mutex_unlock(&turn);
}

void vt_blas_hold(void) {
    if (openblas_get_parallel() != OPENBLAS_THREAD) return;
    pthread_mutex_lock(&lock);
    if (holders++ == 0) {
        threads_before = openblas_get_num_threads();
        openblas_set_num_threads(1);
    }
    pthread_mutex_unlock(&lock);
}

void vt_blas_release(void) {
    if (openblas_get_parallel() != OPENBLAS_THREAD) return;
    pthread_mutex_lock(&lock);
    if (--holders == 0) openblas_set_num_threads(threads_before);
    pthread_mutex_unlock(&lock);
}

/* Where OpenBLAS has its buffers from; not in its header, so a build without them still links. */
extern void *blas_memory_alloc(int position) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));

/* Has OpenBLAS take the buffers of `threads` calls at one time, which it then keeps: a call that finds no room for
 * its own later, after others took what was left, would try forever. */
static void take_buffers(int threads) {
    enum { MOST = 64 };
    void *buffers[MOST];
    if (!blas_memory_alloc || !blas_memory_free) return;
    if (threads > MOST) threads = MOST;
    for (int i = 0; i < threads; ++i) buffers[i] = blas_memory_alloc(0);
    for (int i = 0; i < threads; ++i) blas_memory_free(buffers[i]);
}

variant_status vt_blas_fit(int *threads, variant_error *err) {
    enum { SIDE = 128 };
    const size_t buffer = (size_t)132 << 20, left = vt_limits_address_space_left();
    if (left == SIZE_MAX) return VARIANT_OK;
    VT_TRY(vt_limits_address_space(buffer, "OpenBLAS", err));
    const size_t fit = left / 2 / buffer;
    if ((size_t)*threads > fit) *threads = fit > 1 ? (int)fit : 1;
    take_buffers(*threads);
    float *x = calloc(3 * SIDE * SIDE, sizeof *x);
    if (!x) return vt_fail(err, VARIANT_E_MEMORY, "kern: out of memory for the cpu backend");
    vt_cpu_sgemm(CblasNoTrans, CblasTrans, SIDE, SIDE, SIDE, 1.0f, x, SIDE, x + SIDE * SIDE, SIDE,
                 0.0f, x + 2 * SIDE * SIDE, SIDE);
    free(x);
    return VARIANT_OK;
}

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
    return isa >= VT_ISA_AVX512 ? "SkylakeX" : isa >= VT_ISA_AVX2 ? "Haswell" : NULL;
}

bool vt_kern_blas(char *out, size_t size) {
    const char *config = openblas_get_config(); /* "OpenBLAS 0.3.21 DYNAMIC_ARCH ..." */
    const char *version = strchr(config, ' ');
    const int length = version ? (int)strcspn(version + 1, " ") : 0;
    snprintf(out, size, "OpenBLAS %.*s %s", length, version ? version + 1 : "",
             openblas_get_corename());
    return openblas_get_parallel() == OPENBLAS_SEQUENTIAL;
}

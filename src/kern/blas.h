/* blas.h - BLAS on the calling thread alone: threads are ours (core/threads.h), and OpenBLAS's would change the order of
 * its sums.
 *
 * Which OpenBLAS is loaded is the system's choice (Debian has three, by its alternatives), so each is held in its own
 * way. The serial one has no threads, and as Debian builds it no locks either: calls at one time share its buffers and give wrong
 * numbers, so they take turns here. The pthread one has one number for the whole process: held at one
 * while anything here is open. The OpenMP one takes as many threads as the calling thread's OpenMP default says, whatever
 * openblas_set_num_threads said: that default is one during each call. OpenMP's two functions are weak references, there when that
 * OpenBLAS has brought its runtime along; nothing else here needs OpenMP. */
#ifndef VT_KERN_BLAS_H
#define VT_KERN_BLAS_H

#include <cblas.h>

#include "core/status.h"

int omp_get_max_threads(void) __attribute__((weak));
void omp_set_num_threads(int threads) __attribute__((weak));

/* The serial flavour's turns. */
void vt_blas_wait_turn(void);
void vt_blas_end_turn(void);

/* Around calls of BLAS: what vt_blas_leave undoes, OpenMP's default to restore, -1 for a turn, or 0. Not to be nested. */
static inline int vt_blas_enter(void) {
    if (openblas_get_parallel() == OPENBLAS_SEQUENTIAL) {
        vt_blas_wait_turn();
        return -1;
    }
    int threads = omp_get_max_threads && omp_set_num_threads ? omp_get_max_threads() : 0;
    if (threads <= 1) return 0;
    omp_set_num_threads(1);
    return threads;
}

static inline void vt_blas_leave(int threads) {
    if (threads < 0)
        vt_blas_end_turn();
    else if (threads)
        omp_set_num_threads(threads);
}

/* The process's number of the pthread flavour: one from the first hold to the last release, then what it was. */
void vt_blas_hold(void);
void vt_blas_release(void);

/* OpenBLAS takes 128 MB of address space for each call that runs at one time, and tries forever where it gets none. Under a limit of
 * address space: lowers *threads to what half of the rest holds, and takes theirs now, before others do. E_MEMORY where there are none. */
variant_status vt_blas_fit(int *threads, variant_error *err);

/* cblas_sgemm, row-major. */
static inline void vt_cpu_sgemm(CBLAS_TRANSPOSE trans_a, CBLAS_TRANSPOSE trans_b, int m, int n,
                                int k, float alpha, const float *a, int lda, const float *b,
                                int ldb, float beta, float *c, int ldc) {
    int threads = vt_blas_enter();
    cblas_sgemm(CblasRowMajor, trans_a, trans_b, m, n, k, alpha, a, lda, b, ldb, beta, c, ldc);
    vt_blas_leave(threads);
}

/* y += op(a) x, a (m, n) row-major. */
static inline void vt_cpu_sgemv_add(CBLAS_TRANSPOSE trans_a, int m, int n, const float *a, int lda,
                                    const float *x, float *y) {
    int threads = vt_blas_enter();
    cblas_sgemv(CblasRowMajor, trans_a, m, n, 1, a, lda, x, 1, 1, y, 1);
    vt_blas_leave(threads);
}

#endif

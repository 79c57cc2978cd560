/* blas.h - BLAS on the calling thread alone, for the tiles that the cpu backend's own threads
 * compute.
 *
 * OpenBLAS (OpenMP flavour) is single-threaded inside a parallel region. Elsewhere (one thread
 * asked for, or one tile to do) it takes as many threads as the calling thread's OpenMP default
 * says, whatever openblas_set_num_threads said before; and its threads change the order of its
 * sums. So that default, which every thread has its own of, is 1 during the call. */
#ifndef VT_KERN_CPU_BLAS_H
#define VT_KERN_CPU_BLAS_H

#include <cblas.h>
#include <omp.h>

/* The default to restore after the call; 0 where none needs to be. */
static inline int vt_blas_enter(void) {
    int threads = omp_in_parallel() ? 0 : omp_get_max_threads();
    if (threads <= 1) return 0;
    omp_set_num_threads(1);
    return threads;
}

static inline void vt_blas_leave(int threads) {
    if (threads) omp_set_num_threads(threads);
}

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

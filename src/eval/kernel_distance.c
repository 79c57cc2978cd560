/* kernel_distance.c - see kernel_distance.h. In float64, a block at a time. */
#include "eval/kernel_distance.h"

#include <math.h>
#include <stdlib.h>

#include "core/rng.h"
#include "kern/blas.h"

/* A block of both sets, and room for the products of its samples. */
typedef struct block {
    int size, dims;
    double *real, *made; /* (size, dims) */
    double *products;    /* (size, size) */
    uint32_t *orders[2]; /* (count): of all real samples, and of the generated */
} block;

static void block_close(block *b) {
    free(b->real);
    free(b->made);
    free(b->products);
    free(b->orders[0]);
    free(b->orders[1]);
}

static variant_status block_open(block *b, int count, int size, int dims, variant_error *err) {
    const size_t n = (size_t)size, d = (size_t)dims;
    *b = (block){.size = size, .dims = dims};
    b->real = malloc(n * d * sizeof *b->real);
    b->made = malloc(n * d * sizeof *b->made);
    b->products = malloc(n * n * sizeof *b->products);
    for (uint32_t i = 0; i < 2; ++i) {
        b->orders[i] = malloc((size_t)count * sizeof *b->orders[i]);
        if (b->orders[i]) vt_permutation(b->orders[i], (uint32_t)count, 0, i);
    }
    if (b->real && b->made && b->products && b->orders[0] && b->orders[1]) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples of %d features", size, dims);
}

/* The samples from place `first` on of an order of them. */
static void take(double *out, const vt_samples *from, const uint32_t *order, int first,
                 const block *b) {
    for (int i = 0; i < b->size; ++i) {
        const size_t row = (size_t)order[first + i] * (size_t)from->held / (size_t)from->count;
        const float *sample = from->features + row * (size_t)b->dims;
        for (int j = 0; j < b->dims; ++j) *out++ = (double)sample[j];
    }
}

/* The kernel's mean over pairs; of a set with itself a sample is no pair. */
static double mean_kernel(const block *b, const double *x, const double *y) {
    const int n = b->size;
    const int threads = vt_blas_enter();
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, n, n, b->dims, 1.0 / b->dims, x, b->dims,
                y, b->dims, 0.0, b->products, n);
    vt_blas_leave(threads);
    double sum = 0;
    for (int i = 0; i < n; ++i) {
        double row = 0;
        for (int j = 0; j < n; ++j) {
            const double one = b->products[(size_t)i * (size_t)n + (size_t)j] + 1.0;
            if (x != y || i != j) row += one * one * one;
        }
        sum += row;
    }
    return sum / n / (x == y ? n - 1 : n);
}

static int blocks_of(int count) {
    const int least = (count + VT_KERNEL_BLOCK - 1) / VT_KERNEL_BLOCK;
    int blocks = count / VT_KERNEL_LEAST;
    if (blocks > VT_KERNEL_BLOCKS) blocks = VT_KERNEL_BLOCKS;
    if (blocks < least) blocks = least;
    return blocks > 1 ? blocks : 1;
}

variant_status vt_kernel_distance(double *distance, double *spread, const vt_samples *real,
                                  const vt_samples *generated, int dims, variant_error *err) {
    const int count = real->count, blocks = blocks_of(count);
    block b = {0};
    double sum = 0, squares = 0;
    *distance = *spread = NAN;
    if (count < 2 || generated->count != count)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a kernel distance of %d samples from %d: expected equally many, 2 or more",
                       generated->count, count);
    variant_status status = block_open(&b, count, count / blocks, dims, err);
    for (int i = 0; status == VARIANT_OK && i < blocks; ++i) {
        take(b.real, real, b.orders[0], i * b.size, &b);
        take(b.made, generated, b.orders[1], i * b.size, &b);
        const double one = mean_kernel(&b, b.real, b.real) + mean_kernel(&b, b.made, b.made) -
                           2 * mean_kernel(&b, b.real, b.made);
        const double step = one - sum / (i ? i : 1); /* Welford's: from the mean so far ... */
        sum += one;
        squares += step * (one - sum / (i + 1)); /* ... and the new one */
    }
    block_close(&b);
    if (status != VARIANT_OK) return status;
    *distance = sum / blocks;
    if (blocks > 1) *spread = sqrt(squares / (blocks - 1) / blocks);
    return VARIANT_OK;
}

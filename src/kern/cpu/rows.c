/* rows.c - operations that copy, add or look up whole rows. Gradients that cross groups or rows are
 * cut by columns or rows of their output, so that each output number is summed by one thread in one
 * order. */
#include "kern/cpu/cpu.h"

#include <string.h>

enum { STRIP = 128 }; /* columns a task of scatter_rows */

static bool large(int64_t rows, int64_t width) {
    return rows * width > VT_CPU_PARALLEL_MIN;
}

static void copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                      size_t from_stride, int rows, size_t width) {
    if (width == 0) return;
#pragma omp parallel for schedule(static)                                                          \
    num_threads(kern->threads) if (large(rows, (int64_t)width))
    for (int r = 0; r < rows; ++r)
        memcpy(to + (size_t)r * to_stride, from + (size_t)r * from_stride, width * sizeof *to);
}

static void add_copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                          size_t from_stride, int rows, size_t width) {
    const vt_loops *loops = vt_cpu_loops(kern);
#pragma omp parallel for schedule(static)                                                          \
    num_threads(kern->threads) if (large(rows, (int64_t)width))
    for (int r = 0; r < rows; ++r)
        loops->add(to + (size_t)r * to_stride, from + (size_t)r * from_stride, width);
}

static void add_rows(vt_kern *kern, float *y, const float *x, int groups, int rows, int width) {
    const vt_loops *loops = vt_cpu_loops(kern);
    int64_t all = (int64_t)groups * rows;
#pragma omp parallel for schedule(static) num_threads(kern->threads) if (large(all, width))
    for (int64_t r = 0; r < all; ++r)
        loops->add(y + r * width, x + r % rows * width, (size_t)width);
}

static void add_rows_dx(vt_kern *kern, float *dx, const float *dy, int groups, int rows,
                        int width) {
    const vt_loops *loops = vt_cpu_loops(kern);
    int64_t group = (int64_t)rows * width;
#pragma omp parallel for schedule(static)                                                          \
    num_threads(kern->threads) if (large((int64_t)groups * rows, width))
    for (int64_t r = 0; r < rows; ++r) {
        for (int64_t g = 0; g < groups; ++g)
            loops->add(dx + r * width, dy + g * group + r * width, (size_t)width);
    }
}

static void gather_rows(vt_kern *kern, float *y, const float *table, const int32_t *index, int rows,
                        int width) {
#pragma omp parallel for schedule(static) num_threads(kern->threads) if (large(rows, width))
    for (int64_t r = 0; r < rows; ++r)
        memcpy(y + r * width, table + (int64_t)index[r] * width, (size_t)width * sizeof *y);
}

static void scatter_rows(vt_kern *kern, float *dtable, const int32_t *index, const float *dy,
                         int rows, int width) {
    const vt_loops *loops = vt_cpu_loops(kern);
    int64_t strips = vt_cpu_pieces(width, STRIP);
#pragma omp parallel for schedule(static) num_threads(kern->threads) if (large(rows, width))
    for (int64_t s = 0; s < strips; ++s) {
        int64_t begin = s * STRIP, count = width - begin < STRIP ? width - begin : STRIP;
        for (int64_t r = 0; r < rows; ++r)
            loops->add(dtable + (int64_t)index[r] * width + begin, dy + r * width + begin,
                       (size_t)count);
    }
}

void vt_cpu_fill_rows(vt_kern *kern) {
    kern->copy_rows = copy_rows;
    kern->add_copy_rows = add_copy_rows;
    kern->add_rows = add_rows;
    kern->add_rows_dx = add_rows_dx;
    kern->gather_rows = gather_rows;
    kern->scatter_rows = scatter_rows;
}

/* rows.c - operations that copy, add or look up whole rows. Gradients that cross groups or rows are
 * cut by columns or rows of their output, so that each output number is summed by one thread in one
 * order. */
#include "kern/cpu/cpu.h"

#include <string.h>

enum { STRIP = 128 }; /* columns a task of scatter_rows */

static bool large(int64_t rows, int64_t width) {
    return rows * width > VT_CPU_PARALLEL_MIN;
}

/* Rows of two matrices; each operation uses some of it. */
typedef struct row_loop {
    float *to;
    size_t to_stride;
    const float *from;
    size_t from_stride, width;
    const int32_t *index;
    int64_t groups, rows; /* rows of a group */
} row_loop;

static void copy_rows_part(const vt_kern *kern, const void *args, vt_span span) {
    const row_loop *l = args;
    (void)kern;
    for (size_t r = (size_t)span.begin; r < (size_t)span.end; ++r)
        memcpy(l->to + r * l->to_stride, l->from + r * l->from_stride, l->width * sizeof *l->to);
}

static void copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                      size_t from_stride, int rows, size_t width) {
    const row_loop loop = {to, to_stride, from, from_stride, width, .rows = rows};
    if (width == 0) return;
    vt_cpu_split(kern, large(rows, (int64_t)width), rows, copy_rows_part, &loop);
}

static void add_copy_rows_part(const vt_kern *kern, const void *args, vt_span span) {
    const row_loop *l = args;
    for (size_t r = (size_t)span.begin; r < (size_t)span.end; ++r)
        vt_cpu_loops(kern)->add(l->to + r * l->to_stride, l->from + r * l->from_stride, l->width);
}

static void add_copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                          size_t from_stride, int rows, size_t width) {
    const row_loop loop = {to, to_stride, from, from_stride, width, .rows = rows};
    vt_cpu_split(kern, large(rows, (int64_t)width), rows, add_copy_rows_part, &loop);
}

static void add_rows_part(const vt_kern *kern, const void *args, vt_span span) {
    const row_loop *l = args;
    for (int64_t r = span.begin; r < span.end; ++r)
        vt_cpu_loops(kern)->add(l->to + (size_t)r * l->width,
                                l->from + (size_t)(r % l->rows) * l->width, l->width);
}

static void add_rows(vt_kern *kern, float *y, const float *x, int groups, int rows, int width) {
    const row_loop loop = {.to = y, .from = x, .width = (size_t)width, .rows = rows};
    int64_t all = (int64_t)groups * rows;
    vt_cpu_split(kern, large(all, width), all, add_rows_part, &loop);
}

static void add_rows_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const row_loop *l = args;
    for (int64_t r = span.begin; r < span.end; ++r)
        for (int64_t g = 0; g < l->groups; ++g)
            vt_cpu_loops(kern)->add(l->to + (size_t)r * l->width,
                                    l->from + (size_t)(g * l->rows + r) * l->width, l->width);
}

static void add_rows_dx(vt_kern *kern, float *dx, const float *dy, int groups, int rows,
                        int width) {
    const row_loop loop = {
        .to = dx, .from = dy, .width = (size_t)width, .groups = groups, .rows = rows};
    vt_cpu_split(kern, large((int64_t)groups * rows, width), rows, add_rows_dx_part, &loop);
}

static void gather_rows_part(const vt_kern *kern, const void *args, vt_span span) {
    const row_loop *l = args;
    (void)kern;
    for (int64_t r = span.begin; r < span.end; ++r)
        memcpy(l->to + (size_t)r * l->width, l->from + (size_t)l->index[r] * l->width,
               l->width * sizeof *l->to);
}

static void gather_rows(vt_kern *kern, float *y, const float *table, const int32_t *index, int rows,
                        int width) {
    const row_loop loop = {.to = y, .from = table, .width = (size_t)width, .index = index};
    vt_cpu_split(kern, large(rows, width), rows, gather_rows_part, &loop);
}

/* A task is a strip of columns. */
static void scatter_rows_part(const vt_kern *kern, const void *args, vt_span span) {
    const row_loop *l = args;
    for (int64_t s = span.begin; s < span.end; ++s) {
        const size_t begin = (size_t)s * STRIP, left = l->width - begin;
        for (int64_t r = 0; r < l->rows; ++r)
            vt_cpu_loops(kern)->add(l->to + (size_t)l->index[r] * l->width + begin,
                                    l->from + (size_t)r * l->width + begin,
                                    left < STRIP ? left : STRIP);
    }
}

static void scatter_rows(vt_kern *kern, float *dtable, const int32_t *index, const float *dy,
                         int rows, int width) {
    const row_loop loop = {
        .to = dtable, .from = dy, .width = (size_t)width, .index = index, .rows = rows};
    vt_cpu_split(kern, large(rows, width), vt_cpu_pieces(width, STRIP), scatter_rows_part, &loop);
}

void vt_cpu_fill_rows(vt_kern *kern) {
    kern->copy_rows = copy_rows;
    kern->add_copy_rows = add_copy_rows;
    kern->add_rows = add_rows;
    kern->add_rows_dx = add_rows_dx;
    kern->gather_rows = gather_rows;
    kern->scatter_rows = scatter_rows;
}

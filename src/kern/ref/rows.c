/* rows.c - operations that move or add whole rows: position embeddings and table look-ups. */
#include "kern/ref/ref.h"

#include <string.h>

static void add_rows(vt_kern *kern, float *y, const float *x, int groups, int rows, int width) {
    (void)kern;
    size_t size = (size_t)rows * (size_t)width;
    for (int g = 0; g < groups; ++g) {
        for (size_t i = 0; i < size; ++i) y[(size_t)g * size + i] += x[i];
    }
}

static void add_rows_dx(vt_kern *kern, float *dx, const float *dy, int groups, int rows,
                        int width) {
    (void)kern;
    size_t size = (size_t)rows * (size_t)width;
    for (size_t i = 0; i < size; ++i) {
        double sum = dx[i];
        for (int g = 0; g < groups; ++g) sum += dy[(size_t)g * size + i];
        dx[i] = (float)sum;
    }
}

static void gather_rows(vt_kern *kern, float *y, const float *table, const int32_t *index, int rows,
                        int width) {
    (void)kern;
    size_t size = (size_t)width;
    for (size_t r = 0; r < (size_t)rows; ++r)
        memcpy(y + r * size, table + (size_t)index[r] * size, size * sizeof *y);
}

static void scatter_rows(vt_kern *kern, float *dtable, const int32_t *index, const float *dy,
                         int rows, int width) {
    (void)kern;
    size_t size = (size_t)width;
    for (size_t r = 0; r < (size_t)rows; ++r) {
        float *to = dtable + (size_t)index[r] * size;
        for (size_t i = 0; i < size; ++i) to[i] += dy[r * size + i];
    }
}

void vt_ref_fill_rows(vt_kern *kern) {
    kern->add_rows = add_rows;
    kern->add_rows_dx = add_rows_dx;
    kern->gather_rows = gather_rows;
    kern->scatter_rows = scatter_rows;
}

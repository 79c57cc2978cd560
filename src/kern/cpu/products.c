/* products.c - float32 products: single-threaded BLAS calls on tiles of the output, tiles shared
 * out by OpenMP.
 *
 * How an output is cut depends on the sizes of one group alone, and every tile is one BLAS call (or
 * a fixed sequence of them), so neither the thread count nor the number of groups can change a bit
 * of the result. */
#include "kern/cpu/blas.h"
#include "kern/cpu/cpu.h"
#include "kern/weight.h"

#include <string.h>

/* The cut of one (rows, columns) output; tiles of about 128 to 192 rows keep BLAS near its peak. */
typedef struct tiling {
    int64_t rows, columns; /* of the output */
    int64_t row_tiles, column_tiles;
} tiling;

typedef struct tile {
    int64_t row, rows, column, columns;
} tile;

static tiling tiling_of(int64_t rows, int64_t columns) {
    tiling t = {.rows = rows, .columns = columns};
    t.row_tiles = vt_cpu_pieces(rows, 192);
    t.column_tiles = vt_cpu_pieces(columns, rows > 64 ? 512 : 256);
    return t;
}

/* Tile i of the tiling, row tiles innermost so that neighbours in time share columns of the weight.
 */
static tile tile_at(const tiling *t, int64_t i) {
    int64_t r = i % t->row_tiles, c = i / t->row_tiles;
    tile at;
    at.row = vt_cpu_piece_begin(t->rows, t->row_tiles, 16, r);
    at.rows = vt_cpu_piece_begin(t->rows, t->row_tiles, 16, r + 1) - at.row;
    at.column = vt_cpu_piece_begin(t->columns, t->column_tiles, 32, c);
    at.columns = vt_cpu_piece_begin(t->columns, t->column_tiles, 32, c + 1) - at.column;
    return at;
}

/* Up to this many rows a group, the rows of all groups go against each strip of W while it is in the
 * cache: W is read once. BLAS would pack W for every group, which costs more than the product; where
 * k is short, adding up the lanes of each number costs more than that. The choice depends on k and
 * the rows of one group alone. */
#define FEW_ROWS 64
#define LEAST_DEPTH 1024
#define STRIP_COLUMNS 16

static void linear_few(vt_kern *kern, float *y, const float *x, const vt_weight *w,
                       const float *bias, int64_t rows) {
    const vt_loops *loops = vt_cpu_loops(kern);
    int64_t n = w->n, k = w->k, strips = (n + STRIP_COLUMNS - 1) / STRIP_COLUMNS;
#pragma omp parallel for schedule(static)                                                          \
    num_threads(kern->threads) if (n * k * rows > VT_CPU_PARALLEL_MIN)
    for (int64_t i = 0; i < strips; ++i) {
        int64_t begin = i * STRIP_COLUMNS;
        int64_t columns = n - begin < STRIP_COLUMNS ? n - begin : STRIP_COLUMNS;
        loops->dots(&(vt_loops_dots){.y = y + begin,
                                     .y_stride = (size_t)n,
                                     .x = x,
                                     .w = w->w + begin * k,
                                     .bias = bias ? bias + begin : NULL,
                                     .rows = rows,
                                     .columns = columns,
                                     .k = k});
    }
}

void vt_cpu_linear_f32(vt_kern *kern, float *y, const float *x, const vt_weight *w,
                       const float *bias, int groups, int rows) {
    if (groups <= 0 || rows <= 0) return;
    if (rows == 1 || (rows <= FEW_ROWS && w->k >= LEAST_DEPTH)) {
        linear_few(kern, y, x, w, bias, (int64_t)groups * rows);
        return;
    }
    int64_t n = w->n, k = w->k;
    const tiling t = tiling_of(rows, n);
    int64_t per_group = t.row_tiles * t.column_tiles, tasks = per_group * groups;
#pragma omp parallel for schedule(dynamic, 1) num_threads(kern->threads) if (tasks > 1)
    for (int64_t i = 0; i < tasks; ++i) {
        const tile at = tile_at(&t, i % per_group);
        if (at.rows == 0 || at.columns == 0) continue;
        int64_t first = i / per_group * rows + at.row;
        float *to = y + first * n + at.column;
        for (int64_t r = 0; bias && r < at.rows; ++r)
            memcpy(to + r * n, bias + at.column, (size_t)at.columns * sizeof *to);
        vt_cpu_sgemm(CblasNoTrans, CblasTrans, (int)at.rows, (int)at.columns, (int)k, 1.0f,
                     x + first * k, (int)k, w->w + at.column * k, (int)k, bias ? 1.0f : 0.0f, to,
                     (int)n);
    }
}

static void linear_dx_single(vt_kern *kern, float *dx, const float *dy, const vt_weight *w,
                             int groups, bool accumulate) {
    int64_t n = w->n, k = w->k, pieces = vt_cpu_pieces(k, 128);
#pragma omp parallel for schedule(static)                                                          \
    num_threads(kern->threads) if (n * k * groups > VT_CPU_PARALLEL_MIN)
    for (int64_t i = 0; i < pieces; ++i) {
        int64_t begin = vt_cpu_piece_begin(k, pieces, 32, i);
        int64_t end = vt_cpu_piece_begin(k, pieces, 32, i + 1);
        if (end == begin) continue;
        for (int64_t g = 0; g < groups; ++g) {
            float *to = dx + g * k + begin;
            if (!accumulate) memset(to, 0, (size_t)(end - begin) * sizeof *to);
            vt_cpu_sgemv_add(CblasTrans, (int)n, (int)(end - begin), w->w + begin, (int)k,
                             dy + g * n, to);
        }
    }
}

static void linear_dx(vt_kern *kern, float *dx, const float *dy, const vt_weight *w, int groups,
                      int rows, bool accumulate) {
    if (groups <= 0 || rows <= 0) return;
    if (rows == 1) {
        linear_dx_single(kern, dx, dy, w, groups, accumulate);
        return;
    }
    int64_t n = w->n, k = w->k;
    const tiling t = tiling_of(rows, k);
    int64_t per_group = t.row_tiles * t.column_tiles, tasks = per_group * groups;
#pragma omp parallel for schedule(dynamic, 1) num_threads(kern->threads) if (tasks > 1)
    for (int64_t i = 0; i < tasks; ++i) {
        const tile at = tile_at(&t, i % per_group);
        if (at.rows == 0 || at.columns == 0) continue;
        int64_t first = i / per_group * rows + at.row;
        vt_cpu_sgemm(CblasNoTrans, CblasNoTrans, (int)at.rows, (int)at.columns, (int)n, 1.0f,
                     dy + first * n, (int)n, w->w + at.column, (int)k, accumulate ? 1.0f : 0.0f,
                     dx + first * k + at.column, (int)k);
    }
}

static void bias_dx(vt_kern *kern, float *db, const float *dy, int rows, int64_t n) {
    enum { STRIP = 64 };
    const vt_loops *loops = vt_cpu_loops(kern);
    int64_t strips = vt_cpu_pieces(n, STRIP);
#pragma omp parallel for schedule(static)                                                          \
    num_threads(kern->threads) if (n * rows > VT_CPU_PARALLEL_MIN)
    for (int64_t i = 0; i < strips; ++i) {
        int64_t begin = i * STRIP;
        int width = (int)(n - begin < STRIP ? n - begin : STRIP);
        double sums[STRIP] = {0};
        loops->column_sums(sums, dy + begin, (size_t)n, rows, width);
        for (int c = 0; c < width; ++c) db[begin + c] += (float)sums[c];
    }
}

/* Every tile of dw runs over all rows in one call. Tiles start large, because each packs its rows
 * of x and dy anew, and are halved until there are some to share. */
static void linear_dw(vt_kern *kern, float *dw, float *db, const float *dy, const float *x,
                      int rows, int n, int k) {
    if (rows <= 0) return;
    int64_t high = 256, wide = 512;
    while (vt_cpu_pieces(n, high) * vt_cpu_pieces(k, wide) < 8 && (high > 64 || wide > 64)) {
        if (wide >= high)
            wide /= 2;
        else
            high /= 2;
    }
    tiling t = {.rows = n,
                .columns = k,
                .row_tiles = vt_cpu_pieces(n, high),
                .column_tiles = vt_cpu_pieces(k, wide)};
    int64_t tasks = t.row_tiles * t.column_tiles;
#pragma omp parallel for schedule(dynamic, 1) num_threads(kern->threads) if (tasks > 1)
    for (int64_t i = 0; i < tasks; ++i) {
        const tile at = tile_at(&t, i);
        if (at.rows == 0 || at.columns == 0) continue;
        vt_cpu_sgemm(CblasTrans, CblasNoTrans, (int)at.rows, (int)at.columns, rows, 1.0f,
                     dy + at.row, n, x + at.column, k, 1.0f, dw + at.row * k + at.column, k);
    }
    if (db) bias_dx(kern, db, dy, rows, n);
}

void vt_cpu_fill_products(vt_kern *kern) {
    kern->linear_dx = linear_dx;
    kern->linear_dw = linear_dw;
}

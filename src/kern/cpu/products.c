/* products.c - float32 products: single-threaded BLAS calls on tiles of the output, tiles shared
 * out to the threads.
 *
 * How an output is cut depends on the sizes of one group alone, and every tile is one BLAS call (or
 * a fixed sequence of them), so neither the thread count nor the number of groups can change a bit
 * of the result.
 *
 *     rows of a group      columns: pieces of at most 512 (256 of 64 rows or fewer)
 *                        +--------+--------+--------+
 *     at most 192 rows   |   0    |   2    |   4    |    in this order: neighbours in time read the same
 *                        +--------+--------+--------+    columns of W
 *                        |   1    |   3    |   5    |
 *                        +--------+--------+--------+
 *
 * A BLAS call of one thread packs what it multiplies; tiles of some 64 to 256 rows lose nothing by that
 * (docs/PERFORMANCE_APPENDIX.md, "The floor: one BLAS call a thread"). */
#include "kern/blas.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/weight.h"
#include "kern/ragged.h"

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

/* A strip is 16 rows of W, 64 KB at a depth of 1024: read once, all rows against it.
 *
 * Up to this many rows a group, the rows of all groups go against each strip of W while it is in the
 * cache: W is read once. BLAS would pack W for every group, which costs more than the product; where
 * k is short, adding up the lanes of each number costs more than that. The choice depends on k and
 * the rows of one group alone. */
#define FEW_ROWS 64
#define LEAST_DEPTH 1024
#define STRIP_COLUMNS 16

/* A product or one of its gradients: `out` from `in` and the weight, or from two inputs. */
typedef struct product_loop {
    float *out;
    const float *in, *other, *w, *bias;
    int64_t n, k, rows, groups; /* rows of a group */
    tiling tiles;
    int64_t per_group; /* tiles */
    bool accumulate;
} product_loop;

static bool few_rows(int64_t rows, int64_t k) {
    return rows == 1 || (rows <= FEW_ROWS && k >= LEAST_DEPTH);
}

static void linear_few_part(const vt_kern *kern, const void *args, vt_span span) {
    const product_loop *p = args;
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t begin = i * STRIP_COLUMNS;
        int64_t columns = p->n - begin < STRIP_COLUMNS ? p->n - begin : STRIP_COLUMNS;
        vt_cpu_loops(kern)->dots(&(vt_loops_dots){.y = p->out + begin,
                                                  .y_stride = (size_t)p->n,
                                                  .x = p->in,
                                                  .w = p->w + begin * p->k,
                                                  .bias = p->bias ? p->bias + begin : NULL,
                                                  .rows = p->rows,
                                                  .columns = columns,
                                                  .k = p->k});
    }
}

/* All groups' rows as one group. */
static void linear_few(vt_kern *kern, const product_loop *p) {
    vt_cpu_split(kern, p->n * p->k * p->rows > VT_CPU_PARALLEL_MIN,
                 vt_cpu_pieces(p->n, STRIP_COLUMNS), linear_few_part, p);
}

static void linear_part(const vt_kern *kern, const void *args, vt_span span) {
    const product_loop *p = args;
    const int64_t n = p->n, k = p->k;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i) {
        const tile at = tile_at(&p->tiles, i % p->per_group);
        if (at.rows == 0 || at.columns == 0) continue;
        int64_t first = i / p->per_group * p->rows + at.row;
        float *to = p->out + first * n + at.column;
        for (int64_t r = 0; p->bias && r < at.rows; ++r)
            memcpy(to + r * n, p->bias + at.column, (size_t)at.columns * sizeof *to);
        vt_cpu_sgemm(CblasNoTrans, CblasTrans, (int)at.rows, (int)at.columns, (int)k, 1.0f,
                     p->in + first * k, (int)k, p->w + at.column * k, (int)k, p->bias ? 1.0f : 0.0f,
                     to, (int)n);
    }
}

/* The tiles of every group, cut by `tiles`. */
static void run_tiles(vt_kern *kern, product_loop *p, tiling tiles, vt_cpu_part *part) {
    p->tiles = tiles;
    p->per_group = tiles.row_tiles * tiles.column_tiles;
    const int64_t tasks = p->per_group * p->groups;
    vt_cpu_deal(kern, tasks > 1, tasks, part, p);
}

void vt_cpu_linear_f32(vt_kern *kern, float *y, const float *x, const vt_weight *w,
                       const float *bias, int groups, int rows) {
    if (groups <= 0 || rows <= 0) return;
    product_loop p = {.out = y,
                      .in = x,
                      .w = w->w,
                      .bias = bias,
                      .n = w->n,
                      .k = w->k,
                      .rows = rows,
                      .groups = groups};
    if (few_rows(rows, w->k)) {
        p.rows = (int64_t)groups * rows;
        linear_few(kern, &p);
        return;
    }
    run_tiles(kern, &p, tiling_of(rows, p.n), linear_part);
}

/* ---- groups of different sizes ---- */

enum { MOST_RUNS = 64 }; /* dealt out at a time; a step has about as many as scales */

/* Runs of equal groups, each cut as it would be alone; their tasks in one row. */
typedef struct ragged_loop {
    product_loop of[MOST_RUNS];
    int64_t first_task[MOST_RUNS + 1];
    int count;
} ragged_loop;

static void ragged_part(const vt_kern *kern, const void *args, vt_span span) {
    const ragged_loop *l = args;
    int run = 0;
    for (int64_t task = span.begin; task < span.end; ++task) {
        while (task >= l->first_task[run + 1]) ++run;
        const int64_t at = task - l->first_task[run];
        linear_part(kern, &l->of[run],
                    (vt_span){.begin = at, .end = at + 1, .thread = span.thread});
    }
}

static void ragged_deal(vt_kern *kern, ragged_loop *l) {
    const int64_t tasks = l->first_task[l->count];
    if (tasks > 0) vt_cpu_deal(kern, tasks > 1, tasks, ragged_part, l);
    l->count = 0;
}

void vt_cpu_linear_ragged(vt_kern *kern, float *y, const float *x, const vt_weight *w,
                          const float *bias, const vt_ragged *ragged) {
    ragged_loop loop;
    loop.count = 0;
    loop.first_task[0] = 0;
    for (int g = 0; g < ragged->groups;) {
        vt_ragged_run run = vt_ragged_run_at(ragged, g);
        product_loop p = {.out = y + (int64_t)run.row * w->n,
                          .in = x + (int64_t)run.row * w->k,
                          .w = w->w,
                          .bias = bias,
                          .n = w->n,
                          .k = w->k,
                          .rows = run.rows,
                          .groups = run.groups};
        g += run.groups;
        if (few_rows(run.rows, w->k)) {
            /* all that follow and have few rows too: one walk over the weight */
            while (g < ragged->groups && few_rows(vt_ragged_rows(ragged, g), w->k)) ++g;
            p.rows = ragged->begin[g] - run.row;
            linear_few(kern, &p);
            continue;
        }
        p.tiles = tiling_of(p.rows, p.n);
        p.per_group = p.tiles.row_tiles * p.tiles.column_tiles;
        loop.of[loop.count] = p;
        loop.first_task[loop.count + 1] = loop.first_task[loop.count] + p.per_group * p.groups;
        if (++loop.count == MOST_RUNS) ragged_deal(kern, &loop);
    }
    ragged_deal(kern, &loop);
}

static int64_t single_pieces(const product_loop *p) {
    return vt_cpu_pieces(p->k, 128);
}

/* A task is a strip of columns of dx, one row a group. */
static void linear_dx_single_part(const vt_kern *kern, const void *args, vt_span span) {
    const product_loop *p = args;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t begin = vt_cpu_piece_begin(p->k, single_pieces(p), 32, i);
        int64_t end = vt_cpu_piece_begin(p->k, single_pieces(p), 32, i + 1);
        if (end == begin) continue;
        for (int64_t g = 0; g < p->groups; ++g) {
            float *to = p->out + g * p->k + begin;
            if (!p->accumulate) memset(to, 0, (size_t)(end - begin) * sizeof *to);
            vt_cpu_sgemv_add(CblasTrans, (int)p->n, (int)(end - begin), p->w + begin, (int)p->k,
                             p->in + g * p->n, to);
        }
    }
}

static void linear_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const product_loop *p = args;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i) {
        const tile at = tile_at(&p->tiles, i % p->per_group);
        if (at.rows == 0 || at.columns == 0) continue;
        int64_t first = i / p->per_group * p->rows + at.row;
        vt_cpu_sgemm(CblasNoTrans, CblasNoTrans, (int)at.rows, (int)at.columns, (int)p->n, 1.0f,
                     p->in + first * p->n, (int)p->n, p->w + at.column, (int)p->k,
                     p->accumulate ? 1.0f : 0.0f, p->out + first * p->k + at.column, (int)p->k);
    }
}

static void linear_dx(vt_kern *kern, float *dx, const float *dy, const vt_weight *w, int groups,
                      int rows, bool accumulate) {
    if (groups <= 0 || rows <= 0) return;
    product_loop p = {.out = dx,
                      .in = dy,
                      .w = w->w,
                      .n = w->n,
                      .k = w->k,
                      .rows = rows,
                      .groups = groups,
                      .accumulate = accumulate};
    if (rows == 1) {
        vt_cpu_split(kern, p.n * p.k * groups > VT_CPU_PARALLEL_MIN, single_pieces(&p),
                     linear_dx_single_part, &p);
        return;
    }
    run_tiles(kern, &p, tiling_of(rows, p.k), linear_dx_part);
}

enum { STRIP = 64 }; /* columns a task of the gradient of a bias */

static void bias_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const product_loop *p = args;
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t begin = i * STRIP;
        int width = (int)(p->n - begin < STRIP ? p->n - begin : STRIP);
        double sums[STRIP] = {0};
        vt_cpu_loops(kern)->column_sums(sums, p->in + begin, (size_t)p->n, (int)p->rows, width);
        for (int c = 0; c < width; ++c) p->out[begin + c] += (float)sums[c];
    }
}

static void linear_dw_part(const vt_kern *kern, const void *args, vt_span span) {
    const product_loop *p = args;
    const int n = (int)p->n, k = (int)p->k;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i) {
        const tile at = tile_at(&p->tiles, i);
        if (at.rows == 0 || at.columns == 0) continue;
        vt_cpu_sgemm(CblasTrans, CblasNoTrans, (int)at.rows, (int)at.columns, (int)p->rows, 1.0f,
                     p->in + at.row, n, p->other + at.column, k, 1.0f,
                     p->out + at.row * k + at.column, k);
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
    const tiling tiles = {.rows = n,
                          .columns = k,
                          .row_tiles = vt_cpu_pieces(n, high),
                          .column_tiles = vt_cpu_pieces(k, wide)};
    product_loop p = {.out = dw, .in = dy, .other = x, .n = n, .k = k, .rows = rows, .groups = 1};
    run_tiles(kern, &p, tiles, linear_dw_part);
    p.out = db;
    if (db)
        vt_cpu_split(kern, p.n * rows > VT_CPU_PARALLEL_MIN, vt_cpu_pieces(n, STRIP), bias_dx_part,
                     &p);
}

void vt_cpu_fill_products(vt_kern *kern) {
    kern->linear_dx = linear_dx;
    kern->linear_dw = linear_dw;
}

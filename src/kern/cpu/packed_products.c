/* packed_products.c - y = epilogue(x W^T + bias) with W packed in panels of bf16 (isa/tiles.h),
 * int8 (isa/tiles8.h) or int4 (isa/tiles4.h), rows of all groups together.
 *
 * x becomes rows of whole depth once: bf16 (not at all where it is given as such), or int8 with a scale
 * a block or a row where the weight is int8 or int4 (and those spread as the tiles read them, where they do not read them as
 * they are). Then the columns are cut into blocks of up to 64 that
 * stay in a core's second cache: a block is read from memory once, and every tile of rows goes through
 * it. A tile's sums are finished (isa/finish.c) while they are in the first cache. Rows are cut as well
 * where there are too few blocks to feed many threads; all cuts follow from the sizes alone.
 *
 *     W, panels one after another      | block 0: 64 columns | block 1 | ... | last |    a block is a task,
 *                                                                                        or with few blocks
 *     x   tile 0  rows 0 .. 23            t0                    t0                       a piece of its rows
 *         tile 1  rows 24 .. 47           t1                    t1
 *         ...                             ...                   ...
 *         last                            a tile's sums -> epilogue -> y, keys, values
 *
 * A block of 64 columns is what a tile holds (isa/tiles.h). At a depth of 1920 it is 240 KB of bf16; only
 * beyond 6144 would it leave BLOCK_BYTES, and is halved. x is the smaller side and passes again for each
 * block, from the second cache or the third; the weights, which do not fit there, pass once. */
#include "kern/cpu/packed_products.h"

#include "kern/cpu/cpu.h"
#include "kern/cpu/product_finish.h"
#include "kern/cpu/weight.h"
#include "kern/int4.h"

#include <string.h>

enum {
    LINE = 64,
    /* Of bf16 panels, in a second cache of 1 MB or more; the rest is for a tile's rows of x and y. */
    BLOCK_BYTES = 768 << 10,
    ENOUGH_TASKS = 64,
    FETCH_BYTES = 8192, /* of a thread's first weights, asked for before x is rounded */
    PIECE_ROWS = 96,    /* a task has at least so many rows, if there are */
    /* Strides of x on which the first cache has room for few rows (64 sets of 8 or 12 lines): 2 KB apart
     * all rows lie on two sets, 4 KB apart on one. */
    FEW_ROWS = 6, /* few enough for one set */
    LOW_ROWS = 12 /* for two */
};

typedef struct packed_plan {
    const vt_product *args;
    const vt_weight *w;
    const vt_tiles *tiles;
    const vt_tiles8 *tiles8;
    const vt_tiles4 *tiles4; /* NULL: the weight is not int4 */
    int64_t rows;
    bool int8;       /* x becomes int8 */
    bool stream;     /* one tile of such rows: a thread takes one stretch of the weight */
    bool convert;    /* x goes to the workspace first */
    size_t x_stride; /* of the rows that tiles read: numbers */
    vt_rows8 rows8;  /* of int8 */
    size_t panel;    /* bytes of a panel */
    int tile_rows;
    vt_product_finish finish;
    int block_columns;           /* of a block, at most */
    int64_t part_blocks, pieces; /* blocks of a part; pieces of the rows */
    size_t x_bytes, y_bytes;     /* of the workspace's places: x, x spread, y */
    uint16_t *x;                 /* rows of bf16, in the workspace or the caller's */
    int8_t *x8;                  /* of int8, in the workspace */
    size_t spread_bytes;         /* of the workspace; 0: the tiles read rows of int8 as they are */
    int16_t *spread;             /* tile after tile of the same rows (vt_tiles8.spread) */
    int spread_step;             /* int16 numbers from a row of a tile to the next */
    size_t spread_row;           /* ... that a row takes in all */
} packed_plan;

static size_t whole_lines(size_t bytes) {
    return (bytes + LINE - 1) / LINE * LINE;
}

static void plan_x(packed_plan *p) {
    const vt_product *a = p->args;
    if (p->int8) {
        p->convert = true;
        p->tile_rows = p->tiles4 ? p->tiles4->most_rows : p->tiles8->most_rows;
        p->rows8 = vt_rows8_of(p->w->k, p->w->spec.whole);
        p->x_bytes = (size_t)p->rows * p->rows8.stride;
        p->spread_step = p->tiles4 ? p->tiles4->spread_group : VT_SPREAD_STEP;
        p->spread_row = (size_t)p->rows8.depth;
        if (p->tiles4) p->spread_row = p->spread_row / VT_INT4_GROUP * (size_t)p->spread_step;
        return;
    }
    const size_t k = (size_t)p->w->k, depth = (size_t)p->w->depth * (size_t)p->w->spec.taps;
    p->x_stride = k;
    p->convert = a->x_type == VT_NUMBER_F32 || depth != k;
    p->tile_rows = p->tiles->most_rows;
    /* Rows of a tile that share a few sets of the first cache push each other out: x is copied to
     * other strides, or, where that costs more than it gives, tiles are made lower. */
    if (p->rows > FEW_ROWS && k % 2048 == 0) p->convert = true;
    if (!p->convert && k % 1024 == 0 && p->tile_rows > LOW_ROWS) p->tile_rows = LOW_ROWS;
    if (!p->convert) return;
    p->x_stride = depth;
    if (depth / VT_TILE_DEPTH % 2 == 0) p->x_stride += VT_TILE_DEPTH;
    p->x_bytes = whole_lines((size_t)p->rows * p->x_stride * sizeof(uint16_t));
}

static void plan_blocks(packed_plan *p) {
    const int least =
        p->finish.parts == 3 ? p->args->qkv->head_dim : VT_PANEL; /* heads stay whole */
    p->block_columns = VT_TILE_COLUMNS;
    while (p->block_columns > least &&
           p->panel * (size_t)(p->block_columns / VT_PANEL) > BLOCK_BYTES)
        p->block_columns /= 2;
    p->part_blocks = vt_cpu_pieces(p->finish.part_columns, p->block_columns);
    int64_t blocks = p->part_blocks * p->finish.parts;
    int64_t most = vt_cpu_pieces(p->rows, PIECE_ROWS), wanted = vt_cpu_pieces(ENOUGH_TASKS, blocks);
    p->pieces = wanted < most ? wanted : most;
}

static void plan_make(packed_plan *p, const vt_kern *kern, const vt_product *a) {
    *p = (packed_plan){.args = a,
                       .w = a->w,
                       .tiles = vt_cpu_tiles(kern),
                       .tiles8 = vt_cpu_tiles8(kern),
                       .int8 = a->w->spec.type >= VT_NUMBER_INT8};
    if (a->w->spec.type == VT_NUMBER_INT4) p->tiles4 = vt_cpu_tiles4(kern);
    vt_product_finish_make(&p->finish, p->tiles, a);
    p->rows = p->finish.rows;
    p->panel = vt_cpu_panel_bytes(a->w);
    plan_x(p);
    plan_blocks(p);
    p->tile_rows = (int)vt_cpu_pieces(p->rows, vt_cpu_pieces(p->rows, p->tile_rows));
    p->stream = p->int8 && p->rows <= p->tile_rows;
    if (p->int8 && (p->tiles4 || p->tiles8->spread))
        p->spread_bytes = (size_t)(vt_cpu_pieces(p->rows, p->tile_rows) * p->tile_rows) *
                          p->spread_row * sizeof(int16_t);
    if (p->finish.split) p->y_bytes = (size_t)p->rows * (size_t)a->w->n * sizeof(float);
}

static void plan_place(packed_plan *p, char *workspace) {
    size_t past = (uintptr_t)workspace % LINE;
    workspace += past ? LINE - past : 0;
    p->x = p->convert ? (uint16_t *)(void *)workspace : (uint16_t *)(uintptr_t)p->args->x;
    p->x8 = (int8_t *)workspace;
    p->spread = (int16_t *)(void *)(workspace + p->x_bytes);
    if (p->finish.split) p->finish.y = (float *)(void *)(workspace + p->x_bytes + p->spread_bytes);
}

size_t vt_cpu_packed_workspace(const vt_kern *kern, const vt_product *a) {
    if (a->groups <= 0 || a->rows <= 0) return 0;
    packed_plan p;
    plan_make(&p, kern, a);
    /* one line more: the workspace may begin inside one */
    return LINE + p.x_bytes + p.spread_bytes + p.y_bytes;
}

/* ---- x as rows of whole depth ---- */

/* Where the tile that begins with row `first` has its rows spread; tiles begin at multiples of tile_rows. */
static int16_t *spread_of(const packed_plan *p, int64_t first) {
    return p->spread + (size_t)first * p->spread_row;
}

static void row_quantise(const packed_plan *p, int64_t row) {
    const vt_product *a = p->args;
    const size_t at = (size_t)row * (size_t)p->w->k * vt_number_size(a->x_type);
    int8_t *to = p->x8 + (size_t)row * p->rows8.stride;
    p->tiles8->quantise(to, &p->rows8, (const char *)a->x + at, a->x_type, (size_t)p->w->k);
    if (p->spread_bytes == 0) return;
    const int64_t slot = row % p->tile_rows;
    (p->tiles4 ? p->tiles4->spread : p->tiles8->spread)(
        spread_of(p, row - slot) + slot * p->spread_step, to, p->rows8.depth, p->tile_rows);
}

static void row_convert(const packed_plan *p, int64_t row) {
    const vt_product *a = p->args;
    if (p->int8) {
        row_quantise(p, row);
        return;
    }
    const size_t taps = (size_t)p->w->spec.taps, depth = (size_t)p->w->depth;
    const size_t length = (size_t)p->w->k / taps;
    uint16_t *to = p->x + (size_t)row * p->x_stride;
    for (size_t tap = 0; tap < taps; ++tap, to += depth) {
        size_t at = (size_t)row * (size_t)p->w->k + tap * length;
        if (a->x_type == VT_NUMBER_BF16)
            memcpy(to, (const uint16_t *)a->x + at, length * sizeof *to);
        else
            p->tiles->to_bf16(to, (const float *)a->x + at, length);
        memset(to + length, 0, (depth - length) * sizeof *to);
    }
}

/* ---- one block of columns against one piece of the rows ---- */

static void block_make(const packed_plan *p, int64_t i, vt_finish_block *b) {
    const int column = (int)(i % p->part_blocks) * p->block_columns;
    const int left = p->finish.part_columns - column;
    vt_finish_block_make(&p->finish, (int)(i / p->part_blocks), column,
                         left < p->block_columns ? left : p->block_columns, b);
}

/* Rows [first, first + rows) against the panels of a block. */
static void tile_product(const packed_plan *p, const vt_finish_block *b, int64_t first, int rows,
                         float *sums) {
    const char *panels = (const char *)p->w->numbers + (size_t)(b->column / VT_PANEL) * p->panel;
    const int count = (b->columns + VT_PANEL - 1) / VT_PANEL;
    if (p->int8) {
        (p->tiles4 ? p->tiles4->product
                   : p->tiles8->product)(&(vt_tile8){.out = sums,
                                                     .a = p->x8 + (size_t)first * p->rows8.stride,
                                                     .x = p->rows8,
                                                     .b = (const uint8_t *)panels,
                                                     .b_stride = p->panel,
                                                     .rows = rows,
                                                     .panels = count,
                                                     .spread = spread_of(p, first),
                                                     .spread_rows = p->tile_rows});
        return;
    }
    p->tiles->product(&(vt_tile){.out = sums,
                                 .a = p->x + (size_t)first * p->x_stride,
                                 .a_stride = p->x_stride,
                                 .b = (const uint16_t *)(const void *)panels,
                                 .b_stride = p->panel / sizeof(uint16_t),
                                 .taps = 1,
                                 .depth = p->w->depth * p->w->spec.taps,
                                 .rows = rows,
                                 .panels = count});
}

static void task_run(const packed_plan *p, int64_t task) {
    float sums[VT_TILE_MOST_ROWS * VT_TILE_COLUMNS] __attribute__((aligned(LINE)));
    vt_finish_block b;
    block_make(p, task / p->pieces, &b);
    const int64_t piece = task % p->pieces;
    const int64_t begin = vt_cpu_piece_begin(p->rows, p->pieces, p->tile_rows, piece);
    const int64_t end = vt_cpu_piece_begin(p->rows, p->pieces, p->tile_rows, piece + 1);
    if (begin == end) return;
    (p->int8 ? p->tiles8->begin : p->tiles->begin)();
    for (int64_t r = begin; r < end; r += p->tile_rows) {
        const int rows = end - r < p->tile_rows ? (int)(end - r) : p->tile_rows;
        vt_finish_block_ask(&p->finish, &b, r, rows);
        tile_product(p, &b, r, rows, sums);
        vt_finish_block_run(&p->finish, &b, r, rows, sums);
    }
    (p->int8 ? p->tiles8->end : p->tiles->end)();
}

/* The first weights of a task, on their way while x is brought to its form. */
static void task_fetch(const packed_plan *p, int64_t task) {
    vt_finish_block b;
    block_make(p, task / p->pieces, &b);
    const char *at = (const char *)p->w->numbers + (size_t)(b.column / VT_PANEL) * p->panel;
    for (int i = 0; i < FETCH_BYTES; i += LINE) __builtin_prefetch(at + i, 0, 2);
}

static int64_t task_count(const packed_plan *p) {
    return p->part_blocks * p->finish.parts * p->pieces;
}

/* Brings rows of x to their form. A task is a thread's share of the rows: it asks for that thread's first weights first. */
static void convert_part(const vt_kern *kern, const void *args, vt_span span) {
    const packed_plan *p = args;
    const int64_t tasks = task_count(p), threads = kern->threads;
    for (int64_t t = span.begin; t < span.end; ++t) {
        const int64_t begin = tasks * t / threads, end = tasks * (t + 1) / threads;
        if (p->stream && begin < end) task_fetch(p, begin);
        for (int64_t r = p->rows * t / threads; r < p->rows * (t + 1) / threads; ++r)
            row_convert(p, r);
    }
}

static void product_part(const vt_kern *kern, const void *args, vt_span span) {
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i) task_run(args, i);
}

void vt_cpu_packed_product(vt_kern *kern, const vt_product *a) {
    packed_plan p;
    plan_make(&p, kern, a);
    plan_place(&p, a->workspace);
    const bool wide = (int64_t)a->w->n * a->w->k * p.rows > VT_CPU_PARALLEL_MIN;
    if (p.convert) vt_cpu_split(kern, wide, kern->threads, convert_part, &p);
    (p.stream ? vt_cpu_split : vt_cpu_deal)(kern, wide, task_count(&p), product_part, &p);
    if (!p.finish.split) return;
    vt_qkv split = *a->qkv;
    split.qkv = p.finish.y;
    kern->qkv_split(kern, &split);
}

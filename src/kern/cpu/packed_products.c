/* packed_products.c - y = epilogue(x W^T + bias) with W packed in panels of bf16 (isa/tiles.h) or
 * int8 (isa/tiles8.h), rows of all groups together.
 *
 * x becomes rows of whole depth once: bf16 (not at all where it is given as such), or int8 in blocks
 * with a scale each where the weight is int8. Then the columns are cut into blocks of up to 64 that
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
#include "kern/cpu/weight.h"
#include "kern/ragged.h"

#include <math.h>
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
    int64_t rows;
    bool int8;
    bool stream;     /* one tile of int8 rows: a thread takes one stretch of the weight */
    bool convert;    /* x goes to the workspace first */
    bool split;      /* QKV as a pass of its own, after a plain product into the workspace */
    size_t x_stride; /* of the rows that tiles read: numbers, or blocks of int8 */
    size_t panel;    /* bytes of a panel */
    int tile_rows;
    int parts;                   /* QKV: 3, whose columns share no block; else 1 */
    int part_columns;            /* columns of a part */
    int block_columns;           /* of a block, at most */
    int64_t part_blocks, pieces; /* blocks of a part; pieces of the rows */
    size_t x_bytes, y_bytes;     /* of the workspace's places, in this order */
    uint16_t *x;                 /* rows of bf16, in the workspace or the caller's */
    vt_block8 *blocks;           /* of int8, in the workspace */
    float *y;                    /* split: (rows, n) */
} packed_plan;

static size_t whole_lines(size_t bytes) {
    return (bytes + LINE - 1) / LINE * LINE;
}

/* Heads that lie whole in the blocks of finish. */
static bool heads_fit(const vt_product *a) {
    int dim = a->qkv->head_dim;
    return !a->bias && (dim == 16 || dim == 32 || dim == 64);
}

static void plan_x(packed_plan *p) {
    const vt_product *a = p->args;
    if (p->int8) {
        p->convert = true;
        p->tile_rows = p->tiles8->most_rows;
        p->x_stride = (size_t)vt_cpu_pieces(p->w->k, VT_INT8_BLOCK);
        p->x_bytes = whole_lines((size_t)p->rows * p->x_stride * sizeof(vt_block8));
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
    const int least = p->parts == 3 ? p->args->qkv->head_dim : VT_PANEL; /* heads stay whole */
    p->block_columns = VT_TILE_COLUMNS;
    while (p->block_columns > least &&
           p->panel * (size_t)(p->block_columns / VT_PANEL) > BLOCK_BYTES)
        p->block_columns /= 2;
    p->part_blocks = vt_cpu_pieces(p->part_columns, p->block_columns);
    int64_t blocks = p->part_blocks * p->parts;
    int64_t most = vt_cpu_pieces(p->rows, PIECE_ROWS), wanted = vt_cpu_pieces(ENOUGH_TASKS, blocks);
    p->pieces = wanted < most ? wanted : most;
}

static void plan_make(packed_plan *p, const vt_kern *kern, const vt_product *a) {
    *p = (packed_plan){.args = a,
                       .w = a->w,
                       .tiles = vt_cpu_tiles(kern),
                       .tiles8 = vt_cpu_tiles8(kern),
                       .int8 = a->w->spec.type == VT_NUMBER_INT8,
                       .parts = 1};
    p->rows = (int64_t)a->groups * a->rows;
    p->panel =
        (size_t)a->w->depth * (size_t)a->w->spec.taps * VT_PANEL * vt_number_size(a->w->spec.type);
    p->split = a->epilogue == VT_EPILOGUE_QKV && !heads_fit(a);
    if (a->epilogue == VT_EPILOGUE_QKV && !p->split) p->parts = 3;
    p->part_columns = a->w->n / p->parts;
    plan_x(p);
    plan_blocks(p);
    p->tile_rows = (int)vt_cpu_pieces(p->rows, vt_cpu_pieces(p->rows, p->tile_rows));
    p->stream = p->int8 && p->rows <= p->tile_rows;
    if (p->split) p->y_bytes = (size_t)p->rows * (size_t)a->w->n * sizeof(float);
}

static void plan_place(packed_plan *p, char *workspace) {
    size_t past = (uintptr_t)workspace % LINE;
    workspace += past ? LINE - past : 0;
    p->x = p->convert ? (uint16_t *)(void *)workspace : (uint16_t *)(uintptr_t)p->args->x;
    p->blocks = (vt_block8 *)(void *)workspace;
    p->y = (float *)(void *)(workspace + p->x_bytes);
}

size_t vt_cpu_packed_workspace(const vt_kern *kern, const vt_product *a) {
    if (a->groups <= 0 || a->rows <= 0) return 0;
    packed_plan p;
    plan_make(&p, kern, a);
    /* one line more: the workspace may begin inside one */
    return LINE + p.x_bytes + p.y_bytes;
}

/* ---- x as rows of whole depth ---- */

static void row_convert(const packed_plan *p, int64_t row) {
    const vt_product *a = p->args;
    if (p->int8) {
        const size_t at = (size_t)row * (size_t)p->w->k * vt_number_size(a->x_type);
        p->tiles8->quantise(p->blocks + (size_t)row * p->x_stride, (const char *)a->x + at,
                            a->x_type, (size_t)p->w->k);
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

/* One block: where its columns are and what becomes of them. */
typedef struct block {
    int part, column, columns; /* columns of the whole matrix */
    vt_finish finish;          /* of row 0 */
    float head_scale[VT_TILE_COLUMNS / 16];
} block;

static void block_heads(const packed_plan *p, block *b) {
    const vt_qkv *q = p->args->qkv;
    const int column = b->column - b->part * p->part_columns, first = column / q->head_dim;
    vt_finish *f = &b->finish;
    f->head_dim = q->head_dim;
    f->unit = q->scale_mul && b->part < 2;
    f->bias = b->part == 0 ? q->q_bias + column : b->part == 2 ? q->v_bias + column : NULL;
    f->y_type = b->part == 0 ? VT_NUMBER_F32 : q->kv_type;
    f->y_stride = b->part == 0 ? (size_t)p->part_columns : q->kv_stride;
    f->y = b->part == 0 ? q->q : b->part == 1 ? q->k : q->v;
    if (b->part > 0 && q->ragged) { /* each stream's own, see ragged_finish */
        f->y_stride = (size_t)p->part_columns;
        f->scales_stride = (size_t)q->heads;
        return;
    }
    f->y = (char *)f->y + (size_t)column * vt_number_size(f->y_type);
    if (f->y_type == VT_NUMBER_INT8) {
        f->scales = (b->part == 1 ? q->k_scale : q->v_scale) + first;
        f->scales_stride = (size_t)q->heads;
    }
    if (!f->unit || b->part != 0) return;
    const float ln_100 = 4.605170186f;
    for (int h = 0; h * q->head_dim < b->columns; ++h)
        b->head_scale[h] = (float)exp((double)fminf(q->scale_mul[first + h], ln_100));
    f->head_scale = b->head_scale;
}

static void block_make(const packed_plan *p, int64_t i, block *b) {
    const vt_product *a = p->args;
    *b = (block){.part = (int)(i / p->part_blocks)};
    int column = (int)(i % p->part_blocks) * p->block_columns, left = p->part_columns - column;
    b->column = b->part * p->part_columns + column;
    b->columns = left < p->block_columns ? left : p->block_columns;
    vt_finish *f = &b->finish;
    *f = (vt_finish){.columns = b->columns,
                     .epilogue = p->split ? VT_EPILOGUE_STORE : a->epilogue,
                     .scale = p->w->scale ? p->w->scale + b->column : NULL,
                     .bias = a->bias ? a->bias + b->column : NULL,
                     .y_type = p->split ? VT_NUMBER_F32 : a->y_type,
                     .y_stride = (size_t)p->w->n};
    if (p->parts == 3)
        block_heads(p, b);
    else if (p->split)
        f->y = p->y + b->column;
    else
        f->y = (char *)a->y + (size_t)b->column * vt_number_size(a->y_type);
}

/* Rows [first, first + count), of one group where the epilogue asks for that, whose sums begin at `sums`. */
static void rows_finish(const packed_plan *p, const block *b, int64_t first, int count,
                        const float *sums) {
    const vt_product *a = p->args;
    const size_t group = (size_t)(first / a->rows), row = (size_t)(first % a->rows);
    vt_finish f = b->finish;
    f.sums = sums;
    f.rows = count;
    if (f.epilogue == VT_EPILOGUE_GATE_ADD)
        f.gamma = a->gamma + group * a->gamma_stride + b->column;
    size_t at = (size_t)first * f.y_stride;
    if (f.epilogue == VT_EPILOGUE_QKV && b->part > 0) {
        at = group * a->qkv->kv_group_stride + row * f.y_stride;
        if (f.scales) f.scales += group * a->qkv->scale_group_stride + row * f.scales_stride;
    }
    f.y = (char *)f.y + at * vt_number_size(f.y_type);
    p->tiles->finish(&f);
}

/* The same where rows are ragged. */
static void ragged_finish(const packed_plan *p, const block *b, int64_t first, int count, int group,
                          const float *sums) {
    const vt_product *a = p->args;
    const vt_ragged *ragged = a->ragged;
    const int64_t row = first - ragged->begin[group];
    vt_finish f = b->finish;
    f.sums = sums;
    f.rows = count;
    int64_t at = first;
    if (f.epilogue == VT_EPILOGUE_GATE_ADD) {
        f.gamma = ragged->mod[group] + a->gamma_at + b->column;
        at = ragged->at[group] + row;
    } else if (b->part > 0) { /* f.y is the place of row 0, column 0 of a stream's keys or values */
        const vt_stream_rows *kv = &ragged->kv[group];
        const size_t column = (size_t)(b->column - b->part * p->part_columns);
        const float *scales = b->part == 1 ? kv->k_scale : kv->v_scale;
        at = kv->held + row;
        f.y = (char *)(b->part == 1 ? kv->k : kv->v) + column * vt_number_size(f.y_type);
        if (scales)
            f.scales = (float *)(uintptr_t)scales + column / (size_t)f.head_dim +
                       (size_t)at * f.scales_stride;
    }
    f.y = (char *)f.y + (size_t)at * f.y_stride * vt_number_size(f.y_type);
    p->tiles->finish(&f);
}

static void tile_finish(const packed_plan *p, const block *b, int64_t first, int rows,
                        const float *sums) {
    const vt_product *a = p->args;
    const bool by_group = b->finish.epilogue >= VT_EPILOGUE_GATE_ADD;
    int group = by_group && a->ragged ? vt_ragged_find(a->ragged, first) : 0;
    for (int r = 0; r < rows;) {
        const int64_t row = first + r;
        int64_t end = !by_group   ? first + rows
                      : a->ragged ? a->ragged->begin[group + 1]
                                  : (row / a->rows + 1) * a->rows;
        int count = end < first + rows ? (int)(end - row) : rows - r;
        if (by_group && a->ragged)
            ragged_finish(p, b, row, count, group++, sums + r * VT_TILE_COLUMNS);
        else
            rows_finish(p, b, row, count, sums + r * VT_TILE_COLUMNS);
        r += count;
    }
}

/* Asks for the lines of y that a tile will end in, which come while it is multiplied. */
static void lines_ask(const packed_plan *p, const block *b, int64_t first, int rows) {
    const vt_finish *f = &b->finish;
    const vt_ragged *ragged = p->args->ragged;
    if (f->epilogue == VT_EPILOGUE_QKV && b->part > 0) return; /* rows of a cache, group by group */
    const size_t number = vt_number_size(f->y_type), bytes = (size_t)b->columns * number;
    if (f->epilogue == VT_EPILOGUE_GATE_ADD &&
        ragged) { /* mostly of one group, or of groups side by side */
        int group = vt_ragged_find(ragged, first);
        first += ragged->at[group] - ragged->begin[group];
    }
    const char *y = (const char *)f->y + (size_t)first * f->y_stride * number;
    for (int r = 0; r < rows; ++r, y += f->y_stride * number)
        for (size_t at = 0; at < bytes; at += LINE) __builtin_prefetch(y + at, 1);
}

/* Rows [first, first + rows) against the panels of a block. */
static void tile_product(const packed_plan *p, const block *b, int64_t first, int rows,
                         float *sums) {
    const char *panels = (const char *)p->w->numbers + (size_t)(b->column / VT_PANEL) * p->panel;
    const int count = (b->columns + VT_PANEL - 1) / VT_PANEL;
    if (p->int8) {
        p->tiles8->product(&(vt_tile8){.out = sums,
                                       .a = p->blocks + (size_t)first * p->x_stride,
                                       .a_stride = p->x_stride,
                                       .b = (const uint8_t *)panels,
                                       .b_stride = p->panel,
                                       .depth = p->w->depth,
                                       .rows = rows,
                                       .panels = count});
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
    block b;
    block_make(p, task / p->pieces, &b);
    const int64_t piece = task % p->pieces;
    const int64_t begin = vt_cpu_piece_begin(p->rows, p->pieces, p->tile_rows, piece);
    const int64_t end = vt_cpu_piece_begin(p->rows, p->pieces, p->tile_rows, piece + 1);
    if (begin == end) return;
    (p->int8 ? p->tiles8->begin : p->tiles->begin)();
    for (int64_t r = begin; r < end; r += p->tile_rows) {
        const int rows = end - r < p->tile_rows ? (int)(end - r) : p->tile_rows;
        lines_ask(p, &b, r, rows);
        tile_product(p, &b, r, rows, sums);
        tile_finish(p, &b, r, rows, sums);
    }
    (p->int8 ? p->tiles8->end : p->tiles->end)();
}

/* The first weights of a task, on their way while x is brought to its form. */
static void task_fetch(const packed_plan *p, int64_t task) {
    block b;
    block_make(p, task / p->pieces, &b);
    const char *at = (const char *)p->w->numbers + (size_t)(b.column / VT_PANEL) * p->panel;
    for (int i = 0; i < FETCH_BYTES; i += LINE) __builtin_prefetch(at + i, 0, 2);
}

static int64_t task_count(const packed_plan *p) {
    return p->part_blocks * p->parts * p->pieces;
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
    if (!p.split) return;
    vt_qkv split = *a->qkv;
    split.qkv = p.y;
    kern->qkv_split(kern, &split);
}

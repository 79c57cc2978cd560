/* square_products.c - y = epilogue(x W^T + bias) for many rows where tiles come in squares (vt_tiles.squares: AMX), whose
 * arithmetic is so fast that everything around it has to be kept out of its way.
 *
 * x lies in tiles (isa/tiles.h): who makes it, a norm or an earlier product's gelu, writes it so (VT_NUMBER_LAID); other x is
 * laid first. Then a task is some columns, a few units of 64, against a piece of the rows:
 *
 *     a task           unit 0    unit 1 ..  64 columns each; all its panels stay in the second cache
 *     rows  0 .. 31    band 0    band 1     a band: up to two row tiles by four panels, squares of 2 x 2
 *     rows 32 .. 63    band 2    band 3
 *      ...
 *
 * - A band's sums are finished row by row between the steps of the next band, whose tile instructions leave the vector units
 *   idle; so each band's sums have a place of their own, and two are enough.
 * - Depth beyond DEEP is cut into stretches, outermost: else neither the panels of a task nor its tiles of x stay in the
 *   second cache, and x comes again for every 64 columns. The sums of every band then wait between two stretches as float32,
 *   which is what they are in the registers: not a bit of them changes.
 * - While a task runs a thread claims its next one, late, and asks for that one's panels: bands ahead, to the second cache.
 * - The cut into columns and rows is the one with the least to read among those that have enough tasks for the threads.
 *
 * A number's sum runs over depth alone, 32 at a time, whatever the cut: so here, and nowhere else in this backend, the cut
 * may follow the number of threads. */
#include "kern/cpu/square_products.h"

#include "kern/cpu/cpu.h"
#include "kern/cpu/product_finish.h"
#include "kern/cpu/weight.h"

#include <stdatomic.h>
#include <string.h>

enum {
    LINE = 64,
    DEEP =
        2048, /* numbers of depth; more are cut, where there are enough rows to use a stretch often */
    STRETCH = 1024,
    FEW_ROWS = 128,
    UNIT = VT_TILE_COLUMNS,
    /* columns of a task, at most: of few rows, of many, of a stretch */
    FEW_COLUMNS = 64,
    COLUMNS = 128,
    STRETCH_COLUMNS = 256,
    MOST_UNITS = STRETCH_COLUMNS / UNIT,
    MOST_ROWS = 512,                         /* of a task: x's tiles stay near while columns pass */
    BAND = VT_SQUARE_ROWS * VT_TILE_COLUMNS, /* sums of a band: floats */
    ASKED_A_STEP = 4 /* lines, with which the next task is claimed early enough */
};

typedef struct square_plan {
    vt_product_finish finish;
    const vt_weight *w;
    const vt_tiles *tiles;
    int64_t rows, row_tiles;
    int steps, stretches;                /* of the whole depth */
    int64_t part_blocks, blocks, pieces; /* columns of a part, of all, and rows, cut into so many */
    int64_t tasks;
    int workers;                /* that may claim tasks */
    size_t room;                /* floats of a worker's sums */
    size_t x_bytes, sums_bytes; /* of the workspace's places; then y, where QKV is split */
    uint16_t *x;
    float *sums;
    _Atomic int64_t *next; /* task to be claimed */
} square_plan;

/* ---- the plan ---- */

static int64_t at_least(int64_t a, int64_t b) {
    return a > b ? a : b;
}

static int64_t at_most(int64_t a, int64_t b) {
    return a < b ? a : b;
}

/* The pieces of the rows that make `wanted` tasks of so many blocks, as far as rows go. */
static int64_t pieces_for(const square_plan *p, int64_t blocks, int64_t wanted) {
    const int64_t least = vt_cpu_pieces(p->rows, MOST_ROWS);
    const int64_t most = vt_cpu_pieces(p->rows, VT_SQUARE_ROWS);
    return at_most(at_least(vt_cpu_pieces(wanted, blocks), least), most);
}

/* Columns and rows of a task. W is read once a piece of the rows, x once a block of columns. */
static void plan_cut(square_plan *p, int threads) {
    const int64_t wanted = threads == 1 ? 1 : threads * (threads < 16 ? 8 : 4);
    const int parts = p->finish.parts;
    int64_t least = INT64_MAX, most_tasks = 0;
    int columns = p->stretches > 1 ? STRETCH_COLUMNS : p->rows > FEW_ROWS ? COLUMNS : FEW_COLUMNS;
    for (; columns >= UNIT; columns /= 2) {
        const int64_t part_blocks = vt_cpu_pieces(p->finish.part_columns, columns);
        const int64_t blocks = part_blocks * parts, pieces = pieces_for(p, blocks, wanted);
        const int64_t tasks = at_most(blocks * pieces, wanted);
        const int64_t reads = p->rows * blocks + p->w->n * pieces;
        if (tasks < most_tasks || (tasks == most_tasks && reads >= least)) continue;
        most_tasks = tasks;
        least = reads;
        p->part_blocks = part_blocks;
        p->blocks = blocks;
        p->pieces = pieces;
    }
    p->tasks = p->blocks * p->pieces;
    p->workers = (int)at_most(threads, p->tasks);
}

static size_t whole_lines(size_t bytes) {
    return (bytes + LINE - 1) / LINE * LINE;
}

static void plan_make(square_plan *p, const vt_kern *kern, const vt_product *a) {
    *p = (square_plan){.w = a->w, .tiles = vt_cpu_tiles(kern)};
    vt_product_finish_make(&p->finish, p->tiles, a);
    p->rows = p->finish.rows;
    p->row_tiles = vt_cpu_pieces(p->rows, VT_ROW_TILE);
    const int64_t depth = (int64_t)a->w->depth * a->w->spec.taps;
    p->steps = (int)(depth / VT_TILE_DEPTH);
    p->stretches = depth > DEEP && p->rows > FEW_ROWS ? (int)vt_cpu_pieces(depth, STRETCH) : 1;
    plan_cut(p, kern->threads);
    int64_t bands = 2;
    if (p->stretches > 1) /* of the largest task */
        bands = vt_cpu_pieces(vt_cpu_pieces(p->rows, VT_SQUARE_ROWS), p->pieces) *
                vt_cpu_pieces(vt_cpu_pieces(p->finish.part_columns, UNIT), p->part_blocks);
    p->room = (size_t)bands * BAND;
    if (a->x_type != VT_NUMBER_LAID)
        p->x_bytes = (size_t)p->row_tiles * (size_t)p->steps * VT_TILE_NUMBERS * sizeof(uint16_t);
    p->sums_bytes = (size_t)p->workers * p->room * sizeof(float);
}

static void plan_place(square_plan *p, char *workspace) {
    size_t past = (uintptr_t)workspace % LINE;
    workspace += past ? LINE - past : 0;
    p->x = p->x_bytes ? (uint16_t *)(void *)workspace : (uint16_t *)(uintptr_t)p->finish.args->x;
    p->sums = (float *)(void *)(workspace + p->x_bytes);
    if (p->finish.split) p->finish.y = (float *)(void *)(workspace + p->x_bytes + p->sums_bytes);
}

static bool takes(const vt_kern *kern, const vt_weight *w, int64_t rows) {
    return vt_cpu_tiles(kern)->squares && w->spec.type == VT_NUMBER_BF16 && rows > VT_ROW_TILE;
}

bool vt_cpu_square_product_takes(const vt_kern *kern, const vt_product *a) {
    return takes(kern, a->w, (int64_t)a->groups * a->rows);
}

vt_product_input vt_cpu_square_input(const vt_kern *kern, const vt_weight *w, int64_t rows) {
    if (!takes(kern, w, rows) || w->spec.taps > 1 || w->depth > VT_LAID_MOST)
        return vt_weight_input(&w->spec, rows);
    const int64_t tiles = vt_cpu_pieces(rows, VT_ROW_TILE);
    return (vt_product_input){VT_NUMBER_LAID,
                              (size_t)tiles * VT_ROW_TILE * (size_t)w->depth * sizeof(uint16_t)};
}

size_t vt_cpu_square_workspace(const vt_kern *kern, const vt_product *a) {
    square_plan p;
    plan_make(&p, kern, a);
    size_t bytes = LINE + p.x_bytes + p.sums_bytes;
    if (p.finish.split) bytes += whole_lines((size_t)p.rows * (size_t)a->w->n * sizeof(float));
    return bytes;
}

/* ---- x in tiles ---- */

static void lay_part(const vt_kern *kern, const void *args, vt_span span) {
    (void)kern;
    const square_plan *p = args;
    const vt_product *a = p->finish.args;
    const size_t k = (size_t)p->w->k, depth = (size_t)p->w->depth, taps = (size_t)p->w->spec.taps;
    const size_t length = k / taps, number = vt_number_size(a->x_type);
    for (int64_t t = span.begin; t < span.end; ++t) {
        const int64_t first = t * VT_ROW_TILE, left = p->rows - first;
        uint16_t *to = p->x + (size_t)t * (size_t)p->steps * VT_TILE_NUMBERS;
        const char *from = (const char *)a->x + (size_t)first * k * number;
        for (size_t tap = 0; tap < taps; ++tap)
            p->tiles->lay(to + tap * depth * VT_ROW_TILE, from + tap * length * number, a->x_type,
                          k, (int)at_most(left, VT_ROW_TILE), (int)length, (int)depth);
    }
}

/* ---- a worker's tasks ---- */

/* Sums of a band that are not finished yet. */
typedef struct waiting {
    const vt_product_finish *finish;
    const vt_finish_block *block;
    const float *sums; /* of the next row */
    int64_t row;       /* the next one */
    int rows, run;     /* left, and of those that `now` takes */
    bool laid;         /* y is */
    vt_finish now;
    vt_factors factors;
    /* rows of the band at hand whose lines of y are asked for, one with each row that is finished */
    const vt_finish_block *ask_block;
    int64_t ask_row;
    int ask_rows;
} waiting;

/* The panels that a worker will read next, as runs of lines. */
typedef struct asking {
    const char *run;
    size_t stride;   /* bytes from a run to the next */
    int64_t lines;   /* of a run */
    int64_t at, all; /* lines asked for, of all runs */
} asking;

typedef struct task {
    int part, column, columns, units; /* columns of the part */
    int64_t row;                      /* the first */
    int rows, pairs;
    int bands; /* a stretch's */
} task;

typedef struct worker {
    const square_plan *p;
    float *sums;
    int turn;                              /* of the two places for sums */
    int set;                               /* of the two sets of blocks: another's rows may wait */
    vt_finish_block blocks[2][MOST_UNITS]; /* of a task's units */
    waiting waiting;
    asking asking;
    int64_t next; /* the task to come, once `claimed` */
    bool claimed;
} worker;

static void ask_rows(waiting *w, int rows) {
    rows = rows < w->ask_rows ? rows : w->ask_rows;
    if (rows > 0 && !w->laid) vt_finish_block_ask(w->finish, w->ask_block, w->ask_row, rows);
    w->ask_row += rows;
    w->ask_rows -= rows;
}

/* Finishes the next row, which goes to the tiles that the next product reads. */
static void row_to_tiles(const waiting *w, vt_finish *f) {
    const vt_product *a = w->finish->args;
    _Alignas(LINE) uint16_t row[VT_TILE_COLUMNS];
    f->y = row;
    f->y_type = VT_NUMBER_BF16;
    w->finish->tiles->finish(f);
    vt_tiles_put(a->y, a->w->n, w->row, w->block->column, row, f->columns);
}

static void row_in_place(vt_finish *f, const vt_tiles *tiles) {
    tiles->finish(f);
    f->y = (char *)f->y + f->y_stride * vt_number_size(f->y_type);
    if (f->scales) f->scales += f->scales_stride;
}

/* Finishes one row. */
static void waiting_row(void *user) {
    waiting *w = user;
    vt_finish *f = &w->now;
    if (w->run == 0) {
        w->run = vt_finish_block_rows(w->finish, w->block, w->row, w->rows, f);
        vt_factors_make(&w->factors, f);
        f->factors = &w->factors;
        f->rows = 1;
    }
    f->sums = w->sums;
    if (w->laid)
        row_to_tiles(w, f);
    else
        row_in_place(f, w->finish->tiles);
    w->sums += VT_TILE_COLUMNS;
    ++w->row;
    --w->rows;
    --w->run;
    ask_rows(w, 1);
}

static void waiting_end(waiting *w) {
    while (w->rows > 0) waiting_row(w);
}

static void task_make(const square_plan *p, int64_t i, task *t) {
    const int64_t piece = i / p->blocks, block = i % p->blocks % p->part_blocks;
    const int64_t column = vt_cpu_piece_begin(p->finish.part_columns, p->part_blocks, UNIT, block);
    const int64_t end = vt_cpu_piece_begin(p->finish.part_columns, p->part_blocks, UNIT, block + 1);
    const int64_t row = vt_cpu_piece_begin(p->rows, p->pieces, VT_SQUARE_ROWS, piece);
    const int64_t last = vt_cpu_piece_begin(p->rows, p->pieces, VT_SQUARE_ROWS, piece + 1);
    *t = (task){.part = (int)(i % p->blocks / p->part_blocks),
                .column = (int)column,
                .columns = (int)(end - column),
                .units = (int)vt_cpu_pieces(end - column, UNIT),
                .row = row,
                .rows = (int)(last - row),
                .pairs = (int)vt_cpu_pieces(last - row, VT_SQUARE_ROWS)};
    t->bands = t->pairs * t->units;
}

/* The first panel of a task's columns from `column` on, at step `step`. */
static const uint16_t *panels_at(const square_plan *p, const task *t, int column, int step) {
    const size_t panel = (size_t)(t->part * p->finish.part_columns + t->column + column) / VT_PANEL;
    return (const uint16_t *)p->w->numbers +
           (panel * (size_t)p->steps + (size_t)step) * VT_TILE_DEPTH * VT_PANEL;
}

static int stretch_begin(const square_plan *p, int stretch) {
    return (int)((int64_t)p->steps * stretch / p->stretches);
}

/* What a stretch of a task reads of W. */
static asking asking_make(const square_plan *p, const task *t, int stretch) {
    const int first = stretch_begin(p, stretch), steps = stretch_begin(p, stretch + 1) - first;
    const int64_t step_lines = VT_TILE_DEPTH * VT_PANEL * (int64_t)sizeof(uint16_t) / LINE;
    const int64_t panels = vt_cpu_pieces(t->columns, VT_PANEL);
    return (asking){.run = (const char *)panels_at(p, t, 0, first),
                    .stride = (size_t)p->steps * (size_t)step_lines * LINE,
                    .lines = steps * step_lines,
                    .all = panels * steps * step_lines};
}

/* This band's share of the lines, `bands` being left with it. */
static void asking_share(asking *k, int bands, vt_meanwhile *m) {
    const int64_t left = k->all - k->at;
    if (left <= 0) return;
    const int64_t run = k->at / k->lines, within = k->at % k->lines;
    const int64_t lines = at_most(vt_cpu_pieces(left, bands), k->lines - within);
    m->ask = k->run + (size_t)run * k->stride + (size_t)within * LINE;
    m->lines = (int)lines;
    k->at += lines;
}

/* Before band `band` of a stretch: sees to it that what comes after the stretch is being asked for, if that is due. */
static void look_ahead(worker *w, const task *t, int stretch, int band) {
    const square_plan *p = w->p;
    const bool last = stretch + 1 == p->stretches;
    if (band == 0) w->asking = last ? (asking){0} : asking_make(p, t, stretch + 1);
    if (!last || w->claimed) return;
    const int64_t lines = asking_make(p, t, stretch).all;
    const int64_t steps = (stretch_begin(p, stretch + 1) - stretch_begin(p, stretch)) * 2;
    if ((t->bands - band - 1) * steps * ASKED_A_STEP >= lines) return; /* there is time */
    w->next = atomic_fetch_add_explicit(p->next, 1, memory_order_relaxed);
    w->claimed = true;
    if (w->next >= p->tasks) return;
    task after;
    task_make(p, w->next, &after);
    w->asking = asking_make(p, &after, 0);
}

/* Unit `unit` of the rows of pair `pair`. */
static void band_run(worker *w, const task *t, int stretch, int pair, int unit) {
    const square_plan *p = w->p;
    const int first = stretch_begin(p, stretch), band = pair * t->units + unit;
    const int64_t row = t->row + (int64_t)pair * VT_SQUARE_ROWS;
    const int rows = (int)at_most(t->row + t->rows - row, VT_SQUARE_ROWS);
    const vt_finish_block *block = &w->blocks[w->set][unit];
    float *sums = w->sums + (size_t)(p->stretches > 1 ? band : w->turn) * BAND;
    const bool last = stretch + 1 == p->stretches;
    look_ahead(w, t, stretch, band);
    vt_meanwhile meanwhile = {.run = waiting_row, .user = &w->waiting, .runs = w->waiting.rows};
    asking_share(&w->asking, t->bands - band, &meanwhile);
    w->waiting.ask_block = block;
    w->waiting.ask_row = row;
    w->waiting.ask_rows = last ? rows : 0;
    if (w->waiting.rows == 0) ask_rows(&w->waiting, rows);
    p->tiles->squares(
        &(vt_squares){.out = sums,
                      .a = p->x + ((size_t)(row / VT_ROW_TILE) * (size_t)p->steps + (size_t)first) *
                                      VT_TILE_NUMBERS,
                      .a_stride = (size_t)p->steps * VT_TILE_NUMBERS,
                      .b = panels_at(p, t, unit * UNIT, first),
                      .b_stride = (size_t)p->steps * VT_TILE_DEPTH * VT_PANEL,
                      .steps = stretch_begin(p, stretch + 1) - first,
                      .row_tiles = rows > VT_ROW_TILE ? 2 : 1,
                      .panels = (block->columns + VT_PANEL - 1) / VT_PANEL,
                      .go_on = stretch > 0,
                      .meanwhile = &meanwhile});
    waiting_end(&w->waiting);
    if (!last) return;
    w->waiting.block = block;
    w->waiting.sums = sums;
    w->waiting.row = row;
    w->waiting.rows = rows;
    w->turn ^= 1;
}

static void task_run(worker *w, int64_t i) {
    const square_plan *p = w->p;
    task t;
    task_make(p, i, &t);
    if (p->stretches > 1) waiting_end(&w->waiting); /* its sums' place is used again */
    w->set ^= 1;
    w->claimed = false;
    for (int unit = 0; unit < t.units; ++unit) {
        const int column = unit * UNIT, left = t.columns - column;
        vt_finish_block_make(&p->finish, t.part, t.column + column, left < UNIT ? left : UNIT,
                             &w->blocks[w->set][unit]);
    }
    for (int stretch = 0; stretch < p->stretches; ++stretch)
        for (int pair = 0; pair < t.pairs; ++pair)
            for (int unit = 0; unit < t.units; ++unit) band_run(w, &t, stretch, pair, unit);
}

/* Tasks until there are none. A worker is what was dealt; whichever thread has it, its place for sums is its own. */
static void tasks_part(const vt_kern *kern, const void *args, vt_span span) {
    (void)kern;
    const square_plan *p = args;
    worker w = {
        .p = p,
        .sums = p->sums + (size_t)span.begin * p->room,
        .waiting = {.finish = &p->finish, .laid = p->finish.args->y_type == VT_NUMBER_LAID}};
    int64_t i = atomic_fetch_add_explicit(p->next, 1, memory_order_relaxed);
    if (i >= p->tasks) return;
    p->tiles->begin();
    for (; i < p->tasks; i = w.next) task_run(&w, i);
    waiting_end(&w.waiting);
    p->tiles->end();
}

void vt_cpu_square_product(vt_kern *kern, const vt_product *a) {
    square_plan p;
    _Atomic int64_t next = 0;
    plan_make(&p, kern, a);
    plan_place(&p, a->workspace);
    p.next = &next;
    const bool wide = (int64_t)a->w->n * a->w->k * p.rows > VT_CPU_PARALLEL_MIN;
    if (p.x_bytes) vt_cpu_split(kern, wide, p.row_tiles, lay_part, &p);
    vt_cpu_deal(kern, wide, p.workers, tasks_part, &p);
    if (!p.finish.split) return;
    vt_qkv split = *a->qkv;
    split.qkv = p.finish.y;
    kern->qkv_split(kern, &split);
}

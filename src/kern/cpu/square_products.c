/* square_products.c - y = epilogue(x W^T + bias) for many rows where tiles come in squares (vt_tiles.squares: AMX), whose
 * arithmetic is so fast that everything around it has to be kept out of its way.
 *
 * x lies in tiles (isa/tiles.h): who makes it, a norm or an earlier product's gelu, writes it so (VT_NUMBER_LAID); other x is
 * laid first. Then a task is some columns, a few units of 64, against a piece of the rows whose x stays in the second cache,
 * and it is done strip by strip: 32 columns, 512 of depth, 32 KB of panels that stay in the first cache while the rows pass.
 *
 *     a task          unit 0           unit 1 ..             order: strips 0, 1 (the same columns, further depth), 2, 3: unit 0
 *     rows  0 .. 31   0 1 | 2 3        4 5 | 6 7             is whole, and its rows are finished while strips 4 .. 7 are multiplied
 *     rows 32 .. 63   0 1 | 2 3        4 5 | 6 7
 *      ...
 *
 * - Rows of x are read past the first cache (AMX_LOAD_PAST), or they would push the strip out of it. Between two strips of the
 *   same columns sums wait in memory as float32, which is what they are in the registers: not a bit of them changes.
 * - A unit's sums are finished row by row between the steps of the next unit, whose tile instructions leave the vector units
 *   idle; so each unit's sums have a place of their own, and two are enough.
 * - Depth beyond DEEP is cut into stretches, outermost: of whole depth too few rows of x would stay in the second cache. The sums
 *   of all of a task's units wait then.
 * - While a strip is multiplied the panels of the next one are asked for, to the second cache; its thread claims the next task
 *   with the last strip of the one at hand.
 * - The cut into columns and rows is the one with the least to read among those that have enough tasks for the threads.
 *
 * With an int8 weight of which a row of x has one scale (vt_weight_spec.whole) all of this is the same, but that x becomes integers,
 * 64 of a row to a tile's line, and a unit's rows of exact sums become floats before they are finished.
 *
 * A number's sum runs over depth alone, 32 at a time, whatever the cut: so here, and nowhere else in this backend, the cut
 * may follow the number of threads. */
#include "kern/cpu/square_products.h"

#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/tiles8.h"
#include "kern/cpu/product_finish.h"
#include "kern/cpu/weight.h"

#include <stdatomic.h>
#include <string.h>

enum {
    LINE = 64,
    DEEP =
        128, /* steps of depth; more are cut, where there are enough rows to use a stretch often */
    STRETCH = 32,
    FEW_ROWS = 128,
    UNIT = VT_TILE_COLUMNS,
    /* columns of a task, at most: of few rows, of many, of a stretch */
    FEW_COLUMNS = 64,
    COLUMNS = 128,
    STRETCH_COLUMNS = 256,
    MOST_UNITS = STRETCH_COLUMNS / UNIT,
    PIECE_TILES = 1024,                      /* of x, of a task: 1 MB */
    BAND = VT_SQUARE_ROWS * VT_TILE_COLUMNS, /* sums of a band: floats */
    STRIP = 2 * VT_PANEL,                    /* columns of a strip */
    STRIP_STEPS = 16,                        /* its depth, where rows are enough to use it again */
    TILE_BYTES = VT_TILE_NUMBERS * (int)sizeof(uint16_t),
    STEP_NUMBERS = VT_TILE_DEPTH * VT_PANEL, /* of a panel */
    STEP_LINES = STEP_NUMBERS * (int)sizeof(uint16_t) / LINE,
    ROWS_AHEAD = 4 /* so many rows before a row is finished its lines of y are asked for */
};

typedef struct square_plan {
    vt_product_finish finish;
    const vt_weight *w;
    const vt_tiles *tiles;
    const vt_tiles8 *
        tiles8; /* of an int8 weight, else NULL: x becomes integers, a tile 16 rows by 64 of them */
    int64_t rows, row_tiles;
    int steps, stretches, cuts;          /* of the whole depth */
    int64_t part_blocks, blocks, pieces; /* columns of a part, of all, and rows, cut into so many */
    int64_t tasks;
    int workers;  /* that may claim tasks */
    int places;   /* for sums of units, a worker */
    size_t place; /* floats of one */
    size_t x_bytes, scale_bytes,
        sums_bytes; /* of the workspace's places; then y, where QKV is split */
    uint16_t *x;
    vt_scale8 *scales; /* of int8, a row */
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

/* Rows whose tiles of x, as deep as a stretch, stay in the second cache. */
static int64_t piece_rows(const square_plan *p) {
    const int64_t steps = vt_cpu_pieces(p->steps, p->stretches);
    return at_least(PIECE_TILES / steps / 2, 1) * VT_SQUARE_ROWS;
}

/* The pieces of the rows that make `wanted` tasks of so many blocks, as far as rows go. */
static int64_t pieces_for(const square_plan *p, int64_t blocks, int64_t wanted) {
    const int64_t least = vt_cpu_pieces(p->rows, piece_rows(p));
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
    if (a->w->spec.type == VT_NUMBER_INT8) p->tiles8 = vt_cpu_tiles8(kern);
    p->steps = p->tiles8 ? vt_rows8_of(a->w->k, true).depth / VT_TILE8_DEPTH
                         : a->w->depth * a->w->spec.taps / VT_TILE_DEPTH;
    p->stretches =
        p->steps > DEEP && p->rows > FEW_ROWS ? (int)vt_cpu_pieces(p->steps, STRETCH) : 1;
    plan_cut(p, kern->threads);
    const int64_t pairs = vt_cpu_pieces(vt_cpu_pieces(p->rows, VT_SQUARE_ROWS), p->pieces);
    p->cuts = pairs < 2 ? 1 : (int)vt_cpu_pieces(p->steps, (int64_t)p->stretches * STRIP_STEPS);
    p->place = (size_t)pairs * BAND;
    p->places = 2;
    if (p->stretches > 1)
        p->places =
            1 + (int)vt_cpu_pieces(vt_cpu_pieces(p->finish.part_columns, UNIT), p->part_blocks);
    if (a->x_type != VT_NUMBER_LAID)
        p->x_bytes = (size_t)p->row_tiles * (size_t)p->steps * VT_TILE_NUMBERS * sizeof(uint16_t);
    if (p->tiles8) p->scale_bytes = whole_lines((size_t)p->rows * sizeof *p->scales);
    p->sums_bytes = (size_t)p->workers * (size_t)p->places * p->place * sizeof(float);
}

static void plan_place(square_plan *p, char *workspace) {
    size_t past = (uintptr_t)workspace % LINE;
    workspace += past ? LINE - past : 0;
    p->x = p->x_bytes ? (uint16_t *)(void *)workspace : (uint16_t *)(uintptr_t)p->finish.args->x;
    workspace += p->x_bytes;
    p->scales = (vt_scale8 *)(void *)workspace;
    workspace += p->scale_bytes;
    p->sums = (float *)(void *)workspace;
    if (p->finish.split) p->finish.y = (float *)(void *)(workspace + p->sums_bytes);
}

static bool takes(const vt_kern *kern, const vt_weight *w, int64_t rows) {
    return vt_cpu_tiles(kern)->squares && w->spec.type == VT_NUMBER_BF16 && rows > VT_ROW_TILE;
}

/* Of int8, those of which a row has one scale: sums of blocks become floats every two tiles of depth. */
static bool takes8(const vt_kern *kern, const vt_weight *w, int64_t rows) {
    return w->spec.type == VT_NUMBER_INT8 && w->spec.whole && w->k <= VT_LAID_MOST &&
           rows > VT_ROW_TILE && vt_cpu_tiles8(kern)->squares;
}

bool vt_cpu_square_product_takes(const vt_kern *kern, const vt_product *a) {
    const int64_t rows = (int64_t)a->groups * a->rows;
    return takes(kern, a->w, rows) || takes8(kern, a->w, rows);
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
    size_t bytes = LINE + p.x_bytes + p.scale_bytes + p.sums_bytes;
    if (p.finish.split) bytes += whole_lines((size_t)p.rows * (size_t)a->w->n * sizeof(float));
    return bytes;
}

/* ---- x in tiles ---- */

/* 16 rows of integers, a line of each step after the other; rows that are not there are zero. */
static void lay8(const square_plan *p, int64_t t) {
    enum { ROOM = VT_LAID_MOST + 2 * LINE };
    _Alignas(LINE) int8_t row[ROOM];
    const vt_product *a = p->finish.args;
    const vt_rows8 form = vt_rows8_of(p->w->k, true);
    char *to = (char *)p->x + (size_t)t * (size_t)p->steps * TILE_BYTES;
    for (int r = 0; r < VT_ROW_TILE; ++r, to += LINE) {
        const int64_t at = t * VT_ROW_TILE + r;
        if (at < p->rows) {
            const size_t first = (size_t)at * (size_t)p->w->k * vt_number_size(a->x_type);
            p->tiles8->quantise(row, &form, (const char *)a->x + first, a->x_type, (size_t)p->w->k);
            p->scales[at] = *vt_scales8(row, form.depth);
        } else if (r > 0 && at == p->rows) {
            memset(row, 0, (size_t)form.depth);
        }
        for (int s = 0; s < p->steps; ++s) memcpy(to + s * TILE_BYTES, row + s * LINE, LINE);
    }
}

static void lay8_part(const vt_kern *kern, const void *args, vt_span span) {
    (void)kern;
    for (int64_t t = span.begin; t < span.end; ++t) lay8(args, t);
}

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

/* Rows of y that are asked for before they are written, in the order in which they are finished. */
typedef struct asking {
    int64_t row;          /* the next one */
    int rows, run;        /* left, and of those that lie `stride` bytes apart */
    const char *y;        /* where the next one lies */
    size_t stride, bytes; /* of a row */
} asking;

/* Sums of a unit that are not finished yet. */
typedef struct waiting {
    const vt_product_finish *finish;
    const vt_finish_block *block;
    const float *sums;       /* of the next row */
    int64_t row;             /* the next one */
    int rows, run;           /* left, and of those that `now` takes */
    bool laid;               /* y is */
    const vt_scale8 *scales; /* of all rows, where sums are integers, else NULL */
    const vt_tiles8 *tiles8;
    vt_finish now;
    vt_factors factors;
    asking asking;
} waiting;

typedef struct task {
    int part, column, columns; /* columns of the part */
    int units, across;         /* so many UNITs, and so many STRIPs side by side */
    int64_t row;               /* the first */
    int rows, pairs;
} task;

/* What stays in the first cache while rows pass. */
typedef struct strip {
    int column, panels; /* of the task */
    int step, steps;
    bool first, last; /* of the depth, for these columns */
    bool unit_ends;   /* with it the sums of a unit are whole */
} strip;

typedef struct worker {
    const square_plan *p;
    float *sums;
    int64_t units; /* begun so far: a unit's sums have the place of that number */
    int set;       /* of the two sets of blocks: another's rows may wait */
    vt_finish_block blocks[2][MOST_UNITS]; /* of a task's units */
    waiting waiting;
    int64_t next; /* the task to come */
} worker;

/* Rows of y in tiles are neighbours, which the processor finds by itself. */
static void waiting_ask(waiting *w) {
    asking *a = &w->asking;
    if (a->rows == 0 || w->laid) return;
    if (a->run == 0) {
        vt_finish f;
        a->run = vt_finish_block_rows(w->finish, w->block, a->row, a->rows, &f);
        a->y = f.y;
        a->stride = f.y_stride * vt_number_size(f.y_type);
        a->bytes = (size_t)f.columns * vt_number_size(f.y_type);
    }
    for (size_t at = 0; at < a->bytes; at += LINE) vt_ask_to_write(a->y + at);
    a->y += a->stride;
    ++a->row;
    --a->rows;
    --a->run;
}

static void waiting_begin(waiting *w, const vt_finish_block *block, const float *sums, int64_t row,
                          int rows) {
    w->block = block;
    w->sums = sums;
    w->row = row;
    w->rows = rows;
    w->asking = (asking){.row = row, .rows = rows};
    for (int i = 0; i < ROWS_AHEAD; ++i) waiting_ask(w);
}

/* Finishes the next row, which goes to the tiles that the next product reads: straight there, or, what is less than a tile's
 * columns, through a row of its own. Through one for all, as it was once, a line that was stored in halves was loaded as
 * a whole at once, and that load waits until every store before it has left the core. */
static void row_to_tiles(const waiting *w, vt_finish *f) {
    const vt_product *a = w->finish->args;
    if (f->columns == VT_TILE_COLUMNS) {
        const size_t depth = (size_t)vt_cpu_pieces(a->w->n, VT_TILE_DEPTH) * VT_TILE_DEPTH;
        f->y = (uint16_t *)a->y + vt_tiles_at(depth, w->row, w->block->column);
        f->y_type = VT_NUMBER_LAID;
        w->finish->tiles->finish(f);
        return;
    }
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
    _Alignas(LINE) float floats[VT_TILE_COLUMNS];
    f->sums = w->sums;
    if (w->scales) {
        w->tiles8->floats(floats, (const int32_t *)(const void *)w->sums, w->scales[w->row]);
        f->sums = floats;
    }
    if (w->laid)
        row_to_tiles(w, f);
    else
        row_in_place(f, w->finish->tiles);
    w->sums += VT_TILE_COLUMNS;
    ++w->row;
    --w->rows;
    --w->run;
    waiting_ask(w);
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
                .across = (int)vt_cpu_pieces(end - column, STRIP),
                .row = row,
                .rows = (int)(last - row),
                .pairs = (int)vt_cpu_pieces(last - row, VT_SQUARE_ROWS)};
}

static int task_strips(const square_plan *p, const task *t) {
    return p->stretches * t->across * p->cuts;
}

/* Strip `i` of a task: stretch by stretch, in each one strip of columns after the other, in each depth. */
static void strip_make(const square_plan *p, const task *t, int i, strip *s) {
    const int cut = i % p->cuts, across = i / p->cuts % t->across,
              stretch = i / p->cuts / t->across;
    const int all = p->stretches * p->cuts, at = stretch * p->cuts + cut;
    const int left = t->columns - across * STRIP;
    s->column = across * STRIP;
    s->panels = left > VT_PANEL ? 2 : 1;
    s->step = (int)((int64_t)p->steps * at / all);
    s->steps = (int)((int64_t)p->steps * (at + 1) / all) - s->step;
    s->first = at == 0;
    s->last = at + 1 == all;
    s->unit_ends = s->last && (across % 2 == 1 || across + 1 == t->across);
}

static const uint16_t *strip_panels(const square_plan *p, const task *t, const strip *s) {
    const size_t panel =
        (size_t)(t->part * p->finish.part_columns + t->column + s->column) / VT_PANEL;
    return (const uint16_t *)p->w->numbers +
           (panel * (size_t)p->steps + (size_t)s->step) * VT_TILE_DEPTH * VT_PANEL;
}

/* The strip after strip `i`, of this task or, claimed here, of the next; false: there is none. */
static bool strip_after(worker *w, const task *t, int i, task *its, strip *s) {
    const square_plan *p = w->p;
    *its = *t;
    if (i + 1 < task_strips(p, t)) {
        strip_make(p, t, i + 1, s);
        return true;
    }
    w->next = atomic_fetch_add_explicit(p->next, 1, memory_order_relaxed);
    if (w->next >= p->tasks) return false;
    task_make(p, w->next, its);
    strip_make(p, its, 0, s);
    return true;
}

/* What is done while a strip is multiplied: rows of the unit that waits, which has until this one's sums are whole, and the next
 * strip's panels are asked for. */
typedef struct share {
    const char *ask[2]; /* the next strip's panels: their lines are on end */
    int lines;          /* of each */
    int asked;          /* of both */
    int calls;          /* of squares, left in this strip */
    int row_calls;      /* likewise until the unit's sums are whole */
} share;

static void share_begin(worker *w, const task *t, int i, share *h) {
    const square_plan *p = w->p;
    task its;
    strip next;
    *h = (share){.calls = t->pairs};
    const int across = i / p->cuts % t->across;
    const bool two = across % 2 == 0 && across + 1 < t->across;
    h->row_calls = t->pairs * (p->cuts - i % p->cuts + (two ? p->cuts : 0));
    if (!strip_after(w, t, i, &its, &next)) return;
    const uint16_t *panels = strip_panels(p, &its, &next);
    h->lines = next.steps * STEP_LINES;
    h->ask[0] = (const char *)panels;
    h->ask[1] = (const char *)(panels + (next.panels > 1 ? (size_t)p->steps * STEP_NUMBERS : 0));
}

static void share_next(share *h, waiting *w, vt_meanwhile *m) {
    const int left = 2 * h->lines - h->asked, within = h->asked % (h->lines ? h->lines : 1);
    int lines = (left + h->calls - 1) / h->calls;
    if (lines > h->lines - within) lines = h->lines - within;
    *m = (vt_meanwhile){
        .run = waiting_row, .user = w, .runs = (w->rows + h->row_calls - 1) / h->row_calls};
    if (lines > 0) {
        m->ask = h->ask[h->asked / h->lines] + (size_t)within * LINE;
        m->lines = lines;
        h->asked += lines;
    }
    --h->calls;
    --h->row_calls;
}

static float *unit_sums(const worker *w, int unit) {
    const square_plan *p = w->p;
    return w->sums + (size_t)((w->units + unit) % p->places) * p->place;
}

/* Strip `i` of a task against all of its rows. */
static void strip_run(worker *w, const task *t, int i) {
    const square_plan *p = w->p;
    strip s;
    void (*run)(const vt_squares *) = p->tiles8 ? p->tiles8->squares : p->tiles->squares;
    strip_make(p, t, i, &s);
    const int unit = s.column / UNIT;
    float *sums = unit_sums(w, unit);
    share h;
    share_begin(w, t, i, &h);
    for (int pair = 0; pair < t->pairs; ++pair) {
        const int64_t row = t->row + (int64_t)pair * VT_SQUARE_ROWS;
        const int rows = (int)at_most(t->row + t->rows - row, VT_SQUARE_ROWS);
        vt_meanwhile meanwhile;
        share_next(&h, &w->waiting, &meanwhile);
        run(&(vt_squares){.out = sums + (size_t)pair * BAND + s.column % UNIT,
                          .a = p->x +
                               ((size_t)(row / VT_ROW_TILE) * (size_t)p->steps + (size_t)s.step) *
                                   VT_TILE_NUMBERS,
                          .a_stride = (size_t)p->steps * VT_TILE_NUMBERS,
                          .b = strip_panels(p, t, &s),
                          .b_stride = (size_t)p->steps * STEP_NUMBERS,
                          .steps = s.steps,
                          .row_tiles = rows > VT_ROW_TILE ? 2 : 1,
                          .panels = s.panels,
                          .go_on = !s.first,
                          .meanwhile = &meanwhile});
    }
    if (!s.unit_ends) return;
    waiting_end(&w->waiting);
    waiting_begin(&w->waiting, &w->blocks[w->set][unit], sums, t->row, t->rows);
}

static void task_run(worker *w, int64_t i) {
    const square_plan *p = w->p;
    task t;
    task_make(p, i, &t);
    w->set ^= 1;
    for (int unit = 0; unit < t.units; ++unit) {
        const int column = unit * UNIT, left = t.columns - column;
        vt_finish_block_make(&p->finish, t.part, t.column + column, left < UNIT ? left : UNIT,
                             &w->blocks[w->set][unit]);
    }
    for (int k = 0; k < task_strips(p, &t); ++k) strip_run(w, &t, k);
    w->units += t.units;
}

/* Tasks until there are none. A worker is what was dealt; whichever thread has it, its place for sums is its own. */
static void tasks_part(const vt_kern *kern, const void *args, vt_span span) {
    (void)kern;
    const square_plan *p = args;
    worker w = {.p = p,
                .sums = p->sums + (size_t)span.begin * (size_t)p->places * p->place,
                .waiting = {.finish = &p->finish,
                            .laid = p->finish.args->y_type == VT_NUMBER_LAID,
                            .scales = p->tiles8 ? p->scales : NULL,
                            .tiles8 = p->tiles8}};
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
    if (p.x_bytes) vt_cpu_split(kern, wide, p.row_tiles, p.tiles8 ? lay8_part : lay_part, &p);
    vt_cpu_deal(kern, wide, p.workers, tasks_part, &p);
    if (!p.finish.split) return;
    vt_qkv split = *a->qkv;
    split.qkv = p.finish.y;
    kern->qkv_split(kern, &split);
}

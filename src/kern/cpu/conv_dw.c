/* conv_dw.c - the gradient of a convolution's kernel in bf16 products, without rows of patches.
 *
 * Called by conv.c for bf16 weights. dw[o, tap, i] = sum over output pixels of dy[pixel, o] x[pixel at
 * tap, i] is an outer product with pixels as its depth (isa/train_loops.h), once for each tap. For that
 * dy and x are laid out as one long line of pixels, row after row and picture after picture, with the
 * same row length for both: a tap is then an offset on x's line. dy's line has zeros where x's rows
 * overlap the padding, so that what lies beside them does not count.
 *
 *     a picture of 3 x 3, kernel 3 x 3, padding 1: a row of the lines has 3 pixels and the 2 that a tap can be
 *     off, made even; a picture 3 rows and 2
 *
 *     dy   a b c 0 0 0  d e f 0 0 0  g h i 0 0 0  0 0 0 0 0 0  0 0 0 0 0 0    next picture
 *     x    . . . . . .  . A B C . .  . D E F . .  . G H I . .  . . . . . .
 *
 *     tap (ky, kx):  dy's pixel p meets x's pixel p + 6 ky + kx, all along the line; so dw of the tap is
 *     one outer product of dy with x from there on
 *
 * Depth comes in pairs of neighbouring pixels. Row lengths are even; for taps at an odd offset there is a
 * second copy of dy, a pixel later. With a stride, x is first taken apart into one line for each
 * residue (row and column modulo the stride), on which taps are neighbours again.
 *
 * A task makes the sums of one block of output and input channels, all taps, over one lane: a run of
 * rows. It interleaves some rows at a time (a band), so that these and the sums stay in the second cache.
 * Lanes are added in order at the end. All cuts follow from the sizes alone. */
#include "kern/cpu/attention.h"
#include "kern/cpu/conv.h"
#include "kern/cpu/conv_turned.h"
#include "kern/cpu/training.h"
#include "kern/cpu/weight.h"

#include <string.h>

enum {
    SUMS_FLOATS = 64 << 10, /* of a block, at most, if a panel each way is not more */
    BAND_BYTES = 192 << 10, /* interleaved rows of a band, unless one row is more */
    MOST_BAND = 64,         /* rows */
    MOST_LANES = 8,
    ENOUGH_TASKS = 32,
    LANE_PIXELS = 1024 /* a lane has at least so many, if there are */
};

/* What a stretch of pixels by channels looks like on its way into panels. */
typedef struct dw_room {
    uint16_t *line;  /* pixels by channels, bf16 */
    uint16_t *dy[2]; /* (block_o, line pixels): as they are, and a pixel later */
    uint16_t *x[VT_TURNED_STRIDE * VT_TURNED_STRIDE]; /* (block_i, line pixels) */
} dw_room;

typedef struct dw_plan {
    const vt_conv *args;
    const float *given; /* dy */
    float *dw, *db;
    int reach;                                /* pixels a tap can be off on a line of x */
    int rows_each;                            /* of a picture on the lines */
    int row;                                  /* pixels of a row, even */
    int64_t rows;                             /* of all pictures */
    int o_panels, i_panels, block_o, block_i; /* of all, of a block at most */
    int64_t o_blocks, i_blocks, lanes;
    int band; /* rows */
    size_t taps, sums_floats, bias_floats, line_numbers, room_numbers;
    size_t dy_panel, x_panel; /* numbers */
    /* places in the workspace */
    float *sums, *bias; /* (lanes, blocks, sums_floats), (lanes, bias_floats) */
    uint16_t *room;     /* a piece a thread */
} dw_plan;

static int least(int64_t a, int64_t b) {
    return (int)(a < b ? a : b);
}

/* Pixels of x's lines in a band: what taps reach beyond its end, too. */
static size_t x_pixels(const dw_plan *p) {
    size_t beyond = (size_t)(p->reach / 2 * 2);
    return (size_t)(p->band + p->reach) * (size_t)p->row + beyond;
}

static void plan_blocks(dw_plan *p) {
    const int most = SUMS_FLOATS / (int)(p->taps * VT_PANEL * VT_PANEL);
    int side = 1;
    while ((side + 1) * (side + 1) <= most) ++side;
    p->block_o = least(p->o_panels, side);
    p->block_i = least(p->i_panels, most / p->block_o > 1 ? most / p->block_o : 1);
    p->block_o = least(p->o_panels, most / p->block_i > 1 ? most / p->block_i : 1);
    p->o_blocks = vt_cpu_pieces(p->o_panels, p->block_o);
    p->i_blocks = vt_cpu_pieces(p->i_panels, p->block_i);
    int64_t wanted = vt_cpu_pieces(ENOUGH_TASKS, p->o_blocks * p->i_blocks);
    int64_t possible = vt_cpu_pieces(p->rows * p->row, LANE_PIXELS);
    p->lanes = least(least(wanted, MOST_LANES), possible < p->rows ? possible : p->rows);
}

static void plan_band(dw_plan *p, int phases) {
    size_t row_bytes = (size_t)p->row * VT_PANEL * sizeof(uint16_t) *
                       (size_t)((p->reach > 0 ? 2 : 1) * p->block_o + phases * p->block_i);
    int64_t rows = (int64_t)(BAND_BYTES / row_bytes);
    p->band = least(least(rows > 1 ? rows : 1, MOST_BAND), p->rows);
}

static void plan_make(dw_plan *p, const vt_conv *a) {
    const int s = a->stride, reach = (a->kernel - 1) / s;
    *p = (dw_plan){.args = a,
                   .reach = reach,
                   .rows_each = a->out_h + reach,
                   .row = (a->out_w + reach + 1) / 2 * 2,
                   .o_panels = (int)vt_cpu_pieces(a->out_c, VT_PANEL),
                   .i_panels = (int)vt_cpu_pieces(a->in_c, VT_PANEL),
                   .taps = (size_t)a->kernel * (size_t)a->kernel};
    p->rows = (int64_t)a->groups * p->rows_each;
    plan_blocks(p);
    plan_band(p, s * s);
    p->sums_floats = p->taps * (size_t)(p->block_o * p->block_i) * VT_PANEL * VT_PANEL;
    p->bias_floats = (size_t)p->o_panels * VT_PANEL;
    p->dy_panel = (size_t)p->band * (size_t)p->row * VT_PANEL;
    p->x_panel = x_pixels(p) * VT_PANEL;
    size_t wider = (size_t)(p->block_o > p->block_i ? p->block_o : p->block_i) * VT_PANEL;
    p->line_numbers = (x_pixels(p) + 2) * wider;
    p->room_numbers = p->line_numbers + 2 * (size_t)p->block_o * p->dy_panel +
                      (size_t)(s * s * p->block_i) * p->x_panel;
    p->room_numbers = vt_cpu_whole_lines(p->room_numbers * sizeof(uint16_t)) / sizeof(uint16_t);
}

static size_t sums_of(const dw_plan *p) {
    return (size_t)(p->lanes * p->o_blocks * p->i_blocks) * p->sums_floats +
           (size_t)p->lanes * p->bias_floats;
}

size_t vt_cpu_conv_dw_workspace(const vt_kern *kern, const vt_conv *a) {
    if (a->groups <= 0) return 0;
    dw_plan p;
    plan_make(&p, a);
    return sums_of(&p) * sizeof(float) + (size_t)kern->threads * p.room_numbers * sizeof(uint16_t) +
           2 * VT_CPU_LINE;
}

static void plan_place(dw_plan *p, char *workspace) {
    p->sums = (float *)(void *)workspace;
    p->bias = p->sums + (size_t)(p->lanes * p->o_blocks * p->i_blocks) * p->sums_floats;
    p->room = (uint16_t *)(void *)(workspace + vt_cpu_whole_lines(sums_of(p) * sizeof(float)));
}

static dw_room room_of_thread(const dw_plan *p, int thread) {
    uint16_t *at = p->room + (size_t)thread * p->room_numbers;
    dw_room room = {.line = at};
    at += p->line_numbers;
    for (int i = 0; i < 2; ++i, at += (size_t)p->block_o * p->dy_panel) room.dy[i] = at;
    for (int i = 0; i < p->args->stride * p->args->stride; ++i) {
        room.x[i] = at;
        at += (size_t)p->block_i * p->x_panel;
    }
    return room;
}

/* ---- lines ---- */

/* Every step-th pixel of a row of a map of `channels`: `count` of `columns` numbers each, to bf16. */
static void line_pixels(const vt_tiles *tiles, uint16_t *to, const float *from, size_t channels,
                        size_t step, size_t count, size_t columns) {
    if (step == 1 && columns == channels) {
        tiles->to_bf16(to, from, count * columns);
        return;
    }
    for (size_t i = 0; i < count; ++i, from += step * channels, to += columns)
        tiles->to_bf16(to, from, columns);
}

/* Rows [first, first + rows) of dy's line, channels [column, column + columns), after one pixel of
 * zeros. */
static void dy_line(const vt_tiles *tiles, const dw_plan *p, uint16_t *line, int64_t first,
                    int rows, int column, int columns) {
    const vt_conv *a = p->args;
    const size_t c = (size_t)columns, row = (size_t)p->row * c, filled = (size_t)a->out_w * c;
    memset(line, 0, c * sizeof *line);
    line += c;
    for (int64_t r = first; r < first + rows; ++r, line += row) {
        const int64_t picture = r / p->rows_each, y = r % p->rows_each;
        size_t count = 0;
        if (y < a->out_h) {
            size_t at = (size_t)(picture * a->out_h + y) * (size_t)a->out_w;
            line_pixels(tiles, line, p->given + at * (size_t)a->out_c + column, (size_t)a->out_c, 1,
                        (size_t)a->out_w, c);
            count = filled;
        }
        memset(line + count, 0, (row - count) * sizeof *line);
    }
}

/* The same of the line of x of residue (ry, rx); rows beyond the last picture, and a few pixels at the
 * end, are zeros. */
static void x_line(const vt_tiles *tiles, const dw_plan *p, uint16_t *line, int64_t first, int rows,
                   int column, int columns, int ry, int rx) {
    const vt_conv *a = p->args;
    const int s = a->stride, from = rx - a->pad_left;       /* pixel of x at position 0 */
    const int skipped = from < 0 ? (-from + s - 1) / s : 0; /* positions in the padding before it */
    const int inside = a->in_w > from ? (a->in_w - from + s - 1) / s : 0;
    const int end = least(inside, p->row), begin = least(skipped, end);
    const size_t c = (size_t)columns, row = (size_t)p->row * c;
    for (int64_t r = first; r < first + rows; ++r, line += row) {
        const int64_t picture = r / p->rows_each, y = r % p->rows_each * s + ry - a->pad_top;
        if (picture >= a->groups || y < 0 || y >= a->in_h || begin == end) {
            memset(line, 0, row * sizeof *line);
            continue;
        }
        size_t at = (size_t)(picture * a->in_h + y) * (size_t)a->in_w + (size_t)(from + begin * s);
        memset(line, 0, (size_t)begin * c * sizeof *line);
        line_pixels(tiles, line + (size_t)begin * c,
                    (const float *)a->x + at * (size_t)a->in_c + column, (size_t)a->in_c, (size_t)s,
                    (size_t)(end - begin), c);
        memset(line + (size_t)end * c, 0, (size_t)(p->row - end) * c * sizeof *line);
    }
    memset(line, 0, (size_t)(p->reach / 2 * 2) * c * sizeof *line);
}

/* ---- sums ---- */

typedef struct dw_block {
    int o_panels, i_panels;   /* of this block */
    int o, i;                 /* its first channels ... */
    int o_columns, i_columns; /* ... and how many */
    float *sums;              /* (o, taps, i), rows of block_i panels */
} dw_block;

static void interleave_band(const vt_kern *kern, const dw_plan *p, const dw_block *b,
                            const dw_room *room, int64_t first, int rows) {
    const vt_tiles *tiles = vt_cpu_tiles(kern);
    const vt_attention_loops *loops = vt_cpu_attention_loops(kern);
    const int s = p->args->stride, pixels = rows * p->row;
    dy_line(tiles, p, room->line, first, rows, b->o, b->o_columns);
    loops->pack_across_bf16(room->dy[0], p->dy_panel, room->line + b->o_columns,
                            (size_t)b->o_columns, pixels, b->o_columns, pixels);
    if (p->reach > 0)
        loops->pack_across_bf16(room->dy[1], p->dy_panel, room->line, (size_t)b->o_columns, pixels,
                                b->o_columns, pixels);
    const int wide = pixels + p->reach * p->row + p->reach / 2 * 2;
    for (int r = 0; r < s * s; ++r) {
        x_line(tiles, p, room->line, first, rows + p->reach, b->i, b->i_columns, r / s, r % s);
        loops->pack_across_bf16(room->x[r], p->x_panel, room->line, (size_t)b->i_columns, wide,
                                b->i_columns, wide);
    }
}

/* Adds a band to every tap's sums. */
static void add_band(const vt_kern *kern, const dw_plan *p, const dw_block *b, const dw_room *room,
                     int rows, bool accumulate) {
    const int s = p->args->stride, side = p->args->kernel;
    const size_t width = (size_t)p->block_i * VT_PANEL;
    for (int ky = 0; ky < side; ++ky)
        for (int kx = 0; kx < side; ++kx) {
            const int down = ky / s, right = kx / s, odd = right % 2;
            const size_t offset = (size_t)(down * p->row + right - odd) * VT_PANEL;
            vt_outer outer = {.out = b->sums + (size_t)(ky * side + kx) * width,
                              .out_stride = p->taps * width,
                              .a = room->dy[odd],
                              .b = room->x[ky % s * s + kx % s] + offset,
                              .a_stride = p->dy_panel,
                              .b_stride = p->x_panel,
                              .a_panels = b->o_panels,
                              .b_panels = b->i_panels,
                              .depth = rows * p->row,
                              .accumulate = accumulate};
            vt_cpu_train_loops(kern)->outer(&outer);
        }
}

/* Column sums of dy's rows, as they are. */
static void add_bias(const vt_kern *kern, const dw_plan *p, const dw_block *b, float *bias,
                     int64_t first, int rows) {
    const vt_conv *a = p->args;
    for (int64_t r = first; r < first + rows; ++r) {
        const int64_t picture = r / p->rows_each, y = r % p->rows_each;
        if (y >= a->out_h) continue;
        size_t at = (size_t)(picture * a->out_h + y) * (size_t)a->out_w;
        vt_cpu_train_loops(kern)->column_sums_f32(bias, p->given + at * (size_t)a->out_c + b->o,
                                                  (size_t)a->out_c, a->out_w, b->o_columns);
    }
}

static void dw_task(const vt_kern *kern, const dw_plan *p, int64_t task, int thread) {
    const vt_conv *a = p->args;
    const int64_t blocks = p->o_blocks * p->i_blocks, lane = task / blocks, at = task % blocks;
    const int o = (int)(at / p->i_blocks) * p->block_o, i = (int)(at % p->i_blocks) * p->block_i;
    dw_block b = {.o_panels = least(p->o_panels - o, p->block_o),
                  .i_panels = least(p->i_panels - i, p->block_i),
                  .o = o * VT_PANEL,
                  .i = i * VT_PANEL,
                  .sums = p->sums + (size_t)task * p->sums_floats};
    b.o_columns = least(a->out_c - b.o, b.o_panels * VT_PANEL);
    b.i_columns = least(a->in_c - b.i, b.i_panels * VT_PANEL);
    const dw_room room = room_of_thread(p, thread);
    const int64_t begin = vt_cpu_piece_begin(p->rows, p->lanes, 1, lane);
    const int64_t end = vt_cpu_piece_begin(p->rows, p->lanes, 1, lane + 1);
    float *bias = p->db && i == 0 ? p->bias + (size_t)lane * p->bias_floats + b.o : NULL;
    if (bias) memset(bias, 0, (size_t)b.o_columns * sizeof *bias);
    for (int64_t first = begin; first < end; first += p->band) {
        const int rows = least(end - first, p->band);
        interleave_band(kern, p, &b, &room, first, rows);
        add_band(kern, p, &b, &room, rows, first > begin);
        if (bias) add_bias(kern, p, &b, bias, first, rows);
    }
}

/* Output channel o of dw, the lanes in order. */
static void dw_reduce(const vt_kern *kern, const dw_plan *p, int64_t o) {
    const vt_conv *a = p->args;
    const vt_loops *loops = vt_cpu_loops(kern);
    const int64_t o_block = o / VT_PANEL / p->block_o;
    const size_t row = (size_t)(o - o_block * p->block_o * VT_PANEL);
    const size_t width = (size_t)p->block_i * VT_PANEL, in_c = (size_t)a->in_c;
    for (int64_t block = 0; block < p->i_blocks; ++block) {
        const size_t i = (size_t)block * width, count = in_c - i < width ? in_c - i : width;
        for (int64_t lane = 0; lane < p->lanes; ++lane) {
            size_t task = (size_t)((lane * p->o_blocks + o_block) * p->i_blocks + block);
            const float *sums = p->sums + task * p->sums_floats + row * p->taps * width;
            for (size_t tap = 0; tap < p->taps; ++tap)
                loops->add(p->dw + ((size_t)o * p->taps + tap) * in_c + i, sums + tap * width,
                           count);
        }
    }
    for (int64_t lane = 0; p->db && lane < p->lanes; ++lane)
        p->db[o] += p->bias[(size_t)lane * p->bias_floats + (size_t)o];
}

static void dw_part(const vt_kern *kern, const void *args, vt_span span) {
    for (int64_t task = span.begin; task < span.end; ++task) dw_task(kern, args, task, span.thread);
}

static void dw_reduce_part(const vt_kern *kern, const void *args, vt_span span) {
    for (int64_t o = span.begin; o < span.end; ++o) dw_reduce(kern, args, o);
}

void vt_cpu_conv_packed_dw(vt_kern *kern, const vt_conv *a, const float *dy, float *dw, float *db) {
    if (a->groups <= 0) return;
    dw_plan plan;
    plan_make(&plan, a);
    plan.given = dy;
    plan.dw = dw;
    plan.db = db;
    plan_place(&plan, vt_cpu_line_of(a->workspace));
    const int64_t tasks = plan.lanes * plan.o_blocks * plan.i_blocks;
    const double work = (double)plan.rows * plan.row * a->out_c * (double)plan.taps * a->in_c;
    vt_cpu_deal(kern, work > VT_CPU_PARALLEL_MIN, tasks, dw_part, &plan);
    vt_cpu_split(kern, work > VT_CPU_PARALLEL_MIN, a->out_c, dw_reduce_part, &plan);
}

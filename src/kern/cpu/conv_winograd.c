/* conv_winograd.c - 3x3 convolutions of stride 1 in Winograd's domain: 4/9 of the products.
 *
 * Called by conv.c for packed weights of 16 taps (kern.h). y comes in squares of 2x2 pixels, each
 * from 4x4 pixels of the map (conv_map.h). A square d becomes 16 rows of channels V = B^T d B; the
 * 16 matrices of the weight U = G g G^T multiply them, position by position; the 16 sums M become
 * four pixels A^T M A. B and A hold 0, 1 and -1 alone, so the transforms are a few additions.
 *
 *     map, 4x4 pixels           V, 16 positions                     M, 16 sums          y, 2x2 pixels
 *     d00 d01 d02 d03           v0  v1  v2  v3    times U0 .. U15   m0  m1  m2  m3
 *     d10 d11 d12 d13   B^T d B v4  v5  v6  v7    (each channels    m4  m5  m6  m7   A^T M A   y00 y01
 *     d20 d21 d22 d23    --->   v8  v9  v10 v11    in by out)       m8  m9  m10 m11   --->     y10 y11
 *     d30 d31 d32 d33           v12 v13 v14 v15       --->          m12 m13 m14 m15
 *
 * 16 products a channel for four pixels, where the kernel itself needs 4 x 9. The next square begins two
 * pixels on: squares overlap by half each way, so V is four times the map.
 *
 * A task takes a block of squares through a block of panels. It transforms them into its thread's
 * slot, which stays in the second cache: position after position, the squares of each one under
 * another, so that tiles (isa/tiles.h) read them as rows. Then, panel by panel, tiles of squares
 * are multiplied at all 16 positions into a buffer in the first cache and transformed back from
 * there.
 *
 *     slot    position 0   square 0: channels | square 1: channels | ...   rows of tiles with U0
 *             position 1   square 0: channels | ...                        rows of tiles with U1
 *              ...
 *             position 15
 *
 *     buffer  rows are squares of one tile; 16 columns of positions 0 1 2 3 side by side, and four
 *             such tiles for 0 .. 15: 32 KB, of which 24 rows use 24 */
#include "kern/cpu/conv.h"

#include "kern/cpu/conv_map.h"
#include "kern/cpu/conv_sums.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/weight.h"

enum {
    POSITIONS = 16,
    /* Of a block's squares, unless one tile of them is larger: half of a second cache of 1 MB. A panel's
     * weights pass beside it (16 positions x channels x 32 bytes: 80 KB at 160 channels), all of the
     * block's tiles going through a panel before the next one comes. */
    SLOT_BYTES = 480 << 10,
    TASKS = 16,    /* a picture of few blocks is cut by panels too, to feed threads, */
    MOST_CUTS = 4, /* but each cut transforms its squares again */
    BLOCK = VT_TILE_MOST_ROWS * VT_TILE_COLUMNS, /* sums of four positions side by side */
    SKEW = 32, /* numbers (a line) between positions, lest they fall on the same cache sets */
    PARALLEL_WORK = 1 << 20 /* multiplications worth a parallel region */
};

typedef struct winograd_plan {
    const vt_conv *args;
    const vt_tiles *tiles;
    const vt_map_loops *loops;
    vt_conv_map map;
    int squares_w;        /* of a row of squares */
    int64_t squares;      /* of a picture */
    int64_t blocks, cuts; /* pieces of squares and of panels */
    int panels;
    size_t panel, position; /* numbers of a panel, and from a position of a slot to the next */
    bool stream;
    /* places in the workspace */
    vt_conv_sums sums;
    float *tiles_out; /* (threads, 4, BLOCK) */
    uint16_t *slots;  /* (threads, POSITIONS, position) */
    const uint16_t *weights;
} winograd_plan;

static size_t slot_numbers(const winograd_plan *p) {
    return POSITIONS * p->position;
}

/* How the work is cut, by sizes alone. */
static void plan_pieces(winograd_plan *p) {
    size_t square = POSITIONS * p->map.channels * sizeof(uint16_t);
    int64_t rows = p->tiles->most_rows, most = (int64_t)(SLOT_BYTES / square) / rows * rows;
    if (most < rows) most = rows;
    if (most > p->squares) most = p->squares;
    p->blocks = vt_cpu_pieces(p->squares, most);
    p->cuts = vt_cpu_pieces(TASKS, p->blocks);
    if (p->cuts > MOST_CUTS) p->cuts = MOST_CUTS;
    if (p->cuts > p->panels) p->cuts = p->panels;
    p->position = (size_t)most * p->map.channels + SKEW;
}

/* Fills the plan; its places begin at workspace. Returns the bytes that they take. */
static size_t plan_make(winograd_plan *p, const vt_kern *kern, const vt_conv *a, char *workspace) {
    int squares_h = (a->out_h + 1) / 2;
    *p = (winograd_plan){.args = a,
                         .tiles = vt_cpu_tiles(kern),
                         .loops = ((const vt_cpu *)kern)->map_loops,
                         .squares_w = (a->out_w + 1) / 2,
                         .panels = (a->out_c + VT_PANEL - 1) / VT_PANEL};
    p->squares = (int64_t)squares_h * p->squares_w;
    p->map = (vt_conv_map){.args = a,
                           .loops = p->loops,
                           .channels = (size_t)a->w->depth,
                           .h = 2 * squares_h + 2,
                           .w = 2 * p->squares_w + 2,
                           .top = a->pad_top,
                           .left = a->pad_left,
                           .enlarged = a->upsample};
    p->panel = POSITIONS * p->map.channels * VT_PANEL;
    plan_pieces(p);
    size_t map_bytes = vt_conv_map_size(&p->map, kern);
    size_t slot_bytes = vt_conv_lines((size_t)kern->threads * slot_numbers(p) * sizeof(uint16_t));
    size_t tile_bytes = (size_t)kern->threads * 4 * BLOCK * sizeof(float);
    if (workspace) {
        vt_conv_map_place(&p->map, kern, workspace);
        p->slots = (uint16_t *)(void *)(workspace + map_bytes);
        p->weights = a->w->numbers;
        p->tiles_out = (float *)(void *)(workspace + map_bytes + slot_bytes);
        vt_conv_sums_place(&p->sums, a, p->blocks, workspace + map_bytes + slot_bytes + tile_bytes);
    }
    return map_bytes + slot_bytes + tile_bytes + vt_conv_sums_bytes(a, p->blocks, p->map.round);
}

size_t vt_cpu_conv_winograd_workspace(const vt_kern *kern, const vt_conv *a) {
    winograd_plan plan;
    /* one line more: the workspace may begin inside one */
    return plan_make(&plan, kern, a, NULL) + 64;
}

/* Squares [first, end) of a picture into a slot. */
static void squares_in(const winograd_plan *p, const uint16_t *map, int64_t first, int64_t end,
                       uint16_t *slot) {
    size_t line = vt_conv_map_line(&p->map), channels = p->map.channels;
    vt_map_squares run = {.line = line, .pixel = channels, .to = slot, .position = p->position};
    for (int64_t square = first; square < end; square += run.count) {
        int64_t y = square / p->squares_w, x = square % p->squares_w, left = p->squares_w - x;
        run.count = (int)(left < end - square ? left : end - square);
        run.map = map + 2 * (size_t)y * line + 2 * (size_t)x * channels;
        p->loops->squares(&run);
        run.to += (size_t)run.count * channels;
    }
}

/* `rows` squares of a slot from `square` on, back into y; `total` receives its sums. */
static void squares_out(const winograd_plan *p, const float *sums, size_t block, size_t picture,
                        int64_t square, int rows, int panel, float *total) {
    const vt_conv *a = p->args;
    size_t out_c = (size_t)a->out_c, column = (size_t)panel * VT_PANEL;
    vt_map_square out = {.block = block,
                         .next = VT_TILE_COLUMNS,
                         .bias = a->bias ? a->bias + column : NULL,
                         .line = (size_t)a->out_w * out_c,
                         .pixel = out_c,
                         .columns = a->out_c - panel * VT_PANEL,
                         .totals = total,
                         .squares = p->sums.columns,
                         .stream = p->stream};
    if (out.columns > VT_PANEL) out.columns = VT_PANEL;
    for (int r = 0; r < rows; r += out.count, square += out.count) {
        int y = 2 * (int)(square / p->squares_w), x = 2 * (int)(square % p->squares_w);
        int left = p->squares_w - x / 2;
        size_t at = (picture * (size_t)a->out_h + (size_t)y) * (size_t)a->out_w + (size_t)x;
        out.count = left < rows - r ? left : rows - r;
        out.sums = sums + r * VT_TILE_COLUMNS;
        out.y = (float *)a->y + at * out_c + column;
        out.residual = a->residual ? (const float *)a->residual + at * out_c + column : NULL;
        out.rows = a->out_h - y < 2 ? 1 : 2;
        out.pixels = a->out_w - x;
        p->loops->squares_out(&out);
    }
}

/* Asks for what squares_out will add: lines far apart, which no processor foresees. Inline, because
 * gcc takes calls of a function that only prefetches for idle ones. */
static inline __attribute__((always_inline)) void
residual_ahead(const winograd_plan *p, size_t picture, int64_t square, int rows, int panel) {
    const vt_conv *a = p->args;
    size_t line = (size_t)a->out_w, out_c = (size_t)a->out_c;
    const float *from = (const float *)a->residual + picture * (size_t)a->out_h * line * out_c +
                        (size_t)panel * VT_PANEL;
    for (int r = 0; r < rows; r++, square++) {
        size_t y = 2 * (size_t)(square / p->squares_w), x = 2 * (size_t)(square % p->squares_w);
        size_t below = y + 1 < (size_t)a->out_h ? line : 0, beside = x + 1 < line ? 1 : 0;
        const float *pixel = from + (y * line + x) * out_c;
        __builtin_prefetch(pixel, 0, 2);
        __builtin_prefetch(pixel + beside * out_c, 0, 2);
        __builtin_prefetch(pixel + below * out_c, 0, 2);
        __builtin_prefetch(pixel + (below + beside) * out_c, 0, 2);
    }
}

static void winograd_task(const winograd_plan *p, size_t first_picture, int64_t task, int thread) {
    const vt_conv *a = p->args;
    float *sums = p->tiles_out + (size_t)thread * 4 * BLOCK;
    int64_t cut = task % p->cuts, block = task / p->cuts % p->blocks;
    size_t at = (size_t)(task / p->cuts / p->blocks);
    int64_t first = vt_cpu_piece_begin(p->squares, p->blocks, 1, block);
    int64_t end = vt_cpu_piece_begin(p->squares, p->blocks, 1, block + 1);
    int64_t groups = vt_cpu_pieces(end - first, p->tiles->most_rows);
    int panel_end = (int)vt_cpu_piece_begin(p->panels, p->cuts, 1, cut + 1);
    uint16_t *slot = p->slots + (size_t)thread * slot_numbers(p);
    vt_tile tile = {.a_stride = p->map.channels,
                    .b_stride = p->panel,
                    .taps = 1,
                    .depth = (int)p->map.channels,
                    .panels = 1};

    squares_in(p, p->map.numbers + at * vt_conv_map_picture(&p->map), first, end, slot);
    for (int panel = (int)vt_cpu_piece_begin(p->panels, p->cuts, 1, cut); panel < panel_end;
         panel++) {
        float *total = vt_conv_sums_begin(&p->sums, at, block, (size_t)panel * VT_PANEL, VT_PANEL);
        for (int64_t group = 0; group < groups; group++) {
            int64_t begin = vt_cpu_piece_begin(end - first, groups, 1, group);
            tile.rows = (int)(vt_cpu_piece_begin(end - first, groups, 1, group + 1) - begin);
            if (a->residual) residual_ahead(p, first_picture + at, first + begin, tile.rows, panel);
            for (size_t position = 0; position < POSITIONS; position++) {
                tile.a = slot + position * p->position + (size_t)begin * p->map.channels;
                tile.b =
                    p->weights + (size_t)panel * p->panel + position * p->map.channels * VT_PANEL;
                tile.out = sums + position / 4 * BLOCK + position % 4 * VT_PANEL;
                p->tiles->product(&tile);
            }
            squares_out(p, sums, BLOCK, first_picture + at, first + begin, tile.rows, panel, total);
        }
    }
    if (p->stream) p->loops->end();
}

typedef struct winograd_round {
    const winograd_plan *plan;
    size_t first; /* picture */
} winograd_round;

static void winograd_part(const vt_kern *kern, const void *args, vt_span span) {
    const winograd_round *round = args;
    (void)kern;
    round->plan->tiles->begin();
    for (int64_t task = span.begin; task < span.end; task++)
        winograd_task(round->plan, round->first, task, span.thread);
    round->plan->tiles->end();
}

void vt_cpu_conv_winograd(vt_kern *kern, const vt_conv *a) {
    if (a->groups <= 0) return;
    winograd_plan plan;
    plan_make(&plan, kern, a, (char *)(((uintptr_t)a->workspace + 63) / 64 * 64));
    plan.stream = vt_conv_streams(a);
    const winograd_plan *p = &plan;
    double work = (double)a->groups * (double)p->squares * (double)p->panels * (double)p->panel;
    const bool worth = work > PARALLEL_WORK;
    for (size_t first = 0; first < (size_t)a->groups; first += p->map.round) {
        size_t left = (size_t)a->groups - first, count = left < p->map.round ? left : p->map.round;
        vt_conv_map_run(&p->map, kern, first, count, worth);
        vt_cpu_deal(kern, worth, (int64_t)count * p->blocks * p->cuts, winograd_part,
                    &(winograd_round){p, first});
        vt_conv_sums_finish(&p->sums, kern, first, count, worth);
    }
}

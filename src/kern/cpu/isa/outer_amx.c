/* outer_amx.c - the outer products of train_loops.h by tdpbf16ps. b's panels lie as the instruction
 * takes its second operand; its first wants the depth of a column side by side, so pieces of a's
 * panels are turned around, 16 columns by 32 numbers of depth at a time, and serve all of b.
 *
 *     a's panel, 16 lines of pairs            turned: a register of rows
 *     d 0 1    | c0 | c1 | ... | c15          c0    | d 0 1 | d 2 3 | ... | d 30 31
 *     d 2 3    | c0 | c1 | ... | c15          c1    | d 0 1 | ...
 *      ...                                     ...
 *     d 30 31  | c0 | c1 | ... | c15          c15   | d 0 1 | ...
 *
 * Two panels of a are turned for up to 16 such pieces (32 KB), then meet b's panels two at a time: the
 * square of amx.h, of which out holds the sums between stretches of depth.
 *
 * Rows as they lie (vt_outer_rows) spare a the interleaving: two of its rows are paired four columns at a time within each
 * quarter of a register, which is one instruction, and the columns' order is set right where they are stored. */
#include "kern/cpu/isa/amx.h"
#include "kern/cpu/isa/train_loops.h"
#include "kern/cpu/isa/transpose.h"

#define INLINE static inline __attribute__((always_inline))

enum {
    PANEL = 16,
    STEP = 32,            /* depth of one instruction */
    PIECE = STEP * PANEL, /* numbers of one register */
    MOST_STEPS = 16       /* turned at a time: 16 KB a panel */
};

/* Up to two panels by two, over `steps` registers of depth. A last register of b that is not whole is a
 * copy with zeros, because the instruction always takes 32 of depth and beyond a panel its neighbour
 * begins. */
typedef struct block {
    float *out;
    size_t out_stride;
    const uint16_t *a;       /* turned; the second panel at + MOST_STEPS * PIECE */
    const uint16_t *b[2];    /* panels */
    const uint16_t *last[2]; /* their last registers of depth, zero beyond the end */
    int steps;
    bool accumulate;
} block;

INLINE void block_product(const block *k, const bool two_a, const bool two_b) {
    float *low = k->out, *high = k->out + PANEL * k->out_stride;
    const size_t line = k->out_stride * sizeof *low;
    if (k->accumulate) {
        AMX_LOAD(SUMS_00, low, line);
        if (two_b) AMX_LOAD(SUMS_01, low + PANEL, line);
        if (two_a) AMX_LOAD(SUMS_10, high, line);
        if (two_a && two_b) AMX_LOAD(SUMS_11, high + PANEL, line);
    } else {
        AMX_ZERO(SUMS_00);
        if (two_b) AMX_ZERO(SUMS_01);
        if (two_a) AMX_ZERO(SUMS_10);
        if (two_a && two_b) AMX_ZERO(SUMS_11);
    }
    for (int s = 0; s < k->steps; ++s) {
        const size_t at = (size_t)s * PIECE;
        const bool last = s + 1 == k->steps;
        AMX_LOAD(PANEL_0, last ? k->last[0] : k->b[0] + at, AMX_LINE);
        AMX_LOAD(ROWS_0, k->a + at, AMX_LINE);
        AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        if (two_b) {
            AMX_LOAD(PANEL_1, last ? k->last[1] : k->b[1] + at, AMX_LINE);
            AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
        }
        if (two_a) {
            AMX_LOAD(ROWS_1, k->a + MOST_STEPS * PIECE + at, AMX_LINE);
            AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
        }
        if (two_a && two_b) AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
    }
    AMX_STORE(SUMS_00, low, line);
    if (two_b) AMX_STORE(SUMS_01, low + PANEL, line);
    if (two_a) AMX_STORE(SUMS_10, high, line);
    if (two_a && two_b) AMX_STORE(SUMS_11, high + PANEL, line);
}

static void block_run(const block *k, bool two_a, bool two_b) {
    if (two_a && two_b)
        block_product(k, true, true);
    else if (two_a)
        block_product(k, true, false);
    else if (two_b)
        block_product(k, false, true);
    else
        block_product(k, false, false);
}

/* A panel of `depth` numbers to registers of (16 columns, 32 of depth), zero beyond. */
static void turn(uint16_t *to, const uint16_t *panel, int depth) {
    for (int d = 0; d < depth; d += STEP, panel += PIECE, to += PIECE) {
        __m512i x[16];
        for (int i = 0; i < 16; ++i)
            x[i] = d + 2 * i < depth ? _mm512_loadu_si512(panel + i * 2 * PANEL)
                                     : _mm512_setzero_si512();
        vt_transpose_16x16(x);
        for (int i = 0; i < 16; ++i) _mm512_store_si512(to + i * STEP, x[i]);
    }
}

/* Whole registers of depth stay where they are; a last one that is not whole is copied. */
static const uint16_t *last_of(uint16_t *copy, const uint16_t *panel, int depth) {
    const int whole = (depth - 1) / STEP * STEP;
    if (depth - whole == STEP) return panel + (size_t)whole * PANEL;
    memset(copy, 0, PIECE * sizeof *copy);
    memcpy(copy, panel + (size_t)whole * PANEL, (size_t)(depth - whole) * PANEL * sizeof *copy);
    return copy;
}

/* Panels i and, if there is one, i + 1 of a with all of b, depth [first, first + depth). */
static void rows_run(const vt_outer *o, int i, int first, int depth) {
    uint16_t a[2 * MOST_STEPS * PIECE] __attribute__((aligned(64)));
    uint16_t copies[2 * PIECE] __attribute__((aligned(64)));
    const size_t at = (size_t)first * PANEL;
    const bool two_a = i + 1 < o->a_panels;
    block k = {.out_stride = o->out_stride,
               .a = a,
               .steps = (depth + STEP - 1) / STEP,
               .accumulate = o->accumulate || first > 0};
    turn(a, o->a + (size_t)i * o->a_stride + at, depth);
    if (two_a) turn(a + MOST_STEPS * PIECE, o->a + (size_t)(i + 1) * o->a_stride + at, depth);
    for (int j = 0; j < o->b_panels; j += 2) {
        const bool two_b = j + 1 < o->b_panels;
        for (int p = 0; p < 1 + two_b; ++p) {
            k.b[p] = o->b + (size_t)(j + p) * o->b_stride + at;
            k.last[p] = last_of(copies + p * PIECE, k.b[p], depth);
        }
        k.out = o->out + (size_t)i * PANEL * o->out_stride + (size_t)j * PANEL;
        block_run(&k, two_a, two_b);
    }
}

void vt_outer_amx(const vt_outer *o) {
    const bool within = vt_amx_configured > 0; /* a task of tile products */
    amx_rows_set(AMX_MOST_ROWS);
    for (int i = 0; i < o->a_panels; i += 2)
        for (int first = 0; first < o->depth; first += MOST_STEPS * STEP) {
            const int left = o->depth - first;
            rows_run(o, i, first, left < MOST_STEPS * STEP ? left : MOST_STEPS * STEP);
        }
    if (!within) amx_end();
}

/* ---- rows ---- */

enum { PAIR = 2 * PANEL }; /* columns turned or interleaved at a time: a line of a row */

INLINE __m512i row_or_zero(const uint16_t *from, size_t stride, int row, int rows) {
    return row < rows ? _mm512_loadu_si512(from + (size_t)row * stride) : _mm512_setzero_si512();
}

/* 32 columns of up to 32 rows to two registers of (16 columns, 32 rows), `apart` numbers from each other. */
INLINE void turn_rows(uint16_t *to, size_t apart, const uint16_t *from, size_t stride, int rows) {
    __m512i low[16],
        high[16]; /* columns 8 q + 0 .. 3 and 8 q + 4 .. 7 of quarter q, rows 2 i and 2 i + 1 */
    for (int i = 0; i < 16; ++i) {
        const __m512i even = row_or_zero(from, stride, 2 * i, rows);
        const __m512i odd = row_or_zero(from, stride, 2 * i + 1, rows);
        low[i] = _mm512_unpacklo_epi16(even, odd);
        high[i] = _mm512_unpackhi_epi16(even, odd);
    }
    vt_transpose_16x16(low);
    vt_transpose_16x16(high);
    for (int i = 0; i < 16; ++i) {
        const int column = i / 4 * 8 + i % 4;
        _mm512_store_si512(to + (size_t)(column / PANEL) * apart + column % PANEL * STEP, low[i]);
        _mm512_store_si512(
            to + (size_t)((column + 4) / PANEL) * apart + (column + 4) % PANEL * STEP, high[i]);
    }
}

/* All columns of b as panels of `depth` rows, zero beyond the last. */
static void interleave_rows(const vt_outer_rows *o, int depth) {
    uint16_t order[32];
    for (int i = 0; i < 32; ++i) order[i] = (uint16_t)(i / 2 + i % 2 * 32);
    const __m512i low = _mm512_loadu_si512(order);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(PANEL));
    const size_t panel = (size_t)depth * PANEL;
    for (int r = 0; r < depth; r += 2) {
        uint16_t *to = o->room + (size_t)r * PANEL;
        for (int c = 0; c < o->b_columns; c += PAIR, to += 2 * panel) {
            const __m512i even = row_or_zero(o->b + c, o->b_stride, r, o->rows);
            const __m512i odd = row_or_zero(o->b + c, o->b_stride, r + 1, o->rows);
            _mm512_store_si512(to, _mm512_permutex2var_epi16(even, low, odd));
            _mm512_store_si512(to + panel, _mm512_permutex2var_epi16(even, high, odd));
        }
    }
}

/* sums (32) += column sums of a, which is turned: its product with ones. */
static void add_sums(float *sums, const uint16_t *a, int steps) {
    uint16_t ones[PIECE] __attribute__((aligned(64)));
    float out[2 * PANEL * PANEL] __attribute__((aligned(64)));
    for (int i = 0; i < PIECE; ++i) ones[i] = 0x3f80;
    AMX_ZERO(SUMS_00);
    AMX_ZERO(SUMS_10);
    AMX_LOAD(PANEL_0, ones, AMX_LINE);
    for (int s = 0; s < steps; ++s, a += PIECE) {
        AMX_LOAD(ROWS_0, a, AMX_LINE);
        AMX_LOAD(ROWS_1, a + MOST_STEPS * PIECE, AMX_LINE);
        AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
    }
    AMX_STORE(SUMS_00, out, AMX_LINE);
    AMX_STORE(SUMS_10, out + PANEL * PANEL, AMX_LINE);
    for (int i = 0; i < PAIR; ++i) sums[i] += out[i * PANEL];
}

/* Up to MOST_STEPS registers of rows. */
static void some_rows(const vt_outer_rows *o) {
    uint16_t a[2 * MOST_STEPS * PIECE] __attribute__((aligned(64)));
    const int steps = (o->rows + STEP - 1) / STEP;
    const size_t panel = (size_t)steps * PIECE;
    interleave_rows(o, steps * STEP);
    for (int i = 0; i < o->a_columns; i += PAIR) {
        for (int s = 0; s < steps; ++s)
            turn_rows(a + s * PIECE, MOST_STEPS * PIECE,
                      o->a + (size_t)(s * STEP) * o->a_stride + i, o->a_stride, o->rows - s * STEP);
        if (o->a_sums) add_sums(o->a_sums + i, a, steps);
        block k = {
            .out_stride = o->out_stride, .a = a, .steps = steps, .accumulate = o->accumulate};
        for (int j = 0; j < o->b_columns; j += PAIR) {
            for (int p = 0; p < 2; ++p) {
                k.b[p] = o->room + (size_t)(j / PANEL + p) * panel;
                k.last[p] = k.b[p] + (steps - 1) * PIECE;
            }
            k.out = o->out + (size_t)i * o->out_stride + j;
            block_product(&k, true, true);
        }
    }
}

void vt_outer_rows_amx(const vt_outer_rows *o) {
    const bool within = vt_amx_configured > 0; /* a task of tile products */
    vt_outer_rows part = *o;
    amx_rows_set(AMX_MOST_ROWS);
    for (int first = 0; first < o->rows; first += MOST_STEPS * STEP) {
        const int left = o->rows - first;
        part.a = o->a + (size_t)first * o->a_stride;
        part.b = o->b + (size_t)first * o->b_stride;
        part.rows = left < MOST_STEPS * STEP ? left : MOST_STEPS * STEP;
        some_rows(&part);
        part.accumulate = true;
    }
    if (!within) amx_end();
}

/* squares_amx.h - products of rows that lie in tiles (vt_squares in tiles.h) on AMX: of bf16 in tiles_amx.c and, a tile of 1 KB
 * being 16 rows by 64 bytes either way, of int8 in tiles8_amx.c, which say by SQUARE_PRODUCT what a tile is multiplied with.
 * Checked over plain C too; what was measured on silicon is in docs/PERFORMANCE.md. */
#ifndef VT_KERN_CPU_ISA_SQUARES_AMX_H
#define VT_KERN_CPU_ISA_SQUARES_AMX_H

#include "kern/cpu/isa/amx.h"
#include "kern/cpu/isa/tiles.h"

#define INLINE static inline __attribute__((always_inline))

#ifndef SQUARE_PRODUCT
#define SQUARE_PRODUCT AMX_PRODUCT
#endif

static const size_t out_bytes = VT_TILE_COLUMNS * sizeof(float);
#define SUM_LOAD(sum, at) AMX_LOAD(sum, at, out_bytes)
#define SUM_STORE(sum, at) AMX_STORE(sum, at, out_bytes)

/* What is done between steps: its share of each. */
typedef struct between {
    vt_meanwhile *what;
    const char *ask;
    int lines, share; /* left; a step */
    int runs, steps;  /* of all steps */
    int due; /* runs * steps done - steps * runs done: a run is due when it reaches `steps` */
} between;

INLINE between between_begin(vt_meanwhile *what, int steps) {
    return (between){.what = what,
                     .ask = what->ask,
                     .lines = what->lines,
                     .share = (what->lines + steps - 1) / steps,
                     .runs = what->runs,
                     .steps = steps};
}

INLINE void between_steps(between *b) {
    int lines = b->lines < b->share ? b->lines : b->share;
    b->lines -= lines;
    for (; lines > 0; --lines, b->ask += AMX_LINE) __builtin_prefetch(b->ask, 0, 2);
    for (b->due += b->runs; b->due >= b->steps; b->due -= b->steps) {
        --b->what->runs;
        b->what->run(b->what->user);
    }
}

/* Two row tiles by one or two panels from `first` on. */
INLINE void square(const vt_squares *q, between *t, int first, const bool two) {
    const uint16_t *a = q->a, *b = q->b + (size_t)first * q->b_stride;
    float *out = q->out + first * VT_PANEL;
    const size_t low = VT_ROW_TILE * VT_TILE_COLUMNS;
    if (q->go_on) {
        SUM_LOAD(SUMS_00, out);
        SUM_LOAD(SUMS_10, out + low);
        if (two) SUM_LOAD(SUMS_01, out + VT_PANEL);
        if (two) SUM_LOAD(SUMS_11, out + low + VT_PANEL);
    } else {
        AMX_ZERO(SUMS_00);
        AMX_ZERO(SUMS_10);
        if (two) AMX_ZERO(SUMS_01);
        if (two) AMX_ZERO(SUMS_11);
    }
    for (int s = 0; s < q->steps; ++s, a += VT_TILE_NUMBERS, b += VT_TILE_NUMBERS) {
        AMX_LOAD(PANEL_0, b, AMX_LINE);
        AMX_LOAD_PAST(ROWS_0, a, AMX_LINE);
        if (two) AMX_LOAD(PANEL_1, b + q->b_stride, AMX_LINE);
        AMX_LOAD_PAST(ROWS_1, a + q->a_stride, AMX_LINE);
        if (two) {
            SQUARE_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            SQUARE_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
            SQUARE_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
            SQUARE_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
        } else {
            SQUARE_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            SQUARE_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
        }
        between_steps(t);
    }
    SUM_STORE(SUMS_00, out);
    SUM_STORE(SUMS_10, out + low);
    if (two) SUM_STORE(SUMS_01, out + VT_PANEL);
    if (two) SUM_STORE(SUMS_11, out + low + VT_PANEL);
}

/* One row tile by `panels` panels, whose sums take the registers in order. PANEL_2 is what a second row tile would be in;
 * a fourth panel takes the first one's place once that is multiplied. */
#define PANEL_2 ROWS_1
INLINE void row_tile(const vt_squares *q, between *t, const int panels) {
    const uint16_t *a = q->a, *b0 = q->b, *b1 = b0 + q->b_stride, *b2 = b1 + q->b_stride;
    const uint16_t *b3 = b2 + q->b_stride;
    float *out = q->out;
    if (q->go_on) {
        SUM_LOAD(SUMS_00, out);
        if (panels > 1) SUM_LOAD(SUMS_01, out + VT_PANEL);
        if (panels > 2) SUM_LOAD(SUMS_10, out + 2 * VT_PANEL);
        if (panels > 3) SUM_LOAD(SUMS_11, out + 3 * VT_PANEL);
    } else {
        AMX_ZERO(SUMS_00);
        if (panels > 1) AMX_ZERO(SUMS_01);
        if (panels > 2) AMX_ZERO(SUMS_10);
        if (panels > 3) AMX_ZERO(SUMS_11);
    }
    for (int s = 0; s < q->steps; ++s, a += VT_TILE_NUMBERS) {
        const size_t at = (size_t)s * VT_TILE_NUMBERS;
        AMX_LOAD(PANEL_0, b0 + at, AMX_LINE);
        AMX_LOAD(ROWS_0, a, AMX_LINE);
        if (panels > 1) AMX_LOAD(PANEL_1, b1 + at, AMX_LINE);
        if (panels > 2) AMX_LOAD(PANEL_2, b2 + at, AMX_LINE);
        SQUARE_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        if (panels > 3) AMX_LOAD(PANEL_0, b3 + at, AMX_LINE);
        if (panels > 1) SQUARE_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
        if (panels > 2) SQUARE_PRODUCT(SUMS_10, ROWS_0, PANEL_2);
        if (panels > 3) SQUARE_PRODUCT(SUMS_11, ROWS_0, PANEL_0);
        between_steps(t);
    }
    SUM_STORE(SUMS_00, out);
    if (panels > 1) SUM_STORE(SUMS_01, out + VT_PANEL);
    if (panels > 2) SUM_STORE(SUMS_10, out + 2 * VT_PANEL);
    if (panels > 3) SUM_STORE(SUMS_11, out + 3 * VT_PANEL);
}

static void row_tile_4(const vt_squares *q, between *t) {
    row_tile(q, t, 4);
}
static void row_tile_3(const vt_squares *q, between *t) {
    row_tile(q, t, 3);
}
static void row_tile_2(const vt_squares *q, between *t) {
    row_tile(q, t, 2);
}
static void row_tile_1(const vt_squares *q, between *t) {
    row_tile(q, t, 1);
}

static void squares(const vt_squares *q) {
    const int pairs = q->panels / 2, passes = q->row_tiles == 1 ? 1 : (q->panels + 1) / 2;
    between t = between_begin(q->meanwhile, passes * q->steps);
    amx_rows_set(AMX_MOST_ROWS);
    if (q->row_tiles == 1) {
        (q->panels == 4   ? row_tile_4
         : q->panels == 3 ? row_tile_3
         : q->panels == 2 ? row_tile_2
                          : row_tile_1)(q, &t);
        return;
    }
    for (int p = 0; p < pairs; ++p) square(q, &t, 2 * p, true);
    if (q->panels % 2 == 1) square(q, &t, q->panels - 1, false);
}

#endif

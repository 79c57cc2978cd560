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

/* What is done between steps: its share of each (vt_meanwhile). */
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

/* `low`: one row tile; `two`: panels. Rows are read past the first cache, in which panels are to stay. Loads come first: on silicon that
 * was as fast as any order while the core had no company, and faster by up to 18 % beside a busy second thread. */
INLINE void square(const vt_squares *q, const bool two, const bool low) {
    const uint16_t *a = q->a, *b = q->b;
    float *out = q->out, *below = q->out + VT_ROW_TILE * VT_TILE_COLUMNS;
    between t = between_begin(q->meanwhile, q->steps);
    if (q->go_on) {
        SUM_LOAD(SUMS_00, out);
        if (!low) SUM_LOAD(SUMS_10, below);
        if (two) SUM_LOAD(SUMS_01, out + VT_PANEL);
        if (two && !low) SUM_LOAD(SUMS_11, below + VT_PANEL);
    } else {
        AMX_ZERO(SUMS_00);
        if (!low) AMX_ZERO(SUMS_10);
        if (two) AMX_ZERO(SUMS_01);
        if (two && !low) AMX_ZERO(SUMS_11);
    }
    for (int s = 0; s < q->steps; ++s, a += VT_TILE_NUMBERS, b += VT_TILE_NUMBERS) {
        AMX_LOAD(PANEL_0, b, AMX_LINE);
        AMX_LOAD_PAST(ROWS_0, a, AMX_LINE);
        if (two) AMX_LOAD(PANEL_1, b + q->b_stride, AMX_LINE);
        if (!low) AMX_LOAD_PAST(ROWS_1, a + q->a_stride, AMX_LINE);
        SQUARE_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        if (two) SQUARE_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
        if (!low) SQUARE_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
        if (two && !low) SQUARE_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
        between_steps(&t);
    }
    SUM_STORE(SUMS_00, out);
    if (!low) SUM_STORE(SUMS_10, below);
    if (two) SUM_STORE(SUMS_01, out + VT_PANEL);
    if (two && !low) SUM_STORE(SUMS_11, below + VT_PANEL);
}

static void squares(const vt_squares *q) {
    const bool two = q->panels == 2, low = q->row_tiles == 1;
    amx_rows_set(AMX_MOST_ROWS);
    if (two && !low)
        square(q, true, false);
    else if (two)
        square(q, true, true);
    else if (!low)
        square(q, false, false);
    else
        square(q, false, true);
}

#endif

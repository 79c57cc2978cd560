/* tiles_amx.c - tiles.h by tdpbf16ps, which multiplies a register of 16 rows by 32 numbers of depth
 * with a register of 32 numbers of depth by 16 columns: a row of the one is a row of x, the other is
 * a stretch of a panel as it lies in memory (amx.h). Rows of x are taken where they lie, or, for many, from
 * tiles (squares). Checked over plain C alone; what was measured on silicon is in docs/PERFORMANCE.md. */
#include "kern/cpu/isa/amx.h"
#include "kern/cpu/isa/tiles.h"

#define INLINE static inline __attribute__((always_inline))

_Thread_local int vt_amx_configured;

enum { STEP = VT_TILE_DEPTH * VT_PANEL };

static const size_t out_bytes = VT_TILE_COLUMNS * sizeof(float);
#define SUM_LOAD(sum, at) AMX_LOAD(sum, at, out_bytes)
#define SUM_STORE(sum, at) AMX_STORE(sum, at, out_bytes)

/* One step of a square. Its loads come first: on silicon that was as fast as any order while the core had no company,
 * and faster by up to 18 % beside a busy second thread. The second row tile and the second panel are a_next and
 * b_next numbers on; rows are `bytes` apart. */
INLINE void square_step(const uint16_t *a, size_t a_next, size_t bytes, const uint16_t *b,
                        size_t b_next) {
    AMX_LOAD(PANEL_0, b, AMX_LINE);
    AMX_LOAD(ROWS_0, a, bytes);
    AMX_LOAD(PANEL_1, b + b_next, AMX_LINE);
    AMX_LOAD(ROWS_1, a + a_next, bytes);
    AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
    AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
    AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
    AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
}

/* One or two panels from `first` on; `low`: no more than 16 rows. */
INLINE void panels_product(const vt_tile *t, int first, const bool two, const bool low) {
    const size_t bytes = t->a_stride * sizeof *t->a;
    size_t at = (size_t)first * t->b_stride;
    AMX_ZERO(SUMS_00);
    if (two) AMX_ZERO(SUMS_01);
    if (!low) AMX_ZERO(SUMS_10);
    if (two && !low) AMX_ZERO(SUMS_11);
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (t->tap ? t->tap[tap] : 0);
        for (int d = 0; d < t->depth; d += VT_TILE_DEPTH, at += STEP) {
            const uint16_t *b = t->b + at;
            if (two && !low) {
                square_step(a + d, AMX_HALF_ROWS * t->a_stride, bytes, b, t->b_stride);
                continue;
            }
            AMX_LOAD(PANEL_0, b, AMX_LINE);
            AMX_LOAD(ROWS_0, a + d, bytes);
            AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            if (two) {
                AMX_LOAD(PANEL_1, b + t->b_stride, AMX_LINE);
                AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
            }
            if (!low) {
                AMX_LOAD(ROWS_1, a + AMX_HALF_ROWS * t->a_stride + d, bytes);
                AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
            }
        }
    }
    float *out = t->out + first * VT_PANEL;
    SUM_STORE(SUMS_00, out);
    if (two) SUM_STORE(SUMS_01, out + VT_PANEL);
    out += AMX_HALF_ROWS * VT_TILE_COLUMNS;
    if (!low) SUM_STORE(SUMS_10, out);
    if (two && !low) SUM_STORE(SUMS_11, out + VT_PANEL);
}

static void product(const vt_tile *t) {
    amx_rows_set(t->rows);
    const bool low = t->rows <= AMX_HALF_ROWS;
    for (int p = 0; p < t->panels; p += 2) {
        const bool two = p + 1 < t->panels;
        if (two && !low)
            panels_product(t, p, true, false);
        else if (two)
            panels_product(t, p, true, true);
        else if (!low)
            panels_product(t, p, false, false);
        else
            panels_product(t, p, false, true);
    }
}

/* ---- squares ---- */

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
    for (int s = 0; s < q->steps; ++s, a += VT_TILE_NUMBERS, b += STEP) {
        AMX_LOAD(PANEL_0, b, AMX_LINE);
        AMX_LOAD_PAST(ROWS_0, a, AMX_LINE);
        if (two) AMX_LOAD(PANEL_1, b + q->b_stride, AMX_LINE);
        AMX_LOAD_PAST(ROWS_1, a + q->a_stride, AMX_LINE);
        if (two) {
            AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
            AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
            AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
        } else {
            AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
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
        const size_t at = (size_t)s * STEP;
        AMX_LOAD(PANEL_0, b0 + at, AMX_LINE);
        AMX_LOAD(ROWS_0, a, AMX_LINE);
        if (panels > 1) AMX_LOAD(PANEL_1, b1 + at, AMX_LINE);
        if (panels > 2) AMX_LOAD(PANEL_2, b2 + at, AMX_LINE);
        AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        if (panels > 3) AMX_LOAD(PANEL_0, b3 + at, AMX_LINE);
        if (panels > 1) AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
        if (panels > 2) AMX_PRODUCT(SUMS_10, ROWS_0, PANEL_2);
        if (panels > 3) AMX_PRODUCT(SUMS_11, ROWS_0, PANEL_0);
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

static double peak(int64_t rounds) {
    const double flops = 2.0 * AMX_HALF_ROWS * VT_PANEL * VT_TILE_DEPTH;
    amx_begin();
    amx_rows_set(AMX_MOST_ROWS);
    for (int64_t r = 0; r < 3 * rounds; ++r) {
        AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
        AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
        AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
    }
    amx_end();
    return flops * 12 * (double)rounds;
}

const vt_tiles vt_tiles_amx = {
    .name = "amx",
    .most_rows = AMX_MOST_ROWS,
    .direct_conv = true,
    .begin = amx_begin,
    .end = amx_end,
    .product = product,
    .product_beside = vt_product_beside_amx,
    .finish = vt_finish_avx512bf16,
    .squares = squares,
    .lay = vt_lay_avx512bf16,
    .pack = vt_pack_avx512bf16,
    .pack_across = vt_pack_across_avx512bf16,
    .unpack_int8 = vt_unpack_int8_avx512bf16,
    .to_bf16 = vt_to_bf16_avx512bf16,
    .from_bf16 = vt_from_bf16_avx512bf16,
    .peak = peak,
};

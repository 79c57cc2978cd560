/* tiles_amx.c - tiles.h by tdpbf16ps, which multiplies a register of 16 rows by 32 numbers of depth
 * with a register of 32 numbers of depth by 16 columns: a row of the one is a row of x, the other is
 * a stretch of a panel as it lies in memory (amx.h). Rows of x are taken where they lie, or, for many, from
 * tiles (squares). Checked over plain C alone; what was measured on silicon is in docs/PERFORMANCE.md. */
#define SQUARE_PRODUCT AMX_PRODUCT
#include "kern/cpu/isa/squares_amx.h"

#include "kern/cpu/isa/map_work.h"

_Thread_local int vt_amx_configured;

enum { STEP = VT_TILE_DEPTH * VT_PANEL };

/* A convolution's work, spread evenly over all steps: a piece is due when runs * steps done is `steps` more than it was. */
typedef struct work_beside {
    vt_map_work *work;
    int runs, steps, due;
} work_beside;

static void one_piece(vt_map_work *work) {
    --work->runs;
    map_piece(work);
}

static void map_pieces(vt_map_work *work) {
    while (work->runs > 0) one_piece(work);
}

/* One or two panels from `first` on; `low`: no more than 16 rows. `beside`: NULL, or what is done between the steps. */
INLINE void panels_product(const vt_tile *t, work_beside *beside, int first, const bool two,
                           const bool low) {
    const size_t bytes = t->a_stride * sizeof *t->a;
    const size_t half = beside && t->a_half ? t->a_half : AMX_HALF_ROWS * t->a_stride;
    const uint16_t *b = t->b + (size_t)first * t->b_stride;
    float *out = t->out + first * VT_PANEL, *below = out + AMX_HALF_ROWS * VT_TILE_COLUMNS;
    if (beside && t->go_on) {
        SUM_LOAD(SUMS_00, out);
        if (two) SUM_LOAD(SUMS_01, out + VT_PANEL);
        if (!low) SUM_LOAD(SUMS_10, below);
        if (two && !low) SUM_LOAD(SUMS_11, below + VT_PANEL);
    } else {
        AMX_ZERO(SUMS_00);
        if (two) AMX_ZERO(SUMS_01);
        if (!low) AMX_ZERO(SUMS_10);
        if (two && !low) AMX_ZERO(SUMS_11);
    }
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (t->tap ? t->tap[tap] : 0);
        for (int d = 0; d < t->depth; d += VT_TILE_DEPTH, b += STEP) {
            AMX_LOAD(PANEL_0, b, AMX_LINE);
            AMX_LOAD(ROWS_0, a + d, bytes);
            if (two) AMX_LOAD(PANEL_1, b + t->b_stride, AMX_LINE);
            if (!low) AMX_LOAD(ROWS_1, a + half + d, bytes);
            AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            if (two) AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
            if (!low) AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
            if (two && !low) AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
            if (beside)
                for (beside->due += beside->runs; beside->due >= beside->steps;
                     beside->due -= beside->steps)
                    one_piece(beside->work);
        }
    }
    SUM_STORE(SUMS_00, out);
    if (two) SUM_STORE(SUMS_01, out + VT_PANEL);
    if (!low) SUM_STORE(SUMS_10, below);
    if (two && !low) SUM_STORE(SUMS_11, below + VT_PANEL);
}

INLINE void tile_product(const vt_tile *t, work_beside *beside) {
    amx_rows_set(t->rows);
    const bool low = t->rows <= AMX_HALF_ROWS;
    for (int p = 0; p < t->panels; p += 2) {
        const bool two = p + 1 < t->panels;
        if (two && !low)
            panels_product(t, beside, p, true, false);
        else if (two)
            panels_product(t, beside, p, true, true);
        else if (!low)
            panels_product(t, beside, p, false, false);
        else
            panels_product(t, beside, p, false, true);
    }
}

static void product(const vt_tile *t) {
    tile_product(t, NULL);
}

static void product_beside(const vt_tile *t, vt_map_work *work) {
    const int passes = (t->panels + 1) / 2;
    work_beside beside = {
        .work = work, .runs = work->runs, .steps = passes * t->taps * (t->depth / VT_TILE_DEPTH)};
    tile_product(t, &beside);
    map_pieces(work);
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
    .product_beside = product_beside,
    .map_pieces = map_pieces,
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

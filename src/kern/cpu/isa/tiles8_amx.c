/* tiles8_amx.c - tiles8.h by tdpbsud, which multiplies a register of 16 rows by 64 numbers of depth
 * with a register of 64 numbers of depth by 16 columns: a row of the one is half a block of a row of
 * x, the other is a stretch of a panel as it lies in memory (amx.h; checked over plain C alone).
 *
 * A block's sums of up to 32 rows by two panels, which may be of the whole depth, go from the registers through the
 * first cache to the float32 sums of the tile. */
#define SQUARE_PRODUCT AMX_PRODUCT8
#include "kern/cpu/isa/squares_amx.h"
#include "kern/cpu/isa/tiles8.h"

enum { STEP = VT_TILE8_DEPTH * VT_PANEL, PAIR = 2 * VT_PANEL };

/* The integer sums of one block. */
typedef struct block_sums {
    int32_t number[AMX_MOST_ROWS][PAIR] __attribute__((aligned(64)));
} block_sums;

/* One block of `length` numbers whose stretches of the panels begin at b; `low`: no more than 16
 * rows. */
INLINE void block_product(block_sums *sums, const vt_tile8 *t, const int8_t *a, const uint8_t *b,
                          int length, const bool two, const bool low) {
    const size_t bytes = t->x.stride, row = sizeof sums->number[0];
    AMX_ZERO(SUMS_00);
    if (two) AMX_ZERO(SUMS_01);
    if (!low) AMX_ZERO(SUMS_10);
    if (two && !low) AMX_ZERO(SUMS_11);
    for (int d = 0; d < length; d += VT_TILE8_DEPTH, a += VT_TILE8_DEPTH, b += STEP) {
        AMX_LOAD(PANEL_0, b, AMX_LINE);
        AMX_LOAD(ROWS_0, a, bytes);
        if (two) AMX_LOAD(PANEL_1, b + t->b_stride, AMX_LINE);
        if (!low) AMX_LOAD(ROWS_1, a + AMX_HALF_ROWS * bytes, bytes);
        AMX_PRODUCT8(SUMS_00, ROWS_0, PANEL_0);
        if (two) AMX_PRODUCT8(SUMS_01, ROWS_0, PANEL_1);
        if (!low) AMX_PRODUCT8(SUMS_10, ROWS_1, PANEL_0);
        if (two && !low) AMX_PRODUCT8(SUMS_11, ROWS_1, PANEL_1);
    }
    AMX_STORE(SUMS_00, sums->number[0], row);
    if (two) AMX_STORE(SUMS_01, sums->number[0] + VT_PANEL, row);
    if (!low) AMX_STORE(SUMS_10, sums->number[AMX_HALF_ROWS], row);
    if (two && !low) AMX_STORE(SUMS_11, sums->number[AMX_HALF_ROWS] + VT_PANEL, row);
}

INLINE void block_add(float *out, const block_sums *sums, const vt_tile8 *t, int block,
                      const int columns) {
    for (int r = 0; r < t->rows; ++r, out += VT_TILE_COLUMNS) {
        const vt_scale8 by = vt_scales8(t->a + (size_t)r * t->x.stride, t->x.depth)[block];
#pragma omp simd
        for (int c = 0; c < columns; ++c)
            out[c] += by.scale * (float)(sums->number[r][c] + by.balance);
    }
}

/* One or two panels from `first` on. */
INLINE void panels_product(const vt_tile8 *t, int first, const bool two, const bool low) {
    block_sums sums;
    const uint8_t *b = t->b + (size_t)first * t->b_stride;
    float *out = t->out + first * VT_PANEL;
    const int columns = two ? PAIR : VT_PANEL;
    for (int r = 0; r < t->rows; ++r)
        memset(out + r * VT_TILE_COLUMNS, 0, (size_t)columns * sizeof *out);
    for (int d = 0, block = 0; d < t->x.depth; d += t->x.block, ++block) {
        const int left = t->x.depth - d, length = left < t->x.block ? left : t->x.block;
        block_product(&sums, t, t->a + d, b + (size_t)d * VT_PANEL, length, two, low);
        block_add(out, &sums, t, block, columns);
    }
}

static void product(const vt_tile8 *t) {
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

static void floats(float *to, const int32_t *sums, vt_scale8 by) {
#pragma omp simd
    for (int c = 0; c < VT_TILE_COLUMNS; ++c)
        to[c] = 0.0f + by.scale * (float)(sums[c] + by.balance);
}

static double peak(int64_t rounds) {
    const double operations = 2.0 * AMX_HALF_ROWS * VT_PANEL * VT_TILE8_DEPTH;
    amx_begin();
    amx_rows_set(AMX_MOST_ROWS);
    for (int64_t r = 0; r < 3 * rounds; ++r) {
        AMX_PRODUCT8(SUMS_00, ROWS_0, PANEL_0);
        AMX_PRODUCT8(SUMS_01, ROWS_0, PANEL_1);
        AMX_PRODUCT8(SUMS_10, ROWS_1, PANEL_0);
        AMX_PRODUCT8(SUMS_11, ROWS_1, PANEL_1);
    }
    amx_end();
    return operations * 12 * (double)rounds;
}

const vt_tiles8 vt_tiles8_amx = {
    .name = "amx",
    .most_rows = AMX_MOST_ROWS,
    .begin = amx_begin,
    .end = amx_end,
    .product = product,
    .squares = squares,
    .floats = floats,
    .quantise = vt_quantise8_avx512vnni,
    .pack = vt_pack8_avx512,
    .peak = peak,
};

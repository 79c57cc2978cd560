/* tiles_amx.c - tiles.h by tdpbf16ps, which multiplies a register of 16 rows by 32 numbers of depth
 * with a register of 32 numbers of depth by 16 columns: a row of the one is a row of x, the other is
 * a stretch of a panel as it lies in memory.
 *
 * Up to 32 rows by two panels are summed at a time: four registers of sums, two of rows, two of
 * panels. The number of rows is part of the registers' configuration, so that nothing beyond a
 * tile's last row is read or written; it is loaded when it changes.
 *
 * These instructions have not run on a processor: what was tested is this source with the layer below
 * replaced by plain C (tests/amx_in_c.h, named by VT_AMX_LAYER), and that the real one compiles. */
#include "kern/cpu/isa/tiles.h"

#include <string.h>

#ifdef VT_AMX_LAYER
#include VT_AMX_LAYER
#else
#include <immintrin.h>
#define AMX_CONFIGURE(config) _tile_loadconfig(config)
#define AMX_RELEASE() _tile_release()
#define AMX_ZERO(tile) _tile_zero(tile)
#define AMX_LOAD(tile, base, stride) _tile_loadd(tile, base, stride)
#define AMX_STORE(tile, base, stride) _tile_stored(tile, base, stride)
#define AMX_PRODUCT(sums, rows, panel) _tile_dpbf16ps(sums, rows, panel)
#endif

#define INLINE static inline __attribute__((always_inline))

/* Registers are constants of the instructions: sums of rows 0.. and 16.. by panels 0 and 1, the rows,
 * the panels. */
#define SUMS_00 0
#define SUMS_01 1
#define SUMS_10 2
#define SUMS_11 3
#define ROWS_0 4
#define ROWS_1 5
#define PANEL_0 6
#define PANEL_1 7

enum { MOST_ROWS = 32, HALF_ROWS = 16, LINE = 64, STEP = VT_TILE_DEPTH * VT_PANEL };

/* As ldtilecfg reads it. */
typedef struct tile_config {
    uint8_t palette, start_row, reserved[14];
    uint16_t row_bytes[16];
    uint8_t rows[16];
} tile_config;

static _Thread_local int configured; /* rows that the registers are set to; 0: none */

static void configure(int rows) {
    if (rows == configured) return;
    configured = rows;
    const int first = rows < HALF_ROWS ? rows : HALF_ROWS;
    const int second = rows > HALF_ROWS ? rows - HALF_ROWS : 1;
    tile_config config __attribute__((aligned(64)));
    memset(&config, 0, sizeof config);
    config.palette = 1;
    for (int i = SUMS_00; i <= PANEL_1; ++i) {
        bool panel = i == PANEL_0 || i == PANEL_1;
        bool later = i == SUMS_10 || i == SUMS_11 || i == ROWS_1;
        config.row_bytes[i] = LINE;
        config.rows[i] = (uint8_t)(panel ? HALF_ROWS : later ? second : first);
    }
    AMX_CONFIGURE(&config);
}

static void begin(void) {
    configured = 0;
}

static void end(void) {
    if (configured) AMX_RELEASE();
    configured = 0;
}

/* Where a stretch of a panel is read from: unpacked aside where it is int8. */
INLINE const uint16_t *stretch(const vt_tile *t, size_t at, uint16_t *room, const bool int8) {
    if (!int8) return t->b + at;
    vt_unpack_int8_avx512bf16(room, (const int8_t *)(const void *)t->b + at, STEP);
    return room;
}

/* One or two panels from `first` on; `low`: no more than 16 rows. */
INLINE void panels_product(const vt_tile *t, int first, const bool two, const bool low,
                           const bool int8) {
    uint16_t room[2 * STEP] __attribute__((aligned(LINE)));
    const size_t bytes = t->a_stride * sizeof *t->a;
    size_t at = (size_t)first * t->b_stride;
    AMX_ZERO(SUMS_00);
    if (two) AMX_ZERO(SUMS_01);
    if (!low) AMX_ZERO(SUMS_10);
    if (two && !low) AMX_ZERO(SUMS_11);
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (t->tap ? t->tap[tap] : 0);
        for (int d = 0; d < t->depth; d += VT_TILE_DEPTH, at += STEP) {
            const uint16_t *b = stretch(t, at, room, int8);
            AMX_LOAD(PANEL_0, b, LINE);
            AMX_LOAD(ROWS_0, a + d, bytes);
            AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            if (two) {
                const uint16_t *c = stretch(t, at + t->b_stride, room + STEP, int8);
                AMX_LOAD(PANEL_1, c, LINE);
                AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
            }
            if (!low) {
                AMX_LOAD(ROWS_1, a + HALF_ROWS * t->a_stride + d, bytes);
                AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
            }
            if (two && !low) AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
        }
    }
    float *out = t->out + first * VT_PANEL;
    const size_t out_bytes = VT_TILE_COLUMNS * sizeof *out;
    AMX_STORE(SUMS_00, out, out_bytes);
    if (two) AMX_STORE(SUMS_01, out + VT_PANEL, out_bytes);
    out += HALF_ROWS * VT_TILE_COLUMNS;
    if (!low) AMX_STORE(SUMS_10, out, out_bytes);
    if (two && !low) AMX_STORE(SUMS_11, out + VT_PANEL, out_bytes);
}

INLINE void tile_product(const vt_tile *t, const bool int8) {
    configure(t->rows);
    const bool low = t->rows <= HALF_ROWS;
    for (int p = 0; p < t->panels; p += 2) {
        const bool two = p + 1 < t->panels;
        if (two && !low)
            panels_product(t, p, true, false, int8);
        else if (two)
            panels_product(t, p, true, true, int8);
        else if (!low)
            panels_product(t, p, false, false, int8);
        else
            panels_product(t, p, false, true, int8);
    }
}

static void product(const vt_tile *t) {
    tile_product(t, false);
}

static void product_int8(const vt_tile *t) {
    tile_product(t, true);
}

static double peak(int64_t rounds) {
    const double flops = 2.0 * HALF_ROWS * VT_PANEL * VT_TILE_DEPTH;
    begin();
    configure(MOST_ROWS);
    for (int64_t r = 0; r < 3 * rounds; ++r) {
        AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
        AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
        AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
        AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
    }
    end();
    return flops * 12 * (double)rounds;
}

const vt_tiles vt_tiles_amx = {
    .name = "amx",
    .most_rows = MOST_ROWS,
    .begin = begin,
    .end = end,
    .product = product,
    .product_int8 = product_int8,
    .finish = vt_finish_avx512bf16,
    .narrow_int8 = vt_narrow_int8_avx512bf16,
    .quantise = vt_quantise_avx512bf16,
    .pack = vt_pack_avx512bf16,
    .pack_across = vt_pack_across_avx512bf16,
    .unpack_int8 = vt_unpack_int8_avx512bf16,
    .to_bf16 = vt_to_bf16_avx512bf16,
    .from_bf16 = vt_from_bf16_avx512bf16,
    .peak = peak,
};

/* conv_amx.c - product of tiles_amx.c with other work between its steps: tile instructions leave a core's vector units
 * idle, and a convolution has a map to make and sums to finish meanwhile (conv_beside.c). Numbers are those of product
 * to the bit. */
#include "kern/cpu/isa/amx.h"
#include "kern/cpu/isa/tiles.h"

#define INLINE static inline __attribute__((always_inline))

enum { STEP = VT_TILE_DEPTH * VT_PANEL };

static const size_t out_bytes = VT_TILE_COLUMNS * sizeof(float);

/* Pieces of the other work, spread evenly: one is due when runs * steps done reaches steps. */
typedef struct spread {
    vt_meanwhile *what;
    int runs, steps, due;
} spread;

INLINE void spread_step(spread *s) {
    for (s->due += s->runs; s->due >= s->steps; s->due -= s->steps) {
        --s->what->runs;
        s->what->run(s->what->user);
    }
}

/* One or two panels from `first` on; `low`: no more than 16 rows. Loads before products, as tiles_amx.c's. */
INLINE void panels_product(const vt_tile *t, spread *s, int first, const bool two, const bool low) {
    const size_t bytes = t->a_stride * sizeof *t->a;
    const uint16_t *b = t->b + (size_t)first * t->b_stride;
    AMX_ZERO(SUMS_00);
    if (two) AMX_ZERO(SUMS_01);
    if (!low) AMX_ZERO(SUMS_10);
    if (two && !low) AMX_ZERO(SUMS_11);
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (t->tap ? t->tap[tap] : 0);
        for (int d = 0; d < t->depth; d += VT_TILE_DEPTH, b += STEP) {
            AMX_LOAD(PANEL_0, b, AMX_LINE);
            AMX_LOAD(ROWS_0, a + d, bytes);
            if (two) AMX_LOAD(PANEL_1, b + t->b_stride, AMX_LINE);
            if (!low) AMX_LOAD(ROWS_1, a + AMX_HALF_ROWS * t->a_stride + d, bytes);
            AMX_PRODUCT(SUMS_00, ROWS_0, PANEL_0);
            if (two) AMX_PRODUCT(SUMS_01, ROWS_0, PANEL_1);
            if (!low) AMX_PRODUCT(SUMS_10, ROWS_1, PANEL_0);
            if (two && !low) AMX_PRODUCT(SUMS_11, ROWS_1, PANEL_1);
            spread_step(s);
        }
    }
    float *out = t->out + first * VT_PANEL;
    AMX_STORE(SUMS_00, out, out_bytes);
    if (two) AMX_STORE(SUMS_01, out + VT_PANEL, out_bytes);
    out += AMX_HALF_ROWS * VT_TILE_COLUMNS;
    if (!low) AMX_STORE(SUMS_10, out, out_bytes);
    if (two && !low) AMX_STORE(SUMS_11, out + VT_PANEL, out_bytes);
}

void vt_product_beside_amx(const vt_tile *t, vt_meanwhile *meanwhile) {
    const int passes = (t->panels + 1) / 2;
    spread s = {.what = meanwhile,
                .runs = meanwhile->runs,
                .steps = passes * t->taps * (t->depth / VT_TILE_DEPTH)};
    const bool low = t->rows <= AMX_HALF_ROWS;
    amx_rows_set(t->rows);
    for (int p = 0; p < t->panels; p += 2) {
        const bool two = p + 1 < t->panels;
        if (two && !low)
            panels_product(t, &s, p, true, false);
        else if (two)
            panels_product(t, &s, p, true, true);
        else if (!low)
            panels_product(t, &s, p, false, false);
        else
            panels_product(t, &s, p, false, true);
    }
}

/* panels.c - see panels.h. */
#include "kern/panels.h"

#include "kern/int4.h"
#include "kern/number.h"

#include <string.h>

bool vt_panels_of(vt_panels *out, const vt_weight_spec *spec) {
    const bool bytes = spec->type >= VT_NUMBER_INT8, halves = spec->type == VT_NUMBER_INT4;
    const size_t taps = spec->taps > 0 ? (size_t)spec->taps : 1;
    const size_t unit = bytes ? VT_PANELS_DEPTH8 : VT_PANELS_DEPTH;
    const size_t depth = ((size_t)spec->k / taps + unit - 1) / unit * unit;
    size_t numbers = depth * VT_PANELS_ROWS;
    *out = (vt_panels){.count = ((size_t)spec->n + VT_PANELS_ROWS - 1) / VT_PANELS_ROWS,
                       .taps = (int)taps,
                       .halves = halves};
    if (depth > INT32_MAX || __builtin_mul_overflow(numbers, out->count, &numbers) ||
        __builtin_mul_overflow(numbers, taps * vt_number_size(spec->type), &numbers))
        return false;
    out->depth = (int)depth;
    out->bytes = halves ? numbers / (VT_PANELS_DEPTH8 * VT_PANELS_ROWS) * VT_PANELS_UNIT4 : numbers;
    out->scales = bytes ? out->count * VT_PANELS_ROWS : 0;
    return true;
}

/* ---- INT4 ---- */

enum {
    GROUPS = VT_PANELS_DEPTH8 / VT_INT4_GROUP, /* of a unit */
    QUAD = 4,
    QUADS = VT_INT4_BYTES / QUAD /* pairs of quads in a group */
};

/* Where unit d / 64 of an INT4 panel has the bytes of group g of it, pair of quads p, of a row: four. */
static uint8_t *quads_at(uint8_t *unit, size_t g, size_t p, size_t row) {
    return unit + VT_PANELS_ROWS * (GROUPS + QUAD * (QUADS * g + p)) + QUAD * row;
}

static void pack4_row(uint8_t *panel, const uint8_t *record, size_t row, size_t k) {
    const size_t groups = vt_int4_groups(k);
    const uint8_t *integers = record + sizeof(float), *bytes = integers + groups;
    for (size_t g = 0; g < groups; ++g, bytes += VT_INT4_BYTES) {
        uint8_t *unit = panel + g / GROUPS * VT_PANELS_UNIT4;
        unit[g % GROUPS * VT_PANELS_ROWS + row] = integers[g];
        for (size_t p = 0; p < QUADS; ++p)
            memcpy(quads_at(unit, g % GROUPS, p, row), bytes + QUAD * p, QUAD);
    }
}

void vt_panels_pack4(uint8_t *panel, float *scale, const uint8_t *records, int rows, size_t k,
                     size_t depth) {
    for (size_t d = 0; d < depth; d += VT_PANELS_DEPTH8) {
        uint8_t *unit = panel + d / VT_PANELS_DEPTH8 * VT_PANELS_UNIT4;
        memset(unit, 1, GROUPS * VT_PANELS_ROWS);
        memset(quads_at(unit, 0, 0, 0), 0x88, VT_PANELS_DEPTH8 * VT_PANELS_ROWS / 2);
    }
    for (int r = 0; r < rows; ++r, records += vt_int4_record(k)) {
        scale[r] = vt_int4_scale(records);
        pack4_row(panel, records, (size_t)r, k);
    }
}

static void row4(const vt_panels *panels, const vt_weight_spec *spec, int row, float *out) {
    const size_t units = (size_t)panels->depth / VT_PANELS_DEPTH8,
                 column = (size_t)row % VT_PANELS_ROWS;
    uint8_t *panel = (uint8_t *)(uintptr_t)spec->packed->numbers +
                     (size_t)row / VT_PANELS_ROWS * units * VT_PANELS_UNIT4;
    for (size_t d = 0; d < (size_t)spec->k; ++d) {
        uint8_t *unit = panel + d / VT_PANELS_DEPTH8 * VT_PANELS_UNIT4;
        const size_t g = d / VT_INT4_GROUP % GROUPS;
        const uint8_t byte = quads_at(unit, g, d / (2 * QUAD) % QUADS, column)[d % QUAD];
        const int q = (byte >> (d / QUAD % 2 ? 4 : 0) & 15) + VT_INT4_LEAST;
        out[d] = (float)(q * (int8_t)unit[g * VT_PANELS_ROWS + column]);
    }
}

/* ---- all ---- */

void vt_panels_row(const vt_panels *panels, const vt_weight_spec *spec, int row, float *out) {
    if (spec->type == VT_NUMBER_INT4) {
        row4(panels, spec, row, out);
        return;
    }
    const size_t length = (size_t)spec->k / (size_t)panels->taps, depth = (size_t)panels->depth;
    const size_t at =
                     (size_t)(row / VT_PANELS_ROWS) * (size_t)panels->taps * depth * VT_PANELS_ROWS,
                 column = (size_t)(row % VT_PANELS_ROWS);
    const uint16_t *halves = spec->packed->numbers;
    const uint8_t *bytes = spec->packed->numbers;
    for (size_t tap = 0; tap < (size_t)panels->taps; ++tap) {
        const size_t from = at + tap * depth * VT_PANELS_ROWS;
        for (size_t d = 0; d < length; ++d, ++out) {
            const size_t four = d / 4 * VT_PANELS_ROWS + column;
            if (spec->type == VT_NUMBER_INT8)
                *out = (float)bytes[from + four * 4 + d % 4] - 128.0f;
            else
                *out = vt_from_bf16(halves[from + (d / 2 * VT_PANELS_ROWS + column) * 2 + d % 2]);
        }
    }
}

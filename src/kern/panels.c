/* panels.c - see panels.h. */
#include "kern/panels.h"

#include "kern/number.h"

bool vt_panels_of(vt_panels *out, const vt_weight_spec *spec) {
    const bool bytes = spec->type == VT_NUMBER_INT8;
    const size_t taps = spec->taps > 0 ? (size_t)spec->taps : 1;
    const size_t unit = bytes ? VT_PANELS_DEPTH8 : VT_PANELS_DEPTH;
    const size_t depth = ((size_t)spec->k / taps + unit - 1) / unit * unit;
    size_t numbers = depth * VT_PANELS_ROWS;
    *out = (vt_panels){.count = ((size_t)spec->n + VT_PANELS_ROWS - 1) / VT_PANELS_ROWS,
                       .taps = (int)taps};
    if (depth > INT32_MAX || __builtin_mul_overflow(numbers, out->count, &numbers) ||
        __builtin_mul_overflow(numbers, taps * vt_number_size(spec->type), &numbers))
        return false;
    out->depth = (int)depth;
    out->bytes = numbers;
    out->scales = bytes ? out->count * VT_PANELS_ROWS : 0;
    return true;
}

void vt_panels_row(const vt_panels *panels, const vt_weight_spec *spec, int row, float *out) {
    const size_t length = (size_t)spec->k / (size_t)panels->taps, depth = (size_t)panels->depth;
    const size_t at =
                     (size_t)(row / VT_PANELS_ROWS) * (size_t)panels->taps * depth * VT_PANELS_ROWS,
                 column = (size_t)(row % VT_PANELS_ROWS);
    const uint16_t *halves = spec->packed->numbers;
    const uint8_t *bytes = spec->packed->numbers;
    for (size_t tap = 0; tap < (size_t)panels->taps; ++tap) {
        const size_t from = at + tap * depth * VT_PANELS_ROWS;
        for (size_t d = 0; d < length; ++d, ++out) {
            if (spec->type == VT_NUMBER_INT8)
                *out = (float)bytes[from + (d / 4 * VT_PANELS_ROWS + column) * 4 + d % 4] - 128.0f;
            else
                *out = vt_from_bf16(halves[from + (d / 2 * VT_PANELS_ROWS + column) * 2 + d % 2]);
        }
    }
}

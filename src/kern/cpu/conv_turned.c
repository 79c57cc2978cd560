/* conv_turned.c - see conv_turned.h. */
#include "kern/cpu/conv_turned.h"
#include "kern/cpu/weight.h"

#include <math.h>

void vt_cpu_conv_turned_panel(const vt_tiles *tiles, const vt_weight *weight, int64_t panel) {
    const vt_weight *t = weight->turned;
    const int stride = weight->spec.stride, side = (int)lround(sqrt((double)weight->spec.taps));
    const int in_c = t->n, first = (int)(panel * VT_PANEL), left = in_c - first;
    const size_t tap_numbers = (size_t)t->depth * VT_PANEL;
    const size_t panels = (size_t)vt_cpu_pieces(in_c, VT_PANEL);
    uint16_t *phase = t->numbers;
    for (int ry = 0; ry < stride; ++ry)
        for (int rx = 0; rx < stride; ++rx) {
            const int taps_y = vt_turned_line_of(side, stride, 0, 1, ry).taps;
            const int taps_x = vt_turned_line_of(side, stride, 0, 1, rx).taps;
            const size_t taps = (size_t)(taps_y * taps_x);
            uint16_t *to = phase + (size_t)panel * taps * tap_numbers;
            for (int ty = 0; ty < taps_y; ++ty)
                for (int tx = 0; tx < taps_x; ++tx, to += tap_numbers) {
                    const int tap = (ry + ty * stride) * side + rx + tx * stride;
                    tiles->pack_across(
                        to, weight->spec.values + (size_t)tap * (size_t)in_c + (size_t)first,
                        (size_t)weight->k, left < VT_PANEL ? left : VT_PANEL, weight->n, t->depth);
                }
            phase += panels * taps * tap_numbers;
        }
}

/* panels.h - the layout of packed numbers that the cpu backend computes with, as files may hold them too: a weight given so
 * (vt_weight_spec.packed) is used where it lies by whoever has kern->panels, and taken apart by others, to the same numbers.
 *
 * A weight W (n, k) is panels of 16 rows, one after another, whatever instruction set reads them; a row's depth is cut
 * into taps (of a convolution), each filled up with zeros to whole 32 (BF16) or 64 (INT8) numbers:
 *
 *     BF16   panel[tap][d / 2][row][d % 2]      INT8   panel[d / 4][row][d % 4], one tap, as w + 128; a scale a row
 *     INT4   one tap; of each 64 of depth first their groups' integers, then two numbers a byte, as q + 8 (int4.h):
 *            panel[d / 64] { integer[d / 16 % 4][row]   byte[d / 8 % 8][row][d % 4], d / 4 % 2 = 0 in its low half }, a scale a row
 *
 * Rows behind the last are zeros, of INT8 and INT4 with a scale of 0. kern/cpu/isa/tiles.h and tiles8.h say why. A layout that differs has
 * another version. */
#ifndef VT_KERN_PANELS_H
#define VT_KERN_PANELS_H

#include "kern/kern.h"

#define VT_PANELS_LAYOUT "panels16"
#define VT_PANELS_VERSION 1
enum {
    VT_PANELS_ROWS = 16,
    VT_PANELS_DEPTH = 32,  /* a BF16 tap's depth comes in multiples of this ... */
    VT_PANELS_DEPTH8 = 64, /* ... an INT8 or INT4 one's of this */
    VT_PANELS_UNIT4 = 576, /* bytes of an INT4 panel for so much depth */
    VT_PANELS_ALIGN = 64   /* bytes; numbers and scales begin on such an address */
};

typedef struct vt_panels {
    size_t count;    /* panels */
    int taps, depth; /* depth: of a tap, filled up */
    size_t bytes;    /* of the numbers */
    size_t scales;   /* floats, count * 16; BF16: 0 */
    bool halves;     /* two numbers a byte: INT4 */
} vt_panels;

/* Of a weight of BF16, INT8 or INT4. False: more than can be counted. */
bool vt_panels_of(vt_panels *out, const vt_weight_spec *spec);
/* Row `row` of spec.packed: k numbers in W's order, of INT8 and INT4 the whole numbers that its scale multiplies. */
void vt_panels_row(const vt_panels *panels, const vt_weight_spec *spec, int row, float *out);
/* An INT4 panel of `rows` (1..16) records, one behind another, of k numbers; depth: filled up. Scales of those rows. */
void vt_panels_pack4(uint8_t *panel, float *scale, const uint8_t *records, int rows, size_t k,
                     size_t depth);

#endif

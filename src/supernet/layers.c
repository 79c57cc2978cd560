/* layers.c - which layers a subnet of depth d keeps; see schedule.h.
 *
 * A subnet is nothing but a list of indices into the full network: no weight is copied, so the list
 * is all that a change of depth costs. Called by schedule.c, by engine/ and by train/. */
#include "supernet/schedule.h"

#include <string.h>

const char *vt_selector_name(vt_selector selector) {
    switch (selector) {
    case VT_EQUIDISTANT:
        return "equidistant";
    case VT_ROUNDED:
        return "rounded";
    case VT_PREFIX:
        return "prefix";
    case VT_EXPLICIT:
        return "explicit";
    }
    return "unknown";
}

static int layer_at(vt_selector selector, int depth, int d, int i) {
    if (selector == VT_PREFIX || d == 1) return i;
    int span = i * (depth - 1), steps = d - 1;
    /* First and last layer are always kept: i = 0 gives 0, i = d - 1 gives depth - 1, rounded or
     * not. */
    return selector == VT_ROUNDED ? (2 * span + steps) / (2 * steps) : span / steps;
}

variant_status vt_layers_select(vt_selector selector, int depth, int d, uint8_t *keep,
                                variant_error *err) {
    if (depth < 1 || depth > VT_SCHEDULE_LAYERS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a network of %d layers: expected 1 to %d", depth,
                       VT_SCHEDULE_LAYERS);
    if (d < 1 || d > depth)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "depth %d: this model has %d layers, expected 1 to %d", d, depth, depth);
    if (selector != VT_EQUIDISTANT && selector != VT_ROUNDED && selector != VT_PREFIX)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the layers of depth %d need a selector: expected equidistant, "
                       "rounded or prefix",
                       d);
    memset(keep, 0, (size_t)depth);
    for (int i = 0; i < d; ++i) keep[layer_at(selector, depth, d, i)] = 1;
    return VARIANT_OK;
}

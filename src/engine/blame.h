/* blame.h - where numbers stopped being numbers. Asked only once some have: looking costs nothing before.
 * Private to engine/. */
#ifndef VT_ENGINE_BLAME_H
#define VT_ENGINE_BLAME_H

#include "engine/loop.h"

/* The drawing's logits of the scale at hand are not all finite: E_MODEL, which names the first of what they were made
 * from, in the order it was made, that is not either. Asked while the step's tokens are chosen. */
variant_status vt_blame_logits(const vt_loop *loop, const vt_drawing *drawing, variant_error *err);
/* The decoder's picture is not all finite; scale: after which of them it was decoded, from 0. */
variant_status vt_blame_picture(const vt_loop *loop, const vt_drawing *drawing, int scale,
                                variant_error *err);

#endif

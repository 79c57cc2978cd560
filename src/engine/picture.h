/* picture.h - finished pictures: from the decoder's floats to bytes with their settings. Private
 * to engine/. */
#ifndef VT_ENGINE_PICTURE_H
#define VT_ENGINE_PICTURE_H

#include "engine/request.h"

/* The empty pictures of a request, with room for pixels and tokens, and for the picture after each of `kept` scales (0:
 * none). Edited ones are as large as what they are drawn into. */
variant_status vt_pictures_new(variant_picture **out, const vt_choices *choices, int kept,
                               variant_error *err);
/* Pixels and tokens of one of them; edit: NULL, or what it is laid into. */
size_t vt_picture_bytes(const vt_choices *choices, const vt_edit *edit, int kept);
/* Downloads values (side, side, channels) in [-1, 1] of the model into pixels of the picture's size: round(255 (clamp(x) + 1)
 * / 2), and laid into the picture that is edited (NULL: none). *finite: all values are. */
variant_status vt_picture_take(const vt_choices *choices, const vt_edit *edit, uint8_t *pixels,
                               const float *values, bool *finite, variant_error *err);
/* Fills picture->settings: JSON of everything that made picture `index` of the request. */
variant_status vt_picture_describe(variant_picture *picture, const vt_choices *choices, int index,
                                   variant_error *err);
/* Empties error. A picture that a caller made is checked by this, whatever becomes of it: E_ARGUMENT. */
variant_status vt_picture_check(const variant_picture *picture, variant_error *error);

#endif

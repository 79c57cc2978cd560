/* edit.h - a picture of which a part is drawn again, before and after: what the model sees of it, which cells are kept, and
 * how what was drawn is laid back. On the host alone; what happens in between is known.h's. Private to engine/. */
#ifndef VT_ENGINE_EDIT_H
#define VT_ENGINE_EDIT_H

#include "engine/engine.h"
#include "engine/known.h"
#include "io/data.h"
#include "io/image.h"

/* Everything owned. */
typedef struct vt_edit {
    vt_image
        canvas; /* the picture, with what is added at its sides; grey or RGB, as it or the model is */
    uint8_t *
        alpha; /* (height, width) of the canvas: how much of what is drawn is laid over it, 255 all */
    /* the window of the canvas that the model sees; may reach beyond it */
    int x, y, width, height;
    bool whole; /* nothing is kept */
    /* bytes: that it holds; beyond them while it was made; while a picture is laid back */
    size_t held, making, laying;
    vt_known known;
    variant_edit asked; /* its numbers and names, no picture; names are constants */
    char picture_hash[17], mask_hash[17]; /* of pixels and sizes; of the mask */
} vt_edit;

/* E_ARGUMENT with one line where it cannot be one; vt_edit_free in any case. */
variant_status vt_edit_make(vt_edit *out, const variant_edit *asked, const variant_engine *engine,
                            variant_error *err);
void vt_edit_free(vt_edit *edit);
/* Its bytes, by sizes alone: the canvas and masks are not there, what is known is nothing, pixels and mask of what is asked
 * may be NULL. It serves to measure, and is freed alike. */
variant_status vt_edit_measure(vt_edit *out, const variant_edit *asked,
                               const variant_engine *engine, variant_error *err);

/* drawn: (side, side, channels) of the model; out: (height, width, channels) of the canvas, whole. */
variant_status vt_edit_lay(const vt_edit *edit, const vt_image *drawn, uint8_t *out,
                           variant_error *err);

/* How masks become cells; apart for the tests. hole: (side, side), how much of each pixel is drawn again, 255 all. s: side of
 * the latent, whose cells are known where nothing of them is drawn again. cells (s, s), kept and gain (L) as in vt_known. */
void vt_edit_cells(const uint8_t *hole, int side, const vt_tokenizer_config *config, float keep,
                   uint8_t *cells, uint8_t *kept, float *gain);
/* Fills what is drawn again of a picture (side, side, channels) from what lies around it, or with the mean of the rest. */
variant_status vt_edit_fill(float *picture, const uint8_t *hole, int side, int channels,
                            bool neighbours, variant_error *err);
/* out (height, width): in its column, how far each pixel is from the hole. */
void vt_edit_distances(uint16_t *out, const uint8_t *hole, int width, int height);
/* out (height, width): 255 where the hole is at most `grow` pixels away, less and less over `feather` more; distances:
 * those in the columns. */
variant_status vt_edit_alpha(uint8_t *out, const uint16_t *distances, int width, int height,
                             int grow, int feather, variant_error *err);
/* What these take while they work. */
size_t vt_edit_fill_bytes(int side, int channels);
size_t vt_edit_alpha_bytes(int width);

#endif

/* known.h - pictures of which a part is kept: what of each is known, as a step needs it. Private to engine/.
 *
 * A drawing that keeps a part of a picture has the picture's latent beside its f_hat. At every scale a kept cell takes the
 * code nearest to what is left, the latent minus the f_hat at hand, averaged over what is known of the cell; the others are
 * drawn. Codes are residuals of f_hat, so where drawn cells of coarse scales have changed what lies under a kept cell, its
 * later codes mend it. */
#ifndef VT_ENGINE_KNOWN_H
#define VT_ENGINE_KNOWN_H

#include "engine/loop.h"

/* Host memory, borrowed by whoever joins, until it has left. s: side of the latent; L: tokens. */
typedef struct vt_known {
    const float *picture; /* (side, side, channels) in [-1, 1], the hole filled with something */
    const uint8_t *cells; /* (s, s): 1 where the latent is the picture's */
    const uint8_t *kept;  /* (L): 1 where the token is the picture's */
    const float *gain;    /* (L): 1 / the share of the cell that is known; 0: nothing is */
    /* cells known in part and not kept are drawn with logits that fall by pull |code - mean|^2 / (E (1 - share)^2): mean of
     * what is left over what is known, E the mean of its square over the map, share of the cell known. 0: not */
    float pull;
    bool once; /* codes of the picture quantised once, whatever is drawn */
} vt_known;

/* Latents (count, s, s, Cvae) of those who join; scratch of the loop's arena. Of those who keep nothing they hold anything.
 * codes: NULL, or (count, L) for the codes of pictures that are quantised once. */
variant_status vt_known_encode(vt_loop *loop, const vt_join *who, int count, float *latents,
                               int32_t *codes, variant_error *err);

/* -|code|^2 / 2 of the codebook's (V), which pulling adds to products with it. */
variant_status vt_known_halves(vt_loop *loop, float *halves, variant_error *err);

/* Codes of the scale at hand, (step->rows) in the order of step->tokens, of what is kept: step->known; NULL where no drawing
 * keeps anything. Cells that are not kept, and drawings that keep nothing, hold anything. Logits
 * of cells that are pulled are changed. */
variant_status vt_known_codes(vt_loop *loop, vt_step *step, variant_error *err);

#endif

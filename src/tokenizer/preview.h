/* preview.h - a small decoder beside a tokenizer's own: f_hat to picture at a fraction of the time, for previews of
 * scales, or for pictures where time counts more than their finest detail.
 *
 *     f_hat --conv_in--> [residual blocks, nearest 2x and a convolution] a level --norm, conv_out--> picture
 *
 * It has the tokenizer's levels, but few channels, no attention, and no residual blocks where maps are largest. It
 * lies in the tokenizer's file under names that begin with VT_PREVIEW_PREFIX, which programs that do not know it pass
 * over, and is trained by train/train_decoder.c. Shapes, layouts and arenas are as in tokenizer.h. Called by engine/ and train/. */
#ifndef VT_TOKENIZER_PREVIEW_H
#define VT_TOKENIZER_PREVIEW_H

#include "tokenizer/tokenizer.h"

#define VT_PREVIEW_PREFIX "training/preview_decoder."
#define VT_PREVIEW_MARK VT_PREVIEW_PREFIX "conv_in.weight"

typedef struct vt_preview_config {
    int levels; /* the tokenizer's */
    int widths
        [VT_MAX_LEVELS]; /* channels of each level, [0] at the picture's side; multiples of 32 */
    int blocks;          /* residual blocks a level, none at the picture's side */
} vt_preview_config;

/* Of a tokenizer's decoder: an eighth (tiny), a quarter (small) or half (medium) of each level's channels, rounded up to
 * a multiple of 32, and one block a level. E_ARGUMENT names the sizes. */
variant_status vt_preview_config_choose(vt_preview_config *out, const vt_tokenizer_config *of,
                                        const char *size, variant_error *err);
/* Of a file's tensors, where no configuration tells it; what it finds is not checked. */
void vt_preview_config_infer(vt_preview_config *out, const vt_tensor_file *file, const char *group);
/* Bounds, and whether it has the tokenizer's levels; `code` with one line. */
variant_status vt_preview_config_check(const vt_preview_config *config,
                                       const vt_tokenizer_config *of, variant_status code,
                                       variant_error *err);

typedef struct vt_preview vt_preview;

/* Registers the parameters; they have no values yet (see nn/params.h). */
variant_status vt_preview_open(vt_preview **out, vt_kern *kern, const vt_tokenizer_config *of,
                               const vt_preview_config *config, variant_error *err);
void vt_preview_close(vt_preview **preview);
const vt_preview_config *vt_preview_configuration(const vt_preview *preview);
vt_params *vt_preview_params(vt_preview *preview);
/* Random values for training from nothing (allocates). */
variant_status vt_preview_initialise(vt_preview *preview, uint64_t seed, variant_error *err);

/* pictures (B, side, side, channels), not clamped, of f_hat (B, s, s, Cvae). */
variant_status vt_preview_decode(vt_preview *preview, vt_arena *arena, int batch,
                                 const float *f_hat, float *pictures, variant_error *err);
/* Training passes from now on keep the maps between layers alone, or all: the same bits. */
void vt_preview_recompute(vt_preview *preview, bool recompute);
/* The same in training: what the backward reads stays in the arena until the caller rewinds it. */
variant_status vt_preview_forward(vt_preview *preview, vt_arena *arena, int batch,
                                  const float *f_hat, float *pictures, variant_error *err);
/* Of the pass before: adds to the gradients of all parameters. dpictures is read, f_hat gets none. */
variant_status vt_preview_backward(vt_preview *preview, vt_arena *arena, int batch,
                                   float *dpictures, variant_error *err);

#endif

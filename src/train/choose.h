/* choose.h - what a training takes where nothing was told: batch, length, rate and shape from the amount
 * of data and the side of pictures.
 *
 * Plain rules over numbers, so that they can be tested without a run; each is written where its
 * function is declared. They meet what was trained and measured (models/, docs/REPRODUCTION.md)
 * where that is known, and go on from there in proportion. What an option says is never changed. */
#ifndef VT_TRAIN_CHOOSE_H
#define VT_TRAIN_CHOOSE_H

#include "supernet/phases.h"
#include "tokenizer/tokenizer.h"
#include "features/classifier.h"
#include "transformer/transformer.h"

/* ---- shapes ---- */

/* Levels (0), multipliers, scales (0) and the picture side of a tokenizer for pictures of `side`
 * pixels. A token map has 4 to 13 tokens a side (16 at 256 pixels), so a level is added while there
 * were 14 or more; the side becomes the nearest one that its levels can halve, the smaller of two.
 * Levels and scales that are not 0 stay, and the side fits them; of both, or of the side and scales
 * that no number of levels joins, E_ARGUMENT. *side 0: 32, or what levels and scales make. */
variant_status vt_choose_tokenizer_shape(vt_tokenizer_config *config, int *side,
                                         variant_error *err);
/* Width, codes and latent size where they are 0. Codes: sqrt(pictures) at 32 pixels, in proportion to
 * the side, 64 to 4096. */
void vt_choose_tokenizer_sizes(vt_tokenizer_config *config, int pictures);
/* Levels and multipliers where they are 0, so that the last map is 4 to 7 pixels a side; *side as
 * above. */
void vt_choose_classifier_shape(vt_classifier_config *config);
/* Depth, width and heads where they are 0, by the number of tokens of all pictures: 4 layers of 64 below
 * 100,000, 12 of 128 at Fashion-MNIST's nine million, 16 of 384 from 300 million on. Heads are as near
 * to 64 channels as divides the width. */
void vt_choose_transformer_shape(vt_transformer_config *config, int64_t tokens);
/* The nearest multiple of step, the smaller of two; at least step. */
int vt_choose_multiple(int value, int step);
/* Half of the layers and a quarter, rounded up, where depth_count is 0. */
void vt_choose_depths(vt_phases *phases, int depth);

/* ---- a run ---- */

typedef enum vt_train_kind {
    VT_TRAIN_TOKENIZER,
    VT_TRAIN_TRANSFORMER,
    VT_TRAIN_SUPERNET,
    VT_TRAIN_CLASSIFIER,
    VT_TRAIN_DECODER
} vt_train_kind;

/* A power of two up to the most that the kind takes (32; supernet 16, classifier 64) such that an epoch
 * has 8 steps; at least 4 pictures, if there are so many. Less for pictures above 128 pixels a side,
 * whose memory would be gigabytes. */
int vt_choose_batch(vt_train_kind kind, int pictures, int side);
/* Epochs that show a number of pictures (tokenizer and preview decoder 200,000, transformer and supernet 400,000,
 * classifier 600,000): at least 1, and no more than few pictures bear, but for the steps without
 * which nothing is learned. One of the numbers 1, 1.5, 2, 3, 4, 5, 6, 8, 10, 15, .. */
double vt_choose_epochs(vt_train_kind kind, int pictures, int64_t steps_per_epoch);
/* The kind's usual warm-up (100 steps; transformer 200), a tenth of a shorter run. */
int64_t vt_choose_warmup(vt_train_kind kind, int64_t steps);
/* Peak learning rate: 1e-3 (classifier and preview decoder 2e-3; a given model trained on, 2e-4); of transformers less
 * the wider they are. */
double vt_choose_rate(vt_train_kind kind, int width, bool trained_on);
/* The value as it is read back from a text of so many digits, which is what a checkpoint keeps. */
double vt_choose_round(double value, int digits);

#endif

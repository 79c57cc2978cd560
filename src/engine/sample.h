/* sample.h - from logits to a token: filters, draw, and Gumbel smoothing. All on the host, one
 * token at a time.
 *
 * Random numbers are keyed by (seed, image, scale, token), so a picture does not depend on its
 * batch.
 *
 * Any float may stand in the logits. NaN counts as -INFINITY: never drawn. Where +INFINITY stands,
 * its tokens share all the probability. Where nothing is above -INFINITY the token is 0.
 *
 * scratch: vocab * 4 bytes from malloc, for the one call. */
#ifndef VT_ENGINE_SAMPLE_H
#define VT_ENGINE_SAMPLE_H

#include <stdbool.h>
#include <stdint.h>

typedef struct vt_sampler {
    uint64_t seed;
    int top_k;   /* keep the k largest logits (ties with the k-th stay); 0 or >= vocab: off */
    float top_p; /* then keep the smallest set whose probability reaches p; 0 or >= 1: off */
    bool greedy; /* arg max, first of ties */
} vt_sampler;

/* Sets logits outside the top k, then outside the nucleus, and NaN to -INFINITY. As the original:
 * tokens are dropped from the least likely up, of equal ones the lowest index first, while their
 * cumulated probability is <= 1 - top_p; the most likely always stays. Probabilities are summed in
 * double by groups, not in the order of a full sort: where a token's cumulated probability equals
 * 1 - top_p to within rounding, either side may come out, always the same for the same logits. */
void vt_filter_top(float *logits, int vocab, int top_k, float top_p, void *scratch);

/* The token at (image, scale, position); logits (vocab) are filtered in place, unless greedy. */
int32_t vt_sample_token(const vt_sampler *sampler, float *logits, int vocab, uint32_t image,
                        uint32_t scale, uint32_t position, void *scratch);

/* Gumbel softmax for smoothing (the original's more_smooth): weights (vocab) = softmax((logits *
 * (1 + ratio) + gumbel) / tau), tau = max(0.27 (1 - 0.95 ratio), 0.005), ratio = scale / (K -
 * 1). Filtered logits (-INFINITY) get weight 0. */
void vt_gumbel_weights(const vt_sampler *sampler, const float *logits, int vocab, double ratio,
                       uint32_t image, uint32_t scale, uint32_t position, float *weights);

#endif

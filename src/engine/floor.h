/* floor.h - how fast a request could be at best: arithmetic and bytes of every stage, by formula.
 *
 * A stage takes at least max(flops / peak, bytes / bandwidth), product by product; a request's
 * floor is the sum. `variant bench` prints it beside what was measured. Counted: matrix products,
 * attention, convolutions; weights read once a scale, keys and values once a scale. Norms and other
 * passes over activations are not. */
#ifndef VT_ENGINE_FLOOR_H
#define VT_ENGINE_FLOOR_H

#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

typedef struct vt_machine_limits {
    double flops; /* per second, of products with weights of this type */
    double bytes; /* per second */
    vt_number weights, kv;
} vt_machine_limits;

/* Seconds of the transformer at scale k for `streams` streams. */
double vt_floor_scale(const vt_transformer_config *config, const vt_schedule *schedule, int k,
                      int streams, vt_machine_limits limits);
/* Seconds of the AdaLN vectors of `labels` distinct labels, for the layers that run at all. */
double vt_floor_condition(const vt_transformer_config *config, const vt_schedule *schedule,
                          int labels, vt_machine_limits limits);
/* Seconds of post_quant_conv and the decoder for `batch` pictures. */
double vt_floor_decoder(const vt_tokenizer_config *config, int batch, vt_machine_limits limits);

#endif

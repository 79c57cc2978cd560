/* floor.h - how fast a request could be at best: arithmetic and bytes of every stage, by formula.
 *
 * A stage takes at least max(flops / peak, bytes / bandwidth), product by product; a request's
 * floor is the sum. `variant bench` prints it beside what was measured. Counted: matrix products,
 * attention, convolutions; weights read once a scale, keys and values once a scale. Norms and other
 * passes over activations are not. */
#ifndef VT_PLANNING_FLOOR_H
#define VT_PLANNING_FLOOR_H

#include "tokenizer/preview.h"
#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

typedef struct vt_machine_limits {
    double flops;           /* per second, of the transformer's products */
    double attention_flops; /* likewise of products with keys and values */
    double decoder_flops;   /* likewise of the tokenizer's products */
    double bytes;           /* per second */
    vt_number weights, kv;  /* of the transformer; the tokenizer's weights are never below bf16 */
} vt_machine_limits;

/* What this machine can do with numbers of these types, measured now (a second or two). `working` bytes are read again and
 * again, a model's weights at every scale: few of them come from a cache, and the bandwidth is the cache's. */
vt_machine_limits vt_machine_probe(vt_kern *kern, vt_number weights, vt_number kv, size_t working);

/* Streams that stand at one scale in a step, in the layers of one schedule. */
typedef struct vt_floor_stream {
    const vt_schedule *schedule;
    int k, streams;
} vt_floor_stream;
/* Seconds of the transformer for a step of all members (count), which read the weights once. */
double vt_floor_step(const vt_transformer_config *config, const vt_floor_stream *members, int count,
                     vt_machine_limits limits);
/* Likewise at scale k for `streams` streams. */
double vt_floor_scale(const vt_transformer_config *config, const vt_schedule *schedule, int k,
                      int streams, vt_machine_limits limits);
/* Seconds of the AdaLN vectors of `labels` distinct labels, for the layers that run at all. */
double vt_floor_condition(const vt_transformer_config *config, const vt_schedule *schedule,
                          int labels, vt_machine_limits limits);
/* Seconds of post_quant_conv and the decoder for `batch` pictures. */
double vt_floor_decoder(const vt_tokenizer_config *config, int batch, vt_machine_limits limits);
/* Likewise of its preview decoder. */
double vt_floor_preview(const vt_tokenizer_config *of, const vt_preview_config *config, int batch,
                        vt_machine_limits limits);

#endif

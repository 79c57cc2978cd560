/* variant/synth.h - models whose every weight is a formula, the same on every machine: for tests, and for the times of shapes that nobody
 * has trained. `variant synth`, and `--arch` of the commands that measure. */
#ifndef VARIANT_SYNTH_H
#define VARIANT_SYNTH_H

#include <stddef.h>

#include <variant/base.h>
#include <variant/engine.h>

VARIANT_BEGIN

typedef struct variant_synth_options {
    size_t size; /* variant_synth_options_init sets it */
    /* the shape, a JSON file: seed, depth, width, heads, V, Cvae, classes, patch_nums, attn_l2_norm, shared_aln, ch, ch_mult, nres; and, if
     * wanted, channels (3) and mlp_ratio (4). "inception": FID's network, which has one part. Required */
    const char *config;
    const char *type; /* of weights in the file: "f32" (NULL), "f16" or "bf16"; vectors stay f32 */
    const char *only; /* "tokenizer" or "transformer"; NULL: both */
    const char *preview; /* also a small decoder, "tiny", "small" or "medium"; NULL: none */
    const char *backend; /* "cpu" (default) or "ref", on whose memory it is made */
    int threads;         /* as variant_engine_options has it */
} variant_synth_options;
/* The processor's backend, nothing else. */
VARIANT_SIZED(variant_synth_options);

#define VARIANT_PREVIEW_SIZES "tiny|small|medium" /* of preview decoders, for lists of options */

/* Writes such a model, a safetensors file. E_ARGUMENT: options that are not valid or not for each other; E_IO, E_FORMAT: the
 * configuration is not there, or names no model. Threads: any. */
variant_status variant_synthesize(const char *path, const variant_synth_options *options,
                                  variant_error *error);
/* Such a model in memory, opened without its encoder. config: a file as above, or a published shape, "var-d16", "var-d20", "var-d24",
 * "var-d30". preview: of its small decoder, or NULL. Of the options backend, threads, weights and kv are read. Threads: any. */
variant_status variant_engine_synthesize(variant_engine **out, const char *config,
                                         const char *preview, const variant_engine_options *options,
                                         variant_error *error);

VARIANT_END

#endif

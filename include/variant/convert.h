/* variant/convert.h - any readable model to one safetensors file that needs no options to be opened, to such files in shards, or to state
 * dicts for PyTorch: `variant convert`. */
#ifndef VARIANT_CONVERT_H
#define VARIANT_CONVERT_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>
#include <variant/data.h>
#include <variant/engine.h>

VARIANT_BEGIN

typedef struct variant_convert_options {
    size_t size; /* variant_convert_options_init sets it */
    const char *
        output; /* the file to write; required. Each file appears whole or not at all, and none is left of shards that
                         * a stop or an error kept from being all written */
    /* of weights: "f32", "f16", "bf16", "int8" or "int4"; vectors stay f32; of int8 the tokenizer's too, whose convolutions become
     * bf16, and embeddings; int4 is as int8 with the products of the blocks in four bits. NULL: f32 */
    const char *type;
    /* instead of type: weights as the cpu backend computes with them, "bf16", "int8" or "int4", in a file that opens without packing, is
     * used where it lies and serves for nothing else; NULL */
    const char *pack;
    /* write f16 or bf16 though a tensor's numbers overflow (they become the type's largest) or vanish (more than 1 % of its norm is
     * lost), which otherwise is E_MODEL; each is told through the engine options' warn */
    bool force;
    /* names of the model's classes, as many as it has, UTF-8: these, or those of a file, a line each; NULL: those that it has */
    const char *const *class_names;
    int class_count;
    const char *classes;
    /* of a supernet, kept in the file: what a request takes that says nothing of guidance. Layers of the unconditional branch in the late
     * scales, one of the trained depths (0: as it is), and the factor on guidance where that branch is the shallower one, "2.2" or one
     * for each depth of the conditional branch, "12:2.2,6:3,3:4" (NULL: as it is) */
    int uncond_depth;
    const char *cfg_late;
    /* of type int8 and int4: pictures (paths or an array; split NULL: the training's), on whose token maps each product's error is measured
     * and its way of rounding chosen. NULL: nothing is measured, scales are of blocks of 128 numbers, int4 goes to the nearest */
    const variant_data *calibrate;
    int calibrate_count; /* so many of them, spread over the data, 1 to 100000 */
    /* a product takes one scale for each row of its input, which AMX wants, where its error is at most so many times that of a scale for
     * each 128 numbers, 0 to 100 */
    double row_error;
    /* what is being done ("encoding pictures", "running pictures", "measuring products", "converting", "writing"), so many of so many;
     * false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, const char *doing, int done, int total);
    void (*note)(void *user,
                 const char *line); /* one line on what was found in the data or left out; NULL */
    void *user;
    const int *cancel; /* stops with E_STOPPED once it is not 0, as variant_request.cancel; NULL */
    /* "torch-names": output, which ends in .safetensors, or in .pth, .pt, .bin or .ckpt for PyTorch's own format, is the state dict of the
     * transformer as the original implementation's class VAR loads it with strict=True, its buffers included; of a model that is a
     * tokenizer alone, that of VQVAE. f32, f16 or bf16. NULL: a model for this library */
    const char *to;
    const char *
        tokenizer_output; /* of "torch-names": the tokenizer's file, which appears with output, or neither does; NULL: none is */
    /* a model with more bytes of tensors becomes several files of at most so many, and an index, as Hugging Face names them: of
     * "x/NAME.safetensors" "x/NAME-00001-of-0000N.safetensors" and so on and "x/NAME.safetensors.index.json". A tensor that is
     * larger has one to itself. Safetensors only, not packed. 0: one file */
    size_t max_shard_bytes;
} variant_convert_options;
/* calibrate_count 32, row_error 1.2, nothing else. */
VARIANT_SIZED(variant_convert_options);

/* How a product became integers. Errors are the L2 norm of what rounding changes of the product on the rows that were measured, over
 * the product's own; NAN: not measured. */
typedef struct variant_converted_product {
    const char *weight; /* its tensor */
    const char *type;   /* "int8", "int4" */
    int rows_seen; /* of its input, sampled over all pictures, scales and both branches; 0: none */
    /* int8: with a scale a block, and a row, of the input, as the model is and with channel factors folded into the norm before it */
    double blocks, blocks_folded, rows, rows_folded;
    bool scale_of_rows; /* chosen: one scale a row */
    double folded; /* chosen: the power of the input's part in the factors; 0: none are folded */
    /* int4, on rows held back: to the nearest, with squares weighed by what the channels are, and with each number's rounding made up for
     * by those behind it (GPTQ, arXiv 2210.17323); the least was chosen */
    double nearest, weighed, made_up;
} variant_converted_product;

/* What was chosen, made by the library: variant_conversion_free. */
typedef struct variant_conversion {
    int pictures;      /* that products were measured on; 0: none */
    int product_count; /* of the transformer; 0: types that need no choice */
    const variant_converted_product *const *products; /* (product_count), in the file's order */
    const char
        *json; /* as the file's metadata keep it under variant.int8; NULL: nothing was chosen */
} variant_conversion;

/* Reads what variant_engine_open would open (a tokenizer, a transformer or both), or FID's Inception, and writes options->output. Of the
 * engine's options weights, kv, encoder and log are not read. out (or NULL) gets what was chosen.
 * E_ARGUMENT: options that are not valid, not for each other, or not for this model; E_MODEL: weights that the type cannot hold (`force`), that are integers
 * already, or packed; names that are more or fewer than the classes; E_UNSUPPORTED: a backend that packs nothing. The input may be the
 * output. Threads: any, each writing a file of its own. */
variant_status variant_convert(variant_conversion **out, const variant_engine_options *model,
                               const variant_convert_options *options, variant_error *error);
/* Threads: one. */
void variant_conversion_free(variant_conversion **conversion);

VARIANT_END

#endif

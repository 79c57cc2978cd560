/* variant/tokens.h - a tokenizer alone: pictures to token maps and back, and files of token maps. */
#ifndef VARIANT_TOKENS_H
#define VARIANT_TOKENS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>
#include <variant/data.h>
#include <variant/engine.h>
#include <variant/picture.h>

VARIANT_BEGIN

/* A tokenizer: pictures to token maps and back (the multi-scale VQVAE of VAR, arXiv 2404.02905, section 3.2). Of an engine, or of a
 * file that may hold nothing else. It owns memory to work in: one thread at a time may use one, several of one engine may be at
 * work at once. What it computes does not depend on threads or on which pictures come together. */
typedef struct variant_tokenizer variant_tokenizer;

/* `model` and `tokenizer` of the options name its file; kv and encoder are not read. Threads: any. */
variant_status variant_tokenizer_open(variant_tokenizer **out,
                                      const variant_engine_options *options, variant_error *error);
/* That of an engine, which must stay open; without variant_engine_options.encoder it decodes alone.
 * Threads: any. */
variant_status variant_tokenizer_of(variant_tokenizer **out, const variant_engine *engine,
                                    variant_error *error);
/* Threads: one. */
void variant_tokenizer_close(variant_tokenizer **tokenizer);

typedef struct variant_token_shape {
    int scales;                    /* K */
    int sides[VARIANT_MAX_SCALES]; /* of the token maps */
    int tokens;                    /* L of a picture: the sum of sides squared */
    int codes, latent_dim;         /* codebook: entries and their size */
    int picture_side, channels;    /* pixels; 1 grey or 3 RGB */
    const char *hash;              /* 16 hex digits of the file's weights */
    const char *weights;           /* "f32", "bf16" */
    bool encodes, preview_decoder; /* it has an encoder; a small decoder beside its own */
} variant_token_shape;

/* Lives as long as the tokenizer. Threads: any. */
const variant_token_shape *variant_tokenizer_shape(const variant_tokenizer *tokenizer);

/* How pictures pass a tokenizer. */
typedef struct variant_tokenize_options {
    size_t size;         /* variant_tokenize_options_init sets it */
    int count;           /* the first so many pictures; 0: all */
    const char *decoder; /* "full" or "preview", the model's small one; NULL: full */
    /* after each batch; false stops with E_STOPPED; NULL */
    bool (*progress)(void *user, int done, int total);
    void (*note)(void *user,
                 const char *line); /* one line on what was left out of a folder; NULL */
    void *user;
    const int *cancel; /* stops with E_STOPPED once it is not 0, as variant_request.cancel; NULL */
} variant_tokenize_options;
/* All pictures, the full decoder. */
VARIANT_SIZED(variant_tokenize_options);

/* Token maps of pictures, made by the library: variant_tokens_free. */
typedef struct variant_tokens {
    int count, length; /* pictures; L */
    int32_t *tokens;   /* (count, length): a picture's scales one after another, each row by row */
    int32_t *labels;   /* (count); NULL: not known */
    /* of the tokenizer: scales 0, codes 0, model "": not known */
    int scales, sides[VARIANT_MAX_SCALES];
    int codes;
    char model[17];
    char **names;   /* (count): the pictures' files; NULL */
    char *settings; /* of the first picture, where they were generated (JSON); NULL */
} variant_tokens;
/* Threads: one. */
void variant_tokens_free(variant_tokens **tokens);

/* Encodes pictures (paths, pixels or files; split NULL: all of them). options may be NULL. Threads: one. */
variant_status variant_encode(variant_tokenizer *tokenizer, const variant_data *pictures,
                              const variant_tokenize_options *options, variant_tokens **out,
                              variant_error *error);
/* Decodes tokens (count, L) into pixels (count, side, side, channels), which the caller has. E_ARGUMENT: a token that is no code.
 * Threads: one. */
variant_status variant_decode(variant_tokenizer *tokenizer, const int32_t *tokens, int count,
                              const variant_tokenize_options *options, uint8_t *pixels,
                              variant_error *error);

/* A picture that has been there and back. */
typedef struct variant_reconstruction {
    int picture, pictures;   /* from 0; of so many */
    const char *name;        /* its file, or PATH[number] */
    int label;               /* -1: none */
    int side, channels;      /* of both, which live as long as the call: */
    const uint8_t *original; /* (side, side, channels), as the tokenizer took it */
    const uint8_t *pixels;   /* likewise, what came back */
    double psnr; /* dB, of what came back before it was rounded to bytes; 100: an exact copy */
} variant_reconstruction;

/* Peak signal-to-noise ratio: the mean of the pictures' own, and that of their mean squared error, since papers use either. */
typedef struct variant_fidelity {
    size_t size; /* variant_fidelity_init sets it */
    int pictures, side;
    double psnr, psnr_of_mean_mse; /* dB */
    /* the same over the window that a padded picture really fills (IDX alone); native_side 0: there is none */
    int native_side;
    double native_psnr, native_psnr_of_mean_mse;
} variant_fidelity;
/* All 0. */
VARIANT_SIZED(variant_fidelity);

/* Pictures through the tokenizer and back (split NULL: the test pictures). each (or NULL) sees every one; false stops with
 * E_STOPPED. E_MODEL names the picture of which the decoder makes no numbers. Threads: one. */
variant_status variant_reconstruct(variant_tokenizer *tokenizer, const variant_data *pictures,
                                   const variant_tokenize_options *options,
                                   bool (*each)(void *user, const variant_reconstruction *at),
                                   variant_fidelity *out, variant_error *error);

/* Tokens of finished pictures, with their labels and the settings of the first. Threads: any. */
variant_status variant_pictures_tokens(const variant_picture *pictures, int count,
                                       variant_tokens **out, variant_error *error);
/* To a file, whole or not at all, and back. As its name ends, .npz: arrays tokens (N, L), labels (N) where they are known, and
 * sides (K), all int32, for numpy.load; .safetensors (and the standard output, devices and pipes): tensors tokens and labels, and the rest as
 * metadata. Other endings, or none: E_ARGUMENT, which the second tells before there are tokens. Sides that are none, or whose squares are not
 * L: E_ARGUMENT, of a file E_FORMAT. Reading, length and codes are what a tokenizer wants (E_MODEL: others); 0: any. Threads: any. */
variant_status variant_tokens_write(const variant_tokens *tokens, const char *path,
                                    variant_error *error);
variant_status variant_tokens_path_check(const char *path, variant_error *error);
variant_status variant_tokens_read(variant_tokens **out, const char *path, int length, int codes,
                                   variant_error *error);

VARIANT_END

#endif

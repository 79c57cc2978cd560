/* encode.c - `variant encode` and `variant decode`: pictures to files of token maps, and back. What such a file holds:
 * variant_tokens_write. */
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>

#include "data_options.h"
#include "output.h"
#include "progress.h"
#include "request.h"
#include "tokens.h"

enum { AT_ONCE = 64 }; /* pictures that decode has in memory */

typedef struct encoding {
    variant_engine_options engine;
    cli_data taken;
    const char *output;
    int count;
    bool pad;
} encoding;

typedef struct decoding {
    variant_engine_options engine;
    cli_output output;
    const char *decoder;
} decoding;

/* ---- encode ---- */

typedef struct watch {
    cli_live live;
    cli_pace pace;
    const volatile sig_atomic_t *stop;
} watch;

static bool show(void *user, int done, int total) {
    watch *w = user;
    char left[64];
    cli_left_text(cli_pace_left(&w->pace, cli_now(), done, total), left, sizeof left);
    if (done < total)
        cli_live_show(&w->live, "%d of %d pictures%s", done, total, left);
    else
        cli_live_clear(&w->live);
    return !*w->stop;
}

static variant_status encode(const encoding *asked, const variant_data *pictures,
                             variant_error *err) {
    variant_tokenizer *tokenizer = NULL;
    variant_tokens *tokens = NULL;
    variant_tokenize_options options;
    watch w = {.stop = cli_catch_stop()};
    cli_live_open(&w.live);
    variant_tokenize_options_init(&options);
    options.count = asked->count;
    options.progress = show;
    options.note = cli_note;
    options.user = &w;
    variant_status status = variant_tokenizer_open(&tokenizer, &asked->engine, err);
    if (status == VARIANT_OK) status = variant_encode(tokenizer, pictures, &options, &tokens, err);
    cli_live_clear(&w.live);
    if (status == VARIANT_OK) status = variant_tokens_write(tokens, asked->output, err);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
    return status;
}

static void encode_init(void *settings) {
    encoding *asked = settings;
    cli_engine_init(&asked->engine);
    asked->taken = cli_data_defaults();
    asked->taken.split = "all";
}

static int encode_run(void *settings, const cli_line *line) {
    const encoding *asked = settings;
    int done = cli_model_check(&asked->engine);
    if (done >= 0) return done;
    if (!asked->output) return cli_misuse("-o is missing: the file for the tokens");
    variant_data pictures = cli_data_asked(&asked->taken);
    if (pictures.path_count && line->operand_count)
        return cli_misuse("either pictures or --data, not both");
    if (!pictures.path_count && !line->operand_count)
        return cli_misuse("which pictures? give files, folders or --data");
    if (line->operand_count) pictures.files = (const char *const *)line->operands;
    pictures.file_count = line->operand_count;
    pictures.pad = asked->pad;
    variant_error err = {0};
    if (variant_tokens_path_check(asked->output, &err) != VARIANT_OK)
        return cli_misuse("%s", err.message);
    return cli_end(encode(asked, &pictures, &err), &err);
}

static const cli_option encode_options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, encoding, engine, CLI_MODEL),
    {"output", "FILE", "a .safetensors, or a .npz for NumPy", .letter = 'o',
     CLI_TEXT(encoding, output, "where to write"), .own = true},
    CLI_ROWS(cli_pad_option, bool, encoding, pad, NULL),
    CLI_ROWS(cli_data_options, cli_data, encoding, taken, NULL),
    {"count", "N", "the first N pictures", CLI_INT(encoding, count, 1, 1 << 30), .unset = "all",
     .own = true},
    CLI_ROWS(cli_engine_options, variant_engine_options, encoding, engine, "weights " CLI_RUN),
    {0},
};

const cli_command cli_encode = {
    .name = "encode",
    .purpose = "pictures to token maps",
    .usage = "-m MODEL PICTURE|FOLDER... -o TOKENS.safetensors|TOKENS.npz [options]\n"
             "-m MODEL --data IDX|DIR -o TOKENS.safetensors|TOKENS.npz [options]",
    .about = "Writes the token maps of pictures: \"tokens\", int32 (pictures, tokens), a picture's "
             "scales one after another; of a data set with classes also \"labels\", int32 "
             "(pictures).",
    .examples = "variant encode -m models/fashion shoe.png --pad -o shoe.safetensors\n"
                "variant encode -m models/fashion --data data/fashion --split train -o tokens.npz\n"
                "variant encode -m vae_ch160v4096z32.pth --sides 1,2,3,4,5,6,8,10,13,16 *.jpg -o "
                "tokens.safetensors",
    .options = encode_options,
    .size = sizeof(encoding),
    .operands = INT_MAX,
    .init = encode_init,
    .opens = true,
    .run = encode_run,
};

/* ---- decode ---- */

/* Writes the pictures of tokens (n, L), the first of them picture `first` of all. */
static variant_status decode_some(const decoding *asked, variant_tokenizer *tokenizer,
                                  const variant_tokens *tokens, int first, int n, uint8_t *pixels,
                                  variant_error *err) {
    const variant_token_shape *shape = variant_tokenizer_shape(tokenizer);
    const size_t side = (size_t)shape->picture_side, length = (size_t)shape->tokens;
    variant_tokenize_options options;
    variant_tokenize_options_init(&options);
    options.decoder = asked->decoder;
    variant_status status = variant_decode(tokenizer, tokens->tokens + (size_t)first * length, n,
                                           &options, pixels, err);
    for (int i = 0; status == VARIANT_OK && i < n; ++i) {
        char name[4096];
        const variant_picture picture = {.width = shape->picture_side,
                                         .height = shape->picture_side,
                                         .channels = shape->channels,
                                         .pixels = pixels + (size_t)i * side * side *
                                                                (size_t)shape->channels};
        status =
            cli_output_path(&asked->output, first + i, tokens->count > 1, name, sizeof name, err);
        if (status == VARIANT_OK)
            status = variant_picture_write(&picture, name, asked->output.quality, err);
    }
    return status;
}

static variant_status decode_all(const decoding *asked, variant_tokenizer *tokenizer,
                                 const variant_tokens *tokens, variant_error *err) {
    const variant_token_shape *shape = variant_tokenizer_shape(tokenizer);
    const size_t side = (size_t)shape->picture_side;
    uint8_t *pixels = malloc(AT_ONCE * side * side * (size_t)shape->channels);
    if (!pixels) return cli_no_memory(err, "pictures");
    variant_status status = cli_output_check(&asked->output, tokens->count > 1, err);
    for (int first = 0; status == VARIANT_OK && first < tokens->count; first += AT_ONCE) {
        const int left = tokens->count - first;
        status = decode_some(asked, tokenizer, tokens, first, left < AT_ONCE ? left : AT_ONCE,
                             pixels, err);
    }
    free(pixels);
    return status;
}

static variant_status decode(const decoding *asked, const char *path, variant_error *err) {
    variant_tokenizer *tokenizer = NULL;
    variant_tokens *tokens = NULL;
    variant_status status = cli_output_check(&asked->output, false, err);
    if (status == VARIANT_OK) status = variant_tokenizer_open(&tokenizer, &asked->engine, err);
    if (status == VARIANT_OK) {
        const variant_token_shape *shape = variant_tokenizer_shape(tokenizer);
        status = variant_tokens_read(&tokens, path, shape->tokens, shape->codes, err);
        if (status == VARIANT_OK) cli_tokens_note_model(tokens, path, shape->hash);
    }
    if (status == VARIANT_OK) status = decode_all(asked, tokenizer, tokens, err);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
    return status;
}

static void decode_init(void *settings) {
    cli_engine_init(&((decoding *)settings)->engine);
}

static int decode_run(void *settings, const cli_line *line) {
    const decoding *asked = settings;
    int done = cli_model_check(&asked->engine);
    if (done >= 0) return done;
    if (!asked->output.path) return cli_misuse("-o is missing: the picture to write");
    if (!line->operand_count) return cli_misuse("expected one file of tokens");
    variant_error err = {0};
    return cli_end(decode(asked, line->operands[0], &err), &err);
}

static const cli_option decode_options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, decoding, engine, CLI_MODEL),
    CLI_ROWS(cli_decoder_option, const char *, decoding, decoder, NULL),
    CLI_ROWS(cli_output_options, cli_output, decoding, output, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, decoding, engine, "weights " CLI_RUN),
    {0},
};

const cli_command cli_decode = {
    .name = "decode",
    .purpose = "token maps to pictures",
    .usage = "-m MODEL TOKENS.safetensors|TOKENS.npz -o out.png [options]",
    .about = "Makes pictures of token maps, as encode and generate --tokens-out write them.",
    .examples = "variant decode -m models/fashion shoe.safetensors -o shoe_again.png",
    .options = decode_options,
    .size = sizeof(decoding),
    .operands = 1,
    .init = decode_init,
    .opens = true,
    .run = decode_run,
};

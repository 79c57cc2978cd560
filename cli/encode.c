/* encode.c - `variant encode` and `variant decode`: pictures to token maps in a safetensors file,
 * and back.
 *
 * The file holds "tokens", int32 (N, L), a picture's scales one after another, and as metadata
 * "variant.tokens" the sides, the codebook's size, the model's hash and the pictures' names. */
#include <cjson/cJSON.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/status.h"
#include "data_options.h"
#include "io/file.h"
#include "output.h"
#include "pictures.h"
#include "tokens.h"
#include "tools.h"

enum { MAX_PICTURES = 1 << 20 };

typedef struct encoding {
    variant_engine_options engine;
    cli_data taken;
    cli_tensors_out output;
    bool pad;
} encoding;

typedef struct decoding {
    variant_engine_options engine;
    cli_output output;
    const char *decoder;
} decoding;

/* ---- encode ---- */

static char *describe_tokens(const vt_model *model, int count, char *const *names) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(model->tokenizer);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddItemToObject(json, "sides", cJSON_CreateIntArray(config->sides, config->scales));
    cJSON_AddNumberToObject(json, "codes", config->codes);
    cJSON_AddStringToObject(json, "model", model->hash);
    cJSON_AddItemToObject(json, "pictures",
                          cJSON_CreateStringArray((const char *const *)names, count));
    char *text = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return text;
}

/* The tokens (count, L) of all pictures, a batch at a time. */
static variant_status encode_all(const encoding *asked, cli_session *session, int count,
                                 char *const *paths, int32_t *tokens, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    int side = vt_tokenizer_side(config), batch = cli_picture_batch(config);
    size_t floats = (size_t)side * (size_t)side * (size_t)config->channels;
    vt_data taken = asked->taken.data;
    vt_data_follow(&taken, session->model->training);
    variant_status status = VARIANT_OK;
    float *pictures = malloc((size_t)batch * floats * sizeof *pictures);
    if (!pictures) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", batch);
    for (int first = 0; first < count; first += batch) {
        int n = count - first < batch ? count - first : batch;
        for (int i = 0; i < n; ++i)
            VT_CHECK(cli_picture_square(pictures + (size_t)i * floats, paths[first + i], side,
                                        config->channels, &taken, asked->pad, err));
        VT_CHECK(cli_encode_pictures(session, n, pictures,
                                     tokens + (size_t)first * (size_t)vt_tokenizer_tokens(config),
                                     err));
    }
cleanup:
    free(pictures);
    return status;
}

static variant_status encode(const encoding *asked, int count, char *const *paths,
                             variant_error *err) {
    cli_session session;
    VT_TRY(cli_session_open(&session, &asked->engine, true, err));
    int length = vt_tokenizer_tokens(vt_tokenizer_configuration(session.model->tokenizer));
    variant_status status = VARIANT_OK;
    char *text = describe_tokens(session.model, count, paths);
    int32_t *tokens = malloc((size_t)count * (size_t)length * sizeof *tokens);
    if (!text || !tokens)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of %d pictures", count));
    VT_CHECK(encode_all(asked, &session, count, paths, tokens, err));
    vt_tensor_out out = {
        .name = "tokens", .type = VT_I32, .rank = 2, .shape = {count, length}, .data = tokens};
    const char *key = CLI_TOKENS_KEY, *value = text;
    VT_CHECK(vt_safetensors_write(asked->output.path, &out, 1, &key, &value, 1, err));
cleanup:
    cJSON_free(text);
    free(tokens);
    cli_session_close(&session);
    return status;
}

static void encode_init(void *settings) {
    encoding *asked = settings;
    cli_engine_init(&asked->engine);
    asked->taken = cli_data_defaults();
}

static int encode_run(void *settings, const cli_line *line) {
    const encoding *asked = settings;
    int done = cli_model_check(&asked->engine);
    if (done >= 0) return done;
    if (!asked->output.path) return cli_misuse("-o is missing: the file for the tokens");
    if (!line->operand_count) return cli_misuse("which pictures? give files or folders");
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    cli_pictures all = {0};
    for (int i = 0; i < line->operand_count; ++i)
        VT_CHECK(cli_pictures_add(&all, line->operands[i], &err));
    if (all.count > MAX_PICTURES)
        VT_CHECK(vt_fail(&err, VARIANT_E_ARGUMENT, "%d pictures: expected at most %d", all.count,
                         MAX_PICTURES));
    VT_CHECK(encode(asked, all.count, all.paths, &err));
cleanup:
    cli_pictures_close(&all);
    return cli_end(status, &err);
}

static const cli_option encode_options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, encoding, engine, CLI_MODEL),
    CLI_ROWS(cli_tensors_out_options, cli_tensors_out, encoding, output, "output"),
    CLI_ROWS(cli_pad_option, bool, encoding, pad, NULL),
    CLI_ROWS(cli_data_options, cli_data, encoding, taken, CLI_TAKE),
    CLI_ROWS(cli_engine_options, variant_engine_options, encoding, engine, "weights " CLI_RUN),
    {0},
};

const cli_command cli_encode = {
    .name = "encode",
    .purpose = "pictures to token maps",
    .usage = "-m MODEL PICTURE|FOLDER... -o TOKENS.safetensors [options]",
    .about = "Writes the token maps of pictures: tensor \"tokens\", int32 (pictures, tokens).",
    .examples = "variant encode -m models/fashion shoe.png --pad -o shoe.safetensors\n"
                "variant encode -m vae_ch160v4096z32.pth --sides 1,2,3,4,5,6,8,10,13,16 *.jpg -o "
                "tokens.safetensors",
    .options = encode_options,
    .size = sizeof(encoding),
    .operands = INT_MAX,
    .init = encode_init,
    .run = encode_run,
};

/* ---- decode ---- */

static variant_status write_picture(const float *values, const vt_tokenizer_config *config,
                                    const char *path, int quality, variant_error *err) {
    vt_image image = {0};
    variant_status status = cli_picture_image(&image, values, config, err);
    if (status == VARIANT_OK) status = vt_image_write(&image, path, quality, NULL, err);
    vt_image_free(&image);
    return status;
}

/* Writes the pictures of tokens (count, L), a batch at a time. */
static variant_status decode_all(const decoding *asked, cli_session *session, int count,
                                 const int32_t *tokens, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    size_t side = (size_t)vt_tokenizer_side(config), length = (size_t)vt_tokenizer_tokens(config);
    size_t floats = side * side * (size_t)config->channels;
    int batch = cli_picture_batch(config);
    variant_status status = VARIANT_OK;
    float *pictures = malloc((size_t)batch * floats * sizeof *pictures);
    if (!pictures) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", batch);
    for (int first = 0; first < count; first += batch) {
        int n = count - first < batch ? count - first : batch;
        VT_CHECK(cli_decode_tokens(session, n, tokens + (size_t)first * length, pictures, err));
        for (int i = 0; i < n; ++i) {
            char name[4096];
            VT_CHECK(cli_output_path(&asked->output, first + i, count > 1, name, sizeof name, err));
            VT_CHECK(write_picture(pictures + (size_t)i * floats, config, name,
                                   asked->output.quality, err));
        }
    }
cleanup:
    free(pictures);
    return status;
}

static variant_status decode(const decoding *asked, const char *path, variant_error *err) {
    cli_session session = {0};
    vt_tensor_file *file = NULL;
    int32_t *tokens = NULL;
    int count = 0;
    variant_status status = VARIANT_OK;
    VT_CHECK(cli_output_check(&asked->output, false, err));
    VT_CHECK(cli_tokens_open(&file, path, err));
    VT_CHECK(cli_session_open(&session, &asked->engine, true, err));
    VT_CHECK(cli_session_decoder(&session, asked->decoder, err));
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session.model->tokenizer);
    VT_CHECK(
        cli_tokens_read(file, vt_tokenizer_tokens(config), config->codes, &tokens, &count, err));
    VT_CHECK(cli_output_check(&asked->output, count > 1, err));
    cli_tokens_note_model(file, session.model->hash);
    VT_CHECK(decode_all(asked, &session, count, tokens, err));
cleanup:
    free(tokens);
    vt_tensor_file_close(&file);
    cli_session_close(&session);
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
    .usage = "-m MODEL TOKENS.safetensors -o out.png [options]",
    .about = "Makes pictures of token maps, as encode and generate --tokens-out write them.",
    .examples = "variant decode -m models/fashion shoe.safetensors -o shoe_again.png",
    .options = decode_options,
    .size = sizeof(decoding),
    .operands = 1,
    .init = decode_init,
    .run = decode_run,
};

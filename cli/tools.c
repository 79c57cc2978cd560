/* tools.c - opening a model for a command, and pictures between files, floats and tokens. */
#include <stdlib.h>

#include "core/clock.h"
#include "core/finite.h"
#include "core/status.h"
#include "tools.h"

/* ---- options ---- */

static bool read_type(const char *text, vt_dtype *type) {
    static const vt_dtype types[] = {VT_F32, VT_F16, VT_BF16};
    int place = cli_word(text, "f32|f16|bf16");
    if (place >= 0) *type = types[place];
    return place >= 0;
}

int cli_model_option(cli_model *options, int id, const char *text) {
    switch (id) {
    case 'm':
        return cli_text(text, "a model's file or folder", &options->model);
    case 'o':
        return cli_text(text, "where to write", &options->output);
    case 't':
        return cli_threads(text, &options->threads);
    case CLI_TOKENIZER:
        return cli_text(text, "a tokenizer's file", &options->tokenizer);
    case CLI_SIDES:
        return cli_sides(text, &options->sides);
    case CLI_PART:
        return cli_text(text, "the name of a state dict, such as ema or model", &options->part);
    case CLI_HEADS:
        return cli_int(text, 1, 1024, &options->heads);
    case CLI_BACKEND:
        options->backend = text;
        return cli_word(text, "cpu|ref") >= 0;
    case CLI_TYPE:
        return read_type(text, &options->type);
    case CLI_JSON:
        options->json = true;
        return 1;
    case CLI_WEIGHTS:
        options->weights = text;
        return cli_is_number_type(text);
    case CLI_KV:
        options->kv = text;
        return cli_is_number_type(text);
    case CLI_FILE_QUALITY:
        return cli_int(text, 1, 100, &options->file_quality);
    case CLI_PAD:
        options->pad = true;
        return 1;
    default:
        return -1;
    }
}

/* ---- a model at work ---- */

variant_status cli_session_open(cli_session *out, const cli_model *options, bool need_tokenizer,
                                bool need_transformer, variant_error *err) {
    *out = (cli_session){0};
    variant_status status = VARIANT_OK;
    vt_model_options model;
    vt_model_options_init(&model);
    model.model = options->model;
    model.tokenizer = options->tokenizer;
    model.sides = options->sides;
    model.heads = options->heads;
    model.part = options->part;
    model.warn = cli_warn;
    model.any_numbers = options->any_numbers;
    model.need_tokenizer = need_tokenizer;
    model.need_transformer = need_transformer;
    if (options->weights)
        VT_TRY(vt_number_parse(&model.weights, "--weights", options->weights, err));
    VT_CHECK(vt_kern_open(&out->kern, options->backend, options->threads, err));
    VT_CHECK(vt_model_open(&out->model, out->kern, &model, err));
    out->memory_bytes = vt_physical_bytes();
    if (out->memory_bytes == 0) out->memory_bytes = (size_t)1 << 34;
    VT_CHECK(out->kern->memory_reserve(out->kern, out->memory_bytes, &out->memory, err));
    vt_arena_init(&out->arena, out->memory, out->memory_bytes);
cleanup:
    if (status != VARIANT_OK) cli_session_close(out);
    return status;
}

void cli_session_close(cli_session *session) {
    vt_model_close(&session->model);
    if (session->memory)
        session->kern->memory_release(session->kern, session->memory, session->memory_bytes);
    vt_kern_close(&session->kern);
    *session = (cli_session){0};
}

int cli_picture_batch(const vt_tokenizer_config *config) {
    int side = vt_tokenizer_side(config), batch = (1 << 17) / (side * side);
    return batch < 1 ? 1 : batch > 64 ? 64 : batch;
}

/* ---- pictures ---- */

static size_t picture_floats(const vt_tokenizer_config *config) {
    size_t side = (size_t)vt_tokenizer_side(config);
    return side * side * (size_t)config->channels;
}

variant_status cli_picture_image(vt_image *out, const float *values,
                                 const vt_tokenizer_config *config, variant_error *err) {
    int side = vt_tokenizer_side(config);
    VT_TRY(vt_image_new(out, side, side, config->channels, err));
    if (vt_image_bytes(out->data, values, picture_floats(config))) return VARIANT_OK;
    vt_image_free(out);
    return vt_fail(err, VARIANT_E_MODEL, "a picture is not finite (NaN or infinity)");
}

variant_status cli_encode_pictures(cli_session *session, int n, const float *pictures,
                                   int32_t *tokens, variant_error *err) {
    vt_kern *kern = session->kern;
    vt_arena *arena = &session->arena;
    vt_tokenizer *tokenizer = session->model->tokenizer;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(tokenizer);
    size_t s = (size_t)config->sides[config->scales - 1],
           count = (size_t)n * picture_floats(config);
    size_t ids = (size_t)n * (size_t)vt_tokenizer_tokens(config), mark = vt_arena_mark(arena);
    variant_status status = VARIANT_OK;
    float *input = vt_arena_floats(arena, count);
    float *latent = vt_arena_floats(arena, (size_t)n * s * s * (size_t)config->latent_dim);
    int32_t *found = vt_arena_ints(arena, ids);
    VT_CHECK(vt_arena_check(arena, "pictures", err));
    kern->upload(kern, input, pictures, count * sizeof *input);
    VT_CHECK(vt_tokenizer_encode(tokenizer, arena, n, input, latent, err));
    if (!vt_kern_finite(kern, latent, VT_NUMBER_F32,
                        (size_t)n * s * s * (size_t)config->latent_dim))
        VT_CHECK(vt_fail(err, VARIANT_E_MODEL,
                         "what the encoder made of a picture is not finite (NaN or infinity)"));
    VT_CHECK(vt_tokenizer_quantize(tokenizer, arena, n, latent, found, NULL, err));
    kern->download(kern, tokens, found, ids * sizeof *tokens);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status cli_decode_tokens(cli_session *session, int n, const int32_t *tokens,
                                 float *pictures, variant_error *err) {
    vt_kern *kern = session->kern;
    vt_arena *arena = &session->arena;
    vt_tokenizer *tokenizer = session->model->tokenizer;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(tokenizer);
    size_t s = (size_t)config->sides[config->scales - 1],
           count = (size_t)n * picture_floats(config);
    size_t length = (size_t)vt_tokenizer_tokens(config), width = (size_t)config->latent_dim;
    size_t mark = vt_arena_mark(arena);
    variant_status status = VARIANT_OK;
    int32_t *ids = vt_arena_ints(arena, (size_t)n * length);
    float *inputs = vt_arena_floats(arena, (size_t)n * (length - 1) * width);
    float *f_hat = vt_arena_floats(arena, (size_t)n * s * s * width);
    float *output = vt_arena_floats(arena, count);
    VT_CHECK(vt_arena_check(arena, "pictures", err));
    kern->upload(kern, ids, tokens, (size_t)n * length * sizeof *ids);
    VT_CHECK(vt_tokenizer_inputs(tokenizer, arena, n, ids, inputs, f_hat, err));
    VT_CHECK(vt_tokenizer_decode(tokenizer, arena, n, f_hat, output, err));
    kern->download(kern, pictures, output, count * sizeof *pictures);
    if (!vt_all_finite(pictures, count))
        VT_CHECK(vt_fail(err, VARIANT_E_MODEL,
                         "the picture is not finite (NaN or infinity); the first that is not: %s",
                         vt_kern_finite(kern, f_hat, VT_NUMBER_F32, (size_t)n * s * s * width)
                             ? "what the decoder made"
                             : "the tokenizer's map"));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

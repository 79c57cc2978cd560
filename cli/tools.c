/* tools.c - opening a model for a command, and pictures between files, floats and tokens. */
#include <stdlib.h>

#include "core/clock.h"
#include "core/finite.h"
#include "core/limits.h"
#include "core/status.h"
#include "kern/dry.h"
#include "tools.h"
#include "values.h"

/* ---- options ---- */

static bool read_type(void *owner, const char *text) {
    static const vt_dtype types[] = {VT_F32, VT_F16, VT_BF16};
    int place = cli_word(text, "f32|f16|bf16");
    if (place >= 0) ((cli_tensors_out *)owner)->type = types[place];
    return place >= 0;
}

const cli_option cli_tensors_out_options[] = {
    {"output", "FILE", "the safetensors file", .letter = 'o',
     CLI_TEXT(cli_tensors_out, path, "where to write"), .own = true},
    {"type", "T", "of weights: {words}; vectors stay f32", .words = "f32|f16|bf16",
     .read = read_type, .unset = "f32"},
    {0},
};

/* ---- a model at work ---- */

vt_model_options cli_model_options(const variant_engine_options *engine) {
    vt_model_options model;
    vt_model_options_init(&model);
    model.model = engine->model;
    model.tokenizer = engine->tokenizer;
    model.sides = engine->sides;
    model.heads = engine->heads;
    model.part = engine->part;
    model.warn = cli_warn;
    return model;
}

variant_status cli_session_open_model(cli_session *out, const variant_engine_options *options,
                                      vt_model_options *model, variant_error *err) {
    *out = (cli_session){0};
    variant_status status = VARIANT_OK;
    model->any_weights = !options->weights;
    if (options->weights)
        VT_TRY(vt_number_parse(&model->weights, "--weights", options->weights, err));
    VT_CHECK(vt_kern_open(&out->kern, options->backend, options->threads, err));
    VT_CHECK(vt_model_open(&out->model, out->kern, model, err));
cleanup:
    if (status != VARIANT_OK) cli_session_close(out);
    return status;
}

variant_status cli_session_open(cli_session *out, const variant_engine_options *options,
                                bool need_tokenizer, variant_error *err) {
    vt_model_options model = cli_model_options(options);
    model.need_tokenizer = need_tokenizer;
    model.need_transformer = false;
    return cli_session_open_model(out, options, &model, err);
}

variant_status cli_session_decoder(cli_session *session, const char *decoder, variant_error *err) {
    session->preview = cli_decoder_is_preview(decoder);
    return session->preview && !session->model->preview ? vt_model_fail_preview(err) : VARIANT_OK;
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

/* At most cli_picture_batch of them; likewise below. */
static variant_status encode_some(cli_session *session, int n, const float *pictures,
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
    VT_CHECK(vt_kern_download(kern, tokens, found, ids * sizeof *tokens, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

static variant_status decode_some(cli_session *session, int n, const int32_t *tokens,
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
    VT_CHECK(session->preview
                 ? vt_preview_decode(session->model->preview, arena, n, f_hat, output, err)
                 : vt_tokenizer_decode(tokenizer, arena, n, f_hat, output, err));
    VT_CHECK(vt_kern_download(kern, pictures, output, count * sizeof *pictures, err));
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

/* What the two take of an arena, found by running them over a backend that computes nothing. */
static variant_status measure(const cli_session *session, size_t *bytes, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    const int n = cli_picture_batch(config);
    vt_dry_kern dry;
    vt_dry_kern_init(&dry, session->kern);
    cli_session counted = {.kern = &dry.kern, .model = session->model, .preview = session->preview};
    vt_arena_init_counting(&counted.arena, &dry.kern);
    float *pictures = calloc((size_t)n * picture_floats(config), sizeof *pictures);
    int32_t *tokens = calloc((size_t)n * (size_t)vt_tokenizer_tokens(config), sizeof *tokens);
    variant_status status = VARIANT_OK;
    if (!pictures || !tokens) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for pictures"));
    VT_CHECK(encode_some(&counted, n, pictures, tokens, err));
    VT_CHECK(decode_some(&counted, n, tokens, pictures, err));
    *bytes = counted.arena.peak;
cleanup:
    free(pictures);
    free(tokens);
    return status;
}

/* The arena, when pictures come for the first time. */
static variant_status reserve(cli_session *session, variant_error *err) {
    size_t bytes = 0;
    vt_limits limits;
    if (session->memory) return VARIANT_OK;
    VT_TRY(measure(session, &bytes, err));
    vt_limits_read(&limits, "");
    VT_TRY(vt_limits_memory(&limits, bytes, "the tokenizer", err));
    VT_TRY(session->kern->memory_reserve(session->kern, bytes, &session->memory, err));
    session->memory_bytes = bytes;
    vt_arena_init(&session->arena, session->memory, bytes);
    return VARIANT_OK;
}

variant_status cli_encode_pictures(cli_session *session, int n, const float *pictures,
                                   int32_t *tokens, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    const int most = cli_picture_batch(config), length = vt_tokenizer_tokens(config);
    VT_TRY(reserve(session, err));
    for (int first = 0; first < n; first += most)
        VT_TRY(encode_some(session, n - first < most ? n - first : most,
                           pictures + (size_t)first * picture_floats(config),
                           tokens + (size_t)first * (size_t)length, err));
    return VARIANT_OK;
}

variant_status cli_decode_tokens(cli_session *session, int n, const int32_t *tokens,
                                 float *pictures, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(session->model->tokenizer);
    const int most = cli_picture_batch(config), length = vt_tokenizer_tokens(config);
    VT_TRY(reserve(session, err));
    for (int first = 0; first < n; first += most)
        VT_TRY(decode_some(session, n - first < most ? n - first : most,
                           tokens + (size_t)first * (size_t)length,
                           pictures + (size_t)first * picture_floats(config), err));
    return VARIANT_OK;
}

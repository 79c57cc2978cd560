/* codec.c - see codec.h. */
#include "engine/codec.h"

#include <stdlib.h>
#include <string.h>

#include "core/finite.h"
#include "core/limits.h"
#include "core/status.h"
#include "kern/dry.h"

void vt_codec_forget(vt_codec *codec) {
    if (codec->memory) codec->kern->memory_release(codec->kern, codec->memory, codec->memory_bytes);
    codec->memory = NULL;
}

variant_status vt_codec_choose(vt_codec *codec, const char *decoder, variant_error *err) {
    const bool preview = decoder && strcmp(decoder, "preview") == 0;
    if (decoder && !preview && strcmp(decoder, "full") != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "decoder \"%.60s\": expected \"full\" or \"preview\"", decoder);
    if (preview && !codec->model->preview) return vt_model_fail_preview(err);
    if (codec->preview != preview) vt_codec_forget(codec); /* the other may take more */
    codec->preview = preview;
    return VARIANT_OK;
}

bool vt_codec_encodes(const vt_codec *codec) {
    const vt_params *params = vt_tokenizer_params(codec->model->tokenizer);
    return !(vt_params_find(params, "encoder.conv_in.weight")->flags & VT_PARAM_SKIPPED);
}

void vt_codec_close(vt_codec *codec) {
    vt_codec_forget(codec);
    *codec = (vt_codec){0};
}

int vt_codec_batch(const vt_tokenizer_config *config) {
    int side = vt_tokenizer_side(config), batch = (1 << 17) / (side * side);
    return batch < 1 ? 1 : batch > 64 ? 64 : batch;
}

/* ---- pictures ---- */

static size_t picture_floats(const vt_tokenizer_config *config) {
    size_t side = (size_t)vt_tokenizer_side(config);
    return side * side * (size_t)config->channels;
}

/* At most vt_codec_batch of them; likewise below. */
static variant_status encode_some(vt_codec *codec, int n, const float *pictures, int32_t *tokens,
                                  variant_error *err) {
    vt_kern *kern = codec->kern;
    vt_arena *arena = &codec->arena;
    vt_tokenizer *tokenizer = codec->model->tokenizer;
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
    return vt_model_settle(codec->model, status, err);
}

static variant_status decode_some(vt_codec *codec, int n, const int32_t *tokens, float *pictures,
                                  variant_error *err) {
    vt_kern *kern = codec->kern;
    vt_arena *arena = &codec->arena;
    vt_tokenizer *tokenizer = codec->model->tokenizer;
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
    VT_CHECK(codec->preview ? vt_preview_decode(codec->model->preview, arena, n, f_hat, output, err)
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
    return vt_model_settle(codec->model, status, err);
}

/* What the two take of an arena, found by running them over a backend that computes nothing. */
static variant_status measure(const vt_codec *codec, size_t *bytes, variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(codec->model->tokenizer);
    const int n = vt_codec_batch(config);
    vt_dry_kern dry;
    vt_dry_kern_init(&dry, codec->kern);
    vt_codec counted = {.kern = &dry.kern, .model = codec->model, .preview = codec->preview};
    vt_arena_init_counting(&counted.arena, &dry.kern);
    float *pictures = calloc((size_t)n * picture_floats(config), sizeof *pictures);
    int32_t *tokens = calloc((size_t)n * (size_t)vt_tokenizer_tokens(config), sizeof *tokens);
    variant_status status = VARIANT_OK;
    if (!pictures || !tokens) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for pictures"));
    if (vt_codec_encodes(codec)) VT_CHECK(encode_some(&counted, n, pictures, tokens, err));
    VT_CHECK(decode_some(&counted, n, tokens, pictures, err));
    *bytes = counted.arena.peak;
cleanup:
    free(pictures);
    free(tokens);
    return status;
}

/* The arena, when pictures come for the first time. */
static variant_status reserve(vt_codec *codec, variant_error *err) {
    size_t bytes = 0;
    vt_limits limits;
    if (codec->memory) return VARIANT_OK;
    VT_TRY(measure(codec, &bytes, err));
    vt_limits_read(&limits, "");
    VT_TRY(vt_limits_memory(&limits, bytes, "the tokenizer", err));
    VT_TRY(codec->kern->memory_reserve(codec->kern, bytes, &codec->memory, err));
    codec->memory_bytes = bytes;
    vt_arena_init(&codec->arena, codec->memory, bytes);
    return VARIANT_OK;
}

variant_status vt_codec_encode(vt_codec *codec, int n, const float *pictures, int32_t *tokens,
                               variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(codec->model->tokenizer);
    const int most = vt_codec_batch(config), length = vt_tokenizer_tokens(config);
    if (!vt_codec_encodes(codec))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "pictures to encode: the engine was opened without its encoder "
                       "(variant_engine_options.encoder)");
    VT_TRY(reserve(codec, err));
    for (int first = 0; first < n; first += most)
        VT_TRY(encode_some(codec, n - first < most ? n - first : most,
                           pictures + (size_t)first * picture_floats(config),
                           tokens + (size_t)first * (size_t)length, err));
    return VARIANT_OK;
}

variant_status vt_codec_decode(vt_codec *codec, int n, const int32_t *tokens, float *pictures,
                               variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(codec->model->tokenizer);
    const int most = vt_codec_batch(config), length = vt_tokenizer_tokens(config);
    VT_TRY(reserve(codec, err));
    for (int first = 0; first < n; first += most)
        VT_TRY(decode_some(codec, n - first < most ? n - first : most,
                           tokens + (size_t)first * (size_t)length,
                           pictures + (size_t)first * picture_floats(config), err));
    return VARIANT_OK;
}

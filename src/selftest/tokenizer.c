/* tokenizer.c - the tokenizer's results on one batch of synthetic pictures: inference,
 * then the training pass.
 *
 * Called by selftest.c; vt_selftest_encode also by the generation part, whose files hold an
 * "encode/" section. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/synth.h"
#include "selftest/parts.h"

static variant_status check_named_maps(vt_selftest *test, const char *prefix, const char *what,
                                       vt_selftest_maps maps, variant_error *err) {
    char name[96];
    snprintf(name, sizeof name, "%s%s", prefix, what);
    maps.name = name;
    return vt_selftest_check_maps(test, &maps, err);
}

/* Rounded results must not decide which codes are nearest: the next stage takes the reference's. */
static variant_status take_reference(vt_selftest *test, vt_selftest_model *model,
                                     const char *prefix, int batch, float **latent,
                                     variant_error *err) {
    const vt_tensor *want = vt_selftest_find(test, "%slatent", prefix);
    const vt_tokenizer_config *config = &model->config.tokenizer;
    int s = config->sides[config->scales - 1];
    if (!want) return VARIANT_OK;
    if (want->count != (size_t)batch * (size_t)s * (size_t)s * (size_t)config->latent_dim)
        return vt_fail(err, VARIANT_E_FORMAT, "\"%slatent\" is not of this model", prefix);
    float *host = malloc(want->count * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for \"%slatent\"", prefix);
    variant_status status = vt_tensor_to_f32(want, host, err);
    if (status == VARIANT_OK)
        status = vt_selftest_upload(test, model, host, batch, s, config->latent_dim, latent, err);
    free(host);
    return status;
}

/* The transformer's inputs that follow from the tokens. */
static variant_status check_inputs(vt_selftest *test, vt_selftest_model *model, const char *prefix,
                                   int batch, const int32_t *tokens, variant_error *err) {
    char name[96];
    snprintf(name, sizeof name, "%svar_input", prefix);
    if (!vt_selftest_find(test, "%s", name)) return VARIANT_OK;
    int width = model->config.tokenizer.latent_dim;
    size_t count = (size_t)batch * (size_t)(model->length - 1) * (size_t)width;
    float *inputs = vt_arena_floats(&model->arena, count);
    VT_TRY(vt_arena_check(&model->arena, "the transformer's inputs", err));
    VT_TRY(vt_tokenizer_inputs(model->tokenizer, &model->arena, batch, tokens, inputs, NULL, err));
    float *host = malloc((count ? count : 1) * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the transformer's inputs");
    variant_status status = vt_kern_download(test->kern, host, inputs, count * sizeof *host, err);
    vt_tensor_out got = {.name = name,
                         .type = VT_F32,
                         .rank = 3,
                         .shape = {batch, model->length - 1, width},
                         .data = host};
    if (status == VARIANT_OK) status = vt_selftest_check(test, &got, VT_FORWARD_TOLERANCE, err);
    free(host);
    return status;
}

variant_status vt_selftest_encode(vt_selftest *test, vt_selftest_model *model, const char *prefix,
                                  int batch, const float *pictures, variant_error *err) {
    const vt_tokenizer_config *config = &model->config.tokenizer;
    vt_arena *arena = &model->arena;
    size_t mark = vt_arena_mark(arena);
    int K = config->scales, s = config->sides[K - 1], side = vt_tokenizer_side(config);
    size_t latent_count = (size_t)batch * (size_t)s * (size_t)s * (size_t)config->latent_dim;
    size_t picture_count = (size_t)batch * (size_t)side * (size_t)side * (size_t)config->channels;
    size_t token_count = (size_t)batch * (size_t)model->length;
    int32_t *host = malloc(token_count * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens");
    variant_status status = VARIANT_OK;

    /* 1. results */
    float *latent = vt_arena_floats(arena, latent_count);
    float *f_hats = vt_arena_floats(arena, (size_t)K * latent_count);
    float *pixels = vt_arena_floats(arena, picture_count);
    int32_t *tokens = vt_arena_ints(arena, token_count);
    VT_CHECK(vt_arena_check(arena, "the tokenizer's results", err));
    VT_CHECK(vt_tokenizer_encode(model->tokenizer, arena, batch, pictures, latent, err));
    if (vt_selftest_is_rounded(test)) {
        vt_selftest_maps maps = {
            .buffer = latent, .batch = batch, .side = s, .channels = config->latent_dim};
        VT_CHECK(check_named_maps(test, prefix, "latent", maps, err));
        VT_CHECK(take_reference(test, model, prefix, batch, &latent, err));
    }
    VT_CHECK(vt_tokenizer_quantize(model->tokenizer, arena, batch, latent, tokens, f_hats, err));
    const float *last = f_hats + (size_t)(K - 1) * latent_count;
    VT_CHECK(vt_tokenizer_decode(model->tokenizer, arena, batch, last, pixels, err));

    /* 2. comparison */
    vt_selftest_maps maps = {
        .buffer = latent, .batch = batch, .side = s, .channels = config->latent_dim};
    VT_CHECK(check_named_maps(test, prefix, "latent", maps, err));
    char name[96];
    snprintf(name, sizeof name, "%stokens", prefix);
    VT_CHECK(vt_kern_download(test->kern, host, tokens, token_count * sizeof *host, err));
    vt_tensor_out got = {
        .name = name, .type = VT_I32, .rank = 2, .shape = {batch, model->length}, .data = host};
    VT_CHECK(vt_selftest_check(test, &got, 0, err));
    for (int k = 0; k < K; ++k) {
        maps.buffer = f_hats + (size_t)k * latent_count;
        snprintf(name, sizeof name, "f_hat/%d", k);
        VT_CHECK(check_named_maps(test, prefix, name, maps, err));
    }
    VT_CHECK(check_named_maps(test, prefix, "f_hat", maps, err));
    maps = (vt_selftest_maps){.buffer = pixels,
                              .batch = batch,
                              .side = side,
                              .channels = config->channels,
                              .map = VT_MAP_CLAMP};
    VT_CHECK(check_named_maps(test, prefix, "reconstruction", maps, err));
    maps.map = VT_MAP_U8;
    VT_CHECK(check_named_maps(test, prefix, "reconstruction_u8", maps, err));
    VT_CHECK(check_inputs(test, model, prefix, batch, tokens, err));
cleanup:
    vt_arena_rewind(arena, mark);
    free(host);
    return status;
}

static variant_status check_training(vt_selftest *test, vt_selftest_model *model, int batch,
                                     const float *pictures, variant_error *err) {
    size_t mark = vt_arena_mark(&model->arena);
    vt_params *params = vt_tokenizer_params(model->tokenizer);
    vt_params_zero_grad(params);
    vt_tokenizer_pass pass = {.batch = batch, .pictures = pictures};
    VT_TRY(vt_tokenizer_forward(model->tokenizer, &model->arena, &pass, err));
    VT_TRY(vt_selftest_check_scalar(test, "train/mse", pass.mse, VT_FORWARD_TOLERANCE, err));
    VT_TRY(
        vt_selftest_check_scalar(test, "train/vq_loss", pass.vq_loss, VT_FORWARD_TOLERANCE, err));
    VT_TRY(vt_selftest_check_scalar(test, "train/loss", pass.mse + pass.vq_loss,
                                    VT_FORWARD_TOLERANCE, err));
    VT_TRY(vt_tokenizer_backward(model->tokenizer, &model->arena, &pass, 1.0f, err));
    VT_TRY(vt_selftest_check_params(test, params, "train/norm/", VT_GRADIENT_NORMS, err));
    VT_TRY(vt_selftest_check_params(test, params, "train/grad/", VT_GRADIENTS, err));
    vt_arena_rewind(&model->arena, mark);
    return VARIANT_OK;
}

variant_status vt_selftest_tokenizer(vt_selftest *test, variant_error *err) {
    vt_selftest_model model;
    VT_TRY(vt_selftest_model_open(&model, test, false, !vt_selftest_is_rounded(test), err));
    variant_status status = VARIANT_OK;
    float *image = NULL;
    int batch = 2, side = vt_tokenizer_side(&model.config.tokenizer);
    const char *sized = vt_selftest_find(test, "latent") ? "latent" : "tokens";
    if (vt_selftest_find(test, "%s", sized)) VT_CHECK(vt_selftest_batch(test, sized, &batch, err));

    size_t count =
        (size_t)batch * (size_t)model.config.tokenizer.channels * (size_t)side * (size_t)side;
    image = malloc(count * sizeof *image);
    if (!image) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the pictures");
        goto cleanup;
    }
    char key[96];
    snprintf(key, sizeof key, "%s/image", model.config.seed);
    vt_synth_symmetric(image, count, key);
    float *pictures = NULL;
    VT_CHECK(vt_selftest_upload_maps(test, &model, image, batch, side, &pictures, err));
    VT_CHECK(vt_selftest_encode(test, &model, "", batch, pictures, err));
    if (!vt_selftest_is_rounded(test)) VT_CHECK(check_training(test, &model, batch, pictures, err));
cleanup:
    free(image);
    vt_selftest_model_close(&model, test);
    return status;
}

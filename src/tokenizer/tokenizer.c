/* tokenizer.c - the public face of the tokenizer: opens the parts, checks arguments, runs passes
 * (see tokenizer.h). */
#include "tokenizer/tokenizer.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "tokenizer/parts.h"

#define LARGEST_BATCH 65536
#define CODE_SPREAD                                                                                \
    0.05f /* of an initial codebook: small beside latents, so that the direction decides which is  \
             nearest */

variant_status vt_tokenizer_open(vt_tokenizer **out, vt_kern *kern,
                                 const vt_tokenizer_config *config, variant_error *err) {
    variant_status status;
    *out = NULL;
    VT_TRY(vt_tokenizer_config_check(config, err));
    vt_tokenizer *tokenizer = calloc(1, sizeof *tokenizer);
    if (!tokenizer) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a tokenizer");
    tokenizer->kern = kern;
    tokenizer->config = *config;
    vt_params_init(&tokenizer->params, kern);
    VT_CHECK(vt_encoder_build(&tokenizer->encoder, &tokenizer->params, config, err));
    VT_CHECK(vt_decoder_build(&tokenizer->decoder, &tokenizer->params, config, err));
    VT_CHECK(
        vt_quantizer_build(&tokenizer->quantizer, &tokenizer->params, &tokenizer->config, err));
cleanup:
    if (status != VARIANT_OK) vt_tokenizer_close(&tokenizer);
    *out = tokenizer;
    return status;
}

void vt_tokenizer_close(vt_tokenizer **tokenizer) {
    if (!tokenizer || !*tokenizer) return;
    vt_picture_chain_close(&(*tokenizer)->encoder);
    vt_picture_chain_close(&(*tokenizer)->decoder);
    vt_params_close(&(*tokenizer)->params);
    free(*tokenizer);
    *tokenizer = NULL;
}

const vt_tokenizer_config *vt_tokenizer_configuration(const vt_tokenizer *tokenizer) {
    return &tokenizer->config;
}

vt_params *vt_tokenizer_params(vt_tokenizer *tokenizer) {
    return &tokenizer->params;
}

/* ---- values for training from nothing ---- */

static bool ends_in(const char *name, const char *ending) {
    size_t length = strlen(name), tail = strlen(ending);
    return length >= tail && strcmp(name + length - tail, ending) == 0;
}

static float convolution_bound(const vt_param *w) {
    return (float)(1.0 / sqrt((double)(w->shape[1] * w->shape[2] * w->shape[3])));
}

/* Convolutions and their biases uniform in +-1/sqrt(fan in), norms 1 and 0, codebook normal. A bias
 * is registered right after its weight. */
static void initial_values(const vt_params *params, int i, uint64_t seed, float *out) {
    const vt_param *param = params->items[i];
    const vt_param *before = i > 0 ? params->items[i - 1] : NULL;
    float bound = 0.0f, constant = 0.0f;
    if (param->rank == 2) {
        vt_normal_fill(out, param->count, seed, (uint32_t)i);
        for (size_t j = 0; j < param->count; ++j) out[j] *= CODE_SPREAD;
        return;
    }
    if (param->rank == 4)
        bound = convolution_bound(param);
    else if (ends_in(param->name, ".weight"))
        constant = 1.0f;
    else if (before && before->rank == 4)
        bound = convolution_bound(before);
    for (size_t j = 0; j < param->count; ++j) {
        double u = bound > 0.0f ? vt_uniform(seed, VT_RNG_INIT, (uint32_t)i, (uint32_t)j,
                                             (uint32_t)(j >> 32))
                                : 0.5;
        out[j] = constant + bound * (float)(2.0 * u - 1.0);
    }
}

variant_status vt_initial_values(vt_params *params, uint64_t seed, variant_error *err) {
    variant_status status = VARIANT_OK;
    size_t largest = 0;
    if (!params->values) VT_TRY(vt_params_allocate(params, err));
    if (params->kern->dry) return VARIANT_OK;
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->count > largest) largest = params->items[i]->count;
    float *values = malloc(largest * sizeof *values);
    if (!values) return vt_fail(err, VARIANT_E_MEMORY, "no memory for initial values");
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (param->flags & VT_PARAM_BUFFER) continue;
        initial_values(params, i, seed, values);
        VT_CHECK(vt_param_upload(params, param, values, param->value, err));
    }
cleanup:
    free(values);
    return status;
}

variant_status vt_tokenizer_initialise(vt_tokenizer *tokenizer, uint64_t seed, variant_error *err) {
    VT_TRY(vt_initial_values(&tokenizer->params, seed, err));
    if (tokenizer->quantizer.codebook->weight && !tokenizer->params.kern->dry)
        vt_params_refresh(&tokenizer->params);
    return VARIANT_OK;
}

/* ---- inference ---- */

/* A run of `batch` pictures, after checking that values exist and that every row count is an int.
 */
static variant_status start_run(const vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                bool training, vt_picture_run *run, variant_error *err) {
    int64_t side = vt_tokenizer_side(&tokenizer->config);
    const vt_param *codebook = tokenizer->quantizer.codebook;
    if (batch < 1 || batch > LARGEST_BATCH || batch * side * side > INT_MAX)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "tokenizer: a batch of %d pictures of side %d, expected at least 1 and "
                       "fewer than 2^31 pixels",
                       batch, (int)side);
    if (!codebook->weight || (training && !codebook->grad))
        return vt_fail(err, VARIANT_E_ARGUMENT, "tokenizer: its parameters have no %s yet",
                       codebook->weight ? "gradients" : "values");
    *run = (vt_picture_run){.kern = vt_arena_kern(arena, tokenizer->kern),
                            .arena = arena,
                            .batch = batch,
                            .training = training};
    return VARIANT_OK;
}

variant_status vt_tokenizer_encode(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                   const float *pictures, float *latent, variant_error *err) {
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, batch, false, &run, err));
    if (tokenizer->encoder.layers[0].as.conv.w->flags & VT_PARAM_SKIPPED)
        return vt_fail(err, VARIANT_E_ARGUMENT, "tokenizer: opened without its encoder");
    size_t mark = vt_arena_mark(arena);
    variant_status status =
        vt_picture_chain_forward(&tokenizer->encoder, &run, pictures, latent, err);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_tokenizer_decode(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                   const float *f_hat, float *pictures, variant_error *err) {
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, batch, false, &run, err));
    size_t mark = vt_arena_mark(arena);
    variant_status status =
        vt_picture_chain_forward(&tokenizer->decoder, &run, f_hat, pictures, err);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_tokenizer_quantize(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                     const float *latent, int32_t *tokens, float *f_hats,
                                     variant_error *err) {
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, batch, false, &run, err));
    size_t mark = vt_arena_mark(arena);
    vt_quantizing args = {.latent = latent, .tokens = tokens, .f_hats = f_hats};
    variant_status status = vt_quantizer_encode(&tokenizer->quantizer, &run, &args, err);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_tokenizer_step(vt_tokenizer *tokenizer, vt_arena *arena,
                                 const vt_scale_step *step, variant_error *err) {
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, step->batch, false, &run, err));
    if (step->k < 0 || step->k >= tokenizer->config.scales || (!step->tokens && !step->embeddings))
        return vt_fail(err, VARIANT_E_ARGUMENT, "tokenizer: a step at scale %d of %d %s", step->k,
                       tokenizer->config.scales,
                       step->tokens || step->embeddings ? "does not exist"
                                                        : "has neither tokens nor embeddings");
    size_t mark = vt_arena_mark(arena);
    variant_status status = vt_quantizer_step(&tokenizer->quantizer, &run, step, err);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_tokenizer_codes(vt_tokenizer *tokenizer, vt_arena *arena, int k, int batch,
                                  const float *rest, const float *gain, float *means,
                                  int32_t *index, variant_error *err) {
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, batch, false, &run, err));
    if (k < 0 || k >= tokenizer->config.scales)
        return vt_fail(err, VARIANT_E_ARGUMENT, "tokenizer: codes of scale %d of %d", k,
                       tokenizer->config.scales);
    size_t mark = vt_arena_mark(arena);
    variant_status status =
        vt_quantizer_codes(&tokenizer->quantizer, &run, k, rest, gain, means, index, err);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_tokenizer_inputs(vt_tokenizer *tokenizer, vt_arena *arena, int batch,
                                   const int32_t *tokens, float *inputs, float *f_hat,
                                   variant_error *err) {
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, batch, false, &run, err));
    size_t mark = vt_arena_mark(arena);
    variant_status status =
        vt_quantizer_inputs(&tokenizer->quantizer, &run, tokens, inputs, f_hat, err);
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- training ---- */

/* Pictures that losses are divided by. */
static int divisor(const vt_tokenizer_pass *pass) {
    return pass->of > 0 ? pass->of : pass->batch;
}

/* A batch's numbers of `side` and `channels`, of all pictures that losses are divided by. */
static double numbers_of(const vt_tokenizer_pass *pass, int side, int channels) {
    return (double)divisor(pass) * (double)side * (double)side * (double)channels;
}

/* sums (K + 1): of squares of what each scale left, whose means are both terms of its loss, since f_hat_k - f
 * is minus that; and of the reconstruction's differences. */
static variant_status read_losses(const vt_picture_run *run, const vt_tokenizer_config *config,
                                  vt_tokenizer_pass *pass, const double *sums, variant_error *err) {
    const double latents = numbers_of(pass, config->sides[config->scales - 1], config->latent_dim),
                 pixels = numbers_of(pass, vt_tokenizer_side(config), config->channels);
    double host[VT_MAX_SCALES + 1], squares = 0.0;
    const int scales = config->scales;
    VT_TRY(vt_kern_download(run->kern, host, sums, ((size_t)scales + 1) * sizeof *host, err));
    for (int k = 0; k < scales; ++k) squares += host[k];
    pass->vq_loss = 1.25 * squares / (latents * scales);
    pass->mse = host[scales] / pixels;
    return VARIANT_OK;
}

variant_status vt_tokenizer_forward(vt_tokenizer *tokenizer, vt_arena *arena,
                                    vt_tokenizer_pass *pass, variant_error *err) {
    const vt_tokenizer_config *config = &tokenizer->config;
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, pass->batch, true, &run, err));
    run.recompute = pass->recompute;
    tokenizer->saved.filled = false;
    pass->saved = &tokenizer->saved;
    int side = vt_tokenizer_side(config);
    size_t pixels = vt_picture_floats(&run, side, config->channels);
    size_t latents = vt_picture_floats(&run, config->sides[config->scales - 1], config->latent_dim);
    size_t tokens = (size_t)pass->batch * (size_t)vt_tokenizer_tokens(config);
    pass->reconstruction = vt_arena_floats(arena, pixels);
    pass->tokens = vt_arena_ints(arena, tokens);
    if (!pass->rests) pass->rests = vt_arena_floats(arena, tokens * (size_t)config->latent_dim);
    float *latent = vt_arena_floats(arena, latents);
    float *f_hat = vt_arena_floats(arena, latents);
    double *sums = vt_arena_take(arena, ((size_t)config->scales + 1) * sizeof *sums);
    VT_TRY(vt_arena_check(arena, "a tokenizer's training pass", err));

    VT_TRY(vt_picture_chain_forward(&tokenizer->encoder, &run, pass->pictures, latent, err));
    vt_quantizing args = {.latent = latent,
                          .tokens = pass->tokens,
                          .rests = pass->rests,
                          .f_hat = f_hat,
                          .saved = &tokenizer->saved.quantizer,
                          .squares = sums};
    VT_TRY(vt_quantizer_encode(&tokenizer->quantizer, &run, &args, err));
    VT_TRY(vt_picture_chain_forward(&tokenizer->decoder, &run, f_hat, pass->reconstruction, err));
    run.kern->sum_squared_difference(run.kern, sums + config->scales,
                                     &(vt_floats){pass->reconstruction, pixels},
                                     &(vt_floats){(float *)pass->pictures, pixels}, 1);
    VT_TRY(read_losses(&run, config, pass, sums, err));
    tokenizer->saved.filled = true;
    return VARIANT_OK;
}

/* Straight through: what the decoder wants of f_hat is asked of the latent. */
variant_status vt_tokenizer_backward(vt_tokenizer *tokenizer, vt_arena *arena,
                                     vt_tokenizer_pass *pass, float vq_weight, variant_error *err) {
    const vt_tokenizer_config *config = &tokenizer->config;
    vt_picture_run run;
    VT_TRY(start_run(tokenizer, arena, pass->batch, true, &run, err));
    run.recompute = pass->recompute;
    if (pass->saved != &tokenizer->saved || !tokenizer->saved.filled)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "tokenizer: backward without a forward pass before it");
    tokenizer->saved.filled = false;
    vt_kern *kern = run.kern;
    size_t pixels = vt_picture_floats(&run, vt_tokenizer_side(config), config->channels);
    size_t mark = vt_arena_mark(arena);
    float *dpictures = vt_arena_floats(arena, pixels);
    float *dlatent = vt_arena_floats(
        arena, vt_picture_floats(&run, config->sides[config->scales - 1], config->latent_dim));
    VT_TRY(vt_arena_check(arena, "a tokenizer's backward pass", err));

    vt_kern_fill(kern, dpictures, 0.0f, pixels);
    const double all = numbers_of(pass, vt_tokenizer_side(config), config->channels);
    kern->scaled_difference(kern, dpictures, (float)(2.0 / all), pass->reconstruction,
                            pass->pictures, pixels);
    VT_TRY(vt_picture_chain_backward(&tokenizer->decoder, &run, dpictures, dlatent, err));
    VT_TRY(vt_quantizer_backward(&tokenizer->quantizer, &run, &tokenizer->saved.quantizer,
                                 (double)vq_weight * pass->batch / divisor(pass), dlatent, err));
    VT_TRY(vt_picture_chain_backward(&tokenizer->encoder, &run, dlatent, NULL, err));
    vt_arena_rewind(arena, mark);
    return VARIANT_OK;
}

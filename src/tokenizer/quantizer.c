/* quantizer.c - latent to K token maps and back: residual quantisation over growing sides.
 *
 * Scale k adds contribution_k = phi(bicubic(codebook[tokens_k])) to f_hat. All of encoding,
 * generation and training is that one function, `contribute`, in loops that differ in where the
 * tokens come from and what is remembered. */
#include "tokenizer/parts.h"

variant_status vt_quantizer_build(vt_quantizer *quantizer, vt_params *params,
                                  const vt_tokenizer_config *config, variant_error *err) {
    int width = config->latent_dim, registered = params->count;
    *quantizer = (vt_quantizer){.config = config};
    for (int k = 0; k < config->scales; ++k)
        quantizer->offset[k + 1] = quantizer->offset[k] + config->sides[k] * config->sides[k];

    const int64_t hits[2] = {config->scales, config->codes}, codes[2] = {config->codes, width};
    vt_params_add(params, VT_PARAM_BUFFER, 2, hits, "quantize.ema_vocab_hit_SV");
    for (int i = 0; i < 4; ++i) {
        char name[64] = "quantize.quant_resi.qresi_ls.0";
        name[29] = (char)('0' + i);
        vt_conv2d_register(&quantizer->phi[i], params, width, width, 3, 1, name);
        if (quantizer->phi[i].w) quantizer->phi[i].w->flags |= VT_PARAM_EXACT;
    }
    quantizer->codebook =
        vt_params_add(params, VT_PARAM_PRODUCT | VT_PARAM_NO_DECAY | VT_PARAM_EXACT, 2, codes,
                      "quantize.embedding.weight");
    if (params->count == registered + 10) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the quantizer's parameters");
}

static int latent_side(const vt_quantizer *quantizer) {
    return quantizer->config->sides[quantizer->config->scales - 1];
}

static size_t latent_floats(const vt_quantizer *quantizer, const vt_picture_run *run) {
    return vt_picture_floats(run, latent_side(quantizer), quantizer->config->latent_dim);
}

static const vt_conv2d *scale_phi(const vt_quantizer *quantizer, int k) {
    return &quantizer->phi[vt_phi_index(k, quantizer->config->scales)];
}

/* Rows of `width` four-byte numbers between (B, n_k^2, width) and scale k of (B, L, width). */
static void put_scale(const vt_quantizer *quantizer, const vt_picture_run *run, int k, float *all,
                      const float *scale, size_t width) {
    const int *offset = quantizer->offset;
    size_t count = (size_t)(offset[k + 1] - offset[k]) * width;
    run->kern->copy_rows(run->kern, all + (size_t)offset[k] * width,
                         (size_t)offset[quantizer->config->scales] * width, scale, count,
                         run->batch, count);
}

static void get_scale(const vt_quantizer *quantizer, const vt_picture_run *run, int k, float *scale,
                      const float *all, size_t width) {
    const int *offset = quantizer->offset;
    size_t count = (size_t)(offset[k + 1] - offset[k]) * width;
    run->kern->copy_rows(run->kern, scale, count, all + (size_t)offset[k] * width,
                         (size_t)offset[quantizer->config->scales] * width, run->batch, count);
}

/* contribution = 0.5 h + 0.5 conv(h), h = bicubic(codes of scale k), (B, s, s, Cvae) like
 * `enlarged`, which receives h. index (B, n_k^2), or embeddings (B, n_k^2, Cvae) when it is NULL.
 */
static variant_status contribute(const vt_quantizer *quantizer, const vt_picture_run *run, int k,
                                 const int32_t *index, const float *embeddings, float *enlarged,
                                 float *contribution, variant_error *err) {
    vt_kern *kern = run->kern;
    int width = quantizer->config->latent_dim, side = quantizer->config->sides[k],
        full = latent_side(quantizer);
    size_t count = vt_picture_floats(run, side, width);
    size_t mark = vt_arena_mark(run->arena);
    if (index) {
        float *codes = side == full ? enlarged : vt_arena_floats(run->arena, count);
        VT_TRY(vt_arena_check(run->arena, "the quantizer", err));
        kern->gather_rows(kern, codes, quantizer->codebook->value, index, run->batch * side * side,
                          width);
        embeddings = codes;
    }
    if (side != full)
        kern->resize_bicubic(kern, enlarged, embeddings, run->batch, side, full, width);
    else if (embeddings != enlarged)
        kern->copy(kern, enlarged, embeddings, count);
    vt_arena_rewind(run->arena, mark);
    VT_TRY(vt_conv2d_forward(scale_phi(quantizer, k), run, full, enlarged, contribution, err));
    kern->axpby(kern, contribution, 0.5f, enlarged, 0.5f, latent_floats(quantizer, run));
    return VARIANT_OK;
}

/* ---- latent to tokens ---- */

/* (B, s, s, Cvae) as a map of scale k: itself, or averaged over areas in memory of the arena. */
static variant_status averaged(const vt_quantizer *quantizer, const vt_picture_run *run, int k,
                               const float *rest, const float **out, variant_error *err) {
    const vt_tokenizer_config *config = quantizer->config;
    int side = config->sides[k], full = latent_side(quantizer);
    *out = rest;
    if (side == full) return VARIANT_OK;
    float *resized = vt_arena_floats(run->arena, vt_picture_floats(run, side, config->latent_dim));
    VT_TRY(vt_arena_check(run->arena, "the quantizer", err));
    run->kern->resize_area(run->kern, resized, rest, run->batch, full, side, config->latent_dim);
    *out = resized;
    return VARIANT_OK;
}

/* index (B, n_k^2): the codes nearest to rest (B, n_k^2, Cvae). */
static variant_status nearest(const vt_quantizer *quantizer, const vt_picture_run *run, int k,
                              const float *rest, int32_t *index, variant_error *err) {
    vt_kern *kern = run->kern;
    const int side = quantizer->config->sides[k];
    int groups = run->training ? 1 : run->batch, rows = run->batch / groups * side * side;
    size_t scratch = kern->nearest_code_workspace(kern, groups, rows, quantizer->config->codes);
    void *workspace = vt_arena_take(run->arena, scratch);
    VT_TRY(vt_arena_check(run->arena, "the quantizer", err));
    kern->nearest_code(kern, index, rest, quantizer->codebook->weight, groups, rows, workspace);
    return VARIANT_OK;
}

/* Tokens of scale k for what is left of the latent: into index (B, n_k^2), args->tokens and
 * args->rests. */
static variant_status choose_codes(const vt_quantizer *quantizer, const vt_picture_run *run, int k,
                                   const float *rest, int32_t *index, const vt_quantizing *args,
                                   variant_error *err) {
    const size_t width = (size_t)quantizer->config->latent_dim, mark = vt_arena_mark(run->arena);
    VT_TRY(averaged(quantizer, run, k, rest, &rest, err));
    VT_TRY(nearest(quantizer, run, k, rest, index, err));
    put_scale(quantizer, run, k, (float *)args->tokens, (const float *)index, 1);
    if (args->rests) put_scale(quantizer, run, k, args->rests, rest, width);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* Rows of x (rows, width) times their gains, those that are 1 left alone. */
static void gain_rows(vt_kern *kern, float *x, const float *gain, int rows, size_t width) {
    for (int first = 0, end; first < rows; first = end) {
        for (end = first + 1; end < rows && gain[end] == gain[first];) ++end;
        float *run = x + (size_t)first * width;
        if (gain[first] != 1.0f)
            kern->axpby(kern, run, gain[first], run, 0.0f, (size_t)(end - first) * width);
    }
}

variant_status vt_quantizer_codes(const vt_quantizer *quantizer, const vt_picture_run *run, int k,
                                  const float *rest, const float *gain, float *means,
                                  int32_t *index, variant_error *err) {
    const vt_tokenizer_config *config = quantizer->config;
    const int rows = run->batch * config->sides[k] * config->sides[k];
    VT_TRY(averaged(quantizer, run, k, rest, &rest, err));
    run->kern->copy(run->kern, means, rest,
                    vt_picture_floats(run, config->sides[k], config->latent_dim));
    gain_rows(run->kern, means, gain, rows, (size_t)config->latent_dim);
    return nearest(quantizer, run, k, means, index, err);
}

/* With saved, every scale's index, enlarged and rest are taken before anything else and stay. */
static variant_status take_saved(const vt_quantizer *quantizer, const vt_picture_run *run,
                                 vt_quantizer_saved *saved, variant_error *err) {
    size_t count = latent_floats(quantizer, run);
    for (int k = 0; k < quantizer->config->scales; ++k) {
        saved->index[k] =
            vt_arena_ints(run->arena, vt_picture_floats(run, quantizer->config->sides[k], 1));
        saved->enlarged[k] = vt_arena_floats(run->arena, count);
        saved->rest[k] = vt_arena_floats(run->arena, count);
    }
    return vt_arena_check(run->arena, "the quantizer", err);
}

variant_status vt_quantizer_encode(const vt_quantizer *quantizer, const vt_picture_run *run,
                                   const vt_quantizing *args, variant_error *err) {
    vt_kern *kern = run->kern;
    int scales = quantizer->config->scales;
    size_t count = latent_floats(quantizer, run);
    if (args->saved) VT_TRY(take_saved(quantizer, run, args->saved, err));
    size_t mark = vt_arena_mark(run->arena);
    bool want_f_hat = args->f_hat || args->f_hats;
    float *f_hat = args->f_hat;
    if (want_f_hat && !f_hat) f_hat = vt_arena_floats(run->arena, count);
    int32_t *index =
        args->saved ? NULL
                    : vt_arena_ints(run->arena, vt_picture_floats(run, latent_side(quantizer), 1));
    float *enlarged = args->saved ? NULL : vt_arena_floats(run->arena, count);
    float *contribution = args->saved ? NULL : vt_arena_floats(run->arena, count);
    float *left = args->saved ? NULL : vt_arena_floats(run->arena, count);
    VT_TRY(vt_arena_check(run->arena, "the quantizer", err));

    const float *rest = args->latent;
    for (int k = 0; k < scales; ++k) {
        if (args->saved) {
            index = args->saved->index[k];
            enlarged = args->saved->enlarged[k];
            contribution = args->saved->rest[k];
        }
        VT_TRY(choose_codes(quantizer, run, k, rest, index, args, err));
        if (k == scales - 1 && !want_f_hat && !args->saved) break;
        VT_TRY(contribute(quantizer, run, k, index, NULL, enlarged, contribution, err));
        if (want_f_hat) kern->axpby(kern, f_hat, 1.0f, contribution, k == 0 ? 0.0f : 1.0f, count);
        if (args->f_hats) kern->copy(kern, args->f_hats + (size_t)k * count, f_hat, count);
        /* rest - contribution, in the contribution's place; the buffers change roles where nothing
         * is kept */
        kern->axpby(kern, contribution, 1.0f, rest, -1.0f, count);
        float *spare = left;
        rest = left = contribution;
        contribution = spare;
        if (args->squares)
            kern->sum_squares(kern, args->squares + k, &(vt_floats){(float *)rest, count}, 1);
    }
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* f_hat_k is the sum of contributions 0..k, so contribution j learns from every k >= j: the sum of
 * their gradients is carried from the last scale to the first, and what it is at scale 0 also gives
 * the commitment term. */
variant_status vt_quantizer_backward(const vt_quantizer *quantizer, const vt_picture_run *run,
                                     const vt_quantizer_saved *saved, double weight, float *dlatent,
                                     variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_tokenizer_config *config = quantizer->config;
    int full = latent_side(quantizer), width = config->latent_dim;
    size_t count = latent_floats(quantizer, run);
    float step = (float)(2.0 * weight / ((double)count * config->scales));
    size_t mark = vt_arena_mark(run->arena);
    float *sum = vt_arena_floats(run->arena, count);
    float *half = vt_arena_floats(run->arena, count);
    float *denlarged = vt_arena_floats(run->arena, count);
    float *dcodes = vt_arena_floats(run->arena, count);
    VT_TRY(vt_arena_check(run->arena, "the quantizer's gradient", err));

    for (int k = config->scales - 1; k >= 0; --k) {
        int side = config->sides[k];
        kern->axpby(kern, sum, -step, saved->rest[k], k == config->scales - 1 ? 0.0f : 1.0f, count);
        kern->axpby(kern, half, 0.5f, sum, 0.0f, count);
        VT_TRY(vt_conv2d_backward(scale_phi(quantizer, k), run, full, saved->enlarged[k], half,
                                  denlarged, err));
        kern->axpby(kern, denlarged, 1.0f, half, 1.0f, count);
        const float *dgathered = denlarged;
        if (side != full) {
            kern->resize_bicubic_dx(kern, dcodes, denlarged, run->batch, side, full, width);
            dgathered = dcodes;
        }
        kern->scatter_rows(kern, quantizer->codebook->grad, saved->index[k], dgathered,
                           run->batch * side * side, width);
    }
    kern->axpby(kern, dlatent, -0.25f, sum, 1.0f, count);
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

/* ---- tokens to f_hat ---- */

variant_status vt_quantizer_step(const vt_quantizer *quantizer, const vt_picture_run *run,
                                 const vt_scale_step *step, variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_tokenizer_config *config = quantizer->config;
    int full = latent_side(quantizer);
    size_t count = latent_floats(quantizer, run);
    size_t mark = vt_arena_mark(run->arena);
    float *enlarged = vt_arena_floats(run->arena, count);
    float *contribution = vt_arena_floats(run->arena, count);
    VT_TRY(vt_arena_check(run->arena, "the quantizer", err));
    VT_TRY(contribute(quantizer, run, step->k, step->tokens, step->embeddings, enlarged,
                      contribution, err));
    kern->axpby(kern, step->f_hat, 1.0f, contribution, 1.0f, count);
    if (step->next && step->k + 1 < config->scales) {
        int side = config->sides[step->k + 1];
        if (side == full)
            kern->copy(kern, step->next, step->f_hat, count);
        else
            kern->resize_area(kern, step->next, step->f_hat, run->batch, full, side,
                              config->latent_dim);
    }
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

variant_status vt_quantizer_inputs(const vt_quantizer *quantizer, const vt_picture_run *run,
                                   const int32_t *tokens, float *inputs, float *f_hat,
                                   variant_error *err) {
    vt_kern *kern = run->kern;
    const vt_tokenizer_config *config = quantizer->config;
    const int *offset = quantizer->offset;
    size_t count = latent_floats(quantizer, run), width = (size_t)config->latent_dim;
    size_t input_stride = (size_t)(offset[config->scales] - 1) * width;
    size_t mark = vt_arena_mark(run->arena);
    float *sum = f_hat ? f_hat : vt_arena_floats(run->arena, count);
    int32_t *index = vt_arena_ints(run->arena, vt_picture_floats(run, latent_side(quantizer), 1));
    float *next = vt_arena_floats(run->arena, count);
    VT_TRY(vt_arena_check(run->arena, "the quantizer", err));

    vt_kern_fill(kern, sum, 0.0f, count);
    for (int k = 0; k < config->scales; ++k) {
        bool last = k == config->scales - 1;
        if (last && !f_hat) break;
        get_scale(quantizer, run, k, (float *)index, (const float *)tokens, 1);
        vt_scale_step step = {
            .k = k, .batch = run->batch, .tokens = index, .f_hat = sum, .next = last ? NULL : next};
        VT_TRY(vt_quantizer_step(quantizer, run, &step, err));
        if (last) break;
        size_t floats = (size_t)(offset[k + 2] - offset[k + 1]) * width;
        kern->copy_rows(kern, inputs + (size_t)(offset[k + 1] - 1) * width, input_stride, next,
                        floats, run->batch, floats);
    }
    vt_arena_rewind(run->arena, mark);
    return VARIANT_OK;
}

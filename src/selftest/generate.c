/* generate.c - greedy generation under each of a file's depth schedules, scale by scale
 * over the KV cache, with classifier-free guidance.
 *
 * Called by selftest.c. A run generates freely first. Where two logits lie closer than arithmetic
 * can tell, another token may win and everything after it differs without fault; then the run is
 * repeated with the reference's tokens fed back, every scale's own choice is compared with them,
 * and only choices at such a near tie may differ. If all choices made from the reference's tokens
 * agree with them, free generation would have given them too. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/loop.h"
#include "io/synth.h"
#include "selftest/parts.h"

/* One run: what goes in, and its results. */
typedef struct run_state {
    vt_selftest *test;
    vt_selftest_model *model;
    vt_schedule schedule;
    int batch;
    int32_t *labels;       /* (B), host */
    const int32_t *forced; /* (B, L), host: fed back instead of the choices; NULL: free */
    /* results, host memory */
    int32_t *tokens; /* (B, L): arg max */
    float *logits;   /* (B, L, V), guided */
    float *margin;   /* (B, L): best minus second */
    /* results, in the arena */
    float *f_hat;   /* (B, s, s, Cvae) */
    float *picture; /* (B, side, side, channels) */
} run_state;

/* Guidance and arg max (first of ties) of one token; cond, uncond (V). */
static void choose_token(run_state *run, size_t at, int k, const float *cond, const float *uncond) {
    const vt_golden_config *config = &run->model->config;
    const int K = config->transformer.scales;
    const size_t vocab = (size_t)config->transformer.codes;
    double t = K > 1 ? config->cfg * (double)k / (double)(K - 1) : 0.0;
    float more = (float)(1.0 + t), less = (float)t, best = -INFINITY, second = -INFINITY;
    float *guided = run->logits + at * vocab;
    size_t winner = 0;
    for (size_t v = 0; v < vocab; ++v) {
        float x = more * cond[v] - less * uncond[v];
        guided[v] = x;
        if (x > best) {
            second = best;
            best = x;
            winner = v;
        } else if (x > second) {
            second = x;
        }
    }
    run->tokens[at] = (int32_t)winner;
    run->margin[at] = best - second;
}

/* vt_choose: the most likely tokens, or the reference's. */
static variant_status choose(void *user, vt_step *step, variant_error *err) {
    run_state *run = user;
    vt_kern *kern = run->test->kern;
    const vt_transformer_config *config = &run->model->config.transformer;
    const size_t vocab = (size_t)step->vocab, count = (size_t)step->rows,
                 length = (size_t)run->model->length;
    const size_t floats = 2 * count * vocab; /* every picture is guided */
    float *host = malloc(floats * sizeof *host);
    int32_t *chosen = malloc(count * sizeof *chosen);
    if (!host || !chosen) {
        free(host);
        free(chosen);
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a run's logits");
    }
    const variant_status status =
        vt_kern_download(kern, host, step->logits, floats * sizeof *host, err);
    for (int i = 0; i < step->count; ++i) {
        const vt_drawing *d = step->drawings[i];
        const size_t rows = (size_t)(config->sides[d->k] * config->sides[d->k]);
        for (size_t r = 0; r < rows; ++r) {
            const size_t at = (size_t)d->index * length + (size_t)d->offset + r;
            choose_token(run, at, d->k, host + ((size_t)d->row + r) * vocab,
                         host + ((size_t)d->uncond_row + r) * vocab);
            chosen[(size_t)d->token_row + r] = run->forced ? run->forced[at] : run->tokens[at];
        }
    }
    kern->upload(kern, step->tokens, chosen, count * sizeof *chosen);
    free(host);
    free(chosen);
    return status;
}

static variant_status run_scales(run_state *run, variant_error *err) {
    const vt_golden_config *config = &run->model->config;
    const int K = config->transformer.scales, s = config->tokenizer.sides[K - 1];
    const size_t latent =
        (size_t)run->batch * (size_t)s * (size_t)s * (size_t)config->tokenizer.latent_dim;
    const vt_loop_parts parts = {.kern = run->test->kern,
                                 .transformer = run->model->transformer,
                                 .tokenizer = run->model->tokenizer,
                                 .kv = run->test->options.kv};
    variant_status status = VARIANT_OK;
    vt_loop loop;
    if (parts.kern->dry) return VARIANT_OK; /* a loop measures its own memory */
    vt_loop_open(&loop, &parts);
    vt_join *joins = malloc((size_t)run->batch * sizeof *joins);
    if (!joins) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a run's pictures"));
    for (int i = 0; i < run->batch; ++i)
        joins[i] = (vt_join){.label = run->labels[i],
                             .schedule = &run->schedule,
                             .scales = K,
                             .uncond = &run->schedule,
                             .uncond_scales = K,
                             .index = i};
    VT_CHECK(vt_loop_join(&loop, joins, run->batch, NULL, err));
    for (int k = 0; k < K; ++k) VT_CHECK(vt_loop_step(&loop, choose, run, err));
    /* those who joined together have their maps side by side */
    parts.kern->copy(parts.kern, run->f_hat, loop.drawings[0]->f_hat, latent);
cleanup:
    free(joins);
    vt_loop_close(&loop);
    return status;
}

/* ---- comparing a run ---- */

/* The reference's tokens when free generation left them at a near tie, else NULL: free() it. */
static variant_status read_forced(const run_state *run, const char *name, int32_t **out,
                                  variant_error *err) {
    *out = NULL;
    const vt_tensor *want = vt_tensor_file_find(run->test->file, NULL, name);
    size_t length = (size_t)run->model->length, count = (size_t)run->batch * length;
    if (!want || want->count != count) return VARIANT_OK;
    int32_t *tokens = malloc(count * sizeof *tokens);
    if (!tokens) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the tokens of \"%s\"", name);
    variant_status status = vt_tensor_to_i32(want, tokens, err);
    bool tie = false, usable = status == VARIANT_OK;
    for (size_t b = 0; b < (size_t)run->batch; ++b) {
        bool left = false;
        for (size_t i = b * length; i < (b + 1) * length && usable; ++i) {
            usable = tokens[i] >= 0 && tokens[i] < run->model->config.transformer.codes;
            if (!left && tokens[i] != run->tokens[i] &&
                (run->margin[i] < VT_TIE_MARGIN || vt_selftest_is_rounded(run->test)))
                tie = true;
            left = left || tokens[i] != run->tokens[i];
        }
    }
    if (!usable || !tie) {
        free(tokens);
        tokens = NULL;
    }
    *out = tokens;
    return status;
}

/* RUN/logits: all of them, or those at RUN/positions. */
static variant_status check_logits(const run_state *run, const char *name, variant_error *err) {
    size_t vocab = (size_t)run->model->config.transformer.codes,
           length = (size_t)run->model->length;
    char positions_name[160], logits_name[160];
    snprintf(positions_name, sizeof positions_name, "%s/positions", name);
    snprintf(logits_name, sizeof logits_name, "%s/logits", name);
    const vt_tensor *positions = vt_tensor_file_find(run->test->file, NULL, positions_name);
    vt_tensor_out got = {
        .name = logits_name,
        .type = VT_F32,
        .rank = 3,
        .shape = {run->batch, run->model->length, run->model->config.transformer.codes},
        .data = run->logits};
    if (!positions) return vt_selftest_check(run->test, &got, VT_FORWARD_TOLERANCE, err);

    size_t count = positions->count;
    if (count > length)
        return vt_fail(err, VARIANT_E_FORMAT, "\"%s\" holds more than there are tokens",
                       positions_name);
    int32_t *at = malloc((count + 1) * sizeof *at);
    float *picked = malloc(((size_t)run->batch * count * vocab + 1) * sizeof *picked);
    variant_status status = VARIANT_OK;
    if (!at || !picked) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for \"%s\"", logits_name);
        goto cleanup;
    }
    VT_CHECK(vt_tensor_to_i32(positions, at, err));
    for (size_t i = 0; i < count; ++i) {
        if (at[i] < 0 || (size_t)at[i] >= length) {
            status = vt_fail(err, VARIANT_E_FORMAT, "\"%s\" names token %d of %zu", positions_name,
                             at[i], length);
            goto cleanup;
        }
        for (size_t b = 0; b < (size_t)run->batch; ++b)
            memcpy(picked + (b * count + i) * vocab,
                   run->logits + (b * length + (size_t)at[i]) * vocab, vocab * sizeof *picked);
    }
    /* positions are an input: which tokens' logits the file holds */
    vt_tensor_out asked = {
        .name = positions_name, .type = VT_I32, .rank = 1, .shape = {(int64_t)count}, .data = at};
    VT_CHECK(vt_selftest_check(run->test, &asked, 0, err));
    got.shape[1] = (int64_t)count;
    got.data = picked;
    VT_CHECK(vt_selftest_check(run->test, &got, VT_FORWARD_TOLERANCE, err));
cleanup:
    free(at);
    free(picked);
    return status;
}

static variant_status check_pictures(const run_state *run, const char *name, variant_error *err) {
    static const struct {
        const char *suffix;
        vt_selftest_map map;
    } forms[] = {{"image", VT_MAP_UNIT}, {"image_u8", VT_MAP_U8}};
    const vt_tokenizer_config *config = &run->model->config.tokenizer;
    char full[160];
    snprintf(full, sizeof full, "%s/f_hat", name);
    vt_selftest_maps maps = {.name = full,
                             .buffer = run->f_hat,
                             .batch = run->batch,
                             .side = config->sides[config->scales - 1],
                             .channels = config->latent_dim};
    VT_TRY(vt_selftest_check_maps(run->test, &maps, err));
    VT_TRY(vt_tokenizer_decode(run->model->tokenizer, &run->model->arena, run->batch, run->f_hat,
                               run->picture, err));
    for (size_t i = 0; i < sizeof forms / sizeof forms[0]; ++i) {
        snprintf(full, sizeof full, "%s/%s", name, forms[i].suffix);
        maps = (vt_selftest_maps){.name = full,
                                  .buffer = run->picture,
                                  .batch = run->batch,
                                  .side = vt_tokenizer_side(config),
                                  .channels = config->channels,
                                  .map = forms[i].map};
        VT_TRY(vt_selftest_check_maps(run->test, &maps, err));
    }
    return VARIANT_OK;
}

static variant_status check_run(run_state *run, const char *name, variant_error *err) {
    char full[160];
    int32_t *forced = NULL;
    VT_TRY(vt_golden_schedule(&run->model->config, name, &run->schedule, err));
    snprintf(full, sizeof full, "%s/tokens", name);
    run->forced = NULL;
    variant_status status = VARIANT_OK;
    VT_CHECK(run_scales(run, err));
    VT_CHECK(read_forced(run, full, &forced, err));
    if (forced) {
        run->forced = forced;
        VT_CHECK(run_scales(run, err));
    }
    vt_tensor_out got = {.name = full,
                         .type = VT_I32,
                         .rank = 2,
                         .shape = {run->batch, run->model->length},
                         .data = run->tokens};
    VT_CHECK(vt_selftest_check_tokens(run->test, &got, forced ? run->margin : NULL, err));
    snprintf(full, sizeof full, "%s/margin", name);
    got.type = VT_F32;
    got.data = run->margin;
    if (!vt_selftest_is_rounded(
            run->test)) /* a difference of logits: what rounding is, not how much */
        VT_CHECK(vt_selftest_check(run->test, &got, VT_FORWARD_TOLERANCE, err));
    VT_CHECK(check_logits(run, name, err));
    VT_CHECK(check_pictures(run, name, err));
cleanup:
    run->forced = NULL;
    free(forced);
    return status;
}

/* ---- the file ---- */

/* The picture behind "encode/": a coarse grid of key SEED/image, every sample enlarged to the
 * pixels of one latent. */
static variant_status check_encode(vt_selftest *test, vt_selftest_model *model,
                                   variant_error *err) {
    int batch = 1;
    if (vt_selftest_find(test, "encode/latent"))
        VT_TRY(vt_selftest_batch(test, "encode/latent", &batch, err));
    const vt_tokenizer_config *config = &model->config.tokenizer;
    size_t side = (size_t)vt_tokenizer_side(config),
           grid = (size_t)config->sides[config->scales - 1];
    size_t zoom = side / grid, planes = (size_t)batch * (size_t)config->channels;
    float *coarse = malloc(planes * grid * grid * sizeof *coarse),
          *fine = malloc(planes * side * side * sizeof *fine);
    float *pictures = NULL;
    variant_status status = VARIANT_OK;
    if (!coarse || !fine) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the picture");
        goto cleanup;
    }
    char key[96];
    snprintf(key, sizeof key, "%s/image", model->config.seed);
    vt_synth_symmetric(coarse, planes * grid * grid, key);
    for (size_t p = 0; p < planes; ++p) {
        for (size_t i = 0; i < side * side; ++i)
            fine[p * side * side + i] =
                coarse[(p * grid + i / side / zoom) * grid + i % side / zoom];
    }
    VT_CHECK(vt_selftest_upload_maps(test, model, fine, batch, (int)side, &pictures, err));
    VT_CHECK(vt_selftest_encode(test, model, "encode/", batch, pictures, err));
cleanup:
    free(coarse);
    free(fine);
    return status;
}

static variant_status run_open(run_state *out, vt_selftest *test, vt_selftest_model *model,
                               int batch, variant_error *err) {
    *out = (run_state){.test = test, .model = model, .batch = batch};
    const vt_tokenizer_config *config = &model->config.tokenizer;
    size_t s = (size_t)config->sides[config->scales - 1], side = (size_t)vt_tokenizer_side(config);
    size_t count = (size_t)batch * (size_t)model->length, n = (size_t)batch;
    out->labels = malloc(n * sizeof *out->labels);
    out->tokens = malloc(count * sizeof *out->tokens);
    out->margin = malloc(count * sizeof *out->margin);
    out->logits = malloc(count * (size_t)config->codes * sizeof *out->logits);
    if (!out->labels || !out->tokens || !out->margin || !out->logits)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a run's results");
    VT_TRY(vt_golden_labels(&model->config, batch, out->labels, err));
    out->f_hat = vt_arena_floats(&model->arena, n * s * s * (size_t)config->latent_dim);
    out->picture = vt_arena_floats(&model->arena, n * side * side * (size_t)config->channels);
    return vt_arena_check(&model->arena, "a run's results", err);
}

static void run_close(run_state *run) {
    free(run->labels);
    free(run->tokens);
    free(run->margin);
    free(run->logits);
}

variant_status vt_selftest_generate(vt_selftest *test, variant_error *err) {
    static const char *const kinds[] = {"tokens", "margin", "positions",      "logits",    "f_hat",
                                        "image",  "latent", "reconstruction", "var_input", NULL};
    vt_selftest_model model;
    VT_TRY(vt_selftest_model_open(&model, test, true, false, err));
    run_state run = {0};
    variant_status status = VARIANT_OK;
    const char *cfg = vt_tensor_file_meta(test->file, "cfg");
    if (cfg && *cfg) model.config.cfg = strtod(cfg, NULL);
    char name[64];
    int batch = 0, count = vt_tensor_file_count(test->file);
    for (int i = 0; i < count; ++i) {
        if (!vt_selftest_is_run(test, i, kinds, name, sizeof name)) continue;
        if (strcmp(name, "encode") == 0) {
            VT_CHECK(check_encode(test, &model, err));
            continue;
        }
        if (batch == 0) {
            char tokens[96];
            snprintf(tokens, sizeof tokens, "%s/tokens", name);
            VT_CHECK(vt_selftest_batch(test, tokens, &batch, err));
            VT_CHECK(run_open(&run, test, &model, batch, err));
            vt_tensor_out labels = {
                .name = "labels", .type = VT_I32, .rank = 1, .shape = {batch}, .data = run.labels};
            VT_CHECK(vt_selftest_check(test, &labels, 0, err));
        }
        VT_CHECK(check_run(&run, name, err));
    }
cleanup:
    run_close(&run);
    vt_selftest_model_close(&model, test);
    return status;
}

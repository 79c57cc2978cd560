/* test_tokenizer.c - the tokenizer against the reference vectors (both backends), against itself
 * (steps, batches, finite differences), and against configurations that make no sense. */
#include <limits.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "io/synth.h"
#include "tokenizer/parts.h"

#define ARENA_BYTES ((size_t)1 << 31)

typedef struct bench {
    vt_kern *kern;
    void *memory;
    vt_arena arena;
    vt_tokenizer *tokenizer;
    vt_tokenizer_config config;
    char seed[16];
} bench;

static void need(variant_status status, const variant_error *error) {
    if (status != VARIANT_OK) fail_msg("%s", error->message);
}

static void bench_open(bench *b, const char *backend, const vt_tokenizer_config *config) {
    variant_error error;
    b->config = *config;
    need(vt_kern_open(&b->kern, backend, 2, &error), &error);
    need(b->kern->memory_reserve(b->kern, ARENA_BYTES, &b->memory, &error), &error);
    vt_arena_init(&b->arena, b->memory, ARENA_BYTES);
    need(vt_tokenizer_open(&b->tokenizer, b->kern, config, &error), &error);
}

static void bench_close(bench *b) {
    vt_tokenizer_close(&b->tokenizer);
    assert_null(b->tokenizer);
    b->kern->memory_release(b->kern, b->memory, ARENA_BYTES);
    vt_kern_close(&b->kern);
}

/* ---- golden vectors ---- */

static int json_ints(const cJSON *array, int *out) {
    int count = 0;
    const cJSON *item;
    cJSON_ArrayForEach(item, array) out[count++] = item->valueint;
    return count;
}

static void golden_config(const vt_tensor_file *file, vt_tokenizer_config *config, char seed[16]) {
    const char *text = vt_tensor_file_meta(file, "config");
    assert_non_null(text);
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    *config = (vt_tokenizer_config){.channels = 3};
    config->base_width = cJSON_GetObjectItem(json, "ch")->valueint;
    config->levels = json_ints(cJSON_GetObjectItem(json, "ch_mult"), config->mult);
    config->blocks = cJSON_GetObjectItem(json, "nres")->valueint;
    config->codes = cJSON_GetObjectItem(json, "V")->valueint;
    config->latent_dim = cJSON_GetObjectItem(json, "Cvae")->valueint;
    config->scales = json_ints(cJSON_GetObjectItem(json, "patch_nums"), config->sides);
    snprintf(seed, 16, "%s", cJSON_GetObjectItem(json, "seed")->valuestring);
    cJSON_Delete(json);
}

/* (n, c, pixels) -> (n, pixels, c), and back. */
static float *to_nhwc(const float *in, size_t n, size_t c, size_t pixels) {
    float *out = malloc(n * c * pixels * sizeof *out);
    for (size_t i = 0; i < n; ++i)
        for (size_t j = 0; j < c; ++j)
            for (size_t p = 0; p < pixels; ++p)
                out[(i * pixels + p) * c + j] = in[(i * c + j) * pixels + p];
    return out;
}

static double l2(const float *a, const float *b, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        double d = (double)a[i] - (b ? (double)b[i] : 0.0);
        sum += d * d;
    }
    return sqrt(sum);
}

static double worst; /* of all comparisons of a test, as a share of what is allowed */

static void compare(const char *what, const float *got, const float *want, size_t n,
                    double tolerance) {
    double distance = l2(got, want, n), allowed = tolerance * l2(want, NULL, n) + 1e-6;
    if (distance / allowed > worst) worst = distance / allowed;
    if (!(distance <= allowed))
        fail_msg("%s: off by %g in L2, allowed %g", what, distance, allowed);
}

static void compare_number(const char *what, double got, double want, double tolerance) {
    double allowed = tolerance * fabs(want) + 1e-6;
    if (fabs(got - want) / allowed > worst) worst = fabs(got - want) / allowed;
    if (!(fabs(got - want) <= allowed)) fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

/* A golden tensor (n, c, h, w) against NHWC floats. */
static void compare_picture(const vt_tensor_file *file, const char *name, const float *got,
                            double tolerance) {
    const vt_tensor *t = vt_tensor_file_find(file, NULL, name);
    assert_non_null(t);
    assert_int_equal(t->rank, 4);
    float *want = to_nhwc(t->data, (size_t)t->shape[0], (size_t)t->shape[1],
                          (size_t)(t->shape[2] * t->shape[3]));
    compare(name, got, want, t->count, tolerance);
    free(want);
}

static float *download(bench *b, const float *from, size_t n) {
    float *out = malloc(n * sizeof *out);
    b->kern->download(b->kern, out, from, n * sizeof *out);
    return out;
}

static float *picture_of(bench *b, int batch) {
    char key[32];
    size_t side = (size_t)vt_tokenizer_side(&b->config), c = (size_t)b->config.channels;
    size_t n = (size_t)batch * side * side * c;
    float *s = malloc(n * sizeof *s), *backend = vt_arena_floats(&b->arena, n);
    snprintf(key, sizeof key, "%s/image", b->seed);
    vt_synth_symmetric(s, n, key);
    float *nhwc = to_nhwc(s, (size_t)batch, c, side * side);
    b->kern->upload(b->kern, backend, nhwc, n * sizeof *s);
    free(s);
    free(nhwc);
    return backend;
}

static void check_inference(bench *b, const vt_tensor_file *file, const float *picture) {
    variant_error error;
    const vt_tokenizer_config *c = &b->config;
    size_t s = (size_t)c->sides[c->scales - 1], width = (size_t)c->latent_dim,
           n = 2 * s * s * width;
    size_t tokens = (size_t)vt_tokenizer_tokens(c), side = (size_t)vt_tokenizer_side(c),
           pixels = 2 * side * side * 3;
    float *latent = vt_arena_floats(&b->arena, n),
          *f_hats = vt_arena_floats(&b->arena, (size_t)c->scales * n);
    float *rec = vt_arena_floats(&b->arena, pixels),
          *inputs = vt_arena_floats(&b->arena, 2 * (tokens - 1) * width);
    float *f_hat = vt_arena_floats(&b->arena, n), *next = vt_arena_floats(&b->arena, n);
    int32_t *index = vt_arena_ints(&b->arena, 2 * tokens),
            *scale = vt_arena_ints(&b->arena, 2 * tokens);
    size_t mark = vt_arena_mark(&b->arena);

    need(vt_tokenizer_encode(b->tokenizer, &b->arena, 2, picture, latent, &error), &error);
    float *host = download(b, latent, n);
    compare_picture(file, "latent", host, 1e-5);
    free(host);

    need(vt_tokenizer_quantize(b->tokenizer, &b->arena, 2, latent, index, f_hats, &error), &error);
    const vt_tensor *want = vt_tensor_file_find(file, NULL, "tokens");
    assert_non_null(want);
    assert_int_equal(want->count, 2 * tokens);
    int32_t *got = malloc(2 * tokens * sizeof *got);
    b->kern->download(b->kern, got, index, 2 * tokens * sizeof *got);
    assert_memory_equal(got, want->data, 2 * tokens * sizeof *got);
    for (int k = 0; k < c->scales; ++k) {
        char name[32];
        snprintf(name, sizeof name, "f_hat/%d", k);
        host = download(b, f_hats + (size_t)k * n, n);
        compare_picture(file, name, host, 1e-5);
        free(host);
    }

    need(vt_tokenizer_decode(b->tokenizer, &b->arena, 2, f_hats + (size_t)(c->scales - 1) * n, rec,
                             &error),
         &error);
    b->kern->clamp(b->kern, rec, rec, -1.0f, 1.0f, pixels);
    host = download(b, rec, pixels);
    compare_picture(file, "reconstruction", host, 1e-5);
    free(host);

    need(vt_tokenizer_inputs(b->tokenizer, &b->arena, 2, index, inputs, f_hat, &error), &error);
    host = download(b, inputs, 2 * (tokens - 1) * width);
    want = vt_tensor_file_find(file, NULL, "var_input");
    assert_non_null(want);
    assert_int_equal(want->count, 2 * (tokens - 1) * width);
    compare("var_input", host, want->data, want->count, 1e-5);
    free(host);

    /* the same f_hat and inputs, a step at a time */
    const float *last = f_hats + (size_t)(c->scales - 1) * n;
    vt_kern_fill(b->kern, f_hat, 0.0f, n);
    size_t first = 0;
    for (int k = 0; k < c->scales; ++k) {
        size_t count = (size_t)(c->sides[k] * c->sides[k]);
        for (size_t p = 0; p < 2; ++p)
            b->kern->upload(b->kern, scale + p * count, got + p * tokens + first,
                            count * sizeof *got);
        vt_scale_step step = {.k = k, .batch = 2, .tokens = scale, .f_hat = f_hat, .next = next};
        need(vt_tokenizer_step(b->tokenizer, &b->arena, &step, &error), &error);
        first += count;
        if (k + 1 == c->scales) break;
        size_t m = (size_t)(c->sides[k + 1] * c->sides[k + 1]) * width;
        float *a = download(b, next, 2 * m), *whole = download(b, inputs, 2 * (tokens - 1) * width);
        for (size_t p = 0; p < 2; ++p)
            for (size_t i = 0; i < m; ++i)
                assert_true(a[p * m + i] == whole[(p * (tokens - 1) + first - 1) * width + i]);
        free(a);
        free(whole);
    }
    float *a = download(b, f_hat, n), *z = download(b, last, n);
    for (size_t i = 0; i < n; ++i) assert_true(a[i] == z[i]);
    free(a);
    free(z);
    free(got);
    assert_int_equal(b->arena.used, mark); /* all temporaries are back */
}

static void check_training(bench *b, const vt_tensor_file *file, const float *picture) {
    variant_error error;
    vt_params *params = vt_tokenizer_params(b->tokenizer);
    need(vt_params_train(params, &error), &error);
    vt_tokenizer_pass pass = {.batch = 2, .pictures = picture};
    need(vt_tokenizer_forward(b->tokenizer, &b->arena, &pass, &error), &error);
    compare_number("train/mse", pass.mse,
                   *(const double *)vt_tensor_file_find(file, NULL, "train/mse")->data, 1e-5);
    compare_number("train/vq_loss", pass.vq_loss,
                   *(const double *)vt_tensor_file_find(file, NULL, "train/vq_loss")->data, 1e-5);
    size_t mark = vt_arena_mark(&b->arena);
    need(vt_tokenizer_backward(b->tokenizer, &b->arena, &pass, 1.0f, &error), &error);
    assert_int_equal(b->arena.used, mark);
    assert_int_equal(vt_tokenizer_backward(b->tokenizer, &b->arena, &pass, 1.0f, &error),
                     VARIANT_E_ARGUMENT);

    int norms = 0, grads = 0;
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *t = vt_tensor_file_at(file, i);
        bool norm = strncmp(t->name, "train/norm/", 11) == 0,
             grad = strncmp(t->name, "train/grad/", 11) == 0;
        if (!norm && !grad) continue;
        vt_param *param = vt_params_find(params, t->name + 11);
        if (!param) fail_msg("no parameter %s", t->name + 11);
        float *values = malloc(param->count * sizeof *values);
        need(vt_param_download(params, param, param->grad, values, &error), &error);
        if (norm)
            compare_number(t->name, l2(values, NULL, param->count), *(const double *)t->data, 1e-4);
        if (grad) {
            assert_int_equal(t->count, param->count);
            compare(t->name, values, t->data, t->count, 1e-4);
        }
        norms += norm;
        grads += grad;
        free(values);
    }
    assert_true(norms > 100);
    assert_true(grads >= 9);
}

static void golden(const char *model, const char *backend) {
    variant_error error;
    char path[512];
    bench b;
    vt_tensor_file *file = NULL;
    vt_tokenizer_config config;
    snprintf(path, sizeof path, "%s/golden/%s/tokenizer.safetensors", VARIANT_TEST_DIR, model);
    need(vt_tensor_file_open(&file, path, &error), &error);
    golden_config(file, &config, b.seed);
    bench_open(&b, backend, &config);
    assert_int_equal(vt_tokenizer_encode(b.tokenizer, &b.arena, 2, b.memory, b.memory, &error),
                     VARIANT_E_ARGUMENT);
    need(vt_params_synthesize(vt_tokenizer_params(b.tokenizer), b.seed, "vae", &error), &error);
    need(vt_params_prepare(vt_tokenizer_params(b.tokenizer), &error), &error);
    const float *picture = picture_of(&b, 2);
    worst = 0.0;
    check_inference(&b, file, picture);
    double forward = worst;
    worst = 0.0;
    check_training(&b, file, picture);
    print_message(
        "%s on %s: worst difference %.3f of what is allowed in inference, %.3f in training\n",
        model, b.kern->name, forward, worst);
    bench_close(&b);
    vt_tensor_file_close(&file);
}

static void test_golden_a_ref(void **state) {
    (void)state;
    golden("A", "ref");
}
static void test_golden_a_cpu(void **state) {
    (void)state;
    golden("A", "cpu");
}
static void test_golden_b_ref(void **state) {
    (void)state;
    golden("B", "ref");
}
static void test_golden_b_cpu(void **state) {
    (void)state;
    golden("B", "cpu");
}

/* ---- bf16 products ---- */

/* Encoder, then decoder, of a golden model with everything given: inputs and gradients of outputs are
 * the same for every backend and type. (Not the whole pass: a near codeword chosen instead of another
 * makes another loss.) All gradients, one after another, in `out`. */
static size_t chain_gradients(const char *model, const char *backend, vt_number type, float **out) {
    variant_error error;
    char path[512];
    bench b;
    vt_tensor_file *file = NULL;
    vt_tokenizer_config config;
    snprintf(path, sizeof path, "%s/golden/%s/tokenizer.safetensors", VARIANT_TEST_DIR, model);
    need(vt_tensor_file_open(&file, path, &error), &error);
    golden_config(file, &config, b.seed);
    vt_tensor_file_close(&file);
    bench_open(&b, backend, &config);
    vt_params *params = vt_tokenizer_params(b.tokenizer);
    vt_params_set_type(params, type, true);
    need(vt_params_synthesize(params, b.seed, "vae", &error), &error);
    need(vt_params_prepare(params, &error), &error);
    need(vt_params_train(params, &error), &error);
    vt_picture_run run = {.kern = b.kern, .arena = &b.arena, .batch = 2, .training = true};
    int side = vt_tokenizer_side(&config), small = config.sides[config.scales - 1];
    size_t pixels = vt_picture_floats(&run, side, config.channels);
    size_t latents = vt_picture_floats(&run, small, config.latent_dim);
    float *picture = (float *)picture_of(&b, 2);
    float *latent = vt_arena_floats(&b.arena, latents), *given = vt_arena_floats(&b.arena, latents);
    float *drawn = vt_arena_floats(&b.arena, pixels), *dgiven = vt_arena_floats(&b.arena, latents);
    vt_synth_symmetric(given, latents, "chain");
    need(vt_picture_chain_forward(&b.tokenizer->encoder, &run, picture, latent, &error), &error);
    need(vt_picture_chain_forward(&b.tokenizer->decoder, &run, given, drawn, &error), &error);
    float *dpicture = vt_arena_floats(&b.arena, pixels),
          *dlatent = vt_arena_floats(&b.arena, latents);
    vt_synth_symmetric(dpicture, pixels, "dpicture");
    vt_synth_symmetric(dlatent, latents, "dlatent");
    need(vt_picture_chain_backward(&b.tokenizer->decoder, &run, dpicture, dgiven, &error), &error);
    need(vt_picture_chain_backward(&b.tokenizer->encoder, &run, dlatent, NULL, &error), &error);
    size_t count = latents;
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->grad) count += params->items[i]->count;
    *out = malloc(count * sizeof **out);
    memcpy(*out, dgiven, latents * sizeof **out);
    size_t at = latents;
    for (int i = 0; i < params->count; ++i) {
        if (!params->items[i]->grad) continue;
        memcpy(*out + at, params->items[i]->grad, params->items[i]->count * sizeof **out);
        at += params->items[i]->count;
    }
    bench_close(&b);
    return count;
}

/* Rounding costs what it may; and both backends round the same numbers. */
static void test_bf16(void **state) {
    (void)state;
    static const char *const models[] = {"A", "B"};
    for (int i = 0; i < 2; ++i) {
        float *exact, *plain, *fast;
        size_t n = chain_gradients(models[i], "cpu", VT_NUMBER_F32, &exact);
        assert_int_equal(n, chain_gradients(models[i], "ref", VT_NUMBER_BF16, &plain));
        assert_int_equal(n, chain_gradients(models[i], "cpu", VT_NUMBER_BF16, &fast));
        double size = l2(exact, NULL, n), rounding = l2(plain, exact, n) / size;
        double between = l2(fast, plain, n) / size;
        print_message("%s in bf16: gradients off by %.2g, backends apart by %.2g\n", models[i],
                      rounding, between);
        assert_true(rounding > 1e-5); /* or it was float32 after all */
        assert_true(rounding < 5e-2);
        assert_true(between < 0.7 * rounding);
        free(exact);
        free(plain);
        free(fast);
    }
}

/* ---- properties ---- */

static const vt_tokenizer_config grey = {.channels = 1,
                                         .base_width = 32,
                                         .levels = 2,
                                         .mult = {1, 2},
                                         .blocks = 1,
                                         .codes = 40,
                                         .latent_dim = 6,
                                         .scales = 3,
                                         .sides = {1, 2, 4}};

static void grey_open(bench *b, const char *backend, uint64_t seed) {
    variant_error error;
    bench_open(b, backend, &grey);
    snprintf(b->seed, sizeof b->seed, "grey");
    need(vt_tokenizer_initialise(b->tokenizer, seed, &error), &error);
    need(vt_params_prepare(vt_tokenizer_params(b->tokenizer), &error), &error);
}

/* A picture's results do not depend on its neighbours in the batch. */
static void test_batch(void **state) {
    (void)state;
    variant_error error;
    bench b;
    grey_open(&b, "cpu", 3);
    size_t side = (size_t)vt_tokenizer_side(&grey), pixels = side * side, n = 16 * 6,
           tokens = (size_t)vt_tokenizer_tokens(&grey);
    const int batch = 3;
    float *picture = picture_of(&b, batch), *latent[2], *rec[2];
    int32_t *index[2];
    for (int i = 0; i < 2; ++i) {
        latent[i] = vt_arena_floats(&b.arena, (size_t)batch * n);
        rec[i] = vt_arena_floats(&b.arena, (size_t)batch * pixels);
        index[i] = vt_arena_ints(&b.arena, (size_t)batch * tokens);
        int step = i == 0 ? batch : 1;
        for (int p = 0; p < batch; p += step) {
            size_t at = (size_t)p;
            need(vt_tokenizer_encode(b.tokenizer, &b.arena, step, picture + at * pixels,
                                     latent[i] + at * n, &error),
                 &error);
            need(vt_tokenizer_quantize(b.tokenizer, &b.arena, step, latent[i] + at * n,
                                       index[i] + at * tokens, NULL, &error),
                 &error);
            need(vt_tokenizer_decode(b.tokenizer, &b.arena, step, latent[i] + at * n,
                                     rec[i] + at * pixels, &error),
                 &error);
        }
    }
    assert_memory_equal(latent[0], latent[1], (size_t)batch * n * sizeof(float));
    assert_memory_equal(rec[0], rec[1], (size_t)batch * pixels * sizeof(float));
    assert_memory_equal(index[0], index[1], (size_t)batch * tokens * sizeof(int32_t));
    bench_close(&b);
}

/* Loss as a function of the parameters, while tokens do not change: mse reaches the decoder and vq
 * the codebook and phi. */
static void loss_of(bench *b, const float *picture, double *mse, double *vq, int32_t *tokens) {
    variant_error error;
    size_t mark = vt_arena_mark(&b->arena);
    vt_tokenizer_pass pass = {.batch = 2, .pictures = picture};
    need(vt_tokenizer_forward(b->tokenizer, &b->arena, &pass, &error), &error);
    *mse = pass.mse;
    *vq = pass.vq_loss;
    b->kern->download(b->kern, tokens, pass.tokens, 42 * sizeof *tokens);
    vt_arena_rewind(&b->arena, mark);
}

static void check_difference(bench *b, const float *picture, const char *name, bool vq) {
    variant_error error;
    vt_params *params = vt_tokenizer_params(b->tokenizer);
    vt_param *param = vt_params_find(params, name);
    assert_non_null(param);
    size_t n = param->count;
    float *value = malloc(n * sizeof *value), *grad = malloc(n * sizeof *grad),
          *moved = malloc(n * sizeof *moved);
    need(vt_param_download(params, param, param->value, value, &error), &error);
    need(vt_param_download(params, param, param->grad, grad, &error), &error);
    double norm = l2(grad, NULL, n), loss[2][2];
    assert_true(norm > 1e-6);
    int32_t tokens[2][42];
    float length = 1e-2f;
    for (int sign = 0; sign < 2;
         ++sign) { /* along the gradient itself: the steepest, so the least rounding */
        for (size_t i = 0; i < n; ++i)
            moved[i] = value[i] + (sign ? -length : length) * (float)(grad[i] / norm);
        need(vt_param_upload(params, param, moved, param->value, &error), &error);
        vt_params_refresh(params);
        loss_of(b, picture, &loss[sign][0], &loss[sign][1], tokens[sign]);
    }
    need(vt_param_upload(params, param, value, param->value, &error), &error);
    vt_params_refresh(params);
    assert_memory_equal(tokens[0], tokens[1], sizeof tokens[0]);
    /* of vq_loss, 1.25 mse, only the unit term is meant for codebook and phi */
    double slope = (loss[0][vq] - loss[1][vq]) / (2.0 * (double)length) / (vq ? 1.25 : 1.0);
    if (fabs(slope - norm) > 0.02 * norm)
        fail_msg("%s: slope %g, gradient's norm %g", name, slope, norm);
    free(value);
    free(grad);
    free(moved);
}

static void test_finite_differences(void **state) {
    (void)state;
    variant_error error;
    bench b;
    grey_open(&b, "cpu", 5);
    const float *picture = picture_of(&b, 2);
    vt_params *params = vt_tokenizer_params(b.tokenizer);
    need(vt_params_train(params, &error), &error);
    size_t mark = vt_arena_mark(&b.arena);
    vt_tokenizer_pass pass = {.batch = 2, .pictures = picture};
    need(vt_tokenizer_forward(b.tokenizer, &b.arena, &pass, &error), &error);
    need(vt_tokenizer_backward(b.tokenizer, &b.arena, &pass, 1.0f, &error), &error);
    vt_arena_rewind(&b.arena, mark);
    check_difference(&b, picture, "decoder.conv_out.weight", false);
    check_difference(&b, picture, "decoder.up.0.block.0.conv1.weight", false);
    check_difference(&b, picture, "decoder.up.0.block.0.nin_shortcut.weight", false);
    check_difference(&b, picture, "decoder.up.1.upsample.conv.weight", false);
    check_difference(&b, picture, "decoder.up.1.attn.0.proj_out.weight", false);
    check_difference(&b, picture, "decoder.mid.block_1.norm1.weight", false);
    check_difference(&b, picture, "post_quant_conv.weight", false);
    check_difference(&b, picture, "quantize.quant_resi.qresi_ls.3.weight", true);
    bench_close(&b);
}

/* Gradient of weight * vq alone: twice the weight, twice the codebook's gradient, none of the
 * decoder's. */
static void test_weight(void **state) {
    (void)state;
    variant_error error;
    bench b;
    grey_open(&b, "cpu", 5);
    const float *picture = picture_of(&b, 2);
    vt_params *params = vt_tokenizer_params(b.tokenizer);
    need(vt_params_train(params, &error), &error);
    vt_param *codebook = vt_params_find(params, "quantize.embedding.weight"),
             *decoder = vt_params_find(params, "decoder.conv_in.weight");
    double norm[2][2];
    for (int i = 0; i < 2; ++i) {
        vt_params_zero_grad(params);
        size_t mark = vt_arena_mark(&b.arena);
        vt_tokenizer_pass pass = {.batch = 2, .pictures = picture};
        need(vt_tokenizer_forward(b.tokenizer, &b.arena, &pass, &error), &error);
        need(vt_tokenizer_backward(b.tokenizer, &b.arena, &pass, i ? 2.0f : 1.0f, &error), &error);
        vt_arena_rewind(&b.arena, mark);
        const vt_floats grads[] = {{codebook->grad, codebook->count},
                                   {decoder->grad, decoder->count}};
        b.kern->sum_squares(b.kern, norm[i], grads, 2);
        for (int j = 0; j < 2; ++j) norm[i][j] = sqrt(norm[i][j]);
    }
    assert_true(norm[0][0] > 1e-6);
    assert_true(fabs(norm[1][0] - 2.0 * norm[0][0]) <= 1e-5 * norm[1][0]);
    assert_true(norm[0][1] > 1e-6);
    assert_true(fabs(norm[1][1] - norm[0][1]) <= 1e-6 * norm[0][1]);
    bench_close(&b);
}

/* ---- configurations ---- */

static void expect_refused(vt_tokenizer_config config, const char *word) {
    variant_error error;
    assert_int_equal(vt_tokenizer_config_check(&config, &error), VARIANT_E_ARGUMENT);
    if (!strstr(error.message, word)) fail_msg("\"%s\" does not speak of %s", error.message, word);
}

static void test_refusals(void **state) {
    (void)state;
    variant_error error;
    assert_int_equal(vt_tokenizer_config_check(&grey, &error), VARIANT_OK);
    vt_tokenizer_config c;
#define REFUSED(field, value, word) (c = grey, c.field = (value), expect_refused(c, word))
    REFUSED(channels, 2, "channels");
    REFUSED(channels, 0, "channels");
    REFUSED(base_width, 0, "width");
    REFUSED(base_width, -32, "width");
    REFUSED(base_width, 48, "multiple of 32");
    REFUSED(base_width, 1 << 30, "width");
    REFUSED(levels, 0, "levels");
    REFUSED(levels, VT_MAX_LEVELS + 1, "levels");
    REFUSED(mult[1], 0, "level 1");
    REFUSED(mult[1], INT_MAX, "level 1");
    REFUSED(blocks, 0, "blocks");
    REFUSED(blocks, INT_MAX, "blocks");
    REFUSED(codes, 0, "codes");
    REFUSED(codes, (1 << 20) + 1, "codes");
    REFUSED(latent_dim, 0, "latent");
    REFUSED(latent_dim, 4097, "latent");
    REFUSED(scales, 0, "scales");
    REFUSED(scales, VT_MAX_SCALES + 1, "scales");
    REFUSED(sides[0], 0, "scale 0");
    REFUSED(sides[1], 1, "increasing");
    REFUSED(sides[2], 129, "scale 2");
    REFUSED(sides[2], INT_MAX, "scale 2");
#undef REFUSED
    c = grey;
    c.levels = 7;
    for (int i = 0; i < 7; ++i) c.mult[i] = 1;
    c.sides[2] = 128;
    expect_refused(c, "picture side");

    bench b;
    grey_open(&b, "cpu", 1);
    assert_int_equal(vt_tokenizer_encode(b.tokenizer, &b.arena, 0, b.memory, b.memory, &error),
                     VARIANT_E_ARGUMENT);
    assert_int_equal(
        vt_tokenizer_encode(b.tokenizer, &b.arena, INT_MAX, b.memory, b.memory, &error),
        VARIANT_E_ARGUMENT);
    vt_scale_step step = {.k = 3, .batch = 1, .embeddings = b.memory, .f_hat = b.memory};
    assert_int_equal(vt_tokenizer_step(b.tokenizer, &b.arena, &step, &error), VARIANT_E_ARGUMENT);
    /* an arena that is too small is a refusal, not a crash, wherever it ends */
    size_t pixels = (size_t)vt_tokenizer_side(&grey) * (size_t)vt_tokenizer_side(&grey);
    need(vt_params_train(vt_tokenizer_params(b.tokenizer), &error), &error);
    int refused = 0;
    for (size_t bytes = 1024; bytes <= (size_t)64 << 20; bytes += bytes / 3) {
        vt_arena small;
        float *picture = b.memory;
        vt_arena_init(&small, (char *)b.memory + 2 * pixels * sizeof(float), bytes);
        vt_tokenizer_pass pass = {.batch = 2, .pictures = picture};
        variant_status status = vt_tokenizer_forward(b.tokenizer, &small, &pass, &error);
        if (status == VARIANT_OK)
            status = vt_tokenizer_backward(b.tokenizer, &small, &pass, 1.0f, &error);
        if (status != VARIANT_OK) assert_int_equal(status, VARIANT_E_MEMORY);
        refused += status != VARIANT_OK;
    }
    assert_true(refused > 10);
    bench_close(&b);
}

/* What a file's names and shapes tell is what wrote it. */
static void write_model(const char *path, bench *b, int skip) {
    variant_error error;
    vt_params *params = vt_tokenizer_params(b->tokenizer);
    vt_tensor_out *out = calloc((size_t)params->count, sizeof *out);
    int count = 0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (i == skip || (param->flags & VT_PARAM_BUFFER)) continue;
        float *values = malloc(param->count * sizeof *values);
        need(vt_param_download(params, param, param->value, values, &error), &error);
        out[count] = (vt_tensor_out){
            .name = param->name, .type = VT_F32, .rank = param->rank, .data = values};
        for (int d = 0; d < param->rank; ++d) out[count].shape[d] = param->shape[d];
        ++count;
    }
    need(vt_safetensors_write(path, out, count, NULL, NULL, 0, &error), &error);
    for (int i = 0; i < count; ++i) free((void *)out[i].data);
    free(out);
}

static void test_infer(void **state) {
    (void)state;
    variant_error error;
    bench b;
    char path[] = "/tmp/variant-tokenizer-XXXXXX";
    int handle = mkstemp(path);
    assert_true(handle >= 0);
    grey_open(&b, "cpu", 9);
    vt_tensor_file *file = NULL;
    vt_tokenizer_config config = {.scales = grey.scales};
    memcpy(config.sides, grey.sides, sizeof config.sides);

    write_model(path, &b, -1);
    need(vt_tensor_file_open(&file, path, &error), &error);
    need(vt_tokenizer_config_infer(&config, file, NULL, &error), &error);
    assert_memory_equal(&config, &grey, sizeof grey);
    vt_tensor_file_close(&file);

    write_model(path, &b, 0); /* without encoder.conv_in.weight */
    need(vt_tensor_file_open(&file, path, &error), &error);
    assert_int_equal(vt_tokenizer_config_infer(&config, file, NULL, &error), VARIANT_E_MODEL);
    assert_non_null(strstr(error.message, "encoder.conv_in.weight"));
    vt_tensor_file_close(&file);
    remove(path);
    bench_close(&b);
}

static void test_phi_index(void **state) {
    (void)state;
    static const int published[10] = {0, 0, 1, 1, 1, 2, 2, 3, 3, 3};
    for (int k = 0; k < 10; ++k) assert_int_equal(vt_phi_index(k, 10), published[k]);
    assert_int_equal(vt_phi_index(0, 1), 3);
    assert_int_equal(vt_phi_index(0, 2), 0);
    assert_int_equal(vt_phi_index(1, 2), 3);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_phi_index),
        cmocka_unit_test(test_refusals),
        cmocka_unit_test(test_golden_a_ref),
        cmocka_unit_test(test_golden_a_cpu),
        cmocka_unit_test(test_golden_b_ref),
        cmocka_unit_test(test_golden_b_cpu),
        cmocka_unit_test(test_bf16),
        cmocka_unit_test(test_batch),
        cmocka_unit_test(test_finite_differences),
        cmocka_unit_test(test_weight),
        cmocka_unit_test(test_infer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

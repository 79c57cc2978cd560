/* test_preview.c - the preview decoder: shape, gradients, its place in a model's file, and requests that use it. */
#include <math.h>

#include "core/arena.h"
#include "engine/engine.h"
#include "fixtures.h"
#include "io/synth.h"
#include "kern/memory_pool.h"

#define ARENA_BYTES ((size_t)1 << 28)

static char folder[64];

static const char *in_folder(const char *name) {
    static char paths[4][128];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- shape ---- */

static void sizes_follow_the_decoder(void **state) {
    (void)state;
    const vt_tokenizer_config published = {
        .channels = 3, .base_width = 160, .levels = 5, .mult = {1, 1, 2, 2, 4}};
    static const struct {
        const char *size;
        int widths[5];
    } cases[] = {{"tiny", {32, 32, 64, 64, 96}},
                 {"small", {64, 64, 96, 96, 160}},
                 {"medium", {96, 96, 160, 160, 320}}};
    vt_preview_config config;
    for (int i = 0; i < 3; ++i) {
        assert_ok(vt_preview_config_choose(&config, &published, cases[i].size, err));
        assert_int_equal(config.levels, 5);
        assert_memory_equal(config.widths, cases[i].widths, sizeof cases[i].widths);
        assert_ok(vt_preview_config_check(&config, &published, VARIANT_E_ARGUMENT, err));
    }
    assert_fails(vt_preview_config_choose(&config, &published, "huge", err), VARIANT_E_ARGUMENT,
                 "expected tiny, small or medium");
    config.widths[1] = 40;
    assert_fails(vt_preview_config_check(&config, &published, VARIANT_E_MODEL, err),
                 VARIANT_E_MODEL, "width 40 of level 1");
    config.levels = 4;
    assert_fails(vt_preview_config_check(&config, &published, VARIANT_E_MODEL, err),
                 VARIANT_E_MODEL, "4 levels, its tokenizer has 5");
}

/* ---- passes ---- */

typedef struct bench {
    vt_kern *kern;
    void *memory;
    vt_arena arena;
    vt_tokenizer_config of;
    vt_preview *preview;
    size_t map, picture; /* floats of one */
} bench;

static void bench_open(bench *b, const char *backend, int threads) {
    vt_preview_config config;
    b->of = tokenizer_config('B');
    assert_ok(vt_kern_open(&b->kern, backend, threads, err));
    assert_ok(b->kern->memory_reserve(b->kern, ARENA_BYTES, &b->memory, err));
    vt_arena_init(&b->arena, b->memory, ARENA_BYTES);
    assert_ok(vt_preview_config_choose(&config, &b->of, "small", err));
    assert_ok(vt_preview_open(&b->preview, b->kern, &b->of, &config, err));
    const size_t last = (size_t)b->of.sides[b->of.scales - 1],
                 side = (size_t)vt_tokenizer_side(&b->of);
    b->map = last * last * (size_t)b->of.latent_dim;
    b->picture = side * side * (size_t)b->of.channels;
}

static void bench_close(bench *b) {
    vt_preview_close(&b->preview);
    assert_null(b->preview);
    b->kern->memory_release(b->kern, b->memory, ARENA_BYTES);
    vt_kern_close(&b->kern);
}

static void needs_values(void **state) {
    (void)state;
    bench b;
    bench_open(&b, "ref", 1);
    float *f_hat = vt_arena_floats(&b.arena, b.map), *out = vt_arena_floats(&b.arena, b.picture);
    assert_fails(vt_preview_decode(b.preview, &b.arena, 1, f_hat, out, err), VARIANT_E_ARGUMENT,
                 "no values yet");
    assert_ok(vt_preview_initialise(b.preview, 1, err));
    assert_ok(vt_params_prepare(vt_preview_params(b.preview), err));
    assert_fails(vt_preview_forward(b.preview, &b.arena, 1, f_hat, out, err), VARIANT_E_ARGUMENT,
                 "no gradients yet");
    assert_ok(vt_params_train(vt_preview_params(b.preview), err));
    assert_fails(vt_preview_backward(b.preview, &b.arena, 1, out, err), VARIANT_E_ARGUMENT,
                 "without a forward pass");
    assert_fails(vt_preview_decode(b.preview, &b.arena, 0, f_hat, out, err), VARIANT_E_ARGUMENT,
                 "batch of 0");
    bench_close(&b);
}

/* Both backends, any batch: the same picture; and the training pass makes what inference makes. */
static void one_picture_whoever_makes_it(void **state) {
    (void)state;
    enum { COUNT = 3 };
    float *pictures[2] = {0};
    for (int backend = 0; backend < 2; ++backend) {
        bench b;
        bench_open(&b, backend ? "cpu" : "ref", 2);
        vt_params *params = vt_preview_params(b.preview);
        assert_ok(vt_preview_initialise(b.preview, 3, err));
        assert_ok(vt_params_prepare(params, err));
        assert_ok(vt_params_train(params, err));
        float *f_hat = vt_arena_floats(&b.arena, COUNT * b.map);
        float *all = vt_arena_floats(&b.arena, COUNT * b.picture);
        float *one = vt_arena_floats(&b.arena, b.picture);
        float *trained = vt_arena_floats(&b.arena, COUNT * b.picture);
        vt_synth_symmetric(f_hat, COUNT * b.map, "f_hat");
        assert_ok(vt_preview_decode(b.preview, &b.arena, COUNT, f_hat, all, err));
        for (int i = 0; i < COUNT; ++i) {
            assert_ok(
                vt_preview_decode(b.preview, &b.arena, 1, f_hat + (size_t)i * b.map, one, err));
            assert_memory_equal(one, all + (size_t)i * b.picture, b.picture * sizeof *one);
        }
        assert_ok(vt_preview_forward(b.preview, &b.arena, COUNT, f_hat, trained, err));
        for (size_t i = 0; i < COUNT * b.picture; ++i)
            if (fabsf(trained[i] - all[i]) > 1e-4f)
                fail_msg("number %zu: %g in training, %g in inference", i, (double)trained[i],
                         (double)all[i]);
        pictures[backend] = malloc(COUNT * b.picture * sizeof(float));
        memcpy(pictures[backend], all, COUNT * b.picture * sizeof(float));
        if (backend)
            for (size_t i = 0; i < COUNT * b.picture; ++i)
                if (fabsf(pictures[0][i] - pictures[1][i]) > 1e-4f)
                    fail_msg("number %zu: %g by ref, %g by cpu", i, (double)pictures[0][i],
                             (double)pictures[1][i]);
        bench_close(&b);
    }
    free(pictures[0]);
    free(pictures[1]);
}

/* The derivative of the sum of `weights` times the picture, along a direction through all parameters. */
static void gradient_is_the_slope(void **state) {
    (void)state;
    bench b;
    bench_open(&b, "ref", 1);
    vt_params *params = vt_preview_params(b.preview);
    assert_ok(vt_preview_initialise(b.preview, 7, err));
    assert_ok(vt_params_prepare(params, err));
    assert_ok(vt_params_train(params, err));
    float *f_hat = vt_arena_floats(&b.arena, 2 * b.map);
    float *weights = vt_arena_floats(&b.arena, 2 * b.picture);
    float *made = vt_arena_floats(&b.arena, 2 * b.picture);
    vt_synth_symmetric(f_hat, 2 * b.map, "f_hat");
    vt_synth_symmetric(weights, 2 * b.picture, "weights");
    const size_t mark = vt_arena_mark(&b.arena);
    double slope = 0.0, sums[2] = {0.0, 0.0};
    vt_params_zero_grad(params);
    assert_ok(vt_preview_forward(b.preview, &b.arena, 2, f_hat, made, err));
    assert_ok(vt_preview_backward(b.preview, &b.arena, 2, weights, err));
    vt_arena_rewind(&b.arena, mark);
    const float epsilon = 1e-3f;
    for (int sign = 0; sign < 2; ++sign) {
        for (int i = 0; i < params->count; ++i) {
            vt_param *p = params->items[i];
            float *direction = malloc(p->count * sizeof *direction);
            vt_synth_symmetric(direction, p->count, p->name);
            for (size_t j = 0; j < p->count; ++j) {
                if (sign == 0) slope += (double)direction[j] * (double)p->grad[j];
                p->value[j] += (sign ? -2.0f : 1.0f) * epsilon * direction[j];
            }
            free(direction);
        }
        vt_params_refresh(params);
        assert_ok(vt_preview_decode(b.preview, &b.arena, 2, f_hat, made, err));
        for (size_t i = 0; i < 2 * b.picture; ++i)
            sums[sign] += (double)weights[i] * (double)made[i];
    }
    const double measured = (sums[0] - sums[1]) / (2.0 * (double)epsilon);
    if (!(fabs(slope) > 0.1) || fabs(slope - measured) > 0.02 * fabs(slope))
        fail_msg("slope %g, measured %g", slope, measured);
    bench_close(&b);
}

/* ---- in a model's file ---- */

/* The synthetic model A, with a preview decoder of this seed if there is one. */
static void write_model(const char *path, const char *seed) {
    synthetic model;
    vt_preview *preview = NULL;
    vt_preview_config config;
    const vt_tokenizer_config of = tokenizer_config('A');
    synthetic_open(&model, 'A');
    if (seed) {
        assert_ok(vt_preview_config_choose(&config, &of, "small", err));
        assert_ok(vt_preview_open(&preview, model.kern, &of, &config, err));
        assert_ok(vt_params_synthesize(vt_preview_params(preview), seed, "vae", err));
    }
    vt_model_save save = {.tokenizer = model.tokenizer,
                          .transformer = model.transformer,
                          .preview = preview,
                          .preview_training = seed ? "{\"size\":\"small\"}" : NULL};
    assert_ok(vt_model_write(path, &save, err));
    vt_preview_close(&preview);
    synthetic_close(&model);
}

static variant_engine *open_engine(const char *name, const char *weights) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = in_folder(name);
    options.weights = weights;
    options.threads = 2;
    assert_ok(variant_engine_open(&engine, &options, err));
    return engine;
}

static void model_is_what_it_was(void **state) {
    (void)state;
    variant_engine *plain = open_engine("plain", "f32"), *with = open_engine("with", "f32");
    variant_engine *other = open_engine("other", "f32");
    variant_info a, b;
    a = *variant_engine_info(plain);
    b = *variant_engine_info(with);
    assert_string_equal(a.hash, b.hash);
    assert_false(a.preview_decoder);
    assert_true(b.preview_decoder);
    assert_string_equal(plain->model->preview_hash, "");
    assert_string_not_equal(with->model->preview_hash, other->model->preview_hash);
    assert_non_null(strstr(with->model->preview_training, "small"));
    variant_engine_close(&plain);
    variant_engine_close(&with);
    variant_engine_close(&other);
}

/* Tensor for tensor as they are: half precision stays what it is, and so does the hash. */
static void joins_a_file_as_it_is(void **state) {
    (void)state;
    vt_kern *kern = NULL;
    vt_model *model = NULL, *joined = NULL, *whole = NULL;
    vt_model_options options;
    vt_model_options_init(&options);
    assert_ok(vt_kern_open(&kern, "cpu", 1, err));
    options.model = in_folder("plain");
    assert_ok(vt_model_open(&model, kern, &options, err));
    vt_model_save half = {
        .tokenizer = model->tokenizer, .transformer = model->transformer, .type = VT_F16};
    assert_ok(vt_model_write(in_folder("half"), &half, err));
    vt_model_close(&model);
    options.model = in_folder("half");
    assert_ok(vt_model_open(&model, kern, &options, err));
    options.model = in_folder("with");
    assert_ok(vt_model_open(&whole, kern, &options, err));
    char *config = vt_model_config_of(model);
    assert_ok(vt_model_write_preview(in_folder("joined"), model, config, whole->preview,
                                     "{\"size\":\"small\"}", err));
    free(config);
    options.model = in_folder("joined");
    assert_ok(vt_model_open(&joined, kern, &options, err));
    assert_string_equal(joined->hash, model->hash);
    assert_non_null(joined->preview);
    const vt_tensor *tensor = vt_tensor_file_find(joined->files[0], NULL, VT_PREVIEW_MARK);
    assert_int_equal(tensor->type, VT_F16);
    vt_model_close(&joined);
    vt_model_close(&whole);
    vt_model_close(&model);
    vt_kern_close(&kern);
}

/* Its widths and blocks are in its shapes, where nothing else tells them, as in a state dict. */
static void shapes_tell_what_it_is(void **state) {
    (void)state;
    static const vt_preview_config cases[] = {{.levels = 2, .widths = {32, 64}, .blocks = 2},
                                              {.levels = 2, .widths = {96, 32}, .blocks = 0},
                                              {.levels = 1, .widths = {64}, .blocks = 3}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        vt_kern *kern;
        vt_preview *preview;
        vt_tensor_file *file;
        vt_preview_config found;
        vt_tokenizer_config of = tokenizer_config('A');
        of.levels = cases[i].levels;
        assert_ok(vt_kern_open(&kern, "ref", 1, err));
        assert_ok(vt_preview_open(&preview, kern, &of, &cases[i], err));
        assert_ok(vt_preview_initialise(preview, 1, err));
        const vt_model_save save = {.preview = preview};
        assert_ok(vt_model_write(in_folder("alone"), &save, err));
        assert_ok(vt_tensor_file_open(&file, in_folder("alone"), err));
        vt_preview_config_infer(&found, file, "");
        assert_memory_equal(&found, &cases[i], sizeof found);
        vt_tensor_file_close(&file);
        vt_preview_close(&preview);
        vt_kern_close(&kern);
    }
}

/* ---- requests ---- */

static variant_request request_of(const char *decoder) {
    variant_request request;
    variant_request_init(&request);
    request.count = 3;
    request.batch = 2;
    request.class_name = "all";
    request.decoder = decoder;
    return request;
}

static size_t bytes_of(const variant_picture *p) {
    return (size_t)p->width * (size_t)p->height * (size_t)p->channels;
}

typedef struct seen {
    int count, scales[32];
    uint8_t pixels[32][8 * 8 * 3]; /* of picture 0 */
} seen;

static void look(void *user, const variant_preview *at) {
    seen *s = user;
    if (at->picture != 0) return;
    s->scales[s->count] = at->scale;
    memcpy(s->pixels[s->count++], at->pixels,
           (size_t)at->width * (size_t)at->height * (size_t)at->channels);
}

/* Tokens are the same, pixels and settings are not; memory is told to the byte; a picture made by it is made again. */
static void requests_choose(void **state) {
    (void)state;
    static const char *const types[] = {"f32", "bf16"};
    for (int t = 0; t < 2; ++t) {
        variant_engine *engine = open_engine("with", types[t]);
        variant_picture *full = NULL, *small = NULL;
        variant_report report = {.size = sizeof report};
        variant_memory memory = {.size = sizeof memory};
        variant_request request = request_of("full");
        assert_ok(variant_generate(engine, &request, &full, NULL, err));
        assert_null(strstr(full[0].settings, "decoder"));
        variant_engine_trim(engine);
        request = request_of("preview");
        assert_ok(variant_request_memory(engine, &request, &memory, err));
        assert_ok(variant_generate(engine, &request, &small, &report, err));
        assert_int_equal(report.arena_peak_bytes, memory.arena);
        assert_memory_equal(full[0].tokens, small[0].tokens,
                            (size_t)full[0].token_count * sizeof(int32_t));
        assert_memory_not_equal(full[0].pixels, small[0].pixels, bytes_of(full));
        assert_non_null(strstr(small[0].settings, "\"decoder\":\"preview\""));
        assert_non_null(strstr(small[0].settings, engine->model->preview_hash));
        variant_pictures_free(&full, 3);
        variant_pictures_free(&small, 3);
        variant_engine_close(&engine);
    }
}

/* What the callback alone sees comes from the small one, the last of it and what is kept from the full one. */
static void previews_are_small(void **state) {
    (void)state;
    variant_engine *engine = open_engine("with", "f32");
    seen by_default = {0}, by_full = {0};
    variant_picture *pictures = NULL, *kept = NULL, *small = NULL;
    variant_report report = {.size = sizeof report};
    variant_memory memory = {.size = sizeof memory};
    variant_request request = request_of(NULL);
    request.preview = look;
    request.user = &by_default;
    assert_ok(variant_request_memory(engine, &request, &memory, err));
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    assert_int_equal(report.arena_peak_bytes, memory.arena);
    assert_int_equal(by_default.count, 4);
    assert_memory_equal(by_default.pixels[3], pictures[0].pixels, bytes_of(pictures));
    request = request_of("preview");
    request.keep_scales = true;
    assert_ok(variant_generate(engine, &request, &small, NULL, err));
    for (int k = 0; k < 3; ++k)
        assert_memory_equal(by_default.pixels[k], small[0].scale_pixels[k], bytes_of(small));
    request = request_of("full");
    request.keep_scales = true;
    request.preview = look;
    request.user = &by_full;
    assert_ok(variant_generate(engine, &request, &kept, NULL, err));
    for (int k = 0; k < 4; ++k)
        assert_memory_equal(by_full.pixels[k], kept[0].scale_pixels[k], bytes_of(kept));
    assert_memory_equal(kept[0].pixels, pictures[0].pixels, bytes_of(kept));
    assert_memory_not_equal(by_full.pixels[1], by_default.pixels[1], bytes_of(kept));
    variant_pictures_free(&pictures, 3);
    variant_pictures_free(&kept, 3);
    variant_pictures_free(&small, 3);
    variant_engine_close(&engine);
}

static void settings_make_it_again(void **state) {
    (void)state;
    variant_engine *engine = open_engine("with", "f32"), *other = open_engine("other", "f32");
    variant_engine *plain = open_engine("plain", "f32");
    variant_picture *made = NULL, *again = NULL, *full = NULL, *none = NULL;
    variant_settings *settings = NULL;
    variant_request request = request_of("preview");
    assert_ok(variant_generate(engine, &request, &made, NULL, err));
    assert_ok(variant_picture_write_png(&made[1], in_folder("made.png"), err));
    assert_ok(variant_settings_read(&settings, in_folder("made.png"), err));
    assert_ok(variant_settings_request(settings, engine, &request, err));
    assert_ok(variant_generate(engine, &request, &again, NULL, err));
    assert_memory_equal(made[1].pixels, again[0].pixels, bytes_of(made));
    assert_ok(variant_settings_request(settings, other, &request, err));
    assert_fails(variant_generate(other, &request, &full, NULL, err), VARIANT_E_MODEL,
                 "was decoded by the preview decoder");
    request.decoder = "full"; /* the picture's tokens are the same */
    assert_ok(variant_generate(other, &request, &full, NULL, err));
    assert_ok(variant_settings_request(settings, plain, &request, err));
    assert_fails(variant_generate(plain, &request, &none, NULL, err), VARIANT_E_MODEL,
                 "this model has none");
    variant_settings_free(&settings);
    variant_pictures_free(&made, 3);
    variant_pictures_free(&again, 1);
    variant_pictures_free(&full, 1);
    variant_engine_close(&engine);
    variant_engine_close(&other);
    variant_engine_close(&plain);
}

static void refuses(void **state) {
    (void)state;
    variant_engine *plain = open_engine("plain", "f32");
    variant_picture *pictures = NULL;
    variant_request request = request_of("preview");
    assert_fails(variant_generate(plain, &request, &pictures, NULL, err), VARIANT_E_MODEL,
                 "variant train decoder");
    request.decoder = "small";
    assert_fails(variant_generate(plain, &request, &pictures, NULL, err), VARIANT_E_ARGUMENT,
                 "expected full or preview");
    assert_null(pictures);
    variant_engine_close(&plain);
}

static int set_up(void **state) {
    (void)state;
    make_folder(folder);
    write_model(in_folder("plain"), NULL);
    write_model(in_folder("with"), "P");
    write_model(in_folder("other"), "Q");
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sizes_follow_the_decoder),
        cmocka_unit_test(needs_values),
        cmocka_unit_test(one_picture_whoever_makes_it),
        cmocka_unit_test(gradient_is_the_slope),
        cmocka_unit_test(model_is_what_it_was),
        cmocka_unit_test(joins_a_file_as_it_is),
        cmocka_unit_test(shapes_tell_what_it_is),
        cmocka_unit_test(requests_choose),
        cmocka_unit_test(previews_are_small),
        cmocka_unit_test(settings_make_it_again),
        cmocka_unit_test(refuses),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

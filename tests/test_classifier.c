/* test_classifier.c - the classifier: gradients by finite differences, a run that learns and goes on bit for
 * bit, its file as a feature network, and files that are none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "features/features.h"
#include "io/file.h"
#include "train/trainer.h"
#include "tests/squares.h"

#define SIDE 32
#define FLOATS (SIDE * SIDE)
#define STEPS 60
#define STOP_AT 7

static char folder[64];
static variant_error err;
static vt_kern *kern;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)
#define assert_fails(call, code, words)                                                            \
    do {                                                                                           \
        err.message[0] = '\0';                                                                     \
        assert_int_equal((call), code);                                                            \
        if (!strstr(err.message, words)) fail_msg("\"%s\" without \"%s\"", err.message, words);    \
    } while (0)

static const char *in_folder(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* ---- the network ---- */

static const vt_classifier_config tiny = {.side = 12,
                                          .channels = 3,
                                          .width = 32,
                                          .levels = 2,
                                          .mult = {1, 2},
                                          .blocks = 1,
                                          .features = 6,
                                          .classes = 5};

typedef struct bench {
    vt_kern *kern;
    vt_classifier *classifier;
    vt_arena arena;
    void *memory;
    size_t bytes;
    int batch;
    float *pictures; /* (batch, 12, 12, 3), backend memory */
    int32_t *targets;
} bench;

static void bench_open(bench *b, const char *backend, int batch) {
    *b = (bench){.bytes = (size_t)1 << 30, .batch = batch};
    assert_ok(vt_kern_open(&b->kern, backend, 2, &err));
    assert_ok(vt_classifier_open(&b->classifier, b->kern, &tiny, &err));
    vt_params *params = vt_classifier_params(b->classifier);
    assert_ok(vt_classifier_initialise(b->classifier, 3, &err));
    assert_ok(vt_params_train(params, &err));
    assert_ok(vt_params_prepare(params, &err));
    assert_ok(b->kern->memory_reserve(b->kern, b->bytes, &b->memory, &err));
    vt_arena_init(&b->arena, b->memory, b->bytes);
    size_t count = (size_t)batch * 12 * 12 * 3;
    float *host = malloc(count * sizeof *host);
    int32_t labels[16];
    vt_normal_fill(host, count, 9, 1);
    for (int i = 0; i < batch; ++i) labels[i] = (3 * i + 1) % tiny.classes;
    b->pictures = vt_arena_floats(&b->arena, count);
    b->targets = vt_arena_ints(&b->arena, batch);
    b->kern->upload(b->kern, b->pictures, host, count * sizeof *host);
    b->kern->upload(b->kern, b->targets, labels, batch * sizeof *labels);
    free(host);
}

static void bench_close(bench *b) {
    vt_classifier_close(&b->classifier);
    b->kern->memory_release(b->kern, b->memory, b->bytes);
    vt_kern_close(&b->kern);
}

static double loss_of(bench *b) {
    size_t mark = vt_arena_mark(&b->arena);
    vt_classifier_pass pass = {
        .batch = b->batch, .pictures = b->pictures, .targets = b->targets, .smoothing = 0.1f};
    assert_ok(vt_classifier_forward(b->classifier, &b->arena, &pass, &err));
    vt_arena_rewind(&b->arena, mark);
    return pass.loss;
}

/* The slope along every parameter's own gradient is that gradient's norm. */
static void check_slopes(const char *backend) {
    bench b;
    bench_open(&b, backend, 3);
    vt_params *params = vt_classifier_params(b.classifier);
    size_t mark = vt_arena_mark(&b.arena);
    vt_classifier_pass pass = {
        .batch = b.batch, .pictures = b.pictures, .targets = b.targets, .smoothing = 0.1f};
    assert_ok(vt_classifier_forward(b.classifier, &b.arena, &pass, &err));
    assert_ok(vt_classifier_backward(b.classifier, &b.arena, &pass, &err));
    vt_arena_rewind(&b.arena, mark);
    int checked = 0;
    for (int p = 0; p < params->count; ++p) {
        vt_param *param = params->items[p];
        size_t n = param->count;
        float *value = malloc(3 * n * sizeof *value), *grad = value + n, *moved = value + 2 * n;
        assert_ok(vt_param_download(params, param, param->value, value, &err));
        assert_ok(vt_param_download(params, param, param->grad, grad, &err));
        double norm = 0.0, loss[2];
        for (size_t i = 0; i < n; ++i) norm += (double)grad[i] * grad[i];
        norm = sqrt(norm);
        /* a bias before a norm of one channel a group moves nothing */
        for (int sign = 0; sign < 2 && norm > 1e-4; ++sign) {
            for (size_t i = 0; i < n; ++i)
                moved[i] = value[i] + (sign ? -1e-2f : 1e-2f) * (float)(grad[i] / norm);
            assert_ok(vt_param_upload(params, param, moved, param->value, &err));
            vt_params_refresh(params);
            loss[sign] = loss_of(&b);
        }
        if (norm > 1e-4) {
            double slope = (loss[0] - loss[1]) / 2e-2;
            if (!(fabs(slope - norm) <= 0.02 * norm + 2e-5))
                fail_msg("%s: slope %g, gradient's norm %g", param->name, slope, norm);
            ++checked;
        }
        assert_ok(vt_param_upload(params, param, value, param->value, &err));
        vt_params_refresh(params);
        free(value);
    }
    assert_true(checked > params->count * 2 / 3);
    bench_close(&b);
}

static void test_gradients(void **state) {
    (void)state;
    check_slopes("cpu");
    check_slopes("ref");
}

/* Inference gives what training's forward gives, and a picture has one result whatever its neighbours. */
static void test_inference(void **state) {
    (void)state;
    bench b;
    bench_open(&b, "cpu", 5);
    float *pooled = vt_arena_floats(&b.arena, 5 * 6), *logits = vt_arena_floats(&b.arena, 5 * 5);
    float *alone = vt_arena_floats(&b.arena, 6), *one = vt_arena_floats(&b.arena, 5);
    assert_ok(vt_classifier_run(b.classifier, &b.arena, 5, b.pictures, pooled, logits, &err));
    vt_classifier_pass pass = {.batch = 5, .pictures = b.pictures, .targets = b.targets};
    assert_ok(vt_classifier_forward(b.classifier, &b.arena, &pass, &err));
    float host[2][25];
    b.kern->download(b.kern, host[0], logits, sizeof host[0]);
    b.kern->download(b.kern, host[1], pass.logits, sizeof host[1]);
    for (int i = 0; i < 25; ++i) assert_true(fabsf(host[0][i] - host[1][i]) < 1e-4f);
    assert_ok(vt_classifier_run(b.classifier, &b.arena, 1, b.pictures + 3 * 12 * 12 * 3, alone, one,
                                &err));
    b.kern->download(b.kern, host[1], one, 5 * sizeof(float));
    assert_memory_equal(host[0] + 15, host[1], 5 * sizeof(float));
    bench_close(&b);
}

static void test_configurations(void **state) {
    (void)state;
    vt_classifier *classifier = NULL;
    vt_classifier_config config = tiny;
    config.side = 10;
    assert_fails(vt_classifier_open(&classifier, kern, &config, &err), VARIANT_E_ARGUMENT,
                 "multiple of 4");
    config = tiny;
    config.width = 40;
    assert_fails(vt_classifier_open(&classifier, kern, &config, &err), VARIANT_E_ARGUMENT, "40");
    config = tiny;
    config.channels = 2;
    assert_fails(vt_classifier_open(&classifier, kern, &config, &err), VARIANT_E_ARGUMENT,
                 "1 or 3");
    config = tiny;
    config.mult[1] = 1 << 20;
    assert_fails(vt_classifier_open(&classifier, kern, &config, &err), VARIANT_E_ARGUMENT,
                 "multiplier");
    config = tiny;
    config.classes = 1;
    assert_fails(vt_classifier_open(&classifier, kern, &config, &err), VARIANT_E_ARGUMENT,
                 "classes");
    assert_null(classifier);
}

/* ---- runs ---- */

typedef struct watch {
    int64_t stop_at;
    volatile sig_atomic_t stop;
} watch;

static void on_progress(void *user, const vt_train_progress *progress) {
    watch *at = user;
    if (progress->step == at->stop_at) at->stop = 1;
}

static vt_train_classifier_options run_options(const char *output, watch *at) {
    static char data[256];
    vt_train_classifier_options options;
    vt_train_classifier_options_init(&options);
    snprintf(data, sizeof data, "%s/data", folder);
    options.common.data = vt_data_of(data);
    options.common.output = in_folder(output);
    options.common.steps = STEPS;
    options.common.batch = 16;
    options.common.lr.warmup = 5;
    options.common.lr.peak = 4e-3;
    options.common.log_every = 10;
    options.common.save_every = 5;
    options.common.seed = 5;
    options.common.progress = on_progress;
    options.common.stop = &at->stop;
    options.common.user = at;
    options.config.levels = 2;
    options.config.mult[0] = options.config.mult[1] = 1;
    options.config.features = 8;
    options.erase = 0.2;
    return options;
}

/* The last number of this name in the log. */
static double logged(const char *run, const char *key) {
    char path[256], *text = NULL, quoted[64];
    snprintf(path, sizeof path, "%s/%s/log.jsonl", folder, run);
    assert_ok(vt_file_read_text(&text, path, 1 << 20, &err));
    snprintf(quoted, sizeof quoted, "\"%s\":", key);
    double value = NAN;
    for (const char *at = text; (at = strstr(at, quoted)); ++at)
        value = strtod(at + strlen(quoted), NULL);
    free(text);
    return value;
}

static void assert_same_file(const char *a, const char *b) {
    vt_mapping p, q;
    assert_ok(vt_mapping_open(&p, a, &err));
    assert_ok(vt_mapping_open(&q, b, &err));
    if (p.size != q.size || memcmp(p.data, q.data, p.size) != 0) fail_msg("%s and %s differ", a, b);
    vt_mapping_close(&p);
    vt_mapping_close(&q);
}

/* Leaves straight/ for what follows. Chance is a third. */
static void test_learns(void **state) {
    (void)state;
    watch at = {0};
    vt_train_result result;
    vt_train_classifier_options options = run_options("straight", &at);
    assert_ok(vt_train_classifier(kern, &options, &result, &err));
    assert_false(result.stopped);
    double accuracy = logged("straight", "test_accuracy");
    if (!(accuracy >= 0.9)) fail_msg("%.3f of the test pictures after %d steps", accuracy, STEPS);
    assert_true(logged("straight", "test_loss") < 0.7);
}

static void test_resume(void **state) {
    (void)state;
    watch at = {.stop_at = STOP_AT};
    vt_train_result result;
    vt_train_classifier_options options = run_options("parts", &at);
    assert_ok(vt_train_classifier(kern, &options, &result, &err));
    assert_true(result.stopped);
    assert_int_equal(result.step, STOP_AT);
    assert_fails(vt_train_classifier(kern, &options, &result, &err), VARIANT_E_ARGUMENT, "resume");
    at = (watch){0};
    options.common.resume = true;
    options.erase = 0.3;
    assert_fails(vt_train_classifier(kern, &options, &result, &err), VARIANT_E_ARGUMENT, "erase");
    options.erase = 0.2;
    assert_ok(vt_train_classifier(kern, &options, &result, &err));
    assert_same_file(in_folder("straight/classifier.safetensors"),
                     in_folder("parts/classifier.safetensors"));
    assert_same_file(in_folder("straight/checkpoint.safetensors"),
                     in_folder("parts/checkpoint.safetensors"));
}

/* From another run's classifier: its accuracy is there at once; another shape is named. */
static void test_start_from(void **state) {
    (void)state;
    watch at = {0};
    vt_train_result result;
    vt_train_classifier_options options = run_options("further", &at);
    options.model = in_folder("straight/classifier.safetensors");
    options.common.steps = 1;
    options.common.lr.peak = options.common.lr.end = 1e-6;
    options.common.precision = VT_NUMBER_BF16;
    assert_ok(vt_train_classifier(kern, &options, &result, &err));
    assert_true(logged("further", "test_accuracy") >= 0.9);
    options.common.output = in_folder("wider");
    options.config.width = 64;
    assert_fails(vt_train_classifier(kern, &options, &result, &err), VARIANT_E_MODEL,
                 "classifier.stem.weight");
}

static void test_bad_options(void **state) {
    (void)state;
    watch at = {0};
    vt_train_result result;
    vt_train_classifier_options options = run_options("none", &at);
    options.erase = 1.5;
    assert_fails(vt_train_classifier(kern, &options, &result, &err), VARIANT_E_ARGUMENT, "1.5");
    options = run_options("none", &at);
    options.config.width = 33;
    assert_fails(vt_train_classifier(kern, &options, &result, &err), VARIANT_E_ARGUMENT, "33");
    options = run_options("none", &at);
    options.common.data = vt_data_of(in_folder("nowhere"));
    assert_int_not_equal(vt_train_classifier(kern, &options, &result, &err), VARIANT_OK);
    assert_non_null(strstr(err.message, "nowhere"));
}

/* ---- as a feature network ---- */

static float *noise(size_t count) {
    float *out = malloc(count * sizeof *out);
    for (size_t i = 0; i < count; ++i)
        out[i] = (float)vt_uniform(1, VT_RNG_INIT, (uint32_t)i, 0, 0);
    return out;
}

static void test_features(void **state) {
    (void)state;
    vt_features *features = NULL;
    vt_features_info info;
    assert_ok(
        vt_features_open(&features, kern, in_folder("straight/classifier.safetensors"), &err));
    vt_features_info_get(features, &info);
    assert_string_equal(info.name, "classifier");
    assert_false(info.inception);
    assert_int_equal(info.side, SIDE);
    assert_int_equal(info.channels, 1);
    assert_int_equal(info.dims, 8);
    assert_int_equal(info.spatial_dims, 0);
    assert_int_equal(info.classes, 3);
    assert_int_equal(strlen(info.hash), 16);
    assert_string_equal(vt_features_class_name(features, 1), "1");
    assert_null(vt_features_class_name(features, 3));
    assert_null(vt_features_class_name(features, -1));

    enum { COUNT = 70 }; /* more than one batch */
    float *pictures = noise((size_t)COUNT * FLOATS * 3), pooled[COUNT][8], p[COUNT][3], q[3], f[8];
    assert_ok(
        vt_features_run(features, pictures, COUNT, SIDE, SIDE, 1, pooled[0], NULL, p[0], &err));
    for (int i = 0; i < COUNT; ++i) {
        assert_true(fabsf(p[i][0] + p[i][1] + p[i][2] - 1.0f) < 1e-5f);
        for (int j = 0; j < 8; ++j) assert_true(isfinite(pooled[i][j]));
    }
    assert_ok(
        vt_features_run(features, pictures + 69 * FLOATS, 1, SIDE, SIDE, 1, f, NULL, q, &err));
    assert_memory_equal(f, pooled[69], sizeof f);
    assert_memory_equal(q, p[69], sizeof q);
    assert_ok(vt_features_run(features, NULL, 0, SIDE, SIDE, 1, f, NULL, q, &err));
    assert_fails(vt_features_run(features, pictures, 1, 28, 28, 1, f, NULL, q, &err),
                 VARIANT_E_ARGUMENT, "28 x 28");
    assert_fails(vt_features_run(features, pictures, 1, SIDE, SIDE, 3, f, NULL, q, &err),
                 VARIANT_E_ARGUMENT, "3 channels");
    assert_fails(vt_features_run(features, pictures, 1, SIDE, SIDE, 1, f, f, q, &err),
                 VARIANT_E_UNSUPPORTED, "spatial");
    free(pictures);
    vt_features_close(&features);
    assert_null(features);
}

static void write_classifier(const char *path, const vt_classifier_config *config,
                             const char *text) {
    vt_classifier *classifier = NULL;
    assert_ok(vt_classifier_open(&classifier, kern, config, &err));
    assert_ok(vt_classifier_initialise(classifier, 1, &err));
    char *own = text ? NULL : vt_classifier_config_text(config, NULL);
    vt_model_save save = {.params = vt_classifier_params(classifier), .config = text ? text : own};
    assert_ok(vt_model_write(path, &save, &err));
    free(own);
    vt_classifier_close(&classifier);
}

/* Grey to a network of three channels is the grey repeated. */
static void test_grey_repeated(void **state) {
    (void)state;
    const char *path = in_folder("colour.safetensors");
    write_classifier(path, &tiny, NULL);
    vt_features *features = NULL;
    assert_ok(vt_features_open(&features, kern, path, &err));
    float *grey = noise(12 * 12), colour[12 * 12 * 3], a[5], b[5];
    for (int i = 0; i < 12 * 12 * 3; ++i) colour[i] = grey[i / 3];
    assert_ok(vt_features_run(features, grey, 1, 12, 12, 1, NULL, NULL, a, &err));
    assert_ok(vt_features_run(features, colour, 1, 12, 12, 3, NULL, NULL, b, &err));
    assert_memory_equal(a, b, sizeof a);
    assert_null(vt_features_class_name(features, 0));
    free(grey);
    vt_features_close(&features);
}

static void test_bad_files(void **state) {
    (void)state;
    vt_features *features = NULL;
    const char *path = in_folder("bad.safetensors");
    assert_fails(vt_features_open(&features, kern, in_folder("absent"), &err), VARIANT_E_IO,
                 "absent");
    assert_fails(
        vt_features_open(&features, kern, VARIANT_TEST_DIR "/golden/sampling.safetensors", &err),
        VARIANT_E_MODEL, "not a feature network");

    vt_mapping whole;
    assert_ok(vt_mapping_open(&whole, in_folder("straight/classifier.safetensors"), &err));
    for (int part = 1; part < 4; ++part) {
        assert_ok(vt_file_write(path, whole.data, whole.size * part / 4, &err));
        assert_fails(vt_features_open(&features, kern, path, &err), VARIANT_E_FORMAT,
                     "bad.safetensors");
    }
    vt_mapping_close(&whole);

    static const struct {
        const char *text, *words;
        variant_status code;
    } cases[] = {
        {"{\"kind\":\"classifier\"}", "not a classifier", VARIANT_E_FORMAT},
        {"{\"kind\":\"classifier\",\"classifier\":{\"side\":12}}", "channels", VARIANT_E_FORMAT},
        {"{\"kind\":\"classifier\",\"classifier\":{\"side\":12,\"channels\":3,\"width\":32,"
         "\"mult\":[1,"
         "1000000000],\"blocks\":1,\"features\":6,\"classes\":5}}",
         "multiplier", VARIANT_E_FORMAT},
        {"{\"kind\":\"classifier\",\"classifier\":{\"side\":12,\"channels\":1,\"width\":32,"
         "\"mult\":[1,2],"
         "\"blocks\":1,\"features\":6,\"classes\":5}}",
         "classifier.stem.weight", VARIANT_E_MODEL},
        {"{\"kind\":\"classifier\",\"classifier\":{\"side\":12,\"channels\":3,\"width\":32,"
         "\"mult\":[1,2],"
         "\"blocks\":1,\"features\":6,\"classes\":5},\"classes\":[\"a\",\"b\"]}",
         "5 class names", VARIANT_E_FORMAT},
        {"{\"kind\":\"classifier\",\"classifier\":{\"side\":12,\"channels\":3,\"width\":32,"
         "\"mult\":[1,2],"
         "\"blocks\":2,\"features\":6,\"classes\":5}}",
         "is missing", VARIANT_E_MODEL},
        {"{\"kind\":\"classifier\",\"classifier\":{\"side\":12,\"channels\":3,\"width\":32,"
         "\"mult\":[1],"
         "\"blocks\":1,\"features\":6,\"classes\":5}}",
         "not one of a classifier's", VARIANT_E_MODEL},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        write_classifier(path, &tiny, cases[i].text);
        assert_fails(vt_features_open(&features, kern, path, &err), cases[i].code, cases[i].words);
        assert_null(features);
    }
}

static int setup(void **state) {
    (void)state;
    snprintf(folder, sizeof folder, "/tmp/test_classifier_XXXXXX");
    if (!mkdtemp(folder) || mkdir(in_folder("data"), 0777) != 0) return -1;
    write_squares(folder, "train", 240, 1);
    write_squares(folder, "t10k", 60, 2);
    return vt_kern_open(&kern, NULL, 2, &err) == VARIANT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    vt_kern_close(&kern);
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_gradients),      cmocka_unit_test(test_inference),
        cmocka_unit_test(test_configurations), cmocka_unit_test(test_learns), /* leaves straight/ */
        cmocka_unit_test(test_resume),         cmocka_unit_test(test_start_from),
        cmocka_unit_test(test_bad_options),    cmocka_unit_test(test_features),
        cmocka_unit_test(test_grey_repeated),  cmocka_unit_test(test_bad_files),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

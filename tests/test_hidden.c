/* test_hidden.c - the whole house on a backend whose buffers the host cannot read (hidden_backend.h): reference files,
 * generation and trainings pass, and give the very numbers of the backend that computes behind it. */
#include "tests/fixtures.h"

#include <signal.h>
#include <sys/wait.h>

#include "features/features.h"
#include "io/file.h"
#include "selftest/selftest.h"
#include "tests/hidden_backend.h"
#include "tests/squares.h"
#include "train/trainer.h"

#define HIDDEN "hidden"
#define HIDDEN_DEFAULT "hidden default"

static char folder[64];

static const char *in_folder(const char *name) {
    static char paths[8][256];
    static int next;
    char *path = paths[next++ % 8];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void assert_same_file(const char *a, const char *b) {
    vt_mapping p, q;
    assert_ok(vt_mapping_open(&p, a, err));
    assert_ok(vt_mapping_open(&q, b, err));
    if (p.size != q.size || memcmp(p.data, q.data, p.size) != 0) fail_msg("%s and %s differ", a, b);
    vt_mapping_close(&p);
    vt_mapping_close(&q);
}

/* ---- the backend itself: it must catch what it is there to catch ---- */

/* How a child that does `act` ends: the signal, 0 where it lives. */
static int signal_of(void (*act)(vt_kern *kern, float *buffer, float *host)) {
    int how;
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        vt_kern *kern = NULL;
        void *memory = NULL;
        float host[4] = {1, 2, 3, 4};
        signal(SIGSEGV, SIG_DFL);
        signal(SIGABRT, SIG_DFL);
        if (!freopen("/dev/null", "w", stderr) ||
            vt_kern_open(&kern, HIDDEN, 1, NULL) != VARIANT_OK ||
            kern->memory_reserve(kern, 100, &memory, NULL) != VARIANT_OK)
            _exit(3);
        act(kern, memory, host);
        _exit(0);
    }
    assert_int_equal(waitpid(pid, &how, 0), pid);
    if (WIFEXITED(how)) assert_int_equal(WEXITSTATUS(how), 0);
    return WIFSIGNALED(how) ? WTERMSIG(how) : 0;
}

static void crosses(vt_kern *kern, float *buffer, float *host) {
    kern->upload(kern, buffer, host, 16);
    kern->gelu(kern, buffer, buffer, 4);
    kern->download(kern, host, buffer, 16);
    if (!(host[3] > 3.9f && host[3] < 4.1f)) _exit(4);
}
static void reads(vt_kern *kern, float *buffer, float *host) {
    kern->upload(kern, buffer, host, 16);
    host[0] = *(volatile float *)buffer;
}
static void writes(vt_kern *kern, float *buffer, float *host) {
    kern->upload(kern, buffer, host, 16);
    *(volatile float *)buffer = 1.0f;
}
static void gives_host_memory(vt_kern *kern, float *buffer, float *host) {
    kern->gelu(kern, buffer, host, 4);
}
static void gives_a_buffer_as_list(vt_kern *kern, float *buffer, float *host) {
    (void)host;
    kern->fill(kern, 0.0f, (const vt_floats *)(const void *)buffer, 1);
}
static void uses_it_after_release(vt_kern *kern, float *buffer, float *host) {
    kern->memory_release(kern, buffer, 100);
    kern->gelu(kern, buffer, host, 4);
}

static void catches_what_it_should(void **state) {
    (void)state;
    assert_int_equal(signal_of(crosses), 0);
    assert_int_equal(signal_of(reads), SIGSEGV);
    assert_int_equal(signal_of(writes), SIGSEGV);
    assert_int_equal(signal_of(gives_host_memory), SIGABRT);
    assert_int_equal(signal_of(gives_a_buffer_as_list), SIGABRT);
    assert_int_equal(signal_of(uses_it_after_release), SIGABRT);
}

/* ---- reference files ---- */

static int check_files(const char *backend, const char *golden, vt_number weights,
                       const char *dump) {
    vt_selftest *test = NULL;
    vt_selftest_options options = {
        .backend = backend, .threads = 1, .weights = weights, .kv = weights, .keep = true};
    char path[256];
    snprintf(path, sizeof path, GOLDEN "%s", golden);
    assert_ok(vt_selftest_open(&test, &options, err));
    assert_ok(vt_selftest_run(test, path, err));
    vt_selftest_counts counts = vt_selftest_result(test);
    assert_int_equal(counts.failed, 0);
    assert_true(counts.passed > 0);
    assert_ok(vt_selftest_dump(test, dump, err));
    vt_selftest_close(&test);
    return counts.passed;
}

static void check_golden(const char *hidden, const char *plain, const char *golden,
                         vt_number weights) {
    const char *a = in_folder("a.safetensors"), *b = in_folder("b.safetensors");
    const long before = hidden_operations();
    const int passed = check_files(hidden, golden, weights, a);
    assert_true(hidden_operations() > before);
    assert_int_equal(passed, check_files(plain, golden, weights, b));
    assert_same_file(a, b);
}

static void passes_reference_files(void **state) {
    (void)state;
    check_golden(HIDDEN, vt_kern_reference(), "sampling.safetensors", VT_NUMBER_F32);
    check_golden(HIDDEN, vt_kern_reference(), "B", VT_NUMBER_F32);
    check_golden(HIDDEN_DEFAULT, vt_kern_backend(0), "A", VT_NUMBER_F32);
    check_golden(HIDDEN_DEFAULT, vt_kern_backend(0), "A", VT_NUMBER_BF16);
    check_golden(HIDDEN_DEFAULT, vt_kern_backend(0), "B", VT_NUMBER_INT8);
}

/* ---- generation ---- */

static void write_model(const char *path) {
    synthetic model;
    synthetic_open(&model, 'A');
    const vt_tokenizer_config of = tokenizer_config('A');
    vt_preview_config config;
    vt_preview *preview = NULL;
    assert_ok(vt_preview_config_choose(&config, &of, "small", err));
    assert_ok(vt_preview_open(&preview, model.kern, &of, &config, err));
    assert_ok(vt_params_synthesize(vt_preview_params(preview), "A", "vae", err));
    vt_model_save save = {
        .tokenizer = model.tokenizer, .transformer = model.transformer, .preview = preview};
    assert_ok(vt_model_write(path, &save, err));
    vt_preview_close(&preview);
    synthetic_close(&model);
}

static variant_status draw(const char *backend, const char *type, const variant_request *request,
                           variant_picture **pictures, variant_error *err) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = in_folder("model.safetensors");
    options.backend = backend;
    options.threads = 1;
    options.weights = options.kv = type;
    options.encoder = request->edits != NULL;
    assert_ok(variant_engine_open(&engine, &options, err));
    const variant_status status = variant_generate(engine, request, pictures, NULL, err);
    variant_engine_close(&engine);
    return status;
}

static void check_request(const char *hidden, const char *plain, const char *type,
                          const variant_request *request) {
    variant_picture *a = NULL, *b = NULL;
    assert_ok(draw(hidden, type, request, &a, err));
    assert_ok(draw(plain, type, request, &b, err));
    for (int i = 0; i < request->count; ++i) {
        assert_int_equal(a[i].token_count, b[i].token_count);
        assert_memory_equal(a[i].tokens, b[i].tokens,
                            (size_t)a[i].token_count * sizeof *a[i].tokens);
        assert_memory_equal(a[i].pixels, b[i].pixels,
                            (size_t)a[i].width * (size_t)a[i].height * (size_t)a[i].channels);
    }
    variant_pictures_free(&a, request->count);
    variant_pictures_free(&b, request->count);
}

static variant_request request_of(int count, int batch) {
    variant_request request;
    variant_request_init(&request);
    request.count = count;
    request.batch = batch;
    request.seed = 7;
    request.class_name = "all";
    request.top_k = 20;
    return request;
}

static void generates(void **state) {
    (void)state;
    static const char *const types[] = {"f32", "bf16", "int8"};
    variant_request request = request_of(2, 2);
    request.keep_scales = true;
    for (int t = 0; t < 3; ++t) check_request(HIDDEN, vt_kern_reference(), types[t], &request);
    request.decoder = "preview";
    for (int t = 0; t < 3; ++t) check_request(HIDDEN, vt_kern_reference(), types[t], &request);
    request = request_of(5, 2);
    request.depth = 2;
    request.bridge = 1;
    for (int t = 0; t < 3; ++t)
        check_request(HIDDEN_DEFAULT, vt_kern_backend(0), types[t], &request);
    request.smooth = true;
    check_request(HIDDEN_DEFAULT, vt_kern_backend(0), "f32", &request);
    request.smooth = false;
    request.cfg_scale = 0.0f;
    request.greedy = true;
    check_request(HIDDEN_DEFAULT, vt_kern_backend(0), "f32", &request);
}

/* A part of a picture drawn again, in every way that keeps the rest. */
static void edits(void **state) {
    (void)state;
    static const char *const types[] = {"f32", "bf16", "int8"};
    uint8_t pixels[10 * 9 * 3], mask[10 * 9] = {0};
    variant_edit edit;
    variant_request request = request_of(3, 2);
    for (int i = 0; i < 10 * 9 * 3; ++i) pixels[i] = (uint8_t)(i * 37 % 256);
    for (int i = 0; i < 10 * 9; ++i) mask[i] = i % 10 > 5 && i / 10 > 2 ? 255 : 0;
    variant_edit_init(&edit);
    edit.width = 10;
    edit.height = 9;
    edit.channels = 3;
    edit.pixels = pixels;
    edit.mask = mask;
    request.edits = &edit;
    request.edit_count = 1;
    for (int t = 0; t < 3; ++t) check_request(HIDDEN, vt_kern_reference(), types[t], &request);
    check_request(HIDDEN_DEFAULT, vt_kern_backend(0), "f32", &request);
    edit.codes = "once";
    check_request(HIDDEN_DEFAULT, vt_kern_backend(0), "f32", &request);
    edit.codes = NULL;
    request.smooth = true;
    check_request(HIDDEN_DEFAULT, vt_kern_backend(0), "f32", &request);
}

/* Two that share steps at scales of their own, one of them a picture again from given tokens: as each alone. */
static void shares_steps(void **state) {
    (void)state;
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = in_folder("model.safetensors");
    options.backend = HIDDEN_DEFAULT;
    options.threads = 1;
    assert_ok(variant_engine_open(&engine, &options, err));
    variant_request first = request_of(1, 1), second = request_of(2, 2);
    variant_picture *alone = NULL, *again = NULL, *other = NULL;
    assert_ok(draw(vt_kern_backend(0), "f32", &first, &alone, err));
    assert_ok(draw(vt_kern_backend(0), "f32", &second, &other, err));
    variant_request given = first;
    given.given_tokens = alone->tokens;
    given.given_count = 1;
    given.given_scales = 2;
    variant_loop *loop = NULL;
    variant_job *jobs[2];
    assert_ok(variant_loop_open(&loop, engine, err));
    assert_ok(variant_loop_add(loop, &second, &jobs[0], err));
    assert_ok(variant_loop_step(loop, NULL, err));
    assert_ok(variant_loop_add(loop, &given, &jobs[1], err));
    while (!variant_job_done(jobs[0]) || !variant_job_done(jobs[1]))
        assert_ok(variant_loop_step(loop, NULL, err));
    for (int i = 0; i < 2; ++i) {
        const variant_picture *want = i ? alone : other;
        const size_t bytes = (size_t)want->width * (size_t)want->height * (size_t)want->channels;
        assert_ok(variant_job_take(&jobs[i], &again, NULL, err));
        for (int j = 0; j < 2 - i; ++j) assert_memory_equal(again[j].pixels, want[j].pixels, bytes);
        variant_pictures_free(&again, 2 - i);
    }
    variant_loop_close(&loop);
    variant_engine_close(&engine);
    variant_pictures_free(&alone, 1);
    variant_pictures_free(&other, 2);
}

/* ---- training ---- */

enum { STEPS = 3 };

static void common_of(vt_train_common *common, const char *output, vt_number precision) {
    common->data = vt_data_of(in_folder("data"));
    common->output = in_folder(output);
    common->steps = STEPS;
    common->batch = 4;
    common->save_every = 0;
    common->log_every = 1;
    common->eval_every = 2;
    common->eval_count = 4;
    common->sample_every = 2;
    common->lr.warmup = 1;
    common->seed = 5;
    common->precision = precision;
}

static variant_status train_tokenizer(vt_kern *kern, const char *output, vt_number precision,
                                      variant_error *err) {
    vt_train_tokenizer_options options;
    vt_train_result result;
    vt_train_tokenizer_options_init(&options);
    common_of(&options.common, output, precision);
    options.side = 8;
    options.revive_after = 2;
    options.config.levels = 2;
    options.config.mult[0] = options.config.mult[1] = 1;
    options.config.base_width = 32;
    options.config.codes = 24;
    options.config.latent_dim = 8;
    options.config.scales = 3;
    options.config.sides[0] = 1, options.config.sides[1] = 2, options.config.sides[2] = 4;
    return vt_train_tokenizer(kern, &options, &result, err);
}

/* tokenizer: a run's folder; model: the supernet's beginning, NULL: a transformer. */
static variant_status train_transformer(vt_kern *kern, const char *output, const char *tokenizer,
                                        const char *model, vt_number precision,
                                        variant_error *err) {
    vt_train_transformer_options options;
    vt_train_result result;
    if (model)
        vt_train_supernet_options_init(&options);
    else
        vt_train_transformer_options_init(&options);
    common_of(&options.common, output, precision);
    options.tokenizer = in_folder(tokenizer);
    options.config.depth = 3;
    options.config.width = 32;
    options.config.hidden = 64;
    if (model) {
        options.model = in_folder(model);
        options.log_conflict = 2;
        options.phases.sandwich = true;
    }
    return vt_train_transformer(kern, &options, &result, err);
}

static variant_status train_classifier(vt_kern *kern, const char *output, vt_number precision,
                                       variant_error *err) {
    vt_train_classifier_options options;
    vt_train_result result;
    vt_train_classifier_options_init(&options);
    common_of(&options.common, output, precision);
    options.config.side = 8;
    options.config.levels = 2;
    options.config.mult[0] = options.config.mult[1] = 1;
    options.config.features = 8;
    return vt_train_classifier(kern, &options, &result, err);
}

static variant_status train_decoder(vt_kern *kern, const char *output, const char *tokenizer,
                                    vt_number precision, variant_error *err) {
    vt_train_decoder_options options;
    vt_train_result result;
    vt_train_decoder_options_init(&options);
    common_of(&options.common, output, precision);
    options.tokenizer = in_folder(tokenizer);
    return vt_train_decoder(kern, &options, &result, err);
}

/* All five into folders that begin with `name`. */
static void train_all(const char *backend, const char *name, vt_number precision) {
    char tokenizer[32], transformer[32], supernet[32], classifier[32], decoder[32];
    vt_kern *kern = NULL;
    snprintf(tokenizer, sizeof tokenizer, "%s-tok", name);
    snprintf(transformer, sizeof transformer, "%s-var", name);
    snprintf(supernet, sizeof supernet, "%s-net", name);
    snprintf(classifier, sizeof classifier, "%s-cls", name);
    snprintf(decoder, sizeof decoder, "%s-dec", name);
    assert_ok(vt_kern_open(&kern, backend, 1, err));
    assert_ok(train_tokenizer(kern, tokenizer, precision, err));
    assert_ok(train_transformer(kern, transformer, tokenizer, NULL, precision, err));
    assert_ok(train_transformer(kern, supernet, tokenizer, transformer, precision, err));
    assert_ok(train_classifier(kern, classifier, precision, err));
    assert_ok(train_decoder(kern, decoder, tokenizer, precision, err));
    vt_kern_close(&kern);
}

static void assert_same_runs(const char *a, const char *b) {
    static const char *const kinds[] = {"tok", "var", "net", "cls", "dec"};
    for (int k = 0; k < 5; ++k) {
        char p[64], q[64];
        snprintf(p, sizeof p, "%s-%s/checkpoint.safetensors", a, kinds[k]);
        snprintf(q, sizeof q, "%s-%s/checkpoint.safetensors", b, kinds[k]);
        assert_same_file(in_folder(p), in_folder(q));
    }
}

static void trains(void **state) {
    (void)state;
    train_all(HIDDEN, "h", VT_NUMBER_F32);
    train_all(vt_kern_reference(), "r", VT_NUMBER_F32);
    assert_same_runs("h", "r");
    train_all(HIDDEN_DEFAULT, "h16", VT_NUMBER_BF16);
    train_all(vt_kern_backend(0), "d16", VT_NUMBER_BF16);
    assert_same_runs("h16", "d16");
}

/* ---- judging: the classifier that `trains` left ---- */

static variant_status judge(const char *backend, float *pooled, float *probabilities,
                            variant_error *err) {
    enum { COUNT = 5, SIDE = 8 };
    float pictures[COUNT * SIDE * SIDE];
    vt_kern *kern = NULL;
    vt_features *features = NULL;
    for (int i = 0; i < COUNT * SIDE * SIDE; ++i) pictures[i] = (float)(i * 7 % 101) / 101.0f;
    assert_ok(vt_kern_open(&kern, backend, 1, err));
    assert_ok(vt_features_open(&features, kern, in_folder("r-cls"), err));
    const variant_status status =
        vt_features_run(features, pictures, COUNT, SIDE, SIDE, 1, pooled, NULL, probabilities, err);
    vt_features_close(&features);
    vt_kern_close(&kern);
    return status;
}

static void judges(void **state) {
    (void)state;
    float pooled[2][5 * 8] = {{0}}, probabilities[2][5 * 3] = {{0}};
    assert_ok(judge(HIDDEN, pooled[0], probabilities[0], err));
    assert_ok(judge(vt_kern_reference(), pooled[1], probabilities[1], err));
    assert_memory_equal(pooled[0], pooled[1], sizeof pooled[0]);
    assert_memory_equal(probabilities[0], probabilities[1], sizeof probabilities[0]);
    assert_true(probabilities[0][0] > 0.0f);
}

/* ---- a device that fails ---- */

static void fails_with_one_line(void **state) {
    (void)state;
    const variant_request request = request_of(2, 2);
    variant_picture *pictures = NULL;
    vt_kern *kern = NULL;
    static const long moments[] = {0, 40, 400};
    for (int i = 0; i < 3; ++i) {
        hidden_fail_after(moments[i]);
        assert_fails(draw(HIDDEN_DEFAULT, "f32", &request, &pictures, err), VARIANT_E_DEVICE,
                     "the hidden device failed");
        assert_null(pictures);
        assert_ok(vt_kern_open(&kern, HIDDEN_DEFAULT, 1, err));
        hidden_fail_after(moments[i]);
        assert_fails(train_tokenizer(kern, "failed", VT_NUMBER_F32, err), VARIANT_E_DEVICE,
                     "the hidden device failed");
        hidden_fail_after(moments[i]);
        assert_fails(train_transformer(kern, "failed-var", "d16-tok", NULL, VT_NUMBER_BF16, err),
                     VARIANT_E_DEVICE, "the hidden device failed");
        hidden_fail_after(moments[i]);
        assert_fails(train_decoder(kern, "failed-dec", "d16-tok", VT_NUMBER_BF16, err),
                     VARIANT_E_DEVICE, "the hidden device failed");
        vt_kern_close(&kern);
        remove_folder(in_folder("failed-dec"));
        remove_folder(in_folder("failed"));
        remove_folder(in_folder("failed-var"));
        float pooled[5 * 8], probabilities[5 * 3];
        hidden_fail_after(i);
        assert_fails(judge(HIDDEN, pooled, probabilities, err), VARIANT_E_DEVICE,
                     "the hidden device failed");
    }
    hidden_fail_after(-1);
    check_request(HIDDEN_DEFAULT, vt_kern_backend(0), "f32", &request);
}

static int set_up(void **state) {
    (void)state;
    make_folder(folder);
    assert_ok(vt_kern_register(HIDDEN, hidden_over_reference, err));
    assert_ok(vt_kern_register(HIDDEN_DEFAULT, hidden_over_default, err));
    assert_ok(variant_folder_make(in_folder("data"), err));
    write_squares(folder, "train", 8, 1);
    write_squares(folder, "t10k", 4, 2);
    write_model(in_folder("model.safetensors"));
    return 0;
}

static int tear_down(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(catches_what_it_should),
        cmocka_unit_test(passes_reference_files),
        cmocka_unit_test(generates),
        cmocka_unit_test(edits),
        cmocka_unit_test(shares_steps),
        cmocka_unit_test(trains),
        cmocka_unit_test(judges),
        cmocka_unit_test(fails_with_one_line),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}

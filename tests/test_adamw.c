/* test_adamw.c - ten steps of AdamW on a tiny transformer against the reference: loss, gradient norm and what
 * the weights become (tests/golden). */
#include "fixtures.h"

#include <math.h>

#include "core/rng.h"
#include "selftest/golden_config.h"
#include "train/trainer.h"

static vt_kern *kern;

static double value_norm(const vt_param *param) {
    double sum;
    kern->sum_squares(kern, &sum, &(vt_floats){param->value, param->count}, 1);
    return sqrt(sum);
}

static void assert_near(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 1e-4 * fabs(want) + 1e-6))
        fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

static double number_at(const vt_tensor_file *file, const char *name, int index) {
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, name);
    assert_non_null(tensor);
    assert_int_equal(tensor->type, VT_F64);
    assert_true((size_t)index < tensor->count);
    double value;
    memcpy(&value, (const char *)tensor->data + 8 * index, 8);
    return value;
}

static double mean_of(const float *values, size_t count) {
    double sum = 0.0;
    for (size_t i = 0; i < count; ++i) sum += values[i];
    return sum / count;
}

static void check_golden(const char *name) {
    enum { BATCH = 2 };
    char path[256];
    vt_tensor_file *file = NULL;
    vt_golden_config config;
    vt_tokenizer *tokenizer = NULL;
    vt_transformer *transformer = NULL;
    snprintf(path, sizeof path, VARIANT_TEST_DIR "/golden/%s/adamw.safetensors", name);
    assert_ok(vt_tensor_file_open(&file, path, err));
    assert_ok(vt_golden_config_parse(&config, vt_tensor_file_meta(file, "config"), path, err));
    assert_ok(vt_tokenizer_open(&tokenizer, kern, &config.tokenizer, err));
    assert_ok(vt_params_synthesize(vt_tokenizer_params(tokenizer), config.seed, "vae", err));
    assert_ok(vt_params_prepare(vt_tokenizer_params(tokenizer), err));
    assert_ok(vt_transformer_open(&transformer, kern, &config.transformer, err));
    vt_params *params = vt_transformer_params(transformer);
    assert_ok(vt_params_synthesize(params, config.seed, "var", err));
    assert_ok(vt_params_train(params, err));
    assert_ok(vt_transformer_prepare(transformer, err));

    size_t bytes = (size_t)1 << 30, length = vt_transformer_tokens(&config.transformer),
           total = BATCH * length;
    void *memory = NULL;
    assert_ok(kern->memory_reserve(kern, bytes, &memory, err));
    vt_arena arena;
    vt_arena_init(&arena, memory, bytes);
    int32_t *host = malloc(total * sizeof *host), labels[BATCH];
    float *host_loss = malloc(total * sizeof *host_loss);
    assert_ok(vt_golden_tokens(&config, BATCH, host, err));
    assert_ok(vt_golden_labels(&config, BATCH, labels, err));
    int32_t *tokens = vt_arena_ints(&arena, total);
    float *losses = vt_arena_floats(&arena, total);
    float *inputs = vt_arena_floats(&arena, total * config.tokenizer.latent_dim);
    kern->upload(kern, tokens, host, total * sizeof *host);
    assert_ok(vt_tokenizer_inputs(tokenizer, &arena, BATCH, tokens, inputs, NULL, err));
    vt_schedule *full = malloc(sizeof *full);
    assert_ok(vt_schedule_full(full, config.transformer.scales, config.transformer.depth, err));

    vt_optimizer_options adamw;
    vt_optimizer_options_init(&adamw); /* the reference's options are the defaults */
    for (int step = 0; step < 10; ++step) {
        size_t mark = vt_arena_mark(&arena);
        double norm;
        vt_params_zero_grad(params);
        vt_transformer_pass pass = {
            .batch = BATCH, .labels = labels, .inputs = inputs, .schedule = full};
        vt_transformer_loss loss = {.targets = tokens, .loss = losses};
        assert_ok(vt_transformer_forward(transformer, &arena, &pass, err));
        assert_ok(vt_transformer_backward(transformer, &arena, &pass, &loss, true, err));
        kern->download(kern, host_loss, losses, total * sizeof *host_loss);
        assert_ok(vt_optimizer_step(params, &adamw, 1e-3, step + 1, &norm, err));
        assert_ok(vt_transformer_prepare(transformer, err));
        vt_arena_rewind(&arena, mark);
        assert_near(mean_of(host_loss, total), number_at(file, "loss", step), "loss");
        assert_near(norm, number_at(file, "grad_norm", step), "grad_norm");
    }
    int compared = 0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        char key[160];
        snprintf(key, sizeof key, "final_norm/%s", param->name);
        if (!param->value || !vt_tensor_file_find(file, NULL, key)) continue;
        assert_near(value_norm(param), number_at(file, key, 0), key);
        ++compared;
    }
    assert_int_equal(compared, vt_tensor_file_count(file) - 2);
    free(host);
    free(host_loss);
    free(full);
    kern->memory_release(kern, memory, bytes);
    vt_transformer_close(&transformer);
    vt_tokenizer_close(&tokenizer);
    vt_golden_config_free(&config);
    vt_tensor_file_close(&file);
}

static void test_golden_adamw_a(void **state) {
    (void)state;
    check_golden("A");
}

static void test_golden_adamw_b(void **state) {
    (void)state;
    check_golden("B");
}

static int setup(void **state) {
    (void)state;
    return vt_kern_open(&kern, NULL, 2, NULL) == VARIANT_OK ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    vt_kern_close(&kern);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_adamw_a),
        cmocka_unit_test(test_golden_adamw_b),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

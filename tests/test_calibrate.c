/* test_calibrate.c - calibration of int8: what is folded into a norm leaves the model what it is, outliers are found and
 * folded away, rows and blocks are chosen by their errors, and the file written holds just that. */
#include <math.h>

#include "core/arena.h"
#include "engine/calibrate.h"
#include "fixtures.h"
#include "transformer/block.h"

#define ARENA_BYTES ((size_t)1 << 28)

static char folder[64];
static vt_kern *kern;

static const char *in_folder(const char *name) {
    static char paths[4][128];
    static int turn;
    char *path = paths[turn++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

/* A synthetic model in memory, whose transformer's values may be changed. */
static vt_model *model_open(char which) {
    vt_model *model = NULL;
    const vt_tokenizer_config a = tokenizer_config(which);
    const vt_transformer_config b = transformer_config(which);
    const char seed[2] = {which};
    assert_ok(vt_model_new(&model, kern, err));
    assert_ok(vt_tokenizer_open(&model->tokenizer, kern, &a, err));
    assert_ok(vt_params_synthesize(vt_tokenizer_params(model->tokenizer), seed, "vae", err));
    assert_ok(vt_params_prepare(vt_tokenizer_params(model->tokenizer), err));
    assert_ok(vt_transformer_open(&model->transformer, kern, &b, err));
    assert_ok(vt_params_synthesize(vt_transformer_params(model->transformer), seed, "var", err));
    assert_ok(vt_transformer_prepare(model->transformer, err));
    return model;
}

static int32_t number(uint32_t i, int below) {
    return (int32_t)((i * 2654435761u >> 7) % (uint32_t)below);
}

/* Logits (2, L, V) of two pictures of made-up tokens; free() them. */
static float *logits_of(vt_model *model) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const size_t rest = (size_t)vt_transformer_tokens(config) - 1;
    const size_t count = 2 * (rest + 1) * (size_t)config->codes;
    void *memory;
    vt_arena arena;
    vt_schedule full;
    const int32_t labels[] = {0, config->classes};
    assert_ok(kern->memory_reserve(kern, ARENA_BYTES, &memory, err));
    vt_arena_init(&arena, memory, ARENA_BYTES);
    assert_ok(vt_schedule_full(&full, config->scales, config->depth, err));
    float *inputs = vt_arena_floats(&arena, 2 * rest * (size_t)config->latent_dim);
    for (uint32_t i = 0; i < 2 * rest * (size_t)config->latent_dim; ++i)
        inputs[i] = (float)number(i, 2001) / 1000.0f - 1.0f;
    vt_transformer_pass pass = {.batch = 2, .labels = labels, .inputs = inputs, .schedule = &full};
    assert_ok(vt_transformer_forward(model->transformer, &arena, &pass, err));
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    memcpy(out, pass.logits, count * sizeof *out);
    kern->memory_release(kern, memory, ARENA_BYTES);
    return out;
}

static size_t logits_count(const vt_model *model) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    return 2 * (size_t)vt_transformer_tokens(config) * (size_t)config->codes;
}

static double distance(const float *a, const float *b, size_t n) {
    double off = 0, all = 0;
    for (size_t i = 0; i < n; ++i) {
        off += ((double)a[i] - (double)b[i]) * ((double)a[i] - (double)b[i]);
        all += (double)b[i] * (double)b[i];
    }
    return sqrt(off / all);
}

/* The plan's values in the place of the model's. */
static void plan_apply(vt_model *model, const vt_int8_plan *plan) {
    vt_params *params = vt_transformer_params(model->transformer);
    float **values = calloc((size_t)params->count, sizeof *values);
    for (int i = 0; i < params->count; ++i) { /* all before any is changed */
        vt_param *param = params->items[i];
        if (param->flags & VT_PARAM_BUFFER) continue;
        values[i] = malloc(param->count * sizeof **values);
        assert_ok(vt_int8_plan_values(plan, params, param, values[i], err));
    }
    for (int i = 0; i < params->count; ++i) {
        if (values[i])
            assert_ok(
                vt_param_upload(params, params->items[i], values[i], params->items[i]->value, err));
        free(values[i]);
    }
    free(values);
    assert_ok(vt_transformer_prepare(model->transformer, err));
}

static bool is_folded(const char *name) {
    const char *at = strrchr(name, '.');
    return strcmp(name, "head.weight") == 0 || (at && at - name > 7 && strstr(name, "mat_qkv.w")) ||
           strstr(name, "ffn.fc1.w");
}

/* Factors of 2^-power .. 2^power for each product after a norm. */
static void plan_factors(vt_int8_plan *plan, int power, uint32_t every) {
    for (int i = 0; i < plan->count; ++i) {
        vt_int8_choice *choice = &plan->choices[i];
        if (!is_folded(choice->weight->name)) continue;
        const size_t k = (size_t)choice->weight->shape[1];
        choice->factors = malloc(k * sizeof *choice->factors);
        for (uint32_t j = 0; j < k; ++j)
            choice->factors[j] =
                j % every ? 1.0f : ldexpf(1.0f, number(j + 7, 2 * power + 1) - power);
    }
}

static void folding_changes_nothing(void **state) {
    (void)state;
    for (const char *which = "AB"; *which; ++which) {
        vt_model *model = model_open(*which);
        vt_int8_plan plan = {0};
        float *before = logits_of(model);
        assert_ok(vt_int8_plan_plain(&plan, model, err));
        assert_true(plan.count > 20 || *which == 'A');
        if (!vt_transformer_configuration(model->transformer)->shared_adaln)
            plan_factors(&plan, 5, 1);
        plan_apply(model, &plan);
        float *after = logits_of(model);
        assert_true(distance(after, before, logits_count(model)) < 1e-5);
        vt_int8_plan_close(&plan);
        vt_model_close(&model);
        free(before);
        free(after);
    }
}

/* Two pictures' tokens for a calibration. */
static vt_calibration calibration_of(const vt_model *model, int32_t *tokens, int32_t *labels) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const int length = vt_transformer_tokens(config);
    for (int i = 0; i < 2 * length; ++i) tokens[i] = number((uint32_t)i, config->codes);
    labels[0] = 0;
    labels[1] = config->classes;
    return (vt_calibration){.tokens = tokens, .labels = labels, .pictures = 2, .tolerance = 1.25};
}

static void outliers_are_folded_away(void **state) {
    (void)state;
    vt_model *model = model_open('A');
    vt_int8_plan wild = {0}, plan = {0};
    int32_t tokens[2 * 1024], labels[2];
    const vt_calibration c = calibration_of(model, tokens, labels);
    /* a few channels become up to 16 times larger, their weights smaller: the same model, hard to round */
    assert_ok(vt_int8_plan_plain(&wild, model, err));
    plan_factors(&wild, 4, 16);
    for (int i = 0; i < wild.count; ++i)
        for (int j = 0; wild.choices[i].factors && j < wild.choices[i].weight->shape[1]; ++j)
            if (wild.choices[i].factors[j] > 1) wild.choices[i].factors[j] = 1 / 16.0f;
    plan_apply(model, &wild);
    vt_int8_plan_close(&wild);

    assert_ok(vt_calibrate(&plan, model, &c, err));
    assert_int_equal(plan.pictures, 2);
    int folded = 0, better = 0;
    for (int i = 0; i < plan.count; ++i) {
        const vt_int8_choice *choice = &plan.choices[i];
        assert_true(choice->rows > 0);
        assert_true(choice->blocks > 0 && choice->blocks < 0.2 && choice->whole < 0.4);
        assert_true(choice->best_blocks <= choice->blocks && choice->best_whole <= choice->whole);
        assert_true(choice->is_whole == (choice->best_whole <= 1.25 * choice->best_blocks));
        assert_true(!choice->factors == (choice->strength <= 0));
        if (!is_folded(choice->weight->name)) assert_null(choice->factors);
        folded += choice->factors != NULL;
        better += choice->best_whole < 0.6 * choice->whole;
    }
    assert_true(folded > 0 && better > 0);
    vt_int8_plan_close(&plan);
    vt_model_close(&model);
}

static bool stop_at_once(void *user, const char *doing, int done, int total) {
    (void)doing;
    assert_true(done >= 1 && done <= total);
    return ++*(int *)user < 3;
}

static void it_can_be_stopped(void **state) {
    (void)state;
    vt_model *model = model_open('A');
    vt_int8_plan plan = {0};
    int32_t tokens[2 * 1024], labels[2];
    int calls = 0;
    vt_calibration c = calibration_of(model, tokens, labels);
    const vt_work_watch watch = {stop_at_once, &calls};
    c.watch = &watch;
    assert_fails(vt_calibrate(&plan, model, &c, err), VARIANT_E_STOPPED, "stopped while");
    assert_int_equal(calls, 3);
    vt_int8_plan_close(&plan);
    vt_model_close(&model);
}

/* The file's integers run as they are, and give what they were measured to give; multiplied out they are the same numbers. */
static void the_file_holds_the_plan(void **state) {
    (void)state;
    vt_model *model = model_open('A'), *again = NULL;
    vt_int8_plan plan = {0};
    int32_t tokens[2 * 1024], labels[2];
    const vt_calibration c = calibration_of(model, tokens, labels);
    float *want = logits_of(model);
    assert_ok(vt_calibrate(&plan, model, &c, err));
    const vt_model_save save = {.tokenizer = model->tokenizer, .transformer = model->transformer};
    assert_ok(vt_model_write_int8(in_folder("m.safetensors"), &save, &plan, err));
    for (int type = VT_NUMBER_F32; type <= VT_NUMBER_INT8; ++type) {
        int records;
        vt_model_options options;
        vt_model_options_init(&options);
        options.model = in_folder("m.safetensors");
        options.weights = (vt_number)type;
        assert_ok(vt_model_open(&again, kern, &options, err));
        vt_params *params = vt_transformer_params(again->transformer);
        for (int i = 0; i < plan.count; ++i) {
            const vt_param *param = vt_params_find(params, plan.choices[i].weight->name);
            assert_int_equal(kern->weight_type(param->weight), type);
        }
        assert_int_equal(vt_params_integers(params, again->files[1], again->groups[1], &records),
                         plan.count);
        assert_int_equal(records, 0);
        if (type == VT_NUMBER_F32) {
            float *got = logits_of(again);
            const double off = distance(got, want, logits_count(model));
            assert_true(off > 1e-5 && off < 0.05);
            free(got);
        }
        vt_model_close(&again);
    }
    vt_int8_plan_close(&plan);
    vt_model_close(&model);
    free(want);
}

int main(void) {
    make_folder(folder);
    if (vt_kern_open(&kern, NULL, 2, NULL) != VARIANT_OK) return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(folding_changes_nothing),
        cmocka_unit_test(outliers_are_folded_away),
        cmocka_unit_test(it_can_be_stopped),
        cmocka_unit_test(the_file_holds_the_plan),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vt_kern_close(&kern);
    remove_folder(folder);
    return failed;
}

/* test_no_memory_more.c - allocations of encoding, decoding, judging pictures and of trainings fail once (failing_memory.h): a sample of them, with the
 * argument "all" each one, of one test with its name behind it. */
#include "tests/failing_memory.h"
#include "tests/model_folder.h"

#include "io/file.h"

enum { SIDE = 8, COUNT = 6, CLASSES = 2 };

static bool all;
static uint8_t pixels[COUNT][SIDE][SIDE][3];
static int32_t labels[COUNT];
static char tokens_path[160], output[160], judge_path[160];

/* ---- pictures, and what is made of them ---- */

static variant_data data_of(variant_array *array) {
    static const char *const names[] = {"dark", "light"};
    variant_data data;
    variant_array_init(array);
    array->pixels = &pixels[0][0][0][0];
    array->count = COUNT;
    array->height = array->width = SIDE;
    array->channels = 3;
    array->labels = labels;
    variant_data_init(&data);
    data.array = array;
    data.test_array = array;
    data.class_names = names;
    data.class_count = CLASSES;
    return data;
}

static variant_training training_of(variant_training_kind kind, const variant_data *data,
                                    const char *into) {
    variant_training training;
    variant_training_init(&training, kind);
    training.data = data;
    training.output = into;
    training.threads = 1;
    training.steps = 2;
    training.batch = 4;
    training.save_every = 1;
    training.log_every = 1;
    training.restart = true;
    return training;
}

static variant_status train_classifier(const char *into, variant_error *err) {
    variant_array array;
    variant_train_result result;
    variant_train_classifier_options options;
    const variant_data data = data_of(&array);
    const variant_training training = training_of(VARIANT_TRAINING_CLASSIFIER, &data, into);
    variant_train_classifier_options_init(&options);
    variant_train_result_init(&result);
    options.level_count = 1;
    options.mult[0] = 1;
    options.side = SIDE;
    options.crop = 0;
    return variant_train_classifier(&training, &options, &result, err);
}

static uint64_t digest_of_file(const char *name) {
    char path[256];
    vt_mapping map;
    fails_at = -1; /* what follows is the test's own */
    snprintf(path, sizeof path, "%s/%s", output, name);
    assert_ok(vt_mapping_open(&map, path, err));
    const uint64_t digest = vt_fnv1a64(map.data, map.size);
    vt_mapping_close(&map);
    return digest;
}

static variant_status encode(uint64_t *digest, variant_error *err);

static int set_up(void **state) {
    write_model(state);
    for (int i = 0; i < COUNT; ++i) {
        labels[i] = i % CLASSES;
        for (size_t at = 0; at < sizeof pixels[i]; ++at)
            (&pixels[i][0][0][0])[at] = (uint8_t)(at * (size_t)(7 + i) + (size_t)(100 * labels[i]));
    }
    snprintf(tokens_path, sizeof tokens_path, "%s/tokens.safetensors", folder);
    snprintf(output, sizeof output, "%s/run", folder);
    snprintf(judge_path, sizeof judge_path, "%s/judge", folder);
    assert_ok(train_classifier(judge_path, err));
    uint64_t unwanted;
    assert_ok(encode(&unwanted, err)); /* what decoding reads */
    return 0;
}

/* ---- what is tried ---- */

static variant_status open_tokenizer(variant_tokenizer **out, variant_error *err) {
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = 1;
    return variant_tokenizer_open(out, &options, err);
}

static variant_status encode(uint64_t *digest, variant_error *err) {
    variant_tokenizer *tokenizer = NULL;
    variant_tokens *tokens = NULL;
    variant_array array;
    const variant_data data = data_of(&array);
    variant_status status = open_tokenizer(&tokenizer, err);
    if (status == VARIANT_OK) status = variant_encode(tokenizer, &data, NULL, &tokens, err);
    if (status == VARIANT_OK) status = variant_tokens_write(tokens, tokens_path, err);
    if (status == VARIANT_OK)
        *digest = vt_fnv1a64(tokens->tokens, sizeof *tokens->tokens * (size_t)tokens->length *
                                                 (size_t)tokens->count);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
    return status;
}

static variant_status decode(uint64_t *digest, variant_error *err) {
    variant_tokenizer *tokenizer = NULL;
    variant_tokens *tokens = NULL;
    static uint8_t made[COUNT][SIDE][SIDE][3];
    variant_status status = open_tokenizer(&tokenizer, err);
    if (status == VARIANT_OK) status = variant_tokens_read(&tokens, tokens_path, 0, 0, err);
    if (status == VARIANT_OK)
        status = variant_decode(tokenizer, tokens->tokens, COUNT, NULL, &made[0][0][0][0], err);
    if (status == VARIANT_OK) *digest = vt_fnv1a64(made, sizeof made);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
    return status;
}

static variant_status judge_pictures(uint64_t *digest, variant_error *err) {
    variant_judge *judge = NULL;
    variant_judge_options open;
    variant_eval_options options;
    variant_scores scores;
    variant_array array;
    variant_data data = data_of(&array);
    data.split = "all";
    data.test_array = NULL;
    variant_judge_options_init(&open);
    open.features = judge_path;
    open.threads = 1;
    variant_eval_options_init(&options);
    options.draws = 2;
    options.pictures = &data;
    variant_scores_init(&scores);
    variant_status status = variant_judge_open(&judge, &open, err);
    if (status == VARIANT_OK) status = variant_judge_reference(judge, &data, 0, SIDE, 3, err);
    if (status == VARIANT_OK) status = variant_evaluate(judge, &options, &scores, err);
    if (status == VARIANT_OK) *digest = vt_fnv1a64(&scores.frechet, sizeof scores.frechet);
    variant_judge_close(&judge);
    return status;
}

static variant_status step_tokenizer(uint64_t *digest, variant_error *err) {
    variant_array array;
    variant_train_result result;
    variant_train_tokenizer_options options;
    const variant_data data = data_of(&array);
    const variant_training training = training_of(VARIANT_TRAINING_TOKENIZER, &data, output);
    variant_train_tokenizer_options_init(&options);
    variant_train_result_init(&result);
    options.level_count = 1;
    options.mult[0] = 1;
    options.scales = 2;
    options.sides[0] = 1, options.sides[1] = SIDE;
    options.codes = 16;
    options.latent_dim = 8;
    const variant_status status = variant_train_tokenizer(&training, &options, &result, err);
    if (status == VARIANT_OK) *digest = digest_of_file("tokenizer.safetensors");
    return status;
}

static variant_status step_transformer(uint64_t *digest, variant_error *err) {
    variant_array array;
    variant_train_result result;
    variant_train_transformer_options options;
    const variant_data data = data_of(&array);
    const variant_training training = training_of(VARIANT_TRAINING_TRANSFORMER, &data, output);
    variant_train_transformer_options_init(&options);
    variant_train_result_init(&result);
    options.tokenizer = model_path;
    options.depth = 2;
    options.width = 32;
    const variant_status status = variant_train_transformer(&training, &options, &result, err);
    if (status == VARIANT_OK) *digest = digest_of_file("transformer.safetensors");
    return status;
}

static variant_status step_classifier(uint64_t *digest, variant_error *err) {
    const variant_status status = train_classifier(output, err);
    if (status == VARIANT_OK) *digest = digest_of_file("classifier.safetensors");
    return status;
}

#define TRIED(name, what, step)                                                                    \
    static void name##_in_want(void **state) {                                                     \
        (void)state;                                                                               \
        each_allocation_fails_once(what, name, all ? 1 : step);                                    \
    }
TRIED(encode, "encode", 97)
TRIED(decode, "decode", 97)
TRIED(judge_pictures, "judge pictures", 31)
TRIED(step_tokenizer, "train a tokenizer", 293)
TRIED(step_transformer, "train a transformer", 293)
TRIED(step_classifier, "train a classifier", 293)

int main(int count, char **words) {
    all = count > 1 && strcmp(words[1], "all") == 0;
    if (count > 2) cmocka_set_test_filter(words[2]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encode_in_want),           cmocka_unit_test(decode_in_want),
        cmocka_unit_test(judge_pictures_in_want),   cmocka_unit_test(step_tokenizer_in_want),
        cmocka_unit_test(step_transformer_in_want), cmocka_unit_test(step_classifier_in_want)};
    return cmocka_run_group_tests(tests, set_up, remove_model);
}

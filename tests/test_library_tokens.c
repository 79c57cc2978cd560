/* test_library_tokens.c - pictures to token maps and back as a program that links libvariant does it: by include/variant.h alone. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include <math.h>
#include <pthread.h>
#include "tests/library.h"

#define MODEL VARIANT_SOURCE_DIR "/models/fashion"
enum { COUNT = 70, SIDE = 28 }; /* more than a batch */

static uint8_t pixels[COUNT][SIDE][SIDE];
static int32_t labels[COUNT];

/* Blobs of different places and sizes. */
static int setup(void **state) {
    (void)state;
    for (int i = 0; i < COUNT; ++i) {
        labels[i] = i % 10;
        for (int y = 0; y < SIDE; ++y)
            for (int x = 0; x < SIDE; ++x) {
                const double dx = x - 8 - i % 12, dy = y - 10 - i % 7;
                pixels[i][y][x] = (uint8_t)(255.0 * exp(-(dx * dx + dy * dy) / (20.0 + 3.0 * i)));
            }
    }
    return folder_make();
}

static int teardown(void **state) {
    (void)state;
    return folder_remove();
}

static variant_engine_options options_of(bool encoder) {
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = MODEL;
    options.encoder = encoder;
    return options;
}

/* The blobs, padded to the model's side. */
static variant_data data_of(variant_array *array) {
    variant_data data;
    variant_array_init(array);
    array->pixels = pixels[0][0];
    array->count = COUNT;
    array->height = array->width = SIDE;
    array->channels = 1;
    array->labels = labels;
    variant_data_init(&data);
    data.array = array;
    data.pad = true;
    return data;
}

static variant_tokenizer *open_alone(void) {
    variant_tokenizer *tokenizer = NULL;
    const variant_engine_options options = options_of(false);
    assert_ok(variant_tokenizer_open(&tokenizer, &options, &err));
    return tokenizer;
}

static variant_tokens *encode(variant_tokenizer *tokenizer) {
    variant_array array;
    variant_tokens *tokens = NULL;
    const variant_data data = data_of(&array);
    assert_ok(variant_encode(tokenizer, &data, NULL, &tokens, &err));
    return tokens;
}

/* ---- what they do ---- */

static void encodes_an_array(void **state) {
    (void)state;
    variant_tokenizer *tokenizer = open_alone();
    const variant_token_shape *shape = variant_tokenizer_shape(tokenizer);
    int sum = 0;
    for (int k = 0; k < shape->scales; ++k) sum += shape->sides[k] * shape->sides[k];
    assert_int_equal(shape->tokens, sum);
    assert_int_equal(shape->picture_side, 32);
    assert_int_equal(shape->channels, 1);
    assert_true(shape->encodes && shape->preview_decoder);
    assert_int_equal(strlen(shape->hash), 16);
    variant_tokens *tokens = encode(tokenizer);
    assert_int_equal(tokens->count, COUNT);
    assert_int_equal(tokens->length, sum);
    assert_memory_equal(tokens->labels, labels, sizeof labels);
    assert_string_equal(tokens->model, shape->hash);
    assert_memory_equal(tokens->sides, shape->sides, sizeof *shape->sides * (size_t)shape->scales);
    for (int i = 0; i < COUNT * sum; ++i) assert_in_range(tokens->tokens[i], 0, shape->codes - 1);
    /* not all blobs are one */
    assert_memory_not_equal(tokens->tokens, tokens->tokens + (COUNT - 1) * sum,
                            (size_t)sum * sizeof *tokens->tokens);
    variant_tokens_free(&tokens);
    assert_null(tokens);
    variant_tokenizer_close(&tokenizer);
    variant_tokenizer_close(&tokenizer);
}

/* A picture alone, in another order, by another thread: the same tokens. */
typedef struct worker {
    const variant_engine *engine;
    variant_tokens *tokens;
    variant_status status;
    variant_error error;
} worker;

static void *work(void *user) {
    worker *w = user;
    variant_array array;
    variant_tokenizer *tokenizer = NULL;
    const variant_data data = data_of(&array);
    w->status = variant_tokenizer_of(&tokenizer, w->engine, &w->error);
    if (w->status == VARIANT_OK)
        w->status = variant_encode(tokenizer, &data, NULL, &w->tokens, &w->error);
    variant_tokenizer_close(&tokenizer);
    return NULL;
}

static void an_engines_tokenizers_at_once(void **state) {
    (void)state;
    variant_engine *engine = NULL;
    const variant_engine_options options = options_of(true);
    variant_tokenizer *alone = open_alone();
    variant_tokens *tokens = encode(alone);
    worker workers[2] = {{0}, {0}};
    pthread_t threads[2];
    assert_ok(variant_engine_open(&engine, &options, &err));
    for (int i = 0; i < 2; ++i) {
        workers[i].engine = engine;
        assert_int_equal(pthread_create(&threads[i], NULL, work, &workers[i]), 0);
    }
    for (int i = 0; i < 2; ++i) {
        pthread_join(threads[i], NULL);
        if (workers[i].status != VARIANT_OK) fail_msg("%s", workers[i].error.message);
        assert_memory_equal(workers[i].tokens->tokens, tokens->tokens,
                            (size_t)COUNT * (size_t)tokens->length * sizeof *tokens->tokens);
        variant_tokens_free(&workers[i].tokens);
    }
    variant_array array;
    variant_data data = data_of(&array);
    variant_tokens *last = NULL;
    array.pixels = pixels[COUNT - 1][0];
    array.labels = NULL;
    array.count = 1;
    assert_ok(variant_encode(alone, &data, NULL, &last, &err));
    assert_null(last->labels);
    assert_memory_equal(last->tokens, tokens->tokens + (COUNT - 1) * tokens->length,
                        (size_t)tokens->length * sizeof *tokens->tokens);
    variant_tokens_free(&last);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&alone);
    variant_engine_close(&engine);
}

typedef struct seen {
    int count, stop_at;
    double psnr;
    const uint8_t *decoded; /* (COUNT, side, side) */
} seen;

/* What reconstruct tells is the padded picture, and what decode makes of its tokens. */
static bool look(void *user, const variant_reconstruction *at) {
    seen *s = user;
    const size_t size = (size_t)at->side * (size_t)at->side;
    assert_int_equal(at->picture, s->count);
    assert_int_equal(at->pictures, COUNT);
    assert_int_equal(at->label, labels[s->count]);
    assert_int_equal(at->original[0], 0);
    assert_memory_equal(at->original + 2 * 32 + 2, pixels[s->count][0], SIDE);
    if (s->decoded) assert_memory_equal(at->pixels, s->decoded + (size_t)s->count * size, size);
    double mse = 0;
    for (size_t i = 0; i < size; ++i) mse += pow((at->original[i] - at->pixels[i]) / 255.0, 2);
    assert_true(fabs(-10 * log10(mse / (double)size) - at->psnr) < 0.1); /* rounding to bytes */
    s->psnr += at->psnr;
    ++s->count;
    return s->count != s->stop_at;
}

static bool stop(void *user, int done, int total) {
    (void)user;
    assert_int_equal(total, COUNT);
    return done == 0;
}

static void there_and_back(void **state) {
    (void)state;
    variant_tokenizer *tokenizer = open_alone();
    variant_tokens *tokens = encode(tokenizer);
    uint8_t *decoded = malloc(COUNT * 32 * 32);
    seen s = {.decoded = decoded};
    variant_array array;
    variant_data data = data_of(&array);
    variant_tokenize_options options;
    variant_fidelity found;
    variant_tokenize_options_init(&options);
    variant_fidelity_init(&found);
    assert_ok(variant_decode(tokenizer, tokens->tokens, COUNT, NULL, decoded, &err));
    data.split = "all";
    options.user = &s;
    assert_ok(variant_reconstruct(tokenizer, &data, &options, look, &found, &err));
    assert_int_equal(s.count, COUNT);
    assert_int_equal(found.pictures, COUNT);
    assert_true(fabs(found.psnr - s.psnr / COUNT) < 1e-9 && found.psnr > 15);
    assert_int_equal(found.native_side, 0);
    options.decoder = "preview"; /* another, in the same tokenizer, and back */
    s = (seen){0};
    variant_fidelity preview;
    variant_fidelity_init(&preview);
    assert_ok(variant_reconstruct(tokenizer, &data, &options, look, &preview, &err));
    assert_true(preview.psnr != found.psnr);
    uint8_t again[2 * 32 * 32];
    assert_ok(variant_decode(tokenizer, tokens->tokens, 2, NULL, again, &err));
    assert_memory_equal(again, decoded, sizeof again);
    s = (seen){.stop_at = 3};
    assert_fails(variant_reconstruct(tokenizer, &data, &options, look, NULL, &err),
                 VARIANT_E_STOPPED, "after 3 of 70");
    data.split = NULL; /* the share that is held out */
    assert_ok(variant_reconstruct(tokenizer, &data, NULL, NULL, &found, &err));
    assert_in_range(found.pictures, 1, COUNT / 4);
    free(decoded);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
}

static void to_files_and_back(void **state) {
    (void)state;
    variant_tokenizer *tokenizer = open_alone();
    const variant_token_shape *shape = variant_tokenizer_shape(tokenizer);
    variant_tokens *tokens = encode(tokenizer);
    const char *names[] = {"x.safetensors", "x.npz"};
    for (int i = 0; i < 2; ++i) {
        variant_tokens *read = NULL;
        const char *path = in_folder(names[i]);
        assert_ok(variant_tokens_write(tokens, path, &err));
        assert_ok(variant_tokens_read(&read, path, shape->tokens, shape->codes, &err));
        assert_int_equal(read->count, COUNT);
        assert_memory_equal(read->tokens, tokens->tokens,
                            (size_t)COUNT * (size_t)tokens->length * sizeof *tokens->tokens);
        assert_memory_equal(read->labels, labels, sizeof labels);
        assert_int_equal(read->scales, shape->scales);
        assert_memory_equal(read->sides, shape->sides,
                            sizeof *shape->sides * (size_t)shape->scales);
        variant_tokens_free(&read);
        assert_fails(variant_tokens_read(&read, path, shape->tokens + 1, 0, &err), VARIANT_E_MODEL,
                     "this tokenizer's have");
        assert_fails(variant_tokens_read(&read, path, 0, 1, &err), VARIANT_E_MODEL,
                     "expected 0 to 0");
        assert_null(read);
    }
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
}

/* A list of files: in this order, one that is no picture is an error. */
static void encodes_files(void **state) {
    (void)state;
    variant_tokenizer *tokenizer = open_alone();
    variant_tokens *tokens = encode(tokenizer), *of_files = NULL;
    const char *const files[] = {in_folder("b.png"), in_folder("a.png")};
    for (int i = 0; i < 2; ++i) {
        const variant_picture picture = {
            .width = SIDE, .height = SIDE, .channels = 1, .pixels = pixels[5 * i][0]};
        assert_ok(variant_picture_write(&picture, files[i], 0, &err));
    }
    variant_data data;
    variant_data_init(&data);
    data.files = files;
    data.file_count = 2;
    data.pad = true;
    assert_ok(variant_encode(tokenizer, &data, NULL, &of_files, &err));
    assert_int_equal(of_files->count, 2);
    assert_null(of_files->labels);
    assert_string_equal(of_files->names[1], files[1]);
    const size_t length = (size_t)tokens->length;
    assert_memory_equal(of_files->tokens, tokens->tokens, length * sizeof *tokens->tokens);
    assert_memory_equal(of_files->tokens + length, tokens->tokens + 5 * length,
                        length * sizeof *tokens->tokens);
    variant_tokens_free(&of_files);
    FILE *text = fopen(files[1], "w");
    fputs("no picture", text);
    fclose(text);
    assert_fails(variant_encode(tokenizer, &data, NULL, &of_files, &err), VARIANT_E_FORMAT,
                 files[1]);
    variant_tokens_free(&tokens);
    variant_tokenizer_close(&tokenizer);
}

static void of_generated_pictures(void **state) {
    (void)state;
    variant_engine *engine = NULL;
    const variant_engine_options options = options_of(false);
    variant_request request;
    variant_picture *pictures = NULL;
    variant_tokens *tokens = NULL, *read = NULL;
    assert_ok(variant_engine_open(&engine, &options, &err));
    variant_request_init(&request);
    request.count = 3;
    request.class_name = "all";
    assert_ok(variant_generate(engine, &request, &pictures, NULL, &err));
    assert_ok(variant_pictures_tokens(pictures, 3, &tokens, &err));
    assert_int_equal(tokens->labels[2], 2);
    assert_string_equal(tokens->settings, pictures[0].settings);
    assert_ok(variant_tokens_write(tokens, in_folder("made.safetensors"), &err));
    assert_ok(variant_tokens_read(&read, in_folder("made.safetensors"), 0, 0, &err));
    assert_string_equal(read->settings, tokens->settings);
    assert_string_equal(read->model, variant_engine_info(engine)->hash);
    /* they decode to what was generated; this engine has no encoder */
    variant_tokenizer *tokenizer = NULL;
    uint8_t *decoded = malloc(3 * 32 * 32);
    assert_ok(variant_tokenizer_of(&tokenizer, engine, &err));
    assert_false(variant_tokenizer_shape(tokenizer)->encodes);
    assert_ok(variant_decode(tokenizer, read->tokens, 3, NULL, decoded, &err));
    for (int i = 0; i < 3; ++i)
        assert_memory_equal(decoded + i * 32 * 32, pictures[i].pixels, 32 * 32);
    variant_array array;
    const variant_data data = data_of(&array);
    variant_tokens *none = NULL;
    assert_fails(variant_encode(tokenizer, &data, NULL, &none, &err), VARIANT_E_ARGUMENT,
                 "variant_engine_options.encoder");
    assert_null(none);
    free(decoded);
    variant_tokens_free(&tokens);
    variant_tokens_free(&read);
    variant_pictures_free(&pictures, 3);
    variant_tokenizer_close(&tokenizer);
    variant_engine_close(&engine);
}

/* ---- what is wrong ---- */

/* The metadata of a file, changed in place to others of the same length. */
static void sides_of_a_file(void **state) {
    (void)state;
    int32_t five[5] = {0};
    const char *wrong[] = {"[2,1]", "[1,3]", "[0,2]", "[1,1]", "[{}]"};
    const char *path = in_folder("told.safetensors");
    variant_tokens of_five = {
        .count = 1, .length = 5, .tokens = five, .scales = 2, .sides = {1, 2}};
    variant_tokens *tokens = NULL;
    for (int i = 0; i < 5; ++i) {
        char bytes[1024];
        assert_ok(variant_tokens_write(&of_five, path, &err));
        FILE *file = fopen(path, "r+b");
        const size_t size = fread(bytes, 1, sizeof bytes, file);
        char *at = strstr(bytes + 8, "[1,2]"); /* behind the length */
        assert_non_null(at);
        memcpy(at, wrong[i], strlen(wrong[i]));
        memset(at + strlen(wrong[i]), ' ', 5 - strlen(wrong[i]));
        rewind(file);
        assert_int_equal(fwrite(bytes, 1, size, file), size);
        fclose(file);
        assert_fails(variant_tokens_read(&tokens, path, 5, 0, &err), VARIANT_E_FORMAT, path);
        if (!strstr(err.message, "side")) fail_msg("%s", err.message);
        assert_null(tokens);
    }
}

static void wrong_arguments(void **state) {
    (void)state;
    variant_tokenizer *tokenizer = open_alone(), *none = NULL;
    variant_array array;
    variant_data data = data_of(&array);
    variant_tokens *tokens = NULL;
    variant_tokenize_options options;
    int32_t ids[2000] = {0};
    uint8_t out[32 * 32];
    const int cancel = 1;
    variant_tokenize_options_init(&options);
    assert_fails(variant_encode(NULL, &data, NULL, &tokens, &err), VARIANT_E_ARGUMENT,
                 "no tokenizer");
    assert_fails(variant_encode(tokenizer, NULL, NULL, &tokens, &err), VARIANT_E_ARGUMENT,
                 "variant_data");
    assert_int_equal(variant_encode(tokenizer, &data, NULL, NULL, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(variant_encode(tokenizer, &data, NULL, NULL, NULL), VARIANT_E_ARGUMENT);
    array.channels = 4;
    assert_fails(variant_encode(tokenizer, &data, NULL, &tokens, &err), VARIANT_E_ARGUMENT,
                 "4 channels");
    array.channels = 1;
    data.split = "half";
    assert_fails(variant_encode(tokenizer, &data, NULL, &tokens, &err), VARIANT_E_ARGUMENT,
                 "split half");
    data.split = NULL;
    data.files = (const char *const[]){"x.png"};
    data.file_count = 1;
    assert_fails(variant_encode(tokenizer, &data, NULL, &tokens, &err), VARIANT_E_ARGUMENT,
                 "expected one of them");
    data.files = NULL;
    data.file_count = 0;
    options.decoder = "half";
    assert_fails(variant_encode(tokenizer, &data, &options, &tokens, &err), VARIANT_E_ARGUMENT,
                 "decoder \"half\"");
    options.decoder = NULL;
    options.count = -1;
    assert_fails(variant_encode(tokenizer, &data, &options, &tokens, &err), VARIANT_E_ARGUMENT,
                 "count -1");
    options.count = 0;
    options.cancel = &cancel;
    assert_fails(variant_encode(tokenizer, &data, &options, &tokens, &err), VARIANT_E_STOPPED,
                 "stopped");
    options.cancel = NULL;
    options.progress = stop;
    assert_fails(variant_encode(tokenizer, &data, &options, &tokens, &err), VARIANT_E_STOPPED,
                 "of 70 pictures");
    options.size = 0;
    assert_fails(variant_encode(tokenizer, &data, &options, &tokens, &err), VARIANT_E_ARGUMENT,
                 "variant_tokenize_options_init");
    ids[3] = 1 << 20;
    assert_fails(variant_decode(tokenizer, ids, 1, NULL, out, &err), VARIANT_E_ARGUMENT,
                 "token 3 of picture 0");
    ids[3] = -1;
    assert_fails(variant_decode(tokenizer, ids, 1, NULL, out, &err), VARIANT_E_ARGUMENT, "is -1");
    assert_fails(variant_decode(tokenizer, ids, 0, NULL, out, &err), VARIANT_E_ARGUMENT, "0 token");
    assert_fails(variant_decode(tokenizer, NULL, 1, NULL, out, &err), VARIANT_E_ARGUMENT, "token");
    assert_fails(variant_tokenizer_of(&none, NULL, &err), VARIANT_E_ARGUMENT, "no engine");
    assert_fails(variant_tokenizer_open(&none, NULL, &err), VARIANT_E_ARGUMENT, "init");
    assert_fails(variant_pictures_tokens(NULL, 1, &tokens, &err), VARIANT_E_ARGUMENT, "tokens");
    assert_fails(variant_tokens_write(NULL, "x", &err), VARIANT_E_ARGUMENT, "tokens");
    const variant_tokens sides_beyond = {
        .count = 1, .length = 1, .tokens = ids, .scales = VARIANT_MAX_SCALES + 1};
    assert_fails(variant_tokens_write(&sides_beyond, in_folder("beyond.npz"), &err),
                 VARIANT_E_ARGUMENT, "scales");
    int32_t five[5] = {0};
    const char *endings[] = {"x.npz", "x.safetensors"};
    variant_tokens of_five = {
        .count = 1, .length = 5, .tokens = five, .scales = 2, .sides = {1, 2}};
    for (int i = 0; i < 2; ++i) { /* sides that are none are neither written nor read */
        assert_ok(variant_tokens_write(&of_five, in_folder(endings[i]), &err));
        assert_ok(variant_tokens_read(&tokens, in_folder(endings[i]), 5, 0, &err));
        assert_int_equal(tokens->sides[1], 2);
        variant_tokens_free(&tokens);
    }
    of_five.sides[1] = 3;
    assert_fails(variant_tokens_write(&of_five, in_folder("y.npz"), &err), VARIANT_E_ARGUMENT,
                 "10 tokens in all, a picture has 5");
    of_five.sides[0] = 0;
    assert_fails(variant_tokens_write(&of_five, in_folder("y.npz"), &err), VARIANT_E_ARGUMENT,
                 "side 0 of scale 0");
    of_five = (variant_tokens){.count = 1, .length = 5, .tokens = five};
    assert_fails(variant_tokens_write(&of_five, in_folder("y.npy"), &err), VARIANT_E_ARGUMENT,
                 ".safetensors or .npz");
    assert_fails(variant_tokens_path_check(NULL, &err), VARIANT_E_ARGUMENT, "file");
    assert_fails(variant_tokens_path_check("a.npz/b.pt", &err), VARIANT_E_ARGUMENT, "not in .pt");
    assert_ok(variant_tokens_path_check("a.pt/b.npz", &err));
    assert_fails(variant_tokens_path_check("tokens", &err), VARIANT_E_ARGUMENT,
                 "tokens: tokens are written to files that end in .safetensors or .npz");
    assert_fails(variant_tokens_path_check("a.npz/.npz", &err), VARIANT_E_ARGUMENT, "that end in");
    assert_ok(variant_tokens_path_check("/dev/null", &err));
    assert_ok(variant_tokens_path_check("-", &err));
    assert_fails(variant_tokens_read(&tokens, in_folder("missing.npz"), 0, 0, &err), VARIANT_E_IO,
                 "missing.npz");
    assert_null(none);
    assert_null(tokens);
    variant_tokens_free(NULL);
    variant_tokenizer_close(NULL);
    variant_tokenizer_close(&tokenizer);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(encodes_an_array), cmocka_unit_test(an_engines_tokenizers_at_once),
        cmocka_unit_test(there_and_back),   cmocka_unit_test(to_files_and_back),
        cmocka_unit_test(encodes_files),    cmocka_unit_test(of_generated_pictures),
        cmocka_unit_test(sides_of_a_file),  cmocka_unit_test(wrong_arguments),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

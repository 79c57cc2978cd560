/* test_library_nulls.c - NULL where the public functions want an object or a place: one line of E_ARGUMENT, or nothing to tell; never a
 * crash. Errors are empty after a success. */
#include <limits.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include "tests/library.h"

static variant_engine *engine;

/* Fails with E_ARGUMENT and the words. */
#define REFUSES(words, call) assert_fails(call, VARIANT_E_ARGUMENT, words)
/* Succeeds, and empties an error that was full. */
#define EMPTIES(call)                                                                              \
    do {                                                                                           \
        err = (variant_error){VARIANT_E_IO, "old"};                                                \
        assert_ok(call);                                                                           \
        assert_int_equal(err.status, VARIANT_OK);                                                  \
        assert_string_equal(err.message, "");                                                      \
    } while (0)

static int open_engine(void **state) {
    (void)state;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = VARIANT_SOURCE_DIR "/models/fashion";
    options.threads = 1;
    if (folder_make() != 0) return -1;
    return variant_engine_open(&engine, &options, &err) == VARIANT_OK ? 0 : -1;
}

static int close_engine(void **state) {
    (void)state;
    variant_engine_close(&engine);
    return folder_remove();
}

static void request_of(variant_request *request) {
    variant_request_init(request);
    request->class_name = "Bag";
    request->depth = 2;
    request->bridge = 0;
    request->keep_scales = true;
}

static void engines(void **state) {
    (void)state;
    variant_engine_options options;
    variant_engine_options_init(&options);
    int count;
    int32_t labels[4];
    REFUSES("nowhere to put an engine", variant_engine_open(NULL, &options, &err));
    REFUSES("no engine", variant_engine_labels(NULL, "Bag", labels, 4, &count, &err));
    REFUSES("no class", variant_engine_labels(engine, NULL, labels, 4, &count, &err));
    REFUSES("number of labels", variant_engine_labels(engine, "Bag", labels, 4, NULL, &err));
    EMPTIES(variant_engine_labels(engine, "Bag", labels, 4, &count, &err));
    assert_null(variant_engine_info(NULL));
    assert_null(variant_engine_class_name(NULL, 0));
    assert_int_equal(variant_engine_suggest(NULL, "Bag", labels, 4), 0);
    variant_engine_trim(NULL);
    REFUSES("engine", variant_engine_intact(NULL, &err));
    variant_engine_close(NULL);
    char line[8];
    REFUSES("nowhere", variant_backend_describe("ref", NULL, 8, &err));
    EMPTIES(variant_backend_describe("ref", line, sizeof line, &err));
}

static void requests(void **state) {
    (void)state;
    variant_request request;
    request_of(&request);
    variant_picture *pictures = NULL;
    variant_memory memory;
    variant_memory_init(&memory);
    REFUSES("no engine", variant_generate(NULL, &request, &pictures, NULL, &err));
    REFUSES("nowhere to put pictures", variant_generate(engine, &request, NULL, NULL, &err));
    REFUSES("no engine", variant_request_memory(NULL, &request, &memory, &err));
    EMPTIES(variant_request_memory(engine, &request, &memory, &err));
    assert_null(pictures);
}

static void loops(void **state) {
    (void)state;
    variant_request request;
    request_of(&request);
    variant_loop *loop = NULL;
    variant_job *job = NULL;
    variant_picture *pictures = NULL;
    REFUSES("nowhere to put a loop", variant_loop_open(NULL, engine, &err));
    REFUSES("no engine", variant_loop_open(&loop, NULL, &err));
    REFUSES("no loop", variant_loop_add(NULL, &request, &job, &err));
    REFUSES("no loop", variant_loop_step(NULL, NULL, &err));
    EMPTIES(variant_loop_open(&loop, engine, &err));
    REFUSES("nowhere to put a job", variant_loop_add(loop, &request, NULL, &err));
    EMPTIES(variant_loop_add(loop, &request, &job, &err));
    REFUSES("nowhere to put pictures", variant_job_take(&job, NULL, NULL, &err));
    REFUSES("no job", variant_job_take(NULL, &pictures, NULL, &err));
    assert_true(variant_job_done(NULL));
    variant_job_cancel(NULL);
    while (!variant_job_done(job)) EMPTIES(variant_loop_step(loop, NULL, &err));
    EMPTIES(variant_job_take(&job, &pictures, NULL, &err));
    variant_pictures_free(&pictures, 1);
    variant_loop_close(&loop);
    variant_loop_close(NULL);
}

static void pictures_and_files(void **state) {
    (void)state;
    variant_request request, again;
    request_of(&request);
    variant_request_init(&again);
    variant_picture *made = NULL;
    variant_settings *settings = NULL;
    variant_animation animation;
    variant_animation_init(&animation);
    uint8_t *bytes = NULL;
    size_t size;
    const char *png = in_folder("a.png");
    REFUSES("name of a folder", variant_folder_make(NULL, &err));
    assert_false(variant_is_standard_output(NULL));
    EMPTIES(variant_generate(engine, &request, &made, NULL, &err));
    REFUSES("no picture", variant_picture_write(NULL, png, 0, &err));
    REFUSES("no picture", variant_picture_write_png(NULL, png, &err));
    REFUSES("no picture", variant_picture_write_scale_png(NULL, 0, png, &err));
    REFUSES("no picture", variant_picture_encode(NULL, "png", 0, &bytes, &size, &err));
    REFUSES("nowhere", variant_picture_encode(made, "png", 0, NULL, &size, &err));
    REFUSES("nowhere", variant_picture_encode(made, "png", 0, &bytes, NULL, &err));
    REFUSES("a sheet needs pictures", variant_pictures_write_sheet(NULL, 1, 1, 1, png, 0, &err));
    REFUSES("an animation needs", variant_pictures_write_animation(NULL, 1, &animation, png, &err));
    const variant_picture wrong[] = {
        {.width = 2, .height = 2, .channels = 1},
        {.width = -2, .height = 2, .channels = 1, .pixels = made->pixels},
        {.width = 2, .height = 2, .channels = 4, .pixels = made->pixels}};
    for (int i = 0; i < 3; ++i) {
        REFUSES("a picture of", variant_picture_encode(&wrong[i], "jpeg", 0, &bytes, &size, &err));
        REFUSES("a picture of", variant_pictures_write_sheet(&wrong[i], 1, 1, 1, png, 0, &err));
    }
    REFUSES("zoom", variant_pictures_write_sheet(made, 1, 1, 1 << 30, png, 0, &err));
    animation.zoom = 1 << 30;
    REFUSES("zoom", variant_pictures_write_animation(made, 1, &animation, png, &err));
    variant_animation_init(&animation);
    EMPTIES(variant_picture_encode(made, "png", 0, &bytes, &size, &err));
    EMPTIES(variant_pictures_write_sheet(made, 1, 1, 1, png, 0, &err));
    EMPTIES(variant_pictures_write_animation(made, 1, &animation, png, &err));
    EMPTIES(variant_picture_write_scale_png(made, 0, png, &err));
    EMPTIES(variant_picture_write_png(made, png, &err));
    EMPTIES(variant_picture_write(made, png, 0, &err));
    REFUSES("nowhere to put settings", variant_settings_read(NULL, png, &err));
    REFUSES("expected its file", variant_settings_read(&settings, NULL, &err));
    EMPTIES(variant_settings_read(&settings, png, &err));
    REFUSES("no settings", variant_settings_request(NULL, engine, &again, &err));
    REFUSES("no engine", variant_settings_request(settings, NULL, &again, &err));
    EMPTIES(variant_settings_request(settings, engine, &again, &err));
    assert_string_equal(variant_settings_weights(NULL), "");
    assert_string_equal(variant_settings_kv(NULL), "");
    assert_false(variant_settings_edit(NULL, NULL));
    variant_settings_free(&settings);
    variant_settings_free(NULL);
    variant_pictures_free(&made, 1);
    variant_pictures_free(NULL, 1);
    free(bytes);
}

static void plans(void **state) {
    (void)state;
    variant_request request;
    request_of(&request);
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.memory_only = true;
    variant_plan plan, **all = NULL;
    variant_plan_init(&plan);
    variant_seconds seconds;
    variant_seconds_init(&seconds);
    variant_times *times = NULL;
    int count;
    REFUSES("no engine", variant_plan_make(NULL, &request, &options, &plan, &err));
    REFUSES("no engine", variant_plan_list(NULL, &request, &options, &all, &count, &err));
    REFUSES("nowhere", variant_plan_list(engine, &request, &options, NULL, &count, &err));
    REFUSES("nowhere", variant_plan_list(engine, &request, &options, &all, NULL, &err));
    REFUSES("no engine", variant_request_seconds(NULL, &request, &options, &seconds, &err));
    REFUSES("nowhere to put times", variant_times_open(NULL, &err));
    EMPTIES(variant_times_open(&times, &err));
    variant_times_close(&times);
    variant_times_close(NULL);
    EMPTIES(variant_plan_make(engine, &request, &options, &plan, &err));
    variant_plan_apply(NULL, &request);
    variant_plan_apply(&plan, NULL);
    variant_request_init_sized(NULL, sizeof request);
}

/* A count of a list that is not there names both; 0 of one that is there is as good as none. */
static void lists(void **state) {
    (void)state;
    variant_request request;
    variant_picture *pictures = NULL;
    request_of(&request);
    int *const counts[] = {&request.label_count, &request.given_count, &request.edit_count,
                           &request.cfg_scale_count};
    const char *const told[] = {
        "label_count 3, but labels is NULL", "given_count 3, but given_tokens is NULL",
        "edit_count 3, but edits is NULL", "cfg_scale_count 3, but cfg_scales is NULL"};
    for (int i = 0; i < 4; ++i) {
        *counts[i] = 3;
        REFUSES(told[i], variant_generate(engine, &request, &pictures, NULL, &err));
        *counts[i] = -1;
        REFUSES("is NULL", variant_generate(engine, &request, &pictures, NULL, &err));
        *counts[i] = 0;
    }
    variant_engine *other = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = VARIANT_SOURCE_DIR "/models/fashion";
    options.tokenizer_tensor_count = 2;
    REFUSES("tokenizer_tensor_count 2, but tokenizer_tensors is NULL",
            variant_engine_open(&other, &options, &err));
    options.tokenizer_tensor_count = 0;
    options.model_size = 2;
    REFUSES("model_size 2, but model_bytes is NULL", variant_engine_open(&other, &options, &err));
    variant_sweep_options sweep;
    variant_sweep_options_init(&sweep);
    sweep.folder = in_folder("sweep");
    sweep.zone_count = 2;
    REFUSES("zone_count 2, but zones is NULL", variant_sweep(engine, &request, &sweep, &err));
    variant_tokenizer *tokenizer = NULL;
    variant_tokens *tokens = NULL;
    variant_data data;
    variant_data_init(&data);
    EMPTIES(variant_tokenizer_of(&tokenizer, engine, &err));
    data.path_count = 1;
    REFUSES("path_count 1, but paths is NULL",
            variant_encode(tokenizer, &data, NULL, &tokens, &err));
    data.path_count = 0;
    data.file_count = 1;
    REFUSES("file_count 1, but files is NULL",
            variant_encode(tokenizer, &data, NULL, &tokens, &err));
    variant_tokenizer_close(&tokenizer);
    uint8_t pixel = 0;
    variant_picture picture = {.width = 1, .height = 1, .channels = 1, .pixels = &pixel};
    picture.scale_count = 1;
    REFUSES("scale_count 1, but scale_pixels is NULL",
            variant_picture_write_scale_png(&picture, 0, "x.png", &err));
    variant_animation animation;
    variant_animation_init(&animation);
    REFUSES("scale_count 1, but scale_pixels is NULL",
            variant_pictures_write_animation(&picture, 1, &animation, "x.png", &err));
}

/* Sizes beyond what pictures may have, of those that a caller made and of what it wants of them. */
static void sizes(void **state) {
    (void)state;
    static uint8_t pixels[12];
    variant_picture small = {.width = 2, .height = 2, .channels = 3, .pixels = pixels}, *out = NULL;
    const int wrong[][2] = {{0, 2}, {2, 0}, {-1, 2}, {32769, 2}, {2, INT_MAX}, {32768, 32768}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
        REFUSES("scaling a picture: the wanted size is",
                variant_picture_scale(&out, &small, wrong[i][0], wrong[i][1], &err));
    EMPTIES(variant_picture_scale(&out, &small, 32768, 1, &err));
    variant_pictures_free(&out, 1);
    for (size_t i = 0; i + 1 < sizeof wrong / sizeof *wrong; ++i) {
        variant_picture odd = small;
        uint8_t *bytes = NULL;
        size_t size;
        odd.width = wrong[i][0];
        odd.height = wrong[i][1];
        REFUSES("expected sides of 1 to 32768", variant_picture_scale(&out, &odd, 4, 4, &err));
        static const char *const formats[] = {"png", "jpeg", "webp"};
        for (int f = 0; f < 3; ++f)
            REFUSES("expected sides of 1 to 32768",
                    variant_picture_encode(&odd, formats[f], 0, &bytes, &size, &err));
    }
    small.channels = 2;
    REFUSES("2 channels", variant_picture_scale(&out, &small, 4, 4, &err));
    small.channels = 3;
    small.pixels = NULL;
    REFUSES("at NULL", variant_picture_scale(&out, &small, 4, 4, &err));
    REFUSES("no picture", variant_picture_scale(&out, NULL, 4, 4, &err));
    REFUSES("nowhere to put a picture", variant_picture_scale(NULL, &small, 4, 4, &err));
    int side;
    REFUSES("where to put it", variant_picture_probe("x.png", &side, NULL, &side, &err));
    REFUSES("where to put it", variant_picture_probe("x.png", &side, &side, NULL, &err));
}

static void tellers(void **state) {
    (void)state;
    assert_null(variant_tokenizer_shape(NULL));
    assert_null(variant_judge_network(NULL));
    assert_null(variant_judge_class_name(NULL, 0));
    assert_null(variant_inspection_json(NULL));
    assert_int_equal(variant_seed_list_count(NULL), 0);
    assert_int_equal(variant_seed_list_seed(NULL, 0), 0);
    variant_seed_list *list = NULL;
    EMPTIES(variant_seed_list_open(&list, &err));
    assert_int_equal(variant_seed_list_seed(list, 0), 0);
    assert_int_equal(variant_seed_list_seed(list, -1), 0);
    variant_seed_list_close(&list);
    char line[64];
    assert_int_equal(variant_sandbox_describe(NULL, 64), variant_sandbox_describe(line, 64));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(engines), cmocka_unit_test(requests),
        cmocka_unit_test(loops),   cmocka_unit_test(pictures_and_files),
        cmocka_unit_test(plans),   cmocka_unit_test(lists),
        cmocka_unit_test(sizes),   cmocka_unit_test(tellers),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}

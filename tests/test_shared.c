/* test_shared.c - one engine in many threads, through include/variant.h alone: while some generate and cancel each other, others
 * ask it everything that may be asked; each gets the answer that it gets alone. Also built with the thread sanitizer (preset
 * tsan); test_concurrent.c has what is generated at once. */
#include "tests/model_folder.h"

#include <pthread.h>
#include <stdatomic.h>

enum { ROUNDS = 6 };

typedef struct asked {
    const variant_engine *engine;
    variant_times *times; /* one for all */
    const variant_picture *alone;
    _Atomic int *waiting;
    int faults; /* cmocka's assertions belong to the main thread */
} asked;

static _Atomic int lines[3]; /* that were logged, by level */

static void count_line(void *user, variant_log_level level, const char *line) {
    (void)user;
    if (*line && !strchr(line, '\n')) atomic_fetch_add(&lines[level], 1);
}

static void begin_together(asked *a) {
    atomic_fetch_sub(a->waiting, 1);
    while (atomic_load(a->waiting) > 0) {
    }
}

static variant_request small_request(void) {
    variant_request request;
    variant_request_init(&request);
    request.class_name = "3";
    request.count = 2;
    request.seed = 5;
    return request;
}

static bool is_alone(const asked *a, const variant_picture *picture) {
    const size_t bytes = (size_t)picture->width * (size_t)picture->height * 3;
    return memcmp(picture->pixels, a->alone->pixels, bytes) == 0 &&
           strcmp(picture->settings, a->alone->settings) == 0;
}

static void *generate(void *argument) {
    asked *a = argument;
    const variant_request request = small_request();
    begin_together(a);
    for (int i = 0; i < ROUNDS; ++i) {
        variant_picture *pictures = NULL;
        a->faults += variant_generate(a->engine, &request, &pictures, NULL, NULL) != VARIANT_OK ||
                     !is_alone(a, pictures);
        variant_pictures_free(&pictures, request.count);
        variant_engine_trim(a->engine);
    }
    return NULL;
}

/* ---- cancelled from beside ---- */

typedef struct crossing {
    variant_job *_Atomic job;
    int flag; /* a request's */
} crossing;

static void *cancel_both(void *argument) {
    crossing *c = argument;
    while (!atomic_load(&c->job)) {
    }
    variant_job_cancel(c->job);
    __atomic_store_n(&c->flag, 1, __ATOMIC_RELAXED);
    return NULL;
}

/* Two endless requests of one loop, one ended by its flag and one as a job. */
static void *be_cancelled(void *argument) {
    asked *a = argument;
    begin_together(a);
    for (int i = 0; i < ROUNDS; ++i) {
        crossing c = {.flag = 0};
        pthread_t other;
        variant_loop *loop = NULL;
        variant_job *jobs[2];
        variant_picture *none;
        variant_request request = small_request();
        request.count = 100000;
        variant_request flagged = request;
        flagged.cancel = &c.flag;
        a->faults += variant_loop_open(&loop, a->engine, NULL) != VARIANT_OK ||
                     variant_loop_add(loop, &request, &jobs[0], NULL) != VARIANT_OK ||
                     variant_loop_add(loop, &flagged, &jobs[1], NULL) != VARIANT_OK;
        if (pthread_create(&other, NULL, cancel_both, &c) != 0) abort();
        atomic_store(&c.job, jobs[0]);
        for (int left = 1; left > 0;)
            a->faults += variant_loop_step(loop, &left, NULL) != VARIANT_OK;
        pthread_join(other, NULL);
        for (int j = 0; j < 2; ++j)
            a->faults += variant_job_take(&jobs[j], &none, NULL, NULL) != VARIANT_E_STOPPED;
        variant_loop_close(&loop);
    }
    return NULL;
}

/* ---- questions ---- */

static bool knows_classes(const variant_engine *engine) {
    int32_t labels[4], near[4];
    int count = 0;
    variant_error error;
    return variant_engine_labels(engine, "3,cherry", labels, 4, &count, NULL) == VARIANT_OK &&
           count == 2 && labels[0] == 3 && labels[1] == 2 &&
           strcmp(variant_engine_class_name(engine, 1), "banana") == 0 &&
           !variant_engine_class_name(engine, 10) &&
           variant_engine_suggest(engine, "CHER", near, 4) == 2 && near[0] == 2 && near[1] == 4 &&
           variant_engine_suggest(engine, "chrry", near, 4) == 1 && near[0] == 2 &&
           variant_engine_suggest(engine, "e", near, 2) == 2 && near[0] == 5 &&
           variant_engine_suggest(engine, "no such fruit", near, 4) == 0 &&
           variant_engine_suggest(engine, "", near, 4) == 0 &&
           variant_engine_suggest(engine, NULL, near, 4) == 0 &&
           variant_engine_labels(engine, "cherr", labels, 4, &count, &error) ==
               VARIANT_E_ARGUMENT &&
           strstr(error.message, "for example cherry");
}

static void *ask_classes(void *argument) {
    asked *a = argument;
    const variant_info *info = variant_engine_info(a->engine);
    begin_together(a);
    for (int i = 0; i < 50 * ROUNDS; ++i)
        a->faults += !knows_classes(a->engine) || variant_engine_info(a->engine) != info ||
                     info->depth != 6 || strlen(info->hash) != 16;
    return NULL;
}

static void *ask_costs(void *argument) {
    asked *a = argument;
    const variant_request request = small_request();
    variant_plan_options options;
    variant_plan first = {.size = sizeof first}, plan = first;
    variant_memory told = {.size = sizeof told}, memory = told;
    variant_plan_options_init(&options);
    options.memory_only = true;
    options.cache = "";
    options.times = a->times;
    options.quality = "fast";
    begin_together(a);
    a->faults += variant_plan_make(a->engine, &request, &options, &first, NULL) != VARIANT_OK ||
                 variant_request_memory(a->engine, &request, &told, NULL) != VARIANT_OK;
    for (int i = 0; i < ROUNDS; ++i) {
        variant_plan **plans = NULL;
        int count = 0;
        a->faults +=
            variant_plan_make(a->engine, &request, &options, &plan, NULL) != VARIANT_OK ||
            plan.depth != first.depth || plan.bytes != first.bytes ||
            variant_request_memory(a->engine, &request, &memory, NULL) != VARIANT_OK ||
            memory.arena != told.arena ||
            variant_plan_list(a->engine, &request, &options, &plans, &count, NULL) != VARIANT_OK ||
            count < 2;
        free(plans);
    }
    return NULL;
}

/* One of them measures; the others wait for it, or find what it measured. */
static void *ask_seconds(void *argument) {
    asked *a = argument;
    const variant_request request = small_request();
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.cache = "";
    options.times = a->times;
    begin_together(a);
    for (int i = 0; i < ROUNDS; ++i) {
        variant_seconds seconds = {.size = sizeof seconds};
        a->faults +=
            variant_request_seconds(a->engine, &request, &options, &seconds, NULL) != VARIANT_OK ||
            !(seconds.total > 0.0);
    }
    return NULL;
}

/* The same picture and its settings in several hands. */
static void *encode(void *argument) {
    asked *a = argument;
    begin_together(a);
    for (int i = 0; i < ROUNDS; ++i) {
        uint8_t *png = NULL, *webp = NULL;
        size_t size = 0;
        a->faults += variant_picture_encode(a->alone, "png", 0, &png, &size, NULL) != VARIANT_OK ||
                     size < 8 ||
                     variant_picture_encode(a->alone, "webp", 0, &webp, &size, NULL) != VARIANT_OK;
        free(png);
        free(webp);
    }
    return NULL;
}

/* ---- all of them ---- */

static void write_fruit(char *path, size_t size) {
    static char *const names[] = {"apple", "banana", "cherry", "date",  "cherimoya",
                                  "elder", "fig",    "grape",  "honey", "iris"};
    synthetic model;
    synthetic_open(&model, 'A');
    snprintf(path, size, "%s/fruit.safetensors", folder);
    const vt_model_save save = {.tokenizer = model.tokenizer,
                                .transformer = model.transformer,
                                .class_count = 10,
                                .class_names = names};
    assert_ok(vt_model_write(path, &save, err));
    synthetic_close(&model);
}

static void one_engine_answers_all(void **state) {
    (void)state;
    static void *(*const lives[])(void *) = {generate,  generate,  be_cancelled, ask_classes,
                                             ask_costs, ask_costs, ask_seconds,  ask_seconds,
                                             encode,    encode};
    enum { LIVES = sizeof lives / sizeof lives[0] };
    char path[128];
    variant_engine *engine;
    variant_engine_options options;
    variant_picture *alone;
    variant_times *times;
    asked all[LIVES];
    pthread_t ids[LIVES];
    _Atomic int waiting = LIVES;
    const variant_request request = small_request();
    write_fruit(path, sizeof path);
    variant_engine_options_init(&options);
    options.model = path;
    options.threads = 2;
    options.log = count_line;
    assert_ok(variant_engine_open(&engine, &options, err));
    assert_true(lines[VARIANT_LOG_INFO] == 1 && lines[VARIANT_LOG_DEBUG] == 0);
    assert_ok(variant_generate(engine, &request, &alone, NULL, err));
    assert_true(lines[VARIANT_LOG_DEBUG] == 2); /* it began, and ended */
    assert_ok(variant_times_open(&times, err));
    for (int i = 0; i < LIVES; ++i) {
        all[i] = (asked){.engine = engine, .times = times, .alone = alone, .waiting = &waiting};
        assert_int_equal(pthread_create(&ids[i], NULL, lives[i], &all[i]), 0);
    }
    for (int i = 0; i < LIVES; ++i) pthread_join(ids[i], NULL);
    for (int i = 0; i < LIVES; ++i)
        if (all[i].faults) fail_msg("thread %d met %d faults", i, all[i].faults);
    assert_true(lines[VARIANT_LOG_DEBUG] >= 2 + 2 * (2 * ROUNDS + 2 * ROUNDS));
    variant_times_close(&times);
    variant_pictures_free(&alone, request.count);
    variant_engine_close(&engine);
}

/* What a request warns of is logged, as is what opening says, which `warn` hears as ever. */
static void count_warning(void *user, const char *line) {
    (void)line;
    ++*(int *)user;
}

static void warnings_are_logged(void **state) {
    (void)state;
    variant_engine *engine;
    variant_engine_options options;
    variant_picture *pictures;
    variant_request request = small_request();
    const vt_supernet_info supernet = {
        .trained = true, .bridge = 1, .depth_count = 2, .depths = {6, 3}, .selector = VT_PREFIX};
    char path[128];
    int warnings = 0;
    synthetic_file(path, sizeof path, folder, 'A', &supernet);
    variant_engine_options_init(&options);
    options.model = path;
    options.threads = 1;
    options.warn = count_warning;
    options.log = count_line;
    options.user = &warnings;
    const int earlier = lines[VARIANT_LOG_WARNING];
    assert_ok(variant_engine_open(&engine, &options, err));
    const int before = lines[VARIANT_LOG_WARNING];
    assert_int_equal(before - earlier, warnings);
    request.depth = 4; /* it was not trained for that */
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    assert_int_equal(lines[VARIANT_LOG_WARNING], before + 1);
    variant_pictures_free(&pictures, request.count);
    variant_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(one_engine_answers_all),
                                       cmocka_unit_test(warnings_are_logged)};
    return cmocka_run_group_tests(tests, write_model, remove_model);
}

/* test_train_api.c - the trainings as a program meets them: by include/variant.h alone, linked with the library as it is
 * installed. Pictures in memory and in folders, what the callbacks are told, stopping and going on, memory told before it is
 * taken, several trainings at a time, wrong structs. Also built with the thread sanitizer (preset tsan). What the trainers
 * compute is test_train.c's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tests/library.h"

enum { SIDE = 16, CLASSES = 2, EACH = 10, TEST_EACH = 2, STEPS = 6 };

/* ---- pictures, in memory and in files ---- */

static const char *const class_names[CLASSES] = {"dark", "light"};

typedef struct pictures {
    int count;
    uint8_t pixels[CLASSES * EACH][SIDE][SIDE][3];
    int32_t labels[CLASSES * EACH];
} pictures;

static pictures train_pictures, test_pictures;

/* By class, as a folder lists them: a square of a class's brightness at another place in each. */
static void draw(pictures *out, int each, unsigned seed) {
    out->count = CLASSES * each;
    for (int i = 0; i < out->count; ++i) {
        const int label = i / each, x = (int)(seed = seed * 1103515245u + 12345u) >> 16 & 7;
        out->labels[i] = label;
        for (int row = 0; row < SIDE; ++row)
            for (int column = 0; column < SIDE; ++column) {
                const int inside = column >= x && column < x + 8 && row >= x && row < x + 8;
                for (int c = 0; c < 3; ++c)
                    out->pixels[i][row][column][c] =
                        (uint8_t)(inside ? 100 + 100 * label + 20 * c : 10 * c);
            }
    }
}

static void write_pictures(const pictures *from, int each, const char *split) {
    char path[256];
    snprintf(path, sizeof path, "%s/data/%s", folder, split);
    mkdir(path, 0777);
    for (int i = 0; i < from->count; ++i) {
        variant_picture picture = {
            .width = SIDE, .height = SIDE, .channels = 3, .pixels = (uint8_t *)from->pixels[i]};
        snprintf(path, sizeof path, "%s/data/%s/%s", folder, split, class_names[i / each]);
        mkdir(path, 0777);
        snprintf(path, sizeof path, "%s/data/%s/%s/%03d.png", folder, split, class_names[i / each],
                 i);
        assert_ok(variant_picture_write_png(&picture, path, &err));
    }
}

static variant_array array_of(const pictures *from) {
    variant_array array;
    variant_array_init(&array);
    array.pixels = &from->pixels[0][0][0][0];
    array.count = from->count;
    array.height = array.width = SIDE;
    array.channels = 3;
    array.labels = from->labels;
    return array;
}

static int setup(void **state) {
    (void)state;
    assert_int_equal(folder_make(), 0);
    draw(&train_pictures, EACH, 1);
    draw(&test_pictures, TEST_EACH, 2);
    mkdir(in_folder("data"), 0777);
    write_pictures(&train_pictures, EACH, "train");
    write_pictures(&test_pictures, TEST_EACH, "test");
    return 0;
}

static int teardown(void **state) {
    (void)state;
    return folder_remove();
}

/* ---- a caller ---- */

/* What its callbacks were told, and what they are to do. */
typedef struct caller {
    variant_array train, test;
    variant_data data;
    const char *path;
    char output[160];
    int64_t stop_after; /* the progress function says no behind this step; 0: never */
    int64_t cancel_after;
    int cancel;
    int64_t last_step, calls;
    double left, rate;
    int lines, evaluations, notes, numbers;
    double loss, test_mse;
    char json[4096];
} caller;

static bool on_progress(void *user, const variant_train_progress *at) {
    caller *c = user;
    if (strcmp(at->doing, "training") != 0) return true;
    ++c->calls;
    c->last_step = at->step;
    c->left = at->seconds_left;
    c->rate = at->pictures_per_second;
    if (at->step == c->cancel_after) __atomic_store_n(&c->cancel, 1, __ATOMIC_RELAXED);
    return at->step != c->stop_after;
}

static void on_metrics(void *user, const variant_metrics *line) {
    caller *c = user;
    ++c->lines;
    c->evaluations += line->evaluation;
    snprintf(c->json, sizeof c->json, "%s", line->json);
    for (int i = 0; i < line->count; ++i) {
        const variant_metric *metric = line->metrics[i];
        if (metric->text) continue;
        if (metric->count > 1) c->numbers = metric->count;
        if (strcmp(metric->name, "loss") == 0) c->loss = metric->values[0];
        if (strcmp(metric->name, "test_mse") == 0) c->test_mse = metric->values[0];
    }
}

static void on_note(void *user, const char *line) {
    ++((caller *)user)->notes;
    (void)line;
}

static void use_folder(caller *c) {
    c->path = in_folder("data");
    variant_data_init(&c->data);
    c->data.paths = &c->path;
    c->data.path_count = 1;
}

static void use_memory(caller *c) {
    c->train = array_of(&train_pictures);
    c->test = array_of(&test_pictures);
    variant_data_init(&c->data);
    c->data.array = &c->train;
    c->data.test_array = &c->test;
    c->data.class_names = class_names;
    c->data.class_count = CLASSES;
}

/* A few steps into folder/output. */
static variant_training training_of(caller *c, variant_training_kind kind, const char *output) {
    variant_training training;
    variant_training_init(&training, kind);
    snprintf(c->output, sizeof c->output, "%s/%s", folder, output);
    training.data = &c->data;
    training.output = c->output;
    training.threads = 2;
    training.steps = STEPS;
    training.batch = 4;
    training.seed = 3;
    training.log_every = 2;
    training.save_every = 4;
    training.eval_every = 3;
    training.flip = true;
    training.progress = on_progress;
    training.metrics = on_metrics;
    training.note = on_note;
    training.user = c;
    training.cancel = &c->cancel;
    return training;
}

static variant_train_tokenizer_options small_tokenizer(void) {
    variant_train_tokenizer_options options;
    variant_train_tokenizer_options_init(&options);
    options.level_count = 3;
    options.mult[0] = options.mult[1] = options.mult[2] = 1;
    options.scales = 3;
    options.sides[0] = 1, options.sides[1] = 2, options.sides[2] = 4;
    options.codes = 16;
    options.latent_dim = 8;
    options.crop = 2;
    return options;
}

static variant_status train_tokenizer(caller *c, const char *output, bool resume,
                                      variant_train_result *result) {
    variant_training training = training_of(c, VARIANT_TRAINING_TOKENIZER, output);
    const variant_train_tokenizer_options options = small_tokenizer();
    training.resume = resume;
    variant_train_result_init(result);
    return variant_train_tokenizer(&training, &options, result, &err);
}

static variant_train_transformer_options small_transformer(const char *tokenizer) {
    variant_train_transformer_options options;
    variant_train_transformer_options_init(&options);
    options.tokenizer = tokenizer;
    options.depth = 2;
    options.width = 32;
    return options;
}

/* ---- files ---- */

static uint8_t *read_file(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    uint8_t *bytes = malloc(*size + 1);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    bytes[*size] = 0;
    fclose(file);
    return bytes;
}

static void assert_same_files(const char *a, const char *b) {
    size_t p, q;
    uint8_t *x = read_file(a, &p), *y = read_file(b, &q);
    if (p != q || memcmp(x, y, p) != 0) fail_msg("%s and %s differ", a, b);
    free(x);
    free(y);
}

/* Of safetensors: the bytes behind the header, in which the data set's hash may differ. */
static void assert_same_weights(const char *a, const char *b) {
    size_t p, q;
    uint64_t head = 0, other = 0;
    uint8_t *x = read_file(a, &p), *y = read_file(b, &q);
    assert_true(p > 8 && q > 8);
    memcpy(&head, x, 8);
    memcpy(&other, y, 8);
    assert_true(head + 8 < p && other + 8 < q);
    p -= head + 8, q -= other + 8;
    if (p != q || memcmp(x + head + 8, y + other + 8, p) != 0)
        fail_msg("%s and %s hold other weights", a, b);
    free(x);
    free(y);
}

/* ---- tests ---- */

/* A tokenizer and a transformer from a folder, and from the same pictures in memory. */
static void memory_is_as_good_as_a_folder(void **state) {
    caller from_folder = {0}, from_memory = {0};
    variant_train_result a, b;
    (void)state;
    use_folder(&from_folder);
    use_memory(&from_memory);
    assert_ok(train_tokenizer(&from_folder, "tok1", false, &a));
    assert_ok(train_tokenizer(&from_memory, "tok2", false, &b));
    assert_false(a.stopped);
    assert_int_equal(a.step, STEPS);
    assert_string_equal(a.model, in_folder("tok1/tokenizer.safetensors"));
    assert_same_weights(a.model, b.model);
    assert_true(a.loss == b.loss && a.test_loss == b.test_loss && a.test_loss > 0);
    assert_true(from_folder.loss == from_memory.loss);

    variant_training one = training_of(&from_folder, VARIANT_TRAINING_TRANSFORMER, "var1");
    variant_training two = training_of(&from_memory, VARIANT_TRAINING_TRANSFORMER, "var2");
    variant_train_transformer_options options = small_transformer(in_folder("tok1"));
    assert_ok(variant_train_transformer(&one, &options, &a, &err));
    assert_ok(variant_train_transformer(&two, &options, &b, &err));
    assert_same_weights(a.model, b.model);
    assert_true(a.test_loss == b.test_loss && a.test_loss > 0);
}

/* Without test pictures of their own some are held out, by number; without labels all are of one class. */
static void memory_without_labels_or_test(void **state) {
    caller c = {0};
    variant_train_result result;
    (void)state;
    use_memory(&c);
    c.train.labels = NULL;
    c.data.test_array = NULL;
    c.data.class_names = NULL;
    c.data.class_count = 0;
    assert_ok(train_tokenizer(&c, "held", false, &result));
    assert_true(c.evaluations > 0);
    c.data.holdout = 0;
    c.evaluations = 0;
    assert_ok(train_tokenizer(&c, "none", false, &result));
    assert_int_equal(c.evaluations, 0);
    assert_true(isnan(result.test_loss));
}

/* Each line of log.jsonl comes as names and values, each step as progress. */
static void callbacks_are_told(void **state) {
    caller c = {0};
    variant_train_result result;
    size_t size;
    (void)state;
    use_memory(&c);
    assert_ok(train_tokenizer(&c, "told", false, &result));
    assert_int_equal(c.calls, STEPS);
    assert_int_equal(c.last_step, STEPS);
    assert_true(c.left == 0.0 && c.rate > 0.0);
    assert_int_equal(c.lines, 3 + 2); /* every 2 of 6 steps, and evaluations every 3 */
    assert_int_equal(c.evaluations, 2);
    assert_int_equal(c.numbers, 3); /* codes_used_by_scale */
    assert_true(c.notes > 0);
    assert_true(fabs(c.test_mse - result.test_loss) == 0.0);
    assert_true(result.loss > 0.0 && c.loss > 0.0);
    char *log = (char *)read_file(in_folder("told/log.jsonl"), &size), *last;
    assert_true(size > 2 && log[size - 1] == '\n');
    log[size - 1] = 0;
    last = strrchr(log, '\n');
    assert_string_equal(last ? last + 1 : log, c.json);
    free(log);
}

/* Stopped by the progress function or by the flag, a run that goes on ends in the same bytes. */
static void stops_and_goes_on(void **state) {
    caller straight = {0}, by_word = {.stop_after = 3}, by_flag = {.cancel_after = 5};
    variant_train_result result;
    (void)state;
    use_memory(&straight);
    assert_ok(train_tokenizer(&straight, "straight", false, &result));
    caller *const stopped[] = {&by_word, &by_flag};
    for (int i = 0; i < 2; ++i) {
        const char *name = i ? "flagged" : "worded";
        use_memory(stopped[i]);
        assert_ok(train_tokenizer(stopped[i], name, false, &result));
        assert_true(result.stopped);
        assert_int_equal(result.step, i ? 5 : 3);
        stopped[i]->stop_after = stopped[i]->cancel_after = stopped[i]->cancel = 0;
        assert_ok(train_tokenizer(stopped[i], name, true, &result));
        assert_false(result.stopped);
        assert_same_files(in_folder("straight/tokenizer.safetensors"), result.model);
    }
    assert_fails(train_tokenizer(&straight, "straight", false, &result), VARIANT_E_ARGUMENT,
                 "resume goes on");
    pictures others = train_pictures; /* one sample is another */
    others.pixels[3][2][1][0] ^= 1;
    straight.train = array_of(&others);
    assert_fails(train_tokenizer(&straight, "straight", true, &result), VARIANT_E_ARGUMENT, "data");
}

/* A dry run tells the bytes that the run then takes, and writes nothing. */
static void memory_is_told_before(void **state) {
    caller c = {0};
    variant_train_result dry, result;
    const variant_train_tokenizer_options options = small_tokenizer();
    (void)state;
    use_memory(&c);
    variant_training training = training_of(&c, VARIANT_TRAINING_TOKENIZER, "dry");
    variant_train_result_init(&dry);
    variant_train_result_init(&result);
    training.dry_run = true;
    assert_ok(variant_train_tokenizer(&training, &options, &dry, &err));
    assert_int_equal(access(c.output, F_OK), -1);
    assert_int_equal(c.calls, 0);
    assert_true(dry.total_bytes > 0 && dry.weight_bytes > 0);
    training.dry_run = false;
    assert_ok(variant_train_tokenizer(&training, &options, &result, &err));
    assert_int_equal(result.total_bytes, dry.total_bytes);
    assert_int_equal(result.activation_peak, dry.activation_bytes);
}

/* The five kinds, each from what another made; the last model draws a picture. */
static void all_kinds(void **state) {
    caller c = {0};
    variant_train_result result;
    (void)state;
    use_memory(&c);
    assert_ok(train_tokenizer(&c, "tok", false, &result));
    variant_training training = training_of(&c, VARIANT_TRAINING_TRANSFORMER, "var");
    variant_train_transformer_options transformer = small_transformer(in_folder("tok"));
    assert_ok(variant_train_transformer(&training, &transformer, &result, &err));

    training = training_of(&c, VARIANT_TRAINING_SUPERNET, "net");
    variant_train_supernet_options supernet;
    variant_train_supernet_options_init(&supernet);
    supernet.model = in_folder("var");
    supernet.depth_count = supernet.depths[0] = 1;
    supernet.bridge = 1;
    assert_ok(variant_train_supernet(&training, NULL, &supernet, &result, &err));

    training = training_of(&c, VARIANT_TRAINING_DECODER, "dec");
    variant_train_decoder_options decoder;
    variant_train_decoder_options_init(&decoder);
    decoder.tokenizer = in_folder("net");
    decoder.decoder = "tiny";
    assert_ok(variant_train_decoder(&training, &decoder, &result, &err));
    assert_true(isnan(result.test_loss));
    const char *model = in_folder("dec/model.safetensors");
    assert_string_equal(result.model, model);

    training = training_of(&c, VARIANT_TRAINING_CLASSIFIER, "cls");
    variant_train_classifier_options classifier;
    variant_train_classifier_options_init(&classifier);
    classifier.side = SIDE;
    classifier.features = 8;
    assert_ok(variant_train_classifier(&training, &classifier, &result, &err));
    assert_true(result.test_loss > 0.0);

    variant_engine_options options;
    variant_engine *engine = NULL;
    variant_engine_options_init(&options);
    options.model = model;
    assert_ok(variant_engine_open(&engine, &options, &err));
    const variant_info *info = variant_engine_info(engine);
    assert_true(info->supernet && info->preview_decoder);
    assert_string_equal(variant_engine_class_name(engine, 1), class_names[1]);
    variant_request request;
    variant_picture *pictures = NULL;
    variant_request_init(&request);
    request.class_name = class_names[1];
    request.depth = 1;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, &err));
    assert_int_equal(pictures[0].width, SIDE);
    variant_pictures_free(&pictures, 1);
    variant_engine_close(&engine);
}

/* ---- several at a time ---- */

typedef struct runner {
    caller caller;
    char output[16];
    variant_status status;
    variant_error error;
    variant_train_result result;
} runner;

static void *run(void *user) {
    runner *r = user;
    variant_training training = training_of(&r->caller, VARIANT_TRAINING_TOKENIZER, r->output);
    const variant_train_tokenizer_options options = small_tokenizer();
    variant_train_result_init(&r->result);
    r->status = variant_train_tokenizer(&training, &options, &r->result, &r->error);
    return NULL;
}

/* Two trainings, of which one is told to stop by the main thread, beside each other: as alone. */
static void at_the_same_time(void **state) {
    caller alone = {0};
    variant_train_result result;
    static runner runners[3];
    pthread_t threads[3];
    (void)state;
    use_memory(&alone);
    assert_ok(train_tokenizer(&alone, "alone", false, &result));
    for (int i = 0; i < 3; ++i) {
        snprintf(runners[i].output, sizeof runners[i].output, "beside%d", i);
        if (i == 1)
            use_folder(&runners[i].caller);
        else
            use_memory(&runners[i].caller);
        assert_int_equal(pthread_create(&threads[i], NULL, run, &runners[i]), 0);
    }
    __atomic_store_n(&runners[2].caller.cancel, 1, __ATOMIC_RELAXED);
    for (int i = 0; i < 3; ++i) {
        pthread_join(threads[i], NULL);
        if (runners[i].status != VARIANT_OK) fail_msg("%s", runners[i].error.message);
    }
    assert_same_files(result.model, runners[0].result.model);
    assert_same_weights(result.model, runners[1].result.model);
    assert_true(runners[2].result.step <= STEPS);
    if (!runners[2].result.stopped) assert_same_files(result.model, runners[2].result.model);
}

/* ---- bad input ---- */

/* Refused before anything is written. */
static void refuse(caller *c, const char *words) {
    variant_train_result result;
    assert_fails(train_tokenizer(c, "bad", false, &result), VARIANT_E_ARGUMENT, words);
    assert_int_equal(access(in_folder("bad/checkpoint.safetensors"), F_OK), -1);
}

static void wrong_arrays(void **state) {
    caller c = {0}, fresh = {0};
    static const char *const twice[CLASSES] = {"same", "same"};
    static const char *const nameless[CLASSES] = {"one", NULL};
    int32_t labels[CLASSES * EACH] = {0, -1};
    (void)state;
    use_memory(&fresh);
#define WRONG(change, words)                                                                       \
    do {                                                                                           \
        c = fresh;                                                                                 \
        c.data.array = &c.train;                                                                   \
        c.data.test_array = &c.test;                                                               \
        change;                                                                                    \
        refuse(&c, words);                                                                         \
    } while (0)
    WRONG(c.train.channels = 2, "2 channels");
    WRONG(c.train.channels = 0, "0 channels");
    WRONG(c.train.count = 0, "0 pictures");
    WRONG(c.train.count = -5, "-5 pictures");
    WRONG(c.train.pixels = NULL, "at NULL");
    WRONG(c.train.width = 0, "0 x 16");
    WRONG(c.train.height = 1 << 30, "x 1073741824");
    WRONG(c.train.labels = labels, "label -1 of picture 1");
    WRONG(c.data.class_count = 1, "label 1 of picture 10");
    WRONG(c.data.class_count = -1, "-1 classes");
    WRONG(c.data.class_count = 0, "class_count");
    WRONG(c.data.class_names = twice, "two classes are called same");
    WRONG(c.data.class_names = nameless, "class 1 has no name");
    WRONG(c.data.paths = &c.path, "one of them");
    WRONG(c.data.array = NULL, "no data");
    WRONG(c.data.holdout = 1.5, "holdout");
    WRONG(c.data.holdout = NAN, "holdout");
    WRONG(c.data.fit = "squeeze", "crop, pad or stretch");
    WRONG(c.data.alpha = "green", "white, black or drop");
    WRONG(c.train.size = 0, "variant_array_init");
    WRONG(c.test.size = 3, "variant_array_init");
    WRONG(c.data.size = 0, "variant_data_init");
    WRONG((c.data.array = NULL, c.data.test_array = NULL, c.data.files = &c.path,
           c.data.file_count = 1),
          "no data set");
    WRONG((c.data.array = NULL, c.data.test_array = NULL, c.data.paths = &c.path,
           c.data.path_count = 1),
          "no path");
#undef WRONG
}

static void wrong_options(void **state) {
    caller c = {0};
    variant_train_result result;
    (void)state;
    use_memory(&c);
    variant_train_result_init(&result);
#define WRONG(change, words)                                                                       \
    do {                                                                                           \
        variant_training training = training_of(&c, VARIANT_TRAINING_TOKENIZER, "bad");            \
        variant_train_tokenizer_options options = small_tokenizer();                               \
        change;                                                                                    \
        assert_fails(variant_train_tokenizer(&training, &options, &result, &err),                  \
                     VARIANT_E_ARGUMENT, words);                                                   \
    } while (0)
    WRONG(training.data = NULL, "variant_data");
    WRONG(training.output = NULL, "no folder");
    WRONG(training.size = 0, "variant_training_init");
    WRONG(options.size = 1, "variant_train_tokenizer_options_init");
    WRONG(training.backend = "abacus", "abacus");
    WRONG(training.precision = "f64", "f64");
    WRONG(training.precision = "int8", "int8");
    WRONG(training.threads = -1, "threads");
    WRONG(training.steps = -1, "-1 steps");
    WRONG(training.learning_rate = NAN, "learning_rate");
    WRONG(training.learning_rate_end = -2, "learning_rate_end");
    WRONG(training.beta1 = 1.0, "betas");
    WRONG(training.spike = 0.5, "spike");
    WRONG(training.keep_rate = true, "keep_rate");
    WRONG((training.resume = true, training.restart = true), "resume and restart");
    WRONG(training.resume = true, "no run to go on with");
    WRONG(options.level_count = VARIANT_MAX_LEVELS + 1, "levels");
    WRONG(options.level_count = -1, "levels");
    WRONG(options.mult[1] = 0, "levels");
    WRONG(options.scales = VARIANT_MAX_SCALES + 1, "sides");
    WRONG(options.sides[2] = 0, "sides");
    WRONG(options.codes = 1, "codes 1: expected 2 to 1048576, or 0");
    WRONG(options.blocks = 0, "blocks 0: expected 1 to 16");
    WRONG(options.width = 33, "33");
#undef WRONG
    variant_training training = training_of(&c, VARIANT_TRAINING_TOKENIZER, "bad");
    assert_fails(variant_train_tokenizer(NULL, NULL, &result, &err), VARIANT_E_ARGUMENT,
                 "variant_training");
    result.size = 0;
    assert_fails(variant_train_tokenizer(&training, NULL, &result, &err), VARIANT_E_ARGUMENT,
                 "variant_train_result_init");
    assert_int_equal(variant_train_transformer(&training, NULL, NULL, NULL), VARIANT_E_ARGUMENT);
    assert_int_equal(variant_train_decoder(&training, NULL, NULL, NULL), VARIANT_E_ARGUMENT);
}

static void wrong_supernets(void **state) {
    caller c = {0};
    variant_train_result result;
    (void)state;
    use_memory(&c);
    variant_train_result_init(&result);
#define WRONG(change, words)                                                                       \
    do {                                                                                           \
        variant_training training = training_of(&c, VARIANT_TRAINING_SUPERNET, "bad");             \
        variant_train_transformer_options model = small_transformer("nowhere");                    \
        variant_train_supernet_options options;                                                    \
        variant_train_supernet_options_init(&options);                                             \
        change;                                                                                    \
        assert_fails(variant_train_supernet(&training, &model, &options, &result, &err),           \
                     VARIANT_E_ARGUMENT, words);                                                   \
    } while (0)
    WRONG(options.depth_count = VARIANT_MAX_DEPTHS + 1, "depths");
    WRONG((options.depth_count = 1, options.depths[0] = 0), "depths");
    WRONG(options.bridge = -2, "bridge");
    WRONG(options.more_bridge = -1, "more_bridge");
    WRONG(options.layers = "every second", "equidistant");
    WRONG(options.draw = "lots", "deepest-first");
    WRONG(options.draw = NULL, "deepest-first");
    WRONG(options.draw = "weighted", "0 weights");
    WRONG(options.weight_count = 99, "99 weights");
    WRONG(options.fixed_ratio = 2, "fixed_ratio");
    WRONG(options.fixed_ratio = NAN, "fixed_ratio");
    WRONG(model.mlp_ratio = NAN, "mlp_ratio");
    WRONG(model.depth = 1000, "depth");
    WRONG(model.size = 0, "variant_train_transformer_options_init");
#undef WRONG
}

/* A program of an older version, whose structs end earlier, gets defaults for the rest. */
static void shorter_structs(void **state) {
    caller c = {0};
    variant_train_result result;
    (void)state;
    use_memory(&c);
    assert_ok(train_tokenizer(&c, "long", false, &result));
    variant_training training = training_of(&c, VARIANT_TRAINING_TOKENIZER, "short");
    variant_train_tokenizer_options options = small_tokenizer();
    struct {
        size_t size;
        char rest[offsetof(variant_train_result, model) - sizeof(size_t)];
        char beyond[16];
    } old = {.size = offsetof(variant_train_result, model), .beyond = "untouched"};
    training.size = offsetof(variant_training, cancel); /* whatever lies there is not read */
    training.cancel = (const int *)1;
    options.size = offsetof(variant_train_tokenizer_options, crop);
    options.crop = 99999;
    assert_ok(
        variant_train_tokenizer(&training, &options, (variant_train_result *)(void *)&old, &err));
    assert_string_equal(old.beyond, "untouched");
    size_t size;
    free(read_file(in_folder("short/tokenizer.safetensors"), &size));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(memory_is_as_good_as_a_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_without_labels_or_test, setup, teardown),
        cmocka_unit_test_setup_teardown(callbacks_are_told, setup, teardown),
        cmocka_unit_test_setup_teardown(stops_and_goes_on, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_is_told_before, setup, teardown),
        cmocka_unit_test_setup_teardown(all_kinds, setup, teardown),
        cmocka_unit_test_setup_teardown(at_the_same_time, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_arrays, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_options, setup, teardown),
        cmocka_unit_test_setup_teardown(wrong_supernets, setup, teardown),
        cmocka_unit_test_setup_teardown(shorter_structs, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

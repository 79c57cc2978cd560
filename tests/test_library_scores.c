/* test_library_scores.c - pictures judged, classified and swept as a program that links libvariant does it: by include/variant.h alone,
 * with the shipped model and its classifier. */
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
#include "tests/library.h"

#define THIS VARIANT_SOURCE_DIR "/tests/test_library_scores.c"
#define MODEL VARIANT_SOURCE_DIR "/models/fashion"
enum { COUNT = 24, SIDE = 32 };

static variant_engine *engine;
static uint8_t pixels[COUNT][SIDE][SIDE]; /* generated */
static int32_t labels[COUNT];

static variant_request request_of(int count, uint64_t seed) {
    variant_request request;
    variant_request_init(&request);
    request.class_name = "all";
    request.count = count;
    request.seed = seed;
    request.depth = 1;
    return request;
}

static int setup(void **state) {
    (void)state;
    variant_engine_options options;
    variant_picture *pictures = NULL;
    const variant_request request = request_of(COUNT, 1);
    if (folder_make() != 0) return -1;
    variant_engine_options_init(&options);
    options.model = MODEL;
    options.encoder = true;
    assert_ok(variant_engine_open(&engine, &options, &err));
    assert_ok(variant_generate(engine, &request, &pictures, NULL, &err));
    for (int i = 0; i < COUNT; ++i) {
        memcpy(pixels[i], pictures[i].pixels, sizeof pixels[i]);
        labels[i] = pictures[i].label;
    }
    variant_pictures_free(&pictures, COUNT);
    return 0;
}

static int teardown(void **state) {
    (void)state;
    variant_engine_close(&engine);
    return folder_remove();
}

static variant_judge *open_judge(void) {
    variant_judge *judge = NULL;
    variant_judge_options options;
    variant_judge_options_init(&options);
    options.features = MODEL;
    assert_ok(variant_judge_open(&judge, &options, &err));
    return judge;
}

/* The generated pictures from `first` on. */
static variant_data data_of(variant_array *array, int first, int count) {
    variant_data data;
    variant_array_init(array);
    array->pixels = pixels[first][0];
    array->count = count;
    array->height = array->width = SIDE;
    array->channels = 1;
    array->labels = labels + first;
    variant_data_init(&data);
    data.array = array;
    data.split = "all";
    data.class_count = 10;
    return data;
}

static variant_eval_options eval_options(void) {
    variant_eval_options options;
    variant_eval_options_init(&options);
    options.draws = 4;
    return options;
}

static variant_scores scores_of(variant_judge *judge, const variant_eval_options *options) {
    variant_scores scores;
    variant_scores_init(&scores);
    assert_ok(variant_evaluate(judge, options, &scores, &err));
    return scores;
}

/* ---- scores ---- */

typedef struct keeper {
    int count, calls, label;
    uint8_t last[SIDE][SIDE];
} keeper;

static void keep(void *user, const variant_picture *pictures, int count,
                 const variant_report *report) {
    keeper *k = user;
    k->count += count;
    ++k->calls;
    assert_true(report->depths[0] != '\0');
    memcpy(k->last, pictures[count - 1].pixels, sizeof k->last);
    k->label = pictures[count - 1].label;
}

/* Pictures that an engine makes and the same ones from memory have the same scores; the network tells of itself. */
static void generated_and_given(void **state) {
    (void)state;
    variant_array array, real_array;
    variant_judge *judge = open_judge();
    const variant_network *network = variant_judge_network(judge);
    assert_string_equal(network->name, "classifier");
    assert_int_equal(network->classes, 10);
    assert_false(network->inception);
    assert_null(network->resize);
    assert_null(network->reference);
    assert_string_equal(variant_judge_class_name(judge, 7), "Sneaker");
    assert_null(variant_judge_class_name(judge, 10));
    const variant_data real = data_of(&real_array, COUNT / 2, COUNT / 2);
    assert_ok(variant_judge_reference(judge, &real, 0, SIDE, 1, &err));
    assert_int_equal(variant_judge_network(judge)->reference_count, COUNT / 2);
    const variant_request request = request_of(COUNT, 1);
    keeper k = {0};
    variant_eval_options options = eval_options();
    options.engine = engine;
    options.request = &request;
    options.generated = keep;
    options.user = &k;
    const variant_scores made = scores_of(judge, &options);
    assert_int_equal(k.count, COUNT);
    assert_memory_equal(k.last, pixels[COUNT - 1], sizeof k.last);
    assert_int_equal(made.count, COUNT);
    assert_int_equal(made.draws, 4);
    assert_string_equal(made.name, "FID(classifier)");
    assert_true(made.frechet > 0 && made.frechet_spread > 0 && made.inception_score >= 1);
    assert_true(made.class_share > 0.3 && made.precision > 0 && made.recall > 0);
    assert_true(isnan(made.psnr) && isnan(made.spatial_frechet));
    assert_true(isfinite(made.kid) && isnan(made.kid_spread)); /* 12 a side: one block */
    assert_in_range(made.warning_count, 1, 3);                 /* few */
    const variant_data given = data_of(&array, 0, COUNT);
    options = eval_options();
    options.pictures = &given;
    const variant_scores same = scores_of(judge, &options);
    assert_true(same.frechet == made.frechet && same.inception_score == made.inception_score);
    assert_true(same.class_share == made.class_share && same.kid == made.kid);
    char *text = variant_scores_json(judge, &made);
    assert_non_null(strstr(text, "\"name\":\"FID(classifier)\""));
    assert_non_null(strstr(text, "\"reference_samples\":12"));
    assert_non_null(strstr(text, "\"kid\":"));
    free(text);
    variant_judge_close(&judge);
    variant_judge_close(&judge);
}

/* Statistics in files give the score that the pictures gave. */
static void statistics_in_files(void **state) {
    (void)state;
    variant_array array, real_array;
    variant_judge *judge = open_judge();
    const variant_data real = data_of(&real_array, 0, COUNT / 2),
                       given = data_of(&array, COUNT / 2, COUNT / 2);
    variant_eval_options options = eval_options();
    options.pictures = &real;
    options.draws = 0;
    options.save_statistics = in_folder("real.safetensors");
    variant_scores none;
    variant_scores_init(&none);
    assert_fails(variant_evaluate(judge, &options, &none, &err), VARIANT_E_ARGUMENT,
                 "real.safetensors: statistics of what is judged are written as .npz");
    options.save_statistics = in_folder("real.npz"); /* without a reference */
    const variant_scores alone = scores_of(judge, &options);
    assert_true(isnan(alone.frechet) && alone.inception_score >= 1);
    options.save_statistics = NULL;
    options.pictures = &given;
    assert_ok(variant_judge_reference(judge, &real, 0, SIDE, 1, &err));
    const variant_scores from_pictures = scores_of(judge, &options);
    assert_ok(variant_judge_save(judge, in_folder("kept.NPZ"), &err)); /* read by its content */
    assert_true(variant_is_statistics(in_folder("kept.NPZ")));
    assert_ok(variant_judge_save(judge, in_folder("real.safetensors"), &err));
    const char *const names[] = {"real.npz", "real.safetensors"};
    for (int i = 0; i < 2; ++i) {
        const char *path = in_folder(names[i]);
        variant_data statistics;
        variant_data_init(&statistics);
        statistics.paths = &path;
        statistics.path_count = 1;
        assert_ok(variant_judge_reference(judge, &statistics, 0, 0, 0, &err));
        assert_int_equal(variant_judge_network(judge)->reference_count, COUNT / 2);
        const variant_scores scores = scores_of(judge, &options);
        assert_true(fabs(scores.frechet - from_pictures.frechet) <= 1e-9 * from_pictures.frechet);
        assert_true(isnan(scores.precision) == (i == 0)); /* moments alone */
        if (i == 0)
            assert_fails(variant_judge_save(judge, in_folder("x"), &err), VARIANT_E_ARGUMENT,
                         "no reference of pictures");
    }
    variant_judge_close(&judge);
}

static void through_a_tokenizer(void **state) {
    (void)state;
    variant_array array;
    variant_judge *judge = open_judge();
    variant_tokenizer *tokenizer = NULL;
    const variant_data given = data_of(&array, 0, COUNT);
    variant_eval_options options = eval_options();
    assert_ok(variant_tokenizer_of(&tokenizer, engine, &err));
    options.pictures = &given;
    options.through = tokenizer;
    const variant_scores full = scores_of(judge, &options);
    assert_int_equal(full.count, COUNT);
    assert_int_equal(full.reference_count, COUNT); /* the pictures themselves */
    assert_true(full.psnr > 15 && full.ssim > 0.5 && full.psnr_spread > 0);
    options.decoder = "preview";
    const variant_scores preview = scores_of(judge, &options);
    assert_true(preview.psnr != full.psnr);
    variant_tokenizer_close(&tokenizer);
    variant_judge_close(&judge);
}

/* ---- classes ---- */

static void classifies(void **state) {
    (void)state;
    variant_array array;
    variant_judge *judge = open_judge();
    variant_classes *classes = NULL, *one = NULL;
    variant_data data = data_of(&array, 0, COUNT);
    const char *names[10];
    for (int i = 0; i < 10; ++i) names[i] = variant_judge_class_name(judge, i);
    data.class_names = names;
    assert_ok(variant_classify(judge, &data, 0, NULL, &classes, &err));
    assert_int_equal(classes->count, COUNT);
    assert_int_equal(classes->classes, 10);
    assert_int_equal(classes->dims, variant_judge_network(judge)->dims);
    assert_memory_equal(classes->expected, labels, sizeof labels);
    int right = 0;
    for (int i = 0; i < COUNT; ++i) {
        float sum = 0;
        for (int c = 0; c < 10; ++c) sum += classes->probabilities[10 * i + c];
        assert_true(fabsf(sum - 1) < 1e-5f);
        right += classes->labels[i] == labels[i];
    }
    assert_in_range(right, COUNT / 2, COUNT); /* it knows what the model draws */
    assert_non_null(strstr(classes->names[3], "[3]"));
    array.labels = NULL;
    data.class_names = NULL;
    data.class_count = 0;
    assert_ok(variant_classify(judge, &data, 2, NULL, &one, &err)); /* 0 and COUNT / 2 */
    assert_null(one->expected);
    assert_memory_equal(one->features + one->dims, classes->features + COUNT / 2 * one->dims,
                        (size_t)one->dims * sizeof *one->features);
    variant_classes_free(&one);
    variant_classes_free(&classes);
    names[2] = "Hat";
    data = data_of(&array, 0, COUNT);
    data.class_names = names;
    assert_fails(variant_classify(judge, &data, 0, NULL, &classes, &err), VARIANT_E_MODEL, "Hat");
    assert_null(classes);
    variant_judge_close(&judge);
}

/* ---- samples ---- */

static variant_picture picture_at(int i) {
    return (variant_picture){
        .width = SIDE, .height = SIDE, .channels = 1, .pixels = pixels[i][0], .label = labels[i]};
}

static void samples_to_a_file(void **state) {
    (void)state;
    variant_samples *samples = NULL;
    variant_judge *judge = open_judge();
    const char *path = in_folder("samples.npz");
    assert_ok(variant_samples_open(&samples, path, COUNT, &err));
    for (int i = 0; i < COUNT; ++i) {
        const variant_picture picture = picture_at(i);
        assert_ok(variant_samples_add(samples, &picture, 1, &err));
        assert_int_equal(access(path, F_OK), -1);
    }
    const variant_picture more = picture_at(0);
    assert_fails(variant_samples_add(samples, &more, 1, &err), VARIANT_E_ARGUMENT,
                 "more than 24 samples");
    assert_ok(variant_samples_finish(&samples, &err));
    assert_null(samples);
    /* read back as grey, they have the scores of the pictures in memory */
    variant_array array;
    variant_data file, memory = data_of(&array, 0, COUNT);
    variant_data_init(&file);
    file.paths = &path;
    file.path_count = 1;
    variant_eval_options options = eval_options();
    options.channels = 1;
    options.pictures = &file;
    const variant_scores of_file = scores_of(judge, &options);
    options.pictures = &memory;
    const variant_scores of_memory = scores_of(judge, &options);
    assert_true(of_file.inception_score == of_memory.inception_score);
    variant_judge_close(&judge);
    assert_ok(variant_samples_open(&samples, in_folder("few.npz"), 2, &err));
    variant_picture small = picture_at(0);
    assert_ok(variant_samples_add(samples, &small, 1, &err));
    small.width = 16;
    assert_fails(variant_samples_add(samples, &small, 1, &err), VARIANT_E_ARGUMENT, "one size");
    assert_fails(variant_samples_finish(&samples, &err), VARIANT_E_ARGUMENT, "1 samples of 2");
    assert_null(samples);
    assert_int_equal(access(in_folder("few.npz"), F_OK), -1);
    assert_fails(variant_samples_open(&samples, "-", 2, &err), VARIANT_E_ARGUMENT, "output");
    assert_fails(variant_samples_open(&samples, "x.npz", 0, &err), VARIANT_E_ARGUMENT, "1 sample");
    assert_fails(variant_samples_add(NULL, &small, 1, &err), VARIANT_E_ARGUMENT, "open samples");
    variant_samples_close(&samples);
    variant_samples_close(NULL);
}

/* ---- sweeps ---- */

typedef struct watcher {
    int calls, stop_at, points;
    double share;
} watcher;

static bool watch(void *user, const variant_sweep_progress *at) {
    watcher *w = user;
    assert_true(at->share >= w->share && at->share <= 1);
    w->share = at->share;
    w->points = at->points;
    return ++w->calls != w->stop_at;
}

static void sweeps(void **state) {
    (void)state;
    variant_array array;
    const int depths[] = {12, 1}, bridges[] = {2};
    const double guidance[] = {0};
    const variant_data real = data_of(&array, 0, COUNT);
    variant_request request = request_of(1, 3);
    watcher w = {.stop_at = 2};
    variant_sweep_options options;
    variant_sweep_options_init(&options);
    options.folder = in_folder("sweep");
    char kept[128];
    snprintf(kept, sizeof kept, "%s", options.folder);
    options.folder = kept;
    options.depths = depths;
    options.depth_count = 2;
    options.bridges = bridges;
    options.bridge_count = 1;
    options.cfg_scales = guidance;
    options.cfg_count = 1;
    options.repeat = 1;
    options.pictures = 0;
    options.reference = &real;
    options.samples = 20;
    options.draws = 0;
    options.features = MODEL;
    options.progress = watch;
    options.user = &w;
    assert_fails(variant_sweep(engine, &request, &options, &err), VARIANT_E_STOPPED, "");
    w = (watcher){0};
    assert_ok(variant_sweep(engine, &request, &options, &err)); /* goes on */
    assert_int_equal(w.points, 2);
    assert_true(w.share == 1);
    variant_plan_options planning;
    variant_plan **plans = NULL;
    int count = 0;
    variant_plan_options_init(&planning);
    planning.sweep = kept;
    planning.memory_only = true;
    request.cfg_scale = 0; /* the point's */
    assert_ok(variant_plan_list(engine, &request, &planning, &plans, &count, &err));
    assert_int_equal(count, 2);
    for (int i = 0; i < count; ++i) assert_true(plans[i]->has_distance && plans[i]->distance > 0);
    free(plans);
    request.cfg_scale = 1.5f;
    options.samples = 21;
    assert_fails(variant_sweep(engine, &request, &options, &err), VARIANT_E_MISMATCH, kept);
    options.depth_count = 33;
    assert_fails(variant_sweep(engine, &request, &options, &err), VARIANT_E_ARGUMENT, "depths: 33");
    options.depth_count = 2;
    options.repeat = 0;
    assert_fails(variant_sweep(engine, &request, &options, &err), VARIANT_E_ARGUMENT, "repeat 0");
    options.repeat = 1;
    options.folder = NULL;
    assert_fails(variant_sweep(engine, &request, &options, &err), VARIANT_E_ARGUMENT, "folder");
    assert_fails(variant_sweep(NULL, &request, &options, &err), VARIANT_E_ARGUMENT, "no engine");
    assert_fails(variant_sweep(engine, NULL, &options, &err), VARIANT_E_ARGUMENT,
                 "variant_request");
    assert_fails(variant_sweep(engine, &request, NULL, &err), VARIANT_E_ARGUMENT,
                 "variant_sweep_options");
}

/* ---- what is wrong ---- */

static bool stop_pictures(void *user, const char *doing, int done, int total) {
    (void)user;
    return strcmp(doing, "pictures") != 0 || done == total + 1;
}

static void wrong_arguments(void **state) {
    (void)state;
    variant_array array;
    variant_judge *judge = open_judge(), *none = NULL;
    variant_judge_options asked;
    variant_data data = data_of(&array, 0, COUNT);
    variant_scores scores;
    variant_classes *classes = NULL;
    const variant_request request = request_of(1, 1);
    variant_eval_options options = eval_options();
    variant_scores_init(&scores);
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT,
                 "what is judged");
    assert_fails(variant_evaluate(NULL, &options, &scores, &err), VARIANT_E_ARGUMENT, "no judge");
    assert_fails(variant_evaluate(judge, NULL, &scores, &err), VARIANT_E_ARGUMENT, "variant_eval");
    assert_fails(variant_evaluate(judge, &options, NULL, &err), VARIANT_E_ARGUMENT, "scores");
    options.engine = engine;
    options.request = &request;
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT,
                 "at least 2");
    options.pictures = &data;
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT,
                 "what is judged");
    options = eval_options();
    options.pictures = &data;
    options.draws = 1;
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT, "1 draws");
    options.draws = 0;
    options.channels = 2;
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT,
                 "channels 2");
    options.channels = 0;
    array.count = 1;
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT,
                 "at least 2");
    array.count = COUNT;
    data.array = NULL;
    data.files = (const char *const[]){"x.png"};
    data.file_count = 1;
    assert_fails(variant_evaluate(judge, &options, &scores, &err), VARIANT_E_ARGUMENT,
                 "no data set");
    assert_fails(variant_judge_reference(judge, &data, 0, 0, 0, &err), VARIANT_E_ARGUMENT,
                 "no data set");
    assert_fails(variant_classify(judge, &data, 0, NULL, &classes, &err), VARIANT_E_IO, "x.png");
    assert_fails(variant_classify(judge, NULL, 0, NULL, &classes, &err), VARIANT_E_ARGUMENT,
                 "variant_data");
    assert_fails(variant_classify(NULL, &data, 0, NULL, &classes, &err), VARIANT_E_ARGUMENT,
                 "judge");
    data = data_of(&array, 0, COUNT);
    assert_fails(variant_classify(judge, &data, -1, NULL, &classes, &err), VARIANT_E_ARGUMENT,
                 "count -1");
    assert_fails(variant_judge_reference(judge, &data, 0, -1, 0, &err), VARIANT_E_ARGUMENT,
                 "side -1");
    assert_null(classes);
    variant_judge_options_init(&asked);
    assert_fails(variant_judge_open(&none, &asked, &err), VARIANT_E_ARGUMENT, "which network");
    asked.features = MODEL;
    asked.resize = "pillow";
    assert_fails(variant_judge_open(&none, &asked, &err), VARIANT_E_ARGUMENT, "\"pillow\"");
    asked.resize = "tensorflow";
    assert_fails(variant_judge_open(&none, &asked, &err), VARIANT_E_UNSUPPORTED, "");
    asked.resize = NULL;
    asked.features = in_folder("nothing");
    assert_fails(variant_judge_open(&none, &asked, &err), VARIANT_E_IO, "nothing");
    assert_null(none);
    asked.features = MODEL;
    asked.progress = stop_pictures;
    assert_ok(variant_judge_open(&none, &asked, &err));
    assert_fails(variant_evaluate(none, &options, &scores, &err), VARIANT_E_STOPPED, "24");
    assert_fails(variant_classify(none, &data, 0, NULL, &classes, &err), VARIANT_E_STOPPED, "24");
    variant_judge_close(&none);
    const int cancel = 1;
    asked.progress = NULL;
    asked.cancel = &cancel;
    assert_ok(variant_judge_open(&none, &asked, &err));
    assert_fails(variant_judge_reference(none, &data, 0, SIDE, 1, &err), VARIANT_E_STOPPED, "24");
    assert_null(variant_judge_network(none)->reference);
    variant_judge_close(&none);
    variant_judge_close(NULL);
    variant_classes_free(NULL);
    assert_null(variant_scores_json(NULL, &scores));
    variant_judge_close(&judge);
}

/* ---- seeds ---- */

typedef struct told {
    int count;
    uint64_t seeds[4];
    double frechet[4];
    int cancel_at, cancel;
} told;

static void tell(void *user, uint64_t seed, const variant_scores *scores) {
    told *t = user;
    t->seeds[t->count] = seed;
    t->frechet[t->count++] = scores->frechet;
    if (t->count == t->cancel_at) t->cancel = 1;
}

/* Each seed's scores are those that it has alone; the others are made of them. */
static void several_seeds(void **state) {
    (void)state;
    variant_array array;
    variant_judge *judge = open_judge();
    const variant_data real = data_of(&array, 0, COUNT);
    const uint64_t seeds[] = {5, UINT64_MAX, 2};
    variant_request request = request_of(12, 9);
    variant_seed_scores *found = NULL;
    told t = {0};
    variant_eval_options options = eval_options();
    assert_ok(variant_judge_reference(judge, &real, 0, SIDE, 1, &err));
    options.engine = engine;
    options.request = &request;
    options.finished = tell;
    options.user = &t;
    assert_ok(variant_evaluate_seeds(judge, &options, seeds, 3, &found, &err));
    assert_int_equal(found->count, 3);
    assert_int_equal(t.count, 3);
    double sum = 0, squares = 0, least = INFINITY, most = -INFINITY;
    for (int i = 0; i < 3; ++i) {
        const double x = found->scores[i]->frechet;
        assert_true(found->seeds[i] == seeds[i] && t.seeds[i] == seeds[i] && t.frechet[i] == x);
        request.seed = options.seed = seeds[i];
        const variant_scores alone = scores_of(judge, &options);
        assert_memory_equal(&alone, found->scores[i], sizeof alone);
        sum += x;
        least = fmin(least, x);
        most = fmax(most, x);
    }
    for (int i = 0; i < 3; ++i) squares += pow(found->scores[i]->frechet - sum / 3, 2);
    const double deviation = sqrt(squares / 2);
    assert_true(least < most);
    assert_true(fabs(found->mean->frechet - sum / 3) < 1e-9 * most);
    assert_true(fabs(found->deviation->frechet - deviation) < 1e-9 * most);
    assert_true(found->least->frechet == least && found->most->frechet == most);
    assert_true(found->mean->frechet_spread >= deviation / sqrt(3) * (1 - 1e-9));
    assert_true(isnan(found->least->frechet_spread) && isnan(found->mean->spatial_frechet));
    assert_string_equal(found->mean->name, "FID(classifier)");
    assert_true(fabs(found->mean->kid -
                     (found->scores[0]->kid + found->scores[1]->kid + found->scores[2]->kid) / 3) <
                1e-12);
    char *text = variant_seed_scores_json(judge, found);
    assert_non_null(strstr(text, "\"range\":{\"frechet\":["));
    assert_non_null(strstr(text, "\"seed\":\"18446744073709551615\""));
    free(text);
    variant_seed_scores_free(&found);
    assert_null(found);
    variant_judge_close(&judge);
}

/* Stopped, those that are finished are there; what is not valid is said before the first. */
static void stopped_and_wrong_seeds(void **state) {
    (void)state;
    variant_judge *judge = NULL;
    variant_judge_options asked;
    variant_seed_scores *found = NULL;
    const uint64_t seeds[] = {1, 2, 3, 1};
    const variant_request request = request_of(4, 0);
    told t = {.cancel_at = 1};
    variant_eval_options options = eval_options();
    variant_judge_options_init(&asked);
    asked.features = MODEL;
    asked.cancel = &t.cancel;
    assert_ok(variant_judge_open(&judge, &asked, &err));
    options.engine = engine;
    options.request = &request;
    options.finished = tell;
    options.user = &t;
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 3, &found, &err), VARIANT_E_STOPPED,
                 "stopped");
    assert_int_equal(found->count, 1);
    assert_true(found->mean->inception_score == found->scores[0]->inception_score);
    assert_true(isnan(found->deviation->inception_score));
    variant_seed_scores_free(&found);
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 3, &found, &err), VARIANT_E_STOPPED,
                 "stopped");
    assert_true(found->count == 0 && !found->mean);
    variant_seed_scores_free(&found);
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 4, &found, &err),
                 VARIANT_E_ARGUMENT, "seed 1 is there twice");
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 0, &found, &err),
                 VARIANT_E_ARGUMENT, "0 seeds: expected 1 to 256");
    options.save_statistics = in_folder("x.npz");
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 2, &found, &err),
                 VARIANT_E_ARGUMENT, "save_statistics");
    options.engine = NULL;
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 2, &found, &err),
                 VARIANT_E_ARGUMENT, "expected an engine");
    assert_null(found);
    assert_fails(variant_evaluate_seeds(NULL, &options, seeds, 2, &found, &err), VARIANT_E_ARGUMENT,
                 "no judge");
    assert_fails(variant_evaluate_seeds(judge, &options, seeds, 2, NULL, &err), VARIANT_E_ARGUMENT,
                 "nowhere");
    variant_judge_close(&judge);
}

/* The first number of that key; NAN: there is none. */
static double number_in(const char *json, const char *key) {
    char begin[32];
    snprintf(begin, sizeof begin, "\"%s\":", key);
    const char *at = strstr(json, begin);
    return at ? strtod(at + strlen(begin), NULL) : (double)NAN;
}

/* Gathered one by one a list is what the seeds are together; two lists differ by what their scores do. */
static void lists_of_seeds(void **state) {
    (void)state;
    variant_array array;
    variant_judge *judge = open_judge();
    const variant_data real = data_of(&array, 0, COUNT);
    const uint64_t seeds[] = {5, 2};
    variant_request request = request_of(12, 0);
    variant_seed_scores *found = NULL;
    variant_seed_list *list = NULL, *other = NULL;
    variant_eval_options options = eval_options();
    options.engine = engine;
    options.request = &request;
    options.reference = &real;
    assert_ok(variant_evaluate_seeds(judge, &options, seeds, 2, &found, &err));
    assert_true(variant_judge_network(judge)->reference_count == COUNT);
    assert_string_equal(variant_judge_network(judge)->split, "all");
    assert_true(found->scores[0]->side == SIDE && !found->scores[0]->split);
    assert_ok(variant_seed_list_open(&list, &err));
    assert_ok(variant_seed_list_open(&other, &err));
    for (int i = 0; i < 2; ++i)
        assert_ok(variant_seed_list_add(list, judge, seeds[i], found->scores[i], &err));
    assert_fails(variant_seed_list_add(list, judge, 2, found->scores[1], &err), VARIANT_E_ARGUMENT,
                 "seed 2 is there twice");
    assert_ok(variant_seed_list_add(other, judge, 2, found->scores[0], &err));
    assert_true(variant_seed_list_count(list) == 2 && variant_seed_list_seed(list, 1) == 2);
    char *one = variant_seed_list_json(list), *same = variant_seed_scores_json(judge, found);
    assert_string_equal(one, same);
    char *differences = variant_seed_list_differences_json(list, other);
    const double expected = found->scores[1]->frechet - found->scores[0]->frechet;
    assert_true(fabs(number_in(differences, "frechet") - expected) < 1e-9);
    assert_non_null(strstr(differences, "\"pairs\":1"));
    /* what eval writes is read again */
    FILE *file = fopen(in_folder("seeds.json"), "w");
    assert_non_null(file);
    fprintf(file, "{\"settings\": {\"depth\": 1}, %s", one + 1);
    assert_int_equal(fclose(file), 0);
    variant_seed_list_close(&other);
    assert_ok(variant_seed_list_read(&other, in_folder("seeds.json"), &err));
    char *again = variant_seed_list_json(other);
    assert_true(fabs(number_in(again, "frechet") / number_in(one, "frechet") - 1) < 1e-12);
    assert_int_equal(variant_seed_list_count(other), 2);
    assert_string_equal(variant_seed_list_settings(other), "{\"depth\":1}");
    assert_ok(variant_seed_list_check(other, judge, 12, "seeds.json", &err));
    assert_fails(variant_seed_list_check(other, judge, 13, "seeds.json", &err), VARIANT_E_MISMATCH,
                 "seeds.json: scores of 12 pictures, here of 13");
    variant_seed_list_close(&other);
    assert_fails(variant_seed_list_read(&other, THIS, &err), VARIANT_E_FORMAT, "not scores");
    assert_null(other);
    free(again);
    free(differences);
    free(one);
    free(same);
    variant_seed_list_close(&list);
    variant_seed_scores_free(&found);
    variant_judge_close(&judge);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(generated_and_given),     cmocka_unit_test(statistics_in_files),
        cmocka_unit_test(through_a_tokenizer),     cmocka_unit_test(classifies),
        cmocka_unit_test(samples_to_a_file),       cmocka_unit_test(sweeps),
        cmocka_unit_test(wrong_arguments),         cmocka_unit_test(several_seeds),
        cmocka_unit_test(stopped_and_wrong_seeds), cmocka_unit_test(lists_of_seeds),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* test_library_measure.c - synthetic models, the self-test, times and a sweep's results as a program that links libvariant has them: by
 * include/variant.h alone. How long anything takes is no test's matter: what is told is, and that it belongs together. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>
#include "tests/library.h"

#define THIS VARIANT_SOURCE_DIR "/tests/test_library_measure.c"
#define GOLDEN VARIANT_SOURCE_DIR "/tests/golden"
static const char config[] =
    "{\"seed\": \"A\", \"depth\": 4, \"width\": 64, \"heads\": 1, \"V\": 32, \"Cvae\": 8, "
    "\"classes\": 3, "
    "\"patch_nums\": [1, 2, 4], \"attn_l2_norm\": true, \"shared_aln\": false, \"ch\": 32, "
    "\"ch_mult\": [1, 1, 2], \"nres\": 1}";
static char shape[64 + 16]; /* its file */
static variant_engine *engine;

static variant_engine_options two_threads(void) {
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.threads = 2;
    return options;
}

static int setup(void **state) {
    (void)state;
    const variant_engine_options options = two_threads();
    if (folder_make() != 0) return -1;
    snprintf(shape, sizeof shape, "%s/shape.json", folder);
    FILE *file = fopen(shape, "w");
    if (!file || fputs(config, file) < 0 || fclose(file) != 0) return -1;
    assert_ok(variant_engine_synthesize(&engine, shape, NULL, &options, &err));
    return 0;
}

static int teardown(void **state) {
    (void)state;
    variant_engine_close(&engine);
    return folder_remove();
}

static variant_request request_of(int count) {
    variant_request request;
    variant_request_init(&request);
    request.class_name = "1";
    request.count = request.batch = count;
    return request;
}

/* ---- synthetic models ---- */

/* The same model in memory and by a file: the same pictures. */
static void synthetic_models(void **state) {
    (void)state;
    variant_engine_options options = two_threads();
    variant_synth_options made;
    variant_engine *filed = NULL;
    variant_picture *one = NULL, *other = NULL;
    const variant_request request = request_of(2);
    variant_synth_options_init(&made);
    made.config = shape;
    made.preview = "tiny";
    options.model = in_folder("model.safetensors");
    assert_ok(variant_synthesize(options.model, &made, &err));
    assert_ok(variant_engine_open(&filed, &options, &err));
    assert_true(variant_engine_info(filed)->preview_decoder);
    assert_int_equal(variant_engine_info(filed)->depth, 4);
    assert_false(variant_engine_info(engine)->preview_decoder);
    assert_ok(variant_generate(engine, &request, &one, NULL, &err));
    assert_ok(variant_generate(filed, &request, &other, NULL, &err));
    for (int i = 0; i < 2; ++i) {
        assert_int_equal(one[i].width, 16);
        assert_memory_equal(one[i].pixels, other[i].pixels, 16 * 16 * (size_t)one[i].channels);
    }
    variant_pictures_free(&one, 2);
    variant_pictures_free(&other, 2);
    variant_engine_close(&filed);
}

static void wrong_synthetic_models(void **state) {
    (void)state;
    const variant_engine_options options = two_threads();
    variant_synth_options made;
    variant_engine *none = NULL;
    const char *path = in_folder("wrong.safetensors");
    variant_synth_options_init(&made);
    assert_fails(variant_synthesize(path, &made, &err), VARIANT_E_ARGUMENT, "a configuration");
    made.config = "inception";
    made.only = "tokenizer";
    assert_fails(variant_synthesize(path, &made, &err), VARIANT_E_ARGUMENT, "one part");
    made.config = shape;
    made.type = "int8";
    assert_fails(variant_synthesize(path, &made, &err), VARIANT_E_ARGUMENT,
                 "type \"int8\": expected f32, f16 or bf16");
    made.type = "f16";
    made.only = "transformer";
    made.preview = "tiny";
    assert_fails(variant_synthesize(path, &made, &err), VARIANT_E_ARGUMENT, "with a tokenizer");
    made.preview = NULL;
    made.config = THIS;
    assert_fails(variant_synthesize(path, &made, &err), VARIANT_E_FORMAT, "test_library_measure.c");
    assert_int_equal(access(path, F_OK), -1);
    assert_fails(variant_engine_synthesize(&none, "var-d17", NULL, &options, &err), VARIANT_E_IO,
                 "var-d17");
    assert_null(none);
    assert_fails(variant_engine_synthesize(&none, NULL, NULL, &options, &err), VARIANT_E_ARGUMENT,
                 "configuration");
}

/* ---- the self-test ---- */

typedef struct seen {
    int passed, failed, skipped, counted;
    char measure[32];
} seen;

static void see_line(void *user, const variant_selftest_line *line) {
    seen *s = user;
    s->passed += line->verdict == VARIANT_VERDICT_PASS;
    s->failed += line->verdict == VARIANT_VERDICT_FAIL;
    s->skipped += line->verdict == VARIANT_VERDICT_SKIP;
    snprintf(s->measure, sizeof s->measure, "%s", line->measure);
}

static void see_counts(void *user, int passed, int failed, int files, int skipped) {
    seen *s = user;
    assert_true(passed == s->passed && failed == s->failed && skipped == s->skipped &&
                files + skipped > 0);
    ++s->counted;
}

static void self_test(void **state) {
    (void)state;
    seen s = {0};
    variant_selftest_options options;
    variant_selftest_counts counts = {.size = sizeof counts};
    variant_selftest_options_init(&options);
    options.threads = 2;
    options.line = see_line;
    options.counted = see_counts;
    options.user = &s;
    options.dump = in_folder("computed.safetensors");
    assert_ok(variant_selftest(GOLDEN "/sampling.safetensors", &options, &counts, &err));
    assert_true(counts.files == 1 && counts.passed == s.passed && s.passed > 0 && s.counted == 1);
    assert_int_equal(access(options.dump, R_OK), 0);
    options.dump = NULL;
    s = (seen){0};
    const char *others = in_folder("others"); /* a model is no reference */
    variant_synth_options made;
    variant_synth_options_init(&made);
    made.config = shape;
    assert_ok(variant_folder_make(others, &err));
    assert_ok(variant_synthesize(in_folder("others/model.safetensors"), &made, &err));
    assert_fails(variant_selftest(others, &options, &counts, &err), VARIANT_E_MISMATCH,
                 "others: nothing there that could be compared");
    assert_true(counts.passed == 0 && counts.failed == 0 && counts.skipped == 1);
    assert_fails(variant_selftest(in_folder("absent"), &options, NULL, &err), VARIANT_E_IO,
                 "absent");
    options.weights = "f64";
    assert_fails(variant_selftest(GOLDEN "/sampling.safetensors", &options, NULL, &err),
                 VARIANT_E_ARGUMENT, "f64");
    assert_fails(variant_selftest(NULL, &options, NULL, &err), VARIANT_E_ARGUMENT, "reference");
}

/* ---- times ---- */

typedef struct told {
    int says, begins, steps, ends;
} told;

static void see_progress(void *user, const variant_bench_progress *at) {
    told *t = user;
    t->says += at->event == VARIANT_BENCH_SAYS;
    t->begins += at->event == VARIANT_BENCH_BEGINS;
    t->steps += at->event == VARIANT_BENCH_STEPS;
    t->ends += at->event == VARIANT_BENCH_ENDS;
    if (at->event == VARIANT_BENCH_ENDS) assert_true(at->seconds > 0.0 && *at->doing);
}

static void times_of_pictures(void **state) {
    (void)state;
    const int depths[] = {4, 2};
    const variant_request request = request_of(2);
    variant_bench_results *results = NULL;
    variant_bench_options options;
    told t = {0};
    variant_bench_options_init(&options);
    options.depths = depths;
    options.depth_count = 2;
    options.repeat = 1;
    options.progress = see_progress;
    options.user = &t;
    assert_ok(variant_bench(&results, engine, &request, &options, &err));
    assert_int_equal(results->count, 2);
    assert_string_equal(results->figures[0]->depths, "4,4,4");
    for (int i = 0; i < 2; ++i) {
        const variant_bench_figures *f = results->figures[i];
        double layers = 0.0;
        assert_true(f->runs >= 1 && f->runs <= 2 && f->scales == 3);
        assert_int_equal(f->scale_layers[2], depths[i]);
        for (int k = 0; k < f->scales; ++k) {
            assert_true(f->scale_ms[k] > f->head_ms[k] && f->scale_floor_ms[k] > 0.0);
            layers += f->scale_ms[k];
        }
        assert_true(f->picture_ms > f->transformer_ms && f->transformer_ms >= f->condition_ms);
        assert_true(f->transformer_floor_ms > 0.0 && f->decoder_floor_ms > 0.0 && layers > 0.0);
        assert_true(f->expected_ms > 0.0 && f->contradicts < 2 && f->kv_peak_bytes > 0);
    }
    assert_true(results->figures[1]->kv_end_bytes < results->figures[0]->kv_end_bytes);
    assert_true(results->figures[1]->transformer_floor_ms <
                results->figures[0]->transformer_floor_ms);
    assert_true(t.says == 1 && t.begins >= 4 && t.ends == t.begins && t.steps >= 3 * t.begins);
    variant_bench_results_free(&results);
    assert_null(results);
    options.depth_count = 0;
    options.repeat = 0;
    assert_fails(variant_bench(&results, engine, &request, &options, &err), VARIANT_E_ARGUMENT,
                 "repeat 0: expected 1 to 1000");
    options.repeat = 1;
    options.depth_count = VARIANT_MAX_DEPTHS + 1;
    assert_fails(variant_bench(&results, engine, &request, &options, &err), VARIANT_E_ARGUMENT,
                 "17 depths: expected up to 16");
    assert_fails(variant_bench(&results, NULL, &request, &options, &err), VARIANT_E_ARGUMENT,
                 "no engine");
}

/* A backend that nothing is known of. */
static void no_probes(void **state) {
    (void)state;
    variant_engine_options plain = two_threads();
    variant_engine *ref = NULL;
    const variant_request request = request_of(1);
    variant_bench_results *results = NULL;
    variant_bench_shared *shared = NULL;
    variant_bench_options options;
    variant_bench_streams_options together;
    variant_bench_options_init(&options);
    variant_bench_streams_options_init(&together);
    plain.backend = "ref";
    assert_ok(variant_engine_synthesize(&ref, shape, NULL, &plain, &err));
    assert_fails(variant_bench(&results, ref, &request, &options, &err), VARIANT_E_UNSUPPORTED,
                 "backend ref has no probes");
    assert_fails(variant_bench_streams(&shared, ref, &request, &together, &err),
                 VARIANT_E_UNSUPPORTED, "backend ref has no probes");
    variant_engine_close(&ref);
}

static void times_of_streams(void **state) {
    (void)state;
    const int depths[] = {2, 4};
    const variant_request request = request_of(1);
    variant_bench_shared *shared = NULL;
    variant_bench_streams_options options;
    variant_bench_streams_options_init(&options);
    options.requests = 3;
    options.depths = depths;
    options.depth_count = 2;
    options.repeat = 1;
    assert_ok(variant_bench_streams(&shared, engine, &request, &options, &err));
    assert_true(shared->requests == 3 && shared->every == 1 && shared->way_count == 3);
    assert_memory_equal(shared->depths, ((int[]){2, 4, 2}), 3 * sizeof(int));
    assert_int_equal(shared->steps_saved, 3 * 3 - (2 + 3));
    assert_string_equal(shared->ways[0]->name, "one after another");
    for (int i = 0; i < 3; ++i)
        assert_true(shared->ways[i]->total_ms > shared->ways[i]->transformer_ms &&
                    shared->ways[i]->transformer_ms > 0.0 && shared->ways[i]->runs >= 1);
    assert_true(fabs(shared->saved_ms -
                     (shared->ways[0]->transformer_ms - shared->ways[1]->transformer_ms)) < 1e-9);
    variant_bench_streams_free(&shared);
    options.every = 4;
    assert_fails(variant_bench_streams(&shared, engine, &request, &options, &err),
                 VARIANT_E_ARGUMENT, "every 4 steps: a picture of this model has 3");
    options.every = 0;
    options.requests = 1;
    assert_fails(variant_bench_streams(&shared, engine, &request, &options, &err),
                 VARIANT_E_ARGUMENT, "1 requests");
    assert_null(shared);
}

static void times_of_training(void **state) {
    (void)state;
    const variant_engine_options model = two_threads();
    variant_bench_training *times = NULL;
    variant_bench_train_options options;
    variant_bench_train_options_init(&options);
    options.config = shape;
    options.batch = 2;
    options.bridge = 1;
    options.repeat = 1;
    assert_ok(variant_bench_train(&times, &model, &options, &err));
    assert_true(times->layers == 4 && times->width == 64 && times->tokens == 1 + 4 + 16);
    assert_int_equal(times->depth, 2);
    const variant_bench_step *steps[] = {times->full, times->subnet};
    for (int i = 0; i < 2; ++i) {
        double parts = 0.0;
        for (int part = 0; part < VARIANT_STEP_WHOLE; ++part) parts += steps[i]->ms[part];
        assert_true(steps[i]->ms[VARIANT_STEP_BACKWARD] > 0.0);
        assert_true(steps[i]->best_ms <= steps[i]->ms[VARIANT_STEP_WHOLE]);
        if (times->runs == 1) assert_true(fabs(parts - steps[i]->ms[VARIANT_STEP_WHOLE]) < 1e-6);
        assert_true(steps[i]->floor_ms[VARIANT_STEP_BACKWARD] ==
                    2.0 * steps[i]->floor_ms[VARIANT_STEP_FORWARD]);
    }
    assert_true(times->subnet->floor_ms[VARIANT_STEP_WHOLE] <
                times->full->floor_ms[VARIANT_STEP_WHOLE]);
    variant_bench_training_free(&times);
    options.precision = "int8";
    assert_fails(variant_bench_train(&times, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "precision \"int8\": expected f32 or bf16");
    options.precision = "bf16";
    options.batch = 0;
    assert_fails(variant_bench_train(&times, &model, &options, &err), VARIANT_E_ARGUMENT,
                 "batch 0");
    assert_null(times);
}

static void wrong_kernels(void **state) {
    (void)state;
    variant_bench_kernels_options options;
    variant_bench_kernels_options_init(&options);
    options.repeat = VARIANT_BENCH_MOST_REPEAT + 1;
    assert_fails(variant_bench_kernels(&options, &err), VARIANT_E_ARGUMENT,
                 "repeat 1001: expected 1 to 1000");
}

/* ---- a sweep's folder ---- */

static void results_of_a_sweep(void **state) {
    (void)state;
    const int depths[] = {4, 2}, bridges[] = {1}, zones[] = {2, 3};
    const variant_request request = request_of(1);
    variant_sweep_results *results = NULL;
    variant_sweep_options options;
    variant_sweep_options_init(&options);
    options.folder = in_folder("sweep");
    options.depths = depths;
    options.depth_count = 2;
    options.bridges = bridges;
    options.bridge_count = 1;
    options.zones = zones;
    options.zone_count = 1;
    options.repeat = 1;
    assert_ok(variant_sweep(engine, &request, &options, &err));
    assert_ok(variant_sweep_read(&results, options.folder, &err));
    assert_true(results->point_count == 2 && results->zone_count == 1);
    assert_string_equal(results->points[0]->depths, "4,4,4");
    assert_string_equal(results->points[1]->depths, "4,2,2");
    assert_int_equal(strncmp(results->zones[0]->id, "zone2-3-d2", 10), 0);
    assert_true(results->points[1]->picture_ms > 0.0 && results->points[1]->memory_bytes > 0.0);
    assert_true(isnan(results->points[0]->distance) && !results->points[0]->score[0]);
    variant_sweep_results_free(&results);
    char report[160];
    snprintf(report, sizeof report, "%s/report.html", options.folder);
    assert_int_equal(unlink(report), 0);
    assert_ok(variant_sweep_report(options.folder, &err));
    assert_int_equal(access(report, R_OK), 0);
    assert_fails(variant_sweep_read(&results, in_folder("absent"), &err), VARIANT_E_IO, "absent");
    assert_null(results);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(synthetic_models),   cmocka_unit_test(wrong_synthetic_models),
        cmocka_unit_test(self_test),          cmocka_unit_test(times_of_pictures),
        cmocka_unit_test(no_probes),          cmocka_unit_test(times_of_streams),
        cmocka_unit_test(times_of_training),  cmocka_unit_test(wrong_kernels),
        cmocka_unit_test(results_of_a_sweep),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* What plans read and keep: the table of measured times (found again, damaged, of another machine,
 * not writable) and a sweep's results (best measured quality that fits; files that are none). */
#include "fixtures.h"

#include <sys/stat.h>

#include "planning/cost.h"
#include "engine/engine.h"
#include "io/file.h"

static variant_engine *engine;
static variant_info info;
static char folder[64];

static int open_all(void **state) {
    (void)state;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = VARIANT_SOURCE_DIR "/models/fashion";
    options.threads = 1;
    setenv("VARIANT_WATCH", "off",
           1); /* what is kept must not depend on the tests beside this one */
    if (variant_engine_open(&engine, &options, NULL) != VARIANT_OK) return -1;
    info = *variant_engine_info(engine);
    make_folder(folder);
    return 0;
}

static int close_all(void **state) {
    (void)state;
    variant_engine_close(&engine);
    remove_folder(folder);
    return 0;
}

static variant_request one(void) {
    variant_request request;
    variant_request_init(&request);
    request.batch = 1;
    return request;
}

static variant_plan_options cached(void) {
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.cache = folder;
    return options;
}

static variant_plan plan_of(const variant_plan_options *options) {
    variant_request request = one();
    variant_plan plan = {.size = sizeof plan};
    variant_error err = {0};
    if (variant_plan_make(engine, &request, options, &plan, &err) != VARIANT_OK)
        fail_msg("plan: %s", err.message);
    return plan;
}

static void write_text(const char *path, const char *text) {
    assert_ok(vt_file_write(path, text, strlen(text), err));
}

/* ---- the table of times ---- */

static vt_costs_key key_of_one(char *path, size_t size) {
    vt_costs_key key;
    variant_request request = one();
    vt_costs_key_of(&key, engine, &request);
    assert_true(vt_costs_path(path, size, folder, &key));
    return key;
}

/* Seconds that no machine takes: 100 at a scale for 12 layers of both branches, 10 for 2, 5 for one of one branch. */
static vt_costs made_up(void) {
    vt_costs costs = {.scales = 7, .fixed = 1.0};
    for (int k = 0; k < 7; ++k) {
        costs.deep.work.layers[k] = 12;
        costs.deep.seconds[k] = 100.0;
        costs.shallow.work.layers[k] = costs.apart.work.layers[k] = k ? 2 : 12;
        costs.shallow.seconds[k] = k ? 10.0 : 100.0;
        costs.apart.work.alone[k] = k ? 10 : 0;
        costs.apart.seconds[k] = k ? 60.0 : 100.0;
    }
    return costs;
}

static void tables_are_read_back(void **state) {
    (void)state;
    char path[256];
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs written = made_up(), read;
    bool there = true;
    assert_fails(vt_costs_read(&read, path, &key, &there, err), VARIANT_E_IO, path);
    assert_false(there);
    assert_ok(vt_costs_write(&written, path, &key, err));
    assert_ok(vt_costs_read(&read, path, &key, &there, err));
    assert_true(there);
    assert_int_equal(read.scales, 7);
    assert_memory_equal(&read.deep, &written.deep, sizeof read.deep);
    assert_memory_equal(&read.shallow, &written.shallow, sizeof read.shallow);
    assert_memory_equal(&read.apart, &written.apart, sizeof read.apart);
    assert_float_equal(read.fixed, 1.0, 0.0);
    variant_request other = one();
    vt_costs_key another;
    other.batch = 2;
    vt_costs_key_of(&another, engine, &other);
    assert_string_not_equal(another.name, key.name);
    other = one();
    other.cfg_scale = 0.0f;
    vt_costs_key_of(&another, engine, &other);
    assert_string_not_equal(another.name, key.name);
}

/* A table of a disturbed machine is kept as such, and measured again while there is no better one. */
static void disturbed_tables_are_measured_again(void **state) {
    (void)state;
    char path[256];
    bool there;
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up(), read;
    costs.disturbed = true;
    snprintf(costs.why, sizeof costs.why, "waited 40 %% of the time for a processor");
    assert_ok(vt_costs_write(&costs, path, &key, err));
    assert_ok(vt_costs_read(&read, path, &key, &there, err));
    assert_true(read.disturbed);
    assert_string_equal(read.why, costs.why);
    variant_plan_options options = cached();
    setenv("VARIANT_WATCH", "always", 1);
    for (int i = 0; i < 2; ++i) { /* found disturbed, measured disturbed, and again */
        variant_plan plan = plan_of(&options);
        assert_true(plan.measured && plan.disturbed && plan.seconds < 100.0);
        assert_non_null(strstr(plan.warning, "disturbed machine"));
        assert_ok(vt_costs_read(&read, path, &key, &there, err));
        assert_true(read.disturbed);
    }
    setenv("VARIANT_WATCH", "off", 1);
    variant_plan plan = plan_of(&options);
    assert_true(plan.measured && !plan.disturbed);
    assert_string_equal(plan.warning, "");
    plan = plan_of(&options);
    assert_true(!plan.measured && !plan.disturbed);
}

static void plans_use_the_table(void **state) {
    (void)state;
    char path[256];
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up();
    assert_ok(vt_costs_write(&costs, path, &key, err));
    variant_plan_options options = cached();
    variant_plan plan = plan_of(&options);
    assert_false(plan.measured);
    assert_int_equal(plan.depth, 12);
    /* four scales of 12 in both branches, three of 2 in both and 10 in one */
    assert_float_equal(plan.seconds, 4 * 100.0 + 3 * 60.0 + 1.0, 1e-6);
    /* late scales of 6 layers: 2 in both, 4 in one, 30; bridge 6 with 2 layers takes 531 */
    options.max_seconds = 525.0;
    plan = plan_of(&options);
    assert_true(plan.fits);
    assert_int_equal(plan.bridge, 5);
    assert_int_equal(plan.depth, 6);
    assert_float_equal(plan.seconds, 4 * 100.0 + 60.0 + 2 * 30.0 + 1.0, 1e-6);
    options.max_seconds = 100.0; /* the cheapest: 100 + 6 x 10 + 1 */
    plan = plan_of(&options);
    assert_false(plan.fits);
    assert_int_equal(plan.bridge, 1);
    assert_int_equal(plan.depth, 2);
    assert_float_equal(plan.seconds, 161.0, 1e-6);
    options.max_seconds = 0.0;
    options.remeasure = true;
    plan = plan_of(&options);
    assert_true(plan.measured);
    assert_true(plan.seconds > 0.0 && plan.seconds < 100.0);
    options.remeasure = false; /* and what was measured is what is found next */
    variant_plan again = plan_of(&options);
    assert_false(again.measured);
    assert_float_equal(again.seconds, plan.seconds, 1e-9);
    assert_string_equal(again.warning, "");
}

/* In memory beside the file, and without either nothing is measured where that is forbidden. */
static void times_are_kept_in_memory(void **state) {
    (void)state;
    char path[256];
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up();
    const variant_request request = one();
    variant_plan_options options = cached();
    variant_plan plan = {.size = sizeof plan};
    variant_seconds seconds = {.size = sizeof seconds};
    remove(path);
    assert_ok(variant_times_open(&options.times, err));
    options.kept_only = true;
    assert_fails(variant_request_seconds(engine, &request, &options, &seconds, err),
                 VARIANT_E_UNSUPPORTED, "no times of this model");
    options.max_seconds = 1.0;
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), VARIANT_E_UNSUPPORTED,
                 "no times of this model");
    options.max_seconds = 0.0;
    assert_ok(vt_costs_write(&costs, path, &key, err));
    assert_ok(variant_request_seconds(engine, &request, &options, &seconds, err));
    remove(path); /* it is held by now */
    plan = plan_of(&options);
    assert_false(plan.measured);
    assert_float_equal(plan.seconds, seconds.total, 1e-9);
    assert_float_equal(seconds.rest, 1.0, 1e-9);
    double sum = seconds.rest;
    for (int k = 0; k < info.scales; ++k) sum += seconds.scale[k];
    assert_float_equal(sum, seconds.total, 1e-9);
    variant_request few = request;
    few.bridge = 5;
    few.depth = 6;
    assert_ok(variant_request_seconds(engine, &few, &options, &seconds, err));
    assert_float_equal(seconds.total, 4 * 100.0 + 60.0 + 2 * 30.0 + 1.0, 1e-6);
    options.kept_only = false;
    options.remeasure = true; /* what is measured takes its place, and needs no file */
    options.cache = "";
    plan = plan_of(&options);
    assert_true(plan.measured && plan.seconds < 100.0);
    options.remeasure = false;
    assert_float_equal(plan_of(&options).seconds, plan.seconds, 1e-9);
    variant_times_close(&options.times);
    assert_null(options.times);
    variant_times_close(&options.times);
}

/* A disturbed table is used where nothing may be measured, and says so. */
static void disturbed_times_are_told(void **state) {
    (void)state;
    char path[256];
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up();
    const variant_request request = one();
    variant_plan_options options = cached();
    variant_seconds seconds = {.size = sizeof seconds};
    costs.disturbed = true;
    snprintf(costs.why, sizeof costs.why, "a neighbour");
    assert_ok(vt_costs_write(&costs, path, &key, err));
    options.kept_only = true;
    variant_plan plan = plan_of(&options);
    assert_true(plan.disturbed && !plan.measured);
    assert_non_null(strstr(plan.warning, "a neighbour"));
    assert_ok(variant_request_seconds(engine, &request, &options, &seconds, err));
    assert_true(seconds.disturbed);
    remove(path);
}

static void tables_too_shallow_are_measured_again(void **state) {
    (void)state;
    char path[256];
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up();
    costs.apart.work.alone[6] = 4;
    assert_ok(vt_costs_write(&costs, path, &key, err));
    variant_plan_options options = cached();
    variant_plan plan = plan_of(&options);
    assert_true(plan.measured);
    assert_string_equal(plan.warning, "");
}

/* The largest batch within the limit of time, of 8 halved as often as needed. */
static void batch_keeps_the_latency(void **state) {
    (void)state;
    static const int batches[] = {1, 2, 4, 8};
    for (int i = 0; i < 4; ++i) { /* twice the pictures, twice the time */
        char path[256];
        vt_costs_key key;
        vt_costs costs = made_up();
        variant_request request = one();
        request.batch = batches[i];
        for (int k = 0; k < 7; ++k) {
            costs.deep.seconds[k] *= batches[i];
            costs.shallow.seconds[k] *= batches[i];
            costs.apart.seconds[k] *= batches[i];
        }
        vt_costs_key_of(&key, engine, &request);
        assert_true(vt_costs_path(path, sizeof path, folder, &key));
        assert_ok(vt_costs_write(&costs, path, &key, err));
    }
    variant_request request = one();
    variant_plan plan = {.size = sizeof plan};
    variant_plan_options options = cached();
    options.auto_batch = true;
    request.count = 8;
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_int_equal(plan.batch, 8);
    assert_float_equal(plan.seconds, 8 * 580.0 + 1.0, 1e-6);
    options.max_seconds = 3000.0; /* the full depth takes 2321 for four */
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_int_equal(plan.depth, 12);
    assert_int_equal(plan.batch, 4);
    assert_float_equal(plan.seconds, 2321.0, 1e-6);
    options.max_seconds = 1000.0;
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_int_equal(plan.batch, 1);
    assert_float_equal(plan.seconds, 581.0, 1e-6);
    assert_false(plan.measured);
}

/* Measured again with one line; and the file is good afterwards. */
static void expect_measured(const char *words) {
    variant_plan_options options = cached();
    variant_plan plan = plan_of(&options);
    if (!plan.measured || !strstr(plan.warning, words))
        fail_msg("measured %d, warning \"%s\": expected \"%s\"", plan.measured, plan.warning,
                 words);
    assert_null(strchr(plan.warning, '\n'));
    assert_true(plan.seconds < 100.0);
    assert_false(plan_of(&options).measured);
}

static void damaged_tables(void **state) {
    (void)state;
    char path[256], *text = NULL;
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up();
    assert_ok(vt_costs_write(&costs, path, &key, err));
    assert_ok(vt_file_read_text(&text, path, 1 << 16, err));
    text[strlen(text) / 2] = '\0';
    write_text(path, text);
    expect_measured("measured again");
#define RUN(layers, alone, seconds)                                                                \
    "{\"layers\": [" layers "], \"alone\": [" alone "], \"seconds\": [" seconds "]}"
#define TABLE(version, deep, shallow, apart)                                                       \
    "{\"version\": " version ", \"deep\": " deep ", \"shallow\": " shallow ", \"apart\": " apart   \
    ", \"fixed\": 0}"
#define GOOD RUN("8", "0", "1")
    static const char *const wrong[] = {"",
                                        "[]",
                                        "{}",
                                        "{\"version\": 2}",
                                        TABLE("2", RUN("0", "0", "1"), GOOD, GOOD),
                                        TABLE("2", RUN("8, 8", "0, 0", "1"), GOOD, GOOD),
                                        TABLE("2", RUN("8", "0", "-1"), GOOD, GOOD),
                                        TABLE("2", GOOD, GOOD, RUN("8", "-1", "1")),
                                        TABLE("2", GOOD, GOOD, RUN("8, 8", "0, 0", "1, 1")),
                                        TABLE("2", GOOD, GOOD, "null"),
                                        TABLE("1", GOOD, GOOD, GOOD)};
#undef RUN
#undef TABLE
#undef GOOD
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        bool there;
        write_text(path, wrong[i]);
        variant_error err = {0};
        assert_int_not_equal(vt_costs_read(&costs, path, &key, &there, &err), VARIANT_OK);
        assert_true(there);
    }
    free(text);
}

static void tables_of_another_machine(void **state) {
    (void)state;
    char path[256];
    vt_costs_key key = key_of_one(path, sizeof path);
    vt_costs costs = made_up();
    strcat(key.machine, ", a faster one");
    assert_ok(vt_costs_write(&costs, path, &key, err));
    expect_measured("another machine: measured again");
}

static void tables_that_cannot_be_kept(void **state) {
    (void)state;
    char path[256];
    snprintf(path, sizeof path, "%s/a-file", folder);
    write_text(path, "x");
    variant_plan_options options = cached();
    options.cache = path; /* a file where the folder should be */
    variant_plan plan = plan_of(&options);
    assert_true(plan.measured && plan.fits);
    assert_non_null(strstr(plan.warning, "not kept"));
    assert_null(strchr(plan.warning, '\n'));
}

static void where_tables_lie(void **state) {
    (void)state;
    char path[256], expected[256];
    vt_costs_key key = {.name = "n"}, nameless = {0};
    char *xdg = getenv("XDG_CACHE_HOME") ? strdup(getenv("XDG_CACHE_HOME")) : NULL;
    assert_false(vt_costs_path(path, sizeof path, "", &key));
    assert_false(vt_costs_path(path, sizeof path, "/tmp", &nameless));
    setenv("XDG_CACHE_HOME", "/x", 1);
    assert_true(vt_costs_path(path, sizeof path, NULL, &key));
    assert_string_equal(path, "/x/variant/costs-n.json");
    setenv("XDG_CACHE_HOME", "relative", 1);
    setenv("HOME", folder, 1);
    assert_true(vt_costs_path(path, sizeof path, NULL, &key));
    snprintf(expected, sizeof expected, "%s/.cache/variant/costs-n.json", folder);
    assert_string_equal(path, expected);
    if (xdg)
        setenv("XDG_CACHE_HOME", xdg, 1);
    else
        unsetenv("XDG_CACHE_HOME");
    free(xdg);
}

/* ---- a sweep's results ---- */

#define POINT(bridge, depth, selector, cfg, quality)                                               \
    "{\"id\": \"d" #depth "-n" #bridge "\", \"bridge\": " #bridge ", \"depth\": " #depth           \
    ", \"selector\": \"" selector "\", \"cfg_scale\": " #cfg ", \"quality\": " quality "}"
#define SCORE(x) "{\"frechet\": " #x ", \"name\": \"FID(classifier)\", \"samples\": 9}"

/* frechet 10 (12 layers), 10.4, 12 (rounded), 20; guidance 3 has one point; one without quality. */
static const char points[] = POINT(1, 12, "equidistant", 1.5, SCORE(10)) ", " POINT(
    4, 6, "equidistant", 1.5,
    SCORE(
        10.4)) ", " POINT(2, 6, "rounded", 1.5,
                          SCORE(
                              12)) ", " POINT(1, 2, "equidistant", 1.5,
                                              SCORE(
                                                  20)) ", " POINT(1, 6, "equidistant", 1.5,
                                                                  "null") ", " POINT(4, 2,
                                                                                     "equidistant",
                                                                                     3, SCORE(1));

static void write_sweep(char *path, size_t size, const char *hash, const char *list) {
    char text[4096];
    snprintf(path, size, "%s/sweep.json", folder);
    snprintf(
        text, sizeof text,
        "{\"model\": {\"hash\": \"%s\"}, \"settings\": {\"weights\": \"f32\", \"kv\": \"f32\"}, "
        "\"points\": [%s]}",
        hash, list);
    write_text(path, text);
}

static void best_measured_quality(void **state) {
    (void)state;
    char path[256], table[256];
    vt_costs_key key = key_of_one(table, sizeof table);
    vt_costs costs = made_up();
    assert_ok(vt_costs_write(&costs, table, &key, err));
    write_sweep(path, sizeof path, info.hash, points);
    variant_plan_options options = cached();
    options.sweep = path;
    variant_plan plan = plan_of(&options);
    assert_int_equal(plan.depth, 12);
    assert_int_equal(plan.considered, 4);
    assert_true(plan.has_distance);
    assert_float_equal(plan.distance, 10.0, 0.0);
    assert_string_equal(plan.score, "FID(classifier)");
    assert_string_equal(plan.warning, "");
    options.sweep = folder;      /* likewise */
    options.max_seconds = 450.0; /* bridge 4, depth 6 takes 539; bridge 2, depth 6 431 */
    plan = plan_of(&options);
    assert_int_equal(plan.bridge, 2);
    assert_string_equal(plan.layers, "rounded");
    options.max_seconds = 0.0;
    options.quality = "high";
    assert_int_equal(plan_of(&options).depth, 12);
    options.quality = "balanced";
    plan = plan_of(&options);
    assert_int_equal(plan.bridge, 4);
    assert_int_equal(plan.depth, 6);
    options.quality = "fast";
    plan = plan_of(&options);
    assert_int_equal(plan.bridge, 2);
    assert_string_equal(plan.why,
                        "quality fast, the fastest within 25 % of the best FID(classifier)");
    options.max_seconds = 200.0; /* neither: the best that fits */
    plan = plan_of(&options);
    assert_int_equal(plan.depth, 2);
    assert_string_equal(plan.why, "quality fast does not fit; this has the best FID(classifier) of "
                                  "those that do");
    options.max_seconds = 100.0;
    assert_false(plan_of(&options).fits);
    /* only the selector that was asked for, and the full depth, which is the same in all */
    variant_request request = one();
    request.layers = "rounded";
    options.max_seconds = 0.0;
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_int_equal(plan.considered, 2);
    request = one();
    request.cfg_scale = 3.0f;
    options.quality = NULL;
    options.memory_only = true;
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_int_equal(plan.considered, 1);
    assert_int_equal(plan.depth, 2);
}

#define GUIDED(id, depth, uncond, asked, score)                                                    \
    "{\"id\": \"" id "\", \"bridge\": 4, \"depth\": " depth                                        \
    ", \"selector\": \"equidistant\", \"cfg_scale\": 1.5, \"uncond_depths\": "                     \
    "\"12,12,12,12," uncond "\", " asked "\"quality\": " SCORE(score) "}"
#define RAMP "\"guidance\": [0, 0.25, 0.5, 0.75, 1, 1.25, 1.5], "
#define LATE "\"cfg_late\": 2, \"guidance\": [0, 0.25, 0.5, 0.75, 2, 2.5, 3], "

/* A sweep that knows several unconditional branches: the best is taken, and the plan says by which options it runs. */
static void branches_that_a_sweep_knows(void **state) {
    (void)state;
    char path[256];
    static const char list[] = GUIDED("a", "12", "12,12,12", RAMP, 9) ", " GUIDED(
        "b", "12", "6,6,6", RAMP "\"cfg_late\": 1, ",
        6) ", " GUIDED("c", "12", "2,2,2", LATE, 5) ", " GUIDED("d", "6", "2,2,2", LATE,
                                                                7) ", " GUIDED("e", "6", "6,6,2",
                                                                               RAMP, 1);
    write_sweep(path, sizeof path, info.hash, list);
    variant_plan_options options = cached();
    options.sweep = path;
    options.memory_only = true;
    variant_plan plan = plan_of(&options);
    assert_int_equal(plan.considered, 4);
    assert_non_null(strstr(plan.warning, "1 points are passed over")); /* e: no bridge of 6 */
    assert_float_equal(plan.distance, 5.0, 0.0);
    assert_int_equal(plan.depth, 12);
    assert_string_equal(plan.uncond_depths, "12,12,12,12,2,2,2");
    /* and applied, a request runs just that */
    variant_request request = one();
    variant_plan_apply(&plan, &request);
    vt_branches branches;
    assert_ok(vt_branches_make(&branches, engine->model, &request, err));
    assert_float_equal(branches.guide[6], 3.0, 1e-6);
    assert_int_equal(vt_schedule_depth_at(&branches.uncond, 6), 2);
    assert_int_equal(vt_schedule_depth_at(&branches.uncond, 3), 12);
    /* a branch that the request names is left: one point has it */
    request = one();
    request.uncond_depth = 6;
    request.cfg_late = 1.0f;
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_int_equal(plan.considered, 1);
    assert_float_equal(plan.distance, 6.0, 0.0);
    assert_int_equal(plan.uncond_depth, -1); /* as the request says */
    variant_plan_apply(&plan, &request);
    assert_int_equal(request.uncond_depth, 6);
    request = one();
    request.uncond_depth = 0;
    assert_ok(variant_plan_make(engine, &request, &options, &plan, err));
    assert_float_equal(plan.distance, 9.0, 0.0);
    static const float scales[7] = {0, 0, 0, 0, 0, 0, 1};
    request = one();
    request.cfg_scales = scales;
    request.cfg_scale_count = 7;
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), VARIANT_E_ARGUMENT,
                 "give no cfg_scales with it");
}

static void sweeps_that_do_not_serve(void **state) {
    (void)state;
    char path[256];
    variant_plan plan = {.size = sizeof plan};
    variant_request request = one();
    variant_plan_options options = cached();
    snprintf(path, sizeof path, "%s/sweep.json", folder);
    options.sweep = path;
    options.memory_only = true;
#define REFUSED(code, words)                                                                       \
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), code, words)
    write_sweep(path, sizeof path, "0123456789abcdef", points);
    REFUSED(VARIANT_E_MISMATCH, "another model: its hash is 0123456789abcdef");
    write_sweep(path, sizeof path, info.hash, POINT(1, 12, "equidistant", 1.5, "null"));
    REFUSED(VARIANT_E_ARGUMENT, "no quality was measured at guidance 1.5");
    write_sweep(path, sizeof path, info.hash, "");
    REFUSED(VARIANT_E_ARGUMENT, "no quality was measured");
    write_sweep(path, sizeof path, info.hash, POINT(1, 13, "equidistant", 1.5, SCORE(1)));
    REFUSED(VARIANT_E_FORMAT, "point d13-n1: expected depth 1 to 12");
    write_sweep(path, sizeof path, info.hash, POINT(8, 6, "equidistant", 1.5, SCORE(1)));
    REFUSED(VARIANT_E_FORMAT, "bridge 0 to 7");
    write_sweep(path, sizeof path, info.hash, POINT(1, 6, "odd", 1.5, SCORE(1)));
    REFUSED(VARIANT_E_FORMAT, "a selector");
    write_text(path, "{\"model\": {}, ");
    REFUSED(VARIANT_E_FORMAT, "not the results of a sweep");
    options.sweep = "/nothing/sweep.json";
    REFUSED(VARIANT_E_IO, "/nothing/sweep.json");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(tables_are_read_back),
        cmocka_unit_test(plans_use_the_table),
        cmocka_unit_test(batch_keeps_the_latency),
        cmocka_unit_test(times_are_kept_in_memory),
        cmocka_unit_test(disturbed_times_are_told),
        cmocka_unit_test(disturbed_tables_are_measured_again),
        cmocka_unit_test(tables_too_shallow_are_measured_again),
        cmocka_unit_test(damaged_tables),
        cmocka_unit_test(tables_of_another_machine),
        cmocka_unit_test(tables_that_cannot_be_kept),
        cmocka_unit_test(where_tables_lie),
        cmocka_unit_test(best_measured_quality),
        cmocka_unit_test(branches_that_a_sweep_knows),
        cmocka_unit_test(sweeps_that_do_not_serve),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

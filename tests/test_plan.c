/* Planning: choices on made-up costs; the shipped model planned on a made-up table of times, its
 * memory against a real run, batches that fill a limit, named qualities. Files that plans read are
 * in test_plan_files.c. */
#include "fixtures.h"

#include "planning/cost.h"
#include "engine/engine.h"
#include "planning/plan.h"

/* ---- choosing ---- */

static const vt_candidate table[] = {
    {.bridge = 4, .depth = 8, .kept = 1.0, .work = 80, .bytes = 800, .seconds = 8.0},
    {.bridge = 3, .depth = 4, .kept = 0.875, .work = 60, .bytes = 600, .seconds = 5.0},
    {.bridge = 2, .depth = 6, .kept = 0.875, .work = 50, .bytes = 500, .seconds = 6.0},
    {.bridge = 1, .depth = 2, .kept = 0.4375, .work = 20, .bytes = 400, .seconds = 2.0},
};

static int choose(size_t bytes, double seconds, bool *fits) {
    return vt_plan_choose(table, 4, (vt_budget){bytes, seconds}, fits);
}

static void most_kept_wins(void **state) {
    (void)state;
    bool fits;
    assert_int_equal(choose(0, 0.0, &fits), 0);
    assert_true(fits);
    assert_int_equal(choose(800, 8.0, &fits), 0); /* limits themselves fit */
    assert_int_equal(choose(799, 0.0, &fits), 2); /* as much as 1 with less work */
    assert_int_equal(choose(0, 7.9, &fits), 2);
    assert_int_equal(choose(0, 5.9, &fits), 1);
    assert_int_equal(choose(450, 9.0, &fits), 3);
    assert_int_equal(choose(900, 2.0, &fits), 3);
    assert_true(fits);
}

static void nothing_fits(void **state) {
    (void)state;
    bool fits = true;
    assert_int_equal(choose(399, 0.0, &fits), 3);
    assert_false(fits);
    fits = true;
    assert_int_equal(choose(900, 1.0, &fits), 3);
    assert_false(fits);
}

static void none_above_the_ceiling(void **state) {
    (void)state;
    bool fits;
    vt_budget all = {0, 0.0}, little = {450, 0.0}, none = {1, 0.0};
    assert_int_equal(vt_plan_choose_below(table, 4, &table[1], all, &fits), 1);
    assert_true(fits);
    assert_int_equal(vt_plan_choose_below(table, 4, &table[1], little, &fits), 3);
    assert_true(fits);
    assert_int_equal(vt_plan_choose_below(table, 4, &table[1], none, &fits), 3);
    assert_false(fits);
}

static void fastest_near_the_best(void **state) {
    (void)state;
    static const vt_candidate measured[] = {
        {.distance = 10.0, .bytes = 800, .seconds = 8.0},
        {.distance = 10.4, .bytes = 900, .seconds = 4.0},
        {.distance = 12.5, .bytes = 400, .seconds = 3.0},
        {.distance = 30.0, .bytes = 300, .seconds = 1.0},
    };
    bool fits;
    vt_budget all = {0, 0.0};
    assert_int_equal(vt_plan_choose(measured, 4, all, &fits), 0);
    assert_int_equal(vt_plan_choose_near(measured, 4, 0.05, all, &fits), 1);
    assert_int_equal(vt_plan_choose_near(measured, 4, 0.25, all, &fits), 2); /* just within */
    assert_int_equal(vt_plan_choose_near(measured, 4, 0.05, (vt_budget){850, 0.0}, &fits), 0);
    /* none so near fits: the best that does */
    assert_int_equal(vt_plan_choose_near(measured, 4, 0.05, (vt_budget){500, 0.0}, &fits), 2);
    assert_true(fits);
    vt_plan_choose_near(measured, 4, 0.05, (vt_budget){299, 0.0}, &fits);
    assert_false(fits);
}

static void equal_within_the_spread(void **state) {
    (void)state;
    bool fits;
    vt_budget all = {0, 0.0}, tight = {500, 0.0};
    /* a lucky draw of few pictures: depth 2 measures best */
    vt_candidate measured[] = {
        {.distance = 10.0, .spread = 1.0, .kept = 1.0, .work = 80, .bytes = 800},
        {.distance = 9.8, .spread = 1.0, .kept = 0.8, .work = 60, .bytes = 500},
        {.distance = 9.0, .spread = 1.0, .kept = 0.5, .work = 40, .bytes = 300},
        {.distance = 13.0, .spread = 1.0, .kept = 0.9, .work = 70, .bytes = 400},
    };
    assert_int_equal(vt_plan_choose(measured, 4, all, &fits), 0);
    assert_int_equal(vt_plan_count_equal(measured, 4, all), 3); /* 13 is too far from 9 */
    assert_int_equal(vt_plan_choose(measured, 4, tight, &fits), 1);
    assert_int_equal(vt_plan_count_equal(measured, 4, tight), 2);
    /* many pictures: the same distances are told apart */
    for (int i = 0; i < 4; ++i) measured[i].spread = 0.1;
    assert_int_equal(vt_plan_choose(measured, 4, all, &fits), 2);
    assert_int_equal(vt_plan_count_equal(measured, 4, all), 1);
    /* files that do not say: as measured */
    for (int i = 0; i < 4; ++i) measured[i].spread = 0.0;
    assert_int_equal(vt_plan_choose(measured, 4, all, &fits), 2);
    assert_true(vt_plan_margin(3, 4) == 10 && vt_plan_margin(0, 0) == 0);
}

static void nearest_schedule(void **state) {
    (void)state;
    assert_int_equal(vt_plan_nearest(table, 4, 3, 8), 1); /* the bridge first */
    assert_int_equal(vt_plan_nearest(table, 4, 9, 1), 0);
    static const vt_candidate two[] = {{.bridge = 2, .depth = 2}, {.bridge = 2, .depth = 4}};
    assert_int_equal(vt_plan_nearest(two, 2, 2, 3), 1); /* the deeper of two as near */
}

/* ---- time ---- */

/* Three scales of 8 layers; 2 at the last two in the shallow run. */
static const vt_costs costs = {
    .scales = 3,
    .deep = {.work = {.layers = {8, 8, 8}}, .seconds = {8.0, 16.0, 32.0}},
    .shallow = {.work = {.layers = {8, 2, 2}}, .seconds = {8.0, 1.0, 8.0}},
    .apart = {.work = {.layers = {8, 2, 2}, .alone = {0, 6, 6}}, .seconds = {8.0, 10.0, 14.0}},
    .fixed = 0.5};

/* Of both branches: the first `bridge` scales at 8 layers, the others at depth. */
static double seconds_at(int bridge, int depth) {
    vt_cost_work work = {.layers = {0}};
    for (int k = 0; k < 3; ++k) work.layers[k] = k < bridge ? 8 : depth;
    return vt_costs_seconds(&costs, &work);
}

/* A layer of one branch: what the third run shows, but never below half of one of both, nor above a whole one. */
static void seconds_of_one_branch(void **state) {
    (void)state;
    const vt_cost_work work = {.layers = {8, 2, 2}, .alone = {0, 6, 6}};
    /* scale 2: 1 + 6 x 1.5; scale 3: 8 + 6 x 2, half of 4, where the run says 1 */
    assert_float_equal(vt_costs_seconds(&costs, &work), 8.0 + 10.0 + 20.0 + 0.5, 1e-9);
    const vt_cost_work few = {.layers = {8, 2, 2}, .alone = {0, 2, 0}};
    assert_float_equal(vt_costs_seconds(&costs, &few), 8.0 + 4.0 + 8.0 + 0.5, 1e-9);
    const vt_cost_work first = {.layers = {4, 2, 2},
                                .alone = {4, 0, 0}}; /* not measured: a whole one */
    assert_float_equal(vt_costs_seconds(&costs, &first), 4.0 + 4.0 + 1.0 + 8.0 + 0.5, 1e-9);
    assert_true(vt_costs_cover(&costs, &work) && vt_costs_cover(&costs, &few));
    const vt_cost_work more = {.layers = {8, 3, 2}, .alone = {0, 6, 0}};
    assert_false(vt_costs_cover(&costs, &more));
    const vt_cost_work deeper = {.layers = {9, 2, 2}};
    assert_false(vt_costs_cover(&costs, &deeper));
}

static void seconds_between_two_runs(void **state) {
    (void)state;
    assert_float_equal(seconds_at(3, 8), 56.5, 1e-9);
    assert_float_equal(seconds_at(1, 2), 8.0 + 1.0 + 8.0 + 0.5, 1e-9);
    assert_float_equal(seconds_at(1, 5), 8.0 + 8.5 + 20.0 + 0.5, 1e-9);
    assert_float_equal(seconds_at(2, 1), 8.0 + 16.0 + 4.0 + 0.5, 1e-9);
    assert_float_equal(seconds_at(0, 4), 4.0 + 6.0 + 16.0 + 0.5, 1e-9);
}

/* ---- the shipped model: 12 layers, 7 scales, trained for 6, 3 and 2 with bridge 4 ---- */

static variant_engine *engine;
static variant_info info;

static variant_status open_model(bool encoder, variant_engine **out) {
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = VARIANT_SOURCE_DIR "/models/fashion";
    options.threads = 1; /* threads that wait for each other crawl on a busy machine */
    options.encoder = encoder;
    return variant_engine_open(out, &options, NULL);
}

static int open_engine(void **state) {
    (void)state;
    if (open_model(false, &engine) != VARIANT_OK) return -1;
    info = *variant_engine_info(engine);
    return 0;
}

static int close_engine(void **state) {
    (void)state;
    variant_engine_close(&engine);
    return 0;
}

static variant_request request_of(int count, int batch) {
    variant_request request;
    variant_request_init(&request);
    request.count = count;
    request.batch = batch;
    return request;
}

static variant_plan_options without_time(size_t max_bytes) {
    variant_plan_options options;
    variant_plan_options_init(&options);
    options.max_bytes = max_bytes;
    options.memory_only = true;
    options.cache = "";
    return options;
}

static variant_plan plan_of(const variant_request *request, const variant_plan_options *options) {
    variant_plan plan = {.size = sizeof plan};
    variant_error err = {0};
    if (variant_plan_make(engine, request, options, &plan, &err) != VARIANT_OK)
        fail_msg("plan: %s", err.message);
    return plan;
}

static void memory_is_what_a_run_takes(void **state) {
    (void)state;
    variant_request request = request_of(5, 2); /* the last batch is smaller */
    variant_plan_options options = without_time(0);
    variant_plan full = plan_of(&request, &options);
    assert_true(full.fits);
    assert_int_equal(full.depth, info.depth);
    assert_true(full.seconds == 0.0 && !full.measured);
    options.max_bytes = full.bytes - 1;
    variant_plan plan = plan_of(&request, &options);
    assert_true(plan.fits);
    assert_true(plan.bytes < full.bytes);
    assert_true(plan.depth < info.depth);
    variant_plan_apply(&plan, &request);
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    assert_int_equal(variant_generate(engine, &request, &pictures, &report, NULL), VARIANT_OK);
    assert_int_equal(plan.bytes, info.weight_bytes + info.mapped_bytes + report.arena_peak_bytes +
                                     report.kv_peak_bytes);
    variant_pictures_free(&pictures, request.count);
    options.max_bytes = 1;
    assert_false(plan_of(&request, &options).fits);
}

/* Of edits the pictures after each scale count too, whose sides are the edited picture's. */
static void pictures_that_are_kept_count(void **state) {
    (void)state;
    variant_engine *const plain = engine;
    variant_edit edit;
    variant_memory last = {.size = sizeof last}, each = last;
    variant_edit_init(&edit);
    assert_int_equal(open_model(true, &engine), VARIANT_OK);
    edit.width = 600, edit.height = 500, edit.channels = 1;
    variant_request request = request_of(2, 2);
    request.edits = &edit; /* its sizes are enough to measure it */
    request.edit_count = 1;
    const variant_plan_options options = without_time(0);
    const size_t without = plan_of(&request, &options).bytes;
    assert_int_equal(variant_request_memory(engine, &request, &last, NULL), VARIANT_OK);
    request.keep_scales = true;
    assert_int_equal(variant_request_memory(engine, &request, &each, NULL), VARIANT_OK);
    assert_true(each.pictures > 2 * last.pictures);
    assert_int_equal(plan_of(&request, &options).bytes - without,
                     each.pictures + each.edits - last.pictures - last.edits);
    variant_engine_close(&engine);
    engine = plain;
}

static size_t bytes_at(const variant_plan *plan, variant_request request, int batch) {
    variant_memory m = {.size = sizeof m};
    variant_plan_apply(plan, &request);
    request.batch = batch;
    assert_int_equal(variant_request_memory(engine, &request, &m, NULL), VARIANT_OK);
    return m.weights + m.mapped + m.arena + m.kv;
}

static void batch_fills_the_limit(void **state) {
    (void)state;
    variant_request request = request_of(1000, 0);
    variant_plan_options options = without_time(0);
    options.auto_batch = true;
    variant_plan plan = plan_of(&request, &options);
    assert_int_equal(plan.batch, 64); /* nothing limits but the most */
    assert_int_equal(plan.depth, info.depth);
    options.max_bytes = 40000000;
    plan = plan_of(&request, &options);
    assert_true(plan.fits);
    assert_int_equal(plan.depth, info.depth); /* depth before batch */
    assert_true(plan.batch > 1 && plan.batch < 64);
    assert_true(plan.bytes <= options.max_bytes);
    assert_int_equal(plan.bytes, bytes_at(&plan, request, plan.batch));
    assert_true(bytes_at(&plan, request, plan.batch + 1) > options.max_bytes);
    request.count = 2;
    assert_int_equal(plan_of(&request, &options).batch, 2);
}

static void qualities_by_layers(void **state) {
    (void)state;
    variant_request request = request_of(1, 1);
    variant_plan_options options = without_time(0);
    options.quality = "high";
    variant_plan plan = plan_of(&request, &options);
    assert_int_equal(plan.depth, 12);
    options.quality = "balanced";
    plan = plan_of(&request, &options);
    assert_int_equal(plan.bridge, 4);
    assert_int_equal(plan.depth, 6);
    assert_non_null(strstr(plan.why, "balanced"));
    options.quality = "fast";
    plan = plan_of(&request, &options);
    assert_int_equal(plan.bridge, 4);
    assert_int_equal(plan.depth, 3);
    /* what a limit forbids gives way to less, never to more */
    options.quality = "balanced";
    size_t balanced = plan_of(&request, &options).bytes;
    options.max_bytes = balanced - 1;
    plan = plan_of(&request, &options);
    assert_true(plan.fits && plan.bytes < balanced);
    assert_true(plan.kept < (4 + 3 * 0.5) / 7);
    assert_non_null(strstr(plan.why, "does not fit"));
}

static void the_unconditional_branch(void **state) {
    (void)state;
    variant_request request = request_of(2, 2);
    variant_plan_options options = without_time(0);
    variant_plan own = plan_of(&request, &options); /* the model's: 2 layers from its bridge on */
    assert_int_equal(own.uncond_depth, -1);
    assert_string_equal(own.uncond_depths, "12,12,12,12,2,2,2");
    request.uncond_depth = 0;
    variant_plan equal = plan_of(&request, &options);
    assert_string_equal(equal.uncond_depths, "");
    assert_true(own.bytes < equal.bytes);
    request.uncond_depth = 6; /* named: of every schedule, the full one too */
    variant_plan named = plan_of(&request, &options);
    assert_int_equal(named.depth, info.depth);
    assert_string_equal(named.uncond_depths, "12,12,12,12,6,6,6");
    assert_true(own.bytes < named.bytes && named.bytes < equal.bytes);
    variant_plan_apply(&named, &request);
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    assert_string_equal(report.uncond_depths, "12,12,12,12,6,6,6");
    assert_int_equal(named.bytes, info.weight_bytes + info.mapped_bytes + report.arena_peak_bytes +
                                      report.kv_peak_bytes);
    variant_pictures_free(&pictures, request.count);
    /* a limit that equal branches miss and the model's keep: the full depth still */
    request = request_of(2, 2);
    options.max_bytes = equal.bytes - 1;
    variant_plan fits = plan_of(&request, &options);
    assert_true(fits.fits && fits.depth == info.depth);
    request.cfg_scale = 0.0f;
    assert_string_equal(plan_of(&request, &options).uncond_depths, "");
}

/* The list has what is chosen of, and each entry is what a plan says of that schedule. */
static void all_schedules(void **state) {
    (void)state;
    variant_request request = request_of(2, 2);
    variant_plan_options options = without_time(0);
    const variant_plan full = plan_of(&request, &options);
    variant_plan **plans;
    int count, fitting = 0;
    options.max_bytes = full.bytes - 1;
    assert_ok(variant_plan_list(engine, &request, &options, &plans, &count, err));
    assert_int_equal(count, full.considered);
    assert_true(plans[0]->depth == info.depth && plans[0]->bytes == full.bytes && !plans[0]->fits);
    for (int i = 0; i < count; ++i) {
        assert_int_equal(plans[i]->fits, plans[i]->bytes < full.bytes);
        fitting += plans[i]->fits;
        assert_true(plans[i]->seconds == 0.0 && plans[i]->batch == 2 && plans[i]->why[0] == '\0');
    }
    assert_true(fitting > 0);
    /* the one that is chosen within the limit is among them, as it is told there */
    const variant_plan best = plan_of(&request, &options);
    int same = 0;
    for (int i = 0; i < count; ++i)
        same += plans[i]->bridge == best.bridge && plans[i]->depth == best.depth &&
                plans[i]->uncond_depth == best.uncond_depth && plans[i]->bytes == best.bytes &&
                plans[i]->kept >= best.kept && plans[i]->kept <= best.kept &&
                strcmp(plans[i]->uncond_depths, best.uncond_depths) == 0;
    assert_int_equal(same, 1);
    free(plans);
    request.count = 0;
    assert_fails(variant_plan_list(engine, &request, &options, &plans, &count, err),
                 VARIANT_E_ARGUMENT, "count 0");
    assert_true(plans == NULL && count == 0);
}

static void arguments_are_checked(void **state) {
    (void)state;
    variant_request request = request_of(1, 1);
    variant_plan_options options = without_time(0);
    variant_plan plan = {.size = sizeof plan};
    options.max_seconds = -1.0;
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), VARIANT_E_ARGUMENT,
                 "max_seconds -1");
    options = without_time(0);
    options.quality = "best";
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), VARIANT_E_ARGUMENT,
                 "quality best: expected high, balanced or fast");
    options.quality = NULL;
    request.layers = "0,3";
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), VARIANT_E_ARGUMENT,
                 "layers 0,3");
    request.layers = "prefix";
    plan = plan_of(&request, &options);
    assert_string_equal(plan.layers, "prefix");
    request.layers = NULL;
    request.count = 0;
    assert_fails(variant_plan_make(engine, &request, &options, &plan, err), VARIANT_E_ARGUMENT,
                 "count 0");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_kept_wins),
        cmocka_unit_test(nothing_fits),
        cmocka_unit_test(none_above_the_ceiling),
        cmocka_unit_test(fastest_near_the_best),
        cmocka_unit_test(nearest_schedule),
        cmocka_unit_test(equal_within_the_spread),
        cmocka_unit_test(seconds_between_two_runs),
        cmocka_unit_test(seconds_of_one_branch),
        cmocka_unit_test(the_unconditional_branch),
        cmocka_unit_test(memory_is_what_a_run_takes),
        cmocka_unit_test(pictures_that_are_kept_count),
        cmocka_unit_test(batch_fills_the_limit),
        cmocka_unit_test(qualities_by_layers),
        cmocka_unit_test(all_schedules),

        cmocka_unit_test(arguments_are_checked),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}

/* Planning: the choice on made-up costs, and the shipped model's memory against a real run. */
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <setjmp.h>
#include <cmocka.h>

#include "engine/plan.h"

static const vt_candidate table[] = {
    {.bridge = 4, .depth = 8, .kept = 1.0, .bytes = 800, .seconds = 8.0},
    {.bridge = 3, .depth = 4, .kept = 0.875, .bytes = 600, .seconds = 5.0},
    {.bridge = 2, .depth = 6, .kept = 0.875, .bytes = 500, .seconds = 4.0}, /* as much, faster */
    {.bridge = 1, .depth = 2, .kept = 0.4375, .bytes = 400, .seconds = 2.0},
};

static int choose(size_t bytes, double seconds, bool *fits) {
    return vt_plan_choose(table, 4, bytes, seconds, fits);
}

static void most_kept_wins(void **state) {
    (void)state;
    bool fits;
    assert_int_equal(choose(0, 0.0, &fits), 0);
    assert_true(fits);
    assert_int_equal(choose(800, 8.0, &fits), 0); /* limits themselves fit */
    assert_int_equal(choose(799, 0.0, &fits), 2);
    assert_int_equal(choose(0, 7.9, &fits), 2);
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

static void seconds_of_two_zones(void **state) {
    (void)state;
    vt_stage_costs costs = {.scales = 3, .layer = {1.0, 2.0, 4.0}, .fixed = 0.5};
    assert_float_equal(vt_plan_seconds(&costs, 8, 3, 8), 56.5, 1e-9);
    assert_float_equal(vt_plan_seconds(&costs, 8, 1, 2), 8.0 + 4.0 + 8.0 + 0.5, 1e-9);
}

static void memory_is_what_a_run_takes(void **state) {
    (void)state;
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = VARIANT_SOURCE_DIR "/models/fashion";
    options.threads = 1; /* threads that wait for each other crawl on a busy machine */
    assert_int_equal(variant_engine_open(&engine, &options, NULL), VARIANT_OK);
    variant_info info;
    variant_engine_info(engine, &info);
    variant_request request;
    variant_request_init(&request);
    request.batch = request.count = 2;
    variant_plan full, plan;
    assert_int_equal(variant_plan_make(engine, &request, 0, 0.0, &full, NULL), VARIANT_OK);
    assert_true(full.fits);
    assert_int_equal(full.depth, info.depth);
    assert_int_equal(variant_plan_make(engine, &request, full.bytes - 1, 0.0, &plan, NULL),
                     VARIANT_OK);
    assert_true(plan.fits);
    assert_true(plan.bytes < full.bytes);
    assert_true(plan.depth < info.depth);
    request.bridge = plan.bridge;
    request.depth = plan.depth;
    variant_picture *pictures = NULL;
    variant_report report;
    assert_int_equal(variant_generate(engine, &request, &pictures, &report, NULL), VARIANT_OK);
    assert_int_equal(plan.bytes, info.weight_bytes + info.mapped_bytes + report.arena_peak_bytes +
                                     report.kv_peak_bytes);
    variant_pictures_free(&pictures, request.count);
    assert_int_equal(variant_plan_make(engine, &request, 1, 0.0, &plan, NULL), VARIANT_OK);
    assert_false(plan.fits);
    assert_int_equal(variant_plan_make(engine, &request, 0, -1.0, &plan, NULL), VARIANT_E_ARGUMENT);
    variant_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(most_kept_wins),
        cmocka_unit_test(nothing_fits),
        cmocka_unit_test(seconds_of_two_zones),
        cmocka_unit_test(memory_is_what_a_run_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

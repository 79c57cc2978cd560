/* test_supernet.c - layers of subnets, schedules, their KV arithmetic, and the phases of
 * progressive training. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "supernet/phases.h"
#include "supernet/schedule.h"

static const int published[] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16}; /* L = 680, L_6 = 91, L_7 = 155 */
enum { D = 30, K = 10 };

static void check_layers(vt_selector selector, int depth, int d, const int *want) {
    uint8_t keep[VT_SCHEDULE_LAYERS], expected[VT_SCHEDULE_LAYERS] = {0};
    assert_int_equal(vt_layers_select(selector, depth, d, keep, NULL), VARIANT_OK);
    for (int i = 0; i < d; ++i) expected[want[i]] = 1;
    assert_memory_equal(keep, expected, (size_t)depth);
}

static void test_equidistant(void **state) {
    (void)state;
    check_layers(VT_EQUIDISTANT, D, 16,
                 (int[]){0, 1, 3, 5, 7, 9, 11, 13, 15, 17, 19, 21, 23, 25, 27, 29});
    check_layers(VT_EQUIDISTANT, D, 8, (int[]){0, 4, 8, 12, 16, 20, 24, 29});
    check_layers(VT_EQUIDISTANT, D, 4, (int[]){0, 9, 19, 29});
    check_layers(VT_EQUIDISTANT, D, 2, (int[]){0, 29});
    check_layers(VT_EQUIDISTANT, D, 1, (int[]){0});
    check_layers(VT_EQUIDISTANT, 1, 1, (int[]){0});
}

static void test_selectors_keep_d(void **state) {
    (void)state;
    for (int depth = 1; depth <= 40; ++depth)
        for (int d = 1; d <= depth; ++d)
            for (vt_selector s = VT_EQUIDISTANT; s <= VT_PREFIX; ++s) {
                uint8_t keep[VT_SCHEDULE_LAYERS];
                int kept = 0;
                assert_int_equal(vt_layers_select(s, depth, d, keep, NULL), VARIANT_OK);
                for (int l = 0; l < depth; ++l) kept += keep[l];
                assert_int_equal(kept, d);
                assert_int_equal(keep[0], 1);
                if (s != VT_PREFIX && d > 1) assert_int_equal(keep[depth - 1], 1);
            }
}

static bool nested(vt_selector selector, int inner, int outer) {
    uint8_t a[VT_SCHEDULE_LAYERS], b[VT_SCHEDULE_LAYERS];
    assert_int_equal(vt_layers_select(selector, D, inner, a, NULL), VARIANT_OK);
    assert_int_equal(vt_layers_select(selector, D, outer, b, NULL), VARIANT_OK);
    for (int l = 0; l < D; ++l)
        if (a[l] && !b[l]) return false;
    return true;
}

static void test_nesting(void **state) {
    (void)state;
    assert_true(nested(VT_ROUNDED, 2, 16));
    assert_true(nested(VT_ROUNDED, 4, 16));
    assert_true(nested(VT_ROUNDED, 8, 16));
    assert_false(nested(VT_EQUIDISTANT, 8, 16));
    check_layers(VT_PREFIX, D, 3, (int[]){0, 1, 2});
}

static void test_select_errors(void **state) {
    (void)state;
    uint8_t keep[VT_SCHEDULE_LAYERS];
    variant_error err;
    assert_int_equal(vt_layers_select(VT_EQUIDISTANT, D, 31, keep, &err), VARIANT_E_ARGUMENT);
    assert_string_equal(err.message, "depth 31: this model has 30 layers, expected 1 to 30");
    assert_int_equal(vt_layers_select(VT_EQUIDISTANT, D, 0, keep, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_layers_select(VT_EQUIDISTANT, 129, 1, keep, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_layers_select(VT_EXPLICIT, D, 2, keep, &err), VARIANT_E_ARGUMENT);
}

/* ---- words ---- */

static void check_words(int scales, int depth, vt_schedule_request request, const char *depths,
                        const char *layers) {
    vt_schedule schedule;
    variant_error err = {0};
    char text[1024];
    variant_status status = vt_schedule_resolve(&schedule, scales, depth, &request, &err);
    if (status != VARIANT_OK) fail_msg("%s", err.message);
    vt_schedule_describe(&schedule, text, sizeof text);
    assert_string_equal(text, depths);
    vt_schedule_describe_layers(&schedule, text, sizeof text);
    if (layers != NULL) assert_string_equal(text, layers);
    /* what is described reads back as the same schedule */
    vt_schedule again;
    vt_schedule_request back = {.layers = text, .bridge = -1, .default_bridge = 1};
    assert_int_equal(vt_schedule_resolve(&again, scales, depth, &back, &err), VARIANT_OK);
    assert_memory_equal(&again, &schedule, sizeof schedule);
}

static void test_resolve(void **state) {
    (void)state;
    check_words(4, 8, (vt_schedule_request){.bridge = -1, .default_bridge = 2}, "8,8,8,8",
                "0-7;0-7;0-7;0-7");
    check_words(4, 8, (vt_schedule_request){.depth = 3, .bridge = -1, .default_bridge = 2},
                "8,8,3,3", "0-7;0-7;0,3,7;0,3,7");
    check_words(4, 8, (vt_schedule_request){.depth = 3, .bridge = 0, .default_bridge = 2},
                "3,3,3,3", NULL);
    check_words(4, 8, (vt_schedule_request){.depth = 3, .bridge = 4, .default_bridge = 2},
                "8,8,8,8", NULL);
    check_words(4, 8, (vt_schedule_request){.depth = 3, .bridge = 3, .layers = "prefix"}, "8,8,8,3",
                "0-7;0-7;0-7;0-2");
    check_words(4, 8, (vt_schedule_request){.depth = 3, .bridge = 3, .layers = "rounded"},
                "8,8,8,3", "0-7;0-7;0-7;0,4,7");
    check_words(4, 8, (vt_schedule_request){.bridge = 2, .layers = " 0, 3 ,5 - 7"}, "8,8,5,5",
                "0-7;0-7;0,3,5-7;0,3,5-7");
    check_words(4, 8, (vt_schedule_request){.bridge = 2, .depth = 2, .layers = "1,2"}, "8,8,2,2",
                NULL);
    check_words(4, 8, (vt_schedule_request){.bridge = -1, .layers = "0-7;0,2;1,3;4"}, "8,2,2,1",
                "0-7;0,2;1,3;4");
    check_words(4, 8, (vt_schedule_request){.bridge = -1, .depths = "8,4,2,1"}, "8,4,2,1",
                "0-7;0,2,4,7;0,7;0");
    check_words(4, 8,
                (vt_schedule_request){.bridge = -1, .depths = "8, 4, 2, 1", .layers = "rounded"},
                "8,4,2,1", "0-7;0,2,5,7;0,7;0");
    check_words(1, 8, (vt_schedule_request){.bridge = -1, .layers = "0,2-4"}, "4", "0,2-4");
    check_words(1, 8, (vt_schedule_request){.bridge = -1, .default_bridge = 6, .depth = 2}, "8",
                "0-7");
}

static void check_refused(vt_schedule_request request, const char *part) {
    vt_schedule schedule;
    variant_error err = {0};
    assert_int_equal(vt_schedule_resolve(&schedule, 4, 8, &request, &err), VARIANT_E_ARGUMENT);
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
    assert_null(strchr(err.message, '\n'));
}

static void test_resolve_errors(void **state) {
    (void)state;
    check_refused((vt_schedule_request){.bridge = -1, .depth = 9}, "depth 9");
    check_refused((vt_schedule_request){.bridge = -1, .depth = -1}, "depth -1");
    check_refused((vt_schedule_request){.bridge = 5}, "bridge 5");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8"}, "3 depths");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8,9"}, "scale 3: depth 9");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8,0"}, "depth 0");
    check_refused((vt_schedule_request){.bridge = -1, .depths = ""}, "expected numbers");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,,8"}, "expected numbers");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8,8,"}, "expected numbers");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8;8;8;8"}, "expected numbers");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8,99999999999999999999"},
                  "expected numbers");
    check_refused(
        (vt_schedule_request){
            .bridge = -1,
            .depths = "1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1,1"},
        "more than 32");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8,8", .depth = 2},
                  "without depth");
    check_refused((vt_schedule_request){.bridge = 2, .depths = "8,8,8,8"}, "without depth");
    check_refused((vt_schedule_request){.bridge = -1, .depths = "8,8,8,8", .layers = "0,1"},
                  "contradict");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "every"}, "expected equidistant");
    check_refused((vt_schedule_request){.bridge = -1, .layers = ""}, "expected equidistant");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "0,8"}, "no layer 8");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "5-3"}, "backwards");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "0-"}, "expected equidistant");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "-1"}, "expected equidistant");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "0;1;2"}, "3 lists");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "0;1;;2"}, "expected equidistant");
    check_refused((vt_schedule_request){.bridge = -1, .layers = "0;1;2;3", .depth = 2},
                  "without depth");
    check_refused((vt_schedule_request){.bridge = 2, .layers = "0,1,2", .depth = 2}, "contradicts");
    uint8_t none[8] = {0};
    vt_schedule schedule;
    variant_error err;
    assert_int_equal(vt_schedule_zones(&schedule, 4, 8, 2, none, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_schedule_full(&schedule, 33, 8, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_schedule_full(&schedule, 4, 129, &err), VARIANT_E_ARGUMENT);
}

static void test_describe_cuts(void **state) {
    (void)state;
    vt_schedule schedule;
    char text[8];
    assert_int_equal(vt_schedule_full(&schedule, 10, 30, NULL), VARIANT_OK);
    memset(text, 'x', sizeof text);
    vt_schedule_describe(&schedule, text, 5);
    assert_string_equal(text, "30,3");
    assert_int_equal(text[5], 'x');
    vt_schedule_describe_layers(&schedule, text, 1);
    assert_string_equal(text, "");
}

/* ---- KV arithmetic ---- */

static void test_kv_two_zones(void **state) {
    (void)state;
    const int d_of[] = {16, 8, 4, 2};
    const double retained[] = {40.4, 63.5, 75.1, 80.8}, released[] = {46.7, 73.3, 86.6, 86.6};
    const int64_t tokens = 680, bridge = 91;
    for (int i = 0; i < 4; ++i) {
        vt_schedule schedule;
        int64_t d = d_of[i];
        vt_schedule_request request = {.depth = d_of[i], .bridge = 6};
        assert_int_equal(vt_schedule_resolve(&schedule, K, D, &request, NULL), VARIANT_OK);
        int64_t kept = vt_schedule_kv_peak_tokens(&schedule, published, false);
        int64_t freed = vt_schedule_kv_peak_tokens(&schedule, published, true);
        assert_int_equal(kept, d * tokens + (D - d) * bridge);
        assert_int_equal(freed, d * tokens > D * bridge ? d * tokens : D * bridge);
        assert_int_equal(vt_schedule_kv_tokens(&schedule, published, K - 1, true), d * tokens);
        assert_int_equal(vt_schedule_kv_tokens(&schedule, published, 5, true), D * bridge);
        /* to the tenth of a percent; to the rounding of the published numbers */
        assert_true(fabs(100.0 * (1 - (double)kept / (double)(D * tokens)) - retained[i]) < 0.06);
        assert_true(fabs(100.0 * (1 - (double)freed / (double)(D * tokens)) - released[i]) < 0.06);
    }
}

static void test_kv_holes(void **state) {
    (void)state;
    const int sides[] = {1, 2, 3, 4};
    vt_schedule s;
    vt_schedule_request request = {.layers = "0-3;0,2;1,2;0", .bridge = -1};
    assert_int_equal(vt_schedule_resolve(&s, 4, 4, &request, NULL), VARIANT_OK);
    assert_int_equal(vt_schedule_layer_tokens(&s, sides, 0, 3), 1 + 4 + 16);
    assert_int_equal(vt_schedule_layer_tokens(&s, sides, 1, 3), 1 + 9);
    assert_int_equal(vt_schedule_layer_tokens(&s, sides, 2, 1), 1 + 4);
    assert_int_equal(vt_schedule_last_scale(&s, 0), 3);
    assert_int_equal(vt_schedule_last_scale(&s, 1), 2);
    assert_int_equal(vt_schedule_last_scale(&s, 3), 0);
    /* released: layer 3 is gone after scale 0, layers 1 and 2 after scale 2 */
    assert_int_equal(vt_schedule_kv_tokens(&s, sides, 0, true), 4);
    assert_int_equal(vt_schedule_kv_tokens(&s, sides, 1, true), 5 + 1 + 5);
    assert_int_equal(vt_schedule_kv_tokens(&s, sides, 2, true), 5 + 10 + 14);
    assert_int_equal(vt_schedule_kv_tokens(&s, sides, 3, true), 21);
    assert_int_equal(vt_schedule_kv_peak_tokens(&s, sides, true), 29);
    assert_int_equal(vt_schedule_kv_peak_tokens(&s, sides, false), 21 + 10 + 14 + 1);
    assert_false(vt_schedule_is_full(&s));
    assert_int_equal(vt_schedule_depth_at(&s, 2), 2);
    s.runs[0][3] = 0;
    assert_int_equal(vt_schedule_last_scale(&s, 3), -1);
}

/* ---- phases ---- */

static const vt_phases progressive = {.joint_ratio = 0.2,
                                      .joint_end = 5,
                                      .transition_end = 20,
                                      .fixed_ratio = -1,
                                      .depth_count = 4,
                                      .depths = {16, 8, 4, 2}};

static void check_ratio(double epoch, double want, const char *name) {
    const char *phase = NULL;
    assert_true(fabs(vt_phases_ratio(&progressive, epoch, &phase) - want) < 1e-12);
    assert_string_equal(phase, name);
}

static void test_ratio(void **state) {
    (void)state;
    check_ratio(0, 0.2, "joint");
    check_ratio(4.99, 0.2, "joint");
    check_ratio(5, 0.2, "transition");
    check_ratio(12.5, 0.6, "transition");
    check_ratio(20, 1, "subnet");
    check_ratio(1000, 1, "subnet");
    vt_phases fixed = progressive;
    fixed.fixed_ratio = 0.1;
    const char *phase = NULL;
    assert_true(vt_phases_ratio(&fixed, 30, &phase) == 0.1);
    assert_string_equal(phase, "fixed");
    vt_phases jump = progressive;
    jump.transition_end = jump.joint_end;
    assert_true(vt_phases_ratio(&jump, 5, NULL) == 1);
}

static void test_draw(void **state) {
    (void)state;
    enum { STEPS = 20000 };
    int subnet = 0, of[31] = {0};
    for (uint64_t step = 0; step < STEPS; ++step) {
        vt_phase_draw draw = vt_phases_draw(&progressive, 12.5, 7, step);
        vt_phase_draw again = vt_phases_draw(&progressive, 12.5, 7, step);
        assert_int_equal(draw.subnet, again.subnet);
        assert_int_equal(draw.depth, again.depth);
        assert_true(draw.subnet == (draw.depth != 0));
        assert_true(fabs(draw.ratio - 0.6) < 1e-12);
        subnet += draw.subnet;
        ++of[draw.depth];
    }
    /* six standard deviations */
    assert_true(fabs(subnet - 0.6 * STEPS) < 6 * sqrt(0.24 * STEPS));
    const int depths[] = {16, 8, 4, 2};
    for (int i = 0; i < 4; ++i)
        assert_true(fabs(of[depths[i]] - subnet / 4.0) < 6 * sqrt(0.1875 * subnet));
    int differ = 0;
    for (uint64_t step = 0; step < 200; ++step)
        differ += vt_phases_draw(&progressive, 12.5, 7, step).depth !=
                  vt_phases_draw(&progressive, 12.5, 8, step).depth;
    assert_true(differ > 50);
    vt_phases never = {.fixed_ratio = 0};
    assert_false(vt_phases_draw(&never, 1, 7, 3).subnet);
    for (uint64_t step = 0; step < 200; ++step)
        assert_true(vt_phases_draw(&progressive, 25, 7, step).subnet);
}

static void count_draws(const vt_phases *phases, double epoch, int steps, int *of) {
    for (int i = 0; i < phases->depth_count; ++i) of[i] = 0;
    for (uint64_t step = 0; step < (uint64_t)steps; ++step)
        ++of[vt_phases_draw(phases, epoch, 7, step).index];
}

static void test_draw_rules(void **state) {
    (void)state;
    enum { STEPS = 20000 };
    int of[VT_MAX_DEPTHS];
    vt_phases phases = progressive;
    phases.rule = VT_DRAW_WEIGHTED;
    const double weights[4] = {1, 0, 2, 5};
    memcpy(phases.weights, weights, sizeof weights);
    count_draws(&phases, 12.5, STEPS, of);
    for (int i = 0; i < 4; ++i) {
        double p = weights[i] / 8;
        assert_true(fabs(of[i] - p * STEPS) <= 6 * sqrt(p * (1 - p) * STEPS));
    }
    /* Deepest first, whatever the list's order: one of four a quarter of the 20 epochs. */
    const int mixed[4] = {4, 16, 2, 8}, order[4] = {1, 3, 0, 2};
    phases.rule = VT_DRAW_DEEPEST_FIRST;
    memcpy(phases.depths, mixed, sizeof mixed);
    for (int there = 1; there <= 4; ++there) {
        count_draws(&phases, 5 * there - 0.01, STEPS, of);
        for (int i = 0; i < 4; ++i) {
            double p = i < there ? 1.0 / there : 0;
            assert_true(fabs(of[order[i]] - p * STEPS) <= 6 * sqrt(p * (1 - p) * STEPS));
        }
    }
    count_draws(&phases, 1000, STEPS, of);
    for (int i = 0; i < 4; ++i) assert_true(fabs(of[i] - STEPS / 4.0) < 6 * sqrt(STEPS * 0.1875));
    assert_string_equal(vt_draw_rule_name(VT_DRAW_DEEPEST_FIRST), "deepest-first");
}

/* The range of the bridge is drawn apart from the depth; a sandwich takes both paths. */
static void test_draw_bridge_and_sandwich(void **state) {
    (void)state;
    enum { STEPS = 12000 };
    int of[3] = {0}, both[3][4] = {{0}};
    vt_phases phases = progressive;
    phases.more_bridge = 2;
    for (uint64_t step = 0; step < STEPS; ++step) {
        vt_phase_draw draw = vt_phases_draw(&phases, 12.5, 7, step);
        vt_phase_draw plain = vt_phases_draw(&progressive, 12.5, 7, step);
        assert_in_range(draw.more_bridge, 0, 2);
        assert_int_equal(plain.more_bridge, 0);
        assert_int_equal(plain.index, draw.index);
        assert_true(draw.full == !draw.subnet);
        ++of[draw.more_bridge];
        ++both[draw.more_bridge][draw.index];
    }
    for (int i = 0; i < 3; ++i) {
        assert_true(fabs(of[i] - STEPS / 3.0) < 6 * sqrt(STEPS * 2 / 9.0));
        for (int d = 0; d < 4; ++d)
            assert_true(fabs(both[i][d] - STEPS / 12.0) < 6 * sqrt(STEPS * 11 / 144.0));
    }
    phases.sandwich = true;
    for (uint64_t step = 0; step < 100; ++step) {
        vt_phase_draw draw = vt_phases_draw(&phases, 0, 7, step);
        assert_true(draw.full && draw.subnet && draw.depth == phases.depths[draw.index]);
        assert_string_equal(draw.phase, "sandwich");
    }
}

static void check_phases_refused(vt_phases phases, const char *part) {
    variant_error err = {0};
    assert_int_equal(vt_phases_check(&phases, D, &err), VARIANT_E_ARGUMENT);
    if (strstr(err.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", err.message, part);
}

static void test_phases_check(void **state) {
    (void)state;
    assert_int_equal(vt_phases_check(&progressive, D, NULL), VARIANT_OK);
    assert_int_equal(vt_phases_check(&(vt_phases){.fixed_ratio = 0}, D, NULL), VARIANT_OK);
    check_phases_refused((vt_phases){.fixed_ratio = 2, .depth_count = 1, .depths = {2}},
                         "fixed ratio 2");
    check_phases_refused((vt_phases){.fixed_ratio = NAN, .depth_count = 1, .depths = {2}},
                         "fixed ratio");
    check_phases_refused(
        (vt_phases){.fixed_ratio = -1, .joint_ratio = 1.5, .depth_count = 1, .depths = {2}},
        "joint ratio 1.5");
    check_phases_refused((vt_phases){.fixed_ratio = -1,
                                     .joint_end = 3,
                                     .transition_end = 2,
                                     .depth_count = 1,
                                     .depths = {2}},
                         "joint <= transition");
    check_phases_refused((vt_phases){.fixed_ratio = 0.5}, "no subnet depth");
    check_phases_refused((vt_phases){.fixed_ratio = 0.5, .depth_count = 1, .depths = {31}},
                         "subnet depth 31");
    check_phases_refused((vt_phases){.fixed_ratio = 0.5, .depth_count = 17}, "17 subnet depths");
    check_phases_refused((vt_phases){.sandwich = true}, "no subnet depth");
    check_phases_refused(
        (vt_phases){.sandwich = true, .depth_count = 1, .depths = {2}, .rule = VT_DRAW_WEIGHTED},
        "weights of all depths are 0");
    check_phases_refused((vt_phases){.sandwich = true,
                                     .depth_count = 1,
                                     .depths = {2},
                                     .rule = VT_DRAW_WEIGHTED,
                                     .weights = {NAN}},
                         "of depth 2: expected 0 or more");
    check_phases_refused(
        (vt_phases){.sandwich = true, .depth_count = 1, .depths = {2}, .more_bridge = -1},
        "ends before it begins");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_equidistant),   cmocka_unit_test(test_selectors_keep_d),
        cmocka_unit_test(test_nesting),       cmocka_unit_test(test_select_errors),
        cmocka_unit_test(test_resolve),       cmocka_unit_test(test_resolve_errors),
        cmocka_unit_test(test_describe_cuts), cmocka_unit_test(test_kv_two_zones),
        cmocka_unit_test(test_kv_holes),      cmocka_unit_test(test_ratio),
        cmocka_unit_test(test_draw),          cmocka_unit_test(test_phases_check),
        cmocka_unit_test(test_draw_rules),    cmocka_unit_test(test_draw_bridge_and_sandwich),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

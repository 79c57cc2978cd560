/* test_quiet.c - verdicts on timed spans with made-up readings: each kind of disturbance, what is too little to
 * count, which runs medians are taken of, how often is tried again; and times that contradict the arithmetic. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/quiet.h"
#include "planning/order.h"

/* ---- a machine whose counters are written by hand ---- */

typedef struct machine {
    vt_quiet_reading now;
    double canary;
} machine;

static vt_quiet_reading read_machine(void *user) {
    return ((machine *)user)->now;
}

static double read_canary(void *user) {
    return ((machine *)user)->canary;
}

static vt_quiet watch(machine *m, int threads, int processors) {
    vt_quiet quiet;
    vt_quiet_source source = {read_machine, read_canary, m, processors, processors};
    *m = (machine){
        .now = {.clock = 1000.0, .stolen = 50.0, .waited = 7.0, .slices = 1e4, .switches = 900.0},
        .canary = 1e-3};
    vt_quiet_open(&quiet, threads, &source);
    return quiet;
}

/* A span of so long in which the counters grew by so much. */
static vt_quiet_span pass(vt_quiet *quiet, machine *m, vt_quiet_reading grown, double canary) {
    vt_quiet_begin(quiet);
    m->now.clock += grown.clock;
    m->now.stolen += grown.stolen;
    m->now.waited += grown.waited;
    m->now.slices += grown.slices;
    m->now.switches += grown.switches;
    m->canary = canary;
    return vt_quiet_end(quiet);
}

static void expect(const vt_quiet *quiet, vt_quiet_span span, const char *why) {
    char said[200];
    vt_quiet_why(quiet, &span, 1, said, sizeof said);
    assert_string_equal(said, why);
    assert_int_equal(vt_quiet_is_disturbed(quiet, &span), why[0] != '\0');
}

static void each_disturbance_is_named(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 2, 2);
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0}, 1e-3), "");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .waited = 0.68}, 1e-3),
           "waited 34 % of the time for a processor");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .switches = 812}, 1e-3),
           "406 involuntary switches a second");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 2.0, .stolen = 0.4}, 1e-3),
           "10 % stolen by the host");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0}, 1.8e-3),
           "a loop of known length took 1.8 times its best");
    m.canary = 1e-3;
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .waited = 1.0, .switches = 500}, 3e-3),
           "waited 50 % of the time for a processor, 250 involuntary switches a second, a loop of "
           "known length "
           "took 3.0 times its best");
}

static void little_is_no_disturbance(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 2, 2);
    expect(&q,
           pass(&q, &m,
                (vt_quiet_reading){.clock = 1.0, .waited = 0.02, .switches = 80, .stolen = 0.01},
                1.1e-3),
           "");
    m.canary = 1e-3; /* three switches in ten milliseconds are a rate of 150, and nothing */
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 0.01, .switches = 3}, 1e-3), "");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 0.01, .stolen = 0.01}, 1e-3),
           ""); /* one step of the counter */
    /* threads that slept and were woken 500 times wait a moment each time, and nobody was in their way */
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 0.5, .waited = 0.04, .slices = 500}, 1e-3),
           "");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 0.5, .waited = 0.04, .slices = 20}, 1e-3),
           "waited 4 % of the time for a processor");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .waited = 2.6}, 1e-3),
           "waited 100 % of the time for a processor"); /* a third thread's too */
}

/* Steal is counted in steps of 10 ms: short runs are judged by the half second around them. */
static void steal_of_short_runs_adds_up(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 1, 1);
    vt_quiet_span span = {0};
    for (int i = 0; i < 20; ++i) /* a fifth, one step every second run */
        span = pass(&q, &m, (vt_quiet_reading){.clock = 0.02, .stolen = i % 2 ? 0.01 : 0.0}, 1e-3);
    expect(&q, span, "25 % stolen by the host");
    for (int i = 0; i < 60; ++i) span = pass(&q, &m, (vt_quiet_reading){.clock = 0.02}, 1e-3);
    expect(&q, span, "");
}

static void own_threads_are_no_neighbours(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 4, 2);
    expect(&q,
           pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .waited = 2.0, .switches = 4000}, 1e-3),
           "");
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .stolen = 0.2}, 1e-3),
           "10 % stolen by the host");
}

static void best_canary_is_the_measure(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 1, 1);
    vt_quiet_span early = pass(&q, &m, (vt_quiet_reading){.clock = 1.0}, 1e-3);
    expect(&q, early, "");
    m.canary = 0.5e-3; /* the calibration itself was disturbed */
    pass(&q, &m, (vt_quiet_reading){.clock = 1.0}, 0.5e-3);
    expect(&q, early, "a loop of known length took 2.0 times its best");
}

static void nothing_counts_backwards(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 2, 2); /* a thread that ends takes its waiting with it */
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .waited = -5.0, .slices = -100}, 1e-3),
           "");
    expect(&q, pass(&q, &m, (vt_quiet_reading){0}, 1e-3), "");
}

/* ---- which runs count ---- */

#define GOOD                                                                                       \
    { .canary = 1e-3 }
#define BAD                                                                                        \
    { .canary = 1e-3, .waited = 0.4 }

static void medians_are_of_quiet_runs(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 1, 1);
    const vt_quiet_span spans[] = {BAD, GOOD, BAD, GOOD, GOOD, BAD};
    int picked[6];
    bool disturbed;
    assert_int_equal(vt_quiet_count(&q, spans, 6), 3);
    assert_int_equal(vt_quiet_pick(&q, spans, 6, 5, picked, &disturbed), 3);
    assert_false(disturbed);
    assert_int_equal(picked[0], 1);
    assert_int_equal(picked[1], 3);
    assert_int_equal(picked[2], 4);
    assert_int_equal(vt_quiet_pick(&q, spans, 4, 5, picked, &disturbed),
                     4); /* two of five are too few: all */
    assert_true(disturbed);
    assert_int_equal(picked[3], 3);
    assert_int_equal(vt_quiet_pick(&q, spans, 2, 1, picked, &disturbed), 1);
    assert_false(disturbed);
    assert_int_equal(picked[0], 1);
}

static void runs_again_are_bounded(void **state) {
    (void)state;
    machine m;
    vt_quiet q = watch(&m, 1, 1);
    const vt_quiet_span all_bad[] = {BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD, BAD};
    const vt_quiet_span mixed[] = {GOOD, BAD, GOOD, BAD, GOOD};
    assert_true(vt_quiet_wants_more(&q, all_bad, 0, 1));
    assert_true(vt_quiet_wants_more(&q, all_bad, 1, 1));
    assert_false(vt_quiet_wants_more(&q, all_bad, 2, 1));
    assert_true(vt_quiet_wants_more(&q, all_bad, 9, 5));
    assert_false(vt_quiet_wants_more(&q, all_bad, 10, 5));
    assert_true(vt_quiet_wants_more(&q, mixed, 4, 5));
    assert_false(vt_quiet_wants_more(&q, mixed, 5, 5));
    for (int wanted = 1; wanted < 10; ++wanted) {
        assert_true(vt_quiet_enough(wanted) >= 1 && vt_quiet_enough(wanted) <= 3);
        assert_true(2 * vt_quiet_enough(wanted) <= wanted + 1);
    }
}

static void watching_is_switched(void **state) {
    (void)state;
    machine m;
    setenv("VARIANT_WATCH", "off", 1);
    vt_quiet q = watch(&m, 1, 1);
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0, .waited = 0.5}, 9e-3), "");
    setenv("VARIANT_WATCH", "always", 1);
    q = watch(&m, 1, 1);
    expect(&q, pass(&q, &m, (vt_quiet_reading){.clock = 1.0}, 1e-3), "VARIANT_WATCH=always");
    unsetenv("VARIANT_WATCH");
}

/* Small buffers are not overrun; the system's own readings make sense. */
static void the_system_answers(void **state) {
    (void)state;
    vt_quiet q;
    char why[24];
    vt_quiet_open(&q, 1, NULL);
    assert_true(q.canary_best > 1e-6 && q.canary_best < 1.0);
    assert_true(q.source.usable >= 1 && q.source.machine >= q.source.usable);
    vt_quiet_begin(&q);
    vt_quiet_span span = vt_quiet_end(&q);
    assert_true(span.seconds >= 0.0 && span.seconds < 10.0);
    assert_true(span.canary >= q.canary_best);
    span = (vt_quiet_span){.waited = 0.5, .switches = 1e4, .stolen = 0.5, .canary = 1.0};
    memset(why, 'x', sizeof why);
    vt_quiet_why(&q, &span, 1, why, sizeof why);
    assert_non_null(memchr(why, '\0', sizeof why));
}

/* ---- order ---- */

static const int sides[] = {1, 2, 3, 4};

static void less_work_is_by_arithmetic(void **state) {
    (void)state;
    const int all[] = {8, 8, 8, 8}, half[] = {8, 8, 4, 4}, late[] = {8, 8, 8, 2},
              early[] = {2, 2, 8, 8};
    assert_true(vt_row_layers(4, sides, half) == 8 * 5 + 4 * 25);
    assert_true(vt_is_less_work(4, sides, half, all));
    assert_false(vt_is_less_work(4, sides, all, half));
    assert_false(vt_is_less_work(4, sides, all, all));
    assert_true(vt_is_less_work(4, sides, late, early)); /* 144 against 210 row-layers */
    assert_false(vt_is_less_work(4, sides, late, half)); /* 144 against 140: neither */
    assert_false(vt_is_less_work(4, sides, half, late));
}

static void slower_with_fewer_layers_is_found(void **state) {
    (void)state;
    const int all[] = {8, 8, 8, 8}, half[] = {8, 8, 4, 4}, quarter[] = {8, 8, 2, 2};
    vt_timed times[] = {{all, 12.0}, {half, 8.0}, {quarter, 6.0}};
    for (int i = 0; i < 3; ++i) assert_int_equal(vt_order_contradiction(4, sides, times, 3, i), -1);
    times[2].seconds = 8.5;
    assert_int_equal(vt_order_contradiction(4, sides, times, 3, 2), 1);
    assert_int_equal(vt_order_contradiction(4, sides, times, 3, 1), -1);
    times[1].seconds = 12.5;
    assert_int_equal(vt_order_contradiction(4, sides, times, 3, 1), 0);
    times[2].seconds = 13.0; /* slower than both: the faster of them is named */
    assert_int_equal(vt_order_contradiction(4, sides, times, 3, 2), 0);
    times[0].seconds = 0.0; /* not measured */
    assert_int_equal(vt_order_contradiction(4, sides, times, 3, 2), 1);
    times[1].seconds = 13.0; /* as fast is not slower */
    assert_int_equal(vt_order_contradiction(4, sides, times, 3, 2), -1);
}

int main(void) {
    unsetenv("VARIANT_WATCH");
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(each_disturbance_is_named),
        cmocka_unit_test(little_is_no_disturbance),
        cmocka_unit_test(steal_of_short_runs_adds_up),
        cmocka_unit_test(own_threads_are_no_neighbours),
        cmocka_unit_test(best_canary_is_the_measure),
        cmocka_unit_test(nothing_counts_backwards),
        cmocka_unit_test(medians_are_of_quiet_runs),
        cmocka_unit_test(runs_again_are_bounded),
        cmocka_unit_test(watching_is_switched),
        cmocka_unit_test(the_system_answers),
        cmocka_unit_test(less_work_is_by_arithmetic),
        cmocka_unit_test(slower_with_fewer_layers_is_found),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_progress.c - how long something still takes: held back at first, then near the truth. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "cli/cli.h"
#include "cli/progress.h"

static void test_held_back(void **state) {
    (void)state;
    cli_pace pace = {0};
    assert_true(cli_pace_left(&pace, 100.0, 1, 1000) < 0.0);  /* the first unit says nothing */
    assert_true(cli_pace_left(&pace, 100.5, 40, 1000) < 0.0); /* half a second neither */
    assert_float_equal(cli_pace_left(&pace, 104.0, 101, 1001), 36.0, 1e-9); /* 25 a second */
    cli_pace slow = {0};
    assert_true(cli_pace_left(&slow, 0.0, 1, 10) < 0.0);
    assert_true(cli_pace_left(&slow, 60.0, 2, 10) < 0.0); /* one unit is no pace */
    assert_float_equal(cli_pace_left(&slow, 120.0, 3, 10), 7 * 60.0, 1e-9);
}

/* A machine that gets busy: what was fast an hour ago is forgotten within two minutes. */
static void test_follows(void **state) {
    (void)state;
    cli_pace pace = {0};
    double now = 0.0, done = 0.0, left = 0.0;
    for (int i = 0; i < 3600; ++i) left = cli_pace_left(&pace, now += 1.0, done += 10.0, 1e6);
    assert_float_equal(left, (1e6 - done) / 10.0, 1.0);
    for (int i = 0; i < 130; ++i) left = cli_pace_left(&pace, now += 1.0, done += 1.0, 1e6);
    assert_float_equal(left, 1e6 - done, 1.0);
    assert_float_equal(cli_pace_left(&pace, now, 1e6, 1e6), 0.0, 0.0);
    assert_true(cli_pace_left(&pace, now, 5, 1e6) < 0.0); /* another round: from the beginning */
}

static void test_text(void **state) {
    (void)state;
    char text[32];
    const struct {
        double seconds;
        const char *text;
    } times[] = {{0.2, "0s"},     {42.4, "42s"},     {185, "3m05s"},
                 {7620, "2h07m"}, {385200, "4d11h"}, {59.7, "1m00s"}};
    for (size_t i = 0; i < sizeof times / sizeof *times; ++i) {
        cli_time_text(times[i].seconds, text, sizeof text);
        assert_string_equal(text, times[i].text);
    }
    cli_left_text(-1.0, text, sizeof text);
    assert_string_equal(text, "");
    cli_left_text(61.0, text, sizeof text);
    assert_string_equal(text, "  1m01s left");
}

/* Where stderr is no terminal: a line of its own every half minute, none before. */
static void test_log(void **state) {
    (void)state;
    char path[] = "/tmp/test_progress_XXXXXX", text[256] = "";
    const int file = mkstemp(path), kept = dup(STDERR_FILENO);
    assert_true(file >= 0 && kept >= 0);
    fflush(stderr);
    dup2(file, STDERR_FILENO);
    cli_live live;
    cli_name_command("eval");
    cli_live_open(&live);
    cli_live_show(&live, "too early");
    live.shown -= 31.0;
    cli_live_show(&live, "%d of %d", 1, 2);
    cli_live_show(&live, "too soon again");
    cli_live_clear(&live);
    fflush(stderr);
    dup2(kept, STDERR_FILENO);
    close(kept);
    lseek(file, 0, SEEK_SET);
    const ssize_t size = read(file, text, sizeof text - 1);
    close(file);
    unlink(path);
    assert_false(live.terminal);
    assert_true(size > 0);
    assert_string_equal(text, "variant eval: 1 of 2\n");
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_held_back),
                                       cmocka_unit_test(test_follows), cmocka_unit_test(test_text),
                                       cmocka_unit_test(test_log)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

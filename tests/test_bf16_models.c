/* test_bf16_models.c - whole models with bf16 weights: the synthetic ones of tests/golden, tokenizer and transformer, agree with
 * the reference files within bf16's bound, keys and values in float32 and bf16. Also built as test_bf16_models_amx. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <string.h>

#include "selftest/selftest.h"

static void line(void *user, const vt_selftest_line *l) {
    (void)user;
    if (l->verdict == VT_SELFTEST_FAIL)
        print_error("%s %s: %g of at most %g: %s\n", l->file, l->tensor, l->error, l->tolerance,
                    l->note);
}

static void test_golden(void **unused) {
    (void)unused;
    static const char *const parts[] = {"A", "B"};
    static const vt_number kv[] = {VT_NUMBER_F32, VT_NUMBER_BF16};
    for (int i = 0; i < 4; ++i) {
        variant_error err = {0};
        vt_selftest *test = NULL;
        const vt_selftest_options options = {
            .threads = 1 + i % 2, .weights = VT_NUMBER_BF16, .kv = kv[i / 2], .line = line};
        char path[512];
        snprintf(path, sizeof path, "%s/golden/%s", VARIANT_TEST_DIR, parts[i % 2]);
        assert_int_equal(vt_selftest_open(&test, &options, &err), VARIANT_OK);
        assert_int_equal(vt_selftest_run(test, path, &err), VARIANT_OK);
        const vt_selftest_counts counts = vt_selftest_result(test);
        assert_int_equal(counts.failed, 0);
        assert_true(counts.passed > 20);
        vt_selftest_close(&test);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_golden)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

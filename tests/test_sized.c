/* test_sized.c - structs that begin with their size, from callers of older and newer headers (core/sized.h). */
#include "fixtures.h"

#include "core/sized.h"

/* Today's, and what older and newer headers have of it. */
typedef struct today {
    size_t size;
    int64_t a, b, c;
} today;
typedef struct older {
    size_t size;
    int64_t a;
} older;
typedef struct newer {
    size_t size;
    int64_t a, b, c, d, e;
} newer;

static void today_init(today *out) {
    vt_sized_init(out, sizeof *out, &(today){.a = 1, .b = 2, .c = 3}, sizeof *out);
}

static variant_status take(today *out, const void *given, variant_error *err) {
    return VT_SIZED_TAKE(out, given, today, err);
}

static void defaults_reach_as_far_as_the_struct(void **state) {
    (void)state;
    const today defaults = {.a = 1, .b = 2, .c = 3};
    struct {
        older it;
        int64_t guard;
    } short_one = {.guard = 77};
    newer long_one;
    memset(&long_one, 0xa5, sizeof long_one);
    vt_sized_init(&short_one, sizeof short_one.it, &defaults, sizeof defaults);
    assert_int_equal(short_one.it.size, sizeof short_one.it);
    assert_int_equal(short_one.it.a, 1);
    assert_int_equal(short_one.guard, 77);
    vt_sized_init(&long_one, sizeof long_one, &defaults, sizeof defaults);
    assert_int_equal(long_one.size, sizeof long_one);
    assert_true(long_one.a == 1 && long_one.c == 3 && long_one.d == 0 && long_one.e == 0);
    short_one.it.size = 5;
    vt_sized_init(&short_one, 7, &defaults,
                  sizeof defaults); /* not even a size: nothing is written */
    assert_int_equal(short_one.it.size, 5);
}

static void callers_of_all_ages_are_understood(void **state) {
    (void)state;
    today got;
    assert_ok(take(&got, &(older){sizeof(older), 10}, err));
    assert_true(got.size == sizeof got && got.a == 10 && got.b == 2 && got.c == 3);
    assert_ok(take(&got, &(today){sizeof(today), 10, 20, 30}, err));
    assert_true(got.a == 10 && got.b == 20 && got.c == 30);
    assert_ok(take(&got, &(newer){sizeof(newer), 10, 20, 30, 0, 0}, err));
    assert_true(got.size == sizeof got && got.c == 30);
    assert_fails(take(&got, &(newer){sizeof(newer), 10, 20, 30, 0, 1}, err), VARIANT_E_UNSUPPORTED,
                 "a today of 48 bytes, and what is set in byte 40 is not known to libvariant");
}

static void sizes_that_none_are_refused(void **state) {
    (void)state;
    const size_t none[] = {0, 1, 8, 9, 31, 65537, 65544, SIZE_MAX, SIZE_MAX / 2};
    today got;
    assert_fails(take(&got, NULL, err), VARIANT_E_ARGUMENT, "expected one that today_init has set");
    for (size_t i = 0; i < sizeof none / sizeof *none; ++i) {
        newer given = {.size = none[i], .a = 4};
        assert_fails(take(&got, &given, err), VARIANT_E_ARGUMENT, "call today_init first");
        assert_fails(vt_sized_clear(&given, "today", err), VARIANT_E_ARGUMENT,
                     "call today_init first");
        assert_int_equal(given.a, 4);
    }
    assert_fails(vt_sized_clear(NULL, "today", err), VARIANT_E_ARGUMENT, "no today");
}

static void results_reach_as_far_as_the_struct(void **state) {
    (void)state;
    const today result = {sizeof result, 10, 20, 30};
    struct {
        older it;
        int64_t guard;
    } short_one = {.it = {sizeof(older), 5}, .guard = 77};
    newer long_one = {.size = sizeof long_one, .d = 6};
    assert_ok(vt_sized_clear(&short_one, "today", err));
    assert_true(short_one.it.size == sizeof(older) && short_one.it.a == 0);
    vt_sized_give(&short_one, &result, sizeof result);
    assert_true(short_one.it.size == sizeof(older) && short_one.it.a == 10);
    assert_int_equal(short_one.guard, 77);
    assert_ok(vt_sized_clear(&long_one, "today", err));
    vt_sized_give(&long_one, &result, sizeof result);
    assert_true(long_one.size == sizeof long_one && long_one.c == 30 && long_one.d == 0);
    static const size_t refused[] = {0, 7, sizeof(size_t), (size_t)1 << 40};
    for (size_t i = 0; i < sizeof refused / sizeof *refused; ++i) {
        older none = {refused[i], 77};
        vt_sized_give(&none, &result, sizeof result);
        assert_int_equal(none.a, 77);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(defaults_reach_as_far_as_the_struct),
                                       cmocka_unit_test(callers_of_all_ages_are_understood),
                                       cmocka_unit_test(sizes_that_none_are_refused),
                                       cmocka_unit_test(results_reach_as_far_as_the_struct)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

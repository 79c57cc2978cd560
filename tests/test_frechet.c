/* test_frechet.c - the Frechet distance against closed forms, and against SciPy on covariances of high
 * condition and of low rank (tests/frechet_reference.py made the constants). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "eval/frechet.h"

enum { MAX = 16 };

#define assert_near(got, want, most) assert_true(fabs((got) - (want)) <= (most))

typedef struct sample_gaussian {
    double mean[MAX], covariance[MAX * MAX];
} sample_gaussian;

static double distance(const sample_gaussian *a, const sample_gaussian *b, int n) {
    double out = -1.0;
    variant_error err;
    vt_gaussian first = {a->mean, a->covariance}, second = {b->mean, b->covariance};
    assert_int_equal(vt_frechet_distance(&out, &first, &second, n, &err), VARIANT_OK);
    return out;
}

static double next_number(uint32_t *state) {
    *state = 1664525u * *state + 1013904223u;
    return *state / 4294967296.0 - 0.5;
}

/* The rule of frechet_reference.py. */
static void make_gaussian(sample_gaussian *g, int n, int rank, int decades, uint32_t seed) {
    double a[MAX][MAX];
    for (int i = 0; i < n; ++i) g->mean[i] = next_number(&seed);
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < rank; ++j)
            a[i][j] = next_number(&seed) * pow(10.0, -(double)decades * j / rank);
    for (int i = 0; i < n; ++i)
        for (int k = 0; k < n; ++k) {
            double sum = 0.0;
            for (int j = 0; j < rank; ++j) sum += a[i][j] * a[k][j];
            g->covariance[i * n + k] = sum;
        }
}

static void test_one_dimension(void **state) {
    (void)state;
    /* (m1 - m2)^2 + (s1 - s2)^2 */
    sample_gaussian a = {{1.0}, {9.0}}, b = {{3.5}, {0.25}};
    assert_near(distance(&a, &b, 1), 6.25 + 6.25, 1e-12);
    assert_near(distance(&b, &a, 1), 6.25 + 6.25, 1e-12);
}

static void test_diagonal(void **state) {
    (void)state;
    /* covariances that commute: the distance is the sum over dimensions */
    sample_gaussian a = {0}, b = {0};
    double want = 0.0;
    for (int i = 0; i < 7; ++i) {
        double s1 = i == 3 ? 0.0 : 0.5 + i, s2 = 3.0 - 0.25 * i; /* one variance is zero */
        a.mean[i] = 0.1 * i;
        b.mean[i] = 1.0 - i;
        a.covariance[i * 7 + i] = s1 * s1;
        b.covariance[i * 7 + i] = s2 * s2;
        want += (a.mean[i] - b.mean[i]) * (a.mean[i] - b.mean[i]) + (s1 - s2) * (s1 - s2);
    }
    assert_near(distance(&a, &b, 7), want, 1e-11);
}

static void test_equal(void **state) {
    (void)state;
    sample_gaussian a;
    for (int rank = 1; rank <= MAX; rank += 5) {
        make_gaussian(&a, MAX, rank, 6, 11);
        double d = distance(&a, &a, MAX);
        assert_true(d >= 0.0);
        assert_near(d, 0.0, 1e-6);
    }
}

static void test_scipy(void **state) {
    (void)state;
    static const struct {
        int n, rank, decades;
        uint32_t seed_a, seed_b;
        double want;
    } cases[] = {
        {6, 6, 0, 1, 2, 2.2280404019996833},   /* sqrtm: 2.2280404019996807 */
        {12, 12, 4, 3, 4, 2.881398662487873},  /* sqrtm: 2.881398663476185 */
        {16, 16, 8, 5, 6, 4.5526903867062085}, /* sqrtm: 4.552690370609987 */
        {16, 5, 0, 7, 8, 11.707450836204117},  /* sqrtm: 11.707450655742267 */
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; ++i) {
        sample_gaussian a, b;
        make_gaussian(&a, cases[i].n, cases[i].rank, cases[i].decades, cases[i].seed_a);
        make_gaussian(&b, cases[i].n, cases[i].rank, cases[i].decades, cases[i].seed_b);
        assert_near(distance(&a, &b, cases[i].n), cases[i].want, 2e-7);
        assert_near(distance(&b, &a, cases[i].n), cases[i].want, 2e-7);
    }
}

static void test_refusals(void **state) {
    (void)state;
    double out = 7.0;
    variant_error err;
    sample_gaussian a = {{0.0}, {1.0}}, bad = {{0.0}, {NAN}};
    vt_gaussian good = {a.mean, a.covariance}, other = {bad.mean, bad.covariance};
    assert_int_equal(vt_frechet_distance(&out, &good, &other, 1, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "not finite"));
    assert_int_equal(vt_frechet_distance(&out, &good, &good, 0, &err), VARIANT_E_ARGUMENT);
    assert_true(out == 7.0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_one_dimension), cmocka_unit_test(test_diagonal),
        cmocka_unit_test(test_equal),         cmocka_unit_test(test_scipy),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

/* test_spread.c - the spreads of scores against what they stand for: the standard deviation over many sets of
 * pictures drawn anew, and closed forms. Also: what is refused as no covariance. */
#include <math.h>

#include "core/rng.h"
#include "eval/covariance.h"
#include "eval/moments.h"
#include "eval/spread.h"
#include "fixtures.h"

enum { DIMS = 6 };

/* count samples of a normal distribution: feature j has standard deviation 1 + j / 4, and is `shift` away from 0. */
static float *draw_set(int count, int dims, double shift, uint32_t which) {
    size_t n = (size_t)count * (size_t)dims;
    float *out = malloc(n * sizeof *out);
    assert_non_null(out);
    vt_normal_fill(out, n, 17, which);
    for (size_t i = 0; i < n; ++i) {
        int j = (int)(i % (size_t)dims);
        out[i] = out[i] * (1.0f + 0.25f * (float)j) + (float)shift;
    }
    return out;
}

static double deviation(const double *x, int n) {
    double mean = 0, squares = 0;
    for (int i = 0; i < n; ++i) mean += x[i] / n;
    for (int i = 0; i < n; ++i) squares += (x[i] - mean) * (x[i] - mean);
    return sqrt(squares / (n - 1));
}

static void identity(double *matrix, int dims) {
    for (int i = 0; i < dims; ++i)
        for (int j = 0; j < dims; ++j) matrix[i * dims + j] = i == j;
}

static double distance_of(const float *samples, int count, int dims, const vt_gaussian *real) {
    vt_moments moments;
    double covariance[DIMS * DIMS], out = -1;
    assert_ok(vt_moments_open(&moments, dims, err));
    assert_ok(vt_moments_add(&moments, samples, count, err));
    vt_moments_covariance(&moments, covariance);
    vt_gaussian made = {moments.mean, covariance};
    assert_ok(vt_frechet_distance(&out, &made, real, dims, err));
    vt_moments_close(&moments);
    return out;
}

/* The bootstrap's spread, a mean over some sets, beside the deviation over many sets. */
static void check_frechet(int count, int dims, double shift, double low, double high) {
    enum { SETS = 400, TRIED = 12 };
    double values[SETS], mean = 0, covariance[DIMS * DIMS], zero[DIMS] = {0};
    vt_draws draws = {.count = 60, .seed = 1};
    identity(covariance, dims);
    vt_gaussian real = {zero, covariance};
    for (int i = 0; i < SETS; ++i) {
        float *set = draw_set(count, dims, shift, (uint32_t)i);
        values[i] = distance_of(set, count, dims, &real);
        if (i < TRIED) {
            double spread = -1;
            assert_ok(
                vt_frechet_spread(&spread, set, NULL, count, count, &real, dims, &draws, err));
            mean += spread / TRIED;
        }
        free(set);
    }
    double ratio = mean / deviation(values, SETS);
    if (!(ratio > low && ratio < high))
        fail_msg("%d samples of %d features: spread %g, true %g", count, dims, mean,
                 deviation(values, SETS));
}

static void test_frechet_spread(void **state) {
    (void)state;
    check_frechet(500, 1, 1.0, 0.85, 1.15);
    check_frechet(500, DIMS, 0.5, 0.85, 1.15);
    check_frechet(10 * DIMS, DIMS, 0.5, 0.8, 1.25);
    check_frechet(2 * DIMS, DIMS, 0.5, 0.6, 1.5); /* far too few: still of the right size */
}

/* One feature against N(0, 1): (m^2 + (s - 1)^2) has variance 4 m^2 s^2 / n + 2 (s - 1)^2 s^2 / n. */
static void test_frechet_spread_closed(void **state) {
    (void)state;
    enum { N = 4000 };
    double zero = 0, one = 1, spread = -1, m = 1, s = 2;
    float *set = draw_set(N, 1, 0, 5);
    for (int i = 0; i < N; ++i) set[i] = (float)(s * (double)set[i] + m);
    vt_gaussian real = {&zero, &one};
    vt_draws draws = {.count = 400, .seed = 3};
    double want = sqrt((4 * m * m * s * s + 2 * (s - 1) * (s - 1) * s * s) / N);
    assert_ok(vt_frechet_spread(&spread, set, NULL, N, N, &real, 1, &draws, err));
    assert_true(spread > 0.88 * want && spread < 1.12 * want);
    /* four times as many pictures, of which these are kept: half the spread */
    double half = -1;
    assert_ok(vt_frechet_spread(&half, set, NULL, N, 4 * N, &real, 1, &draws, err));
    assert_true(fabs(half - spread / 2) < 1e-12);
    free(set);
}

/* Classes far apart, as many of each in every set: another set does not move the shares, and neither may a draw. */
static void test_spread_of_classes(void **state) {
    (void)state;
    enum { N = 200, CLASSES = 10, SETS = 300, TRIED = 10 };
    double values[SETS], within = 0, over = 0, covariance[DIMS * DIMS], zero[DIMS] = {0};
    int32_t classes[N], alone[N];
    vt_draws draws = {.count = 60, .seed = 1};
    identity(covariance, DIMS);
    vt_gaussian real = {zero, covariance};
    for (int i = 0; i < N; ++i) {
        classes[i] = 7 - i % CLASSES;
        alone[i] = i;
    }
    for (int i = 0; i < SETS; ++i) {
        float *set = draw_set(N, DIMS, 0.5, (uint32_t)i);
        for (int j = 0; j < N * DIMS; ++j)
            set[j] += 3.0f * (float)((j / DIMS % CLASSES + j % DIMS) % CLASSES);
        values[i] = distance_of(set, N, DIMS, &real);
        if (i < TRIED) {
            double spread = -1, plain = -1, same = -2;
            assert_ok(vt_frechet_spread(&spread, set, classes, N, N, &real, DIMS, &draws, err));
            assert_ok(vt_frechet_spread(&plain, set, NULL, N, N, &real, DIMS, &draws, err));
            assert_ok(vt_frechet_spread(&same, set, alone, N, N, &real, DIMS, &draws, err));
            assert_true(same == plain); /* one of each class: nothing to draw from */
            within += spread / TRIED;
            over += plain / TRIED;
        }
        free(set);
    }
    double truth = deviation(values, SETS);
    if (!(within > 0.8 * truth && within < 1.25 * truth && over > 2 * truth))
        fail_msg("true %g, within classes %g, over all %g", truth, within, over);
}

static void test_same_on_any_threads(void **state) {
    (void)state;
    enum { N = 700 };
    double first[2] = {0}, zero[DIMS] = {0}, covariance[DIMS * DIMS];
    float *set = draw_set(N, DIMS, 0.3, 8), *other = draw_set(N, DIMS, 0.0, 9);
    vt_draws draws = {.count = 16, .seed = 4};
    identity(covariance, DIMS);
    vt_gaussian real = {zero, covariance};
    vt_samples a = {set, N, N}, b = {other, N, N};
    static const int teams[] = {1, 2, 3, 8};
    for (int i = 0; i < 4; ++i) {
        double got[2];
        assert_ok(vt_team_open(&draws.team, teams[i], err));
        assert_ok(vt_frechet_spread(&got[0], set, NULL, N, N, &real, DIMS, &draws, err));
        assert_ok(vt_recall_spread(&got[1], &b, &a, DIMS, 3, &draws, err));
        if (i == 0) memcpy(first, got, sizeof first);
        assert_memory_equal(first, got, sizeof first);
        vt_team_close(&draws.team);
    }
    draws.seed = 5;
    double other_seed;
    assert_ok(vt_frechet_spread(&other_seed, set, NULL, N, N, &real, DIMS, &draws, err));
    assert_true(other_seed != first[0]);
    free(set);
    free(other);
}

/* ---- recall and shares ---- */

static void test_recall_spread(void **state) {
    (void)state;
    enum { N = 300, SETS = 60, TRIED = 10 };
    double values[SETS], mean = 0, precision;
    float *real_set = draw_set(N, DIMS, 0, 1000);
    vt_samples real = {real_set, N, N};
    vt_draws draws = {.count = 60, .seed = 2};
    for (int i = 0; i < SETS; ++i) {
        float *set = draw_set(N, DIMS, 1.0, (uint32_t)i);
        vt_samples made = {set, N, N};
        assert_ok(vt_precision_recall(&precision, &values[i], &real, &made, DIMS, 3, NULL, err));
        if (i < TRIED) {
            double spread = -1;
            assert_ok(vt_recall_spread(&spread, &real, &made, DIMS, 3, &draws, err));
            mean += spread / TRIED;
        }
        free(set);
    }
    double ratio = mean / deviation(values, SETS);
    if (!(ratio > 0.7 && ratio < 1.4))
        fail_msg("spread of recall %g, true %g", mean, deviation(values, SETS));
    double spread = 0;
    vt_samples few = {real_set, 7, 7};
    assert_ok(vt_recall_spread(&spread, &real, &few, DIMS, 3, &draws, err));
    assert_true(isnan(spread));
    free(real_set);
}

static void test_closed_forms(void **state) {
    (void)state;
    assert_true(fabs(vt_share_spread(0.5, 998) - 0.5 / sqrt(1000.0)) < 1e-12);
    assert_true(vt_share_spread(1, 60) > 0.01 && vt_share_spread(1, 60) < 0.03); /* not certain */
    assert_true(fabs(vt_share_spread(0, 60) - vt_share_spread(1, 60)) < 1e-12);
    assert_true(isnan(vt_share_spread(NAN, 60)) && isnan(vt_share_spread(0.5, 0)));
    assert_true(fabs(vt_mean_spread(6, 14, 3) - 1 / sqrt(3.0)) < 1e-12); /* 1, 2, 3 */
    assert_true(vt_mean_spread(6, 12, 3) == 0 && isnan(vt_mean_spread(1, 1, 1)));
}

/* ---- progress ---- */

static bool stop_at_three(void *user, int done, int total) {
    assert_int_equal(total, 50);
    *(int *)user = done;
    return done < 3;
}

static void test_stopped(void **state) {
    (void)state;
    enum { N = 50 };
    double zero = 0, one = 1, spread = 7;
    int done = 0;
    float *set = draw_set(N, 1, 0, 5);
    vt_gaussian real = {&zero, &one};
    vt_draws draws = {.count = 50, .progress = stop_at_three, .user = &done};
    assert_fails(vt_frechet_spread(&spread, set, NULL, N, N, &real, 1, &draws, err),
                 VARIANT_E_STOPPED, "stopped after 3 of 50 draws");
    assert_int_equal(done, 3);
    draws.count = 0;
    assert_ok(vt_frechet_spread(&spread, set, NULL, N, N, &real, 1, &draws, err));
    assert_true(isnan(spread));
    free(set);
}

/* ---- covariances ---- */

/* What a program makes that sums in float32, of fewer samples than features: singular, rounded. */
static void singular_in_float(double *out, int dims, int samples) {
    float *x = draw_set(samples, dims, 3.0, 77);
    for (int j = 0; j < dims; ++j) {
        float mean = 0;
        for (int i = 0; i < samples; ++i) mean += x[i * dims + j];
        for (int i = 0; i < samples; ++i) x[i * dims + j] -= mean / (float)samples;
    }
    for (int a = 0; a < dims; ++a)
        for (int b = 0; b < dims; ++b) {
            float sum = 0;
            for (int i = 0; i < samples; ++i) { /* another order on the other side */
                int at = a < b ? i : samples - 1 - i;
                sum += x[at * dims + a] * x[at * dims + b];
            }
            out[a * dims + b] = (double)(sum / (float)(samples - 1));
        }
    free(x);
}

static void test_covariances(void **state) {
    (void)state;
    enum { D = 200 };
    double *m = malloc(D * D * sizeof *m);
    identity(m, D);
    assert_ok(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err));
    singular_in_float(m, D, D / 2);
    assert_true(m[1] != m[D]);
    assert_ok(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err));
    assert_true(m[1] == m[D]);
    memset(m, 0, D * D * sizeof *m); /* one picture over and over */
    assert_ok(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err));
    m[0] = 1e-300;
    assert_ok(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err));

    identity(m, D);
    m[1] = 0.01;
    assert_fails(
        vt_covariance_check(m, D, VT_FLOAT32_STEP, "s.npz: sigma", err), VARIANT_E_FORMAT,
        "s.npz: sigma is no covariance: it is not symmetric (0.01 at row 0, column 1, and 0");
    identity(m, D);
    m[3 * D + 3] = -0.001;
    assert_fails(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err), VARIANT_E_FORMAT,
                 "smallest eigenvalue is -0.001, the largest 1");
    assert_ok(vt_covariance_check(m, D, VT_FLOAT16_STEP, "x", err)); /* numbers of half precision */
    identity(m, D);
    m[1] = m[D] = 2; /* a correlation above 1 */
    assert_fails(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err), VARIANT_E_FORMAT,
                 "smallest eigenvalue is -1");
    m[5 * D + 7] = NAN;
    assert_fails(vt_covariance_check(m, D, VT_FLOAT32_STEP, "x", err), VARIANT_E_FORMAT,
                 "x holds nan at row 5, column 7");
    free(m);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_frechet_spread),    cmocka_unit_test(test_frechet_spread_closed),
        cmocka_unit_test(test_spread_of_classes), cmocka_unit_test(test_same_on_any_threads),
        cmocka_unit_test(test_recall_spread),     cmocka_unit_test(test_closed_forms),
        cmocka_unit_test(test_stopped),           cmocka_unit_test(test_covariances),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

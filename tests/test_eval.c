/* test_eval.c - scores against closed forms, NumPy and SciPy (tests/eval_reference.py made the constants), on a
 * feature network that reads its features off the picture: 4 pooled features, the logits of 3 classes, 2 spatial
 * features. */
#include <math.h>

#include "core/rng.h"
#include "eval/eval.h"
#include "eval/kernel_distance.h"
#include "eval/neighbours.h"
#include "eval/picture_scores.h"
#include "features/network.h"
#include "fixtures.h"

enum { DIMS = 4, CLASSES = 3, WIDE = 2, SIDE = 3, PIXELS = SIDE * SIDE };

#define NPZ GOLDEN "npz/"

#define assert_near(got, want, most)                                                               \
    do {                                                                                           \
        double got_ = (got), want_ = (want);                                                       \
        if (!(fabs(got_ - want_) <= (most)))                                                       \
            fail_msg("%s: %.17g, expected %.17g within %g", #got, got_, want_, (double)(most));    \
    } while (0)

static variant_status run_fake(vt_features *features, const vt_features_batch *batch,
                               variant_error *err) {
    (void)err;
    (void)features;
    for (int i = 0; i < batch->count; ++i) {
        const float *p = batch->pictures + i * PIXELS;
        if (batch->pooled) memcpy(batch->pooled + i * DIMS, p, DIMS * sizeof *p);
        if (batch->spatial) memcpy(batch->spatial + i * WIDE, p + DIMS + CLASSES, WIDE * sizeof *p);
        if (batch->probabilities)
            vt_features_softmax(p + DIMS, CLASSES, batch->probabilities + i * CLASSES);
    }
    return VARIANT_OK;
}

static vt_features fake = {.info = {.name = "fake",
                                    .side = SIDE,
                                    .channels = 1,
                                    .dims = DIMS,
                                    .spatial_dims = WIDE,
                                    .classes = CLASSES,
                                    .hash = "0123456789abcdef"},
                           .run = run_fake};

/* The rule of eval_reference.py: as float32 in [-0.5, 0.5), then scaled and shifted. */
static float *numbers(size_t count, uint32_t seed, double scale, double shift) {
    float *out = malloc(count * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < count; ++i) {
        seed = 1664525u * seed + 1013904223u;
        out[i] = (float)(scale * (double)(float)(seed / 4294967296.0 - 0.5) + shift);
    }
    return out;
}

/* Pictures that the network is certain to be of class of(i). */
static float *certain(int count, int (*of)(int)) {
    float *out = calloc((size_t)count * PIXELS, sizeof *out);
    assert_non_null(out);
    for (int i = 0; i < count; ++i) out[i * PIXELS + DIMS + of(i)] = 200.0f;
    return out;
}

static vt_eval *open_eval(const vt_reference *reference, int expected, bool labels_match) {
    vt_eval *eval = NULL;
    vt_eval_options options = {.features = &fake,
                               .reference = reference,
                               .expected = expected,
                               .labels_match = labels_match,
                               .draws = {.count = 20, .seed = 1}};
    assert_ok(vt_eval_open(&eval, &options, err));
    return eval;
}

static vt_eval_scores score(const vt_reference *reference, const float *pictures, int count,
                            int expected) {
    vt_eval *eval = open_eval(reference, expected, false);
    vt_eval_scores out;
    for (int first = 0; first < count; first += 7)
        assert_ok(vt_eval_add(eval, pictures + first * PIXELS, NULL,
                              count - first < 7 ? count - first : 7, SIDE, SIDE, 1, err));
    assert_ok(vt_eval_scores_get(eval, &out, err));
    vt_eval_close(&eval);
    assert_null(eval);
    return out;
}

static vt_reference reference_of(const float *pictures, int count) {
    vt_reference out;
    assert_ok(vt_reference_open(&out, &fake, "real", SIDE, 1, err));
    for (int first = 0; first < count; first += 11)
        assert_ok(vt_reference_add(&out, &fake, pictures + first * PIXELS,
                                   count - first < 11 ? count - first : 11, err));
    return out;
}

/* ---- moments ---- */

static void check_moments(double mean, int block) {
    enum { N = 1000, D = 5 };
    float *x = numbers(N * D, 9, 1.0, mean);
    vt_moments got;
    double want[D] = {0}, scatter[D][D] = {{0}}, covariance[D * D];
    for (int i = 0; i < N; ++i)
        for (int a = 0; a < D; ++a) want[a] += (double)x[i * D + a] / N;
    for (int i = 0; i < N; ++i)
        for (int a = 0; a < D; ++a)
            for (int b = 0; b < D; ++b)
                scatter[a][b] +=
                    ((double)x[i * D + a] - want[a]) * ((double)x[i * D + b] - want[b]);
    assert_ok(vt_moments_open(&got, D, err));
    for (int first = 0; first < N; first += block)
        assert_ok(vt_moments_add(&got, x + first * D, N - first < block ? N - first : block, err));
    assert_int_equal(got.count, N);
    vt_moments_covariance(&got, covariance);
    for (int a = 0; a < D; ++a) {
        assert_near(got.mean[a], want[a], 1e-12 * (1 + fabs(mean)));
        for (int b = 0; b < D; ++b) {
            assert_near(got.scatter[a * D + b], scatter[a][b],
                        (mean > 0 ? 1e-11 : 1e-12) * scatter[a][a]);
            assert_near(covariance[a * D + b], scatter[a][b] / (N - 1), 1e-12);
        }
    }
    vt_moments_close(&got);
    free(x);
}

static void test_moments(void **state) {
    (void)state;
    static const int blocks[] = {1, 7, 255, 256, 257, 1000};
    for (size_t i = 0; i < sizeof blocks / sizeof *blocks; ++i) {
        check_moments(0, blocks[i]);
        check_moments(1e4, blocks[i]);
    }
    vt_moments one;
    const float sample[2] = {3, -4};
    double covariance[4] = {9, 9, 9, 9};
    assert_ok(vt_moments_open(&one, 2, err));
    assert_ok(vt_moments_add(&one, sample, 1, err));
    assert_ok(vt_moments_add(&one, sample, 0, err));
    vt_moments_covariance(&one, covariance);
    assert_true(one.mean[0] == 3 && one.mean[1] == -4 && one.count == 1);
    for (int i = 0; i < 4; ++i) assert_true(covariance[i] == 0);
    vt_moments_close(&one);
}

/* ---- inception score ---- */

static int always_one(int i) {
    (void)i;
    return 1;
}
static int by_turns(int i) {
    return i % CLASSES;
}
static int sorted(int i) {
    return i / 1000;
}

static void test_inception_score(void **state) {
    (void)state;
    float *one = certain(3000, always_one), *turns = certain(3000, by_turns),
          *in_order = certain(3000, sorted), *any = numbers(30 * PIXELS, 6, 0.5, 0.25);
    vt_eval_scores s = score(NULL, one, 3000, 3000);
    assert_near(s.inception_score, 1, 1e-12);
    assert_near(s.inception_spread, 0, 1e-12);
    /* sorted by class: every split has a third of each */
    s = score(NULL, in_order, 3000, 3000);
    assert_near(s.inception_score, CLASSES, 1e-12);
    assert_near(s.inception_spread, 0, 1e-12);
    s = score(NULL, turns, 3000, 3000);
    assert_near(s.inception_score, CLASSES, 0.1);
    assert_true(s.inception_spread > 0 && s.inception_spread < 0.1);
    /* below 20 samples there is one split, which makes it exact */
    s = score(NULL, turns, 18, 18);
    assert_near(s.inception_score, CLASSES, 1e-12);
    assert_true(s.inception_spread == 0);
    s = score(NULL, any, 30, 10);
    assert_near(s.inception_score, 1.0076928771792759, 1e-7);
    assert_true(s.inception_spread == 0);
    double whole = s.inception_score;
    s = score(NULL, any, 30, 30);
    assert_true(s.inception_spread > 0 && s.inception_score < whole);
    assert_true(isnan(s.frechet) && isnan(s.spatial_frechet) && isnan(s.precision) &&
                isnan(s.recall) && isnan(s.class_share));
    free(one);
    free(turns);
    free(in_order);
    free(any);
}

static void test_class_share(void **state) {
    (void)state;
    enum { N = 10 };
    float *turns = certain(N, by_turns);
    int32_t labels[N];
    vt_eval_scores s;
    for (int i = 0; i < N; ++i) labels[i] = i < 7 ? by_turns(i) : (by_turns(i) + 1) % CLASSES;
    for (int match = 0; match < 2; ++match) {
        vt_eval *eval = open_eval(NULL, N, match);
        assert_ok(vt_eval_add(eval, turns, labels, N, SIDE, SIDE, 1, err));
        assert_ok(vt_eval_add(eval, turns, NULL, 5, SIDE, SIDE, 1, err)); /* they are not counted */
        assert_ok(vt_eval_scores_get(eval, &s, err));
        if (match)
            assert_near(s.class_share, 0.7, 1e-12);
        else
            assert_true(isnan(s.class_share));
        vt_eval_close(&eval);
    }
    free(turns);
}

/* ---- precision and recall ---- */

static void precision_recall(double *p, double *r, const float *real, int reals, const float *made,
                             int mades, int dims, int k) {
    vt_samples a = {real, reals, reals}, b = {made, mades, mades};
    assert_ok(vt_precision_recall(p, r, &a, &b, dims, k, NULL, err));
}

static void test_precision_recall(void **state) {
    (void)state;
    double p = -1, r = -1;
    /* a line of real samples, one apart; k = 1: every ball reaches 1 */
    static const float line[] = {0, 1, 2, 3}, near[] = {0.5f, 1.5f, 4}, far[] = {90, 95, 99};
    precision_recall(&p, &r, line, 4, line, 4, 1, 1);
    assert_true(p == 1 && r == 1);
    precision_recall(&p, &r, line, 4, near, 3, 1, 1); /* reach 1, 1, 2.5: all of the line */
    assert_true(p == 1 && r == 1);
    precision_recall(&p, &r, line, 4, far, 3, 1, 1);
    assert_true(p == 0 && r == 0);
    static const float one_in[] = {3.5f, 50, 51, 52}; /* reach 46.5, 1, 1, 1: covers 0 to 3 */
    precision_recall(&p, &r, line, 4, one_in, 4, 1, 1);
    assert_true(p == 0.25 && r == 1);
    precision_recall(&r, &p, one_in, 4, line, 4, 1, 1); /* the other way round */
    assert_true(p == 0.25 && r == 1);

    /* against SciPy, and far from the origin, which must change nothing but the rounding of float32 */
    float *real = numbers(60 * 4, 3, 1, 0), *made = numbers(40 * 4, 4, 0.8, 0.2);
    precision_recall(&p, &r, real, 60, made, 40, 4, 3);
    assert_near(p, 0.8, 1e-12);
    assert_near(r, 0.68333333333333335, 1e-12);
    for (int i = 0; i < 60 * 4; ++i) real[i] += 256;
    for (int i = 0; i < 40 * 4; ++i) made[i] += 256;
    precision_recall(&p, &r, real, 60, made, 40, 4, 3);
    assert_near(p, 0.8, 0.03);
    assert_near(r, 0.68333333333333335, 0.03);
    vt_samples few = {real, 3, 3}, enough = {made, 4, 4};
    assert_fails(vt_precision_recall(&p, &r, &few, &enough, 4, 3, NULL, err), VARIANT_E_ARGUMENT,
                 "more than 3");
    assert_fails(vt_precision_recall(&p, &r, &enough, &few, 4, 3, NULL, err), VARIANT_E_ARGUMENT,
                 "more than 3");
    free(real);
    free(made);
}

/* ---- kernel distance ---- */

static double kernel(const float *x, const float *y) {
    double product = 0;
    for (int j = 0; j < DIMS; ++j) product += (double)x[j] * (double)y[j];
    return pow(product / DIMS + 1, 3);
}

/* Of the n samples at these places, pair by pair as the paper has it. */
static double plain_kernel_distance(const float *x, const float *y, const uint32_t *of_x,
                                    const uint32_t *of_y, int n) {
    double own = 0, cross = 0;
    for (int i = 0; i < n; ++i)
        for (int j = 0; j < n; ++j) {
            const float *one = x + of_x[i] * DIMS, *other = y + of_y[j] * DIMS;
            if (i != j) own += kernel(one, x + of_x[j] * DIMS) + kernel(other, y + of_y[i] * DIMS);
            cross += kernel(one, other);
        }
    return own / n / (n - 1) - 2 * cross / n / n;
}

/* Ten classes one after another here, and sorted there: the same pictures, whatever the blocks. */
static void many_classes(void) {
    enum { EACH = 60, ALL = 10 * EACH };
    float *turns = calloc((size_t)ALL * DIMS, sizeof *turns),
          *sorted = calloc((size_t)ALL * DIMS, sizeof *sorted);
    double near, far, spread;
    for (int i = 0; i < ALL; ++i) {
        turns[i * DIMS] = (float)(i % 10);
        sorted[i * DIMS] = (float)(i / EACH);
    }
    const vt_samples a = {sorted, ALL, ALL}, b = {turns, ALL, ALL};
    assert_ok(vt_kernel_distance(&near, &spread, &a, &b, DIMS, err));
    assert_true(fabs(near) < 3 * spread);
    for (int i = 0; i < ALL; ++i) turns[i * DIMS] = (float)(i % 5); /* half of the classes */
    assert_ok(vt_kernel_distance(&far, &spread, &a, &b, DIMS, err));
    assert_true(far > 3 * fabs(near) && far > 3 * spread);
    free(turns);
    free(sorted);
}

static void test_kernel_distance(void **state) {
    (void)state;
    enum { COUNT = 240 };
    double got = -1, spread = -1;
    float *real = numbers((size_t)COUNT * DIMS, 3, 2, 0),
          *made = numbers((size_t)COUNT * DIMS, 4, 1.6, 0.2),
          *same = numbers((size_t)COUNT * DIMS, 5, 2, 0);
    uint32_t orders[2][COUNT];
    vt_samples a = {real, 60, 60}, b = {made, 60, 60};
    assert_ok(vt_kernel_distance(&got, &spread, &a, &b, DIMS, err)); /* one block: in any order */
    for (uint32_t i = 0; i < 60; ++i) orders[0][i] = i;
    assert_near(got, plain_kernel_distance(real, made, orders[0], orders[0], 60), 1e-12);
    assert_true(isnan(spread) && got > 0.01);
    a = (vt_samples){real, COUNT, COUNT};
    b = (vt_samples){made, COUNT, COUNT};
    assert_ok(vt_kernel_distance(&got, &spread, &a, &b, DIMS, err)); /* two of 120, drawn */
    for (uint32_t i = 0; i < 2; ++i) vt_permutation(orders[i], COUNT, 0, i);
    const double one = plain_kernel_distance(real, made, orders[0], orders[1], COUNT / 2),
                 two = plain_kernel_distance(real, made, orders[0] + COUNT / 2,
                                             orders[1] + COUNT / 2, COUNT / 2);
    assert_near(got, (one + two) / 2, 1e-12);
    assert_near(spread, fabs(one - two) / 2, 1e-12);
    b.features = same; /* without bias: about 0 of two sets that are drawn alike, also below it */
    double near, wide;
    assert_ok(vt_kernel_distance(&near, &wide, &a, &b, DIMS, err));
    assert_true(fabs(near) < 0.1 * got);
    a.count = b.count = 30; /* every eighth of those that are held */
    assert_ok(vt_kernel_distance(&got, &spread, &a, &b, DIMS, err));
    for (uint32_t i = 0; i < 30; ++i) orders[0][i] = 8 * i;
    assert_near(got, plain_kernel_distance(real, same, orders[0], orders[0], 30), 1e-12);
    b.count = 29;
    assert_fails(vt_kernel_distance(&got, &spread, &a, &b, DIMS, err), VARIANT_E_ARGUMENT,
                 "29 samples from 30");
    a.count = b.count = 1;
    assert_fails(vt_kernel_distance(&got, &spread, &a, &b, DIMS, err), VARIANT_E_ARGUMENT,
                 "2 or more");
    many_classes();
    free(real);
    free(made);
    free(same);
}

/* A stream keeps any of its samples, however it is cut. */
static void test_keep(void **state) {
    (void)state;
    enum { MOST = 100, N = 10000 };
    static float stream[N], kept[MOST], again[MOST];
    int count = 0, other = 0, first_half = 0;
    for (int i = 0; i < N; ++i) stream[i] = (float)i;
    vt_keep(kept, &count, MOST, 0, stream, 60, 1);
    assert_int_equal(count, 60);
    assert_memory_equal(kept, stream, 60 * sizeof *kept);
    vt_keep(kept, &count, MOST, 60, stream + 60, N - 60, 1);
    for (int i = 0; i < N; ++i) vt_keep(again, &other, MOST, i, stream + i, 1, 1);
    assert_int_equal(count, MOST);
    assert_int_equal(other, MOST);
    assert_memory_equal(kept, again, sizeof kept);
    for (int i = 0; i < MOST; ++i) {
        first_half += kept[i] < N / 2;
        for (int j = 0; j < i; ++j) assert_true(kept[i] != kept[j]);
    }
    assert_in_range(first_half, 30, 70); /* four standard deviations */
}

/* A data set that comes sorted by class, beside a few pictures of all classes. */
static void test_sorted_reference(void **state) {
    (void)state;
    enum { N = 12000, MADE = 90 };
    float *real = numbers((size_t)N * PIXELS, 7, 1, 0);
    float *made = numbers((size_t)MADE * PIXELS, 8, 1, 0);
    for (int i = 0; i < N; ++i) real[i * PIXELS] += (float)(100 * (i / (N / 3)));
    for (int i = 0; i < MADE; ++i) made[i * PIXELS] += (float)(100 * (i % 3));
    vt_reference reference = reference_of(real, N);
    assert_int_equal(reference.count, N);
    assert_int_equal(reference.kept_count, VT_EVAL_KEPT);
    vt_eval_scores s = score(&reference, made, MADE, MADE);
    assert_int_equal(s.neighbours_of, MADE);
    assert_true(s.precision > 0.6 && s.recall > 0.6);
    vt_reference_close(&reference);
    free(real);
    free(made);
}

/* ---- the Frechet distance of streams, reference files ---- */

static void test_frechet(void **state) {
    (void)state;
    float *real = numbers(50 * PIXELS, 5, 1, 0), *made = numbers(30 * PIXELS, 6, 0.5, 0.25);
    vt_reference reference = reference_of(real, 50);
    vt_eval_scores s = score(&reference, made, 30, 30);
    assert_near(s.frechet, 0.3966692769712758, 1e-6);
    assert_true(s.frechet_spread > 0 && s.spatial_frechet_spread > 0 && s.precision_spread > 0 &&
                s.recall_spread >= 0 && s.draws == 20);
    assert_near(s.spatial_frechet, 0.22826761158112538, 1e-6);
    assert_int_equal(s.count, 30);
    assert_int_equal(s.reference_count, 50);
    assert_int_equal(s.warning_count, 2); /* few for the distance, and for neighbours */
    assert_non_null(strstr(s.warnings[0], "30 samples for 4 features, fewer than 10 times"));
    assert_non_null(strstr(s.warnings[1], "30 samples a side are rough"));
    s = score(&reference, real, 50, 50);
    assert_near(s.frechet, 0, 1e-7);
    assert_true(s.precision == 1 && s.recall == 1);
    /* all twice as large: |mean|^2 + trace of the covariance */
    double want = 0;
    for (int i = 0; i < DIMS; ++i)
        want += reference.pooled.mean[i] * reference.pooled.mean[i] +
                reference.pooled.scatter[i * DIMS + i] / 49;
    for (int i = 0; i < 50 * PIXELS; ++i) real[i] *= 2;
    s = score(&reference, real, 50, 50);
    assert_near(s.frechet, want, 1e-7);
    vt_reference_close(&reference);
    free(real);
    free(made);
}

static void test_warnings_and_refusals(void **state) {
    (void)state;
    float *real = numbers(50 * PIXELS, 5, 1, 0);
    vt_eval_scores s;
    vt_reference reference = reference_of(real, 50), small = reference_of(real, DIMS);
    s = score(&reference, real, DIMS, DIMS); /* as many as features */
    assert_non_null(strstr(s.warnings[0], "4 samples for 4 features: the covariance is singular"));
    s = score(&reference, real, DIMS + 1, DIMS + 1);
    assert_non_null(strstr(s.warnings[0], "5 samples for 4 features, fewer"));
    s = score(&reference, real, 40, 40); /* ten times the features on both sides */
    assert_int_equal(s.warning_count, 1);
    assert_non_null(strstr(s.warnings[0], "precision and recall"));
    s = score(&small, real, 50, 50);
    assert_non_null(strstr(s.warnings[0], "4 real samples for 4 features: the covariance"));
    assert_int_equal(s.neighbours_of, 4);
    s = score(&reference, real, 3, 3); /* too few for three neighbours */
    assert_true(isnan(s.precision) && s.neighbours_of == 0);

    vt_eval *eval = open_eval(&reference, 10, false);
    assert_fails(vt_eval_add(eval, real, NULL, 1, SIDE, SIDE + 1, 1, err), VARIANT_E_MISMATCH,
                 "a reference of 3 x 3 pictures with 1 channels, but these are 4 x 3 with 1");
    assert_fails(vt_eval_scores_get(eval, &s, err), VARIANT_E_ARGUMENT, "at least 2");
    assert_ok(vt_eval_add(eval, real, NULL, 1, SIDE, SIDE, 1, err));
    assert_fails(vt_eval_scores_get(eval, &s, err), VARIANT_E_ARGUMENT, "at least 2");
    real[0] = NAN;
    real[0] = 0.5f;
    real[PIXELS] = NAN;
    assert_fails(vt_eval_add(eval, real, NULL, 3, SIDE, SIDE, 1, err), VARIANT_E_MODEL,
                 "picture 3 of those judged: its features in fake are not finite");
    assert_int_equal(vt_features_bad_picture(&fake), 1);
    assert_fails(vt_reference_add(&small, &fake, real, 3, err), VARIANT_E_MODEL,
                 "real: picture 6: its features in fake are not finite");
    real[PIXELS] = INFINITY;
    vt_eval_close(&eval);
    vt_reference_close(&reference);
    vt_reference_close(&small);
    free(real);
}

static void assert_same_scores(const vt_eval_scores *a, const vt_eval_scores *b) {
    assert_true(a->frechet == b->frechet && a->spatial_frechet == b->spatial_frechet);
    assert_true(a->precision == b->precision && a->recall == b->recall);
    assert_true(a->count == b->count && a->reference_count == b->reference_count);
    assert_true(a->neighbours_of == b->neighbours_of && a->inception_score == b->inception_score);
}

static void test_saved_reference(void **state) {
    (void)state;
    char folder[64], path[96], torn[96];
    float *real = numbers(50 * PIXELS, 5, 1, 0), *made = numbers(30 * PIXELS, 6, 0.5, 0.25);
    vt_reference reference = reference_of(real, 50), again;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/real.safetensors", folder);
    snprintf(torn, sizeof torn, "%s/torn.safetensors", folder);
    assert_ok(vt_reference_save(&reference, path, err));
    assert_ok(vt_reference_load(&again, &fake, path, err));
    assert_int_equal(again.side, SIDE);
    assert_int_equal(again.channels, 1);
    vt_eval_scores a = score(&reference, made, 30, 30), b = score(&again, made, 30, 30);
    assert_same_scores(&a, &b);
    vt_reference_close(&again);

    vt_features other = fake;
    strcpy(other.info.hash, "fedcba9876543210");
    assert_fails(vt_reference_load(&again, &other, path, err), VARIANT_E_MISMATCH,
                 "statistics of the network fake (0123456789abcdef)");
    assert_fails(vt_reference_load(&again, &fake, GOLDEN "sampling.safetensors", err),
                 VARIANT_E_FORMAT, "not reference statistics");
    assert_fails(vt_reference_load(&again, &fake, folder, err), VARIANT_E_IO, folder);

    /* torn anywhere it is an error; nothing is read past its end */
    static char bytes[65536];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t size = fread(bytes, 1, sizeof bytes, file);
    fclose(file);
    assert_in_range(size, 100, sizeof bytes - 1);
    for (size_t length = 0; length < size; length += 13) {
        variant_error error;
        file = fopen(torn, "wb");
        assert_int_equal(fwrite(bytes, 1, length, file), length);
        fclose(file);
        assert_int_not_equal(vt_reference_load(&again, &fake, torn, &error), VARIANT_OK);
    }
    vt_reference_close(&reference);
    remove_folder(folder);
    free(real);
    free(made);
}

/* Of pictures resized one way, and asked for another; files of versions that knew one way. */
static void test_resized_reference(void **state) {
    (void)state;
    char folder[64], path[96];
    float *real = numbers(50 * PIXELS, 5, 1, 0);
    vt_features resizing = fake;
    resizing.info.resizes = true;
    resizing.info.resize = VT_RESIZE_TENSORFLOW;
    vt_reference reference, again;
    make_folder(folder);
    snprintf(path, sizeof path, "%s/real.safetensors", folder);
    assert_ok(vt_reference_open(&reference, &resizing, "real", SIDE, 1, err));
    assert_ok(vt_reference_add(&reference, &resizing, real, 50, err));
    assert_ok(vt_reference_save(&reference, path, err));
    assert_true(vt_reference_is(path) && vt_reference_is(NPZ "statistics.npz"));
    assert_false(vt_reference_is(folder) || vt_reference_is(NPZ "others.npz"));
    assert_ok(vt_reference_load(&again, &resizing, path, err));
    vt_reference_close(&again);
    resizing.info.resize = VT_RESIZE_PYTORCH;
    assert_fails(vt_reference_load(&again, &resizing, path, err), VARIANT_E_MISMATCH,
                 "resized as tensorflow does, but resize is pytorch");
    vt_reference_close(&reference);
    remove_folder(folder);
    free(real);
}

/* Statistics that NumPy wrote of the same samples. */
static void test_numpy_reference(void **state) {
    (void)state;
    float *made = numbers(30 * PIXELS, 6, 0.5, 0.25);
    vt_reference reference;
    assert_ok(vt_reference_load(&reference, &fake, NPZ "statistics.npz", err));
    vt_eval_scores s = score(&reference, made, 30, 30);
    assert_near(s.frechet, 0.3966692769712758, 1e-6);
    assert_true(s.frechet_spread > 0 && s.spatial_frechet_spread > 0 && isnan(s.precision_spread));
    assert_near(s.spatial_frechet, 0.22826761158112538, 1e-6);
    assert_true(isnan(s.precision) && s.reference_count == 0);
    vt_reference_close(&reference);
    assert_ok(vt_reference_load(&reference, &fake, NPZ "pooled.npz", err)); /* float32, no mu_s */
    s = score(&reference, made, 30, 30);
    assert_near(s.frechet, 0.3966692769712758, 1e-6);
    assert_true(s.frechet_spread > 0 && isnan(s.recall_spread));
    assert_true(isnan(s.spatial_frechet));
    vt_reference_close(&reference);

    vt_features wide = fake;
    wide.info.dims = 5;
    assert_fails(vt_reference_load(&reference, &wide, NPZ "statistics.npz", err),
                 VARIANT_E_MISMATCH, "mu of 4 features, but the network has 5");
    wide = fake;
    wide.info.spatial_dims = 3;
    assert_fails(vt_reference_load(&reference, &wide, NPZ "statistics.npz", err),
                 VARIANT_E_MISMATCH, "mu_s of 2 features, but the network has 3");
    assert_fails(vt_reference_load(&reference, &fake, NPZ "others.npz", err), VARIANT_E_FORMAT,
                 "no array mu");
    free(made);
}

/* ---- names; pictures beside each other ---- */

static void test_names(void **state) {
    (void)state;
    char name[96];
    vt_features_info inception = {.name = "inception-2015-12-05", .inception = true};
    vt_features_info formula = {.name = "inception-synthetic", .inception = false};
    vt_eval_name(name, sizeof name, "FID", &inception);
    assert_string_equal(name, "FID");
    vt_eval_name(name, sizeof name, "sFID", &formula);
    assert_string_equal(name, "sFID(inception-synthetic)");
    vt_eval_scores s = {.count = 30,
                        .frechet = 1.5,
                        .spatial_frechet = NAN,
                        .inception_score = 2,
                        .precision = NAN,
                        .recall = NAN,
                        .class_share = NAN};
    cJSON *json = vt_eval_scores_json(&s, &formula, NULL);
    assert_non_null(json);
    assert_string_equal(cJSON_GetObjectItem(json, "name")->valuestring, "FID(inception-synthetic)");
    assert_true(cJSON_GetObjectItem(json, "frechet")->valuedouble == 1.5);
    assert_true(cJSON_GetObjectItem(json, "samples")->valuedouble == 30);
    assert_null(cJSON_GetObjectItem(json, "spatial_frechet"));
    assert_null(cJSON_GetObjectItem(json, "precision"));
    assert_null(cJSON_GetObjectItem(json, "neighbours"));
    assert_null(cJSON_GetObjectItem(json, "reference"));
    assert_null(cJSON_GetObjectItem(json, "warning"));
    cJSON_Delete(json);
}

static void test_picture_scores(void **state) {
    (void)state;
    enum { H = 17, W = 13, C = 3, N = H * W * C };
    float *a = numbers(N, 1, 1, 0.5), *b = numbers(N, 2, 0.3, 0), *flipped = malloc(N * sizeof *a);
    assert_non_null(flipped);
    for (int i = 0; i < N; ++i) {
        b[i] = a[i] + b[i] < 0 ? 0 : a[i] + b[i] > 1 ? 1 : a[i] + b[i];
        flipped[i] = 1 - a[i];
    }
    assert_near(vt_psnr(a, b, N), 21.475452897910539, 1e-5);
    assert_near(vt_ssim(a, b, H, W, C), 0.95732758165476683, 1e-6);
    assert_near(vt_ssim(b, a, H, W, C), 0.95732758165476683, 1e-6);
    assert_near(vt_psnr(a, a, N), 100, 1e-9);
    assert_near(vt_ssim(a, a, H, W, C), 1, 1e-12);
    assert_true(vt_ssim(a, flipped, H, W, C) < 0);
    /* black beside white: 0 dB */
    memset(a, 0, N * sizeof *a);
    for (int i = 0; i < N; ++i) b[i] = 1;
    assert_near(vt_psnr(a, b, N), 0, 1e-12);
    assert_near(vt_ssim(a, b, H, W, C), 1e-4 / (1 + 1e-4), 1e-12);
    assert_true(isnan(vt_ssim(a, b, 10, W, C)) && isnan(vt_ssim(a, b, H, 10, C)));
    free(a);
    free(b);
    free(flipped);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_moments),
        cmocka_unit_test(test_inception_score),
        cmocka_unit_test(test_class_share),
        cmocka_unit_test(test_precision_recall),
        cmocka_unit_test(test_kernel_distance),
        cmocka_unit_test(test_keep),
        cmocka_unit_test(test_sorted_reference),
        cmocka_unit_test(test_frechet),
        cmocka_unit_test(test_warnings_and_refusals),
        cmocka_unit_test(test_saved_reference),
        cmocka_unit_test(test_resized_reference),
        cmocka_unit_test(test_numpy_reference),
        cmocka_unit_test(test_names),
        cmocka_unit_test(test_picture_scores),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

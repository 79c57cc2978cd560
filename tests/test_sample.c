/* test_sample.c - sampling against a twin that sorts the vocabulary, over vocabularies of all
 * sizes, with ties, infinities and NaN; and the very tokens that seeds gave before. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/rng.h"
#include "engine/sample.h"

enum { LARGEST = 16384, GUARD = 16 };

/* Sums in another order differ in their last digits: so near to a bound either side is right. */
#define MARGIN 1e-11

static uint64_t draws;

static double uniform(void) {
    return vt_uniform(5, VT_RNG_INIT, (uint32_t)draws++, 0, 0);
}

/* Near normal, of integers and exact sums alone, so the same wherever the test runs. */
static float spread_evenly(double width) {
    double sum = 0.0;
    for (int i = 0; i < 4; ++i) sum += uniform();
    return (float)((sum - 2.0) * width);
}

/* ---- the twin ---- */

typedef struct twin {
    float logits[LARGEST];
    bool close; /* a decision lay within MARGIN */
} twin;

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

static double weight(float logit, float peak) {
    return logit == peak ? 1.0 : exp((double)logit - (double)peak);
}

static int sort_logits(const float *logits, int vocab, float *sorted) {
    int count = 0;
    for (int i = 0; i < vocab; ++i)
        if (logits[i] > -INFINITY) sorted[count++] = logits[i];
    qsort(sorted, (size_t)count, sizeof *sorted, descending);
    return count;
}

static void filter_sorted(twin *t, int vocab, int top_k, float top_p) {
    static float sorted[LARGEST];
    for (int i = 0; i < vocab; ++i)
        if (isnan(t->logits[i])) t->logits[i] = -INFINITY;
    int count = sort_logits(t->logits, vocab, sorted);
    if (top_k > 0 && top_k < count) {
        float threshold = sorted[top_k - 1];
        for (int i = 0; i < vocab; ++i)
            if (t->logits[i] < threshold) t->logits[i] = -INFINITY;
        count = sort_logits(t->logits, vocab, sorted);
    }
    if (!(top_p > 0.0f && top_p < 1.0f) || count == 0) return;
    double total = 0.0, cumulated = 0.0;
    for (int i = 0; i < count; ++i) total += weight(sorted[i], sorted[0]);
    double budget = (1.0 - (double)top_p) * total;
    int cut = count - 1;
    for (; cut > 0; --cut) {
        cumulated += weight(sorted[cut], sorted[0]);
        if (fabs(cumulated - budget) < MARGIN * total && cumulated != budget) t->close = true;
        if (cumulated > budget) break;
    }
    int ties = 0;
    for (int i = 0; i <= cut; ++i) ties += sorted[i] == sorted[cut];
    for (int i = vocab - 1; i >= 0; --i)
        if (t->logits[i] < sorted[cut] || (t->logits[i] == sorted[cut] && ties-- <= 0))
            t->logits[i] = -INFINITY;
}

/* Of filtered logits. */
static int32_t draw_sorted(twin *t, int vocab, double u) {
    float peak = -INFINITY;
    double total = 0.0;
    int32_t last = 0;
    for (int i = 0; i < vocab; ++i) peak = fmaxf(peak, t->logits[i]);
    for (int i = 0; i < vocab; ++i)
        if (t->logits[i] > -INFINITY) total += weight(t->logits[i], peak);
    double point = total * u;
    for (int32_t i = 0; i < vocab; ++i) {
        if (!(t->logits[i] > -INFINITY)) continue;
        double w = weight(t->logits[i], peak);
        point -= w;
        if (fabs(point) < MARGIN * total && w > 0.0) t->close = true;
        if (w > 0.0) last = i;
        if (point < 0.0) break;
    }
    return last;
}

/* ---- the check ---- */

typedef struct tally {
    int cases, close;
} tally;

static void check_case(const float *source, int vocab, int top_k, float top_p, tally *tally) {
    static twin want;
    size_t bytes = (size_t)vocab * sizeof(float);
    float *logits = malloc(bytes), *filtered = malloc(bytes);
    unsigned char *scratch = malloc(bytes + GUARD);
    assert_true(logits && filtered && scratch);
    memset(scratch, 0xa5, bytes + GUARD);
    memcpy(want.logits, source, bytes);
    memcpy(filtered, source, bytes);
    memcpy(logits, source, bytes);
    vt_sampler sampler = {.seed = 11, .top_k = top_k, .top_p = top_p};
    uint32_t at = (uint32_t)tally->cases++;

    want.close = false;
    filter_sorted(&want, vocab, top_k, top_p);
    vt_filter_top(filtered, vocab, top_k, top_p, scratch);
    bool close = want.close;
    if (!close && memcmp(want.logits, filtered, bytes) != 0) {
        int i = 0;
        while (memcmp(&want.logits[i], &filtered[i], sizeof(float)) == 0) ++i;
        fail_msg("case %u: vocabulary %d, top k %d, top p %g: logit %d (%g) is %g, expected %g", at,
                 vocab, top_k, (double)top_p, i, (double)source[i], (double)filtered[i],
                 (double)want.logits[i]);
    }
    int32_t token = vt_sample_token(&sampler, logits, vocab, at, 3, 7, scratch);
    int32_t expected = draw_sorted(&want, vocab, vt_uniform(11, VT_RNG_SAMPLE, at, 3, 7));
    assert_in_range(token, 0, vocab - 1);
    assert_memory_equal(logits, filtered, bytes);
    if (!want.close && token != expected)
        fail_msg("case %u: vocabulary %d, top k %d, top p %g: token %d, expected %d", at, vocab,
                 top_k, (double)top_p, token, expected);
    for (int i = 0; i < GUARD; ++i) assert_int_equal(scratch[bytes + (size_t)i], 0xa5);
    tally->close += want.close;
    free(logits);
    free(filtered);
    free(scratch);
}

static void check_filters(const float *logits, int vocab, tally *tally) {
    const int ks[] = {0, 1, 2, vocab / 5 + 1, vocab - 1, vocab, 2 * vocab};
    const float ps[] = {0.0f, 1e-6f, 0.3f, 0.5f, 0.96f, 0.99999f, 1.0f};
    for (size_t k = 0; k < sizeof ks / sizeof *ks; ++k)
        for (size_t p = 0; p < sizeof ps / sizeof *ps; ++p)
            check_case(logits, vocab, ks[k], ps[p], tally);
}

static const int sizes[] = {1, 2, 3, 15, 16, 17, 63, 257, 1000, 4096, 16384};
enum { SIZES = sizeof sizes / sizeof *sizes };

/* Nearly all cases must have been decided, or the comparison shows nothing. */
static void assert_decided(const tally *tally) {
    assert_true(tally->cases > 0);
    assert_true(tally->close * 50 <= tally->cases);
}

static void run_kind(float (*make)(int i), void (*place)(float *logits, int vocab)) {
    static float logits[LARGEST];
    tally tally = {0};
    for (int s = 0; s < SIZES; ++s) {
        for (int i = 0; i < sizes[s]; ++i) logits[i] = make(i);
        if (place) place(logits, sizes[s]);
        check_filters(logits, sizes[s], &tally);
    }
    assert_decided(&tally);
}

static float make_plain(int i) {
    (void)i;
    return spread_evenly(4.0);
}
static float make_peaked(int i) {
    return i % 97 == 5 ? spread_evenly(20.0) : spread_evenly(2.0);
}
static float make_far(int i) { /* most weights underflow */
    return i % 2 ? spread_evenly(3000.0) : spread_evenly(3e38);
}
static float make_tiny(int i) { /* subnormals and both zeros */
    return i % 3 ? (float)((uniform() - 0.5) * 1e-42) : i % 2 ? 0.0f : -0.0f;
}
static float make_powers(int i) { /* spread over all exponents */
    return (i % 2 ? 1.0f : -1.0f) * ldexpf((float)uniform() + 1.0f, (int)(uniform() * 240) - 120);
}
static float make_crowded(int i) { /* floats next to each other */
    (void)i;
    return 7.0f + (float)(int)(uniform() * 300) * 0x1p-21f;
}
static float make_masked(int i) {
    return i % 5 == 4 ? -INFINITY : i % 7 == 1 ? -0x1.fffffep127f : spread_evenly(4.0);
}
/* Ties of weights that are exact sums, in some cases exactly at the budget: 0 and far below. */
static float make_two(int i) {
    return i % 3 ? 2.5f : -1000.0f;
}
static float make_ties(int i) {
    (void)i;
    return (float)(int)(uniform() * 8.0) * 0.7f;
}
static float make_equal(int i) {
    (void)i;
    return -3.25f;
}
static float make_nothing(int i) {
    (void)i;
    return -INFINITY;
}

static void place_infinity(float *logits, int vocab) {
    logits[vocab / 2] = INFINITY;
    logits[vocab - 1] = INFINITY;
}
static void place_nan(float *logits, int vocab) {
    for (int i = 0; i < vocab; i += 3) logits[i] = NAN;
}
static void place_all(float *logits, int vocab) {
    place_infinity(logits, vocab);
    place_nan(logits, vocab);
}

static void test_spreads(void **state) {
    (void)state;
    for (int round = 0; round < 2; ++round) {
        run_kind(make_plain, NULL);
        run_kind(make_peaked, NULL);
        run_kind(make_far, NULL);
        run_kind(make_powers, NULL);
    }
    run_kind(make_crowded, NULL);
}

static void test_ties(void **state) {
    (void)state;
    run_kind(make_equal, NULL);
    run_kind(make_two, NULL);
    run_kind(make_ties, NULL);
    run_kind(make_tiny, NULL);
}

static void test_not_finite(void **state) {
    (void)state;
    run_kind(make_masked, NULL);
    run_kind(make_nothing, NULL);
    run_kind(make_nothing, place_nan);
    run_kind(make_nothing, place_infinity);
    run_kind(make_plain, place_infinity);
    run_kind(make_plain, place_nan);
    run_kind(make_ties, place_all);
    run_kind(make_far, place_all);
}

/* Equal logits: exactly top_p of them stay, the highest indices. */
static void test_equal_share(void **state) {
    (void)state;
    enum { N = 64 };
    float logits[N];
    void *scratch = malloc(sizeof logits);
    for (int i = 0; i < N; ++i) logits[i] = 1.5f;
    vt_filter_top(logits, N, 0, 0.25f, scratch);
    for (int i = 0; i < N; ++i)
        assert_true(i < N - N / 4 ? logits[i] == -INFINITY : logits[i] == 1.5f);
    free(scratch);
}

static void test_greedy(void **state) {
    (void)state;
    vt_sampler greedy = {.greedy = true, .top_k = 2};
    float some[20] = {0};
    some[3] = some[17] = 2.0f;
    some[5] = NAN;
    some[0] = NAN;
    assert_int_equal(vt_sample_token(&greedy, some, 20, 0, 0, 0, NULL), 3);
    some[19] = INFINITY;
    assert_int_equal(vt_sample_token(&greedy, some, 20, 0, 0, 0, NULL), 19);
    for (int i = 0; i < 20; ++i) some[i] = i % 2 ? NAN : -INFINITY;
    assert_int_equal(vt_sample_token(&greedy, some, 20, 0, 0, 0, NULL), 0);
}

/* Two tokens whose weights are 1 and e^x, x to both sides of where the draw turns from one to the
 * other: e^x is right to 12 digits. The second logit is x rounded away, the first what is then
 * missing, so that their difference is finer than a float. */
static void test_weights_exact(void **state) {
    (void)state;
    vt_sampler sampler = {.seed = 8};
    float logits[2];
    void *scratch = malloc(sizeof logits);
    int tried = 0;
    for (uint32_t d = 0; d < 4000; ++d) {
        double u = vt_uniform(8, VT_RNG_SAMPLE, d, 0, 0), turn = log(1.0 / u - 1.0);
        if (turn > -0.01 || turn < -5.0) continue;
        for (int side = 0; side < 2; ++side) {
            double x = turn + (side ? 1e-12 : -1e-12) / exp(turn);
            logits[1] = nextafterf((float)x, 0.0f);
            logits[0] = (float)((double)logits[1] - x);
            assert_true(logits[0] >= 0.0f && logits[0] < 1e-5f);
            assert_int_equal(vt_sample_token(&sampler, logits, 2, d, 0, 0, scratch), side);
            ++tried;
        }
    }
    assert_true(tried > 1000);
    free(scratch);
}

/* Each token is drawn as often as its probability says, within five deviations. */
static void test_frequencies(void **state) {
    (void)state;
    enum { N = 300, DRAWS = 40000 };
    float source[N], logits[N];
    int counts[N] = {0};
    void *scratch = malloc(sizeof logits);
    double total = 0.0;
    for (int i = 0; i < N; ++i) {
        source[i] = i % 11 == 0 ? -INFINITY : spread_evenly(3.0);
        total += exp((double)source[i]);
    }
    vt_sampler sampler = {.seed = 3};
    for (uint32_t d = 0; d < DRAWS; ++d) {
        memcpy(logits, source, sizeof logits);
        ++counts[vt_sample_token(&sampler, logits, N, d, 0, 0, scratch)];
    }
    for (int i = 0; i < N; ++i) {
        double p = exp((double)source[i]) / total;
        assert_true(fabs(counts[i] - DRAWS * p) <= 5.0 * sqrt(DRAWS * p * (1.0 - p)) + (p > 0.0));
    }
    free(scratch);
}

/* The tokens of a seed: pictures already made must come out again. */
static void test_tokens_stay(void **state) {
    (void)state;
    enum { N = 4096, TOKENS = 64 };
    static const struct {
        int top_k;
        float top_p;
        uint64_t hash;
    } runs[] = {{900, 0.96f, 0x434323478cc784e3},
                {0, 0.96f, 0xbf66df10e4368cbe},
                {900, 0.0f, 0x7923668150e3c5ec},
                {0, 0.0f, 0x405d612d651afa02}};
    static float logits[N];
    void *scratch = malloc(sizeof logits);
    for (size_t r = 0; r < sizeof runs / sizeof *runs; ++r) {
        vt_sampler sampler = {.seed = 42, .top_k = runs[r].top_k, .top_p = runs[r].top_p};
        int32_t tokens[TOKENS];
        draws = 1000000;
        for (uint32_t t = 0; t < TOKENS; ++t) {
            for (int i = 0; i < N; ++i) logits[i] = spread_evenly(3.0);
            tokens[t] = vt_sample_token(&sampler, logits, N, t / 16, t % 4, t % 16, scratch);
        }
        uint64_t hash = vt_fnv1a64(tokens, sizeof tokens);
        if (hash != runs[r].hash)
            fail_msg("run %zu: tokens %d %d %d ... hash 0x%016llx", r, tokens[0], tokens[1],
                     tokens[2], (unsigned long long)hash);
    }
    free(scratch);
}

static void test_gumbel(void **state) {
    (void)state;
    enum { N = 500 };
    static float logits[N], weights[N], alone[N];
    vt_sampler sampler = {.seed = 9};
    for (int i = 0; i < N; ++i) logits[i] = i % 4 ? spread_evenly(2.0) : -INFINITY;
    logits[6] = NAN;
    vt_gumbel_weights(&sampler, logits, N, 0.4, 1, 2, 3, weights);
    double tau = 0.27 * (1.0 - 0.95 * 0.4), total = 0.0;
    uint64_t key = vt_splitmix64(9 ^ (uint64_t)1 << 32 ^ 2);
    double exact[N], sum = 0.0, peak = -INFINITY;
    for (int i = 0; i < N; ++i) {
        double u = vt_uniform(key, VT_RNG_GUMBEL, 3, (uint32_t)i, 0);
        exact[i] = logits[i] > -INFINITY
                       ? ((double)logits[i] * 1.4 - log(-log(u + 0x1p-54) + 0x1p-60)) / tau
                       : -INFINITY;
        peak = fmax(peak, exact[i]);
    }
    for (int i = 0; i < N; ++i) sum += exp(exact[i] - peak);
    for (int i = 0; i < N; ++i) {
        assert_true(fabs((double)weights[i] - exp(exact[i] - peak) / sum) < 1e-5);
        if (!(logits[i] > -INFINITY)) assert_true(weights[i] == 0.0f);
        total += (double)weights[i];
    }
    assert_true(fabs(total - 1.0) < 1e-5);

    for (int i = 0; i < N; ++i) logits[i] = i % 2 ? NAN : -INFINITY;
    vt_gumbel_weights(&sampler, logits, N, 0.4, 1, 2, 3, alone);
    for (int i = 0; i < N; ++i) assert_true(alone[i] == (i == 0 ? 1.0f : 0.0f));
    logits[7] = logits[9] = INFINITY;
    vt_gumbel_weights(&sampler, logits, N, 0.4, 1, 2, 3, alone);
    for (int i = 0; i < N; ++i) assert_true(alone[i] == (i == 7 || i == 9 ? 0.5f : 0.0f));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spreads),     cmocka_unit_test(test_ties),
        cmocka_unit_test(test_not_finite),  cmocka_unit_test(test_equal_share),
        cmocka_unit_test(test_greedy),      cmocka_unit_test(test_weights_exact),
        cmocka_unit_test(test_frequencies), cmocka_unit_test(test_tokens_stay),
        cmocka_unit_test(test_gumbel),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

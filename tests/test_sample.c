/* test_sample.c - the sample operation, plain and fast, against a twin that sorts the vocabulary, over
 * vocabularies of all sizes, with ties and extremes; plain against fast with guidance and mixtures on every
 * instruction set; rows that are not finite; and the very tokens that seeds gave before. */
#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpu.h"
#include "core/rng.h"
#include "kern/kern.h"

enum { LARGEST = 16384, GUARD = 16 };

/* Sums in another order differ in their last digits: so near to a bound either side is right. */
#define MARGIN 1e-11

static vt_kern *ref, *cpu;
static vt_kern *cpus[VT_ISA_COUNT][2]; /* by instruction set; 1 and 3 threads */

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

/* Runs parts in a workspace that ends in guards. */
static void run_parts(vt_kern *kern, const vt_sample_part *parts, int count, int vocab) {
    vt_sample args = {.parts = parts, .count = count, .vocab = vocab};
    size_t bytes = kern->sample_workspace(kern, &args);
    unsigned char *workspace = aligned_alloc(64, (bytes + GUARD + 63) / 64 * 64);
    assert_non_null(workspace);
    memset(workspace, 0xa5, bytes + GUARD);
    args.workspace = workspace;
    kern->sample(kern, &args);
    for (int i = 0; i < GUARD; ++i) assert_int_equal(workspace[bytes + (size_t)i], 0xa5);
    free(workspace);
}

/* One row; logits (vocab) become what the filters leave. `how` says which. */
static int32_t run_row(vt_kern *kern, vt_sample_part how, float *logits, int vocab) {
    int32_t token = -2;
    how.cond = how.filtered = logits;
    how.rows = 1;
    how.tokens = &token;
    run_parts(kern, &how, 1, vocab);
    return token;
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

static void check_backend(vt_kern *kern, const twin *want, const twin *drawn, int32_t expected,
                          const float *source, int vocab, vt_sample_part how) {
    static float filtered[LARGEST];
    size_t bytes = (size_t)vocab * sizeof(float);
    memcpy(filtered, source, bytes);
    int32_t token = run_row(kern, how, filtered, vocab);
    assert_in_range(token, 0, vocab - 1);
    if (!want->close && memcmp(want->logits, filtered, bytes) != 0) {
        int i = 0;
        while (memcmp(&want->logits[i], &filtered[i], sizeof(float)) == 0) ++i;
        fail_msg("%s, case %u: vocabulary %d, top k %d, top p %g: logit %d (%g) is %g, expected %g",
                 kern->name, how.image, vocab, how.top_k, (double)how.top_p, i, (double)source[i],
                 (double)filtered[i], (double)want->logits[i]);
    }
    if (!drawn->close && token != expected)
        fail_msg("%s, case %u: vocabulary %d, top k %d, top p %g: token %d, expected %d",
                 kern->name, how.image, vocab, how.top_k, (double)how.top_p, token, expected);
}

static void check_case(const float *source, int vocab, int top_k, float top_p, tally *tally) {
    static twin want, drawn;
    vt_sample_part how = {.seed = 11,
                          .image = (uint32_t)tally->cases++,
                          .scale = 3,
                          .position = 7,
                          .top_k = top_k,
                          .top_p = top_p};
    memcpy(want.logits, source, (size_t)vocab * sizeof(float));
    want.close = false;
    filter_sorted(&want, vocab, top_k, top_p);
    drawn = want;
    int32_t expected = draw_sorted(&drawn, vocab, vt_uniform(11, VT_RNG_SAMPLE, how.image, 3, 7));
    check_backend(ref, &want, &drawn, expected, source, vocab, how);
    check_backend(cpu, &want, &drawn, expected, source, vocab, how);
    tally->close += drawn.close;
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

static void run_kind(float (*make)(int i)) {
    static float logits[LARGEST];
    tally tally = {0};
    for (int s = 0; s < SIZES; ++s) {
        for (int i = 0; i < sizes[s]; ++i) logits[i] = make(i);
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
    return i % 2 ? spread_evenly(3000.0) : spread_evenly(1.5e38);
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
    return i % 5 == 4 ? -FLT_MAX : spread_evenly(4.0);
}
static float make_largest(int i) { /* as far apart as floats can be */
    return i % 3 == 1 ? FLT_MAX : i % 3 == 2 ? -FLT_MAX : spread_evenly(4.0);
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
static void test_spreads(void **state) {
    (void)state;
    for (int round = 0; round < 2; ++round) {
        run_kind(make_plain);
        run_kind(make_peaked);
        run_kind(make_far);
        run_kind(make_powers);
    }
    run_kind(make_crowded);
}

static void test_ties(void **state) {
    (void)state;
    run_kind(make_equal);
    run_kind(make_two);
    run_kind(make_ties);
    run_kind(make_tiny);
}

static void test_extremes(void **state) {
    (void)state;
    run_kind(make_masked);
    run_kind(make_largest);
}

/* Equal logits: exactly top_p of them stay, the highest indices. */
static void test_equal_share(void **state) {
    (void)state;
    enum { N = 64 };
    vt_kern *both[] = {ref, cpu};
    for (int b = 0; b < 2; ++b) {
        float logits[N];
        for (int i = 0; i < N; ++i) logits[i] = 1.5f;
        run_row(both[b], (vt_sample_part){.top_p = 0.25f}, logits, N);
        for (int i = 0; i < N; ++i)
            assert_true(i < N - N / 4 ? logits[i] == -INFINITY : logits[i] == 1.5f);
    }
}

static void test_greedy(void **state) {
    (void)state;
    vt_kern *both[] = {ref, cpu};
    for (int b = 0; b < 2; ++b) {
        float some[20] = {0}, before[20];
        some[3] = some[17] = 2.0f;
        memcpy(before, some, sizeof some);
        assert_int_equal(run_row(both[b], (vt_sample_part){.greedy = true, .top_k = 2}, some, 20),
                         3);
        assert_memory_equal(some, before, sizeof some); /* no filters */
        some[19] = FLT_MAX;
        assert_int_equal(run_row(both[b], (vt_sample_part){.greedy = true}, some, 20), 19);
        some[0] = -FLT_MAX;
        assert_int_equal(run_row(both[b], (vt_sample_part){.greedy = true}, some, 1), 0);
    }
}

/* Rows with a NaN or an infinity, and rows that guidance makes so, are -1 and their mixture 0; the others of the
 * part are as without them. */
static void check_not_finite(vt_kern *kern, bool greedy) {
    enum { N = 100, ROWS = 7 };
    static const float bad[] = {NAN, INFINITY, -INFINITY, FLT_MAX};
    float cond[ROWS * N], uncond[ROWS * N], weights[ROWS * N], alone[N], other[N];
    int32_t tokens[ROWS];
    draws = 77;
    for (int i = 0; i < ROWS * N; ++i) cond[i] = spread_evenly(3.0), uncond[i] = 0.0f;
    for (int i = 0; i < 3; ++i) cond[(2 * i + 1) * N + 31 * i] = bad[i];
    cond[6 * N + 99] = bad[3]; /* three times that */
    vt_sample_part part = {.cond = cond,
                           .uncond = uncond,
                           .guide = 2.0f,
                           .rows = ROWS,
                           .seed = 4,
                           .greedy = greedy,
                           .top_k = 40,
                           .tokens = tokens,
                           .weights = weights,
                           .ramp = 0.5};
    memcpy(alone, cond + 2 * N, sizeof alone);
    memcpy(other, uncond, sizeof other);
    run_parts(kern, &part, 1, N);
    for (int r = 0; r < ROWS; ++r) {
        const bool broken = r % 2 || r == 6;
        double sum = 0.0;
        assert_int_equal(tokens[r] == -1, broken);
        for (int i = 0; i < N; ++i) sum += (double)weights[r * N + i];
        assert_true(fabs(sum - !broken) < 1e-5);
    }
    int32_t token = -2;
    vt_sample_part one = part;
    one.cond = alone, one.uncond = other, one.rows = 1, one.position = 2, one.tokens = &token;
    one.weights = NULL;
    run_parts(kern, &one, 1, N);
    assert_int_equal(token, tokens[2]);
}

static void test_not_finite(void **state) {
    (void)state;
    for (int greedy = 0; greedy < 2; ++greedy) {
        check_not_finite(ref, greedy);
        check_not_finite(cpu, greedy);
    }
}

/* ---- plain against fast: parts of all kinds ---- */

enum { PARTS = 6, MOST_ROWS = 9, VOCAB = 700 };

typedef struct many {
    vt_sample_part parts[PARTS];
    float cond[PARTS][MOST_ROWS * VOCAB], uncond[PARTS][MOST_ROWS * VOCAB],
        filtered[PARTS][MOST_ROWS * VOCAB], weights[PARTS][MOST_ROWS * VOCAB];
    int32_t tokens[PARTS][MOST_ROWS];
} many;

static float sixteenths(double width) {
    return floorf(spread_evenly(width) * 16.0f) / 16.0f;
}

/* Logits and guidance are such that every product and sum of guidance is exact. */
static void many_fill(many *m, int round) {
    *m = (many){0};
    draws = 5000000 + (uint64_t)round * 1000000;
    for (int p = 0; p < PARTS; ++p) {
        vt_sample_part *part = &m->parts[p];
        *part = (vt_sample_part){.cond = m->cond[p],
                                 .uncond = p % 3 ? m->uncond[p] : NULL,
                                 .guide = 0.25f * (float)(int)(uniform() * 9.0),
                                 .rows = (int)(uniform() * (MOST_ROWS + 1)),
                                 .seed = (uint64_t)(uniform() * 1e15),
                                 .image = (uint32_t)(uniform() * 100),
                                 .scale = (uint32_t)(uniform() * 10),
                                 .position = (uint32_t)(uniform() * 100),
                                 .top_k = (int)(uniform() * 2.0) * (int)(uniform() * VOCAB),
                                 .top_p = uniform() < 0.5 ? 0.0f : (float)uniform(),
                                 .greedy = uniform() < 0.2,
                                 .tokens = m->tokens[p],
                                 .weights = uniform() < 0.5 ? m->weights[p] : NULL,
                                 .ramp = uniform(),
                                 .filtered = p % 2 ? m->filtered[p] : m->cond[p]};
        for (int i = 0; i < part->rows * VOCAB; ++i) {
            m->cond[p][i] = sixteenths(6.0);
            m->uncond[p][i] = sixteenths(6.0);
        }
    }
}

static void assert_many_equal(const many *got, const many *want, const char *name, int round) {
    for (int p = 0; p < PARTS; ++p) {
        const vt_sample_part *part = &want->parts[p];
        const size_t numbers = (size_t)part->rows * VOCAB * sizeof(float);
        const bool apart = part->filtered != part->cond;
        if (memcmp(got->tokens[p], want->tokens[p], sizeof got->tokens[p]) != 0)
            fail_msg("%s, round %d, part %d: other tokens", name, round, p);
        if (memcmp(apart ? got->filtered[p] : got->cond[p],
                   apart ? want->filtered[p] : want->cond[p], numbers) != 0)
            fail_msg("%s, round %d, part %d: other tokens stay", name, round, p);
        if (memcmp(got->weights[p], want->weights[p], sizeof got->weights[p]) != 0)
            fail_msg("%s, round %d, part %d: another mixture", name, round, p);
    }
}

static void test_twins(void **state) {
    (void)state;
    static many want, got;
    for (int round = 0; round < 40; ++round) {
        many_fill(&want, round);
        run_parts(ref, want.parts, PARTS, VOCAB);
        for (int isa = 0; isa < VT_ISA_COUNT; ++isa) {
            for (int threads = 0; threads < 2 && cpus[isa][0]; ++threads) {
                many_fill(&got, round);
                run_parts(cpus[isa][threads], got.parts, PARTS, VOCAB);
                assert_many_equal(&got, &want, vt_isa_name((vt_isa)isa), round);
            }
        }
        many_fill(&got, round); /* each part alone */
        for (int p = 0; p < PARTS; ++p) run_parts(cpu, &got.parts[p], 1, VOCAB);
        assert_many_equal(&got, &want, "parts alone", round);
    }
}

/* Guidance is the formula, whatever the numbers. */
static void test_guidance(void **state) {
    (void)state;
    enum { N = 1000 };
    vt_kern *both[] = {ref, cpu};
    for (int b = 0; b < 2; ++b) {
        float cond[N], uncond[N], exact[N];
        for (int i = 0; i < N; ++i) {
            cond[i] = spread_evenly(5.0), uncond[i] = spread_evenly(5.0);
            exact[i] = (float)(2.37 * (double)cond[i] - 1.37 * (double)uncond[i]);
        }
        run_row(both[b], (vt_sample_part){.uncond = uncond, .guide = 1.37f}, cond, N);
        for (int i = 0; i < N; ++i) assert_true(fabsf(cond[i] - exact[i]) < 1e-5f);
    }
}

/* Two tokens whose weights are 1 and e^x, x to both sides of where the draw turns from one to the
 * other: e^x is right to 12 digits. The second logit is x rounded away, the first what is then
 * missing, so that their difference is finer than a float. */
static void test_weights_exact(void **state) {
    (void)state;
    float logits[2];
    int tried = 0;
    for (uint32_t d = 0; d < 4000; ++d) {
        double u = vt_uniform(8, VT_RNG_SAMPLE, d, 0, 0), turn = log(1.0 / u - 1.0);
        if (turn > -0.01 || turn < -5.0) continue;
        for (int side = 0; side < 2; ++side) {
            double x = turn + (side ? 1e-12 : -1e-12) / exp(turn);
            logits[1] = nextafterf((float)x, 0.0f);
            logits[0] = (float)((double)logits[1] - x);
            assert_true(logits[0] >= 0.0f && logits[0] < 1e-5f);
            assert_int_equal(run_row(cpu, (vt_sample_part){.seed = 8, .image = d}, logits, 2),
                             side);
            ++tried;
        }
    }
    assert_true(tried > 1000);
}

/* Each token is drawn as often as its probability says, within five deviations. */
static void test_frequencies(void **state) {
    (void)state;
    enum { N = 300, DRAWS = 40000 };
    float source[N], logits[N];
    int counts[N] = {0};
    double total = 0.0;
    for (int i = 0; i < N; ++i) {
        source[i] = i % 11 == 0 ? -FLT_MAX : spread_evenly(3.0);
        total += exp((double)source[i]);
    }
    for (uint32_t d = 0; d < DRAWS; ++d) {
        memcpy(logits, source, sizeof logits);
        ++counts[run_row(cpu, (vt_sample_part){.seed = 3, .image = d}, logits, N)];
    }
    for (int i = 0; i < N; ++i) {
        double p = exp((double)source[i]) / total;
        assert_true(fabs(counts[i] - DRAWS * p) <= 5.0 * sqrt(DRAWS * p * (1.0 - p)) + (p > 0.0));
    }
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
    for (size_t r = 0; r < sizeof runs / sizeof *runs; ++r) {
        vt_sample_part how = {.seed = 42, .top_k = runs[r].top_k, .top_p = runs[r].top_p};
        int32_t tokens[TOKENS];
        draws = 1000000;
        for (uint32_t t = 0; t < TOKENS; ++t) {
            for (int i = 0; i < N; ++i) logits[i] = spread_evenly(3.0);
            how.image = t / 16, how.scale = t % 4, how.position = t % 16;
            tokens[t] = run_row(cpu, how, logits, N);
        }
        uint64_t hash = vt_fnv1a64(tokens, sizeof tokens);
        if (hash != runs[r].hash)
            fail_msg("run %zu: tokens %d %d %d ... hash 0x%016llx", r, tokens[0], tokens[1],
                     tokens[2], (unsigned long long)hash);
    }
}

/* The mixture is the formula, over what top k left. */
static void test_gumbel(void **state) {
    (void)state;
    enum { N = 500, KEPT = 375 };
    vt_kern *both[] = {ref, cpu};
    for (int b = 0; b < 2; ++b) {
        static float logits[N], weights[N];
        double tau = 0.27 * (1.0 - 0.95 * 0.4), total = 0.0;
        uint64_t key = vt_splitmix64(9 ^ (uint64_t)1 << 32 ^ 2);
        double exact[N], sum = 0.0, peak = -INFINITY;
        for (int i = 0; i < N; ++i) logits[i] = i % 4 ? spread_evenly(2.0) : -50.0f;
        for (int i = 0; i < N; ++i) {
            double u = vt_uniform(key, VT_RNG_GUMBEL, 3, (uint32_t)i, 0);
            exact[i] = i % 4 ? ((double)logits[i] * 1.4 - log(-log(u + 0x1p-54) + 0x1p-60)) / tau
                             : -INFINITY;
            peak = fmax(peak, exact[i]);
        }
        for (int i = 0; i < N; ++i) sum += exp(exact[i] - peak);
        vt_sample_part how = {.seed = 9,
                              .image = 1,
                              .scale = 2,
                              .position = 3,
                              .top_k = KEPT,
                              .ramp = 0.4,
                              .weights = weights};
        run_row(both[b], how, logits, N);
        for (int i = 0; i < N; ++i) {
            assert_true(fabs((double)weights[i] - exp(exact[i] - peak) / sum) < 1e-5);
            if (i % 4 == 0) assert_true(weights[i] == 0.0f);
            total += (double)weights[i];
        }
        assert_true(fabs(total - 1.0) < 1e-5);
    }
}

static int open_all(void **state) {
    (void)state;
    if (vt_kern_open(&ref, "ref", 0, NULL) != VARIANT_OK) return -1;
    if (vt_kern_open(&cpu, "cpu", 3, NULL) != VARIANT_OK) return -1;
    unsetenv("VARIANT_CPU");
    for (int isa = 0; isa <= (int)vt_isa_best(); ++isa) {
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        for (int threads = 0; threads < 2; ++threads)
            if (vt_kern_open(&cpus[isa][threads], "cpu", 1 + 2 * threads, NULL) != VARIANT_OK)
                return -1;
        unsetenv("VARIANT_CPU");
    }
    return 0;
}

static int close_all(void **state) {
    (void)state;
    for (int isa = 0; isa < VT_ISA_COUNT; ++isa)
        for (int threads = 0; threads < 2; ++threads) vt_kern_close(&cpus[isa][threads]);
    vt_kern_close(&cpu);
    vt_kern_close(&ref);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_spreads),       cmocka_unit_test(test_ties),
        cmocka_unit_test(test_extremes),      cmocka_unit_test(test_equal_share),
        cmocka_unit_test(test_greedy),        cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_twins),         cmocka_unit_test(test_guidance),
        cmocka_unit_test(test_weights_exact), cmocka_unit_test(test_frequencies),
        cmocka_unit_test(test_tokens_stay),   cmocka_unit_test(test_gumbel),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

/* sample.c - see sample.h. Probabilities are summed in double. */
#include "engine/sample.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

static int descending(const void *a, const void *b) {
    float x = *(const float *)a, y = *(const float *)b;
    return (x < y) - (x > y);
}

/* The k-th largest (k from 1) of n values; permutes values. Hoare's selection. */
static float select_largest(float *values, int n, int k) {
    int low = 0, high = n - 1, wanted = k - 1;
    while (low < high) {
        float pivot = values[low + (high - low) / 2];
        int i = low, j = high;
        while (i <= j) {
            while (values[i] > pivot) ++i;
            while (values[j] < pivot) --j;
            if (i <= j) {
                float swapped = values[i];
                values[i++] = values[j];
                values[j--] = swapped;
            }
        }
        if (wanted <= j)
            high = j;
        else if (wanted >= i)
            low = i;
        else
            break;
    }
    return values[wanted];
}

static void filter_top_k(float *logits, int vocab, int top_k, float *scratch) {
    memcpy(scratch, logits, (size_t)vocab * sizeof *logits);
    float threshold = select_largest(scratch, vocab, top_k);
    for (int i = 0; i < vocab; ++i)
        if (logits[i] < threshold) logits[i] = -INFINITY;
}

/* Finds the smallest logit of the nucleus. Ties of that logit beyond the nucleus are dropped
 * from the highest index
 * down to where the original's stable ascending sort would have cut. */
static void filter_top_p(float *logits, int vocab, float top_p, float *scratch) {
    int kept = 0;
    for (int i = 0; i < vocab; ++i)
        if (logits[i] > -INFINITY) scratch[kept++] = logits[i];
    qsort(scratch, (size_t)kept, sizeof *scratch, descending);
    double total = 0.0;
    for (int i = 0; i < kept; ++i) total += exp((double)scratch[i] - scratch[0]);
    double budget = (1.0 - (double)top_p) * total, cumulated = 0.0;
    int first_kept = kept - 1; /* ascending from the least likely; the most likely always stays */
    while (first_kept > 0) {
        cumulated += exp((double)scratch[first_kept] - scratch[0]);
        if (cumulated > budget) break;
        --first_kept;
    }
    float threshold = scratch[first_kept];
    int above = 0, ties = 0;
    for (int i = 0; i <= first_kept; ++i) scratch[i] > threshold ? ++above : ++ties;
    for (int i = vocab - 1; i >= 0; --i) {
        if (logits[i] < threshold)
            logits[i] = -INFINITY;
        else if (logits[i] == threshold && ties-- <= 0)
            logits[i] = -INFINITY;
    }
}

void vt_filter_top(float *logits, int vocab, int top_k, float top_p, float *scratch) {
    if (top_k > 0 && top_k < vocab) filter_top_k(logits, vocab, top_k, scratch);
    if (top_p > 0.0f && top_p < 1.0f) filter_top_p(logits, vocab, top_p, scratch);
}

static int32_t arg_max(const float *logits, int vocab) {
    int32_t best = 0;
    for (int32_t i = 1; i < vocab; ++i)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int32_t vt_sample_token(const vt_sampler *sampler, float *logits, int vocab, uint32_t image,
                        uint32_t scale, uint32_t position, float *scratch) {
    if (sampler->greedy) return arg_max(logits, vocab);
    vt_filter_top(logits, vocab, sampler->top_k, sampler->top_p, scratch);
    int32_t last = arg_max(logits, vocab);
    double peak = logits[last], total = 0.0;
    for (int i = 0; i < vocab; ++i) total += exp((double)logits[i] - peak);
    double point = total * vt_uniform(sampler->seed, VT_RNG_SAMPLE, image, scale, position);
    for (int32_t i = 0; i < vocab; ++i) {
        if (logits[i] == -INFINITY) continue;
        point -= exp((double)logits[i] - peak);
        last = i;
        if (point < 0.0) break;
    }
    return last; /* rounding may leave point at 0: the last token with probability */
}

void vt_gumbel_weights(const vt_sampler *sampler, const float *logits, int vocab, double ratio,
                       uint32_t image, uint32_t scale, uint32_t position, float *weights) {
    double tau = fmax(0.27 * (1.0 - 0.95 * ratio), 0.005), peak = -INFINITY, total = 0.0;
    uint64_t key = vt_splitmix64(sampler->seed ^ (uint64_t)image << 32 ^ scale);
    for (int i = 0; i < vocab; ++i) {
        double u = vt_uniform(key, VT_RNG_GUMBEL, position, (uint32_t)i, 0);
        double gumbel = -log(-log(u + 0x1p-54) + 0x1p-60);
        weights[i] = (float)((logits[i] * (1.0 + ratio) + gumbel) / tau);
        if (weights[i] > peak) peak = weights[i];
    }
    for (int i = 0; i < vocab; ++i) total += exp(weights[i] - peak);
    for (int i = 0; i < vocab; ++i) weights[i] = (float)(exp(weights[i] - peak) / total);
}

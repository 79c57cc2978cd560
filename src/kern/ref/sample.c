/* sample.c - from logits to tokens, by sorting: what kern.h says of vt_sample_part, word for word. */
#include "kern/ref/ref.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/finite.h"
#include "core/rng.h"

/* A token in the order in which the filters drop: the last goes first. */
typedef struct ranked {
    float logit;
    int32_t token;
} ranked;

/* The largest logit first; of equal ones the highest index, since the lowest is dropped first. */
static int by_rank(const void *a, const void *b) {
    const ranked *x = a, *y = b;
    if (x->logit != y->logit) return x->logit > y->logit ? -1 : 1;
    return (y->token > x->token) - (y->token < x->token);
}

static int count_top_k(const ranked *order, int vocab, int top_k) {
    if (top_k <= 0 || top_k >= vocab) return vocab;
    int count = top_k;
    while (count < vocab && order[count].logit == order[top_k - 1].logit) ++count;
    return count;
}

static int count_top_p(const ranked *order, int count, float top_p) {
    if (!(top_p > 0.0f && top_p < 1.0f)) return count;
    const double peak = order[0].logit;
    double total = 0.0, dropped = 0.0;
    for (int i = 0; i < count; ++i) total += exp(order[i].logit - peak);
    const double budget = (1.0 - (double)top_p) * total;
    for (; count > 1; --count) {
        dropped += exp(order[count - 1].logit - peak);
        if (dropped > budget) break;
    }
    return count;
}

static void filter(float *logits, int vocab, int top_k, float top_p, ranked *order) {
    for (int32_t i = 0; i < vocab; ++i) order[i] = (ranked){logits[i], i};
    qsort(order, (size_t)vocab, sizeof *order, by_rank);
    const int kept = count_top_p(order, count_top_k(order, vocab, top_k), top_p);
    for (int i = kept; i < vocab; ++i) logits[order[i].token] = -INFINITY;
}

static int32_t arg_max(const float *logits, int vocab) {
    int32_t best = 0;
    for (int32_t i = 1; i < vocab; ++i)
        if (logits[i] > logits[best]) best = i;
    return best;
}

/* The token at which the cumulated probability passes u, in [0, 1). */
static int32_t draw(const float *logits, int vocab, double u) {
    const double peak = logits[arg_max(logits, vocab)];
    double total = 0.0;
    for (int i = 0; i < vocab; ++i) total += exp(logits[i] - peak);
    double point = total * u;
    int32_t last = 0;
    for (int32_t i = 0; i < vocab; ++i) {
        const double weight = exp(logits[i] - peak);
        point -= weight;
        if (weight > 0.0) last = i;
        if (point < 0.0) return i;
    }
    return last; /* rounding left the point at 0 */
}

/* Two infinities are equal, though their difference is NaN. */
static double below_peak(double x, double peak) {
    const double difference = x - peak;
    return difference < 0.0 ? difference : 0.0;
}

void vt_ref_mix(float *weights, const float *logits, int vocab, const vt_sample_part *part,
                uint32_t position) {
    double tau = fmax(0.27 * (1.0 - 0.95 * part->ramp), 0.005), peak = -INFINITY, total = 0.0;
    uint64_t key = vt_splitmix64(part->seed ^ (uint64_t)part->image << 32 ^ part->scale);
    for (int i = 0; i < vocab; ++i) {
        weights[i] = -INFINITY;
        if (!(logits[i] > -INFINITY)) continue;
        double u = vt_uniform(key, VT_RNG_GUMBEL, position, (uint32_t)i, 0);
        double gumbel = -log(-log(u + 0x1p-54) + 0x1p-60);
        weights[i] = (float)((logits[i] * (1.0 + part->ramp) + gumbel) / tau);
        if (weights[i] > peak) peak = weights[i];
    }
    if (!(peak > -INFINITY)) { /* huge logits: all overflowed */
        for (int i = 0; i < vocab; ++i) weights[i] = i == 0 ? 1.0f : 0.0f;
        return;
    }
    for (int i = 0; i < vocab; ++i) total += exp(below_peak(weights[i], peak));
    for (int i = 0; i < vocab; ++i) weights[i] = (float)(exp(below_peak(weights[i], peak)) / total);
}

/* Row r of a part. */
static void sample_row(vt_kern *kern, const vt_sample *a, const vt_sample_part *part, int r) {
    const size_t vocab = (size_t)a->vocab, at = (size_t)r * vocab;
    const uint32_t position = part->position + (uint32_t)r;
    float *logits = part->cond + at;
    if (part->uncond)
        kern->axpby(kern, logits, -part->guide, part->uncond + at, 1.0f + part->guide, vocab);
    if (!vt_all_finite(logits, vocab)) {
        part->tokens[r] = -1;
        if (part->weights) memset(part->weights + at, 0, vocab * sizeof *part->weights);
        return;
    }
    if (part->greedy) {
        part->tokens[r] = arg_max(logits, a->vocab);
    } else {
        filter(logits, a->vocab, part->top_k, part->top_p, a->workspace);
        part->tokens[r] =
            draw(logits, a->vocab,
                 vt_uniform(part->seed, VT_RNG_SAMPLE, part->image, part->scale, position));
    }
    if (part->weights) vt_ref_mix(part->weights + at, logits, a->vocab, part, position);
    if (part->filtered && part->filtered != part->cond)
        memcpy(part->filtered + at, logits, vocab * sizeof *logits);
}

static void sample(vt_kern *kern, const vt_sample *a) {
    for (int i = 0; i < a->count; ++i)
        for (int r = 0; r < a->parts[i].rows; ++r) sample_row(kern, a, &a->parts[i], r);
}

static size_t sample_workspace(const vt_kern *kern, const vt_sample *a) {
    (void)kern;
    return (size_t)a->vocab * sizeof(ranked);
}

void vt_ref_fill_sample(vt_kern *kern) {
    kern->sample_workspace = sample_workspace;
    kern->sample = sample;
}

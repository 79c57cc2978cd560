/* sample.c - from logits to tokens, a row to a task.
 *
 * The vocabulary is never sorted. Top k: passes that only count close in on the k-th largest logit
 * until few lie between the bounds. Top p: the weights of those that stay are summed into bins of
 * equal logit width, and only the bin in which the nucleus ends is taken apart. Those that stay are
 * held as indices, ascending, which is the order of the draw. A thread's room holds the indices of
 * a whole vocabulary; what they leave of it holds the weights, and where that is too little (more
 * than a third of the vocabulary stays) weights are made again, block by block, when needed. All
 * weights and sums are double, in an order that depends on the logits alone. */
#include "kern/cpu/cpu.h"

#include <math.h>
#include <string.h>

#include "core/finite.h"
#include "core/rng.h"
#include "kern/ref/ref.h"

enum {
    LANES = 16,  /* of a scan for the largest */
    BLOCK = 128, /* weights made at a time */
    BINS = 1024,
    FEW = 64,    /* so many are sorted directly */
    GUESSES = 20 /* for the k-th largest, after which the bounds are halved */
};

/* Weights more than e^700 below the largest are as good as 0, and no nucleus reaches them. */
#define FARTHEST 700.0

/* What the filters leave of a vocabulary. */
typedef struct kept_set {
    float peak;   /* largest logit */
    float least;  /* smallest logit that stays */
    int cut_ties; /* so many of the logits equal to `least` go nevertheless, lowest index first */
    int count;
    double total;    /* weight of what stays, where top p has computed it; else 0 */
    int32_t *kept;   /* (count): indices of what stays, ascending */
    double *weights; /* (count); NULL: no room */
    bool weighed;    /* weights are filled in */
} kept_set;

/* ---- passes over all logits; they are finite ---- */

static void find_extremes(const float *logits, int vocab, float *least, float *peak) {
    float low[LANES], high[LANES];
    for (int lane = 0; lane < LANES; ++lane) low[lane] = high[lane] = logits[0];
    int whole = vocab - vocab % LANES;
    for (int i = 0; i < whole; i += LANES) {
        for (int lane = 0; lane < LANES; ++lane) {
            float x = logits[i + lane];
            high[lane] = x > high[lane] ? x : high[lane];
            low[lane] = x < low[lane] ? x : low[lane];
        }
    }
    for (int i = whole; i < vocab; ++i) {
        if (logits[i] > high[0]) high[0] = logits[i];
        if (logits[i] < low[0]) low[0] = logits[i];
    }
    for (int lane = 1; lane < LANES; ++lane) {
        if (low[lane] < low[0]) low[0] = low[lane];
        if (high[lane] > high[0]) high[0] = high[lane];
    }
    *least = low[0];
    *peak = high[0];
}

static int count_above(const float *logits, int vocab, float bound) {
    int count = 0;
    for (int i = 0; i < vocab; ++i) count += logits[i] > bound;
    return count;
}

static int gather_above(const float *logits, int vocab, float bound, int32_t *kept) {
    int32_t *end = kept;
    for (int32_t i = 0; i < vocab; ++i) { /* without a branch, which would be a coin's throw */
        *end = i;
        end += logits[i] > bound;
    }
    return (int)(end - kept);
}

static void drop_others(const kept_set *set, float *logits, int vocab) {
    for (int i = 0; i < vocab; ++i) logits[i] = logits[i] >= set->least ? logits[i] : -INFINITY;
    for (int i = 0, left = set->cut_ties; left > 0 && i < vocab; ++i) {
        if (logits[i] != set->least) continue;
        logits[i] = -INFINITY;
        --left;
    }
}

/* After top p: leaves out what was dropped. */
static void gather_kept(kept_set *set, const float *logits) {
    int end = 0;
    for (int i = 0; i < set->count; ++i) {
        int32_t at = set->kept[i];
        set->kept[end] = at;
        if (set->weights && set->weighed) set->weights[end] = set->weights[i];
        end += logits[at] > -INFINITY;
    }
    set->count = end;
}

/* ---- top k ---- */

/* The float half way between two by rank among all floats: low where they are neighbours. */
static float between(float low, float high) {
    int32_t bits[2];
    memcpy(&bits[0], &low, sizeof low);
    memcpy(&bits[1], &high, sizeof high);
    int64_t rank[2];
    for (int i = 0; i < 2; ++i)
        rank[i] = bits[i] >= 0 ? bits[i] : (int64_t)INT32_MIN - (int64_t)bits[i];
    int64_t middle = rank[0] + (rank[1] - rank[0]) / 2;
    uint32_t chosen = middle >= 0 ? (uint32_t)middle : UINT32_C(0x80000000) | (uint32_t)-middle;
    float result;
    memcpy(&result, &chosen, sizeof result);
    return result;
}

static void sort_few(float *values, int count) {
    for (int i = 1; i < count; ++i) {
        float x = values[i];
        int j = i;
        for (; j > 0 && values[j - 1] > x; --j) values[j] = values[j - 1];
        values[j] = x;
    }
}

/* Bounds with (count above low) >= k > (count above high), so low < the k-th largest <= high. */
typedef struct bracket {
    float low, high;
    int above_low, above_high;
} bracket;

/* Until at most FEW lie in (low, high] or low and high are neighbours, so that all in it are equal.
 * By false position with the Illinois rule: a line through the two counts, where a bound that stays
 * twice counts half. Half a dozen steps where logits are spread as logits are; halving by rank
 * ends within 32 whatever they are. */
static void narrow_bracket(bracket *b, const float *logits, int vocab, int k) {
    double trust[2] = {1.0, 1.0};
    for (int step = 0, side = -1; b->above_low - b->above_high > FEW; ++step) {
        double over = trust[0] * ((double)(b->above_low - k) + 0.5);
        double under = trust[1] * ((double)(k - b->above_high) - 0.5);
        double low = (double)b->low, width = (double)b->high - low;
        double guess = low + width * (over / (over + under));
        float middle = between(b->low, b->high);
        if (middle <= b->low) return;
        /* a low bound of -INFINITY and rounding can lead a guess astray */
        if (step < GUESSES && (float)guess > b->low && (float)guess < b->high)
            middle = (float)guess;
        int above = count_above(logits, vocab, middle), moved = above < k;
        *(moved ? &b->high : &b->low) = middle;
        *(moved ? &b->above_high : &b->above_low) = above;
        trust[moved] = 1.0;
        if (side == moved) trust[!moved] *= 0.5;
        side = moved;
    }
}

static void keep_top_k(kept_set *set, const float *logits, int vocab, int k) {
    bracket b = {.low = nextafterf(set->least, -INFINITY), .high = set->peak};
    b.above_low = count_above(logits, vocab, b.low);
    bool all = b.above_low <= k;
    if (!all) narrow_bracket(&b, logits, vocab, k);
    set->count = gather_above(logits, vocab, b.low, set->kept);
    if (all) return;

    set->least = b.high;
    if (b.above_low - b.above_high > FEW) return; /* all equal */
    float few[FEW] = {0};
    int found = 0;
    for (int i = 0; i < set->count; ++i) {
        float x = logits[set->kept[i]];
        if (x <= b.high) few[found++] = x;
    }
    sort_few(few, found);
    set->least = few[b.above_low - k];
    int32_t *end = set->kept;
    for (int i = 0; i < set->count; ++i) {
        int32_t at = set->kept[i];
        *end = at;
        end += logits[at] >= set->least;
    }
    set->count = (int)(end - set->kept);
}

/* ---- weights ---- */

/* Each x, 0 or less, becomes e^x within 2 units in the last place; 0 below -708. By e^x = 2^n e^r
 * and the series of e^r; 0x1.8p52 rounds to an integer, which is left in the low bits. */
static void exp_each(double *x, int count) {
    const double round = 0x1.8p52, ln2_high = 0x1.62e42fefap-1, ln2_low = 0x1.cf79abc9e3b39p-40;
    for (int i = 0; i < count; ++i) {
        double shifted = x[i] * 0x1.71547652b82fep0 + round, n = shifted - round;
        double r = (x[i] - n * ln2_high) - n * ln2_low, s = r * r;
        double even = 1.0 / 479001600.0, odd = 1.0 / 6227020800.0;
        even = even * s + 1.0 / 3628800.0;
        odd = odd * s + 1.0 / 39916800.0;
        even = even * s + 1.0 / 40320.0;
        odd = odd * s + 1.0 / 362880.0;
        even = even * s + 1.0 / 720.0;
        odd = odd * s + 1.0 / 5040.0;
        even = even * s + 1.0 / 24.0;
        odd = odd * s + 1.0 / 120.0;
        even = even * s + 1.0 / 2.0;
        odd = odd * s + 1.0 / 6.0;
        double power = 1.0 + (r + s * (even + r * odd));
        uint64_t exponent, bits;
        memcpy(&exponent, &shifted, sizeof exponent);
        memcpy(&bits, &power, sizeof bits);
        bits += exponent << 52;
        memcpy(&power, &bits, sizeof power);
        x[i] = x[i] < -708.0 ? 0.0 : power;
    }
}

/* Weights of (count) kept from `first` on, at most BLOCK; in `block` where set has no room. */
static const double *weigh(const kept_set *set, const float *logits, int first, int count,
                           double block[BLOCK]) {
    double *out = set->weights ? set->weights + first : block;
    if (set->weights && set->weighed) return out;
    for (int i = 0; i < count; ++i)
        out[i] = (double)logits[set->kept[first + i]] - (double)set->peak;
    exp_each(out, count);
    return out;
}

static int count_block(const kept_set *set, int first) {
    return set->count - first < BLOCK ? set->count - first : BLOCK;
}

/* ---- top p ---- */

/* A range of logits, from the least likely up, that holds the end of the nucleus. */
typedef struct cut_range {
    float low, high;
    int members;
    float few[FEW]; /* (members), where they are no more */
    double dropped; /* weight below the range */
} cut_range;

typedef struct bins {
    double weight[BINS];
    int count[BINS];
} bins;

/* Rounds alike wherever it is asked and does not fall as x rises; low and high never share a bin.
 */
static int find_bin(const cut_range *range, double scale, float x) {
    return (int)(((double)x - (double)range->low) * scale);
}

/* Fills the bins from the range; gives the weight of all kept, in or out of it. */
static double fill_bins(bins *b, kept_set *set, const float *logits, const cut_range *range,
                        double scale) {
    double block[BLOCK], total = 0.0;
    *b = (bins){0};
    for (int first = 0; first < set->count; first += BLOCK) {
        int count = count_block(set, first);
        const double *weights = weigh(set, logits, first, count, block);
        for (int i = 0; i < count; ++i) {
            float x = logits[set->kept[first + i]];
            total += weights[i];
            if (!(x >= range->low && x <= range->high)) continue;
            int bin = find_bin(range, scale, x);
            b->weight[bin] += weights[i];
            ++b->count[bin];
        }
    }
    set->weighed = true;
    return total;
}

/* Makes the range what lies in one of its bins. */
static void enter_bin(cut_range *range, const kept_set *set, const float *logits, double scale,
                      int chosen) {
    cut_range inner = {.low = INFINITY, .high = -INFINITY, .dropped = range->dropped};
    for (int i = 0; i < set->count; ++i) {
        float x = logits[set->kept[i]];
        if (!(x >= range->low && x <= range->high) || find_bin(range, scale, x) != chosen) continue;
        if (inner.members < FEW) inner.few[inner.members] = x;
        if (x < inner.low) inner.low = x;
        if (x > inner.high) inner.high = x;
        ++inner.members;
    }
    *range = inner;
}

/* Closes in on the end of the nucleus until all members are equal or few; gives the weight that
 * may be dropped. Every round at least parts the extremes. */
static double narrow_range(cut_range *range, kept_set *set, const float *logits, double share) {
    bins b;
    set->total = range->members; /* if all are equal */
    double budget = share * set->total;
    for (bool first = true; range->low < range->high && (first || range->members > FEW);
         first = false) {
        double scale = (BINS - 1) / ((double)range->high - (double)range->low);
        double total = fill_bins(&b, set, logits, range, scale);
        if (first) {
            set->total = total;
            budget = share * total;
        }
        int bin = 0, last = BINS - 1;
        while (last > 0 && b.count[last] == 0) --last;
        while (bin < last && range->dropped + b.weight[bin] <= budget)
            range->dropped += b.weight[bin++];
        enter_bin(range, set, logits, scale, bin);
    }
    return budget;
}

/* As the original: from the least likely up, and among equals from the lowest index up, what
 * cumulates to no more than 1 - top_p goes; the most likely stays. */
static void keep_top_p(kept_set *set, const float *logits, float top_p) {
    cut_range range = {.low = (float)((double)set->peak - FARTHEST), .high = set->peak};
    if (set->least > range.low) range.low = set->least;
    for (int i = 0; i < set->count; ++i) range.members += logits[set->kept[i]] >= range.low;
    double budget = narrow_range(&range, set, logits, 1.0 - (double)top_p);

    bool equal = range.low == range.high;
    double weights[FEW];
    if (equal) range.few[0] = range.low;
    int distinct = equal ? 1 : range.members, cut = 0;
    sort_few(range.few, distinct);
    for (int i = 0; i < distinct; ++i) weights[i] = (double)range.few[i] - (double)set->peak;
    exp_each(weights, distinct);
    for (; cut < range.members - 1; ++cut) {
        /* as many members as weights, but where all are equal
         * NOLINTNEXTLINE(clang-analyzer-core.uninitialized.Assign) */
        double weight = weights[equal ? 0 : cut];
        if (range.dropped + weight > budget) break;
        range.dropped += weight;
    }
    set->least = range.few[equal ? 0 : cut];
    set->cut_ties = 0;
    for (int i = 0; i < cut; ++i) set->cut_ties += equal || range.few[i] == set->least;
    set->total -= range.dropped;
}

/* ---- a row ---- */

/* room: vocab * 4 bytes, aligned for doubles */
static kept_set filter_top(float *logits, int vocab, int top_k, float top_p, void *room) {
    kept_set set = {.kept = room};
    find_extremes(logits, vocab, &set.least, &set.peak);
    if (top_k > 0 && top_k < vocab)
        keep_top_k(&set, logits, vocab, top_k);
    else
        set.count = gather_above(logits, vocab, -INFINITY, set.kept);
    size_t indices = ((size_t)set.count + 1) / 2 * 2 * sizeof *set.kept;
    if (indices + (size_t)set.count * sizeof(double) <= (size_t)vocab * sizeof *logits)
        set.weights = (double *)((char *)room + indices);
    if (top_p > 0.0f && top_p < 1.0f) keep_top_p(&set, logits, top_p);
    drop_others(&set, logits, vocab);
    gather_kept(&set, logits);
    return set;
}

static int32_t arg_max(const float *logits, int vocab) {
    float least, peak;
    find_extremes(logits, vocab, &least, &peak);
    int32_t i = 0;
    while (i < vocab - 1 && logits[i] != peak) ++i;
    return i;
}

/* The token at which the cumulated weight passes share u, in [0, 1), of all that stays. */
static int32_t draw_kept(kept_set *set, const float *logits, double u) {
    double block[BLOCK];
    if (set->total <= 0.0) {
        for (int first = 0; first < set->count; first += BLOCK) {
            int count = count_block(set, first);
            const double *weights = weigh(set, logits, first, count, block);
            for (int i = 0; i < count; ++i) set->total += weights[i];
        }
        set->weighed = true;
    }
    double point = set->total * u;
    for (int first = 0; first < set->count; first += BLOCK) {
        int count = count_block(set, first);
        const double *weights = weigh(set, logits, first, count, block);
        for (int i = 0; i < count; ++i) {
            point -= weights[i];
            if (point < 0.0) return set->kept[first + i];
        }
    }
    /* rounding may leave point at 0: the last token with probability */
    for (int i = set->count - 1; i > 0; --i)
        if (weigh(set, logits, i, 1, block)[0] > 0.0) return set->kept[i];
    return set->kept[0];
}

static void sample_row(const vt_kern *kern, int vocab, const vt_sample_part *part, int r,
                       void *room) {
    const size_t numbers = (size_t)vocab, at = (size_t)r * numbers;
    const uint32_t position = part->position + (uint32_t)r;
    float *logits = part->cond + at;
    if (part->uncond)
        vt_cpu_loops(kern)->axpby(logits, -part->guide, part->uncond + at, 1.0f + part->guide,
                                  numbers);
    if (!vt_all_finite(logits, numbers)) {
        part->tokens[r] = -1;
        if (part->weights) memset(part->weights + at, 0, numbers * sizeof *part->weights);
        return;
    }
    if (part->greedy) {
        part->tokens[r] = arg_max(logits, vocab);
    } else {
        kept_set set = filter_top(logits, vocab, part->top_k, part->top_p, room);
        double u = vt_uniform(part->seed, VT_RNG_SAMPLE, part->image, part->scale, position);
        part->tokens[r] = draw_kept(&set, logits, u);
    }
    if (part->weights) vt_ref_mix(part->weights + at, logits, vocab, part, position);
    if (part->filtered && part->filtered != part->cond)
        memcpy(part->filtered + at, logits, numbers * sizeof *logits);
}

/* ---- all rows of all parts ---- */

/* Bytes of a thread's room. */
static size_t room_bytes(int vocab) {
    return ((size_t)vocab * sizeof(float) + 63) / 64 * 64;
}

/* Tasks are rows, counted through the parts. */
static void sample_rows(const vt_kern *kern, const void *args, vt_span span) {
    const vt_sample *a = args;
    void *room = (char *)a->workspace + (size_t)span.thread * room_bytes(a->vocab);
    int64_t begin = 0; /* of the part */
    for (const vt_sample_part *part = a->parts; begin < span.end; begin += part++->rows) {
        const int64_t first = span.begin > begin ? span.begin - begin : 0;
        const int64_t end = span.end - begin < part->rows ? span.end - begin : part->rows;
        for (int64_t r = first; r < end; ++r) sample_row(kern, a->vocab, part, (int)r, room);
    }
}

static void sample(vt_kern *kern, const vt_sample *a) {
    int64_t rows = 0;
    for (int i = 0; i < a->count; ++i) rows += a->parts[i].rows;
    vt_cpu_split(kern, rows > 1, rows, sample_rows, a);
}

static size_t sample_workspace(const vt_kern *kern, const vt_sample *a) {
    return (size_t)kern->threads * room_bytes(a->vocab);
}

void vt_cpu_fill_sample(vt_kern *kern) {
    kern->sample_workspace = sample_workspace;
    kern->sample = sample;
}

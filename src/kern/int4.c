/* int4.c - see int4.h. Compiled once, for any processor, since weights are to be the same everywhere. */
#include "kern/int4.h"

#include <math.h>
#include <stdbool.h>
#include <string.h>
#if defined(__SSE2__)
#include <emmintrin.h>
#endif

enum { GROUP = VT_INT4_GROUP, CANDIDATES = 16 };

/* What the number of largest size in a group becomes, before it is rounded and cut. */
static const float candidates[CANDIDATES] = {-9.8f, -9.4f, -9.0f, -8.7f, -8.4f, -8.1f, -7.8f, -7.5f,
                                             -7.2f, -6.9f, -6.6f, -6.3f, 6.6f,  7.0f,  7.4f,  7.8f};

/* Four numbers at a time, by what compilers have for vectors of any processor. */
typedef float lanes __attribute__((vector_size(16)));
typedef int32_t masks __attribute__((vector_size(16)));
enum { LANES = 4 };

/* Of two numbers each the smaller, and the larger. */
#if defined(__SSE2__)
static inline lanes smaller(lanes a, lanes b) {
    return _mm_min_ps(a, b);
}
static inline lanes larger(lanes a, lanes b) {
    return _mm_max_ps(a, b);
}
#else
static inline lanes chosen(masks where, lanes a, lanes b) {
    return (lanes)((where & (masks)a) | (~where & (masks)b));
}
static inline lanes smaller(lanes a, lanes b) {
    return chosen(a < b, a, b);
}
static inline lanes larger(lanes a, lanes b) {
    return chosen(a > b, a, b);
}
#endif

static inline lanes all(float x) {
    return (lanes){x, x, x, x};
}

/* x to the nearest of -8 .. 7, ties to even. Adding 1.5 * 2^23 rounds. */
static inline lanes rounded(lanes x) {
    const lanes magic = all(12582912.0f);
    return smaller(larger(x, all(VT_INT4_LEAST)), all(VT_INT4_MOST)) + magic - magic;
}

static int8_t *scales_of(uint8_t *record) {
    return (int8_t *)record + sizeof(float);
}

static uint8_t *group_of(uint8_t *record, size_t k, size_t group) {
    return record + sizeof(float) + vt_int4_groups(k) + group * VT_INT4_BYTES;
}

/* Where number i of a group has its bits: the byte, and by how many they are shifted. */
static size_t byte_of(size_t i) {
    return i / 8 * 4 + i % 4;
}

static int shift_of(size_t i) {
    return i / 4 % 2 ? 4 : 0;
}

/* The largest size, or what is not finite. */
static float largest(const float *row, size_t k) {
    float most = 0.0f;
    bool finite = true;
    for (size_t i = 0; i < k; ++i) {
        finite = finite && isfinite(row[i]);
        most = fabsf(row[i]) > most ? fabsf(row[i]) : most;
    }
    return finite ? most : NAN;
}

/* Sums over a group of the weighed squares of q, and of q by x, of each candidate. */
typedef struct sums {
    float qq[CANDIDATES], qx[CANDIDATES];
} sums;

static void add_group(sums *s, const float *inverse, const float *x, const float *importance) {
    for (int first = 0; first < CANDIDATES; first += LANES) {
        lanes by, qq = all(0.0f), qx = all(0.0f);
        memcpy(&by, inverse + first, sizeof by);
        for (int i = 0; i < GROUP; ++i) {
            const lanes q = rounded(all(x[i]) * by), weighed = q * all(importance[i]);
            qq += weighed * q;
            qx += weighed * all(x[i]);
        }
        memcpy(s->qq + first, &qq, sizeof qq);
        memcpy(s->qx + first, &qx, sizeof qx);
    }
}

/* The scale of a group: of each candidate the one that suits its q best, and of those the best. */
static float group_scale(const float *x, const float *importance) {
    float size = 0.0f, inverse[CANDIDATES], best = 0.0f, won = 0.0f;
    for (int i = 0; i < GROUP; ++i)
        if (fabsf(x[i]) > fabsf(size)) size = x[i];
    if (fabsf(size) < 0x1p-60f) return 0.0f; /* of the row's largest */
    for (int c = 0; c < CANDIDATES; ++c) inverse[c] = candidates[c] / size;
    sums s;
    add_group(&s, inverse, x, importance);
    for (int c = 0; c < CANDIDATES; ++c) {
        const float gain = s.qq[c] > 0.0f ? s.qx[c] * s.qx[c] / s.qq[c] : 0.0f;
        if (gain <= won) continue;
        won = gain;
        best = s.qx[c] / s.qq[c];
    }
    return best;
}

/* Group `group` of a row over its largest size, filled up with zeros, and its importance. */
static void group_read(float *x, float *weight, const float *row, const float *importance, size_t k,
                       size_t group, float most) {
    const size_t first = group * GROUP, count = k - first < GROUP ? k - first : GROUP;
    memset(x, 0, GROUP * sizeof *x);
    memcpy(x, row + first, count * sizeof *x);
    for (int j = 0; j < GROUP; ++j) x[j] /= most;
    for (int j = 0; j < GROUP; ++j) weight[j] = 1.0f;
    if (importance) memcpy(weight, importance + first, count * sizeof *weight);
}

/* The integer nearest to a scale; never 0, by which nothing could be divided. */
static int8_t scale_integer(float scale, float unit) {
    const float integer = rintf(scale / unit);
    if (integer != 0.0f) return (int8_t)integer;
    return scale < 0.0f ? -1 : 1;
}

/* The groups' scales, over the row's largest size; each waits as a float where its numbers will be. Gives the widest. */
static float find_scales(uint8_t *record, const float *row, const float *importance, size_t k,
                         float most) {
    float x[GROUP], weight[GROUP], widest = 0.0f;
    for (size_t g = 0; g < vt_int4_groups(k); ++g) {
        group_read(x, weight, row, importance, k, g, most);
        const float own = group_scale(x, weight);
        widest = fabsf(own) > widest ? fabsf(own) : widest;
        memcpy(group_of(record, k, g), &own, sizeof own);
    }
    return widest;
}

void vt_int4_scales(uint8_t *record, const float *row, const float *importance, size_t k) {
    const size_t groups = vt_int4_groups(k);
    const float most = largest(row, k);
    float widest = 0.0f, scale = isnan(most) ? NAN : 1.0f, own;
    memset(record, 0, vt_int4_record(k));
    memset(scales_of(record), 1, groups);
    if (most >= 0x1p-100f) widest = find_scales(record, row, importance, k, most);
    for (size_t g = 0; g < groups && widest > 0.0f; ++g) {
        memcpy(&own, group_of(record, k, g), sizeof own);
        scales_of(record)[g] = scale_integer(own, widest / 127.0f);
    }
    if (widest > 0.0f) scale = most * (widest / 127.0f);
    memcpy(record, &scale, sizeof scale);
    memset(group_of(record, k, 0), 0x88, groups * VT_INT4_BYTES);
}

/* A group's bytes: lanes of four numbers are neighbours in the halves of four bytes. */
static void group_round(uint8_t *bytes, const float *x, float inverse) {
    for (int i = 0; i < GROUP; i += 2 * LANES, bytes += LANES) {
        lanes low, high;
        memcpy(&low, x + i, sizeof low);
        memcpy(&high, x + i + LANES, sizeof high);
        const lanes both = rounded(low * all(inverse)) - all(VT_INT4_LEAST) +
                           all(16.0f) * (rounded(high * all(inverse)) - all(VT_INT4_LEAST));
        float numbers[LANES];
        memcpy(numbers, &both, sizeof numbers);
        for (int j = 0; j < LANES; ++j) bytes[j] = (uint8_t)numbers[j];
    }
}

void vt_int4_round(uint8_t *record, const float *row, size_t k) {
    const float most = largest(row, k), scale = vt_int4_scale(record);
    float x[GROUP], weight[GROUP];
    if (!(most >= 0x1p-100f) || isnan(scale)) return;
    for (size_t g = 0; g < vt_int4_groups(k); ++g) {
        group_read(x, weight, row, NULL, k, g, most);
        group_round(group_of(record, k, g), x,
                    1.0f / ((float)scales_of(record)[g] * (scale / most)));
    }
}

void vt_int4_encode(uint8_t *record, const float *row, const float *importance, size_t k) {
    vt_int4_scales(record, row, importance, k);
    vt_int4_round(record, row, k);
}

float vt_int4_scale(const uint8_t *record) {
    float scale;
    memcpy(&scale, record, sizeof scale);
    return scale;
}

float vt_int4_step(const uint8_t *record, size_t i) {
    const int8_t scale = scales_of((uint8_t *)(uintptr_t)record)[i / GROUP];
    return (float)scale * vt_int4_scale(record);
}

void vt_int4_put(uint8_t *record, size_t k, size_t i, int q) {
    uint8_t *byte = group_of(record, k, i / GROUP) + byte_of(i % GROUP);
    const int shift = shift_of(i % GROUP);
    *byte = (uint8_t)((*byte & (0xf0 >> shift)) | (q - VT_INT4_LEAST) << shift);
}

void vt_int4_decode(const uint8_t *record, size_t k, float *out) {
    uint8_t *own = (uint8_t *)(uintptr_t)record;
    for (size_t i = 0; i < k; ++i) {
        const uint8_t byte = group_of(own, k, i / GROUP)[byte_of(i % GROUP)];
        const int q = (byte >> shift_of(i % GROUP) & 15) + VT_INT4_LEAST;
        const int product = q * scales_of(own)[i / GROUP];
        out[i] = (float)product;
    }
}

/* rng.c - see rng.h. */
#include "core/rng.h"

#include <math.h>

void vt_philox(uint64_t seed, const uint32_t counter[4], uint32_t out[4]) {
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    uint32_t k0 = (uint32_t)seed, k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; ++round) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        uint32_t n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

static double unit_double(uint32_t high, uint32_t low) {
    uint64_t bits = ((uint64_t)high << 32 | low) >> 11;
    return (double)bits * 0x1p-53;
}

double vt_uniform(uint64_t seed, enum vt_rng_purpose purpose, uint32_t a, uint32_t b, uint32_t c) {
    uint32_t word[4];
    vt_philox(seed, (uint32_t[4]){a, b, c, (uint32_t)purpose}, word);
    return unit_double(word[0], word[1]);
}

void vt_normal_fill(float *out, size_t n, uint64_t seed, uint32_t tensor) {
    for (size_t i = 0; i < n; i += 2) {
        uint32_t word[4];
        size_t pair = i / 2;
        vt_philox(seed, (uint32_t[4]){tensor, (uint32_t)pair, (uint32_t)(pair >> 32), VT_RNG_INIT},
                  word);
        double radius = sqrt(-2.0 * log(1.0 - unit_double(word[0], word[1])));
        double angle = 6.283185307179586 * unit_double(word[2], word[3]);
        out[i] = (float)(radius * cos(angle));
        if (i + 1 < n) out[i + 1] = (float)(radius * sin(angle));
    }
}

void vt_permutation(uint32_t *out, uint32_t n, uint64_t seed, uint32_t epoch) {
    for (uint32_t i = 0; i < n; ++i) out[i] = i;
    for (uint32_t i = n; i > 1; --i) {
        uint32_t j = (uint32_t)(vt_uniform(seed, VT_RNG_SHUFFLE, epoch, i, 0) * i);
        uint32_t swapped = out[i - 1];
        out[i - 1] = out[j];
        out[j] = swapped;
    }
}

uint64_t vt_fnv1a64_more(uint64_t hash, const void *bytes, size_t n) {
    const unsigned char *p = bytes;
    for (size_t i = 0; i < n; ++i) hash = (hash ^ p[i]) * 0x100000001b3u;
    return hash;
}

uint64_t vt_fnv1a64(const void *bytes, size_t n) {
    return vt_fnv1a64_more(0xcbf29ce484222325u, bytes, n);
}

uint64_t vt_splitmix64(uint64_t x) {
    x += 0x9E3779B97F4A7C15u;
    x = (x ^ x >> 30) * 0xBF58476D1CE4E5B9u;
    x = (x ^ x >> 27) * 0x94D049BB133111EBu;
    return x ^ x >> 31;
}

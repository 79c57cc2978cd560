/* rng.h - counter-based random numbers (Philox 4x32-10, Salmon et al., "Parallel Random Numbers: As
 * Easy as 1, 2, 3", SC 2011), and the hash that synthetic weights are made of.
 *
 * Philox has no state: a draw is a function of (seed, where). That is what makes a picture
 * independent of the thread count, the batch size and its neighbours in the batch. */
#ifndef VT_CORE_RNG_H
#define VT_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Four 32-bit words for the key `seed` and the four counters. */
void vt_philox(uint64_t seed, const uint32_t counter[4], uint32_t out[4]);

/* Purposes keep streams of one seed apart (the counter's last word). */
enum vt_rng_purpose {
    VT_RNG_SAMPLE = 1, /* counters: image, scale, token */
    VT_RNG_GUMBEL,     /* counters: image, scale, token * vocabulary block */
    VT_RNG_INIT,       /* counters: tensor, element block, 0 */
    VT_RNG_SHUFFLE,    /* counters: epoch, element, 0 */
    VT_RNG_AUGMENT,    /* counters: step low, step high, picture */
    VT_RNG_DROP,       /* counters: step low, step high, picture */
    VT_RNG_DEPTH,      /* counters: step low, step high, 0: path, 1: depth, 2: bridge */
    VT_RNG_REVIVE,     /* counters: step, code, 0 */
    VT_RNG_CLASS,      /* counters: image, 0, 0 */
    VT_RNG_ERASE,      /* counters: step low, step high, picture */
    VT_RNG_BOOTSTRAP,  /* counters: draw, sample, which score */
    VT_RNG_SCALE       /* counters: step low, step high, picture */
};

/* One uniform double in [0, 1) with 53 bits; counters a, b, c and the purpose. */
double vt_uniform(uint64_t seed, enum vt_rng_purpose purpose, uint32_t a, uint32_t b, uint32_t c);

/* n floats, standard normal (Box-Muller), counters (tensor, block): fills weights at
 * initialisation. */
void vt_normal_fill(float *out, size_t n, uint64_t seed, uint32_t tensor);

/* out[0..n) = a random permutation of 0..n-1 (Fisher-Yates on VT_RNG_SHUFFLE). */
void vt_permutation(uint32_t *out, uint32_t n, uint64_t seed, uint32_t epoch);

/* FNV-1a, 64 bits, of n bytes; and splitmix64's output function. */
uint64_t vt_fnv1a64(const void *bytes, size_t n);
uint64_t vt_fnv1a64_more(uint64_t hash, const void *bytes, size_t n);
uint64_t vt_splitmix64(uint64_t x);

#endif

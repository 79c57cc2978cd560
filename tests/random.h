/* random.h - numbers for randomised checks: xorshift64, the same on every machine. A test that wants a
 * sequence of its own defines RANDOM_SEED (not 0) before. */
#ifndef VT_TESTS_RANDOM_H
#define VT_TESTS_RANDOM_H

#include <stdint.h>

#ifndef RANDOM_SEED
#define RANDOM_SEED 88172645463325252u
#endif

static inline uint32_t random_bits(void) {
    static uint64_t state = RANDOM_SEED;
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return (uint32_t)(state >> 16);
}

/* low to high, both included */
static inline int random_int(int low, int high) {
    return low + (int)(random_bits() % (uint32_t)(high - low + 1));
}

/* [-1, 1) */
static inline float random_float(void) {
    return (float)random_bits() / 2147483648.0f - 1.0f;
}

#endif

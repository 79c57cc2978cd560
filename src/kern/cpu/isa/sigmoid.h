/* sigmoid.h - the sigmoid of loops that a compiler turns into vectors (picture_loops.c, map_work.h): no call, no branch. */
#ifndef VT_KERN_CPU_ISA_SIGMOID_H
#define VT_KERN_CPU_ISA_SIGMOID_H

#include <stdint.h>
#include <string.h>

/* e^x to about 2e-7 relative, for x clamped to where the result is a normal float. A NaN stays one.
 * Adding `round` leaves the nearest integer to x / ln 2 in the low bits, from where it goes to the
 * exponent. */
static inline float exp_clamped(float x) {
    const float round = 12582912.0f; /* 1.5 * 2^23 */
    x = x < -87.0f ? -87.0f : x;
    x = x > 87.0f ? 87.0f : x;
    float shifted = x * 1.44269504f + round, n = shifted - round;
    float r = (x - n * 0.693359375f) + n * 2.12194440e-4f; /* ln 2 in two parts */
    float p = 1.38888889e-3f;
    p = p * r + 8.33333333e-3f;
    p = p * r + 4.16666667e-2f;
    p = p * r + 1.66666667e-1f;
    p = p * r + 0.5f;
    p = p * r + 1.0f;
    p = p * r + 1.0f;
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits << 23) + 0x3f800000u;
    float power;
    memcpy(&power, &bits, sizeof power);
    return p * power;
}

static inline float sigmoid(float u) {
    return 1.0f / (1.0f + exp_clamped(-u));
}

#endif

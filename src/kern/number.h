/* number.h - bf16 and int8 as both backends round them: to nearest even; a bf16 NaN stays NaN. */
#ifndef VT_KERN_NUMBER_H
#define VT_KERN_NUMBER_H

#include <stdint.h>
#include <string.h>

#include "kern/kern.h"

typedef uint16_t vt_bf16;

static inline vt_bf16 vt_to_bf16(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    if ((bits & 0x7fffffffu) > 0x7f800000u) return (vt_bf16)(bits >> 16 | 0x40u);
    return (vt_bf16)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

static inline float vt_from_bf16(vt_bf16 half) {
    uint32_t bits = (uint32_t)half << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static inline float vt_round_bf16(float value) {
    return vt_from_bf16(vt_to_bf16(value));
}

enum {
    VT_INT8_BLOCK = 128,  /* numbers of a row of x that share a scale in int8 products */
    VT_INT8_WHOLE = 65536 /* depth up to which a whole row may: sums of 255 * 127 fit 32 bits */
};

/* Int8 numbers whose largest size is `most`, finite, are round(x * inverse), to nearest even: within
 * -127 .. 127, and stand for the number times the scale. Where all sizes are below 2^-100 they are 0. */
static inline float vt_int8_scale(float most) {
    return most >= 0x1p-100f ? most / 127.0f : 1.0f;
}

static inline float vt_int8_inverse(float most) {
    return most >= 0x1p-100f ? 127.0f / most : 0.0f;
}

#endif

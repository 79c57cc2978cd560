/* number.h - bf16 as both backends round it: to nearest even, NaN stays NaN. */
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

#endif

/* finite.h - are numbers numbers? By their bits, which compilers turn into a pass at memory speed. */
#ifndef VT_CORE_FINITE_H
#define VT_CORE_FINITE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* None of them is NaN or infinite. */
static inline bool vt_all_finite(const float *numbers, size_t count) {
    int32_t most = 0; /* sizes order as their bits do, infinity and NaN last */
    for (size_t i = 0; i < count; ++i) {
        int32_t bits;
        memcpy(&bits, numbers + i, sizeof bits);
        bits &= 0x7fffffff;
        most = bits > most ? bits : most;
    }
    return most < 0x7f800000;
}

#endif

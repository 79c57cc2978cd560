/* train_vectors.h - a vector of numbers at a time, as the inner loops of training are written: 16 floats, 8 with AVX2 (compilers
 * cut wider ones than the registers, but keep them in memory). bf16 conversions have instructions of their own where the
 * processor does. Called by train_loops.c and train_gelu.h, which are compiled once an instruction set. */
#ifndef VT_KERN_CPU_ISA_TRAIN_VECTORS_H
#define VT_KERN_CPU_ISA_TRAIN_VECTORS_H

#include <math.h>
#include <stdint.h>
#include <string.h>
#if defined(__FMA__)
#include <immintrin.h>
#endif

#define INLINE static inline __attribute__((always_inline))
/* How a vector wider than the registers would be handed over: none is, all is inlined. */
#pragma GCC diagnostic ignored "-Wpsabi"

#if defined(__AVX2__) && defined(__FMA__) && !defined(__AVX512F__)
#define EIGHT 1 /* lanes, and AVX2's own instructions */
enum { LANES = 8 };
#else
#define EIGHT 0
enum { LANES = 16 };
#endif

typedef float vector __attribute__((vector_size(4 * LANES)));
typedef int32_t ints __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));
typedef uint16_t shorts __attribute__((vector_size(2 * LANES)));

INLINE vector load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

INLINE void store(float *to, vector v) {
    memcpy(to, &v, sizeof v);
}

INLINE vector load_bf16(const uint16_t *from) {
#if defined(__AVX512F__)
    __m256i narrow = _mm256_loadu_si256((const __m256i *)(const void *)from);
    return (vector)_mm512_slli_epi32(_mm512_cvtepu16_epi32(narrow), 16);
#else
    shorts h;
    memcpy(&h, from, sizeof h);
    return (vector)(__builtin_convertvector(h, words) << 16);
#endif
}

/* a b + c, in one rounding where the processor can */
INLINE vector fma_of(vector a, vector b, vector c) {
#if defined(__AVX512F__)
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif EIGHT
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

INLINE void store_bf16(uint16_t *to, vector v) {
#if defined(__AVX512BF16__)
    _mm256_storeu_si256((__m256i *)(void *)to, (__m256i)_mm512_cvtneps_pbh((__m512)v));
#else
    words bits = (words)v;
    words rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    words nan = (words)((bits & 0x7fffffffu) > 0x7f800000u);
    shorts h = __builtin_convertvector((rounded & ~nan) | ((bits >> 16 | 0x40u) & nan), shorts);
    memcpy(to, &h, sizeof h);
#endif
}

#if defined(__AVX512F__)
INLINE __mmask16 first_of(int n) {
    return (__mmask16)(n >= LANES ? 0xffff : (1 << n) - 1);
}
#endif

/* The first n, the others zero; n at least 1. */
INLINE vector load_part(const float *from, int n) {
#if defined(__AVX512F__)
    return (vector)_mm512_maskz_loadu_ps(first_of(n), from);
#else
    if (n >= LANES) return load(from);
    vector v = {0};
    memcpy(&v, from, (size_t)n * sizeof *from);
    return v;
#endif
}

INLINE void store_part(float *to, vector v, int n) {
#if defined(__AVX512F__)
    _mm512_mask_storeu_ps(to, first_of(n), (__m512)v);
#else
    memcpy(to, &v, (size_t)(n < LANES ? n : LANES) * sizeof *to);
#endif
}

INLINE vector load_bf16_part(const uint16_t *from, int n) {
    if (n >= LANES) return load_bf16(from);
    uint16_t part[LANES] = {0};
    memcpy(part, from, (size_t)n * sizeof *from);
    return load_bf16(part);
}

INLINE void store_bf16_part(uint16_t *to, vector v, int n) {
    if (n >= LANES) {
        store_bf16(to, v);
        return;
    }
    uint16_t part[LANES];
    store_bf16(part, v);
    memcpy(to, part, (size_t)n * sizeof *to);
}

#if !defined(__AVX512F__)
INLINE vector choose(ints mask, vector a, vector b) {
    return (vector)((mask & (ints)a) | (~mask & (ints)b));
}
#endif

INLINE vector larger(vector a, vector b) {
#if defined(__AVX512F__)
    return (vector)_mm512_max_ps((__m512)a, (__m512)b);
#elif EIGHT
    return (vector)_mm256_max_ps((__m256)a, (__m256)b);
#else
    return choose(a > b, a, b);
#endif
}

INLINE vector smaller(vector a, vector b) {
#if defined(__AVX512F__)
    return (vector)_mm512_min_ps((__m512)a, (__m512)b);
#elif EIGHT
    return (vector)_mm256_min_ps((__m256)a, (__m256)b);
#else
    return choose(a < b, a, b);
#endif
}

/* The first n of v, the others those of `rest`. */
INLINE vector first_part(vector v, int n, vector rest) {
#if defined(__AVX512F__)
    return (vector)_mm512_mask_mov_ps((__m512)rest, first_of(n), (__m512)v);
#else
    static const int32_t counting[] = {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15};
    ints lane;
    memcpy(&lane, counting, sizeof lane);
    return choose(lane < ((ints){0} + n), v, rest);
#endif
}

INLINE vector all(float x) {
    return (vector){0} + x;
}

/* Lanes added pairwise. */
INLINE float sum_of(vector v) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)v);
#else
    float x[LANES];
    memcpy(x, &v, sizeof x);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int i = 0; i < half; ++i) x[i] += x[i + half];
    return x[0];
#endif
}

INLINE float most_of(vector v) {
#if defined(__AVX512F__)
    return _mm512_reduce_max_ps((__m512)v);
#else
    float x[LANES], most;
    memcpy(x, &v, sizeof x);
    most = x[0];
    for (int i = 1; i < LANES; ++i) most = x[i] > most ? x[i] : most;
    return most;
#endif
}

/* 2^z for z from -126 to 127; below it 2^-126. 2^n times Taylor's polynomial in z - n, |z - n| <= 1/2, good
 * to 2.5e-6: what it makes is rounded to bf16, or summed. */
INLINE vector exp2_of(vector z) {
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */
    z = smaller(all(127.0f), larger(all(-126.0f), z)); /* NaN passes */
    vector shifted = z + magic;
    vector f = z - (shifted - magic);
    vector power = (vector)(((words)shifted << 23) + 0x3f800000u);
    vector p = fma_of(all(1.3333558e-3f), f, all(9.6181291e-3f));
    p = fma_of(p, f, all(5.5504109e-2f));
    p = fma_of(p, f, all(2.4022651e-1f));
    p = fma_of(p, f, all(6.9314718e-1f));
    p = fma_of(p, f, all(1.0f));
    return p * power;
}

/* 1 / v */
INLINE vector inverse(vector v) {
#if defined(__AVX512F__)
    __m512 r = _mm512_rcp14_ps((__m512)v); /* good to 2^-14; one step of Newton's doubles that */
    return (vector)r * fma_of(-v, (vector)r, all(2.0f));
#else
    return 1.0f / v;
#endif
}

#endif

/* attention_vectors.h - vectors of an instruction set, for the loops of attention that are compiled once for each (attention_loops.c,
 * attention_softmax.h). */
#ifndef VT_KERN_CPU_ISA_ATTENTION_VECTORS_H
#define VT_KERN_CPU_ISA_ATTENTION_VECTORS_H

#include "kern/cpu/isa/attention_loops.h"

#include <math.h>
#include <string.h>

#include "kern/cpu/isa/fma.h"
#include "kern/number.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#if defined(__AVX512F__) && defined(__AVX512BW__)
#include "kern/cpu/isa/transpose.h"
#define WIDE 1
#else
#define WIDE 0
#endif

enum { PANEL = VT_ATTENTION_PANEL, KEYS = VT_ATTENTION_KEYS };

static inline int least(int a, int b) {
    return a < b ? a : b;
}

/* A vector is a register: 16 numbers with AVX-512, 8 with AVX, 4 without. */
#if WIDE
#define LANES 16
#elif defined(__AVX__)
#define LANES 8
#else
#define LANES 4
#endif
#define VECTORS (PANEL / LANES) /* of a panel's row */

typedef float vector __attribute__((vector_size(4 * LANES)));

static inline vector load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

static inline vector splat(float x) {
#if LANES == 16
    return (vector){x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x};
#elif LANES == 8
    return (vector){x, x, x, x, x, x, x, x};
#else
    return (vector){x, x, x, x};
#endif
}

/* Spelt out, because it must be the same operation in every tile shape. */
static inline vector multiply_add(vector a, vector b, vector c) {
#if WIDE
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

static inline void store(float *to, vector v) {
    memcpy(to, &v, sizeof v);
}

#endif

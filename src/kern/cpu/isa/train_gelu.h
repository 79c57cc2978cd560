/* train_gelu.h - GELU in its tanh form and its derivative, a vector at a time, for training: good to what bf16 holds. Called by
 * train_loops.c. */
#ifndef VT_KERN_CPU_ISA_TRAIN_GELU_H
#define VT_KERN_CPU_ISA_TRAIN_GELU_H

#include "kern/cpu/isa/gelu_pieces.h"
#include "kern/cpu/isa/train_vectors.h"

#if defined(__AVX512F__)
/* gelu(x) = max(x, 0) - g(|x|), g of 32 cubics whose coefficients a permutation of two registers finds: half of the
 * work that powers and quotients are. */
typedef struct gelu_pieces {
    __m512 low[4], high[4]; /* of 1, y, y^2, y^3; pieces 0 to 15, 16 to 31 */
} gelu_pieces;

INLINE gelu_pieces gelu_begin(void) {
    gelu_pieces p;
    for (int i = 0; i < 4; ++i) {
        p.low[i] = _mm512_loadu_ps(vt_gelu_pieces[i]);
        p.high[i] = _mm512_loadu_ps(vt_gelu_pieces[i] + LANES);
    }
    return p;
}

/* The factors of y's piece: of 1, y, y^2, y^3. y = min(|x|, end); NaN counts as the end. */
INLINE __m512 gelu_place(vector x, __m512i *piece) {
    const float end = (VT_GELU_PIECES - 1.0f) / VT_GELU_STEPS;
    const float magic = 12582912.0f; /* 1.5 * 2^23: adding it leaves an integer in the low bits */
    const __m512 y = _mm512_min_ps(_mm512_abs_ps((__m512)x), _mm512_set1_ps(end));
    *piece = _mm512_castps_si512(
        _mm512_fmadd_ps(y, _mm512_set1_ps(VT_GELU_STEPS), _mm512_set1_ps(magic)));
    return y;
}

INLINE __m512 gelu_factor(const gelu_pieces *p, __m512i piece, int power) {
    return _mm512_permutex2var_ps(p->low[power], piece, p->high[power]);
}

INLINE vector gelu_of(const gelu_pieces *p, vector x) {
    __m512i piece;
    const __m512 y = gelu_place(x, &piece);
    __m512 g = _mm512_fmadd_ps(gelu_factor(p, piece, 3), y, gelu_factor(p, piece, 2));
    g = _mm512_fmadd_ps(g, y, gelu_factor(p, piece, 1));
    g = _mm512_fmadd_ps(g, y, gelu_factor(p, piece, 0));
    return (vector)_mm512_sub_ps(_mm512_max_ps(_mm512_setzero_ps(), (__m512)x), g); /* NaN passes */
}

/* gelu(x) to *act; returns gelu': g' for negative x, else 1 - g'. */
INLINE vector gelu_slope(const gelu_pieces *p, vector x, vector *act) {
    __m512i piece;
    const __m512 y = gelu_place(x, &piece), one = _mm512_set1_ps(1.0f);
    const __m512 d = gelu_factor(p, piece, 3);
    const __m512 second = _mm512_fmadd_ps(d, y, gelu_factor(p, piece, 2));
    const __m512 first = _mm512_fmadd_ps(second, y, gelu_factor(p, piece, 1));
    const __m512 g = _mm512_fmadd_ps(first, y, gelu_factor(p, piece, 0));
    const __m512 slope = _mm512_fmadd_ps(_mm512_fmadd_ps(d, y, second), y, first);
    const __mmask16 above = _mm512_cmp_ps_mask((__m512)x, _mm512_setzero_ps(), _CMP_NLT_UQ);
    *act = (vector)_mm512_sub_ps(_mm512_max_ps(_mm512_setzero_ps(), (__m512)x), g);
    return (vector)_mm512_mask_sub_ps(slope, above, one, slope);
}
#else
typedef struct gelu_pieces {
    char none;
} gelu_pieces;

INLINE gelu_pieces gelu_begin(void) {
    return (gelu_pieces){0};
}

/* 0.5 (1 + tanh u) = 1 / (1 + e^-2u) = 1 / (1 + 2^-z), z = x (A + B x^2): no cancellation for negative x. A = 2 log2(e)
 * sqrt(2 / pi), B = 0.044715 A. */
static const float gelu_a = 2.3022082f, gelu_b = 0.10294324f, ln_2 = 0.69314718f;

INLINE vector gelu_of(const gelu_pieces *p, vector x) {
    (void)p;
    return x * inverse(1.0f + exp2_of(-x * fma_of(x * x, all(gelu_b), all(gelu_a))));
}

/* gelu(x) to *act; returns gelu' = s + x s (1 - s) du, du the derivative of 2u. Beyond |x| = 10 it is 0
 * or 1 to the last bit: clamping keeps every factor finite. */
INLINE vector gelu_slope(const gelu_pieces *p, vector x, vector *act) {
    vector a = larger(all(-10.0f), smaller(all(10.0f), x));
    vector square = a * a,
           s = inverse(1.0f + exp2_of(-a * fma_of(square, all(gelu_b), all(gelu_a))));
    vector du = fma_of(square, all(3.0f * gelu_b * ln_2), all(gelu_a * ln_2));
    vector rise = a * s;
    (void)p;
    *act = x * s;
    return fma_of(rise - rise * s, du, s);
}
#endif

#endif

/* tiles_avx512wide.c - bf16 products of tiles.h by float32's multiply-adds, for processors with
 * AVX-512 whose own bf16 product is absent, or slower (Intel's: bf16_pays.c). Used by the tables
 * avx512 and avx512wide.
 *
 * Multiply-adds and what widens numbers share two ports, so widening is what there is to save.
 * Rows of x are widened once for all panels of a tile, a stretch of depth at a time. A panel's
 * numbers (a bf16 number is the upper half of a float32) are widened for as many rows as have
 * their sums in registers: 24 rows by one panel, 12 by two, 6 by four (drawn in
 * tiles_avx512bf16.c). Between stretches the sums wait in the tile, which is in the first cache,
 * while the next stretch of weights comes. In every shape a number of the result is one chain of
 * multiply-adds over taps and depth, so the shape does not change a bit.
 *
 *     a line of a panel, pairs:    even0 odd0 | even1 odd1 | ... | even15 odd15
 *       shifted up by 16 bits:     even0      | even1      | ... | even15        times x[d]
 *       lower bits cleared:        odd0       | odd1       | ... | odd15         times x[d + 1]
 *
 * Two instructions widen a line, and 24 rows share them: one in 25 of what the ports do. With 6 rows
 * by four panels it is one in 7; but few rows want many chains, and wait for memory anyway. All of this in
 * place of blocks of 6 by four alone took 18 rows from 135 to 155 GFLOP/s (docs/PERFORMANCE_APPENDIX.md). */
#include "kern/cpu/isa/rows.h"
#include "kern/cpu/isa/tiles.h"

#include <immintrin.h>

enum {
    MOST_ROWS = 24,
    PAIR_ROWS = 12,
    QUAD_ROWS = 6,
    /* of depth. 24 rows of x are 7.5 KB as float32, four panels 8 KB: one stretch of both, and the next
     * one that is on its way, lie in a first cache of 32 KB. */
    STRETCH = 64,
    /* five lines instead of four: rows of x stand at different sets of the first cache */
    X_STRIDE = STRETCH + 16
};

#define INLINE static inline __attribute__((always_inline))

/* Rows of x as float32, a stretch of them. */
typedef struct stretch {
    float x[MOST_ROWS * X_STRIDE];
} __attribute__((aligned(64))) stretch;

INLINE void stretch_read(stretch *to, const uint16_t *a, size_t a_stride, int rows, int length) {
    for (int r = 0; r < rows; ++r, a += a_stride)
        for (int d = 0; d < length; d += 16) {
            const __m256i bf16 = _mm256_loadu_si256((const __m256i *)(const void *)(a + d));
            const __m512i x = _mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16);
            _mm512_store_si512(to->x + r * X_STRIDE + d, x);
        }
}

#define OUT_AT(r, i) (out + (r)*VT_TILE_COLUMNS + (i)*VT_PANEL)
#define SUM_AT(r, i) (first ? _mm512_setzero_ps() : _mm512_load_ps(OUT_AT(r, i)))
#define SUMS_1(r) __m512 p##r = SUM_AT(r, 0);
#define SUMS_2(r) SUMS_1(r) __m512 q##r = SUM_AT(r, 1);
#define SUMS_4(r) SUMS_2(r) __m512 u##r = SUM_AT(r, 2), v##r = SUM_AT(r, 3);

#define PAIRS_AT(i) _mm512_load_si512(b + (size_t)(i)*stride)
#define FETCH(i) _mm_prefetch((const char *)(b + (size_t)(i)*stride + ahead), _MM_HINT_T0);
#define EVEN_AT(i) _mm512_castsi512_ps(_mm512_slli_epi32(PAIRS_AT(i), 16))
#define ODD_AT(i) _mm512_castsi512_ps(_mm512_and_si512(PAIRS_AT(i), upper))
#define WIDE_1(AT) const __m512 b0 = AT(0);
#define WIDE_2(AT) WIDE_1(AT) const __m512 b1 = AT(1);
#define WIDE_4(AT) WIDE_2(AT) const __m512 b2 = AT(2), b3 = AT(3);
#define FETCH_1 FETCH(0)
#define FETCH_2 FETCH_1 FETCH(1)
#define FETCH_4 FETCH_2 FETCH(2) FETCH(3)

#define X_AT(r, odd) _mm512_set1_ps(x[(r)*X_STRIDE + (odd)])
#define ADD_1(r, odd) p##r = _mm512_fmadd_ps(X_AT(r, odd), b0, p##r);
#define ADD_2(r, odd)                                                                              \
    {                                                                                              \
        const __m512 y = X_AT(r, odd);                                                             \
        p##r = _mm512_fmadd_ps(y, b0, p##r);                                                       \
        q##r = _mm512_fmadd_ps(y, b1, q##r);                                                       \
    }
#define ADD_4(r, odd)                                                                              \
    {                                                                                              \
        const __m512 y = X_AT(r, odd);                                                             \
        p##r = _mm512_fmadd_ps(y, b0, p##r);                                                       \
        q##r = _mm512_fmadd_ps(y, b1, q##r);                                                       \
        u##r = _mm512_fmadd_ps(y, b2, u##r);                                                       \
        v##r = _mm512_fmadd_ps(y, b3, v##r);                                                       \
    }
#define EVEN_1(r) ADD_1(r, 0)
#define EVEN_2(r) ADD_2(r, 0)
#define EVEN_4(r) ADD_4(r, 0)
#define ODD_1(r) ADD_1(r, 1)
#define ODD_2(r) ADD_2(r, 1)
#define ODD_4(r) ADD_4(r, 1)

#define STORE_1(r) _mm512_store_ps(OUT_AT(r, 0), p##r);
#define STORE_2(r) STORE_1(r) _mm512_store_ps(OUT_AT(r, 1), q##r);
#define STORE_4(r)                                                                                 \
    STORE_2(r) _mm512_store_ps(OUT_AT(r, 2), u##r);                                                \
    _mm512_store_ps(OUT_AT(r, 3), v##r);

/* Adds ROWS rows of a stretch times PANELS panels to the sums at out, or sets them where it is the
 * first, and asks for the weights that lie `ahead` numbers on. */
#define KERNEL(ROWS, PANELS)                                                                       \
    static void rows_##ROWS##_##PANELS(float *out, const float *x, const uint16_t *b,              \
                                       size_t stride, size_t ahead, int length, bool first) {      \
        const __m512i upper = _mm512_set1_epi32((int)0xffff0000u);                                 \
        (void)stride;                                                                              \
        ROWS_##ROWS(SUMS_##PANELS) for (int d = 0; d < length;                                     \
                                        d += 2, x += 2, b += 2 * VT_PANEL) {                       \
            FETCH_##PANELS{WIDE_##PANELS(EVEN_AT) ROWS_##ROWS(EVEN_##PANELS)} {                    \
                WIDE_##PANELS(ODD_AT) ROWS_##ROWS(ODD_##PANELS)                                    \
            }                                                                                      \
        }                                                                                          \
        ROWS_##ROWS(STORE_##PANELS)                                                                \
    }

EACH_TO_24(KERNEL, 1)
EACH_TO_12(KERNEL, 2)
EACH_TO_6(KERNEL, 4)

typedef void (*kernel)(float *out, const float *x, const uint16_t *b, size_t stride, size_t ahead,
                       int length, bool first);

#define ENTRY(ROWS, PANELS) rows_##ROWS##_##PANELS,
static const kernel singles[MOST_ROWS] = {EACH_TO_24(ENTRY, 1)};
static const kernel pairs[PAIR_ROWS] = {EACH_TO_12(ENTRY, 2)};
static const kernel quads[QUAD_ROWS] = {EACH_TO_6(ENTRY, 4)};

/* All panels of a tile, from b on, against one stretch of its rows. */
INLINE void stretch_multiply(const vt_tile *t, const stretch *s, const uint16_t *b, size_t ahead,
                             int length, bool first) {
    for (int p = 0; p < t->panels;) {
        const int left = t->panels - p;
        const int panels = left >= 4 && t->rows <= QUAD_ROWS   ? 4
                           : left >= 2 && t->rows <= PAIR_ROWS ? 2
                                                               : 1;
        const kernel *of = panels == 4 ? quads : panels == 2 ? pairs : singles;
        of[t->rows - 1](t->out + p * VT_PANEL, s->x, b + (size_t)p * t->b_stride, t->b_stride,
                        ahead, length, first);
        p += panels;
    }
}

void vt_product_avx512wide(const vt_tile *t) {
    stretch s;
    const uint16_t *b = t->b;
    bool first = true;
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (t->tap ? t->tap[tap] : 0);
        for (int d = 0; d < t->depth; d += STRETCH) {
            const int length = t->depth - d < STRETCH ? t->depth - d : STRETCH;
            const bool last = tap == t->taps - 1 && d + length == t->depth;
            /* the panel's next stretch, or the first one of the tile to the right */
            const size_t ahead = last ? (size_t)t->panels * t->b_stride - (size_t)(b - t->b)
                                      : (size_t)length * VT_PANEL;
            stretch_read(&s, a + d, t->a_stride, t->rows, length);
            stretch_multiply(t, &s, b, ahead, length, first);
            b += length * VT_PANEL;
            first = false;
        }
    }
}

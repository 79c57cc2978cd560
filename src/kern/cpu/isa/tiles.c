/* tiles.c - tiles.h for processors without instructions for bf16: numbers become float32 on the
 * way (a bf16 number is the upper half of one) and are multiplied as such. Compiled once an
 * instruction set, in C that any compiler vectorises.
 *
 * A block of sums lives in registers: 6 rows by one panel with AVX2, 2 rows by one elsewhere.
 *
 *     AVX2, 16 registers of 8 floats          SSE, 16 registers of 4 floats
 *           w[0]  w[1]       the panel              w[0]  w[1]  w[2]  w[3]
 *     x0    s00   s01                         x0    s00   s01   s02   s03
 *     x1    s10   s11                         x1    s10   s11   s12   s13
 *     ...
 *     x5    s50   s51        12 + 2 + 1       8 + 4 + 1: a third row would not fit
 *
 * Rows of x are widened a stretch of depth at a time beside it. Every shape of block adds a
 * number's products in the same order, by the same operations. AVX-512 has products of its own
 * (tiles_avx512wide.c). */
#include "kern/cpu/isa/tiles.h"

#include "kern/number.h"

#if defined(__x86_64__)
#include <immintrin.h>
#endif
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

#define INLINE static inline __attribute__((always_inline))

enum { STRETCH = VT_TILE_DEPTH };

static void nothing(void) {}

#if defined(__AVX512F__)
enum { MOST_ROWS = 24 };
#define PRODUCT vt_product_avx512wide
#else
/* ---- products ---- */

#define PRODUCT product
#if defined(__AVX2__)
enum { LANES = 8, BLOCK_ROWS = 6, MOST_ROWS = 12 };
#elif defined(__aarch64__)
enum { LANES = 4, BLOCK_ROWS = 4, MOST_ROWS = 12 };
#else
enum { LANES = 4, BLOCK_ROWS = 2, MOST_ROWS = 12 };
#endif
enum { VECTORS = VT_PANEL / LANES };

typedef float floats __attribute__((vector_size(4 * LANES)));
typedef uint32_t words __attribute__((vector_size(4 * LANES)));

/* Spelt out, because it must be the same operation in every shape of block. */
INLINE floats multiply_add(floats a, floats b, floats c) {
#if defined(__FMA__)
    return (floats)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* Pairs of depth of LANES columns, a pair in 32 bits:
 *
 *     bits 31 .. 16   15 .. 0
 *          odd d      even d
 *
 * A bf16 number is the upper half of a float32, so the odd one is there when the lower bits are cleared,
 * and the even one after a shift by 16. */
INLINE words pairs_load(const uint16_t *from) {
    words pairs;
    memcpy(&pairs, from, sizeof pairs);
    return pairs;
}

/* A stretch of rows of x as float32. */
typedef struct stretch {
    float x[BLOCK_ROWS][STRETCH];
} stretch;

INLINE void stretch_read(stretch *to, const uint16_t *a, size_t stride, const int rows) {
    for (int r = 0; r < rows; ++r)
#pragma omp simd
        for (int d = 0; d < STRETCH; ++d)
            to->x[r][d] = vt_from_bf16(a[(size_t)r * stride + (size_t)d]);
}

/* rows is a constant after inlining. */
INLINE void block_product(const vt_tile *t, int row, int panel, const int rows) {
    floats sum[BLOCK_ROWS][VECTORS] = {{{0}}};
    stretch s;
    const uint16_t *b = t->b + (size_t)panel * t->b_stride;
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (size_t)row * t->a_stride + (t->tap ? t->tap[tap] : 0);
        for (int at = 0; at < t->depth; at += STRETCH, a += STRETCH) {
            stretch_read(&s, a, t->a_stride, rows);
            for (int d = 0; d < STRETCH; d += 2, b += 2 * VT_PANEL) {
                for (int odd = 0; odd < 2; ++odd) {
                    floats wide[VECTORS];
                    for (int i = 0; i < VECTORS; ++i) {
                        words pairs = pairs_load(b + i * 2 * LANES);
                        wide[i] = (floats)(odd ? pairs & 0xffff0000u : pairs << 16);
                    }
                    for (int r = 0; r < rows; ++r) {
                        const floats x = s.x[r][d + odd] - (floats){0};
                        for (int i = 0; i < VECTORS; ++i)
                            sum[r][i] = multiply_add(x, wide[i], sum[r][i]);
                    }
                }
            }
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < VECTORS; ++i)
            memcpy(t->out + (row + r) * VT_TILE_COLUMNS + panel * VT_PANEL + i * LANES, &sum[r][i],
                   sizeof sum[r][i]);
}

#define BLOCK(ROWS)                                                                                \
    static void block_##ROWS(const vt_tile *t, int row, int panel) {                               \
        block_product(t, row, panel, ROWS);                                                        \
    }
#if defined(__AVX2__)
#define SHAPES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#elif defined(__aarch64__)
#define SHAPES(X) X(1) X(2) X(3) X(4)
#else
#define SHAPES(X) X(1) X(2)
#endif
SHAPES(BLOCK)

static void product(const vt_tile *t) {
#define ENTRY(ROWS) block_##ROWS,
    static void (*const blocks[BLOCK_ROWS])(const vt_tile *, int, int) = {SHAPES(ENTRY)};
    for (int row = 0; row < t->rows; row += BLOCK_ROWS) {
        const int rows = t->rows - row < BLOCK_ROWS ? t->rows - row : BLOCK_ROWS;
        for (int p = 0; p < t->panels; ++p) blocks[rows - 1](t, row, p);
    }
}
#endif

/* ---- packing ---- */

static void to_bf16(uint16_t *to, const float *from, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16(from[i]);
}

static void pack(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                 int depth) {
    for (int d = 0; d < depth; d += STRETCH, panel += STRETCH * VT_PANEL) {
        uint16_t rows[VT_PANEL][STRETCH] = {{0}};
        const int left = length - d;
        for (int c = 0; c < columns && left > 0; ++c)
            to_bf16(rows[c], from + (size_t)c * stride + (size_t)d,
                    (size_t)(left < STRETCH ? left : STRETCH));
        for (int i = 0; i < STRETCH / 2; ++i)
            for (int c = 0; c < VT_PANEL; ++c)
                memcpy(panel + (i * VT_PANEL + c) * 2, &rows[c][2 * i], 2 * sizeof *panel);
    }
}

static void pack_across(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                        int depth) {
    for (int d = 0; d < depth; d += 2, panel += 2 * VT_PANEL) {
        uint16_t even[VT_PANEL] = {0}, odd[VT_PANEL] = {0};
        if (d < length) to_bf16(even, from + (size_t)d * stride, (size_t)columns);
        if (d + 1 < length) to_bf16(odd, from + ((size_t)d + 1) * stride, (size_t)columns);
        for (int c = 0; c < VT_PANEL; ++c) {
            panel[2 * c] = even[c];
            panel[2 * c + 1] = odd[c];
        }
    }
}

static void unpack_int8(uint16_t *to, const int8_t *from, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        float value = (float)from[i];
        uint32_t bits;
        memcpy(&bits, &value, sizeof bits);
        to[i] = (uint16_t)(bits >> 16);
    }
}

static void from_bf16(float *to, const uint16_t *from, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) to[i] = vt_from_bf16(from[i]);
}

const vt_tiles JOIN(vt_tiles_, VT_LOOPS_SUFFIX) = {
    .name = TEXT(VT_LOOPS_SUFFIX),
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = PRODUCT,
    .finish = JOIN(vt_finish_, VT_LOOPS_SUFFIX),
    .pack = pack,
    .pack_across = pack_across,
    .unpack_int8 = unpack_int8,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
};

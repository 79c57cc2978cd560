/* tiles_avx512bf16.c - tiles.h by vdpbf16ps, which multiplies 16 pairs of bf16 numbers and adds both
 * products to 16 float32 sums.
 *
 * A kernel keeps a block of sums in registers: up to 12 rows by two panels, 24 rows by one (the panel
 * is then read once for all of them, which matters while it comes from memory) or 6 rows by four. In
 * every shape a number of the result is one chain of vdpbf16ps over taps and depth, so the shape does
 * not change a bit.
 *
 *     24 rows x 1           12 rows x 2            6 rows x 4
 *           b0                    b0   b1                b0   b1   b2   b3
 *     x0    p0              x0    p0   q0          x0    p0   q0   u0   v0
 *     x1    p1              x1    p1   q1          x1    p1   q1   u1   v1
 *     ...                   ...                    ...
 *     x23   p23             x11   p11  q11         x5    p5   q5   u5   v5
 *
 * Each has 24 sums, beside them its panels' lines and one pair of x: 26, 27 or 29 of the 32 registers.
 * 24 chains of sums do not wait for each other, so the time an addition takes is hidden. For 24
 * products the loads are 25, 14 or 10: few rows take many panels, for they have chains to fill; many
 * rows take one panel, since for them it must come from memory but once.
 *
 * vcvtneps2bf16 and vdpbf16ps take denormals for zero; all else is rounded to nearest even. */
#include "kern/cpu/isa/rows.h"
#include "kern/cpu/isa/tiles.h"
#include "kern/cpu/isa/transpose.h"

#include <immintrin.h>
#include <string.h>

enum { MOST_ROWS = 24, PAIR_ROWS = 12, QUAD_ROWS = 6 };

#define INLINE static inline __attribute__((always_inline))

typedef int32_t __attribute__((may_alias, aligned(2))) pair_bits;

/* The pair of depth at `at` in all 16 lanes. Written out because clang chooses vbroadcastss, or folds
 * the load into each product that uses it: both take a third of the speed (Zen 4). */
INLINE __m512bh pair_at(const uint16_t *at) {
    __m512i all;
    __asm__("vpbroadcastd %1, %0" : "=v"(all) : "m"(*(const pair_bits *)at));
    return (__m512bh)all;
}

#define PAIR_OF(r) pair_at(ROW_AT(r))

#define ZERO_1(r) __m512 p##r = _mm512_setzero_ps();
#define ZERO_2(r) ZERO_1(r) __m512 q##r = _mm512_setzero_ps();
#define ZERO_4(r) ZERO_2(r) __m512 u##r = _mm512_setzero_ps(), v##r = _mm512_setzero_ps();

/* A panel that comes from memory passes too slowly for the processor to run far enough ahead of
 * 13 rows and more. Beyond a panel's end its neighbour begins. 4 KB are 64 lines, 128 of depth. */
#define AHEAD 4096 /* bytes */
#define LOAD_AT(i) (__m512bh) _mm512_load_si512(b + (i)*stride)
#define LOAD_0 const __m512bh b0 = LOAD_AT(0);
#define LOAD_1 LOAD_0 _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
#define LOAD_2 LOAD_0 const __m512bh b1 = LOAD_AT(1);
#define LOAD_4 LOAD_2 const __m512bh b2 = LOAD_AT(2), b3 = LOAD_AT(3);

#define ADD_1(r) p##r = _mm512_dpbf16_ps(p##r, PAIR_OF(r), b0);
#define ADD_2(r)                                                                                   \
    {                                                                                              \
        const __m512bh x = PAIR_OF(r);                                                             \
        p##r = _mm512_dpbf16_ps(p##r, x, b0);                                                      \
        q##r = _mm512_dpbf16_ps(q##r, x, b1);                                                      \
    }
#define ADD_4(r)                                                                                   \
    {                                                                                              \
        const __m512bh x = PAIR_OF(r);                                                             \
        p##r = _mm512_dpbf16_ps(p##r, x, b0);                                                      \
        q##r = _mm512_dpbf16_ps(q##r, x, b1);                                                      \
        u##r = _mm512_dpbf16_ps(u##r, x, b2);                                                      \
        v##r = _mm512_dpbf16_ps(v##r, x, b3);                                                      \
    }

#define STORE_AT(r, i, sum) _mm512_store_ps(out + (r)*VT_TILE_COLUMNS + (i)*VT_PANEL, sum);
#define STORE_1(r) STORE_AT(r, 0, p##r)
#define STORE_2(r) STORE_1(r) STORE_AT(r, 1, q##r)
#define STORE_4(r) STORE_2(r) STORE_AT(r, 2, u##r) STORE_AT(r, 3, v##r)

/* Rows ROWS of a tile against PANELS of its panels, from panel `first` on. */
#define KERNEL(ROWS, PANELS)                                                                       \
    static void rows_##ROWS##_##PANELS(const vt_tile *t, int first) {                              \
        const size_t s = t->a_stride, stride = t->b_stride;                                        \
        const uint16_t *b = t->b + (size_t)first * stride;                                         \
        float *out = t->out + first * VT_PANEL;                                                    \
        const long depth = t->depth;                                                               \
        ROWS_##ROWS(ZERO_##PANELS) for (int tap = 0; tap < t->taps; ++tap) {                       \
            const uint16_t *a0 = t->a + (t->tap ? t->tap[tap] : 0);                                \
            const uint16_t *a1 = a0 + 3 * s, *a2 = a0 + 6 * s, *a3 = a0 + 9 * s;                   \
            const uint16_t *a4 = a0 + 12 * s, *a5 = a0 + 15 * s, *a6 = a0 + 18 * s;                \
            const uint16_t *a7 = a0 + 21 * s;                                                      \
            for (long d = 0; d < depth; d += 2, b += 2 * VT_PANEL) {                               \
                LOAD_##PANELS ROWS_##ROWS(ADD_##PANELS) ROWS_STEP(2)                               \
            }                                                                                      \
        }                                                                                          \
        ROWS_##ROWS(STORE_##PANELS)                                                                \
    }

EACH_TO_24(KERNEL, 1)
EACH_TO_12(KERNEL, 2)
EACH_TO_6(KERNEL, 4)

typedef void (*kernel)(const vt_tile *tile, int first);

#define ENTRY(ROWS, PANELS) rows_##ROWS##_##PANELS,
static const kernel singles[MOST_ROWS] = {EACH_TO_24(ENTRY, 1)};
static const kernel pairs[PAIR_ROWS] = {EACH_TO_12(ENTRY, 2)};
static const kernel quads[QUAD_ROWS] = {EACH_TO_6(ENTRY, 4)};

static void product(const vt_tile *t) {
    int p = 0;
    if (t->rows <= QUAD_ROWS)
        for (; p + 4 <= t->panels; p += 4) quads[t->rows - 1](t, p);
    if (t->rows <= PAIR_ROWS)
        for (; p + 2 <= t->panels; p += 2) pairs[t->rows - 1](t, p);
    for (; p < t->panels; ++p) singles[t->rows - 1](t, p);
}

static void nothing(void) {}

/* ---- packing ---- */

INLINE __mmask16 first_of(int n) {
    return (__mmask16)(n >= 16 ? 0xffffu : n <= 0 ? 0u : (1u << n) - 1u);
}

/* 32 floats to bf16, of which the first n are read. */
INLINE __m512i load_32(const float *from, int n) {
    __m512 low = _mm512_maskz_loadu_ps(first_of(n), from);
    __m512 high = _mm512_maskz_loadu_ps(first_of(n - 16), n > 16 ? from + 16 : from);
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* 32 of depth of 16 columns are 16 registers of 16 pairs; turned around they are 16 lines of the panel:
 *
 *     x[c]: column c, pairs of d = 0 1 | 2 3 | ... | 30 31
 *     turned, x[i]: pair i of column 0 | of column 1 | ... | of column 15 */
void vt_pack_avx512bf16(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                        int depth) {
    for (int d = 0; d < depth; d += 32, panel += 32 * VT_PANEL) {
        __m512i x[VT_PANEL];
        int left = length - d;
        for (int c = 0; c < VT_PANEL; ++c)
            x[c] = c < columns && left > 0 ? load_32(from + (size_t)c * stride + d, left)
                                           : _mm512_setzero_si512();
        vt_transpose_16x16(x);
        for (int c = 0; c < VT_PANEL; ++c) _mm512_storeu_si512(panel + c * 32, x[c]);
    }
}

/* Here a row of `from` is one d of all columns, and nothing is turned: two rows are interleaved.
 *
 *     even row:  e0 e1 e2 ...          e0 o0 | e1 o1 | e2 o2 | ...   a line of the panel
 *     odd row:   o0 o1 o2 ... */
void vt_pack_across_avx512bf16(uint16_t *panel, const float *from, size_t stride, int columns,
                               int length, int depth) {
    const __mmask16 some = first_of(columns);
    /* 0, 16, 1, 17, ...: a number of the even row, one of the odd row */
    const __m512i order =
        _mm512_add_epi16(_mm512_cvtepi8_epi16(_mm256_setr_epi8(
                             0, 16, 1, 17, 2, 18, 3, 19, 4, 20, 5, 21, 6, 22, 7, 23, 8, 24, 9, 25,
                             10, 26, 11, 27, 12, 28, 13, 29, 14, 30, 15, 31)),
                         _mm512_setzero_si512());
    for (int d = 0; d < depth; d += 2, panel += 2 * VT_PANEL) {
        __m512 even = _mm512_setzero_ps(), odd = _mm512_setzero_ps();
        if (d < length) even = _mm512_maskz_loadu_ps(some, from + (size_t)d * stride);
        if (d + 1 < length) odd = _mm512_maskz_loadu_ps(some, from + ((size_t)d + 1) * stride);
        __m512i both = (__m512i)_mm512_cvtne2ps_pbh(odd, even);
        _mm512_storeu_si512(panel, _mm512_permutexvar_epi16(order, both));
    }
}

/* A line of a tile is 32 of depth of one row: what lies beside it in a row of x goes to the next tile. */
void vt_lay_avx512bf16(uint16_t *tiles, const void *x, vt_number type, size_t stride, int rows,
                       int length, int depth) {
    for (int r = 0; r < VT_ROW_TILE; ++r) {
        uint16_t *to = tiles + r * VT_TILE_DEPTH;
        const float *wide = (const float *)x + (size_t)r * stride;
        const uint16_t *half = (const uint16_t *)x + (size_t)r * stride;
        int d = 0;
        for (; r < rows && d + VT_TILE_DEPTH <= length; d += VT_TILE_DEPTH, to += VT_TILE_NUMBERS)
            _mm512_store_si512(to, type == VT_NUMBER_BF16 ? _mm512_loadu_si512(half + d)
                                                          : load_32(wide + d, VT_TILE_DEPTH));
        for (; d < depth; d += VT_TILE_DEPTH, to += VT_TILE_NUMBERS) {
            const int left = r < rows && d < length ? length - d : 0;
            const __mmask32 some = (__mmask32)((1ull << left) - 1);
            __m512i line = _mm512_setzero_si512();
            if (left > 0)
                line = type == VT_NUMBER_BF16 ? _mm512_maskz_loadu_epi16(some, half + d)
                                              : load_32(wide + d, left);
            _mm512_store_si512(to, line);
        }
    }
}

/* ---- conversions ---- */

/* bf16 of 0 .. 127, its two bytes apart. The first 64 and the last 64 numbers are a register each. */
typedef struct int8_table {
    __m512i low[2], high[2];
} int8_table;

#define BF16_1(v) ((v) == 0 ? 0 : (127 + LOG2(v)) << 7 | ((v) << (7 - LOG2(v)) & 127))
#define LOG2(v)                                                                                    \
    ((v) >= 64 ? 6 : (v) >= 32 ? 5 : (v) >= 16 ? 4 : (v) >= 8 ? 3 : (v) >= 4 ? 2 : (v) >= 2)
#define EIGHT(F, v) F(v), F(v + 1), F(v + 2), F(v + 3), F(v + 4), F(v + 5), F(v + 6), F(v + 7)
#define ALL(F)                                                                                     \
    EIGHT(F, 0), EIGHT(F, 8), EIGHT(F, 16), EIGHT(F, 24), EIGHT(F, 32), EIGHT(F, 40),              \
        EIGHT(F, 48), EIGHT(F, 56), EIGHT(F, 64), EIGHT(F, 72), EIGHT(F, 80), EIGHT(F, 88),        \
        EIGHT(F, 96), EIGHT(F, 104), EIGHT(F, 112), EIGHT(F, 120)
#define LOW(v) (uint8_t)(BF16_1(v) & 255)
#define HIGH(v) (uint8_t)(BF16_1(v) >> 8)

static const uint8_t low_bytes[128] __attribute__((aligned(64))) = {ALL(LOW)};
static const uint8_t high_bytes[128] __attribute__((aligned(64))) = {ALL(HIGH)};

INLINE int8_table int8_table_load(void) {
    return (int8_table){
        .low = {_mm512_load_si512(low_bytes), _mm512_load_si512(low_bytes + 64)},
        .high = {_mm512_load_si512(high_bytes), _mm512_load_si512(high_bytes + 64)}};
}

/* 64 integers of -127..127 to 64 bf16 numbers, in order. */
INLINE void int8_unpack(const int8_table *table, __m512i from, __m512i *first, __m512i *second) {
    const __m512i groups = _mm512_setr_epi64(0, 4, 1, 5, 2, 6, 3, 7);
    __m512i x = _mm512_permutexvar_epi64(groups, from), size = _mm512_abs_epi8(x);
    __m512i low = _mm512_permutex2var_epi8(table->low[0], size, table->low[1]);
    __m512i high = _mm512_permutex2var_epi8(table->high[0], size, table->high[1]);
    /* high | (x & 0x80) */
    high = _mm512_ternarylogic_epi32(high, x, _mm512_set1_epi8((char)0x80), 0xf8);
    *first = _mm512_unpacklo_epi8(low, high);
    *second = _mm512_unpackhi_epi8(low, high);
}

void vt_unpack_int8_avx512bf16(uint16_t *to, const int8_t *from, size_t n) {
    const int8_table table = int8_table_load();
    __m512i first, second;
    size_t i = 0;
    for (; i + 64 <= n; i += 64) {
        int8_unpack(&table, _mm512_loadu_si512(from + i), &first, &second);
        _mm512_storeu_si512(to + i, first);
        _mm512_storeu_si512(to + i + 32, second);
    }
    if (i == n) return;
    const __mmask64 some = ((__mmask64)1 << (n - i)) - 1;
    int8_unpack(&table, _mm512_maskz_loadu_epi8(some, from + i), &first, &second);
    _mm512_mask_storeu_epi16(to + i, (__mmask32)some, first);
    if (n - i > 32) _mm512_mask_storeu_epi16(to + i + 32, (__mmask32)(some >> 32), second);
}

void vt_to_bf16_avx512bf16(uint16_t *to, const float *from, size_t n) {
    size_t i = 0;
    for (; i + 32 <= n; i += 32) _mm512_storeu_si512(to + i, load_32(from + i, 32));
    if (i == n) return;
    const __mmask32 some = ((__mmask32)1 << (n - i)) - 1;
    _mm512_mask_storeu_epi16(to + i, some, load_32(from + i, (int)(n - i)));
}

void vt_from_bf16_avx512bf16(float *to, const uint16_t *from, size_t n) {
    size_t i = 0;
    for (; i + 16 <= n; i += 16) {
        __m512i x = _mm512_cvtepu16_epi32(_mm256_loadu_si256((const __m256i *)(from + i)));
        _mm512_storeu_si512(to + i, _mm512_slli_epi32(x, 16));
    }
    if (i == n) return;
    const __mmask16 some = first_of((int)(n - i));
    __m512i x = _mm512_cvtepu16_epi32(_mm256_maskz_loadu_epi16(some, from + i));
    _mm512_mask_storeu_epi32(to + i, some, _mm512_slli_epi32(x, 16));
}

/* ---- the register peak ---- */

static double peak(int64_t rounds) {
    enum { CHAINS = 12, FLOPS = 64 };
    __m512 sum[CHAINS];
    volatile int16_t one = 0x3f80;
    __m512bh a = (__m512bh)_mm512_set1_epi16(one), b = (__m512bh)_mm512_set1_epi16(one);
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_setzero_ps();
    for (int64_t r = 0; r < rounds; ++r) {
        __asm__("" : "+v"(a), "+v"(b)); /* new to the compiler in every round */
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_dpbf16_ps(sum[i], a, b);
    }
    for (int i = 1; i < CHAINS; ++i) sum[0] = _mm512_add_ps(sum[0], sum[i]);
    volatile float sink = _mm512_reduce_add_ps(sum[0]);
    (void)sink;
    return (double)FLOPS * CHAINS * (double)rounds;
}

const vt_tiles vt_tiles_avx512bf16 = {
    .name = "avx512bf16",
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = product,
    .finish = vt_finish_avx512bf16,
    .pack = vt_pack_avx512bf16,
    .pack_across = vt_pack_across_avx512bf16,
    .unpack_int8 = vt_unpack_int8_avx512bf16,
    .to_bf16 = vt_to_bf16_avx512bf16,
    .from_bf16 = vt_from_bf16_avx512bf16,
    .peak = peak,
};

/* No peak of its own: float32's is the higher one. */
const vt_tiles vt_tiles_avx512wide = {
    .name = "avx512wide",
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = vt_product_avx512wide,
    .finish = vt_finish_avx512bf16,
    .pack = vt_pack_avx512bf16,
    .pack_across = vt_pack_across_avx512bf16,
    .unpack_int8 = vt_unpack_int8_avx512bf16,
    .to_bf16 = vt_to_bf16_avx512bf16,
    .from_bf16 = vt_from_bf16_avx512bf16,
};

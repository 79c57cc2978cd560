/* tiles8_avx512vnni.c - tiles8.h by vpdpbusd, which multiplies 16 quads of bytes, unsigned by
 * signed, and adds the four products of each to 16 int32 sums.
 *
 * A kernel keeps the integer sums of one block in registers: up to 24 rows by one panel, 12 by
 * two, which reads rows half as often, or 6 by four, which hides the latency of few rows (the shapes are
 * drawn in tiles_avx512bf16.c; two panels for 7 to 12 rows and weights fetched to the first cache took 8
 * rows from 401 to 470 Gop/s, docs/PERFORMANCE_APPENDIX.md). At a
 * block's end they go, converted and scaled, to the float32 sums of the tile, which stay in the
 * first cache: that costs one addition in 32. In every shape a number of the result is the same
 * chain of operations, so the shape does not change a bit.
 *
 * With one or two panels memory is read as one or two streams, which the kernel fetches into the
 * first cache ahead of their use: at 7 to 48 rows the weights arrive while they are multiplied. */
#include "kern/cpu/isa/rows.h"
#include "kern/cpu/isa/tiles8.h"

#include "kern/number.h"

#include <immintrin.h>
#include <math.h>
#include <string.h>

enum {
    MOST_ROWS = 24,
    PAIR_ROWS = 12,
    QUAD_ROWS = 6,
    AHEAD = 4096,     /* bytes: half of it is late on Zen 4, twice of it is no better */
    PAIR_AHEAD = 2048 /* of each of two panels */
};

#define INLINE static inline __attribute__((always_inline))

typedef int32_t __attribute__((may_alias, aligned(4))) word;

/* 32 bits in all lanes. Written out because clang folds the load into each product that uses it, which
 * takes a third of the speed (Zen 4). */
INLINE __m512i word_at(const char *at) {
    __m512i all;
    __asm__("vpbroadcastd %1, %0" : "=v"(all) : "m"(*(const word *)at));
    return all;
}

/* Tells the compiler that the sum is wanted in a register: gcc spills half of them otherwise. */
INLINE __m512i dot(__m512i sum, __m512i w, __m512i x) {
    sum = _mm512_dpbusd_epi32(sum, w, x);
    __asm__("" : "+v"(sum));
    return sum;
}

/* A block's sums begin with its balance: the weights are w + 128, so that sums of w x alone would come out 128 times the
 * block's sum of x too large. */
#define BEGIN_1(r) __m512i p##r = word_at(ROW_AT(r) + 4);
#define BEGIN_2(r) BEGIN_1(r) __m512i q##r = p##r;
#define BEGIN_4(r) BEGIN_2(r) __m512i u##r = p##r, v##r = p##r;

#define LOAD_AT(i) _mm512_load_si512(b + (i)*stride)
#define LOAD_1                                                                                     \
    const __m512i b0 = LOAD_AT(0);                                                                 \
    _mm_prefetch((const char *)b + AHEAD, _MM_HINT_T0);
#define LOAD_2                                                                                     \
    const __m512i b0 = LOAD_AT(0), b1 = LOAD_AT(1);                                                \
    _mm_prefetch((const char *)b + PAIR_AHEAD, _MM_HINT_T0);                                       \
    _mm_prefetch((const char *)b + stride + PAIR_AHEAD, _MM_HINT_T0);
#define LOAD_4 const __m512i b0 = LOAD_AT(0), b1 = LOAD_AT(1), b2 = LOAD_AT(2), b3 = LOAD_AT(3);

#define ADD_1(r) p##r = dot(p##r, b0, word_at(ROW_AT(r)));
#define ADD_2(r)                                                                                   \
    {                                                                                              \
        const __m512i x = word_at(ROW_AT(r));                                                      \
        p##r = dot(p##r, b0, x);                                                                   \
        q##r = dot(q##r, b1, x);                                                                   \
    }
#define ADD_4(r)                                                                                   \
    {                                                                                              \
        const __m512i x = word_at(ROW_AT(r));                                                      \
        p##r = dot(p##r, b0, x);                                                                   \
        q##r = dot(q##r, b1, x);                                                                   \
        u##r = dot(u##r, b2, x);                                                                   \
        v##r = dot(v##r, b3, x);                                                                   \
    }

#define OUT_AT(r, i) (out + (r)*VT_TILE_COLUMNS + (i)*VT_PANEL)
#define CLEAR_1(r) _mm512_store_ps(OUT_AT(r, 0), _mm512_setzero_ps());
#define CLEAR_2(r) CLEAR_1(r) _mm512_store_ps(OUT_AT(r, 1), _mm512_setzero_ps());
#define CLEAR_4(r)                                                                                 \
    CLEAR_2(r)                                                                                     \
    _mm512_store_ps(OUT_AT(r, 2), _mm512_setzero_ps());                                            \
    _mm512_store_ps(OUT_AT(r, 3), _mm512_setzero_ps());

/* The end of a block, for one row and 16 columns: its exact sums times its scale are added to the tile. */
INLINE void sum_out(float *out, __m512i sum, __m512 scale) {
    _mm512_store_ps(out, _mm512_fmadd_ps(_mm512_cvtepi32_ps(sum), scale, _mm512_load_ps(out)));
}

#define OUT_1(r)                                                                                   \
    const __m512 scale##r = _mm512_castsi512_ps(word_at(ROW_AT(r)));                               \
    sum_out(OUT_AT(r, 0), p##r, scale##r);
#define OUT_2(r) OUT_1(r) sum_out(OUT_AT(r, 1), q##r, scale##r);
#define OUT_4(r)                                                                                   \
    OUT_2(r)                                                                                       \
    sum_out(OUT_AT(r, 2), u##r, scale##r);                                                         \
    sum_out(OUT_AT(r, 3), v##r, scale##r);

/* Rows ROWS of a tile against PANELS of its panels, from panel `first` on. The barrier keeps gcc from
 * holding `out` in registers that it does not have. */
#define KERNEL(ROWS, PANELS)                                                                       \
    static void rows_##ROWS##_##PANELS(const vt_tile8 *t, int first) {                             \
        const size_t s = t->x.stride, stride = t->b_stride;                                        \
        const uint8_t *b = t->b + (size_t)first * stride;                                          \
        float *out = t->out + first * VT_PANEL;                                                    \
        const char *a0 = (const char *)t->a, *a1 = a0 + 3 * s, *a2 = a0 + 6 * s;                   \
        const char *a3 = a0 + 9 * s, *a4 = a0 + 12 * s, *a5 = a0 + 15 * s, *a6 = a0 + 18 * s;      \
        const char *a7 = a0 + 21 * s;                                                              \
        long ahead = t->x.depth; /* from a block's numbers to its scale and balance */             \
        ROWS_##ROWS(CLEAR_##PANELS) for (long left = t->x.depth; left > 0;) {                      \
            const long length = left < t->x.block ? left : t->x.block;                             \
            __asm__ volatile("" : : : "memory");                                                   \
            ROWS_STEP(ahead)                                                                       \
            ROWS_##ROWS(BEGIN_##PANELS) ROWS_STEP(-ahead) left -= length;                          \
            for (long d = 0; d < length; d += 4, b += 4 * VT_PANEL) {                              \
                LOAD_##PANELS ROWS_##ROWS(ADD_##PANELS) ROWS_STEP(4)                               \
            }                                                                                      \
            ahead -= length;                                                                       \
            ROWS_STEP(ahead)                                                                       \
            ROWS_##ROWS(OUT_##PANELS) ROWS_STEP(-ahead) ahead += (long)sizeof(vt_scale8);          \
        }                                                                                          \
    }

EACH_TO_24(KERNEL, 1)
EACH_TO_12(KERNEL, 2)
EACH_TO_6(KERNEL, 4)

typedef void (*kernel)(const vt_tile8 *tile, int first);

#define ENTRY(ROWS, PANELS) rows_##ROWS##_##PANELS,
static const kernel singles[MOST_ROWS] = {EACH_TO_24(ENTRY, 1)};
static const kernel pairs[PAIR_ROWS] = {EACH_TO_12(ENTRY, 2)};
static const kernel quads[QUAD_ROWS] = {EACH_TO_6(ENTRY, 4)};

static void product(const vt_tile8 *t) {
    int p = 0;
    if (t->rows <= QUAD_ROWS)
        for (; p + 4 <= t->panels; p += 4) quads[t->rows - 1](t, p);
    if (t->rows <= PAIR_ROWS)
        for (; p + 2 <= t->panels; p += 2) pairs[t->rows - 1](t, p);
    for (; p < t->panels; ++p) singles[t->rows - 1](t, p);
}

static void nothing(void) {}

/* ---- rows of x ---- */

enum { LANES = 16, PARTS = VT_INT8_BLOCK / LANES };

/* Part `part` of a block of which `count` numbers are there, as floats; zeros beyond. */
INLINE __m512 part_load(const void *from, const bool bf16, int part, int count) {
    const int left = count - part * LANES;
    const unsigned lanes = left >= LANES ? 0xffffu : left > 0 ? (1u << left) - 1u : 0u;
    const __mmask16 some = (__mmask16)lanes;
    if (!bf16) return _mm512_maskz_loadu_ps(some, (const float *)from + part * LANES);
    const __m256i x = _mm256_maskz_loadu_epi16(some, (const uint16_t *)from + part * LANES);
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(x), 16));
}

/* The largest size of a whole piece of bf16 numbers, two of them a lane, as bits of floats. */
INLINE __m512i halves_most(const uint16_t *from) {
    const __m512i size = _mm512_set1_epi16(0x7fff);
    __m512i most = _mm512_setzero_si512();
#pragma GCC unroll 4
    for (int i = 0; i < VT_INT8_BLOCK; i += 2 * LANES)
        most = _mm512_max_epu16(most, _mm512_and_si512(_mm512_loadu_si512(from + i), size));
    const __m512i high = _mm512_and_si512(most, _mm512_set1_epi32((int)0xffff0000));
    return _mm512_max_epi32(high, _mm512_slli_epi32(most, 16));
}

/* The largest size of a piece, as bits: sizes order as their bits do, NaN last. */
INLINE __m512i piece_most(__m512i most, const void *from, const bool bf16, const int count) {
    if (bf16 && count == VT_INT8_BLOCK) return _mm512_max_epi32(most, halves_most(from));
#pragma GCC unroll 8
    for (int i = 0; i < PARTS; ++i) {
        const __m512 size = _mm512_abs_ps(part_load(from, bf16, i, count));
        most = _mm512_max_epi32(most, _mm512_castps_si512(size));
    }
    return most;
}

/* Rounds a piece; what lies beyond `room` bytes of it is not stored. Returns `sum` and the integers. */
INLINE __m512i piece_round(int8_t *to, const void *from, const bool bf16, const int count,
                           const int room, __m512 inverse, __m512i sum) {
#pragma GCC unroll 8
    for (int i = 0; i < PARTS; ++i) {
        const __m512i y =
            _mm512_cvt_roundps_epi32(_mm512_mul_ps(part_load(from, bf16, i, count), inverse),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
        sum = _mm512_add_epi32(sum, y);
        if (i * LANES < room) _mm_store_si128((__m128i *)(to + i * LANES), _mm512_cvtepi32_epi8(y));
    }
    return sum;
}

/* Numbers [begin, end) of a row of n: a block. `bf16` is a constant after inlining. */
INLINE vt_scale8 block_quantise(int8_t *to, const void *from, const bool bf16, int begin, int end,
                                int n) {
    enum { PIECE = VT_INT8_BLOCK, INFINITE = 0x7f800000 };
    const size_t number = bf16 ? sizeof(uint16_t) : sizeof(float);
    const char *at = (const char *)from + (size_t)begin * number;
    __m512i most = _mm512_setzero_si512(), sum = _mm512_setzero_si512();
    const char *x = at;
    int i = begin;
    for (; i + PIECE <= n && i < end; i += PIECE, x += PIECE * number)
        most = piece_most(most, x, bf16, PIECE);
    if (i < end && i < n) most = piece_most(most, x, bf16, n - i);
    const int32_t bits = _mm512_reduce_max_epi32(most);
    if (bits >= INFINITE) {
        memset(to + begin, 0, (size_t)(end - begin));
        return (vt_scale8){.scale = NAN};
    }
    const float largest = _mm512_cvtss_f32(_mm512_castsi512_ps(_mm512_set1_epi32(bits)));
    const __m512 inverse = _mm512_set1_ps(vt_int8_inverse(largest));
    for (i = begin; i + PIECE <= n && i + PIECE <= end; i += PIECE, at += PIECE * number)
        sum = piece_round(to + i, at, bf16, PIECE, PIECE, inverse, sum);
    for (; i < end; i += PIECE, at += PIECE * number)
        sum = piece_round(to + i, at, bf16, n - i, end - i, inverse, sum);
    return (vt_scale8){.scale = vt_int8_scale(largest),
                       .balance = -128 * _mm512_reduce_add_epi32(sum)};
}

#define QUANTISE(NAME, HALF)                                                                       \
    static void NAME(int8_t *to, const vt_rows8 *x, const void *from, int n) {                     \
        vt_scale8 *scales = (vt_scale8 *)(void *)(to + x->depth);                                  \
        for (int i = 0, end; i < x->depth; i = end) {                                              \
            end = i + x->block < x->depth ? i + x->block : x->depth;                               \
            *scales++ = block_quantise(to, from, HALF, i, end, n);                                 \
        }                                                                                          \
    }
QUANTISE(quantise_f32, false)
QUANTISE(quantise_bf16, true)

void vt_quantise8_avx512vnni(int8_t *to, const vt_rows8 *x, const void *from, vt_number type,
                             size_t n) {
    if (type == VT_NUMBER_F32)
        quantise_f32(to, x, from, (int)n);
    else
        quantise_bf16(to, x, from, (int)n);
}

/* ---- the register peak ---- */

static double peak(int64_t rounds) {
    enum { CHAINS = 12, OPERATIONS = 128 };
    __m512i sum[CHAINS];
    volatile int8_t one = 1;
    __m512i a = _mm512_set1_epi8(one), b = _mm512_set1_epi8(one);
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_setzero_si512();
    for (int64_t r = 0; r < rounds; ++r) {
        __asm__("" : "+v"(a), "+v"(b)); /* new to the compiler in every round */
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_dpbusd_epi32(sum[i], a, b);
    }
    for (int i = 1; i < CHAINS; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    volatile int sink = _mm512_reduce_add_epi32(sum[0]);
    (void)sink;
    return (double)OPERATIONS * CHAINS * (double)rounds;
}

const vt_tiles8 vt_tiles8_avx512vnni = {
    .name = "avx512vnni",
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = product,
    .quantise = vt_quantise8_avx512vnni,
    .pack = vt_pack8_avx512,
    .peak = peak,
};

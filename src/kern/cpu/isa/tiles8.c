/* tiles8.c - tiles8.h for processors without dot products of bytes, and the rounding and packing that
 * all tables share; compiled once an instruction set.
 *
 * The products multiply pairs of 16-bit numbers (pmaddwd, which every x86-64 has in some width): the
 * even and the odd bytes of a quad of weights are two such pairs. A block of rows of x is spread into
 * pairs once and goes against all panels of the tile. Other processors take plain C.
 *
 *     a quad of weights, 32 bits:   w3 w2 w1 w0        of x:  x3 x2 x1 x0
 *       low bytes of its halves:     w2    w0                  x2    x0      w0 x0 + w2 x2
 *       high bytes, shifted:         w3    w1                  x3    x1      w1 x1 + w3 x3
 *
 * The instructions that multiply bytes themselves (pmaddubsw) saturate at 16 bits, and 255 * 127 twice
 * does not fit; these two are exact. */
#include "kern/cpu/isa/tiles8.h"

#include "kern/number.h"

#include <math.h>
#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(name, VT_LOOPS_SUFFIX)

#define INLINE static inline __attribute__((always_inline))

enum { MOST_ROWS = 6, PIECE = VT_INT8_BLOCK, QUADS = PIECE / 4 };

static inline int least(int a, int b) {
    return a < b ? a : b;
}

static void nothing(void) {}

/* ---- pairs ---- */

/* Lanes of 32 bits: a pair of 16-bit numbers, or the sum of two products. */
#if defined(__AVX512BW__)
enum { LANES = 16 };
typedef __m512i lanes;
INLINE lanes lanes_load(const uint8_t *at) {
    return _mm512_loadu_si512(at);
}
INLINE void lanes_store(int32_t *to, lanes x) {
    _mm512_storeu_si512(to, x);
}
INLINE lanes lanes_all(int32_t x) {
    return _mm512_set1_epi32(x);
}
INLINE lanes low_bytes(lanes x) {
    return _mm512_and_si512(x, _mm512_set1_epi16(255));
}
INLINE lanes high_bytes(lanes x) {
    return _mm512_srli_epi16(x, 8);
}
INLINE lanes pairs_add(lanes sum, lanes a, lanes b) {
    return _mm512_add_epi32(sum, _mm512_madd_epi16(a, b));
}
#elif defined(__AVX2__)
enum { LANES = 8 };
typedef __m256i lanes;
INLINE lanes lanes_load(const uint8_t *at) {
    return _mm256_loadu_si256((const __m256i *)at);
}
INLINE void lanes_store(int32_t *to, lanes x) {
    _mm256_storeu_si256((__m256i *)to, x);
}
INLINE lanes lanes_all(int32_t x) {
    return _mm256_set1_epi32(x);
}
INLINE lanes low_bytes(lanes x) {
    return _mm256_and_si256(x, _mm256_set1_epi16(255));
}
INLINE lanes high_bytes(lanes x) {
    return _mm256_srli_epi16(x, 8);
}
INLINE lanes pairs_add(lanes sum, lanes a, lanes b) {
    return _mm256_add_epi32(sum, _mm256_madd_epi16(a, b));
}
#elif defined(__SSE2__)
enum { LANES = 4 };
typedef __m128i lanes;
INLINE lanes lanes_load(const uint8_t *at) {
    return _mm_loadu_si128((const __m128i *)at);
}
INLINE void lanes_store(int32_t *to, lanes x) {
    _mm_storeu_si128((__m128i *)to, x);
}
INLINE lanes lanes_all(int32_t x) {
    return _mm_set1_epi32(x);
}
INLINE lanes low_bytes(lanes x) {
    return _mm_and_si128(x, _mm_set1_epi16(255));
}
INLINE lanes high_bytes(lanes x) {
    return _mm_srli_epi16(x, 8);
}
INLINE lanes pairs_add(lanes sum, lanes a, lanes b) {
    return _mm_add_epi32(sum, _mm_madd_epi16(a, b));
}
#endif

#if defined(__SSE2__)

/* A piece of up to PIECE numbers of up to MOST_ROWS rows, numbers 0 and 2 of each quad apart from 1 and 3. */
typedef struct pairs {
    int16_t even[MOST_ROWS][2 * QUADS], odd[MOST_ROWS][2 * QUADS];
} pairs;

/* `length` numbers from `d` on. */
INLINE void pairs_read(pairs *to, const vt_tile8 *t, int d, int length) {
    for (int r = 0; r < t->rows; ++r) {
        int16_t two[2 * QUADS] = {
            0}; /* an even number in the low byte, an odd one in the high byte */
        memcpy(two, t->a + (size_t)r * t->x.stride + (size_t)d, (size_t)length);
#pragma omp simd
        for (int i = 0; i < 2 * QUADS; ++i) {
            to->even[r][i] = (int16_t)((int16_t)((uint16_t)two[i] << 8) >> 8);
            to->odd[r][i] = (int16_t)(two[i] >> 8);
        }
    }
}

INLINE lanes lanes_pair(const int16_t *at) {
    int32_t both;
    memcpy(&both, at, sizeof both);
    return lanes_all(both);
}

/* sums (rows, 16) += of one piece and one panel; `rows` is a constant after inlining. */
INLINE void piece_sums(int32_t sums[][VT_PANEL], const pairs *x, const uint8_t *b, int quads,
                       const int rows) {
    for (int c = 0; c < VT_PANEL; c += LANES) {
        lanes sum[MOST_ROWS];
        for (int r = 0; r < rows; ++r) sum[r] = lanes_load((const uint8_t *)&sums[r][c]);
        const uint8_t *at = b + c * 4;
        for (int q = 0; q < quads; ++q, at += 4 * VT_PANEL) {
            lanes w = lanes_load(at), even = low_bytes(w), odd = high_bytes(w);
            for (int r = 0; r < rows; ++r) {
                sum[r] = pairs_add(sum[r], even, lanes_pair(x->even[r] + 2 * q));
                sum[r] = pairs_add(sum[r], odd, lanes_pair(x->odd[r] + 2 * q));
            }
        }
        for (int r = 0; r < rows; ++r) lanes_store(&sums[r][c], sum[r]);
    }
}

#define ROWS(n)                                                                                    \
    static void piece_sums_##n(int32_t sums[][VT_PANEL], const pairs *x, const uint8_t *b,         \
                               int quads) {                                                        \
        piece_sums(sums, x, b, quads, n);                                                          \
    }
#define SHAPES(X) X(1) X(2) X(3) X(4) X(5) X(6)
SHAPES(ROWS)

typedef void (*piece_kernel)(int32_t sums[][VT_PANEL], const pairs *x, const uint8_t *b, int quads);
static const piece_kernel piece_kernels[MOST_ROWS] = {piece_sums_1, piece_sums_2, piece_sums_3,
                                                      piece_sums_4, piece_sums_5, piece_sums_6};

#else

typedef struct pairs {
    const vt_tile8 *tile;
    int d;
} pairs;

INLINE void pairs_read(pairs *to, const vt_tile8 *t, int d, int length) {
    (void)length;
    *to = (pairs){.tile = t, .d = d};
}

static void piece_sums(int32_t sums[][VT_PANEL], const pairs *x, const uint8_t *b, int quads) {
    for (int r = 0; r < x->tile->rows; ++r) {
        const int8_t *a = x->tile->a + (size_t)r * x->tile->x.stride + (size_t)x->d;
        for (int q = 0; q < quads; ++q)
            for (int c = 0; c < VT_PANEL; ++c)
                for (int i = 0; i < 4; ++i)
                    sums[r][c] += a[4 * q + i] * b[(q * VT_PANEL + c) * 4 + i];
    }
}

typedef void (*piece_kernel)(int32_t sums[][VT_PANEL], const pairs *x, const uint8_t *b, int quads);
static const piece_kernel piece_kernels[MOST_ROWS] = {piece_sums, piece_sums, piece_sums,
                                                      piece_sums, piece_sums, piece_sums};

#endif

/* The integer sums of a block, which is cut into pieces: all panels, since a piece's pairs serve them all. */
INLINE void block_sums(int32_t sums[][MOST_ROWS][VT_PANEL], const vt_tile8 *t, int begin, int end) {
    pairs x;
    memset(sums, 0, (size_t)t->panels * sizeof *sums);
    for (int d = begin; d < end; d += PIECE) {
        const int length = least(PIECE, end - d);
        pairs_read(&x, t, d, length);
        for (int p = 0; p < t->panels; ++p)
            piece_kernels[t->rows - 1](
                sums[p], &x, t->b + (size_t)p * t->b_stride + (size_t)d * VT_PANEL, length / 4);
    }
}

static void product(const vt_tile8 *t) {
    int32_t sums[VT_TILE_PANELS][MOST_ROWS][VT_PANEL] __attribute__((aligned(64)));
    for (int r = 0; r < t->rows; ++r)
        memset(t->out + r * VT_TILE_COLUMNS, 0, (size_t)t->panels * VT_PANEL * sizeof *t->out);
    for (int d = 0, block = 0; d < t->x.depth; d += t->x.block, ++block) {
        block_sums(sums, t, d, least(d + t->x.block, t->x.depth));
        for (int r = 0; r < t->rows; ++r) {
            const vt_scale8 by = vt_scales8(t->a + (size_t)r * t->x.stride, t->x.depth)[block];
            for (int p = 0; p < t->panels; ++p) {
                float *out = t->out + r * VT_TILE_COLUMNS + p * VT_PANEL;
#pragma omp simd
                for (int c = 0; c < VT_PANEL; ++c)
                    out[c] += by.scale * (float)(sums[p][r][c] + by.balance);
            }
        }
    }
}

/* ---- rounding ---- */

INLINE int32_t bits_of(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* x to the nearest integer, ties to even. Adding 1.5 * 2^23 leaves it in the low bits. */
INLINE int32_t rounded(float x) {
    const float magic = 12582912.0f;
    return bits_of(x + magic) - bits_of(magic);
}

/* Bits of the largest size; sizes order as their bits do, infinity and NaN last. */
INLINE int32_t most_bits(const float *x, size_t n) {
    int32_t most = 0;
#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < n; ++i) {
        int32_t size = bits_of(x[i]) & 0x7fffffff;
        most = most > size ? most : size;
    }
    return most;
}

static const int32_t infinite = 0x7f800000;

typedef struct rounding {
    float scale, inverse; /* NaN and 0 where a number is not finite */
} rounding;

INLINE rounding rounding_of(int32_t most) {
    float size;
    memcpy(&size, &most, sizeof size);
    if (most >= infinite) return (rounding){.scale = NAN};
    return (rounding){.scale = vt_int8_scale(size), .inverse = vt_int8_inverse(size)};
}

/* Up to PIECE numbers from number i on, as floats; what lacks is zero. */
INLINE const float *piece_read(float *room, const void *from, vt_number type, size_t i, size_t n) {
    const size_t count = n - i < PIECE ? n - i : PIECE;
    if (type == VT_NUMBER_F32 && count == PIECE) return (const float *)from + i;
    if (count < PIECE) memset(room, 0, PIECE * sizeof *room);
    if (type == VT_NUMBER_F32) {
        memcpy(room, (const float *)from + i, count * sizeof *room);
        return room;
    }
    const uint16_t *bf16 = (const uint16_t *)from + i;
#pragma omp simd
    for (size_t j = 0; j < count; ++j) room[j] = vt_from_bf16(bf16[j]);
    return room;
}

/* Numbers [begin, end) of a row of n, a block. */
INLINE vt_scale8 block_quantise(int8_t *to, const void *from, vt_number type, size_t begin,
                                size_t end, size_t n) {
    float room[PIECE];
    int32_t most = 0, sum = 0;
    for (size_t i = begin; i < end && i < n; i += PIECE) {
        const int32_t own = most_bits(piece_read(room, from, type, i, n), PIECE);
        most = most > own ? most : own;
    }
    const rounding by = rounding_of(most);
    memset(to + begin, 0, end - begin);
    for (size_t i = begin; i < end && i < n && most < infinite; i += PIECE) {
        const float *x = piece_read(room, from, type, i, n);
        int8_t number[PIECE];
#pragma omp simd
        for (int j = 0; j < PIECE; ++j) number[j] = (int8_t)rounded(x[j] * by.inverse);
#pragma omp simd reduction(+ : sum)
        for (int j = 0; j < PIECE; ++j) sum += number[j];
        memcpy(to + i, number, end - i < PIECE ? end - i : PIECE);
    }
    return (vt_scale8){.scale = by.scale, .balance = -128 * sum};
}

void NAMED(vt_quantise8_)(int8_t *to, const vt_rows8 *x, const void *from, vt_number type,
                          size_t n) {
    vt_scale8 *scales = (vt_scale8 *)(void *)(to + x->depth);
    for (int i = 0; i < x->depth; i += x->block)
        *scales++ =
            block_quantise(to, from, type, (size_t)i, (size_t)least(i + x->block, x->depth), n);
}

void NAMED(vt_pack8_)(uint8_t *panel, float *scale, const float *from, size_t stride, int columns,
                      int length, int depth) {
    enum { STEP = VT_TILE8_DEPTH };
    for (int c = 0; c < VT_PANEL; ++c) {
        const float *x = from + (size_t)c * stride;
        const size_t n = c < columns ? (size_t)length : 0;
        const int32_t most = scale ? most_bits(x, n) : 0;
        const rounding by = scale ? rounding_of(most) : (rounding){.inverse = 1.0f};
        if (n > 0 && scale) scale[c] = by.scale;
        uint8_t *to = panel + c * 4;
        for (size_t d = 0; d < (size_t)depth; d += STEP) {
            uint8_t number[STEP];
            const size_t left = d < n && most < infinite ? n - d : 0;
            if (left < STEP) memset(number, 128, sizeof number);
            if (left >= STEP) {
#pragma omp simd
                for (int i = 0; i < STEP; ++i)
                    number[i] = (uint8_t)(128 + rounded(x[d + (size_t)i] * by.inverse));
            } else {
                for (size_t i = 0; i < left; ++i)
                    number[i] = (uint8_t)(128 + rounded(x[d + i] * by.inverse));
            }
            for (int q = 0; q < STEP / 4; ++q, to += 4 * VT_PANEL) memcpy(to, number + 4 * q, 4);
        }
    }
}

/* ---- the register peak ---- */

#if defined(__SSE2__)
static double peak(int64_t rounds) {
    enum { CHAINS = 6, OPERATIONS = 4 * LANES }; /* a chain is two instructions */
    lanes sum[CHAINS];
    volatile int32_t one = 0x10001;
    lanes a = lanes_all(one), b = lanes_all(one);
    for (int i = 0; i < CHAINS; ++i) sum[i] = lanes_all(0);
    for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 6
        for (int i = 0; i < CHAINS; ++i) {
            __asm__("" : "+x"(a)); /* new to the compiler every time */
            sum[i] = pairs_add(sum[i], a, b);
        }
    }
    int32_t total[LANES];
    for (int i = 1; i < CHAINS; ++i) sum[0] = pairs_add(sum[0], sum[i], lanes_all(1));
    lanes_store(total, sum[0]);
    volatile int32_t sink = total[0];
    (void)sink;
    return (double)OPERATIONS * CHAINS * (double)rounds;
}
#else
#define peak NULL
#endif

#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

const vt_tiles8 NAMED(vt_tiles8_) = {
    .name = TEXT(VT_LOOPS_SUFFIX),
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = product,
    .quantise = NAMED(vt_quantise8_),
    .pack = NAMED(vt_pack8_),
    .peak = peak,
};

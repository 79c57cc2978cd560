/* tiles8.c - tiles8.h for processors without dot products of bytes, and the rounding and packing that
 * all tables share; compiled once an instruction set.
 *
 * The products multiply pairs of 16-bit numbers (pmaddwd, which every x86-64 has in some width): the
 * even and the odd bytes of a quad of weights are two such pairs. Rows of x are spread into pairs once a product,
 * quad by quad side by side for all rows of a tile, so that a kernel has one stream of x (vt_tiles8.spread). Other
 * processors take plain C.
 *
 *     a quad of weights, 32 bits:   w3 w2 w1 w0        of x:  x3 x2 x1 x0
 *       low bytes of its halves:     w2    w0                  x2    x0      w0 x0 + w2 x2
 *       high bytes, shifted:         w3    w1                  x3    x1      w1 x1 + w3 x3
 *
 * A block of sums lives in registers: 6 rows by LANES columns, of 16 registers two for the weights and one for x.
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

enum { MOST_ROWS = 6, PIECE = VT_INT8_BLOCK, QUAD = 4 };

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

/* One row and LANES columns of a block's end. */
INLINE void sums_out(float *out, const int32_t *sums, vt_scale8 by, int columns) {
#pragma omp simd
    for (int c = 0; c < columns; ++c) out[c] += by.scale * (float)(sums[c] + by.balance);
}

/* What row r of the tile has beside block `block`. */
INLINE vt_scale8 scale_of(const vt_tile8 *t, int r, int block) {
    return vt_scales8(t->a + (size_t)r * t->x.stride, t->x.depth)[block];
}

#if defined(__SSE2__)

/* A row's numbers 0 and 2 of each quad, then 1 and 3, each in 16 bits; the rows of a tile side by side. */
static void spread(int16_t *to, const int8_t *row, int depth, int rows) {
    for (int d = 0; d < depth; d += QUAD, row += QUAD, to += (size_t)rows * QUAD) {
        const int16_t quad[QUAD] = {row[0], row[2], row[1], row[3]};
        memcpy(to, quad, sizeof quad);
    }
}

INLINE lanes lanes_pair(const int16_t *at) {
    int32_t both;
    memcpy(&both, at, sizeof both);
    return lanes_all(both);
}

/* Block `block`, numbers [d, end), of LANES columns, whose quads begin at b; `rows` is a constant after inlining. */
INLINE void block_product(const vt_tile8 *t, float *out, const uint8_t *b, int block, int d,
                          int end, const int rows) {
    lanes sum[MOST_ROWS];
    const int16_t *x = t->spread + (size_t)d * (size_t)t->spread_rows;
    for (int r = 0; r < rows; ++r) sum[r] = lanes_all(0);
    for (; d < end; d += QUAD, b += QUAD * VT_PANEL, x += QUAD * t->spread_rows) {
        const lanes w = lanes_load(b), even = low_bytes(w), odd = high_bytes(w);
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            sum[r] = pairs_add(sum[r], even, lanes_pair(x + QUAD * r));
            sum[r] = pairs_add(sum[r], odd, lanes_pair(x + QUAD * r + QUAD / 2));
        }
    }
    for (int r = 0; r < rows; ++r) {
        int32_t sums[LANES];
        lanes_store(sums, sum[r]);
        sums_out(out + r * VT_TILE_COLUMNS, sums, scale_of(t, r, block), LANES);
    }
}

/* Block after block, so that one of the panel, 2 KB, serves all its columns from the first cache. */
INLINE void panel_product(const vt_tile8 *t, int panel, const int rows) {
    const uint8_t *b = t->b + (size_t)panel * t->b_stride;
    float *out = t->out + panel * VT_PANEL;
    for (int d = 0, block = 0; d < t->x.depth; d += t->x.block, ++block)
        for (int c = 0; c < VT_PANEL; c += LANES)
            block_product(t, out + c, b + (size_t)d * VT_PANEL + QUAD * c, block, d,
                          least(d + t->x.block, t->x.depth), rows);
}

#define ROWS(n)                                                                                    \
    static void rows_##n(const vt_tile8 *t, int panel) {                                           \
        panel_product(t, panel, n);                                                                \
    }
#define SHAPES(X) X(1) X(2) X(3) X(4) X(5) X(6)
SHAPES(ROWS)

typedef void (*panel_kernel)(const vt_tile8 *t, int panel);
static const panel_kernel panel_kernels[MOST_ROWS] = {rows_1, rows_2, rows_3,
                                                      rows_4, rows_5, rows_6};

#else

#define spread NULL

static void panel_product(const vt_tile8 *t, int panel) {
    const uint8_t *b = t->b + (size_t)panel * t->b_stride;
    for (int d = 0, block = 0; d < t->x.depth; d += t->x.block, ++block)
        for (int r = 0; r < t->rows; ++r) {
            const int8_t *a = t->a + (size_t)r * t->x.stride;
            int32_t sums[VT_PANEL] = {0};
            for (int i = d; i < least(d + t->x.block, t->x.depth); ++i)
                for (int c = 0; c < VT_PANEL; ++c)
                    sums[c] += a[i] * b[(i / QUAD * VT_PANEL + c) * QUAD + i % QUAD];
            sums_out(t->out + r * VT_TILE_COLUMNS + panel * VT_PANEL, sums, scale_of(t, r, block),
                     VT_PANEL);
        }
}

typedef void (*panel_kernel)(const vt_tile8 *t, int panel);
static const panel_kernel panel_kernels[MOST_ROWS] = {panel_product, panel_product, panel_product,
                                                      panel_product, panel_product, panel_product};

#endif

static void product(const vt_tile8 *t) {
    for (int r = 0; r < t->rows; ++r)
        memset(t->out + r * VT_TILE_COLUMNS, 0, (size_t)t->panels * VT_PANEL * sizeof *t->out);
    for (int p = 0; p < t->panels; ++p) panel_kernels[t->rows - 1](t, p);
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
    .spread = spread,
    .quantise = NAMED(vt_quantise8_),
    .pack = NAMED(vt_pack8_),
    .peak = peak,
};

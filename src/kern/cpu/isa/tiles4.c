/* tiles4.c - tiles4.h in plain C, for SSE2, AVX2 and AVX-512 with VNNI; compiled once for each.
 *
 * AVX2 multiplies bytes (pmaddubsw): halves, q + 8 of 0 .. 15, by x. A pair of products is at most 2 * 15 * 127, and a
 * group's four pairs with what takes the 8 out again stay within 16 bits:
 *
 *     sum = -8 (x0 + x1 + x4 + x5 + ..) + (u0 x0 + u1 x1) + (u4 x4 + u5 x5) + ..     16 bits, of one half of the quads
 *     block += integer * (sum + the other half's)                                    pmaddwd, 32 bits
 *
 * so 32 products take two instructions, and a group two more. A row of x has, group by group, its four quads and the two
 * numbers that a sum begins with: 20 bytes.
 *
 * AVX-512 with VNNI adds four products of bytes to 32 bits (vpdpbusd), a quad of 16 columns at once. A group's sum begins with -8 times
 * its 16 numbers of x and ends within 16 bits, so that one more instruction (vpdpwssd, whose second product is by zero) multiplies it
 * and adds it to the block's.
 *
 * SSE2 has no such instruction: (q * integer) of 16 bits by x of 16 bits (pmaddwd), quad by quad, as isa/tiles8.c does it. */
#include "kern/cpu/isa/tiles4.h"

#include "kern/int4.h"
#include "kern/panels.h"

#include <string.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(name, VT_LOOPS_SUFFIX)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

#define INLINE static inline __attribute__((always_inline))

enum {
    GROUP = VT_INT4_GROUP,
    QUAD = 4,
    LINE = QUAD * VT_PANEL,                /* bytes: two quads of all columns */
    UNIT_GROUPS = VT_PANELS_DEPTH8 / GROUP /* groups of a unit */
};

static inline int least(int a, int b) {
    return a < b ? a : b;
}

/* The integers of group g of a panel, and the lines of its halves. */
INLINE const int8_t *integers_at(const uint8_t *panel, int g) {
    return (const int8_t *)panel + g / UNIT_GROUPS * VT_PANELS_UNIT4 + g % UNIT_GROUPS * VT_PANEL;
}

INLINE const uint8_t *halves_at(const uint8_t *panel, int g) {
    return panel + g / UNIT_GROUPS * VT_PANELS_UNIT4 + LINE + g % UNIT_GROUPS * 2 * LINE;
}

/* One row's sums of a block, of some columns. */
INLINE void sums_out(float *out, const int32_t *sums, float scale, int columns) {
#pragma omp simd
    for (int c = 0; c < columns; ++c) out[c] += scale * (float)sums[c];
}

INLINE float scale_of(const vt_tile8 *t, int r, int block) {
    return vt_scales8(t->a + (size_t)r * t->x.stride, t->x.depth)[block].scale;
}

#if defined(__AVX512VNNI__)

enum { MOST_ROWS = 8, LANES = VT_PANEL, SPREAD = 10 };

/* A group's 16 numbers and -8 times their sum, 32 bits. In registers: of plain loops the compiler (gcc 12) makes stores that only
 * fit aligned rows. */
static void spread(int16_t *to, const int8_t *row, int depth, int rows) {
    const __m128i one = _mm_set1_epi8(1);
    for (int d = 0; d < depth; d += GROUP, row += GROUP, to += rows * SPREAD) {
        const __m128i x = _mm_loadu_si128((const __m128i *)(const void *)row);
        __m128i sum = _mm_dpbusd_epi32(_mm_setzero_si128(), one, x);
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(1, 0, 3, 2)));
        sum = _mm_add_epi32(sum, _mm_shuffle_epi32(sum, _MM_SHUFFLE(2, 3, 0, 1)));
        const int32_t begin = VT_INT4_LEAST * _mm_cvtsi128_si32(sum);
        _mm_storeu_si128((__m128i *)(void *)to, x);
        memcpy(to + GROUP / 2, &begin, sizeof begin);
    }
}

/* 32 bits of x in every lane. */
INLINE __m512i all(const int16_t *at) {
    int32_t both;
    memcpy(&both, at, sizeof both);
    return _mm512_set1_epi32(both);
}

INLINE __m512i low_halves(__m512i x) {
    return _mm512_and_si512(x, _mm512_set1_epi8(15));
}

/* A group's quads of all columns, unpacked, and its integers in the lower 16 bits of their lanes. */
typedef struct quads {
    __m512i of[4], integers;
} quads;

INLINE quads unpack(const uint8_t *halves, const int8_t *integers) {
    const __m512i first = _mm512_load_si512(halves), second = _mm512_load_si512(halves + LINE);
    const __m128i own = _mm_load_si128((const __m128i *)(const void *)integers);
    return (quads){{low_halves(first), low_halves(_mm512_srli_epi16(first, 4)), low_halves(second),
                    low_halves(_mm512_srli_epi16(second, 4))},
                   _mm512_cvtepu16_epi32(_mm256_cvtepi8_epi16(own))};
}

/* sum, and a group's product with one row of x. */
INLINE __m512i group_add(__m512i sum, const quads *w, const int16_t *x) {
    __m512i own = all(x + GROUP / 2);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q) own = _mm512_dpbusd_epi32(own, w->of[q], all(x + 2 * q));
    return _mm512_dpwssd_epi32(sum, own, w->integers);
}

/* Groups [g, end), a block, of all columns (c is 0); `rows` is a constant after inlining. */
INLINE void block_product(const vt_tile8 *t, float *out, const uint8_t *panel, int c, int block,
                          int g, int end, const int rows) {
    __m512i sum[MOST_ROWS];
    for (int r = 0; r < rows; ++r) sum[r] = _mm512_setzero_si512();
    for (; g < end; ++g) {
        const quads w = unpack(halves_at(panel, g) + QUAD * c, integers_at(panel, g) + c);
        const int16_t *x = t->spread + (size_t)g * (size_t)t->spread_rows * SPREAD;
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r) sum[r] = group_add(sum[r], &w, x + r * SPREAD);
    }
    for (int r = 0; r < rows; ++r) {
        int32_t sums[LANES];
        _mm512_storeu_si512(sums, sum[r]);
        sums_out(out + r * VT_TILE_COLUMNS, sums, scale_of(t, r, block), LANES);
    }
}

/* Multiply-adds as a group's are: four of bytes and one of sums. */
static double peak(int64_t rounds) {
    enum { CHAINS = 8 };
    __m512i sum[CHAINS];
    volatile int32_t one = 0x1010101;
    __m512i w = _mm512_set1_epi32(one);
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm512_setzero_si512();
    for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 8
        for (int i = 0; i < CHAINS; ++i) {
            __asm__("" : "+v"(w)); /* new to the compiler every time */
            __m512i own = w;
            for (int q = 0; q < 4; ++q) own = _mm512_dpbusd_epi32(own, w, w);
            sum[i] = _mm512_dpwssd_epi32(sum[i], own, w);
        }
    }
    for (int i = 1; i < CHAINS; ++i) sum[0] = _mm512_add_epi32(sum[0], sum[i]);
    /* a lane: all of them together are beyond an integer, and no sum that wraps is wanted */
    volatile int32_t sink = _mm_cvtsi128_si32(_mm512_castsi512_si128(sum[0]));
    (void)sink;
    return 2.0 * GROUP * LANES * CHAINS * (double)rounds;
}
#define PEAK peak

#elif defined(__AVX2__)

enum { MOST_ROWS = 8, LANES = 8, SPREAD = 10 };

static void spread(int16_t *to, const int8_t *row, int depth, int rows) {
    for (int d = 0; d < depth; d += GROUP, row += GROUP, to += rows * SPREAD) {
        int sum[2] = {0};
        for (int i = 0; i < GROUP; ++i) sum[i / 2 % 2] += row[i];
        const int16_t begin[2] = {(int16_t)(-8 * sum[0]), (int16_t)(-8 * sum[1])};
        memcpy(to, row, GROUP);
        memcpy(to + GROUP / 2, begin, sizeof begin);
    }
}

/* 32 bits of x in every lane. */
INLINE __m256i all(const int16_t *at) {
    int32_t both;
    memcpy(&both, at, sizeof both);
    return _mm256_set1_epi32(both);
}

INLINE __m256i low_halves(__m256i x) {
    return _mm256_and_si256(x, _mm256_set1_epi8(15));
}

/* A group's quads of LANES columns, unpacked. */
typedef struct quads {
    __m256i of[4], integers;
} quads;

INLINE quads unpack(const uint8_t *halves, const int8_t *integers) {
    const __m256i first = _mm256_load_si256((const __m256i *)(const void *)halves);
    const __m256i second = _mm256_load_si256((const __m256i *)(const void *)(halves + LINE));
    const __m128i own = _mm_loadl_epi64((const __m128i *)(const void *)integers);
    return (quads){{low_halves(first), low_halves(_mm256_srli_epi16(first, 4)), low_halves(second),
                    low_halves(_mm256_srli_epi16(second, 4))},
                   _mm256_cvtepi8_epi16(_mm_unpacklo_epi8(own, own))};
}

INLINE __m256i group_sum(const quads *w, const int16_t *x) {
    __m256i sum = all(x + GROUP / 2);
#pragma GCC unroll 4
    for (int q = 0; q < 4; ++q)
        sum = _mm256_add_epi16(sum, _mm256_maddubs_epi16(w->of[q], all(x + 2 * q)));
    return _mm256_madd_epi16(sum, w->integers);
}

/* Groups [g, end), a block, of LANES columns from c on; `rows` is a constant after inlining. */
INLINE void block_product(const vt_tile8 *t, float *out, const uint8_t *panel, int c, int block,
                          int g, int end, const int rows) {
    __m256i sum[MOST_ROWS];
    for (int r = 0; r < rows; ++r) sum[r] = _mm256_setzero_si256();
    for (; g < end; ++g) {
        const quads w = unpack(halves_at(panel, g) + QUAD * c, integers_at(panel, g) + c);
        const int16_t *x = t->spread + (size_t)g * (size_t)t->spread_rows * SPREAD;
#pragma GCC unroll 8
        for (int r = 0; r < rows; ++r)
            sum[r] = _mm256_add_epi32(sum[r], group_sum(&w, x + r * SPREAD));
    }
    for (int r = 0; r < rows; ++r) {
        int32_t sums[LANES];
        _mm256_storeu_si256((__m256i *)(void *)sums, sum[r]);
        sums_out(out + r * VT_TILE_COLUMNS, sums, scale_of(t, r, block), LANES);
    }
}

/* Multiply-adds as a group's are: four of bytes and one of sums. */
static double peak(int64_t rounds) {
    enum { CHAINS = 6 };
    __m256i sum[CHAINS];
    volatile int32_t one = 0x1010101;
    __m256i w = _mm256_set1_epi32(one);
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm256_setzero_si256();
    for (int64_t r = 0; r < rounds; ++r) {
#pragma GCC unroll 6
        for (int i = 0; i < CHAINS; ++i) {
            __asm__("" : "+x"(w)); /* new to the compiler every time */
            __m256i own = w;
            for (int q = 0; q < 4; ++q) own = _mm256_add_epi16(own, _mm256_maddubs_epi16(w, w));
            sum[i] = _mm256_add_epi32(sum[i], _mm256_madd_epi16(own, w));
        }
    }
    for (int i = 1; i < CHAINS; ++i) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
    volatile int32_t sink = _mm256_extract_epi32(sum[0], 0);
    (void)sink;
    return 2.0 * GROUP * LANES * CHAINS * (double)rounds;
}
#define PEAK peak

#elif defined(__SSE2__)

enum { MOST_ROWS = 6, LANES = 4, SPREAD = GROUP };

/* A row's numbers 0 and 2 of each quad, then 1 and 3, each in 16 bits. */
static void spread(int16_t *to, const int8_t *row, int depth, int rows) {
    for (int d = 0; d < depth; d += GROUP, to += rows * SPREAD)
        for (int q = 0; q < GROUP; q += QUAD, row += QUAD) {
            const int16_t quad[QUAD] = {row[0], row[2], row[1], row[3]};
            memcpy(to + q, quad, sizeof quad);
        }
}

INLINE __m128i all(const int16_t *at) {
    int32_t both;
    memcpy(&both, at, sizeof both);
    return _mm_set1_epi32(both);
}

/* The integers of LANES columns, each in both halves of its lane. */
INLINE __m128i unpack_integers(const int8_t *at) {
    int32_t four;
    memcpy(&four, at, sizeof four);
    const __m128i own = _mm_cvtsi32_si128(four), twice = _mm_unpacklo_epi8(own, own);
    return _mm_srai_epi16(_mm_unpacklo_epi8(twice, twice), 8);
}

/* q times its integer, of bytes u = q + 8 in 16 bits each. */
INLINE __m128i weighed(__m128i u, __m128i integers) {
    return _mm_mullo_epi16(_mm_sub_epi16(u, _mm_set1_epi16(-VT_INT4_LEAST)), integers);
}

INLINE void quad_product(__m128i *sum, __m128i halves, __m128i integers, const int16_t *x,
                         const int rows) {
    const __m128i even = weighed(_mm_and_si128(halves, _mm_set1_epi16(15)), integers);
    const __m128i odd =
        weighed(_mm_and_si128(_mm_srli_epi16(halves, 8), _mm_set1_epi16(15)), integers);
    for (int r = 0; r < rows; ++r, x += SPREAD) {
        sum[r] = _mm_add_epi32(sum[r], _mm_madd_epi16(even, all(x)));
        sum[r] = _mm_add_epi32(sum[r], _mm_madd_epi16(odd, all(x + QUAD / 2)));
    }
}

INLINE void block_product(const vt_tile8 *t, float *out, const uint8_t *panel, int c, int block,
                          int g, int end, const int rows) {
    __m128i sum[MOST_ROWS];
    for (int r = 0; r < rows; ++r) sum[r] = _mm_setzero_si128();
    for (; g < end; ++g) {
        const __m128i integers = unpack_integers(integers_at(panel, g) + c);
        const int16_t *x = t->spread + (size_t)g * (size_t)t->spread_rows * SPREAD;
        for (int pair = 0; pair < 2; ++pair, x += 2 * QUAD) {
            const uint8_t *at = halves_at(panel, g) + pair * LINE + QUAD * c;
            const __m128i both = _mm_load_si128((const __m128i *)(const void *)at);
            quad_product(sum, both, integers, x, rows);
            quad_product(sum, _mm_srli_epi16(both, 4), integers, x + QUAD, rows);
        }
    }
    for (int r = 0; r < rows; ++r) {
        int32_t sums[LANES];
        _mm_storeu_si128((__m128i *)(void *)sums, sum[r]);
        sums_out(out + r * VT_TILE_COLUMNS, sums, scale_of(t, r, block), LANES);
    }
}

#define PEAK NULL

#else

enum { MOST_ROWS = 6, LANES = VT_PANEL, SPREAD = GROUP };

static void spread(int16_t *to, const int8_t *row, int depth, int rows) {
    for (int d = 0; d < depth; d += GROUP, row += GROUP, to += rows * SPREAD)
        for (int i = 0; i < GROUP; ++i) to[i] = row[i];
}

/* Number i of group g and column c. */
INLINE int number_at(const uint8_t *panel, int g, int c, int i) {
    const uint8_t byte = halves_at(panel, g)[i / (2 * QUAD) * LINE + QUAD * c + i % QUAD];
    return ((byte >> (i / QUAD % 2 ? 4 : 0) & 15) + VT_INT4_LEAST) * integers_at(panel, g)[c];
}

INLINE void block_product(const vt_tile8 *t, float *out, const uint8_t *panel, int c, int block,
                          int g, int end, const int rows) {
    for (int r = 0; r < rows; ++r) {
        int32_t sums[LANES] = {0};
        for (int own = g; own < end; ++own) {
            const int16_t *x =
                t->spread + ((size_t)own * (size_t)t->spread_rows + (size_t)r) * SPREAD;
            for (int i = 0; i < GROUP; ++i)
                for (int j = 0; j < LANES; ++j) sums[j] += number_at(panel, own, c + j, i) * x[i];
        }
        sums_out(out + r * VT_TILE_COLUMNS, sums, scale_of(t, r, block), LANES);
    }
}

#define PEAK NULL

#endif

/* Block after block, so that one of the panel serves all its columns from the first cache. */
INLINE void panel_product(const vt_tile8 *t, int panel, const int rows) {
    const uint8_t *b = t->b + (size_t)panel * t->b_stride;
    float *out = t->out + panel * VT_PANEL;
    for (int d = 0, block = 0; d < t->x.depth; d += t->x.block, ++block)
        for (int c = 0; c < VT_PANEL; c += LANES)
            block_product(t, out + c, b, c, block, d / GROUP,
                          least(d + t->x.block, t->x.depth) / GROUP, rows);
}

#define ROWS(n)                                                                                    \
    static void rows_##n(const vt_tile8 *t, int panel) {                                           \
        panel_product(t, panel, n);                                                                \
    }
#define NAME(n) rows_##n,
#if defined(__AVX2__) /* and AVX-512 */
#define SHAPES(X) X(1) X(2) X(3) X(4) X(5) X(6) X(7) X(8)
#else
#define SHAPES(X) X(1) X(2) X(3) X(4) X(5) X(6)
#endif
SHAPES(ROWS)

typedef void (*panel_kernel)(const vt_tile8 *t, int panel);
static const panel_kernel panel_kernels[MOST_ROWS] = {SHAPES(NAME)};

static void product(const vt_tile8 *t) {
    for (int r = 0; r < t->rows; ++r)
        memset(t->out + r * VT_TILE_COLUMNS, 0, (size_t)t->panels * VT_PANEL * sizeof *t->out);
    for (int p = 0; p < t->panels; ++p) panel_kernels[t->rows - 1](t, p);
}

const vt_tiles4 NAMED(vt_tiles4_) = {
    .name = TEXT(VT_LOOPS_SUFFIX),
    .most_rows = MOST_ROWS,
    .product = product,
    .spread_group = SPREAD,
    .spread = spread,
    .peak = PEAK,
};

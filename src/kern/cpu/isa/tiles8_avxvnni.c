/* tiles8_avxvnni.c - tiles8.h by vpdpbusd on registers of 256 bits (AVX-VNNI): processors with that instruction and
 * without AVX-512 have 16 of them. A kernel keeps the integer sums of up to 6 rows by one panel in 12, its two halves of
 * weights in two and a quad of x in one; in every shape a number of the result is the same chain of operations.
 *
 * Where there is AVX-512 VNNI and no AVX-VNNI, tests compile this file for the same instruction as that one encodes it
 * (tests/CMakeLists.txt). */
#include "kern/cpu/isa/tiles8.h"

#include <immintrin.h>

enum { MOST_ROWS = 6, LANES = 8 };

#define INLINE static inline __attribute__((always_inline))

INLINE __m256i dot(__m256i sum, __m256i w, __m256i x) {
#ifdef __AVXVNNI__
    return _mm256_dpbusd_avx_epi32(sum, w, x);
#else
    return _mm256_dpbusd_epi32(sum, w, x);
#endif
}

/* 32 bits in all lanes. */
INLINE __m256i word_at(const void *at) {
    int32_t word;
    memcpy(&word, at, sizeof word);
    return _mm256_set1_epi32(word);
}

/* A block's end, for one row and 8 columns (tiles8_avx512vnni.c). */
INLINE void sum_out(float *out, __m256i sum, __m256 scale, __m256i balance) {
    const __m256 x = _mm256_cvtepi32_ps(_mm256_add_epi32(sum, balance));
    _mm256_store_ps(out, _mm256_fmadd_ps(x, scale, _mm256_load_ps(out)));
}

/* Numbers [d, end), a block, against the stretch of a panel that begins at b; `rows` is a constant after inlining. */
INLINE void block_product(const vt_tile8 *t, float *out, const uint8_t *b, int d, int end,
                          const int rows) {
    __m256i low[MOST_ROWS], high[MOST_ROWS];
    const vt_scale8 *by = vt_scales8(t->a, t->x.depth) + d / t->x.block;
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) low[r] = high[r] = _mm256_setzero_si256();
    for (; d < end; d += 4, b += 4 * VT_PANEL) {
        const __m256i w0 = _mm256_load_si256((const __m256i *)(const void *)b);
        const __m256i w1 = _mm256_load_si256((const __m256i *)(const void *)(b + 32));
#pragma GCC unroll 6
        for (int r = 0; r < rows; ++r) {
            const __m256i x = word_at(t->a + (size_t)r * t->x.stride + (size_t)d);
            low[r] = dot(low[r], w0, x);
            high[r] = dot(high[r], w1, x);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
        const char *own = (const char *)by + (size_t)r * t->x.stride;
        const __m256 scale = _mm256_castsi256_ps(word_at(own));
        const __m256i balance = word_at(own + sizeof(float));
        sum_out(out + r * VT_TILE_COLUMNS, low[r], scale, balance);
        sum_out(out + r * VT_TILE_COLUMNS + LANES, high[r], scale, balance);
    }
}

INLINE void panel_product(const vt_tile8 *t, int panel, const int rows) {
    const uint8_t *b = t->b + (size_t)panel * t->b_stride;
    float *out = t->out + panel * VT_PANEL;
    for (int r = 0; r < rows; ++r) memset(out + r * VT_TILE_COLUMNS, 0, VT_PANEL * sizeof *out);
    for (int d = 0, end; d < t->x.depth; d = end) {
        end = d + t->x.block < t->x.depth ? d + t->x.block : t->x.depth;
        block_product(t, out, b + (size_t)d * VT_PANEL, d, end, rows);
    }
}

#define ROWS(n)                                                                                    \
    static void rows_##n(const vt_tile8 *t, int panel) {                                           \
        panel_product(t, panel, n);                                                                \
    }
ROWS(1)
ROWS(2)
ROWS(3)
ROWS(4)
ROWS(5)
ROWS(6)

static void product(const vt_tile8 *t) {
    typedef void (*kernel)(const vt_tile8 *tile, int panel);
    static const kernel kernels[MOST_ROWS] = {rows_1, rows_2, rows_3, rows_4, rows_5, rows_6};
    for (int p = 0; p < t->panels; ++p) kernels[t->rows - 1](t, p);
}

static void nothing(void) {}

static double peak(int64_t rounds) {
    enum { CHAINS = 12, OPERATIONS = 64 };
    __m256i sum[CHAINS];
    volatile int8_t one = 1;
    __m256i a = _mm256_set1_epi8(one), b = _mm256_set1_epi8(one);
    for (int i = 0; i < CHAINS; ++i) sum[i] = _mm256_setzero_si256();
    for (int64_t r = 0; r < rounds; ++r) {
        __asm__("" : "+x"(a), "+x"(b)); /* new to the compiler in every round */
#pragma GCC unroll 12
        for (int i = 0; i < CHAINS; ++i) sum[i] = dot(sum[i], a, b);
    }
    for (int i = 1; i < CHAINS; ++i) sum[0] = _mm256_add_epi32(sum[0], sum[i]);
    volatile int sink = _mm256_extract_epi32(sum[0], 0);
    (void)sink;
    return (double)OPERATIONS * CHAINS * (double)rounds;
}

const vt_tiles8 vt_tiles8_avxvnni = {
    .name = "avxvnni",
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = product,
    .quantise = vt_quantise8_avx2,
    .pack = vt_pack8_avx2,
    .peak = peak,
};

/* finish.c - what happens to the sums of a tile on their way to memory (vt_finish in tiles.h).
 * Compiled once an instruction set; the tables of tiles share it.
 *
 * Called through product_finish.c for each tile, or row, while its sums are in the first cache. A row is always
 * computed for all columns of a tile, those beyond `columns` from zero factors and not stored, so that
 * each number's result does not depend on where it stands.
 *
 *     sums of a row        | 16 | 16 | 16 | 16 |     four panels
 *     STORE, GELU, GATE_ADD  one panel at a time: scale and bias, the function, rounding, out
 *     QKV, head_dim 64     |      one head     |     a head must be whole: its length divides its numbers,
 *               32         |  head   |  head   |     and for int8 its largest number is its scale
 *               16         | h  | h  | h  | h  |
 *
 * A head stays in registers from its sums to its bytes: 4 registers of AVX-512 at 64. */
#include "kern/cpu/isa/tiles.h"
#include "kern/cpu/isa/fma.h"

#include <math.h>
#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(name, VT_LOOPS_SUFFIX)

#define INLINE static inline __attribute__((always_inline))
enum { COLUMNS = VT_TILE_COLUMNS };
#define EACH _Pragma("omp simd") for (int c = 0; c < VT_PANEL; ++c)

INLINE float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

INLINE uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static const float round_magic = 12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer */

INLINE __attribute__((unused)) uint32_t to_bf16(float x) {
    uint32_t bits = bits_of(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded;
}

/* to = from, rounded, for one panel. */
INLINE __attribute__((unused)) void round_bf16(uint16_t *to, const float *from) {
#if defined(__AVX512BF16__)
    const __m256bh rounded = _mm512_cvtneps_pbh(_mm512_loadu_ps(from));
    memcpy(to, &rounded, sizeof rounded);
#else
    uint16_t rounded[VT_PANEL];
    EACH rounded[c] = (uint16_t)to_bf16(from[c]);
    memcpy(to, rounded, sizeof rounded);
#endif
}

/* The same for two panels, a line of 64 bytes in one store: who loads it as a line need not wait for halves of it. */
INLINE void round_line(uint16_t *to, const float *low, const float *high) {
#if defined(__AVX512BF16__)
    const __m512bh rounded = _mm512_cvtne2ps_pbh(_mm512_loadu_ps(high), _mm512_loadu_ps(low));
    memcpy(to, &rounded, sizeof rounded);
#else
    round_bf16(to, low);
    round_bf16(to + VT_PANEL, high);
#endif
}

/* gelu in tanh form: x / (1 + 2^z), z = -2 log2(e) sqrt(2 / pi) (x + 0.044715 x^3). 2^z is 2^n times
 * Taylor's polynomial in z - n, |z - n| <= 1/2, good to 1.2e-7. Below -10 it is zero to 1e-37. */
#if defined(__AVX512F__)
/* In registers throughout: the compiler's own vectors of the code below branch on lanes that are far out. */
INLINE void gelu(float *to) {
    const __m512 magic = _mm512_set1_ps(round_magic), one = _mm512_set1_ps(1.0f);
    /* of a NaN and a number the second is taken */
    const __m512 x = _mm512_max_ps(_mm512_set1_ps(-10.0f), _mm512_loadu_ps(to));
    const __m512 inner = _mm512_fmadd_ps(_mm512_mul_ps(x, x), _mm512_set1_ps(-0.10294324f),
                                         _mm512_set1_ps(-2.3022082f));
    const __m512 z = _mm512_max_ps(_mm512_set1_ps(-126.0f), _mm512_mul_ps(x, inner));
    const __m512 shifted = _mm512_add_ps(z, magic);
    const __m512 f = _mm512_sub_ps(z, _mm512_sub_ps(shifted, magic));
    const __m512i power = _mm512_add_epi32(_mm512_slli_epi32(_mm512_castps_si512(shifted), 23),
                                           _mm512_set1_epi32(0x3f800000));
    __m512 p = _mm512_set1_ps(1.5403530e-4f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.3333558e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, f, one);
    const __m512 d = _mm512_fmadd_ps(p, _mm512_castsi512_ps(power), one);
    /* 14 bits of the reciprocal, then a step of Newton's: a third of the time of a division */
    const __m512 r = _mm512_rcp14_ps(d), rest = _mm512_fnmadd_ps(d, r, one);
    _mm512_storeu_ps(to, _mm512_mul_ps(x, _mm512_fmadd_ps(r, rest, r)));
}
#else
INLINE void gelu(float *x) {
    float divisor[VT_PANEL];
    EACH {
        x[c] = x[c] < -10.0f ? -10.0f : x[c];
        float z = x[c] * FMA(x[c] * x[c], -0.10294324f, -2.3022082f);
        z = z < -126.0f ? -126.0f : z;
        float shifted = z + round_magic;
        float f = z - (shifted - round_magic);
        uint32_t power = (bits_of(shifted) << 23) + 0x3f800000u; /* 2^n: n is in the low bits */
        float p = 1.5403530e-4f;
        p = FMA(p, f, 1.3333558e-3f);
        p = FMA(p, f, 9.6181291e-3f);
        p = FMA(p, f, 5.5504109e-2f);
        p = FMA(p, f, 2.4022651e-1f);
        p = FMA(p, f, 6.9314718e-1f);
        p = FMA(p, f, 1.0f);
        divisor[c] = FMA(p, float_of(power), 1.0f);
    }
    EACH x[c] /= divisor[c];
}
#endif

/* One panel of a row. `epilogue` is a constant after inlining; `old` is what GATE_ADD adds to. */
INLINE void panel_make(float *x, const float *sums, const vt_factors *k, const float *old, int i,
                       const vt_epilogue epilogue) {
    EACH x[c] = FMA(sums[i + c], k->scale[i + c], k->bias[i + c]);
    if (epilogue == VT_EPILOGUE_GELU) gelu(x);
    if (epilogue == VT_EPILOGUE_GATE_ADD) EACH x[c] = FMA(k->gamma[i + c], x[c], old[i + c]);
}

/* A whole row, to y or to room for one, two panels at a time, whose lines of bf16 lie `line` numbers apart: a row's 32, or,
 * where y is in tiles, a tile's. `bf16` is a constant after inlining. */
INLINE void row_make(void *y, const float *sums, const vt_factors *k, const float *old,
                     const vt_epilogue epilogue, const bool bf16, const int line) {
    for (int i = 0; i < COLUMNS; i += 2 * VT_PANEL) {
        float low[VT_PANEL], high[VT_PANEL];
        panel_make(low, sums, k, old, i, epilogue);
        panel_make(high, sums, k, old, i + VT_PANEL, epilogue);
        if (bf16) {
            round_line((uint16_t *)y + i / (2 * VT_PANEL) * line, low, high);
            continue;
        }
        memcpy((float *)y + i, low, sizeof low);
        memcpy((float *)y + i + VT_PANEL, high, sizeof high);
    }
}

INLINE void rows_make(const vt_finish *f, const vt_factors *k, const vt_epilogue epilogue,
                      const bool bf16) {
    const size_t number = bf16 ? sizeof(uint16_t) : sizeof(float), stride = f->y_stride * number;
    const size_t bytes = (size_t)f->columns * number;
    const int rows = f->rows;
    const bool whole = f->columns == COLUMNS;
    const float *sums = f->sums;
    char *y = f->y;
    for (int r = 0; r < rows; ++r, sums += COLUMNS, y += stride) {
        if (whole) {
            row_make(y, sums, k, (const float *)(const void *)y, epilogue, bf16, VT_TILE_DEPTH);
            continue;
        }
        float room[COLUMNS], old[COLUMNS] = {0};
        if (epilogue == VT_EPILOGUE_GATE_ADD) memcpy(old, y, bytes);
        row_make(room, sums, k, old, epilogue, bf16, VT_TILE_DEPTH);
        memcpy(y, room, bytes);
    }
}

#define ROWS(NAME, EPILOGUE, HALF)                                                                 \
    static void NAME(const vt_finish *f, const vt_factors *k) {                                    \
        rows_make(f, k, EPILOGUE, HALF);                                                           \
    }
ROWS(store_rows, VT_EPILOGUE_STORE, false)
ROWS(store_rows_bf16, VT_EPILOGUE_STORE, true)
ROWS(gelu_rows, VT_EPILOGUE_GELU, false)
ROWS(gelu_rows_bf16, VT_EPILOGUE_GELU, true)
ROWS(gate_rows, VT_EPILOGUE_GATE_ADD, false)

/* One row, whole, of y in tiles. */
#define LAID(NAME, EPILOGUE)                                                                       \
    static void NAME(const vt_finish *f, const vt_factors *k) {                                    \
        row_make(f->y, f->sums, k, NULL, EPILOGUE, true, VT_TILE_NUMBERS);                         \
    }
LAID(store_laid, VT_EPILOGUE_STORE)
LAID(gelu_laid, VT_EPILOGUE_GELU)

/* ---- heads ---- */

/* Columns of one row, as many as a register holds. */
#if defined(__AVX512F__)
enum { LANES = 16 };
#elif defined(__AVX2__)
enum { LANES = 8 };
#else
enum { LANES = 4 };
#endif
typedef float lanes __attribute__((vector_size(4 * LANES)));
typedef int32_t lane_bits __attribute__((vector_size(4 * LANES)));
typedef int8_t lane_bytes __attribute__((vector_size(LANES)));

/* Added in a fixed tree. */
INLINE float lanes_sum(const lanes *x) {
#if defined(__AVX512F__)
    return _mm512_reduce_add_ps((__m512)*x);
#else
    float y[LANES];
    memcpy(y, x, sizeof y);
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int c = 0; c < half; ++c) y[c] += y[c + half];
    return y[0];
#endif
}

/* The largest of sizes, which order as their bits do. */
INLINE float lanes_most(const lane_bits *x) {
#if defined(__AVX512F__)
    return float_of((uint32_t)_mm512_reduce_max_epi32((__m512i)*x));
#else
    int32_t y[LANES], most = 0;
    memcpy(y, x, sizeof y);
    for (int c = 0; c < LANES; ++c) most = most > y[c] ? most : y[c];
    return float_of((uint32_t)most);
#endif
}

/* One head as int8; returns its scale. */
INLINE float head_int8(int8_t *y, const lanes *x, const int count) {
    lane_bits most = {0};
    for (int i = 0; i < count; ++i) {
        const lane_bits size = (lane_bits)x[i] & 0x7fffffff, larger = size > most;
        most = (size & larger) | (most & ~larger);
    }
    const float scale = lanes_most(&most) / 127.0f, divisor = scale > 0.0f ? scale : 1.0f;
    for (int i = 0; i < count; ++i) {
        const lanes rounded = (x[i] / divisor + round_magic) - round_magic;
        lane_bits whole = __builtin_convertvector(rounded, lane_bits), far;
        far = whole > 127; /* what a denormal scale leaves */
        whole = (whole & ~far) | (far & 127);
        far = whole < -127;
        whole = (whole & ~far) | (far & -127);
        const lane_bytes bytes = __builtin_convertvector(whole, lane_bytes);
        memcpy(y + i * LANES, &bytes, sizeof bytes);
    }
    return scale;
}

/* The head of one row that begins at column `first`, `count` times LANES columns. */
INLINE void head_finish(const vt_finish *f, const vt_factors *k, int row, int first,
                        const int count) {
    const int head = first / (LANES * count);
    const size_t at = (size_t)row * f->y_stride + (size_t)first;
    lanes x[COLUMNS / LANES], squares = {0};
    for (int i = 0; i < count; ++i) {
        lanes sums, scale, bias;
        memcpy(&sums, f->sums + row * COLUMNS + first + i * LANES, sizeof sums);
        memcpy(&scale, k->scale + first + i * LANES, sizeof scale);
        memcpy(&bias, k->bias + first + i * LANES, sizeof bias);
        x[i] = sums * scale + bias;
        squares += x[i] * x[i];
    }
    if (f->unit) {
        const float length = sqrtf(lanes_sum(&squares));
        const float by =
            (f->head_scale ? f->head_scale[head] : 1.0f) / (length > 1e-12f ? length : 1e-12f);
        for (int i = 0; i < count; ++i) x[i] *= by;
    }
    if (f->y_type == VT_NUMBER_INT8) {
        f->scales[(size_t)row * f->scales_stride + (size_t)head] =
            head_int8((int8_t *)f->y + at, x, count);
        return;
    }
    if (f->y_type != VT_NUMBER_BF16) {
        memcpy((float *)f->y + at, x, (size_t)count * sizeof *x);
        return;
    }
    float numbers[COLUMNS];
    memcpy(numbers, x, (size_t)count * sizeof *x);
    int c = 0;
    for (; c + 2 * VT_PANEL <= count * LANES; c += 2 * VT_PANEL)
        round_line((uint16_t *)f->y + at + c, numbers + c, numbers + c + VT_PANEL);
    if (c < count * LANES) round_bf16((uint16_t *)f->y + at + c, numbers + c);
}

#define HEADS(DIM)                                                                                 \
    static void heads_##DIM(const vt_finish *f, const vt_factors *k) {                             \
        for (int r = 0; r < f->rows; ++r)                                                          \
            for (int c = 0; c < f->columns; c += (DIM)) head_finish(f, k, r, c, (DIM) / LANES);    \
    }
HEADS(16)
HEADS(32)
HEADS(64)

INLINE void finish_with(const vt_finish *f, const vt_factors *k) {
    const bool bf16 = f->y_type == VT_NUMBER_BF16, laid = f->y_type == VT_NUMBER_LAID;
    if (f->epilogue == VT_EPILOGUE_STORE)
        (laid ? store_laid : bf16 ? store_rows_bf16 : store_rows)(f, k);
    else if (f->epilogue == VT_EPILOGUE_GELU)
        (laid ? gelu_laid : bf16 ? gelu_rows_bf16 : gelu_rows)(f, k);
    else if (f->epilogue == VT_EPILOGUE_GATE_ADD)
        gate_rows(f, k);
    else
        (f->head_dim == 64 ? heads_64 : f->head_dim == 32 ? heads_32 : heads_16)(f, k);
}

/* Factors made here are of nobody else, which the compiler sees: it keeps them in registers from row to row. */
void NAMED(vt_finish_)(const vt_finish *f) {
    if (f->factors) {
        finish_with(f, f->factors);
        return;
    }
    vt_factors own;
    vt_factors_make(&own, f);
    finish_with(f, &own);
}

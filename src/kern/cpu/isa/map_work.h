/* map_work.h - pixels on their way into a map and finished sums on their way out (map_loops.h), inline: for map_loops.c, which is
 * compiled once an instruction set, and for tiles_amx.c, between whose steps a few of both are done at a time. */
#ifndef VT_KERN_CPU_ISA_MAP_WORK_H
#define VT_KERN_CPU_ISA_MAP_WORK_H

#include "kern/cpu/isa/map_loops.h"
#include "kern/cpu/isa/sigmoid.h"

#include <string.h>
#if defined(__AVX512F__)
#include <immintrin.h>
#endif

#define MAP_INLINE static inline __attribute__((always_inline))
#if defined(                                                                                       \
    VT_LOOPS_SUFFIX) /* compiled for an instruction set, with OpenMP's pragmas (CMakeLists.txt) */
#define MAP_SIMD _Pragma("omp simd")
#else
#define MAP_SIMD
#endif

static inline float silu(float u) {
    return u * sigmoid(u);
}

/* Bytes of `count` numbers of a map. */
MAP_INLINE size_t map_bytes(size_t count, bool bf16) {
    return count * (bf16 ? sizeof(uint16_t) : sizeof(float));
}

#if defined(__AVX512F__)

/* Sixteen numbers rounded to bf16; a NaN stays one. */
static inline __m256i bf16_16(__m512 value) {
#if defined(__AVX512BF16__)
    return (__m256i)_mm512_cvtneps_pbh(value);
#else
    __m512i bits = _mm512_castps_si512(value), high = _mm512_srli_epi32(bits, 16);
    __m512i odd = _mm512_and_si512(high, _mm512_set1_epi32(1));
    __m512i sum = _mm512_add_epi32(_mm512_add_epi32(bits, _mm512_set1_epi32(0x7fff)), odd);
    __mmask16 nan = _mm512_cmp_ps_mask(value, value, _CMP_UNORD_Q);
    sum = _mm512_srli_epi32(sum, 16);
    sum = _mm512_mask_or_epi32(sum, nan, high, _mm512_set1_epi32(0x40));
    return _mm512_cvtepi32_epi16(sum);
#endif
}

/* ... and 32, `low` first. */
MAP_INLINE __m512i bf16_32(__m512 low, __m512 high) {
#if defined(__AVX512BF16__)
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
#else
    return _mm512_inserti64x4(_mm512_castsi256_si512(bf16_16(low)), bf16_16(high), 1);
#endif
}

MAP_INLINE __m512 widened(__m256i bf16) {
    return _mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(bf16), 16));
}

static inline __m512 float_16(const uint16_t *from) {
    return widened(_mm256_loadu_si256((const __m256i *)(const void *)from));
}

/* Numbers [at, at + 16) of a map. */
MAP_INLINE __m512 map_load(const void *map, size_t at, bool bf16, __mmask16 mask) {
    if (bf16) return widened(_mm256_maskz_loadu_epi16(mask, (const uint16_t *)map + at));
    return _mm512_maskz_loadu_ps(mask, (const float *)map + at);
}

/* SiLU to well below bf16's precision: 2^t is a polynomial of t less its nearest integer, the
 * quotient an estimate and one Newton step. */
MAP_INLINE __m512 silu_16(__m512 u) {
    __m512 t = _mm512_mul_ps(u, _mm512_set1_ps(-1.44269504f));
    t = _mm512_max_ps(_mm512_set1_ps(-126.0f), t); /* in this order a NaN stays */
    t = _mm512_min_ps(_mm512_set1_ps(126.0f), t);
    __m512 n = _mm512_roundscale_ps(t, _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 f = _mm512_sub_ps(t, n), p = _mm512_set1_ps(1.3333558e-3f);
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(9.6181291e-3f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(5.5504109e-2f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(2.4022651e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(6.9314718e-1f));
    p = _mm512_fmadd_ps(p, f, _mm512_set1_ps(1.0f));
    __m512 below = _mm512_add_ps(_mm512_scalef_ps(p, n), _mm512_set1_ps(1.0f));
    __m512 inverse = _mm512_rcp14_ps(below);
    inverse = _mm512_mul_ps(inverse, _mm512_fnmadd_ps(below, inverse, _mm512_set1_ps(2.0f)));
    return _mm512_mul_ps(u, inverse);
}

/* 16 channels, or with `two` 32, of pixels [first, first + count). */
MAP_INLINE void channels_in(const vt_map_pixels *p, size_t first, size_t count, size_t c,
                            __mmask16 mask, bool two, bool bf16, bool norm, bool silu) {
    const size_t halves = two ? 2 : 1;
    __m512 center[2], factor[2], shift[2], u[2];
    for (size_t h = 0; norm && h < halves; h++) {
        center[h] = _mm512_maskz_loadu_ps(mask, p->center + c + h * 16);
        factor[h] = _mm512_maskz_loadu_ps(mask, p->factor + c + h * 16);
        shift[h] = _mm512_maskz_loadu_ps(mask, p->shift + c + h * 16);
    }
    uint16_t *y = (uint16_t *)p->map + first * p->map_stride + c;
    for (size_t i = first; i < first + count; i++, y += p->map_stride) {
        for (size_t h = 0; h < halves; h++) {
            u[h] = map_load(p->x, i * p->x_stride + c + h * 16, bf16, mask);
            if (norm) u[h] = _mm512_fmadd_ps(_mm512_sub_ps(u[h], center[h]), factor[h], shift[h]);
            if (silu) u[h] = silu_16(u[h]);
        }
        if (two)
            _mm512_storeu_si512(y, bf16_32(u[0], u[1]));
        else
            _mm256_storeu_si256((__m256i *)(void *)y, bf16_16(u[0]));
    }
}

/* A few pixels at a time, which stay in the first cache from some channels to the next. */
MAP_INLINE void pixels_of(const vt_map_pixels *p, bool bf16, bool norm, bool silu) {
    enum { SOME = 4 };
    for (size_t first = 0; first < p->count; first += SOME) {
        const size_t count = p->count - first < SOME ? p->count - first : SOME;
        size_t c = 0;
        for (; c + 32 <= p->channels; c += 32)
            channels_in(p, first, count, c, 0xffff, true, bf16, norm, silu);
        for (; c < p->width; c += 16) {
            const size_t left = p->channels > c ? p->channels - c : 0;
            channels_in(p, first, count, c, (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u),
                        false, bf16, norm, silu);
        }
    }
}

static inline void add_sums(float *to, size_t squares_at, __mmask16 mask, __m512 sums,
                            __m512 squares) {
    _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), sums));
    to += squares_at;
    _mm512_mask_storeu_ps(to, mask, _mm512_add_ps(_mm512_maskz_loadu_ps(mask, to), squares));
}

/* 16 columns, or with `two` 32, of all rows of a tile. */
MAP_INLINE void columns_out(const vt_map_tile *t, size_t c, __mmask16 mask, bool two, bool bf16) {
    __m512 bias[2] = {_mm512_setzero_ps(), _mm512_setzero_ps()}, sums[2], squares[2], y[2];
    const size_t halves = two ? 2 : 1;
    for (size_t h = 0; h < halves; h++) {
        if (t->bias) bias[h] = _mm512_maskz_loadu_ps(mask, t->bias + c + h * 16);
        sums[h] = squares[h] = _mm512_setzero_ps();
    }
    for (size_t r = 0; r < (size_t)t->rows; r++) {
        const size_t at = r * t->y_stride + c;
        for (size_t h = 0; h < halves; h++) {
            y[h] = _mm512_add_ps(
                _mm512_maskz_loadu_ps(mask, t->tile + r * t->tile_stride + c + h * 16), bias[h]);
            if (t->residual)
                y[h] =
                    _mm512_add_ps(y[h], map_load(t->residual, at + h * 16, t->residual_bf16, mask));
            sums[h] = _mm512_add_ps(sums[h], y[h]);
            squares[h] = _mm512_fmadd_ps(y[h], y[h], squares[h]);
        }
        uint16_t *half = (uint16_t *)t->y + at;
        float *whole = (float *)t->y + at;
        if (bf16 && two && t->stream)
            _mm512_stream_si512((__m512i *)(void *)half, bf16_32(y[0], y[1]));
        else if (bf16 && two)
            _mm512_storeu_si512(half, bf16_32(y[0], y[1]));
        else if (bf16)
            _mm256_mask_storeu_epi16(half, mask, bf16_16(y[0]));
        else
            for (size_t h = 0; h < halves; h++) {
                if (t->stream)
                    _mm512_stream_ps(whole + h * 16, y[h]);
                else
                    _mm512_mask_storeu_ps(whole + h * 16, mask, y[h]);
            }
    }
    for (size_t h = 0; t->sums && h < halves; h++)
        add_sums(t->sums + c + h * 16, t->squares, mask, sums[h], squares[h]);
}

MAP_INLINE void rows_of(const vt_map_tile *t, bool bf16) {
    const size_t columns = (size_t)t->columns;
    size_t c = 0;
    for (; c + 32 <= columns; c += 32) columns_out(t, c, 0xffff, true, bf16);
    for (; c < columns; c += 16) {
        const size_t left = columns - c;
        columns_out(t, c, (__mmask16)(left >= 16 ? 0xffffu : (1u << left) - 1u), false, bf16);
    }
}

#else

/* vt_to_bf16 without its branch. */
static inline uint16_t bf16_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16, nan = bits >> 16 | 0x40u;
    return (uint16_t)((bits & 0x7fffffffu) > 0x7f800000u ? nan : rounded);
}

static inline float float_of(uint16_t bf16) {
    uint32_t bits = (uint32_t)bf16 << 16;
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

MAP_INLINE float map_load(const void *map, size_t at, bool bf16) {
    return bf16 ? float_of(((const uint16_t *)map)[at]) : ((const float *)map)[at];
}

MAP_INLINE void pixels_of(const vt_map_pixels *p, bool bf16, bool norm, bool silued) {
    const size_t channels = p->channels;
    const float *restrict center = p->center, *restrict factor = p->factor,
                          *restrict shift = p->shift;
    for (size_t i = 0; i < p->count; i++) {
        uint16_t *restrict y = (uint16_t *)p->map + i * p->map_stride;
        const size_t at = i * p->x_stride;
        MAP_SIMD
        for (size_t c = 0; c < channels; c++) {
            float u = map_load(p->x, at + c, bf16);
            if (norm) u = (u - center[c]) * factor[c] + shift[c];
            y[c] = bf16_of(silued ? silu(u) : u);
        }
        memset(y + channels, 0, (p->width - channels) * sizeof *y);
    }
}

static inline void add_sums(float *restrict sums, size_t squares_at, const float *restrict y,
                            size_t columns) {
    float *restrict squares = sums + squares_at;
    MAP_SIMD
    for (size_t c = 0; c < columns; c++) {
        sums[c] += y[c];
        squares[c] += y[c] * y[c];
    }
}

MAP_INLINE void rows_of(const vt_map_tile *t, bool bf16) {
    enum { SOME = 64 };
    for (int r = 0; r < t->rows; r++)
        for (size_t first = 0; first < (size_t)t->columns; first += SOME) {
            const size_t left = (size_t)t->columns - first, count = left < SOME ? left : SOME;
            const float *restrict tile = t->tile + (size_t)r * t->tile_stride + first;
            const size_t at = (size_t)r * t->y_stride + first;
            float y[SOME];
            for (size_t c = 0; c < count; c++) y[c] = tile[c];
            for (size_t c = 0; t->bias && c < count; c++) y[c] += t->bias[first + c];
            for (size_t c = 0; t->residual && c < count; c++)
                y[c] += map_load(t->residual, at + c, t->residual_bf16);
            if (bf16)
                for (size_t c = 0; c < count; c++) ((uint16_t *)t->y)[at + c] = bf16_of(y[c]);
            else
                memcpy((float *)t->y + at, y, count * sizeof *y);
            if (t->sums) add_sums(t->sums + first, t->squares, y, count);
        }
}

#endif

MAP_INLINE void pixels_in(const vt_map_pixels *p) {
    if (p->x_bf16) {
        if (!p->factor)
            pixels_of(p, true, false, false);
        else if (p->silu)
            pixels_of(p, true, true, true);
        else
            pixels_of(p, true, true, false);
    } else {
        if (!p->factor)
            pixels_of(p, false, false, false);
        else if (p->silu)
            pixels_of(p, false, true, true);
        else
            pixels_of(p, false, true, false);
    }
}

MAP_INLINE void rows_out(const vt_map_tile *t) {
    if (t->y_bf16)
        rows_of(t, true);
    else
        rows_of(t, false);
}

/* ---- a piece at a time ---- */

enum {
    MAP_AHEAD = 16, /* pixels and rows asked for so many before they are read */
    MAP_LINE = 64   /* bytes of a line */
};

/* Asks for `numbers` of a map, from `at` on. */
MAP_INLINE void map_ask(const void *map, size_t at, size_t numbers, bool bf16) {
    const char *from = (const char *)map + map_bytes(at, bf16);
    for (size_t i = 0; i < map_bytes(numbers, bf16); i += MAP_LINE)
        __builtin_prefetch(from + i, 0, 2);
}

/* The next rows of sums, of the strip at hand or the next one. */
MAP_INLINE void map_rows_piece(vt_map_work *w) {
    vt_map_tile *out = &w->out;
    if (out->rows == 0) {
        const vt_map_strip *strip = &w->strips[w->strip++];
        out->rows = strip->rows;
        out->y = (char *)w->y + map_bytes(strip->y, out->y_bf16);
        if (w->residual)
            out->residual = (const char *)w->residual + map_bytes(strip->y, out->residual_bf16);
    }
    const int rows = out->rows, some = rows < VT_MAP_ROWS ? rows : VT_MAP_ROWS;
    const size_t step = (size_t)some * out->y_stride;
    if (out->residual)
        for (int r = 0; r < some; r++)
            map_ask(out->residual, (size_t)(MAP_AHEAD + r) * out->y_stride, (size_t)out->columns,
                    out->residual_bf16);
    out->rows = some;
    rows_out(out);
    out->rows = rows - some;
    out->tile += (size_t)some * out->tile_stride;
    out->y = (char *)out->y + map_bytes(step, out->y_bf16);
    if (out->residual)
        out->residual = (const char *)out->residual + map_bytes(step, out->residual_bf16);
}

/* Some channels of the next pixels. */
MAP_INLINE void map_pixels_piece(vt_map_work *w) {
    vt_map_pixels *in = &w->in;
    const size_t first = w->channel,
                 pixels = (size_t)(w->left < VT_MAP_PIXELS ? w->left : VT_MAP_PIXELS);
    vt_map_pixels some = {.x = (const char *)in->x + map_bytes(first, in->x_bf16),
                          .x_bf16 = in->x_bf16,
                          .map = (uint16_t *)in->map + first,
                          .x_stride = in->x_stride,
                          .map_stride = in->map_stride,
                          .count = pixels,
                          .channels = in->channels > first ? in->channels - first : 0,
                          .width = in->width - first,
                          .silu = in->silu};
    if (some.channels > VT_MAP_CHANNELS) some.channels = VT_MAP_CHANNELS;
    if (some.width > VT_MAP_CHANNELS) some.width = VT_MAP_CHANNELS;
    if (in->factor) {
        some.center = in->center + first;
        some.factor = in->factor + first;
        some.shift = in->shift + first;
    }
    for (size_t i = 0; i < pixels; i++)
        map_ask(some.x, (MAP_AHEAD + i) * some.x_stride, some.channels, some.x_bf16);
    pixels_in(&some);
    w->channel += VT_MAP_CHANNELS;
    if (w->channel < in->width) return;
    w->channel = 0;
    w->left -= (int)pixels;
    in->x = (const char *)in->x + map_bytes(pixels * in->x_stride, in->x_bf16);
    in->map = (uint16_t *)in->map + pixels * in->map_stride;
}

MAP_INLINE void map_piece(vt_map_work *w) {
    if (w->out.rows > 0 || w->strip < w->count)
        map_rows_piece(w);
    else
        map_pixels_piece(w);
}

#endif

/* attention_loops.c - see attention_loops.h. Compiled once an instruction set with
 * VT_LOOPS_SUFFIX=baseline, avx2, avx512 or avx512bf16; exports one symbol, the table
 * vt_attention_loops_SUFFIX.
 *
 * The product, the softmax step and the packing are what attention spends its time on: they are
 * written for AVX-512 by hand, where compilers neither keep a row's scores in registers nor find a
 * transposition. Every other processor has them in vectors of LANES numbers, which a compiler cuts to its
 * instructions (left to itself it takes powers one by one, which was half of all time with AVX2), and a
 * transposition by hand with AVX2. */
#include "kern/cpu/isa/attention_loops.h"

#include "kern/cpu/isa/attention_softmax.h"

/* ---- product ---- */

/* A micro tile of ROWS x PANELS sums lives in registers: 24 of 32 with AVX-512, 12 of 16 with AVX2,
 * 8 of 16 without. AVX-512's six rows by four panels, 16 floats a register:
 *
 *            b0   b1   b2   b3      a line of each panel
 *     x0     s00  s01  s02  s03
 *      ...                          24 sums, 4 of panels, 1 of x: 29; 10 loads for 24 products
 *     x5     s50  s51  s52  s53
 *
 * A panel's row is two registers of AVX2 and four of SSE, so those hold one panel at a time. */
#if WIDE
#define MICRO_ROWS 6
#define MICRO_PANELS 4
#elif defined(__AVX__)
#define MICRO_ROWS 6
#define MICRO_PANELS 1
#else
#define MICRO_ROWS 2
#define MICRO_PANELS 1
#endif

/* rows and panels are constants after inlining. */
static inline __attribute__((always_inline)) void
micro_product(const vt_attention_product *t, int row, int panel, const int rows, const int panels) {
    vector sum[MICRO_ROWS][MICRO_PANELS * VECTORS] = {{{0}}};
    const float *a = t->a + (size_t)row * t->a_row, *b = t->b + (size_t)panel * t->b_panel;
    const size_t a_row = t->a_row, a_depth = t->a_depth, b_panel = t->b_panel;
    for (int d = 0; d < t->depth; ++d, a += a_depth, b += PANEL) {
        vector wide[MICRO_PANELS * VECTORS];
        for (int i = 0; i < panels * VECTORS; ++i)
            wide[i] = load(b + (size_t)(i / VECTORS) * b_panel + (size_t)(i % VECTORS * LANES));
        for (int r = 0; r < rows; ++r) {
            vector x = splat(a[(size_t)r * a_row]);
            for (int i = 0; i < panels * VECTORS; ++i)
                sum[r][i] = multiply_add(x, wide[i], sum[r][i]);
        }
    }
#pragma GCC unroll 6
    for (int r = 0; r < rows; ++r) {
        float *out = t->out + (size_t)(row + r) * t->out_stride + (size_t)panel * PANEL;
        vector keep = splat(t->keep ? t->keep[row + r] : 0.0f);
        for (int i = 0; i < panels * VECTORS; ++i) {
            if (t->keep) sum[r][i] = multiply_add(load(out + i * LANES), keep, sum[r][i]);
            store(out + i * LANES, sum[r][i]);
        }
    }
}

#define MICRO(r, p)                                                                                \
    case (r)*8 + (p):                                                                              \
        micro_product(t, row, panel, r, p);                                                        \
        break;
#if WIDE
#define MICRO_ROW(r) MICRO(r, 1) MICRO(r, 2) MICRO(r, 3) MICRO(r, 4)
#else
#define MICRO_ROW(r) MICRO(r, 1)
#endif

static void product(const vt_attention_product *t) {
    for (int row = 0; row < t->rows; row += MICRO_ROWS) {
        int rows = least(MICRO_ROWS, t->rows - row);
        for (int panel = 0; panel < t->panels; panel += MICRO_PANELS) {
            switch (rows * 8 + least(MICRO_PANELS, t->panels - panel)) {
                MICRO_ROW(1)
                MICRO_ROW(2)
#if MICRO_ROWS > 2
                MICRO_ROW(3)
                MICRO_ROW(4)
                MICRO_ROW(5)
                MICRO_ROW(6)
#endif
            }
        }
    }
}

/* ---- sums ---- */

static void gather(float *out, size_t out_stride, const float *keep, const float *from,
                   size_t from_stride, int rows, int width) {
    for (int r = 0; r < rows; ++r, out += out_stride, from += from_stride) {
        for (int c = 0; c < width; c += LANES) {
            vector x = load(from + c);
            if (keep) x = multiply_add(load(out + c), splat(keep[r]), x);
            store(out + c, x);
        }
    }
}

static inline float total_of(const float *sum) {
#if WIDE
    return _mm512_reduce_add_ps(_mm512_loadu_ps(sum));
#endif
    float parts[PANEL];
    memcpy(parts, sum, sizeof parts);
    for (int half = PANEL / 2; half; half /= 2)
        for (int c = 0; c < half; ++c) parts[c] += parts[c + half];
    return parts[0];
}

static void finish(float *out, const float *from, const float *sum, int n) {
    const float inverse = 1.0f / total_of(sum);
#pragma omp simd
    for (int i = 0; i < n; ++i) out[i] = from[i] * inverse;
}

static void finish_bf16(uint16_t *out, const float *from, const float *sum, int n) {
    const float inverse = 1.0f / total_of(sum);
    int i = 0;
#if WIDE
    for (; i + PANEL <= n; i += PANEL)
        store_bf16(out + i, _mm512_mul_ps(_mm512_loadu_ps(from + i), _mm512_set1_ps(inverse)));
#endif
#pragma omp simd
    for (int rest = i; rest < n; ++rest) out[rest] = vt_to_bf16(from[rest] * inverse);
}

static void slopes(float *p, float *ds, const float *factor, const float *mean, float scale,
                   int rows, int columns) {
    int width = (columns + PANEL - 1) / PANEL * PANEL;
    for (int r = 0; r < rows; ++r, p += KEYS, ds += KEYS) {
        const vector f = splat(factor[r]), m = splat(mean[r]), by = splat(scale);
        for (int i = 0; i < width; i += LANES) {
            vector x = load(p + i) * f;
            store(p + i, x);
            store(ds + i, x * ((load(ds + i) - m) * by));
        }
    }
}

/* ---- packing ---- */

/* Rows of a cache lie a page apart: no processor fetches the next ones by itself. `rows` of them
 * after this one, where they are packed next; past the end of memory a prefetch does nothing. */
static inline void fetch_ahead(const void *row, size_t stride_bytes, int rows) {
    __builtin_prefetch((const void *)((uintptr_t)row + stride_bytes * (size_t)rows));
}

#if WIDE

static void pack(float *panel, const float *from, size_t stride, int columns, int length) {
    for (int d = 0; d < length; d += 16) {
        __m512i x[16];
        int count = least(16, length - d);
        __mmask16 mask = (__mmask16)((1u << count) - 1u);
        for (int c = 0; c < 16; ++c) {
            const float *row = from + (size_t)c * stride + d;
            x[c] = _mm512_setzero_si512();
            if (c >= columns) continue;
            x[c] = _mm512_maskz_loadu_epi32(mask, row);
            fetch_ahead(row, stride * sizeof *row, 16);
        }
        vt_transpose_16x16(x);
        for (int i = 0; i < 16; ++i)
            if (i < count) _mm512_storeu_si512(panel + (d + i) * PANEL, x[i]);
    }
}

static inline __mmask32 first_words(int count) {
    return count >= 32 ? 0xffffffffu : count <= 0 ? 0 : (1u << count) - 1u;
}

static void pack_bf16(uint16_t *panel, const uint16_t *from, size_t stride, int columns, int length,
                      int depth) {
    for (int d = 0; d < depth; d += 32) {
        __m512i x[16];
        int pairs = least(16, (depth - d) / 2);
        __mmask32 mask = first_words(length - d);
        for (int c = 0; c < 16; ++c) {
            const uint16_t *row = from + (size_t)c * stride + d;
            x[c] = _mm512_setzero_si512();
            if (c >= columns) continue;
            x[c] = _mm512_maskz_loadu_epi16(mask, row);
            fetch_ahead(row, stride * sizeof *row, 16);
        }
        vt_transpose_16x16(x);
        for (int i = 0; i < 16; ++i)
            if (i < pairs) _mm512_storeu_si512(panel + (d + 2 * i) * PANEL, x[i]);
    }
}

static void pack_across_bf16(uint16_t *panels, size_t panel_stride, const uint16_t *from,
                             size_t stride, int rows, int length, int depth) {
    uint16_t order[32];
    for (int i = 0; i < 32; ++i) order[i] = (uint16_t)(i / 2 + i % 2 * 32);
    const __m512i low = _mm512_loadu_si512(order);
    const __m512i high = _mm512_add_epi16(low, _mm512_set1_epi16(16));
    for (int d = 0; d < depth; d += 2) {
        const uint16_t *row = from + (size_t)d * stride;
        for (int c = 0; c < length; c += 32) {
            __mmask32 mask = first_words(length - c);
            __m512i a = _mm512_setzero_si512(), b = a;
            if (d < rows) a = _mm512_maskz_loadu_epi16(mask, row + c);
            if (d + 1 < rows) b = _mm512_maskz_loadu_epi16(mask, row + stride + c);
            fetch_ahead(row + c, stride * sizeof *row, 16);
            fetch_ahead(row + c, stride * sizeof *row, 17);
            uint16_t *to = panels + (size_t)(c / PANEL) * panel_stride + d * PANEL;
            _mm512_storeu_si512(to, _mm512_permutex2var_epi16(a, low, b));
            if (c + PANEL < length)
                _mm512_storeu_si512(to + panel_stride, _mm512_permutex2var_epi16(a, high, b));
        }
    }
}

#else

/* ---- 32 bits at a time: a float, or two of depth in bf16 ---- */

#ifdef __AVX2__
/* x[i] gets number i of each of the eight. */
static inline __attribute__((always_inline)) void transpose_8x8(__m256i x[8]) {
    __m256i a[8], b[8];
    for (int i = 0; i < 8; i += 2) {
        a[i] = _mm256_unpacklo_epi32(x[i], x[i + 1]);
        a[i + 1] = _mm256_unpackhi_epi32(x[i], x[i + 1]);
    }
    for (int i = 0; i < 8; i += 4)
        for (int k = 0; k < 2; ++k) {
            b[i + 2 * k] = _mm256_unpacklo_epi64(a[i + k], a[i + 2 + k]);
            b[i + 2 * k + 1] = _mm256_unpackhi_epi64(a[i + k], a[i + 2 + k]);
        }
    for (int i = 0; i < 4; ++i) {
        x[i] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x20);
        x[i + 4] = _mm256_permute2x128_si256(b[i], b[i + 4], 0x31);
    }
}

/* Eight words of `columns` rows into eight lines of a panel; rows lie `stride` bytes apart. */
static void pack_8_words(char *lines, const char *from, size_t stride, int columns) {
    for (int c = 0; c < PANEL; c += 8, lines += 32) {
        __m256i x[8];
        for (int i = 0; i < 8; ++i, from += stride) {
            x[i] = _mm256_setzero_si256();
            if (c + i >= columns) continue;
            x[i] = _mm256_loadu_si256((const __m256i *)(const void *)from);
            fetch_ahead(from, stride, 16);
        }
        transpose_8x8(x);
        for (int i = 0; i < 8; ++i)
            _mm256_storeu_si256((__m256i *)(void *)(lines + i * PANEL * 4), x[i]);
    }
}
#else
static void pack_8_words(char *lines, const char *from, size_t stride, int columns) {
    memset(lines, 0, 8 * PANEL * 4);
    for (int c = 0; c < columns; ++c, from += stride, lines += 4)
        for (int i = 0; i < 8; ++i) memcpy(lines + i * PANEL * 4, from + i * 4, 4);
}
#endif

static void pack(float *panel, const float *from, size_t stride, int columns, int length) {
    int d = 0;
    for (; d + 8 <= length; d += 8)
        pack_8_words((char *)(panel + d * PANEL), (const char *)(from + d), stride * sizeof *from,
                     columns);
    for (; d < length; ++d)
        for (int c = 0; c < PANEL; ++c)
            panel[d * PANEL + c] = c < columns ? from[(size_t)c * stride + (size_t)d] : 0.0f;
}

static void pack_bf16(uint16_t *panel, const uint16_t *from, size_t stride, int columns, int length,
                      int depth) {
    int d = 0;
    for (; d + 16 <= length; d += 16)
        pack_8_words((char *)(panel + d * PANEL), (const char *)(from + d), stride * sizeof *from,
                     columns);
    for (; d < depth; ++d)
        for (int c = 0; c < PANEL; ++c)
            panel[(d / 2 * PANEL + c) * 2 + d % 2] =
                c < columns && d < length ? from[(size_t)c * stride + (size_t)d] : 0;
}

/* A line of a panel: 16 pairs of two rows' numbers, the first in the lower half. */
static inline void put_pairs(uint16_t *line, const uint16_t *even, const uint16_t *odd) {
    uint32_t pairs[PANEL];
#pragma omp simd
    for (int i = 0; i < PANEL; ++i) pairs[i] = (uint32_t)even[i] | (uint32_t)odd[i] << 16;
    memcpy(line, pairs, sizeof pairs);
}

static void pack_across_bf16(uint16_t *panels, size_t panel_stride, const uint16_t *from,
                             size_t stride, int rows, int length, int depth) {
    static const uint16_t none[PANEL];
    for (int d = 0; d < depth; d += 2) {
        const uint16_t *row = from + (size_t)d * stride;
        for (int c = 0; c < length; c += PANEL) {
            uint16_t part[2][PANEL] = {{0}};
            const uint16_t *pair[2];
            const int count = least(PANEL, length - c);
            for (int i = 0; i < 2; ++i) {
                pair[i] = d + i < rows ? row + (size_t)i * stride + c : none;
                fetch_ahead(row + c, stride * sizeof *row, 16 + i);
                if (count == PANEL || d + i >= rows) continue;
                memcpy(part[i], pair[i], (size_t)count * sizeof *row);
                pair[i] = part[i];
            }
            put_pairs(panels + (size_t)(c / PANEL) * panel_stride + d * PANEL, pair[0], pair[1]);
        }
    }
}

#endif

static void pack_across(float *panels, size_t panel_stride, const float *from, size_t stride,
                        int rows, int length) {
    for (int d = 0; d < rows; ++d, panels += PANEL, from += stride) {
        float *to = panels;
        int c = 0;
        for (; c + PANEL <= length; c += PANEL, to += panel_stride) {
            memcpy(to, from + c, PANEL * sizeof *to);
            fetch_ahead(from + c, stride * sizeof *from, 16);
        }
        if (c == length) continue;
        for (int i = 0; i < PANEL; ++i) to[i] = c + i < length ? from[c + i] : 0.0f;
    }
}

/* ---- rows ---- */

static void to_bf16(uint16_t *to, const float *x, const float *bias, float by, size_t n) {
    if (bias) {
#pragma omp simd
        for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16((x[i] + bias[i]) * by);
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16(x[i] * by);
}

/* Bits of a magnitude order as the magnitudes do. */
static inline int32_t magnitude(float x) {
    int32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

static float to_int8(int8_t *to, const float *x, const float *bias, float by, size_t n) {
    const float magic = 12582912.0f, smallest = 1e-36f;
    int32_t bits = 0;
#pragma omp simd reduction(max : bits)
    for (size_t i = 0; i < n; ++i) {
        int32_t size = magnitude((bias ? x[i] + bias[i] : x[i]) * by);
        bits = size > bits ? size : bits;
    }
    float most;
    memcpy(&most, &bits, sizeof most);
    if (most < smallest) { /* a scale would leave the normal numbers */
        memset(to, 0, n);
        return 0.0f;
    }
    const float scale = most / 127.0f, inverse = 127.0f / most;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        float y = (bias ? x[i] + bias[i] : x[i]) * by * inverse;
        y = y < 127.0f ? y : 127.0f; /* infinities and NaN end at a border, too */
        y = y > -127.0f ? y : -127.0f;
        to[i] = (int8_t)(int32_t)((y + magic) - magic);
    }
    return scale;
}

static void norm_modulate_bf16(uint16_t *y, const float *x, const float *row_scale,
                               const float *shift, int width, float eps, float *mean_out,
                               float *rstd_out) {
    float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < width; ++c) sum += x[c];
    float mean = sum / (float)width;
#pragma omp simd reduction(+ : square)
    for (int c = 0; c < width; ++c) square += (x[c] - mean) * (x[c] - mean);
    float rstd = 1.0f / sqrtf(square / (float)width + eps);
#pragma omp simd
    for (int c = 0; c < width; ++c)
        y[c] = vt_to_bf16(FMA((x[c] - mean) * rstd, 1.0f + row_scale[c], shift[c]));
    *mean_out = mean;
    *rstd_out = rstd;
}

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)

const vt_attention_loops PASTE(vt_attention_loops_, VT_LOOPS_SUFFIX) = {
    .product = product,
    .step = step,
    .powers = powers,
    .gather = gather,
    .slopes = slopes,
    .finish = finish,
    .finish_bf16 = finish_bf16,
    .pack = pack,
    .pack_across = pack_across,
    .pack_bf16 = pack_bf16,
    .pack_across_bf16 = pack_across_bf16,
    .to_bf16 = to_bf16,
    .to_int8 = to_int8,
    .norm_modulate_bf16 = norm_modulate_bf16,
};

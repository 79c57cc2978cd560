/* finish.c - what happens to the sums of a tile on their way to memory (vt_finish in tiles.h), and
 * the rounding of weights to int8. Compiled once an instruction set; the tables of tiles share it.
 *
 * Called by packed_products.c for each tile while its sums are in the first cache. Rows are taken a
 * panel of 16 numbers at a time; numbers beyond `columns` are computed and not stored, so that each
 * number's result does not depend on where it stands. */
#include "kern/cpu/isa/tiles.h"

#include <math.h>
#include <string.h>

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)
#define NAMED(name) JOIN(name, VT_LOOPS_SUFFIX)

#define INLINE static inline __attribute__((always_inline))
#define EACH _Pragma("omp simd") for (int c = 0; c < VT_PANEL; ++c)

#ifdef __FMA__
#define FMA(a, b, c) __builtin_fmaf(a, b, c)
#else
#define FMA(a, b, c) ((a) * (b) + (c))
#endif

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

/* Nearest integer, ties to even, of |x| up to 2^22. */
INLINE float nearest(float x) {
    return (x + round_magic) - round_magic;
}

INLINE uint32_t to_bf16(float x) {
    uint32_t bits = bits_of(x);
    uint32_t rounded = (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
    return (bits & 0x7fffffffu) > 0x7f800000u ? bits >> 16 | 0x40u : rounded;
}

/* gelu in tanh form: x / (1 + 2^z), z = -2 log2(e) sqrt(2 / pi) (x + 0.044715 x^3). 2^z is 2^n times
 * Taylor's polynomial in z - n, |z - n| <= 1/2, good to 1.2e-7. */
INLINE float gelu(float x) {
    float z = x * FMA(x * x, -0.10294324f, -2.3022082f);
    z = z > 127.0f ? 127.0f : z;
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
    return x / FMA(p, float_of(power), 1.0f);
}

/* A row's factors, read for whole panels: zeros beyond `columns`. */
typedef struct factors {
    float scale[VT_TILE_COLUMNS], bias[VT_TILE_COLUMNS], gamma[VT_TILE_COLUMNS];
} factors;

static void factors_read(factors *to, const vt_finish *f) {
    const size_t bytes = (size_t)f->columns * sizeof(float);
    for (int c = 0; c < VT_TILE_COLUMNS; ++c) to->scale[c] = 1.0f;
    memset(to->bias, 0, sizeof to->bias);
    memset(to->gamma, 0, sizeof to->gamma);
    if (f->scale) memcpy(to->scale, f->scale, bytes);
    if (f->bias) memcpy(to->bias, f->bias, bytes);
    if (f->gamma) memcpy(to->gamma, f->gamma, bytes);
}

INLINE void store_f32(float *y, const float *x, int count) {
    if (count >= VT_PANEL)
        memcpy(y, x, VT_PANEL * sizeof *y);
    else
        memcpy(y, x, (size_t)count * sizeof *y);
}

INLINE void store_bf16(uint16_t *y, const float *x, int count) {
    uint16_t half[VT_PANEL];
    EACH half[c] = (uint16_t)to_bf16(x[c]);
    if (count >= VT_PANEL)
        memcpy(y, half, sizeof half);
    else
        memcpy(y, half, (size_t)count * sizeof *y);
}

/* One panel of one row; `epilogue` and `half` are constants after inlining. */
INLINE void panel_finish(const vt_finish *f, const factors *k, int row, int first,
                         const vt_epilogue epilogue, const bool half) {
    const float *sums = f->sums + row * VT_TILE_COLUMNS + first;
    const float *scale = k->scale + first, *bias = k->bias + first, *gamma = k->gamma + first;
    const size_t at = (size_t)row * f->y_stride + (size_t)first;
    const int count = f->columns - first;
    float x[VT_PANEL];
    EACH x[c] = FMA(sums[c], scale[c], bias[c]);
    if (epilogue == VT_EPILOGUE_GELU) EACH x[c] = gelu(x[c]);
    if (half) {
        store_bf16((uint16_t *)f->y + at, x, count);
        return;
    }
    float *y = (float *)f->y + at;
    if (epilogue == VT_EPILOGUE_GATE_ADD) {
        float old[VT_PANEL] = {0};
        store_f32(old, y, count);
        EACH x[c] = FMA(gamma[c], x[c], old[c]);
    }
    store_f32(y, x, count);
}

#define PANELS(NAME, EPILOGUE, HALF)                                                               \
    static void NAME(const vt_finish *f, const factors *k) {                                       \
        for (int r = 0; r < f->rows; ++r)                                                          \
            for (int c = 0; c < f->columns; c += VT_PANEL)                                         \
                panel_finish(f, k, r, c, EPILOGUE, HALF);                                          \
    }
PANELS(store_rows, VT_EPILOGUE_STORE, false)
PANELS(store_rows_bf16, VT_EPILOGUE_STORE, true)
PANELS(gelu_rows, VT_EPILOGUE_GELU, false)
PANELS(gelu_rows_bf16, VT_EPILOGUE_GELU, true)
PANELS(gate_rows, VT_EPILOGUE_GATE_ADD, false)

/* ---- heads ---- */

/* Sums of 16 lanes in a fixed tree. */
INLINE float lanes_sum(float *x) {
    for (int half = VT_PANEL / 2; half > 0; half /= 2)
        for (int c = 0; c < half; ++c) x[c] += x[c + half];
    return x[0];
}

INLINE float lanes_most(float *x) {
    for (int half = VT_PANEL / 2; half > 0; half /= 2)
        for (int c = 0; c < half; ++c) x[c] = x[c] > x[c + half] ? x[c] : x[c + half];
    return x[0];
}

/* What a head is multiplied by to have length head_scale. */
INLINE float unit_factor(const vt_finish *f, const float *x, int head, const int head_dim) {
    float squares[VT_PANEL] = {0};
    for (int i = 0; i < head_dim; i += VT_PANEL) EACH squares[c] = FMA(x[i + c], x[i + c], squares[c]);
    float length = sqrtf(lanes_sum(squares));
    return (f->head_scale ? f->head_scale[head] : 1.0f) / (length > 1e-12f ? length : 1e-12f);
}

INLINE void head_int8(int8_t *y, float *scale, const float *x, const int head_dim) {
    float most[VT_PANEL] = {0};
    for (int i = 0; i < head_dim; i += VT_PANEL)
        EACH {
            float size = fabsf(x[i + c]);
            most[c] = most[c] > size ? most[c] : size;
        }
    *scale = lanes_most(most) / 127.0f;
    float divisor = *scale > 0.0f ? *scale : 1.0f;
    for (int i = 0; i < head_dim; i += VT_PANEL)
        EACH {
            float size = nearest(x[i + c] / divisor);
            size = size < 127.0f ? size : 127.0f; /* also of NaN, and of what denormal scales leave */
            y[i + c] = (int8_t)(size > -127.0f ? size : -127.0f);
        }
}

INLINE void head_finish(const vt_finish *f, const factors *k, int row, int head,
                        const int head_dim) {
    const int first = head * head_dim;
    const float *sums = f->sums + row * VT_TILE_COLUMNS + first;
    const size_t at = (size_t)row * f->y_stride + (size_t)first;
    float x[VT_TILE_COLUMNS];
    for (int i = 0; i < head_dim; i += VT_PANEL)
        EACH x[i + c] = FMA(sums[i + c], k->scale[first + i + c], k->bias[first + i + c]);
    if (f->unit) {
        float factor = unit_factor(f, x, head, head_dim);
        for (int i = 0; i < head_dim; i += VT_PANEL) EACH x[i + c] *= factor;
    }
    if (f->y_type == VT_NUMBER_INT8) {
        head_int8((int8_t *)f->y + at, f->scales + (size_t)row * f->scales_stride + head, x,
                  head_dim);
        return;
    }
    for (int i = 0; i < head_dim; i += VT_PANEL) {
        if (f->y_type == VT_NUMBER_BF16)
            store_bf16((uint16_t *)f->y + at + i, x + i, VT_PANEL);
        else
            store_f32((float *)f->y + at + i, x + i, VT_PANEL);
    }
}

#define HEADS(HEAD_DIM)                                                                            \
    static void heads_##HEAD_DIM(const vt_finish *f, const factors *k) {                           \
        for (int r = 0; r < f->rows; ++r)                                                          \
            for (int h = 0; h * (HEAD_DIM) < f->columns; ++h) head_finish(f, k, r, h, HEAD_DIM);   \
    }
HEADS(16)
HEADS(32)
HEADS(64)

void NAMED(vt_finish_)(const vt_finish *f) {
    factors k;
    factors_read(&k, f);
    const bool half = f->y_type == VT_NUMBER_BF16;
    if (f->epilogue == VT_EPILOGUE_STORE)
        (half ? store_rows_bf16 : store_rows)(f, &k);
    else if (f->epilogue == VT_EPILOGUE_GELU)
        (half ? gelu_rows_bf16 : gelu_rows)(f, &k);
    else if (f->epilogue == VT_EPILOGUE_GATE_ADD)
        gate_rows(f, &k);
    else
        (f->head_dim == 64 ? heads_64 : f->head_dim == 32 ? heads_32 : heads_16)(f, &k);
}

/* ---- weights as int8 ---- */

void NAMED(vt_narrow_int8_)(int8_t *to, const uint16_t *from, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) to[i] = (int8_t)(int32_t)float_of((uint32_t)from[i] << 16);
}

float NAMED(vt_quantise_)(float *to, const float *from, size_t n) {
    uint32_t most = 0; /* sizes order as their bits do, NaN last */
#pragma omp simd reduction(max : most)
    for (size_t i = 0; i < n; ++i) {
        uint32_t size = bits_of(from[i]) & 0x7fffffffu;
        most = most > size ? most : size;
    }
    if (most >= 0x7f800000u) {
        memset(to, 0, n * sizeof *to);
        return NAN;
    }
    float scale = most > 0 ? float_of(most) / 127.0f : 1.0f;
    if (scale == 0.0f) scale = float_of(1); /* of denormals */
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        float x = nearest(from[i] / scale);
        x = x > 127.0f ? 127.0f : x;
        to[i] = x < -127.0f ? -127.0f : x;
    }
    return scale;
}

/* tiles.c - tiles.h in C that any compiler vectorises; compiled once an instruction set. */
#include "kern/cpu/isa/tiles.h"

#include "kern/number.h"

#define JOIN_(a, b) a##b
#define JOIN(a, b) JOIN_(a, b)

enum { MOST_ROWS = 8 };

static void nothing(void) {}

static void product(const vt_tile *t) {
    for (int p = 0; p < t->panels; ++p) {
        for (int r = 0; r < t->rows; ++r) {
            const uint16_t *b = t->b + (size_t)p * t->b_stride;
            float even[VT_PANEL] = {0}, odd[VT_PANEL] = {0};
            for (int tap = 0; tap < t->taps; ++tap) {
                const uint16_t *a = t->a + (size_t)r * t->a_stride + (t->tap ? t->tap[tap] : 0);
                for (int d = 0; d < t->depth; d += 2, b += 2 * VT_PANEL) {
                    float x0 = vt_from_bf16(a[d]), x1 = vt_from_bf16(a[d + 1]);
#pragma omp simd
                    for (int c = 0; c < VT_PANEL; ++c) {
                        even[c] += x0 * vt_from_bf16(b[2 * c]);
                        odd[c] += x1 * vt_from_bf16(b[2 * c + 1]);
                    }
                }
            }
            float *out = t->out + r * VT_TILE_COLUMNS + p * VT_PANEL;
            for (int c = 0; c < VT_PANEL; ++c) out[c] = even[c] + odd[c];
        }
    }
}

static void pack(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                 int depth) {
    for (int d = 0; d < depth; ++d)
        for (int c = 0; c < VT_PANEL; ++c)
            panel[(d / 2 * VT_PANEL + c) * 2 + d % 2] =
                c < columns && d < length ? vt_to_bf16(from[(size_t)c * stride + (size_t)d]) : 0;
}

static void pack_across(uint16_t *panel, const float *from, size_t stride, int columns, int length,
                        int depth) {
    for (int d = 0; d < depth; ++d)
        for (int c = 0; c < VT_PANEL; ++c)
            panel[(d / 2 * VT_PANEL + c) * 2 + d % 2] =
                c < columns && d < length ? vt_to_bf16(from[(size_t)d * stride + (size_t)c]) : 0;
}

static void unpack_int8(uint16_t *to, const int8_t *from, size_t n) {
    for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16((float)from[i]);
}

static void to_bf16(uint16_t *to, const float *from, size_t n) {
    for (size_t i = 0; i < n; ++i) to[i] = vt_to_bf16(from[i]);
}

static void from_bf16(float *to, const uint16_t *from, size_t n) {
    for (size_t i = 0; i < n; ++i) to[i] = vt_from_bf16(from[i]);
}

#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

const vt_tiles JOIN(vt_tiles_, VT_LOOPS_SUFFIX) = {
    .name = TEXT(VT_LOOPS_SUFFIX),
    .most_rows = MOST_ROWS,
    .begin = nothing,
    .end = nothing,
    .product = product,
    .finish = JOIN(vt_finish_, VT_LOOPS_SUFFIX),
    .narrow_int8 = JOIN(vt_narrow_int8_, VT_LOOPS_SUFFIX),
    .quantise = JOIN(vt_quantise_, VT_LOOPS_SUFFIX),
    .pack = pack,
    .pack_across = pack_across,
    .unpack_int8 = unpack_int8,
    .to_bf16 = to_bf16,
    .from_bf16 = from_bf16,
};

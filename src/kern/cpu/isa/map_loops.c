/* map_loops.c - the loops of map_loops.h, compiled once an instruction set (variant_isa in
 * CMakeLists.txt): by the compiler's vectors, and with intrinsics where AVX-512 has instructions
 * that it does not find. */
#include "kern/cpu/isa/map_work.h"

static void to_f32(const vt_map_pixels *p) {
    const float *restrict center = p->center, *restrict factor = p->factor,
                          *restrict shift = p->shift;
    for (size_t i = 0; i < p->count; i++) {
        const float *restrict x = (const float *)p->x + i * p->x_stride;
        float *restrict y = (float *)p->map + i * p->map_stride;
        if (!factor) {
            memcpy(y, x, p->channels * sizeof *y);
        } else if (p->silu) {
#pragma omp simd
            for (size_t c = 0; c < p->channels; c++)
                y[c] = silu((x[c] - center[c]) * factor[c] + shift[c]);
        } else {
#pragma omp simd
            for (size_t c = 0; c < p->channels; c++)
                y[c] = (x[c] - center[c]) * factor[c] + shift[c];
        }
    }
}

#if defined(__AVX512F__)

/* Two columns of a square (four pixels one below the other), each transformed down its rows. */
static inline void square_columns(const uint16_t *map, size_t line, size_t pixel, __m512 to[2][4]) {
    for (size_t column = 0; column < 2; column++) {
        const uint16_t *at = map + column * pixel;
        __m512 a = float_16(at), b = float_16(at + line), c = float_16(at + 2 * line),
               d = float_16(at + 3 * line);
        to[column][0] = _mm512_sub_ps(a, c);
        to[column][1] = _mm512_add_ps(b, c);
        to[column][2] = _mm512_sub_ps(c, b);
        to[column][3] = _mm512_sub_ps(b, d);
    }
}

static inline void put_16(uint16_t *to, __m512 value) {
    _mm256_storeu_si256((__m256i *)(void *)to, bf16_16(value));
}

/* The 16 channels at `to` of a square, of whose columns `left` are the first two and `right` the last. */
static inline void square_in(uint16_t *to, size_t position, __m512 left[2][4], __m512 right[2][4]) {
    for (int row = 0; row < 4; row++, to += 4 * position) {
        put_16(to, _mm512_sub_ps(left[0][row], right[0][row]));
        put_16(to + position, _mm512_add_ps(left[1][row], right[0][row]));
        put_16(to + 2 * position, _mm512_sub_ps(right[0][row], left[1][row]));
        put_16(to + 3 * position, _mm512_sub_ps(left[1][row], right[1][row]));
    }
}

/* 32 channels at a time, which are a line of every position: a line whose halves are written far apart
 * has left the first cache in between. */
static void squares(const vt_map_squares *s) {
    for (size_t c = 0; c < s->pixel; c += 32) { /* a multiple of 32 */
        const uint16_t *map = s->map + c;
        uint16_t *to = s->to + c;
        __m512 left[2][2][4], right[2][4];
        for (size_t half = 0; half < 2; half++)
            square_columns(map + half * 16, s->line, s->pixel, left[half]);
        for (int i = 0; i < s->count; i++, to += s->pixel) {
            map += 2 * s->pixel;
            for (size_t half = 0; half < 2; half++) {
                square_columns(map + half * 16, s->line, s->pixel, right);
                square_in(to + half * 16, s->position, left[half], right);
                memcpy(left[half], right, sizeof right);
            }
        }
    }
}

typedef struct out_vectors {
    __m512 scale, bias, sums, squares;
    __mmask16 mask;
} out_vectors;

/* One pixel of up to 16 columns. */
static inline void pixel_out(const vt_map_square *s, out_vectors *v, size_t at, __m512 sum) {
    sum = _mm512_add_ps(_mm512_mul_ps(sum, v->scale), v->bias);
    if (s->residual) sum = _mm512_add_ps(sum, _mm512_maskz_loadu_ps(v->mask, s->residual + at));
    v->sums = _mm512_add_ps(v->sums, sum);
    v->squares = _mm512_fmadd_ps(sum, sum, v->squares);
    if (s->stream)
        _mm512_stream_ps(s->y + at, sum);
    else
        _mm512_mask_storeu_ps(s->y + at, v->mask, sum);
}

/* The pixels of one square at y + at; rows and pixels are constants after inlining. */
static inline __attribute__((always_inline)) void square_out(const vt_map_square *s, out_vectors *v,
                                                             const float *sums, size_t at, int rows,
                                                             int pixels) {
    __m512 upper[4], lower[4];
    for (size_t j = 0; j < 4; j++) {
        const float *from = sums + j * 16;
        __m512 a = _mm512_load_ps(from), b = _mm512_load_ps(from + s->block),
               c = _mm512_load_ps(from + 2 * s->block), d = _mm512_load_ps(from + 3 * s->block);
        upper[j] = _mm512_add_ps(_mm512_add_ps(a, b), c);
        lower[j] = _mm512_sub_ps(_mm512_sub_ps(b, c), d);
    }
    pixel_out(s, v, at, _mm512_add_ps(_mm512_add_ps(upper[0], upper[1]), upper[2]));
    if (pixels > 1)
        pixel_out(s, v, at + s->pixel, _mm512_sub_ps(_mm512_sub_ps(upper[1], upper[2]), upper[3]));
    if (rows < 2) return;
    at += s->line;
    pixel_out(s, v, at, _mm512_add_ps(_mm512_add_ps(lower[0], lower[1]), lower[2]));
    if (pixels > 1)
        pixel_out(s, v, at + s->pixel, _mm512_sub_ps(_mm512_sub_ps(lower[1], lower[2]), lower[3]));
}

static void squares_out(const vt_map_square *s) {
    out_vectors v = {.sums = _mm512_setzero_ps(),
                     .squares = _mm512_setzero_ps(),
                     .mask = (__mmask16)((1u << s->columns) - 1u)};
    v.scale = s->scale ? _mm512_maskz_loadu_ps(v.mask, s->scale) : _mm512_set1_ps(1.0f);
    v.bias = s->bias ? _mm512_maskz_loadu_ps(v.mask, s->bias) : _mm512_setzero_ps();
    const int whole = s->rows < 2 ? 0 : s->pixels / 2 < s->count ? s->pixels / 2 : s->count;
    const float *sums = s->sums;
    size_t at = 0;
    for (int i = 0; i < s->count; i++, sums += s->next, at += 2 * s->pixel) {
        if (i < whole)
            square_out(s, &v, sums, at, 2, 2);
        else
            square_out(s, &v, sums, at, s->rows, s->pixels - 2 * i);
    }
    if (s->totals) add_sums(s->totals, s->squares, v.mask, v.sums, v.squares);
}

#else

static void squares(const vt_map_squares *s) {
    for (int i = 0; i < s->count; i++)
        for (size_t first = 0; first < s->pixel; first += 16) {
            const uint16_t *map = s->map + (size_t)i * 2 * s->pixel + first;
            uint16_t *to = s->to + (size_t)i * s->pixel + first;
            float m[4][4][16];
            for (size_t j = 0; j < 4; j++, map += s->pixel) {
#pragma omp simd
                for (int c = 0; c < 16; c++) {
                    float p = float_of(map[c]), q = float_of(map[c + (int)s->line]),
                          r = float_of(map[c + 2 * (int)s->line]),
                          t = float_of(map[c + 3 * (int)s->line]);
                    m[0][j][c] = p - r;
                    m[1][j][c] = q + r;
                    m[2][j][c] = r - q;
                    m[3][j][c] = q - t;
                }
            }
            for (size_t row = 0; row < 4; row++, to += 4 * s->position) {
#pragma omp simd
                for (size_t c = 0; c < 16; c++) {
                    float p = m[row][0][c], q = m[row][1][c], r = m[row][2][c], t = m[row][3][c];
                    to[c] = bf16_of(p - r);
                    to[c + s->position] = bf16_of(q + r);
                    to[c + 2 * s->position] = bf16_of(r - q);
                    to[c + 3 * s->position] = bf16_of(q - t);
                }
            }
        }
}

/* One square; its pixels at y + first. */
static void square_out(const vt_map_square *s, const float *sums, size_t first, int pixels) {
    float m[2][4][16];
    for (size_t j = 0; j < 4; j++) {
        const float *at = sums + j * 16;
#pragma omp simd
        for (size_t c = 0; c < 16; c++) {
            float p = at[c], q = at[c + s->block], r = at[c + 2 * s->block],
                  t = at[c + 3 * s->block];
            m[0][j][c] = p + q + r;
            m[1][j][c] = q - r - t;
        }
    }
    for (size_t row = 0; row < (size_t)s->rows; row++)
        for (size_t pixel = 0; pixel < 2 && (int)pixel < pixels; pixel++) {
            size_t at = first + row * s->line + pixel * s->pixel;
            for (size_t c = 0; c < (size_t)s->columns; c++) {
                float sum = pixel ? m[row][1][c] - m[row][2][c] - m[row][3][c]
                                  : m[row][0][c] + m[row][1][c] + m[row][2][c];
                if (s->scale) sum *= s->scale[c];
                if (s->bias) sum += s->bias[c];
                if (s->residual) sum += s->residual[at + c];
                s->y[at + c] = sum;
            }
            if (s->totals) add_sums(s->totals, s->squares, s->y + at, (size_t)s->columns);
        }
}

static void squares_out(const vt_map_square *s) {
    for (int i = 0; i < s->count; i++)
        square_out(s, s->sums + (size_t)i * s->next, (size_t)i * 2 * s->pixel, s->pixels - 2 * i);
}

#endif

static void to_bf16(const vt_map_pixels *p) {
    pixels_in(p);
}

static void tile_out(const vt_map_tile *t) {
    rows_out(t);
}

static void end(void) {
#if defined(__AVX512F__)
    _mm_sfence();
#endif
}

#define PASTE(a, b) a##b
#define NAME(suffix) PASTE(vt_map_loops_, suffix)
const vt_map_loops NAME(VT_LOOPS_SUFFIX) = {
    .to_f32 = to_f32,
    .to_bf16 = to_bf16,
    .squares = squares,
    .squares_out = squares_out,
    .tile_out = tile_out,
    .end = end,
};

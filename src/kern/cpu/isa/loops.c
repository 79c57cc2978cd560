/* loops.c - see loops.h. Compiled once an instruction set with VT_LOOPS_SUFFIX=baseline, avx2 or
 * avx512; exports one symbol, the table vt_loops_SUFFIX.
 *
 * Plain C that the compiler vectorises: selects instead of branches, an inline exp instead of a
 * library call. Elementwise functions run in blocks of a fixed length through one compiled body,
 * the tail in a padded copy, so that a number's result never depends on whether it fell into a
 * vector or into a remainder. */
#include "kern/cpu/isa/loops.h"
#include "kern/cpu/isa/fma.h"

#include <math.h>
#include <string.h>
#if defined(__AVX2__)
#include <immintrin.h>
#endif

#define BLOCK 64
#define BODY static __attribute__((noinline)) void

static inline float float_of(uint32_t bits) {
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

static inline uint32_t bits_of(float x) {
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

/* e^x to about one unit in the last place; infinities, denormal results and NaN as expf. x = n ln 2
 * + r, a polynomial (Cephes' coefficients) in r, and 2^n as two factors so that no exponent field
 * overflows. */
static inline float exp_of(float x) {
    const float magic =
        12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    x = x > 89.0f ? 89.0f : x;
    x = x < -104.0f ? -104.0f : x;
    float shifted = FMA(x, 1.44269504088896341f, magic);
    float n = shifted - magic;
    int32_t power = (int32_t)(bits_of(shifted) - bits_of(magic));
    float r = FMA(n, -0.693359375f, x);
    r = FMA(n, 2.12194440e-4f, r);
    float p = 1.9875691500e-4f;
    p = FMA(p, r, 1.3981999507e-3f);
    p = FMA(p, r, 8.3334519073e-3f);
    p = FMA(p, r, 4.1665795894e-2f);
    p = FMA(p, r, 1.6666665459e-1f);
    p = FMA(p, r, 5.0000001201e-1f);
    p = FMA(p, r * r, r) + 1.0f;
    int32_t half = power >> 1;
    float low = float_of((uint32_t)(half + 127) << 23);
    float high = float_of((uint32_t)(power - half + 127) << 23);
    return p * low * high;
}

/* ---- elementwise ---- */

/* Defines NAME over n floats from body(y, x) over BLOCK floats. */
#define UNARY(NAME)                                                                                \
    static void NAME(float *y, const float *x, size_t n) {                                         \
        size_t i = 0;                                                                              \
        for (; i + BLOCK <= n; i += BLOCK) NAME##_block(y + i, x + i);                             \
        if (i < n) {                                                                               \
            float tail[BLOCK] = {0};                                                               \
            memcpy(tail, x + i, (n - i) * sizeof *x);                                              \
            NAME##_block(tail, tail);                                                              \
            memcpy(y + i, tail, (n - i) * sizeof *y);                                              \
        }                                                                                          \
    }

/* The same for dx from dy and x. */
#define UNARY_DX(NAME)                                                                             \
    static void NAME(float *dx, const float *dy, const float *x, size_t n) {                       \
        size_t i = 0;                                                                              \
        for (; i + BLOCK <= n; i += BLOCK) NAME##_block(dx + i, dy + i, x + i);                    \
        if (i < n) {                                                                               \
            float tail[BLOCK] = {0}, grad[BLOCK] = {0};                                            \
            memcpy(tail, x + i, (n - i) * sizeof *x);                                              \
            memcpy(grad, dy + i, (n - i) * sizeof *dy);                                            \
            NAME##_block(grad, grad, tail);                                                        \
            memcpy(dx + i, grad, (n - i) * sizeof *dx);                                            \
        }                                                                                          \
    }

/* 0.5 (1 + tanh u) = 1 / (1 + e^-2u): no cancellation for negative x. Constants: 2 sqrt(2 / pi),
 * times 0.044715. */
#define GELU_A 1.59576912160573f
#define GELU_B 0.0713548162726f

BODY gelu_block(float *y, const float *x) {
#pragma omp simd
    for (int i = 0; i < BLOCK; ++i) {
        float u = x[i] * FMA(x[i] * x[i], GELU_B, GELU_A);
        y[i] = x[i] / (1.0f + exp_of(-u));
    }
}
UNARY(gelu)

/* Beyond |x| = 10 the derivative is 0 or 1 to the last bit; clamping keeps every factor finite. */
BODY gelu_dx_block(float *dx, const float *dy, const float *x) {
#pragma omp simd
    for (int i = 0; i < BLOCK; ++i) {
        float a = x[i] > 10.0f ? 10.0f : x[i];
        a = a < -10.0f ? -10.0f : a;
        float square = a * a;
        float e = exp_of(-a * FMA(square, GELU_B, GELU_A));
        float s = 1.0f / (1.0f + e);
        float du = a * FMA(square, 3.0f * GELU_B, GELU_A);
        dx[i] = dy[i] * (s * FMA(du, e * s, 1.0f));
    }
}
UNARY_DX(gelu_dx)

BODY silu_block(float *y, const float *x) {
#pragma omp simd
    for (int i = 0; i < BLOCK; ++i) y[i] = x[i] / (1.0f + exp_of(-x[i]));
}
UNARY(silu)

BODY silu_dx_block(float *dx, const float *dy, const float *x) {
#pragma omp simd
    for (int i = 0; i < BLOCK; ++i) {
        float a = x[i] > 80.0f ? 80.0f : x[i];
        a = a < -80.0f ? -80.0f : a;
        float e = exp_of(-a);
        float s = 1.0f / (1.0f + e);
        dx[i] = dy[i] * (s * FMA(a, e * s, 1.0f));
    }
}
UNARY_DX(silu_dx)

static void axpby(float *y, float a, const float *x, float b, size_t n) {
    if (b == 0.0f) {
#pragma omp simd
        for (size_t i = 0; i < n; ++i) y[i] = a * x[i];
        return;
    }
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = FMA(a, x[i], b * y[i]);
}

static void scaled_difference(float *y, float a, const float *p, const float *q, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = FMA(a, p[i] - q[i], y[i]);
}

static void clamp(float *y, const float *x, float low, float high, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        float a = x[i] > high ? high : x[i];
        y[i] = a < low ? low : a;
    }
}

static void fill(float *y, float value, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = value;
}

static void add(float *y, const float *x, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] += x[i];
}

static void sum_of(float *y, const float *a, const float *b, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = a[i] + b[i];
}

static void add_scaled(float *y, const float *x, const float *c, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = FMA(c[i], x[i], y[i]);
}

static void scale(float *y, const float *x, float a, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; ++i) y[i] = a * x[i];
}

static void adamw(float *value, float *m, float *v, const float *grad, size_t n,
                  const vt_loops_adamw *constants) {
    const vt_loops_adamw c = *constants;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) {
        float g = grad[i] * c.grad_scale;
        float first = FMA(c.beta1, m[i], c.rest1 * g);
        float second = FMA(c.beta2, v[i], c.rest2 * (g * g));
        m[i] = first;
        v[i] = second;
        float step = c.step_size * first / FMA(sqrtf(second), c.root_scale, c.eps);
        value[i] = FMA(value[i], c.keep, -step);
    }
}

/* ---- sums ---- */

static double sum_squares(const float *x, size_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; ++i) sum += (double)x[i] * (double)x[i];
    return sum;
}

enum { STREAMS = 4, WORDS = 16, AHEAD = 1024 }; /* words of a line; asked for 4 KB ahead */

/* As products read panels: a few streams side by side, each asked for ahead of its use. */
static uint32_t read_all(const uint32_t *x, size_t words) {
    const size_t stream = words / STREAMS;
    uint32_t sums[STREAMS][WORDS] = {{0}}, sum = 0;
    for (size_t i = 0; i < stream; i += WORDS)
        for (size_t s = 0; s < STREAMS; ++s) {
            const uint32_t *line = x + s * stream + i;
            __builtin_prefetch(line + AHEAD);
            for (int w = 0; w < WORDS; ++w) sums[s][w] += line[w];
        }
    for (int s = 0; s < STREAMS; ++s)
        for (int w = 0; w < WORDS; ++w) sum += sums[s][w];
    return sum;
}

static double sum_squared_difference(const float *p, const float *q, size_t n) {
    double sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; ++i) {
        double d = (double)p[i] - (double)q[i];
        sum += d * d;
    }
    return sum;
}

static float dot(const float *p, const float *q, size_t n) {
    float sum = 0;
#pragma omp simd reduction(+ : sum)
    for (size_t i = 0; i < n; ++i) sum += p[i] * q[i];
    return sum;
}

static void column_sums(double *sums, const float *x, size_t stride, int rows, int width) {
    for (int r = 0; r < rows; ++r, x += stride) {
#pragma omp simd
        for (int c = 0; c < width; ++c) sums[c] += (double)x[c];
    }
}

/* ---- norm and gates ---- */

static void norm_modulate(float *y, const float *x, const float *row_scale, const float *shift,
                          int width, float eps, float *mean_out, float *rstd_out) {
    float sum = 0, square = 0;
#pragma omp simd reduction(+ : sum)
    for (int c = 0; c < width; ++c) sum += x[c];
    float mean = sum / (float)width;
#pragma omp simd reduction(+ : square)
    for (int c = 0; c < width; ++c) square += (x[c] - mean) * (x[c] - mean);
    float rstd = 1.0f / sqrtf(square / (float)width + eps);
#pragma omp simd
    for (int c = 0; c < width; ++c) y[c] = FMA((x[c] - mean) * rstd, 1.0f + row_scale[c], shift[c]);
    *mean_out = mean;
    *rstd_out = rstd;
}

static void norm_modulate_dx(const vt_loops_norm_dx *row, int width) {
    float *dx = row->dx;
    const float *x = row->x, *dy = row->dy, *row_scale = row->scale;
    const float mean = row->mean, rstd = row->rstd;
    float sum = 0, sum_hat = 0;
#pragma omp simd reduction(+ : sum, sum_hat)
    for (int c = 0; c < width; ++c) {
        float grad = dy[c] * (1.0f + row_scale[c]);
        sum += grad;
        sum_hat += grad * ((x[c] - mean) * rstd);
    }
    sum /= (float)width;
    sum_hat /= (float)width;
#pragma omp simd
    for (int c = 0; c < width; ++c) {
        float hat = (x[c] - mean) * rstd;
        float grad = FMA(dy[c], 1.0f + row_scale[c], -sum);
        dx[c] = FMA(rstd, FMA(hat, -sum_hat, grad), dx[c]);
    }
}

static float unit_dx(float *du, const float *dy, const float *x, const float *bias, float s,
                     size_t n) {
    if (bias)
        sum_of(du, x, bias, n);
    else
        memcpy(du, x, n * sizeof *du);
    const float length = sqrtf(dot(du, du, n)), least = 1e-12f;
    const float inverse = 1.0f / (length > least ? length : least);
    const float along = dot(dy, du, n) * inverse;
    const float back =
        length >= least ? along * inverse : 0.0f; /* below the floor: a constant divisor */
    const float by = s * inverse;
#pragma omp simd
    for (size_t i = 0; i < n; ++i) du[i] = by * FMA(du[i], -back, dy[i]);
    return along;
}

static void norm_columns(float *dscale, float *dshift, const float *x, const float *dy,
                         size_t stride, const float *mean, const float *rstd, int rows, int width) {
    for (int r = 0; r < rows; ++r, x += stride, dy += stride) {
        const float center = mean[r], inverse = rstd[r];
#pragma omp simd
        for (int c = 0; c < width; ++c) {
            dscale[c] = FMA(dy[c], (x[c] - center) * inverse, dscale[c]);
            dshift[c] += dy[c];
        }
    }
}

static void gate_columns(float *dh, float *dgamma, const float *dx, const float *h,
                         const float *gamma, size_t stride, int rows, int width) {
    for (int r = 0; r < rows; ++r, dh += stride, dx += stride, h += stride) {
#pragma omp simd
        for (int c = 0; c < width; ++c) {
            dgamma[c] = FMA(dx[c], h[c], dgamma[c]);
            dh[c] = gamma[c] * dx[c];
        }
    }
}

/* ---- softmax and loss ---- */

/* Lanes by hand: clang does not vectorise a maximum that must keep to the order of NaN comparisons.
 */
static float largest(const float *x, int n) {
    enum { LANES = 32 };
    float lanes[LANES];
    for (int j = 0; j < LANES; ++j) lanes[j] = -INFINITY;
    int i = 0;
    for (; i + LANES <= n; i += LANES) {
#pragma omp simd
        for (int j = 0; j < LANES; ++j) lanes[j] = x[i + j] > lanes[j] ? x[i + j] : lanes[j];
    }
    float most = -INFINITY;
    for (int j = 0; j < LANES; ++j) most = lanes[j] > most ? lanes[j] : most;
    for (; i < n; ++i) most = x[i] > most ? x[i] : most;
    return most;
}

static float softmax(float *x, int n) {
    float most = largest(x, n), sum = 0;
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; ++i) {
        float e = exp_of(x[i] - most);
        x[i] = e;
        sum += e;
    }
    return sum;
}

static void softmax_dx(float *ds, const float *p, const float *dp, float d, float by, int n) {
#pragma omp simd
    for (int i = 0; i < n; ++i) ds[i] = p[i] * ((dp[i] - d) * by);
}

static void logits(const float *x, int n, int target, vt_loops_row *out) {
    const float most = largest(x, n), wanted = x[target];
    float sum_exp = 0, sum_shift = 0;
    int above = 0;
#pragma omp simd reduction(+ : sum_exp, sum_shift, above)
    for (int i = 0; i < n; ++i) {
        float shifted = x[i] - most;
        sum_exp += exp_of(shifted);
        sum_shift += shifted;
        above += x[i] > wanted ? 1 : 0;
    }
    for (int i = 0; i < target && above == 0; ++i) above += x[i] == wanted ? 1 : 0;
    *out =
        (vt_loops_row){.max = most, .sum_exp = sum_exp, .sum_shift = sum_shift, .hit = above == 0};
}

BODY logits_dx_block(float *dx, const float *x, float most, float a, float b) {
#pragma omp simd
    for (int i = 0; i < BLOCK; ++i) dx[i] = FMA(a, exp_of(x[i] - most), b);
}

static void logits_dx(float *dx, const float *x, float most, float a, float b, int n) {
    int i = 0;
    for (; i + BLOCK <= n; i += BLOCK) logits_dx_block(dx + i, x + i, most, a, b);
    if (i < n) {
        float tail[BLOCK] = {0};
        memcpy(tail, x + i, (size_t)(n - i) * sizeof *x);
        logits_dx_block(tail, tail, most, a, b);
        memcpy(dx + i, tail, (size_t)(n - i) * sizeof *dx);
    }
}

static float teach(const vt_loops_teach *row, int n) {
    const vt_loops_teach w = *row;
    float sum = 0;
    if (!w.dx) {
#pragma omp simd reduction(+ : sum)
        for (int i = 0; i < n; ++i) {
            float t = w.t[i] - w.t_max;
            sum += exp_of(t) * w.t_by * (t - (w.x[i] - w.x_max));
        }
        return sum;
    }
#pragma omp simd reduction(+ : sum)
    for (int i = 0; i < n; ++i) {
        float t = w.t[i] - w.t_max, x = w.x[i] - w.x_max, p = exp_of(t) * w.t_by;
        sum += p * (t - x);
        w.dx[i] = FMA(w.a, exp_of(x), w.b) - w.c * p;
    }
    return sum;
}

/* ---- vectors as wide as the instruction set's registers ---- */

#if defined(__AVX512F__)
#define LANES 16
#define DOTS_COLUMNS 4
#elif defined(__AVX__)
#define LANES 8
#define DOTS_COLUMNS 2 /* 4 x 2 sums and what feeds them fit sixteen registers */
#else
#define LANES 4
#define DOTS_COLUMNS 2
#endif
#define DOTS_ROWS 4
typedef float vector __attribute__((vector_size(4 * LANES)));

static inline vector load(const float *from) {
    vector v;
    memcpy(&v, from, sizeof v);
    return v;
}

/* ---- few rows times a matrix ----
 *
 * Both x and W are rows along k, so a product is LANES of k of one row of each, and its sum a register that
 * is added up at the end. AVX-512:
 *
 *            w0   w1   w2   w3       LANES of k of four rows of W (columns of the result)
 *     x0     s00  s01  s02  s03
 *      ...                           16 sums, 4 of W, 1 of x: 21 of 32 registers
 *     x3     s30  s31  s32  s33
 *
 * W is read once, as it lies: nothing is packed for so few rows. Adding up the lanes is paid for each number
 * of the result, whatever k is: it pays from k = 1024 on, or for single rows (docs/PERFORMANCE_APPENDIX.md,
 * "Attempts"; products.c decides). */

/* One (rows, columns) tile; both are constants after inlining, so that the sums live in registers. A number is the
 * lanes' sums added from the first lane on, then the tail of k. */
static inline __attribute__((always_inline)) void
dots_tile(const vt_loops_dots *a, int64_t row, int64_t column, const int rows, const int columns) {
    vector sum[DOTS_ROWS][DOTS_COLUMNS] = {{{0}}};
    const float *x = a->x + row * a->k, *w = a->w + column * a->k;
    int64_t i = 0;
    for (; i + LANES <= a->k; i += LANES) {
        vector wide[DOTS_COLUMNS];
        for (int c = 0; c < columns; ++c) wide[c] = load(w + c * a->k + i);
        for (int r = 0; r < rows; ++r) {
            vector from = load(x + r * a->k + i);
            for (int c = 0; c < columns; ++c) sum[r][c] += from * wide[c];
        }
    }
    for (int r = 0; r < rows; ++r)
        for (int c = 0; c < columns; ++c) {
            float total = a->bias ? a->bias[column + c] : 0.0f;
            for (int lane = 0; lane < LANES; ++lane) total += sum[r][c][lane];
            for (int64_t j = i; j < a->k; ++j) total += x[r * a->k + j] * w[c * a->k + j];
            a->y[(size_t)(row + r) * a->y_stride + (size_t)(column + c)] = total;
        }
}

static void dots(const vt_loops_dots *a) {
    int64_t column = 0;
    for (; column + DOTS_COLUMNS <= a->columns; column += DOTS_COLUMNS) {
        int64_t row = 0;
        for (; row + DOTS_ROWS <= a->rows; row += DOTS_ROWS)
            dots_tile(a, row, column, DOTS_ROWS, DOTS_COLUMNS);
        for (; row < a->rows; ++row) dots_tile(a, row, column, 1, DOTS_COLUMNS);
    }
    for (; column < a->columns; ++column) {
        int64_t row = 0;
        for (; row + DOTS_ROWS <= a->rows; row += DOTS_ROWS)
            dots_tile(a, row, column, DOTS_ROWS, 1);
        for (; row < a->rows; ++row) dots_tile(a, row, column, 1, 1);
    }
}

/* ---- the register peak ---- */

static inline vector fma_of(vector a, vector b, vector c) {
#if defined(__AVX512F__)
    return (vector)_mm512_fmadd_ps((__m512)a, (__m512)b, (__m512)c);
#elif defined(__FMA__)
    return (vector)_mm256_fmadd_ps((__m256)a, (__m256)b, (__m256)c);
#else
    return a * b + c;
#endif
}

/* Twelve independent chains hide the latency of a multiply-add and fit sixteen registers. */
static double peak(int64_t rounds) {
    enum { CHAINS = 12 };
    vector x[CHAINS];
    volatile float start = 1.0f;
    const vector a = (vector){0} + 0.5f * start, b = (vector){0} + 0.25f * start;
    for (int i = 0; i < CHAINS; ++i) x[i] = (vector){0} + (float)i * start;
    for (int64_t r = 0; r < rounds; ++r)
        for (int i = 0; i < CHAINS; ++i) x[i] = fma_of(x[i], a, b);
    for (int i = 1; i < CHAINS; ++i) x[0] += x[i];
    start = x[0][0];
    return 2.0 * CHAINS * LANES * (double)rounds;
}

#define PASTE_(a, b) a##b
#define PASTE(a, b) PASTE_(a, b)
#define TEXT_(a) #a
#define TEXT(a) TEXT_(a)

const vt_loops PASTE(vt_loops_, VT_LOOPS_SUFFIX) = {
    .name = TEXT(VT_LOOPS_SUFFIX),
    .gelu = gelu,
    .gelu_dx = gelu_dx,
    .silu = silu,
    .silu_dx = silu_dx,
    .axpby = axpby,
    .scaled_difference = scaled_difference,
    .clamp = clamp,
    .fill = fill,
    .sum = sum_of,
    .add = add,
    .add_scaled = add_scaled,
    .scale = scale,
    .adamw = adamw,
    .dots = dots,
    .peak = peak,
    .sum_squares = sum_squares,
    .read_all = read_all,
    .sum_squared_difference = sum_squared_difference,
    .dot = dot,
    .column_sums = column_sums,
    .norm_modulate = norm_modulate,
    .norm_modulate_dx = norm_modulate_dx,
    .unit_dx = unit_dx,
    .norm_columns = norm_columns,
    .gate_columns = gate_columns,
    .softmax = softmax,
    .softmax_dx = softmax_dx,
    .logits = logits,
    .logits_dx = logits_dx,
    .teach = teach,
};

/* Products of int8 by int8: ref against the definition written out here, every table of
 * kern/cpu/isa/tiles8.h that this processor can run against it too, the cpu backend against ref on odd
 * sizes and extremes, and bit by bit against itself with other rows, groups and numbers of threads.
 * (Epilogues and types of x and y: test_kern_products.c.) */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/cpu/isa/tiles8.h"
#include "kern/kern.h"
#include "kern/number.h"
#define RANDOM_SEED 1181783497276652981u
#include "random.h"

enum { BLOCK = 128 };
#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

static const vt_tiles8 *tables[10];
static int table_count;

#if defined(__x86_64__)
extern const vt_tiles8 vt_tiles8_amx_in_c;     /* tiles8_amx.c over tests/amx_in_c.h */
extern const vt_tiles8 vt_tiles8_avxvnni_evex; /* tiles8_avxvnni.c in AVX-512's encoding */
#endif

static void find_tables(void) {
    tables[table_count++] = &vt_tiles8_baseline;
#if defined(__x86_64__)
    vt_isa best = vt_isa_best();
    if (best >= VT_ISA_AVX2) tables[table_count++] = &vt_tiles8_avx2;
    if (best == VT_ISA_AVXVNNI) tables[table_count++] = &vt_tiles8_avxvnni;
    if (best >= VT_ISA_AVX512) tables[table_count++] = &vt_tiles8_avx512;
    if (best >= VT_ISA_AVX512VNNI) {
        tables[table_count++] = &vt_tiles8_avx512vnni;
        tables[table_count++] = &vt_tiles8_avxvnni_evex;
        tables[table_count++] = &vt_tiles8_amx_in_c;
    }
    if (best >= VT_ISA_AMX) tables[table_count++] = &vt_tiles8_amx;
#endif
}

static void *room(size_t bytes) {
    void *out = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    assert_non_null(out);
    return out;
}

/* ---- the definition ---- */

/* n numbers to integers; returns their scale. */
static float define(int *to, const float *from, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; ++i) {
        to[i] = 0;
        if (!isfinite(from[i])) most = NAN;
        if (fabsf(from[i]) > most) most = fabsf(from[i]);
    }
    if (isnan(most)) return NAN;
    if (most < 0x1p-100f) return 1.0f;
    for (size_t i = 0; i < n; ++i) to[i] = (int)nearbyintf(from[i] * (127.0f / most));
    return most / 127.0f;
}

/* One number of x W^T, of rows of k numbers, of which `block` share a scale; `size`: the sum of the sizes of what it
 * adds, before the scale of w. */
static double define_product(const float *x, const float *w, size_t k, size_t block, double *size,
                             double *scale_of_w) {
    int *a = malloc(k * sizeof *a), *b = malloc(k * sizeof *b);
    double sum = 0, scale = (double)define(b, w, k);
    *size = 0;
    for (size_t first = 0; first < k; first += block) {
        size_t n = k - first < block ? k - first : block;
        double own = (double)define(a, x + first, n);
        long exact = 0;
        for (size_t i = 0; i < n; ++i) exact += a[i] * b[first + i];
        sum += own * (double)exact;
        *size += fabs(own * (double)exact);
    }
    *scale_of_w = scale;
    free(a);
    free(b);
    return sum * scale;
}

/* ---- the tables ---- */

static void fill_row(float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; ++i) {
        x[i] = random_float();
        if (kind == 1) x[i] = 0;
        if (kind == 2) x[i] *= 0x1p-110f;
        if (kind == 3) x[i] = i % 2 ? -3.4e38f : 3.4e38f;
        if (kind == 4)
            x[i] = (float)random_int(-254, 254) * 0.5f; /* ties, where 127 is the largest */
        if (kind == 5) x[i] *= 0x1p-99f;
    }
    if (n == 0) return;
    size_t at = random_bits() % n;
    if (kind == 4) x[at] = 127.0f;
    if (kind == 6) x[at] = 1e6f; /* one far out */
    if (kind == 7) x[at] = NAN;
    if (kind == 8) x[at] = -INFINITY;
}

/* A row as it should be: integers and zeros up to the depth, a scale and a balance a block, nothing beyond. */
static void row_check(const int8_t *row, const vt_rows8 *x, const float *from, size_t n) {
    const vt_scale8 *by = vt_scales8(row, x->depth);
    for (int i = 0; i < x->depth; i += x->block, ++by) {
        const int end = i + x->block < x->depth ? i + x->block : x->depth;
        const size_t count = (size_t)i < n ? n - (size_t)i : 0;
        int want[1024] = {0}, sum = 0;
        const float scale = define(want, from + (count ? i : 0),
                                   count < (size_t)(end - i) ? count : (size_t)(end - i));
        for (int j = i; j < end; ++j) {
            assert_int_equal(row[j], want[j - i]);
            sum += want[j - i];
        }
        assert_int_equal(by->balance, -128 * sum);
        assert_true(isnan(scale) ? isnan(by->scale) : by->scale == scale);
    }
    for (const int8_t *at = (const int8_t *)by; at < row + x->stride; ++at)
        assert_int_equal(*at, 0x5a);
}

static void test_quantise(void **unused) {
    (void)unused;
    enum { MOST = 500 };
    for (int t = 0; t < table_count; ++t)
        for (int turn = 0; turn < 9 * 120; ++turn) {
            size_t n = (size_t)(turn % 5 == 0 ? BLOCK * random_int(1, 3) : random_int(1, MOST));
            const vt_rows8 x = vt_rows8_of((int)n, turn / 2 % 2);
            bool half = turn % 2;
            int8_t *to = room(x.stride);
            float *from = malloc((n + 1) * sizeof *from);
            uint16_t *halves = malloc((n + 1) * sizeof *halves);
            for (size_t i = 0; i < n; i += BLOCK)
                fill_row(from + i, n - i < BLOCK ? n - i : BLOCK, (turn + (int)i / BLOCK) % 9);
            for (size_t i = 0; i < n; ++i) {
                halves[i] = vt_to_bf16(from[i]);
                if (half) from[i] = vt_from_bf16(halves[i]);
            }
            memset(to, 0x5a, x.stride);
            tables[t]->quantise(to, &x, half ? (void *)halves : (void *)from,
                                half ? VT_NUMBER_BF16 : VT_NUMBER_F32, n);
            row_check(to, &x, from, n);
            free(to);
            free(from);
            free(halves);
        }
}

/* Rows lie on whole lines, an odd number of them, however deep they are. */
static void test_rows(void **unused) {
    (void)unused;
    for (int k = 1; k < 9000; k += 37)
        for (int whole = 0; whole < 2; ++whole) {
            const vt_rows8 x = vt_rows8_of(k, whole);
            const int blocks = (x.depth + x.block - 1) / x.block;
            assert_true(x.depth >= k && x.depth < k + VT_TILE8_DEPTH);
            assert_int_equal(x.stride % 128, 64);
            assert_true(x.stride >= (size_t)x.depth + (size_t)blocks * sizeof(vt_scale8));
            assert_true(whole ? blocks == 1 : x.block <= VT_INT8_BLOCK);
        }
}

static void test_pack(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t)
        for (int turn = 0; turn < 200; ++turn) {
            int depth = VT_TILE8_DEPTH * random_int(1, 5), columns = random_int(1, VT_PANEL);
            int length = random_int(turn % 2 ? 1 : depth - VT_TILE8_DEPTH + 1, depth);
            size_t stride = (size_t)length + (size_t)random_int(0, 5);
            /* exactly as many numbers as belong to it: a sanitizer sees what is read beyond */
            size_t count = (size_t)(columns - 1) * stride + (size_t)length;
            float *from = malloc(count * sizeof *from), scale[VT_PANEL + 1];
            for (size_t j = 0; j < count; ++j) from[j] = NAN;
            for (int c = 0; c < columns; ++c)
                fill_row(from + (size_t)c * stride, (size_t)length, (turn + c) % 9);
            size_t numbers = (size_t)depth * VT_PANEL;
            uint8_t *panel = room(numbers);
            memset(panel, 0x11, numbers + 64);
            for (int c = 0; c <= VT_PANEL; ++c) scale[c] = 12345.0f;
            tables[t]->pack(panel, scale, from, stride, columns, length, depth);
            for (int c = 0; c < VT_PANEL; ++c) {
                int want[8 * VT_TILE8_DEPTH] = {0};
                float own = 12345.0f;
                if (c < columns) own = define(want, from + (size_t)c * stride, (size_t)length);
                assert_true(isnan(own) ? isnan(scale[c]) : scale[c] == own);
                for (int d = 0; d < depth; ++d)
                    assert_int_equal(panel[(d / 4 * VT_PANEL + c) * 4 + d % 4], want[d] + 128);
            }
            assert_true(scale[VT_PANEL] == 12345.0f);
            assert_int_equal(panel[numbers], 0x11);
            free(from);
            free(panel);
        }
}

/* Integers of a row at random, or as large as they come, with what stands behind them. */
static void tile_row(int8_t *row, const vt_rows8 *x, bool extreme, int sign) {
    vt_scale8 *by = (vt_scale8 *)(void *)(row + x->depth);
    for (int i = 0; i < x->depth; i += x->block, ++by) {
        by->balance = 0;
        by->scale = random_float();
        for (int j = i; j < i + x->block && j < x->depth; ++j) {
            row[j] = (int8_t)(extreme ? 127 * sign : random_int(-127, 127));
            by->balance -= 128 * row[j];
        }
    }
}

/* Rows of a tile as the table's products read them, among `more` places for others; NULL where they read them as they are. */
static int16_t *tile_spread(const vt_tiles8 *table, vt_tile8 *t, int more) {
    if (!table->spread) return NULL;
    t->spread_rows = t->rows + more;
    const size_t numbers = (size_t)t->spread_rows * (size_t)t->x.depth;
    int16_t *to = room(numbers * sizeof *to);
    memset(to, 0x5a, numbers * sizeof *to);
    for (int r = 0; r < t->rows; ++r)
        table->spread(to + r * VT_SPREAD_STEP, t->a + (size_t)r * t->x.stride, t->x.depth,
                      t->spread_rows);
    for (size_t i = 0; i < numbers; ++i)
        if ((int)(i / VT_SPREAD_STEP) % t->spread_rows >= t->rows) assert_int_equal(to[i], 0x5a5a);
    t->spread = to;
    return to;
}

static void tile_open(vt_tile8 *t, int most_rows, bool extreme) {
    *t = (vt_tile8){.rows = random_int(1, most_rows)};
    t->panels = random_int(1, VT_TILE_PANELS);
    t->x = vt_rows8_of(VT_TILE8_DEPTH * random_int(1, 19), random_int(0, 1));
    t->x.stride += 128 * (size_t)random_int(0, 2);
    t->b_stride = (size_t)t->x.depth * VT_PANEL + 64 * (size_t)random_int(0, 2);
    int8_t *a = room((size_t)t->rows * t->x.stride);
    uint8_t *b = room((size_t)t->panels * t->b_stride);
    for (int r = 0; r < t->rows; ++r)
        tile_row(a + (size_t)r * t->x.stride, &t->x, extreme, r % 2 ? 1 : -1);
    for (size_t i = 0; i < (size_t)t->panels * t->b_stride; ++i)
        b[i] = (uint8_t)(extreme ? 255 - 254 * (i / 4 % 2) : (uint32_t)random_int(1, 255));
    t->a = a;
    t->b = b;
    t->out = room(VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
    memset(t->out, 0xff, VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
}

static void tile_check(const vt_tile8 *t, int row, int column) {
    const uint8_t *b = t->b + (size_t)(column / VT_PANEL) * t->b_stride;
    const int8_t *a = t->a + (size_t)row * t->x.stride;
    const vt_scale8 *by = vt_scales8(a, t->x.depth);
    double sum = 0, size = 0;
    for (int d = 0; d < t->x.depth; d += t->x.block, ++by) {
        long exact = 0;
        for (int i = d; i < d + t->x.block && i < t->x.depth; ++i) {
            int w = b[(i / 4 * VT_PANEL + column % VT_PANEL) * 4 + i % 4] - 128;
            exact += w * a[i];
        }
        sum += (double)exact * (double)by->scale;
        size += fabs((double)exact * (double)by->scale);
    }
    double got = (double)t->out[row * VT_TILE_COLUMNS + column];
    if (!(fabs(got - sum) <= 1e-6 * size))
        fail_msg("row %d of %d, column %d, depth %d in blocks of %d: %g, expected %g", row, t->rows,
                 column, t->x.depth, t->x.block, got, sum);
}

/* The deepest row that one scale may have, at the ends of all ranges: nothing overflows. */
static void test_deepest(void **unused) {
    (void)unused;
    const vt_rows8 x = vt_rows8_of(VT_INT8_WHOLE, true);
    int8_t *a = room(2 * x.stride);
    uint8_t *b = room((size_t)x.depth * VT_PANEL);
    float *out = room(VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof *out);
    assert_int_equal(x.block, VT_INT8_WHOLE);
    for (int r = 0; r < 2; ++r) tile_row(a + (size_t)r * x.stride, &x, true, r ? 1 : -1);
    memset(b, 255, (size_t)x.depth * VT_PANEL);
    for (int t = 0; t < table_count; ++t) {
        vt_tile8 tile = {.out = out, .a = a, .x = x, .b = b, .rows = 2, .panels = 1};
        int16_t *spread = tile_spread(tables[t], &tile, 0);
        tables[t]->begin();
        tables[t]->product(&tile);
        tables[t]->end();
        free(spread);
        for (int r = 0; r < 2; ++r)
            for (int c = 0; c < VT_PANEL; ++c) tile_check(&tile, r, c);
    }
    free(a);
    free(b);
    free(out);
}

static void test_tiles(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t)
        for (int turn = 0; turn < 400; ++turn) {
            vt_tile8 tile;
            tile_open(&tile, tables[t]->most_rows, turn % 4 == 0);
            int16_t *spread = tile_spread(tables[t], &tile, random_int(0, 2));
            tables[t]->begin();
            tables[t]->product(&tile);
            for (int r = 0; r < VT_TILE_MOST_ROWS; ++r)
                for (int c = 0; c < VT_TILE_COLUMNS; ++c) {
                    if (r < tile.rows && c < tile.panels * VT_PANEL)
                        tile_check(&tile, r, c);
                    else
                        assert_true(isnan(tile.out[r * VT_TILE_COLUMNS + c]));
                }
            /* some of the rows, one of the panels: the same bits */
            vt_tile8 part = tile;
            int row = random_int(0, tile.rows - 1), panel = random_int(0, tile.panels - 1);
            part.rows = random_int(1, tile.rows - row);
            part.panels = 1;
            part.a += (size_t)row * tile.x.stride;
            if (spread) part.spread += row * VT_SPREAD_STEP;
            part.b += (size_t)panel * tile.b_stride;
            part.out = room(VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
            tables[t]->product(&part);
            tables[t]->end();
            for (int r = 0; r < part.rows; ++r)
                assert_memory_equal(part.out + r * VT_TILE_COLUMNS,
                                    tile.out + (row + r) * VT_TILE_COLUMNS + panel * VT_PANEL,
                                    VT_PANEL * sizeof(float));
            free(spread);
            free(part.out);
            free(tile.out);
            free((void *)(uintptr_t)tile.a);
            free((void *)(uintptr_t)tile.b);
        }
}

/* ---- products ---- */

static vt_kern *ref, *cpu, *one; /* cpu: three threads, one: a single one */

static bool whole; /* do weights opened from now on give a row of x one scale? */

static vt_weight *weight_of(vt_kern *kern, const float *w, int n, int k) {
    const vt_weight_spec spec = {
        .type = VT_NUMBER_INT8, .n = n, .k = k, .values = w, .whole = whole};
    vt_weight *out = NULL;
    variant_error err;
    assert_int_equal(kern->weight_open(kern, &out, &spec, &err), VARIANT_OK);
    return out;
}

/* y = x W^T + bias, in a buffer of NaN that ends where y ends. */
static float *run(vt_kern *kern, const vt_weight *w, const float *x, const float *bias, int groups,
                  int rows, int n) {
    size_t numbers = (size_t)groups * (size_t)rows * (size_t)n;
    float *y = malloc(numbers * sizeof *y + 1);
    memset(y, 0xff, numbers * sizeof *y);
    vt_product p = {.x = x, .w = w, .bias = bias, .y = y, .groups = groups, .rows = rows};
    size_t bytes = kern->product_workspace(kern, &p);
    p.workspace = malloc(bytes + 1);
    memset(p.workspace, 0xff, bytes);
    kern->product(kern, &p);
    free(p.workspace);
    return y;
}

static const int all_rows[] = {0, 1, 2, 7, 12, 33, 100};
static const int all_n[] = {1, 16, 65, 131}, all_k[] = {1, 63, 128, 129, 320, 1000};

static void product_check(int rows, int n, int k, int kind) {
    float *x = malloc(((size_t)rows * (size_t)k + 1) * sizeof *x),
          *w = malloc((size_t)n * (size_t)k * sizeof *w);
    float *bias = malloc((size_t)n * sizeof *bias);
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < k; i += BLOCK)
            fill_row(x + r * k + i, (size_t)(k - i < BLOCK ? k - i : BLOCK),
                     kind ? random_int(0, 8) : 0);
    for (int j = 0; j < n; ++j) {
        fill_row(w + j * k, (size_t)k, kind ? random_int(0, 8) : 0);
        bias[j] = random_float();
    }
    vt_weight *a = weight_of(cpu, w, n, k), *b = weight_of(ref, w, n, k);
    float *got = run(cpu, a, x, bias, 1, rows, n), *want = run(ref, b, x, bias, 1, rows, n);
    for (int r = 0; r < rows; ++r)
        for (int j = 0; j < n; ++j) {
            double size, scale;
            double value = define_product(x + r * k, w + j * k, (size_t)k,
                                          whole ? (size_t)k : BLOCK, &size, &scale);
            double y = (double)got[r * n + j], z = (double)want[r * n + j];
            if (isnan(value)) {
                assert_true(isnan(y) && isnan(z));
                continue;
            }
            value += (double)bias[j];
            if (size * fmax(scale, 1) > 1e38) continue; /* beyond float32 */
            size = size * scale + fabs((double)bias[j]);
            if (!(fabs(z - value) <= 2e-7 * size) || !(fabs(y - value) <= 2e-6 * size))
                fail_msg("%d x %d x %d, kind %d, at %d %d: %g, ref %g, expected %g", rows, n, k,
                         kind, r, j, y, z, value);
        }
    cpu->weight_close(cpu, &a);
    ref->weight_close(ref, &b);
    free(x);
    free(w);
    free(bias);
    free(got);
    free(want);
}

static void test_products(void **unused) {
    (void)unused;
    for (int r = 0; r < COUNT(all_rows); ++r)
        for (int n = 0; n < COUNT(all_n); ++n)
            for (int k = 0; k < COUNT(all_k); ++k)
                for (int kind = 0; kind < 4; ++kind) {
                    whole = kind >= 2;
                    if ((r + n + k + kind) % 3 || all_rows[r] < 12)
                        product_check(all_rows[r], all_n[n], all_k[k], kind % 2);
                }
    whole = false;
}

/* What is not finite stays in its row and column. */
static void test_not_finite(void **unused) {
    (void)unused;
    enum { ROWS = 30, N = 70, K = 300 };
    static float x[ROWS * K], w[N * K];
    for (int i = 0; i < ROWS * K; ++i) x[i] = random_float();
    for (int i = 0; i < N * K; ++i) w[i] = random_float();
    x[3 * K + 7] = NAN;
    x[25 * K + 299] = INFINITY;
    w[5 * K + 128] = -INFINITY;
    w[69 * K] = NAN;
    for (int turn = 0; turn < 4; ++turn) {
        vt_kern *kern = turn % 2 ? cpu : ref;
        whole = turn / 2;
        vt_weight *weight = weight_of(kern, w, N, K);
        float *y = run(kern, weight, x, NULL, 1, ROWS, N);
        for (int r = 0; r < ROWS; ++r)
            for (int j = 0; j < N; ++j)
                assert_true((r == 3 || r == 25 || j == 5 || j == 69) == isnan(y[r * N + j]));
        kern->weight_close(kern, &weight);
        free(y);
    }
    whole = false;
}

/* Integers with their scales, as a file may hold them, are what packing the numbers gives. */
static void test_integers(void **unused) {
    (void)unused;
    enum { ROWS = 13, N = 70, K = 300 };
    static float x[ROWS * K], w[N * K], integers[N * K], scales[N];
    for (int i = 0; i < ROWS * K; ++i) x[i] = random_float();
    for (int j = 0; j < N; ++j) {
        int row[K];
        for (int i = 0; i < K; ++i) w[j * K + i] = random_float();
        scales[j] = define(row, w + j * K, K);
        for (int i = 0; i < K; ++i) integers[j * K + i] = (float)row[i];
    }
    for (int turn = 0; turn < 4; ++turn) {
        vt_kern *kern = turn % 2 ? cpu : ref;
        whole = turn / 2;
        const vt_weight_spec spec = {.type = VT_NUMBER_INT8,
                                     .n = N,
                                     .k = K,
                                     .values = integers,
                                     .whole = whole,
                                     .scales = scales};
        vt_weight *weight = weight_of(kern, w, N, K), *given = NULL;
        assert_int_equal(kern->weight_open(kern, &given, &spec, NULL), VARIANT_OK);
        float *want = run(kern, weight, x, NULL, 1, ROWS, N);
        float *got = run(kern, given, x, NULL, 1, ROWS, N);
        assert_memory_equal(want, got, ROWS * N * sizeof *got);
        kern->weight_close(kern, &weight);
        kern->weight_close(kern, &given);
        free(want);
        free(got);
    }
    whole = false;
}

static void nothing(void *user) {
    (void)user;
}

/* Squares: exact sums of tiles, in one go and with depth cut anywhere; nothing else is written. */
static void test_squares(void **unused) {
    (void)unused;
    enum { LANES = VT_SQUARE_ROWS * VT_TILE_COLUMNS, UNTOUCHED = 0x55555555 };
    for (int t = 0; t < table_count; ++t)
        for (int turn = 0; tables[t]->squares && turn < 60; ++turn) {
            const int steps = random_int(1, 9), cut = random_int(1, steps),
                      depth = steps * VT_TILE8_DEPTH;
            const int row_tiles = 1 + turn % 2, panels = 1 + turn / 2 % 2;
            const size_t tile = VT_TILE_NUMBERS * sizeof(uint16_t), strip = (size_t)steps * tile;
            int8_t *a = room((size_t)row_tiles * strip);
            uint8_t *b = room((size_t)panels * strip);
            int32_t *out = room(LANES * sizeof *out);
            for (size_t i = 0; i < (size_t)row_tiles * strip; ++i)
                a[i] = (int8_t)random_int(-127, 127);
            for (size_t i = 0; i < (size_t)panels * strip; ++i) b[i] = (uint8_t)random_int(1, 255);
            for (int i = 0; i < LANES; ++i) out[i] = UNTOUCHED;
            vt_meanwhile meanwhile = {.run = nothing, .runs = random_int(0, 20)};
            vt_squares q = {.out = (float *)(void *)out,
                            .a = (const uint16_t *)(void *)a,
                            .a_stride = strip / 2,
                            .b = (const uint16_t *)(void *)b,
                            .b_stride = strip / 2,
                            .steps = cut,
                            .row_tiles = row_tiles,
                            .panels = panels,
                            .meanwhile = &meanwhile};
            tables[t]->begin();
            tables[t]->squares(&q);
            q.a += (size_t)cut * VT_TILE_NUMBERS;
            q.b += (size_t)cut * VT_TILE_NUMBERS;
            q.steps = steps - cut;
            q.go_on = true;
            if (q.steps > 0) tables[t]->squares(&q);
            tables[t]->end();
            for (int r = 0; r < VT_SQUARE_ROWS; ++r)
                for (int c = 0; c < VT_TILE_COLUMNS; ++c) {
                    int32_t sum = 0;
                    const bool there = r < row_tiles * VT_ROW_TILE && c < panels * VT_PANEL;
                    for (int d = 0; there && d < depth; ++d)
                        sum += a[(size_t)(r / VT_ROW_TILE) * strip + (size_t)(d / 64) * tile +
                                 (size_t)(r % VT_ROW_TILE * 64 + d % 64)] *
                               b[(size_t)(c / VT_PANEL) * strip + (size_t)(d / 4 * 64) +
                                 (size_t)(c % VT_PANEL * 4 + d % 4)];
                    assert_int_equal(out[r * VT_TILE_COLUMNS + c], there ? sum : UNTOUCHED);
                }
            free(a);
            free(b);
            free(out);
        }
}

/* A row of one group alone has the bits that it has among others, on any number of threads. */
static void test_bits(void **unused) {
    (void)unused;
    for (int turn = 0; turn < 24; ++turn) {
        whole = turn % 2;
        const int groups = random_int(1, 3), rows = random_int(1, 90), n = random_int(1, 200);
        const int k = turn % 3 ? random_int(1, 400) : 1920;
        float *x = malloc((size_t)(groups * rows * k) * sizeof *x);
        float *w = malloc((size_t)(n * k) * sizeof *w);
        for (int i = 0; i < groups * rows * k; ++i) x[i] = random_float();
        for (int i = 0; i < n * k; ++i) w[i] = random_float();
        vt_weight *a = weight_of(cpu, w, n, k), *b = weight_of(one, w, n, k);
        float *all = run(cpu, a, x, NULL, groups, rows, n), *y;
        y = run(one, b, x, NULL, 1, groups * rows, n);
        assert_memory_equal(all, y, (size_t)(groups * rows * n) * sizeof *y);
        free(y);
        for (int r = 0; r < groups * rows; r += 1 + groups * rows / 9) {
            int some = random_int(1, groups * rows - r);
            y = run(cpu, a, x + r * k, NULL, some, 1, n);
            assert_memory_equal(all + r * n, y, (size_t)(some * n) * sizeof *y);
            free(y);
        }
        cpu->weight_close(cpu, &a);
        one->weight_close(one, &b);
        free(all);
        free(x);
        free(w);
    }
    whole = false;
}

static void test_weights(void **unused) {
    (void)unused;
    static const float w[20 * 72];
    vt_weight *weight = weight_of(cpu, w, 20, 72);
    /* whole panels, depth in multiples of 64, a scale a column */
    assert_int_equal(cpu->weight_bytes(weight), 32 * 128 + 32 * sizeof(float));
    cpu->weight_close(cpu, &weight);
    variant_error err;
    const vt_weight_spec taps = {.type = VT_NUMBER_INT8, .n = 20, .k = 72, .taps = 9, .values = w};
    weight = (vt_weight *)&err;
    assert_int_equal(cpu->weight_open(cpu, &weight, &taps, &err), VARIANT_E_UNSUPPORTED);
    assert_null(weight);
    weight = (vt_weight *)&err;
    assert_int_equal(ref->weight_open(ref, &weight, &taps, &err), VARIANT_E_UNSUPPORTED);
    assert_null(weight);
    vt_weight_spec deep = {.type = VT_NUMBER_INT8, .n = 1, .k = VT_INT8_WHOLE + 1, .whole = true};
    deep.sizes_only = true;
    assert_int_equal(cpu->weight_open(cpu, &weight, &deep, &err), VARIANT_E_UNSUPPORTED);
    --deep.k;
    assert_int_equal(cpu->weight_open(cpu, &weight, &deep, &err), VARIANT_OK);
    cpu->weight_close(cpu, &weight);
}

static void test_peak(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t)
        if (tables[t]->peak) assert_true(tables[t]->peak(10) > 0);
    assert_true(one->peak_flops(one, VT_NUMBER_INT8) > 1e9);
}

int main(void) {
    variant_error err;
    find_tables();
    if (vt_kern_open(&ref, "ref", 1, &err) != VARIANT_OK ||
        vt_kern_open(&cpu, "cpu", 3, &err) != VARIANT_OK ||
        vt_kern_open(&one, "cpu", 1, &err) != VARIANT_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rows),    cmocka_unit_test(test_quantise),
        cmocka_unit_test(test_pack),    cmocka_unit_test(test_tiles),
        cmocka_unit_test(test_deepest), cmocka_unit_test(test_products),
        cmocka_unit_test(test_bits),    cmocka_unit_test(test_not_finite),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_integers),
        cmocka_unit_test(test_peak),    cmocka_unit_test(test_squares),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vt_kern_close(&ref);
    vt_kern_close(&cpu);
    vt_kern_close(&one);
    return failed;
}

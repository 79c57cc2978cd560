/* Weights of four bits: records (kern/int4.h) against plain rounding and against what they say of themselves, panels against
 * records, every table of kern/cpu/isa/tiles4.h that this processor can run against the definition, the cpu backend against
 * ref on odd sizes and extremes, and bit by bit against itself with other rows, groups and numbers of threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/cpu/isa/tiles4.h"
#include "kern/int4.h"
#include "kern/kern.h"
#include "kern/number.h"
#include "kern/panels.h"
#define RANDOM_SEED 3847561029384756u
#include "random.h"

enum { BLOCK = 128, GROUP = 16, UNIT = 64 };
#define COUNT(a) (int)(sizeof(a) / sizeof *(a))

static void *room(size_t bytes) {
    void *out = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    assert_non_null(out);
    return out;
}

static void fill_row(float *x, size_t n, int kind) {
    for (size_t i = 0; i < n; ++i) {
        x[i] = random_float();
        if (kind == 1) x[i] = 0;
        if (kind == 2) x[i] *= 0x1p-110f;
        if (kind == 3) x[i] = i % 2 ? -3.4e38f : 3.4e38f;
        if (kind == 4) x[i] *= x[i] * x[i] * x[i];
        if (kind == 5) x[i] *= 0x1p-99f;
    }
    if (n == 0) return;
    const size_t at = random_bits() % n;
    if (kind == 6) x[at] = 1e6f; /* one far out */
    if (kind == 7) x[at] = NAN;
    if (kind == 8) x[at] = -INFINITY;
}

/* ---- records ---- */

/* Exactly as large as it is said to be: a sanitizer sees what is touched beyond. */
static uint8_t *record_of(const float *row, const float *importance, size_t k) {
    uint8_t *out = malloc(vt_int4_record(k));
    memset(out, 0x5a, vt_int4_record(k));
    vt_int4_encode(out, row, importance, k);
    return out;
}

static double error_of(const uint8_t *record, const float *row, const float *importance, size_t k) {
    float *whole = malloc(k * sizeof *whole);
    double sum = 0;
    vt_int4_decode(record, k, whole);
    for (size_t i = 0; i < k; ++i) {
        const double off = (double)row[i] - (double)whole[i] * (double)vt_int4_scale(record);
        sum += off * off * (importance ? (double)importance[i] : 1);
    }
    free(whole);
    return sum;
}

/* Of rounding to -7 .. 7 times the largest size of each group over 7, in float32. */
static double plain_error(const float *row, size_t k) {
    double sum = 0;
    for (size_t g = 0; g < k; g += GROUP) {
        float most = 0;
        for (size_t i = g; i < k && i < g + GROUP; ++i) most = fmaxf(most, fabsf(row[i]));
        for (size_t i = g; i < k && i < g + GROUP && most > 0; ++i) {
            const double step = (double)most / 7, off = (double)row[i] / step;
            sum += (off - nearbyint(off)) * step * (off - nearbyint(off)) * step;
        }
    }
    return sum;
}

/* Each number is as near as its group's integer and the row's scale allow, and what fills up the last group is 0. */
static void nearest_check(const uint8_t *record, const float *row, size_t k) {
    float *whole = malloc(k * sizeof *whole);
    const double scale = (double)vt_int4_scale(record);
    vt_int4_decode(record, k, whole);
    for (size_t i = 0; i < k; ++i) {
        const double step = (double)vt_int4_step(record, i);
        assert_true(fabs(step) <= 127.001 * scale && fabs(step) >= 0.999 * scale);
        const double q = (double)whole[i] * scale / step;
        assert_true(fabs(q - nearbyint(q)) < 1e-4 && q > -8.5 && q < 7.5);
        const double want = (double)row[i] / step;
        if (want > -8 && want < 7)
            assert_true(fabs(q - want) < 0.5001);
        else
            assert_true(fabs(q - (want < 0 ? -8 : 7)) < 1e-4);
    }
    const size_t groups = vt_int4_groups(k);
    for (size_t i = k; i < groups * GROUP; ++i) {
        const uint8_t byte = record[4 + groups + i / 16 * 8 + i % 16 / 8 * 4 + i % 4];
        assert_int_equal(byte >> (i / 4 % 2 * 4) & 15, 8);
    }
    for (size_t i = 4 + 9 * groups; i < vt_int4_record(k); ++i) assert_int_equal(record[i], 0);
    free(whole);
}

static void record_check(int kind, size_t k) {
    float *row = malloc(k * sizeof *row), *whole = malloc(k * sizeof *whole);
    fill_row(row, k, kind);
    uint8_t *record = record_of(row, NULL, k);
    vt_int4_decode(record, k, whole);
    if (kind >= 7) assert_true(isnan(vt_int4_scale(record)));
    if (kind == 1 || kind == 2) assert_true(vt_int4_scale(record) == 1.0f);
    for (size_t i = 0; i < k && (kind >= 7 || kind == 1 || kind == 2); ++i)
        assert_true(whole[i] == 0.0f);
    if (kind == 0 || (kind > 2 && kind < 7)) nearest_check(record, row, k);
    double energy = 0; /* of which a group's integer, rounded, costs a little */
    for (size_t i = 0; i < k; ++i) energy += (double)row[i] * (double)row[i];
    if ((kind == 0 || kind == 5) && k >= 64) /* few numbers may suit plain steps by chance */
        assert_true(error_of(record, row, NULL, k) <= 1.02 * plain_error(row, k) + 1e-4 * energy);
    free(record);
    free(row);
    free(whole);
}

static void test_records(void **unused) {
    (void)unused;
    for (int kind = 0; kind < 9; ++kind)
        for (int turn = 0; turn < 60; ++turn) record_check(kind, (size_t)random_int(1, 400));
    assert_int_equal(vt_int4_record(16), 16);
    assert_int_equal(vt_int4_record(17), 24);
    assert_int_equal(vt_int4_record(1024), 4 + 64 * 9);
}

/* On average the search takes a sixth from the error, and numbers that weigh more are nearer. */
static void test_search(void **unused) {
    (void)unused;
    enum { K = 256, ROWS = 200 };
    static float row[K], importance[K];
    double got = 0, plain = 0, weighed = 0, alike = 0;
    for (int r = 0; r < ROWS; ++r) {
        for (int i = 0; i < K; ++i) {
            row[i] = random_float() + random_float() + random_float();
            importance[i] = i % 4 ? 0.01f : 1.0f;
        }
        uint8_t *a = record_of(row, NULL, K), *b = record_of(row, importance, K);
        got += error_of(a, row, NULL, K);
        plain += plain_error(row, K);
        alike += error_of(a, row, importance, K);
        weighed += error_of(b, row, importance, K);
        free(a);
        free(b);
    }
    assert_true(got < 0.72 * plain); /* squares: 0.85 of the size */
    assert_true(weighed < 0.85 * alike);
}

static void test_put(void **unused) {
    (void)unused;
    enum { K = 53 };
    static float row[K], whole[K];
    int q[K];
    fill_row(row, K, 0);
    uint8_t *record = record_of(row, NULL, K);
    for (int i = 0; i < K; ++i) vt_int4_put(record, K, (size_t)i, q[i] = random_int(-8, 7));
    vt_int4_decode(record, K, whole);
    for (int i = 0; i < K; ++i)
        assert_true(fabsf(whole[i] * vt_int4_scale(record) -
                          (float)q[i] * vt_int4_step(record, (size_t)i)) <=
                    1e-5f * fabsf(whole[i]));
    free(record);
}

/* ---- panels ---- */

static void test_panels(void **unused) {
    (void)unused;
    for (int turn = 0; turn < 60; ++turn) {
        const size_t k = (size_t)random_int(1, 300), record = vt_int4_record(k);
        const int rows = random_int(1, 16);
        const size_t depth = (k + UNIT - 1) / UNIT * UNIT, bytes = depth / UNIT * 576;
        uint8_t *records = malloc((size_t)rows * record), *panel = room(bytes);
        float *row = malloc(k * sizeof *row), *back = malloc(k * sizeof *back), scale[16] = {0};
        for (int r = 0; r < rows; ++r) {
            fill_row(row, k, 0);
            vt_int4_encode(records + (size_t)r * record, row, NULL, k);
        }
        memset(panel, 0x11, bytes + 1);
        vt_panels_pack4(panel, scale, records, rows, k, depth);
        assert_int_equal(panel[bytes], 0x11);
        const vt_packed packed = {.numbers = panel, .scale = scale};
        const vt_weight_spec spec = {
            .type = VT_NUMBER_INT4, .n = rows, .k = (int)k, .packed = &packed};
        vt_panels panels;
        assert_true(vt_panels_of(&panels, &spec));
        assert_int_equal(panels.bytes, bytes);
        for (int r = 0; r < rows; ++r) {
            vt_int4_decode(records + (size_t)r * record, k, row);
            vt_panels_row(&panels, &spec, r, back);
            assert_memory_equal(row, back, k * sizeof *row);
            assert_true(scale[r] == vt_int4_scale(records + (size_t)r * record));
        }
        free(records);
        free(panel);
        free(row);
        free(back);
    }
}

/* ---- the tables ---- */

static const vt_tiles4 *tables[3];
static int table_count;

static void find_tables(void) {
    tables[table_count++] = &vt_tiles4_baseline;
#if defined(__x86_64__)
    if (vt_isa_best() >= VT_ISA_AVX2) tables[table_count++] = &vt_tiles4_avx2;
    if (vt_isa_best() >= VT_ISA_AVX512VNNI) tables[table_count++] = &vt_tiles4_avx512vnni;
#endif
}

static void tile_row(int8_t *row, const vt_rows8 *x, bool extreme, int sign) {
    vt_scale8 *by = (vt_scale8 *)(void *)(row + x->depth);
    for (int i = 0; i < x->depth; i += x->block, ++by) {
        by->scale = random_float();
        for (int j = i; j < i + x->block && j < x->depth; ++j)
            row[j] = (int8_t)(extreme ? 127 * sign : random_int(-127, 127));
    }
}

static int16_t *tile_spread(const vt_tiles4 *table, vt_tile8 *t, int more) {
    t->spread_rows = t->rows + more;
    const int step = table->spread_group;
    const size_t numbers = (size_t)t->spread_rows * (size_t)(t->x.depth / GROUP * step);
    int16_t *to = room(numbers * sizeof *to);
    memset(to, 0x5a, numbers * sizeof *to + 64);
    for (int r = 0; r < t->rows; ++r)
        table->spread(to + r * step, t->a + (size_t)r * t->x.stride, t->x.depth, t->spread_rows);
    for (size_t i = 0; i < numbers + 32; ++i)
        if (i >= numbers || (int)(i / (size_t)step) % t->spread_rows >= t->rows)
            assert_int_equal(to[i], 0x5a5a);
    t->spread = to;
    return to;
}

/* Numbers at the ends of their range: halves of 0 and 15 by integers of -127 and 127. */
static void panel_fill(uint8_t *b, size_t bytes, bool extreme) {
    for (size_t i = 0; i < bytes; ++i) {
        const bool integer = i % 576 < UNIT;
        b[i] = (uint8_t)random_bits();
        if (integer && b[i] == 128) b[i] = 127;
        if (extreme) b[i] = integer ? (i % 2 ? 129 : 127) : (i % 3 ? 0 : 255);
    }
}

static void tile_open(vt_tile8 *t, int most_rows, bool extreme) {
    *t = (vt_tile8){.rows = random_int(1, most_rows)};
    t->panels = random_int(1, VT_TILE_PANELS);
    t->x = vt_rows8_of(UNIT * random_int(1, 19), false);
    t->x.stride += 128 * (size_t)random_int(0, 2);
    t->b_stride = (size_t)(t->x.depth / UNIT) * 576 + 576 * (size_t)random_int(0, 2);
    int8_t *a = room((size_t)t->rows * t->x.stride);
    uint8_t *b = room((size_t)t->panels * t->b_stride);
    for (int r = 0; r < t->rows; ++r)
        tile_row(a + (size_t)r * t->x.stride, &t->x, extreme, r % 2 ? 1 : -1);
    panel_fill(b, (size_t)t->panels * t->b_stride, extreme);
    t->a = a;
    t->b = b;
    t->out = room(VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
    memset(t->out, 0xff, VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
}

/* A whole number of a panel, as panels.h says it. */
static int number_at(const uint8_t *panel, int d, int column) {
    const uint8_t *unit = panel + d / UNIT * 576;
    const int8_t integer = (int8_t)unit[d / GROUP % 4 * 16 + column];
    const uint8_t byte = unit[64 + (d / 8 % 8 * 16 + column) * 4 + d % 4];
    return ((byte >> (d / 4 % 2 * 4) & 15) - 8) * integer;
}

static void tile_check(const vt_tile8 *t, int row, int column) {
    const uint8_t *b = t->b + (size_t)(column / VT_PANEL) * t->b_stride;
    const int8_t *a = t->a + (size_t)row * t->x.stride;
    const vt_scale8 *by = vt_scales8(a, t->x.depth);
    double sum = 0, size = 0;
    for (int d = 0; d < t->x.depth; d += t->x.block, ++by) {
        long exact = 0;
        for (int i = d; i < d + t->x.block && i < t->x.depth; ++i)
            exact += number_at(b, i, column % VT_PANEL) * a[i];
        sum += (double)exact * (double)by->scale;
        size += fabs((double)exact * (double)by->scale);
    }
    const double got = (double)t->out[row * VT_TILE_COLUMNS + column];
    if (!(fabs(got - sum) <= 1e-6 * size))
        fail_msg("row %d of %d, column %d, depth %d: %g, expected %g", row, t->rows, column,
                 t->x.depth, got, sum);
}

static void tile_turn(const vt_tiles4 *table, bool extreme) {
    vt_tile8 tile;
    tile_open(&tile, table->most_rows, extreme);
    int16_t *spread = tile_spread(table, &tile, random_int(0, 2));
    table->product(&tile);
    for (int r = 0; r < VT_TILE_MOST_ROWS; ++r)
        for (int c = 0; c < VT_TILE_COLUMNS; ++c) {
            if (r < tile.rows && c < tile.panels * VT_PANEL)
                tile_check(&tile, r, c);
            else
                assert_true(isnan(tile.out[r * VT_TILE_COLUMNS + c]));
        }
    /* some of the rows, one of the panels: the same bits */
    vt_tile8 part = tile;
    const int row = random_int(0, tile.rows - 1), panel = random_int(0, tile.panels - 1);
    part.rows = random_int(1, tile.rows - row);
    part.panels = 1;
    part.a += (size_t)row * tile.x.stride;
    part.spread += row * table->spread_group;
    part.b += (size_t)panel * tile.b_stride;
    part.out = room(VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
    table->product(&part);
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

static void test_tiles(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t)
        for (int turn = 0; turn < 400; ++turn) tile_turn(tables[t], turn % 4 == 0);
}

/* ---- products ---- */

static vt_kern *ref, *cpu, *one; /* cpu: three threads, one: a single one */

static vt_weight *weight_of(vt_kern *kern, const float *w, const uint8_t *records, int n, int k) {
    const vt_weight_spec spec = {
        .type = VT_NUMBER_INT4, .n = n, .k = k, .values = w, .records = records};
    vt_weight *out = NULL;
    variant_error err;
    assert_int_equal(kern->weight_open(kern, &out, &spec, &err), VARIANT_OK);
    return out;
}

/* y = x W^T + bias, in a buffer of NaN that ends where y ends. */
static float *run(vt_kern *kern, const vt_weight *w, const float *x, const float *bias, int groups,
                  int rows, int n) {
    const size_t numbers = (size_t)groups * (size_t)rows * (size_t)n;
    float *y = malloc(numbers * sizeof *y + 1);
    memset(y, 0xff, numbers * sizeof *y);
    vt_product p = {.x = x, .w = w, .bias = bias, .y = y, .groups = groups, .rows = rows};
    const size_t bytes = kern->product_workspace(kern, &p);
    p.workspace = malloc(bytes + 1);
    memset(p.workspace, 0xff, bytes);
    kern->product(kern, &p);
    free(p.workspace);
    return y;
}

/* n numbers to integers; returns their scale. */
static float round_x(int *to, const float *from, size_t n) {
    float most = 0;
    for (size_t i = 0; i < n; ++i) most = isfinite(from[i]) ? fmaxf(most, fabsf(from[i])) : NAN;
    for (size_t i = 0; i < n; ++i) {
        to[i] = 0;
        if (!isfinite(from[i])) return NAN;
    }
    if (most < 0x1p-100f) return 1.0f;
    for (size_t i = 0; i < n; ++i) to[i] = (int)nearbyintf(from[i] * (127.0f / most));
    return most / 127.0f;
}

/* One number of x W^T; `size`: the sum of the sizes of what it adds. */
static double define_product(const float *x, const float *w, size_t k, double *size,
                             double *scale_of_w) {
    uint8_t *record = record_of(w, NULL, k);
    float *whole = malloc(k * sizeof *whole);
    double sum = 0, scale = (double)vt_int4_scale(record);
    vt_int4_decode(record, k, whole);
    *size = 0;
    for (size_t first = 0; first < k; first += BLOCK) {
        const size_t n = k - first < BLOCK ? k - first : BLOCK;
        int a[BLOCK];
        const double own = (double)round_x(a, x + first, n);
        double exact = 0;
        for (size_t i = 0; i < n; ++i) exact += (double)whole[first + i] * a[i];
        sum += own * exact;
        *size += fabs(own * exact);
    }
    *size *= scale;
    *scale_of_w = fmin(scale, 1);
    free(record);
    free(whole);
    return sum * scale;
}

static const int all_rows[] = {0, 1, 2, 7, 8, 9, 17, 33, 100};
static const int all_n[] = {1, 16, 65, 131}, all_k[] = {1, 15, 63, 128, 129, 320, 1000};

static void product_check(int rows, int n, int k, bool odd) {
    float *x = malloc(((size_t)rows * (size_t)k + 1) * sizeof *x),
          *w = malloc((size_t)n * (size_t)k * sizeof *w);
    float *bias = malloc((size_t)n * sizeof *bias);
    for (int r = 0; r < rows; ++r)
        for (int i = 0; i < k; i += BLOCK)
            fill_row(x + r * k + i, (size_t)(k - i < BLOCK ? k - i : BLOCK),
                     odd ? random_int(0, 8) : 0);
    for (int j = 0; j < n; ++j) {
        fill_row(w + j * k, (size_t)k, odd ? random_int(0, 8) : 0);
        bias[j] = random_float();
    }
    vt_weight *a = weight_of(cpu, w, NULL, n, k), *b = weight_of(ref, w, NULL, n, k);
    float *got = run(cpu, a, x, bias, 1, rows, n), *want = run(ref, b, x, bias, 1, rows, n);
    for (int r = 0; r < rows; ++r)
        for (int j = 0; j < n; ++j) {
            double size, scale;
            double value = define_product(x + r * k, w + j * k, (size_t)k, &size, &scale);
            const double y = (double)got[r * n + j], z = (double)want[r * n + j];
            if (isnan(value)) {
                assert_true(isnan(y) && isnan(z));
                continue;
            }
            value += (double)bias[j];
            if (size > 1e36 * scale) continue; /* beyond float32, now or before w's scale */
            size += fabs((double)bias[j]);
            if (!(fabs(z - value) <= 2e-7 * size) || !(fabs(y - value) <= 2e-6 * size))
                fail_msg("%d x %d x %d at %d %d: %g, ref %g, expected %g", rows, n, k, r, j, y, z,
                         value);
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
                for (int odd = 0; odd < 2; ++odd)
                    if ((r + n + k + odd) % 3 || all_rows[r] < 12)
                        product_check(all_rows[r], all_n[n], all_k[k], odd);
}

/* Records, as a file may hold them, are what packing the numbers gives. */
static void test_given(void **unused) {
    (void)unused;
    enum { ROWS = 13, N = 70, K = 300 };
    static float x[ROWS * K], w[N * K];
    uint8_t *records = malloc(N * vt_int4_record(K));
    for (int i = 0; i < ROWS * K; ++i) x[i] = random_float();
    for (int i = 0; i < N * K; ++i) w[i] = random_float();
    for (int j = 0; j < N; ++j)
        vt_int4_encode(records + (size_t)j * vt_int4_record(K), w + j * K, NULL, K);
    for (int turn = 0; turn < 2; ++turn) {
        vt_kern *kern = turn ? cpu : ref;
        vt_weight *weight = weight_of(kern, w, NULL, N, K);
        vt_weight *given = weight_of(kern, NULL, records, N, K);
        float *want = run(kern, weight, x, NULL, 1, ROWS, N);
        float *got = run(kern, given, x, NULL, 1, ROWS, N);
        assert_memory_equal(want, got, ROWS * N * sizeof *got);
        kern->weight_close(kern, &weight);
        kern->weight_close(kern, &given);
        free(want);
        free(got);
    }
    free(records);
}

/* A row of one group alone has the bits that it has among others, on any number of threads. */
static void bits_turn(int groups, int rows, int n, int k) {
    float *x = malloc((size_t)(groups * rows * k) * sizeof *x);
    float *w = malloc((size_t)(n * k) * sizeof *w);
    for (int i = 0; i < groups * rows * k; ++i) x[i] = random_float();
    for (int i = 0; i < n * k; ++i) w[i] = random_float();
    vt_weight *a = weight_of(cpu, w, NULL, n, k), *b = weight_of(one, w, NULL, n, k);
    float *all = run(cpu, a, x, NULL, groups, rows, n);
    float *y = run(one, b, x, NULL, 1, groups * rows, n);
    assert_memory_equal(all, y, (size_t)(groups * rows * n) * sizeof *y);
    free(y);
    for (int r = 0; r < groups * rows; r += 1 + groups * rows / 9) {
        const int some = random_int(1, groups * rows - r);
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

static void test_bits(void **unused) {
    (void)unused;
    for (int turn = 0; turn < 24; ++turn)
        bits_turn(random_int(1, 3), random_int(1, 90), random_int(1, 200),
                  turn % 3 ? random_int(1, 400) : 1920);
}

static void test_weights(void **unused) {
    (void)unused;
    static const float w[20 * 72];
    vt_weight *weight = weight_of(cpu, w, NULL, 20, 72);
    /* whole panels of 576 bytes for each 64 of depth, a scale a column */
    assert_int_equal(cpu->weight_bytes(weight), 2 * 2 * 576 + 32 * sizeof(float));
    cpu->weight_close(cpu, &weight);
    vt_weight_spec sizes = {.type = VT_NUMBER_INT4, .n = 20, .k = 72, .sizes_only = true};
    variant_error err;
    assert_int_equal(cpu->weight_open(cpu, &weight, &sizes, &err), VARIANT_OK);
    assert_int_equal(cpu->weight_bytes(weight), 2 * 2 * 576 + 32 * sizeof(float));
    cpu->weight_close(cpu, &weight);
    for (int turn = 0; turn < 2; ++turn) {
        vt_kern *kern = turn ? cpu : ref;
        const vt_weight_spec taps = {
            .type = VT_NUMBER_INT4, .n = 20, .k = 72, .taps = 9, .values = w};
        assert_int_equal(kern->weight_open(kern, &weight, &taps, &err), VARIANT_E_UNSUPPORTED);
        assert_null(weight);
        const vt_weight_spec whole = {
            .type = VT_NUMBER_INT4, .n = 20, .k = 72, .whole = true, .values = w};
        assert_int_equal(kern->weight_open(kern, &weight, &whole, &err), VARIANT_E_ARGUMENT);
        assert_non_null(strstr(err.message, "not one a row"));
        assert_null(weight);
    }
}

static void test_peak(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t)
        if (tables[t]->peak) assert_true(tables[t]->peak(10) > 0);
    assert_true(one->peak_flops(one, VT_NUMBER_INT4) > 1e9);
    assert_true(vt_number_bytes(VT_NUMBER_INT4, 64) == 36.0);
    assert_true(vt_number_bytes(VT_NUMBER_BF16, 64) == 128.0);
}

int main(void) {
    variant_error err;
    find_tables();
    if (vt_kern_open(&ref, "ref", 1, &err) != VARIANT_OK ||
        vt_kern_open(&cpu, "cpu", 3, &err) != VARIANT_OK ||
        vt_kern_open(&one, "cpu", 1, &err) != VARIANT_OK)
        return 1;
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_records), cmocka_unit_test(test_search),
        cmocka_unit_test(test_put),     cmocka_unit_test(test_panels),
        cmocka_unit_test(test_tiles),   cmocka_unit_test(test_products),
        cmocka_unit_test(test_given),   cmocka_unit_test(test_bits),
        cmocka_unit_test(test_weights), cmocka_unit_test(test_peak),
    };
    const int failed = cmocka_run_group_tests(tests, NULL, NULL);
    vt_kern_close(&ref);
    vt_kern_close(&cpu);
    vt_kern_close(&one);
    return failed;
}

/* The tables of kern/cpu/isa/tiles.h, every one that this processor can run, called directly: each
 * function against its definition in plain C on random numbers and sizes, and products bit by bit
 * against themselves cut differently. The products of AMX run over tile registers in plain C
 * (amx_in_c.h), whether or not the processor has real ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/cpu/isa/map_loops.h"
#include "kern/cpu/isa/tiles.h"
#include "kern/number.h"
#include "random.h"

#if defined(__x86_64__)
extern const vt_tiles vt_tiles_amx_in_c;
#endif

static const vt_tiles *tables[8];
static int table_count;

static void find_tables(void) {
    tables[table_count++] = &vt_tiles_baseline;
#if defined(__x86_64__)
    vt_isa best = vt_isa_best();
    if (best >= VT_ISA_AVX2) tables[table_count++] = &vt_tiles_avx2;
    if (best >= VT_ISA_AVX512) tables[table_count++] = &vt_tiles_avx512;
    if (best >= VT_ISA_AVX512BF16) {
        tables[table_count++] = &vt_tiles_avx512bf16;
        tables[table_count++] = &vt_tiles_avx512wide;
        tables[table_count++] = &vt_tiles_amx_in_c; /* packs and converts as that one does */
    }
    if (best >= VT_ISA_AMX) tables[table_count++] = &vt_tiles_amx;
#endif
}

static void *room(size_t bytes) {
    void *out = aligned_alloc(64, (bytes + 63) / 64 * 64 + 64);
    assert_non_null(out);
    return out;
}

/* ---- packing and conversion ---- */

static void test_conversions(void **unused) {
    (void)unused;
    enum { MOST = 200 };
    static const float special[] = {0.0f,     -0.0f,    1.0f,        INFINITY,    -INFINITY, NAN,
                                    3.38e38f, -3.4e38f, 1.00390625f, 1.01171875f, 1e-30f};
    for (int t = 0; t < table_count; ++t) {
        for (int n = 0; n <= MOST; ++n) {
            float from[MOST], back[MOST + 1];
            uint16_t to[MOST + 1];
            int8_t small[MOST];
            for (int i = 0; i < n; ++i) {
                from[i] = i % 3 ? random_float() * 100.0f
                                : special[random_bits() % (sizeof special / sizeof *special)];
                small[i] = (int8_t)random_int(-127, 127);
            }
            to[n] = 0x7abc;
            tables[t]->to_bf16(to, from, (size_t)n);
            assert_int_equal(to[n], 0x7abc);
            for (int i = 0; i < n; ++i) {
                if (isnan(from[i]))
                    assert_true(isnan(vt_from_bf16(to[i])));
                else
                    assert_int_equal(to[i], vt_to_bf16(from[i]));
            }
            back[n] = 12345.0f;
            tables[t]->from_bf16(back, to, (size_t)n);
            assert_true(back[n] == 12345.0f);
            for (int i = 0; i < n; ++i) {
                float want = vt_from_bf16(to[i]);
                assert_memory_equal(&back[i], &want, sizeof want);
            }
            tables[t]->unpack_int8(to, small, (size_t)n);
            assert_int_equal(to[n], 0x7abc);
            for (int i = 0; i < n; ++i) assert_true(vt_from_bf16(to[i]) == (float)small[i]);
        }
        for (int v = -127; v <= 127; ++v) { /* each in each place of a block */
            int8_t all[64];
            uint16_t to[64];
            memset(all, v, sizeof all);
            tables[t]->unpack_int8(to, all, 64);
            for (int i = 0; i < 64; ++i) assert_true(vt_from_bf16(to[i]) == (float)v);
        }
    }
}

static void test_pack(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        for (int i = 0; i < 300; ++i) {
            int depth = VT_TILE_DEPTH * random_int(1, 5), columns = random_int(1, VT_PANEL);
            int length = random_int(1, depth), across = i % 2;
            size_t stride = (size_t)(across ? columns : length) + (size_t)random_int(0, 5);
            size_t runs = (size_t)(across ? length : columns);
            /* exactly as many numbers as belong to it: a sanitizer sees what is read beyond */
            size_t count = (runs - 1) * stride + (size_t)(across ? columns : length);
            float *from = malloc(count * sizeof *from);
            for (size_t j = 0; j < count; ++j) from[j] = random_float();
            size_t numbers = (size_t)depth * VT_PANEL;
            uint16_t *panel = room(numbers * 2);
            memset(panel, 0xff, numbers * 2 + 64);
            (across ? tables[t]->pack_across : tables[t]->pack)(panel, from, stride, columns,
                                                                length, depth);
            for (int d = 0; d < depth; ++d)
                for (int c = 0; c < VT_PANEL; ++c) {
                    size_t at =
                        across ? (size_t)d * stride + (size_t)c : (size_t)c * stride + (size_t)d;
                    uint16_t want = c < columns && d < length ? vt_to_bf16(from[at]) : 0;
                    assert_int_equal(panel[(d / 2 * VT_PANEL + c) * 2 + d % 2], want);
                }
            assert_int_equal(panel[numbers], 0xffff);
            free(from);
            free(panel);
        }
    }
}

/* ---- products ---- */

typedef struct sample {
    vt_tile tile;
    uint16_t *a, *b;
    float *out;
    size_t taps[4];
} sample;

static void sample_open(sample *s, int most_rows) {
    memset(s, 0, sizeof *s);
    vt_tile *t = &s->tile;
    t->rows = random_int(1, most_rows);
    t->panels = random_int(1, VT_TILE_PANELS);
    t->depth = VT_TILE_DEPTH * random_int(1, 6);
    t->taps = random_int(1, 4);
    size_t length = 0;
    for (int i = 0; i < t->taps; ++i) {
        s->taps[i] = t->taps == 1 ? 0 : 2 * (size_t)random_int(0, 40);
        size_t end = s->taps[i] + (size_t)t->depth;
        if (end > length) length = end;
    }
    t->tap = t->taps == 1 ? NULL : s->taps;
    t->a_stride = 2 * (size_t)random_int(1, 100); /* rows may overlap, as pixels do */
    size_t a_count = (size_t)(t->rows - 1) * t->a_stride + length;
    s->a = malloc(a_count * 2);
    for (size_t i = 0; i < a_count; ++i) s->a[i] = vt_to_bf16(random_float());
    size_t panel = (size_t)t->taps * (size_t)t->depth * VT_PANEL;
    t->b_stride = panel + 64 * (size_t)random_int(0, 3);
    size_t b_count = (size_t)(t->panels - 1) * t->b_stride + panel;
    s->b = room(b_count * 2);
    for (size_t i = 0; i < b_count; ++i) s->b[i] = vt_to_bf16((float)random_int(-127, 127));
    s->out = room(VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float));
    t->out = s->out;
    t->a = s->a;
    t->b = s->b;
}

static void sample_close(sample *s) {
    free(s->a);
    free(s->b);
    free(s->out);
}

static double sum_at(const vt_tile *t, int row, int column, double *magnitude) {
    double sum = 0;
    const uint16_t *b = t->b + (size_t)(column / VT_PANEL) * t->b_stride;
    *magnitude = 0;
    for (int tap = 0; tap < t->taps; ++tap) {
        const uint16_t *a = t->a + (size_t)row * t->a_stride + (t->tap ? t->tap[tap] : 0);
        for (int d = 0; d < t->depth; ++d) {
            size_t at = (size_t)tap * (size_t)t->depth * VT_PANEL +
                        (size_t)((d / 2 * VT_PANEL + column % VT_PANEL) * 2 + d % 2);
            double term = (double)vt_from_bf16(a[d]) * (double)vt_from_bf16(b[at]);
            sum += term;
            *magnitude += fabs(term);
        }
    }
    return sum;
}

static void test_product(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        const vt_tiles *tiles = tables[t];
        assert_true(tiles->most_rows >= 1 && tiles->most_rows <= VT_TILE_MOST_ROWS);
        for (int i = 0; i < 400; ++i) {
            sample s;
            sample_open(&s, tiles->most_rows);
            const size_t floats = VT_TILE_MOST_ROWS * VT_TILE_COLUMNS;
            memset(s.out, 0xff, floats * sizeof *s.out);
            tiles->begin();
            tiles->product(&s.tile);
            tiles->end();
            for (int r = 0; r < VT_TILE_MOST_ROWS; ++r) {
                for (int c = 0; c < VT_TILE_COLUMNS; ++c) {
                    float got = s.out[r * VT_TILE_COLUMNS + c];
                    if (r >= s.tile.rows || c >= s.tile.panels * VT_PANEL) {
                        assert_true(isnan(got)); /* untouched */
                        continue;
                    }
                    double magnitude, want = sum_at(&s.tile, r, c, &magnitude);
                    if (!(fabs(got - want) <= 2e-6 * magnitude + 1e-30))
                        fail_msg("%s: %d x %d panels, depth %d x %d, at %d %d: %g, expected %g",
                                 tiles->name, s.tile.rows, s.tile.panels, s.tile.taps, s.tile.depth,
                                 r, c, (double)got, want);
                }
            }
            sample_close(&s);
        }
    }
}

/* A number's bits do not depend on the rows and panels beside it. */
static void test_product_bits(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        const vt_tiles *tiles = tables[t];
        for (int i = 0; i < 100; ++i) {
            sample s;
            sample_open(&s, tiles->most_rows);
            float *one = room(VT_TILE_COLUMNS * sizeof *one);
            tiles->begin();
            tiles->product(&s.tile);
            for (int r = 0; r < s.tile.rows; ++r) {
                for (int p = 0; p < s.tile.panels; ++p) {
                    vt_tile single = s.tile;
                    single.out = one;
                    single.a += (size_t)r * single.a_stride;
                    single.b += (size_t)p * single.b_stride;
                    single.rows = single.panels = 1;
                    tiles->product(&single);
                    assert_memory_equal(one, s.out + r * VT_TILE_COLUMNS + p * VT_PANEL,
                                        VT_PANEL * sizeof *one);
                }
            }
            tiles->end();
            free(one);
            sample_close(&s);
        }
    }
}

static void test_product_special(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        sample s;
        do {
            sample_open(&s, tables[t]->most_rows);
            if (s.tile.rows > 1 && !s.tile.tap && s.tile.a_stride >= (size_t)s.tile.depth) break;
            sample_close(&s);
        } while (true);
        s.a[s.tile.a_stride + 5] = vt_to_bf16(NAN); /* row 1 alone */
        s.a[3] = vt_to_bf16(INFINITY);
        tables[t]->begin();
        tables[t]->product(&s.tile);
        tables[t]->end();
        for (int r = 0; r < s.tile.rows; ++r)
            for (int c = 0; c < s.tile.panels * VT_PANEL; ++c) {
                float got = s.out[r * VT_TILE_COLUMNS + c];
                if (r == 0) assert_true(!isfinite(got));
                if (r == 1) assert_true(isnan(got));
                if (r > 1) assert_true(isfinite(got));
            }
        sample_close(&s);
    }
}

/* ---- squares ---- */

/* Exactly the numbers that belong to x, so that a sanitizer sees what is read beyond. */
static void test_lay(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        assert_int_equal(tables[t]->lay != NULL, tables[t]->squares != NULL);
        for (int i = 0; tables[t]->lay && i < 300; ++i) {
            const int depth = VT_TILE_DEPTH * random_int(1, 5), length = random_int(1, depth);
            const int rows = random_int(1, VT_ROW_TILE);
            const bool half = i % 2;
            const size_t stride = (size_t)length + (size_t)random_int(0, 5);
            const size_t count = (size_t)(rows - 1) * stride + (size_t)length;
            const size_t numbers = (size_t)depth * VT_ROW_TILE;
            float *wide = malloc(count * sizeof *wide);
            uint16_t *from = malloc(count * sizeof *from), *to = room(numbers * 2);
            for (size_t j = 0; j < count; ++j) wide[j] = random_float();
            for (size_t j = 0; j < count; ++j) from[j] = vt_to_bf16(wide[j]);
            memset(to, 0xff, numbers * 2 + 64);
            tables[t]->lay(to, half ? (const void *)from : wide,
                           half ? VT_NUMBER_BF16 : VT_NUMBER_F32, stride, rows, length, depth);
            for (int r = 0; r < VT_ROW_TILE; ++r)
                for (int d = 0; d < depth; ++d) {
                    const size_t at = (size_t)(d / VT_TILE_DEPTH) * VT_TILE_NUMBERS +
                                      (size_t)(r * VT_TILE_DEPTH + d % VT_TILE_DEPTH);
                    const bool there = r < rows && d < length;
                    assert_int_equal(to[at], there ? from[(size_t)r * stride + (size_t)d] : 0);
                }
            assert_int_equal(to[numbers], 0xffff);
            free(wide);
            free(from);
            free(to);
        }
    }
}

typedef struct between_log {
    int runs;
} between_log;

static void between_run(void *user) {
    ++((between_log *)user)->runs;
}

/* Row r of x alone, by `product`. */
static void row_alone(const vt_tiles *tiles, const vt_squares *q, int r, int depth, float *out) {
    uint16_t *row = room((size_t)depth * 2);
    for (int d = 0; d < depth; ++d)
        row[d] = q->a[(size_t)(r / VT_ROW_TILE) * q->a_stride +
                      (size_t)(d / VT_TILE_DEPTH) * VT_TILE_NUMBERS +
                      (size_t)(r % VT_ROW_TILE * VT_TILE_DEPTH + d % VT_TILE_DEPTH)];
    tiles->product(&(vt_tile){.out = out,
                              .a = row,
                              .a_stride = (size_t)depth,
                              .b = q->b,
                              .b_stride = q->b_stride,
                              .taps = 1,
                              .depth = depth,
                              .rows = 1,
                              .panels = q->panels});
    free(row);
}

/* Every shape of squares gives the bits of `product`, in one go and with depth cut anywhere; all that was to be done
 * meanwhile is done or told as left, and nothing else is written. */
static void test_squares(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        const vt_tiles *tiles = tables[t];
        for (int i = 0; tiles->squares && i < 200; ++i) {
            const int steps = random_int(1, 9), depth = steps * VT_TILE_DEPTH;
            const int row_tiles = 1 + i % 2, panels = 1 + i / 2 % 2;
            const int rows = row_tiles * VT_ROW_TILE, cut = random_int(1, steps);
            const size_t a_stride = (size_t)steps * VT_TILE_NUMBERS + 32 * (size_t)random_int(0, 2);
            const size_t b_stride = (size_t)depth * VT_PANEL + 32 * (size_t)random_int(0, 2);
            const size_t a_count =
                             (size_t)(row_tiles - 1) * a_stride + (size_t)steps * VT_TILE_NUMBERS,
                         b_count = (size_t)(panels - 1) * b_stride + (size_t)depth * VT_PANEL;
            uint16_t *a = room(a_count * 2), *b = room(b_count * 2);
            for (size_t j = 0; j < a_count; ++j) a[j] = vt_to_bf16(random_float());
            for (size_t j = 0; j < b_count; ++j) b[j] = vt_to_bf16(random_float());
            const size_t floats = VT_SQUARE_ROWS * VT_TILE_COLUMNS;
            float *out = room(floats * sizeof *out),
                  one[VT_TILE_COLUMNS] __attribute__((aligned(64)));
            memset(out, 0xff, floats * sizeof *out);
            between_log log = {0};
            const int runs = random_int(0, 40);
            vt_meanwhile meanwhile = {.run = between_run,
                                      .user = &log,
                                      .runs = runs,
                                      .ask = (const char *)b,
                                      .lines = random_int(0, 300)};
            vt_squares q = {.out = out,
                            .a = a,
                            .a_stride = a_stride,
                            .b = b,
                            .b_stride = b_stride,
                            .steps = cut,
                            .row_tiles = row_tiles,
                            .panels = panels,
                            .meanwhile = &meanwhile};
            tiles->begin();
            tiles->squares(&q);
            q.a += (size_t)cut * VT_TILE_NUMBERS;
            q.b += (size_t)cut * VT_TILE_DEPTH * VT_PANEL;
            q.steps = steps - cut;
            q.go_on = true;
            if (q.steps > 0) tiles->squares(&q);
            assert_int_equal(log.runs + meanwhile.runs, runs);
            assert_int_equal(meanwhile.runs, 0);
            q.a = a;
            q.b = b;
            for (int r = 0; r < rows; ++r) {
                row_alone(tiles, &q, r, depth, one);
                assert_memory_equal(out + r * VT_TILE_COLUMNS, one,
                                    (size_t)panels * VT_PANEL * sizeof *one);
            }
            tiles->end();
            for (size_t j = 0; j < floats; ++j)
                if (j / VT_TILE_COLUMNS >= (size_t)rows ||
                    j % VT_TILE_COLUMNS >= (size_t)panels * VT_PANEL)
                    assert_true(isnan(out[j]));
            free(a);
            free(b);
            free(out);
        }
    }
}

/* What passes between steps: rows of sums that wait, and pixels of a map. */
typedef struct beside_sample {
    vt_map_work work;
    float sums[64 * VT_TILE_COLUMNS], y[64 * 40], sums_of_y[2 * 40], x[30 * 50];
    uint16_t map[30 * 64];
    int pieces;
} beside_sample;

static void beside_open(beside_sample *b) {
    memset(b, 0, sizeof *b);
    vt_map_work *w = &b->work;
    for (size_t i = 0; i < sizeof b->sums / sizeof *b->sums; ++i) b->sums[i] = random_float();
    for (size_t i = 0; i < sizeof b->x / sizeof *b->x; ++i) b->x[i] = random_float();
    w->out = (vt_map_tile){.tile = b->sums,
                           .sums = b->sums_of_y,
                           .squares = 40,
                           .tile_stride = VT_TILE_COLUMNS,
                           .y_stride = 40,
                           .columns = 30};
    w->y = b->y;
    w->count = random_int(0, 3);
    for (int i = 0; i < w->count; ++i) {
        w->strips[i] = (vt_map_strip){.y = (size_t)(i * 21 * 40), .rows = random_int(1, 21)};
        b->pieces += (w->strips[i].rows + VT_MAP_ROWS - 1) / VT_MAP_ROWS;
    }
    w->left = random_int(0, 30);
    w->in = (vt_map_pixels){
        .x = b->x, .map = b->map, .x_stride = 50, .map_stride = 64, .channels = 50, .width = 64};
    b->pieces += (w->left + VT_MAP_PIXELS - 1) / VT_MAP_PIXELS * 2;
    w->runs = b->pieces;
}

static void beside_copy(beside_sample *to, const beside_sample *from) {
    *to = *from;
    to->work.out.tile = to->sums;
    to->work.out.sums = to->sums_of_y;
    to->work.y = to->y;
    to->work.in.x = to->x;
    to->work.in.map = to->map;
}

static void assert_beside_equal(const beside_sample *a, const beside_sample *b) {
    assert_int_equal(a->work.runs, 0);
    assert_int_equal(a->work.left, 0);
    assert_int_equal(a->work.strip, a->work.count);
    assert_memory_equal(a->y, b->y, sizeof a->y);
    assert_memory_equal(a->sums_of_y, b->sums_of_y, sizeof a->sums_of_y);
    assert_memory_equal(a->map, b->map, sizeof a->map);
}

/* Products with other work between their steps have the bits of those without, also with their depth in two halves and the
 * upper rows elsewhere; all of that work is done, as it is alone, and nothing else is written. */
static void test_product_beside(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t) {
        const vt_tiles *tiles = tables[t];
        for (int i = 0; tiles->product_beside && i < 300; ++i) {
            sample s;
            static beside_sample work, alone;
            sample_open(&s, tiles->most_rows);
            const size_t bytes = VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float);
            float *beside = room(bytes);
            memset(s.out, 0xff, bytes);
            memset(beside, 0xff, bytes);
            beside_open(&work);
            beside_copy(&alone, &work);
            tiles->begin();
            tiles->product(&s.tile);
            vt_tile tile = s.tile;
            tile.out = beside;
            tile.a_half = i % 2 ? VT_ROW_TILE * tile.a_stride : 0;
            tiles->map_pieces(&alone.work);
            tile.taps = s.tile.taps / 2;
            if (tile.taps > 0 && tile.tap) {
                tiles->product_beside(&tile, &work.work);
                tile.go_on = true;
                tile.tap += tile.taps;
                tile.b += (size_t)tile.taps * (size_t)tile.depth * VT_PANEL;
            }
            tile.taps = s.tile.taps - (tile.go_on ? tile.taps : 0);
            tiles->product_beside(&tile, &work.work);
            tiles->end();
            assert_beside_equal(&work, &alone);
            assert_memory_equal(beside, s.out, bytes);
            free(beside);
            sample_close(&s);
        }
    }
}

static void test_peak(void **unused) {
    (void)unused;
    for (int t = 0; t < table_count; ++t)
        if (tables[t]->peak) assert_true(tables[t]->peak(3) >= 3 * 12 * 2);
}

int main(void) {
    find_tables();
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_conversions),
        cmocka_unit_test(test_pack),
        cmocka_unit_test(test_product),
        cmocka_unit_test(test_product_bits),
        cmocka_unit_test(test_product_special),
        cmocka_unit_test(test_lay),
        cmocka_unit_test(test_squares),
        cmocka_unit_test(test_product_beside),
        cmocka_unit_test(test_peak),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

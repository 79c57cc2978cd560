/* The outer products of kern/cpu/isa/train_loops.h: every table that this processor can run, called
 * directly, against the definition on random panels and sizes; nothing outside of the result is
 * written, nothing beyond the panels read. AMX's run over tile registers in plain C (amx_in_c.h) too. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "kern/cpu/isa/train_loops.h"
#include "kern/number.h"
#include "random.h"

enum { PANEL = 16 };

#if defined(__x86_64__)
void vt_outer_amx_in_c(const vt_outer *args);
void vt_outer_rows_amx_in_c(const vt_outer_rows *args);
#endif

typedef void (*outer)(const vt_outer *args);

static int find_outers(outer *out) {
    int count = 0;
    out[count++] = vt_train_loops_baseline.outer;
#if defined(__x86_64__)
    const vt_isa best = vt_isa_best();
    if (best >= VT_ISA_AVX2) out[count++] = vt_train_loops_avx2.outer;
    if (best >= VT_ISA_AVX512) {
        out[count++] = vt_train_loops_avx512.outer;
        out[count++] = vt_outer_amx_in_c;
    }
    if (best >= VT_ISA_AVX512BF16) {
        out[count++] = vt_train_loops_avx512bf16.outer;
        out[count++] = vt_train_loops_avx512wide.outer;
    }
    if (best >= VT_ISA_AMX) out[count++] = vt_train_loops_amx.outer;
#endif
    return count;
}

/* Whole lines and no more, so that a sanitizer sees what is read beyond. */
static uint16_t *random_panels(size_t count) {
    uint16_t *out = aligned_alloc(64, count * sizeof *out);
    assert_non_null(out);
    for (size_t i = 0; i < count; ++i) out[i] = vt_to_bf16(random_float());
    return out;
}

static double pair_number(const uint16_t *panels, size_t stride, int column, int d) {
    const uint16_t *panel = panels + (size_t)(column / PANEL) * stride;
    return (double)vt_from_bf16(panel[(d / 2 * PANEL + column % PANEL) * 2 + d % 2]);
}

static void check(outer run, int a_panels, int b_panels, int depth, bool accumulate) {
    const size_t panel = (size_t)depth * PANEL;
    const int rows = a_panels * PANEL, columns = b_panels * PANEL;
    vt_outer o = {.out_stride = (size_t)columns + PANEL * (size_t)random_int(0, 2),
                  .a_stride = panel + 2 * PANEL * (size_t)random_int(0, 1),
                  .b_stride = panel,
                  .a_panels = a_panels,
                  .b_panels = b_panels,
                  .depth = depth,
                  .accumulate = accumulate};
    const size_t numbers = (size_t)rows * o.out_stride;
    uint16_t *a = random_panels((size_t)(a_panels - 1) * o.a_stride + panel);
    uint16_t *b = random_panels((size_t)b_panels * panel);
    float *out = malloc(numbers * sizeof *out), *before = malloc(numbers * sizeof *out);
    assert_true(out && before);
    for (size_t i = 0; i < numbers; ++i) before[i] = (float)random_int(-3, 3);
    memcpy(out, before, numbers * sizeof *out);
    o.a = a, o.b = b, o.out = out;
    run(&o);
    for (int i = 0; i < rows; ++i)
        for (size_t j = 0; j < o.out_stride; ++j) {
            const size_t at = (size_t)i * o.out_stride + j;
            if (j >= (size_t)columns) {
                assert_true(out[at] == before[at]);
                continue;
            }
            double want = accumulate ? (double)before[at] : 0.0;
            for (int d = 0; d < depth; ++d)
                want += pair_number(a, o.a_stride, i, d) * pair_number(b, o.b_stride, (int)j, d);
            assert_true(fabs((double)out[at] - want) < 2e-6 * (10.0 + depth));
        }
    free(out);
    free(before);
    free(a);
    free(b);
}

static void test_outer_products(void **unused) {
    (void)unused;
    outer outers[8];
    const int count = find_outers(outers);
    for (int t = 0; t < count; ++t) {
        for (int i = 0; i < 200; ++i)
            check(outers[t], random_int(1, 5), random_int(1, 5), 2 * random_int(1, 90), i % 2);
        check(outers[t], 3, 2, 512, false);
        check(outers[t], 2, 3, 1090, true); /* deeper than any piece that is worked on at a time */
    }
}

/* ---- of rows ---- */

typedef void (*outer_rows)(const vt_outer_rows *args);

static double row_number(const uint16_t *from, size_t stride, int row, int column) {
    return (double)vt_from_bf16(from[(size_t)row * stride + (size_t)column]);
}

static void check_rows(outer_rows run, int a_columns, int b_columns, int rows, bool accumulate) {
    enum { MORE = 7 }; /* numbers of the result beyond its columns, which stay */
    vt_outer_rows o = {.out_stride = (size_t)b_columns + MORE,
                       .a_stride = (size_t)a_columns + 3,
                       .b_stride = (size_t)b_columns + 5,
                       .a_columns = a_columns,
                       .b_columns = b_columns,
                       .rows = rows,
                       .accumulate = accumulate};
    const size_t numbers = (size_t)a_columns * o.out_stride, depth = (size_t)(rows + 31) / 32 * 32;
    /* a row's last number is the last that may be read */
    uint16_t *a = malloc(((size_t)(rows - 1) * o.a_stride + (size_t)a_columns) * sizeof *a);
    uint16_t *b = malloc(((size_t)(rows - 1) * o.b_stride + (size_t)b_columns) * sizeof *b);
    float *out = malloc(numbers * sizeof *out), *sums = malloc((size_t)a_columns * sizeof *sums);
    assert_true(a && b && out && sums);
    for (size_t i = 0; i < (size_t)(rows - 1) * o.a_stride + (size_t)a_columns; ++i)
        a[i] = vt_to_bf16(random_float());
    for (size_t i = 0; i < (size_t)(rows - 1) * o.b_stride + (size_t)b_columns; ++i)
        b[i] = vt_to_bf16(random_float());
    for (size_t i = 0; i < numbers; ++i) out[i] = 3;
    for (int i = 0; i < a_columns; ++i) sums[i] = 2;
    o.room = aligned_alloc(64, depth * (size_t)b_columns * sizeof *o.room);
    assert_non_null(o.room);
    o.a = a, o.b = b, o.out = out, o.a_sums = accumulate ? sums : NULL;
    run(&o);
    for (int i = 0; i < a_columns; ++i) {
        double sum = 2;
        for (int d = 0; accumulate && d < rows; ++d) sum += row_number(a, o.a_stride, d, i);
        assert_true(fabs((double)sums[i] - sum) < 2e-6 * (10.0 + rows));
        for (int j = 0; j < b_columns + MORE; ++j) {
            double want = accumulate || j >= b_columns ? 3 : 0;
            for (int d = 0; j < b_columns && d < rows; ++d)
                want += row_number(a, o.a_stride, d, i) * row_number(b, o.b_stride, d, j);
            assert_true(fabs((double)out[(size_t)i * o.out_stride + (size_t)j] - want) <
                        2e-6 * (10.0 + rows));
        }
    }
    free(a);
    free(b);
    free(out);
    free(sums);
    free(o.room);
}

static void test_outer_rows(void **unused) {
    (void)unused;
    outer_rows run[2] = {NULL, NULL};
#if defined(__x86_64__)
    if (vt_isa_best() >= VT_ISA_AVX512) run[0] = vt_outer_rows_amx_in_c;
    if (vt_isa_best() >= VT_ISA_AMX) run[1] = vt_train_loops_amx.outer_rows;
#endif
    for (int t = 0; t < 2; ++t) {
        if (!run[t]) continue;
        for (int i = 0; i < 60; ++i)
            check_rows(run[t], 32 * random_int(1, 4), 32 * random_int(1, 4), random_int(1, 100),
                       i % 2);
        check_rows(run[t], 64, 32, 512, false);
        check_rows(run[t], 32, 64, 1091, true);
        check_rows(run[t], 32, 32, 1091, false);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_outer_products),
                                       cmocka_unit_test(test_outer_rows)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}

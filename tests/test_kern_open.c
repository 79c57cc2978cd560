/* test_kern_open.c - opening a backend: names, threads, which instruction set is trusted, what a table lacks; memory. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>
#include <string.h>

#include "kern/cpu/cpu.h"
#include "kern/kern.h"

static vt_kern *ref;
static vt_kern *others[2]; /* of 1 and 3 threads, open beside */
static int first_threads;  /* what 0 threads gave first in this process */

/* What decides whether an instruction set is trusted must say no when it should. */
static void wrong_product(const vt_tile *tile) {
    vt_tiles_baseline.product(tile);
    tile->out[(tile->rows - 1) * VT_TILE_COLUMNS + 5] += 0.01f;
}

static void wrong_product8(const vt_tile8 *tile) {
    vt_tiles8_baseline.product(tile);
    tile->out[(tile->rows - 1) * VT_TILE_COLUMNS + 5] += 1.0f;
}

/* Squares of rows in tiles, where the processor's table has them: the last sum of the second row of tiles is off. */
static const vt_cpu *cpu;

static void wrong_squares(const vt_squares *q) {
    vt_cpu_tiles((const vt_kern *)cpu)->squares(q);
    q->out[VT_ROW_TILE * VT_TILE_COLUMNS + 5] += 0.01f;
}

static void wrong_squares8(const vt_squares *q) {
    vt_cpu_tiles8((const vt_kern *)cpu)->squares(q);
    ((int32_t *)(void *)q->out)[VT_ROW_TILE * VT_TILE_COLUMNS + 5] += 20000;
}

static void test_squares_agree(void) {
    vt_tiles wrong = *cpu->tiles;
    vt_tiles8 wrong8 = *cpu->tiles8;
    wrong.squares = wrong_squares;
    wrong8.squares = wrong_squares8;
    if (cpu->tiles->squares) assert_false(vt_cpu_tiles_agree(&wrong, &vt_tiles_baseline));
    if (cpu->tiles8->squares) assert_false(vt_cpu_tiles8_agree(&wrong8, &vt_tiles8_baseline));
}

static void test_agreement(void **state) {
    (void)state;
    vt_kern *kern = NULL;
    assert_int_equal(vt_kern_open(&kern, "cpu", 1, NULL), VARIANT_OK);
    cpu = (const vt_cpu *)kern;
    vt_tiles wrong = vt_tiles_baseline;
    vt_tiles8 wrong8 = vt_tiles8_baseline;
    wrong.product = wrong_product;
    wrong8.product = wrong_product8;
    assert_true(vt_cpu_tiles_agree(cpu->tiles, &vt_tiles_baseline));
    assert_true(vt_cpu_tiles8_agree(cpu->tiles8, &vt_tiles8_baseline));
    assert_false(vt_cpu_tiles_agree(&wrong, &vt_tiles_baseline));
    assert_false(vt_cpu_tiles8_agree(&wrong8, &vt_tiles8_baseline));
    test_squares_agree();
    vt_kern_close(&kern);
}

static void test_open(void **state) {
    (void)state;
    vt_kern *kern = NULL;
    variant_error err;
    assert_int_equal(vt_kern_open(&kern, "gpu", 0, &err), VARIANT_E_ARGUMENT);
    assert_null(kern);
    assert_int_equal(vt_kern_open(&kern, "cpu", -1, NULL), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_kern_open(&kern, NULL, 0, &err), VARIANT_OK);
    assert_string_equal(kern->name, "cpu");
    assert_true(kern->threads >= 1);
    assert_int_equal(kern->threads, first_threads); /* opening BLAS does not lower later answers */
    print_message("%s\n", kern->details);
    vt_weight *w = NULL;
    const float number = 1;
    assert_int_equal(
        kern->weight_open(kern, &w, &(vt_weight_spec){.values = &number, .n = 0, .k = 3}, &err),
        VARIANT_E_ARGUMENT);
    assert_null(w);
    kern->weight_close(kern, &w);
    vt_kern_close(&kern);
    assert_null(kern);
    vt_kern_close(&kern);
    vt_kern_close(NULL);
}

static variant_status open_none(vt_kern **out, int threads, variant_error *err) {
    *out = NULL;
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "none, of %d threads", threads);
}

/* Names are listed and told; one more can be told of; what a table lacks is named. */
static void test_backends(void **state) {
    (void)state;
    vt_kern *kern = NULL;
    variant_error err;
    int count = 0;
    for (; vt_kern_backend(count); ++count) {
        assert_int_equal(vt_kern_open(&kern, vt_kern_backend(count), 1, &err), VARIANT_OK);
        assert_string_equal(kern->name, vt_kern_backend(count));
        assert_int_equal(kern->status(kern, &err), VARIANT_OK);
        kern->sync(kern);
        for (int type = VT_NUMBER_F32; type <= VT_NUMBER_BF16; ++type)
            assert_int_equal(vt_kern_check_training(kern, (vt_number)type, &err), VARIANT_OK);
        vt_kern_close(&kern);
    }
    assert_null(vt_kern_backend(-1));
    char names[64] = "";
    for (int i = 0; i < count; ++i) {
        if (i) strcat(names, "|");
        strcat(names, vt_kern_backend(i));
    }
    assert_string_equal(names, VARIANT_BACKENDS);
    assert_int_equal(vt_kern_register("none", open_none, &err), VARIANT_OK);
    assert_string_equal(vt_kern_backend(count), "none");
    assert_int_equal(vt_kern_open(&kern, "none", 3, &err), VARIANT_E_UNSUPPORTED);
    assert_string_equal(err.message, "none, of 3 threads");
    assert_int_equal(vt_kern_open(&kern, "gpu", 0, &err), VARIANT_E_ARGUMENT);
    for (int i = 0; vt_kern_backend(i); ++i)
        assert_non_null(strstr(err.message, vt_kern_backend(i)));

    vt_kern lacking = *ref;
    lacking.attend_dx = NULL;
    assert_int_equal(vt_kern_check_training(&lacking, VT_NUMBER_F32, &err), VARIANT_OK);
    assert_int_equal(vt_kern_check_training(&lacking, VT_NUMBER_BF16, &err), VARIANT_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "attend_dx"));
    lacking.adamw = NULL;
    assert_int_equal(vt_kern_check_training(&lacking, VT_NUMBER_F32, &err), VARIANT_E_UNSUPPORTED);
    assert_non_null(strstr(err.message, "adamw"));
}

static void test_memory(void **state) {
    (void)state;
    const size_t page = 4096,
                 bytes = (size_t)1 << 36; /* more than the machine has: only touched pages count */
    void *memory = NULL;
    variant_error err;
    assert_int_equal(ref->memory_reserve(ref, bytes, &memory, &err), VARIANT_OK);
    float *x = memory;
    assert_true(x[0] == 0 && x[bytes / sizeof *x - 1] == 0);
    vt_kern_fill(ref, x, 2, 4 * page / sizeof *x);
    ref->memory_discard(ref, (char *)memory + 100, 3 * page); /* wholly inside: pages 1 and 2 */
    size_t floats = page / sizeof *x;
    assert_true(x[floats - 1] == 2 && x[floats] == 0 && x[3 * floats - 1] == 0 &&
                x[3 * floats] == 2);
    const int32_t sent[3] = {1, -2, 3};
    int32_t back[3] = {0};
    ref->upload(ref, memory, sent, sizeof sent);
    ref->download(ref, back, memory, sizeof back);
    assert_memory_equal(sent, back, sizeof sent);
    ref->memory_release(ref, memory, bytes);
    assert_int_not_equal(ref->memory_reserve(ref, SIZE_MAX / 2, &memory, &err), VARIANT_OK);
    assert_null(memory);
}

static int open_all(void **state) {
    (void)state;
    if (vt_kern_open(&ref, "ref", 0, NULL) != VARIANT_OK) return -1;
    if (vt_kern_open(&others[0], "cpu", 0, NULL) != VARIANT_OK) return -1;
    first_threads = others[0]->threads;
    vt_kern_close(&others[0]);
    if (vt_kern_open(&others[0], "cpu", 1, NULL) != VARIANT_OK) return -1;
    return vt_kern_open(&others[1], "cpu", 3, NULL) == VARIANT_OK ? 0 : -1;
}

static int close_all(void **state) {
    (void)state;
    for (int i = 0; i < 2; ++i) vt_kern_close(&others[i]);
    vt_kern_close(&ref);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_open),
        cmocka_unit_test(test_agreement),
        cmocka_unit_test(test_backends),
        cmocka_unit_test(test_memory),
    };
    return cmocka_run_group_tests(tests, open_all, close_all);
}

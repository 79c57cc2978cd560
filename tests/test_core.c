/* test_core.c - status messages, arena, Philox against its published answers, uniformity of
 * draws. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/arena.h"
#include "core/class_name.h"
#include "core/cpu.h"
#include "variant.h"
#include "core/rng.h"
#include "core/status.h"

static void status_messages(void **state) {
    (void)state;
    variant_error err = {0};
    assert_int_equal(vt_fail(&err, VARIANT_E_IO, "%s: %d bytes", "a", 7), VARIANT_E_IO);
    assert_string_equal(err.message, "a: 7 bytes");
    vt_fail_within(&err, VARIANT_E_MODEL, "model %s", "m");
    assert_string_equal(err.message, "model m: a: 7 bytes");
    assert_int_equal(err.status, VARIANT_E_MODEL);
    char longer[600];
    memset(longer, 'x', sizeof longer);
    longer[599] = '\0';
    vt_fail(&err, VARIANT_E_IO, "%s", longer);
    vt_fail_within(&err, VARIANT_E_IO, "%s", longer); /* neither overruns */
    assert_int_equal(strlen(err.message), sizeof err.message - 1);
    assert_int_equal(vt_fail(NULL, VARIANT_E_IO, "x"), VARIANT_E_IO);
    assert_string_equal(variant_status_name(VARIANT_E_MODEL), "E_MODEL");
    assert_string_equal(variant_status_name((variant_status)99), "E_UNKNOWN");
    assert_string_equal(variant_version(), "0.1.0");
}

/* Lines that are too long end where a character does, whichever part of them is cut. */
static void long_messages_end_whole(void **state) {
    (void)state;
    static const char *const letters[] = {"x", "\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    variant_error err = {0};
    const size_t room = sizeof err.message - 1;
    char text[1024], want[1024];
    for (size_t i = 0; i < 4; ++i) {
        const size_t bytes = strlen(letters[i]), whole = room / bytes * bytes;
        for (size_t at = 0; at + bytes < sizeof text; at += bytes)
            memcpy(text + at, letters[i], bytes + 1);
        vt_fail(&err, VARIANT_E_IO, "%s", text);
        assert_int_equal(strlen(err.message), whole);
        assert_memory_equal(err.message, text, whole);
        vt_fail_within(&err, VARIANT_E_IO, "%s", text);
        assert_int_equal(strlen(err.message), whole);
        for (int before = 1; before < 5; ++before) {
            const size_t head = (size_t)before + 2;
            vt_fail(&err, VARIANT_E_IO, "%s", text);
            vt_fail_within(&err, VARIANT_E_IO, "%.*s", before, "file");
            snprintf(want, sizeof want, "%.*s: %.*s", before, "file",
                     (int)((room - head) / bytes * bytes), text);
            assert_string_equal(err.message, want);
        }
    }
    memset(text, 0xE9, sizeof text - 1); /* what is no UTF-8 stays, but for the last byte */
    text[sizeof text - 1] = '\0';
    vt_fail(&err, VARIANT_E_IO, "%s", text);
    assert_int_equal(strlen(err.message), room - 1);
}

static void class_names_are_lines(void **state) {
    (void)state;
    static const char *const cases[][2] = {
        {"", ""},
        {"T-shirt/top", "T-shirt/top"},
        {"caf\u00e9 \u732b \U0001f408", "caf\u00e9 \u732b \U0001f408"},
        {"a\nb\tc\x7f", "a%0Ab%09c%7F"},
        {"\033[2J", "%1B[2J"},
        {"\xc2\x9b"
         "2J\xc2\xa0",
         "%C2%9B2J\xc2\xa0"},
        {"caf\xe9", "caf%E9"},
        {"\xed\xa0\x80\xc0\xaf", "%ED%A0%80%C0%AF"},
        {"cut\xe7\x8c", "cut%E7%8C"}};
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        char *mended = vt_class_name_mended(cases[i][0]);
        assert_string_equal(mended, cases[i][1]);
        free(mended);
    }
    assert_true(vt_is_utf8("a\n\u732b") && !vt_is_utf8("caf\xe9") && !vt_is_utf8("cut\xe7\x8c"));
}

static void arena_carves(void **state) {
    (void)state;
    _Alignas(64) static char memory[1024];
    vt_arena arena;
    vt_arena_init(&arena, memory, sizeof memory);
    assert_ptr_equal(vt_arena_take(&arena, 1), memory);
    assert_ptr_equal(vt_arena_floats(&arena, 16), memory + 64);
    size_t mark = vt_arena_mark(&arena);
    assert_ptr_equal(vt_arena_ints(&arena, 17), memory + 128);
    assert_int_equal(arena.used, 256);
    vt_arena_rewind(&arena, mark);
    assert_int_equal(arena.used, 128);
    assert_int_equal(arena.peak, 256);
    assert_null(vt_arena_take(&arena, 1000));
    assert_null(
        vt_arena_take(&arena, 1)); /* exhaustion sticks, so one check at the end is enough */
    variant_error err;
    assert_int_equal(vt_arena_check(&arena, "a test", &err), VARIANT_E_MEMORY);
    vt_arena_rewind(&arena, 0);
    assert_non_null(vt_arena_take(&arena, 1024));
    vt_arena_rewind(&arena, 0);
    assert_null(vt_arena_floats(&arena, SIZE_MAX / 2)); /* the product would wrap */
}

/* Known answers of the Random123 distribution. */
static void philox_known_answers(void **state) {
    (void)state;
    static const struct {
        uint32_t counter[4];
        uint64_t key;
        uint32_t want[4];
    } cases[] = {
        {{0, 0, 0, 0}, 0, {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}},
        {{~0u, ~0u, ~0u, ~0u}, UINT64_MAX, {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}},
        {{0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344},
         0x299f31d0a4093822u,
         {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i) {
        uint32_t got[4];
        vt_philox(cases[i].key, cases[i].counter, got);
        assert_memory_equal(got, cases[i].want, sizeof got);
    }
}

static void draws_are_what_they_say(void **state) {
    (void)state;
    double sum = 0, squares = 0;
    static float normal[20001];
    for (uint32_t i = 0; i < 20000; ++i) {
        double u = vt_uniform(7, VT_RNG_SAMPLE, i, 0, 0);
        assert_true(u >= 0.0 && u < 1.0);
        sum += u;
    }
    assert_float_equal(sum / 20000, 0.5, 0.01);
    vt_normal_fill(normal, 20001, 7, 3);
    sum = 0;
    for (int i = 0; i < 20001; ++i) {
        sum += normal[i];
        squares += (double)normal[i] * normal[i];
    }
    assert_float_equal(sum / 20001, 0.0, 0.03);
    assert_float_equal(squares / 20001, 1.0, 0.05);
    uint32_t order[1000], seen[1000] = {0};
    vt_permutation(order, 1000, 7, 1);
    int moved = 0;
    for (uint32_t i = 0; i < 1000; ++i) {
        seen[order[i]]++;
        moved += order[i] != i;
    }
    for (int i = 0; i < 1000; ++i) assert_int_equal(seen[i], 1);
    assert_true(moved > 900);
}

static void cpu_level_can_be_lowered(void **state) {
    (void)state;
    unsetenv("VARIANT_CPU");
    vt_isa best = vt_isa_best();
    setenv("VARIANT_CPU", "baseline", 1);
    assert_int_equal(vt_isa_best(), VT_ISA_BASELINE);
    setenv("VARIANT_CPU", "no such thing", 1);
    assert_int_equal(vt_isa_best(), best);
    unsetenv("VARIANT_CPU");
}

static bool take_range(void *user, int index, const char **at) {
    int(*out)[2] = user;
    return variant_text_range(at, 0, 9, &out[index][0], &out[index][1]);
}

static void lists_are_taken_whole(void **state) {
    (void)state;
    int ints[3] = {0}, ranges[3][2];
    double reals[2];
    assert_int_equal(variant_list_ints("8,4,2", 1, 8, 3, ints), 3);
    assert_int_equal(ints[2], 2);
    assert_int_equal(variant_list_ints("8, 4 ,2", 1, 8, 3, ints), 3);
    assert_int_equal(variant_list_ints("8,4,2,1", 1, 8, 3, ints), -1);
    static const char *const wrong[] = {"",    ",",     "8,",    ",8",  "8,,4",
                                        "8;4", "8.5,4", "9,4,2", "8 4", "99999999999999999999"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
        assert_int_equal(variant_list_ints(wrong[i], 1, 8, 3, ints), 0);
    assert_int_equal(variant_list_reals("0.9,1e-3", 0, 1, 2, reals), 2);
    assert_true(reals[1] == 1e-3);
    assert_int_equal(variant_list_reals("0.9,nan", 0, 1, 2, reals), 0);
    const char *at = "0-2,5;7";
    assert_int_equal(variant_list_read(&at, ";", 3, take_range, ranges), 2);
    assert_int_equal(ranges[0][1], 2);
    assert_string_equal(at, ";7");
    at = "2-0";
    assert_int_equal(variant_list_read(&at, ";", 3, take_range, ranges), 0);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(status_messages),          cmocka_unit_test(long_messages_end_whole),
        cmocka_unit_test(class_names_are_lines),    cmocka_unit_test(arena_carves),
        cmocka_unit_test(philox_known_answers),     cmocka_unit_test(draws_are_what_they_say),
        cmocka_unit_test(cpu_level_can_be_lowered), cmocka_unit_test(lists_are_taken_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

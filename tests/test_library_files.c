/* test_library_files.c - pictures and masks from files, paths, text and errors as a program that links libvariant has them: by
 * include/variant.h alone. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>
#include "tests/library.h"

#define THIS VARIANT_SOURCE_DIR "/tests/test_library_files.c"

static int setup(void **state) {
    (void)state;
    return folder_make();
}

static int teardown(void **state) {
    (void)state;
    return folder_remove();
}

/* 3 x 2, RGB: each sample another number. */
static uint8_t samples[2][3][3];
static variant_picture small(void) {
    for (int i = 0; i < 18; ++i) (&samples[0][0][0])[i] = (uint8_t)(11 * i);
    return (variant_picture){.width = 3, .height = 2, .channels = 3, .pixels = samples[0][0]};
}

static void pictures_from_files(void **state) {
    (void)state;
    const variant_picture picture = small();
    variant_picture *read = NULL;
    int width = 0, height = 0, channels = 0;
    const char *path = in_folder("small.png");
    assert_ok(variant_picture_write(&picture, path, 0, &err));
    assert_ok(variant_picture_probe(path, &width, &height, &channels, &err));
    assert_true(width == 3 && height == 2 && channels == 3);
    assert_ok(variant_picture_read(&read, path, NULL, &err));
    assert_true(read->width == 3 && read->height == 2 && read->channels == 3 && !read->settings);
    assert_memory_equal(read->pixels, samples, sizeof samples);
    variant_pictures_free(&read, 1);
    assert_fails(variant_picture_read(&read, path, "grey", &err), VARIANT_E_ARGUMENT,
                 "alpha \"grey\": expected white, black or drop");
    assert_null(read);
    assert_fails(variant_picture_read(&read, in_folder("none.png"), NULL, &err), VARIANT_E_IO,
                 "none.png");
    assert_fails(variant_picture_read(&read, THIS, NULL, &err), VARIANT_E_FORMAT,
                 "test_library_files.c");
    assert_fails(variant_picture_probe(THIS, &width, &height, &channels, &err), VARIANT_E_FORMAT,
                 "test_library_files.c");
    assert_fails(variant_picture_read(NULL, path, NULL, &err), VARIANT_E_ARGUMENT,
                 "expected a path");
}

static void masks_from_files(void **state) {
    (void)state;
    uint8_t grey[] = {0, 127, 128, 255};
    const variant_picture picture = {.width = 2, .height = 2, .channels = 1, .pixels = grey};
    variant_picture *mask = NULL;
    const char *path = in_folder("mask.png");
    assert_ok(variant_picture_write(&picture, path, 0, &err));
    assert_ok(variant_mask_read(&mask, path, false, &err));
    assert_true(mask->width == 2 && mask->height == 2 && mask->channels == 1);
    assert_memory_equal(mask->pixels, ((uint8_t[]){0, 0, 255, 255}), 4);
    variant_pictures_free(&mask, 1);
    assert_ok(variant_mask_read(&mask, path, true, &err)); /* nothing is see-through */
    assert_memory_equal(mask->pixels, ((uint8_t[]){0, 0, 0, 0}), 4);
    variant_pictures_free(&mask, 1);
    assert_fails(variant_mask_read(&mask, in_folder("none.png"), false, &err), VARIANT_E_IO,
                 "none.png");
}

static void pictures_scaled(void **state) {
    (void)state;
    const variant_picture picture = small();
    variant_picture *scaled = NULL;
    assert_ok(variant_picture_scale(&scaled, &picture, 6, 4, &err));
    assert_true(scaled->width == 6 && scaled->height == 4 && scaled->channels == 3);
    for (int y = 0; y < 4; ++y)
        for (int x = 0; x < 6; ++x)
            assert_memory_equal(scaled->pixels + 3 * (6 * y + x), samples[y / 2][x / 2], 3);
    variant_pictures_free(&scaled, 1);
    assert_ok(variant_picture_scale(&scaled, &picture, 1, 1, &err));
    for (int c = 0; c < 3; ++c) /* the mean of all, rounded */
        assert_true(abs(scaled->pixels[c] - (11 * (0 + 3 + 6 + 9 + 12 + 15) / 6 + 11 * c)) <= 1);
    variant_pictures_free(&scaled, 1);
    assert_fails(variant_picture_scale(&scaled, &picture, 0, 4, &err), VARIANT_E_ARGUMENT,
                 "size is 0 x 4, expected sides of 1 to 32768");
}

static void paths(void **state) {
    (void)state;
    struct stat info;
    assert_true(variant_is_standard_output("-") && variant_is_standard_output("/dev/stdout"));
    assert_false(variant_is_standard_output("x.png"));
    assert_ok(variant_folder_make(in_folder("a/b/c"), &err));
    assert_true(stat(in_folder("a/b/c"), &info) == 0 && S_ISDIR(info.st_mode));
    assert_ok(variant_folder_make(in_folder("a/b/c"), &err));
    assert_fails(variant_folder_make(THIS "/x", &err), VARIANT_E_IO, "is a file");
}

static bool take_letter(void *user, int index, const char **at) {
    char *out = user;
    if (**at < 'a' || **at > 'z') return false;
    out[index] = *(*at)++;
    return true;
}

static void lists_and_words(void **state) {
    (void)state;
    int ints[4] = {0}, first = 0, last = 0;
    double reals[2] = {0};
    char letters[4] = "";
    const char *at = "7-9;", *text = "a,b;c";
    assert_true(variant_text_range(&at, 1, 20, &first, &last) && first == 7 && last == 9);
    assert_int_equal(*at, ';');
    at = "9-7";
    assert_false(variant_text_range(&at, 1, 20, &first, &last));
    assert_int_equal(variant_list_ints("1, 2,30", 1, 40, 4, ints), 3);
    assert_true(ints[0] == 1 && ints[1] == 2 && ints[2] == 30);
    assert_int_equal(variant_list_ints("1,2,41", 1, 40, 4, ints), 0);
    assert_int_equal(variant_list_ints("1,2,3,4,5", 1, 40, 4, ints), -1);
    assert_int_equal(variant_list_reals("0.5,1e1", 0, 10, 2, reals), 2);
    assert_true(reals[0] == 0.5 && reals[1] == 10);
    assert_int_equal(variant_list_read(&text, ";", 3, take_letter, letters), 2);
    assert_true(letters[0] == 'a' && letters[1] == 'b' && *text == ';');
    assert_int_equal(variant_word_distance("dpth", "Depth"), 1);
    assert_int_equal(variant_word_distance("a", "a word that has more than thirty letters"), 99);
}

static void text(void **state) {
    (void)state;
    char line[64];
    variant_text_with_spread(line, sizeof line, 0.34682, 0.0123, "+-");
    assert_string_equal(line, "0.347 +- 0.012");
    variant_text_with_spread(line, sizeof line, 0.34682, NAN, "+-");
    assert_string_equal(line, "0.3468");
    variant_text_bytes(line, sizeof line, 1270000);
    assert_string_equal(line, "1.27 MB");
    char *letters = variant_base64((const uint8_t *)"pictures", 8);
    assert_string_equal(letters, "cGljdHVyZXM=");
    free(letters);
}

static void errors(void **state) {
    (void)state;
    assert_int_equal(variant_fail(&err, VARIANT_E_IO, "%s: %d\nlines", "x", 2), VARIANT_E_IO);
    assert_string_equal(err.message, "x: 2?lines");
    assert_int_equal(variant_fail_within(&err, VARIANT_E_FORMAT, "option %s", "--y"),
                     VARIANT_E_FORMAT);
    assert_string_equal(err.message, "option --y: x: 2?lines");
    assert_int_equal(err.status, VARIANT_E_FORMAT);
    assert_int_equal(variant_fail(NULL, VARIANT_E_MODEL, "nobody reads it"), VARIANT_E_MODEL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pictures_from_files),
        cmocka_unit_test(masks_from_files),
        cmocka_unit_test(pictures_scaled),
        cmocka_unit_test(paths),
        cmocka_unit_test(lists_and_words),
        cmocka_unit_test(text),
        cmocka_unit_test(errors),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

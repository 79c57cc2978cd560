/* test_no_tiff.c - pictures of a build without libtiff (VARIANT_TIFF=OFF): the sources that differ there, compiled as there. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "io/dataset.h"
#include "io/image.h"

#define TIFF "II*\0\10\0\0\0\0\0\0\0\0\0"
#define NOTHING                                                                                    \
    "no pictures that can be read: expected PNG, JPEG, WebP, GIF or BMP files in one sub-folder"

static char folder[64];
static char told[1024];
static variant_error err;

static int setup(void **state) {
    (void)state;
    char class[80];
    told[0] = '\0';
    strcpy(folder, "/tmp/variant-no-tiff-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    snprintf(class, sizeof class, "%s/a", folder);
    return mkdir(class, 0700);
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static const char *path_of(const char *name) {
    static char path[96];
    snprintf(path, sizeof path, "%s/a/%s", folder, name);
    return path;
}

static void put_tiff(const char *name) {
    FILE *file = fopen(path_of(name), "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(TIFF, 1, sizeof TIFF, file), sizeof TIFF);
    assert_int_equal(fclose(file), 0);
}

static void put_png(const char *name) {
    vt_image image;
    assert_int_equal(vt_image_new(&image, 8, 8, 1, &err), VARIANT_OK);
    memset(image.data, 7, 64);
    assert_int_equal(vt_image_write_png(&image, path_of(name), NULL, 0, &err), VARIANT_OK);
    vt_image_free(&image);
}

static void note(void *user, const char *line) {
    (void)user;
    size_t used = strlen(told);
    snprintf(told + used, sizeof told - used, "%s\n", line);
}

static variant_status folder_open(vt_dataset **out) {
    vt_dataset_options options = {.data = {.paths = {folder}, .count = 1, .split = VT_SPLIT_ALL},
                                  .side = 8,
                                  .channels = 1,
                                  .warn = note};
    return vt_dataset_open(out, &options, &err);
}

static void assert_says(const char *text, const char *words) {
    if (!strstr(text, words)) fail_msg("expected \"%s\" in \"%s\"", words, text);
}

static void a_tiff_is_refused_by_name(void **state) {
    (void)state;
    vt_image image;
    put_tiff("x.tif");
    assert_int_equal(vt_image_read(&image, path_of("x.tif"), 0, &err), VARIANT_E_FORMAT);
    assert_says(err.message, "a/x.tif: a TIFF, which this build does not read (VARIANT_TIFF=OFF)");
    put_tiff("x");
    assert_int_equal(vt_image_read(&image, path_of("x"), 0, &err), VARIANT_E_FORMAT);
    assert_says(err.message, "a/x: a TIFF, which this build does not read");
}

static void in_folders_they_are_counted(void **state) {
    (void)state;
    vt_dataset *data = NULL;
    put_tiff("x.tif");
    put_tiff("y.TIFF");
    put_tiff("z.tif");
    assert_int_equal(folder_open(&data), VARIANT_E_FORMAT);
    assert_says(err.message, NOTHING);
    assert_says(told,
                "3 files left out: 2 .tif (convert them first), 1 .tiff (convert them first)");
    put_png("p.png");
    assert_int_equal(folder_open(&data), VARIANT_OK);
    assert_int_equal(vt_dataset_count(data), 1);
    vt_dataset_close(&data);
}

static void another_picture_of_that_name_is_taken(void **state) {
    (void)state;
    vt_dataset *data = NULL;
    put_png("really.tif");
    assert_int_equal(folder_open(&data), VARIANT_OK);
    assert_int_equal(vt_dataset_count(data), 1);
    assert_string_equal(told, "");
    vt_dataset_close(&data);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_tiff_is_refused_by_name, setup, teardown),
        cmocka_unit_test_setup_teardown(in_folders_they_are_counted, setup, teardown),
        cmocka_unit_test_setup_teardown(another_picture_of_that_name_is_taken, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

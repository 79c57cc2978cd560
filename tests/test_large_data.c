/* test_large_data.c - folders of more pictures than are decoded at opening: the index that opens them again (picture_index.h), and
 * their batches, read ahead (ahead.h). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/dataset.h"
#include "io/file.h"
#include "io/picture_index.h"
#include "train/ahead.h"

#define LINKS 10010 /* of each of two pictures; with two of their own 20022 */
#define ALL (2 * LINKS + 2)
#define SIDE 4

static char folder[64];
static variant_error err;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)

static const char *in_folder(const char *name) {
    static char paths[4][320];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static void put_picture(const char *name, int value) {
    vt_image image;
    assert_ok(vt_image_new(&image, SIDE, SIDE, 1, &err));
    for (int i = 0; i < SIDE * SIDE; i++) image.data[i] = (uint8_t)(value + i);
    assert_ok(vt_image_write_png(&image, in_folder(name), NULL, 0, &err));
    vt_image_free(&image);
}

/* The file becomes something else, where it lies. */
static void overwrite(const char *name) {
    FILE *file = fopen(in_folder(name), "r+b");
    assert_non_null(file);
    assert_int_equal(fwrite("no picture any more", 1, 19, file), 19);
    assert_int_equal(fclose(file), 0);
}

static int setup(void **state) {
    (void)state;
    char from[160], to[160];
    strcpy(folder, "/tmp/variant-large-XXXXXX");
    if (!mkdtemp(folder)) return -1;
    for (int c = 0; c < 2; c++) {
        const char class = (char)('a' + c);
        snprintf(from, sizeof from, "d/%c", class);
        assert_ok(variant_folder_make(in_folder(from), &err));
        snprintf(from, sizeof from, "d/%c/00000.png", class);
        put_picture(from, 60 * c);
        snprintf(to, sizeof to, "d/%c/own.png", class);
        put_picture(to, 100 + 60 * c);
        snprintf(from, sizeof from, "%s/d/%c/00000.png", folder, class);
        for (int i = 1; i < LINKS; i++) {
            snprintf(to, sizeof to, "%s/d/%c/%05d.png", folder, class, i);
            if (link(from, to) != 0) return -1;
        }
    }
    return 0;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

/* ---- the index ---- */

/* Opens the folder by the index at `path` (NULL: by none) and saves it again. */
static vt_dataset *open_by(const char *path) {
    vt_picture_index *index = NULL;
    vt_dataset *dataset = NULL;
    vt_dataset_options options = {
        .data = {.paths = {in_folder("d")}, .count = 1}, .side = SIDE, .channels = 1};
    if (path) assert_ok(vt_picture_index_open(&index, path, true, &err));
    options.index = index;
    assert_ok(vt_dataset_open(&dataset, &options, &err));
    if (index) assert_ok(vt_picture_index_save(index, path, &err));
    vt_picture_index_close(&index);
    return dataset;
}

static int count_by(const char *path) {
    vt_dataset *dataset = open_by(path);
    const int count = vt_dataset_count(dataset);
    vt_dataset_close(&dataset);
    return count;
}

static int index_of(const vt_dataset *dataset, const char *end) {
    for (int i = 0; i < vt_dataset_count(dataset); i++) {
        char *name = vt_dataset_picture_name(dataset, i);
        const bool is =
            strlen(name) >= strlen(end) && strcmp(name + strlen(name) - strlen(end), end) == 0;
        free(name);
        if (is) return i;
    }
    fail_msg("no picture %s", end);
    return -1;
}

static char known_path[160]; /* of an index */
static uint64_t hash;        /* of the folder, as it was read without one */

static void young_folders_are_not_kept(void **state) {
    (void)state;
    snprintf(known_path, sizeof known_path, "%s/known.index", folder);
    assert_int_equal(count_by(known_path), ALL);
    assert_int_not_equal(access(known_path, F_OK), 0);
    usleep(3100000);
    vt_dataset *plain = open_by(known_path);
    hash = vt_dataset_hash(plain);
    assert_int_equal(access(known_path, F_OK), 0);
    vt_dataset_close(&plain);
}

static void index_that_does_not_fit_is_none(void **state) {
    (void)state;
    vt_picture_index *index = NULL;
    vt_mapping map;
    assert_ok(vt_mapping_open(&map, known_path, &err));
    const size_t size = map.size;
    uint8_t *bytes = malloc(size);
    memcpy(bytes, map.data, size);
    vt_mapping_close(&map);
    const size_t places[] = {size / 2, size - 1}; /* a name, a fact */
    for (int i = 0; i < 2; i++) {
        bytes[places[i]] ^= 1;
        assert_ok(vt_file_write(known_path, bytes, size, &err));
        bytes[places[i]] ^= 1;
        vt_dataset *read = open_by(known_path);
        assert_int_equal(vt_dataset_hash(read), hash);
        vt_dataset_close(&read);
    }
    assert_ok(vt_file_write(known_path, bytes, size / 2, &err));
    assert_int_equal(vt_picture_index_open(&index, known_path, true, &err), VARIANT_E_ARGUMENT);
    vt_picture_index_close(&index);
    assert_ok(vt_picture_index_open(&index, known_path, false, &err));
    vt_picture_index_close(&index);
    assert_ok(vt_file_write(known_path, bytes, size, &err));
    free(bytes);
}

static void index_holds_until_a_folder_changes(void **state) {
    (void)state;
    vt_dataset *known = open_by(known_path);
    assert_int_equal(vt_dataset_hash(known), hash);
    assert_int_equal(vt_dataset_classes(known), 2);
    const int own = index_of(known, "/a/own.png");
    const uint64_t stamp = vt_dataset_stamp(known, own);
    vt_dataset_close(&known);

    overwrite("d/a/own.png"); /* which the folder's times do not tell */
    known = open_by(known_path);
    assert_int_equal(vt_dataset_count(known), ALL);
    assert_int_not_equal(vt_dataset_stamp(known, own), stamp);
    float out[SIDE * SIDE];
    assert_int_equal(vt_dataset_read(known, own, (vt_crop){0.5, 0.5, false}, out, &err),
                     VARIANT_E_FORMAT);
    vt_dataset_close(&known);
    assert_int_equal(count_by(NULL), ALL - 1);

    assert_int_equal(unlink(in_folder("d/b/00007.png")), 0);
    assert_int_equal(count_by(known_path), ALL - 2);
}

/* ---- reading ahead ---- */

#define BATCH 8

static int noted;

static void note(void *user, const char *line) {
    (void)user;
    assert_non_null(strstr(line, "own.png"));
    noted++;
}

static vt_pictures pictures_of(const vt_dataset *dataset) {
    vt_pictures pictures;
    const vt_pictures_options options = {
        .dataset = dataset, .side = SIDE, .channels = 1, .note = note};
    assert_ok(vt_pictures_open(&pictures, &options, &err));
    return pictures;
}

/* What reading each step there and then gives, against what was read ahead; *told: after how many steps a note came. slices: of a batch; 0: nothing is read ahead. */
static void follow(const vt_dataset *dataset, const int64_t *steps, int count, int *told,
                   int slices) {
    enum { NUMBERS = BATCH * SIDE * SIDE };
    const vt_slice whole = {.count = BATCH, .of = BATCH};
    const bool read_ahead = slices > 0;
    const int parts = read_ahead ? slices : 1;
    vt_pictures pictures = pictures_of(dataset);
    vt_batches batches, plain;
    vt_ahead *ahead = NULL;
    float expected[NUMBERS], got[NUMBERS];
    assert_ok(vt_batches_open(&batches, pictures.count, BATCH, true, 0, 7, &err));
    assert_ok(vt_batches_open(&plain, pictures.count, BATCH, true, 0, 7, &err));
    if (read_ahead)
        assert_ok(vt_ahead_open(&ahead, &pictures, BATCH, vt_slice_most(&whole, parts), 2, &err));
    noted = 0;
    *told = -1;
    for (int i = 0; i < count; i++) {
        vt_batches_select(&batches, steps[i]);
        for (int j = 0; j < parts; j++) {
            const bool same = j + 1 < parts;
            const vt_ahead_place at = {steps[i], vt_slice_part(&whole, parts, j)};
            const vt_ahead_place next = {steps[i] + !same,
                                         vt_slice_part(&whole, parts, same ? j + 1 : 0)};
            assert_ok(vt_ahead_read(ahead, &pictures, &batches, &at, &next,
                                    got + at.slice.first * SIDE * SIDE, &err));
        }
        if (noted && *told < 0) *told = i;
        usleep(2000); /* the step computes */
        assert_int_equal(noted > 0, *told >= 0);
        vt_pictures quiet = pictures;
        quiet.note = NULL;
        vt_batches_select(&plain, steps[i]);
        assert_ok(vt_pictures_read(&quiet, plain.picks, BATCH, expected, &err));
        assert_memory_equal(got, expected, sizeof got);
        assert_memory_equal(batches.picks, plain.picks, BATCH * sizeof *plain.picks);
    }
    vt_ahead_close(&ahead);
    vt_batches_close(&batches);
    vt_batches_close(&plain);
    vt_pictures_close(&pictures);
}

/* The first step, behind the third, that shows the position. */
static int64_t step_of(int count, int position) {
    vt_batches batches;
    assert_ok(vt_batches_open(&batches, count, BATCH, true, 0, 7, &err));
    int64_t found = -1;
    for (int64_t step = 3; found < 0; step++) {
        vt_batches_select(&batches, step);
        for (int i = 0; i < BATCH; i++)
            if (batches.picks[i].position == position) found = step;
    }
    vt_batches_close(&batches);
    return found;
}

static void ahead_gives_what_is_there(void **state) {
    (void)state;
    vt_dataset *dataset = open_by(NULL);
    const int count = vt_dataset_count(dataset), last = count / BATCH - 1;
    const int64_t shown = step_of(count, index_of(dataset, "/b/own.png"));
    /* on, back, and over the end of an epoch */
    const int64_t steps[] = {shown - 2, shown - 1, shown, shown + 1, shown - 1,
                             shown,     last - 1,  last,  last + 1,  last + 2};
    const int all = (int)(sizeof steps / sizeof *steps);
    int told;
    assert_true(vt_dataset_reads_files(dataset));
    follow(dataset, steps, all, &told, 1);
    assert_int_equal(told, -1);
    overwrite("d/b/own.png");
    follow(dataset, steps, all, &told, 0);
    assert_int_equal(told, 2);
    for (int slices = 1; slices <= 3; slices += 2) {
        follow(dataset, steps, all, &told, slices);
        assert_int_equal(told, 2);
    }
    vt_dataset_close(&dataset);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(young_folders_are_not_kept),
        cmocka_unit_test(index_that_does_not_fit_is_none),
        cmocka_unit_test(index_holds_until_a_folder_changes),
        cmocka_unit_test(ahead_gives_what_is_there),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}

/* test_dataset.c - labelled pictures out of folders and IDX files. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <cmocka.h>

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "io/dataset.h"
#include "io/file.h"

#define FASHION "/usr/share/datasets/fashion-mnist"

static char folder[64];
static variant_error err;
static char warned[1024];
static int warnings;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)

static const char *in_folder(const char *name) {
    static char paths[4][160];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int setup(void **state) {
    (void)state;
    warnings = 0;
    warned[0] = '\0';
    strcpy(folder, "/tmp/variant-dataset-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state) {
    (void)state;
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    return system(command);
}

static void warn(void *user, const char *line) {
    assert_ptr_equal(user, folder);
    snprintf(warned, sizeof warned, "%s", line);
    warnings++;
}

static vt_dataset_options options_of(const char *path, bool test_split, int side, int channels) {
    vt_data data = {.paths = {path}, .count = 1};
    data.split = test_split ? VT_SPLIT_TEST : VT_SPLIT_TRAIN;
    return (vt_dataset_options){
        .data = data, .side = side, .channels = channels, .warn = warn, .user = folder};
}

static variant_status open_at(vt_dataset **out, const char *path, bool test_split, int side,
                              int channels) {
    vt_dataset_options options = options_of(path, test_split, side, channels);
    return vt_dataset_open(out, &options, &err);
}

/* A picture whose samples are value + x + 10 y + 100 channel. */
static void put_picture(const char *name, int width, int height, int channels, int value) {
    vt_image image;
    assert_ok(vt_image_new(&image, width, height, channels, &err));
    for (int i = 0; i < width * height * channels; i++) {
        int c = i % channels, x = i / channels % width, y = i / channels / width;
        image.data[i] = (uint8_t)(value + x + 10 * y + 100 * c);
    }
    char *path = strdup(in_folder(name));
    char *slash = strrchr(path, '/');
    *slash = '\0';
    assert_ok(variant_folder_make(path, &err));
    *slash = '/';
    assert_ok(vt_image_write_png(&image, path, NULL, 0, &err));
    free(path);
    vt_image_free(&image);
}

static void assert_value(float value, int sample) {
    float difference = value - (float)(sample / 127.5 - 1.0);
    if (difference > 1e-6f || difference < -1e-6f)
        fail_msg("%g, expected sample %d", value, sample);
}

/* ---- folders ---- */

static void folder_of_classes(void **state) {
    (void)state;
    put_picture("b dogs/2.png", 4, 4, 3, 20);
    put_picture("b dogs/10.PNG", 4, 4, 3, 10);
    put_picture("a cats/x.jpeg", 4, 4, 1, 50); /* by content a PNG */
    put_picture("Zebras/z.png", 8, 4, 3, 5);
    put_picture(".hidden/h.png", 4, 4, 3, 0);
    assert_ok(variant_folder_make(in_folder("empty class"), &err));
    assert_ok(vt_file_write(in_folder("b dogs/notes.txt"), "hi", 2, &err));
    assert_ok(vt_file_write(in_folder("a cats/broken.jpg"), "\xFF\xD8\xFF\xE0 no more", 12, &err));
    assert_ok(vt_file_write(in_folder("a cats/void.png"), "", 0, &err));
    put_picture("b dogs/15.png", 30, 30, 3, 9);
    assert_int_equal(truncate(in_folder("b dogs/15.png"), 60),
                     0); /* a good header, half a picture */

    vt_dataset *d = NULL;
    assert_ok(open_at(&d, folder, false, 4, 3));
    assert_int_equal(vt_dataset_count(d), 4);
    assert_int_equal(vt_dataset_skipped(d), 3);
    assert_int_equal(warnings, 5); /* three broken, the empty class, notes.txt */
    assert_non_null(strstr(warned, "b dogs/15.png"));
    assert_null(strchr(warned, '\n'));
    assert_int_equal(vt_dataset_native_side(d), 0);

    const char *names[] = {"Zebras", "a cats", "b dogs"}; /* no empty class */
    int sizes[] = {1, 1, 2};
    assert_int_equal(vt_dataset_classes(d), 3);
    for (int i = 0; i < 3; i++) {
        assert_string_equal(vt_dataset_class_name(d, i), names[i]);
        assert_int_equal(vt_dataset_class_size(d, i), sizes[i]);
    }
    assert_null(vt_dataset_class_name(d, 3));
    const char *files[] = {"Zebras/z.png", "a cats/x.jpeg", "b dogs/10.PNG", "b dogs/2.png"};
    int labels[] = {0, 1, 2, 2};
    for (int i = 0; i < 4; i++) {
        assert_int_equal(vt_dataset_label(d, i), labels[i]);
        char *name = vt_dataset_picture_name(d, i);
        assert_string_equal(name, in_folder(files[i]));
        free(name);
    }

    float out[4 * 4 * 3];
    vt_crop crop = {0.5, 0.5, false};
    assert_ok(vt_dataset_read(d, 3, crop, out, &err));
    for (int i = 0; i < 48; i++)
        assert_value(out[i], 20 + i / 3 % 4 + 10 * (i / 12) + 100 * (i % 3));
    assert_ok(vt_dataset_read(d, 1, crop, out, &err)); /* grey repeated */
    for (int i = 0; i < 48; i++) assert_value(out[i], 50 + i / 3 % 4 + 10 * (i / 12));
    crop.flip = true;
    crop.fx = 1.0;
    assert_ok(vt_dataset_read(d, 0, crop, out, &err)); /* the right half of 8 x 4, mirrored */
    for (int i = 0; i < 48; i++)
        assert_value(out[i], 5 + 4 + 3 - i / 3 % 4 + 10 * (i / 12) + 100 * (i % 3));
    assert_int_equal(vt_dataset_read(d, 4, crop, out, &err), VARIANT_E_ARGUMENT);
    crop.fx = 1.5;
    assert_int_equal(vt_dataset_read(d, 0, crop, out, &err), VARIANT_E_ARGUMENT);
    vt_dataset_close(&d);
    assert_null(d);
    vt_dataset_close(&d);
}

static void folder_grey_and_short_side(void **state) {
    (void)state;
    put_picture("a/1.png", 12, 9, 3, 0);
    vt_dataset *d = NULL;
    vt_dataset_options options = options_of(folder, false, 4, 1);
    options.short_side = 6;
    assert_ok(vt_dataset_open(&d, &options, &err));
    vt_image whole = {0}, scaled = {0};
    assert_ok(vt_image_read(&whole, in_folder("a/1.png"), 1, &err));
    assert_ok(vt_image_fit(&scaled, &whole, 6, 1, 0, false, &err)); /* columns 2..7 of 8 x 6 */
    float out[16];
    assert_ok(
        vt_dataset_read(d, 0, (vt_crop){0.5, 1, false}, out, &err)); /* columns 2..5, rows 2..5 */
    for (int i = 0; i < 16; i++) assert_value(out[i], scaled.data[(2 + i / 4) * 6 + i % 4]);
    vt_image_free(&whole);
    vt_image_free(&scaled);
    vt_dataset_close(&d);
    options.short_side = 3;
    assert_int_equal(vt_dataset_open(&d, &options, &err), VARIANT_E_ARGUMENT);
}

/* A picture too long to be kept scaled is read again, with what vt_image_fit gives. */
static void folder_picture_not_kept(void **state) {
    (void)state;
    put_picture("a/long.png", 3000, 1, 1, 0);
    vt_dataset *d = NULL;
    assert_ok(open_at(&d, folder, false, 16, 1));
    vt_image whole = {0}, fitted = {0};
    assert_ok(vt_image_read(&whole, in_folder("a/long.png"), 1, &err));
    assert_ok(vt_image_fit(&fitted, &whole, 16, 0.25, 0, true, &err));
    float out[256];
    assert_ok(vt_dataset_read(d, 0, (vt_crop){0.25, 0, true}, out, &err));
    for (int i = 0; i < 256; i++) assert_value(out[i], fitted.data[i]);
    vt_image_free(&whole);
    vt_image_free(&fitted);
    assert_int_equal(truncate(in_folder("a/long.png"), 60), 0);
    assert_int_equal(vt_dataset_read(d, 0, (vt_crop){0, 0, false}, out, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "long.png"));
    vt_dataset_close(&d);
}

static void folder_splits(void **state) {
    (void)state;
    put_picture("train/a/1.png", 4, 4, 1, 0);
    put_picture("train/b/1.png", 4, 4, 1, 0);
    put_picture("train/c/1.png", 4, 4, 1, 0);
    put_picture("val/c/7.png", 4, 4, 1, 0);
    vt_dataset *d = NULL;
    assert_ok(open_at(&d, folder, false, 4, 1));
    assert_int_equal(vt_dataset_count(d), 3);
    vt_dataset_close(&d);
    assert_ok(open_at(&d, folder, true, 4, 1));
    assert_int_equal(vt_dataset_count(d), 1);
    assert_int_equal(vt_dataset_classes(d), 3); /* numbered as in training */
    assert_int_equal(vt_dataset_label(d, 0), 2);
    vt_dataset_close(&d);
    put_picture("test/new/7.png", 4, 4, 1, 0); /* test goes before val */
    assert_int_equal(open_at(&d, folder, true, 4, 1), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "test/new"));
    assert_null(d);
    assert_int_equal(open_at(&d, in_folder("train"), true, 4, 1), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "no test split"));
}

static void folder_without_pictures(void **state) {
    (void)state;
    vt_dataset *d = NULL;
    assert_int_equal(open_at(&d, folder, false, 4, 1), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, folder));
    assert_non_null(strstr(err.message, "train-images-idx3-ubyte.gz"));
    assert_ok(variant_folder_make(in_folder("a"), &err));
    assert_ok(vt_file_write(in_folder("a/x.png"), "no", 2, &err));
    assert_int_equal(open_at(&d, folder, false, 4, 1), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "can be read"));
    assert_int_equal(open_at(&d, in_folder("nothing"), false, 4, 1), VARIANT_E_IO);
    assert_int_equal(open_at(&d, in_folder("a/x.png"), false, 4, 1), VARIANT_E_ARGUMENT);
    assert_int_equal(open_at(&d, folder, false, 0, 1), VARIANT_E_ARGUMENT);
    assert_int_equal(open_at(&d, folder, false, 4, 2), VARIANT_E_ARGUMENT);
    vt_dataset_options options = options_of(folder, false, 4, 1);
    assert_int_equal(vt_dataset_open(&d, &options, NULL), VARIANT_E_FORMAT);
    assert_null(d);
}

/* ---- pictures in memory ---- */

enum { HELD = 40 };

/* A folder's pictures, all of one class, and the same in one array. */
static void memory_reads_as_a_folder(void **state) {
    (void)state;
    static uint8_t pixels[2 * 6 * 4 * 3];
    static const char *const names[] = {"one"};
    for (int n = 0; n < 2; n++) {
        put_picture(n ? "one/1.png" : "one/0.png", 6, 4, 3, 7 * n);
        for (int i = 0; i < 6 * 4 * 3; i++)
            pixels[n * 6 * 4 * 3 + i] =
                (uint8_t)(7 * n + i / 3 % 6 + 10 * (i / 3 / 6) + 100 * (i % 3));
    }
    vt_dataset_options options = options_of(folder, false, 3, 3);
    vt_dataset *from_folder = NULL, *from_memory = NULL;
    assert_ok(vt_dataset_open(&from_folder, &options, &err));
    options.data =
        (vt_data){.array = {.pixels = pixels, .count = 2, .width = 6, .height = 4, .channels = 3},
                  .class_names = names,
                  .class_count = 1};
    assert_ok(vt_dataset_open(&from_memory, &options, &err));
    assert_string_equal(vt_dataset_class_name(from_memory, 0), "one");
    assert_true(vt_dataset_flat(from_memory));
    assert_true(vt_dataset_bytes(from_memory) < vt_dataset_bytes(from_folder)); /* no copy */
    for (int n = 0; n < 2; n++) {
        float a[3 * 3 * 3], b[3 * 3 * 3];
        const vt_crop crop = {0.25, 0.75, n};
        assert_ok(vt_dataset_read(from_folder, n, crop, a, &err));
        assert_ok(vt_dataset_read(from_memory, n, crop, b, &err));
        assert_memory_equal(a, b, sizeof a);
    }
    const uint64_t hash = vt_dataset_hash(from_memory);
    vt_dataset_close(&from_memory);
    pixels[5] ^= 1;
    assert_ok(vt_dataset_open(&from_memory, &options, &err));
    assert_true(vt_dataset_hash(from_memory) != hash);
    vt_dataset_close(&from_memory);
    vt_dataset_close(&from_folder);
}

static int count_of(vt_split split, const vt_data *data) {
    vt_dataset_options options = {.data = *data, .side = 4, .warn = warn, .user = folder};
    vt_dataset *d = NULL;
    options.data.split = split;
    if (vt_dataset_open(&d, &options, &err) != VARIANT_OK) return -1;
    const int count = vt_dataset_count(d);
    assert_int_equal(vt_dataset_channels(d), 1);
    assert_int_equal(vt_dataset_classes(d), data->class_count);
    vt_dataset_close(&d);
    return count;
}

/* Which pictures are whose, with test pictures, with some held out, and with neither. */
static void memory_splits(void **state) {
    (void)state;
    static uint8_t pixels[HELD * 4 * 4];
    int32_t labels[HELD];
    for (int i = 0; i < HELD; i++) labels[i] = i % 2;
    vt_data data = {
        .array = {pixels, HELD, 4, 4, 1, labels}, .class_count = 3, .holdout = VT_HOLDOUT};
    const int train = count_of(VT_SPLIT_TRAIN, &data), test = count_of(VT_SPLIT_TEST, &data);
    assert_true(test >= 1 && train > test);
    assert_int_equal(train + test, HELD);
    assert_int_equal(count_of(VT_SPLIT_ALL, &data), HELD);
    data.holdout = 0;
    assert_int_equal(count_of(VT_SPLIT_TRAIN, &data), HELD);
    assert_int_equal(count_of(VT_SPLIT_TEST, &data), -1);
    assert_non_null(strstr(err.message, "no test pictures"));
    data.test_array = (vt_array){pixels, 5, 4, 4, 1, labels};
    assert_int_equal(count_of(VT_SPLIT_TRAIN, &data), HELD);
    assert_int_equal(count_of(VT_SPLIT_TEST, &data), 5);
    assert_int_equal(count_of(VT_SPLIT_ALL, &data), HELD + 5);
}

static void hash_tells_datasets_apart(void **state) {
    (void)state;
    put_picture("a/1.png", 4, 4, 1, 0);
    put_picture("b/1.png", 4, 4, 1, 0);
    uint64_t hashes[4];
    vt_dataset *d = NULL;
    for (int i = 0; i < 4; i++) {
        if (i == 3) put_picture("b/2.png", 4, 4, 1, 0);
        assert_ok(open_at(&d, folder, false, i == 1 ? 3 : 4, i == 2 ? 3 : 1));
        hashes[i] = vt_dataset_hash(d);
        vt_dataset_close(&d);
        for (int j = 0; j < i; j++) assert_true(hashes[i] != hashes[j]);
    }
    assert_ok(open_at(&d, folder, false, 4, 1));
    assert_true(vt_dataset_hash(d) == hashes[3]);
    vt_dataset_close(&d);
}

/* ---- IDX ---- */

/* Five pictures of 3 wide and 2 high, sample = 10 picture + place; labels 0 2 1 2 11. */
static const uint8_t tiny_labels[] = {0, 0, 8, 1, 0, 0, 0, 5, 0, 2, 1, 2, 11};

static size_t tiny_pictures(uint8_t *out) {
    memcpy(out, (uint8_t[]){0, 0, 8, 3, 0, 0, 0, 5, 0, 0, 0, 2, 0, 0, 0, 3}, 16);
    for (int i = 0; i < 30; i++) out[16 + i] = (uint8_t)(10 * (i / 6) + i % 6);
    return 46;
}

static void put_gz(const char *name, const uint8_t *bytes, size_t size) {
    gzFile f = gzopen(in_folder(name), "wb9");
    assert_non_null(f);
    assert_int_equal(gzwrite(f, bytes, (unsigned)size), size);
    assert_int_equal(gzclose(f), Z_OK);
}

static void put_tiny(void) {
    uint8_t pictures[64];
    put_gz("train-images-idx3-ubyte.gz", pictures, tiny_pictures(pictures));
    put_gz("train-labels-idx1-ubyte.gz", tiny_labels, sizeof tiny_labels);
}

static void check_tiny(const char *path, bool test_split) {
    vt_dataset *d = NULL;
    assert_ok(open_at(&d, path, test_split, 5, 3));
    assert_int_equal(vt_dataset_count(d), 5);
    assert_int_equal(vt_dataset_classes(d), 4); /* gaps between labels are no classes */
    assert_int_equal(vt_dataset_class_size(d, 2), 2);
    assert_int_equal(vt_dataset_label(d, 4), 3);
    assert_string_equal(vt_dataset_class_name(d, 0), "0");
    assert_string_equal(vt_dataset_class_name(d, 3), "11");
    assert_int_equal(vt_dataset_native_side(d), 3);
    float out[75];
    vt_crop crops[] = {{0.5, 0.5, false}, {0, 0, false}, {1, 1, true}};
    int left[] = {1, 0, 0 /* 2 mirrored */}, top[] = {1, 0, 3};
    for (int n = 0; n < 3; n++) {
        assert_ok(vt_dataset_read(d, 3, crops[n], out, &err));
        for (int i = 0; i < 75; i++) {
            int x = i / 3 % 5 - left[n], y = i / 15 - top[n];
            bool inside = x >= 0 && x < 3 && y >= 0 && y < 2;
            assert_value(out[i], inside ? 30 + 3 * y + (n == 2 ? 2 - x : x) : 0);
        }
    }
    vt_dataset_close(&d);

    assert_ok(
        open_at(&d, path, test_split, 2, 1)); /* larger than asked for: the middle 2 of 3 columns */
    assert_ok(vt_dataset_read(d, 1, (vt_crop){1, 0, false}, out, &err));
    int fitted[] = {11, 12, 14, 15};
    for (int i = 0; i < 4; i++) assert_value(out[i], fitted[i]);
    vt_dataset_close(&d);
}

static void idx_tiny(void **state) {
    (void)state;
    put_tiny();
    check_tiny(folder, false);
    check_tiny(in_folder("train-images-idx3-ubyte.gz"), false);
    vt_dataset *d = NULL;
    assert_int_equal(open_at(&d, folder, true, 5, 1), VARIANT_E_IO);
    assert_non_null(strstr(err.message, "t10k-images-idx3-ubyte.gz"));

    uint8_t pictures[64]; /* the test split not gzipped, and a prefix */
    size_t size = tiny_pictures(pictures);
    assert_ok(vt_file_write(in_folder("t10k-images-idx3-ubyte"), pictures, size, &err));
    assert_ok(
        vt_file_write(in_folder("t10k-labels-idx1-ubyte"), tiny_labels, sizeof tiny_labels, &err));
    check_tiny(folder, true);
    check_tiny(in_folder("t10k-images-idx3-ubyte"), true);
    check_tiny(in_folder("t10k-images-idx3-ubyte"), false);
    assert_ok(vt_file_write(in_folder("my-train-images-idx3-ubyte"), pictures, size, &err));
    put_gz("my-train-labels-idx1-ubyte.gz", tiny_labels, sizeof tiny_labels);
    check_tiny(in_folder("my-"), false);
    assert_int_equal(open_at(&d, in_folder("my-train-images-idx3-ubyte"), true, 5, 1),
                     VARIANT_E_ARGUMENT);
}

static void idx_refused(const char *name, const uint8_t *bytes, size_t size, const char *expected) {
    put_tiny();
    assert_ok(vt_file_write(in_folder(name), bytes, size, &err));
    vt_dataset *d = NULL;
    variant_status status = open_at(&d, folder, false, 4, 1);
    if (status != VARIANT_E_FORMAT) fail_msg("%s of %zu bytes: status %d", name, size, status);
    if (!strstr(err.message, name) || !strstr(err.message, expected)) fail_msg("%s", err.message);
    assert_null(d);
}

static void idx_damaged(void **state) {
    (void)state;
    put_tiny();
    uint8_t packed[512], pictures[64], labels[16];
    FILE *f = fopen(in_folder("train-images-idx3-ubyte.gz"), "rb");
    size_t size = fread(packed, 1, sizeof packed, f);
    fclose(f);
    for (size_t length = 0; length < size; length++) { /* 0: an empty file */
        idx_refused("train-images-idx3-ubyte.gz", packed, length, "");
    }
    packed[size - 6] ^= 1; /* the checksum */
    idx_refused("train-images-idx3-ubyte.gz", packed, size, "damaged gzip");

    size = tiny_pictures(pictures); /* plain bytes under the same name */
    for (size_t length = 0; length < size; length++) {
        idx_refused("train-images-idx3-ubyte.gz", pictures, length, "truncated");
    }
    idx_refused("train-images-idx3-ubyte.gz", pictures, size + 1, "bytes left");
    pictures[2] = 9;
    idx_refused("train-images-idx3-ubyte.gz", pictures, size, "not an IDX file");
    pictures[2] = 8;
    pictures[3] = 1;
    idx_refused("train-images-idx3-ubyte.gz", pictures, size, "3 dimensions");
    pictures[3] = 3;
    memset(pictures + 4, 0x7F, 4); /* two thousand million pictures in 46 bytes */
    idx_refused("train-images-idx3-ubyte.gz", pictures, size, "announced");
    memset(pictures + 4, 0, 4);
    idx_refused("train-images-idx3-ubyte.gz", pictures, size, "dimension 0");
    tiny_pictures(pictures);
    pictures[12] = 0x80;
    idx_refused("train-images-idx3-ubyte.gz", pictures, size, "dimension 2");

    memcpy(labels, tiny_labels, sizeof tiny_labels);
    labels[7] = 4;
    idx_refused("train-labels-idx1-ubyte.gz", labels, 12, "4 labels for 5 pictures");
    idx_refused("train-labels-idx1-ubyte.gz", tiny_labels, 12, "truncated");

    put_tiny();
    assert_int_equal(remove(in_folder("train-labels-idx1-ubyte.gz")), 0);
    vt_dataset *d = NULL;
    assert_int_equal(open_at(&d, folder, false, 4, 1), VARIANT_E_IO);
    assert_non_null(strstr(err.message, "train-labels-idx1-ubyte.gz"));
}

static void fashion(void **state) {
    (void)state;
    if (access(FASHION "/train-images-idx3-ubyte.gz", R_OK) != 0) {
        print_message("SKIP: " FASHION " is not installed (dataset-fashion-mnist)\n");
        skip();
    }
    /* Under another name it is known by its labels. */
    assert_int_equal(
        symlink(FASHION "/t10k-images-idx3-ubyte.gz", in_folder("t10k-images-idx3-ubyte.gz")), 0);
    assert_int_equal(
        symlink(FASHION "/t10k-labels-idx1-ubyte.gz", in_folder("t10k-labels-idx1-ubyte.gz")), 0);
    const char *paths[] = {FASHION, FASHION, folder};
    for (int n = 0; n < 3; n++) {
        vt_dataset *d = NULL;
        int count = n ? 10000 : 60000;
        assert_ok(open_at(&d, paths[n], n > 0, 32, 1));
        assert_int_equal(vt_dataset_count(d), count);
        assert_int_equal(vt_dataset_classes(d), 10);
        assert_int_equal(vt_dataset_native_side(d), 28);
        for (int i = 0; i < 10; i++) assert_int_equal(vt_dataset_class_size(d, i), count / 10);
        assert_int_equal(vt_dataset_label(d, 0), 9);
        assert_string_equal(vt_dataset_class_name(d, 9), "Ankle boot");
        assert_string_equal(vt_dataset_class_name(d, 0), "T-shirt/top");
        float out[32 * 32], moved[32 * 32];
        float sum = 0;
        assert_ok(vt_dataset_read(d, 0, (vt_crop){0.5, 0.5, false}, out, &err));
        assert_ok(vt_dataset_read(d, 0, (vt_crop){0, 1, false}, moved, &err));
        for (int y = 0; y < 32; y++) {
            for (int x = 0; x < 32; x++) {
                float value = out[y * 32 + x];
                assert_true(value >= -1.0f && value <= 1.0f);
                if (x < 2 || y < 2 || x >= 30 || y >= 30)
                    assert_true(value == -1.0f);
                else
                    assert_true(value == moved[(y + 2) * 32 + x - 2]);
                sum += (value + 1.0f) * 127.5f;
            }
        }
        print_message("%s: %d pictures, first sums to %.0f, hash %016llx\n", paths[n], count, sum,
                      (unsigned long long)vt_dataset_hash(d));
        if (n == 0)
            assert_true(sum > 76246.5f &&
                        sum < 76247.5f); /* as summed over the bytes of the file */
        vt_dataset_close(&d);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(folder_of_classes, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_grey_and_short_side, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_picture_not_kept, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_splits, setup, teardown),
        cmocka_unit_test_setup_teardown(folder_without_pictures, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_reads_as_a_folder, setup, teardown),
        cmocka_unit_test_setup_teardown(memory_splits, setup, teardown),
        cmocka_unit_test_setup_teardown(hash_tells_datasets_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(idx_tiny, setup, teardown),
        cmocka_unit_test_setup_teardown(idx_damaged, setup, teardown),
        cmocka_unit_test_setup_teardown(fashion, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

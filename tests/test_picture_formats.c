/* test_picture_formats.c - the picture formats beside PNG and JPEG, alpha, EXIF's orientations, and headers that
 * announce more than may be decoded. Pictures: tests/golden/pictures. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <jpeglib.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"
#include "io/picture.h"

static variant_error err;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)

static const char *golden(const char *name) {
    static char paths[4][400];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], VARIANT_TEST_DIR "/golden/pictures/%s", name);
    return path;
}

static int largest_difference(const vt_image *a, const vt_image *b) {
    int largest = 0;
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    for (int i = 0; i < a->width * a->height * 3; i++) {
        int difference = abs(a->data[i] - b->data[i]);
        if (difference > largest) largest = difference;
    }
    return largest;
}

static const struct {
    const char *file, *as;
    int tolerance;
    bool turned;
} files[] = {
    {"rgb_lossless.webp", "rgb.png", 0, false},  {"rgb_animated.webp", "rgb.png", 0, false},
    {"rgb_24.bmp", "rgb.png", 0, false},         {"rgb_lzw.tif", "rgb.png", 0, false},
    {"few_interlaced.gif", "few.png", 0, false}, {"few_animated.gif", "few.png", 0, false},
    {"few_8.bmp", "few.png", 0, false},          {"few_palette.tif", "few.png", 0, false},
    {"grey_8.bmp", "grey.png", 0, false},        {"grey_packbits.tif", "grey.png", 0, false},
    {"grey_16.png", "grey.png", 0, false},       {"clear_exact.webp", "clear.png", 0, false},
    {"rgb_32.bmp", "rgb.png", 0, false},         {"clear_lzw.tif", "clear.png", 1, false},
    {"rgb_turned2.png", "rgb.png", 0, true},     {"rgb_turned3.tif", "rgb.png", 0, true},
    {"rgb_turned4.webp", "rgb.png", 0, true},    {"rgb_turned5.png", "rgb.png", 0, true},
    {"rgb_turned6.webp", "rgb.png", 0, true},    {"rgb_turned6.jpg", "rgb.png", 12, true},
    {"rgb_turned7.tif", "rgb.png", 0, true},     {"rgb_turned8.png", "rgb.png", 0, true},
    {"rgb_cmyk.jpg", "rgb.png", 30, false},
};

static void formats_agree(void **state) {
    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof *files; i++) {
        for (vt_alpha alpha = VT_ALPHA_WHITE; alpha <= VT_ALPHA_BLACK; alpha++) {
            vt_image got, want, head;
            vt_picture_facts facts, early;
            assert_ok(vt_picture_read(&got, golden(files[i].file), 3, alpha, &facts, &err));
            assert_ok(vt_picture_read(&want, golden(files[i].as), 3, alpha, NULL, &err));
            int difference = largest_difference(&got, &want);
            if (difference > files[i].tolerance)
                fail_msg("%s: differs by %d from %s", files[i].file, difference, files[i].as);
            assert_int_equal(facts.turned, files[i].turned);
            assert_ok(vt_image_probe(&head, golden(files[i].file), &early, &err));
            assert_null(head.data);
            assert_int_equal(head.width, got.width);
            assert_int_equal(head.height, got.height);
            assert_int_equal(early.turned, files[i].turned);
            assert_true(early.stamp == facts.stamp && facts.content != 0);
            vt_image_free(&got);
            vt_image_free(&want);
        }
    }
}

/* clear.png: alpha 0 for the first seven columns, then 15 x; its hidden red is 17 x. */
static void alpha_three_ways(void **state) {
    (void)state;
    for (vt_alpha alpha = VT_ALPHA_WHITE; alpha <= VT_ALPHA_DROP; alpha++) {
        vt_image image;
        assert_ok(vt_picture_read(&image, golden("clear.png"), 3, alpha, NULL, &err));
        int hidden[] = {255, 0, 17 * 4};
        int ground = alpha == VT_ALPHA_WHITE ? 255 : 0, a = alpha == VT_ALPHA_DROP ? 255 : 150;
        assert_int_equal(image.data[3 * 4], hidden[alpha]);
        assert_int_equal(image.data[3 * 10], (170 * a + ground * (255 - a) + 127) / 255);
        vt_image_free(&image);
    }
}

/* The same samples without Adobe's marker, and read by content under a wrong name. */
static void cmyk_without_marker(void **state) {
    (void)state;
    char path[] = "/tmp/variant-cmyk-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    FILE *stream = fdopen(file, "wb");
    uint8_t row[16 * 4];
    for (int i = 0; i < 16; i++) memcpy(row + 4 * i, (uint8_t[]){200, 100, 50, 128}, 4);
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, stream);
    jpeg.image_width = jpeg.image_height = 16;
    jpeg.input_components = 4;
    jpeg.in_color_space = JCS_CMYK;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 100, TRUE);
    jpeg.write_Adobe_marker = FALSE;
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < 16; y++) jpeg_write_scanlines(&jpeg, (JSAMPROW[]){row}, 1);
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(stream);
    vt_image image;
    assert_ok(vt_image_read(&image, path, 0, &err));
    assert_in_range(image.data[0], 98, 102); /* 200 * 128 / 255 */
    assert_in_range(image.data[2], 23, 27);
    vt_image_free(&image);
    unlink(path);
}

/* ---- damage ---- */

/* Bytes as a file; what comes of reading them. */
static variant_status read_bytes(const uint8_t *bytes, size_t size, vt_image *out) {
    static char path[64];
    if (!path[0]) snprintf(path, sizeof path, "/tmp/variant-formats-%d", (int)getpid());
    FILE *file = fopen(path, "wb"); /* not vt_file_write, which waits for the disk */
    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, size, file), size);
    fclose(file);
    variant_status status = vt_image_read(out, path, 0, &err);
    unlink(path);
    return status;
}

static void damaged_never_crashes(void **state) {
    (void)state;
    int seen[16] = {0};
    for (size_t f = 0; f < sizeof files / sizeof *files; f++) {
        vt_mapping map;
        vt_image out;
        assert_ok(vt_mapping_open(&map, golden(files[f].file), &err));
        uint8_t *bytes = malloc(map.size);
        for (size_t cut = 0; cut < map.size; cut += 7) {
            variant_status status = read_bytes(map.data, cut, &out);
            assert_true(status == VARIANT_OK || status == VARIANT_E_FORMAT);
            assert_true(cut > map.size / 2 || status == VARIANT_E_FORMAT);
            vt_image_free(&out);
        }
        for (size_t bit = 0; bit < 8 * map.size; bit += 23) {
            memcpy(bytes, map.data, map.size);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            variant_status status = read_bytes(bytes, map.size, &out);
            assert_true(status == VARIANT_OK || status == VARIANT_E_FORMAT ||
                        status == VARIANT_E_MEMORY);
            assert_true((status == VARIANT_OK) == (out.data != NULL));
            seen[status]++;
            vt_image_free(&out);
        }
        free(bytes);
        vt_mapping_close(&map);
    }
    assert_true(seen[VARIANT_OK] > 0 && seen[VARIANT_E_FORMAT] > 0);
}

/* Headers that announce 32000 x 32000 are refused by what they say. */
static void bombs_are_refused(void **state) {
    (void)state;
    static const struct {
        const char *file;
        size_t width, height; /* where they stand, two bytes each */
        bool big;             /* most significant byte first */
    } headers[] = {{"rgb_24.bmp", 18, 22, false}, {"few_interlaced.gif", 6, 8, false}};
    for (size_t i = 0; i < sizeof headers / sizeof *headers; i++) {
        vt_mapping map;
        vt_image out;
        assert_ok(vt_mapping_open(&map, golden(headers[i].file), &err));
        uint8_t *bytes = malloc(map.size);
        memcpy(bytes, map.data, map.size);
        memcpy(bytes + headers[i].width, (uint8_t[]){0x00, 0x7D}, 2);
        memcpy(bytes + headers[i].height, (uint8_t[]){0x00, 0x7D}, 2);
        assert_int_equal(read_bytes(bytes, map.size, &out), VARIANT_E_FORMAT);
        assert_non_null(strstr(err.message, "32000 x 32000, expected at most 268435456 pixels"));
        free(bytes);
        vt_mapping_close(&map);
    }
}

/* What a frame has beyond its picture is not decoded without a bound: who bounds the picture's size counts on it. */
static void frames_beyond_their_picture_are_bounded(void **state) {
    (void)state;
    enum { FRAME = 61 }; /* where it stands in the file: the mark, left, top, width, height */
    vt_mapping map;
    vt_image out;
    assert_ok(vt_mapping_open(&map, golden("few_interlaced.gif"), &err));
    uint8_t *bytes = malloc(map.size);
    memcpy(bytes, map.data, map.size);
    assert_int_equal(bytes[FRAME], 0x2C);
    memcpy(bytes + FRAME + 5, (uint8_t[]){0x00, 0x20, 0x01, 0x08}, 4); /* 8192 x 2049 */
    assert_int_equal(read_bytes(bytes, map.size, &out), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "frame of 8192 x 2049 pixels in a picture of 14 x 11"));
    memcpy(bytes + FRAME + 5, (uint8_t[]){0x00, 0x20, 0x00, 0x08},
           4); /* as many as may be: its data end early */
    assert_int_equal(read_bytes(bytes, map.size, &out), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "damaged GIF"));
    free(bytes);
    vt_mapping_close(&map);
}

/* What is no picture is called by its name. */
static void others_are_named(void **state) {
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *words;
    } others[] = {
        {"\0\0\0\x1C"
         "ftypheic\0\0\0\0",
         16, "HEIC"},
        {"\0\0\0\x1C"
         "ftypavif\0\0\0\0",
         16, "AVIF"},
        {"<svg xmlns=\"x\"/>", 16, "SVG"},
        {"<?xml version=\"1.0\"?>\n<svg/>", 28, "SVG"},
        {"version https://git-lfs.github.com/spec/v1\noid", 46, "git lfs pull"},
        {"<!DOCTYPE html><html>", 21, "web page"},
        {"hello", 5, "not a picture, expected PNG, JPEG, WebP, GIF, BMP or TIFF"},
        {"", 0, "empty file"},
    };
    for (size_t i = 0; i < sizeof others / sizeof *others; i++) {
        vt_image out;
        assert_int_equal(read_bytes((const uint8_t *)others[i].bytes, others[i].size, &out),
                         VARIANT_E_FORMAT);
        if (!strstr(err.message, others[i].words)) fail_msg("%s", err.message);
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_beyond_their_picture_are_bounded),
        cmocka_unit_test(formats_agree),
        cmocka_unit_test(alpha_three_ways),
        cmocka_unit_test(cmyk_without_marker),
        cmocka_unit_test(damaged_never_crashes),
        cmocka_unit_test(bombs_are_refused),
        cmocka_unit_test(others_are_named),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

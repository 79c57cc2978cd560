/* test_images.c - pictures: PNG and JPEG in and out, damaged files, fitting, padding and sheets. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <cmocka.h>

#include <dirent.h>
#include <jpeglib.h>
#include <math.h>
#include <png.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "io/file.h"
#include "io/image.h"

static char folder[64];
static variant_error err;

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_status ok_ = (call);                                                               \
        if (ok_ != VARIANT_OK) fail_msg("%s", err.message);                                        \
    } while (0)

static const char *in_folder(const char *name) {
    static char paths[4][384];
    static int next;
    char *path = paths[next++ % 4];
    snprintf(path, sizeof paths[0], "%s/%s", folder, name);
    return path;
}

static int folder_setup(void **state) {
    (void)state;
    strcpy(folder, "/tmp/variant-images-XXXXXX");
    return mkdtemp(folder) ? 0 : -1;
}

static int folder_entries(void) {
    DIR *dir = opendir(folder);
    int count = 0;
    for (struct dirent *e; (e = readdir(dir));)
        count += e->d_name[0] != '.' || strlen(e->d_name) > 2;
    closedir(dir);
    return count;
}

static void folder_empty(void) {
    DIR *dir = opendir(folder);
    for (struct dirent *e; (e = readdir(dir));) {
        if (strcmp(e->d_name, ".") && strcmp(e->d_name, "..")) remove(in_folder(e->d_name));
    }
    closedir(dir);
}

static int folder_teardown(void **state) {
    (void)state;
    folder_empty();
    return rmdir(folder);
}

static uint32_t noise_state = 1;
static uint8_t noise(void) {
    noise_state = noise_state * 1664525u + 1013904223u;
    return (uint8_t)(noise_state >> 24);
}

static vt_image noise_image(int width, int height, int channels) {
    vt_image image;
    assert_ok(vt_image_new(&image, width, height, channels, &err));
    for (int i = 0; i < width * height * channels; i++) image.data[i] = noise();
    return image;
}

static vt_image ramp_image(int width, int height, int channels) {
    vt_image image;
    assert_ok(vt_image_new(&image, width, height, channels, &err));
    for (int y = 0; y < height; y++)
        for (int x = 0; x < width; x++)
            for (int c = 0; c < channels; c++)
                image.data[(y * width + x) * channels + c] = (uint8_t)(c == 0   ? 4 * x
                                                                       : c == 1 ? 4 * y
                                                                                : 2 * (x + y));
    return image;
}

static void assert_same(const vt_image *a, const vt_image *b) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    assert_memory_equal(a->data, b->data, (size_t)(a->width * a->height * a->channels));
}

static uint8_t *file_bytes(const char *path, size_t *size) {
    FILE *f = fopen(path, "rb");
    assert_non_null(f);
    uint8_t *bytes = malloc(1 << 20);
    *size = fread(bytes, 1, 1 << 20, f);
    fclose(f);
    return bytes;
}

static void file_put(const char *path, const uint8_t *bytes, size_t size) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(bytes, 1, size, f), size);
    fclose(f);
}

/* ---- PNG ---- */

static void png_round_trip(void **state) {
    (void)state;
    for (int channels = 1; channels <= 3; channels += 2) {
        for (int width = 1; width <= 65; width += 16) {
            vt_image image = noise_image(width, 66 - width, channels), back = {0}, grey = {0},
                     colour = {0};
            const char *path = in_folder("a.png");
            assert_ok(vt_image_write_png(&image, path, NULL, 0, &err));
            assert_ok(vt_image_read(&back, path, 0, &err));
            assert_same(&image, &back);
            assert_ok(vt_image_read(&grey, path, 1, &err));
            assert_ok(vt_image_read(&colour, path, 3, &err));
            for (int i = 0; i < image.width * image.height; i++) {
                const uint8_t *p = image.data + i * channels;
                if (channels == 1) {
                    assert_int_equal(grey.data[i], p[0]);
                    assert_true(colour.data[3 * i] == p[0] && colour.data[3 * i + 2] == p[0]);
                } else {
                    double luma = 0.299 * p[0] + 0.587 * p[1] + 0.114 * p[2];
                    assert_true(grey.data[i] - luma < 0.501 && luma - grey.data[i] < 0.501);
                    assert_memory_equal(colour.data + 3 * i, p, 3);
                }
            }
            vt_image_free(&image);
            vt_image_free(&back);
            vt_image_free(&grey);
            vt_image_free(&colour);
        }
    }
}

static void png_text_and_bytes(void **state) {
    (void)state;
    vt_image image = noise_image(9, 5, 3);
    vt_image_text text[] = {{"Software", "variant 0.1.0"},
                            {"variant.request", "{\"seed\":7}\nline"},
                            {"Author", "M\xC3\xBCller \xE2\x9C\x93"}};
    const char *one = in_folder("one.png"), *two = in_folder("two.png");
    assert_ok(vt_image_write_png(&image, one, text, 3, &err));
    assert_ok(vt_image_write_png(&image, two, text, 3, &err));
    size_t n1, n2;
    uint8_t *b1 = file_bytes(one, &n1), *b2 = file_bytes(two, &n2);
    assert_int_equal(n1, n2);
    assert_memory_equal(b1, b2, n1);
    assert_non_null(memmem(b1, n1, "tEXtSoftware", 12));
    assert_non_null(memmem(b1, n1, "iTXtAuthor", 10));
    for (int i = 0; i < 3; i++) {
        char *value = NULL;
        assert_ok(vt_image_read_text(&value, one, text[i].key, &err));
        assert_string_equal(value, text[i].value);
        free(value);
    }
    char *none = (char *)1;
    assert_int_equal(vt_image_read_text(&none, one, "Missing", &err), VARIANT_E_FORMAT);
    assert_null(none);
    assert_non_null(strstr(err.message, "one.png"));
    assert_non_null(strstr(err.message, "Missing"));

    vt_image_text bad[] = {{"", "x"},       {" lead", "x"}, {"two  spaces", "x"}, {"line\n", "x"},
                           {"key", "\xFF"}, {"key", NULL},  {"key", "\xC0\x80"}};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        assert_int_equal(vt_image_write_png(&image, one, &bad[i], 1, &err), VARIANT_E_ARGUMENT);
    }
    free(b1);
    free(b2);
    vt_image_free(&image);
}

typedef struct png_case {
    int type, depth, interlace;
    const png_color *palette;
    int palette_count;
    const png_byte *alpha; /* tRNS of a palette */
    int grey_clear;        /* tRNS of grey; -1: none */
    bool text_after;
} png_case;

static void png_put(const char *path, int width, int height, const png_case *how,
                    const uint8_t *rows, size_t stride) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    png_structp png = png_create_write_struct(PNG_LIBPNG_VER_STRING, NULL, NULL, NULL);
    png_infop info = png_create_info_struct(png);
    png_init_io(png, f);
    png_set_IHDR(png, info, (png_uint_32)width, (png_uint_32)height, how->depth, how->type,
                 how->interlace, 0, 0);
    if (how->palette) png_set_PLTE(png, info, how->palette, how->palette_count);
    if (how->alpha) png_set_tRNS(png, info, how->alpha, how->palette_count, NULL);
    png_color_16 clear = {.gray = (png_uint_16)how->grey_clear};
    if (how->grey_clear >= 0) png_set_tRNS(png, info, NULL, 0, &clear);
    png_write_info(png, info);
    png_bytep pointers[64];
    for (int y = 0; y < height; y++) pointers[y] = (png_bytep)rows + (size_t)y * stride;
    png_write_image(png, pointers);
    if (how->text_after) {
        png_text entry = {
            .compression = PNG_TEXT_COMPRESSION_NONE, .key = "Late", .text = "caf\xE9"};
        png_set_text(png, info, &entry, 1);
    }
    png_write_end(png, info);
    png_destroy_write_struct(&png, &info);
    fclose(f);
}

static void png_check(const char *path, int width, int height, int channels,
                      const uint8_t *expected) {
    vt_image image = {0};
    assert_ok(vt_image_read(&image, path, 0, &err));
    vt_image want = {width, height, channels, (uint8_t *)expected};
    assert_same(&image, &want);
    vt_image_free(&image);
}

static uint8_t over_white(int value, int alpha) {
    return (uint8_t)((value * alpha + 255 * (255 - alpha) + 127) / 255);
}

static void png_kinds(void **state) {
    (void)state;
    const char *path = in_folder("kind.png");
    png_case grey16 = {.type = PNG_COLOR_TYPE_GRAY, .depth = 16, .grey_clear = -1};
    png_put(path, 4, 1, &grey16, (uint8_t[]){0x80, 0x80, 0xFF, 0xFF, 0x12, 0x34, 0x01, 0x7F}, 8);
    png_check(path, 4, 1, 1, (uint8_t[]){128, 255, 18, 1});

    png_case rgb16 = {.type = PNG_COLOR_TYPE_RGB, .depth = 16, .grey_clear = -1};
    png_put(path, 1, 1, &rgb16, (uint8_t[]){0, 0, 0x40, 0x40, 0xFF, 0xFE}, 6);
    png_check(path, 1, 1, 3, (uint8_t[]){0, 64, 255});

    png_case grey1 = {.type = PNG_COLOR_TYPE_GRAY, .depth = 1, .grey_clear = -1};
    png_put(path, 10, 1, &grey1, (uint8_t[]){0xA5, 0x40}, 2);
    png_check(path, 10, 1, 1, (uint8_t[]){255, 0, 255, 0, 0, 255, 0, 255, 0, 255});

    png_case grey2 = {.type = PNG_COLOR_TYPE_GRAY, .depth = 2, .grey_clear = 2};
    png_put(path, 4, 1, &grey2, (uint8_t[]){0x1B}, 1);
    png_check(path, 4, 1, 1, (uint8_t[]){0, 85, 255, 255}); /* the clear 170 shows white */

    static const png_color colours[] = {{10, 20, 30}, {200, 100, 50}, {1, 2, 3}, {9, 9, 9}};
    png_case palette = {.type = PNG_COLOR_TYPE_PALETTE,
                        .depth = 2,
                        .palette = colours,
                        .palette_count = 4,
                        .grey_clear = -1};
    png_put(path, 4, 1, &palette, (uint8_t[]){0x1B}, 1);
    png_check(path, 4, 1, 3, (uint8_t[]){10, 20, 30, 200, 100, 50, 1, 2, 3, 9, 9, 9});
    palette.alpha = (const png_byte[]){255, 0, 128, 255};
    png_put(path, 4, 1, &palette, (uint8_t[]){0x1B}, 1);
    png_check(path, 4, 1, 3,
              (uint8_t[]){10, 20, 30, 255, 255, 255, over_white(1, 128), over_white(2, 128),
                          over_white(3, 128), 9, 9, 9});

    png_case grey_alpha = {.type = PNG_COLOR_TYPE_GRAY_ALPHA, .depth = 8, .grey_clear = -1};
    png_put(path, 3, 1, &grey_alpha, (uint8_t[]){100, 255, 100, 0, 100, 77}, 6);
    png_check(path, 3, 1, 1, (uint8_t[]){100, 255, over_white(100, 77)});

    png_case rgba16 = {.type = PNG_COLOR_TYPE_RGB_ALPHA, .depth = 16, .grey_clear = -1};
    png_put(path, 1, 1, &rgba16, (uint8_t[]){40, 40, 80, 80, 120, 120, 51, 51}, 8);
    png_check(path, 1, 1, 3,
              (uint8_t[]){over_white(40, 51), over_white(80, 51), over_white(120, 51)});

    png_case interlaced = {.type = PNG_COLOR_TYPE_RGB,
                           .depth = 8,
                           .interlace = PNG_INTERLACE_ADAM7,
                           .grey_clear = -1,
                           .text_after = true};
    vt_image image = noise_image(13, 11, 3);
    png_put(path, 13, 11, &interlaced, image.data, 39);
    png_check(path, 13, 11, 3, image.data);
    char *late = NULL;
    assert_ok(vt_image_read_text(&late, path, "Late", &err)); /* behind the picture, Latin-1 */
    assert_string_equal(late, "caf\xC3\xA9");
    free(late);
    vt_image_free(&image);
}

/* ---- JPEG ---- */

static void jpeg_put(const char *path, const vt_image *image, J_COLOR_SPACE space,
                     bool progressive) {
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jpeg.err = jpeg_std_error(&errors);
    jpeg_create_compress(&jpeg);
    jpeg_stdio_dest(&jpeg, f);
    jpeg.image_width = (JDIMENSION)image->width;
    jpeg.image_height = (JDIMENSION)image->height;
    jpeg.input_components = image->channels;
    jpeg.in_color_space = space;
    jpeg_set_defaults(&jpeg);
    jpeg_set_quality(&jpeg, 97, TRUE);
    if (progressive) jpeg_simple_progression(&jpeg);
    jpeg_start_compress(&jpeg, TRUE);
    for (int y = 0; y < image->height; y++) {
        JSAMPROW row = image->data + y * image->width * image->channels;
        jpeg_write_scanlines(&jpeg, &row, 1);
    }
    jpeg_finish_compress(&jpeg);
    jpeg_destroy_compress(&jpeg);
    fclose(f);
}

static void assert_near(const vt_image *a, const vt_image *b, int most) {
    assert_int_equal(a->width, b->width);
    assert_int_equal(a->height, b->height);
    assert_int_equal(a->channels, b->channels);
    for (int i = 0; i < a->width * a->height * a->channels; i++) {
        if (abs(a->data[i] - b->data[i]) > most)
            fail_msg("sample %d: %d, expected %d", i, a->data[i], b->data[i]);
    }
}

static void jpeg_kinds(void **state) {
    (void)state;
    const char *path = in_folder("a.jpg");
    for (int progressive = 0; progressive < 2; progressive++) {
        vt_image rgb = ramp_image(37, 29, 3), grey = ramp_image(37, 29, 1), back = {0};
        jpeg_put(path, &rgb, JCS_RGB, progressive);
        assert_ok(vt_image_read(&back, path, 0, &err));
        assert_near(&back, &rgb, 10);
        vt_image_free(&back);
        jpeg_put(path, &grey, JCS_GRAYSCALE, progressive);
        assert_ok(vt_image_read(&back, path, 0, &err));
        assert_near(&back, &grey, 4);
        vt_image_free(&back);
        assert_ok(vt_image_read(&back, path, 3, &err));
        assert_int_equal(back.channels, 3);
        vt_image_free(&back);
        vt_image_free(&rgb);
        vt_image_free(&grey);
    }
    vt_image cmyk = {16, 16, 4, malloc(16 * 16 * 4)}, back = {0};
    for (int i = 0; i < 256; i++) memcpy(cmyk.data + 4 * i, (uint8_t[]){200, 100, 50, 128}, 4);
    jpeg_put(path, &cmyk, JCS_CMYK, false);
    assert_ok(vt_image_read(&back, path, 0, &err));
    assert_int_equal(back.channels, 3);
    assert_in_range(back.data[0], 98, 102); /* 200 * 128 / 255 */
    assert_in_range(back.data[1], 48, 52);
    assert_in_range(back.data[2], 23, 27);
    vt_image_free(&back);
    free(cmyk.data);
}

/* ---- damage ---- */

static void truncated_is_format(void **state) {
    (void)state;
    vt_image image = ramp_image(24, 20, 3), out = {0};
    const char *names[] = {"t.png", "t.jpg", "p.jpg"};
    assert_ok(vt_image_write_png(&image, in_folder(names[0]), NULL, 0, &err));
    jpeg_put(in_folder(names[1]), &image, JCS_RGB, false);
    jpeg_put(in_folder(names[2]), &image, JCS_RGB, true);
    for (int n = 0; n < 3; n++) {
        size_t size;
        uint8_t *bytes = file_bytes(in_folder(names[n]), &size);
        for (size_t length = 0; length < size; length++) {
            file_put(in_folder("cut"), bytes, length);
            variant_status status = vt_image_read(&out, in_folder("cut"), 3, &err);
            if (status != VARIANT_E_FORMAT)
                fail_msg("%s cut to %zu of %zu: status %d", names[n], length, size, status);
            assert_null(out.data);
            assert_non_null(strstr(err.message, "/cut: "));
        }
        free(bytes);
    }
    vt_image_free(&image);
}

static void flipped_never_crashes(void **state) {
    (void)state;
    vt_image image = ramp_image(24, 20, 3), out = {0};
    vt_image_text text = {"Author", "M\xC3\xBCller"};
    const char *names[] = {"f.png", "f.jpg", "g.jpg"};
    assert_ok(vt_image_write_png(&image, in_folder(names[0]), &text, 1, &err));
    jpeg_put(in_folder(names[1]), &image, JCS_RGB, false);
    jpeg_put(in_folder(names[2]), &image, JCS_RGB, true);
    int seen[16] = {0};
    for (int n = 0; n < 3; n++) {
        size_t size;
        uint8_t *bytes = file_bytes(in_folder(names[n]), &size);
        for (size_t bit = 0; bit < 8 * size; bit += 11) {
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            file_put(in_folder("flip"), bytes, size);
            bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
            variant_status status = vt_image_read(&out, in_folder("flip"), 0, &err);
            assert_true(status == VARIANT_OK || status == VARIANT_E_FORMAT ||
                        status == VARIANT_E_MEMORY);
            assert_true((status == VARIANT_OK) == (out.data != NULL));
            seen[status]++;
            vt_image_free(&out);
            char *value = NULL;
            if (n == 0 &&
                vt_image_read_text(&value, in_folder("flip"), "Author", &err) == VARIANT_OK)
                free(value);
        }
        free(bytes);
    }
    assert_true(seen[VARIANT_OK] > 0 && seen[VARIANT_E_FORMAT] > 0);
    print_message("flipped bits: %d read, %d refused\n", seen[VARIANT_OK], seen[VARIANT_E_FORMAT]);
    vt_image_free(&image);
}

static void not_a_picture(void **state) {
    (void)state;
    vt_image out = {0};
    assert_int_equal(vt_image_read(&out, in_folder("none.png"), 0, &err), VARIANT_E_IO);
    assert_non_null(strstr(err.message, "none.png"));
    assert_int_equal(vt_image_read(&out, folder, 0, &err), VARIANT_E_IO);
    file_put(in_folder("text.png"), (const uint8_t *)"hello, world", 12);
    assert_int_equal(vt_image_read(&out, in_folder("text.png"), 0, &err), VARIANT_E_FORMAT);
    assert_int_equal(vt_image_read(&out, in_folder("text.png"), 2, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_read(&out, in_folder("text.png"), 0, NULL), VARIANT_E_FORMAT);

    /* A header that announces 40000 x 1 */
    vt_image image = noise_image(4, 4, 1);
    assert_ok(vt_image_write_png(&image, in_folder("wide.png"), NULL, 0, &err));
    size_t size;
    uint8_t *bytes = file_bytes(in_folder("wide.png"), &size);
    bytes[18] = 0x9C;
    bytes[19] = 0x40;
    png_uint_32 crc = (png_uint_32)crc32(0, bytes + 12, 17);
    for (int i = 0; i < 4; i++) bytes[29 + i] = (uint8_t)(crc >> (24 - 8 * i));
    file_put(in_folder("wide.png"), bytes, size);
    assert_int_equal(vt_image_read(&out, in_folder("wide.png"), 0, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, "40000"));
    free(bytes);
    vt_image_free(&image);
}

static void failed_write_leaves_nothing(void **state) {
    (void)state;
    folder_empty();
    vt_image image = noise_image(200, 200, 3), small = noise_image(2, 2, 1), back = {0};
    assert_int_equal(vt_image_write_png(&small, in_folder("no/such/folder.png"), NULL, 0, &err),
                     VARIANT_E_IO);
    assert_non_null(strstr(err.message, "no/such/folder.png"));
    assert_int_equal(folder_entries(), 0);

    if (geteuid() != 0) { /* root may write anywhere */
        assert_int_equal(chmod(folder, 0500), 0);
        assert_int_equal(vt_image_write_png(&small, in_folder("a.png"), NULL, 0, &err),
                         VARIANT_E_IO);
        assert_int_equal(chmod(folder, 0700), 0);
        assert_int_equal(folder_entries(), 0);
    }

    /* A disk that is full half-way: what was there before stays. */
    assert_ok(vt_image_write_png(&small, in_folder("a.png"), NULL, 0, &err));
    struct rlimit before, low;
    getrlimit(RLIMIT_FSIZE, &before);
    low = before;
    low.rlim_cur = 20000;
    signal(SIGXFSZ, SIG_IGN);
    setrlimit(RLIMIT_FSIZE, &low);
    variant_status status = vt_image_write_png(&image, in_folder("a.png"), NULL, 0, &err);
    setrlimit(RLIMIT_FSIZE, &before);
    signal(SIGXFSZ, SIG_DFL);
    assert_int_equal(status, VARIANT_E_IO);
    assert_non_null(strstr(err.message, "a.png"));
    assert_int_equal(folder_entries(), 1);
    assert_ok(vt_image_read(&back, in_folder("a.png"), 0, &err));
    assert_same(&back, &small);
    vt_image_free(&back);
    vt_image_free(&image);
    vt_image_free(&small);
}

/* ---- fit, pad, sheet ---- */

static vt_image grey_of(int width, int height, uint8_t *data) {
    return (vt_image){width, height, 1, data};
}

static void check_fit(vt_image in, int side, double fx, double fy, bool flip,
                      const uint8_t *expected) {
    vt_image out = {0};
    assert_ok(vt_image_fit(&out, &in, side, fx, fy, flip, &err));
    vt_image want = {side, side, in.channels, (uint8_t *)expected};
    assert_same(&out, &want);
    vt_image_free(&out);
}

static void fit_cases(void **state) {
    (void)state;
    uint8_t four[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16};
    check_fit(grey_of(4, 4, four), 4, 0.5, 0.5, false, four);
    check_fit(grey_of(4, 4, four), 2, 0.5, 0.5, false,
              (uint8_t[]){4, 6, 12, 14}); /* 3.5, 5.5, 11.5, 13.5 */
    check_fit(grey_of(4, 4, four), 2, 0.5, 0.5, true, (uint8_t[]){6, 4, 14, 12});
    check_fit(grey_of(4, 4, four), 1, 0, 1, false, (uint8_t[]){9}); /* 8.5 */

    /* 3 -> 2: thirds, (10 + 20/2) / 1.5 and (20/2 + 90) / 1.5 in each row */
    uint8_t three[] = {10, 20, 90, 10, 20, 90, 10, 20, 90};
    check_fit(grey_of(3, 3, three), 2, 0.5, 0.5, false, (uint8_t[]){13, 67, 13, 67});

    /* 2 -> 4: centres at quarters */
    uint8_t two[] = {0, 100, 0, 100};
    check_fit(grey_of(2, 2, two), 4, 0.5, 0.5, false,
              (uint8_t[]){0, 25, 75, 100, 0, 25, 75, 100, 0, 25, 75, 100, 0, 25, 75, 100});

    /* the place of the crop: a 5 x 2 strip */
    uint8_t strip[] = {1, 2, 3, 4, 5, 6, 7, 8, 9, 10};
    check_fit(grey_of(5, 2, strip), 2, 0, 0.5, false, (uint8_t[]){1, 2, 6, 7});
    check_fit(grey_of(5, 2, strip), 2, 1, 0.5, false, (uint8_t[]){4, 5, 9, 10});
    check_fit(grey_of(5, 2, strip), 2, 0.5, 0.5, false,
              (uint8_t[]){2, 3, 7, 8}); /* slack 3: the smaller half */
    check_fit(grey_of(5, 2, strip), 2, 1, 0, true, (uint8_t[]){5, 4, 10, 9});
    check_fit(grey_of(2, 5, strip), 2, 0, 1, false, (uint8_t[]){7, 8, 9, 10});

    uint8_t colour[] = {1, 2, 3, 4, 5, 6};
    check_fit((vt_image){2, 1, 3, colour}, 1, 1, 0, false, (uint8_t[]){4, 5, 6});

    /* a flat picture stays flat at any ratio */
    for (int side = 1; side < 70; side++) {
        vt_image flat = noise_image(31, 47, 1), out = {0};
        memset(flat.data, 201, 31 * 47);
        assert_ok(vt_image_fit(&out, &flat, side, 0.3, 0.8, false, &err));
        for (int i = 0; i < side * side; i++) assert_int_equal(out.data[i], 201);
        vt_image_free(&flat);
        vt_image_free(&out);
    }

    vt_image in = grey_of(4, 4, four), out = {0};
    assert_int_equal(vt_image_fit(&out, &in, 0, 0, 0, false, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_fit(&out, &in, 2, -0.1, 0, false, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_fit(&out, &in, 2, 0, 0.0 / 0.0, false, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_new(&out, 1, 1, 2, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_new(&out, 1, 32769, 1, &err), VARIANT_E_ARGUMENT);
    vt_image long_one =
        noise_image(32768, 1, 1); /* scaled it would be two million wide; only the crop is made */
    assert_ok(vt_image_fit(&out, &long_one, 64, 1, 1, false, &err));
    assert_int_equal(out.data[64 * 64 - 1], long_one.data[32767]);
    vt_image_free(&out);
    vt_image_free(&long_one);
}

static void pad_cases(void **state) {
    (void)state;
    uint8_t data[] = {1, 2, 3, 4, 5, 6};
    vt_image in = {2, 1, 3, data}, out = {0};
    assert_ok(vt_image_pad(&out, &in, 4, 9, &err));
    uint8_t expected[48];
    memset(expected, 9, 48);
    memcpy(expected + (1 * 4 + 1) * 3, data, 6);
    vt_image want = {4, 4, 3, expected};
    assert_same(&out, &want);
    vt_image_free(&out);
    assert_ok(vt_image_pad(&out, &in, 2, 0, &err));
    vt_image_free(&out);
    assert_int_equal(vt_image_pad(&out, &in, 1, 0, &err), VARIANT_E_ARGUMENT);
    assert_null(out.data);
}

static void sheet_cases(void **state) {
    (void)state;
    uint8_t a[] = {1, 2}, b[] = {3, 4}, c[] = {5, 6};
    vt_image pictures[] = {{2, 1, 1, a}, {2, 1, 1, b}, {2, 1, 1, c}}, out = {0};
    assert_ok(vt_image_sheet(&out, pictures, 3, 2, 1, 1, &err));
    uint8_t expected[] = {255, 255, 255, 255, 255, 255, 255, 255, 1,   2,   255, 3,
                          4,   255, 255, 255, 255, 255, 255, 255, 255, 255, 5,   6,
                          255, 255, 255, 255, 255, 255, 255, 255, 255, 255, 255};
    vt_image want = {7, 5, 1, expected};
    assert_same(&out, &want);
    vt_image_free(&out);

    assert_ok(vt_image_sheet(&out, pictures, 2, 9, 0, 2,
                             &err)); /* never wider than the pictures there are */
    uint8_t zoomed[] = {1, 1, 2, 2, 3, 3, 4, 4, 1, 1, 2, 2, 3, 3, 4, 4};
    want = (vt_image){8, 2, 1, zoomed};
    assert_same(&out, &want);
    vt_image_free(&out);

    uint8_t rgb[] = {7, 8, 9};
    vt_image colour = {1, 1, 3, rgb};
    assert_ok(vt_image_sheet(&out, &colour, 1, 1, 0, 2, &err));
    assert_memory_equal(out.data, ((uint8_t[]){7, 8, 9, 7, 8, 9, 7, 8, 9, 7, 8, 9}), 12);
    vt_image_free(&out);

    pictures[1].channels = 3;
    assert_int_equal(vt_image_sheet(&out, pictures, 3, 2, 1, 1, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_sheet(&out, pictures, 0, 2, 1, 1, &err), VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_sheet(&out, pictures, 1, 2, 1, 32768, &err), VARIANT_E_ARGUMENT);
}

static void the_ending_decides_the_format(void **state) {
    (void)state;
    vt_image image = {0}, read = {0};
    assert_ok(vt_image_new(&image, 24, 16, 3, &err));
    for (int i = 0; i < 24 * 16 * 3; ++i)
        image.data[i] = (uint8_t)(40 + i / 3 % 24 * 5 + i / 72 * 3 + i % 3 * 10);
    static const char *const lossless[] = {"a.png", "a.webp", "A.PNG", "b.WebP"};
    for (size_t i = 0; i < 4; ++i) {
        assert_ok(vt_image_write(&image, in_folder(lossless[i]), 0, "{\"a\":\"\303\244\"}", &err));
        assert_ok(vt_image_read(&read, in_folder(lossless[i]), 0, &err));
        assert_int_equal(read.width, 24);
        assert_int_equal(read.channels, 3);
        assert_memory_equal(read.data, image.data, (size_t)(24 * 16 * 3));
        vt_image_free(&read);
    }
    static const char *const lossy[] = {"a.jpg", "a.jpeg", "c.webp"};
    for (size_t i = 0; i < 3; ++i) {
        assert_ok(vt_image_write(&image, in_folder(lossy[i]), 90, NULL, &err));
        assert_ok(vt_image_read(&read, in_folder(lossy[i]), 3, &err));
        for (int j = 0; j < 24 * 16 * 3; ++j) assert_true(abs(read.data[j] - image.data[j]) < 12);
        vt_image_free(&read);
    }
    vt_image_free(&image);
    assert_ok(vt_image_new(&image, 8, 8, 1, &err));
    static const char *const grey[] = {"g.png", "g.webp", "g.jpg"};
    for (size_t i = 0; i < 3; ++i) {
        assert_ok(vt_image_write(&image, in_folder(grey[i]), 0, "{}", &err));
        assert_ok(vt_image_read(&read, in_folder(grey[i]), 1, &err));
        assert_int_equal(read.data[63], 0);
        vt_image_free(&read);
    }
    static const char *const refused[] = {"a.gif", "a", "a.jpg.txt", ".png", "a.pn", "a."};
    for (size_t i = 0; i < 6; ++i) {
        assert_int_equal(vt_image_write(&image, in_folder(refused[i]), 0, NULL, &err),
                         VARIANT_E_ARGUMENT);
        assert_int_equal(vt_image_path_check(in_folder(refused[i]), &err), VARIANT_E_ARGUMENT);
    }
    assert_int_equal(vt_image_write(&image, in_folder("a.jpg"), 101, NULL, &err),
                     VARIANT_E_ARGUMENT);
    assert_int_equal(vt_image_write(&image, in_folder("no/a.jpg"), 0, NULL, &err), VARIANT_E_IO);
    vt_image_free(&image);
    assert_ok(vt_image_new(&image, 16384, 1, 1, &err));
    assert_int_equal(vt_image_write(&image, in_folder("wide.webp"), 0, NULL, &err),
                     VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "16383"));
    vt_image_free(&image);
}

/* The bytes in memory are those of the file. */
static void files_can_be_had_in_memory(void **state) {
    (void)state;
    static const char *const names[][2] = {{"m.png", "png"}, {"m.jpg", "jpeg"}, {"m.webp", "webp"}};
    vt_image image = {0};
    uint8_t *bytes;
    size_t size;
    assert_ok(vt_image_new(&image, 24, 16, 3, &err));
    for (int i = 0; i < 24 * 16 * 3; ++i) image.data[i] = (uint8_t)(i * 7);
    for (size_t i = 0; i < 3; ++i) {
        vt_mapping file;
        assert_ok(vt_image_write(&image, in_folder(names[i][0]), 80, "{\"a\":1}", &err));
        assert_ok(vt_image_encode(&bytes, &size, &image, names[i][1], 80, "{\"a\":1}", &err));
        assert_ok(vt_mapping_open(&file, in_folder(names[i][0]), &err));
        assert_int_equal(size, file.size);
        assert_memory_equal(bytes, file.data, size);
        vt_mapping_close(&file);
        free(bytes);
    }
    assert_int_equal(vt_image_encode(&bytes, &size, &image, "gif", 0, NULL, &err),
                     VARIANT_E_ARGUMENT);
    assert_null(bytes);
    assert_int_equal(vt_image_encode(&bytes, &size, &image, "jpeg", 101, NULL, &err),
                     VARIANT_E_ARGUMENT);
    vt_image_free(&image);
}

static void bytes_tell_what_is_not_finite(void **state) {
    (void)state;
    float values[37];
    uint8_t bytes[37];
    const float odd[3] = {NAN, INFINITY, -INFINITY};
    for (int at = 0; at < 37; ++at)
        for (int kind = 0; kind < 3; ++kind) {
            for (int i = 0; i < 37; ++i) values[i] = i % 2 ? 3e38f : -3e38f;
            assert_true(vt_image_bytes(bytes, values, 37));
            values[at] = odd[kind];
            assert_false(vt_image_bytes(bytes, values, 37));
            assert_int_equal(bytes[at], kind == 1 ? 255 : 0);
        }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(png_round_trip),
        cmocka_unit_test(png_text_and_bytes),
        cmocka_unit_test(png_kinds),
        cmocka_unit_test(jpeg_kinds),
        cmocka_unit_test(truncated_is_format),
        cmocka_unit_test(flipped_never_crashes),
        cmocka_unit_test(not_a_picture),
        cmocka_unit_test(failed_write_leaves_nothing),
        cmocka_unit_test(fit_cases),
        cmocka_unit_test(pad_cases),
        cmocka_unit_test(sheet_cases),
        cmocka_unit_test(the_ending_decides_the_format),
        cmocka_unit_test(files_can_be_had_in_memory),
        cmocka_unit_test(bytes_tell_what_is_not_finite),
    };
    return cmocka_run_group_tests(tests, folder_setup, folder_teardown);
}

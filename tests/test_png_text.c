/* test_png_text.c - texts in PNG files by others: each kind of chunk, packed and not, before and behind the pixels; and many that unfold to much. */
#include "tests/fixtures.h"

#include <sys/resource.h>
#include <zlib.h>

#include "io/picture.h"

typedef struct file {
    uint8_t *bytes;
    size_t size, room;
} file;

static void add(file *f, const void *bytes, size_t size) {
    if (f->size + size > f->room) {
        f->room = 2 * (f->size + size);
        f->bytes = realloc(f->bytes, f->room);
        assert_non_null(f->bytes);
    }
    memcpy(f->bytes + f->size, bytes, size);
    f->size += size;
}

static void add4(file *f, uint32_t n) {
    const uint8_t bytes[4] = {(uint8_t)(n >> 24), (uint8_t)(n >> 16), (uint8_t)(n >> 8),
                              (uint8_t)n};
    add(f, bytes, 4);
}

static void add_chunk(file *f, const char *kind, const void *data, size_t size) {
    add4(f, (uint32_t)size);
    add(f, kind, 4);
    add(f, data, size);
    add4(f, (uint32_t)crc32(0, f->bytes + f->size - size - 4, (uInt)size + 4));
}

static file begin(void) {
    static const uint8_t head[] = {0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0};
    file f = {0};
    add(&f, "\x89PNG\r\n\x1A\n", 8);
    add_chunk(&f, "IHDR", head, sizeof head);
    return f;
}

/* One pixel, 7. */
static void add_pixels(file *f) {
    uint8_t packed[32];
    uLongf size = sizeof packed;
    assert_int_equal(compress(packed, &size, (const uint8_t *)"\0\7", 2), Z_OK);
    add_chunk(f, "IDAT", packed, size);
}

/* A text chunk: `head` is what stands before the value, its NULs included. */
static void add_text(file *f, const char *kind, const char *head, size_t head_size,
                     const void *value, size_t size, bool pack) {
    uLongf packed_size = compressBound((uLong)size);
    uint8_t *data = malloc(head_size + packed_size + size);
    assert_non_null(data);
    memcpy(data, head, head_size);
    if (pack) {
        assert_int_equal(compress2(data + head_size, &packed_size, value, (uLong)size, 9), Z_OK);
        size = packed_size;
    } else {
        memcpy(data + head_size, value, size);
    }
    add_chunk(f, kind, data, head_size + size);
    free(data);
}

static char folder[64];

static const char *written(file *f, char path[128]) {
    add_chunk(f, "IEND", "", 0);
    snprintf(path, 128, "%s/text.png", folder);
    FILE *out = fopen(path, "wb");
    assert_non_null(out);
    assert_int_equal(fwrite(f->bytes, 1, f->size, out), f->size);
    fclose(out);
    return path;
}

static void every_kind_of_text_is_read(void **state) {
    static const struct {
        const char *kind, *head;
        size_t head_size;
        const char *value;
        bool pack;
        const char *expected;
    } kinds[] = {
        {"tEXt", "Key\0", 4, "caf\xE9", false, "caf\xC3\xA9"},
        {"zTXt", "Key\0\0", 5, "caf\xE9", true, "caf\xC3\xA9"},
        {"iTXt", "Key\0\0\0\0\0", 8, "caf\xC3\xA9", false, "caf\xC3\xA9"},
        {"iTXt", "Key\0\1\0de\0Wort\0", 14, "caf\xC3\xA9", true, "caf\xC3\xA9"},
        {"tEXt", "Key\0", 4, "", false, ""},
        {"zTXt", "Key\0\7", 5, "another way of packing", true, NULL},
        {"zTXt", "Key\0\0", 5, "not packed", false, NULL},
        {"iTXt", "Key\0\0\0en", 8, "cut", false, NULL},
        {"tEXt", "Key2\0", 5, "another key", false, NULL},
    };
    (void)state;
    for (size_t i = 0; i < 2 * sizeof kinds / sizeof *kinds; ++i) {
        const size_t k = i / 2;
        char path[128], *text = NULL;
        vt_image image;
        file f = begin();
        if (i % 2) add_pixels(&f);
        add_text(&f, "tEXt", "Other\0", 6, "no", 2, false);
        add_text(&f, kinds[k].kind, kinds[k].head, kinds[k].head_size, kinds[k].value,
                 strlen(kinds[k].value), kinds[k].pack);
        add_text(&f, "tEXt", "Late\0", 5, "yes", 3, false);
        if (i % 2 == 0) add_pixels(&f);
        variant_error err = {0};
        const variant_status status = vt_image_read_text(&text, written(&f, path), "Key", &err);
        if (kinds[k].expected) {
            assert_int_equal(status, VARIANT_OK);
            assert_string_equal(text, kinds[k].expected);
        } else {
            assert_int_equal(status, VARIANT_E_FORMAT);
            assert_non_null(strstr(err.message, "no text with key \"Key\""));
        }
        free(text);
        assert_ok(vt_image_read_text(&text, path, "Late", err));
        assert_string_equal(text, "yes");
        free(text);
        assert_ok(vt_image_read(&image, path, 0, err));
        assert_int_equal(image.data[0], 7);
        vt_image_free(&image);
        free(f.bytes);
    }
}

static long peak_kilobytes(void) {
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    return usage.ru_maxrss;
}

/* Sixty texts and a profile of nearly 8 MB each, in a file of 0.5 MB. */
static void texts_are_not_unfolded_for_nothing(void **state) {
    enum { TEXTS = 60, UNFOLDED = 7900000 };
    (void)state;
    char path[128], *text = NULL;
    vt_image image;
    uint8_t *much = calloc(1, UNFOLDED);
    file f = begin();
    memset(much, 'a', UNFOLDED);
    for (int i = 0; i < TEXTS; ++i) add_text(&f, "zTXt", "Bomb\0\0", 6, much, UNFOLDED, true);
    add_text(&f, "iCCP", "p\0\0", 3, much, UNFOLDED, true);
    add_pixels(&f);
    add_text(&f, "tEXt", "Key\0", 4, "here", 4, false);
    assert_true(f.size < 1 << 20);
    written(&f, path);
    const long before = peak_kilobytes();
    assert_ok(vt_image_read(&image, path, 0, err));
    vt_image_free(&image);
    assert_ok(vt_image_read_text(&text, path, "Key", err));
    assert_string_equal(text, "here");
    free(text);
    assert_int_equal(vt_image_read_text(&text, path, "Bomb", NULL), VARIANT_E_FORMAT);
#if defined(__SANITIZE_ADDRESS__)
    (void)before; /* what was given back is kept for a while, so that use of it is seen */
#else
    assert_true(peak_kilobytes() - before < 64 << 10);
#endif
    free(f.bytes);
    free(much);
}

static int open_folder(void **state) {
    (void)state;
    make_folder(folder);
    return 0;
}

static int close_folder(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_of_text_is_read),
        cmocka_unit_test(texts_are_not_unfolded_for_nothing),
    };
    return cmocka_run_group_tests(tests, open_folder, close_folder);
}

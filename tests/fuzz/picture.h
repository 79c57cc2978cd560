/* picture.h - what the targets of picture formats do with a file's bytes: its head, the picture, a mask, the settings inside. What is taken keeps
 * its pixels as a PNG. */
#ifndef TESTS_FUZZ_PICTURE_H
#define TESTS_FUZZ_PICTURE_H

#include "io/picture.h"
#include "tests/fuzz/fuzz.h"

/* Larger ones are left at their heads: a picture of the most pixels that are taken costs seconds under sanitizers. */
enum { FUZZ_PIXELS = 1 << 20 };

static inline void keep_as_png(const vt_image *image) {
    vt_bytes png = {0};
    vt_image again = {0};
    variant_error err = {0};
    if ((int64_t)image->width * image->height > 1 << 12) return;
    FUZZ_OK(vt_png_encode(&png, image, NULL, 0, &err));
    FUZZ_OK(vt_picture_decode(&again, NULL, png, 0, VT_ALPHA_WHITE, &err));
    FUZZ_EXPECT(again.width == image->width && again.height == image->height &&
                again.channels == image->channels);
    FUZZ_EXPECT(memcmp(again.data, image->data,
                       (size_t)image->width * (size_t)image->height * (size_t)image->channels) ==
                0);
    vt_image_free(&again);
    free((void *)(uintptr_t)png.data);
}

/* `decoded` bytes a pixel are taken while it is decoded, at most, and `fixed` in any case. */
static inline void look_at_picture(const uint8_t *data, size_t size, size_t fixed, size_t decoded) {
    const vt_bytes file = {data, size};
    variant_error err = {0};
    vt_image head = {0}, image = {0}, mask = {0}, own = {0};
    fuzz_begin();
    const variant_status headed = vt_picture_head(&head, file, &err);
    fuzz_told(headed, &err);
    fuzz_end(fixed + 4 * size);
    if (headed == VARIANT_OK) {
        FUZZ_EXPECT(head.width >= 1 && head.width <= VT_IMAGE_SIDE_MAX);
        FUZZ_EXPECT(head.height >= 1 && head.height <= VT_IMAGE_SIDE_MAX && !head.data);
        FUZZ_EXPECT((int64_t)head.width * head.height <= VT_IMAGE_PIXELS_MAX);
    }
    const size_t pixels =
        headed == VARIANT_OK ? (size_t)head.width * (size_t)head.height : FUZZ_PIXELS;
    if (headed == VARIANT_OK && pixels > FUZZ_PIXELS) return;
    fuzz_begin();
    const variant_status status = vt_picture_decode(
        &image, size % 5 == 0 ? &own : NULL, file, (int)(size % 2) * 3, (vt_alpha)(size % 3), &err);
    fuzz_told(status, &err);
    if (status == VARIANT_OK) {
        FUZZ_EXPECT(headed == VARIANT_OK && image.width == head.width &&
                    image.height == head.height && image.data);
        FUZZ_EXPECT(size % 5 != 0 || (own.width == image.width && own.height == image.height &&
                                      own.channels == 1 && own.data));
        keep_as_png(&image);
    }
    const variant_status masked = vt_mask_decode(&mask, file, &err);
    fuzz_told(masked, &err);
    FUZZ_EXPECT((masked == VARIANT_OK) == (status == VARIANT_OK));
    vt_image_free(&image);
    vt_image_free(&mask);
    vt_image_free(&own);
    fuzz_end(fixed + decoded * pixels + 4 * size);
}

/* The settings that a picture of variant's own carries. */
static inline void look_for_settings(const uint8_t *data, size_t size, size_t most) {
    char *text = NULL;
    variant_error err = {0};
    const char *path = fuzz_file(data, size);
    fuzz_begin();
    const variant_status status = vt_image_read_settings(&text, path, &err);
    fuzz_told(status, &err);
    FUZZ_EXPECT((status == VARIANT_OK) == (text != NULL));
    free(text);
    fuzz_end(most);
}

#endif

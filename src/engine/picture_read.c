/* picture_read.c - pictures and masks from files, and at another size: the public functions over io/picture.h. */
#include <stdlib.h>
#include <string.h>

#include "engine/picture.h"
#include "io/picture.h"

/* Takes over the image's pixels. */
static variant_status hand_out(variant_picture **out, vt_image *image, variant_error *err) {
    variant_picture *picture = *out = calloc(1, sizeof *picture);
    if (!picture) {
        vt_image_free(image);
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture");
    }
    picture->width = image->width;
    picture->height = image->height;
    picture->channels = image->channels;
    picture->pixels = image->data;
    return VARIANT_OK;
}

static variant_status begin(void *out, const char *path, variant_error *err) {
    if (err) *err = (variant_error){0};
    if (!out || !path)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a picture's file: expected a path, and where to put it");
    return VARIANT_OK;
}

static variant_status parse_alpha(vt_alpha *out, const char *name, variant_error *err) {
    *out = VT_ALPHA_WHITE;
    if (!name) return VARIANT_OK;
    for (vt_alpha each = VT_ALPHA_WHITE; each <= VT_ALPHA_DROP; ++each)
        if (strcmp(name, vt_alpha_name(each)) == 0) {
            *out = each;
            return VARIANT_OK;
        }
    return vt_fail(err, VARIANT_E_ARGUMENT, "alpha \"%.32s\": expected white, black or drop", name);
}

variant_status variant_picture_read(variant_picture **out, const char *path, const char *alpha,
                                    variant_error *error) {
    vt_image image;
    vt_alpha over;
    VT_TRY(begin(out, path, error));
    *out = NULL;
    VT_TRY(parse_alpha(&over, alpha, error));
    VT_TRY(vt_picture_read(&image, path, 0, over, NULL, error));
    return hand_out(out, &image, error);
}

variant_status variant_mask_read(variant_picture **out, const char *path, bool alpha_alone,
                                 variant_error *error) {
    vt_image image;
    VT_TRY(begin(out, path, error));
    *out = NULL;
    VT_TRY(vt_mask_read(&image, path, alpha_alone, error));
    return hand_out(out, &image, error);
}

variant_status variant_picture_probe(const char *path, int *width, int *height, int *channels,
                                     variant_error *error) {
    vt_image head;
    VT_TRY(begin(width && height && channels ? width : NULL, path, error));
    VT_TRY(vt_image_probe(&head, path, NULL, error));
    *width = head.width;
    *height = head.height;
    *channels = head.channels;
    return VARIANT_OK;
}

variant_status variant_picture_scale(variant_picture **out, const variant_picture *picture,
                                     int width, int height, variant_error *error) {
    VT_TRY(vt_need(out, "nowhere to put a picture", error));
    *out = NULL;
    VT_TRY(vt_picture_check(picture, error));
    if (vt_picture_size_check("wanted size", width, height, error) != VARIANT_OK)
        return vt_fail_within(error, VARIANT_E_ARGUMENT, "scaling a picture");
    const vt_image from = {picture->width, picture->height, picture->channels, picture->pixels};
    const int zoom = width / from.width;
    vt_image image;
    if (zoom >= 1 && width == zoom * from.width && height == zoom * from.height) {
        VT_TRY(vt_image_sheet(&image, &from, 1, 1, 0, zoom, error));
    } else {
        const vt_window all = {width, height, 0, 0, width, height, false};
        VT_TRY(vt_image_resample(&image, &from, &all, error));
    }
    return hand_out(out, &image, error);
}

/* edit.c - see edit.h: files to pixels, sizes first. */
#include "serve/edit.h"

#include <string.h>

/* What a reader said: of the picture, or that there was no reader. */
static bool refuse_picture(sv_fault *fault, const char *name, const variant_error *err) {
    if (err->status == VARIANT_E_IO || err->status == VARIANT_E_MEMORY) {
        sv_refuse_error(fault, name, err);
        return false;
    }
    return sv_refuse(fault, 400, "invalid_image", name, "%s: %s", name, err->message);
}

/* The head of a file: a picture of a size that is taken. */
static bool read_head(vt_image *out, vt_bytes file, const char *name, sv_fault *fault) {
    variant_error err;
    if (vt_picture_head(out, file, &err) != VARIANT_OK) return refuse_picture(fault, name, &err);
    if (out->width <= SV_EDIT_SIDE && out->height <= SV_EDIT_SIDE &&
        (int64_t)out->width * out->height <= SV_EDIT_PIXELS)
        return true;
    return sv_refuse(fault, 400, "image_too_large", name,
                     "%s: %d x %d pixels, expected sides up to %d and %d pixels in all", name,
                     out->width, out->height, SV_EDIT_SIDE, SV_EDIT_PIXELS);
}

bool sv_edit_measure(sv_edit *out, const sv_parts *parts, sv_fault *fault) {
    vt_image picture, mask;
    *out = (sv_edit){0};
    if (parts->images == 1 && !parts->image.size)
        return sv_refuse(fault, 400, "invalid_value", "image", "image: the file is empty");
    if (parts->images != 1)
        return sv_refuse(fault, 400, parts->images ? "invalid_value" : "missing_required_parameter",
                         "image", "image: expected one picture, got %d", parts->images);
    if (!read_head(&picture, parts->image, "image", fault)) return false;
    if (parts->mask.size) {
        if (!read_head(&mask, parts->mask, "mask", fault)) return false;
        if (mask.width != picture.width || mask.height != picture.height)
            return sv_refuse(fault, 400, "invalid_value", "mask",
                             "mask: %d x %d pixels, the picture has %d x %d", mask.width,
                             mask.height, picture.width, picture.height);
    }
    variant_edit_init(&out->edit);
    out->edit.width = picture.width;
    out->edit.height = picture.height;
    out->edit.channels = picture.channels;
    /* while it is decoded: with alpha, both */
    out->bytes = (size_t)picture.width * (size_t)picture.height * 6;
    return true;
}

bool sv_edit_decode(sv_edit *e, const sv_parts *parts, sv_fault *fault) {
    const bool own = !parts->mask.size;
    const char *name = own ? "image" : "mask";
    variant_error err;
    bool any = false;
    if (vt_picture_decode(&e->pixels, own ? &e->mask : NULL, parts->image, 0, VT_ALPHA_WHITE,
                          &err) != VARIANT_OK)
        return refuse_picture(fault, "image", &err);
    if (!own && vt_mask_decode(&e->mask, parts->mask, &err) != VARIANT_OK)
        return refuse_picture(fault, "mask", &err);
    const size_t pixels = (size_t)e->mask.width * (size_t)e->mask.height;
    for (size_t i = 0; i < pixels && !any; ++i) any = e->mask.data[i] != 0;
    if (!any)
        return sv_refuse(fault, 400, "invalid_value", name,
                         "%s has no see-through pixel: nothing is to be drawn again%s", name,
                         own ? ", and there is no mask" : "");
    e->edit.channels = e->pixels.channels;
    e->edit.pixels = e->pixels.data;
    e->edit.mask = e->mask.data;
    return true;
}

void sv_edit_free(sv_edit *edit) {
    vt_image_free(&edit->pixels);
    vt_image_free(&edit->mask);
    edit->edit.pixels = edit->edit.mask = NULL;
}

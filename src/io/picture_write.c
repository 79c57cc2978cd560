/* picture_write.c - pictures to files: PNG, JPEG or WebP as the name ends, whole or not at all, with what made them as
 * text inside. Called by everything that writes pictures. */
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>

#include "io/file.h"
#include "io/picture.h"

#define JPEG_QUALITY 95

typedef enum picture_format { PNG, JPEG, WEBP, NONE } picture_format;

static picture_format format_by_ending(const char *path) {
    static const struct {
        const char *ending;
        picture_format format;
    } endings[] = {{".png", PNG}, {".jpg", JPEG}, {".jpeg", JPEG}, {".webp", WEBP}};
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;
    const char *dot = strrchr(name, '.');
    struct stat info;
    for (size_t i = 0; dot && dot > name && i < sizeof endings / sizeof endings[0]; ++i)
        if (strcasecmp(dot, endings[i].ending) == 0) return endings[i].format;
    if (variant_is_standard_output(path)) return PNG;
    /* a device or a pipe has no ending to go by */
    return stat(path, &info) == 0 && !S_ISREG(info.st_mode) && !S_ISDIR(info.st_mode) ? PNG : NONE;
}

variant_status vt_image_path_check(const char *path, variant_error *err) {
    if (path && format_by_ending(path) != NONE) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_ARGUMENT,
        "%s: expected a picture's name that ends in .png, .jpg, .jpeg or .webp, or - for a "
        "PNG on the standard output",
        path ? path : "");
}

/* Text as ASCII: what JSON keeps of it with \u escapes; other bytes as question marks. *out: free() it. */
static variant_status ascii_from_json(char **out, const char *text, variant_error *err) {
    char *ascii = malloc(6 * strlen(text) + 1), *to = ascii;
    if (!ascii) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture's settings");
    for (const unsigned char *s = (const unsigned char *)text; *s;) {
        int more = (*s >= 0xC0) + (*s >= 0xE0) + (*s >= 0xF0);
        uint32_t point = more ? *s & (0x3Fu >> more) : *s;
        bool broken = *s >= 0x80 && *s < 0xC0;
        for (++s; more > 0 && (*s & 0xC0) == 0x80; --more) point = point << 6 | (*s++ & 0x3Fu);
        if (broken || more)
            *to++ = '?';
        else if (point < 0x80)
            *to++ = (char)point;
        else if (point < 0x10000)
            to += sprintf(to, "\\u%04x", point);
        else
            to += sprintf(to, "\\u%04x\\u%04x", 0xD7C0u + (point >> 10), 0xDC00u | (point & 0x3FF));
    }
    *to = '\0';
    *out = ascii;
    return VARIANT_OK;
}

/* The file of a JPEG or WebP picture; free() out->data. */
static variant_status encode(vt_bytes *out, const vt_image *image, picture_format format,
                             int quality, const char *settings, variant_error *err) {
    vt_bytes exif = {0};
    char *comment = NULL;
    variant_status status = VARIANT_OK;
    if (settings) {
        VT_CHECK(ascii_from_json(&comment, settings, err));
        VT_CHECK(vt_exif_build(&exif, comment, err));
    }
    VT_CHECK(format == JPEG
                 ? vt_jpeg_encode(out, image, quality ? quality : JPEG_QUALITY, exif, err)
                 : vt_webp_encode(out, image, quality, exif, err));
cleanup:
    free(comment);
    free((void *)(uintptr_t)exif.data);
    return status;
}

static variant_status check_quality(int quality, variant_error *err) {
    if (quality >= 0 && quality <= 100) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "quality %d: expected 1 to 100, or 0", quality);
}

variant_status vt_image_write(const vt_image *image, const char *path, int quality,
                              const char *settings, variant_error *err) {
    VT_TRY(vt_image_path_check(path, err));
    VT_TRY(check_quality(quality, err));
    picture_format format = format_by_ending(path);
    if (format == PNG) {
        vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, settings}};
        return vt_image_write_png(image, path, text, settings ? 2 : 1, err);
    }
    vt_bytes file = {0};
    if (encode(&file, image, format, quality, settings, err) != VARIANT_OK)
        return vt_fail_within(err, err ? err->status : VARIANT_E_FORMAT, "%s", path);
    variant_status status = vt_file_write(path, file.data, file.size, err);
    free((void *)(uintptr_t)file.data);
    return status;
}

variant_status vt_image_encode(uint8_t **bytes, size_t *size, const vt_image *image,
                               const char *name, int quality, const char *settings,
                               variant_error *err) {
    static const char *const names[] = {"png", "jpeg", "webp"};
    vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, settings}};
    picture_format format = PNG;
    vt_bytes file = {0};
    *bytes = NULL;
    *size = 0;
    while (format < NONE && (!name || strcmp(name, names[format]) != 0)) ++format;
    if (format == NONE)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "format \"%.40s\": expected \"png\", \"jpeg\" or \"webp\"",
                       name ? name : "");
    VT_TRY(check_quality(quality, err));
    VT_TRY(format == PNG ? vt_png_encode(&file, image, text, settings ? 2 : 1, err)
                         : encode(&file, image, format, quality, settings, err));
    *bytes = (uint8_t *)(uintptr_t)file.data;
    *size = file.size;
    return VARIANT_OK;
}

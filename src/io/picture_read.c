/* picture_read.c - a picture file of any format read here to samples: what it is by its first bytes, its
 * alpha laid over a colour, turned as EXIF says, grey or RGB as asked for.
 *
 * A file is read whole before it is decoded, so that what is decoded and what is hashed are the same
 * bytes. Called by everything that reads pictures. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/rng.h"
#include "core/descriptor.h"
#include "io/file.h"
#include "io/jailed.h"
#include "io/picture.h"

#define FILE_MAX ((size_t)1 << 30)

const char *vt_alpha_name(vt_alpha alpha) {
    static const char *const names[] = {"white", "black", "drop"};
    return names[alpha];
}

uint64_t vt_content_hash(const uint8_t *data, size_t size) {
    uint64_t hash = size * 0x9E3779B97F4A7C15u, word;
    for (; size >= 8; data += 8, size -= 8) {
        memcpy(&word, data, 8);
        hash = (hash ^ word) * 0xC2B2AE3D27D4EB4Fu;
        hash = hash << 29 | hash >> 35;
    }
    word = 0;
    if (size) memcpy(&word, data, size);
    hash = vt_splitmix64(hash ^ word);
    return hash ? hash : 1;
}

variant_status vt_picture_size_check(const char *format, int64_t width, int64_t height,
                                     variant_error *err) {
    if (width < 1 || height < 1 || width > VT_IMAGE_SIDE_MAX || height > VT_IMAGE_SIDE_MAX)
        return vt_fail(err, VARIANT_E_FORMAT, "the %s is %lld x %lld, expected sides of 1 to %d",
                       format, (long long)width, (long long)height, VT_IMAGE_SIDE_MAX);
    if (width * height > VT_IMAGE_PIXELS_MAX)
        return vt_fail(err, VARIANT_E_FORMAT, "the %s is %lld x %lld, expected at most %lld pixels",
                       format, (long long)width, (long long)height, (long long)VT_IMAGE_PIXELS_MAX);
    return VARIANT_OK;
}

/* ---- what a file is ---- */

typedef variant_status (*decoder)(vt_raw_picture *out, vt_bytes file, bool header_only,
                                  variant_error *err);

typedef struct signature {
    const char *text;
    int length, at; /* bytes, and where they stand */
    decoder decode; /* NULL: known, not read; `name` says what to do about it */
    const char *name;
} signature;

#ifdef VARIANT_TIFF
#define TIFF_DECODED vt_tiff_decode, "TIFF"
#else
#define TIFF_DECODED                                                                               \
    NULL, "a TIFF, which this build does not read (VARIANT_TIFF=OFF): convert it first"
#endif

static const signature signatures[] = {
    {"\x89PNG\r\n\x1A\n", 8, 0, vt_png_decode, "PNG"},
    {"\xFF\xD8\xFF", 3, 0, vt_jpeg_decode, "JPEG"},
    {"WEBP", 4, 8, vt_webp_decode, "WebP"},
    {"GIF87a", 6, 0, vt_gif_decode, "GIF"},
    {"GIF89a", 6, 0, vt_gif_decode, "GIF"},
    {"BM", 2, 0, vt_bmp_decode, "BMP"},
    {"II*\0", 4, 0, TIFF_DECODED},
    {"MM\0*", 4, 0, TIFF_DECODED},
    {"II+\0", 4, 0, TIFF_DECODED},
    {"MM\0+", 4, 0, TIFF_DECODED},
    {"ftypavif", 8, 4, NULL, "an AVIF picture: convert it first"},
    {"ftyp", 4, 4, NULL, "a HEIC picture or a film: convert it first"},
    {"\xFF\x0A", 2, 0, NULL, "a JPEG XL picture: convert it first"},
    {"JXL ", 4, 4, NULL, "a JPEG XL picture: convert it first"},
    {"jP  ", 4, 4, NULL, "a JPEG 2000 picture: convert it first"},
    {"8BPS", 4, 0, NULL, "a Photoshop file: convert it first"},
    {"<svg", 4, 0, NULL, "an SVG drawing: convert it first"},
    {"%PDF", 4, 0, NULL, "a PDF: convert it first"},
    {"version https://git-lfs", 23, 0, NULL,
     "a Git LFS pointer, not the picture itself: git lfs pull fetches it"},
    {"<!DOCTYPE html", 14, 0, NULL, "a web page: the download went wrong"},
    {"<!doctype html", 14, 0, NULL, "a web page: the download went wrong"},
    {"<html", 5, 0, NULL, "a web page: the download went wrong"},
};

static const signature *signature_find(const uint8_t *data, size_t size) {
    for (size_t i = 0; i < sizeof signatures / sizeof *signatures; i++) {
        const signature *s = &signatures[i];
        if ((size_t)(s->at + s->length) > size ||
            memcmp(data + s->at, s->text, (size_t)s->length) != 0)
            continue;
        if (s->decode == vt_webp_decode && memcmp(data, "RIFF", 4) != 0) continue;
        return s;
    }
    return NULL;
}

bool vt_picture_starts(const uint8_t *data, size_t size) {
    const signature *s = signature_find(data, size);
    return s && s->decode;
}

variant_status vt_raw_decode(vt_raw_picture *raw, vt_bytes file, bool header_only,
                             variant_error *err) {
    *raw = (vt_raw_picture){0};
    const signature *s = signature_find(file.data, file.size);
    if (s && s->decode) return s->decode(raw, file, header_only, err);
    if (s) return vt_fail(err, VARIANT_E_FORMAT, "%s", s->name);
    if (file.size && memmem(file.data, file.size < 512 ? file.size : 512, "<svg", 4))
        return vt_fail(err, VARIANT_E_FORMAT, "an SVG drawing: convert it first");
    return vt_fail(err, VARIANT_E_FORMAT, "%sexpected " VT_PICTURE_FORMATS,
                   file.size ? "not a picture, " : "empty file, ");
}

/* In the jail, if there is one. */
static variant_status raw_decode(vt_raw_picture *raw, vt_bytes file, bool header_only,
                                 variant_error *err) {
    if (vt_jail_is_on()) return vt_jailed_picture(raw, (vt_input){file, -1}, header_only, err);
    return vt_raw_decode(raw, file, header_only, err);
}

/* ---- samples as asked for ---- */

/* Alpha laid over white or black, or left out; in place, which leaves one channel less. */
static void alpha_lay(vt_raw_picture *raw, vt_alpha alpha) {
    size_t pixels = (size_t)raw->width * (size_t)raw->height;
    int channels = raw->channels;
    unsigned ground = alpha == VT_ALPHA_WHITE ? 255u : 0u;
    const uint8_t *from = raw->data;
    uint8_t *to = raw->data;
    if (channels == 1 || channels == 3) return;
    for (size_t i = 0; i < pixels; i++, from += channels) {
        unsigned a = alpha == VT_ALPHA_DROP ? 255u : from[channels - 1];
        for (int c = 0; c < channels - 1; c++)
            *to++ = (uint8_t)((from[c] * a + ground * (255u - a) + 127u) / 255u);
    }
    raw->channels--;
}

/* Orientations 5 to 8 lie on their side; of the others 2 to 4 are mirrored or upside down. */
static variant_status raw_turn(vt_raw_picture *raw, variant_error *err) {
    int o = raw->orientation;
    if (o < 2 || o > 8) return VARIANT_OK;
    bool aside = o >= 5, right = o == 2 || o == 3 || o == 7 || o == 8,
         down = o == 3 || o == 4 || o == 6 || o == 7;
    int width = aside ? raw->height : raw->width, height = aside ? raw->width : raw->height;
    if (raw->data) {
        size_t channels = (size_t)raw->channels, stride = (size_t)raw->width * channels;
        uint8_t *turned = malloc(stride * (size_t)raw->height), *to = turned;
        if (!turned)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture of %d x %d", width,
                           height);
        for (int y = 0; y < height; y++) {
            for (int x = 0; x < width; x++, to += channels) {
                int column = aside ? y : x, row = aside ? x : y;
                if (right) column = raw->width - 1 - column;
                if (down) row = raw->height - 1 - row;
                memcpy(to, raw->data + (size_t)row * stride + (size_t)column * channels, channels);
            }
        }
        free(raw->data);
        raw->data = turned;
    }
    raw->width = width;
    raw->height = height;
    return VARIANT_OK;
}

/* RGB to grey works in place; grey to RGB takes new memory. */
variant_status vt_image_convert(vt_image *image, int channels, variant_error *err) {
    if (channels == 0 || channels == image->channels) return VARIANT_OK;
    size_t pixels = (size_t)image->width * (size_t)image->height;
    if (channels == 1) {
        for (size_t i = 0; i < pixels; i++) image->data[i] = vt_luma(image->data + 3 * i);
        uint8_t *smaller = realloc(image->data, pixels);
        if (smaller) image->data = smaller;
    } else {
        uint8_t *rgb = malloc(3 * pixels);
        if (!rgb)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture of %d x %d",
                           image->width, image->height);
        for (size_t i = 0; i < pixels; i++) memset(rgb + 3 * i, image->data[i], 3);
        free(image->data);
        image->data = rgb;
    }
    image->channels = channels;
    return VARIANT_OK;
}

/* ---- files ---- */

static uint64_t stamp_of(const struct stat *info) {
    int64_t parts[] = {info->st_size,        info->st_mtim.tv_sec,  info->st_mtim.tv_nsec,
                       info->st_ctim.tv_sec, info->st_ctim.tv_nsec, (int64_t)info->st_ino};
    return vt_fnv1a64(parts, sizeof parts);
}

uint64_t vt_picture_stamp(const char *path) {
    struct stat info;
    return stat(path, &info) == 0 ? stamp_of(&info) : 0;
}

/* All bytes from a descriptor, the file's size as a first guess; *out: free() it. */
static variant_status take_all(int file, size_t guess, uint8_t **out, size_t *size,
                               variant_error *err) {
    size_t room = guess + 1;
    uint8_t *bytes = malloc(room);
    *size = 0;
    while (bytes) {
        ssize_t got = vt_read(file, bytes + *size, room - *size);
        if (got < 0) {
            int reason = errno;
            free(bytes);
            errno = reason;
            return vt_fail(err, VARIANT_E_IO, "%s", strerror(reason));
        }
        if (got == 0) {
            *out = bytes;
            return VARIANT_OK;
        }
        *size += (size_t)got;
        if (*size < room) continue;
        if (room > FILE_MAX) {
            free(bytes);
            return vt_fail(err, VARIANT_E_FORMAT, "the file is larger than %zu bytes", FILE_MAX);
        }
        room *= 2;
        uint8_t *larger = realloc(bytes, room);
        if (!larger) free(bytes);
        bytes = larger;
    }
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the file");
}

static variant_status file_bytes(const char *path, uint8_t **out, size_t *size,
                                 vt_picture_facts *facts, variant_error *err) {
    struct stat info;
    int file = vt_open(path, O_RDONLY);
    if (file < 0) {
        facts->unknown = !vt_is_reason_of_path(errno);
        return vt_fail(err, VARIANT_E_IO, "%s", strerror(errno));
    }
    if (fstat(file, &info) != 0) info = (struct stat){0};
    if (S_ISDIR(info.st_mode)) {
        close(file);
        return vt_fail(err, VARIANT_E_IO, "is a folder, expected a picture's file");
    }
    facts->stamp = stamp_of(&info);
    size_t guess = S_ISREG(info.st_mode) && info.st_size > 0 ? (size_t)info.st_size : 4095;
    variant_status status =
        guess > FILE_MAX
            ? vt_fail(err, VARIANT_E_FORMAT, "the file is larger than %zu bytes", FILE_MAX)
            : take_all(file, guess, out, size, err);
    facts->unknown = status == VARIANT_E_IO && !vt_is_reason_of_path(errno);
    vt_close(file);
    return status;
}

/* A picture as it lies in its file, turned. */
static variant_status read_raw(vt_raw_picture *raw, const char *path, vt_picture_facts *facts,
                               variant_error *err) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    variant_status status = file_bytes(path, &bytes, &size, facts, err);
    if (status == VARIANT_OK) {
        facts->content = vt_content_hash(bytes, size);
        facts->size = (int64_t)size;
        status = raw_decode(raw, (vt_bytes){bytes, size}, false, err);
    }
    free(bytes);
    facts->turned = raw->orientation > 1;
    return status == VARIANT_OK ? raw_turn(raw, err) : status;
}

/* The picture's samples, which go over to it, as asked for. */
static variant_status take_raw(vt_image *out, vt_raw_picture *raw, int channels, vt_alpha alpha,
                               variant_error *err) {
    alpha_lay(raw, alpha);
    *out = (vt_image){raw->width, raw->height, raw->channels, raw->data};
    const variant_status status = vt_image_convert(out, channels, err);
    if (status != VARIANT_OK) vt_image_free(out);
    return status;
}

variant_status vt_picture_read(vt_image *out, const char *path, int channels, vt_alpha alpha,
                               vt_picture_facts *facts, variant_error *err) {
    vt_picture_facts unwanted;
    vt_raw_picture raw = {0};
    if (!facts) facts = &unwanted;
    *facts = (vt_picture_facts){0};
    *out = (vt_image){0};
    variant_status status = read_raw(&raw, path, facts, err);
    if (status == VARIANT_OK)
        status = take_raw(out, &raw, channels, alpha, err);
    else
        free(raw.data);
    return status == VARIANT_OK ? VARIANT_OK : vt_fail_within(err, status, "%s", path);
}

/* raw_decode, turned. */
static variant_status decode_turned(vt_raw_picture *raw, vt_bytes file, bool header_only,
                                    variant_error *err) {
    VT_TRY(raw_decode(raw, file, header_only, err));
    return raw_turn(raw, err);
}

variant_status vt_picture_head(vt_image *out, vt_bytes file, variant_error *err) {
    vt_raw_picture raw = {0};
    *out = (vt_image){0};
    const variant_status status = decode_turned(&raw, file, true, err);
    free(raw.data);
    if (status == VARIANT_OK)
        *out = (vt_image){raw.width, raw.height, raw.channels > 2 ? 3 : 1, NULL};
    return status;
}

/* ---- masks ---- */

static uint8_t luma_of(const uint8_t *pixel, int channels) {
    return channels < 3 ? pixel[0] : vt_luma(pixel);
}

static variant_status mask_of(vt_image *out, const vt_raw_picture *raw, bool alpha_alone,
                              variant_error *err) {
    const size_t pixels = (size_t)raw->width * (size_t)raw->height,
                 channels = (size_t)raw->channels;
    bool through = false;
    VT_TRY(vt_image_new(out, raw->width, raw->height, 1, err));
    for (size_t i = 0; i < pixels; ++i) {
        const bool see = channels % 2 == 0 && raw->data[i * channels + channels - 1] < 128;
        out->data[i] = see ? 255 : 0;
        through = through || see;
    }
    for (size_t i = 0; i < pixels && !through && !alpha_alone; ++i)
        out->data[i] = luma_of(raw->data + i * channels, raw->channels) >= 128 ? 255 : 0;
    return VARIANT_OK;
}

variant_status vt_mask_read(vt_image *out, const char *path, bool alpha_alone, variant_error *err) {
    vt_picture_facts unwanted = {0};
    vt_raw_picture raw = {0};
    *out = (vt_image){0};
    variant_status status = read_raw(&raw, path, &unwanted, err);
    if (status == VARIANT_OK) status = mask_of(out, &raw, alpha_alone, err);
    free(raw.data);
    return status == VARIANT_OK ? VARIANT_OK : vt_fail_within(err, status, "%s", path);
}

variant_status vt_mask_decode(vt_image *out, vt_bytes file, variant_error *err) {
    vt_raw_picture raw = {0};
    *out = (vt_image){0};
    variant_status status = decode_turned(&raw, file, false, err);
    if (status == VARIANT_OK) status = mask_of(out, &raw, raw.channels % 2 == 0, err);
    free(raw.data);
    return status;
}

variant_status vt_picture_decode(vt_image *out, vt_image *mask, vt_bytes file, int channels,
                                 vt_alpha alpha, variant_error *err) {
    vt_raw_picture raw = {0};
    *out = (vt_image){0};
    if (mask) *mask = (vt_image){0};
    variant_status status = decode_turned(&raw, file, false, err);
    if (status == VARIANT_OK && mask) status = mask_of(mask, &raw, true, err);
    if (status == VARIANT_OK)
        status = take_raw(out, &raw, channels, alpha, err);
    else
        free(raw.data);
    if (status != VARIANT_OK && mask) vt_image_free(mask);
    return status;
}

variant_status vt_image_read(vt_image *out, const char *path, int channels, variant_error *err) {
    *out = (vt_image){0};
    if (!path || (channels != 0 && channels != 1 && channels != 3)) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "reading a picture needs a path and 0, 1 or 3 channels, got %d", channels);
    }
    return vt_picture_read(out, path, channels, VT_ALPHA_WHITE, NULL, err);
}

/* Of a mapped file, which the jail maps itself. */
static variant_status raw_probe(vt_raw_picture *raw, vt_bytes file, const char *path,
                                variant_error *err) {
    if (!vt_jail_is_on()) return vt_raw_decode(raw, file, true, err);
    const int descriptor = vt_open(path, O_RDONLY);
    const variant_status status = vt_jailed_picture(raw, (vt_input){file, descriptor}, true, err);
    if (descriptor >= 0) close(descriptor);
    return status;
}

/* Mapped, because of a large file only the first pages are looked at. */
variant_status vt_image_probe(vt_image *out, const char *path, vt_picture_facts *facts,
                              variant_error *err) {
    struct stat info;
    vt_mapping map;
    vt_raw_picture raw = {0};
    *out = (vt_image){0};
    errno = 0;
    const bool known = stat(path, &info) == 0;
    variant_status status = known ? vt_mapping_open(&map, path, err)
                                  : vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
    if (facts) facts->unknown = status == VARIANT_E_IO && !vt_is_reason_of_path(errno);
    if (status != VARIANT_OK) return status;
    vt_mapping_guard(&map);
    status = raw_probe(&raw, (vt_bytes){map.data, map.size}, path, err);
    if (status == VARIANT_OK) status = raw_turn(&raw, err);
    free(raw.data);
    if (status != VARIANT_OK) status = vt_fail_within(err, status, "%s", path);
    status = vt_mapping_settle(&map, path, status, err);
    vt_mapping_close(&map);
    VT_TRY(status);
    if (facts)
        *facts = (vt_picture_facts){
            .stamp = stamp_of(&info), .size = info.st_size, .turned = raw.orientation > 1};
    *out = (vt_image){raw.width, raw.height, raw.channels > 2 ? 3 : 1, NULL};
    return VARIANT_OK;
}

variant_status vt_picture_content(const char *path, vt_picture_facts *facts, variant_error *err) {
    uint8_t *bytes = NULL;
    size_t size = 0;
    *facts = (vt_picture_facts){0};
    variant_status status = file_bytes(path, &bytes, &size, facts, err);
    if (status != VARIANT_OK) return vt_fail_within(err, status, "%s", path);
    facts->content = vt_content_hash(bytes, size);
    facts->size = (int64_t)size;
    free(bytes);
    return VARIANT_OK;
}

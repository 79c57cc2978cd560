/* variant/picture.h - finished pictures, and the files that they come from and become: PNG, JPEG, WebP, contact sheets, animations. */
#ifndef VARIANT_PICTURE_H
#define VARIANT_PICTURE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <variant/base.h>

VARIANT_BEGIN

/* Whoever makes one sets what is not known to 0. */
typedef struct variant_picture {
    int width, height, channels;
    uint8_t *pixels; /* (height, width, channels) */
    int label;
    int token_count;
    int32_t *tokens;        /* (L): the token maps, scale after scale */
    int scale_count;        /* with keep_scales: the scales that were drawn, else 0 */
    uint8_t **scale_pixels; /* the picture after each scale, each like pixels */
    char *settings;         /* JSON: everything that made this picture */
    void *reserved;         /* NULL: for later versions, as the struct's size stays what it is */
} variant_picture;
/* Threads: one. */
void variant_pictures_free(variant_picture **pictures, int count);

/* A picture from a file: PNG, JPEG, WebP, GIF (its first frame), BMP or TIFF (its first page), by content, whatever its name; turned as
 * its EXIF orientation says, 16 bits rounded to 8. Where it is see-through it lies over "white" (NULL) or "black", or is taken without
 * ("drop": its hidden colours). *out is one picture, for variant_pictures_free(out, 1); its label is 0, and it has no settings
 * (variant_settings_read). Sides up to 32768, 2^28 pixels in all. E_IO, E_FORMAT: not there, no picture, damaged. Threads: any. */
variant_status variant_picture_read(variant_picture **out, const char *path, const char *alpha,
                                    variant_error *error);
/* What a picture file says as a mask, as variant_edit takes one: of one channel, 255 where it is see-through (alpha below 128) or, where
 * it has no such pixel, white (128 and above); 0 elsewhere. alpha_alone: white does not count. Threads: any. */
variant_status variant_mask_read(variant_picture **out, const char *path, bool alpha_alone,
                                 variant_error *error);
/* Width, height (turned) and channels (1 grey or 3 RGB, without alpha) of a picture file by its head alone. Threads: any. */
variant_status variant_picture_probe(const char *path, int *width, int *height, int *channels,
                                     variant_error *error);
/* The pixels at another size, for showing: larger by a whole factor each becomes a square of its own, else they are resampled
 * (area-weighted down, bilinear up). *out and its bounds as variant_picture_read has them. E_ARGUMENT: no picture, or sizes beyond the
 * bounds. Threads: any. */
variant_status variant_picture_scale(variant_picture **out, const variant_picture *picture,
                                     int width, int height, variant_error *error);

/* As the name ends, .png, .jpg, .jpeg or .webp, with the settings inside: text under the key "variant" of a PNG,
 * EXIF's UserComment of the others. "-": a PNG to the standard output. quality: 1 to 100 of JPEG and lossy WebP;
 * 0: JPEG 95, WebP lossless. The file appears whole or not at all. Other endings: E_ARGUMENT, which the second
 * tells before there is a picture, and sides beyond 32768, of a WebP 16383. Threads: any, of both. */
variant_status variant_picture_write(const variant_picture *picture, const char *path, int quality,
                                     variant_error *error);
variant_status variant_picture_path_check(const char *path, variant_error *error);
/* A PNG whatever the name. Threads: any. */
variant_status variant_picture_write_png(const variant_picture *picture, const char *path,
                                         variant_error *error);
/* The file's bytes instead, of format "png", "jpeg" or "webp": free() *bytes. Settings may be NULL.
 * Threads: any. */
variant_status variant_picture_encode(const variant_picture *picture, const char *format,
                                      int quality, uint8_t **bytes, size_t *size,
                                      variant_error *error);
/* The same of the picture after a scale (request.keep_scales). Threads: any. */
variant_status variant_picture_write_scale_png(const variant_picture *picture, int scale,
                                               const char *path, variant_error *error);
/* The pictures growing, a frame a scale (request.keep_scales), as an animated PNG with the settings of the first; who knows
 * no animations sees them finished. columns 0: one picture; else all on a sheet of so many, as below. Seconds from 0.001 to
 * 65.535 for which a frame is seen, and the last one; plays 0: for ever. */
typedef struct variant_animation {
    size_t size; /* variant_animation_init sets it */
    int columns, zoom;
    double frame_seconds, last_seconds;
    int plays;
} variant_animation;
/* columns 0, zoom 1, 0.4 and 2 s, for ever. */
VARIANT_SIZED(variant_animation);
/* Threads: any. */
variant_status variant_pictures_write_animation(const variant_picture *pictures, int count,
                                                const variant_animation *animation,
                                                const char *path, variant_error *error);
/* All pictures on one sheet of `columns` columns, with the settings of the first; path and quality as
 * variant_picture_write has them. Threads: any. */
variant_status variant_pictures_write_sheet(const variant_picture *pictures, int count, int columns,
                                            int zoom, const char *path, int quality,
                                            variant_error *error);

VARIANT_END

#endif

/* image.h - pictures as 8-bit samples in memory; PNG, JPEG, WebP, GIF, BMP and TIFF on disk. */
#ifndef VT_IO_IMAGE_H
#define VT_IO_IMAGE_H

#include "core/status.h"

typedef struct vt_image {
    int width, height, channels; /* channels 1 (grey) or 3 (RGB) */
    uint8_t *data;               /* (height, width, channels); owned, malloc */
} vt_image;

/* n samples in [-1, 1] to bytes, clamped, to nearest: what every picture passes on its way out. NaN
 * gives 0. False where a value is not finite. */
bool vt_image_bytes(uint8_t *out, const float *values, size_t n);

void vt_image_free(vt_image *image);
variant_status vt_image_new(vt_image *out, int width, int height, int channels, variant_error *err);

/* What becomes of a transparent picture: laid over white (the default) or black, or its hidden colours
 * shown, as other tools do who leave alpha out. */
typedef enum vt_alpha { VT_ALPHA_WHITE, VT_ALPHA_BLACK, VT_ALPHA_DROP } vt_alpha;
const char *vt_alpha_name(vt_alpha alpha);

/* Reads a PNG, JPEG, WebP, GIF (its first frame), BMP or TIFF (its first page) by content, whatever its
 * name, converted to `channels` (1 or 3; 0: the file's own): 16 bits are rounded to 8, alpha is laid over
 * white, CMYK taken as inverted (as everybody writes it), and the picture turned as its EXIF
 * orientation says. Sides up to 32768, 2^28 pixels in all. Damaged or truncated files give E_FORMAT;
 * nothing leaks. */
variant_status vt_image_read(vt_image *out, const char *path, int channels, variant_error *err);

/* Grey to RGB or back, in place of the picture's own channels. */
variant_status vt_image_convert(vt_image *image, int channels, variant_error *err);

typedef struct vt_image_text {
    const char *key, *value;
} vt_image_text; /* a PNG tEXt / iTXt pair */

#define VT_IMAGE_SETTINGS "variant" /* a PNG's key of what made the picture */
/* Writes a picture as its name ends: .png, .jpg, .jpeg or .webp, whole or not at all; a PNG to "-", the
 * standard output, and to devices and pipes. quality: 1 to 100 of JPEG and lossy WebP; 0: JPEG 95, WebP lossless.
 * settings (or NULL): JSON, as PNG's text VT_IMAGE_SETTINGS, else as EXIF's UserComment. Other names: E_ARGUMENT. */
variant_status vt_image_write(const vt_image *image, const char *path, int quality,
                              const char *settings, variant_error *err);
/* E_ARGUMENT, with the endings, where vt_image_write would refuse the name. */
variant_status vt_image_path_check(const char *path, variant_error *err);
/* The bytes that vt_image_write would put into a file: format "png", "jpeg" or "webp". free() *bytes. */
variant_status vt_image_encode(uint8_t **bytes, size_t *size, const vt_image *image,
                               const char *format, int quality, const char *settings,
                               variant_error *err);
/* Writes PNG through vt_replace, with the text pairs (UTF-8 values go to iTXt). Deterministic
 * bytes. */
variant_status vt_image_write_png(const vt_image *image, const char *path,
                                  const vt_image_text *text, int text_count, variant_error *err);
#define VT_FRAME_MS_MAX 65535 /* APNG counts them in 16 bits */
/* Pictures of one size, one after another. */
typedef struct vt_animation {
    int frames;
    int delay_ms, last_ms; /* how long each is seen, and the last one; 1 to VT_FRAME_MS_MAX */
    int plays;             /* 0: for ever */
    /* makes frame i, which is freed after use; asked once for each, and first for the last one */
    variant_status (*frame)(void *user, int i, vt_image *out, variant_error *err);
    void *user;
} vt_animation;
/* Writes an animated PNG, whole or not at all. Who knows no animations sees the last frame. */
variant_status vt_image_write_animation(const vt_animation *animation, const char *path,
                                        const vt_image_text *text, int text_count,
                                        variant_error *err);
/* The value of a text key in a PNG: free() it; E_FORMAT if there is none. */
variant_status vt_image_read_text(char **out, const char *path, const char *key,
                                  variant_error *err);

/* What vt_image_write put in as settings, of a PNG, JPEG or WebP: free() it; E_FORMAT where there is nothing. */
variant_status vt_image_read_settings(char **out, const char *path, variant_error *err);

/* Covers side x side: scales the shorter side to `side` (area-weighted down, bilinear up), then
 * crops the square whose position is (fx, fy) in [0, 1] of the slack (0.5, 0.5: the centre),
 * mirrored left-right when flip. */
variant_status vt_image_fit(vt_image *out, const vt_image *image, int side, double fx, double fy,
                            bool flip, variant_error *err);
/* How a picture that is no square becomes one: its middle (or a crop), all of it with black beside it, or
 * squeezed. */
typedef enum vt_fit { VT_FIT_CROP, VT_FIT_PAD, VT_FIT_STRETCH } vt_fit;
const char *vt_fit_name(vt_fit fit);
/* Size to which a picture is scaled for a square of `side`: crop: the shorter side is that; pad: the longer;
 * stretch: both. */
void vt_fit_size(vt_fit fit, int width, int height, int side, int *to_width, int *to_height);
/* side x side, as `fit` says; of a crop the middle. */
variant_status vt_image_square(vt_image *out, const vt_image *image, int side, vt_fit fit,
                               variant_error *err);
/* The window (x, y, columns, rows) of the image scaled to width x height, mirrored when flip. Every
 * output sample depends on its position alone: a window cut from a scaled picture equals the window
 * scaled directly. */
typedef struct vt_window {
    int width, height, x, y, columns, rows;
    bool flip;
} vt_window;
variant_status vt_image_resample(vt_image *out, const vt_image *image, const vt_window *window,
                                 variant_error *err);

/* A picture by its rows, whoever has or makes them: row y of (width, channels) samples, in `room`, which has so many, or
 * anywhere; good until the next is asked for. */
typedef struct vt_rows {
    int width, height, channels;
    const uint8_t *(*row)(void *user, int y, uint8_t *room);
    void *user;
} vt_rows;
/* Takes each row (columns, channels) of what comes out, from the first on. */
typedef struct vt_row_sink {
    void (*row)(void *user, int y, const uint8_t *row);
    void *user;
} vt_row_sink;
/* Those of a picture in memory, and a sink's row into one (user: a vt_image). */
vt_rows vt_image_rows(vt_image *image);
void vt_image_keep_row(void *user, int y, const uint8_t *row);
/* vt_image_resample, row by row: neither picture has to be in memory. */
variant_status vt_image_resample_rows(const vt_rows *from, const vt_window *window,
                                      const vt_row_sink *to, variant_error *err);
/* What that takes while it works, of a picture of this size. */
size_t vt_image_resample_bytes(int width, int height, int channels, const vt_window *window);

/* Pads to side x side with `value`, picture in the centre (28 -> 32: two pixels each side). */
variant_status vt_image_pad(vt_image *out, const vt_image *image, int side, uint8_t value,
                            variant_error *err);

/* A contact sheet: `count` pictures of one size in `columns` columns, `gap` pixels of white between
 * and around, each enlarged by the integer `zoom` (nearest). */
variant_status vt_image_sheet(vt_image *out, const vt_image *pictures, int count, int columns,
                              int gap, int zoom, variant_error *err);

#endif

/* picture.h - what the picture files of io/ share and nobody else needs: the two codecs behind
 * image.h, and resampling with a window, on which both vt_image_fit and the datasets stand.
 *
 * A codec works on an open stream and knows no path; image.c puts the path before its messages. */
#ifndef VT_IO_PICTURE_H
#define VT_IO_PICTURE_H

#include <stdio.h>

#include "io/image.h"

#define VT_IMAGE_SIDE_MAX 32768

/* Decodes the stream from its start in the file's own channels (1 or 3, alpha laid over white).
 * With header_only just width, height and channels are filled and data stays NULL. E_FORMAT:
 * damaged; E_IO: the read failed. */
variant_status vt_png_decode(vt_image *out, FILE *stream, bool header_only, variant_error *err);
variant_status vt_jpeg_decode(vt_image *out, FILE *stream, bool header_only, variant_error *err);

/* Width, height and channels of a picture file without decoding it; out->data is NULL. */
variant_status vt_image_probe(vt_image *out, const char *path, variant_error *err);

/* Luma of an RGB sample, Rec. 601 weights that sum to 65536. */
static inline uint8_t vt_luma(const uint8_t *rgb) {
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/* Where in `slack` pixels position f in [0, 1] lies: rounded, halves down (0.5: slack / 2). */
int vt_slack_offset(double f, int slack);

/* Size of an image whose shorter side is scaled to `side`. */
void vt_scaled_size(int width, int height, int side, int *scaled_width, int *scaled_height);

/* The window (x, y, columns, rows) of the image scaled to width x height, mirrored when flip. Every
 * output sample depends on its position alone: a window cut from a scaled picture equals the window
 * scaled directly. */
typedef struct vt_window {
    int width, height, x, y, columns, rows;
    bool flip;
} vt_window;
variant_status vt_image_resample(vt_image *out, const vt_image *image, const vt_window *window,
                                 variant_error *err);

#endif

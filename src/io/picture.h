/* picture.h - what the picture files of io/ share and nobody else needs: the codecs behind image.h.
 *
 * A codec works on the bytes of a file and knows no path; picture_read.c puts the path before its
 * messages. */
#ifndef VT_IO_PICTURE_H
#define VT_IO_PICTURE_H

#include <stdio.h>

#include "io/image.h"

/* A picture is refused by its header, before memory is taken for its pixels. */
#define VT_IMAGE_SIDE_MAX 32768
#define VT_IMAGE_PIXELS_MAX ((int64_t)1 << 28)

/* Whether TIFF is among the formats that are read, and what messages call these. */
#ifdef VARIANT_TIFF
#define VT_READS_TIFF true
#define VT_PICTURE_FORMATS "PNG, JPEG, WebP, GIF, BMP or TIFF"
#else
#define VT_READS_TIFF false
#define VT_PICTURE_FORMATS "PNG, JPEG, WebP, GIF or BMP"
#endif

typedef struct vt_bytes {
    const uint8_t *data;
    size_t size;
} vt_bytes;

/* A picture as it lies in its file. */
typedef struct vt_raw_picture {
    int width, height;
    int channels;    /* 1 grey, 2 grey and alpha, 3 RGB, 4 RGB and alpha; alpha is straight */
    int orientation; /* as EXIF numbers it, 1 to 8; 0: nothing is said */
    uint8_t *data;   /* (height, width, channels), malloc; NULL with header_only */
} vt_raw_picture;

/* Each decodes one format; with header_only just the sizes are filled. E_FORMAT: damaged, or larger than
 * the limits. Of animations the first frame, of several pages the first. */
variant_status vt_png_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                             variant_error *err);
variant_status vt_jpeg_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                              variant_error *err);
variant_status vt_webp_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                              variant_error *err);
variant_status vt_gif_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                             variant_error *err);
variant_status vt_bmp_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                             variant_error *err);
variant_status vt_tiff_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                              variant_error *err);

/* An EXIF block, "Exif" in front, with an ASCII comment (at most 60000 bytes) and the program's name.
 * free() out->data. */
variant_status vt_exif_build(vt_bytes *out, const char *comment, variant_error *err);
/* Each makes a file of a picture, with the block (size 0: none) inside; quality 1 to 100, of WebP also 0:
 * lossless. free() out->data. */
variant_status vt_jpeg_encode(vt_bytes *out, const vt_image *image, int quality, vt_bytes exif,
                              variant_error *err);
variant_status vt_webp_encode(vt_bytes *out, const vt_image *image, int quality, vt_bytes exif,
                              variant_error *err);
/* vt_image_write_png into memory. free() out->data. */
variant_status vt_png_encode(vt_bytes *out, const vt_image *image, const vt_image_text *text,
                             int text_count, variant_error *err);

/* E_FORMAT, with the limit, unless a picture of that size may be decoded. */
variant_status vt_picture_size_check(const char *format, int64_t width, int64_t height,
                                     variant_error *err);
/* Orientation of an EXIF block, with or without its "Exif" in front; 0: it says none. */
int vt_exif_orientation(const uint8_t *data, size_t size);
/* The UserComment of such a block, where it is ASCII: free() it; NULL: there is none. */
char *vt_exif_comment(const uint8_t *data, size_t size);

/* What became known of a file while it was read. */
typedef struct vt_picture_facts {
    uint64_t content; /* 64 bits of its bytes, never 0; 0 after vt_image_probe */
    uint64_t
        stamp;    /* of size, times and inode: another one where the file was written or replaced */
    int64_t size; /* bytes */
    bool turned;  /* as its EXIF orientation says */
    bool unknown; /* the system failed to read it: what the file holds, nobody knows */
} vt_picture_facts;
/* Of the file alone, without reading it; 0: it cannot be asked. */
uint64_t vt_picture_stamp(const char *path);
/* vt_image_read with a choice for alpha; facts may be NULL. */
variant_status vt_picture_read(vt_image *out, const char *path, int channels, vt_alpha alpha,
                               vt_picture_facts *facts, variant_error *err);
/* What a picture says as a mask: out (height, width), one channel, 255 where it is see-through (alpha below 128), or, where
 * it has no such pixel, white (128 and above); 0 elsewhere. alpha_alone: white does not count. */
variant_status vt_mask_read(vt_image *out, const char *path, bool alpha_alone, variant_error *err);
/* The same of a file's bytes in memory, decoded once; no path stands before the message. mask: what is see-through in the picture, or NULL. White in
 * a mask's file counts only where it has no alpha at all. */
variant_status vt_picture_decode(vt_image *out, vt_image *mask, vt_bytes file, int channels,
                                 vt_alpha alpha, variant_error *err);
variant_status vt_mask_decode(vt_image *out, vt_bytes file, variant_error *err);
variant_status vt_picture_head(vt_image *out, vt_bytes file, variant_error *err);
/* Width, height (turned) and channels (without alpha) of a picture file without decoding it;
 * out->data is NULL. */
variant_status vt_image_probe(vt_image *out, const char *path, vt_picture_facts *facts,
                              variant_error *err);
/* What a file holds, without decoding it. */
variant_status vt_picture_content(const char *path, vt_picture_facts *facts, variant_error *err);
/* 64 bits of bytes for telling contents apart, never 0. */
uint64_t vt_content_hash(const uint8_t *data, size_t size);
/* The first bytes of a file tell what it is: one of the formats above? */
bool vt_picture_starts(const uint8_t *data, size_t size);
/* Luma of an RGB sample, Rec. 601 weights that sum to 65536. */
static inline uint8_t vt_luma(const uint8_t *rgb) {
    return (uint8_t)((19595u * rgb[0] + 38470u * rgb[1] + 7471u * rgb[2] + 32768u) >> 16);
}

/* Where in `slack` pixels position f in [0, 1] lies: rounded, halves down (0.5: slack / 2). */
int vt_slack_offset(double f, int slack);

/* Size of an image whose shorter side is scaled to `side`. */
void vt_scaled_size(int width, int height, int side, int *scaled_width, int *scaled_height);

#endif

/* jpeg.c - JPEG files by libjpeg: baseline and progressive; grey, colour and CMYK.
 *
 * Data that ends early or does not decode is an error, though libjpeg itself would go on with grey.
 * Called by picture_read.c. */
#include <setjmp.h>
#include <stdlib.h>
#include <string.h>

#include "io/picture.h"

#include <jpeglib.h> /* after stdio.h, which it needs */

#include <jerror.h>

#define SCANS_MAX 200 /* real files have about ten; each costs a pass over the picture */

typedef struct jpeg_work {
    struct jpeg_decompress_struct jpeg;
    struct jpeg_error_mgr errors; /* found from jpeg.err by its place here */
    struct jpeg_progress_mgr progress;
    jmp_buf jump;
    variant_status status;
    char message[JMSG_LENGTH_MAX + 32];
    vt_bytes file;
    bool header_only;
    vt_raw_picture picture;
    uint8_t *row; /* CMYK only: (width, 4) */
} jpeg_work;

static void work_stop(jpeg_work *work, variant_status status) __attribute__((noreturn));

/* The message is in work already. */
static void work_stop(jpeg_work *work, variant_status status) {
    work->status = status;
    longjmp(work->jump, 1);
}

static void jpeg_failed(j_common_ptr jpeg) {
    jpeg_work *work = jpeg->client_data;
    char text[JMSG_LENGTH_MAX] = "";
    jpeg->err->format_message(jpeg, text);
    snprintf(work->message, sizeof work->message, "damaged JPEG (%s)", text);
    work_stop(work,
              jpeg->err->msg_code == JERR_OUT_OF_MEMORY ? VARIANT_E_MEMORY : VARIANT_E_FORMAT);
}

/* Of libjpeg's warnings those that mean lost samples are errors here; stray bytes between markers
 * and the like are not. */
static void jpeg_noted(j_common_ptr jpeg, int level) {
    if (level >= 0) return;
    switch (jpeg->err->msg_code) {
    case JWRN_JPEG_EOF:
    case JWRN_HIT_MARKER:
    case JWRN_HUFF_BAD_CODE:
    case JWRN_ARITH_BAD_CODE:
    case JWRN_MUST_RESYNC:
    case JWRN_NOT_SEQUENTIAL:
    case JWRN_BOGUS_PROGRESSION:
        jpeg_failed(jpeg);
    default:
        break;
    }
}

static void jpeg_silent(j_common_ptr jpeg) {
    (void)jpeg;
}

static void jpeg_advanced(j_common_ptr jpeg) {
    jpeg_work *work = jpeg->client_data;
    if (work->jpeg.input_scan_number <= SCANS_MAX) return;
    snprintf(work->message, sizeof work->message, "damaged JPEG (more than %d scans)", SCANS_MAX);
    work_stop(work, VARIANT_E_FORMAT);
}

/* CMYK is stored inverted, paper as 255: Adobe's programs began it, and all write it so, with Adobe's
 * marker or without. */
static void row_from_cmyk(uint8_t *rgb, const uint8_t *cmyk, int width) {
    for (int x = 0; x < width; x++, rgb += 3, cmyk += 4)
        for (int c = 0; c < 3; c++) rgb[c] = (uint8_t)((cmyk[c] * cmyk[3] + 127u) / 255u);
}

static int orientation_of(const struct jpeg_decompress_struct *jpeg) {
    int orientation = 0;
    for (jpeg_saved_marker_ptr at = jpeg->marker_list; at && !orientation; at = at->next)
        if (at->marker == JPEG_APP0 + 1 && at->data_length > 6 &&
            memcmp(at->data, "Exif\0", 6) == 0)
            orientation = vt_exif_orientation(at->data, at->data_length);
    return orientation;
}

static void steps_decode(jpeg_work *work) {
    struct jpeg_decompress_struct *jpeg = &work->jpeg;
    jpeg_create_decompress(jpeg);
    jpeg->progress = &work->progress;
    jpeg_mem_src(jpeg, work->file.data, (unsigned long)work->file.size);
    jpeg_save_markers(jpeg, JPEG_APP0 + 1, 0xFFFF);

    /* 1. The header. */
    jpeg_read_header(jpeg, TRUE);
    variant_error refused = {0};
    if (vt_picture_size_check("JPEG", jpeg->image_width, jpeg->image_height, &refused) !=
        VARIANT_OK) {
        snprintf(work->message, sizeof work->message, "%.200s", refused.message);
        work_stop(work, VARIANT_E_FORMAT);
    }
    bool cmyk = jpeg->jpeg_color_space == JCS_CMYK || jpeg->jpeg_color_space == JCS_YCCK;
    bool grey = jpeg->jpeg_color_space == JCS_GRAYSCALE;
    jpeg->out_color_space = cmyk ? JCS_CMYK : grey ? JCS_GRAYSCALE : JCS_RGB;
    jpeg->dct_method = JDCT_ISLOW;
    vt_raw_picture *image = &work->picture;
    *image = (vt_raw_picture){(int)jpeg->image_width, (int)jpeg->image_height, grey ? 1 : 3,
                              orientation_of(jpeg), NULL};
    if (work->header_only) return;

    /* 2. The samples. */
    size_t stride = (size_t)image->width * (size_t)image->channels;
    image->data = malloc(stride * (size_t)image->height);
    work->row = cmyk ? malloc((size_t)image->width * 4) : NULL;
    if (!image->data || (cmyk && !work->row)) {
        snprintf(work->message, sizeof work->message, "no memory for %d x %d samples", image->width,
                 image->height);
        work_stop(work, VARIANT_E_MEMORY);
    }
    jpeg_start_decompress(jpeg);
    while (jpeg->output_scanline < jpeg->output_height) {
        uint8_t *target = image->data + jpeg->output_scanline * stride;
        JSAMPROW row = cmyk ? work->row : target;
        if (jpeg_read_scanlines(jpeg, &row, 1) != 1) break;
        if (cmyk) row_from_cmyk(target, row, image->width);
    }
    jpeg_finish_decompress(jpeg);
}

/* Turns a jump into a status. All that must outlive it lies in work, on the caller's side. */
static variant_status work_run(jpeg_work *work, variant_error *err) {
    if (setjmp(work->jump)) return vt_fail(err, work->status, "%s", work->message);
    steps_decode(work);
    return VARIANT_OK;
}

variant_status vt_jpeg_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                              variant_error *err) {
    jpeg_work work = {.file = file, .header_only = header_only};
    work.jpeg.err = jpeg_std_error(&work.errors);
    work.jpeg.client_data = &work; /* kept by jpeg_create_decompress */
    work.errors.error_exit = jpeg_failed;
    work.errors.emit_message = jpeg_noted;
    work.errors.output_message = jpeg_silent;
    work.progress.progress_monitor = jpeg_advanced;
    variant_status status = work_run(&work, err);
    if (status == VARIANT_OK) {
        *out = work.picture;
    } else {
        free(work.picture.data);
    }
    free(work.row);
    jpeg_destroy_decompress(&work.jpeg); /* allowed on one that was never created */
    return status;
}

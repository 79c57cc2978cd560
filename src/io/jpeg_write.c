/* jpeg_write.c - JPEG files by libjpeg: all of the colour's samples kept (4:4:4). Called by picture_write.c. */
#include <setjmp.h>
#include <stdlib.h>

#include "io/picture.h"

#include <jpeglib.h> /* after stdio.h, which it needs */

#include <jerror.h>

typedef struct jpeg_work {
    struct jpeg_compress_struct jpeg;
    struct jpeg_error_mgr errors;
    jmp_buf jump;
    bool no_memory;
    char message[JMSG_LENGTH_MAX];
    const vt_image *image;
    int quality;
    vt_bytes exif;
    unsigned char *file;
    unsigned long size;
} jpeg_work;

static void jpeg_failed(j_common_ptr jpeg) {
    jpeg_work *work = jpeg->client_data;
    work->no_memory = jpeg->err->msg_code == JERR_OUT_OF_MEMORY;
    jpeg->err->format_message(jpeg, work->message);
    longjmp(work->jump, 1);
}

static void jpeg_silent(j_common_ptr jpeg) {
    (void)jpeg;
}

static void steps_encode(jpeg_work *work) {
    struct jpeg_compress_struct *jpeg = &work->jpeg;
    const vt_image *image = work->image;
    jpeg_create_compress(jpeg);
    jpeg_mem_dest(jpeg, &work->file, &work->size);
    jpeg->image_width = (JDIMENSION)image->width;
    jpeg->image_height = (JDIMENSION)image->height;
    jpeg->input_components = image->channels;
    jpeg->in_color_space = image->channels == 3 ? JCS_RGB : JCS_GRAYSCALE;
    jpeg_set_defaults(jpeg);
    jpeg_set_quality(jpeg, work->quality, TRUE);
    jpeg->optimize_coding = TRUE;
    jpeg->dct_method = JDCT_ISLOW;
    for (int i = 0; i < jpeg->num_components; ++i)
        jpeg->comp_info[i].h_samp_factor = jpeg->comp_info[i].v_samp_factor = 1;
    jpeg_start_compress(jpeg, TRUE);
    if (work->exif.size)
        jpeg_write_marker(jpeg, JPEG_APP0 + 1, work->exif.data, (unsigned)work->exif.size);
    size_t stride = (size_t)image->width * (size_t)image->channels;
    while (jpeg->next_scanline < jpeg->image_height) {
        JSAMPROW row = image->data + jpeg->next_scanline * stride;
        jpeg_write_scanlines(jpeg, &row, 1);
    }
    jpeg_finish_compress(jpeg);
}

/* Turns a jump into false. All that must outlive it lies in work, on the caller's side. */
static bool work_run(jpeg_work *work) {
    if (setjmp(work->jump)) return false;
    steps_encode(work);
    return true;
}

variant_status vt_jpeg_encode(vt_bytes *out, const vt_image *image, int quality, vt_bytes exif,
                              variant_error *err) {
    jpeg_work work = {.image = image, .quality = quality, .exif = exif};
    work.jpeg.err = jpeg_std_error(&work.errors);
    work.jpeg.client_data = &work; /* kept by jpeg_create_compress */
    work.errors.error_exit = jpeg_failed;
    work.errors.output_message = jpeg_silent;
    bool whole = work_run(&work);
    jpeg_destroy_compress(&work.jpeg);
    if (whole) {
        *out = (vt_bytes){work.file, work.size};
        return VARIANT_OK;
    }
    free(work.file);
    return vt_fail(err, work.no_memory ? VARIANT_E_MEMORY : VARIANT_E_FORMAT,
                   "cannot make a JPEG: %s", work.message);
}

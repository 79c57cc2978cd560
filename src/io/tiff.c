/* tiff.c - the first page of TIFF files by libtiff, whatever its compression and colours. Called by
 * picture_read.c. */
#include <stdlib.h>
#include <string.h>
#include <tiffio.h>

#include "io/picture.h"

#define ALLOCATION_MAX ((tmsize_t)1 << 30)

typedef struct tiff_work {
    vt_bytes file;
    size_t at;
    char message[160]; /* the first complaint */
} tiff_work;

static tmsize_t tiff_take(thandle_t handle, void *out, tmsize_t size) {
    tiff_work *work = handle;
    size_t left = work->file.size - work->at, taken = (size_t)size < left ? (size_t)size : left;
    memcpy(out, work->file.data + work->at, taken);
    work->at += taken;
    return (tmsize_t)taken;
}

static tmsize_t tiff_put(thandle_t handle, void *data, tmsize_t size) {
    (void)handle;
    (void)data;
    (void)size;
    return 0;
}

static toff_t tiff_seek(thandle_t handle, toff_t offset, int whence) {
    tiff_work *work = handle;
    uint64_t from = whence == SEEK_CUR ? work->at : whence == SEEK_END ? work->file.size : 0;
    uint64_t at = from + offset;
    if (at > work->file.size) at = work->file.size;
    work->at = (size_t)at;
    return at;
}

static int tiff_close(thandle_t handle) {
    (void)handle;
    return 0;
}

static toff_t tiff_size(thandle_t handle) {
    tiff_work *work = handle;
    return work->file.size;
}

static int tiff_failed(TIFF *tiff, void *user, const char *module, const char *format,
                       va_list args) {
    tiff_work *work = user;
    (void)tiff;
    (void)module;
    if (!work->message[0]) vsnprintf(work->message, sizeof work->message, format, args);
    return 1;
}

static int tiff_warned(TIFF *tiff, void *user, const char *module, const char *format,
                       va_list args) {
    (void)tiff;
    (void)user;
    (void)module;
    (void)format;
    (void)args;
    return 1;
}

static TIFF *tiff_open(tiff_work *work) {
    TIFFOpenOptions *options = TIFFOpenOptionsAlloc();
    if (!options) return NULL;
    TIFFOpenOptionsSetMaxSingleMemAlloc(options, ALLOCATION_MAX);
    TIFFOpenOptionsSetErrorHandlerExtR(options, tiff_failed, work);
    TIFFOpenOptionsSetWarningHandlerExtR(options, tiff_warned, work);
    TIFF *tiff = TIFFClientOpenExt("picture", "rm", work, tiff_take, tiff_put, tiff_seek,
                                   tiff_close, tiff_size, NULL, NULL, options);
    TIFFOpenOptionsFree(options);
    return tiff;
}

/* libtiff multiplies colours by alpha: taken back, as the other formats have them. */
static void samples_store(vt_raw_picture *out, const uint32_t *raster) {
    size_t pixels = (size_t)out->width * (size_t)out->height;
    bool grey = out->channels < 3, alpha = out->channels == 2 || out->channels == 4;
    uint8_t *to = out->data;
    for (size_t i = 0; i < pixels; i++) {
        unsigned a = TIFFGetA(raster[i]);
        unsigned colours[3] = {TIFFGetR(raster[i]), TIFFGetG(raster[i]), TIFFGetB(raster[i])};
        for (int c = 0; c < (grey ? 1 : 3); c++) {
            unsigned value = colours[c];
            if (alpha && a > 0 && a < 255) value = (value * 255u + a / 2) / a;
            *to++ = (uint8_t)(value > 255u ? 255u : value);
        }
        if (alpha) *to++ = (uint8_t)a;
    }
}

static variant_status page_read(vt_raw_picture *out, TIFFRGBAImage *page, const tiff_work *work,
                                variant_error *err) {
    size_t pixels = (size_t)out->width * (size_t)out->height;
    uint32_t *raster = malloc(pixels * sizeof *raster);
    out->data = malloc(pixels * (size_t)out->channels);
    variant_status status = VARIANT_OK;
    if (!raster || !out->data)
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for %d x %d samples", out->width,
                         out->height);
    else if (!TIFFRGBAImageGet(page, raster, page->width, page->height))
        status = vt_fail(err, VARIANT_E_FORMAT, "damaged TIFF (%s)",
                         work->message[0] ? work->message : "its data");
    else
        samples_store(out, raster);
    free(raster);
    return status;
}

static variant_status decode(vt_raw_picture *out, TIFF *tiff, const tiff_work *work,
                             bool header_only, variant_error *err) {
    uint32_t width = 0, height = 0;
    uint16_t orientation = 0;
    char why[1024] = "";
    TIFFRGBAImage page;
    TIFFGetField(tiff, TIFFTAG_IMAGEWIDTH, &width);
    TIFFGetField(tiff, TIFFTAG_IMAGELENGTH, &height);
    VT_TRY(vt_picture_size_check("TIFF", width, height, err));
    if (TIFFGetField(tiff, TIFFTAG_ORIENTATION, &orientation) && orientation <= 8)
        out->orientation = orientation;
    if (!TIFFRGBAImageOK(tiff, why) || !TIFFRGBAImageBegin(&page, tiff, 1, why))
        return vt_fail(err, VARIANT_E_FORMAT, "a TIFF that cannot be read here (%.150s)",
                       why[0] ? why : work->message);
    bool grey =
        page.photometric == PHOTOMETRIC_MINISBLACK || page.photometric == PHOTOMETRIC_MINISWHITE;
    out->width = (int)width;
    out->height = (int)height;
    out->channels = (grey ? 1 : 3) + (page.alpha != 0);
    page.orientation = page.req_orientation = ORIENTATION_TOPLEFT; /* turned by picture_read.c */
    variant_status status = header_only ? VARIANT_OK : page_read(out, &page, work, err);
    TIFFRGBAImageEnd(&page);
    return status;
}

variant_status vt_tiff_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                              variant_error *err) {
    tiff_work work = {.file = file};
    TIFF *tiff = tiff_open(&work);
    if (!tiff)
        return vt_fail(err, VARIANT_E_FORMAT, "damaged TIFF (%s)",
                       work.message[0] ? work.message : "its header");
    variant_status status = decode(out, tiff, &work, header_only, err);
    TIFFClose(tiff);
    if (status == VARIANT_OK) return VARIANT_OK;
    free(out->data);
    out->data = NULL;
    return status;
}

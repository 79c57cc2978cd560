/* gif.c - the first frame of GIF files by giflib. What the frame does not cover is clear, as its clear
 * colour is. Called by picture_read.c. */
#include <gif_lib.h>
#include <stdlib.h>
#include <string.h>

#include "io/picture.h"

enum { FRAME_PIXELS = 1 << 24 }; /* of a frame that is larger than its picture */

static int take(GifFileType *gif, GifByteType *out, int size) {
    vt_bytes *left = gif->UserData;
    size_t taken = (size_t)size < left->size ? (size_t)size : left->size;
    memcpy(out, left->data, taken);
    left->data += taken;
    left->size -= taken;
    return (int)taken;
}

static variant_status damaged(const GifFileType *gif, variant_error *err) {
    const char *why = GifErrorString(gif->Error);
    return vt_fail(err, VARIANT_E_FORMAT, "damaged GIF (%s)", why ? why : "its data");
}

/* Goes to the first frame; *clear: its clear colour, or NO_TRANSPARENT_COLOR. */
static variant_status frame_find(GifFileType *gif, int *clear, variant_error *err) {
    GifRecordType type;
    *clear = NO_TRANSPARENT_COLOR;
    while (DGifGetRecordType(gif, &type) == GIF_OK && type != TERMINATE_RECORD_TYPE) {
        if (type == IMAGE_DESC_RECORD_TYPE)
            return DGifGetImageDesc(gif) == GIF_OK ? VARIANT_OK : damaged(gif, err);
        int code = 0;
        GifByteType *block = NULL;
        if (type != EXTENSION_RECORD_TYPE) continue;
        if (DGifGetExtension(gif, &code, &block) != GIF_OK) break;
        GraphicsControlBlock control;
        if (code == GRAPHICS_EXT_FUNC_CODE && block &&
            DGifExtensionToGCB(block[0], block + 1, &control) == GIF_OK)
            *clear = control.TransparentColor;
        while (block && DGifGetExtensionNext(gif, &block) == GIF_OK) continue;
    }
    return vt_fail(err, VARIANT_E_FORMAT, "damaged GIF (no picture in it)");
}

/* One row of colour numbers to RGBA. */
static variant_status row_store(vt_raw_picture *out, const GifFileType *gif, const uint8_t *row,
                                int y, int clear, variant_error *err) {
    const GifImageDesc *frame = &gif->Image;
    const ColorMapObject *colours = frame->ColorMap ? frame->ColorMap : gif->SColorMap;
    if (!colours) return vt_fail(err, VARIANT_E_FORMAT, "damaged GIF (no colours in it)");
    for (int i = 0; i < frame->Width; i++) {
        int x = frame->Left + i;
        if (x < 0 || x >= out->width || y < 0 || y >= out->height || row[i] == clear) continue;
        if (row[i] >= colours->ColorCount)
            return vt_fail(err, VARIANT_E_FORMAT, "damaged GIF (colour %d of %d)", row[i],
                           colours->ColorCount);
        const GifColorType *colour = &colours->Colors[row[i]];
        uint8_t *to = out->data + 4 * ((size_t)y * (size_t)out->width + (size_t)x);
        memcpy(to, (uint8_t[]){colour->Red, colour->Green, colour->Blue, 255}, 4);
    }
    return VARIANT_OK;
}

static variant_status frame_read(vt_raw_picture *out, GifFileType *gif, int clear, uint8_t *row,
                                 variant_error *err) {
    static const int starts[] = {0, 4, 2, 1}, steps[] = {8, 8, 4, 2}; /* of an interlaced one */
    const GifImageDesc *frame = &gif->Image;
    for (int pass = 0; pass < (frame->Interlace ? 4 : 1); pass++) {
        int first = frame->Interlace ? starts[pass] : 0, step = frame->Interlace ? steps[pass] : 1;
        for (int y = first; y < frame->Height; y += step) {
            if (DGifGetLine(gif, row, frame->Width) != GIF_OK) return damaged(gif, err);
            VT_TRY(row_store(out, gif, row, frame->Top + y, clear, err));
        }
    }
    return VARIANT_OK;
}

/* A picture without a clear pixel has no alpha. */
static void opaque(vt_raw_picture *out) {
    size_t pixels = (size_t)out->width * (size_t)out->height;
    for (size_t i = 0; i < pixels; i++)
        if (out->data[4 * i + 3] != 255) return;
    for (size_t i = 0; i < pixels; i++) memmove(out->data + 3 * i, out->data + 4 * i, 3);
    out->channels = 3;
}

/* What lies beyond the picture is decoded for nothing: whoever bounds the picture's size has bounded its frame's, too. */
static variant_status frame_check(const vt_raw_picture *out, const GifImageDesc *frame,
                                  variant_error *err) {
    const int64_t pixels = (int64_t)frame->Width * frame->Height;
    if (pixels <= FRAME_PIXELS || pixels <= (int64_t)out->width * out->height) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_FORMAT,
        "a GIF's frame of %d x %d pixels in a picture of %d x %d: expected no more than it "
        "holds, or %d",
        frame->Width, frame->Height, out->width, out->height, FRAME_PIXELS);
}

static variant_status decode(vt_raw_picture *out, GifFileType *gif, bool header_only,
                             variant_error *err) {
    int clear;
    VT_TRY(frame_find(gif, &clear, err));
    const GifImageDesc *frame = &gif->Image;
    VT_TRY(vt_picture_size_check("GIF's frame", frame->Width, frame->Height, err));
    out->width = gif->SWidth > 0 ? gif->SWidth : frame->Width;
    out->height = gif->SHeight > 0 ? gif->SHeight : frame->Height;
    out->channels = 4;
    VT_TRY(vt_picture_size_check("GIF", out->width, out->height, err));
    VT_TRY(frame_check(out, frame, err));
    if (header_only) return VARIANT_OK;
    uint8_t *row = malloc((size_t)frame->Width);
    out->data = calloc((size_t)out->width * (size_t)out->height, 4);
    variant_status status = row && out->data
                                ? frame_read(out, gif, clear, row, err)
                                : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d x %d samples",
                                          out->width, out->height);
    free(row);
    if (status == VARIANT_OK) opaque(out);
    return status;
}

variant_status vt_gif_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                             variant_error *err) {
    int error = 0;
    vt_bytes left = file;
    GifFileType *gif = DGifOpen(&left, take, &error);
    if (!gif) {
        const char *why = GifErrorString(error);
        return vt_fail(err, error == D_GIF_ERR_NOT_ENOUGH_MEM ? VARIANT_E_MEMORY : VARIANT_E_FORMAT,
                       "damaged GIF (%s)", why ? why : "its header");
    }
    variant_status status = decode(out, gif, header_only, err);
    DGifCloseFile(gif, &error);
    if (status == VARIANT_OK) return VARIANT_OK;
    free(out->data);
    out->data = NULL;
    return status;
}

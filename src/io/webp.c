/* webp.c - WebP files by libwebp: lossy, lossless, with alpha; of an animation the first frame. Called by
 * picture_read.c. */
#include <stdlib.h>
#include <webp/decode.h>
#include <webp/demux.h>

#include "io/picture.h"

static int orientation_of(const WebPData *file) {
    WebPDemuxer *demuxer = WebPDemux(file);
    WebPChunkIterator chunk;
    int orientation = 0;
    if (demuxer && WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        orientation = vt_exif_orientation(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
    return orientation;
}

/* The first frame over a clear ground, as the animation begins. */
static bool first_frame(vt_raw_picture *out, const WebPData *file) {
    WebPAnimDecoderOptions options;
    uint8_t *canvas = NULL;
    int time = 0;
    if (!WebPAnimDecoderOptionsInit(&options)) return false;
    options.color_mode = MODE_RGBA;
    WebPAnimDecoder *decoder = WebPAnimDecoderNew(file, &options);
    bool decoded = decoder && WebPAnimDecoderGetNext(decoder, &canvas, &time);
    size_t size = (size_t)out->width * (size_t)out->height * 4;
    for (size_t i = 0; decoded && i < size; i++) out->data[i] = canvas[i];
    WebPAnimDecoderDelete(decoder);
    return decoded;
}

variant_status vt_webp_decode(vt_raw_picture *out, vt_bytes file, bool header_only,
                              variant_error *err) {
    WebPBitstreamFeatures features;
    const WebPData data = {file.data, file.size};
    if (WebPGetFeatures(file.data, file.size, &features) != VP8_STATUS_OK)
        return vt_fail(err, VARIANT_E_FORMAT, "damaged WebP (its header)");
    VT_TRY(vt_picture_size_check("WebP", features.width, features.height, err));
    out->width = features.width;
    out->height = features.height;
    out->channels = features.has_alpha || features.has_animation ? 4 : 3;
    out->orientation = orientation_of(&data);
    if (header_only) return VARIANT_OK;
    int stride = out->width * out->channels;
    size_t size = (size_t)stride * (size_t)out->height;
    out->data = malloc(size);
    if (!out->data)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d x %d samples", out->width,
                       out->height);
    bool decoded = features.has_animation ? first_frame(out, &data)
                   : out->channels == 4
                       ? WebPDecodeRGBAInto(file.data, file.size, out->data, size, stride) != NULL
                       : WebPDecodeRGBInto(file.data, file.size, out->data, size, stride) != NULL;
    return decoded ? VARIANT_OK : vt_fail(err, VARIANT_E_FORMAT, "damaged WebP");
}

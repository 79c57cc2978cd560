/* webp_write.c - WebP files by libwebp: lossless, or of a quality. Called by picture_write.c. */
#include <stdlib.h>
#include <string.h>
#include <webp/encode.h>
#include <webp/mux.h>

#include "io/picture.h"

#define LOSSLESS_EFFORT 6 /* of 0 to 9; fixed: equal pictures are equal files */

static bool set_config(WebPConfig *config, int quality) {
    if (!WebPConfigInit(config)) return false;
    if (quality == 0) return WebPConfigLosslessPreset(config, LOSSLESS_EFFORT);
    config->quality = (float)quality;
    config->use_sharp_yuv = 1; /* halving the colour's samples costs least so */
    return true;
}

/* Grey is written as colour: WebP knows no other. */
static bool import(WebPPicture *to, const vt_image *image) {
    if (image->channels == 3) return WebPPictureImportRGB(to, image->data, 3 * image->width);
    size_t pixels = (size_t)image->width * (size_t)image->height;
    uint8_t *colour = malloc(3 * pixels);
    if (!colour) return false;
    for (size_t i = 0; i < pixels; ++i) memset(colour + 3 * i, image->data[i], 3);
    bool taken = WebPPictureImportRGB(to, colour, 3 * image->width);
    free(colour);
    return taken;
}

/* The picture with the block beside it; *out from malloc. */
static bool add_exif(vt_bytes *out, const WebPMemoryWriter *picture, vt_bytes exif) {
    const WebPData image = {picture->mem, picture->size}, block = {exif.data, exif.size};
    WebPData whole = {0};
    WebPMux *mux = WebPMuxCreate(&image, 0);
    bool made = mux && WebPMuxSetChunk(mux, "EXIF", &block, 0) == WEBP_MUX_OK &&
                WebPMuxAssemble(mux, &whole) == WEBP_MUX_OK;
    WebPMuxDelete(mux);
    uint8_t *copy = made ? malloc(whole.size) : NULL; /* libwebp frees with a function of its own */
    if (copy) {
        memcpy(copy, whole.bytes, whole.size);
        *out = (vt_bytes){copy, whole.size};
    }
    WebPDataClear(&whole);
    return copy != NULL;
}

variant_status vt_webp_encode(vt_bytes *out, const vt_image *image, int quality, vt_bytes exif,
                              variant_error *err) {
    WebPConfig config;
    WebPPicture picture;
    WebPMemoryWriter writer;
    if (image->width > WEBP_MAX_DIMENSION || image->height > WEBP_MAX_DIMENSION)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a WebP has sides up to %d, this picture is %d x %d: write a PNG",
                       WEBP_MAX_DIMENSION, image->width, image->height);
    if (!set_config(&config, quality) || !WebPPictureInit(&picture))
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "this libwebp is of another version");
    picture.use_argb = 1;
    picture.width = image->width;
    picture.height = image->height;
    picture.writer = WebPMemoryWrite;
    picture.custom_ptr = &writer;
    WebPMemoryWriterInit(&writer);
    /* 6 bytes of "Exif" go before the block in a JPEG, not here */
    const vt_bytes block = {exif.size ? exif.data + 6 : NULL, exif.size ? exif.size - 6 : 0};
    bool whole = import(&picture, image) && WebPEncode(&config, &picture);
    if (whole && block.size) {
        whole = add_exif(out, &writer, block);
    } else if (whole) {
        uint8_t *copy = malloc(writer.size);
        whole = copy != NULL;
        if (copy) memcpy(copy, writer.mem, writer.size);
        *out = (vt_bytes){copy, writer.size};
    }
    int code = (int)picture.error_code;
    WebPPictureFree(&picture);
    WebPMemoryWriterClear(&writer);
    if (whole) return VARIANT_OK;
    if (code == VP8_ENC_ERROR_PARTITION0_OVERFLOW || code == VP8_ENC_ERROR_PARTITION_OVERFLOW ||
        code == VP8_ENC_ERROR_FILE_TOO_BIG)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a picture of %d x %d does not go into a WebP of this quality: write a PNG",
                       image->width, image->height);
    return vt_fail(err, VARIANT_E_MEMORY, "cannot make a WebP (libwebp's error %d)", code);
}

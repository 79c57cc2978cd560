/* picture_settings.c - reads back what vt_image_write puts beside a picture: the settings that made it. */
#include <stdlib.h>
#include <string.h>
#include <webp/demux.h>

#include "io/file.h"
#include "io/jailed.h"
#include "io/picture.h"

/* The EXIF block of a JPEG: the first APP1 segment of that kind before the picture's data. */
static vt_bytes jpeg_exif(vt_bytes file) {
    enum { APP1 = 0xE1, START_OF_SCAN = 0xDA, END = 0xD9 };
    size_t at = 2;
    while (at + 4 <= file.size && file.data[at] == 0xFF) {
        const uint8_t marker = file.data[at + 1];
        if (marker == 0xFF) { /* filling */
            ++at;
            continue;
        }
        const size_t length = (size_t)file.data[at + 2] << 8 | file.data[at + 3];
        if (marker == START_OF_SCAN || marker == END || length < 2 || at + 2 + length > file.size)
            break;
        if (marker == APP1 && length > 8 && memcmp(file.data + at + 4, "Exif\0", 6) == 0)
            return (vt_bytes){file.data + at + 4, length - 2};
        at += 2 + length;
    }
    return (vt_bytes){0};
}

static char *webp_comment(vt_bytes file) {
    WebPData data = {file.data, file.size};
    WebPDemuxer *demuxer = WebPDemux(&data);
    WebPChunkIterator chunk;
    char *comment = NULL;
    if (demuxer && WebPDemuxGetChunk(demuxer, "EXIF", 1, &chunk)) {
        comment = vt_exif_comment(chunk.chunk.bytes, chunk.chunk.size);
        WebPDemuxReleaseChunkIterator(&chunk);
    }
    WebPDemuxDelete(demuxer);
    return comment;
}

static bool begins(vt_bytes file, size_t at, const char *with, size_t length) {
    return file.size >= at + length && memcmp(file.data + at, with, length) == 0;
}

char *vt_picture_comment(vt_bytes file) {
    if (begins(file, 8, "WEBP", 4)) return webp_comment(file);
    const vt_bytes exif = jpeg_exif(file);
    return vt_exif_comment(exif.data, exif.size);
}

/* NULL: there is none, or it cannot be read. */
static char *comment_of(vt_bytes file) {
    char *text = NULL;
    if (!vt_jail_is_on()) return vt_picture_comment(file);
    (void)vt_jailed_text(&text, file, NULL, NULL);
    return text;
}

variant_status vt_image_read_settings(char **out, const char *path, variant_error *err) {
    vt_mapping map;
    char *text = NULL;
    *out = NULL;
    VT_TRY(vt_mapping_open(&map, path, err));
    vt_mapping_guard(&map);
    const vt_bytes file = {map.data, map.size};
    const bool png = begins(file, 0, "\x89PNG\r\n\x1A\n", 8), webp = begins(file, 8, "WEBP", 4),
               jpeg = begins(file, 0, "\xFF\xD8\xFF", 3);
    if (png) {
        variant_error none;
        (void)vt_image_read_text(&text, path, VT_IMAGE_SETTINGS, &none);
    } else if (webp || jpeg) {
        text = comment_of(file);
    }
    const variant_status status = vt_mapping_settle(&map, path, VARIANT_OK, err);
    vt_mapping_close(&map);
    if (status != VARIANT_OK) {
        free(text);
        return status;
    }
    *out = text;
    if (text) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT,
                   png || webp || jpeg
                       ? "%s: the picture does not say what made it: expected the settings that "
                         "variant generate writes into it"
                       : "%s: expected a PNG, JPEG or WebP picture of variant generate",
                   path);
}

/* exif.c - how a camera was held, out of an EXIF block by libexif. Called by the codecs. */
#include <libexif/exif-data.h>
#include <stdlib.h>
#include <string.h>

#include "io/picture.h"

#define EXIF_START "Exif\0"
#define EXIF_START_SIZE 6
#define EXIF_MOST ((size_t)1 << 20)

static int orientation_of(ExifData *exif) {
    ExifEntry *entry = exif_content_get_entry(exif->ifd[EXIF_IFD_0], EXIF_TAG_ORIENTATION);
    if (!entry || !entry->data || entry->components < 1) return 0;
    ExifByteOrder order = exif_data_get_byte_order(exif);
    unsigned long value = 0;
    if (entry->format == EXIF_FORMAT_SHORT && entry->size >= 2)
        value = exif_get_short(entry->data, order);
    else if (entry->format == EXIF_FORMAT_LONG && entry->size >= 4)
        value = exif_get_long(entry->data, order);
    return value >= 1 && value <= 8 ? (int)value : 0;
}

int vt_exif_orientation(const uint8_t *data, size_t size) {
    if (!data || size < 8 || size > EXIF_MOST) return 0;
    bool whole = memcmp(data, EXIF_START, EXIF_START_SIZE) == 0;
    uint8_t *block = malloc(size + EXIF_START_SIZE);
    ExifData *exif = exif_data_new();
    int orientation = 0;
    if (block && exif) {
        memcpy(block, EXIF_START, EXIF_START_SIZE);
        memcpy(block + (whole ? 0 : EXIF_START_SIZE), data, size);
        exif_data_unset_option(exif, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
        exif_data_load_data(exif, block, (unsigned)(size + (whole ? 0 : EXIF_START_SIZE)));
        orientation = orientation_of(exif);
    }
    if (exif) exif_data_unref(exif);
    free(block);
    return orientation;
}

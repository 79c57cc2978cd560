/* exif.c - EXIF blocks by libexif: how a camera was held, and what made a picture. Called by the codecs. */
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

/* The block, with or without its first word; exif_data_unref it. NULL: none. */
static ExifData *block_open(const uint8_t *data, size_t size) {
    if (!data || size < 8 || size > EXIF_MOST) return NULL;
    bool whole = memcmp(data, EXIF_START, EXIF_START_SIZE) == 0;
    uint8_t *block = malloc(size + EXIF_START_SIZE);
    ExifData *exif = exif_data_new();
    if (block && exif) {
        memcpy(block, EXIF_START, EXIF_START_SIZE);
        memcpy(block + (whole ? 0 : EXIF_START_SIZE), data, size);
        exif_data_unset_option(exif, EXIF_DATA_OPTION_FOLLOW_SPECIFICATION);
        exif_data_load_data(exif, block, (unsigned)(size + (whole ? 0 : EXIF_START_SIZE)));
    }
    free(block);
    return exif;
}

int vt_exif_orientation(const uint8_t *data, size_t size) {
    ExifData *exif = block_open(data, size);
    int orientation = exif ? orientation_of(exif) : 0;
    if (exif) exif_data_unref(exif);
    return orientation;
}

char *vt_exif_comment(const uint8_t *data, size_t size) {
    enum { CODE = 8 }; /* bytes that name the comment's alphabet */
    ExifData *exif = block_open(data, size);
    ExifEntry *entry =
        exif ? exif_content_get_entry(exif->ifd[EXIF_IFD_EXIF], EXIF_TAG_USER_COMMENT) : NULL;
    char *comment = NULL;
    if (entry && entry->data && entry->size > CODE && memcmp(entry->data, "ASCII", 6) == 0)
        comment = strndup((const char *)entry->data + CODE, entry->size - CODE);
    if (exif) exif_data_unref(exif);
    return comment;
}

/* ---- writing ---- */

/* An entry of these bytes in one of the block's directories. */
static bool add_entry(ExifData *exif, ExifIfd directory, ExifTag tag, ExifFormat format,
                      const char *prefix, size_t prefix_size, const char *text, size_t size) {
    ExifMem *memory = exif_mem_new_default();
    ExifEntry *entry = memory ? exif_entry_new_mem(memory) : NULL;
    size_t total = prefix_size + size;
    if (entry) entry->data = exif_mem_alloc(memory, (ExifLong)total);
    bool made = entry && entry->data;
    if (made) {
        memcpy(entry->data, prefix, prefix_size);
        memcpy(entry->data + prefix_size, text, size);
        entry->size = (unsigned)total;
        entry->components = total;
        entry->tag = tag;
        entry->format = format;
        exif_content_add_entry(exif->ifd[directory], entry);
    }
    if (entry) exif_entry_unref(entry);
    if (memory) exif_mem_unref(memory);
    return made;
}

variant_status vt_exif_build(vt_bytes *out, const char *comment, variant_error *err) {
    static const char software[] = "variant", ascii[8] = {'A', 'S', 'C', 'I', 'I', 0, 0, 0};
    size_t length = strlen(comment);
    unsigned char *block = NULL;
    unsigned size = 0;
    if (length > 60000) /* a JPEG's segment ends at 65533 */
        return vt_fail(err, VARIANT_E_ARGUMENT, "settings of %zu bytes: EXIF takes 60000", length);
    ExifData *exif = exif_data_new();
    if (!exif) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture's settings");
    exif_data_set_byte_order(exif, EXIF_BYTE_ORDER_INTEL);
    if (add_entry(exif, EXIF_IFD_0, EXIF_TAG_SOFTWARE, EXIF_FORMAT_ASCII, "", 0, software,
                  sizeof software) &&
        add_entry(exif, EXIF_IFD_EXIF, EXIF_TAG_USER_COMMENT, EXIF_FORMAT_UNDEFINED, ascii,
                  sizeof ascii, comment, length))
        exif_data_save_data(exif, &block, &size);
    exif_data_unref(exif);
    if (!block) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture's settings");
    *out = (vt_bytes){block, size}; /* free() is how libexif wants it released */
    return VARIANT_OK;
}

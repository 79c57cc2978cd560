/* zip.h - the directory of a zip archive whose entries are stored uncompressed, over a mapped file.
 *
 * Entries are pointers into the mapping: that is how a checkpoint of many gigabytes is used without
 * being copied. zip64 is understood; compressed or encrypted entries are refused when they are
 * asked for. */
#ifndef VT_IO_ZIP_H
#define VT_IO_ZIP_H

#include "io/pool.h"

typedef struct vt_zip_entry {
    const char *name;
    const unsigned char *data; /* NULL: cannot be used in place (compressed, encrypted) */
    size_t size;
    uint32_t crc;
} vt_zip_entry;

typedef struct vt_zip {
    vt_zip_entry *entries; /* sorted by name */
    size_t count;
} vt_zip;

/* Everything found lives in pool; every entry lies within bytes[0..size). */
variant_status vt_zip_open(vt_zip *out, const unsigned char *bytes, size_t size, vt_pool *pool,
                           variant_error *err);
/* E_FORMAT when there is none or it is compressed. */
variant_status vt_zip_find(const vt_zip *zip, const char *name, const vt_zip_entry **out,
                           variant_error *err);
bool vt_zip_has(const vt_zip *zip, const char *name);
/* Compares the entry's bytes with its checksum. */
variant_status vt_zip_check(const vt_zip_entry *entry, variant_error *err);

#endif

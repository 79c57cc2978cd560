/* zip.h - the directory of a zip archive over a mapped file, and its entries.
 *
 * Stored entries are pointers into the mapping: that is how a checkpoint of many gigabytes is used without
 * being copied. Deflated ones are read through vt_zip_stream or into a pool. zip64 is understood; encrypted
 * entries and other compressions are refused when they are asked for. */
#ifndef VT_IO_ZIP_H
#define VT_IO_ZIP_H

#include "io/pool.h"

typedef struct vt_zip_entry {
    const char *name;
    const unsigned char *data;   /* its bytes where they are stored as they are, else NULL */
    const unsigned char *packed; /* deflated: (packed_size) bytes; else NULL */
    size_t packed_size;
    size_t size; /* of the entry itself */
    uint32_t crc;
} vt_zip_entry;

typedef struct vt_zip {
    vt_zip_entry *entries; /* sorted by name */
    size_t count;
} vt_zip;

/* Everything found lives in pool; every entry lies within bytes[0..size), and none claims a size that its
 * packed bytes cannot unfold to. */
variant_status vt_zip_open(vt_zip *out, const unsigned char *bytes, size_t size, vt_pool *pool,
                           variant_error *err);
/* E_FORMAT when there is none or it is neither stored nor deflated. */
variant_status vt_zip_find(const vt_zip *zip, const char *name, const vt_zip_entry **out,
                           variant_error *err);
bool vt_zip_has(const vt_zip *zip, const char *name);
/* Compares the entry's bytes with its checksum. */
variant_status vt_zip_check(const vt_zip_entry *entry, variant_error *err);
/* The entry's (size) bytes, checked: where they are stored, or unfolded into pool. */
variant_status vt_zip_bytes(const vt_zip_entry *entry, vt_pool *pool, const unsigned char **out,
                            variant_error *err);

/* An entry from front to back, whether it is stored or deflated. The last byte is given out only once the
 * checksum of all agreed. */
typedef struct vt_zip_stream vt_zip_stream;
variant_status vt_zip_stream_open(vt_zip_stream **out, const vt_zip_entry *entry,
                                  variant_error *err);
void vt_zip_stream_close(vt_zip_stream **stream);
/* Exactly `bytes` more into out (NULL: passed over); E_FORMAT when there are fewer. */
variant_status vt_zip_stream_read(vt_zip_stream *stream, void *out, size_t bytes,
                                  variant_error *err);
size_t vt_zip_stream_at(const vt_zip_stream *stream); /* bytes given out so far */

#endif

/* zip.c - see zip.h. Called by torch.c and npz.c. Offsets are those of the zip specification (APPNOTE 6.3),
 * little endian. */
#include "io/zip.h"

#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "io/tensor_file.h"

enum {
    END_SIZE = 22,     /* end of central directory */
    LOCATOR_SIZE = 20, /* zip64: where its end record is */
    END64_SIZE = 56,   /* zip64 end of central directory */
    CENTRAL_SIZE = 46, /* fixed part of a directory entry */
    LOCAL_SIZE = 30,   /* fixed part of an entry's own header */
    COMMENT_LIMIT = 65535,
    MOST_UNFOLDED = 1032 /* times as many bytes as it reads: the format of deflate allows no more */
};

static uint64_t little(const unsigned char *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

static variant_status damaged(variant_error *err, const char *reason) {
    return vt_fail(err, VARIANT_E_FORMAT, "zip archive is damaged or cut short: %s", reason);
}

typedef struct directory {
    uint64_t offset, size, count;
} directory;

/* The directory's place, from the record at the end of the file (found from the back, past a
 * comment). */
static variant_status find_directory(directory *out, const unsigned char *bytes, size_t size,
                                     variant_error *err) {
    if (size < END_SIZE) return damaged(err, "too small");
    size_t at = size - END_SIZE, last = at > COMMENT_LIMIT ? at - COMMENT_LIMIT : 0;
    while (memcmp(bytes + at, "PK\5\6", 4) != 0 ||
           little(bytes + at + 20, 2) > size - END_SIZE - at) {
        if (at == last) return damaged(err, "no end of its directory");
        at--;
    }
    *out = (directory){little(bytes + at + 16, 4), little(bytes + at + 12, 4),
                       little(bytes + at + 10, 2)};
    if (at >= LOCATOR_SIZE && memcmp(bytes + at - LOCATOR_SIZE, "PK\6\7", 4) == 0) {
        uint64_t end64 = little(bytes + at - LOCATOR_SIZE + 8, 8);
        if (end64 > size || size - end64 < END64_SIZE || memcmp(bytes + end64, "PK\6\6", 4) != 0)
            return damaged(err, "no zip64 end of its directory");
        *out = (directory){little(bytes + end64 + 48, 8), little(bytes + end64 + 40, 8),
                           little(bytes + end64 + 32, 8)};
    }
    if (out->offset > size || out->size > size - out->offset ||
        out->count > out->size / CENTRAL_SIZE)
        return damaged(err, "its directory does not fit the file");
    return VARIANT_OK;
}

/* Sizes of 4 GB and more are in an extra field, in this order, each only where the 32-bit field is
 * full. */
static variant_status read_extra64(const unsigned char *extra, size_t length,
                                   uint64_t *const fields[3], variant_error *err) {
    bool wanted = *fields[0] == UINT32_MAX || *fields[1] == UINT32_MAX || *fields[2] == UINT32_MAX;
    while (wanted && length >= 4) {
        size_t part = little(extra + 2, 2);
        if (part > length - 4) break;
        if (little(extra, 2) == 1) {
            const unsigned char *at = extra + 4;
            for (int i = 0; i < 3; i++) {
                if (*fields[i] != UINT32_MAX) continue;
                if ((size_t)(at - extra) + 8 > part + 4)
                    return damaged(err, "a zip64 field is too short");
                *fields[i] = little(at, 8);
                at += 8;
            }
            return VARIANT_OK;
        }
        extra += 4 + part;
        length -= 4 + part;
    }
    return wanted ? damaged(err, "a zip64 field is missing") : VARIANT_OK;
}

/* Finds the entry's `length` bytes behind its own header, whose name and extra lengths may differ from the
 * directory's. */
static variant_status place_entry(const vt_zip_entry *entry, const unsigned char **out,
                                  size_t length, const unsigned char *bytes, size_t size,
                                  uint64_t header, variant_error *err) {
    char name[VT_PRINTABLE];
    if (header > size || size - header < LOCAL_SIZE || memcmp(bytes + header, "PK\3\4", 4) != 0)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip archive is damaged: entry '%s' is not where its directory says",
                       vt_printable(name, entry->name));
    uint64_t start =
        header + LOCAL_SIZE + little(bytes + header + 26, 2) + little(bytes + header + 28, 2);
    if (start > size || length > size - start)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip archive is cut short: entry '%s' needs %zu bytes",
                       vt_printable(name, entry->name), length);
    *out = bytes + start;
    return VARIANT_OK;
}

/* By the directory's method; an entry of another one, or an encrypted one, stays without a place. */
static variant_status place_by_method(vt_zip_entry *entry, unsigned flags, unsigned method,
                                      uint64_t stored, const unsigned char *bytes, size_t size,
                                      uint64_t header, variant_error *err) {
    char name[VT_PRINTABLE];
    if (flags & 1) return VARIANT_OK;
    if (method == 0 && stored == entry->size)
        return place_entry(entry, &entry->data, entry->size, bytes, size, header, err);
    if (method != Z_DEFLATED) return VARIANT_OK;
    if (stored > size || entry->size / MOST_UNFOLDED > stored)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip entry '%s' claims %zu bytes, which its %llu packed ones cannot hold",
                       vt_printable(name, entry->name), entry->size, (unsigned long long)stored);
    entry->packed_size = (size_t)stored;
    return place_entry(entry, &entry->packed, entry->packed_size, bytes, size, header, err);
}

static int compare_entries(const void *a, const void *b) {
    return strcmp(((const vt_zip_entry *)a)->name, ((const vt_zip_entry *)b)->name);
}

variant_status vt_zip_open(vt_zip *out, const unsigned char *bytes, size_t size, vt_pool *pool,
                           variant_error *err) {
    directory dir = {0};
    VT_TRY(find_directory(&dir, bytes, size, err));
    *out = (vt_zip){.count = (size_t)dir.count};
    out->entries = vt_pool_take(pool, (out->count + 1) * sizeof *out->entries);
    if (!out->entries) return vt_pool_fail(pool, err);

    const unsigned char *at = bytes + dir.offset, *end = at + dir.size;
    for (size_t i = 0; i < out->count; i++) {
        if (end - at < CENTRAL_SIZE || memcmp(at, "PK\1\2", 4) != 0)
            return damaged(err, "a directory entry");
        uint64_t stored = little(at + 20, 4), full = little(at + 24, 4),
                 header = little(at + 42, 4);
        size_t name = little(at + 28, 2), extra = little(at + 30, 2), comment = little(at + 32, 2);
        if (name + extra + comment > (size_t)(end - at) - CENTRAL_SIZE)
            return damaged(err, "a directory entry");
        VT_TRY(read_extra64(at + CENTRAL_SIZE + name, extra,
                            (uint64_t *const[]){&full, &stored, &header}, err));

        vt_zip_entry *entry = &out->entries[i];
        entry->name = vt_pool_text(pool, (const char *)at + CENTRAL_SIZE, name);
        if (!entry->name) return vt_pool_fail(pool, err);
        entry->size = (size_t)full;
        entry->crc = (uint32_t)little(at + 16, 4);
        VT_TRY(place_by_method(entry, (unsigned)little(at + 8, 2), (unsigned)little(at + 10, 2),
                               stored, bytes, size, header, err));
        at += CENTRAL_SIZE + name + extra + comment;
    }
    qsort(out->entries, out->count, sizeof *out->entries, compare_entries);
    for (size_t i = 1; i < out->count; i++)
        if (compare_entries(&out->entries[i - 1], &out->entries[i]) == 0)
            return damaged(err, "two entries of one name");
    return VARIANT_OK;
}

static const vt_zip_entry *look_up(const vt_zip *zip, const char *name) {
    vt_zip_entry key = {.name = name};
    return bsearch(&key, zip->entries, zip->count, sizeof key, compare_entries);
}

bool vt_zip_has(const vt_zip *zip, const char *name) {
    return look_up(zip, name) != NULL;
}

variant_status vt_zip_find(const vt_zip *zip, const char *name, const vt_zip_entry **out,
                           variant_error *err) {
    char printable[VT_PRINTABLE];
    *out = look_up(zip, name);
    if (!*out)
        return vt_fail(err, VARIANT_E_FORMAT, "zip archive has no entry '%s'",
                       vt_printable(printable, name));
    if (!(*out)->data && !(*out)->packed)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip entry '%s' is encrypted or compressed by another method than deflate",
                       vt_printable(printable, name));
    return VARIANT_OK;
}

static variant_status fail_sum(const vt_zip_entry *entry, variant_error *err) {
    char name[VT_PRINTABLE];
    return vt_fail(err, VARIANT_E_FORMAT,
                   "zip entry '%s' does not match its checksum: the file is damaged",
                   vt_printable(name, entry->name));
}

variant_status vt_zip_check(const vt_zip_entry *entry, variant_error *err) {
    if (entry->data)
        return crc32_z(crc32_z(0, NULL, 0), entry->data, entry->size) == entry->crc
                   ? VARIANT_OK
                   : fail_sum(entry, err);
    vt_zip_stream *stream = NULL;
    VT_TRY(vt_zip_stream_open(&stream, entry, err));
    variant_status status = vt_zip_stream_read(stream, NULL, entry->size, err);
    vt_zip_stream_close(&stream);
    return status;
}

variant_status vt_zip_bytes(const vt_zip_entry *entry, vt_pool *pool, const unsigned char **out,
                            variant_error *err) {
    *out = entry->data;
    if (entry->data) return vt_zip_check(entry, err);
    unsigned char *bytes = vt_pool_take(pool, entry->size + 1);
    if (!bytes) return vt_pool_fail(pool, err);
    vt_zip_stream *stream = NULL;
    VT_TRY(vt_zip_stream_open(&stream, entry, err));
    variant_status status = vt_zip_stream_read(stream, bytes, entry->size, err);
    vt_zip_stream_close(&stream);
    *out = bytes;
    return status;
}

/* ---- from front to back ---- */

struct vt_zip_stream {
    const vt_zip_entry *entry;
    size_t at;
    uLong crc;
    bool inflating;
    z_stream z;
    size_t left; /* packed bytes that zlib has not been told of: it counts in 32 bits */
};

size_t vt_zip_stream_at(const vt_zip_stream *stream) {
    return stream->at;
}

variant_status vt_zip_stream_open(vt_zip_stream **out, const vt_zip_entry *entry,
                                  variant_error *err) {
    vt_zip_stream *stream = *out = calloc(1, sizeof *stream);
    if (!stream) return vt_fail(err, VARIANT_E_MEMORY, "no memory to read a zip entry");
    stream->entry = entry;
    stream->crc = crc32_z(0, NULL, 0);
    if (entry->data) return VARIANT_OK;
    stream->z.next_in = (z_const Bytef *)(uintptr_t)entry->packed;
    stream->left = entry->packed_size;
    stream->inflating = inflateInit2(&stream->z, -MAX_WBITS) == Z_OK;
    if (stream->inflating) return VARIANT_OK;
    vt_zip_stream_close(out);
    return vt_fail(err, VARIANT_E_MEMORY, "no memory to unpack a zip entry");
}

void vt_zip_stream_close(vt_zip_stream **stream) {
    if (!*stream) return;
    if ((*stream)->inflating) inflateEnd(&(*stream)->z);
    free(*stream);
    *stream = NULL;
}

/* Up to `bytes` bytes into out; fewer when the packed bytes end or are damaged. */
static size_t unfold(vt_zip_stream *stream, unsigned char *out, size_t bytes) {
    enum { ONCE = 1 << 30 };
    z_stream *z = &stream->z;
    size_t done = 0;
    int result = Z_OK;
    while (done < bytes && result == Z_OK) {
        uInt room = bytes - done < ONCE ? (uInt)(bytes - done) : ONCE;
        if (z->avail_in == 0 && stream->left) {
            z->avail_in = stream->left < ONCE ? (uInt)stream->left : ONCE;
            stream->left -= z->avail_in;
        }
        z->next_out = out + done;
        z->avail_out = room;
        result = inflate(z, Z_NO_FLUSH);
        done += room - z->avail_out;
    }
    return done;
}

static variant_status stream_some(vt_zip_stream *stream, unsigned char *out, size_t bytes,
                                  variant_error *err) {
    const vt_zip_entry *entry = stream->entry;
    const unsigned char *from = entry->data ? entry->data + stream->at : out;
    char name[VT_PRINTABLE];
    if (!entry->data && unfold(stream, out, bytes) != bytes)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip entry '%s' is damaged: its packed bytes end or break before its %zu",
                       vt_printable(name, entry->name), entry->size);
    stream->crc = crc32_z(stream->crc, from, bytes);
    stream->at += bytes;
    if (stream->at == entry->size && stream->crc != entry->crc) return fail_sum(entry, err);
    if (entry->data && out) memcpy(out, from, bytes);
    return VARIANT_OK;
}

variant_status vt_zip_stream_read(vt_zip_stream *stream, void *out, size_t bytes,
                                  variant_error *err) {
    unsigned char passed[8192], *to = out;
    char name[VT_PRINTABLE];
    if (bytes > stream->entry->size - stream->at)
        return vt_fail(err, VARIANT_E_FORMAT, "zip entry '%s' is cut short at its %zu bytes",
                       vt_printable(name, stream->entry->name), stream->entry->size);
    if (to || stream->entry->data) return bytes ? stream_some(stream, to, bytes, err) : VARIANT_OK;
    while (bytes > 0) {
        size_t some = bytes < sizeof passed ? bytes : sizeof passed;
        VT_TRY(stream_some(stream, passed, some, err));
        bytes -= some;
    }
    return VARIANT_OK;
}

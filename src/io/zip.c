/* zip.c - see zip.h. Called by torch.c. Offsets are those of the zip specification (APPNOTE 6.3),
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
    COMMENT_LIMIT = 65535
};

static uint64_t little(const unsigned char *at, int bytes) {
    uint64_t value = 0;
    for (int i = bytes - 1; i >= 0; i--) value = value << 8 | at[i];
    return value;
}

static variant_status damaged(variant_error *err, const char *what) {
    return vt_fail(err, VARIANT_E_FORMAT, "zip archive is damaged or cut short: %s", what);
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

/* Finds the entry's data behind its own header, whose name and extra lengths may differ from the
 * directory's. */
static variant_status place_entry(vt_zip_entry *entry, const unsigned char *bytes, size_t size,
                                  uint64_t header, variant_error *err) {
    char name[VT_PRINTABLE];
    if (header > size || size - header < LOCAL_SIZE || memcmp(bytes + header, "PK\3\4", 4) != 0)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip archive is damaged: entry '%s' is not where its directory says",
                       vt_printable(name, entry->name));
    uint64_t start =
        header + LOCAL_SIZE + little(bytes + header + 26, 2) + little(bytes + header + 28, 2);
    if (start > size || entry->size > size - start)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip archive is cut short: entry '%s' needs %zu bytes",
                       vt_printable(name, entry->name), entry->size);
    entry->data = bytes + start;
    return VARIANT_OK;
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
        bool encrypted = little(at + 8, 2) & 1, compressed = little(at + 10, 2) != 0;
        if (!encrypted && !compressed && stored == full)
            VT_TRY(place_entry(entry, bytes, size, header, err));
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
    if (!(*out)->data)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "zip entry '%s' is compressed or encrypted, expected a stored one",
                       vt_printable(printable, name));
    return VARIANT_OK;
}

variant_status vt_zip_check(const vt_zip_entry *entry, variant_error *err) {
    char name[VT_PRINTABLE];
    if (crc32_z(crc32_z(0, NULL, 0), entry->data, entry->size) == entry->crc) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT,
                   "zip entry '%s' does not match its checksum: the file is damaged",
                   vt_printable(name, entry->name));
}

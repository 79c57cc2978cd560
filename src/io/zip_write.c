/* zip_write.c - see zip_write.h. */
#include "io/zip_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    NEEDS = 45,        /* version of zip that knows zip64 */
    DAY = 33,          /* 1 January 1980, the first day that zip knows */
    LOCAL_SIZE = 30,   /* fixed part of an entry's own header ... */
    SIZES_SIZE = 20,   /* ... and its field of 64-bit sizes */
    FIELD_SIZE = 4,    /* before what a field holds */
    PADDING = 0x4246,  /* "FB", the field that PyTorch fills up with */
    LONGEST_NAME = 256 /* far below the format's 65535 */
};

/* ---- bytes ---- */

/* A record of a zip archive while it is put together: little endian. */
typedef struct record {
    uint8_t bytes[128];
    size_t size;
} record;

static void put(record *r, uint64_t value, int bytes) {
    for (int i = 0; i < bytes; ++i) r->bytes[r->size++] = (uint8_t)(value >> (8 * i));
}

static variant_status fail_write(const vt_zip_writer *w, variant_error *err) {
    return vt_fail(err, VARIANT_E_IO, "%s: cannot write: %s", w->path, strerror(errno));
}

static variant_status put_bytes(vt_zip_writer *w, const void *bytes, size_t size,
                                variant_error *err) {
    errno = 0;
    if (size && fwrite(bytes, 1, size, w->file.stream) != size) return fail_write(w, err);
    w->written += size;
    return VARIANT_OK;
}

/* ---- an entry ---- */

/* "PK 3 4": what stands before an entry; its checksum is known when it is finished. */
static record local_header(const vt_zip_written *entry) {
    record r = {0};
    put(&r, 0x04034b50, 4);
    put(&r, NEEDS, 2);
    put(&r, 0, 6); /* no flags, stored, midnight */
    put(&r, DAY, 2);
    put(&r, entry->crc, 4);
    put(&r, UINT32_MAX, 4); /* both sizes are in the field behind the name */
    put(&r, UINT32_MAX, 4);
    put(&r, strlen(entry->name), 2);
    put(&r, SIZES_SIZE + entry->padding, 2);
    return r;
}

static variant_status put_local(vt_zip_writer *w, const vt_zip_written *entry, variant_error *err) {
    const record fixed = local_header(entry);
    record more = {0};
    put(&more, 1, 2);
    put(&more, 16, 2);
    put(&more, entry->size, 8);
    put(&more, entry->size, 8);
    if (entry->padding) {
        put(&more, PADDING, 2);
        put(&more, entry->padding - FIELD_SIZE, 2);
        while (more.size < SIZES_SIZE + entry->padding) put(&more, 0, 1);
    }
    VT_TRY(put_bytes(w, fixed.bytes, fixed.size, err));
    VT_TRY(put_bytes(w, entry->name, strlen(entry->name), err));
    return put_bytes(w, more.bytes, more.size, err);
}

/* The header once more, with what has become known. */
static variant_status finish_entry(vt_zip_writer *w, variant_error *err) {
    if (!w->count) return VARIANT_OK;
    const vt_zip_written *entry = &w->entries[w->count - 1];
    const uint64_t end = w->written;
    if (w->left)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: entry %s lacks %llu bytes", w->path,
                       entry->name, (unsigned long long)w->left);
    if (fseeko(w->file.stream, (off_t)entry->at, SEEK_SET) != 0) return fail_write(w, err);
    VT_TRY(put_local(w, entry, err));
    if (fseeko(w->file.stream, (off_t)end, SEEK_SET) != 0) return fail_write(w, err);
    w->written = end;
    return VARIANT_OK;
}

/* Of the field that moves an entry's bytes to a multiple of `align`. */
static unsigned padding_of(const vt_zip_writer *w, const char *name, unsigned align) {
    const uint64_t begin = w->written + LOCAL_SIZE + strlen(name) + SIZES_SIZE;
    if (align <= 1) return 0;
    unsigned padding = (unsigned)((align - begin % align) % align);
    while (padding && padding < FIELD_SIZE) padding += align;
    return padding;
}

static vt_zip_written *next_entry(vt_zip_writer *w) {
    if (w->count == w->capacity) {
        const size_t capacity = w->capacity ? 2 * w->capacity : 8;
        vt_zip_written *entries = realloc(w->entries, capacity * sizeof *entries);
        if (!entries) return NULL;
        w->entries = entries;
        w->capacity = capacity;
    }
    return &w->entries[w->count];
}

variant_status vt_zip_writer_begin(vt_zip_writer *w, const char *name, uint64_t size,
                                   unsigned align, variant_error *err) {
    VT_TRY(finish_entry(w, err));
    if (strlen(name) > LONGEST_NAME)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: an entry's name of %zu bytes, at most %d",
                       w->path, strlen(name), LONGEST_NAME);
    vt_zip_written *entry = next_entry(w);
    char *copy = strdup(name);
    if (!entry || !copy) {
        free(copy);
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", w->path);
    }
    *entry = (vt_zip_written){
        .name = copy, .at = w->written, .size = size, .padding = padding_of(w, name, align)};
    ++w->count;
    w->left = size;
    return put_local(w, entry, err);
}

variant_status vt_zip_writer_add(vt_zip_writer *w, const void *bytes, size_t size,
                                 variant_error *err) {
    if (size > w->left)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: more bytes than entry %s was said to have",
                       w->path, w->count ? w->entries[w->count - 1].name : "(none)");
    if (!size) return VARIANT_OK; /* of no bytes zlib gives the sum to begin with */
    vt_zip_written *entry = &w->entries[w->count - 1];
    VT_TRY(put_bytes(w, bytes, size, err));
    entry->crc = (uint32_t)crc32_z(entry->crc, bytes, size);
    w->left -= size;
    return VARIANT_OK;
}

/* ---- the archive ---- */

variant_status vt_zip_writer_open(vt_zip_writer *out, const char *path, const char *kind,
                                  variant_error *err) {
    *out = (vt_zip_writer){.path = path};
    if (variant_is_standard_output(path))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: %s is not written to the standard output: name a file", path, kind);
    VT_TRY(vt_replace_open(&out->file, path, err));
    if (fseeko(out->file.stream, 0, SEEK_SET) == 0) return VARIANT_OK;
    const variant_status status =
        vt_fail(err, VARIANT_E_ARGUMENT, "%s: %s is written to a file, not to a pipe", path, kind);
    vt_zip_writer_abandon(out);
    return status;
}

/* "PK 1 2": an entry of the directory. */
static variant_status put_central(vt_zip_writer *w, const vt_zip_written *entry,
                                  variant_error *err) {
    record r = {0}, more = {0};
    put(&r, 0x02014b50, 4);
    put(&r, NEEDS, 2); /* made by */
    put(&r, NEEDS, 2);
    put(&r, 0, 6);
    put(&r, DAY, 2);
    put(&r, entry->crc, 4);
    put(&r, UINT32_MAX, 4);
    put(&r, UINT32_MAX, 4);
    put(&r, strlen(entry->name), 2);
    put(&r, 28, 2);
    put(&r, 0, 6); /* comment, disk, attributes inside ... */
    put(&r, 0, 4); /* ... and outside */
    put(&r, UINT32_MAX, 4);
    put(&more, 1, 2);
    put(&more, 24, 2);
    put(&more, entry->size, 8);
    put(&more, entry->size, 8);
    put(&more, entry->at, 8);
    VT_TRY(put_bytes(w, r.bytes, r.size, err));
    VT_TRY(put_bytes(w, entry->name, strlen(entry->name), err));
    return put_bytes(w, more.bytes, more.size, err);
}

/* "PK 6 6", "PK 6 7", "PK 5 6": where the directory is, in zip64's way, and for who looks for the end. */
static variant_status put_end(vt_zip_writer *w, uint64_t from, variant_error *err) {
    record r = {0};
    const uint64_t end = w->written, count = (uint64_t)w->count;
    const uint64_t narrow = count < UINT16_MAX ? count : UINT16_MAX;
    const uint64_t size = end - from, short_size = size < UINT32_MAX ? size : UINT32_MAX;
    put(&r, 0x06064b50, 4);
    put(&r, 44, 8);
    put(&r, NEEDS, 2);
    put(&r, NEEDS, 2);
    put(&r, 0, 8); /* disks */
    put(&r, count, 8);
    put(&r, count, 8);
    put(&r, size, 8);
    put(&r, from, 8);
    put(&r, 0x07064b50, 4);
    put(&r, 0, 4);
    put(&r, end, 8);
    put(&r, 1, 4);
    put(&r, 0x06054b50, 4);
    put(&r, 0, 4);
    put(&r, narrow, 2);
    put(&r, narrow, 2);
    put(&r, short_size, 4);
    put(&r, UINT32_MAX, 4);
    put(&r, 0, 2);
    return put_bytes(w, r.bytes, r.size, err);
}

static variant_status complete(vt_zip_writer *w, variant_error *err) {
    VT_TRY(finish_entry(w, err));
    const uint64_t from = w->written;
    for (size_t i = 0; i < w->count; ++i) VT_TRY(put_central(w, &w->entries[i], err));
    return put_end(w, from, err);
}

variant_status vt_zip_writer_stage(vt_zip_writer *w, vt_replace_set *into, variant_error *err) {
    VT_TRY(complete(w, err));
    return vt_replace_set_add(into, &w->file, err);
}

variant_status vt_zip_writer_commit(vt_zip_writer *w, variant_error *err) {
    VT_TRY(complete(w, err));
    const variant_status status = vt_replace_commit(&w->file, err);
    vt_zip_writer_abandon(w);
    return status;
}

void vt_zip_writer_abandon(vt_zip_writer *w) {
    vt_replace_abandon(&w->file);
    for (size_t i = 0; i < w->count; ++i) free(w->entries[i].name);
    free(w->entries);
    w->entries = NULL;
    w->count = w->capacity = 0;
}

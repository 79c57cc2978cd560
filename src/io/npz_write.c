/* npz_write.c - see npz_write.h. */
#include "io/npz_write.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

enum {
    HEADER_ROOM = 256, /* of an array's header */
    NEEDS = 45,        /* version of zip that knows zip64 */
    DAY = 33           /* 1 January 1980, the first day that zip knows */
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

static variant_status fail_write(const vt_npz_writer *w, variant_error *err) {
    return vt_fail(err, VARIANT_E_IO, "%s: cannot write: %s", w->path, strerror(errno));
}

static variant_status put_bytes(vt_npz_writer *w, const void *bytes, size_t size,
                                variant_error *err) {
    errno = 0;
    if (size && fwrite(bytes, 1, size, w->file.stream) != size) return fail_write(w, err);
    w->written += size;
    return VARIANT_OK;
}

/* ---- an entry ---- */

/* "PK 3 4": what stands before an entry; its size and checksum are known when it is finished. */
static record local_header(const vt_npz_entry *entry) {
    record r = {0};
    put(&r, 0x04034b50, 4);
    put(&r, NEEDS, 2);
    put(&r, 0, 6); /* no flags, stored, midnight */
    put(&r, DAY, 2);
    put(&r, entry->crc, 4);
    put(&r, UINT32_MAX, 4); /* both sizes are in the field behind the name */
    put(&r, UINT32_MAX, 4);
    put(&r, strlen(entry->name) + 4, 2);
    put(&r, 20, 2);
    return r;
}

static variant_status put_local(vt_npz_writer *w, const vt_npz_entry *entry, variant_error *err) {
    const record fixed = local_header(entry);
    record sizes = {0};
    put(&sizes, 1, 2);
    put(&sizes, 16, 2);
    put(&sizes, entry->size, 8);
    put(&sizes, entry->size, 8);
    VT_TRY(put_bytes(w, fixed.bytes, fixed.size, err));
    VT_TRY(put_bytes(w, entry->name, strlen(entry->name), err));
    VT_TRY(put_bytes(w, ".npy", 4, err));
    return put_bytes(w, sizes.bytes, sizes.size, err);
}

/* The header once more, with what has become known. */
static variant_status finish_entry(vt_npz_writer *w, variant_error *err) {
    if (!w->count) return VARIANT_OK;
    const vt_npz_entry *entry = &w->entries[w->count - 1];
    const uint64_t end = w->written;
    if (w->left)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: array %s lacks %llu bytes", w->path,
                       entry->name, (unsigned long long)w->left);
    if (fseeko(w->file.stream, (off_t)entry->at, SEEK_SET) != 0) return fail_write(w, err);
    VT_TRY(put_local(w, entry, err));
    if (fseeko(w->file.stream, (off_t)end, SEEK_SET) != 0) return fail_write(w, err);
    w->written = end;
    return VARIANT_OK;
}

/* NEP 1, version 1.0; as NumPy pads it, so that the numbers begin at a multiple of 64 within the entry. */
static int array_header(char out[HEADER_ROOM], const char *type, int rank, const int64_t *shape) {
    memcpy(out, "\x93NUMPY\x01\x00", 8);
    char *text = out + 10;
    size_t used = (size_t)sprintf(text, "{'descr': '%s', 'fortran_order': False, 'shape': (", type);
    for (int d = 0; d < rank; ++d)
        used += (size_t)sprintf(text + used, "%lld%s", (long long)shape[d],
                                rank == 1      ? ","
                                : d < rank - 1 ? ", "
                                               : "");
    used += (size_t)sprintf(text + used, "), }");
    while ((10 + used + 1) % 64) text[used++] = ' ';
    text[used++] = '\n';
    out[8] = (char)(used & 0xff);
    out[9] = (char)(used >> 8);
    return (int)(10 + used);
}

static variant_status add(vt_npz_writer *w, const void *bytes, size_t size, variant_error *err) {
    vt_npz_entry *entry = &w->entries[w->count - 1];
    VT_TRY(put_bytes(w, bytes, size, err));
    if (!size) return VARIANT_OK; /* of no bytes zlib gives the sum to begin with */
    entry->crc = (uint32_t)crc32_z(entry->crc, bytes, size);
    return VARIANT_OK;
}

/* ---- the archive ---- */

variant_status vt_npz_writer_open(vt_npz_writer *out, const char *path, variant_error *err) {
    *out = (vt_npz_writer){.path = path};
    if (vt_is_standard_output(path))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: an .npz is not written to the standard output: name a file", path);
    VT_TRY(vt_replace_open(&out->file, path, err));
    if (fseeko(out->file.stream, 0, SEEK_SET) == 0) return VARIANT_OK;
    const variant_status status =
        vt_fail(err, VARIANT_E_ARGUMENT, "%s: an .npz is written to a file, not to a pipe", path);
    vt_npz_writer_abandon(out);
    return status;
}

variant_status vt_npz_writer_begin(vt_npz_writer *w, const char *name, const char *type, int rank,
                                   const int64_t *shape, variant_error *err) {
    char header[HEADER_ROOM];
    uint64_t numbers = (uint64_t)(type[2] - '0');
    VT_TRY(finish_entry(w, err));
    if (w->count == VT_NPZ_ARRAYS || rank > 4)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: at most %d arrays of 4 axes", w->path,
                       VT_NPZ_ARRAYS);
    vt_npz_entry *entry = &w->entries[w->count++];
    *entry = (vt_npz_entry){.at = w->written};
    snprintf(entry->name, sizeof entry->name, "%s", name);
    const int size = array_header(header, type, rank, shape);
    for (int d = 0; d < rank; ++d) numbers *= (uint64_t)shape[d];
    entry->size = (uint64_t)size + numbers;
    w->left = numbers;
    VT_TRY(put_local(w, entry, err));
    return add(w, header, (size_t)size, err);
}

variant_status vt_npz_writer_add(vt_npz_writer *w, const void *bytes, size_t size,
                                 variant_error *err) {
    if (size > w->left)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: more numbers than its array's shape says",
                       w->path);
    VT_TRY(add(w, bytes, size, err));
    w->left -= size;
    return VARIANT_OK;
}

variant_status vt_npz_writer_put(vt_npz_writer *w, const char *name, const char *type, int rank,
                                 const int64_t *shape, const void *numbers, variant_error *err) {
    VT_TRY(vt_npz_writer_begin(w, name, type, rank, shape, err));
    return vt_npz_writer_add(w, numbers, w->left, err);
}

/* "PK 1 2": an entry of the directory. */
static variant_status put_central(vt_npz_writer *w, const vt_npz_entry *entry, variant_error *err) {
    record r = {0}, more = {0};
    put(&r, 0x02014b50, 4);
    put(&r, NEEDS, 2); /* made by */
    put(&r, NEEDS, 2);
    put(&r, 0, 6);
    put(&r, DAY, 2);
    put(&r, entry->crc, 4);
    put(&r, UINT32_MAX, 4);
    put(&r, UINT32_MAX, 4);
    put(&r, strlen(entry->name) + 4, 2);
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
    VT_TRY(put_bytes(w, ".npy", 4, err));
    return put_bytes(w, more.bytes, more.size, err);
}

/* "PK 6 6", "PK 6 7", "PK 5 6": where the directory is, in zip64's way, and for who looks for the end. */
static variant_status put_end(vt_npz_writer *w, uint64_t from, variant_error *err) {
    record r = {0};
    const uint64_t end = w->written, count = (uint64_t)w->count;
    put(&r, 0x06064b50, 4);
    put(&r, 44, 8);
    put(&r, NEEDS, 2);
    put(&r, NEEDS, 2);
    put(&r, 0, 8); /* disks */
    put(&r, count, 8);
    put(&r, count, 8);
    put(&r, end - from, 8);
    put(&r, from, 8);
    put(&r, 0x07064b50, 4);
    put(&r, 0, 4);
    put(&r, end, 8);
    put(&r, 1, 4);
    put(&r, 0x06054b50, 4);
    put(&r, 0, 4);
    put(&r, count, 2);
    put(&r, count, 2);
    put(&r, end - from, 4);
    put(&r, UINT32_MAX, 4);
    put(&r, 0, 2);
    return put_bytes(w, r.bytes, r.size, err);
}

variant_status vt_npz_writer_commit(vt_npz_writer *w, variant_error *err) {
    VT_TRY(finish_entry(w, err));
    const uint64_t from = w->written;
    for (int i = 0; i < w->count; ++i) VT_TRY(put_central(w, &w->entries[i], err));
    VT_TRY(put_end(w, from, err));
    return vt_replace_commit(&w->file, err);
}

void vt_npz_writer_abandon(vt_npz_writer *w) {
    vt_replace_abandon(&w->file);
}

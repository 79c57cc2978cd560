/* zip_write.h - a zip archive of stored entries, written from front to back: sizes always in zip64 fields, an entry's bytes as they are
 * made. The file appears whole or not at all; the same bytes give the same file. Called by npz_write.c and torch_write.c. */
#ifndef VT_IO_ZIP_WRITE_H
#define VT_IO_ZIP_WRITE_H

#include "io/file.h"

typedef struct vt_zip_written {
    char *name; /* owned */
    uint64_t at, size;
    unsigned
        padding; /* bytes of the field that fills up to where its bytes begin; 0: no such field */
    uint32_t crc;
} vt_zip_written;

typedef struct vt_zip_writer {
    vt_replace file;
    vt_zip_written *entries;
    size_t count, capacity;
    uint64_t written, left; /* bytes of the file; of the entry at hand, still to come */
    const char *path;       /* borrowed */
} vt_zip_writer;

/* kind: "an .npz", for messages. E_ARGUMENT for the standard output and pipes: an archive is written back and forth. */
variant_status vt_zip_writer_open(vt_zip_writer *out, const char *path, const char *kind,
                                  variant_error *err);
/* Begins an entry of `size` bytes, which are to lie at a multiple of `align` (a power of two up to 64; 1: anywhere). The one before it
 * must be complete. */
variant_status vt_zip_writer_begin(vt_zip_writer *writer, const char *name, uint64_t size,
                                   unsigned align, variant_error *err);
/* Its next bytes; E_ARGUMENT where there are more than were said. */
variant_status vt_zip_writer_add(vt_zip_writer *writer, const void *bytes, size_t size,
                                 variant_error *err);
/* The whole archive becomes one of a set's files; abandon is due. E_ARGUMENT where bytes of the last entry are missing. */
variant_status vt_zip_writer_stage(vt_zip_writer *writer, vt_replace_set *into, variant_error *err);
/* E_ARGUMENT likewise. Abandon is allowed after it, and after a failed open. */
variant_status vt_zip_writer_commit(vt_zip_writer *writer, variant_error *err);
void vt_zip_writer_abandon(vt_zip_writer *writer);

#endif

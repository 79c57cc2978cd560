/* npz_write.h - arrays of numbers to an .npz archive, as np.savez writes one: stored entries NAME.npy of format 1.0 (zip_write.h). Rows may
 * come as they are made, so that nothing of an array's size is held. The file appears whole or not at all; the same
 * numbers give the same bytes. Called by whoever exports samples, statistics and token maps. */
#ifndef VT_IO_NPZ_WRITE_H
#define VT_IO_NPZ_WRITE_H

#include "io/zip_write.h"

typedef struct vt_npz_writer {
    vt_zip_writer zip;
} vt_npz_writer;

/* E_ARGUMENT for the standard output: an archive is written back and forth. */
variant_status vt_npz_writer_open(vt_npz_writer *out, const char *path, variant_error *err);
/* Begins an array of `rank` axes, at most 4, C order. type: NumPy's of a little-endian number: "|u1", "<i4", "<i8", "<f4", "<f8". */
variant_status vt_npz_writer_begin(vt_npz_writer *writer, const char *name, const char *type,
                                   int rank, const int64_t *shape, variant_error *err);
/* Its next bytes; E_ARGUMENT where there are more than the shape says. */
variant_status vt_npz_writer_add(vt_npz_writer *writer, const void *bytes, size_t size,
                                 variant_error *err);
/* Begin and all its numbers. */
variant_status vt_npz_writer_put(vt_npz_writer *writer, const char *name, const char *type,
                                 int rank, const int64_t *shape, const void *numbers,
                                 variant_error *err);
/* E_ARGUMENT where numbers of the last array are missing. Abandon is allowed after it, and after a failed open. */
variant_status vt_npz_writer_commit(vt_npz_writer *writer, variant_error *err);
void vt_npz_writer_abandon(vt_npz_writer *writer);

#endif

/* npz.h - arrays of numbers from NumPy's .npz archives (np.savez, np.savez_compressed): how others publish the
 * statistics of a data set, and its pictures. Format: NEP 1; a zip archive of .npy entries, stored or
 * deflated. Floats (f2, f4, f8), whole numbers (i1 to i8, u1 to u8) and bools of either byte order, in C or
 * Fortran order; other types are refused by name.
 *
 * vt_npz_find reads only an array's header, so that its shape can be looked at before anything of its size is
 * taken. */
#ifndef VT_IO_NPZ_H
#define VT_IO_NPZ_H

#include "io/file.h"
#include "io/zip.h"

typedef struct vt_npz {
    vt_mapping map;
    vt_pool pool;
    vt_zip zip;
    char *path;
} vt_npz;

typedef struct vt_npy {
    int rank; /* at most 4 */
    int64_t shape[4];
    size_t count; /* numbers; count * size fits the entry */
    char kind;    /* as NumPy spells it: 'f', 'i', 'u', 'b' */
    int size;     /* bytes of a number */
    bool big_endian, fortran;
    const vt_npz *npz; /* where from; not owned */
    const vt_zip_entry *entry;
    size_t start; /* bytes of the entry before the first number */
} vt_npy;

/* Does the file begin as a zip archive? */
bool vt_npz_is(const char *path);
variant_status vt_npz_open(vt_npz *out, const char *path, variant_error *err);
void vt_npz_close(vt_npz *npz);
/* The archive's arrays, by name without .npy, in order of names: index from 0; NULL after the last. The text
 * lives as long as the archive. */
const char *vt_npz_name(vt_npz *npz, size_t index);
bool vt_npz_has(const vt_npz *npz, const char *name);
/* The array `name` (without .npy). E_FORMAT names the archive, the array and what is wrong. */
variant_status vt_npz_find(const vt_npz *npz, const char *name, vt_npy *out, variant_error *err);
/* Its numbers as doubles in C order: out (count). E_FORMAT also where the entry's checksum disagrees. */
variant_status vt_npy_read(const vt_npy *array, double *out, variant_error *err);

/* Rows on demand: what lies behind one index of the first axis. Going forward costs what is read; going back in
 * a deflated array costs reading it again from its start. Not for several threads at once. */
typedef struct vt_npy_rows vt_npy_rows;
/* E_FORMAT for an array without axes and for one in Fortran order. The archive must stay open. */
variant_status vt_npy_rows_open(vt_npy_rows **out, const vt_npy *array, variant_error *err);
void vt_npy_rows_close(vt_npy_rows **rows);
size_t vt_npy_row_bytes(const vt_npy *array);
/* Rows first .. first + count - 1 as this machine's numbers: out (count * row_bytes). */
variant_status vt_npy_rows_read(vt_npy_rows *rows, int64_t first, int64_t count, void *out,
                                variant_error *err);

#endif

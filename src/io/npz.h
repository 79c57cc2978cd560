/* npz.h - arrays of numbers from NumPy's .npz archives (np.savez): how others publish the statistics of a
 * data set. Format: NEP 1; a zip archive of .npy entries. Compressed archives, Fortran order, big-endian
 * numbers and types other than f4 and f8 are refused by name. */
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
    size_t count;
    bool wide;        /* f8, else f4 */
    const void *data; /* in the mapped archive, maybe not aligned */
} vt_npy;

/* Does the file begin as a zip archive? */
bool vt_npz_is(const char *path);
variant_status vt_npz_open(vt_npz *out, const char *path, variant_error *err);
void vt_npz_close(vt_npz *npz);
bool vt_npz_has(const vt_npz *npz, const char *name);
/* The array `name` (without .npy). E_FORMAT names the archive, the array and what is wrong. */
variant_status vt_npz_find(const vt_npz *npz, const char *name, vt_npy *out, variant_error *err);
/* Its numbers as doubles: out (count). */
void vt_npy_read(const vt_npy *array, double *out);

#endif

/* npz_write.c - see npz_write.h. */
#include "io/npz_write.h"

#include <stdio.h>
#include <string.h>

enum { HEADER_ROOM = 256, MOST_AXES = 4 }; /* of an array's header; of an array */

/* NEP 1, version 1.0; as NumPy pads it, so that the numbers begin at a multiple of 64 within the entry. */
static int array_header(char out[HEADER_ROOM], const char *type, int rank, const int64_t *shape) {
    static const char magic[8] = {'\x93', 'N', 'U', 'M', 'P', 'Y', 1, 0};
    memcpy(out, magic, sizeof magic);
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

variant_status vt_npz_writer_open(vt_npz_writer *out, const char *path, variant_error *err) {
    return vt_zip_writer_open(&out->zip, path, "an .npz", err);
}

variant_status vt_npz_writer_begin(vt_npz_writer *w, const char *name, const char *type, int rank,
                                   const int64_t *shape, variant_error *err) {
    char header[HEADER_ROOM], entry[64];
    uint64_t numbers = (uint64_t)(type[2] - '0');
    if (rank > MOST_AXES)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: array %s has %d axes, at most %d are written",
                       w->zip.path, name, rank, (int)MOST_AXES);
    const int size = array_header(header, type, rank, shape);
    for (int d = 0; d < rank; ++d) numbers *= (uint64_t)shape[d];
    snprintf(entry, sizeof entry, "%s.npy", name);
    VT_TRY(vt_zip_writer_begin(&w->zip, entry, (uint64_t)size + numbers, 1, err));
    return vt_zip_writer_add(&w->zip, header, (size_t)size, err);
}

variant_status vt_npz_writer_add(vt_npz_writer *w, const void *bytes, size_t size,
                                 variant_error *err) {
    if (size > w->zip.left)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: more numbers than its array's shape says",
                       w->zip.path);
    return vt_zip_writer_add(&w->zip, bytes, size, err);
}

variant_status vt_npz_writer_put(vt_npz_writer *w, const char *name, const char *type, int rank,
                                 const int64_t *shape, const void *numbers, variant_error *err) {
    VT_TRY(vt_npz_writer_begin(w, name, type, rank, shape, err));
    return vt_npz_writer_add(w, numbers, w->zip.left, err);
}

variant_status vt_npz_writer_commit(vt_npz_writer *w, variant_error *err) {
    return vt_zip_writer_commit(&w->zip, err);
}

void vt_npz_writer_abandon(vt_npz_writer *w) {
    vt_zip_writer_abandon(&w->zip);
}

/* picture_array.h - pictures in an .npz, as generators of others save them: array arr_0 of unsigned bytes, (N,
 * H, W, 3), (N, H, W, 1) or (N, H, W). Held in memory up to 1 GiB, else read from the archive. */
#ifndef VT_IO_PICTURE_ARRAY_H
#define VT_IO_PICTURE_ARRAY_H

#include <pthread.h>

#include "io/image.h"
#include "io/npz.h"

typedef struct vt_picture_array {
    vt_npz npz;
    vt_npy npy;
    vt_npy_rows *rows;
    uint8_t *pixels; /* all of them, or NULL */
    int count, width, height, channels;
    pthread_mutex_t *lock; /* of rows */
} vt_picture_array;

variant_status vt_picture_array_open(vt_picture_array **out, const char *path, variant_error *err);
void vt_picture_array_close(vt_picture_array **array);
/* Picture `index` in its own channels; out->data is malloc's. May be called by several threads. */
variant_status vt_picture_array_read(const vt_picture_array *array, int index, vt_image *out,
                                     variant_error *err);

#endif

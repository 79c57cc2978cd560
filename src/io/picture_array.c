/* picture_array.c - see picture_array.h. */
#include "io/picture_array.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/picture.h"

#define NAME "arr_0"
#define KEPT_BYTES_MAX ((size_t)1 << 30)

static variant_status fail_shape(const vt_npy *a, const char *path, const char *why,
                                 variant_error *err) {
    char shape[120] = "";
    for (int d = 0, used = 0; d < a->rank; d++)
        used += snprintf(shape + used, sizeof shape - (size_t)used, "%s%lld", d ? ", " : "",
                         (long long)a->shape[d]);
    return vt_fail(err, VARIANT_E_FORMAT,
                   "%s: array " NAME " is (%s) of %c%d%s: expected pictures, (N, H, W, 3) or "
                   "(N, H, W) of unsigned bytes (u1)",
                   path, shape, a->kind, a->size, why);
}

static variant_status shape_read(vt_picture_array *out, const char *path, variant_error *err) {
    const vt_npy *a = &out->npy;
    bool grey = a->rank == 3, bytes = a->kind == 'u' && a->size == 1;
    if (!bytes || (!grey && a->rank != 4) || (!grey && a->shape[3] != 3 && a->shape[3] != 1) ||
        a->shape[0] < 1 || a->shape[0] > INT_MAX)
        return fail_shape(a, path, "", err);
    if (grey && a->shape[2] <= 4) /* colours, not columns */
        return fail_shape(a, path, ", one picture without the axis N", err);
    VT_TRY(vt_picture_size_check("array " NAME, a->shape[2], a->shape[1], err));
    out->count = (int)a->shape[0];
    out->height = (int)a->shape[1];
    out->width = (int)a->shape[2];
    out->channels = grey ? 1 : (int)a->shape[3];
    return VARIANT_OK;
}

static variant_status pixels_read(vt_picture_array *out, variant_error *err) {
    VT_TRY(vt_npy_rows_open(&out->rows, &out->npy, err));
    if (out->npy.count > KEPT_BYTES_MAX) {
        out->lock = malloc(sizeof(pthread_mutex_t));
        if (!out->lock) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a lock");
        pthread_mutex_init(out->lock, NULL);
        return VARIANT_OK;
    }
    out->pixels = malloc(out->npy.count);
    if (!out->pixels)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", out->count);
    return vt_npy_rows_read(out->rows, 0, out->count, out->pixels, err);
}

variant_status vt_picture_array_open(vt_picture_array **out, const char *path, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_picture_array *a = *out = calloc(1, sizeof *a);
    if (!a) return vt_fail(err, VARIANT_E_MEMORY, "no memory to read %s", path);
    VT_CHECK(vt_npz_open(&a->npz, path, err));
    if (!vt_npz_has(&a->npz, NAME)) {
        const char *first = vt_npz_name(&a->npz, 0);
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT,
                         "%s: no pictures in it: expected an array " NAME ", it has %s", path,
                         first ? first : "none"));
    }
    VT_CHECK(vt_npz_find(&a->npz, NAME, &a->npy, err));
    VT_CHECK(shape_read(a, path, err));
    VT_CHECK(pixels_read(a, err));
cleanup:
    if (status != VARIANT_OK) vt_picture_array_close(out);
    return status;
}

void vt_picture_array_close(vt_picture_array **array) {
    vt_picture_array *a = *array;
    if (!a) return;
    vt_npy_rows_close(&a->rows);
    vt_npz_close(&a->npz);
    if (a->lock) pthread_mutex_destroy(a->lock);
    free(a->lock);
    free(a->pixels);
    free(a);
    *array = NULL;
}

variant_status vt_picture_array_read(const vt_picture_array *array, int index, vt_image *out,
                                     variant_error *err) {
    VT_TRY(vt_image_new(out, array->width, array->height, array->channels, err));
    size_t size = (size_t)array->width * (size_t)array->height * (size_t)array->channels;
    if (array->pixels) {
        memcpy(out->data, array->pixels + (size_t)index * size, size);
        return VARIANT_OK;
    }
    pthread_mutex_lock(array->lock);
    variant_status status = vt_npy_rows_read(array->rows, index, 1, out->data, err);
    pthread_mutex_unlock(array->lock);
    if (status != VARIANT_OK) vt_image_free(out);
    return status;
}

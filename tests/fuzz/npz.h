/* npz.h - what npz.c and npy.c do with an archive: every array is read whole and by rows, twice alike, and pictures one by one. */
#ifndef TESTS_FUZZ_NPZ_H
#define TESTS_FUZZ_NPZ_H

#include "io/npz.h"
#include "io/picture_array.h"
#include "tests/fuzz/fuzz.h"

enum { FUZZ_NUMBERS = 1 << 16, FUZZ_ARRAYS = 16 };

static inline void read_rows(const vt_npy *array) {
    variant_error err = {0};
    vt_npy_rows *rows = NULL;
    variant_status status = vt_npy_rows_open(&rows, array, &err);
    fuzz_told(status, &err);
    if (status != VARIANT_OK) return;
    const size_t row = vt_npy_row_bytes(array);
    FUZZ_EXPECT(array->count == 0 ||
                row * (size_t)array->shape[0] == array->count * (size_t)array->size);
    uint8_t *out = malloc(row + 1);
    FUZZ_EXPECT(out);
    for (int64_t i = 0; i < 4 && i < array->shape[0]; ++i) {
        fuzz_told(vt_npy_rows_read(rows, array->shape[0] - 1 - i, 1, out, &err), &err);
        fuzz_told(vt_npy_rows_read(rows, i, 1, out, &err), &err);
    }
    FUZZ_EXPECT(vt_npy_rows_read(rows, array->shape[0], 1, out, &err) != VARIANT_OK);
    free(out);
    vt_npy_rows_close(&rows);
}

static inline void read_array_of(const vt_npz *npz, const char *name) {
    variant_error err = {0};
    vt_npy array;
    variant_status status = vt_npz_find(npz, name, &array, &err);
    fuzz_told(status, &err);
    if (status != VARIANT_OK || array.count > FUZZ_NUMBERS) return;
    double *out = malloc((array.count + 1) * sizeof *out);
    FUZZ_EXPECT(out);
    fuzz_told(vt_npy_read(&array, out, &err), &err);
    free(out);
    read_rows(&array);
}

static inline void read_pictures(const char *path, size_t size) {
    variant_error err = {0};
    vt_picture_array *pictures = NULL;
    fuzz_begin();
    variant_status status = vt_picture_array_open(&pictures, path, &err);
    fuzz_told(status, &err);
    fuzz_end(((size_t)1 << 20) + 1100 * size); /* all pixels, unfolded */
    for (int i = 0; status == VARIANT_OK && i < 4 && i < pictures->count; ++i) {
        vt_image image = {0};
        if ((int64_t)pictures->width * pictures->height > FUZZ_NUMBERS) break;
        const variant_status read = vt_picture_array_read(pictures, i, &image, &err);
        fuzz_told(read, &err);
        if (read == VARIANT_OK) FUZZ_EXPECT(image.width == pictures->width && image.data);
        vt_image_free(&image);
    }
    vt_picture_array_close(&pictures);
}

static inline void read_archive(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    variant_error err = {0};
    vt_npz npz;
    fuzz_begin();
    variant_status status = vt_npz_open(&npz, path, &err);
    fuzz_told(status, &err);
    if (status == VARIANT_OK) {
        for (size_t i = 0; i < FUZZ_ARRAYS; ++i) {
            const char *name = vt_npz_name(&npz, i);
            if (!name) break;
            FUZZ_EXPECT(vt_npz_has(&npz, name) || strlen(name) > 240);
            read_array_of(&npz, name);
        }
        vt_npz_close(&npz);
    }
    fuzz_end(((size_t)2 << 20) + 64 * size);
    read_pictures(path, size);
}

#endif

/* picture_list.c - see picture_list.h. */
#include "io/picture_list.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/picture.h"

/* ---- files ---- */

static variant_status add_file(vt_picture_list *to, const char *path, variant_error *err) {
    if (to->count == to->capacity) {
        if (to->capacity > INT_MAX / 2)
            return vt_fail(err, VARIANT_E_ARGUMENT, "more than %d pictures", to->capacity);
        const int capacity = to->capacity ? 2 * to->capacity : 64;
        char **grown = realloc(to->files, (size_t)capacity * sizeof *grown);
        if (!grown) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of pictures");
        to->files = grown;
        to->capacity = capacity;
    }
    to->files[to->count] = strdup(path);
    return to->files[to->count++] ? VARIANT_OK
                                  : vt_fail(err, VARIANT_E_MEMORY, "no memory for a path");
}

static variant_status add_path(vt_picture_list *to, const char *path, variant_error *err) {
    if (!vt_is_folder(path)) return add_file(to, path, err);
    vt_picture_folder folder;
    const vt_picture_folder_options options = {.path = path, .note = to->note, .user = to->user};
    VT_TRY(vt_picture_folder_list(&folder, &options, err));
    variant_status status = folder.file_count
                                ? VARIANT_OK
                                : vt_fail(err, VARIANT_E_IO, "%s: no picture in this folder", path);
    for (int i = 0; status == VARIANT_OK && i < folder.file_count; ++i)
        status = add_file(to, folder.files[i].path, err);
    vt_picture_folder_free(&folder);
    return status;
}

static variant_status read_file(const vt_picture_list *p, const char *path, float *out,
                                variant_error *err) {
    vt_image read = {0}, square = {0};
    VT_TRY(vt_picture_read(&read, path, p->channels, p->data.alpha, NULL, err));
    const bool pad = p->data.pad && read.width <= p->side && read.height <= p->side;
    variant_status status = pad ? vt_image_pad(&square, &read, p->side, 0, err)
                                : vt_image_square(&square, &read, p->side, p->data.fit, err);
    const size_t samples = (size_t)p->side * (size_t)p->side * (size_t)p->channels;
    for (size_t i = 0; status == VARIANT_OK && i < samples; ++i)
        out[i] = (float)square.data[i] / 127.5f - 1.0f;
    vt_image_free(&read);
    vt_image_free(&square);
    return status;
}

/* ---- either ---- */

variant_status vt_picture_list_open(vt_picture_list *out, int most, variant_error *err) {
    for (int i = 0; i < out->data.file_count; ++i) VT_TRY(add_path(out, out->data.files[i], err));
    if (!out->data.file_count) {
        const vt_dataset_options options = {.data = out->data,
                                            .side = out->side,
                                            .channels = out->channels,
                                            .warn = out->note,
                                            .user = out->user};
        VT_TRY(vt_dataset_open(&out->dataset, &options, err));
        out->count = vt_dataset_count(out->dataset);
    }
    for (; out->files && most > 0 && out->count > most; --out->count)
        free(out->files[out->count - 1]);
    if (most > 0 && out->count > most) out->count = most;
    return VARIANT_OK;
}

void vt_picture_list_close(vt_picture_list *pictures) {
    for (int i = 0; pictures->files && i < pictures->count; ++i) free(pictures->files[i]);
    free(pictures->files);
    vt_dataset_close(&pictures->dataset);
    *pictures = (vt_picture_list){0};
}

bool vt_picture_list_labelled(const vt_picture_list *pictures) {
    return pictures->dataset && !vt_dataset_flat(pictures->dataset);
}

int vt_picture_list_label(const vt_picture_list *pictures, int index) {
    return vt_picture_list_labelled(pictures) ? vt_dataset_label(pictures->dataset, index) : -1;
}

char *vt_picture_list_name(const vt_picture_list *pictures, int index) {
    return pictures->dataset ? vt_dataset_picture_name(pictures->dataset, index)
                             : strdup(pictures->files[index]);
}

variant_status vt_picture_list_read(const vt_picture_list *pictures, int index, float *out,
                                    variant_error *err) {
    const vt_crop none = {0.5, 0.5, false};
    if (pictures->dataset) return vt_dataset_read(pictures->dataset, index, none, out, err);
    return read_file(pictures, pictures->files[index], out, err);
}

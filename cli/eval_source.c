/* eval_source.c - see eval_source.h. */
#include "eval_source.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "io/file.h"

static void note(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "variant: note: %s\n", line);
}

static variant_status open_list(eval_source *out, int side, int channels, variant_error *err) {
    VT_TRY(cli_pictures_add(&out->list, out->path, err));
    out->available = out->list.count;
    out->side = side;
    out->channels = channels;
    if (side) return VARIANT_OK;
    vt_image first = {0};
    VT_TRY(vt_image_read(&first, out->list.paths[0], channels, err));
    out->side = first.width;
    out->channels = first.channels;
    out->exact = true;
    bool square = first.width == first.height;
    vt_image_free(&first);
    return square
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_FORMAT, "%s: expected square pictures", out->list.paths[0]);
}

static variant_status open_dataset(eval_source *out, bool test_split, int side, int channels,
                                   variant_error *err) {
    if (!side || !channels)
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "%s: no .png or .jpg directly in it; a data set has no size of its own: give "
            "--side and --channels",
            out->path);
    vt_dataset_options options = {.path = out->path,
                                  .test_split = test_split,
                                  .side = side,
                                  .channels = channels,
                                  .warn = note};
    VT_TRY(vt_dataset_open(&out->dataset, &options, err));
    out->available = vt_dataset_count(out->dataset);
    out->side = side;
    out->channels = channels;
    return VARIANT_OK;
}

variant_status eval_source_open(eval_source *out, const char *path, bool test_split, int side,
                                int channels, int count, variant_error *err) {
    *out = (eval_source){.path = path};
    if (access(path, R_OK) != 0) return vt_fail(err, VARIANT_E_IO, "%s: %s", path, strerror(errno));
    variant_status status = vt_is_folder(path) && cli_pictures_in(path)
                                ? open_list(out, side, channels, err)
                                : open_dataset(out, test_split, side, channels, err);
    out->count = count > 0 && count < out->available ? count : out->available;
    if (status != VARIANT_OK) eval_source_close(out);
    return status;
}

void eval_source_close(eval_source *source) {
    vt_dataset_close(&source->dataset);
    cli_pictures_close(&source->list);
}

static variant_status read_file(const eval_source *source, const char *path, float *out,
                                variant_error *err) {
    vt_image image = {0}, square = {0};
    size_t n = (size_t)source->side * (size_t)source->side * (size_t)source->channels;
    VT_TRY(vt_image_read(&image, path, source->channels, err));
    variant_status status = VARIANT_OK;
    if (source->exact && (image.width != source->side || image.height != source->side))
        status =
            vt_fail(err, VARIANT_E_MISMATCH, "%s: %d x %d pixels, the first picture has %d x %d",
                    path, image.width, image.height, source->side, source->side);
    else
        status = vt_image_fit(&square, &image, source->side, 0.5, 0.5, false, err);
    for (size_t i = 0; status == VARIANT_OK && i < n; ++i) out[i] = (float)square.data[i] / 255.0f;
    vt_image_free(&image);
    vt_image_free(&square);
    return status;
}

variant_status eval_source_read(const eval_source *source, int first, int count, float *pictures,
                                int32_t *labels, variant_error *err) {
    const vt_crop centre = {0.5, 0.5, false};
    size_t n = (size_t)source->side * (size_t)source->side * (size_t)source->channels;
    for (int i = 0; i < count; ++i) {
        int index = (int)((int64_t)(first + i) * source->available / source->count);
        float *out = pictures + (size_t)i * n;
        if (labels) labels[i] = source->dataset ? vt_dataset_label(source->dataset, index) : -1;
        if (!source->dataset) {
            VT_TRY(read_file(source, source->list.paths[index], out, err));
            continue;
        }
        VT_TRY(vt_dataset_read(source->dataset, index, centre, out, err));
        for (size_t j = 0; j < n; ++j) out[j] = 0.5f * (out[j] + 1.0f);
    }
    return VARIANT_OK;
}

/* data_take.c - the pictures that a caller of variant.h names, checked, as the rest of the library reads them: variant_data to
 * vt_data. Called where a public function that takes one begins. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "io/data.h"
#include "io/picture.h"

#define MOST_CLASSES (1 << 22) /* as many as a transformer may have */

void variant_array_init_sized(variant_array *out, size_t size) {
    const variant_array defaults = {0};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_data_init_sized(variant_data *out, size_t size) {
    const variant_data defaults = {.holdout = VT_HOLDOUT};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- paths ---- */

static variant_status take_paths(vt_data *out, const variant_data *data, variant_error *err) {
    if (data->path_count < 1 || data->path_count > VT_DATA_PATHS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d data sets: expected 1 to %d", data->path_count,
                       VT_DATA_PATHS);
    for (out->count = 0; out->count < data->path_count; ++out->count) {
        const char *path = data->paths[out->count];
        if (!path || !*path)
            return vt_fail(err, VARIANT_E_ARGUMENT, "data set %d has no path", out->count + 1);
        out->paths[out->count] = path;
    }
    return VARIANT_OK;
}

/* ---- arrays ---- */

static bool counts_bytes(const variant_array *array) {
    size_t bytes;
    return !__builtin_mul_overflow((size_t)array->count, (size_t)array->height, &bytes) &&
           !__builtin_mul_overflow(bytes, (size_t)array->width * (size_t)array->channels, &bytes);
}

static variant_status take_array(vt_array *out, const variant_array *given, variant_error *err) {
    variant_array array;
    VT_TRY(VT_SIZED_TAKE(&array, given, variant_array, err));
    if (!array.pixels || array.count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "an array of %d pictures%s: expected 1 or more",
                       array.count, array.pixels ? "" : " at NULL");
    if (array.channels != 1 && array.channels != 3)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "an array of pictures of %d channels: expected 1 (grey) or 3 (RGB), as "
                       "(count, height, width, channels)",
                       array.channels);
    if (vt_picture_size_check("an array", array.width, array.height, err) != VARIANT_OK ||
        !counts_bytes(&array))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "an array of %d pictures of %d x %d pixels: expected sides of 1 to %d, and "
                       "at most %lld pixels each",
                       array.count, array.width, array.height, VT_IMAGE_SIDE_MAX,
                       (long long)VT_IMAGE_PIXELS_MAX);
    *out = (vt_array){.pixels = array.pixels,
                      .count = array.count,
                      .width = array.width,
                      .height = array.height,
                      .channels = array.channels,
                      .labels = array.labels};
    return VARIANT_OK;
}

/* The largest label into *most; E_ARGUMENT: one that is none of the classes (0: not told). */
static variant_status check_labels(const vt_array *array, int classes, int *most,
                                   variant_error *err) {
    const int end = classes ? classes : MOST_CLASSES;
    for (int i = 0; array->labels && i < array->count; ++i) {
        const int32_t label = array->labels[i];
        if (label < 0 || label >= end)
            return vt_fail(err, VARIANT_E_ARGUMENT, "label %d of picture %d: expected 0 to %d",
                           (int)label, i, end - 1);
        if (label > *most) *most = label;
    }
    return VARIANT_OK;
}

static int by_name(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* Test pictures find their class by its name. */
static variant_status check_names(const char *const *names, int count, variant_error *err) {
    for (int i = 0; i < count; ++i)
        if (!names[i] || !*names[i])
            return vt_fail(err, VARIANT_E_ARGUMENT, "class %d has no name", i);
    const char **sorted = malloc((size_t)count * sizeof *sorted);
    if (!sorted) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d class names", count);
    memcpy(sorted, names, (size_t)count * sizeof *sorted);
    qsort(sorted, (size_t)count, sizeof *sorted, by_name);
    const char *twice = NULL;
    for (int i = 1; i < count && !twice; ++i)
        if (strcmp(sorted[i - 1], sorted[i]) == 0) twice = sorted[i];
    free(sorted);
    if (!twice) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "two classes are called %.200s", twice);
}

static variant_status take_classes(vt_data *out, const variant_data *data, variant_error *err) {
    int most = 0;
    if (data->class_count < 0 || data->class_count > MOST_CLASSES)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d classes: expected up to %d", data->class_count,
                       MOST_CLASSES);
    if (data->class_names && data->class_count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "names of classes, but no class_count of them");
    VT_TRY(check_labels(&out->array, data->class_count, &most, err));
    VT_TRY(check_labels(&out->test_array, data->class_count, &most, err));
    out->class_count = data->class_count ? data->class_count : most + 1;
    out->class_names = data->class_names;
    return out->class_names ? check_names(out->class_names, out->class_count, err) : VARIANT_OK;
}

/* ---- how they are taken ---- */

static variant_status take_fit(vt_data *out, const char *name, variant_error *err) {
    out->fit_chosen = name != NULL;
    for (vt_fit fit = VT_FIT_CROP; name && fit <= VT_FIT_STRETCH; ++fit)
        if (strcmp(name, vt_fit_name(fit)) == 0) {
            out->fit = fit;
            return VARIANT_OK;
        }
    if (!name) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "fit %s: expected crop, pad or stretch", name);
}

static variant_status take_alpha(vt_data *out, const char *name, variant_error *err) {
    out->alpha_chosen = name != NULL;
    for (vt_alpha alpha = VT_ALPHA_WHITE; name && alpha <= VT_ALPHA_DROP; ++alpha)
        if (strcmp(name, vt_alpha_name(alpha)) == 0) {
            out->alpha = alpha;
            return VARIANT_OK;
        }
    if (!name) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "alpha %s: expected white, black or drop", name);
}

static variant_status take_split(vt_data *out, const char *name, vt_split otherwise,
                                 variant_error *err) {
    out->split_chosen = name != NULL;
    out->split = otherwise;
    for (vt_split split = VT_SPLIT_TRAIN; name && split <= VT_SPLIT_ALL; ++split)
        if (strcmp(name, vt_split_name(split)) == 0) {
            out->split = split;
            return VARIANT_OK;
        }
    if (!name) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "split %s: expected train, test or all", name);
}

static variant_status take_files(vt_data *out, const variant_data *data, variant_error *err) {
    if (data->file_count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d files: expected 1 or more", data->file_count);
    for (int i = 0; i < data->file_count; ++i)
        if (!data->files[i] || !*data->files[i])
            return vt_fail(err, VARIANT_E_ARGUMENT, "file %d has no name", i + 1);
    out->files = data->files;
    out->file_count = data->file_count;
    return VARIANT_OK;
}

static variant_status take(vt_data *out, const variant_data *given, vt_split split, bool files,
                           variant_error *err) {
    variant_data data;
    *out = (vt_data){0};
    VT_TRY(VT_SIZED_TAKE(&data, given, variant_data, err));
    VT_TRY(vt_need_list(data.paths, "paths", data.path_count, "path_count", err));
    VT_TRY(vt_need_list(data.files, "files", data.file_count, "file_count", err));
    if (data.files && (!files || data.paths || data.array))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       files
                           ? "files beside paths or an array of pictures: expected one of them"
                           : "a list of picture files is no data set: expected paths or an array");
    if (!data.files && !data.paths == !data.array)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       data.array ? "both paths and an array of pictures: expected one of them"
                                  : "no data given: expected paths or an array of pictures");
    if (data.test_array && !data.array)
        return vt_fail(err, VARIANT_E_ARGUMENT, "test pictures of paths lie beside the others");
    if (!(data.holdout >= 0.0 && data.holdout <= 0.9))
        return vt_fail(err, VARIANT_E_ARGUMENT, "holdout %g: expected 0 to 0.9", data.holdout);
    out->holdout = data.holdout;
    VT_TRY(take_fit(out, data.fit, err));
    VT_TRY(take_alpha(out, data.alpha, err));
    VT_TRY(take_split(out, data.split, split, err));
    out->pad = data.pad;
    if (data.files) return take_files(out, &data, err);
    if (data.paths) return take_paths(out, &data, err);
    VT_TRY(take_array(&out->array, data.array, err));
    if (data.test_array) VT_TRY(take_array(&out->test_array, data.test_array, err));
    return take_classes(out, &data, err);
}

variant_status vt_data_take(vt_data *out, const variant_data *given, variant_error *err) {
    return take(out, given, VT_SPLIT_TRAIN, false, err);
}

variant_status vt_data_take_as(vt_data *out, const variant_data *given, const char *what,
                               vt_split split, variant_error *err) {
    const variant_status status = take(out, given, split, true, err);
    return status == VARIANT_OK ? status : vt_fail_within(err, status, "%s", what);
}

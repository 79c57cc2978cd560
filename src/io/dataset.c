/* dataset.c - labelled pictures out of IDX files or folders (see dataset.h), as floats for
 * training.
 *
 * Pictures are held as bytes, a quarter of their floats; the crop is cut while converting. What a
 * read gives depends on the file and the crop alone, not on whether the picture was kept in memory.
 * Called by the trainers, the judge and the token cache. */
#include "io/dataset.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "io/file.h"
#include "io/idx.h"
#include "io/picture.h"
#include "io/picture_folder.h"

#define DECODED_PICTURES_MAX 20000
#define KEPT_BYTES_MAX ((uint64_t)1 << 30)

struct vt_dataset {
    int side, channels, short_side;
    int count, skipped, class_count;
    int *class_sizes; /* (class_count) */
    uint64_t hash;
    char *path; /* as given */
    bool is_idx;
    vt_idx idx;               /* is_idx */
    vt_picture_folder folder; /* not is_idx: `count` files, broken ones taken out */
    vt_image *kept;           /* (count): scaled to short_side; data NULL where not kept */
};

static const char *const fashion_names[10] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                              "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                              "Bag",         "Ankle boot"};

/* ---- opening ---- */

static uint64_t hash_ints(uint64_t hash, const int *values, size_t count) {
    return vt_fnv1a64_more(hash, values, count * sizeof *values);
}

static void idx_hash(vt_dataset *d) {
    const vt_idx *idx = &d->idx;
    int shape[] = {1, d->side, d->channels, idx->count, idx->height, idx->width};
    uint64_t hash = hash_ints(vt_fnv1a64("", 0), shape, sizeof shape / sizeof *shape);
    hash = vt_fnv1a64_more(hash, idx->pixels,
                           (size_t)idx->count * (size_t)idx->height * (size_t)idx->width);
    d->hash = vt_fnv1a64_more(hash, idx->labels, (size_t)idx->count);
}

static void folder_hash(vt_dataset *d) {
    int shape[] = {2, d->side, d->channels, d->short_side, d->count, d->class_count};
    uint64_t hash = hash_ints(vt_fnv1a64("", 0), shape, sizeof shape / sizeof *shape);
    for (int i = 0; i < d->count; i++) {
        const vt_picture_file *file = &d->folder.files[i];
        hash = vt_fnv1a64_more(hash, file->name, strlen(file->name) + 1);
        hash = vt_fnv1a64_more(hash, &file->size, sizeof file->size);
        hash = hash_ints(hash, &file->label, 1);
    }
    d->hash = hash;
}

static void dataset_warn(const vt_dataset_options *options, const char *line) {
    if (options->warn) options->warn(options->user, line);
}

/* Decodes the picture and keeps it scaled if the budget allows. */
static variant_status picture_check(vt_dataset *d, const char *path, vt_image *kept,
                                    uint64_t *budget, variant_error *err) {
    vt_image whole = {0};
    *kept = (vt_image){0};
    VT_TRY(vt_image_read(&whole, path, d->channels, err));
    vt_window window = {0};
    vt_scaled_size(whole.width, whole.height, d->short_side, &window.width, &window.height);
    window.columns = window.width;
    window.rows = window.height;
    uint64_t bytes = (uint64_t)window.width * (uint64_t)window.height * (uint64_t)d->channels;
    variant_status status = VARIANT_OK;
    if (bytes <= *budget && window.width <= VT_IMAGE_SIDE_MAX &&
        window.height <= VT_IMAGE_SIDE_MAX) {
        status = vt_image_resample(kept, &whole, &window, err);
        if (status == VARIANT_OK) *budget -= bytes;
    }
    vt_image_free(&whole);
    return status;
}

/* Looks at every picture; the broken ones leave the list, which stays in order. */
static variant_status pictures_check(vt_dataset *d, const vt_dataset_options *options,
                                     variant_error *err) {
    vt_picture_folder *folder = &d->folder;
    bool decode = folder->file_count <= DECODED_PICTURES_MAX;
    uint64_t budget = KEPT_BYTES_MAX;
    for (int i = 0; i < folder->file_count; i++) {
        variant_error broken = {0};
        vt_image kept = {0};
        vt_picture_file file = folder->files[i];
        variant_status status = decode ? picture_check(d, file.path, &kept, &budget, &broken)
                                       : vt_image_probe(&kept, file.path, NULL, &broken);
        if (status == VARIANT_E_MEMORY) {
            /* this one and what follows are still in the list: close the gap, then fail */
            memmove(folder->files + d->count, folder->files + i,
                    (size_t)(folder->file_count - i) * sizeof file);
            folder->file_count -= i - d->count;
            return vt_fail(err, status, "%s", broken.message);
        }
        if (status != VARIANT_OK) {
            d->skipped++;
            free(file.path);
            folder->files[i].path = NULL;
            dataset_warn(options, broken.message);
            continue;
        }
        folder->files[i].path = NULL;
        folder->files[d->count] = file;
        d->kept[d->count++] = decode ? kept : (vt_image){0};
    }
    folder->file_count = d->count;
    return VARIANT_OK;
}

static variant_status folder_open(vt_dataset *d, const vt_dataset_options *options,
                                  variant_error *err) {
    if (!vt_is_folder(d->path)) {
        return vt_fail(err, VARIANT_E_IO, "%s: no such folder, IDX file or prefix of IDX files",
                       d->path);
    }
    VT_TRY(vt_picture_folder_open(&d->folder, d->path, options->test_split, err));
    d->class_count = d->folder.class_count;
    if (d->folder.file_count > 0) {
        d->kept = calloc((size_t)d->folder.file_count, sizeof *d->kept);
        if (!d->kept)
            return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for the list of pictures",
                           d->path);
        VT_TRY(pictures_check(d, options, err));
    }
    if (d->count == 0) {
        return vt_fail(
            err, VARIANT_E_FORMAT,
            "%s: no pictures%s: expected .png or .jpg files in one sub-folder a class, or "
            "train-images-idx3-ubyte.gz",
            d->folder.root, d->skipped ? " that can be read" : "");
    }
    folder_hash(d);
    return VARIANT_OK;
}

static variant_status sizes_count(vt_dataset *d, variant_error *err) {
    d->class_sizes = calloc((size_t)d->class_count, sizeof *d->class_sizes);
    if (!d->class_sizes)
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for %d classes", d->path,
                       d->class_count);
    for (int i = 0; i < d->count; i++) d->class_sizes[vt_dataset_label(d, i)]++;
    return VARIANT_OK;
}

variant_status vt_dataset_open(vt_dataset **out, const vt_dataset_options *options,
                               variant_error *err) {
    *out = NULL;
    if (!options->path || options->side < 1 || options->side > VT_IMAGE_SIDE_MAX ||
        (options->channels != 1 && options->channels != 3)) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a dataset needs a path, a side of 1 to %d and 1 or 3 channels",
                       VT_IMAGE_SIDE_MAX);
    }
    if (options->short_side &&
        (options->short_side < options->side || options->short_side > VT_IMAGE_SIDE_MAX)) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "shorter side %d: expected 0 or %d to %d",
                       options->short_side, options->side, VT_IMAGE_SIDE_MAX);
    }
    variant_status status = VARIANT_OK;
    vt_dataset *d = calloc(1, sizeof *d);
    if (!d) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory", options->path);
    d->side = options->side;
    d->channels = options->channels;
    d->short_side = options->short_side ? options->short_side : options->side;
    d->path = strdup(options->path);
    if (!d->path) {
        status = vt_fail(err, VARIANT_E_MEMORY, "%s: no memory", options->path);
        goto cleanup;
    }
    VT_CHECK(vt_idx_open(&d->idx, d->path, options->test_split, &d->is_idx, err));
    if (d->is_idx) {
        d->count = d->idx.count;
        d->class_count = d->idx.classes;
        idx_hash(d);
    } else {
        VT_CHECK(folder_open(d, options, err));
    }
    VT_CHECK(sizes_count(d, err));
    *out = d;

cleanup:
    if (status != VARIANT_OK) vt_dataset_close(&d);
    return status;
}

void vt_dataset_close(vt_dataset **dataset) {
    vt_dataset *d = *dataset;
    if (!d) return;
    for (int i = 0; d->kept && i < d->count; i++) vt_image_free(&d->kept[i]);
    free(d->kept);
    free(d->class_sizes);
    free(d->path);
    vt_idx_free(&d->idx);
    vt_picture_folder_free(&d->folder);
    free(d);
    *dataset = NULL;
}

/* ---- asking ---- */

int vt_dataset_count(const vt_dataset *dataset) {
    return dataset->count;
}
int vt_dataset_skipped(const vt_dataset *dataset) {
    return dataset->skipped;
}
int vt_dataset_classes(const vt_dataset *dataset) {
    return dataset->class_count;
}
uint64_t vt_dataset_hash(const vt_dataset *dataset) {
    return dataset->hash;
}

const char *vt_dataset_class_name(const vt_dataset *dataset, int label) {
    /* the numbers 0 to 255 as strings of four bytes, so that no dataset needs to own them */
#define N1(n)                                                                                      \
    { '0' + (n) / 100 % 10, '0' + (n) / 10 % 10, '0' + (n) % 10, 0 }
#define N4(n) N1(n), N1((n) + 1), N1((n) + 2), N1((n) + 3)
#define N16(n) N4(n), N4((n) + 4), N4((n) + 8), N4((n) + 12)
#define N64(n) N16(n), N16((n) + 16), N16((n) + 32), N16((n) + 48)
    static const char numbers[256][4] = {N64(0), N64(64), N64(128), N64(192)};
#undef N64
#undef N16
#undef N4
#undef N1
    if (label < 0 || label >= dataset->class_count) return NULL;
    if (!dataset->is_idx) return dataset->folder.classes[label];
    if (dataset->idx.fashion) return fashion_names[label];
    return numbers[label] + (label < 10 ? 2 : label < 100 ? 1 : 0);
}

int vt_dataset_label(const vt_dataset *dataset, int index) {
    if (index < 0 || index >= dataset->count) return -1;
    return dataset->is_idx ? dataset->idx.labels[index] : dataset->folder.files[index].label;
}

int vt_dataset_class_size(const vt_dataset *dataset, int label) {
    return label < 0 || label >= dataset->class_count ? 0 : dataset->class_sizes[label];
}

char *vt_dataset_picture_name(const vt_dataset *dataset, int index) {
    if (index < 0 || index >= dataset->count) return NULL;
    if (!dataset->is_idx) return strdup(dataset->folder.files[index].path);
    char *name = NULL;
    return asprintf(&name, "%s[%d]", dataset->path, index) < 0 ? NULL : name;
}

int vt_dataset_native_side(const vt_dataset *dataset) {
    if (!dataset->is_idx) return 0;
    return dataset->idx.width > dataset->idx.height ? dataset->idx.width : dataset->idx.height;
}

/* ---- reading ---- */

static float sample_value(uint8_t sample) {
    return (float)sample / 255.0f * 2.0f - 1.0f;
}

/* Stores the square of `from` whose corner is (x, y). Outside the picture it is black; grey is
 * repeated over the channels asked for. */
static void square_store(const vt_dataset *d, const vt_image *from, int x, int y, bool flip,
                         float *out) {
    size_t side = (size_t)d->side, channels = (size_t)d->channels;
    for (int row = 0; row < d->side; row++) {
        int source_row = row + y;
        for (int column = 0; column < d->side; column++) {
            int source_column = (flip ? d->side - 1 - column : column) + x;
            float *to = out + ((size_t)row * side + (size_t)column) * channels;
            bool inside = source_row >= 0 && source_row < from->height && source_column >= 0 &&
                          source_column < from->width;
            const uint8_t *sample = NULL;
            if (inside) {
                size_t at = (size_t)source_row * (size_t)from->width + (size_t)source_column;
                sample = from->data + at * (size_t)from->channels;
            }
            for (size_t c = 0; c < channels; c++) {
                to[c] = !inside ? -1.0f : sample_value(sample[from->channels == 1 ? 0 : c]);
            }
        }
    }
}

static variant_status idx_picture(const vt_dataset *d, int index, vt_crop crop, float *out,
                                  variant_error *err) {
    const vt_idx *idx = &d->idx;
    vt_image picture = {idx->width, idx->height, 1,
                        idx->pixels + (size_t)index * (size_t)idx->width * (size_t)idx->height};
    if (idx->width <= d->side && idx->height <= d->side) {
        int x = vt_slack_offset(crop.fx, d->side - idx->width),
            y = vt_slack_offset(crop.fy, d->side - idx->height);
        square_store(d, &picture, -x, -y, crop.flip, out);
        return VARIANT_OK;
    }
    vt_image fitted = {0};
    VT_TRY(vt_image_fit(&fitted, &picture, d->side, crop.fx, crop.fy, crop.flip, err));
    square_store(d, &fitted, 0, 0, false, out);
    vt_image_free(&fitted);
    return VARIANT_OK;
}

static variant_status folder_picture(const vt_dataset *d, int index, vt_crop crop, float *out,
                                     variant_error *err) {
    const vt_image *kept = &d->kept[index];
    if (kept->data) {
        int x = vt_slack_offset(crop.fx, kept->width - d->side),
            y = vt_slack_offset(crop.fy, kept->height - d->side);
        square_store(d, kept, x, y, crop.flip, out);
        return VARIANT_OK;
    }
    vt_image whole = {0}, square = {0};
    VT_TRY(vt_image_read(&whole, d->folder.files[index].path, d->channels, err));
    vt_window window = {.columns = d->side, .rows = d->side, .flip = crop.flip};
    vt_scaled_size(whole.width, whole.height, d->short_side, &window.width, &window.height);
    window.x = vt_slack_offset(crop.fx, window.width - d->side);
    window.y = vt_slack_offset(crop.fy, window.height - d->side);
    variant_status status = vt_image_resample(&square, &whole, &window, err);
    if (status == VARIANT_OK) square_store(d, &square, 0, 0, false, out);
    vt_image_free(&whole);
    vt_image_free(&square);
    return status;
}

variant_status vt_dataset_read(const vt_dataset *dataset, int index, vt_crop crop, float *out,
                               variant_error *err) {
    if (index < 0 || index >= dataset->count) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: picture %d of %d", dataset->path, index,
                       dataset->count);
    }
    if (!(crop.fx >= 0 && crop.fx <= 1) || !(crop.fy >= 0 && crop.fy <= 1)) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: crop at (%g, %g), expected a place in [0, 1]",
                       dataset->path, crop.fx, crop.fy);
    }
    return (dataset->is_idx ? idx_picture : folder_picture)(dataset, index, crop, out, err);
}

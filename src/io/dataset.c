/* dataset.c - labelled pictures out of folders, IDX files and arrays (see dataset.h), as floats for
 * training.
 *
 * Pictures are held as bytes, a quarter of their floats; the crop is cut while converting. What a
 * read gives depends on the file and the crop alone, not on whether the picture was kept in memory.
 * Called by the trainers, the judge and the token cache. */
#include "io/dataset.h"

#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "io/dataset_part.h"
#include "io/file.h"
#include "io/picture.h"
#include "io/picture_index.h"

#define DECODED_PICTURES_MAX 20000
#define KEPT_BYTES_MAX ((uint64_t)1 << 30)
#define BROKEN_NAMED 10

typedef struct item {
    int part, index; /* which picture of which part */
    int label;
    int64_t size;            /* bytes of its file */
    uint64_t content, stamp; /* 0: not known */
} item;

struct vt_dataset {
    vt_dataset_options options;
    int side, channels, short_side;
    vt_part *parts;
    int part_count;
    item *items; /* (count), by label where one part holds them so */
    int count, skipped, turned;
    int listed;     /* before broken ones were left out */
    bool decoded;   /* all of them, at opening */
    int **labels;   /* (part_count): a part's class to ours; -1: not one of ours */
    char **classes; /* (class_count), owned */
    int class_count;
    int *class_sizes; /* (class_count) */
    uint64_t hash;
    vt_image *kept; /* (count): scaled as it is read; data NULL where not kept; NULL: none are */
};

static void warn(const vt_dataset *d, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void warn(const vt_dataset *d, const char *format, ...) {
    char line[700];
    if (!d->options.warn) return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    d->options.warn(d->options.user, line);
}

static variant_status no_memory(variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the list of pictures");
}

/* ---- parts and classes ---- */

static variant_status parts_open(vt_dataset *d, variant_error *err) {
    const vt_data *data = &d->options.data;
    const vt_picture_folder_options options = {.split = data->split,
                                               .holdout = data->holdout,
                                               .flat_whole = data->flat_whole,
                                               .index = d->options.index,
                                               .note = d->options.warn,
                                               .user = d->options.user};
    d->parts = calloc(2 * (size_t)data->count + 2, sizeof *d->parts);
    if (!d->parts) return no_memory(err);
    if (data->array.count > 0)
        return vt_part_open_memory(d->parts, &d->part_count, data, &options, err);
    for (int i = 0; i < data->count; i++)
        VT_TRY(
            vt_part_open(d->parts + d->part_count, &d->part_count, data->paths[i], &options, err));
    return VARIANT_OK;
}

static int class_find(const vt_dataset *d, const char *name) {
    for (int i = 0; i < d->class_count; i++)
        if (strcmp(d->classes[i], name) == 0) return i;
    return -1;
}

/* Numbers by their size, then names bytewise. */
static int names_order(const void *a, const void *b) {
    const char *x = *(char *const *)a, *y = *(char *const *)b;
    bool numbers = strspn(x, "0123456789") == strlen(x) && strspn(y, "0123456789") == strlen(y);
    if (numbers && strlen(x) != strlen(y)) return strlen(x) < strlen(y) ? -1 : 1;
    return strcmp(x, y);
}

static int class_pointers_order(const void *a, const void *b) {
    return strcmp(*(char *const *)a, *(char *const *)b);
}

/* The names of all parts (or of `like`), each once. One part keeps its own order. */
static variant_status classes_take(vt_dataset *d, variant_error *err) {
    const vt_dataset *like = d->options.like;
    bool idx = true;
    int room = like ? like->class_count : 0;
    for (int p = 0; p < d->part_count && !like; p++) room += d->parts[p].class_count;
    d->classes = calloc((size_t)room + 1, sizeof *d->classes);
    if (!d->classes) return no_memory(err);
    for (int p = 0; p < (like ? 1 : d->part_count); p++) {
        char **names = like ? like->classes : d->parts[p].classes;
        int count = like ? like->class_count : d->parts[p].class_count, before = d->class_count;
        for (int i = 0; i < count; i++) {
            /* a part's own names differ from each other */
            bool known = false;
            for (int j = 0; j < before && !known; j++) known = strcmp(d->classes[j], names[i]) == 0;
            if (known) continue;
            if (!(d->classes[d->class_count] = strdup(names[i]))) return no_memory(err);
            d->class_count++;
        }
        idx = idx && d->parts[p].kind == VT_PART_IDX;
    }
    if (d->part_count > 1 && !like)
        qsort(d->classes, (size_t)d->class_count, sizeof *d->classes,
              idx ? names_order : class_pointers_order);
    return VARIANT_OK;
}

static variant_status labels_map(vt_dataset *d, variant_error *err) {
    d->labels = calloc((size_t)d->part_count, sizeof *d->labels);
    if (!d->labels) return no_memory(err);
    for (int p = 0; p < d->part_count; p++) {
        const vt_part *part = &d->parts[p];
        d->labels[p] = malloc(((size_t)part->class_count + 1) * sizeof **d->labels);
        if (!d->labels[p]) return no_memory(err);
        bool same = d->part_count == 1 && !d->options.like;
        for (int i = 0; i < part->class_count; i++) {
            int label = same ? i : class_find(d, part->classes[i]);
            d->labels[p][i] = label;
            if (label < 0)
                warn(d, "%s: class %s left out: the training pictures do not have it", part->path,
                     part->classes[i]);
        }
    }
    return VARIANT_OK;
}

static variant_status items_list(vt_dataset *d, variant_error *err) {
    int64_t all = 0;
    for (int p = 0; p < d->part_count; p++) all += d->parts[p].count;
    if (all > INT_MAX) return vt_fail(err, VARIANT_E_FORMAT, "more than %d pictures", INT_MAX);
    d->items = calloc((size_t)all + 1, sizeof *d->items);
    if (!d->items) return no_memory(err);
    for (int p = 0; p < d->part_count; p++) {
        for (int i = 0; i < d->parts[p].count; i++) {
            int label = d->labels[p][vt_part_label(&d->parts[p], i)];
            if (label >= 0) d->items[d->count++] = (item){.part = p, .index = i, .label = label};
        }
    }
    return VARIANT_OK;
}

/* ---- looking at the pictures ---- */

/* Size of a picture of width x height as it is scaled for reading. */
static void scaled_size(const vt_dataset *d, int width, int height, int *to_width, int *to_height) {
    vt_fit fit = d->options.data.fit;
    vt_fit_size(fit, width, height, fit == VT_FIT_CROP ? d->short_side : d->side, to_width,
                to_height);
}

/* Scales a picture for keeping it, if the budget allows. */
static variant_status picture_keep(const vt_dataset *d, const vt_image *whole, vt_image *kept,
                                   uint64_t *budget, variant_error *err) {
    vt_window window = {0};
    scaled_size(d, whole->width, whole->height, &window.width, &window.height);
    window.columns = window.width;
    window.rows = window.height;
    uint64_t bytes = (uint64_t)window.width * (uint64_t)window.height * (uint64_t)d->channels;
    if (bytes > *budget || window.width > VT_IMAGE_SIDE_MAX || window.height > VT_IMAGE_SIDE_MAX)
        return VARIANT_OK;
    VT_TRY(vt_image_resample(kept, whole, &window, err));
    *budget -= bytes;
    return VARIANT_OK;
}

/* Of a file that the index knows nothing is read. */
static bool is_known(vt_dataset *d, item *one) {
    const uint64_t *fact = d->parts[one->part].folder.files[one->index].fact;
    if (d->decoded || d->options.exact || !fact || !vt_fact_is_known(*fact)) return false;
    one->size = vt_fact_size(*fact);
    d->turned += vt_fact_is_turned(*fact);
    return true;
}

static void remember(const vt_dataset *d, const item *one, bool turned) {
    uint64_t *fact = d->parts[one->part].folder.files[one->index].fact;
    if (!fact || d->decoded) return;
    *fact = vt_fact_of(one->size, turned);
    vt_picture_index_changed(d->options.index);
}

/* Decodes the picture, or only its header. */
static variant_status picture_check(vt_dataset *d, item *one, bool decode, vt_image *kept,
                                    uint64_t *budget, bool *unknown, variant_error *err) {
    const vt_picture_file *file = &d->parts[one->part].folder.files[one->index];
    vt_picture_facts facts = {0};
    vt_image whole = {0};
    *kept = (vt_image){0};
    variant_status status = decode ? vt_picture_read(&whole, file->path, d->channels,
                                                     d->options.data.alpha, &facts, err)
                                   : vt_image_probe(&whole, file->path, &facts, err);
    *unknown = facts.unknown;
    if (status != VARIANT_OK) return status;
    one->size = facts.size;
    one->content = facts.content;
    one->stamp = facts.stamp;
    d->turned += facts.turned;
    remember(d, one, facts.turned);
    if (d->options.exact && (whole.width != d->side || whole.height != d->side))
        status =
            vt_fail(err, VARIANT_E_MISMATCH, "%s: %d x %d pixels, the first picture has %d x %d",
                    file->path, whole.width, whole.height, d->side, d->side);
    else if (decode)
        status = picture_keep(d, &whole, kept, budget, err);
    vt_image_free(&whole);
    return status;
}

/* Looks at every picture file; the broken ones leave the list, which stays in order. */
static variant_status pictures_check(vt_dataset *d, variant_error *err) {
    bool decode = d->decoded = d->count <= DECODED_PICTURES_MAX;
    uint64_t budget = KEPT_BYTES_MAX;
    int all = d->listed = d->count;
    if (decode && !(d->kept = calloc((size_t)all + 1, sizeof *d->kept))) return no_memory(err);
    d->count = 0;
    for (int i = 0; i < all; i++) {
        variant_error broken = {0};
        vt_image kept = {0};
        item one = d->items[i];
        bool unknown = false;
        variant_status status = VARIANT_OK;
        if (d->parts[one.part].kind == VT_PART_FOLDER && !is_known(d, &one))
            status = picture_check(d, &one, decode, &kept, &budget, &unknown, &broken);
        if (status == VARIANT_E_MEMORY || status == VARIANT_E_MISMATCH || unknown)
            return vt_fail(err, status, "%s", broken.message);
        if (status == VARIANT_OK) {
            d->items[d->count] = one;
            if (d->kept) d->kept[d->count] = kept;
            d->count++;
        } else if (d->skipped++ < BROKEN_NAMED) {
            warn(d, "%s", broken.message);
        }
    }
    if (d->skipped > BROKEN_NAMED)
        warn(d, "and %d more pictures that cannot be read", d->skipped - BROKEN_NAMED);
    if (d->turned)
        warn(d, "%d picture%s turned as the EXIF orientation says", d->turned,
             d->turned == 1 ? "" : "s");
    return VARIANT_OK;
}

/* Classes of which no picture could be decoded are none. Those of a test split are numbered by training. */
static variant_status classes_settle(vt_dataset *d, variant_error *err) {
    int classes = 0;
    d->class_sizes = calloc((size_t)d->class_count + 1, sizeof *d->class_sizes);
    int *numbers = calloc((size_t)d->class_count + 1, sizeof *numbers);
    if (!d->class_sizes || !numbers) {
        free(numbers);
        return no_memory(err);
    }
    for (int i = 0; i < d->count; i++) d->class_sizes[d->items[i].label]++;
    bool drop = !d->options.like && d->options.data.split != VT_SPLIT_TEST &&
                d->parts[0].kind == VT_PART_FOLDER;
    for (int i = 0; i < d->class_count; i++) {
        if (drop && d->class_sizes[i] == 0) {
            if (d->listed)
                warn(d, "class %s left out: none of its pictures can be read", d->classes[i]);
            free(d->classes[i]);
            continue;
        }
        d->class_sizes[classes] = d->class_sizes[i];
        d->classes[classes] = d->classes[i];
        numbers[i] = classes++;
    }
    d->class_count = classes;
    for (int i = 0; i < d->count; i++) d->items[i].label = numbers[d->items[i].label];
    free(numbers);
    return VARIANT_OK;
}

/* ---- what tells data sets apart ---- */

static uint64_t hash_ints(uint64_t hash, const int *values, size_t count) {
    return vt_fnv1a64_more(hash, values, count * sizeof *values);
}

static uint64_t idx_hash(const vt_dataset *d, const vt_part *part) {
    const vt_idx *idx = &part->idx;
    int shape[] = {1, d->side, d->channels, idx->count, idx->height, idx->width};
    uint64_t hash = hash_ints(vt_fnv1a64("", 0), shape, sizeof shape / sizeof *shape);
    hash = vt_fnv1a64_more(hash, idx->pixels,
                           (size_t)idx->count * (size_t)idx->height * (size_t)idx->width);
    hash = vt_fnv1a64_more(hash, idx->labels, (size_t)idx->count);
    return part->count == idx->count ? hash : hash_ints(hash, part->indices, (size_t)part->count);
}

static uint64_t folder_hash(const vt_dataset *d, int part) {
    int count = 0;
    for (int i = 0; i < d->count; i++) count += d->items[i].part == part;
    int shape[] = {2, d->side, d->channels, d->short_side, count, d->class_count};
    uint64_t hash = hash_ints(vt_fnv1a64("", 0), shape, sizeof shape / sizeof *shape);
    for (int i = 0; i < d->count; i++) {
        const item *one = &d->items[i];
        if (one->part != part) continue;
        const char *name = d->parts[part].folder.files[one->index].name;
        hash = vt_fnv1a64_more(hash, name, strlen(name) + 1);
        hash = vt_fnv1a64_more(hash, &one->size, sizeof one->size);
        hash = hash_ints(hash, &one->label, 1);
    }
    return hash;
}

static uint64_t array_hash(const vt_dataset *d, const vt_part *part) {
    const vt_picture_array *array = part->array;
    int shape[] = {
        3, d->side, d->channels, array->count, array->height, array->width, array->channels};
    uint64_t hash = hash_ints(vt_fnv1a64("", 0), shape, sizeof shape / sizeof *shape);
    return hash_ints(hash, part->indices, (size_t)part->count);
}

/* As an IDX pair's, of what it holds. */
static uint64_t memory_hash(const vt_dataset *d, const vt_part *part) {
    const vt_array *array = &part->memory;
    const size_t count = (size_t)array->count;
    int shape[] = {
        4, d->side, d->channels, array->count, array->height, array->width, array->channels};
    uint64_t hash = hash_ints(vt_fnv1a64("", 0), shape, sizeof shape / sizeof *shape);
    hash = vt_fnv1a64_more(hash, array->pixels,
                           count * (size_t)array->height * (size_t)array->width *
                               (size_t)array->channels);
    if (array->labels) hash = hash_ints(hash, array->labels, count);
    return part->count == array->count ? hash : hash_ints(hash, part->indices, (size_t)part->count);
}

/* Choices that are the default leave the hash as it was before there was a choice. */
static void dataset_hash(vt_dataset *d) {
    const vt_data *data = &d->options.data;
    for (int p = 0; p < d->part_count; p++) {
        const vt_part *part = &d->parts[p];
        uint64_t hash = part->kind == VT_PART_FOLDER   ? folder_hash(d, p)
                        : part->kind == VT_PART_IDX    ? idx_hash(d, part)
                        : part->kind == VT_PART_MEMORY ? memory_hash(d, part)
                                                       : array_hash(d, part);
        d->hash = p == 0 ? hash : vt_fnv1a64_more(d->hash, &hash, sizeof hash);
    }
    int choices[] = {(int)data->fit, (int)data->alpha + (data->pad ? 16 : 0)};
    if (data->pad || data->fit != VT_FIT_CROP || data->alpha != VT_ALPHA_WHITE)
        d->hash = hash_ints(d->hash, choices, 2);
}

/* ---- opening ---- */

static variant_status options_check(const vt_dataset_options *options, variant_error *err) {
    int channels = options->channels;
    const bool array = options->data.array.count > 0;
    if (options->data.count < !array || options->data.count > VT_DATA_PATHS || options->side < 1 ||
        options->side > VT_IMAGE_SIDE_MAX || (channels != 0 && channels != 1 && channels != 3)) {
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a dataset needs 1 to %d paths, a side of 1 to %d and 1 or 3 channels",
                       VT_DATA_PATHS, VT_IMAGE_SIDE_MAX);
    }
    if (options->short_side &&
        (options->short_side < options->side || options->short_side > VT_IMAGE_SIDE_MAX)) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "shorter side %d: expected 0 or %d to %d",
                       options->short_side, options->side, VT_IMAGE_SIDE_MAX);
    }
    return VARIANT_OK;
}

static variant_status nothing_found(const vt_dataset *d, variant_error *err) {
    const vt_part *part = &d->parts[0];
    if (d->listed == 0 && part->class_count > 0 && d->options.data.split == VT_SPLIT_TRAIN)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: no training pictures: expected train/ beside test/ or val/ (name that "
                       "folder itself to train on it)",
                       part->path);
    return vt_fail(err, VARIANT_E_FORMAT,
                   "%s: no pictures that can be read: expected " VT_PICTURE_FORMATS " files "
                   "in one sub-folder a class, or train-images-idx3-ubyte.gz",
                   part->folder.root ? part->folder.root : part->path);
}

static void tell_joined(const vt_dataset *d) {
    if (d->options.data.count > 1)
        warn(d, "%d data sets joined: %d pictures in %d classes", d->options.data.count, d->count,
             d->class_count);
}

static variant_status dataset_list(vt_dataset *d, variant_error *err) {
    VT_TRY(parts_open(d, err));
    VT_TRY(classes_take(d, err));
    VT_TRY(labels_map(d, err));
    return items_list(d, err);
}

static void channels_choose(vt_dataset *d) {
    bool grey = true;
    for (int p = 0; p < d->part_count; p++) {
        const vt_part *part = &d->parts[p];
        grey = grey && (part->kind == VT_PART_IDX ||
                        (part->kind == VT_PART_ARRAY && part->array->channels == 1) ||
                        (part->kind == VT_PART_MEMORY && part->memory.channels == 1));
    }
    if (d->channels == 0) d->channels = grey ? 1 : 3;
}

variant_status vt_dataset_open(vt_dataset **out, const vt_dataset_options *options,
                               variant_error *err) {
    variant_status status = VARIANT_OK;
    *out = NULL;
    VT_TRY(options_check(options, err));
    vt_dataset *d = calloc(1, sizeof *d);
    if (!d) return no_memory(err);
    d->options = *options;
    d->side = options->side;
    d->channels = options->channels;
    d->short_side = options->short_side ? options->short_side : options->side;
    VT_CHECK(dataset_list(d, err));
    channels_choose(d);
    VT_CHECK(pictures_check(d, err));
    VT_CHECK(classes_settle(d, err));
    if (d->count == 0) VT_CHECK(nothing_found(d, err));
    tell_joined(d);
    dataset_hash(d);
    d->options.like = NULL; /* may be closed from here on */
    d->options.index = NULL;
    *out = d;

cleanup:
    if (status != VARIANT_OK) vt_dataset_close(&d);
    return status;
}

void vt_dataset_close(vt_dataset **dataset) {
    vt_dataset *d = *dataset;
    if (!d) return;
    for (int i = 0; d->kept && i < d->count; i++) vt_image_free(&d->kept[i]);
    for (int p = 0; p < d->part_count; p++) {
        if (d->labels) free(d->labels[p]);
        vt_part_close(&d->parts[p]);
    }
    for (int i = 0; i < d->class_count; i++) free(d->classes[i]);
    free(d->classes);
    free(d->labels);
    free(d->items);
    free(d->kept);
    free(d->class_sizes);
    free(d->parts);
    free(d);
    *dataset = NULL;
}

variant_status vt_dataset_first(const vt_dataset_options *options, int *width, int *height,
                                int *channels, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_dataset *d = calloc(1, sizeof *d);
    bool found = false;
    if (!d) return no_memory(err);
    d->options = *options;
    d->options.side = 1;
    d->options.channels = 1;
    d->options.warn = NULL;
    VT_CHECK(options_check(&d->options, err));
    VT_CHECK(dataset_list(d, err));
    for (int i = 0; i < d->count && !found; i++) {
        const vt_part *part = &d->parts[d->items[i].part];
        vt_image head = {0};
        if (part->kind == VT_PART_IDX)
            head = (vt_image){part->idx.width, part->idx.height, 1, NULL};
        else if (part->kind == VT_PART_ARRAY && part->array)
            head = (vt_image){part->array->width, part->array->height, part->array->channels, NULL};
        else if (part->kind == VT_PART_MEMORY)
            head = (vt_image){part->memory.width, part->memory.height, part->memory.channels, NULL};
        else if (vt_image_probe(&head, part->folder.files[d->items[i].index].path, NULL, NULL) !=
                 VARIANT_OK)
            continue;
        *width = head.width;
        *height = head.height;
        *channels = head.channels;
        found = true;
    }
    if (!found) VT_CHECK(nothing_found(d, err));
cleanup:
    vt_dataset_close(&d);
    return status;
}

/* ---- asking ---- */

int vt_dataset_count(const vt_dataset *dataset) {
    return dataset->count;
}
int vt_dataset_channels(const vt_dataset *dataset) {
    return dataset->channels;
}
int vt_dataset_skipped(const vt_dataset *dataset) {
    return dataset->skipped;
}
int vt_dataset_classes(const vt_dataset *dataset) {
    return dataset->class_count;
}
static size_t image_bytes(const vt_image *image) {
    return image->data ? (size_t)image->width * (size_t)image->height * (size_t)image->channels : 0;
}

static size_t part_bytes(const vt_part *part) {
    const vt_picture_array *array = part->array;
    size_t bytes = part->indices ? (size_t)part->count * sizeof *part->indices : 0;
    if (part->kind == VT_PART_IDX)
        bytes += (size_t)part->idx.count *
                 ((size_t)part->idx.width * (size_t)part->idx.height + 1); /* and a label */
    if (part->kind == VT_PART_ARRAY && array->pixels) bytes += array->npy.count;
    return bytes;
}

size_t vt_dataset_bytes(const vt_dataset *d) {
    size_t bytes = (size_t)d->listed * (sizeof *d->items + (d->kept ? sizeof *d->kept : 0));
    for (int i = 0; d->kept && i < d->count; i++) bytes += image_bytes(&d->kept[i]);
    for (int p = 0; p < d->part_count; p++) bytes += part_bytes(&d->parts[p]);
    return bytes;
}

uint64_t vt_dataset_hash(const vt_dataset *dataset) {
    return dataset->hash;
}

bool vt_dataset_flat(const vt_dataset *dataset) {
    const vt_part *part = &dataset->parts[0];
    return dataset->part_count == 1 &&
           (part->kind == VT_PART_ARRAY || (part->kind == VT_PART_MEMORY && !part->memory.labels) ||
            (part->kind == VT_PART_FOLDER && part->folder.flat));
}

const char *vt_dataset_class_name(const vt_dataset *dataset, int label) {
    return label < 0 || label >= dataset->class_count ? NULL : dataset->classes[label];
}

int vt_dataset_label(const vt_dataset *dataset, int index) {
    return index < 0 || index >= dataset->count ? -1 : dataset->items[index].label;
}

int vt_dataset_class_size(const vt_dataset *dataset, int label) {
    return label < 0 || label >= dataset->class_count ? 0 : dataset->class_sizes[label];
}

char *vt_dataset_picture_name(const vt_dataset *dataset, int index) {
    if (index < 0 || index >= dataset->count) return NULL;
    const item *one = &dataset->items[index];
    return vt_part_picture_name(&dataset->parts[one->part], one->index);
}

int vt_dataset_native_side(const vt_dataset *dataset) {
    const vt_idx *idx = &dataset->parts[0].idx;
    if (dataset->part_count != 1 || dataset->parts[0].kind != VT_PART_IDX) return 0;
    return idx->width > idx->height ? idx->width : idx->height;
}

uint64_t vt_dataset_stamp(const vt_dataset *dataset, int index) {
    item *one = &dataset->items[index];
    const vt_part *part = &dataset->parts[one->part];
    if (!one->stamp && part->kind == VT_PART_FOLDER)
        one->stamp = vt_picture_stamp(part->folder.files[one->index].path);
    return one->stamp;
}

variant_status vt_dataset_content(const vt_dataset *dataset, int index, uint64_t *out,
                                  variant_error *err) {
    item *one = &dataset->items[index];
    const vt_part *part = &dataset->parts[one->part];
    vt_picture_facts facts = {0};
    if (!one->content && part->kind == VT_PART_FOLDER) {
        VT_TRY(vt_picture_content(part->folder.files[one->index].path, &facts, err));
    } else if (!one->content) {
        vt_image whole = {0};
        bool borrowed = false;
        VT_TRY(vt_part_read(part, one->index, 0, VT_ALPHA_WHITE, &whole, &borrowed, &facts, err));
        if (!borrowed) vt_image_free(&whole);
    }
    if (!one->content) one->content = facts.content;
    *out = one->content;
    return VARIANT_OK;
}

bool vt_dataset_decodes(const vt_dataset *dataset) {
    return dataset->decoded;
}

bool vt_dataset_reads_files(const vt_dataset *d) {
    for (int i = 0; i < d->count; i++)
        if (d->parts[d->items[i].part].kind == VT_PART_FOLDER && !(d->kept && d->kept[i].data))
            return true;
    return false;
}

const vt_data *vt_dataset_data(const vt_dataset *dataset) {
    return &dataset->options.data;
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

/* Where the square begins in a length of `size`: at f of what is left over, or before its start. */
static int place(double f, int size, int side) {
    return size >= side ? vt_slack_offset(f, size - side) : -vt_slack_offset(f, side - size);
}

/* Scaled for reading already. */
static void scaled_store(const vt_dataset *d, const vt_image *scaled, vt_crop crop, float *out) {
    square_store(d, scaled, place(crop.fx, scaled->width, d->side),
                 place(crop.fy, scaled->height, d->side), crop.flip, out);
}

static variant_status idx_store(const vt_dataset *d, const vt_image *picture, vt_crop crop,
                                float *out, variant_error *err) {
    if (picture->width <= d->side && picture->height <= d->side) {
        scaled_store(d, picture, crop, out);
        return VARIANT_OK;
    }
    if (d->options.data.fit != VT_FIT_CROP) {
        vt_window window = {0};
        vt_image scaled = {0};
        scaled_size(d, picture->width, picture->height, &window.width, &window.height);
        window.columns = window.width;
        window.rows = window.height;
        VT_TRY(vt_image_resample(&scaled, picture, &window, err));
        scaled_store(d, &scaled, crop, out);
        vt_image_free(&scaled);
        return VARIANT_OK;
    }
    vt_image fitted = {0};
    VT_TRY(vt_image_fit(&fitted, picture, d->side, crop.fx, crop.fy, crop.flip, err));
    square_store(d, &fitted, 0, 0, false, out);
    vt_image_free(&fitted);
    return VARIANT_OK;
}

/* Of a picture that is larger than the square only the square is scaled. */
static variant_status whole_store(const vt_dataset *d, const vt_image *whole, vt_crop crop,
                                  float *out, variant_error *err) {
    vt_window window = {.flip = crop.flip};
    vt_image square = {0};
    scaled_size(d, whole->width, whole->height, &window.width, &window.height);
    bool covers = window.width >= d->side && window.height >= d->side;
    window.columns = covers ? d->side : window.width;
    window.rows = covers ? d->side : window.height;
    if (covers) {
        window.x = vt_slack_offset(crop.fx, window.width - d->side);
        window.y = vt_slack_offset(crop.fy, window.height - d->side);
    } else {
        window.flip = false;
    }
    VT_TRY(vt_image_resample(&square, whole, &window, err));
    if (covers)
        square_store(d, &square, 0, 0, false, out);
    else
        scaled_store(d, &square, crop, out);
    vt_image_free(&square);
    return VARIANT_OK;
}

static variant_status picture_read(const vt_dataset *d, int index, vt_crop crop, float *out,
                                   variant_error *err) {
    item *one = &d->items[index];
    const vt_part *part = &d->parts[one->part];
    if (d->kept && d->kept[index].data) {
        scaled_store(d, &d->kept[index], crop, out);
        return VARIANT_OK;
    }
    vt_image whole = {0};
    vt_picture_facts facts;
    bool borrowed = false;
    VT_TRY(vt_part_read(part, one->index, d->channels, d->options.data.alpha, &whole, &borrowed,
                        &facts, err));
    const bool pad = part->kind == VT_PART_MEMORY && d->options.data.pad &&
                     whole.width <= d->side && whole.height <= d->side;
    variant_status status =
        (part->kind == VT_PART_IDX || pad ? idx_store : whole_store)(d, &whole, crop, out, err);
    if (!borrowed) vt_image_free(&whole);
    return status;
}

variant_status vt_dataset_read(const vt_dataset *dataset, int index, vt_crop crop, float *out,
                               variant_error *err) {
    const char *path = dataset->parts[0].path;
    if (index < 0 || index >= dataset->count) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: picture %d of %d", path, index,
                       dataset->count);
    }
    if (!(crop.fx >= 0 && crop.fx <= 1) || !(crop.fy >= 0 && crop.fy <= 1)) {
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: crop at (%g, %g), expected a place in [0, 1]",
                       path, crop.fx, crop.fy);
    }
    return picture_read(dataset, index, crop, out, err);
}

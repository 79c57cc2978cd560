/* dataset_part.c - see dataset_part.h. */
#include "io/dataset_part.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/class_name.h"
#include "io/file.h"

static const char *const fashion_names[10] = {"T-shirt/top", "Trouser",   "Pullover", "Dress",
                                              "Coat",        "Sandal",    "Shirt",    "Sneaker",
                                              "Bag",         "Ankle boot"};

static variant_status no_memory(const char *path, variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for a list of pictures", path);
}

/* ---- pictures that have numbers for names ---- */

/* Nothing says classes. */
static bool is_flat(const vt_part *part) {
    return part->kind == VT_PART_ARRAY || (part->kind == VT_PART_MEMORY && !part->memory.labels);
}

/* The numbers 0 to all - 1 that are in the split, and a note of those held out. */
static variant_status numbers_select(vt_part *part, int all, bool has_test,
                                     const vt_picture_folder_options *options, variant_error *err) {
    bool halves = options->split != VT_SPLIT_ALL && !has_test && options->holdout > 0 &&
                  !(is_flat(part) && options->flat_whole);
    bool test = options->split == VT_SPLIT_TEST;
    int held = 0, nearest = 0;
    double least = 2.0;
    part->indices = malloc(((size_t)all + 1) * sizeof *part->indices);
    if (!part->indices) return no_memory(part->path, err);
    uint8_t *marks = calloc((size_t)all + 1, 1);
    if (!marks) return no_memory(part->path, err);
    for (int i = 0; halves && i < all; i++) {
        char name[32];
        snprintf(name, sizeof name, "%d", i);
        double place = vt_holdout_place(name);
        marks[i] = place < options->holdout;
        held += marks[i];
        if (place < least) {
            least = place;
            nearest = i;
        }
    }
    if (halves && held == 0 && all > 1) marks[nearest] = 1, held = 1;
    for (int i = 0; i < all; i++)
        if (!halves || (marks[i] != 0) == test) part->indices[part->count++] = i;
    free(marks);
    if (halves && options->note) {
        char line[600];
        snprintf(line, sizeof line,
                 "%.400s: no test split: %d of %d pictures held out by number (holdout %g)",
                 part->path, held, all, options->holdout);
        options->note(options->user, line);
    }
    return VARIANT_OK;
}

static variant_status class_names(vt_part *part, int count, variant_error *err) {
    part->classes = calloc((size_t)count, sizeof *part->classes);
    for (int i = 0; part->classes && i < count; i++) {
        int number = part->kind == VT_PART_IDX ? part->idx.numbers[i] : 0;
        char *name = NULL;
        if (part->kind == VT_PART_ARRAY) {
            const char *slash = strrchr(part->path, '/'), *from = slash ? slash + 1 : part->path;
            const char *dot = strrchr(from, '.');
            name = strndup(from, dot && dot > from ? (size_t)(dot - from) : strlen(from));
        } else if (part->idx.fashion) {
            name = strdup(fashion_names[number]);
        } else if (asprintf(&name, "%d", number) < 0) {
            name = NULL;
        }
        if (!name) break;
        part->classes[part->class_count++] = name;
    }
    return part->class_count == count ? VARIANT_OK : no_memory(part->path, err);
}

/* *found is false when path is no IDX. Training pictures stand in for a test split that is not there, unless
 * nothing is held out of them. */
static variant_status idx_open(vt_part *part, bool test_pictures, bool *found,
                               const vt_picture_folder_options *options, variant_error *err) {
    bool has_test = vt_idx_has_test(part->path);
    bool test = test_pictures && (has_test || options->holdout <= 0);
    VT_TRY(vt_idx_open(&part->idx, part->path, test, found, err));
    if (!*found) return VARIANT_OK;
    part->kind = VT_PART_IDX;
    VT_TRY(class_names(part, part->idx.classes, err));
    return numbers_select(part, part->idx.count, has_test, options, err);
}

static variant_status array_open(vt_part *part, const vt_picture_folder_options *options,
                                 variant_error *err) {
    part->kind = VT_PART_ARRAY;
    VT_TRY(vt_picture_array_open(&part->array, part->path, err));
    VT_TRY(class_names(part, 1, err));
    return numbers_select(part, part->array->count, false, options, err);
}

static variant_status folder_open(vt_part *part, const vt_picture_folder_options *options,
                                  variant_error *err) {
    vt_picture_folder_options here = *options;
    here.path = part->path;
    part->kind = VT_PART_FOLDER;
    VT_TRY(vt_picture_folder_open(&part->folder, &here, err));
    part->count = part->folder.file_count;
    part->classes = part->folder.classes;
    part->class_count = part->folder.class_count;
    part->folder.classes = NULL;
    part->folder.class_count = 0;
    return VARIANT_OK;
}

static variant_status open_one(vt_part *part, bool test_pictures,
                               const vt_picture_folder_options *options, variant_error *err) {
    bool found = false;
    if (!vt_is_folder(part->path) && vt_npz_is(part->path)) return array_open(part, options, err);
    VT_TRY(idx_open(part, test_pictures, &found, options, err));
    if (found) return VARIANT_OK;
    if (vt_is_folder(part->path)) {
        VT_TRY(folder_open(part, options, err));
        if (!part->folder.idx) return VARIANT_OK;
        free(part->path); /* the folder was wrapped around IDX files */
        part->path = part->folder.idx;
        part->folder.idx = NULL;
        vt_picture_folder_free(&part->folder);
        free(part->classes);
        part->classes = NULL;
        return idx_open(part, test_pictures, &found, options, err);
    }
    return vt_fail(err, VARIANT_E_IO,
                   "%s: no such folder, IDX file, prefix of IDX files or .npz of pictures",
                   part->path);
}

/* ---- names for files that others read ---- */

static variant_status names_mend(vt_part *part, const vt_picture_folder_options *options,
                                 variant_error *err) {
    for (int i = 0; i < part->class_count; i++) {
        char line[640], *mended = vt_class_name_mended(part->classes[i]);
        if (!mended) return no_memory(part->path, err);
        bool same = strcmp(mended, part->classes[i]) == 0;
        snprintf(line, sizeof line, "%.300s: a class's name is no %s: it is called %.250s",
                 part->path, vt_is_utf8(part->classes[i]) ? "line of text" : "UTF-8", mended);
        free(part->classes[i]);
        part->classes[i] = mended;
        if (!same && options->note) options->note(options->user, line);
    }
    return VARIANT_OK;
}

variant_status vt_part_open(vt_part *parts, int *count, const char *path,
                            const vt_picture_folder_options *options, variant_error *err) {
    bool test = options->split == VT_SPLIT_TEST;
    for (int more = 0; more < 2; more++) {
        vt_part *part = &parts[more];
        *part = (vt_part){.path = strdup(path)};
        ++*count;
        if (!part->path) return no_memory(path, err);
        VT_TRY(open_one(part, test, options, err));
        VT_TRY(names_mend(part, options, err));
        /* both splits of IDX are two files */
        const char *slash = strrchr(part->path, '/'), *name = slash ? slash + 1 : part->path;
        if (part->kind != VT_PART_IDX || options->split != VT_SPLIT_ALL || test ||
            !vt_idx_has_test(part->path) || strncmp(name, "t10k", 4) == 0)
            return VARIANT_OK;
        path = part->path;
        test = true;
    }
    return VARIANT_OK;
}

/* ---- pictures in memory ---- */

static variant_status memory_classes(vt_part *part, const vt_data *data, variant_error *err) {
    part->classes = calloc((size_t)data->class_count, sizeof *part->classes);
    for (int i = 0; part->classes && i < data->class_count; i++) {
        char *name = NULL;
        if (data->class_names)
            name = strdup(data->class_names[i]);
        else if (asprintf(&name, "%d", i) < 0)
            name = NULL;
        if (!name) break;
        part->classes[part->class_count++] = name;
    }
    return part->class_count == data->class_count ? VARIANT_OK : no_memory(part->path, err);
}

static variant_status memory_open(vt_part *part, const vt_data *data, bool test_pictures,
                                  const vt_picture_folder_options *options, variant_error *err) {
    const bool has_test = data->test_array.count > 0;
    *part = (vt_part){.kind = VT_PART_MEMORY,
                      .path = strdup(VT_ARRAY_NAME),
                      .memory = test_pictures && has_test ? data->test_array : data->array};
    if (!part->path) return no_memory(VT_ARRAY_NAME, err);
    if (options->split == VT_SPLIT_TEST && !has_test && options->holdout <= 0 &&
        !(is_flat(part) && options->flat_whole))
        return vt_fail(err, VARIANT_E_FORMAT,
                       VT_ARRAY_NAME ": no test pictures: none are given and none held out");
    VT_TRY(memory_classes(part, data, err));
    VT_TRY(names_mend(part, options, err));
    return numbers_select(part, part->memory.count, has_test, options, err);
}

variant_status vt_part_open_memory(vt_part *parts, int *count, const vt_data *data,
                                   const vt_picture_folder_options *options, variant_error *err) {
    const bool both = options->split == VT_SPLIT_ALL && data->test_array.count > 0;
    for (int more = 0; more <= both; more++) {
        ++*count;
        VT_TRY(
            memory_open(&parts[more], data, more || options->split == VT_SPLIT_TEST, options, err));
    }
    return VARIANT_OK;
}

void vt_part_close(vt_part *part) {
    for (int i = 0; i < part->class_count; i++) free(part->classes[i]);
    free(part->classes);
    free(part->indices);
    free(part->path);
    vt_idx_free(&part->idx);
    vt_picture_array_close(&part->array);
    vt_picture_folder_free(&part->folder);
    *part = (vt_part){0};
}

/* ---- one picture ---- */

int vt_part_label(const vt_part *part, int index) {
    return part->kind == VT_PART_FOLDER ? part->folder.files[index].label
           : part->kind == VT_PART_IDX  ? part->idx.labels[part->indices[index]]
           : part->memory.labels        ? part->memory.labels[part->indices[index]]
                                        : 0;
}

char *vt_part_picture_name(const vt_part *part, int index) {
    char *name = NULL;
    if (part->kind == VT_PART_FOLDER) return strdup(part->folder.files[index].path);
    return asprintf(&name, "%s[%d]", part->path, part->indices[index]) < 0 ? NULL : name;
}

static variant_status memory_read(const vt_array *array, int index, vt_image *out,
                                  variant_error *err) {
    const size_t size = (size_t)array->width * (size_t)array->height * (size_t)array->channels;
    VT_TRY(vt_image_new(out, array->width, array->height, array->channels, err));
    memcpy(out->data, array->pixels + (size_t)index * size, size);
    return VARIANT_OK;
}

variant_status vt_part_read(const vt_part *part, int index, int channels, vt_alpha alpha,
                            vt_image *out, bool *borrowed, vt_picture_facts *facts,
                            variant_error *err) {
    *borrowed = false;
    if (part->kind == VT_PART_FOLDER)
        return vt_picture_read(out, part->folder.files[index].path, channels, alpha, facts, err);
    *facts = (vt_picture_facts){0};
    if (part->kind == VT_PART_IDX) {
        size_t size = (size_t)part->idx.width * (size_t)part->idx.height;
        *out = (vt_image){part->idx.width, part->idx.height, 1,
                          part->idx.pixels + (size_t)part->indices[index] * size};
        facts->content = vt_content_hash(out->data, size);
        *borrowed = true;
        return VARIANT_OK;
    }
    if (part->kind == VT_PART_MEMORY)
        VT_TRY(memory_read(&part->memory, part->indices[index], out, err));
    else
        VT_TRY(vt_picture_array_read(part->array, part->indices[index], out, err));
    facts->content = vt_content_hash(out->data, (size_t)out->width * (size_t)out->height *
                                                    (size_t)out->channels);
    variant_status status = vt_image_convert(out, channels, err);
    if (status != VARIANT_OK) vt_image_free(out);
    return status;
}

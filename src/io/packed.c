/* packed.c - tensors of a file that hold packed numbers stand for the weights that were packed. See tensors.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/tensor_file.h"

static const vt_tensor *find(const vt_tensor_file *file, const char *name, const char *suffix) {
    char text[512];
    const int length = snprintf(text, sizeof text, "%s%s", name, suffix);
    return length > 0 && (size_t)length < sizeof text
               ? vt_tensor_file_find(file, VT_PACKED_GROUP, text)
               : NULL;
}

const vt_tensor *vt_packed_numbers(const vt_tensor_file *file, const char *name) {
    return find(file, name, VT_PACKED_NUMBERS);
}

/* of_rows may be NULL. */
const vt_tensor *vt_packed_scales(const vt_tensor_file *file, const char *name, bool *of_rows) {
    const vt_tensor *rows = find(file, name, VT_PACKED_SCALES_OF_ROWS);
    if (of_rows) *of_rows = rows != NULL;
    return rows ? rows : find(file, name, VT_PACKED_SCALES);
}

static bool ends(const char *name, const char *suffix) {
    const size_t length = strlen(name), end = strlen(suffix);
    return length > end && strcmp(name + length - end, suffix) == 0;
}

/* The weight that the list calls `entry`, where there are numbers for it. */
static variant_status make_weight(vt_tensor_file *file, const cJSON *entry, vt_tensor *out,
                                  variant_error *err) {
    char name[VT_PRINTABLE];
    const vt_tensor *numbers = vt_packed_numbers(file, entry->string);
    const cJSON *side;
    *out = (vt_tensor){.group = "", .type = VT_OTHER, .spelled = "packed numbers"};
    if (!numbers)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: tensor %s" VT_PACKED_NUMBERS " is missing",
                       file->path, vt_printable(name, entry->string));
    out->name = vt_pool_text(&file->pool, entry->string, strlen(entry->string));
    if (!out->name) return vt_pool_fail(&file->pool, err);
    cJSON_ArrayForEach(side, entry) {
        if (out->rank == VT_MAX_RANK || !cJSON_IsNumber(side) || !(side->valuedouble >= 1) ||
            side->valuedouble > 0x1p40 || side->valuedouble != floor(side->valuedouble))
            return vt_fail(err, VARIANT_E_FORMAT, "%s: %s: its shape in the metadata is none",
                           file->path, vt_printable(name, entry->string));
        out->shape[out->rank++] = (int64_t)side->valuedouble;
    }
    if (vt_tensor_measure(out, err) != VARIANT_OK)
        return vt_fail_within(err, VARIANT_E_FORMAT, "%s", file->path);
    out->data = numbers->data;
    out->bytes = numbers->bytes;
    return VARIANT_OK;
}

/* Numbers that no entry of the list is for; NULL. */
static const vt_tensor *stranger(const vt_tensor_file *file, const cJSON *shapes) {
    for (int i = 0; i < file->count; ++i) {
        const vt_tensor *tensor = &file->tensors[i];
        char name[512];
        if (strcmp(tensor->group, VT_PACKED_GROUP) != 0) continue;
        snprintf(name, sizeof name, "%.*s", (int)(strrchr(tensor->name, '.') - tensor->name),
                 tensor->name);
        if (!cJSON_GetObjectItemCaseSensitive(shapes, name)) return tensor;
    }
    return NULL;
}

variant_status vt_tensor_file_name_packed(vt_tensor_file *file, const cJSON *shapes,
                                          variant_error *err) {
    const int count = cJSON_GetArraySize(shapes);
    const cJSON *entry;
    variant_status status = VARIANT_OK;
    int made = 0;
    vt_tensor *weights = calloc((size_t)count + 1, sizeof *weights);
    if (!weights) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to read it", file->path);
    for (int i = 0; i < file->count; ++i) {
        vt_tensor *tensor = &file->tensors[i];
        if (ends(tensor->name, VT_PACKED_NUMBERS) || ends(tensor->name, VT_PACKED_SCALES) ||
            ends(tensor->name, VT_PACKED_SCALES_OF_ROWS))
            tensor->group = VT_PACKED_GROUP;
    }
    vt_mapping_keep(&file->map);
    VT_CHECK(vt_tensor_file_index(file, err));
    if (stranger(file, shapes))
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT,
                         "%s: tensor %.200s belongs to no weight that its metadata names",
                         file->path, stranger(file, shapes)->name));
    cJSON_ArrayForEach(entry, shapes) VT_CHECK(make_weight(file, entry, &weights[made++], err));
    for (int i = 0; i < made; ++i) VT_CHECK(vt_tensor_file_add(file, &weights[i], err));
    status = vt_tensor_file_index(file, err);
    if (status != VARIANT_OK) vt_fail_within(err, status, "%s", file->path);
cleanup:
    free(weights);
    return status;
}

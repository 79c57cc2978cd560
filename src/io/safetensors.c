/* safetensors.c - reads and writes safetensors: eight bytes of header length (little endian), a
 * JSON header, then the data of all tensors. Reading is called by tensors.c; writing by the
 * converters and the trainers.
 *
 * The header is untrusted: every number in it is checked against the file before a pointer is made
 * of it. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/tensor_file.h"

#define HEADER_LIMIT ((uint64_t)100 << 20) /* what other readers of the format allow */
#define MOST_META 4096                     /* metadata that are compared with each other */

/* ---- reading ---- */

/* A JSON number that is a whole number in [0, 2^53]. */
static bool whole_number(const cJSON *item, uint64_t *out) {
    if (!cJSON_IsNumber(item)) return false;
    double value = item->valuedouble;
    if (!(value >= 0 && value < 0x1p53) || value != floor(value)) return false; /* exact below */
    *out = (uint64_t)value;
    return true;
}

static variant_status read_shape(vt_tensor *tensor, const cJSON *shape, variant_error *err) {
    char name[VT_PRINTABLE];
    if (!cJSON_IsArray(shape))
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': no shape",
                       vt_printable(name, tensor->name));
    const cJSON *item;
    cJSON_ArrayForEach(item, shape) {
        uint64_t side;
        if (tensor->rank == VT_MAX_RANK)
            return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': more than %d dimensions",
                           vt_printable(name, tensor->name), VT_MAX_RANK);
        if (!whole_number(item, &side))
            return vt_fail(err, VARIANT_E_FORMAT,
                           "tensor '%s': a side of its shape is not a whole number",
                           vt_printable(name, tensor->name));
        tensor->shape[tensor->rank++] = (int64_t)side;
    }
    return vt_tensor_measure(tensor, err);
}

/* Types that other programs write, by bits: none is read, all are passed over when nobody asks. */
static const struct {
    const char *name;
    int bits;
} other_types[] = {
    {"F4", 4},          {"F6_E2M3", 6},     {"F6_E3M2", 6}, {"F8_E5M2", 8}, {"F8_E4M3", 8},
    {"F8_E4M3FNUZ", 8}, {"F8_E5M2FNUZ", 8}, {"F8_E8M0", 8}, {"I4", 4},      {"U4", 4},
    {"U16", 16},        {"U32", 32},        {"U64", 64},    {"C64", 64},    {"C128", 128},
};

static bool is_word(const char *text) {
    size_t length = strlen(text);
    return length > 0 && length < 32 &&
           strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_") ==
               length;
}

/* *bits: of a type that is not read, 0 when not even its size is known. */
static variant_status read_type(vt_tensor_file *file, vt_tensor *tensor, int *bits,
                                const char *text, variant_error *err) {
    char name[VT_PRINTABLE], spelled[VT_PRINTABLE];
    *bits = 0;
    for (int t = 0; t < VT_OTHER; t++)
        if (strcmp(text, vt_dtype_name((vt_dtype)t)) == 0) tensor->type = (vt_dtype)t;
    if (tensor->type != VT_DTYPES) return VARIANT_OK;
    if (!is_word(text))
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': dtype '%s' is none",
                       vt_printable(name, tensor->name), vt_printable(spelled, text));
    for (size_t i = 0; i < sizeof other_types / sizeof other_types[0]; i++)
        if (strcmp(text, other_types[i].name) == 0) *bits = other_types[i].bits;
    tensor->type = VT_OTHER;
    tensor->spelled = vt_pool_text(&file->pool, text, strlen(text));
    return tensor->spelled ? VARIANT_OK : vt_pool_fail(&file->pool, err);
}

/* Sets the bytes of a tensor whose type is not read: those its elements take, or all of its range. */
static variant_status measure_other(vt_tensor *tensor, int bits, size_t range, variant_error *err) {
    char name[VT_PRINTABLE];
    size_t all;
    if (bits == 0) {
        tensor->bytes = range;
        return VARIANT_OK;
    }
    if (__builtin_mul_overflow(tensor->count, (size_t)bits, &all) || all % 8 != 0)
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': %zu elements of %s are no whole bytes",
                       vt_printable(name, tensor->name), tensor->count, tensor->spelled);
    tensor->bytes = all / 8;
    return VARIANT_OK;
}

typedef struct range {
    size_t begin, end;
    const char *name;
} range;

typedef struct range_list {
    range *items;
    int capacity;
} range_list;

static int compare_ranges(const void *a, const void *b) {
    const range *x = a, *y = b;
    return x->begin != y->begin ? (x->begin > y->begin) - (x->begin < y->begin)
                                : (x->end > y->end) - (x->end < y->end);
}

static variant_status note_range(range_list *ranges, int at, const char *name, size_t begin,
                                 size_t end, variant_error *err) {
    if (at >= ranges->capacity) {
        int capacity = ranges->capacity ? 2 * ranges->capacity : 256;
        range *items = reallocarray(ranges->items, (size_t)capacity, sizeof *items);
        if (!items) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d tensors", capacity);
        ranges->items = items;
        ranges->capacity = capacity;
    }
    ranges->items[at] = (range){begin, end, name};
    return VARIANT_OK;
}

/* The first key of an object that it has twice; NULL. Objects of an entry are small. */
static const char *twice(const cJSON *object) {
    for (const cJSON *a = object ? object->child : NULL; a; a = a->next)
        for (const cJSON *b = a->next; b; b = b->next)
            if (strcmp(a->string, b->string) == 0) return a->string;
    return NULL;
}

static variant_status read_tensor(vt_tensor_file *file, const cJSON *entry, size_t data_start,
                                  range_list *ranges, variant_error *err) {
    char name[VT_PRINTABLE];
    vt_printable(name, entry->string);
    vt_tensor tensor = {.group = "", .type = VT_DTYPES};
    tensor.name = vt_pool_text(&file->pool, entry->string, strlen(entry->string));
    if (!tensor.name) return vt_pool_fail(&file->pool, err);

    enum { MOST_KEYS = 16 };
    if (!cJSON_IsObject(entry) || cJSON_GetArraySize(entry) > MOST_KEYS)
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': expected dtype, shape, data_offsets",
                       name);
    if (twice(entry)) {
        char key[VT_PRINTABLE];
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': '%s' is there twice", name,
                       vt_printable(key, twice(entry)));
    }
    const cJSON *dtype = cJSON_GetObjectItemCaseSensitive(entry, "dtype");
    if (!cJSON_IsString(dtype))
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': no dtype", name);
    int bits = 0;
    VT_TRY(read_type(file, &tensor, &bits, dtype->valuestring, err));
    VT_TRY(read_shape(&tensor, cJSON_GetObjectItemCaseSensitive(entry, "shape"), err));

    const cJSON *offsets = cJSON_GetObjectItemCaseSensitive(entry, "data_offsets");
    uint64_t begin, end;
    if (!cJSON_IsArray(offsets) || !offsets->child || !offsets->child->next ||
        offsets->child->next->next || !whole_number(offsets->child, &begin) ||
        !whole_number(offsets->child->next, &end))
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': data_offsets are not two whole numbers",
                       name);
    size_t data_size = file->map.size - data_start;
    if (begin > end || end > data_size)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "tensor '%s': data at %llu to %llu, but the file holds %zu bytes of data",
                       name, (unsigned long long)begin, (unsigned long long)end, data_size);
    if (tensor.type == VT_OTHER) VT_TRY(measure_other(&tensor, bits, (size_t)(end - begin), err));
    if (end - begin != tensor.bytes)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "tensor '%s': %llu bytes of data, its shape needs %zu", name,
                       (unsigned long long)(end - begin), tensor.bytes);
    if (tensor.bytes) {
        tensor.data = vt_tensor_file_align(file, file->map.data + data_start + begin, tensor.bytes,
                                           vt_dtype_size(tensor.type));
        if (!tensor.data) return vt_pool_fail(&file->pool, err);
    }
    VT_TRY(note_range(ranges, file->count, tensor.name, (size_t)begin, (size_t)end, err));
    return vt_tensor_file_add(file, &tensor, err);
}

/* Ranges lie one behind the other, from the first byte of data to the last. */
static variant_status check_ranges(range_list *ranges, size_t count, size_t data_size,
                                   variant_error *err) {
    char name[VT_PRINTABLE];
    size_t at = 0;
    if (count > 0) qsort(ranges->items, count, sizeof *ranges->items, compare_ranges);
    for (size_t i = 0; i < count; i++) {
        const range *r = &ranges->items[i];
        if (r->begin == r->end) continue; /* nothing, wherever it lies */
        if (r->begin != at)
            return vt_fail(
                err, VARIANT_E_FORMAT,
                "tensor '%s': data from %zu on, where %zu bytes are %s: the format wants "
                "tensors one behind the other",
                vt_printable(name, r->name), r->begin,
                r->begin < at ? at - r->begin : r->begin - at,
                r->begin < at ? "another tensor's as well" : "left out before it");
        at = r->end;
    }
    if (at == data_size) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_FORMAT,
        "%zu bytes follow the last tensor: the format wants none (cut off, or appended to?)",
        data_size - at);
}

static variant_status read_metadata(vt_tensor_file *file, const cJSON *metadata,
                                    variant_error *err) {
    char key[VT_PRINTABLE];
    if (file->has_metadata) return vt_fail(err, VARIANT_E_FORMAT, "__metadata__ is there twice");
    file->has_metadata = true;
    if (cJSON_IsNull(metadata)) return VARIANT_OK; /* the format's own reader takes it for none */
    if (!cJSON_IsObject(metadata))
        return vt_fail(err, VARIANT_E_FORMAT, "__metadata__ is not an object");
    const cJSON *item;
    cJSON_ArrayForEach(item, metadata) {
        if (!cJSON_IsString(item))
            return vt_fail(err, VARIANT_E_FORMAT, "metadata '%s' is not a string",
                           vt_printable(key, item->string));
        if (strcmp(item->string, VT_SUMS_KEY) == 0 && !file->sums) {
            file->sums = vt_pool_text(&file->pool, item->valuestring, strlen(item->valuestring));
            if (!file->sums) return vt_pool_fail(&file->pool, err);
            continue;
        }
        if (strcmp(item->string, VT_SUMS_KEY) == 0 ||
            (file->meta_count < MOST_META && vt_tensor_file_meta(file, item->string)))
            return vt_fail(err, VARIANT_E_FORMAT, "metadata '%s' is there twice",
                           vt_printable(key, item->string));
        VT_TRY(vt_tensor_file_add_meta(file, item->string, item->valuestring, err));
    }
    return VARIANT_OK;
}

static bool is_blank(char c) {
    return c == ' ' || c == '\n' || c == '\t' || c == '\r';
}

static bool only_blanks(const char *text, const char *end) {
    while (text < end && is_blank(*text)) text++;
    return text == end;
}

static uint64_t header_length(const unsigned char *bytes) {
    uint64_t length = 0;
    for (int i = 7; i >= 0; i--) length = length << 8 | bytes[i];
    return length;
}

/* A header begins with a brace. Blanks before it are against the format, but its own reader takes them. */
bool vt_safetensors_is(const vt_mapping *map) {
    if (map->size < 10) return false;
    if (map->data[8] == '{') return true;
    if (header_length(map->data) > map->size - 8) return false;
    size_t at = 8;
    while (at < map->size && at < 8 + 64 && is_blank((char)map->data[at])) at++;
    return at < map->size && map->data[at] == '{';
}

static variant_status read_header(vt_tensor_file *file, const cJSON *header, size_t data_start,
                                  variant_error *err) {
    variant_status status = VARIANT_OK;
    range_list ranges = {0};
    const cJSON *entry;
    cJSON_ArrayForEach(entry, header) {
        if (strcmp(entry->string, "__metadata__") == 0)
            VT_CHECK(read_metadata(file, entry, err));
        else
            VT_CHECK(read_tensor(file, entry, data_start, &ranges, err));
    }
    status = check_ranges(&ranges, (size_t)file->count, file->map.size - data_start, err);

cleanup:
    free(ranges.items);
    return status;
}

variant_status vt_safetensors_read(vt_tensor_file *file, variant_error *err) {
    file->format = "safetensors";
    uint64_t length = header_length(file->map.data);
    if (length > HEADER_LIMIT || length > file->map.size - 8)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "header of %llu bytes in a file of %zu: damaged or cut short",
                       (unsigned long long)length, file->map.size);

    const char *text = (const char *)file->map.data + 8, *parsed = NULL;
    if (vt_json_exceeds(text, (size_t)length, VT_JSON_VALUES))
        return vt_fail(err, VARIANT_E_FORMAT, "header of more than %zu values, expected a model's",
                       VT_JSON_VALUES);
    if (vt_json_has_nul(text, (size_t)length))
        return vt_fail(err, VARIANT_E_FORMAT, "header with a NUL character in it");
    cJSON *header = vt_json_read(text, (size_t)length, &parsed);
    if (!header && vt_json_is(text, (size_t)length))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the header");
    variant_status status = cJSON_IsObject(header) && only_blanks(parsed, text + length)
                                ? read_header(file, header, 8 + (size_t)length, err)
                                : vt_fail(err, VARIANT_E_FORMAT, "header is not a JSON object");
    cJSON_Delete(header);
    return status;
}

/* ---- writing ---- */

static variant_status fail_header(variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the header");
}

/* {"dtype": ..., "shape": [...], "data_offsets": [begin, end]} under name. */
static bool add_entry(cJSON *header, const vt_tensor *tensor, size_t begin) {
    cJSON *entry = vt_json_object(header, tensor->name);
    if (!entry || !vt_json_string(entry, "dtype", vt_dtype_name(tensor->type))) return false;
    cJSON *shape = vt_json_array(entry, "shape");
    if (!shape) return false;
    for (int d = 0; d < tensor->rank; d++)
        if (!vt_json_append(shape, vt_json_whole(tensor->shape[d]))) return false;
    cJSON *offsets = vt_json_array(entry, "data_offsets");
    return offsets && vt_json_append(offsets, vt_json_whole((int64_t)begin)) &&
           vt_json_append(offsets, vt_json_whole((int64_t)(begin + tensor->bytes)));
}

/* A file that is being written. */
typedef struct writing {
    const vt_safetensors_out *out;
    FILE *stream;
    vt_tensor *measured; /* (count) */
    vt_sum *sums;        /* (count): zero where a tensor was not seen yet */
} writing;

/* {"key": "value", ...} of the caller's metadata, and the checksums. */
static bool add_metadata(cJSON *header, const writing *w) {
    const vt_safetensors_out *out = w->out;
    char *sums = vt_checksums_text(w->measured, w->sums, out->count);
    cJSON *metadata = vt_json_object(header, "__metadata__");
    bool good = sums && metadata;
    for (int i = 0; i < out->meta_count && good; i++)
        good = vt_json_string(metadata, out->meta_keys[i], out->meta_values[i]) != NULL;
    good = good && vt_json_string(metadata, VT_SUMS_KEY, sums);
    cJSON_free(sums);
    return good;
}

static variant_status make_header(char **text, const writing *w, variant_error *err) {
    variant_status status = VARIANT_OK;
    cJSON *header = cJSON_CreateObject();
    bool good = header && add_metadata(header, w);
    size_t begin = 0;
    for (int i = 0; i < w->out->count && good; i++) {
        good = add_entry(header, &w->measured[i], begin);
        if (__builtin_add_overflow(begin, w->measured[i].bytes, &begin)) good = false;
    }
    *text = good ? vt_json_text(header) : NULL;
    if (!*text) status = fail_header(err);
    cJSON_Delete(header);
    return status;
}

static variant_status fail_write(variant_error *err) {
    return vt_fail(err, VARIANT_E_IO, "cannot write: %m");
}

/* Length, header, blanks up to 64 bytes. */
static variant_status write_header(const writing *w, variant_error *err) {
    static const char blanks[64] =
        "                                                               ";
    char *header;
    VT_TRY(make_header(&header, w, err));
    size_t used = strlen(header), padding = (64 - (8 + used) % 64) % 64;
    unsigned char length[8];
    for (int i = 0; i < 8; i++) length[i] = (unsigned char)((uint64_t)(used + padding) >> (8 * i));
    const bool written = fwrite(length, 1, 8, w->stream) == 8 &&
                         fwrite(header, 1, used, w->stream) == used &&
                         fwrite(blanks, 1, padding, w->stream) == padding;
    cJSON_free(header);
    return written ? VARIANT_OK : fail_write(err);
}

static variant_status write_data(void *user, int index, const void *data, size_t bytes,
                                 variant_error *err) {
    writing *w = user;
    w->sums[index] = vt_sum_of(data, bytes);
    return fwrite(data, 1, bytes, w->stream) == bytes ? VARIANT_OK : fail_write(err);
}

/* Checksums are known behind the data and stand before it: the header is written twice where that can be, else the tensors are taken twice. */
static variant_status write_all(writing *w, bool again, variant_error *err) {
    const vt_safetensors_out *out = w->out;
    if (!again) VT_TRY(vt_checksums_of(w->sums, w->measured, out->tensors, out->count, err));
    VT_TRY(write_header(w, err));
    VT_TRY(vt_tensors_each(w->measured, out->tensors, out->count, write_data, w, out->watch, err));
    if (!again) return VARIANT_OK;
    if (fseeko(w->stream, 0, SEEK_SET) != 0) return fail_write(err);
    return write_header(w, err);
}

static variant_status stage(vt_replace_set *into, writing *w, variant_error *err) {
    const vt_safetensors_out *out = w->out;
    vt_replace file = {0};
    variant_status status = VARIANT_OK;
    status = vt_tensors_measure(w->measured, out->tensors, out->count, err);
    if (status != VARIANT_OK) return vt_fail_within(err, status, "%s", out->path);
    VT_TRY(vt_replace_open(&file, out->path, err));
    w->stream = file.stream;
    /* After a failed write, commit finds the stream's error and reports it; the system's reason is
     * fresher here. */
    status = write_all(w, file.temporary != NULL, err);
    if (status != VARIANT_OK)
        status = vt_fail_within(err, status, "%s", out->path);
    else
        status = vt_replace_set_add(into, &file, err);
    vt_replace_abandon(&file);
    return status;
}

variant_status vt_safetensors_stage(vt_replace_set *into, const vt_safetensors_out *out,
                                    variant_error *err) {
    if (out->count < 0 || out->meta_count < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: negative count", out->path);
    writing w = {.out = out,
                 .measured = calloc((size_t)out->count + 1, sizeof *w.measured),
                 .sums = calloc((size_t)out->count + 1, sizeof *w.sums)};
    const variant_status status = w.measured && w.sums ? stage(into, &w, err) : fail_header(err);
    free(w.measured);
    free(w.sums);
    return status;
}

variant_status vt_safetensors_write_out(const vt_safetensors_out *out, variant_error *err) {
    vt_replace_set file = {0};
    VT_TRY(vt_safetensors_stage(&file, out, err));
    return vt_replace_set_commit(&file, err);
}

variant_status vt_safetensors_write(const char *path, const vt_tensor_out *tensors, int count,
                                    const char *const *meta_keys, const char *const *meta_values,
                                    int meta_count, variant_error *err) {
    return vt_safetensors_write_out(&(vt_safetensors_out){.path = path,
                                                          .tensors = tensors,
                                                          .count = count,
                                                          .meta_keys = meta_keys,
                                                          .meta_values = meta_values,
                                                          .meta_count = meta_count},
                                    err);
}

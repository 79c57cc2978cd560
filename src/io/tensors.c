/* tensors.c - a tensor file whatever its format: detection, lookup, and conversion of elements.
 *
 * Called by nn/params.c, the converters and the tests. The formats themselves are read by
 * safetensors.c and torch.c. */
#include "io/tensors.h"

#include <fcntl.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "io/jailed.h"
#include "io/tensor_file.h"

/* ---- element types ---- */

static const struct {
    const char *name;
    size_t size;
} dtypes[VT_DTYPES] = {
    [VT_F32] = {"F32", 4},   [VT_F64] = {"F64", 8},     [VT_F16] = {"F16", 2},
    [VT_BF16] = {"BF16", 2}, [VT_I8] = {"I8", 1},       [VT_U8] = {"U8", 1},
    [VT_I16] = {"I16", 2},   [VT_I32] = {"I32", 4},     [VT_I64] = {"I64", 8},
    [VT_BOOL] = {"BOOL", 1}, [VT_OTHER] = {"other", 1},
};

size_t vt_dtype_size(vt_dtype type) {
    return (unsigned)type < VT_DTYPES ? dtypes[type].size : 0;
}
const char *vt_dtype_name(vt_dtype type) {
    return (unsigned)type < VT_DTYPES ? dtypes[type].name : "?";
}

const char *vt_tensor_type_name(const vt_tensor *tensor) {
    return tensor->type == VT_OTHER && tensor->spelled ? tensor->spelled
                                                       : vt_dtype_name(tensor->type);
}

bool vt_tensor_is_float(const vt_tensor *tensor) {
    return tensor->type == VT_F32 || tensor->type == VT_F64 || tensor->type == VT_F16 ||
           tensor->type == VT_BF16;
}

static inline uint32_t bits_of(float value) {
    uint32_t bits;
    memcpy(&bits, &value, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits) {
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

float vt_f32_from_bf16(uint16_t half) {
    return float_of((uint32_t)half << 16);
}

uint16_t vt_bf16_from_f32(float value) {
    uint32_t bits = bits_of(value);
    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)((bits >> 16) | 0x40); /* NaN stays one */
    return (uint16_t)((bits + 0x7fffu + ((bits >> 16) & 1)) >> 16);
}

float vt_f32_from_f16(uint16_t half) {
    uint32_t sign = (uint32_t)(half & 0x8000) << 16, magnitude = half & 0x7fff;
    uint32_t bits;
    if (magnitude >= 0x7c00)
        bits = 0x7f800000u | magnitude << 13; /* infinity, NaN */
    else if (magnitude >= 0x0400)
        bits = (magnitude << 13) + (112u << 23); /* the exponent's bias is 15 there, 127 here */
    else
        bits = bits_of((float)(int32_t)magnitude * 0x1p-24f); /* subnormal there, normal here */
    return float_of(bits | sign);
}

uint16_t vt_f16_from_f32(float value) {
    uint32_t bits = bits_of(value), magnitude = bits & 0x7fffffffu;
    uint32_t sign = (bits >> 16) & 0x8000, half;
    if (magnitude > 0x7f800000u)
        half = 0x7e00 | (magnitude >> 13 & 0x1ff); /* NaN stays one, quiet */
    else if (magnitude >= 0x477ff000u)
        half = 0x7c00; /* 65520 and above round to infinity */
    else if (magnitude <
             0x38800000u) /* below 2^-14: an addition to 1/2 rounds to multiples of 2^-24 */
        half = bits_of(float_of(magnitude) + 0.5f) - 0x3f000000u;
    else
        half = (magnitude + 0xfff + (magnitude >> 13 & 1) - (112u << 23)) >> 13;
    return (uint16_t)(half | sign);
}

#define CONVERT(type, expression)                                                                  \
    do {                                                                                           \
        const type *in = tensor->data;                                                             \
        for (size_t i = 0; i < n; i++) out[i] = (expression);                                      \
    } while (0)

variant_status vt_tensor_to_f32(const vt_tensor *tensor, float *out, variant_error *err) {
    const size_t n = tensor->count;
    if (n == 0) return VARIANT_OK;
    switch (tensor->type) {
    case VT_F32:
        memcpy(out, tensor->data, n * sizeof *out);
        return VARIANT_OK;
    case VT_F64:
        CONVERT(double, (float)in[i]);
        return VARIANT_OK;
    case VT_F16:
        CONVERT(uint16_t, vt_f32_from_f16(in[i]));
        return VARIANT_OK;
    case VT_BF16:
        CONVERT(uint16_t, vt_f32_from_bf16(in[i]));
        return VARIANT_OK;
    case VT_I8:
        CONVERT(int8_t, (float)in[i]);
        return VARIANT_OK;
    case VT_U8:
        CONVERT(uint8_t, (float)in[i]);
        return VARIANT_OK;
    case VT_I16:
        CONVERT(int16_t, (float)in[i]);
        return VARIANT_OK;
    case VT_I32:
        CONVERT(int32_t, (float)in[i]);
        return VARIANT_OK;
    case VT_I64:
        CONVERT(int64_t, (float)in[i]);
        return VARIANT_OK;
    case VT_BOOL:
        CONVERT(uint8_t, in[i] ? 1.0f : 0.0f);
        return VARIANT_OK;
    case VT_OTHER:
    case VT_DTYPES:
        break;
    }
    char name[VT_PRINTABLE], type[VT_PRINTABLE];
    return vt_fail(err, VARIANT_E_FORMAT,
                   "tensor '%s' is %s, which is not read: expected F32, F16, BF16 or F64",
                   vt_printable(name, tensor->name),
                   vt_printable(type, vt_tensor_type_name(tensor)));
}

variant_status vt_tensor_to_i32(const vt_tensor *tensor, int32_t *out, variant_error *err) {
    const size_t n = tensor->count;
    char name[VT_PRINTABLE];
    if (n == 0) return VARIANT_OK;
    switch (tensor->type) {
    case VT_I8:
        CONVERT(int8_t, in[i]);
        return VARIANT_OK;
    case VT_U8:
        CONVERT(uint8_t, in[i]);
        return VARIANT_OK;
    case VT_I16:
        CONVERT(int16_t, in[i]);
        return VARIANT_OK;
    case VT_I32:
        memcpy(out, tensor->data, n * sizeof *out);
        return VARIANT_OK;
    case VT_I64: {
        const int64_t *in = tensor->data;
        for (size_t i = 0; i < n; i++) {
            if (in[i] < INT32_MIN || in[i] > INT32_MAX)
                return vt_fail(err, VARIANT_E_FORMAT,
                               "tensor '%s': element %zu is %lld, expected 32 bits",
                               vt_printable(name, tensor->name), i, (long long)in[i]);
            out[i] = (int32_t)in[i];
        }
        return VARIANT_OK;
    }
    case VT_BOOL:
        CONVERT(uint8_t, in[i] ? 1 : 0);
        return VARIANT_OK;
    case VT_F32:
    case VT_F64:
    case VT_F16:
    case VT_BF16:
    case VT_OTHER:
    case VT_DTYPES:
        break;
    }
    char type[VT_PRINTABLE];
    return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s' is %s, expected integers",
                   vt_printable(name, tensor->name),
                   vt_printable(type, vt_tensor_type_name(tensor)));
}

/* ---- what readers use ---- */

const char *vt_printable(char buffer[VT_PRINTABLE], const char *text) {
    size_t i = 0;
    for (; i < VT_PRINTABLE - 1 && text[i]; i++) {
        unsigned char c = (unsigned char)text[i];
        buffer[i] = c < ' ' || c == 0x7f ? '?' : (char)c;
    }
    buffer[i] = '\0';
    return buffer;
}

variant_status vt_tensor_measure(vt_tensor *tensor, variant_error *err) {
    size_t count = 1, size = vt_dtype_size(tensor->type);
    bool empty = false;
    for (int d = 0; d < tensor->rank; d++) {
        if (tensor->shape[d] == 0) empty = true;
        /* Zero dimensions are left out, so that the others cannot overflow unseen. */
        else if (tensor->shape[d] < 0 ||
                 __builtin_mul_overflow(count, (size_t)tensor->shape[d], &count))
            count = SIZE_MAX;
        if (count > (size_t)PTRDIFF_MAX / size) {
            char name[VT_PRINTABLE];
            return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s': shape is negative or too large",
                           vt_printable(name, tensor->name));
        }
    }
    tensor->count = empty ? 0 : count;
    tensor->bytes = tensor->count * size;
    return VARIANT_OK;
}

const void *vt_tensor_file_align(vt_tensor_file *file, const void *data, size_t bytes,
                                 size_t size) {
    if ((uintptr_t)data % size == 0) return data;
    void *copy = vt_pool_take(&file->pool, bytes);
    if (copy) memcpy(copy, data, bytes);
    return copy;
}

/* Room for one more element in an array that doubles. */
static bool grow(void **array, int count, int *capacity, size_t size) {
    if (count < *capacity) return true;
    if (*capacity > INT_MAX / 2) return false;
    int larger = *capacity ? *capacity * 2 : 64;
    void *moved = reallocarray(*array, (size_t)larger, size);
    if (!moved) return false;
    *array = moved;
    *capacity = larger;
    return true;
}

variant_status vt_tensor_file_add(vt_tensor_file *file, const vt_tensor *tensor,
                                  variant_error *err) {
    if (!grow((void **)&file->tensors, file->count, &file->capacity, sizeof *tensor))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d tensors", file->count);
    file->tensors[file->count] = *tensor;
    if (!tensor->data) { /* no elements: still a valid, aligned pointer */
        static const double nothing = 0;
        file->tensors[file->count].data = &nothing;
    }
    file->count++;
    return VARIANT_OK;
}

variant_status vt_tensor_file_add_meta(vt_tensor_file *file, const char *key, const char *value,
                                       variant_error *err) {
    if (!grow((void **)&file->meta, file->meta_count, &file->meta_capacity, sizeof *file->meta))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d metadata entries",
                       file->meta_count);
    vt_meta entry = {vt_pool_text(&file->pool, key, strlen(key)),
                     vt_pool_text(&file->pool, value, strlen(value))};
    if (!entry.key || !entry.value) return vt_pool_fail(&file->pool, err);
    file->meta[file->meta_count++] = entry;
    return VARIANT_OK;
}

/* ---- opening and lookup ---- */

static int compare_names(const void *a, const void *b, void *file) {
    const vt_tensor *tensors = ((const vt_tensor_file *)file)->tensors;
    int i = *(const int *)a, j = *(const int *)b;
    int order = strcmp(tensors[i].name, tensors[j].name);
    return order ? order : (i > j) - (i < j);
}

static int compare_places(const void *a, const void *b, void *file) {
    const vt_tensor *tensors = ((const vt_tensor_file *)file)->tensors;
    int i = *(const int *)a, j = *(const int *)b;
    int order = strcmp(tensors[i].name, tensors[j].name);
    return order ? order : strcmp(tensors[i].group, tensors[j].group);
}

/* Builds by_name; a name that comes twice in a group is refused, since nobody could say which is
 * meant. */
variant_status vt_tensor_file_index(vt_tensor_file *file, variant_error *err) {
    size_t count = (size_t)file->count;
    free(file->by_name);
    file->by_name = calloc(count + 1, sizeof *file->by_name);
    if (!file->by_name) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu tensors", count);
    for (int i = 0; i < file->count; i++) file->by_name[i] = i;
    qsort_r(file->by_name, count, sizeof *file->by_name, compare_places, file);
    for (int i = 1; i < file->count; i++) {
        if (compare_places(&file->by_name[i - 1], &file->by_name[i], file) != 0) continue;
        char name[VT_PRINTABLE];
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s' is there twice",
                       vt_printable(name, file->tensors[file->by_name[i]].name));
    }
    qsort_r(file->by_name, count, sizeof *file->by_name, compare_names, file);
    return VARIANT_OK;
}

variant_status vt_torch_read(vt_tensor_file *file, variant_error *err) {
    return vt_torch_is_zip(&file->map) ? vt_torch_read_zip(file, err)
                                       : vt_torch_read_legacy(file, err);
}

/* In the jail, if there is one. */
static variant_status read_torch(vt_tensor_file *file, variant_error *err) {
    if (!vt_jail_is_on()) return vt_torch_read(file, err);
    const int descriptor = file->map.borrowed ? -1 : open(file->path, O_RDONLY | O_CLOEXEC);
    const variant_status status = vt_jailed_torch(file, descriptor, err);
    if (descriptor >= 0) close(descriptor);
    return status;
}

/* By the content's first bytes. */
static variant_status read_content(vt_tensor_file *file, bool shard, variant_error *err) {
    const char *ending = strrchr(file->path, '.');
    bool part = ending && strcmp(ending, ".distcp") == 0; /* zips in a row */
    if ((!part && vt_torch_is_zip(&file->map)) || vt_torch_is_legacy(&file->map))
        return read_torch(file, err);
    if (vt_safetensors_is(&file->map)) return vt_safetensors_read(file, err);
    if (vt_shards_is(&file->map))
        return shard ? vt_fail(err, VARIANT_E_FORMAT, "is an index itself, expected tensors")
                     : vt_shards_read(file, err);
    char kind[VT_FILE_KIND];
    return vt_fail(err, VARIANT_E_FORMAT, "%s",
                   vt_file_kind(kind, &file->map, file->path)
                       ? kind
                       : "neither a safetensors file nor a PyTorch checkpoint");
}

static variant_status new_file(vt_tensor_file **out, const char *path, variant_error *err) {
    vt_tensor_file *file = calloc(1, sizeof *file);
    if (file) file->path = strdup(path);
    *out = file && file->path ? file : NULL;
    if (*out) return VARIANT_OK;
    free(file);
    return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to open it", path);
}

/* The file a few times over in copies and unpacked entries, plus what names and values of a large
 * checkpoint take. */
void vt_tensor_file_pool(vt_tensor_file *file) {
    vt_pool_init(&file->pool, 4 * file->map.size + ((size_t)64 << 20));
}

/* Of what its map holds; a file that cannot be read is closed. */
static variant_status read_file(vt_tensor_file *file, bool shard, vt_tensor_file **out,
                                variant_error *err) {
    vt_tensor_file_pool(file);
    variant_status status = read_content(file, shard, err);
    if (status == VARIANT_OK) status = vt_tensor_file_index(file, err);
    if (status == VARIANT_OK) status = vt_checksums_take(file, err);
    if (status != VARIANT_OK) status = vt_fail_within(err, status, "%s", file->path);
    status = vt_tensor_file_settle(file, status, err);
    if (status != VARIANT_OK) vt_tensor_file_close(&file);
    *out = file;
    return status;
}

static variant_status open_file(vt_tensor_file **out, const char *path, bool shard, bool guarded,
                                variant_error *err) {
    vt_tensor_file *file;
    *out = NULL;
    VT_TRY(new_file(&file, path, err));
    variant_status status = vt_mapping_open(&file->map, path, err);
    file->guarded = guarded;
    if (status == VARIANT_OK && guarded) vt_mapping_guard(&file->map);
    if (status == VARIANT_OK) return read_file(file, shard, out, err);
    vt_tensor_file_close(&file);
    return status;
}

variant_status vt_tensor_file_open(vt_tensor_file **out, const char *path, variant_error *err) {
    return open_file(out, path, false, false, err);
}

variant_status vt_tensor_file_open_guarded(vt_tensor_file **out, const char *path,
                                           variant_error *err) {
    return open_file(out, path, false, true, err);
}

variant_status vt_tensor_file_open_shard(vt_tensor_file **out, const char *path, bool guarded,
                                         variant_error *err) {
    return open_file(out, path, true, guarded, err);
}

static variant_status fail_cut(const vt_tensor_file *file, variant_error *err) {
    return vt_fail(err, VARIANT_E_IO, "%s was cut short while it was in use", file->path);
}

variant_status vt_tensor_file_settle(const vt_tensor_file *file, variant_status status,
                                     variant_error *err) {
    if (!file) return status;
    if (vt_mapping_is_cut(&file->map)) return fail_cut(file, err);
    for (int i = 0; i < file->shard_count; i++)
        status = vt_tensor_file_settle(file->shards[i], status, err);
    return status;
}

variant_status vt_tensor_file_intact(const vt_tensor_file *file, variant_error *err) {
    if (!file) return VARIANT_OK;
    if (vt_mapping_is_short(&file->map, file->path)) return fail_cut(file, err);
    for (int i = 0; i < file->shard_count; i++) VT_TRY(vt_tensor_file_intact(file->shards[i], err));
    return VARIANT_OK;
}

variant_status vt_tensor_file_of_memory(vt_tensor_file **out, const char *path, const void *bytes,
                                        size_t size, variant_error *err) {
    vt_tensor_file *file;
    *out = NULL;
    VT_TRY(new_file(&file, path, err));
    file->map = (vt_mapping){.data = size ? bytes : NULL, .size = size, .borrowed = true};
    return read_file(file, true, out, err);
}

void vt_tensor_file_trust(vt_tensor_file *file) {
    for (int i = 0; i < file->count; i++) file->tensors[i].sum = NULL;
}

void vt_tensor_file_release(const vt_tensor_file *file, const vt_tensor *tensor) {
    vt_mapping_release(&file->map, tensor->data, tensor->bytes);
    for (int i = 0; i < file->shard_count; i++)
        vt_mapping_release(&file->shards[i]->map, tensor->data, tensor->bytes);
}

void vt_tensor_file_ask(const vt_tensor_file *file, const vt_tensor *tensor) {
    vt_mapping_ask(&file->map, tensor->data, tensor->bytes);
    for (int i = 0; i < file->shard_count; i++)
        vt_mapping_ask(&file->shards[i]->map, tensor->data, tensor->bytes);
}

size_t vt_tensor_file_bytes(const vt_tensor_file *file) {
    size_t bytes = file->shard_count ? 0 : file->map.size;
    for (int i = 0; i < file->shard_count; i++) bytes += file->shards[i]->map.size;
    return bytes;
}

void vt_tensor_file_close(vt_tensor_file **file) {
    if (!file || !*file) return;
    for (int i = 0; i < (*file)->shard_count; i++) vt_tensor_file_close(&(*file)->shards[i]);
    free((*file)->shards);
    vt_mapping_close(&(*file)->map);
    vt_pool_free(&(*file)->pool);
    free((*file)->jailed);
    free((*file)->path);
    free((*file)->tensors);
    free((*file)->meta);
    free((*file)->by_name);
    free(*file);
    *file = NULL;
}

const char *vt_tensor_file_path(const vt_tensor_file *file) {
    return file->path;
}
const char *vt_tensor_file_format(const vt_tensor_file *file) {
    return file->format;
}
int vt_tensor_file_count(const vt_tensor_file *file) {
    return file->count;
}

const vt_tensor *vt_tensor_file_at(const vt_tensor_file *file, int index) {
    return index >= 0 && index < file->count ? &file->tensors[index] : NULL;
}

const vt_tensor *vt_tensor_file_find(const vt_tensor_file *file, const char *group,
                                     const char *name) {
    int low = 0, high = file->count; /* the first of this name is in [low, high] */
    while (low < high) {
        int middle = low + (high - low) / 2;
        if (strcmp(file->tensors[file->by_name[middle]].name, name) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    for (; low < file->count; low++) {
        const vt_tensor *tensor = &file->tensors[file->by_name[low]];
        if (strcmp(tensor->name, name) != 0) return NULL;
        if (!group || strcmp(tensor->group, group) == 0) return tensor;
    }
    return NULL;
}

int vt_tensor_file_meta_count(const vt_tensor_file *file) {
    return file->meta_count;
}

void vt_tensor_file_meta_at(const vt_tensor_file *file, int index, const char **key,
                            const char **value) {
    bool valid = index >= 0 && index < file->meta_count;
    *key = valid ? file->meta[index].key : NULL;
    *value = valid ? file->meta[index].value : NULL;
}

const char *vt_tensor_file_meta(const vt_tensor_file *file, const char *key) {
    for (int i = 0; i < file->meta_count; i++)
        if (strcmp(file->meta[i].key, key) == 0) return file->meta[i].value;
    return NULL;
}

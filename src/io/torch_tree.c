/* torch_tree.c - from what a checkpoint's pickle holds to named tensors and metadata. Called by
 * torch.c.
 *
 * Dictionaries are walked; the path of keys above a tensor is its group and its own key is its
 * name, so a bare state dict gives group "". Scalars, strings and lists of such become metadata
 * under the whole path, as JSON text (a string alone: as it is). Objects of unknown classes are
 * inert: their attributes are walked when they are a dictionary, anything else about them is left
 * out. Nothing here follows more than VISIT_DEPTH levels or visits more values than reader->work,
 * since hostile pickles contain themselves. */
#include <stdlib.h>
#include <string.h>

#include "io/torch_storage.h"
#include "io/json.h"

enum {
    VISIT_DEPTH = 48,
    KEY_LIMIT = 1024,      /* bytes of a key */
    PATH_LIMIT = 4096,     /* bytes of a group */
    TEXT_LIMIT = 64 * 1024 /* a longer value is no setting of a model and is left out */
};

static variant_status spend(vt_torch_reader *reader, int depth, variant_error *err) {
    if (depth > VISIT_DEPTH)
        return vt_fail(err, VARIANT_E_FORMAT, "values nested more than %d deep", (int)VISIT_DEPTH);
    if (reader->work == 0)
        return vt_fail(err, VARIANT_E_FORMAT, "more values than a checkpoint has");
    reader->work--;
    return VARIANT_OK;
}

/* ---- tensors ---- */

static bool is_call_of(const vt_py *value, const char *name) {
    return value->kind == VT_PY_CALL && vt_py_is_global(value->callable, name);
}

static bool is_tensor(const vt_py *value) {
    return is_call_of(value, "torch._utils._rebuild_tensor_v2") ||
           is_call_of(value, "torch._utils._rebuild_tensor_v3") ||
           is_call_of(value, "torch._utils._rebuild_tensor");
}

/* _rebuild_from_type_v2(function, class, arguments, state) of a plain tensor or parameter that carries
 * attributes: the tensor's call is put together again in *made. */
static bool is_plain_subclass(const vt_py *value, vt_py *made) {
    if (!is_call_of(value, "torch._tensor._rebuild_from_type_v2") || value->arguments->count < 3)
        return false;
    const vt_py *function = value->arguments->items[0], *class = value->arguments->items[1];
    if (!vt_py_is_global(class, "torch.Tensor") &&
        !vt_py_is_global(class, "torch._tensor.Tensor") &&
        !vt_py_is_global(class, "torch.nn.parameter.Parameter"))
        return false;
    *made = (vt_py){.kind = VT_PY_CALL};
    made->callable = (vt_py *)(uintptr_t)function;
    made->arguments = value->arguments->items[2];
    return made->arguments->kind == VT_PY_TUPLE && is_tensor(made);
}

/* A parameter is its tensor; a size is its tuple. */
static const vt_py *unwrap(const vt_py *value) {
    for (int depth = 0; depth < 4; depth++) {
        bool wrapped = is_call_of(value, "torch._utils._rebuild_parameter") ||
                       is_call_of(value, "torch._utils._rebuild_parameter_with_state") ||
                       is_call_of(value, "torch.Size");
        if (!wrapped || value->arguments->count == 0) break;
        value = value->arguments->items[0];
    }
    return value;
}

/* A tuple of at most VT_MAX_RANK integers that are not negative. */
static bool read_sides(int64_t out[VT_MAX_RANK], size_t *rank, const vt_py *value) {
    value = unwrap(value);
    if ((value->kind != VT_PY_TUPLE && value->kind != VT_PY_LIST) || value->count > VT_MAX_RANK)
        return false;
    for (size_t d = 0; d < value->count; d++) {
        if (value->items[d]->kind != VT_PY_INT || value->items[d]->integer < 0) return false;
        out[d] = value->items[d]->integer;
    }
    *rank = value->count;
    return true;
}

/* Element after the last one that the tensor reaches; false on overflow. */
static bool reach_of(const vt_tensor *tensor, const int64_t *strides, size_t offset, size_t *out) {
    size_t reach = offset, step;
    for (int d = 0; d < tensor->rank; d++)
        if (__builtin_mul_overflow((size_t)tensor->shape[d] - 1, (size_t)strides[d], &step) ||
            __builtin_add_overflow(reach, step, &reach))
            return false;
    return !__builtin_add_overflow(reach, (size_t)1, out);
}

static bool is_contiguous(const vt_tensor *tensor, const int64_t *strides) {
    int64_t expected = 1;
    for (int d = tensor->rank - 1; d >= 0; d--) {
        if (tensor->shape[d] != 1 && strides[d] != expected) return false;
        expected *= tensor->shape[d];
    }
    return true;
}

/* Row-major copy of a strided view, counting through its indices. */
static void gather(unsigned char *out, const unsigned char *from, const vt_tensor *tensor,
                   const int64_t *strides) {
    size_t size = vt_dtype_size(tensor->type), place = 0;
    int64_t index[VT_MAX_RANK] = {0};
    for (size_t i = 0; i < tensor->count; i++) {
        memcpy(out + i * size, from + place * size, size);
        for (int d = tensor->rank - 1; d >= 0; d--) {
            place += (size_t)strides[d];
            if (++index[d] < tensor->shape[d]) break;
            place -= (size_t)(strides[d] * tensor->shape[d]);
            index[d] = 0;
        }
    }
}

/* A tensor that is named and not read: of a type this program has no use for, or of a class of its own. */
static variant_status set_other(vt_torch_reader *reader, vt_tensor *tensor, const char *spelled,
                                variant_error *err) {
    const char *last = strncmp(spelled, "torch.", 6) == 0 ? spelled + 6 : spelled;
    tensor->type = VT_OTHER;
    tensor->spelled = vt_pool_text(&reader->file->pool, last, strlen(last));
    if (!tensor->spelled) return vt_pool_fail(&reader->file->pool, err);
    VT_TRY(vt_tensor_measure(tensor, err));
    tensor->bytes = 0;
    return VARIANT_OK;
}

/* Is the bit `name` set in the metadata of _rebuild_tensor_v2, its argument 7? */
static bool has_bit(const vt_py *arguments, const char *name) {
    const vt_py *bits = arguments->count > 6 ? arguments->items[6] : NULL;
    for (size_t i = 0; bits && bits->kind == VT_PY_DICT && i + 1 < bits->count; i += 2) {
        const vt_py *key = bits->items[i], *value = bits->items[i + 1];
        if (key->kind == VT_PY_STRING && strcmp(key->text, name) == 0)
            return value->kind == VT_PY_BOOL && value->integer;
    }
    return false;
}

/* Bytes of a sign, at the top of each little-endian float, turned in place. */
static void negate(unsigned char *bytes, const vt_tensor *tensor) {
    size_t size = vt_dtype_size(tensor->type);
    for (size_t i = 0; i < tensor->count; i++) bytes[(i + 1) * size - 1] ^= 0x80;
}

static bool is_float(vt_dtype type) {
    return type == VT_F32 || type == VT_F64 || type == VT_F16 || type == VT_BF16;
}

/* Sets data: in place where the view is contiguous and means what is stored, else a copy. */
static variant_status take_data(vt_torch_reader *reader, vt_tensor *tensor,
                                const unsigned char *start, const int64_t *strides, bool negative,
                                variant_error *err) {
    tensor->data = start;
    if (is_contiguous(tensor, strides) && !negative) return VARIANT_OK;
    unsigned char *copy = vt_pool_take(&reader->file->pool, tensor->bytes);
    if (!copy) return vt_pool_fail(&reader->file->pool, err);
    gather(copy, start, tensor, strides);
    if (negative) negate(copy, tensor);
    tensor->data = copy;
    return VARIANT_OK;
}

/* _rebuild_tensor_v2(storage, offset, shape, strides, requires_grad, hooks, bits); _v3 has the type where the
 * bits are, and counts in bytes */
static variant_status read_tensor(vt_torch_reader *reader, const vt_py *value, vt_tensor *tensor,
                                  variant_error *err) {
    const vt_py *arguments = value->arguments;
    int64_t strides[VT_MAX_RANK] = {0};
    size_t shape_rank = 0, stride_rank = 0, view = 0, offset, reach;
    if (arguments->count < 4 || arguments->items[0]->kind != VT_PY_PERSISTENT ||
        arguments->items[1]->kind != VT_PY_INT || arguments->items[1]->integer < 0)
        return vt_fail(err, VARIANT_E_FORMAT, "not rebuilt from (storage, offset, shape, strides)");
    if (!read_sides(tensor->shape, &shape_rank, arguments->items[2]) ||
        !read_sides(strides, &stride_rank, arguments->items[3]) || shape_rank != stride_rank)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "shape and strides are not up to %d whole numbers each", VT_MAX_RANK);
    tensor->rank = (int)shape_rank;
    if (vt_py_is_global(value->callable, "torch._utils._rebuild_tensor_v3")) {
        const vt_py *type = arguments->count > 6 ? arguments->items[6] : NULL;
        return set_other(reader, tensor,
                         type && type->kind == VT_PY_GLOBAL ? type->text : "a type of its own",
                         err);
    }

    vt_torch_storage named, *storage = NULL;
    VT_TRY(vt_torch_storage_parse(&named, &view, arguments->items[0], err));
    VT_TRY(vt_torch_storage_get(reader, named.key, &storage, err));
    bool negative = has_bit(arguments, "neg");
    if (storage->type == VT_OTHER || (negative && !is_float(storage->type)))
        return set_other(
            reader, tensor,
            storage->type == VT_OTHER ? storage->type_name : "whole numbers to be negated", err);
    tensor->type = storage->type;
    VT_TRY(vt_tensor_measure(tensor, err));
    if (tensor->count == 0) return VARIANT_OK;

    if (__builtin_add_overflow(view, (size_t)arguments->items[1]->integer, &offset) ||
        !reach_of(tensor, strides, offset, &reach) || reach > storage->count)
        return vt_fail(err, VARIANT_E_FORMAT, "reaches past its storage of %zu elements",
                       storage->count);
    return take_data(reader, tensor, storage->data + offset * vt_dtype_size(tensor->type), strides,
                     negative, err);
}

static variant_status add_tensor(vt_torch_reader *reader, const vt_py *value, const char *group,
                                 const char *name, variant_error *err) {
    char printable[VT_PRINTABLE];
    vt_tensor tensor = {.group = group};
    tensor.name = vt_pool_text(&reader->file->pool, name, strlen(name));
    if (!tensor.name) return vt_pool_fail(&reader->file->pool, err);
    variant_status status = read_tensor(reader, value, &tensor, err);
    if (status != VARIANT_OK)
        return vt_fail_within(err, status, "tensor '%s'", vt_printable(printable, name));
    return vt_tensor_file_add(reader->file, &tensor, err);
}

/* A tensor of a class this reader does not know: a subclass of several storages, a sparse one. It is named
 * after its class, or after the function that rebuilds it. */
static variant_status add_object(vt_torch_reader *reader, const vt_py *object, const char *group,
                                 const char *name, variant_error *err) {
    const vt_py *arguments = object->arguments, *callable = object->callable;
    bool typed = is_call_of(object, "torch._tensor._rebuild_from_type_v2") &&
                 arguments->count > 1 && arguments->items[1]->kind == VT_PY_GLOBAL;
    const char *kind = typed                            ? arguments->items[1]->text
                       : callable->kind == VT_PY_GLOBAL ? callable->text
                                                        : "an object";
    vt_tensor tensor = {.group = group};
    tensor.name = vt_pool_text(&reader->file->pool, name, strlen(name));
    if (!tensor.name) return vt_pool_fail(&reader->file->pool, err);
    VT_TRY(set_other(reader, &tensor, kind, err));
    return vt_tensor_file_add(reader->file, &tensor, err);
}

/* Whether a storage or tensor is among the arguments of a call, looking a few levels down. */
static bool holds_storage(vt_torch_reader *reader, const vt_py *value, int depth) {
    if (depth > 3 || reader->work == 0) return false;
    reader->work--;
    switch (value->kind) {
    case VT_PY_PERSISTENT:
        return true;
    case VT_PY_CALL:
        return is_tensor(value) || holds_storage(reader, value->arguments, depth + 1);
    case VT_PY_TUPLE:
    case VT_PY_LIST:
    case VT_PY_DICT:
        for (size_t i = 0; i < value->count; i++)
            if (holds_storage(reader, value->items[i], depth + 1)) return true;
        return false;
    default:
        return false;
    }
}

/* ---- metadata ---- */

/* JSON of a scalar, a string or a list of such; *out is NULL for anything else. */
static variant_status render(vt_torch_reader *reader, const vt_py *value, int depth, cJSON **out,
                             variant_error *err) {
    *out = NULL;
    VT_TRY(spend(reader, depth, err));
    value = unwrap(value);
    char digits[24];
    bool made = true;
    switch (value->kind) {
    case VT_PY_NONE:
        made = (*out = cJSON_CreateNull()) != NULL;
        break;
    case VT_PY_BOOL:
        made = (*out = cJSON_CreateBool((cJSON_bool)value->integer)) != NULL;
        break;
    case VT_PY_INT: /* raw: a JSON number of the library is a double */
        snprintf(digits, sizeof digits, "%lld", (long long)value->integer);
        made = (*out = cJSON_CreateRaw(digits)) != NULL;
        break;
    case VT_PY_FLOAT:
        made = (*out = cJSON_CreateNumber(value->real)) != NULL;
        break;
    case VT_PY_STRING:
        made = (*out = cJSON_CreateString(value->text)) != NULL;
        break;
    case VT_PY_TUPLE:
    case VT_PY_LIST:
        made = (*out = cJSON_CreateArray()) != NULL;
        break;
    default:
        return VARIANT_OK;
    }
    if (!made) return vt_fail(err, VARIANT_E_MEMORY, "no memory for metadata");
    if (value->kind != VT_PY_TUPLE && value->kind != VT_PY_LIST) return VARIANT_OK;
    for (size_t i = 0; i < value->count; i++) {
        cJSON *item;
        variant_status status = render(reader, value->items[i], depth + 1, &item, err);
        if (item) {
            vt_json_append(*out, item);
            continue;
        }
        cJSON_Delete(*out); /* one element that is no plain value: nor is the list */
        *out = NULL;
        return status;
    }
    return VARIANT_OK;
}

/* Sets *plain when value is one that render knows, stored or (too long) left out. */
static variant_status add_metadata(vt_torch_reader *reader, const vt_py *value, const char *key,
                                   int depth, bool *plain, variant_error *err) {
    variant_status status = VARIANT_OK;
    cJSON *json = NULL;
    char *text = NULL;
    *plain = true;
    if (value->kind == VT_PY_STRING)
        return value->length > TEXT_LIMIT
                   ? VARIANT_OK
                   : vt_tensor_file_add_meta(reader->file, key, value->text, err);
    VT_TRY(render(reader, value, depth, &json, err));
    *plain = json != NULL;
    if (!json) return VARIANT_OK;
    text = vt_json_text(json);
    if (!text)
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for metadata");
    else if (strlen(text) <= TEXT_LIMIT)
        status = vt_tensor_file_add_meta(reader->file, key, text, err);
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

/* ---- the walk ---- */

/* A dictionary's key as text: strings and whole numbers; *out NULL for others, whose entries are left out. A string with a NUL in it would be
 * taken for a shorter one. */
static variant_status key_text(const char **out, const vt_py *key, char digits[24],
                               variant_error *err) {
    *out = NULL;
    if (key->kind == VT_PY_STRING && memchr(key->text, '\0', key->length))
        return vt_fail(err, VARIANT_E_FORMAT, "a key with a NUL in it");
    if (key->kind == VT_PY_STRING && key->length <= KEY_LIMIT) *out = key->text;
    if (key->kind != VT_PY_INT) return VARIANT_OK;
    snprintf(digits, 24, "%lld", (long long)key->integer);
    *out = digits;
    return VARIANT_OK;
}

/* group/name, or whichever is not empty, in the file's pool. */
static variant_status join(vt_torch_reader *reader, const char *group, const char *name,
                           const char **out, variant_error *err) {
    char path[PATH_LIMIT];
    int length = snprintf(path, sizeof path, "%s%s%s", group, *group && *name ? "/" : "", name);
    if (length < 0 || (size_t)length >= sizeof path)
        return vt_fail(err, VARIANT_E_FORMAT, "a path of keys longer than %d bytes",
                       (int)PATH_LIMIT);
    *out = vt_pool_text(&reader->file->pool, path, (size_t)length);
    return *out ? VARIANT_OK : vt_pool_fail(&reader->file->pool, err);
}

static variant_status visit(vt_torch_reader *reader, const vt_py *value, const char *group,
                            const char *name, int depth, variant_error *err);

static variant_status visit_items(vt_torch_reader *reader, const vt_py *container,
                                  const char *group, const char *name, int depth,
                                  variant_error *err) {
    const char *path = "";
    char digits[24];
    VT_TRY(join(reader, group, name, &path, err));
    if (container->kind == VT_PY_DICT) {
        for (size_t i = 0; i + 1 < container->count; i += 2) {
            const char *key;
            VT_TRY(key_text(&key, container->items[i], digits, err));
            if (key) VT_TRY(visit(reader, container->items[i + 1], path, key, depth + 1, err));
        }
        return VARIANT_OK;
    }
    for (size_t i = 0; i < container->count; i++) {
        snprintf(digits, sizeof digits, "%zu", i);
        VT_TRY(visit(reader, container->items[i], path, digits, depth + 1, err));
    }
    return VARIANT_OK;
}

/* An object of a class this reader does not know. */
static variant_status visit_object(vt_torch_reader *reader, const vt_py *object, const char *group,
                                   const char *name, int depth, variant_error *err) {
    if (holds_storage(reader, object->arguments, 0) ||
        is_call_of(object, "torch._tensor._rebuild_from_type_v2"))
        return add_object(reader, object, group, name, err);
    if (object->state && object->state->kind == VT_PY_DICT)
        return visit_items(reader, object->state, group, name, depth, err);
    return VARIANT_OK;
}

static variant_status visit(vt_torch_reader *reader, const vt_py *value, const char *group,
                            const char *name, int depth, variant_error *err) {
    VT_TRY(spend(reader, depth, err));
    vt_py made;
    value = unwrap(value);
    if (is_plain_subclass(value, &made)) value = &made;
    if (is_tensor(value)) return add_tensor(reader, value, group, name, err);
    if (value->kind == VT_PY_DICT) return visit_items(reader, value, group, name, depth, err);
    if (value->kind == VT_PY_CALL) return visit_object(reader, value, group, name, depth, err);

    const char *path = "";
    bool plain = false;
    VT_TRY(join(reader, group, name, &path, err));
    VT_TRY(add_metadata(reader, value, path, depth, &plain, err));
    if (!plain && (value->kind == VT_PY_LIST || value->kind == VT_PY_TUPLE))
        return visit_items(reader, value, group, name, depth, err);
    return VARIANT_OK;
}

variant_status vt_torch_tree_read(vt_torch_reader *reader, const vt_py *root, variant_error *err) {
    bool single = is_tensor(unwrap(root));
    VT_TRY(visit(reader, root, "", single ? "tensor" : "", 0, err));
    if (reader->file->count == 0)
        return vt_fail(err, VARIANT_E_FORMAT, "PyTorch file that holds no tensors");
    return VARIANT_OK;
}

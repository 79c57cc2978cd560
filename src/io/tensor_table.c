/* tensor_table.c - tensors that a program holds in its memory, as a vt_tensor_file (tensors.h). Called for engines that are opened
 * without a file. */
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "io/tensor_file.h"

static variant_status read_type(vt_tensor *out, const variant_tensor *given, const char *name,
                                variant_error *err) {
    out->type = VT_OTHER;
    for (int t = 0; given->dtype && t < VT_OTHER; ++t)
        if (strcasecmp(given->dtype, vt_dtype_name((vt_dtype)t)) == 0) out->type = (vt_dtype)t;
    if (out->type != VT_OTHER) return VARIANT_OK;
    char spelled[VT_PRINTABLE];
    return vt_fail(err, VARIANT_E_ARGUMENT, "tensor '%s': dtype '%s': expected f32, f16 or bf16",
                   name, vt_printable(spelled, given->dtype ? given->dtype : ""));
}

static variant_status read_shape(vt_tensor *out, const variant_tensor *given, const char *name,
                                 variant_error *err) {
    if (given->rank < 0 || given->rank > VT_MAX_RANK || (given->rank > 0 && !given->shape))
        return vt_fail(err, VARIANT_E_ARGUMENT, "tensor '%s': %d dimensions%s, expected 0 to %d",
                       name, given->rank, given->shape ? "" : " without a shape", VT_MAX_RANK);
    out->rank = given->rank;
    for (int d = 0; d < out->rank; ++d) out->shape[d] = given->shape[d];
    VT_TRY(vt_tensor_measure(out, err));
    if (out->bytes > 0 && !given->data)
        return vt_fail(err, VARIANT_E_ARGUMENT, "tensor '%s': no data", name);
    return VARIANT_OK;
}

static variant_status add(vt_tensor_file *file, const variant_tensor *given, size_t index,
                          variant_error *err) {
    char name[VT_PRINTABLE];
    vt_tensor tensor = {.name = given->name, .group = ""};
    if (!given->name)
        return vt_fail(err, VARIANT_E_ARGUMENT, "tensor %zu of the table has no name", index);
    vt_printable(name, given->name);
    VT_TRY(read_type(&tensor, given, name, err));
    VT_TRY(read_shape(&tensor, given, name, err));
    tensor.name = vt_pool_text(&file->pool, given->name, strlen(given->name));
    if (!tensor.name) return vt_pool_fail(&file->pool, err);
    if (tensor.bytes > 0) {
        tensor.data =
            vt_tensor_file_align(file, given->data, tensor.bytes, vt_dtype_size(tensor.type));
        if (!tensor.data) return vt_pool_fail(&file->pool, err);
    }
    return vt_tensor_file_add(file, &tensor, err);
}

static variant_status add_all(vt_tensor_file *file, const variant_tensor *tensors, size_t count,
                              variant_error *err) {
    if (!tensors || count > INT_MAX)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a table of %zu tensors%s", count,
                       tensors ? "" : " that is NULL");
    for (size_t i = 0; i < count; ++i) VT_TRY(add(file, &tensors[i], i, err));
    return vt_tensor_file_index(file, err);
}

variant_status vt_tensor_file_of_table(vt_tensor_file **out, const char *path,
                                       const variant_tensor *tensors, size_t count,
                                       variant_error *err) {
    *out = NULL;
    vt_tensor_file *file = calloc(1, sizeof *file);
    if (!file) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to open it", path);
    file->path = strdup(path);
    file->format = "tensors";
    vt_pool_init(&file->pool, SIZE_MAX); /* names, and what does not lie as its type should */
    variant_status status = file->path ? add_all(file, tensors, count, err)
                                       : vt_fail(err, VARIANT_E_MEMORY, "no memory to open it");
    if (status == VARIANT_OK)
        *out = file;
    else {
        status = vt_fail_within(err, status, "%s", path);
        vt_tensor_file_close(&file);
    }
    return status;
}

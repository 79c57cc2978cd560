/* tensor_out.c - tensors on their way to a file: what is checked of them, and where their bytes come from. Called by the writers
 * (safetensors.c, shards_write.c, torch_write.c). */
#include <stdlib.h>
#include <string.h>

#include "io/tensor_file.h"

static int compare_text(const void *a, const void *b) {
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* A file with a name twice could not be read back. */
static variant_status check_unique(const vt_tensor_out *tensors, int count, variant_error *err) {
    variant_status status = VARIANT_OK;
    const char **names = calloc((size_t)count + 1, sizeof *names);
    if (!names) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the header");
    for (int i = 0; i < count; i++) names[i] = tensors[i].name;
    qsort(names, (size_t)count, sizeof *names, compare_text);
    for (int i = 1; i < count && status == VARIANT_OK; i++)
        if (strcmp(names[i - 1], names[i]) == 0)
            status =
                vt_fail(err, VARIANT_E_ARGUMENT, "tensor '%s' is to be written twice", names[i]);
    free(names);
    return status;
}

variant_status vt_tensors_measure(vt_tensor *measured, const vt_tensor_out *tensors, int count,
                                  variant_error *err) {
    for (int i = 0; i < count; i++) {
        const vt_tensor_out *in = &tensors[i];
        if (!in->name || strcmp(in->name, "__metadata__") == 0 || in->rank < 0 ||
            in->rank > VT_MAX_RANK || (unsigned)in->type >= VT_OTHER)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "tensor %d to write has no valid name, type or rank", i);
        measured[i] = (vt_tensor){.name = in->name, .type = in->type, .rank = in->rank};
        memcpy(measured[i].shape, in->shape, sizeof in->shape);
        VT_TRY(vt_tensor_measure(&measured[i], err));
    }
    return check_unique(tensors, count, err);
}

variant_status vt_tensors_each(const vt_tensor *measured, const vt_tensor_out *tensors, int count,
                               variant_status (*take)(void *user, int index, const void *data,
                                                      size_t bytes, variant_error *err),
                               void *user, const vt_work_watch *watch, variant_error *err) {
    variant_status status = VARIANT_OK;
    size_t most = 0;
    for (int i = 0; i < count; i++)
        if (!tensors[i].data && measured[i].bytes > most) most = measured[i].bytes;
    void *scratch = most ? malloc(most) : NULL;
    if (most && !scratch) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a tensor");
    for (int i = 0; i < count; i++) {
        VT_CHECK(vt_work_tell(watch, "writing", i, count, err));
        if (measured[i].bytes == 0) continue;
        if (!tensors[i].data) VT_CHECK(tensors[i].read(&tensors[i], scratch, err));
        VT_CHECK(
            take(user, i, tensors[i].data ? tensors[i].data : scratch, measured[i].bytes, err));
    }
    status = vt_work_tell(watch, "writing", count, count, err);
cleanup:
    free(scratch);
    return status;
}

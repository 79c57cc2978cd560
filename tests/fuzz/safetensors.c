/* safetensors.c - the bytes of a safetensors file, by vt_tensor_file_of_memory. What is taken and written again is the same tensors. */
#include "tests/fuzz/tensors.h"

enum { MOST = 64 };

static void write_again(const vt_tensor_file *file) {
    vt_tensor_out tensors[MOST];
    const char *keys[MOST], *values[MOST];
    char path[256];
    variant_error err = {0};
    vt_tensor_file *again = NULL;
    const int count = vt_tensor_file_count(file), metas = vt_tensor_file_meta_count(file);
    if (count > MOST || metas > MOST) return;
    for (int i = 0; i < count; ++i) {
        const vt_tensor *t = vt_tensor_file_at(file, i);
        if (t->type == VT_OTHER) return;
        tensors[i] = (vt_tensor_out){t->name, t->type, t->rank, {0}, t->data, NULL, NULL};
        memcpy(tensors[i].shape, t->shape, sizeof t->shape);
    }
    for (int i = 0; i < metas; ++i) vt_tensor_file_meta_at(file, i, &keys[i], &values[i]);
    snprintf(path, sizeof path, "%s/again.safetensors", fuzz_folder());
    const variant_status status =
        vt_safetensors_write(path, tensors, count, keys, values, metas, &err);
    if (status == VARIANT_E_ARGUMENT) { /* such a name is read and not written */
        fuzz_told(status, &err);
        return;
    }
    FUZZ_EXPECT(status == VARIANT_OK);
    FUZZ_OK(vt_tensor_file_open(&again, path, &err));
    FUZZ_EXPECT(vt_tensor_file_count(again) == count && vt_tensor_file_meta_count(again) == metas);
    for (int i = 0; i < count; ++i) {
        const vt_tensor *a = vt_tensor_file_at(file, i), *b = vt_tensor_file_at(again, i);
        FUZZ_EXPECT(strcmp(a->name, b->name) == 0 && a->type == b->type && a->rank == b->rank);
        FUZZ_EXPECT(memcmp(a->shape, b->shape, sizeof a->shape) == 0 && a->bytes == b->bytes);
        FUZZ_EXPECT(a->bytes == 0 || memcmp(a->data, b->data, a->bytes) == 0);
    }
    vt_tensor_file_close(&again);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_tensor_file *file = open_tensors(data, size, ((size_t)1 << 20) + 64 * size);
    if (!file) return 0;
    write_again(file);
    unwrap_tensors(file);
    vt_tensor_file_close(&file);
    return 0;
}

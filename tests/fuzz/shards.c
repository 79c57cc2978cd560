/* shards.c - the JSON index of a model in shards, in a folder with two that are whole, a.safetensors (x, y) and b.safetensors (z), by
 * vt_tensor_file_open. */
#include "tests/fuzz/tensors.h"

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    static const float numbers[4] = {1, 2, 3, 4};
    const vt_tensor_out tensors[] = {{"x", VT_F32, 1, {4}, numbers, NULL, NULL},
                                     {"y", VT_F32, 2, {2, 2}, numbers, NULL, NULL},
                                     {"z", VT_F32, 1, {4}, numbers, NULL, NULL}};
    const char *const keys[] = {"variant.config"}, *const values[] = {"{}"};
    char path[256];
    snprintf(path, sizeof path, "%s/a.safetensors", fuzz_folder());
    FUZZ_EXPECT(vt_safetensors_write(path, tensors, 2, keys, values, 1, NULL) == VARIANT_OK);
    snprintf(path, sizeof path, "%s/b.safetensors", fuzz_folder());
    FUZZ_EXPECT(vt_safetensors_write(path, tensors + 2, 1, keys, values, 1, NULL) == VARIANT_OK);
    return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_tensor_file *file = NULL;
    variant_error err = {0};
    char path[256];
    fuzz_write(path, "model.safetensors.index.json", data, size);
    fuzz_begin();
    const variant_status status = vt_tensor_file_open(&file, path, &err);
    fuzz_told(status, &err);
    fuzz_end(((size_t)64 << 20) + 64 * size);
    if (status == VARIANT_OK) {
        look_at_tensors(file);
    } else {
        FUZZ_EXPECT(!file && strncmp(err.message, path, strlen(path)) == 0);
    }
    vt_tensor_file_close(&file);
    return 0;
}

/* torch.c - the bytes of a PyTorch checkpoint, zip or legacy, by vt_tensor_file_of_memory. */
#include "tests/fuzz/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_tensor_file *file = NULL;
    variant_error err = {0};
    fuzz_begin();
    const variant_status status = vt_tensor_file_of_memory(&file, "input", data, size, &err);
    fuzz_told(status, &err);
    fuzz_end(((size_t)64 << 20) + 1400 * size);
    if (status != VARIANT_OK) {
        FUZZ_EXPECT(!file && strncmp(err.message, "input: ", 7) == 0);
        return 0;
    }
    look_at_tensors(file);
    unwrap_tensors(file);
    vt_tensor_file_close(&file);
    return 0;
}

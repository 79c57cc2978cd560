/* torch.c - the bytes of a PyTorch checkpoint, zip or legacy, by vt_tensor_file_of_memory. */
#include "tests/fuzz/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    vt_tensor_file *file = open_tensors(data, size, ((size_t)64 << 20) + 1400 * size);
    if (!file) return 0;
    unwrap_tensors(file);
    vt_tensor_file_close(&file);
    return 0;
}

/* pickle.c - the main pickle of a PyTorch checkpoint, inside an archive whose directory and checksums are right: two storages of 64 bytes lie
 * beside it, "0" and "1". By vt_tensor_file_of_memory. */
#include "tests/fuzz/tensors.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static const uint8_t numbers[64] = {0, 0, 128, 63, 0, 0, 128, 191, 1, 2, 3, 4, 5, 6, 7, 8};
    const fuzz_entry entries[] = {{"m/data.pkl", data, size},
                                  {"m/byteorder", (const uint8_t *)"little", 6},
                                  {"m/data/0", numbers, sizeof numbers},
                                  {"m/data/1", numbers, sizeof numbers}};
    uint8_t *bytes;
    vt_tensor_file *file = NULL;
    variant_error err = {0};
    const size_t all = fuzz_zip(&bytes, entries, 4);
    fuzz_begin();
    const variant_status status = vt_tensor_file_of_memory(&file, "input", bytes, all, &err);
    fuzz_told(status, &err);
    fuzz_end(
        ((size_t)65 << 20) +
        1400 *
            size); /* docs/RELIABILITY.md: 1 MB of values, 64 MB of names and copies, and shares of the file */
    if (status == VARIANT_OK) {
        look_at_tensors(file);
        unwrap_tensors(file);
    }
    vt_tensor_file_close(&file);
    free(bytes);
    return 0;
}

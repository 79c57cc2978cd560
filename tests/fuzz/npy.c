/* npy.c - one array of a NumPy archive, arr_0, inside an archive whose directory and checksums are right; otherwise as npz.c. */
#include "tests/fuzz/npz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const fuzz_entry entry = {"arr_0.npy", data, size};
    uint8_t *bytes;
    const size_t all = fuzz_zip(&bytes, &entry, 1);
    read_archive(bytes, all);
    free(bytes);
    return 0;
}

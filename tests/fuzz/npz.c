/* npz.c - the bytes of a NumPy archive, by vt_npz_open, its arrays by vt_npy_read and by rows, and as pictures by vt_picture_array_open. */
#include "tests/fuzz/npz.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    read_archive(data, size);
    return 0;
}

/* idx.c - a pair of IDX files, gzipped or plain, by vt_idx_open: two bytes say how long the labels are, which come first, then the pictures. */
#include "io/idx.h"
#include "tests/fuzz/fuzz.h"

static volatile uint8_t touched; /* so that each pixel is read */

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char path[256];
    variant_error err = {0};
    vt_idx idx;
    bool found = false;
    if (size < 2) return 0;
    size_t labels = (size_t)data[0] << 8 | data[1];
    if (labels > size - 2) labels = size - 2;
    fuzz_write(path, "train-labels-idx1-ubyte", data + 2, labels);
    fuzz_write(path, "train-images-idx3-ubyte", data + 2 + labels, size - 2 - labels);
    fuzz_begin();
    const variant_status status = vt_idx_open(&idx, fuzz_folder(), false, &found, &err);
    fuzz_told(status, &err);
    FUZZ_EXPECT(found);
    if (status == VARIANT_OK) {
        const size_t pixels = (size_t)idx.count * (size_t)idx.width * (size_t)idx.height;
        FUZZ_EXPECT(idx.count >= 1 && idx.classes >= 1 && idx.classes <= 256);
        for (int i = 0; i < idx.count; ++i) FUZZ_EXPECT(idx.labels[i] < idx.classes);
        for (size_t i = 0; i < pixels; ++i) touched ^= idx.pixels[i];
        vt_idx_free(&idx);
    } else {
        FUZZ_EXPECT(strncmp(err.message, fuzz_folder(), strlen(fuzz_folder())) == 0);
    }
    fuzz_end(((size_t)2 << 20) + 1100 * size);
    return 0;
}

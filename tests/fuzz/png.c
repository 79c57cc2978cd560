/* png.c - the bytes of a PNG, by vt_picture_decode and its like. Mutations mend the chunks' checksums, which libpng looks at before anything. */
#include <zlib.h>

#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    look_at_picture(data, size, (size_t)24 << 20, 40);
    look_for_settings(data, size, ((size_t)24 << 20) + 4 * size);
    return 0;
}

#ifdef VARIANT_LIBFUZZER
size_t LLVMFuzzerMutate(uint8_t *data, size_t size, size_t most);
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed);

static uint32_t read4(const uint8_t *at) {
    return (uint32_t)at[0] << 24 | (uint32_t)at[1] << 16 | (uint32_t)at[2] << 8 | at[3];
}

size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t most, unsigned seed) {
    size = LLVMFuzzerMutate(data, size, most);
    if (seed % 8 == 0) return size; /* a few keep what is wrong */
    for (size_t at = 8; at + 12 <= size;) {
        const size_t length = read4(data + at);
        if (length > size - at - 12) break;
        const uint32_t sum = (uint32_t)crc32(0, data + at + 4, (uInt)length + 4);
        for (int i = 0; i < 4; ++i)
            data[at + 8 + length + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
        at += 12 + length;
    }
    return size;
}
#endif

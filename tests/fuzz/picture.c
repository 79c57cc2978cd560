/* picture.c - the bytes of a WebP, GIF, BMP or TIFF, by vt_picture_decode and its like. */
#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 4 || memcmp(data, "\xFF\xD8\xFF", 3) == 0 || memcmp(data, "\x89PNG", 4) == 0)
        return 0;
    look_at_picture(data, size, (size_t)16 << 20, 64);
    if (memcmp(data, "RIFF", 4) == 0) look_for_settings(data, size, ((size_t)1 << 20) + 16 * size);
    return 0;
}

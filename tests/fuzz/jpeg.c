/* jpeg.c - the bytes of a JPEG, by vt_picture_decode and its like; the settings in its EXIF block. */
#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size < 3 || memcmp(data, "\xFF\xD8\xFF", 3) != 0) return 0;
    look_at_picture(data, size, (size_t)4 << 20, 40);
    look_for_settings(data, size, ((size_t)1 << 20) + 16 * size);
    return 0;
}

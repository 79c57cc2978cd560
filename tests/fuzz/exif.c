/* exif.c - the bytes of an EXIF block, by vt_exif_orientation and vt_exif_comment. */
#include "tests/fuzz/picture.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    if (size > 0xFFFF) return 0; /* no segment is longer */
    fuzz_begin();
    const int orientation = vt_exif_orientation(data, size);
    char *comment = vt_exif_comment(data, size);
    FUZZ_EXPECT(orientation >= 0 && orientation <= 8);
    if (comment) FUZZ_EXPECT(strlen(comment) <= size);
    free(comment);
    fuzz_end(((size_t)1 << 20) + 16 * size);
    return 0;
}

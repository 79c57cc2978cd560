/* checksum.c - see checksum.h. */
#include "io/checksum.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define XXH_INLINE_ALL
#include <xxhash.h>

vt_sum vt_sum_of_piece(const void *piece, size_t bytes, size_t number) {
    const XXH128_hash_t hash = XXH3_128bits_withSeed(piece, bytes, number);
    return (vt_sum){.high = hash.high64, .low = hash.low64};
}

vt_sum vt_sum_of(const void *data, size_t bytes) {
    vt_sum all = {0};
    for (size_t number = 0, at = 0; at < bytes; at += VT_SUM_PIECE, ++number) {
        const size_t left = bytes - at;
        const vt_sum one = vt_sum_of_piece((const char *)data + at,
                                           left < VT_SUM_PIECE ? left : VT_SUM_PIECE, number);
        all.high ^= one.high;
        all.low ^= one.low;
    }
    return all;
}

void vt_sum_text(char out[VT_SUM_TEXT], vt_sum sum) {
    snprintf(out, VT_SUM_TEXT, "%016llx%016llx", (unsigned long long)sum.high,
             (unsigned long long)sum.low);
}

bool vt_sum_parse(vt_sum *out, const char *text) {
    char high[17] = {0};
    if (!text || strlen(text) != VT_SUM_TEXT - 1 ||
        strspn(text, "0123456789abcdef") != VT_SUM_TEXT - 1)
        return false;
    memcpy(high, text, 16);
    out->high = strtoull(high, NULL, 16);
    out->low = strtoull(text + 16, NULL, 16);
    return true;
}

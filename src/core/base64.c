/* base64.c - see base64.h. */
#include "core/base64.h"

#include <stdlib.h>
#include <string.h>

#include "variant.h"

static const char letters64[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

char *vt_base64_put(char *to, const uint8_t *bytes, size_t size) {
    for (size_t at = 0; at < size; at += 3) {
        const size_t left = size - at;
        const uint32_t word = (uint32_t)bytes[at] << 16 |
                              (left > 1 ? (uint32_t)bytes[at + 1] << 8 : 0) |
                              (left > 2 ? (uint32_t)bytes[at + 2] : 0);
        *to++ = letters64[word >> 18];
        *to++ = letters64[word >> 12 & 63];
        *to++ = left > 1 ? letters64[word >> 6 & 63] : '=';
        *to++ = left > 2 ? letters64[word & 63] : '=';
    }
    *to = '\0';
    return to;
}

char *variant_base64(const uint8_t *bytes, size_t size) {
    char *out = malloc(vt_base64_letters(size) + 1);
    if (out) vt_base64_put(out, bytes, size);
    return out;
}

bool vt_base64_read(const char *text, size_t length, uint8_t **out, size_t *size) {
    uint8_t *bytes = malloc(length / 4 * 3 + 3);
    uint32_t word = 0;
    size_t letters = 0, held = 0;
    bool ended = false, valid = bytes != NULL;
    for (size_t i = 0; valid && i < length; ++i) {
        const char c = text[i];
        if (c == '\n' || c == '\r' || c == ' ') continue;
        const char *place = c ? strchr(letters64, c) : NULL;
        if (c == '=') {
            ended = true;
            continue;
        }
        valid = place && !ended;
        if (!valid) break;
        word = word << 6 | (uint32_t)(place - letters64);
        if (++letters % 4 != 0) continue;
        bytes[held++] = (uint8_t)(word >> 16);
        bytes[held++] = (uint8_t)(word >> 8);
        bytes[held++] = (uint8_t)word;
    }
    if (letters % 4 == 1) valid = false;
    if (valid && letters % 4 >= 2) bytes[held++] = (uint8_t)(word >> (letters % 4 == 2 ? 4 : 10));
    if (valid && letters % 4 == 3) bytes[held++] = (uint8_t)(word >> 2);
    if (!valid) {
        free(bytes);
        bytes = NULL;
    }
    *out = bytes;
    *size = held;
    return valid;
}

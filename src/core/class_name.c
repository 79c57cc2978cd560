/* class_name.c - see class_name.h. */
#include "core/class_name.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Bytes of the UTF-8 character at text; 0 where none begins (RFC 3629). */
static size_t utf8_character(const unsigned char *text) {
    unsigned char a = text[0], b = a ? text[1] : 0;
    size_t length = a < 0x80                ? 1
                    : a >= 0xc2 && a < 0xe0 ? 2
                    : a >= 0xe0 && a < 0xf0 ? 3
                    : a >= 0xf0 && a < 0xf5 ? 4
                                            : 0;
    for (size_t i = 1; i < length; i++)
        if ((text[i] & 0xc0) != 0x80) return 0;
    bool longer = (a == 0xe0 && b < 0xa0) || (a == 0xf0 && b < 0x90); /* than it had to be */
    bool beyond = (a == 0xed && b >= 0xa0) || (a == 0xf4 && b >= 0x90);
    return longer || beyond ? 0 : length;
}

/* Of those that Unicode has twice (C0 and C1): terminals obey both. */
static bool is_control(const unsigned char *at) {
    return at[0] < ' ' || at[0] == 0x7f || (at[0] == 0xc2 && at[1] < 0xa0);
}

bool vt_is_utf8(const char *text) {
    const unsigned char *at = (const unsigned char *)text;
    for (size_t length = 1; *at && length; at += length) length = utf8_character(at);
    return !*at;
}

char *vt_class_name_mended(const char *name) {
    size_t used = 0;
    char *out = malloc(3 * strlen(name) + 1);
    for (const unsigned char *at = (const unsigned char *)name; out && *at;) {
        const size_t length = utf8_character(at), step = length ? length : 1;
        const bool stays = length && !is_control(at);
        for (size_t i = 0; i < step; ++i)
            used += (size_t)sprintf(out + used, stays ? "%c" : "%%%02X", at[i]);
        at += step;
    }
    if (out) out[used] = '\0';
    return out;
}

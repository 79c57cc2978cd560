/* text.c - see text.h. */
#include "serve/text.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <unistd.h>

/* ---- UTF-8 ---- */

/* Bytes of the letter at s, of `left` bytes; 0: it is none. */
static size_t letter(const unsigned char *s, size_t left) {
    const size_t length = *s < 0x80   ? 1
                          : *s < 0xC2 ? 0
                          : *s < 0xE0 ? 2
                          : *s < 0xF0 ? 3
                          : *s < 0xF5 ? 4
                                      : 0;
    if (length > left) return 0;
    for (size_t i = 1; i < length; ++i)
        if ((s[i] & 0xC0) != 0x80) return 0;
    /* overlong forms, surrogates, and beyond the last letter */
    if (length > 2 && ((*s == 0xE0 && s[1] < 0xA0) || (*s == 0xED && s[1] > 0x9F) ||
                       (*s == 0xF0 && s[1] < 0x90) || (*s == 0xF4 && s[1] > 0x8F)))
        return 0;
    return length;
}

bool sv_is_utf8(const char *text, size_t size) {
    const unsigned char *s = (const unsigned char *)text;
    for (size_t at = 0, length; at < size; at += length)
        if ((length = letter(s + at, size - at)) == 0) return false;
    return true;
}

void sv_clean_utf8(char *text) {
    for (size_t left = strlen(text); left > 0;) {
        const size_t length = letter((const unsigned char *)text, left), step = length ? length : 1;
        if (length == 0) *text = '?';
        text += step;
        left -= step;
    }
}

/* ---- secrets ---- */

void sv_random_id(char out[33]) {
    uint8_t bytes[16];
    size_t held = 0;
    while (held < sizeof bytes) {
        const ssize_t got = getrandom(bytes + held, sizeof bytes - held, 0);
        if (got > 0) held += (size_t)got;
    }
    for (size_t i = 0; i < sizeof bytes; ++i) snprintf(out + 2 * i, 3, "%02x", bytes[i]);
}

bool sv_same_secret(const char *given, const char *key) {
    const size_t length = strlen(key), got = strlen(given);
    unsigned difference = got != length;
    for (size_t i = 0; i < got; ++i)
        difference |= (unsigned char)given[i] ^ (unsigned char)key[length ? i % length : 0];
    return difference == 0;
}

char *sv_format(const char *format, ...) {
    char *out = NULL;
    va_list arguments;
    va_start(arguments, format);
    const int length = vasprintf(&out, format, arguments);
    va_end(arguments);
    return length < 0 ? NULL : out;
}

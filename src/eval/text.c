/* text.c - see text.h. */
#include "eval/text.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"

/* Room for `more` bytes and a NUL. */
static bool make_room(vt_text *text, size_t more) {
    if (text->failed) return false;
    if (text->room - text->size > more) return true;
    size_t room = 2 * (text->size + more) + 256;
    char *data = realloc(text->data, room);
    if (!data) {
        text->failed = true;
        return false;
    }
    text->data = data;
    text->room = room;
    return true;
}

void vt_text_add(vt_text *text, const char *format, ...) {
    va_list args, again;
    va_start(args, format);
    va_copy(again, args);
    int length = vsnprintf(NULL, 0, format, args);
    if (length < 0)
        text->failed = true;
    else if (make_room(text, (size_t)length)) {
        vsnprintf(text->data + text->size, (size_t)length + 1, format, again);
        text->size += (size_t)length;
    }
    va_end(again);
    va_end(args);
}

void vt_text_add_escaped(vt_text *text, const char *words) {
    for (const char *p = words; *p; ++p) {
        switch (*p) {
        case '&':
            vt_text_add(text, "&amp;");
            break;
        case '<':
            vt_text_add(text, "&lt;");
            break;
        case '>':
            vt_text_add(text, "&gt;");
            break;
        case '"':
            vt_text_add(text, "&quot;");
            break;
        case '\'':
            vt_text_add(text, "&#39;");
            break;
        default:
            if ((unsigned char)*p >= 32 || *p == '\n' || *p == '\t') vt_text_add(text, "%c", *p);
        }
    }
}

void vt_text_add_base64(vt_text *text, const void *bytes, size_t size) {
    if (!make_room(text, vt_base64_letters(size))) return;
    vt_base64_put(text->data + text->size, bytes, size);
    text->size += vt_base64_letters(size);
}

void vt_text_free(vt_text *text) {
    free(text->data);
    *text = (vt_text){0};
}

void vt_text_number(char *out, size_t size, double value) {
    if (!isfinite(value)) {
        snprintf(out, size, "-");
        return;
    }
    /* rounded first, so that 9.996 counts as two digits before the point */
    int before = value == 0.0 ? 1 : (int)floor(log10(fabs(value) * (1.0 + 0.0005))) + 1;
    int decimals = 3 - before;
    if (decimals < 0) decimals = 0;
    if (decimals > 6) decimals = 6;
    snprintf(out, size, "%.*f", value == 0.0 ? 0 : decimals, value);
}

void variant_text_with_spread(char *out, size_t size, double value, double spread,
                              const char *sign) {
    if (!isfinite(spread)) {
        snprintf(out, size, "%.4f", value);
        return;
    }
    int decimals = spread > 0.0 ? 1 - (int)floor(log10(spread)) : 4;
    if (decimals < 0) decimals = 0;
    if (decimals > 4) decimals = 4;
    snprintf(out, size, "%.*f %s %.*f", decimals, value, sign, decimals, spread);
}

void variant_text_bytes(char *out, size_t size, double bytes) {
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int unit = 0;
    char number[32];
    while (bytes >= 999.5 && unit < 4) {
        bytes /= 1000.0;
        ++unit;
    }
    if (unit == 0)
        snprintf(number, sizeof number, "%.0f", bytes);
    else
        vt_text_number(number, sizeof number, bytes);
    snprintf(out, size, "%s %s", number, units[unit]);
}

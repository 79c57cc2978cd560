/* status.c - the status table as text, and the one place that formats error messages. */
#include "core/status.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define TEXT_OF(x) #x
#define TEXT(x) TEXT_OF(x)

const char *variant_version(void) {
    return TEXT(VARIANT_VERSION_MAJOR) "." TEXT(VARIANT_VERSION_MINOR) "." TEXT(
        VARIANT_VERSION_PATCH);
}

const char *variant_status_name(variant_status status) {
    switch (status) {
#define X(code, number, sentence)                                                                  \
    case VARIANT_##code:                                                                           \
        return #code;
        VARIANT_STATUS_TABLE(X)
#undef X
    }
    return "E_UNKNOWN";
}

const char *variant_status_sentence(variant_status status) {
    switch (status) {
#define X(code, number, sentence)                                                                  \
    case VARIANT_##code:                                                                           \
        return sentence;
        VARIANT_STATUS_TABLE(X)
#undef X
    }
    return "unknown status";
}

#undef vt_fail
#undef vt_fail_within

/* A line is one line, whatever a path or a file's text put into it. */
static void keep_one_line(char *message) {
    for (; *message; ++message)
        if ((unsigned char)*message < ' ' || *message == 0x7F) *message = '?';
}

variant_status vt_fail(variant_error *err, variant_status code, const char *format, ...) {
    if (!err) return code;
    err->status = code;
    va_list args;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    keep_one_line(err->message);
    return code;
}

variant_status vt_fail_within(variant_error *err, variant_status code, const char *format, ...) {
    if (!err) return code;
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    inner[sizeof inner - 1] = '\0';
    va_list args;
    va_start(args, format);
    int prefix = vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    size_t used = prefix < 0 ? 0 : (size_t)prefix;
    size_t room = used + 3 < sizeof err->message ? sizeof err->message - used - 3 : 0;
    if (room) snprintf(err->message + used, room + 3, ": %.*s", (int)room, inner);
    keep_one_line(err->message);
    err->status = code;
    return code;
}

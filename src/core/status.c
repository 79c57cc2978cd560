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

/* Bytes that a character of UTF-8 has by its first one. */
static size_t character_bytes(unsigned char first) {
    return first >= 0xF0 ? 4 : first >= 0xE0 ? 3 : first >= 0xC0 ? 2 : 1;
}

/* What filled its room may have been cut within a character: none of it stays. */
static void end_whole(char *message, size_t size) {
    const size_t length = strlen(message);
    size_t first = length;
    if (length + 1 < size) return;
    while (first > 1 && length - first < 3 && (message[first - 1] & 0xC0) == 0x80) --first;
    --first;
    if (character_bytes((unsigned char)message[first]) > length - first) message[first] = '\0';
}

/* A line is one line, whatever a path or a file's text put into it. */
static void keep_one_line(variant_error *err) {
    end_whole(err->message, sizeof err->message);
    for (char *at = err->message; *at; ++at)
        if ((unsigned char)*at < ' ' || *at == 0x7F) *at = '?';
}

static void put_line(variant_error *err, variant_status code, const char *format, va_list args) {
    if (!err) return;
    err->status = code;
    vsnprintf(err->message, sizeof err->message, format, args);
    keep_one_line(err);
}

static void put_before(variant_error *err, variant_status code, const char *format, va_list args) {
    if (!err) return;
    char inner[sizeof err->message];
    memcpy(inner, err->message, sizeof inner);
    inner[sizeof inner - 1] = '\0';
    int prefix = vsnprintf(err->message, sizeof err->message, format, args);
    size_t used = prefix < 0 ? 0 : (size_t)prefix;
    size_t room = used + 3 < sizeof err->message ? sizeof err->message - used - 3 : 0;
    if (room) snprintf(err->message + used, room + 3, ": %.*s", (int)room, inner);
    keep_one_line(err);
    err->status = code;
}

/* The library's own, and the same for whoever calls it. */
#define FAIL(name, put)                                                                            \
    variant_status name(variant_error *err, variant_status code, const char *format, ...) {        \
        va_list args;                                                                              \
        va_start(args, format);                                                                    \
        put(err, code, format, args);                                                              \
        va_end(args);                                                                              \
        return code;                                                                               \
    }
FAIL(vt_fail, put_line)
FAIL(vt_fail_within, put_before)
FAIL(variant_fail, put_line)
FAIL(variant_fail_within, put_before)

variant_status vt_need(const void *given, const char *line, variant_error *err) {
    if (err) *err = (variant_error){0};
    return given ? VARIANT_OK : vt_fail(err, VARIANT_E_ARGUMENT, "%s", line);
}

variant_status vt_need_list(const void *list, const char *name, long long count,
                            const char *count_name, variant_error *err) {
    if (list || count == 0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "%s %lld, but %s is NULL: expected a list, or 0",
                   count_name, count, name);
}

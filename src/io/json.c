/* json.c - see json.h. */
#include "io/json.h"

#include <string.h>

bool vt_json_exceeds(const char *text, size_t size, size_t most) {
    size_t count = 1;
    bool quoted = false;
    for (size_t i = 0; i < size && count <= most; ++i) {
        const char c = text[i];
        if (c == '"') quoted = !quoted;
        if (quoted && c == '\\') ++i; /* what is escaped, be it a quote */
        count += !quoted && (c == ',' || c == '[' || c == '{');
    }
    return count > most;
}

bool vt_json_has_nul(const char *text, size_t size) {
    if (memchr(text, '\0', size)) return true;
    for (size_t i = 0; i + 6 <= size; ++i) {
        if (text[i] != '\\') continue;
        if (memcmp(text + i, "\\u0000", 6) == 0) return true;
        ++i; /* what is escaped, be it a backslash */
    }
    return false;
}

cJSON *vt_json_read(const char *text, size_t size, const char **end) {
    if (vt_json_exceeds(text, size, VT_JSON_VALUES)) return NULL;
    return cJSON_ParseWithLengthOpts(text, size, end, 0);
}

bool vt_json_lacked_memory(const cJSON *json, const char *text) {
    return !json && text && !vt_json_exceeds(text, strlen(text), VT_JSON_VALUES) &&
           vt_json_is(text, strlen(text));
}

cJSON *vt_json_of(const char *text) {
    return text ? vt_json_read(text, strlen(text) + 1, NULL) : NULL;
}

/* fields.c - see fields.h. */
#include "serve/fields.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "io/json.h"
#include "serve/text.h"

enum { MOST_VALUES = 4096 };

bool sv_json_read(cJSON **out, const char *body, size_t size, sv_fault *fault) {
    const char *end = body;
    *out = NULL;
    if (size == 0)
        return sv_refuse(fault, 400, "invalid_json", "", "the body is empty: expected an object");
    if (!sv_is_utf8(body, size))
        return sv_refuse(fault, 400, "invalid_json", "", "the body is not UTF-8");
    if (memchr(body, '\0', size))
        return sv_refuse(fault, 400, "invalid_json", "", "the body holds a NUL byte");
    if (vt_json_has_nul(body, size))
        return sv_refuse(fault, 400, "invalid_json", "", "the body holds a NUL character");
    if (vt_json_exceeds(body, size, MOST_VALUES))
        return sv_refuse(fault, 400, "invalid_json", "", "the body has more than %d values",
                         MOST_VALUES);
    cJSON *json = vt_json_read(body, size, &end);
    const size_t at = (size_t)(end - body);
    size_t rest = at;
    while (json && rest < size && strchr(" \t\r\n", body[rest])) ++rest;
    if (!json && vt_json_is(body, size))
        return sv_refuse(fault, 503, "out_of_memory", "", "no memory for what the body says");
    if (!json || rest < size) {
        cJSON_Delete(json);
        return sv_refuse(fault, 400, "invalid_json", "", "the body is no JSON from byte %zu on",
                         at);
    }
    if (!cJSON_IsObject(json)) {
        cJSON_Delete(json);
        return sv_refuse(fault, 400, "invalid_json", "", "the body is JSON but no object");
    }
    *out = json;
    return true;
}

const cJSON *sv_field(const cJSON *json, const char *name) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsNull(item) ? NULL : item;
}

bool sv_field_real(const cJSON *json, const char *name, double low, double high, double *out,
                   sv_fault *fault) {
    const cJSON *item = sv_field(json, name);
    if (!item) return true;
    const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(value >= low && value <= high))
        return sv_refuse(fault, 400, "invalid_value", name, "%s: expected a number from %g to %g",
                         name, low, high);
    *out = value;
    return true;
}

bool sv_field_int(const cJSON *json, const char *name, int low, int high, int *out,
                  sv_fault *fault) {
    const cJSON *item = sv_field(json, name);
    if (!item) return true;
    const double value = cJSON_IsNumber(item) ? item->valuedouble : NAN;
    if (!(value >= low && value <= high) || value != floor(value))
        return sv_refuse(fault, 400, "invalid_value", name,
                         "%s: expected a whole number from %d to %d", name, low, high);
    *out = (int)value;
    return true;
}

bool sv_field_bool(const cJSON *json, const char *name, bool *out, sv_fault *fault) {
    const cJSON *item = sv_field(json, name);
    if (!item) return true;
    if (!cJSON_IsBool(item))
        return sv_refuse(fault, 400, "invalid_value", name, "%s: expected true or false", name);
    *out = cJSON_IsTrue(item);
    return true;
}

bool sv_field_text(const cJSON *json, const char *name, const char **out, sv_fault *fault) {
    const cJSON *item = sv_field(json, name);
    if (!item) return true;
    if (!cJSON_IsString(item))
        return sv_refuse(fault, 400, "invalid_value", name, "%s: expected a string", name);
    *out = item->valuestring;
    return true;
}

/* "a|b|c" as "a, b or c". */
static void list_words(const char *words, char *out, size_t size) {
    size_t used = 0;
    for (const char *at = words; *at && used < size;) {
        const size_t length = strcspn(at, "|");
        const char *end = at + length;
        const char *joint = !*end ? "" : strchr(end + 1, '|') ? ", " : " or ";
        used += (size_t)snprintf(out + used, size - used, "%.*s%s", (int)length, at, joint);
        at = *end ? end + 1 : end;
    }
}

bool sv_field_word(const cJSON *json, const char *name, const char *words, int *out,
                   sv_fault *fault) {
    const char *text = NULL;
    char list[120];
    if (!sv_field_text(json, name, &text, fault)) return false;
    if (!text) return true;
    int place = 0;
    for (const char *at = words;; ++place) {
        const size_t length = strcspn(at, "|");
        if (strlen(text) == length && strncmp(at, text, length) == 0) {
            *out = place;
            return true;
        }
        if (!at[length]) break;
        at += length + 1;
    }
    list_words(words, list, sizeof list);
    return sv_refuse(fault, 400, "invalid_value", name, "%s: \"%.40s\", expected %s", name, text,
                     list);
}

uint64_t sv_draw_seed(void) {
    uint32_t seed;
    if (getrandom(&seed, sizeof seed, 0) != sizeof seed) seed = (uint32_t)time(NULL);
    return seed;
}

static bool says_drawn(const cJSON *item) {
    if (cJSON_IsString(item)) return strcmp(item->valuestring, "-1") == 0;
    return cJSON_IsNumber(item) && item->valuedouble == -1.0;
}

bool sv_field_seed(const cJSON *json, const char *name, uint64_t *out, sv_fault *fault) {
    const cJSON *item = sv_field(json, name);
    if (!item) return true;
    const double value = cJSON_IsNumber(item) ? item->valuedouble : -1.0;
    if (value >= 0.0 && value < 9007199254740992.0 && value == floor(value)) {
        *out = (uint64_t)value;
        return true;
    }
    if (says_drawn(item)) {
        *out = sv_draw_seed();
        return true;
    }
    if (cJSON_IsString(item) && item->valuestring[0] &&
        strspn(item->valuestring, "0123456789") == strlen(item->valuestring)) {
        errno = 0;
        *out = strtoull(item->valuestring, NULL, 10);
        if (errno == 0) return true;
    }
    return sv_refuse(fault, 400, "invalid_value", name,
                     "%s: expected a whole number from 0 to 2^53 - 1, or to 2^64 - 1 as a string, "
                     "or -1 for a random one",
                     name);
}

bool sv_field_reals(const cJSON *json, const char *name, double low, double high, int most,
                    double *out, int *count, sv_fault *fault) {
    const cJSON *item = sv_field(json, name);
    int held = 0;
    if (!item) return true;
    bool valid = cJSON_IsArray(item) || cJSON_IsString(item);
    for (const cJSON *one = cJSON_IsArray(item) ? item->child : NULL; valid && one;
         one = one->next) {
        valid = held < most && cJSON_IsNumber(one);
        if (valid) out[held++] = one->valuedouble;
    }
    for (const char *at = cJSON_IsString(item) ? item->valuestring : NULL; valid && at;) {
        char *end;
        valid = held < most && *at && strchr("0123456789.", *at);
        if (!valid) break;
        out[held++] = strtod(at, &end);
        valid = end != at && (*end == ',' || !*end);
        at = *end ? end + 1 : NULL;
    }
    for (int i = 0; valid && i < held; ++i) valid = out[i] >= low && out[i] <= high;
    if (!valid || held == 0)
        return sv_refuse(fault, 400, "invalid_value", name,
                         "%s: expected 1 to %d numbers from %g to %g, in a list", name, most, low,
                         high);
    *count = held;
    return true;
}

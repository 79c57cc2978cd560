/* json_make.c - JSON that is written: whole, or not at all (json.h). */
#include "io/json.h"

#include <inttypes.h>
#include <stdio.h>

/* cJSON leaves this member of objects and arrays alone, and copies it. */
enum { BROKEN = 0x6E6F4D65 };

static bool is_list(const cJSON *json) {
    return cJSON_IsObject(json) || cJSON_IsArray(json);
}

static bool added(cJSON *to, cJSON *item, bool taken) {
    if (taken && item) return true;
    if (is_list(to)) to->valueint = BROKEN;
    cJSON_Delete(item);
    return false;
}

bool vt_json_put(cJSON *object, const char *key, cJSON *item) {
    return added(object, item, item && cJSON_AddItemToObject(object, key, item));
}

bool vt_json_append(cJSON *array, cJSON *item) {
    return added(array, item, item && cJSON_AddItemToArray(array, item));
}

static cJSON *put(cJSON *object, const char *key, cJSON *item) {
    return vt_json_put(object, key, item) ? item : NULL;
}

cJSON *vt_json_number(cJSON *object, const char *key, double value) {
    return put(object, key, cJSON_CreateNumber(value));
}

cJSON *vt_json_whole(int64_t value) {
    char digits[24];
    snprintf(digits, sizeof digits, "%" PRId64, value);
    return cJSON_CreateRaw(digits);
}

cJSON *vt_json_string(cJSON *object, const char *key, const char *text) {
    return text ? put(object, key, cJSON_CreateString(text)) : NULL;
}

cJSON *vt_json_bool(cJSON *object, const char *key, bool value) {
    return put(object, key, cJSON_CreateBool(value));
}

cJSON *vt_json_null(cJSON *object, const char *key) {
    return put(object, key, cJSON_CreateNull());
}

cJSON *vt_json_object(cJSON *object, const char *key) {
    return put(object, key, cJSON_CreateObject());
}

cJSON *vt_json_array(cJSON *object, const char *key) {
    return put(object, key, cJSON_CreateArray());
}

/* As deep as cJSON itself goes, which printing does as well. */
static bool is_whole(const cJSON *json) {
    const cJSON *item;
    if (!is_list(json)) return json != NULL;
    if (json->valueint == BROKEN) return false;
    cJSON_ArrayForEach(item, json) if (!is_whole(item)) return false;
    return true;
}

char *vt_json_text(const cJSON *json) {
    return is_whole(json) ? cJSON_PrintUnformatted(json) : NULL;
}

char *vt_json_lines(const cJSON *json) {
    return is_whole(json) ? cJSON_Print(json) : NULL;
}

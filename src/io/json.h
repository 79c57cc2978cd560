/* json.h - JSON out of files and requests, read by cJSON, with a bound on what it takes: a value of two bytes ("1,") takes more than eighty to
 * hold, so that a text of a hundred megabytes could ask for gigabytes. Whoever reads JSON that others wrote does it through this. */
#ifndef VT_IO_JSON_H
#define VT_IO_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Values in one text: at most 170 MB of them, beside the strings. A header that names 200,000 tensors has fewer. */
#define VT_JSON_VALUES ((size_t)1 << 21)

/* May a text of `size` bytes hold more than `most` values? Counted are commas and opening brackets outside of strings. */
bool vt_json_exceeds(const char *text, size_t size, size_t most);
/* Is there a NUL, as it is or as \u0000, at which a string that is read would end early? */
bool vt_json_has_nul(const char *text, size_t size);
/* Does the text begin with a value of JSON, one that cJSON takes? Takes no memory: where reading gives NULL all the same, memory was wanting. */
bool vt_json_is(const char *text, size_t size);
/* A value at the start of `size` bytes, with what follows it: *end, behind it (may be NULL). NULL: no JSON, too much of it (VT_JSON_VALUES), or no memory
 * (vt_json_lacked_memory). cJSON_Delete it. Threads: any. */
cJSON *vt_json_read(const char *text, size_t size, const char **end);
/* The same of a text that ends with a NUL; NULL also of NULL. */
cJSON *vt_json_of(const char *text);
/* Is json, which one of these gave for the text (may be NULL), NULL for want of memory? */
bool vt_json_lacked_memory(const cJSON *json, const char *text);

/* ---- making it ----
 *
 * As cJSON's own of like names, but nothing is left out in silence: where a member could not be added for want of memory (an item that is NULL was not
 * to be had, either), what it was for is marked, and the text of all that this is in is NULL. An item that is not taken is deleted. */
bool vt_json_put(cJSON *object, const char *key, cJSON *item);
bool vt_json_append(cJSON *array, cJSON *item);
cJSON *vt_json_number(cJSON *object, const char *key, double value);
/* A number to put or append, with all its digits, of which cJSON drops the last where they are sixteen. */
cJSON *vt_json_whole(int64_t value);
cJSON *vt_json_string(cJSON *object, const char *key, const char *text); /* NULL: no member */
cJSON *vt_json_bool(cJSON *object, const char *key, bool value);
cJSON *vt_json_null(cJSON *object, const char *key);
cJSON *vt_json_object(cJSON *object, const char *key);
cJSON *vt_json_array(cJSON *object, const char *key);
/* On one line, or on many; cJSON_free it. NULL: no memory, now or when it was made; also of NULL. */
char *vt_json_text(const cJSON *json);
char *vt_json_lines(const cJSON *json);

#endif

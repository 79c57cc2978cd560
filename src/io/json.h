/* json.h - JSON out of files and requests, read by cJSON, with a bound on what it takes: a value of two bytes ("1,") takes more than eighty to
 * hold, so that a text of a hundred megabytes could ask for gigabytes. Whoever reads JSON that others wrote does it through this. */
#ifndef VT_IO_JSON_H
#define VT_IO_JSON_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>

/* Values in one text: at most 170 MB of them, beside the strings. A header that names 200,000 tensors has fewer. */
#define VT_JSON_VALUES ((size_t)1 << 21)

/* May a text of `size` bytes hold more than `most` values? Counted are commas and opening brackets outside of strings. */
bool vt_json_exceeds(const char *text, size_t size, size_t most);
/* Is there a NUL, as it is or as \u0000, at which a string that is read would end early? */
bool vt_json_has_nul(const char *text, size_t size);
/* A value at the start of `size` bytes, with what follows it: *end, behind it (may be NULL). NULL: no JSON, too much of it (VT_JSON_VALUES), or no memory.
 * cJSON_Delete it. Threads: any. */
cJSON *vt_json_read(const char *text, size_t size, const char **end);
/* The same of a text that ends with a NUL; NULL also of NULL. */
cJSON *vt_json_of(const char *text);

#endif

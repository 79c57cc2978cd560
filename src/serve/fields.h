/* fields.h - members of a JSON body, each with its type and range. A member that is missing or null leaves what is there; one
 * that is wrong gives a fault that names it. Members that nobody asks for are passed over. */
#ifndef VT_SERVE_FIELDS_H
#define VT_SERVE_FIELDS_H

#include "serve/fault.h"

/* An object of `size` bytes, else 400. cJSON_Delete *out. */
bool sv_json_read(cJSON **out, const char *body, size_t size, sv_fault *fault);
/* The member, or NULL where it is missing or null. */
const cJSON *sv_field(const cJSON *json, const char *name);
bool sv_field_int(const cJSON *json, const char *name, int low, int high, int *out,
                  sv_fault *fault);
bool sv_field_real(const cJSON *json, const char *name, double low, double high, double *out,
                   sv_fault *fault);
bool sv_field_bool(const cJSON *json, const char *name, bool *out, sv_fault *fault);
/* Borrowed from json. */
bool sv_field_text(const cJSON *json, const char *name, const char **out, sv_fault *fault);
/* One of words, "a|b|c": its place, in *out. */
bool sv_field_word(const cJSON *json, const char *name, const char *words, int *out,
                   sv_fault *fault);
/* 0 to 2^53 - 1 as a number, to 2^64 - 1 as a string of digits; -1, either way, is one that is drawn. */
bool sv_field_seed(const cJSON *json, const char *name, uint64_t *out, sv_fault *fault);
/* Drawn anew each time, but short enough for every client's numbers. */
uint64_t sv_draw_seed(void);
/* Numbers, as a list or as a string with commas between them; *count of at most `most`. */
bool sv_field_reals(const cJSON *json, const char *name, double low, double high, int most,
                    double *out, int *count, sv_fault *fault);

#endif

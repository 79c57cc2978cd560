/* fault.h - what is wrong with a request: an HTTP status and one sentence, as clients of OpenAI's API read errors. */
#ifndef VT_SERVE_FAULT_H
#define VT_SERVE_FAULT_H

#include <cjson/cJSON.h>

#include "core/status.h"

typedef struct sv_fault {
    int status;       /* of HTTP; 0: nothing is wrong */
    const char *code; /* "invalid_value" */
    char param[48];   /* the field that is meant; "" */
    char message[600];
    int retry_after; /* seconds; 0: not said */
    char allow[24];  /* of 405: what may be asked */
} sv_fault;

/* Fills it; false, for whoever refuses. param: "" or a field. */
bool sv_refuse(sv_fault *fault, int status, const char *code, const char *param, const char *format,
               ...) __attribute__((format(printf, 5, 6)));
/* Likewise of what the library says. */
bool sv_refuse_error(sv_fault *fault, const char *param, const variant_error *err);
/* {"error": {message, type, param, code}}; NULL: no memory. */
cJSON *sv_fault_json(const sv_fault *fault);

#endif

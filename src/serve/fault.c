/* fault.c - see fault.h. */
#include "serve/fault.h"

#include <stdarg.h>
#include <stdio.h>

#include "io/json.h"
#include "serve/text.h"

/* One line of printable letters, whatever a client's names put into it, and however they were cut. */
static void clean(char *text) {
    sv_clean_utf8(text);
    for (; *text; ++text)
        if ((unsigned char)*text < ' ' || *text == 0x7F) *text = '?';
}

bool sv_refuse(sv_fault *fault, int status, const char *code, const char *param, const char *format,
               ...) {
    va_list arguments;
    *fault = (sv_fault){.status = status, .code = code};
    snprintf(fault->param, sizeof fault->param, "%s", param);
    va_start(arguments, format);
    vsnprintf(fault->message, sizeof fault->message, format, arguments);
    va_end(arguments);
    clean(fault->param);
    clean(fault->message);
    return false;
}

bool sv_refuse_error(sv_fault *fault, const char *param, const variant_error *err) {
    const bool asked = err->status == VARIANT_E_ARGUMENT || err->status == VARIANT_E_FORMAT ||
                       err->status == VARIANT_E_UNSUPPORTED || err->status == VARIANT_E_MODEL;
    const bool memory = err->status == VARIANT_E_MEMORY;
    sv_refuse(fault,
              asked    ? 400
              : memory ? 503
                       : 500,
              asked    ? "invalid_value"
              : memory ? "out_of_memory"
                       : "server_error",
              param, "%s", err->message[0] ? err->message : variant_status_sentence(err->status));
    if (memory) fault->retry_after = 5;
    return false;
}

static const char *type_of(const sv_fault *fault) {
    return fault->status == 401   ? "authentication_error"
           : fault->status == 403 ? "permission_error"
           : fault->status == 429 ? "rate_limit_error"
           : fault->status >= 500 ? "server_error"
                                  : "invalid_request_error";
}

cJSON *sv_fault_json(const sv_fault *fault) {
    cJSON *json = cJSON_CreateObject(), *error = vt_json_object(json, "error");
    vt_json_string(error, "message", fault->message);
    vt_json_string(error, "type", type_of(fault));
    if (fault->param[0])
        vt_json_string(error, "param", fault->param);
    else
        vt_json_null(error, "param");
    vt_json_string(error, "code", fault->code);
    return json;
}

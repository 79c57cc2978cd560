/* tokens.c - see tokens.h. */
#include "tokens.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli.h"

enum { MAX_PICTURES = 1 << 20 };

variant_status cli_tokens_open(vt_tensor_file **out, const char *path, variant_error *err) {
    variant_error why = {0};
    const variant_status status = vt_tensor_file_open(out, path, &why);
    char *wanted = strstr(why.message, ", expected ");
    if (wanted) *wanted = '\0'; /* a model, which is what most files are opened for */
    if (status == VARIANT_OK) return VARIANT_OK;
    return vt_fail(err, status, "%s%s", why.message,
                   wanted ? ", expected a file of tokens, as `variant encode` and --tokens-out "
                            "write them"
                          : "");
}

variant_status cli_tokens_read(const vt_tensor_file *file, int length, int codes, int32_t **out,
                               int *count, variant_error *err) {
    const char *path = vt_tensor_file_path(file);
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, "tokens");
    *out = NULL;
    if (!tensor || tensor->rank != 2 || tensor->shape[0] < 1 || tensor->shape[0] > MAX_PICTURES)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: has no tensor \"tokens\" of shape (pictures, tokens)", path);
    if (tensor->shape[1] != length)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: pictures of %lld tokens, this tokenizer's have %d", path,
                       (long long)tensor->shape[1], length);
    *out = malloc(tensor->count * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu tokens", tensor->count);
    if (vt_tensor_to_i32(tensor, *out, err) != VARIANT_OK)
        return vt_fail_within(err, VARIANT_E_FORMAT, "%s", path);
    for (size_t i = 0; i < tensor->count; ++i) {
        if ((*out)[i] < 0 || (*out)[i] >= codes)
            return vt_fail(err, VARIANT_E_MODEL,
                           "%s: token %zu of picture %zu is %d, expected 0 to %d", path,
                           i % (size_t)length, i / (size_t)length, (*out)[i], codes - 1);
    }
    *count = (int)tensor->shape[0];
    return VARIANT_OK;
}

static void note_other(const char *path, const char *made, const char *hash) {
    char line[512];
    snprintf(line, sizeof line, "%s was made with another model file (%s, this is %s)", path, made,
             hash);
    cli_note(NULL, line);
}

void cli_tokens_note_model(const vt_tensor_file *file, const char *hash) {
    static const char *const keys[] = {CLI_TOKENS_KEY, CLI_SETTINGS_KEY};
    for (size_t i = 0; i < sizeof keys / sizeof *keys; ++i) {
        const char *text = vt_tensor_file_meta(file, keys[i]);
        cJSON *json = text ? cJSON_Parse(text) : NULL;
        const char *made = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "model"));
        if (made && strcmp(made, hash) != 0) note_other(vt_tensor_file_path(file), made, hash);
        cJSON_Delete(json);
    }
}

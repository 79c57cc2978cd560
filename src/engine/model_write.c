/* model_write.c - a model, or a training checkpoint, as one safetensors file. See model.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_config.h"

/* Converts count floats to a 16-bit type in place of a new buffer. */
static uint16_t *halves(const float *values, size_t count, vt_dtype type) {
    uint16_t *out = malloc(count ? count * sizeof *out : 1);
    for (size_t i = 0; out && i < count; ++i)
        out[i] = type == VT_F16 ? vt_f16_from_f32(values[i]) : vt_bf16_from_f32(values[i]);
    return out;
}

static variant_status export_param(const vt_params *params, const vt_param *param, vt_dtype type,
                                   vt_tensor_out *out, variant_error *err) {
    float *values = malloc(param->count ? param->count * sizeof *values : 1);
    if (!values) return vt_fail(err, VARIANT_E_MEMORY, "no memory to write %s", param->name);
    variant_status status = vt_param_download(params, param, param->value, values, err);
    if (status != VARIANT_OK) {
        free(values);
        return status;
    }
    *out =
        (vt_tensor_out){.name = param->name, .type = VT_F32, .rank = param->rank, .data = values};
    memcpy(out->shape, param->shape, (size_t)param->rank * sizeof *out->shape);
    if (type == VT_F32 || param->rank < 2) return VARIANT_OK;
    uint16_t *converted = halves(values, param->count, type);
    free(values);
    out->data = converted;
    out->type = type;
    return converted ? VARIANT_OK
                     : vt_fail(err, VARIANT_E_MEMORY, "no memory to write %s", param->name);
}

static variant_status export_params(const vt_params *params, vt_dtype type, vt_tensor_out *list,
                                    int *count, variant_error *err) {
    for (int i = 0; i < params->count; ++i) {
        if (params->items[i]->flags & VT_PARAM_BUFFER) continue;
        VT_TRY(export_param(params, params->items[i], type, &list[*count], err));
        ++*count;
    }
    return VARIANT_OK;
}

variant_status vt_model_write(const char *path, const vt_model_save *save, variant_error *err) {
    vt_params *tokenizer = save->tokenizer ? vt_tokenizer_params(save->tokenizer) : NULL;
    vt_params *transformer = save->transformer ? vt_transformer_params(save->transformer) : NULL;
    size_t capacity = (size_t)(tokenizer ? tokenizer->count : 0) +
                      (size_t)(transformer ? transformer->count : 0) +
                      (size_t)(save->params ? save->params->count : 0) + (size_t)save->extra_count;
    variant_status status = VARIANT_OK;
    int own = 0, count, meta = 0;
    const char *keys[3], *values[3];
    char *config = save->config ? strdup(save->config) : vt_model_config_text(save);
    vt_tensor_out *list = calloc(capacity + 1, sizeof *list);
    if (!list || !config)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path));

    if (tokenizer) VT_CHECK(export_params(tokenizer, save->type, list, &own, err));
    if (transformer) VT_CHECK(export_params(transformer, save->type, list, &own, err));
    if (save->params) VT_CHECK(export_params(save->params, save->type, list, &own, err));
    count = own;
    for (int i = 0; i < save->extra_count; ++i) list[count++] = save->extra[i];

    keys[meta] = VT_CONFIG_KEY;
    values[meta++] = config;
    if (save->training) {
        keys[meta] = VT_TRAINING_KEY;
        values[meta++] = save->training;
    }
    if (save->extra_key) {
        keys[meta] = save->extra_key;
        values[meta++] = save->extra_value;
    }
    VT_CHECK(vt_safetensors_write(path, list, count, keys, values, meta, err));
cleanup:
    for (int i = 0; i < own; ++i) free((void *)(uintptr_t)list[i].data);
    free(list);
    free(config);
    return status;
}

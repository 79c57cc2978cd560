/* model_write.c - a model, or a training checkpoint, as one safetensors file. See model.h. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/model_write.h"

#define MOST_LOST                                                                                  \
    0.01 /* of a tensor's norm: thirty times what rounding to F16 loses, six times BF16's */
#define MOST_TOLD 10      /* tensors that are told one by one */
#define MUCH_VANISHED 100 /* told where one number in so many, or more, becomes zero */

static void tell_loss(vt_losses *all, const vt_param *param, const vt_half_loss *loss) {
    const vt_model_save *save = all->save;
    const char *type = vt_dtype_name(save->type);
    char line[320];
    bool refused = loss->overflow || loss->error > MOST_LOST;
    if (!refused && loss->vanished * MUCH_VANISHED <= loss->nonzero) return;
    if (refused && all->refused++ == 0)
        snprintf(all->first, sizeof all->first, "%.90s", param->name);
    if (!save->warn || all->refused > MOST_TOLD) return;
    if (loss->overflow)
        snprintf(line, sizeof line, "%s: %zu of %zu numbers overflow %s's range of %s (largest %g)",
                 param->name, loss->overflow, param->count, type,
                 save->type == VT_F16 ? "65504" : "3.39e38", (double)loss->largest);
    else
        snprintf(line, sizeof line,
                 "%s: %zu of %zu numbers vanish as %s, and %.3g %% of its norm is lost",
                 param->name, loss->vanished, param->count, type, 100 * loss->error);
    save->warn(save->user, line);
}

/* Converts count floats to a 16-bit type; what overflows becomes the type's largest. */
static uint16_t *halves(const float *values, size_t count, vt_dtype type) {
    uint16_t *out = malloc(count ? count * sizeof *out : 1);
    uint16_t infinity = type == VT_F16 ? 0x7c00 : 0x7f80;
    for (size_t i = 0; out && i < count; ++i) {
        out[i] = type == VT_F16 ? vt_f16_from_f32(values[i]) : vt_bf16_from_f32(values[i]);
        if ((out[i] & 0x7fff) == infinity) --out[i];
    }
    return out;
}

/* float32 is read when it is written; halves are made here, since what they lose decides whether the file is. */
variant_status vt_model_export(const vt_param_source *source, vt_losses *all, vt_tensor_out *out,
                               variant_error *err) {
    const vt_param *param = source->param;
    vt_dtype type = all->save->type;
    *out = vt_param_tensor(param->name, source);
    if (type != VT_F32)
        VT_TRY(vt_work_tell(all->save->watch, "converting", all->done++, all->tensors, err));
    if (type == VT_F32 || param->rank < 2) return VARIANT_OK;
    float *values = malloc(param->count ? param->count * sizeof *values : 1);
    if (!values) return vt_fail(err, VARIANT_E_MEMORY, "no memory to write %s", param->name);
    variant_status status = vt_param_read(out, values, err);
    if (status != VARIANT_OK) {
        free(values);
        return status;
    }
    vt_half_loss loss = vt_half_loss_of(values, param->count, type);
    tell_loss(all, param, &loss);
    uint16_t *converted = halves(values, param->count, type);
    free(values);
    out->data = converted;
    out->type = type;
    return converted ? VARIANT_OK
                     : vt_fail(err, VARIANT_E_MEMORY, "no memory to write %s", param->name);
}

variant_status vt_losses_check(const vt_losses *all, const char *path, variant_error *err) {
    if (all->refused == 0 || all->save->force) return VARIANT_OK;
    bool f16 = all->save->type == VT_F16;
    return vt_fail(
        err, VARIANT_E_MODEL,
        "%s is not written: %d tensor%s of weights overflow%s or vanish%s as %s, %s first: "
        "%s, or force=true",
        path, all->refused, all->refused == 1 ? "" : "s", all->refused == 1 ? "s" : "",
        all->refused == 1 ? "es" : "", vt_dtype_name(all->save->type), all->first,
        f16 ? "type=bf16 has float32's range" : "type=f32 loses nothing");
}

static variant_status export_params(const vt_params *params, vt_losses *all, vt_tensor_out *list,
                                    vt_param_source *sources, int *count, variant_error *err) {
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (param->flags & VT_PARAM_BUFFER) continue;
        sources[*count] = (vt_param_source){params, param, param->value};
        VT_TRY(vt_model_export(&sources[*count], all, &list[*count], err));
        ++*count;
    }
    return VARIANT_OK;
}

variant_status vt_model_write(const char *path, const vt_model_save *save, variant_error *err) {
    vt_params *tokenizer = save->tokenizer ? vt_tokenizer_params(save->tokenizer) : NULL;
    vt_params *transformer = save->transformer ? vt_transformer_params(save->transformer) : NULL;
    vt_params *preview = save->preview ? vt_preview_params(save->preview) : NULL;
    size_t capacity = (size_t)(tokenizer ? tokenizer->count : 0) +
                      (size_t)(transformer ? transformer->count : 0) +
                      (size_t)(preview ? preview->count : 0) +
                      (size_t)(save->params ? save->params->count : 0) + (size_t)save->extra_count;
    variant_status status = VARIANT_OK;
    int own = 0, count, meta = 0;
    const char *keys[3], *values[3];
    vt_losses all = {.save = save, .tensors = (int)capacity - save->extra_count};
    char *config = save->config ? strdup(save->config) : vt_model_config_text(save);
    vt_tensor_out *list = calloc(capacity + 1, sizeof *list);
    vt_param_source *sources = calloc(capacity + 1, sizeof *sources);
    if (!list || !sources || !config)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path));

    if (tokenizer) VT_CHECK(export_params(tokenizer, &all, list, sources, &own, err));
    if (preview) VT_CHECK(export_params(preview, &all, list, sources, &own, err));
    if (transformer) VT_CHECK(export_params(transformer, &all, list, sources, &own, err));
    if (save->params) VT_CHECK(export_params(save->params, &all, list, sources, &own, err));
    VT_CHECK(vt_losses_check(&all, path, err));
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
    const vt_safetensors_out out = {.path = path,
                                    .tensors = list,
                                    .count = count,
                                    .meta_keys = keys,
                                    .meta_values = values,
                                    .meta_count = meta,
                                    .watch = save->watch};
    VT_CHECK(vt_shards_write(&out, save->most_bytes, NULL, err));
cleanup:
    for (int i = 0; i < own; ++i) free((void *)(uintptr_t)list[i].data);
    free(list);
    free(sources);
    free(config);
    return status;
}

/* model_int8.c - a model as a file whose transformer's products are integers with their scales (nn/params.h), as a plan
 * has it (calibrate.h). Kernels of the tokenizer, which no kernel multiplies as bytes, are bf16, as int8 runs have them; all
 * other numbers are float32.
 *
 * Tensors are made when their turn to be written comes. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/calibrate.h"
#include "engine/model_config.h"
#include "io/json.h"
#include "kern/int4.h"
#include "kern/number.h"

/* Where a tensor of the file comes from. */
typedef struct source {
    const vt_int8_plan *plan; /* NULL: of no transformer */
    const vt_params *params;
    const vt_param *param;
    char *scales; /* owned: the name of its scales */
} source;

/* Numbers as the plan wants them; free() them. */
static variant_status values_of(const source *s, float **out, variant_error *err) {
    *out = malloc((s->param->count ? s->param->count : 1) * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory to write %s", s->param->name);
    const variant_status status =
        s->plan ? vt_int8_plan_values(s->plan, s->params, s->param, *out, err)
                : vt_param_download(s->params, s->param, s->param->value, *out, err);
    if (status != VARIANT_OK) free(*out);
    return status;
}

/* The scale of a row, as weights are packed (vt_weight in kern.h). */
static float scale_of(const float *row, size_t k, float *inverse) {
    float most = 0;
    for (size_t i = 0; i < k; ++i) most = fmaxf(most, fabsf(row[i]));
    *inverse = vt_int8_inverse(most);
    return vt_int8_scale(most);
}

static variant_status read_integers(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const source *s = tensor->source;
    const size_t n = (size_t)s->param->shape[0], k = (size_t)s->param->shape[1];
    float *values;
    VT_TRY(values_of(s, &values, err));
    for (size_t j = 0; j < n; ++j) {
        float inverse;
        (void)scale_of(values + j * k, k, &inverse);
        for (size_t i = 0; i < k; ++i)
            ((int8_t *)out)[j * k + i] = (int8_t)rintf(values[j * k + i] * inverse);
    }
    free(values);
    return VARIANT_OK;
}

static variant_status read_scales(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const source *s = tensor->source;
    const size_t n = (size_t)s->param->shape[0], k = (size_t)s->param->shape[1];
    float *values, inverse;
    VT_TRY(values_of(s, &values, err));
    for (size_t j = 0; j < n; ++j) ((float *)out)[j] = scale_of(values + j * k, k, &inverse);
    free(values);
    return VARIANT_OK;
}

static variant_status read_floats(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const source *s = tensor->source;
    float *values;
    VT_TRY(values_of(s, &values, err));
    memcpy(out, values, s->param->count * sizeof *values);
    free(values);
    return VARIANT_OK;
}

static variant_status read_halves(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const source *s = tensor->source;
    float *values;
    VT_TRY(values_of(s, &values, err));
    for (size_t i = 0; i < s->param->count; ++i) ((uint16_t *)out)[i] = vt_bf16_from_f32(values[i]);
    free(values);
    return VARIANT_OK;
}

static variant_status read_records(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const source *s = tensor->source;
    const size_t n = (size_t)s->param->shape[0], k = (size_t)s->param->shape[1];
    const vt_int8_choice *choice = vt_int8_plan_find(s->plan, s->param);
    const size_t size = vt_int4_record(k);
    float *values;
    if (choice->records) {
        memcpy(out, choice->records, n * size);
        return VARIANT_OK;
    }
    VT_TRY(values_of(s, &values, err));
    for (size_t j = 0; j < n; ++j)
        vt_int4_encode((uint8_t *)out + j * size, values + j * k, NULL, k);
    free(values);
    return VARIANT_OK;
}

typedef struct listing {
    vt_tensor_out *list;
    source *sources;
    int count;
} listing;

/* A product's integers, and their scales under the name that tells what those of x cover. */
static variant_status add_product(listing *l, source *s, const vt_int8_choice *choice,
                                  variant_error *err) {
    const vt_param *param = s->param;
    if (choice->int4) {
        const int64_t size = (int64_t)vt_int4_record((size_t)param->shape[1]);
        l->list[l->count++] = (vt_tensor_out){.name = param->name,
                                              .type = VT_U8,
                                              .rank = 2,
                                              .shape = {param->shape[0], size},
                                              .read = read_records,
                                              .source = s};
        return VARIANT_OK;
    }
    const char *ending = choice->is_whole ? VT_INT8_OF_ROWS : VT_INT8_OF_BLOCKS;
    if (asprintf(&s->scales, "%s%s", param->name, ending) < 0) {
        s->scales = NULL;
        return vt_fail(err, VARIANT_E_MEMORY, "no memory to write %s", param->name);
    }
    l->list[l->count++] = (vt_tensor_out){.name = param->name,
                                          .type = VT_I8,
                                          .rank = 2,
                                          .shape = {param->shape[0], param->shape[1]},
                                          .read = read_integers,
                                          .source = s};
    l->list[l->count++] = (vt_tensor_out){.name = s->scales,
                                          .type = VT_F32,
                                          .rank = 1,
                                          .shape = {param->shape[0]},
                                          .read = read_scales,
                                          .source = s};
    return VARIANT_OK;
}

/* plan: of the transformer alone. */
static variant_status add_params(listing *l, const vt_params *params, const vt_int8_plan *plan,
                                 variant_error *err) {
    for (int i = 0; params && i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (param->flags & VT_PARAM_BUFFER) continue;
        source *s = &l->sources[l->count];
        *s = (source){.plan = plan, .params = params, .param = param};
        const vt_int8_choice *choice = plan ? vt_int8_plan_find(plan, param) : NULL;
        if (choice) {
            VT_TRY(add_product(l, s, choice, err));
            continue;
        }
        const bool half =
            !plan && (param->flags & VT_PARAM_PRODUCT) && !(param->flags & VT_PARAM_EXACT);
        vt_tensor_out *out = &l->list[l->count++];
        *out = (vt_tensor_out){.name = param->name,
                               .type = half ? VT_BF16 : VT_F32,
                               .rank = param->rank,
                               .read = half ? read_halves : read_floats,
                               .source = s};
        memcpy(out->shape, param->shape, (size_t)param->rank * sizeof *out->shape);
    }
    return VARIANT_OK;
}

static cJSON *choice_json(const vt_int8_choice *choice) {
    cJSON *json = cJSON_CreateObject();
    vt_json_string(json, "weight", choice->weight->name);
    vt_json_string(json, "type", choice->int4 ? "int4" : "int8");
    vt_json_string(json, "scale_of", choice->is_whole ? "rows" : "blocks");
    if (choice->rows == 0) return json;
    if (choice->int4) {
        vt_json_number(json, "rows_seen", choice->rows);
        vt_json_number(json, "error_nearest", choice->nearest);
        vt_json_number(json, "error_weighed", choice->weighed);
        vt_json_number(json, "error_made_up", choice->made_up);
        return json;
    }
    vt_json_number(json, "rows_seen", choice->rows);
    vt_json_number(json, "error", choice->is_whole ? choice->best_whole : choice->best_blocks);
    vt_json_number(json, "error_blocks", choice->blocks);
    vt_json_number(json, "error_rows", choice->whole);
    vt_json_number(json, "error_blocks_folded", choice->best_blocks);
    vt_json_number(json, "error_rows_folded", choice->best_whole);
    vt_json_number(json, "folded", (double)choice->strength);
    return json;
}

char *vt_int8_plan_text(const vt_int8_plan *plan) {
    cJSON *json = cJSON_CreateObject();
    if (plan->pictures > 0) {
        vt_json_number(json, "pictures", plan->pictures);
        vt_json_number(json, "tolerance", plan->tolerance);
    }
    cJSON *list = vt_json_array(json, "weights");
    for (int i = 0; i < plan->count; ++i) vt_json_append(list, choice_json(&plan->choices[i]));
    char *text = vt_json_text(json);
    cJSON_Delete(json);
    return text;
}

static int count_of(const vt_params *params) {
    return params ? params->count : 0;
}

variant_status vt_model_write_int8(const char *path, const vt_model_save *save,
                                   const vt_int8_plan *plan, variant_error *err) {
    const vt_params *parts[] = {save->tokenizer ? vt_tokenizer_params(save->tokenizer) : NULL,
                                save->preview ? vt_preview_params(save->preview) : NULL,
                                vt_transformer_params(save->transformer)};
    const size_t room =
        2 * (size_t)(count_of(parts[0]) + count_of(parts[1]) + count_of(parts[2])) + 1;
    listing l = {.list = calloc(room, sizeof *l.list), .sources = calloc(room, sizeof *l.sources)};
    char *config = vt_model_config_text(save), *record = vt_int8_plan_text(plan);
    const char *keys[] = {VT_CONFIG_KEY, VT_INT8_KEY, VT_TRAINING_KEY};
    const char *values[] = {config, record, save->training};
    variant_status status = VARIANT_OK;
    if (!l.list || !l.sources || !config || !record)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path));
    for (int i = 0; i < 3; ++i) VT_CHECK(add_params(&l, parts[i], i == 2 ? plan : NULL, err));
    const vt_safetensors_out out = {.path = path,
                                    .tensors = l.list,
                                    .count = l.count,
                                    .meta_keys = keys,
                                    .meta_values = values,
                                    .meta_count = save->training ? 3 : 2,
                                    .watch = save->watch};
    VT_CHECK(vt_shards_write(&out, save->most_bytes, NULL, err));
cleanup:
    for (size_t i = 0; l.sources && i < room; ++i) free(l.sources[i].scales);
    free(l.list);
    free(l.sources);
    free(config);
    free(record);
    return status;
}

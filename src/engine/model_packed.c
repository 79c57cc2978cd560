/* model_packed.c - see model_packed.h. */
#include "engine/model_packed.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/calibrate.h"
#include "engine/model_config.h"
#include "engine/model_files.h"
#include "io/json.h"

/* ---- reading ---- */

static variant_status malformed(const vt_tensor_file *file, variant_error *err) {
    return vt_fail(
        err, VARIANT_E_FORMAT,
        "%s: metadata " VT_PACKED_KEY
        ": expected a layout, its version, weights bf16, int8 or int4, a hash and shapes",
        vt_tensor_file_path(file));
}

static bool read_hash(char out[17], const cJSON *item) {
    const char *text = cJSON_GetStringValue(item);
    if (!text || strlen(text) != 16 || strspn(text, "0123456789abcdef") != 16) return false;
    memcpy(out, text, 17);
    return true;
}

static variant_status read_layout(vt_packed_info *out, const vt_tensor_file *file,
                                  const cJSON *json, variant_error *err) {
    const char *layout = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "layout")),
               *weights = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(json, "weights"));
    const cJSON *version = cJSON_GetObjectItemCaseSensitive(json, "version"),
                *preview = cJSON_GetObjectItemCaseSensitive(json, "preview_hash");
    if (!layout || !cJSON_IsNumber(version)) return malformed(file, err);
    if (strcmp(layout, VT_PANELS_LAYOUT) != 0 || version->valuedouble != VT_PANELS_VERSION)
        return vt_fail(
            err, VARIANT_E_UNSUPPORTED,
            "%s: its weights are packed as %.32s version %g, this program reads " VT_PANELS_LAYOUT
            " version %d: pack the model that it was made of again (variant convert)",
            vt_tensor_file_path(file), layout, version->valuedouble, VT_PANELS_VERSION);
    if (!weights || vt_number_parse(&out->weights, "weights", weights, NULL) != VARIANT_OK ||
        out->weights == VT_NUMBER_F32 ||
        !read_hash(out->hash, cJSON_GetObjectItemCaseSensitive(json, "hash")) ||
        (preview && !read_hash(out->preview_hash, preview)) ||
        !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(json, "shapes")))
        return malformed(file, err);
    out->is = true;
    return VARIANT_OK;
}

/* *json: to be deleted, NULL where the file is no packed one. */
static variant_status read_metadata(vt_packed_info *out, const vt_tensor_file *file, cJSON **json,
                                    variant_error *err) {
    const char *text = file ? vt_tensor_file_meta(file, VT_PACKED_KEY) : NULL;
    *out = (vt_packed_info){0};
    *json = NULL;
    if (!text) return VARIANT_OK;
    *json = vt_json_of(text);
    if (vt_json_lacked_memory(*json, text))
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for its metadata",
                       vt_tensor_file_path(file));
    return cJSON_IsObject(*json) ? read_layout(out, file, *json, err) : malformed(file, err);
}

variant_status vt_packed_open(vt_tensor_file *file, variant_error *err) {
    vt_packed_info info;
    cJSON *json;
    variant_status status = read_metadata(&info, file, &json, err);
    if (status == VARIANT_OK && info.is)
        status =
            vt_tensor_file_name_packed(file, cJSON_GetObjectItemCaseSensitive(json, "shapes"), err);
    cJSON_Delete(json);
    return status;
}

variant_status vt_packed_info_of(vt_packed_info *out, const vt_tensor_file *file,
                                 variant_error *err) {
    cJSON *json;
    const variant_status status = read_metadata(out, file, &json, err);
    cJSON_Delete(json);
    return status;
}

/* What of its own numbers somebody wants who cannot have them. */
static variant_status refuse(const vt_tensor_file *file, vt_number has, const char *wanted,
                             variant_error *err) {
    return vt_fail(err, VARIANT_E_MODEL,
                   "%s: its weights are packed for use as %s; %s take the file it was packed from",
                   vt_tensor_file_path(file), vt_number_name(has), wanted);
}

variant_status vt_packed_weights(const vt_model *model, const vt_model_options *options,
                                 vt_number *weights, const vt_tensor_file **out,
                                 variant_error *err) {
    vt_packed_info info[VT_MODEL_PARTS] = {{0}};
    *weights = options->weights;
    *out = NULL;
    for (int part = 0; part < VT_MODEL_PARTS; ++part) {
        const vt_tensor_file *file = model->files[part];
        if (!file) continue;
        VT_TRY(vt_packed_info_of(&info[part], file, err));
        if (!info[part].is) continue;
        *out = file; /* the transformer's comes last: a tokenizer is bf16 beside any packed type */
        if (options->any_weights) *weights = info[part].weights;
        const char *wanted = options->copy ? "to train on" : options->own_numbers;
        if (wanted) return refuse(file, info[part].weights, wanted, err);
    }
    for (int part = 0; part < VT_MODEL_PARTS; ++part) {
        const vt_number has = info[part].weights;
        const bool right = part == VT_TOKENIZER_PART && model->files[0] != model->files[1]
                               ? *weights != VT_NUMBER_F32
                               : *weights == has;
        char wanted[64];
        snprintf(wanted, sizeof wanted, "for %s", vt_number_name(*weights));
        if (info[part].is && !right) return refuse(model->files[part], has, wanted, err);
    }
    return VARIANT_OK;
}

/* ---- writing ---- */

/* The tensors of a packed file while they are listed. */
typedef struct listing {
    const vt_model *model;
    vt_tensor_out *list;
    vt_param_source *sources;
    cJSON *shapes;
    int count, capacity;
    bool complete; /* memory was there for all of it */
} listing;

static bool is_packed(const vt_param *param) {
    return param->weight && !param->value;
}

static vt_tensor_out *next(listing *l, const char *name, const char *suffix) {
    char *text = malloc(strlen(name) + strlen(suffix) + 1);
    vt_tensor_out *out = &l->list[l->count];
    l->complete = l->complete && text;
    if (!text) return NULL;
    sprintf(text, "%s%s", name, suffix);
    *out = (vt_tensor_out){.name = text};
    ++l->count;
    return out;
}

static void add_packed(listing *l, const vt_params *params, const vt_param *param) {
    const vt_packed packed = params->kern->weight_packed(param->weight);
    vt_tensor_out *numbers = next(l, param->name, VT_PACKED_NUMBERS);
    double shape[4];
    vt_panels panels;
    if (!numbers || !vt_param_panels(params, param, &panels)) {
        l->complete = false;
        return;
    }
    numbers->type = packed.scale ? VT_U8 : VT_BF16;
    numbers->rank = 4;
    numbers->data = packed.numbers;
    vt_panels_shape(&panels, numbers->shape);
    for (int i = 0; i < param->rank; ++i) shape[i] = (double)param->shape[i];
    l->complete =
        vt_json_put(l->shapes, param->name, cJSON_CreateDoubleArray(shape, param->rank)) &&
        l->complete;
    if (!packed.scale) return;
    vt_tensor_out *scales =
        next(l, param->name, packed.whole ? VT_PACKED_SCALES_OF_ROWS : VT_PACKED_SCALES);
    if (!scales) return;
    scales->type = VT_F32;
    scales->rank = 1;
    scales->shape[0] = (int64_t)panels.scales;
    scales->data = packed.scale;
}

static void add_plain(listing *l, const vt_params *params, const vt_param *param) {
    vt_tensor_out *out = next(l, param->name, "");
    if (!out) return;
    const char *name = out->name;
    l->sources[l->count - 1] = (vt_param_source){params, param, param->value};
    *out = vt_param_tensor(name, &l->sources[l->count - 1]);
}

/* Packed ones, which are whole lines of 64 bytes, or the others behind them. */
static void add_params(listing *l, const vt_params *params, bool packed) {
    for (int i = 0; params && i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if ((param->flags & VT_PARAM_BUFFER) || is_packed(param) != packed) continue;
        (packed ? add_packed : add_plain)(l, params, param);
    }
}

static char *metadata_text(listing *l, vt_number weights) {
    cJSON *json = cJSON_CreateObject();
    vt_json_string(json, "layout", VT_PANELS_LAYOUT);
    vt_json_number(json, "version", VT_PANELS_VERSION);
    vt_json_string(json, "weights", vt_number_name(weights));
    vt_json_string(json, "hash", l->model->hash);
    if (l->model->preview) vt_json_string(json, "preview_hash", l->model->preview_hash);
    const bool added = vt_json_put(json, "shapes", l->shapes);
    l->shapes = NULL; /* taken, or deleted */
    char *text = added ? vt_json_text(json) : NULL;
    cJSON_Delete(json);
    return text;
}

/* How a file of integers came by them is told on. */
static const char *int8_record(const vt_model *model) {
    const vt_tensor_file *file = model->files[VT_TRANSFORMER_PART];
    return file && model->weights == VT_NUMBER_INT8 ? vt_tensor_file_meta(file, VT_INT8_KEY) : NULL;
}

static variant_status write_file(const char *path, const listing *l, const char *config,
                                 const char *packed, const vt_model_save *save,
                                 variant_error *err) {
    const char *keys[4] = {VT_CONFIG_KEY, VT_PACKED_KEY}, *values[4] = {config, packed};
    const char *record = int8_record(l->model);
    int count = 2;
    if (save->training) keys[count] = VT_TRAINING_KEY, values[count++] = save->training;
    if (record) keys[count] = VT_INT8_KEY, values[count++] = record;
    return vt_safetensors_write_out(&(vt_safetensors_out){.path = path,
                                                          .tensors = l->list,
                                                          .count = l->count,
                                                          .meta_keys = keys,
                                                          .meta_values = values,
                                                          .meta_count = count,
                                                          .watch = save->watch},
                                    err);
}

variant_status vt_model_write_packed(const char *path, const vt_model *model,
                                     const vt_model_save *save, variant_error *err) {
    const vt_params *parts[] = {model->transformer ? vt_transformer_params(model->transformer)
                                                   : NULL,
                                model->tokenizer ? vt_tokenizer_params(model->tokenizer) : NULL,
                                model->preview ? vt_preview_params(model->preview) : NULL};
    listing l = {.model = model, .complete = true, .shapes = cJSON_CreateObject()};
    char *config = vt_model_config_text(save), *packed = NULL;
    variant_status status = VARIANT_OK;
    if (!model->kern->weight_packed)
        VT_CHECK(vt_fail(err, VARIANT_E_UNSUPPORTED,
                         "backend %s packs no weights for files: expected cpu", model->kern->name));
    for (int i = 0; i < 3; ++i) l.capacity += parts[i] ? 2 * parts[i]->count : 0;
    l.list = calloc((size_t)l.capacity + 1, sizeof *l.list);
    l.sources = calloc((size_t)l.capacity + 1, sizeof *l.sources);
    l.complete = l.list && l.sources && l.shapes && config;
    for (int i = 0; l.complete && i < 3; ++i) add_params(&l, parts[i], true);
    for (int i = 0; l.complete && i < 3; ++i) add_params(&l, parts[i], false);
    if (l.complete) packed = metadata_text(&l, model->weights);
    if (!packed) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path));
    status = write_file(path, &l, config, packed, save, err);
cleanup:
    for (int i = 0; i < l.count; ++i) free((void *)(uintptr_t)l.list[i].name);
    free(l.list);
    free(l.sources);
    cJSON_Delete(l.shapes);
    free(config);
    free(packed);
    return status;
}

/* model_config.c - see model_config.h. */
#include "engine/model_config.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/class_name.h"
#include "io/json.h"

#define MAX_CLASSES 100000

static variant_status no_memory(const vt_tensor_file *file, variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for its configuration",
                   vt_tensor_file_path(file));
}

static variant_status malformed(const vt_tensor_file *file, const char *what, variant_error *err) {
    return vt_fail(err, VARIANT_E_FORMAT, "%s: metadata %s: %s", vt_tensor_file_path(file),
                   VT_CONFIG_KEY, what);
}

/* A list of positive integers; absent gives count 0. */
static bool read_ints(const cJSON *list, int *out, int limit, int *count) {
    *count = 0;
    if (!list) return true;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) > limit) return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsNumber(item) || item->valueint < 1) return false;
        out[(*count)++] = item->valueint;
    }
    return true;
}

/* {"uncond_depth": U, "late": "12:2.2,6:3,3:4"}, either may be missing */
static bool read_guidance(const cJSON *json, vt_supernet_info *out) {
    if (json && !cJSON_IsObject(json)) return false;
    const cJSON *depth = cJSON_GetObjectItem(json, "uncond_depth"),
                *late = cJSON_GetObjectItem(json, "late");
    if (depth && !(cJSON_IsNumber(depth) && depth->valuedouble >= 1 &&
                   depth->valuedouble <= VT_SCHEDULE_LAYERS))
        return false;
    if (depth) out->uncond_depth = depth->valueint;
    return !late || (cJSON_IsString(late) && vt_supernet_read_late(out, late->valuestring));
}

static bool read_supernet(const cJSON *json, vt_supernet_info *out) {
    if (!json) return true;
    const cJSON *bridge = cJSON_GetObjectItem(json, "bridge"),
                *layers = cJSON_GetObjectItem(json, "layers");
    if (!cJSON_IsNumber(bridge) || !cJSON_IsString(layers)) return false;
    if (!read_ints(cJSON_GetObjectItem(json, "depths"), out->depths, VT_MAX_DEPTHS,
                   &out->depth_count))
        return false;
    out->bridge = bridge->valueint;
    int named = VT_EQUIDISTANT;
    while (named <= VT_EXPLICIT &&
           strcmp(layers->valuestring, vt_selector_name((vt_selector)named)) != 0)
        ++named;
    if (named > VT_EXPLICIT) return false; /* another choice would be other layers than trained */
    out->selector = (vt_selector)named;
    out->trained = true;
    return true;
}

static bool read_preview(const cJSON *json, vt_file_config *out) {
    if (!json) return true;
    const cJSON *blocks = cJSON_GetObjectItem(json, "blocks"),
                *training = cJSON_GetObjectItem(json, "training");
    if (!cJSON_IsNumber(blocks) ||
        !read_ints(cJSON_GetObjectItem(json, "widths"), out->preview.widths, VT_MAX_LEVELS,
                   &out->preview.levels) ||
        out->preview.levels == 0)
        return false;
    out->preview.blocks = blocks->valueint;
    if (cJSON_IsObject(training)) out->preview_training = vt_json_text(training);
    return true;
}

static bool read_classes(const cJSON *json, vt_file_config *out, bool *short_of_memory) {
    if (!json) return true;
    int count = cJSON_IsArray(json) ? cJSON_GetArraySize(json) : -1;
    if (count < 0 || count > MAX_CLASSES) return false;
    out->class_names = calloc((size_t)count + 1, sizeof *out->class_names);
    *short_of_memory = !out->class_names;
    if (*short_of_memory) return false;
    const cJSON *item;
    cJSON_ArrayForEach(item, json) {
        if (!cJSON_IsString(item)) return false;
        char *name = vt_class_name_mended(item->valuestring);
        *short_of_memory = !name;
        if (!name) return false;
        out->class_names[out->class_count++] = name;
    }
    return true;
}

static variant_status read_own(vt_file_config *out, const vt_tensor_file *file, const char *text,
                               variant_error *err) {
    if (vt_json_has_nul(text, strlen(text))) return malformed(file, "a NUL in a text", err);
    cJSON *json = vt_json_of(text);
    if (vt_json_lacked_memory(json, text)) return no_memory(file, err);
    if (!json) return malformed(file, "not JSON", err);
    const char *complaint = NULL;
    bool short_of_memory = false;
    const cJSON *tokenizer = cJSON_GetObjectItem(json, "tokenizer");
    const cJSON *transformer = cJSON_GetObjectItem(json, "transformer");
    const cJSON *supernet = cJSON_GetObjectItem(json, "supernet");
    const cJSON *heads = cJSON_GetObjectItem(transformer, "heads");
    if (cJSON_IsNumber(heads)) out->heads = heads->valueint;
    if (!read_ints(cJSON_GetObjectItem(tokenizer, "sides"), out->tokenizer_sides, VT_MAX_SCALES,
                   &out->tokenizer_scales) ||
        !read_ints(cJSON_GetObjectItem(transformer, "sides"), out->transformer_sides, VT_MAX_SCALES,
                   &out->transformer_scales))
        complaint = "sides is not a list of positive integers";
    else if (!read_supernet(supernet, &out->supernet))
        complaint =
            "supernet needs bridge, depths, and layers that are equidistant, rounded, prefix or "
            "explicit";
    else if (!read_guidance(cJSON_GetObjectItem(supernet, "guidance"), &out->supernet))
        complaint = "supernet.guidance needs an uncond_depth of 1 or more, or late factors above 0 "
                    "up to 100 such as \"12:2.2,6:3\"";
    else if (!read_preview(cJSON_GetObjectItem(json, "preview_decoder"), out))
        complaint = "preview_decoder needs widths and blocks";
    else if (!read_classes(cJSON_GetObjectItem(json, "classes"), out, &short_of_memory))
        complaint = "classes is not a list of names";
    cJSON_Delete(json);
    if (short_of_memory) return no_memory(file, err);
    return complaint ? malformed(file, complaint, err) : VARIANT_OK;
}

/* A trainer checkpoint of the original keeps its configuration beside the weights. */
static void read_patch_nums(vt_file_config *out, const vt_tensor_file *file) {
    for (int i = 0; i < vt_tensor_file_meta_count(file); ++i) {
        const char *key, *value;
        vt_tensor_file_meta_at(file, i, &key, &value);
        const char *last = strrchr(key, '/');
        if (strcmp(last ? last + 1 : key, "patch_nums") != 0) continue;
        cJSON *json = vt_json_of(value);
        int sides[VT_MAX_SCALES], count;
        if (json && read_ints(json, sides, VT_MAX_SCALES, &count) && count > 0) {
            memcpy(out->tokenizer_sides, sides, sizeof sides);
            memcpy(out->transformer_sides, sides, sizeof sides);
            out->tokenizer_scales = out->transformer_scales = count;
        }
        cJSON_Delete(json);
    }
}

variant_status vt_file_config_read(vt_file_config *out, const vt_tensor_file *file,
                                   variant_error *err) {
    *out = (vt_file_config){0};
    read_patch_nums(out, file);
    const char *text = vt_tensor_file_meta(file, VT_CONFIG_KEY);
    if (!text) return VARIANT_OK;
    variant_status status = read_own(out, file, text, err);
    if (status != VARIANT_OK) vt_file_config_free(out);
    return status;
}

void vt_file_config_free(vt_file_config *config) {
    for (int i = 0; i < config->class_count; ++i) free(config->class_names[i]);
    free(config->class_names);
    free(config->preview_training);
    *config = (vt_file_config){0};
}

/* ---- writing ---- */

static void add_ints(cJSON *object, const char *key, const int *values, int count) {
    vt_json_put(object, key, cJSON_CreateIntArray(values, count));
}

static cJSON *tokenizer_json(const vt_tokenizer_config *config) {
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "channels", config->channels);
    vt_json_number(json, "base_width", config->base_width);
    add_ints(json, "mult", config->mult, config->levels);
    vt_json_number(json, "blocks", config->blocks);
    vt_json_number(json, "codes", config->codes);
    vt_json_number(json, "latent_dim", config->latent_dim);
    add_ints(json, "sides", config->sides, config->scales);
    return json;
}

static cJSON *transformer_json(const vt_transformer_config *config) {
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "depth", config->depth);
    vt_json_number(json, "width", config->width);
    vt_json_number(json, "heads", config->heads);
    vt_json_number(json, "hidden", config->hidden);
    vt_json_number(json, "codes", config->codes);
    vt_json_number(json, "latent_dim", config->latent_dim);
    vt_json_number(json, "classes", config->classes);
    vt_json_bool(json, "l2_norm", config->l2_norm);
    vt_json_bool(json, "shared_adaln", config->shared_adaln);
    add_ints(json, "sides", config->sides, config->scales);
    return json;
}

static void add_supernet_guidance(cJSON *supernet, const vt_supernet_info *info) {
    char late[32 * (VT_MAX_DEPTHS + 1)];
    size_t at = 0;
    if (info->uncond_depth == 0 && info->late_count == 0) return;
    cJSON *guidance = vt_json_object(supernet, "guidance");
    if (info->uncond_depth > 0) vt_json_number(guidance, "uncond_depth", info->uncond_depth);
    for (int i = 0; i < info->late_count; ++i)
        at += (size_t)snprintf(late + at, sizeof late - at, "%s%d:%.9g", i ? "," : "",
                               info->late[i].depth, (double)info->late[i].factor);
    if (info->late_count > 0) vt_json_string(guidance, "late", late);
}

static cJSON *preview_json(const vt_model_save *save) {
    const vt_preview_config *config = vt_preview_configuration(save->preview);
    cJSON *json = cJSON_CreateObject();
    add_ints(json, "widths", config->widths, config->levels);
    vt_json_number(json, "blocks", config->blocks);
    cJSON *training = vt_json_of(save->preview_training);
    if (training) vt_json_put(json, "training", training);
    return json;
}

char *vt_model_config_with_preview(const char *text, const vt_model_save *save) {
    cJSON *json = vt_json_of(text);
    cJSON_DeleteItemFromObject(json, "preview_decoder");
    const bool added = json && vt_json_put(json, "preview_decoder", preview_json(save));
    char *out = added ? vt_json_text(json) : NULL;
    cJSON_Delete(json);
    return out;
}

char *vt_model_config_text(const vt_model_save *save) {
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "format", 1);
    if (save->tokenizer)
        vt_json_put(json, "tokenizer", tokenizer_json(vt_tokenizer_configuration(save->tokenizer)));
    if (save->preview) vt_json_put(json, "preview_decoder", preview_json(save));
    if (save->transformer)
        vt_json_put(json, "transformer",
                    transformer_json(vt_transformer_configuration(save->transformer)));
    if (save->class_count > 0)
        vt_json_put(
            json, "classes",
            cJSON_CreateStringArray((const char *const *)save->class_names, save->class_count));
    if (save->supernet && save->supernet->trained) {
        cJSON *supernet = vt_json_object(json, "supernet");
        vt_json_number(supernet, "bridge", save->supernet->bridge);
        add_ints(supernet, "depths", save->supernet->depths, save->supernet->depth_count);
        vt_json_string(supernet, "layers", vt_selector_name(save->supernet->selector));
        add_supernet_guidance(supernet, save->supernet);
    }
    char *text = vt_json_text(json);
    cJSON_Delete(json);
    return text;
}

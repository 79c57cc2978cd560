/* facts_json.c - an inspection as JSON, which programs and people read. See facts.h. */
#include <cjson/cJSON.h>
#include <stdio.h>

#include "convert/facts.h"
#include "io/json.h"

static void add_number(cJSON *to, const char *key, double value) {
    cJSON_AddNumberToObject(to, key, value);
}

static void add_scales(cJSON *to, const int *sides, int scales, int tokens) {
    cJSON_AddItemToObject(to, "sides", cJSON_CreateIntArray(sides, scales));
    add_number(to, "scales", scales);
    add_number(to, "tokens", tokens);
}

/* Text of JSON as what it says. */
static void add_parsed(cJSON *to, const char *key, const char *text) {
    cJSON *value = vt_json_of(text);
    if (value) cJSON_AddItemToObject(to, key, value);
}

/* ---- files ---- */

static cJSON *json_of_file(const variant_file_facts *facts, bool model) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "path", facts->path);
    cJSON_AddStringToObject(item, "format", facts->format);
    add_number(item, "tensors", facts->tensors);
    add_number(item, "bytes", (double)facts->bytes);
    cJSON *parts = model ? cJSON_AddArrayToObject(item, "parts") : NULL;
    for (int i = 0; i < facts->part_count; ++i) {
        cJSON *part = cJSON_CreateObject();
        cJSON_AddStringToObject(part, "part", facts->parts[i]->part);
        cJSON_AddStringToObject(part, "in", facts->parts[i]->in);
        cJSON_AddBoolToObject(part, "taken", facts->parts[i]->taken);
        cJSON_AddItemToArray(parts, part);
    }
    if (!facts->packed) return item;
    cJSON *packed = cJSON_AddObjectToObject(item, "packed");
    cJSON_AddStringToObject(packed, "layout", facts->packed_layout);
    add_number(packed, "version", facts->packed_version);
    cJSON_AddStringToObject(packed, "weights", facts->packed);
    return item;
}

static cJSON *json_of_damage(const variant_tensor_facts *facts) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "tensor", facts->name);
    add_number(item, "not_finite", (double)facts->not_finite);
    add_number(item, "of", (double)facts->numbers);
    return item;
}

static cJSON *json_of_tensor(const variant_tensor_facts *facts) {
    cJSON *item = cJSON_CreateObject(), *shape = cJSON_AddArrayToObject(item, "shape");
    cJSON_AddStringToObject(item, "name", facts->name);
    if (facts->group[0]) cJSON_AddStringToObject(item, "group", facts->group);
    cJSON_AddStringToObject(item, "type", facts->type);
    if (facts->not_finite) add_number(item, "not_finite", (double)facts->not_finite);
    for (int d = 0; d < facts->rank; ++d)
        cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)facts->shape[d]));
    return item;
}

/* ---- parts of a model ---- */

static cJSON *json_of_tokenizer(const variant_tokenizer_facts *facts) {
    cJSON *item = cJSON_CreateObject();
    add_number(item, "parameters", (double)facts->parameters);
    add_number(item, "mapped_bytes", (double)facts->mapped_bytes);
    add_number(item, "picture_side", facts->picture_side);
    add_number(item, "channels", facts->channels);
    add_number(item, "base_width", facts->base_width);
    cJSON_AddItemToObject(item, "mult", cJSON_CreateIntArray(facts->mult, facts->level_count));
    add_number(item, "blocks", facts->blocks);
    add_number(item, "codes", facts->codes);
    add_number(item, "latent_dim", facts->latent_dim);
    add_scales(item, facts->sides, facts->scales, facts->tokens);
    return item;
}

static cJSON *json_of_preview(const variant_preview_facts *facts) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "hash", facts->hash);
    add_number(item, "parameters", (double)facts->parameters);
    add_number(item, "mapped_bytes", (double)facts->mapped_bytes);
    cJSON_AddItemToObject(item, "widths", cJSON_CreateIntArray(facts->widths, facts->level_count));
    add_number(item, "blocks", facts->blocks);
    add_parsed(item, "training", facts->training);
    return item;
}

static cJSON *json_of_depth(const variant_depth_facts *facts) {
    cJSON *item = cJSON_CreateObject();
    add_number(item, "depth", facts->depth);
    add_number(item, "bridge", facts->bridge);
    cJSON_AddStringToObject(item, "layers_by_scale", facts->layers_by_scale);
    add_number(item, "kv_peak_bytes", (double)facts->kv_peak_bytes);
    add_number(item, "kv_end_bytes", (double)facts->kv_end_bytes);
    add_number(item, "kv_retained_bytes", (double)facts->kv_retained_bytes);
    add_number(item, "saved", facts->saved);
    add_number(item, "saved_retained", facts->saved_retained);
    return item;
}

static void add_supernet(cJSON *to, const variant_transformer_facts *facts) {
    cJSON *item = cJSON_AddObjectToObject(to, "supernet");
    cJSON_AddBoolToObject(item, "trained", facts->supernet);
    if (!facts->supernet) return;
    add_number(item, "bridge", facts->bridge);
    add_number(item, "last_bridge", facts->last_bridge);
    cJSON_AddItemToObject(item, "depths", cJSON_CreateIntArray(facts->depths, facts->depth_count));
    cJSON_AddStringToObject(item, "layers", facts->layers);
    add_number(item, "uncond_depth", facts->uncond_depth);
    cJSON *late = cJSON_AddObjectToObject(item, "cfg_late"); /* {"12": 2.2, "6": 3} */
    for (int i = 0; i < facts->late_count; ++i) {
        char depth[16];
        snprintf(depth, sizeof depth, "%d", facts->late_depths[i]);
        add_number(late, depth, facts->cfg_lates[i]);
    }
}

static cJSON *json_of_transformer(const variant_transformer_facts *facts) {
    cJSON *item = cJSON_CreateObject();
    add_number(item, "parameters", (double)facts->parameters);
    add_number(item, "mapped_bytes", (double)facts->mapped_bytes);
    add_number(item, "depth", facts->depth);
    add_number(item, "width", facts->width);
    add_number(item, "heads", facts->heads);
    add_number(item, "hidden", facts->hidden);
    add_number(item, "codes", facts->codes);
    add_number(item, "latent_dim", facts->latent_dim);
    add_number(item, "classes", facts->classes);
    cJSON_AddBoolToObject(item, "l2_norm", facts->l2_norm);
    cJSON_AddBoolToObject(item, "shared_adaln", facts->shared_adaln);
    add_scales(item, facts->sides, facts->scales, facts->tokens);
    cJSON *names = cJSON_AddArrayToObject(item, "class_names");
    for (int i = 0; i < facts->class_name_count; ++i)
        cJSON_AddItemToArray(names, cJSON_CreateString(facts->class_names[i]));
    add_supernet(item, facts);
    if (facts->integers) add_parsed(item, "int8", facts->integers->json);
    cJSON *depths = cJSON_AddArrayToObject(item, "depths");
    for (int i = 0; i < facts->cost_count; ++i)
        cJSON_AddItemToArray(depths, json_of_depth(facts->costs[i]));
    return item;
}

static cJSON *json_of_network(const variant_network *facts) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "network", facts->name);
    cJSON_AddBoolToObject(item, "inception", facts->inception);
    add_number(item, "picture_side", facts->side);
    add_number(item, "channels", facts->channels);
    add_number(item, "features", facts->dims);
    add_number(item, "spatial_features", facts->spatial_dims);
    add_number(item, "classes", facts->classes);
    return item;
}

/* ---- all of it ---- */

char *variant_inspection_json(const variant_inspection *told) {
    if (!told) return NULL;
    cJSON *facts = cJSON_CreateObject(), *list = cJSON_AddArrayToObject(facts, "files");
    for (int i = 0; i < told->file_count; ++i)
        cJSON_AddItemToArray(list, json_of_file(told->files[i], !told->network));
    cJSON_AddStringToObject(facts, "hash", told->hash);
    list = cJSON_AddArrayToObject(facts, "not_finite");
    for (int i = 0; i < told->damaged_count; ++i)
        if (told->damaged[i]->not_finite > 0)
            cJSON_AddItemToArray(list, json_of_damage(told->damaged[i]));
    list = cJSON_AddArrayToObject(facts, "changed");
    for (int i = 0; i < told->damaged_count; ++i)
        if (told->damaged[i]->changed)
            cJSON_AddItemToArray(list, cJSON_CreateString(told->damaged[i]->name));
    if (told->tokenizer)
        cJSON_AddItemToObject(facts, "tokenizer", json_of_tokenizer(told->tokenizer));
    if (told->preview)
        cJSON_AddItemToObject(facts, "preview_decoder", json_of_preview(told->preview));
    if (told->transformer)
        cJSON_AddItemToObject(facts, "transformer", json_of_transformer(told->transformer));
    if (told->network)
        cJSON_AddItemToObject(facts, "feature_network", json_of_network(told->network));
    list = told->tensors ? cJSON_AddArrayToObject(facts, "tensors") : NULL;
    for (int i = 0; i < told->tensor_count; ++i)
        cJSON_AddItemToArray(list, json_of_tensor(told->tensors[i]));
    char *text = cJSON_Print(facts);
    cJSON_Delete(facts);
    return text;
}

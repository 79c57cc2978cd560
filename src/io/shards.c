/* shards.c - a model in several files: the JSON index (model.safetensors.index.json, pytorch_model.bin.index.json)
 * that says which tensor lies in which file beside it. Called by tensors.c.
 *
 * {"metadata": {...}, "weight_map": {"tensor": "model-00001-of-00002.safetensors", ...}} - file names are
 * plain names in the index's folder, so that an index cannot point elsewhere. */
#include <stdlib.h>
#include <string.h>

#include "io/json.h"
#include "io/tensor_file.h"

#define INDEX_LIMIT ((size_t)64 << 20)
enum { MOST_SHARDS = 1024 };

static bool may_be(const vt_mapping *map) {
    return map->size >= 2 && map->size <= INDEX_LIMIT && map->data[0] &&
           strchr("{ \n\r\t", map->data[0]) &&
           !vt_json_exceeds((const char *)map->data, map->size, VT_JSON_VALUES);
}

static cJSON *parse(const vt_mapping *map) {
    return may_be(map) ? vt_json_read((const char *)map->data, map->size, NULL) : NULL;
}

bool vt_shards_is(const vt_mapping *map) {
    cJSON *json = parse(map);
    bool is = cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(json, "weight_map"));
    if (!json && may_be(map)) is = vt_json_is((const char *)map->data, map->size); /* no memory */
    cJSON_Delete(json);
    return is;
}

static bool is_plain_name(const char *name) {
    return name[0] && name[0] != '.' && !strchr(name, '/') && strlen(name) < 256;
}

/* The shard of that name, opened on first use. */
static variant_status open_shard(vt_tensor_file *file, char **names, const char *name,
                                 vt_tensor_file **out, variant_error *err) {
    char printable[VT_PRINTABLE];
    for (int i = 0; i < file->shard_count; i++) {
        *out = file->shards[i];
        if (strcmp(names[i], name) == 0) return VARIANT_OK;
    }
    vt_printable(printable, name);
    const char *slash = strrchr(file->path, '/');
    if (!is_plain_name(name))
        return vt_fail(err, VARIANT_E_FORMAT, "names the file '%s', expected one in its own folder",
                       printable);
    if (strcmp(name, slash ? slash + 1 : file->path) == 0)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "weight_map: names the index itself, expected tensors");
    if (file->shard_count == MOST_SHARDS)
        return vt_fail(err, VARIANT_E_FORMAT, "names more than %d files", (int)MOST_SHARDS);
    char *path = NULL;
    if (asprintf(&path, "%.*s%s", slash ? (int)(slash + 1 - file->path) : 0, file->path, name) < 0)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory to open %s", printable);
    vt_tensor_file *shard = NULL;
    variant_status status = vt_tensor_file_open_shard(&shard, path, file->guarded, err);
    free(path);
    if (status != VARIANT_OK) return vt_fail_within(err, status, "shard");
    file->shards[file->shard_count] = *out = shard;
    names[file->shard_count++] = (char *)(uintptr_t)name;
    return VARIANT_OK;
}

static variant_status add_named(vt_tensor_file *file, char **names, const cJSON *item,
                                variant_error *err) {
    char printable[VT_PRINTABLE], place[VT_PRINTABLE];
    vt_tensor_file *shard = NULL;
    if (!cJSON_IsString(item))
        return vt_fail(err, VARIANT_E_FORMAT, "weight_map: '%s' names no file",
                       vt_printable(printable, item->string));
    VT_TRY(open_shard(file, names, item->valuestring, &shard, err));
    const vt_tensor *found = vt_tensor_file_find(shard, NULL, item->string);
    if (!found)
        return vt_fail(err, VARIANT_E_FORMAT, "tensor '%s' is not in its shard '%s'",
                       vt_printable(printable, item->string),
                       vt_printable(place, item->valuestring));
    return vt_tensor_file_add(file, found, err);
}

/* Settings of the shards: of the first that has a key. */
static variant_status add_shard_meta(vt_tensor_file *file, variant_error *err) {
    for (int i = 0; i < file->shard_count; i++) {
        const vt_tensor_file *shard = file->shards[i];
        for (int j = 0; shard && j < shard->meta_count; j++)
            if (!vt_tensor_file_meta(file, shard->meta[j].key))
                VT_TRY(
                    vt_tensor_file_add_meta(file, shard->meta[j].key, shard->meta[j].value, err));
    }
    return VARIANT_OK;
}

static variant_status read_map(vt_tensor_file *file, const cJSON *json, char **names,
                               variant_error *err) {
    const cJSON *map = cJSON_GetObjectItemCaseSensitive(json, "weight_map"), *item;
    cJSON_ArrayForEach(item, map) VT_TRY(add_named(file, names, item, err));
    const vt_tensor_file *first = file->shards[0];
    if (!first) return vt_fail(err, VARIANT_E_FORMAT, "an index that names no tensors");
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(json, "metadata")) {
        if (cJSON_IsString(item))
            VT_TRY(vt_tensor_file_add_meta(file, item->string, item->valuestring, err));
    }
    VT_TRY(add_shard_meta(file, err));
    char text[64];
    int length = snprintf(text, sizeof text, "%s, %d shards", first->format, file->shard_count);
    file->format = vt_pool_text(&file->pool, text, length > 0 ? (size_t)length : 0);
    return file->format ? VARIANT_OK : vt_pool_fail(&file->pool, err);
}

variant_status vt_shards_read(vt_tensor_file *file, variant_error *err) {
    char **names = calloc(MOST_SHARDS, sizeof *names); /* in the JSON's memory */
    if (vt_json_has_nul((const char *)file->map.data, file->map.size)) {
        free(names);
        return vt_fail(err, VARIANT_E_FORMAT, "an index with a NUL character in it");
    }
    cJSON *json = parse(&file->map);
    file->shards = calloc(MOST_SHARDS, sizeof *file->shards);
    variant_status status = names && json && file->shards
                                ? read_map(file, json, names, err)
                                : vt_fail(err, VARIANT_E_MEMORY, "no memory to read an index");
    cJSON_Delete(json);
    free(names);
    return status;
}

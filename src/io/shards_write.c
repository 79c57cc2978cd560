/* shards_write.c - tensors to several safetensors files and the index that names them; shards.c reads it. Called by the engine. */
#include <stdlib.h>
#include <string.h>

#include "io/tensor_file.h"

enum { MOST_SHARDS = 1024 }; /* as many as are read back */
#define ENDING ".safetensors"

typedef struct plan {
    const vt_tensor *measured;
    int *shard; /* of each tensor, from 0; ascending */
    int shards;
    size_t total; /* bytes of all tensors */
} plan;

/* In their order, as many to a shard as fit. */
static void deal(plan *p, int count, size_t most) {
    size_t used = 0;
    p->shards = 1;
    for (int i = 0; i < count; i++) {
        const size_t bytes = p->measured[i].bytes;
        if (used > 0 && (bytes > most || used > most - bytes)) {
            p->shards++;
            used = 0;
        }
        p->shard[i] = p->shards - 1;
        used += bytes;
        p->total += bytes;
    }
}

typedef struct metadata {
    const char *const *keys, *const *values;
    int count;
} metadata;

static variant_status no_memory(const char *path, variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path);
}

/* The path of a shard; free() it. NULL: no memory. */
static char *shard_path(const char *path, int index, int count) {
    char *out = NULL;
    const int stem = (int)(strlen(path) - strlen(ENDING));
    if (asprintf(&out, "%.*s-%05d-of-%05d" ENDING, stem, path, index + 1, count) < 0) return NULL;
    return out;
}

static const char *name_of(const char *path) {
    const char *slash = strrchr(path, '/');
    return slash ? slash + 1 : path;
}

static variant_status write_index(const plan *p, const char *path, int count, variant_error *err) {
    char *index = NULL, *text = NULL;
    cJSON *json = cJSON_CreateObject();
    cJSON *meta = cJSON_AddObjectToObject(json, "metadata");
    cJSON_AddNumberToObject(meta, "total_size", (double)p->total);
    cJSON *map = cJSON_AddObjectToObject(json, "weight_map");
    bool good = meta && map;
    for (int i = 0; good && i < count; i++) {
        char *shard = shard_path(path, p->shard[i], p->shards);
        good = shard && cJSON_AddStringToObject(map, p->measured[i].name, name_of(shard));
        free(shard);
    }
    if (good) text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text || asprintf(&index, "%s.index.json", path) < 0) {
        cJSON_free(text);
        return no_memory(path, err);
    }
    const variant_status status = vt_file_write(index, text, strlen(text), err);
    cJSON_free(text);
    free(index);
    return status;
}

/* One shard's watch, which tells of it as a part of all. */
typedef struct span {
    const vt_work_watch *all;
    int first, count;
} span;

static bool goes_on(void *user, const char *doing, int done, int total) {
    const span *s = user;
    (void)total;
    return s->all->goes_on(s->all->user, doing, s->first + done, s->count);
}

/* All shards under temporary names. */
static variant_status stage_all(const plan *p, vt_replace *files, const char *path,
                                const vt_tensor_out *tensors, int count, const metadata *meta,
                                const vt_work_watch *watch, variant_error *err) {
    for (int shard = 0, first = 0; shard < p->shards; shard++) {
        int last = first;
        while (last < count && p->shard[last] == shard) last++;
        char *name = shard_path(path, shard, p->shards);
        if (!name) return no_memory(path, err);
        span part = {watch, first, count};
        const vt_work_watch of_part = {goes_on, &part};
        variant_status status = vt_safetensors_stage(
            &files[shard], name, tensors + first, last - first, meta->keys, meta->values,
            shard == 0 ? meta->count : 0, watch ? &of_part : NULL, err);
        free(name);
        if (status == VARIANT_OK) status = vt_replace_finish(&files[shard], err);
        VT_TRY(status);
        first = last;
    }
    return VARIANT_OK;
}

static variant_status write_all(const plan *p, const char *path, const vt_tensor_out *tensors,
                                int count, const metadata *meta, const vt_work_watch *watch,
                                variant_error *err) {
    vt_replace *files = calloc((size_t)p->shards, sizeof *files);
    if (!files) return no_memory(path, err);
    variant_status status = stage_all(p, files, path, tensors, count, meta, watch, err);
    for (int i = 0; i < p->shards && status == VARIANT_OK; i++)
        status = vt_replace_commit(&files[i], err);
    for (int i = 0; i < p->shards; i++) vt_replace_abandon(&files[i]);
    free(files);
    return status == VARIANT_OK ? write_index(p, path, count, err) : status;
}

static bool ends_well(const char *path) {
    const size_t length = strlen(path), ending = strlen(ENDING);
    return length > ending && strcmp(path + length - ending, ENDING) == 0 &&
           path[length - ending - 1] != '/';
}

variant_status vt_shards_write(const char *path, size_t most, const vt_tensor_out *tensors,
                               int count, const char *const *meta_keys,
                               const char *const *meta_values, int meta_count, int *shards,
                               const vt_work_watch *watch, variant_error *err) {
    const metadata meta = {meta_keys, meta_values, meta_count};
    variant_status status = VARIANT_OK;
    if (shards) *shards = 0;
    if (most == 0)
        return vt_safetensors_write_watched(path, tensors, count, meta_keys, meta_values,
                                            meta_count, watch, err);
    if (!ends_well(path))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: files in shards are called NAME" ENDING
                       ", of which NAME-00001-of-0000N" ENDING " and the index follow",
                       path);
    vt_tensor *measured = calloc((size_t)count + 1, sizeof *measured);
    plan p = {.measured = measured, .shard = calloc((size_t)count + 1, sizeof *p.shard)};
    if (!measured || !p.shard) VT_CHECK(no_memory(path, err));
    if (vt_tensors_measure(measured, tensors, count, err) != VARIANT_OK)
        VT_CHECK(vt_fail_within(err, VARIANT_E_ARGUMENT, "%s", path));
    deal(&p, count, most);
    if (p.shards > MOST_SHARDS)
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: shards of %zu bytes would be %d files, expected at most %d", path,
                         most, p.shards, (int)MOST_SHARDS));
    if (p.shards > 1)
        VT_CHECK(write_all(&p, path, tensors, count, &meta, watch, err));
    else
        VT_CHECK(vt_safetensors_write_watched(path, tensors, count, meta_keys, meta_values,
                                              meta_count, watch, err));
    if (shards && p.shards > 1) *shards = p.shards;
cleanup:
    free(measured);
    free(p.shard);
    return status;
}

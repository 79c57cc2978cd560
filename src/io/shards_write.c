/* shards_write.c - tensors to several safetensors files and the index that names them; shards.c reads it. Called by the engine. */
#include <stdlib.h>
#include <string.h>

#include "io/tensor_file.h"
#include "io/json.h"

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

static variant_status stage_index(vt_replace_set *into, const plan *p, const char *path, int count,
                                  variant_error *err) {
    char *index = NULL, *text = NULL;
    vt_replace file = {0};
    cJSON *json = cJSON_CreateObject();
    cJSON *meta = vt_json_object(json, "metadata");
    vt_json_number(meta, "total_size", (double)p->total);
    cJSON *map = vt_json_object(json, "weight_map");
    bool good = meta && map;
    for (int i = 0; good && i < count; i++) {
        char *shard = shard_path(path, p->shard[i], p->shards);
        good = shard && vt_json_string(map, p->measured[i].name, name_of(shard));
        free(shard);
    }
    if (good) text = vt_json_lines(json);
    cJSON_Delete(json);
    if (!text || asprintf(&index, "%s.index.json", path) < 0) {
        cJSON_free(text);
        return no_memory(path, err);
    }
    variant_status status = vt_replace_open(&file, index, err);
    if (status == VARIANT_OK) {
        fputs(text, file.stream); /* what fails is found when it is finished */
        status = vt_replace_set_add(into, &file, err);
    }
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

/* All shards, and the index behind them. */
static variant_status stage_all(vt_replace_set *into, const plan *p, const vt_safetensors_out *out,
                                variant_error *err) {
    for (int shard = 0, first = 0; shard < p->shards; shard++) {
        int last = first;
        while (last < out->count && p->shard[last] == shard) last++;
        char *name = shard_path(out->path, shard, p->shards);
        if (!name) return no_memory(out->path, err);
        span part = {out->watch, first, out->count};
        const vt_work_watch of_part = {goes_on, &part};
        vt_safetensors_out one = *out;
        one.path = name;
        one.tensors = out->tensors + first;
        one.count = last - first;
        if (shard > 0) one.meta_count = 0;
        if (out->watch) one.watch = &of_part;
        const variant_status status = vt_safetensors_stage(into, &one, err);
        free(name);
        VT_TRY(status);
        first = last;
    }
    return stage_index(into, p, out->path, out->count, err);
}

static bool ends_well(const char *path) {
    const size_t length = strlen(path), ending = strlen(ENDING);
    return length > ending && strcmp(path + length - ending, ENDING) == 0 &&
           path[length - ending - 1] != '/';
}

variant_status vt_shards_stage(vt_replace_set *into, const vt_safetensors_out *out, size_t most,
                               int *shards, variant_error *err) {
    variant_status status = VARIANT_OK;
    if (shards) *shards = 0;
    if (most == 0) return vt_safetensors_stage(into, out, err);
    if (!ends_well(out->path))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: files in shards are called NAME" ENDING
                       ", of which NAME-00001-of-0000N" ENDING " and the index follow",
                       out->path);
    vt_tensor *measured = calloc((size_t)out->count + 1, sizeof *measured);
    plan p = {.measured = measured, .shard = calloc((size_t)out->count + 1, sizeof *p.shard)};
    if (!measured || !p.shard) VT_CHECK(no_memory(out->path, err));
    if (vt_tensors_measure(measured, out->tensors, out->count, err) != VARIANT_OK)
        VT_CHECK(vt_fail_within(err, VARIANT_E_ARGUMENT, "%s", out->path));
    deal(&p, out->count, most);
    if (p.shards > MOST_SHARDS)
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: shards of %zu bytes would be %d files, expected at most %d",
                         out->path, most, p.shards, (int)MOST_SHARDS));
    VT_CHECK(p.shards > 1 ? stage_all(into, &p, out, err) : vt_safetensors_stage(into, out, err));
    if (shards && p.shards > 1) *shards = p.shards;
cleanup:
    free(measured);
    free(p.shard);
    return status;
}

variant_status vt_shards_write(const vt_safetensors_out *out, size_t most, int *shards,
                               variant_error *err) {
    vt_replace_set files = {0};
    const variant_status status = vt_shards_stage(&files, out, most, shards, err);
    if (status == VARIANT_OK) return vt_replace_set_commit(&files, err);
    vt_replace_set_abandon(&files);
    return status;
}

/* sweep_state.c - sweep.json: what a sweep was asked and what it has found so far; and sweep.csv.
 *
 * The file is the state: sweep.c reads it to go on, report.c to draw, the planner to choose. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cpu.h"
#include "eval/sweep.h"
#include "eval/text.h"
#include "io/file.h"
#include "planning/order.h"

#define STATE_MAX ((size_t)64 << 20)
#define FORMAT 2 /* 1, of files that do not say: scores without spreads */
#define COUNT(list) (sizeof(list) / sizeof *(list))

static void file_path(char *out, size_t size, const char *folder, const char *name) {
    snprintf(out, size, "%s/%s", folder, name);
}

/* ---- what was asked ---- */

static void add_date(cJSON *state) {
    char date[32];
    time_t now = time(NULL);
    struct tm utc;
    strftime(date, sizeof date, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
    cJSON_DeleteItemFromObjectCaseSensitive(state, "date");
    cJSON_AddStringToObject(state, "date", date);
}

static void describe_model(cJSON *model, const vt_sweep_options *o) {
    variant_info info;
    variant_engine_info(o->engine, &info);
    cJSON_AddStringToObject(model, "name", o->subject);
    cJSON_AddStringToObject(model, "hash", info.hash ? info.hash : "");
    cJSON_AddBoolToObject(model, "synthetic", o->synthetic);
    cJSON_AddNumberToObject(model, "depth", info.depth);
    cJSON_AddNumberToObject(model, "width", info.width);
    cJSON_AddNumberToObject(model, "classes", info.classes);
    cJSON_AddItemToObject(model, "sides", cJSON_CreateIntArray(info.sides, info.scales));
    cJSON_AddNumberToObject(model, "picture_side", info.picture_side);
    cJSON_AddNumberToObject(model, "channels", info.channels);
    cJSON_AddBoolToObject(model, "supernet", info.supernet);
    cJSON_AddNumberToObject(model, "bridge", info.supernet ? info.bridge : -1);
    cJSON_AddItemToObject(model, "depths", cJSON_CreateIntArray(info.depths, info.depth_count));
    cJSON_AddNumberToObject(model, "weight_bytes", (double)(info.weight_bytes + info.mapped_bytes));
}

static void describe_settings(cJSON *settings, const vt_sweep_options *o) {
    variant_info info;
    char seed[24];
    variant_engine_info(o->engine, &info);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->request.seed);
    cJSON_AddStringToObject(settings, "weights", info.weights);
    cJSON_AddStringToObject(settings, "kv", info.kv);
    cJSON_AddNumberToObject(settings, "batch", o->request.batch);
    cJSON_AddNumberToObject(settings, "repeat", o->repeat);
    cJSON_AddStringToObject(settings, "seed", seed);
    cJSON_AddStringToObject(settings, "class",
                            o->request.class_name ? o->request.class_name : "random");
    cJSON_AddNumberToObject(settings, "top_k", o->request.top_k);
    cJSON_AddNumberToObject(settings, "top_p", round(1e6 * (double)o->request.top_p) / 1e6);
    cJSON_AddBoolToObject(settings, "greedy", o->request.greedy);
    cJSON_AddBoolToObject(settings, "smooth", o->request.smooth);
    cJSON_AddBoolToObject(settings, "retain_kv", o->request.retain_kv);
    cJSON_AddNumberToObject(settings, "pictures", o->pictures);
    cJSON_AddNumberToObject(settings, "samples", o->judge ? o->judge->samples : 0);
    cJSON_AddItemToObject(settings, "quality",
                          o->judge && o->judge->settings ? cJSON_Duplicate(o->judge->settings, true)
                                                         : cJSON_CreateNull());
}

static cJSON *new_state(const vt_sweep_options *o) {
    char processor[256];
    vt_processor_name(processor, sizeof processor);
    const vt_kern *kern = o->engine->kern;
    cJSON *state = cJSON_CreateObject();
    cJSON_AddNumberToObject(state, "format", FORMAT);
    cJSON_AddStringToObject(state, "variant", variant_version());
    cJSON_AddStringToObject(state, "command", o->command ? o->command : "");
    describe_model(cJSON_AddObjectToObject(state, "model"), o);
    cJSON *machine = cJSON_AddObjectToObject(state, "machine");
    cJSON_AddStringToObject(machine, "processor", processor);
    cJSON_AddStringToObject(machine, "backend", kern->name);
    cJSON_AddStringToObject(machine, "kernels", kern->details ? kern->details : "");
    cJSON_AddNumberToObject(machine, "threads", kern->threads);
    describe_settings(cJSON_AddObjectToObject(state, "settings"), o);
    cJSON_AddArrayToObject(state, "points");
    cJSON_AddArrayToObject(state, "zones");
    add_date(state);
    return state;
}

/* ---- going on ---- */

static const cJSON *part_of(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static int whole(const cJSON *object, const char *key) {
    const cJSON *item = part_of(object, key);
    return cJSON_IsNumber(item) ? item->valueint : 0;
}

static variant_status refuse(const cJSON *mine, const cJSON *theirs, const char *part,
                             const char *folder, variant_error *err) {
    char *before = theirs ? cJSON_PrintUnformatted(theirs) : NULL;
    char *now = cJSON_PrintUnformatted(mine);
    variant_status status =
        vt_fail(err, VARIANT_E_MISMATCH,
                "%s holds a sweep with another %s (%s): %.120s there, %.120s asked; give another "
                "folder with -o",
                folder, mine->string, part, before ? before : "nothing", now ? now : "?");
    cJSON_free(before);
    cJSON_free(now);
    return status;
}

/* May differ: where the same weights lie, how many runs are wanted, and how many draws spreads come from. */
static bool may_differ(const char *part, const char *key) {
    return (strcmp(part, "model") == 0 && strcmp(key, "name") == 0) ||
           (strcmp(part, "settings") == 0 && strcmp(key, "repeat") == 0) ||
           (strcmp(part, "quality") == 0 && strcmp(key, "draws") == 0);
}

/* Settings that older files lack: what held then, or what nobody kept. */
static bool held_before(const cJSON *item) {
    if (strcmp(item->string, "reference_hash") == 0) return true;
    return strcmp(item->string, "resize") == 0 && cJSON_IsString(item) &&
           strcmp(item->valuestring, "pytorch") == 0;
}

static variant_status compare_part(const cJSON *theirs, const cJSON *mine, const char *part,
                                   const char *folder, variant_error *err) {
    const cJSON *item;
    cJSON_ArrayForEach(item, mine) {
        const cJSON *other = part_of(theirs, item->string);
        if (may_differ(part, item->string) || (other && cJSON_Compare(item, other, true))) continue;
        if (!other && held_before(item)) continue;
        if (cJSON_IsObject(item) && cJSON_IsObject(other))
            VT_TRY(compare_part(other, item, item->string, folder, err));
        else
            return refuse(item, other, part, folder, err);
    }
    return VARIANT_OK;
}

/* Brings what a sweep may add to the settings found: runs, and a judge where there was none. */
static variant_status adopt(cJSON *found, const cJSON *wanted, const char *folder,
                            variant_error *err) {
    cJSON *theirs = cJSON_GetObjectItemCaseSensitive(found, "settings");
    const cJSON *mine = part_of(wanted, "settings");
    if (whole(theirs, "samples") > 0 && whole(mine, "samples") == 0)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s holds a sweep with quality, and none is asked: give --reference as "
                       "before, or another folder with -o",
                       folder);
    if (whole(theirs, "samples") == 0) {
        cJSON_ReplaceItemInObjectCaseSensitive(theirs, "samples",
                                               cJSON_Duplicate(part_of(mine, "samples"), true));
        cJSON_ReplaceItemInObjectCaseSensitive(theirs, "quality",
                                               cJSON_Duplicate(part_of(mine, "quality"), true));
    }
    if (whole(theirs, "repeat") < whole(mine, "repeat"))
        cJSON_ReplaceItemInObjectCaseSensitive(theirs, "repeat",
                                               cJSON_Duplicate(part_of(mine, "repeat"), true));
    cJSON_DeleteItemFromObjectCaseSensitive(found, "format");
    cJSON_AddNumberToObject(found, "format", FORMAT);
    return VARIANT_OK;
}

variant_status vt_sweep_state_read(cJSON **out, const char *folder, variant_error *err) {
    char path[4096], *text = NULL;
    file_path(path, sizeof path, folder, "sweep.json");
    VT_TRY(vt_file_read_text(&text, path, STATE_MAX, err));
    cJSON *state = cJSON_Parse(text);
    free(text);
    bool good = cJSON_IsObject(state) &&
                cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(state, "model")) &&
                cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(state, "machine")) &&
                cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(state, "settings")) &&
                cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(state, "points")) &&
                cJSON_IsArray(cJSON_GetObjectItemCaseSensitive(state, "zones"));
    if (!good) {
        cJSON_Delete(state);
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: not the results of a sweep: expected an object with model, machine, "
                       "settings, points and zones",
                       path);
    }
    if (whole(state, "format") > FORMAT) {
        int format = whole(state, "format");
        cJSON_Delete(state);
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: format %d, by a newer version: this one reads up to %d", path, format,
                       FORMAT);
    }
    vt_sweep_state_check_order(state); /* an older version's has not been */
    *out = state;
    return VARIANT_OK;
}

variant_status vt_sweep_state_open(cJSON **out, const vt_sweep_options *o, variant_error *err) {
    char path[4096];
    variant_status status = VARIANT_OK;
    cJSON *wanted = new_state(o), *found = NULL;
    VT_CHECK(vt_folder_make(o->folder, err));
    file_path(path, sizeof path, o->folder, "sweep.json");
    FILE *there = fopen(path, "rb");
    if (there) {
        fclose(there);
        VT_CHECK(vt_sweep_state_read(&found, o->folder, err));
        static const char *const parts[] = {"settings", "model", "machine"};
        VT_CHECK(adopt(found, wanted, o->folder, err));
        for (size_t i = 0; i < COUNT(parts); ++i)
            VT_CHECK(compare_part(part_of(found, parts[i]), part_of(wanted, parts[i]), parts[i],
                                  o->folder, err));
        *out = found;
        found = NULL;
    } else {
        *out = wanted;
        wanted = NULL;
    }
cleanup:
    cJSON_Delete(wanted);
    cJSON_Delete(found);
    return status;
}

cJSON *vt_sweep_state_find(const cJSON *state, const vt_sweep_task *task) {
    cJSON *point;
    cJSON_ArrayForEach(
        point, cJSON_GetObjectItemCaseSensitive(state, task->zone.first ? "zones" : "points")) {
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(point, "id");
        if (cJSON_IsString(id) && strcmp(id->valuestring, task->id) == 0) return point;
    }
    return NULL;
}

/* ---- times that are in doubt ---- */

/* Points and zones of one guidance that have layers and times. */
typedef struct timed_points {
    cJSON **points;
    int *layers; /* (count, scales) */
    vt_timed *times;
    int count, scales, sides[VARIANT_MAX_SCALES];
} timed_points;

static int read_list(const cJSON *array, int *out, int most) {
    const cJSON *item;
    int n = 0;
    cJSON_ArrayForEach(item, array) if (n < most) out[n++] = item->valueint;
    return n;
}

static void add_timed(timed_points *t, cJSON *list, const char *key) {
    cJSON *point;
    cJSON_ArrayForEach(point, list) {
        const cJSON *time = part_of(point, key);
        int *layers = &t->layers[(size_t)t->count * (size_t)t->scales];
        if (!cJSON_IsNumber(time) ||
            read_list(part_of(point, "scale_layers"), layers, t->scales) != t->scales)
            continue;
        t->points[t->count] = point;
        t->times[t->count++] = (vt_timed){layers, time->valuedouble};
    }
}

/* Among those of its own guidance. */
static int find_contradiction(const timed_points *t, vt_timed *room, int i) {
    const cJSON *guidance = part_of(t->points[i], "cfg_scale");
    for (int j = 0; j < t->count; ++j) {
        room[j] = t->times[j];
        if (!cJSON_Compare(part_of(t->points[j], "cfg_scale"), guidance, true))
            room[j].seconds = 0.0;
    }
    return vt_order_contradiction(t->scales, t->sides, room, t->count, i);
}

static void mark(const timed_points *t, vt_timed *room) {
    for (int i = 0; i < t->count; ++i) {
        int other = find_contradiction(t, room, i);
        const cJSON *id = other < 0 ? NULL : part_of(t->points[other], "id");
        if (!cJSON_IsString(id) || part_of(t->points[i], "contradicts")) continue;
        cJSON_AddStringToObject(t->points[i], "contradicts", id->valuestring);
    }
}

void vt_sweep_state_check_order(cJSON *state) {
    static const char *const keys[] = {"picture_ms", "transformer_ms"};
    cJSON *lists[] = {cJSON_GetObjectItemCaseSensitive(state, "points"),
                      cJSON_GetObjectItemCaseSensitive(state, "zones")};
    size_t most = (size_t)(cJSON_GetArraySize(lists[0]) + cJSON_GetArraySize(lists[1]));
    timed_points t = {0};
    t.scales = read_list(part_of(part_of(state, "model"), "sides"), t.sides, VARIANT_MAX_SCALES);
    t.points = calloc(most + 1, sizeof(cJSON *));
    t.layers = calloc((most + 1) * (size_t)(t.scales + 1), sizeof *t.layers);
    t.times = calloc(2 * (most + 1), sizeof *t.times);
    for (size_t i = 0; i < COUNT(lists); ++i) {
        cJSON *point;
        cJSON_ArrayForEach(point, lists[i])
            cJSON_DeleteItemFromObjectCaseSensitive(point, "contradicts");
    }
    for (size_t k = 0; t.points && t.layers && t.times && k < COUNT(keys); ++k) {
        t.count = 0;
        for (size_t i = 0; i < COUNT(lists); ++i) add_timed(&t, lists[i], keys[k]);
        mark(&t, t.times + most);
    }
    free(t.points);
    free(t.layers);
    free(t.times);
}

void vt_sweep_doubt(const cJSON *point, char *out, size_t size) {
    const cJSON *other = part_of(point, "contradicts");
    int all = cJSON_GetArraySize(part_of(part_of(point, "runs"), "picture_ms"));
    bool disturbed = cJSON_IsTrue(part_of(point, "disturbed"));
    out[0] = '\0';
    if (disturbed)
        snprintf(out, size, "disturbed: %d of %d runs", whole(point, "disturbed_runs"), all);
    size_t used = strlen(out);
    if (cJSON_IsString(other))
        snprintf(out + used, size - used, "%s slower than %s, which runs more layers",
                 disturbed ? ";" : "disturbed:", other->valuestring);
}

/* ---- sweep.csv ---- */

static const char *const csv_strings[] = {"id", "selector", "depths", "zone"};
static const char *const csv_numbers[] = {
    "depth",          "bridge",         "cfg_scale",    "picture_ms",  "picture_ms_min",
    "picture_ms_max", "transformer_ms", "condition_ms", "sampling_ms", "quantizer_ms",
    "decoder_ms",     "kv_peak_bytes",  "kv_end_bytes", "arena_bytes", "memory_bytes"};
static const char *const csv_quality[] = {"frechet",
                                          "spatial_frechet",
                                          "inception_score",
                                          "inception_score_spread",
                                          "precision",
                                          "recall",
                                          "class_share",
                                          "samples",
                                          "reference_samples",
                                          "frechet_spread",
                                          "spatial_frechet_spread",
                                          "precision_spread",
                                          "recall_spread",
                                          "class_share_spread"};

static void csv_number(vt_text *csv, const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    if (cJSON_IsNumber(item))
        vt_text_add(csv, ",%.10g", item->valuedouble);
    else
        vt_text_add(csv, ",");
}

static void csv_string(vt_text *csv, const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    vt_text_add(csv, "\"");
    for (const char *p = cJSON_IsString(item) ? item->valuestring : ""; *p; ++p)
        vt_text_add(csv, *p == '"' ? "\"\"" : "%c", *p);
    vt_text_add(csv, "\"");
}

static void csv_point(vt_text *csv, const cJSON *point) {
    for (size_t i = 0; i < COUNT(csv_strings); ++i) {
        if (i) vt_text_add(csv, ",");
        csv_string(csv, point, csv_strings[i]);
    }
    for (size_t i = 0; i < COUNT(csv_numbers); ++i) csv_number(csv, point, csv_numbers[i]);
    char doubt[200];
    vt_sweep_doubt(point, doubt, sizeof doubt);
    vt_text_add(csv, ",%d", doubt[0] != '\0');
    const cJSON *quality = cJSON_GetObjectItemCaseSensitive(point, "quality");
    vt_text_add(csv, ",");
    csv_string(csv, quality, "name");
    for (size_t i = 0; i < COUNT(csv_quality); ++i) csv_number(csv, quality, csv_quality[i]);
    vt_text_add(csv, "\n");
}

static variant_status write_csv(const cJSON *state, const char *folder, variant_error *err) {
    vt_text csv = {0};
    const cJSON *point;
    char path[4096];
    for (size_t i = 0; i < COUNT(csv_strings); ++i)
        vt_text_add(&csv, "%s%s", i ? "," : "", csv_strings[i]);
    for (size_t i = 0; i < COUNT(csv_numbers); ++i) vt_text_add(&csv, ",%s", csv_numbers[i]);
    vt_text_add(&csv, ",disturbed,score");
    for (size_t i = 0; i < COUNT(csv_quality); ++i) vt_text_add(&csv, ",%s", csv_quality[i]);
    vt_text_add(&csv, "\n");
    cJSON_ArrayForEach(point, cJSON_GetObjectItemCaseSensitive(state, "points"))
        csv_point(&csv, point);
    cJSON_ArrayForEach(point, cJSON_GetObjectItemCaseSensitive(state, "zones"))
        csv_point(&csv, point);
    file_path(path, sizeof path, folder, "sweep.csv");
    variant_status status = csv.failed ? vt_fail(err, VARIANT_E_MEMORY, "%s: no memory", path)
                                       : vt_file_write(path, csv.data, csv.size, err);
    vt_text_free(&csv);
    return status;
}

/* ---- writing ---- */

variant_status vt_sweep_state_write(const cJSON *state, const char *folder, variant_error *err) {
    char path[4096];
    char *text = cJSON_Print(state);
    if (!text) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for the results", folder);
    file_path(path, sizeof path, folder, "sweep.json");
    variant_status status = vt_file_write(path, text, strlen(text), err);
    cJSON_free(text);
    return status == VARIANT_OK ? write_csv(state, folder, err) : status;
}

void vt_sweep_state_add(cJSON *state, const vt_sweep_task *task, cJSON *point) {
    cJSON_AddItemToArray(
        cJSON_GetObjectItemCaseSensitive(state, task->zone.first ? "zones" : "points"), point);
    add_date(state);
}

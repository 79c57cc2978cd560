/* sweep_file.c - see sweep_file.h: tables of members, and what reads and writes any object by its table. */
#include "planning/sweep_file.h"

#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"

#define FILE_MAX ((size_t)64 << 20)
#define WHOLE_MAX 1e9

/* ---- tables ---- */

typedef enum kind { TEXT, NUMBER, WHOLE, FLAG, LIST, JSON, OBJECT } kind;

typedef struct table table;

typedef struct field {
    const char *key;
    size_t at; /* in its struct */
    kind kind;
    const table *of; /* an OBJECT's */
} field;

struct table {
    const field *fields;
    size_t count;
};

/* In every table below T is its struct. */
#define FIELD(member, kind)                                                                        \
    { #member, offsetof(T, member), kind, NULL }
#define INNER(member, table)                                                                       \
    { #member, offsetof(T, member), OBJECT, &table }
/* Of vt_sweep_times, whose keys lie among those of what holds it. */
#define TIME(member, kind)                                                                         \
    { #member, offsetof(T, times.member), kind, NULL }
#define TIMES                                                                                      \
    TIME(picture_ms, NUMBER), TIME(transformer_ms, NUMBER), TIME(condition_ms, NUMBER),            \
        TIME(sampling_ms, NUMBER), TIME(quantizer_ms, NUMBER), TIME(decoder_ms, NUMBER),           \
        TIME(scale_ms, LIST)
#define TABLE(name, list) static const table name = {list, sizeof list / sizeof *list}

#define T vt_sweep_model
static const field model_fields[] = {
    FIELD(name, TEXT),          FIELD(hash, TEXT),          FIELD(synthetic, FLAG),
    FIELD(depth, WHOLE),        FIELD(width, WHOLE),        FIELD(classes, WHOLE),
    FIELD(sides, LIST),         FIELD(picture_side, WHOLE), FIELD(channels, WHOLE),
    FIELD(supernet, FLAG),      FIELD(bridge, WHOLE),       FIELD(depths, LIST),
    FIELD(weight_bytes, NUMBER)};
TABLE(model_table, model_fields);
#undef T

#define T vt_sweep_machine
static const field machine_fields[] = {FIELD(processor, TEXT), FIELD(backend, TEXT),
                                       FIELD(kernels, TEXT), FIELD(threads, WHOLE)};
TABLE(machine_table, machine_fields);
#undef T

#define T vt_sweep_judged_by
static const field judged_by_fields[] = {
    FIELD(score, TEXT),         FIELD(network, TEXT),
    FIELD(network_hash, TEXT),  FIELD(resize, TEXT),
    FIELD(draws, WHOLE),        FIELD(reference, TEXT),
    FIELD(split, TEXT),         FIELD(fit, TEXT),
    FIELD(alpha, TEXT),         FIELD(reference_samples, NUMBER),
    FIELD(reference_hash, TEXT)};
TABLE(judged_by_table, judged_by_fields);
#undef T

#define T vt_sweep_settings
static const field settings_fields[] = {FIELD(weights, TEXT),   FIELD(kv, TEXT),
                                        FIELD(batch, WHOLE),    FIELD(repeat, WHOLE),
                                        FIELD(seed, TEXT),      FIELD(class, TEXT),
                                        FIELD(top_k, WHOLE),    FIELD(top_p, NUMBER),
                                        FIELD(greedy, FLAG),    FIELD(smooth, FLAG),
                                        FIELD(retain_kv, FLAG), FIELD(pictures, WHOLE),
                                        FIELD(samples, WHOLE),  FIELD(seeds, TEXT),
                                        FIELD(decoder, TEXT),   INNER(quality, judged_by_table)};
TABLE(settings_table, settings_fields);
#undef T

#define T vt_sweep_file
static const field file_fields[] = {
    FIELD(format, WHOLE),      FIELD(variant, TEXT),          FIELD(command, TEXT),
    INNER(model, model_table), INNER(machine, machine_table), INNER(settings, settings_table),
    FIELD(date, TEXT)};
TABLE(file_table, file_fields);
#undef T

#define T vt_sweep_timing
static const field timing_fields[] = {TIMES, FIELD(disturbed, TEXT)};
TABLE(timing_table, timing_fields);
#undef T

#define T vt_sweep_scores
static const field scores_fields[] = {FIELD(name, TEXT),
                                      FIELD(frechet, NUMBER),
                                      FIELD(frechet_spread, NUMBER),
                                      FIELD(spatial_frechet, NUMBER),
                                      FIELD(spatial_frechet_spread, NUMBER),
                                      FIELD(inception_score_name, TEXT),
                                      FIELD(inception_score, NUMBER),
                                      FIELD(inception_score_spread, NUMBER),
                                      FIELD(precision, NUMBER),
                                      FIELD(precision_spread, NUMBER),
                                      FIELD(recall, NUMBER),
                                      FIELD(recall_spread, NUMBER),
                                      FIELD(neighbours, WHOLE),
                                      FIELD(neighbours_samples, WHOLE),
                                      FIELD(class_share, NUMBER),
                                      FIELD(class_share_spread, NUMBER),
                                      FIELD(kid, NUMBER),
                                      FIELD(kid_spread, NUMBER),
                                      FIELD(draws, WHOLE),
                                      FIELD(samples, NUMBER),
                                      FIELD(network, TEXT),
                                      FIELD(network_hash, TEXT),
                                      FIELD(reference, TEXT),
                                      FIELD(reference_samples, NUMBER),
                                      FIELD(warnings, JSON),
                                      FIELD(warning, TEXT),
                                      FIELD(seeds, JSON)};
TABLE(scores_table, scores_fields);
#undef T

#define T vt_sweep_point
static const field point_fields[] = {FIELD(id, TEXT),
                                     FIELD(depth, WHOLE),
                                     FIELD(zone, TEXT),
                                     FIELD(bridge, WHOLE),
                                     FIELD(selector, TEXT),
                                     FIELD(cfg_scale, NUMBER),
                                     FIELD(depths, TEXT),
                                     FIELD(uncond_depths, TEXT),
                                     FIELD(uncond_depth, WHOLE),
                                     FIELD(guidance, LIST),
                                     FIELD(cfg_late, NUMBER),
                                     INNER(quality, scores_table),
                                     TIMES,
                                     FIELD(picture_ms_min, NUMBER),
                                     FIELD(picture_ms_max, NUMBER),
                                     FIELD(disturbed, FLAG),
                                     FIELD(disturbed_runs, WHOLE),
                                     FIELD(contradicts, TEXT),
                                     FIELD(kv_peak_bytes, NUMBER),
                                     FIELD(kv_end_bytes, NUMBER),
                                     FIELD(arena_bytes, NUMBER),
                                     FIELD(memory_bytes, NUMBER),
                                     FIELD(scale_kv_bytes, LIST),
                                     FIELD(scale_layers, LIST),
                                     FIELD(warning, TEXT),
                                     FIELD(pictures, TEXT)};
TABLE(point_table, point_fields);
#undef T

#define RUNS "runs" /* of a point: an array a key of timing_table, an item a run */

static const cJSON *item_of(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* ---- reading ---- */

static void read_object(const table *t, const cJSON *json, void *out);

static int read_whole(const cJSON *item) {
    bool good = cJSON_IsNumber(item) && item->valuedouble >= 0.0 && item->valuedouble <= WHOLE_MAX;
    return good ? (int)item->valuedouble : -1;
}

static double read_number(const cJSON *item) {
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static vt_sweep_list read_list(const cJSON *array) {
    vt_sweep_list list = {0};
    const cJSON *item;
    cJSON_ArrayForEach(item, array) {
        if (list.count == VARIANT_MAX_SCALES) break;
        list.at[list.count++] = read_number(item);
    }
    return list;
}

/* `out` is the field's place in its struct. */
static void read_value(const field *f, const cJSON *item, void *out) {
    switch (f->kind) {
    case TEXT:
        *(const char **)out = cJSON_IsString(item) ? item->valuestring : "";
        break;
    case NUMBER:
        *(double *)out = read_number(item);
        break;
    case WHOLE:
        *(int *)out = read_whole(item);
        break;
    case FLAG:
        *(bool *)out = cJSON_IsTrue(item);
        break;
    case LIST:
        *(vt_sweep_list *)out = read_list(item);
        break;
    case JSON:
        *(const cJSON **)out = item;
        break;
    case OBJECT:
        read_object(f->of, item, out);
        break;
    }
}

static void read_object(const table *t, const cJSON *json, void *out) {
    for (size_t i = 0; i < t->count; ++i)
        read_value(&t->fields[i], item_of(json, t->fields[i].key), (char *)out + t->fields[i].at);
}

variant_status vt_sweep_file_read(cJSON **out, const char *path, variant_error *err) {
    char *text = NULL;
    vt_sweep_file file;
    VT_TRY(vt_file_read_text(&text, path, FILE_MAX, err));
    cJSON *json = vt_json_of(text);
    const bool lacked_memory = vt_json_lacked_memory(json, text);
    free(text);
    vt_sweep_file_view(&file, json);
    variant_status status = VARIANT_OK;
    if (lacked_memory)
        status = vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to read it", path);
    else if (!cJSON_IsObject(item_of(json, VT_SWEEP_KEY(vt_sweep_file, model))) ||
             !cJSON_IsArray(file.points))
        status = vt_fail(err, VARIANT_E_FORMAT,
                         "%s: not the results of a sweep: expected an object with model and points",
                         path);
    else if (file.format > VT_SWEEP_FORMAT)
        status = vt_fail(err, VARIANT_E_FORMAT,
                         "%s: format %d, by a newer version: this one reads up to %d", path,
                         file.format, VT_SWEEP_FORMAT);
    if (status != VARIANT_OK) {
        cJSON_Delete(json);
        return status;
    }
    *out = json;
    return VARIANT_OK;
}

void vt_sweep_file_view(vt_sweep_file *out, const cJSON *json) {
    read_object(&file_table, json, out);
    out->points = item_of(json, VT_SWEEP_KEY(vt_sweep_file, points));
    out->zones = item_of(json, VT_SWEEP_KEY(vt_sweep_file, zones));
}

void vt_sweep_judged_by_view(vt_sweep_judged_by *out, const cJSON *json) {
    read_object(&judged_by_table, json, out);
}

void vt_sweep_scores_view(vt_sweep_scores *out, const cJSON *json) {
    read_object(&scores_table, json, out);
}

void vt_sweep_point_view(vt_sweep_point *out, const cJSON *point, int model_depth) {
    read_object(&point_table, point, out);
    out->full = !out->zone[0] && out->depth == model_depth;
    out->json = point;
}

variant_status vt_sweep_points_view(vt_sweep_point **out, int *count, const cJSON *list,
                                    int model_depth, variant_error *err) {
    const cJSON *point;
    const int most = cJSON_GetArraySize(list);
    *count = 0;
    *out = calloc((size_t)most + 1, sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d points", most);
    cJSON_ArrayForEach(point, list) vt_sweep_point_view(&(*out)[(*count)++], point, model_depth);
    return VARIANT_OK;
}

int vt_sweep_timing_count(const cJSON *point) {
    const cJSON *runs = item_of(point, RUNS);
    return runs ? cJSON_GetArraySize(item_of(runs, VT_SWEEP_KEY(vt_sweep_times, picture_ms))) : -1;
}

void vt_sweep_timing_view(vt_sweep_timing *out, const cJSON *point, int run) {
    const cJSON *runs = item_of(point, RUNS);
    for (size_t i = 0; i < timing_table.count; ++i) {
        const field *f = &timing_table.fields[i];
        read_value(f, cJSON_GetArrayItem(item_of(runs, f->key), run), (char *)out + f->at);
    }
}

/* ---- writing ---- */

static bool write_object(const table *t, cJSON *json, const void *from);
static bool any_said(const table *t, const void *from);

/* Does the file say anything of this value? `from` is the field's place in its struct. */
static bool is_said(const field *f, const void *from) {
    switch (f->kind) {
    case TEXT: {
        const char *text = *(const char *const *)from;
        return text && text[0];
    }
    case NUMBER:
        return isfinite(*(const double *)from);
    case WHOLE:
        return *(const int *)from >= 0;
    case LIST:
        return ((const vt_sweep_list *)from)->count > 0;
    case JSON:
        return *(const cJSON *const *)from != NULL;
    case OBJECT:
        return any_said(f->of, from);
    case FLAG:
        break;
    }
    return true;
}

static bool any_said(const table *t, const void *from) {
    for (size_t i = 0; i < t->count; ++i)
        if (is_said(&t->fields[i], (const char *)from + t->fields[i].at)) return true;
    return false;
}

/* Of a value that is said; NULL: no memory. */
static cJSON *make_value(const field *f, const void *from) {
    const vt_sweep_list *list = from;
    switch (f->kind) {
    case TEXT:
        return cJSON_CreateString(*(const char *const *)from);
    case NUMBER:
        return cJSON_CreateNumber(*(const double *)from);
    case WHOLE:
        return cJSON_CreateNumber(*(const int *)from);
    case FLAG:
        return cJSON_CreateBool(*(const bool *)from);
    case LIST:
        return cJSON_CreateDoubleArray(list->at, list->count);
    case JSON:
        return cJSON_Duplicate(*(const cJSON *const *)from, true);
    case OBJECT:
        break;
    }
    return NULL;
}

/* The item goes in the place of one of its key. */
static bool put(cJSON *json, const char *key, cJSON *item) {
    if (!item) return false;
    if (!item_of(json, key)) return vt_json_put(json, key, item);
    const bool done = cJSON_ReplaceItemInObjectCaseSensitive(json, key, item);
    if (!done) cJSON_Delete(item);
    return done;
}

/* Is the value what was read from this item? Replacing it would free a text that the struct still has. */
static bool is_there(const field *f, const cJSON *there, const void *from) {
    if (f->kind == TEXT)
        return cJSON_IsString(there) && strcmp(there->valuestring, *(const char *const *)from) == 0;
    return f->kind == JSON && there == *(const cJSON *const *)from;
}

/* An object of which nothing is said is null, unless it is there. */
static bool write_inner(const field *f, cJSON *json, const void *from) {
    const cJSON *there = item_of(json, f->key);
    const bool said = is_said(f, from);
    if (!said && there) return true;
    if (!cJSON_IsObject(there) &&
        !put(json, f->key, said ? cJSON_CreateObject() : cJSON_CreateNull()))
        return false;
    cJSON *inner = cJSON_GetObjectItemCaseSensitive(json, f->key);
    return !said || write_object(f->of, inner, from);
}

static bool write_object(const table *t, cJSON *json, const void *from) {
    bool whole = true;
    for (size_t i = 0; i < t->count; ++i) {
        const field *f = &t->fields[i];
        const void *value = (const char *)from + f->at;
        if (f->kind == OBJECT)
            whole = write_inner(f, json, value) && whole;
        else if (is_said(f, value) && !is_there(f, item_of(json, f->key), value))
            whole = put(json, f->key, make_value(f, value)) && whole;
    }
    return whole;
}

static variant_status write_whole(const table *t, cJSON *json, const void *from,
                                  variant_error *err) {
    if (write_object(t, json, from)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the results of a sweep");
}

variant_status vt_sweep_file_put(cJSON *json, const vt_sweep_file *from, variant_error *err) {
    return write_whole(&file_table, json, from, err);
}

variant_status vt_sweep_judged_by_put(cJSON *json, const vt_sweep_judged_by *from,
                                      variant_error *err) {
    return write_whole(&judged_by_table, json, from, err);
}

variant_status vt_sweep_scores_put(cJSON *json, const vt_sweep_scores *from, variant_error *err) {
    return write_whole(&scores_table, json, from, err);
}

variant_status vt_sweep_point_put(cJSON *point, const vt_sweep_point *from, variant_error *err) {
    return write_whole(&point_table, point, from, err);
}

/* The array of a key, made where there is none, with a null for every run before that it does not have. */
static cJSON *array_of(cJSON *runs, const char *key, int before) {
    cJSON *array = cJSON_GetObjectItemCaseSensitive(runs, key);
    if (!array) array = vt_json_array(runs, key);
    while (array && cJSON_GetArraySize(array) < before)
        if (!vt_json_append(array, cJSON_CreateNull())) return NULL;
    return array;
}

variant_status vt_sweep_timing_add(cJSON *point, const vt_sweep_timing *timing,
                                   variant_error *err) {
    const int before = vt_sweep_timing_count(point);
    cJSON *runs = cJSON_GetObjectItemCaseSensitive(point, RUNS);
    if (!runs) runs = vt_json_object(point, RUNS);
    bool whole = runs != NULL;
    for (size_t i = 0; whole && i < timing_table.count; ++i) {
        const field *f = &timing_table.fields[i];
        const void *value = (const char *)timing + f->at;
        cJSON *item = is_said(f, value) ? make_value(f, value) : cJSON_CreateNull();
        cJSON *array = array_of(runs, f->key, before);
        whole = vt_json_append(array, item);
    }
    return whole ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a timed run");
}

/* sweep_state.c - sweep.json: what a sweep was asked and what it has found so far; and sweep.csv.
 *
 * The file is the state: sweep.c reads it to go on, report.c to draw, the planner to choose. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/cpu.h"
#include "variant.h"
#include "eval/sweep.h"
#include "eval/text.h"
#include "core/descriptor.h"
#include "io/file.h"
#include "io/json.h"
#include "planning/order.h"
#include "planning/sweep_file.h"

#define COUNT(list) (sizeof(list) / sizeof *(list))

static void file_path(char *out, size_t size, const char *folder, const char *name) {
    snprintf(out, size, "%s/%s", folder, name);
}

static cJSON *child_of(cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static const cJSON *part_of(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

/* The list that this task's point stands in. */
static cJSON *list_for(const cJSON *state, const vt_sweep_task *task) {
    return cJSON_GetObjectItemCaseSensitive(state, task->zone.first
                                                       ? VT_SWEEP_KEY(vt_sweep_file, zones)
                                                       : VT_SWEEP_KEY(vt_sweep_file, points));
}

/* ---- what was asked ---- */

#define DATE_ROOM 32

static void write_date(char out[DATE_ROOM]) {
    time_t now = time(NULL);
    struct tm utc;
    strftime(out, DATE_ROOM, "%Y-%m-%dT%H:%M:%SZ", gmtime_r(&now, &utc));
}

static vt_sweep_list list_of(const int *values, int count) {
    vt_sweep_list list = {.count = count};
    for (int i = 0; i < count; ++i) list.at[i] = values[i];
    return list;
}

static vt_sweep_model describe_model(const vt_sweep_options *o, const variant_info *info) {
    return (vt_sweep_model){.name = o->subject,
                            .hash = info->hash,
                            .synthetic = o->synthetic,
                            .depth = info->depth,
                            .width = info->width,
                            .classes = info->classes,
                            .sides = list_of(info->sides, info->scales),
                            .picture_side = info->picture_side,
                            .channels = info->channels,
                            .supernet = info->supernet,
                            .bridge = info->supernet ? info->bridge : -1,
                            .depths = list_of(info->depths, info->depth_count),
                            .weight_bytes = (double)(info->weight_bytes + info->mapped_bytes)};
}

/* But quality, which the judge says. */
static void describe_settings(vt_sweep_settings *settings, const vt_sweep_options *o,
                              const variant_info *info, const char *seed, const char *seeds) {
    settings->weights = info->weights;
    settings->kv = info->kv;
    settings->batch = o->request.batch;
    settings->repeat = o->repeat;
    settings->seed = seed;
    settings->class = o->request.class_name ? o->request.class_name : "random";
    settings->top_k = o->request.top_k;
    settings->top_p = round(1e6 * (double)o->request.top_p) / 1e6;
    settings->greedy = o->request.greedy;
    settings->smooth = o->request.smooth;
    settings->retain_kv = o->request.retain_kv;
    settings->decoder = o->request.decoder ? o->request.decoder : "full";
    settings->pictures = o->pictures;
    settings->samples = o->judge ? o->judge->samples : 0;
    if (o->judge) settings->seeds = seeds;
}

static variant_status describe(cJSON *state, const vt_sweep_options *o, variant_error *err) {
    char processor[256], seed[24], seeds[24 * VT_SWEEP_MAX_LIST] = "", date[DATE_ROOM];
    const vt_kern *kern = o->engine->kern;
    variant_info info;
    vt_sweep_file file;
    info = *variant_engine_info(o->engine);
    vt_processor_name(processor, sizeof processor);
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)o->request.seed);
    size_t used = 0;
    for (int i = 0; i < o->seed_count; ++i)
        used += (size_t)snprintf(seeds + used, sizeof seeds - used, "%s%llu", i ? "," : "",
                                 (unsigned long long)o->seeds[i]);
    write_date(date);
    vt_sweep_file_view(&file, NULL);
    file.format = VT_SWEEP_FORMAT;
    file.variant = variant_version();
    file.command = o->command;
    file.date = date;
    file.model = describe_model(o, &info);
    file.machine = (vt_sweep_machine){.processor = processor,
                                      .backend = kern->name,
                                      .kernels = kern->details,
                                      .threads = kern->threads};
    describe_settings(&file.settings, o, &info, seed, seeds);
    return vt_sweep_file_put(state, &file, err);
}

static variant_status new_state(cJSON **out, const vt_sweep_options *o, variant_error *err) {
    cJSON *state = *out = cJSON_CreateObject();
    if (!state) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a sweep");
    VT_TRY(describe(state, o, err));
    cJSON *settings = child_of(state, VT_SWEEP_KEY(vt_sweep_file, settings));
    if (o->judge && o->judge->settings)
        cJSON_ReplaceItemInObjectCaseSensitive(settings, VT_SWEEP_KEY(vt_sweep_settings, quality),
                                               cJSON_Duplicate(o->judge->settings, true));
    vt_json_array(state, VT_SWEEP_KEY(vt_sweep_file, points));
    vt_json_array(state, VT_SWEEP_KEY(vt_sweep_file, zones));
    return VARIANT_OK;
}

/* ---- going on ---- */

static variant_status refuse(const cJSON *mine, const cJSON *theirs, const char *part,
                             const char *folder, variant_error *err) {
    char *before = theirs ? vt_json_text(theirs) : NULL;
    char *now = vt_json_text(mine);
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
    const struct {
        const char *part, *key;
    } free_ones[] = {
        {VT_SWEEP_KEY(vt_sweep_file, model), VT_SWEEP_KEY(vt_sweep_model, name)},
        {VT_SWEEP_KEY(vt_sweep_file, settings), VT_SWEEP_KEY(vt_sweep_settings, repeat)},
        {VT_SWEEP_KEY(vt_sweep_settings, quality), VT_SWEEP_KEY(vt_sweep_judged_by, draws)}};
    for (size_t i = 0; i < COUNT(free_ones); ++i)
        if (strcmp(part, free_ones[i].part) == 0 && strcmp(key, free_ones[i].key) == 0) return true;
    return false;
}

/* Settings that older files lack: what held then, or what nobody kept. */
static bool held_before(const cJSON *item) {
    if (strcmp(item->string, VT_SWEEP_KEY(vt_sweep_judged_by, reference_hash)) == 0) return true;
    const char *value = cJSON_GetStringValue(item);
    if (!value) return false;
    return (strcmp(item->string, VT_SWEEP_KEY(vt_sweep_judged_by, resize)) == 0 &&
            strcmp(value, "pytorch") == 0) ||
           (strcmp(item->string, VT_SWEEP_KEY(vt_sweep_settings, decoder)) == 0 &&
            strcmp(value, "full") == 0);
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

static const char *seeds_of(const vt_sweep_settings *settings) {
    return settings->seeds[0] ? settings->seeds : settings->seed;
}

/* Brings what a sweep may add to the settings found: runs, and a judge where there was none. */
static variant_status adopt(cJSON *found, const cJSON *wanted, const char *folder,
                            variant_error *err) {
    const char *settings = VT_SWEEP_KEY(vt_sweep_file, settings);
    const char *quality = VT_SWEEP_KEY(vt_sweep_settings, quality);
    vt_sweep_file theirs, mine;
    vt_sweep_file_view(&theirs, found);
    vt_sweep_file_view(&mine, wanted);
    if (theirs.settings.samples > 0 && mine.settings.samples <= 0)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s holds a sweep with quality, and none is asked: give the reference of "
                       "before, or another output",
                       folder);
    if (theirs.settings.samples > 0 && strcmp(theirs.settings.seeds, mine.settings.seeds) != 0)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s holds a sweep judged with other seeds: %.120s there, %.120s asked; give "
                       "another folder with -o",
                       folder, seeds_of(&theirs.settings), seeds_of(&mine.settings));
    if (theirs.settings.samples <= 0) {
        theirs.settings.samples = mine.settings.samples;
        theirs.settings.seeds = mine.settings.seeds;
        cJSON_ReplaceItemInObjectCaseSensitive(
            child_of(found, settings), quality,
            cJSON_Duplicate(part_of(part_of(wanted, settings), quality), true));
        vt_sweep_judged_by_view(&theirs.settings.quality,
                                part_of(part_of(found, settings), quality));
    }
    if (theirs.settings.repeat < mine.settings.repeat)
        theirs.settings.repeat = mine.settings.repeat;
    theirs.format = VT_SWEEP_FORMAT;
    return vt_sweep_file_put(found, &theirs, err);
}

variant_status vt_sweep_state_read(cJSON **out, const char *folder, variant_error *err) {
    static const char *const wanted[] = {VT_SWEEP_KEY(vt_sweep_file, machine),
                                         VT_SWEEP_KEY(vt_sweep_file, settings)};
    char path[4096];
    cJSON *state = NULL;
    file_path(path, sizeof path, folder, VT_SWEEP_FILE);
    VT_TRY(vt_sweep_file_read(&state, path, err));
    bool good = cJSON_IsArray(part_of(state, VT_SWEEP_KEY(vt_sweep_file, zones)));
    for (size_t i = 0; i < COUNT(wanted); ++i)
        good = good && cJSON_IsObject(part_of(state, wanted[i]));
    if (!good) {
        cJSON_Delete(state);
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: not the results of a sweep: expected an object with model, machine, "
                       "settings, points and zones",
                       path);
    }
    vt_sweep_state_check_order(state); /* an older version's has not been */
    *out = state;
    return VARIANT_OK;
}

variant_status vt_sweep_state_open(cJSON **out, const vt_sweep_options *o, variant_error *err) {
    char path[4096];
    variant_status status = VARIANT_OK;
    cJSON *wanted = NULL, *found = NULL;
    VT_CHECK(new_state(&wanted, o, err));
    VT_CHECK(variant_folder_make(o->folder, err));
    file_path(path, sizeof path, o->folder, VT_SWEEP_FILE);
    bool there;
    VT_CHECK(vt_look_for(path, &there, err));
    if (there) {
        VT_CHECK(vt_sweep_state_read(&found, o->folder, err));
        static const char *const parts[] = {VT_SWEEP_KEY(vt_sweep_file, settings),
                                            VT_SWEEP_KEY(vt_sweep_file, model),
                                            VT_SWEEP_KEY(vt_sweep_file, machine)};
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
    cJSON_ArrayForEach(point, list_for(state, task)) {
        const cJSON *id = part_of(point, VT_SWEEP_KEY(vt_sweep_point, id));
        if (cJSON_IsString(id) && strcmp(id->valuestring, task->id) == 0) return point;
    }
    return NULL;
}

/* ---- times that are in doubt ---- */

/* Points and zones that have layers and times. */
typedef struct timed_points {
    vt_sweep_point *points; /* of all lists */
    cJSON **json;           /* theirs */
    int *layers;            /* (count, 2 scales): of the conditional branch, then of the other */
    vt_timed *times;        /* seconds 0: none */
    int count, scales, sides[2 * VARIANT_MAX_SCALES];
} timed_points;

static void timed_points_free(timed_points *t) {
    free(t->points);
    free(t->json);
    free(t->layers);
    free(t->times);
}

/* Of the unconditional branch; where the file does not say, it ran what the conditional one did. */
static void uncond_layers(const vt_sweep_point *p, const int *cond, int scales, int *out) {
    if (variant_list_ints(p->uncond_depths, 0, 1000, scales, out) == scales) return;
    for (int k = 0; k < scales; ++k) out[k] = p->cfg_scale > 0.0 ? cond[k] : 0;
}

static void add_timed(timed_points *t, cJSON *list) {
    cJSON *json;
    cJSON_ArrayForEach(json, list) {
        vt_sweep_point *p = &t->points[t->count];
        int *layers = &t->layers[(size_t)t->count * 2 * (size_t)t->scales];
        cJSON_DeleteItemFromObjectCaseSensitive(json, VT_SWEEP_KEY(vt_sweep_point, contradicts));
        vt_sweep_point_view(p, json, 0);
        if (p->scale_layers.count != t->scales) continue;
        for (int k = 0; k < t->scales; ++k) layers[k] = (int)p->scale_layers.at[k];
        uncond_layers(p, layers, t->scales, layers + t->scales);
        t->json[t->count++] = json;
    }
}

/* Among those of its own guidance, by the time at `offset` of a point's times. */
static int find_contradiction(timed_points *t, int i, size_t offset) {
    for (int j = 0; j < t->count; ++j) {
        const double time = *(const double *)((const char *)&t->points[j].times + offset);
        bool counts = isfinite(time) && t->points[j].cfg_scale == t->points[i].cfg_scale;
        t->times[j] =
            (vt_timed){&t->layers[(size_t)j * 2 * (size_t)t->scales], counts ? time : 0.0};
    }
    return vt_order_contradiction(2 * t->scales, t->sides, t->times, t->count, i);
}

static void mark(timed_points *t, size_t offset) {
    for (int i = 0; i < t->count; ++i) {
        if (t->points[i].contradicts[0]) continue;
        int other = find_contradiction(t, i, offset);
        if (other < 0 || !t->points[other].id[0]) continue;
        t->points[i].contradicts = t->points[other].id;
        vt_json_string(t->json[i], VT_SWEEP_KEY(vt_sweep_point, contradicts), t->points[other].id);
    }
}

void vt_sweep_state_check_order(cJSON *state) {
    cJSON *lists[] = {child_of(state, VT_SWEEP_KEY(vt_sweep_file, points)),
                      child_of(state, VT_SWEEP_KEY(vt_sweep_file, zones))};
    size_t most = 1 + (size_t)(cJSON_GetArraySize(lists[0]) + cJSON_GetArraySize(lists[1]));
    vt_sweep_file file;
    vt_sweep_file_view(&file, state);
    timed_points t = {.scales = file.model.sides.count};
    for (int k = 0; k < t.scales; ++k)
        t.sides[k] = t.sides[t.scales + k] = (int)file.model.sides.at[k];
    t.points = calloc(most, sizeof *t.points);
    t.json = calloc(most, sizeof(cJSON *));
    t.layers = calloc(most * 2 * (size_t)(t.scales + 1), sizeof *t.layers);
    t.times = calloc(most, sizeof *t.times);
    if (t.points && t.json && t.layers && t.times) {
        for (size_t i = 0; i < COUNT(lists); ++i) add_timed(&t, lists[i]);
        mark(&t, offsetof(vt_sweep_times, picture_ms));
        mark(&t, offsetof(vt_sweep_times, transformer_ms));
    }
    timed_points_free(&t);
}

void vt_sweep_doubt(const cJSON *json, char *out, size_t size) {
    vt_sweep_point point;
    vt_sweep_point_view(&point, json, 0);
    out[0] = '\0';
    if (point.disturbed)
        snprintf(out, size, "disturbed: %d of %d runs", point.disturbed_runs,
                 vt_sweep_timing_count(json));
    size_t used = strlen(out);
    if (point.contradicts[0])
        snprintf(out + used, size - used, "%s slower than %s, which runs more layers",
                 point.disturbed ? ";" : "disturbed:", point.contradicts);
}

/* ---- sweep.csv ---- */

typedef struct column {
    const char *key;
    size_t at; /* in vt_sweep_point */
    bool text, whole;
} column;

#define TEXT(member)                                                                               \
    { VT_SWEEP_KEY(vt_sweep_point, member), offsetof(vt_sweep_point, member), true, false }
#define WHOLE(member)                                                                              \
    { VT_SWEEP_KEY(vt_sweep_point, member), offsetof(vt_sweep_point, member), false, true }
#define NUMBER(member)                                                                             \
    { VT_SWEEP_KEY(vt_sweep_point, member), offsetof(vt_sweep_point, member), false, false }
#define TIME(member)                                                                               \
    { VT_SWEEP_KEY(vt_sweep_times, member), offsetof(vt_sweep_point, times.member), false, false }
#define SCORE(member)                                                                              \
    {                                                                                              \
        VT_SWEEP_KEY(vt_sweep_scores, member), offsetof(vt_sweep_point, quality.member), false,    \
            false                                                                                  \
    }

/* Before "disturbed" and "score", and behind them. */
static const column first_columns[] = {TEXT(id),
                                       TEXT(selector),
                                       TEXT(depths),
                                       TEXT(uncond_depths),
                                       NUMBER(cfg_late),
                                       TEXT(zone),
                                       WHOLE(depth),
                                       WHOLE(bridge),
                                       NUMBER(cfg_scale),
                                       TIME(picture_ms),
                                       NUMBER(picture_ms_min),
                                       NUMBER(picture_ms_max),
                                       TIME(transformer_ms),
                                       TIME(condition_ms),
                                       TIME(sampling_ms),
                                       TIME(quantizer_ms),
                                       TIME(decoder_ms),
                                       NUMBER(kv_peak_bytes),
                                       NUMBER(kv_end_bytes),
                                       NUMBER(arena_bytes),
                                       NUMBER(memory_bytes)};
static const column score_columns[] = {SCORE(frechet),
                                       SCORE(spatial_frechet),
                                       SCORE(inception_score),
                                       SCORE(inception_score_spread),
                                       SCORE(precision),
                                       SCORE(recall),
                                       SCORE(class_share),
                                       SCORE(samples),
                                       SCORE(reference_samples),
                                       SCORE(frechet_spread),
                                       SCORE(spatial_frechet_spread),
                                       SCORE(precision_spread),
                                       SCORE(recall_spread),
                                       SCORE(class_share_spread),
                                       SCORE(kid),
                                       SCORE(kid_spread)};

static void csv_string(vt_text *csv, const char *text) {
    vt_text_add(csv, "\"");
    for (; *text; ++text) vt_text_add(csv, *text == '"' ? "\"\"" : "%c", *text);
    vt_text_add(csv, "\"");
}

/* Empty where there is no number. */
static void csv_value(vt_text *csv, const vt_sweep_point *point, const column *c) {
    const void *at = (const char *)point + c->at;
    if (c->text) {
        csv_string(csv, *(const char *const *)at);
        return;
    }
    const int whole = c->whole ? *(const int *)at : 0;
    const double number = !c->whole ? *(const double *)at : whole < 0 ? NAN : (double)whole;
    if (isfinite(number)) vt_text_add(csv, "%.10g", number);
}

static void csv_point(vt_text *csv, const vt_sweep_point *point) {
    char doubt[200];
    for (size_t i = 0; i < COUNT(first_columns); ++i) {
        if (i) vt_text_add(csv, ",");
        csv_value(csv, point, &first_columns[i]);
    }
    vt_sweep_doubt(point->json, doubt, sizeof doubt);
    vt_text_add(csv, ",%d,", doubt[0] != '\0');
    csv_string(csv, point->quality.name);
    for (size_t i = 0; i < COUNT(score_columns); ++i) {
        vt_text_add(csv, ",");
        csv_value(csv, point, &score_columns[i]);
    }
    vt_text_add(csv, "\n");
}

static void csv_points(vt_text *csv, const cJSON *list) {
    const cJSON *json;
    cJSON_ArrayForEach(json, list) {
        vt_sweep_point point;
        vt_sweep_point_view(&point, json, 0);
        csv_point(csv, &point);
    }
}

static variant_status write_csv(const cJSON *state, const char *folder, variant_error *err) {
    vt_text csv = {0};
    char path[4096];
    vt_sweep_file file;
    vt_sweep_file_view(&file, state);
    for (size_t i = 0; i < COUNT(first_columns); ++i)
        vt_text_add(&csv, "%s%s", i ? "," : "", first_columns[i].key);
    vt_text_add(&csv, ",%s,%s", VT_SWEEP_KEY(vt_sweep_point, disturbed),
                VT_SWEEP_KEY(vt_sweep_judged_by, score));
    for (size_t i = 0; i < COUNT(score_columns); ++i)
        vt_text_add(&csv, ",%s", score_columns[i].key);
    vt_text_add(&csv, "\n");
    csv_points(&csv, file.points);
    csv_points(&csv, file.zones);
    file_path(path, sizeof path, folder, "sweep.csv");
    variant_status status = csv.failed ? vt_fail(err, VARIANT_E_MEMORY, "%s: no memory", path)
                                       : vt_file_write(path, csv.data, csv.size, err);
    vt_text_free(&csv);
    return status;
}

/* ---- writing ---- */

variant_status vt_sweep_state_write(const cJSON *state, const char *folder, variant_error *err) {
    char path[4096];
    char *text = vt_json_lines(state);
    if (!text) return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for the results", folder);
    file_path(path, sizeof path, folder, VT_SWEEP_FILE);
    variant_status status = vt_file_write(path, text, strlen(text), err);
    cJSON_free(text);
    return status == VARIANT_OK ? write_csv(state, folder, err) : status;
}

variant_status vt_sweep_state_add(cJSON *state, const vt_sweep_task *task, cJSON *point,
                                  variant_error *err) {
    char date[DATE_ROOM];
    vt_sweep_file file;
    vt_json_append(list_for(state, task), point);
    write_date(date);
    vt_sweep_file_view(&file, state);
    file.date = date;
    return vt_sweep_file_put(state, &file, err);
}

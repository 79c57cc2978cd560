/* cost.c - see cost.h. */
#include "planning/cost.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/cpu.h"
#include "core/limits.h"
#include "core/quiet.h"
#include "engine/engine.h"
#include "io/file.h"

#define RUNS 3
#define MOST_RUNS (2 * RUNS)
#define FILE_MAX ((size_t)1 << 16)
#define NAME "costs"
#define VERSION 1

/* ---- what they say ---- */

/* Proportional outside of the two runs, a line between them. */
static double scale_seconds(const vt_costs *costs, int k, int layers) {
    int low = costs->shallow.layers[k], high = costs->deep.layers[k];
    double cheap = costs->shallow.seconds[k], dear = costs->deep.seconds[k];
    if (high <= low || layers >= high) return dear * layers / high;
    if (layers <= low) return cheap * layers / low;
    return cheap + (dear - cheap) * (layers - low) / (high - low);
}

double vt_costs_seconds(const vt_costs *costs, int model_depth, int bridge, int depth) {
    double seconds = costs->fixed;
    for (int k = 0; k < costs->scales; ++k)
        seconds += scale_seconds(costs, k, k < bridge ? model_depth : depth);
    return seconds;
}

/* ---- measuring ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The runs of one pair of zones. */
typedef struct samples {
    int scales, layers[VARIANT_MAX_SCALES], count;
    double seconds[VARIANT_MAX_SCALES][MOST_RUNS], fixed[MOST_RUNS];
    vt_quiet_span spans[MOST_RUNS];
    int picked[MOST_RUNS], pick_count; /* those that medians are taken of */
} samples;

static double median(const samples *s, const double *values) {
    double sorted[MOST_RUNS];
    for (int i = 0; i < s->pick_count; ++i) sorted[i] = values[s->picked[i]];
    qsort(sorted, (size_t)s->pick_count, sizeof *sorted, ascending);
    return 0.5 * (sorted[(s->pick_count - 1) / 2] + sorted[s->pick_count / 2]);
}

/* One batch; the first, that warms up, counts for nothing. */
static variant_status take_sample(samples *out, vt_quiet *quiet, const variant_engine *engine,
                                  const variant_request *request, vt_zones zones, bool counts,
                                  variant_error *err) {
    variant_request at = *request;
    variant_picture *pictures = NULL;
    variant_report report;
    int run = out->count;
    at.bridge = zones.bridge;
    at.depth = zones.depth;
    vt_quiet_begin(quiet);
    VT_TRY(variant_generate(engine, &at, &pictures, &report, err));
    out->spans[run] = vt_quiet_end(quiet);
    variant_pictures_free(&pictures, at.count);
    if (!counts) return VARIANT_OK;
    ++out->count;
    out->scales = report.scales;
    out->fixed[run] = report.total_seconds;
    for (int k = 0; k < report.scales; ++k) {
        out->layers[k] = report.scale_layers[k];
        out->seconds[k][run] = report.scale_seconds[k] - report.scale_head_seconds[k];
        out->fixed[run] -= out->seconds[k][run];
    }
    return VARIANT_OK;
}

/* Chooses the runs, and says of out whether they were disturbed. */
static void pick(samples *taken, const vt_quiet *quiet, vt_costs *out) {
    bool disturbed;
    taken->pick_count =
        vt_quiet_pick(quiet, taken->spans, taken->count, RUNS, taken->picked, &disturbed);
    if (disturbed && !out->disturbed)
        vt_quiet_why(quiet, taken->spans, taken->count, out->why, sizeof out->why);
    out->disturbed = out->disturbed || disturbed;
}

static void summarise(vt_cost_run *out, const samples *taken) {
    for (int k = 0; k < taken->scales; ++k) {
        out->layers[k] = taken->layers[k];
        out->seconds[k] = median(taken, taken->seconds[k]);
    }
}

/* Fewer layers cannot take longer; with each scale in order, so is every schedule between the two. */
static void check_order(vt_costs *costs) {
    for (int k = 0; k < costs->scales && !costs->disturbed; ++k) {
        if (costs->shallow.layers[k] >= costs->deep.layers[k] ||
            costs->shallow.seconds[k] <= costs->deep.seconds[k])
            continue;
        costs->disturbed = true;
        snprintf(costs->why, sizeof costs->why, "at scale %d %d layers came out slower than %d",
                 k + 1, costs->shallow.layers[k], costs->deep.layers[k]);
    }
}

variant_status vt_costs_measure(vt_costs *out, const variant_engine *engine,
                                const variant_request *request, vt_zones deep, vt_zones shallow,
                                variant_error *err) {
    samples dear = {0}, cheap = {0};
    vt_quiet quiet;
    bool two = deep.depth != shallow.depth || deep.bridge != shallow.bridge;
    *out = (vt_costs){0};
    vt_quiet_open(&quiet, engine->kern->threads, NULL);
    for (bool counts = false;; counts = true) {
        VT_TRY(take_sample(&dear, &quiet, engine, request, deep, counts, err));
        if (two) VT_TRY(take_sample(&cheap, &quiet, engine, request, shallow, counts, err));
        bool more = vt_quiet_wants_more(&quiet, dear.spans, dear.count, RUNS) ||
                    (two && vt_quiet_wants_more(&quiet, cheap.spans, cheap.count, RUNS));
        if (!more) break;
    }
    pick(&dear, &quiet, out);
    if (two) pick(&cheap, &quiet, out);
    out->scales = dear.scales;
    summarise(&out->deep, &dear);
    summarise(&out->shallow, two ? &cheap : &dear);
    out->fixed = median(&dear, dear.fixed);
    if (two) out->fixed = 0.5 * (out->fixed + median(&cheap, cheap.fixed));
    if (!quiet.off) check_order(out);
    for (int k = 0; k < out->scales; ++k) { /* the same work twice: one figure */
        if (out->shallow.layers[k] != out->deep.layers[k]) continue;
        out->deep.seconds[k] = 0.5 * (out->deep.seconds[k] + out->shallow.seconds[k]);
        out->shallow.seconds[k] = out->deep.seconds[k];
    }
    return VARIANT_OK;
}

/* ---- what they are for ---- */

void vt_costs_key_of(vt_costs_key *out, const variant_engine *engine,
                     const variant_request *request) {
    variant_info info;
    char processor[256];
    variant_engine_info(engine, &info);
    vt_processor_name(processor, sizeof processor);
    *out = (vt_costs_key){0};
    if (info.hash && info.hash[0]) /* weights made from a formula have none, and no file */
        snprintf(out->name, sizeof out->name, "%s-%s-kv-%s-%s%s%s-batch%d-threads%d-%s", info.hash,
                 info.weights, info.kv, request->cfg_scale > 0.0f ? "guided" : "plain",
                 request->smooth ? "-smooth" : "",
                 request->decoder && strcmp(request->decoder, "preview") == 0 ? "-preview" : "",
                 request->batch, engine->kern->threads, engine->kern->name);
    vt_limits limits;
    vt_limits_read(&limits, "");
    snprintf(out->machine, sizeof out->machine, "%s; %s; %d processors, affinity %d, quota %.3g",
             processor, info.kernels, limits.processors, limits.affinity, limits.quota);
}

bool vt_costs_path(char *out, size_t size, const char *cache, const vt_costs_key *key) {
    const char *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    int length;
    if (!key->name[0] || (cache && !cache[0])) return false;
    if (cache)
        length = snprintf(out, size, "%s/" NAME "-%s.json", cache, key->name);
    else if (xdg && xdg[0] == '/') /* relative ones are to be passed over */
        length = snprintf(out, size, "%s/variant/" NAME "-%s.json", xdg, key->name);
    else if (home && home[0])
        length = snprintf(out, size, "%s/.cache/variant/" NAME "-%s.json", home, key->name);
    else
        return false;
    return length > 0 && (size_t)length < size;
}

/* ---- the file ---- */

static bool read_number(const cJSON *item, double low, double high, double *out) {
    if (!cJSON_IsNumber(item)) return false;
    *out = item->valuedouble;
    return *out >= low && *out <= high; /* false of NaN */
}

static bool read_run(const cJSON *json, const char *name, vt_cost_run *out, int *scales) {
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(json, name);
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(run, "layers");
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(run, "seconds");
    int count = cJSON_IsArray(layers) ? cJSON_GetArraySize(layers) : 0;
    if (count < 1 || count > VARIANT_MAX_SCALES || !cJSON_IsArray(seconds) ||
        cJSON_GetArraySize(seconds) != count)
        return false;
    for (int k = 0; k < count; ++k) {
        double number;
        if (!read_number(cJSON_GetArrayItem(layers, k), 1, 1000, &number)) return false;
        out->layers[k] = (int)number;
        if (!read_number(cJSON_GetArrayItem(seconds, k), 0, 1e9, &out->seconds[k])) return false;
    }
    *scales = count;
    return true;
}

static bool read_costs(const cJSON *json, vt_costs *out) {
    int scales;
    *out = (vt_costs){0};
    const cJSON *why =
        cJSON_GetObjectItemCaseSensitive(json, "disturbed"); /* quiet ones have none */
    out->disturbed = cJSON_IsString(why);
    if (out->disturbed) snprintf(out->why, sizeof out->why, "%s", why->valuestring);
    return read_run(json, "deep", &out->deep, &out->scales) &&
           read_run(json, "shallow", &out->shallow, &scales) && scales == out->scales &&
           read_number(cJSON_GetObjectItemCaseSensitive(json, "fixed"), 0, 1e9, &out->fixed);
}

static bool is_text(const cJSON *json, const char *name, const char *text) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);
    return cJSON_IsString(item) && strcmp(item->valuestring, text) == 0;
}

variant_status vt_costs_read(vt_costs *out, const char *path, const vt_costs_key *key, bool *there,
                             variant_error *err) {
    char *text = NULL;
    double version;
    *there = access(path, F_OK) == 0;
    VT_TRY(vt_file_read_text(&text, path, FILE_MAX, err));
    variant_status status = VARIANT_OK;
    cJSON *json = cJSON_Parse(text);
    bool ours =
        cJSON_IsObject(json) &&
        read_number(cJSON_GetObjectItemCaseSensitive(json, "version"), VERSION, VERSION, &version);
    if (!ours || !read_costs(json, out))
        status = vt_fail(err, VARIANT_E_FORMAT, "%s: damaged, or of another version", path);
    else if (!is_text(json, "key", key->name) || !is_text(json, "machine", key->machine))
        status = vt_fail(err, VARIANT_E_MISMATCH, "%s: measured on another machine", path);
    cJSON_Delete(json);
    free(text);
    return status;
}

static bool add_run(cJSON *json, const char *name, const vt_cost_run *run, int scales) {
    cJSON *object = cJSON_AddObjectToObject(json, name);
    return object && /* arrays that could not be made are NULL, which adding refuses */
           cJSON_AddItemToObject(object, "layers", cJSON_CreateIntArray(run->layers, scales)) &&
           cJSON_AddItemToObject(object, "seconds", cJSON_CreateDoubleArray(run->seconds, scales));
}

variant_status vt_costs_write(const vt_costs *costs, const char *path, const vt_costs_key *key,
                              variant_error *err) {
    variant_status status = VARIANT_OK;
    char folder[4096], *text = NULL;
    cJSON *json = cJSON_CreateObject();
    bool whole = json && cJSON_AddNumberToObject(json, "version", VERSION) &&
                 cJSON_AddStringToObject(json, "key", key->name) &&
                 cJSON_AddStringToObject(json, "machine", key->machine) &&
                 add_run(json, "deep", &costs->deep, costs->scales) &&
                 add_run(json, "shallow", &costs->shallow, costs->scales) &&
                 cJSON_AddNumberToObject(json, "fixed", costs->fixed);
    if (whole && costs->disturbed)
        whole = cJSON_AddStringToObject(json, "disturbed", costs->why) != NULL;
    text = whole ? cJSON_Print(json) : NULL;
    if (!text) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory", path));
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) {
        *slash = '\0';
        VT_CHECK(vt_folder_make(folder, err));
    }
    VT_CHECK(vt_file_write(path, text, strlen(text), err));
cleanup:
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

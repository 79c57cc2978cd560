/* cost.c - see cost.h. */
#include "kern/watch.h"
#include "planning/cost.h"

#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/limits.h"
#include "engine/engine.h"
#include "core/descriptor.h"
#include "io/file.h"
#include "io/json.h"

#define RUNS 3
#define MOST_RUNS (2 * RUNS)
#define FILE_MAX ((size_t)1 << 16)
#define NAME "costs"
#define VERSION 2

/* ---- what they say ---- */

void vt_cost_work_of(vt_cost_work *out, const vt_branches *b) {
    *out = (vt_cost_work){0};
    for (int k = 0; k < b->cond.scales; ++k)
        for (int l = 0; l < b->cond.depth; ++l) {
            const bool cond = b->cond.runs[k][l];
            const bool uncond = k < b->guided_scales && b->uncond.runs[k][l];
            const bool every = b->guided_scales ? cond && uncond : cond;
            out->layers[k] += every;
            out->alone[k] += !every && (cond || uncond);
        }
}

/* Of layers that every branch runs: proportional outside of the two runs, a line between them. */
static double scale_seconds(const vt_costs *costs, int k, int layers) {
    int low = costs->shallow.work.layers[k], high = costs->deep.work.layers[k];
    double cheap = costs->shallow.seconds[k], dear = costs->deep.seconds[k];
    if (high <= low || layers >= high) return dear * layers / high;
    if (layers <= low) return cheap * layers / low;
    return cheap + (dear - cheap) * (layers - low) / (high - low);
}

/* Of a layer that one branch runs: what the third run took beyond those that both ran in it, at least half of one of
 * both (a branch's rows) and at most a whole one. */
static double alone_seconds(const vt_costs *costs, int k) {
    const vt_cost_run *apart = &costs->apart;
    const double both = costs->deep.seconds[k] / costs->deep.work.layers[k];
    if (apart->work.alone[k] == 0) return both;
    const double rest = apart->seconds[k] - scale_seconds(costs, k, apart->work.layers[k]);
    const double one = rest / apart->work.alone[k];
    return one < 0.5 * both ? 0.5 * both : one > both ? both : one;
}

double vt_costs_scale_seconds(const vt_costs *costs, const vt_cost_work *work, int k) {
    double seconds = scale_seconds(costs, k, work->layers[k]);
    if (work->alone[k]) seconds += work->alone[k] * alone_seconds(costs, k);
    return seconds;
}

double vt_costs_seconds(const vt_costs *costs, const vt_cost_work *work) {
    double seconds = costs->fixed;
    for (int k = 0; k < costs->scales; ++k) seconds += vt_costs_scale_seconds(costs, work, k);
    return seconds;
}

bool vt_costs_cover(const vt_costs *costs, const vt_cost_work *work) {
    for (int k = 0; k < costs->scales; ++k) {
        const vt_cost_work *apart = &costs->apart.work;
        if (work->layers[k] > costs->deep.work.layers[k]) return false;
        if (work->alone[k] && work->layers[k] + work->alone[k] > apart->layers[k] + apart->alone[k])
            return false;
    }
    return true;
}

/* ---- measuring ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

void vt_cost_request(variant_request *out, const variant_request *request, vt_zones zones) {
    *out = *request;
    out->depths = NULL;
    out->bridge = zones.bridge;
    out->depth = zones.depth;
    out->uncond_depth = 0;
    out->uncond_depths = out->uncond_layers = NULL;
    if (request->cfg_scales) { /* a branch that ends early costs what its scales do */
        out->cfg_scale = 0.0f;
        for (int k = 0; k < request->cfg_scale_count; ++k)
            if (request->cfg_scales[k] > 0.0f) out->cfg_scale = 1.0f;
        out->cfg_scales = NULL;
        out->cfg_scale_count = 0;
    }
}

variant_status vt_cost_request_apart(variant_request *out, const variant_engine *engine,
                                     const variant_request *request, vt_zones zones,
                                     vt_zones uncond, vt_layers_text *room, variant_error *err) {
    vt_branches b;
    size_t at = 0;
    vt_cost_request(out, request, zones);
    VT_TRY(vt_branches_make(&b, engine->model, out, err));
    for (int k = 0; k < b.cond.scales; ++k) {
        int layers = vt_schedule_depth_at(&b.cond, k);
        if (k >= uncond.bridge && layers > uncond.depth) layers = uncond.depth;
        at +=
            (size_t)snprintf(room->text + at, sizeof room->text - at, "%s%d", k ? "," : "", layers);
    }
    out->uncond_depths = room->text;
    return VARIANT_OK;
}

/* The runs of one request. */
typedef struct samples {
    variant_request request;
    vt_cost_work work;
    int scales, count;
    double seconds[VARIANT_MAX_SCALES][MOST_RUNS], fixed[MOST_RUNS];
    vt_quiet_span spans[MOST_RUNS];
    int picked[MOST_RUNS], pick_count; /* those that medians are taken of */
} samples;

static variant_status find_work(samples *s, const variant_engine *engine, variant_error *err) {
    vt_branches branches;
    VT_TRY(vt_branches_make(&branches, engine->model, &s->request, err));
    vt_cost_work_of(&s->work, &branches);
    return VARIANT_OK;
}

static double median(const samples *s, const double *values) {
    double sorted[MOST_RUNS];
    for (int i = 0; i < s->pick_count; ++i) sorted[i] = values[s->picked[i]];
    qsort(sorted, (size_t)s->pick_count, sizeof *sorted, ascending);
    return 0.5 * (sorted[(s->pick_count - 1) / 2] + sorted[s->pick_count / 2]);
}

/* One batch; the first, that warms up, counts for nothing. */
static variant_status take_sample(samples *out, vt_quiet *quiet, const variant_engine *engine,
                                  bool counts, variant_error *err) {
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    int run = out->count;
    vt_quiet_begin(quiet);
    VT_TRY(variant_generate(engine, &out->request, &pictures, &report, err));
    out->spans[run] = vt_quiet_end(quiet);
    variant_pictures_free(&pictures, out->request.count);
    if (!counts) return VARIANT_OK;
    ++out->count;
    out->scales = report.scales;
    out->fixed[run] = report.total_seconds;
    for (int k = 0; k < report.scales; ++k) {
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
    out->work = taken->work;
    for (int k = 0; k < taken->scales; ++k) out->seconds[k] = median(taken, taken->seconds[k]);
}

/* Fewer layers cannot take longer; with each scale in order, so is every schedule between the two. */
static void check_order(vt_costs *costs) {
    for (int k = 0; k < costs->scales && !costs->disturbed; ++k) {
        const int few = costs->shallow.work.layers[k], many = costs->deep.work.layers[k];
        if (few >= many || costs->shallow.seconds[k] <= costs->deep.seconds[k]) continue;
        costs->disturbed = true;
        snprintf(costs->why, sizeof costs->why, "at scale %d %d layers came out slower than %d",
                 k + 1, few, many);
    }
}

/* The same work twice: one figure. */
static void join_equal(vt_costs *out) {
    for (int k = 0; k < out->scales; ++k) {
        if (out->shallow.work.layers[k] != out->deep.work.layers[k]) continue;
        out->deep.seconds[k] = 0.5 * (out->deep.seconds[k] + out->shallow.seconds[k]);
        out->shallow.seconds[k] = out->deep.seconds[k];
    }
}

enum { DEEP, SHALLOW, APART, KINDS };

static variant_status take_all(samples *kinds, const bool *wanted, vt_quiet *quiet,
                               const variant_engine *engine, variant_error *err) {
    for (bool counts = false, more = true; more; counts = true) {
        more = false;
        for (int i = 0; i < KINDS; ++i) {
            if (!wanted[i]) continue;
            VT_TRY(take_sample(&kinds[i], quiet, engine, counts, err));
            more = more || vt_quiet_wants_more(quiet, kinds[i].spans, kinds[i].count, RUNS);
        }
    }
    return VARIANT_OK;
}

static variant_status make_kinds(samples *kinds, bool *wanted, vt_layers_text *room,
                                 const variant_engine *engine, const variant_request *request,
                                 const vt_zones zones[KINDS], variant_error *err) {
    vt_cost_request(&kinds[DEEP].request, request, zones[DEEP]);
    vt_cost_request(&kinds[SHALLOW].request, request, zones[SHALLOW]);
    VT_TRY(vt_cost_request_apart(&kinds[APART].request, engine, request, zones[APART],
                                 zones[SHALLOW], room, err));
    for (int i = 0; i < KINDS; ++i) VT_TRY(find_work(&kinds[i], engine, err));
    wanted[DEEP] = true;
    wanted[SHALLOW] = memcmp(&kinds[DEEP].work, &kinds[SHALLOW].work, sizeof kinds->work) != 0;
    for (int k = 0; k < VARIANT_MAX_SCALES; ++k) /* without guidance nothing is alone */
        wanted[APART] = wanted[APART] || kinds[APART].work.alone[k] > 0;
    return VARIANT_OK;
}

static variant_status measure(samples *kinds, vt_costs *out, const variant_engine *engine,
                              const variant_request *request, const vt_zones zones[KINDS],
                              variant_error *err) {
    vt_quiet quiet;
    vt_layers_text room;
    bool wanted[KINDS] = {false};
    VT_TRY(make_kinds(kinds, wanted, &room, engine, request, zones, err));
    vt_kern_watch(&quiet, engine->kern);
    VT_TRY(take_all(kinds, wanted, &quiet, engine, err));
    for (int i = 0; i < KINDS; ++i)
        if (wanted[i]) pick(&kinds[i], &quiet, out);
    out->scales = kinds[DEEP].scales;
    summarise(&out->deep, &kinds[DEEP]);
    summarise(&out->shallow, &kinds[wanted[SHALLOW] ? SHALLOW : DEEP]);
    summarise(&out->apart, &kinds[wanted[APART] ? APART : DEEP]);
    out->fixed = median(&kinds[DEEP], kinds[DEEP].fixed);
    if (wanted[SHALLOW])
        out->fixed = 0.5 * (out->fixed + median(&kinds[SHALLOW], kinds[SHALLOW].fixed));
    if (!quiet.off) check_order(out);
    join_equal(out);
    return VARIANT_OK;
}

variant_status vt_costs_measure(vt_costs *out, const variant_engine *engine,
                                const variant_request *request, vt_zones deep, vt_zones shallow,
                                vt_zones apart, variant_error *err) {
    const vt_zones zones[KINDS] = {deep, shallow, apart};
    *out = (vt_costs){0};
    samples *kinds = calloc(KINDS, sizeof *kinds);
    if (!kinds) return vt_fail(err, VARIANT_E_MEMORY, "no memory for times");
    const variant_status status = measure(kinds, out, engine, request, zones, err);
    free(kinds);
    return status;
}

/* ---- what they are for ---- */

static bool is_guided(const variant_request *request) {
    bool guided = !request->cfg_scales && request->cfg_scale > 0.0f;
    for (int k = 0; request->cfg_scales && k < request->cfg_scale_count; ++k)
        guided = guided || request->cfg_scales[k] > 0.0f;
    return guided;
}

void vt_costs_key_of(vt_costs_key *out, const variant_engine *engine,
                     const variant_request *request) {
    const variant_info info = *variant_engine_info(engine);
    char processor[256];
    vt_processor_name(processor, sizeof processor);
    *out = (vt_costs_key){0};
    char edited[40] = ""; /* encoded, and laid back at its size */
    if (request->edits)
        snprintf(edited, sizeof edited, "-edit%dx%d",
                 request->edits->width + request->edits->left + request->edits->right,
                 request->edits->height + request->edits->top + request->edits->bottom);
    if (info.hash && info.hash[0]) /* weights made from a formula have none, and no file */
        snprintf(out->name, sizeof out->name, "%s-%s-kv-%s-%s%s%s%s-batch%d-threads%d-%s",
                 info.hash, info.weights, info.kv, is_guided(request) ? "guided" : "plain",
                 request->smooth ? "-smooth" : "",
                 request->decoder && strcmp(request->decoder, "preview") == 0 ? "-preview" : "",
                 edited, request->batch, engine->kern->threads, engine->kern->name);
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

static bool read_layers(const cJSON *run, const char *name, int low, int count, int *out) {
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(run, name);
    if (!cJSON_IsArray(layers) || cJSON_GetArraySize(layers) != count) return false;
    for (int k = 0; k < count; ++k) {
        double number;
        if (!read_number(cJSON_GetArrayItem(layers, k), low, 1000, &number)) return false;
        out[k] = (int)number;
    }
    return true;
}

static bool read_run(const cJSON *json, const char *name, vt_cost_run *out, int *scales) {
    const cJSON *run = cJSON_GetObjectItemCaseSensitive(json, name);
    const cJSON *seconds = cJSON_GetObjectItemCaseSensitive(run, "seconds");
    int count = cJSON_IsArray(seconds) ? cJSON_GetArraySize(seconds) : 0;
    if (count < 1 || count > VARIANT_MAX_SCALES ||
        !read_layers(run, "layers", 1, count, out->work.layers) ||
        !read_layers(run, "alone", 0, count, out->work.alone))
        return false;
    for (int k = 0; k < count; ++k)
        if (!read_number(cJSON_GetArrayItem(seconds, k), 0, 1e9, &out->seconds[k])) return false;
    *scales = count;
    return true;
}

static bool read_costs(const cJSON *json, vt_costs *out) {
    int scales, others;
    *out = (vt_costs){0};
    const cJSON *why =
        cJSON_GetObjectItemCaseSensitive(json, "disturbed"); /* quiet ones have none */
    out->disturbed = cJSON_IsString(why);
    if (out->disturbed) snprintf(out->why, sizeof out->why, "%s", why->valuestring);
    return read_run(json, "deep", &out->deep, &out->scales) &&
           read_run(json, "shallow", &out->shallow, &scales) && scales == out->scales &&
           read_run(json, "apart", &out->apart, &others) && others == out->scales &&
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
    VT_TRY(vt_look_for(path, there, err));
    VT_TRY(vt_file_read_text(&text, path, FILE_MAX, err));
    variant_status status = VARIANT_OK;
    cJSON *json = vt_json_of(text);
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
    cJSON *object = vt_json_object(json, name);
    return object && /* arrays that could not be made are NULL, which adding refuses */
           vt_json_put(object, "layers", cJSON_CreateIntArray(run->work.layers, scales)) &&
           vt_json_put(object, "alone", cJSON_CreateIntArray(run->work.alone, scales)) &&
           vt_json_put(object, "seconds", cJSON_CreateDoubleArray(run->seconds, scales));
}

variant_status vt_costs_write(const vt_costs *costs, const char *path, const vt_costs_key *key,
                              variant_error *err) {
    variant_status status = VARIANT_OK;
    char folder[4096], *text = NULL;
    cJSON *json = cJSON_CreateObject();
    bool whole = json && vt_json_number(json, "version", VERSION) &&
                 vt_json_string(json, "key", key->name) &&
                 vt_json_string(json, "machine", key->machine) &&
                 add_run(json, "deep", &costs->deep, costs->scales) &&
                 add_run(json, "shallow", &costs->shallow, costs->scales) &&
                 add_run(json, "apart", &costs->apart, costs->scales) &&
                 vt_json_number(json, "fixed", costs->fixed);
    if (whole && costs->disturbed) whole = vt_json_string(json, "disturbed", costs->why) != NULL;
    text = whole ? vt_json_lines(json) : NULL;
    if (!text) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory", path));
    snprintf(folder, sizeof folder, "%s", path);
    char *slash = strrchr(folder, '/');
    if (slash) {
        *slash = '\0';
        VT_CHECK(variant_folder_make(folder, err));
    }
    VT_CHECK(vt_file_write(path, text, strlen(text), err));
cleanup:
    cJSON_free(text);
    cJSON_Delete(json);
    return status;
}

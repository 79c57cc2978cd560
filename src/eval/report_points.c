/* report_points.c - points of sweep.json as numbers, and which of them stand for a depth. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planning/plan.h"
#include "eval/report_parts.h"

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static const char *words(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsString(item) ? item->valuestring : "";
}

/* -1 where there is no number that could be one. */
static int small(const cJSON *object, const char *key) {
    double value = number(object, key);
    return value >= 0.0 && value <= 1e6 ? (int)value : -1;
}

static vt_report_point read_point(const cJSON *json, int full_depth) {
    const cJSON *quality = cJSON_GetObjectItemCaseSensitive(json, "quality");
    vt_report_point p = {.id = words(json, "id"),
                         .selector = words(json, "selector"),
                         .depths = words(json, "depths"),
                         .zone = words(json, "zone"),
                         .pictures = words(json, "pictures"),
                         .score = words(quality, "name"),
                         .depth = small(json, "depth"),
                         .bridge = small(json, "bridge"),
                         .cfg_scale = number(json, "cfg_scale"),
                         .picture_ms = number(json, "picture_ms"),
                         .picture_ms_min = number(json, "picture_ms_min"),
                         .picture_ms_max = number(json, "picture_ms_max"),
                         .condition_ms = number(json, "condition_ms"),
                         .transformer_ms = number(json, "transformer_ms"),
                         .sampling_ms = number(json, "sampling_ms"),
                         .quantizer_ms = number(json, "quantizer_ms"),
                         .decoder_ms = number(json, "decoder_ms"),
                         .kv_peak = number(json, "kv_peak_bytes"),
                         .kv_end = number(json, "kv_end_bytes"),
                         .memory = number(json, "memory_bytes"),
                         .frechet = number(quality, "frechet"),
                         .frechet_spread = number(quality, "frechet_spread"),
                         .samples = number(quality, "samples"),
                         .json = json};
    p.full = p.zone[0] == '\0' && p.depth == full_depth;
    return p;
}

/* A time, a memory and a depth are what every section stands on. */
static bool usable(const vt_report_point *p) {
    return p->depth >= 0 && isfinite(p->picture_ms) && p->picture_ms >= 0 && isfinite(p->kv_peak) &&
           isfinite(p->memory) && isfinite(p->transformer_ms) && isfinite(p->cfg_scale);
}

static variant_status read_list(vt_report_point **out, int *count, const cJSON *list,
                                const vt_report *r, variant_error *err) {
    int n = cJSON_GetArraySize(list);
    const cJSON *item;
    *out = calloc((size_t)n + 1, sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d points", n);
    cJSON_ArrayForEach(item, list) {
        vt_report_point p = read_point(item, r->depth);
        if (!usable(&p))
            return vt_fail(err, VARIANT_E_FORMAT,
                           "%s/sweep.json: point %d (%.60s) lacks its depth, a time or its memory",
                           r->folder, *count + 1, p.id);
        (*out)[(*count)++] = p;
    }
    return VARIANT_OK;
}

variant_status vt_report_read(vt_report *out, const cJSON *state, const char *folder,
                              variant_error *err) {
    *out = (vt_report){.state = state, .folder = folder, .score = ""};
    out->model = cJSON_GetObjectItemCaseSensitive(state, "model");
    out->machine = cJSON_GetObjectItemCaseSensitive(state, "machine");
    out->settings = cJSON_GetObjectItemCaseSensitive(state, "settings");
    out->depth = small(out->model, "depth");
    out->batch = small(out->settings, "batch");
    VT_TRY(read_list(&out->points, &out->count, cJSON_GetObjectItemCaseSensitive(state, "points"),
                     out, err));
    VT_TRY(read_list(&out->zones, &out->zone_count,
                     cJSON_GetObjectItemCaseSensitive(state, "zones"), out, err));
    out->has_quality = out->count > 0;
    for (int i = 0; i < out->count; ++i) {
        const vt_report_point *p = &out->points[i], *first = &out->points[0];
        out->judged += isfinite(p->frechet);
        out->has_quality =
            out->has_quality && isfinite(p->frechet) && strcmp(p->score, first->score) == 0;
        out->cfg_varies = out->cfg_varies || p->cfg_scale != first->cfg_scale;
        /* the full depth has no selector to speak of */
        for (int j = 0; j < i && !p->full; ++j)
            out->selectors_vary =
                out->selectors_vary ||
                (!out->points[j].full && strcmp(p->selector, out->points[j].selector) != 0);
    }
    if (out->has_quality) out->score = out->points[0].score[0] ? out->points[0].score : "score";
    return VARIANT_OK;
}

void vt_report_free(vt_report *report) {
    free(report->points);
    free(report->zones);
    *report = (vt_report){0};
}

const char *vt_report_selector(const vt_report *report) {
    for (int i = 0; i < report->count; ++i)
        if (!report->points[i].full) return report->points[i].selector;
    return "";
}

const vt_report_point *vt_report_full(const vt_report *report) {
    for (int i = 0; i < report->count; ++i)
        if (report->points[i].full) return &report->points[i];
    return NULL;
}

/* Of all scales together; "12,12,6". */
static int layers_of(const vt_report_point *p) {
    int sum = 0;
    for (const char *at = p->depths; *at;) {
        char *end;
        sum += (int)strtol(at, &end, 10);
        if (end == at) break;
        at = *end ? end + 1 : end;
    }
    return sum;
}

const vt_report_point *vt_report_best(const vt_report *r, int *equal) {
    const vt_report_point *least = NULL, *best = NULL;
    *equal = 0;
    for (int i = 0; r->has_quality && i < r->count; ++i)
        if (!least || r->points[i].frechet < least->frechet) least = &r->points[i];
    for (int i = 0; least && i < r->count; ++i) {
        const vt_report_point *p = &r->points[i];
        if (p->frechet - least->frechet > vt_plan_margin(p->frechet_spread, least->frechet_spread))
            continue;
        ++*equal;
        if (!best || layers_of(p) > layers_of(best)) best = p;
    }
    return best;
}

void vt_report_name(const vt_report *r, const vt_report_point *p, char *out, size_t size) {
    char cfg[32] = "";
    if (r->cfg_varies) snprintf(cfg, sizeof cfg, ", guidance %g", p->cfg_scale);
    if (p->zone[0])
        snprintf(out, size, "scales %s at depth %d%s", p->zone, p->depth, cfg);
    else if (p->full)
        snprintf(out, size, "all %d layers%s", p->depth, cfg);
    else
        snprintf(out, size, "depth %d, bridge %d%s%s%s", p->depth, p->bridge,
                 r->selectors_vary ? ", " : "", r->selectors_vary ? p->selector : "", cfg);
}

/* Does a stand before b, deepest first? */
static int deeper(const void *a, const void *b) {
    const vt_report_point *p = *(const vt_report_point *const *)a,
                          *q = *(const vt_report_point *const *)b;
    return (q->depth > p->depth) - (q->depth < p->depth);
}

/* The model's own bridge where a point has it, else the median of the points' bridges. */
static int choose_bridge(const vt_report *r) {
    int own = small(r->model, "bridge"), counts[64] = {0}, total = 0;
    for (int i = 0; i < r->count; ++i) {
        const vt_report_point *p = &r->points[i];
        if (p->full || p->bridge < 0 || p->bridge >= 64) continue;
        if (p->bridge == own) return own;
        ++counts[p->bridge];
        ++total;
    }
    for (int n = 0, before = 0; n < 64; ++n) {
        before += counts[n];
        if (total && 2 * before >= total) return n;
    }
    return -1;
}

int vt_report_ladder(const vt_report *r, const vt_report_point **out, int *bridge) {
    const char *selector = vt_report_selector(r);
    int count = 0;
    *bridge = choose_bridge(r);
    for (int i = 0; i < r->count; ++i) {
        const vt_report_point *p = &r->points[i];
        if (p->cfg_scale != r->points[0].cfg_scale) continue;
        if (!p->full && (p->bridge != *bridge || strcmp(p->selector, selector) != 0)) continue;
        out[count++] = p;
    }
    qsort(out, (size_t)count, sizeof *out, deeper);
    return count;
}

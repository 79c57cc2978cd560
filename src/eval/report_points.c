/* report_points.c - points of sweep.json as numbers, and which of them stand for a depth. */
#include <limits.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "variant.h"
#include "eval/report_parts.h"
#include "planning/plan.h"

/* A time, a memory and a depth are what every section stands on. */
static bool usable(const vt_sweep_point *p) {
    return p->depth >= 0 && isfinite(p->times.picture_ms) && p->times.picture_ms >= 0 &&
           isfinite(p->kv_peak_bytes) && isfinite(p->memory_bytes) &&
           isfinite(p->times.transformer_ms) && isfinite(p->cfg_scale);
}

static variant_status read_list(vt_sweep_point **out, int *count, const cJSON *list,
                                const vt_report *r, variant_error *err) {
    VT_TRY(vt_sweep_points_view(out, count, list, r->depth, err));
    for (int i = 0; i < *count; ++i)
        if (!usable(&(*out)[i]))
            return vt_fail(err, VARIANT_E_FORMAT,
                           "%s/" VT_SWEEP_FILE
                           ": point %d (%.60s) lacks its depth, a time or its memory",
                           r->folder, i + 1, (*out)[i].id);
    return VARIANT_OK;
}

/* Alike in all but how strongly they are guided late. */
static bool same_layers(const vt_sweep_point *a, const vt_sweep_point *b) {
    return a->cfg_scale == b->cfg_scale && strcmp(a->depths, b->depths) == 0 &&
           strcmp(a->uncond_depths, b->uncond_depths) == 0 && strcmp(a->selector, b->selector) == 0;
}

/* Called as the distance is: of "FID(classifier)" "KID(classifier)". */
static void name_kid(vt_report *out) {
    const bool told = strncmp(out->score, "FID", 3) == 0;
    snprintf(out->kid, sizeof out->kid, "KID%.80s", told ? out->score + 3 : "");
}

variant_status vt_report_read(vt_report *out, const cJSON *state, const char *folder,
                              variant_error *err) {
    *out = (vt_report){.folder = folder, .score = ""};
    vt_sweep_file_view(&out->file, state);
    out->depth = out->file.model.depth;
    out->batch = out->file.settings.batch;
    VT_TRY(read_list(&out->points, &out->count, out->file.points, out, err));
    VT_TRY(read_list(&out->zones, &out->zone_count, out->file.zones, out, err));
    out->has_quality = out->count > 0;
    for (int i = 0; i < out->count; ++i) {
        const vt_sweep_point *p = &out->points[i], *first = &out->points[0];
        out->judged += isfinite(p->quality.frechet);
        out->has_quality = out->has_quality && isfinite(p->quality.frechet) &&
                           strcmp(p->quality.name, first->quality.name) == 0;
        out->cfg_varies = out->cfg_varies || p->cfg_scale != first->cfg_scale;
        out->unconds_vary = out->unconds_vary || (p->cfg_scale > 0.0 && p->uncond_depths[0] &&
                                                  strcmp(p->uncond_depths, p->depths) != 0);
        for (int j = 0; j < i && isfinite(p->cfg_late); ++j)
            out->lates_vary = out->lates_vary || (out->points[j].cfg_late != p->cfg_late &&
                                                  same_layers(&out->points[j], p));
        /* the full depth has no selector to speak of */
        for (int j = 0; j < i && !p->full; ++j)
            out->selectors_vary =
                out->selectors_vary ||
                (!out->points[j].full && strcmp(p->selector, out->points[j].selector) != 0);
    }
    if (out->has_quality)
        out->score = out->points[0].quality.name[0] ? out->points[0].quality.name : "score";
    name_kid(out);
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

const vt_sweep_point *vt_report_full(const vt_report *report) {
    for (int i = 0; i < report->count; ++i)
        if (report->points[i].full) return &report->points[i];
    return NULL;
}

/* Of all scales together; "12,12,6". */
static int layers_of(const vt_sweep_point *p) {
    int layers[VARIANT_MAX_SCALES], sum = 0;
    int scales = variant_list_ints(p->depths, 0, INT_MAX, VARIANT_MAX_SCALES, layers);
    for (int k = 0; k < scales; ++k) sum += layers[k];
    return sum;
}

const vt_sweep_point *vt_report_best(const vt_report *r, int *equal) {
    const vt_sweep_point *least = NULL, *best = NULL;
    *equal = 0;
    for (int i = 0; r->has_quality && i < r->count; ++i)
        if (!least || r->points[i].quality.frechet < least->quality.frechet) least = &r->points[i];
    for (int i = 0; least && i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
        if (p->quality.frechet - least->quality.frechet >
            vt_plan_margin(p->quality.frechet_spread, least->quality.frechet_spread))
            continue;
        ++*equal;
        if (!best || layers_of(p) > layers_of(best)) best = p;
    }
    return best;
}

int vt_report_uncond(const vt_sweep_point *p) {
    int layers[VARIANT_MAX_SCALES], last = 0;
    const char *text = p->uncond_depths[0] ? p->uncond_depths : p->depths;
    const int scales = variant_list_ints(text, 0, INT_MAX, VARIANT_MAX_SCALES, layers);
    for (int k = 0; k < scales && p->cfg_scale > 0.0; ++k)
        if (layers[k] > 0) last = layers[k];
    return last;
}

bool vt_report_is_first(const vt_report *r, const vt_sweep_point *point) {
    for (int i = 0; i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
        if (p == point) return true;
        if (p->depth == point->depth && p->full == point->full &&
            p->cfg_scale == point->cfg_scale && (p->full || p->bridge == point->bridge) &&
            (p->full || strcmp(p->selector, point->selector) == 0))
            return false;
    }
    return true;
}

void vt_report_name(const vt_report *r, const vt_sweep_point *p, char *out, size_t size) {
    char cfg[64] = "";
    if (r->unconds_vary && p->cfg_scale > 0.0)
        snprintf(cfg, sizeof cfg, ", unconditional %d", vt_report_uncond(p));
    if (r->lates_vary && isfinite(p->cfg_late))
        snprintf(cfg + strlen(cfg), sizeof cfg - strlen(cfg), ", late %g", p->cfg_late);
    if (r->cfg_varies)
        snprintf(cfg + strlen(cfg), sizeof cfg - strlen(cfg), ", guidance %g", p->cfg_scale);
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
    const vt_sweep_point *p = *(const vt_sweep_point *const *)a,
                         *q = *(const vt_sweep_point *const *)b;
    if (p->depth == q->depth) return (p > q) - (p < q); /* as they were swept */
    return (q->depth > p->depth) - (q->depth < p->depth);
}

/* The model's own bridge where a point has it, else the median of the points' bridges. */
static int choose_bridge(const vt_report *r) {
    int own = r->file.model.bridge, counts[64] = {0}, total = 0;
    for (int i = 0; i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
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

/* `all`: of every guidance and unconditional branch, not the first alone. */
static int list_depths(const vt_report *r, const vt_sweep_point **out, int bridge, bool all) {
    const char *selector = vt_report_selector(r);
    int count = 0;
    for (int i = 0; i < r->count; ++i) {
        const vt_sweep_point *p = &r->points[i];
        if (!all && (p->cfg_scale != r->points[0].cfg_scale || !vt_report_is_first(r, p))) continue;
        if (!p->full && (p->bridge != bridge || strcmp(p->selector, selector) != 0)) continue;
        out[count++] = p;
    }
    qsort(out, (size_t)count, sizeof *out, deeper);
    return count;
}

int vt_report_ladder(const vt_report *r, const vt_sweep_point **out, int *bridge) {
    *bridge = choose_bridge(r);
    return list_depths(r, out, *bridge, false);
}

int vt_report_guided(const vt_report *r, const vt_sweep_point **out) {
    return list_depths(r, out, choose_bridge(r), true);
}

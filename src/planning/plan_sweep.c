/* plan_sweep.c - the points of a sweep as candidates of a plan; docs/SWEEP.md says what the file
 * holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "variant.h"
#include "io/file.h"
#include "planning/plan.h"
#include "planning/sweep_file.h"
#include "supernet/schedule.h"

/* The selector's name as a string that outlives the file; NULL: not one of the three. */
static const char *selector_of(const char *text) {
    for (vt_selector s = VT_EQUIDISTANT; s < VT_EXPLICIT; s = (vt_selector)(s + 1))
        if (strcmp(text, vt_selector_name(s)) == 0) return vt_selector_name(s);
    return NULL;
}

static bool is_preview(const char *decoder) {
    return decoder && strcmp(decoder, "preview") == 0;
}

/* What a sweep's points are matched with. */
typedef struct reader {
    const variant_engine *engine;
    const variant_request *request;
    variant_info info;
    const char *path;
} reader;

/* Does this candidate's request run both branches as the point did, as strongly guided? */
static bool is_what_ran(const reader *r, vt_candidate *c, const vt_sweep_point *p) {
    char ran[VARIANT_MAX_SCALES * 5], alike[VARIANT_MAX_SCALES * 5] = "";
    vt_branches b;
    variant_request request = *r->request;
    vt_plan_set(&request, c);
    if (vt_branches_make(&b, r->engine->model, &request, NULL) != VARIANT_OK) return false;
    vt_branches_describe_uncond(&b, ran, sizeof ran);
    if (b.guided_scales) vt_schedule_describe(&b.cond, alike, sizeof alike); /* of older files */
    if (strcmp(ran, p->uncond_depths[0] ? p->uncond_depths : alike) != 0) return false;
    for (int k = 0; k < b.cond.scales; ++k) {
        const double ramp = b.cond.scales > 1 ? p->cfg_scale * k / (b.cond.scales - 1) : 0.0;
        const double t = p->guidance.count == b.cond.scales ? p->guidance.at[k] : ramp;
        if (!(fabs(t - (double)b.guide[k]) <= 1e-4)) return false;
    }
    vt_plan_count_layers(c, &r->info, &b);
    return true;
}

/* Layers of the unconditional branch in the end. */
static int last_uncond(const vt_sweep_point *p) {
    int layers[VARIANT_MAX_SCALES], last = 0;
    const int scales = variant_list_ints(p->uncond_depths, 0, 1000, VARIANT_MAX_SCALES, layers);
    for (int k = 0; k < scales; ++k)
        if (layers[k] > 0) last = layers[k];
    return last;
}

/* The request that runs the point: what the model says of guidance, else what options can say. */
static bool find_request(const reader *r, vt_candidate *c, const vt_sweep_point *p) {
    const int few = last_uncond(p), unconds[] = {-1, 0, few};
    const bool told = vt_plan_is_told(r->request);
    for (int i = 0; i < (told ? 1 : few > 0 ? 3 : 2); ++i)
        for (int own = 0; own < (r->request->cfg_late < 0.0f && isfinite(p->cfg_late) ? 2 : 1);
             ++own) {
            c->uncond = unconds[i];
            c->late = own ? p->cfg_late : -1.0;
            c->strays = i > 0 || own;
            if (p->full && (c->uncond > 0 || r->request->uncond_depth > 0))
                c->bridge = r->info.bridge;
            if (is_what_ran(r, c, p)) return true;
        }
    return false;
}

/* 1: taken; 0: not one of those asked for; -1: not a point; -2: no request runs it. */
static int read_point(vt_candidate *out, const vt_sweep_point *p, const reader *r) {
    const vt_sweep_scores *quality = &p->quality;
    const variant_info *info = &r->info;
    *out = (vt_candidate){
        .depth = p->depth, .bridge = p->bridge, .selector = selector_of(p->selector)};
    if (p->depth < 1 || p->depth > info->depth || p->bridge < 0 || p->bridge > info->scales ||
        !out->selector || !isfinite(p->cfg_scale))
        return -1;
    if (p->full) out->bridge = info->scales; /* of which all selectors take the same layers */
    if (r->request->cfg_scales || fabs(p->cfg_scale - (double)r->request->cfg_scale) > 1e-4)
        return 0;
    if (r->request->layers && !p->full && strcmp(r->request->layers, out->selector) != 0) return 0;
    if (!isfinite(quality->frechet)) return 0;
    if (quality->frechet_spread > 0.0 && isfinite(quality->frechet_spread))
        out->spread = quality->frechet_spread;
    out->distance = fmax(quality->frechet, 0.0); /* rounding may leave one below 0 */
    return find_request(r, out, p) ? 1 : -2;
}

static variant_status nothing_measured(const reader *r, const vt_sweep_points *out,
                                       variant_error *err) {
    const variant_request *request = r->request;
    if (request->cfg_scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: a sweep knows guidance by cfg_scale: give no cfg_scales with it",
                       r->path);
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: no quality was measured at guidance %g%s%s%s: expected a sweep at it, "
                   "with a reference",
                   r->path, (double)request->cfg_scale, request->layers ? " and layers " : "",
                   request->layers ? request->layers : "",
                   out->left_out ? " and this unconditional branch" : "");
}

static variant_status read_points(vt_sweep_points *out, const cJSON *list, const reader *r,
                                  variant_error *err) {
    const cJSON *json;
    const int most = cJSON_GetArraySize(list);
    out->points = malloc((size_t)(most > 0 ? most : 1) * sizeof *out->points);
    if (!out->points) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d points", most);
    cJSON_ArrayForEach(json, list) {
        vt_sweep_point point;
        vt_sweep_point_view(&point, json, r->info.depth);
        int taken = read_point(&out->points[out->count], &point, r);
        if (taken == -1)
            return vt_fail(
                err, VARIANT_E_FORMAT,
                "%s: point %.60s: expected depth 1 to %d, bridge 0 to %d, a selector and "
                "cfg_scale",
                r->path, point.id, r->info.depth, r->info.scales);
        out->left_out += taken == -2;
        if (taken <= 0) continue;
        snprintf(out->score, sizeof out->score, "%s", point.quality.name);
        if (!(out->points[out->count++].spread > 0.0)) out->no_spread = true;
    }
    return out->count ? VARIANT_OK : nothing_measured(r, out, err);
}

variant_status vt_sweep_points_read(vt_sweep_points *out, const char *path,
                                    const variant_engine *engine, const variant_request *request,
                                    variant_error *err) {
    char place[4096];
    cJSON *json = NULL;
    reader r = {.engine = engine, .request = request, .path = place};
    const variant_info *info = &r.info;
    r.info = *variant_engine_info(engine);
    vt_sweep_file file;
    variant_status status = VARIANT_OK;
    *out = (vt_sweep_points){0};
    snprintf(place, sizeof place, "%s%s", path, vt_is_folder(path) ? "/" VT_SWEEP_FILE : "");
    VT_TRY(vt_sweep_file_read(&json, place, err));
    vt_sweep_file_view(&file, json);
    const char *hash = file.model.hash;
    if (!info->hash || strcmp(hash, info->hash) != 0)
        VT_CHECK(vt_fail(err, VARIANT_E_MISMATCH,
                         "%s: a sweep of another model: its hash is %.16s, this model's %s", place,
                         hash, info->hash ? info->hash : "unknown"));
    out->other_numbers = strcmp(file.settings.weights, info->weights) != 0 ||
                         strcmp(file.settings.kv, info->kv) != 0;
    out->other_decoder = is_preview(file.settings.decoder) != is_preview(request->decoder);
    VT_CHECK(read_points(out, file.points, &r, err));
cleanup:
    if (status != VARIANT_OK) {
        free(out->points);
        *out = (vt_sweep_points){0};
    }
    cJSON_Delete(json);
    return status;
}

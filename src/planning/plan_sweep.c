/* plan_sweep.c - the points of a sweep as candidates of a plan; docs/SWEEP.md says what the file
 * holds. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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

/* 1: taken; 0: not one of those asked for; -1: not a point. */
static int read_point(vt_candidate *out, const vt_sweep_point *p, const variant_info *info,
                      const variant_request *request) {
    const vt_sweep_scores *quality = &p->quality;
    *out = (vt_candidate){
        .depth = p->depth, .bridge = p->bridge, .selector = selector_of(p->selector)};
    if (p->depth < 1 || p->depth > info->depth || p->bridge < 0 || p->bridge > info->scales ||
        !out->selector || !isfinite(p->cfg_scale))
        return -1;
    if (p->full) out->bridge = info->scales; /* of which all selectors take the same layers */
    if (fabs(p->cfg_scale - (double)request->cfg_scale) > 1e-4) return 0;
    if (request->layers && !p->full && strcmp(request->layers, out->selector) != 0) return 0;
    if (!isfinite(quality->frechet)) return 0;
    if (quality->frechet_spread > 0.0 && isfinite(quality->frechet_spread))
        out->spread = quality->frechet_spread;
    out->distance = fmax(quality->frechet, 0.0); /* rounding may leave one below 0 */
    vt_plan_count_layers(out, info);
    return 1;
}

static variant_status read_points(vt_sweep_points *out, const cJSON *list, const char *path,
                                  const variant_info *info, const variant_request *request,
                                  variant_error *err) {
    const cJSON *json;
    const int most = cJSON_GetArraySize(list);
    out->points = malloc((size_t)(most > 0 ? most : 1) * sizeof *out->points);
    if (!out->points) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d points", most);
    cJSON_ArrayForEach(json, list) {
        vt_sweep_point point;
        vt_sweep_point_view(&point, json, info->depth);
        int taken = read_point(&out->points[out->count], &point, info, request);
        if (taken < 0)
            return vt_fail(
                err, VARIANT_E_FORMAT,
                "%s: point %.60s: expected depth 1 to %d, bridge 0 to %d, a selector and "
                "cfg_scale",
                path, point.id, info->depth, info->scales);
        if (taken == 0) continue;
        snprintf(out->score, sizeof out->score, "%s", point.quality.name);
        if (!(out->points[out->count++].spread > 0.0)) out->no_spread = true;
    }
    if (out->count == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: no quality was measured at guidance %g%s%s: expected a sweep at it, "
                       "with --reference",
                       path, (double)request->cfg_scale, request->layers ? " and layers " : "",
                       request->layers ? request->layers : "");
    return VARIANT_OK;
}

variant_status vt_sweep_points_read(vt_sweep_points *out, const char *path,
                                    const variant_info *info, const variant_request *request,
                                    variant_error *err) {
    char place[4096];
    cJSON *json = NULL;
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
    VT_CHECK(read_points(out, file.points, place, info, request, err));
cleanup:
    if (status != VARIANT_OK) {
        free(out->points);
        *out = (vt_sweep_points){0};
    }
    cJSON_Delete(json);
    return status;
}

/* plan_sweep.c - the points of a sweep as candidates of a plan; docs/SWEEP.md says what the file
 * holds. */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "planning/plan.h"
#include "io/file.h"
#include "supernet/schedule.h"

#define SWEEP_MAX ((size_t)64 << 20)
#define FORMAT 2 /* the newest that is read; 1, of files that do not say, has no spreads */

static const cJSON *item(const cJSON *object, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name) {
    const cJSON *found = item(object, name);
    return cJSON_IsString(found) ? found->valuestring : "";
}

/* The selector's name as a string that outlives the file; NULL: not one of the three. */
static const char *selector_of(const char *text) {
    for (vt_selector s = VT_EQUIDISTANT; s < VT_EXPLICIT; s = (vt_selector)(s + 1))
        if (strcmp(text, vt_selector_name(s)) == 0) return vt_selector_name(s);
    return NULL;
}

static bool whole_number(const cJSON *object, const char *name, int low, int high, int *out) {
    const cJSON *found = item(object, name);
    if (!cJSON_IsNumber(found) || !(found->valuedouble >= low && found->valuedouble <= high))
        return false;
    *out = (int)found->valuedouble;
    return true;
}

/* 1: taken; 0: not one of those asked for; -1: not a point. */
static int read_point(vt_candidate *out, const cJSON *point, const variant_info *info,
                      const variant_request *request, char *score, size_t score_size) {
    const cJSON *cfg = item(point, "cfg_scale"), *quality = item(point, "quality");
    const cJSON *distance = item(quality, "frechet"), *spread = item(quality, "frechet_spread");
    *out = (vt_candidate){.selector = selector_of(text_of(point, "selector"))};
    if (!whole_number(point, "depth", 1, info->depth, &out->depth) ||
        !whole_number(point, "bridge", 0, info->scales, &out->bridge) || !out->selector ||
        !cJSON_IsNumber(cfg))
        return -1;
    bool full = out->depth == info->depth; /* of which all selectors take the same layers */
    if (full) out->bridge = info->scales;
    if (fabs(cfg->valuedouble - (double)request->cfg_scale) > 1e-4) return 0;
    if (request->layers && !full && strcmp(request->layers, out->selector) != 0) return 0;
    if (!cJSON_IsNumber(distance) || !isfinite(distance->valuedouble)) return 0;
    if (cJSON_IsNumber(spread) && spread->valuedouble > 0.0 && isfinite(spread->valuedouble))
        out->spread = spread->valuedouble;
    out->distance = fmax(distance->valuedouble, 0.0); /* rounding may leave one below 0 */
    snprintf(score, score_size, "%s", text_of(quality, "name"));
    vt_plan_count_layers(out, info);
    return 1;
}

static variant_status read_points(vt_sweep_points *out, const cJSON *points, const char *path,
                                  const variant_info *info, const variant_request *request,
                                  variant_error *err) {
    const cJSON *point;
    int count = cJSON_GetArraySize(points);
    out->points = malloc((size_t)(count > 0 ? count : 1) * sizeof *out->points);
    if (!out->points) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d points", count);
    cJSON_ArrayForEach(point, points) {
        int taken = read_point(&out->points[out->count], point, info, request, out->score,
                               sizeof out->score);
        if (taken < 0)
            return vt_fail(
                err, VARIANT_E_FORMAT,
                "%s: point %.60s: expected depth 1 to %d, bridge 0 to %d, a selector and "
                "cfg_scale",
                path, text_of(point, "id"), info->depth, info->scales);
        if (taken > 0 && !(out->points[out->count].spread > 0.0)) out->no_spread = true;
        out->count += taken;
    }
    if (out->count == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: no quality was measured at guidance %g%s%s: expected a sweep with it",
                       path, (double)request->cfg_scale, request->layers ? " and layers " : "",
                       request->layers ? request->layers : "");
    return VARIANT_OK;
}

variant_status vt_sweep_points_read(vt_sweep_points *out, const char *path,
                                    const variant_info *info, const variant_request *request,
                                    variant_error *err) {
    char file[4096], *text = NULL;
    cJSON *json = NULL;
    variant_status status = VARIANT_OK;
    *out = (vt_sweep_points){0};
    snprintf(file, sizeof file, "%s%s", path, vt_is_folder(path) ? "/sweep.json" : "");
    VT_CHECK(vt_file_read_text(&text, file, SWEEP_MAX, err));
    json = cJSON_Parse(text);
    const cJSON *points = item(json, "points");
    if (!cJSON_IsObject(item(json, "model")) || !cJSON_IsArray(points))
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT,
                         "%s: not the results of a sweep: expected an object with model and points",
                         file));
    const cJSON *format = item(json, "format");
    if (cJSON_IsNumber(format) && format->valuedouble > FORMAT)
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT,
                         "%s: format %g, by a newer version: this one reads up to %d", file,
                         format->valuedouble, FORMAT));
    const char *hash = text_of(item(json, "model"), "hash");
    if (!info->hash || strcmp(hash, info->hash) != 0)
        VT_CHECK(vt_fail(err, VARIANT_E_MISMATCH,
                         "%s: a sweep of another model: its hash is %.16s, this model's %s", file,
                         hash, info->hash ? info->hash : "unknown"));
    const cJSON *settings = item(json, "settings");
    out->other_numbers = strcmp(text_of(settings, "weights"), info->weights) != 0 ||
                         strcmp(text_of(settings, "kv"), info->kv) != 0;
    VT_CHECK(read_points(out, points, file, info, request, err));
cleanup:
    if (status != VARIANT_OK) {
        free(out->points);
        *out = (vt_sweep_points){0};
    }
    cJSON_Delete(json);
    free(text);
    return status;
}

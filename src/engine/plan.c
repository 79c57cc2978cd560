/* plan.c - a budget of memory and time to the best schedule that keeps it.
 *
 * Candidates are the full depth and all pairs (bridge, depth), of the depths that a supernet was
 * trained for where there are any. Memory is variant_request_memory's, exact. Time is measured: a few
 * runs of the largest schedule that keeps the memory give the cost of a layer at every scale. */
#include "engine/plan.h"

#include <stdlib.h>

#include "engine/engine.h"

#define RUNS 3

/* ---- choosing ---- */

double vt_plan_seconds(const vt_stage_costs *costs, int model_depth, int bridge, int depth) {
    double seconds = costs->fixed;
    for (int k = 0; k < costs->scales; ++k)
        seconds += costs->layer[k] * (k < bridge ? model_depth : depth);
    return seconds;
}

double vt_plan_excess(const vt_candidate *candidate, size_t max_bytes, double max_seconds) {
    double bytes = max_bytes ? (double)candidate->bytes / (double)max_bytes : 0.0;
    double seconds = max_seconds > 0.0 ? candidate->seconds / max_seconds : 0.0;
    return bytes > seconds ? bytes : seconds;
}

static bool is_better(const vt_candidate *a, const vt_candidate *b) {
    double difference = a->kept - b->kept;
    if (difference > 1e-9 || difference < -1e-9) return difference > 0.0;
    return a->seconds < b->seconds;
}

int vt_plan_choose(const vt_candidate *candidates, int count, size_t max_bytes, double max_seconds,
                   bool *fits) {
    int best = -1, nearest = 0;
    double least = 0.0;
    for (int i = 0; i < count; ++i) {
        double excess = vt_plan_excess(&candidates[i], max_bytes, max_seconds);
        if (i == 0 || excess < least) {
            least = excess;
            nearest = i;
        }
        if (excess > 1.0) continue;
        if (best < 0 || is_better(&candidates[i], &candidates[best])) best = i;
    }
    *fits = best >= 0;
    return best >= 0 ? best : nearest;
}

/* ---- candidates ---- */

static void set_schedule(variant_request *request, const vt_candidate *candidate) {
    request->depths = NULL;
    request->bridge = candidate->bridge;
    request->depth = candidate->depth;
}

static size_t total_bytes(const variant_memory *m) {
    return m->weights + m->mapped + m->arena + m->kv;
}

static variant_status add_candidate(vt_candidate *out, const variant_engine *engine,
                                    const variant_info *info, variant_request *request, int bridge,
                                    int depth, variant_error *err) {
    variant_memory memory;
    *out = (vt_candidate){.bridge = bridge, .depth = depth};
    out->kept = (bridge + (double)(info->scales - bridge) * depth / info->depth) / info->scales;
    set_schedule(request, out);
    VT_TRY(variant_request_memory(engine, request, &memory, err));
    out->bytes = total_bytes(&memory);
    return VARIANT_OK;
}

static variant_status list_candidates(const variant_engine *engine, const variant_info *info,
                                      variant_request request, vt_candidate **out, int *count,
                                      variant_error *err) {
    bool trained = info->supernet && info->depth_count > 0;
    int depths = trained ? info->depth_count : info->depth - 1;
    size_t most = 1 + (size_t)(info->scales - 1) * (size_t)depths;
    *count = 0;
    *out = malloc(most * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu schedules", most);
    VT_TRY(
        add_candidate(&(*out)[(*count)++], engine, info, &request, info->scales, info->depth, err));
    for (int bridge = 1; bridge < info->scales; ++bridge) {
        for (int i = 0; i < depths; ++i) {
            int depth = trained ? info->depths[i] : i + 1;
            if (depth >= info->depth) continue;
            VT_TRY(add_candidate(&(*out)[(*count)++], engine, info, &request, bridge, depth, err));
        }
    }
    return VARIANT_OK;
}

/* ---- measuring ---- */

static double median(const double *values) {
    double a = values[0], b = values[1], c = values[2];
    double low = a < b ? a : b, high = a < b ? b : a;
    return c < low ? low : c > high ? high : c;
}

/* Medians of RUNS runs after one that warms up. */
static variant_status measure(const variant_engine *engine, const variant_request *request,
                              vt_stage_costs *costs, variant_error *err) {
    double layer[VARIANT_MAX_SCALES][RUNS], fixed[RUNS];
    for (int run = -1; run < RUNS; ++run) {
        variant_picture *pictures = NULL;
        variant_report report;
        VT_TRY(variant_generate(engine, request, &pictures, &report, err));
        variant_pictures_free(&pictures, request->count);
        if (run < 0) continue;
        costs->scales = report.scales;
        fixed[run] = report.total_seconds;
        for (int k = 0; k < report.scales; ++k) {
            double layers = report.scale_seconds[k] - report.scale_head_seconds[k];
            layer[k][run] = layers / report.scale_layers[k];
            fixed[run] -= layers;
        }
    }
    for (int k = 0; k < costs->scales; ++k) costs->layer[k] = median(layer[k]);
    costs->fixed = median(fixed);
    return VARIANT_OK;
}

/* ---- the plan ---- */

variant_status variant_plan_make(const variant_engine *engine, const variant_request *request,
                                 size_t max_bytes, double max_seconds, variant_plan *plan,
                                 variant_error *error) {
    variant_status status = VARIANT_OK;
    vt_candidate *candidates = NULL;
    vt_stage_costs costs = {0};
    variant_info info;
    variant_request at = *request;
    int count = 0;
    *plan = (variant_plan){0};
    if (error) *error = (variant_error){0};
    if (!(max_seconds >= 0.0))
        return vt_fail(error, VARIANT_E_ARGUMENT, "latency %g s: expected 0 (no limit) or more",
                       max_seconds);
    variant_engine_info(engine, &info);
    at.count = request->batch > 0 ? request->batch : 1;
    at.batch = at.count;
    at.progress = NULL;
    at.keep_scales = false;
    VT_CHECK(list_candidates(engine, &info, at, &candidates, &count, error));
    bool fits;
    set_schedule(&at, &candidates[vt_plan_choose(candidates, count, max_bytes, 0.0, &fits)]);
    VT_CHECK(measure(engine, &at, &costs, error));
    for (int i = 0; i < count; ++i)
        candidates[i].seconds =
            vt_plan_seconds(&costs, info.depth, candidates[i].bridge, candidates[i].depth);
    const vt_candidate *chosen =
        &candidates[vt_plan_choose(candidates, count, max_bytes, max_seconds, &plan->fits)];
    plan->bridge = chosen->bridge;
    plan->depth = chosen->depth;
    plan->kept = chosen->kept;
    plan->bytes = chosen->bytes;
    plan->seconds = chosen->seconds;
    plan->batch = at.batch;
    plan->considered = count;
cleanup:
    free(candidates);
    return status;
}

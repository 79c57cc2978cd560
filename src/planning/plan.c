/* plan.c - variant_plan_make: a budget of memory and time to the best schedule that keeps it; variant_plan_list: all of them.
 *
 * Candidates are the full depth and all pairs (bridge, depth), of the depths that a supernet was
 * trained for where there are any; or the points of a sweep. Memory is variant_request_memory's,
 * exact. Time is interpolated in a table measured once per model and machine (cost.h). */
#include "planning/plan.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/sized.h"
#include "planning/cost.h"
#include "planning/times.h"
#include "engine/branches.h"
#include "engine/engine.h"

#define DEFAULT_BATCH 8
#define MOST_AUTO 64

typedef enum quality { ANY, HIGH, BALANCED, FAST } quality;
static const char *const quality_names[] = {"", "high", "balanced", "fast"};
static const double quality_shares[] = {0.0, 0.0, 0.05, 0.25}; /* of a sweep's least distance */

/* A call of variant_plan_make. */
typedef struct planner {
    const variant_engine *engine;
    const variant_plan_options *options;
    const variant_info *info;
    variant_request at; /* the request; each step sets schedule and batch */
    vt_budget budget;
    quality quality;
    vt_candidate *candidates;
    int count;
    bool no_spread; /* some candidate's distance has none */
    variant_plan *plan;
} planner;

void variant_plan_options_init_sized(variant_plan_options *options, size_t size) {
    vt_sized_init(options, size, &(variant_plan_options){0}, sizeof *options);
}

void variant_plan_init_sized(variant_plan *plan, size_t size) {
    vt_sized_init(plan, size, &(variant_plan){0}, sizeof *plan);
}

void variant_seconds_init_sized(variant_seconds *seconds, size_t size) {
    vt_sized_init(seconds, size, &(variant_seconds){0}, sizeof *seconds);
}

void variant_plan_apply(const variant_plan *plan, variant_request *request) {
    if (!plan || !request) return;
    request->depths = NULL;
    request->layers = plan->layers;
    request->bridge = plan->bridge;
    request->depth = plan->depth;
    request->batch = plan->batch;
    if (plan->cfg_late >= 0.0f) request->cfg_late = plan->cfg_late;
    if (plan->uncond_depth < 0) return;
    request->uncond_depth = plan->uncond_depth;
    request->uncond_depths = NULL;
    request->uncond_layers = plan->uncond_depth > 0 ? plan->layers : NULL;
}

/* ---- what is asked ---- */

static bool is_selector(const char *text) {
    return strcmp(text, "equidistant") == 0 || strcmp(text, "rounded") == 0 ||
           strcmp(text, "prefix") == 0;
}

static variant_status read_options(planner *p, const variant_request *request, variant_error *err) {
    const variant_plan_options *o = p->options;
    if (!(o->max_seconds >= 0.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "max_seconds %g: expected 0 (no limit) or more",
                       o->max_seconds);
    for (int q = HIGH; o->quality && q <= FAST; ++q)
        if (strcmp(o->quality, quality_names[q]) == 0) p->quality = (quality)q;
    if (o->quality && p->quality == ANY)
        return vt_fail(err, VARIANT_E_ARGUMENT, "quality %.40s: expected high, balanced or fast",
                       o->quality);
    if (request->layers && !is_selector(request->layers))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "layers %.60s: a plan expects equidistant, rounded or prefix",
                       request->layers);
    p->budget = (vt_budget){o->max_bytes, o->max_seconds};
    p->at = *request;
    p->at.progress = NULL;
    p->at.preview = NULL;
    if (p->at.batch == 0) p->at.batch = DEFAULT_BATCH;
    if (p->at.batch > p->at.count) p->at.batch = p->at.count;
    if (o->auto_batch) p->at.batch = 1; /* grows once the schedule is chosen */
    return VARIANT_OK;
}

/* ---- candidates ---- */

static variant_status add_candidate(planner *p, vt_candidate candidate, variant_error *err) {
    vt_branches branches;
    variant_request request = p->at;
    vt_plan_set(&request, &candidate);
    VT_TRY(vt_branches_make(&branches, p->engine->model, &request, err));
    vt_plan_count_layers(&candidate, p->info, &branches);
    p->candidates[p->count++] = candidate;
    return VARIANT_OK;
}

/* One schedule with the unconditional branch that the model says (or the request), and with each shallower one that it
 * was trained for, which a tight budget may need. */
static variant_status add_schedule(planner *p, int bridge, int depth, variant_error *err) {
    const variant_info *info = p->info;
    vt_candidate c = {.bridge = bridge,
                      .depth = depth,
                      .selector = p->at.layers ? p->at.layers : info->layers,
                      .uncond = -1,
                      .late = -1.0};
    const bool named = p->at.uncond_depth > 0;
    if (named && depth == info->depth) c.bridge = info->bridge; /* of the unconditional branch */
    VT_TRY(add_candidate(p, c, err));
    if (vt_plan_is_told(&p->at) || !info->supernet) return VARIANT_OK;
    c.strays = true;
    if (depth == info->depth) c.bridge = info->bridge;
    for (int i = 0; i < info->depth_count; ++i) {
        c.uncond = info->depths[i];
        if (c.bridge >= info->bridge && c.uncond < info->uncond_depth && c.uncond < depth)
            VT_TRY(add_candidate(p, c, err));
    }
    return VARIANT_OK;
}

static variant_status list_schedules(planner *p, variant_error *err) {
    const variant_info *info = p->info;
    bool trained = info->supernet && info->depth_count > 0;
    int depths = trained ? info->depth_count : info->depth - 1;
    size_t most = (1 + (size_t)(info->scales - 1) * (size_t)depths) * (size_t)(depths + 1);
    p->candidates = malloc(most * sizeof *p->candidates);
    if (!p->candidates) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu schedules", most);
    VT_TRY(add_schedule(p, info->scales, info->depth, err));
    for (int bridge = 1; bridge < info->scales; ++bridge)
        for (int i = 0; i < depths; ++i) {
            int depth = trained ? info->depths[i] : i + 1;
            if (depth < info->depth) VT_TRY(add_schedule(p, bridge, depth, err));
        }
    return VARIANT_OK;
}

static variant_status list_measured(planner *p, variant_error *err) {
    vt_sweep_points points;
    VT_TRY(vt_sweep_points_read(&points, p->options->sweep, p->engine, &p->at, err));
    p->candidates = points.points;
    p->count = points.count;
    p->plan->has_distance = true;
    snprintf(p->plan->score, sizeof p->plan->score, "%s",
             points.score[0] ? points.score : "Frechet distance");
    p->no_spread = points.no_spread;
    if (points.other_numbers)
        snprintf(p->plan->warning, sizeof p->plan->warning,
                 "%.300s: quality was measured with other weights or kv", p->options->sweep);
    if (points.other_decoder) {
        char *text = p->plan->warning;
        const size_t used = strlen(text), size = sizeof p->plan->warning;
        snprintf(text + used, size - used, "%s%.100s: quality was measured with the %s decoder",
                 used ? "; " : "", p->options->sweep,
                 p->at.decoder && strcmp(p->at.decoder, "preview") == 0 ? "full" : "preview");
    }
    if (points.left_out) {
        char *text = p->plan->warning;
        const size_t used = strlen(text), size = sizeof p->plan->warning;
        snprintf(text + used, size - used,
                 "%s%.100s: %d points are passed over: no options run their unconditional branch",
                 used ? "; " : "", p->options->sweep, points.left_out);
    }
    return VARIANT_OK;
}

static variant_status bytes_of(const planner *p, const variant_request *request, size_t *out,
                               variant_error *err) {
    variant_memory m = {.size = sizeof m};
    VT_TRY(variant_request_memory(p->engine, request, &m, err));
    *out = m.weights + m.mapped + m.arena + m.kv + p->options->other_bytes;
    if (!request->edits)
        return VARIANT_OK;            /* pictures of the model's side are not worth counting */
    variant_request batch = *request; /* whoever has a limit takes them a batch at a time */
    if (batch.count > batch.batch) batch.count = batch.batch;
    VT_TRY(variant_request_memory(p->engine, &batch, &m, err));
    *out += m.edits + m.pictures;
    return VARIANT_OK;
}

static variant_status find_bytes(planner *p, vt_candidate *candidate, variant_error *err) {
    variant_request request = p->at;
    vt_plan_set(&request, candidate);
    return bytes_of(p, &request, &candidate->bytes, err);
}

/* ---- time ---- */

/* Room for what a run takes must be within the limit as well; none: any. */
static variant_status fits_memory(const planner *p, const variant_request *request, bool *fits,
                                  variant_error *err) {
    size_t bytes = 0;
    *fits = p->budget.bytes == 0;
    if (*fits) return VARIANT_OK;
    VT_TRY(bytes_of(p, request, &bytes, err));
    *fits = bytes <= p->budget.bytes;
    return VARIANT_OK;
}

/* The deepest zones up to these whose two branches, alike, keep the memory limit: guidance may have a shallower branch that
 * does where equal ones do not. None does: the shallow ones. */
static variant_status find_deep(const planner *p, const variant_request *at, vt_zones most,
                                vt_zones shallow, vt_zones *out, variant_error *err) {
    for (int bridge = most.bridge;; bridge = 1) {
        for (int depth = most.depth; depth >= shallow.depth; --depth) {
            variant_request request;
            bool fits;
            *out = (vt_zones){bridge, depth};
            vt_cost_request(&request, at, *out);
            VT_TRY(fits_memory(p, &request, &fits, err));
            if (fits) return VARIANT_OK;
        }
        if (bridge <= 1) break;
    }
    *out = shallow;
    return VARIANT_OK;
}

/* Behind what is said already. */
static void warn(planner *p, const char *message, const char *consequence) {
    char *text = p->plan->warning;
    size_t used = strlen(text), size = sizeof p->plan->warning;
    snprintf(text + used, size - used, "%s%.*s: %s", used ? "; " : "", used ? 150 : 400, message,
             consequence);
}

static variant_status measure_costs(const planner *p, vt_costs *costs, const variant_request *at,
                                    const vt_candidate *deep, variant_error *err) {
    const vt_zones most = {deep->bridge, deep->depth};
    vt_zones shallow = {1, p->info->depth / 4}, both;
    if (shallow.depth > deep->depth / 2) shallow.depth = deep->depth / 2;
    if (shallow.depth < 1) shallow.depth = 1;
    VT_TRY(find_deep(p, at, most, shallow, &both, err));
    vt_zones apart = most;
    vt_layers_text room;
    variant_request request;
    bool fits;
    VT_TRY(vt_cost_request_apart(&request, p->engine, at, apart, shallow, &room, err));
    VT_TRY(fits_memory(p, &request, &fits, err));
    if (!fits) apart = both;
    return vt_costs_measure(costs, p->engine, at, both, shallow, apart, err);
}

/* Is it a table that says what is asked? A disturbed one only where nothing may be measured. */
static bool serves(planner *p, const vt_costs *costs, const vt_candidate *deep) {
    if (costs->scales != p->info->scales || !vt_costs_cover(costs, &deep->layers)) return false;
    if (!costs->disturbed) return true;
    if (!p->options->kept_only) return false;
    if (!p->plan->disturbed) warn(p, costs->why, "times are of a disturbed machine");
    p->plan->disturbed = true;
    return true;
}

/* Of memory, else of the file. */
static bool find_kept(planner *p, vt_costs *costs, const vt_candidate *deep,
                      const vt_costs_key *key, const char *path) {
    variant_error trouble = {0};
    bool there = false;
    if (vt_times_find(p->options->times, key, costs) && serves(p, costs, deep)) return true;
    if (!path) return false;
    if (vt_costs_read(costs, path, key, &there, &trouble) != VARIANT_OK) {
        if (there) warn(p, trouble.message, p->options->kept_only ? "not used" : "measured again");
        return false;
    }
    if (!serves(p, costs, deep)) return false;
    vt_times_put(p->options->times, key, costs);
    return true;
}

/* The table for p->at.batch: from the cache where it holds one that covers what is needed, else measured. */
static variant_status find_costs(planner *p, vt_costs *costs, const vt_candidate *deep,
                                 variant_error *err) {
    char path[4096];
    variant_error trouble = {0};
    vt_costs_key key;
    variant_request at = p->at;
    vt_plan_set(&at, deep);
    at.count = at.batch;
    at.keep_scales = false; /* their decoding is no time of a layer */
    vt_costs_key_of(&key, p->engine, &at);
    bool kept = vt_costs_path(path, sizeof path, p->options->cache, &key);
    if (!p->options->remeasure && find_kept(p, costs, deep, &key, kept ? path : NULL))
        return VARIANT_OK;
    if (p->options->kept_only)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "no times of this model were measured on this machine yet");
    VT_TRY(measure_costs(p, costs, &at, deep, err));
    p->plan->measured = true;
    vt_times_put(p->options->times, &key, costs);
    if (costs->disturbed && !p->plan->disturbed)
        warn(p, costs->why, "times are of a disturbed machine; the next plan measures again");
    p->plan->disturbed = p->plan->disturbed || costs->disturbed;
    if (kept && vt_costs_write(costs, path, &key, &trouble) != VARIANT_OK)
        warn(p, trouble.message, "measured times are not kept");
    return VARIANT_OK;
}

/* Seconds of every candidate, measured at the one of most work among those that fit the memory. */
static variant_status find_seconds(planner *p, variant_error *err) {
    vt_budget memory = {p->budget.bytes, 0.0};
    vt_costs costs;
    bool fits;
    const vt_candidate *deep =
        &p->candidates[vt_plan_choose(p->candidates, p->count, memory, &fits)];
    for (int i = 0; fits && i < p->count; ++i)
        if (p->candidates[i].work > deep->work && vt_plan_excess(&p->candidates[i], memory) <= 1.0)
            deep = &p->candidates[i];
    VT_TRY(find_costs(p, &costs, deep, err));
    for (int i = 0; i < p->count; ++i)
        p->candidates[i].seconds = vt_costs_seconds(&costs, &p->candidates[i].layers);
    return VARIANT_OK;
}

/* ---- choosing ---- */

/* Half or a quarter of the layers after the model's own bridge, or the published proportion. */
static int named_schedule(const planner *p) {
    const variant_info *info = p->info;
    int parts = p->quality == BALANCED ? 2 : 4;
    int bridge = info->bridge;
    if (p->quality == HIGH)
        return vt_plan_nearest(p->candidates, p->count, info->scales, info->depth);
    if (bridge >= info->scales) bridge = info->scales - 1;
    return vt_plan_nearest(p->candidates, p->count, bridge, (info->depth + parts - 1) / parts);
}

static int choose_by_layers(planner *p) {
    static const char *const kept[] = {"", "all layers", "half the layers after the bridge",
                                       "a quarter of the layers after the bridge"};
    variant_plan *plan = p->plan;
    if (p->quality == ANY) {
        int best = vt_plan_choose(p->candidates, p->count, p->budget, &plan->fits);
        snprintf(plan->why, sizeof plan->why, "keeps most layers of %d schedules", p->count);
        return best;
    }
    const char *name = quality_names[p->quality];
    int named = named_schedule(p);
    plan->fits = vt_plan_excess(&p->candidates[named], p->budget) <= 1.0;
    snprintf(plan->why, sizeof plan->why, "quality %s, %s", name, kept[p->quality]);
    if (plan->fits) return named;
    snprintf(plan->why, sizeof plan->why,
             "quality %s does not fit; this keeps most layers below it", name);
    return vt_plan_choose_below(p->candidates, p->count, &p->candidates[named], p->budget,
                                &plan->fits);
}

/* Within a share of the least cannot be told where scores are spread wider than that. */
static void warn_of_spread(planner *p, double share, double least) {
    double spread = 0.0;
    char line[160];
    for (int i = 0; i < p->count; ++i)
        if (p->candidates[i].distance <= least) spread = p->candidates[i].spread;
    if (spread <= share * least) return;
    snprintf(
        line, sizeof line,
        "the best %.60s is known to +- %.3g only: which are within %.0f %% of it cannot be told",
        p->plan->score, spread, 100.0 * share);
    warn(p, line, "sweep with more samples");
}

/* Fewer layers on the word of scores that do not say how far chance moves them. */
static void warn_of_no_spread(planner *p, int best) {
    bool passed_over = false;
    for (int i = 0; i < p->count; ++i)
        passed_over = passed_over || (p->candidates[i].kept > p->candidates[best].kept + 1e-9 &&
                                      vt_plan_excess(&p->candidates[i], p->budget) <= 1.0);
    if (p->no_spread && passed_over)
        warn(p, p->options->sweep,
             "its scores come without a spread: small differences may be chance");
}

static int choose_by_distance(planner *p) {
    variant_plan *plan = p->plan;
    int best;
    if (p->quality == BALANCED || p->quality == FAST) {
        const char *name = quality_names[p->quality];
        double share = quality_shares[p->quality];
        double least = vt_plan_least_distance(p->candidates, p->count);
        best = vt_plan_choose_near(p->candidates, p->count, share, p->budget, &plan->fits);
        warn_of_spread(p, share, least);
        if (p->candidates[best].distance > least * (1.0 + share))
            snprintf(plan->why, sizeof plan->why,
                     "quality %s does not fit; this has the best %s of those that do", name,
                     plan->score);
        else
            snprintf(plan->why, sizeof plan->why,
                     "quality %s, the fastest within %.0f %% of the best %s", name, 100.0 * share,
                     plan->score);
        return best;
    }
    best = vt_plan_choose(p->candidates, p->count, p->budget, &plan->fits);
    warn_of_no_spread(p, best);
    int equal = vt_plan_count_equal(p->candidates, p->count, p->budget);
    if (equal > 1)
        snprintf(plan->why, sizeof plan->why,
                 "keeps most layers of %d whose %s is the best within its spread, of %d measured "
                 "schedules",
                 equal, plan->score, p->count);
    else
        snprintf(plan->why, sizeof plan->why, "the best %s of %d measured schedules", plan->score,
                 p->count);
    return best;
}

static bool needs_seconds(const planner *p) {
    bool fastest = p->options->sweep && (p->quality == BALANCED || p->quality == FAST);
    return p->budget.seconds > 0.0 || fastest;
}

/* All candidates, what they take and, where that is asked, how long. */
static variant_status list_candidates(planner *p, variant_error *err) {
    VT_TRY(p->options->sweep ? list_measured(p, err) : list_schedules(p, err));
    for (int i = 0; i < p->count; ++i) VT_TRY(find_bytes(p, &p->candidates[i], err));
    bool ask = !p->options->memory_only && !p->options->auto_batch;
    return needs_seconds(p) || ask ? find_seconds(p, err) : VARIANT_OK;
}

static variant_status choose(planner *p, vt_candidate *chosen, variant_error *err) {
    VT_TRY(list_candidates(p, err));
    int best = p->options->sweep ? choose_by_distance(p) : choose_by_layers(p);
    *chosen = p->candidates[best];
    if (!p->plan->fits)
        snprintf(p->plan->why, sizeof p->plan->why, "misses the limits least of %d schedules",
                 p->count);
    return VARIANT_OK;
}

/* ---- as many pictures at a time as fit ---- */

static variant_status fits_at(planner *p, vt_candidate *chosen, int batch, size_t limit, bool *fits,
                              variant_error *err) {
    p->at.batch = batch;
    VT_TRY(find_bytes(p, chosen, err));
    *fits = limit == 0 || chosen->bytes <= limit;
    return VARIANT_OK;
}

/* Without a limit three quarters of the machine's memory are one. Memory grows with the batch, so
 * halving the interval finds the largest; time is then asked for, and the batch halved until it
 * keeps the limit (a batch of one does: the schedule was chosen so). */
static variant_status grow_batch(planner *p, vt_candidate *chosen, variant_error *err) {
    int low = 1, high = p->at.count < MOST_AUTO ? p->at.count : MOST_AUTO;
    size_t limit = p->budget.bytes ? p->budget.bytes : vt_physical_bytes() / 4 * 3;
    bool fits;
    while (low < high) {
        int middle = (low + high + 1) / 2;
        VT_TRY(fits_at(p, chosen, middle, limit, &fits, err));
        if (fits)
            low = middle;
        else
            high = middle - 1;
    }
    for (;; low /= 2) {
        vt_costs costs;
        VT_TRY(fits_at(p, chosen, low, limit, &fits, err));
        if (p->options->memory_only && p->budget.seconds <= 0.0) return VARIANT_OK;
        VT_TRY(find_costs(p, &costs, chosen, err));
        double seconds = vt_costs_seconds(&costs, &chosen->layers);
        bool keeps = p->budget.seconds <= 0.0 || seconds <= p->budget.seconds;
        if (keeps || low == 1) { /* of one: as it was when the schedule was chosen */
            chosen->seconds = keeps ? seconds : chosen->seconds;
            return VARIANT_OK;
        }
    }
}

/* ---- the plan ---- */

/* What the unconditional branch then runs, where it is not what the conditional one does. */
static variant_status describe_uncond(const planner *p, const vt_candidate *chosen,
                                      variant_error *err) {
    vt_branches branches;
    variant_request request = p->at;
    vt_plan_set(&request, chosen);
    VT_TRY(vt_branches_make(&branches, p->engine->model, &request, err));
    if (branches.guided_scales && vt_branches_differ(&branches))
        vt_branches_describe_uncond(&branches, p->plan->uncond_depths,
                                    sizeof p->plan->uncond_depths);
    return VARIANT_OK;
}

static variant_status describe(const planner *p, const vt_candidate *chosen, variant_error *err) {
    variant_plan *plan = p->plan;
    plan->bridge = chosen->bridge;
    plan->depth = chosen->depth;
    plan->layers = chosen->selector;
    plan->uncond_depth = chosen->uncond;
    plan->cfg_late = (float)chosen->late;
    plan->kept = chosen->kept;
    plan->bytes = chosen->bytes;
    plan->seconds = chosen->seconds;
    plan->distance = chosen->distance;
    plan->distance_spread = chosen->spread;
    plan->batch = p->at.batch;
    plan->considered = p->count;
    return describe_uncond(p, chosen, err);
}

/* What a caller asks, as today's structs. */
typedef struct question {
    variant_request request;
    variant_plan_options options;
    variant_plan plan; /* what is found, or is said of all */
} question;

static variant_status ask(question *q, planner *p, const variant_engine *engine,
                          const variant_request *request, const variant_plan_options *options,
                          variant_error *err) {
    variant_plan_init(&q->plan);
    VT_TRY(vt_need(engine, VT_NO_ENGINE, err));
    VT_TRY(VT_SIZED_TAKE(&q->request, request, variant_request, err));
    VT_TRY(VT_SIZED_TAKE(&q->options, options, variant_plan_options, err));
    *p = (planner){.engine = engine,
                   .options = &q->options,
                   .info = variant_engine_info(engine),
                   .plan = &q->plan};
    return VARIANT_OK;
}

variant_status variant_plan_make(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan *plan,
                                 variant_error *error) {
    variant_status status = VARIANT_OK;
    question q;
    planner p;
    vt_candidate chosen = {0};
    if (error) *error = (variant_error){0};
    VT_TRY(vt_sized_clear(plan, "variant_plan", error));
    VT_TRY(ask(&q, &p, engine, request, options, error));
    VT_CHECK(read_options(&p, &q.request, error));
    VT_CHECK(choose(&p, &chosen, error));
    if (q.options.auto_batch && q.plan.fits) VT_CHECK(grow_batch(&p, &chosen, error));
    VT_CHECK(describe(&p, &chosen, error));
cleanup:
    vt_sized_give(plan, &q.plan, sizeof q.plan);
    free(p.candidates);
    return status;
}

/* ---- one request ---- */

/* All layers in both branches: a table of them says what fewer take. */
static variant_status deepest(planner *p, vt_candidate *out, variant_error *err) {
    vt_branches branches;
    variant_request request;
    *out = (vt_candidate){.bridge = p->info->scales,
                          .depth = p->info->depth,
                          .selector = p->info->layers,
                          .uncond = 0,
                          .late = -1.0};
    vt_cost_request(&request, &p->at, (vt_zones){out->bridge, out->depth});
    VT_TRY(vt_branches_make(&branches, p->engine->model, &request, err));
    vt_plan_count_layers(out, p->info, &branches);
    return VARIANT_OK;
}

variant_status variant_request_seconds(const variant_engine *engine, const variant_request *request,
                                       const variant_plan_options *options,
                                       variant_seconds *seconds, variant_error *error) {
    question q;
    planner p;
    vt_branches branches;
    vt_candidate deep;
    vt_costs costs;
    vt_cost_work work;
    variant_seconds told = {0};
    if (error) *error = (variant_error){0};
    VT_TRY(vt_sized_clear(seconds, "variant_seconds", error));
    VT_TRY(ask(&q, &p, engine, request, options, error));
    variant_request plain = q.request;
    plain.layers = NULL; /* times are of layers, whichever */
    VT_TRY(read_options(&p, &plain, error));
    VT_TRY(vt_branches_make(&branches, engine->model, &q.request, error));
    VT_TRY(deepest(&p, &deep, error));
    VT_TRY(find_costs(&p, &costs, &deep, error));
    vt_cost_work_of(&work, &branches);
    for (int k = 0; k < p.info->scales; ++k)
        told.scale[k] = vt_costs_scale_seconds(&costs, &work, k);
    told.rest = costs.fixed;
    told.total = vt_costs_seconds(&costs, &work);
    told.disturbed = q.plan.disturbed;
    vt_sized_give(seconds, &told, sizeof told);
    return VARIANT_OK;
}

/* ---- all of them ---- */

/* A plan a candidate; each has what is said of all (warnings, whether times were measured). */
static variant_status describe_all(planner *p, variant_plan *const *plans, variant_error *err) {
    const variant_plan *of_all = p->plan;
    for (int i = 0; i < p->count; ++i) {
        *plans[i] = *of_all;
        p->plan = plans[i];
        VT_TRY(describe(p, &p->candidates[i], err));
        plans[i]->fits = vt_plan_excess(&p->candidates[i], p->budget) <= 1.0;
    }
    return VARIANT_OK;
}

/* Pointers, and behind them in the same memory what they point to. */
static variant_plan **new_plans(int count) {
    const size_t each = sizeof(variant_plan *) + sizeof(variant_plan);
    variant_plan **plans = calloc((size_t)count, each);
    variant_plan *first = plans ? (variant_plan *)(void *)(plans + count) : NULL;
    for (int i = 0; plans && i < count; ++i) plans[i] = first + i;
    return plans;
}

variant_status variant_plan_list(const variant_engine *engine, const variant_request *request,
                                 const variant_plan_options *options, variant_plan ***plans,
                                 int *count, variant_error *error) {
    variant_status status = VARIANT_OK;
    question q;
    planner p;
    VT_TRY(vt_need(plans && count ? plans : NULL, "nowhere to put plans, or their number", error));
    *plans = NULL;
    *count = 0;
    VT_TRY(ask(&q, &p, engine, request, options, error));
    VT_CHECK(read_options(&p, &q.request, error));
    VT_CHECK(list_candidates(&p, error));
    *plans = new_plans(p.count);
    if (!*plans) VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for %d plans", p.count));
    VT_CHECK(describe_all(&p, *plans, error));
    *count = p.count;
cleanup:
    free(p.candidates);
    if (status != VARIANT_OK) {
        free(*plans);
        *plans = NULL;
    }
    return status;
}

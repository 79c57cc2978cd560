/* plan_choose.c - the best of schedules whose cost is known; see plan.h. */
#include "planning/plan.h"

#include <math.h>
#include <stdlib.h>

double vt_plan_excess(const vt_candidate *candidate, vt_budget budget) {
    double bytes = budget.bytes ? (double)candidate->bytes / (double)budget.bytes : 0.0;
    double seconds = budget.seconds > 0.0 ? candidate->seconds / budget.seconds : 0.0;
    return bytes > seconds ? bytes : seconds;
}

static bool differs(double a, double b) {
    double difference = a - b;
    return difference > 1e-9 || difference < -1e-9;
}

double vt_plan_margin(double spread_a, double spread_b) {
    double a = spread_a > 0.0 ? spread_a : 0.0, b = spread_b > 0.0 ? spread_b : 0.0; /* NAN: none */
    return 2.0 * sqrt(a * a + b * b);
}

/* Of two whose distances are equal. */
static bool keeps_more(const vt_candidate *a, const vt_candidate *b) {
    if (differs(a->kept, b->kept)) return a->kept > b->kept;
    if (a->strays != b->strays) return b->strays;
    if (differs(a->work, b->work)) return a->work < b->work;
    return a->seconds < b->seconds;
}

bool vt_plan_is_better(const vt_candidate *a, const vt_candidate *b) {
    if (differs(a->distance, b->distance)) return a->distance < b->distance;
    return keeps_more(a, b);
}

static int nearest_to_budget(const vt_candidate *candidates, int count, vt_budget budget) {
    int nearest = 0;
    for (int i = 1; i < count; ++i)
        if (vt_plan_excess(&candidates[i], budget) < vt_plan_excess(&candidates[nearest], budget))
            nearest = i;
    return nearest;
}

static bool may_be_chosen(const vt_candidate *c, const vt_candidate *ceiling, vt_budget budget) {
    return vt_plan_excess(c, budget) <= 1.0 && !(ceiling && vt_plan_is_better(c, ceiling));
}

static bool equals(const vt_candidate *c, const vt_candidate *least) {
    return c->distance - least->distance <= vt_plan_margin(c->spread, least->spread) + 1e-9;
}

static int find_least(const vt_candidate *candidates, int count, const vt_candidate *ceiling,
                      vt_budget budget) {
    int least = -1;
    for (int i = 0; i < count; ++i)
        if (may_be_chosen(&candidates[i], ceiling, budget) &&
            (least < 0 || candidates[i].distance < candidates[least].distance))
            least = i;
    return least;
}

int vt_plan_count_equal(const vt_candidate *candidates, int count, vt_budget budget) {
    int least = find_least(candidates, count, NULL, budget), equal = 0;
    for (int i = 0; least >= 0 && i < count; ++i)
        equal += may_be_chosen(&candidates[i], NULL, budget) &&
                 equals(&candidates[i], &candidates[least]);
    return equal;
}

int vt_plan_choose_below(const vt_candidate *candidates, int count, const vt_candidate *ceiling,
                         vt_budget budget, bool *fits) {
    int least = find_least(candidates, count, ceiling, budget), best = -1;
    for (int i = 0; least >= 0 && i < count; ++i) {
        const vt_candidate *c = &candidates[i];
        if (!may_be_chosen(c, ceiling, budget) || !equals(c, &candidates[least])) continue;
        if (best < 0 || keeps_more(c, &candidates[best])) best = i;
    }
    *fits = best >= 0;
    return best >= 0 ? best : nearest_to_budget(candidates, count, budget);
}

int vt_plan_choose(const vt_candidate *candidates, int count, vt_budget budget, bool *fits) {
    return vt_plan_choose_below(candidates, count, NULL, budget, fits);
}

double vt_plan_least_distance(const vt_candidate *candidates, int count) {
    double least = candidates[0].distance;
    for (int i = 1; i < count; ++i)
        if (candidates[i].distance < least) least = candidates[i].distance;
    return least;
}

int vt_plan_choose_near(const vt_candidate *candidates, int count, double share, vt_budget budget,
                        bool *fits) {
    double least = vt_plan_least_distance(candidates, count);
    int fastest = -1;
    for (int i = 0; i < count; ++i) {
        if (candidates[i].distance > least * (1.0 + share)) continue;
        if (vt_plan_excess(&candidates[i], budget) > 1.0) continue;
        if (fastest < 0 || candidates[i].seconds < candidates[fastest].seconds) fastest = i;
    }
    *fits = fastest >= 0;
    return *fits ? fastest : vt_plan_choose(candidates, count, budget, fits);
}

int vt_plan_nearest(const vt_candidate *candidates, int count, int bridge, int depth) {
    int best = 0;
    for (int i = 1; i < count; ++i) {
        const vt_candidate *a = &candidates[i], *b = &candidates[best];
        int by_bridge = abs(a->bridge - bridge) - abs(b->bridge - bridge);
        int by_depth = abs(a->depth - depth) - abs(b->depth - depth);
        if (by_bridge < 0 || (by_bridge == 0 && by_depth < 0) ||
            (by_bridge == 0 && by_depth == 0 && a->depth > b->depth))
            best = i;
    }
    return best;
}

void vt_plan_count_layers(vt_candidate *c, const variant_info *info, const vt_branches *branches) {
    c->kept = c->work = 0.0;
    vt_cost_work_of(&c->layers, branches);
    for (int k = 0; k < info->scales; ++k) {
        const double tokens = (double)info->sides[k] * info->sides[k];
        int layers = vt_schedule_depth_at(&branches->cond, k);
        c->kept += (double)layers / info->depth / info->scales;
        if (k < branches->guided_scales) layers += vt_schedule_depth_at(&branches->uncond, k);
        c->work += layers * tokens;
    }
}

bool vt_plan_is_told(const variant_request *request) {
    return request->uncond_depth >= 0 || request->uncond_depths || request->uncond_layers;
}

void vt_plan_set(variant_request *request, const vt_candidate *candidate) {
    request->depths = NULL;
    request->layers = candidate->selector;
    request->bridge = candidate->bridge;
    request->depth = candidate->depth;
    if (candidate->late >= 0.0) request->cfg_late = (float)candidate->late;
    if (candidate->uncond < 0) return;
    request->uncond_depth = candidate->uncond;
    request->uncond_depths = NULL;
    request->uncond_layers = candidate->uncond > 0 ? candidate->selector : NULL;
}

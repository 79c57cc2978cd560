/* sweep_plan.c - the points of a sweep, before anything runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "variant.h"
#include "engine/branches.h"
#include "eval/sweep.h"

typedef struct maker {
    const vt_sweep_options *options;
    variant_info info;
    vt_sweep_task *tasks;
    int count;
} maker;

static variant_status check(const vt_sweep_options *o, const variant_info *info,
                            variant_error *err) {
    for (int i = 0; i < o->depth_count; ++i)
        if (o->depths[i] < 1 || o->depths[i] > info->depth)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "depths: depth %d: expected 1 to %d, the model's layers", o->depths[i],
                           info->depth);
    for (int i = 0; i < o->bridge_count; ++i)
        if (o->bridges[i] < 0 || o->bridges[i] >= info->scales)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "bridges: bridge %d: expected 0 to %d, of the model's %d scales",
                           o->bridges[i], info->scales - 1, info->scales);
    for (int i = 0; i < o->uncond_count; ++i)
        if (o->uncond_depths[i] < -1 || o->uncond_depths[i] > info->depth)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "uncond_depths: depth %d: expected -1 (as the model has it), 0 (as "
                           "depth) to %d, the model's "
                           "layers",
                           o->uncond_depths[i], info->depth);
    for (int i = 0; i < o->zone_count; ++i)
        if (o->zones[i].first < 1 || o->zones[i].last < o->zones[i].first ||
            o->zones[i].last > info->scales)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "zones: zone %d-%d: expected scales within 1 to %d", o->zones[i].first,
                           o->zones[i].last, info->scales);
    if (o->zone_count && (o->zone_depth < 1 || o->zone_depth > info->depth))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "zone_depth: depth %d: expected 1 to %d, the model's layers", o->zone_depth,
                       info->depth);
    if ((o->depth_count && !o->bridge_count) || !o->selector_count || !o->cfg_count)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a sweep needs a depth, a bridge, a selector and a guidance at least");
    if (!o->depth_count && !o->zone_count)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a sweep needs depths or zones");
    return VARIANT_OK;
}

/* Layers of every scale: `inside` in the scales first..last (from 1), all elsewhere. */
static void describe_depths(const maker *m, int first, int last, int inside, char *out,
                            size_t size) {
    size_t at = 0;
    for (int k = 1; k <= m->info.scales && at < size; ++k)
        at += (size_t)snprintf(out + at, size - at, "%s%d", k > 1 ? "," : "",
                               k >= first && k <= last ? inside : m->info.depth);
}

void vt_sweep_fill(vt_sweep_options *o, const variant_info *info) {
    if (!o->depth_count) {
        o->depths[o->depth_count++] = info->depth;
        for (int i = 0; i < info->depth_count; ++i) o->depths[o->depth_count++] = info->depths[i];
        for (int part = 2; part <= 8 && !info->depth_count; part *= 2)
            if (info->depth / part >= 1) o->depths[o->depth_count++] = info->depth / part;
    }
    if (!o->selector_count) o->selectors[o->selector_count++] = info->layers;
    if (!o->bridge_count) {
        for (int n = info->bridge - 2; n <= info->bridge + 2; n += 2)
            if (n >= 0 && n < info->scales) o->bridges[o->bridge_count++] = n;
    }
    if (!o->zone_depth) {
        o->zone_depth = info->depth;
        for (int i = 0; i < o->depth_count; ++i)
            if (o->depths[i] < o->zone_depth) o->zone_depth = o->depths[i];
    }
}

variant_request vt_sweep_request(const vt_sweep_options *options, const vt_sweep_task *task) {
    variant_request request = options->request;
    request.depth = 0;
    request.bridge = -1;
    request.depths = task->depths;
    request.layers = task->selector;
    request.cfg_scale = (float)task->cfg_scale;
    if (task->cfg_late >= 0.0) request.cfg_late = (float)task->cfg_late;
    if (task->uncond < 0) return request;
    request.uncond_depth = 0;
    request.uncond_depths = task->uncond_asked[0] ? task->uncond_asked : NULL;
    request.uncond_layers = task->uncond_asked[0] ? task->selector : NULL;
    return request;
}

/* ---- the unconditional branch ---- */

/* As the conditional one in the first `bridge` scales, then at most `uncond` layers. */
static void ask_uncond(vt_sweep_task *task, int bridge) {
    int layers[VARIANT_MAX_SCALES];
    size_t at = 0;
    const int scales = variant_list_ints(task->depths, 1, 1000, VARIANT_MAX_SCALES, layers);
    for (int k = 0; k < scales && task->uncond > 0 && at < sizeof task->uncond_asked; ++k) {
        if (k >= bridge && layers[k] > task->uncond) layers[k] = task->uncond;
        at += (size_t)snprintf(task->uncond_asked + at, sizeof task->uncond_asked - at, "%s%d",
                               k ? "," : "", layers[k]);
    }
}

/* Of a float, the number that was meant. */
static double decimal(double value) {
    return round(1e6 * value) / 1e6;
}

/* What of the unconditional branch is not as the conditional: its layers in the end, the scales before them where they
 * do not begin where the task's do, and how it guides. */
static void name_uncond(const vt_branches *b, vt_sweep_task *task) {
    const int last = b->guided_scales - 1;
    bool shallower = false, other = false;
    char place[16] = "", late[24] = "";
    for (int k = 0; k <= last; ++k) {
        const int less = vt_schedule_depth_at(&b->cond, k) - vt_schedule_depth_at(&b->uncond, k);
        shallower = shallower || less > 0;
        other = other || less != 0;
    }
    const double rise = last > 0 && b->cond.scales > 1 ? (double)last / (b->cond.scales - 1) : 1.0;
    const double factor = shallower ? (double)b->guide[last] / (task->cfg_scale * rise) : 1.0;
    task->cfg_late = shallower && b->late >= 0.0f ? decimal((double)b->late) : NAN;
    if (!other) return;
    const int layers = vt_schedule_depth_at(&b->uncond, last);
    int from = last;
    while (from > 0 && vt_schedule_depth_at(&b->uncond, from - 1) == layers) --from;
    if (task->zone.first == 0 && task->depth < b->cond.depth && from != task->bridge)
        snprintf(place, sizeof place, "n%d", from);
    if (isfinite(task->cfg_late) ? task->cfg_late != 1.0
                                 : shallower) /* a model may tell a factor a depth */
        snprintf(late, sizeof late, "-late%g%s",
                 isfinite(task->cfg_late) ? task->cfg_late : decimal(factor),
                 isfinite(task->cfg_late) ? "" : "m");
    const size_t used = strlen(task->id);
    snprintf(task->id + used, sizeof task->id - used, "-u%d%s%s", layers, place, late);
}

/* Resolves the request: what the unconditional branch runs is in the id. */
static variant_status finish(maker *m, vt_sweep_task *task, int bridge, variant_error *err) {
    vt_branches branches;
    ask_uncond(task, bridge);
    const variant_request request = vt_sweep_request(m->options, task);
    VT_TRY(vt_branches_make(&branches, m->options->engine->model, &request, err));
    vt_branches_describe_uncond(&branches, task->uncond_depths, sizeof task->uncond_depths);
    name_uncond(&branches, task);
    task->guidance.count = branches.cond.scales;
    for (int k = 0; k < branches.cond.scales; ++k)
        task->guidance.at[k] = decimal((double)branches.guide[k]);
    return VARIANT_OK;
}

/* Unless there already. */
static variant_status add(maker *m, vt_sweep_task *task, int bridge, variant_error *err) {
    VT_TRY(finish(m, task, bridge, err));
    for (int i = 0; i < m->count; ++i)
        if (strcmp(m->tasks[i].id, task->id) == 0) return VARIANT_OK;
    m->tasks[m->count++] = *task;
    return VARIANT_OK;
}

/* Guidance of a task, and the layers of its unconditional branch. */
typedef struct guided {
    double cfg;
    int uncond;  /* -1: as the request says ... */
    double late; /* ... likewise */
} guided;

static variant_status add_full(maker *m, guided g, variant_error *err) {
    const vt_sweep_options *o = m->options;
    vt_sweep_task task = {.depth = m->info.depth,
                          .bridge = o->bridge_count ? o->bridges[0] : 0,
                          .selector = o->selectors[0],
                          .cfg_scale = g.cfg,
                          .uncond = g.uncond,
                          .cfg_late = g.late};
    snprintf(task.id, sizeof task.id, "full-cfg%g", g.cfg);
    describe_depths(m, 0, -1, 0, task.depths, sizeof task.depths);
    return add(m, &task, m->info.bridge, err);
}

static variant_status add_grid(maker *m, guided g, const char *selector, variant_error *err) {
    const vt_sweep_options *o = m->options;
    for (int d = 0; d < o->depth_count; ++d)
        for (int n = 0; n < o->bridge_count; ++n) {
            vt_sweep_task task = {.depth = o->depths[d],
                                  .bridge = o->bridges[n],
                                  .selector = selector,
                                  .cfg_scale = g.cfg,
                                  .uncond = g.uncond,
                                  .cfg_late = g.late};
            if (task.depth == m->info.depth) {
                VT_TRY(add_full(m, g, err));
                continue;
            }
            snprintf(task.id, sizeof task.id, "d%d-n%d-%s-cfg%g", task.depth, task.bridge, selector,
                     g.cfg);
            describe_depths(m, task.bridge + 1, m->info.scales, task.depth, task.depths,
                            sizeof task.depths);
            VT_TRY(add(m, &task, task.bridge, err));
        }
    return VARIANT_OK;
}

/* Zones are read against the full depth, so that is measured as well. */
static variant_status add_zones(maker *m, guided g, const char *selector, variant_error *err) {
    const vt_sweep_options *o = m->options;
    if (o->zone_count) VT_TRY(add_full(m, g, err));
    for (int z = 0; z < o->zone_count; ++z) {
        vt_sweep_task task = {.depth = o->zone_depth,
                              .bridge = -1,
                              .selector = selector,
                              .cfg_scale = g.cfg,
                              .uncond = g.uncond,
                              .cfg_late = g.late,
                              .zone = o->zones[z]};
        snprintf(task.id, sizeof task.id, "zone%d-%d-d%d-%s-cfg%g", task.zone.first, task.zone.last,
                 task.depth, selector, g.cfg);
        describe_depths(m, task.zone.first, task.zone.last, task.depth, task.depths,
                        sizeof task.depths);
        VT_TRY(add(m, &task, m->info.bridge, err));
    }
    return VARIANT_OK;
}

static guided guidance_of(const vt_sweep_options *o, int cfg, int uncond, int late) {
    return (guided){o->cfg_scales[cfg], o->uncond_count ? o->uncond_depths[uncond] : -1,
                    o->late_count ? o->cfg_lates[late] : -1.0};
}

static int at_least_one(int count) {
    return count > 0 ? count : 1;
}

/* Every guidance with every unconditional branch; zones with the first of these. */
static variant_status add_all(maker *m, variant_error *err) {
    const vt_sweep_options *o = m->options;
    for (int c = 0; c < o->cfg_count; ++c)
        for (int u = 0; u < at_least_one(o->uncond_count); ++u)
            for (int l = 0; l < at_least_one(o->late_count); ++l)
                for (int s = 0; s < o->selector_count; ++s)
                    VT_TRY(add_grid(m, guidance_of(o, c, u, l), o->selectors[s], err));
    for (int c = 0; c < o->cfg_count; ++c)
        VT_TRY(add_zones(m, guidance_of(o, c, 0, 0), o->selectors[0], err));
    return VARIANT_OK;
}

variant_status vt_sweep_plan(vt_sweep_task **out, int *count, const vt_sweep_options *o,
                             variant_error *err) {
    maker m = {.options = o};
    m.info = *variant_engine_info(o->engine);
    VT_TRY(check(o, &m.info, err));
    const int unconds = at_least_one(o->uncond_count) * at_least_one(o->late_count);
    size_t most = (size_t)(o->depth_count * o->bridge_count * o->selector_count) *
                      (size_t)(o->cfg_count * unconds) +
                  (size_t)((o->zone_count + 1) * o->cfg_count);
    m.tasks = calloc(most, sizeof *m.tasks);
    if (!m.tasks) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu points", most);
    variant_status status = add_all(&m, err);
    if (status != VARIANT_OK) {
        free(m.tasks);
        return status;
    }
    *out = m.tasks;
    *count = m.count;
    return VARIANT_OK;
}

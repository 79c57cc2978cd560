/* sweep_plan.c - the points of a sweep, before anything runs. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

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
                           "--depths: depth %d: expected 1 to %d, the model's layers", o->depths[i],
                           info->depth);
    for (int i = 0; i < o->bridge_count; ++i)
        if (o->bridges[i] < 0 || o->bridges[i] >= info->scales)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "--bridges: bridge %d: expected 0 to %d, of the model's %d scales",
                           o->bridges[i], info->scales - 1, info->scales);
    for (int i = 0; i < o->zone_count; ++i)
        if (o->zones[i].first < 1 || o->zones[i].last < o->zones[i].first ||
            o->zones[i].last > info->scales)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "--zones: zone %d-%d: expected scales within 1 to %d", o->zones[i].first,
                           o->zones[i].last, info->scales);
    if (o->zone_count && (o->zone_depth < 1 || o->zone_depth > info->depth))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "--zone-depth: depth %d: expected 1 to %d, the model's layers",
                       o->zone_depth, info->depth);
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

/* Unless there already. */
static void add(maker *m, const vt_sweep_task *task) {
    for (int i = 0; i < m->count; ++i)
        if (strcmp(m->tasks[i].id, task->id) == 0) return;
    m->tasks[m->count++] = *task;
}

static void add_full(maker *m, double cfg) {
    const vt_sweep_options *o = m->options;
    vt_sweep_task task = {.depth = m->info.depth,
                          .bridge = o->bridge_count ? o->bridges[0] : 0,
                          .selector = o->selectors[0],
                          .cfg_scale = cfg};
    snprintf(task.id, sizeof task.id, "full-cfg%g", cfg);
    describe_depths(m, 0, -1, 0, task.depths, sizeof task.depths);
    add(m, &task);
}

static void add_grid(maker *m, double cfg, const char *selector) {
    const vt_sweep_options *o = m->options;
    for (int d = 0; d < o->depth_count; ++d)
        for (int n = 0; n < o->bridge_count; ++n) {
            vt_sweep_task task = {.depth = o->depths[d],
                                  .bridge = o->bridges[n],
                                  .selector = selector,
                                  .cfg_scale = cfg};
            if (task.depth == m->info.depth) {
                add_full(m, cfg);
                continue;
            }
            snprintf(task.id, sizeof task.id, "d%d-n%d-%s-cfg%g", task.depth, task.bridge, selector,
                     cfg);
            describe_depths(m, task.bridge + 1, m->info.scales, task.depth, task.depths,
                            sizeof task.depths);
            add(m, &task);
        }
}

/* Zones are read against the full depth, so that is measured as well. */
static void add_zones(maker *m, double cfg, const char *selector) {
    const vt_sweep_options *o = m->options;
    if (o->zone_count) add_full(m, cfg);
    for (int z = 0; z < o->zone_count; ++z) {
        vt_sweep_task task = {.depth = o->zone_depth,
                              .bridge = -1,
                              .selector = selector,
                              .cfg_scale = cfg,
                              .zone = o->zones[z]};
        snprintf(task.id, sizeof task.id, "zone%d-%d-d%d-%s-cfg%g", task.zone.first, task.zone.last,
                 task.depth, selector, cfg);
        describe_depths(m, task.zone.first, task.zone.last, task.depth, task.depths,
                        sizeof task.depths);
        add(m, &task);
    }
}

variant_status vt_sweep_plan(vt_sweep_task **out, int *count, const vt_sweep_options *o,
                             variant_error *err) {
    maker m = {.options = o};
    variant_engine_info(o->engine, &m.info);
    VT_TRY(check(o, &m.info, err));
    size_t most = (size_t)(o->depth_count * o->bridge_count * o->selector_count * o->cfg_count) +
                  (size_t)((o->zone_count + 1) * o->cfg_count);
    m.tasks = calloc(most, sizeof *m.tasks);
    if (!m.tasks) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu points", most);
    for (int c = 0; c < o->cfg_count; ++c)
        for (int s = 0; s < o->selector_count; ++s) add_grid(&m, o->cfg_scales[c], o->selectors[s]);
    for (int c = 0; c < o->cfg_count; ++c) add_zones(&m, o->cfg_scales[c], o->selectors[0]);
    *out = m.tasks;
    *count = m.count;
    return VARIANT_OK;
}

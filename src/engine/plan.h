/* plan.h - choosing among schedules whose cost is known: the part of variant_plan_make that needs no
 * model. Called by plan.c; apart, so that tests can give it made-up costs. */
#ifndef VT_ENGINE_PLAN_H
#define VT_ENGINE_PLAN_H

#include "core/status.h"

typedef struct vt_candidate {
    int bridge, depth; /* scales at full depth, layers of the others */
    double kept;       /* mean over scales of layers run / layers of the model */
    size_t bytes;
    double seconds;
} vt_candidate;

/* Seconds of a batch by stage, measured once: a layer costs the same at a scale whatever the
 * schedule, because in two zones a layer that runs at a scale ran at all scales before it. */
typedef struct vt_stage_costs {
    int scales;
    double layer[VARIANT_MAX_SCALES]; /* one layer at the scale */
    double fixed;                     /* heads, condition, sampling, quantizer, decoder */
} vt_stage_costs;

double vt_plan_seconds(const vt_stage_costs *costs, int model_depth, int bridge, int depth);

/* How far a candidate is above its budget: max(bytes / max_bytes, seconds / max_seconds); at most 1
 * fits. A limit of 0 does not count. */
double vt_plan_excess(const vt_candidate *candidate, size_t max_bytes, double max_seconds);

/* Index of the best candidate that fits: most kept, then least time. When none fits: the one with
 * the least excess, and *fits is false. count is at least 1. */
int vt_plan_choose(const vt_candidate *candidates, int count, size_t max_bytes, double max_seconds,
                   bool *fits);

#endif

/* plan.h - the parts of planning: choosing among schedules whose cost is known (plan_choose.c,
 * which needs no model and which tests give made-up costs), schedules that a sweep measured
 * (plan_sweep.c). plan.c is variant_plan_make. */
#ifndef VT_PLANNING_PLAN_H
#define VT_PLANNING_PLAN_H

#include "planning/cost.h"

typedef struct vt_candidate {
    int bridge, depth;    /* scales at full depth, layers of the others */
    const char *selector; /* "equidistant", "rounded", "prefix" */
    int uncond;  /* unconditional branch, as variant_request.uncond_depth: -1, 0 or layers */
    double late; /* as variant_request.cfg_late, -1: as the request says */
    bool strays; /* ... its unconditional branch is not what the model says */
    vt_cost_work layers; /* of both branches */
    double
        kept; /* mean over scales of layers run / layers of the model, by the conditional branch */
    double work; /* layers x tokens of both: decides between candidates that keep as much */
    size_t bytes;
    double seconds;
    double distance; /* of a sweep's candidates, less is better; 0 without a sweep */
    double spread;   /* of the distance: its standard deviation; 0: not known */
} vt_candidate;

typedef struct vt_budget {
    size_t bytes;   /* 0: no limit */
    double seconds; /* 0: no limit */
} vt_budget;

/* How far a candidate is above its budget: the larger of bytes / limit and seconds / limit; at most
 * 1 fits. */
double vt_plan_excess(const vt_candidate *candidate, vt_budget budget);

/* Distances that differ by no more are taken for equal: twice the standard deviation of a difference whose sides
 * have these spreads. Of two schedules that are truly alike one pair in twenty differs by more. */
double vt_plan_margin(double spread_a, double spread_b);

/* Least distance, then most kept, then what the model says of guidance, then least work, then least time. */
bool vt_plan_is_better(const vt_candidate *a, const vt_candidate *b);

/* Index of the best candidate that fits: of those whose distance equals the least by vt_plan_margin the one that
 * keeps most layers, then least work, then least time. So a shallow schedule wins only where the measurement
 * says more than chance would. When none fits: the one with the least excess, and *fits
 * is false. count is at least 1. */
int vt_plan_choose(const vt_candidate *candidates, int count, vt_budget budget, bool *fits);
/* The same, but none better than `ceiling`. */
int vt_plan_choose_below(const vt_candidate *candidates, int count, const vt_candidate *ceiling,
                         vt_budget budget, bool *fits);
double vt_plan_least_distance(const vt_candidate *candidates, int count);
/* How many that fit equal the least distance among them; 1: the least stands out. */
int vt_plan_count_equal(const vt_candidate *candidates, int count, vt_budget budget);
/* The fastest that fits among those within `share` of the least distance; none of them fits: as
 * vt_plan_choose. */
int vt_plan_choose_near(const vt_candidate *candidates, int count, double share, vt_budget budget,
                        bool *fits);
/* The candidate whose bridge, then whose depth is nearest; deeper of two as near. */
int vt_plan_nearest(const vt_candidate *candidates, int count, int bridge, int depth);

typedef struct vt_sweep_points {
    vt_candidate *points; /* bridge, depth, selector, kept, work and distance are set; free() */
    int count;
    char score[64];     /* what the distance is called: "FID(classifier)" */
    bool other_numbers; /* measured with other types of weights, keys and values */
    bool other_decoder; /* ... or by the other decoder */
    bool no_spread;     /* some point has none: an older version's file, or --draws 0 */
    int left_out;       /* points whose branches no request of plan's kind runs */
} vt_sweep_points;

/* Points of path (sweep.json or its folder) that were measured for quality at the request's
 * guidance and selector (any where it names none). E_MISMATCH: of another model. E_ARGUMENT: no
 * such point. */
variant_status vt_sweep_points_read(vt_sweep_points *out, const char *path,
                                    const variant_engine *engine, const variant_request *request,
                                    variant_error *err);
/* kept, work and layers, of these branches. */
void vt_plan_count_layers(vt_candidate *candidate, const variant_info *info,
                          const vt_branches *branches);
/* A request says of its unconditional branch how deep it is: a plan leaves it. */
bool vt_plan_is_told(const variant_request *request);
/* Puts a candidate's schedule into a request; what that tells of guidance stays. */
void vt_plan_set(variant_request *request, const vt_candidate *candidate);

#endif

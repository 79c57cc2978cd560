/* phases.h - which path a supernet training step takes (VARiant, section on progressive training).
 *
 * Joint: subnet with probability p = joint_ratio for epochs < joint_end; transition: p rises
 * linearly to 1 until transition_end; subnet: p = 1. A fixed ratio ignores the phases; a sandwich
 * takes both paths at every step. The subnet's depth is drawn from the list by a rule, the number
 * of its bridge scales from a range. Deterministic in (seed, step). */
#ifndef VT_SUPERNET_PHASES_H
#define VT_SUPERNET_PHASES_H

#include "core/status.h"

#define VT_MAX_DEPTHS 16

typedef enum vt_draw_rule {
    VT_DRAW_UNIFORM,
    VT_DRAW_WEIGHTED,
    /* The deepest alone at first; one more, in order of depth, each 1/n of the time until
     * transition_end; uniform among those there are. */
    VT_DRAW_DEEPEST_FIRST
} vt_draw_rule;

/* "uniform", "weighted", "deepest-first"; NULL for no rule. */
const char *vt_draw_rule_name(vt_draw_rule rule);

typedef struct vt_phases {
    double joint_ratio;               /* 0.2 */
    double joint_end, transition_end; /* E1, E2 in epochs (real numbers allowed) */
    double fixed_ratio;               /* < 0: progressive */
    bool sandwich;                    /* both paths at every step; the ratios are not read */
    int depth_count, depths[VT_MAX_DEPTHS];
    vt_draw_rule rule;
    double weights[VT_MAX_DEPTHS]; /* VT_DRAW_WEIGHTED: of each depth, 0 or more */
    int more_bridge;               /* up to so many bridge scales are added; 0: always the same */
} vt_phases;

typedef struct vt_phase_draw {
    bool subnet;       /* runs the subnet's path */
    bool full;         /* runs the full path */
    int depth;         /* of the subnet; 0 without */
    int index;         /* its place in the list: also that of a step without a subnet, as if */
    int more_bridge;   /* bridge scales to add, 0..phases->more_bridge; likewise */
    double ratio;      /* p at this moment */
    const char *phase; /* "joint", "transition", "subnet", "fixed" or "sandwich" */
} vt_phase_draw;

variant_status vt_phases_check(const vt_phases *phases, int depth, variant_error *err);
double vt_phases_ratio(const vt_phases *phases, double epoch, const char **phase);
vt_phase_draw vt_phases_draw(const vt_phases *phases, double epoch, uint64_t seed, uint64_t step);

#endif

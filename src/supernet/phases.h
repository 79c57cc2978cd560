/* phases.h - which path a supernet training step takes (VARiant, section on progressive training).
 *
 * Joint: subnet with probability p = joint_ratio for epochs < joint_end; transition: p rises
 * linearly to 1 until transition_end; subnet: p = 1. A fixed ratio ignores the phases. The
 * subnet's depth is drawn uniformly from the list. Deterministic in (seed, step). */
#ifndef VT_SUPERNET_PHASES_H
#define VT_SUPERNET_PHASES_H

#include "core/status.h"

#define VT_MAX_DEPTHS 16

typedef struct vt_phases {
    double joint_ratio;              /* 0.2 */
    double joint_end, transition_end; /* E1, E2 in epochs (real numbers allowed) */
    double fixed_ratio;              /* < 0: progressive */
    int depth_count, depths[VT_MAX_DEPTHS];
} vt_phases;

typedef struct vt_phase_draw {
    bool subnet;
    int depth;           /* of the subnet; 0 on the full path */
    double ratio;        /* p at this moment */
    const char *phase;   /* "joint", "transition", "subnet" or "fixed" */
} vt_phase_draw;

variant_status vt_phases_check(const vt_phases *phases, int depth, variant_error *err);
double vt_phases_ratio(const vt_phases *phases, double epoch, const char **phase);
vt_phase_draw vt_phases_draw(const vt_phases *phases, double epoch, uint64_t seed, uint64_t step);

#endif

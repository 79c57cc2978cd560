/* phases.c - see phases.h. */
#include "supernet/phases.h"

#include "core/rng.h"

variant_status vt_phases_check(const vt_phases *phases, int depth, variant_error *err) {
    /* Negated comparisons, so that a NaN fails them. */
    if (!(phases->fixed_ratio <= 1))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "fixed ratio %g: expected 0 to 1, or a negative number for the "
                       "progressive phases",
                       phases->fixed_ratio);
    if (phases->fixed_ratio < 0) {
        if (!(phases->joint_ratio >= 0 && phases->joint_ratio <= 1))
            return vt_fail(err, VARIANT_E_ARGUMENT, "joint ratio %g: expected 0 to 1",
                           phases->joint_ratio);
        if (!(phases->joint_end >= 0 && phases->transition_end >= phases->joint_end))
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "phases end at epochs %g (joint) and %g (transition): expected "
                           "0 <= joint <= transition",
                           phases->joint_end, phases->transition_end);
    }
    if (phases->depth_count < 0 || phases->depth_count > VT_MAX_DEPTHS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d subnet depths given: expected 1 to %d",
                       phases->depth_count, VT_MAX_DEPTHS);
    if (phases->depth_count == 0 && phases->fixed_ratio != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "no subnet depth given: expected at least one, or a fixed ratio of 0");
    for (int i = 0; i < phases->depth_count; ++i)
        if (phases->depths[i] < 1 || phases->depths[i] > depth)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "subnet depth %d: this model has %d layers, expected 1 to %d",
                           phases->depths[i], depth, depth);
    return VARIANT_OK;
}

double vt_phases_ratio(const vt_phases *phases, double epoch, const char **phase) {
    const char *name = "subnet";
    double p = 1;
    if (phases->fixed_ratio >= 0) {
        name = "fixed";
        p = phases->fixed_ratio;
    } else if (epoch < phases->joint_end) {
        name = "joint";
        p = phases->joint_ratio;
    } else if (epoch < phases->transition_end) {
        name = "transition";
        double done = (epoch - phases->joint_end) / (phases->transition_end - phases->joint_end);
        p = phases->joint_ratio + (1 - phases->joint_ratio) * done;
    }
    if (phase != NULL) *phase = name;
    return p;
}

vt_phase_draw vt_phases_draw(const vt_phases *phases, double epoch, uint64_t seed, uint64_t step) {
    vt_phase_draw draw = {0};
    uint32_t low = (uint32_t)step, high = (uint32_t)(step >> 32);
    draw.ratio = vt_phases_ratio(phases, epoch, &draw.phase);
    draw.subnet =
        phases->depth_count > 0 && vt_uniform(seed, VT_RNG_DEPTH, low, high, 0) < draw.ratio;
    if (draw.subnet) {
        double u = vt_uniform(seed, VT_RNG_DEPTH, low, high, 1);
        draw.depth = phases->depths[(int)(u * phases->depth_count)];
    }
    return draw;
}

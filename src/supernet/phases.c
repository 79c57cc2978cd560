/* phases.c - see phases.h. */
#include "supernet/phases.h"

#include "core/rng.h"

const char *vt_draw_rule_name(vt_draw_rule rule) {
    static const char *const names[] = {"uniform", "weighted", "deepest-first"};
    return rule >= VT_DRAW_UNIFORM && rule <= VT_DRAW_DEEPEST_FIRST ? names[rule] : NULL;
}

/* The rule that draws a depth, and the range of the bridge. */
static variant_status check_draw(const vt_phases *phases, variant_error *err) {
    double sum = 0;
    if (vt_draw_rule_name(phases->rule) == NULL)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no such rule to draw a depth by");
    for (int i = 0; phases->rule == VT_DRAW_WEIGHTED && i < phases->depth_count; ++i) {
        if (!(phases->weights[i] >= 0 && phases->weights[i] <= 1e9))
            return vt_fail(err, VARIANT_E_ARGUMENT, "weight %g of depth %d: expected 0 or more",
                           phases->weights[i], phases->depths[i]);
        sum += phases->weights[i];
    }
    if (phases->rule == VT_DRAW_WEIGHTED && !(sum > 0))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the weights of all depths are 0: expected at least one above");
    if (phases->rule == VT_DRAW_DEEPEST_FIRST && !(phases->transition_end >= 0))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the transition ends at epoch %g: expected 0 or more",
                       phases->transition_end);
    if (phases->more_bridge < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the range of the bridge ends before it begins: expected such as 3-5");
    return VARIANT_OK;
}

variant_status vt_phases_check(const vt_phases *phases, int depth, variant_error *err) {
    /* Negated comparisons, so that a NaN fails them. */
    if (!(phases->fixed_ratio <= 1))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "fixed ratio %g: expected 0 to 1, or a negative number for the "
                       "progressive phases",
                       phases->fixed_ratio);
    if (phases->sandwich && phases->depth_count == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "no subnet depth given: both paths at every step need one");
    if (phases->fixed_ratio < 0 && !phases->sandwich) {
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
    return check_draw(phases, err);
}

double vt_phases_ratio(const vt_phases *phases, double epoch, const char **phase) {
    const char *name = "subnet";
    double p = 1;
    if (phases->sandwich) {
        name = "sandwich";
    } else if (phases->fixed_ratio >= 0) {
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

/* Depths strictly before i when the list is put in order, the deepest first. */
static int rank_of(const vt_phases *phases, int i) {
    int before = 0;
    for (int j = 0; j < phases->depth_count; ++j)
        before += phases->depths[j] > phases->depths[i] ||
                  (phases->depths[j] == phases->depths[i] && j < i);
    return before;
}

/* Place in the list for u in [0, 1). */
static int draw_index(const vt_phases *phases, double epoch, double u) {
    int count = phases->depth_count;
    if (phases->rule == VT_DRAW_UNIFORM) return (int)(u * count);
    if (phases->rule == VT_DRAW_WEIGHTED) {
        double all = 0, sum = 0;
        int last = 0;
        for (int i = 0; i < count; ++i) all += phases->weights[i];
        for (int i = 0; i < count; ++i) {
            if (!(phases->weights[i] > 0)) continue;
            sum += phases->weights[i];
            last = i;
            if (u * all < sum) break;
        }
        return last;
    }
    int there = count;
    if (epoch < phases->transition_end) there = 1 + (int)(count * epoch / phases->transition_end);
    if (there > count) there = count;
    int wanted = (int)(u * there);
    for (int i = 0; i < count; ++i)
        if (rank_of(phases, i) == wanted) return i;
    return 0;
}

vt_phase_draw vt_phases_draw(const vt_phases *phases, double epoch, uint64_t seed, uint64_t step) {
    vt_phase_draw draw = {0};
    uint32_t low = (uint32_t)step, high = (uint32_t)(step >> 32);
    draw.ratio = vt_phases_ratio(phases, epoch, &draw.phase);
    if (phases->depth_count > 0) {
        draw.subnet = phases->sandwich || vt_uniform(seed, VT_RNG_DEPTH, low, high, 0) < draw.ratio;
        draw.index = draw_index(phases, epoch, vt_uniform(seed, VT_RNG_DEPTH, low, high, 1));
        draw.more_bridge =
            (int)(vt_uniform(seed, VT_RNG_DEPTH, low, high, 2) * (phases->more_bridge + 1));
        if (draw.subnet) draw.depth = phases->depths[draw.index];
    }
    draw.full = phases->sandwich || !draw.subnet;
    return draw;
}

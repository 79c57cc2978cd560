/* branches.c - see branches.h. */
#include "engine/branches.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

static const vt_transformer_config *config_of(const vt_model *model) {
    return vt_transformer_configuration(model->transformer);
}

static variant_status check(const variant_request *r, variant_error *err) {
    if (!r->cfg_scales && !(r->cfg_scale >= 0.0f && r->cfg_scale <= 100.0f))
        return vt_fail(err, VARIANT_E_ARGUMENT, "cfg scale %g: expected 0 to 100",
                       (double)r->cfg_scale);
    if (r->cfg_late != -1.0f && !(r->cfg_late >= 0.0f && r->cfg_late <= 100.0f))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "cfg late %g: expected 0 to 100, or -1 (as the model says)",
                       (double)r->cfg_late);
    if (r->uncond_depth < -1)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "uncond depth %d: expected layers, 0 (as depth) or -1 (as the model says)",
                       r->uncond_depth);
    return VARIANT_OK;
}

/* ---- layers ---- */

/* Layers of the unconditional branch beside a conditional one of `depth`, as the model says; depth itself: no fewer. */
static int few_beside(const vt_supernet_info *supernet, int depth) {
    const int few = vt_supernet_uncond_depth(supernet);
    if (few < 1 || few < depth) return few < 1 ? depth : few;
    for (int i = 0; i < supernet->depth_count; ++i)
        if (supernet->depths[i] == 1) return 1; /* what guides the shallowest subnets */
    return depth;
}

/* As the model says: as the conditional branch up to the bridge of its training, then few layers. */
static variant_status choose_few(vt_branches *b, const vt_model *model, variant_error *err) {
    const vt_supernet_info *supernet = &model->supernet;
    const int bridge = vt_supernet_bridge(supernet, b->cond.scales);
    if (!supernet->trained) return VARIANT_OK;
    for (int k = bridge > 0 ? bridge : 0; k < b->cond.scales; ++k) {
        const int depth = vt_schedule_depth_at(&b->cond, k), few = few_beside(supernet, depth);
        if (few < depth)
            VT_TRY(vt_layers_select(vt_supernet_selector(supernet), b->cond.depth, few,
                                    b->uncond.runs[k], err));
    }
    return VARIANT_OK;
}

static variant_status choose_schedules(vt_branches *b, const vt_model *model,
                                       const variant_request *r, variant_error *err) {
    const vt_transformer_config *config = config_of(model);
    const vt_supernet_info *supernet = &model->supernet;
    vt_schedule_request words = {.depths = r->depths,
                                 .layers = r->layers,
                                 .depth = r->depth,
                                 .bridge = r->bridge,
                                 .default_bridge = vt_supernet_bridge(supernet, config->scales),
                                 .default_selector = vt_supernet_selector(supernet)};
    VT_TRY(vt_schedule_resolve(&b->cond, config->scales, config->depth, &words, err));
    b->uncond = b->cond;
    if (!r->uncond_depths && !r->uncond_layers) {
        if (r->uncond_depth < 0) return choose_few(b, model, err);
        if (r->uncond_depth == 0) return VARIANT_OK;
    }
    words.depths = r->uncond_depths;
    words.layers = r->uncond_layers;
    words.depth = r->uncond_depth > 0 ? r->uncond_depth : 0;
    if (r->uncond_depths || (r->uncond_layers && strchr(r->uncond_layers, ';')))
        words.bridge = -1; /* every scale is told: the bridge is the other branch's */
    if (words.depth > config->depth)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "uncond depth %d: this model has %d layers, expected 1 to %d (0: as depth)",
                       words.depth, config->depth, config->depth);
    const variant_status status =
        vt_schedule_resolve(&b->uncond, config->scales, config->depth, &words, err);
    return status == VARIANT_OK ? VARIANT_OK : vt_fail_within(err, status, "unconditional branch");
}

/* ---- guidance ---- */

/* Layers that the unconditional branch runs more than the conditional one, below 0: fewer. */
static int deeper_by(const vt_branches *b, int k) {
    return vt_schedule_depth_at(&b->uncond, k) - vt_schedule_depth_at(&b->cond, k);
}

/* The factor of every scale: the request's or that of the model for the conditional branch's depth, 1 where the unconditional
 * one is not the shallower. */
static void choose_late(vt_branches *b, const vt_model *model, const variant_request *r,
                        float *late) {
    bool any = false;
    b->late = 1.0f;
    for (int k = 0; k < b->cond.scales; ++k) {
        late[k] = 1.0f;
        if (deeper_by(b, k) >= 0) continue;
        late[k] = r->cfg_late >= 0.0f
                      ? r->cfg_late
                      : vt_supernet_cfg_late(&model->supernet, vt_schedule_depth_at(&b->cond, k));
        b->late = !any || b->late == late[k] ? late[k] : -1.0f;
        any = true;
    }
}

/* t rises from 0 to cfg_scale over the scales, times late where the unconditional branch is the shallower one, unless the
 * request tells each. */
static variant_status choose_guidance(vt_branches *b, const vt_model *model,
                                      const variant_request *r, variant_error *err) {
    const int scales = b->cond.scales;
    float late[VT_SCHEDULE_SCALES];
    choose_late(b, model, r, late);
    if (r->cfg_scales && r->cfg_scale_count != scales)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d cfg scales: this model has %d scales",
                       r->cfg_scale_count, scales);
    for (int k = 0; k < scales; ++k) {
        double place = scales > 1 ? (double)k / (scales - 1) : 0.0;
        place *= (double)late[k];
        b->guide[k] =
            r->cfg_scales ? r->cfg_scales[k] : (float)fmin((double)r->cfg_scale * place, 100.0);
        if (!(b->guide[k] >= 0.0f && b->guide[k] <= 100.0f))
            return vt_fail(err, VARIANT_E_ARGUMENT, "cfg scale %g of scale %d: expected 0 to 100",
                           (double)b->guide[k], k + 1);
        if (b->guide[k] > 0.0f) b->guided_scales = k + 1;
    }
    return VARIANT_OK;
}

variant_status vt_branches_make(vt_branches *out, const vt_model *model,
                                const variant_request *request, variant_error *err) {
    *out = (vt_branches){0};
    VT_TRY(check(request, err));
    VT_TRY(choose_schedules(out, model, request, err));
    return choose_guidance(out, model, request, err);
}

bool vt_branches_differ(const vt_branches *branches) {
    return memcmp(&branches->cond, &branches->uncond, sizeof branches->cond) != 0;
}

void vt_branches_describe_uncond(const vt_branches *b, char *out, size_t size) {
    size_t at = 0;
    out[0] = '\0';
    for (int k = 0; b->guided_scales > 0 && k < b->cond.scales && at < size; ++k)
        at += (size_t)snprintf(out + at, size - at, "%s%d", k ? "," : "",
                               k < b->guided_scales ? vt_schedule_depth_at(&b->uncond, k) : 0);
}

/* ---- what is to be said ---- */

/* Of a depth between those of the training, which are named. */
static void warn_depth(const vt_supernet_info *supernet, int full, int depth, const char *whose,
                       char *warning, size_t size) {
    int at = snprintf(warning, size, "this supernet was not trained at depth %d%s but at %d", depth,
                      whose, full);
    for (int i = 0; i < supernet->depth_count && at > 0 && (size_t)at < size; ++i)
        at += snprintf(warning + at, size - (size_t)at, ", %d", supernet->depths[i]);
}

/* Of a schedule that is not the full one. */
static void warn_untrained(const vt_model *model, const vt_schedule *schedule, const char *whose,
                           char *warning, size_t size) {
    const vt_supernet_info *supernet = &model->supernet;
    const int depth = schedule->depth;
    if (vt_schedule_is_full(schedule)) return;
    if (!supernet->trained) {
        snprintf(warning, size,
                 "this model's metadata shows no supernet training: fewer layers%s will cost "
                 "quality at once",
                 whose);
        return;
    }
    int last = vt_schedule_depth_at(schedule, schedule->scales - 1);
    bool trained = last == depth;
    for (int i = 0; i < supernet->depth_count; ++i)
        trained = trained || supernet->depths[i] == last;
    if (!trained) {
        warn_depth(supernet, depth, last, whose, warning, size);
        return;
    }
    const vt_selector selector = vt_supernet_selector(supernet);
    uint8_t keep[VT_SCHEDULE_LAYERS];
    if (vt_layers_select(selector, depth, last, keep, NULL) == VARIANT_OK &&
        memcmp(keep, schedule->runs[schedule->scales - 1], (size_t)depth) != 0)
        snprintf(warning, size,
                 "this supernet was not trained with these %d layers%s but with %s ones", last,
                 whose, vt_selector_name(selector));
}

/* Of a branch that guides where it was never trained to, or that is the stronger of the two. */
static void warn_guidance(const vt_branches *b, const vt_model *model, char *warning, size_t size) {
    const int bridge = vt_supernet_bridge(&model->supernet, b->cond.scales);
    for (int k = 0; k < b->guided_scales; ++k) {
        const int deeper = deeper_by(b, k);
        if (deeper > 0) {
            snprintf(warning, size,
                     "at scale %d the unconditional branch runs %d layers and the conditional one "
                     "%d: guidance by the stronger costs time and quality",
                     k + 1, vt_schedule_depth_at(&b->uncond, k), vt_schedule_depth_at(&b->cond, k));
            return;
        }
        if (deeper < 0 && k < bridge) {
            snprintf(warning, size,
                     "at scale %d the unconditional branch runs fewer layers than the conditional "
                     "one, before the bridge of %d scales that this supernet was trained with: "
                     "pictures fall apart",
                     k + 1, bridge);
            return;
        }
    }
}

void vt_branches_warn(const vt_branches *b, const vt_model *model, char *warning, size_t size) {
    warning[0] = '\0';
    warn_untrained(model, &b->cond, "", warning, size);
    if (b->guided_scales == 0 || warning[0]) return;
    warn_untrained(model, &b->uncond, " of the unconditional branch", warning, size);
    if (!warning[0]) warn_guidance(b, model, warning, size);
}

/* branches.h - what a request says of its two branches: layers of the conditional and the unconditional stream at every
 * scale, and how strongly the one is guided by the other. Whoever makes a request's pictures, measures or prices them asks
 * here, so that a default of the model is the same for all.
 *
 * Guidance by a branch of fewer layers is autoguidance (Karras et al. 2024, arXiv 2406.02507) with the weaker model that a
 * supernet holds anyway. */
#ifndef VT_ENGINE_BRANCHES_H
#define VT_ENGINE_BRANCHES_H

#include <variant.h>

#include "engine/model.h"
#include "supernet/schedule.h"

typedef struct vt_branches {
    vt_schedule cond, uncond;
    float
        late; /* factor on guidance where uncond runs fewer layers than cond; -1: not the same at all such scales */
    float guide[VT_SCHEDULE_SCALES]; /* t of every scale: logits = (1 + t) cond - t uncond */
    int guided_scales; /* up to the last whose t is not 0: what the unconditional stream runs; 0: it is not there */
} vt_branches;

/* E_ARGUMENT with one line where the request's depths, layers or guidance do not suit the model. Of the request only those
 * are read. */
variant_status vt_branches_make(vt_branches *out, const vt_model *model,
                                const variant_request *request, variant_error *err);
/* Do they differ in any scale's layers? */
bool vt_branches_differ(const vt_branches *branches);
/* "12,12,2,2": layers of the unconditional branch, 0 from guided_scales on; "" without guidance. */
void vt_branches_describe_uncond(const vt_branches *branches, char *out, size_t size);
/* One line where a branch runs what the model was not trained for; else "". */
void vt_branches_warn(const vt_branches *branches, const vt_model *model, char *warning,
                      size_t size);

#endif

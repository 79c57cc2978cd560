/* lr.h - the learning rate at a step: a linear warm-up, then constant or half a cosine;
 * or what became of it when the run was given another length. */
#ifndef VT_TRAIN_LR_H
#define VT_TRAIN_LR_H

#include "core/status.h"

typedef struct vt_lr {
    double peak, end; /* end: what the cosine falls to at the last step */
    bool cosine;      /* false: constant after the warm-up */
    int64_t warmup;   /* steps */
    /* A cosine's run that was given another length when `replanned` steps were done (0: never): from
     * its rate then, over as many steps as the warm-up (at most a tenth of those to come), to the
     * cosine of the new length; or, held, that rate to the end. */
    int64_t replanned;
    double rate_then;
    bool hold;
} vt_lr;

variant_status vt_lr_check(const vt_lr *lr, variant_error *err);
/* Rate of step 0, 1, ... of `steps`. */
double vt_lr_at(const vt_lr *lr, int64_t step, int64_t steps);

#endif

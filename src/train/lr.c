/* lr.c - see lr.h. */
#include "train/lr.h"

#include <math.h>

variant_status vt_lr_check(const vt_lr *lr, variant_error *err) {
    if (!(lr->peak > 0.0 && lr->peak <= 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "learning rate %g: expected above 0, up to 1",
                       lr->peak);
    if (!(lr->end >= 0.0 && lr->end <= lr->peak))
        return vt_fail(err, VARIANT_E_ARGUMENT, "last learning rate %g: expected 0 to %g", lr->end,
                       lr->peak);
    if (lr->warmup < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "warm-up of %lld steps: expected 0 or more",
                       (long long)lr->warmup);
    return VARIANT_OK;
}

static double planned(const vt_lr *lr, int64_t step, int64_t steps) {
    if (step < lr->warmup) return lr->peak * (double)(step + 1) / (double)lr->warmup;
    if (!lr->cosine || steps <= lr->warmup) return lr->peak;
    double turn = (double)(step - lr->warmup) / (double)(steps - lr->warmup);
    if (turn > 1.0) turn = 1.0;
    return lr->end + 0.5 * (lr->peak - lr->end) * (1.0 + cos(3.141592653589793 * turn));
}

double vt_lr_at(const vt_lr *lr, int64_t step, int64_t steps) {
    double rate = planned(lr, step, steps);
    if (lr->replanned <= 0 || step < lr->replanned) return rate;
    if (lr->hold) return lr->rate_then;
    int64_t over = (steps - lr->replanned) / 10;
    if (over > lr->warmup) over = lr->warmup;
    double share = over > 0 ? (double)(step - lr->replanned + 1) / (double)over : 1.0;
    return share < 1.0 ? lr->rate_then + (rate - lr->rate_then) * share : rate;
}

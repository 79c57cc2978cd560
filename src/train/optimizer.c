/* optimizer.c - see optimizer.h. */
#include "train/optimizer.h"

#include <limits.h>
#include <math.h>

void vt_optimizer_options_init(vt_optimizer_options *options) {
    *options = (vt_optimizer_options){
        .beta1 = 0.9, .beta2 = 0.95, .eps = 1e-8, .weight_decay = 0.05, .clip = 2.0};
}

variant_status vt_optimizer_check(const vt_optimizer_options *options, variant_error *err) {
    if (!(options->beta1 >= 0.0 && options->beta1 < 1.0 && options->beta2 >= 0.0 &&
          options->beta2 < 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "betas %g and %g: expected 0 or more, below 1",
                       options->beta1, options->beta2);
    if (!(options->eps > 0.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "AdamW eps %g: expected above 0", options->eps);
    if (!(options->weight_decay >= 0.0 && options->weight_decay <= 10.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "weight decay %g: expected 0 to 10",
                       options->weight_decay);
    if (!(options->clip >= 0.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "clipping at norm %g: expected 0 (none) or more",
                       options->clip);
    return VARIANT_OK;
}

double vt_gradient_norm(const vt_params *params) {
    double sum = 0.0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (param->grad) sum += params->kern->sum_squares(params->kern, param->grad, param->count);
    }
    return sqrt(sum);
}

variant_status vt_optimizer_step(const vt_params *params, const vt_optimizer_options *options,
                                 double lr, int64_t step, double *norm, variant_error *err) {
    *norm = vt_gradient_norm(params);
    if (!isfinite(*norm))
        return vt_fail(
            err, VARIANT_E_MISMATCH,
            "the gradient is not finite at step %lld: training diverged; a lower learning "
            "rate or a longer warm-up helps",
            (long long)step);
    double scale = options->clip > 0.0 && *norm > options->clip ? options->clip / *norm : 1.0;
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!param->grad) continue;
        vt_adamw update = {
            .value = param->value,
            .m = param->m,
            .v = param->v,
            .grad = param->grad,
            .count = param->count,
            .lr = (float)lr,
            .beta1 = (float)options->beta1,
            .beta2 = (float)options->beta2,
            .eps = (float)options->eps,
            .weight_decay = vt_param_decays(param) ? (float)options->weight_decay : 0.0f,
            .grad_scale = (float)scale,
            .step = step > INT_MAX ? INT_MAX : (int)step,
        };
        params->kern->adamw(params->kern, &update);
    }
    return VARIANT_OK;
}

/* optimizer.c - see optimizer.h. */
#include "train/optimizer.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>

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

variant_status vt_gradient_norm(const vt_params *params, double *norm, variant_error *err) {
    const vt_training_lists *lists = &params->lists;
    vt_kern *kern = params->kern;
    const size_t bytes = (size_t)lists->count * sizeof(double);
    double sum = 0.0, *sums = malloc(bytes + sizeof *sums);
    if (!sums) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a gradient's norms");
    kern->sum_squares(kern, lists->sums, lists->grad, lists->count);
    const variant_status status = vt_kern_download(kern, sums, lists->sums, bytes, err);
    for (int i = 0; i < lists->count; ++i) sum += sums[i];
    free(sums);
    *norm = sqrt(sum);
    return status;
}

/* Of every parameter that is trained; free() it. */
static float *weight_decays(const vt_params *params, const vt_optimizer_options *options) {
    float *decays = malloc(((size_t)params->lists.count + 1) * sizeof *decays), *at = decays;
    for (int i = 0; decays && i < params->count; ++i)
        if (params->items[i]->grad)
            *at++ = vt_param_decays(params->items[i]) ? (float)options->weight_decay : 0.0f;
    return decays;
}

variant_status vt_optimizer_step(const vt_params *params, const vt_optimizer_options *options,
                                 double lr, int64_t step, double *norm, variant_error *err) {
    const vt_training_lists *lists = &params->lists;
    *norm = NAN;
    VT_TRY(vt_gradient_norm(params, norm, err));
    if (!isfinite(*norm))
        return vt_fail(
            err, VARIANT_E_MISMATCH,
            "the gradient is not finite at step %lld: training diverged; a lower learning "
            "rate or a longer warm-up helps",
            (long long)step);
    double scale = options->clip > 0.0 && *norm > options->clip ? options->clip / *norm : 1.0;
    float *decays = weight_decays(params, options);
    if (!decays) return vt_fail(err, VARIANT_E_MEMORY, "no memory for an optimizer's step");
    const vt_adamw update = {
        .value = lists->value,
        .m = lists->m,
        .v = lists->v,
        .grad = lists->grad,
        .weight_decay = decays,
        .count = lists->count,
        .lr = (float)lr,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .eps = (float)options->eps,
        .grad_scale = (float)scale,
        .step = step > INT_MAX ? INT_MAX : (int)step,
    };
    params->kern->adamw(params->kern, &update);
    free(decays);
    return VARIANT_OK;
}

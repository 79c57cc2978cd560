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

variant_status vt_squares_of_runs(vt_kern *kern, const vt_floats *runs, double *sums, int count,
                                  double *out, variant_error *err) {
    const size_t bytes = (size_t)count * sizeof(double);
    double sum = 0.0, *host = malloc(bytes + sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a gradient's norms");
    kern->sum_squares(kern, sums, runs, count);
    const variant_status status = vt_kern_download(kern, host, sums, bytes, err);
    for (int i = 0; i < count; ++i) sum += host[i];
    free(host);
    *out = sum;
    return status;
}

variant_status vt_gradient_norm(const vt_params *params, double *norm, variant_error *err) {
    const vt_training_lists *lists = &params->lists;
    double sum = 0.0;
    const variant_status status =
        vt_squares_of_runs(params->kern, lists->grad, lists->sums, lists->count, &sum, err);
    *norm = sqrt(sum);
    return status;
}

/* Of every parameter that is trained; free() it. */
static float *weight_decays(const vt_params *params, const vt_optimizer_options *options) {
    float *decays = malloc(((size_t)params->lists.count + 1) * sizeof *decays), *at = decays;
    for (int i = 0; decays && i < params->count; ++i)
        if (params->items[i]->grad) *at++ = vt_weight_decay_of(params->items[i], options);
    return decays;
}

float vt_weight_decay_of(const vt_param *param, const vt_optimizer_options *options) {
    return vt_param_decays(param) ? (float)options->weight_decay : 0.0f;
}

variant_status vt_gradient_check(double norm, int64_t step, variant_error *err) {
    if (isfinite(norm)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MISMATCH,
                   "the gradient is not finite at step %lld: training diverged; a lower learning "
                   "rate or a longer warm-up helps",
                   (long long)step);
}

void vt_optimizer_update(vt_kern *kern, const vt_optimizer_runs *runs,
                         const vt_optimizer_options *options, double lr, int64_t step,
                         double norm) {
    const double scale = options->clip > 0.0 && norm > options->clip ? options->clip / norm : 1.0;
    const vt_adamw update = {
        .value = runs->value,
        .m = runs->m,
        .v = runs->v,
        .grad = runs->grad,
        .weight_decay = runs->weight_decay,
        .count = runs->count,
        .lr = (float)lr,
        .beta1 = (float)options->beta1,
        .beta2 = (float)options->beta2,
        .eps = (float)options->eps,
        .grad_scale = (float)scale,
        .step = step > INT_MAX ? INT_MAX : (int)step,
    };
    kern->adamw(kern, &update);
}

variant_status vt_optimizer_step(const vt_params *params, const vt_optimizer_options *options,
                                 double lr, int64_t step, double *norm, variant_error *err) {
    *norm = NAN;
    VT_TRY(vt_gradient_norm(params, norm, err));
    VT_TRY(vt_gradient_check(*norm, step, err));
    return vt_optimizer_whole(params, options, lr, step, *norm, err);
}

variant_status vt_optimizer_whole(const vt_params *params, const vt_optimizer_options *options,
                                  double lr, int64_t step, double norm, variant_error *err) {
    const vt_training_lists *lists = &params->lists;
    float *decays = weight_decays(params, options);
    if (!decays) return vt_fail(err, VARIANT_E_MEMORY, "no memory for an optimizer's step");
    const vt_optimizer_runs runs = {.value = lists->value,
                                    .m = lists->m,
                                    .v = lists->v,
                                    .grad = lists->grad,
                                    .weight_decay = decays,
                                    .count = lists->count};
    vt_optimizer_update(params->kern, &runs, options, lr, step, norm);
    free(decays);
    return VARIANT_OK;
}

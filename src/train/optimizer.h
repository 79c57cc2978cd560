/* optimizer.h - AdamW over a model's parameters, after clipping the gradient by its global norm.
 *
 * The moments live beside the values (nn/params.h); state of its own is the step counter alone. */
#ifndef VT_TRAIN_OPTIMIZER_H
#define VT_TRAIN_OPTIMIZER_H

#include "nn/params.h"

typedef struct vt_optimizer_options {
    double beta1, beta2, eps;
    double weight_decay; /* of parameters that decay (vt_param_decays) */
    double clip;         /* global norm; 0: no clipping */
} vt_optimizer_options;

/* 0.9, 0.95, 1e-8, 0.05, 2. */
void vt_optimizer_options_init(vt_optimizer_options *options);
variant_status vt_optimizer_check(const vt_optimizer_options *options, variant_error *err);

/* L2 norm of all gradients together, summed in the parameters' order. */
variant_status vt_gradient_norm(const vt_params *params, double *norm, variant_error *err);

/* Updates every parameter from its gradient; step counts from 1. *norm: before clipping. A norm
 * that is not finite leaves everything as it was and is E_MISMATCH: training has diverged. Prepared
 * weights are the caller's to refresh. */
variant_status vt_optimizer_step(const vt_params *params, const vt_optimizer_options *options,
                                 double lr, int64_t step, double *norm, variant_error *err);

/* ---- its parts, for those who have a share of the parameters ---- */

/* Runs of numbers, (count) of each, as kern's adamw takes them. */
typedef struct vt_optimizer_runs {
    const vt_floats *value, *m, *v, *grad;
    const float *weight_decay;
    int count;
} vt_optimizer_runs;

/* Sum of the squares of all runs, run by run in their order; sums: backend memory, (count). */
variant_status vt_squares_of_runs(vt_kern *kern, const vt_floats *runs, double *sums, int count,
                                  double *out, variant_error *err);
/* E_MISMATCH: not finite. */
variant_status vt_gradient_check(double norm, int64_t step, variant_error *err);
float vt_weight_decay_of(const vt_param *param, const vt_optimizer_options *options);
/* With the norm of all gradients together, which is finite. */
void vt_optimizer_update(vt_kern *kern, const vt_optimizer_runs *runs,
                         const vt_optimizer_options *options, double lr, int64_t step, double norm);
variant_status vt_optimizer_whole(const vt_params *params, const vt_optimizer_options *options,
                                  double lr, int64_t step, double norm, variant_error *err);

#endif

/* linear.h - y = x W^T + b over named parameters, forward and backward side by side.
 *
 * A vt_linear is two pointers into a vt_params; it owns nothing. Used by transformer/ and wherever
 * a model has a plain linear layer. */
#ifndef VT_NN_LINEAR_H
#define VT_NN_LINEAR_H

#include "nn/params.h"

typedef struct vt_linear {
    vt_param *weight; /* (out, in) */
    vt_param *bias;   /* (out), or NULL */
} vt_linear;

/* Registers PREFIX.weight and, with has_bias, PREFIX.bias. false: memory was short. */
bool vt_linear_add(vt_linear *out, vt_params *params, const char *prefix, int outputs, int inputs,
                   bool has_bias);

/* y (groups * rows, out) = x (groups * rows, in) W^T + b; each group is a product of its own. */
void vt_linear_forward(vt_kern *kern, const vt_linear *linear, float *y, const float *x, int groups,
                       int rows);
/* Gradients of W and b += ; dx (rows, in) = dy W, += when accumulate, nothing when dx is NULL. */
void vt_linear_backward(vt_kern *kern, const vt_linear *linear, const float *dy, const float *x,
                        float *dx, int rows, bool accumulate);

#endif

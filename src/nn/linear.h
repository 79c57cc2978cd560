/* linear.h - y = x W^T + b over named parameters, forward and backward side by side.
 *
 * A vt_linear is two pointers into a vt_params; it owns nothing. Used by transformer/ and wherever
 * a model has a plain linear layer. */
#ifndef VT_NN_LINEAR_H
#define VT_NN_LINEAR_H

#include "core/arena.h"
#include "nn/params.h"

typedef struct vt_linear {
    vt_param *weight; /* (out, in) */
    vt_param *bias;   /* (out), or NULL */
} vt_linear;

/* Registers PREFIX.weight and, with has_bias, PREFIX.bias. false: memory was short. */
bool vt_linear_add(vt_linear *out, vt_params *params, const char *prefix, int outputs, int inputs,
                   bool has_bias);

/* How a producer of `rows` rows of x had best write them. */
vt_product_input vt_linear_input(vt_kern *kern, const vt_linear *linear, int rows);
/* How a product with `linear` had best write what one with `next` reads. */
vt_product_input vt_linear_between(vt_kern *kern, const vt_linear *linear, const vt_linear *next,
                                   int rows);
/* y = epilogue(x W^T + b), as `request` says; W, b and a workspace (the arena's, given back) are
 * filled in. */
variant_status vt_linear_run(vt_kern *kern, const vt_linear *linear, vt_arena *arena,
                             const vt_product *request, variant_error *err);
/* float32 y (groups * rows, out) = x (groups * rows, in) W^T + b; each group is a product of its
 * own. */
variant_status vt_linear_forward(vt_kern *kern, const vt_linear *linear, vt_arena *arena, float *y,
                                 const float *x, int groups, int rows, variant_error *err);
/* Gradients of W and b += ; dx where `request` asks for one, before them (so request->gelu may be
 * request->x). W, the gradients and a workspace (the arena's, given back) are filled in. */
variant_status vt_linear_backward(vt_kern *kern, const vt_linear *linear, vt_arena *arena,
                                  const vt_product_grad *request, variant_error *err);

#endif

/* linear.c - see linear.h. */
#include "nn/linear.h"

bool vt_linear_add(vt_linear *out, vt_params *params, const char *prefix, int outputs, int inputs,
                   bool has_bias) {
    int64_t weight[2] = {outputs, inputs}, bias[1] = {outputs};
    *out = (vt_linear){0};
    out->weight = vt_params_add(params, VT_PARAM_PRODUCT, 2, weight, "%s.weight", prefix);
    if (has_bias) out->bias = vt_params_add(params, 0, 1, bias, "%s.bias", prefix);
    return out->weight != NULL && (!has_bias || out->bias != NULL);
}

void vt_linear_forward(vt_kern *kern, const vt_linear *linear, float *y, const float *x, int groups,
                       int rows) {
    kern->linear(kern, y, x, linear->weight->weight,
                 linear->bias == NULL ? NULL : linear->bias->value, groups, rows);
}

void vt_linear_backward(vt_kern *kern, const vt_linear *linear, const float *dy, const float *x,
                        float *dx, int rows, bool accumulate) {
    const vt_param *w = linear->weight;
    float *db = linear->bias == NULL ? NULL : linear->bias->grad;
    if (dx != NULL) kern->linear_dx(kern, dx, dy, w->weight, 1, rows, accumulate);
    kern->linear_dw(kern, w->grad, db, dy, x, rows, (int)w->shape[0], (int)w->shape[1]);
}

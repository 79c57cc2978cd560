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

vt_product_input vt_linear_input(vt_kern *kern, const vt_linear *linear, int rows) {
    return kern->product_input(kern, linear->weight->weight, rows);
}

vt_product_input vt_linear_between(vt_kern *kern, const vt_linear *linear, const vt_linear *next,
                                   int rows) {
    vt_product_input out = vt_linear_input(kern, next, rows);
    if (out.type != VT_NUMBER_LAID || vt_linear_input(kern, linear, rows).type == VT_NUMBER_LAID)
        return out;
    const size_t numbers = (size_t)rows * (size_t)next->weight->shape[1];
    return (vt_product_input){VT_NUMBER_BF16, numbers * vt_number_size(VT_NUMBER_BF16)};
}

variant_status vt_linear_run(vt_kern *kern, const vt_linear *linear, vt_arena *arena,
                             const vt_product *request, variant_error *err) {
    size_t mark = vt_arena_mark(arena);
    vt_product args = *request;
    args.w = linear->weight->weight;
    args.bias = linear->bias == NULL ? NULL : linear->bias->value;
    args.workspace = vt_arena_take(arena, kern->product_workspace(kern, &args));
    variant_status status = vt_arena_check(arena, linear->weight->name, err);
    if (status == VARIANT_OK) kern->product(kern, &args);
    const vt_watch *watch = kern->dry ? NULL : linear->weight->watch;
    if (status == VARIANT_OK && watch) watch->seen(watch->user, linear->weight, &args);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_linear_forward(vt_kern *kern, const vt_linear *linear, vt_arena *arena, float *y,
                                 const float *x, int groups, int rows, variant_error *err) {
    return vt_linear_run(kern, linear, arena,
                         &(vt_product){.x = x, .y = y, .groups = groups, .rows = rows}, err);
}

variant_status vt_linear_backward(vt_kern *kern, const vt_linear *linear, vt_arena *arena,
                                  const vt_product_grad *request, variant_error *err) {
    size_t mark = vt_arena_mark(arena);
    vt_product_grad args = *request;
    args.w = linear->weight->weight;
    args.dw = linear->weight->grad;
    args.db = linear->bias == NULL ? NULL : linear->bias->grad;
    args.workspace = vt_arena_take(arena, kern->product_grad_workspace(kern, &args));
    variant_status status = vt_arena_check(arena, linear->weight->name, err);
    if (status == VARIANT_OK) {
        if (args.dx != NULL) kern->product_dx(kern, &args);
        kern->product_dw(kern, &args);
    }
    vt_arena_rewind(arena, mark);
    return status;
}

/* params.c - see params.h. */
#include "nn/params.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "nn/params_parts.h"

void vt_params_init(vt_params *params, vt_kern *kern) {
    *params = (vt_params){.kern = kern};
}

void vt_params_close(vt_params *params) {
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (param->weight) params->kern->weight_close(params->kern, &param->weight);
        free(param->name);
        free(param);
    }
    free(params->items);
    free(params->lists.value);
    if (params->values)
        params->kern->memory_release(params->kern, params->values, params->values_bytes);
    if (params->train)
        params->kern->memory_release(params->kern, params->train, params->train_bytes);
    *params = (vt_params){.kern = params->kern};
}

vt_param *vt_params_add(vt_params *params, int flags, int rank, const int64_t *shape,
                        const char *format, ...) {
    if (params->count == params->capacity) {
        int capacity = params->capacity ? 2 * params->capacity : 64;
        vt_param **items = realloc(params->items, (size_t)capacity * sizeof *items);
        if (!items) return NULL;
        params->items = items;
        params->capacity = capacity;
    }
    vt_param *param = calloc(1, sizeof *param);
    if (!param) return NULL;
    va_list args;
    va_start(args, format);
    int length = vasprintf(&param->name, format, args);
    va_end(args);
    if (length < 0) {
        free(param);
        return NULL;
    }
    param->rank = rank;
    param->flags = flags;
    param->count = 1;
    for (int i = 0; i < rank; ++i) {
        param->shape[i] = shape[i];
        param->count *= (size_t)shape[i];
    }
    params->items[params->count++] = param;
    if (!(flags & VT_PARAM_BUFFER)) params->value_count += param->count;
    return param;
}

vt_param *vt_params_find(const vt_params *params, const char *name) {
    for (int i = 0; i < params->count; ++i)
        if (strcmp(params->items[i]->name, name) == 0) return params->items[i];
    return NULL;
}

bool vt_param_decays(const vt_param *param) {
    if (param->flags & (VT_PARAM_NO_DECAY | VT_PARAM_BUFFER)) return false;
    size_t length = strlen(param->name);
    bool bias = length >= 4 && strcmp(param->name + length - 4, "bias") == 0;
    return param->rank >= 2 && !bias;
}

void vt_params_set_type(vt_params *params, vt_number type, bool keep_values) {
    params->product_type = type;
    params->keeps_values = keep_values;
}

void vt_params_skip(vt_params *params, const char *beginning) {
    for (int i = 0; i < params->count; ++i)
        if (strncmp(params->items[i]->name, beginning, strlen(beginning)) == 0)
            params->items[i]->flags |= VT_PARAM_SKIPPED;
}

bool vt_param_is_value(const vt_param *param) {
    return !(param->flags & (VT_PARAM_BUFFER | VT_PARAM_SKIPPED));
}

bool vt_param_is_permuted(const vt_param *param) {
    return (param->flags & VT_PARAM_CONV) && param->shape[2] * param->shape[3] > 1;
}

vt_number vt_param_weight_type(const vt_params *params, const vt_param *param) {
    const bool coarse = param->flags & VT_PARAM_COARSE;
    if (params->product_type == VT_NUMBER_INT4 && !(param->flags & VT_PARAM_EXACT) && !coarse)
        return VT_NUMBER_INT8;
    return param->flags & VT_PARAM_EXACT ? VT_NUMBER_F32 : params->product_type;
}

bool vt_param_has_floats(const vt_params *params, const vt_param *param) {
    if (!vt_param_is_value(param)) return false;
    return !(param->flags & VT_PARAM_PRODUCT) || params->keeps_values ||
           vt_param_weight_type(params, param) == VT_NUMBER_F32;
}

size_t vt_params_packed_bytes(const vt_params *params) {
    size_t bytes = 0;
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->weight) bytes += params->kern->weight_bytes(params->items[i]->weight);
    return bytes;
}

size_t vt_params_gradient_bytes(const vt_params *params) {
    size_t bytes = 0;
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->grad) bytes += vt_arena_size(params->items[i]->count * sizeof(float));
    return bytes;
}

size_t vt_params_bytes(const vt_params *params) {
    size_t bytes = 0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (vt_param_has_floats(params, param)) bytes += param->count * sizeof(float);
    }
    return bytes + vt_params_packed_bytes(params) - params->mapped_bytes;
}

/* One reservation, every parameter in it on a 64-byte boundary; and so many bytes more. */
static variant_status reserve_for(vt_params *params, int copies, size_t more, void **memory,
                                  size_t *bytes, variant_error *err) {
    size_t total = more;
    for (int i = 0; i < params->count; ++i)
        if (vt_param_has_floats(params, params->items[i]))
            total += (size_t)copies * vt_arena_size(params->items[i]->count * sizeof(float));
    VT_TRY(params->kern->memory_reserve(params->kern, total, memory, err));
    *bytes = total;
    return VARIANT_OK;
}

/* Parameters in the order in which they lie, at places below 2 count: those that are late, then all others; NULL: none. */
static vt_param *lies_at(const vt_params *params, int place) {
    vt_param *param = params->items[place % params->count];
    const bool late = param->flags & VT_PARAM_LATE;
    return late == (place < params->count) ? param : NULL;
}

variant_status vt_params_allocate(vt_params *params, variant_error *err) {
    if (params->values) return VARIANT_OK;
    VT_TRY(reserve_for(params, 1, 0, &params->values, &params->values_bytes, err));
    vt_arena arena;
    if (params->kern->dry) /* there is nothing to fill */
        vt_arena_init_filled(&arena, params->values, params->values_bytes);
    else
        vt_arena_init(&arena, params->values, params->values_bytes);
    for (int i = 0; i < 2 * params->count; ++i) {
        vt_param *param = lies_at(params, i);
        if (param && vt_param_has_floats(params, param))
            param->value = vt_arena_floats(&arena, param->count);
    }
    return VARIANT_OK;
}

variant_status vt_params_train(vt_params *params, variant_error *err) {
    if (params->train) return VARIANT_OK;
    VT_TRY(vt_kern_check_training(params->kern, params->product_type, err));
    vt_training_lists *lists = &params->lists;
    const size_t most = (size_t)params->count + 1, sums = vt_arena_size(most * sizeof(double));
    if (!lists->value) lists->value = malloc(4 * most * sizeof *lists->value);
    if (!lists->value) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a model's lists");
    lists->grad = lists->value + most;
    lists->m = lists->grad + most;
    lists->v = lists->m + most;
    VT_TRY(reserve_for(params, params->shares_moments ? 1 : 3, sums, &params->train,
                       &params->train_bytes, err));
    vt_arena arena;
    vt_arena_init_filled(&arena, params->train, params->train_bytes);
    lists->sums = vt_arena_take(&arena, sums);
    const size_t before = arena.used;
    for (int i = 0; i < 2 * params->count; ++i) { /* one run, as values are */
        vt_param *param = lies_at(params, i);
        if (param && vt_param_is_value(param)) param->grad = vt_arena_floats(&arena, param->count);
    }
    params->gradients =
        (vt_floats){(float *)(arena.base + before), (arena.used - before) / sizeof(float)};
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!vt_param_is_value(param)) continue;
        if (!params->shares_moments) {
            param->m = vt_arena_floats(&arena, param->count);
            param->v = vt_arena_floats(&arena, param->count);
        }
        const int at = lists->count++;
        lists->value[at] = (vt_floats){param->value, param->count};
        lists->grad[at] = (vt_floats){param->grad, param->count};
        lists->m[at] = (vt_floats){param->m, param->count};
        lists->v[at] = (vt_floats){param->v, param->count};
    }
    return VARIANT_OK;
}

void vt_params_zero_grad(vt_params *params) {
    params->kern->fill(params->kern, 0.0f, params->lists.grad, params->lists.count);
}

void vt_params_whole(const vt_params *params, const vt_param *from) {
    if (params->watch.whole) params->watch.whole(params->watch.user, from);
}

vt_weight_spec vt_param_weight_spec(const vt_params *params, const vt_param *param) {
    return (vt_weight_spec){
        .type = vt_param_weight_type(params, param),
        .n = (int)param->shape[0],
        .k = (int)(param->count / (size_t)param->shape[0]),
        .taps = param->flags & VT_PARAM_CONV ? (int)(param->shape[2] * param->shape[3]) : 1,
        .gradients = params->keeps_values && vt_param_weight_type(params, param) == VT_NUMBER_BF16,
        .stride = param->stride,
        .values = param->value};
}

variant_status vt_param_open_weight(const vt_params *params, vt_param *param,
                                    const vt_weight_spec *spec, variant_error *err) {
    if (param->flags & VT_PARAM_CONV && spec->type >= VT_NUMBER_INT8)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "%s: a convolution's kernel is kept as f32 or bf16, not %s", param->name,
                       vt_number_name(spec->type));
    return params->kern->weight_open(params->kern, &param->weight, spec, err);
}

variant_status vt_params_prepare(vt_params *params, variant_error *err) {
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!(param->flags & VT_PARAM_PRODUCT) || param->weight || !vt_param_is_value(param))
            continue;
        vt_weight_spec spec = vt_param_weight_spec(params, param);
        VT_TRY(vt_param_open_weight(params, param, &spec, err));
    }
    return VARIANT_OK;
}

void vt_params_refresh(vt_params *params) {
    enum { AT_ONCE = 64 };
    vt_weight *weights[AT_ONCE];
    for (int i = 0; i < params->count;) {
        int count = 0;
        for (; i < params->count && count < AT_ONCE; ++i)
            if (params->items[i]->weight) weights[count++] = params->items[i]->weight;
        params->kern->weights_refresh(params->kern, weights, count);
    }
}

/* ---- layouts ---- */

/* (O, I, kh kw) <-> (O, kh kw, I) */
static void swap_inner(float *out, const float *in, size_t outer, size_t rows, size_t columns) {
    for (size_t o = 0; o < outer; ++o)
        for (size_t r = 0; r < rows; ++r)
            for (size_t c = 0; c < columns; ++c)
                out[(o * columns + c) * rows + r] = in[(o * rows + r) * columns + c];
}

variant_status vt_param_upload(const vt_params *params, const vt_param *param, const float *in,
                               float *buffer, variant_error *err) {
    size_t bytes = param->count * sizeof(float);
    if (!vt_param_is_permuted(param) || bytes == 0) {
        params->kern->upload(params->kern, buffer, in, bytes);
        return VARIANT_OK;
    }
    float *permuted = malloc(bytes);
    if (!permuted) return vt_fail(err, VARIANT_E_MEMORY, "no memory to permute %s", param->name);
    swap_inner(permuted, in, (size_t)param->shape[0], (size_t)param->shape[1],
               (size_t)(param->shape[2] * param->shape[3]));
    params->kern->upload(params->kern, buffer, permuted, bytes);
    free(permuted);
    return VARIANT_OK;
}

variant_status vt_param_download(const vt_params *params, const vt_param *param,
                                 const float *buffer, float *out, variant_error *err) {
    size_t bytes = param->count * sizeof(float);
    if (!vt_param_is_permuted(param) || bytes == 0) {
        return vt_kern_download(params->kern, out, buffer, bytes, err);
    }
    float *permuted = malloc(bytes);
    if (!permuted) return vt_fail(err, VARIANT_E_MEMORY, "no memory to permute %s", param->name);
    const variant_status status = vt_kern_download(params->kern, permuted, buffer, bytes, err);
    swap_inner(out, permuted, (size_t)param->shape[0], (size_t)(param->shape[2] * param->shape[3]),
               (size_t)param->shape[1]);
    free(permuted);
    return status;
}

variant_status vt_param_read(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const vt_param_source *from = tensor->source;
    return vt_param_download(from->params, from->param, from->buffer, out, err);
}

vt_tensor_out vt_param_tensor(const char *name, const vt_param_source *source) {
    const vt_param *param = source->param;
    vt_tensor_out out = {
        .name = name, .type = VT_F32, .rank = param->rank, .read = vt_param_read, .source = source};
    memcpy(out.shape, param->shape, (size_t)param->rank * sizeof *out.shape);
    return out;
}

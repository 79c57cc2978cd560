/* params.c - see params.h. */
#include "nn/params.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "io/synth.h"

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

static bool is_value(const vt_param *param) {
    return !(param->flags & VT_PARAM_BUFFER);
}

/* One reservation, every parameter in it on a 64-byte boundary. */
static variant_status reserve_for(vt_params *params, int copies, void **memory, size_t *bytes,
                                  variant_error *err) {
    size_t total = 0;
    for (int i = 0; i < params->count; ++i)
        if (is_value(params->items[i]))
            total += (size_t)copies * vt_arena_size(params->items[i]->count * sizeof(float));
    VT_TRY(params->kern->memory_reserve(params->kern, total, memory, err));
    *bytes = total;
    return VARIANT_OK;
}

variant_status vt_params_allocate(vt_params *params, variant_error *err) {
    if (params->values) return VARIANT_OK;
    VT_TRY(reserve_for(params, 1, &params->values, &params->values_bytes, err));
    vt_arena arena;
    vt_arena_init(&arena, params->values, params->values_bytes);
    for (int i = 0; i < params->count; ++i)
        if (is_value(params->items[i]))
            params->items[i]->value = vt_arena_floats(&arena, params->items[i]->count);
    return VARIANT_OK;
}

variant_status vt_params_train(vt_params *params, variant_error *err) {
    if (params->train) return VARIANT_OK;
    VT_TRY(reserve_for(params, 3, &params->train, &params->train_bytes, err));
    vt_arena arena;
    vt_arena_init(&arena, params->train, params->train_bytes);
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!is_value(param)) continue;
        param->grad = vt_arena_floats(&arena, param->count);
        param->m = vt_arena_floats(&arena, param->count);
        param->v = vt_arena_floats(&arena, param->count);
    }
    return VARIANT_OK;
}

void vt_params_zero_grad(vt_params *params) {
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->grad)
            params->kern->fill(params->kern, params->items[i]->grad, 0.0f, params->items[i]->count);
}

variant_status vt_params_prepare(vt_params *params, variant_error *err) {
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!(param->flags & VT_PARAM_PRODUCT) || param->weight) continue;
        int n = (int)param->shape[0], k = (int)(param->count / (size_t)param->shape[0]);
        VT_TRY(params->kern->weight_open(params->kern, &param->weight, param->value, n, k, err));
    }
    return VARIANT_OK;
}

void vt_params_refresh(vt_params *params) {
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->weight)
            params->kern->weight_refresh(params->kern, params->items[i]->weight);
}

/* ---- layouts ---- */

static bool is_permuted(const vt_param *param) {
    return (param->flags & VT_PARAM_CONV) && param->shape[2] * param->shape[3] > 1;
}

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
    if (!is_permuted(param)) {
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
    if (!is_permuted(param)) {
        params->kern->download(params->kern, out, buffer, bytes);
        return VARIANT_OK;
    }
    float *permuted = malloc(bytes);
    if (!permuted) return vt_fail(err, VARIANT_E_MEMORY, "no memory to permute %s", param->name);
    params->kern->download(params->kern, permuted, buffer, bytes);
    swap_inner(out, permuted, (size_t)param->shape[0], (size_t)(param->shape[2] * param->shape[3]),
               (size_t)param->shape[1]);
    free(permuted);
    return VARIANT_OK;
}

/* ---- values from a file ---- */

static void shape_text(char *out, size_t size, int rank, const int64_t *shape) {
    size_t used = (size_t)snprintf(out, size, "(");
    for (int i = 0; i < rank && used < size; ++i)
        used +=
            (size_t)snprintf(out + used, size - used, i ? ", %lld" : "%lld", (long long)shape[i]);
    if (used < size) snprintf(out + used, size - used, ")");
}

static variant_status check_shape(const vt_param *param, const vt_tensor *tensor, const char *path,
                                  variant_error *err) {
    bool same = tensor->rank == param->rank;
    for (int i = 0; same && i < param->rank; ++i) same = tensor->shape[i] == param->shape[i];
    if (same) return VARIANT_OK;
    char expected[96], found[128];
    shape_text(expected, sizeof expected, param->rank, param->shape);
    shape_text(found, sizeof found, tensor->rank, tensor->shape);
    return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s has shape %s, expected %s", path,
                   param->name, found, expected);
}

/* Can the kernels read the file's bytes where they lie? */
static bool maps_in_place(const vt_params *params, const vt_param *param, const vt_tensor *tensor) {
    return params->kern->unified && tensor->type == VT_F32 && !is_permuted(param) &&
           (uintptr_t)tensor->data % sizeof(float) == 0;
}

static variant_status load_converted(vt_params *params, vt_param *param, const vt_tensor *tensor,
                                     variant_error *err) {
    if (tensor->type == VT_F32 && (uintptr_t)tensor->data % sizeof(float) == 0)
        return vt_param_upload(params, param, tensor->data, param->value, err);
    float *converted = malloc(param->count * sizeof(float));
    if (!converted) return vt_fail(err, VARIANT_E_MEMORY, "no memory to convert %s", param->name);
    variant_status status = vt_tensor_to_f32(tensor, converted, err);
    if (status == VARIANT_OK) status = vt_param_upload(params, param, converted, param->value, err);
    free(converted);
    return status;
}

variant_status vt_params_load(vt_params *params, const vt_tensor_file *file, const char *group,
                              bool copy, variant_error *err) {
    const char *path = vt_tensor_file_path(file);
    for (int i = 0; i < params->count; ++i) { /* every complaint before any memory */
        const vt_param *param = params->items[i];
        const vt_tensor *tensor = vt_tensor_file_find(file, group, param->name);
        if (tensor)
            VT_TRY(check_shape(param, tensor, path, err));
        else if (is_value(param))
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s is missing", path, param->name);
    }
    VT_TRY(vt_params_allocate(params, err));
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!is_value(param)) continue;
        const vt_tensor *tensor = vt_tensor_file_find(file, group, param->name);
        if (!copy && maps_in_place(params, param, tensor)) {
            /* Inference only reads values; the reserved pages stay untouched and cost nothing. */
            param->value = (float *)(uintptr_t)tensor->data;
            params->mapped_bytes += param->count * sizeof(float);
            continue;
        }
        VT_TRY(load_converted(params, param, tensor, err));
    }
    return VARIANT_OK;
}

variant_status vt_params_synthesize(vt_params *params, const char *seed, const char *model,
                                    variant_error *err) {
    VT_TRY(vt_params_allocate(params, err));
    size_t largest = 0;
    for (int i = 0; i < params->count; ++i)
        if (is_value(params->items[i]) && params->items[i]->count > largest)
            largest = params->items[i]->count;
    float *host = malloc(largest ? largest * sizeof(float) : 1);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a synthetic tensor");
    variant_status status = VARIANT_OK;
    for (int i = 0; status == VARIANT_OK && i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!is_value(param)) continue;
        vt_synth_tensor(host, seed, model, param->name, param->rank, param->shape);
        status = vt_param_upload(params, param, host, param->value, err);
    }
    free(host);
    return status;
}

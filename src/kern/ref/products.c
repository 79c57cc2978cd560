/* products.c - weights, products with them and their gradients, each number one sum in double.
 *
 * With an int8 weight x is rounded to int8 as well. Its rows are cut into blocks of VT_INT8_BLOCK
 * numbers (the last one shorter), a row of W is one block. A block has a scale, largest size / 127, and
 * integers round(x * (127 / largest size)), to nearest even (zeros where all sizes are below 2^-100:
 * kern/number.h). The integers multiply and sum exactly, and
 *
 *     y = w_scale * (sum over the blocks, in order, of x_scale[block] * that) + bias
 *
 * An int4 weight's rows are whole numbers with a scale a row too (kern/int4.h). A `whole` weight's rows of x are one block. A block that holds a number that is not finite, and such a row of W, have NaN for a scale. */
#include "kern/int4.h"
#include "kern/number.h"
#include "kern/panels.h"
#include "kern/ragged.h"
#include "kern/ref/ref.h"
#include "kern/ref/weight.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

/* n numbers to integers, and their scale. */
static float to_int8(float *to, const float *from, size_t n) {
    float most = 0.0f;
    bool finite = true;
    for (size_t i = 0; i < n; ++i) {
        finite = finite && isfinite(from[i]);
        most = fmaxf(most, fabsf(from[i]));
    }
    for (size_t i = 0; i < n; ++i) to[i] = finite ? rintf(from[i] * vt_int8_inverse(most)) : 0.0f;
    return finite ? vt_int8_scale(most) : NAN;
}

/* Packed ones are rounded already. */
static void take_apart(vt_weight *weight) {
    vt_panels panels;
    if (!vt_panels_of(&panels, &weight->spec)) return; /* then there was no memory for them */
    for (int j = 0; j < weight->n; ++j) {
        vt_panels_row(&panels, &weight->spec, j, weight->numbers + (size_t)j * (size_t)weight->k);
        if (weight->scale) weight->scale[j] = weight->spec.packed->scale[j];
    }
}

/* Numbers that were read, or records, to whole numbers and a scale a row. */
static void to_int4(vt_weight *weight) {
    const size_t k = (size_t)weight->k, size = vt_int4_record(k);
    for (int j = 0; j < weight->n; ++j) {
        float *row = weight->numbers + (size_t)j * k;
        const uint8_t *given = weight->spec.records;
        uint8_t *record = weight->record;
        if (given)
            memcpy(record, given + (size_t)j * size, size);
        else
            vt_int4_encode(record, row, NULL, k);
        vt_int4_decode(record, k, row);
        weight->scale[j] = vt_int4_scale(record);
    }
}

/* Rounds the numbers to what the type can hold; INT8 keeps integers and a scale a row. */
static void weight_round(vt_weight *weight) {
    size_t k = (size_t)weight->k;
    float *rows = weight->numbers;
    if (weight->spec.packed) {
        take_apart(weight);
        return;
    }
    if (!weight->spec.records) vt_weight_read(&weight->spec, 0, weight->n, rows);
    if (weight->spec.type == VT_NUMBER_INT4) {
        to_int4(weight);
        return;
    }
    for (int j = 0; j < weight->n; ++j, rows += k) {
        if (weight->spec.scales) /* they are integers already */
            weight->scale[j] = weight->spec.scales[j];
        else if (weight->scale)
            weight->scale[j] = to_int8(rows, rows, k);
        else
            for (size_t i = 0; i < k; ++i) rows[i] = vt_round_bf16(rows[i]);
    }
}

static bool weight_reserve(vt_weight *weight) {
    const bool scales = weight->spec.type >= VT_NUMBER_INT8;
    const bool record = weight->spec.type == VT_NUMBER_INT4;
    weight->numbers = malloc(weight->bytes);
    if (scales) weight->scale = calloc((size_t)weight->n, sizeof(float));
    if (record) weight->record = malloc(vt_int4_record((size_t)weight->k));
    return weight->numbers && (weight->scale || !scales) && (weight->record || !record);
}

static variant_status weight_open(vt_kern *kern, vt_weight **out, const vt_weight_spec *spec,
                                  variant_error *err) {
    *out = NULL;
    VT_TRY(vt_weight_check(spec, err));
    vt_weight *weight = calloc(1, sizeof *weight);
    if (!weight) return vt_fail(err, VARIANT_E_MEMORY, "weight: out of memory");
    *weight = (vt_weight){.spec = *spec, .w = spec->values, .n = spec->n, .k = spec->k};
    if (weight->spec.taps == 0) weight->spec.taps = 1;
    *out = weight;
    if (spec->type == VT_NUMBER_F32) return VARIANT_OK;
    weight->bytes = (size_t)spec->n * (size_t)spec->k * sizeof(float);
    if (spec->sizes_only) {
        weight->numbers = VT_NO_NUMBERS;
        return VARIANT_OK;
    }
    if (!weight_reserve(weight)) {
        kern->weight_close(kern, out);
        return vt_fail(err, VARIANT_E_MEMORY, "weight: no memory for %d x %d numbers", spec->n,
                       spec->k);
    }
    weight->w = weight->numbers;
    weight_round(weight);
    weight->spec.rows = NULL; /* its sources are promised for the length of this call */
    weight->spec.scales = NULL;
    weight->spec.records = NULL;
    weight->spec.packed = NULL;
    return VARIANT_OK;
}

static void weight_refresh(vt_kern *kern, vt_weight *weight) {
    (void)kern;
    if (weight->numbers && weight->spec.values) weight_round(weight);
}

static void weight_close(vt_kern *kern, vt_weight **weight) {
    (void)kern;
    if (!weight || !*weight) return;
    if (!(*weight)->spec.sizes_only) free((*weight)->numbers);
    free((*weight)->scale);
    free((*weight)->record);
    free(*weight);
    *weight = NULL;
}

static vt_number weight_type(const vt_weight *weight) {
    return weight->spec.type;
}

static size_t weight_bytes(const vt_weight *weight) {
    return weight->bytes;
}

/* ---- y = epilogue(x W^T + bias) ---- */

/* QKV needs room for the product before it is split; packed weights for a row of x as they take it,
 * scales of its blocks behind it. */
static size_t split_floats(const vt_product *a) {
    size_t rows = (size_t)a->groups * (size_t)a->rows;
    return a->epilogue == VT_EPILOGUE_QKV ? rows * (size_t)a->w->n : 0;
}

static vt_product_input product_input(const vt_kern *kern, const vt_weight *w, int64_t rows) {
    (void)kern;
    return vt_weight_input(&w->spec, rows);
}

static size_t product_workspace(const vt_kern *kern, const vt_product *a) {
    (void)kern;
    size_t k = (size_t)a->w->k, blocks = (k + VT_INT8_BLOCK - 1) / VT_INT8_BLOCK;
    return (split_floats(a) + (a->w->numbers ? k + blocks : 0)) * sizeof(float);
}

/* Numbers of x that share a scale. */
static size_t block_of(const vt_weight *w) {
    return w->spec.whole ? (size_t)w->k : VT_INT8_BLOCK;
}

/* Row `row` of x as products take it: the caller's, or brought to `room`. */
static const float *x_row(const vt_product *a, size_t row, float *room) {
    const size_t k = (size_t)a->w->k;
    if (!a->w->numbers) return (const float *)a->x + row * k;
    for (size_t i = 0; i < k; ++i) {
        float x = a->x_type == VT_NUMBER_BF16 ? vt_from_bf16(((const vt_bf16 *)a->x)[row * k + i])
                                              : ((const float *)a->x)[row * k + i];
        room[i] = a->w->scale ? x : vt_round_bf16(x);
    }
    const size_t block = block_of(a->w);
    for (size_t i = 0; a->w->scale && i < k; i += block) {
        size_t left = k - i < block ? k - i : block;
        room[k + i / block] = to_int8(room + i, room + i, left);
    }
    return room;
}

static double product_at(const vt_product *a, const float *x, size_t column) {
    const size_t k = (size_t)a->w->k, block = block_of(a->w);
    const float *w = a->w->w + column * k, *scales = a->w->scale ? x + k : NULL;
    double sum = 0.0;
    for (size_t i = 0; i < k; i += block) {
        size_t end = k - i < block ? k : i + block;
        double own = 0.0;
        for (size_t j = i; j < end; ++j) own += (double)x[j] * w[j];
        sum += scales ? own * scales[i / block] : own;
    }
    if (a->w->scale) sum *= a->w->scale[column];
    return sum + (a->bias ? (double)a->bias[column] : 0.0);
}

static double gelu(double x) {
    return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

/* Where row r of GATE_ADD goes in y, and its gamma. */
static size_t gated_row(const vt_product *a, size_t r, const float **gamma) {
    if (!a->ragged) {
        *gamma = a->gamma + r / (size_t)a->rows * a->gamma_stride;
        return r;
    }
    int g = vt_ragged_find(a->ragged, (int64_t)r);
    *gamma = a->ragged->mod[g] + a->gamma_at;
    return (size_t)a->ragged->at[g] + r - (size_t)a->ragged->begin[g];
}

static void product(vt_kern *kern, const vt_product *a) {
    const size_t n = (size_t)a->w->n, all = (size_t)a->groups * (size_t)a->rows;
    float *y = a->epilogue == VT_EPILOGUE_QKV ? a->workspace : a->y;
    for (size_t r = 0; r < all; ++r) {
        const float *x = x_row(a, r, (float *)a->workspace + split_floats(a)), *gamma = NULL;
        const size_t to = a->epilogue == VT_EPILOGUE_GATE_ADD ? gated_row(a, r, &gamma) : r;
        for (size_t j = 0; j < n; ++j) {
            double value = product_at(a, x, j);
            if (a->pre) value = vt_round_bf16((float)value);
            if (a->pre) ((vt_bf16 *)a->pre)[r * n + j] = vt_to_bf16((float)value);
            if (a->epilogue == VT_EPILOGUE_GELU) value = gelu(value);
            if (gamma) value = y[to * n + j] + value * gamma[j];
            if (a->y_type == VT_NUMBER_BF16)
                ((vt_bf16 *)a->y)[r * n + j] = vt_to_bf16((float)value);
            else
                y[to * n + j] = (float)value;
        }
    }
    if (a->epilogue != VT_EPILOGUE_QKV) return;
    vt_qkv split = *a->qkv;
    split.qkv = a->workspace;
    kern->qkv_split(kern, &split);
}

static void linear_dx(vt_kern *kern, float *dx, const float *dy, const vt_weight *w, int groups,
                      int rows, bool accumulate) {
    (void)kern;
    size_t n = (size_t)w->n, k = (size_t)w->k, all = (size_t)groups * (size_t)rows;
    for (size_t r = 0; r < all; ++r) {
        for (size_t i = 0; i < k; ++i) {
            double sum = accumulate ? dx[r * k + i] : 0.0;
            for (size_t j = 0; j < n; ++j) sum += (double)dy[r * n + j] * w->w[j * k + i];
            dx[r * k + i] = (float)sum;
        }
    }
}

static void linear_dw(vt_kern *kern, float *dw, float *db, const float *dy, const float *x,
                      int rows, int n, int k) {
    (void)kern;
    size_t all = (size_t)rows, width_n = (size_t)n, width_k = (size_t)k;
    for (size_t j = 0; j < width_n; ++j) {
        for (size_t i = 0; i < width_k; ++i) {
            double sum = dw[j * width_k + i];
            for (size_t r = 0; r < all; ++r)
                sum += (double)dy[r * width_n + j] * x[r * width_k + i];
            dw[j * width_k + i] = (float)sum;
        }
        if (!db) continue;
        double sum = db[j];
        for (size_t r = 0; r < all; ++r) sum += dy[r * width_n + j];
        db[j] = (float)sum;
    }
}

void vt_ref_fill_products(vt_kern *kern) {
    kern->weight_open = weight_open;
    kern->weight_refresh = weight_refresh;
    kern->weight_close = weight_close;
    kern->weight_type = weight_type;
    kern->weight_bytes = weight_bytes;
    kern->product_input = product_input;
    kern->product_workspace = product_workspace;
    kern->product = product;
    kern->linear_dx = linear_dx;
    kern->linear_dw = linear_dw;
}

/* dry.c - see dry.h. Every operation of kern.h is here, since whatever lies above may call any of them.
 *
 * An operation that computes is an empty function; those of the same parameters share one, named by
 * the first of them. */
#include "kern/dry.h"

#include "core/arena.h"

#include <string.h>

/* ---- sizes are the real backend's ---- */

static vt_kern *real_of(const vt_kern *kern) {
    return ((const vt_dry_kern *)kern)->real;
}

#define SAME_SIZE(name, arguments)                                                                 \
    static size_t name(const vt_kern *kern, const arguments *args) {                               \
        return real_of(kern)->name(real_of(kern), args);                                           \
    }
SAME_SIZE(product_workspace, vt_product)
SAME_SIZE(product_grad_workspace, vt_product_grad)
SAME_SIZE(attend_workspace, vt_attend)
SAME_SIZE(attend_grad_workspace, vt_attend)
SAME_SIZE(attention_workspace, vt_attention)
SAME_SIZE(attention_grad_workspace, vt_attention)
SAME_SIZE(sample_workspace, vt_sample)
SAME_SIZE(conv_workspace, vt_conv)

static vt_product_input product_input(const vt_kern *kern, const vt_weight *weight, int64_t rows) {
    return real_of(kern)->product_input(real_of(kern), weight, rows);
}

static bool conv_direct(const vt_kern *kern) {
    return real_of(kern)->conv_direct(real_of(kern));
}

static vt_number conv_map(const vt_kern *kern, const vt_weight *weight) {
    return real_of(kern)->conv_map(real_of(kern), weight);
}

static size_t nearest_code_workspace(const vt_kern *kern, int groups, int rows, int codes) {
    return real_of(kern)->nearest_code_workspace(real_of(kern), groups, rows, codes);
}

/* ---- memory is counted ---- */

/* A place of its own for every reservation, so that two buffers are never one; nobody goes there. */
static variant_status memory_reserve(vt_kern *kern, size_t bytes, void **out, variant_error *err) {
    vt_dry_kern *dry = (vt_dry_kern *)kern;
    *out = NULL;
    if (bytes > SIZE_MAX / 4 - dry->reserved)
        return vt_fail(err, VARIANT_E_MEMORY, "memory: %zu bytes are more than can be counted",
                       bytes);
    *out = (void *)dry->next;
    dry->next += (bytes + VT_ALIGN) / VT_ALIGN * VT_ALIGN;
    dry->reserved += bytes;
    return VARIANT_OK;
}

static void memory_release(vt_kern *kern, void *memory, size_t bytes) {
    if (memory) ((vt_dry_kern *)kern)->reserved -= bytes;
}

/* Zero is a token, a label and a loss: what the host makes of results goes on. */
static void download(vt_kern *kern, void *to_host, const void *from, size_t bytes) {
    (void)kern;
    (void)from;
    if (bytes) memset(to_host, 0, bytes);
}

static variant_status weight_open(vt_kern *kern, vt_weight **out, const vt_weight_spec *spec,
                                  variant_error *err) {
    vt_dry_kern *dry = (vt_dry_kern *)kern;
    vt_weight_spec sizes = *spec;
    sizes.sizes_only = true;
    VT_TRY(dry->real->weight_open(dry->real, out, &sizes, err));
    dry->packed += dry->real->weight_bytes(*out);
    return VARIANT_OK;
}

static void weight_close(vt_kern *kern, vt_weight **weight) {
    vt_dry_kern *dry = (vt_dry_kern *)kern;
    if (!weight || !*weight) return;
    dry->packed -= dry->real->weight_bytes(*weight);
    dry->real->weight_close(dry->real, weight);
}

/* ---- nothing ---- */

#pragma GCC diagnostic ignored "-Wunused-parameter"
static void no_close(vt_kern *kern) {}
static void no_memory_discard(vt_kern *kern, void *memory, size_t bytes) {}
static void no_upload(vt_kern *kern, void *to, const void *from_host, size_t bytes) {}
static void no_copy(vt_kern *kern, float *to, const float *from, size_t n) {}
static void no_sync(vt_kern *kern) {}
static variant_status no_failure(vt_kern *kern, variant_error *err) {
    return VARIANT_OK;
}
static void no_fill(vt_kern *kern, float value, const vt_floats *runs, int count) {}
static void no_copy_rows(vt_kern *kern, float *to, size_t to_stride, const float *from,
                         size_t from_stride, int rows, size_t width) {}
static void no_weight_refresh(vt_kern *kern, vt_weight *weight) {}
static void no_product(vt_kern *kern, const vt_product *args) {}
static void no_linear_dx(vt_kern *kern, float *dx, const float *dy, const vt_weight *w, int groups,
                         int rows, bool accumulate) {}
static void no_linear_dw(vt_kern *kern, float *dw, float *db, const float *dy, const float *x,
                         int rows, int n, int k) {}
static void no_weights_refresh(vt_kern *kern, vt_weight *const *weights, int count) {}
static void no_product_dx(vt_kern *kern, const vt_product_grad *args) {}
static void no_residual(vt_kern *kern, const vt_residual *args) {}
static void no_residual_dx(vt_kern *kern, const vt_residual_grad *args) {}
static void no_attend(vt_kern *kern, const vt_attend *args) {}
static void no_attend_dx(vt_kern *kern, const vt_attend_grad *args) {}
static void no_gelu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {}
static void no_axpby(vt_kern *kern, float *y, float a, const float *x, float b, size_t n) {}
static void no_scaled_difference(vt_kern *kern, float *y, float a, const float *p, const float *q,
                                 size_t n) {}
static void no_clamp(vt_kern *kern, float *y, const float *x, float low, float high, size_t n) {}
static void no_sum_squares(vt_kern *kern, double *sums, const vt_floats *x, int count) {}
static void no_sum_squared_difference(vt_kern *kern, double *sums, const vt_floats *p,
                                      const vt_floats *q, int count) {}
static void no_adamw(vt_kern *kern, const vt_adamw *step) {}
static void no_add_rows(vt_kern *kern, float *y, const float *x, int groups, int rows, int width) {}
static void no_gather_rows(vt_kern *kern, float *y, const float *table, const int32_t *index,
                           int rows, int width) {}
static void no_scatter_rows(vt_kern *kern, float *dtable, const int32_t *index, const float *dy,
                            int rows, int width) {}
static void no_norm_modulate(vt_kern *kern, const vt_norm_modulate *args) {}
static void no_norm_modulate_dx(vt_kern *kern, const vt_norm_modulate_grad *args) {}
static void no_gate_add(vt_kern *kern, float *x, const float *h, const float *gamma,
                        size_t mod_stride, int groups, int rows, int width) {}
static void no_gate_add_dx(vt_kern *kern, float *dh, float *dgamma, const float *dx, const float *h,
                           const float *gamma, size_t mod_stride, int groups, int rows, int width) {
}
static void no_qkv_split(vt_kern *kern, const vt_qkv *args) {}
static void no_qkv_split_dx(vt_kern *kern, const vt_qkv_grad *args) {}
static void no_attention(vt_kern *kern, const vt_attention *args) {}
static void no_attention_dx(vt_kern *kern, const vt_attention_grad *args) {}
static void no_cross_entropy(vt_kern *kern, const vt_cross_entropy *args) {}
static void no_sample(vt_kern *kern, const vt_sample *args) {}
static void no_conv(vt_kern *kern, const vt_conv *args) {}
static void no_conv_dx(vt_kern *kern, const vt_conv *args, const float *dy, float *dx,
                       bool accumulate) {}
static void no_conv_dw(vt_kern *kern, const vt_conv *args, const float *dy, float *dw, float *db) {}
static void no_group_norm(vt_kern *kern, const vt_group_norm *args) {}
static void no_group_norm_dx(vt_kern *kern, const vt_group_norm_grad *args) {}
static void no_upsample2(vt_kern *kern, float *y, const float *x, int groups, int h, int w, int c) {
}
static void no_pool(vt_kern *kern, const vt_pooling *args) {}
static void no_resize_bilinear(vt_kern *kern, float *y, const float *x, int groups, int in_h,
                               int in_w, int out_h, int out_w, int c) {}
static void no_nearest_code(vt_kern *kern, int32_t *index, const float *x,
                            const vt_weight *codebook, int groups, int rows, void *workspace) {}

static const vt_kern operations = {
    .name = "dry",
    .dry = true,
    .close = no_close,
    .sync = no_sync,
    .status = no_failure,
    .memory_reserve = memory_reserve,
    .memory_release = memory_release,
    .memory_discard = no_memory_discard,
    .download = download,
    .weight_open = weight_open,
    .weight_close = weight_close,
    .upload = no_upload,
    .copy = no_copy,
    .fill = no_fill,
    .copy_rows = no_copy_rows,
    .add_copy_rows = no_copy_rows,
    .weight_refresh = no_weight_refresh,
    .product_input = product_input,
    .product_workspace = product_workspace,
    .product = no_product,
    .linear_dx = no_linear_dx,
    .linear_dw = no_linear_dw,
    .weights_refresh = no_weights_refresh,
    .product_grad_workspace = product_grad_workspace,
    .product_dx = no_product_dx,
    .product_dw = no_product_dx,
    .gelu_bf16 = no_upload,
    .residual = no_residual,
    .residual_dx = no_residual_dx,
    .attend_workspace = attend_workspace,
    .attend_grad_workspace = attend_grad_workspace,
    .attend = no_attend,
    .attend_dx = no_attend_dx,
    .gelu = no_copy,
    .gelu_dx = no_gelu_dx,
    .silu = no_copy,
    .silu_dx = no_gelu_dx,
    .axpby = no_axpby,
    .scaled_difference = no_scaled_difference,
    .clamp = no_clamp,
    .sum_squares = no_sum_squares,
    .sum_squared_difference = no_sum_squared_difference,
    .adamw = no_adamw,
    .add_rows = no_add_rows,
    .add_rows_dx = no_add_rows,
    .gather_rows = no_gather_rows,
    .scatter_rows = no_scatter_rows,
    .norm_modulate = no_norm_modulate,
    .norm_modulate_dx = no_norm_modulate_dx,
    .gate_add = no_gate_add,
    .gate_add_dx = no_gate_add_dx,
    .qkv_split = no_qkv_split,
    .qkv_split_dx = no_qkv_split_dx,
    .attention_workspace = attention_workspace,
    .attention_grad_workspace = attention_grad_workspace,
    .attention = no_attention,
    .attention_dx = no_attention_dx,
    .cross_entropy = no_cross_entropy,
    .sample_workspace = sample_workspace,
    .sample = no_sample,
    .conv_direct = conv_direct,
    .conv_map = conv_map,
    .conv_workspace = conv_workspace,
    .conv = no_conv,
    .conv_dx = no_conv_dx,
    .conv_dw = no_conv_dw,
    .group_norm = no_group_norm,
    .group_norm_dx = no_group_norm_dx,
    .upsample2 = no_upsample2,
    .upsample2_dx = no_upsample2,
    .pool = no_pool,
    .resize_bilinear = no_resize_bilinear,
    .resize_area = no_upsample2,
    .resize_bicubic = no_upsample2,
    .resize_bicubic_dx = no_upsample2,
    .nearest_code_workspace = nearest_code_workspace,
    .nearest_code = no_nearest_code,
};

void vt_dry_kern_init(vt_dry_kern *dry, vt_kern *real) {
    *dry = (vt_dry_kern){.kern = operations, .real = real, .next = VT_ALIGN}; /* NULL says none */
    dry->kern.details = real->details;
    dry->kern.unified = real->unified;
    dry->kern.panels = real->panels;
    dry->kern.alone = real->alone;
    dry->kern.threads = real->threads;
    dry->kern.team = real->team;
    dry->kern.weight_type = real->weight_type;
    dry->kern.weight_bytes = real->weight_bytes;
}

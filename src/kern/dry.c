/* dry.c - see dry.h. The operations that generation calls; nothing else is there.
 *
 * One empty function serves every operation of the same parameters, named by them: k kern, p pointer,
 * z size_t, i int, f float, b bool. */
#include "kern/dry.h"

static vt_kern *real_of(const vt_kern *kern) {
    return ((const vt_dry_kern *)kern)->real;
}

/* ---- sizes are the real backend's ---- */

static size_t product_workspace(const vt_kern *kern, const vt_product *args) {
    return real_of(kern)->product_workspace(real_of(kern), args);
}

static size_t attention_workspace(const vt_kern *kern, const vt_attention *args) {
    return real_of(kern)->attention_workspace(real_of(kern), args);
}

static size_t conv_workspace(const vt_kern *kern, const vt_conv *args) {
    return real_of(kern)->conv_workspace(real_of(kern), args);
}

static size_t sample_workspace(const vt_kern *kern, const vt_sample *args) {
    return real_of(kern)->sample_workspace(real_of(kern), args);
}

/* Nobody touches it: any address but NULL will do. */
static variant_status memory_reserve(vt_kern *kern, size_t bytes, void **out, variant_error *err) {
    (void)kern;
    (void)bytes;
    (void)err;
    *out = (void *)(uintptr_t)4096;
    return VARIANT_OK;
}

static void memory_release(vt_kern *kern, void *memory, size_t bytes) {
    (void)kern;
    (void)memory;
    (void)bytes;
}

/* ---- nothing ---- */

static void nothing_discard(vt_kern *a, void *b, size_t c) {
    (void)a;
    (void)b;
    (void)c;
}

static void nothing_kppz(vt_kern *a, void *b, const void *c, size_t d) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
}

static void nothing_kppz_copy(vt_kern *a, float *b, const float *c, size_t d) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
}

static void nothing_kpfz(vt_kern *a, float *b, float c, size_t d) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
}

static void nothing_kpzpziz(vt_kern *a, float *b, size_t c, const float *d, size_t e, int f,
                            size_t g) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
    (void)g;
}

static void nothing_kp(vt_kern *a, const vt_product *b) {
    (void)a;
    (void)b;
}

static void nothing_kpppiib(vt_kern *a, float *b, const float *c, const vt_weight *d, int e, int f,
                            bool g) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
    (void)g;
}

static void nothing_kpfpfz(vt_kern *a, float *b, float c, const float *d, float e, size_t f) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
}

static void nothing_kpfppz(vt_kern *a, float *b, float c, const float *d, const float *e,
                           size_t f) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
}

static void nothing_kppffz(vt_kern *a, float *b, const float *c, float d, float e, size_t f) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
}

static void nothing_kppiii(vt_kern *a, float *b, const float *c, int d, int e, int f) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
}

static void nothing_kpppii(vt_kern *a, float *b, const float *c, const int32_t *d, int e, int f) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
}

static void nothing_kp_norm_modulate(vt_kern *a, const vt_norm_modulate *b) {
    (void)a;
    (void)b;
}

static void nothing_kpppziii(vt_kern *a, float *b, const float *c, const float *d, size_t e, int f,
                             int g, int h) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
    (void)g;
    (void)h;
}

static void nothing_kp_qkv_split(vt_kern *a, const vt_qkv *b) {
    (void)a;
    (void)b;
}

static void nothing_kp_attention(vt_kern *a, const vt_attention *b) {
    (void)a;
    (void)b;
}

static void nothing_kp_sample(vt_kern *a, const vt_sample *b) {
    (void)a;
    (void)b;
}

static void nothing_kp_conv(vt_kern *a, const vt_conv *b) {
    (void)a;
    (void)b;
}

static void nothing_kp_group_norm(vt_kern *a, const vt_group_norm *b) {
    (void)a;
    (void)b;
}

static void nothing_kppiiii(vt_kern *a, float *b, const float *c, int d, int e, int f, int g) {
    (void)a;
    (void)b;
    (void)c;
    (void)d;
    (void)e;
    (void)f;
    (void)g;
}

void vt_dry_kern_init(vt_dry_kern *dry, vt_kern *real) {
    *dry = (vt_dry_kern){.real = real};
    vt_kern *kern = &dry->kern;
    kern->name = "dry";
    kern->unified = real->unified;
    kern->threads = real->threads;
    kern->weight_type = real->weight_type;
    kern->memory_reserve = memory_reserve;
    kern->memory_release = memory_release;
    kern->memory_discard = nothing_discard;
    kern->product_workspace = product_workspace;
    kern->attention_workspace = attention_workspace;
    kern->conv_workspace = conv_workspace;
    kern->sample_workspace = sample_workspace;
    kern->upload = nothing_kppz;
    kern->download = nothing_kppz;
    kern->copy = nothing_kppz_copy;
    kern->fill = nothing_kpfz;
    kern->copy_rows = nothing_kpzpziz;
    kern->add_copy_rows = nothing_kpzpziz;
    kern->product = nothing_kp;
    kern->linear_dx = nothing_kpppiib;
    kern->gelu = nothing_kppz_copy;
    kern->silu = nothing_kppz_copy;
    kern->axpby = nothing_kpfpfz;
    kern->scaled_difference = nothing_kpfppz;
    kern->clamp = nothing_kppffz;
    kern->add_rows = nothing_kppiii;
    kern->gather_rows = nothing_kpppii;
    kern->norm_modulate = nothing_kp_norm_modulate;
    kern->gate_add = nothing_kpppziii;
    kern->qkv_split = nothing_kp_qkv_split;
    kern->attention = nothing_kp_attention;
    kern->sample = nothing_kp_sample;
    kern->conv = nothing_kp_conv;
    kern->group_norm = nothing_kp_group_norm;
    kern->upsample2 = nothing_kppiiii;
    kern->resize_area = nothing_kppiiii;
    kern->resize_bicubic = nothing_kppiiii;
}

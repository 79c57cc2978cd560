/* hidden_backend.c - see hidden_backend.h. */
#include "tests/hidden_backend.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>

enum { MOST_REGIONS = 4096 };

typedef struct region {
    char *memory;
    size_t bytes;
} region;

typedef struct hidden {
    vt_kern kern; /* first */
    vt_kern *inner;
    region regions[MOST_REGIONS];
    int count;
} hidden;

static long operations, fails_at = -1;

long hidden_operations(void) {
    return operations;
}

void hidden_fail_after(long more) {
    fails_at = more < 0 ? -1 : operations + more;
}

static void protect(const hidden *h, int how) {
    for (int i = 0; i < h->count; ++i)
        if (mprotect(h->regions[i].memory, h->regions[i].bytes, how) != 0) abort();
}

static hidden *enter(vt_kern *kern) {
    hidden *h = (hidden *)kern;
    protect(h, PROT_READ | PROT_WRITE);
    ++operations;
    return h;
}

static void leave(const hidden *h) {
    protect(h, PROT_NONE);
}

/* A buffer of no numbers may begin where memory ends. */
static bool is_buffer(const hidden *h, const void *address) {
    for (int i = 0; i < h->count; ++i) {
        const char *begin = h->regions[i].memory;
        if ((const char *)address >= begin && (const char *)address <= begin + h->regions[i].bytes)
            return true;
    }
    return false;
}

static void check(const hidden *h, const void *address, bool buffer, const char *operation,
                  const char *argument) {
    if (!address || is_buffer(h, address) == buffer) return;
    fprintf(stderr, "%s: %s is %s\n", operation, argument,
            buffer ? "host memory, expected a buffer" : "a buffer, expected host memory");
    abort();
}

#define BUFFER(argument) check(h, argument, true, __func__, #argument)
#define HOST(argument) check(h, argument, false, __func__, #argument)
#define RUNS(list, count)                                                                          \
    do {                                                                                           \
        HOST(list);                                                                                \
        for (int i_ = 0; i_ < (count); ++i_) BUFFER((list)[i_].x);                                 \
    } while (0)

/* modulated: the operation reads the groups' vectors. */
static void check_ragged(const hidden *h, const vt_ragged *r, bool modulated,
                         const char *operation) {
    if (!r) return;
    check(h, r, false, operation, "ragged");
    check(h, r->begin, false, operation, "ragged->begin");
    check(h, r->at, false, operation, "ragged->at");
    if (modulated) check(h, r->mod, false, operation, "ragged->mod");
    check(h, r->kv, false, operation, "ragged->kv");
    for (int g = 0; g < r->groups; ++g) {
        if (modulated) check(h, r->mod[g], true, operation, "ragged->mod[g]");
        if (!r->kv) continue;
        check(h, r->kv[g].k, true, operation, "ragged->kv[g].k");
        check(h, r->kv[g].v, true, operation, "ragged->kv[g].v");
        check(h, r->kv[g].k_scale, true, operation, "ragged->kv[g].k_scale");
        check(h, r->kv[g].v_scale, true, operation, "ragged->kv[g].v_scale");
    }
}

#define RAGGED(ragged, modulated) check_ragged(h, ragged, modulated, __func__)

/* An operation that takes a struct, and what of it must be where. */
#define OPERATION(name, type, ...)                                                                 \
    static void name(vt_kern *kern, const type *a) {                                               \
        hidden *h = enter(kern);                                                                   \
        HOST(a);                                                                                   \
        __VA_ARGS__                                                                                \
        h->inner->name(h->inner, a);                                                               \
        leave(h);                                                                                  \
    }

/* One that takes its parameters one by one. */
#define CALL(name, parameters, arguments, ...)                                                     \
    static void name parameters {                                                                  \
        hidden *h = enter(kern);                                                                   \
        __VA_ARGS__                                                                                \
        h->inner->name arguments;                                                                  \
        leave(h);                                                                                  \
    }

/* Sizes follow from sizes alone: nothing is opened for them. */
#define SIZE(name, type)                                                                           \
    static size_t name(const vt_kern *kern, const type *a) {                                       \
        const hidden *h = (const hidden *)kern;                                                    \
        return h->inner->name(h->inner, a);                                                        \
    }

/* ---- life and memory ---- */

static void hidden_close(vt_kern *kern) {
    hidden *h = (hidden *)kern;
    vt_kern_close(&h->inner);
    free(h);
}

static void hidden_sync(vt_kern *kern) {
    (void)kern;
}

static variant_status hidden_status(vt_kern *kern, variant_error *err) {
    (void)kern;
    if (fails_at < 0 || operations < fails_at) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_DEVICE, "the hidden device failed at operation %ld", fails_at);
}

static variant_status memory_reserve(vt_kern *kern, size_t bytes, void **out, variant_error *err) {
    hidden *h = (hidden *)kern;
    if (h->count == MOST_REGIONS) abort();
    const size_t page = 4096, whole = (bytes + page) / page * page;
    VT_TRY(h->inner->memory_reserve(h->inner, whole, out, err));
    h->regions[h->count++] = (region){*out, whole};
    leave(h);
    return VARIANT_OK;
}

static void memory_release(vt_kern *kern, void *memory, size_t bytes) {
    hidden *h = (hidden *)kern;
    (void)bytes;
    if (!memory) return;
    int i = 0;
    while (i < h->count && h->regions[i].memory != memory) ++i;
    if (i == h->count) abort(); /* never reserved */
    h->inner->memory_release(h->inner, memory, h->regions[i].bytes);
    h->regions[i] = h->regions[--h->count];
}

CALL(memory_discard, (vt_kern * kern, void *memory, size_t bytes), (h->inner, memory, bytes),
     BUFFER(memory);)
CALL(upload, (vt_kern * kern, void *to, const void *from_host, size_t bytes),
     (h->inner, to, from_host, bytes), BUFFER(to);
     HOST(from_host);)
CALL(download, (vt_kern * kern, void *to_host, const void *from, size_t bytes),
     (h->inner, to_host, from, bytes), HOST(to_host);
     BUFFER(from);)
CALL(copy, (vt_kern * kern, float *to, const float *from, size_t n), (h->inner, to, from, n),
     BUFFER(to);
     BUFFER(from);)
CALL(fill, (vt_kern * kern, float value, const vt_floats *runs, int count),
     (h->inner, value, runs, count), RUNS(runs, count);)
CALL(copy_rows,
     (vt_kern * kern, float *to, size_t to_stride, const float *from, size_t from_stride, int rows,
      size_t width),
     (h->inner, to, to_stride, from, from_stride, rows, width), BUFFER(to);
     BUFFER(from);)
CALL(add_copy_rows,
     (vt_kern * kern, float *to, size_t to_stride, const float *from, size_t from_stride, int rows,
      size_t width),
     (h->inner, to, to_stride, from, from_stride, rows, width), BUFFER(to);
     BUFFER(from);)

/* ---- products ---- */

static variant_status weight_open(vt_kern *kern, vt_weight **out, const vt_weight_spec *spec,
                                  variant_error *err) {
    hidden *h = enter(kern);
    if (!spec->sizes_only) BUFFER(spec->values); /* else addresses of a dry run */
    const variant_status status = h->inner->weight_open(h->inner, out, spec, err);
    leave(h);
    return status;
}

CALL(weight_refresh, (vt_kern * kern, vt_weight *weight), (h->inner, weight), )
CALL(weight_close, (vt_kern * kern, vt_weight **weight), (h->inner, weight), )
CALL(weights_refresh, (vt_kern * kern, vt_weight *const *weights, int count),
     (h->inner, weights, count), HOST(weights);)
static vt_product_input product_input(const vt_kern *kern, const vt_weight *weight, int64_t rows) {
    const hidden *h = (const hidden *)kern;
    return h->inner->product_input(h->inner, weight, rows);
}
SIZE(product_workspace, vt_product)
OPERATION(
    product, vt_product, BUFFER(a->x); BUFFER(a->bias); BUFFER(a->y); BUFFER(a->gamma);
    BUFFER(a->pre); BUFFER(a->workspace); RAGGED(a->ragged, a->epilogue == VT_EPILOGUE_GATE_ADD);
    if (a->qkv) {
        HOST(a->qkv);
        BUFFER(a->qkv->q);
        BUFFER(a->qkv->k);
        BUFFER(a->qkv->v);
        RAGGED(a->qkv->ragged, false);
    })
CALL(linear_dx,
     (vt_kern * kern, float *dx, const float *dy, const vt_weight *w, int groups, int rows,
      bool accumulate),
     (h->inner, dx, dy, w, groups, rows, accumulate), BUFFER(dx);
     BUFFER(dy);)
CALL(linear_dw,
     (vt_kern * kern, float *dw, float *db, const float *dy, const float *x, int rows, int n,
      int k),
     (h->inner, dw, db, dy, x, rows, n, k), BUFFER(dw);
     BUFFER(db); BUFFER(dy); BUFFER(x);)

/* ---- training with bf16 products ---- */

SIZE(product_grad_workspace, vt_product_grad)
OPERATION(product_dx, vt_product_grad, BUFFER(a->dy); BUFFER(a->dx); BUFFER(a->gelu_of);
          BUFFER(a->gelu); BUFFER(a->workspace);)
OPERATION(product_dw, vt_product_grad, BUFFER(a->dy); BUFFER(a->x); BUFFER(a->dw); BUFFER(a->db);
          BUFFER(a->workspace);)
CALL(gelu_bf16, (vt_kern * kern, void *act, const void *pre, size_t n), (h->inner, act, pre, n),
     BUFFER(act);
     BUFFER(pre);)
OPERATION(residual, vt_residual, BUFFER(a->x); BUFFER(a->h); BUFFER(a->gamma); BUFFER(a->sum);
          BUFFER(a->y); BUFFER(a->scale); BUFFER(a->shift); BUFFER(a->mean); BUFFER(a->rstd);)
OPERATION(residual_dx, vt_residual_grad, BUFFER(a->dx); BUFFER(a->x); BUFFER(a->dy);
          BUFFER(a->scale); BUFFER(a->mean); BUFFER(a->dscale); BUFFER(a->h); BUFFER(a->gamma);
          BUFFER(a->dh); BUFFER(a->dgamma);)
SIZE(attend_workspace, vt_attend)
SIZE(attend_grad_workspace, vt_attend)
OPERATION(attend, vt_attend, BUFFER(a->qkv); BUFFER(a->q_bias); BUFFER(a->v_bias);
          BUFFER(a->scale_mul); BUFFER(a->out); BUFFER(a->log_sum); HOST(a->ends);
          BUFFER(a->workspace);)
OPERATION(attend_dx, vt_attend_grad, BUFFER(a->forward.qkv); BUFFER(a->forward.log_sum);
          HOST(a->forward.ends); BUFFER(a->forward.workspace); BUFFER(a->dout); BUFFER(a->dqkv);
          BUFFER(a->dq_bias); BUFFER(a->dv_bias); BUFFER(a->dscale_mul);)

/* ---- elementwise ---- */

#define ELEMENTWISE(name)                                                                          \
    CALL(name, (vt_kern * kern, float *y, const float *x, size_t n), (h->inner, y, x, n),          \
         BUFFER(y);                                                                                \
         BUFFER(x);)
#define ELEMENTWISE_DX(name)                                                                       \
    CALL(name, (vt_kern * kern, float *dx, const float *dy, const float *x, size_t n),             \
         (h->inner, dx, dy, x, n), BUFFER(dx);                                                     \
         BUFFER(dy); BUFFER(x);)
ELEMENTWISE(gelu)
ELEMENTWISE(silu)
ELEMENTWISE_DX(gelu_dx)
ELEMENTWISE_DX(silu_dx)
CALL(axpby, (vt_kern * kern, float *y, float a, const float *x, float b, size_t n),
     (h->inner, y, a, x, b, n), BUFFER(y);
     BUFFER(x);)
CALL(scaled_difference,
     (vt_kern * kern, float *y, float a, const float *p, const float *q, size_t n),
     (h->inner, y, a, p, q, n), BUFFER(y);
     BUFFER(p); BUFFER(q);)
CALL(clamp, (vt_kern * kern, float *y, const float *x, float low, float high, size_t n),
     (h->inner, y, x, low, high, n), BUFFER(y);
     BUFFER(x);)
CALL(sum_squares, (vt_kern * kern, double *sums, const vt_floats *x, int count),
     (h->inner, sums, x, count), BUFFER(sums);
     RUNS(x, count);)
CALL(sum_squared_difference,
     (vt_kern * kern, double *sums, const vt_floats *p, const vt_floats *q, int count),
     (h->inner, sums, p, q, count), BUFFER(sums);
     RUNS(p, count); RUNS(q, count);)
OPERATION(adamw, vt_adamw, RUNS(a->value, a->count); RUNS(a->m, a->count); RUNS(a->v, a->count);
          RUNS(a->grad, a->count); HOST(a->weight_decay);)

/* ---- rows ---- */

CALL(add_rows, (vt_kern * kern, float *y, const float *x, int groups, int rows, int width),
     (h->inner, y, x, groups, rows, width), BUFFER(y);
     BUFFER(x);)
CALL(add_rows_dx, (vt_kern * kern, float *dx, const float *dy, int groups, int rows, int width),
     (h->inner, dx, dy, groups, rows, width), BUFFER(dx);
     BUFFER(dy);)
CALL(gather_rows,
     (vt_kern * kern, float *y, const float *table, const int32_t *index, int rows, int width),
     (h->inner, y, table, index, rows, width), BUFFER(y);
     BUFFER(table); BUFFER(index);)
CALL(scatter_rows,
     (vt_kern * kern, float *dtable, const int32_t *index, const float *dy, int rows, int width),
     (h->inner, dtable, index, dy, rows, width), BUFFER(dtable);
     BUFFER(index); BUFFER(dy);)

/* ---- transformer ---- */

OPERATION(norm_modulate, vt_norm_modulate, BUFFER(a->x); BUFFER(a->scale); BUFFER(a->shift);
          BUFFER(a->y); BUFFER(a->mean); BUFFER(a->rstd); RAGGED(a->ragged, true);)
OPERATION(norm_modulate_dx, vt_norm_modulate_grad, BUFFER(a->forward.x); BUFFER(a->forward.mean);
          BUFFER(a->dy); BUFFER(a->dx); BUFFER(a->dscale); BUFFER(a->dshift);)
CALL(gate_add,
     (vt_kern * kern, float *x, const float *hidden_rows, const float *gamma, size_t mod_stride,
      int groups, int rows, int width),
     (h->inner, x, hidden_rows, gamma, mod_stride, groups, rows, width), BUFFER(x);
     BUFFER(hidden_rows); BUFFER(gamma);)
CALL(gate_add_dx,
     (vt_kern * kern, float *dh, float *dgamma, const float *dx, const float *hidden_rows,
      const float *gamma, size_t mod_stride, int groups, int rows, int width),
     (h->inner, dh, dgamma, dx, hidden_rows, gamma, mod_stride, groups, rows, width), BUFFER(dh);
     BUFFER(dgamma); BUFFER(dx); BUFFER(hidden_rows); BUFFER(gamma);)
OPERATION(qkv_split, vt_qkv, BUFFER(a->qkv); BUFFER(a->q_bias); BUFFER(a->v_bias);
          BUFFER(a->scale_mul); BUFFER(a->q); BUFFER(a->k); BUFFER(a->v); BUFFER(a->k_scale);
          BUFFER(a->v_scale); RAGGED(a->ragged, false);)
OPERATION(qkv_split_dx, vt_qkv_grad, BUFFER(a->forward.qkv); BUFFER(a->forward.scale_mul);
          BUFFER(a->dq); BUFFER(a->dk); BUFFER(a->dv); BUFFER(a->dqkv); BUFFER(a->dq_bias);
          BUFFER(a->dv_bias); BUFFER(a->dscale_mul);)
SIZE(attention_workspace, vt_attention)
SIZE(attention_grad_workspace, vt_attention)
OPERATION(attention, vt_attention, BUFFER(a->q); BUFFER(a->k); BUFFER(a->v); BUFFER(a->out);
          BUFFER(a->k_scale); BUFFER(a->v_scale); HOST(a->q_end); HOST(a->k_end);
          BUFFER(a->workspace); RAGGED(a->ragged, false);)
OPERATION(attention_dx, vt_attention_grad, BUFFER(a->forward.q); BUFFER(a->forward.k);
          BUFFER(a->forward.v); BUFFER(a->forward.out); HOST(a->forward.q_end);
          BUFFER(a->forward.workspace); BUFFER(a->dout); BUFFER(a->dq); BUFFER(a->dk);
          BUFFER(a->dv);)
OPERATION(cross_entropy, vt_cross_entropy, BUFFER(a->logits); BUFFER(a->targets);
          BUFFER(a->dlogits); BUFFER(a->loss); BUFFER(a->hit); BUFFER(a->teacher); BUFFER(a->pull);
          BUFFER(a->kl);)
SIZE(sample_workspace, vt_sample)
OPERATION(
    sample, vt_sample, HOST(a->parts); BUFFER(a->workspace); for (int i = 0; i < a->count; ++i) {
        const vt_sample_part *part = &a->parts[i];
        BUFFER(part->cond);
        BUFFER(part->uncond);
        BUFFER(part->tokens);
        BUFFER(part->weights);
        BUFFER(part->filtered);
    })

/* ---- pictures and latents ---- */

static bool conv_direct(const vt_kern *kern) {
    const vt_kern *inner = ((const hidden *)kern)->inner;
    return inner->conv_direct(inner);
}

static vt_number conv_map(const vt_kern *kern, const vt_weight *weight) {
    const vt_kern *inner = ((const hidden *)kern)->inner;
    return inner->conv_map(inner, weight);
}

SIZE(conv_workspace, vt_conv)
OPERATION(
    conv, vt_conv, BUFFER(a->x); BUFFER(a->bias); BUFFER(a->y); BUFFER(a->residual);
    BUFFER(a->sums); BUFFER(a->workspace); if (a->norm) {
        HOST(a->norm);
        BUFFER(a->norm->gamma);
        BUFFER(a->norm->beta);
        BUFFER(a->norm->sums);
    })
CALL(conv_dx, (vt_kern * kern, const vt_conv *a, const float *dy, float *dx, bool accumulate),
     (h->inner, a, dy, dx, accumulate), HOST(a);
     BUFFER(dy); BUFFER(dx); BUFFER(a->workspace);)
CALL(conv_dw, (vt_kern * kern, const vt_conv *a, const float *dy, float *dw, float *db),
     (h->inner, a, dy, dw, db), HOST(a);
     BUFFER(a->x); BUFFER(dy); BUFFER(dw); BUFFER(db); BUFFER(a->workspace);)
OPERATION(group_norm, vt_group_norm, BUFFER(a->x); BUFFER(a->gamma); BUFFER(a->beta); BUFFER(a->y);
          BUFFER(a->mean); BUFFER(a->rstd);)
OPERATION(group_norm_dx, vt_group_norm_grad, BUFFER(a->forward.x); BUFFER(a->forward.gamma);
          BUFFER(a->forward.mean); BUFFER(a->dy); BUFFER(a->dx); BUFFER(a->dgamma);
          BUFFER(a->dbeta);)
CALL(upsample2,
     (vt_kern * kern, float *y, const float *x, int groups, int rows, int columns, int c),
     (h->inner, y, x, groups, rows, columns, c), BUFFER(y);
     BUFFER(x);)
CALL(upsample2_dx,
     (vt_kern * kern, float *dx, const float *dy, int groups, int rows, int columns, int c),
     (h->inner, dx, dy, groups, rows, columns, c), BUFFER(dx);
     BUFFER(dy);)
OPERATION(pool, vt_pooling, BUFFER(a->x); BUFFER(a->y);)
CALL(resize_bilinear,
     (vt_kern * kern, float *y, const float *x, int groups, int in_h, int in_w, int out_h,
      int out_w, int c),
     (h->inner, y, x, groups, in_h, in_w, out_h, out_w, c), BUFFER(y);
     BUFFER(x);)
CALL(resize_area, (vt_kern * kern, float *y, const float *x, int groups, int from, int to, int c),
     (h->inner, y, x, groups, from, to, c), BUFFER(y);
     BUFFER(x);)
CALL(resize_bicubic,
     (vt_kern * kern, float *y, const float *x, int groups, int from, int to, int c),
     (h->inner, y, x, groups, from, to, c), BUFFER(y);
     BUFFER(x);)
CALL(resize_bicubic_dx,
     (vt_kern * kern, float *dx, const float *dy, int groups, int from, int to, int c),
     (h->inner, dx, dy, groups, from, to, c), BUFFER(dx);
     BUFFER(dy);)

static size_t nearest_code_workspace(const vt_kern *kern, int groups, int rows, int codes) {
    const hidden *h = (const hidden *)kern;
    return h->inner->nearest_code_workspace(h->inner, groups, rows, codes);
}

CALL(nearest_code,
     (vt_kern * kern, int32_t *index, const float *x, const vt_weight *codebook, int groups,
      int rows, void *workspace),
     (h->inner, index, x, codebook, groups, rows, workspace), BUFFER(index);
     BUFFER(x); BUFFER(workspace);)

/* ---- the table ---- */

static void fill_table(vt_kern *kern) {
    kern->close = hidden_close;
    kern->sync = hidden_sync;
    kern->status = hidden_status;
#define SET(name) kern->name = name;
#define SET_ALL(X)                                                                                 \
    X(memory_reserve)                                                                              \
    X(memory_release)                                                                              \
    X(memory_discard)                                                                              \
    X(upload)                                                                                      \
    X(download)                                                                                    \
    X(copy)                                                                                        \
    X(fill)                                                                                        \
    X(copy_rows)                                                                                   \
    X(add_copy_rows)                                                                               \
    X(weight_open)                                                                                 \
    X(weight_refresh)                                                                              \
    X(weight_close)                                                                                \
    X(weights_refresh)                                                                             \
    X(product_input)                                                                               \
    X(product_workspace)                                                                           \
    X(product)                                                                                     \
    X(linear_dx)                                                                                   \
    X(linear_dw)                                                                                   \
    X(product_grad_workspace)                                                                      \
    X(product_dx)                                                                                  \
    X(product_dw)                                                                                  \
    X(gelu_bf16)                                                                                   \
    X(residual)                                                                                    \
    X(residual_dx)                                                                                 \
    X(attend_workspace)                                                                            \
    X(attend_grad_workspace)                                                                       \
    X(attend)                                                                                      \
    X(attend_dx)                                                                                   \
    X(gelu)                                                                                        \
    X(gelu_dx)                                                                                     \
    X(silu)                                                                                        \
    X(silu_dx)                                                                                     \
    X(axpby)                                                                                       \
    X(scaled_difference)                                                                           \
    X(clamp)                                                                                       \
    X(sum_squares)                                                                                 \
    X(sum_squared_difference)                                                                      \
    X(adamw)                                                                                       \
    X(add_rows)                                                                                    \
    X(add_rows_dx)                                                                                 \
    X(gather_rows)                                                                                 \
    X(scatter_rows)                                                                                \
    X(norm_modulate)                                                                               \
    X(norm_modulate_dx)                                                                            \
    X(gate_add)                                                                                    \
    X(gate_add_dx)                                                                                 \
    X(qkv_split)                                                                                   \
    X(qkv_split_dx)                                                                                \
    X(attention_workspace)                                                                         \
    X(attention_grad_workspace)                                                                    \
    X(attention)                                                                                   \
    X(attention_dx)                                                                                \
    X(cross_entropy)                                                                               \
    X(sample_workspace)                                                                            \
    X(sample)                                                                                      \
    X(conv_direct)                                                                                 \
    X(conv_map)                                                                                    \
    X(conv_workspace)                                                                              \
    X(conv)                                                                                        \
    X(conv_dx)                                                                                     \
    X(conv_dw)                                                                                     \
    X(group_norm)                                                                                  \
    X(group_norm_dx)                                                                               \
    X(upsample2)                                                                                   \
    X(upsample2_dx)                                                                                \
    X(pool)                                                                                        \
    X(resize_bilinear)                                                                             \
    X(resize_area)                                                                                 \
    X(resize_bicubic)                                                                              \
    X(resize_bicubic_dx)                                                                           \
    X(nearest_code_workspace)                                                                      \
    X(nearest_code)
    SET_ALL(SET)
}

static variant_status open_over(vt_kern **out, const char *inner, int threads, variant_error *err) {
    hidden *h = calloc(1, sizeof *h);
    if (!h) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the hidden backend");
    const variant_status status = vt_kern_open(&h->inner, inner, threads, err);
    if (status != VARIANT_OK) {
        free(h);
        return status;
    }
    h->kern.details = "pages that the host cannot read";
    h->kern.threads = h->inner->threads;
    h->kern.weight_type = h->inner->weight_type;
    h->kern.weight_bytes = h->inner->weight_bytes;
    fill_table(&h->kern);
    *out = &h->kern;
    return VARIANT_OK;
}

variant_status hidden_over_reference(vt_kern **out, int threads, variant_error *err) {
    return open_over(out, vt_kern_reference(), threads, err);
}

variant_status hidden_over_default(vt_kern **out, int threads, variant_error *err) {
    return open_over(out, NULL, threads, err);
}

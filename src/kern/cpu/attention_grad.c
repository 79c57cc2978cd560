/* attention_grad.c - backward of attention.c in float32. */
#include "kern/cpu/blas.h"
#include "kern/cpu/attention.h"

#include <omp.h>
#include <string.h>

enum { QUERY_BLOCK = 64 };

/* Query rows [begin, begin + rows) seeing keys [0, keys). */
typedef struct query_block {
    int begin, rows, keys;
} query_block;

static int segment_blocks(const vt_attention *a, int s) {
    int rows = a->q_end[s] - (s ? a->q_end[s - 1] : 0);
    return (rows + QUERY_BLOCK - 1) / QUERY_BLOCK;
}

static int count_blocks(const vt_attention *a) {
    int blocks = 0;
    for (int s = 0; s < a->segments; ++s) blocks += segment_blocks(a, s);
    return blocks;
}

static query_block block_at(const vt_attention *a, int i) {
    int s = 0;
    for (; i >= segment_blocks(a, s); ++s) i -= segment_blocks(a, s);
    int begin = (s ? a->q_end[s - 1] : 0) + i * QUERY_BLOCK, left = a->q_end[s] - begin;
    return (query_block){
        .begin = begin, .rows = left < QUERY_BLOCK ? left : QUERY_BLOCK, .keys = a->k_end[s]};
}

/* Floats of one block's scores, rounded so that slots start on cache lines of their own. */
static size_t slot_floats(const vt_attention *a) {
    int most = 0;
    for (int s = 0; s < a->segments; ++s) most = a->k_end[s] > most ? a->k_end[s] : most;
    return (size_t)QUERY_BLOCK * (((size_t)most + 15) / 16 * 16);
}

static size_t attention_grad_workspace(const vt_kern *kern, const vt_attention *a) {
    return (size_t)kern->threads * slot_floats(a) * 2;
}

/* out (m, n) = a op(b) + beta out; b is (n, k) when transposed, else (k, n). */
static void product(float *out, size_t out_stride, const float *a, size_t a_stride, const float *b,
                    size_t b_stride, bool b_transposed, int m, int n, int k, float alpha,
                    float beta) {
    vt_cpu_sgemm(CblasNoTrans, b_transposed ? CblasTrans : CblasNoTrans, m, n, k, alpha, a,
                 (int)a_stride, b, (int)b_stride, beta, out, (int)out_stride);
}

/* With P = softmax: dP = dO V^T, dS = P (dP - rowsum(dO O)) scale; dQ = dS K, dK += dS^T Q, dV +=
 * P^T dO. */
static void attend_dx(const vt_loops *loops, const vt_attention_grad *a, size_t g, size_t at,
                      query_block b, float *p, float *ds) {
    const vt_attention *f = &a->forward;
    size_t q_at = g * f->q_group_stride + (size_t)b.begin * f->q_stride + at;
    size_t out_at = g * f->out_group_stride + (size_t)b.begin * f->out_stride + at;
    size_t kv_at = g * f->kv_group_stride + at, keys = (size_t)b.keys;
    const float *q = f->q + q_at, *k = (const float *)f->k + kv_at, *v = (const float *)f->v + kv_at;
    const float *out = (const float *)f->out + out_at, *dout = a->dout + out_at;
    product(p, keys, q, f->q_stride, k, f->kv_stride, true, b.rows, b.keys, f->head_dim, f->scale,
            0.0f);
    product(ds, keys, dout, f->out_stride, v, f->kv_stride, true, b.rows, b.keys, f->head_dim, 1.0f,
            0.0f);
    for (int r = 0; r < b.rows; ++r) {
        float *row = p + (size_t)r * keys, *grad = ds + (size_t)r * keys;
        float sum = loops->softmax(row, b.keys);
        loops->scale(row, row, 1.0f / sum, keys);
        float mean = loops->dot(dout + (size_t)r * f->out_stride, out + (size_t)r * f->out_stride,
                                (size_t)f->head_dim);
        loops->softmax_dx(grad, row, grad, mean, f->scale, b.keys);
    }
    product(a->dq + q_at, f->q_stride, ds, keys, k, f->kv_stride, false, b.rows, f->head_dim,
            b.keys, 1.0f, 0.0f);
    vt_cpu_sgemm(CblasTrans, CblasNoTrans, b.keys, f->head_dim, b.rows, 1.0f, ds, (int)keys, q,
                 (int)f->q_stride, 1.0f, a->dk + kv_at, (int)f->kv_stride);
    vt_cpu_sgemm(CblasTrans, CblasNoTrans, b.keys, f->head_dim, b.rows, 1.0f, p, (int)keys, dout,
                 (int)f->out_stride, 1.0f, a->dv + kv_at, (int)f->kv_stride);
}

/* A (sample, head) is one task: its blocks add into the same dk and dv, in order. */
static void attention_dx(vt_kern *kern, const vt_attention_grad *a) {
    const vt_loops *loops = vt_cpu_loops(kern);
    const vt_attention *f = &a->forward;
    int blocks = count_blocks(f);
    int64_t tasks = (int64_t)f->groups * f->heads;
    size_t slot = slot_floats(f), head_dim = (size_t)f->head_dim;
    size_t last = f->segments > 0 ? (size_t)f->k_end[f->segments - 1] : 0;
#pragma omp parallel for schedule(dynamic, 1) num_threads(kern->threads) if (tasks > 1)
    for (int64_t i = 0; i < tasks; ++i) {
        size_t g = (size_t)(i / f->heads), at = (size_t)(i % f->heads) * head_dim;
        float *p = f->workspace + (size_t)omp_get_thread_num() * slot * 2;
        for (size_t j = 0; j < last; ++j) {
            size_t row = g * f->kv_group_stride + j * f->kv_stride + at;
            memset(a->dk + row, 0, head_dim * sizeof(float));
            memset(a->dv + row, 0, head_dim * sizeof(float));
        }
        for (int b = 0; b < blocks; ++b) attend_dx(loops, a, g, at, block_at(f, b), p, p + slot);
    }
}

void vt_cpu_fill_attention_grad(vt_kern *kern) {
    kern->attention_grad_workspace = attention_grad_workspace;
    kern->attention_dx = attention_dx;
}

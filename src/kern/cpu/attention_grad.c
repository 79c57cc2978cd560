/* attention_grad.c - backward of attention.c in float32.
 *
 * A task is one head of one sample: its blocks of query rows add into the same dk and dv, in order.
 * For a block the probabilities of all its keys are computed again, 64 keys at a time as in
 * attention.c, and kept: a strip of at most 36 rows, which stays in the second cache. With P the
 * probabilities and D = rowsum(dout out):
 *
 *     dV += P^T dout    dS = P (dout V^T - D) scale    dQ = dS K    dK += dS^T Q */
#include "kern/cpu/attention.h"

#include <math.h>
#include <string.h>

enum {
    KEYS = VT_ATTENTION_KEYS,
    PANEL = VT_ATTENTION_PANEL,
    BLOCK = 36 /* query rows a block, at most */
};

/* One slot of the workspace, in floats from its beginning. */
typedef struct slot_plan {
    int channels;        /* head_dim, padded to panels */
    int keys;            /* padded to whole steps */
    size_t k_across;     /* panels of keys, as the scores read k */
    size_t v_across;     /* ... as dout v^T reads v */
    size_t k;            /* panels of channels, as dq reads k */
    size_t dk, dv;       /* (keys, channels) */
    size_t q, dout;      /* panels of channels of one block */
    size_t dq;           /* (block, channels) */
    size_t p;            /* (keys / KEYS, block, KEYS) */
    size_t ds;           /* (block, KEYS) */
    size_t parts_of_sum; /* (block, PANEL) */
    size_t most;         /* (keys / KEYS, block): what p's powers are relative to */
    size_t total;
} slot_plan;

static slot_plan plan_of(const vt_attention *a) {
    slot_plan s = {.channels = vt_round_up(a->head_dim, PANEL),
                   .keys = vt_round_up(vt_attention_keys(a), KEYS)};
    size_t keys = (size_t)s.keys, channels = (size_t)s.channels, at = 0;
    size_t head = keys * (size_t)a->head_dim, padded = keys * channels, block = BLOCK * channels;
    s.k_across = vt_attention_take(&at, head);
    s.v_across = vt_attention_take(&at, head);
    s.k = vt_attention_take(&at, padded);
    s.dk = vt_attention_take(&at, padded);
    s.dv = vt_attention_take(&at, padded);
    s.q = vt_attention_take(&at, block);
    s.dout = vt_attention_take(&at, block);
    s.dq = vt_attention_take(&at, block);
    s.p = vt_attention_take(&at, keys * BLOCK);
    s.ds = vt_attention_take(&at, BLOCK * KEYS);
    s.parts_of_sum = vt_attention_take(&at, BLOCK * PANEL);
    s.most = vt_attention_take(&at, keys / KEYS * BLOCK);
    s.total = at;
    return s;
}

static size_t attention_grad_workspace(const vt_kern *kern, const vt_attention *a) {
    return ((size_t)kern->threads * plan_of(a).total + VT_ATTENTION_ALIGN) * sizeof(float);
}

/* One head of one sample. */
typedef struct head {
    const vt_attention_grad *a;
    const slot_plan *plan;
    const vt_loops *loops;
    const vt_attention_loops *own;
    float *slot;
    size_t q, kv, out; /* where its numbers begin */
} head;

/* Query rows [row, row + rows) seeing keys [0, keys). */
typedef struct block {
    int row, rows, keys;
    const float *q, *dout; /* the first row's */
} block;

static const float ones[KEYS] = {1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1,
                                 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1, 1};

static void pack_head(const head *h) {
    const vt_attention *f = &h->a->forward;
    const slot_plan *plan = h->plan;
    const float *k = (const float *)f->k + h->kv, *v = (const float *)f->v + h->kv;
    int keys = vt_attention_keys(f);
    for (int j = 0; j < keys; j += PANEL) {
        size_t from = (size_t)j * f->kv_stride, to = (size_t)j * (size_t)f->head_dim;
        int columns = vt_least(PANEL, keys - j);
        h->own->pack(h->slot + plan->k_across + to, k + from, f->kv_stride, columns, f->head_dim);
        h->own->pack(h->slot + plan->v_across + to, v + from, f->kv_stride, columns, f->head_dim);
    }
    h->own->pack_across(h->slot + plan->k, (size_t)plan->keys * PANEL, k, f->kv_stride, keys,
                        f->head_dim);
    size_t padded = (size_t)keys * (size_t)plan->channels * sizeof(float);
    memset(h->slot + plan->dk, 0, padded);
    memset(h->slot + plan->dv, 0, padded);
}

/* out (rows, KEYS) = from (rows, head_dim) times panels of keys from `key` on. */
static void across(const head *h, const block *b, float *out, const float *from, size_t stride,
                   size_t panels, int key, int columns) {
    size_t head_dim = (size_t)h->a->forward.head_dim;
    const vt_attention_product args = {.out = out,
                                       .out_stride = KEYS,
                                       .a = from,
                                       .a_row = stride,
                                       .a_depth = 1,
                                       .b = h->slot + panels + (size_t)key * head_dim,
                                       .b_panel = head_dim * PANEL,
                                       .rows = b->rows,
                                       .panels = (columns + PANEL - 1) / PANEL,
                                       .depth = (int)head_dim};
    h->own->product(&args);
}

/* The strip of powers, and for each step of keys the factors that make them probabilities, in place
 * of what they were relative to. */
static void probabilities(const head *h, const block *b) {
    const vt_attention *f = &h->a->forward;
    float *sum = h->slot + h->plan->parts_of_sum, *most = h->slot + h->plan->most;
    float running[BLOCK], keep[BLOCK], inverse[BLOCK];
    int steps = (b->keys + KEYS - 1) / KEYS;
    for (int i = 0; i < steps; ++i) {
        float *p = h->slot + h->plan->p + (size_t)i * BLOCK * KEYS;
        int columns = vt_least(KEYS, b->keys - i * KEYS);
        const vt_attention_step step = {.scores = p,
                                        .p = p,
                                        .by = f->scale * 1.44269504088896341f,
                                        .first = i == 0,
                                        .rows = b->rows,
                                        .columns = columns,
                                        .most = running,
                                        .sum = sum,
                                        .keep = keep};
        across(h, b, p, b->q, f->q_stride, h->plan->k_across, i * KEYS, columns);
        h->own->step(&step);
        memcpy(most + i * BLOCK, running, (size_t)b->rows * sizeof *most);
    }
    const float one = 1.0f;
    for (int r = 0; r < b->rows; ++r) h->own->finish(inverse + r, &one, sum + r * PANEL, 1);
    for (int i = 0; i < steps; ++i)
        for (int r = 0; r < b->rows; ++r)
            most[i * BLOCK + r] = inverse[r] * exp2f(most[i * BLOCK + r] - running[r]);
}

/* dk or dv (columns, channels) += transposed strip (rows, KEYS) times panels of the block. */
static void add_down(const head *h, const block *b, size_t to, const float *strip, size_t panels,
                     int key, int columns) {
    size_t channels = (size_t)h->plan->channels;
    const vt_attention_product args = {.out = h->slot + to + (size_t)key * channels,
                                       .out_stride = channels,
                                       .keep = ones,
                                       .a = strip,
                                       .a_row = 1,
                                       .a_depth = KEYS,
                                       .b = h->slot + panels,
                                       .b_panel = BLOCK * PANEL,
                                       .rows = columns,
                                       .panels = h->plan->channels / PANEL,
                                       .depth = b->rows};
    h->own->product(&args);
}

static void add_to_dq(const head *h, const block *b, int key, int columns) {
    size_t channels = (size_t)h->plan->channels;
    const vt_attention_product args = {.out = h->slot + h->plan->dq,
                                       .out_stride = channels,
                                       .keep = key ? ones : NULL,
                                       .a = h->slot + h->plan->ds,
                                       .a_row = KEYS,
                                       .a_depth = 1,
                                       .b = h->slot + h->plan->k + (size_t)key * PANEL,
                                       .b_panel = (size_t)h->plan->keys * PANEL,
                                       .rows = b->rows,
                                       .panels = h->plan->channels / PANEL,
                                       .depth = columns};
    h->own->product(&args);
}

/* Rows of head_dim numbers out of rows of `channels`. */
static void copy_rows(const head *h, float *to, size_t to_stride, size_t from, int rows) {
    vt_attention_copy(h->own, to, to_stride, h->slot + from, (size_t)h->plan->channels, rows,
                      h->a->forward.head_dim);
}

static void block_dx(const head *h, const block *b) {
    const vt_attention *f = &h->a->forward;
    const slot_plan *plan = h->plan;
    const float *out = (const float *)f->out + h->out + (size_t)b->row * f->out_stride;
    float *ds = h->slot + plan->ds, *dq = h->a->dq + h->q + (size_t)b->row * f->q_stride;
    float mean[BLOCK];
    for (int r = 0; r < b->rows; ++r)
        mean[r] = h->loops->dot(b->dout + (size_t)r * f->out_stride,
                                out + (size_t)r * f->out_stride, (size_t)f->head_dim);
    h->own->pack_across(h->slot + plan->q, BLOCK * PANEL, b->q, f->q_stride, b->rows, f->head_dim);
    h->own->pack_across(h->slot + plan->dout, BLOCK * PANEL, b->dout, f->out_stride, b->rows,
                        f->head_dim);
    probabilities(h, b);
    for (int key = 0; key < b->keys; key += KEYS) {
        int columns = vt_least(KEYS, b->keys - key);
        float *p = h->slot + plan->p + (size_t)key * BLOCK;
        across(h, b, ds, b->dout, f->out_stride, plan->v_across, key, columns);
        h->own->slopes(p, ds, h->slot + plan->most + key / KEYS * BLOCK, mean, f->scale, b->rows,
                       columns);
        add_to_dq(h, b, key, columns);
        add_down(h, b, plan->dk, ds, plan->q, key, columns);
        add_down(h, b, plan->dv, p, plan->dout, key, columns);
    }
    if (b->keys > 0)
        copy_rows(h, dq, f->q_stride, plan->dq, b->rows);
    else
        for (int r = 0; r < b->rows; ++r)
            memset(dq + (size_t)r * f->q_stride, 0, (size_t)f->head_dim * sizeof *dq);
}

static void head_dx(const head *h) {
    const vt_attention *f = &h->a->forward;
    pack_head(h);
    for (int s = 0; s < f->segments; ++s) {
        for (int row = s ? f->q_end[s - 1] : 0; row < f->q_end[s]; row += BLOCK) {
            const block b = {.row = row,
                             .rows = vt_least(BLOCK, f->q_end[s] - row),
                             .keys = f->k_end[s],
                             .q = f->q + h->q + (size_t)row * f->q_stride,
                             .dout = h->a->dout + h->out + (size_t)row * f->out_stride};
            block_dx(h, &b);
        }
    }
    int keys = vt_attention_keys(f);
    copy_rows(h, h->a->dk + h->kv, f->kv_stride, h->plan->dk, keys);
    copy_rows(h, h->a->dv + h->kv, f->kv_stride, h->plan->dv, keys);
}

typedef struct attention_loop {
    const vt_attention_grad *args;
    slot_plan plan;
    float *workspace;
} attention_loop;

static void attention_part(const vt_kern *kern, const void *args, vt_span span) {
    const attention_loop *l = args;
    const vt_attention *f = &l->args->forward;
    for (int64_t i = span.begin; i < span.end; ++i) {
        size_t g = (size_t)(i / f->heads), at = (size_t)(i % f->heads) * (size_t)f->head_dim;
        const head h = {.a = l->args,
                        .plan = &l->plan,
                        .loops = vt_cpu_loops(kern),
                        .own = vt_cpu_attention_loops(kern),
                        .slot = l->workspace + (size_t)span.thread * l->plan.total,
                        .q = g * f->q_group_stride + at,
                        .kv = g * f->kv_group_stride + at,
                        .out = g * f->out_group_stride + at};
        head_dx(&h);
    }
}

static void attention_dx(vt_kern *kern, const vt_attention_grad *a) {
    const vt_attention *f = &a->forward;
    const attention_loop loop = {a, plan_of(f), vt_attention_align(f->workspace)};
    const int64_t tasks = (int64_t)f->groups * f->heads;
    vt_cpu_deal(kern, tasks > 1, tasks, attention_part, &loop);
}

void vt_cpu_fill_attention_grad(vt_kern *kern) {
    kern->attention_grad_workspace = attention_grad_workspace;
    kern->attention_dx = attention_dx;
}

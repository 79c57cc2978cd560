/* transformer.c - modulated norm, gates, the q/k/v split and the loss: forward over rows in
 * parallel; gradients of things shared by rows (modulation, biases, scales) over strips of columns,
 * rows in order inside a strip. */
#include "kern/cpu/attention.h"
#include "kern/ragged.h"
#include "kern/cpu/weight.h"

#include <math.h>
#include <string.h>

enum { STRIP = 64, MOST_HEADS = 64 };

static bool large(int64_t rows, int64_t width) {
    return rows * width > VT_CPU_PARALLEL_MIN / 4;
}

/* To row `to` of y, which is in tiles. */
static void norm_row_laid(const vt_kern *kern, const vt_norm_modulate *a, const float *x,
                          int64_t to, const float *scale, const float *shift, float *mean,
                          float *rstd) {
    _Alignas(64) uint16_t row[VT_LAID_MOST];
    vt_cpu_attention_loops(kern)->norm_modulate_bf16(row, x, scale, shift, a->width, a->eps, mean,
                                                     rstd);
    vt_tiles_put(a->y, a->width, to, 0, row, a->width);
}

/* Row `from` of x to row `to` of y. */
static void norm_row(const vt_kern *kern, const vt_norm_modulate *a, int64_t from, int64_t to,
                     const float *scale, const float *shift) {
    const float *x = a->x + from * a->width;
    float mean, rstd;
    if (a->y_type == VT_NUMBER_LAID)
        norm_row_laid(kern, a, x, to, scale, shift, &mean, &rstd);
    else if (a->y_type == VT_NUMBER_BF16)
        vt_cpu_attention_loops(kern)->norm_modulate_bf16((uint16_t *)a->y + to * a->width, x, scale,
                                                         shift, a->width, a->eps, &mean, &rstd);
    else
        vt_cpu_loops(kern)->norm_modulate((float *)a->y + to * a->width, x, scale, shift, a->width,
                                          a->eps, &mean, &rstd);
    if (a->mean) a->mean[to] = mean;
    if (a->rstd) a->rstd[to] = rstd;
}

static void norm_modulate_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_norm_modulate *a = args;
    for (int64_t r = span.begin; r < span.end; ++r) {
        size_t mod = (size_t)(r / a->rows) * a->mod_stride;
        norm_row(kern, a, r, r, a->scale + mod, a->shift + mod);
    }
}

static void norm_ragged_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_norm_modulate *a = args;
    const vt_ragged *ragged = a->ragged;
    int g = vt_ragged_find(ragged, span.begin);
    for (int64_t r = span.begin; r < span.end; ++r) {
        if (r == ragged->begin[g + 1]) ++g;
        const float *mod = ragged->mod[g];
        norm_row(kern, a, ragged->at[g] + r - ragged->begin[g], r, mod + a->scale_at,
                 mod + a->shift_at);
    }
}

static void norm_modulate(vt_kern *kern, const vt_norm_modulate *a) {
    const int64_t all = (int64_t)a->groups * a->rows;
    vt_cpu_split(kern, large(all, a->width), all, a->ragged ? norm_ragged_part : norm_modulate_part,
                 a);
}

/* Tasks of a gradient (groups, width) that rows are summed into. Groups are tasks of their own
 * unless they share numbers (a modulation stride below the width): then one task walks them all in
 * order. */
typedef struct strips {
    int64_t tasks, per_group, groups_per_task;
} strips;

static strips strips_of(int groups, int width, size_t mod_stride) {
    bool shared = mod_stride < (size_t)width;
    strips s = {.per_group = vt_cpu_pieces(width, STRIP), .groups_per_task = shared ? groups : 1};
    s.tasks = shared ? s.per_group : s.per_group * groups;
    return s;
}

static void norm_modulate_dx_row(const vt_loops *loops, const vt_norm_modulate_grad *a, int64_t r) {
    const vt_norm_modulate *f = &a->forward;
    const int64_t at = r * f->width;
    const vt_loops_norm_dx row = {.dx = a->dx + at,
                                  .x = f->x + at,
                                  .dy = a->dy + at,
                                  .scale = f->scale + (size_t)(r / f->rows) * f->mod_stride,
                                  .mean = f->mean[r],
                                  .rstd = f->rstd[r]};
    loops->norm_modulate_dx(&row, f->width);
}

/* A strip of dscale and dshift. */
static void norm_modulate_dx_strip(const vt_loops *loops, const vt_norm_modulate_grad *a,
                                   const strips *s, int64_t i) {
    const vt_norm_modulate *f = &a->forward;
    const int64_t width = f->width;
    int64_t begin = i % s->per_group * STRIP, first = i / s->per_group * s->groups_per_task;
    int count = (int)(width - begin < STRIP ? width - begin : STRIP);
    for (int64_t g = first; g < first + s->groups_per_task; ++g) {
        float dscale[STRIP] = {0}, dshift[STRIP] = {0};
        int64_t row = g * f->rows, at = row * width + begin;
        loops->norm_columns(dscale, dshift, f->x + at, a->dy + at, (size_t)width, f->mean + row,
                            f->rstd + row, f->rows, count);
        size_t mod = (size_t)g * f->mod_stride + (size_t)begin;
        loops->add(a->dscale + mod, dscale, (size_t)count);
        loops->add(a->dshift + mod, dshift, (size_t)count);
    }
}

/* dx over rows and the modulation's gradient over strips, which do not wait for one another: a task is a thread's share
 * of both. */
static void norm_modulate_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_loops *loops = vt_cpu_loops(kern);
    const vt_norm_modulate_grad *a = args;
    const vt_norm_modulate *f = &a->forward;
    const strips s = strips_of(f->groups, f->width, f->mod_stride);
    const int64_t all = (int64_t)f->groups * f->rows, shares = kern->threads;
    for (int64_t t = span.begin; t < span.end; ++t) {
        for (int64_t r = all * t / shares; r < all * (t + 1) / shares; ++r)
            norm_modulate_dx_row(loops, a, r);
        for (int64_t i = s.tasks * t / shares; i < s.tasks * (t + 1) / shares; ++i)
            norm_modulate_dx_strip(loops, a, &s, i);
    }
}

static void norm_modulate_dx(vt_kern *kern, const vt_norm_modulate_grad *a) {
    const vt_norm_modulate *f = &a->forward;
    vt_cpu_split(kern, large((int64_t)f->groups * f->rows, f->width), kern->threads,
                 norm_modulate_dx_part, a);
}

typedef struct gate_loop {
    float *x; /* or dh */
    float *dgamma;
    const float *h, *gamma, *dx;
    size_t mod_stride;
    int64_t rows, width; /* rows of a group */
    strips strips;
} gate_loop;

static void gate_add_part(const vt_kern *kern, const void *args, vt_span span) {
    const gate_loop *l = args;
    for (int64_t r = span.begin; r < span.end; ++r)
        vt_cpu_loops(kern)->add_scaled(l->x + r * l->width, l->h + r * l->width,
                                       l->gamma + (size_t)(r / l->rows) * l->mod_stride,
                                       (size_t)l->width);
}

static void gate_add(vt_kern *kern, float *x, const float *h, const float *gamma, size_t mod_stride,
                     int groups, int rows, int width) {
    const gate_loop loop = {
        .x = x, .h = h, .gamma = gamma, .mod_stride = mod_stride, .rows = rows, .width = width};
    const int64_t all = (int64_t)groups * rows;
    vt_cpu_split(kern, large(all, width), all, gate_add_part, &loop);
}

typedef struct ragged_gate {
    const vt_product *args;
    const float *h;
} ragged_gate;

static void ragged_gate_part(const vt_kern *kern, const void *args, vt_span span) {
    const ragged_gate *l = args;
    const vt_product *a = l->args;
    const vt_ragged *ragged = a->ragged;
    const int64_t width = a->w->n;
    int g = vt_ragged_find(ragged, span.begin);
    for (int64_t r = span.begin; r < span.end; ++r) {
        if (r == ragged->begin[g + 1]) ++g;
        vt_cpu_loops(kern)->add_scaled(
            (float *)a->y + (ragged->at[g] + r - ragged->begin[g]) * width, l->h + r * width,
            ragged->mod[g] + a->gamma_at, (size_t)width);
    }
}

void vt_cpu_gate_add_ragged(vt_kern *kern, const vt_product *a, const float *h) {
    vt_cpu_split(kern, large(a->rows, a->w->n), a->rows, ragged_gate_part,
                 &(ragged_gate){.args = a, .h = h});
}

static void gate_add_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_loops *loops = vt_cpu_loops(kern);
    const gate_loop *l = args;
    const strips *s = &l->strips;
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t begin = i % s->per_group * STRIP, first = i / s->per_group * s->groups_per_task;
        int count = (int)(l->width - begin < STRIP ? l->width - begin : STRIP);
        for (int64_t g = first; g < first + s->groups_per_task; ++g) {
            float sums[STRIP] = {0};
            int64_t at = g * l->rows * l->width + begin;
            size_t mod = (size_t)g * l->mod_stride + (size_t)begin;
            loops->gate_columns(l->x + at, sums, l->dx + at, l->h + at, l->gamma + mod,
                                (size_t)l->width, (int)l->rows, count);
            loops->add(l->dgamma + mod, sums, (size_t)count);
        }
    }
}

static void gate_add_dx(vt_kern *kern, float *dh, float *dgamma, const float *dx, const float *h,
                        const float *gamma, size_t mod_stride, int groups, int rows, int width) {
    const gate_loop loop = {.x = dh,
                            .dgamma = dgamma,
                            .h = h,
                            .gamma = gamma,
                            .dx = dx,
                            .mod_stride = mod_stride,
                            .rows = rows,
                            .width = width,
                            .strips = strips_of(groups, width, mod_stride)};
    vt_cpu_split(kern, large((int64_t)groups * rows, width), loop.strips.tasks, gate_add_dx_part,
                 &loop);
}

static const float qk_least_norm = 1e-12f;
static const float qk_most_log_scale = 4.605170186f; /* ln 100 */

static float qk_scale(const float *scale_mul, int head) {
    float most = scale_mul[head] < qk_most_log_scale ? scale_mul[head] : qk_most_log_scale;
    return (float)exp((double)most);
}

/* s / max(|x|, least) */
static float unit_scale(const vt_loops *loops, const float *x, float s, size_t n) {
    float length = sqrtf(loops->dot(x, x, n));
    return s / (length > qk_least_norm ? length : qk_least_norm);
}

/* What multiplies the unit vectors of q, one a head; beyond MOST_HEADS it is computed row by
 * row. */
typedef struct head_scales {
    float of[MOST_HEADS];
} head_scales;

/* Number `at` of a cache of `type`. */
static void *number_of(void *cache, vt_number type, size_t at) {
    return (char *)cache + at * vt_number_size(type);
}

/* n numbers (x + bias) by of one head, in the cache's type. */
static void put_head(const vt_kern *kern, const vt_qkv *a, void *to, float *scale, const float *x,
                     const float *bias, float by, size_t n) {
    const vt_attention_loops *rows = vt_cpu_attention_loops(kern);
    if (a->kv_type == VT_NUMBER_INT8)
        *scale = rows->to_int8(to, x, bias, by, n);
    else if (a->kv_type == VT_NUMBER_BF16)
        rows->to_bf16(to, x, bias, by, n);
    else if (bias)
        vt_cpu_loops(kern)->sum(to, x, bias, n);
    else
        vt_cpu_loops(kern)->scale(to, x, by, n);
}

static void qkv_row(const vt_kern *kern, const vt_qkv *a, const head_scales *scales, size_t r) {
    const vt_loops *loops = vt_cpu_loops(kern);
    size_t n = (size_t)a->head_dim, width = (size_t)a->heads * n;
    size_t g = r / (size_t)a->rows, i = r % (size_t)a->rows;
    size_t at = g * a->kv_group_stride + i * a->kv_stride;
    size_t scale = g * a->scale_group_stride + i * (size_t)a->heads;
    const float *x = a->qkv + r * 3 * width, *k = x + width, *v = x + 2 * width;
    float *q = a->q + r * width;
    bool int8 = a->kv_type == VT_NUMBER_INT8;
    loops->sum(q, x, a->q_bias, width);
    if (!int8) put_head(kern, a, number_of(a->v, a->kv_type, at), NULL, v, a->v_bias, 1.0f, width);
    if (!int8 && !a->scale_mul)
        put_head(kern, a, number_of(a->k, a->kv_type, at), NULL, k, NULL, 1.0f, width);
    for (int h = 0; (int8 || a->scale_mul) && h < a->heads; ++h) {
        size_t from = (size_t)h * n, s = scale + (size_t)h;
        float by = 1.0f;
        if (a->scale_mul) {
            float q_by = h < MOST_HEADS ? scales->of[h] : qk_scale(a->scale_mul, h);
            loops->scale(q + from, q + from, unit_scale(loops, q + from, q_by, n), n);
            by = unit_scale(loops, k + from, 1.0f, n);
        }
        put_head(kern, a, number_of(a->k, a->kv_type, at + from), int8 ? a->k_scale + s : NULL,
                 k + from, NULL, by, n);
        if (int8)
            put_head(kern, a, number_of(a->v, a->kv_type, at + from), a->v_scale + s, v + from,
                     a->v_bias + from, 1.0f, n);
    }
}

typedef struct qkv_loop {
    const vt_qkv *args;
    head_scales scales;
} qkv_loop;

static void qkv_part(const vt_kern *kern, const void *args, vt_span span) {
    const qkv_loop *l = args;
    for (int64_t r = span.begin; r < span.end; ++r) qkv_row(kern, l->args, &l->scales, (size_t)r);
}

static void qkv_ragged_part(const vt_kern *kern, const void *args, vt_span span) {
    const qkv_loop *l = args;
    const vt_ragged *ragged = l->args->ragged;
    for (int64_t r = span.begin; r < span.end;) {
        const int g = vt_ragged_find(ragged, r);
        const vt_qkv one = vt_ragged_qkv(l->args, g);
        for (; r < span.end && r < ragged->begin[g + 1]; ++r)
            qkv_row(kern, &one, &l->scales, (size_t)(r - ragged->begin[g]));
    }
}

static void qkv_split(vt_kern *kern, const vt_qkv *a) {
    int64_t width = (int64_t)a->heads * a->head_dim, all = (int64_t)a->groups * a->rows;
    qkv_loop loop = {.args = a};
    for (int h = 0; a->scale_mul && h < a->heads && h < MOST_HEADS; ++h)
        loop.scales.of[h] = qk_scale(a->scale_mul, h);
    vt_cpu_split(kern, large(all, width), all, a->ragged ? qkv_ragged_part : qkv_part, &loop);
}

/* One third (0 q, 1 k, 2 v) of one head, all rows in order. */
static void qkv_part_dx(const vt_loops *loops, const vt_qkv_grad *a, int part, int head) {
    const vt_qkv *f = &a->forward;
    size_t head_dim = (size_t)f->head_dim, width = (size_t)f->heads * head_dim,
           at = (size_t)head * head_dim;
    size_t all = (size_t)f->groups * (size_t)f->rows;
    const float *from = (part == 0 ? a->dq : part == 1 ? a->dk : a->dv) + at;
    bool normed = f->scale_mul && part < 2;
    const float *bias = part == 0 ? f->q_bias + at : NULL;
    float s = normed && part == 0 ? qk_scale(f->scale_mul, head) : 1.0f;
    double dscale = 0;
    for (size_t r = 0; r < all; ++r) {
        size_t to = r * 3 * width + (size_t)part * width + at;
        if (normed)
            dscale +=
                loops->unit_dx(a->dqkv + to, from + r * width, f->qkv + to, bias, s, head_dim);
        else
            memcpy(a->dqkv + to, from + r * width, head_dim * sizeof(float));
    }
    if (normed && part == 0 && f->scale_mul[head] <= qk_most_log_scale)
        a->dscale_mul[head] += (float)(s * dscale);
}

/* A task is a third of a head. */
static void qkv_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_qkv_grad *a = args;
    const int heads = a->forward.heads;
    for (int i = (int)span.begin; i < span.end; ++i)
        qkv_part_dx(vt_cpu_loops(kern), a, i / heads, i % heads);
}

/* A task is a strip of the bias of q, then of v. */
static void qkv_bias_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_qkv_grad *a = args;
    const vt_qkv *f = &a->forward;
    const int64_t width = (int64_t)f->heads * f->head_dim, all = (int64_t)f->groups * f->rows;
    const int64_t per_part = vt_cpu_pieces(width, STRIP);
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t begin = i % per_part * STRIP;
        int count = (int)(width - begin < STRIP ? width - begin : STRIP);
        const float *from = a->dqkv + begin + (i < per_part ? 0 : 2 * width);
        float *to = (i < per_part ? a->dq_bias : a->dv_bias) + begin;
        double sums[STRIP] = {0};
        vt_cpu_loops(kern)->column_sums(sums, from, (size_t)(3 * width), (int)all, count);
        for (int c = 0; c < count; ++c) to[c] += (float)sums[c];
    }
}

static void qkv_split_dx(vt_kern *kern, const vt_qkv_grad *a) {
    const vt_qkv *f = &a->forward;
    const int64_t width = (int64_t)f->heads * f->head_dim;
    const bool worth = large((int64_t)f->groups * f->rows, width);
    vt_cpu_split(kern, worth, 3 * (int64_t)f->heads, qkv_dx_part, a);
    vt_cpu_split(kern, worth, 2 * vt_cpu_pieces(width, STRIP), qkv_bias_part, a);
}

/* kl of row r from its teacher's; with dx, the row's gradient but for the target's share. */
static float teach_row(const vt_loops *loops, const vt_cross_entropy *a, int64_t r,
                       const vt_loops_row *row, float *dx) {
    const float *teacher = a->teacher + r * a->vocab;
    const float pull = a->pull[r];
    vt_loops_row t;
    loops->logits(teacher, a->vocab, 0, &t);
    const vt_loops_teach at = {
        .dx = dx,
        .x = a->logits + r * a->vocab,
        .t = teacher,
        .x_max = row->max,
        .t_max = t.max,
        .t_by = 1 / t.sum_exp,
        .a = a->weight * (1 + pull) / row->sum_exp,
        .b = (float)(-a->weight * ((double)a->smoothing / a->vocab)),
        .c = a->weight * pull,
    };
    double kl =
        (double)loops->teach(&at, a->vocab) + log((double)row->sum_exp) - log((double)t.sum_exp);
    return kl > 0 ? (float)kl : 0.0f;
}

static void cross_entropy_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_cross_entropy *a = args;
    const vt_loops *loops = vt_cpu_loops(kern);
    const float rest = (float)(1 - (double)a->smoothing);
    const double even = (double)a->smoothing / a->vocab;
    for (int64_t r = span.begin; r < span.end; ++r) {
        const float *x = a->logits + r * a->vocab;
        int target = a->targets[r];
        vt_loops_row row;
        loops->logits(x, a->vocab, target, &row);
        double log_sum = log((double)row.sum_exp);
        double loss = rest * (log_sum - ((double)x[target] - row.max));
        if (a->smoothing > 0) loss += a->smoothing * log_sum - even * row.sum_shift;
        if (a->loss) a->loss[r] = (float)loss;
        if (a->hit) a->hit[r] = row.hit;
        float *dx = a->dlogits ? a->dlogits + r * a->vocab : NULL;
        bool taught = a->teacher && a->pull[r] > 0;
        float kl = 0;
        if (taught) kl = teach_row(loops, a, r, &row, dx);
        if (a->kl) a->kl[r] = kl;
        if (!dx) continue;
        if (!taught)
            loops->logits_dx(dx, x, row.max, a->weight / row.sum_exp, (float)(-a->weight * even),
                             a->vocab);
        dx[target] -= a->weight * rest;
    }
}

static void cross_entropy(vt_kern *kern, const vt_cross_entropy *a) {
    vt_cpu_split(kern, large(a->rows, a->vocab), a->rows, cross_entropy_part, a);
}

void vt_cpu_fill_transformer(vt_kern *kern) {
    kern->norm_modulate = norm_modulate;
    kern->norm_modulate_dx = norm_modulate_dx;
    kern->gate_add = gate_add;
    kern->gate_add_dx = gate_add_dx;
    kern->qkv_split = qkv_split;
    kern->qkv_split_dx = qkv_split_dx;
    kern->cross_entropy = cross_entropy;
}

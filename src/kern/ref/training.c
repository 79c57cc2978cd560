/* training.c - operations of training with bf16 products, each number one sum in double of operands
 * rounded to bf16. */
#include "kern/number.h"
#include "kern/ref/ref.h"
#include "kern/ref/weight.h"

#include <math.h>
#include <string.h>

static float number_at(const void *from, vt_number type, size_t i) {
    return type == VT_NUMBER_BF16 ? vt_from_bf16(((const vt_bf16 *)from)[i])
                                  : ((const float *)from)[i];
}

static void weights_refresh(vt_kern *kern, vt_weight *const *weights, int count) {
    for (int i = 0; i < count; ++i)
        if (weights[i]) kern->weight_refresh(kern, weights[i]);
}

/* ---- products ---- */

static size_t product_grad_workspace(const vt_kern *kern, const vt_product_grad *a) {
    (void)kern;
    (void)a;
    return 0;
}

static double gelu_gate(double x) {
    return 0.5 * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
}

static double gelu_slope(double x) {
    double s = gelu_gate(x), du = 2 * 0.7978845608028654 * (1 + 3 * 0.044715 * x * x);
    return s + x * s * (1 - s) * du;
}

static void product_dx(vt_kern *kern, const vt_product_grad *a) {
    (void)kern;
    const vt_weight *w = a->w;
    size_t n = (size_t)w->n, k = (size_t)w->k, all = (size_t)a->groups * (size_t)a->rows;
    for (size_t r = 0; r < all; ++r)
        for (size_t i = 0; i < k; ++i) {
            size_t at = r * k + i;
            double sum = a->accumulate ? ((float *)a->dx)[at] : 0.0;
            for (size_t j = 0; j < n; ++j) {
                float dy = number_at(a->dy, a->dy_type, r * n + j);
                sum += (double)(w->numbers ? vt_round_bf16(dy) : dy) * w->w[j * k + i];
            }
            if (a->gelu_of) {
                double x = vt_from_bf16(((const vt_bf16 *)a->gelu_of)[at]);
                sum *= gelu_slope(x);
                if (a->gelu) ((vt_bf16 *)a->gelu)[at] = vt_to_bf16((float)(x * gelu_gate(x)));
            }
            if (a->dx_type == VT_NUMBER_BF16)
                ((vt_bf16 *)a->dx)[at] = vt_to_bf16((float)sum);
            else
                ((float *)a->dx)[at] = (float)sum;
        }
}

static void product_dw(vt_kern *kern, const vt_product_grad *a) {
    (void)kern;
    size_t n = (size_t)a->w->n, k = (size_t)a->w->k, all = (size_t)a->groups * (size_t)a->rows;
    bool exact = a->w->spec.type == VT_NUMBER_F32;
    for (size_t j = 0; j < n; ++j) {
        for (size_t i = 0; i < k; ++i) {
            double sum = a->dw[j * k + i];
            for (size_t r = 0; r < all; ++r) {
                float dy = number_at(a->dy, a->dy_type, r * n + j);
                float x = number_at(a->x, a->x_type, r * k + i);
                sum += exact ? (double)dy * x : (double)vt_round_bf16(dy) * vt_round_bf16(x);
            }
            a->dw[j * k + i] = (float)sum;
        }
        double sum = a->db ? a->db[j] : 0.0;
        for (size_t r = 0; r < all; ++r) sum += number_at(a->dy, a->dy_type, r * n + j);
        if (a->db) a->db[j] = (float)sum;
    }
}

static void gelu_bf16(vt_kern *kern, void *act, const void *pre, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) {
        double x = vt_from_bf16(((const vt_bf16 *)pre)[i]);
        ((vt_bf16 *)act)[i] = vt_to_bf16((float)(x * gelu_gate(x)));
    }
}

/* ---- the residual stream ---- */

static void residual(vt_kern *kern, const vt_residual *a) {
    (void)kern;
    size_t width = (size_t)a->width, all = (size_t)a->groups * (size_t)a->rows;
    for (size_t r = 0; r < all; ++r) {
        size_t at = r * width, mod = r / (size_t)a->rows * a->mod_stride;
        double mean = 0, square = 0;
        for (size_t c = 0; c < width; ++c) {
            float sum = a->x[at + c];
            if (a->h) {
                float h = vt_from_bf16(((const vt_bf16 *)a->h)[at + c]);
                sum = (float)(sum + (double)a->gamma[mod + c] * h);
            }
            if (a->sum) a->sum[at + c] = sum;
            mean += sum;
        }
        if (!a->y) continue;
        const float *sum = a->sum ? a->sum : a->x;
        mean /= (double)width;
        for (size_t c = 0; c < width; ++c) square += (sum[at + c] - mean) * (sum[at + c] - mean);
        double rstd = 1 / sqrt(square / (double)width + a->eps);
        for (size_t c = 0; c < width; ++c)
            ((vt_bf16 *)a->y)[at + c] =
                vt_to_bf16((float)((sum[at + c] - mean) * rstd * (1 + (double)a->scale[mod + c]) +
                                   a->shift[mod + c]));
        a->mean[r] = (float)mean;
        a->rstd[r] = (float)rstd;
    }
}

/* dx += gradient through the norm of row r */
static void row_norm_dx(const vt_residual_grad *a, size_t r) {
    size_t width = (size_t)a->width, at = r * width, mod = r / (size_t)a->rows * a->mod_stride;
    double mean = 0, slope = 0, rstd = a->rstd[r];
    for (int pass = 0; pass < 2; ++pass) {
        for (size_t c = 0; c < width; ++c) {
            double hat = ((double)a->x[at + c] - a->mean[r]) * rstd;
            double dy = vt_from_bf16(((const vt_bf16 *)a->dy)[at + c]);
            double grad = dy * (1 + (double)a->scale[mod + c]);
            if (pass == 0) {
                mean += grad / (double)width;
                slope += grad * hat / (double)width;
                a->dscale[mod + c] += (float)(dy * hat);
                a->dshift[mod + c] += (float)dy;
            } else {
                a->dx[at + c] = (float)(a->dx[at + c] + rstd * (grad - mean - hat * slope));
            }
        }
    }
}

static void residual_dx(vt_kern *kern, const vt_residual_grad *a) {
    (void)kern;
    size_t width = (size_t)a->width, all = (size_t)a->groups * (size_t)a->rows;
    for (size_t r = 0; r < all; ++r) {
        size_t at = r * width, mod = r / (size_t)a->rows * a->mod_stride;
        if (a->dy) row_norm_dx(a, r);
        for (size_t c = 0; a->h && c < width; ++c) {
            float h = vt_from_bf16(((const vt_bf16 *)a->h)[at + c]);
            ((vt_bf16 *)a->dh)[at + c] = vt_to_bf16(a->gamma[mod + c] * a->dx[at + c]);
            a->dgamma[mod + c] += a->dx[at + c] * h;
        }
    }
}

/* ---- attention ---- */

/* One head of one sample; s, p and dp are found anew for each query. */
typedef struct head {
    const vt_attend *a;
    size_t group, head, width, dim;
    const vt_bf16 *qkv; /* its q in row 0 */
    double *p, *dp;     /* (rows) */
    float *k;           /* (rows, dim) rounded */
    double *dk, *dv;    /* (rows, dim) */
    double *dq;         /* (dim) of one query */
    float *q;           /* (dim) */
} head;

static size_t head_doubles(const vt_attend *a) {
    size_t rows = (size_t)a->rows, dim = (size_t)a->head_dim;
    return 2 * rows + 2 * rows * dim + dim + (rows * dim + dim + 1) / 2;
}

static size_t attend_workspace(const vt_kern *kern, const vt_attend *a) {
    (void)kern;
    return head_doubles(a) * sizeof(double) + 64;
}

static double head_q_scale(const vt_attend *a, size_t h) {
    return a->scale_mul ? exp(fmin((double)a->scale_mul[h], log(100.0))) : 1.0;
}

/* u of row r (part 0: q, 1: k), its length into *length; out = scaled, rounded. */
static void head_row(const head *t, int part, size_t r, float *out, double *length) {
    const vt_attend *a = t->a;
    const vt_bf16 *u = t->qkv + r * 3 * t->width + (size_t)part * t->width;
    double square = 0, by = part == 0 ? head_q_scale(a, t->head) : 1.0;
    for (int pass = 0; pass < 2; ++pass)
        for (size_t c = 0; c < t->dim; ++c) {
            double x = vt_from_bf16(u[c]);
            if (part == 0) x += a->q_bias[t->head * t->dim + c];
            if (pass == 0) square += x * x;
            if (pass == 1) {
                double scaled = a->scale_mul ? x * by / fmax(sqrt(square), 1e-12) : x * by;
                out[c] = vt_round_bf16((float)scaled);
            }
        }
    *length = sqrt(square);
}

static void head_open(head *t, const vt_attend *a, size_t group, size_t h) {
    size_t rows = (size_t)a->rows, dim = (size_t)a->head_dim;
    char *at = a->workspace;
    double length, *room = (double *)(void *)(at + (64 - (uintptr_t)at % 64) % 64);
    *t = (head){.a = a, .group = group, .head = h, .dim = dim, .width = (size_t)a->heads * dim};
    t->qkv = (const vt_bf16 *)a->qkv + group * rows * 3 * t->width + h * dim;
    t->p = room;
    t->dp = t->p + rows;
    t->dk = t->dp + rows;
    t->dv = t->dk + rows * dim;
    t->dq = t->dv + rows * dim;
    t->k = (float *)(t->dq + dim);
    t->q = t->k + rows * dim;
    for (size_t r = 0; r < rows; ++r) head_row(t, 1, r, t->k + r * dim, &length);
}

static size_t keys_of(const vt_attend *a, size_t row) {
    int s = 0;
    while (s + 1 < a->segments && row >= (size_t)a->ends[s]) ++s;
    return (size_t)a->ends[s];
}

/* Softmax of row r into p; returns log2 of the sum of e^score. */
static double head_softmax(const head *t, size_t r) {
    size_t keys = keys_of(t->a, r);
    double most = -INFINITY, sum = 0;
    for (size_t j = 0; j < keys; ++j) {
        double dot = 0;
        for (size_t c = 0; c < t->dim; ++c) dot += (double)t->q[c] * t->k[j * t->dim + c];
        t->p[j] = dot * t->a->scale;
        most = fmax(most, t->p[j]);
    }
    for (size_t j = 0; j < keys; ++j) sum += t->p[j] = exp(t->p[j] - most);
    for (size_t j = 0; j < keys; ++j) t->p[j] /= sum;
    return (most + log(sum)) / log(2.0);
}

static float v_at(const head *t, size_t row, size_t c) {
    return vt_from_bf16(t->qkv[row * 3 * t->width + 2 * t->width + c]);
}

static void attend(vt_kern *kern, const vt_attend *a) {
    (void)kern;
    for (size_t i = 0; i < (size_t)a->groups * (size_t)a->heads; ++i) {
        head t;
        head_open(&t, a, i / (size_t)a->heads, i % (size_t)a->heads);
        for (size_t r = 0; r < (size_t)a->rows; ++r) {
            double length;
            head_row(&t, 0, r, t.q, &length);
            a->log_sum[i * (size_t)a->rows + r] = (float)head_softmax(&t, r);
            for (size_t c = 0; c < t.dim; ++c) {
                double sum = a->v_bias[t.head * t.dim + c];
                for (size_t j = 0; j < keys_of(a, r); ++j) sum += t.p[j] * v_at(&t, j, c);
                ((vt_bf16 *)
                     a->out)[(t.group * (size_t)a->rows + r) * t.width + t.head * t.dim + c] =
                    vt_to_bf16((float)sum);
            }
        }
    }
}

/* Through the norm of row r of part 0 (q) or 1 (k): d (dim) to dqkv; returns d . u / |u|. */
static double head_row_dx(const head *t, int part, size_t r, const double *d, vt_bf16 *dqkv,
                          float *dbias) {
    const vt_attend *a = t->a;
    const vt_bf16 *u = t->qkv + r * 3 * t->width + (size_t)part * t->width;
    double square = 0, dot = 0, by = part == 0 ? head_q_scale(a, t->head) : 1.0, back = 0;
    for (size_t c = 0; c < t->dim; ++c) {
        double x = vt_from_bf16(u[c]);
        if (part == 0) x += a->q_bias[t->head * t->dim + c];
        square += x * x;
        dot += x * d[c];
    }
    double length = sqrt(square), along = dot / fmax(length, 1e-12);
    if (a->scale_mul) {
        by /= fmax(length, 1e-12);
        if (length >= 1e-12) back = along / length;
    }
    for (size_t c = 0; c < t->dim; ++c) {
        double x = vt_from_bf16(u[c]);
        if (part == 0) x += a->q_bias[t->head * t->dim + c];
        double value = by * (d[c] - x * back);
        dqkv[r * 3 * t->width + (size_t)part * t->width + c] = vt_to_bf16((float)value);
        if (dbias) dbias[c] += (float)value;
    }
    return along;
}

/* dk and dv +=, dq of row r. */
static void head_query_dx(const head *t, size_t r, const vt_bf16 *dout) {
    size_t keys = keys_of(t->a, r), dim = t->dim;
    double mean = 0;
    (void)head_softmax(t, r);
    for (size_t j = 0; j < keys; ++j) {
        t->dp[j] = 0;
        for (size_t c = 0; c < dim; ++c) t->dp[j] += (double)vt_from_bf16(dout[c]) * v_at(t, j, c);
        mean += t->p[j] * t->dp[j];
    }
    for (size_t c = 0; c < dim; ++c) t->dq[c] = 0;
    for (size_t j = 0; j < keys; ++j) {
        double ds = t->p[j] * (t->dp[j] - mean) * t->a->scale;
        for (size_t c = 0; c < dim; ++c) {
            t->dq[c] += ds * t->k[j * dim + c];
            t->dk[j * dim + c] += ds * t->q[c];
            t->dv[j * dim + c] += t->p[j] * vt_from_bf16(dout[c]);
        }
    }
}

static void attend_dx(vt_kern *kern, const vt_attend_grad *grad) {
    (void)kern;
    const vt_attend *a = &grad->forward;
    double length;
    for (size_t i = 0; i < (size_t)a->groups * (size_t)a->heads; ++i) {
        head t;
        head_open(&t, a, i / (size_t)a->heads, i % (size_t)a->heads);
        size_t rows = (size_t)a->rows, at = t.head * t.dim, first = t.group * rows;
        const vt_bf16 *dout = (const vt_bf16 *)grad->dout + first * t.width + at;
        vt_bf16 *dqkv = (vt_bf16 *)grad->dqkv + first * 3 * t.width + at;
        double along = 0;
        memset(t.dk, 0, 2 * rows * t.dim * sizeof(double));
        for (size_t r = 0; r < rows; ++r) {
            head_row(&t, 0, r, t.q, &length);
            head_query_dx(&t, r, dout + r * t.width);
            along += head_row_dx(&t, 0, r, t.dq, dqkv, grad->dq_bias + at);
            for (size_t c = 0; c < t.dim; ++c)
                grad->dv_bias[at + c] += vt_from_bf16(dout[r * t.width + c]);
        }
        for (size_t r = 0; r < rows; ++r) {
            (void)head_row_dx(&t, 1, r, t.dk + r * t.dim, dqkv, NULL);
            for (size_t c = 0; c < t.dim; ++c)
                dqkv[r * 3 * t.width + 2 * t.width + c] = vt_to_bf16((float)t.dv[r * t.dim + c]);
        }
        if (a->scale_mul && (double)a->scale_mul[t.head] <= log(100.0))
            grad->dscale_mul[t.head] += (float)(head_q_scale(a, t.head) * along);
    }
}

void vt_ref_fill_training(vt_kern *kern) {
    kern->weights_refresh = weights_refresh;
    kern->product_grad_workspace = product_grad_workspace;
    kern->product_dx = product_dx;
    kern->product_dw = product_dw;
    kern->gelu_bf16 = gelu_bf16;
    kern->residual = residual;
    kern->residual_dx = residual_dx;
    kern->attend_workspace = attend_workspace;
    kern->attend_grad_workspace = attend_workspace;
    kern->attend = attend;
    kern->attend_dx = attend_dx;
}

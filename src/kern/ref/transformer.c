/* transformer.c - norm with modulation, gates, the q/k/v split, block-causal attention and the
 * loss, each with its backward right after it. */
#include "kern/number.h"
#include "kern/ragged.h"
#include "kern/ref/ref.h"

#include <math.h>

/* Number i of an array of F32, BF16 or INT8 (its scale left out). */
static double number_at(const void *numbers, vt_number type, size_t i) {
    if (type == VT_NUMBER_BF16) return vt_from_bf16(((const vt_bf16 *)numbers)[i]);
    if (type == VT_NUMBER_INT8) return ((const int8_t *)numbers)[i];
    return ((const float *)numbers)[i];
}

static void number_put(void *numbers, vt_number type, size_t i, double value) {
    if (type == VT_NUMBER_BF16)
        ((vt_bf16 *)numbers)[i] = vt_to_bf16((float)value);
    else
        ((float *)numbers)[i] = (float)value;
}

/* Row `from` of x, normalised, to row `to` of y. */
static void norm_row(const vt_norm_modulate *a, size_t from, size_t to, const float *scale,
                     const float *shift) {
    size_t width = (size_t)a->width;
    const float *x = a->x + from * width;
    double mean = 0, square = 0;
    for (size_t c = 0; c < width; ++c) mean += x[c];
    mean /= a->width;
    for (size_t c = 0; c < width; ++c) square += (x[c] - mean) * (x[c] - mean);
    double rstd = 1 / sqrt(square / a->width + a->eps);
    for (size_t c = 0; c < width; ++c)
        number_put(a->y, a->y_type, to * width + c,
                   (x[c] - mean) * rstd * (1.0 + scale[c]) + shift[c]);
    if (a->mean) a->mean[to] = (float)mean;
    if (a->rstd) a->rstd[to] = (float)rstd;
}

static void norm_modulate(vt_kern *kern, const vt_norm_modulate *a) {
    (void)kern;
    for (int r = 0; a->ragged && r < a->rows; ++r) {
        int g = vt_ragged_find(a->ragged, r);
        const float *mod = a->ragged->mod[g];
        norm_row(a, (size_t)(a->ragged->at[g] + r - a->ragged->begin[g]), (size_t)r,
                 mod + a->scale_at, mod + a->shift_at);
    }
    for (int r = 0; !a->ragged && r < a->groups * a->rows; ++r) {
        size_t mod = (size_t)(r / a->rows) * a->mod_stride;
        norm_row(a, (size_t)r, (size_t)r, a->scale + mod, a->shift + mod);
    }
}

/* With g = dy (1 + scale): dx += rstd (g - mean(g) - xhat mean(g xhat)). */
static void norm_modulate_dx(vt_kern *kern, const vt_norm_modulate_grad *a) {
    (void)kern;
    const vt_norm_modulate *f = &a->forward;
    size_t width = (size_t)f->width;
    for (int g = 0; g < f->groups; ++g) {
        size_t mod = (size_t)g * f->mod_stride;
        const float *scale = f->scale + mod;
        for (int i = 0; i < f->rows; ++i) {
            size_t r = (size_t)g * (size_t)f->rows + (size_t)i;
            const float *x = f->x + r * width, *dy = a->dy + r * width;
            float *dx = a->dx + r * width;
            double mean = f->mean[r], rstd = f->rstd[r], sum = 0, sum_hat = 0;
            for (size_t c = 0; c < width; ++c) {
                double grad = dy[c] * (1.0 + scale[c]);
                sum += grad;
                sum_hat += grad * (x[c] - mean) * rstd;
            }
            sum /= f->width;
            sum_hat /= f->width;
            for (size_t c = 0; c < width; ++c) {
                double hat = (x[c] - mean) * rstd;
                dx[c] += (float)(rstd * (dy[c] * (1.0 + scale[c]) - sum - hat * sum_hat));
            }
        }
        for (size_t c = 0; c < width; ++c) {
            double dscale = a->dscale[mod + c], dshift = a->dshift[mod + c];
            for (int i = 0; i < f->rows; ++i) {
                size_t r = (size_t)g * (size_t)f->rows + (size_t)i;
                double dy = a->dy[r * width + c];
                dscale += dy * ((double)f->x[r * width + c] - f->mean[r]) * f->rstd[r];
                dshift += dy;
            }
            a->dscale[mod + c] = (float)dscale;
            a->dshift[mod + c] = (float)dshift;
        }
    }
}

static void gate_add(vt_kern *kern, float *x, const float *h, const float *gamma, size_t mod_stride,
                     int groups, int rows, int width) {
    (void)kern;
    size_t n = (size_t)width;
    for (int g = 0; g < groups; ++g) {
        const float *gate = gamma + (size_t)g * mod_stride;
        for (int i = 0; i < rows; ++i) {
            size_t at = ((size_t)g * (size_t)rows + (size_t)i) * n;
            for (size_t c = 0; c < n; ++c)
                x[at + c] = (float)(x[at + c] + (double)gate[c] * h[at + c]);
        }
    }
}

static void gate_add_dx(vt_kern *kern, float *dh, float *dgamma, const float *dx, const float *h,
                        const float *gamma, size_t mod_stride, int groups, int rows, int width) {
    (void)kern;
    size_t n = (size_t)width;
    for (int g = 0; g < groups; ++g) {
        size_t mod = (size_t)g * mod_stride;
        for (size_t c = 0; c < n; ++c) {
            double sum = dgamma[mod + c];
            for (int i = 0; i < rows; ++i) {
                size_t at = ((size_t)g * (size_t)rows + (size_t)i) * n + c;
                sum += (double)dx[at] * h[at];
                dh[at] = gamma[mod + c] * dx[at];
            }
            dgamma[mod + c] = (float)sum;
        }
    }
}

static const double qk_least_norm = 1e-12;
static const double qk_most_log_scale = 4.605170185988092; /* ln 100 */

static double head_norm(const float *x, const float *bias, size_t n) {
    double sum = 0;
    for (size_t d = 0; d < n; ++d) {
        double u = (double)x[d] + (bias ? bias[d] : 0.0f);
        sum += u * u;
    }
    return sqrt(sum);
}

/* One head of one row of the cache: numbers (x + bias) by, `at` of them before it; INT8: its scale
 * goes to scales[scale_at]. */
static void put_head(const vt_qkv *a, void *to, float *scales, size_t scale_at, size_t at,
                     const float *x, const float *bias, double by) {
    size_t head_dim = (size_t)a->head_dim;
    float most = 0;
    bool finite = true;
    for (size_t d = 0; d < head_dim; ++d) {
        float size = fabsf((float)(((double)x[d] + (bias ? bias[d] : 0.0f)) * by));
        finite = finite && isfinite(size);
        most = fmaxf(most, size);
    }
    float scale = finite ? most / 127.0f : NAN;
    if (a->kv_type == VT_NUMBER_INT8) scales[scale_at] = scale;
    for (size_t d = 0; d < head_dim; ++d) {
        float value = (float)(((double)x[d] + (bias ? bias[d] : 0.0f)) * by);
        if (a->kv_type == VT_NUMBER_INT8)
            ((int8_t *)to)[at + d] = (int8_t)(most > 0 && finite ? rintf(value / scale) : 0.0f);
        else
            number_put(to, a->kv_type, at + d, value);
    }
}

static void qkv_split(vt_kern *kern, const vt_qkv *a) {
    for (int g = 0; a->ragged && g < a->ragged->groups; ++g) {
        const vt_qkv one = vt_ragged_qkv(a, g);
        qkv_split(kern, &one);
    }
    if (a->ragged) return;
    size_t head_dim = (size_t)a->head_dim, width = (size_t)a->heads * head_dim;
    for (int g = 0; g < a->groups; ++g) {
        for (int i = 0; i < a->rows; ++i) {
            size_t r = (size_t)g * (size_t)a->rows + (size_t)i;
            size_t kv = (size_t)g * a->kv_group_stride + (size_t)i * a->kv_stride;
            for (size_t h = 0; h < (size_t)a->heads; ++h) {
                size_t at = h * head_dim;
                size_t scale = (size_t)g * a->scale_group_stride + (size_t)i * (size_t)a->heads + h;
                const float *x = a->qkv + r * 3 * width + at;
                double q_scale = 1, k_scale = 1;
                if (a->scale_mul) {
                    q_scale = exp(fmin(a->scale_mul[h], qk_most_log_scale));
                    q_scale /= fmax(head_norm(x, a->q_bias + at, head_dim), qk_least_norm);
                    k_scale = 1 / fmax(head_norm(x + width, NULL, head_dim), qk_least_norm);
                }
                for (size_t d = 0; d < head_dim; ++d)
                    a->q[r * width + at + d] =
                        (float)(((double)x[d] + a->q_bias[at + d]) * q_scale);
                put_head(a, a->k, a->k_scale, scale, kv + at, x + width, NULL, k_scale);
                put_head(a, a->v, a->v_scale, scale, kv + at, x + 2 * width, a->v_bias + at, 1);
            }
        }
    }
}

/* Backward of y = s u / max(|u|, least), u = x + bias, for one head of one row: writes du, returns
 * dy . uhat. */
static double unit_dx(float *du, const float *dy, const float *x, const float *bias, double s,
                      size_t n) {
    double length = head_norm(x, bias, n), norm = fmax(length, qk_least_norm), dot = 0;
    for (size_t d = 0; d < n; ++d) dot += dy[d] * ((double)x[d] + (bias ? bias[d] : 0.0f)) / norm;
    double along =
        length >= qk_least_norm ? dot : 0; /* below the floor the divisor is a constant */
    for (size_t d = 0; d < n; ++d) {
        double hat = ((double)x[d] + (bias ? bias[d] : 0.0f)) / norm;
        du[d] = (float)(s * (dy[d] - hat * along) / norm);
    }
    return dot;
}

static void qkv_split_dx(vt_kern *kern, const vt_qkv_grad *a) {
    (void)kern;
    const vt_qkv *f = &a->forward;
    size_t head_dim = (size_t)f->head_dim, width = (size_t)f->heads * head_dim;
    size_t all = (size_t)f->groups * (size_t)f->rows;
    for (size_t h = 0; h < (size_t)f->heads; ++h) {
        size_t at = h * head_dim;
        double s = f->scale_mul ? exp(fmin(f->scale_mul[h], qk_most_log_scale)) : 1, dscale = 0;
        for (size_t r = 0; r < all; ++r) {
            const float *x = f->qkv + r * 3 * width + at;
            const float *dq = a->dq + r * width + at, *dk = a->dk + r * width + at,
                        *dv = a->dv + r * width + at;
            float *dqkv = a->dqkv + r * 3 * width + at;
            if (f->scale_mul) {
                dscale += unit_dx(dqkv, dq, x, f->q_bias + at, s, head_dim);
                unit_dx(dqkv + width, dk, x + width, NULL, 1, head_dim);
            }
            for (size_t d = 0; d < head_dim; ++d) {
                if (!f->scale_mul) dqkv[d] = dq[d];
                if (!f->scale_mul) dqkv[width + d] = dk[d];
                dqkv[2 * width + d] = dv[d];
            }
        }
        for (size_t c = at; c < at + head_dim; ++c) {
            double q_sum = a->dq_bias[c], v_sum = a->dv_bias[c];
            for (size_t r = 0; r < all; ++r) q_sum += a->dqkv[r * 3 * width + c];
            for (size_t r = 0; r < all; ++r) v_sum += a->dqkv[r * 3 * width + 2 * width + c];
            a->dq_bias[c] = (float)q_sum;
            a->dv_bias[c] = (float)v_sum;
        }
        if (f->scale_mul && f->scale_mul[h] <= qk_most_log_scale)
            a->dscale_mul[h] += (float)(s * dscale);
    }
}

static size_t most_keys(const vt_attention *a) {
    if (a->ragged) return (size_t)vt_ragged_keys(a->ragged);
    int most = 0;
    for (int s = 0; s < a->segments; ++s) most = a->k_end[s] > most ? a->k_end[s] : most;
    return (size_t)most;
}

static size_t attention_workspace(const vt_kern *kern, const vt_attention *a) {
    (void)kern;
    return most_keys(a) * sizeof(float);
}

static size_t attention_grad_workspace(const vt_kern *kern, const vt_attention *a) {
    (void)kern;
    return most_keys(a) * sizeof(float);
}

/* p[0..keys) = softmax(scale q . k). */
static void probabilities(const vt_attention *a, float *p, const float *q, const float *k,
                          int keys) {
    double most = -INFINITY, sum = 0;
    for (int j = 0; j < keys; ++j) {
        double dot = 0;
        for (int d = 0; d < a->head_dim; ++d)
            dot += (double)q[d] * k[(size_t)j * a->kv_stride + (size_t)d];
        p[j] = (float)(dot * a->scale);
        most = fmax(most, p[j]);
    }
    for (int j = 0; j < keys; ++j) sum += exp(p[j] - most);
    for (int j = 0; j < keys; ++j) p[j] = (float)(exp(p[j] - most) / sum);
}

/* The same with rounded numbers: p[j] = round(exp2(score log2 e - M) * v's scale), where M is the
 * largest exponent rounded up to a whole number; returns the sum of the powers, by which the result
 * is to be divided. Powers of two do not touch rounding: any other whole M gives the same. */
static double rounded_powers(const vt_attention *a, float *p, const float *q, size_t kv,
                             size_t scales, int keys) {
    const double log2_e = 1.4426950408889634;
    double most = -INFINITY, sum = 0;
    bool scaled = a->kv_type == VT_NUMBER_INT8;
    for (size_t j = 0; j < (size_t)keys; ++j) {
        double dot = 0;
        for (size_t d = 0; d < (size_t)a->head_dim; ++d)
            dot += vt_round_bf16(q[d]) * number_at(a->k, a->kv_type, kv + j * a->kv_stride + d);
        if (scaled) dot *= a->k_scale[scales + j * (size_t)a->heads];
        p[j] = (float)(dot * a->scale);
        most = fmax(most, p[j]);
    }
    most = ceil(most * log2_e);
    for (size_t j = 0; j < (size_t)keys; ++j) {
        double power = exp2(p[j] * log2_e - most);
        sum += power;
        if (scaled) power *= a->v_scale[scales + j * (size_t)a->heads];
        p[j] = vt_round_bf16((float)power);
    }
    return sum;
}

static void attention_row(const vt_attention *a, size_t g, size_t h, size_t i, int keys) {
    size_t at = h * (size_t)a->head_dim, kv = g * a->kv_group_stride + at;
    size_t scales = g * a->scale_group_stride + h;
    const float *q = a->q + g * a->q_group_stride + i * a->q_stride + at;
    float *p = a->workspace;
    double divisor = 1;
    if (a->kv_type == VT_NUMBER_F32)
        probabilities(a, p, q, (const float *)a->k + kv, keys);
    else
        divisor = rounded_powers(a, p, q, kv, scales, keys);
    for (size_t d = 0; d < (size_t)a->head_dim; ++d) {
        double sum = 0;
        for (size_t j = 0; j < (size_t)keys; ++j)
            sum += p[j] * number_at(a->v, a->kv_type, kv + j * a->kv_stride + d);
        number_put(a->out, a->out_type, g * a->out_group_stride + i * a->out_stride + at + d,
                   keys > 0 ? sum / divisor : 0);
    }
}

static void attention(vt_kern *kern, const vt_attention *a) {
    for (int g = 0; a->ragged && g < a->ragged->groups; ++g) {
        int q_end, k_end;
        const vt_attention one = vt_ragged_attention(a, g, &q_end, &k_end);
        attention(kern, &one);
    }
    if (a->ragged) return;
    for (int task = 0; task < a->groups * a->heads; ++task) {
        size_t g = (size_t)(task / a->heads), h = (size_t)(task % a->heads);
        for (int s = 0, i = 0; s < a->segments; ++s)
            for (; i < a->q_end[s]; ++i) attention_row(a, g, h, (size_t)i, a->k_end[s]);
    }
}

/* One query row: with dp = dout . v and ds = p (dp - dout . out) scale, dq = ds k, dk += ds q, dv
 * += p dout. */
static void attention_row_dx(const vt_attention_grad *a, size_t g, size_t at, size_t i, int keys) {
    const vt_attention *f = &a->forward;
    size_t head_dim = (size_t)f->head_dim, kv = g * f->kv_group_stride + at;
    size_t q_at = g * f->q_group_stride + i * f->q_stride + at;
    const float *q = f->q + q_at;
    const float *dout = a->dout + g * f->out_group_stride + i * f->out_stride + at;
    const float *out = (const float *)f->out + g * f->out_group_stride + i * f->out_stride + at;
    const float *k = (const float *)f->k, *v = (const float *)f->v;
    float *p = f->workspace;
    probabilities(f, p, q, k + kv, keys);
    double mean = 0;
    for (size_t d = 0; d < head_dim; ++d) mean += (double)dout[d] * out[d];
    for (size_t j = 0; j < (size_t)keys; ++j) {
        size_t row = kv + j * f->kv_stride;
        double dp = 0;
        for (size_t d = 0; d < head_dim; ++d) dp += (double)dout[d] * v[row + d];
        double ds = p[j] * (dp - mean) * f->scale;
        for (size_t d = 0; d < head_dim; ++d) {
            a->dv[row + d] += p[j] * dout[d];
            a->dk[row + d] += (float)(ds * q[d]);
        }
        p[j] = (float)ds;
    }
    for (size_t d = 0; d < head_dim; ++d) {
        double sum = 0;
        for (size_t j = 0; j < (size_t)keys; ++j)
            sum += (double)p[j] * k[kv + j * f->kv_stride + d];
        a->dq[q_at + d] = (float)sum;
    }
}

static void attention_dx(vt_kern *kern, const vt_attention_grad *a) {
    (void)kern;
    const vt_attention *f = &a->forward;
    size_t last = f->segments > 0 ? (size_t)f->k_end[f->segments - 1] : 0;
    for (int task = 0; task < f->groups * f->heads; ++task) {
        size_t g = (size_t)(task / f->heads), at = (size_t)(task % f->heads) * (size_t)f->head_dim;
        for (size_t j = 0; j < last; ++j) {
            size_t row = g * f->kv_group_stride + j * f->kv_stride + at;
            for (size_t d = 0; d < (size_t)f->head_dim; ++d) a->dk[row + d] = a->dv[row + d] = 0;
        }
        for (int s = 0, i = 0; s < f->segments; ++s) {
            for (; i < f->q_end[s]; ++i) attention_row_dx(a, g, at, (size_t)i, f->k_end[s]);
        }
    }
}

/* Largest of a row, and the logarithm of the sum of its exponentials over it. */
static void log_sum_exp(const float *x, int vocab, double *most, double *log_sum) {
    double sum = 0;
    *most = x[0];
    for (int j = 1; j < vocab; ++j) *most = x[j] > *most ? x[j] : *most;
    for (int j = 0; j < vocab; ++j) sum += exp(x[j] - *most);
    *log_sum = log(sum);
}

static void cross_entropy(vt_kern *kern, const vt_cross_entropy *a) {
    (void)kern;
    for (size_t r = 0; r < (size_t)a->rows; ++r) {
        const float *x = a->logits + r * (size_t)a->vocab;
        int target = a->targets[r], best = 0;
        double sum_exp = 0, sum_shift = 0;
        for (int j = 1; j < a->vocab; ++j) best = x[j] > x[best] ? j : best;
        double most = x[best], even = (double)a->smoothing / a->vocab;
        for (int j = 0; j < a->vocab; ++j) {
            sum_exp += exp(x[j] - most);
            sum_shift += x[j] - most;
        }
        double log_sum = log(sum_exp),
               loss = (1 - (double)a->smoothing) * (log_sum - (x[target] - most));
        if (a->smoothing > 0) loss += a->smoothing * log_sum - even * sum_shift;
        if (a->loss) a->loss[r] = (float)loss;
        if (a->hit) a->hit[r] = best == target;
        const float *teacher = a->teacher ? a->teacher + r * (size_t)a->vocab : NULL;
        double pull = teacher ? (double)a->pull[r] : 0, teacher_most = 0, teacher_sum = 0, kl = 0;
        if (pull > 0) log_sum_exp(teacher, a->vocab, &teacher_most, &teacher_sum);
        for (int j = 0; pull > 0 && j < a->vocab; ++j) {
            double log_p = teacher[j] - teacher_most - teacher_sum;
            kl += exp(log_p) * (log_p - (x[j] - most - log_sum));
        }
        if (a->kl) a->kl[r] = (float)kl;
        for (int j = 0; a->dlogits && j < a->vocab; ++j) {
            double expected = even + (j == target ? 1 - (double)a->smoothing : 0);
            double q = exp(x[j] - most) / sum_exp, drawn = 0;
            if (pull > 0) drawn = pull * (q - exp(teacher[j] - teacher_most - teacher_sum));
            a->dlogits[r * (size_t)a->vocab + (size_t)j] =
                (float)(a->weight * (q - expected + drawn));
        }
    }
}

void vt_ref_fill_transformer(vt_kern *kern) {
    kern->norm_modulate = norm_modulate;
    kern->norm_modulate_dx = norm_modulate_dx;
    kern->gate_add = gate_add;
    kern->gate_add_dx = gate_add_dx;
    kern->qkv_split = qkv_split;
    kern->qkv_split_dx = qkv_split_dx;
    kern->attention_workspace = attention_workspace;
    kern->attention_grad_workspace = attention_grad_workspace;
    kern->attention = attention;
    kern->attention_dx = attention_dx;
    kern->cross_entropy = cross_entropy;
}

/* elementwise.c - one number in, one number out; and the two sums that training clips and reports
 * by. */
#include "kern/ref/ref.h"

#include <math.h>

static const double gelu_root = 0.7978845608028654; /* sqrt(2 / pi) */
static const double gelu_cubic = 0.044715;

static void gelu(vt_kern *kern, float *y, const float *x, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) {
        double a = x[i];
        y[i] = (float)(0.5 * a * (1 + tanh(gelu_root * (a + gelu_cubic * a * a * a))));
    }
}

static void gelu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) {
        double a = x[i];
        double t = tanh(gelu_root * (a + gelu_cubic * a * a * a));
        double dt = (1 - t * t) * gelu_root * (1 + 3 * gelu_cubic * a * a);
        dx[i] = (float)(dy[i] * (0.5 * (1 + t) + 0.5 * a * dt));
    }
}

static double sigmoid(double a) {
    return 1 / (1 + exp(-a));
}

static void silu(vt_kern *kern, float *y, const float *x, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) y[i] = (float)(x[i] * sigmoid(x[i]));
}

static void silu_dx(vt_kern *kern, float *dx, const float *dy, const float *x, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) {
        double a = x[i], s = sigmoid(a);
        dx[i] = (float)(dy[i] * s * (1 + a * (1 - s)));
    }
}

static void axpby(vt_kern *kern, float *y, float a, const float *x, float b, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i)
        y[i] = b == 0 ? a * x[i] : (float)((double)a * x[i] + (double)b * y[i]);
}

static void scaled_difference(vt_kern *kern, float *y, float a, const float *p, const float *q,
                              size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) y[i] = (float)(y[i] + (double)a * ((double)p[i] - q[i]));
}

static void clamp(vt_kern *kern, float *y, const float *x, float low, float high, size_t n) {
    (void)kern;
    for (size_t i = 0; i < n; ++i) y[i] = x[i] < low ? low : x[i] > high ? high : x[i];
}

static void sum_squares(vt_kern *kern, double *sums, const vt_floats *x, int count) {
    (void)kern;
    for (int r = 0; r < count; ++r) {
        double sum = 0;
        for (size_t i = 0; i < x[r].n; ++i) sum += (double)x[r].x[i] * x[r].x[i];
        sums[r] = sum;
    }
}

static void sum_squared_difference(vt_kern *kern, double *sums, const vt_floats *p,
                                   const vt_floats *q, int count) {
    (void)kern;
    for (int r = 0; r < count; ++r) {
        double sum = 0;
        for (size_t i = 0; i < p[r].n; ++i) {
            double d = (double)p[r].x[i] - q[r].x[i];
            sum += d * d;
        }
        sums[r] = sum;
    }
}

/* Tensor t of the list. */
static void adamw_tensor(const vt_adamw *s, int t) {
    float *value = s->value[t].x, *first = s->m[t].x, *second = s->v[t].x;
    double correct1 = 1 - pow(s->beta1, s->step), correct2 = 1 - pow(s->beta2, s->step);
    for (size_t i = 0; i < s->value[t].n; ++i) {
        double g = (double)s->grad[t].x[i] * s->grad_scale;
        double m = (double)s->beta1 * first[i] + (1 - (double)s->beta1) * g;
        double v = (double)s->beta2 * second[i] + (1 - (double)s->beta2) * g * g;
        double kept = value[i] * (1 - (double)s->lr * s->weight_decay[t]);
        first[i] = (float)m;
        second[i] = (float)v;
        value[i] = (float)(kept - s->lr * (m / correct1) / (sqrt(v / correct2) + s->eps));
    }
}

static void adamw(vt_kern *kern, const vt_adamw *s) {
    (void)kern;
    for (int t = 0; t < s->count; ++t) adamw_tensor(s, t);
}

void vt_ref_fill_elementwise(vt_kern *kern) {
    kern->gelu = gelu;
    kern->gelu_dx = gelu_dx;
    kern->silu = silu;
    kern->silu_dx = silu_dx;
    kern->axpby = axpby;
    kern->scaled_difference = scaled_difference;
    kern->clamp = clamp;
    kern->sum_squares = sum_squares;
    kern->sum_squared_difference = sum_squared_difference;
    kern->adamw = adamw;
}

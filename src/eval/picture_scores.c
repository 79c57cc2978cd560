/* picture_scores.c - see picture_scores.h. */
#include "eval/picture_scores.h"

#include <math.h>

#include "core/psnr.h"

enum { WINDOW = 11 };

double vt_psnr(const float *a, const float *b, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) {
        double d = (double)a[i] - (double)b[i];
        sum += d * d;
    }
    return vt_psnr_of_mse(n ? sum / (double)n : 0);
}

static void gaussian(double weight[WINDOW]) {
    const int middle = WINDOW / 2;
    double sum = 0;
    for (int i = 0; i < WINDOW; ++i) {
        const double x = (double)(i - middle);
        sum += weight[i] = exp(-x * x / (2 * 1.5 * 1.5));
    }
    for (int i = 0; i < WINDOW; ++i) weight[i] /= sum;
}

/* The window whose corner is at p and q. */
static double similarity(const float *p, const float *q, size_t row, size_t step,
                         const double weight[WINDOW]) {
    const double c1 = 0.01 * 0.01, c2 = 0.03 * 0.03;
    double mp = 0, mq = 0, pp = 0, qq = 0, pq = 0;
    for (size_t y = 0; y < WINDOW; ++y)
        for (size_t x = 0; x < WINDOW; ++x) {
            double w = weight[y] * weight[x];
            double u = (double)p[y * row + x * step], v = (double)q[y * row + x * step];
            mp += w * u;
            mq += w * v;
            pp += w * u * u;
            qq += w * v * v;
            pq += w * u * v;
        }
    double vp = pp - mp * mp, vq = qq - mq * mq, covariance = pq - mp * mq;
    return (2 * mp * mq + c1) * (2 * covariance + c2) / ((mp * mp + mq * mq + c1) * (vp + vq + c2));
}

double vt_ssim(const float *a, const float *b, int height, int width, int channels) {
    double weight[WINDOW], sum = 0;
    size_t step = (size_t)channels, row = (size_t)width * step;
    if (height < WINDOW || width < WINDOW) return NAN;
    gaussian(weight);
    for (int c = 0; c < channels; ++c)
        for (int y = 0; y + WINDOW <= height; ++y)
            for (int x = 0; x + WINDOW <= width; ++x) {
                size_t at = (size_t)y * row + (size_t)x * step + (size_t)c;
                sum += similarity(a + at, b + at, row, step, weight);
            }
    return sum / ((double)channels * (height - WINDOW + 1) * (width - WINDOW + 1));
}

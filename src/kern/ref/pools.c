/* pools.c - ref's pooling and bilinear resizing of maps of any sides: the definition of correct.
 *
 * Called through the table alone (vt_ref_fill_pools, from pictures.c). One output number at a time. */
#include "kern/ref/ref.h"

/* x[group, iy, ix, c], or NULL outside the map. */
static const float *pixel(const vt_pooling *a, int group, int iy, int ix, int c) {
    if (iy < 0 || iy >= a->in_h || ix < 0 || ix >= a->in_w) return NULL;
    size_t row = (size_t)group * (size_t)a->in_h + (size_t)iy;
    return a->x + (row * (size_t)a->in_w + (size_t)ix) * (size_t)a->channels + c;
}

static float pool_at(const vt_pooling *a, int group, int oy, int ox, int c) {
    double sum = 0;
    float most = 0;
    int count = 0;
    for (int ky = 0; ky < a->window; ky++)
        for (int kx = 0; kx < a->window; kx++) {
            const float *x =
                pixel(a, group, oy * a->stride - a->pad + ky, ox * a->stride - a->pad + kx, c);
            if (!x) continue;
            if (count == 0 || *x > most) most = *x;
            sum += (double)*x;
            count++;
        }
    return a->average ? (float)(sum / count) : most;
}

static void pool(vt_kern *kern, const vt_pooling *a) {
    (void)kern;
    float *y = a->y;
    int stride = a->y_stride ? a->y_stride : a->channels;
    for (int g = 0; g < a->groups; g++)
        for (int oy = 0; oy < a->out_h; oy++)
            for (int ox = 0; ox < a->out_w; ox++, y += stride)
                for (int c = 0; c < a->channels; c++) y[c] = pool_at(a, g, oy, ox, c);
}

/* Where output i lies between the inputs first and second: `share` of the way. */
static double between(int i, int in, int out, int *first, int *second) {
    double at = (i + 0.5) * in / out - 0.5;
    if (at < 0) at = 0;
    *first = (int)at < in - 1 ? (int)at : in - 1;
    *second = *first < in - 1 ? *first + 1 : *first;
    return at - *first;
}

static void resize_bilinear(vt_kern *kern, float *y, const float *x, int groups, int in_h, int in_w,
                            int out_h, int out_w, int c) {
    (void)kern;
    size_t line = (size_t)in_w * (size_t)c;
    for (int g = 0; g < groups; g++, x += (size_t)in_h * line)
        for (int oy = 0; oy < out_h; oy++)
            for (int ox = 0; ox < out_w; ox++)
                for (int k = 0; k < c; k++) {
                    int y0, y1, x0, x1;
                    double v = between(oy, in_h, out_h, &y0, &y1);
                    double u = between(ox, in_w, out_w, &x0, &x1);
                    const float *up = x + (size_t)y0 * line + k, *low = x + (size_t)y1 * line + k;
                    size_t left = (size_t)x0 * (size_t)c, right = (size_t)x1 * (size_t)c;
                    double top = (1 - u) * (double)up[left] + u * (double)up[right];
                    double bottom = (1 - u) * (double)low[left] + u * (double)low[right];
                    *y++ = (float)((1 - v) * top + v * bottom);
                }
}

void vt_ref_fill_pools(vt_kern *kern) {
    kern->pool = pool;
    kern->resize_bilinear = resize_bilinear;
}

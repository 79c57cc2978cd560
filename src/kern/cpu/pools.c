/* pools.c - pooling and bilinear resizing of the cpu backend.
 *
 * Called through the table (filled in pictures.c). A task is a line of the result; a pixel's channels lie
 * side by side and are worked on together. Both run at the speed of memory and take some percent of
 * the network that needs them, so these loops are compiled once, for every processor. */
#include "kern/cpu/pools.h"

#include "kern/cpu/cpu.h"

#include <string.h>

static void take_larger(float *restrict y, const float *restrict x, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) y[i] = x[i] > y[i] ? x[i] : y[i];
}

static void add(float *restrict y, const float *restrict x, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) y[i] += x[i];
}

/* [*low, *high) of the window's pixels along one side that lie inside the map. */
static void window_inside(const vt_pooling *a, int out, int in, int *low, int *high) {
    *low = out * a->stride - a->pad;
    *high = *low + a->window < in ? *low + a->window : in;
    if (*low < 0) *low = 0;
}

/* y: one pixel's channels, over lines [y0, y1) and columns [x0, x1) of the map. */
static void pool_pixel(const vt_pooling *a, float *y, const float *picture, int y0, int y1, int x0,
                       int x1) {
    size_t channels = (size_t)a->channels, line = (size_t)a->in_w * channels;
    memcpy(y, picture + (size_t)y0 * line + (size_t)x0 * channels, channels * sizeof *y);
    for (int iy = y0; iy < y1; iy++)
        for (int ix = iy == y0 ? x0 + 1 : x0; ix < x1; ix++)
            (a->average ? add : take_larger)(y, picture + (size_t)iy * line + (size_t)ix * channels,
                                             channels);
    if (!a->average) return;
    float share = 1.0f / (float)((y1 - y0) * (x1 - x0));
#pragma omp simd
    for (size_t c = 0; c < channels; c++) y[c] *= share;
}

static size_t picture_floats(const vt_pooling *a) {
    return (size_t)a->in_h * (size_t)a->in_w * (size_t)a->channels;
}

static void pool_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_pooling *a = args;
    size_t channels = (size_t)a->channels, picture = picture_floats(a);
    size_t stride = a->y_stride ? (size_t)a->y_stride : channels;
    (void)kern;
    for (int64_t line = span.begin; line < span.end; line++) {
        int y0, y1, x0, x1;
        const float *x = a->x + (size_t)(line / a->out_h) * picture;
        float *y = a->y + (size_t)line * (size_t)a->out_w * stride;
        window_inside(a, (int)(line % a->out_h), a->in_h, &y0, &y1);
        for (int ox = 0; ox < a->out_w; ox++, y += stride) {
            window_inside(a, ox, a->in_w, &x0, &x1);
            pool_pixel(a, y, x, y0, y1, x0, x1);
        }
    }
}

void vt_cpu_pool(vt_kern *kern, const vt_pooling *a) {
    vt_cpu_split(kern, (size_t)a->groups * picture_floats(a) > VT_CPU_PARALLEL_MIN,
                 (int64_t)a->groups * a->out_h, pool_part, a);
}

/* Where output i lies between the inputs first and second: the share of the second. */
static float between(int i, int in, int out, size_t *first, size_t *second) {
    double at = ((double)i + 0.5) * (double)in / (double)out - 0.5;
    if (at < 0) at = 0;
    int left = (int)at < in - 1 ? (int)at : in - 1;
    *first = (size_t)left;
    *second = (size_t)(left < in - 1 ? left + 1 : left);
    return (float)(at - left);
}

typedef struct resize_loop {
    float *y;
    const float *x;
    int in_h, in_w, out_h, out_w, channels;
} resize_loop;

static void resize_part(const vt_kern *kern, const void *args, vt_span span) {
    const resize_loop *l = args;
    size_t channels = (size_t)l->channels, line = (size_t)l->in_w * channels,
           out_line = (size_t)l->out_w * channels;
    (void)kern;
    for (int64_t row = span.begin; row < span.end; row++) {
        size_t y0, y1, x0, x1;
        float v = between((int)(row % l->out_h), l->in_h, l->out_h, &y0, &y1);
        const float *picture = l->x + (size_t)(row / l->out_h) * (size_t)l->in_h * line;
        const float *up = picture + y0 * line, *low = picture + y1 * line;
        float *to = l->y + (size_t)row * out_line;
        for (int ox = 0; ox < l->out_w; ox++, to += channels) {
            float u = between(ox, l->in_w, l->out_w, &x0, &x1);
            const float *p = up + x0 * channels, *q = up + x1 * channels;
            const float *r = low + x0 * channels, *s = low + x1 * channels;
            for (size_t k = 0; k < channels; k++)
                to[k] = (1 - v) * ((1 - u) * p[k] + u * q[k]) + v * ((1 - u) * r[k] + u * s[k]);
        }
    }
}

void vt_cpu_resize_bilinear(vt_kern *kern, float *y, const float *x, int groups, int in_h, int in_w,
                            int out_h, int out_w, int c) {
    const resize_loop loop = {y, x, in_h, in_w, out_h, out_w, c};
    const int64_t lines = (int64_t)groups * out_h;
    vt_cpu_split(kern, lines * out_w * c > VT_CPU_PARALLEL_MIN, lines, resize_part, &loop);
}

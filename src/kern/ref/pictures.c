/* pictures.c - ref's convolutions, group norm, resizing and code search: the definition of correct.
 *
 * Called through the table alone (vt_ref_fill_pictures, from ref.c). Plain loops over NHWC, one
 * output number at a time, each summed in a double: slow, but every formula stands once and can be
 * read against the paper's. */
#include "kern/number.h"
#include "kern/ref/ref.h"
#include "kern/ref/weight.h"

#include <math.h>

static void group_norm(vt_kern *kern, const vt_group_norm *a);

/* ---- convolution ---- */

static bool is_winograd(const vt_conv *a) {
    return a->kernel == 3 && a->w && a->w->spec.taps == 16;
}

/* Floats of x. */
static size_t conv_input(const vt_conv *a) {
    size_t floats = (size_t)a->groups * (size_t)a->in_h * (size_t)a->in_w * (size_t)a->in_c;
    return floats / (a->upsample ? 4 : 1);
}

static bool conv_direct(const vt_kern *kern) {
    (void)kern;
    return false; /* as most processors do them */
}

/* Numbers of y. */
static size_t conv_output(const vt_conv *a) {
    return (size_t)a->groups * (size_t)a->out_h * (size_t)a->out_w * (size_t)a->out_c;
}

static vt_number conv_map(const vt_kern *kern, const vt_weight *weight) {
    (void)kern, (void)weight;
    return VT_NUMBER_F32;
}

/* Is a copy of x in float32 made? */
static bool conv_copies(const vt_conv *a) {
    return a->norm || a->x_type == VT_NUMBER_BF16;
}

/* Room for x normalised or widened, for a square in Winograd's domain, and for y before it is rounded. */
static size_t conv_workspace(const vt_kern *kern, const vt_conv *a) {
    (void)kern;
    size_t floats =
        (conv_copies(a) ? conv_input(a) : 0) + (is_winograd(a) ? 16 * (size_t)a->in_c : 0);
    if (a->y_type == VT_NUMBER_BF16) floats += conv_output(a);
    return floats * sizeof(float);
}

/* x[group, iy, ix, :], or NULL where the padding is. iy and ix count in the enlarged map, if it is
 * one. */
static const float *conv_pixel(const vt_conv *a, int group, int iy, int ix) {
    if (iy < 0 || iy >= a->in_h || ix < 0 || ix >= a->in_w) return NULL;
    int scale = a->upsample ? 2 : 1;
    size_t row = (size_t)group * (size_t)(a->in_h / scale) + (size_t)(iy / scale);
    return (const float *)a->x +
           (row * (size_t)(a->in_w / scale) + (size_t)(ix / scale)) * (size_t)a->in_c;
}

/* A tap's share. Products with a rounded weight round x too. */
static double conv_tap(const vt_conv *a, const float *w, const float *x) {
    double sum = 0;
    for (int i = 0; x && i < a->in_c; i++)
        sum += (double)w[i] * (double)(a->w->numbers ? vt_round_bf16(x[i]) : x[i]);
    return sum;
}

static double conv_at(const vt_conv *a, int group, int oy, int ox, int o) {
    int columns = vt_conv_columns(a);
    size_t taps = (size_t)a->kernel * (size_t)columns, in_c = (size_t)a->in_c;
    const float *w = a->w->w + (size_t)o * taps * in_c;
    double sum = 0;
    for (int ky = 0; ky < a->kernel; ky++)
        for (int kx = 0; kx < columns; kx++, w += in_c)
            sum += conv_tap(a, w,
                            conv_pixel(a, group, oy * a->stride + ky - a->pad_top,
                                       ox * a->stride + kx - a->pad_left));
    return sum;
}

/* The same after an upsampling with the four kernels of a weight of four taps (kern.h): output
 * (oy, ox) is one of phase (oy % 2, ox % 2), whose taps are a 2x2 square of small pixels. */
static double conv_phase_at(const vt_conv *a, int group, int oy, int ox, int o) {
    size_t row = (size_t)(oy % 2 * 2 + ox % 2) * (size_t)a->out_c + (size_t)o;
    const float *w = a->w->w + row * 4 * (size_t)a->in_c;
    double sum = 0;
    for (int ty = 0; ty < 2; ty++)
        for (int tx = 0; tx < 2; tx++, w += a->in_c) /* in the enlarged map, a tap is two pixels */
            sum += conv_tap(
                a, w, conv_pixel(a, group, oy + oy % 2 - 2 + 2 * ty, ox + ox % 2 - 2 + 2 * tx));
    return sum;
}

static double conv_finish(const vt_conv *a, size_t at, int o, double y) {
    if (a->bias) y += (double)a->bias[o];
    if (!a->residual) return y;
    if (a->residual_type == VT_NUMBER_BF16)
        return y + (double)vt_from_bf16(((const uint16_t *)a->residual)[at]);
    return y + (double)((const float *)a->residual)[at];
}

/* v (16, in_c) = B^T d B, rounded, of the square d whose outputs begin at (oy, ox). */
static void winograd_square(const vt_conv *a, int group, int oy, int ox, float *v) {
    size_t in_c = (size_t)a->in_c;
    for (size_t i = 0; i < in_c; i++) {
        float d[4][4], rows[4][4];
        for (int y = 0; y < 4; y++)
            for (int x = 0; x < 4; x++) {
                const float *pixel =
                    conv_pixel(a, group, oy + y - a->pad_top, ox + x - a->pad_left);
                d[y][x] = pixel ? vt_round_bf16(pixel[i]) : 0.0f;
            }
        for (int x = 0; x < 4; x++) {
            rows[0][x] = d[0][x] - d[2][x];
            rows[1][x] = d[1][x] + d[2][x];
            rows[2][x] = d[2][x] - d[1][x];
            rows[3][x] = d[1][x] - d[3][x];
        }
        for (size_t y = 0; y < 4; y++) {
            const float *r = rows[y];
            v[(4 * y + 0) * in_c + i] = vt_round_bf16(r[0] - r[2]);
            v[(4 * y + 1) * in_c + i] = vt_round_bf16(r[1] + r[2]);
            v[(4 * y + 2) * in_c + i] = vt_round_bf16(r[2] - r[1]);
            v[(4 * y + 3) * in_c + i] = vt_round_bf16(r[1] - r[3]);
        }
    }
}

/* A 3x3 convolution with a weight of 16 taps (kern.h): y = A^T (sum over channels of U V) A. */
static void conv_winograd(const vt_conv *a, float *v) {
    static const double at[2][4] = {{1, 1, 1, 0}, {0, 1, -1, -1}};
    size_t in_c = (size_t)a->in_c, index = 0;
    for (int g = 0; g < a->groups; g++)
        for (int oy = 0; oy < a->out_h; oy++)
            for (int ox = 0; ox < a->out_w; ox++) {
                winograd_square(a, g, oy / 2 * 2, ox / 2 * 2, v);
                for (int o = 0; o < a->out_c; o++, index++) {
                    const float *u = a->w->w + (size_t)o * 16 * in_c;
                    double y = 0;
                    for (size_t t = 0; t < 16; t++) {
                        double m = 0;
                        for (size_t i = 0; i < in_c; i++)
                            m += (double)u[t * in_c + i] * (double)v[t * in_c + i];
                        y += at[oy % 2][t / 4] * at[ox % 2][t % 4] * m;
                    }
                    ((float *)a->y)[index] = (float)conv_finish(a, index, o, y);
                }
            }
}

/* x becomes a copy in the workspace, which is normalised there. */
static void conv_copy(vt_kern *kern, vt_conv *a) {
    const size_t floats = conv_input(a);
    float *x = a->workspace;
    for (size_t i = 0; i < floats; i++)
        x[i] = a->x_type == VT_NUMBER_BF16 ? vt_from_bf16(((const uint16_t *)a->x)[i])
                                           : ((const float *)a->x)[i];
    a->x = x;
    a->x_type = VT_NUMBER_F32;
    if (!a->norm) return;
    vt_group_norm norm = {.x = x,
                          .gamma = a->norm->gamma,
                          .beta = a->norm->beta,
                          .y = x,
                          .groups = a->groups,
                          .pixels = a->in_h * a->in_w / (a->upsample ? 4 : 1),
                          .channels = a->in_c,
                          .channel_groups = a->norm->channel_groups,
                          .eps = a->norm->eps,
                          .silu = a->norm->silu};
    group_norm(kern, &norm);
}

static void conv_sums(const vt_conv *a) {
    const size_t pixels = (size_t)a->out_h * (size_t)a->out_w, out_c = (size_t)a->out_c;
    const float *y = a->y;
    for (size_t g = 0; a->sums && g < (size_t)a->groups; g++) {
        double *sums = a->sums + g * 2 * out_c, *squares = sums + out_c;
        memset(sums, 0, 2 * out_c * sizeof *sums);
        for (size_t p = 0; p < pixels; p++)
            for (size_t o = 0; o < out_c; o++, y++) {
                sums[o] += (double)*y;
                squares[o] += (double)*y * (double)*y;
            }
    }
}

/* x and y are float32. */
static void conv_direct_run(const vt_conv *args) {
    vt_conv a = *args;
    size_t at = 0, gap = vt_conv_stride(args) - (size_t)args->out_c;
    bool phases = a.upsample && a.kernel == 3 && a.w->spec.taps == 4;
    for (int g = 0; g < a.groups; g++)
        for (int oy = 0; oy < a.out_h; oy++)
            for (int ox = 0; ox < a.out_w; ox++, at += gap)
                for (int o = 0; o < a.out_c; o++, at++) {
                    double y = phases ? conv_phase_at(&a, g, oy, ox, o) : conv_at(&a, g, oy, ox, o);
                    y = conv_finish(&a, at, o, y);
                    ((float *)a.y)[at] = (float)(a.relu && y < 0 ? 0 : y);
                }
}

static void conv(vt_kern *kern, const vt_conv *args) {
    vt_conv a = *args;
    float *room = a.workspace;
    if (conv_copies(args)) {
        conv_copy(kern, &a);
        room += conv_input(args);
    }
    float *square = room;
    if (is_winograd(args)) room += 16 * (size_t)args->in_c;
    if (args->y_type == VT_NUMBER_BF16) a.y = room;
    if (is_winograd(args))
        conv_winograd(&a, square);
    else
        conv_direct_run(&a);
    conv_sums(&a);
    for (size_t i = 0; args->y_type == VT_NUMBER_BF16 && i < conv_output(args); i++)
        ((uint16_t *)args->y)[i] = vt_to_bf16(room[i]);
}

/* The output index that tap k of input index i belongs to, or -1. */
static int conv_source(int i, int k, int pad, int stride, int out) {
    int at = i + pad - k;
    return at >= 0 && at % stride == 0 && at / stride < out ? at / stride : -1;
}

static double conv_dx_at(const vt_conv *a, const float *dy, int group, int iy, int ix, int i) {
    size_t in_c = (size_t)a->in_c, out_c = (size_t)a->out_c;
    size_t row = (size_t)a->kernel * (size_t)a->kernel * in_c;
    double sum = 0;
    for (int ky = 0; ky < a->kernel; ky++) {
        int oy = conv_source(iy, ky, a->pad_top, a->stride, a->out_h);
        for (int kx = 0; oy >= 0 && kx < a->kernel; kx++) {
            int ox = conv_source(ix, kx, a->pad_left, a->stride, a->out_w);
            if (ox < 0) continue;
            const float *w = a->w->w + (size_t)(ky * a->kernel + kx) * in_c + (size_t)i;
            size_t at = (size_t)group * (size_t)a->out_h + (size_t)oy;
            const float *d = dy + (at * (size_t)a->out_w + (size_t)ox) * out_c;
            for (size_t o = 0; o < out_c; o++)
                sum += (double)w[o * row] * (double)(a->w->numbers ? vt_round_bf16(d[o]) : d[o]);
        }
    }
    return sum;
}

static void conv_dx(vt_kern *kern, const vt_conv *a, const float *dy, float *dx, bool accumulate) {
    (void)kern;
    for (int g = 0; g < a->groups; g++)
        for (int iy = 0; iy < a->in_h; iy++)
            for (int ix = 0; ix < a->in_w; ix++)
                for (int i = 0; i < a->in_c; i++, dx++)
                    *dx = (float)(conv_dx_at(a, dy, g, iy, ix, i) + (accumulate ? (double)*dx : 0));
}

static double conv_dw_at(const vt_conv *a, const float *dy, int o, int ky, int kx, int i) {
    double sum = 0;
    const float *d = dy + o;
    for (int g = 0; g < a->groups; g++)
        for (int oy = 0; oy < a->out_h; oy++)
            for (int ox = 0; ox < a->out_w; ox++, d += a->out_c) {
                const float *x = conv_pixel(a, g, oy * a->stride + ky - a->pad_top,
                                            ox * a->stride + kx - a->pad_left);
                if (!x) continue;
                bool rounds = a->w && a->w->numbers;
                float p = rounds ? vt_round_bf16(*d) : *d, q = rounds ? vt_round_bf16(x[i]) : x[i];
                sum += (double)p * (double)q;
            }
    return sum;
}

static void conv_dw(vt_kern *kern, const vt_conv *a, const float *dy, float *dw, float *db) {
    (void)kern;
    size_t pixels = (size_t)a->groups * (size_t)a->out_h * (size_t)a->out_w;
    for (int o = 0; o < a->out_c; o++) {
        for (int ky = 0; ky < a->kernel; ky++)
            for (int kx = 0; kx < a->kernel; kx++)
                for (int i = 0; i < a->in_c; i++, dw++)
                    *dw = (float)((double)*dw + conv_dw_at(a, dy, o, ky, kx, i));
        if (!db) continue;
        double sum = db[o];
        for (size_t p = 0; p < pixels; p++) sum += (double)dy[p * (size_t)a->out_c + (size_t)o];
        db[o] = (float)sum;
    }
}

/* ---- group norm ---- */

static double sigmoid(double u) {
    return 1 / (1 + exp(-u));
}

/* Mean and 1/sqrt(variance + eps) of the channel group that x points at. */
static void group_statistics(const vt_group_norm *a, const float *x, double *mean, double *rstd) {
    size_t width = (size_t)a->channels / (size_t)a->channel_groups, pixels = (size_t)a->pixels;
    double sum = 0, squares = 0, count = (double)(pixels * width);
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < width; c++) sum += (double)x[p * (size_t)a->channels + c];
    *mean = sum / count;
    for (size_t p = 0; p < pixels; p++)
        for (size_t c = 0; c < width; c++) {
            double d = (double)x[p * (size_t)a->channels + c] - *mean;
            squares += d * d;
        }
    *rstd = 1 / sqrt(squares / count + (double)a->eps);
}

static void group_norm(vt_kern *kern, const vt_group_norm *a) {
    (void)kern;
    size_t width = (size_t)a->channels / (size_t)a->channel_groups;
    for (int g = 0; g < a->groups; g++)
        for (int b = 0; b < a->channel_groups; b++) {
            size_t first = (size_t)b * width, channels = (size_t)a->channels;
            size_t at = (size_t)g * (size_t)a->pixels * channels + first;
            double mean, rstd;
            group_statistics(a, a->x + at, &mean, &rstd);
            for (size_t p = 0; p < (size_t)a->pixels; p++)
                for (size_t c = 0; c < width; c++) {
                    double u = ((double)a->x[at + p * channels + c] - mean) * rstd;
                    u = u * (double)a->gamma[first + c] + (double)a->beta[first + c];
                    a->y[at + p * channels + c] = (float)(a->silu ? u * sigmoid(u) : u);
                }
            size_t row = (size_t)g * (size_t)a->channel_groups + (size_t)b;
            if (a->mean) a->mean[row] = (float)mean;
            if (a->rstd) a->rstd[row] = (float)rstd;
        }
}

/* d(loss)/d(pre-activation) at x; *normal = the normalised x. c is the channel. */
static double group_norm_du(const vt_group_norm *f, double x, double dy, double mean, double rstd,
                            size_t c, double *normal) {
    *normal = (x - mean) * rstd;
    if (!f->silu) return dy;
    double u = *normal * (double)f->gamma[c] + (double)f->beta[c], s = sigmoid(u);
    return dy * s * (1 + u * (1 - s));
}

/* One channel group of one picture. With n = normalised x and d = gamma du:
 * dx = rstd (d - mean(d) - n mean(d n)), the means over the channel group. */
static void group_norm_dx_one(const vt_group_norm_grad *a, int g, int b) {
    const vt_group_norm *f = &a->forward;
    size_t channels = (size_t)f->channels, pixels = (size_t)f->pixels;
    size_t width = channels / (size_t)f->channel_groups, first = (size_t)b * width;
    size_t at = (size_t)g * pixels * channels;
    double mean = f->mean[g * f->channel_groups + b], rstd = f->rstd[g * f->channel_groups + b];
    double mean_d = 0, mean_dn = 0, count = (double)(pixels * width), n;
    for (size_t c = first; c < first + width; c++) {
        double dbeta = 0, dgamma = 0;
        for (size_t p = 0; p < pixels; p++) {
            size_t k = at + p * channels + c;
            double du = group_norm_du(f, (double)f->x[k], (double)a->dy[k], mean, rstd, c, &n);
            dbeta += du;
            dgamma += du * n;
        }
        a->dbeta[c] = (float)((double)a->dbeta[c] + dbeta);
        a->dgamma[c] = (float)((double)a->dgamma[c] + dgamma);
        mean_d += (double)f->gamma[c] * dbeta / count;
        mean_dn += (double)f->gamma[c] * dgamma / count;
    }
    for (size_t c = first; c < first + width; c++)
        for (size_t p = 0; p < pixels; p++) {
            size_t k = at + p * channels + c;
            double du = group_norm_du(f, (double)f->x[k], (double)a->dy[k], mean, rstd, c, &n);
            double dx = rstd * (du * (double)f->gamma[c] - mean_d - n * mean_dn);
            a->dx[k] = (float)(dx + (a->accumulate ? (double)a->dx[k] : 0));
        }
}

static void group_norm_dx(vt_kern *kern, const vt_group_norm_grad *a) {
    (void)kern;
    for (int g = 0; g < a->forward.groups; g++)
        for (int b = 0; b < a->forward.channel_groups; b++) group_norm_dx_one(a, g, b);
}

/* ---- resizing ---- */

static void upsample2(vt_kern *kern, float *y, const float *x, int groups, int h, int w, int c) {
    (void)kern;
    for (int row = 0; row < groups * 2 * h; row++) /* 2h is even: row / 2 never crosses a picture */
        for (int col = 0; col < 2 * w; col++) {
            const float *from = x + ((size_t)(row / 2) * (size_t)w + (size_t)(col / 2)) * (size_t)c;
            for (int i = 0; i < c; i++) *y++ = from[i];
        }
}

static void upsample2_dx(vt_kern *kern, float *dx, const float *dy, int groups, int h, int w,
                         int c) {
    (void)kern;
    size_t pixel = (size_t)c, line = 2 * (size_t)w * pixel;
    for (int row = 0; row < groups * h; row++)
        for (int col = 0; col < w; col++) {
            const float *d = dy + 2 * (size_t)row * line + 2 * (size_t)col * pixel;
            for (size_t i = 0; i < pixel; i++)
                *dx++ = (float)((double)d[i] + (double)d[i + pixel] + (double)d[i + line] +
                                (double)d[i + line + pixel]);
        }
}

/* How much input j counts in output i of an adaptive average from `from` to `to`. */
static double area_weight(int i, int j, int from, int to) {
    int first = (int)((int64_t)i * from / to);
    int end = (int)(((int64_t)(i + 1) * from + to - 1) / to);
    return j >= first && j < end ? 1.0 / (end - first) : 0;
}

/* Keys' cubic with a = -0.75, at distance d from a sample. */
static double cubic(double d) {
    const double a = -0.75;
    d = fabs(d);
    if (d < 1) return ((a + 2) * d - (a + 3)) * d * d + 1;
    if (d < 2) return ((a * d - 5 * a) * d + 8 * a) * d - 4 * a;
    return 0;
}

/* The same for bicubic: the four taps around output i's centre; taps past an edge count for the
 * edge. */
static double bicubic_weight(int i, int j, int from, int to) {
    double source = (i + 0.5) * from / to - 0.5, weight = 0;
    int base = (int)floor(source);
    for (int t = base - 1; t <= base + 2; t++) {
        int at = t < 0 ? 0 : t >= from ? from - 1 : t;
        if (at == j) weight += cubic(source - t);
    }
    return weight;
}

typedef double weight_function(int i, int j, int from, int to);

/* y = R x R^T for the matrix R of weights. */
static void resize(float *y, const float *x, int groups, int from, int to, int c,
                   weight_function *weight) {
    size_t picture = (size_t)from * (size_t)from * (size_t)c;
    for (int g = 0; g < groups; g++, x += picture)
        for (int oy = 0; oy < to; oy++)
            for (int ox = 0; ox < to; ox++)
                for (int k = 0; k < c; k++) {
                    double sum = 0;
                    for (int iy = 0; iy < from; iy++) {
                        double wy = weight(oy, iy, from, to);
                        for (int ix = 0; wy != 0 && ix < from; ix++)
                            sum += wy * weight(ox, ix, from, to) *
                                   (double)x[((size_t)iy * (size_t)from + (size_t)ix) * (size_t)c +
                                             (size_t)k];
                    }
                    *y++ = (float)sum;
                }
}

static void resize_area(vt_kern *kern, float *y, const float *x, int groups, int from, int to,
                        int c) {
    (void)kern;
    resize(y, x, groups, from, to, c, area_weight);
}

static void resize_bicubic(vt_kern *kern, float *y, const float *x, int groups, int from, int to,
                           int c) {
    (void)kern;
    resize(y, x, groups, from, to, c, bicubic_weight);
}

/* dx = R^T dy R. */
static void resize_bicubic_dx(vt_kern *kern, float *dx, const float *dy, int groups, int from,
                              int to, int c) {
    (void)kern;
    size_t picture = (size_t)to * (size_t)to * (size_t)c;
    for (int g = 0; g < groups; g++, dy += picture)
        for (int iy = 0; iy < from; iy++)
            for (int ix = 0; ix < from; ix++)
                for (int k = 0; k < c; k++) {
                    double sum = 0;
                    for (int oy = 0; oy < to; oy++) {
                        double wy = bicubic_weight(oy, iy, from, to);
                        for (int ox = 0; wy != 0 && ox < to; ox++)
                            sum += wy * bicubic_weight(ox, ix, from, to) *
                                   (double)dy[((size_t)oy * (size_t)to + (size_t)ox) * (size_t)c +
                                              (size_t)k];
                    }
                    *dx++ = (float)sum;
                }
}

/* ---- codes ---- */

static size_t nearest_code_workspace(const vt_kern *kern, int groups, int rows, int codes) {
    (void)kern;
    (void)groups;
    (void)rows;
    (void)codes;
    return 0;
}

static void nearest_code(vt_kern *kern, int32_t *index, const float *x, const vt_weight *codebook,
                         int groups, int rows, void *workspace) {
    (void)kern;
    (void)workspace;
    size_t width = (size_t)codebook->k, all = (size_t)groups * (size_t)rows;
    for (size_t r = 0; r < all; r++, x += width) {
        double best = INFINITY;
        index[r] = 0;
        for (int n = 0; n < codebook->n; n++) {
            const float *code = codebook->w + (size_t)n * width;
            double distance = 0;
            for (size_t i = 0; i < width; i++) {
                double d = (double)x[i] - (double)code[i];
                distance += d * d;
            }
            if (distance < best) {
                best = distance;
                index[r] = n;
            }
        }
    }
}

void vt_ref_fill_pictures(vt_kern *kern) {
    kern->conv_direct = conv_direct;
    kern->conv_map = conv_map;
    kern->conv_workspace = conv_workspace;
    kern->conv = conv;
    kern->conv_dx = conv_dx;
    kern->conv_dw = conv_dw;
    kern->group_norm = group_norm;
    kern->group_norm_dx = group_norm_dx;
    kern->upsample2 = upsample2;
    kern->upsample2_dx = upsample2_dx;
    vt_ref_fill_pools(kern);
    kern->resize_area = resize_area;
    kern->resize_bicubic = resize_bicubic;
    kern->resize_bicubic_dx = resize_bicubic_dx;
    kern->nearest_code_workspace = nearest_code_workspace;
    kern->nearest_code = nearest_code;
}

/* pictures.c - group norm, resizing and code search of the cpu backend, and its table entries for
 * pictures.
 *
 * Called through the table. Work is cut into pieces of one picture (rows, or runs of whole channel
 * groups), by sizes alone: a picture's result depends neither on its batch nor on the thread count.
 */
#include "core/cpu.h"
#include "kern/blas.h"
#include "kern/cpu/conv.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/map_loops.h"
#include "kern/cpu/isa/picture_loops.h"
#include "kern/cpu/pools.h"
#include "kern/cpu/weight.h"
#include "kern/ref/ref.h"

#include <math.h>
#include <string.h>

enum {
    SLICE = 32,        /* channels a task of group norm, unless one channel group alone has more */
    SLICE_MOST = 1024, /* channels whose gradients a task of the backward can hold */
    NEAREST_ROWS = 64  /* rows a product of the code search */
};

static const vt_picture_loops *loops_of(const vt_kern *kern) {
    return ((const vt_cpu *)kern)->picture_loops;
}

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

/* ---- group norm ---- */

/* Whole channel groups of one picture: the work of one task. Only a slice of a single channel group
 * may be wider than a strip. */
typedef struct norm_slice {
    size_t group_width;   /* channels of a channel group */
    size_t first, width;  /* channels */
    size_t group, groups; /* channel groups; group counts from the picture's first */
    size_t at;            /* floats to pixel 0, channel `first` of the picture */
    size_t row;           /* of mean and rstd: the slice's first channel group */
} norm_slice;

static size_t slice_groups(const vt_group_norm *a) {
    size_t width = (size_t)a->channels / (size_t)a->channel_groups;
    return width >= SLICE ? 1 : SLICE / width;
}

static int64_t slice_count(const vt_group_norm *a) {
    return vt_cpu_pieces(a->channel_groups, (int64_t)slice_groups(a));
}

/* Tasks count slices within a picture, pictures outside. */
static norm_slice slice_of(const vt_group_norm *a, int64_t task) {
    size_t picture = (size_t)(task / slice_count(a)), channel_groups = (size_t)a->channel_groups;
    norm_slice s = {.group_width = (size_t)a->channels / channel_groups};
    s.group = (size_t)(task % slice_count(a)) * slice_groups(a);
    s.groups = smaller(slice_groups(a), channel_groups - s.group);
    s.first = s.group * s.group_width;
    s.width = s.groups * s.group_width;
    s.at = picture * (size_t)a->pixels * (size_t)a->channels + s.first;
    s.row = picture * channel_groups + s.group;
    return s;
}

/* Points the strip at the slice's channels from `from` on and fills in what belongs to them. */
static void strip_move(vt_norm_strip *strip, const vt_group_norm *a, const norm_slice *slice,
                       size_t from, const float *mean, const float *rstd) {
    strip->width = smaller(VT_PICTURE_STRIP, slice->width - from);
    strip->x = a->x + slice->at + from;
    for (size_t c = 0; c < strip->width; c++) {
        size_t group = (from + c) / slice->group_width;
        strip->mean[c] = mean ? mean[group] : 0;
        strip->rstd[c] = rstd ? rstd[group] : 0;
        strip->gamma[c] = a->gamma[slice->first + from + c];
        strip->beta[c] = a->beta[slice->first + from + c];
    }
}

static void group_norm_slice(const vt_kern *kern, const vt_group_norm *a, const norm_slice *slice) {
    const vt_picture_loops *loops = loops_of(kern);
    double sums[VT_PICTURE_STRIP], total[SLICE] = {0}, squares[SLICE] = {0};
    double count = (double)a->pixels * (double)slice->group_width;
    float mean[SLICE], rstd[SLICE];
    vt_norm_strip strip = {
        .stride = (size_t)a->channels, .rows = (size_t)a->pixels, .silu = a->silu};

    for (size_t from = 0; from < slice->width; from += VT_PICTURE_STRIP) {
        strip_move(&strip, a, slice, from, NULL, NULL);
        loops->sums(&strip, sums);
        for (size_t c = 0; c < strip.width; c++) total[(from + c) / slice->group_width] += sums[c];
    }
    for (size_t g = 0; g < slice->groups; g++) mean[g] = (float)(total[g] / count);
    for (size_t from = 0; from < slice->width; from += VT_PICTURE_STRIP) {
        strip_move(&strip, a, slice, from, mean, NULL);
        loops->squares(&strip, sums);
        for (size_t c = 0; c < strip.width; c++)
            squares[(from + c) / slice->group_width] += sums[c];
    }
    for (size_t g = 0; g < slice->groups; g++) {
        rstd[g] = (float)(1 / sqrt(squares[g] / count + (double)a->eps));
        if (a->mean) a->mean[slice->row + g] = mean[g];
        if (a->rstd) a->rstd[slice->row + g] = rstd[g];
    }
    for (size_t from = 0; from < slice->width; from += VT_PICTURE_STRIP) {
        strip_move(&strip, a, slice, from, mean, rstd);
        strip.out = a->y + slice->at + from;
        loops->normalise(&strip);
    }
}

static void group_norm_part(const vt_kern *kern, const void *args, vt_span span) {
    for (int64_t task = span.begin; task < span.end; task++) {
        norm_slice slice = slice_of(args, task);
        group_norm_slice(kern, args, &slice);
    }
}

static void group_norm(vt_kern *kern, const vt_group_norm *a) {
    int64_t tasks = a->groups * slice_count(a);
    vt_cpu_deal(kern, tasks > 1, tasks, group_norm_part, a);
}

static void strip_move_gradient(vt_norm_strip *strip, const vt_group_norm_grad *a,
                                const norm_slice *slice, size_t from) {
    const vt_group_norm *f = &a->forward;
    strip_move(strip, f, slice, from, f->mean + slice->row, f->rstd + slice->row);
    strip->dy = a->dy + slice->at + from;
    strip->out = a->dx + slice->at + from;
}

typedef struct norm_dx_loop {
    const vt_group_norm_grad *args;
    vt_turns *turns;
} norm_dx_loop;

/* In turns: the pictures' shares of dgamma and dbeta are added in the order of pictures, by whichever
 * thread. */
static void add_in_turn(const norm_dx_loop *l, int64_t task, const norm_slice *slice,
                        const double *dbeta, const double *dgamma) {
    vt_turn_begin(l->turns, task);
    for (size_t c = 0; c < slice->width; c++) {
        l->args->dbeta[slice->first + c] += (float)dbeta[c];
        l->args->dgamma[slice->first + c] += (float)dgamma[c];
    }
    vt_turn_end(l->turns);
}

static void norm_dx_slice(const vt_kern *kern, const norm_dx_loop *l, int64_t task) {
    const vt_picture_loops *loops = loops_of(kern);
    const vt_group_norm_grad *a = l->args;
    const vt_group_norm *f = &a->forward;
    norm_slice slice = slice_of(f, task);
    vt_norm_strip strip = {.stride = (size_t)f->channels,
                           .rows = (size_t)f->pixels,
                           .silu = f->silu,
                           .accumulate = a->accumulate};
    double dbeta[SLICE_MOST], dgamma[SLICE_MOST], mean_d[SLICE] = {0}, mean_dn[SLICE] = {0};
    double count = (double)f->pixels * (double)slice.group_width;
    for (size_t from = 0; from < slice.width; from += VT_PICTURE_STRIP) {
        strip_move_gradient(&strip, a, &slice, from);
        loops->gradient_sums(&strip, dbeta + from, dgamma + from);
        for (size_t c = 0; c < strip.width; c++) {
            mean_d[(from + c) / slice.group_width] +=
                (double)strip.gamma[c] * dbeta[from + c] / count;
            mean_dn[(from + c) / slice.group_width] +=
                (double)strip.gamma[c] * dgamma[from + c] / count;
        }
    }
    add_in_turn(l, task, &slice, dbeta, dgamma);
    for (size_t from = 0; from < slice.width; from += VT_PICTURE_STRIP) {
        strip_move_gradient(&strip, a, &slice, from);
        for (size_t c = 0; c < strip.width; c++) {
            strip.mean_d[c] = (float)mean_d[(from + c) / slice.group_width];
            strip.mean_dn[c] = (float)mean_dn[(from + c) / slice.group_width];
        }
        loops->gradient(&strip);
    }
}

static void norm_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    for (int64_t task = span.begin; task < span.end; task++) norm_dx_slice(kern, args, task);
}

static void group_norm_dx(vt_kern *kern, const vt_group_norm_grad *a) {
    const vt_group_norm *f = &a->forward;
    if (f->channels / f->channel_groups > SLICE_MOST) { /* no model's; ref holds any width */
        vt_kern ref = *kern;
        vt_ref_fill_pictures(&ref);
        ref.group_norm_dx(kern, a);
        return;
    }
    int64_t tasks = f->groups * slice_count(f);
    vt_turns turns = {0};
    vt_cpu_deal(kern, tasks > 1, tasks, norm_dx_part, &(norm_dx_loop){a, &turns});
}

/* ---- resizing ---- */

static bool worth_threads(size_t rows, size_t floats) {
    return rows > 1 && rows * floats > VT_CPU_PARALLEL_MIN;
}

/* Maps brought to another size, or their gradients. */
typedef struct resize_loop {
    float *to;
    const float *x;
    int from_side, to_side;
    size_t width, pixel; /* pixels of a line of the smaller map, where it is doubled; channels */
} resize_loop;

static void upsample2_part(const vt_kern *kern, const void *args, vt_span span) {
    const resize_loop *l = args;
    const size_t width = l->width, pixel = l->pixel;
    (void)kern;
    for (size_t row = (size_t)span.begin; row < (size_t)span.end; row++) {
        const float *from = l->x + row * width * pixel;
        float *to = l->to + row * 4 * width * pixel;
        for (size_t col = 0; col < width; col++) {
            memcpy(to + 2 * col * pixel, from + col * pixel, pixel * sizeof *to);
            memcpy(to + (2 * col + 1) * pixel, from + col * pixel, pixel * sizeof *to);
        }
        memcpy(to + 2 * width * pixel, to, 2 * width * pixel * sizeof *to);
    }
}

static void upsample2(vt_kern *kern, float *y, const float *x, int groups, int h, int w, int c) {
    const resize_loop loop = {.to = y, .x = x, .width = (size_t)w, .pixel = (size_t)c};
    const size_t rows = (size_t)groups * (size_t)h;
    vt_cpu_split(kern, worth_threads(rows, 4 * loop.width * loop.pixel), (int64_t)rows,
                 upsample2_part, &loop);
}

static void upsample2_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const resize_loop *l = args;
    const size_t width = l->width, pixel = l->pixel;
    (void)kern;
    for (size_t row = (size_t)span.begin; row < (size_t)span.end; row++) {
        float *restrict to = l->to + row * width * pixel;
        const float *upper = l->x + row * 4 * width * pixel, *lower = upper + 2 * width * pixel;
        for (size_t col = 0; col < width;
             col++, to += pixel, upper += 2 * pixel, lower += 2 * pixel) {
#pragma omp simd
            for (size_t i = 0; i < pixel; i++)
                to[i] = (upper[i] + upper[i + pixel]) + (lower[i] + lower[i + pixel]);
        }
    }
}

static void upsample2_dx(vt_kern *kern, float *dx, const float *dy, int groups, int h, int w,
                         int c) {
    const resize_loop loop = {.to = dx, .x = dy, .width = (size_t)w, .pixel = (size_t)c};
    const size_t rows = (size_t)groups * (size_t)h;
    vt_cpu_split(kern, worth_threads(rows, 4 * loop.width * loop.pixel), (int64_t)rows,
                 upsample2_dx_part, &loop);
}

/* The inputs that output i of an adaptive average reads: [*first, *end). */
static void area_span(int i, int from, int to, int *first, int *end) {
    *first = (int)((int64_t)i * from / to);
    *end = (int)(((int64_t)(i + 1) * from + to - 1) / to);
}

static void resize_area_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_picture_loops *loops = loops_of(kern);
    const resize_loop *l = args;
    const int from = l->from_side, to = l->to_side;
    size_t width = l->pixel, line = (size_t)from * width, floats = (size_t)to * width;
    for (int64_t row = span.begin; row < span.end; row++) {
        const float *picture = l->x + (size_t)(row / to) * (size_t)from * line;
        float *out = l->to + (size_t)row * floats;
        int top, bottom, left, right;
        area_span((int)(row % to), from, to, &top, &bottom);
        memset(out, 0, floats * sizeof *out);
        for (int ox = 0; ox < to; ox++, out += width) {
            area_span(ox, from, to, &left, &right);
            float share = 1.0f / (float)((bottom - top) * (right - left));
            for (int iy = top; iy < bottom; iy++)
                for (int ix = left; ix < right; ix++)
                    loops->add_scaled(out, share, picture + (size_t)iy * line + (size_t)ix * width,
                                      width);
        }
    }
}

static void resize_area(vt_kern *kern, float *y, const float *x, int groups, int from, int to,
                        int c) {
    const resize_loop loop = {y, x, from, to, .pixel = (size_t)c};
    const int64_t rows = (int64_t)groups * to;
    vt_cpu_split(kern, worth_threads((size_t)rows, (size_t)(from + to) * loop.pixel), rows,
                 resize_area_part, &loop);
}

/* The four inputs of one output along an axis, and their weights (they sum to 1). */
typedef struct cubic_taps {
    size_t at[4];
    float weight[4];
} cubic_taps;

/* Keys' cubic with a = -0.75 around output i's centre; taps past an edge read the edge. */
static cubic_taps cubic_taps_of(int i, int from, int to) {
    const double a = -0.75;
    double source = (i + 0.5) * from / to - 0.5, base = floor(source), t = source - base;
    double weight[4] = {
        ((a * (t + 1) - 5 * a) * (t + 1) + 8 * a) * (t + 1) - 4 * a,
        ((a + 2) * t - (a + 3)) * t * t + 1,
        ((a + 2) * (1 - t) - (a + 3)) * (1 - t) * (1 - t) + 1,
        ((a * (2 - t) - 5 * a) * (2 - t) + 8 * a) * (2 - t) - 4 * a,
    };
    cubic_taps taps;
    for (int k = 0; k < 4; k++) {
        int at = (int)base + k - 1;
        taps.at[k] = (size_t)(at < 0 ? 0 : at >= from ? from - 1 : at);
        taps.weight[k] = (float)weight[k];
    }
    return taps;
}

static void resize_bicubic_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_picture_loops *loops = loops_of(kern);
    const resize_loop *l = args;
    const int from = l->from_side, to = l->to_side;
    size_t width = l->pixel, line = (size_t)from * width, floats = (size_t)to * width;
    for (int64_t row = span.begin; row < span.end; row++) {
        const float *picture = l->x + (size_t)(row / to) * (size_t)from * line;
        float *out = l->to + (size_t)row * floats;
        cubic_taps down = cubic_taps_of((int)(row % to), from, to);
        memset(out, 0, floats * sizeof *out);
        for (int ox = 0; ox < to; ox++, out += width) {
            cubic_taps across = cubic_taps_of(ox, from, to);
            for (int j = 0; j < 4; j++)
                for (int i = 0; i < 4; i++)
                    loops->add_scaled(out, down.weight[j] * across.weight[i],
                                      picture + down.at[j] * line + across.at[i] * width, width);
        }
    }
}

static void resize_bicubic(vt_kern *kern, float *y, const float *x, int groups, int from, int to,
                           int c) {
    const resize_loop loop = {y, x, from, to, .pixel = (size_t)c};
    const int64_t rows = (int64_t)groups * to;
    vt_cpu_split(kern, worth_threads((size_t)rows, 16 * (size_t)to * loop.pixel), rows,
                 resize_bicubic_part, &loop);
}

static void resize_bicubic_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_picture_loops *loops = loops_of(kern);
    const resize_loop *l = args;
    const int from = l->from_side, to = l->to_side;
    size_t width = l->pixel, line = (size_t)from * width, floats = (size_t)(to * to) * width;
    for (int64_t g = span.begin; g < span.end; g++) { /* outputs share inputs: a task a picture */
        float *picture = l->to + (size_t)g * (size_t)from * line;
        const float *d = l->x + (size_t)g * floats;
        memset(picture, 0, (size_t)from * line * sizeof *picture);
        for (int oy = 0; oy < to; oy++) {
            cubic_taps down = cubic_taps_of(oy, from, to);
            for (int ox = 0; ox < to; ox++, d += width) {
                cubic_taps across = cubic_taps_of(ox, from, to);
                for (int j = 0; j < 4; j++)
                    for (int i = 0; i < 4; i++)
                        loops->add_scaled(picture + down.at[j] * line + across.at[i] * width,
                                          down.weight[j] * across.weight[i], d, width);
            }
        }
    }
}

static void resize_bicubic_dx(vt_kern *kern, float *dx, const float *dy, int groups, int from,
                              int to, int c) {
    const resize_loop loop = {dx, dy, from, to, .pixel = (size_t)c};
    const size_t floats = (size_t)to * (size_t)to * loop.pixel;
    vt_cpu_split(kern, worth_threads((size_t)groups, 16 * floats), groups, resize_bicubic_dx_part,
                 &loop);
}

/* ---- codes ---- */

typedef struct nearest_loop {
    int32_t *index;
    const float *x;
    const vt_weight *codebook;
    float *norms, *slots; /* (codes); a slot a thread */
    int rows;             /* of a group */
    int64_t blocks;       /* of a group */
} nearest_loop;

/* Floats of a slot: the products of a block of rows with all codes. */
static size_t nearest_slot(int rows, int codes) {
    return smaller(NEAREST_ROWS, (size_t)rows) * (size_t)codes;
}

static void norms_part(const vt_kern *kern, const void *args, vt_span span) {
    const nearest_loop *l = args;
    const size_t width = (size_t)l->codebook->k;
    for (size_t n = (size_t)span.begin; n < (size_t)span.end; n++)
        l->norms[n] = (float)vt_cpu_loops(kern)->sum_squares(l->codebook->w + n * width, width);
}

static void nearest_part(const vt_kern *kern, const void *args, vt_span span) {
    const nearest_loop *l = args;
    const vt_weight *codebook = l->codebook;
    const size_t codes = (size_t)codebook->n, width = (size_t)codebook->k, rows = (size_t)l->rows;
    float *dots = l->slots + (size_t)span.thread * nearest_slot(l->rows, codebook->n);
    for (int64_t task = span.begin; task < span.end; task++) {
        size_t begin = (size_t)(task % l->blocks) * NEAREST_ROWS,
               count = smaller(NEAREST_ROWS, rows - begin);
        size_t first = (size_t)(task / l->blocks) * rows + begin;
        vt_cpu_sgemm(CblasNoTrans, CblasTrans, (int)count, codebook->n, codebook->k, 1,
                     l->x + first * width, codebook->k, codebook->w, codebook->k, 0, dots,
                     codebook->n);
        for (size_t r = 0; r < count; r++)
            l->index[first + r] = loops_of(kern)->nearest(l->norms, dots + r * codes, codes);
    }
}

static size_t nearest_code_workspace(const vt_kern *kern, int groups, int rows, int codes) {
    (void)groups;
    return ((size_t)codes + (size_t)kern->threads * nearest_slot(rows, codes)) * sizeof(float);
}

/* |x - e|^2 without |x|^2, which no comparison needs: |e|^2 - 2 x.e. */
static void nearest_code(vt_kern *kern, int32_t *index, const float *x, const vt_weight *codebook,
                         int groups, int rows, void *workspace) {
    const size_t codes = (size_t)codebook->n;
    const nearest_loop loop = {.index = index,
                               .x = x,
                               .codebook = codebook,
                               .norms = workspace,
                               .slots = (float *)workspace + codes,
                               .rows = rows,
                               .blocks = vt_cpu_pieces(rows, NEAREST_ROWS)};
    const int64_t tasks = groups * loop.blocks;
    vt_cpu_split(kern, worth_threads(codes, (size_t)codebook->k), codebook->n, norms_part, &loop);
    vt_cpu_deal(kern, tasks > 1, tasks, nearest_part, &loop);
}

static bool conv_direct(const vt_kern *kern) {
    return vt_cpu_tiles(kern)->direct_conv;
}

/* The kernels take both, on AMX bf16 faster where a map is made without products beside it, but the golden tokenizer B is then 2.5e-2
 * from its reference, beyond the 2e-2 that bf16 keeps (docs/PERFORMANCE.md, "With AMX"). */
static vt_number conv_map(const vt_kern *kern, const vt_weight *weight) {
    (void)kern;
    (void)weight;
    return VT_NUMBER_F32;
}

void vt_cpu_fill_pictures(vt_kern *kern) {
    vt_cpu *cpu = (vt_cpu *)kern;
    cpu->picture_loops = &vt_picture_loops_baseline;
#if defined(__x86_64__)
    if (cpu->loops == &vt_loops_avx2) cpu->picture_loops = &vt_picture_loops_avx2;
    if (cpu->loops == &vt_loops_avx512) cpu->picture_loops = &vt_picture_loops_avx512;
#endif
    cpu->map_loops = &vt_map_loops_baseline;
#if defined(__x86_64__)
    if (cpu->loops == &vt_loops_avx2) cpu->map_loops = &vt_map_loops_avx2;
    if (cpu->loops == &vt_loops_avx512) cpu->map_loops = &vt_map_loops_avx512;
    if (vt_isa_best() >= VT_ISA_AVX512BF16) cpu->map_loops = &vt_map_loops_avx512bf16;
#endif
    kern->conv_direct = conv_direct;
    kern->conv_map = conv_map;
    kern->conv_workspace = vt_cpu_conv_workspace;
    kern->conv = vt_cpu_conv;
    kern->conv_dx = vt_cpu_conv_dx;
    kern->conv_dw = vt_cpu_conv_dw;
    kern->group_norm = group_norm;
    kern->group_norm_dx = group_norm_dx;
    kern->upsample2 = upsample2;
    kern->upsample2_dx = upsample2_dx;
    kern->pool = vt_cpu_pool;
    kern->resize_bilinear = vt_cpu_resize_bilinear;
    kern->resize_area = resize_area;
    kern->resize_bicubic = resize_bicubic;
    kern->resize_bicubic_dx = resize_bicubic_dx;
    kern->nearest_code_workspace = nearest_code_workspace;
    kern->nearest_code = nearest_code;
}

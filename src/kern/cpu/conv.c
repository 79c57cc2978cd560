/* conv.c - float32 convolutions of the cpu backend as products over rows of patches, and their
 * backward.
 *
 * Called through the table (filled in pictures.c); hands packed weights on to conv_packed.c, conv_dw.c,
 * conv_narrow.c and conv_winograd.c. Where the convolution normalises or enlarges what it reads, a few pictures at a time are first written
 * to the workspace so. A picture is cut into blocks of up to BLOCK
 * output pixels; one thread copies a block's patches into its slot of the workspace (never a whole
 * picture's, so that the patches stay in its cache) and multiplies them by the kernel with one
 * product. NHWC makes that copy cheap: the taps of one kernel row are neighbours in memory. A 1x1
 * convolution multiplies the picture in place.
 *
 *     slot: a row a pixel                         kernel (O, kh kw I)
 *     pixel 0   | row above | row | row below |   times its transpose:  y (256 pixels, O)
 *     pixel 1   |  3 x I    | 3 I |   3 x I   |
 *      ...        each a memcpy of kw I floats
 *     pixel 255
 *
 * Blocks are cut by sizes alone and never span two pictures (except in conv_dw, which sums over
 * pictures), so a picture's result depends neither on its batch nor on the thread count. */
#include "kern/cpu/conv.h"

#include "kern/blas.h"
#include "kern/cpu/conv_norm.h"
#include "kern/cpu/conv_rolling.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/map_loops.h"
#include "kern/cpu/weight.h"

#include <string.h>

enum {
    BLOCK = 256, /* output pixels a product, at most */
    /* Small maps have many channels and few blocks. From WIDE output channels on a block is halved,
     * and a picture of few blocks is cut into tiles of WIDE_TILE channels, to feed the threads. */
    WIDE = 256,
    WIDE_TILE = 320,
    CHUNKS = 8,         /* partial sums conv_dw keeps, at most; with fewer its output is cut too: */
    CHANNEL_TILE = 128, /* output channels a task there */
    STRIP = 64          /* channels whose bias gradients are summed at a time */
};
#define ROUND_FLOATS ((size_t)1 << 22)   /* maps held at a time, unless one picture's is larger */
#define PARTIAL_FLOATS ((size_t)1 << 22) /* what conv_dw's partial sums may take together */

/* Where the patches of an output come from. `x` may be another convolution's dy. */
typedef struct patch_map {
    const float *x;
    int in_h, in_w, out_h, out_w, kernel, columns, stride, pad_top, pad_left;
    size_t in_c;
} patch_map;

static size_t smaller(size_t a, size_t b) {
    return a < b ? a : b;
}

static size_t larger(size_t a, size_t b) {
    return a > b ? a : b;
}

static size_t whole_lines(size_t floats) {
    return (floats + 15) / 16 * 16;
}

static size_t in_pixels(const vt_conv *a) {
    return (size_t)a->in_h * (size_t)a->in_w;
}

static size_t out_pixels(const vt_conv *a) {
    return (size_t)a->out_h * (size_t)a->out_w;
}

static size_t taps(const vt_conv *a) {
    return (size_t)a->kernel * (size_t)vt_conv_columns(a);
}

/* A patch is the pixel itself. */
static bool is_pointwise(const vt_conv *a) {
    return taps(a) == 1 && a->stride == 1 && a->pad_top == 0 && a->pad_left == 0 &&
           a->in_h == a->out_h && a->in_w == a->out_w;
}

static bool is_winograd(const vt_conv *a) {
    return a->w && a->w->spec.type != VT_NUMBER_F32 && a->kernel == 3 && a->w->spec.taps == 16;
}

static size_t slot_floats(const vt_conv *a) {
    if (is_pointwise(a)) return 0;
    size_t pixels = smaller(BLOCK, larger(in_pixels(a), (size_t)a->groups * out_pixels(a)));
    return whole_lines(pixels * taps(a) * larger((size_t)a->in_c, (size_t)a->out_c));
}

static size_t kernel_floats(const vt_conv *a) {
    return (size_t)a->out_c * taps(a) * (size_t)a->in_c;
}

/* One of conv_dw's partial sums: dw, then db. */
static size_t partial_floats(const vt_conv *a) {
    return whole_lines(kernel_floats(a)) + whole_lines((size_t)a->out_c);
}

static size_t partial_count(const vt_conv *a) {
    size_t most = smaller(CHUNKS, PARTIAL_FLOATS / partial_floats(a));
    return smaller(larger(most, 1), larger((size_t)a->groups, 1));
}

/* ---- what is read, normalised and enlarged ---- */

/* Floats of a picture as the patches see it, where that is not x itself. */
static size_t map_floats(const vt_conv *a) {
    return a->norm || a->upsample ? in_pixels(a) * (size_t)a->in_c : 0;
}

/* Pictures at a time. */
static size_t round_pictures(const vt_conv *a) {
    size_t most = map_floats(a) ? ROUND_FLOATS / map_floats(a) : (size_t)a->groups;
    return smaller(larger(most, 1), larger((size_t)a->groups, 1));
}

/* Floats before the maps: patches; then the flipped kernel or partial sums, which are not needed at
 * the same time. */
static size_t gradient_floats(const vt_kern *kern, const vt_conv *a) {
    size_t flipped = whole_lines(kernel_floats(a));
    return (size_t)kern->threads * slot_floats(a) +
           larger(flipped, partial_count(a) * partial_floats(a));
}

size_t vt_cpu_conv_workspace(const vt_kern *kern, const vt_conv *a) {
    if (is_winograd(a)) return vt_cpu_conv_winograd_workspace(kern, a);
    if (a->w && a->w->spec.type != VT_NUMBER_F32) {
        if (vt_cpu_conv_is_narrow(a))
            return larger(vt_cpu_conv_packed_workspace(kern, a),
                          vt_cpu_conv_narrow_workspace(kern, a));
        if (!vt_cpu_conv_is_rolling(kern, a)) return vt_cpu_conv_packed_workspace(kern, a);
        return larger(a->w->turned ? vt_cpu_conv_packed_workspace(kern, a) : 0,
                      vt_cpu_conv_rolling_workspace(kern, a));
    }
    size_t round = round_pictures(a);
    return (gradient_floats(kern, a) + whole_lines(round * map_floats(a))) * sizeof(float) +
           vt_norm_plan_bytes(kern, a, round);
}

/* Row `row` of x into the map at `to`, which is `at` of the round: once, or enlarged. */
static void map_row(const vt_kern *kern, const vt_conv *a, const vt_norm_plan *norm, size_t at,
                    const float *x, float *to) {
    size_t c = (size_t)a->in_c, width = (size_t)a->in_w, step = a->upsample ? 2 : 1;
    vt_map_pixels pixels = {.x = x,
                            .map = to,
                            .x_stride = c,
                            .map_stride = step * c,
                            .count = width / step,
                            .channels = c};
    if (a->norm) {
        pixels.center = norm->center + at * c;
        pixels.factor = norm->factor + at * c;
        pixels.shift = a->norm->beta;
        pixels.silu = a->norm->silu;
    }
    ((const vt_cpu *)kern)->map_loops->to_f32(&pixels);
    if (!a->upsample) return;
    for (size_t i = 0; i < width; i += 2) memcpy(to + (i + 1) * c, to + i * c, c * sizeof *to);
    memcpy(to + width * c, to, width * c * sizeof *to);
}

typedef struct maps_loop {
    const vt_conv *args;
    const vt_norm_plan *norm;
    size_t first; /* picture */
    float *maps;
} maps_loop;

/* Lines of x, before it is enlarged. */
static size_t source_rows(const vt_conv *a) {
    return (size_t)a->in_h / (a->upsample ? 2 : 1);
}

static void maps_part(const vt_kern *kern, const void *args, vt_span span) {
    const maps_loop *l = args;
    const vt_conv *a = l->args;
    size_t step = a->upsample ? 2 : 1, rows = source_rows(a);
    size_t row_floats = (size_t)a->in_w / step * (size_t)a->in_c, line = step * row_floats;
    for (size_t row = (size_t)span.begin; row < (size_t)span.end; row++) {
        size_t at = row / rows;
        map_row(kern, a, l->norm, at, (const float *)a->x + (l->first * rows + row) * row_floats,
                l->maps + at * map_floats(a) + row % rows * step * line);
    }
}

/* Pictures [first, first + count) of x into maps. */
static void make_maps(const vt_kern *kern, const vt_conv *a, size_t first, size_t count,
                      float *maps, char *norm_place) {
    vt_norm_plan norm;
    const size_t rows = count * source_rows(a), line = (size_t)a->in_w * (size_t)a->in_c;
    const bool worth = rows * line > VT_CPU_PARALLEL_MIN;
    vt_norm_plan_place(&norm, kern, a, round_pictures(a), norm_place);
    vt_norm_plan_run(&norm, kern, a, first, count, worth);
    vt_cpu_split(kern, worth, (int64_t)rows, maps_part, &(maps_loop){a, &norm, first, maps});
}

/* ---- patches ---- */

static patch_map forward_map(const vt_conv *a) {
    return (patch_map){.x = a->x,
                       .in_h = a->in_h,
                       .in_w = a->in_w,
                       .out_h = a->out_h,
                       .out_w = a->out_w,
                       .kernel = a->kernel,
                       .columns = vt_conv_columns(a),
                       .stride = a->stride,
                       .pad_top = a->pad_top,
                       .pad_left = a->pad_left,
                       .in_c = (size_t)a->in_c};
}

/* One kernel row of one patch: `columns` pixels from (iy, ix) on, zeros where the padding is. */
static void copy_patch_row(const patch_map *m, float *to, const float *picture, int iy, int ix) {
    size_t c = m->in_c;
    int low = ix < 0 ? -ix : 0, high = m->in_w - ix;
    if (low > m->columns) low = m->columns;
    if (high > m->columns) high = m->columns;
    if (iy < 0 || iy >= m->in_h || high <= low) {
        memset(to, 0, (size_t)m->columns * c * sizeof *to);
        return;
    }
    const float *from = picture + ((size_t)iy * (size_t)m->in_w + (size_t)(ix + low)) * c;
    if (low > 0) memset(to, 0, (size_t)low * c * sizeof *to);
    memcpy(to + (size_t)low * c, from, (size_t)(high - low) * c * sizeof *to);
    if (high < m->columns)
        memset(to + (size_t)high * c, 0, (size_t)(m->columns - high) * c * sizeof *to);
}

/* Patches of the output pixels [first, first + count), counted through all pictures. */
static void copy_patches(const patch_map *m, float *to, size_t first, size_t count) {
    size_t picture = (size_t)m->in_h * (size_t)m->in_w * m->in_c;
    size_t line = first / (size_t)m->out_w, row = (size_t)m->columns * m->in_c;
    int ox = (int)(first % (size_t)m->out_w), oy = (int)(line % (size_t)m->out_h);
    const float *x = m->x + line / (size_t)m->out_h * picture;
    for (size_t p = 0; p < count; p++) {
        int iy = oy * m->stride - m->pad_top, ix = ox * m->stride - m->pad_left;
        for (int ky = 0; ky < m->kernel; ky++, to += row) copy_patch_row(m, to, x, iy + ky, ix);
        if (++ox < m->out_w) continue;
        ox = 0;
        if (++oy < m->out_h) continue;
        oy = 0;
        x += picture;
    }
}

/* y (groups, out pixels, n), its pixels `stride` floats apart, = residual + bias + patches W^T, W (n, k). */
typedef struct patch_product {
    patch_map map;
    int groups, n;
    const float *w, *bias; /* bias may be NULL */
    const float *residual; /* likewise; may be y */
    float *y;
    size_t stride; /* n where there is a residual */
    bool relu;
    float *slots; /* room for patches, `slot` floats a thread; NULL: map.x holds the patches */
    size_t slot;
} patch_product;

/* What the product is added to: `count` rows of `width` floats. false: nothing. */
static bool begin_rows(const patch_product *p, size_t at, size_t channel, size_t count,
                       size_t width) {
    const float *bias = p->bias ? p->bias + channel : NULL;
    for (size_t row = 0; row < count && (bias || p->residual != p->y); row++, at += p->stride) {
        float *to = p->y + at;
        if (bias && p->residual) {
#pragma omp simd
            for (size_t c = 0; c < width; c++) to[c] = bias[c] + p->residual[at + c];
        } else if (bias || p->residual) {
            memcpy(to, bias ? bias : p->residual + at, width * sizeof *to);
        }
    }
    return bias || p->residual;
}

/* max(y, 0) over `count` rows of `width` floats. */
static void cut_rows(const patch_product *p, size_t at, size_t count, size_t width) {
    for (size_t row = 0; row < count; row++) {
        float *y = p->y + at + row * p->stride;
#pragma omp simd
        for (size_t c = 0; c < width; c++) y[c] = y[c] < 0 ? 0 : y[c];
    }
}

/* How the product of a picture is cut: blocks of pixels, tiles of channels. */
static size_t patch_pixels(const patch_map *m) {
    return (size_t)m->out_h * (size_t)m->out_w;
}

static int64_t patch_blocks(const patch_product *p) {
    return vt_cpu_pieces((int64_t)patch_pixels(&p->map), p->n < WIDE ? BLOCK : BLOCK / 2);
}

static int64_t patch_tiles(const patch_product *p) {
    return patch_blocks(p) <= 4 ? vt_cpu_pieces(p->n, WIDE_TILE) : 1;
}

static void patches_part(const vt_kern *kern, const void *args, vt_span span) {
    const patch_product *p = args;
    const patch_map *m = &p->map;
    size_t pixels = patch_pixels(m), k = (size_t)m->kernel * (size_t)m->columns * m->in_c;
    int64_t blocks = patch_blocks(p), tiles = patch_tiles(p);
    (void)kern;
    for (int64_t task = span.begin; task < span.end; task++) {
        int64_t tile = task % tiles, block = task / tiles % blocks;
        size_t begin = (size_t)vt_cpu_piece_begin((int64_t)pixels, blocks, 1, block);
        size_t end = (size_t)vt_cpu_piece_begin((int64_t)pixels, blocks, 1, block + 1);
        size_t channel = (size_t)vt_cpu_piece_begin(p->n, tiles, 16, tile);
        size_t channels = (size_t)vt_cpu_piece_begin(p->n, tiles, 16, tile + 1) - channel;
        size_t first = (size_t)(task / tiles / blocks) * pixels + begin, count = end - begin;
        size_t at = first * p->stride + channel;
        const float *from = m->x + first * k;
        if (p->slots) {
            float *patches = p->slots + (size_t)span.thread * p->slot;
            copy_patches(m, patches, first, count);
            from = patches;
        }
        bool added = begin_rows(p, at, channel, count, channels);
        vt_cpu_sgemm(CblasNoTrans, CblasTrans, (int)count, (int)channels, (int)k, 1, from, (int)k,
                     p->w + channel * k, (int)k, added ? 1 : 0, p->y + at, (int)p->stride);
        if (p->relu) cut_rows(p, at, count, channels);
    }
}

static void multiply_patches(const vt_kern *kern, const patch_product *p) {
    const int64_t tasks = p->groups * patch_blocks(p) * patch_tiles(p);
    vt_cpu_deal(kern, tasks > 1, tasks, patches_part, p);
}

void vt_cpu_conv(vt_kern *kern, const vt_conv *a) {
    if (a->w->spec.type != VT_NUMBER_F32) {
        (is_winograd(a)                    ? vt_cpu_conv_winograd
         : vt_cpu_conv_is_narrow(a)        ? vt_cpu_conv_narrow
         : vt_cpu_conv_is_rolling(kern, a) ? vt_cpu_conv_rolling
                                           : vt_cpu_conv_packed)(kern, a);
        return;
    }
    size_t round = round_pictures(a), groups = (size_t)a->groups;
    size_t out_floats = out_pixels(a) * vt_conv_stride(a);
    float *maps = (float *)a->workspace + gradient_floats(kern, a);
    char *norm_place = (char *)(maps + whole_lines(round * map_floats(a)));
    patch_product p = {.map = forward_map(a),
                       .n = a->out_c,
                       .w = a->w->w,
                       .bias = a->bias,
                       .stride = vt_conv_stride(a),
                       .relu = a->relu,
                       .slots = is_pointwise(a) ? NULL : a->workspace,
                       .slot = slot_floats(a)};
    for (size_t first = 0; first < groups; first += round) {
        p.groups = (int)smaller(round, groups - first);
        if (map_floats(a)) {
            make_maps(kern, a, first, (size_t)p.groups, maps, norm_place);
            p.map.x = maps;
        }
        p.residual = a->residual ? (const float *)a->residual + first * out_floats : NULL;
        p.y = (float *)a->y + first * out_floats;
        multiply_patches(kern, &p);
    }
}

typedef struct flip_loop {
    const vt_conv *args;
    float *flipped;
} flip_loop;

static void flip_part(const vt_kern *kern, const void *args, vt_span span) {
    const flip_loop *l = args;
    const vt_conv *a = l->args;
    size_t n = (size_t)a->out_c, in_c = (size_t)a->in_c, count = taps(a);
    const float *w = a->w->w;
    (void)kern;
    for (size_t i = (size_t)span.begin; i < (size_t)span.end; i++)
        for (size_t t = 0; t < count; t++)
            for (size_t o = 0; o < n; o++)
                l->flipped[(i * count + count - 1 - t) * n + o] = w[(o * count + t) * in_c + i];
}

/* The kernel (O, kh, kw, I) turned by 180 degrees with its channels exchanged: (I, kh, kw, O). */
static void flip_kernel(const vt_kern *kern, const vt_conv *a, float *flipped) {
    vt_cpu_split(kern, kernel_floats(a) > VT_CPU_PARALLEL_MIN, a->in_c, flip_part,
                 &(flip_loop){a, flipped});
}

/* Stride 1: dx is a convolution of dy with the flipped kernel. */
static void conv_dx_flipped(vt_kern *kern, const vt_conv *a, const float *dy, float *dx,
                            bool accumulate) {
    float *flipped = (float *)a->workspace + (size_t)kern->threads * slot_floats(a);
    patch_product p = {.map = {.x = dy,
                               .in_h = a->out_h,
                               .in_w = a->out_w,
                               .out_h = a->in_h,
                               .out_w = a->in_w,
                               .kernel = a->kernel,
                               .columns = a->kernel,
                               .stride = 1,
                               .pad_top = a->kernel - 1 - a->pad_top,
                               .pad_left = a->kernel - 1 - a->pad_left,
                               .in_c = (size_t)a->out_c},
                       .groups = a->groups,
                       .n = a->in_c,
                       .w = flipped,
                       .residual = accumulate ? dx : NULL,
                       .y = dx,
                       .stride = (size_t)a->in_c,
                       .slots = is_pointwise(a) ? NULL : a->workspace,
                       .slot = slot_floats(a)};
    flip_kernel(kern, a, flipped);
    multiply_patches(kern, &p);
}

static void add_run(float *restrict to, const float *restrict from, size_t n) {
#pragma omp simd
    for (size_t i = 0; i < n; i++) to[i] += from[i];
}

/* The opposite of copy_patches inside one picture: adds the gradients of patches to the pixels they
 * came from. */
static void add_patches(const vt_conv *a, float *picture, const float *from, size_t first,
                        size_t count) {
    size_t c = (size_t)a->in_c;
    for (size_t p = first; p < first + count; p++) {
        int iy = (int)(p / (size_t)a->out_w) * a->stride - a->pad_top;
        int ix = (int)(p % (size_t)a->out_w) * a->stride - a->pad_left;
        int low = ix < 0 ? -ix : 0, high = a->in_w - ix < a->kernel ? a->in_w - ix : a->kernel;
        for (int ky = 0; ky < a->kernel; ky++, iy++, from += (size_t)a->kernel * c) {
            if (iy < 0 || iy >= a->in_h || high <= low) continue;
            float *to = picture + ((size_t)iy * (size_t)a->in_w + (size_t)(ix + low)) * c;
            add_run(to, from + (size_t)low * c, (size_t)(high - low) * c);
        }
    }
}

typedef struct scatter_loop {
    const vt_conv *args;
    const float *dy;
    float *dx;
    bool accumulate;
} scatter_loop;

/* A task is a picture. */
static void scatter_part(const vt_kern *kern, const void *args, vt_span span) {
    const scatter_loop *l = args;
    const vt_conv *a = l->args;
    size_t pixels = out_pixels(a), slot = slot_floats(a), picture = in_pixels(a) * (size_t)a->in_c;
    int k = (int)(taps(a) * (size_t)a->in_c), n = a->out_c;
    (void)kern;
    for (int64_t g = span.begin; g < span.end; g++) {
        float *to = l->dx + (size_t)g * picture,
              *patches = (float *)a->workspace + (size_t)span.thread * slot;
        if (!l->accumulate) memset(to, 0, picture * sizeof *to);
        for (size_t first = 0; first < pixels; first += BLOCK) {
            size_t count = smaller(BLOCK, pixels - first);
            vt_cpu_sgemm(CblasNoTrans, CblasNoTrans, (int)count, k, n, 1,
                         l->dy + ((size_t)g * pixels + first) * (size_t)n, n, a->w->w, k, 0,
                         patches, k);
            add_patches(a, to, patches, first, count);
        }
    }
}

/* Any stride: the gradients of the patches, dy W, added up picture by picture, since patches
 * overlap. */
static void conv_dx_scattered(vt_kern *kern, const vt_conv *a, const float *dy, float *dx,
                              bool accumulate) {
    vt_cpu_deal(kern, a->groups > 1, a->groups, scatter_part,
                &(scatter_loop){a, dy, dx, accumulate});
}

void vt_cpu_conv_dx(vt_kern *kern, const vt_conv *a, const float *dy, float *dx, bool accumulate) {
    if (a->w->spec.type != VT_NUMBER_F32)
        vt_cpu_conv_packed_dx(kern, a, dy, dx, accumulate);
    else if (a->stride == 1)
        conv_dx_flipped(kern, a, dy, dx, accumulate);
    else
        conv_dx_scattered(kern, a, dy, dx, accumulate);
}

/* Adds the sums of `count` rows of dy (at stride out_c) to db, channels [0, width). */
static void add_bias_sums(const vt_kern *kern, float *db, const float *dy, size_t stride,
                          size_t count, size_t width) {
    for (size_t c = 0; c < width; c += STRIP) {
        double sums[STRIP] = {0};
        size_t strip = smaller(STRIP, width - c);
        vt_cpu_loops(kern)->column_sums(sums, dy + c, stride, (int)count, (int)strip);
        for (size_t i = 0; i < strip; i++) db[c + i] += (float)sums[i];
    }
}

/* Partial sums of one run of pictures and of output channels [channel, channel + width): dy^T
 * patches. */
static void sum_kernel_gradient(const vt_kern *kern, const vt_conv *a, const float *dy, float *dw,
                                float *db, size_t first, size_t end, size_t width, float *patches) {
    patch_map map = forward_map(a);
    int k = (int)(taps(a) * (size_t)a->in_c);
    bool begun = false;
    for (size_t c = 0; c < width; c++) db[c] = 0;
    for (; first < end; begun = true) {
        size_t count = smaller(BLOCK, end - first);
        const float *from = (const float *)a->x + first * (size_t)k,
                    *d = dy + first * (size_t)a->out_c;
        if (patches) {
            copy_patches(&map, patches, first, count);
            from = patches;
        }
        vt_cpu_sgemm(CblasTrans, CblasNoTrans, (int)width, k, (int)count, 1, d, a->out_c, from, k,
                     begun ? 1 : 0, dw, k);
        add_bias_sums(kern, db, d, (size_t)a->out_c, count, width);
        first += count;
    }
}

/* The gradient of a float32 kernel: sums over runs of pictures, then the runs in order. */
typedef struct dw_loop {
    const vt_conv *args;
    const float *dy;
    float *dw, *partials;
    int64_t chunks, tiles, pieces; /* runs of pictures; of channels; of the numbers of dw */
} dw_loop;

static void dw_sums_part(const vt_kern *kern, const void *args, vt_span span) {
    const dw_loop *l = args;
    const vt_conv *a = l->args;
    size_t slot = slot_floats(a), floats = kernel_floats(a), partial = partial_floats(a);
    size_t pixels = out_pixels(a), k = taps(a) * (size_t)a->in_c;
    for (int64_t task = span.begin; task < span.end; task++) {
        int64_t chunk = task / l->tiles, tile = task % l->tiles;
        size_t first = (size_t)vt_cpu_piece_begin(a->groups, l->chunks, 1, chunk) * pixels;
        size_t end = (size_t)vt_cpu_piece_begin(a->groups, l->chunks, 1, chunk + 1) * pixels;
        size_t channel = (size_t)vt_cpu_piece_begin(a->out_c, l->tiles, 1, tile);
        size_t width = (size_t)vt_cpu_piece_begin(a->out_c, l->tiles, 1, tile + 1) - channel;
        float *sum = l->partials + (size_t)chunk * partial;
        float *patches =
            is_pointwise(a) ? NULL : (float *)a->workspace + (size_t)span.thread * slot;
        sum_kernel_gradient(kern, a, l->dy + channel, sum + channel * k,
                            sum + whole_lines(floats) + channel, first, end, width, patches);
    }
}

static void dw_add_part(const vt_kern *kern, const void *args, vt_span span) {
    const dw_loop *l = args;
    const int64_t floats = (int64_t)kernel_floats(l->args);
    (void)kern;
    for (int64_t piece = span.begin; piece < span.end; piece++) {
        size_t begin = (size_t)vt_cpu_piece_begin(floats, l->pieces, 16, piece);
        size_t end = (size_t)vt_cpu_piece_begin(floats, l->pieces, 16, piece + 1);
        for (int64_t c = 0; c < l->chunks; c++)
            add_run(l->dw + begin, l->partials + (size_t)c * partial_floats(l->args) + begin,
                    end - begin);
    }
}

void vt_cpu_conv_dw(vt_kern *kern, const vt_conv *a, const float *dy, float *dw, float *db) {
    if (a->groups <= 0) return;
    if (a->w && a->w->spec.type != VT_NUMBER_F32) {
        vt_cpu_conv_packed_dw(kern, a, dy, dw, db);
        return;
    }
    const size_t floats = kernel_floats(a);
    dw_loop loop = {.args = a,
                    .dy = dy,
                    .dw = dw,
                    .partials = (float *)a->workspace + (size_t)kern->threads * slot_floats(a),
                    .chunks = (int64_t)partial_count(a),
                    .tiles = 1,
                    .pieces = vt_cpu_pieces((int64_t)floats, VT_CPU_PARALLEL_MIN)};
    if (loop.chunks < CHUNKS) loop.tiles = vt_cpu_pieces(a->out_c, CHANNEL_TILE);
    const int64_t tasks = loop.chunks * loop.tiles;
    vt_cpu_deal(kern, tasks > 1, tasks, dw_sums_part, &loop);
    vt_cpu_split(kern, loop.pieces > 1, loop.pieces, dw_add_part, &loop);
    for (int64_t c = 0; db && c < loop.chunks; c++)
        add_run(db, loop.partials + (size_t)c * partial_floats(a) + whole_lines(floats),
                (size_t)a->out_c);
}

/* conv_norm.c - see conv_norm.h. */
#include "kern/cpu/conv_norm.h"

#include "kern/cpu/conv.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/isa/picture_loops.h"

#include <math.h>

enum { CHUNK_FLOATS = 16384 }; /* 64 KB: two threads' worth stays in any second-level cache */

static size_t chunk_pixels(const vt_conv *a) {
    size_t pixels = CHUNK_FLOATS / (size_t)a->in_c;
    return pixels > 0 ? pixels : 1;
}

static size_t picture_pixels(const vt_conv *a) {
    size_t pixels = (size_t)a->in_h * (size_t)a->in_w;
    return a->upsample ? pixels / 4 : pixels;
}

static int64_t chunk_count(const vt_conv *a) {
    return vt_cpu_pieces((int64_t)picture_pixels(a), (int64_t)chunk_pixels(a));
}

size_t vt_norm_plan_bytes(const vt_kern *kern, const vt_conv *a, size_t pictures) {
    if (!a->norm) return 0;
    size_t channels = (size_t)a->in_c;
    size_t parts = pictures * (size_t)chunk_count(a) * (size_t)a->norm->channel_groups;
    return vt_conv_lines(parts * sizeof(vt_norm_part)) +
           vt_conv_lines((size_t)kern->threads * channels * sizeof(double)) +
           2 * vt_conv_lines(pictures * channels * sizeof(float));
}

void vt_norm_plan_place(vt_norm_plan *plan, const vt_kern *kern, const vt_conv *a, size_t pictures,
                        char *at) {
    *plan = (vt_norm_plan){.norm = a->norm};
    if (!a->norm) return;
    plan->pixels = picture_pixels(a);
    plan->channels = (size_t)a->in_c;
    plan->channel_groups = (size_t)a->norm->channel_groups;
    plan->chunks = chunk_count(a);
    plan->parts = (vt_norm_part *)at;
    at += vt_conv_lines(pictures * (size_t)plan->chunks * plan->channel_groups *
                        sizeof(vt_norm_part));
    plan->sums = (double *)at;
    at += vt_conv_lines((size_t)kern->threads * plan->channels * sizeof(double));
    plan->center = (float *)at;
    plan->factor = (float *)(at + vt_conv_lines(pictures * plan->channels * sizeof(float)));
}

/* The strip of channels [from, from + width) of the chunk that x points at. */
static void strip_set(vt_norm_strip *strip, const vt_norm_plan *p, const float *x, size_t from) {
    strip->x = x + from;
    strip->width = p->channels - from < VT_PICTURE_STRIP ? p->channels - from : VT_PICTURE_STRIP;
}

/* Sums of a chunk: down its pixels, a strip of channels at a time, then over the channels of each group.
 * First the sums, then the squares around the chunk's own mean, which loses no digits; picture_finish
 * puts chunks together.
 *
 *     pixels   | strip | strip | ... |      channels of group g are neighbours: a strip may have parts of
 *      of the  |   |   |   |   |     |      several groups, or a part of one
 *      chunk   v       v             v
 *              sums (channels)  ->  parts[g] */
static void chunk_sums(const vt_norm_plan *p, const vt_picture_loops *loops, const float *x,
                       size_t rows, double *sums, vt_norm_part *parts) {
    size_t group_width = p->channels / p->channel_groups;
    double count = (double)(rows * group_width);
    vt_norm_strip strip = {.stride = p->channels, .rows = rows};

    for (size_t from = 0; from < p->channels; from += VT_PICTURE_STRIP) {
        strip_set(&strip, p, x, from);
        loops->sums(&strip, sums + from);
    }
    for (size_t g = 0; g < p->channel_groups; g++) {
        parts[g].sum = 0;
        for (size_t c = 0; c < group_width; c++) parts[g].sum += sums[g * group_width + c];
    }
    for (size_t from = 0; from < p->channels; from += VT_PICTURE_STRIP) {
        strip_set(&strip, p, x, from);
        for (size_t c = 0; c < strip.width; c++)
            strip.mean[c] = (float)(parts[(from + c) / group_width].sum / count);
        loops->squares(&strip, sums + from);
    }
    for (size_t g = 0; g < p->channel_groups; g++) {
        parts[g].squares = 0;
        for (size_t c = 0; c < group_width; c++) parts[g].squares += sums[g * group_width + c];
    }
}

/* Puts a picture's chunks together: with c the mean a chunk's squares were taken around and m the
 * picture's, sum (x - m)^2 = squares + 2 (c - m) (sum - n c) + n (c - m)^2. */
static void picture_finish(const vt_norm_plan *p, const vt_norm_part *parts, float *center,
                           float *factor) {
    size_t group_width = p->channels / p->channel_groups;
    double all = (double)(p->pixels * group_width);
    for (size_t g = 0; g < p->channel_groups; g++) {
        double sum = 0, squares = 0;
        for (int64_t i = 0; i < p->chunks; i++) sum += parts[(size_t)i * p->channel_groups + g].sum;
        double mean = sum / all;
        for (int64_t i = 0; i < p->chunks; i++) {
            const vt_norm_part *part = &parts[(size_t)i * p->channel_groups + g];
            int64_t rows = vt_cpu_piece_begin((int64_t)p->pixels, p->chunks, 1, i + 1) -
                           vt_cpu_piece_begin((int64_t)p->pixels, p->chunks, 1, i);
            double count = (double)rows * (double)group_width;
            double around = (double)(float)(part->sum / count), off = around - mean;
            squares += part->squares + 2 * off * (part->sum - count * around) + count * off * off;
        }
        double rstd = 1 / sqrt(squares / all + (double)p->norm->eps);
        for (size_t c = g * group_width; c < (g + 1) * group_width; c++) {
            center[c] = (float)mean;
            factor[c] = (float)(rstd * (double)p->norm->gamma[c]);
        }
    }
}

/* The same from the sums of each channel (2, channels). */
static void picture_from_sums(const vt_norm_plan *p, const double *sums, float *center,
                              float *factor) {
    size_t group_width = p->channels / p->channel_groups;
    double all = (double)(p->pixels * group_width);
    for (size_t first = 0; first < p->channels; first += group_width) {
        double sum = 0, squares = 0;
        for (size_t c = first; c < first + group_width; c++) {
            sum += sums[c];
            squares += sums[p->channels + c];
        }
        double mean = sum / all, variance = squares / all - mean * mean;
        double rstd = 1 / sqrt((variance > 0 ? variance : 0) + (double)p->norm->eps);
        for (size_t c = first; c < first + group_width; c++) {
            center[c] = (float)mean;
            factor[c] = (float)(rstd * (double)p->norm->gamma[c]);
        }
    }
}

/* A round of pictures. */
typedef struct norm_round {
    const vt_norm_plan *plan;
    const float *x; /* its first picture */
    size_t first;   /* which is this one of all */
} norm_round;

static vt_norm_part *parts_of(const vt_norm_plan *p, int64_t picture) {
    return p->parts + (size_t)picture * (size_t)p->chunks * p->channel_groups;
}

static void chunks_part(const vt_kern *kern, const void *args, vt_span span) {
    const norm_round *round = args;
    const vt_norm_plan *p = round->plan;
    for (int64_t task = span.begin; task < span.end; task++) {
        int64_t picture = task / p->chunks, chunk = task % p->chunks;
        size_t begin = (size_t)vt_cpu_piece_begin((int64_t)p->pixels, p->chunks, 1, chunk);
        size_t end = (size_t)vt_cpu_piece_begin((int64_t)p->pixels, p->chunks, 1, chunk + 1);
        const float *x = round->x + ((size_t)picture * p->pixels + begin) * p->channels;
        chunk_sums(p, ((const vt_cpu *)kern)->picture_loops, x, end - begin,
                   p->sums + (size_t)span.thread * p->channels,
                   parts_of(p, picture) + (size_t)chunk * p->channel_groups);
    }
}

static void finish_part(const vt_kern *kern, const void *args, vt_span span) {
    const norm_round *round = args;
    const vt_norm_plan *p = round->plan;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; i++) {
        float *center = p->center + (size_t)i * p->channels,
              *factor = p->factor + (size_t)i * p->channels;
        if (p->norm->sums)
            picture_from_sums(p, p->norm->sums + (round->first + (size_t)i) * 2 * p->channels,
                              center, factor);
        else
            picture_finish(p, parts_of(p, i), center, factor);
    }
}

void vt_norm_plan_run(const vt_norm_plan *p, const vt_kern *kern, const vt_conv *a, size_t first,
                      size_t count, bool worth) {
    if (!p->norm) return;
    /* x is looked at where there are no sums, and F32 then */
    const norm_round round = {p, (const float *)a->x + first * p->pixels * p->channels, first};
    if (!p->norm->sums) vt_cpu_split(kern, worth, (int64_t)count * p->chunks, chunks_part, &round);
    vt_cpu_split(kern, worth, (int64_t)count, finish_part, &round);
}

/* conv_sums.c - see conv_sums.h. */
#include "kern/cpu/conv_sums.h"

#include "kern/cpu/conv.h"
#include "kern/cpu/cpu.h"

#include <string.h>

enum { STRIP = VT_PANEL };

static size_t columns_of(const vt_conv *a) {
    return ((size_t)a->out_c + STRIP - 1) / STRIP * STRIP;
}

size_t vt_conv_sums_bytes(const vt_conv *a, int64_t pieces, size_t pictures) {
    if (!a->sums) return 0;
    return vt_conv_lines(pictures * (size_t)pieces * 2 * columns_of(a) * sizeof(float));
}

void vt_conv_sums_place(vt_conv_sums *sums, const vt_conv *a, int64_t pieces, char *at) {
    *sums = (vt_conv_sums){.args = a,
                           .pieces = pieces,
                           .columns = columns_of(a),
                           .parts = a->sums ? (float *)(void *)at : NULL};
}

static float *part_at(const vt_conv_sums *s, size_t picture, int64_t piece, size_t column) {
    return s->parts + (picture * (size_t)s->pieces + (size_t)piece) * 2 * s->columns + column;
}

float *vt_conv_sums_begin(const vt_conv_sums *s, size_t picture, int64_t piece, size_t column,
                          size_t count) {
    if (!s->parts) return NULL;
    float *sums = part_at(s, picture, piece, column);
    memset(sums, 0, count * sizeof *sums);
    memset(sums + s->columns, 0, count * sizeof *sums);
    return sums;
}

typedef struct sums_round {
    const vt_conv_sums *sums;
    size_t first; /* picture */
} sums_round;

/* A task is a strip of a picture's columns. */
static void sums_part(const vt_kern *kern, const void *args, vt_span span) {
    const sums_round *round = args;
    const vt_conv_sums *s = round->sums;
    const int64_t strips = (int64_t)(s->columns / STRIP);
    (void)kern;
    for (int64_t task = span.begin; task < span.end; task++) {
        const size_t picture = (size_t)(task / strips), column = (size_t)(task % strips) * STRIP;
        const size_t out_c = (size_t)s->args->out_c;
        const size_t width = out_c - column < STRIP ? out_c - column : STRIP;
        double sum[STRIP] = {0}, square[STRIP] = {0};
        for (int64_t piece = 0; piece < s->pieces; piece++) {
            const float *part = part_at(s, picture, piece, column);
            for (size_t c = 0; c < STRIP; c++) sum[c] += (double)part[c];
            for (size_t c = 0; c < STRIP; c++) square[c] += (double)part[s->columns + c];
        }
        double *to = s->args->sums + ((round->first + picture) * 2 * out_c) + column;
        memcpy(to, sum, width * sizeof *to);
        memcpy(to + out_c, square, width * sizeof *to);
    }
}

void vt_conv_sums_finish(const vt_conv_sums *s, const vt_kern *kern, size_t first, size_t count,
                         bool worth) {
    if (!s->parts) return;
    vt_cpu_split(kern, worth, (int64_t)(count * (s->columns / STRIP)), sums_part,
                 &(sums_round){s, first});
}

/* conv_map.c - see conv_map.h. */
#include "kern/cpu/conv_map.h"

#include "kern/cpu/conv.h"
#include "kern/cpu/cpu.h"

#include <string.h>

enum { ROUND_BYTES = 4 << 20 }; /* maps held at a time, unless one picture's is larger */

size_t vt_conv_map_size(vt_conv_map *map, const vt_kern *kern) {
    size_t bytes = vt_conv_map_picture(map) * sizeof(uint16_t), groups = (size_t)map->args->groups;
    map->round = ROUND_BYTES / (bytes + 1);
    if (map->round > groups) map->round = groups;
    if (map->round < 1) map->round = 1;
    return vt_conv_lines(map->round * bytes) + vt_norm_plan_bytes(kern, map->args, map->round);
}

void vt_conv_map_place(vt_conv_map *map, const vt_kern *kern, char *at) {
    size_t bytes = vt_conv_lines(map->round * vt_conv_map_picture(map) * sizeof(uint16_t));
    map->numbers = (uint16_t *)(void *)at;
    vt_norm_plan_place(&map->norm, kern, map->args, map->round, at + bytes);
}

/* `count` pixels of a row of x into a row of the map, or each twice. */
static void map_pixels(const vt_conv_map *m, vt_map_pixels *pixels, size_t count) {
    uint16_t *to = pixels->map;
    if (!m->enlarged) {
        pixels->count = count;
        m->loops->to_bf16(pixels);
        return;
    }
    pixels->count = 1;
    for (size_t i = 0; i < count; i++, to += m->channels) {
        if (i % 2 == 1) {
            memcpy(to, to - m->channels, m->channels * sizeof *to);
            continue;
        }
        pixels->map = to;
        m->loops->to_bf16(pixels);
        pixels->x = vt_conv_numbers(pixels->x, m->args->x_type, pixels->x_stride);
    }
}

/* Row `row` of the map of picture `at` of the round; x is that picture, (x_h, x_w, in_c). */
static void map_row(const vt_conv_map *m, size_t at, const void *x, int x_h, int x_w, int row) {
    const vt_conv *a = m->args;
    int scale = m->enlarged ? 2 : 1, y = row - m->top, count = m->w - m->left;
    if (count > x_w * scale) count = x_w * scale;
    size_t line = vt_conv_map_line(m), in_c = (size_t)a->in_c;
    uint16_t *to = m->numbers + at * vt_conv_map_picture(m) + (size_t)row * line;
    if (y < 0 || y >= x_h * scale || count <= 0) {
        memset(to, 0, line * sizeof *to);
        return;
    }
    size_t left = (size_t)m->left * m->channels, filled = left + (size_t)count * m->channels;
    vt_map_pixels pixels = {
        .x = vt_conv_numbers(x, a->x_type, (size_t)(y / scale) * (size_t)x_w * in_c),
        .x_bf16 = a->x_type == VT_NUMBER_BF16,
        .map = to + left,
        .x_stride = in_c,
        .map_stride = m->channels,
        .channels = in_c,
        .width = m->channels};
    if (a->norm) {
        pixels.center = m->norm.center + at * in_c;
        pixels.factor = m->norm.factor + at * in_c;
        pixels.shift = a->norm->beta;
        pixels.silu = a->norm->silu;
    }
    memset(to, 0, left * sizeof *to);
    map_pixels(m, &pixels, (size_t)count);
    memset(to + filled, 0, (line - filled) * sizeof *to);
}

typedef struct map_loop {
    const vt_conv_map *map;
    size_t first; /* picture */
} map_loop;

static void map_part(const vt_kern *kern, const void *args, vt_span span) {
    const map_loop *l = args;
    const vt_conv *a = l->map->args;
    int scale = a->upsample ? 2 : 1, x_h = a->in_h / scale, x_w = a->in_w / scale;
    size_t picture = (size_t)x_h * (size_t)x_w * (size_t)a->in_c;
    (void)kern;
    for (int64_t row = span.begin; row < span.end; row++) {
        size_t at = (size_t)(row / l->map->h);
        map_row(l->map, at, vt_conv_numbers(a->x, a->x_type, (l->first + at) * picture), x_h, x_w,
                (int)(row % l->map->h));
    }
}

void vt_conv_map_run(const vt_conv_map *m, const vt_kern *kern, size_t first, size_t count,
                     bool worth) {
    vt_norm_plan_run(&m->norm, kern, m->args, first, count, worth);
    vt_cpu_split(kern, worth, (int64_t)count * m->h, map_part, &(map_loop){m, first});
}

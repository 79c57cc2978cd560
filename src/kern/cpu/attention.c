/* attention.c - block-causal attention without a matrix of scores, for float32, bf16 and int8
 * keys.
 *
 * A task is one head of one sample and some of its query rows. Its thread packs the head's keys
 * and values once into its slot of the workspace (panels, as the products of isa/ read them),
 * then takes the query rows a block at a time, and for each block the keys a step at a time: scores,
 * a step of a running softmax, probabilities times values added to the block's sums.
 *
 * In float32 a step is 64 keys, and what it holds stays in the nearest cache.
 *
 * With bf16 and int8 keys a step is all keys, up to 1024: a maximum, a sum and a product with the
 * values once for all of them. The products are tiles.h's: q and the probabilities are rounded to
 * bf16, the latter before they are divided by their sum. Probabilities are relative to a whole
 * power of two, so that rounding does not depend on the order in which keys come. int8 keys and
 * values are exact in bf16; their scales multiply scores and probabilities. */
#include "kern/cpu/attention.h"

#include <string.h>

#include "kern/number.h"
#include "kern/ragged.h"

enum {
    KEYS = VT_ATTENTION_KEYS,
    PANEL = VT_ATTENTION_PANEL,
    F32_TILE = 12,  /* query rows a tile, a multiple of what the product holds in registers */
    F32_BLOCK = 36, /* query rows a block, at most; with bf16 products a tile is one */
    /* bf16: keys a step, at most. A number that has more is their sum step by step, so this alone
     * decides its bits. Scores and probabilities of a block are then 144 KB of the second cache. */
    HALF_KEYS = 1024,
    ROWS_OF_TASK = 256, /* query rows a task, fewer where heads are few: each packs for itself */
    LEAST_ROWS_OF_TASK = 64,
    ENOUGH_TASKS = 32
};

static const float log2_e = 1.44269504088896341f;

/* One slot of the workspace, in floats from its beginning; every part starts on a cache line.
 *
 *     packed once a task (panels: isa/attention_loops.h)     a block of query rows at a time
 *       k   keys x depth                                       q              block x depth
 *       v   keys x channels                                    scores, p      tile x a step's keys
 *       k_scale, v_scale   of int8: a factor a key             sums           block x channels
 *       rows   of int8: 64 keys as bf16, on the way            part           bf16: a tile of p v
 *                                                              parts_of_sum   block x 16
 *
 *     float32:  a block is 3 tiles of 12 rows. 64 keys and their values are loaded for it and serve all
 *               its tiles.
 *     bf16:     a block is a tile, of 24 or 32 rows with AVX-512 and AMX, 12 without. Scores and sums lie
 *               in runs of 64 columns, as tiles leave them.
 *     task:     256 rows of one head, packed for once; fewer where all samples' heads are less than 32. */
typedef struct slot_plan {
    bool half;           /* bf16 products */
    int depth, channels; /* head_dim, padded to what products take as depth and as panels */
    int keys;            /* padded to whole panels of scores */
    int tile, block;     /* query rows */
    int step;            /* keys */
    size_t p_stride;     /* numbers from a row of p to the next */
    size_t k, v, q, sums, scores, p, part, parts_of_sum, k_scale, v_scale, rows, total;
} slot_plan;

static void plan_block(slot_plan *s, size_t *at) {
    const size_t tile = (size_t)s->tile, block = (size_t)s->block, step = (size_t)s->step;
    s->scores = vt_attention_take(at, tile * step);
    s->parts_of_sum = vt_attention_take(at, block * PANEL);
    if (!s->half) {
        s->q = vt_attention_take(at, block * (size_t)s->depth);
        s->p = s->scores;
        s->sums = vt_attention_take(at, block * (size_t)s->channels);
        return;
    }
    s->q = vt_attention_take(at, block * (size_t)s->depth / 2);
    s->p = vt_attention_take(at, tile * s->p_stride / 2);
    s->sums = vt_attention_take(at, block * (size_t)vt_round_up(s->channels, VT_TILE_COLUMNS));
    if (s->keys > s->step) s->part = vt_attention_take(at, tile * VT_TILE_COLUMNS);
}

static slot_plan plan_of(const vt_kern *kern, const vt_attention *a) {
    slot_plan s = {.half = a->kv_type != VT_NUMBER_F32,
                   .channels = vt_round_up(a->head_dim, PANEL)};
    s.keys = vt_round_up(a->ragged ? vt_ragged_keys(a->ragged) : vt_attention_keys(a), KEYS);
    s.depth = s.half ? vt_round_up(a->head_dim, VT_TILE_DEPTH) : a->head_dim;
    s.tile = s.half ? vt_cpu_tiles(kern)->most_rows : F32_TILE;
    s.block = s.half ? s.tile : F32_BLOCK;
    s.step = s.half ? vt_least(s.keys, HALF_KEYS) : KEYS;
    s.p_stride = (size_t)s.step + (s.step % 512 == 0 ? VT_TILE_DEPTH : 0);
    size_t keys = (size_t)s.keys, depth = (size_t)s.depth, part = s.half ? 2 : 1;
    size_t at = 0;
    s.k = vt_attention_take(&at, keys * depth / part);
    s.v = vt_attention_take(&at, keys * (size_t)s.channels / part);
    plan_block(&s, &at);
    if (a->kv_type == VT_NUMBER_INT8) {
        s.k_scale = vt_attention_take(&at, keys);
        s.v_scale = vt_attention_take(&at, keys);
        s.rows = vt_attention_take(&at, KEYS * depth / 2);
    }
    s.total = at;
    return s;
}

static size_t attention_workspace(const vt_kern *kern, const vt_attention *a) {
    return ((size_t)kern->threads * plan_of(kern, a).total + VT_ATTENTION_ALIGN) * sizeof(float);
}

/* One head of one sample. */
typedef struct head {
    const vt_attention *a;
    const slot_plan *plan;
    const vt_attention_loops *loops;
    const vt_tiles *tiles;
    float *slot;
    size_t q, kv, scale, out; /* where its numbers begin */
    void *laid;               /* out_type LAID: the output of all samples */
    int packed;               /* keys that lie in the slot */
} head;

static uint16_t *halves(const head *h, size_t at) {
    return (uint16_t *)(void *)(h->slot + at);
}

/* ---- packing ---- */

/* Keys [first, end) and their values, `first` a multiple of KEYS or where the last call ended,
 * rounded down to whole depth. */
static void pack_f32(const head *h, int first, int end) {
    const vt_attention *a = h->a;
    const slot_plan *plan = h->plan;
    size_t at = h->kv + (size_t)first * a->kv_stride, depth = (size_t)plan->depth;
    const float *k = (const float *)a->k + at, *v = (const float *)a->v + at;
    for (int j = first; j < end; j += PANEL, k += PANEL * a->kv_stride)
        h->loops->pack(h->slot + plan->k + (size_t)j * depth, k, a->kv_stride,
                       vt_least(PANEL, end - j), a->head_dim);
    h->loops->pack_across(h->slot + plan->v + (size_t)first * PANEL, (size_t)plan->keys * PANEL, v,
                          a->kv_stride, end - first, a->head_dim);
}

static void pack_half(const head *h, const uint16_t *k, const uint16_t *v, size_t stride, int first,
                      int end) {
    const slot_plan *plan = h->plan;
    int head_dim = h->a->head_dim;
    for (int j = first; j < end; j += PANEL, k += PANEL * stride)
        h->loops->pack_bf16(halves(h, plan->k) + (size_t)j * (size_t)plan->depth, k, stride,
                            vt_least(PANEL, end - j), head_dim, plan->depth);
    h->loops->pack_across_bf16(halves(h, plan->v) + (size_t)first * PANEL,
                               (size_t)plan->keys * PANEL, v, stride, end - first, head_dim,
                               vt_round_up(end - first, VT_TILE_DEPTH));
}

/* A head's rows lie apart, as those of q do: the ones to come are asked for. */
static void unpack(const head *h, const int8_t *from, int rows) {
    const vt_attention *a = h->a;
    const size_t dim = (size_t)a->head_dim;
    uint16_t *to = halves(h, h->plan->rows);
    for (int j = 0; j < rows; ++j, from += a->kv_stride) {
        const uintptr_t next = (uintptr_t)from + 16 * a->kv_stride;
        h->tiles->unpack_int8(to + (size_t)j * dim, from, dim);
        for (size_t line = 0; line < dim; line += 64)
            __builtin_prefetch((const void *)(next + line));
    }
}

/* Through bf16 rows of its own, KEYS at a time. */
static void pack_int8(const head *h, int first, int end) {
    const vt_attention *a = h->a;
    const slot_plan *plan = h->plan;
    size_t dim = (size_t)a->head_dim;
    uint16_t *rows = halves(h, plan->rows);
    for (int j = first; j < end; j += KEYS) {
        int count = vt_least(KEYS, end - j);
        size_t at = h->kv + (size_t)j * a->kv_stride;
        unpack(h, (const int8_t *)a->k + at, count);
        for (int c = 0; c < count; c += PANEL)
            h->loops->pack_bf16(halves(h, plan->k) + (size_t)(j + c) * (size_t)plan->depth,
                                rows + (size_t)c * dim, dim, vt_least(PANEL, count - c),
                                a->head_dim, plan->depth);
        unpack(h, (const int8_t *)a->v + at, count);
        h->loops->pack_across_bf16(halves(h, plan->v) + (size_t)j * PANEL,
                                   (size_t)plan->keys * PANEL, rows, dim, count, a->head_dim,
                                   vt_round_up(count, VT_TILE_DEPTH));
    }
    for (int j = first; j < vt_round_up(end, KEYS); ++j) {
        size_t at = h->scale + (size_t)j * (size_t)a->heads;
        h->slot[plan->k_scale + (size_t)j] = j < end ? a->k_scale[at] : 0.0f;
        h->slot[plan->v_scale + (size_t)j] = j < end ? a->v_scale[at] : 0.0f;
    }
}

/* Keys come as segments ask for them: what a segment does not see is no part of its products, and
 * what pads the last keys to whole depth is zero. */
static void pack_up_to(head *h, int end) {
    const vt_attention *a = h->a;
    int first = h->packed / VT_TILE_DEPTH * VT_TILE_DEPTH;
    if (end <= h->packed) return;
    size_t at = h->kv + (size_t)first * a->kv_stride;
    if (a->kv_type == VT_NUMBER_F32)
        pack_f32(h, first, end);
    else if (a->kv_type == VT_NUMBER_BF16)
        pack_half(h, (const uint16_t *)a->k + at, (const uint16_t *)a->v + at, a->kv_stride, first,
                  end);
    else
        pack_int8(h, first, end);
    h->packed = end;
}

/* ---- float32: one tile of query rows and one step of keys ---- */

/* Rows of q as the products take them. */
static void take_q(const head *h, int row, int rows) {
    const vt_attention *a = h->a;
    vt_attention_copy(h->loops, h->slot + h->plan->q, (size_t)h->plan->depth,
                      a->q + h->q + (size_t)row * a->q_stride, a->q_stride, rows, a->head_dim);
}

static void scores_of(const head *h, int row, int rows, int key, int keys) {
    const slot_plan *plan = h->plan;
    size_t depth = (size_t)plan->depth;
    const vt_attention_product args = {.out = h->slot + plan->scores,
                                       .out_stride = KEYS,
                                       .a = h->slot + plan->q + (size_t)row * depth,
                                       .a_row = depth,
                                       .a_depth = 1,
                                       .b = h->slot + plan->k + (size_t)key * depth,
                                       .b_panel = depth * PANEL,
                                       .rows = rows,
                                       .panels = (keys + PANEL - 1) / PANEL,
                                       .depth = plan->depth};
    h->loops->product(&args);
}

/* sums = keep sums + p v */
static void values_of(const head *h, int row, int rows, int key, int keys, const float *keep) {
    const slot_plan *plan = h->plan;
    size_t channels = (size_t)plan->channels;
    const vt_attention_product args = {.out = h->slot + plan->sums + (size_t)row * channels,
                                       .out_stride = channels,
                                       .keep = keep,
                                       .a = h->slot + plan->p,
                                       .a_row = KEYS,
                                       .a_depth = 1,
                                       .b = h->slot + plan->v + (size_t)key * PANEL,
                                       .b_panel = (size_t)plan->keys * PANEL,
                                       .rows = rows,
                                       .panels = plan->channels / PANEL,
                                       .depth = keys};
    h->loops->product(&args);
}

/* Query rows [row, row + rows) seeing keys [0, keys). */
static void attend(const head *h, int row, int rows, int keys) {
    const slot_plan *plan = h->plan;
    float most[F32_BLOCK], keep[F32_BLOCK];
    take_q(h, row, rows);
    for (int key = 0; key < keys; key += KEYS) {
        int columns = vt_least(KEYS, keys - key);
        for (int r = 0; r < rows; r += plan->tile) {
            int count = vt_least(plan->tile, rows - r);
            const vt_attention_step step = {.scores = h->slot + plan->scores,
                                            .p = h->slot + plan->p,
                                            .by = h->a->scale * log2_e,
                                            .first = key == 0,
                                            .rows = count,
                                            .columns = columns,
                                            .most = most + r,
                                            .sum = h->slot + plan->parts_of_sum + (size_t)r * PANEL,
                                            .keep = keep + r};
            scores_of(h, r, count, key, columns);
            h->loops->step(&step);
            values_of(h, r, count, key, columns, key ? keep + r : NULL);
        }
    }
}

/* ---- bf16: a block of query rows and all keys ---- */

/* A head's rows lie pages apart, where no processor looks ahead: those of the next block are asked
 * for. Past the end of memory a prefetch does nothing. */
static void take_q_half(const head *h, int row, int rows) {
    const vt_attention *a = h->a;
    size_t dim = (size_t)a->head_dim, depth = (size_t)h->plan->depth;
    const float *from = a->q + h->q + (size_t)row * a->q_stride;
    uint16_t *to = halves(h, h->plan->q);
    for (int r = 0; r < rows; ++r, to += depth, from += a->q_stride) {
        const uintptr_t next = (uintptr_t)(from + (size_t)h->plan->block * a->q_stride);
        h->tiles->to_bf16(to, from, dim);
        for (size_t line = 0; line < dim * sizeof *from; line += 64)
            __builtin_prefetch((const void *)(next + line));
        memset(to + dim, 0, (depth - dim) * sizeof *to);
    }
}

/* A run of 64 columns of the block's scores or sums, floats. */
static size_t run_of(const slot_plan *plan) {
    return (size_t)plan->block * VT_TILE_COLUMNS;
}

static void scores_half(const head *h, int rows, int key, int keys) {
    const slot_plan *plan = h->plan;
    size_t depth = (size_t)plan->depth;
    vt_tile tile = {.out = h->slot + plan->scores,
                    .a = halves(h, plan->q),
                    .a_stride = depth,
                    .b = halves(h, plan->k) + (size_t)key * depth,
                    .b_stride = depth * PANEL,
                    .taps = 1,
                    .depth = plan->depth,
                    .rows = rows};
    for (int left = keys; left > 0; left -= KEYS) {
        tile.panels = (vt_least(KEYS, left) + PANEL - 1) / PANEL;
        h->tiles->product(&tile);
        tile.out += run_of(plan);
        tile.b += KEYS * depth;
    }
}

/* sums = keep sums + p v */
static void values_half(const head *h, int rows, int key, int keys, const float *keep) {
    const slot_plan *plan = h->plan;
    float *sums = h->slot + plan->sums;
    for (int c = 0; c < plan->channels; c += VT_TILE_COLUMNS, sums += run_of(plan)) {
        int width = vt_least(VT_TILE_COLUMNS, plan->channels - c);
        const vt_tile tile = {.out = keep ? h->slot + plan->part : sums,
                              .a = halves(h, plan->p),
                              .a_stride = plan->p_stride,
                              .b = halves(h, plan->v) + (size_t)key * PANEL +
                                   (size_t)c * (size_t)plan->keys,
                              .b_stride = (size_t)plan->keys * PANEL,
                              .taps = 1,
                              .depth = vt_round_up(keys, VT_TILE_DEPTH),
                              .rows = rows,
                              .panels = width / PANEL};
        h->tiles->product(&tile);
        if (keep)
            h->loops->gather(sums, VT_TILE_COLUMNS, keep, tile.out, VT_TILE_COLUMNS, rows, width);
    }
}

static void attend_half(const head *h, int row, int rows, int keys) {
    const slot_plan *plan = h->plan;
    float most[VT_TILE_MOST_ROWS], keep[VT_TILE_MOST_ROWS];
    const bool scaled = h->a->kv_type == VT_NUMBER_INT8;
    take_q_half(h, row, rows);
    for (int key = 0; key < keys; key += plan->step) {
        const vt_attention_powers powers = {
            .scores = h->slot + plan->scores,
            .run = run_of(plan),
            .p = halves(h, plan->p),
            .p_stride = plan->p_stride,
            .k_scale = scaled ? h->slot + plan->k_scale + key : NULL,
            .v_scale = scaled ? h->slot + plan->v_scale + key : NULL,
            .by = h->a->scale * log2_e,
            .first = key == 0,
            .rows = rows,
            .columns = vt_least(plan->step, keys - key),
            .most = most,
            .sum = h->slot + plan->parts_of_sum,
            .keep = keep};
        scores_half(h, rows, key, powers.columns);
        h->loops->powers(&powers);
        values_half(h, rows, key, powers.columns, key ? keep : NULL);
    }
}

/* ---- a head ---- */

/* Numbers of a row, which begin at number `to` of the output, into tiles (isa/tiles.h): the sums by their sum, or zeros. */
static void finish_laid(const head *h, const float *sums, const float *sum, size_t to, int count) {
    const vt_attention *a = h->a;
    const size_t at = to + (size_t)((const uint16_t *)a->out - (const uint16_t *)h->laid);
    for (int c = 0; c < count; c += VT_TILE_COLUMNS) {
        uint16_t part[VT_TILE_COLUMNS];
        const int some = vt_least(VT_TILE_COLUMNS, count - c);
        if (sums)
            h->loops->finish_bf16(part, sums + c, sum, some);
        else
            memset(part, 0, sizeof part);
        vt_tiles_put(h->laid, (int)a->out_stride, (int64_t)(at / a->out_stride),
                     (int)(at % a->out_stride) + c, part, some);
    }
}

/* One row of a block into the output; its sums lie in runs of `width`, `run` floats apart. */
static void finish_row(const head *h, const float *sums, const float *sum, size_t to, int width,
                       size_t run) {
    const vt_attention *a = h->a;
    for (int c = 0; c < a->head_dim; c += width, to += (size_t)width, sums += run) {
        const int count = vt_least(width, a->head_dim - c);
        if (a->out_type == VT_NUMBER_F32)
            h->loops->finish((float *)a->out + to, sums, sum, count);
        else if (a->out_type == VT_NUMBER_LAID)
            finish_laid(h, sums, sum, to, count);
        else
            h->loops->finish_bf16((uint16_t *)a->out + to, sums, sum, count);
    }
}

/* Without keys a row is zero. */
static void finish_rows(const head *h, int row, int rows, bool seen) {
    const vt_attention *a = h->a;
    const slot_plan *plan = h->plan;
    const int width = plan->half ? VT_TILE_COLUMNS : plan->channels;
    const size_t size = vt_number_size(a->out_type);
    for (int r = 0; r < rows; ++r) {
        size_t to = h->out + (size_t)(row + r) * a->out_stride;
        if (seen)
            finish_row(h, h->slot + plan->sums + (size_t)r * (size_t)width,
                       h->slot + plan->parts_of_sum + (size_t)r * PANEL, to, width, run_of(plan));
        else if (a->out_type == VT_NUMBER_LAID)
            finish_laid(h, NULL, NULL, to, a->head_dim);
        else
            memset((char *)a->out + to * size, 0, (size_t)a->head_dim * size);
    }
}

/* Query rows [first, last) of one head. */
static void attend_head(head *h, int first, int last) {
    const vt_attention *a = h->a;
    h->tiles->begin();
    for (int s = 0; s < a->segments; ++s) {
        int row = s && a->q_end[s - 1] > first ? a->q_end[s - 1] : first;
        int end = vt_least(a->q_end[s], last);
        if (row >= end) continue;
        pack_up_to(h, a->k_end[s]);
        for (; row < end; row += h->plan->block) {
            const int rows = vt_least(h->plan->block, end - row);
            (h->plan->half ? attend_half : attend)(h, row, rows, a->k_end[s]);
            finish_rows(h, row, rows, a->k_end[s] > 0);
        }
    }
    h->tiles->end();
}

/* Samples of equally many query rows, each head of which is cut alike. */
typedef struct attention_run {
    int first, rows;
    int64_t pieces;     /* of the rows of a head */
    int64_t first_task; /* of the loop's; a sample has heads * pieces */
} attention_run;

enum { MOST_RUNS = 64 }; /* dealt out at a time; a step has about as many as scales */

typedef struct attention_loop {
    const vt_attention *args;
    slot_plan plan;
    attention_run runs[MOST_RUNS];
    int count;
    int64_t tasks;
    float *workspace;
} attention_loop;

/* Head `at` of a sample whose numbers begin where `a` says, plus `group` strides. */
static head head_of(const vt_kern *kern, const attention_loop *l, const vt_attention *a,
                    size_t group, size_t at, int thread) {
    const size_t from = at * (size_t)a->head_dim;
    return (head){.a = a,
                  .plan = &l->plan,
                  .loops = vt_cpu_attention_loops(kern),
                  .tiles = vt_cpu_tiles(kern),
                  .slot = l->workspace + (size_t)thread * l->plan.total,
                  .q = group * a->q_group_stride + from,
                  .kv = group * a->kv_group_stride + from,
                  .scale = group * a->scale_group_stride + at,
                  .out = group * a->out_group_stride + from,
                  .laid = l->args->out};
}

static void attention_part(const vt_kern *kern, const void *args, vt_span span) {
    const attention_loop *l = args;
    const vt_attention *a = l->args;
    const attention_run *run = l->runs;
    for (int64_t task = span.begin; task < span.end; ++task) {
        while (run + 1 < l->runs + l->count && task >= run[1].first_task) ++run;
        const int64_t i = task - run->first_task, piece = i % run->pieces;
        const int g = run->first + (int)(i / run->pieces / a->heads);
        const size_t at = (size_t)(i / run->pieces % a->heads);
        int q_end, k_end;
        const vt_attention own =
            a->ragged ? vt_ragged_attention(a, g, &q_end, &k_end) : (vt_attention){0};
        head h = a->ragged ? head_of(kern, l, &own, 0, at, span.thread)
                           : head_of(kern, l, a, (size_t)g, at, span.thread);
        attend_head(&h, (int)vt_cpu_piece_begin(run->rows, run->pieces, 1, piece),
                    (int)vt_cpu_piece_begin(run->rows, run->pieces, 1, piece + 1));
    }
}

/* Heads of long samples are cut, into more pieces where there are few. */
static void run_add(attention_loop *l, int first, int groups, int rows, int64_t heads) {
    int64_t rows_of_task = ROWS_OF_TASK;
    while (rows_of_task > LEAST_ROWS_OF_TASK && heads * ROWS_OF_TASK / rows_of_task < ENOUGH_TASKS)
        rows_of_task /= 2;
    attention_run *run = &l->runs[l->count++];
    *run = (attention_run){.first = first,
                           .rows = rows,
                           .pieces = vt_cpu_pieces(rows, rows_of_task),
                           .first_task = l->tasks};
    l->tasks += (int64_t)groups * l->args->heads * run->pieces;
}

static void attention_deal(vt_kern *kern, attention_loop *l, int64_t rows) {
    const int64_t work = rows * l->args->heads * l->plan.keys * l->args->head_dim;
    vt_cpu_deal(kern, l->tasks > 1 && work > VT_CPU_PARALLEL_MIN * 8, l->tasks, attention_part, l);
    l->count = 0;
    l->tasks = 0;
}

static void attention_ragged(vt_kern *kern, attention_loop *l) {
    const vt_ragged *ragged = l->args->ragged;
    const int64_t heads = (int64_t)ragged->groups * l->args->heads;
    int64_t rows = 0;
    for (int g = 0; g < ragged->groups;) {
        const vt_ragged_run run = vt_ragged_run_at(ragged, g);
        run_add(l, g, run.groups, run.rows, heads);
        g += run.groups;
        rows += (int64_t)run.groups * run.rows;
        if (l->count < MOST_RUNS && g < ragged->groups) continue;
        attention_deal(kern, l, rows);
        rows = 0;
    }
}

static void attention(vt_kern *kern, const vt_attention *a) {
    attention_loop loop = {.args = a, .plan = plan_of(kern, a)};
    loop.workspace = vt_attention_align(a->workspace);
    if (a->ragged) {
        attention_ragged(kern, &loop);
        return;
    }
    const int rows = a->segments > 0 ? a->q_end[a->segments - 1] : 0;
    if (rows <= 0) return;
    run_add(&loop, 0, a->groups, rows, (int64_t)a->groups * a->heads);
    attention_deal(kern, &loop, (int64_t)a->groups * rows);
}

void vt_cpu_fill_attention(vt_kern *kern) {
    vt_cpu *cpu = (vt_cpu *)kern;
    cpu->attention_loops = &vt_attention_loops_baseline;
#if defined(__x86_64__)
    if (cpu->loops == &vt_loops_avx2) cpu->attention_loops = &vt_attention_loops_avx2;
    if (cpu->loops == &vt_loops_avx512) cpu->attention_loops = &vt_attention_loops_avx512;
    /* it converts and does not multiply: right where the product of pairs is slow, too */
    if (cpu->loops == &vt_loops_avx512 && vt_isa_best() >= VT_ISA_AVX512BF16)
        cpu->attention_loops = &vt_attention_loops_avx512bf16;
#endif
    kern->attention_workspace = attention_workspace;
    kern->attention = attention;
    vt_cpu_fill_attention_grad(kern);
}

/* attend.c - attention of a teacher-forced pass, forward and backward, from and to the product of
 * mat_qkv, in bf16 products.
 *
 * A head of a sample is one task, whose rows stay in the second cache: its q and k are normalised,
 * keys and values packed into panels (isa/tiles.h), and blocks of rows go through scores, softmax and
 * values. Backward finds the probabilities again from the kept sums, block by block; they and the
 * gradients of the scores are kept in bf16 for the sums over queries (dk, dv), which are outer
 * products (isa/train_loops.h). Rows of a block see as many keys as its last one, its own being
 * counted row by row. Gradients that all samples share are added up by sample, then in order.
 *
 *     a head's scores, L x L               forward, a block of rows at a time
 *     keys ->  scale 1  2   3               scores = q k^T -> p, and the log of its sum
 *     rows     [x]                          out = p v
 *     scale 2  [x  x ]                      backward, the same blocks
 *       ..     [x  x ]                      scores = q k^T -> p again, dp = dout v^T -> ds
 *     scale 3  [x  x  x ] <- block          dq = ds k
 *       ..     [x  x  x ]                   then all rows at once: dk = ds^T q, dv = p^T dout
 *
 * dk and dv sum over queries, which is the depth of an outer product; hence p and ds of all rows are kept,
 * in bf16, and q and dout are interleaved by pairs of rows (the names that end in `across`). */
#include "kern/cpu/attention.h"
#include "kern/cpu/training.h"

#include <math.h>
#include <string.h>

enum { RUN = VT_TILE_COLUMNS }; /* scores a tile */

static const float log2_e = 1.4426950408889634f;

/* Where a task's numbers lie in its thread's piece of the workspace; the same for all tasks. */
typedef struct attend_plan {
    const vt_attend *args;
    const vt_tiles *tiles;
    const vt_attention_loops *packing;
    const vt_train_loops *loops;
    int rows, block; /* of a sample; of a block of rows */
    int dim, depth;  /* of a head; rounded up to VT_TILE_DEPTH */
    int keys;        /* rows rounded up to VT_TILE_DEPTH */
    int dim_panels, key_panels, runs, dim_runs;
    size_t width;    /* C */
    size_t p_stride; /* of rows of probabilities, numbers */
    size_t bytes;    /* of a thread's piece */
    /* offsets into it, bytes */
    size_t q, k, k_panels, v_panels, scores, p, sums;                         /* both ways */
    size_t dp, ds, k_across, v_keys, q_across, dout_across, dout, turned, dq; /* backward */
} attend_plan;

static size_t take(attend_plan *p, size_t count, size_t size) {
    size_t at = p->bytes;
    p->bytes += vt_cpu_whole_lines(count * size);
    return at;
}

static int round_up(int n, int unit) {
    return (n + unit - 1) / unit * unit;
}

static void plan_make(attend_plan *p, const vt_kern *kern, const vt_attend *a, bool backward) {
    *p = (attend_plan){.args = a,
                       .tiles = vt_cpu_tiles(kern),
                       .packing = vt_cpu_attention_loops(kern),
                       .loops = vt_cpu_train_loops(kern),
                       .rows = a->rows,
                       .dim = a->head_dim,
                       .depth = round_up(a->head_dim, VT_TILE_DEPTH),
                       .keys = round_up(a->rows, VT_TILE_DEPTH),
                       .width = (size_t)a->heads * (size_t)a->head_dim};
    p->block = p->tiles->most_rows / 2 * 2; /* even: queries are interleaved by pairs */
    p->dim_panels = round_up(p->dim, VT_PANEL) / VT_PANEL;
    p->key_panels = p->keys / VT_PANEL;
    p->runs = round_up(p->keys, RUN) / RUN;
    p->dim_runs = round_up(p->dim, RUN) / RUN;
    p->p_stride = (size_t)p->keys + (p->keys % 512 == 0 ? VT_TILE_DEPTH : 0);
    const size_t rows = (size_t)p->rows, depth = (size_t)p->depth, keys = (size_t)p->keys;
    const size_t block = (size_t)p->block, half = sizeof(uint16_t), whole = sizeof(float);
    const size_t across = (size_t)p->dim_panels * VT_PANEL;
    p->q = take(p, rows * depth, half);
    p->k = take(p, rows * depth, half);
    p->k_panels = take(p, keys * depth, half);
    p->scores = take(p, block * (size_t)p->runs * RUN, whole);
    p->p = take(p, (backward ? rows + block : block) * p->p_stride, half);
    p->sums = take(p, block * (size_t)p->dim_runs * RUN, whole);
    if (!backward) {
        p->v_panels = take(p, keys * across, half);
        return;
    }
    p->dp = take(p, block * (size_t)p->runs * RUN, whole);
    p->ds = take(p, (rows + block) * p->p_stride, half);
    p->k_across = take(p, keys * across, half);
    p->v_keys = take(p, keys * depth, half);
    p->q_across = take(p, (rows + 1) * across, half);
    p->dout_across = take(p, (rows + 1) * across, half);
    p->dout = take(p, rows * depth, half);
    p->turned = take(p, (rows + 1) * VT_PANEL, half);
    p->dq = take(p, (block > VT_PANEL ? block : VT_PANEL) * (size_t)p->dim_runs * RUN, whole);
}

/* One head of one sample. */
typedef struct attend_task {
    const attend_plan *plan;
    char *room;
    int group, head;
    const uint16_t *qkv; /* its q in row 0 */
    const float *q_bias, *v_bias;
    bool unit;
    float q_scale; /* of normalised q */
} attend_task;

#define NUMBERS(t, at) ((uint16_t *)(void *)((t)->room + (t)->plan->at))
#define FLOATS(t, at) ((float *)(void *)((t)->room + (t)->plan->at))

static attend_task task_make(const attend_plan *p, char *workspace, int64_t i, int thread) {
    const vt_attend *a = p->args;
    attend_task t = {.plan = p,
                     .room = workspace + (size_t)thread * p->bytes,
                     .group = (int)(i / a->heads),
                     .head = (int)(i % a->heads),
                     .unit = a->scale_mul != NULL,
                     .q_scale = 1.0f};
    const size_t at = (size_t)t.head * (size_t)p->dim;
    t.qkv = (const uint16_t *)a->qkv + (size_t)t.group * (size_t)p->rows * 3 * p->width + at;
    t.q_bias = a->q_bias + at;
    t.v_bias = a->v_bias + at;
    const float ln_100 = 4.605170186f;
    if (t.unit) t.q_scale = (float)exp((double)fminf(a->scale_mul[t.head], ln_100));
    return t;
}

/* The rows of q and k as products take them; keys as panels. */
static void task_pack(const attend_task *t) {
    const attend_plan *p = t->plan;
    vt_head_rows rows = {.from = t->qkv,
                         .from_stride = 3 * p->width,
                         .bias = t->q_bias,
                         .unit = t->unit,
                         .s = t->q_scale,
                         .out = NUMBERS(t, q),
                         .rows = p->rows,
                         .n = p->dim,
                         .depth = p->depth};
    p->loops->head_rows(&rows);
    rows.from = t->qkv + p->width;
    rows.bias = NULL;
    rows.s = 1.0f;
    rows.out = NUMBERS(t, k);
    p->loops->head_rows(&rows);
    for (int i = 0; i < p->key_panels; ++i) {
        int left = p->rows - i * VT_PANEL;
        p->packing->pack_bf16(NUMBERS(t, k_panels) + (size_t)i * (size_t)p->depth * VT_PANEL,
                              NUMBERS(t, k) + (size_t)i * VT_PANEL * (size_t)p->depth,
                              (size_t)p->depth, left < VT_PANEL ? (left > 0 ? left : 0) : VT_PANEL,
                              p->depth, p->depth);
    }
}

/* out (rows, 16 panels), in runs of 64 columns at run floats from each other. */
static void tiles_run(const attend_plan *p, vt_tile tile, float *out, size_t run, int panels) {
    const uint16_t *b = tile.b;
    tile.taps = 1;
    for (int i = 0; i < panels; i += VT_TILE_PANELS) {
        tile.out = out + (size_t)(i / VT_TILE_PANELS) * run;
        tile.b = b + (size_t)i * tile.b_stride;
        tile.panels = panels - i < VT_TILE_PANELS ? panels - i : VT_TILE_PANELS;
        p->tiles->product(&tile);
    }
}

/* Keys that row r sees. */
static int keys_of(const vt_attend *a, int row) {
    int s = 0;
    while (s + 1 < a->segments && row >= a->ends[s]) ++s;
    return a->ends[s];
}

typedef struct row_block {
    int first, rows;
    int keys, padded; /* that its last row sees; rounded up to VT_TILE_DEPTH */
} row_block;

static row_block block_at(const attend_plan *p, int first) {
    row_block b = {.first = first};
    b.rows = p->rows - first < p->block ? p->rows - first : p->block;
    b.keys = keys_of(p->args, first + b.rows - 1);
    b.padded = round_up(b.keys, VT_TILE_DEPTH);
    return b;
}

/* FLOATS(scores) = q k^T of a block's rows. */
static void block_scores(const attend_task *t, row_block b) {
    const attend_plan *p = t->plan;
    const size_t depth = (size_t)p->depth;
    tiles_run(p,
              (vt_tile){.a = NUMBERS(t, q) + (size_t)b.first * depth,
                        .a_stride = depth,
                        .b = NUMBERS(t, k_panels),
                        .b_stride = depth * VT_PANEL,
                        .depth = p->depth,
                        .rows = b.rows},
              FLOATS(t, scores), (size_t)p->block * RUN, (b.keys + VT_PANEL - 1) / VT_PANEL);
}

static vt_score_row score_row(const attend_task *t, row_block b, int r) {
    const attend_plan *p = t->plan;
    return (vt_score_row){.scores = FLOATS(t, scores) + (size_t)r * RUN,
                          .run = (size_t)p->block * RUN,
                          .count = keys_of(p->args, b.first + r),
                          .padded = b.padded,
                          .by = p->args->scale * log2_e,
                          .scale = p->args->scale};
}

static float *log_of(const attend_task *t, int row) {
    const vt_attend *a = t->plan->args;
    return a->log_sum + ((size_t)t->group * (size_t)a->heads + (size_t)t->head) * (size_t)a->rows +
           row;
}

/* ---- forward ---- */

static void block_forward(const attend_task *t, row_block b) {
    const attend_plan *p = t->plan;
    float inverse[VT_TILE_MOST_ROWS];
    block_scores(t, b);
    for (int r = 0; r < b.rows; ++r) {
        vt_score_row row = score_row(t, b, r);
        row.p = NUMBERS(t, p) + (size_t)r * p->p_stride;
        inverse[r] = p->loops->softmax(&row);
        *log_of(t, b.first + r) = row.log;
    }
    const size_t run = (size_t)p->block * RUN;
    tiles_run(p,
              (vt_tile){.a = NUMBERS(t, p),
                        .a_stride = p->p_stride,
                        .b = NUMBERS(t, v_panels),
                        .b_stride = (size_t)p->keys * VT_PANEL,
                        .depth = b.padded,
                        .rows = b.rows},
              FLOATS(t, sums), run, p->dim_panels);
    uint16_t *out = (uint16_t *)p->args->out + (size_t)t->head * (size_t)p->dim +
                    ((size_t)t->group * (size_t)p->rows + (size_t)b.first) * p->width;
    for (int r = 0; r < b.rows; ++r, out += p->width)
        for (int i = 0; i < p->dim_runs; ++i) {
            int left = p->dim - i * RUN;
            /* the probabilities sum to 1, so the bias of v comes last */
            p->loops->scale_bf16(out + i * RUN, FLOATS(t, sums) + (size_t)i * run + r * RUN,
                                 inverse[r], t->v_bias + i * RUN, left < RUN ? left : RUN);
        }
}

static void task_forward(const attend_plan *p, char *workspace, int64_t i, int thread) {
    const attend_task t = task_make(p, workspace, i, thread);
    task_pack(&t);
    p->packing->pack_across_bf16(NUMBERS(&t, v_panels), (size_t)p->keys * VT_PANEL,
                                 t.qkv + 2 * p->width, 3 * p->width, p->rows, p->dim, p->keys);
    p->tiles->begin();
    for (int first = 0; first < p->rows; first += p->block) block_forward(&t, block_at(p, first));
    p->tiles->end();
}

static size_t attend_workspace(const vt_kern *kern, const vt_attend *a) {
    attend_plan p;
    plan_make(&p, kern, a, false);
    return VT_CPU_LINE + (size_t)kern->threads * p.bytes;
}

typedef struct attend_loop {
    const attend_plan *plan;
    const vt_attend_grad *grad; /* backward alone, and its shared sums */
    char *workspace;
    float *shared;
} attend_loop;

static void forward_part(const vt_kern *kern, const void *args, vt_span span) {
    const attend_loop *l = args;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i)
        task_forward(l->plan, l->workspace, i, span.thread);
}

static void attend(vt_kern *kern, const vt_attend *a) {
    const int64_t tasks = (int64_t)a->groups * a->heads;
    attend_plan p;
    if (a->rows <= 0) return;
    plan_make(&p, kern, a, false);
    const attend_loop loop = {.plan = &p, .workspace = vt_cpu_line_of(a->workspace)};
    vt_cpu_deal(kern, tasks > 1, tasks, forward_part, &loop);
}

/* ---- backward ---- */

/* Gradients that samples share, of one sample: dq_bias (C), dv_bias (C), dscale_mul (heads). */
static size_t shared_floats(const attend_plan *p) {
    return (vt_cpu_whole_lines((2 * p->width + (size_t)p->args->heads) * sizeof(float))) /
           sizeof(float);
}

/* Panels of what only backward reads; dout as rows of whole depth. */
static void task_pack_more(const attend_task *t, const uint16_t *dout) {
    const attend_plan *p = t->plan;
    const size_t depth = (size_t)p->depth;
    const int even = (p->rows + 1) / 2 * 2;
    p->packing->pack_across_bf16(NUMBERS(t, k_across), (size_t)p->keys * VT_PANEL, NUMBERS(t, k),
                                 depth, p->rows, p->dim, p->keys);
    p->packing->pack_across_bf16(NUMBERS(t, q_across), (size_t)even * VT_PANEL, NUMBERS(t, q),
                                 depth, p->rows, p->dim, even);
    p->packing->pack_across_bf16(NUMBERS(t, dout_across), (size_t)even * VT_PANEL, dout, p->width,
                                 p->rows, p->dim, even);
    for (int i = 0; i < p->key_panels; ++i) {
        int left = p->rows - i * VT_PANEL;
        p->packing->pack_bf16(NUMBERS(t, v_keys) + (size_t)i * depth * VT_PANEL,
                              t->qkv + 2 * p->width + (size_t)i * VT_PANEL * 3 * p->width,
                              3 * p->width, left < VT_PANEL ? (left > 0 ? left : 0) : VT_PANEL,
                              p->dim, p->depth);
    }
    for (int r = 0; r < p->rows; ++r) {
        uint16_t *to = NUMBERS(t, dout) + (size_t)r * depth;
        memcpy(to, dout + (size_t)r * p->width, (size_t)p->dim * sizeof *to);
        memset(to + p->dim, 0, (size_t)(p->depth - p->dim) * sizeof *to);
    }
}

/* Probabilities and gradients of scores of a block's rows, kept; and its dq. Returns the gradient of
 * the normalised q's length. */
static float block_backward(const attend_task *t, row_block b, uint16_t *dqkv, float *dq_bias) {
    const attend_plan *p = t->plan;
    const size_t depth = (size_t)p->depth, run = (size_t)p->block * RUN;
    block_scores(t, b);
    tiles_run(p,
              (vt_tile){.a = NUMBERS(t, dout) + (size_t)b.first * depth,
                        .a_stride = depth,
                        .b = NUMBERS(t, v_keys),
                        .b_stride = depth * VT_PANEL,
                        .depth = p->depth,
                        .rows = b.rows},
              FLOATS(t, dp), run, (b.keys + VT_PANEL - 1) / VT_PANEL);
    uint16_t *ds = NUMBERS(t, ds) + (size_t)b.first * p->p_stride;
    for (int r = 0; r < b.rows; ++r) {
        vt_score_row row = score_row(t, b, r);
        row.dp = FLOATS(t, dp) + (size_t)r * RUN;
        row.log = *log_of(t, b.first + r);
        row.p = NUMBERS(t, p) + (size_t)(b.first + r) * p->p_stride;
        row.ds = ds + (size_t)r * p->p_stride;
        p->loops->softmax_dx(&row);
    }
    tiles_run(p,
              (vt_tile){.a = ds,
                        .a_stride = p->p_stride,
                        .b = NUMBERS(t, k_across),
                        .b_stride = (size_t)p->keys * VT_PANEL,
                        .depth = b.padded,
                        .rows = b.rows},
              FLOATS(t, sums), run, p->dim_panels);
    const size_t dq_stride = (size_t)p->dim_runs * RUN;
    for (int r = 0; r < b.rows; ++r)
        for (int i = 0; i < p->dim_runs; ++i)
            memcpy(FLOATS(t, dq) + (size_t)r * dq_stride + i * RUN,
                   FLOATS(t, sums) + (size_t)i * run + r * RUN, RUN * sizeof(float));
    return p->loops->head_rows_dx(
        &(vt_head_rows_dx){.from = t->qkv + (size_t)b.first * 3 * p->width,
                           .from_stride = 3 * p->width,
                           .bias = t->q_bias,
                           .unit = t->unit,
                           .s = t->q_scale,
                           .dout = FLOATS(t, dq),
                           .dout_stride = dq_stride,
                           .dfrom = dqkv + (size_t)b.first * 3 * p->width,
                           .dfrom_stride = 3 * p->width,
                           .dbias = dq_bias,
                           .rows = b.rows,
                           .n = p->dim});
}

/* sums (16, dim) = the panel's columns of `from` (rows of probabilities or of their gradients), turned,
 * times b; rows before `first` are zero there. */
static void panel_outer(const attend_task *t, const uint16_t *from, int panel, int first,
                        const uint16_t *b) {
    const attend_plan *p = t->plan;
    const int even = (p->rows + 1) / 2 * 2, depth = even - first;
    p->packing->pack_across_bf16(NUMBERS(t, turned), (size_t)depth * VT_PANEL,
                                 from + (size_t)first * p->p_stride + (size_t)panel * VT_PANEL,
                                 p->p_stride, p->rows - first, VT_PANEL, depth);
    p->loops->outer(&(vt_outer){.out = FLOATS(t, dq),
                                .out_stride = (size_t)p->dim_runs * RUN,
                                .a = NUMBERS(t, turned),
                                .b = b + (size_t)first * VT_PANEL,
                                .b_stride = (size_t)even * VT_PANEL,
                                .a_panels = 1,
                                .b_panels = p->dim_panels,
                                .depth = depth});
}

/* dk and dv of 16 keys, which rows from `first` on see. */
static void keys_backward(const attend_task *t, int panel, int first, uint16_t *dqkv) {
    const attend_plan *p = t->plan;
    const int key = panel * VT_PANEL, left = p->rows - key;
    const int count = left < VT_PANEL ? left : VT_PANEL;
    const size_t stride = (size_t)p->dim_runs * RUN, at = (size_t)key * 3 * p->width;
    panel_outer(t, NUMBERS(t, ds), panel, first, NUMBERS(t, q_across));
    (void)p->loops->head_rows_dx(&(vt_head_rows_dx){.from = t->qkv + p->width + at,
                                                    .from_stride = 3 * p->width,
                                                    .unit = t->unit,
                                                    .s = 1.0f,
                                                    .dout = FLOATS(t, dq),
                                                    .dout_stride = stride,
                                                    .dfrom = dqkv + p->width + at,
                                                    .dfrom_stride = 3 * p->width,
                                                    .rows = count,
                                                    .n = p->dim});
    panel_outer(t, NUMBERS(t, p), panel, first, NUMBERS(t, dout_across));
    for (int r = 0; r < count; ++r)
        p->loops->scale_bf16(dqkv + 2 * p->width + at + (size_t)r * 3 * p->width,
                             FLOATS(t, dq) + (size_t)r * stride, 1.0f, NULL, p->dim);
}

static void task_backward(const attend_plan *p, const vt_attend_grad *a, char *workspace,
                          float *shared, int64_t i, int thread) {
    const attend_task t = task_make(p, workspace, i, thread);
    const size_t at = (size_t)t.head * (size_t)p->dim, row = (size_t)t.group * (size_t)p->rows;
    const uint16_t *dout = (const uint16_t *)a->dout + row * p->width + at;
    uint16_t *dqkv = (uint16_t *)a->dqkv + row * 3 * p->width + at;
    float *sums = shared + (size_t)t.group * shared_floats(p);
    float *dq_bias = sums + at, *dv_bias = sums + p->width + at, along = 0.0f;
    memset(dq_bias, 0, (size_t)p->dim * sizeof *dq_bias);
    memset(dv_bias, 0, (size_t)p->dim * sizeof *dv_bias);
    task_pack(&t);
    task_pack_more(&t, dout);
    p->loops->column_sums_bf16(dv_bias, dout, p->width, p->rows, p->dim);
    p->tiles->begin();
    int panel = 0;
    for (int first = 0; first < p->rows; first += p->block)
        along += block_backward(&t, block_at(p, first), dqkv, dq_bias);
    for (int first = 0; first < p->rows; first += p->block)
        for (int past = block_at(p, first).padded; panel * VT_PANEL < past; ++panel)
            if (panel * VT_PANEL < p->rows) keys_backward(&t, panel, first, dqkv);
    p->tiles->end();
    sums[2 * p->width + (size_t)t.head] = t.q_scale * along;
}

/* Adds the samples' sums in order. */
static void add_shared(const attend_plan *p, const vt_attend_grad *a, const float *shared) {
    const float ln_100 = 4.605170186f;
    for (int g = 0; g < p->args->groups; ++g, shared += shared_floats(p)) {
        for (size_t c = 0; c < p->width; ++c) {
            a->dq_bias[c] += shared[c];
            a->dv_bias[c] += shared[p->width + c];
        }
        for (int h = 0; p->args->scale_mul && h < p->args->heads; ++h)
            if (p->args->scale_mul[h] <= ln_100)
                a->dscale_mul[h] += shared[2 * p->width + (size_t)h];
    }
}

static size_t attend_grad_workspace(const vt_kern *kern, const vt_attend *a) {
    attend_plan p;
    plan_make(&p, kern, a, true);
    return VT_CPU_LINE + (size_t)kern->threads * p.bytes +
           (size_t)(a->groups > 0 ? a->groups : 0) * shared_floats(&p) * sizeof(float);
}

static void backward_part(const vt_kern *kern, const void *args, vt_span span) {
    const attend_loop *l = args;
    (void)kern;
    for (int64_t i = span.begin; i < span.end; ++i)
        task_backward(l->plan, l->grad, l->workspace, l->shared, i, span.thread);
}

static void attend_dx(vt_kern *kern, const vt_attend_grad *a) {
    const int64_t tasks = (int64_t)a->forward.groups * a->forward.heads;
    attend_plan p;
    if (a->forward.rows <= 0) return;
    plan_make(&p, kern, &a->forward, true);
    char *workspace = vt_cpu_line_of(a->forward.workspace);
    float *shared = (float *)(void *)(workspace + (size_t)kern->threads * p.bytes);
    vt_cpu_deal(kern, tasks > 1, tasks, backward_part, &(attend_loop){&p, a, workspace, shared});
    add_shared(&p, a, shared);
}

void vt_cpu_fill_attend(vt_kern *kern) {
    kern->attend_workspace = attend_workspace;
    kern->attend_grad_workspace = attend_grad_workspace;
    kern->attend = attend;
    kern->attend_dx = attend_dx;
}

/* product_grad.c - backward of products with bf16 weights, and packing weights that training changed.
 *
 * dx = dy W is a product like any other, with a second packed copy of W that lies the other way round
 * (weight->turned). dw = dy^T x sums over rows: dy and x are interleaved by pairs of rows (neither is
 * turned around: isa/train_loops.h), a stretch of rows at a time that stays in the second cache with
 * the sums of one block of dw. Where blocks are few the rows are cut into lanes, whose sums are added
 * in order at the end; one lane adds to dw itself. All cuts follow from the sizes alone. float32 weights go through BLAS. */
#include "kern/cpu/conv_turned.h"
#include "kern/cpu/packed_products.h"
#include "kern/cpu/training.h"
#include "kern/cpu/attention.h"
#include "kern/cpu/weight.h"

#include <stdlib.h>
#include <string.h>

/* ---- the weight the other way round ---- */

static void turned_panel(const vt_tiles *tiles, const vt_weight *weight, int64_t p) {
    const vt_weight *t = weight->turned;
    if (weight->spec.taps > 1) {
        vt_cpu_conv_turned_panel(tiles, weight, p);
        return;
    }
    const int first = (int)(p * VT_PANEL), left = t->n - first;
    tiles->pack_across((uint16_t *)t->numbers + (size_t)p * (size_t)t->depth * VT_PANEL,
                       weight->spec.values + first, (size_t)weight->k,
                       left < VT_PANEL ? left : VT_PANEL, weight->n, t->depth);
}

void vt_cpu_turned_close(vt_weight *weight) {
    if (!weight->turned) return;
    if (!weight->spec.sizes_only) free(weight->turned->numbers);
    free(weight->turned);
    weight->turned = NULL;
}

void vt_cpu_turned_refresh(vt_kern *kern, vt_weight *weight) {
    kern->weights_refresh(kern, &weight, 1);
}

variant_status vt_cpu_turned_open(vt_kern *kern, vt_weight *weight, variant_error *err) {
    const vt_weight_spec *spec = &weight->spec;
    if (spec->type != VT_NUMBER_BF16 || (!spec->values && !spec->sizes_only))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "weight: gradients of %d x %d numbers need bf16 and values", weight->n,
                       weight->k);
    vt_weight *t = calloc(1, sizeof *t);
    if (!t) return vt_fail(err, VARIANT_E_MEMORY, "weight: out of memory");
    weight->turned = t;
    *t = (vt_weight){.spec = *spec, .n = weight->k / spec->taps, .k = weight->n * spec->taps};
    t->spec.n = t->n;
    t->spec.k = t->k;
    t->spec.gradients = false;
    t->depth = (int)(vt_cpu_pieces(weight->n, VT_TILE_DEPTH) * VT_TILE_DEPTH);
    size_t panels = (size_t)vt_cpu_pieces(t->n, VT_PANEL), bytes = 0;
    size_t depth = (size_t)t->depth * (size_t)spec->taps;
    bool fits = !__builtin_mul_overflow(panels * VT_PANEL * sizeof(uint16_t), depth, &bytes);
    if (spec->sizes_only) t->numbers = VT_NO_NUMBERS;
    if (!fits || (!t->numbers && posix_memalign(&t->numbers, VT_CPU_LINE, bytes) != 0)) {
        t->numbers = NULL;
        vt_cpu_turned_close(weight);
        return vt_fail(err, VARIANT_E_MEMORY, "weight: no memory for %d x %d numbers", weight->k,
                       weight->n);
    }
    t->bytes = bytes;
    weight->bytes += bytes;
    if (!spec->sizes_only) vt_cpu_turned_refresh(kern, weight);
    return VARIANT_OK;
}

/* ---- packing many weights at once ---- */

/* Panels of one weight, both ways; those that only weight_refresh can do count as one. */
static int64_t refresh_tasks(const vt_weight *w) {
    if (!w || !w->numbers || !w->spec.values || !w->turned) return 0;
    return vt_cpu_pieces(w->n, VT_PANEL) + vt_cpu_pieces(w->turned->n, VT_PANEL);
}

static void refresh_panel(const vt_tiles *tiles, vt_weight *w, int64_t i) {
    const int64_t panels = vt_cpu_pieces(w->n, VT_PANEL);
    if (i >= panels) {
        turned_panel(tiles, w, i - panels);
        return;
    }
    const int first = (int)(i * VT_PANEL), left = w->n - first, length = w->k / w->spec.taps;
    const size_t k = (size_t)w->k, tap_numbers = (size_t)w->depth * VT_PANEL;
    uint16_t *to = (uint16_t *)w->numbers + (size_t)i * (size_t)w->spec.taps * tap_numbers;
    for (int tap = 0; tap < w->spec.taps; ++tap, to += tap_numbers)
        tiles->pack(to, w->spec.values + (size_t)first * k + (size_t)tap * (size_t)length, k,
                    left < VT_PANEL ? left : VT_PANEL, length, w->depth);
}

typedef struct refresh_loop {
    vt_weight *const *weights;
    int count;
} refresh_loop;

/* A task is a panel; the panels of all weights are counted one after another. */
static void refresh_part(const vt_kern *kern, const void *args, vt_span span) {
    const refresh_loop *l = args;
    int64_t first = 0;
    for (int i = 0; i < l->count && first < span.end; ++i) {
        const int64_t tasks = refresh_tasks(l->weights[i]), past = first + tasks;
        const int64_t end = past < span.end ? past : span.end;
        for (int64_t p = first > span.begin ? first : span.begin; p < end; ++p)
            refresh_panel(vt_cpu_tiles(kern), l->weights[i], p - first);
        first = past;
    }
}

static void weights_refresh(vt_kern *kern, vt_weight *const *weights, int count) {
    int64_t numbers = 0, panels = 0;
    for (int i = 0; i < count; ++i) {
        const int64_t tasks = refresh_tasks(weights[i]);
        panels += tasks;
        if (tasks > 0)
            numbers += (int64_t)weights[i]->n * weights[i]->k;
        else if (weights[i])
            kern->weight_refresh(kern, weights[i]);
    }
    vt_cpu_split(kern, numbers > VT_CPU_PARALLEL_MIN, panels, refresh_part,
                 &(refresh_loop){weights, count});
}

/* ---- dx ---- */

/* The forward product that dx is; `ones` (k) makes accumulating a gated addition. */
static vt_product dx_product(const vt_product_grad *a, const float *ones, void *workspace) {
    return (vt_product){.x = a->dy,
                        .x_type = a->dy_type,
                        .w = a->w->turned,
                        .y = a->dx,
                        .y_type = a->dx_type,
                        .groups = a->groups,
                        .rows = a->rows,
                        .epilogue = a->accumulate ? VT_EPILOGUE_GATE_ADD : VT_EPILOGUE_STORE,
                        .gamma = ones,
                        .workspace = workspace};
}

static size_t ones_bytes(const vt_product_grad *a) {
    return a->accumulate ? vt_cpu_whole_lines((size_t)a->w->k * sizeof(float)) : 0;
}

enum { CHUNK = 8192 }; /* numbers a task of gelu's gradient */

static int64_t dx_numbers(const vt_product_grad *a) {
    return (int64_t)a->groups * a->rows * a->w->k;
}

static void gelu_dx_part(const vt_kern *kern, const void *args, vt_span span) {
    const vt_product_grad *a = args;
    for (int64_t at = span.begin * CHUNK; at < span.end * CHUNK; at += CHUNK) {
        const int64_t left = dx_numbers(a) - at;
        vt_cpu_train_loops(kern)->gelu_dx(
            (uint16_t *)a->dx + at, a->gelu ? (uint16_t *)a->gelu + at : NULL,
            (const uint16_t *)a->dx + at, (const uint16_t *)a->gelu_of + at,
            (size_t)(left < CHUNK ? left : CHUNK));
    }
}

static void product_dx(vt_kern *kern, const vt_product_grad *a) {
    if (a->groups <= 0 || a->rows <= 0) return;
    if (!a->w->turned) {
        kern->linear_dx(kern, a->dx, a->dy, a->w, a->groups, a->rows, a->accumulate);
        return;
    }
    if (vt_cpu_rows_product_takes_dx(a)) {
        vt_cpu_rows_product_dx(kern, a);
        return;
    }
    char *workspace = vt_cpu_line_of(a->workspace);
    float *ones = (float *)(void *)workspace;
    for (int i = 0; a->accumulate && i < a->w->k; ++i) ones[i] = 1.0f;
    vt_product product = dx_product(a, ones, workspace + ones_bytes(a));
    vt_cpu_packed_product(kern, &product);
    if (!a->gelu_of) return;
    const int64_t chunks = vt_cpu_pieces(dx_numbers(a), CHUNK);
    vt_cpu_split(kern, chunks > 1, chunks, gelu_dx_part, a);
}

/* ---- dw ---- */

enum {
    /* 16 x 16 sums of one block, at most: a quarter of a megabyte. Beside them lie a stretch of
     * interleaved rows, 10 KB a panel: 320 KB with 16 panels a side, so both stay in a second cache.
     *
     *     dw block, 16 x 16 panels         a stretch: 320 rows of the batch
     *     +--+--+- ... -+                  dy: | panel | panel | ...   16 columns, pairs of rows
     *     |  |  |       | 16 panels of n   x:  | panel | panel | ...
     *     +--+--+- ... -+
     *       16 panels of k                 block += dy^T x, stretch after stretch */
    BLOCK_PANELS = 256,
    STRETCH = 320, /* rows interleaved at a time */
    MOST_LANES = 8,
    ENOUGH_TASKS = 64,
    LANE_ROWS = 256 /* a lane has at least so many rows, if there are */
};

typedef struct dw_plan {
    const vt_product_grad *args;
    int64_t rows;
    int n_panels, k_panels; /* of the whole matrix */
    int block_n, block_k;   /* panels of a block, at most */
    int64_t n_blocks, k_blocks, lanes;
    size_t sums_floats;  /* of one block in one lane */
    size_t bias_floats;  /* of one lane */
    size_t panels_bytes; /* of a thread's interleaved rows */
    float *sums, *bias;  /* (lanes, blocks, sums_floats), (lanes, bias_floats) */
    char *panels;        /* a piece a thread */
    bool direct;         /* one lane of whole panels: dw itself holds the sums */
} dw_plan;

static int least(int64_t a, int64_t b) {
    return (int)(a < b ? a : b);
}

static void dw_plan_make(dw_plan *p, const vt_product_grad *a) {
    *p = (dw_plan){.args = a, .rows = (int64_t)a->groups * a->rows};
    p->n_panels = (int)vt_cpu_pieces(a->w->n, VT_PANEL);
    p->k_panels = (int)vt_cpu_pieces(a->w->k, VT_PANEL);
    p->block_n = least(p->n_panels, 16);
    p->block_k = least(p->k_panels, BLOCK_PANELS / p->block_n);
    p->block_n = least(p->n_panels, BLOCK_PANELS / p->block_k);
    p->n_blocks = vt_cpu_pieces(p->n_panels, p->block_n);
    p->k_blocks = vt_cpu_pieces(p->k_panels, p->block_k);
    int64_t wanted = vt_cpu_pieces(ENOUGH_TASKS, p->n_blocks * p->k_blocks);
    p->lanes = least(least(wanted, MOST_LANES), p->rows < 2 * LANE_ROWS ? 1 : p->rows / LANE_ROWS);
    p->direct = p->lanes == 1 && a->w->n % VT_PANEL == 0 && a->w->k % VT_PANEL == 0;
    p->sums_floats = (size_t)p->block_n * (size_t)p->block_k * VT_PANEL * VT_PANEL;
    p->bias_floats = (size_t)p->n_panels * VT_PANEL;
    p->panels_bytes = (size_t)(p->block_n + p->block_k) * STRETCH * VT_PANEL * sizeof(uint16_t);
}

static size_t dw_bytes(const vt_kern *kern, const dw_plan *p) {
    size_t blocks = p->direct ? 0 : (size_t)(p->lanes * p->n_blocks * p->k_blocks);
    return (blocks * p->sums_floats + (size_t)p->lanes * p->bias_floats) * sizeof(float) +
           (size_t)kern->threads * p->panels_bytes;
}

static void dw_plan_place(dw_plan *p, char *workspace) {
    p->sums = (float *)(void *)workspace;
    p->bias = p->sums;
    if (!p->direct) p->bias += (size_t)(p->lanes * p->n_blocks * p->k_blocks) * p->sums_floats;
    p->panels = (char *)(p->bias + (size_t)p->lanes * p->bias_floats);
}

/* One matrix (rows, width) of which columns are interleaved. */
typedef struct dw_side {
    const void *from;
    vt_number type;
    int width;
} dw_side;

/* `panels` panels from panel `first` on, rows [begin, begin + rows). */
static void interleave(const vt_kern *kern, const dw_side *side, int first, int panels,
                       int64_t begin, int rows, int depth, uint16_t *to) {
    const size_t stride = (size_t)side->width, panel = (size_t)depth * VT_PANEL;
    const int column = first * VT_PANEL, columns = least(side->width - column, panels * VT_PANEL);
    const size_t at = (size_t)begin * stride + (size_t)column;
    if (side->type == VT_NUMBER_BF16) {
        vt_cpu_attention_loops(kern)->pack_across_bf16(to, panel, (const uint16_t *)side->from + at,
                                                       stride, rows, columns, depth);
        return;
    }
    for (int i = 0; i < panels; ++i)
        vt_cpu_tiles(kern)->pack_across(
            to + (size_t)i * panel, (const float *)side->from + at + (size_t)i * VT_PANEL, stride,
            least(columns - i * VT_PANEL, VT_PANEL), rows, depth);
}

static void add_bias(const vt_kern *kern, const vt_product_grad *a, float *bias, int column,
                     int columns, int64_t begin, int rows) {
    const vt_train_loops *loops = vt_cpu_train_loops(kern);
    const size_t n = (size_t)a->w->n, at = (size_t)begin * n + (size_t)column;
    if (a->dy_type == VT_NUMBER_BF16)
        loops->column_sums_bf16(bias, (const uint16_t *)a->dy + at, n, rows, columns);
    else
        loops->column_sums_f32(bias, (const float *)a->dy + at, n, rows, columns);
}

/* Rows as they lie, where the processor has that and widths are whole. */
static bool takes_rows(const vt_kern *kern, const vt_product_grad *a) {
    return vt_cpu_train_loops(kern)->outer_rows && a->dy_type == VT_NUMBER_BF16 &&
           a->x_type == VT_NUMBER_BF16 && a->w->n % (2 * VT_PANEL) == 0 &&
           a->w->k % (2 * VT_PANEL) == 0;
}

/* `outer` of a block whose first column and row of dw are n_first and k_first, over rows [begin, end). */
static void outer_of_rows(const vt_kern *kern, const vt_product_grad *a, const vt_outer *outer,
                          int n_first, int k_first, int64_t begin, int rows, float *bias) {
    vt_cpu_train_loops(kern)->outer_rows(
        &(vt_outer_rows){.out = outer->out,
                         .out_stride = outer->out_stride,
                         .a = (const uint16_t *)a->dy + (size_t)begin * (size_t)a->w->n + n_first,
                         .b = (const uint16_t *)a->x + (size_t)begin * (size_t)a->w->k + k_first,
                         .a_stride = (size_t)a->w->n,
                         .b_stride = (size_t)a->w->k,
                         .a_columns = outer->a_panels * VT_PANEL,
                         .b_columns = outer->b_panels * VT_PANEL,
                         .rows = rows,
                         .accumulate = outer->accumulate,
                         .a_sums = bias,
                         .room = (uint16_t *)(uintptr_t)outer->b});
}

/* The sums of one block over the rows of one lane. */
static void dw_task(const vt_kern *kern, const dw_plan *p, int64_t task, int thread) {
    const vt_product_grad *a = p->args;
    const int64_t blocks = p->n_blocks * p->k_blocks, lane = task / blocks, block = task % blocks;
    const int n_first = (int)(block / p->k_blocks) * p->block_n;
    const int k_first = (int)(block % p->k_blocks) * p->block_k;
    const int n_panels = least(p->n_panels - n_first, p->block_n);
    const int k_panels = least(p->k_panels - k_first, p->block_k);
    const int64_t begin = vt_cpu_piece_begin(p->rows, p->lanes, 2, lane);
    const int64_t end = vt_cpu_piece_begin(p->rows, p->lanes, 2, lane + 1);
    uint16_t *dy = (uint16_t *)(void *)(p->panels + (size_t)thread * p->panels_bytes);
    uint16_t *x = dy + (size_t)p->block_n * STRETCH * VT_PANEL;
    float *bias = NULL;
    if (a->db && k_first == 0)
        bias = (p->direct ? a->db : p->bias + (size_t)lane * p->bias_floats) + n_first * VT_PANEL;
    const int column = n_first * VT_PANEL, columns = least(a->w->n - column, n_panels * VT_PANEL);
    vt_outer outer = {.out = p->sums + (size_t)task * p->sums_floats,
                      .out_stride = (size_t)p->block_k * VT_PANEL,
                      .a = dy,
                      .b = x,
                      .a_panels = n_panels,
                      .b_panels = k_panels};
    if (p->direct) {
        outer.out = a->dw + (size_t)column * (size_t)a->w->k + k_first * VT_PANEL;
        outer.out_stride = (size_t)a->w->k;
    } else if (bias) {
        memset(bias, 0, (size_t)columns * sizeof *bias);
    }
    for (int64_t r = begin; r < end; r += STRETCH) {
        const int rows = least(end - r, STRETCH), depth = (rows + 1) / 2 * 2;
        outer.accumulate = p->direct || r > begin;
        if (takes_rows(kern, a)) {
            outer_of_rows(kern, a, &outer, column, k_first * VT_PANEL, r, rows, bias);
            continue;
        }
        interleave(kern, &(dw_side){a->dy, a->dy_type, a->w->n}, n_first, n_panels, r, rows, depth,
                   dy);
        interleave(kern, &(dw_side){a->x, a->x_type, a->w->k}, k_first, k_panels, r, rows, depth,
                   x);
        outer.depth = depth;
        outer.a_stride = outer.b_stride = (size_t)depth * VT_PANEL;
        vt_cpu_train_loops(kern)->outer(&outer);
        if (bias) add_bias(kern, a, bias, column, columns, r, rows);
    }
}

/* Row j of dw, the lanes in order. */
static void dw_reduce(const vt_kern *kern, const dw_plan *p, int64_t j) {
    const vt_product_grad *a = p->args;
    const vt_loops *loops = vt_cpu_loops(kern);
    const int64_t blocks = p->n_blocks * p->k_blocks, n_block = j / VT_PANEL / p->block_n;
    const size_t row = (size_t)(j - n_block * p->block_n * VT_PANEL);
    const size_t width = (size_t)p->block_k * VT_PANEL;
    for (int64_t b = 0; b < p->k_blocks; ++b) {
        float *to = a->dw + j * a->w->k + b * (int64_t)width;
        const int count = least(a->w->k - b * (int64_t)width, (int64_t)width);
        for (int64_t lane = 0; lane < p->lanes; ++lane) {
            size_t task = (size_t)(lane * blocks + n_block * p->k_blocks + b);
            loops->add(to, p->sums + task * p->sums_floats + row * width, (size_t)count);
        }
    }
    for (int64_t lane = 0; a->db && lane < p->lanes; ++lane)
        a->db[j] += p->bias[(size_t)lane * p->bias_floats + (size_t)j];
}

static void dw_part(const vt_kern *kern, const void *args, vt_span span) {
    for (int64_t i = span.begin; i < span.end; ++i) dw_task(kern, args, i, span.thread);
}

static void dw_reduce_part(const vt_kern *kern, const void *args, vt_span span) {
    for (int64_t j = span.begin; j < span.end; ++j) dw_reduce(kern, args, j);
}

static void product_dw(vt_kern *kern, const vt_product_grad *a) {
    if (a->groups <= 0 || a->rows <= 0) return;
    if (a->w->spec.type == VT_NUMBER_F32) {
        kern->linear_dw(kern, a->dw, a->db, a->dy, a->x, a->groups * a->rows, a->w->n, a->w->k);
        return;
    }
    dw_plan p;
    dw_plan_make(&p, a);
    dw_plan_place(&p, vt_cpu_line_of(a->workspace));
    const int64_t tasks = p.lanes * p.n_blocks * p.k_blocks;
    const bool wide = (int64_t)a->w->n * a->w->k * p.rows > VT_CPU_PARALLEL_MIN;
    vt_cpu_deal(kern, wide, tasks, dw_part, &p);
    if (!p.direct) vt_cpu_split(kern, wide, a->w->n, dw_reduce_part, &p);
}

static size_t product_grad_workspace(const vt_kern *kern, const vt_product_grad *a) {
    if (a->groups <= 0 || a->rows <= 0 || a->w->spec.type == VT_NUMBER_F32) return 0;
    size_t dx = 0;
    if (a->w->turned) {
        vt_product product = dx_product(a, NULL, NULL);
        dx = ones_bytes(a) + vt_cpu_packed_workspace(kern, &product);
    }
    dw_plan p;
    dw_plan_make(&p, a);
    size_t dw = dw_bytes(kern, &p);
    return VT_CPU_LINE + (dx > dw ? dx : dw);
}

/* ---- gelu ---- */

enum { GELU_CHUNK = 16384 }; /* numbers a task */

typedef struct gelu_loop {
    uint16_t *act;
    const uint16_t *pre;
    int64_t n;
} gelu_loop;

static void gelu_part(const vt_kern *kern, const void *args, vt_span span) {
    const gelu_loop *l = args;
    for (int64_t at = span.begin * GELU_CHUNK; at < span.end * GELU_CHUNK; at += GELU_CHUNK)
        vt_cpu_train_loops(kern)->gelu(l->act + at, l->pre + at,
                                       (size_t)(l->n - at < GELU_CHUNK ? l->n - at : GELU_CHUNK));
}

static void gelu_bf16(vt_kern *kern, void *act, const void *pre, size_t n) {
    const int64_t chunks = vt_cpu_pieces((int64_t)n, GELU_CHUNK);
    vt_cpu_split(kern, chunks > 1, chunks, gelu_part, &(gelu_loop){act, pre, (int64_t)n});
}

void vt_cpu_fill_product_grad(vt_kern *kern) {
    kern->weights_refresh = weights_refresh;
    kern->product_grad_workspace = product_grad_workspace;
    kern->product_dx = product_dx;
    kern->product_dw = product_dw;
    kern->gelu_bf16 = gelu_bf16;
}

/* product_finish.c - see product_finish.h. */
#include "kern/cpu/product_finish.h"

#include "kern/cpu/weight.h"
#include "kern/ragged.h"

#include <math.h>

enum { LINE = 64 };

/* Heads that lie whole in the blocks of finish. */
static bool heads_fit(const vt_product *a) {
    int dim = a->qkv->head_dim;
    return !a->bias && (dim == 16 || dim == 32 || dim == 64);
}

void vt_product_finish_make(vt_product_finish *out, const vt_tiles *tiles, const vt_product *a) {
    *out = (vt_product_finish){
        .args = a, .tiles = tiles, .rows = (int64_t)a->groups * a->rows, .parts = 1};
    out->split = a->epilogue == VT_EPILOGUE_QKV && !heads_fit(a);
    if (a->epilogue == VT_EPILOGUE_QKV && !out->split) out->parts = 3;
    out->part_columns = a->w->n / out->parts;
}

/* ---- one block ---- */

static void block_heads(const vt_product_finish *p, vt_finish_block *b) {
    const vt_qkv *q = p->args->qkv;
    const int column = b->column - b->part * p->part_columns, first = column / q->head_dim;
    vt_finish *f = &b->finish;
    f->head_dim = q->head_dim;
    f->unit = q->scale_mul && b->part < 2;
    f->bias = b->part == 0 ? q->q_bias + column : b->part == 2 ? q->v_bias + column : NULL;
    f->y_type = b->part == 0 ? VT_NUMBER_F32 : q->kv_type;
    f->y_stride = b->part == 0 ? (size_t)p->part_columns : q->kv_stride;
    f->y = b->part == 0 ? q->q : b->part == 1 ? q->k : q->v;
    if (b->part > 0 && q->ragged) { /* each stream's own, see ragged_rows */
        f->y_stride = (size_t)p->part_columns;
        f->scales_stride = (size_t)q->heads;
        return;
    }
    f->y = (char *)f->y + (size_t)column * vt_number_size(f->y_type);
    if (f->y_type == VT_NUMBER_INT8) {
        f->scales = (b->part == 1 ? q->k_scale : q->v_scale) + first;
        f->scales_stride = (size_t)q->heads;
    }
    if (!f->unit || b->part != 0) return;
    const float ln_100 = 4.605170186f;
    for (int h = 0; h * q->head_dim < b->columns; ++h)
        b->head_scale[h] = (float)exp((double)fminf(q->scale_mul[first + h], ln_100));
    f->head_scale = b->head_scale;
}

void vt_finish_block_make(const vt_product_finish *p, int part, int column, int columns,
                          vt_finish_block *b) {
    const vt_product *a = p->args;
    *b = (vt_finish_block){
        .part = part, .column = part * p->part_columns + column, .columns = columns};
    vt_finish *f = &b->finish;
    *f = (vt_finish){.columns = columns,
                     .epilogue = p->split ? VT_EPILOGUE_STORE : a->epilogue,
                     .scale = a->w->scale ? a->w->scale + b->column : NULL,
                     .bias = a->bias ? a->bias + b->column : NULL,
                     .y_type = p->split ? VT_NUMBER_F32 : a->y_type,
                     .y_stride = (size_t)a->w->n};
    if (p->parts == 3)
        block_heads(p, b);
    else if (p->split)
        f->y = p->y + b->column;
    else
        f->y = (char *)a->y + (size_t)b->column * vt_number_size(a->y_type);
}

/* ---- rows ---- */

static bool by_group(const vt_finish_block *b) {
    return b->finish.epilogue >= VT_EPILOGUE_GATE_ADD;
}

/* Rows from `first` on, of one group where the epilogue asks for that. */
static void group_rows(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                       vt_finish *f) {
    const vt_product *a = p->args;
    const size_t group = (size_t)(first / a->rows), row = (size_t)(first % a->rows);
    if (f->epilogue == VT_EPILOGUE_GATE_ADD)
        f->gamma = a->gamma + group * a->gamma_stride + b->column;
    size_t at = (size_t)first * f->y_stride;
    if (f->epilogue == VT_EPILOGUE_QKV && b->part > 0) {
        at = group * a->qkv->kv_group_stride + row * f->y_stride;
        if (f->scales) f->scales += group * a->qkv->scale_group_stride + row * f->scales_stride;
    }
    f->y = (char *)f->y + at * vt_number_size(f->y_type);
}

/* The same where rows are ragged. */
static void ragged_rows(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                        int group, vt_finish *f) {
    const vt_product *a = p->args;
    const vt_ragged *ragged = a->ragged;
    const int64_t row = first - ragged->begin[group];
    int64_t at = first;
    if (f->epilogue == VT_EPILOGUE_GATE_ADD) {
        f->gamma = ragged->mod[group] + a->gamma_at + b->column;
        at = ragged->at[group] + row;
    } else if (b->part >
               0) { /* f->y is the place of row 0, column 0 of a stream's keys or values */
        const vt_stream_rows *kv = &ragged->kv[group];
        const size_t column = (size_t)(b->column - b->part * p->part_columns);
        const float *scales = b->part == 1 ? kv->k_scale : kv->v_scale;
        at = kv->held + row;
        f->y = (char *)(b->part == 1 ? kv->k : kv->v) + column * vt_number_size(f->y_type);
        if (scales)
            f->scales = (float *)(uintptr_t)scales + column / (size_t)f->head_dim +
                        (size_t)at * f->scales_stride;
    }
    f->y = (char *)f->y + (size_t)at * f->y_stride * vt_number_size(f->y_type);
}

int vt_finish_block_rows(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                         int most, vt_finish *out) {
    const vt_product *a = p->args;
    *out = b->finish;
    int64_t end = first + most;
    if (by_group(b) && a->ragged) {
        const int group = vt_ragged_find(a->ragged, first);
        end = a->ragged->begin[group + 1];
        ragged_rows(p, b, first, group, out);
    } else {
        if (by_group(b)) end = (first / a->rows + 1) * a->rows;
        group_rows(p, b, first, out);
    }
    return out->rows = end < first + most ? (int)(end - first) : most;
}

void vt_finish_block_run(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                         int rows, const float *sums) {
    for (int r = 0; r < rows;) {
        vt_finish f;
        const int count = vt_finish_block_rows(p, b, first + r, rows - r, &f);
        f.sums = sums + r * VT_TILE_COLUMNS;
        p->tiles->finish(&f);
        r += count;
    }
}

void vt_finish_block_ask(const vt_product_finish *p, const vt_finish_block *b, int64_t first,
                         int rows) {
    const vt_finish *f = &b->finish;
    const vt_ragged *ragged = p->args->ragged;
    if (f->epilogue == VT_EPILOGUE_QKV && b->part > 0) return; /* rows of a cache, group by group */
    const size_t number = vt_number_size(f->y_type), bytes = (size_t)b->columns * number;
    if (f->epilogue == VT_EPILOGUE_GATE_ADD &&
        ragged) { /* mostly of one group, or of groups side by side */
        int group = vt_ragged_find(ragged, first);
        first += ragged->at[group] - ragged->begin[group];
    }
    const char *y = (const char *)f->y + (size_t)first * f->y_stride * number;
    for (int r = 0; r < rows; ++r, y += f->y_stride * number)
        for (size_t at = 0; at < bytes; at += LINE) __builtin_prefetch(y + at, 1);
}

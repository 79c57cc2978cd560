/* train_products.c - bf16 rows times a packed bf16 weight that fits in the second cache, to bf16 rows:
 * the products of training a small model, forward and backward.
 *
 * packed_products.c takes a block of columns at a time, which is right where the weight is large. Here
 * the rows are what is large: a task takes a stretch of them, each tile of rows goes through all
 * columns while it is in the first cache, and a row is written in one go, with gelu (and what backward
 * needs of it) or its gradient on the way. A number's sum is the tile's, as there. */
#include "kern/cpu/training.h"
#include "kern/cpu/weight.h"

enum {
    MOST_BYTES = 512 << 10, /* of panels, in a second cache of 1 MB or more */
    STRETCH = 96            /* rows a task */
};

static bool fits(const vt_weight *w) {
    return w->spec.type == VT_NUMBER_BF16 && w->spec.taps == 1 && w->depth == w->k &&
           w->k % 1024 != 0 && w->bytes <= MOST_BYTES;
}

bool vt_cpu_rows_product_takes(const vt_product *a) {
    bool kept = a->epilogue == VT_EPILOGUE_GELU && a->pre;
    return (a->epilogue == VT_EPILOGUE_STORE || kept) && a->x_type == VT_NUMBER_BF16 &&
           a->y_type == VT_NUMBER_BF16 && fits(a->w);
}

bool vt_cpu_rows_product_takes_dx(const vt_product_grad *a) {
    return !a->accumulate && a->dy_type == VT_NUMBER_BF16 && a->dx_type == VT_NUMBER_BF16 &&
           a->w->turned && fits(a->w->turned);
}

/* What both are. */
typedef struct rows_product {
    const vt_weight *w;
    const uint16_t *x;
    int64_t rows;
    vt_train_finish finish; /* of row 0, column 0 */
} rows_product;

static void stretch_run(const vt_tiles *tiles, const vt_train_loops *loops, const rows_product *p,
                        int64_t begin, int64_t end) {
    float sums[VT_TILE_MOST_ROWS * VT_TILE_COLUMNS] __attribute__((aligned(64)));
    const size_t panel = (size_t)p->w->depth * VT_PANEL;
    const int64_t n = p->w->n;
    vt_tile tile = {.out = sums,
                    .a_stride = (size_t)p->w->k,
                    .b_stride = panel,
                    .taps = 1,
                    .depth = p->w->depth};
    tiles->begin();
    for (int64_t r = begin; r < end; r += tile.rows) {
        tile.rows = (int)(end - r < tiles->most_rows ? end - r : tiles->most_rows);
        tile.a = p->x + (size_t)r * tile.a_stride;
        for (int64_t c = 0; c < n; c += VT_TILE_COLUMNS) {
            const int columns = (int)(n - c < VT_TILE_COLUMNS ? n - c : VT_TILE_COLUMNS);
            const size_t at = (size_t)(r * n + c);
            tile.panels = (columns + VT_PANEL - 1) / VT_PANEL;
            tile.b = (const uint16_t *)p->w->numbers + (size_t)(c / VT_PANEL) * panel;
            tiles->product(&tile);
            vt_train_finish f = p->finish;
            f.sums = sums;
            f.rows = tile.rows;
            f.columns = columns;
            f.ahead = (size_t)(c + VT_TILE_COLUMNS < n ? VT_TILE_COLUMNS : tile.rows * n - c);
            f.y += at;
            if (f.bias) f.bias += c;
            if (f.gelu) f.gelu += at;
            if (f.gelu_of) f.gelu_of += at;
            loops->finish(&f);
        }
    }
    tiles->end();
}

static void rows_product_part(const vt_kern *kern, const void *args, vt_span span) {
    const rows_product *p = args;
    for (int64_t i = span.begin; i < span.end; ++i) {
        int64_t end = (i + 1) * STRETCH;
        stretch_run(vt_cpu_tiles(kern), vt_cpu_train_loops(kern), p, i * STRETCH,
                    end < p->rows ? end : p->rows);
    }
}

static void rows_product_run(vt_kern *kern, const rows_product *p) {
    const int64_t stretches = vt_cpu_pieces(p->rows, STRETCH);
    vt_cpu_deal(kern, stretches > 1, stretches, rows_product_part, p);
}

void vt_cpu_rows_product(vt_kern *kern, const vt_product *a) {
    rows_product p = {.w = a->w, .x = a->x, .rows = (int64_t)a->groups * a->rows};
    const bool gelu = a->epilogue == VT_EPILOGUE_GELU;
    p.finish = (vt_train_finish){.bias = a->bias,
                                 .y = gelu ? a->pre : a->y,
                                 .gelu = gelu ? a->y : NULL,
                                 .y_stride = (size_t)a->w->n};
    rows_product_run(kern, &p);
}

void vt_cpu_rows_product_dx(vt_kern *kern, const vt_product_grad *a) {
    rows_product p = {.w = a->w->turned, .x = a->dy, .rows = (int64_t)a->groups * a->rows};
    p.finish = (vt_train_finish){
        .y = a->dx, .gelu = a->gelu, .gelu_of = a->gelu_of, .y_stride = (size_t)p.w->n};
    rows_product_run(kern, &p);
}

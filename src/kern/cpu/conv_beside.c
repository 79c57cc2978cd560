/* conv_beside.c - see conv_beside.h. */
#include "kern/cpu/conv_beside.h"

#include <string.h>

enum {
    PAIR = 2,     /* panels */
    STRETCH = 480 /* depth of a pair of panels that stays in a first cache: 30 KB */
};

static int smaller(int a, int b) {
    return a < b ? a : b;
}

static const void *numbers_on(const void *map, bool bf16, size_t count) {
    return (const char *)map + count * (bf16 ? sizeof(uint16_t) : sizeof(float));
}

size_t vt_conv_beside_bytes(const vt_tiles *tiles) {
    const size_t strips = tiles->product_beside ? VT_MAP_STRIPS : 1;
    return strips * VT_TILE_MOST_ROWS * VT_TILE_COLUMNS * sizeof(float);
}

void vt_conv_beside_begin(vt_conv_beside *b, const vt_tiles *tiles, const vt_map_loops *loops,
                          float *sums) {
    b->sums = sums;
    b->tiles = tiles;
    b->loops = loops;
    b->work.out.rows = 0;
    b->work.strip = b->work.count = 0;
    b->work.left = b->work.runs = 0;
    b->turn = 0;
}

/* Pieces of work that rows which wait are. */
static int rows_waiting(const vt_map_work *w) {
    int pieces = (w->out.rows + VT_MAP_ROWS - 1) / VT_MAP_ROWS;
    for (int i = w->strip; i < w->count; i++)
        pieces += (w->strips[i].rows + VT_MAP_ROWS - 1) / VT_MAP_ROWS;
    return pieces;
}

void vt_conv_beside_end(vt_conv_beside *b) {
    b->work.runs = rows_waiting(&b->work);
    if (b->work.runs > 0) b->tiles->map_pieces(&b->work);
}

/* The columns of `store` from panel `first` on, of `panels`. */
static void columns_set(vt_map_tile *to, const vt_map_tile *store, int first, int panels) {
    const size_t column = (size_t)first * VT_PANEL;
    *to = *store;
    to->columns = smaller(panels * VT_PANEL, store->columns - (int)column);
    to->y = (void *)(uintptr_t)numbers_on(store->y, store->y_bf16, column);
    if (store->residual) to->residual = numbers_on(store->residual, store->residual_bf16, column);
    if (store->bias) to->bias = store->bias + column;
    if (store->sums) to->sums = store->sums + column;
    to->tile_stride = VT_TILE_COLUMNS;
}

/* Tile by tile. */
static void run_alone(vt_conv_beside *b, const vt_conv_run *run) {
    vt_tile tile = run->tile;
    tile.out = b->sums;
    for (int s = 0; s < run->count; s++)
        for (int first = 0; first < run->panels; first += tile.panels) {
            const vt_map_strip *strip = &run->strips[s];
            vt_map_tile store;
            tile.panels = smaller(run->panels - first, VT_TILE_PANELS);
            tile.rows = strip->rows;
            tile.a = run->tile.a + strip->a;
            tile.b = run->tile.b + (size_t)first * tile.b_stride;
            columns_set(&store, &run->store, first, tile.panels);
            store.tile = tile.out;
            store.rows = strip->rows;
            store.y = (void *)(uintptr_t)numbers_on(store.y, store.y_bf16, strip->y);
            if (store.residual)
                store.residual = numbers_on(store.residual, store.residual_bf16, strip->y);
            if (tile.taps > 0)
                b->tiles->product(&tile);
            else /* a gradient's phase may have none */
                memset(tile.out, 0, (size_t)tile.rows * VT_TILE_COLUMNS * sizeof *tile.out);
            b->loops->tile_out(&store);
        }
}

/* A pair of panels on its way through its stretches. */
typedef struct pair_pass {
    vt_conv_beside *b;
    const vt_conv_run *run;
    vt_tile tile;
    float *sums;       /* of the first strip */
    int pieces, calls; /* of work and of tiles, all */
    int done, called;  /* of them */
} pair_pass;

/* The stretch that pass->tile holds, through all strips. */
static void stretch_run(pair_pass *pass, const uint16_t *a) {
    vt_tile *tile = &pass->tile;
    tile->out = pass->sums;
    for (int s = 0; s < pass->run->count; s++) {
        const vt_map_strip *strip = &pass->run->strips[s];
        const int due = (int)((int64_t)pass->pieces * ++pass->called / pass->calls);
        pass->b->work.runs = due - pass->done;
        pass->done = due;
        tile->rows = strip->rows;
        tile->a = a + strip->a;
        pass->b->tiles->product_beside(tile, &pass->b->work);
        tile->out += (size_t)strip->rows * VT_TILE_COLUMNS;
    }
    tile->go_on = true;
}

/* The sums of a run's pair wait. */
static void pair_waits(vt_conv_beside *b, const vt_conv_run *run, int first, int panels,
                       const float *sums) {
    vt_map_work *w = &b->work;
    columns_set(&w->out, &run->store, first, panels);
    w->out.tile = sums;
    w->out.rows = 0;
    w->y = w->out.y;
    w->residual = w->out.residual;
    memcpy(w->strips, run->strips, (size_t)run->count * sizeof *run->strips);
    w->strip = 0;
    w->count = run->count;
}

static bool is_whole(const vt_conv_run *run) {
    return run->row_taps * run->tile.depth > STRETCH;
}

int vt_conv_beside_strips(const vt_conv_beside *b, const vt_conv_run *run) {
    return b->tiles->product_beside && !is_whole(run) ? VT_MAP_STRIPS : 1;
}

/* Panels [first, first + panels) of all strips. `pieces` of work come along. */
static void pair_run(vt_conv_beside *b, const vt_conv_run *run, int first, int panels, int pieces) {
    const vt_tile *all = &run->tile;
    const int taps = is_whole(run) ? all->taps : run->row_taps;
    const uint16_t *weights = all->b + (size_t)first * all->b_stride;
    pair_pass pass = {.b = b,
                      .run = run,
                      .tile = *all,
                      .sums = b->sums + b->turn * PAIR * VT_PANEL,
                      .pieces = rows_waiting(&b->work) + pieces,
                      .calls = run->count * (all->taps / taps)};
    pass.tile.panels = panels;
    pass.tile.taps = taps;
    pass.tile.go_on = false;
    for (int tap = 0; tap < all->taps; tap += taps) {
        pass.tile.tap = all->tap + tap;
        pass.tile.b = weights + (size_t)tap * (size_t)all->depth * VT_PANEL;
        stretch_run(&pass, all->a);
    }
    pair_waits(b, run, first, panels, pass.sums);
    b->turn ^= 1;
}

void vt_conv_beside_run(vt_conv_beside *b, const vt_conv_run *run) {
    if (!b->tiles->product_beside || run->tile.taps == 0) {
        vt_conv_beside_end(b);
        run_alone(b, run);
        return;
    }
    const int pairs = (run->panels + PAIR - 1) / PAIR;
    for (int pair = 0; pair < pairs; pair++) {
        const int before = (int)((int64_t)run->pieces * pair / pairs);
        const int after = (int)((int64_t)run->pieces * (pair + 1) / pairs);
        pair_run(b, run, pair * PAIR, smaller(PAIR, run->panels - pair * PAIR), after - before);
    }
}

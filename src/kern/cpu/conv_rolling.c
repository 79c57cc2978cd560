/* conv_rolling.c - convolutions of stride 1 with packed weights, of maps larger than a core's second cache, where products
 * leave the vector units idle (AMX): a line of the map is normalised, rounded and laid down while the line before it is multiplied.
 *
 * Called by conv.c. conv_packed.c makes the whole map first, which is written to memory and read back, and nothing is
 * multiplied meanwhile. Here a task takes a band of lines down the picture, with the lines that a product reads, and the one to
 * come, in its thread's ring, which stays in the second cache beside the weights:
 *
 *     ring, span + 1 lines      map lines l, l + 1, l + 2  ->  line l of y         l + 3: being made from x
 *
 * span is the kernel's side, and 3 for the four 2x2 kernels of an enlarged map (conv_packed.c: phases), which are all
 * multiplied at one line of the small map.
 *
 * y may be x. Then a task overwrites what its neighbours read, so the span - 1 lines that both sides of a border between
 * tasks read (its edge) are made of all of a picture before any task begins. Within a task y follows x at a distance:
 *
 *     task 0    own lines     each made once: in a ring or in an edge
 *     edge 1    2 lines
 *     task 1    own lines
 *     edge 2    ...
 *
 * Numbers depend on none of this: tasks may be cut by the number of threads, only the sums of channels (conv_sums.h) have pieces of
 * their own, cut by sizes. */
#include "kern/cpu/conv_rolling.h"

#include "kern/cpu/conv.h"
#include "kern/cpu/conv_beside.h"
#include "kern/cpu/conv_norm.h"
#include "kern/cpu/conv_sums.h"
#include "kern/cpu/cpu.h"
#include "kern/cpu/weight.h"

#include <string.h>

enum {
    MAP_BYTES =
        1 << 20, /* of a map that is worth it: others stay in the second cache as they are */
    WEIGHT_BYTES = 1 << 20, /* at most, so that a ring has room beside them */
    RING_BYTES = 512 << 10, /* of a thread, at most */
    EDGE_BYTES = 4 << 20,   /* of a round of pictures, unless one has more */
    BANDS = 32,             /* pieces of the sums; tasks are some of them */
    TASKS_A_THREAD = 4,     /* so that the last one to finish is not waited for long */
    MOST_SIDE = 3,          /* of a kernel */
    MOST_TAPS = MOST_SIDE * MOST_SIDE
};

typedef struct rolling_plan {
    const vt_conv *args;
    const vt_tiles *tiles;
    const vt_map_loops *loops;
    int apart;             /* 2: four kernels on a map of half the sides, else 1 */
    int side, span;        /* taps each way of a kernel; map lines that a line of products reads */
    int lines, pixels;     /* of a phase of y */
    int x_h, x_w;          /* before it is enlarged */
    int panels;            /* of a phase */
    size_t channels, line; /* numbers of a pixel and of a line of the map */
    int64_t bands, tasks;  /* of a picture */
    size_t round;          /* pictures at a time */
    bool stream;
    /* places in the workspace */
    vt_conv_sums sums; /* of each phase's bands */
    vt_norm_plan norm;
    char *beside;    /* (threads, vt_conv_beside_bytes) */
    uint16_t *rings; /* (threads, span + 1, line) */
    uint16_t *edges; /* (round, tasks + 1, span - 1, line); taps count from here */
} rolling_plan;

static bool has_phases(const vt_conv *a) {
    return a->upsample && a->w->spec.taps == 4 && a->kernel == 3;
}

static void plan_sizes(rolling_plan *p, const vt_kern *kern, const vt_conv *a) {
    const int halves = a->upsample ? 2 : 1;
    *p = (rolling_plan){.args = a,
                        .tiles = vt_cpu_tiles(kern),
                        .loops = ((const vt_cpu *)kern)->map_loops,
                        .apart = has_phases(a) ? 2 : 1,
                        .x_h = a->in_h / halves,
                        .x_w = a->in_w / halves,
                        .panels = (a->out_c + VT_PANEL - 1) / VT_PANEL,
                        .channels = (size_t)a->w->depth};
    p->side = p->apart == 2 ? 2 : a->kernel;
    p->span = a->kernel;
    p->lines = a->out_h / p->apart;
    p->pixels = a->out_w / p->apart;
    p->line = (size_t)(p->pixels + p->span - 1) * p->channels;
}

bool vt_cpu_conv_is_rolling(const vt_kern *kern, const vt_conv *a) {
    rolling_plan p;
    if (!vt_cpu_tiles(kern)->product_beside || !a->w || a->w->spec.type != VT_NUMBER_BF16)
        return false;
    if (a->stride != 1 || (a->kernel != 1 && a->kernel != 3)) return false;
    if (a->upsample != has_phases(a) || (!a->upsample && a->w->spec.taps != a->kernel * a->kernel))
        return false;
    plan_sizes(&p, kern, a);
    const size_t panel = VT_PANEL * p.channels * (size_t)a->w->spec.taps * sizeof(uint16_t);
    return (size_t)p.lines * p.line * sizeof(uint16_t) >= MAP_BYTES &&
           (size_t)(p.span + 1) * p.line * sizeof(uint16_t) <= RING_BYTES &&
           (size_t)(p.apart * p.apart * p.panels) * panel <= WEIGHT_BYTES;
}

/* Fills the plan; its places begin at workspace. Returns the bytes that they take. */
static size_t plan_make(rolling_plan *p, const vt_kern *kern, const vt_conv *a, char *workspace) {
    plan_sizes(p, kern, a);
    const int phases = p->apart * p->apart;
    p->bands = p->lines < BANDS ? p->lines : BANDS;
    p->tasks = kern->threads == 1 ? 1 : TASKS_A_THREAD * (int64_t)kern->threads;
    if (p->tasks > p->bands) p->tasks = p->bands;
    const size_t edge = (size_t)(p->tasks + 1) * (size_t)(p->span - 1) * p->line;
    const size_t groups = (size_t)a->groups, room = EDGE_BYTES / (edge * sizeof(uint16_t) + 1);
    p->round = room < 1 ? 1 : room < groups ? room : groups;
    const size_t rings =
        vt_conv_lines((size_t)kern->threads * (size_t)(p->span + 1) * p->line * sizeof(uint16_t));
    const size_t edges = vt_conv_lines(p->round * edge * sizeof(uint16_t));
    const size_t norm = vt_norm_plan_bytes(kern, a, p->round);
    const size_t beside = (size_t)kern->threads * vt_conv_beside_bytes(p->tiles);
    if (workspace) {
        p->edges = (uint16_t *)(void *)workspace;
        p->rings = (uint16_t *)(void *)(workspace + edges);
        vt_norm_plan_place(&p->norm, kern, a, p->round, workspace + edges + rings);
        p->beside = workspace + edges + rings + norm;
        vt_conv_sums_place(&p->sums, a, phases * p->bands, p->beside + beside);
    }
    return edges + rings + norm + beside + vt_conv_sums_bytes(a, phases * p->bands, p->round);
}

size_t vt_cpu_conv_rolling_workspace(const vt_kern *kern, const vt_conv *a) {
    rolling_plan plan;
    /* one line more: the workspace may begin inside one */
    return plan_make(&plan, kern, a, NULL) + 64;
}

static int band_begin(const rolling_plan *p, int64_t band) {
    return (int)vt_cpu_piece_begin(p->lines, p->bands, 1, band);
}

/* The first line of a task; of the one behind the last, `lines`. */
static int task_begin(const rolling_plan *p, int64_t task) {
    return band_begin(p, vt_cpu_piece_begin(p->bands, p->tasks, 1, task));
}

/* ---- lines of the map ---- */

/* Begins line `row` of the map of picture `at` of the round, `picture` of all, as work's pixels: what is padding is there
 * afterwards. */
static void making_begin(const rolling_plan *p, vt_map_work *work, size_t picture, size_t at,
                         int row, uint16_t *to) {
    const vt_conv *a = p->args;
    const size_t in_c = (size_t)a->in_c, left = (size_t)a->pad_left * p->channels;
    const int y = row - a->pad_top, room = p->pixels + p->span - 1 - a->pad_left;
    const int count = room < p->x_w ? room : p->x_w;
    work->left = y < 0 || y >= p->x_h || count <= 0 ? 0 : count;
    if (work->left == 0) {
        memset(to, 0, p->line * sizeof *to);
        return;
    }
    const size_t filled = left + (size_t)count * p->channels;
    const size_t from = (picture * (size_t)p->x_h + (size_t)y) * (size_t)p->x_w * in_c;
    memset(to, 0, left * sizeof *to);
    memset(to + filled, 0, (p->line - filled) * sizeof *to);
    work->channel = 0;
    work->in = (vt_map_pixels){.x = vt_conv_numbers(a->x, a->x_type, from),
                               .x_bf16 = a->x_type == VT_NUMBER_BF16,
                               .map = to + left,
                               .x_stride = in_c,
                               .map_stride = p->channels,
                               .channels = in_c,
                               .width = p->channels};
    if (!a->norm) return;
    work->in.center = p->norm.center + at * in_c;
    work->in.factor = p->norm.factor + at * in_c;
    work->in.shift = a->norm->beta;
    work->in.silu = a->norm->silu;
}

/* Pieces that are left of a line. */
static int pieces_of(const vt_map_work *work) {
    const int a_pixel = ((int)work->in.width + VT_MAP_CHANNELS - 1) / VT_MAP_CHANNELS;
    if (work->left == 0) return 0;
    return (work->left + VT_MAP_PIXELS - 1) / VT_MAP_PIXELS * a_pixel -
           (int)work->channel / VT_MAP_CHANNELS;
}

/* Makes what is left of it; nothing else waits. */
static void making_end(const rolling_plan *p, vt_map_work *work) {
    work->runs = pieces_of(work);
    p->tiles->map_pieces(work);
}

static uint16_t *edge_row(const rolling_plan *p, size_t at, int64_t border, int row) {
    const size_t edge = (at * (size_t)(p->tasks + 1) + (size_t)border) * (size_t)(p->span - 1);
    return p->edges + (edge + (size_t)(row - task_begin(p, border))) * p->line;
}

typedef struct rolling_round {
    const rolling_plan *plan;
    size_t first; /* picture */
} rolling_round;

/* A task is a line of an edge. */
static void edges_part(const vt_kern *kern, const void *args, vt_span span) {
    const rolling_round *round = args;
    const rolling_plan *p = round->plan;
    const int64_t rows = p->span - 1, picture = (p->tasks + 1) * rows;
    (void)kern;
    for (int64_t task = span.begin; task < span.end; task++) {
        const size_t at = (size_t)(task / picture);
        const int64_t border = task % picture / rows;
        const int row = task_begin(p, border) + (int)(task % rows);
        vt_map_work work = {0};
        making_begin(p, &work, round->first + at, at, row, edge_row(p, at, border, row));
        making_end(p, &work);
    }
}

/* ---- products ---- */

typedef struct rolling_task {
    vt_conv_beside beside;
    const rolling_plan *p;
    size_t picture, at; /* of all, of the round */
    int64_t task;       /* of the picture's */
    int first, end;     /* lines */
    uint16_t *ring;
    int runs; /* that the line at hand has left */
} rolling_task;

static uint16_t *map_row(const rolling_task *t, int row) {
    const rolling_plan *p = t->p;
    if (row < t->first + p->span - 1) return edge_row(p, t->at, t->task, row);
    if (row >= t->end) return edge_row(p, t->at, t->task + 1, row);
    return t->ring + (size_t)(row % (p->span + 1)) * p->line;
}

/* Line `line` of a phase, whose taps are set, in runs of strips. */
static void phase_run(rolling_task *t, vt_conv_run *run, int phase, int line) {
    const rolling_plan *p = t->p;
    const vt_conv *a = p->args;
    const int64_t strips = vt_cpu_pieces(p->pixels, p->tiles->most_rows);
    const size_t row = t->picture * (size_t)a->out_h + (size_t)(line * p->apart + phase / p->apart);
    const size_t pixel = row * (size_t)a->out_w + (size_t)(phase % p->apart);
    run->tile.b =
        (const uint16_t *)a->w->numbers + (size_t)(phase * p->panels) * run->tile.b_stride;
    const int most = vt_conv_beside_strips(&t->beside, run);
    for (int64_t strip = 0; strip < strips; strip += run->count) {
        run->count = strips - strip < most ? (int)(strips - strip) : most;
        for (int i = 0; i < run->count; i++) {
            const int x = (int)vt_cpu_piece_begin(p->pixels, strips, 1, strip + i);
            const int end = (int)vt_cpu_piece_begin(p->pixels, strips, 1, strip + i + 1);
            run->strips[i] =
                (vt_map_strip){.a = (size_t)x * p->channels,
                               .y = (pixel + (size_t)(x * p->apart)) * (size_t)a->out_c,
                               .rows = end - x};
        }
        const int pieces = pieces_of(&t->beside.work);
        run->pieces = (pieces + t->runs - 1) / t->runs;
        --t->runs;
        vt_conv_beside_run(&t->beside, run);
    }
}

/* A line of products; totals of each phase. */
static void line_run(rolling_task *t, int line, float *const *totals) {
    const rolling_plan *p = t->p;
    const vt_conv *a = p->args;
    const int phases = p->apart * p->apart;
    const int64_t strips = vt_cpu_pieces(p->pixels, p->tiles->most_rows);
    size_t tap[MOST_TAPS];
    vt_conv_run run = {.panels = p->panels, .row_taps = p->side};
    run.tile = (vt_tile){.a = p->edges,
                         .a_stride = p->channels,
                         .tap = tap,
                         .taps = p->side * p->side,
                         .depth = (int)p->channels};
    run.tile.b_stride = p->channels * (size_t)run.tile.taps * VT_PANEL;
    run.store = (vt_map_tile){.y = a->y,
                              .residual = a->residual,
                              .y_bf16 = a->y_type == VT_NUMBER_BF16,
                              .residual_bf16 = a->residual_type == VT_NUMBER_BF16,
                              .bias = a->bias,
                              .squares = p->sums.columns,
                              .y_stride = (size_t)(p->apart * a->out_c),
                              .columns = a->out_c,
                              .stream = p->stream};
    t->runs = phases * (int)vt_cpu_pieces(strips, vt_conv_beside_strips(&t->beside, &run));
    for (int phase = 0; phase < phases; phase++) {
        for (int ky = 0; ky < p->side; ky++)
            for (int kx = 0; kx < p->side; kx++)
                tap[ky * p->side + kx] =
                    (size_t)(map_row(t, line + phase / p->apart + ky) - p->edges) +
                    (size_t)(phase % p->apart + kx) * p->channels;
        run.store.sums = totals[phase];
        phase_run(t, &run, phase, line);
    }
}

/* Begins the map line that line `line` of y reads last, if it is in the ring. */
static void row_begin(rolling_task *t, int line) {
    const int row = line + t->p->span - 1;
    t->beside.work.left = 0;
    if (row < t->first + t->p->span - 1 || row >= t->end) return;
    making_begin(t->p, &t->beside.work, t->picture, t->at, row, map_row(t, row));
}

/* Rows that wait are finished first. */
static void row_end(rolling_task *t) {
    if (t->beside.work.left == 0) return;
    vt_conv_beside_end(&t->beside);
    making_end(t->p, &t->beside.work);
}

static void band_run(rolling_task *t, int64_t band) {
    const rolling_plan *p = t->p;
    const int phases = p->apart * p->apart, end = band_begin(p, band + 1);
    float *totals[4] = {0};
    for (int phase = 0; phase < phases; phase++)
        totals[phase] = vt_conv_sums_begin(&p->sums, t->at, phase * p->bands + band, 0,
                                           (size_t)p->panels * VT_PANEL);
    for (int line = band_begin(p, band); line < end; line++) {
        row_begin(t, line + 1);
        line_run(t, line, totals);
        row_end(t);
    }
}

static void task_run(const rolling_plan *p, size_t first_picture, int64_t task, int thread) {
    rolling_task t = {.p = p, .at = (size_t)(task / p->tasks), .task = task % p->tasks};
    t.picture = first_picture + t.at;
    t.first = task_begin(p, t.task);
    t.end = task_begin(p, t.task + 1);
    t.ring = p->rings + (size_t)thread * (size_t)(p->span + 1) * p->line;
    vt_conv_beside_begin(
        &t.beside, p->tiles, p->loops,
        (float *)(void *)(p->beside + (size_t)thread * vt_conv_beside_bytes(p->tiles)));
    row_begin(&t, t.first);
    row_end(&t);
    const int64_t end = vt_cpu_piece_begin(p->bands, p->tasks, 1, t.task + 1);
    for (int64_t band = vt_cpu_piece_begin(p->bands, p->tasks, 1, t.task); band < end; band++)
        band_run(&t, band);
    vt_conv_beside_end(&t.beside);
    if (p->stream) p->loops->end();
}

static void rolling_part(const vt_kern *kern, const void *args, vt_span span) {
    const rolling_round *round = args;
    (void)kern;
    round->plan->tiles->begin();
    for (int64_t task = span.begin; task < span.end; task++)
        task_run(round->plan, round->first, task, span.thread);
    round->plan->tiles->end();
}

void vt_cpu_conv_rolling(vt_kern *kern, const vt_conv *a) {
    if (a->groups <= 0) return;
    rolling_plan plan;
    plan_make(&plan, kern, a, (char *)(((uintptr_t)a->workspace + 63) / 64 * 64));
    plan.stream = vt_conv_streams(a);
    const rolling_plan *p = &plan;
    for (size_t first = 0; first < (size_t)a->groups; first += p->round) {
        const size_t left = (size_t)a->groups - first, count = left < p->round ? left : p->round;
        const rolling_round round = {p, first};
        vt_norm_plan_run(&p->norm, kern, a, first, count, true);
        vt_cpu_split(kern, true, (int64_t)count * (p->tasks + 1) * (p->span - 1), edges_part,
                     &round);
        vt_cpu_deal(kern, true, (int64_t)count * p->tasks, rolling_part, &round);
        vt_conv_sums_finish(&p->sums, kern, first, count, true);
    }
}

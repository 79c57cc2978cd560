/* calibrate_int4.c - see calibrate_int4.h. Three ways, of which the second and third know H = x^T x, the second its diagonal:
 *
 *   nearest   q nearest to w, scales of least squared error
 *   weighed   the same with squares weighed by H's diagonal
 *   made up   the weighed way's scales; column after column each number's rounding error is made up for by those behind it
 *             (GPTQ, arXiv 2210.17323, section 3): with H^-1 = U^T U, U upper triangular,
 *                 v[j] = w[j] - sum over i < j of e[i] U[i][j],   q[j] nearest to v[j],   e[j] = (v[j] - q[j]) / U[j][j]
 *
 * U is R^-1, where H = R R^T with R upper triangular: Cholesky's factorisation from the last row on. A hundredth of the
 * diagonal's mean is added to it, as there, or more, since rows may be fewer than channels: what suits the rows held back.
 * Floats: what a rounding of H would change is far below that. Rows that are there twice count once (all tokens of a class
 * give AdaLN the same): a row held back must be one that no way has seen. */
#include "engine/calibrate_int4.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "kern/int4.h"

enum {
    HELD_BACK = 4,  /* one row of so many */
    DEEPEST = 4096, /* of made-up rows: work and memory grow with its square and more */
    SUMS = 16,      /* of a dot product, side by side */
    FEW = 8         /* rows of x, too few to know anything by */
};
static const float dampings[] = {0.01f, 0.1f, 1.0f};
#define WORTH ((size_t)1 << 16) /* multiply-adds that are worth a team */

static float dot(const float *a, const float *b, size_t n) {
    float sums[SUMS] = {0}, all = 0;
    size_t i = 0;
    for (; i + SUMS <= n; i += SUMS)
        for (int s = 0; s < SUMS; ++s) sums[s] += a[i + (size_t)s] * b[i + (size_t)s];
    for (; i < n; ++i) all += a[i] * b[i];
    for (int s = 0; s < SUMS; ++s) all += sums[s];
    return all;
}

/* What the ways know and make. */
typedef struct work {
    const float *w;
    size_t n, k;
    float *x;    /* (k, used): the rows that the ways are made from, channel by channel */
    float *held; /* (back, k): the others */
    size_t used, back;
    float *diagonal;  /* (k): of H */
    float *factor;    /* (k, k): H, then R, upper; NULL: nothing is made up */
    float *inverse;   /* (k, k): U turned over, lower */
    uint8_t *records; /* (n): of the way at hand */
    double *off;      /* (n): squares of each row's error, and of the product */
    double *of;
    float *room; /* (threads, k) */
    size_t threads;
    int way;
    size_t step; /* of the factorisation: the column */
} work;

static void work_close(work *t) {
    free(t->x);
    free(t->held);
    free(t->diagonal);
    free(t->factor);
    free(t->inverse);
    free(t->records);
    free(t->off);
    free(t->of);
    free(t->room);
}

/* Of the rows those that are there for the first time, in their order; *count of them. NULL: no memory. */
static const float **distinct_rows(const float *x, size_t rows, size_t k, size_t *count) {
    const float **out = malloc((rows + 1) * sizeof *out);
    *count = 0;
    for (size_t r = 0; out && r < rows; ++r, x += k) {
        bool known = false;
        for (size_t i = 0; i < *count && !known; ++i) known = memcmp(out[i], x, k * sizeof *x) == 0;
        if (!known) out[(*count)++] = x;
    }
    return out;
}

/* x: so many rows. */
static bool work_open(work *t, const float *const *x, size_t rows) {
    t->back = rows >= FEW ? rows / HELD_BACK : 0;
    t->used = rows - t->back;
    t->x = malloc(t->used * t->k * sizeof *t->x);
    t->held = malloc((t->back + 1) * t->k * sizeof *t->held);
    t->diagonal = malloc(t->k * sizeof *t->diagonal);
    t->records = malloc(t->n * vt_int4_record(t->k));
    t->off = malloc(t->n * sizeof *t->off);
    t->of = malloc(t->n * sizeof *t->of);
    t->room = malloc(t->threads * t->k * sizeof *t->room);
    const bool all = t->k <= DEEPEST && rows >= FEW;
    if (all) t->factor = malloc(t->k * t->k * sizeof *t->factor);
    if (all) t->inverse = malloc(t->k * t->k * sizeof *t->inverse);
    if (!t->x || !t->held || !t->diagonal || !t->records || !t->off || !t->of || !t->room ||
        (all && !(t->factor && t->inverse)))
        return false;
    size_t used = 0, back = 0;
    for (size_t r = 0; r < rows; ++r)
        if (t->back > 0 && r % HELD_BACK == HELD_BACK - 1)
            memcpy(t->held + back++ * t->k, x[r], t->k * sizeof *t->held);
        else
            for (size_t i = 0, at = used++; i < t->k; ++i) t->x[i * t->used + at] = x[r][i];
    return true;
}

/* ---- H ---- */

/* Row i of H, from the diagonal on, which is symmetric. */
static void hessian_part(const void *args, vt_span span) {
    const work *t = args;
    for (size_t i = (size_t)span.begin; i < (size_t)span.end; ++i)
        for (size_t j = i; j < t->k; ++j)
            t->factor[i * t->k + j] = dot(t->x + i * t->used, t->x + j * t->used, t->used);
}

/* Gives its mean. */
static double find_diagonal(work *t) {
    double mean = 0;
    for (size_t i = 0; i < t->k; ++i) {
        t->diagonal[i] = dot(t->x + i * t->used, t->x + i * t->used, t->used);
        mean += (double)t->diagonal[i] / (double)t->k;
    }
    return mean;
}

/* Column `step` of R, whose later columns are there: entry (step, step) first. */
static void column_part(const void *args, vt_span span) {
    const work *t = args;
    const size_t k = t->k, j = t->step, behind = k - j - 1;
    const float *own = t->factor + j * k + j;
    for (size_t i = (size_t)span.begin; i < (size_t)span.end; ++i) {
        float *at = t->factor + i * k + j;
        *at = (*at - dot(at + 1, own + 1, behind)) / *own;
    }
}

/* H with so much added to its diagonal. False: it is no square. */
static bool factorise(work *t, vt_team *team, float more) {
    const size_t k = t->k;
    vt_team_deal(team, (int64_t)k, hessian_part, t);
    for (size_t i = 0; i < k; ++i) t->factor[i * k + i] += more;
    for (size_t j = k; j-- > 0;) {
        float *own = t->factor + j * k + j;
        const float square = *own - dot(own + 1, own + 1, k - j - 1);
        if (!(square > 0)) return false;
        *own = sqrtf(square);
        t->step = j;
        vt_team_split(j * (k - j) > WORTH ? team : NULL, (int64_t)j, column_part, t);
    }
    return true;
}

/* Column j of R^-1, as row j of `inverse`. */
static void inverse_part(const void *args, vt_span span) {
    const work *t = args;
    const size_t k = t->k;
    for (size_t j = (size_t)span.begin; j < (size_t)span.end; ++j) {
        float *out = t->inverse + j * k;
        for (size_t i = j + 1; i-- > 0;) {
            const float *row = t->factor + i * k;
            out[i] = i == j ? 1 / row[i] : -dot(row + i + 1, out + i + 1, j - i) / row[i];
        }
    }
}

/* ---- the ways ---- */

enum { NEAREST, WEIGHED, MADE_UP, WAYS };

/* Scales are there. e: (k). */
static void make_up(const work *t, const float *w, uint8_t *record, float *e) {
    for (size_t j = 0; j < t->k; ++j) {
        const float *own = t->inverse + j * t->k, step = vt_int4_step(record, j);
        const float v = w[j] - dot(e, own, j), q = rintf(v / step);
        const float cut = fminf(fmaxf(q, VT_INT4_LEAST), VT_INT4_MOST);
        vt_int4_put(record, t->k, j, (int)cut);
        e[j] = (v - cut * step) / own[j];
    }
}

/* Squares of what a row's record changes of the product with the rows held back, and of the product. */
static void measure(const work *t, size_t row, const uint8_t *record, float *e) {
    const float *w = t->w + row * t->k, scale = vt_int4_scale(record);
    double off = 0, of = 0;
    vt_int4_decode(record, t->k, e);
    for (size_t i = 0; i < t->k; ++i) e[i] = w[i] - e[i] * scale;
    for (size_t r = 0; r < t->back; ++r) {
        const float *x = t->held + r * t->k;
        const double d = (double)dot(x, e, t->k), y = (double)dot(x, w, t->k);
        off += d * d;
        of += y * y;
    }
    t->off[row] = off;
    t->of[row] = of;
}

static void rows_part(const void *args, vt_span span) {
    const work *t = args;
    const size_t size = vt_int4_record(t->k);
    float *e = t->room + (size_t)span.thread * t->k;
    for (size_t row = (size_t)span.begin; row < (size_t)span.end; ++row) {
        const float *w = t->w + row * t->k;
        uint8_t *record = t->records + row * size;
        vt_int4_encode(record, w, t->way == NEAREST ? NULL : t->diagonal, t->k);
        const bool any = isfinite(vt_int4_scale(record));
        if (t->way == MADE_UP && any) make_up(t, w, record, e);
        measure(t, row, record, e);
    }
}

/* The error of a way, whose records are then in t->records. */
static double try_way(work *t, vt_team *team, int way) {
    double off = 0, of = 0;
    t->way = way;
    vt_team_deal(team, (int64_t)t->n, rows_part, t);
    for (size_t row = 0; row < t->n; ++row) off += t->off[row], of += t->of[row];
    return of > 0 ? sqrt(off / of) : 0;
}

static void keep(vt_int8_choice *choice, const work *t, double error, double *best) {
    if (error >= *best) return;
    memcpy(choice->records, t->records, t->n * vt_int4_record(t->k));
    *best = error;
}

static void try_ways(vt_int8_choice *choice, work *t, vt_team *team) {
    double best = INFINITY;
    const double mean = find_diagonal(t);
    choice->nearest = try_way(t, team, NEAREST);
    keep(choice, t, choice->nearest, &best);
    choice->weighed = choice->made_up = choice->nearest;
    if (t->back == 0) return;
    choice->weighed = try_way(t, team, WEIGHED);
    keep(choice, t, choice->weighed, &best);
    choice->made_up = t->factor ? INFINITY : choice->weighed;
    for (size_t i = 0; t->factor && i < sizeof dampings / sizeof *dampings; ++i) {
        if (!factorise(t, team, dampings[i] * (float)mean + 0x1p-100f)) continue;
        vt_team_deal(team, (int64_t)t->k, inverse_part, t);
        const double error = try_way(t, team, MADE_UP);
        choice->made_up = fmin(choice->made_up, error);
        keep(choice, t, error, &best);
    }
    if (isinf(choice->made_up)) choice->made_up = choice->weighed;
}

variant_status vt_calibrate_int4(vt_int8_choice *choice, vt_team *team, const float *w,
                                 const float *x, int rows, variant_error *err) {
    work t = {.w = w,
              .n = (size_t)choice->weight->shape[0],
              .k = (size_t)choice->weight->shape[1],
              .threads = (size_t)vt_team_size(team)};
    variant_status status = VARIANT_OK;
    size_t count;
    const float **distinct = distinct_rows(x, (size_t)rows, t.k, &count);
    choice->records = malloc(t.n * vt_int4_record(t.k));
    if (!distinct || !choice->records || !work_open(&t, distinct, count))
        status =
            vt_fail(err, VARIANT_E_MEMORY, "no memory to measure int4 of %s", choice->weight->name);
    else
        try_ways(choice, &t, team);
    choice->rows = t.back > 0 ? (int)count : 0; /* of too few nothing is known */
    work_close(&t);
    free(distinct);
    return status;
}

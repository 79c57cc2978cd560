/* spread.c - see spread.h. Draws are independent of each other: each is made by one thread, with random numbers
 * of its own. */
#include "eval/spread.h"

#include <math.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "kern/blas.h"

enum {
    BLOCK = 256,      /* samples centred at a time */
    WIDE = 512,       /* features from which ... */
    WIDE_THREADS = 4, /* ... so many threads are enough: each holds three covariances */
    RECALL_SAMPLES = 2000,
    LEAST_IN_CLASS = 5 /* on average, for draws within classes */
};

/* ---- draws on all threads ---- */

/* One draw's score; `room` is the calling thread's. */
typedef struct job {
    variant_status (*draw)(const struct job *job, int draw, double *room, double *out,
                           variant_error *err);
    size_t room; /* numbers a thread needs */
    int most_threads;
    const void *data;
} job;

static double deviation(const double *values, int count) {
    double mean = 0, squares = 0;
    for (int i = 0; i < count; ++i) mean += values[i] / count;
    for (int i = 0; i < count; ++i) squares += (values[i] - mean) * (values[i] - mean);
    return sqrt(squares / (count - 1));
}

typedef struct team {
    const job *job;
    const vt_draws *draws;
    double *values, *rooms;
    _Atomic int next; /* draw */
    int done;
    pthread_mutex_t lock;
    variant_status status;
    variant_error error;
} team;

/* One thread at a time. */
static void account(team *t, variant_status status, const variant_error *error) {
    if (t->status != VARIANT_OK) return;
    ++t->done;
    t->status = status;
    if (status != VARIANT_OK)
        t->error = *error;
    else if (t->draws->progress && !t->draws->progress(t->draws->user, t->done, t->draws->count))
        t->status = vt_fail(&t->error, VARIANT_E_STOPPED, "stopped after %d of %d draws", t->done,
                            t->draws->count);
}

/* A task is a lane: it has a room, and takes draws until there are none. */
static void lane_part(const void *args, vt_span span) {
    team *t = (team *)args;
    for (int64_t lane = span.begin; lane < span.end; ++lane) {
        double *room = t->rooms + (size_t)lane * t->job->room;
        for (int i; (i = t->next++) < t->draws->count;) {
            variant_error error = {0};
            pthread_mutex_lock(&t->lock);
            const bool go_on = t->status == VARIANT_OK;
            pthread_mutex_unlock(&t->lock);
            if (!go_on) return;
            variant_status status = t->job->draw(t->job, i, room, &t->values[i], &error);
            pthread_mutex_lock(&t->lock);
            account(t, status, &error);
            pthread_mutex_unlock(&t->lock);
        }
    }
}

static variant_status spread_of(double *out, const job *work, const vt_draws *draws,
                                variant_error *err) {
    int threads = vt_team_size(draws->team);
    if (threads > draws->count) threads = draws->count;
    if (threads > work->most_threads) threads = work->most_threads;
    team t = {.job = work, .draws = draws, .lock = PTHREAD_MUTEX_INITIALIZER};
    t.values = malloc((size_t)draws->count * sizeof *t.values);
    t.rooms = malloc((size_t)threads * work->room * sizeof *t.rooms);
    if (!t.values || !t.rooms)
        t.status = vt_fail(&t.error, VARIANT_E_MEMORY, "no memory for %d draws", draws->count);
    else
        vt_team_deal(draws->team, threads, lane_part, &t);
    if (t.status == VARIANT_OK)
        *out = deviation(t.values, draws->count);
    else if (err)
        *err = t.error;
    free(t.rooms);
    free(t.values);
    return t.status;
}

/* ---- Frechet distance ---- */

/* Samples by class: those of a class stand together in `members`, the i-th class's from starts[i] on. */
typedef struct strata {
    int *members; /* (held) */
    int *starts;  /* (count + 1) */
    int count;
} strata;

typedef struct frechet_job {
    const float *samples; /* (held, dims) */
    const strata *strata;
    int held, dims;
    const vt_gaussian *real;
    const double *root; /* of the real covariance */
    uint64_t seed;
} frechet_job;

typedef struct labelled {
    int32_t label;
    int index;
} labelled;

static int by_label(const void *a, const void *b) {
    const labelled *p = a, *q = b;
    if (p->label != q->label) return (p->label > q->label) - (p->label < q->label);
    return (p->index > q->index) - (p->index < q->index);
}

static void strata_close(strata *s) {
    free(s->members);
    free(s->starts);
}

/* One class where there are none, or fewer than LEAST_IN_CLASS in each on average. */
static variant_status strata_open(strata *s, const int32_t *classes, int held, variant_error *err) {
    const size_t n = (size_t)held;
    labelled *order = malloc(n * sizeof *order);
    *s = (strata){.members = malloc(n * sizeof(int)), .starts = malloc((n + 1) * sizeof(int))};
    if (!order || !s->members || !s->starts) {
        free(order);
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples", held);
    }
    for (int i = 0; i < held; ++i) order[i] = (labelled){classes ? classes[i] : 0, i};
    qsort(order, n, sizeof *order, by_label);
    for (int i = 0; i < held; ++i) {
        if (i == 0 || order[i].label != order[i - 1].label) s->starts[s->count++] = i;
        s->members[i] = order[i].index;
    }
    if (held < LEAST_IN_CLASS * s->count) s->count = 1;
    s->starts[s->count] = held;
    free(order);
    return VARIANT_OK;
}

/* times (held): how often each sample is in a draw. Of each class as many as there are. */
static void draw_times(const frechet_job *f, int draw, double *times) {
    const strata *s = f->strata;
    memset(times, 0, (size_t)f->held * sizeof *times);
    for (int c = 0; c < s->count; ++c) {
        int size = s->starts[c + 1] - s->starts[c];
        for (int i = s->starts[c]; i < s->starts[c + 1]; ++i) {
            double u = vt_uniform(f->seed, VT_RNG_BOOTSTRAP, (uint32_t)draw, (uint32_t)i,
                                  (uint32_t)f->dims);
            times[s->members[s->starts[c] + (int)(u * size)]] += 1;
        }
    }
}

/* How often each sample is in a draw, its mean and covariance. Room: (dims) and (dims, dims), then a block. */
static void moments_of_draw(const frechet_job *f, int draw, double *mean, double *covariance,
                            double *room) {
    const size_t n = (size_t)f->dims, held = (size_t)f->held;
    double *times = room, *block = room + held;
    draw_times(f, draw, times);
    memset(mean, 0, n * sizeof *mean);
    memset(covariance, 0, n * n * sizeof *covariance);
    for (size_t i = 0; i < held; ++i)
        for (size_t j = 0; times[i] > 0 && j < n; ++j)
            mean[j] += times[i] * (double)f->samples[i * n + j] / (double)held;
    int rows = 0;
    for (size_t i = 0; i < held; ++i) {
        double *row = block + (size_t)rows * n, weight = sqrt(times[i]);
        if (times[i] > 0) {
            for (size_t j = 0; j < n; ++j)
                row[j] = weight * ((double)f->samples[i * n + j] - mean[j]);
            ++rows;
        }
        if (rows < BLOCK && i + 1 < held) continue;
        cblas_dsyrk(CblasRowMajor, CblasUpper, CblasTrans, f->dims, rows, 1.0 / ((double)held - 1),
                    block, f->dims, 1.0, covariance, f->dims);
        rows = 0;
    }
    for (size_t i = 0; i < n; ++i)
        for (size_t j = i + 1; j < n; ++j) covariance[j * n + i] = covariance[i * n + j];
}

static variant_status draw_frechet(const job *work, int draw, double *room, double *out,
                                   variant_error *err) {
    const frechet_job *f = work->data;
    const size_t n = (size_t)f->dims;
    double *mean = room, *covariance = mean + n, *rest = covariance + n * n;
    const int threads = vt_blas_enter();
    moments_of_draw(f, draw, mean, covariance, rest);
    vt_blas_leave(threads);
    vt_gaussian drawn = {mean, covariance};
    return vt_frechet_from_root(out, f->real, f->root, &drawn, rest, f->dims, err);
}

variant_status vt_frechet_spread(double *out, const float *samples, const int32_t *classes,
                                 int held, int64_t count, const vt_gaussian *real, int dims,
                                 const vt_draws *draws, variant_error *err) {
    const size_t n = (size_t)dims;
    size_t moments = (size_t)held + BLOCK * n, distance = 2 * n * n + n;
    *out = NAN;
    if (draws->count < 2 || held < 2) return VARIANT_OK;
    double *root = malloc(n * n * sizeof *root);
    if (!root)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for covariances of %d features", dims);
    strata parts;
    frechet_job f = {samples, &parts, held, dims, real, root, draws->seed};
    job work = {.draw = draw_frechet,
                .room = n + n * n + (moments > distance ? moments : distance),
                .most_threads = dims > WIDE ? WIDE_THREADS : 1 << 16,
                .data = &f};
    variant_status status = strata_open(&parts, classes, held, err);
    if (status == VARIANT_OK) status = vt_frechet_root(root, real->covariance, dims, err);
    if (status == VARIANT_OK) status = spread_of(out, &work, draws, err);
    /* drawn from a class of m its variance is (m - 1) / m of what it should be */
    if (status == VARIANT_OK) *out *= sqrt((double)held / (double)(held - parts.count));
    if (status == VARIANT_OK && count > held) *out *= sqrt((double)held / (double)count);
    strata_close(&parts);
    free(root);
    return status;
}

/* ---- recall ---- */

/* Squared distances, as float32. */
typedef struct recall_job {
    const float *within; /* (made, made): of generated samples from each other */
    const float *across; /* (made, real) */
    int made, real, k;
    uint64_t seed;
} recall_job;

/* Distance of generated sample `row` to its k-th nearest among the half that was drawn. */
static float reach_of(const recall_job *r, const int *half, int count, int row, float *nearest) {
    const float *from = r->within + (size_t)row * (size_t)r->made;
    int held = 0;
    for (int i = 0; i < count; ++i) {
        float x = from[half[i]];
        if (half[i] == row || (held == r->k && x >= nearest[r->k - 1])) continue;
        int at = held < r->k ? held++ : r->k - 1;
        for (; at > 0 && nearest[at - 1] > x; --at) nearest[at] = nearest[at - 1];
        nearest[at] = x;
    }
    return nearest[r->k - 1];
}

static variant_status draw_recall(const job *work, int draw, double *room, double *out,
                                  variant_error *err) {
    const recall_job *r = work->data;
    const int count = r->made / 2;
    int *order = (int *)(void *)room, inside = 0;
    float *nearest = (float *)(order + r->made);
    bool *covered = (bool *)(nearest + r->k);
    (void)err;
    for (int i = 0; i < r->made; ++i) order[i] = i;
    memset(covered, 0, (size_t)r->real * sizeof *covered);
    for (int i = 0; i < count; ++i) { /* the first half of a shuffle */
        double u = vt_uniform(r->seed, VT_RNG_BOOTSTRAP, (uint32_t)draw, (uint32_t)i, UINT32_MAX);
        int other = i + (int)(u * (r->made - i)), kept = order[i];
        order[i] = order[other];
        order[other] = kept;
    }
    for (int i = 0; i < count; ++i) {
        const float *to = r->across + (size_t)order[i] * (size_t)r->real;
        float reach = reach_of(r, order, count, order[i], nearest);
        for (int j = 0; j < r->real; ++j) covered[j] = covered[j] || to[j] <= reach;
    }
    for (int j = 0; j < r->real; ++j) inside += covered[j];
    *out = (double)inside / r->real;
    return VARIANT_OK;
}

variant_status vt_recall_spread(double *out, const vt_samples *real, const vt_samples *generated,
                                int dims, int k, const vt_draws *draws, variant_error *err) {
    vt_samples a = *generated, b = *real;
    variant_status status = VARIANT_OK;
    *out = NAN;
    if (a.count > RECALL_SAMPLES) a.count = RECALL_SAMPLES;
    if (b.count > RECALL_SAMPLES) b.count = RECALL_SAMPLES;
    if (draws->count < 2 || a.count < 2 * (k + 1) || b.count < 1) return VARIANT_OK;
    size_t made = (size_t)a.count, reals = (size_t)b.count;
    float *within = malloc(made * (made + reals) * sizeof *within);
    if (!within)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for the distances of %zu samples", made);
    VT_CHECK(vt_square_distances(within, &a, &a, dims, err));
    VT_CHECK(vt_square_distances(within + made * made, &a, &b, dims, err));
    recall_job r = {within, within + made * made, a.count, b.count, k, draws->seed};
    size_t bytes = made * sizeof(int) + (size_t)k * sizeof(float) + reals * sizeof(bool);
    job work = {.draw = draw_recall,
                .room = bytes / sizeof(double) + 1,
                .most_threads = 1 << 16,
                .data = &r};
    VT_CHECK(spread_of(out, &work, draws, err));
    *out *= sqrt((double)a.count / (double)generated->count);
cleanup:
    free(within);
    return status;
}

/* ---- closed forms ---- */

double vt_share_spread(double share, int64_t count) {
    double n = (double)count + 2, p = (share * (double)count + 1) / n;
    return count < 1 || !isfinite(share) ? NAN : sqrt(p * (1 - p) / n);
}

double vt_mean_spread(double sum, double squares, int64_t count) {
    double n = (double)count, variance = (squares - sum * sum / n) / (n - 1);
    return count < 2 ? NAN : sqrt(variance > 0 ? variance / n : 0);
}

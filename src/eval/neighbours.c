/* neighbours.c - see neighbours.h. Distances are made a block of rows at a time as |a|^2 + |b|^2 - 2ab, in
 * float64 and about the real samples' mean, so that features far from the origin lose nothing. */
#include "eval/neighbours.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "kern/blas.h"

enum { BLOCK = 128 }; /* rows of distances at a time */

typedef struct cloud {
    int count, dims;
    double *x;      /* (count, dims), centred */
    double *square; /* (count): |x|^2 */
    double *reach;  /* (count): squared distance to the k-th neighbour */
} cloud;

/* Vitter's algorithm R: sample t takes a place among the first t + 1, and is kept if there is one. */
void vt_keep(float *kept, int *kept_count, int most, int64_t seen, const float *samples, int count,
             int dims) {
    const size_t n = (size_t)dims;
    for (int i = 0; i < count; ++i) {
        const uint64_t t = (uint64_t)seen + (uint64_t)i;
        const uint64_t place = t < (uint64_t)most ? t : vt_splitmix64(t) % (t + 1);
        if (place >= (uint64_t)most) continue;
        memcpy(kept + place * n, samples + (size_t)i * n, n * sizeof *kept);
        if (*kept_count <= (int)place) *kept_count = (int)place + 1;
    }
}

static const float *sample_at(const vt_samples *samples, int index, int dims) {
    size_t row = (size_t)index * (size_t)samples->held / (size_t)samples->count;
    return samples->features + row * (size_t)dims;
}

static void cloud_close(cloud *c) {
    free(c->x);
    free(c->square);
    free(c->reach);
}

static variant_status cloud_open(cloud *c, const vt_samples *samples, int dims,
                                 const double *centre, variant_error *err) {
    size_t n = (size_t)samples->count, d = (size_t)dims;
    *c = (cloud){.count = samples->count, .dims = dims};
    c->x = malloc(n * d * sizeof *c->x);
    c->square = malloc(n * sizeof *c->square);
    c->reach = malloc(n * sizeof *c->reach);
    if (!c->x || !c->square || !c->reach)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples of %d features",
                       samples->count, dims);
    for (size_t i = 0; i < n; ++i) {
        const float *sample = sample_at(samples, (int)i, dims);
        c->square[i] = 0;
        for (size_t j = 0; j < d; ++j) {
            double x = (double)sample[j] - centre[j];
            c->x[i * d + j] = x;
            c->square[i] += x * x;
        }
    }
    return VARIANT_OK;
}

/* Squared distances of rows [first, first + rows) of a from all of b: (rows, b's count). */
static void distances(double *out, const cloud *a, int first, int rows, const cloud *b) {
    const int threads = vt_blas_enter();
    cblas_dgemm(CblasRowMajor, CblasNoTrans, CblasTrans, rows, b->count, a->dims, -2.0,
                a->x + (size_t)first * (size_t)a->dims, a->dims, b->x, b->dims, 0.0, out, b->count);
    vt_blas_leave(threads);
    for (int i = 0; i < rows; ++i)
        for (int j = 0; j < b->count; ++j) {
            double d =
                out[(size_t)i * (size_t)b->count + (size_t)j] + a->square[first + i] + b->square[j];
            out[(size_t)i * (size_t)b->count + (size_t)j] = d > 0 ? d : 0;
        }
}

/* What one thread works in: a block's distances, and the k nearest. */
typedef struct rooms {
    double *distances, *nearest;
    size_t distance_count;
    int k;
} rooms;

/* About the mean of `about`: into centre (dims). */
static void find_centre(double *centre, const vt_samples *about, int dims) {
    memset(centre, 0, (size_t)dims * sizeof *centre);
    for (int i = 0; i < about->count; ++i)
        for (int j = 0; j < dims; ++j)
            centre[j] += (double)sample_at(about, i, dims)[j] / about->count;
}

variant_status vt_square_distances(float *out, const vt_samples *a, const vt_samples *b, int dims,
                                   variant_error *err) {
    cloud p = {0}, q = {0};
    variant_status status = VARIANT_OK;
    const size_t wide = (size_t)b->count;
    double *centre = malloc((size_t)dims * sizeof *centre);
    double *room = malloc(BLOCK * wide * sizeof *room);
    if (!centre || !room)
        VT_CHECK(
            vt_fail(err, VARIANT_E_MEMORY, "no memory for the distances of %zu samples", wide));
    find_centre(centre, b, dims);
    VT_CHECK(cloud_open(&p, a, dims, centre, err));
    VT_CHECK(cloud_open(&q, b, dims, centre, err));
    for (int first = 0; first < a->count; first += BLOCK) {
        int rows = a->count - first < BLOCK ? a->count - first : BLOCK;
        distances(room, &p, first, rows, &q);
        for (size_t i = 0; i < (size_t)rows * wide; ++i)
            out[(size_t)first * wide + i] = (float)room[i];
    }
cleanup:
    cloud_close(&p);
    cloud_close(&q);
    free(room);
    free(centre);
    return status;
}

/* The k-th smallest of n numbers, the one at `skip` left out. nearest: room for k. */
static double kth(const double *x, int n, int skip, int k, double *nearest) {
    int held = 0;
    for (int i = 0; i < n; ++i) {
        if (i == skip || (held == k && x[i] >= nearest[k - 1])) continue;
        int at = held < k ? held++ : k - 1;
        for (; at > 0 && nearest[at - 1] > x[i]; --at) nearest[at] = nearest[at - 1];
        nearest[at] = x[i];
    }
    return nearest[k - 1];
}

/* Blocks of rows of a against b. */
typedef struct block_loop {
    cloud *a;
    const cloud *b;
    const rooms *room;
    _Atomic int *inside;
} block_loop;

static int block_rows(const cloud *a, int first) {
    return a->count - first < BLOCK ? a->count - first : BLOCK;
}

static void reach_part(const void *args, vt_span span) {
    const block_loop *l = args;
    const size_t me = (size_t)span.thread, count = (size_t)l->a->count;
    double *out = l->room->distances + me * l->room->distance_count;
    double *nearest = l->room->nearest + me * (size_t)l->room->k;
    for (int first = (int)span.begin * BLOCK; first < span.end * BLOCK; first += BLOCK) {
        int rows = block_rows(l->a, first);
        distances(out, l->a, first, rows, l->a);
        for (int i = 0; i < rows; ++i)
            l->a->reach[first + i] =
                kth(out + (size_t)i * count, l->a->count, first + i, l->room->k, nearest);
    }
}

static void fill_reach(vt_team *team, cloud *c, const rooms *room) {
    vt_team_deal(team, (c->count + BLOCK - 1) / BLOCK, reach_part,
                 &(block_loop){.a = c, .room = room});
}

static void inside_part(const void *args, vt_span span) {
    const block_loop *l = args;
    double *out = l->room->distances + (size_t)span.thread * l->room->distance_count;
    for (int first = (int)span.begin * BLOCK; first < span.end * BLOCK; first += BLOCK) {
        int rows = block_rows(l->a, first);
        distances(out, l->a, first, rows, l->b);
        for (int i = 0; i < rows; ++i) {
            const double *row = out + (size_t)i * (size_t)l->b->count;
            bool found = false;
            for (int j = 0; j < l->b->count && !found; ++j) found = row[j] <= l->b->reach[j];
            *l->inside += found;
        }
    }
}

/* The share of a's samples within a ball of b. */
static double share_inside(vt_team *team, cloud *a, const cloud *b, const rooms *room) {
    _Atomic int inside = 0;
    vt_team_deal(team, (a->count + BLOCK - 1) / BLOCK, inside_part,
                 &(block_loop){a, b, room, &inside});
    return (double)inside / a->count;
}

variant_status vt_precision_recall(double *precision, double *recall, const vt_samples *real,
                                   const vt_samples *generated, int dims, int k, vt_team *team,
                                   variant_error *err) {
    cloud r = {0}, g = {0};
    variant_status status = VARIANT_OK;
    if (k < 1 || real->count <= k || generated->count <= k)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "precision and recall: %d and %d samples, expected more than %d of each",
                       real->count, generated->count, k);
    size_t most = (size_t)(real->count > generated->count ? real->count : generated->count);
    size_t threads = (size_t)vt_team_size(team);
    rooms room = {.distance_count = BLOCK * most, .k = k};
    double *centre = calloc((size_t)dims, sizeof *centre);
    room.distances = malloc(threads * room.distance_count * sizeof *room.distances);
    room.nearest = malloc(threads * (size_t)k * sizeof *room.nearest);
    if (!centre || !room.nearest || !room.distances)
        VT_CHECK(
            vt_fail(err, VARIANT_E_MEMORY, "no memory for the distances of %zu samples", most));
    find_centre(centre, real, dims);
    VT_CHECK(cloud_open(&r, real, dims, centre, err));
    VT_CHECK(cloud_open(&g, generated, dims, centre, err));
    fill_reach(team, &r, &room);
    fill_reach(team, &g, &room);
    *precision = share_inside(team, &g, &r, &room);
    *recall = share_inside(team, &r, &g, &room);
cleanup:
    cloud_close(&r);
    cloud_close(&g);
    free(centre);
    free(room.nearest);
    free(room.distances);
    return status;
}

/* ranks.c - what is the same with MPI and without: see ranks.h. */
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "dist/ranks_parts.h"

void variant_ranks_options_init_sized(variant_ranks_options *options, size_t size) {
    const variant_ranks_options defaults = {.silence = 30.0};
    vt_sized_init(options, size, &defaults, sizeof defaults);
}

variant_status vt_ranks_asked(variant_ranks_options *out, variant_ranks **ranks,
                              const variant_ranks_options *options, variant_error *err) {
    VT_TRY(vt_need(ranks, "nowhere to put the ranks", err));
    *ranks = NULL;
    variant_ranks_options_init(out);
    if (options) VT_TRY(VT_SIZED_TAKE(out, options, variant_ranks_options, err));
    if (out->silence >= 1.0 && out->silence <= 86400.0) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "ranks lost after %g seconds of silence: expected 1 to 86400", out->silence);
}

/* Open MPI, MPICH and what stems from it, MVAPICH; under srun PMIx and PMI. A batch script of Slurm has none of these. */
bool variant_ranks_started(void) {
    static const char *const names[] = {"OMPI_COMM_WORLD_SIZE", "PMI_SIZE", "MV2_COMM_WORLD_SIZE",
                                        "PMIX_RANK"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (getenv(names[i])) return true;
    return false;
}

#define ALIGNED 16 /* floats of 64 bytes: no two ranks' shares meet in a line of a cache */

vt_share vt_ranks_share(size_t n, int rank, int count) {
    const size_t lines = (n + ALIGNED - 1) / ALIGNED, of = (size_t)count, r = (size_t)rank;
    const size_t begin = lines * r / of * ALIGNED, end = lines * (r + 1) / of * ALIGNED;
    return (vt_share){begin < n ? begin : n, end < n ? end : n};
}

/* The first of an array of `count` numbers that a gathering has room for at a time. */
static size_t at_a_time(size_t count, size_t size) {
    return count < VT_RANKS_ROOM / size ? count : VT_RANKS_ROOM / size;
}

/* Makes n numbers of all ranks' `all` (of, n), of which `mine` are one. */
typedef void join(void *mine, const void *all, size_t n, int of);

/* Joins arrays of numbers of `size` bytes, as much at a time as there is room to gather. */
static void join_all(variant_ranks *ranks, void *mine, size_t count, size_t size, join *one) {
    const int of = variant_ranks_count(ranks);
    if (of == 1) return;
    for (size_t done = 0, n; done < count; done += n) {
        uint8_t *at = (uint8_t *)mine + done * size;
        n = at_a_time(count - done, size);
        vt_ranks_gather(ranks, at, n * size, vt_ranks_room(ranks));
        one(at, vt_ranks_room(ranks), n, of);
    }
}

static void add(void *mine, const void *all, size_t n, int of) {
    const double *from = all;
    for (size_t i = 0; i < n; ++i) {
        double sum = from[i];
        for (int r = 1; r < of; ++r) sum += from[(size_t)r * n + i];
        ((double *)mine)[i] = sum;
    }
}

static void add_counts(void *mine, const void *all, size_t n, int of) {
    uint32_t *sums = memset(mine, 0, n * sizeof *sums);
    for (size_t i = 0; i < (size_t)of * n; ++i) sums[i % n] += ((const uint32_t *)all)[i];
}

static void keep_least(void *mine, const void *all, size_t n, int of) {
    int32_t *least = mine;
    const int32_t *from = all;
    for (size_t i = 0; i < (size_t)of * n; ++i)
        if (from[i] < least[i % n]) least[i % n] = from[i];
}

static void unite(void *mine, const void *all, size_t n, int of) {
    uint8_t *bits = mine;
    for (size_t i = 0; i < (size_t)of * n; ++i)
        bits[i % n] = (uint8_t)(bits[i % n] | ((const uint8_t *)all)[i]);
}

void vt_ranks_sum(variant_ranks *ranks, double *numbers, size_t count) {
    join_all(ranks, numbers, count, sizeof *numbers, add);
}

void vt_ranks_sum_counts(variant_ranks *ranks, uint32_t *numbers, size_t count) {
    join_all(ranks, numbers, count, sizeof *numbers, add_counts);
}

void vt_ranks_least(variant_ranks *ranks, int32_t *numbers, size_t count) {
    join_all(ranks, numbers, count, sizeof *numbers, keep_least);
}

void vt_ranks_unite(variant_ranks *ranks, void *bytes, size_t count) {
    join_all(ranks, bytes, count, 1, unite);
}

/* What a rank says of itself. */
typedef struct verdict {
    variant_status status;
    variant_error error;
} verdict;

variant_status vt_ranks_agree(variant_ranks *ranks, variant_status status, variant_error *err) {
    const int count = variant_ranks_count(ranks), rank = variant_ranks_rank(ranks);
    if (count == 1) return status;
    int32_t first = status != VARIANT_OK ? rank : count;
    vt_ranks_least(ranks, &first, 1);
    if (first == count) return VARIANT_OK;
    verdict said = {.status = status};
    if (first == rank && err) said.error = *err;
    vt_ranks_broadcast(ranks, first, &said, sizeof said);
    if (err) *err = said.error;
    return said.status;
}

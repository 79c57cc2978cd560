/* ranks.c - what is the same with MPI and without: see ranks.h. */
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "dist/ranks_parts.h"

void variant_ranks_options_init_sized(variant_ranks_options *options, size_t size) {
    const variant_ranks_options defaults = {.silence = 30.0};
    vt_sized_init(options, size, &defaults, sizeof defaults);
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

void vt_ranks_sum(variant_ranks *ranks, double *numbers, size_t count) {
    const int of = variant_ranks_count(ranks);
    if (of == 1) return;
    const double *all = vt_ranks_room(ranks);
    for (size_t done = 0, n; done < count; done += n) {
        n = at_a_time(count - done, sizeof *numbers);
        vt_ranks_gather(ranks, numbers + done, n * sizeof *numbers, vt_ranks_room(ranks));
        for (size_t i = 0; i < n; ++i) {
            double sum = all[i];
            for (int r = 1; r < of; ++r) sum += all[(size_t)r * n + i];
            numbers[done + i] = sum;
        }
    }
}

void vt_ranks_sum_counts(variant_ranks *ranks, uint32_t *numbers, size_t count) {
    const int of = variant_ranks_count(ranks);
    if (of == 1) return;
    const uint32_t *all = vt_ranks_room(ranks);
    for (size_t done = 0, n; done < count; done += n) {
        n = at_a_time(count - done, sizeof *numbers);
        vt_ranks_gather(ranks, numbers + done, n * sizeof *numbers, vt_ranks_room(ranks));
        memset(numbers + done, 0, n * sizeof *numbers);
        for (size_t i = 0; i < (size_t)of * n; ++i) numbers[done + i % n] += all[i];
    }
}

void vt_ranks_least(variant_ranks *ranks, int32_t *numbers, size_t count) {
    const int of = variant_ranks_count(ranks);
    if (of == 1) return;
    const int32_t *all = vt_ranks_room(ranks);
    for (size_t done = 0, n; done < count; done += n) {
        n = at_a_time(count - done, sizeof *numbers);
        vt_ranks_gather(ranks, numbers + done, n * sizeof *numbers, vt_ranks_room(ranks));
        for (size_t i = 0; i < (size_t)of * n; ++i)
            if (all[i] < numbers[done + i % n]) numbers[done + i % n] = all[i];
    }
}

void vt_ranks_unite(variant_ranks *ranks, void *bytes, size_t count) {
    const int of = variant_ranks_count(ranks);
    uint8_t *mine = bytes;
    if (of == 1) return;
    const uint8_t *all = vt_ranks_room(ranks);
    for (size_t done = 0, n; done < count; done += n) {
        n = at_a_time(count - done, 1);
        vt_ranks_gather(ranks, mine + done, n, vt_ranks_room(ranks));
        for (size_t i = 0; i < (size_t)of * n; ++i) mine[done + i % n] |= all[i];
    }
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

/* ranks.h - what processes that compute one training tell each other: small things that all know then, and long runs of
 * numbers summed or spread while others go on computing.
 *
 * variant_ranks is one thread that makes all calls of MPI (so MPI_THREAD_FUNNELED is enough) and works through what it is
 * handed, in order. It asks for messages instead of sleeping in one call until all is there: so runs travel while the layers
 * before them are still computed, a rank's silence is noticed while others wait, and a processor that waits is free for
 * computing. All ranks must hand it the same things in the same order.
 *
 * A run of numbers is summed by shares: share r of it goes to rank r, which adds them in the order of ranks. What comes out
 * depends on the number of ranks alone, not on the MPI at hand, nor on who was first; each rank sends (N - 1) / N of the run.
 * Spreading sends each rank's share to all others, as much again.
 *
 * ranks_mpi.c has it by MPI, ranks_one.c for builds without; NULL is one process everywhere. Used by train/. */
#ifndef VT_DIST_RANKS_H
#define VT_DIST_RANKS_H

#include <stdint.h>

#include <variant/ranks.h>

#include "core/status.h"

/* ---- small things: both ends wait ---- */

/* Each rank's `bytes` bytes, by rank, into all (count, bytes). */
void vt_ranks_gather(variant_ranks *ranks, const void *mine, size_t bytes, void *all);
/* The root's data becomes everyone's. */
void vt_ranks_broadcast(variant_ranks *ranks, int root, void *data, size_t bytes);
/* All go on, or all fail alike: with the failure of the first rank that has one. */
variant_status vt_ranks_agree(variant_ranks *ranks, variant_status status, variant_error *err);
/* Sums in the order of ranks, in place. */
void vt_ranks_sum(variant_ranks *ranks, double *numbers, size_t count);
void vt_ranks_sum_counts(variant_ranks *ranks, uint32_t *numbers, size_t count);
/* The least of each number, and of all bytes the bits that any rank has set; in place. */
void vt_ranks_least(variant_ranks *ranks, int32_t *numbers, size_t count);
void vt_ranks_unite(variant_ranks *ranks, void *bytes, size_t count);

/* Parts of a run, a rank each (parts (count), they may be empty), come together in the first rank's `whole`; mine: this rank's part. */
typedef struct vt_share {
    size_t begin, end;
} vt_share;
void vt_ranks_collect(variant_ranks *ranks, const float *mine, const vt_share *parts, float *whole);

/* ---- long runs: started, waited for later ---- */

typedef enum vt_wire { VT_WIRE_F32, VT_WIRE_BF16 } vt_wire; /* as what summands travel */

/* Numbers of a run of n that belong to a rank; begins are multiples of 16. */
vt_share vt_ranks_share(size_t n, int rank, int count);

typedef struct vt_ranks_sums {
    float *x; /* (n): this rank's summand; its share becomes the sum */
    size_t n;
    vt_wire wire;
    void *
        scratch; /* vt_ranks_scratch bytes; runs are summed one after another, so several may have the same */
    /* With VT_WIRE_BF16: what the rounding does to the sums is measured as well, for which both travel. */
    bool measure;
    double seconds; /* out: how long it took, once it was its turn */
    double error,
        length; /* out, of the share: sums of squares of the difference, and of the exact sums */
} vt_ranks_sums;
size_t vt_ranks_scratch(const variant_ranks *ranks, size_t n, vt_wire wire);
/* The struct stays where it is until waited for. Both return a ticket. */
int64_t vt_ranks_start_sums(variant_ranks *ranks, vt_ranks_sums *sums);
/* Each rank's share of x (n) reaches all. */
int64_t vt_ranks_start_spread(variant_ranks *ranks, float *x, size_t n);
void vt_ranks_wait(variant_ranks *ranks, int64_t ticket);
/* Bytes that this rank has sent in long runs so far. */
uint64_t vt_ranks_sent(const variant_ranks *ranks);

#endif

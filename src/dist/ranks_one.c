/* ranks_one.c - ranks in a build without MPI: one, and a refusal where several were started. See ranks.h. */
#include <stdlib.h>

#include "core/sized.h"
#include "dist/ranks_parts.h"

#ifndef VARIANT_MPI

struct variant_ranks {
    char unused;
};

const char *variant_ranks_library(void) {
    return NULL;
}

variant_status variant_ranks_open(variant_ranks **ranks, const variant_ranks_options *options,
                                  variant_error *error) {
    variant_ranks_options asked;
    VT_TRY(vt_ranks_asked(&asked, ranks, options, error));
    if (variant_ranks_started())
        return vt_fail(error, VARIANT_E_UNSUPPORTED,
                       "started as one of several ranks, and this build of variant has no MPI: "
                       "expected one process, or a build with VARIANT_MPI");
    *ranks = calloc(1, sizeof **ranks);
    return *ranks ? VARIANT_OK : vt_fail(error, VARIANT_E_MEMORY, "no memory for ranks");
}

int variant_ranks_rank(const variant_ranks *ranks) {
    (void)ranks;
    return 0;
}

int variant_ranks_count(const variant_ranks *ranks) {
    (void)ranks;
    return 1;
}

void variant_ranks_close(variant_ranks **ranks) {
    if (!ranks) return;
    free(*ranks);
    *ranks = NULL;
}

/* One rank has no one to tell: whoever has one does not ask. */

void *vt_ranks_room(const variant_ranks *ranks) {
    (void)ranks;
    return NULL;
}

void vt_ranks_gather(variant_ranks *ranks, const void *mine, size_t bytes, void *all) {
    (void)ranks, (void)mine, (void)bytes, (void)all;
}

void vt_ranks_broadcast(variant_ranks *ranks, int root, void *data, size_t bytes) {
    (void)ranks, (void)root, (void)data, (void)bytes;
}

void vt_ranks_collect(variant_ranks *ranks, const float *mine, const vt_share *parts,
                      float *whole) {
    (void)ranks, (void)mine, (void)parts, (void)whole;
}

size_t vt_ranks_scratch(const variant_ranks *ranks, size_t n, vt_wire wire) {
    (void)ranks, (void)n, (void)wire;
    return 0;
}

int64_t vt_ranks_start_sums(variant_ranks *ranks, vt_ranks_sums *sums) {
    (void)ranks, (void)sums;
    return 0;
}

int64_t vt_ranks_start_spread(variant_ranks *ranks, float *x, size_t n) {
    (void)ranks, (void)x, (void)n;
    return 0;
}

void vt_ranks_wait(variant_ranks *ranks, int64_t ticket) {
    (void)ranks, (void)ticket;
}

uint64_t vt_ranks_sent(const variant_ranks *ranks) {
    (void)ranks;
    return 0;
}

#endif

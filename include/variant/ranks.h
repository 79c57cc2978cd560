/* variant/ranks.h - processes that compute one training together: ranks, as MPI calls them. */
#ifndef VARIANT_RANKS_H
#define VARIANT_RANKS_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>

VARIANT_BEGIN

/* The ranks that mpirun, mpiexec or srun started this process with. */
typedef struct variant_ranks variant_ranks;

typedef struct variant_ranks_options {
    size_t size; /* variant_ranks_options_init sets it */
    /* Seconds after which a rank that says nothing counts as lost: killed with its machine, stopped, or behind a cut network.
     * Each says once a second that it is there, in a thread of its own, however long it computes. 1 to 86400 */
    double silence;
    /* Told of a lost rank, in that thread, before MPI ends all processes of the job; NULL: nobody is */
    void (*lost)(void *user, const char *line);
    void *user;
} variant_ranks_options;
/* silence 30. */
VARIANT_SIZED(variant_ranks_options);

/* The MPI that this library was built with, "Open MPI v4.1.4" say; NULL: none. Threads: any. */
const char *variant_ranks_library(void);

/* Was this process started as one of several, as the environment says? Threads: any. */
bool variant_ranks_started(void);

/* Joins the ranks that this process was started with; alone it is rank 0 of 1. Once in a process, before anything else in it
 * uses MPI. options may be NULL: defaults. E_UNSUPPORTED: several were started, and this library was built without MPI, or MPI
 * has been used already. Threads: one. */
variant_status variant_ranks_open(variant_ranks **ranks, const variant_ranks_options *options,
                                  variant_error *error);

/* 0 to count - 1; of NULL 0 and 1. Threads: any. */
int variant_ranks_rank(const variant_ranks *ranks);
int variant_ranks_count(const variant_ranks *ranks);

/* Waits for the other ranks to close theirs. Threads: one. */
void variant_ranks_close(variant_ranks **ranks);

VARIANT_END

#endif

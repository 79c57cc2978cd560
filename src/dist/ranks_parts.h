/* ranks_parts.h - what ranks.c needs of ranks_mpi.c or ranks_one.c. */
#ifndef VT_DIST_RANKS_PARTS_H
#define VT_DIST_RANKS_PARTS_H

#include "dist/ranks.h"

#define VT_RANKS_ROOM 16384 /* bytes a rank */
/* (count, VT_RANKS_ROOM): for small things gathered, of the thread that hands things over. */
void *vt_ranks_room(const variant_ranks *ranks);

/* What variant_ranks_open begins with: empties *ranks and err; the options, checked. */
variant_status vt_ranks_asked(variant_ranks_options *out, variant_ranks **ranks,
                              const variant_ranks_options *options, variant_error *err);

#endif

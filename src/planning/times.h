/* times.h - tables of measured times in memory: variant_times of variant.h. plan.c looks there before it reads a file. */
#ifndef VT_PLANNING_TIMES_H
#define VT_PLANNING_TIMES_H

#include "planning/cost.h"

/* The table of this key; false: there is none. times may be NULL. */
bool vt_times_find(variant_times *times, const vt_costs_key *key, vt_costs *out);
/* Keeps it in place of the one before. No memory: it is measured again. */
void vt_times_put(variant_times *times, const vt_costs_key *key, const vt_costs *costs);

#endif

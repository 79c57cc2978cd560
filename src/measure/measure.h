/* measure.h - what the files that time things share: medians, and what the machine could do at most. Private to measure/. */
#ifndef VT_MEASURE_MEASURE_H
#define VT_MEASURE_MEASURE_H

#include "engine/engine.h"
#include "planning/floor.h"

enum { VT_MEASURE_REPEAT = 5 };
#define VT_MEASURE_PROBING "measuring what this machine could do at most"

/* Median of n numbers, which are sorted. */
double vt_median(double *numbers, int n);
/* E_ARGUMENT: repeat is not 1 to VARIANT_BENCH_MOST_REPEAT. */
variant_status vt_measure_check_repeat(int repeat, variant_error *err);
/* E_UNSUPPORTED: the backend has no probes. */
variant_status vt_measure_check_probes(const vt_kern *kern, variant_error *err);
/* Of the transformer's products, beside an engine's weights. */
vt_machine_limits vt_measure_probe(const variant_engine *engine);

#endif

/* shared.c - see measure.h. */
#include "measure/measure.h"

#include <stdlib.h>

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double vt_median(double *numbers, int n) {
    qsort(numbers, (size_t)n, sizeof *numbers, ascending);
    return 0.5 * (numbers[(n - 1) / 2] + numbers[n / 2]);
}

variant_status vt_measure_check_repeat(int repeat, variant_error *err) {
    if (repeat >= 1 && repeat <= VARIANT_BENCH_MOST_REPEAT) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT, "repeat %d: expected 1 to %d", repeat,
                   VARIANT_BENCH_MOST_REPEAT);
}

variant_status vt_measure_check_probes(const vt_kern *kern, variant_error *err) {
    if (kern->peak_flops && kern->stream_bytes) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_UNSUPPORTED, "backend %s has no probes to measure against",
                   kern->name);
}

vt_machine_limits vt_measure_probe(const variant_engine *engine) {
    const variant_info *info = variant_engine_info(engine);
    return vt_machine_probe(engine->kern, engine->weights, engine->kv,
                            info->weight_bytes + info->mapped_bytes);
}

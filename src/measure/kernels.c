/* kernels.c - variant_bench_kernels: each fast kernel of kernel_cases.h, against its plain-C twin (backend ref) and against the least time
 * that this machine could take; or the products of a layer alone. */
#include <stdio.h>

#include "core/clock.h"
#include "core/cpu.h"
#include "core/sized.h"
#include "kern/watch.h"
#include "measure/kernel_cases.h"
#include "measure/measure.h"

/* ---- timing ---- */

#define TRIES 3 /* of a kernel's calls, until they are quiet */

/* Medians of a kernel, and whether its calls were disturbed every time. */
typedef struct kernel_time {
    double ms; /* < 0: memory was short */
    bool disturbed;
    char why[200];
} kernel_time;

static double median_call(bench_case *c, const bench_kernel *k, int repeat) {
    static double ms[VARIANT_BENCH_MOST_REPEAT];
    for (int i = 0; i < repeat; ++i) {
        if (c->ready) c->ready(c);
        double start = vt_seconds();
        k->run(c);
        c->kern->sync(c->kern);
        ms[i] = 1e3 * (vt_seconds() - start);
    }
    return vt_median(ms, repeat);
}

/* Of `repeat` calls after one that is not counted. Disturbed ones are made again: the fastest median counts. */
static kernel_time time_kernel(vt_kern *kern, const bench_kernel *k, int repeat, int tries,
                               vt_quiet *quiet) {
    bench_case c = {.kern = kern, .repeat = repeat};
    kernel_time result = {.ms = -1.0};
    k->set_up(&c, k);
    if (!c.failed && repeat > 1) {
        if (c.ready) c.ready(&c);
        k->run(&c);
    }
    for (int i = 0; i < tries && !c.failed && (i == 0 || result.disturbed); ++i) {
        vt_quiet_begin(quiet);
        double ms = median_call(&c, k, repeat);
        vt_quiet_span span = vt_quiet_end(quiet);
        result.disturbed = vt_quiet_is_disturbed(quiet, &span);
        if (i == 0 || ms < result.ms || !result.disturbed) result.ms = ms;
        vt_quiet_why(quiet, &span, 1, result.why, sizeof result.why);
    }
    vt_bench_case_close(&c);
    return result;
}

/* What all cases share. */
typedef struct bench_run {
    const variant_bench_kernels_options *options;
    vt_kern *kern, *ref;
    vt_bench_peaks most;
    vt_quiet quiet;
} bench_run;

/* `twin`: the plain-C one is timed as well. */
static variant_status run_case(bench_run *r, const bench_kernel *k, bool with_twin,
                               variant_error *err) {
    char size[64];
    vt_bench_describe(k, size, sizeof size);
    kernel_time fast = time_kernel(r->kern, k, r->options->repeat, TRIES, &r->quiet);
    double twin = with_twin ? time_kernel(r->ref, k, 1, 1, &r->quiet).ms : -1.0;
    if (fast.ms < 0.0 || (with_twin && twin < 0.0))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %s, %s", k->name, size);
    const variant_bench_kernel told = {.name = k->name,
                                       .type = vt_number_name(k->number),
                                       .size = size,
                                       .ms = fast.ms,
                                       .floor_ms = vt_bench_floor_ms(k, r->kern, &r->most),
                                       .plain_ms = twin,
                                       .disturbed = fast.disturbed,
                                       .why = fast.why};
    if (r->options->kernel) r->options->kernel(r->options->user, &told);
    return VARIANT_OK;
}

static variant_status run_kernels(bench_run *r, variant_error *err) {
    for (int i = 0; i < vt_bench_case_count; ++i)
        VT_TRY(run_case(r, &vt_bench_cases[i], true, err));
    return VARIANT_OK;
}

static variant_status run_products(bench_run *r, variant_error *err) {
    bench_kernel k;
    for (int i = 0; vt_bench_product(i, &k); ++i) VT_TRY(run_case(r, &k, false, err));
    return VARIANT_OK;
}

static void measure_peaks(bench_run *r) {
    vt_kern *kern = r->kern;
    r->most = (vt_bench_peaks){
        {kern->peak_flops(kern, VT_NUMBER_F32), kern->peak_flops(kern, VT_NUMBER_BF16),
         kern->peak_flops(kern, VT_NUMBER_INT8), kern->peak_flops(kern, VT_NUMBER_INT4)},
        kern->stream_bytes(kern, VT_BENCH_CACHES * vt_cache_bytes())};
    vt_kern_watch(&r->quiet, kern);
    const variant_bench_peaks told = {.kernels = kern->details,
                                      .flops_f32 = r->most.flops[VT_NUMBER_F32],
                                      .flops_bf16 = r->most.flops[VT_NUMBER_BF16],
                                      .stream = r->most.stream};
    if (r->options->peaks) r->options->peaks(r->options->user, &told);
}

void variant_bench_kernels_options_init_sized(variant_bench_kernels_options *out, size_t size) {
    const variant_bench_kernels_options defaults = {.repeat = VT_MEASURE_REPEAT};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

variant_status variant_bench_kernels(const variant_bench_kernels_options *options,
                                     variant_error *error) {
    variant_bench_kernels_options taken;
    bench_run r = {.options = &taken};
    variant_status status = VARIANT_OK;
    if (error) *error = (variant_error){0};
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_bench_kernels_options, error));
    VT_TRY(vt_measure_check_repeat(taken.repeat, error));
    VT_CHECK(vt_kern_open(&r.kern, NULL, taken.threads, error));
    VT_CHECK(vt_kern_open(&r.ref, vt_kern_reference(), 1, error));
    VT_CHECK(vt_measure_check_probes(r.kern, error));
    measure_peaks(&r);
    VT_CHECK(taken.products ? run_products(&r, error) : run_kernels(&r, error));
cleanup:
    vt_kern_close(&r.kern);
    vt_kern_close(&r.ref);
    return status;
}

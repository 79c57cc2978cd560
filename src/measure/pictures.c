/* pictures.c - variant_bench: a request at one depth or at several, timed by turns, stage by stage and scale by scale, and the floors
 * beside it.
 *
 * Of several depths the first is the yardstick. From its time of a layer at each scale follows what another one should take: layers
 * times that, and head and AdaLN, which every depth pays in full. A depth that took longer than one with more layers was disturbed,
 * whatever the watch says. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/sized.h"
#include "engine/branches.h"
#include "engine/engine.h"
#include "kern/memory_pool.h"
#include "kern/watch.h"
#include "measure/measure.h"
#include "planning/order.h"

void variant_bench_options_init_sized(variant_bench_options *out, size_t size) {
    const variant_bench_options defaults = {.repeat = VT_MEASURE_REPEAT};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- runs ---- */

/* Of one depth. */
typedef struct runs {
    variant_request request;
    variant_report first; /* the one that warmed up, or the first counted one */
    variant_report *reports;
    vt_quiet_span *spans;
    int count, room;
    bool any;       /* first is set */
    double seconds; /* of the last run */
} runs;

/* All depths at work. */
typedef struct rounds {
    const variant_engine *engine;
    const variant_bench_options *options;
    vt_machine_limits limits; /* of the transformer's products */
    vt_quiet quiet;
    variant_bench_progress at; /* what was told last */
    runs *depths;
    int count;
    double deadline; /* 0: none */
} rounds;

static void tell(rounds *r, variant_bench_event event) {
    r->at.event = event;
    if (r->options->progress) r->options->progress(r->options->user, &r->at);
}

static bool tell_step(void *user, const variant_progress *at) {
    rounds *r = user;
    r->at.scale = at->scale;
    r->at.scales = at->scales;
    tell(r, VARIANT_BENCH_STEPS);
    return true;
}

static variant_status rounds_open(rounds *r, const variant_request *request, variant_error *err) {
    const variant_bench_options *o = r->options;
    r->depths = calloc((size_t)r->count, sizeof *r->depths);
    if (!r->depths) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d depths", r->count);
    for (int i = 0; i < r->count; ++i) {
        runs *d = &r->depths[i];
        d->request = *request;
        if (o->depth_count) d->request.depth = o->depths[i];
        d->request.progress = tell_step;
        d->request.preview = NULL;
        d->request.previews = NULL;
        d->request.user = r;
        d->room = 2 * o->repeat;
        d->reports = calloc((size_t)d->room, sizeof *d->reports);
        d->spans = calloc((size_t)d->room, sizeof *d->spans);
        if (!d->reports || !d->spans)
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d reports", d->room);
    }
    vt_kern_watch(&r->quiet, r->engine->kern);
    r->deadline = o->seconds > 0.0 ? vt_seconds() + o->seconds : 0.0;
    return VARIANT_OK;
}

static void rounds_close(rounds *r) {
    for (int i = 0; r->depths && i < r->count; ++i) {
        free(r->depths[i].reports);
        free(r->depths[i].spans);
    }
    free(r->depths);
}

/* Seconds that a run of a depth will take: as its last, or as another's; < 0: not known. */
static double expected_seconds(const rounds *r, const runs *d) {
    if (d->any) return d->seconds;
    for (int i = 0; i < r->count; ++i)
        if (r->depths[i].any) return r->depths[i].seconds;
    return -1.0;
}

/* Seconds of the runs after the one of `at`, warm-ups not counted; < 0: not known. */
static double seconds_left(const rounds *r, const runs *at) {
    double left = 0.0;
    for (int i = 0; i < r->count; ++i) {
        const runs *d = &r->depths[i];
        int missing = r->options->repeat - d->count - (d == at && d->any);
        if (missing > 0) left += missing * expected_seconds(r, d);
    }
    if (r->deadline > 0.0 && left > r->deadline - vt_seconds()) left = r->deadline - vt_seconds();
    return expected_seconds(r, at) < 0.0 ? -1.0 : left > 0.0 ? left : 0.0;
}

static variant_status run_once(rounds *r, runs *d, bool counts, variant_error *err) {
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    char doing[64] = "warming up";
    if (counts) snprintf(doing, sizeof doing, "run %d", d->count + 1);
    r->at = (variant_bench_progress){.doing = doing,
                                     .depth = d->request.depth,
                                     .expected = expected_seconds(r, d),
                                     .left = seconds_left(r, d),
                                     .scales = 1};
    tell(r, VARIANT_BENCH_BEGINS);
    if (!d->any)
        vt_memory_trim(r->engine->kern); /* so that this run shows what its depth takes alone */
    vt_peak_resident_reset();            /* another depth's, the probe's memory */
    vt_quiet_begin(&r->quiet);
    VT_TRY(variant_generate(r->engine, &d->request, &pictures, &report, err));
    vt_quiet_span span = vt_quiet_end(&r->quiet);
    variant_pictures_free(&pictures, d->request.count);
    if (!d->any) d->first = report;
    d->any = true;
    d->seconds = report.total_seconds;
    d->reports[d->count] = report;
    d->spans[d->count] = span;
    d->count += counts;
    r->at.seconds = report.total_seconds;
    tell(r, VARIANT_BENCH_ENDS);
    return VARIANT_OK;
}

/* Where time is short, the first depth's warm-up counts as its run, and the others, whose weights are warm by
 * then, do without. */
static variant_status warm_up(rounds *r, variant_error *err) {
    VT_TRY(run_once(r, &r->depths[0], false, err));
    double round = r->count * r->depths[0].seconds, left = r->deadline - vt_seconds();
    bool limited = r->deadline > 0.0;
    if (limited && round > left) ++r->depths[0].count;
    for (int i = 1; i < r->count && !(limited && 2.0 * round > left); ++i)
        VT_TRY(run_once(r, &r->depths[i], false, err));
    return VARIANT_OK;
}

static bool is_due(const rounds *r, const runs *d) {
    if (!vt_quiet_wants_more(&r->quiet, d->spans, d->count, r->options->repeat)) return false;
    return d->count == 0 || r->deadline <= 0.0 || vt_seconds() + d->seconds <= r->deadline;
}

static variant_status run_rounds(rounds *r, variant_error *err) {
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < r->count; ++i) {
            if (!is_due(r, &r->depths[i])) continue;
            VT_TRY(run_once(r, &r->depths[i], true, err));
            any = true;
        }
    }
    return VARIANT_OK;
}

/* ---- figures ---- */

/* The runs that medians are taken of. */
typedef struct picked {
    const variant_report *reports;
    int count, index[2 * VARIANT_BENCH_MOST_REPEAT];
} picked;

/* Median of one double, `offset` bytes into each report, in milliseconds. */
static double median_ms(const picked *p, size_t offset) {
    double values[2 * VARIANT_BENCH_MOST_REPEAT];
    for (int i = 0; i < p->count; ++i)
        memcpy(&values[i], (const char *)&p->reports[p->index[i]] + offset, sizeof *values);
    return 1e3 * vt_median(values, p->count);
}

static double decoder_floor(const vt_model *model, const variant_request *request,
                            vt_machine_limits limits) {
    const vt_tokenizer_config *tokenizer = vt_tokenizer_configuration(model->tokenizer);
    const bool preview = request->decoder && strcmp(request->decoder, "preview") == 0;
    return preview ? vt_floor_preview(tokenizer, vt_preview_configuration(model->preview),
                                      request->batch, limits)
                   : vt_floor_decoder(tokenizer, request->batch, limits);
}

static variant_status add_floors(const rounds *r, const variant_request *request,
                                 variant_bench_figures *f, variant_error *err) {
    const vt_model *model = r->engine->model;
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    vt_branches branches;
    VT_TRY(vt_branches_make(&branches, model, request, err));
    for (int k = 0; k < config->scales; ++k) {
        const vt_floor_stream members[] = {{&branches.cond, k, request->batch},
                                           {&branches.uncond, k, request->batch}};
        const int count = k < branches.guided_scales ? 2 : 1;
        f->scale_floor_ms[k] = 1e3 * vt_floor_step(config, members, count, r->limits);
        f->transformer_floor_ms += f->scale_floor_ms[k];
    }
    const int labels = branches.guided_scales > 0 ? 2 : 1;
    f->transformer_floor_ms += 1e3 * vt_floor_condition(config, &branches.cond, labels, r->limits);
    f->decoder_floor_ms = 1e3 * decoder_floor(model, request, r->limits);
    return VARIANT_OK;
}

static void take_medians(variant_bench_figures *f, const picked *p) {
    f->picture_ms = median_ms(p, offsetof(variant_report, total_seconds));
    f->condition_ms = median_ms(p, offsetof(variant_report, condition_seconds));
    f->transformer_ms =
        f->condition_ms + median_ms(p, offsetof(variant_report, transformer_seconds));
    f->decoder_ms = median_ms(p, offsetof(variant_report, decoder_seconds));
    for (int k = 0; k < f->scales; ++k) {
        size_t skip = (size_t)k * sizeof(double);
        f->scale_ms[k] = median_ms(p, offsetof(variant_report, scale_seconds) + skip);
        f->head_ms[k] = median_ms(p, offsetof(variant_report, scale_head_seconds) + skip);
    }
}

/* What does not differ from run to run; of the resident bytes those before others left memory to it. */
static void take_report(variant_bench_figures *f, const variant_report *last,
                        const variant_report *first) {
    f->scales = last->scales;
    memcpy(f->scale_layers, last->scale_layers, sizeof f->scale_layers);
    memcpy(f->depths, last->depths, sizeof f->depths);
    f->kv_peak_bytes = last->kv_peak_bytes;
    f->kv_end_bytes = last->kv_end_bytes;
    f->arena_peak_bytes = last->arena_peak_bytes;
    f->peak_resident_bytes = first->peak_resident_bytes;
    f->first_ms = 1e3 * (first->condition_seconds + first->scale_seconds[0]);
}

static variant_status take_figures(variant_bench_figures *f, const rounds *r, const runs *d,
                                   variant_error *err) {
    picked p = {.reports = d->reports};
    *f = (variant_bench_figures){.runs = d->count, .contradicts = -1};
    take_report(f, &d->reports[d->count - 1], &d->first);
    f->quiet_runs = vt_quiet_count(&r->quiet, d->spans, d->count);
    p.count = vt_quiet_pick(&r->quiet, d->spans, d->count,
                            d->count < r->options->repeat ? d->count : r->options->repeat, p.index,
                            &f->disturbed);
    if (f->disturbed) vt_quiet_why(&r->quiet, d->spans, d->count, f->why, sizeof f->why);
    take_medians(f, &p);
    return add_floors(r, &d->request, f, err);
}

/* ---- depths beside each other ---- */

/* The transformer at the first one's speed. */
static double expected_ms(const variant_bench_figures *first, const variant_bench_figures *f) {
    double ms = f->condition_ms;
    for (int k = 0; k < f->scales; ++k) {
        const double layers = first->scale_ms[k] - first->head_ms[k];
        ms += first->head_ms[k] + layers * f->scale_layers[k] / first->scale_layers[k];
    }
    return ms;
}

/* By the transformer's time, or the picture's. */
static int contradicted_by(const variant_engine *engine, const variant_bench_figures *all,
                           int count, int i) {
    const vt_transformer_config *config = vt_transformer_configuration(engine->model->transformer);
    vt_timed times[VARIANT_MAX_DEPTHS];
    for (int j = 0; j < count; ++j)
        times[j] = (vt_timed){all[j].scale_layers, all[j].transformer_ms};
    const int found = vt_order_contradiction(config->scales, config->sides, times, count, i);
    for (int j = 0; j < count; ++j) times[j].seconds = all[j].picture_ms;
    return found >= 0 ? found
                      : vt_order_contradiction(config->scales, config->sides, times, count, i);
}

/* ---- the call ---- */

/* What is handed out is the first member. */
typedef struct results {
    variant_bench_results told;
    variant_bench_figures figures[VARIANT_MAX_DEPTHS];
    const variant_bench_figures *at[VARIANT_MAX_DEPTHS];
} results;

void variant_bench_results_free(variant_bench_results **given) {
    if (!given || !*given) return;
    free((results *)(void *)*given);
    *given = NULL;
}

static variant_status check(const variant_engine *engine, const variant_bench_options *o,
                            variant_error *err) {
    if (!engine) return vt_fail(err, VARIANT_E_ARGUMENT, "no engine: expected an open one");
    VT_TRY(vt_need_list(o->depths, "depths", o->depth_count, "depth_count", err));
    if (o->depth_count < 0 || o->depth_count > VARIANT_MAX_DEPTHS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d depths: expected up to %d", o->depth_count,
                       VARIANT_MAX_DEPTHS);
    VT_TRY(vt_measure_check_repeat(o->repeat, err));
    return vt_measure_check_probes(engine->kern, err);
}

static variant_status measure(results *out, rounds *r, const variant_request *request,
                              variant_error *err) {
    variant_status status = VARIANT_OK;
    const variant_engine *engine = r->engine;
    VT_CHECK(rounds_open(r, request, err));
    VT_CHECK(warm_up(r, err));
    r->at.doing = VT_MEASURE_PROBING;
    tell(r, VARIANT_BENCH_SAYS);
    r->limits = vt_measure_probe(engine);
    VT_CHECK(run_rounds(r, err));
    for (int i = 0; i < r->count; ++i)
        VT_CHECK(take_figures(&out->figures[i], r, &r->depths[i], err));
    for (int i = 0; i < r->count; ++i) {
        variant_bench_figures *f = &out->figures[i];
        f->expected_ms = expected_ms(&out->figures[0], f);
        f->contradicts = contradicted_by(engine, out->figures, r->count, i);
    }
cleanup:
    rounds_close(r);
    return status;
}

variant_status variant_bench(variant_bench_results **out, const variant_engine *engine,
                             const variant_request *request, const variant_bench_options *options,
                             variant_error *error) {
    variant_bench_options taken;
    variant_request asked;
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put figures");
    *out = NULL;
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_bench_options, error));
    VT_TRY(VT_SIZED_TAKE(&asked, request, variant_request, error));
    VT_TRY(check(engine, &taken, error));
    if (asked.batch < 1) asked.batch = asked.count;
    results *r = calloc(1, sizeof *r);
    if (!r) return vt_fail(error, VARIANT_E_MEMORY, "no memory for figures");
    r->told.count = taken.depth_count ? taken.depth_count : 1;
    r->told.figures = r->at;
    for (int i = 0; i < r->told.count; ++i) r->at[i] = &r->figures[i];
    rounds work = {.engine = engine, .options = &taken, .count = r->told.count};
    const variant_status status = measure(r, &work, &asked, error);
    if (status == VARIANT_OK)
        *out = &r->told;
    else
        free(r);
    return status;
}

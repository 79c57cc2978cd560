/* streams.c - variant_bench_streams: requests that share steps, beside the same requests one after another.
 *
 * Request i begins i * every steps after the first. What sharing can save follows from the machine: a layer's product
 * takes at least its arithmetic and at least the reading of its weights, which a shared step reads once; and what a step
 * costs beside both, taken from the step at side 1, is paid once. Both figures are of the transformer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/sized.h"
#include "engine/branches.h"
#include "kern/watch.h"
#include "measure/measure.h"

void variant_bench_streams_options_init_sized(variant_bench_streams_options *out, size_t size) {
    const variant_bench_streams_options defaults = {.requests = 2, .repeat = VT_MEASURE_REPEAT};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* One way of running the requests, over all runs. */
typedef struct way {
    const char *name;
    bool shared;
    int *order;          /* (requests): which depth of the list each has */
    double *total;       /* (repeat) seconds of a run ... */
    double *transformer; /* ... and of its transformer, the condition left out */
    double *first;       /* (repeat) of the steps at side 1, on average; not shared alone */
    vt_quiet_span *spans;
    int runs;
} way;

typedef struct streams {
    const variant_bench_streams_options *options;
    const variant_request *request;
    const variant_engine *engine;
    vt_machine_limits limits;
    vt_quiet quiet;
    int requests, every, scales;
    int depths[VARIANT_BENCH_MOST_REQUESTS]; /* in the order of arrival */
    way ways[3]; /* one after another, together, together sorted by depth */
    int way_count;
} streams;

static variant_request request_of(const streams *s, const way *w, int i) {
    variant_request request = *s->request;
    request.depth = s->depths[w->order[i]];
    request.count = request.batch = 1;
    request.first_image = i;
    return request;
}

/* ---- runs ---- */

static variant_status run_apart(streams *s, way *w, int run, variant_error *err) {
    for (int i = 0; i < s->requests; ++i) {
        variant_request request = request_of(s, w, i);
        variant_picture *pictures;
        variant_report report = {.size = sizeof report};
        VT_TRY(variant_generate(s->engine, &request, &pictures, &report, err));
        variant_pictures_free(&pictures, 1);
        w->transformer[run] += report.transformer_seconds;
        w->first[run] += report.scale_seconds[0] / s->requests;
    }
    return VARIANT_OK;
}

/* Each step's time is in the report of everyone who was in it; `seen` steps are counted already. */
static void count_steps(const streams *s, way *w, int run, int i, const variant_report *report,
                        int *seen) {
    for (int k = 0; k < s->scales; ++k) {
        if (i * s->every + k < *seen) continue;
        w->transformer[run] += report->scale_seconds[k];
        *seen = i * s->every + k + 1;
    }
}

static variant_status run_together(streams *s, way *w, int run, variant_error *err) {
    variant_status status = VARIANT_OK;
    variant_loop *loop = NULL;
    variant_job *jobs[VARIANT_BENCH_MOST_REQUESTS];
    int begun = 0, running = 1, seen = 0;
    VT_TRY(variant_loop_open(&loop, s->engine, err));
    for (int step = 0; running > 0 || begun < s->requests; ++step) {
        for (; begun < s->requests && begun * s->every <= step; ++begun) {
            variant_request request = request_of(s, w, begun);
            VT_CHECK(variant_loop_add(loop, &request, &jobs[begun], err));
        }
        VT_CHECK(variant_loop_step(loop, &running, err));
    }
    for (int i = 0; i < s->requests; ++i) {
        variant_picture *pictures;
        variant_report report = {.size = sizeof report};
        VT_CHECK(variant_job_take(&jobs[i], &pictures, &report, err));
        variant_pictures_free(&pictures, 1);
        count_steps(s, w, run, i, &report, &seen);
    }
cleanup:
    variant_loop_close(&loop);
    return status;
}

static variant_status run_once(streams *s, way *w, bool counts, variant_error *err) {
    const int run = counts ? w->runs : 0;
    w->transformer[run] = w->first[run] = 0.0;
    vt_quiet_begin(&s->quiet);
    double start = vt_seconds();
    VT_TRY(w->shared ? run_together(s, w, run, err) : run_apart(s, w, run, err));
    w->total[run] = vt_seconds() - start;
    w->spans[run] = vt_quiet_end(&s->quiet);
    w->runs += counts;
    return VARIANT_OK;
}

/* The ways take turns, so that a machine that grows slower does so for all. */
static variant_status run_all(streams *s, variant_error *err) {
    for (int i = 0; i < s->way_count; ++i) VT_TRY(run_once(s, &s->ways[i], false, err));
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < s->way_count; ++i) {
            way *w = &s->ways[i];
            if (!vt_quiet_wants_more(&s->quiet, w->spans, w->runs, s->options->repeat)) continue;
            VT_TRY(run_once(s, w, true, err));
            any = true;
        }
    }
    return VARIANT_OK;
}

/* ---- what sharing can save ---- */

/* Steps of the transformer that are paid apart, less those that are paid together. */
static int steps_saved(const streams *s) {
    return s->requests * s->scales - ((s->requests - 1) * s->every + s->scales);
}

static variant_status branches_of(const streams *s, int depth, vt_branches *out,
                                  variant_error *err) {
    variant_request request = *s->request;
    request.depth = depth;
    return vt_branches_make(out, s->engine->model, &request, err);
}

/* Seconds by the machine's limits that the requests' steps take together less than apart. */
static variant_status floor_saved(const streams *s, const way *w, double *out, variant_error *err) {
    const vt_transformer_config *config =
        vt_transformer_configuration(s->engine->model->transformer);
    const int last = (s->requests - 1) * s->every + s->scales;
    vt_branches *branches = malloc((size_t)s->requests * sizeof *branches);
    vt_floor_stream *members = malloc(2 * (size_t)s->requests * sizeof *members);
    variant_status status = VARIANT_OK;
    *out = 0.0;
    if (!branches || !members)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d schedules", s->requests));
    for (int i = 0; i < s->requests; ++i)
        VT_CHECK(branches_of(s, s->depths[w->order[i]], &branches[i], err));
    for (int step = 0; step < last; ++step) {
        int count = 0;
        for (int i = 0; i < s->requests; ++i) {
            const int k = step - i * s->every, first = count;
            if (k < 0 || k >= s->scales) continue;
            members[count++] = (vt_floor_stream){&branches[i].cond, k, 1};
            if (k < branches[i].guided_scales)
                members[count++] = (vt_floor_stream){&branches[i].uncond, k, 1};
            *out += vt_floor_step(config, members + first, count - first, s->limits);
        }
        if (count > 0) *out -= vt_floor_step(config, members, count, s->limits);
    }
cleanup:
    free(branches);
    free(members);
    return status;
}

/* ---- figures ---- */

static double median_of(const streams *s, const way *w, const double *values, bool *disturbed) {
    int picked[2 * VARIANT_BENCH_MOST_REPEAT];
    double chosen[2 * VARIANT_BENCH_MOST_REPEAT];
    int n = vt_quiet_pick(&s->quiet, w->spans, w->runs, s->options->repeat, picked, disturbed);
    for (int i = 0; i < n; ++i) chosen[i] = values[picked[i]];
    return 1e3 * vt_median(chosen, n);
}

typedef struct figures {
    double total[3], transformer[3];
    bool disturbed;
    double saved, possible, fixed; /* of the transformer, together beside apart; ms */
} figures;

static variant_status take_figures(const streams *s, figures *f, variant_error *err) {
    *f = (figures){0};
    for (int i = 0; i < s->way_count; ++i) {
        const way *w = &s->ways[i];
        bool disturbed;
        f->total[i] = median_of(s, w, w->total, &disturbed);
        f->transformer[i] = median_of(s, w, w->transformer, &disturbed);
        f->disturbed = f->disturbed || disturbed;
    }
    /* beside arithmetic and bytes: what the step at side 1 takes more than its floor */
    double floors = 0.0, between;
    bool disturbed;
    const vt_transformer_config *config =
        vt_transformer_configuration(s->engine->model->transformer);
    for (int i = 0; i < s->requests; ++i) {
        vt_branches branches;
        VT_TRY(branches_of(s, s->depths[s->ways[0].order[i]], &branches, err));
        floors += 1e3 *
                  vt_floor_scale(config, &branches.cond, 0, branches.guided_scales > 0 ? 2 : 1,
                                 s->limits) /
                  s->requests;
    }
    f->fixed = median_of(s, &s->ways[0], s->ways[0].first, &disturbed) - floors;
    if (f->fixed < 0.0) f->fixed = 0.0;
    VT_TRY(floor_saved(s, &s->ways[1], &between, err));
    f->possible = 1e3 * between + steps_saved(s) * f->fixed;
    f->saved = f->transformer[0] - f->transformer[1];
    return VARIANT_OK;
}

/* ---- life ---- */

/* Order of arrival: as listed, or those of most layers first. */
static void arrange(const streams *s, way *w, bool sorted) {
    for (int i = 0; i < s->requests; ++i) w->order[i] = i;
    for (int i = 1; sorted && i < s->requests; ++i)
        for (int j = i; j > 0 && s->depths[w->order[j]] > s->depths[w->order[j - 1]]; --j) {
            int other = w->order[j];
            w->order[j] = w->order[j - 1];
            w->order[j - 1] = other;
        }
}

static variant_status way_open(streams *s, const char *name, bool shared, bool sorted,
                               variant_error *err) {
    way *w = &s->ways[s->way_count++];
    const size_t room = 2 * (size_t)s->options->repeat;
    *w = (way){.name = name, .shared = shared};
    /* streams_close has as many ways to free as were opened, which clang's analyser loses count of
     * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    w->order = malloc((size_t)s->requests * sizeof *w->order);
    w->total = calloc(3 * room, sizeof *w->total);
    w->spans = calloc(room, sizeof *w->spans);
    if (!w->order || !w->total || !w->spans)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d runs", s->options->repeat);
    w->transformer = w->total + room;
    w->first = w->transformer + room;
    arrange(s, w, sorted);
    return VARIANT_OK;
}

static void streams_close(streams *s) {
    for (int i = 0; i < s->way_count; ++i) {
        free(s->ways[i].order);
        free(s->ways[i].total);
        free(s->ways[i].spans);
    }
}

static variant_status streams_open(streams *s, variant_error *err) {
    const variant_bench_streams_options *o = s->options;
    s->requests = o->requests;
    s->scales = variant_engine_info(s->engine)->scales;
    s->every = o->every ? o->every : s->requests == 2 ? s->scales / 2 : 1;
    if (s->every > s->scales)
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "every %d steps: a picture of this model has %d, and nothing would be shared", s->every,
            s->scales);
    for (int i = 0; i < s->requests; ++i)
        s->depths[i] = o->depth_count ? o->depths[i % o->depth_count] : s->request->depth;
    vt_kern_watch(&s->quiet, s->engine->kern);
    VT_TRY(way_open(s, "one after another", false, false, err));
    VT_TRY(
        way_open(s, o->depth_count > 1 ? "together, depths mixed" : "together", true, false, err));
    return o->depth_count > 1 ? way_open(s, "together, sorted by depth", true, true, err)
                              : VARIANT_OK;
}

/* ---- the call ---- */

/* What is handed out is the first member. */
typedef struct shared {
    variant_bench_shared told;
    int depths[VARIANT_BENCH_MOST_REQUESTS];
    variant_bench_way ways[3];
    const variant_bench_way *at[3];
} shared;

void variant_bench_streams_free(variant_bench_shared **given) {
    if (!given || !*given) return;
    free((shared *)(void *)*given);
    *given = NULL;
}

static shared *shared_of(const streams *s, const figures *f) {
    shared *out = calloc(1, sizeof *out);
    if (!out) return NULL;
    out->told = (variant_bench_shared){.requests = s->requests,
                                       .every = s->every,
                                       .depths = out->depths,
                                       .way_count = s->way_count,
                                       .ways = out->at,
                                       .disturbed = f->disturbed,
                                       .saved_ms = f->saved,
                                       .possible_ms = f->possible,
                                       .fixed_ms = f->fixed,
                                       .steps_saved = steps_saved(s)};
    memcpy(out->depths, s->depths, sizeof out->depths);
    for (int i = 0; i < s->way_count; ++i) {
        out->ways[i] = (variant_bench_way){.name = s->ways[i].name,
                                           .total_ms = f->total[i],
                                           .transformer_ms = f->transformer[i],
                                           .runs = s->ways[i].runs};
        out->at[i] = &out->ways[i];
    }
    return out;
}

static void say(const streams *s, const char *doing) {
    const variant_bench_progress at = {.event = VARIANT_BENCH_SAYS, .doing = doing};
    if (s->options->progress) s->options->progress(s->options->user, &at);
}

static variant_status measure(streams *s, variant_bench_shared **out, variant_error *err) {
    variant_status status = VARIANT_OK;
    figures f;
    shared *found;
    VT_CHECK(streams_open(s, err));
    say(s, "running the requests apart and together");
    VT_CHECK(run_all(s, err));
    say(s, VT_MEASURE_PROBING);
    s->limits = vt_measure_probe(s->engine);
    VT_CHECK(take_figures(s, &f, err));
    found = shared_of(s, &f);
    if (!found) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for figures"));
    *out = &found->told;
cleanup:
    streams_close(s);
    return status;
}

static variant_status check(const variant_engine *engine, const variant_bench_streams_options *o,
                            variant_error *err) {
    if (!engine) return vt_fail(err, VARIANT_E_ARGUMENT, "no engine: expected an open one");
    if (o->requests < 2 || o->requests > VARIANT_BENCH_MOST_REQUESTS || o->every < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d requests, every %d steps: expected 2 to %d, and 0 or more", o->requests,
                       o->every, VARIANT_BENCH_MOST_REQUESTS);
    VT_TRY(vt_need_list(o->depths, "depths", o->depth_count, "depth_count", err));
    if (o->depth_count < 0 || o->depth_count > VARIANT_MAX_DEPTHS)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d depths: expected up to %d", o->depth_count,
                       VARIANT_MAX_DEPTHS);
    VT_TRY(vt_measure_check_repeat(o->repeat, err));
    return vt_measure_check_probes(engine->kern, err);
}

variant_status variant_bench_streams(variant_bench_shared **out, const variant_engine *engine,
                                     const variant_request *request,
                                     const variant_bench_streams_options *options,
                                     variant_error *error) {
    variant_bench_streams_options taken;
    variant_request asked;
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put figures");
    *out = NULL;
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_bench_streams_options, error));
    VT_TRY(VT_SIZED_TAKE(&asked, request, variant_request, error));
    VT_TRY(check(engine, &taken, error));
    streams s = {.options = &taken, .request = &asked, .engine = engine};
    return measure(&s, out, error);
}

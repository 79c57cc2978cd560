/* bench_streams.c - `variant bench streams`: requests that share steps, beside the same requests one after another. Called
 * by bench.c.
 *
 * Request i begins i * every steps after the first. What sharing can save follows from the machine: a layer's product
 * takes at least its arithmetic and at least the reading of its weights, which a shared step reads once; and what a step
 * costs beside both, taken from the step at side 1, is paid once. Both figures are of the transformer. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "engine/branches.h"
#include "kern/watch.h"

#define MOST_REQUESTS 256

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

typedef struct streams_settings {
    bench_settings bench; /* of it: asked, arch, repeat, json, progress */
    int requests, every;
    int mix_count, mix[VARIANT_MAX_DEPTHS]; /* depths in turn */
} streams_settings;

typedef struct streams {
    const streams_settings *settings;
    bench_subject *subject;
    variant_engine engine;
    vt_quiet quiet;
    int requests, every, scales;
    int depths[MOST_REQUESTS]; /* in the order of arrival */
    way ways[3];               /* one after another, together, together sorted by depth */
    int way_count;
} streams;

static variant_request request_of(const streams *s, const way *w, int i) {
    variant_request request = s->settings->bench.asked.request;
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
        CLI_TRY(variant_generate(&s->engine, &request, &pictures, &report, err));
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
    variant_job *jobs[MOST_REQUESTS];
    int begun = 0, running = 1, seen = 0;
    CLI_TRY(variant_loop_open(&loop, &s->engine, err));
    for (int step = 0; running > 0 || begun < s->requests; ++step) {
        for (; begun < s->requests && begun * s->every <= step; ++begun) {
            variant_request request = request_of(s, w, begun);
            CLI_CHECK(variant_loop_add(loop, &request, &jobs[begun], err));
        }
        CLI_CHECK(variant_loop_step(loop, &running, err));
    }
    for (int i = 0; i < s->requests; ++i) {
        variant_picture *pictures;
        variant_report report = {.size = sizeof report};
        CLI_CHECK(variant_job_take(&jobs[i], &pictures, &report, err));
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
    double start = cli_now();
    CLI_TRY(w->shared ? run_together(s, w, run, err) : run_apart(s, w, run, err));
    w->total[run] = cli_now() - start;
    w->spans[run] = vt_quiet_end(&s->quiet);
    w->runs += counts;
    return VARIANT_OK;
}

/* The ways take turns, so that a machine that grows slower does so for all. */
static variant_status run_all(streams *s, variant_error *err) {
    for (int i = 0; i < s->way_count; ++i) CLI_TRY(run_once(s, &s->ways[i], false, err));
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < s->way_count; ++i) {
            way *w = &s->ways[i];
            if (!vt_quiet_wants_more(&s->quiet, w->spans, w->runs, s->settings->bench.repeat))
                continue;
            CLI_TRY(run_once(s, w, true, err));
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
    variant_request request = s->settings->bench.asked.request;
    request.depth = depth;
    return vt_branches_make(out, s->subject->model, &request, err);
}

/* Seconds by the machine's limits that the requests' steps take together less than apart. */
static variant_status floor_saved(const streams *s, const way *w, double *out, variant_error *err) {
    const vt_transformer_config *config =
        vt_transformer_configuration(s->subject->model->transformer);
    const int last = (s->requests - 1) * s->every + s->scales;
    vt_branches *branches = malloc((size_t)s->requests * sizeof *branches);
    vt_floor_stream *members = malloc(2 * (size_t)s->requests * sizeof *members);
    variant_status status = VARIANT_OK;
    *out = 0.0;
    if (!branches || !members)
        CLI_CHECK(variant_fail(err, VARIANT_E_MEMORY, "no memory for %d schedules", s->requests));
    for (int i = 0; i < s->requests; ++i)
        CLI_CHECK(branches_of(s, s->depths[w->order[i]], &branches[i], err));
    for (int step = 0; step < last; ++step) {
        int count = 0;
        for (int i = 0; i < s->requests; ++i) {
            const int k = step - i * s->every, first = count;
            if (k < 0 || k >= s->scales) continue;
            members[count++] = (vt_floor_stream){&branches[i].cond, k, 1};
            if (k < branches[i].guided_scales)
                members[count++] = (vt_floor_stream){&branches[i].uncond, k, 1};
            *out += vt_floor_step(config, members + first, count - first, s->subject->limits);
        }
        if (count > 0) *out -= vt_floor_step(config, members, count, s->subject->limits);
    }
cleanup:
    free(branches);
    free(members);
    return status;
}

/* ---- figures ---- */

static double median_of(const streams *s, const way *w, const double *values, bool *disturbed) {
    int picked[2 * BENCH_MAX_REPEAT];
    double chosen[2 * BENCH_MAX_REPEAT];
    int n =
        vt_quiet_pick(&s->quiet, w->spans, w->runs, s->settings->bench.repeat, picked, disturbed);
    for (int i = 0; i < n; ++i) chosen[i] = values[picked[i]];
    return 1e3 * bench_median(chosen, n);
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
        vt_transformer_configuration(s->subject->model->transformer);
    for (int i = 0; i < s->requests; ++i) {
        vt_branches branches;
        CLI_TRY(branches_of(s, s->depths[s->ways[0].order[i]], &branches, err));
        floors += 1e3 *
                  vt_floor_scale(config, &branches.cond, 0, branches.guided_scales > 0 ? 2 : 1,
                                 s->subject->limits) /
                  s->requests;
    }
    f->fixed = median_of(s, &s->ways[0], s->ways[0].first, &disturbed) - floors;
    if (f->fixed < 0.0) f->fixed = 0.0;
    CLI_TRY(floor_saved(s, &s->ways[1], &between, err));
    f->possible = 1e3 * between + steps_saved(s) * f->fixed;
    f->saved = f->transformer[0] - f->transformer[1];
    return VARIANT_OK;
}

static void print_table(const streams *s, const figures *f) {
    printf("%d requests of one picture, every %d step%s; weights %s, kv %s\n%s\n\n", s->requests,
           s->every, s->every == 1 ? "" : "s", vt_number_name(s->subject->weights),
           vt_number_name(s->subject->kv), s->subject->kern->details);
    printf("  %-28s %12s %14s %12s\n", "", "all", "transformer", "pictures/s");
    for (int i = 0; i < s->way_count; ++i)
        printf("  %-28s %9.1f ms %11.1f ms %12.2f\n", s->ways[i].name, f->total[i],
               f->transformer[i], 1e3 * s->requests / f->total[i]);
    printf("\n  %.2f times the pictures per second\n", f->total[0] / f->total[1]);
    if (s->way_count > 2)
        printf("  mixed depths take %.3f times what they take sorted\n", f->total[1] / f->total[2]);
    printf("  sharing saved %.1f ms of the transformer; by bytes, arithmetic and %d steps less of "
           "%.2f ms it could save %.1f ms (%.0f %%)\n",
           f->saved, steps_saved(s), f->fixed, f->possible,
           f->possible > 0.0 ? 100.0 * f->saved / f->possible : 0.0);
    if (f->disturbed) printf("  disturbed: too few runs were quiet\n");
}

static void print_json(const streams *s, const figures *f) {
    printf("{\"requests\": %d, \"every\": %d, \"weights\": \"%s\", \"kv\": \"%s\", \"depths\": [",
           s->requests, s->every, vt_number_name(s->subject->weights),
           vt_number_name(s->subject->kv));
    for (int i = 0; i < s->requests; ++i) printf("%s%d", i ? ", " : "", s->depths[i]);
    printf("], \"ways\": [");
    for (int i = 0; i < s->way_count; ++i)
        printf("%s{\"name\": \"%s\", \"total_ms\": %.3f, \"transformer_ms\": %.3f, \"runs\": %d}",
               i ? ", " : "", s->ways[i].name, f->total[i], f->transformer[i], s->ways[i].runs);
    printf("], \"speedup\": %.4f, \"saved_ms\": %.3f, \"possible_ms\": %.3f, \"fixed_ms\": %.3f, "
           "\"disturbed\": %s}\n",
           f->total[0] / f->total[1], f->saved, f->possible, f->fixed,
           f->disturbed ? "true" : "false");
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
    const size_t room = 2 * (size_t)s->settings->bench.repeat;
    *w = (way){.name = name, .shared = shared};
    /* streams_close has as many ways to free as were opened, which clang's analyser loses count of
     * NOLINTNEXTLINE(clang-analyzer-unix.Malloc) */
    w->order = malloc((size_t)s->requests * sizeof *w->order);
    w->total = calloc(3 * room, sizeof *w->total);
    w->spans = calloc(room, sizeof *w->spans);
    if (!w->order || !w->total || !w->spans)
        return variant_fail(err, VARIANT_E_MEMORY, "no memory for %d runs",
                            s->settings->bench.repeat);
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

static variant_status streams_open(streams *s, bench_subject *subject,
                                   const streams_settings *settings, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->model->transformer);
    const int depths = settings->mix_count;
    *s = (streams){.settings = settings,
                   .subject = subject,
                   .requests = settings->requests,
                   .scales = config->scales};
    s->every = settings->every ? settings->every : settings->requests == 2 ? config->scales / 2 : 1;
    if (s->every > config->scales)
        return variant_fail(
            err, VARIANT_E_ARGUMENT,
            "every %d steps: a picture of this model has %d, and nothing would be shared", s->every,
            config->scales);
    for (int i = 0; i < s->requests; ++i)
        s->depths[i] = depths ? settings->mix[i % depths] : settings->bench.asked.request.depth;
    s->engine = vt_engine_around(subject->kern, subject->model, subject->weights, subject->kv);
    vt_kern_watch(&s->quiet, subject->kern);
    CLI_TRY(way_open(s, "one after another", false, false, err));
    CLI_TRY(way_open(s, depths > 1 ? "together, depths mixed" : "together", true, false, err));
    return depths > 1 ? way_open(s, "together, sorted by depth", true, true, err) : VARIANT_OK;
}

static variant_status time_streams(const streams_settings *settings, variant_error *err) {
    variant_status status = VARIANT_OK;
    bench_subject subject = {0};
    bench_progress progress;
    streams s = {0};
    figures f;
    bench_progress_open(&progress, &settings->bench);
    bench_progress_say(&progress,
                       settings->bench.arch ? "making synthetic weights" : "loading the model");
    CLI_CHECK(bench_subject_open(&subject, &settings->bench, err));
    CLI_CHECK(streams_open(&s, &subject, settings, err));
    bench_progress_say(&progress, "running the requests apart and together");
    CLI_CHECK(run_all(&s, err));
    bench_progress_say(&progress, "measuring what this machine could do at most");
    subject.limits = vt_machine_probe(subject.kern, subject.weights, subject.kv,
                                      bench_weight_bytes(subject.model));
    bench_progress_close(&progress);
    CLI_CHECK(take_figures(&s, &f, err));
    if (settings->bench.json)
        print_json(&s, &f);
    else
        print_table(&s, &f);
cleanup:
    streams_close(&s);
    bench_subject_close(&subject); /* NOLINT(clang-analyzer-unix.Malloc): way_open */
    return status;
}

/* ---- the command ---- */

static void init(void *user) {
    streams_settings *s = user;
    s->bench.repeat = 5;
    s->requests = 2;
    cli_request_init(&s->bench.asked);
    s->bench.asked.request.class_name = "0";
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, streams_settings, bench.asked.engine,
             CLI_MODEL),
    CLI_ROWS(cli_arch_option, const char *, streams_settings, bench.arch, NULL),
    {"requests", "N", "requests of one picture each, {range}",
     CLI_INT(streams_settings, requests, 2, MOST_REQUESTS)},
    {"every", "S", "steps between one's beginning and the next's, {range}",
     CLI_INT(streams_settings, every, 1, VARIANT_MAX_SCALES),
     .unset = "half a picture for two requests, else 1"},
    CLI_ROWS(cli_request_options, cli_request, streams_settings, bench.asked,
             CLI_GUIDANCE " depth bridge layers"),
    {"mix", "D,D,...",
     "depths of the requests in turn, also beside the same requests sorted by depth; 0: all layers",
     CLI_INTS(streams_settings, mix, mix_count, 0, 1000)},
    {"repeat", "N", "runs counted, {range}; as many again while too few are quiet",
     CLI_INT(streams_settings, bench.repeat, 1, BENCH_MAX_REPEAT), .own = true},
    CLI_ROWS(cli_progress_option, cli_progress_kind, streams_settings, bench.progress, NULL),
    CLI_ROWS(cli_json_option, bool, streams_settings, bench.json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, streams_settings, bench.asked.engine,
             CLI_PRECISION " " CLI_RUN),
    {0},
};

static int run(void *user, const cli_line *line) {
    streams_settings *s = user;
    if (!s->bench.arch == !s->bench.asked.engine.model)
        return cli_misuse("what to time? give either -m MODEL or --arch NAME");
    if (s->mix_count > 0 && cli_given(line, "depth"))
        return cli_misuse("--mix says the requests' depths: give no --depth");
    variant_error err = {0};
    return cli_end(time_streams(s, &err), &err);
}

const cli_command bench_streams = {
    .name = "bench streams",
    .purpose = "requests that share steps, beside one after another",
    .usage = "(-m MODEL | --arch NAME) [options]",
    .about = "Times requests that begin some steps apart and share the steps they have in common, "
             "and the same requests one after another, by turns; prints medians. Beside what "
             "sharing saved stands what it could: weights read once instead of once each where "
             "reading them is what a product waits for, both limits measured in this process, and "
             "what a step costs beside them paid once.",
    .examples = "variant bench streams -m models/fashion --requests 10\n"
                "variant bench streams --arch var-d16 --weights bf16\n"
                "variant bench streams -m models/fashion --requests 16 --mix 12,3,6,2",
    .options = options,
    .size = sizeof(streams_settings),
    .init = init,
    .run = run,
};

/* bench_streams.c - `variant bench streams`: requests that share steps, beside the same requests one after another. Called
 * by bench.c; variant/measure.h says what is measured. */
#include "bench.h"

#include <stdio.h>

typedef struct streams_settings {
    bench_settings bench; /* of it: asked, arch, repeat, json, progress */
    int requests, every;
    int mix_count, mix[VARIANT_MAX_DEPTHS]; /* depths in turn */
} streams_settings;

static void print_table(const bench_subject *subject, const variant_bench_shared *f) {
    const variant_bench_way *apart = f->ways[0], *together = f->ways[1];
    printf("%d requests of one picture, every %d step%s; weights %s, kv %s\n%s\n\n", f->requests,
           f->every, f->every == 1 ? "" : "s", subject->info->weights, subject->info->kv,
           subject->info->kernels);
    printf("  %-28s %12s %14s %12s\n", "", "all", "transformer", "pictures/s");
    for (int i = 0; i < f->way_count; ++i)
        printf("  %-28s %9.1f ms %11.1f ms %12.2f\n", f->ways[i]->name, f->ways[i]->total_ms,
               f->ways[i]->transformer_ms, 1e3 * f->requests / f->ways[i]->total_ms);
    printf("\n  %.2f times the pictures per second\n", apart->total_ms / together->total_ms);
    if (f->way_count > 2)
        printf("  mixed depths take %.3f times what they take sorted\n",
               together->total_ms / f->ways[2]->total_ms);
    printf("  sharing saved %.1f ms of the transformer; by bytes, arithmetic and %d steps less of "
           "%.2f ms it could save %.1f ms (%.0f %%)\n",
           f->saved_ms, f->steps_saved, f->fixed_ms, f->possible_ms,
           f->possible_ms > 0.0 ? 100.0 * f->saved_ms / f->possible_ms : 0.0);
    if (f->disturbed) printf("  disturbed: too few runs were quiet\n");
}

static void print_json(const bench_subject *subject, const variant_bench_shared *f) {
    printf("{\"requests\": %d, \"every\": %d, \"weights\": \"%s\", \"kv\": \"%s\", \"depths\": [",
           f->requests, f->every, subject->info->weights, subject->info->kv);
    for (int i = 0; i < f->requests; ++i) printf("%s%d", i ? ", " : "", f->depths[i]);
    printf("], \"ways\": [");
    for (int i = 0; i < f->way_count; ++i)
        printf("%s{\"name\": \"%s\", \"total_ms\": %.3f, \"transformer_ms\": %.3f, \"runs\": %d}",
               i ? ", " : "", f->ways[i]->name, f->ways[i]->total_ms, f->ways[i]->transformer_ms,
               f->ways[i]->runs);
    printf("], \"speedup\": %.4f, \"saved_ms\": %.3f, \"possible_ms\": %.3f, \"fixed_ms\": %.3f, "
           "\"disturbed\": %s}\n",
           f->ways[0]->total_ms / f->ways[1]->total_ms, f->saved_ms, f->possible_ms, f->fixed_ms,
           f->disturbed ? "true" : "false");
}

static variant_status time_streams(const streams_settings *s, variant_error *err) {
    variant_status status = VARIANT_OK;
    bench_subject subject = {0};
    bench_progress progress;
    variant_bench_streams_options options;
    variant_bench_shared *shared = NULL;
    variant_bench_streams_options_init(&options);
    options.requests = s->requests;
    options.every = s->every;
    options.depths = s->mix;
    options.depth_count = s->mix_count;
    options.repeat = s->bench.repeat;
    options.progress = bench_progress_show;
    options.user = &progress;
    bench_progress_open(&progress, &s->bench);
    bench_progress_say(&progress, s->bench.arch ? "making synthetic weights" : "loading the model");
    CLI_CHECK(bench_subject_open(&subject, &s->bench, err));
    CLI_CHECK(
        variant_bench_streams(&shared, subject.engine, &s->bench.asked.request, &options, err));
    bench_progress_close(&progress);
    if (s->bench.json)
        print_json(&subject, shared);
    else
        print_table(&subject, shared);
cleanup:
    variant_bench_streams_free(&shared);
    bench_subject_close(&subject);
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
     CLI_INT(streams_settings, requests, 2, VARIANT_BENCH_MOST_REQUESTS)},
    {"every", "S", "steps between one's beginning and the next's, {range}",
     CLI_INT(streams_settings, every, 1, VARIANT_MAX_SCALES),
     .unset = "half a picture for two requests, else 1"},
    CLI_ROWS(cli_request_options, cli_request, streams_settings, bench.asked,
             CLI_GUIDANCE " depth bridge layers"),
    {"mix", "D,D,...",
     "depths of the requests in turn, also beside the same requests sorted by depth; 0: all layers",
     CLI_INTS(streams_settings, mix, mix_count, 0, 1000)},
    {"repeat", "N", "runs counted, {range}; as many again while too few are quiet",
     CLI_INT(streams_settings, bench.repeat, 1, VARIANT_BENCH_MOST_REPEAT), .own = true},
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
    .opens = true,
    .run = run,
};

/* bench.c - `variant bench`: how long pictures take, stage by stage and scale by scale, beside the
 * least they could take on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

/* ---- the subject ---- */

variant_status bench_subject_open(bench_subject *out, const bench_settings *s, variant_error *err) {
    const char *preview = cli_decoder_is_preview(s->asked.request.decoder) ? "small" : NULL;
    const variant_engine_options *engine = &s->asked.engine;
    const double start = cli_now();
    *out = (bench_subject){0};
    CLI_TRY(s->arch ? variant_engine_synthesize(&out->engine, s->arch, preview, engine, err)
                    : variant_engine_open(&out->engine, engine, err));
    out->info = variant_engine_info(out->engine);
    out->load_ms = s->arch ? -1.0 : 1e3 * (cli_now() - start);
    return VARIANT_OK;
}

void bench_subject_close(bench_subject *subject) {
    variant_engine_close(&subject->engine);
}

/* Puts what the budget allows into the request, and says so. */
static variant_status plan_request(const bench_subject *subject, bench_settings *s,
                                   variant_plan *plan, variant_error *err) {
    s->asked.request.count = s->planning.options.auto_batch ? 64 : s->asked.request.batch;
    CLI_TRY(cli_planning_apply(&s->planning, subject->engine, &s->asked.request, plan, err));
    s->asked.request.count = s->asked.request.batch;
    if (s->json) return VARIANT_OK;
    printf("plan: ");
    cli_planning_print(stdout, &s->planning, plan);
    printf("\n");
    return VARIANT_OK;
}

variant_status bench_measure(variant_bench_results **out, bench_subject *subject,
                             bench_progress *progress, const int *depths, int count,
                             const bench_settings *s, variant_error *err) {
    variant_bench_options options;
    variant_bench_options_init(&options);
    options.depths = depths;
    options.depth_count = count;
    options.repeat = s->repeat;
    options.seconds = s->budget;
    options.progress = bench_progress_show;
    options.user = progress;
    const variant_status status =
        variant_bench(out, subject->engine, &s->asked.request, &options, err);
    bench_progress_close(progress);
    return status;
}

/* ---- reporting ---- */

void bench_print_disturbance(const variant_bench_figures *f, bool contradicted) {
    printf("\"runs\": %d, \"quiet_runs\": %d, \"disturbed\": %s, \"why\": ", f->runs, f->quiet_runs,
           f->disturbed || contradicted ? "true" : "false");
    if (f->disturbed)
        printf("\"%s\"", f->why);
    else if (contradicted)
        printf("\"slower than a depth with more layers\"");
    else
        printf("null");
}

static size_t weight_bytes(const bench_subject *subject) {
    return subject->info->weight_bytes + subject->info->mapped_bytes;
}

/* A stranger's first picture is not warm: what it takes to open the model comes before it. */
static double first_scale(const bench_subject *subject, const variant_bench_figures *f) {
    return (subject->load_ms >= 0.0 ? subject->load_ms : 0.0) + f->first_ms;
}

static void print_json(const bench_subject *subject, const bench_settings *s,
                       const variant_bench_figures *f, const variant_plan *plan) {
    const variant_info *info = subject->info;
    putchar('{');
    if (plan) {
        printf("\"plan\": ");
        cli_planning_json(stdout, &s->planning, plan);
        printf(", ");
    }
    printf("\"subject\": \"%s\", \"synthetic\": %s, \"weights\": \"%s\", \"kv\": \"%s\", "
           "\"decoder\": \"%s\", \"batch\": %d, \"repeat\": %d, \"depths\": "
           "\"%s\", \"picture_ms\": %.3f, "
           "\"transformer_ms\": %.3f, \"transformer_floor_ms\": %.3f, \"decoder_ms\": %.3f, "
           "\"decoder_floor_ms\": %.3f, ",
           s->arch ? s->arch : info->hash, s->arch ? "true" : "false", info->weights, info->kv,
           cli_decoder_is_preview(s->asked.request.decoder) ? "preview" : "full",
           s->asked.request.batch, s->repeat, f->depths, f->picture_ms / s->asked.request.batch,
           f->transformer_ms, f->transformer_floor_ms, f->decoder_ms, f->decoder_floor_ms);
    if (subject->load_ms >= 0.0)
        printf("\"load_ms\": %.3f, ", subject->load_ms);
    else
        printf("\"load_ms\": null, ");
    printf("\"first_scale_ms\": %.3f, \"kv_bytes\": %zu, \"weight_bytes\": %zu, \"arena_bytes\": "
           "%zu, \"peak_rss_bytes\": %zu, \"kernels\": \"%s\", ",
           first_scale(subject, f), f->kv_peak_bytes, weight_bytes(subject), f->arena_peak_bytes,
           f->peak_resident_bytes, info->kernels);
    bench_print_disturbance(f, false);
    printf(", \"scales\": [");
    for (int k = 0; k < f->scales; ++k)
        printf("%s{\"side\": %d, \"layers\": %d, \"ms\": %.3f, \"floor_ms\": %.3f}", k ? ", " : "",
               info->sides[k], f->scale_layers[k], f->scale_ms[k], f->scale_floor_ms[k]);
    printf("]}\n");
}

static void print_row(const char *name, double ms, double floor_ms) {
    printf("  %-16s %10.2f ms %10.2f ms %7.2f\n", name, ms, floor_ms,
           floor_ms > 0.0 ? ms / floor_ms : 0.0);
}

static void print_table(const bench_subject *subject, const bench_settings *s,
                        const variant_bench_figures *f) {
    const variant_info *info = subject->info;
    printf("%s%s, weights %s, kv %s, batch %d, guidance on, runs: %d\n%s\n",
           s->arch ? s->arch : s->asked.engine.model, s->arch ? " (synthetic weights)" : "",
           info->weights, info->kv, s->asked.request.batch, f->runs, info->kernels);
    printf("layers by scale %s\n\n  %-16s %13s %13s %7s\n", f->depths, "", "median", "floor",
           "ratio");
    for (int k = 0; k < f->scales; ++k) {
        char name[32];
        snprintf(name, sizeof name, "side %d, %d layers", info->sides[k], f->scale_layers[k]);
        print_row(name, f->scale_ms[k], f->scale_floor_ms[k]);
    }
    print_row("transformer", f->transformer_ms, f->transformer_floor_ms);
    print_row(cli_decoder_is_preview(s->asked.request.decoder) ? "preview decoder" : "decoder",
              f->decoder_ms, f->decoder_floor_ms);
    printf("\n  %.2f ms a picture, %.2f pictures/s\n", f->picture_ms / s->asked.request.batch,
           1e3 * s->asked.request.batch / f->picture_ms);
    if (f->disturbed)
        printf("  disturbed: %d of %d runs quiet, %s\n", f->quiet_runs, f->runs, f->why);
    if (subject->load_ms >= 0.0)
        printf("  %.1f ms to load, %.1f ms to the first scale\n", subject->load_ms,
               first_scale(subject, f));
    const double weights = (double)weight_bytes(subject), kv = (double)f->kv_peak_bytes,
                 arena = (double)f->arena_peak_bytes;
    printf(
        "  kv %zu bytes at most; weights %.1f MB + kv %.1f + activations %.1f = %.1f MB; %.1f MB "
        "resident at most\n",
        f->kv_peak_bytes, weights / 1e6, kv / 1e6, arena / 1e6, (weights + kv + arena) / 1e6,
        (double)f->peak_resident_bytes / 1e6);
}

/* ---- the command ---- */

static void init(void *user) {
    bench_settings *s = user;
    s->repeat = 5;
    cli_request_init(&s->asked);
    s->asked.request.class_name = "0";
    cli_planning_init(&s->planning, 1);
    s->planning.options.memory_only = true;
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, bench_settings, asked.engine, CLI_MODEL),
    CLI_ROWS(cli_arch_option, const char *, bench_settings, arch, NULL),
    CLI_ROWS(cli_request_options, cli_request, bench_settings, asked,
             CLI_GUIDANCE " depth bridge layers"),
    CLI_ROWS(cli_decoder_option, const char *, bench_settings, asked.request.decoder, NULL),
    {"compare", "D,D,...", "several depths in one run, one line each, the first as the yardstick",
     CLI_INTS(bench_settings, compare, compare_count, 1, 1000), .own = true},
    {"repeat", "N", "runs counted, {range}; as many again while too few are quiet",
     CLI_INT(bench_settings, repeat, 1, VARIANT_BENCH_MOST_REPEAT), .own = true},
    {"time-budget", "TIME", "of all runs, such as 30s: fewer of them, at least one of each depth",
     CLI_SECONDS(bench_settings, budget), .unset = "none"},
    CLI_ROWS(cli_progress_option, cli_progress_kind, bench_settings, progress, NULL),
    CLI_ROWS(cli_json_option, bool, bench_settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, bench_settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    CLI_ROWS(cli_planning_options, cli_planning, bench_settings, planning, NULL),
    {0},
};

/* -1: go on; else the exit status. */
static int check_options(bench_settings *s, const cli_line *line) {
    if (!s->arch == !s->asked.engine.model)
        return cli_misuse("what to time? give either -m MODEL or --arch NAME");
    if (s->compare_count > 0 && s->planning.wanted)
        return cli_misuse("--compare names depths: give no budget, --quality or --batch auto");
    int done = cli_request_check(&s->asked, line);
    return done >= 0 ? done : cli_planning_check(&s->planning, &s->asked.request, line);
}

static variant_status time_pictures(bench_settings *s, variant_error *err) {
    bench_subject subject = {0};
    bench_progress progress;
    variant_bench_results *results = NULL;
    variant_plan planned, *plan = s->planning.wanted ? &planned : NULL;
    variant_status status = VARIANT_OK;
    bench_progress_open(&progress, s);
    bench_progress_say(&progress, s->arch ? "making synthetic weights" : "loading the model");
    CLI_CHECK(bench_subject_open(&subject, s, err));
    if (plan) CLI_CHECK(plan_request(&subject, s, plan, err));
    if (s->compare_count > 0) {
        CLI_CHECK(bench_depths(&subject, &progress, s, err));
        goto cleanup;
    }
    CLI_CHECK(bench_measure(&results, &subject, &progress, NULL, 0, s, err));
    if (s->json)
        print_json(&subject, s, results->figures[0], plan);
    else
        print_table(&subject, s, results->figures[0]);
cleanup:
    variant_bench_results_free(&results);
    bench_subject_close(&subject);
    return status;
}

static int run(void *user, const cli_line *line) {
    bench_settings *s = user;
    int done = check_options(s, line);
    if (done >= 0) return done;
    s->asked.request.count = s->asked.request.batch;
    variant_error err = {0};
    return cli_end(time_pictures(s, &err), &err);
}

static const cli_command *const kinds[] = {&bench_kernels, &bench_streams, &bench_train, NULL};

const cli_command cli_bench = {
    .name = "bench",
    .purpose = "time by stage and scale, beside what the machine could do",
    .usage = "(-m MODEL | --arch NAME) [options]\n"
             "kernels [--products] [--repeat N] [--threads N] [--json]\n"
             "streams (-m MODEL | --arch NAME) [options]\n"
             "train (-m MODEL | --arch CONFIG.json) [options]",
    .about = "Times generation, one batch of pictures at a time with guidance, after a warm-up; "
             "prints medians. Beside each time stands its floor: the larger of arithmetic at the "
             "register peak and bytes at the memory bandwidth, both measured in this process. "
             "Runs that other work got in the way of are made again, at most as often; where too "
             "few were quiet, the figures are marked \"disturbed\" and say why.",
    .examples = "variant bench -m models/fashion --depth 6\n"
                "variant bench --arch var-d16 --depth 8 --bridge 6 --repeat 3 --json\n"
                "variant bench --arch var-d16 --weights bf16 --compare 16,8,4,2 --repeat 1\n"
                "variant bench kernels --repeat 20",
    .options = options,
    .kinds = kinds,
    .size = sizeof(bench_settings),
    .init = init,
    .opens = true,
    .run = run,
};

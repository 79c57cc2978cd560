/* bench.c - `variant bench`: how long pictures take, stage by stage and scale by scale, beside the
 * least they could take on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "core/clock.h"
#include "core/status.h"

static const char help[] =
    "usage: variant bench (-m MODEL | --arch NAME) [options]\n"
    "       variant bench kernels [--repeat N] [--threads N] [--json]\n"
    "       variant bench train (-m MODEL | --arch CONFIG.json) [options]\n"
    "\n"
    "Times generation, one batch of pictures at a time with guidance, after a warm-up; prints "
    "medians. Beside each\n"
    "time stands its floor: the larger of arithmetic at the register peak and bytes at the memory "
    "bandwidth, both\n"
    "measured in this process. `kernels` times each kernel by itself, beside its plain-C twin and "
    "its "
    "floor.\n"
    "Runs that other work got in the way of are made again, at most as often; where too few were "
    "quiet,\n"
    "the figures are marked \"disturbed\" and say why.\n"
    "\n"
    "options\n" CLI_MODEL_HELP "      --arch NAME        synthetic weights instead of a model: "
    "var-d16, var-d20, var-d24, var-d30, or a\n"
    "                         configuration as `variant synth` reads it\n"
    "      --depth D          layers of the late scales, 1 to the model's; 0 (default): all\n"
    "      --compare D,D,...  several depths in one run, one line each, the first as the "
    "yardstick\n"
    "      --bridge N         scales at full depth before them\n"
    "      --layers WHICH     equidistant (default), rounded, prefix, a list, or one list a scale\n"
    "      --batch N|auto     pictures at a time, 1 to 4096 (default 1); auto: as many as fit, at "
    "most 64\n"
    "      --repeat N         runs counted (default 5, 1 to 1000); as many again while too few are "
    "quiet\n"
    "      --time-budget TIME of all runs, such as 30s: fewer of them, at least one of each depth\n"
    "      --progress WHICH   on stderr: auto (default; a line where it is a terminal), lines, "
    "none\n" CLI_PRECISION_HELP "      --json             one object on stdout\n" CLI_RUN_HELP
    "\n" CLI_PLANNING_HELP "\n"
    "examples\n"
    "  variant bench -m models/fashion --depth 6\n"
    "  variant bench --arch var-d16 --depth 8 --bridge 6 --repeat 3 --json\n"
    "  variant bench --arch var-d16 --weights bf16 --compare 16,8,4,2 --repeat 1\n"
    "  variant bench kernels --repeat 20\n";

enum {
    OPT_ARCH = CLI_OWN,
    OPT_DEPTH,
    OPT_BRIDGE,
    OPT_LAYERS,
    OPT_BATCH,
    OPT_REPEAT,
    OPT_COMPARE,
    OPT_BUDGET,
    OPT_PROGRESS
};

static const struct option long_options[] = {
    {"arch", required_argument, NULL, OPT_ARCH},
    {"depth", required_argument, NULL, OPT_DEPTH},
    {"bridge", required_argument, NULL, OPT_BRIDGE},
    {"layers", required_argument, NULL, OPT_LAYERS},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"compare", required_argument, NULL, OPT_COMPARE},
    {"repeat", required_argument, NULL, OPT_REPEAT},
    {"time-budget", required_argument, NULL, OPT_BUDGET},
    {"progress", required_argument, NULL, OPT_PROGRESS},
    {"json", no_argument, NULL, CLI_JSON},
    CLI_MODEL_OPTIONS,
    CLI_PRECISION_OPTIONS,
    CLI_PLANNING_OPTIONS,
    CLI_RUN_OPTIONS,
};

static bool read_progress(bench_settings *s, const char *text) {
    int which = cli_word(text, "auto|lines|none");
    if (which >= 0) s->progress = (bench_progress_kind)which;
    return which >= 0;
}

static bool accept(void *user, int id, const char *text) {
    bench_settings *s = user;
    switch (id) {
    case OPT_ARCH:
        return cli_text(text, "var-d16, var-d20, var-d24, var-d30, or a configuration's file",
                        &s->arch);
    case OPT_DEPTH:
        return cli_int(text, 0, 1000, &s->request.depth);
    case OPT_BRIDGE:
        return cli_int(text, 0, 1000, &s->request.bridge);
    case OPT_LAYERS:
        return cli_text(text,
                        "equidistant, rounded, prefix, a list such as 0,3,5-7, or one a scale",
                        &s->request.layers);
    case OPT_BATCH:
        return cli_planning_batch(&s->planning, &s->request, text);
    case OPT_COMPARE:
        return cli_ints(text, 1, 1000, VARIANT_MAX_DEPTHS, s->compare, &s->compare_count);
    case OPT_REPEAT:
        return cli_int(text, 1, BENCH_MAX_REPEAT, &s->repeat);
    case OPT_BUDGET:
        return cli_seconds(text, &s->budget);
    case OPT_PROGRESS:
        return read_progress(s, text);
    }
    int taken = cli_planning_option(&s->planning, id, text);
    return taken >= 0 ? taken == 1 : cli_model_option(&s->model, id, text) == 1;
}

/* Puts what the budget allows into the request, and says so. */
static variant_status plan_request(const bench_subject *subject, bench_settings *s,
                                   variant_plan *plan, variant_error *err) {
    variant_engine engine =
        vt_engine_around(subject->kern, subject->model, subject->weights, subject->kv);
    s->request.count = s->planning.options.auto_batch ? 64 : s->request.batch;
    VT_TRY(cli_planning_apply(&s->planning, "bench", &engine, &s->request, plan, err));
    s->request.count = s->request.batch;
    vt_peak_resident_reset(); /* what was taken to choose */
    if (s->model.json) return VARIANT_OK;
    printf("plan: ");
    cli_planning_print(stdout, plan);
    printf("\n");
    return VARIANT_OK;
}

/* ---- reporting ---- */

static void print_json(const bench_subject *subject, const bench_settings *s,
                       const bench_figures *f, const variant_plan *plan) {
    const int *sides = vt_transformer_configuration(subject->model->transformer)->sides;
    putchar('{');
    if (plan) {
        printf("\"plan\": ");
        cli_planning_json(stdout, &s->planning, plan);
        printf(", ");
    }
    printf("\"subject\": \"%s\", \"synthetic\": %s, \"weights\": \"%s\", \"kv\": \"%s\", "
           "\"batch\": %d, \"repeat\": %d, \"depths\": "
           "\"%s\", \"picture_ms\": %.3f, "
           "\"transformer_ms\": %.3f, \"transformer_floor_ms\": %.3f, \"decoder_ms\": %.3f, "
           "\"decoder_floor_ms\": %.3f, ",
           s->arch ? s->arch : subject->model->hash, subject->synthetic ? "true" : "false",
           vt_number_name(subject->weights), vt_number_name(subject->kv), s->request.batch,
           s->repeat, f->last.depths, f->picture / s->request.batch, f->transformer,
           f->transformer_floor, f->decoder, f->decoder_floor);
    if (f->load >= 0.0)
        printf("\"load_ms\": %.3f, ", f->load);
    else
        printf("\"load_ms\": null, ");
    printf("\"first_scale_ms\": %.3f, \"kv_bytes\": %zu, \"weight_bytes\": %zu, \"arena_bytes\": "
           "%zu, \"peak_rss_bytes\": %zu, \"kernels\": \"%s\", ",
           f->first_scale, f->last.kv_peak_bytes, f->weight_bytes, f->last.arena_peak_bytes,
           f->last.peak_resident_bytes, subject->kern->details);
    bench_print_disturbance(f, false);
    printf(", \"scales\": [");
    for (int k = 0; k < f->last.scales; ++k)
        printf("%s{\"side\": %d, \"layers\": %d, \"ms\": %.3f, \"floor_ms\": %.3f}", k ? ", " : "",
               sides[k], f->last.scale_layers[k], f->scale[k], f->scale_floor[k]);
    printf("]}\n");
}

static void print_row(const char *name, double ms, double floor_ms) {
    printf("  %-16s %10.2f ms %10.2f ms %7.2f\n", name, ms, floor_ms,
           floor_ms > 0.0 ? ms / floor_ms : 0.0);
}

static void print_table(const bench_subject *subject, const bench_settings *s,
                        const bench_figures *f) {
    const int *sides = vt_transformer_configuration(subject->model->transformer)->sides;
    printf("%s%s, weights %s, kv %s, batch %d, guidance on, runs: %d\n%s\n",
           s->arch ? s->arch : s->model.model, subject->synthetic ? " (synthetic weights)" : "",
           vt_number_name(subject->weights), vt_number_name(subject->kv), s->request.batch, f->runs,
           subject->kern->details);
    printf("layers by scale %s\n\n  %-16s %13s %13s %7s\n", f->last.depths, "", "median", "floor",
           "ratio");
    for (int k = 0; k < f->last.scales; ++k) {
        char name[32];
        snprintf(name, sizeof name, "side %d, %d layers", sides[k], f->last.scale_layers[k]);
        print_row(name, f->scale[k], f->scale_floor[k]);
    }
    print_row("transformer", f->transformer, f->transformer_floor);
    print_row("decoder", f->decoder, f->decoder_floor);
    printf("\n  %.2f ms a picture, %.2f pictures/s\n", f->picture / s->request.batch,
           1e3 * s->request.batch / f->picture);
    if (f->disturbed)
        printf("  disturbed: %d of %d runs quiet, %s\n", f->quiet_runs, f->runs, f->why);
    if (f->load >= 0.0)
        printf("  %.1f ms to load, %.1f ms to the first scale\n", f->load, f->first_scale);
    double counted =
        (double)(f->weight_bytes + f->last.kv_peak_bytes + f->last.arena_peak_bytes) / 1e6;
    printf(
        "  kv %zu bytes at most; weights %.1f MB + kv %.1f + activations %.1f = %.1f MB; %.1f MB "
        "resident at most\n",
        f->last.kv_peak_bytes, (double)f->weight_bytes / 1e6, (double)f->last.kv_peak_bytes / 1e6,
        (double)f->last.arena_peak_bytes / 1e6, counted, (double)f->last.peak_resident_bytes / 1e6);
}

int cli_bench(int argc, char **argv) {
    if (argc > 1 && strcmp(argv[1], "train") == 0) return cli_bench_train(argc - 1, argv + 1);
    bench_settings s = {.repeat = 5};
    variant_request_init(&s.request);
    s.request.batch = 1;
    s.request.class_name = "0";
    cli_planning_init(&s.planning);
    s.planning.options.memory_only = true;
    cli_parser parser = {.command = "bench",
                         .help = help,
                         .letters = ":m:t:h",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (optind + 1 == argc && strcmp(argv[optind], "kernels") == 0)
        return s.budget > 0.0 ? cli_usage("bench", "--time-budget is of pictures, not of kernels")
                              : cli_bench_kernels(&s.model, s.repeat);
    if (optind < argc) return cli_usage("bench", "unexpected argument %s", argv[optind]);
    if (!s.arch == !s.model.model)
        return cli_usage("bench", "what to time? give either -m MODEL or --arch NAME");
    if (s.compare_count > 0 && s.planning.wanted)
        return cli_usage("bench",
                         "--compare names depths: give no budget, --quality or --batch auto");
    done = cli_planning_check(&s.planning, &s.request, "bench");
    if (done >= 0) return done;
    s.request.count = s.request.batch;

    variant_error err = {0};
    bench_subject subject = {0};
    bench_progress progress;
    bench_figures figures;
    variant_plan planned, *plan = NULL;
    variant_status status = VARIANT_OK;
    bench_progress_open(&progress, &s);
    bench_progress_say(&progress, s.arch ? "making synthetic weights" : "loading the model");
    VT_CHECK(bench_subject_open(&subject, &s, &err));
    if (s.planning.wanted) {
        plan = &planned;
        VT_CHECK(plan_request(&subject, &s, plan, &err));
    }
    if (s.compare_count > 0) {
        VT_CHECK(bench_depths(&subject, &s, &err));
        goto cleanup;
    }
    VT_CHECK(bench_measure(&figures, NULL, 1, &subject, &s, &err));
    if (s.model.json)
        print_json(&subject, &s, &figures, plan);
    else
        print_table(&subject, &s, &figures);
cleanup:
    bench_subject_close(&subject);
    return status == VARIANT_OK ? 0 : cli_fail("bench", &err);
}

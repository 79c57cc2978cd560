/* sweep.c - `variant sweep`: one model at many depths, and the report of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "core/clock.h"
#include "core/status.h"
#include "data_options.h"
#include "eval/report.h"
#include "eval/sweep.h"
#include "eval/text.h"
#include "progress.h"
#include "request.h"
#include "eval/sweep_quality.h"

#define COMMAND "sweep"

static const char help[] =
    "usage: variant sweep (-m MODEL | --arch NAME) -o FOLDER [options]\n"
    "       variant sweep --report-only FOLDER\n"
    "\n"
    "Runs a model at every depth x bridge x selector x guidance, and with fewer layers in one zone "
    "of\n"
    "scales alone: time by stage, keys and values, memory and quality of each point. FOLDER gets\n"
    "sweep.json, sweep.csv and report.html (one file, nothing from outside). Ctrl-C or a crash "
    "loses at\n"
    "most the point at work: the same command goes on, and more depths, zones, runs or a reference "
    "add to\n"
    "what is there.\n"
    "\n" CLI_REQUEST_MODEL_HELP
    "      --arch NAME        synthetic weights instead of a model: time and memory of var-d16,\n"
    "                         var-d20, var-d24, var-d30, or a configuration as `variant synth` "
    "reads it\n"
    "\n"
    "points\n"
    "  -o, --output FOLDER    where results go\n"
    "      --depths, --depth D,D,..  layers of the late scales (default: all, and those trained, "
    "or a "
    "half,\n"
    "                         a quarter and an eighth)\n"
    "      --bridges, --bridge N,N,..  scales at full depth before them (default: the model's own, "
    "2 fewer, "
    "2 more)\n"
    "      --selectors, --layers S,S,..  of equidistant, rounded, prefix (default: as trained)\n"
    "      --cfg-scales, --cfg-scale T,..  classifier-free guidance, each 0 (off) to 100 (default "
    "1.5)\n"
    "      --zones 1-2,3-4,.. zones of scales to run with fewer layers alone (default: none)\n"
    "      --zone-depth D     layers inside a zone (default: the least of --depths)\n"
    "      --repeat N         timed runs a point, each after one that is discarded (default 5)\n"
    "      --pictures N       of the same seeds kept at each point for the report (default 8; 0: "
    "none)\n"
    "\n"
    "quality, with a reference\n"
    "      --reference DATA   real pictures or statistics, as `variant eval` takes them\n"
    "      --reference-count N  of its pictures (default all)\n" CLI_DATA_HELP
    "      --features PATH    the network, a file or its folder (default: MODEL/" VT_FEATURES_FILE
    ")\n"
    "      --resize WHICH     of pictures for the Inception: pytorch (default) or tensorflow\n"
    "      --draws N          of the bootstrap that each score's spread comes from, 0: none\n"
    "                         (default 100; 20 above 512 features); 2 to 10000\n"
    "  -n, --samples, --count N  pictures judged at each point, all classes alike (default 2000)\n"
    "      --no-quality       none, whatever else is given\n"
    "\n"
    "sampling\n"
    "  -s, --seed S           0 to 2^64 - 1 (default 0)\n"
    "      --class C          number, name, random (default), all, uncond: of the timed pictures\n"
    "      --top-k K          0 (off) or more (default 900)\n"
    "      --top-p P          0 (off) to 1 (default 0.96)\n"
    "      --greedy           always the most likely token; not with --smooth\n"
    "      --smooth           mix codes by Gumbel softmax: smoother, less diverse\n"
    "\n"
    "running\n"
    "      --batch N          pictures at a time when timed, 1 to 4096 (default 1)\n"
    "      --weights TYPE     f32 (default, exact), bf16 (half the memory, fast) or int8 (a "
    "quarter)\n"
    "      --kv TYPE          of keys and values: f32, bf16 or int8 (default: f32 with f32 "
    "weights, else bf16)\n"
    "      --retain-kv        keep what a later request might read\n"
    "  -t, --threads N        1 to 1024 (default: one a processor)\n"
    "      --backend NAME     cpu (default) or ref\n"
    "      --report-only FOLDER  make FOLDER/report.html again from FOLDER/sweep.json\n"
    "      --json             one object on stdout: folder, points, report\n"
    "  -h, --help             this text\n"
    "\n"
    "examples\n"
    "  variant sweep -m models/fashion -o runs/sweep --depths 12,6,3,2 --bridges 2,4,6 --zones "
    "1-2,3-4,5-7 \\\n"
    "      --reference /usr/share/datasets/fashion-mnist\n"
    "  variant sweep --arch var-d30 --weights bf16 -o runs/d30 --depths 30,16,8,4,2 --bridges 6 "
    "--repeat 1\n"
    "  variant sweep --report-only runs/sweep\n";

enum {
    OPT_ARCH = CLI_OWN,
    OPT_BRIDGES,
    OPT_SELECTORS,
    OPT_CFG,
    OPT_ZONES,
    OPT_ZONE_DEPTH,
    OPT_REPEAT,
    OPT_PICTURES,
    OPT_REFERENCE,
    OPT_REFERENCE_COUNT,
    OPT_FEATURES,
    OPT_RESIZE,
    OPT_DRAWS,
    OPT_SAMPLES,
    OPT_NO_QUALITY,
    OPT_REPORT
};

/* A request's options come first: where it takes one depth, bridge, selector or guidance, a sweep takes several
 * under the same name (--depth is --depths here). */
static const struct option long_options[] = {
    CLI_REQUEST_OPTIONS,
    {"arch", required_argument, NULL, OPT_ARCH},
    {"output", required_argument, NULL, 'o'},
    {"bridges", required_argument, NULL, OPT_BRIDGES},
    {"selectors", required_argument, NULL, OPT_SELECTORS},
    {"cfg-scales", required_argument, NULL, OPT_CFG},
    {"zones", required_argument, NULL, OPT_ZONES},
    {"zone-depth", required_argument, NULL, OPT_ZONE_DEPTH},
    {"repeat", required_argument, NULL, OPT_REPEAT},
    {"pictures", required_argument, NULL, OPT_PICTURES},
    {"reference", required_argument, NULL, OPT_REFERENCE},
    {"reference-count", required_argument, NULL, OPT_REFERENCE_COUNT},
    CLI_DATA_OPTIONS,
    {"features", required_argument, NULL, OPT_FEATURES},
    {"resize", required_argument, NULL, OPT_RESIZE},
    {"draws", required_argument, NULL, OPT_DRAWS},
    {"samples", required_argument, NULL, OPT_SAMPLES},
    {"no-quality", no_argument, NULL, OPT_NO_QUALITY},
    {"report-only", required_argument, NULL, OPT_REPORT},
    {"json", no_argument, NULL, CLI_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

typedef struct settings {
    cli_request asked; /* the engine and what every point's request has alike */
    const char *arch, *output, *report_only;
    const char *features;
    cli_data reference;
    int reference_count, samples; /* samples 0: not said */
    int resize, draws;            /* -1: not said */
    bool no_quality, json;
    vt_sweep_options sweep;
    /* progress */
    double shown;
    cli_pace pace, reference_pace;
} settings;

/* ---- options ---- */

static const char selectors[] = "equidistant|rounded|prefix";

static bool read_selectors(settings *s, const char *text) {
    int places[VT_SWEEP_MAX_LIST];
    if (!cli_words(text, selectors, VT_SWEEP_MAX_LIST, places, &s->sweep.selector_count))
        return false;
    for (int i = 0; i < s->sweep.selector_count; ++i)
        s->sweep.selectors[i] = vt_selector_name((vt_selector)places[i]);
    return true;
}

/* "1-2,3,5-7" */
static bool read_zones(settings *s, const char *text) {
    int zones[VT_SWEEP_MAX_LIST][2];
    if (!cli_ranges(text, 1, VARIANT_MAX_SCALES, VT_SWEEP_MAX_LIST, zones, &s->sweep.zone_count))
        return false;
    for (int i = 0; i < s->sweep.zone_count; ++i)
        s->sweep.zones[i] = (vt_sweep_zone){zones[i][0], zones[i][1]};
    return true;
}

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    vt_sweep_options *o = &s->sweep;
    switch (id) {
    case OPT_ARCH:
        return cli_text(text, "var-d16, var-d20, var-d24, var-d30, or a configuration's file",
                        &s->arch);
    case 'o':
        return cli_text(text, "a folder for the results", &s->output);
    case CLI_REQUEST_DEPTH:
    case CLI_REQUEST_DEPTHS:
        return cli_ints(text, 1, 1000, VT_SWEEP_MAX_LIST, o->depths, &o->depth_count);
    case CLI_REQUEST_BRIDGE:
    case OPT_BRIDGES:
        return cli_ints(text, 0, 1000, VT_SWEEP_MAX_LIST, o->bridges, &o->bridge_count);
    case CLI_REQUEST_LAYERS:
    case OPT_SELECTORS:
        return read_selectors(s, text);
    case CLI_REQUEST_CFG:
    case OPT_CFG:
        return cli_doubles(text, 0, 100, VT_SWEEP_MAX_LIST, o->cfg_scales, &o->cfg_count);
    case 's': /* no random one: the same command has to go on */
        return cli_u64(text, &s->asked.request.seed);
    case OPT_ZONES:
        return read_zones(s, text);
    case OPT_ZONE_DEPTH:
        return cli_int(text, 1, 1000, &o->zone_depth);
    case OPT_REPEAT:
        return cli_int(text, 1, BENCH_MAX_REPEAT, &o->repeat);
    case OPT_PICTURES:
        return cli_int(text, 0, 256, &o->pictures);
    case OPT_REFERENCE:
        return cli_data_add(&s->reference.data, text);
    case OPT_REFERENCE_COUNT:
        return cli_int(text, 2, 10000000, &s->reference_count);
    case OPT_FEATURES:
        return cli_text(text, "a network's file or folder", &s->features);
    case OPT_RESIZE:
        s->resize = cli_word(text, "pytorch|tensorflow");
        return s->resize >= 0;
    case OPT_DRAWS:
        return cli_draws(text, &s->draws);
    case 'n':
    case OPT_SAMPLES:
        return cli_int(text, 2, 10000000, &s->samples);
    case OPT_NO_QUALITY:
        s->no_quality = true;
        return true;
    case OPT_REPORT:
        return cli_text(text, "the folder of a sweep", &s->report_only);
    case CLI_JSON:
        s->json = true;
        return true;
    }
    int taken = cli_data_option(&s->reference, id, text);
    return taken >= 0 ? taken == 1 : cli_request_option(&s->asked, id, text) == 1;
}

/* What the user left open, from the model. */
static void fill_defaults(vt_sweep_options *o, const variant_info *info) {
    if (!o->depth_count) {
        o->depths[o->depth_count++] = info->depth;
        for (int i = 0; i < info->depth_count; ++i) o->depths[o->depth_count++] = info->depths[i];
        for (int part = 2; part <= 8 && !info->depth_count; part *= 2)
            if (info->depth / part >= 1) o->depths[o->depth_count++] = info->depth / part;
    }
    if (!o->selector_count) o->selectors[o->selector_count++] = info->layers;
    if (!o->bridge_count) {
        for (int n = info->bridge - 2; n <= info->bridge + 2; n += 2)
            if (n >= 0 && n < info->scales) o->bridges[o->bridge_count++] = n;
    }
    if (!o->zone_depth) {
        o->zone_depth = info->depth;
        for (int i = 0; i < o->depth_count; ++i)
            if (o->depths[i] < o->zone_depth) o->zone_depth = o->depths[i];
    }
}

/* ---- the command as it can be typed again ---- */

static void describe_command(vt_text *out, int argc, char **argv) {
    vt_text_add(out, "variant");
    for (int i = 0; i < argc; ++i) {
        const char *word = argv[i];
        bool plain = word[0] && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789-_./,=+:@%") == strlen(word);
        vt_text_add(out, plain ? " " : " '");
        for (const char *p = word; *p; ++p) vt_text_add(out, *p == '\'' ? "'\\''" : "%c", *p);
        if (!plain) vt_text_add(out, "'");
    }
}

/* ---- progress ---- */

static const volatile sig_atomic_t *stop_wanted;

static bool show_progress(void *user, const vt_sweep_progress *at) {
    settings *s = user;
    double now = vt_seconds();
    bool ended = at->id[0] == '\0';
    if (*stop_wanted && !ended) return false;
    if (s->json || !isatty(STDERR_FILENO) || (!ended && now - s->shown < 0.2)) return true;
    s->shown = now;
    fprintf(stderr, "\r\033[K");
    if (ended) return true;
    char left[64];
    cli_left_text(cli_pace_left(&s->pace, now, 1e3 * at->share, 1e3), left, sizeof left);
    fprintf(stderr, "%.0f %%, run %d of %d, %d of %d points, %s%s", 100.0 * at->share, at->round,
            at->rounds, at->point, at->points, at->id, left);
    return true;
}

static bool show_reference(void *user, int done, int total) {
    settings *s = user;
    double now = vt_seconds();
    if (*stop_wanted) return false;
    double seconds = cli_pace_left(&s->reference_pace, now, done, total);
    if (s->json || !isatty(STDERR_FILENO) || now - s->shown < 0.2) return true;
    s->shown = now;
    char left[64];
    cli_left_text(seconds, left, sizeof left);
    fprintf(stderr, "\r\033[Kreference: %d of %d pictures%s", done, total, left);
    return true;
}

static bool show_draws(void *user, int done, int total) {
    settings *s = user;
    double now = vt_seconds();
    if (*stop_wanted) return false;
    if (s->json || !isatty(STDERR_FILENO) || now - s->shown < 0.2) return true;
    s->shown = now;
    fprintf(stderr, "\r\033[Kspread: %d of %d draws", done, total);
    return true;
}

static void say_note(void *user, const char *line) {
    (void)user;
    fprintf(stderr, "variant sweep: note: %s\n", line);
}

/* ---- results ---- */

/* What is in the folder. */
typedef struct found {
    cJSON *state;
    vt_sweep_point *points, *zones;
    int point_count, zone_count;
} found;

static variant_status found_open(found *out, const char *folder, variant_error *err) {
    vt_sweep_file file;
    *out = (found){0};
    VT_TRY(vt_sweep_state_read(&out->state, folder, err));
    vt_sweep_file_view(&file, out->state);
    VT_TRY(
        vt_sweep_points_view(&out->points, &out->point_count, file.points, file.model.depth, err));
    return vt_sweep_points_view(&out->zones, &out->zone_count, file.zones, file.model.depth, err);
}

static void found_close(found *f) {
    free(f->points);
    free(f->zones);
    cJSON_Delete(f->state);
}

/* The name of the score, where a point has one. */
static const char *score_name(const vt_sweep_point *points, int count) {
    for (int i = 0; i < count; ++i)
        if (points[i].quality.name[0]) return points[i].quality.name;
    return NULL;
}

static double or_zero(double value) {
    return isfinite(value) ? value : 0.0;
}

static void print_score(const vt_sweep_scores *scores) {
    char text[64] = "-";
    if (isfinite(scores->frechet)) snprintf(text, sizeof text, "%.3f", scores->frechet);
    if (isfinite(scores->frechet) && isfinite(scores->frechet_spread))
        vt_text_with_spread(text, sizeof text, scores->frechet, scores->frechet_spread, "+-");
    printf(" %16s", text);
}

static void print_points(const vt_sweep_point *points, int count, bool quality) {
    for (int i = 0; i < count; ++i) {
        const vt_sweep_point *p = &points[i];
        char kv[32], memory[32], doubt[200];
        vt_text_bytes(kv, sizeof kv, or_zero(p->kv_peak_bytes));
        vt_text_bytes(memory, sizeof memory, or_zero(p->memory_bytes));
        printf("%-34s %-30s %9.2f ms %9.2f ms %9.2f ms %10s %10s", p->id, p->depths,
               or_zero(p->times.picture_ms), or_zero(p->times.transformer_ms),
               or_zero(p->times.decoder_ms), kv, memory);
        if (quality) print_score(&p->quality);
        vt_sweep_doubt(p->json, doubt, sizeof doubt);
        printf("%s%s\n", doubt[0] ? "  " : "", doubt);
    }
}

static int count_doubts(const vt_sweep_point *points, int count) {
    char doubt[200];
    int doubts = 0;
    for (int i = 0; i < count; ++i) {
        vt_sweep_doubt(points[i].json, doubt, sizeof doubt);
        doubts += doubt[0] != '\0';
    }
    return doubts;
}

static void print_json(const found *f, const char *folder, int doubts) {
    char path[4096];
    cJSON *summary = cJSON_CreateObject();
    snprintf(path, sizeof path, "%s/report.html", folder);
    cJSON_AddStringToObject(summary, "folder", folder);
    cJSON_AddNumberToObject(summary, "points", f->point_count);
    cJSON_AddNumberToObject(summary, "zones", f->zone_count);
    cJSON_AddNumberToObject(summary, "disturbed", doubts);
    cJSON_AddStringToObject(summary, "report", path);
    char *text = cJSON_PrintUnformatted(summary);
    printf("%s\n", text ? text : "{}");
    cJSON_free(text);
    cJSON_Delete(summary);
}

static void print_table(const found *f, const char *folder, int doubts) {
    const char *score = score_name(f->points, f->point_count);
    if (!score) score = score_name(f->zones, f->zone_count);
    printf("%-34s %-30s %12s %12s %12s %10s %10s", "point", "layers by scale", "picture",
           "transformer", "decoder", "kv at most", "memory");
    if (score) printf(" %16s", score);
    printf("\n");
    print_points(f->points, f->point_count, score != NULL);
    print_points(f->zones, f->zone_count, score != NULL);
    if (doubts)
        printf("times of %d points are disturbed; on a quieter machine a larger --repeat adds "
               "runs to them\n",
               doubts);
    printf("wrote %s/report.html, sweep.json, sweep.csv\n", folder);
}

static variant_status print_results(const settings *s, const char *folder, variant_error *err) {
    found f;
    variant_status status = found_open(&f, folder, err);
    if (status == VARIANT_OK) {
        const int doubts =
            count_doubts(f.points, f.point_count) + count_doubts(f.zones, f.zone_count);
        if (s->json)
            print_json(&f, folder, doubts);
        else
            print_table(&f, folder, doubts);
    }
    found_close(&f);
    return status;
}

/* ---- the sweep ---- */

/* Opens what judges the points, where quality is wanted. */
static variant_status open_quality(settings *s, vt_sweep_quality *quality,
                                   const variant_engine *engine, variant_error *err) {
    if (s->no_quality || !s->reference.data.count) return VARIANT_OK;
    vt_draws draws = {
        .count = s->draws, .seed = s->asked.request.seed, .progress = show_draws, .user = s};
    vt_judge_options options = {.features = s->features,
                                .resize = s->resize,
                                .model = s->asked.engine.model,
                                .backend = s->asked.engine.backend,
                                .threads = s->asked.engine.threads,
                                .reference_count = s->reference_count,
                                .progress = show_reference,
                                .note = say_note,
                                .user = s};
    VT_TRY(vt_sweep_quality_open(quality, &options, &s->reference.data,
                                 s->samples ? s->samples : 2000, &draws, engine, err));
    s->sweep.judge = &quality->judge;
    return VARIANT_OK;
}

static variant_status sweep_engine(settings *s, const variant_engine *engine, variant_error *err) {
    variant_status status = VARIANT_OK;
    variant_info info;
    vt_sweep_quality quality = {0};
    variant_engine_info(engine, &info);
    fill_defaults(&s->sweep, &info);
    s->sweep.engine = engine;
    s->sweep.subject = s->arch ? s->arch : s->asked.engine.model;
    s->sweep.synthetic = s->arch != NULL;
    s->sweep.folder = s->output;
    s->sweep.request = s->asked.request;
    s->sweep.progress = show_progress;
    s->sweep.user = s;
    stop_wanted = cli_catch_stop();
    VT_CHECK(open_quality(s, &quality, engine, err));
    VT_CHECK(vt_sweep_run(&s->sweep, err));
    VT_CHECK(print_results(s, s->sweep.folder, err));
cleanup:
    if (status != VARIANT_OK && s->shown > 0.0) fprintf(stderr, "\r\033[K");
    vt_sweep_quality_close(&quality);
    return status;
}

static variant_status sweep_model(settings *s, variant_error *err) {
    variant_engine *engine = NULL;
    VT_TRY(variant_engine_open(&engine, &s->asked.engine, err));
    variant_status status = sweep_engine(s, engine, err);
    variant_engine_close(&engine);
    return status;
}

static variant_status sweep_arch(settings *s, variant_error *err) {
    const variant_engine_options *engine = &s->asked.engine;
    bench_settings bench = {.model = {.backend = engine->backend,
                                      .threads = engine->threads,
                                      .weights = engine->weights,
                                      .kv = engine->kv},
                            .arch = s->arch,
                            .repeat = 1};
    bench_subject subject = {0};
    variant_status status = bench_subject_open(&subject, &bench, err);
    if (status == VARIANT_OK) {
        variant_engine around =
            vt_engine_around(subject.kern, subject.model, subject.weights, subject.kv);
        status = sweep_engine(s, &around, err);
    }
    bench_subject_close(&subject);
    return status;
}

/* -1 where what was asked makes sense together, else the exit status. */
static int check_usage(const settings *s) {
    const char *model = s->asked.engine.model;
    if (s->report_only && (s->arch || model || s->output))
        return cli_usage(COMMAND, "--report-only goes without -m, --arch and -o");
    if (s->report_only) return -1;
    if (!s->arch == !model)
        return cli_usage(COMMAND, "what to sweep? give either -m MODEL or --arch NAME");
    if (!s->output) return cli_usage(COMMAND, "where do results go? give -o FOLDER");
    if (s->no_quality) return -1;
    if (s->arch && (s->reference.data.count || s->features || s->samples))
        return cli_usage(COMMAND, "--arch has synthetic weights: there is no quality to measure");
    if (!s->reference.data.count && (s->features || s->samples))
        return cli_usage(COMMAND, "quality beside what? give --reference DATA");
    return -1;
}

int cli_sweep(int argc, char **argv) {
    settings s = {.resize = -1,
                  .draws = -1,
                  .sweep = {.repeat = 5, .pictures = 8, .cfg_count = 1, .cfg_scales = {1.5}}};
    cli_request_init(&s.asked);
    s.reference = cli_data_defaults(COMMAND);
    s.reference.data.flat_whole = true;
    s.asked.request.batch = 1;
    vt_text command = {0};
    describe_command(&command, argc, argv); /* before getopt puts operands last */
    cli_parser parser = {.command = COMMAND,
                         .help = help,
                         .letters = ":m:n:o:s:t:h",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    int done = cli_parse(&parser, argc, argv);
    if (done < 0 && optind < argc)
        done = cli_usage(COMMAND, "unexpected argument %s", argv[optind]);
    if (done < 0) done = cli_request_check(&s.asked, COMMAND);
    if (done < 0) done = check_usage(&s);
    if (done >= 0) goto cleanup;
    s.sweep.command = command.data;
    if (s.report_only) {
        VT_CHECK(vt_report_write(s.report_only, &err));
        VT_CHECK(print_results(&s, s.report_only, &err));
    } else {
        VT_CHECK(s.arch ? sweep_arch(&s, &err) : sweep_model(&s, &err));
    }
cleanup:
    vt_text_free(&command);
    if (done >= 0) return done;
    return status == VARIANT_OK ? 0 : cli_fail(COMMAND, &err);
}

/* sweep.c - `variant sweep`: one model at many depths, and the report of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "core/clock.h"
#include "core/status.h"
#include "data_options.h"
#include "eval/sweep_quality.h"
#include "eval/report.h"
#include "eval/sweep.h"
#include "eval/text.h"
#include "progress.h"
#include "request.h"
#include "scoring.h"
#include "values.h"

#define COMMAND "sweep"

typedef struct settings {
    cli_request asked; /* the engine and what every point's request has alike */
    const char *arch, *output, *report_only;
    cli_scoring by;
    cli_data taken; /* which pictures of the reference, and how */
    int samples;    /* judged at each point */
    bool no_quality, json;
    vt_sweep_options sweep;
    /* progress */
    cli_live live;
    cli_pace pace, reference_pace;
} settings;

/* ---- the command as it can be typed again ---- */

static void describe_command(vt_text *out, const cli_line *line) {
    vt_text_add(out, "variant sweep");
    for (int i = 0; i < line->count; ++i) {
        const char *word = line->words[i];
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
    char left[64];
    if (at->id[0] == '\0') {
        cli_live_clear(&s->live);
        return true;
    }
    cli_left_text(cli_pace_left(&s->pace, vt_seconds(), 1e3 * at->share, 1e3), left, sizeof left);
    cli_live_show(&s->live, "%.0f %%, run %d of %d, %d of %d points, %s%s", 100.0 * at->share,
                  at->round, at->rounds, at->point, at->points, at->id, left);
    return !*stop_wanted;
}

static bool show_reference(void *user, int done, int total) {
    settings *s = user;
    char left[64];
    cli_left_text(cli_pace_left(&s->reference_pace, vt_seconds(), done, total), left, sizeof left);
    cli_live_show(&s->live, "reference: %d of %d pictures%s", done, total, left);
    return !*stop_wanted;
}

static bool show_draws(void *user, int done, int total) {
    settings *s = user;
    cli_live_show(&s->live, "spread: %d of %d draws", done, total);
    return !*stop_wanted;
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
    if (s->no_quality || !s->by.reference.count) return VARIANT_OK;
    vt_data reference = s->taken.data;
    memcpy(reference.paths, s->by.reference.paths, sizeof reference.paths);
    reference.count = s->by.reference.count;
    reference.flat_whole = !s->taken.split_chosen;
    vt_draws draws = {
        .count = s->by.draws, .seed = s->asked.request.seed, .progress = show_draws, .user = s};
    vt_judge_options options = {.features = s->by.features,
                                .resize = s->by.resize,
                                .model = s->asked.engine.model,
                                .backend = s->asked.engine.backend,
                                .threads = s->asked.engine.threads,
                                .reference_count = s->by.reference_count,
                                .progress = show_reference,
                                .note = cli_note,
                                .user = s};
    VT_TRY(vt_sweep_quality_open(quality, &options, &reference, s->samples, &draws, engine, err));
    s->sweep.judge = &quality->judge;
    return VARIANT_OK;
}

static variant_status sweep_engine(settings *s, const variant_engine *engine, variant_error *err) {
    variant_status status = VARIANT_OK;
    const variant_info info = *variant_engine_info(engine);
    vt_sweep_quality quality = {0};
    vt_sweep_fill(&s->sweep, &info);
    s->sweep.engine = engine;
    s->sweep.subject = s->arch ? s->arch : s->asked.engine.model;
    s->sweep.synthetic = s->arch != NULL;
    s->sweep.folder = s->output;
    s->sweep.request = s->asked.request;
    s->sweep.progress = show_progress;
    s->sweep.user = s;
    stop_wanted = cli_catch_stop();
    cli_live_open(&s->live);
    VT_CHECK(open_quality(s, &quality, engine, err));
    VT_CHECK(vt_sweep_run(&s->sweep, err));
    VT_CHECK(print_results(s, s->sweep.folder, err));
cleanup:
    cli_live_clear(&s->live);
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
    bench_settings bench = {.asked.engine = *engine, .arch = s->arch, .repeat = 1};
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

/* ---- options ---- */

static bool read_selectors(void *user, const char *text) {
    settings *s = user;
    int places[VT_SWEEP_MAX_LIST];
    if (!cli_words(text, "equidistant|rounded|prefix", VT_SWEEP_MAX_LIST, places,
                   &s->sweep.selector_count))
        return false;
    for (int i = 0; i < s->sweep.selector_count; ++i)
        s->sweep.selectors[i] = vt_selector_name((vt_selector)places[i]);
    return true;
}

/* "1-2,3,5-7" */
static bool read_zones(void *user, const char *text) {
    settings *s = user;
    int zones[VT_SWEEP_MAX_LIST][2];
    if (!cli_ranges(text, 1, VARIANT_MAX_SCALES, VT_SWEEP_MAX_LIST, zones, &s->sweep.zone_count))
        return false;
    for (int i = 0; i < s->sweep.zone_count; ++i)
        s->sweep.zones[i] = (vt_sweep_zone){zones[i][0], zones[i][1]};
    return true;
}

static bool read_seeds(void *user, const char *text) {
    settings *s = user;
    return cli_seeds(text, VT_SWEEP_MAX_LIST, s->sweep.seeds, &s->sweep.seed_count);
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.taken = cli_data_defaults(),
                    .by = cli_scoring_defaults(),
                    .samples = 2000,
                    .sweep = {.repeat = 5, .pictures = 8, .cfg_count = 1, .cfg_scales = {1.5}}};
    cli_request_init(&s->asked);
    s->asked.request.batch = 1;
}

/* Where a request takes one depth, bridge, selector or guidance, a sweep takes several, under the request's name too. */
static const cli_option options[] = {
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine, CLI_MODEL),
    CLI_ROWS(cli_arch_option, const char *, settings, arch, NULL),
    CLI_HEADING("points"),
    {"output", "FOLDER", "where results go", .letter = 'o',
     CLI_TEXT(settings, output, "a folder for the results"), .own = true},
    {"depths", "D,D,..", "layers of the late scales",
     CLI_INTS(settings, sweep.depths, sweep.depth_count, 1, 1000), .also = "depth", .own = true,
     .unset = "all, and those trained, or a half, a quarter and an eighth"},
    {"bridges", "N,N,..", "scales at full depth before them",
     CLI_INTS(settings, sweep.bridges, sweep.bridge_count, 0, 1000), .also = "bridge", .own = true,
     .unset = "the model's own, 2 fewer, 2 more"},
    {"selectors", "S,S,..", "of equidistant, rounded, prefix", .read = read_selectors,
     .also = "layers", .own = true, .words = "equidistant|rounded|prefix", .unset = "as trained"},
    {"cfg-scales", "T,..", "classifier-free guidance, each {range}; 0: off",
     CLI_REALS(settings, sweep.cfg_scales, sweep.cfg_count, 0, 100), .also = "cfg-scale",
     .own = true},
    {"uncond-depths", "U,U,..",
     "layers of guidance's unconditional branch in the late scales, at most those of --depth; 0: "
     "as many; -1: as the model has it",
     CLI_INTS(settings, sweep.uncond_depths, sweep.uncond_count, -1, 1000), .also = "uncond-depth",
     .own = true, .unset = "-1"},
    {"cfg-lates", "X,X,..", "factors on guidance where that branch runs fewer layers, each {range}",
     CLI_REALS(settings, sweep.cfg_lates, sweep.late_count, 0, 100), .also = "cfg-late",
     .own = true, .unset = "as the model has it"},
    {"zones", "1-2,3-4,..", "zones of scales to run with fewer layers alone", .read = read_zones,
     .unset = "none"},
    {"zone-depth", "D", "layers inside a zone", CLI_INT(settings, sweep.zone_depth, 1, 1000),
     .unset = "the least of --depths"},
    {"repeat", "N", "timed runs a point, {range}, each after one that is discarded",
     CLI_INT(settings, sweep.repeat, 1, BENCH_MAX_REPEAT), .own = true},
    {"pictures", "N", "of the same seeds kept at each point for the report, {range}",
     CLI_INT(settings, sweep.pictures, 0, 256), .own = true},
    CLI_HEADING("quality, with a reference"),
    CLI_ROWS(cli_scoring_options, cli_scoring, settings, by, NULL),
    CLI_ROWS(cli_data_options, cli_data, settings, taken, CLI_PART_OF_DATA),
    {"count", "N", "pictures judged at each point, all classes alike", .letter = 'n',
     CLI_INT(settings, samples, 2, 10000000), .also = "samples", .own = true},
    {"seeds", "S,S-S,..",
     "judge each point with several seeds, such as 1-3: means, and their spread",
     .read = read_seeds, .own = true, .unset = "the one of --seed"},
    {"no-quality", NULL, "none, whatever else is given", CLI_FLAG(settings, no_quality)},
    CLI_HEADING("sampling"),
    /* no random one: the same command has to go on */
    {"seed", "S", "0 to 2^64 - 1", .letter = 's', CLI_U64(settings, asked.request.seed),
     .own = true},
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "class top-k top-p greedy smooth"),
    CLI_ROWS(cli_decoder_option, const char *, settings, asked.request.decoder, NULL),
    CLI_HEADING("running"),
    CLI_ROWS(cli_request_options, cli_request, settings, asked, "retain-kv batch"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    {"report-only", "FOLDER", "make FOLDER/report.html again from FOLDER/sweep.json",
     CLI_TEXT(settings, report_only, "the folder of a sweep")},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    {0},
};

/* -1 where what was asked makes sense together, else the exit status. */
static int check_usage(const settings *s, const cli_line *line) {
    const char *model = s->asked.engine.model;
    if (s->report_only && (s->arch || model || s->output))
        return cli_misuse("--report-only goes without -m, --arch and -o");
    if (s->report_only) return -1;
    if (!s->arch == !model) return cli_misuse("what to sweep? give either -m MODEL or --arch NAME");
    if (!s->output) return cli_misuse("where do results go? give -o FOLDER");
    if (s->no_quality) return -1;
    const char *quality = cli_first_given(line, "features|count|seeds");
    if (s->arch && (s->by.reference.count || quality))
        return cli_misuse("--arch has synthetic weights: there is no quality to measure");
    if (!s->by.reference.count && quality)
        return cli_misuse("quality beside what? give --reference DATA");
    return -1;
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    int done = cli_request_check(&s->asked, line);
    if (done < 0) done = check_usage(s, line);
    if (done >= 0) return done;
    vt_text command = {0};
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    describe_command(&command, line);
    s->sweep.command = command.data;
    if (s->report_only) {
        VT_CHECK(vt_report_write(s->report_only, &err));
        VT_CHECK(print_results(s, s->report_only, &err));
    } else {
        VT_CHECK(s->arch ? sweep_arch(s, &err) : sweep_model(s, &err));
    }
cleanup:
    vt_text_free(&command);
    return cli_end(status, &err);
}

const cli_command cli_sweep = {
    .name = COMMAND,
    .purpose = "one model at many depths: time, memory, and a report",
    .usage = "(-m MODEL | --arch NAME) -o FOLDER [options]\n"
             "--report-only FOLDER",
    .about =
        "Runs a model at every depth x bridge x selector x guidance x layers of the unconditional "
        "branch, and with fewer layers in one zone of scales alone: time by stage, keys and "
        "values, memory and quality of "
        "each point. FOLDER gets sweep.json, sweep.csv and report.html (one file, nothing "
        "from outside). Ctrl-C or a crash loses at most the point at work: the same command "
        "goes on, and more depths, zones, runs or a reference add to what is there.",
    .examples =
        "variant sweep -m models/fashion -o runs/sweep --depths 12,6,3,2 --bridges 2,4,6 "
        "--zones 1-2,3-4,5-7 \\\n"
        "    --reference /usr/share/datasets/fashion-mnist\n"
        "variant sweep --arch var-d30 --weights bf16 -o runs/d30 --depths 30,16,8,4,2 --bridges "
        "6 --repeat 1\n"
        "variant sweep -m models/fashion -o runs/guided --depths 12,6,3 --bridges 4 "
        "--uncond-depths 0,2 --cfg-scales "
        "1,1.5,2 \\\n"
        "    --reference /usr/share/datasets/fashion-mnist --seeds 1-3\n"
        "variant sweep --report-only runs/sweep",
    CLI_OF_THIS_FILE,
};

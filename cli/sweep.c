/* sweep.c - `variant sweep`: one model at many depths, and the report of it. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "data_options.h"
#include "progress.h"
#include "request.h"
#include "scoring.h"
#include "values.h"

#define COMMAND "sweep"

enum { MOST_REPEAT = 1000 };

/* As variant_sweep_options has them. */
typedef struct lists {
    int depths[VARIANT_SWEEP_LIST], depth_count;
    int bridges[VARIANT_SWEEP_LIST], bridge_count;
    const char *selectors[VARIANT_SWEEP_LIST];
    int selector_count;
    double cfg_scales[VARIANT_SWEEP_LIST];
    int cfg_count;
    int uncond_depths[VARIANT_SWEEP_LIST], uncond_count;
    double cfg_lates[VARIANT_SWEEP_LIST];
    int late_count;
    int zones[VARIANT_SWEEP_LIST][2], zone_count;
    uint64_t seeds[VARIANT_SWEEP_LIST];
    int seed_count;
} lists;

typedef struct settings {
    cli_request asked; /* the engine and what every point's request has alike */
    const char *arch, *output, *report_only;
    cli_scoring by;
    cli_data taken; /* which pictures of the reference, and how */
    int samples;    /* judged at each point */
    bool no_quality, json;
    lists sweep;
    int zone_depth, repeat, pictures;
    char *command; /* what repeats this */
    /* progress */
    cli_live live;
    cli_pace pace, reference_pace;
} settings;

/* ---- the command as it can be typed again ---- */

/* free() it; NULL: no memory. */
static char *describe_command(const cli_line *line) {
    char *text = NULL;
    size_t size;
    FILE *to = open_memstream(&text, &size);
    if (!to) return NULL;
    fputs("variant sweep", to);
    for (int i = 0; i < line->count; ++i) {
        const char *word = line->words[i];
        bool plain = word[0] && strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                             "0123456789-_./,=+:@%") == strlen(word);
        fputs(plain ? " " : " '", to);
        for (const char *p = word; *p; ++p) fprintf(to, *p == '\'' ? "'\\''" : "%c", *p);
        if (!plain) fputs("'", to);
    }
    fclose(to);
    return text;
}

/* ---- progress ---- */

static const volatile sig_atomic_t *stop_wanted;

static bool show_progress(void *user, const variant_sweep_progress *at) {
    settings *s = user;
    char left[64];
    if (at->id[0] == '\0') {
        cli_live_clear(&s->live);
        return true;
    }
    cli_left_text(cli_pace_left(&s->pace, cli_now(), 1e3 * at->share, 1e3), left, sizeof left);
    cli_live_show(&s->live, "%.0f %%, run %d of %d, %d of %d points, %s%s", 100.0 * at->share,
                  at->round, at->rounds, at->point, at->points, at->id, left);
    return !*stop_wanted;
}

static bool show_doing(void *user, const char *doing, int done, int total) {
    settings *s = user;
    char left[64];
    if (strcmp(doing, "spread") == 0) {
        cli_live_show(&s->live, "spread: %d of %d draws", done, total);
        return !*stop_wanted;
    }
    cli_left_text(cli_pace_left(&s->reference_pace, cli_now(), done, total), left, sizeof left);
    cli_live_show(&s->live, "reference: %d of %d pictures%s", done, total, left);
    return !*stop_wanted;
}

/* ---- results ---- */

/* The name of the score, where a point has one. */
static const char *score_name(const variant_sweep_point *const *points, int count) {
    for (int i = 0; i < count; ++i)
        if (points[i]->score[0]) return points[i]->score;
    return NULL;
}

static double or_zero(double value) {
    return isfinite(value) ? value : 0.0;
}

static void print_score(const variant_sweep_point *p) {
    char text[64] = "-";
    if (isfinite(p->distance)) snprintf(text, sizeof text, "%.3f", p->distance);
    if (isfinite(p->distance) && isfinite(p->distance_spread))
        variant_text_with_spread(text, sizeof text, p->distance, p->distance_spread, "+-");
    printf(" %16s", text);
}

static void print_points(const variant_sweep_point *const *points, int count, bool quality) {
    for (int i = 0; i < count; ++i) {
        const variant_sweep_point *p = points[i];
        char kv[32], memory[32];
        variant_text_bytes(kv, sizeof kv, or_zero(p->kv_peak_bytes));
        variant_text_bytes(memory, sizeof memory, or_zero(p->memory_bytes));
        printf("%-34s %-30s %9.2f ms %9.2f ms %9.2f ms %10s %10s", p->id, p->depths,
               or_zero(p->picture_ms), or_zero(p->transformer_ms), or_zero(p->decoder_ms), kv,
               memory);
        if (quality) print_score(p);
        printf("%s%s\n", p->doubt[0] ? "  " : "", p->doubt);
    }
}

static int count_doubts(const variant_sweep_point *const *points, int count) {
    int doubts = 0;
    for (int i = 0; i < count; ++i) doubts += points[i]->doubt[0] != '\0';
    return doubts;
}

static void print_json(const variant_sweep_results *f, const char *folder, int doubts) {
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

static void print_table(const variant_sweep_results *f, const char *folder, int doubts) {
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
    variant_sweep_results *f;
    CLI_TRY(variant_sweep_read(&f, folder, err));
    const int doubts =
        count_doubts(f->points, f->point_count) + count_doubts(f->zones, f->zone_count);
    if (s->json)
        print_json(f, folder, doubts);
    else
        print_table(f, folder, doubts);
    variant_sweep_results_free(&f);
    return VARIANT_OK;
}

/* ---- the sweep ---- */

static variant_sweep_options options_of(settings *s) {
    const lists *l = &s->sweep;
    variant_sweep_options o;
    variant_sweep_options_init(&o);
    o.folder = s->output;
    o.name = s->arch ? s->arch : s->asked.engine.model;
    o.command = s->command;
    o.depths = l->depths, o.depth_count = l->depth_count;
    o.bridges = l->bridges, o.bridge_count = l->bridge_count;
    o.selectors = l->selectors, o.selector_count = l->selector_count;
    o.cfg_scales = l->cfg_scales, o.cfg_count = l->cfg_count;
    o.uncond_depths = l->uncond_depths, o.uncond_count = l->uncond_count;
    o.cfg_lates = l->cfg_lates, o.late_count = l->late_count;
    o.zones = &l->zones[0][0], o.zone_count = l->zone_count;
    o.zone_depth = s->zone_depth;
    o.repeat = s->repeat;
    o.pictures = s->pictures;
    o.reference_count = s->by.reference_count;
    o.samples = s->samples;
    o.features = s->by.features;
    o.model = s->asked.engine.model;
    o.resize = s->by.resize;
    o.draws = s->by.draws;
    o.seeds = l->seeds, o.seed_count = l->seed_count;
    o.backend = s->asked.engine.backend;
    o.threads = s->asked.engine.threads;
    o.progress = show_progress;
    o.doing = show_doing;
    o.note = cli_note;
    o.user = s;
    return o;
}

static variant_status sweep(settings *s, variant_error *err) {
    const variant_engine_options *asked = &s->asked.engine;
    const variant_data reference = cli_scoring_reference(&s->by, &s->taken);
    const bool quality = !s->no_quality && s->by.reference.count;
    variant_sweep_options options = options_of(s);
    variant_engine *engine = NULL;
    if (quality) options.reference = &reference;
    CLI_TRY(s->arch ? variant_engine_synthesize(&engine, s->arch, NULL, asked, err)
                    : variant_engine_open(&engine, asked, err));
    stop_wanted = cli_catch_stop();
    cli_live_open(&s->live);
    variant_status status = quality ? cli_scoring_check(&s->by, asked->model, err) : VARIANT_OK;
    if (status == VARIANT_OK) status = variant_sweep(engine, &s->asked.request, &options, err);
    if (status == VARIANT_OK) status = print_results(s, s->output, err);
    cli_live_clear(&s->live);
    variant_engine_close(&engine);
    return status;
}

/* ---- options ---- */

static bool read_selectors(void *user, const char *text) {
    settings *s = user;
    static const char *const names[] = {"equidistant", "rounded", "prefix"};
    int places[VARIANT_SWEEP_LIST];
    if (!cli_words(text, "equidistant|rounded|prefix", VARIANT_SWEEP_LIST, places,
                   &s->sweep.selector_count))
        return false;
    for (int i = 0; i < s->sweep.selector_count; ++i) s->sweep.selectors[i] = names[places[i]];
    return true;
}

/* "1-2,3,5-7" */
static bool read_zones(void *user, const char *text) {
    settings *s = user;
    return cli_ranges(text, 1, VARIANT_MAX_SCALES, VARIANT_SWEEP_LIST, s->sweep.zones,
                      &s->sweep.zone_count);
}

static bool read_seeds(void *user, const char *text) {
    settings *s = user;
    return cli_seeds(text, VARIANT_SWEEP_LIST, s->sweep.seeds, &s->sweep.seed_count);
}

static void init(void *user) {
    settings *s = user;
    *s = (settings){.taken = cli_data_defaults(),
                    .by = cli_scoring_defaults(),
                    .samples = 2000,
                    .repeat = 5,
                    .pictures = 8,
                    .sweep = {.cfg_count = 1, .cfg_scales = {1.5}}};
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
    {"zone-depth", "D", "layers inside a zone", CLI_INT(settings, zone_depth, 1, 1000),
     .unset = "the least of --depths"},
    {"repeat", "N", "timed runs a point, {range}, each after one that is discarded",
     CLI_INT(settings, repeat, 1, MOST_REPEAT), .own = true},
    {"pictures", "N", "of the same seeds kept at each point for the report, {range}",
     CLI_INT(settings, pictures, 0, 256), .own = true},
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
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    s->command = describe_command(line);
    if (s->report_only) {
        CLI_CHECK(variant_sweep_report(s->report_only, &err));
        CLI_CHECK(print_results(s, s->report_only, &err));
    } else {
        CLI_CHECK(sweep(s, &err));
    }
cleanup:
    free(s->command);
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
    .opens = true,
    CLI_OF_THIS_FILE,
};

/* sweep.c - `variant sweep`: one model at many depths, and the report of it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "bench.h"
#include "core/clock.h"
#include "core/status.h"
#include "eval/report.h"
#include "eval/sweep.h"
#include "eval/text.h"

static const char help[] =
    "usage: variant sweep (-m MODEL | --arch NAME) -o FOLDER [options]\n"
    "       variant sweep --report-only FOLDER\n"
    "\n"
    "Runs a model at every depth x bridge x selector x guidance, and with fewer layers in one zone "
    "of\n"
    "scales alone: time by stage, keys and values, memory of each point. FOLDER gets sweep.json,\n"
    "sweep.csv and report.html (one file, nothing from outside). Ctrl-C or a crash loses at most "
    "the\n"
    "point at work: the same command goes on, and more depths or zones add to what is there.\n"
    "\n"
    "options\n" CLI_MODEL_HELP
    "      --arch NAME        synthetic weights instead of a model: time and memory of var-d16,\n"
    "                         var-d20, var-d24, var-d30, or a configuration as `variant synth` "
    "reads it\n"
    "  -o, --output FOLDER    where results go\n"
    "      --depths D,D,..    layers of the late scales (default: all, and those trained, or a "
    "half,\n"
    "                         a quarter and an eighth)\n"
    "      --bridges N,N,..   scales at full depth before them (default: the model's own, 2 fewer, "
    "2 more)\n"
    "      --selectors S,S,.. of equidistant (default), rounded, prefix\n"
    "      --cfg-scales T,..  classifier-free guidance (default 1.5; 0: off)\n"
    "      --zones 1-2,3-4,.. zones of scales to run with fewer layers alone (default: none)\n"
    "      --zone-depth D     layers inside a zone (default: the least of --depths)\n"
    "      --batch N          pictures at a time (default 1)\n"
    "      --repeat N         timed runs a point, after one that is discarded (default 5)\n"
    "      --pictures N       of the same seeds kept at each point for the report (default 8; 0: "
    "none)\n"
    "  -s, --seed S           default 0\n"
    "      --class C          number, name, random (default), all, uncond: of the timed pictures\n"
    "      --top-k K          default 900; 0: off\n"
    "      --top-p P          default 0.96; 0: off\n" CLI_PRECISION_HELP
    "      --report-only FOLDER  make FOLDER/report.html again from FOLDER/sweep.json\n"
    "      --json             one object on stdout: folder, points, report\n" CLI_RUN_HELP "\n"
    "examples\n"
    "  variant sweep -m models/fashion -o runs/sweep --depths 8,4,2 --bridges 2,4,6 --zones "
    "1-2,3-4,5-7\n"
    "  variant sweep --arch var-d30 --weights bf16 -o runs/d30 --depths 30,16,8,4,2 --bridges 6 "
    "--repeat 1\n"
    "  variant sweep --report-only runs/sweep\n";

enum {
    OPT_ARCH = CLI_OWN,
    OPT_DEPTHS,
    OPT_BRIDGES,
    OPT_SELECTORS,
    OPT_CFG,
    OPT_ZONES,
    OPT_ZONE_DEPTH,
    OPT_BATCH,
    OPT_REPEAT,
    OPT_PICTURES,
    OPT_CLASS,
    OPT_TOP_K,
    OPT_TOP_P,
    OPT_REPORT
};

static const struct option long_options[] = {
    {"arch", required_argument, NULL, OPT_ARCH},
    {"output", required_argument, NULL, 'o'},
    {"depths", required_argument, NULL, OPT_DEPTHS},
    {"bridges", required_argument, NULL, OPT_BRIDGES},
    {"selectors", required_argument, NULL, OPT_SELECTORS},
    {"cfg-scales", required_argument, NULL, OPT_CFG},
    {"zones", required_argument, NULL, OPT_ZONES},
    {"zone-depth", required_argument, NULL, OPT_ZONE_DEPTH},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"repeat", required_argument, NULL, OPT_REPEAT},
    {"pictures", required_argument, NULL, OPT_PICTURES},
    {"seed", required_argument, NULL, 's'},
    {"class", required_argument, NULL, OPT_CLASS},
    {"top-k", required_argument, NULL, OPT_TOP_K},
    {"top-p", required_argument, NULL, OPT_TOP_P},
    {"report-only", required_argument, NULL, OPT_REPORT},
    {"json", no_argument, NULL, CLI_JSON},
    CLI_MODEL_OPTIONS,
    CLI_PRECISION_OPTIONS,
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    const char *arch, *report_only;
    vt_sweep_options sweep;
    char words[VT_SWEEP_MAX_LIST][16]; /* selectors, as sweep.selectors points at them */
    /* progress */
    double started, shown;
} settings;

/* ---- options ---- */

/* "8,4,2" into out. */
static bool read_ints(const char *text, long low, long high, int *out, int *count) {
    *count = 0;
    for (const char *p = text; *count < VT_SWEEP_MAX_LIST;) {
        char *end;
        long value = strtol(p, &end, 10);
        if (end == p || value < low || value > high) return false;
        out[(*count)++] = (int)value;
        if (*end == '\0') return true;
        if (*end != ',') return false;
        p = end + 1;
    }
    return false;
}

static bool read_guidances(settings *s, const char *text) {
    s->sweep.cfg_count = 0;
    for (const char *p = text; s->sweep.cfg_count < VT_SWEEP_MAX_LIST;) {
        char *end;
        double value = strtod(p, &end);
        if (end == p || !(value >= 0.0 && value <= 100.0)) return false;
        s->sweep.cfg_scales[s->sweep.cfg_count++] = value;
        if (*end == '\0') return true;
        if (*end != ',') return false;
        p = end + 1;
    }
    return false;
}

static bool read_selectors(settings *s, const char *text) {
    static const char *const known[] = {"equidistant", "rounded", "prefix"};
    s->sweep.selector_count = 0;
    for (const char *p = text; s->sweep.selector_count < VT_SWEEP_MAX_LIST; ++p) {
        size_t length = strcspn(p, ",");
        char *word = s->words[s->sweep.selector_count];
        bool found = false;
        if (length >= sizeof s->words[0]) return false;
        memcpy(word, p, length);
        word[length] = '\0';
        for (size_t i = 0; i < sizeof known / sizeof *known; ++i)
            found = found || strcmp(word, known[i]) == 0;
        if (!found) return false;
        s->sweep.selectors[s->sweep.selector_count++] = word;
        p += length;
        if (*p == '\0') return true;
    }
    return false;
}

/* "1-2,3,5-7" */
static bool read_zones(settings *s, const char *text) {
    s->sweep.zone_count = 0;
    for (const char *p = text; s->sweep.zone_count < VT_SWEEP_MAX_LIST;) {
        char *end;
        long first = strtol(p, &end, 10), last = first;
        if (end == p) return false;
        if (*end == '-') {
            p = end + 1;
            last = strtol(p, &end, 10);
            if (end == p) return false;
        }
        if (first < 1 || last < first || last > VARIANT_MAX_SCALES) return false;
        s->sweep.zones[s->sweep.zone_count++] = (vt_sweep_zone){(int)first, (int)last};
        if (*end == '\0') return true;
        if (*end != ',') return false;
        p = end + 1;
    }
    return false;
}

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    vt_sweep_options *o = &s->sweep;
    double number;
    switch (id) {
    case OPT_ARCH:
        s->arch = text;
        return true;
    case OPT_DEPTHS:
        return read_ints(text, 1, 1000, o->depths, &o->depth_count);
    case OPT_BRIDGES:
        return read_ints(text, 0, 1000, o->bridges, &o->bridge_count);
    case OPT_SELECTORS:
        return read_selectors(s, text);
    case OPT_CFG:
        return read_guidances(s, text);
    case OPT_ZONES:
        return read_zones(s, text);
    case OPT_ZONE_DEPTH:
        return cli_int(text, 1, 1000, &o->zone_depth);
    case OPT_BATCH:
        return cli_int(text, 1, 4096, &o->request.batch);
    case OPT_REPEAT:
        return cli_int(text, 1, BENCH_MAX_REPEAT, &o->repeat);
    case OPT_PICTURES:
        return cli_int(text, 0, 256, &o->pictures);
    case 's':
        return cli_u64(text, &o->request.seed);
    case OPT_CLASS:
        o->request.class_name = text;
        return true;
    case OPT_TOP_K:
        return cli_int(text, 0, 1 << 24, &o->request.top_k);
    case OPT_TOP_P:
        if (!cli_double(text, 0, 1, &number)) return false;
        o->request.top_p = (float)number;
        return true;
    case OPT_REPORT:
        s->report_only = text;
        return true;
    }
    return cli_model_option(&s->model, id, text) == 1;
}

/* What the user left open, from the model. */
static void fill_defaults(vt_sweep_options *o, const variant_info *info) {
    if (!o->depth_count) {
        o->depths[o->depth_count++] = info->depth;
        for (int i = 0; i < info->depth_count; ++i) o->depths[o->depth_count++] = info->depths[i];
        for (int part = 2; part <= 8 && !info->depth_count; part *= 2)
            if (info->depth / part >= 1) o->depths[o->depth_count++] = info->depth / part;
    }
    if (!o->bridge_count) {
        int own = info->supernet ? info->bridge : (6 * info->scales + 5) / 10;
        for (int n = own - 2; n <= own + 2; n += 2)
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

static volatile sig_atomic_t stop_wanted;

static void on_signal(int number) {
    (void)number;
    stop_wanted = 1;
}

static void catch_signals(void) { /* a second one ends at once */
    struct sigaction action = {.sa_handler = on_signal, .sa_flags = (int)SA_RESETHAND};
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

static bool show_progress(void *user, const vt_sweep_progress *at) {
    settings *s = user;
    double now = vt_seconds();
    bool ended = at->id[0] == '\0';
    if (stop_wanted && !ended) return false;
    if (s->model.json || !isatty(STDERR_FILENO) || (!ended && now - s->shown < 0.2)) return true;
    s->shown = now;
    double done = at->point - at->resumed + at->within, left = at->points - at->point - at->within;
    fprintf(stderr, "\r\033[K");
    if (ended) return true;
    fprintf(stderr, "%d of %d points, %s %.0f %%", at->point, at->points, at->id,
            100.0 * at->within);
    if (done > 0.02) {
        int seconds = (int)((now - s->started) / done * left + 0.5);
        fprintf(stderr, ", %d:%02d:%02d left", seconds / 3600, seconds / 60 % 60, seconds % 60);
    }
    return true;
}

/* ---- results ---- */

static double number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0.0;
}

static void print_points(const cJSON *list) {
    const cJSON *point;
    cJSON_ArrayForEach(point, list) {
        const cJSON *depths = cJSON_GetObjectItemCaseSensitive(point, "depths");
        const cJSON *id = cJSON_GetObjectItemCaseSensitive(point, "id");
        char kv[32], memory[32];
        vt_text_bytes(kv, sizeof kv, number(point, "kv_peak_bytes"));
        vt_text_bytes(memory, sizeof memory, number(point, "memory_bytes"));
        printf("%-34s %-30s %9.2f ms %9.2f ms %9.2f ms %10s %10s\n",
               cJSON_IsString(id) ? id->valuestring : "",
               cJSON_IsString(depths) ? depths->valuestring : "", number(point, "picture_ms"),
               number(point, "transformer_ms"), number(point, "decoder_ms"), kv, memory);
    }
}

static variant_status print_results(const settings *s, const char *folder, variant_error *err) {
    cJSON *state = NULL;
    VT_TRY(vt_sweep_state_read(&state, folder, err));
    const cJSON *points = cJSON_GetObjectItemCaseSensitive(state, "points");
    const cJSON *zones = cJSON_GetObjectItemCaseSensitive(state, "zones");
    if (s->model.json) {
        char path[4096];
        cJSON *summary = cJSON_CreateObject();
        snprintf(path, sizeof path, "%s/report.html", folder);
        cJSON_AddStringToObject(summary, "folder", folder);
        cJSON_AddNumberToObject(summary, "points", cJSON_GetArraySize(points));
        cJSON_AddNumberToObject(summary, "zones", cJSON_GetArraySize(zones));
        cJSON_AddStringToObject(summary, "report", path);
        char *text = cJSON_PrintUnformatted(summary);
        printf("%s\n", text ? text : "{}");
        cJSON_free(text);
        cJSON_Delete(summary);
    } else {
        printf("%-34s %-30s %12s %12s %12s %10s %10s\n", "point", "layers by scale", "picture",
               "transformer", "decoder", "kv at most", "memory");
        print_points(points);
        print_points(zones);
        printf("wrote %s/report.html, sweep.json, sweep.csv\n", folder);
    }
    cJSON_Delete(state);
    return VARIANT_OK;
}

/* ---- the sweep ---- */

static variant_status sweep_engine(settings *s, const variant_engine *engine, variant_error *err) {
    variant_info info;
    variant_engine_info(engine, &info);
    fill_defaults(&s->sweep, &info);
    s->sweep.engine = engine;
    s->sweep.subject = s->arch ? s->arch : s->model.model;
    s->sweep.synthetic = s->arch != NULL;
    s->sweep.folder = s->model.output;
    s->sweep.progress = show_progress;
    s->sweep.user = s;
    s->started = vt_seconds();
    catch_signals();
    variant_status status = vt_sweep_run(&s->sweep, err);
    if (status != VARIANT_OK && s->shown > 0.0) fprintf(stderr, "\r\033[K");
    return status == VARIANT_OK ? print_results(s, s->sweep.folder, err) : status;
}

static variant_status sweep_model(settings *s, variant_error *err) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = s->model.model;
    options.tokenizer = s->model.tokenizer;
    options.sides = s->model.sides;
    options.heads = s->model.heads;
    options.backend = s->model.backend;
    options.threads = s->model.threads;
    options.weights = s->model.weights;
    options.kv = s->model.kv;
    VT_TRY(variant_engine_open(&engine, &options, err));
    variant_status status = sweep_engine(s, engine, err);
    variant_engine_close(&engine);
    return status;
}

static variant_status sweep_arch(settings *s, variant_error *err) {
    bench_settings bench = {.model = s->model, .arch = s->arch, .repeat = 1};
    bench_subject subject = {0};
    variant_status status = bench_subject_open(&subject, &bench, err);
    if (status == VARIANT_OK) {
        variant_engine engine =
            vt_engine_around(subject.kern, subject.model, subject.weights, subject.kv);
        status = sweep_engine(s, &engine, err);
    }
    bench_subject_close(&subject);
    return status;
}

int cli_sweep(int argc, char **argv) {
    settings s = {.sweep = {.repeat = 5,
                            .pictures = 8,
                            .cfg_count = 1,
                            .cfg_scales = {1.5},
                            .selector_count = 1,
                            .selectors = {"equidistant"}}};
    variant_request_init(&s.sweep.request);
    s.sweep.request.batch = 1;
    vt_text command = {0};
    describe_command(&command, argc, argv); /* before getopt puts operands last */
    cli_parser parser = {"sweep", help, ":m:o:s:t:h", long_options, accept, &s};
    variant_error err = {0};
    variant_status status = VARIANT_OK;
    int done = cli_parse(&parser, argc, argv);
    if (done < 0 && optind < argc)
        done = cli_usage("sweep", "unexpected argument %s", argv[optind]);
    if (done < 0 && s.report_only && (s.arch || s.model.model || s.model.output))
        done = cli_usage("sweep", "--report-only goes without -m, --arch and -o");
    if (done < 0 && !s.report_only && !s.arch == !s.model.model)
        done = cli_usage("sweep", "what to sweep? give either -m MODEL or --arch NAME");
    if (done < 0 && !s.report_only && !s.model.output)
        done = cli_usage("sweep", "where do results go? give -o FOLDER");
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
    return status == VARIANT_OK ? 0 : cli_fail("sweep", &err);
}

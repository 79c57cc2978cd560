/* bench.c - `variant bench`: how long pictures take, stage by stage and scale by scale, beside the
 * least they could take on this machine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "engine/engine.h"
#include "engine/floor.h"
#include "io/file.h"
#include "selftest/golden_config.h"
#include "tools.h"

#define MAX_REPEAT 1000

static const char help[] =
    "usage: variant bench (-m MODEL | --arch NAME) [options]\n"
    "\n"
    "Times generation, one batch of pictures at a time with guidance, after a warm-up; prints "
    "medians. Beside each\n"
    "time stands its floor: the larger of arithmetic at the register peak and bytes at the memory "
    "bandwidth, both\n"
    "measured in this process. float32.\n"
    "\n"
    "options\n" CLI_MODEL_HELP "      --arch NAME        synthetic weights instead of a model: "
    "var-d16, var-d20, var-d24, var-d30, or a\n"
    "                         configuration as `variant synth` reads it\n"
    "      --depth D          layers of the late scales (default: all)\n"
    "      --bridge N         scales at full depth before them\n"
    "      --layers WHICH     equidistant (default), rounded, prefix, a list, or one list a scale\n"
    "      --batch N          pictures at a time (default 1)\n"
    "      --repeat N         runs counted (default 5)\n"
    "      --json             one object on stdout\n" CLI_RUN_HELP "\n"
    "examples\n"
    "  variant bench -m models/fashion --depth 4\n"
    "  variant bench --arch var-d16 --depth 8 --bridge 6 --repeat 3 --json\n";

enum { OPT_ARCH = CLI_OWN, OPT_DEPTH, OPT_BRIDGE, OPT_LAYERS, OPT_BATCH, OPT_REPEAT };

static const struct option long_options[] = {
    {"arch", required_argument, NULL, OPT_ARCH},
    {"depth", required_argument, NULL, OPT_DEPTH},
    {"bridge", required_argument, NULL, OPT_BRIDGE},
    {"layers", required_argument, NULL, OPT_LAYERS},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"repeat", required_argument, NULL, OPT_REPEAT},
    {"json", no_argument, NULL, CLI_JSON},
    CLI_MODEL_OPTIONS,
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    const char *arch;
    variant_request request;
    int repeat;
} settings;

/* Medians in milliseconds. */
typedef struct bench_figures {
    double picture, transformer, decoder, first_scale, load; /* load: -1 for synthetic weights */
    double transformer_floor, decoder_floor;
    double scale[VARIANT_MAX_SCALES], scale_floor[VARIANT_MAX_SCALES];
    variant_report last; /* of the last run: bytes, layers */
} bench_figures;

/* What is timed: opened from files, or built from a formula. */
typedef struct bench_subject {
    vt_kern *kern;
    vt_model *model;
    bool synthetic;
    double load_seconds;
} bench_subject;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    switch (id) {
    case OPT_ARCH:
        s->arch = text;
        return true;
    case OPT_DEPTH:
        return cli_int(text, 1, 1000, &s->request.depth);
    case OPT_BRIDGE:
        return cli_int(text, 0, 1000, &s->request.bridge);
    case OPT_LAYERS:
        s->request.layers = text;
        return true;
    case OPT_BATCH:
        return cli_int(text, 1, 4096, &s->request.batch);
    case OPT_REPEAT:
        return cli_int(text, 1, MAX_REPEAT, &s->repeat);
    }
    return cli_model_option(&s->model, id, text) == 1;
}

/* ---- the subject ---- */

/* The published shapes: width 64 d, d heads, d layers, and the tokenizer they share. */
static const char published[] = "{\"seed\": \"bench\", \"depth\": %d, \"width\": %d, \"heads\": "
                                "%d, \"V\": 4096, \"Cvae\": 32, \"classes\": 1000,"
                                " \"patch_nums\": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16], "
                                "\"attn_l2_norm\": true, \"shared_aln\": false,"
                                " \"ch\": 160, \"ch_mult\": [1, 1, 2, 2, 4], \"nres\": 2}";

static variant_status read_arch(const char *arch, vt_golden_config *out, variant_error *err) {
    static const int depths[] = {16, 20, 24, 30};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; ++i) {
        char name[16], text[sizeof published + 32];
        snprintf(name, sizeof name, "var-d%d", depths[i]);
        if (strcmp(arch, name) != 0) continue;
        snprintf(text, sizeof text, published, depths[i], 64 * depths[i], depths[i]);
        return vt_golden_config_parse(out, text, arch, err);
    }
    char *text = NULL;
    VT_TRY(vt_file_read_text(&text, arch, 1 << 20, err));
    variant_status status = vt_golden_config_parse(out, text, arch, err);
    free(text);
    return status;
}

static variant_status build_synthetic(bench_subject *out, const char *arch, variant_error *err) {
    vt_golden_config config = {0};
    variant_status status = VARIANT_OK;
    out->synthetic = true;
    out->model = calloc(1, sizeof *out->model);
    if (!out->model) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a model");
    vt_model *model = out->model;
    model->kern = out->kern;
    VT_CHECK(read_arch(arch, &config, err));
    VT_CHECK(vt_tokenizer_open(&model->tokenizer, out->kern, &config.tokenizer, err));
    VT_CHECK(vt_params_synthesize(vt_tokenizer_params(model->tokenizer), config.seed, "vae", err));
    VT_CHECK(vt_params_prepare(vt_tokenizer_params(model->tokenizer), err));
    VT_CHECK(vt_transformer_open(&model->transformer, out->kern, &config.transformer, err));
    VT_CHECK(
        vt_params_synthesize(vt_transformer_params(model->transformer), config.seed, "var", err));
    VT_CHECK(vt_transformer_prepare(model->transformer, err));
cleanup:
    vt_golden_config_free(&config);
    return status;
}

static variant_status open_subject(bench_subject *out, const settings *s, variant_error *err) {
    *out = (bench_subject){0};
    double start = vt_seconds();
    VT_TRY(vt_kern_open(&out->kern, s->model.backend, s->model.threads, err));
    if (!out->kern->peak_flops)
        return vt_fail(err, VARIANT_E_UNSUPPORTED, "backend %s has no probes to measure against",
                       out->kern->name);
    if (s->arch) return build_synthetic(out, s->arch, err);
    vt_model_options options;
    vt_model_options_init(&options);
    options.model = s->model.model;
    options.tokenizer = s->model.tokenizer;
    options.sides = s->model.sides;
    options.heads = s->model.heads;
    VT_TRY(vt_model_open(&out->model, out->kern, &options, err));
    out->load_seconds = vt_seconds() - start;
    return VARIANT_OK;
}

static void close_subject(bench_subject *s) {
    vt_model_close(&s->model);
    vt_kern_close(&s->kern);
}

/* ---- measuring ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Median of one double, `offset` bytes into each report, in milliseconds. */
static double median_ms(const variant_report *reports, int count, size_t offset) {
    double values[MAX_REPEAT];
    for (int i = 0; i < count; ++i)
        memcpy(&values[i], (const char *)&reports[i] + offset, sizeof *values);
    qsort(values, (size_t)count, sizeof *values, ascending);
    return 500.0 * (values[(count - 1) / 2] + values[count / 2]);
}

static variant_status time_runs(const bench_subject *subject, const settings *s,
                                variant_report *reports, variant_error *err) {
    variant_engine engine = vt_engine_around(subject->kern, subject->model);
    for (int i = -1; i < s->repeat; ++i) { /* the run before the first warms up */
        variant_report *report = &reports[i < 0 ? 0 : i];
        variant_picture *pictures = NULL;
        VT_TRY(variant_generate(&engine, &s->request, &pictures, report, err));
        variant_pictures_free(&pictures, s->request.count);
    }
    return VARIANT_OK;
}

static variant_status add_floors(const bench_subject *subject, const settings *s, bench_figures *f,
                                 variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->model->transformer);
    const vt_supernet_info *supernet = &subject->model->supernet;
    vt_schedule schedule;
    vt_schedule_request words = {
        .layers = s->request.layers,
        .depth = s->request.depth,
        .bridge = s->request.bridge,
        .default_bridge = supernet->trained ? supernet->bridge : (6 * config->scales + 5) / 10};
    VT_TRY(vt_schedule_resolve(&schedule, config->scales, config->depth, &words, err));
    vt_machine_limits limits = {subject->kern->peak_flops(subject->kern),
                                subject->kern->stream_bytes(subject->kern)};
    for (int k = 0; k < config->scales; ++k) {
        f->scale_floor[k] =
            1e3 * vt_floor_scale(config, &schedule, k, 2 * s->request.batch, limits);
        f->transformer_floor += f->scale_floor[k];
    }
    f->transformer_floor += 1e3 * vt_floor_condition(config, &schedule, 2, limits);
    f->decoder_floor = 1e3 * vt_floor_decoder(vt_tokenizer_configuration(subject->model->tokenizer),
                                              s->request.batch, limits);
    return VARIANT_OK;
}

static void take_figures(bench_figures *f, const bench_subject *subject,
                         const variant_report *reports, int count) {
    f->last = reports[count - 1];
    f->picture = median_ms(reports, count, offsetof(variant_report, total_seconds));
    f->transformer = median_ms(reports, count, offsetof(variant_report, transformer_seconds)) +
                     median_ms(reports, count, offsetof(variant_report, condition_seconds));
    f->decoder = median_ms(reports, count, offsetof(variant_report, decoder_seconds));
    for (int k = 0; k < f->last.scales; ++k)
        f->scale[k] = median_ms(
            reports, count, offsetof(variant_report, scale_seconds) + (size_t)k * sizeof(double));
    f->load = subject->synthetic ? -1.0 : 1e3 * subject->load_seconds;
    f->first_scale = (subject->synthetic ? 0.0 : f->load) + f->scale[0] +
                     median_ms(reports, count, offsetof(variant_report, condition_seconds));
}

/* ---- reporting ---- */

static void print_json(const bench_subject *subject, const settings *s, const bench_figures *f) {
    const int *sides = vt_transformer_configuration(subject->model->transformer)->sides;
    printf("{\"subject\": \"%s\", \"synthetic\": %s, \"batch\": %d, \"repeat\": %d, \"depths\": "
           "\"%s\", \"picture_ms\": %.3f, "
           "\"transformer_ms\": %.3f, \"transformer_floor_ms\": %.3f, \"decoder_ms\": %.3f, "
           "\"decoder_floor_ms\": %.3f, ",
           s->arch ? s->arch : subject->model->hash, subject->synthetic ? "true" : "false",
           s->request.batch, s->repeat, f->last.depths, f->picture / s->request.batch,
           f->transformer, f->transformer_floor, f->decoder, f->decoder_floor);
    if (f->load >= 0.0)
        printf("\"load_ms\": %.3f, ", f->load);
    else
        printf("\"load_ms\": null, ");
    printf("\"first_scale_ms\": %.3f, \"kv_bytes\": %zu, \"peak_rss_bytes\": %zu, \"kernels\": "
           "\"%s\", \"scales\": [",
           f->first_scale, f->last.kv_peak_bytes, f->last.peak_resident_bytes,
           subject->kern->details);
    for (int k = 0; k < f->last.scales; ++k)
        printf("%s{\"side\": %d, \"layers\": %d, \"ms\": %.3f, \"floor_ms\": %.3f}", k ? ", " : "",
               sides[k], f->last.scale_layers[k], f->scale[k], f->scale_floor[k]);
    printf("]}\n");
}

static void print_row(const char *name, double ms, double floor_ms) {
    printf("  %-16s %10.2f ms %10.2f ms %7.2f\n", name, ms, floor_ms,
           floor_ms > 0.0 ? ms / floor_ms : 0.0);
}

static void print_table(const bench_subject *subject, const settings *s, const bench_figures *f) {
    const int *sides = vt_transformer_configuration(subject->model->transformer)->sides;
    printf("%s%s, batch %d, guidance on, %d runs\n%s\n", s->arch ? s->arch : s->model.model,
           subject->synthetic ? " (synthetic weights)" : "", s->request.batch, s->repeat,
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
    if (f->load >= 0.0)
        printf("  %.1f ms to load, %.1f ms to the first scale\n", f->load, f->first_scale);
    printf("  kv %zu bytes at most, %.1f MB resident at most\n", f->last.kv_peak_bytes,
           (double)f->last.peak_resident_bytes / 1e6);
}

int cli_bench(int argc, char **argv) {
    settings s = {.repeat = 5};
    variant_request_init(&s.request);
    s.request.batch = 1;
    s.request.class_name = "0";
    cli_parser parser = {"bench", help, ":m:t:h", long_options, accept, &s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (optind < argc) return cli_usage("bench", "unexpected argument %s", argv[optind]);
    if (!s.arch == !s.model.model)
        return cli_usage("bench", "what to time? give either -m MODEL or --arch NAME");
    s.request.count = s.request.batch;

    variant_error err = {0};
    bench_subject subject = {0};
    bench_figures figures = {0};
    variant_status status = VARIANT_OK;
    variant_report *reports = calloc((size_t)s.repeat, sizeof *reports);
    if (!reports) VT_CHECK(vt_fail(&err, VARIANT_E_MEMORY, "no memory for %d reports", s.repeat));
    VT_CHECK(open_subject(&subject, &s, &err));
    VT_CHECK(time_runs(&subject, &s, reports, &err));
    VT_CHECK(add_floors(&subject, &s, &figures, &err)); /* after: the probe's memory is not theirs */
    take_figures(&figures, &subject, reports, s.repeat);
    if (s.model.json)
        print_json(&subject, &s, &figures);
    else
        print_table(&subject, &s, &figures);
cleanup:
    free(reports);
    close_subject(&subject);
    return status == VARIANT_OK ? 0 : cli_fail("bench", &err);
}

/* bench_measure.c - what `variant bench` times: a model from files or of a published shape on synthetic
 * weights, run repeatedly; and the floors beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "engine/branches.h"
#include "io/file.h"
#include "kern/memory_pool.h"
#include "kern/watch.h"
#include "selftest/golden_config.h"

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
    CLI_TRY(vt_file_read_text(&text, arch, 1 << 20, err));
    variant_status status = vt_golden_config_parse(out, text, arch, err);
    free(text);
    return status;
}

/* As `variant synth --preview small` writes it. */
static variant_status synthesize_preview(bench_subject *out, const vt_golden_config *config,
                                         variant_error *err) {
    vt_preview_config shape;
    CLI_TRY(vt_preview_config_choose(&shape, &config->tokenizer, "small", err));
    CLI_TRY(vt_preview_open(&out->model->preview, out->kern, &config->tokenizer, &shape, err));
    vt_params *params = vt_preview_params(out->model->preview);
    vt_params_set_type(params, out->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16,
                       false);
    CLI_TRY(vt_params_synthesize(params, config->seed, "vae", err));
    return vt_params_prepare(params, err);
}

static variant_status build_synthetic(bench_subject *out, const char *arch, bool preview,
                                      variant_error *err) {
    vt_golden_config config = {0};
    variant_status status = VARIANT_OK;
    out->synthetic = true;
    CLI_TRY(vt_model_new(&out->model, out->kern, err));
    vt_model *model = out->model;
    CLI_CHECK(read_arch(arch, &config, err));
    CLI_CHECK(vt_tokenizer_open(&model->tokenizer, out->kern, &config.tokenizer, err));
    vt_params *vae = vt_tokenizer_params(model->tokenizer);
    vt_params_set_type(vae, out->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16, false);
    vt_params_skip(vae, "encoder.");
    vt_params_skip(vae, "quant_conv.");
    CLI_CHECK(vt_params_synthesize(vae, config.seed, "vae", err));
    CLI_CHECK(vt_params_prepare(vae, err));
    if (preview) CLI_CHECK(synthesize_preview(out, &config, err));
    CLI_CHECK(vt_transformer_open(&model->transformer, out->kern, &config.transformer, err));
    vt_params_set_type(vt_transformer_params(model->transformer), out->weights, false);
    CLI_CHECK(
        vt_params_synthesize(vt_transformer_params(model->transformer), config.seed, "var", err));
    CLI_CHECK(vt_transformer_prepare(model->transformer, err));
cleanup:
    vt_golden_config_free(&config);
    return status;
}

variant_status bench_subject_open(bench_subject *out, const bench_settings *s, variant_error *err) {
    *out = (bench_subject){0};
    double start = cli_now();
    const char *weights = s->asked.engine.weights, *kv = s->asked.engine.kv;
    if (weights) CLI_TRY(vt_number_parse(&out->weights, "--weights", weights, err));
    out->kv = vt_kv_default(out->weights);
    if (kv) CLI_TRY(vt_number_parse_kv(&out->kv, "--kv", kv, err));
    CLI_TRY(vt_kern_open(&out->kern, s->asked.engine.backend, s->asked.engine.threads, err));
    if (!out->kern->peak_flops)
        return variant_fail(err, VARIANT_E_UNSUPPORTED,
                            "backend %s has no probes to measure against", out->kern->name);
    if (s->arch)
        return build_synthetic(out, s->arch, cli_decoder_is_preview(s->asked.request.decoder), err);
    vt_model_options options = cli_model_options(&s->asked.engine);
    options.weights = out->weights;
    options.any_weights = !weights;
    options.skip_encoder = true;
    CLI_TRY(vt_model_open(&out->model, out->kern, &options, err));
    out->weights = out->model->weights;
    if (!kv) out->kv = vt_kv_default(out->weights);
    out->load_seconds = cli_now() - start;
    return VARIANT_OK;
}

void bench_subject_close(bench_subject *s) {
    vt_model_close(&s->model);
    vt_kern_close(&s->kern);
}

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *numbers, int n) {
    qsort(numbers, (size_t)n, sizeof *numbers, ascending);
    return 0.5 * (numbers[(n - 1) / 2] + numbers[n / 2]);
}

size_t bench_weight_bytes(const vt_model *model) {
    const vt_params *parts[] = {vt_transformer_params(model->transformer),
                                vt_tokenizer_params(model->tokenizer),
                                model->preview ? vt_preview_params(model->preview) : NULL};
    size_t bytes = 0;
    for (int i = 0; i < 3; ++i)
        if (parts[i]) bytes += vt_params_bytes(parts[i]) + parts[i]->mapped_bytes;
    return bytes;
}

/* ---- runs ---- */

/* Of one depth. */
typedef struct runs {
    variant_request request;
    variant_report first; /* the one that warmed up, or the first counted one */
    variant_report *reports;
    vt_quiet_span *spans;
    int count, room;
    bool any;       /* first is set */
    double seconds; /* of the last run */
} runs;

/* All depths at work. */
typedef struct rounds {
    bench_subject *subject;
    const bench_settings *settings;
    variant_engine engine;
    vt_quiet quiet;
    bench_progress progress;
    runs *depths;
    int count;
    double deadline; /* 0: none */
} rounds;

static variant_status rounds_open(rounds *r, const int *depths, int count, bench_subject *subject,
                                  const bench_settings *s, variant_error *err) {
    *r = (rounds){.subject = subject, .settings = s, .count = count};
    r->engine = vt_engine_around(subject->kern, subject->model, subject->weights, subject->kv);
    r->depths = calloc((size_t)count, sizeof *r->depths);
    if (!r->depths) return variant_fail(err, VARIANT_E_MEMORY, "no memory for %d depths", count);
    for (int i = 0; i < count; ++i) {
        runs *d = &r->depths[i];
        d->request = s->asked.request;
        if (depths) d->request.depth = depths[i];
        d->request.progress = bench_progress_step;
        d->request.user = &r->progress;
        d->room = 2 * s->repeat;
        d->reports = calloc((size_t)d->room, sizeof *d->reports);
        d->spans = calloc((size_t)d->room, sizeof *d->spans);
        if (!d->reports || !d->spans)
            return variant_fail(err, VARIANT_E_MEMORY, "no memory for %d reports", d->room);
    }
    vt_kern_watch(&r->quiet, subject->kern);
    bench_progress_open(&r->progress, s);
    r->deadline = s->budget > 0.0 ? cli_now() + s->budget : 0.0;
    return VARIANT_OK;
}

static void rounds_close(rounds *r) {
    bench_progress_close(&r->progress);
    for (int i = 0; r->depths && i < r->count; ++i) {
        free(r->depths[i].reports);
        free(r->depths[i].spans);
    }
    free(r->depths);
}

/* Seconds that a run of a depth will take: as its last, or as another's; < 0: not known. */
static double expected_seconds(const rounds *r, const runs *d) {
    if (d->any) return d->seconds;
    for (int i = 0; i < r->count; ++i)
        if (r->depths[i].any) return r->depths[i].seconds;
    return -1.0;
}

/* Seconds of the runs after the one of `at`, warm-ups not counted; < 0: not known. */
static double seconds_left(const rounds *r, const runs *at) {
    double left = 0.0;
    for (int i = 0; i < r->count; ++i) {
        const runs *d = &r->depths[i];
        int missing = r->settings->repeat - d->count - (d == at && d->any);
        if (missing > 0) left += missing * expected_seconds(r, d);
    }
    if (r->deadline > 0.0 && left > r->deadline - cli_now()) left = r->deadline - cli_now();
    return expected_seconds(r, at) < 0.0 ? -1.0 : left > 0.0 ? left : 0.0;
}

static variant_status run_once(rounds *r, runs *d, bool counts, variant_error *err) {
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    char doing[64] = "warming up";
    if (counts) snprintf(doing, sizeof doing, "run %d", d->count + 1);
    bench_progress_begin(&r->progress, doing, d->request.depth, expected_seconds(r, d),
                         seconds_left(r, d));
    if (!d->any)
        vt_memory_trim(r->subject->kern); /* so that this run shows what its depth takes alone */
    vt_peak_resident_reset();             /* another depth's, the probe's memory */
    vt_quiet_begin(&r->quiet);
    CLI_TRY(variant_generate(&r->engine, &d->request, &pictures, &report, err));
    vt_quiet_span span = vt_quiet_end(&r->quiet);
    variant_pictures_free(&pictures, d->request.count);
    if (!d->any) d->first = report;
    d->any = true;
    d->seconds = report.total_seconds;
    d->reports[d->count] = report;
    d->spans[d->count] = span;
    d->count += counts;
    bench_progress_end(&r->progress, report.total_seconds);
    return VARIANT_OK;
}

/* Where time is short, the first depth's warm-up counts as its run, and the others, whose weights are warm by
 * then, do without. */
static variant_status warm_up(rounds *r, variant_error *err) {
    CLI_TRY(run_once(r, &r->depths[0], false, err));
    double round = r->count * r->depths[0].seconds, left = r->deadline - cli_now();
    bool limited = r->deadline > 0.0;
    if (limited && round > left) ++r->depths[0].count;
    for (int i = 1; i < r->count && !(limited && 2.0 * round > left); ++i)
        CLI_TRY(run_once(r, &r->depths[i], false, err));
    return VARIANT_OK;
}

static bool is_due(const rounds *r, const runs *d) {
    if (!vt_quiet_wants_more(&r->quiet, d->spans, d->count, r->settings->repeat)) return false;
    return d->count == 0 || r->deadline <= 0.0 || cli_now() + d->seconds <= r->deadline;
}

static variant_status run_rounds(rounds *r, variant_error *err) {
    for (bool any = true; any;) {
        any = false;
        for (int i = 0; i < r->count; ++i) {
            if (!is_due(r, &r->depths[i])) continue;
            CLI_TRY(run_once(r, &r->depths[i], true, err));
            any = true;
        }
    }
    return VARIANT_OK;
}

/* ---- figures ---- */

/* The runs that medians are taken of. */
typedef struct picked {
    const variant_report *reports;
    int count, index[2 * BENCH_MAX_REPEAT];
} picked;

/* Median of one double, `offset` bytes into each report, in milliseconds. */
static double median_ms(const picked *p, size_t offset) {
    double values[2 * BENCH_MAX_REPEAT];
    for (int i = 0; i < p->count; ++i)
        memcpy(&values[i], (const char *)&p->reports[p->index[i]] + offset, sizeof *values);
    return 1e3 * bench_median(values, p->count);
}

static variant_status add_floors(const bench_subject *subject, const variant_request *request,
                                 bench_figures *f, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->model->transformer);
    vt_branches branches;
    CLI_TRY(vt_branches_make(&branches, subject->model, request, err));
    vt_machine_limits limits = subject->limits;
    for (int k = 0; k < config->scales; ++k) {
        const vt_floor_stream members[] = {{&branches.cond, k, request->batch},
                                           {&branches.uncond, k, request->batch}};
        const int count = k < branches.guided_scales ? 2 : 1;
        f->scale_floor[k] = 1e3 * vt_floor_step(config, members, count, limits);
        f->transformer_floor += f->scale_floor[k];
    }
    const int labels = branches.guided_scales > 0 ? 2 : 1;
    f->transformer_floor += 1e3 * vt_floor_condition(config, &branches.cond, labels, limits);
    const vt_tokenizer_config *tokenizer = vt_tokenizer_configuration(subject->model->tokenizer);
    f->decoder_floor =
        1e3 * (cli_decoder_is_preview(request->decoder)
                   ? vt_floor_preview(tokenizer, vt_preview_configuration(subject->model->preview),
                                      request->batch, limits)
                   : vt_floor_decoder(tokenizer, request->batch, limits));
    return VARIANT_OK;
}

static void take_medians(bench_figures *f, const picked *p) {
    f->picture = median_ms(p, offsetof(variant_report, total_seconds));
    f->condition = median_ms(p, offsetof(variant_report, condition_seconds));
    f->transformer = f->condition + median_ms(p, offsetof(variant_report, transformer_seconds));
    f->decoder = median_ms(p, offsetof(variant_report, decoder_seconds));
    for (int k = 0; k < f->last.scales; ++k) {
        size_t skip = (size_t)k * sizeof(double);
        f->scale[k] = median_ms(p, offsetof(variant_report, scale_seconds) + skip);
        f->head[k] = median_ms(p, offsetof(variant_report, scale_head_seconds) + skip);
    }
}

static variant_status take_figures(bench_figures *f, const rounds *r, const runs *d,
                                   variant_error *err) {
    const bench_subject *subject = r->subject;
    picked p = {.reports = d->reports};
    *f = (bench_figures){.runs = d->count, .last = d->reports[d->count - 1]};
    f->last.peak_resident_bytes =
        d->first.peak_resident_bytes; /* before others left memory to it */
    f->quiet_runs = vt_quiet_count(&r->quiet, d->spans, d->count);
    p.count = vt_quiet_pick(&r->quiet, d->spans, d->count,
                            d->count < r->settings->repeat ? d->count : r->settings->repeat,
                            p.index, &f->disturbed);
    if (f->disturbed) vt_quiet_why(&r->quiet, d->spans, d->count, f->why, sizeof f->why);
    take_medians(f, &p);
    CLI_TRY(add_floors(subject, &d->request, f, err));
    f->weight_bytes = bench_weight_bytes(subject->model);
    f->load = subject->synthetic ? -1.0 : 1e3 * subject->load_seconds;
    /* a stranger's first picture is not warm */
    f->first_scale = (subject->synthetic ? 0.0 : f->load) +
                     1e3 * (d->first.condition_seconds + d->first.scale_seconds[0]);
    return VARIANT_OK;
}

variant_status bench_measure(bench_figures *out, const int *depths, int count,
                             bench_subject *subject, const bench_settings *s, variant_error *err) {
    variant_status status = VARIANT_OK;
    rounds r = {0};
    CLI_CHECK(rounds_open(&r, depths, count, subject, s, err));
    CLI_CHECK(warm_up(&r, err));
    if (subject->limits.flops <= 0.0) {
        bench_progress_say(&r.progress, "measuring what this machine could do at most");
        subject->limits = vt_machine_probe(subject->kern, subject->weights, subject->kv,
                                           bench_weight_bytes(subject->model));
    }
    CLI_CHECK(run_rounds(&r, err));
    for (int i = 0; i < count; ++i) CLI_CHECK(take_figures(&out[i], &r, &r.depths[i], err));
cleanup:
    rounds_close(&r);
    return status;
}

void bench_print_disturbance(const bench_figures *f, bool contradicted) {
    printf("\"runs\": %d, \"quiet_runs\": %d, \"disturbed\": %s, \"why\": ", f->runs, f->quiet_runs,
           f->disturbed || contradicted ? "true" : "false");
    if (f->disturbed)
        printf("\"%s\"", f->why);
    else if (contradicted)
        printf("\"slower than a depth with more layers\"");
    else
        printf("null");
}

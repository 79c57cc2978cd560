/* bench_measure.c - what `variant bench` times: a model from files or of a published shape on synthetic
 * weights, run repeatedly; and the floors beside it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"
#include "core/clock.h"
#include "core/status.h"
#include "io/file.h"
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
    vt_params *vae = vt_tokenizer_params(model->tokenizer);
    vt_params_set_type(vae, out->weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16, false);
    vt_params_skip(vae, "encoder.");
    vt_params_skip(vae, "quant_conv.");
    VT_CHECK(vt_params_synthesize(vae, config.seed, "vae", err));
    VT_CHECK(vt_params_prepare(vae, err));
    VT_CHECK(vt_transformer_open(&model->transformer, out->kern, &config.transformer, err));
    vt_params_set_type(vt_transformer_params(model->transformer), out->weights, false);
    VT_CHECK(
        vt_params_synthesize(vt_transformer_params(model->transformer), config.seed, "var", err));
    VT_CHECK(vt_transformer_prepare(model->transformer, err));
cleanup:
    vt_golden_config_free(&config);
    return status;
}

variant_status bench_subject_open(bench_subject *out, const bench_settings *s, variant_error *err) {
    *out = (bench_subject){0};
    double start = vt_seconds();
    if (s->model.weights)
        VT_TRY(vt_number_parse(&out->weights, "--weights", s->model.weights, err));
    out->kv = vt_kv_default(out->weights);
    if (s->model.kv) VT_TRY(vt_number_parse(&out->kv, "--kv", s->model.kv, err));
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
    options.weights = out->weights;
    options.skip_encoder = true;
    VT_TRY(vt_model_open(&out->model, out->kern, &options, err));
    out->load_seconds = vt_seconds() - start;
    return VARIANT_OK;
}

void bench_subject_close(bench_subject *s) {
    vt_model_close(&s->model);
    vt_kern_close(&s->kern);
}

/* ---- measuring ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

double bench_median(double *numbers, int n) {
    qsort(numbers, (size_t)n, sizeof *numbers, ascending);
    return 0.5 * (numbers[(n - 1) / 2] + numbers[n / 2]);
}

/* Median of one double, `offset` bytes into each report, in milliseconds. */
static double median_ms(const variant_report *reports, int count, size_t offset) {
    double values[BENCH_MAX_REPEAT];
    for (int i = 0; i < count; ++i)
        memcpy(&values[i], (const char *)&reports[i] + offset, sizeof *values);
    return 1e3 * bench_median(values, count);
}

/* reports (repeat + 1): the first run warms up. */
static variant_status time_runs(const bench_subject *subject, const bench_settings *s,
                                variant_report *reports, variant_error *err) {
    variant_engine engine =
        vt_engine_around(subject->kern, subject->model, subject->weights, subject->kv);
    for (int i = 0; i <= s->repeat; ++i) {
        variant_picture *pictures = NULL;
        VT_TRY(variant_generate(&engine, &s->request, &pictures, &reports[i], err));
        variant_pictures_free(&pictures, s->request.count);
    }
    return VARIANT_OK;
}

static variant_status add_floors(const bench_subject *subject, const bench_settings *s,
                                 bench_figures *f, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->model->transformer);
    const vt_supernet_info *supernet = &subject->model->supernet;
    vt_schedule schedule;
    vt_schedule_request words = {.layers = s->request.layers,
                                 .depth = s->request.depth,
                                 .bridge = s->request.bridge,
                                 .default_bridge = vt_supernet_bridge(supernet, config->scales),
                                 .default_selector = vt_supernet_selector(supernet)};
    VT_TRY(vt_schedule_resolve(&schedule, config->scales, config->depth, &words, err));
    vt_machine_limits limits = subject->limits;
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
    f->condition = median_ms(reports, count, offsetof(variant_report, condition_seconds));
    f->transformer =
        f->condition + median_ms(reports, count, offsetof(variant_report, transformer_seconds));
    f->decoder = median_ms(reports, count, offsetof(variant_report, decoder_seconds));
    for (int k = 0; k < f->last.scales; ++k)
        f->scale[k] = median_ms(
            reports, count, offsetof(variant_report, scale_seconds) + (size_t)k * sizeof(double));
    for (int k = 0; k < f->last.scales; ++k)
        f->head[k] =
            median_ms(reports, count,
                      offsetof(variant_report, scale_head_seconds) + (size_t)k * sizeof(double));
    f->load = subject->synthetic ? -1.0 : 1e3 * subject->load_seconds;
}

variant_status bench_measure(bench_figures *out, bench_subject *subject, const bench_settings *s,
                             variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_kern *kern = subject->kern;
    *out = (bench_figures){0};
    variant_report *reports = calloc((size_t)s->repeat + 1, sizeof *reports);
    if (!reports) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d reports", s->repeat);
    if (subject->limits.flops > 0.0)
        vt_peak_resident_reset(); /* the probe's memory, another depth's */
    VT_CHECK(time_runs(subject, s, reports, err));
    if (subject->limits.flops <= 0.0) /* after the first runs: the probe's memory is not theirs */
        subject->limits = vt_machine_probe(kern, subject->weights, subject->kv);
    VT_CHECK(add_floors(subject, s, out, err));
    take_figures(out, subject, reports + 1, s->repeat);
    const vt_params *parts[] = {vt_transformer_params(subject->model->transformer),
                                vt_tokenizer_params(subject->model->tokenizer)};
    for (int i = 0; i < 2; ++i)
        out->weight_bytes += vt_params_bytes(parts[i]) + parts[i]->mapped_bytes;
    /* a stranger's first picture is not warm */
    out->first_scale = (subject->synthetic ? 0.0 : out->load) +
                       1e3 * (reports->condition_seconds + reports->scale_seconds[0]);
cleanup:
    free(reports);
    return status;
}

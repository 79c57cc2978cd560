/* train.c - variant_bench_train: how long a step of supernet training takes, part by part, on the full path and on a subnet's.
 *
 * A step is what src/train does: inputs from tokens, forward, backward, gradient norm and AdamW,
 * weights packed again. Full and subnet steps alternate, so that what else the machine does falls on
 * both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/limits.h"
#include "core/sized.h"
#include "io/file.h"
#include "kern/dry.h"
#include "kern/watch.h"
#include "measure/measure.h"
#include "selftest/golden_config.h"
#include "train/optimizer.h"

/* The parts of a step. */
enum part {
    INPUTS = VARIANT_STEP_INPUTS,
    FORWARD = VARIANT_STEP_FORWARD,
    BACKWARD = VARIANT_STEP_BACKWARD,
    OPTIMIZER = VARIANT_STEP_OPTIMIZER,
    REFRESH = VARIANT_STEP_REFRESH,
    WHOLE = VARIANT_STEP_WHOLE,
    PARTS = VARIANT_STEP_PARTS
};
enum path { FULL, SUBNET, PATHS };

typedef struct settings {
    const variant_engine_options *engine;
    const char *config;
    vt_number precision;
    int depth, bridge, batch, repeat;
} settings;

typedef struct train_subject {
    vt_kern *kern;
    vt_model *model;         /* opened from files, or */
    vt_tokenizer *tokenizer; /* ... these two, built from a formula */
    vt_transformer *transformer;
    vt_golden_config config;
    bool synthetic;
    vt_schedule schedules[PATHS];
    vt_arena arena;
    void *memory;
    size_t memory_bytes;
    int32_t *tokens, *labels; /* host */
    int64_t step;
    double loss;
    double floor_ms[PATHS]
                   [PARTS]; /* arithmetic of the products at the register peak; 0: not counted */
    vt_quiet quiet;
    int runs; /* of each path; a path's disturbed ones are made again */
    vt_quiet_span spans[PATHS][2 * VARIANT_BENCH_MOST_REPEAT];
    double seconds[PATHS][PARTS][2 * VARIANT_BENCH_MOST_REPEAT];
} train_subject;

/* ---- the subject ---- */

static variant_status build_synthetic(train_subject *out, const settings *s, variant_error *err) {
    char *text = NULL;
    out->synthetic = true;
    VT_TRY(vt_file_read_text(&text, s->config, 1 << 20, err));
    variant_status status = vt_golden_config_parse(&out->config, text, s->config, err);
    free(text);
    if (status != VARIANT_OK) return status;
    VT_TRY(vt_tokenizer_open(&out->tokenizer, out->kern, &out->config.tokenizer, err));
    vt_params *vae = vt_tokenizer_params(out->tokenizer);
    VT_TRY(vt_params_synthesize(vae, out->config.seed, "vae", err));
    VT_TRY(vt_params_prepare(vae, err));
    VT_TRY(vt_transformer_open(&out->transformer, out->kern, &out->config.transformer, err));
    vt_params *params = vt_transformer_params(out->transformer);
    vt_params_set_type(params, s->precision, true);
    VT_TRY(vt_params_synthesize(params, out->config.seed, "var", err));
    return vt_transformer_prepare(out->transformer, err);
}

static variant_status open_files(train_subject *out, const settings *s, variant_error *err) {
    vt_model_options options;
    vt_in_memory rooms[2];
    VT_TRY(vt_engine_model_options(&options, rooms, s->engine, err));
    if (!out->kern->dry) options.warn = NULL; /* once */
    options.weights = s->precision;
    options.copy = true;
    VT_TRY(vt_model_open(&out->model, out->kern, &options, err));
    out->tokenizer = out->model->tokenizer;
    out->transformer = out->model->transformer;
    return VARIANT_OK;
}

static variant_status open_schedules(train_subject *out, settings *s, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(out->transformer);
    uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
    if (s->depth == 0) s->depth = (config->depth + 1) / 2;
    VT_TRY(vt_schedule_full(&out->schedules[FULL], config->scales, config->depth, err));
    VT_TRY(vt_layers_select(VT_EQUIDISTANT, config->depth, s->depth, keep, err));
    return vt_schedule_zones(&out->schedules[SUBNET], config->scales, config->depth, s->bridge,
                             keep, err);
}

/* Tokens and labels of a formula: any will do for time. */
static variant_status make_batch(train_subject *out, const settings *s, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(out->transformer);
    size_t length = (size_t)vt_transformer_tokens(config), total = (size_t)s->batch * length;
    out->tokens = malloc(total * sizeof *out->tokens);
    out->labels = malloc((size_t)s->batch * sizeof *out->labels);
    if (!out->tokens || !out->labels)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of tokens");
    uint32_t state = 1;
    for (size_t i = 0; i < total; ++i) {
        state = state * 1664525u + 1013904223u;
        out->tokens[i] = (int32_t)((state >> 8) % (uint32_t)config->codes);
    }
    for (int i = 0; i < s->batch; ++i) out->labels[i] = i % (config->classes + 1);
    return VARIANT_OK;
}

/* Over out->kern: models with gradients and moments, schedules, a batch. */
static variant_status subject_build(train_subject *out, settings *s, variant_error *err) {
    VT_TRY(s->config ? build_synthetic(out, s, err) : open_files(out, s, err));
    VT_TRY(vt_params_train(vt_transformer_params(out->transformer), err));
    VT_TRY(open_schedules(out, s, err));
    return make_batch(out, s, err);
}

static void subject_close(train_subject *s) {
    if (s->memory) s->kern->memory_release(s->kern, s->memory, s->memory_bytes);
    s->memory = NULL;
    if (s->synthetic) {
        vt_transformer_close(&s->transformer);
        vt_tokenizer_close(&s->tokenizer);
        vt_golden_config_free(&s->config);
    }
    vt_model_close(&s->model);
    free(s->tokens);
    free(s->labels);
    vt_kern_close(&s->kern);
}

/* ---- measuring ---- */

/* Once all that was asked for is done. */
static double time_now(vt_kern *kern) {
    kern->sync(kern);
    return vt_seconds();
}

/* One step on a path; its parts' seconds to `times` (PARTS). */
static variant_status run_step(train_subject *s, int batch, enum path path, double *times,
                               variant_error *err) {
    vt_arena *arena = &s->arena;
    vt_params *params = vt_transformer_params(s->transformer);
    const vt_transformer_config *config = vt_transformer_configuration(s->transformer);
    vt_optimizer_options adamw;
    vt_optimizer_options_init(&adamw);
    size_t total = (size_t)batch * (size_t)vt_transformer_tokens(config);
    size_t mark = vt_arena_mark(arena);
    variant_status status = VARIANT_OK;
    double norm = 0.0, at[PARTS];

    at[INPUTS] = time_now(s->kern);
    int32_t *tokens = vt_arena_ints(arena, total);
    float *losses = vt_arena_floats(arena, total);
    double *sum = vt_arena_take(arena, sizeof *sum);
    float *inputs = vt_arena_floats(arena, total * (size_t)config->latent_dim);
    VT_CHECK(vt_arena_check(arena, "a batch of tokens", err));
    s->kern->upload(s->kern, tokens, s->tokens, total * sizeof *tokens);
    VT_CHECK(vt_tokenizer_inputs(s->tokenizer, arena, batch, tokens, inputs, NULL, err));
    vt_transformer_pass pass = {
        .batch = batch, .labels = s->labels, .inputs = inputs, .schedule = &s->schedules[path]};
    vt_transformer_loss loss = {.targets = tokens, .loss = losses};
    at[FORWARD] = time_now(s->kern);
    VT_CHECK(vt_transformer_forward(s->transformer, arena, &pass, err));
    at[BACKWARD] = time_now(s->kern);
    vt_params_zero_grad(params);
    VT_CHECK(vt_transformer_backward(s->transformer, arena, &pass, &loss, true, err));
    at[OPTIMIZER] = time_now(s->kern);
    VT_CHECK(vt_optimizer_step(params, &adamw, 1e-5, ++s->step, &norm, err));
    at[REFRESH] = time_now(s->kern);
    VT_CHECK(vt_transformer_prepare(s->transformer, err));
    at[WHOLE] = time_now(s->kern);
    for (int i = 0; i < WHOLE; ++i) times[i] = at[i + 1] - at[i];
    times[WHOLE] = at[WHOLE] - at[INPUTS];
    s->kern->sum_squares(s->kern, sum, &(vt_floats){losses, total}, 1);
    VT_CHECK(vt_kern_download(s->kern, &s->loss, sum, sizeof s->loss, err));
    s->loss /= (double)total;
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* Builds the subject over a backend that holds nothing and takes a step on each path: all bytes, and those of the
 * arena. */
static variant_status measure_memory(vt_kern *kern, settings *s, size_t *all, size_t *arena,
                                     variant_error *err) {
    double times[PARTS];
    variant_status status = VARIANT_OK;
    vt_dry_kern dry;
    train_subject *counted = calloc(1, sizeof *counted);
    if (!counted) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the measurements");
    vt_dry_kern_init(&dry, kern);
    counted->kern = &dry.kern;
    vt_arena_init_counting(&counted->arena, &dry.kern);
    VT_CHECK(subject_build(counted, s, err));
    for (enum path path = FULL; path < PATHS; ++path)
        VT_CHECK(run_step(counted, s->batch, path, times, err));
    *arena = counted->arena.peak;
    *all = *arena + dry.reserved + dry.packed;
cleanup:
    subject_close(counted);
    free(counted);
    return status;
}

static variant_status subject_open(train_subject *out, settings *s, variant_error *err) {
    size_t all = 0;
    vt_limits limits;
    VT_TRY(vt_kern_open(&out->kern, s->engine->backend, s->engine->threads, err));
    VT_TRY(measure_memory(out->kern, s, &all, &out->memory_bytes, err));
    vt_limits_read(&limits, "");
    VT_TRY(vt_limits_memory(&limits, all, "this training", err));
    VT_TRY(subject_build(out, s, err));
    VT_TRY(out->kern->memory_reserve(out->kern, out->memory_bytes, &out->memory, err));
    vt_arena_init(&out->arena, out->memory, out->memory_bytes);
    return VARIANT_OK;
}

static bool wants_more(const train_subject *s, int repeat) {
    for (enum path path = FULL; path < PATHS; ++path)
        if (vt_quiet_wants_more(&s->quiet, s->spans[path], s->runs, repeat)) return true;
    return false;
}

static variant_status measure(train_subject *subject, const settings *s, variant_error *err) {
    double times[PARTS];
    vt_kern_watch(&subject->quiet, subject->kern);
    for (enum path path = FULL; path < PATHS; ++path) /* warms up */
        VT_TRY(run_step(subject, s->batch, path, times, err));
    for (; wants_more(subject, s->repeat); ++subject->runs)
        for (enum path path = FULL; path < PATHS; ++path) {
            vt_quiet_begin(&subject->quiet);
            VT_TRY(run_step(subject, s->batch, path, times, err));
            subject->spans[path][subject->runs] = vt_quiet_end(&subject->quiet);
            for (int part = 0; part < PARTS; ++part)
                subject->seconds[path][part][subject->runs] = times[part];
        }
    return VARIANT_OK;
}

/* Of the quiet runs, or of all where those are too few. */
static variant_bench_step summarise(const train_subject *s, enum path path, int repeat) {
    variant_bench_step out = {0};
    int index[2 * VARIANT_BENCH_MOST_REPEAT];
    double values[2 * VARIANT_BENCH_MOST_REPEAT];
    int count = vt_quiet_pick(&s->quiet, s->spans[path], s->runs, repeat, index, &out.disturbed);
    for (int part = 0; part < PARTS; ++part) {
        for (int i = 0; i < count; ++i) values[i] = 1e3 * s->seconds[path][part][index[i]];
        out.ms[part] = vt_median(values, count);
        if (part == WHOLE) out.best_ms = values[0]; /* sorted by now */
        out.floor_ms[part] = s->floor_ms[path][part];
    }
    out.quiet_runs = vt_quiet_count(&s->quiet, s->spans[path], s->runs);
    if (out.disturbed) vt_quiet_why(&s->quiet, s->spans[path], s->runs, out.why, sizeof out.why);
    return out;
}

/* Arithmetic of the products at this machine's register peak, weights read once a scale. Backward has two
 * products for each of forward's; what it computes again is not counted, nor are passes over memory. */
static void count_floors(train_subject *subject, const settings *s) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->transformer);
    if (!subject->kern->peak_flops) return; /* the plain backend has no probes */
    vt_machine_limits limits =
        vt_machine_probe(subject->kern, s->precision, s->precision, subject->memory_bytes);
    for (enum path path = FULL; path < PATHS; ++path) {
        const vt_schedule *schedule = &subject->schedules[path];
        double *floor_ms = subject->floor_ms[path];
        double seconds = vt_floor_condition(config, schedule, s->batch, limits);
        for (int k = 0; k < config->scales; ++k)
            seconds += vt_floor_scale(config, schedule, k, s->batch, limits);
        floor_ms[FORWARD] = 1e3 * seconds;
        floor_ms[BACKWARD] = 2e3 * seconds;
        floor_ms[WHOLE] = 3e3 * seconds;
    }
}

/* ---- the call ---- */

void variant_bench_train_options_init_sized(variant_bench_train_options *out, size_t size) {
    const variant_bench_train_options defaults = {
        .bridge = 4, .batch = 64, .repeat = VT_MEASURE_REPEAT};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* What is handed out is the first member. */
typedef struct training {
    variant_bench_training told;
    char kernels[256];
    variant_bench_step steps[PATHS];
} training;

void variant_bench_training_free(variant_bench_training **given) {
    if (!given || !*given) return;
    free((training *)(void *)*given);
    *given = NULL;
}

/* A step of fewer layers took longer. */
static bool contradicts(const train_subject *subject, const settings *s,
                        const variant_bench_step *steps) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->transformer);
    const bool fewer = s->depth < config->depth && s->bridge < config->scales;
    return fewer && steps[SUBNET].ms[WHOLE] > steps[FULL].ms[WHOLE];
}

static void tell(training *out, const train_subject *subject, const settings *s) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->transformer);
    for (enum path path = FULL; path < PATHS; ++path)
        out->steps[path] = summarise(subject, path, s->repeat);
    snprintf(out->kernels, sizeof out->kernels, "%s", subject->kern->details);
    out->told = (variant_bench_training){.kernels = out->kernels,
                                         .layers = config->depth,
                                         .width = config->width,
                                         .tokens = vt_transformer_tokens(config),
                                         .depth = s->depth,
                                         .runs = subject->runs,
                                         .contradicted = contradicts(subject, s, out->steps),
                                         .full = &out->steps[FULL],
                                         .subnet = &out->steps[SUBNET]};
}

static variant_status take_options(settings *s, const variant_engine_options *model,
                                   const variant_bench_train_options *o, variant_error *err) {
    *s = (settings){.engine = model,
                    .config = o->config,
                    .depth = o->depth,
                    .bridge = o->bridge,
                    .batch = o->batch,
                    .repeat = o->repeat};
    if (o->precision) VT_TRY(vt_number_parse(&s->precision, "precision", o->precision, err));
    if (s->precision != VT_NUMBER_F32 && s->precision != VT_NUMBER_BF16)
        return vt_fail(err, VARIANT_E_ARGUMENT, "precision \"%.32s\": expected f32 or bf16",
                       o->precision);
    if (o->depth < 0 || o->depth > VT_SCHEDULE_LAYERS || o->bridge < 0 ||
        o->bridge > VT_SCHEDULE_SCALES || o->batch < 1 || o->batch > 65536)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "depth %d, bridge %d, batch %d: expected 0 to %d, 0 to %d and 1 to 65536",
                       o->depth, o->bridge, o->batch, VT_SCHEDULE_LAYERS, VT_SCHEDULE_SCALES);
    return vt_measure_check_repeat(o->repeat, err);
}

variant_status variant_bench_train(variant_bench_training **out,
                                   const variant_engine_options *model,
                                   const variant_bench_train_options *options,
                                   variant_error *error) {
    variant_engine_options engine;
    variant_bench_train_options taken;
    settings s;
    variant_status status = VARIANT_OK;
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put figures");
    *out = NULL;
    VT_TRY(VT_SIZED_TAKE(&engine, model, variant_engine_options, error));
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_bench_train_options, error));
    VT_TRY(take_options(&s, &engine, &taken, error));
    train_subject *subject = calloc(1, sizeof *subject);
    training *made = calloc(1, sizeof *made);
    if (!subject || !made)
        VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for the measurements"));
    VT_CHECK(subject_open(subject, &s, error));
    VT_CHECK(measure(subject, &s, error));
    count_floors(subject, &s);
    tell(made, subject, &s);
    *out = &made->told;
    made = NULL;
cleanup:
    if (subject) subject_close(subject);
    free(subject);
    free(made);
    return status;
}

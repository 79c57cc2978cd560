/* bench_train.c - `variant bench train`: how long a step of supernet training takes, part by part, on
 * the full path and on a subnet's. Called by bench.c.
 *
 * A step is what src/train does: inputs from tokens, forward, backward, gradient norm and AdamW,
 * weights packed again. Full and subnet steps alternate, so that what else the machine does falls on
 * both. */
#include "bench.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/limits.h"
#include "kern/watch.h"
#include "planning/floor.h"
#include "io/file.h"
#include "kern/dry.h"
#include "selftest/golden_config.h"
#include "tools.h"
#include "train/optimizer.h"

enum { MOST_REPEATS = 1000 };

/* The parts of a step. */
enum part { INPUTS, FORWARD, BACKWARD, OPTIMIZER, REFRESH, WHOLE, PARTS };
static const char *const part_names[PARTS] = {"inputs",    "forward", "backward",
                                              "optimizer", "refresh", "step"};
enum path { FULL, SUBNET, PATHS };
static const char *const path_names[PATHS] = {"full", "subnet"};

typedef struct settings {
    variant_engine_options engine;
    bool json;
    const char *arch;
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
    vt_quiet_span spans[PATHS][2 * MOST_REPEATS];
    double seconds[PATHS][PARTS][2 * MOST_REPEATS];
} train_subject;

/* Medians of a path in milliseconds. */
typedef struct path_times {
    double ms[PARTS], best;
    int quiet_runs;
    bool disturbed;
    char why[200];
} path_times;

/* ---- the subject ---- */

static variant_status build_synthetic(train_subject *out, const settings *s, variant_error *err) {
    char *text = NULL;
    out->synthetic = true;
    CLI_TRY(vt_file_read_text(&text, s->arch, 1 << 20, err));
    variant_status status = vt_golden_config_parse(&out->config, text, s->arch, err);
    free(text);
    if (status != VARIANT_OK) return status;
    CLI_TRY(vt_tokenizer_open(&out->tokenizer, out->kern, &out->config.tokenizer, err));
    vt_params *vae = vt_tokenizer_params(out->tokenizer);
    CLI_TRY(vt_params_synthesize(vae, out->config.seed, "vae", err));
    CLI_TRY(vt_params_prepare(vae, err));
    CLI_TRY(vt_transformer_open(&out->transformer, out->kern, &out->config.transformer, err));
    vt_params *params = vt_transformer_params(out->transformer);
    vt_params_set_type(params, s->precision, true);
    CLI_TRY(vt_params_synthesize(params, out->config.seed, "var", err));
    return vt_transformer_prepare(out->transformer, err);
}

static variant_status open_files(train_subject *out, const settings *s, variant_error *err) {
    vt_model_options options = cli_model_options(&s->engine);
    options.warn = out->kern->dry ? cli_warn : NULL; /* once */
    options.weights = s->precision;
    options.copy = true;
    CLI_TRY(vt_model_open(&out->model, out->kern, &options, err));
    out->tokenizer = out->model->tokenizer;
    out->transformer = out->model->transformer;
    return VARIANT_OK;
}

static variant_status open_schedules(train_subject *out, settings *s, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(out->transformer);
    uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
    if (s->depth == 0) s->depth = (config->depth + 1) / 2;
    CLI_TRY(vt_schedule_full(&out->schedules[FULL], config->scales, config->depth, err));
    CLI_TRY(vt_layers_select(VT_EQUIDISTANT, config->depth, s->depth, keep, err));
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
        return variant_fail(err, VARIANT_E_MEMORY, "no memory for a batch of tokens");
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
    CLI_TRY(s->arch ? build_synthetic(out, s, err) : open_files(out, s, err));
    CLI_TRY(vt_params_train(vt_transformer_params(out->transformer), err));
    CLI_TRY(open_schedules(out, s, err));
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
    return cli_now();
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
    CLI_CHECK(vt_arena_check(arena, "a batch of tokens", err));
    s->kern->upload(s->kern, tokens, s->tokens, total * sizeof *tokens);
    CLI_CHECK(vt_tokenizer_inputs(s->tokenizer, arena, batch, tokens, inputs, NULL, err));
    vt_transformer_pass pass = {
        .batch = batch, .labels = s->labels, .inputs = inputs, .schedule = &s->schedules[path]};
    vt_transformer_loss loss = {.targets = tokens, .loss = losses};
    at[FORWARD] = time_now(s->kern);
    CLI_CHECK(vt_transformer_forward(s->transformer, arena, &pass, err));
    at[BACKWARD] = time_now(s->kern);
    vt_params_zero_grad(params);
    CLI_CHECK(vt_transformer_backward(s->transformer, arena, &pass, &loss, true, err));
    at[OPTIMIZER] = time_now(s->kern);
    CLI_CHECK(vt_optimizer_step(params, &adamw, 1e-5, ++s->step, &norm, err));
    at[REFRESH] = time_now(s->kern);
    CLI_CHECK(vt_transformer_prepare(s->transformer, err));
    at[WHOLE] = time_now(s->kern);
    for (int i = 0; i < WHOLE; ++i) times[i] = at[i + 1] - at[i];
    times[WHOLE] = at[WHOLE] - at[INPUTS];
    s->kern->sum_squares(s->kern, sum, &(vt_floats){losses, total}, 1);
    CLI_CHECK(vt_kern_download(s->kern, &s->loss, sum, sizeof s->loss, err));
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
    if (!counted) return variant_fail(err, VARIANT_E_MEMORY, "no memory for the measurements");
    vt_dry_kern_init(&dry, kern);
    counted->kern = &dry.kern;
    vt_arena_init_counting(&counted->arena, &dry.kern);
    CLI_CHECK(subject_build(counted, s, err));
    for (enum path path = FULL; path < PATHS; ++path)
        CLI_CHECK(run_step(counted, s->batch, path, times, err));
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
    CLI_TRY(vt_kern_open(&out->kern, s->engine.backend, s->engine.threads, err));
    CLI_TRY(measure_memory(out->kern, s, &all, &out->memory_bytes, err));
    vt_limits_read(&limits, "");
    CLI_TRY(vt_limits_memory(&limits, all, "this training", err));
    CLI_TRY(subject_build(out, s, err));
    CLI_TRY(out->kern->memory_reserve(out->kern, out->memory_bytes, &out->memory, err));
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
        CLI_TRY(run_step(subject, s->batch, path, times, err));
    for (; wants_more(subject, s->repeat); ++subject->runs)
        for (enum path path = FULL; path < PATHS; ++path) {
            vt_quiet_begin(&subject->quiet);
            CLI_TRY(run_step(subject, s->batch, path, times, err));
            subject->spans[path][subject->runs] = vt_quiet_end(&subject->quiet);
            for (int part = 0; part < PARTS; ++part)
                subject->seconds[path][part][subject->runs] = times[part];
        }
    return VARIANT_OK;
}

/* Of the quiet runs, or of all where those are too few. */
static path_times summarise(const train_subject *s, enum path path, int repeat) {
    path_times out = {0};
    int index[2 * MOST_REPEATS];
    double values[2 * MOST_REPEATS];
    int count = vt_quiet_pick(&s->quiet, s->spans[path], s->runs, repeat, index, &out.disturbed);
    for (int part = 0; part < PARTS; ++part) {
        for (int i = 0; i < count; ++i) values[i] = 1e3 * s->seconds[path][part][index[i]];
        out.ms[part] = bench_median(values, count);
        if (part == WHOLE) out.best = values[0]; /* sorted by now */
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

/* ---- reporting ---- */

/* A step of fewer layers took longer. */
static bool contradicts(const train_subject *subject, const settings *s, const path_times *t) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->transformer);
    bool fewer = s->depth < config->depth && s->bridge < config->scales;
    return fewer && t[SUBNET].ms[WHOLE] > t[FULL].ms[WHOLE];
}

static void print_disturbance(const train_subject *subject, const settings *s,
                              const path_times *t) {
    for (enum path path = FULL; path < PATHS; ++path)
        if (t[path].disturbed)
            printf("  disturbed: %s, %d of %d runs quiet, %s\n", path_names[path],
                   t[path].quiet_runs, subject->runs, t[path].why);
    if (contradicts(subject, s, t))
        printf("  disturbed: the subnet's step was slower than the full path's, which runs more "
               "layers\n");
}

/* What a step's products would take at the register peak, of what the step took; 0: not known. */
static double peak_share(const train_subject *subject, const path_times *t, enum path path) {
    return subject->floor_ms[path][WHOLE] / t[path].ms[WHOLE];
}

static void print_json(const train_subject *subject, const settings *s, const path_times *t) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->transformer);
    printf(
        "{\"subject\": \"%s\", \"precision\": \"%s\", \"layers\": %d, \"width\": %d, \"tokens\": "
        "%d, \"batch\": %d, \"depth\": %d, \"bridge\": %d, \"repeat\": %d, \"kernels\": \"%s\"",
        s->arch ? s->arch : s->engine.model, vt_number_name(s->precision), config->depth,
        config->width, vt_transformer_tokens(config), s->batch, s->depth, s->bridge, s->repeat,
        subject->kern->details);
    for (enum path path = FULL; path < PATHS; ++path) {
        printf(", \"%s\": {", path_names[path]);
        for (int part = 0; part < PARTS; ++part) {
            printf("\"%s_ms\": %.3f, ", part_names[part], t[path].ms[part]);
            if (subject->floor_ms[path][part] > 0.0)
                printf("\"%s_floor_ms\": %.3f, ", part_names[part], subject->floor_ms[path][part]);
        }
        if (peak_share(subject, t, path) > 0.0)
            printf("\"peak_share\": %.4f, ", peak_share(subject, t, path));
        printf("\"best_step_ms\": %.3f, \"pictures_per_second\": %.2f, \"runs\": %d, "
               "\"quiet_runs\": %d, \"disturbed\": %s}",
               t[path].best, 1e3 * s->batch / t[path].ms[WHOLE], subject->runs, t[path].quiet_runs,
               t[path].disturbed || contradicts(subject, s, t) ? "true" : "false");
    }
    printf(", \"joint_pictures_per_second\": %.2f}\n",
           1e3 * s->batch / (0.8 * t[FULL].ms[WHOLE] + 0.2 * t[SUBNET].ms[WHOLE]));
}

static void print_table(const train_subject *subject, const settings *s, const path_times *t) {
    const vt_transformer_config *config = vt_transformer_configuration(subject->transformer);
    printf("%s, %d layers of width %d, %d tokens, batch %d, products %s, %d runs\n%s\n\n",
           s->arch ? s->arch : s->engine.model, config->depth, config->width,
           vt_transformer_tokens(config), s->batch, vt_number_name(s->precision), s->repeat,
           subject->kern->details);
    printf("  %-12s %12s   subnet: %d layers after scale %d\n", "", "full", s->depth, s->bridge);
    for (int part = 0; part < PARTS; ++part) {
        const double *full = &subject->floor_ms[FULL][part],
                     *sub = &subject->floor_ms[SUBNET][part];
        printf("  %-12s %9.2f ms %9.2f ms", part_names[part], t[FULL].ms[part], t[SUBNET].ms[part]);
        if (*full > 0.0) printf("   floor %.2f and %.2f ms", *full, *sub);
        printf("\n");
    }
    if (peak_share(subject, t, FULL) > 0.0)
        printf("  %-12s %11.1f %% %9.1f %%\n", "of the peak", 100.0 * peak_share(subject, t, FULL),
               100.0 * peak_share(subject, t, SUBNET));
    printf("  %-12s %9.2f ms %9.2f ms\n", "best step", t[FULL].best, t[SUBNET].best);
    printf("  %-12s %12.2f %12.2f\n\n", "pictures/s", 1e3 * s->batch / t[FULL].ms[WHOLE],
           1e3 * s->batch / t[SUBNET].ms[WHOLE]);
    printf("  joint phase (a fifth of the steps subnet): %.2f pictures/s\n",
           1e3 * s->batch / (0.8 * t[FULL].ms[WHOLE] + 0.2 * t[SUBNET].ms[WHOLE]));
    print_disturbance(subject, s, t);
}

/* ---- the command ---- */

static void init(void *user) {
    settings *s = user;
    *s = (settings){.bridge = 4, .batch = 64, .repeat = 5};
    cli_engine_init(&s->engine);
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_MODEL),
    {"arch", "CONFIG", "synthetic weights: a configuration as `variant synth` reads it",
     CLI_TEXT(settings, arch, "a configuration's file"), .own = true},
    {"precision", "TYPE", "of products: {words}",
     CLI_WORD(vt_number, settings, precision, "f32|bf16"), .own = true},
    {"depth", "D", "layers of the subnet's late scales",
     CLI_INT(settings, depth, 1, VT_SCHEDULE_LAYERS), .unset = "half", .own = true},
    {"bridge", "N", "scales at full depth before them",
     CLI_INT(settings, bridge, 0, VT_SCHEDULE_SCALES), .own = true},
    {"batch", "N", "pictures a step, {range}", CLI_INT(settings, batch, 1, 65536), .own = true},
    {"repeat", "N", "steps counted of each kind, {range}",
     CLI_INT(settings, repeat, 1, MOST_REPEATS), .own = true},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

static int run(void *user, const cli_line *line) {
    (void)line;
    settings *s = user;
    if (!s->arch == !s->engine.model)
        return cli_misuse("what to time? give either -m MODEL or --arch CONFIG");

    variant_error err = {0};
    variant_status status = VARIANT_OK;
    path_times times[PATHS];
    train_subject *subject = calloc(1, sizeof *subject);
    if (!subject) {
        variant_fail(&err, VARIANT_E_MEMORY, "no memory for the measurements");
        return cli_fail(&err);
    }
    CLI_CHECK(subject_open(subject, s, &err));
    CLI_CHECK(measure(subject, s, &err));
    count_floors(subject, s);
    for (enum path path = FULL; path < PATHS; ++path)
        times[path] = summarise(subject, path, s->repeat);
    if (s->json)
        print_json(subject, s, times);
    else
        print_table(subject, s, times);
cleanup:
    subject_close(subject);
    free(subject);
    return cli_end(status, &err);
}

const cli_command bench_train = {
    .name = "bench train",
    .purpose = "time of a step of supernet training",
    .usage = "(-m MODEL | --arch CONFIG.json) [options]",
    .about = "Times steps of supernet training on tokens of a formula, full and subnet by turns; "
             "prints medians. What the weights become is thrown away. Beside forward and backward "
             "stands their floor: the products' arithmetic at the register peak, probed in the "
             "same process.",
    .examples = "variant bench train -m models/fashion --precision bf16 --depth 6",
    CLI_OF_THIS_FILE,
};

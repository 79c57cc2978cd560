/* bench_train.c - `variant bench train`: how long a step of supernet training takes, part by part, on the full path and on a subnet's.
 * Called by bench.c. */
#include "bench.h"

#include <stdio.h>

enum { MOST_LAYERS = 128 };

static const char *const part_names[VARIANT_STEP_PARTS] = {"inputs",    "forward", "backward",
                                                           "optimizer", "refresh", "step"};
enum { WHOLE = VARIANT_STEP_WHOLE };

typedef struct settings {
    variant_engine_options engine;
    bool json;
    const char *config, *precision;
    int depth, bridge, batch, repeat;
} settings;

static void print_disturbance(const variant_bench_training *t) {
    const variant_bench_step *const steps[] = {t->full, t->subnet};
    static const char *const names[] = {"full", "subnet"};
    for (int i = 0; i < 2; ++i)
        if (steps[i]->disturbed)
            printf("  disturbed: %s, %d of %d runs quiet, %s\n", names[i], steps[i]->quiet_runs,
                   t->runs, steps[i]->why);
    if (t->contradicted)
        printf("  disturbed: the subnet's step was slower than the full path's, which runs more "
               "layers\n");
}

/* What a step's products would take at the register peak, of what the step took; 0: not known. */
static double peak_share(const variant_bench_step *step) {
    return step->floor_ms[WHOLE] / step->ms[WHOLE];
}

/* With a fifth of the steps on the subnet. */
static double joint_pictures(const settings *s, const variant_bench_training *t) {
    return 1e3 * s->batch / (0.8 * t->full->ms[WHOLE] + 0.2 * t->subnet->ms[WHOLE]);
}

static void print_step(const settings *s, const variant_bench_training *t,
                       const variant_bench_step *step, const char *name) {
    printf(", \"%s\": {", name);
    for (int part = 0; part < VARIANT_STEP_PARTS; ++part) {
        printf("\"%s_ms\": %.3f, ", part_names[part], step->ms[part]);
        if (step->floor_ms[part] > 0.0)
            printf("\"%s_floor_ms\": %.3f, ", part_names[part], step->floor_ms[part]);
    }
    if (peak_share(step) > 0.0) printf("\"peak_share\": %.4f, ", peak_share(step));
    printf("\"best_step_ms\": %.3f, \"pictures_per_second\": %.2f, \"runs\": %d, "
           "\"quiet_runs\": %d, \"disturbed\": %s}",
           step->best_ms, 1e3 * s->batch / step->ms[WHOLE], t->runs, step->quiet_runs,
           step->disturbed || t->contradicted ? "true" : "false");
}

static void print_json(const settings *s, const variant_bench_training *t) {
    printf(
        "{\"subject\": \"%s\", \"precision\": \"%s\", \"layers\": %d, \"width\": %d, \"tokens\": "
        "%d, \"batch\": %d, \"depth\": %d, \"bridge\": %d, \"repeat\": %d, \"kernels\": \"%s\"",
        s->config ? s->config : s->engine.model, s->precision, t->layers, t->width, t->tokens,
        s->batch, t->depth, s->bridge, s->repeat, t->kernels);
    print_step(s, t, t->full, "full");
    print_step(s, t, t->subnet, "subnet");
    printf(", \"joint_pictures_per_second\": %.2f}\n", joint_pictures(s, t));
}

static void print_table(const settings *s, const variant_bench_training *t) {
    const variant_bench_step *full = t->full, *subnet = t->subnet;
    printf("%s, %d layers of width %d, %d tokens, batch %d, products %s, %d runs\n%s\n\n",
           s->config ? s->config : s->engine.model, t->layers, t->width, t->tokens, s->batch,
           s->precision, s->repeat, t->kernels);
    printf("  %-12s %12s   subnet: %d layers after scale %d\n", "", "full", t->depth, s->bridge);
    for (int part = 0; part < VARIANT_STEP_PARTS; ++part) {
        printf("  %-12s %9.2f ms %9.2f ms", part_names[part], full->ms[part], subnet->ms[part]);
        if (full->floor_ms[part] > 0.0)
            printf("   floor %.2f and %.2f ms", full->floor_ms[part], subnet->floor_ms[part]);
        printf("\n");
    }
    if (peak_share(full) > 0.0)
        printf("  %-12s %11.1f %% %9.1f %%\n", "of the peak", 100.0 * peak_share(full),
               100.0 * peak_share(subnet));
    printf("  %-12s %9.2f ms %9.2f ms\n", "best step", full->best_ms, subnet->best_ms);
    printf("  %-12s %12.2f %12.2f\n\n", "pictures/s", 1e3 * s->batch / full->ms[WHOLE],
           1e3 * s->batch / subnet->ms[WHOLE]);
    printf("  joint phase (a fifth of the steps subnet): %.2f pictures/s\n", joint_pictures(s, t));
    print_disturbance(t);
}

/* ---- the command ---- */

static void init(void *user) {
    settings *s = user;
    *s = (settings){.precision = "f32", .bridge = 4, .batch = 64, .repeat = 5};
    cli_engine_init(&s->engine);
}

static const cli_option options[] = {
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_MODEL),
    {"arch", "CONFIG", "synthetic weights: a configuration as `variant synth` reads it",
     CLI_TEXT(settings, config, "a configuration's file"), .own = true},
    {"precision", "TYPE", "of products: {words}", CLI_NAME(settings, precision, "f32|bf16"),
     .own = true},
    {"depth", "D", "layers of the subnet's late scales", CLI_INT(settings, depth, 1, MOST_LAYERS),
     .unset = "half", .own = true},
    {"bridge", "N", "scales at full depth before them",
     CLI_INT(settings, bridge, 0, VARIANT_MAX_SCALES), .own = true},
    {"batch", "N", "pictures a step, {range}", CLI_INT(settings, batch, 1, 65536), .own = true},
    {"repeat", "N", "steps counted of each kind, {range}",
     CLI_INT(settings, repeat, 1, VARIANT_BENCH_MOST_REPEAT), .own = true},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

static int run(void *user, const cli_line *line) {
    (void)line;
    settings *s = user;
    if (!s->config == !s->engine.model)
        return cli_misuse("what to time? give either -m MODEL or --arch CONFIG");
    variant_error err = {0};
    variant_bench_training *times;
    variant_bench_train_options asked;
    variant_bench_train_options_init(&asked);
    asked.config = s->config;
    asked.precision = s->precision;
    asked.depth = s->depth;
    asked.bridge = s->bridge;
    asked.batch = s->batch;
    asked.repeat = s->repeat;
    if (variant_bench_train(&times, &s->engine, &asked, &err) != VARIANT_OK) return cli_fail(&err);
    if (s->json)
        print_json(s, times);
    else
        print_table(s, times);
    variant_bench_training_free(&times);
    return 0;
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
    .opens = true,
    CLI_OF_THIS_FILE,
};

/* plan.c - `variant plan`: the best schedule within a budget of memory and time. */
#include <stdio.h>

#include "planning.h"
#include "request.h"
#include "train_options.h"

typedef struct settings {
    cli_request asked;
    cli_planning planning;
    bool json;
} settings;

static void init(void *user) {
    settings *s = user;
    cli_request_init(&s->asked);
    cli_planning_init(&s->planning, 1);
    s->asked.request.count = 0;
}

static const cli_option options[] = {
    CLI_ROWS(cli_planning_options, cli_planning, settings, planning, NULL),
    CLI_HEADING("request"),
    {"count", "N", "pictures, {range}", .letter = 'n',
     CLI_INT(settings, asked.request.count, 1, 1000000), .unset = "one batch, 64 with --batch auto",
     .own = true},
    CLI_ROWS(cli_request_options, cli_request, settings, asked, CLI_GUIDANCE " layers"),
    CLI_ROWS(cli_decoder_option, const char *, settings, asked.request.decoder, NULL),
    CLI_HEADING("model"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine, CLI_MODEL),
    CLI_HEADING("running"),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, asked.engine,
             CLI_PRECISION " " CLI_RUN),
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    {0},
};

static void print_plan(const cli_planning *planning, const variant_plan *plan) {
    char flags[CLI_PLANNING_FLAGS];
    cli_planning_flags(planning, plan, flags, sizeof flags);
    printf("%s: %s\n", plan->fits ? "fits" : "nearest", flags);
    printf("  memory  %10.1f MB  weights, activations, keys and values\n",
           (double)plan->bytes / 1e6);
    if (plan->seconds > 0.0)
        printf("  time    %10.1f ms  a batch, %s%s\n", plan->seconds * 1e3,
               plan->measured ? "measured now" : "from the cache",
               plan->disturbed ? ", disturbed" : "");
    if (plan->has_distance) {
        char spread[32] = "    ";
        if (plan->distance_spread > 0.0)
            snprintf(spread, sizeof spread, " +- %.2g", plan->distance_spread);
        printf("  quality %10.4g%s %s, less is better\n", plan->distance, spread, plan->score);
    }
    printf("  layers  %10.1f %%   of the full depth's, every scale counting alike\n"
           "  why     %s\n",
           plan->kept * 100.0, plan->why);
    if (plan->uncond_depths[0])
        printf("  uncond  %s  layers of guidance's unconditional branch by scale\n",
               plan->uncond_depths);
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    variant_request *request = &s->asked.request;
    s->planning.wanted = true;
    int done = cli_model_check(&s->asked.engine);
    if (done < 0) done = cli_request_check(&s->asked, line);
    if (done < 0) done = cli_planning_check(&s->planning, request, line);
    if (done >= 0) return done;
    if (!request->count) request->count = s->planning.options.auto_batch ? 64 : request->batch;
    variant_engine *engine = NULL;
    variant_plan plan = {.size = sizeof plan};
    variant_error err;
    bool failed =
        variant_engine_open(&engine, &s->asked.engine, &err) != VARIANT_OK ||
        variant_plan_make(engine, request, &s->planning.options, &plan, &err) != VARIANT_OK;
    variant_engine_close(&engine);
    if (failed) return cli_fail(&err);
    if (plan.warning[0]) cli_warn(NULL, plan.warning);
    if (s->json) {
        cli_planning_json(stdout, &s->planning, &plan);
        putchar('\n');
    } else {
        print_plan(&s->planning, &plan);
    }
    if (plan.fits) return 0;
    err.status = VARIANT_E_UNSUPPORTED;
    cli_planning_miss(&s->planning, &plan, err.message, sizeof err.message);
    return cli_fail(&err);
}

static const cli_command *const kinds[] = {&cli_plan_train, NULL};

const cli_command cli_plan = {
    .name = "plan",
    .kinds = kinds,
    .purpose = "the best depth within a budget of memory and time",
    .usage = "-m MODEL [--max-memory SIZE] [--max-latency TIME] [options]\n"
             "train KIND --data DIR|IDX [options]",
    .about = "Chooses bridge and depth for generate, which takes the same options. Exit status 1 "
             "when nothing fits; the nearest schedule is told. Times are measured once per "
             "machine, model and batch, and kept in $XDG_CACHE_HOME/variant or ~/.cache/variant. "
             "`plan train KIND` tells the memory of a training.",
    .examples = "variant plan -m models/fashion --max-memory 60M --max-latency 20ms\n"
                "variant plan -m models/fashion --batch auto --max-memory 100M",
    .opens = true,
    CLI_OF_THIS_FILE,
};

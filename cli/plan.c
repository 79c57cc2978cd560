/* plan.c - `variant plan`: the best schedule within a budget of memory and time. */
#include <stdio.h>

#include "planning.h"
#include "request.h"
#include "tools.h"

static const char help[] =
    "usage: variant plan -m MODEL [--max-memory SIZE] [--max-latency TIME] [options]\n"
    "\n"
    "Chooses bridge and depth for generate, which takes the same options. Exit status 1 when "
    "nothing "
    "fits; the\n"
    "nearest schedule is told. Times are measured once per machine, model and batch, and kept in\n"
    "$XDG_CACHE_HOME/variant or ~/.cache/variant.\n"
    "\n" CLI_PLANNING_HELP "      --batch N|auto     pictures at a time, 1 to 4096 (default 1); "
    "auto: as many as fit, up to --count, "
    "at most 64\n"
    "\n"
    "request\n"
    "  -n, --count N          pictures, 1 to 1000000 (default: one batch, 64 with --batch auto)\n"
    "      --cfg-scale T      guidance, 0 (off, which halves the work) to 100 (default 1.5)\n"
    "      --layers WHICH     equidistant (default), rounded or prefix\n"
    "\n" CLI_REQUEST_MODEL_HELP "\n"
    "running\n"
    "      --weights TYPE     f32 (default, exact), bf16 (half the memory, fast) or int8 (a "
    "quarter)\n"
    "      --kv TYPE          of keys and values: f32, bf16 or int8 (default: f32 with f32 "
    "weights, else bf16)\n"
    "  -t, --threads N        1 to 1024 (default: one a processor)\n"
    "      --backend NAME     cpu (default) or ref\n"
    "      --json             the plan as JSON\n"
    "  -h, --help             this text\n"
    "\n"
    "examples\n"
    "  variant plan -m models/fashion --max-memory 60M --max-latency 20ms\n"
    "  variant plan -m models/fashion --batch auto --max-memory 100M\n";

enum { OPT_JSON = 256 };

static const struct option long_options[] = {
    {"model", required_argument, NULL, 'm'},
    {"tokenizer", required_argument, NULL, CLI_REQUEST_TOKENIZER},
    {"sides", required_argument, NULL, CLI_REQUEST_SIDES},
    {"heads", required_argument, NULL, CLI_REQUEST_HEADS},
    {"part", required_argument, NULL, CLI_REQUEST_PART},
    {"count", required_argument, NULL, 'n'},
    {"cfg-scale", required_argument, NULL, CLI_REQUEST_CFG},
    {"layers", required_argument, NULL, CLI_REQUEST_LAYERS},
    {"batch", required_argument, NULL, CLI_REQUEST_BATCH},
    {"threads", required_argument, NULL, 't'},
    {"backend", required_argument, NULL, CLI_REQUEST_BACKEND},
    {"weights", required_argument, NULL, CLI_REQUEST_WEIGHTS},
    {"kv", required_argument, NULL, CLI_REQUEST_KV},
    CLI_PLANNING_OPTIONS,
    {"json", no_argument, NULL, OPT_JSON},
    {"help", no_argument, NULL, 'h'},
    {NULL, 0, NULL, 0},
};

typedef struct settings {
    cli_request asked;
    cli_planning planning;
    bool json;
} settings;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    if (id == OPT_JSON) {
        s->json = true;
        return true;
    }
    if (id == CLI_REQUEST_BATCH) return cli_planning_batch(&s->planning, &s->asked.request, text);
    int taken = cli_planning_option(&s->planning, id, text);
    return taken >= 0 ? taken == 1 : cli_request_option(&s->asked, id, text) == 1;
}

static void print_plan(const variant_plan *plan) {
    printf("%s: --bridge %d --depth %d --layers %s --batch %d\n", plan->fits ? "fits" : "nearest",
           plan->bridge, plan->depth, plan->layers, plan->batch);
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
}

int cli_plan(int argc, char **argv) {
    settings s = {0};
    cli_request_init(&s.asked);
    cli_planning_init(&s.planning);
    s.asked.request.count = 0;
    cli_parser parser = {.command = "plan",
                         .help = help,
                         .letters = ":m:n:t:h",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    int status = cli_parse(&parser, argc, argv);
    if (status >= 0) return status;
    if (optind < argc) return cli_usage("plan", "unexpected argument %s", argv[optind]);
    if (!s.asked.engine.model) return cli_usage("plan", "-m MODEL is needed");
    variant_request *request = &s.asked.request;
    s.planning.wanted = true;
    status = cli_planning_check(&s.planning, request, "plan");
    if (status >= 0) return status;
    if (!request->batch) request->batch = 1;
    if (!request->count) request->count = s.planning.options.auto_batch ? 64 : request->batch;
    variant_engine *engine = NULL;
    variant_plan plan;
    variant_error err;
    status = variant_engine_open(&engine, &s.asked.engine, &err) != VARIANT_OK ||
             variant_plan_make(engine, request, &s.planning.options, &plan, &err) != VARIANT_OK;
    variant_engine_close(&engine);
    if (status) return cli_fail("plan", &err);
    if (plan.warning[0]) fprintf(stderr, "variant plan: warning: %s\n", plan.warning);
    if (s.json) {
        cli_planning_json(stdout, &s.planning, &plan);
        putchar('\n');
    } else {
        print_plan(&plan);
    }
    if (plan.fits) return 0;
    err.status = VARIANT_E_UNSUPPORTED;
    cli_planning_miss(&s.planning, &plan, err.message, sizeof err.message);
    return cli_fail("plan", &err);
}

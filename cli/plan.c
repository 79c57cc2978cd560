/* plan.c - `variant plan`: the deepest schedule within a budget of memory and time. */
#include <stdio.h>
#include <string.h>

#include "tools.h"

static const char help[] =
    "usage: variant plan -m MODEL [--max-memory SIZE] [--max-latency TIME] [options]\n"
    "\n"
    "Chooses bridge and depth for generate. Exit status 1 when nothing fits; the nearest schedule "
    "is told.\n"
    "\n"
    "budget\n"
    "      --max-memory SIZE  weights, activations, keys and values: 300M, 1.5G, 512MiB, 2GiB\n"
    "      --max-latency TIME of a batch, once the model is loaded: 800ms, 2s\n"
    "      --batch N          pictures at a time (default 1)\n"
    "\n"
    "request\n"
    "      --cfg-scale T      guidance (default 1.5; 0: off, which halves the work)\n"
    "      --layers WHICH     equidistant (default), rounded or prefix\n"
    "\n"
    "model\n" CLI_MODEL_HELP
    "      --heads N          attention heads, where no file tells them\n" CLI_PRECISION_HELP "\n"
    "running\n"
    "      --json             the plan as JSON\n" CLI_RUN_HELP "\n"
    "example\n"
    "  variant plan -m models/fashion --max-memory 60M --max-latency 20ms\n";

enum { OPT_MEMORY = CLI_OWN, OPT_LATENCY, OPT_BATCH, OPT_CFG, OPT_LAYERS };

static const struct option long_options[] = {
    CLI_MODEL_OPTIONS,
    CLI_PRECISION_OPTIONS,
    {"max-memory", required_argument, NULL, OPT_MEMORY},
    {"max-latency", required_argument, NULL, OPT_LATENCY},
    {"batch", required_argument, NULL, OPT_BATCH},
    {"cfg-scale", required_argument, NULL, OPT_CFG},
    {"layers", required_argument, NULL, OPT_LAYERS},
    {"json", no_argument, NULL, CLI_JSON},
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    variant_request request;
    size_t max_bytes;
    double max_seconds;
} settings;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    double number;
    switch (id) {
    case OPT_MEMORY:
        return cli_bytes(text, &s->max_bytes);
    case OPT_LATENCY:
        return cli_seconds(text, &s->max_seconds);
    case OPT_BATCH:
        return cli_int(text, 1, 4096, &s->request.batch);
    case OPT_CFG:
        if (!cli_double(text, 0, 100, &number)) return false;
        s->request.cfg_scale = (float)number;
        return true;
    case OPT_LAYERS:
        s->request.layers = text;
        return strcmp(text, "equidistant") == 0 || strcmp(text, "rounded") == 0 ||
               strcmp(text, "prefix") == 0;
    default:
        return cli_model_option(&s->model, id, text) == 1;
    }
}

static void print_json(const settings *s, const variant_plan *plan) {
    printf("{\"fits\": %s, \"bridge\": %d, \"depth\": %d, \"batch\": %d, \"bytes\": %zu, "
           "\"seconds\": %.6f, \"kept\": %.6f, \"considered\": %d, \"max_bytes\": %zu, "
           "\"max_seconds\": %.6f}\n",
           plan->fits ? "true" : "false", plan->bridge, plan->depth, plan->batch, plan->bytes,
           plan->seconds, plan->kept, plan->considered, s->max_bytes, s->max_seconds);
}

static void print_plan(const variant_plan *plan) {
    printf("%s: --bridge %d --depth %d --batch %d\n", plan->fits ? "fits" : "nearest", plan->bridge,
           plan->depth, plan->batch);
    printf("  memory  %10.1f MB  weights, activations, keys and values\n",
           (double)plan->bytes / 1e6);
    printf("  time    %10.1f ms  a batch\n", plan->seconds * 1e3);
    printf("  layers  %10.1f %%   of the full depth's, every scale counting alike; %d schedules "
           "compared\n",
           plan->kept * 100.0, plan->considered);
}

static int complain(const settings *s, const variant_plan *plan) {
    fputs("variant plan: no schedule fits; the nearest takes", stderr);
    if (s->max_bytes)
        fprintf(stderr, " %.1f MB of %.1f", (double)plan->bytes / 1e6, (double)s->max_bytes / 1e6);
    if (s->max_seconds > 0.0)
        fprintf(stderr, "%s %.1f ms of %.1f", s->max_bytes ? " and" : "", plan->seconds * 1e3,
                s->max_seconds * 1e3);
    fputs("\n", stderr);
    return 1;
}

int cli_plan(int argc, char **argv) {
    settings s = {0};
    variant_request_init(&s.request);
    cli_parser parser = {"plan", help, ":m:t:h", long_options, accept, &s};
    int status = cli_parse(&parser, argc, argv);
    if (status >= 0) return status;
    if (optind < argc) return cli_usage("plan", "unexpected argument %s", argv[optind]);
    if (!s.model.model) return cli_usage("plan", "-m MODEL is needed");
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = s.model.model;
    options.tokenizer = s.model.tokenizer;
    options.sides = s.model.sides;
    options.heads = s.model.heads;
    options.threads = s.model.threads;
    if (s.model.backend) options.backend = s.model.backend;
    if (s.model.weights) options.weights = s.model.weights;
    if (s.model.kv) options.kv = s.model.kv;
    variant_engine *engine = NULL;
    variant_plan plan;
    variant_error err;
    status = variant_engine_open(&engine, &options, &err) != VARIANT_OK ||
             variant_plan_make(engine, &s.request, s.max_bytes, s.max_seconds, &plan, &err) !=
                 VARIANT_OK;
    variant_engine_close(&engine);
    if (status) return cli_fail("plan", &err);
    if (s.model.json)
        print_json(&s, &plan);
    else
        print_plan(&plan);
    return plan.fits ? 0 : complain(&s, &plan);
}

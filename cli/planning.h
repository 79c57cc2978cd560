/* planning.h - the options that let the program choose the depth, for plan, generate and bench:
 * budgets, quality, a sweep's results, --batch auto; and what is said about the choice. */
#ifndef VT_CLI_PLANNING_H
#define VT_CLI_PLANNING_H

#include <getopt.h>
#include <stdio.h>

#include "cli.h"

enum {
    CLI_PLANNING = 500, /* the first of these ids */
    CLI_PLANNING_MEMORY = CLI_PLANNING,
    CLI_PLANNING_LATENCY,
    CLI_PLANNING_QUALITY,
    CLI_PLANNING_SWEEP,
    CLI_PLANNING_REMEASURE
};

#define CLI_PLANNING_OPTIONS                                                                       \
    {"max-memory", required_argument, NULL, CLI_PLANNING_MEMORY},                                  \
        {"max-latency", required_argument, NULL, CLI_PLANNING_LATENCY},                            \
        {"quality", required_argument, NULL, CLI_PLANNING_QUALITY},                                \
        {"sweep", required_argument, NULL, CLI_PLANNING_SWEEP}, {                                  \
        "remeasure", no_argument, NULL, CLI_PLANNING_REMEASURE                                     \
    }

#define CLI_PLANNING_HELP                                                                          \
    "depth by a budget (instead of --depth and --bridge; docs/PLANNING.md)\n"                      \
    "      --max-memory SIZE  weights, activations, keys and values: 300M, 1.5G, 512MiB, 2GiB\n"   \
    "      --max-latency TIME of a batch, once the model is loaded: 800ms, 2s\n"                   \
    "      --quality WHICH    high (all layers), balanced (half of the late scales') or fast (a "  \
    "quarter);\n"                                                                                  \
    "                         with --sweep the best, the fastest within 5 %, within 25 %\n"        \
    "      --sweep FILE       results of `variant sweep` with quality: the best measured one "     \
    "that fits\n"                                                                                  \
    "      --remeasure        times again, whatever the cache holds\n"

typedef struct cli_planning {
    variant_plan_options options;
    bool wanted; /* any of them was given */
} cli_planning;

void cli_planning_init(cli_planning *planning);
/* One option: 1 taken, 0 its value is not valid, -1 not one of these. */
int cli_planning_option(cli_planning *planning, int id, const char *text);
/* The value of --batch, a number or "auto". */
bool cli_planning_batch(cli_planning *planning, variant_request *request, const char *text);
/* Exit status 2 when the request also names a depth, else -1. */
int cli_planning_check(const cli_planning *planning, const variant_request *request,
                       const char *command);

/* Chooses and puts the choice into the request. Nothing fits: E_UNSUPPORTED, and the message says what
 * the nearest takes and by how much that misses. */
variant_status cli_planning_apply(const cli_planning *planning, const char *command,
                                  const variant_engine *engine, variant_request *request,
                                  variant_plan *plan, variant_error *err);
/* "--bridge 4 --depth 4 --layers equidistant --batch 1, 15.2 MB, 12.3 ms a batch: keeps most layers
 * ..." */
void cli_planning_print(FILE *to, const variant_plan *plan);
/* An object without line end. */
void cli_planning_json(FILE *to, const cli_planning *planning, const variant_plan *plan);
/* What the nearest takes, in one line without end. */
void cli_planning_miss(const cli_planning *planning, const variant_plan *plan, char *out,
                       size_t size);

#endif

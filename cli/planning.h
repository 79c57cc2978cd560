/* planning.h - the options that let the program choose the depth, for plan, generate and bench:
 * budgets, quality, a sweep's results, --batch auto; and what is said about the choice. */
#ifndef VT_CLI_PLANNING_H
#define VT_CLI_PLANNING_H

#include <stdio.h>

#include "cli.h"

#define CLI_PLANNING_FLAGS 420 /* room of what cli_planning_flags says */

typedef struct cli_planning {
    variant_plan_options options;
    bool wanted;     /* any of them was given */
    int batch;       /* pictures at a time, unless options.auto_batch */
    char given[200]; /* options of the line that the plan is for: " --uncond-depth 0" */
} cli_planning;

/* Of cli_planning. */
extern const cli_option cli_planning_options[];

void cli_planning_init(cli_planning *planning, int batch);
/* Puts the batch into the request, and keeps what a plan repeats of the line. Exit status 2 when the request also names a depth, else -1. */
int cli_planning_check(cli_planning *planning, variant_request *request, const cli_line *line);

/* E_UNSUPPORTED as below where no depth keeps the memory limit, whatever time it takes: before anything but sizes is known. */
variant_status cli_planning_check_memory(const cli_planning *planning, const variant_engine *engine,
                                         const variant_request *request, variant_error *err);
/* Chooses and puts the choice into the request. Nothing fits: E_UNSUPPORTED, and the message says what
 * the nearest takes and by how much that misses. */
variant_status cli_planning_apply(const cli_planning *planning, const variant_engine *engine,
                                  variant_request *request, variant_plan *plan, variant_error *err);
/* The options that make a request the plan's: "--bridge 4 --depth 4 --layers equidistant --uncond-depth 2 --batch 1". */
void cli_planning_flags(const cli_planning *planning, const variant_plan *plan, char *out,
                        size_t size);
/* "--bridge 4 --depth 4 --layers equidistant --batch 1, 15.2 MB, 12.3 ms a batch: keeps most layers
 * ..." */
void cli_planning_print(FILE *to, const cli_planning *planning, const variant_plan *plan);
/* An object without line end. */
void cli_planning_json(FILE *to, const cli_planning *planning, const variant_plan *plan);
/* What the nearest takes, in one line without end. */
void cli_planning_miss(const cli_planning *planning, const variant_plan *plan, char *out,
                       size_t size);

#endif

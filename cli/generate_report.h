/* generate_report.h - what `variant generate` says of its pictures when they are done: for people, and as JSON. */
#ifndef VT_CLI_GENERATE_REPORT_H
#define VT_CLI_GENERATE_REPORT_H

#include "output.h"
#include "planning.h"

typedef struct generated {
    const variant_request *request;
    const variant_info *info;
    const variant_report *report; /* of all batches */
    const cli_planning *planning; /* NULL: nothing was planned */
    const variant_plan *plan;
    const cli_output *output, *animation; /* one may have no path, which is not written */
    double load_seconds;
    bool sheet, verbose;
} generated;

void generated_print(FILE *to, const generated *made);
/* One object on a line. */
void generated_json(FILE *to, const generated *made);

#endif

/* score_report.h - how scores are said: each with its spread, in digits that the spread leaves, and beside them
 * everything that a score depends on. Used by eval. */
#ifndef VT_CLI_SCORE_REPORT_H
#define VT_CLI_SCORE_REPORT_H

#include <cjson/cJSON.h>

#include "request.h"

/* What the pictures were generated with: all that the first of them says of itself (its settings: src/engine/picture.c
 * describes every field of a request), less what is that picture's own, and how the model was named. */
void score_report_request(cJSON *settings, const cli_request *asked, const char *first, int count);
/* Which pictures of a data set were taken, and how. What is said already stays. */
void score_report_data(cJSON *settings, const char *split, double holdout, const char *fit,
                       const char *alpha);
/* What they were judged by, beside reference_count (0: all) real pictures, with so many draws. */
void score_report_judge(cJSON *settings, const variant_network *network, int reference_count,
                        int draws);
/* "FID(classifier)" of "FID": a score as this network makes it. */
void score_report_name(char *out, size_t size, const char *score, const variant_network *network);
/* The text, as an object for cJSON_Delete; it is freed. NULL: no memory. */
cJSON *score_report_parse(char *json);
/* "settings   class all, count 640, ..." in one line: whatever the object holds, but false. */
void score_report_print(const char *label, const cJSON *settings);
/* Likewise, but only what is not so in `known`. */
void score_report_print_other(const char *label, const cJSON *settings, const cJSON *known);

/* "FID(classifier)    0.347 +- 0.012"; nothing where value is not finite. */
void score_report_line(const char *label, double value, double spread, const char *unit);

#endif

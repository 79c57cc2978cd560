/* selftest.c - `variant selftest`: this build's results against reference files, a line a tensor.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "progress.h"
#include "request.h"

typedef struct settings {
    variant_engine_options engine; /* weights: --precision */
    const char *dump;
    bool quiet, json;
    cJSON *lines; /* with --json */
    double begun;
} settings;

static const char *const verdicts[] = {"PASS", "FAIL", "SKIP"};

static void add_json(cJSON *lines, const variant_selftest_line *line) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "file", line->file);
    if (line->tensor[0]) cJSON_AddStringToObject(item, "tensor", line->tensor);
    cJSON_AddStringToObject(item, "verdict", verdicts[line->verdict]);
    if (line->tensor[0] && isfinite(line->error)) {
        cJSON_AddNumberToObject(item, line->measure, line->error);
        cJSON_AddNumberToObject(item, "tolerance", line->tolerance);
    }
    if (line->note[0]) cJSON_AddStringToObject(item, "note", line->note);
    cJSON_AddItemToArray(lines, item);
}

static void print_line(void *user, const variant_selftest_line *line) {
    settings *s = user;
    if (s->lines) {
        add_json(s->lines, line);
        return;
    }
    if (s->quiet && line->verdict == VARIANT_VERDICT_PASS) return;
    char measure[64] = "";
    if (!line->tensor[0] || (line->verdict == VARIANT_VERDICT_FAIL && line->note[0]))
        measure[0] = '\0'; /* the note says it all */
    else if (strcmp(line->measure, "largest_difference") == 0)
        snprintf(measure, sizeof measure, "  largest difference %.0f (at most %.0f)", line->error,
                 line->tolerance);
    else if (strcmp(line->measure, "different") == 0)
        snprintf(measure, sizeof measure, "  %.0f differ", line->error);
    else
        snprintf(measure, sizeof measure, "  relative error %.2e (at most %.0e)", line->error,
                 line->tolerance);
    printf("%s  %s%s%s%s%s%s\n", verdicts[line->verdict], line->file, line->tensor[0] ? "  " : "",
           line->tensor, measure, line->note[0] ? "  " : "", line->note);
    fflush(stdout);
}

static void print_summary(void *user, int passed, int failed, int files, int skipped) {
    const settings *s = user;
    const double seconds = cli_now() - s->begun;
    if (!s->lines) {
        printf("selftest: %d tensors passed, %d failed, %d files skipped (%d files, %s, %.1f s)\n",
               passed, failed, skipped, files, s->engine.backend, seconds);
        return;
    }
    cJSON *report = cJSON_CreateObject();
    cJSON_AddNumberToObject(report, "passed", passed);
    cJSON_AddNumberToObject(report, "failed", failed);
    cJSON_AddNumberToObject(report, "skipped_files", skipped);
    cJSON_AddNumberToObject(report, "files", files);
    cJSON_AddStringToObject(report, "backend", s->engine.backend);
    cJSON_AddNumberToObject(report, "seconds", seconds);
    cJSON_AddItemReferenceToObject(report, "results", s->lines);
    char *text = cJSON_Print(report);
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(report);
}

static void init(void *user) {
    cli_engine_init(&((settings *)user)->engine);
    ((settings *)user)->engine.weights = "f32";
}

static int run(void *user, const cli_line *line) {
    settings *s = user;
    if (!line->operand_count) return cli_misuse("which reference files? give a folder");
    variant_error err = {0};
    variant_selftest_options options;
    variant_selftest_options_init(&options);
    options.backend = s->engine.backend;
    options.threads = s->engine.threads;
    options.weights = s->engine.weights;
    options.kv = s->engine.kv;
    options.dump = s->dump;
    options.line = print_line;
    options.counted = print_summary;
    options.user = s;
    if (s->json) s->lines = cJSON_CreateArray();
    s->begun = cli_now();
    const variant_status status = variant_selftest(line->operands[0], &options, NULL, &err);
    cJSON_Delete(s->lines);
    return cli_end(status, &err);
}

static const cli_option options[] = {
    {"dump", "FILE",
     "write what was computed, under the reference's names (behind the file's path in DIR, as in "
     "A/tokenizer/latent, when DIR is a folder)",
     CLI_TEXT(settings, dump, "a file to write")},
    {"precision", "TYPE",
     "of weights, keys and values: {words}; the latter two compare forward results within 2e-2 "
     "(int8: 5e-2, int4: 2.5e-1), each stage fed with the reference's own",
     CLI_NAME(settings, engine.weights, "f32|bf16|int8|int4"), .own = true},
    {"kv", "TYPE", "of keys and values alone: {words}",
     CLI_NAME(settings, engine.kv, "f32|bf16|int8"), .unset = "as --precision; int8 of int4",
     .own = true},
    {"quiet", NULL, "only what fails, and the summary", .letter = 'q', CLI_FLAG(settings, quiet),
     .own = true},
    CLI_ROWS(cli_json_option, bool, settings, json, NULL),
    CLI_ROWS(cli_engine_options, variant_engine_options, settings, engine, CLI_RUN),
    {0},
};

const cli_command cli_selftest = {
    .name = "selftest",
    .purpose = "this build's results against reference files",
    .usage = "DIR|FILE [options]",
    .about = "Computes every tensor of the reference files in DIR and its sub-folders on the "
             "synthetic models that the files describe, and compares: |got - want| <= tolerance "
             "|want| + 1e-6 in L2, tolerance 1e-5 for forward results and 1e-4 for gradients, "
             "norms and optimizer steps; integers must be identical, 8-bit pictures within 1. "
             "Exit status 1 when a tensor fails, a file is broken, or nothing was compared.",
    .examples = "variant selftest tests/golden/A\n"
                "variant selftest tests/golden --backend ref --quiet\n"
                "variant selftest tests/golden/A --dump computed.safetensors --json > report.json",
    .operands = 1,
    .opens = true,
    CLI_OF_THIS_FILE,
};

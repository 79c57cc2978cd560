/* selftest.c - `variant selftest`: this build's results against reference files, a line a tensor.
 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/status.h"
#include "tools.h"
#include "selftest/selftest.h"

static const char help[] =
    "usage: variant selftest DIR|FILE [options]\n"
    "\n"
    "Computes every tensor of the reference files in DIR and its sub-folders on the synthetic "
    "models that the\n"
    "files describe, and compares: |got - want| <= tolerance |want| + 1e-6 in L2, tolerance 1e-5 "
    "for forward\n"
    "results and 1e-4 for gradients, norms and optimizer steps; integers must be identical, 8-bit "
    "pictures within 1.\n"
    "Exit status 1 when a tensor fails, a file is broken, or nothing was compared.\n"
    "\n"
    "options\n"
    "      --dump FILE        write what was computed, under the reference's names (behind the "
    "file's path in DIR, as\n"
    "                         in A/tokenizer/latent, when DIR is a folder)\n"
    "      --precision TYPE   of weights, keys and values: f32 (default), bf16 or int8; the latter "
    "two "
    "compare forward\n"
    "                         results within 2e-2 (int8: 5e-2), each stage fed with the "
    "reference's own\n"
    "      --kv TYPE          of keys and values alone\n"
    "  -q, --quiet            only what fails, and the summary\n"
    "      --json             the report as JSON on stdout\n" CLI_RUN_HELP "\n"
    "examples\n"
    "  variant selftest tests/golden/A\n"
    "  variant selftest tests/golden --backend ref --quiet\n"
    "  variant selftest tests/golden/A --dump computed.safetensors --json > report.json\n";

enum { OPT_DUMP = CLI_OWN, OPT_PRECISION };

static const struct option long_options[] = {
    {"dump", required_argument, NULL, OPT_DUMP},
    {"precision", required_argument, NULL, OPT_PRECISION},
    {"kv", required_argument, NULL, CLI_KV},
    {"quiet", no_argument, NULL, 'q'},
    {"json", no_argument, NULL, CLI_JSON},
    CLI_RUN_OPTIONS,
};

typedef struct settings {
    cli_model model;
    const char *dump;
    bool quiet;
    cJSON *lines; /* with --json */
} settings;

static bool accept(void *user, int id, const char *text) {
    settings *s = user;
    switch (id) {
    case OPT_DUMP:
        return cli_text(text, "a file to write", &s->dump);
    case OPT_PRECISION:
        s->model.weights = text;
        if (!s->model.kv) s->model.kv = text;
        return cli_is_number_type(text);
    case 'q':
        s->quiet = true;
        return true;
    default:
        return cli_model_option(&s->model, id, text) == 1;
    }
}

static const char *const verdicts[] = {"PASS", "FAIL", "SKIP"};

static void add_json(cJSON *lines, const vt_selftest_line *line) {
    cJSON *item = cJSON_CreateObject();
    cJSON_AddStringToObject(item, "file", line->file);
    if (line->tensor[0]) cJSON_AddStringToObject(item, "tensor", line->tensor);
    cJSON_AddStringToObject(item, "verdict", verdicts[line->verdict]);
    if (line->tensor[0] && isfinite(line->error)) {
        const char *key = line->type == VT_U8    ? "largest_difference"
                          : line->type == VT_I32 ? "different"
                                                 : "error";
        cJSON_AddNumberToObject(item, key, line->error);
        cJSON_AddNumberToObject(item, "tolerance", line->tolerance);
    }
    if (line->note[0]) cJSON_AddStringToObject(item, "note", line->note);
    cJSON_AddItemToArray(lines, item);
}

static void print_line(void *user, const vt_selftest_line *line) {
    settings *s = user;
    if (s->lines) {
        add_json(s->lines, line);
        return;
    }
    if (s->quiet && line->verdict == VT_SELFTEST_PASS) return;
    char measure[64] = "";
    if (!line->tensor[0] || (line->verdict == VT_SELFTEST_FAIL && line->note[0]))
        measure[0] = '\0'; /* the note says it all */
    else if (line->type == VT_U8)
        snprintf(measure, sizeof measure, "  largest difference %.0f (at most %.0f)", line->error,
                 line->tolerance);
    else if (line->type == VT_I32)
        snprintf(measure, sizeof measure, "  %.0f differ", line->error);
    else
        snprintf(measure, sizeof measure, "  relative error %.2e (at most %.0e)", line->error,
                 line->tolerance);
    printf("%s  %s%s%s%s%s%s\n", verdicts[line->verdict], line->file, line->tensor[0] ? "  " : "",
           line->tensor, measure, line->note[0] ? "  " : "", line->note);
    fflush(stdout);
}

static void print_summary(const settings *s, vt_selftest_counts counts, double seconds) {
    if (!s->lines) {
        printf("selftest: %d tensors passed, %d failed, %d files skipped (%d files, %s, %.1f s)\n",
               counts.passed, counts.failed, counts.skipped, counts.files,
               s->model.backend ? s->model.backend : "cpu", seconds);
        return;
    }
    cJSON *report = cJSON_CreateObject();
    cJSON_AddNumberToObject(report, "passed", counts.passed);
    cJSON_AddNumberToObject(report, "failed", counts.failed);
    cJSON_AddNumberToObject(report, "skipped_files", counts.skipped);
    cJSON_AddNumberToObject(report, "files", counts.files);
    cJSON_AddStringToObject(report, "backend", s->model.backend ? s->model.backend : "cpu");
    cJSON_AddNumberToObject(report, "seconds", seconds);
    cJSON_AddItemReferenceToObject(report, "results", s->lines);
    char *text = cJSON_Print(report);
    if (text) puts(text);
    cJSON_free(text);
    cJSON_Delete(report);
}

int cli_selftest(int argc, char **argv) {
    settings s = {0};
    cli_parser parser = {.command = "selftest",
                         .help = help,
                         .letters = ":t:qh",
                         .options = long_options,
                         .accept = accept,
                         .user = &s};
    int done = cli_parse(&parser, argc, argv);
    if (done >= 0) return done;
    if (optind + 1 != argc)
        return cli_usage("selftest", optind < argc ? "one folder or file at a time"
                                                   : "which reference files? give a folder");
    bool json = s.model.json;
    variant_error err = {0};
    vt_selftest *test = NULL;
    if (json) s.lines = cJSON_CreateArray();
    vt_selftest_options options = {.backend = s.model.backend,
                                   .threads = s.model.threads,
                                   .keep = s.dump != NULL,
                                   .line = print_line,
                                   .user = &s};
    double start = vt_seconds();
    variant_status status = VARIANT_OK;
    if (s.model.weights)
        VT_CHECK(vt_number_parse(&options.weights, "--precision", s.model.weights, &err));
    if (s.model.kv) VT_CHECK(vt_number_parse(&options.kv, "--kv", s.model.kv, &err));
    VT_CHECK(vt_selftest_open(&test, &options, &err));
    VT_CHECK(vt_selftest_run(test, argv[optind], &err));
    vt_selftest_counts counts = vt_selftest_result(test);
    print_summary(&s, counts, vt_seconds() - start);
    if (s.dump) VT_CHECK(vt_selftest_dump(test, s.dump, &err));
    if (counts.failed > 0)
        status =
            vt_fail(&err, VARIANT_E_MISMATCH, "%s: %d of %d results disagree with their reference",
                    argv[optind], counts.failed, counts.failed + counts.passed);
    else if (counts.passed == 0)
        status = vt_fail(&err, VARIANT_E_MISMATCH, "%s: nothing there that could be compared",
                         argv[optind]);
cleanup:
    vt_selftest_close(&test);
    cJSON_Delete(s.lines);
    return status == VARIANT_OK ? 0 : cli_fail("selftest", &err);
}

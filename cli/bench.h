/* bench.h - the kinds of `variant bench`: bench.c shows pictures at one depth, bench_depths.c several depths beside each other,
 * bench_streams.c requests that share steps, bench_kernels.c single kernels, bench_train.c steps of training. The library measures
 * (variant/measure.h); these ask and print. */
#ifndef VT_CLI_BENCH_H
#define VT_CLI_BENCH_H

#include "output.h"
#include "planning.h"
#include "progress.h"
#include "request.h"

/* What the command line says. */
typedef struct bench_settings {
    cli_request asked;
    const char *arch;
    cli_planning planning;
    int repeat;
    double budget; /* --time-budget: seconds of all runs; 0: none */
    int compare_count, compare[VARIANT_MAX_DEPTHS]; /* --compare: depths */
    cli_progress_kind progress;
    bool json;
} bench_settings;

/* What is timed: opened from files, or built from a formula. */
typedef struct bench_subject {
    variant_engine *engine;
    const variant_info *info;
    double load_ms; /* -1 of synthetic weights */
} bench_subject;

/* ---- bench.c ---- */

variant_status bench_subject_open(bench_subject *out, const bench_settings *s, variant_error *err);
void bench_subject_close(bench_subject *subject);
/* "runs": 5, "quiet_runs": 2, "disturbed": true, "why": "..." */
void bench_print_disturbance(const variant_bench_figures *figures, bool contradicted);

/* ---- bench_progress.c: what stderr is told while runs are made ---- */

typedef struct bench_progress {
    cli_progress_kind kind; /* settled: LINES, NONE, or AUTO on a terminal */
    double started, shown;
} bench_progress;

void bench_progress_open(bench_progress *p, const bench_settings *s);
/* A step before the runs: "loading the model". */
void bench_progress_say(const bench_progress *p, const char *text);
/* As the library tells it; user: the bench_progress. */
void bench_progress_show(void *user, const variant_bench_progress *at);
/* Clears the line. */
void bench_progress_close(const bench_progress *p);

/* ---- the other kinds ---- */

/* Measures every depth of s->compare and prints them beside each other. */
variant_status bench_depths(bench_subject *subject, bench_progress *progress,
                            const bench_settings *s, variant_error *err);
/* The request's figures at these depths, or as it is, for variant_bench_results_free. */
variant_status bench_measure(variant_bench_results **out, bench_subject *subject,
                             bench_progress *progress, const int *depths, int count,
                             const bench_settings *s, variant_error *err);
/* `variant bench kernels`, each by itself; `streams`, requests that share steps; `train`, steps of training. */
extern const cli_command bench_kernels, bench_streams, bench_train;

#endif

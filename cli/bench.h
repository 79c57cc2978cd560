/* bench.h - the kinds of `variant bench`: bench.c times pictures at one depth, bench_depths.c several
 * depths beside each other, bench_kernels.c single kernels; bench_measure.c is what they share. */
#ifndef VT_CLI_BENCH_H
#define VT_CLI_BENCH_H

#include "core/clock.h"
#include "core/quiet.h"
#include "engine/engine.h"
#include "planning/floor.h"
#include "output.h"
#include "planning.h"
#include "progress.h"
#include "tools.h"

#define BENCH_MAX_REPEAT 1000

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

/* Medians in milliseconds: of the quiet runs, or of all where those are too few. */
typedef struct bench_figures {
    int runs, quiet_runs;
    bool disturbed;                                          /* too few were quiet ... */
    char why[200];                                           /* ... for this */
    double picture, transformer, decoder, first_scale, load; /* load: -1 for synthetic weights */
    double transformer_floor, decoder_floor;
    double condition; /* of transformer: what is computed once a picture */
    double scale[VARIANT_MAX_SCALES], scale_floor[VARIANT_MAX_SCALES];
    double head[VARIANT_MAX_SCALES]; /* of scale: norm and head */
    size_t weight_bytes;             /* in memory, the mapped file's included */
    variant_report last;             /* of the last run: bytes, layers */
} bench_figures;

/* What is timed: opened from files, or built from a formula. */
typedef struct bench_subject {
    vt_kern *kern;
    vt_model *model;
    vt_number weights, kv;
    bool synthetic;
    double load_seconds;
    vt_machine_limits limits; /* of the transformer's products; probed once */
} bench_subject;

/* ---- bench_measure.c ---- */

variant_status bench_subject_open(bench_subject *out, const bench_settings *s, variant_error *err);
void bench_subject_close(bench_subject *s);
/* The request at each of `depths` (count; s->asked.request.depth alone is one): a batch that warms up, then rounds
 * of one batch a depth, until each has s->repeat, of which enough are quiet (core/quiet.h), or s->budget is
 * used up; every depth is run at least once. Fills out (count). */
variant_status bench_measure(bench_figures *out, const int *depths, int count,
                             bench_subject *subject, const bench_settings *s, variant_error *err);
/* "runs": 5, "quiet_runs": 2, "disturbed": true, "why": "..." */
void bench_print_disturbance(const bench_figures *figures, bool contradicted);
size_t bench_weight_bytes(const vt_model *model); /* in memory, the mapped file's included */
/* Median of n numbers, which are sorted. */
double bench_median(double *numbers, int n);

/* ---- bench_progress.c: what stderr is told while runs are made ---- */

typedef struct bench_progress {
    cli_progress_kind kind; /* settled: LINES, NONE, or AUTO on a terminal */
    const char *doing;      /* "warming up", "run 2 of 5" */
    int depth;              /* of the run; 0: all layers */
    double left;            /* seconds after the run; < 0: not known yet */
    double expected;        /* of the run; < 0 likewise */
    double started, shown;
} bench_progress;

void bench_progress_open(bench_progress *p, const bench_settings *s);
/* A step before the runs: "synthetic weights ...". */
void bench_progress_say(const bench_progress *p, const char *text);
void bench_progress_begin(bench_progress *p, const char *doing, int depth, double expected,
                          double left);
/* For variant_request.progress; user: the bench_progress. */
bool bench_progress_step(void *user, const variant_progress *at);
void bench_progress_end(bench_progress *p, double seconds);
/* Clears the line. */
void bench_progress_close(const bench_progress *p);

/* ---- the other kinds ---- */

/* Measures every depth of s->compare and prints them beside each other. */
variant_status bench_depths(bench_subject *subject, const bench_settings *s, variant_error *err);
/* `variant bench kernels`, each by itself; `streams`, requests that share steps; `train`, steps of training. */
extern const cli_command bench_kernels, bench_streams, bench_train;

#endif

/* bench.h - the kinds of `variant bench`: bench.c times pictures at one depth, bench_depths.c several
 * depths beside each other, bench_kernels.c single kernels; bench_measure.c is what they share. */
#ifndef VT_CLI_BENCH_H
#define VT_CLI_BENCH_H

#include "engine/engine.h"
#include "engine/floor.h"
#include "planning.h"
#include "tools.h"

#define BENCH_MAX_REPEAT 1000

/* What the command line says. */
typedef struct bench_settings {
    cli_model model;
    const char *arch;
    variant_request request;
    cli_planning planning;
    int repeat;
    int compare_count, compare[VARIANT_MAX_DEPTHS]; /* --compare: depths */
} bench_settings;

/* Medians in milliseconds. */
typedef struct bench_figures {
    double picture, transformer, decoder, first_scale, load; /* load: -1 for synthetic weights */
    double transformer_floor, decoder_floor;
    double condition; /* of transformer: what is computed once a picture */
    double scale[VARIANT_MAX_SCALES], scale_floor[VARIANT_MAX_SCALES];
    double head[VARIANT_MAX_SCALES]; /* of scale: norm and head */
    size_t weight_bytes;             /* in memory, the mapped file's included */
    variant_report last; /* of the last run: bytes, layers */
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
/* Runs s->repeat + 1 batches of the request, of which the first warms up, and takes medians. */
variant_status bench_measure(bench_figures *out, bench_subject *subject, const bench_settings *s,
                             variant_error *err);
/* Median of n numbers, which are sorted. */
double bench_median(double *numbers, int n);

/* ---- the other kinds ---- */

/* Measures every depth of s->compare and prints them beside each other. */
variant_status bench_depths(bench_subject *subject, const bench_settings *s, variant_error *err);
/* Times every kernel `repeat` times and prints; the exit status. */
int cli_bench_kernels(const cli_model *options, int repeat);
/* `variant bench train`: steps of training; argv[0] is "train". */
int cli_bench_train(int argc, char **argv);

#endif

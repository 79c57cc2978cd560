/* eval.h - what the files of `variant eval` share: its settings, and one evaluation at work. Private to eval*.c. */
#ifndef VT_CLI_EVAL_H
#define VT_CLI_EVAL_H

#include <cjson/cJSON.h>

#include "data_options.h"
#include "progress.h"
#include "request.h"
#include "scoring.h"

enum { EVAL_MOST_SEEDS = 256 };

typedef struct eval_settings {
    cli_request asked;
    cli_scoring by;
    const char *save_reference, *save_statistics;
    cli_paths pictures, reconstruct;
    cli_data taken; /* which of them, and how */
    int count, side, channels;
    bool json;
    uint64_t seeds[EVAL_MOST_SEEDS]; /* --seeds */
    int seed_count;                  /* 0: the request's own alone */
    const char *beside;              /* a file of eval --json, or options; NULL */
} eval_settings;

typedef struct eval_work {
    const eval_settings *settings;
    variant_judge *judge;
    variant_scores scores;
    cli_live live;
    cli_pace pace;
    const char *judging;       /* what the live line says while pictures are judged: "generating" */
    const char *doing;         /* what it says now ... */
    char within[64];           /* ... and of which part: "seed 2, "; "" */
    int before, after;         /* pictures of other seeds and settings, done and to come */
    cJSON *report, *made_with; /* the second, its settings, is the first's */
} eval_work;

/* ---- eval.c ---- */

int eval_draws(const eval_work *work);
/* The engine is open: the real pictures as this model's. */
variant_status eval_open_reference(eval_work *work, const variant_engine *engine,
                                   variant_error *err);
/* The request's pictures to work->scores; made_with, an object, gets what made them. Ctrl-C: E_STOPPED. */
variant_status eval_request(eval_work *work, const variant_engine *engine, const cli_request *asked,
                            uint64_t seed, cJSON *made_with, variant_report *report,
                            variant_error *err);
void eval_warn_of_scores(const variant_scores *scores);

/* ---- eval_seeds.c ---- */

/* What --beside names, read: another setting to run, or scores that are there. */
typedef struct eval_beside {
    bool there, runs;
    cli_request asked;        /* runs: its request */
    char words[1024];         /* ... and the options' room */
    variant_seed_list *found; /* else: of the file */
} eval_beside;

/* -1, or the exit status after a complaint. */
int eval_beside_open(eval_beside *out, const eval_settings *settings);
void eval_beside_close(eval_beside *beside);
/* Every seed of this setting and of the one beside it, and the report of them on stdout. Stopped, or failed, it reports those that
 * are finished. */
variant_status eval_seeds(eval_work *work, const variant_engine *engine, eval_beside *beside,
                          variant_error *err);

#endif

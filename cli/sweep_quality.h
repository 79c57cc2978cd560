/* sweep_quality.h - what judges the points of `variant sweep`: a network and a reference (judge.h) as the judge
 * that src/eval/sweep.h asks for. */
#ifndef VT_CLI_SWEEP_QUALITY_H
#define VT_CLI_SWEEP_QUALITY_H

#include "eval/sweep.h"
#include "judge.h"

typedef struct sweep_quality {
    vt_sweep_judge judge; /* to be given to the sweep */
    cli_judge network;
    const variant_engine *engine;
    vt_data data;    /* the reference; read when the first point is judged */
    vt_eval *eval;   /* of the point at work */
    float *pictures; /* (64, side, side, channels) */
    vt_draws draws;
    cJSON *settings;
} sweep_quality;

/* Opens the network, looks at the reference and says in out->judge.settings what quality will mean. A finished
 * sweep therefore never waits for a reference. draws->count -1: eval.h's default. `out` stays where it is until it is closed. */
variant_status sweep_quality_open(sweep_quality *out, const cli_judge_options *options,
                                  const vt_data *reference, int samples, const vt_draws *draws,
                                  const variant_engine *engine, variant_error *err);
void sweep_quality_close(sweep_quality *quality);

#endif

/* sweep_quality.h - what judges the points of a sweep: a network and a reference (judge.h) as the judge
 * that sweep.h asks for. */
#ifndef VT_EVAL_SWEEP_QUALITY_H
#define VT_EVAL_SWEEP_QUALITY_H

#include "eval/judge.h"
#include "eval/sweep.h"

typedef struct vt_sweep_quality {
    vt_sweep_judge judge; /* to be given to the sweep */
    vt_judge network;
    const variant_engine *engine;
    vt_data data;    /* the reference; read when the first point is judged */
    vt_eval *eval;   /* of the point at work */
    float *pictures; /* (64, side, side, channels) */
    vt_draws draws;
    cJSON *settings;
} vt_sweep_quality;

/* Opens the network, looks at the reference and says in out->judge.settings what quality will mean. A finished
 * sweep therefore never waits for a reference. draws->count -1: eval.h's default. `out` stays where it is until it is closed. */
variant_status vt_sweep_quality_open(vt_sweep_quality *out, const vt_judge_options *options,
                                     const vt_data *reference, int samples, const vt_draws *draws,
                                     const variant_engine *engine, variant_error *err);
void vt_sweep_quality_close(vt_sweep_quality *quality);

#endif

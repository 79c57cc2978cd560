/* sweep.h - one model at many depths: what each costs and what it is worth.
 *
 * A sweep is a list of tasks (sweep_plan.c): depth x bridge x selector x guidance x
 * layers of the unconditional branch, and "zones", where one zone of
 * scales alone runs fewer layers. Each task is run (sweep.c) and becomes one object in FOLDER/sweep.json, which is
 * written whole after each: killed at any moment, the same call goes on where it stopped. sweep.csv is the same as
 * a table, report.html (report.h) the same to look at. `variant sweep` calls this; the planner reads sweep.json.
 *
 * Timed runs go in rounds, one run of every point after the other, so that a machine that slows down for a
 * while slows all points and not one. The first round also judges and draws. A point keeps its single
 * runs, so more of them can be added later, and of each whether it was disturbed (core/quiet.h).
 *
 * Memory of a point is the exact sum weights + activations + keys and values. The resident size of the
 * process is not recorded: it is a maximum over everything the process did before. */
#ifndef VT_EVAL_SWEEP_H
#define VT_EVAL_SWEEP_H

#include <cjson/cJSON.h>

#include "engine/engine.h"
#include "planning/sweep_file.h"

#define VT_SWEEP_MAX_LIST VARIANT_SWEEP_LIST
#define VT_SWEEP_LAYERS (VARIANT_MAX_SCALES * 5) /* "12,12,6" and its end */

/* What judges the pictures of a point. */
typedef struct vt_sweep_judge {
    void *user;
    variant_status (*begin)(void *user, variant_error *err);
    variant_status (*add)(void *user, const variant_picture *pictures, int count,
                          variant_error *err);
    /* {"frechet": x, "name": "FID(classifier)", "samples": n, ...}; the caller deletes it */
    variant_status (*finish)(void *user, cJSON **quality, variant_error *err);
    int samples;           /* pictures a point */
    const cJSON *settings; /* network, reference: must agree when a sweep goes on; borrowed */
} vt_sweep_judge;

typedef struct vt_sweep_zone {
    int first, last; /* scales, from 1, both inside */
} vt_sweep_zone;

typedef struct vt_sweep_progress {
    int round, rounds;     /* the one at work, from 1; as many as timed runs */
    int point, points;     /* that have had this round; wanted */
    double share, resumed; /* of all work that is done; that was found done in the folder */
    const char *id;        /* of the point at work; "" at the end */
} vt_sweep_progress;

typedef struct vt_sweep_options {
    const variant_engine *engine;
    const char *folder;
    const char *subject;     /* model as the user named it */
    bool synthetic;          /* weights by formula: no pictures worth keeping */
    const char *command;     /* what repeats this */
    variant_request request; /* seed, sampling and batch; depth and guidance come from the lists */
    int depth_count, depths[VT_SWEEP_MAX_LIST];
    int bridge_count, bridges[VT_SWEEP_MAX_LIST];
    int selector_count;
    const char *selectors[VT_SWEEP_MAX_LIST];
    int cfg_count;
    double cfg_scales[VT_SWEEP_MAX_LIST];
    /* layers of the unconditional branch in the late scales, at most the conditional's; 0: the conditional's; -1 or none: what the
     * request says, or leaves to the model */
    int uncond_count, uncond_depths[VT_SWEEP_MAX_LIST];
    int late_count; /* factors on guidance where that branch is the shallower one (variant_request.cfg_late); likewise */
    double cfg_lates[VT_SWEEP_MAX_LIST];
    int seed_count; /* judged with each of these seeds; 0: with the request's */
    uint64_t seeds[VT_SWEEP_MAX_LIST];
    int zone_count;
    vt_sweep_zone zones[VT_SWEEP_MAX_LIST];
    int zone_depth;              /* layers inside a zone */
    int repeat;                  /* timed runs of a batch; one before each is discarded */
    int pictures;                /* of the same seeds, kept at each point for the report; 0: none */
    const vt_sweep_judge *judge; /* NULL: no quality */
    bool (*progress)(void *user, const vt_sweep_progress *at); /* false: stop; NULL */
    void *user;
} vt_sweep_options;

/* Runs what FOLDER does not hold yet. E_MISMATCH: it holds a sweep with other settings. E_STOPPED: progress said
 * so; what was finished is kept. The report is written in every case in which there is a point. */
variant_status vt_sweep_run(const vt_sweep_options *options, variant_error *err);

/* ---- sweep_plan.c ---- */

typedef struct vt_sweep_task {
    /* "d4-n2-equidistant-cfg1.5", "zone3-4-d2-equidistant-cfg1.5"; behind that "-u2-late2.5" where the unconditional branch
     * ends with fewer layers than the conditional */
    char id[96];
    int depth, bridge; /* a zone: its depth, and -1 */
    const char *selector;
    double cfg_scale;
    vt_sweep_zone zone;           /* first 0: not a zone */
    char depths[VT_SWEEP_LAYERS]; /* layers of every scale */
    int uncond;                   /* of the list; -1: as the request says ... */
    double
        cfg_late; /* ... likewise; once planned what holds, NAN where it does nothing, or is not one */
    vt_sweep_list guidance;              /* t of every scale */
    char uncond_asked[VT_SWEEP_LAYERS];  /* layers of every scale to ask for; "": none are */
    char uncond_depths[VT_SWEEP_LAYERS]; /* what runs; "": no guidance */
} vt_sweep_task;

/* The lists that nobody filled, from the model. */
void vt_sweep_fill(vt_sweep_options *options, const variant_info *info);
/* The request of a task: options->request with its depths and guidance, which lie in the task. */
variant_request vt_sweep_request(const vt_sweep_options *options, const vt_sweep_task *task);
/* The tasks in the order they run; *out is an array to free(). The full depth appears once a guidance: bridge
 * and selector change nothing there. E_ARGUMENT names what the model cannot do. */
variant_status vt_sweep_plan(vt_sweep_task **out, int *count, const vt_sweep_options *options,
                             variant_error *err);

/* ---- sweep_state.c ---- */

/* Opens FOLDER's state: a new one, or the one found there when it was made with the same settings. It may have had
 * fewer runs, and no judge yet. */
variant_status vt_sweep_state_open(cJSON **out, const vt_sweep_options *options,
                                   variant_error *err);
/* This task's point in the state, or NULL. */
cJSON *vt_sweep_state_find(const cJSON *state, const vt_sweep_task *task);
/* Takes over `point`. */
variant_status vt_sweep_state_add(cJSON *state, const vt_sweep_task *task, cJSON *point,
                                  variant_error *err);
/* Gives each point that took longer than one with more layers at the same guidance "contradicts": that one's id. */
void vt_sweep_state_check_order(cJSON *state);
/* In few words why a point's times are not to be trusted: disturbed runs, a contradiction; "" where nothing is. */
void vt_sweep_doubt(const cJSON *point, char *out, size_t size);
/* FOLDER/sweep.json and FOLDER/sweep.csv, each whole or not at all. */
variant_status vt_sweep_state_write(const cJSON *state, const char *folder, variant_error *err);
/* FOLDER/sweep.json, checked as far as "this is a sweep". */
variant_status vt_sweep_state_read(cJSON **out, const char *folder, variant_error *err);

#endif

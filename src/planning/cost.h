/* cost.h - seconds of a batch, measured once per model and machine and kept in a file.
 *
 * A table holds runs of the model: seconds of the layers at each scale, and what every depth pays. Two of them, deep and
 * shallow, run the same layers in both branches of guidance. With two zones a layer that runs at a scale ran at all scales
 * before it, so it attends to as many keys at any depth: between the two runs time is a line in the number of layers (its
 * ends differ per layer, because few layers stay in the processor's cache). A layer that one branch runs without the
 * other has half the rows and reads its weights all the same: the third run, whose unconditional branch is the shallow
 * one, says what it takes. So one table serves every unconditional branch. plan.c asks for it. */
#ifndef VT_PLANNING_COST_H
#define VT_PLANNING_COST_H

#include "engine/branches.h"
#include "engine/engine.h"

/* Layers of a request at every scale. */
typedef struct vt_cost_work {
    int layers[VARIANT_MAX_SCALES]; /* that every branch of it runs */
    int alone[VARIANT_MAX_SCALES];  /* that one of two branches runs without the other */
} vt_cost_work;
void vt_cost_work_of(vt_cost_work *out, const vt_branches *branches);

typedef struct vt_cost_run {
    vt_cost_work work;
    double seconds[VARIANT_MAX_SCALES]; /* all of them at the scale, without norm and head */
} vt_cost_run;

typedef struct vt_costs {
    int scales;
    vt_cost_run deep, shallow; /* equal where a scale ran as many layers in both; nothing alone */
    vt_cost_run apart; /* deep, the unconditional branch shallow; as deep without guidance */
    double fixed;      /* heads, condition, sampling, quantizer, decoder */
    bool disturbed;    /* by other work, or fewer layers came out slower: to be measured again */
    char why[200];
} vt_costs;

/* Seconds of a batch that runs these layers; of them, those of scale k. */
double vt_costs_scale_seconds(const vt_costs *costs, const vt_cost_work *work, int k);
double vt_costs_seconds(const vt_costs *costs, const vt_cost_work *work);
/* Is every scale of it within what was measured, not beyond? */
bool vt_costs_cover(const vt_costs *costs, const vt_cost_work *work);

/* Two zones, as a run measured or a plan wants them. */
typedef struct vt_zones {
    int bridge, depth;
} vt_zones;

/* The request with these zones, both branches alike; and with the unconditional branch, where there is one, in `uncond`'s,
 * of which room holds the text. */
void vt_cost_request(variant_request *out, const variant_request *request, vt_zones zones);
typedef struct vt_layers_text {
    char text[VARIANT_MAX_SCALES * 5];
} vt_layers_text;
variant_status vt_cost_request_apart(variant_request *out, const variant_engine *engine,
                                     const variant_request *request, vt_zones zones,
                                     vt_zones uncond, vt_layers_text *room, variant_error *err);

/* Generates batches of the request (count pictures at a time): both branches in `deep` and in `shallow`, and the
 * conditional one in `apart` with the unconditional one in `shallow`, in turn; medians of the quiet ones (core/quiet.h). Where other work leaves too few, twice as many are made, and out->disturbed is set. */
variant_status vt_costs_measure(vt_costs *out, const variant_engine *engine,
                                const variant_request *request, vt_zones deep, vt_zones shallow,
                                vt_zones apart, variant_error *err);

/* What a table is for: the first line names its file, the second is checked inside. */
typedef struct vt_costs_key {
    char name[160];    /* model's hash, number types, guidance, batch, threads */
    char machine[512]; /* processor, kernels, and what of it the process may use */
} vt_costs_key;
void vt_costs_key_of(vt_costs_key *out, const variant_engine *engine,
                     const variant_request *request);

/* `cache` as in variant_plan_options to the path of the key's file; false: nothing is kept. */
bool vt_costs_path(char *out, size_t size, const char *cache, const vt_costs_key *key);
/* E_IO with *there false: no such file. E_FORMAT: damaged. E_MISMATCH: of another machine. */
variant_status vt_costs_read(vt_costs *out, const char *path, const vt_costs_key *key, bool *there,
                             variant_error *err);
/* Makes the folder where it is missing; the file appears whole. */
variant_status vt_costs_write(const vt_costs *costs, const char *path, const vt_costs_key *key,
                              variant_error *err);

#endif

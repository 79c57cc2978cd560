/* cost.h - seconds of a batch, measured once per model and machine and kept in a file.
 *
 * A table holds two runs of the model, deep and shallow: seconds of the layers at each scale, and
 * what every depth pays. With two zones a layer that runs at a scale ran at all scales before it,
 * so it attends to as many keys at any depth: between the two runs time is a line in the number of
 * layers (its ends differ per layer, because few layers stay in the processor's cache). plan.c asks
 * for it. */
#ifndef VT_PLANNING_COST_H
#define VT_PLANNING_COST_H

#include "core/status.h"

typedef struct vt_cost_run {
    int layers[VARIANT_MAX_SCALES];
    double seconds[VARIANT_MAX_SCALES]; /* all of them at the scale, without norm and head */
} vt_cost_run;

typedef struct vt_costs {
    int scales;
    vt_cost_run deep, shallow; /* equal where a scale ran as many layers in both */
    double fixed;              /* heads, condition, sampling, quantizer, decoder */
    bool disturbed; /* by other work, or fewer layers came out slower: to be measured again */
    char why[200];
} vt_costs;

/* Seconds of a batch with the first `bridge` scales at model_depth layers and the others at depth.
 */
double vt_costs_seconds(const vt_costs *costs, int model_depth, int bridge, int depth);

/* Two zones, as a run measured or a plan wants them. */
typedef struct vt_zones {
    int bridge, depth;
} vt_zones;

/* Generates batches of the request (count pictures at a time) deep and shallow in turn; medians of the quiet
 * ones (core/quiet.h). Where other work leaves too few, twice as many are made, and out->disturbed is set. */
variant_status vt_costs_measure(vt_costs *out, const variant_engine *engine,
                                const variant_request *request, vt_zones deep, vt_zones shallow,
                                variant_error *err);

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

/* spike.h - is a step's loss a spike: far above the running mean of the losses before it?
 *
 * Losses of different paths through a model are of different heights: a supernet's subnet of two
 * layers errs more than the full path, and one that has just joined errs most. So every path has a
 * mean of its own, the plain one of its first VT_SPIKE_STEPS losses and exponential over as many
 * from then on. Steps that were left out do not feed it. The means are part of a checkpoint. */
#ifndef VT_TRAIN_SPIKE_H
#define VT_TRAIN_SPIKE_H

#include <cjson/cJSON.h>

#include "core/status.h"
#include "supernet/phases.h"

#define VT_SPIKE_STEPS 100
#define VT_SPIKE_PATHS (1 + VT_MAX_DEPTHS) /* the full path, each subnet */

typedef struct vt_loss_mean {
    double mean;
    int steps; /* that fed it, counted up to VT_SPIKE_STEPS */
} vt_loss_mean;

typedef struct vt_spikes {
    vt_loss_mean paths[VT_SPIKE_PATHS];
    int skipped; /* diverged steps in a row, left out */
} vt_spikes;

/* Is the loss above `factor` times the path's mean? Never before VT_SPIKE_STEPS losses fed the mean,
 * for factor 0, or for a loss that is not a number. path: 0 to VT_SPIKE_PATHS - 1. */
bool vt_spikes_is(const vt_spikes *spikes, int path, double factor, double loss);
/* Takes the loss into the path's mean; one that is not finite is passed over. */
void vt_spikes_feed(vt_spikes *spikes, int path, double loss);

/* All of it, exactly; cJSON_Delete() it. NULL: no memory. */
cJSON *vt_spikes_json(const vt_spikes *spikes);
/* The other way; object NULL (a checkpoint from before there was one): starts anew. E_FORMAT, which
 * names the file `path`: the object is none of vt_spikes_json's. */
variant_status vt_spikes_parse(vt_spikes *spikes, const cJSON *object, const char *path,
                               variant_error *err);

#endif

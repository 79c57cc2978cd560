/* run.h - a training from its options to its last step, the same for all kinds: data, shape, length, memory,
 * model, the state to go on from, steps, files. */
#ifndef VT_TRAIN_RUN_H
#define VT_TRAIN_RUN_H

#include "train/loop.h"

/* Runs to the end or until stopped; closes what the trainer opened. checked: what the caller found of
 * trainer->common and its own options, which is told to all ranks. With common->dry_run it ends once result->memory is known. */
variant_status vt_train_run(vt_kern *kern, const vt_trainer *trainer, variant_status checked,
                            vt_train_result *result, variant_error *err);

#endif

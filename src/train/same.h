/* same.h - what all ranks of a training must have alike, found out before its first step. */
#ifndef VT_TRAIN_SAME_H
#define VT_TRAIN_SAME_H

#include "train/loop.h"

/* Settings, data among them, intervals, version and weights as they are now; E_ARGUMENT names the first that a rank has otherwise
 * than the first rank. */
variant_status vt_train_same(vt_train_loop *loop, variant_error *err);

#endif

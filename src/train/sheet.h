/* sheet.h - pictures drawn from a model in training, on one sheet: what a run leaves in samples/.
 *
 * Drawn by the engine, as any request is, from the weights as they stand at that step; seeds are the same each
 * time, so that sheets of one run show one picture improve. */
#ifndef VT_TRAIN_SHEET_H
#define VT_TRAIN_SHEET_H

#include "engine/model.h"

/* Some 32 pictures, a column a class where there are 8 to 20 of them, to `path`. `precision` is that of
 * the transformer's products. */
variant_status vt_train_draw_sheet(vt_model *model, vt_number precision, const char *path,
                                   variant_error *err);

/* Bytes that this takes at most, weights left out; of a model over a backend that holds nothing, too. */
variant_status vt_train_measure_sheet(vt_model *model, vt_number precision, size_t *bytes,
                                      variant_error *err);

#endif

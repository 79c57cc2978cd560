/* model_packed.h - model files that hold packed weights: the metadata that says so, and writing one. Private to engine/.
 *
 * Beside the configuration stands variant.packed, {"layout": "panels16", "version": 1, "weights": "bf16", "hash": of the model that
 * was packed, "preview_hash", "shapes": {"NAME": [n, k], ..}}; NAME.panels and NAME.scales hold the numbers (kern/panels.h), all other
 * tensors are float32 as ever. */
#ifndef VT_ENGINE_MODEL_PACKED_H
#define VT_ENGINE_MODEL_PACKED_H

#include "engine/model.h"

#define VT_PACKED_KEY "variant.packed"

typedef struct vt_packed_info {
    bool is; /* else the file is none, and nothing below holds */
    vt_number weights;
    char hash[17], preview_hash[17]; /* the second "" without a preview decoder */
} vt_packed_info;

/* Of a file just opened: gives the packed weights their names (vt_tensor_file_name_packed). E_FORMAT where the metadata is damaged,
 * E_UNSUPPORTED where it is of another layout; nothing for other files. */
variant_status vt_packed_open(vt_tensor_file *file, variant_error *err);
/* file NULL: none. */
variant_status vt_packed_info_of(vt_packed_info *out, const vt_tensor_file *file,
                                 variant_error *err);
/* Which type of weights the model's files ask for: options->weights, or with any_weights that of a packed one; *out: NULL or such a
 * file. E_MODEL where options want what a packed file has not. */
variant_status vt_packed_weights(const vt_model *model, const vt_model_options *options,
                                 vt_number *weights, const vt_tensor_file **out,
                                 variant_error *err);

#endif

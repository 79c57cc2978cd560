/* facts.h - what the files of an inspection share: inspect.c opens, files.c tells of files and tensors, parts.c of a tokenizer and a
 * preview decoder, transformer.c of a transformer and what its depths take, facts_json.c all of it as JSON. */
#ifndef VT_CONVERT_FACTS_H
#define VT_CONVERT_FACTS_H

#include "convert/kept.h"
#include "engine/model.h"
#include "features/features.h"

/* What variant_inspect hands out is the first member. */
typedef struct vt_inspection {
    variant_inspection told;
    vt_kept kept;
} vt_inspection;

/* model NULL: of a network, whose files have no parts. */
variant_status vt_facts_file(vt_inspection *in, const variant_file_facts **out,
                             const vt_tensor_file *file, const vt_model *model, variant_error *err);
/* Every tensor of files (count). */
variant_status vt_facts_tensors(vt_inspection *in, const vt_tensor_file *const *files, int count,
                                variant_error *err);
/* The model's weights that hold NaN or infinities, or are changed. */
variant_status vt_facts_damaged(vt_inspection *in, const vt_model *model, variant_error *err);
/* Likewise of a network's file: all but what its training kept. */
variant_status vt_facts_damaged_file(vt_inspection *in, const vt_tensor_file *file, vt_team *team,
                                     variant_error *err);
variant_status vt_facts_tokenizer(vt_inspection *in, const vt_model *model, variant_error *err);
variant_status vt_facts_preview(vt_inspection *in, const vt_model *model, variant_error *err);
/* bridge: for the table of depths; -1: as trained. */
variant_status vt_facts_transformer(vt_inspection *in, const vt_model *model, int bridge,
                                    variant_error *err);
variant_status vt_facts_network(vt_inspection *in, const vt_features_info *info,
                                variant_error *err);

/* Numbers of the parameters, those that no computation reads left out. */
size_t vt_facts_parameters(const vt_params *params);
/* Sides into `out`; returns the tokens of all. */
int vt_facts_sides(int *out, const int *sides, int scales);

#endif

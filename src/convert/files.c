/* files.c - of an inspection: the files, whose state dicts are taken, and tensors. See facts.h. */
#include <stdlib.h>
#include <string.h>

#include "convert/facts.h"
#include "engine/model_packed.h"

enum { MOST_PARTS = 64 }; /* state dicts of one kind in a file */

/* ---- files ---- */

static variant_status part_of(vt_inspection *in, const variant_file_part **out, const char *part,
                              const char *group, bool taken, variant_error *err) {
    variant_file_part *facts = NULL;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    *facts = (variant_file_part){.part = part, .taken = taken};
    *out = facts;
    return vt_kept_text(&in->kept, &facts->in, group, err);
}

/* The state dicts that hold a tokenizer or a transformer, and which are taken. */
static variant_status tell_parts(vt_inspection *in, variant_file_facts *out,
                                 const vt_tensor_file *file, const vt_model *model,
                                 variant_error *err) {
    static const char *const names[] = {"tokenizer", "transformer"};
    const variant_file_part **parts = NULL;
    VT_TRY(vt_kept_take(&in->kept, &parts, (size_t)2 * MOST_PARTS * sizeof *parts, err));
    out->parts = parts;
    for (int part = 0; part < 2; ++part) {
        const char *groups[MOST_PARTS];
        const int count = vt_model_groups(file, part, groups, MOST_PARTS);
        for (int i = 0; i < count; ++i) {
            const bool taken =
                model->files[part] == file && strcmp(model->groups[part], groups[i]) == 0;
            VT_TRY(part_of(in, &parts[out->part_count], names[part], groups[i], taken, err));
            ++out->part_count;
        }
    }
    return VARIANT_OK;
}

variant_status vt_facts_file(vt_inspection *in, const variant_file_facts **out,
                             const vt_tensor_file *file, const vt_model *model,
                             variant_error *err) {
    variant_file_facts *facts = NULL;
    vt_packed_info packed;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    *out = facts;
    VT_TRY(vt_kept_text(&in->kept, &facts->path, vt_tensor_file_path(file), err));
    VT_TRY(vt_kept_text(&in->kept, &facts->format, vt_tensor_file_format(file), err));
    facts->tensors = vt_tensor_file_count(file);
    facts->bytes = vt_tensor_file_bytes(file);
    if (!model) return VARIANT_OK;
    VT_TRY(tell_parts(in, facts, file, model, err));
    if (vt_packed_info_of(&packed, file, NULL) != VARIANT_OK || !packed.is) return VARIANT_OK;
    facts->packed = vt_number_name(packed.weights);
    facts->packed_layout = VT_PANELS_LAYOUT;
    facts->packed_version = VT_PANELS_VERSION;
    return VARIANT_OK;
}

/* ---- tensors ---- */

static variant_status tensor_of(vt_inspection *in, const variant_tensor_facts **out,
                                const vt_tensor *tensor, const char *name, vt_tensor_seen seen,
                                variant_error *err) {
    variant_tensor_facts *facts = NULL;
    int64_t *shape = NULL;
    const size_t rank = (size_t)tensor->rank;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    VT_TRY(vt_kept_take(&in->kept, &shape, rank * sizeof *shape, err));
    if (rank > 0) memcpy(shape, tensor->shape, rank * sizeof *shape);
    *facts = (variant_tensor_facts){.rank = tensor->rank,
                                    .shape = shape,
                                    .numbers = tensor->count,
                                    .not_finite = seen.not_finite,
                                    .changed = seen.changed};
    *out = facts;
    VT_TRY(vt_kept_text(&in->kept, &facts->name, name, err));
    VT_TRY(vt_kept_text(&in->kept, &facts->group, tensor->group, err));
    return vt_kept_text(&in->kept, &facts->type, vt_tensor_type_name(tensor), err);
}

variant_status vt_facts_tensors(vt_inspection *in, const vt_tensor_file *const *files, int count,
                                variant_error *err) {
    const variant_tensor_facts **list = NULL;
    size_t all = 0;
    for (int i = 0; i < count; ++i) all += (size_t)vt_tensor_file_count(files[i]);
    VT_TRY(vt_kept_take(&in->kept, &list, all * sizeof *list, err));
    in->told.tensors = list;
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < vt_tensor_file_count(files[i]); ++j) {
            const vt_tensor *tensor = vt_tensor_file_at(files[i], j);
            VT_TRY(tensor_of(in, &list[in->told.tensor_count], tensor, tensor->name,
                             vt_tensor_look(tensor, true, NULL), err));
            ++in->told.tensor_count;
        }
    return VARIANT_OK;
}

/* Adds it to the damaged ones where it is. */
static variant_status tell_if_damaged(vt_inspection *in, const variant_tensor_facts **list,
                                      const vt_tensor *tensor, const char *name, vt_team *team,
                                      variant_error *err) {
    const vt_tensor_seen seen = vt_tensor_look(tensor, true, team);
    if (!seen.changed && !seen.not_finite) return VARIANT_OK;
    VT_TRY(tensor_of(in, &list[in->told.damaged_count], tensor, name, seen, err));
    ++in->told.damaged_count;
    return VARIANT_OK;
}

/* Buffers, which nobody reads, may hold what they like. */
static variant_status tell_damaged(vt_inspection *in, const variant_tensor_facts **list,
                                   const vt_params *params, const vt_tensor_file *file,
                                   const char *group, variant_error *err) {
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        const vt_tensor *packed = vt_packed_numbers(file, param->name),
                        *tensor = packed ? packed : vt_tensor_file_find(file, group, param->name);
        if (!tensor || (param->flags & VT_PARAM_BUFFER)) continue;
        VT_TRY(tell_if_damaged(in, list, tensor, param->name, params->kern->team, err));
    }
    return VARIANT_OK;
}

variant_status vt_facts_damaged(vt_inspection *in, const vt_model *model, variant_error *err) {
    const vt_params *params[] = {model->tokenizer ? vt_tokenizer_params(model->tokenizer) : NULL,
                                 model->transformer ? vt_transformer_params(model->transformer)
                                                    : NULL,
                                 model->preview ? vt_preview_params(model->preview) : NULL};
    static const int files[] = {0, 1, 0};
    const variant_tensor_facts **list = NULL;
    size_t most = 0;
    for (int part = 0; part < 3; ++part) most += params[part] ? (size_t)params[part]->count : 0;
    VT_TRY(vt_kept_take(&in->kept, &list, most * sizeof *list, err));
    in->told.damaged = list;
    for (int part = 0; part < 3; ++part)
        if (params[part])
            VT_TRY(tell_damaged(in, list, params[part], model->files[files[part]],
                                model->groups[files[part]], err));
    return VARIANT_OK;
}

variant_status vt_facts_damaged_file(vt_inspection *in, const vt_tensor_file *file, vt_team *team,
                                     variant_error *err) {
    const variant_tensor_facts **list = NULL;
    const int count = vt_tensor_file_count(file);
    VT_TRY(vt_kept_take(&in->kept, &list, (size_t)count * sizeof *list, err));
    in->told.damaged = list;
    for (int i = 0; i < count; ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (strncmp(tensor->name, "training/", 9) == 0) continue;
        VT_TRY(tell_if_damaged(in, list, tensor, tensor->name, team, err));
    }
    return VARIANT_OK;
}

/* model_preview.c - a model's files as one file with a preview decoder in it. See model.h.
 *
 * Nothing of the model is converted: its tensors go from file to file as they are, so that their bytes, and with them the
 * model's hash, are what they were. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/calibrate.h"
#include "engine/model_config.h"
#include "engine/model_files.h"
#include "nn/params.h"

variant_status vt_model_fail_preview(variant_error *err) {
    return vt_fail(err, VARIANT_E_MODEL,
                   "this model has no preview decoder; `variant train decoder` makes one");
}

char *vt_model_config_of(const vt_model *model) {
    const vt_model_save save = {.tokenizer = model->tokenizer,
                                .transformer = model->transformer,
                                .class_count = model->class_count,
                                .class_names = model->class_names,
                                .supernet = model->supernet.trained ? &model->supernet : NULL};
    return vt_model_config_text(&save);
}

/* Is it a weight: numbers, or integers whose scales lie beside them? */
static bool is_weight(const vt_tensor_file *file, const vt_tensor *tensor) {
    static const char *const scales[] = {VT_INT8_OF_BLOCKS, VT_INT8_OF_ROWS};
    bool is = vt_tensor_is_float(tensor);
    for (int i = 0; tensor->type == VT_I8 && i < 2 && !is; ++i) {
        char name[512];
        snprintf(name, sizeof name, "%s%s", tensor->name, scales[i]);
        is = vt_tensor_file_find(file, tensor->group, name) != NULL;
    }
    return is;
}

/* Appends the weights of a part's state dict to list, which has room for them. A damaged one would get a checksum that fits it. */
static variant_status add_part(const vt_model *model, int part, vt_tensor_out *list, int *count,
                               variant_error *err) {
    const vt_tensor_file *file = model->files[part];
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        if (strcmp(tensor->group, model->groups[part]) != 0 || !is_weight(file, tensor) ||
            strncmp(tensor->name, "training/", 9) == 0)
            continue;
        VT_TRY(vt_tensor_verify(file, tensor, model->kern->team, err));
        list[*count] = (vt_tensor_out){
            .name = tensor->name, .type = tensor->type, .rank = tensor->rank, .data = tensor->data};
        memcpy(list[(*count)++].shape, tensor->shape, sizeof tensor->shape);
    }
    return VARIANT_OK;
}

/* All tensors of the model's files; free() *list. */
static variant_status list_tensors(const vt_model *model, vt_tensor_out **list, int *count,
                                   variant_error *err) {
    int room = 0;
    for (int part = 0; part < VT_MODEL_PARTS; ++part)
        if (model->files[part]) room += vt_tensor_file_count(model->files[part]);
    *list = calloc((size_t)room + 1, sizeof **list);
    *count = 0;
    if (!*list) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a list of tensors");
    for (int part = 0; part < VT_MODEL_PARTS; ++part) {
        const bool seen = part > 0 && model->files[part] == model->files[0] &&
                          strcmp(model->groups[part], model->groups[0]) == 0;
        if (model->files[part] && !seen) VT_TRY(add_part(model, part, *list, count, err));
    }
    return VARIANT_OK;
}

/* The type of the tokenizer's weights, where a file can have it. */
static vt_dtype type_of(const vt_model *model) {
    const vt_tensor *mark = vt_tensor_file_find(
        model->files[VT_TOKENIZER_PART], model->groups[VT_TOKENIZER_PART], VT_TOKENIZER_MARK);
    return mark && (mark->type == VT_F16 || mark->type == VT_BF16) ? mark->type : VT_F32;
}

variant_status vt_model_write_preview(const char *path, vt_model *model, const char *config,
                                      vt_preview *preview, const char *training,
                                      variant_error *err) {
    vt_model_save save = {.preview = preview, .preview_training = training, .type = type_of(model)};
    const vt_work_watch watch = vt_model_watch(model);
    vt_tensor_out *list = NULL;
    char *text = vt_model_config_with_preview(config, &save);
    variant_status status = VARIANT_OK;
    if (!text) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "%s: no memory to write it", path));
    VT_CHECK(list_tensors(model, &list, &save.extra_count, err));
    save.extra = list;
    save.watch = &watch;
    save.config = text;
    save.training = model->training;
    if (model->files[VT_TRANSFORMER_PART])
        save.extra_value = vt_tensor_file_meta(model->files[VT_TRANSFORMER_PART], VT_INT8_KEY);
    if (save.extra_value) save.extra_key = VT_INT8_KEY;
    VT_CHECK(vt_model_write(path, &save, err));
cleanup:
    free(list);
    free(text);
    return vt_model_settle_written(model, status, err);
}

/* inspect.c - variant_inspect: what a model's files hold, or a network's. See include/variant/inspect.h; what is told is made in
 * files.c, parts.c and transformer.c. */
#include <stdlib.h>

#include "convert/facts.h"
#include "core/sized.h"
#include "engine/engine.h"
#include "io/file.h"

void variant_inspect_options_init_sized(variant_inspect_options *out, size_t size) {
    const variant_inspect_options defaults = {.bridge = -1};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_inspection_free(variant_inspection **inspection) {
    if (!inspection || !*inspection) return;
    vt_inspection *in = (vt_inspection *)(void *)*inspection;
    vt_kept_free(&in->kept);
    free(in);
    *inspection = NULL;
}

/* ---- a model ---- */

/* Its files, each once. */
static int files_of(const vt_model *model, const vt_tensor_file *files[2]) {
    int count = 0;
    for (int i = 0; i < 2; ++i)
        if (model->files[i] && (count == 0 || model->files[i] != files[0]))
            files[count++] = model->files[i];
    return count;
}

static variant_status tell_model(vt_inspection *in, const vt_model *model,
                                 const variant_inspect_options *options, variant_error *err) {
    const vt_tensor_file *files[2];
    const variant_file_facts **list = NULL;
    const int count = files_of(model, files);
    VT_TRY(vt_kept_text(&in->kept, &in->told.hash, model->hash, err));
    VT_TRY(vt_kept_take(&in->kept, &list, 2 * sizeof *list, err));
    in->told.files = list;
    for (int i = 0; i < count; ++i) {
        VT_TRY(vt_facts_file(in, &list[i], files[i], model, err));
        ++in->told.file_count;
    }
    VT_TRY(vt_facts_damaged(in, model, err));
    if (model->tokenizer) VT_TRY(vt_facts_tokenizer(in, model, err));
    if (model->preview) VT_TRY(vt_facts_preview(in, model, err));
    if (model->transformer) VT_TRY(vt_facts_transformer(in, model, options->bridge, err));
    return options->tensors ? vt_facts_tensors(in, files, count, err) : VARIANT_OK;
}

static variant_status inspect_model(vt_inspection *in, const variant_engine_options *given,
                                    const variant_inspect_options *options, variant_error *err) {
    vt_kern *kern = NULL;
    vt_model *model = NULL;
    vt_model_options how;
    vt_in_memory rooms[2];
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_engine_model_options(&how, rooms, given, err));
    how.need_tokenizer = how.tokenizer != NULL;
    how.need_transformer = false;
    how.any_weights = how.any_numbers = how.any_integers = true;
    VT_CHECK(vt_kern_open(&kern, given->backend, given->threads, err));
    VT_CHECK(vt_model_open(&model, kern, &how, err));
    VT_CHECK(tell_model(in, model, options, err));
cleanup:
    vt_model_close(&model);
    vt_kern_close(&kern);
    return status;
}

/* ---- a network ---- */

static variant_status inspect_network(vt_inspection *in, const variant_engine_options *given,
                                      const variant_inspect_options *options, variant_error *err) {
    vt_kern *kern = NULL;
    vt_tensor_file *file = NULL;
    vt_features_info info;
    const variant_file_facts **list = NULL;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_kern_open(&kern, given->backend, given->threads, err));
    VT_CHECK(vt_features_look(&info, kern, given->model, err));
    VT_CHECK(vt_tensor_file_open(&file, given->model, err));
    if (!given->verify) vt_tensor_file_trust(file);
    VT_CHECK(vt_kept_text(&in->kept, &in->told.hash, info.hash, err));
    VT_CHECK(vt_kept_take(&in->kept, &list, sizeof *list, err));
    VT_CHECK(vt_facts_file(in, &list[0], file, NULL, err));
    in->told.files = list;
    in->told.file_count = 1;
    VT_CHECK(vt_facts_damaged_file(in, file, kern->team, err));
    VT_CHECK(vt_facts_network(in, &info, err));
    if (options->tensors) {
        const vt_tensor_file *const files[] = {file};
        status = vt_facts_tensors(in, files, 1, err);
    }
cleanup:
    vt_tensor_file_close(&file);
    vt_kern_close(&kern);
    return status;
}

/* ---- either ---- */

static bool is_network(const variant_engine_options *given) {
    return given->model && !vt_is_folder(given->model) && vt_features_is(given->model);
}

static variant_status inspect(vt_inspection *in, const variant_engine_options *model,
                              const variant_inspect_options *options, variant_error *err) {
    variant_engine_options given;
    variant_inspect_options asked;
    VT_TRY(VT_SIZED_TAKE(&given, model, variant_engine_options, err));
    variant_inspect_options_init(&asked);
    if (options) VT_TRY(VT_SIZED_TAKE(&asked, options, variant_inspect_options, err));
    if (asked.bridge < -1 || asked.bridge > VARIANT_MAX_SCALES)
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "bridge %d: expected 0 to %d scales at full depth, or -1 for the model's own",
            asked.bridge, VARIANT_MAX_SCALES);
    return (is_network(&given) ? inspect_network : inspect_model)(in, &given, &asked, err);
}

variant_status variant_inspect(variant_inspection **out, const variant_engine_options *model,
                               const variant_inspect_options *options, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put an inspection");
    *out = NULL;
    vt_inspection *in = calloc(1, sizeof *in);
    if (!in) return vt_fail(error, VARIANT_E_MEMORY, "no memory for an inspection");
    *out = &in->told;
    const variant_status status = inspect(in, model, options, error);
    if (status != VARIANT_OK) variant_inspection_free(out);
    return status;
}

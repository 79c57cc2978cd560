/* convert.c - variant_convert: any readable model, or FID's Inception, to safetensors or to state dicts for PyTorch. See include/variant/convert.h. */
#include <math.h>
#include <stdlib.h>

#include "convert/asked.h"
#include "convert/kept.h"
#include "convert/lesson.h"
#include "engine/engine.h"
#include "features/features.h"
#include "features/inception.h"
#include "io/file.h"

/* What variant_convert hands out is the first member. */
typedef struct conversion {
    variant_conversion told;
    vt_kept kept;
} conversion;

/* ---- FID's Inception ---- */

static variant_status check_inception(const vt_convert_asked *asked, variant_error *err) {
    const variant_convert_options *o = &asked->options;
    const char *path = asked->engine.model;
    if (o->to || o->max_shard_bytes > 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: FID's Inception takes neither to=torch-names nor max_shard_bytes",
                       path);
    if (o->classes || o->class_names || asked->engine.tokenizer || asked->pack)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: FID's Inception takes neither names of classes nor a tokenizer, and is "
                       "not packed",
                       path);
    if (!asked->int8) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: FID's Inception has convolutions alone, which are f32, f16 or bf16", path);
}

/* It has a file of its own; *done tells whether it was one. */
static variant_status convert_inception(const vt_convert_asked *asked, bool *done,
                                        variant_error *err) {
    vt_tensor_file *file = NULL;
    variant_status status = VARIANT_OK;
    *done = false;
    if (!asked->engine.model || vt_is_folder(asked->engine.model)) return VARIANT_OK;
    VT_CHECK(vt_tensor_file_open(&file, asked->engine.model, err));
    if (!asked->engine.verify) vt_tensor_file_trust(file);
    VT_CHECK(vt_features_unwrap(file, err));
    *done = vt_inception_is(file);
    if (!*done) goto cleanup;
    VT_CHECK(check_inception(asked, err));
    VT_CHECK(vt_inception_convert(asked->options.output, file, asked->type, &asked->watch, err));
cleanup:
    vt_tensor_file_close(&file);
    return status;
}

/* ---- guidance of a supernet ---- */

static variant_status check_trained(const vt_supernet_info *supernet, int depth, const char *model,
                                    variant_error *err) {
    for (int i = 0; i < supernet->depth_count; ++i)
        if (supernet->depths[i] == depth) return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_ARGUMENT,
        "uncond_depth %d: %s was not trained at that depth (variant inspect tells which)", depth,
        model);
}

/* What a request takes that says nothing of guidance, kept in the model. */
static variant_status set_guidance(const vt_convert_asked *asked, const char *name, vt_model *model,
                                   variant_error *err) {
    const variant_convert_options *o = &asked->options;
    vt_supernet_info *supernet = &model->supernet;
    if (o->uncond_depth == 0 && !o->cfg_late) return VARIANT_OK;
    if (!supernet->trained)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: no supernet, whose guidance uncond_depth and cfg_late would set", name);
    if (o->uncond_depth > 0) {
        VT_TRY(check_trained(supernet, o->uncond_depth, name, err));
        supernet->uncond_depth = o->uncond_depth;
    }
    if (!o->cfg_late) return VARIANT_OK;
    const int depth = vt_transformer_configuration(model->transformer)->depth;
    if (vt_supernet_read_late(supernet, o->cfg_late) &&
        supernet->late[supernet->late_count - 1].depth <= depth)
        return VARIANT_OK;
    return vt_fail(
        err, VARIANT_E_ARGUMENT,
        "cfg_late %.100s: expected a factor up to 100, or one for each depth, of at most "
        "%d layers, as in 12:2.2,6:3,3:4",
        o->cfg_late, depth);
}

/* ---- integers ---- */

static variant_status check_numbers(const vt_convert_asked *asked, const char *name,
                                    const vt_model *model, variant_error *err) {
    int records;
    if (!model->transformer)
        return vt_fail(err, VARIANT_E_MODEL, "%s: type %s is for transformers, and it has none",
                       name, asked->int4 ? "int4" : "int8");
    if (vt_params_integers(vt_transformer_params(model->transformer), model->files[1],
                           model->groups[1], &records) > 0)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: its weights are %s already: convert the model it was made from", name,
                       records > 0 ? "int4" : "int8");
    if (asked->calibrates && !model->tokenizer)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: calibrating needs a tokenizer for its pictures, which is given beside "
                       "the model",
                       name);
    return VARIANT_OK;
}

static variant_status choose(vt_int8_plan *out, const vt_convert_asked *asked, vt_model *model,
                             variant_error *err) {
    const variant_convert_options *o = &asked->options;
    if (!asked->calibrates) return vt_int8_plan_plain(out, model, err);
    const vt_lesson_options options = {.data = asked->data,
                                       .count = o->calibrate_count,
                                       .note = o->note,
                                       .user = o->user,
                                       .watch = &asked->watch};
    vt_lesson lesson;
    variant_status status = vt_lesson_read(&lesson, model, &options, err);
    if (status == VARIANT_OK)
        status = vt_calibrate(out, model,
                              &(vt_calibration){.tokens = lesson.tokens,
                                                .labels = lesson.labels,
                                                .pictures = lesson.count,
                                                .tolerance = o->row_error,
                                                .watch = &asked->watch},
                              err);
    vt_lesson_close(&lesson);
    return status;
}

static variant_status tell_product(conversion *out, const variant_converted_product **told,
                                   const vt_int8_choice *choice, variant_error *err) {
    variant_converted_product *product = NULL;
    const bool eight = choice->rows > 0 && !choice->int4, four = choice->rows > 0 && choice->int4;
    VT_TRY(vt_kept_take(&out->kept, &product, sizeof *product, err));
    *product = (variant_converted_product){.type = choice->int4 ? "int4" : "int8",
                                           .rows_seen = choice->rows,
                                           .blocks = eight ? choice->blocks : NAN,
                                           .blocks_folded = eight ? choice->best_blocks : NAN,
                                           .rows = eight ? choice->whole : NAN,
                                           .rows_folded = eight ? choice->best_whole : NAN,
                                           .scale_of_rows = choice->is_whole,
                                           .folded = choice->factors ? (double)choice->strength : 0,
                                           .nearest = four ? choice->nearest : NAN,
                                           .weighed = four ? choice->weighed : NAN,
                                           .made_up = four ? choice->made_up : NAN};
    *told = product;
    return vt_kept_text(&out->kept, &product->weight, choice->weight->name, err);
}

static variant_status tell_plan(conversion *out, const vt_int8_plan *plan, variant_error *err) {
    const variant_converted_product **list = NULL;
    char *json = vt_int8_plan_text(plan);
    if (!json) return vt_fail(err, VARIANT_E_MEMORY, "no memory for what was chosen");
    const variant_status status = vt_kept_text(&out->kept, &out->told.json, json, err);
    free(json);
    VT_TRY(status);
    VT_TRY(vt_kept_take(&out->kept, &list, (size_t)plan->count * sizeof *list, err));
    out->told.pictures = plan->pictures;
    out->told.products = list;
    for (int i = 0; i < plan->count; ++i) {
        VT_TRY(tell_product(out, &list[i], &plan->choices[i], err));
        ++out->told.product_count;
    }
    return VARIANT_OK;
}

/* Which way suits each product, and the file. */
static variant_status write_integers(conversion *out, const vt_convert_asked *asked,
                                     const char *name, vt_model *model, const vt_model_save *save,
                                     variant_error *err) {
    vt_int8_plan plan = {.int4 = asked->int4};
    VT_TRY(check_numbers(asked, name, model, err));
    variant_status status = choose(&plan, asked, model, err);
    if (status == VARIANT_OK) status = tell_plan(out, &plan, err);
    if (status == VARIANT_OK) status = vt_model_write_int8(asked->options.output, save, &plan, err);
    vt_int8_plan_close(&plan);
    return status;
}

/* ---- a model ---- */

static variant_status write_model(conversion *out, const vt_convert_asked *asked, const char *name,
                                  vt_model *model, variant_error *err) {
    vt_model_save save = {.tokenizer = model->tokenizer,
                          .transformer = model->transformer,
                          .preview = model->preview,
                          .preview_training = model->preview_training,
                          .class_count = model->class_count,
                          .class_names = model->class_names,
                          .supernet = model->supernet.trained ? &model->supernet : NULL,
                          .training = model->training,
                          .type = asked->type,
                          .most_bytes = asked->options.max_shard_bytes,
                          .force = asked->options.force,
                          .warn = asked->engine.warn,
                          .user = asked->engine.user,
                          .watch = &asked->watch};
    const char *path = asked->options.output, *second = asked->options.tokenizer_output;
    vt_class_names names = {0};
    variant_status status = VARIANT_OK;
    if (asked->options.classes || asked->options.class_names) {
        if (!model->transformer)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "%s holds no transformer whose classes could be named", name);
        VT_CHECK(vt_convert_names(&names, asked,
                                  vt_transformer_configuration(model->transformer)->classes, err));
        save.class_names = names.names;
        save.class_count = names.count;
    }
    status = asked->options.to ? vt_model_write_torch(path, second, model, &save, err)
             : asked->int8     ? write_integers(out, asked, name, model, &save, err)
             : asked->pack     ? vt_model_write_packed(path, model, &save, err)
                               : vt_model_write(path, &save, err);
cleanup:
    vt_convert_names_close(&names);
    return status;
}

static variant_status convert_model(conversion *out, const vt_convert_asked *asked,
                                    variant_error *err) {
    vt_kern *kern = NULL;
    vt_model *model = NULL;
    vt_model_options how;
    vt_in_memory rooms[2];
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_engine_model_options(&how, rooms, &asked->engine, err));
    how.need_tokenizer = how.tokenizer != NULL;
    how.need_transformer = false;
    how.any_integers = asked->int8; /* refused below */
    how.weights = asked->pack ? asked->packed : VT_NUMBER_F32;
    how.own_numbers = asked->pack ? NULL : "to convert"; /* a packed file has none */
    VT_CHECK(vt_kern_open(&kern, asked->engine.backend, asked->engine.threads, err));
    VT_CHECK(vt_model_open(&model, kern, &how, err));
    VT_CHECK(set_guidance(asked, how.model, model, err));
    VT_CHECK(write_model(out, asked, how.model, model, err));
cleanup:
    vt_model_close(&model);
    vt_kern_close(&kern);
    return status;
}

/* ---- either ---- */

static variant_status convert(conversion *out, const variant_engine_options *model,
                              const variant_convert_options *options, variant_error *err) {
    vt_convert_asked asked;
    bool done;
    VT_TRY(vt_convert_take(&asked, model, options, err));
    if (asked.options.cancel && __atomic_load_n(asked.options.cancel, __ATOMIC_RELAXED))
        return vt_fail(err, VARIANT_E_STOPPED, "stopped before anything was read");
    VT_TRY(convert_inception(&asked, &done, err));
    return done ? VARIANT_OK : convert_model(out, &asked, err);
}

variant_status variant_convert(variant_conversion **out, const variant_engine_options *model,
                               const variant_convert_options *options, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (out) *out = NULL;
    conversion *made = calloc(1, sizeof *made);
    if (!made) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a conversion");
    variant_conversion *told = &made->told;
    const variant_status status = convert(made, model, options, error);
    if (out && status == VARIANT_OK)
        *out = told;
    else
        variant_conversion_free(&told);
    return status;
}

void variant_conversion_free(variant_conversion **made) {
    if (!made || !*made) return;
    conversion *c = (conversion *)(void *)*made;
    vt_kept_free(&c->kept);
    free(c);
    *made = NULL;
}

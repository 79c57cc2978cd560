/* engine.c - opening a model for generation, and what it tells about itself. */
#include "engine/engine.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/sized.h"
#include "io/data.h"
#include "kern/memory_pool.h"

void variant_engine_options_init_sized(variant_engine_options *options, size_t size) {
    const variant_engine_options defaults = {.backend = vt_kern_backend(0), .verify = true};
    vt_sized_init(options, size, &defaults, sizeof defaults);
}

static variant_info info_of(const variant_engine *engine);

void vt_engine_log(const variant_engine *engine, variant_log_level level, const char *format, ...) {
    char line[1024];
    if (!engine->log) return;
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    engine->log(engine->user, level, line);
}

/* What opening a model says, to both callbacks. */
static void warn(void *user, const char *line) {
    const variant_engine *engine = user;
    if (engine->warn) engine->warn(engine->user, line);
    vt_engine_log(engine, VARIANT_LOG_WARNING, "%s", line);
}

static void log_opened(const variant_engine *engine, const char *name, double seconds) {
    const variant_info *i = &engine->info;
    vt_engine_log(engine, VARIANT_LOG_INFO,
                  "opened %s in %.3f s: depth %d, width %d, %d classes, %d x %d pixels, hash %s, "
                  "weights %s, keys and values %s; %s",
                  name, seconds, i->depth, i->width, i->classes, i->picture_side, i->picture_side,
                  i->hash, i->weights, i->kv, i->kernels);
}

/* At most one of a file, bytes and tensors; *memory, with `room` to lie in, is NULL for a file or nothing. */
static variant_status choose_source(const char **path, const vt_in_memory **memory,
                                    vt_in_memory *room, const char *name, variant_error *err) {
    const int given = (*path != NULL) + (room->bytes != NULL) + (room->tensors != NULL);
    if (given > 1)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: given %d times, expected it once, as a file, bytes or tensors", name,
                       given);
    *memory = room->bytes || room->tensors ? room : NULL;
    if (*memory) *path = name;
    return VARIANT_OK;
}

static variant_status check_memory(const variant_engine_options *o, variant_error *err) {
    VT_TRY(
        vt_need_list(o->model_bytes, "model_bytes", (long long)o->model_size, "model_size", err));
    VT_TRY(vt_need_list(o->model_tensors, "model_tensors", (long long)o->model_tensor_count,
                        "model_tensor_count", err));
    VT_TRY(vt_need_list(o->tokenizer_bytes, "tokenizer_bytes", (long long)o->tokenizer_size,
                        "tokenizer_size", err));
    return vt_need_list(o->tokenizer_tensors, "tokenizer_tensors",
                        (long long)o->tokenizer_tensor_count, "tokenizer_tensor_count", err);
}

variant_status vt_engine_model_options(vt_model_options *model, vt_in_memory rooms[2],
                                       const variant_engine_options *o, variant_error *err) {
    vt_model_options_init(model);
    if (o->heads < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "heads is %d, expected 0 (as the model says) or at least 1", o->heads);
    VT_TRY(check_memory(o, err));
    model->sides = o->sides;
    model->heads = o->heads;
    model->part = o->part;
    model->verify = o->verify;
    model->warn = o->warn;
    model->user = o->user;
    rooms[0] = (vt_in_memory){o->model_bytes, o->model_size, o->model_tensors,
                              o->model_tensor_count, o->model_config};
    rooms[1] = (vt_in_memory){o->tokenizer_bytes, o->tokenizer_size, o->tokenizer_tensors,
                              o->tokenizer_tensor_count, NULL};
    if (o->model_config && !o->model_tensors)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "model_config: is for model_tensors: a file has its own configuration");
    model->model = o->model;
    model->tokenizer = o->tokenizer;
    VT_TRY(choose_source(&model->model, &model->model_memory, &rooms[0], "model in memory", err));
    return choose_source(&model->tokenizer, &model->tokenizer_memory, &rooms[1],
                         "tokenizer in memory", err);
}

variant_status variant_engine_open(variant_engine **out, const variant_engine_options *given,
                                   variant_error *error) {
    VT_TRY(vt_need(out, "nowhere to put an engine", error));
    *out = NULL;
    variant_status status = VARIANT_OK;
    const double start = vt_seconds();
    variant_engine_options today;
    const variant_engine_options *options = &today;
    VT_TRY(VT_SIZED_TAKE(&today, given, variant_engine_options, error));
    variant_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return vt_fail(error, VARIANT_E_MEMORY, "no memory for an engine");
    vt_model_options model;
    vt_in_memory rooms[2];
    VT_CHECK(vt_engine_model_options(&model, rooms, options, error));
    engine->warn = options->warn;
    engine->log = options->log;
    engine->user = options->user;
    model.warn = warn;
    model.user = engine;
    if (options->weights)
        VT_CHECK(vt_number_parse(&engine->weights, "weights", options->weights, error));
    if (options->kv) VT_CHECK(vt_number_parse_kv(&engine->kv, "kv", options->kv, error));
    model.weights = engine->weights;
    model.any_weights = !options->weights;
    model.skip_encoder = !options->encoder;
    model.guard = true;
    VT_CHECK(vt_kern_open(&engine->kern, options->backend, options->threads, error));
    VT_CHECK(vt_model_open(&engine->model, engine->kern, &model, error));
    engine->weights = engine->model->weights;
    if (!options->kv) engine->kv = vt_kv_default(engine->weights);
    engine->trusts = !options->verify;
    engine->info = info_of(engine);
    log_opened(engine, model.model, vt_seconds() - start);
cleanup:
    if (status != VARIANT_OK)
        variant_engine_close(&engine);
    else
        *out = engine;
    return status;
}

void variant_engine_close(variant_engine **engine) {
    if (!engine || !*engine) return;
    vt_model_close(&(*engine)->model);
    vt_kern_close(&(*engine)->kern);
    free(*engine);
    *engine = NULL;
}

variant_status variant_engine_intact(const variant_engine *engine, variant_error *error) {
    VT_TRY(vt_need(engine, VT_NO_ENGINE, error));
    if (error) *error = (variant_error){0};
    VT_TRY(vt_model_settle(engine->model, VARIANT_OK, error));
    if (engine->info.mapped_bytes == 0) return VARIANT_OK; /* all of it is in memory */
    return vt_model_intact(engine->model, error);
}

void variant_engine_trim(const variant_engine *engine) {
    if (engine) vt_memory_trim(engine->kern);
}

vt_number vt_kv_default(vt_number weights) {
    return weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16;
}

variant_engine vt_engine_around(vt_kern *kern, vt_model *model, vt_number weights, vt_number kv) {
    variant_engine engine = {.kern = kern, .model = model, .weights = weights, .kv = kv};
    engine.info = info_of(&engine);
    return engine;
}

static variant_info info_of(const variant_engine *engine) {
    const vt_model *model = engine->model;
    const vt_transformer_config *transformer = vt_transformer_configuration(model->transformer);
    const vt_tokenizer_config *tokenizer = vt_tokenizer_configuration(model->tokenizer);
    const vt_params *preview = model->preview ? vt_preview_params(model->preview) : NULL;
    vt_data data = {.fit = VT_FIT_CROP, .alpha = VT_ALPHA_WHITE};
    (void)vt_data_follow(&data, model->training,
                         NULL); /* what is told of a model is no reason not to open it */
    variant_info out = {
        .depth = transformer->depth,
        .width = transformer->width,
        .heads = transformer->heads,
        .codes = transformer->codes,
        .latent_dim = transformer->latent_dim,
        .classes = transformer->classes,
        .scales = transformer->scales,
        .picture_side = vt_tokenizer_side(tokenizer),
        .channels = tokenizer->channels,
        .supernet = model->supernet.trained,
        .bridge = vt_supernet_bridge(&model->supernet, transformer->scales),
        .layers = vt_selector_name(vt_supernet_selector(&model->supernet)),
        .depth_count = model->supernet.depth_count,
        .uncond_depth = vt_supernet_uncond_depth(&model->supernet),
        .cfg_late = vt_supernet_cfg_late(&model->supernet, transformer->depth),
        .hash = model->hash,
        .preview_decoder = model->preview != NULL,
        .kernels = engine->kern->details,
        .weights = vt_number_name(engine->weights),
        .kv = vt_number_name(engine->kv),
        .weight_bytes = vt_params_bytes(vt_transformer_params(model->transformer)) +
                        vt_params_bytes(vt_tokenizer_params(model->tokenizer)) +
                        (preview ? vt_params_bytes(preview) : 0),
        .mapped_bytes = vt_transformer_params(model->transformer)->mapped_bytes +
                        vt_tokenizer_params(model->tokenizer)->mapped_bytes +
                        (preview ? preview->mapped_bytes : 0),
        .fit = model->training ? vt_fit_name(data.fit) : NULL,
        .alpha = model->training ? vt_alpha_name(data.alpha) : NULL,
    };
    memcpy(out.sides, transformer->sides, (size_t)transformer->scales * sizeof *out.sides);
    memcpy(out.depths, model->supernet.depths,
           (size_t)model->supernet.depth_count * sizeof *out.depths);
    return out;
}

const variant_info *variant_engine_info(const variant_engine *engine) {
    return engine ? &engine->info : NULL;
}

const char *variant_engine_class_name(const variant_engine *engine, int label) {
    return engine && label >= 0 && label < engine->model->class_count
               ? engine->model->class_names[label]
               : NULL;
}

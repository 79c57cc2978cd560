/* synth.c - variant_synthesize and variant_engine_synthesize: models of golden_config.h's kind, as a file and as an engine. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "engine/engine.h"
#include "engine/model_write.h"
#include "features/inception.h"
#include "io/file.h"
#include "selftest/golden_config.h"

enum { CONFIG_MAX = 1 << 20 };

void variant_synth_options_init_sized(variant_synth_options *out, size_t size) {
    const variant_synth_options defaults = {.backend = vt_kern_backend(0)};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

static variant_status read_config(vt_golden_config *out, const char *path, variant_error *err) {
    char *text = NULL;
    VT_TRY(vt_file_read_text(&text, path, CONFIG_MAX, err));
    variant_status status = vt_golden_config_parse(out, text, path, err);
    free(text);
    return status;
}

/* ---- a file ---- */

/* Its parts, while they are made. */
typedef struct parts {
    vt_tokenizer *tokenizer;
    vt_transformer *transformer;
    vt_preview *preview;
} parts;

static variant_status make_parts(parts *p, const variant_synth_options *o, vt_kern *kern,
                                 const vt_golden_config *config, variant_error *err) {
    vt_preview_config shape;
    if (!o->only || strcmp(o->only, "tokenizer") == 0) {
        VT_TRY(vt_tokenizer_open(&p->tokenizer, kern, &config->tokenizer, err));
        VT_TRY(vt_params_synthesize(vt_tokenizer_params(p->tokenizer), config->seed, "vae", err));
    }
    if (o->preview) {
        VT_TRY(vt_preview_config_choose(&shape, &config->tokenizer, o->preview, err));
        VT_TRY(vt_preview_open(&p->preview, kern, &config->tokenizer, &shape, err));
        VT_TRY(vt_params_synthesize(vt_preview_params(p->preview), config->seed, "vae", err));
    }
    if (!o->only || strcmp(o->only, "transformer") == 0) {
        VT_TRY(vt_transformer_open(&p->transformer, kern, &config->transformer, err));
        VT_TRY(
            vt_params_synthesize(vt_transformer_params(p->transformer), config->seed, "var", err));
    }
    return VARIANT_OK;
}

static variant_status write_model(const char *path, const variant_synth_options *o, vt_dtype type,
                                  variant_error *err) {
    vt_golden_config config = {0};
    vt_kern *kern = NULL;
    parts made = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(read_config(&config, o->config, err));
    VT_CHECK(vt_kern_open(&kern, o->backend, o->threads, err));
    VT_CHECK(make_parts(&made, o, kern, &config, err));
    const vt_model_save save = {.tokenizer = made.tokenizer,
                                .transformer = made.transformer,
                                .preview = made.preview,
                                .type = type};
    VT_CHECK(vt_model_write(path, &save, err));
cleanup:
    vt_preview_close(&made.preview);
    vt_transformer_close(&made.transformer);
    vt_tokenizer_close(&made.tokenizer);
    vt_kern_close(&kern);
    vt_golden_config_free(&config);
    return status;
}

static bool is_one_of(const char *word, const char *a, const char *b) {
    return !word || strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

static variant_status check(const char *path, const variant_synth_options *o, vt_dtype *type,
                            variant_error *err) {
    static const struct {
        const char *name;
        vt_dtype type;
    } types[] = {{"f32", VT_F32}, {"f16", VT_F16}, {"bf16", VT_BF16}};
    bool known = !o->type;
    *type = VT_F32;
    for (size_t i = 0; !known && i < sizeof types / sizeof *types; ++i) {
        known = strcmp(o->type, types[i].name) == 0;
        *type = types[i].type;
    }
    if (!path || !o->config)
        return vt_fail(err, VARIANT_E_ARGUMENT, "expected a file to write, and a configuration");
    if (!known)
        return vt_fail(err, VARIANT_E_ARGUMENT, "type \"%.32s\": expected f32, f16 or bf16",
                       o->type);
    if (!is_one_of(o->only, "tokenizer", "transformer"))
        return vt_fail(err, VARIANT_E_ARGUMENT, "only \"%.32s\": expected tokenizer or transformer",
                       o->only);
    if (o->preview && o->only && strcmp(o->only, "transformer") == 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a preview decoder goes with a tokenizer: not with a transformer only");
    if (strcmp(o->config, "inception") == 0 && (o->only || o->preview))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "inception has one part: expected no only, no "
                       "preview");
    return VARIANT_OK;
}

variant_status variant_synthesize(const char *path, const variant_synth_options *options,
                                  variant_error *error) {
    variant_synth_options taken;
    vt_dtype type;
    if (error) *error = (variant_error){0};
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_synth_options, error));
    VT_TRY(check(path, &taken, &type, error));
    return strcmp(taken.config, "inception") == 0 ? vt_inception_write(path, "I1", type, error)
                                                  : write_model(path, &taken, type, error);
}

/* ---- an engine ---- */

/* The published shapes: width 64 d, d heads, d layers, and the tokenizer they share. */
static const char published[] = "{\"seed\": \"bench\", \"depth\": %d, \"width\": %d, \"heads\": "
                                "%d, \"V\": 4096, \"Cvae\": 32, \"classes\": 1000,"
                                " \"patch_nums\": [1, 2, 3, 4, 5, 6, 8, 10, 13, 16], "
                                "\"attn_l2_norm\": true, \"shared_aln\": false,"
                                " \"ch\": 160, \"ch_mult\": [1, 1, 2, 2, 4], \"nres\": 2}";

/* Of a published shape by its name, or of a file. */
static variant_status find_config(vt_golden_config *out, const char *config, variant_error *err) {
    static const int depths[] = {16, 20, 24, 30};
    for (size_t i = 0; i < sizeof depths / sizeof *depths; ++i) {
        char name[16], text[sizeof published + 32];
        snprintf(name, sizeof name, "var-d%d", depths[i]);
        if (strcmp(config, name) != 0) continue;
        snprintf(text, sizeof text, published, depths[i], 64 * depths[i], depths[i]);
        return vt_golden_config_parse(out, text, config, err);
    }
    return read_config(out, config, err);
}

/* Weights of a tokenizer's parts are never integers. */
static vt_number beside(vt_number weights) {
    return weights == VT_NUMBER_F32 ? VT_NUMBER_F32 : VT_NUMBER_BF16;
}

static variant_status synthesize_preview(variant_engine *engine, const vt_golden_config *config,
                                         const char *size, variant_error *err) {
    vt_preview_config shape;
    VT_TRY(vt_preview_config_choose(&shape, &config->tokenizer, size, err));
    VT_TRY(vt_preview_open(&engine->model->preview, engine->kern, &config->tokenizer, &shape, err));
    vt_params *params = vt_preview_params(engine->model->preview);
    vt_params_set_type(params, beside(engine->weights), false);
    VT_TRY(vt_params_synthesize(params, config->seed, "vae", err));
    return vt_params_prepare(params, err);
}

static variant_status synthesize_model(variant_engine *engine, const vt_golden_config *config,
                                       const char *preview, variant_error *err) {
    VT_TRY(vt_model_new(&engine->model, engine->kern, err));
    vt_model *model = engine->model;
    VT_TRY(vt_tokenizer_open(&model->tokenizer, engine->kern, &config->tokenizer, err));
    vt_params *vae = vt_tokenizer_params(model->tokenizer);
    vt_params_set_type(vae, beside(engine->weights), false);
    vt_params_skip(vae, "encoder.");
    vt_params_skip(vae, "quant_conv.");
    VT_TRY(vt_params_synthesize(vae, config->seed, "vae", err));
    VT_TRY(vt_params_prepare(vae, err));
    if (preview) VT_TRY(synthesize_preview(engine, config, preview, err));
    VT_TRY(vt_transformer_open(&model->transformer, engine->kern, &config->transformer, err));
    vt_params *params = vt_transformer_params(model->transformer);
    vt_params_set_type(params, engine->weights, false);
    VT_TRY(vt_params_synthesize(params, config->seed, "var", err));
    return vt_transformer_prepare(model->transformer, err);
}

static variant_status take_options(variant_engine *engine, const variant_engine_options *o,
                                   variant_error *err) {
    if (o->weights) VT_TRY(vt_number_parse(&engine->weights, "weights", o->weights, err));
    engine->kv = vt_kv_default(engine->weights);
    if (o->kv) VT_TRY(vt_number_parse_kv(&engine->kv, "kv", o->kv, err));
    return vt_kern_open(&engine->kern, o->backend, o->threads, err);
}

variant_status variant_engine_synthesize(variant_engine **out, const char *config,
                                         const char *preview, const variant_engine_options *options,
                                         variant_error *error) {
    variant_engine_options taken;
    vt_golden_config parsed = {0};
    if (error) *error = (variant_error){0};
    if (!out || !config)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected a configuration, and where to put it");
    *out = NULL;
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_engine_options, error));
    variant_engine *engine = calloc(1, sizeof *engine);
    if (!engine) return vt_fail(error, VARIANT_E_MEMORY, "no memory for an engine");
    variant_status status = take_options(engine, &taken, error);
    if (status == VARIANT_OK) status = find_config(&parsed, config, error);
    if (status == VARIANT_OK) status = synthesize_model(engine, &parsed, preview, error);
    vt_golden_config_free(&parsed);
    if (status != VARIANT_OK) {
        variant_engine_close(&engine);
        return status;
    }
    *engine = vt_engine_around(engine->kern, engine->model, engine->weights, engine->kv);
    engine->synthetic = true;
    *out = engine;
    return VARIANT_OK;
}

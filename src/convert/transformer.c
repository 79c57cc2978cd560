/* transformer.c - of an inspection: the transformer, what its trainings left, and what its depths take. See facts.h. */
#include <stdio.h>
#include <string.h>

#include "convert/facts.h"
#include "engine/branches.h"
#include "engine/calibrate.h"
#include "io/json.h"

/* ---- what a depth takes ---- */

/* Bytes of float32 keys and values of `tokens` tokens of a layer. */
static size_t kv_bytes(const vt_transformer_config *config, int64_t tokens) {
    return (size_t)tokens * 2 * (size_t)config->width * sizeof(float);
}

static int64_t tokens_held(const vt_transformer_config *config, const vt_branches *b, int scale,
                           bool released) {
    return vt_schedule_branches_kv_tokens(&b->cond, &b->uncond, b->guided_scales, config->sides,
                                          scale, released);
}

/* The most that both branches of a guided picture hold. */
static size_t kv_peak(const vt_transformer_config *config, const vt_branches *b, bool released) {
    int64_t most = 0;
    for (int k = 0; k < config->scales; ++k) {
        const int64_t tokens = tokens_held(config, b, k, released);
        most = tokens > most ? tokens : most;
    }
    return kv_bytes(config, most);
}

/* What a request of this depth holds, guided as one that says nothing of it; saved: beside full depth in both branches. A depth that the
 * model cannot run is left out. */
static variant_status tell_depth(vt_inspection *in, variant_transformer_facts *out,
                                 const variant_depth_facts **list, const vt_model *model,
                                 int bridge, int depth, variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    vt_branches branches;
    variant_request request;
    variant_depth_facts *facts = NULL;
    char layers[4096];
    variant_request_init(&request);
    request.depth = depth;
    request.bridge = bridge;
    if (vt_branches_make(&branches, model, &request, NULL) != VARIANT_OK) return VARIANT_OK;
    vt_schedule_describe(&branches.cond, layers, sizeof layers);
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    VT_TRY(vt_kept_text(&in->kept, &facts->layers_by_scale, layers, err));
    const double full =
        2.0 * (double)kv_bytes(config, (int64_t)config->depth * vt_transformer_tokens(config));
    facts->depth = depth;
    facts->bridge = depth == config->depth ? config->scales : bridge;
    facts->kv_peak_bytes = kv_peak(config, &branches, true);
    facts->kv_end_bytes =
        kv_bytes(config, tokens_held(config, &branches, config->scales - 1, true));
    facts->kv_retained_bytes = kv_peak(config, &branches, false);
    facts->saved = 1 - (double)facts->kv_peak_bytes / full;
    facts->saved_retained = 1 - (double)facts->kv_retained_bytes / full;
    list[out->cost_count++] = facts;
    return VARIANT_OK;
}

/* Full depth, then those trained, else halves down to two. */
static variant_status tell_depths(vt_inspection *in, variant_transformer_facts *out,
                                  const vt_model *model, int bridge, variant_error *err) {
    const int D = vt_transformer_configuration(model->transformer)->depth;
    const vt_supernet_info *supernet = &model->supernet;
    const variant_depth_facts **list = NULL;
    VT_TRY(vt_kept_take(&in->kept, &list, (VT_MAX_DEPTHS + 32) * sizeof *list, err));
    out->costs = list;
    VT_TRY(tell_depth(in, out, list, model, bridge, D, err));
    int halves = 1;
    while (2 * halves < D) halves *= 2;
    for (int i = 0; supernet->trained ? i < supernet->depth_count : halves >= 2; ++i, halves /= 2) {
        const int depth = supernet->trained ? supernet->depths[i] : halves;
        if (depth < D) VT_TRY(tell_depth(in, out, list, model, bridge, depth, err));
    }
    return VARIANT_OK;
}

/* ---- what trainings left ---- */

/* The training may have drawn the bridge, from the supernet's up to this one. */
static int last_bridge(const vt_model *model) {
    cJSON *record = vt_json_of(model->training);
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(record, "bridge"));
    int first = 0, last = 0;
    const int read = text ? sscanf(text, "%d-%d", &first, &last) : 0;
    cJSON_Delete(record);
    const int bridge = model->supernet.bridge;
    return read == 2 && first == bridge && last > first ? last : bridge;
}

/* The factor of a depth of the conditional branch. */
static void add_late(variant_transformer_facts *out, const vt_supernet_info *supernet, int depth) {
    out->late_depths[out->late_count] = depth;
    out->cfg_lates[out->late_count++] = (double)vt_supernet_cfg_late(supernet, depth);
}

static void tell_supernet(variant_transformer_facts *out, const vt_model *model) {
    const vt_supernet_info *supernet = &model->supernet;
    out->supernet = supernet->trained;
    if (!supernet->trained) return;
    out->bridge = supernet->bridge;
    out->last_bridge = last_bridge(model);
    out->depth_count = supernet->depth_count;
    memcpy(out->depths, supernet->depths, (size_t)supernet->depth_count * sizeof *supernet->depths);
    out->layers = vt_selector_name(supernet->selector);
    out->uncond_depth = vt_supernet_uncond_depth(supernet);
    add_late(out, supernet, out->depth);
    for (int i = 0; i < supernet->depth_count; ++i)
        if (supernet->depths[i] > out->uncond_depth) add_late(out, supernet, supernet->depths[i]);
}

/* ---- integers ---- */

static const char *text_of(const cJSON *of, const char *key) {
    const char *text = cJSON_GetStringValue(cJSON_GetObjectItemCaseSensitive(of, key));
    return text ? text : "";
}

static double number_of(const cJSON *of, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(of, key);
    return cJSON_IsNumber(item) ? item->valuedouble : 0;
}

/* What the record of a file of integers says; one that cannot be read says nothing. */
static variant_status tell_integers(vt_inspection *in, variant_transformer_facts *out,
                                    const vt_tensor_file *file, variant_error *err) {
    const char *text = vt_tensor_file_meta(file, VT_INT8_KEY);
    cJSON *record = vt_json_of(text);
    variant_integer_facts *facts = NULL;
    variant_status status = VARIANT_OK;
    const cJSON *item;
    if (!record) return VARIANT_OK;
    VT_CHECK(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    VT_CHECK(vt_kept_text(&in->kept, &facts->json, text, err));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(record, "weights")) {
        ++*(strcmp(text_of(item, "type"), "int4") == 0 ? &facts->int4 : &facts->int8);
        facts->rows += strcmp(text_of(item, "scale_of"), "rows") == 0;
        facts->folded += number_of(item, "folded") > 0;
    }
    const double pictures = number_of(record, "pictures");
    facts->pictures = pictures > 0 && pictures < 1e9 ? (int)pictures : 0;
    out->integers = facts;
cleanup:
    cJSON_Delete(record);
    return status;
}

/* ---- all of it ---- */

static variant_status tell_classes(vt_inspection *in, variant_transformer_facts *out,
                                   const vt_model *model, variant_error *err) {
    const char **names = NULL;
    VT_TRY(vt_kept_take(&in->kept, &names, (size_t)model->class_count * sizeof *names, err));
    out->class_names = names;
    for (int i = 0; i < model->class_count; ++i)
        VT_TRY(vt_kept_text(&in->kept, &names[i], model->class_names[i], err));
    out->class_name_count = model->class_count;
    return VARIANT_OK;
}

variant_status vt_facts_transformer(vt_inspection *in, const vt_model *model, int bridge,
                                    variant_error *err) {
    const vt_transformer_config *config = vt_transformer_configuration(model->transformer);
    const vt_params *params = vt_transformer_params(model->transformer);
    variant_transformer_facts *facts = NULL;
    VT_TRY(vt_kept_take(&in->kept, &facts, sizeof *facts, err));
    *facts = (variant_transformer_facts){.parameters = vt_facts_parameters(params),
                                         .mapped_bytes = params->mapped_bytes,
                                         .depth = config->depth,
                                         .width = config->width,
                                         .heads = config->heads,
                                         .hidden = config->hidden,
                                         .codes = config->codes,
                                         .latent_dim = config->latent_dim,
                                         .classes = config->classes,
                                         .l2_norm = config->l2_norm,
                                         .shared_adaln = config->shared_adaln,
                                         .scales = config->scales};
    in->told.transformer = facts;
    facts->tokens = vt_facts_sides(facts->sides, config->sides, config->scales);
    VT_TRY(tell_classes(in, facts, model, err));
    tell_supernet(facts, model);
    VT_TRY(tell_integers(in, facts, model->files[1], err));
    if (bridge < 0) bridge = vt_supernet_bridge(&model->supernet, config->scales);
    if (bridge > config->scales) bridge = config->scales;
    return tell_depths(in, facts, model, bridge, err);
}

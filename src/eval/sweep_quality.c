/* sweep_quality.c - see sweep_quality.h. */
#include "eval/sweep_quality.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/rng.h"
#include "eval/source.h"

enum { BATCH = 64 }; /* pictures as floats at a time */

/* ---- the judge ---- */

static variant_status begin(void *user, variant_error *err) {
    vt_sweep_quality *q = user;
    variant_info info;
    info = *variant_engine_info(q->engine);
    if (!q->network.has_reference)
        VT_TRY(vt_judge_reference(&q->network, &q->data, info.picture_side, info.channels, err));
    vt_eval_close(&q->eval); /* of a point that was given up */
    vt_eval_options options = {.features = q->network.features,
                               .reference = &q->network.reference,
                               .expected = q->judge.samples,
                               .labels_match = vt_judge_classes_match(&q->network, q->engine),
                               .draws = q->draws,
                               .classes_set = true}; /* one after another */
    return vt_eval_open(&q->eval, &options, err);
}

static variant_status add(void *user, const variant_picture *pictures, int count,
                          variant_error *err) {
    vt_sweep_quality *q = user;
    int32_t labels[BATCH];
    for (int first = 0; first < count; first += BATCH) {
        const variant_picture *p = &pictures[first];
        int n = count - first < BATCH ? count - first : BATCH;
        vt_judge_floats(p, n, q->pictures, labels);
        VT_TRY(vt_eval_add(q->eval, q->pictures, labels, n, p->height, p->width, p->channels, err));
    }
    return VARIANT_OK;
}

static variant_status finish(void *user, cJSON **quality, variant_error *err) {
    vt_sweep_quality *q = user;
    vt_eval_scores scores;
    variant_status status = vt_eval_scores_get(q->eval, &scores, err);
    if (status == VARIANT_OK) {
        *quality = vt_eval_scores_json(&scores, &q->network.network, &q->network.reference);
        if (!*quality) status = vt_fail(err, VARIANT_E_MEMORY, "no memory for scores");
    }
    vt_eval_close(&q->eval);
    return status;
}

/* ---- what it judges by ---- */

static uint64_t statistics_hash(const vt_reference *reference) {
    size_t dims = (size_t)reference->pooled.dims;
    uint64_t hash = vt_fnv1a64((const char *)reference->pooled.mean, dims * sizeof(double));
    return vt_fnv1a64_more(hash, reference->pooled.scatter, dims * dims * sizeof(double));
}

/* How many pictures the reference has; 0: statistics that do not say. Statistics are read at once. And a hash of
 * what they are: points judged by others under the same name are not to stand beside these. */
static variant_status look(vt_sweep_quality *q, const variant_info *info, int64_t *count,
                           uint64_t *hash, variant_error *err) {
    const vt_judge_options *o = &q->network.options;
    vt_source source = {0};
    if (q->data.count && vt_judge_is_statistics(q->data.paths[0])) {
        VT_TRY(vt_judge_reference(&q->network, &q->data, 0, 0, err));
        *count = q->network.reference.count;
        *hash = statistics_hash(&q->network.reference);
        return VARIANT_OK;
    }
    VT_TRY(vt_source_open(&source, &q->data, info->picture_side, info->channels, o->reference_count,
                          o->note, o->user, err));
    *count = source.count;
    variant_status status = vt_source_hash(&source, hash, err);
    vt_source_close(&source);
    q->network.options.note = NULL; /* its notes are told */
    return status;
}

static variant_status describe(vt_sweep_quality *q, int64_t count, uint64_t hash,
                               variant_error *err) {
    char digits[20], name[96], reference[256];
    const vt_features_info *network = &q->network.network;
    vt_sweep_judged_by out;
    vt_sweep_judged_by_view(&out, NULL);
    vt_eval_name(name, sizeof name, "FID", network);
    vt_data_name(&q->data, reference, sizeof reference);
    snprintf(digits, sizeof digits, "%016" PRIx64, hash);
    out.score = name;
    out.network = network->name;
    out.network_hash = network->hash;
    if (network->resizes) out.resize = vt_features_resize_name(network->resize);
    out.draws = q->draws.count;
    out.reference = reference;
    if (!q->network.has_reference) { /* pictures, to be read when they are needed */
        out.split = vt_split_name(q->data.split);
        if (q->data.fit != VT_FIT_CROP) out.fit = vt_fit_name(q->data.fit);
        if (q->data.alpha != VT_ALPHA_WHITE) out.alpha = vt_alpha_name(q->data.alpha);
    }
    if (count) out.reference_samples = (double)count;
    out.reference_hash = digits;
    q->settings = cJSON_CreateObject();
    if (!q->settings) return vt_fail(err, VARIANT_E_MEMORY, "no memory for settings");
    return vt_sweep_judged_by_put(q->settings, &out, err);
}

variant_status vt_sweep_quality_open(vt_sweep_quality *out, const vt_judge_options *options,
                                     const vt_data *reference, int samples, const vt_draws *draws,
                                     const variant_engine *engine, variant_error *err) {
    variant_status status = VARIANT_OK;
    const variant_info info = *variant_engine_info(engine);
    int64_t count;
    uint64_t hash;
    *out = (vt_sweep_quality){.engine = engine, .data = *reference, .draws = *draws};
    VT_CHECK(vt_data_follow(&out->data, engine->model->training, err));
    size_t floats = (size_t)info.picture_side * (size_t)info.picture_side * (size_t)info.channels;
    out->pictures = malloc(BATCH * floats * sizeof *out->pictures);
    if (!out->pictures)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", BATCH));
    VT_CHECK(vt_judge_open(&out->network, options, err));
    if (draws->count < 0) out->draws.count = vt_eval_default_draws(&out->network.network);
    VT_CHECK(look(out, &info, &count, &hash, err));
    VT_CHECK(describe(out, count, hash, err));
    out->judge = (vt_sweep_judge){.user = out,
                                  .begin = begin,
                                  .add = add,
                                  .finish = finish,
                                  .samples = samples,
                                  .settings = out->settings};
cleanup:
    if (status != VARIANT_OK) vt_sweep_quality_close(out);
    return status;
}

void vt_sweep_quality_close(vt_sweep_quality *quality) {
    vt_eval_close(&quality->eval);
    vt_judge_close(&quality->network);
    cJSON_Delete(quality->settings);
    free(quality->pictures);
    *quality = (vt_sweep_quality){0};
}

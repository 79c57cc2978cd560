/* eval.c - the stream of generated pictures and its scores (see eval.h). */
#include "eval/eval.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "eval/frechet.h"
#include "eval/kernel_distance.h"
#include "eval/neighbours.h"
#include "io/json.h"
#include "io/npz_write.h"
#include "planning/sweep_file.h"

enum { LEAST_IN_SPLIT = 10 }; /* samples */

struct vt_eval {
    vt_eval_options options;
    vt_features_info info;
    int64_t count, labelled, hits;
    vt_moments pooled, spatial;
    float *kept,
        *kept_spatial;  /* (kept_count, dims), (kept_count, spatial dims): of the same samples */
    float *kept_labels; /* (kept_count): likewise; NULL unless options.classes_set */
    int kept_count;
    /* of the inception score, by split: sum of p log p, of p (classes), and of samples */
    double *entropy, *shares;
    int64_t in_split[VT_EVAL_SPLITS];
    int splits;
};

int vt_eval_default_draws(const vt_features_info *network) {
    return network->dims > VT_EVAL_WIDE ? VT_EVAL_DRAWS_WIDE : VT_EVAL_DRAWS;
}

variant_status vt_eval_open(vt_eval **out, const vt_eval_options *options, variant_error *err) {
    *out = NULL;
    vt_eval *eval = calloc(1, sizeof *eval);
    if (!eval) return vt_fail(err, VARIANT_E_MEMORY, "no memory to evaluate");
    variant_status status = VARIANT_OK;
    eval->options = *options;
    if (!eval->options.draws.team) eval->options.draws.team = vt_features_team(options->features);
    vt_features_info_get(options->features, &eval->info);
    const vt_reference *reference = options->reference;
    if (reference && reference->count == 1)
        VT_CHECK(vt_fail(err, VARIANT_E_ARGUMENT,
                         "%s: a reference of 1 picture: scores need at least 2, and many more to "
                         "mean something (split all takes training pictures too)",
                         reference->source));
    int splits = options->expected > 0 ? options->expected / LEAST_IN_SPLIT : VT_EVAL_SPLITS;
    eval->splits = splits < 1 ? 1 : splits > VT_EVAL_SPLITS ? VT_EVAL_SPLITS : splits;
    size_t classes = (size_t)eval->info.classes, dims = (size_t)eval->info.dims;
    eval->entropy = calloc(VT_EVAL_SPLITS, sizeof *eval->entropy);
    eval->shares = calloc(VT_EVAL_SPLITS * classes, sizeof *eval->shares);
    eval->kept = malloc(VT_EVAL_KEPT * dims * sizeof *eval->kept);
    if (!eval->entropy || !eval->shares || !eval->kept)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory to evaluate"));
    if (reference || options->statistics) {
        VT_CHECK(vt_moments_open(&eval->pooled, eval->info.dims, err));
        if (options->statistics ? eval->info.spatial_dims : reference->spatial.dims)
            VT_CHECK(vt_moments_open(&eval->spatial, eval->info.spatial_dims, err));
    }
    if (reference && options->draws.count && options->classes_set) {
        eval->kept_labels = malloc(VT_EVAL_KEPT * sizeof *eval->kept_labels);
        if (!eval->kept_labels) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory to evaluate"));
    }
    if (reference && eval->spatial.dims && options->draws.count) {
        size_t wide = (size_t)eval->info.spatial_dims;
        eval->kept_spatial = malloc(VT_EVAL_KEPT * wide * sizeof *eval->kept_spatial);
        if (!eval->kept_spatial) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory to evaluate"));
    }
cleanup:
    if (status != VARIANT_OK) vt_eval_close(&eval);
    *out = eval;
    return status;
}

void vt_eval_close(vt_eval **eval) {
    if (!eval || !*eval) return;
    vt_moments_close(&(*eval)->pooled);
    vt_moments_close(&(*eval)->spatial);
    free((*eval)->kept);
    free((*eval)->kept_spatial);
    free((*eval)->kept_labels);
    free((*eval)->entropy);
    free((*eval)->shares);
    free(*eval);
    *eval = NULL;
}

/* ---- adding ---- */

/* Each run of as many samples as there are splits gives one to every split, in an order of its own: a
 * split then holds all classes whether pictures come sorted by class or one class after another. */
static int split_of(const vt_eval *eval) {
    uint32_t order[VT_EVAL_SPLITS];
    vt_permutation(order, (uint32_t)eval->splits, 0, (uint32_t)(eval->count / eval->splits));
    return (int)order[eval->count % eval->splits];
}

static void add_probabilities(vt_eval *eval, const float *p, int label, bool labelled) {
    int classes = eval->info.classes, best = 0, split = split_of(eval);
    double *shares = eval->shares + (size_t)split * (size_t)classes;
    for (int c = 0; c < classes; ++c) {
        if (p[c] > 0) eval->entropy[split] += (double)p[c] * log((double)p[c]);
        shares[c] += (double)p[c];
        if (p[c] > p[best]) best = c;
    }
    ++eval->in_split[split];
    if (!labelled || !eval->options.labels_match) return;
    ++eval->labelled;
    eval->hits += best == label;
}

static variant_status add_features(vt_eval *eval, const float *pooled, const float *spatial,
                                   const int32_t *labels, int count, variant_error *err) {
    int64_t seen = eval->pooled.count;
    for (int i = 0, held = eval->kept_count; eval->kept_labels && i < count; ++i) {
        float label = labels ? (float)labels[i] : 0.0f;
        vt_keep(eval->kept_labels, &held, VT_EVAL_KEPT, seen + i, &label, 1, 1);
    }
    int same = eval->kept_count; /* the places depend on the counts alone */
    if (spatial && eval->kept_spatial)
        vt_keep(eval->kept_spatial, &same, VT_EVAL_KEPT, eval->pooled.count, spatial, count,
                eval->info.spatial_dims);
    vt_keep(eval->kept, &eval->kept_count, VT_EVAL_KEPT, eval->pooled.count, pooled, count,
            eval->info.dims);
    VT_TRY(vt_moments_add(&eval->pooled, pooled, count, err));
    return spatial ? vt_moments_add(&eval->spatial, spatial, count, err) : VARIANT_OK;
}

variant_status vt_eval_add(vt_eval *eval, const float *pictures, const int32_t *labels, int count,
                           int height, int width, int channels, variant_error *err) {
    const vt_reference *reference = eval->options.reference;
    size_t n = (size_t)count, dims = (size_t)eval->pooled.dims;
    size_t wide = (size_t)eval->spatial.dims, classes = (size_t)eval->info.classes;
    if (count <= 0) return VARIANT_OK;
    if (reference && reference->side &&
        (reference->side != height || reference->side != width || reference->channels != channels))
        return vt_fail(
            err, VARIANT_E_MISMATCH,
            "%s: a reference of %d x %d pictures with %d channels, but these are %d x %d "
            "with %d",
            reference->source, reference->side, reference->side, reference->channels, width, height,
            channels);
    float *room = malloc(n * (dims + wide + classes) * sizeof *room);
    if (!room) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples", count);
    float *probabilities = room, *pooled = dims ? room + n * classes : NULL;
    float *spatial = wide ? room + n * (classes + dims) : NULL;
    variant_status status = vt_features_run(eval->options.features, pictures, count, height, width,
                                            channels, pooled, spatial, probabilities, err);
    if (status == VARIANT_E_MODEL && vt_features_bad_picture(eval->options.features) >= 0)
        vt_fail(err, status,
                "picture %lld of those judged: its features in %s are not finite: a weight or a "
                "pixel is not a number, or overflows",
                (long long)eval->count + vt_features_bad_picture(eval->options.features) + 1,
                eval->info.name);
    if (status == VARIANT_OK && pooled)
        status = add_features(eval, pooled, spatial, labels, count, err);
    for (size_t i = 0; status == VARIANT_OK && i < n; ++i) {
        add_probabilities(eval, probabilities + i * classes, labels ? (int)labels[i] : -1,
                          labels != NULL);
        ++eval->count;
    }
    free(room);
    return status;
}

/* ---- scores ---- */

/* Labels of the kept samples, to be freed; NULL where they are not told. */
static variant_status kept_classes(const vt_eval *eval, int32_t **out, variant_error *err) {
    *out = NULL;
    if (!eval->kept_labels) return VARIANT_OK;
    *out = malloc((size_t)eval->kept_count * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d samples", eval->kept_count);
    for (int i = 0; i < eval->kept_count; ++i) (*out)[i] = (int32_t)eval->kept_labels[i];
    return VARIANT_OK;
}

/* The distance of what `got` and `kept` know of the pictures, and its spread. */
static variant_status distance(const vt_eval *eval, const vt_moments *got, const float *kept,
                               const vt_moments *want, double *out, double *spread,
                               variant_error *err) {
    size_t square = (size_t)got->dims * (size_t)got->dims;
    double *covariance = malloc(2 * square * sizeof *covariance);
    if (!covariance)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for covariances of %d features",
                       got->dims);
    vt_moments_covariance(got, covariance);
    vt_moments_covariance(want, covariance + square);
    vt_gaussian a = {got->mean, covariance}, b = {want->mean, covariance + square};
    variant_status status = vt_frechet_distance(out, &a, &b, got->dims, err);
    if (status == VARIANT_OK && eval->options.draws.count && eval->kept_count) {
        int32_t *classes = NULL;
        status = kept_classes(eval, &classes, err);
        if (status == VARIANT_OK)
            status = vt_frechet_spread(spread, kept, classes, eval->kept_count, got->count, &b,
                                       got->dims, &eval->options.draws, err);
        free(classes);
    }
    free(covariance);
    return status;
}

/* exp of the mean divergence of p(class | picture) from p(class), over each split that has samples. */
static void inception_score(const vt_eval *eval, vt_eval_scores *out) {
    double score[VT_EVAL_SPLITS], sum = 0, square = 0;
    int splits = 0, classes = eval->info.classes;
    for (int s = 0; s < eval->splits; ++s) {
        double n = (double)eval->in_split[s], of_all = 0;
        if (n < 1) continue;
        const double *shares = eval->shares + (size_t)s * (size_t)classes;
        for (int c = 0; c < classes; ++c)
            if (shares[c] > 0) of_all += shares[c] / n * log(shares[c] / n);
        score[splits++] = exp(eval->entropy[s] / n - of_all);
    }
    for (int s = 0; s < splits; ++s) sum += score[s];
    out->inception_score = sum / splits;
    for (int s = 0; s < splits; ++s) {
        double d = score[s] - out->inception_score;
        square += d * d;
    }
    out->inception_spread = sqrt(square / splits);
}

static variant_status near_real(const vt_eval *eval, vt_eval_scores *out, variant_error *err) {
    const vt_reference *reference = eval->options.reference;
    int n = eval->kept_count < reference->kept_count ? eval->kept_count : reference->kept_count;
    if (n <= VT_EVAL_NEIGHBOURS) return VARIANT_OK;
    vt_samples real = {reference->kept, reference->kept_count, n};
    vt_samples generated = {eval->kept, eval->kept_count, n};
    out->neighbours_of = n;
    VT_TRY(vt_precision_recall(&out->precision, &out->recall, &real, &generated, eval->info.dims,
                               VT_EVAL_NEIGHBOURS, eval->options.draws.team, err));
    double spread;
    VT_TRY(vt_kernel_distance(&out->kid, &spread, &real, &generated, eval->info.dims, err));
    if (!out->draws) return VARIANT_OK;
    out->kid_spread = spread;
    out->precision_spread = vt_share_spread(out->precision, n);
    return vt_recall_spread(&out->recall_spread, &real, &generated, eval->info.dims,
                            VT_EVAL_NEIGHBOURS, &eval->options.draws, err);
}

static char *next_warning(vt_eval_scores *out) {
    return out->warnings[out->warning_count++];
}

/* What few samples do to scores that are measured beside a reference. */
static void warn_of_few(const vt_eval *eval, vt_eval_scores *out) {
    const int dims = eval->info.dims;
    const size_t size = sizeof out->warnings[0];
    int64_t reals = out->reference_count;
    bool of_real = reals && reals < out->count;
    int64_t fewest = of_real ? reals : out->count;
    const char *which = of_real ? "real samples" : "samples";
    if (fewest <= dims)
        snprintf(next_warning(out), size,
                 "%lld %s for %d features: the covariance is singular and the Frechet distance "
                 "too high; take more than %d",
                 (long long)fewest, which, dims, VT_EVAL_FEW * dims);
    else if (fewest < (int64_t)VT_EVAL_FEW * dims)
        snprintf(next_warning(out), size,
                 "%lld %s for %d features, fewer than %d times as many: the Frechet distance is "
                 "too high by an amount that falls with their number; compare equal numbers only",
                 (long long)fewest, which, dims, VT_EVAL_FEW);
    if (out->neighbours_of && out->neighbours_of < VT_EVAL_FEW_NEAR)
        snprintf(next_warning(out), size,
                 "precision and recall of %d samples a side are rough: among few, the third "
                 "nearest is far, and everything is near something; take %d",
                 out->neighbours_of, VT_EVAL_FEW_NEAR);
}

variant_status vt_eval_scores_get(vt_eval *eval, vt_eval_scores *out, variant_error *err) {
    const vt_reference *reference = eval->options.reference;
    *out = (vt_eval_scores){.count = eval->count,
                            .reference_count = reference ? reference->count : 0,
                            .draws = eval->options.draws.count,
                            .frechet = NAN,
                            .frechet_spread = NAN,
                            .spatial_frechet = NAN,
                            .spatial_frechet_spread = NAN,
                            .precision = NAN,
                            .precision_spread = NAN,
                            .recall = NAN,
                            .recall_spread = NAN,
                            .class_share = NAN,
                            .class_share_spread = NAN,
                            .kid = NAN,
                            .kid_spread = NAN};
    if (eval->count < 2)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%lld pictures: scores need at least 2",
                       (long long)eval->count);
    inception_score(eval, out);
    if (eval->labelled) {
        out->class_share = (double)eval->hits / (double)eval->labelled;
        if (out->draws) out->class_share_spread = vt_share_spread(out->class_share, eval->labelled);
    }
    if (!reference) return VARIANT_OK;
    VT_TRY(distance(eval, &eval->pooled, eval->kept, &reference->pooled, &out->frechet,
                    &out->frechet_spread, err));
    if (eval->spatial.dims && reference->spatial.dims)
        VT_TRY(distance(eval, &eval->spatial, eval->kept_spatial, &reference->spatial,
                        &out->spatial_frechet, &out->spatial_frechet_spread, err));
    VT_TRY(near_real(eval, out, err));
    warn_of_few(eval, out);
    return VARIANT_OK;
}

/* ---- statistics for others ---- */

static variant_status put_moments(vt_npz_writer *file, const vt_moments *moments, const char *mean,
                                  const char *covariance, variant_error *err) {
    const int64_t shape[] = {moments->dims, moments->dims};
    double *matrix = malloc((size_t)moments->dims * (size_t)moments->dims * sizeof *matrix);
    if (!matrix)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a covariance of %d features",
                       moments->dims);
    vt_moments_covariance(moments, matrix);
    variant_status status = vt_npz_writer_put(file, mean, "<f8", 1, shape, moments->mean, err);
    if (status == VARIANT_OK)
        status = vt_npz_writer_put(file, covariance, "<f8", 2, shape, matrix, err);
    free(matrix);
    return status;
}

variant_status vt_eval_save(const vt_eval *eval, const char *path, variant_error *err) {
    const int64_t count = eval->count, resize = eval->info.resize;
    vt_npz_writer file;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_npz_writer_open(&file, path, err));
    VT_CHECK(put_moments(&file, &eval->pooled, "mu", "sigma", err));
    if (eval->spatial.dims) VT_CHECK(put_moments(&file, &eval->spatial, "mu_s", "sigma_s", err));
    VT_CHECK(vt_npz_writer_put(&file, VT_STATISTICS_COUNT, "<i8", 0, NULL, &count, err));
    if (eval->info.resizes)
        VT_CHECK(vt_npz_writer_put(&file, VT_STATISTICS_RESIZE, "<i8", 0, NULL, &resize, err));
    VT_CHECK(vt_npz_writer_commit(&file, err));
cleanup:
    vt_npz_writer_abandon(&file);
    return status;
}

void vt_eval_name(char *out, size_t size, const char *score, const vt_features_info *network) {
    if (network->inception)
        snprintf(out, size, "%s", score);
    else
        snprintf(out, size, "%s(%s)", score, network->name);
}

static cJSON *warnings_of(const vt_eval_scores *scores) {
    cJSON *list = scores->warning_count ? cJSON_CreateArray() : NULL;
    for (int i = 0; i < scores->warning_count; ++i)
        vt_json_append(list, cJSON_CreateString(scores->warnings[i]));
    return list;
}

cJSON *vt_eval_scores_json(const vt_eval_scores *scores, const vt_features_info *network,
                           const vt_reference *reference) {
    cJSON *json = cJSON_CreateObject(), *warnings = warnings_of(scores);
    char name[96], inception_score_name[96];
    vt_sweep_scores out;
    vt_sweep_scores_view(&out, NULL);
    vt_eval_name(name, sizeof name, "FID", network);
    vt_eval_name(inception_score_name, sizeof inception_score_name, "IS", network);
    out.name = name;
    out.frechet = scores->frechet;
    out.frechet_spread = scores->frechet_spread;
    out.spatial_frechet = scores->spatial_frechet;
    out.spatial_frechet_spread = scores->spatial_frechet_spread;
    out.inception_score_name = inception_score_name;
    out.inception_score = scores->inception_score;
    out.inception_score_spread = scores->inception_spread;
    out.precision = scores->precision;
    out.precision_spread = scores->precision_spread;
    out.recall = scores->recall;
    out.recall_spread = scores->recall_spread;
    if (scores->neighbours_of) {
        out.neighbours = VT_EVAL_NEIGHBOURS;
        out.neighbours_samples = scores->neighbours_of;
    }
    out.class_share = scores->class_share;
    out.class_share_spread = scores->class_share_spread;
    out.kid = scores->kid;
    out.kid_spread = scores->kid_spread;
    out.draws = scores->draws;
    out.samples = (double)scores->count;
    out.network = network->name;
    out.network_hash = network->hash;
    if (reference) out.reference = reference->source;
    if (reference && reference->count) out.reference_samples = (double)reference->count;
    out.warnings = warnings;
    if (!json || vt_sweep_scores_put(json, &out, NULL) != VARIANT_OK) {
        cJSON_Delete(json);
        json = NULL;
    }
    cJSON_Delete(warnings);
    return json;
}

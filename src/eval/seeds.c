/* seeds.c - see seeds.h. */
#include "eval/seeds.h"

#include <errno.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/file.h"
#include "io/json.h"
#include "planning/sweep_file.h"

#define FILE_MAX ((size_t)16 << 20)

#define SCORE(member) .key = #member, .spread_key = #member "_spread"
const vt_seed_score vt_seed_score_list[] = {{SCORE(frechet), .lower = true},
                                            {SCORE(spatial_frechet), .lower = true},
                                            {SCORE(inception_score)},
                                            {SCORE(kid), .lower = true},
                                            {SCORE(precision)},
                                            {SCORE(recall)},
                                            {SCORE(class_share)}};
const int vt_seed_score_count = sizeof vt_seed_score_list / sizeof *vt_seed_score_list;
#undef SCORE

static const cJSON *item_of(const cJSON *object, const char *key) {
    return cJSON_GetObjectItemCaseSensitive(object, key);
}

static double number_of(const cJSON *object, const char *key) {
    const cJSON *item = item_of(object, key);
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

/* ---- lists ---- */

variant_status vt_seed_list_add(vt_seed_list *list, uint64_t seed, cJSON *scores,
                                variant_error *err) {
    if (!scores) return vt_fail(err, VARIANT_E_MEMORY, "no memory for scores");
    if (list->count == VT_SEEDS_MOST) {
        cJSON_Delete(scores);
        return vt_fail(err, VARIANT_E_ARGUMENT, "more than %d seeds", VT_SEEDS_MOST);
    }
    list->at[list->count++] = (vt_seed_scores){seed, scores};
    return VARIANT_OK;
}

void vt_seed_list_free(vt_seed_list *list) {
    for (int i = 0; i < list->count; ++i) cJSON_Delete(list->at[i].scores);
    cJSON_Delete(list->settings);
    *list = (vt_seed_list){0};
}

const vt_seed_scores *vt_seed_list_find(const vt_seed_list *list, uint64_t seed) {
    for (int i = 0; i < list->count; ++i)
        if (list->at[i].seed == seed) return &list->at[i];
    return NULL;
}

/* ---- a file of eval ---- */

static bool read_seed(const cJSON *object, uint64_t *out) {
    const char *text = cJSON_GetStringValue(item_of(object, "seed"));
    char *end = NULL;
    if (!text || *text < '0' || *text > '9') return false;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return !*end && !errno;
}

static variant_status take(vt_seed_list *out, const cJSON *seed_in, const cJSON *scores,
                           const char *path, variant_error *err) {
    uint64_t seed;
    if (!cJSON_IsObject(scores) || !read_seed(seed_in, &seed))
        return vt_fail(err, VARIANT_E_FORMAT,
                       "%s: not scores of generated pictures: expected a report of `variant eval` "
                       "as JSON, with a seed and scores",
                       path);
    if (vt_seed_list_find(out, seed))
        return vt_fail(err, VARIANT_E_FORMAT, "%s: seed %" PRIu64 " is there twice", path, seed);
    return vt_seed_list_add(out, seed, cJSON_Duplicate(scores, true), err);
}

static variant_status take_all(vt_seed_list *out, const cJSON *json, const char *path,
                               variant_error *err) {
    const cJSON *seeds = item_of(json, "seeds"), *one;
    const cJSON *settings = item_of(json, "settings");
    if (!seeds) return take(out, settings, item_of(json, "scores"), path, err);
    cJSON_ArrayForEach(one, seeds) VT_TRY(take(out, one, item_of(one, "scores"), path, err));
    if (out->count == 0)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: no seed was finished there", path);
    return VARIANT_OK;
}

variant_status vt_seed_list_read(vt_seed_list *out, const char *path, variant_error *err) {
    char *text = NULL;
    *out = (vt_seed_list){0};
    VT_TRY(vt_file_read_text(&text, path, FILE_MAX, err));
    cJSON *json = vt_json_of(text);
    free(text);
    variant_status status = take_all(out, json, path, err);
    const cJSON *settings = item_of(json, "settings");
    if (status == VARIANT_OK && settings) out->settings = cJSON_Duplicate(settings, true);
    cJSON_Delete(json);
    if (status != VARIANT_OK) vt_seed_list_free(out);
    return status;
}

variant_status vt_seeds_comparable(const cJSON *one, const cJSON *other, const char *path,
                                   variant_error *err) {
    vt_sweep_scores a, b;
    vt_sweep_scores_view(&a, one);
    vt_sweep_scores_view(&b, other);
    if (strcmp(a.network_hash, b.network_hash) != 0)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s: judged by another network (%s, here %s): scores of two networks say "
                       "nothing of each other",
                       path, b.network_hash, a.network_hash);
    if (isfinite(b.samples) && a.samples != b.samples)
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s: scores of %.0f pictures, here of %.0f: compare equal numbers, with -n",
                       path, b.samples, a.samples);
    if (isfinite(a.reference_samples) != isfinite(b.reference_samples) ||
        (isfinite(a.reference_samples) && a.reference_samples != b.reference_samples))
        return vt_fail(err, VARIANT_E_MISMATCH,
                       "%s: measured beside %.0f real pictures, here beside %.0f: expected the "
                       "same reference",
                       path, isfinite(b.reference_samples) ? b.reference_samples : 0.0,
                       isfinite(a.reference_samples) ? a.reference_samples : 0.0);
    return VARIANT_OK;
}

/* ---- numbers ---- */

static vt_seed_summary summary_of(const double *values, int count) {
    vt_seed_summary s = {count, NAN, NAN, NAN, NAN, NAN, NAN, 0};
    double sum = 0, squares = 0;
    for (int i = 0; i < count; ++i) {
        sum += values[i];
        s.least = i ? fmin(s.least, values[i]) : values[i];
        s.most = i ? fmax(s.most, values[i]) : values[i];
    }
    if (count > 0) s.mean = sum / count;
    for (int i = 0; i < count; ++i) squares += (values[i] - s.mean) * (values[i] - s.mean);
    if (count > 1) {
        s.deviation = sqrt(squares / (count - 1));
        s.error = s.deviation / sqrt(count);
    }
    return s;
}

vt_seed_summary vt_seeds_summary(const vt_seed_list *list, const vt_seed_score *score) {
    double values[VT_SEEDS_MOST] = {0};
    int count = 0;
    for (int i = 0; i < list->count; ++i) {
        double value = number_of(list->at[i].scores, score->key);
        if (isfinite(value)) values[count++] = value;
    }
    return summary_of(values, count);
}

double vt_seeds_difference(const vt_seed_list *first, const vt_seed_list *other, uint64_t seed,
                           const vt_seed_score *score) {
    const vt_seed_scores *a = vt_seed_list_find(first, seed), *b = vt_seed_list_find(other, seed);
    return a && b ? number_of(a->scores, score->key) - number_of(b->scores, score->key) : NAN;
}

vt_seed_summary vt_seeds_pairs(const vt_seed_list *first, const vt_seed_list *other,
                               const vt_seed_score *score) {
    double values[VT_SEEDS_MOST] = {0}, beside = 0;
    int count = 0, better = 0;
    for (int i = 0; i < first->count; ++i) {
        const uint64_t seed = first->at[i].seed;
        double difference = vt_seeds_difference(first, other, seed, score);
        if (!isfinite(difference)) continue;
        values[count++] = difference;
        better += score->lower ? difference < 0 : difference > 0;
        beside += number_of(vt_seed_list_find(other, seed)->scores, score->key);
    }
    vt_seed_summary s = summary_of(values, count);
    s.better = better;
    if (count && beside != 0) s.relative = s.mean / (beside / count);
    return s;
}

/* ---- as JSON ---- */

static bool add_number(cJSON *object, const char *key, double value) {
    return !isfinite(value) || vt_json_number(object, key, value);
}

static bool set_number(cJSON *object, const char *key, double value) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    return add_number(object, key, value);
}

/* Of the mean: the seeds' own spreads say how far each moves, and how far they moved says so too. */
static double spread_of_mean(const vt_seed_list *list, const vt_seed_score *score) {
    double squares = 0;
    for (int i = 0; i < list->count; ++i) {
        double spread = number_of(list->at[i].scores, score->spread_key);
        if (!isfinite(spread)) return NAN;
        squares += spread * spread;
    }
    return fmax(sqrt(squares) / list->count, vt_seeds_summary(list, score).error);
}

cJSON *vt_seeds_mean_json(const vt_seed_list *list) {
    cJSON *mean = list->count ? cJSON_Duplicate(list->at[0].scores, true) : cJSON_CreateObject();
    bool whole = mean != NULL;
    for (int i = 0; whole && list->count > 1 && i < vt_seed_score_count; ++i) {
        const vt_seed_score *score = &vt_seed_score_list[i];
        whole = set_number(mean, score->key, vt_seeds_summary(list, score).mean) &&
                set_number(mean, score->spread_key, spread_of_mean(list, score));
    }
    if (whole) return mean;
    cJSON_Delete(mean);
    return NULL;
}

static bool put_range(cJSON *range, cJSON *deviation, const vt_seed_list *list) {
    bool whole = range && deviation;
    for (int i = 0; whole && i < vt_seed_score_count; ++i) {
        const vt_seed_summary s = vt_seeds_summary(list, &vt_seed_score_list[i]);
        const double ends[] = {s.least, s.most};
        if (!s.count) continue;
        whole = vt_json_put(range, vt_seed_score_list[i].key, cJSON_CreateDoubleArray(ends, 2)) &&
                add_number(deviation, vt_seed_score_list[i].key, s.deviation);
    }
    return whole;
}

static cJSON *add_seed(cJSON *array, uint64_t seed) {
    char text[24];
    cJSON *one = cJSON_CreateObject();
    snprintf(text, sizeof text, "%" PRIu64, seed); /* a double holds 53 bits of it */
    if (one && vt_json_append(array, one) && vt_json_string(one, "seed", text)) return one;
    return NULL;
}

bool vt_seeds_put_each(cJSON *object, const vt_seed_list *list) {
    cJSON *seeds = vt_json_array(object, "seeds");
    bool whole = seeds != NULL;
    for (int i = 0; whole && i < list->count; ++i) {
        cJSON *one = add_seed(seeds, list->at[i].seed);
        whole = one && vt_json_put(one, "scores", cJSON_Duplicate(list->at[i].scores, true));
    }
    return whole;
}

bool vt_seeds_put(cJSON *object, const vt_seed_list *list) {
    bool whole = vt_json_put(object, "scores", vt_seeds_mean_json(list));
    cJSON *range = vt_json_object(object, "range");
    whole = whole && put_range(range, vt_json_object(object, "deviation"), list);
    return whole && vt_seeds_put_each(object, list);
}

static bool put_difference(cJSON *object, const vt_seed_score *score, const vt_seed_summary *s) {
    cJSON *of = s->count ? vt_json_object(object, score->key) : NULL;
    if (!of) return !s->count;
    return add_number(of, "mean", s->mean) && add_number(of, "error", s->error) &&
           add_number(of, "least", s->least) && add_number(of, "most", s->most) &&
           add_number(of, "relative", s->relative) && add_number(of, "better", s->better) &&
           add_number(of, "pairs", s->count);
}

bool vt_seeds_put_pairs(cJSON *object, const vt_seed_list *first, const vt_seed_list *other) {
    cJSON *pairs = vt_json_array(object, "pairs");
    cJSON *difference = vt_json_object(object, "difference");
    bool whole = pairs && difference;
    for (int i = 0; whole && i < first->count; ++i) {
        const uint64_t seed = first->at[i].seed;
        if (!vt_seed_list_find(other, seed)) continue;
        cJSON *one = add_seed(pairs, seed);
        whole = one != NULL;
        for (int j = 0; whole && j < vt_seed_score_count; ++j) {
            const vt_seed_score *score = &vt_seed_score_list[j];
            whole = add_number(one, score->key, vt_seeds_difference(first, other, seed, score));
        }
    }
    for (int j = 0; whole && j < vt_seed_score_count; ++j) {
        const vt_seed_summary s = vt_seeds_pairs(first, other, &vt_seed_score_list[j]);
        whole = put_difference(difference, &vt_seed_score_list[j], &s);
    }
    return whole;
}

/* evaluate_seeds.c - variant_evaluate_seeds: the scores of one request at several seeds, their mean and range. Sums are those of
 * seeds.c, which `variant eval --seeds` prints. */
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "eval/library.h"
#include "eval/seeds.h"
#include "io/json.h"

/* What is handed out is the first member. */
typedef struct seed_scores {
    variant_seed_scores told;
    uint64_t seeds[VT_SEEDS_MOST];
    variant_scores *scores[VT_SEEDS_MOST]; /* owned */
    variant_scores mean, least, most, deviation;
} seed_scores;

/* Where a score of seeds.c lies in variant_scores. */
typedef struct place {
    const char *key;
    size_t value, spread;
} place;
#define PLACE(member, spread)                                                                      \
    { #member, offsetof(variant_scores, member), offsetof(variant_scores, spread) }
static const place places[] = {
    PLACE(frechet, frechet_spread),           PLACE(spatial_frechet, spatial_frechet_spread),
    PLACE(inception_score, inception_spread), PLACE(kid, kid_spread),
    PLACE(precision, precision_spread),       PLACE(recall, recall_spread),
    PLACE(class_share, class_share_spread)};
#undef PLACE

static const place *place_of(const char *key) {
    for (size_t i = 0; i < sizeof places / sizeof *places; ++i)
        if (strcmp(places[i].key, key) == 0) return &places[i];
    return NULL;
}

static void put(variant_scores *scores, size_t at, double value) {
    memcpy((char *)scores + at, &value, sizeof value);
}

void variant_seed_scores_free(variant_seed_scores **scores) {
    if (!scores || !*scores) return;
    seed_scores *s = (seed_scores *)(void *)*scores;
    for (int i = 0; i < s->told.count; ++i) free(s->scores[i]);
    free(s);
    *scores = NULL;
}

/* ---- over the seeds ---- */

/* Each seed's scores as seeds.c takes them; free the list. */
static variant_status list_of(vt_seed_list *out, const variant_judge *judge,
                              const variant_seed_scores *scores, variant_error *err) {
    *out = (vt_seed_list){0};
    for (int i = 0; i < scores->count; ++i) {
        cJSON *json = vt_scores_json(judge, scores->scores[i]);
        VT_TRY(vt_seed_list_add(out, scores->seeds[i], json, err));
    }
    return VARIANT_OK;
}

/* All that is the same of every seed, and no score. */
static void begin(variant_scores *out, const variant_scores *first) {
    variant_scores_init(out);
    memcpy(out->name, first->name, sizeof out->name);
    out->count = first->count;
    out->reference_count = first->reference_count;
    out->draws = first->draws;
    out->neighbours_of = first->neighbours_of;
}

static double number_of(const cJSON *of, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(of, key);
    return cJSON_IsNumber(item) ? item->valuedouble : (double)NAN;
}

static variant_status sum_up(seed_scores *s, const variant_judge *judge, variant_error *err) {
    variant_scores *all[] = {&s->mean, &s->least, &s->most, &s->deviation};
    vt_seed_list list;
    cJSON *mean = NULL;
    variant_status status = list_of(&list, judge, &s->told, err);
    if (status == VARIANT_OK && !(mean = vt_seeds_mean_json(&list)))
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for means of scores");
    for (int i = 0; i < 4; ++i) begin(all[i], s->scores[0]);
    for (int i = 0; status == VARIANT_OK && i < vt_seed_score_count; ++i) {
        const vt_seed_score *score = &vt_seed_score_list[i];
        const vt_seed_summary summary = vt_seeds_summary(&list, score);
        const place *at = place_of(score->key);
        if (!at || !summary.count) continue;
        put(&s->mean, at->value, summary.mean);
        put(&s->mean, at->spread, number_of(mean, score->spread_key));
        put(&s->least, at->value, summary.least);
        put(&s->most, at->value, summary.most);
        put(&s->deviation, at->value, summary.deviation);
    }
    cJSON_Delete(mean);
    vt_seed_list_free(&list);
    if (status != VARIANT_OK) return status;
    s->told.mean = &s->mean;
    s->told.least = &s->least;
    s->told.most = &s->most;
    s->told.deviation = &s->deviation;
    return VARIANT_OK;
}

/* ---- the seeds ---- */

static variant_status check(const variant_eval_options *o, const uint64_t *seeds, int count,
                            variant_error *err) {
    if (!o->engine || !o->request || o->pictures || o->through)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "seeds are of generated pictures: expected an engine with a request");
    if (o->save_statistics)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "save_statistics is of one seed: expected none with several");
    VT_TRY(vt_need_list(seeds, "seeds", count, "seed_count", err));
    if (!seeds || count < 1 || count > VT_SEEDS_MOST)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d seeds: expected 1 to %d", seeds ? count : 0,
                       VT_SEEDS_MOST);
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < i; ++j)
            if (seeds[i] == seeds[j])
                return vt_fail(err, VARIANT_E_ARGUMENT, "seed %llu is there twice",
                               (unsigned long long)seeds[i]);
    return VARIANT_OK;
}

static variant_status run_one(seed_scores *s, variant_judge *judge, const variant_eval_options *o,
                              uint64_t seed, variant_error *err) {
    variant_request request;
    variant_eval_options options = *o;
    if (s->told.count > 0) options.reference = NULL; /* it is read already */
    VT_TRY(VT_SIZED_TAKE(&request, o->request, variant_request, err));
    request.seed = options.seed = seed;
    options.request = &request;
    variant_scores *scores = malloc(sizeof *scores);
    if (!scores) return vt_fail(err, VARIANT_E_MEMORY, "no memory for scores");
    variant_scores_init(scores);
    const variant_status status = variant_evaluate(judge, &options, scores, err);
    if (status != VARIANT_OK) {
        free(scores);
        return status;
    }
    s->seeds[s->told.count] = seed;
    s->scores[s->told.count++] = scores;
    if (o->finished) o->finished(o->user, seed, scores);
    return VARIANT_OK;
}

variant_status variant_evaluate_seeds(variant_judge *judge, const variant_eval_options *options,
                                      const uint64_t *seeds, int seed_count,
                                      variant_seed_scores **out, variant_error *error) {
    variant_eval_options taken;
    if (error) *error = (variant_error){0};
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put scores");
    *out = NULL;
    if (!judge) return vt_fail(error, VARIANT_E_ARGUMENT, "no judge: expected an open one");
    VT_TRY(VT_SIZED_TAKE(&taken, options, variant_eval_options, error));
    VT_TRY(check(&taken, seeds, seed_count, error));
    seed_scores *s = calloc(1, sizeof *s);
    if (!s) return vt_fail(error, VARIANT_E_MEMORY, "no memory for scores");
    s->told.seeds = s->seeds;
    s->told.scores = (const variant_scores *const *)s->scores;
    *out = &s->told;
    variant_status status = VARIANT_OK;
    for (int i = 0; i < seed_count && status == VARIANT_OK; ++i)
        status = run_one(s, judge, &taken, seeds[i], error);
    if (status == VARIANT_E_ARGUMENT) variant_seed_scores_free(out);
    if (!*out || s->told.count == 0) return status;
    const variant_status summed = sum_up(s, judge, status == VARIANT_OK ? error : NULL);
    return status == VARIANT_OK ? summed : status;
}

char *variant_seed_scores_json(const variant_judge *judge, const variant_seed_scores *scores) {
    vt_seed_list list;
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;
    if (!judge || !scores || !json) {
        cJSON_Delete(json);
        return NULL;
    }
    if (list_of(&list, judge, scores, NULL) == VARIANT_OK && vt_seeds_put(json, &list))
        text = vt_json_text(json);
    vt_seed_list_free(&list);
    cJSON_Delete(json);
    return text;
}

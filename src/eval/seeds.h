/* seeds.h - the scores of one setting at several seeds, and of two settings beside each other at the same seeds.
 *
 * A score of one seed moves by its spread with the next; seeds show by how much, and the difference of two settings at
 * the same seed, whose pictures begin with the same random numbers, moves less than either. Used by seed_lists.c and, for the points of
 * a sweep, by sweep.c. */
#ifndef VT_EVAL_SEEDS_H
#define VT_EVAL_SEEDS_H

#include <cjson/cJSON.h>

#include "core/status.h"

enum { VT_SEEDS_MOST = 256 };

typedef struct vt_seed_scores {
    uint64_t seed;
    cJSON *scores; /* vt_eval_scores_json's; owned */
} vt_seed_scores;

/* Of one setting; zeros to begin with. */
typedef struct vt_seed_list {
    cJSON *settings; /* what the pictures were made with, "seed" one of them; owned; NULL */
    vt_seed_scores at[VT_SEEDS_MOST];
    int count;
} vt_seed_list;

/* Takes over `scores`, which may be NULL where memory had run out: E_MEMORY. */
variant_status vt_seed_list_add(vt_seed_list *list, uint64_t seed, cJSON *scores,
                                variant_error *err);
/* What `variant eval --json` wrote, of one seed or several. E_FORMAT: something else. */
variant_status vt_seed_list_read(vt_seed_list *out, const char *path, variant_error *err);
void vt_seed_list_free(vt_seed_list *list);

/* Is something of this seed there? */
const vt_seed_scores *vt_seed_list_find(const vt_seed_list *list, uint64_t seed);
/* May a score of `other` (named `path`) stand beside one of `one`? E_MISMATCH: another network, another number of
 * pictures, real or generated. */
variant_status vt_seeds_comparable(const cJSON *one, const cJSON *other, const char *path,
                                   variant_error *err);

/* ---- numbers ---- */

/* What is told of every seed: the members of vt_sweep_scores that are single numbers. */
typedef struct vt_seed_score {
    const char *key, *spread_key; /* in the JSON */
    bool lower;                   /* is better */
} vt_seed_score;
extern const vt_seed_score vt_seed_score_list[];
extern const int vt_seed_score_count;

typedef struct vt_seed_summary {
    int count;                /* seeds that have it; 0: the others are NAN */
    double mean, least, most; /* ... */
    double deviation;         /* standard, of a seed (n - 1); NAN below two */
    double error;             /* standard, of the mean */
    double relative;          /* of pairs: mean of the differences / mean of the other setting */
    int better;               /* of pairs: seeds at which the first is better */
} vt_seed_summary;

/* A score over a list's seeds. */
vt_seed_summary vt_seeds_summary(const vt_seed_list *list, const vt_seed_score *score);
/* Of the differences first - other over the seeds that both have. */
vt_seed_summary vt_seeds_pairs(const vt_seed_list *first, const vt_seed_list *other,
                               const vt_seed_score *score);
/* At a seed; NAN where either lacks it. */
double vt_seeds_difference(const vt_seed_list *first, const vt_seed_list *other, uint64_t seed,
                           const vt_seed_score *score);

/* ---- as JSON; NULL: no memory ---- */

/* The mean of all numbers, under the keys of one seed's scores. A spread is that of the mean: the larger of what the
 * seeds' own spreads say and what the seeds show. */
cJSON *vt_seeds_mean_json(const vt_seed_list *list);
/* Adds "seeds", a list of {"seed", "scores"}. */
bool vt_seeds_put_each(cJSON *object, const vt_seed_list *list);
/* Adds "scores" (the mean), "range", "deviation" and "seeds" to an object. false: no memory. */
bool vt_seeds_put(cJSON *object, const vt_seed_list *list);
/* Adds "pairs" and "difference" (first - other). */
bool vt_seeds_put_pairs(cJSON *object, const vt_seed_list *first, const vt_seed_list *other);

#endif

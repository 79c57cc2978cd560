/* spread.h - how far a score of generated pictures would move with other pictures: its standard deviation over
 * sets of as many, drawn anew by the same model. The real pictures stay as they are.
 *
 * Estimated from the one set there is. Frechet distance: the bootstrap (Efron 1979), the standard deviation of
 * the distances of sets drawn with repetition; about their own mean, because repetition makes every
 * distance too large by about as much. Where the number of pictures of each class is set and not chance, they are
 * drawn class by class: the mean of all pictures then does not move with the classes' shares, which is
 * most of what would move it. Recall: the same over halves drawn without repetition (the jackknife that
 * leaves out half; Shao, Wu 1989), since a picture drawn twice has itself as a neighbour. Shares and means have
 * closed forms. docs/EVALUATION.md says how good these are. Called by eval.c. */
#ifndef VT_EVAL_SPREAD_H
#define VT_EVAL_SPREAD_H

#include "eval/frechet.h"
#include "eval/neighbours.h"

typedef struct vt_draws {
    int count; /* at least 2, else no spread is estimated */
    uint64_t seed;
    vt_team *team;                                     /* makes them; NULL: one thread */
    bool (*progress)(void *user, int done, int total); /* false: stop; NULL; one call at a time */
    void *user;
} vt_draws;

/* Of the Frechet distance of `count` pictures from `real`, by the `held` of them whose features (held, dims) are
 * known. classes (held): drawn within each, if there are five a class or more; NULL: within all. Does not depend on the number of threads. E_STOPPED: progress said so. */
variant_status vt_frechet_spread(double *out, const float *samples, const int32_t *classes,
                                 int held, int64_t count, const vt_gaussian *real, int dims,
                                 const vt_draws *draws, variant_error *err);

/* Of recall (neighbours.h), by at most 2,000 pictures a side. NAN below 2 (k + 1) generated ones. */
variant_status vt_recall_spread(double *out, const vt_samples *real, const vt_samples *generated,
                                int dims, int k, const vt_draws *draws, variant_error *err);

/* Of a share of `count` pictures: never 0, since none of few is not none of all (one picture is added on either
 * side). */
double vt_share_spread(double share, int64_t count);
/* Of the mean of `count` numbers, from their sum and sum of squares; NAN below 2. */
double vt_mean_spread(double sum, double squares, int64_t count);

#endif

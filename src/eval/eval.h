/* eval.h - pictures in, scores out: how good generated pictures are beside a set of real ones.
 *
 * A vt_reference is what is known of the real set: moments of its features, and some of the features
 * themselves; it is made once from pictures, from the statistics other programs publish (.npz), or from a
 * file saved before, and shared by any number of vt_eval objects, which take generated pictures as a
 * stream. Used by `variant eval` and by sweeps.
 *
 * What a score is called depends on the network (vt_features_info): "FID" is the Frechet distance in the
 * Inception network's features (Heusel et al., arXiv 1706.08500) and nothing else; with any other network
 * it is "FID(classifier)". docs/EVALUATION.md says what each score means. */
#ifndef VT_EVAL_EVAL_H
#define VT_EVAL_EVAL_H

#include <cjson/cJSON.h>

#include "eval/moments.h"
#include "eval/spread.h"
#include "features/features.h"

enum {
    VT_EVAL_NEIGHBOURS = VARIANT_NEIGHBOURS, /* k of precision and recall */
    VT_EVAL_KEPT = 10000,                    /* samples whose features are kept for them, at most */
    VT_EVAL_SPLITS = 10 /* of the inception score; fewer below ten samples a split */
};

/* Of vt_eval_save's archives: numbers that other programs pass over. */
#define VT_STATISTICS_COUNT "count"
#define VT_STATISTICS_RESIZE "resize"

/* ---- the reference ---- */

typedef struct vt_reference {
    char *source;               /* what the user named */
    char network[64], hash[17]; /* of the feature network; hash "" in files of other programs */
    vt_features_resize resize; /* of its pictures, where the network resizes and the file says so */
    bool guided;   /* an .npz with spatial statistics: guided-diffusion's, resized by TensorFlow */
    int64_t count; /* samples; 0: the file does not say */
    int side, channels; /* of its pictures; 0: the file does not say */
    vt_moments pooled;  /* dims 0: none */
    vt_moments spatial; /* dims 0: none */
    float *kept;        /* (kept_count, dims), for precision and recall */
    int kept_count;
} vt_reference;

/* Empty, for pictures to be added; `source` is copied. */
variant_status vt_reference_open(vt_reference *reference, const vt_features *features,
                                 const char *source, int side, int channels, variant_error *err);
/* Pictures (count, side, side, channels), floats in [0, 1]. */
variant_status vt_reference_add(vt_reference *reference, vt_features *features,
                                const float *pictures, int count, variant_error *err);
void vt_reference_close(vt_reference *reference);

/* Is this a file of statistics, by what is in it? false where it cannot be opened. */
bool vt_reference_is(const char *path);
/* A file of vt_reference_save, or .npz with `mu` and `sigma` (and `mu_s`, `sigma_s`) as guided-diffusion
 * publishes them; told apart by content. E_MISMATCH: made with another network than `features`, or with
 * pictures resized otherwise. E_FORMAT also: not finite, or no covariance (covariance.h). */
variant_status vt_reference_load(vt_reference *reference, const vt_features *features,
                                 const char *path, variant_error *err);
variant_status vt_reference_save(const vt_reference *reference, const char *path,
                                 variant_error *err);

/* ---- scores ---- */

enum {
    VT_EVAL_WARNINGS = 3,
    VT_EVAL_FEW =
        10, /* samples a feature, below which a warning says that the distance is too high */
    VT_EVAL_FEW_NEAR =
        1000, /* samples a side, below which one says that precision and recall are rough */
    VT_EVAL_DRAWS = 100, /* of the bootstrap, where nothing else is said ... */
    VT_EVAL_DRAWS_WIDE =
        20, /* ... and with more features than VT_EVAL_WIDE, each draw then taking seconds */
    VT_EVAL_WIDE = 512
};

/* Not measured: NAN. A spread (spread.h) is the standard deviation over other sets of as many pictures of the
 * same model. */
typedef struct vt_eval_scores {
    int64_t count, reference_count; /* samples; the reference's 0: not known */
    int draws;                      /* that the spreads were estimated by; 0: there are none */
    double frechet, frechet_spread, spatial_frechet, spatial_frechet_spread;
    double inception_score, inception_spread; /* mean and standard deviation over the splits */
    double precision, precision_spread, recall, recall_spread;
    int neighbours_of; /* samples a side that precision and recall were measured on */
    double class_share,
        class_share_spread; /* pictures that the network puts into the class they were made for */
    double kid, kid_spread; /* kernel_distance.h; measured on neighbours_of samples a side */
    int warning_count;
    char warnings[VT_EVAL_WARNINGS][256]; /* one line each */
} vt_eval_scores;

typedef struct vt_eval vt_eval;

typedef struct vt_eval_options {
    vt_features *features;         /* borrowed, as is the reference */
    const vt_reference *reference; /* NULL: only scores that need none */
    int expected;                  /* samples that will come: it decides how many splits; 0: many */
    bool labels_match;             /* the network's classes are the pictures' labels */
    vt_draws draws;                /* for the spreads; .count 0: none */
    bool statistics;               /* vt_eval_save will be called */
    bool classes_set;              /* how many pictures each label has is not chance */
} vt_eval_options;

/* Draws where the user names none: what costs little beside the network's own time. */
int vt_eval_default_draws(const vt_features_info *network);

variant_status vt_eval_open(vt_eval **out, const vt_eval_options *options, variant_error *err);
void vt_eval_close(vt_eval **eval);
/* Pictures (count, height, width, channels), floats in [0, 1]; labels (count) or NULL. E_MODEL: a feature is not
 * finite; the picture is counted from 1 over all that were added. */
variant_status vt_eval_add(vt_eval *eval, const float *pictures, const int32_t *labels, int count,
                           int height, int width, int channels, variant_error *err);
/* Of what was added so far; E_ARGUMENT below two samples, E_STOPPED when draws.progress said so. */
variant_status vt_eval_scores_get(vt_eval *eval, vt_eval_scores *out, variant_error *err);

/* Mean and covariance of the pictures' features, those added so far: an .npz with mu and sigma, and with mu_s and sigma_s of a network with
 * spatial features, as pytorch-fid and guided-diffusion keep them; count and resize (0: as PyTorch) beside them for
 * vt_reference_load. */
variant_status vt_eval_save(const vt_eval *eval, const char *path, variant_error *err);

/* "FID", "sFID", "IS" with the Inception network, "FID(classifier)" ... with another. */
void vt_eval_name(char *out, size_t size, const char *score, const vt_features_info *network);
/* {"name": "FID(classifier)", "frechet": x, "samples": n, ...}; what was not measured is absent. NULL: no
 * memory. */
cJSON *vt_eval_scores_json(const vt_eval_scores *scores, const vt_features_info *network,
                           const vt_reference *reference);

#endif

/* score.h - pictures of three origins to scores: generated now, finished, or real ones through a tokenizer.
 *
 * Each opens an evaluation (eval.h) by a judge whose reference, if there is one, is read already, gives it the
 * pictures a batch at a time and asks for the scores. Used by `variant eval`. */
#ifndef VT_EVAL_SCORE_H
#define VT_EVAL_SCORE_H

#include "eval/judge.h"
#include "eval/source.h"

#define VT_SCORE_BATCH 64 /* pictures at a time that are judged */
#define VT_SCORE_DEFAULT_BATCH 8

/* How many pictures are generated before they are judged, of `left`: whole batches of the request's own size (0: 8), about
 * VT_SCORE_BATCH of them or one batch that is larger. */
int vt_score_chunk(int batch, int left);

typedef struct vt_score_by {
    const vt_judge *judge;                             /* borrowed */
    vt_draws draws;                                    /* for the spreads; .count 0: none */
    bool (*progress)(void *user, int done, int total); /* of the pictures; false: stop; NULL */
    void *user;
    /* generated pictures as they come, each chunk before it is judged; NULL */
    void (*generated)(void *user, const variant_picture *pictures, int count,
                      const variant_report *report);
    void *generated_user;
    const char *save_statistics; /* an .npz of the judged pictures' features (vt_eval_save); NULL */
} vt_score_by;

/* What the pictures were generated with. */
typedef struct vt_score_made {
    variant_report report; /* of the last batch */
    char *settings;        /* of the first picture (variant_picture.settings); free() it */
} vt_score_made;

/* The pictures of one request, however many. */
variant_status vt_score_generated(vt_eval_scores *out, const vt_score_by *by,
                                  const variant_engine *engine, const variant_request *request,
                                  vt_score_made *made, variant_error *err);

/* Finished pictures; labels_match: the source's classes are the network's. */
variant_status vt_score_finished(vt_eval_scores *out, const vt_score_by *by,
                                 const vt_source *source, bool labels_match, variant_error *err);

/* What a tokenizer makes of pictures, beside them: NAN where not measured (smaller than the windows of SSIM). */
typedef struct vt_score_fidelity {
    double psnr, psnr_spread, ssim, ssim_spread; /* means and their standard deviations */
} vt_score_fidelity;

/* n pictures (n, side, side, channels) in [-1, 1] to what is made of them, in place. */
typedef variant_status vt_score_through(void *user, int n, float *pictures, variant_error *err);

/* The source's pictures through `through`, in bytes' steps as every picture that leaves. E_MODEL names the picture
 * (from 1, of `name`) that comes back not finite. */
variant_status vt_score_reconstructed(vt_eval_scores *out, vt_score_fidelity *fidelity,
                                      const vt_score_by *by, const vt_source *source,
                                      bool labels_match, const char *name,
                                      vt_score_through *through, void *user, variant_error *err);

#endif

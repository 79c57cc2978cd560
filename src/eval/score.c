/* score.c - see score.h. */
#include "eval/score.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/finite.h"
#include "core/psnr.h"
#include "eval/picture_scores.h"

/* One evaluation at work. */
typedef struct scoring {
    const vt_score_by *by;
    vt_eval *eval;
    int side, channels;
    size_t floats;            /* of a picture */
    float *pictures, *others; /* (VT_SCORE_BATCH, side, side, channels), in [0, 1] */
    int32_t labels[VT_SCORE_BATCH];
    int waiting; /* of `pictures` that are full and not judged yet */
} scoring;

static void scoring_close(scoring *s) {
    vt_eval_close(&s->eval);
    free(s->pictures);
    free(s->others);
}

/* classes_set: as many pictures of each class as was asked for. */
static variant_status scoring_open(scoring *s, const vt_score_by *by, int side, int channels,
                                   vt_eval_options options, variant_error *err) {
    const vt_judge *judge = by->judge;
    *s = (scoring){.by = by, .side = side, .channels = channels};
    s->floats = (size_t)side * (size_t)side * (size_t)channels;
    s->pictures = malloc(VT_SCORE_BATCH * s->floats * sizeof *s->pictures);
    s->others = malloc(VT_SCORE_BATCH * s->floats * sizeof *s->others);
    if (!s->pictures || !s->others)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", VT_SCORE_BATCH);
    options.features = judge->features;
    options.reference = judge->has_reference ? &judge->reference : NULL;
    options.draws = by->draws;
    options.statistics = by->save_statistics != NULL;
    return vt_eval_open(&s->eval, &options, err);
}

static variant_status add(scoring *s, const float *pictures, bool labelled, int n,
                          variant_error *err) {
    return vt_eval_add(s->eval, pictures, labelled ? s->labels : NULL, n, s->side, s->side,
                       s->channels, err);
}

static variant_status tell(const scoring *s, int done, int total, variant_error *err) {
    const vt_score_by *by = s->by;
    if (!by->progress || by->progress(by->user, done, total)) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_STOPPED, "stopped after %d of %d pictures", done, total);
}

/* What is known of the pictures, where it is to be kept, and their scores. */
static variant_status finish(scoring *s, vt_eval_scores *out, variant_error *err) {
    VT_TRY(vt_eval_scores_get(s->eval, out, err));
    return s->by->save_statistics ? vt_eval_save(s->eval, s->by->save_statistics, err) : VARIANT_OK;
}

static int batch_at(int first, int total) {
    return total - first < VT_SCORE_BATCH ? total - first : VT_SCORE_BATCH;
}

int vt_score_chunk(int batch, int left) {
    if (batch <= 0) batch = VT_SCORE_DEFAULT_BATCH;
    const int chunk = batch < VT_SCORE_BATCH ? VT_SCORE_BATCH / batch * batch : batch;
    return left < chunk ? left : chunk;
}

/* ---- generated ---- */

static variant_status keep_settings(vt_score_made *made, const variant_picture *picture,
                                    variant_error *err) {
    made->settings = strdup(picture->settings ? picture->settings : "{}");
    return made->settings ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for settings");
}

/* The network gets VT_SCORE_BATCH pictures at a time however many are made at once, so that scores are the same to the
 * last digit. */
static variant_status judge_generated(scoring *s, const variant_picture *pictures, int count,
                                      bool last, variant_error *err) {
    for (int i = 0; i < count; ++i) {
        vt_judge_floats(&pictures[i], 1, s->pictures + (size_t)s->waiting * s->floats,
                        &s->labels[s->waiting]);
        if (++s->waiting < VT_SCORE_BATCH && !(last && i + 1 == count)) continue;
        VT_TRY(add(s, s->pictures, true, s->waiting, err));
        s->waiting = 0;
    }
    return VARIANT_OK;
}

static variant_status add_generated(scoring *s, const variant_engine *engine,
                                    const variant_request *request, bool last, vt_score_made *made,
                                    variant_error *err) {
    variant_picture *pictures = NULL;
    VT_TRY(variant_generate(engine, request, &pictures, &made->report, err));
    variant_status status = VARIANT_OK;
    if (!made->settings) VT_CHECK(keep_settings(made, &pictures[0], err));
    if (s->by->generated)
        s->by->generated(s->by->generated_user, pictures, request->count, &made->report);
    VT_CHECK(judge_generated(s, pictures, request->count, last, err));
cleanup:
    variant_pictures_free(&pictures, request->count);
    return status;
}

variant_status vt_score_generated(vt_eval_scores *out, const vt_score_by *by,
                                  const variant_engine *engine, const variant_request *request,
                                  vt_score_made *made, variant_error *err) {
    scoring s = {0};
    const variant_info info = *variant_engine_info(engine);
    variant_request batch = *request;
    variant_status status = VARIANT_OK;
    const bool random = request->class_name && strcmp(request->class_name, "random") == 0;
    const vt_eval_options options = {.expected = request->count,
                                     .labels_match = vt_judge_classes_match(by->judge, engine),
                                     .classes_set = !random};
    *made = (vt_score_made){.report = {.size = sizeof made->report}};
    VT_CHECK(scoring_open(&s, by, info.picture_side, info.channels, options, err));
    for (int first = 0; first < request->count; first += batch.count) {
        batch.first_image = request->first_image + first;
        batch.count = vt_score_chunk(request->batch, request->count - first);
        const bool last = first + batch.count == request->count;
        VT_CHECK(add_generated(&s, engine, &batch, last, made, err));
        VT_CHECK(tell(&s, first + batch.count, request->count, err));
    }
    VT_CHECK(finish(&s, out, err));
cleanup:
    scoring_close(&s);
    return status;
}

/* ---- finished ---- */

variant_status vt_score_finished(vt_eval_scores *out, const vt_score_by *by,
                                 const vt_source *source, bool labels_match, variant_error *err) {
    scoring s = {0};
    variant_status status = VARIANT_OK;
    const vt_eval_options options = {.expected = source->count, .labels_match = labels_match};
    VT_CHECK(scoring_open(&s, by, source->side, source->channels, options, err));
    for (int first = 0; first < source->count; first += VT_SCORE_BATCH) {
        const int n = batch_at(first, source->count);
        VT_CHECK(vt_source_read(source, first, n, s.pictures, s.labels, err));
        VT_CHECK(add(&s, s.pictures, labels_match, n, err));
        VT_CHECK(tell(&s, first + n, source->count, err));
    }
    VT_CHECK(finish(&s, out, err));
cleanup:
    scoring_close(&s);
    return status;
}

/* ---- through a tokenizer ---- */

/* Of one number a picture. */
typedef struct tally {
    double sum, squares;
    int64_t count;
} tally;

static void tally_add(tally *t, double x) {
    t->sum += x;
    t->squares += x * x;
    ++t->count;
}

static void tally_tell(const tally *t, double *mean, double *spread) {
    *mean = t->count && isfinite(t->sum) ? t->sum / (double)t->count : NAN;
    *spread = vt_mean_spread(t->sum, t->squares, t->count);
}

/* n of s->pictures to what is made of them, s->others. */
static variant_status reconstruct(scoring *s, int first, int n, const char *name,
                                  vt_score_through *through, void *user, variant_error *err) {
    const size_t floats = (size_t)n * s->floats;
    for (size_t i = 0; i < floats; ++i) s->others[i] = 2.0f * s->pictures[i] - 1.0f;
    VT_TRY(through(user, n, s->others, err));
    const size_t bad = vt_first_not_finite(s->others, floats);
    if (bad < floats)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: picture %zu: what the decoder makes of it is not finite: a weight of "
                       "the tokenizer is not a number, or overflows",
                       name, (size_t)first + bad / s->floats + 1);
    for (size_t i = 0; i < floats; ++i) {
        const float x = 0.5f * (s->others[i] + 1.0f);
        s->others[i] = roundf((x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x) * 255.0f) / 255.0f;
    }
    return VARIANT_OK;
}

variant_status vt_score_reconstructed(vt_eval_scores *out, vt_score_fidelity *fidelity,
                                      const vt_score_by *by, const vt_source *source,
                                      bool labels_match, const char *name,
                                      vt_score_through *through, void *user, variant_error *err) {
    scoring s = {0};
    tally psnr = {0}, ssim = {0};
    variant_status status = VARIANT_OK;
    const vt_eval_options options = {.expected = source->count, .labels_match = labels_match};
    VT_CHECK(scoring_open(&s, by, source->side, source->channels, options, err));
    for (int first = 0; first < source->count; first += VT_SCORE_BATCH) {
        const int n = batch_at(first, source->count);
        VT_CHECK(vt_source_read(source, first, n, s.pictures, s.labels, err));
        VT_CHECK(reconstruct(&s, first, n, name, through, user, err));
        for (int i = 0; i < n; ++i) {
            const float *a = s.pictures + (size_t)i * s.floats;
            const float *b = s.others + (size_t)i * s.floats;
            tally_add(&psnr, vt_psnr(a, b, s.floats));
            tally_add(&ssim, vt_ssim(a, b, s.side, s.side, s.channels));
        }
        VT_CHECK(add(&s, s.others, source->labelled, n, err));
        VT_CHECK(tell(&s, first + n, source->count, err));
    }
    tally_tell(&psnr, &fidelity->psnr, &fidelity->psnr_spread);
    tally_tell(&ssim, &fidelity->ssim, &fidelity->ssim_spread);
    VT_CHECK(finish(&s, out, err));
cleanup:
    scoring_close(&s);
    return status;
}

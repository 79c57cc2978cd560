/* sweep_asked.c - variant_sweep: what a caller asks for, checked, as sweep.h runs it. */
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "eval/library.h"
#include "eval/sweep_quality.h"

enum { REPEAT = 5, PICTURES = 8, SAMPLES = 2000, MOST_REPEAT = 1000, MOST_PICTURES = 256 };

void variant_sweep_options_init_sized(variant_sweep_options *out, size_t size) {
    const variant_sweep_options defaults = {.backend = vt_kern_backend(0),
                                            .repeat = REPEAT,
                                            .pictures = PICTURES,
                                            .samples = SAMPLES,
                                            .draws = -1};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- lists ---- */

/* count numbers of `size` bytes at most VT_SWEEP_MAX_LIST, into out. */
static variant_status take_list(void *out, int *out_count, const void *list, int count, size_t size,
                                const char *name, variant_error *err) {
    if (count < 0 || count > VT_SWEEP_MAX_LIST || (count && !list))
        return vt_fail(err, VARIANT_E_ARGUMENT, "%s: %d of them%s: expected up to %d", name, count,
                       count && !list ? " at NULL" : "", VT_SWEEP_MAX_LIST);
    if (count) memcpy(out, list, (size_t)count * size);
    *out_count = count;
    return VARIANT_OK;
}

#define TAKE(to, to_count, from, from_count, name)                                                 \
    VT_TRY(take_list((to), &(to_count), (from), (from_count), sizeof *(to), name, err))

static variant_status take_lists(vt_sweep_options *out, const variant_sweep_options *o,
                                 variant_error *err) {
    TAKE(out->depths, out->depth_count, o->depths, o->depth_count, "depths");
    TAKE(out->bridges, out->bridge_count, o->bridges, o->bridge_count, "bridges");
    TAKE(out->selectors, out->selector_count, o->selectors, o->selector_count, "selectors");
    TAKE(out->cfg_scales, out->cfg_count, o->cfg_scales, o->cfg_count, "cfg_scales");
    TAKE(out->uncond_depths, out->uncond_count, o->uncond_depths, o->uncond_count, "uncond_depths");
    TAKE(out->cfg_lates, out->late_count, o->cfg_lates, o->late_count, "cfg_lates");
    TAKE(out->seeds, out->seed_count, o->seeds, o->seed_count, "seeds");
    VT_TRY(vt_need_list(o->zones, "zones", o->zone_count, "zone_count", err));
    if (o->zone_count < 0 || o->zone_count > VT_SWEEP_MAX_LIST)
        return vt_fail(err, VARIANT_E_ARGUMENT, "zones: %d of them: expected up to %d",
                       o->zone_count, VT_SWEEP_MAX_LIST);
    for (int i = 0; i < o->zone_count; ++i)
        out->zones[i] = (vt_sweep_zone){o->zones[2 * i], o->zones[2 * i + 1]};
    out->zone_count = o->zone_count;
    for (int i = 0; i < out->selector_count; ++i)
        if (!out->selectors[i])
            return vt_fail(err, VARIANT_E_ARGUMENT, "selectors: number %d is NULL", i);
    return VARIANT_OK;
}

static bool within(double value, double least, double most) {
    return value >= least && value <= most;
}

static variant_status check_numbers(const variant_sweep_options *o, variant_error *err) {
    if (!o->folder || !o->folder[0])
        return vt_fail(err, VARIANT_E_ARGUMENT, "expected a folder for the sweep's results");
    if (!within(o->repeat, 1, MOST_REPEAT) || !within(o->pictures, 0, MOST_PICTURES))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "repeat %d, pictures %d: expected 1 to %d, and up to %d", o->repeat,
                       o->pictures, MOST_REPEAT, MOST_PICTURES);
    for (int i = 0; o->cfg_scales && i < o->cfg_count && i < VT_SWEEP_MAX_LIST; ++i)
        if (!within(o->cfg_scales[i], 0, 100))
            return vt_fail(err, VARIANT_E_ARGUMENT, "cfg_scales: %g: expected 0 to 100",
                           o->cfg_scales[i]);
    if (!o->reference) return VARIANT_OK;
    if (o->samples < 2 || o->reference_count < 0 || o->draws < -1 || o->draws == 1)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "samples %d, reference_count %d, draws %d: expected 2 or more, 0 or more, "
                       "and 0, -1 or 2 or more",
                       o->samples, o->reference_count, o->draws);
    return VARIANT_OK;
}

/* ---- running ---- */

/* A sweep at work. */
typedef struct sweeping {
    variant_sweep_options asked;
    vt_sweep_options sweep;
    vt_sweep_quality quality;
} sweeping;

static bool is_cancelled(const sweeping *s) {
    return s->asked.cancel && __atomic_load_n(s->asked.cancel, __ATOMIC_RELAXED);
}

static bool tell(void *user, const vt_sweep_progress *at) {
    const sweeping *s = user;
    const variant_sweep_progress out = {.round = at->round,
                                        .rounds = at->rounds,
                                        .point = at->point,
                                        .points = at->points,
                                        .share = at->share,
                                        .id = at->id};
    return !is_cancelled(s) && (!s->asked.progress || s->asked.progress(s->asked.user, &out));
}

static bool tell_doing(const sweeping *s, const char *doing, int done, int total) {
    return !is_cancelled(s) &&
           (!s->asked.doing || s->asked.doing(s->asked.user, doing, done, total));
}

static bool tell_reference(void *user, int done, int total) {
    return tell_doing(user, "reference", done, total);
}

static bool tell_draws(void *user, int done, int total) {
    return tell_doing(user, "spread", done, total);
}

static void pass_note(void *user, const char *line) {
    const sweeping *s = user;
    if (s->asked.note) s->asked.note(s->asked.user, line);
}

static variant_status open_quality(sweeping *s, const variant_engine *engine, variant_error *err) {
    const variant_sweep_options *o = &s->asked;
    vt_data reference;
    if (!o->reference) return VARIANT_OK;
    VT_TRY(vt_data_take_set(&reference, o->reference, "reference", VT_SPLIT_TEST, err));
    reference.flat_whole = !reference.split_chosen;
    const vt_draws draws = {
        .count = o->draws, .seed = s->sweep.request.seed, .progress = tell_draws, .user = s};
    vt_judge_options judge = {.features = o->features,
                              .model = o->model,
                              .trust = engine && engine->trusts,
                              .backend = o->backend,
                              .threads = o->threads,
                              .reference_count = o->reference_count,
                              .progress = tell_reference,
                              .note = pass_note,
                              .user = s};
    VT_TRY(vt_resize_parse(&judge.resize, o->resize, err));
    VT_TRY(vt_sweep_quality_open(&s->quality, &judge, &reference, o->samples, &draws, engine, err));
    s->sweep.judge = &s->quality.judge;
    return VARIANT_OK;
}

static variant_status prepare(sweeping *s, const variant_engine *engine,
                              const variant_request *request, variant_error *err) {
    const variant_sweep_options *o = &s->asked;
    VT_TRY(VT_SIZED_TAKE(&s->sweep.request, request, variant_request, err));
    VT_TRY(check_numbers(o, err));
    VT_TRY(take_lists(&s->sweep, o, err));
    if (s->sweep.request.batch < 1) s->sweep.request.batch = 1;
    if (!s->sweep.cfg_count)
        s->sweep.cfg_scales[s->sweep.cfg_count++] = (double)s->sweep.request.cfg_scale;
    s->sweep.engine = engine;
    s->sweep.synthetic = engine->synthetic;
    s->sweep.folder = o->folder;
    s->sweep.subject = o->name ? o->name : variant_engine_info(engine)->hash;
    s->sweep.command = o->command ? o->command : "";
    s->sweep.zone_depth = o->zone_depth;
    s->sweep.repeat = o->repeat;
    s->sweep.pictures = o->pictures;
    s->sweep.progress = tell;
    s->sweep.user = s;
    vt_sweep_fill(&s->sweep, variant_engine_info(engine));
    return open_quality(s, engine, err);
}

variant_status variant_sweep(const variant_engine *engine, const variant_request *request,
                             const variant_sweep_options *options, variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!engine) return vt_fail(error, VARIANT_E_ARGUMENT, "no engine: expected an open one");
    sweeping *s = calloc(1, sizeof *s);
    if (!s) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a sweep");
    variant_status status = VT_SIZED_TAKE(&s->asked, options, variant_sweep_options, error);
    if (status == VARIANT_OK) status = prepare(s, engine, request, error);
    if (status == VARIANT_OK) status = vt_sweep_run(&s->sweep, error);
    if (s->sweep.judge) vt_sweep_quality_close(&s->quality);
    free(s);
    return status;
}

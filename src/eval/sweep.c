/* sweep.c - runs the points of a sweep, round after round: time and memory, quality, pictures. */
#include "eval/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "eval/report.h"
#include "eval/score.h"
#include "eval/seeds.h"
#include "io/file.h"
#include "io/json.h"
#include "kern/watch.h"

/* A sweep at work. Work is counted in pictures. */
typedef struct runner {
    const vt_sweep_options *options;
    vt_sweep_task *tasks;
    int count;
    cJSON *state;
    const vt_sweep_task *task; /* at work, or NULL */
    int round, point;          /* of the progress */
    double work, worked, resumed;
    double written; /* when the state was, last */
    bool unwritten; /* it has changed since */
    bool again;     /* a disturbed run is made once more: not in work */
    vt_quiet quiet;
} runner;

static bool tell(const runner *r, double pictures) {
    const vt_sweep_options *o = r->options;
    if (!o->progress) return true;
    vt_sweep_progress at = {.round = r->round,
                            .rounds = o->repeat,
                            .point = r->point,
                            .points = r->count,
                            .share = (r->worked + pictures) / r->work,
                            .resumed = r->resumed / r->work,
                            .id = r->task ? r->task->id : ""};
    return o->progress(o->user, &at);
}

/* Called by the engine after each scale, so that Ctrl-C is heard within one. */
static bool tell_step(void *user, const variant_progress *at) {
    double done = at->pictures_done + (double)at->scale / at->scales;
    if (((const runner *)user)->again) done = 0.0;
    return tell(user, done > at->pictures ? at->pictures : done);
}

static variant_request make_request(runner *r) {
    variant_request request = vt_sweep_request(r->options, r->task);
    request.progress = tell_step;
    request.user = r;
    return request;
}

static variant_status generate(runner *r, const variant_request *request,
                               variant_picture **pictures, variant_report *report,
                               variant_error *err) {
    VT_TRY(variant_generate(r->options->engine, request, pictures, report, err));
    if (!r->again) r->worked += request->count;
    return VARIANT_OK;
}

/* ---- time and memory ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(const double *sorted, int count) {
    return 0.5 * (sorted[(count - 1) / 2] + sorted[count / 2]);
}

/* Of a picture, to a tenth of a microsecond. */
static double milliseconds(double batch_seconds, int batch) {
    return round(1e7 * batch_seconds / batch) / 1e4;
}

static vt_sweep_times times_of(const variant_report *report, int batch) {
    vt_sweep_times t = {.picture_ms = milliseconds(report->total_seconds, batch),
                        .transformer_ms = milliseconds(
                            report->condition_seconds + report->transformer_seconds, batch),
                        .condition_ms = milliseconds(report->condition_seconds, batch),
                        .sampling_ms = milliseconds(report->sampling_seconds, batch),
                        .quantizer_ms = milliseconds(report->quantizer_seconds, batch),
                        .decoder_ms = milliseconds(report->decoder_seconds, batch),
                        .scale_ms = {.count = report->scales}};
    for (int k = 0; k < report->scales; ++k)
        t.scale_ms.at[k] = milliseconds(report->scale_seconds[k], batch);
    return t;
}

/* The runs of a point while medians are taken of them. */
typedef struct sample {
    vt_sweep_timing *runs;
    int count;
    bool all;       /* too few are quiet: disturbed ones count too */
    double *sorted; /* room for count */
} sample;

/* The number at `offset` of every run that counts, sorted into s->sorted; returns how many. Runs by a version
 * that did not watch count as quiet. */
static int collect(const sample *s, size_t offset) {
    int n = 0;
    for (int i = 0; i < s->count; ++i) {
        const double value = *(const double *)((const char *)&s->runs[i].times + offset);
        if ((s->all || !s->runs[i].disturbed[0]) && isfinite(value)) s->sorted[n++] = value;
    }
    qsort(s->sorted, (size_t)n, sizeof *s->sorted, ascending);
    return n;
}

static void set_median(const sample *s, size_t offset, double *out) {
    const int n = collect(s, offset);
    if (n > 0) *out = median(s->sorted, n);
}

static void set_medians(const sample *s, vt_sweep_point *point, int scales) {
    static const size_t stages[] = {
        offsetof(vt_sweep_times, transformer_ms), offsetof(vt_sweep_times, condition_ms),
        offsetof(vt_sweep_times, sampling_ms), offsetof(vt_sweep_times, quantizer_ms),
        offsetof(vt_sweep_times, decoder_ms)};
    for (size_t i = 0; i < sizeof stages / sizeof *stages; ++i)
        set_median(s, stages[i], (double *)((char *)&point->times + stages[i]));
    point->times.scale_ms = (vt_sweep_list){.count = scales};
    for (int k = 0; k < scales; ++k)
        set_median(s, offsetof(vt_sweep_times, scale_ms.at) + (size_t)k * sizeof(double),
                   &point->times.scale_ms.at[k]);
    const int n = collect(s, offsetof(vt_sweep_times, picture_ms));
    if (n == 0) return;
    point->times.picture_ms = median(s->sorted, n);
    point->picture_ms_min = s->sorted[0];
    point->picture_ms_max = s->sorted[n - 1];
}

/* The medians of a point, from the runs in its JSON. */
static variant_status summarise(vt_sweep_point *point, const cJSON *json, int scales,
                                variant_error *err) {
    sample s = {.count = vt_sweep_timing_count(json)};
    s.runs = calloc((size_t)s.count + 1, sizeof *s.runs);
    s.sorted = calloc((size_t)s.count + 1, sizeof *s.sorted);
    variant_status status = VARIANT_OK;
    if (!s.runs || !s.sorted)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d runs", s.count));
    point->disturbed_runs = 0;
    for (int i = 0; i < s.count; ++i) {
        vt_sweep_timing_view(&s.runs[i], json, i);
        point->disturbed_runs += s.runs[i].disturbed[0] != '\0';
    }
    s.all = point->disturbed = s.count - point->disturbed_runs < vt_quiet_enough(s.count);
    set_medians(&s, point, scales);
cleanup:
    free(s.runs);
    free(s.sorted);
    return status;
}

static void set_memory(vt_sweep_point *point, const variant_engine *engine,
                       const variant_report *report) {
    const variant_info info = *variant_engine_info(engine);
    point->kv_peak_bytes = (double)report->kv_peak_bytes;
    point->kv_end_bytes = (double)report->kv_end_bytes;
    point->arena_bytes = (double)report->arena_peak_bytes;
    point->memory_bytes = (double)(info.weight_bytes + info.mapped_bytes + report->kv_peak_bytes +
                                   report->arena_peak_bytes);
    point->scale_kv_bytes.count = point->scale_layers.count = report->scales;
    for (int k = 0; k < report->scales; ++k) {
        point->scale_kv_bytes.at[k] = (double)report->scale_kv_bytes[k];
        point->scale_layers.at[k] = report->scale_layers[k];
    }
}

static variant_status run_once(runner *r, const variant_request *request, variant_report *report,
                               vt_quiet_span *span, variant_error *err) {
    variant_picture *pictures = NULL;
    vt_quiet_begin(&r->quiet);
    VT_TRY(generate(r, request, &pictures, report, err));
    *span = vt_quiet_end(&r->quiet);
    variant_pictures_free(&pictures, request->count);
    return VARIANT_OK;
}

/* One run to warm up, one that counts. A disturbed one is made once more: the quiet one counts, of two disturbed
 * ones the faster. */
static variant_status measure(runner *r, cJSON *json, variant_error *err) {
    variant_report report = {.size = sizeof report}, again = report;
    vt_quiet_span span, span_again;
    char why[200];
    variant_request request = make_request(r);
    request.count = request.batch;
    VT_TRY(run_once(r, &request, &report, &span, err));
    VT_TRY(run_once(r, &request, &report, &span, err));
    if (vt_quiet_is_disturbed(&r->quiet, &span)) {
        r->again = true;
        variant_status status = run_once(r, &request, &again, &span_again, err);
        r->again = false;
        if (status != VARIANT_OK) return status;
        bool quiet = !vt_quiet_is_disturbed(&r->quiet, &span_again);
        if (quiet || again.total_seconds < report.total_seconds) {
            report = again;
            span = span_again;
        }
    }
    vt_quiet_why(&r->quiet, &span, 1, why, sizeof why);
    const vt_sweep_timing timing = {.times = times_of(&report, request.batch), .disturbed = why};
    VT_TRY(vt_sweep_timing_add(json, &timing, err));
    vt_sweep_point point;
    vt_sweep_point_view(&point, json, 0);
    if (!isfinite(point.memory_bytes)) {
        set_memory(&point, r->options->engine, &report);
        point.warning = report.warning;
    }
    VT_TRY(summarise(&point, json, report.scales, err));
    return vt_sweep_point_put(json, &point, err);
}

/* ---- quality and pictures ---- */

#define STRIP_SIDE 128 /* of pictures on a strip, at most */

static variant_status judge_seed(runner *r, uint64_t seed, cJSON **quality, variant_error *err) {
    const vt_sweep_judge *j = r->options->judge;
    variant_request request = make_request(r);
    request.seed = seed;
    request.class_name = "all"; /* every class alike, one after another */
    if (request.batch < 8) request.batch = 8;
    VT_TRY(j->begin(j->user, err));
    for (int first = 0; first < j->samples; first += request.count) {
        variant_picture *pictures = NULL;
        request.first_image = first;
        request.count = vt_score_chunk(request.batch, j->samples - first);
        VT_TRY(generate(r, &request, &pictures, NULL, err));
        variant_status status = j->add(j->user, pictures, request.count, err);
        variant_pictures_free(&pictures, request.count);
        if (status != VARIANT_OK) return status;
    }
    return j->finish(j->user, quality, err);
}

/* Of several seeds: their means, and the scores of each. */
static variant_status judge_seeds(runner *r, cJSON **quality, variant_error *err) {
    const vt_sweep_options *o = r->options;
    vt_seed_list list = {0};
    variant_status status = VARIANT_OK;
    for (int i = 0; i < o->seed_count; ++i) {
        cJSON *scores = NULL;
        VT_CHECK(judge_seed(r, o->seeds[i], &scores, err));
        VT_CHECK(vt_seed_list_add(&list, o->seeds[i], scores, err));
    }
    *quality = vt_seeds_mean_json(&list);
    if (!*quality || !vt_seeds_put_each(*quality, &list)) {
        cJSON_Delete(*quality);
        *quality = NULL;
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for scores"));
    }
cleanup:
    vt_seed_list_free(&list);
    return status;
}

static variant_status judge(runner *r, cJSON *point, variant_error *err) {
    const vt_sweep_options *o = r->options;
    const char *key = VT_SWEEP_KEY(vt_sweep_point, quality);
    cJSON *quality = NULL;
    VT_TRY(o->seed_count ? judge_seeds(r, &quality, err)
                         : judge_seed(r, o->request.seed, &quality, err));
    cJSON_DeleteItemFromObjectCaseSensitive(point, key);
    vt_json_put(point, key, quality ? quality : cJSON_CreateNull());
    return VARIANT_OK;
}

/* Halves the sides until they are at most STRIP_SIDE: a report holds a strip a depth. */
static void shrink(variant_picture *p) {
    const int channels = p->channels;
    while (p->width > STRIP_SIDE && p->width % 2 == 0 && p->height % 2 == 0) {
        size_t row = (size_t)p->width * (size_t)channels;
        uint8_t *to = p->pixels;
        for (int y = 0; y < p->height / 2; ++y)
            for (int x = 0; x < p->width / 2; ++x)
                for (int c = 0; c < channels; ++c) {
                    const uint8_t *at =
                        p->pixels + 2 * (size_t)y * row + (size_t)(2 * x * channels + c);
                    *to++ = (uint8_t)((at[0] + at[channels] + at[row] + at[row + (size_t)channels] +
                                       2) /
                                      4);
                }
        p->width /= 2;
        p->height /= 2;
    }
}

/* The same seeds at every point, on one strip: FOLDER/ID.png. */
static variant_status draw(runner *r, cJSON *point, variant_error *err) {
    const vt_sweep_options *o = r->options;
    char name[128], path[4096];
    variant_picture *pictures = NULL;
    variant_request request = make_request(r);
    request.class_name = "all";
    request.count = o->pictures;
    VT_TRY(generate(r, &request, &pictures, NULL, err));
    snprintf(name, sizeof name, "%s.png", r->task->id);
    snprintf(path, sizeof path, "%s/%s", o->folder, name);
    for (int i = 0; i < request.count; ++i) shrink(&pictures[i]);
    variant_status status =
        variant_pictures_write_sheet(pictures, request.count, request.count, 1, path, 0, err);
    variant_pictures_free(&pictures, request.count);
    if (status != VARIANT_OK) return status;
    vt_sweep_point drawn;
    vt_sweep_point_view(&drawn, point, 0);
    drawn.pictures = name;
    return vt_sweep_point_put(point, &drawn, err);
}

/* ---- a point, all points ---- */

static variant_status describe(cJSON *json, const vt_sweep_task *task, variant_error *err) {
    char zone[32];
    vt_sweep_point point;
    vt_sweep_point_view(&point, NULL, 0);
    point.id = task->id;
    point.depth = task->depth;
    point.selector = task->selector;
    point.cfg_scale = task->cfg_scale;
    point.depths = task->depths;
    point.uncond_depths = task->uncond_depths;
    point.uncond_depth = task->uncond;
    point.cfg_late = task->cfg_late;
    point.guidance = task->guidance;
    snprintf(zone, sizeof zone, "%d-%d", task->zone.first, task->zone.last);
    if (task->zone.first)
        point.zone = zone;
    else
        point.bridge = task->bridge;
    return vt_sweep_point_put(json, &point, err);
}

/* What a point still lacks; point NULL: everything. */
typedef struct lack {
    bool quality, pictures;
    int runs;
} lack;

static lack find_lack(const runner *r, const cJSON *point) {
    const vt_sweep_options *o = r->options;
    int have = vt_sweep_timing_count(point);
    if (have < 0) have = point ? o->repeat : 0; /* by a version that did not keep them */
    return (lack){
        .quality = o->judge && !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(
                                   point, VT_SWEEP_KEY(vt_sweep_point, quality))),
        .pictures = !point && o->pictures && !o->synthetic,
        .runs = have < o->repeat ? o->repeat - have : 0,
    };
}

static double work_of(const runner *r, lack what) {
    const vt_sweep_options *o = r->options;
    const int judged = o->judge ? o->judge->samples * (o->seed_count ? o->seed_count : 1) : 0;
    return (what.quality ? judged : 0) + (what.pictures ? o->pictures : 0) +
           2.0 * what.runs * o->request.batch;
}

/* The state on disk; runs alone at most once a second. */
static variant_status keep(runner *r, bool at_once, variant_error *err) {
    double now = vt_seconds();
    if (!at_once && now - r->written < 1.0) {
        r->unwritten = true;
        return VARIANT_OK;
    }
    vt_sweep_state_check_order(r->state);
    VT_TRY(vt_sweep_state_write(r->state, r->options->folder, err));
    r->written = now;
    r->unwritten = false;
    return VARIANT_OK;
}

/* Gives r->task's point the run of this round, and what else it lacks. */
static variant_status visit(runner *r, variant_error *err) {
    variant_status status = VARIANT_OK;
    cJSON *found = vt_sweep_state_find(r->state, r->task), *made = NULL;
    lack what = find_lack(r, found);
    if (!found) {
        made = cJSON_CreateObject();
        if (!made) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a point"));
        VT_CHECK(describe(made, r->task, err));
    }
    cJSON *point = found ? found : made;
    if (what.runs > r->options->repeat - r->round) VT_CHECK(measure(r, point, err));
    if (what.quality) VT_CHECK(judge(r, point, err));
    if (what.pictures) VT_CHECK(draw(r, point, err));
    if (made) {
        cJSON *point_of_task = made;
        made = NULL;
        VT_CHECK(vt_sweep_state_add(r->state, r->task, point_of_task, err));
    }
    VT_CHECK(keep(r, !found || what.quality, err));
cleanup:
    cJSON_Delete(made);
    return status;
}

static bool has_had(const runner *r, const vt_sweep_task *task) {
    lack what = find_lack(r, vt_sweep_state_find(r->state, task));
    return !what.quality && what.runs <= r->options->repeat - r->round;
}

/* All that is missing, one run of every point before the next run of any. */
static variant_status run_rounds(runner *r, variant_error *err) {
    for (r->round = 1; r->round <= r->options->repeat; ++r->round) {
        r->point = 0;
        for (int i = 0; i < r->count; ++i) r->point += has_had(r, &r->tasks[i]);
        for (int i = 0; i < r->count; ++i) {
            if (has_had(r, &r->tasks[i])) continue;
            r->task = &r->tasks[i];
            VT_TRY(visit(r, err));
            ++r->point;
        }
    }
    return VARIANT_OK;
}

/* A command that asks for everything that is there is the one to repeat. */
static variant_status keep_command(runner *r, variant_error *err) {
    int found = 0;
    for (int i = 0; i < r->count; ++i) found += vt_sweep_state_find(r->state, &r->tasks[i]) != NULL;
    vt_sweep_file file;
    vt_sweep_file_view(&file, r->state);
    int there = cJSON_GetArraySize(file.points) + cJSON_GetArraySize(file.zones);
    if (found < there || !r->options->command) return VARIANT_OK;
    file.command = r->options->command;
    return vt_sweep_file_put(r->state, &file, err);
}

variant_status vt_sweep_run(const vt_sweep_options *options, variant_error *err) {
    variant_status status = VARIANT_OK;
    runner r = {.options = options};
    VT_CHECK(vt_sweep_plan(&r.tasks, &r.count, options, err));
    VT_CHECK(vt_sweep_state_open(&r.state, options, err));
    vt_kern_watch(&r.quiet, options->engine->kern);
    double missing = 0.0;
    for (int i = 0; i < r.count; ++i) {
        r.work += work_of(&r, find_lack(&r, NULL));
        missing += work_of(&r, find_lack(&r, vt_sweep_state_find(r.state, &r.tasks[i])));
    }
    r.worked = r.resumed = r.work - missing;
    if (missing > 0.0) { /* a folder that cannot be written is noticed before time is spent */
        VT_CHECK(keep_command(&r, err));
        VT_CHECK(keep(&r, true, err));
    }
    status = run_rounds(&r, err);
    r.task = NULL;
    if (r.unwritten && (status == VARIANT_OK || status == VARIANT_E_STOPPED)) {
        variant_status kept = keep(&r, true, status == VARIANT_OK ? err : NULL);
        if (status == VARIANT_OK) status = kept;
    }
    if (status == VARIANT_E_STOPPED)
        vt_fail(err, status,
                "stopped after %d of %d points in round %d of %d; the same command goes on",
                r.point, r.count, r.round, options->repeat);
    bool any = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(
                   r.state, VT_SWEEP_KEY(vt_sweep_file, points))) > 0;
    if (!any || (status != VARIANT_OK && status != VARIANT_E_STOPPED)) goto cleanup;
    variant_error report_error;
    variant_status report = vt_report_write(options->folder, &report_error);
    if (status == VARIANT_OK && report != VARIANT_OK) {
        status = report;
        if (err) *err = report_error;
    }
    if (status == VARIANT_OK) tell(&r, 0.0);
cleanup:
    cJSON_Delete(r.state);
    free(r.tasks);
    return status;
}

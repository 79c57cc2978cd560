/* sweep.c - runs the points of a sweep, round after round: time and memory, quality, pictures. */
#include "eval/sweep.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/quiet.h"
#include "eval/report.h"
#include "io/file.h"

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
    variant_request request = r->options->request;
    request.depth = 0;
    request.bridge = -1;
    request.depths = r->task->depths;
    request.layers = r->task->selector;
    request.cfg_scale = (float)r->task->cfg_scale;
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

static cJSON *array_of(cJSON *object, const char *key) {
    cJSON *array = cJSON_GetObjectItemCaseSensitive(object, key);
    return array ? array : cJSON_AddArrayToObject(object, key);
}

static void set_number(cJSON *object, const char *key, double value) {
    cJSON_DeleteItemFromObjectCaseSensitive(object, key);
    cJSON_AddNumberToObject(object, key, value);
}

static const char *const stages[] = {"picture_ms",  "transformer_ms", "condition_ms",
                                     "sampling_ms", "quantizer_ms",   "decoder_ms"};
enum { STAGES = sizeof stages / sizeof *stages };

/* Of a picture, to a tenth of a microsecond. */
static double milliseconds(double batch_seconds, int batch) {
    return round(1e7 * batch_seconds / batch) / 1e4;
}

/* Why a run was disturbed, behind those of the runs before; "" where it was not, kept as null. Runs by a version
 * that did not watch count as quiet. */
static void add_reason(cJSON *runs, const char *why) {
    int before = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(runs, "picture_ms")) - 1;
    cJSON *reasons = array_of(runs, "disturbed");
    while (cJSON_GetArraySize(reasons) < before) cJSON_AddItemToArray(reasons, cJSON_CreateNull());
    cJSON_AddItemToArray(reasons, why[0] ? cJSON_CreateString(why) : cJSON_CreateNull());
}

/* One run's milliseconds a picture, behind those of the runs before. */
static void add_run(cJSON *point, const variant_report *report, const char *why, int batch) {
    const double seconds[STAGES] = {
        report->total_seconds,     report->condition_seconds + report->transformer_seconds,
        report->condition_seconds, report->sampling_seconds,
        report->quantizer_seconds, report->decoder_seconds};
    double scales[VARIANT_MAX_SCALES];
    cJSON *runs = cJSON_GetObjectItemCaseSensitive(point, "runs");
    if (!runs) runs = cJSON_AddObjectToObject(point, "runs");
    for (int i = 0; i < STAGES; ++i)
        cJSON_AddItemToArray(array_of(runs, stages[i]),
                             cJSON_CreateNumber(milliseconds(seconds[i], batch)));
    for (int k = 0; k < report->scales; ++k)
        scales[k] = milliseconds(report->scale_seconds[k], batch);
    cJSON_AddItemToArray(array_of(runs, "scale_ms"),
                         cJSON_CreateDoubleArray(scales, report->scales));
    add_reason(runs, why);
}

/* Of a run by its place. */
static bool was_disturbed(const cJSON *runs, int i) {
    const cJSON *reasons = cJSON_GetObjectItemCaseSensitive(runs, "disturbed");
    return cJSON_IsString(cJSON_GetArrayItem(reasons, i));
}

/* How many of `count` runs were; enough quiet ones: *all false, medians are of those. */
static int count_disturbed(const cJSON *runs, int count, bool *all) {
    int disturbed = 0;
    for (int i = 0; i < count; ++i) disturbed += was_disturbed(runs, i);
    *all = count - disturbed < vt_quiet_enough(count);
    return disturbed;
}

/* Numbers of an array of the runs, those of disturbed runs only with `all`, sorted: at most `room`; an item that
 * is an array gives its k-th. */
static int collect(const cJSON *runs, const cJSON *array, int k, bool all, double *sorted,
                   int room) {
    const cJSON *item;
    int n = 0, i = 0;
    cJSON_ArrayForEach(item, array) {
        const cJSON *one = cJSON_IsArray(item) ? cJSON_GetArrayItem(item, k) : item;
        if (!all && was_disturbed(runs, i++)) continue;
        if (n < room && cJSON_IsNumber(one)) sorted[n++] = one->valuedouble;
    }
    qsort(sorted, (size_t)n, sizeof *sorted, ascending);
    return n;
}

/* The medians of a point, from its runs. */
static variant_status summarise(cJSON *point, int scales, variant_error *err) {
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(point, "runs");
    const cJSON *by_scale = cJSON_GetObjectItemCaseSensitive(runs, "scale_ms");
    int room = cJSON_GetArraySize(by_scale);
    double *sorted = calloc((size_t)room + 1, sizeof *sorted);
    if (!sorted) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d runs", room);
    bool all;
    set_number(point, "disturbed_runs", count_disturbed(runs, room, &all));
    cJSON_DeleteItemFromObjectCaseSensitive(point, "disturbed");
    cJSON_AddBoolToObject(point, "disturbed", all);
    for (int i = 0; i < STAGES; ++i) {
        int n =
            collect(runs, cJSON_GetObjectItemCaseSensitive(runs, stages[i]), 0, all, sorted, room);
        if (n == 0) continue;
        set_number(point, stages[i], median(sorted, n));
        if (i > 0) continue;
        set_number(point, "picture_ms_min", sorted[0]);
        set_number(point, "picture_ms_max", sorted[n - 1]);
    }
    cJSON_DeleteItemFromObjectCaseSensitive(point, "scale_ms");
    cJSON *list = cJSON_AddArrayToObject(point, "scale_ms");
    for (int k = 0; k < scales; ++k) {
        int n = collect(runs, by_scale, k, all, sorted, room);
        cJSON_AddItemToArray(list, cJSON_CreateNumber(n ? median(sorted, n) : 0.0));
    }
    free(sorted);
    return VARIANT_OK;
}

static void add_memory(cJSON *point, const variant_engine *engine, const variant_report *report) {
    variant_info info;
    variant_engine_info(engine, &info);
    cJSON_AddNumberToObject(point, "kv_peak_bytes", (double)report->kv_peak_bytes);
    cJSON_AddNumberToObject(point, "kv_end_bytes", (double)report->kv_end_bytes);
    cJSON_AddNumberToObject(point, "arena_bytes", (double)report->arena_peak_bytes);
    cJSON_AddNumberToObject(point, "memory_bytes",
                            (double)(info.weight_bytes + info.mapped_bytes + report->kv_peak_bytes +
                                     report->arena_peak_bytes));
    double scale_kv[VARIANT_MAX_SCALES];
    for (int k = 0; k < report->scales; ++k) scale_kv[k] = (double)report->scale_kv_bytes[k];
    cJSON_AddItemToObject(point, "scale_kv_bytes",
                          cJSON_CreateDoubleArray(scale_kv, report->scales));
    cJSON_AddItemToObject(point, "scale_layers",
                          cJSON_CreateIntArray(report->scale_layers, report->scales));
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
static variant_status measure(runner *r, cJSON *point, variant_error *err) {
    variant_report report, again;
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
    add_run(point, &report, why, request.batch);
    if (!cJSON_GetObjectItemCaseSensitive(point, "memory_bytes")) {
        add_memory(point, r->options->engine, &report);
        if (report.warning[0]) cJSON_AddStringToObject(point, "warning", report.warning);
    }
    return summarise(point, report.scales, err);
}

/* ---- quality and pictures ---- */

#define CHUNK 64       /* pictures in memory at a time */
#define STRIP_SIDE 128 /* of pictures on a strip, at most */

static variant_status judge(runner *r, cJSON *point, variant_error *err) {
    const vt_sweep_judge *j = r->options->judge;
    cJSON *quality = NULL;
    variant_request request = make_request(r);
    request.class_name = "all"; /* every class alike, one after another */
    if (request.batch < 8) request.batch = 8;
    VT_TRY(j->begin(j->user, err));
    for (int first = 0; first < j->samples; first += CHUNK) {
        variant_picture *pictures = NULL;
        request.first_image = first;
        request.count = j->samples - first < CHUNK ? j->samples - first : CHUNK;
        VT_TRY(generate(r, &request, &pictures, NULL, err));
        variant_status status = j->add(j->user, pictures, request.count, err);
        variant_pictures_free(&pictures, request.count);
        if (status != VARIANT_OK) return status;
    }
    VT_TRY(j->finish(j->user, &quality, err));
    cJSON_DeleteItemFromObjectCaseSensitive(point, "quality");
    cJSON_AddItemToObject(point, "quality", quality ? quality : cJSON_CreateNull());
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
    if (status == VARIANT_OK) cJSON_AddStringToObject(point, "pictures", name);
    return status;
}

/* ---- a point, all points ---- */

static void describe(cJSON *point, const vt_sweep_task *task) {
    cJSON_AddStringToObject(point, "id", task->id);
    cJSON_AddNumberToObject(point, "depth", task->depth);
    if (task->zone.first) {
        char zone[32];
        snprintf(zone, sizeof zone, "%d-%d", task->zone.first, task->zone.last);
        cJSON_AddStringToObject(point, "zone", zone);
    } else {
        cJSON_AddNumberToObject(point, "bridge", task->bridge);
    }
    cJSON_AddStringToObject(point, "selector", task->selector);
    cJSON_AddNumberToObject(point, "cfg_scale", task->cfg_scale);
    cJSON_AddStringToObject(point, "depths", task->depths);
}

/* What a point still lacks; point NULL: everything. */
typedef struct lack {
    bool quality, pictures;
    int runs;
} lack;

static lack find_lack(const runner *r, const cJSON *point) {
    const vt_sweep_options *o = r->options;
    const cJSON *runs = cJSON_GetObjectItemCaseSensitive(point, "runs");
    int have = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(runs, "picture_ms"));
    if (point && !runs) have = o->repeat; /* by a version that did not keep them */
    return (lack){
        .quality = o->judge && !cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(point, "quality")),
        .pictures = !point && o->pictures && !o->synthetic,
        .runs = have < o->repeat ? o->repeat - have : 0,
    };
}

static double work_of(const runner *r, lack what) {
    const vt_sweep_options *o = r->options;
    return (what.quality ? o->judge->samples : 0) + (what.pictures ? o->pictures : 0) +
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
        describe(made, r->task);
        cJSON_AddNullToObject(made, "quality");
    }
    cJSON *point = found ? found : made;
    if (what.runs > r->options->repeat - r->round) VT_CHECK(measure(r, point, err));
    if (what.quality) VT_CHECK(judge(r, point, err));
    if (what.pictures) VT_CHECK(draw(r, point, err));
    if (made) vt_sweep_state_add(r->state, r->task, made);
    made = NULL;
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
static void keep_command(runner *r) {
    int found = 0;
    for (int i = 0; i < r->count; ++i) found += vt_sweep_state_find(r->state, &r->tasks[i]) != NULL;
    int there = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(r->state, "points")) +
                cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(r->state, "zones"));
    if (found < there || !r->options->command) return;
    cJSON_DeleteItemFromObjectCaseSensitive(r->state, "command");
    cJSON_AddStringToObject(r->state, "command", r->options->command);
}

variant_status vt_sweep_run(const vt_sweep_options *options, variant_error *err) {
    variant_status status = VARIANT_OK;
    runner r = {.options = options};
    VT_CHECK(vt_sweep_plan(&r.tasks, &r.count, options, err));
    VT_CHECK(vt_sweep_state_open(&r.state, options, err));
    vt_quiet_open(&r.quiet, options->engine->kern->threads, NULL);
    double missing = 0.0;
    for (int i = 0; i < r.count; ++i) {
        r.work += work_of(&r, find_lack(&r, NULL));
        missing += work_of(&r, find_lack(&r, vt_sweep_state_find(r.state, &r.tasks[i])));
    }
    r.worked = r.resumed = r.work - missing;
    if (missing > 0.0) { /* a folder that cannot be written is noticed before time is spent */
        keep_command(&r);
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
    bool any = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(r.state, "points")) > 0;
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

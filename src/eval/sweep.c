/* sweep.c - runs the points of a sweep one after another: time and memory, quality, pictures. */
#include "eval/sweep.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "eval/report.h"
#include "io/file.h"

/* A sweep at work. */
typedef struct runner {
    const vt_sweep_options *options;
    const vt_sweep_task *task;
    int done, count, resumed;
    int steps, step; /* calls of variant_generate for this point */
} runner;

static bool tell(const runner *r, double within) {
    const vt_sweep_options *o = r->options;
    if (!o->progress) return true;
    vt_sweep_progress at = {.point = r->done,
                            .points = r->count,
                            .resumed = r->resumed,
                            .within = within,
                            .id = r->task ? r->task->id : ""};
    return o->progress(o->user, &at);
}

/* Called by the engine after each scale, so that Ctrl-C is heard within one. */
static bool tell_step(void *user, const variant_progress *at) {
    const runner *r = user;
    double inside = (at->pictures_done + (double)at->scale / at->scales) / at->pictures;
    return tell(r, (r->step + (inside > 1.0 ? 1.0 : inside)) / r->steps);
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
    ++r->step;
    return VARIANT_OK;
}

/* ---- time and memory ---- */

static int ascending(const void *a, const void *b) {
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* The doubles `offset` bytes into each report, sorted, in milliseconds a picture. */
static void collect(const variant_report *reports, int count, int batch, size_t offset,
                    double *sorted) {
    for (int i = 0; i < count; ++i) {
        memcpy(&sorted[i], (const char *)&reports[i] + offset, sizeof *sorted);
        sorted[i] *= 1e3 / batch;
    }
    qsort(sorted, (size_t)count, sizeof *sorted, ascending);
}

static double median(const double *sorted, int count) {
    return 0.5 * (sorted[(count - 1) / 2] + sorted[count / 2]);
}

static void add_times(cJSON *point, const variant_report *reports, int count, int batch,
                      double *sorted) {
    static const struct {
        const char *name;
        size_t offset;
    } stages[] = {{"condition_ms", offsetof(variant_report, condition_seconds)},
                  {"sampling_ms", offsetof(variant_report, sampling_seconds)},
                  {"quantizer_ms", offsetof(variant_report, quantizer_seconds)},
                  {"decoder_ms", offsetof(variant_report, decoder_seconds)}};
    collect(reports, count, batch, offsetof(variant_report, total_seconds), sorted);
    cJSON_AddNumberToObject(point, "picture_ms", median(sorted, count));
    cJSON_AddNumberToObject(point, "picture_ms_min", sorted[0]);
    cJSON_AddNumberToObject(point, "picture_ms_max", sorted[count - 1]);
    double condition = 0.0;
    for (size_t i = 0; i < sizeof stages / sizeof *stages; ++i) {
        collect(reports, count, batch, stages[i].offset, sorted);
        cJSON_AddNumberToObject(point, stages[i].name, median(sorted, count));
        if (i == 0) condition = median(sorted, count);
    }
    collect(reports, count, batch, offsetof(variant_report, transformer_seconds), sorted);
    cJSON_AddNumberToObject(point, "transformer_ms", condition + median(sorted, count));
    cJSON *scales = cJSON_AddArrayToObject(point, "scale_ms");
    for (int k = 0; k < reports->scales; ++k) {
        collect(reports, count, batch,
                offsetof(variant_report, scale_seconds) + (size_t)k * sizeof(double), sorted);
        cJSON_AddItemToArray(scales, cJSON_CreateNumber(median(sorted, count)));
    }
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

/* One run to warm up, `repeat` that count. */
static variant_status measure(runner *r, cJSON *point, variant_error *err) {
    const vt_sweep_options *o = r->options;
    variant_status status = VARIANT_OK;
    variant_report *reports = calloc((size_t)o->repeat + 1, sizeof *reports);
    double *sorted = calloc((size_t)o->repeat + 1, sizeof *sorted);
    if (!reports || !sorted)
        VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for %d reports", o->repeat));
    variant_request request = make_request(r);
    request.count = request.batch;
    for (int i = 0; i <= o->repeat; ++i) {
        variant_picture *pictures = NULL;
        VT_CHECK(generate(r, &request, &pictures, &reports[i], err));
        variant_pictures_free(&pictures, request.count);
    }
    add_times(point, reports + 1, o->repeat, request.batch, sorted);
    add_memory(point, o->engine, &reports[o->repeat]);
    if (reports->warning[0]) cJSON_AddStringToObject(point, "warning", reports->warning);
cleanup:
    free(reports);
    free(sorted);
    return status;
}

/* ---- quality and pictures ---- */

#define CHUNK 64 /* pictures in memory at a time */

static variant_status judge(runner *r, cJSON *point, variant_error *err) {
    const vt_sweep_judge *j = r->options->judge;
    cJSON *quality = NULL;
    if (j) {
        variant_request request = make_request(r);
        request.class_name = "all"; /* every class alike */
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
    }
    cJSON_AddItemToObject(point, "quality", quality ? quality : cJSON_CreateNull());
    return VARIANT_OK;
}

/* The same seeds at every point, on one strip: FOLDER/ID.png. */
static variant_status draw(runner *r, cJSON *point, variant_error *err) {
    const vt_sweep_options *o = r->options;
    if (o->pictures == 0 || o->synthetic) return VARIANT_OK;
    char name[128], path[4096];
    variant_picture *pictures = NULL;
    variant_request request = make_request(r);
    request.class_name = "all";
    request.count = o->pictures;
    VT_TRY(generate(r, &request, &pictures, NULL, err));
    snprintf(name, sizeof name, "%s.png", r->task->id);
    snprintf(path, sizeof path, "%s/%s", o->folder, name);
    variant_status status =
        variant_pictures_write_sheet(pictures, request.count, request.count, 1, path, err);
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

static variant_status run_point(runner *r, cJSON *state, variant_error *err) {
    const vt_sweep_options *o = r->options;
    variant_status status = VARIANT_OK;
    cJSON *point = cJSON_CreateObject();
    r->step = 0;
    r->steps = o->repeat + 1 + (o->judge ? (o->judge->samples + CHUNK - 1) / CHUNK : 0) +
               (o->pictures && !o->synthetic);
    if (!point) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a point"));
    describe(point, r->task);
    VT_CHECK(measure(r, point, err));
    VT_CHECK(judge(r, point, err));
    VT_CHECK(draw(r, point, err));
    vt_sweep_state_add(state, r->task, point);
    point = NULL;
    VT_CHECK(vt_sweep_state_write(state, o->folder, err));
cleanup:
    cJSON_Delete(point);
    return status;
}

variant_status vt_sweep_run(const vt_sweep_options *options, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_sweep_task *tasks = NULL;
    cJSON *state = NULL;
    runner r = {.options = options};
    VT_CHECK(vt_sweep_plan(&tasks, &r.count, options, err));
    VT_CHECK(vt_sweep_state_open(&state, options, err));
    for (int i = 0; i < r.count; ++i)
        if (vt_sweep_state_has(state, &tasks[i])) ++r.resumed;
    r.done = r.resumed;
    if (r.done < r.count) /* a folder that cannot be written is noticed before time is spent */
        VT_CHECK(vt_sweep_state_write(state, options->folder, err));
    for (int i = 0; i < r.count && status == VARIANT_OK; ++i) {
        if (vt_sweep_state_has(state, &tasks[i])) continue;
        r.task = &tasks[i];
        status = run_point(&r, state, err);
        if (status == VARIANT_OK) ++r.done;
    }
    r.task = NULL;
    if (r.done == 0 || (status != VARIANT_OK && status != VARIANT_E_STOPPED)) goto cleanup;
    variant_error report_error;
    variant_status report = vt_report_write(options->folder, &report_error);
    if (status == VARIANT_OK && report != VARIANT_OK) {
        status = report;
        if (err) *err = report_error;
    }
    if (status == VARIANT_OK) tell(&r, 0.0);
    if (status == VARIANT_E_STOPPED)
        vt_fail(err, status, "stopped after %d of %d points; the same command goes on", r.done,
                r.count);
cleanup:
    cJSON_Delete(state);
    free(tasks);
    return status;
}

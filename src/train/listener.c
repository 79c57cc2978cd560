/* listener.c - what a training tells while it runs, as a caller of variant.h is told it; see asked.h. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "core/clock.h"
#include "io/json.h"
#include "train/asked.h"

/* ---- progress ---- */

/* From the first call of a phase on, whose own time is not known. */
static double seconds_left(vt_listener *listener, const vt_train_progress *at) {
    const double now = vt_seconds(), done = (double)at->step;
    if (listener->doing != at->doing || done < listener->from) {
        listener->doing = at->doing;
        listener->since = now;
        listener->from = done;
    }
    if (done <= listener->from) return at->step == at->steps ? 0.0 : -1.0;
    return (now - listener->since) / (done - listener->from) * (double)(at->steps - at->step);
}

static void on_progress(void *user, const vt_train_progress *at) {
    vt_listener *listener = user;
    const variant_training *asked = listener->asked;
    const double left = seconds_left(listener, at);
    const variant_train_progress told = {.doing = at->doing,
                                         .step = at->step,
                                         .steps = at->steps,
                                         .epoch = at->epoch,
                                         .loss = at->loss,
                                         .learning_rate = at->learning_rate,
                                         .pictures_per_second = at->pictures_per_second,
                                         .seconds_left = left};
    if (asked->progress && !asked->progress(asked->user, &told)) listener->stopped = 1;
}

/* ---- lines of the log ---- */

static double number_of(const cJSON *item) {
    if (cJSON_IsBool(item)) return cJSON_IsTrue(item) ? 1.0 : 0.0;
    return cJSON_IsNumber(item) ? item->valuedouble : NAN;
}

static int numbers_in(const cJSON *item) {
    return cJSON_IsArray(item) ? cJSON_GetArraySize(item) : !cJSON_IsString(item);
}

static int all_numbers(const cJSON *line) {
    int count = 0;
    for (const cJSON *item = line->child; item; item = item->next) count += numbers_in(item);
    return count;
}

/* The item's metric; its numbers go to values. */
static variant_metric metric_of(const cJSON *item, double *values) {
    const variant_metric metric = {.name = item->string,
                                   .text = cJSON_GetStringValue(item),
                                   .count = numbers_in(item),
                                   .values = values};
    if (!cJSON_IsArray(item)) {
        if (metric.count) *values = number_of(item);
        return metric;
    }
    for (const cJSON *each = item->child; each; each = each->next) *values++ = number_of(each);
    return metric;
}

static variant_status tell(const variant_training *asked, const cJSON *line, variant_error *err) {
    const int count = cJSON_GetArraySize(line);
    variant_metric *metrics = malloc(((size_t)count + 1) * sizeof *metrics);
    const variant_metric **list = malloc(((size_t)count + 1) * sizeof *list);
    double *values = malloc(((size_t)all_numbers(line) + 1) * sizeof *values), *next = values;
    char *json = vt_json_text(line);
    variant_status status = VARIANT_OK;
    if (metrics && list && values && json) {
        variant_metrics told = {
            .step = (int64_t)number_of(cJSON_GetObjectItemCaseSensitive(line, "step")),
            .evaluation = cJSON_GetObjectItemCaseSensitive(line, "evaluation") != NULL,
            .json = json,
            .metrics = list};
        for (const cJSON *item = line->child; item; item = item->next) {
            metrics[told.count] = metric_of(item, next);
            list[told.count] = &metrics[told.count];
            next += metrics[told.count++].count;
        }
        asked->metrics(asked->user, &told);
    } else {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory to tell a line of the log");
    }
    cJSON_free(json);
    free(values);
    free(list);
    free(metrics);
    return status;
}

static variant_status on_logged(void *user, const cJSON *line, variant_error *err) {
    vt_listener *listener = user;
    const cJSON *loss = cJSON_GetObjectItemCaseSensitive(line, "test_loss");
    if (!loss) loss = cJSON_GetObjectItemCaseSensitive(line, "test_mse");
    if (loss) listener->test_loss = number_of(loss);
    return listener->asked->metrics ? tell(listener->asked, line, err) : VARIANT_OK;
}

/* ---- notes ---- */

static void on_note(void *user, const char *line) {
    const variant_training *asked = ((vt_listener *)user)->asked;
    asked->note(asked->user, line);
}

void vt_listener_open(vt_listener *listener, const variant_training *asked,
                      vt_train_common *common) {
    *listener = (vt_listener){.asked = asked, .test_loss = NAN};
    common->stop = &listener->stopped;
    common->stop_too = asked->cancel;
    common->progress = on_progress;
    common->logged = on_logged;
    if (asked->note) common->note = on_note;
    common->user = listener;
}

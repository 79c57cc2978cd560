/* transformer_conflict.c - do the full path and the subnet pull the shared weights the same way? The
 * cosine between their gradients on one batch, in all and for each layer; see transformer_job.h.
 *
 * A measurement changes nothing of the training: it runs before the step, on passes of its own. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "train/transformer_job.h"
#include "io/json.h"

typedef struct agreement {
    double full, subnet, both; /* sums of squares of the gradients a, b, and of a + b */
} agreement;

/* 2 ab = (a + b)^2 - a^2 - b^2. NaN, which the log shows as null, when a gradient is zero. */
static double cosine(const agreement *sum) {
    double length = sqrt(sum->full) * sqrt(sum->subnet);
    return length > 0.0 ? (sum->both - sum->full - sum->subnet) / (2.0 * length) : NAN;
}

static void add(agreement *to, const agreement *from) {
    to->full += from->full;
    to->subnet += from->subnet;
    to->both += from->both;
}

/* -1: of no layer. */
static int layer_of(const vt_param *param) {
    int layer = -1;
    return sscanf(param->name, "blocks.%d.", &layer) == 1 ? layer : -1;
}

/* Runs as long as the gradients', one after another in `numbers`; free() them. */
static vt_floats *take_runs(const vt_training_lists *lists, float *numbers) {
    vt_floats *runs = malloc(((size_t)lists->count + 1) * sizeof *runs);
    for (int i = 0; runs && numbers && i < lists->count; ++i) {
        runs[i] = (vt_floats){numbers, lists->grad[i].n};
        numbers += runs[i].n;
    }
    return runs;
}

static variant_status write_line(vt_transformer_job *job, vt_train_loop *loop,
                                 const vt_schedule *subnet, const agreement *all,
                                 const agreement *layers, variant_error *err) {
    double cosines[VT_SCHEDULE_LAYERS];
    char text[256];
    cJSON *line = cJSON_CreateObject();
    if (!line) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    for (int l = 0; l < job->config.depth; ++l) cosines[l] = cosine(&layers[l]);
    vt_schedule_describe(subnet, text, sizeof text);
    vt_json_number(line, "step", (double)(loop->step + 1));
    vt_log_number(line, "epoch", (double)loop->step / (double)loop->steps_per_epoch);
    vt_json_bool(line, "conflict", true);
    vt_json_string(line, "schedule", text);
    vt_log_number(line, "grad_norm_full", sqrt(all->full));
    vt_log_number(line, "grad_norm_subnet", sqrt(all->subnet));
    vt_log_number(line, "cosine", cosine(all));
    vt_log_numbers(line, "cosine_by_layer", cosines, job->config.depth);
    variant_status status = vt_train_loop_log(loop, line, err);
    cJSON_Delete(line);
    return status;
}

/* One path's gradient, slice by slice. */
typedef struct path_pass {
    vt_transformer_job *job;
    const vt_schedule *schedule;
} path_pass;

static variant_status run_slice(void *self, vt_train_loop *loop, variant_error *err) {
    const path_pass *pass = self;
    vt_transformer_job *job = pass->job;
    vt_scale_sums unused = {0};
    const vt_transformer_job_request request = {.batch = loop->slice.count,
                                                .of = loop->slice.of,
                                                .smoothing = (float)job->options->label_smoothing,
                                                .with_gradient = true,
                                                .schedule = pass->schedule};
    if (!loop->kern->dry) vt_transformer_job_choose(job, loop);
    return vt_transformer_job_pass(job, loop, &request, &unused, err);
}

variant_status vt_transformer_job_log_conflict(vt_transformer_job *job, vt_train_loop *loop,
                                               const vt_schedule *subnet, variant_error *err) {
    vt_kern *kern = loop->kern;
    const vt_params *params = loop->params;
    agreement all = {0}, layers[VT_SCHEDULE_LAYERS] = {{0}};
    path_pass pass = {job, &job->full};
    variant_status status = VARIANT_OK;
    const vt_training_lists *lists = &params->lists;
    const size_t mark = vt_arena_mark(&loop->arena), count = (size_t)lists->count;
    float *numbers = vt_arena_floats(&loop->arena, params->value_count);
    double *sums = vt_arena_take(&loop->arena, 3 * count * sizeof *sums), *host = NULL;
    vt_floats *full = take_runs(lists, numbers);
    VT_CHECK(vt_arena_check(&loop->arena, "a second gradient", err));
    host = calloc(3 * count + 1, sizeof *host);
    if (!full || !host) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for two gradients"));
    VT_CHECK(vt_train_loop_slices(loop, run_slice, &pass, err));
    for (size_t i = 0; i < count; ++i) kern->copy(kern, full[i].x, lists->grad[i].x, full[i].n);
    vt_params_zero_grad(loop->params);
    pass.schedule = subnet;
    VT_CHECK(vt_train_loop_slices(loop, run_slice, &pass, err));
    kern->sum_squares(kern, sums, full, lists->count);
    kern->sum_squares(kern, sums + count, lists->grad, lists->count);
    for (size_t i = 0; i < count; ++i)
        kern->axpby(kern, full[i].x, 1.0f, lists->grad[i].x, 1.0f, full[i].n);
    kern->sum_squares(kern, sums + 2 * count, full, lists->count);
    VT_CHECK(vt_kern_download(kern, host, sums, 3 * count * sizeof *sums, err));
    for (size_t i = 0, at = 0; i < (size_t)params->count; ++i) {
        if (!params->items[i]->grad) continue;
        const agreement sum = {
            .full = host[at], .subnet = host[count + at], .both = host[2 * count + at]};
        const int layer = layer_of(params->items[i]);
        if (layer >= 0 && layer < job->config.depth) add(&layers[layer], &sum);
        add(&all, &sum);
        ++at;
    }
    vt_params_zero_grad(loop->params);
    if (!kern->dry) VT_CHECK(write_line(job, loop, subnet, &all, layers, err));
cleanup:
    free(full);
    free(host);
    vt_arena_rewind(&loop->arena, mark);
    return status;
}

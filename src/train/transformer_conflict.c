/* transformer_conflict.c - do the full path and the subnet pull the shared weights the same way? The
 * cosine between their gradients on one batch, in all and for each layer; see transformer_job.h.
 *
 * A measurement changes nothing of the training: it runs before the step, on passes of its own. */
#include <math.h>
#include <stdio.h>

#include "train/transformer_job.h"

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

static variant_status write_line(vt_transformer_job *job, vt_train_loop *loop,
                                 const vt_schedule *subnet, const agreement *all,
                                 const agreement *layers, variant_error *err) {
    double cosines[VT_SCHEDULE_LAYERS];
    char text[256];
    cJSON *line = cJSON_CreateObject();
    if (!line) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    for (int l = 0; l < job->config.depth; ++l) cosines[l] = cosine(&layers[l]);
    vt_schedule_describe(subnet, text, sizeof text);
    cJSON_AddNumberToObject(line, "step", (double)(loop->step + 1));
    vt_log_number(line, "epoch", (double)loop->step / (double)loop->steps_per_epoch);
    cJSON_AddTrueToObject(line, "conflict");
    cJSON_AddStringToObject(line, "schedule", text);
    vt_log_number(line, "grad_norm_full", sqrt(all->full));
    vt_log_number(line, "grad_norm_subnet", sqrt(all->subnet));
    vt_log_number(line, "cosine", cosine(all));
    vt_log_numbers(line, "cosine_by_layer", cosines, job->config.depth);
    variant_status status = vt_log_write(&loop->log, line, err);
    cJSON_Delete(line);
    return status;
}

variant_status vt_transformer_job_log_conflict(vt_transformer_job *job, vt_train_loop *loop,
                                               const vt_schedule *subnet, variant_error *err) {
    vt_kern *kern = loop->kern;
    const vt_params *params = loop->params;
    agreement all = {0}, layers[VT_SCHEDULE_LAYERS] = {{0}};
    vt_scale_sums unused = {0};
    variant_status status = VARIANT_OK;
    size_t mark = vt_arena_mark(&loop->arena), at = 0;
    vt_transformer_job_request request = {.batch = loop->data.batches.batch,
                                          .smoothing = (float)job->options->label_smoothing,
                                          .with_gradient = true,
                                          .schedule = &job->full};
    float *full = vt_arena_floats(&loop->arena, params->value_count);
    VT_CHECK(vt_arena_check(&loop->arena, "a second gradient", err));
    VT_CHECK(vt_transformer_job_pass(job, loop, &request, &unused, err));
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (!param->grad) continue;
        kern->copy(kern, full + at, param->grad, param->count);
        at += param->count;
    }
    vt_params_zero_grad(loop->params);
    request.schedule = subnet;
    VT_CHECK(vt_transformer_job_pass(job, loop, &request, &unused, err));
    at = 0;
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (!param->grad) continue;
        agreement sum = {.full = kern->sum_squares(kern, full + at, param->count),
                         .subnet = kern->sum_squares(kern, param->grad, param->count)};
        kern->axpby(kern, full + at, 1.0f, param->grad, 1.0f, param->count);
        sum.both = kern->sum_squares(kern, full + at, param->count);
        at += param->count;
        int layer = layer_of(param);
        if (layer >= 0 && layer < job->config.depth) add(&layers[layer], &sum);
        add(&all, &sum);
    }
    vt_params_zero_grad(loop->params);
    if (!kern->dry) VT_CHECK(write_line(job, loop, subnet, &all, layers, err));
cleanup:
    vt_arena_rewind(&loop->arena, mark);
    return status;
}

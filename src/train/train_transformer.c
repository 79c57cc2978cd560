/* train_transformer.c - trains a transformer on the token maps of a frozen tokenizer; as a
 * supernet, when asked: options, the run, and the files it leaves. The two trainings are one; what a
 * step does is in transformer_step.c. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/sheet.h"
#include "train/transformer_job.h"

/* ---- options ---- */

void vt_train_transformer_options_init(vt_train_transformer_options *options) {
    *options = (vt_train_transformer_options){
        .label_drop = 0.1,
        .distill_end = -1.0,
        .config = {.l2_norm = true},
        .mlp_ratio = 4.0,
        .phases = {.joint_ratio = 0.2,
                   .joint_end = -1.0,
                   .transition_end = -1.0,
                   .fixed_ratio = -1.0},
        .bridge = -1,
        .selector = VT_EQUIDISTANT,
    };
    vt_train_common_init(&options->common);
}

void vt_train_supernet_options_init(vt_train_transformer_options *options) {
    vt_train_transformer_options_init(options);
    options->supernet = true;
    /* The best of what was tried: docs/REPRODUCTION.md. */
    options->phases.sandwich = true;
    options->distill = 4.0;
    options->distill_end = 2.0;
}

static variant_status check_options(const vt_train_transformer_options *options,
                                    variant_error *err) {
    VT_TRY(vt_train_common_check(&options->common, err));
    if (options->log_conflict > 0 && variant_ranks_count(options->common.ranks) > 1)
        return vt_fail(err, VARIANT_E_UNSUPPORTED,
                       "log_conflict over %d ranks: expected one process, which has whole "
                       "gradients of both paths",
                       variant_ranks_count(options->common.ranks));
    if (!options->tokenizer && !options->model)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no tokenizer given: expected a trained one");
    if (!(options->label_drop >= 0.0 && options->label_drop <= 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "label drop %g: expected 0 to 1",
                       options->label_drop);
    if (!(options->label_smoothing >= 0.0 && options->label_smoothing < 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "label smoothing %g: expected 0 or more, below 1",
                       options->label_smoothing);
    if (!(options->distill >= 0.0 && options->distill <= 1e6))
        return vt_fail(err, VARIANT_E_ARGUMENT, "distillation weighted %g: expected 0 or more",
                       options->distill);
    if (!(options->distill_end <= 1e6) || (options->distill_end > 0.0 && options->distill == 0.0))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "distillation ends at weight %g: expected 0 or more, and one to begin with",
                       options->distill_end);
    if (options->log_conflict < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "an interval is negative: expected 0 (never) or steps");
    return VARIANT_OK;
}

/* ---- files ---- */

static vt_model_save transformer_model(void *self, vt_train_loop *loop) {
    const vt_transformer_job *job = self;
    (void)loop;
    return (vt_model_save){
        .transformer = job->transformer,
        .class_count = job->model->class_count,
        .class_names = job->model->class_names,
        .supernet = job->options->supernet ? &job->model->supernet : NULL,
        .type = VT_F32,
    };
}

/* The tokenizer goes beside it, so that the folder is a whole model. */
static variant_status transformer_finish(void *self, vt_train_loop *loop, variant_error *err) {
    const vt_transformer_job *job = self;
    char path[4096];
    vt_train_loop_path(loop, "tokenizer.safetensors", path, sizeof path);
    const vt_work_watch watch = vt_model_watch(job->frozen);
    vt_model_save beside = {.tokenizer = job->tokenizer,
                            .preview = job->model->preview,
                            .preview_training = job->frozen->preview_training,
                            .watch = &watch,
                            .type = VT_F32};
    return vt_model_settle_written(job->frozen, vt_model_write(path, &beside, err), err);
}

/* "4,2" or "0.5,2" */
static void list_numbers(const double *values, int count, char *out, size_t size) {
    size_t used = 0;
    out[0] = '\0';
    for (int i = 0; i < count && used < size; ++i)
        used += (size_t)snprintf(out + used, size - used, i ? ",%g" : "%g", values[i]);
}

/* What is at its default from before there was a choice is left out, so that older runs go on. */
static void describe_supernet(const vt_transformer_job *job, vt_settings *settings) {
    const vt_train_transformer_options *options = job->options;
    const vt_phases *phases = &job->phases;
    double depths[VT_MAX_DEPTHS];
    char list[320];
    if (options->schedules) {
        vt_settings_add(settings, "train-schedules", "%s", options->schedules);
    } else {
        for (int i = 0; i < phases->depth_count; ++i) depths[i] = phases->depths[i];
        list_numbers(depths, phases->depth_count, list, sizeof list);
        vt_settings_add(settings, "depths", "%s", list);
        if (phases->more_bridge > 0)
            vt_settings_add(settings, "bridge", "%d-%d", job->bridge,
                            job->bridge + phases->more_bridge);
        else
            vt_settings_add(settings, "bridge", "%d", job->bridge);
    }
    vt_settings_add(settings, "layers", "%s", vt_selector_name(options->selector));
    bool ends = !phases->sandwich && !(phases->fixed_ratio >= 0.0);
    if (phases->sandwich) {
        vt_settings_add(settings, "sandwich", "on");
    } else if (phases->fixed_ratio >= 0.0) {
        vt_settings_add(settings, "fixed-ratio", "%g", phases->fixed_ratio);
    } else {
        vt_settings_add(settings, "joint-ratio", "%g", phases->joint_ratio);
        vt_settings_add(settings, "joint-end", "%g", phases->joint_end);
    }
    if (ends || phases->rule == VT_DRAW_DEEPEST_FIRST)
        vt_settings_add(settings, "transition-end", "%g", phases->transition_end);
    if (phases->rule != VT_DRAW_UNIFORM)
        vt_settings_add(settings, "draw", "%s", vt_draw_rule_name(phases->rule));
    if (phases->rule == VT_DRAW_WEIGHTED) {
        list_numbers(phases->weights, phases->depth_count, list, sizeof list);
        vt_settings_add(settings, "draw-weights", "%s", list);
    }
    if (options->distill > 0.0) vt_settings_add(settings, "distill", "%g", options->distill);
    const double end = vt_transformer_distill_weight(options, 1.0);
    if (end != options->distill) vt_settings_add(settings, "distill-end", "%g", end);
    if (options->uncond_depth > 0)
        vt_settings_add(settings, "uncond-train-depth", "%d", options->uncond_depth);
}

static variant_status transformer_settings(void *self, vt_train_loop *loop, variant_error *err) {
    const vt_transformer_job *job = self;
    const vt_train_transformer_options *options = job->options;
    const vt_transformer_config *config = &job->config;
    vt_settings *settings = &loop->settings;
    uint64_t tokenizer = 0;
    VT_TRY(vt_params_hash(vt_tokenizer_params(job->tokenizer), &tokenizer, err));
    vt_train_settings_common(loop, options->supernet ? "supernet" : "transformer",
                             vt_dataset_hash(loop->data.train));
    vt_settings_add(settings, "tokenizer", "%016llx", (unsigned long long)tokenizer);
    vt_settings_add(settings, "depth", "%d", config->depth);
    vt_settings_add(settings, "width", "%d", config->width);
    vt_settings_add(settings, "heads", "%d", config->heads);
    vt_settings_add(settings, "hidden", "%d", config->hidden);
    vt_settings_add(settings, "l2-norm", "%s", config->l2_norm ? "on" : "off");
    vt_settings_add(settings, "shared-adaln", "%s", config->shared_adaln ? "on" : "off");
    vt_settings_add(settings, "label-drop", "%g", options->label_drop);
    vt_settings_add(settings, "label-smoothing", "%g", options->label_smoothing);
    if (!options->supernet) return VARIANT_OK;
    describe_supernet(job, settings);
    return VARIANT_OK;
}

/* ---- a run ---- */

static variant_status transformer_updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)loop;
    vt_transformer_job *job = self;
    return vt_transformer_prepare(job->transformer, err); /* refreshes the prepared weights too */
}

static variant_status transformer_sample(void *self, vt_train_loop *loop, const char *path,
                                         variant_error *err) {
    vt_transformer_job *job = self;
    return vt_train_draw_sheet(job->model, loop->options->precision, path, err);
}

static variant_status transformer_prepare(void *self, vt_train_loop *loop, variant_error *err) {
    (void)loop;
    return vt_transformer_prepare(((vt_transformer_job *)self)->transformer, err);
}

variant_status vt_train_transformer(vt_kern *kern, const vt_train_transformer_options *options,
                                    vt_train_result *result, variant_error *err) {
    vt_transformer_job *job = calloc(1, sizeof *job); /* the schedules are large */
    if (!job) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a training run");
    job->settled = *options;
    job->options = &job->settled;
    const vt_trainer trainer = {
        .kind = options->supernet ? VT_TRAIN_SUPERNET : VT_TRAIN_TRANSFORMER,
        .self = job,
        .common = &job->settled.common,
        .shape = vt_transformer_job_shape,
        .size = vt_transformer_job_size,
        .settle = vt_transformer_job_settle,
        .whole = vt_transformer_job_whole,
        .open = vt_transformer_job_open,
        .prepare = transformer_prepare,
        .rehearse = vt_transformer_job_rehearse,
        .close = vt_transformer_job_close,
        .describe_settings = transformer_settings,
        .begin = vt_transformer_job_open_tokens,
        .plan = vt_transformer_job_plan,
        .step = vt_transformer_job_step,
        .count = vt_transformer_job_count,
        .updated = transformer_updated,
        .unite = vt_transformer_job_unite,
        .describe = vt_transformer_job_describe,
        .evaluate = vt_transformer_job_evaluate,
        .sample = transformer_sample,
        .file = "transformer.safetensors",
        .model = transformer_model,
        .finish = transformer_finish,
    };
    const variant_status status =
        vt_train_run(kern, &trainer, check_options(options, err), result, err);
    free(job);
    return status;
}

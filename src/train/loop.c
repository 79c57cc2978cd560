/* loop.c - see loop.h. */
#include "train/loop.h"

#include <inttypes.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/descriptor.h"
#include "io/file.h"
#include "io/json.h"

#define CHECKPOINT "checkpoint.safetensors"
#define MOST_SKIPPED 10 /* diverged steps in a row: the weights themselves are lost then */

void vt_train_common_init(vt_train_common *options) {
    *options = (vt_train_common){
        .data = {.holdout = VT_HOLDOUT},
        .seed = 1,
        .lr = {.end = -1.0, .cosine = true, .warmup = -1},
        .log_every = 50,
        .save_every = 500,
        .sample_every = 0,
        .eval_every = 0,
        .eval_count = 1000,
        .shard_optimizer = true,
    };
    vt_optimizer_options_init(&options->optimizer);
}

variant_status vt_train_common_check(const vt_train_common *options, variant_error *err) {
    if (!vt_data_given(&options->data))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "no data given: expected a folder of pictures or IDX files");
    if (!options->dry_run && (!options->output || !*options->output))
        return vt_fail(err, VARIANT_E_ARGUMENT, "no folder given for the run's results");
    if (options->steps < 0 || options->steps > 1000000000)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%lld steps: expected 1 to 1000000000",
                       (long long)options->steps);
    if (!(options->epochs >= 0.0 && options->epochs <= 1e6))
        return vt_fail(err, VARIANT_E_ARGUMENT, "%g epochs: expected above 0, up to 1000000",
                       options->epochs);
    if (options->batch < 0 || options->batch > 65536)
        return vt_fail(err, VARIANT_E_ARGUMENT, "batch of %d: expected 1 to 65536", options->batch);
    if (options->accumulate < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "a batch in %d slices: expected 1 or more",
                       options->accumulate);
    if (options->limit < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "limit of %d pictures: expected 0 or more",
                       options->limit);
    if (options->log_every < 0 || options->save_every < 0 || options->sample_every < 0 ||
        options->eval_every < 0 || options->eval_count < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "an interval is negative: expected 0 (never) or steps");
    if (options->precision != VT_NUMBER_F32 && options->precision != VT_NUMBER_BF16)
        return vt_fail(err, VARIANT_E_ARGUMENT, "precision %s: expected f32 or bf16",
                       vt_number_name(options->precision));
    if (options->spike != 0.0 && !(options->spike > 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "spike factor %g: expected 0 (off) or above 1",
                       options->spike);
    if (options->lr.peak < 0.0) VT_TRY(vt_lr_check(&options->lr, err)); /* else once it is chosen */
    return vt_optimizer_check(&options->optimizer, err);
}

void vt_train_loop_path(const vt_train_loop *loop, const char *name, char *out, size_t size) {
    snprintf(out, size, "%s/%s", loop->folder, name);
}

void vt_train_loop_note(const vt_train_loop *loop, const char *format, ...) {
    if (!loop->options->note) return;
    char line[600];
    va_list args;
    va_start(args, format);
    vsnprintf(line, sizeof line, format, args);
    va_end(args);
    loop->options->note(loop->options->user, line);
}

/* Another thread may set it. */
static bool is_set(const volatile sig_atomic_t *flag) {
    return flag && __atomic_load_n(flag, __ATOMIC_RELAXED);
}

bool vt_train_loop_stopping(const vt_train_loop *loop) {
    const vt_train_common *options = loop->options;
    return is_set(options->stop) || is_set(options->stop_too) ||
           (options->stop_after > 0 && loop->step >= options->stop_after);
}

bool vt_train_loop_first(const vt_train_loop *loop) {
    return loop->together.rank == 0;
}

static bool is_alone(const vt_train_loop *loop) {
    return loop->together.count <= 1;
}

variant_status vt_train_loop_agree(vt_train_loop *loop, variant_status status, variant_error *err) {
    return vt_ranks_agree(loop->together.ranks, status, err);
}

variant_status vt_train_loop_log(vt_train_loop *loop, const cJSON *line, variant_error *err) {
    if (!vt_train_loop_first(loop)) return VARIANT_OK;
    VT_TRY(vt_log_write(&loop->log, line, err));
    const vt_train_common *options = loop->options;
    return options->logged ? options->logged(options->user, line, err) : VARIANT_OK;
}

static variant_status look_up_past(vt_train_loop *loop, const char *path, variant_error *err) {
    bool there;
    VT_TRY(vt_look_for(path, &there, err));
    if (!there)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: no run to go on with, it has no " CHECKPOINT
                       "; without resume one begins",
                       loop->folder);
    loop->past = malloc(sizeof *loop->past);
    if (!loop->past) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a training run");
    return vt_past_read(path, loop->past, err);
}

variant_status vt_train_loop_begin(vt_train_loop *loop, vt_kern *kern,
                                   const vt_train_common *options, variant_error *err) {
    *loop = (vt_train_loop){.kern = kern,
                            .options = options,
                            .together = {.ranks = options->ranks,
                                         .rank = variant_ranks_rank(options->ranks),
                                         .count = variant_ranks_count(options->ranks),
                                         .wire = options->wire,
                                         .sharded = options->shard_optimizer}};
    const char *output = options->output ? options->output : "";
    if (strlen(output) >= sizeof loop->folder)
        return vt_fail(err, VARIANT_E_ARGUMENT, "the output folder's name is too long");
    snprintf(loop->folder, sizeof loop->folder, "%s", output);
    if (!*output) return VARIANT_OK; /* a dry run */
    char path[4096];
    vt_train_loop_path(loop, CHECKPOINT, path, sizeof path);
    if (options->resume) return look_up_past(loop, path, err);
    bool there = false;
    if (!options->restart && !options->dry_run) VT_TRY(vt_look_for(path, &there, err));
    if (!there) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "%s: there already; resume goes on with that run, restart throws it away", path);
}

variant_status vt_train_loop_open(vt_train_loop *loop, size_t bytes, variant_error *err) {
    loop->memory_bytes = bytes;
    VT_TRY(loop->kern->memory_reserve(loop->kern, bytes, &loop->memory, err));
    vt_arena_init(&loop->arena, loop->memory, bytes);
    return VARIANT_OK;
}

void *vt_train_host(vt_train_loop *loop, size_t count, size_t size) {
    void *out = calloc(count, size);
    if (out) loop->host_bytes += count * size;
    return out;
}

variant_status vt_train_loop_gradients(vt_train_loop *loop, variant_error *err) {
    vt_together *together = &loop->together;
    loop->params->shares_moments = !is_alone(loop) && together->sharded;
    VT_TRY(vt_params_train(loop->params, err));
    if (is_alone(loop)) return VARIANT_OK;
    VT_TRY(vt_together_open(together, loop->params, &loop->options->optimizer, err));
    loop->host_bytes += together->host_bytes;
    return VARIANT_OK;
}

void vt_train_loop_last_pass(vt_train_loop *loop) {
    const int end = loop->part.first + loop->part.count;
    if (!is_alone(loop) && !loop->kern->dry && loop->slice.first + loop->slice.count == end)
        vt_together_watch(&loop->together);
}

void vt_train_loop_close(vt_train_loop *loop) {
    if (loop->memory) loop->kern->memory_release(loop->kern, loop->memory, loop->memory_bytes);
    vt_log_close(&loop->log);
    free(loop->past);
    *loop = (vt_train_loop){0};
}

void vt_train_settings_common(vt_train_loop *loop, const char *training, uint64_t data_hash) {
    vt_settings *settings = &loop->settings;
    const vt_train_common *options = loop->options;
    const vt_optimizer_options *adamw = &options->optimizer;
    vt_settings_add(settings, "training", "%s", training);
    vt_settings_add(settings, "data", "%016" PRIx64, data_hash);
    vt_settings_add(settings, "limit", "%d", options->limit);
    vt_settings_add(settings, "batch", "%d", options->batch);
    vt_settings_add(settings, "seed", "%" PRIu64, options->seed);
    vt_settings_add(settings, "flip", "%s", options->flip ? "on" : "off");
    vt_settings_add(settings, "schedule", "%s", options->lr.cosine ? "cosine" : "constant");
    if (options->lr.cosine) vt_settings_add(settings, VT_SETTING_STEPS, "%" PRId64, loop->steps);
    if (options->lr.cosine && options->lr.replanned > 0)
        vt_settings_add(settings, VT_SETTING_REPLANNED, "%" PRId64 ":%.17g:%s",
                        options->lr.replanned, options->lr.rate_then,
                        options->lr.hold ? "constant" : "cosine");
    vt_settings_add(settings, "lr", "%g", options->lr.peak);
    if (options->lr.cosine) vt_settings_add(settings, "lr-end", "%g", options->lr.end);
    vt_settings_add(settings, "warmup", "%" PRId64, options->lr.warmup);
    vt_settings_add(settings, "weight-decay", "%g", adamw->weight_decay);
    vt_settings_add(settings, "betas", "%g,%g", adamw->beta1, adamw->beta2);
    vt_settings_add(settings, "clip", "%g", adamw->clip);
    /* the defaults are not written, so that runs of before can go on */
    if (loop->data.source.fit != VT_FIT_CROP)
        vt_settings_add(settings, "fit", "%s", vt_fit_name(loop->data.source.fit));
    if (loop->data.source.alpha != VT_ALPHA_WHITE)
        vt_settings_add(settings, "alpha", "%s", vt_alpha_name(loop->data.source.alpha));
    if (loop->slices > 1) vt_settings_add(settings, "accumulate", "%d", loop->slices);
    vt_settings_add(settings, VT_SETTING_PRECISION, "%s", vt_number_name(options->precision));
}

/* ---- the state to go on from ---- */

static vt_checkpoint checkpoint_of(vt_train_loop *loop) {
    return (vt_checkpoint){.params = loop->params,
                           .settings = &loop->settings,
                           .step = loop->step,
                           .steps = loop->steps,
                           .lr = &loop->options->lr,
                           .spikes = &loop->spikes,
                           .trust = loop->options->trust,
                           .together = &loop->together,
                           .counters = loop->counters,
                           .counter_count = loop->counter_count};
}

variant_status vt_train_loop_restore(vt_train_loop *loop, variant_error *err) {
    char path[4096];
    if (!loop->past) return VARIANT_OK;
    vt_train_loop_path(loop, CHECKPOINT, path, sizeof path);
    vt_checkpoint checkpoint = checkpoint_of(loop);
    VT_TRY(vt_checkpoint_read(path, &checkpoint, err));
    loop->step = checkpoint.step;
    if (loop->step < loop->steps)
        vt_train_loop_note(loop, "going on from step %lld of %lld", (long long)loop->step,
                           (long long)loop->steps);
    else
        vt_train_loop_note(loop, "complete at step %lld; more steps or epochs go on",
                           (long long)loop->step);
    return VARIANT_OK;
}

/* ---- what happens every so many steps ---- */

static double epoch_now(const vt_train_loop *loop) {
    return (double)loop->step / (double)loop->steps_per_epoch;
}

static double pictures_per_second(const vt_train_loop *loop) {
    double seconds = vt_seconds() - loop->line_started;
    return seconds > 0.0 ? (double)loop->line_steps * loop->options->batch / seconds : 0.0;
}

static void report(const vt_train_loop *loop) {
    if (!loop->options->progress) return;
    vt_train_progress progress = {
        .step = loop->step,
        .steps = loop->steps,
        .epoch = epoch_now(loop),
        .loss = loop->loss,
        .learning_rate = loop->rate,
        .pictures_per_second = pictures_per_second(loop),
        .doing = "training",
    };
    loop->options->progress(loop->options->user, &progress);
}

/* What several ranks say of themselves. */
static void describe_ranks(vt_train_loop *loop, cJSON *line, double wire_error) {
    static const char *const names[] = {"f32", "bf16"};
    vt_json_number(line, "ranks", loop->together.count);
    vt_json_string(line, "wire", names[loop->together.wire]);
    vt_log_number(line, "exchange_seconds", loop->together.exchanged / (double)loop->line_steps);
    vt_log_number(line, "exchange_waited", loop->together.waited / (double)loop->line_steps);
    loop->together.exchanged = loop->together.waited = 0.0;
    if (loop->together.wire != VT_WIRE_F32) vt_log_number(line, "wire_error", wire_error);
}

static variant_status write_line(vt_train_loop *loop, const vt_trainer *trainer,
                                 variant_error *err) {
    double wire_error = 0.0;
    if (!is_alone(loop)) {
        trainer->unite(trainer->self, loop->together.ranks);
        wire_error = vt_together_wire_error(&loop->together);
    }
    cJSON *line = cJSON_CreateObject();
    if (!line) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    double steps = (double)loop->line_steps;
    vt_json_number(line, "step", (double)loop->step);
    vt_log_number(line, "epoch", epoch_now(loop));
    vt_log_number(line, "loss", loop->line_loss / steps);
    vt_json_string(line, VT_SETTING_PRECISION, vt_number_name(loop->options->precision));
    trainer->describe(trainer->self, loop, line);
    vt_log_number(line, "grad_norm", loop->line_norm / steps);
    vt_log_number(line, "lr", loop->rate);
    vt_log_number(line, "pictures_per_second", pictures_per_second(loop));
    if (!is_alone(loop)) describe_ranks(loop, line, wire_error);
    variant_status status = vt_train_loop_log(loop, line, err);
    cJSON_Delete(line);
    loop->line_steps = 0;
    loop->line_loss = loop->line_norm = 0.0;
    loop->line_started = vt_seconds();
    return status;
}

static variant_status whole(const vt_trainer *trainer, variant_status status, variant_error *err) {
    return trainer->whole ? trainer->whole(trainer->self, status, err) : status;
}

static variant_status evaluate(vt_train_loop *loop, const vt_trainer *trainer, variant_error *err) {
    cJSON *line = cJSON_CreateObject();
    if (!line) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    double started = vt_seconds();
    vt_json_number(line, "step", (double)loop->step);
    vt_log_number(line, "epoch", epoch_now(loop));
    vt_json_bool(line, "evaluation", true);
    variant_status status = whole(trainer, trainer->evaluate(trainer->self, loop, line, err), err);
    if (status == VARIANT_OK) status = vt_train_loop_log(loop, line, err);
    cJSON_Delete(line);
    loop->line_started += vt_seconds() - started;
    return status;
}

/* A picture that could not be made is no reason to lose a run. */
static void sample(vt_train_loop *loop, const vt_trainer *trainer) {
    double started = vt_seconds();
    char path[4096], name[64];
    variant_error local = {0};
    vt_train_loop_path(loop, "samples", path, sizeof path);
    variant_status status = variant_folder_make(path, &local);
    if (status == VARIANT_OK) {
        snprintf(name, sizeof name, "samples/%08lld.png", (long long)loop->step);
        vt_train_loop_path(loop, name, path, sizeof path);
        status = trainer->sample(trainer->self, loop, path, &local);
    }
    if (status != VARIANT_OK)
        vt_train_loop_note(loop, "no sample at step %lld: %s", (long long)loop->step,
                           local.message);
    loop->line_started += vt_seconds() - started;
}

static bool is_due(int64_t every, int64_t step) {
    return every > 0 && step % every == 0;
}

static variant_status save_state(vt_train_loop *loop, const vt_trainer *trainer,
                                 variant_error *err) {
    char path[4096];
    double started = vt_seconds();
    vt_train_loop_path(loop, CHECKPOINT, path, sizeof path);
    vt_checkpoint checkpoint = checkpoint_of(loop);
    checkpoint.model = trainer->model(trainer->self, loop);
    VT_TRY(vt_train_loop_agree(loop, whole(trainer, VARIANT_OK, err), err));
    VT_TRY(vt_train_loop_agree(loop, vt_checkpoint_write(path, &checkpoint, err), err));
    loop->line_started += vt_seconds() - started;
    return VARIANT_OK;
}

/* The model alone, for use, and what goes beside it. */
static variant_status save_model(vt_train_loop *loop, const vt_trainer *trainer,
                                 vt_train_result *result, variant_error *err) {
    vt_train_loop_path(loop, trainer->file, result->model, sizeof result->model);
    if (!vt_train_loop_first(loop)) return VARIANT_OK;
    char *training = vt_settings_json(&loop->settings);
    if (!training) return vt_fail(err, VARIANT_E_MEMORY, "no memory to write a model");
    vt_model_save save = trainer->model(trainer->self, loop);
    save.training = training;
    variant_status status = trainer->write
                                ? trainer->write(trainer->self, loop, result->model, training, err)
                                : vt_model_write(result->model, &save, err);
    cJSON_free(training);
    if (status != VARIANT_OK || !trainer->finish) return status;
    return trainer->finish(trainer->self, loop, err);
}

/* ---- diverged steps ---- */

typedef enum divergence { NO_DIVERGENCE, LOSS_SPIKE, GRADIENT_NOT_FINITE } divergence;

static variant_status fail_spike(const vt_train_loop *loop, variant_error *err) {
    return vt_fail(err, VARIANT_E_MISMATCH,
                   "the loss is %g at step %lld, above %g times its running mean of %g: training "
                   "diverged; a lower learning rate or a longer warm-up helps",
                   loop->loss, (long long)loop->step + 1, loop->options->spike,
                   loop->spikes.paths[loop->path].mean);
}

static variant_status update_together(vt_train_loop *loop, variant_error *err) {
    VT_TRY(vt_together_norm(&loop->together, &loop->norm, err));
    VT_TRY(vt_gradient_check(loop->norm, loop->step + 1, err));
    return vt_together_update(&loop->together, &loop->options->optimizer, loop->rate,
                              loop->step + 1, loop->norm, err);
}

/* The update, or the failure that says why there is none; then no value has changed. */
static variant_status update(vt_train_loop *loop, divergence *kind, variant_error *err) {
    const vt_train_common *options = loop->options;
    bool warm = loop->step >= options->lr.warmup;
    if (warm && vt_spikes_is(&loop->spikes, loop->path, options->spike, loop->loss)) {
        *kind = LOSS_SPIKE;
        return fail_spike(loop, err);
    }
    const variant_status status =
        is_alone(loop) ? vt_optimizer_step(loop->params, &options->optimizer, loop->rate,
                                           loop->step + 1, &loop->norm, err)
                       : update_together(loop, err);
    *kind = status == VARIANT_E_MISMATCH ? GRADIENT_NOT_FINITE : NO_DIVERGENCE;
    return status;
}

/* Without a key "loss": those are of steps that were applied. */
static variant_status log_divergence(vt_train_loop *loop, divergence kind, bool stops,
                                     variant_error *err) {
    cJSON *line = cJSON_CreateObject();
    if (!line) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a log line");
    vt_json_number(line, "step", (double)(loop->step + 1));
    vt_log_number(line, "epoch", epoch_now(loop));
    vt_json_string(line, "divergence", kind == LOSS_SPIKE ? "spike" : "gradient");
    vt_json_string(line, "action", stops ? "stop" : "skip");
    vt_log_number(line, "step_loss", loop->loss);
    if (kind == LOSS_SPIKE) {
        vt_log_number(line, "running_mean", loop->spikes.paths[loop->path].mean);
        vt_log_number(line, "factor", loop->options->spike);
    }
    variant_status status = vt_train_loop_log(loop, line, err);
    cJSON_Delete(line);
    return status;
}

/* Leaves the step out, or ends the run with the failure it came with. */
static variant_status skip_or_stop(vt_train_loop *loop, divergence kind, variant_status failure,
                                   variant_error *err) {
    variant_error local;
    long long step = (long long)loop->step + 1;
    bool stops = !loop->options->skip_diverged || ++loop->spikes.skipped >= MOST_SKIPPED;
    variant_status logged = log_divergence(loop, kind, stops, stops ? &local : err);
    if (stops) return failure;
    VT_TRY(vt_train_loop_agree(loop, logged, err));
    if (kind == LOSS_SPIKE)
        vt_train_loop_note(loop, "step %lld left out: its loss %g is above %g times the mean, %g",
                           step, loop->loss, loop->options->spike,
                           loop->spikes.paths[loop->path].mean);
    else
        vt_train_loop_note(loop, "step %lld left out: its gradient is not finite", step);
    return VARIANT_OK;
}

/* Which slice follows the one at hand, of this step or the next. */
static vt_ahead_place next_place(const vt_train_loop *loop) {
    const bool same = loop->slice_at + 1 < loop->slices;
    const bool more = same || loop->step + 1 < loop->steps;
    return (vt_ahead_place){
        .step = more ? loop->step + !same : -1,
        .slice = vt_slice_part(&loop->part, loop->slices, same ? loop->slice_at + 1 : 0)};
}

variant_status vt_train_loop_pictures(vt_train_loop *loop, float *out, variant_error *err) {
    const vt_train_data *data = &loop->data;
    const vt_ahead_place at = {loop->step, loop->slice}, next = next_place(loop);
    return vt_ahead_read(data->ahead, &data->pictures, &data->batches, &at, &next, out, err);
}

variant_status vt_train_loop_slices(vt_train_loop *loop,
                                    variant_status (*run)(void *self, vt_train_loop *loop,
                                                          variant_error *err),
                                    void *self, variant_error *err) {
    const int first = loop->kern->dry ? loop->slices - 1 : 0; /* the last is of the largest */
    for (int i = first; i < loop->slices; ++i) {
        const size_t mark = vt_arena_mark(&loop->arena);
        loop->slice = vt_slice_part(&loop->part, loop->slices, i);
        loop->slice_at = i;
        const variant_status status = run(self, loop, err);
        vt_arena_rewind(&loop->arena, mark);
        if (status != VARIANT_OK) return status;
    }
    return VARIANT_OK;
}

/* Loss and gradient of this process's part of the step's batch. */
static variant_status run_part(vt_train_loop *loop, const vt_trainer *trainer, variant_error *err) {
    vt_params_zero_grad(loop->params);
    loop->loss = 0.0;
    vt_batches_select(&loop->data.batches, loop->step);
    if (trainer->plan) VT_TRY(trainer->plan(trainer->self, loop, err));
    return whole(trainer, vt_train_loop_slices(loop, trainer->step, trainer->self, err), err);
}

/* Of the whole batch, summed over the ranks, one of which may have failed. */
static variant_status run_batch(vt_train_loop *loop, const vt_trainer *trainer,
                                variant_error *err) {
    vt_together *together = &loop->together;
    if (is_alone(loop)) {
        VT_TRY(run_part(loop, trainer, err));
    } else {
        vt_together_begin(together, is_due(loop->options->log_every, loop->step + 1));
        const variant_status status = run_part(loop, trainer, err);
        vt_together_finish(together);
        VT_TRY(vt_together_say(together, &loop->loss, status, err));
    }
    if (trainer->count) trainer->count(trainer->self, loop);
    return VARIANT_OK;
}

static variant_status run_step(vt_train_loop *loop, const vt_trainer *trainer, variant_error *err) {
    size_t mark = vt_arena_mark(&loop->arena);
    divergence kind;
    VT_TRY(run_batch(loop, trainer, err)); /* no value has changed */
    loop->rate = vt_lr_at(&loop->options->lr, loop->step, loop->steps);
    variant_status status = update(loop, &kind, err);
    if (kind != NO_DIVERGENCE) {
        VT_TRY(skip_or_stop(loop, kind, status, err));
        vt_arena_rewind(&loop->arena, mark);
        ++loop->step;
        return VARIANT_OK;
    }
    VT_TRY(status);
    loop->spikes.skipped = 0;
    vt_spikes_feed(&loop->spikes, loop->path, loop->loss);
    VT_TRY(trainer->updated(trainer->self, loop, err));
    vt_arena_rewind(&loop->arena, mark);
    ++loop->step;
    ++loop->line_steps;
    loop->line_loss += loop->loss;
    loop->line_norm += loop->norm;
    return VARIANT_OK;
}

/* What is due behind a step but for the checkpoint. */
static variant_status tell(vt_train_loop *loop, const vt_trainer *trainer, variant_error *err) {
    const vt_train_common *options = loop->options;
    const bool last = loop->step == loop->steps, first = vt_train_loop_first(loop);
    const bool logs = is_due(options->log_every, loop->step) || (last && options->log_every > 0),
               evaluates = trainer->evaluate && loop->data.test &&
                           (is_due(options->eval_every, loop->step) || last);
    variant_status status = VARIANT_OK;
    report(loop);
    if (logs) status = write_line(loop, trainer, err);
    if (status == VARIANT_OK && evaluates && first) status = evaluate(loop, trainer, err);
    if (logs || evaluates) VT_TRY(vt_train_loop_agree(loop, status, err));
    if (trainer->sample && first &&
        (is_due(options->sample_every, loop->step) || (last && options->sample_every > 0)))
        sample(loop, trainer);
    return VARIANT_OK;
}

/* Steps are left, and no rank is to stop. */
static bool goes_on(vt_train_loop *loop) {
    if (loop->step >= loop->steps) return false;
    double stopping = vt_train_loop_stopping(loop);
    vt_ranks_sum(loop->together.ranks, &stopping, 1);
    return stopping == 0.0;
}

static variant_status open_log(vt_train_loop *loop, variant_error *err) {
    char path[4096];
    vt_train_loop_path(loop, "log.jsonl", path, sizeof path);
    if (!vt_train_loop_first(loop)) return VARIANT_OK;
    return vt_log_open(&loop->log, path, loop->options->resume ? loop->step : -1, err);
}

variant_status vt_train_loop_run(vt_train_loop *loop, const vt_trainer *trainer,
                                 vt_train_result *result, variant_error *err) {
    const vt_train_common *options = loop->options;
    if (options->stop_after > 0 && loop->step >= options->stop_after)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%s: at step %" PRId64 " already: it cannot stop after step %" PRId64,
                       loop->folder, loop->step, options->stop_after);
    VT_TRY(vt_train_loop_agree(loop, open_log(loop, err), err));
    loop->line_started = vt_seconds();
    int64_t saved = -1;
    while (goes_on(loop)) {
        VT_TRY(run_step(loop, trainer, err));
        VT_TRY(tell(loop, trainer, err));
        if (is_due(options->save_every, loop->step) || loop->step == loop->steps) {
            VT_TRY(save_state(loop, trainer, err));
            saved = loop->step;
        }
    }
    if (saved != loop->step) VT_TRY(save_state(loop, trainer, err));
    *result = (vt_train_result){.stopped = loop->step < loop->steps,
                                .step = loop->step,
                                .steps = loop->steps,
                                .loss = loop->loss};
    return vt_train_loop_agree(loop, save_model(loop, trainer, result, err), err);
}

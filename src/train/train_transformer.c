/* train_transformer.c - trains a transformer on the token maps of a frozen tokenizer; as a
 * supernet, when asked.
 *
 * The two are one: a step runs the full schedule, or, in a supernet's training, with a probability
 * that the phase sets, a subnet's: bridge scales through all layers, later ones through a few.
 * Cross entropy over all scales either way. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/rng.h"
#include "train/loop.h"
#include "train/token_cache.h"

#define EVAL_BATCH 32

/* Sums over tokens, scale by scale. */
typedef struct scale_sums {
    double loss[VT_MAX_SCALES], hits[VT_MAX_SCALES];
    double pictures;
} scale_sums;

typedef struct transformer_job {
    const vt_train_transformer_options *options;
    vt_model *tokenizer_model,
        *full_model; /* opened files; full_model: NULL unless one was given */
    vt_tokenizer *tokenizer;
    vt_transformer *transformer; /* full_model's, or `own` */
    vt_transformer *own;
    vt_transformer_config config;
    vt_supernet_info info;
    vt_dataset *train, *test;
    vt_pictures pictures, test_pictures;
    vt_token_cache cache, test_cache;
    vt_batches batches;
    vt_settings settings;
    int class_count;
    char **class_names;
    vt_schedule full, subnets[VT_MAX_DEPTHS];
    /* host, a batch of them */
    int room;        /* pictures the buffers hold */
    int32_t *tokens; /* (B, L) */
    int32_t *labels; /* (B) */
    float *losses;   /* (B, L) */
    int32_t *hits;   /* (B, L) */
    /* since the last log line */
    scale_sums sums;
    vt_phase_draw draw; /* of the last step */
    int64_t subnet_steps;
    double path_loss[2];
    int64_t path_steps[2];
} transformer_job;

/* ---- a pass over a batch whose tokens and labels are in the job's host buffers ---- */

static void add_sums(scale_sums *sums, const transformer_job *job, int batch) {
    const float *loss = job->losses;
    const int32_t *hit = job->hits;
    for (int b = 0; b < batch; ++b)
        for (int k = 0; k < job->config.scales; ++k)
            for (int i = 0; i < job->config.sides[k] * job->config.sides[k]; ++i) {
                sums->loss[k] += (double)*loss++;
                sums->hits[k] += *hit++;
            }
    sums->pictures += batch;
}

/* Mean over all tokens. */
static double mean_loss(const scale_sums *sums, const vt_transformer_config *config) {
    double sum = 0.0, tokens = 0.0;
    for (int k = 0; k < config->scales; ++k) {
        sum += sums->loss[k];
        tokens += sums->pictures * config->sides[k] * config->sides[k];
    }
    return tokens > 0.0 ? sum / tokens : 0.0;
}

typedef struct pass_request {
    int batch;
    const vt_schedule *schedule;
    float smoothing;
    bool with_gradient;
} pass_request;

static variant_status run_pass(transformer_job *job, vt_train_loop *loop,
                               const pass_request *request, scale_sums *sums, variant_error *err) {
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    const vt_transformer_config *config = &job->config;
    size_t length = (size_t)vt_transformer_tokens(config), total = (size_t)request->batch * length;
    size_t mark = vt_arena_mark(arena);
    variant_status status = VARIANT_OK;
    int32_t *tokens = vt_arena_ints(arena, total), *hits = vt_arena_ints(arena, total);
    float *losses = vt_arena_floats(arena, total);
    float *inputs = vt_arena_floats(arena, total * (size_t)config->latent_dim);
    VT_CHECK(vt_arena_check(arena, "a batch of tokens", err));
    kern->upload(kern, tokens, job->tokens, total * sizeof *tokens);
    VT_CHECK(vt_tokenizer_inputs(job->tokenizer, arena, request->batch, tokens, inputs, NULL, err));
    vt_transformer_pass pass = {.batch = request->batch,
                                .labels = job->labels,
                                .inputs = inputs,
                                .schedule = request->schedule};
    vt_transformer_loss loss = {
        .targets = tokens, .smoothing = request->smoothing, .loss = losses, .hit = hits};
    VT_CHECK(vt_transformer_forward(job->transformer, arena, &pass, err));
    VT_CHECK(vt_transformer_backward(job->transformer, arena, &pass, &loss, request->with_gradient,
                                     err));
    kern->download(kern, job->losses, losses, total * sizeof *losses);
    kern->download(kern, job->hits, hits, total * sizeof *hits);
    add_sums(sums, job, request->batch);
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* ---- a step ---- */

static const vt_schedule *subnet_of(const transformer_job *job, int depth) {
    const vt_phases *phases = &job->options->phases;
    for (int i = 0; i < phases->depth_count; ++i)
        if (phases->depths[i] == depth) return &job->subnets[i];
    return &job->full;
}

static void choose_batch(transformer_job *job, const vt_train_loop *loop) {
    vt_batches *batches = &job->batches;
    uint32_t low = (uint32_t)loop->step, high = (uint32_t)((uint64_t)loop->step >> 32);
    size_t length = (size_t)job->cache.tokens;
    vt_batches_select(batches, loop->step);
    for (int i = 0; i < batches->batch; ++i) {
        const vt_pick *pick = &batches->picks[i];
        vt_token_cache_get(&job->cache, pick->position, pick->flip,
                           job->tokens + (size_t)i * length);
        double u = vt_uniform(loop->options->seed, VT_RNG_DROP, low, high, (uint32_t)i);
        job->labels[i] = u < job->options->label_drop
                             ? job->config.classes
                             : vt_pictures_label(&job->pictures, pick->position);
    }
}

static variant_status transformer_step(void *self, vt_train_loop *loop, variant_error *err) {
    transformer_job *job = self;
    pass_request request = {.batch = job->batches.batch,
                            .schedule = &job->full,
                            .smoothing = (float)job->options->label_smoothing,
                            .with_gradient = true};
    if (job->options->supernet) {
        double epoch = (double)loop->step / (double)loop->steps_per_epoch;
        job->draw =
            vt_phases_draw(&job->options->phases, epoch, loop->options->seed, (uint64_t)loop->step);
        if (job->draw.subnet) request.schedule = subnet_of(job, job->draw.depth);
    }
    choose_batch(job, loop);
    scale_sums sums = {0};
    VT_TRY(run_pass(job, loop, &request, &sums, err));
    loop->loss = mean_loss(&sums, &job->config);
    for (int k = 0; k < job->config.scales; ++k) {
        job->sums.loss[k] += sums.loss[k];
        job->sums.hits[k] += sums.hits[k];
    }
    job->sums.pictures += sums.pictures;
    job->path_loss[job->draw.subnet] += loop->loss;
    ++job->path_steps[job->draw.subnet];
    return VARIANT_OK;
}

static variant_status transformer_updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)loop;
    transformer_job *job = self;
    return vt_transformer_prepare(job->transformer, err); /* refreshes the prepared weights too */
}

/* ---- reports ---- */

/* Adds PREFIXloss_by_scale and PREFIXaccuracy_by_scale, and PREFIXaccuracy over all tokens. */
static void add_scales(cJSON *line, const char *prefix, const scale_sums *sums,
                       const vt_transformer_config *config) {
    double loss[VT_MAX_SCALES], accuracy[VT_MAX_SCALES], hits = 0.0, all = 0.0;
    char key[64];
    for (int k = 0; k < config->scales; ++k) {
        double tokens = sums->pictures * config->sides[k] * config->sides[k];
        if (tokens <= 0.0) tokens = 1.0;
        loss[k] = sums->loss[k] / tokens;
        accuracy[k] = sums->hits[k] / tokens;
        hits += sums->hits[k];
        all += tokens;
    }
    snprintf(key, sizeof key, "%saccuracy", prefix);
    vt_log_number(line, key, hits / all);
    snprintf(key, sizeof key, "%sloss_by_scale", prefix);
    vt_log_numbers(line, key, loss, config->scales);
    snprintf(key, sizeof key, "%saccuracy_by_scale", prefix);
    vt_log_numbers(line, key, accuracy, config->scales);
}

static void transformer_describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)loop;
    transformer_job *job = self;
    add_scales(line, "", &job->sums, &job->config);
    if (job->options->supernet) {
        static const char *const key[2] = {"loss_full", "loss_subnet"};
        cJSON_AddStringToObject(line, "phase", job->draw.phase ? job->draw.phase : "");
        vt_log_number(line, "ratio", job->draw.ratio);
        cJSON_AddNumberToObject(line, "path",
                                job->draw.subnet ? job->draw.depth : job->config.depth);
        double steps = (double)(job->path_steps[0] + job->path_steps[1]);
        vt_log_number(line, "subnet_share", steps > 0.0 ? (double)job->path_steps[1] / steps : 0.0);
        for (int i = 0; i < 2; ++i)
            if (job->path_steps[i])
                vt_log_number(line, key[i], job->path_loss[i] / (double)job->path_steps[i]);
    }
    job->sums = (scale_sums){0};
    memset(job->path_loss, 0, sizeof job->path_loss);
    memset(job->path_steps, 0, sizeof job->path_steps);
}

static variant_status evaluate_schedule(transformer_job *job, vt_train_loop *loop,
                                        const vt_schedule *schedule, scale_sums *sums,
                                        variant_error *err) {
    size_t length = (size_t)job->test_cache.tokens;
    int total = job->test_cache.count, most = job->room < EVAL_BATCH ? job->room : EVAL_BATCH;
    *sums = (scale_sums){0};
    for (int first = 0; first < total; first += most) {
        pass_request request = {.batch = total - first < most ? total - first : most,
                                .schedule = schedule};
        for (int i = 0; i < request.batch; ++i) {
            vt_token_cache_get(&job->test_cache, first + i, false,
                               job->tokens + (size_t)i * length);
            job->labels[i] = vt_pictures_label(&job->test_pictures, first + i);
        }
        VT_TRY(run_pass(job, loop, &request, sums, err));
    }
    return VARIANT_OK;
}

static variant_status transformer_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                           variant_error *err) {
    transformer_job *job = self;
    scale_sums sums;
    cJSON_AddNumberToObject(line, "pictures", job->test_cache.count);
    VT_TRY(evaluate_schedule(job, loop, &job->full, &sums, err));
    vt_log_number(line, "test_loss", mean_loss(&sums, &job->config));
    add_scales(line, "test_", &sums, &job->config);
    if (!job->options->supernet) return VARIANT_OK;
    for (int i = 0; i < job->options->phases.depth_count; ++i) {
        char key[64];
        int depth = job->options->phases.depths[i];
        VT_TRY(evaluate_schedule(job, loop, &job->subnets[i], &sums, err));
        snprintf(key, sizeof key, "test_loss_depth%d", depth);
        vt_log_number(line, key, mean_loss(&sums, &job->config));
        snprintf(key, sizeof key, "test_depth%d_", depth);
        add_scales(line, key, &sums, &job->config);
    }
    return VARIANT_OK;
}

static variant_status transformer_sample(void *self, vt_train_loop *loop, const char *path,
                                         variant_error *err) {
    transformer_job *job = self;
    vt_train_sample sample = {
        .kern = loop->kern,
        .tokenizer = job->tokenizer,
        .transformer = job->transformer,
        .class_count = job->class_count,
        .class_names = job->class_names,
        .supernet = job->options->supernet ? &job->info : NULL,
        .precision = loop->options->precision,
        .step = loop->step,
        .path = path,
    };
    return job->options->sample(loop->options->user, &sample, err);
}

/* ---- files ---- */

static vt_model_save describe_model(transformer_job *job) {
    return (vt_model_save){
        .transformer = job->transformer,
        .class_count = job->class_count,
        .class_names = job->class_names,
        .supernet = job->options->supernet ? &job->info : NULL,
        .type = VT_F32,
    };
}

static variant_status transformer_checkpoint(void *self, vt_train_loop *loop, const char *path,
                                             variant_error *err) {
    transformer_job *job = self;
    vt_checkpoint checkpoint = {.model = describe_model(job),
                                .params = loop->params,
                                .settings = &job->settings,
                                .step = loop->step};
    return vt_checkpoint_write(path, &checkpoint, err);
}

/* The tokenizer goes beside it, so that the folder is a whole model. */
static variant_status transformer_finish(void *self, vt_train_loop *loop, vt_train_result *result,
                                         variant_error *err) {
    transformer_job *job = self;
    char path[4096];
    vt_train_loop_path(loop, "transformer.safetensors", result->model, sizeof result->model);
    char *training = vt_settings_json(&job->settings);
    vt_model_save save = describe_model(job);
    save.training = training;
    variant_status status = vt_model_write(result->model, &save, err);
    cJSON_free(training);
    if (status != VARIANT_OK) return status;
    vt_train_loop_path(loop, "tokenizer.safetensors", path, sizeof path);
    vt_model_save beside = {.tokenizer = job->tokenizer, .type = VT_F32};
    return vt_model_write(path, &beside, err);
}

static variant_status describe_settings(transformer_job *job, const vt_train_loop *loop,
                                        variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    const vt_transformer_config *config = &job->config;
    vt_settings *settings = &job->settings;
    uint64_t tokenizer = 0;
    VT_TRY(vt_params_hash(vt_tokenizer_params(job->tokenizer), &tokenizer, err));
    vt_settings_add(settings, "training", "%s", options->supernet ? "supernet" : "transformer");
    vt_train_settings_common(settings, loop, vt_dataset_hash(job->train));
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
    const vt_phases *phases = &options->phases;
    char list[160] = "";
    size_t used = 0;
    for (int i = 0; i < phases->depth_count && used < sizeof list; ++i)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, i ? ",%d" : "%d", phases->depths[i]);
    vt_settings_add(settings, "depths", "%s", list);
    vt_settings_add(settings, "bridge", "%d", options->bridge);
    vt_settings_add(settings, "layers", "%s", vt_selector_name(options->selector));
    if (phases->fixed_ratio >= 0.0) {
        vt_settings_add(settings, "fixed-ratio", "%g", phases->fixed_ratio);
    } else {
        vt_settings_add(settings, "joint-ratio", "%g", phases->joint_ratio);
        vt_settings_add(settings, "joint-end", "%g", phases->joint_end);
        vt_settings_add(settings, "transition-end", "%g", phases->transition_end);
    }
    return VARIANT_OK;
}

/* ---- a run ---- */

void vt_train_transformer_options_init(vt_train_transformer_options *options) {
    *options = (vt_train_transformer_options){
        .label_drop = 0.1,
        .config = {.depth = 8, .width = 128, .heads = 2, .hidden = 512, .l2_norm = true},
        .phases = {.joint_ratio = 0.2,
                   .joint_end = 2,
                   .transition_end = 8,
                   .fixed_ratio = -1.0,
                   .depth_count = 2,
                   .depths = {4, 2}},
        .bridge = 4,
        .selector = VT_EQUIDISTANT,
    };
    vt_train_common_init(&options->common);
    options->common.lr = (vt_lr){.peak = 1e-3, .end = 2e-5, .cosine = true, .warmup = 200};
}

void vt_train_supernet_options_init(vt_train_transformer_options *options) {
    vt_train_transformer_options_init(options);
    options->supernet = true;
    options->common.epochs = 12.0;
    options->common.lr = (vt_lr){.peak = 2e-4, .end = 4e-6, .cosine = true, .warmup = 100};
}

static variant_status check_options(const vt_train_transformer_options *options,
                                    variant_error *err) {
    VT_TRY(vt_train_common_check(&options->common, err));
    if (!options->tokenizer && !options->model)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no tokenizer given: expected a trained one");
    if (!(options->label_drop >= 0.0 && options->label_drop <= 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "label drop %g: expected 0 to 1",
                       options->label_drop);
    if (!(options->label_smoothing >= 0.0 && options->label_smoothing < 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "label smoothing %g: expected 0 or more, below 1",
                       options->label_smoothing);
    return VARIANT_OK;
}

static variant_status open_models(transformer_job *job, vt_kern *kern, variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    vt_model_options model;
    vt_model_options_init(&model);
    model.need_transformer = false;
    model.model = options->tokenizer ? options->tokenizer : options->model;
    VT_TRY(vt_model_open(&job->tokenizer_model, kern, &model, err));
    job->tokenizer = job->tokenizer_model->tokenizer;
    if (!options->model) return VARIANT_OK;
    vt_model_options_init(&model);
    model.need_tokenizer = false;
    model.copy = true;
    model.weights = options->common.precision;
    model.model = options->model;
    return vt_model_open(&job->full_model, kern, &model, err);
}

static variant_status open_data(transformer_job *job, vt_train_loop *loop, variant_error *err) {
    const vt_train_common *common = loop->options;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(job->tokenizer);
    vt_dataset_options data = {.path = common->data,
                               .side = vt_tokenizer_side(config),
                               .channels = config->channels,
                               .warn = common->note,
                               .user = common->user};
    VT_TRY(vt_dataset_open(&job->train, &data, err));
    vt_train_loop_note_data(loop, job->train);
    vt_pictures_options options = {.dataset = job->train,
                                   .limit = common->limit,
                                   .side = data.side,
                                   .channels = data.channels,
                                   .threads = loop->kern->threads,
                                   .note = common->note,
                                   .user = common->user};
    VT_TRY(vt_pictures_open(&job->pictures, &options, err));
    VT_TRY(vt_batches_open(&job->batches, job->pictures.count, common->batch, common->flip, 0,
                           common->seed, err));
    data.test_split = true;
    data.warn = NULL;
    variant_error local;
    if (vt_dataset_open(&job->test, &data, &local) != VARIANT_OK) {
        vt_train_loop_note(loop, "no evaluation: %s", local.message);
        return VARIANT_OK;
    }
    if (vt_dataset_classes(job->test) > vt_dataset_classes(job->train)) {
        vt_train_loop_note(loop,
                           "no evaluation: the test split has more classes than the training data");
        vt_dataset_close(&job->test);
        return VARIANT_OK;
    }
    options.dataset = job->test;
    options.limit = common->eval_count;
    return vt_pictures_open(&job->test_pictures, &options, err);
}

static variant_status copy_class_names(transformer_job *job, variant_error *err) {
    int count = vt_dataset_classes(job->train);
    job->class_names = calloc((size_t)count, sizeof *job->class_names);
    if (!job->class_names)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d class names", count);
    job->class_count = count;
    for (int i = 0; i < count; ++i) {
        job->class_names[i] = strdup(vt_dataset_class_name(job->train, i));
        if (!job->class_names[i])
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d class names", count);
    }
    return VARIANT_OK;
}

/* The given model must speak the tokenizer's tokens and have the data's classes. */
static variant_status check_fit(const transformer_job *job, variant_error *err) {
    const vt_transformer_config *config = &job->config;
    const vt_tokenizer_config *tokens = vt_tokenizer_configuration(job->tokenizer);
    bool same = config->codes == tokens->codes && config->latent_dim == tokens->latent_dim &&
                config->scales == tokens->scales;
    for (int k = 0; same && k < config->scales; ++k) same = config->sides[k] == tokens->sides[k];
    if (!same)
        return vt_fail(err, VARIANT_E_MODEL,
                       "%s: does not fit the tokenizer (%d codes of %d, %d scales; the tokenizer "
                       "has %d of %d, %d "
                       "scales, or other sides)",
                       job->options->model, config->codes, config->latent_dim, config->scales,
                       tokens->codes, tokens->latent_dim, tokens->scales);
    if (config->classes != vt_dataset_classes(job->train))
        return vt_fail(err, VARIANT_E_MODEL, "%s: has %d classes, the data has %d",
                       job->options->model, config->classes, vt_dataset_classes(job->train));
    return VARIANT_OK;
}

static variant_status open_transformer(transformer_job *job, vt_train_loop *loop,
                                       variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    const vt_tokenizer_config *tokens = vt_tokenizer_configuration(job->tokenizer);
    VT_TRY(copy_class_names(job, err));
    if (job->full_model) {
        job->transformer = job->full_model->transformer;
        job->config = *vt_transformer_configuration(job->transformer);
        VT_TRY(check_fit(job, err));
    } else {
        job->config = options->config;
        job->config.codes = tokens->codes;
        job->config.latent_dim = tokens->latent_dim;
        job->config.classes = vt_dataset_classes(job->train);
        job->config.scales = tokens->scales;
        memcpy(job->config.sides, tokens->sides, sizeof tokens->sides);
        VT_TRY(vt_transformer_open(&job->own, loop->kern, &job->config, err));
        job->transformer = job->own;
        vt_params_set_type(vt_transformer_params(job->own), options->common.precision, true);
        VT_TRY(vt_transformer_initialise(job->own, loop->options->seed, err));
    }
    loop->params = vt_transformer_params(job->transformer);
    return vt_params_train(loop->params, err);
}

static variant_status open_schedules(transformer_job *job, variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    const vt_phases *phases = &options->phases;
    int scales = job->config.scales, depth = job->config.depth;
    VT_TRY(vt_schedule_full(&job->full, scales, depth, err));
    if (!options->supernet) return VARIANT_OK;
    VT_TRY(vt_phases_check(phases, depth, err));
    job->info = (vt_supernet_info){.trained = true,
                                   .bridge = options->bridge,
                                   .depth_count = phases->depth_count,
                                   .selector = options->selector};
    for (int i = 0; i < phases->depth_count; ++i) {
        uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
        job->info.depths[i] = phases->depths[i];
        VT_TRY(vt_layers_select(options->selector, depth, phases->depths[i], keep, err));
        VT_TRY(vt_schedule_zones(&job->subnets[i], scales, depth, options->bridge, keep, err));
    }
    return VARIANT_OK;
}

typedef struct encoding {
    const vt_train_loop *loop;
    double started;
} encoding;

static bool report_encoding(void *user, int done, int total) {
    const encoding *state = user;
    const vt_train_common *common = state->loop->options;
    double seconds = vt_seconds() - state->started;
    if (common->progress) {
        double speed = seconds > 0.0 ? done / seconds : 0.0;
        vt_train_progress progress = {.step = done,
                                      .steps = total,
                                      .pictures_per_second = speed,
                                      .seconds_left = speed > 0.0 ? (total - done) / speed : 0.0,
                                      .doing = "encoding"};
        common->progress(common->user, &progress);
    }
    return !vt_train_loop_stopping(state->loop);
}

static variant_status open_tokens(transformer_job *job, vt_train_loop *loop, variant_error *err) {
    char path[4096];
    encoding state = {.loop = loop, .started = vt_seconds()};
    vt_train_loop_path(loop, "tokens.cache", path, sizeof path);
    vt_token_cache_options options = {
        .arena = &loop->arena,
        .tokenizer = job->tokenizer,
        .pictures = &job->pictures,
        .flip = loop->options->flip,
        .path = job->options->cache ? job->options->cache : path,
        .progress = report_encoding,
        .user = &state,
    };
    VT_TRY(vt_token_cache_open(&job->cache, &options, err));
    if (job->test) {
        options.pictures = &job->test_pictures;
        options.flip = false;
        options.path = NULL;
        state.started = vt_seconds();
        VT_TRY(vt_token_cache_open(&job->test_cache, &options, err));
    }
    job->room = loop->options->batch > EVAL_BATCH ? loop->options->batch : EVAL_BATCH;
    size_t total = (size_t)job->room * (size_t)job->cache.tokens;
    job->tokens = malloc(total * sizeof *job->tokens);
    job->losses = malloc(total * sizeof *job->losses);
    job->hits = malloc(total * sizeof *job->hits);
    job->labels = malloc((size_t)job->room * sizeof *job->labels);
    if (job->tokens && job->losses && job->hits && job->labels) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of tokens");
}

static variant_status take_up(transformer_job *job, vt_train_loop *loop, variant_error *err) {
    char path[4096];
    if (vt_train_loop_resumes(loop, path, sizeof path)) {
        vt_checkpoint checkpoint = {.params = loop->params, .settings = &job->settings};
        VT_TRY(vt_checkpoint_read(path, &checkpoint, err));
        loop->step = checkpoint.step;
        vt_train_loop_note(loop, "going on from step %lld of %lld", (long long)loop->step,
                           (long long)loop->steps);
    }
    return vt_transformer_prepare(job->transformer, err);
}

static void job_close(transformer_job *job) {
    for (int i = 0; i < job->class_count; ++i) free(job->class_names[i]);
    free(job->class_names);
    free(job->tokens);
    free(job->losses);
    free(job->hits);
    free(job->labels);
    vt_token_cache_close(&job->cache);
    vt_token_cache_close(&job->test_cache);
    vt_batches_close(&job->batches);
    vt_pictures_close(&job->pictures);
    vt_pictures_close(&job->test_pictures);
    vt_dataset_close(&job->train);
    vt_dataset_close(&job->test);
    vt_transformer_close(&job->own);
    vt_model_close(&job->full_model);
    vt_model_close(&job->tokenizer_model);
}

variant_status vt_train_transformer(vt_kern *kern, const vt_train_transformer_options *options,
                                    vt_train_result *result, variant_error *err) {
    vt_train_loop loop = {0};
    transformer_job *job = calloc(1, sizeof *job); /* the schedules are large */
    variant_status status = VARIANT_OK;
    if (!job) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a training run");
    job->options = options;
    VT_CHECK(check_options(options, err));
    VT_CHECK(vt_train_loop_open(&loop, kern, &options->common, err));
    VT_CHECK(open_models(job, kern, err));
    VT_CHECK(open_data(job, &loop, err));
    VT_CHECK(open_transformer(job, &loop, err));
    VT_CHECK(open_schedules(job, err));
    vt_train_loop_plan(&loop, vt_batches_per_epoch(&job->batches));
    VT_CHECK(describe_settings(job, &loop, err));
    VT_CHECK(take_up(job, &loop, err));
    VT_CHECK(open_tokens(job, &loop, err));

    vt_train_job steps = {
        .self = job,
        .step = transformer_step,
        .updated = transformer_updated,
        .describe = transformer_describe,
        .evaluate = job->test ? transformer_evaluate : NULL,
        .sample = options->sample ? transformer_sample : NULL,
        .checkpoint = transformer_checkpoint,
        .finish = transformer_finish,
    };
    VT_CHECK(vt_train_loop_run(&loop, &steps, result, err));
cleanup:
    job_close(job);
    free(job);
    vt_train_loop_close(&loop);
    return status;
}

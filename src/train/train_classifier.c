/* train_classifier.c - trains the network that later judges pictures: cross entropy with smoothed
 * labels, on pictures that are shifted, mirrored and partly covered at random.
 *
 * Everything random of a step is keyed by (seed, step, place in the batch), as in batches.c, so a
 * checkpoint needs no more than weights, moments and the step's number. */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "features/classifier.h"
#include "features/features.h"
#include "train/batches.h"
#include "train/checkpoint.h"
#include "train/loop.h"
#include "train/plan.h"
#include "train/token_cache.h"

#define EVAL_BATCH 64
#define MOST_EVALUATIONS 20 /* where no interval is given */
#define SMALLEST_COVER 0.02 /* of a picture's area */
#define LARGEST_COVER 0.2

typedef struct classifier_job {
    vt_train_classifier_options options; /* our own: what is open is settled */
    vt_classifier_config config;
    vt_classifier *classifier;
    vt_dataset *train, *test; /* test NULL: none */
    vt_pictures pictures, test_pictures;
    vt_batches batches;
    vt_settings settings;
    char **class_names;    /* (classes) */
    float *host;           /* (B, side, side, channels): a batch of pictures */
    int32_t *labels;       /* (B) */
    uint64_t started_from; /* of the values that options.model gave */
    /* since the last log line */
    int64_t seen, hits;
} classifier_job;

static size_t picture_floats(const classifier_job *job) {
    return (size_t)job->config.side * (size_t)job->config.side * (size_t)job->config.channels;
}

/* ---- a step ---- */

/* Covers a rectangle of the picture with one shade, by chance `erase`. */
static void cover(const classifier_job *job, uint32_t low, uint32_t high, int place, float *out) {
    const vt_train_common *common = &job->options.common;
    double u[6];
    for (uint32_t i = 0; i < 6; ++i)
        u[i] = vt_uniform(common->seed, VT_RNG_ERASE, low, high, 6 * (uint32_t)place + i);
    if (u[0] >= job->options.erase) return;
    int side = job->config.side, channels = job->config.channels;
    double area = SMALLEST_COVER + u[1] * (LARGEST_COVER - SMALLEST_COVER);
    double stretch = exp2(2.0 * u[2] - 1.0); /* 1/2 to 2 times as wide as high */
    int width = (int)(sqrt(area * stretch) * side), height = (int)(sqrt(area / stretch) * side);
    int left = (int)(u[3] * (side - width + 1)), top = (int)(u[4] * (side - height + 1));
    float shade = (float)(2.0 * u[5] - 1.0);
    for (int y = top; y < top + height; ++y)
        for (int i = left * channels; i < (left + width) * channels; ++i)
            out[y * side * channels + i] = shade;
}

static variant_status classifier_step(void *self, vt_train_loop *loop, variant_error *err) {
    classifier_job *job = self;
    vt_kern *kern = loop->kern;
    int batch = job->batches.batch;
    size_t floats = (size_t)batch * picture_floats(job);
    uint32_t low = (uint32_t)loop->step, high = (uint32_t)((uint64_t)loop->step >> 32);
    vt_batches_select(&job->batches, loop->step);
    VT_TRY(vt_pictures_read(&job->pictures, job->batches.picks, batch, job->host, err));
    for (int i = 0; i < batch; ++i) {
        job->labels[i] = vt_pictures_label(&job->pictures, job->batches.picks[i].position);
        if (job->options.erase > 0.0)
            cover(job, low, high, i, job->host + (size_t)i * picture_floats(job));
    }
    float *pictures = vt_arena_floats(&loop->arena, floats);
    int32_t *targets = vt_arena_ints(&loop->arena, (size_t)batch);
    VT_TRY(vt_arena_check(&loop->arena, "a batch of pictures", err));
    kern->upload(kern, pictures, job->host, floats * sizeof(float));
    kern->upload(kern, targets, job->labels, (size_t)batch * sizeof *targets);
    vt_classifier_pass pass = {.batch = batch,
                               .pictures = pictures,
                               .targets = targets,
                               .smoothing = (float)job->options.label_smoothing};
    VT_TRY(vt_classifier_forward(job->classifier, &loop->arena, &pass, err));
    VT_TRY(vt_classifier_backward(job->classifier, &loop->arena, &pass, err));
    loop->loss = pass.loss;
    job->seen += batch;
    job->hits += pass.hits;
    return VARIANT_OK;
}

static variant_status classifier_updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)self;
    (void)err;
    vt_params_refresh(loop->params);
    return VARIANT_OK;
}

/* ---- reports ---- */

static void classifier_describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)loop;
    classifier_job *job = self;
    vt_log_number(line, "accuracy", job->seen ? (double)job->hits / (double)job->seen : 0.0);
    job->seen = job->hits = 0;
}

/* Of pictures [first, first + count) of the test split: how many get their class, and the sum of their
 * cross entropies. */
static variant_status judge(classifier_job *job, vt_train_loop *loop, int first, int count,
                            float *host, double *loss, int *hits, variant_error *err) {
    const vt_classifier_config *config = &job->config;
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    size_t mark = vt_arena_mark(arena), floats = (size_t)count * picture_floats(job);
    size_t classes = (size_t)config->classes;
    vt_pick picks[EVAL_BATCH];
    variant_status status = VARIANT_OK;
    float *pictures = vt_arena_floats(arena, floats);
    float *pooled = vt_arena_floats(arena, (size_t)count * (size_t)config->features);
    float *logits = vt_arena_floats(arena, (size_t)count * classes);
    for (int i = 0; i < count; ++i) picks[i] = (vt_pick){.position = first + i};
    VT_CHECK(vt_arena_check(arena, "pictures to evaluate", err));
    VT_CHECK(vt_pictures_read(&job->test_pictures, picks, count, host, err));
    kern->upload(kern, pictures, host, floats * sizeof(float));
    VT_CHECK(vt_classifier_run(job->classifier, arena, count, pictures, pooled, logits, err));
    kern->download(kern, host, logits, (size_t)count * classes * sizeof *host);
    for (int i = 0; i < count; ++i) {
        const float *row = host + (size_t)i * classes;
        size_t label = (size_t)vt_pictures_label(&job->test_pictures, first + i), best = 0;
        double sum = 0.0;
        for (size_t j = 1; j < classes; ++j)
            if (row[j] > row[best]) best = j;
        for (size_t j = 0; j < classes; ++j) sum += exp((double)row[j] - (double)row[best]);
        *loss += log(sum) - ((double)row[label] - (double)row[best]);
        *hits += best == label;
    }
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

static variant_status classifier_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                          variant_error *err) {
    classifier_job *job = self;
    size_t wide = picture_floats(job), classes = (size_t)job->config.classes;
    float *host = malloc(EVAL_BATCH * (wide > classes ? wide : classes) * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory to evaluate");
    int total = job->test_pictures.count, hits = 0;
    double loss = 0.0;
    variant_status status = VARIANT_OK;
    for (int first = 0; first < total && status == VARIANT_OK; first += EVAL_BATCH) {
        int count = total - first < EVAL_BATCH ? total - first : EVAL_BATCH;
        status = judge(job, loop, first, count, host, &loss, &hits, err);
    }
    free(host);
    if (status != VARIANT_OK) return status;
    cJSON_AddNumberToObject(line, "pictures", total);
    vt_log_number(line, "test_loss", loss / total);
    vt_log_number(line, "test_accuracy", (double)hits / total);
    vt_train_loop_note(loop, "step %lld: %.2f %% of %d test pictures", (long long)loop->step,
                       100.0 * hits / total, total);
    return VARIANT_OK;
}

/* ---- files ---- */

static variant_status classifier_checkpoint(void *self, vt_train_loop *loop, const char *path,
                                            variant_error *err) {
    classifier_job *job = self;
    char *config = vt_classifier_config_text(&job->config, job->class_names);
    if (!config) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a checkpoint");
    vt_checkpoint checkpoint = {.model = {.params = loop->params, .config = config},
                                .params = loop->params,
                                .settings = &job->settings,
                                .step = loop->step,
                                .steps = loop->steps,
                                .lr = &loop->options->lr,
                                .spikes = &loop->spikes};
    variant_status status = vt_checkpoint_write(path, &checkpoint, err);
    free(config);
    return status;
}

static variant_status classifier_finish(void *self, vt_train_loop *loop, vt_train_result *result,
                                        variant_error *err) {
    classifier_job *job = self;
    vt_train_loop_path(loop, "classifier.safetensors", result->model, sizeof result->model);
    char *config = vt_classifier_config_text(&job->config, job->class_names);
    char *training = vt_settings_json(&job->settings);
    vt_model_save save = {
        .params = loop->params, .config = config, .training = training, .type = VT_F32};
    variant_status status = config && training
                                ? vt_model_write(result->model, &save, err)
                                : vt_fail(err, VARIANT_E_MEMORY, "no memory to write a classifier");
    free(config);
    cJSON_free(training);
    return status;
}

static void describe_settings(classifier_job *job, const vt_train_loop *loop) {
    const vt_classifier_config *config = &job->config;
    vt_settings *settings = &job->settings;
    char list[16 * VT_CLASSIFIER_LEVELS] = "";
    size_t used = 0;
    for (int i = 0; i < config->levels; ++i)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, i ? ",%d" : "%d", config->mult[i]);
    vt_settings_add(settings, "training", "classifier");
    vt_train_settings_common(settings, loop, vt_dataset_hash(job->train));
    vt_settings_add(settings, "side", "%d", config->side);
    vt_settings_add(settings, "channels", "%d", config->channels);
    vt_settings_add(settings, "width", "%d", config->width);
    vt_settings_add(settings, "mult", "%s", list);
    vt_settings_add(settings, "blocks", "%d", config->blocks);
    vt_settings_add(settings, "features", "%d", config->features);
    vt_settings_add(settings, "crop", "%d", job->options.crop);
    vt_settings_add(settings, "erase", "%g", job->options.erase);
    vt_settings_add(settings, "label-smoothing", "%g", job->options.label_smoothing);
    if (job->options.model) vt_settings_add(settings, "model", "%016" PRIx64, job->started_from);
}

/* ---- a run ---- */

void vt_train_classifier_options_init(vt_train_classifier_options *options) {
    *options = (vt_train_classifier_options){
        .config = {.width = 32, .blocks = 1, .features = 64},
        .crop = -1,
        .label_smoothing = 0.05,
    };
    vt_train_common_init(&options->common);
    options->common.eval_count = 0;
    options->common.optimizer.weight_decay = 0.05;
}

static variant_status check_options(const vt_train_classifier_options *options,
                                    variant_error *err) {
    VT_TRY(vt_train_common_check(&options->common, err));
    if (options->crop < -1 || options->crop > 1024)
        return vt_fail(err, VARIANT_E_ARGUMENT, "crop of %d pixels: expected 0 to 1024",
                       options->crop);
    if (!(options->erase >= 0.0 && options->erase <= 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "erase %g: expected a chance, 0 to 1",
                       options->erase);
    if (!(options->label_smoothing >= 0.0 && options->label_smoothing < 1.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "label smoothing %g: expected 0 to below 1",
                       options->label_smoothing);
    return VARIANT_OK;
}

static variant_status check_config(vt_classifier_config config, variant_error *err) {
    if (config.channels == 0) config.channels = 1;
    config.classes = 2; /* the data's, later */
    return vt_classifier_config_check(&config, VARIANT_E_ARGUMENT, err);
}

/* The shape of the run that is gone on with, unless another side was given, which is then told. */
static void recall_shape(const vt_train_loop *loop, vt_classifier_config *config) {
    vt_classifier_config was = *config;
    was.side = 0;
    vt_plan_recall_list(loop, "mult", VT_CLASSIFIER_LEVELS, was.mult, &was.levels);
    vt_plan_recall_int(loop, "side", &was.side);
    if (was.levels < 1 || was.levels > VT_CLASSIFIER_LEVELS) return;
    if (config->side && vt_choose_multiple(config->side, 1 << was.levels) != was.side) return;
    *config = was;
}

static variant_status choose_shape(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    vt_classifier_config *config = &job->config;
    const vt_classifier_config given = *config;
    int crop = -1 - job->options.crop; /* -1, open: 0 */
    if (loop->past) recall_shape(loop, config);
    vt_choose_classifier_shape(config);
    VT_TRY(check_config(*config, err));
    if (given.side && given.side != config->side)
        vt_train_loop_note(loop, "side %d: %d is the nearest that %d levels can halve (--mult)",
                           given.side, config->side, config->levels);
    if (job->options.crop < 0) {
        double was = -1.0;
        vt_plan_recall_double(loop, "crop", &was);
        job->options.crop = was >= 0.0 ? (int)was : config->side / 8 < 4 ? config->side / 8 : 4;
    }
    vt_plan_chose(loop, given.side, "side", "%d", config->side);
    vt_plan_chose_list(loop, given.levels, "mult", config->mult, config->levels);
    vt_plan_chose(loop, crop, "crop", "%d", job->options.crop);
    return VARIANT_OK;
}

static variant_status take_names(classifier_job *job, variant_error *err) {
    int classes = job->config.classes;
    job->class_names = calloc((size_t)classes, sizeof *job->class_names);
    for (int i = 0; job->class_names && i < classes; ++i)
        if (!(job->class_names[i] = strdup(vt_dataset_class_name(job->train, i)))) break;
    if (job->class_names && job->class_names[classes - 1]) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for class names");
}

static variant_status open_data(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    const vt_train_common *common = loop->options;
    vt_classifier_config *config = &job->config;
    int crop = job->options.crop;
    VT_TRY(vt_train_loop_open_data(loop, &common->data, config->side, crop, config->channels,
                                   &job->train, &job->test, err));
    config->channels = vt_dataset_channels(job->train);
    config->classes = vt_dataset_classes(job->train);
    if (config->classes < 2)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: %d class, expected at least 2 to tell apart",
                       common->data.paths[0], config->classes);
    VT_TRY(take_names(job, err));
    vt_pictures_options options = {.dataset = job->train,
                                   .limit = common->limit,
                                   .side = config->side,
                                   .channels = config->channels,
                                   .crop = crop,
                                   .team = loop->kern->team,
                                   .note = common->note,
                                   .user = common->user};
    VT_TRY(vt_pictures_open(&job->pictures, &options, err));
    vt_plan_batch(loop, &job->options.common, VT_TRAIN_CLASSIFIER, job->pictures.count,
                  config->side);
    VT_TRY(vt_batches_open(&job->batches, job->pictures.count, common->batch, common->flip, crop,
                           common->seed, err));
    if (!job->test) return VARIANT_OK;
    options.dataset = job->test;
    options.limit = common->eval_count;
    options.crop = 0;
    return vt_pictures_open(&job->test_pictures, &options, err);
}

/* Values of another run's classifier; the loader names what does not fit. */
static variant_status start_from(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    vt_tensor_file *file = NULL;
    const char *path = job->options.model;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_tensor_file_open(&file, path, err));
    VT_CHECK(vt_features_unwrap(file, err));
    if (!vt_classifier_is(file))
        VT_CHECK(vt_fail(err, VARIANT_E_MODEL,
                         "%s: not a classifier: expected one of `variant train classifier`", path));
    VT_CHECK(vt_params_load(loop->params, file, NULL, true, err));
    VT_CHECK(vt_params_hash(loop->params, &job->started_from, err));
cleanup:
    vt_tensor_file_close(&file);
    return status;
}

static variant_status open_model(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    size_t batch = (size_t)loop->options->batch;
    job->host = malloc(batch * picture_floats(job) * sizeof *job->host);
    job->labels = malloc(batch * sizeof *job->labels);
    if (!job->host || !job->labels)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of %zu pictures", batch);
    VT_TRY(vt_classifier_open(&job->classifier, loop->kern, &job->config, err));
    loop->params = vt_classifier_params(job->classifier);
    vt_params_set_type(loop->params, loop->options->precision, true);
    VT_TRY(vt_classifier_initialise(job->classifier, loop->options->seed, err));
    if (job->options.model) VT_TRY(start_from(job, loop, err));
    return vt_params_train(loop->params, err);
}

static variant_status take_up(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    vt_checkpoint checkpoint = {
        .params = loop->params, .settings = &job->settings, .spikes = &loop->spikes};
    VT_TRY(vt_train_loop_take_up(loop, &checkpoint, err));
    return vt_params_prepare(loop->params, err);
}

/* Length and rates; then all that followed from the data is told. */
static variant_status plan(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    vt_train_common *common = &job->options.common;
    vt_plan plan = {.kind = VT_TRAIN_CLASSIFIER,
                    .pictures = job->pictures.count,
                    .steps_per_epoch = vt_batches_per_epoch(&job->batches)};
    VT_TRY(vt_plan_length(loop, common, &plan, err));
    vt_plan_note(loop);
    if (common->eval_every == 0) { /* every epoch, of many as many as make twenty evaluations */
        int64_t epochs = llround(ceil(vt_plan_epochs(loop) / MOST_EVALUATIONS));
        common->eval_every = loop->steps_per_epoch * (epochs > 1 ? epochs : 1);
    }
    return VARIANT_OK;
}

static void job_close(classifier_job *job) {
    vt_batches_close(&job->batches);
    vt_pictures_close(&job->pictures);
    vt_pictures_close(&job->test_pictures);
    vt_dataset_close(&job->train);
    vt_dataset_close(&job->test);
    vt_classifier_close(&job->classifier);
    for (int i = 0; job->class_names && i < job->config.classes; ++i) free(job->class_names[i]);
    free(job->class_names);
    free(job->host);
    free(job->labels);
}

variant_status vt_train_classifier(vt_kern *kern, const vt_train_classifier_options *options,
                                   vt_train_result *result, variant_error *err) {
    vt_train_loop loop = {0};
    classifier_job job = {.options = *options, .config = options->config};
    variant_status status = VARIANT_OK;
    VT_CHECK(check_options(options, err));
    VT_CHECK(vt_train_loop_begin(&loop, kern, &job.options.common, err));
    VT_CHECK(choose_shape(&job, &loop, err));
    VT_CHECK(vt_train_loop_open(&loop, err));
    VT_CHECK(open_data(&job, &loop, err));
    VT_CHECK(plan(&job, &loop, err));
    VT_CHECK(open_model(&job, &loop, err));
    describe_settings(&job, &loop);
    VT_CHECK(take_up(&job, &loop, err));

    vt_train_job steps = {
        .self = &job,
        .step = classifier_step,
        .updated = classifier_updated,
        .describe = classifier_describe,
        .evaluate = job.test ? classifier_evaluate : NULL,
        .checkpoint = classifier_checkpoint,
        .finish = classifier_finish,
    };
    VT_CHECK(vt_train_loop_run(&loop, &steps, result, err));
cleanup:
    job_close(&job);
    vt_train_loop_close(&loop);
    return status;
}

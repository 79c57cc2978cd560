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
#include "io/json.h"
#include "train/defaults.h"
#include "train/run.h"
#include "train/token_cache.h"

#define EVAL_BATCH 64
#define MOST_EVALUATIONS 20 /* where no interval is given */
#define SMALLEST_COVER 0.02 /* of a picture's area */
#define LARGEST_COVER 0.2

typedef struct classifier_job {
    vt_train_classifier_options options; /* our own: what is open is settled */
    vt_classifier_config config;
    vt_classifier *classifier;
    char *text;      /* the configuration, for files */
    float *host;     /* (B, side, side, channels): a slice's pictures, and what is made of them */
    int32_t *labels; /* (B) */
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

/* The slice in the host's buffers. */
static variant_status read_slice(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    const vt_train_data *data = &loop->data;
    const vt_slice *slice = &loop->slice;
    const vt_pick *picks = data->batches.picks + slice->first;
    uint32_t low = (uint32_t)loop->step, high = (uint32_t)((uint64_t)loop->step >> 32);
    VT_TRY(vt_train_loop_pictures(loop, job->host, err));
    for (int i = 0; i < slice->count; ++i) {
        job->labels[i] = vt_pictures_label(&data->pictures, picks[i].position);
        if (job->options.erase > 0.0)
            cover(job, low, high, slice->first + i, job->host + (size_t)i * picture_floats(job));
    }
    return VARIANT_OK;
}

/* Forward and backward of what is in the host's buffers. */
static variant_status run_slice(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    vt_kern *kern = loop->kern;
    int batch = loop->slice.count;
    size_t floats = (size_t)batch * picture_floats(job);
    float *pictures = vt_arena_floats(&loop->arena, floats);
    int32_t *targets = vt_arena_ints(&loop->arena, (size_t)batch);
    VT_TRY(vt_arena_check(&loop->arena, "a batch of pictures", err));
    kern->upload(kern, pictures, job->host, floats * sizeof(float));
    kern->upload(kern, targets, job->labels, (size_t)batch * sizeof *targets);
    vt_classifier_pass pass = {.batch = batch,
                               .of = loop->slice.of,
                               .recompute = loop->options->recompute,
                               .pictures = pictures,
                               .targets = targets,
                               .smoothing = (float)job->options.label_smoothing};
    VT_TRY(vt_classifier_forward(job->classifier, &loop->arena, &pass, err));
    VT_TRY(vt_classifier_backward(job->classifier, &loop->arena, &pass, err));
    loop->loss += pass.loss;
    job->seen += batch;
    job->hits += pass.hits;
    return VARIANT_OK;
}

static variant_status classifier_step(void *self, vt_train_loop *loop, variant_error *err) {
    VT_TRY(read_slice(self, loop, err));
    return run_slice(self, loop, err);
}

static variant_status classifier_updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)self;
    (void)err;
    vt_params_refresh(loop->params);
    return VARIANT_OK;
}

/* ---- reports ---- */

static void classifier_unite(void *self, variant_ranks *ranks) {
    classifier_job *job = self;
    double sums[] = {(double)job->seen, (double)job->hits};
    vt_ranks_sum(ranks, sums, 2);
    job->seen = (int64_t)sums[0];
    job->hits = (int64_t)sums[1];
}

static void classifier_describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)loop;
    classifier_job *job = self;
    vt_log_number(line, "accuracy", job->seen ? (double)job->hits / (double)job->seen : 0.0);
    job->seen = job->hits = 0;
}

/* `count` pictures on the host become their logits (count, classes) there. */
static variant_status classify(classifier_job *job, vt_train_loop *loop, int count,
                               variant_error *err) {
    const vt_classifier_config *config = &job->config;
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    size_t mark = vt_arena_mark(arena), floats = (size_t)count * picture_floats(job);
    size_t numbers = (size_t)count * (size_t)config->classes;
    variant_status status = VARIANT_OK;
    float *pictures = vt_arena_floats(arena, floats);
    float *pooled = vt_arena_floats(arena, (size_t)count * (size_t)config->features);
    float *logits = vt_arena_floats(arena, numbers);
    VT_CHECK(vt_arena_check(arena, "pictures to evaluate", err));
    kern->upload(kern, pictures, job->host, floats * sizeof(float));
    VT_CHECK(vt_classifier_run(job->classifier, arena, count, pictures, pooled, logits, err));
    VT_CHECK(vt_kern_download(kern, job->host, logits, numbers * sizeof *job->host, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* Of pictures [first, first + count) of the test split: how many get their class, and the sum of their
 * cross entropies. */
static variant_status judge(classifier_job *job, vt_train_loop *loop, int first, int count,
                            double *loss, int *hits, variant_error *err) {
    const vt_pictures *test = &loop->data.test_pictures;
    size_t classes = (size_t)job->config.classes;
    vt_pick picks[EVAL_BATCH];
    for (int i = 0; i < count; ++i) picks[i] = (vt_pick){.position = first + i};
    VT_TRY(vt_pictures_read(test, picks, count, job->host, err));
    VT_TRY(classify(job, loop, count, err));
    for (int i = 0; i < count; ++i) {
        const float *row = job->host + (size_t)i * classes;
        size_t label = (size_t)vt_pictures_label(test, first + i), best = 0;
        double sum = 0.0;
        for (size_t j = 1; j < classes; ++j)
            if (row[j] > row[best]) best = j;
        for (size_t j = 0; j < classes; ++j) sum += exp((double)row[j] - (double)row[best]);
        *loss += log(sum) - ((double)row[label] - (double)row[best]);
        *hits += best == label;
    }
    return VARIANT_OK;
}

static variant_status classifier_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                          variant_error *err) {
    int total = loop->data.test_pictures.count, hits = 0;
    double loss = 0.0;
    for (int first = 0; first < total; first += EVAL_BATCH) {
        int count = total - first < EVAL_BATCH ? total - first : EVAL_BATCH;
        VT_TRY(judge(self, loop, first, count, &loss, &hits, err));
    }
    vt_json_number(line, "pictures", total);
    vt_log_number(line, "test_loss", loss / total);
    vt_log_number(line, "test_accuracy", (double)hits / total);
    vt_train_loop_note(loop, "step %lld: %.2f %% of %d test pictures", (long long)loop->step,
                       100.0 * hits / total, total);
    return VARIANT_OK;
}

/* ---- files ---- */

static vt_model_save classifier_model(void *self, vt_train_loop *loop) {
    const classifier_job *job = self;
    return (vt_model_save){.params = loop->params, .config = job->text, .type = VT_F32};
}

static variant_status classifier_settings(void *self, vt_train_loop *loop, variant_error *err) {
    const classifier_job *job = self;
    const vt_classifier_config *config = &job->config;
    vt_settings *settings = &loop->settings;
    (void)err;
    char list[16 * VT_CLASSIFIER_LEVELS] = "";
    size_t used = 0;
    for (int i = 0; i < config->levels; ++i)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, i ? ",%d" : "%d", config->mult[i]);
    vt_train_settings_common(loop, "classifier", vt_dataset_hash(loop->data.train));
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
    return VARIANT_OK;
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
    vt_defaults_recall_list(loop, "mult", VT_CLASSIFIER_LEVELS, was.mult, &was.levels);
    vt_defaults_recall_int(loop, "side", &was.side);
    if (was.levels < 1 || was.levels > VT_CLASSIFIER_LEVELS) return;
    if (config->side && vt_choose_multiple(config->side, 1 << was.levels) != was.side) return;
    *config = was;
}

static variant_status classifier_shape(void *self, vt_train_loop *loop, vt_train_wanted *wanted,
                                       variant_error *err) {
    classifier_job *job = self;
    vt_classifier_config *config = &job->config;
    const vt_classifier_config given = *config;
    int crop = -1 - job->options.crop; /* -1, open: 0 */
    if (loop->past) recall_shape(loop, config);
    vt_choose_classifier_shape(config);
    VT_TRY(check_config(*config, err));
    if (given.side && given.side != config->side)
        vt_train_loop_note(loop, "side %d: %d is the nearest that %d levels can halve (mult)",
                           given.side, config->side, config->levels);
    if (job->options.crop < 0) {
        double was = -1.0;
        vt_defaults_recall_double(loop, "crop", &was);
        job->options.crop = was >= 0.0 ? (int)was : config->side / 8 < 4 ? config->side / 8 : 4;
    }
    vt_defaults_chose(loop, given.side, "side", "%d", config->side);
    vt_defaults_chose_list(loop, given.levels, "mult", config->mult, config->levels);
    vt_defaults_chose(loop, crop, "crop", "%d", job->options.crop);
    wanted->side = config->side;
    wanted->channels = config->channels;
    wanted->crop = job->options.crop;
    return VARIANT_OK;
}

static variant_status classifier_size(void *self, vt_train_loop *loop, int *width,
                                      variant_error *err) {
    classifier_job *job = self;
    vt_classifier_config *config = &job->config;
    (void)width;
    config->channels = vt_dataset_channels(loop->data.train);
    config->classes = loop->data.class_count;
    if (config->classes >= 2) return VARIANT_OK;
    char name[300];
    vt_data_name(&loop->options->data, name, sizeof name);
    return vt_fail(err, VARIANT_E_FORMAT, "%s: %d class, expected at least 2 to tell apart", name,
                   config->classes);
}

/* Evaluates every epoch, of many as many as make twenty evaluations. */
static variant_status classifier_settle(void *self, vt_train_loop *loop, variant_error *err) {
    classifier_job *job = self;
    (void)err;
    if (job->options.common.eval_every != 0) return VARIANT_OK;
    int64_t epochs = llround(ceil(vt_defaults_epochs(loop) / MOST_EVALUATIONS));
    job->options.common.eval_every = loop->steps_per_epoch * (epochs > 1 ? epochs : 1);
    return VARIANT_OK;
}

/* Values of another run's classifier; the loader names what does not fit. */
static variant_status start_from(classifier_job *job, vt_train_loop *loop, variant_error *err) {
    vt_tensor_file *file = NULL;
    const char *path = job->options.model;
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_tensor_file_open_guarded(&file, path, err));
    if (job->options.common.trust) vt_tensor_file_trust(file);
    VT_CHECK(vt_features_unwrap(file, err));
    if (!vt_classifier_is(file))
        VT_CHECK(vt_fail(err, VARIANT_E_MODEL,
                         "%s: not a classifier: expected one of `variant train classifier`", path));
    VT_CHECK(vt_params_load(loop->params, file, NULL, true, err));
    if (!loop->kern->dry) VT_CHECK(vt_params_hash(loop->params, &job->started_from, err));
cleanup:
    status = vt_tensor_file_settle(file, status, err);
    vt_tensor_file_close(&file);
    return status;
}

/* The most pictures at a time, or what evaluation makes of them. */
static size_t host_floats(const classifier_job *job, const vt_train_loop *loop) {
    size_t wide = picture_floats(job), classes = (size_t)job->config.classes;
    size_t batch = (size_t)loop->slice.count;
    if (!loop->data.test) return batch * wide;
    size_t evaluated = EVAL_BATCH * (wide > classes ? wide : classes);
    return batch * wide > evaluated ? batch * wide : evaluated;
}

static variant_status classifier_open(void *self, vt_train_loop *loop, variant_error *err) {
    classifier_job *job = self;
    size_t batch = (size_t)loop->slice.count;
    job->text = vt_classifier_config_text(&job->config, loop->data.class_names);
    job->host = vt_train_host(loop, host_floats(job, loop), sizeof *job->host);
    job->labels = vt_train_host(loop, batch, sizeof *job->labels);
    if (!job->text || !job->host || !job->labels)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of %zu pictures", batch);
    VT_TRY(vt_classifier_open(&job->classifier, loop->kern, &job->config, err));
    loop->params = vt_classifier_params(job->classifier);
    vt_params_set_type(loop->params, loop->options->precision, true);
    VT_TRY(vt_classifier_initialise(job->classifier, loop->options->seed, err));
    if (job->options.model) VT_TRY(start_from(job, loop, err));
    return vt_train_loop_gradients(loop, err);
}

static variant_status classifier_prepare(void *self, vt_train_loop *loop, variant_error *err) {
    (void)self;
    return vt_params_prepare(loop->params, err);
}

static variant_status classifier_rehearse(void *self, vt_train_loop *loop, vt_train_memory *memory,
                                          variant_error *err) {
    const int tests = loop->data.test ? loop->data.test_pictures.count : 0;
    (void)memory;
    VT_TRY(run_slice(self, loop, err));
    vt_arena_rewind(&loop->arena, 0);
    if (tests == 0) return VARIANT_OK;
    return classify(self, loop, tests < EVAL_BATCH ? tests : EVAL_BATCH, err);
}

static void classifier_close(void *self) {
    classifier_job *job = self;
    vt_classifier_close(&job->classifier);
    free(job->text);
    free(job->host);
    free(job->labels);
    job->text = NULL;
    job->host = NULL;
    job->labels = NULL;
    job->seen = job->hits = 0;
}

variant_status vt_train_classifier(vt_kern *kern, const vt_train_classifier_options *options,
                                   vt_train_result *result, variant_error *err) {
    classifier_job job = {.options = *options, .config = options->config};
    const vt_trainer trainer = {
        .kind = VT_TRAIN_CLASSIFIER,
        .self = &job,
        .common = &job.options.common,
        .shape = classifier_shape,
        .size = classifier_size,
        .settle = classifier_settle,
        .open = classifier_open,
        .prepare = classifier_prepare,
        .rehearse = classifier_rehearse,
        .close = classifier_close,
        .describe_settings = classifier_settings,
        .step = classifier_step,
        .updated = classifier_updated,
        .unite = classifier_unite,
        .describe = classifier_describe,
        .evaluate = classifier_evaluate,
        .file = VARIANT_FEATURES_FILE,
        .model = classifier_model,
    };
    return vt_train_run(kern, &trainer, check_options(options, err), result, err);
}

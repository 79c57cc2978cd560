/* transformer_open.c - what a transformer's training stands on: the models, the data, the schedules of
 * its paths, the pictures as tokens; see transformer_job.h. */
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "train/transformer_job.h"

static variant_status open_models(vt_transformer_job *job, vt_kern *kern, variant_error *err) {
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

static variant_status open_data(vt_transformer_job *job, vt_train_loop *loop, variant_error *err) {
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

static variant_status copy_class_names(vt_transformer_job *job, variant_error *err) {
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
static variant_status check_fit(const vt_transformer_job *job, variant_error *err) {
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

static variant_status open_transformer(vt_transformer_job *job, vt_train_loop *loop,
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

static variant_status open_schedules(vt_transformer_job *job, variant_error *err) {
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

variant_status vt_transformer_job_open(vt_transformer_job *job, vt_train_loop *loop,
                                       variant_error *err) {
    VT_TRY(open_models(job, loop->kern, err));
    VT_TRY(open_data(job, loop, err));
    VT_TRY(open_transformer(job, loop, err));
    return open_schedules(job, err);
}

/* ---- tokens ---- */

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

variant_status vt_transformer_job_open_tokens(vt_transformer_job *job, vt_train_loop *loop,
                                              variant_error *err) {
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
    job->room = loop->options->batch > VT_EVAL_BATCH ? loop->options->batch : VT_EVAL_BATCH;
    size_t total = (size_t)job->room * (size_t)job->cache.tokens;
    job->tokens = malloc(total * sizeof *job->tokens);
    job->losses = malloc(total * sizeof *job->losses);
    job->hits = malloc(total * sizeof *job->hits);
    job->labels = malloc((size_t)job->room * sizeof *job->labels);
    if (job->tokens && job->losses && job->hits && job->labels) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of tokens");
}

void vt_transformer_job_close(vt_transformer_job *job) {
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

/* transformer_open.c - what a transformer's training stands on: the models, the data, the shape, the
 * schedules of its paths; see transformer_job.h. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/defaults.h"
#include "train/transformer_job.h"

/* Over a backend that holds nothing the files' headers are read, and what is odd of them is told. */
static variant_status open_models(vt_transformer_job *job, vt_kern *kern, variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    vt_model_options model;
    vt_model_options_init(&model);
    model.guard = true;
    model.need_transformer = false;
    model.part = options->part;
    model.verify = !options->common.trust;
    model.warn = kern->dry ? options->common.note : NULL;
    model.user = options->common.user;
    model.model = options->tokenizer ? options->tokenizer : options->model;
    model.own_numbers = "to train on"; /* the tokenizer's go into the file that is written */
    VT_TRY(vt_model_open(&job->frozen, kern, &model, err));
    if (!options->model) return vt_model_new(&job->model, kern, err);
    vt_model_options_init(&model);
    model.guard = true;
    model.need_tokenizer = false;
    model.part = options->part;
    model.verify = !options->common.trust;
    model.warn = kern->dry ? options->common.note : NULL;
    model.user = options->common.user;
    model.copy = true;
    model.weights = options->common.precision;
    model.model = options->model;
    return vt_model_open(&job->model, kern, &model, err);
}

/* The tokenizer goes from its file's model to the one in training, which is then whole: it is saved, and drawn
 * from, as any other. Weights in training are no file's, so no hash names them. */
static void take_tokenizer(vt_transformer_job *job) {
    vt_tokenizer_close(
        &job->model->tokenizer); /* of two in one file or folder each, one is too many */
    vt_preview_close(&job->model->preview);
    vt_transformer_close(&job->frozen->transformer);
    job->tokenizer = job->model->tokenizer = job->frozen->tokenizer;
    job->model->preview = job->frozen->preview; /* its record stays there */
    job->frozen->tokenizer = NULL;
    job->frozen->preview = NULL;
    job->model->supernet = (vt_supernet_info){0};
    job->model->hash[0] = '\0';
}

variant_status vt_transformer_job_shape(void *self, vt_train_loop *loop, vt_train_wanted *wanted,
                                        variant_error *err) {
    vt_transformer_job *job = self;
    VT_TRY(open_models(job, loop->kern, err));
    take_tokenizer(job);
    const vt_tokenizer_config *config = vt_tokenizer_configuration(job->tokenizer);
    VT_TRY(vt_data_follow(&wanted->source, job->frozen->training,
                          err)); /* its pictures are the tokenizer's */
    wanted->side = vt_tokenizer_side(config);
    wanted->channels = config->channels;
    wanted->trained_on = job->options->model != NULL;
    return VARIANT_OK;
}

/* The given model must speak the tokenizer's tokens and have the data's classes. */
static variant_status check_fit(const vt_transformer_job *job, int classes, variant_error *err) {
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
    if (config->classes != classes)
        return vt_fail(err, VARIANT_E_MODEL, "%s: has %d classes, the data has %d",
                       job->options->model, config->classes, classes);
    return VARIANT_OK;
}

/* Of a new transformer. */
static void choose_shape(vt_transformer_job *job, vt_train_loop *loop) {
    vt_transformer_config *config = &job->config;
    const vt_transformer_config given = *config;
    const int tokens = vt_tokenizer_tokens(vt_tokenizer_configuration(job->tokenizer));
    vt_defaults_recall_int(loop, "depth", &config->depth);
    vt_defaults_recall_int(loop, "width", &config->width);
    vt_defaults_recall_int(loop, "heads", &config->heads);
    vt_choose_transformer_shape(config, (int64_t)loop->data.pictures.count * tokens);
    if (config->hidden == 0) config->hidden = (int)(job->options->mlp_ratio * config->width + 0.5);
    vt_defaults_chose(loop, given.depth, "depth", "%d", config->depth);
    vt_defaults_chose(loop, given.width, "width", "%d", config->width);
    vt_defaults_chose(loop, given.heads, "heads", "%d", config->heads);
}

variant_status vt_transformer_job_size(void *self, vt_train_loop *loop, int *width,
                                       variant_error *err) {
    vt_transformer_job *job = self;
    const vt_tokenizer_config *tokens = vt_tokenizer_configuration(job->tokenizer);
    if (job->options->model) {
        job->config = *vt_transformer_configuration(job->model->transformer);
        VT_TRY(check_fit(job, loop->data.class_count, err));
    } else {
        job->config = job->options->config;
        choose_shape(job, loop);
        job->config.codes = tokens->codes;
        job->config.latent_dim = tokens->latent_dim;
        job->config.classes = loop->data.class_count;
        job->config.scales = tokens->scales;
        memcpy(job->config.sides, tokens->sides, sizeof tokens->sides);
        VT_TRY(vt_transformer_config_check(&job->config, err));
    }
    *width = job->config.width;
    return VARIANT_OK;
}

/* The phases' ends where they are open, in proportion to the length. */
static void choose_phases(vt_transformer_job *job, vt_train_loop *loop) {
    const vt_train_transformer_options *options = job->options;
    vt_phases *phases = &job->phases;
    bool by_phases = !phases->sandwich && phases->fixed_ratio < 0.0;
    bool joint = phases->joint_end >= 0.0, transition = phases->transition_end >= 0.0;
    vt_defaults_recall_double(loop, "joint-end", &phases->joint_end);
    vt_defaults_recall_double(loop, "transition-end", &phases->transition_end);
    if (phases->joint_end < 0.0)
        phases->joint_end = vt_choose_round(vt_defaults_epochs(loop) / 6.0, 3);
    if (phases->transition_end < 0.0)
        phases->transition_end =
            fmax(phases->joint_end, vt_choose_round(vt_defaults_epochs(loop) / 1.5, 3));
    if (options->supernet && by_phases)
        vt_defaults_chose(loop, joint, "joint-end", "%g", phases->joint_end);
    if (options->supernet && (by_phases || phases->rule == VT_DRAW_DEEPEST_FIRST))
        vt_defaults_chose(loop, transition, "transition-end", "%g", phases->transition_end);
}

/* Of the subnets; a model of one layer has none. */
static variant_status choose_depths(vt_transformer_job *job, vt_train_loop *loop,
                                    variant_error *err) {
    vt_phases *phases = &job->phases;
    const int given = phases->depth_count;
    vt_defaults_recall_list(loop, "depths", VT_MAX_DEPTHS, phases->depths, &phases->depth_count);
    vt_choose_depths(phases, job->config.depth);
    if (phases->depth_count == 0)
        return vt_fail(err, VARIANT_E_MODEL,
                       "a transformer of one layer: expected at least 2 to make a supernet of it");
    vt_defaults_chose_list(loop, given, "depths", phases->depths, phases->depth_count);
    return VARIANT_OK;
}

/* ---- schedules ---- */

/* One subnet a list between semicolons; phases and bridge become what the lists say. */
static variant_status open_lists(vt_transformer_job *job, variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    int scales = job->config.scales, depth = job->config.depth;
    vt_phases *phases = &job->phases;
    if (phases->more_bridge > 0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a list of schedules and a range of the bridge: expected one of them");
    if (strlen(options->schedules) >= 512) /* as much as a checkpoint remembers */
        return vt_fail(err, VARIANT_E_ARGUMENT, "schedules: expected at most 511 characters");
    phases->depth_count = 0;
    job->bridge = scales;
    for (const char *at = options->schedules;;) {
        char text[256];
        size_t length = strcspn(at, ";");
        if (phases->depth_count == VT_MAX_DEPTHS)
            return vt_fail(err, VARIANT_E_ARGUMENT, "schedules %s: expected at most %d",
                           options->schedules, VT_MAX_DEPTHS);
        if (length == 0 || length >= sizeof text)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "schedules %s: expected lists of %d depths with ; between them",
                           options->schedules, scales);
        memcpy(text, at, length);
        text[length] = '\0';
        vt_schedule_request words = {
            .depths = text, .layers = vt_selector_name(options->selector), .bridge = -1};
        vt_schedule *schedule = &job->subnets[phases->depth_count];
        VT_TRY(vt_schedule_resolve(schedule, scales, depth, &words, err));
        int whole = 0;
        while (whole < scales && vt_schedule_depth_at(schedule, whole) == depth) ++whole;
        if (whole < job->bridge) job->bridge = whole;
        phases->depths[phases->depth_count++] = vt_schedule_depth_at(schedule, scales - 1);
        if (!at[length]) return VARIANT_OK;
        at += length + 1;
    }
}

/* What a request that names no bridge runs, or one scale more: both are trained. */
static void choose_bridges(vt_transformer_job *job) {
    static const vt_supernet_info untrained = {0};
    job->bridge = vt_supernet_bridge(&untrained, job->config.scales);
    job->phases.more_bridge = job->bridge + 1 < job->config.scales ? 1 : 0;
}

static bool has_depth(const int *depths, int count, int depth) {
    for (int i = 0; i < count; ++i)
        if (depths[i] == depth) return true;
    return false;
}

/* The depth that most dropped labels are for must be a subnet's. */
static variant_status check_uncond_depth(const vt_transformer_job *job, variant_error *err) {
    const int depth = job->options->uncond_depth;
    if (depth == 0 || has_depth(job->phases.depths, job->phases.depth_count, depth))
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_ARGUMENT,
                   "labels are to be dropped for depth %d: no subnet has so many layers", depth);
}

static variant_status open_zones(vt_transformer_job *job, variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    int scales = job->config.scales, depth = job->config.depth;
    if (job->bridge < 0) choose_bridges(job);
    if (job->phases.more_bridge > 0 && job->bridge + job->phases.more_bridge > scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "the bridge's range ends at %d: this model has %d scales",
                       job->bridge + job->phases.more_bridge, scales);
    for (int i = 0; i < job->phases.depth_count; ++i) {
        uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
        VT_TRY(vt_layers_select(options->selector, depth, job->phases.depths[i], keep, err));
        VT_TRY(vt_schedule_zones(&job->subnets[i], scales, depth, job->bridge, keep, err));
    }
    return VARIANT_OK;
}

/* The trained paths, then half the layers, a quarter, two, so that runs compare. */
static variant_status open_evaluations(vt_transformer_job *job, variant_error *err) {
    const vt_phases *phases = &job->phases;
    int depth = job->config.depth, rest[3] = {depth / 2, depth / 4, 2};
    for (int i = 0; i < phases->depth_count; ++i) {
        struct vt_eval_path *path = &job->evals[i];
        if (job->options->schedules)
            snprintf(path->name, sizeof path->name, "schedule%d", i);
        else
            snprintf(path->name, sizeof path->name, "depth%d", phases->depths[i]);
        path->schedule = job->subnets[i];
    }
    job->eval_count = phases->depth_count;
    for (int i = 0; i < 3; ++i) {
        uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
        bool known =
            has_depth(rest, i, rest[i]) ||
            (!job->options->schedules && has_depth(phases->depths, phases->depth_count, rest[i]));
        if (known || rest[i] < 1 || rest[i] >= depth) continue;
        struct vt_eval_path *path = &job->evals[job->eval_count++];
        snprintf(path->name, sizeof path->name, "depth%d", rest[i]);
        VT_TRY(vt_layers_select(job->options->selector, depth, rest[i], keep, err));
        VT_TRY(
            vt_schedule_zones(&path->schedule, job->config.scales, depth, job->bridge, keep, err));
    }
    return VARIANT_OK;
}

static variant_status open_schedules(vt_transformer_job *job, vt_train_loop *loop,
                                     variant_error *err) {
    const vt_train_transformer_options *options = job->options;
    VT_TRY(vt_schedule_full(&job->full, job->config.scales, job->config.depth, err));
    if (!options->supernet) return VARIANT_OK;
    job->bridge = options->bridge;
    if (options->schedules)
        VT_TRY(open_lists(job, err));
    else
        VT_TRY(choose_depths(job, loop, err));
    if (options->weight_count > 0 && options->weight_count != job->phases.depth_count)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d weights of the draw, expected %d, one a subnet",
                       options->weight_count, job->phases.depth_count);
    VT_TRY(vt_phases_check(&job->phases, job->config.depth, err));
    if (!options->schedules) VT_TRY(open_zones(job, err));
    VT_TRY(check_uncond_depth(job, err));
    job->info =
        (vt_supernet_info){.trained = true, .bridge = job->bridge, .selector = options->selector};
    for (int i = 0; i < job->phases.depth_count; ++i)
        if (!has_depth(job->info.depths, job->info.depth_count, job->phases.depths[i]))
            job->info.depths[job->info.depth_count++] = job->phases.depths[i];
    return open_evaluations(job, err);
}

variant_status vt_transformer_job_settle(void *self, vt_train_loop *loop, variant_error *err) {
    vt_transformer_job *job = self;
    job->phases = job->options->phases;
    choose_phases(job, loop);
    return open_schedules(job, loop, err);
}

/* ---- the model in training ---- */

/* Buffers of a slice on the host. */
static variant_status open_host(vt_transformer_job *job, vt_train_loop *loop, variant_error *err) {
    const int batch = loop->slice.count;
    const bool whole = loop->slices == 1;
    job->room = whole && loop->data.test && batch < VT_EVAL_BATCH ? VT_EVAL_BATCH : batch;
    size_t pictures = (size_t)job->room;
    size_t total = pictures * (size_t)vt_transformer_tokens(&job->config);
    bool distills = job->options->supernet && job->options->distill > 0.0;
    job->tokens = vt_train_host(loop, total, sizeof *job->tokens);
    job->losses = vt_train_host(loop, total, sizeof *job->losses);
    job->hits = vt_train_host(loop, total, sizeof *job->hits);
    job->labels = vt_train_host(loop, pictures, sizeof *job->labels);
    if (distills) job->kls = vt_train_host(loop, total, sizeof *job->kls);
    if (job->tokens && job->losses && job->hits && job->labels && (job->kls || !distills))
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of tokens");
}

static variant_status open_model(vt_transformer_job *job, vt_train_loop *loop, variant_error *err) {
    const vt_train_data *data = &loop->data;
    if (!job->model) { /* the first time it is there, for its shape */
        VT_TRY(open_models(job, loop->kern, err));
        take_tokenizer(job);
    }
    job->model->supernet = job->info;
    VT_TRY(vt_model_set_class_names(job->model, (const char *const *)data->class_names,
                                    data->class_count, err));
    if (!job->options->model) {
        VT_TRY(vt_transformer_open(&job->model->transformer, loop->kern, &job->config, err));
        vt_params *params = vt_transformer_params(job->model->transformer);
        vt_params_set_type(params, loop->options->precision, true);
        VT_TRY(vt_transformer_initialise(job->model->transformer, loop->options->seed, err));
    }
    job->transformer = job->model->transformer;
    return VARIANT_OK;
}

variant_status vt_transformer_job_open(void *self, vt_train_loop *loop, variant_error *err) {
    vt_transformer_job *job = self;
    VT_TRY(open_model(job, loop, err));
    VT_TRY(open_host(job, loop, err));
    loop->frozen = vt_tokenizer_params(job->tokenizer);
    if (job->model->preview) loop->beside = vt_preview_params(job->model->preview);
    loop->params = vt_transformer_params(job->transformer);
    return vt_train_loop_gradients(loop, err);
}

variant_status vt_transformer_job_whole(void *self, variant_status status, variant_error *err) {
    const vt_transformer_job *job = self;
    variant_error cut;
    if (vt_tensor_file_intact(job->cache.file, &cut) == VARIANT_OK &&
        vt_model_intact(job->frozen, &cut) == VARIANT_OK)
        return status;
    return vt_fail(err, VARIANT_E_IO, "%s", cut.message);
}

void vt_transformer_job_close(void *self) {
    vt_transformer_job *job = self;
    free(job->tokens);
    free(job->losses);
    free(job->hits);
    free(job->kls);
    free(job->labels);
    job->tokens = job->labels = job->hits = NULL;
    job->losses = job->kls = NULL;
    vt_token_cache_close(&job->cache);
    vt_token_cache_close(&job->test_cache);
    vt_model_close(&job->model); /* before the file that its tokenizer is mapped from */
    vt_model_close(&job->frozen);
    job->tokenizer = NULL;
    job->transformer = NULL;
}

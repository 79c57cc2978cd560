/* classifier.c - the network: inference, and forward and backward side by side (see classifier.h). Its
 * files are classifier_file.c. */
#include "features/classifier.h"

#include <limits.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "features/classifier_parts.h"

#define LARGEST_BATCH 65536

/* ---- building ---- */

static variant_status build(vt_classifier *classifier, variant_error *err) {
    const vt_classifier_config *config = &classifier->config;
    vt_picture_chain *chain = &classifier->chain;
    vt_picture_chain_init(chain, &classifier->params, config->side, config->channels);
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->width * config->mult[0], 2,
                         "classifier.stem");
    for (int i = 0; i < config->levels; ++i) {
        int width = config->width * config->mult[i];
        if (i > 0) vt_picture_chain_add(chain, VT_PICTURE_CONV, width, 2, "classifier.down.%d", i);
        for (int j = 0; j < config->blocks; ++j)
            vt_picture_chain_add(chain, VT_PICTURE_RESNET, width, 1, "classifier.level.%d.block.%d",
                                 i, j);
    }
    vt_picture_chain_add(chain, VT_PICTURE_NORM, 0, 1, "classifier.norm_out");
    vt_picture_chain_add(chain, VT_PICTURE_CONV, config->features, 1, "classifier.conv_out");
    VT_TRY(vt_picture_chain_finish(chain, err));
    if (!vt_linear_add(&classifier->head, &classifier->params, "classifier.head", config->classes,
                       config->features, true))
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a classifier");
    classifier->head.weight->flags |= VT_PARAM_EXACT; /* small, and it decides */
    return VARIANT_OK;
}

variant_status vt_classifier_open(vt_classifier **out, vt_kern *kern,
                                  const vt_classifier_config *config, variant_error *err) {
    *out = NULL;
    VT_TRY(vt_classifier_config_check(config, VARIANT_E_ARGUMENT, err));
    vt_classifier *classifier = calloc(1, sizeof *classifier);
    if (!classifier) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a classifier");
    classifier->kern = kern;
    classifier->config = *config;
    vt_params_init(&classifier->params, kern);
    variant_status status = build(classifier, err);
    if (status != VARIANT_OK) vt_classifier_close(&classifier);
    *out = classifier;
    return status;
}

void vt_classifier_close(vt_classifier **classifier) {
    if (!classifier || !*classifier) return;
    vt_classifier *c = *classifier;
    vt_picture_chain_close(&c->chain);
    vt_params_close(&c->params);
    for (int i = 0; c->class_names && i < c->config.classes; ++i) free(c->class_names[i]);
    free(c->class_names);
    free(c);
    *classifier = NULL;
}

const vt_classifier_config *vt_classifier_configuration(const vt_classifier *classifier) {
    return &classifier->config;
}

vt_params *vt_classifier_params(vt_classifier *classifier) {
    return &classifier->params;
}

const char *vt_classifier_class_name(const vt_classifier *classifier, int label) {
    if (!classifier->class_names || label < 0 || label >= classifier->config.classes) return NULL;
    return classifier->class_names[label];
}

/* ---- values for training from nothing ---- */

static double fan_in(const vt_param *w) {
    return (double)w->count / (double)w->shape[0];
}

/* Matrices, convolutions and their biases uniform in +-1/sqrt(fan in), norms 1 and 0. A bias is
 * registered right after its weight; a norm's scale has rank 1 and ends in "weight". */
static void initial_values(const vt_params *params, int i, uint64_t seed, float *out) {
    const vt_param *param = params->items[i];
    const vt_param *before = i > 0 ? params->items[i - 1] : NULL;
    const char *last = strrchr(param->name, '.');
    double bound = 0.0, constant = 0.0;
    if (param->rank >= 2)
        bound = 1.0 / sqrt(fan_in(param));
    else if (last && strcmp(last, ".weight") == 0)
        constant = 1.0;
    else if (before && before->rank >= 2)
        bound = 1.0 / sqrt(fan_in(before));
    for (size_t j = 0; j < param->count; ++j) {
        double u = bound > 0.0 ? vt_uniform(seed, VT_RNG_INIT, (uint32_t)i, (uint32_t)j,
                                            (uint32_t)((uint64_t)j >> 32))
                               : 0.5;
        out[j] = (float)(constant + bound * (2.0 * u - 1.0));
    }
}

variant_status vt_classifier_initialise(vt_classifier *classifier, uint64_t seed,
                                        variant_error *err) {
    vt_params *params = &classifier->params;
    variant_status status = VARIANT_OK;
    size_t largest = 1;
    if (!params->values) VT_TRY(vt_params_allocate(params, err));
    if (params->kern->dry) return VARIANT_OK;
    for (int i = 0; i < params->count; ++i)
        if (params->items[i]->count > largest) largest = params->items[i]->count;
    float *values = malloc(largest * sizeof *values);
    if (!values) return vt_fail(err, VARIANT_E_MEMORY, "no memory for initial values");
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        initial_values(params, i, seed, values);
        VT_CHECK(vt_param_upload(params, param, values, param->value, err));
    }
    if (classifier->head.weight->weight) vt_params_refresh(params);
cleanup:
    free(values);
    return status;
}

/* ---- running ---- */

static variant_status start_run(const vt_classifier *classifier, vt_arena *arena, int batch,
                                bool training, vt_picture_run *run, variant_error *err) {
    int64_t side = classifier->config.side;
    const vt_param *head = classifier->head.weight;
    if (batch < 1 || batch > LARGEST_BATCH || batch * side * side > INT_MAX)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "classifier: a batch of %d pictures of side %d, expected at least 1 and "
                       "fewer than 2^31 pixels",
                       batch, (int)side);
    if (!head->weight || (training && !head->grad))
        return vt_fail(err, VARIANT_E_ARGUMENT, "classifier: its parameters have no %s yet",
                       head->weight ? "gradients" : "values");
    *run = (vt_picture_run){.kern = vt_arena_kern(arena, classifier->kern),
                            .arena = arena,
                            .batch = batch,
                            .training = training};
    return VARIANT_OK;
}

variant_status vt_classifier_run(vt_classifier *classifier, vt_arena *arena, int batch,
                                 const float *pictures, float *pooled, float *logits,
                                 variant_error *err) {
    const vt_classifier_config *config = &classifier->config;
    vt_picture_run run;
    VT_TRY(start_run(classifier, arena, batch, false, &run, err));
    size_t mark = vt_arena_mark(arena);
    int side = classifier->chain.side;
    variant_status status = VARIANT_OK;
    float *map = vt_arena_floats(arena, vt_picture_floats(&run, side, config->features));
    VT_CHECK(vt_arena_check(arena, "a classifier's map", err));
    VT_CHECK(vt_picture_chain_forward(&classifier->chain, &run, pictures, map, err));
    run.kern->resize_area(run.kern, pooled, map, batch, side, 1, config->features);
    VT_CHECK(vt_linear_forward(run.kern, &classifier->head, arena, logits, pooled, batch, 1, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* The losses of the batch, and the gradient of their mean. */
static variant_status judge(vt_kern *kern, vt_arena *arena, const vt_classifier_config *config,
                            vt_classifier_pass *pass, variant_error *err) {
    size_t count = (size_t)pass->batch, mark = vt_arena_mark(arena);
    const int of = pass->of > 0 ? pass->of : pass->batch;
    float *losses = vt_arena_floats(arena, count);
    int32_t *hits = vt_arena_ints(arena, count);
    VT_TRY(vt_arena_check(arena, "a classifier's losses", err));
    float *host = malloc(count * (sizeof(float) + sizeof(int32_t)));
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu losses", count);
    int32_t *host_hits = (int32_t *)(void *)(host + count);
    vt_cross_entropy loss = {.logits = pass->logits,
                             .targets = pass->targets,
                             .dlogits = pass->dlogits,
                             .loss = losses,
                             .hit = hits,
                             .rows = pass->batch,
                             .vocab = config->classes,
                             .smoothing = pass->smoothing,
                             .weight = 1.0f / (float)of};
    kern->cross_entropy(kern, &loss);
    kern->download(kern, host, losses, count * sizeof *host);
    variant_status status = vt_kern_download(kern, host_hits, hits, count * sizeof *host_hits, err);
    pass->loss = 0.0;
    pass->hits = 0;
    for (size_t i = 0; i < count; ++i) {
        pass->loss += (double)host[i] / (double)of;
        pass->hits += host_hits[i] != 0;
    }
    free(host);
    vt_arena_rewind(arena, mark);
    return status;
}

variant_status vt_classifier_forward(vt_classifier *classifier, vt_arena *arena,
                                     vt_classifier_pass *pass, variant_error *err) {
    const vt_classifier_config *config = &classifier->config;
    vt_picture_run run;
    VT_TRY(start_run(classifier, arena, pass->batch, true, &run, err));
    run.recompute = pass->recompute;
    int side = classifier->chain.side;
    size_t batch = (size_t)pass->batch, logits = batch * (size_t)config->classes;
    pass->pooled = vt_arena_floats(arena, batch * (size_t)config->features);
    pass->logits = vt_arena_floats(arena, logits);
    pass->dlogits = vt_arena_floats(arena, logits);
    float *map = vt_arena_floats(arena, vt_picture_floats(&run, side, config->features));
    VT_TRY(vt_arena_check(arena, "a classifier's training pass", err));
    VT_TRY(vt_picture_chain_forward(&classifier->chain, &run, pass->pictures, map, err));
    run.kern->resize_area(run.kern, pass->pooled, map, pass->batch, side, 1, config->features);
    VT_TRY(vt_linear_forward(run.kern, &classifier->head, arena, pass->logits, pass->pooled, 1,
                             pass->batch, err));
    return judge(run.kern, arena, config, pass, err);
}

/* The mean's gradient goes to every pixel alike: dmap = dpooled x 1/pixels. */
static void unpool(const vt_picture_run *run, float *dmap, float *ones, const float *dpooled,
                   int pixels, int features) {
    vt_kern *kern = run->kern;
    size_t count = (size_t)run->batch * (size_t)pixels * (size_t)features;
    vt_kern_fill(kern, dmap, 0.0f, count);
    vt_kern_fill(kern, ones, 1.0f / (float)pixels, count);
    kern->gate_add(kern, dmap, ones, dpooled, (size_t)features, run->batch, pixels, features);
}

variant_status vt_classifier_backward(vt_classifier *classifier, vt_arena *arena,
                                      const vt_classifier_pass *pass, variant_error *err) {
    const vt_classifier_config *config = &classifier->config;
    vt_picture_run run;
    VT_TRY(start_run(classifier, arena, pass->batch, true, &run, err));
    run.recompute = pass->recompute;
    if (!pass->dlogits)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "classifier: backward without a forward pass before it");
    int side = classifier->chain.side;
    size_t mark = vt_arena_mark(arena);
    size_t floats = vt_picture_floats(&run, side, config->features);
    float *dpooled = vt_arena_floats(arena, (size_t)pass->batch * (size_t)config->features);
    float *dmap = vt_arena_floats(arena, floats), *ones = vt_arena_floats(arena, floats);
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_arena_check(arena, "a classifier's backward pass", err));
    vt_product_grad head = {
        .dy = pass->dlogits, .groups = 1, .rows = pass->batch, .dx = dpooled, .x = pass->pooled};
    VT_CHECK(vt_linear_backward(run.kern, &classifier->head, arena, &head, err));
    unpool(&run, dmap, ones, dpooled, side * side, config->features);
    VT_CHECK(vt_picture_chain_backward(&classifier->chain, &run, dmap, NULL, err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

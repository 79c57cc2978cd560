/* classifier_file.c - a classifier's configuration as JSON, opening its file, and the classifier as a
 * feature network (network.h). */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/class_name.h"
#include "core/limits.h"
#include "features/classifier_parts.h"
#include "features/network.h"
#include "io/json.h"
#include "kern/dry.h"

#define CONFIG_KEY "variant.config"
#define KIND "classifier"
#define LARGEST_SIDE 1024
#define LARGEST_WIDTH 4096
#define LARGEST_BLOCKS 16
#define LARGEST_FEATURES 4096
#define MOST_CLASSES 100000

/* ---- configuration ---- */

static variant_status check_range(const char *what, int value, int low, int high,
                                  variant_status code, variant_error *err) {
    if (value >= low && value <= high) return VARIANT_OK;
    return vt_fail(err, code, "classifier: %s is %d, expected %d to %d", what, value, low, high);
}

variant_status vt_classifier_config_check(const vt_classifier_config *config, variant_status code,
                                          variant_error *err) {
    if (config->channels != 1 && config->channels != 3)
        return vt_fail(err, code, "classifier: pictures of %d channels, expected 1 or 3",
                       config->channels);
    VT_TRY(check_range("the number of levels", config->levels, 1, VT_CLASSIFIER_LEVELS, code, err));
    VT_TRY(check_range("the side of pictures", config->side, 2, LARGEST_SIDE, code, err));
    if (config->side % (1 << config->levels) != 0)
        return vt_fail(err, code,
                       "classifier: side %d cannot be halved by each of %d levels, expected a "
                       "multiple of %d",
                       config->side, config->levels, 1 << config->levels);
    VT_TRY(check_range("the width", config->width, VT_NORM_GROUPS, LARGEST_WIDTH, code, err));
    if (config->width % VT_NORM_GROUPS != 0)
        return vt_fail(err, code, "classifier: width %d is not a multiple of %d", config->width,
                       VT_NORM_GROUPS);
    for (int i = 0; i < config->levels; ++i)
        VT_TRY(check_range("a level's width multiplier", config->mult[i], 1,
                           LARGEST_WIDTH / config->width, code, err));
    VT_TRY(
        check_range("the number of blocks a level", config->blocks, 1, LARGEST_BLOCKS, code, err));
    VT_TRY(check_range("the number of features", config->features, 1, LARGEST_FEATURES, code, err));
    return check_range("the number of classes", config->classes, 2, MOST_CLASSES, code, err);
}

char *vt_classifier_config_text(const vt_classifier_config *config, char *const *class_names) {
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "format", 1);
    vt_json_string(json, "kind", KIND);
    cJSON *own = vt_json_object(json, KIND);
    vt_json_number(own, "side", config->side);
    vt_json_number(own, "channels", config->channels);
    vt_json_number(own, "width", config->width);
    vt_json_put(own, "mult", cJSON_CreateIntArray(config->mult, config->levels));
    vt_json_number(own, "blocks", config->blocks);
    vt_json_number(own, "features", config->features);
    vt_json_number(own, "classes", config->classes);
    if (class_names)
        vt_json_put(json, "classes",
                    cJSON_CreateStringArray((const char *const *)class_names, config->classes));
    char *text = vt_json_text(json);
    cJSON_Delete(json);
    return text;
}

bool vt_classifier_is(const vt_tensor_file *file) {
    const char *text = vt_tensor_file_meta(file, CONFIG_KEY);
    cJSON *json = vt_json_of(text);
    const cJSON *kind = cJSON_GetObjectItemCaseSensitive(json, "kind");
    bool is = cJSON_IsString(kind) && strcmp(kind->valuestring, KIND) == 0;
    is = is || vt_json_lacked_memory(json, text); /* loading it will say so */
    cJSON_Delete(json);
    return is;
}

static int number(const cJSON *object, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
    return cJSON_IsNumber(item) ? item->valueint : 0;
}

/* What is missing is 0 and out of bounds. */
static void read_config(const cJSON *own, vt_classifier_config *out) {
    *out = (vt_classifier_config){.side = number(own, "side"),
                                  .channels = number(own, "channels"),
                                  .width = number(own, "width"),
                                  .blocks = number(own, "blocks"),
                                  .features = number(own, "features"),
                                  .classes = number(own, "classes")};
    const cJSON *mult = cJSON_GetObjectItemCaseSensitive(own, "mult"), *item;
    if (!cJSON_IsArray(mult) || cJSON_GetArraySize(mult) > VT_CLASSIFIER_LEVELS) return;
    cJSON_ArrayForEach(item, mult) {
        out->mult[out->levels++] = cJSON_IsNumber(item) ? item->valueint : 0;
    }
}

static variant_status read_names(vt_classifier *classifier, const cJSON *names, const char *path,
                                 variant_error *err) {
    if (!names) return VARIANT_OK;
    int classes = classifier->config.classes, at = 0;
    if (!cJSON_IsArray(names) || cJSON_GetArraySize(names) != classes)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: metadata %s: expected %d class names", path,
                       CONFIG_KEY, classes);
    classifier->class_names = calloc((size_t)classes, sizeof *classifier->class_names);
    if (!classifier->class_names) return vt_fail(err, VARIANT_E_MEMORY, "no memory for names");
    const cJSON *item;
    cJSON_ArrayForEach(item, names) {
        if (!cJSON_IsString(item))
            return vt_fail(err, VARIANT_E_FORMAT, "%s: metadata %s: class %d has no name", path,
                           CONFIG_KEY, at);
        classifier->class_names[at] = vt_class_name_mended(item->valuestring);
        if (!classifier->class_names[at++])
            return vt_fail(err, VARIANT_E_MEMORY, "no memory for names");
    }
    return VARIANT_OK;
}

/* A named tensor belongs to somebody; a checkpoint's "training/..." belong to the training. */
static variant_status check_surplus(const vt_classifier *classifier, const vt_tensor_file *file,
                                    variant_error *err) {
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        const char *name = tensor->name;
        if (tensor->type == VT_OTHER) continue; /* no weight is of a type that is not read */
        if (strncmp(name, "training/", 9) != 0 && !vt_params_find(&classifier->params, name))
            return vt_fail(err, VARIANT_E_MODEL, "%s: tensor %s is not one of a classifier's",
                           vt_tensor_file_path(file), name);
    }
    return VARIANT_OK;
}

variant_status vt_classifier_load(vt_classifier **out, vt_kern *kern, const vt_tensor_file *file,
                                  variant_error *err) {
    *out = NULL;
    const char *path = vt_tensor_file_path(file), *text = vt_tensor_file_meta(file, CONFIG_KEY);
    vt_classifier *classifier = NULL;
    vt_classifier_config config;
    variant_status status = VARIANT_OK;
    cJSON *json = vt_json_of(text);
    if (vt_json_lacked_memory(json, text))
        return vt_fail(err, VARIANT_E_MEMORY, "%s: no memory for its configuration", path);
    const cJSON *own = cJSON_GetObjectItemCaseSensitive(json, KIND);
    if (!cJSON_IsObject(own))
        VT_CHECK(vt_fail(err, VARIANT_E_FORMAT, "%s: not a classifier: no metadata %s that says so",
                         path, CONFIG_KEY));
    read_config(own, &config);
    if (vt_classifier_config_check(&config, VARIANT_E_FORMAT, err) != VARIANT_OK)
        VT_CHECK(vt_fail_within(err, VARIANT_E_FORMAT, "%s: metadata %s", path, CONFIG_KEY));
    VT_CHECK(vt_classifier_open(&classifier, kern, &config, err));
    VT_CHECK(read_names(classifier, cJSON_GetObjectItemCaseSensitive(json, "classes"), path, err));
    VT_CHECK(check_surplus(classifier, file, err));
    VT_CHECK(vt_params_load(&classifier->params, file, NULL, false, err));
    VT_CHECK(vt_params_prepare(&classifier->params, err));
cleanup:
    cJSON_Delete(json);
    if (status != VARIANT_OK) vt_classifier_close(&classifier);
    *out = classifier;
    return status;
}

/* ---- as a feature network ---- */

typedef struct classifier_features {
    vt_features base;
    vt_kern *kern;
    vt_classifier *classifier;
    vt_arena arena;
    void *memory;
    size_t memory_bytes;
} classifier_features;

static const char *class_name(const vt_features *features, int label) {
    const classifier_features *self = (const classifier_features *)(const void *)features;
    return vt_classifier_class_name(self->classifier, label);
}

/* Pictures at a time: few of large ones. */
static int most_together(const vt_classifier_config *config) {
    int most = (1 << 17) / (config->side * config->side);
    return most < 1 ? 1 : most > 64 ? 64 : most;
}

/* A batch of n; arena memory. */
typedef struct batch_buffers {
    size_t pixels, floats;
    float *input;  /* (n, side, side, channels) */
    float *pooled; /* (n, D) */
    float *logits; /* (n, classes) */
} batch_buffers;

static batch_buffers batch_take(const vt_classifier_config *config, vt_arena *arena, int n) {
    size_t count = (size_t)n, side = (size_t)config->side;
    batch_buffers out = {.pixels = count * side * side};
    out.floats = out.pixels * (size_t)config->channels;
    out.input = vt_arena_floats(arena, out.floats);
    out.pooled = vt_arena_floats(arena, count * (size_t)config->features);
    out.logits = vt_arena_floats(arena, count * (size_t)config->classes);
    return out;
}

/* One batch: outputs from picture `first` on. host: (n, side, side, channels) and (n, classes) floats. */
static variant_status run_some(classifier_features *self, const vt_features_batch *all, int first,
                               int n, float *host, variant_error *err) {
    const vt_classifier_config *config = vt_classifier_configuration(self->classifier);
    vt_kern *kern = self->kern;
    vt_arena *arena = &self->arena;
    size_t mark = vt_arena_mark(arena), at = (size_t)first;
    size_t dims = (size_t)config->features, classes = (size_t)config->classes;
    variant_status status = VARIANT_OK;
    batch_buffers b = batch_take(config, arena, n);
    float *host_logits = host + b.floats;
    VT_CHECK(vt_arena_check(arena, "pictures to classify", err));
    vt_features_spread(host,
                       all->pictures +
                           at * (size_t)config->side * (size_t)config->side * (size_t)all->channels,
                       b.pixels, all->channels, config->channels);
    kern->upload(kern, b.input, host, b.floats * sizeof *host);
    VT_CHECK(vt_classifier_run(self->classifier, arena, n, b.input, b.pooled, b.logits, err));
    if (all->pooled)
        VT_CHECK(vt_kern_download(kern, all->pooled + at * dims, b.pooled,
                                  (size_t)n * dims * sizeof *b.pooled, err));
    if (all->probabilities) {
        VT_CHECK(vt_kern_download(kern, host_logits, b.logits,
                                  (size_t)n * classes * sizeof *b.logits, err));
        for (size_t i = 0; i < (size_t)n; ++i)
            vt_features_softmax(host_logits + i * classes, config->classes,
                                all->probabilities + (at + i) * classes);
    }
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* An arena of what the largest batch takes, found by running it over a backend that computes nothing. */
static variant_status reserve(classifier_features *self, variant_error *err) {
    const vt_classifier_config *config = vt_classifier_configuration(self->classifier);
    const int n = most_together(config);
    vt_dry_kern dry;
    vt_arena counted;
    vt_limits limits;
    vt_dry_kern_init(&dry, self->kern);
    vt_arena_init_counting(&counted, &dry.kern);
    batch_buffers b = batch_take(config, &counted, n);
    VT_TRY(vt_classifier_run(self->classifier, &counted, n, b.input, b.pooled, b.logits, err));
    vt_limits_read(&limits, "");
    VT_TRY(vt_limits_memory(&limits, counted.peak, "this classifier", err));
    VT_TRY(self->kern->memory_reserve(self->kern, counted.peak, &self->memory, err));
    self->memory_bytes = counted.peak;
    vt_arena_init(&self->arena, self->memory, self->memory_bytes);
    return VARIANT_OK;
}

static variant_status run(vt_features *features, const vt_features_batch *batch,
                          variant_error *err) {
    classifier_features *self = (classifier_features *)(void *)features;
    const vt_classifier_config *config = vt_classifier_configuration(self->classifier);
    int side = config->side, most = most_together(config);
    if (batch->height != side || batch->width != side)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "pictures of %d x %d for a classifier that was made for %d x %d",
                       batch->width, batch->height, side, side);
    size_t floats = (size_t)side * (size_t)side * (size_t)config->channels;
    float *host = malloc((size_t)most * (floats + (size_t)config->classes) * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", most);
    variant_status status = VARIANT_OK;
    for (int first = 0; status == VARIANT_OK && first < batch->count; first += most) {
        int n = batch->count - first < most ? batch->count - first : most;
        status = run_some(self, batch, first, n, host, err);
    }
    free(host);
    return status;
}

static void close_features(vt_features *features) {
    classifier_features *self = (classifier_features *)(void *)features;
    vt_classifier_close(&self->classifier);
    if (self->memory) self->kern->memory_release(self->kern, self->memory, self->memory_bytes);
    free(self);
}

variant_status vt_classifier_features_open(vt_features **out, vt_kern *kern, vt_tensor_file *file,
                                           variant_error *err) {
    *out = NULL;
    variant_status status = VARIANT_OK;
    classifier_features *self = calloc(1, sizeof *self);
    if (!self) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a classifier");
    self->kern = kern;
    VT_CHECK(vt_classifier_load(&self->classifier, kern, file, err));
    VT_CHECK(reserve(self, err));
    const vt_classifier_config *config = vt_classifier_configuration(self->classifier);
    self->base = (vt_features){.info = {.name = KIND,
                                        .side = config->side,
                                        .channels = config->channels,
                                        .dims = config->features,
                                        .classes = config->classes},
                               .class_name = class_name,
                               .run = run,
                               .close = close_features,
                               .file = file};
    vt_features_hash(self->base.info.hash, file);
cleanup:
    if (status != VARIANT_OK)
        close_features(&self->base);
    else
        *out = &self->base;
    return status;
}

/* checkpoint.c - see checkpoint.h. */
#include "train/checkpoint.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/arena.h"
#include "io/json.h"

#define META_KEY "variant.checkpoint"
#define DATA "data"
#define COUNTERS "training/counters"
#define SPIKES_KEY "loss_means"

void vt_settings_add(vt_settings *settings, const char *key, const char *format, ...) {
    if (settings->count == VT_SETTINGS_MAX) return;
    int i = settings->count++;
    snprintf(settings->items[i].key, sizeof settings->items[i].key, "%s", key);
    va_list args;
    va_start(args, format);
    vsnprintf(settings->items[i].value, sizeof settings->items[i].value, format, args);
    va_end(args);
}

static cJSON *settings_object(const vt_settings *settings) {
    cJSON *object = cJSON_CreateObject();
    for (int i = 0; object && i < settings->count; ++i)
        vt_json_string(object, settings->items[i].key, settings->items[i].value);
    return object;
}

char *vt_settings_json(const vt_settings *settings) {
    cJSON *object = settings_object(settings);
    char *text = vt_json_text(object);
    cJSON_Delete(object);
    return text;
}

/* ---- writing ---- */

/* As text: cJSON's numbers lose digits. */
static void add_exactly(cJSON *meta, const char *key, double value) {
    char text[40];
    snprintf(text, sizeof text, "%.17g", value);
    vt_json_string(meta, key, text);
}

static char *meta_text(const vt_checkpoint *checkpoint) {
    cJSON *meta = cJSON_CreateObject();
    vt_json_number(meta, "step", (double)checkpoint->step);
    vt_json_number(meta, "steps", (double)checkpoint->steps);
    if (checkpoint->lr) {
        add_exactly(meta, "rate", checkpoint->lr->peak);
        add_exactly(meta, "rate_end", checkpoint->lr->end);
    }
    vt_json_put(meta, SPIKES_KEY, vt_spikes_json(checkpoint->spikes));
    vt_json_put(meta, "settings", settings_object(checkpoint->settings));
    char *text = vt_json_text(meta);
    cJSON_Delete(meta);
    return text;
}

/* ---- moments that several ranks have ---- */

/* A moment of which the first rank asks the others for their parts when it is written. */
typedef struct shared_moment {
    const vt_params *params;
    vt_together *together;
    int32_t param, second;
} shared_moment;

/* What the first rank asks for next; param below 0: nothing any more. */
static void ask(vt_together *together, int32_t request[2]) {
    vt_ranks_broadcast(together->ranks, 0, request, 2 * sizeof *request);
}

static variant_status read_shared(const vt_tensor_out *tensor, void *out, variant_error *err) {
    const shared_moment *from = tensor->source;
    const vt_param *param = from->params->items[from->param];
    float *whole = malloc(param->count * sizeof *whole + 1);
    if (!whole) return vt_fail(err, VARIANT_E_MEMORY, "no memory to save %s", param->name);
    ask(from->together, (int32_t[]){from->param, from->second});
    vt_together_collect(from->together, param, from->second, whole);
    const variant_status status = vt_param_download(from->params, param, whole, out, err);
    free(whole);
    return status;
}

static void answer(vt_together *together, const vt_params *params) {
    for (int32_t request[2];;) {
        ask(together, request);
        if (request[0] < 0) return;
        vt_together_collect(together, params->items[request[0]], request[1], NULL);
    }
}

/* The moments as tensors, for the length of a write. */
typedef struct extras {
    vt_tensor_out *tensors;
    vt_param_source *sources;
    shared_moment *shared;
    char **names;
    int count;
} extras;

static void extras_free(extras *list) {
    for (int i = 0; list->names && i < list->count; ++i) free(list->names[i]);
    free(list->names);
    free(list->tensors);
    free(list->sources);
    free(list->shared);
    *list = (extras){0};
}

static variant_status add_moment(extras *list, const vt_checkpoint *checkpoint, int index,
                                 bool second, variant_error *err) {
    const vt_params *params = checkpoint->params;
    const vt_param *param = params->items[index];
    char *name = NULL;
    if (asprintf(&name, "training/%s/%s", second ? "v" : "m", param->name) < 0)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a checkpoint");
    int i = list->count++;
    list->names[i] = name;
    list->sources[i] = (vt_param_source){params, param, second ? param->v : param->m};
    list->tensors[i] = vt_param_tensor(name, &list->sources[i]);
    if (!params->shares_moments) return VARIANT_OK;
    list->shared[i] = (shared_moment){params, checkpoint->together, index, second};
    list->tensors[i].read = read_shared;
    list->tensors[i].source = &list->shared[i];
    return VARIANT_OK;
}

static variant_status gather(extras *list, const vt_checkpoint *checkpoint, variant_error *err) {
    const vt_params *params = checkpoint->params;
    size_t most = 2 * (size_t)params->count + 1;
    *list = (extras){0};
    list->tensors = calloc(most, sizeof *list->tensors);
    list->sources = calloc(most, sizeof *list->sources);
    list->shared = calloc(most, sizeof *list->shared);
    list->names = calloc(most, sizeof *list->names);
    if (!list->tensors || !list->sources || !list->shared || !list->names)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a checkpoint");
    for (int i = 0; i < params->count; ++i) {
        if (!params->items[i]->grad) continue;
        VT_TRY(add_moment(list, checkpoint, i, false, err));
        VT_TRY(add_moment(list, checkpoint, i, true, err));
    }
    if (checkpoint->counters)
        list->tensors[list->count++] = (vt_tensor_out){.name = COUNTERS,
                                                       .type = VT_I32,
                                                       .rank = 1,
                                                       .shape = {checkpoint->counter_count},
                                                       .data = checkpoint->counters};
    return VARIANT_OK;
}

static variant_status write_file(const char *path, const vt_checkpoint *checkpoint,
                                 variant_error *err) {
    variant_status status = VARIANT_OK;
    extras list;
    char *meta = meta_text(checkpoint);
    VT_CHECK(gather(&list, checkpoint, err));
    if (!meta) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a checkpoint"));
    vt_model_save save = checkpoint->model;
    save.type = VT_F32;
    save.extra = list.tensors;
    save.extra_count = list.count;
    save.extra_key = META_KEY;
    save.extra_value = meta;
    VT_CHECK(vt_model_write(path, &save, err));
cleanup:
    extras_free(&list);
    cJSON_free(meta);
    return status;
}

variant_status vt_checkpoint_write(const char *path, const vt_checkpoint *checkpoint,
                                   variant_error *err) {
    vt_together *together = checkpoint->together;
    const bool shared = checkpoint->params->shares_moments;
    if (together && together->rank > 0) {
        if (shared) answer(together, checkpoint->params);
        return VARIANT_OK;
    }
    const variant_status status = write_file(path, checkpoint, err);
    if (shared) ask(together, (int32_t[]){-1, 0});
    return status;
}

/* ---- reading ---- */

static bool is_length(const char *key) {
    return strcmp(key, VT_SETTING_STEPS) == 0 || strcmp(key, VT_SETTING_REPLANNED) == 0;
}

static variant_status compare_settings(const char *path, const vt_settings *settings,
                                       const cJSON *object, variant_error *err) {
    for (int i = 0; i < settings->count; ++i) {
        const char *key = settings->items[i].key, *now = settings->items[i].value;
        if (is_length(key) || strcmp(key, DATA) == 0) continue;
        const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, key);
        const char *none = strcmp(key, VT_SETTING_PRECISION) == 0 ? "f32" : "not set";
        const char *then = cJSON_IsString(item) ? item->valuestring : none;
        if (strcmp(then, now) != 0)
            return vt_fail(
                err, VARIANT_E_ARGUMENT,
                "%s: was made with %s %s, now it is %s; a resumed run needs the same options", path,
                key, then, now);
    }
    const cJSON *item;
    cJSON_ArrayForEach(item, object) { /* an option that was given then, and is not now */
        bool known = false;
        for (int i = 0; i < settings->count; ++i)
            known = known || strcmp(settings->items[i].key, item->string) == 0;
        if (!known && !is_length(item->string) && cJSON_IsString(item))
            return vt_fail(
                err, VARIANT_E_ARGUMENT,
                "%s: was made with %s %s, now it is not set; a resumed run needs the same options",
                path, item->string, item->valuestring);
    }
    /* last: the data's key has the side and channels in it, which are told better above */
    for (int i = 0; i < settings->count; ++i) {
        if (strcmp(settings->items[i].key, DATA) != 0) continue;
        item = cJSON_GetObjectItemCaseSensitive(object, DATA);
        if (!cJSON_IsString(item) || strcmp(item->valuestring, settings->items[i].value) != 0)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "%s: was made with other pictures; a resumed run needs the same data",
                           path);
    }
    return VARIANT_OK;
}

/* The metadata with its step and settings; the caller deletes it. */
static variant_status parse_meta(const char *path, const vt_tensor_file *file, cJSON **out,
                                 variant_error *err) {
    const char *text = vt_tensor_file_meta(file, META_KEY);
    cJSON *meta = *out = vt_json_of(text);
    const cJSON *step = cJSON_GetObjectItemCaseSensitive(meta, "step");
    if (cJSON_IsNumber(step) && step->valuedouble >= 0.0 && step->valuedouble < 9e15 &&
        cJSON_IsObject(cJSON_GetObjectItemCaseSensitive(meta, "settings")))
        return VARIANT_OK;
    return vt_fail(err, VARIANT_E_FORMAT, "%s: is not a checkpoint of a training run", path);
}

static double number_of(const cJSON *meta, const char *key) {
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(meta, key);
    double value = cJSON_IsString(item)   ? strtod(item->valuestring, NULL)
                   : cJSON_IsNumber(item) ? item->valuedouble
                                          : 0.0;
    return value > 0.0 && value < 9e15 ? value : 0.0;
}

variant_status vt_past_read(const char *path, vt_past *past, variant_error *err) {
    vt_tensor_file *file = NULL;
    cJSON *meta = NULL;
    const cJSON *item;
    variant_status status = VARIANT_OK;
    *past = (vt_past){0};
    VT_CHECK(vt_tensor_file_open_guarded(&file, path, err));
    VT_CHECK(parse_meta(path, file, &meta, err));
    cJSON_ArrayForEach(item, cJSON_GetObjectItemCaseSensitive(meta, "settings")) {
        if (cJSON_IsString(item))
            vt_settings_add(&past->settings, item->string, "%s", item->valuestring);
    }
    const char *steps = vt_past_setting(past, VT_SETTING_STEPS);
    past->step = (int64_t)number_of(meta, "step");
    past->steps = steps ? strtoll(steps, NULL, 10) : (int64_t)number_of(meta, "steps");
    past->rate = number_of(meta, "rate");
    past->rate_end = number_of(meta, "rate_end");
cleanup:
    status = vt_tensor_file_settle(file, status, err);
    cJSON_Delete(meta);
    vt_tensor_file_close(&file);
    return status;
}

const char *vt_past_setting(const vt_past *past, const char *key) {
    for (int i = 0; i < past->settings.count; ++i)
        if (strcmp(past->settings.items[i].key, key) == 0) return past->settings.items[i].value;
    return NULL;
}

static variant_status read_meta(const char *path, const vt_tensor_file *file,
                                vt_checkpoint *checkpoint, variant_error *err) {
    cJSON *meta = NULL;
    variant_status status = parse_meta(path, file, &meta, err);
    if (status == VARIANT_OK) {
        checkpoint->step = (int64_t)number_of(meta, "step");
        status = compare_settings(path, checkpoint->settings,
                                  cJSON_GetObjectItemCaseSensitive(meta, "settings"), err);
    }
    if (status == VARIANT_OK)
        status = vt_spikes_parse(checkpoint->spikes,
                                 cJSON_GetObjectItemCaseSensitive(meta, SPIKES_KEY), path, err);
    cJSON_Delete(meta);
    return status;
}

static variant_status take_moment(const vt_checkpoint *checkpoint, const vt_param *param,
                                  bool second, const float *numbers, variant_error *err) {
    const vt_params *params = checkpoint->params;
    if (!params->shares_moments)
        return vt_param_upload(params, param, numbers, second ? param->v : param->m, err);
    float *whole = malloc(param->count * sizeof *whole + 1);
    if (!whole) return vt_fail(err, VARIANT_E_MEMORY, "no memory for moments of %s", param->name);
    const variant_status status = vt_param_upload(params, param, numbers, whole, err);
    if (status == VARIANT_OK) vt_together_keep(checkpoint->together, param, second, whole);
    free(whole);
    return status;
}

static variant_status read_moment(const vt_tensor_file *file, const vt_checkpoint *checkpoint,
                                  const vt_param *param, bool second, variant_error *err) {
    const char *moment = second ? "v" : "m";
    char *name = NULL;
    if (asprintf(&name, "training/%s/%s", moment, param->name) < 0)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a checkpoint");
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, name);
    free(name);
    if (!tensor || tensor->type != VT_F32 || tensor->count != param->count)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: the %s moment of %s is missing or misshapen",
                       vt_tensor_file_path(file), moment, param->name);
    VT_TRY(vt_params_check_numbers(file, tensor, checkpoint->params->kern->team, err));
    return take_moment(checkpoint, param, second, tensor->data, err);
}

static variant_status read_counters(const vt_tensor_file *file, vt_checkpoint *checkpoint,
                                    variant_error *err) {
    if (!checkpoint->counters) return VARIANT_OK;
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, COUNTERS);
    if (!tensor || tensor->type != VT_I32 || tensor->count != (size_t)checkpoint->counter_count)
        return vt_fail(err, VARIANT_E_FORMAT, "%s: " COUNTERS " is missing or misshapen",
                       vt_tensor_file_path(file));
    VT_TRY(vt_tensor_verify(file, tensor, NULL, err));
    memcpy(checkpoint->counters, tensor->data, tensor->bytes);
    return VARIANT_OK;
}

variant_status vt_checkpoint_read(const char *path, vt_checkpoint *checkpoint, variant_error *err) {
    variant_status status = VARIANT_OK;
    vt_params *params = checkpoint->params;
    vt_tensor_file *file = NULL;
    VT_CHECK(vt_tensor_file_open_guarded(&file, path, err));
    if (checkpoint->trust) vt_tensor_file_trust(file);
    VT_CHECK(read_meta(path, file, checkpoint, err));
    VT_CHECK(vt_params_load(params, file, NULL, true, err));
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (!param->grad) continue;
        VT_CHECK(read_moment(file, checkpoint, param, false, err));
        VT_CHECK(read_moment(file, checkpoint, param, true, err));
    }
    VT_CHECK(read_counters(file, checkpoint, err));
cleanup:
    status = vt_tensor_file_settle(file, status, err);
    vt_tensor_file_close(&file);
    return status;
}

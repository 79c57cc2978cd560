/* settings.c - the settings inside a picture, read back: the other direction of vt_picture_describe. See variant.h. */
#include <cjson/cJSON.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "engine/request.h"
#include "io/image.h"
#include "io/json.h"

#define EDIT_PIXELS 32768 /* the most that edit.c takes as a number of pixels */

struct variant_settings {
    char *path;  /* where they were read, for messages */
    cJSON *json; /* an object */
    int32_t label;
    float cfg_scales[VARIANT_MAX_SCALES];
    int32_t *given;  /* (L) */
    char edited[40]; /* hashes of the picture and the mask that were edited */
};

static const cJSON *member(const variant_settings *s, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(s->json, name);
}

static const char *text_of(const variant_settings *s, const char *name) {
    const char *text = cJSON_GetStringValue(member(s, name));
    return text ? text : "";
}

static variant_status misfit(const variant_settings *s, const char *name, variant_error *err) {
    return vt_fail(err, VARIANT_E_FORMAT, "%s: its settings' \"%s\" is not what was written there",
                   s->path, name);
}

/* A number within [low, high]; what is not there leaves *out as it is. */
static variant_status number(const variant_settings *s, const char *name, double low, double high,
                             double *out, variant_error *err) {
    const cJSON *item = member(s, name);
    if (!item) return VARIANT_OK;
    if (!cJSON_IsNumber(item) || !(item->valuedouble >= low && item->valuedouble <= high))
        return misfit(s, name, err);
    *out = item->valuedouble;
    return VARIANT_OK;
}

static variant_status whole(const variant_settings *s, const char *name, int low, int high,
                            int *out, variant_error *err) {
    double value = *out;
    VT_TRY(number(s, name, low, high, &value, err));
    if (value != floor(value)) return misfit(s, name, err);
    *out = (int)value;
    return VARIANT_OK;
}

static variant_status flag(const variant_settings *s, const char *name, bool *out,
                           variant_error *err) {
    const cJSON *item = member(s, name);
    if (item && !cJSON_IsBool(item)) return misfit(s, name, err);
    if (item) *out = cJSON_IsTrue(item);
    return VARIANT_OK;
}

/* A type of numbers, or nothing. */
static variant_status check_type(const variant_settings *s, const char *name, variant_error *err) {
    vt_number type;
    const char *text = text_of(s, name);
    if (!*text || (strcmp(name, "kv") == 0 ? vt_number_parse_kv
                                           : vt_number_parse)(&type, name, text, err) == VARIANT_OK)
        return VARIANT_OK;
    return misfit(s, name, err);
}

variant_status variant_settings_read(variant_settings **out, const char *path,
                                     variant_error *error) {
    variant_status status = VARIANT_OK;
    char *text = NULL;
    VT_TRY(vt_need(out, "nowhere to put settings", error));
    *out = NULL;
    VT_TRY(vt_need(path, "no picture to read settings of: expected its file", error));
    variant_settings *s = calloc(1, sizeof *s);
    if (!s) return vt_fail(error, VARIANT_E_MEMORY, "no memory for settings");
    s->path = strdup(path);
    if (!s->path) VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for settings"));
    VT_CHECK(vt_image_read_settings(&text, path, error));
    s->json = vt_json_of(text);
    if (vt_json_lacked_memory(s->json, text))
        VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "%s: no memory for its settings", path));
    if (!cJSON_IsObject(s->json) || !*text_of(s, "model") || !*text_of(s, "layers"))
        VT_CHECK(vt_fail(error, VARIANT_E_FORMAT,
                         "%s: its settings are not those of variant generate", path));
    VT_CHECK(check_type(s, "weights", error));
    VT_CHECK(check_type(s, "kv", error));
    *out = s;
    s = NULL;
cleanup:
    free(text);
    variant_settings_free(&s);
    return status;
}

void variant_settings_free(variant_settings **settings) {
    variant_settings *s = settings ? *settings : NULL;
    if (!s) return;
    cJSON_Delete(s->json);
    free(s->path);
    free(s->given);
    free(s);
    *settings = NULL;
}

const char *variant_settings_weights(const variant_settings *settings) {
    return settings ? text_of(settings, "weights") : "";
}

const char *variant_settings_kv(const variant_settings *settings) {
    return settings ? text_of(settings, "kv") : "";
}

/* ---- the parts of a request ---- */

static variant_status read_seed(const variant_settings *s, uint64_t *out, variant_error *err) {
    const char *text = text_of(s, "seed");
    char *end = NULL;
    errno = 0;
    *out = strtoull(text, &end, 10);
    return *text >= '0' && *text <= '9' && !*end && !errno ? VARIANT_OK : misfit(s, "seed", err);
}

static variant_status read_sampling(const variant_settings *s, variant_request *r,
                                    variant_error *err) {
    double cfg = r->cfg_scale, late = 1.0,
           top_p = r->top_p; /* without a factor: from before there was one */
    VT_TRY(read_seed(s, &r->seed, err));
    VT_TRY(whole(s, "image", 0, INT32_MAX - 1, &r->first_image, err));
    VT_TRY(number(s, "cfg_scale", 0, 100, &cfg, err));
    VT_TRY(number(s, "cfg_late", 0, 100, &late, err));
    VT_TRY(whole(s, "top_k", 0, INT32_MAX, &r->top_k, err));
    VT_TRY(number(s, "top_p", 0, 1, &top_p, err));
    VT_TRY(flag(s, "greedy", &r->greedy, err));
    VT_TRY(flag(s, "smooth", &r->smooth, err));
    r->cfg_scale = (float)cfg;
    r->cfg_late = (float)late;
    r->top_p = (float)top_p;
    return VARIANT_OK;
}

static variant_status read_guidance(variant_settings *s, int scales, variant_request *r,
                                    variant_error *err) {
    const cJSON *list = member(s, "cfg_scales");
    if (!list) return VARIANT_OK;
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != scales)
        return misfit(s, "cfg_scales", err);
    for (int k = 0; k < scales; ++k) {
        const cJSON *item = cJSON_GetArrayItem(list, k);
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble <= 100))
            return misfit(s, "cfg_scales", err);
        s->cfg_scales[k] = (float)item->valuedouble;
    }
    r->cfg_scales = s->cfg_scales;
    r->cfg_scale_count = scales;
    return VARIANT_OK;
}

static variant_status read_given(variant_settings *s, const variant_info *info, variant_request *r,
                                 variant_error *err) {
    const cJSON *list = member(s, "given_tokens"), *item;
    int length = 0, rows = 0, i = 0;
    VT_TRY(whole(s, "given_scales", 0, info->scales, &r->given_scales, err));
    if (!list) return VARIANT_OK;
    for (int k = 0; k < info->scales; ++k) {
        length += info->sides[k] * info->sides[k];
        if (k < r->given_scales) rows = length;
    }
    if (!cJSON_IsArray(list) || cJSON_GetArraySize(list) != rows)
        return misfit(s, "given_tokens", err);
    free(s->given);
    s->given = calloc((size_t)length, sizeof *s->given);
    if (!s->given) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d tokens", length);
    cJSON_ArrayForEach(item, list) {
        if (!cJSON_IsNumber(item) || !(item->valuedouble >= 0 && item->valuedouble < info->codes) ||
            item->valuedouble != floor(item->valuedouble))
            return misfit(s, "given_tokens", err);
        s->given[i++] = (int32_t)item->valuedouble;
    }
    r->given_tokens = s->given;
    r->given_count = 1;
    return VARIANT_OK;
}

static const cJSON *edit_member(const variant_settings *s, const char *name) {
    return cJSON_GetObjectItemCaseSensitive(member(s, "edit"), name);
}

/* A whole number that an edit may have for pixels, else -2, which no edit has; otherwise: where it is not there. */
static int edit_number(const cJSON *item, int otherwise) {
    if (!item) return otherwise;
    const double value = cJSON_IsNumber(item) ? item->valuedouble : -2.0;
    return value >= -1 && value <= EDIT_PIXELS && value == floor(value) ? (int)value : -2;
}

static float edit_float(const cJSON *item, float otherwise) {
    return !item ? otherwise : cJSON_IsNumber(item) ? (float)item->valuedouble : -1.0f;
}

static bool read_edit(const variant_settings *settings, variant_edit *edit) {
    const cJSON *keep = edit_member(settings, "keep"), *pull = edit_member(settings, "pull"),
                *added = edit_member(settings, "outpaint");
    if (!cJSON_IsObject(member(settings, "edit"))) return false;
    variant_edit_init(edit);
    int *sides[] = {&edit->left, &edit->top, &edit->right, &edit->bottom};
    edit->grow = edit_number(edit_member(settings, "grow"), 0);
    edit->feather = edit_number(edit_member(settings, "feather"), edit->feather);
    edit->fit = cJSON_GetStringValue(edit_member(settings, "fit"));
    edit->fill = cJSON_GetStringValue(edit_member(settings, "fill"));
    edit->codes = cJSON_GetStringValue(edit_member(settings, "codes"));
    edit->pad = cJSON_IsTrue(edit_member(settings, "pad"));
    edit->keep = edit_float(keep, edit->keep);
    edit->pull = edit_float(pull, edit->pull);
    for (int i = 0; i < 4; ++i) *sides[i] = edit_number(cJSON_GetArrayItem(added, i), 0);
    return true;
}

bool variant_settings_edit(const variant_settings *settings, variant_edit *edit) {
    variant_edit read;
    if (!settings || !read_edit(settings, &read)) return false;
    if (edit && vt_sized_clear(edit, "variant_edit", NULL) == VARIANT_OK)
        vt_sized_give(edit, &read, sizeof read);
    return true;
}

/* The numbers and names of an edit are such as an edit has. */
static bool is_edit(const variant_settings *s) {
    static const char *const names[] = {"fit", "fill", "codes"};
    const cJSON *pad = edit_member(s, "pad"), *added = edit_member(s, "outpaint");
    variant_edit e;
    if (!read_edit(s, &e)) return false;
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (edit_member(s, names[i]) && !cJSON_IsString(edit_member(s, names[i]))) return false;
    return e.grow >= 0 && e.feather >= -1 && e.keep >= 0.0f && e.pull >= 0.0f && e.left >= 0 &&
           e.top >= 0 && e.right >= 0 && e.bottom >= 0 && (!pad || cJSON_IsBool(pad)) &&
           (!added || cJSON_GetArraySize(added) == 4);
}

/* Which picture and mask they were. */
static variant_status read_edited(variant_settings *s, variant_request *r, variant_error *err) {
    const char *picture = cJSON_GetStringValue(edit_member(s, "picture")),
               *mask = cJSON_GetStringValue(edit_member(s, "mask"));
    if (!member(s, "edit")) return VARIANT_OK;
    if (!picture || !mask || strlen(picture) != 16 || strlen(mask) != 16 || !is_edit(s))
        return misfit(s, "edit", err);
    snprintf(s->edited, sizeof s->edited, "%s %s", picture, mask);
    r->edited = s->edited;
    return VARIANT_OK;
}

/* What no single member tells, such as layers that the model has not: found here, where the picture can be named. */
static variant_status check(const variant_settings *s, const variant_engine *engine,
                            const variant_request *request, variant_error *err) {
    vt_choices choices;
    variant_request full = *request;
    full.decoder = NULL; /* whoever asks may take the other one */
    const variant_status status = vt_choices_make(&choices, engine, &full, err);
    vt_choices_free(&choices);
    return status == VARIANT_E_ARGUMENT
               ? vt_fail_within(err, VARIANT_E_FORMAT, "%s: its settings", s->path)
               : status;
}

static bool same_numbers(const float *a, const float *b, int count) {
    for (int i = 0; i < count; ++i)
        if (a[i] != b[i]) return false;
    return true;
}

/* Where the guidance is what the model tells for these layers, the request leaves it to the model, so that other layers are
 * guided as is best for them. Without a cfg_scale the factors were not the model's to tell. */
static void follow_model(const variant_settings *s, const variant_engine *engine,
                         variant_request *r) {
    vt_branches told, own;
    variant_request request = *r;
    request.cfg_late = -1.0f;
    request.cfg_scales = NULL;
    request.cfg_scale_count = 0;
    if (!member(s, "cfg_scale") || vt_branches_make(&told, engine->model, r, NULL) != VARIANT_OK ||
        vt_branches_make(&own, engine->model, &request, NULL) != VARIANT_OK ||
        !same_numbers(told.guide, own.guide, VT_SCHEDULE_SCALES) ||
        (!r->cfg_scales && told.late != own.late))
        return;
    r->cfg_late = -1.0f;
    r->cfg_scales = NULL;
    r->cfg_scale_count = 0;
}

/* The preview decoder's weights are not the model's: they may have been trained anew since, which matters where it is used. */
static variant_status read_decoder(const variant_settings *s, variant_request *r,
                                   variant_error *err) {
    if (!member(s, "decoder")) return VARIANT_OK;
    if (strcmp(text_of(s, "decoder"), "preview") != 0) return misfit(s, "decoder", err);
    r->decoder = "preview";
    r->decoder_hash = text_of(s, "decoder_hash");
    return VARIANT_OK;
}

static variant_status read_request(variant_settings *s, const variant_engine *engine,
                                   variant_request *request, variant_error *error) {
    const variant_info *info = variant_engine_info(engine);
    int label = 0;
    if (strcmp(text_of(s, "model"), info->hash) != 0)
        return vt_fail(error, VARIANT_E_MODEL, "%s was made by the model %s, this is %s", s->path,
                       text_of(s, "model"), info->hash);
    variant_request_init(request);
    VT_TRY(whole(s, "label", 0, info->classes, &label, error));
    s->label = label;
    request->labels = &s->label;
    request->label_count = 1;
    request->layers = text_of(s, "layers");
    request->uncond_depth = 0;
    if (member(s, "uncond_layers") && !*text_of(s, "uncond_layers"))
        return misfit(s, "uncond_layers", error);
    if (*text_of(s, "uncond_layers")) request->uncond_layers = text_of(s, "uncond_layers");
    VT_TRY(whole(s, "scales", 1, info->scales, &request->scales, error));
    VT_TRY(read_sampling(s, request, error));
    VT_TRY(read_guidance(s, info->scales, request, error));
    follow_model(s, engine, request);
    VT_TRY(read_given(s, info, request, error));
    VT_TRY(read_decoder(s, request, error));
    VT_TRY(check(s, engine, request, error));
    return read_edited(s, request, error);
}

variant_status variant_settings_request(const variant_settings *settings,
                                        const variant_engine *engine, variant_request *request,
                                        variant_error *error) {
    variant_settings *s = (variant_settings *)(uintptr_t)settings; /* its rooms for lists */
    variant_request made;
    VT_TRY(vt_need(settings, "no settings: expected those of a picture", error));
    VT_TRY(vt_need(engine, VT_NO_ENGINE, error));
    VT_TRY(vt_sized_clear(request, "variant_request", error));
    VT_TRY(read_request(s, engine, &made, error));
    vt_sized_give(request, &made, sizeof made);
    return VARIANT_OK;
}

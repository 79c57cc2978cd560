/* pictures.c - see pictures.h. Files are made here, on an HTTP thread: the engine's has other things to do. */
#include "serve/pictures.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/base64.h"
#include "io/json.h"
#include "serve/text.h"

char *sv_picture_base64(const sv_wish *wish, const variant_picture *picture) {
    uint8_t *bytes;
    size_t size;
    const bool jpeg = strcmp(wish->format, "jpeg") == 0;
    if (variant_picture_encode(picture, wish->format, jpeg ? wish->compression : 0, &bytes, &size,
                               NULL) != VARIANT_OK)
        return NULL;
    char *text = variant_base64(bytes, size);
    free(bytes);
    return text;
}

static void add_url(cJSON *json, sv_call *call, const sv_job *job, int index) {
    const char *host = sv_header(call, "Host"), *scheme = sv_header(call, "X-Forwarded-Proto");
    char *url = sv_format("%s://%s/api/jobs/%s/images/%d.%s",
                          scheme && strcmp(scheme, "https") == 0 ? "https" : "http",
                          host ? host : "localhost", job->id, index, job->wish.format);
    vt_json_put(json, "url", url ? cJSON_CreateString(url) : NULL);
    free(url);
}

/* Adds the string, which may be NULL where there was no memory for it, without a copy beside it for long. */
static void add_taken(cJSON *json, const char *name, char *text) {
    vt_json_put(json, name, text ? cJSON_CreateString(text) : NULL);
    free(text);
}

cJSON *sv_picture_json(sv_call *call, const sv_job *job, int index) {
    const variant_picture *picture = &job->pictures[index];
    cJSON *json = cJSON_CreateObject();
    if (job->wish.url)
        add_url(json, call, job, index);
    else
        add_taken(json, "b64_json", sv_picture_base64(&job->wish, picture));
    if (picture->settings) vt_json_put(json, "settings", vt_json_of(picture->settings));
    return json;
}

bool sv_preview_copy(sv_job *job, int picture, int slot, int after, variant_picture *out,
                     int *scale) {
    bool found = false;
    pthread_mutex_lock(&job->server->lock);
    const sv_preview *preview = job->previews ? &job->previews[picture * job->slots + slot] : NULL;
    if (preview && preview->pixels && preview->scale > after) {
        *out = job->shape;
        *scale = preview->scale;
        const size_t bytes = (size_t)out->width * (size_t)out->height * (size_t)out->channels;
        out->pixels = malloc(bytes);
        if (out->pixels) memcpy(out->pixels, preview->pixels, bytes);
        found = out->pixels != NULL;
    }
    pthread_mutex_unlock(&job->server->lock);
    return found;
}

cJSON *sv_settings_json(const sv_job *job) {
    char seed[24];
    cJSON *json = cJSON_CreateObject();
    snprintf(seed, sizeof seed, "%llu", (unsigned long long)job->wish.request.seed);
    vt_json_string(json, "seed", seed);
    vt_json_string(json, "model_hash", job->model->hash);
    vt_json_string(json, "depths", job->report.depths);
    if (job->report.uncond_depths[0])
        vt_json_string(json, "uncond_depths", job->report.uncond_depths);
    vt_json_string(json, "depth_because", job->wish.why);
    if (job->wish.max_latency > 0.0) {
        vt_json_number(json, "max_latency", job->wish.max_latency);
        vt_json_number(json, "expected_seconds", job->wish.expected);
    }
    vt_json_number(json, "top_k", job->wish.request.top_k);
    vt_json_number(json, "seconds", job->finished - job->created);
    if (job->report.warning[0]) vt_json_string(json, "warning", job->report.warning);
    return json;
}

void sv_add_form(cJSON *json, const sv_job *job) {
    char size[32];
    const int side = job->model->context.info.picture_side;
    pthread_mutex_lock(&job->server->lock); /* of a preview: the pictures may come just now */
    const variant_picture *first = job->pictures;
    pthread_mutex_unlock(&job->server->lock);
    snprintf(size, sizeof size, "%dx%d", first ? first->width : side, first ? first->height : side);
    vt_json_string(json, "size", size);
    vt_json_string(json, "quality", sv_quality_names[job->wish.quality]);
    vt_json_string(json, "background", "opaque");
    vt_json_string(json, "output_format", job->wish.format);
}

cJSON *sv_usage_json(const sv_job *job) {
    const int count = job->wish.request.count, tokens = count * job->pictures[0].token_count;
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "input_tokens", count); /* a class each */
    cJSON *details = vt_json_object(json, "input_tokens_details");
    vt_json_number(details, "text_tokens", count);
    vt_json_number(details, "image_tokens", 0);
    vt_json_number(json, "output_tokens", tokens);
    vt_json_number(json, "total_tokens", count + tokens);
    return json;
}

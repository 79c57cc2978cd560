/* picture.c - see picture.h, and the picture functions of variant.h. */
#include "engine/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/image.h"

static size_t pixel_bytes(const variant_picture *picture) {
    return (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels;
}

static bool give_memory(variant_picture *picture, bool keep_scales, int scales) {
    picture->pixels = malloc(pixel_bytes(picture));
    picture->tokens = calloc((size_t)picture->token_count, sizeof *picture->tokens);
    if (!picture->pixels || !picture->tokens) return false;
    if (!keep_scales) return true;
    picture->scale_pixels = calloc((size_t)scales, sizeof *picture->scale_pixels);
    if (!picture->scale_pixels) return false;
    for (; picture->scale_count < scales; ++picture->scale_count)
        if (!(picture->scale_pixels[picture->scale_count] = malloc(pixel_bytes(picture))))
            return false;
    return true;
}

variant_status vt_pictures_new(variant_picture **out, const variant_engine *engine,
                               const int32_t *labels, int count, bool keep_scales,
                               variant_error *err) {
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    int side = vt_tokenizer_side(config);
    variant_picture *pictures = calloc((size_t)count, sizeof *pictures);
    bool enough = pictures;
    for (int i = 0; enough && i < count; ++i) {
        pictures[i] = (variant_picture){.width = side,
                                        .height = side,
                                        .channels = config->channels,
                                        .label = labels[i],
                                        .token_count = vt_tokenizer_tokens(config)};
        enough = give_memory(&pictures[i], keep_scales, config->scales);
    }
    *out = pictures;
    return enough ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", count);
}

void variant_pictures_free(variant_picture **pictures, int count) {
    for (int i = 0; *pictures && i < count; ++i) {
        variant_picture *picture = &(*pictures)[i];
        for (int k = 0; k < picture->scale_count; ++k) free(picture->scale_pixels[k]);
        free(picture->scale_pixels);
        free(picture->pixels);
        free(picture->tokens);
        free(picture->settings);
    }
    free(*pictures);
    *pictures = NULL;
}

variant_status vt_picture_take(const variant_picture *picture, uint8_t *pixels, vt_kern *kern,
                               const float *values, bool *finite, variant_error *err) {
    size_t samples = pixel_bytes(picture);
    float *host = malloc(samples * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture");
    const variant_status status = vt_kern_download(kern, host, values, samples * sizeof *host, err);
    *finite = vt_image_bytes(pixels, host, samples);
    free(host);
    return status;
}

/* Bytes that are no UTF-8, as names of folders may be, become question marks: JSON and PNG take no others. */
static void clean_utf8(char *text) {
    for (unsigned char *s = (unsigned char *)text; *s;) {
        size_t length = *s < 0x80   ? 1
                        : *s < 0xC2 ? 0
                        : *s < 0xE0 ? 2
                        : *s < 0xF0 ? 3
                        : *s < 0xF5 ? 4
                                    : 0;
        bool valid = length > 0;
        for (size_t i = 1; valid && i < length; ++i) valid = (s[i] & 0xC0) == 0x80;
        /* overlong forms, surrogates, and beyond the last code point */
        if (valid && length > 2)
            valid = !((*s == 0xE0 && s[1] < 0xA0) || (*s == 0xED && s[1] > 0x9F) ||
                      (*s == 0xF0 && s[1] < 0x90) || (*s == 0xF4 && s[1] > 0x8F));
        if (!valid) *s = '?';
        s += valid ? length : 1;
    }
}

/* The tokens that it began with. */
static void add_given(cJSON *json, const vt_choices *choices, int index) {
    const vt_transformer_config *config = choices->config;
    const int length = vt_transformer_tokens(config);
    const int32_t *from = choices->given + (size_t)((choices->request.first_image + index) %
                                                    choices->request.given_count) *
                                               (size_t)length;
    int count = 0;
    for (int k = 0; k < choices->request.given_scales; ++k)
        count += config->sides[k] * config->sides[k];
    cJSON_AddNumberToObject(json, "given_scales", choices->request.given_scales);
    cJSON_AddItemToObject(json, "given_tokens", cJSON_CreateIntArray(from, count));
}

variant_status vt_picture_describe(variant_picture *picture, const vt_choices *choices, int index,
                                   variant_error *err) {
    const variant_engine *engine = choices->engine;
    const variant_request *request = &choices->request;
    const vt_schedule *schedule = &choices->schedule, *uncond = &choices->uncond_schedule;
    char text[4096];
    cJSON *json = cJSON_CreateObject();
    cJSON_AddStringToObject(json, "version", variant_version());
    cJSON_AddStringToObject(json, "model", engine->model->hash);
    vt_model_class_name(engine->model, picture->label, text, sizeof text);
    clean_utf8(text);
    cJSON_AddStringToObject(json, "class", text);
    cJSON_AddNumberToObject(json, "label", picture->label);
    snprintf(text, sizeof text, "%llu",
             (unsigned long long)request->seed); /* a double holds 53 bits of a seed */
    cJSON_AddStringToObject(json, "seed", text);
    cJSON_AddNumberToObject(json, "image", request->first_image + index);
    cJSON_AddNumberToObject(json, "cfg_scale", round(1e6 * (double)request->cfg_scale) / 1e6);
    cJSON_AddBoolToObject(json, "greedy", request->greedy);
    cJSON_AddNumberToObject(json, "top_k", request->top_k);
    cJSON_AddNumberToObject(json, "top_p", round(1e6 * (double)request->top_p) / 1e6);
    cJSON_AddBoolToObject(json, "smooth", request->smooth);
    vt_schedule_describe(schedule, text, sizeof text);
    cJSON_AddStringToObject(json, "depths", text);
    vt_schedule_describe_layers(schedule, text, sizeof text);
    cJSON_AddStringToObject(json, "layers", text);
    if (request->cfg_scales) {
        cJSON *scales = cJSON_AddArrayToObject(json, "cfg_scales");
        for (int k = 0; k < choices->config->scales; ++k)
            cJSON_AddItemToArray(scales,
                                 cJSON_CreateNumber(round(1e6 * (double)choices->guide[k]) / 1e6));
    }
    if (choices->guided_scales > 0 && memcmp(schedule, uncond, sizeof *uncond) != 0) {
        vt_schedule_describe(uncond, text, sizeof text);
        cJSON_AddStringToObject(json, "uncond_depths", text);
        vt_schedule_describe_layers(uncond, text, sizeof text);
        cJSON_AddStringToObject(json, "uncond_layers", text);
    }
    if (choices->scales < choices->config->scales)
        cJSON_AddNumberToObject(json, "scales", choices->scales);
    if (choices->given) add_given(json, choices, index);
    cJSON_AddStringToObject(json, "weights", vt_number_name(engine->weights));
    cJSON_AddStringToObject(json, "kv", vt_number_name(engine->kv));
    cJSON_AddStringToObject(json, "kernels", engine->kern->name);
    picture->settings = cJSON_PrintUnformatted(json);
    cJSON_Delete(json);
    return picture->settings ? VARIANT_OK
                             : vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture's settings");
}

/* ---- writing ---- */

/* The picture as an image that borrows its pixels. */
static vt_image view_of(const variant_picture *picture, uint8_t *pixels) {
    return (vt_image){.width = picture->width,
                      .height = picture->height,
                      .channels = picture->channels,
                      .data = pixels};
}

variant_status variant_picture_write_png(const variant_picture *picture, const char *path,
                                         variant_error *error) {
    vt_image image = view_of(picture, picture->pixels);
    vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, picture->settings}};
    return vt_image_write_png(&image, path, text, picture->settings ? 2 : 1, error);
}

variant_status variant_picture_write(const variant_picture *picture, const char *path, int quality,
                                     variant_error *error) {
    vt_image image = view_of(picture, picture->pixels);
    return vt_image_write(&image, path, quality, picture->settings, error);
}

variant_status variant_picture_path_check(const char *path, variant_error *error) {
    if (error) *error = (variant_error){0};
    return vt_image_path_check(path, error);
}

variant_status variant_picture_write_scale_png(const variant_picture *picture, int scale,
                                               const char *path, variant_error *error) {
    if (scale < 0 || scale >= picture->scale_count)
        return vt_fail(error, VARIANT_E_ARGUMENT, "scale %d: this picture keeps %d", scale,
                       picture->scale_count);
    vt_image image = view_of(picture, picture->scale_pixels[scale]);
    vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, picture->settings}};
    return vt_image_write_png(&image, path, text, picture->settings ? 2 : 1, error);
}

variant_status variant_pictures_write_sheet(const variant_picture *pictures, int count, int columns,
                                            int zoom, const char *path, int quality,
                                            variant_error *error) {
    if (count < 1 || columns < 1 || zoom < 1)
        return vt_fail(error, VARIANT_E_ARGUMENT,
                       "a sheet needs pictures, columns and a zoom of at least 1");
    vt_image sheet = {0}, *images = malloc((size_t)count * sizeof *images);
    if (!images) return vt_fail(error, VARIANT_E_MEMORY, "no memory for a sheet of %d", count);
    for (int i = 0; i < count; ++i) images[i] = view_of(&pictures[i], pictures[i].pixels);
    variant_status status = vt_image_sheet(&sheet, images, count, columns, 2 * zoom, zoom, error);
    if (status == VARIANT_OK)
        status = vt_image_write(&sheet, path, quality, pictures[0].settings, error);
    vt_image_free(&sheet);
    free(images);
    return status;
}

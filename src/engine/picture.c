/* picture.c - see picture.h, and the picture functions of variant.h. */
#include "engine/picture.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "io/json.h"
#include "io/picture.h"

static size_t pixel_bytes(const variant_picture *picture) {
    return (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels;
}

/* An empty one's sizes. */
static variant_picture sized(const vt_choices *choices, const vt_edit *edit) {
    const vt_tokenizer_config *config =
        vt_tokenizer_configuration(choices->engine->model->tokenizer);
    const int side = vt_tokenizer_side(config);
    return (variant_picture){.width = edit ? edit->canvas.width : side,
                             .height = edit ? edit->canvas.height : side,
                             .channels = edit ? edit->canvas.channels : config->channels,
                             .token_count = vt_tokenizer_tokens(config)};
}

size_t vt_picture_bytes(const vt_choices *choices, const vt_edit *edit, int kept) {
    const variant_picture picture = sized(choices, edit);
    return pixel_bytes(&picture) * (1 + (size_t)kept) +
           (size_t)picture.token_count * sizeof *picture.tokens;
}

static bool give_memory(variant_picture *picture, int kept) {
    picture->pixels = malloc(pixel_bytes(picture));
    picture->tokens = calloc((size_t)picture->token_count, sizeof *picture->tokens);
    if (!picture->pixels || !picture->tokens) return false;
    if (kept == 0) return true;
    picture->scale_pixels = calloc((size_t)kept, sizeof *picture->scale_pixels);
    if (!picture->scale_pixels) return false;
    for (; picture->scale_count < kept; ++picture->scale_count)
        if (!(picture->scale_pixels[picture->scale_count] = malloc(pixel_bytes(picture))))
            return false;
    return true;
}

variant_status vt_pictures_new(variant_picture **out, const vt_choices *choices, int kept,
                               variant_error *err) {
    const int count = choices->request.count;
    variant_picture *pictures = calloc((size_t)count, sizeof *pictures);
    bool enough = pictures;
    for (int i = 0; enough && i < count; ++i) {
        pictures[i] = sized(choices, vt_choices_edit(choices, i));
        pictures[i].label = choices->labels[i];
        enough = give_memory(&pictures[i], kept);
    }
    *out = pictures;
    return enough ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", count);
}

void variant_pictures_free(variant_picture **pictures, int count) {
    if (!pictures) return;
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

variant_status vt_picture_take(const vt_choices *choices, const vt_edit *edit, uint8_t *pixels,
                               const float *values, bool *finite, variant_error *err) {
    const variant_engine *engine = choices->engine;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(engine->model->tokenizer);
    const int side = vt_tokenizer_side(config);
    const size_t samples = (size_t)side * (size_t)side * (size_t)config->channels;
    vt_image drawn = {.width = side, .height = side, .channels = config->channels, .data = pixels};
    variant_status status = VARIANT_OK;
    float *host = malloc(samples * sizeof *host);
    if (edit) drawn.data = malloc(samples);
    if (!host || !drawn.data) VT_CHECK(vt_fail(err, VARIANT_E_MEMORY, "no memory for a picture"));
    VT_CHECK(vt_kern_download(engine->kern, host, values, samples * sizeof *host, err));
    *finite = vt_image_bytes(drawn.data, host, samples);
    if (edit) VT_CHECK(vt_edit_lay(edit, &drawn, pixels, err));
cleanup:
    free(host);
    if (edit) free(drawn.data);
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

/* The settings' text as it grows; complete: memory was there for all of it. */
typedef struct settings_text {
    cJSON *json;
    bool complete;
} settings_text;

static void add(settings_text *s, const char *name, cJSON *item) {
    if (!vt_json_put(s->json, name, item)) s->complete = false;
}

static void add_text(settings_text *s, const char *name, const char *text) {
    add(s, name, cJSON_CreateString(text));
}

static void add_number(settings_text *s, const char *name, double value) {
    add(s, name, cJSON_CreateNumber(value));
}

/* The number of fewest digits that reads back as this one. */
static double decimal(float value) {
    char text[32];
    double read = (double)value;
    for (int digits = 6; digits <= 9; ++digits) {
        snprintf(text, sizeof text, "%.*g", digits, (double)value);
        read = strtod(text, NULL);
        if ((float)read == value) break;
    }
    return read;
}

/* The one that scales rise to, and of every scale where the request tells each or factors differ. */
static void add_guidance(settings_text *s, const vt_choices *choices) {
    double scales[VT_SCHEDULE_SCALES];
    const int count = choices->config->scales;
    if (!choices->request.cfg_scales)
        add_number(s, "cfg_scale", decimal(choices->request.cfg_scale));
    if (!choices->request.cfg_scales && choices->branches.late >= 0.0f) {
        if (vt_branches_differ(&choices->branches))
            add_number(s, "cfg_late", decimal(choices->branches.late));
        return;
    }
    for (int k = 0; k < count; ++k) scales[k] = decimal(choices->branches.guide[k]);
    add(s, "cfg_scales", cJSON_CreateDoubleArray(scales, count));
}

static void add_schedule(settings_text *s, const char *depths, const char *layers,
                         const vt_schedule *schedule) {
    char text[4 * VT_SCHEDULE_SCALES * VT_SCHEDULE_LAYERS]; /* "127," of each */
    vt_schedule_describe(schedule, text, sizeof text);
    add_text(s, depths, text);
    vt_schedule_describe_layers(schedule, text, sizeof text);
    add_text(s, layers, text);
}

/* The tokens that it began with. */
static void add_given(settings_text *s, const vt_choices *choices, int index) {
    const vt_transformer_config *config = choices->config;
    const int length = vt_transformer_tokens(config);
    const int32_t *from = choices->given + (size_t)((choices->request.first_image + index) %
                                                    choices->request.given_count) *
                                               (size_t)length;
    int count = 0;
    for (int k = 0; k < choices->request.given_scales; ++k)
        count += config->sides[k] * config->sides[k];
    add_number(s, "given_scales", choices->request.given_scales);
    add(s, "given_tokens", cJSON_CreateIntArray(from, count));
}

/* What was kept of a picture, and which it was. */
static void add_edit(settings_text *s, const vt_edit *edit) {
    settings_text part = {.json = cJSON_CreateObject(), .complete = true};
    add_text(&part, "picture", edit->picture_hash);
    add_text(&part, "mask", edit->mask_hash);
    add_number(&part, "grow", edit->asked.grow);
    add_number(&part, "feather", edit->asked.feather);
    add_text(&part, "fill", edit->asked.fill);
    add_text(&part, "codes", edit->asked.codes);
    add_number(&part, "keep", decimal(edit->asked.keep));
    add_number(&part, "pull", decimal(edit->asked.pull));
    add_text(&part, "fit", edit->asked.fit);
    add(&part, "pad", cJSON_CreateBool(edit->asked.pad));
    const int added[] = {edit->asked.left, edit->asked.top, edit->asked.right, edit->asked.bottom};
    if (added[0] || added[1] || added[2] || added[3])
        add(&part, "outpaint", cJSON_CreateIntArray(added, 4));
    s->complete = s->complete && part.complete;
    add(s, "edit", part.json);
}

variant_status vt_picture_describe(variant_picture *picture, const vt_choices *choices, int index,
                                   variant_error *err) {
    const variant_engine *engine = choices->engine;
    const variant_request *request = &choices->request;
    char text[4096];
    settings_text s = {.json = cJSON_CreateObject(), .complete = true};
    add_text(&s, "version", variant_version());
    add_text(&s, "model", engine->model->hash);
    vt_model_class_name(engine->model, picture->label, text, sizeof text);
    clean_utf8(text);
    add_text(&s, "class", text);
    add_number(&s, "label", picture->label);
    snprintf(text, sizeof text, "%llu",
             (unsigned long long)request->seed); /* a double holds 53 bits of a seed */
    add_text(&s, "seed", text);
    add_number(&s, "image", request->first_image + index);
    add_guidance(&s, choices);
    add(&s, "greedy", cJSON_CreateBool(request->greedy));
    add_number(&s, "top_k", request->top_k);
    add_number(&s, "top_p", decimal(request->top_p));
    add(&s, "smooth", cJSON_CreateBool(request->smooth));
    add_schedule(&s, "depths", "layers", &choices->branches.cond);
    /* without guidance as well: a factor of 0 asks for none only where these layers are the fewer */
    if (vt_branches_differ(&choices->branches))
        add_schedule(&s, "uncond_depths", "uncond_layers", &choices->branches.uncond);
    if (choices->scales < choices->config->scales) add_number(&s, "scales", choices->scales);
    if (choices->given) add_given(&s, choices, index);
    if (choices->decoder == VT_DECODER_PREVIEW) {
        add_text(&s, "decoder", "preview");
        add_text(&s, "decoder_hash", engine->model->preview_hash);
    }
    if (vt_choices_edit(choices, index)) add_edit(&s, vt_choices_edit(choices, index));
    add_text(&s, "weights", vt_number_name(engine->weights));
    add_text(&s, "kv", vt_number_name(engine->kv));
    add_text(&s, "kernels", engine->kern->name);
    picture->settings = s.complete ? vt_json_text(s.json) : NULL;
    cJSON_Delete(s.json);
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

static bool is_side(int side) {
    return side >= 1 && side <= VT_IMAGE_SIDE_MAX;
}

variant_status vt_picture_check(const variant_picture *picture, variant_error *error) {
    VT_TRY(vt_need(picture, "no picture: expected one to write", error));
    if (is_side(picture->width) && is_side(picture->height) && picture->pixels &&
        (picture->channels == 1 || picture->channels == 3))
        return VARIANT_OK;
    return vt_fail(error, VARIANT_E_ARGUMENT,
                   "a picture of %d x %d pixels and %d channels%s: expected sides of 1 to %d, and "
                   "1 or 3 channels",
                   picture->width, picture->height, picture->channels,
                   picture->pixels ? "" : " at NULL", VT_IMAGE_SIDE_MAX);
}

/* Has it all the scales that it tells of? */
static variant_status check_scales(const variant_picture *picture, variant_error *err) {
    VT_TRY(vt_need_list(picture->scale_pixels, "scale_pixels", picture->scale_count, "scale_count",
                        err));
    for (int k = 0; k < picture->scale_count; ++k)
        if (!picture->scale_pixels[k])
            return vt_fail(err, VARIANT_E_ARGUMENT, "scale_pixels: number %d is NULL", k);
    return VARIANT_OK;
}

variant_status variant_picture_write_png(const variant_picture *picture, const char *path,
                                         variant_error *error) {
    VT_TRY(vt_picture_check(picture, error));
    vt_image image = view_of(picture, picture->pixels);
    vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, picture->settings}};
    return vt_image_write_png(&image, path, text, picture->settings ? 2 : 1, error);
}

variant_status variant_picture_write(const variant_picture *picture, const char *path, int quality,
                                     variant_error *error) {
    VT_TRY(vt_picture_check(picture, error));
    vt_image image = view_of(picture, picture->pixels);
    return vt_image_write(&image, path, quality, picture->settings, error);
}

variant_status variant_picture_encode(const variant_picture *picture, const char *format,
                                      int quality, uint8_t **bytes, size_t *size,
                                      variant_error *error) {
    VT_TRY(vt_picture_check(picture, error));
    VT_TRY(vt_need(bytes && size ? bytes : NULL, "nowhere to put a file's bytes, or their number",
                   error));
    vt_image image = view_of(picture, picture->pixels);
    return vt_image_encode(bytes, size, &image, format, quality, picture->settings, error);
}

variant_status variant_picture_path_check(const char *path, variant_error *error) {
    if (error) *error = (variant_error){0};
    return vt_image_path_check(path, error);
}

variant_status variant_picture_write_scale_png(const variant_picture *picture, int scale,
                                               const char *path, variant_error *error) {
    VT_TRY(vt_picture_check(picture, error));
    VT_TRY(check_scales(picture, error));
    if (scale < 0 || scale >= picture->scale_count)
        return vt_fail(error, VARIANT_E_ARGUMENT, "scale %d: this picture keeps %d", scale,
                       picture->scale_count);
    vt_image image = view_of(picture, picture->scale_pixels[scale]);
    vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, picture->settings}};
    return vt_image_write_png(&image, path, text, picture->settings ? 2 : 1, error);
}

#define MOST_ZOOM 4096

/* Pictures side by side as they are after a scale (-1: finished), for vt_image_free. */
static variant_status make_sheet(vt_image *sheet, const variant_picture *pictures, int count,
                                 int scale, int columns, int zoom, variant_error *err) {
    vt_image *images = malloc((size_t)count * sizeof *images);
    if (!images) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a sheet of %d", count);
    for (int i = 0; i < count; ++i)
        images[i] =
            view_of(&pictures[i], scale < 0 ? pictures[i].pixels : pictures[i].scale_pixels[scale]);
    variant_status status = vt_image_sheet(sheet, images, count, columns, 2 * zoom, zoom, err);
    free(images);
    return status;
}

variant_status variant_pictures_write_sheet(const variant_picture *pictures, int count, int columns,
                                            int zoom, const char *path, int quality,
                                            variant_error *error) {
    if (error) *error = (variant_error){0};
    if (!pictures || count < 1 || columns < 1 || zoom < 1 || zoom > MOST_ZOOM)
        return vt_fail(error, VARIANT_E_ARGUMENT,
                       "a sheet needs pictures, columns and a zoom of 1 to %d", MOST_ZOOM);
    for (int i = 0; i < count; ++i) VT_TRY(vt_picture_check(&pictures[i], error));
    vt_image sheet = {0};
    variant_status status = make_sheet(&sheet, pictures, count, -1, columns, zoom, error);
    if (status == VARIANT_OK)
        status = vt_image_write(&sheet, path, quality, pictures[0].settings, error);
    vt_image_free(&sheet);
    return status;
}

/* ---- growing ---- */

typedef struct growing {
    const variant_picture *pictures;
    int count;
    const variant_animation *how;
} growing;

static variant_status make_frame(void *user, int i, vt_image *out, variant_error *err) {
    const growing *g = user;
    if (g->how->columns > 0)
        return make_sheet(out, g->pictures, g->count, i, g->how->columns, g->how->zoom, err);
    const variant_picture *picture = g->pictures;
    VT_TRY(vt_image_new(out, picture->width, picture->height, picture->channels, err));
    memcpy(out->data, picture->scale_pixels[i],
           (size_t)picture->width * (size_t)picture->height * (size_t)picture->channels);
    return VARIANT_OK;
}

void variant_animation_init_sized(variant_animation *animation, size_t size) {
    const variant_animation defaults = {.zoom = 1, .frame_seconds = 0.4, .last_seconds = 2.0};
    vt_sized_init(animation, size, &defaults, sizeof defaults);
}

static int milliseconds(double seconds) {
    return seconds > 0.0 && seconds < 1e6 ? (int)(1e3 * seconds + 0.5) : 0;
}

static variant_status check_animation(const variant_picture *pictures, int count,
                                      const variant_animation *how, variant_error *err) {
    if (!pictures || count < 1 || how->columns < 0 || how->zoom < 1 || how->zoom > MOST_ZOOM ||
        (how->columns == 0 && count > 1))
        return vt_fail(
            err, VARIANT_E_ARGUMENT,
            "an animation needs a picture, or several, columns and a zoom of 1 at least");
    for (int i = 0; i < count; ++i)
        if (pictures[i].scale_count < 1 || pictures[i].scale_count != pictures[0].scale_count)
            return vt_fail(err, VARIANT_E_ARGUMENT,
                           "an animation needs pictures that kept their scales: picture %d has %d",
                           i, pictures[i].scale_count);
    for (int i = 0; i < count; ++i) VT_TRY(check_scales(&pictures[i], err));
    return VARIANT_OK;
}

variant_status variant_pictures_write_animation(const variant_picture *pictures, int count,
                                                const variant_animation *animation,
                                                const char *path, variant_error *error) {
    variant_animation how;
    if (error) *error = (variant_error){0};
    VT_TRY(VT_SIZED_TAKE(&how, animation, variant_animation, error));
    VT_TRY(check_animation(pictures, count, &how, error));
    for (int i = 0; i < count; ++i) VT_TRY(vt_picture_check(&pictures[i], error));
    growing user = {pictures, count, &how};
    const vt_animation all = {.frames = pictures[0].scale_count,
                              .delay_ms = milliseconds(how.frame_seconds),
                              .last_ms = milliseconds(how.last_seconds),
                              .plays = how.plays,
                              .frame = make_frame,
                              .user = &user};
    vt_image_text text[] = {{"Software", "variant"}, {VT_IMAGE_SETTINGS, pictures[0].settings}};
    return vt_image_write_animation(&all, path, text, pictures[0].settings ? 2 : 1, error);
}

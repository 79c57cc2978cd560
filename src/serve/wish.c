/* wish.c - see wish.h. Names and meanings of the members are those of the images API; what only this model can do stands
 * beside them at the top level. */
#include "serve/wish.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "serve/serve.h"

const char *const sv_quality_names[SV_QUALITIES] = {"low", "medium", "high", "auto"};

/* ---- which pictures ---- */

static bool read_prompt(sv_wish *w, const sv_wish_context *c, bool refined, sv_fault *fault) {
    const char *prompt = NULL;
    variant_error err;
    int count = 0;
    if (!sv_field_text(w->json, "prompt", &prompt, fault)) return false;
    if (!prompt && refined) return true; /* as before */
    if (!prompt || !*prompt)
        return sv_refuse(
            fault, 400, "missing_required_parameter", "prompt",
            "prompt is missing: expected a class's name or number, several with commas "
            "between them, or random");
    if (strlen(prompt) > 4000)
        return sv_refuse(fault, 400, "invalid_value", "prompt",
                         "prompt: %zu bytes, expected at most 4000", strlen(prompt));
    w->request.class_name = prompt;
    if (strcmp(prompt, "random") == 0 || strcmp(prompt, "all") == 0) return true;
    if (variant_engine_labels(c->engine, prompt, NULL, 0, &count, &err) == VARIANT_OK) return true;
    sv_refuse_error(fault, "prompt", &err);
    if (fault->status == 400) fault->code = "unknown_class";
    return false;
}

static bool read_size(const sv_wish *w, const sv_wish_context *c, sv_fault *fault) {
    const char *size = "auto";
    char own[32];
    if (!sv_field_text(w->json, "size", &size, fault)) return false;
    const variant_edit *edit = w->request.edits;
    snprintf(own, sizeof own, "%dx%d", edit ? edit->width : c->info.picture_side,
             edit ? edit->height : c->info.picture_side);
    if (strcmp(size, "auto") == 0 || strcmp(size, own) == 0) return true;
    return sv_refuse(fault, 400, "invalid_value", "size", "size: \"%.40s\", %s %s (or auto)", size,
                     edit ? "an edit has its picture's" : "this model makes pictures of", own);
}

/* ---- how deep ---- */

static bool read_depths(sv_wish *w, const sv_wish_context *c, sv_fault *fault) {
    double depths[VARIANT_MAX_SCALES];
    int count = 0;
    size_t used = 0;
    if (!sv_field_reals(w->json, "depths", 1, c->info.depth, VARIANT_MAX_SCALES, depths, &count,
                        fault))
        return false;
    if (count == 0) return true;
    if (count != c->info.scales)
        return sv_refuse(fault, 400, "invalid_value", "depths",
                         "depths: %d of them, expected one for each of %d scales", count,
                         c->info.scales);
    for (int k = 0; k < count; ++k) {
        if (depths[k] != (double)(int)depths[k])
            return sv_refuse(fault, 400, "invalid_value", "depths",
                             "depths: expected whole numbers");
        used += (size_t)snprintf(w->depths + used, sizeof w->depths - used, "%s%d", k ? "," : "",
                                 (int)depths[k]);
    }
    w->request.depths = w->depths;
    w->request.depth = 0;
    w->request.bridge = -1;
    return true;
}

/* Names of layers live in the wish: the model that told them may be closed before it. */
static void keep_layers(sv_wish *w, const variant_request *from) {
    variant_request *r = &w->request;
    const bool both = from->uncond_layers != NULL;
    if (!from->layers) return;
    if (from->layers != w->layers) snprintf(w->layers, sizeof w->layers, "%s", from->layers);
    r->layers = w->layers;
    r->uncond_layers = both ? w->layers : NULL;
}

void sv_wish_take_plan(sv_wish *w, const variant_plan *plan, const char *why) {
    const int batch = w->request.batch;
    w->request.depths = NULL;
    variant_plan_apply(plan, &w->request);
    w->request.batch = batch;
    keep_layers(w, &w->request);
    w->depth_chosen = false;
    snprintf(w->why, sizeof w->why, "%s", why);
}

/* What says the depth, if anything but a latency does. */
static bool read_latency(sv_wish *w, const char *chosen, bool named_quality, sv_fault *fault) {
    if (!sv_field_real(w->json, "max_latency", 0.001, 86400, &w->max_latency, fault)) return false;
    if (w->max_latency <= 0.0) return true;
    if (!chosen && named_quality && w->quality != SV_AUTO) chosen = "quality";
    if (!chosen) return true;
    return sv_refuse(fault, 400, "invalid_value", "max_latency",
                     "max_latency chooses the depth: give no %s with it", chosen);
}

static bool read_depth(sv_wish *w, const sv_wish_context *c, bool refined, sv_fault *fault) {
    static const char *const named[] = {"depth", "bridge", "depths"};
    int quality = w->quality;
    const char *chosen = NULL;
    for (int i = 0; i < 3; ++i)
        if (sv_field(w->json, named[i])) chosen = named[i];
    if (chosen) {
        w->request.depths = NULL;
        if (!sv_field_int(w->json, "depth", 0, c->info.depth, &w->request.depth, fault) ||
            !sv_field_int(w->json, "bridge", 0, c->info.scales, &w->request.bridge, fault) ||
            !read_depths(w, c, fault))
            return false;
        if (w->request.depths && (sv_field(w->json, "depth") || sv_field(w->json, "bridge")))
            return sv_refuse(fault, 400, "invalid_value", "depths",
                             "depths says every scale's layers: give no depth or bridge with it");
        w->depth_chosen = true;
        snprintf(w->why, sizeof w->why, "asked for");
    }
    /* standard and hd are older models' names */
    if (!sv_field_word(w->json, "quality", "low|medium|high|auto|standard|hd", &quality, fault))
        return false;
    if (quality > SV_AUTO) quality = quality == SV_AUTO + 1 ? SV_AUTO : SV_HIGH;
    const bool named_quality = sv_field(w->json, "quality") != NULL;
    w->quality = quality;
    if (!read_latency(w, chosen, named_quality, fault)) return false;
    w->auto_depth = !refined && !chosen && quality == SV_AUTO && w->max_latency <= 0.0;
    if (chosen || (w->depth_chosen && !named_quality) || !c->planned[quality]) return true;
    sv_wish_take_plan(w, &c->plans[quality], c->plans[quality].why);
    return true;
}

/* ---- sampling and guidance ---- */

static bool read_guidance(sv_wish *w, const sv_wish_context *c, sv_fault *fault) {
    double scale = (double)w->request.cfg_scale, scales[VARIANT_MAX_SCALES];
    int count = 0;
    if (!sv_field_real(w->json, "cfg_scale", 0, 100, &scale, fault) ||
        !sv_field_reals(w->json, "cfg_scales", 0, 100, VARIANT_MAX_SCALES, scales, &count, fault) ||
        !sv_field_int(w->json, "uncond_depth", 0, c->info.depth, &w->request.uncond_depth, fault))
        return false;
    if (sv_field(w->json, "cfg_scale"))
        w->request.cfg_scales = NULL, w->request.cfg_scale_count = 0;
    w->request.cfg_scale = (float)scale;
    if (count == 0) return true;
    if (sv_field(w->json, "cfg_scale"))
        return sv_refuse(fault, 400, "invalid_value", "cfg_scales",
                         "cfg_scales says every scale's guidance: give no cfg_scale with it");
    if (count != c->info.scales)
        return sv_refuse(fault, 400, "invalid_value", "cfg_scales",
                         "cfg_scales: %d of them, expected one for each of %d scales", count,
                         c->info.scales);
    for (int k = 0; k < count; ++k) w->cfg_scales[k] = (float)scales[k];
    w->request.cfg_scales = w->cfg_scales;
    w->request.cfg_scale_count = count;
    return true;
}

static bool read_sampling(sv_wish *w, sv_fault *fault) {
    double top_p = (double)w->request.top_p;
    if (!sv_field_seed(w->json, "seed", &w->request.seed, fault) ||
        !sv_field_int(w->json, "top_k", 0, 1 << 24, &w->request.top_k, fault) ||
        !sv_field_real(w->json, "top_p", 0, 1, &top_p, fault))
        return false;
    w->request.top_p = (float)top_p;
    return true;
}

/* ---- how it is handed over ---- */

static bool read_answer(sv_wish *w, const sv_wish_context *c, sv_fault *fault) {
    static const char *const formats[] = {"png", "jpeg"};
    int form = w->url, format = strcmp(w->format, "jpeg") == 0;
    w->deadline = c->deadline;
    if (!sv_field_word(w->json, "response_format", "b64_json|url", &form, fault) ||
        !sv_field_word(w->json, "output_format", "png|jpeg", &format, fault) ||
        !sv_field_int(w->json, "output_compression", 0, 100, &w->compression, fault) ||
        !sv_field_bool(w->json, "stream", &w->stream, fault) ||
        !sv_field_int(w->json, "partial_images", 0, SV_MOST_PARTIALS, &w->partials, fault) ||
        !sv_field_real(w->json, "deadline", VT_SERVE_LEAST_DEADLINE, c->deadline, &w->deadline,
                       fault))
        return false;
    w->url = form == 1;
    w->format = formats[format];
    /* 0 is the smallest file there */
    if (sv_field(w->json, "output_compression") && w->compression == 0) w->compression = 1;
    if (!w->stream) w->partials = 0;
    if (w->partials > c->info.scales - 1) w->partials = c->info.scales - 1;
    return true;
}

int sv_partial_scale(const sv_wish *wish, int scales, int index) {
    const int scale = (index + 1) * scales / (wish->partials + 1);
    return scale < 1 ? 1 : scale > scales - 1 ? scales - 1 : scale;
}

/* ---- edits ---- */

static bool read_edit(sv_wish *w, sv_fault *fault) {
    const variant_edit *edit = &w->edit.edit;
    if (!w->request.edits) return true;
    const int most = edit->width > edit->height ? edit->width : edit->height;
    return sv_field_int(w->json, "grow", 0, most, &w->edit.edit.grow, fault) &&
           sv_field_int(w->json, "feather", 0, most, &w->edit.edit.feather, fault);
}

/* ---- all of it ---- */

static void begin(sv_wish *w, const sv_wish_context *c, const sv_wish *from, const sv_edit *edit,
                  cJSON *json) {
    if (from) {
        *w = *from;
        w->tokens = NULL;
        w->edit = (sv_edit){0};
        w->stream = false;
        w->max_latency = w->expected = 0.0;
        keep_layers(w, &from->request);
        w->request.class_name = NULL;
        w->request.labels = NULL;
        w->request.label_count = 0;
        if (w->request.depths) w->request.depths = w->depths;
        if (w->request.cfg_scales) w->request.cfg_scales = w->cfg_scales;
    } else {
        *w = (sv_wish){.format = "png", .quality = SV_AUTO, .why = "the model's own"};
        variant_request_init(&w->request);
        w->request.class_name = NULL;
        w->request.seed = sv_draw_seed();
    }
    w->request.batch = c->batch;
    w->json = json;
    if (!edit) return;
    w->edit = *edit;
    w->request.edits = &w->edit.edit;
    w->request.edit_count = 1;
}

/* A picture that nobody would look at: what is drawn would not be what was asked. */
static bool refuse_pictures(const cJSON *json, sv_fault *fault) {
    static const char *const names[] = {"image", "images", "mask"};
    for (size_t i = 0; i < sizeof names / sizeof *names; ++i)
        if (sv_field(json, names[i]))
            return sv_refuse(fault, 400, "invalid_value", names[i],
                             "%s: here pictures are drawn from nothing; POST /api/jobs/edits and "
                             "/v1/images/edits take one",
                             names[i]);
    return true;
}

bool sv_wish_read(sv_wish *out, const sv_wish_context *context, const sv_wish *from,
                  const sv_edit *edit, cJSON *json, sv_fault *fault) {
    begin(out, context, from, edit, json);
    if (!edit && !refuse_pictures(json, fault)) return false;
    if (from && (sv_field(json, "n") || sv_field(json, "size")))
        return sv_refuse(fault, 400, "invalid_value", sv_field(json, "n") ? "n" : "size",
                         "a refined picture has the size and number of the one before");
    return read_prompt(out, context, from != NULL, fault) &&
           sv_field_int(json, "n", 1, SV_MOST_PICTURES, &out->request.count, fault) &&
           read_size(out, context, fault) && read_depth(out, context, from != NULL, fault) &&
           read_guidance(out, context, fault) && read_sampling(out, fault) &&
           read_edit(out, fault) && read_answer(out, context, fault);
}

void sv_wish_free(sv_wish *wish) {
    cJSON_Delete(wish->json);
    sv_edit_free(&wish->edit);
    free(wish->tokens);
    wish->json = NULL;
    wish->tokens = NULL;
}

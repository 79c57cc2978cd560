/* request.c - see request.h. */
#include "engine/request.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"
#include "core/sized.h"
#include "engine/picture.h"

#define DEFAULT_BATCH 8

void variant_request_init_sized(variant_request *request, size_t size) {
    const variant_request defaults = {.class_name = "random",
                                      .count = 1,
                                      .cfg_scale = 1.5f,
                                      .top_k = 900,
                                      .top_p = 0.96f,
                                      .bridge = -1,
                                      .uncond_depth = -1,
                                      .cfg_late = -1.0f};
    vt_sized_init(request, size, &defaults, sizeof defaults);
}

void variant_report_init_sized(variant_report *report, size_t size) {
    vt_sized_init(report, size, &(variant_report){0}, sizeof *report);
}

void variant_memory_init_sized(variant_memory *memory, size_t size) {
    vt_sized_init(memory, size, &(variant_memory){0}, sizeof *memory);
}

static variant_status check_lists(const variant_request *r, variant_error *err) {
    VT_TRY(vt_need_list(r->labels, "labels", r->label_count, "label_count", err));
    VT_TRY(vt_need_list(r->given_tokens, "given_tokens", r->given_count, "given_count", err));
    VT_TRY(vt_need_list(r->edits, "edits", r->edit_count, "edit_count", err));
    return vt_need_list(r->cfg_scales, "cfg_scales", r->cfg_scale_count, "cfg_scale_count", err);
}

static variant_status check_request(const variant_request *r, variant_error *err) {
    VT_TRY(check_lists(r, err));
    if (r->count < 1 || r->count > 1000000)
        return vt_fail(err, VARIANT_E_ARGUMENT, "count %d: expected 1 to 1000000 pictures",
                       r->count);
    if (r->batch < 0 || r->batch > 4096)
        return vt_fail(err, VARIANT_E_ARGUMENT, "batch %d: expected 0 to 4096", r->batch);
    if (r->first_image < 0 || r->first_image > INT32_MAX - r->count)
        return vt_fail(err, VARIANT_E_ARGUMENT, "first image %d: expected 0 to %d", r->first_image,
                       INT32_MAX - r->count);
    if (r->greedy && r->smooth)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "greedy takes the most likely code, smooth mixes several drawn at random: "
                       "give one of them");
    if (r->top_k < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "top k %d: expected 0 (off) or more", r->top_k);
    if (!(r->top_p >= 0.0f && r->top_p <= 1.0f))
        return vt_fail(err, VARIANT_E_ARGUMENT, "top p %g: expected 0 to 1", (double)r->top_p);
    return VARIANT_OK;
}

static bool is_all(const variant_request *r) {
    return !r->labels && r->class_name && strcmp(r->class_name, "all") == 0;
}

/* The classes that the request names, one after another; none for random and all. free() *out. */
static variant_status named_labels(const vt_choices *c, int32_t **out, int *count,
                                   variant_error *err) {
    const variant_request *r = &c->request;
    const char *text = r->class_name;
    if (!r->labels) {
        if (!text || is_all(r) || strcmp(text, "random") == 0) return VARIANT_OK;
        return vt_model_classes(c->engine->model, text, out, count, err);
    }
    if (r->label_count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d labels: expected 1 or more", r->label_count);
    for (int i = 0; i < r->label_count; ++i)
        if (r->labels[i] < 0 || r->labels[i] > c->config->classes)
            return vt_fail(err, VARIANT_E_ARGUMENT, "label %d: expected 0 to %d, or %d for none",
                           r->labels[i], c->config->classes - 1, c->config->classes);
    *out = malloc((size_t)r->label_count * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d labels", r->label_count);
    memcpy(*out, r->labels, (size_t)r->label_count * sizeof **out);
    *count = r->label_count;
    return VARIANT_OK;
}

static variant_status choose_labels(vt_choices *c, variant_error *err) {
    const variant_request *r = &c->request;
    int32_t *named = NULL;
    int count = 0;
    VT_TRY(named_labels(c, &named, &count, err));
    c->labels = malloc((size_t)r->count * sizeof *c->labels);
    for (int i = 0; c->labels && i < r->count; ++i) {
        int image = r->first_image + i;
        double drawn = vt_uniform(r->seed, VT_RNG_CLASS, (uint32_t)image, 0, 0);
        c->labels[i] = count       ? named[image % count]
                       : is_all(r) ? image % c->config->classes
                                   : (int)(drawn * c->config->classes);
    }
    free(named);
    return c->labels ? VARIANT_OK
                     : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d labels", r->count);
}

static variant_status choose_given(vt_choices *c, variant_error *err) {
    const variant_request *r = &c->request;
    const int scales = c->config->scales, length = vt_transformer_tokens(c->config);
    c->scales = r->scales ? r->scales : scales;
    if (r->scales < 0 || r->scales > scales)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d scales: this model has 1 to %d", r->scales,
                       scales);
    if (!r->given_tokens && r->given_scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d scales given, but no tokens of them: expected given_tokens",
                       r->given_scales);
    if (!r->given_tokens) return VARIANT_OK;
    if (r->given_count < 1 || r->given_scales < 0 || r->given_scales > scales)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "%d scales given of %d pictures: expected 0 to %d of 1 or more",
                       r->given_scales, r->given_count, scales);
    const size_t count = (size_t)r->given_count * (size_t)length;
    int rows = 0;
    for (int k = 0; k < r->given_scales; ++k) rows += c->config->sides[k] * c->config->sides[k];
    for (size_t i = 0; i < count; ++i) {
        int32_t token = r->given_tokens[i];
        if ((int)(i % (size_t)length) < rows && (token < 0 || token >= c->config->codes))
            return vt_fail(
                err, VARIANT_E_ARGUMENT, "given token %d of picture %d: %d, expected 0 to %d",
                (int)(i % (size_t)length), (int)(i / (size_t)length), token, c->config->codes - 1);
    }
    c->given = malloc(count * sizeof *c->given);
    if (!c->given) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %zu tokens", count);
    memcpy(c->given, r->given_tokens, count * sizeof *c->given);
    return VARIANT_OK;
}

/* Previews that nobody keeps take the small decoder wherever there is one and nothing else was asked for. */
static variant_status choose_decoder(vt_choices *c, variant_error *err) {
    const char *name = c->request.decoder;
    const bool has = c->engine->model->preview != NULL;
    c->decoder = VT_DECODER_FULL;
    c->preview_decoder = has && !name ? VT_DECODER_PREVIEW : VT_DECODER_FULL;
    if (!name || strcmp(name, "full") == 0) return VARIANT_OK;
    if (strcmp(name, "preview") != 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "decoder \"%.40s\": expected full or preview",
                       name);
    const char *hash = c->request.decoder_hash, *own = c->engine->model->preview_hash;
    if (hash && strcmp(hash, own) != 0)
        return vt_fail(err, VARIANT_E_MODEL,
                       "the picture was decoded by the preview decoder %.40s, this model has %s: "
                       "decoder \"full\" takes the tokenizer's own",
                       hash, has ? own : "none");
    if (!has) return vt_model_fail_preview(err);
    c->decoder = c->preview_decoder = VT_DECODER_PREVIEW;
    return VARIANT_OK;
}

/* What is to be said of it. */
static void tell_edit(vt_choices *c, const vt_edit *edit) {
    const char *edited = c->request.edited;
    char is[40];
    snprintf(is, sizeof is, "%s %s", edit->picture_hash, edit->mask_hash);
    if (edited && strcmp(is, edited) != 0)
        snprintf(c->warning, sizeof c->warning,
                 "the settings are of an edit of another picture or mask (%s, these are %s)",
                 edited, is);
    else if (edit->whole)
        snprintf(c->warning, sizeof c->warning,
                 "the mask leaves nothing of the picture: it is drawn as if there were none");
}

/* One of the caller's edits, which lie as far apart as their size says. */
static variant_status take_edit(variant_edit *out, const variant_request *r, int at,
                                variant_error *err) {
    size_t size;
    memcpy(&size, r->edits, sizeof size);
    return VT_SIZED_TAKE(out, (const char *)r->edits + (size_t)at * size, variant_edit, err);
}

static variant_status choose_edits(vt_choices *c, variant_error *err) {
    const variant_request *r = &c->request;
    const vt_params *tokenizer = vt_tokenizer_params(c->engine->model->tokenizer);
    const int used = r->edit_count < r->count ? r->edit_count : r->count;
    if (!r->edits && r->edited)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "it is an edit of a picture and a mask (%s), which are to be given again",
                       r->edited);
    if (!r->edits) return VARIANT_OK;
    if (r->given_tokens)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a picture to edit and given tokens: one of them says what is kept");
    if (r->edit_count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d pictures to edit: expected 1 or more",
                       r->edit_count);
    if (vt_params_find(tokenizer, "encoder.conv_in.weight")->flags & VT_PARAM_SKIPPED)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "a picture to edit: the engine was opened without its encoder "
                       "(variant_engine_options.encoder)");
    c->edits = calloc((size_t)r->edit_count, sizeof *c->edits);
    if (!c->edits) return vt_fail(err, VARIANT_E_MEMORY, "no memory for pictures to edit");
    for (int i = 0; i < used; ++i) {
        const int at = (r->first_image + i) % r->edit_count;
        variant_edit edit;
        VT_TRY(take_edit(&edit, r, at, err));
        VT_TRY(
            (c->sizes_only ? vt_edit_measure : vt_edit_make)(&c->edits[at], &edit, c->engine, err));
        if (!c->sizes_only) tell_edit(c, &c->edits[at]);
    }
    return VARIANT_OK;
}

const vt_edit *vt_choices_edit(const vt_choices *c, int index) {
    return c->edits ? &c->edits[(c->request.first_image + index) % c->request.edit_count] : NULL;
}

static variant_status make(vt_choices *c, const variant_engine *engine,
                           const variant_request *request, bool sizes_only, variant_error *err) {
    *c = (vt_choices){.engine = engine,
                      .request = *request,
                      .config = vt_transformer_configuration(engine->model->transformer),
                      .sizes_only = sizes_only};
    VT_TRY(check_request(request, err));
    VT_TRY(choose_decoder(c, err));
    VT_TRY(vt_branches_make(&c->branches, engine->model, request, err));
    VT_TRY(choose_labels(c, err));
    VT_TRY(choose_given(c, err));
    VT_TRY(choose_edits(c, err));
    if (c->branches.guided_scales > c->scales) c->branches.guided_scales = c->scales;
    c->batch = request->batch ? request->batch : DEFAULT_BATCH;
    if (c->batch > request->count) c->batch = request->count;
    if (!c->warning[0])
        vt_branches_warn(&c->branches, engine->model, c->warning, sizeof c->warning);
    /* nothing that the request points to is asked for again, but its callbacks and its cancel flag */
    c->request.class_name = c->request.depths = c->request.layers = NULL;
    c->request.uncond_depths = c->request.uncond_layers = NULL;
    c->request.labels = NULL;
    c->request.decoder = c->request.decoder_hash = NULL;
    c->request.given_tokens = NULL;
    c->request.edits = NULL;
    c->request.edited = NULL;
    if (c->request.cfg_scales) c->request.cfg_scales = c->branches.guide;
    return VARIANT_OK;
}

variant_status vt_choices_make(vt_choices *c, const variant_engine *engine,
                               const variant_request *request, variant_error *err) {
    return make(c, engine, request, false, err);
}

variant_status vt_choices_measure(vt_choices *c, const variant_engine *engine,
                                  const variant_request *request, variant_error *err) {
    return make(c, engine, request, true, err);
}

void vt_choices_free(vt_choices *c) {
    free(c->labels);
    free(c->given);
    for (int i = 0; c->edits && i < c->request.edit_count; ++i) vt_edit_free(&c->edits[i]);
    free(c->edits);
    c->labels = c->given = NULL;
    c->edits = NULL;
}

void vt_choices_report(const vt_choices *c, variant_report *report) {
    vt_branches drawn = c->branches; /* the scales that are */
    drawn.cond.scales = drawn.uncond.scales = c->scales;
    *report = (variant_report){.size = sizeof *report, .scales = c->scales};
    for (int k = 0; k < c->scales; ++k)
        report->scale_layers[k] = vt_schedule_depth_at(&drawn.cond, k);
    vt_schedule_describe(&drawn.cond, report->depths, sizeof report->depths);
    vt_branches_describe_uncond(&drawn, report->uncond_depths, sizeof report->uncond_depths);
    snprintf(report->warning, sizeof report->warning, "%s", c->warning);
}

/* Scales whose tokens are given: codes, never mixtures. */
static int given_scales(const vt_choices *c) {
    return c->given ? c->request.given_scales : 0;
}

vt_join vt_choices_join(const vt_choices *c, int index) {
    const vt_edit *edit = vt_choices_edit(c, index);
    return (vt_join){
        .label = c->labels[index],
        .schedule = &c->branches.cond,
        .scales = c->scales,
        .uncond = c->branches.guided_scales > 0 ? &c->branches.uncond : NULL,
        .uncond_scales = c->branches.guided_scales,
        .smooth = c->request.smooth && given_scales(c) < c->scales,
        .retain_kv = c->request.retain_kv,
        .decoders = (int)c->decoder |
                    (c->request.preview && !c->request.keep_scales ? (int)c->preview_decoder : 0),
        .known = edit ? &edit->known : NULL,
        .index = index};
}

vt_loop_parts vt_engine_parts(const variant_engine *engine) {
    return (vt_loop_parts){.kern = engine->kern,
                           .transformer = engine->model->transformer,
                           .tokenizer = engine->model->tokenizer,
                           .preview = engine->model->preview,
                           .kv = engine->kv};
}

/* ---- what a request takes ---- */

/* How many classes the labels name, guidance's none among them, which decides what their condition takes. seen:
 * (classes + 1) */
static int count_classes(const vt_choices *c, const int32_t *labels, int count, uint8_t *seen) {
    const int none = c->config->classes;
    int different = c->branches.guided_scales > 0;
    memset(seen, 0, (size_t)none + 1);
    seen[none] = c->branches.guided_scales > 0;
    for (int i = 0; i < count; ++i) {
        different += !seen[labels[i]];
        seen[labels[i]] = 1;
    }
    return different;
}

/* The most that any batch takes: each larger one, and each with more different classes, is measured. */
static variant_status measure_batches(const vt_choices *c, uint8_t *seen, vt_join *joins,
                                      vt_loop_bytes *most, variant_error *err) {
    const vt_loop_parts parts = vt_engine_parts(c->engine);
    int largest = 0, labels = 0;
    for (int first = 0; first < c->request.count; first += c->batch) {
        int batch = c->request.count - first < c->batch ? c->request.count - first : c->batch;
        int different = count_classes(c, c->labels + first, batch, seen);
        vt_loop_bytes bytes;
        if (batch <= largest && different <= labels) continue;
        largest = batch > largest ? batch : largest;
        labels = different > labels ? different : labels;
        for (int i = 0; i < batch; ++i) joins[i] = vt_choices_join(c, first + i);
        VT_TRY(vt_loop_measure(&bytes, &parts, joins, batch, err));
        if (bytes.step > most->step) most->step = bytes.step;
        if (bytes.held > most->held) most->held = bytes.held;
        if (bytes.kv > most->kv) most->kv = bytes.kv;
    }
    return VARIANT_OK;
}

/* Finished pictures of the request, and what of them its edits take beyond: all that are held and the most that one takes
 * while it is made, before there are pictures, or laid back, when there are. */
static void measure_pictures(const vt_choices *c, variant_memory *out) {
    const int used =
        c->request.edit_count < c->request.count ? c->request.edit_count : c->request.count;
    size_t held = 0, making = 0, laying = 0;
    for (int i = 0; i < c->request.count; ++i)
        out->pictures +=
            vt_picture_bytes(c, vt_choices_edit(c, i), c->request.keep_scales ? c->scales : 0);
    for (int i = 0; c->edits && i < used; ++i) {
        const vt_edit *edit = vt_choices_edit(c, i);
        held += edit->held;
        if (held + edit->making > making) making = held + edit->making;
        if (edit->laying > laying) laying = edit->laying;
    }
    out->edits = held + laying;
    if (making > out->edits + out->pictures) out->edits = making - out->pictures;
}

variant_status variant_request_memory(const variant_engine *engine, const variant_request *request,
                                      variant_memory *memory, variant_error *error) {
    vt_choices c;
    variant_status status = VARIANT_OK;
    vt_loop_bytes most = {0};
    uint8_t *seen = NULL;
    vt_join *joins = NULL;
    const variant_info *info = variant_engine_info(engine);
    variant_request today;
    variant_memory told;
    VT_TRY(vt_need(engine, VT_NO_ENGINE, error));
    VT_TRY(VT_SIZED_TAKE(&today, request, variant_request, error));
    VT_TRY(vt_sized_clear(memory, "variant_memory", error));
    VT_CHECK(vt_choices_measure(&c, engine, &today, error));
    seen = malloc((size_t)c.config->classes + 1);
    joins = malloc((size_t)c.batch * sizeof *joins);
    if (!seen || !joins) VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for labels"));
    VT_CHECK(measure_batches(&c, seen, joins, &most, error));
    told = (variant_memory){.weights = info->weight_bytes,
                            .mapped = info->mapped_bytes,
                            .arena = most.step + most.held,
                            .kv = most.kv};
    measure_pictures(&c, &told);
    vt_sized_give(memory, &told, sizeof told);
cleanup:
    free(seen);
    free(joins);
    vt_choices_free(&c);
    return status;
}

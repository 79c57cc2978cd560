/* classify.c - variant_classify: pictures to classes and features. */
#include <stdlib.h>
#include <string.h>

#include "core/sized.h"
#include "engine/codec.h"
#include "eval/library.h"
#include "io/picture_list.h"

enum { BATCH = 64 };

/* Pictures on their way through the network. */
typedef struct classification {
    variant_judge *judge;
    const vt_features_info *info;
    vt_picture_list pictures;
    int count, available; /* taken, spread evenly over those there are */
    vt_codec *through;    /* NULL: none; and room for a batch of its tokens */
    int32_t *tokens;
    size_t floats;
    float *batch; /* (BATCH, side, side, channels) */
    int *classes; /* of the data's own classes: the network's; NULL: they have none */
} classification;

void variant_classes_free(variant_classes **classes) {
    variant_classes *c = classes ? *classes : NULL;
    if (!c) return;
    for (int i = 0; c->names && i < c->count; ++i) free(c->names[i]);
    free(c->names);
    free(c->probabilities);
    free(c->labels);
    free(c->expected);
    free(c->features);
    free(c);
    *classes = NULL;
}

static variant_status no_memory(int count, variant_error *err) {
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for the classes of %d pictures", count);
}

static variant_status result_new(variant_classes **out, const classification *c,
                                 variant_error *err) {
    variant_classes *r = *out = calloc(1, sizeof *r);
    if (!r) return no_memory(c->count, err);
    const size_t n = (size_t)c->count;
    r->count = c->count;
    r->classes = c->info->classes;
    r->dims = c->info->dims;
    r->probabilities = malloc(n * (size_t)r->classes * sizeof *r->probabilities);
    r->features = malloc(n * (size_t)r->dims * sizeof *r->features);
    r->labels = malloc(n * sizeof *r->labels);
    r->expected = c->classes ? malloc(n * sizeof *r->expected) : NULL;
    r->names = calloc(n, sizeof *r->names);
    return r->probabilities && r->features && r->labels && r->names && (r->expected || !c->classes)
               ? VARIANT_OK
               : no_memory(c->count, err);
}

/* ---- opening ---- */

/* The network's class of every class of the data: by name, where both have names, else by number. A class that is not the network's is
 * E_MODEL. */
static variant_status match_classes(classification *c, variant_error *err) {
    const vt_dataset *set = c->pictures.dataset;
    const vt_features *network = c->judge->judge.features;
    if (c->info->inception || !vt_picture_list_labelled(&c->pictures)) return VARIANT_OK;
    c->classes = calloc((size_t)vt_dataset_classes(set) + 1, sizeof *c->classes);
    if (!c->classes) return no_memory(vt_dataset_classes(set), err);
    for (int i = 0; i < vt_dataset_classes(set); ++i) {
        const char *name = vt_dataset_class_name(set, i);
        const bool named = vt_features_class_name(network, 0) && !vt_judge_numbered(set);
        int label = named || i >= c->info->classes ? -1 : i;
        for (int j = 0; j < c->info->classes && label < 0; ++j) {
            const char *own = vt_features_class_name(network, j);
            if (own && strcmp(own, name) == 0) label = j;
        }
        if (label < 0)
            return vt_fail(err, VARIANT_E_MODEL, "%s: its class %s is not one of the classifier's",
                           c->pictures.data.count ? c->pictures.data.paths[0] : VT_ARRAY_NAME,
                           name);
        c->classes[i] = label;
    }
    return VARIANT_OK;
}

static variant_status open_through(classification *c, variant_tokenizer *tokenizer,
                                   variant_error *err) {
    if (!tokenizer) return VARIANT_OK;
    const variant_token_shape *shape = variant_tokenizer_shape(tokenizer);
    if (shape->picture_side != c->info->side || shape->channels != c->info->channels)
        return vt_fail(err, VARIANT_E_MODEL,
                       "the tokenizer's pictures are %d x %d with %d channels, the network's %d x "
                       "%d with %d",
                       shape->picture_side, shape->picture_side, shape->channels, c->info->side,
                       c->info->side, c->info->channels);
    c->through = vt_codec_of(tokenizer);
    c->tokens = malloc(BATCH * (size_t)shape->tokens * sizeof *c->tokens);
    return c->tokens ? VARIANT_OK : no_memory(BATCH, err);
}

static void pass_note(void *user, const char *line) {
    const variant_judge *j = user;
    if (j->options.note) j->options.note(j->options.user, line);
}

static variant_status open_pictures(classification *c, const variant_data *given, int count,
                                    variant_error *err) {
    c->info = &c->judge->judge.network;
    c->pictures = (vt_picture_list){
        .side = c->info->side, .channels = c->info->channels, .note = pass_note, .user = c->judge};
    if (count < 0) return vt_fail(err, VARIANT_E_ARGUMENT, "count %d: expected 0 or more", count);
    VT_TRY(vt_data_take_as(&c->pictures.data, given, "pictures", VT_SPLIT_ALL, err));
    VT_TRY(vt_judge_follow(&c->judge->judge, &c->pictures.data, err));
    VT_TRY(vt_picture_list_open(&c->pictures, c->pictures.data.files ? count : 0, err));
    c->available = c->count = c->pictures.count;
    if (count > 0 && count < c->count) c->count = count;
    c->floats = (size_t)c->info->side * (size_t)c->info->side * (size_t)c->info->channels;
    c->batch = malloc(BATCH * c->floats * sizeof *c->batch);
    return c->batch ? match_classes(c, err) : no_memory(BATCH, err);
}

/* ---- running ---- */

static int place(const classification *c, int i) {
    return (int)((int64_t)i * c->available / c->count);
}

/* n pictures in [-1, 1], in c->batch, as [0, 1]; where it is wanted what a tokenizer makes of them. */
static variant_status prepare(classification *c, int n, variant_error *err) {
    if (c->through) {
        VT_TRY(vt_codec_encode(c->through, n, c->batch, c->tokens, err));
        VT_TRY(vt_codec_decode(c->through, n, c->tokens, c->batch, err));
    }
    for (size_t i = 0; i < (size_t)n * c->floats; ++i) {
        const float x = 0.5f * (c->batch[i] + 1.0f);
        c->batch[i] = x < 0.0f ? 0.0f : x > 1.0f ? 1.0f : x;
    }
    return VARIANT_OK;
}

static int likeliest(const float *probabilities, int classes) {
    int best = 0;
    for (int j = 1; j < classes; ++j)
        if (probabilities[j] > probabilities[best]) best = j;
    return best;
}

static variant_status run_batch(classification *c, variant_classes *r, int first, int n,
                                variant_error *err) {
    float *probabilities = r->probabilities + (size_t)first * (size_t)r->classes;
    for (int i = 0; i < n; ++i) {
        const int at = place(c, first + i);
        VT_TRY(vt_picture_list_read(&c->pictures, at, c->batch + (size_t)i * c->floats, err));
        if (!(r->names[first + i] = vt_picture_list_name(&c->pictures, at)))
            return no_memory(c->count, err);
        if (r->expected)
            r->expected[first + i] = c->classes[vt_picture_list_label(&c->pictures, at)];
    }
    VT_TRY(prepare(c, n, err));
    VT_TRY(vt_features_run(c->judge->judge.features, c->batch, n, c->info->side, c->info->side,
                           c->info->channels, r->features + (size_t)first * (size_t)r->dims, NULL,
                           probabilities, err));
    for (int i = 0; i < n; ++i)
        r->labels[first + i] =
            likeliest(probabilities + (size_t)i * (size_t)r->classes, r->classes);
    return VARIANT_OK;
}

static variant_status run_all(classification *c, variant_classes *r, variant_error *err) {
    for (int first = 0; first < c->count; first += BATCH) {
        const int n = c->count - first < BATCH ? c->count - first : BATCH;
        VT_TRY(run_batch(c, r, first, n, err));
        if (!vt_judge_goes_on(c->judge, "pictures", first + n, c->count))
            return vt_fail(err, VARIANT_E_STOPPED, "stopped after %d of %d pictures", first + n,
                           c->count);
    }
    return VARIANT_OK;
}

variant_status variant_classify(variant_judge *judge, const variant_data *pictures, int count,
                                variant_tokenizer *through, variant_classes **out,
                                variant_error *error) {
    classification c = {.judge = judge};
    variant_status status = VARIANT_OK;
    if (error) *error = (variant_error){0};
    if (!judge || !out)
        return vt_fail(error, VARIANT_E_ARGUMENT, "expected an open judge, and room for classes");
    *out = NULL;
    VT_CHECK(open_pictures(&c, pictures, count, error));
    VT_CHECK(open_through(&c, through, error));
    VT_CHECK(result_new(out, &c, error));
    VT_CHECK(run_all(&c, *out, error));
cleanup:
    vt_picture_list_close(&c.pictures);
    free(c.classes);
    free(c.tokens);
    free(c.batch);
    if (status != VARIANT_OK) variant_classes_free(out);
    return status;
}

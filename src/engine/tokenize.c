/* tokenize.c - the public functions around a tokenizer: opening one, encode, decode, reconstruct. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/psnr.h"
#include "core/sized.h"
#include "engine/codec.h"
#include "engine/engine.h"
#include "engine/tokens.h"
#include "io/picture_list.h"

struct variant_tokenizer {
    vt_kern *kern; /* owned, as is the model; NULL: an engine's */
    vt_model *model;
    vt_codec codec;
    variant_token_shape shape;
};

void variant_tokenize_options_init_sized(variant_tokenize_options *out, size_t size) {
    const variant_tokenize_options defaults = {0};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

void variant_fidelity_init_sized(variant_fidelity *out, size_t size) {
    const variant_fidelity defaults = {0};
    vt_sized_init(out, size, &defaults, sizeof defaults);
}

/* ---- opening ---- */

static void describe(variant_tokenizer *t, vt_number weights) {
    const vt_model *model = t->codec.model;
    const vt_tokenizer_config *config = vt_tokenizer_configuration(model->tokenizer);
    t->shape = (variant_token_shape){.scales = config->scales,
                                     .tokens = vt_tokenizer_tokens(config),
                                     .codes = config->codes,
                                     .latent_dim = config->latent_dim,
                                     .picture_side = vt_tokenizer_side(config),
                                     .channels = config->channels,
                                     .hash = model->hash,
                                     .weights = vt_number_name(weights),
                                     .encodes = vt_codec_encodes(&t->codec),
                                     .preview_decoder = model->preview != NULL};
    memcpy(t->shape.sides, config->sides, (size_t)config->scales * sizeof *config->sides);
}

static variant_status new_tokenizer(variant_tokenizer **out, variant_error *err) {
    if (err) *err = (variant_error){0};
    if (!out) return vt_fail(err, VARIANT_E_ARGUMENT, "nowhere to put a tokenizer");
    *out = calloc(1, sizeof **out);
    return *out ? VARIANT_OK : vt_fail(err, VARIANT_E_MEMORY, "no memory for a tokenizer");
}

static variant_status open_model(variant_tokenizer *t, const variant_engine_options *options,
                                 variant_error *err) {
    vt_model_options model;
    vt_model_options_init(&model);
    model.model = options->model;
    model.tokenizer = options->tokenizer;
    model.sides = options->sides;
    model.heads = options->heads;
    model.part = options->part;
    model.verify = options->verify;
    model.warn = options->warn;
    model.user = options->user;
    model.need_transformer = false;
    model.guard = true;
    model.any_weights = !options->weights;
    if (options->weights) VT_TRY(vt_number_parse(&model.weights, "weights", options->weights, err));
    VT_TRY(vt_kern_open(&t->kern, options->backend, options->threads, err));
    VT_TRY(vt_model_open(&t->model, t->kern, &model, err));
    t->codec = (vt_codec){.kern = t->kern, .model = t->model};
    describe(t, t->model->weights);
    return VARIANT_OK;
}

variant_status variant_tokenizer_open(variant_tokenizer **out, const variant_engine_options *given,
                                      variant_error *error) {
    variant_engine_options options;
    VT_TRY(new_tokenizer(out, error));
    variant_status status = VT_SIZED_TAKE(&options, given, variant_engine_options, error);
    if (status == VARIANT_OK) status = open_model(*out, &options, error);
    if (status != VARIANT_OK) variant_tokenizer_close(out);
    return status;
}

variant_status variant_tokenizer_of(variant_tokenizer **out, const variant_engine *engine,
                                    variant_error *error) {
    VT_TRY(new_tokenizer(out, error));
    if (!engine) {
        variant_tokenizer_close(out);
        return vt_fail(error, VARIANT_E_ARGUMENT, "no engine to take a tokenizer of");
    }
    (*out)->codec = (vt_codec){.kern = engine->kern, .model = engine->model};
    describe(*out, engine->weights);
    return VARIANT_OK;
}

void variant_tokenizer_close(variant_tokenizer **tokenizer) {
    variant_tokenizer *t = tokenizer ? *tokenizer : NULL;
    if (!t) return;
    vt_codec_close(&t->codec);
    vt_model_close(&t->model);
    vt_kern_close(&t->kern);
    free(t);
    *tokenizer = NULL;
}

vt_codec *vt_codec_of(variant_tokenizer *tokenizer) {
    return &tokenizer->codec;
}

const variant_token_shape *variant_tokenizer_shape(const variant_tokenizer *tokenizer) {
    return tokenizer ? &tokenizer->shape : NULL;
}

/* ---- a run of pictures ---- */

/* What the functions below have open. */
typedef struct passage {
    variant_tokenizer *tokenizer;
    variant_tokenize_options options;
    const vt_tokenizer_config *config;
    vt_picture_list pictures;
    int batch;
    size_t floats, length;      /* of a picture; L */
    float *originals, *decoded; /* (batch, side, side, channels) */
    int32_t *tokens;            /* (batch, L) */
} passage;

static variant_status begin(passage *p, variant_tokenizer *t, const variant_tokenize_options *given,
                            variant_error *err) {
    if (err) *err = (variant_error){0};
    *p = (passage){.tokenizer = t};
    if (!t) return vt_fail(err, VARIANT_E_ARGUMENT, "no tokenizer: expected an open one");
    variant_tokenize_options_init(&p->options);
    if (given) VT_TRY(VT_SIZED_TAKE(&p->options, given, variant_tokenize_options, err));
    if (p->options.count < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "count %d: expected 0 or more", p->options.count);
    p->config = vt_tokenizer_configuration(t->codec.model->tokenizer);
    p->batch = vt_codec_batch(p->config);
    p->length = (size_t)t->shape.tokens;
    p->floats =
        (size_t)t->shape.picture_side * (size_t)t->shape.picture_side * (size_t)t->shape.channels;
    VT_TRY(vt_codec_choose(&t->codec, p->options.decoder, err));
    p->originals = malloc((size_t)p->batch * p->floats * sizeof *p->originals);
    p->decoded = malloc((size_t)p->batch * p->floats * sizeof *p->decoded);
    p->tokens = malloc((size_t)p->batch * p->length * sizeof *p->tokens);
    return p->originals && p->decoded && p->tokens
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d pictures", p->batch);
}

static void end(passage *p) {
    free(p->originals);
    free(p->decoded);
    free(p->tokens);
    vt_picture_list_close(&p->pictures);
}

static variant_status open_pictures(passage *p, const variant_data *given, vt_split split,
                                    variant_error *err) {
    const variant_token_shape *shape = &p->tokenizer->shape;
    p->pictures = (vt_picture_list){.side = shape->picture_side,
                                    .channels = shape->channels,
                                    .note = p->options.note,
                                    .user = p->options.user};
    VT_TRY(vt_data_take_as(&p->pictures.data, given, "pictures", split, err));
    VT_TRY(vt_data_follow(&p->pictures.data, p->tokenizer->codec.model->training, err));
    return vt_picture_list_open(&p->pictures, p->options.count, err);
}

static variant_status after_batch(const passage *p, int done, int total, variant_error *err) {
    const variant_tokenize_options *o = &p->options;
    const bool cancelled = o->cancel && __atomic_load_n(o->cancel, __ATOMIC_RELAXED);
    if (!cancelled && (!o->progress || o->progress(o->user, done, total))) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_STOPPED, "stopped after %d of %d pictures", done, total);
}

static int batch_at(const passage *p, int first, int total) {
    return total - first < p->batch ? total - first : p->batch;
}

/* Pictures `first` to `first` + n - 1, and their tokens. */
static variant_status encode_batch(passage *p, int first, int n, int32_t *tokens,
                                   variant_error *err) {
    for (int i = 0; i < n; ++i)
        VT_TRY(vt_picture_list_read(&p->pictures, first + i, p->originals + (size_t)i * p->floats,
                                    err));
    return vt_codec_encode(&p->tokenizer->codec, n, p->originals, tokens, err);
}

/* ---- encode ---- */

static variant_status name_pictures(variant_tokens *t, const vt_picture_list *pictures,
                                    variant_error *err) {
    for (int i = 0; t->labels && i < t->count; ++i)
        t->labels[i] = vt_picture_list_label(pictures, i);
    if (!pictures->files) return VARIANT_OK;
    t->names = calloc((size_t)t->count, sizeof *t->names);
    for (int i = 0; t->names && i < t->count; ++i)
        if (!(t->names[i] = vt_picture_list_name(pictures, i))) break;
    return t->names && t->names[t->count - 1]
               ? VARIANT_OK
               : vt_fail(err, VARIANT_E_MEMORY, "no memory for the names of %d pictures", t->count);
}

variant_status variant_encode(variant_tokenizer *tokenizer, const variant_data *pictures,
                              const variant_tokenize_options *options, variant_tokens **out,
                              variant_error *error) {
    passage p;
    variant_status status = VARIANT_OK;
    if (!out) return vt_fail(error, VARIANT_E_ARGUMENT, "nowhere to put tokens");
    *out = NULL;
    VT_CHECK(begin(&p, tokenizer, options, error));
    VT_CHECK(open_pictures(&p, pictures, VT_SPLIT_ALL, error));
    const int count = p.pictures.count;
    VT_CHECK(
        vt_tokens_new(out, count, (int)p.length, vt_picture_list_labelled(&p.pictures), error));
    vt_tokens_describe(*out, p.config, tokenizer->shape.hash);
    VT_CHECK(name_pictures(*out, &p.pictures, error));
    for (int first = 0; first < count; first += p.batch) {
        const int n = batch_at(&p, first, count);
        VT_CHECK(encode_batch(&p, first, n, (*out)->tokens + (size_t)first * p.length, error));
        VT_CHECK(after_batch(&p, first + n, count, error));
    }
cleanup:
    end(&p);
    if (status != VARIANT_OK) variant_tokens_free(out);
    return status;
}

/* ---- decode ---- */

variant_status variant_decode(variant_tokenizer *tokenizer, const int32_t *tokens, int count,
                              const variant_tokenize_options *options, uint8_t *pixels,
                              variant_error *error) {
    passage p;
    variant_status status = VARIANT_OK;
    VT_CHECK(begin(&p, tokenizer, options, error));
    if (!tokens || !pixels || count < 1)
        VT_CHECK(vt_fail(error, VARIANT_E_ARGUMENT,
                         "%d token maps to decode: expected one or more, and room for pixels",
                         count));
    for (size_t i = 0; i < (size_t)count * p.length; ++i)
        if (tokens[i] < 0 || tokens[i] >= p.config->codes)
            VT_CHECK(vt_fail(error, VARIANT_E_ARGUMENT,
                             "token %zu of picture %zu is %d, expected 0 to %d", i % p.length,
                             i / p.length, tokens[i], p.config->codes - 1));
    if (p.options.count && p.options.count < count) count = p.options.count;
    for (int first = 0; first < count; first += p.batch) {
        const int n = batch_at(&p, first, count);
        VT_CHECK(vt_codec_decode(&tokenizer->codec, n, tokens + (size_t)first * p.length, p.decoded,
                                 error));
        vt_image_bytes(pixels + (size_t)first * p.floats, p.decoded, (size_t)n * p.floats);
        VT_CHECK(after_batch(&p, first + n, count, error));
    }
cleanup:
    end(&p);
    return status;
}

/* ---- there and back ---- */

/* Sums over pictures. native: over the window that a padded picture really fills. */
typedef struct totals {
    int pictures, native; /* so far; side of the window, 0: none */
    double psnr, mse, native_psnr, native_mse;
    uint8_t *original, *pixels; /* a picture as bytes */
    bool (*each)(void *user, const variant_reconstruction *at);
} totals;

static double unit(float x) {
    const double y = ((double)x + 1.0) / 2.0;
    return y < 0 ? 0 : y > 1 ? 1 : y;
}

/* Mean squared error over the window of `size` at (margin, margin). */
static double window_mse(const variant_token_shape *shape, const float *a, const float *b,
                         int margin, int size) {
    const size_t channels = (size_t)shape->channels, row = (size_t)size * channels;
    double sum = 0;
    for (int y = margin; y < margin + size; ++y) {
        const size_t start = ((size_t)y * (size_t)shape->picture_side + (size_t)margin) * channels;
        for (size_t i = start; i < start + row; ++i) {
            const double d = unit(a[i]) - unit(b[i]);
            sum += d * d;
        }
    }
    return sum / ((double)size * (double)row);
}

/* A picture that is none has no score. */
static variant_status check_finite(const passage *p, int index, const float *decoded,
                                   variant_error *err) {
    char data[256], of_set[400];
    const size_t bad = vt_first_not_finite(decoded, p->floats);
    if (bad == p->floats) return VARIANT_OK;
    vt_data_name(&p->pictures.data, data, sizeof data);
    snprintf(of_set, sizeof of_set, "%s: picture %d", data, index + 1);
    return vt_fail(err, VARIANT_E_MODEL,
                   "%.300s: what the decoder makes of it is not finite (%g): a weight of the "
                   "tokenizer is not a number, or overflows",
                   p->pictures.files ? p->pictures.files[index] : of_set, (double)decoded[bad]);
}

static variant_status tell(const passage *p, const totals *t, int index, double mse,
                           const float *original, const float *decoded, variant_error *err) {
    if (!t->each) return VARIANT_OK;
    char *name = vt_picture_list_name(&p->pictures, index);
    if (!name) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a path");
    vt_image_bytes(t->original, original, p->floats);
    vt_image_bytes(t->pixels, decoded, p->floats);
    const variant_reconstruction at = {.picture = index,
                                       .pictures = p->pictures.count,
                                       .name = name,
                                       .label = vt_picture_list_label(&p->pictures, index),
                                       .side = p->tokenizer->shape.picture_side,
                                       .channels = p->tokenizer->shape.channels,
                                       .original = t->original,
                                       .pixels = t->pixels,
                                       .psnr = vt_psnr_of_mse(mse)};
    const bool on = t->each(p->options.user, &at);
    free(name);
    return on ? VARIANT_OK
              : vt_fail(err, VARIANT_E_STOPPED, "stopped after %d of %d pictures", index + 1,
                        p->pictures.count);
}

static variant_status take(const passage *p, totals *t, int index, const float *original,
                           const float *decoded, variant_error *err) {
    const variant_token_shape *shape = &p->tokenizer->shape;
    VT_TRY(check_finite(p, index, decoded, err));
    const double mse = window_mse(shape, original, decoded, 0, shape->picture_side);
    ++t->pictures;
    t->mse += mse;
    t->psnr += vt_psnr_of_mse(mse);
    if (t->native > 0) {
        const double native =
            window_mse(shape, original, decoded, (shape->picture_side - t->native) / 2, t->native);
        t->native_mse += native;
        t->native_psnr += vt_psnr_of_mse(native);
    }
    return tell(p, t, index, mse, original, decoded, err);
}

static variant_status run_pictures(passage *p, totals *t, variant_error *err) {
    for (int first = 0; first < p->pictures.count; first += p->batch) {
        const int n = batch_at(p, first, p->pictures.count);
        VT_TRY(encode_batch(p, first, n, p->tokens, err));
        VT_TRY(vt_codec_decode(&p->tokenizer->codec, n, p->tokens, p->decoded, err));
        for (int i = 0; i < n; ++i)
            VT_TRY(take(p, t, first + i, p->originals + (size_t)i * p->floats,
                        p->decoded + (size_t)i * p->floats, err));
        VT_TRY(after_batch(p, first + n, p->pictures.count, err));
    }
    return VARIANT_OK;
}

static variant_fidelity fidelity_of(const passage *p, const totals *t) {
    const double n = t->pictures;
    variant_fidelity out = {.pictures = t->pictures,
                            .side = p->tokenizer->shape.picture_side,
                            .psnr = t->psnr / n,
                            .psnr_of_mean_mse = vt_psnr_of_mse(t->mse / n),
                            .native_side = t->native};
    if (t->native) {
        out.native_psnr = t->native_psnr / n;
        out.native_psnr_of_mean_mse = vt_psnr_of_mse(t->native_mse / n);
    }
    return out;
}

variant_status variant_reconstruct(variant_tokenizer *tokenizer, const variant_data *pictures,
                                   const variant_tokenize_options *options,
                                   bool (*each)(void *user, const variant_reconstruction *at),
                                   variant_fidelity *out, variant_error *error) {
    passage p;
    totals t = {.each = each};
    variant_status status = VARIANT_OK;
    VT_CHECK(begin(&p, tokenizer, options, error));
    if (out) VT_CHECK(vt_sized_clear(out, "variant_fidelity", error));
    VT_CHECK(open_pictures(&p, pictures, VT_SPLIT_TEST, error));
    t.native = p.pictures.dataset ? vt_dataset_native_side(p.pictures.dataset) : 0;
    if (t.native >= tokenizer->shape.picture_side) t.native = 0;
    t.original = malloc(2 * p.floats);
    if (!t.original) VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for a picture"));
    t.pixels = t.original + p.floats;
    VT_CHECK(run_pictures(&p, &t, error));
    const variant_fidelity found = fidelity_of(&p, &t);
    if (out) vt_sized_give(out, &found, sizeof found);
cleanup:
    free(t.original);
    end(&p);
    return status;
}

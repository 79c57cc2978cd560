/* train_decoder.c - distils a preview decoder from a frozen tokenizer's own: pictures become tokens and f_hats, the small
 * decoder is asked for what the large one makes of them, and for the pictures themselves. See trainer.h for the loss. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/psnr.h"
#include "core/rng.h"
#include "io/json.h"
#include "train/defaults.h"
#include "train/run.h"

#define EVAL_BATCH 32
#define SHEET_PICTURES 4

typedef struct decoder_job {
    vt_train_decoder_options options; /* our own: what is open is settled */
    vt_model *frozen;                 /* whose tokenizer teaches */
    char *config;                     /* what its file says of it (JSON text) */
    vt_preview_config shape;
    vt_preview *preview;
    float *host;     /* (B or room, side, side, channels): pictures */
    float *shown;    /* (2, room, side, side, channels): what both decoders make of them */
    int room;        /* pictures at a time of an evaluation or a sheet */
    vt_floats *runs; /* (2, B + 1): pairs of which squared differences are summed */
    double *sums;    /* (B + 1): these; B: a slice's pictures */
    /* since the last log line */
    double pixel_squares, teacher_squares;
    int64_t pictures, whole;
} decoder_job;

static const vt_tokenizer_config *tokenizer_of(const decoder_job *job) {
    return vt_tokenizer_configuration(job->frozen->tokenizer);
}

static size_t picture_floats(const decoder_job *job) {
    const vt_tokenizer_config *config = tokenizer_of(job);
    const size_t side = (size_t)vt_tokenizer_side(config);
    return side * side * (size_t)config->channels;
}

static size_t map_floats(const decoder_job *job) {
    const vt_tokenizer_config *config = tokenizer_of(job);
    const size_t side = (size_t)config->sides[config->scales - 1];
    return side * side * (size_t)config->latent_dim;
}

/* ---- from pictures to f_hats ---- */

/* f_hat of every scale (K, count, s, s, Cvae), in the arena, of pictures on the host. */
static variant_status encode(decoder_job *job, vt_train_loop *loop, int count, const float *host,
                             float *pictures, float **f_hats, variant_error *err) {
    const vt_tokenizer_config *config = tokenizer_of(job);
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    const size_t maps = (size_t)count * map_floats(job);
    *f_hats = vt_arena_floats(arena, (size_t)config->scales * maps);
    const size_t mark = vt_arena_mark(arena);
    float *latent = vt_arena_floats(arena, maps);
    int32_t *tokens = vt_arena_ints(arena, (size_t)count * (size_t)vt_tokenizer_tokens(config));
    VT_TRY(vt_arena_check(arena, "pictures and their maps", err));
    kern->upload(kern, pictures, host, (size_t)count * picture_floats(job) * sizeof(float));
    VT_TRY(vt_tokenizer_encode(job->frozen->tokenizer, arena, count, pictures, latent, err));
    VT_TRY(
        vt_tokenizer_quantize(job->frozen->tokenizer, arena, count, latent, tokens, *f_hats, err));
    vt_arena_rewind(arena, mark);
    return VARIANT_OK;
}

/* ---- a step ---- */

/* How many scales of picture b of this step's batch count, K in most. */
static int scales_of(const decoder_job *job, const vt_train_loop *loop, int b) {
    const int scales = tokenizer_of(job)->scales;
    const double partial = job->options.partial;
    const uint64_t step = (uint64_t)loop->step;
    const double u = vt_uniform(loop->options->seed, VT_RNG_SCALE, (uint32_t)step,
                                (uint32_t)(step >> 32), (uint32_t)b);
    return u < partial && scales > 1 ? 1 + (int)(u / partial * (scales - 1)) : scales;
}

/* What a slice's forward leaves for its loss; backend memory. */
typedef struct batch_maps {
    float *pictures, *taught, *made; /* (B, side, side, channels): real, the teacher's, ours */
} batch_maps;

/* The gradient of the loss into dmade; the losses go into the job and the loop. */
static variant_status differentiate(decoder_job *job, vt_train_loop *loop, const batch_maps *maps,
                                    float *dmade, variant_error *err) {
    vt_kern *kern = loop->kern;
    const int batch = loop->slice.count;
    const size_t n = picture_floats(job), all = (size_t)batch * n;
    const double whole = (double)loop->slice.of * (double)n;
    const double pixels = job->options.pixels, teacher = job->options.teacher;
    double *sums = vt_arena_take(&loop->arena, ((size_t)batch + 1) * sizeof *sums), squares = 0.0;
    VT_TRY(vt_arena_check(&loop->arena, "a batch's losses", err));
    vt_floats *made = job->runs, *asked = job->runs + batch + 1;
    int count = 1;
    made[0] = (vt_floats){maps->made, all};
    asked[0] = (vt_floats){maps->taught, all};
    vt_kern_fill(kern, dmade, 0.0f, all);
    kern->scaled_difference(kern, dmade, (float)(2.0 * teacher / whole), maps->made, maps->taught,
                            all);
    for (int b = 0; b < batch; ++b) { /* what the first scales leave open is not asked for */
        const size_t at = (size_t)b * n;
        if (scales_of(job, loop, loop->slice.first + b) < tokenizer_of(job)->scales) continue;
        made[count] = (vt_floats){maps->made + at, n};
        asked[count++] = (vt_floats){maps->pictures + at, n};
        kern->scaled_difference(kern, dmade + at, (float)(2.0 * pixels / whole), maps->made + at,
                                maps->pictures + at, n);
    }
    kern->sum_squared_difference(kern, sums, made, asked, count);
    VT_TRY(vt_kern_download(kern, job->sums, sums, (size_t)count * sizeof *sums, err));
    for (int i = 1; i < count; ++i) squares += job->sums[i];
    loop->loss += (teacher * job->sums[0] + pixels * squares) / whole;
    job->teacher_squares += job->sums[0];
    job->pixel_squares += squares;
    job->pictures += batch;
    job->whole += count - 1;
    return VARIANT_OK;
}

/* Forward and backward of the slice in the host's buffer. */
static variant_status run_slice(decoder_job *job, vt_train_loop *loop, variant_error *err) {
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    const int batch = loop->slice.count;
    const size_t floats = (size_t)batch * picture_floats(job), map = map_floats(job);
    batch_maps maps = {.pictures = vt_arena_floats(arena, floats),
                       .taught = vt_arena_floats(arena, floats),
                       .made = vt_arena_floats(arena, floats)};
    float *f_hat = vt_arena_floats(arena, (size_t)batch * map), *f_hats;
    VT_TRY(vt_arena_check(arena, "a batch of pictures", err));
    const size_t mark = vt_arena_mark(arena);
    VT_TRY(encode(job, loop, batch, job->host, maps.pictures, &f_hats, err));
    for (int b = 0; b < batch; ++b) {
        const size_t last = (size_t)scales_of(job, loop, loop->slice.first + b) - 1;
        kern->copy(kern, f_hat + (size_t)b * map, f_hats + (last * (size_t)batch + (size_t)b) * map,
                   map);
    }
    vt_arena_rewind(arena, mark);
    VT_TRY(vt_tokenizer_decode(job->frozen->tokenizer, arena, batch, f_hat, maps.taught, err));
    kern->clamp(kern, maps.taught, maps.taught, -1.0f, 1.0f, floats);
    VT_TRY(vt_preview_forward(job->preview, arena, batch, f_hat, maps.made, err));
    float *dmade = vt_arena_floats(arena, floats);
    VT_TRY(vt_arena_check(arena, "a batch's gradient", err));
    VT_TRY(differentiate(job, loop, &maps, dmade, err));
    return vt_preview_backward(job->preview, arena, batch, dmade, err);
}

static variant_status decoder_step(void *self, vt_train_loop *loop, variant_error *err) {
    decoder_job *job = self;
    VT_TRY(vt_train_loop_pictures(loop, job->host, err));
    return run_slice(job, loop, err);
}

static variant_status decoder_updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)self;
    (void)err;
    vt_params_refresh(loop->params);
    return VARIANT_OK;
}

/* ---- reports ---- */

static double psnr(double mse) {
    return vt_psnr_of_mse(mse / 4.0);
} /* peak 2: [-1, 1] */

static void decoder_unite(void *self, variant_ranks *ranks) {
    decoder_job *job = self;
    double sums[] = {job->teacher_squares, job->pixel_squares, (double)job->pictures,
                     (double)job->whole};
    vt_ranks_sum(ranks, sums, 4);
    job->teacher_squares = sums[0];
    job->pixel_squares = sums[1];
    job->pictures = (int64_t)sums[2];
    job->whole = (int64_t)sums[3];
}

static void decoder_describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)loop;
    decoder_job *job = self;
    const double n = (double)picture_floats(job);
    if (job->pictures > 0)
        vt_log_number(line, "teacher_psnr",
                      psnr(job->teacher_squares / ((double)job->pictures * n)));
    if (job->whole > 0)
        vt_log_number(line, "psnr", psnr(job->pixel_squares / ((double)job->whole * n)));
    job->teacher_squares = job->pixel_squares = 0.0;
    job->pictures = job->whole = 0;
}

/* Pictures on the host, cut after `scales` scales, through both decoders: the first half of job->shown is what the large
 * one makes of them, the second what the small one makes, both within [-1, 1]. */
static variant_status decode_both(decoder_job *job, vt_train_loop *loop, int count, int scales,
                                  variant_error *err) {
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    const size_t mark = vt_arena_mark(arena), floats = (size_t)count * picture_floats(job);
    const size_t behind = (size_t)(scales - 1) * (size_t)count * map_floats(job);
    variant_status status = VARIANT_OK;
    float *made = vt_arena_floats(arena, floats), *f_hats;
    VT_CHECK(vt_arena_check(arena, "pictures to decode", err));
    VT_CHECK(encode(job, loop, count, job->host, made, &f_hats, err));
    for (int i = 0; i < 2; ++i) {
        VT_CHECK(i ? vt_preview_decode(job->preview, arena, count, f_hats + behind, made, err)
                   : vt_tokenizer_decode(job->frozen->tokenizer, arena, count, f_hats + behind,
                                         made, err));
        kern->clamp(kern, made, made, -1.0f, 1.0f, floats);
        VT_CHECK(vt_kern_download(kern, job->shown + (size_t)i * floats, made,
                                  floats * sizeof *made, err));
    }
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

static const vt_pictures *shown_pictures(const vt_train_loop *loop) {
    return loop->data.test ? &loop->data.test_pictures : &loop->data.pictures;
}

static variant_status read_first(decoder_job *job, const vt_pictures *pictures, int first,
                                 int count, variant_error *err) {
    vt_pick picks[EVAL_BATCH];
    for (int i = 0; i < count; ++i) picks[i] = (vt_pick){.position = first + i};
    return vt_pictures_read(pictures, picks, count, job->host, err);
}

static double mse_of(const float *a, const float *b, size_t n) {
    double sum = 0.0;
    for (size_t i = 0; i < n; ++i) {
        const double difference = (double)a[i] - (double)b[i];
        sum += difference * difference;
    }
    return sum / (double)n;
}

/* Means of the pictures' PSNR: the full decoder's and ours beside the pictures, and ours beside the full one's. */
static variant_status decoder_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                       variant_error *err) {
    decoder_job *job = self;
    const int total = loop->data.test_pictures.count, scales = tokenizer_of(job)->scales;
    const size_t n = picture_floats(job);
    double full = 0.0, small = 0.0, between = 0.0;
    for (int first = 0; first < total; first += job->room) {
        const int count = total - first < job->room ? total - first : job->room;
        VT_TRY(read_first(job, &loop->data.test_pictures, first, count, err));
        VT_TRY(decode_both(job, loop, count, scales, err));
        for (int i = 0; i < count; ++i) {
            const float *real = job->host + (size_t)i * n, *large = job->shown + (size_t)i * n;
            const float *own = large + (size_t)count * n;
            if (!isfinite(mse_of(real, own, n)))
                return vt_fail(err, VARIANT_E_MODEL,
                               "test picture %d: what the decoder makes of it is not finite, so "
                               "there is no PSNR: the training has diverged",
                               first + i + 1);
            full += psnr(mse_of(real, large, n));
            small += psnr(mse_of(real, own, n));
            between += psnr(mse_of(large, own, n));
        }
    }
    vt_json_number(line, "pictures", total);
    vt_log_number(line, "test_psnr_full", full / total);
    vt_log_number(line, "test_psnr", small / total);
    vt_log_number(line, "test_teacher_psnr", between / total);
    return VARIANT_OK;
}

static int sheet_zoom(const decoder_job *job) {
    return vt_tokenizer_side(tokenizer_of(job)) < 128 ? 2 : 1;
}

/* Two rows a picture, a column a scale and the picture itself before them: the full decoder above ours. */
static variant_status decoder_sample(void *self, vt_train_loop *loop, const char *path,
                                     variant_error *err) {
    decoder_job *job = self;
    const vt_tokenizer_config *config = tokenizer_of(job);
    const vt_pictures *from = shown_pictures(loop);
    const int count = from->count < SHEET_PICTURES ? from->count : SHEET_PICTURES;
    const int columns = config->scales + 1, side = vt_tokenizer_side(config);
    const size_t n = picture_floats(job);
    vt_image images[2 * SHEET_PICTURES * (VT_MAX_SCALES + 1)] = {{0}}, sheet = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(read_first(job, from, 0, count, err));
    for (int column = 0; column < columns; ++column) {
        if (column > 0) VT_CHECK(decode_both(job, loop, count, column, err));
        for (int i = 0; i < 2 * count; ++i) { /* of row r picture r / 2 by decoder r % 2 */
            vt_image *image = &images[i * columns + column];
            const float *made = job->shown + (size_t)(i % 2 * count + i / 2) * n;
            VT_CHECK(vt_image_new(image, side, side, config->channels, err));
            vt_image_bytes(image->data, column > 0 ? made : job->host + (size_t)(i / 2) * n, n);
        }
    }
    VT_CHECK(vt_image_sheet(&sheet, images, 2 * count * columns, columns, 2, sheet_zoom(job), err));
    VT_CHECK(vt_image_write_png(&sheet, path, NULL, 0, err));
cleanup:
    for (int i = 0; i < 2 * count * columns; ++i) vt_image_free(&images[i]);
    vt_image_free(&sheet);
    return status;
}

/* ---- files ---- */

/* Of a checkpoint: what is trained, no more. */
static vt_model_save decoder_model(void *self, vt_train_loop *loop) {
    (void)loop;
    return (vt_model_save){.preview = ((decoder_job *)self)->preview, .type = VT_F32};
}

static variant_status decoder_write(void *self, vt_train_loop *loop, const char *path,
                                    const char *training, variant_error *err) {
    const decoder_job *job = self;
    (void)loop;
    return vt_model_write_preview(path, job->frozen, job->config, job->preview, training, err);
}

static variant_status decoder_settings(void *self, vt_train_loop *loop, variant_error *err) {
    const decoder_job *job = self;
    vt_settings *settings = &loop->settings;
    (void)err;
    vt_train_settings_common(loop, "decoder", vt_dataset_hash(loop->data.train));
    vt_settings_add(settings, "tokenizer", "%s", job->frozen->hash);
    vt_settings_add(settings, "size", "%s", job->options.size);
    vt_settings_add(settings, "pixels", "%g", job->options.pixels);
    vt_settings_add(settings, "teacher", "%g", job->options.teacher);
    vt_settings_add(settings, "partial", "%g", job->options.partial);
    return VARIANT_OK;
}

/* ---- a run ---- */

void vt_train_decoder_options_init(vt_train_decoder_options *options) {
    *options = (vt_train_decoder_options){.pixels = 1.0, .teacher = 1.0, .partial = 0.5};
    vt_train_common_init(&options->common);
    options->common.optimizer.weight_decay = 0.0;
}

static variant_status check_options(const vt_train_decoder_options *options, variant_error *err) {
    VT_TRY(vt_train_common_check(&options->common, err));
    if (!options->tokenizer)
        return vt_fail(err, VARIANT_E_ARGUMENT, "no tokenizer given: expected a trained one");
    if (!(options->pixels >= 0.0 && options->pixels <= 1000.0) ||
        !(options->teacher >= 0.0 && options->teacher <= 1000.0) ||
        options->pixels + options->teacher == 0.0)
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "weights %g of the pictures and %g of the teacher: expected 0 to 1000, and "
                       "one above 0",
                       options->pixels, options->teacher);
    if (!(options->partial >= 0.0 && options->partial <= 1.0) ||
        (options->teacher == 0.0 && options->partial > 0.0))
        return vt_fail(err, VARIANT_E_ARGUMENT,
                       "partial %g: expected a chance, 0 to 1, and 0 where the teacher has no "
                       "weight: of a picture's first scales only it knows what to make",
                       options->partial);
    return VARIANT_OK;
}

/* Over a backend that holds nothing the file's header is read, and what is odd of it is told. */
static variant_status open_frozen(decoder_job *job, vt_kern *kern, variant_error *err) {
    vt_model_options model;
    vt_model_options_init(&model);
    model.guard = true;
    model.model = job->options.tokenizer;
    model.part = job->options.part;
    model.verify = !job->options.common.trust;
    model.need_transformer = false;
    model.weights = job->options.common.precision;
    model.own_numbers = "to train on"; /* they go into the file that is written */
    model.warn = kern->dry ? job->options.common.note : NULL;
    model.user = job->options.common.user;
    VT_TRY(vt_model_open(&job->frozen, kern, &model, err));
    job->config = vt_model_config_of(job->frozen);
    if (!job->config) return vt_fail(err, VARIANT_E_MEMORY, "no memory for a configuration");
    vt_transformer_close(&job->frozen->transformer); /* its file is enough */
    return VARIANT_OK;
}

static variant_status decoder_shape(void *self, vt_train_loop *loop, vt_train_wanted *wanted,
                                    variant_error *err) {
    decoder_job *job = self;
    const char *past = loop->past ? vt_past_setting(loop->past, "size") : NULL;
    VT_TRY(open_frozen(job, loop->kern, err));
    if (!job->options.size) job->options.size = past ? past : "small";
    VT_TRY(vt_preview_config_choose(&job->shape, tokenizer_of(job), job->options.size, err));
    if (job->frozen->preview)
        vt_train_loop_note(loop,
                           "%s: has a preview decoder already, in whose place the new one "
                           "will be",
                           job->options.tokenizer);
    VT_TRY(vt_data_follow(&wanted->source, job->frozen->training,
                          err)); /* its pictures are the tokenizer's */
    wanted->side = vt_tokenizer_side(tokenizer_of(job));
    wanted->channels = tokenizer_of(job)->channels;
    return VARIANT_OK;
}

static variant_status decoder_size(void *self, vt_train_loop *loop, int *width,
                                   variant_error *err) {
    (void)self;
    (void)loop;
    (void)width;
    (void)err;
    return VARIANT_OK;
}

static int room_of(const vt_train_loop *loop) {
    const int most = loop->data.test               ? EVAL_BATCH
                     : loop->options->sample_every ? SHEET_PICTURES
                                                   : 0;
    const int all = shown_pictures(loop)->count;
    return all < most ? all : most;
}

static variant_status open_host(decoder_job *job, vt_train_loop *loop, variant_error *err) {
    const size_t batch = (size_t)loop->slice.count, n = picture_floats(job);
    job->room = room_of(loop);
    const size_t most = (size_t)job->room > batch ? (size_t)job->room : batch;
    job->host = vt_train_host(loop, most * n, sizeof *job->host);
    job->shown = vt_train_host(loop, 2 * (size_t)job->room * n + 1, sizeof *job->shown);
    job->sums = vt_train_host(loop, batch + 1, sizeof *job->sums);
    job->runs = vt_train_host(loop, 2 * (batch + 1), sizeof *job->runs);
    if (job->host && job->shown && job->sums && job->runs) return VARIANT_OK;
    return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of %zu pictures", batch);
}

static variant_status decoder_open(void *self, vt_train_loop *loop, variant_error *err) {
    decoder_job *job = self;
    if (!job->frozen)
        VT_TRY(open_frozen(job, loop->kern, err)); /* first it is there, for its shape */
    vt_preview_close(&job->frozen->preview);
    VT_TRY(open_host(job, loop, err));
    VT_TRY(vt_preview_open(&job->preview, loop->kern, tokenizer_of(job), &job->shape, err));
    loop->frozen = vt_tokenizer_params(job->frozen->tokenizer);
    loop->params = vt_preview_params(job->preview);
    vt_params_set_type(loop->params, loop->options->precision, true);
    vt_preview_recompute(job->preview, loop->options->recompute);
    VT_TRY(vt_preview_initialise(job->preview, loop->options->seed, err));
    return vt_train_loop_gradients(loop, err);
}

static variant_status decoder_prepare(void *self, vt_train_loop *loop, variant_error *err) {
    (void)self;
    return vt_params_prepare(loop->params, err);
}

static variant_status decoder_rehearse(void *self, vt_train_loop *loop, vt_train_memory *memory,
                                       variant_error *err) {
    decoder_job *job = self;
    const int zoom = sheet_zoom(job),
              pictures = 2 * SHEET_PICTURES * (tokenizer_of(job)->scales + 1);
    if (loop->options->sample_every > 0) /* bytes of the pictures, and of them on the sheet */
        memory->samples = (size_t)pictures * (1 + (size_t)(zoom * zoom)) * picture_floats(job);
    VT_TRY(run_slice(job, loop, err));
    job->teacher_squares = job->pixel_squares = 0.0;
    job->pictures = job->whole = 0;
    vt_arena_rewind(&loop->arena, 0);
    if (job->room == 0) return VARIANT_OK;
    return decode_both(job, loop, job->room, tokenizer_of(job)->scales, err);
}

static variant_status decoder_whole(void *self, variant_status status, variant_error *err) {
    const decoder_job *job = self;
    variant_error cut;
    if (vt_model_intact(job->frozen, &cut) == VARIANT_OK) return status;
    return vt_fail(err, VARIANT_E_IO, "%s", cut.message);
}

static void decoder_close(void *self) {
    decoder_job *job = self;
    vt_preview_close(&job->preview);
    vt_model_close(&job->frozen);
    free(job->config);
    free(job->host);
    free(job->shown);
    free(job->sums);
    free(job->runs);
    job->config = NULL;
    job->host = job->shown = NULL;
    job->sums = NULL;
    job->runs = NULL;
}

variant_status vt_train_decoder(vt_kern *kern, const vt_train_decoder_options *options,
                                vt_train_result *result, variant_error *err) {
    decoder_job job = {.options = *options};
    const vt_trainer trainer = {
        .kind = VT_TRAIN_DECODER,
        .self = &job,
        .common = &job.options.common,
        .shape = decoder_shape,
        .size = decoder_size,
        .open = decoder_open,
        .prepare = decoder_prepare,
        .rehearse = decoder_rehearse,
        .close = decoder_close,
        .describe_settings = decoder_settings,
        .step = decoder_step,
        .updated = decoder_updated,
        .unite = decoder_unite,
        .describe = decoder_describe,
        .evaluate = decoder_evaluate,
        .sample = decoder_sample,
        .file = "model.safetensors",
        .whole = decoder_whole,
        .model = decoder_model,
        .write = decoder_write,
    };
    return vt_train_run(kern, &trainer, check_options(options, err), result, err);
}

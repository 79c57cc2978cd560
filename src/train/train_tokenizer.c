/* train_tokenizer.c - trains a tokenizer: reconstruction and quantisation loss, and care for the
 * codebook.
 *
 * A codeword that no token chooses gets no gradient and would stay dead. So the steps since every
 * code was last used are counted (they are part of the checkpoint), and a code unused for too long
 * is put where pictures are: onto a random one of the vectors that the batch just quantised, its
 * AdamW moments cleared. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/psnr.h"
#include "core/rng.h"
#include "io/json.h"
#include "train/defaults.h"
#include "train/run.h"

#define FIRST_REVIVAL 10 /* steps: most of a random codebook is dead from the start */
#define EVAL_BATCH 32
#define SHEET_PICTURES 8
#define IN_USE (-1)
#define CODEBOOK "quantize.embedding.weight"

typedef struct tokenizer_job {
    vt_train_tokenizer_options options; /* our own: what is open is settled */
    vt_tokenizer_config config;
    vt_tokenizer *tokenizer;
    vt_param *codebook;   /* (V, Cvae) */
    float *host;          /* (B, side, side, channels): a slice's pictures */
    float *sheet;         /* (2 sheet_room, ..): pictures, and what becomes of them behind */
    int tokens_a_picture; /* L */
    int32_t *tokens;      /* (B, L), host */
    int32_t *age;         /* (V): steps since last used; IN_USE until the step is counted */
    int32_t *unused;      /* (V): codes to be revived ... */
    float *seeds;         /* (V, Cvae), host: ... and what they become */
    float *rests;         /* (batch, L, Cvae) in the arena: what tokens were chosen for */
    /* since the last log line */
    uint32_t *used; /* (K, V): how often since the last line */
    double mse, vq_loss;
    int64_t steps, revived;
} tokenizer_job;

static size_t picture_floats(const tokenizer_job *job) {
    size_t side = (size_t)vt_tokenizer_side(&job->config);
    return side * side * (size_t)job->config.channels;
}

/* ---- a step ---- */

static variant_status tokenizer_plan(void *self, vt_train_loop *loop, variant_error *err) {
    tokenizer_job *job = self;
    const size_t tokens = (size_t)loop->slice.of * (size_t)job->tokens_a_picture;
    job->rests = vt_arena_floats(&loop->arena, tokens * (size_t)job->config.latent_dim);
    return vt_arena_check(&loop->arena, "a batch's vectors", err);
}

/* Marks the codes of so many pictures as used. */
static void mark_used(tokenizer_job *job, int pictures) {
    const vt_tokenizer_config *config = &job->config;
    const int32_t *token = job->tokens;
    for (int b = 0; b < pictures; ++b)
        for (int k = 0; k < config->scales; ++k) {
            uint32_t *used = job->used + (size_t)k * (size_t)config->codes;
            for (int i = 0; i < config->sides[k] * config->sides[k]; ++i, ++token) {
                ++used[*token];
                job->age[*token] = IN_USE;
            }
        }
}

/* Ages all codes; those in use become 0. */
static void tokenizer_count(void *self, vt_train_loop *loop) {
    tokenizer_job *job = self;
    vt_ranks_least(loop->together.ranks, job->age, (size_t)job->config.codes);
    for (int v = 0; v < job->config.codes; ++v)
        if (job->age[v] < INT32_MAX) ++job->age[v];
    ++job->steps;
}

/* Forward and backward of the slice in the host's buffer. */
static variant_status run_slice(tokenizer_job *job, vt_train_loop *loop, variant_error *err) {
    vt_kern *kern = loop->kern;
    const vt_slice *slice = &loop->slice;
    const int batch = slice->count;
    const size_t tokens = (size_t)job->tokens_a_picture, width = (size_t)job->config.latent_dim;
    size_t floats = (size_t)batch * picture_floats(job);
    float *pictures = vt_arena_floats(&loop->arena, floats);
    VT_TRY(vt_arena_check(&loop->arena, "a batch of pictures", err));
    kern->upload(kern, pictures, job->host, floats * sizeof(float));
    vt_tokenizer_pass pass = {.batch = batch,
                              .of = slice->of,
                              .recompute = loop->options->recompute,
                              .pictures = pictures,
                              .rests = job->rests + (size_t)slice->first * tokens * width};
    VT_TRY(vt_tokenizer_forward(job->tokenizer, &loop->arena, &pass, err));
    VT_TRY(vt_tokenizer_backward(job->tokenizer, &loop->arena, &pass, (float)job->options.vq_weight,
                                 err));
    loop->loss += pass.mse + job->options.vq_weight * pass.vq_loss;
    job->mse += pass.mse;
    job->vq_loss += pass.vq_loss;
    return vt_kern_download(kern, job->tokens, pass.tokens,
                            (size_t)batch * tokens * sizeof(int32_t), err);
}

static variant_status tokenizer_step(void *self, vt_train_loop *loop, variant_error *err) {
    tokenizer_job *job = self;
    VT_TRY(vt_train_loop_pictures(loop, job->host, err));
    VT_TRY(run_slice(job, loop, err));
    mark_used(job, loop->slice.count);
    return VARIANT_OK;
}

/* Of the batch's vectors that which code v becomes. */
static size_t seed_of(const tokenizer_job *job, const vt_train_loop *loop, int v) {
    const int rows = loop->slice.of * job->tokens_a_picture;
    return (size_t)(rows * vt_uniform(loop->options->seed, VT_RNG_REVIVE, (uint32_t)loop->step,
                                      (uint32_t)v, 0));
}

/* Codes that were not used for long, and, on the host, the vectors that they become: each rank knows those of its own
 * pictures. */
static int find_seeds(tokenizer_job *job, vt_train_loop *loop) {
    const size_t width = (size_t)job->config.latent_dim, tokens = (size_t)job->tokens_a_picture;
    int count = 0;
    for (int v = 0; v < job->config.codes; ++v)
        if (job->age[v] >= job->options.revive_after) job->unused[count++] = v;
    memset(job->seeds, 0, (size_t)count * width * sizeof *job->seeds);
    for (int i = 0; i < count; ++i) {
        const size_t row = seed_of(job, loop, job->unused[i]);
        const int picture = (int)(row / tokens) - loop->part.first;
        if (picture >= 0 && picture < loop->part.count)
            loop->kern->download(loop->kern, job->seeds + (size_t)i * width,
                                 job->rests + row * width, width * sizeof *job->seeds);
    }
    vt_ranks_unite(loop->together.ranks, job->seeds, (size_t)count * width * sizeof *job->seeds);
    return count;
}

/* Re-seeds codes that were not used for long from the vectors this batch asked for. */
static void revive(tokenizer_job *job, vt_train_loop *loop) {
    const size_t width = (size_t)job->config.latent_dim;
    const int count = job->options.revive_after > 0 ? find_seeds(job, loop) : 0;
    for (int i = 0; i < count; ++i) {
        const size_t at = (size_t)job->unused[i] * width;
        loop->kern->upload(loop->kern, job->codebook->value + at, job->seeds + (size_t)i * width,
                           width * sizeof *job->seeds);
        vt_together_forget(&loop->together, loop->kern, job->codebook, at, width);
        job->age[job->unused[i]] = 0;
        ++job->revived;
    }
}

static variant_status tokenizer_updated(void *self, vt_train_loop *loop, variant_error *err) {
    (void)err;
    revive(self, loop);
    vt_params_refresh(loop->params);
    return VARIANT_OK;
}

/* ---- reports ---- */

static double psnr(double mse) {
    return vt_psnr_of_mse(mse / 4.0);
} /* peak 2: [-1, 1] */

static void tokenizer_unite(void *self, variant_ranks *ranks) {
    tokenizer_job *job = self;
    double sums[] = {job->mse, job->vq_loss};
    vt_ranks_sum(ranks, sums, 2);
    vt_ranks_sum_counts(ranks, job->used, (size_t)job->config.scales * (size_t)job->config.codes);
    job->mse = sums[0];
    job->vq_loss = sums[1];
}

static void tokenizer_describe(void *self, vt_train_loop *loop, cJSON *line) {
    (void)loop;
    tokenizer_job *job = self;
    size_t codes = (size_t)job->config.codes;
    double steps = job->steps ? (double)job->steps : 1.0, usage[VT_MAX_SCALES];
    double total = 0.0, entropy = 0.0;
    int any = 0;
    for (int k = 0; k < job->config.scales; ++k) {
        int count = 0;
        for (size_t v = 0; v < codes; ++v) count += job->used[(size_t)k * codes + v] != 0;
        usage[k] = (double)count / (double)codes;
    }
    for (size_t v = 0; v < codes; ++v) {
        double times = 0.0;
        for (int k = 0; k < job->config.scales; ++k) times += job->used[(size_t)k * codes + v];
        any += times > 0.0;
        total += times;
        if (times > 0.0) entropy -= times * log(times);
    }
    /* exp of the entropy of p = times / total: codes that would be as good if used evenly */
    double perplexity = total > 0.0 ? exp(entropy / total + log(total)) : 0.0;
    vt_log_number(line, "mse", job->mse / steps);
    vt_log_number(line, "vq_loss", job->vq_loss / steps);
    vt_log_number(line, "psnr", psnr(job->mse / steps));
    vt_log_number(line, "codes_used", (double)any / (double)codes);
    vt_log_number(line, "codes_perplexity", perplexity);
    vt_log_numbers(line, "codes_used_by_scale", usage, job->config.scales);
    vt_json_number(line, "revived", (double)job->revived);
    memset(job->used, 0, (size_t)job->config.scales * codes * sizeof *job->used);
    job->mse = job->vq_loss = 0.0;
    job->steps = job->revived = 0;
}

/* Host pictures to host reconstructions within [-1, 1], both (count, side, side, channels). */
static variant_status reconstruct(tokenizer_job *job, vt_train_loop *loop, int count,
                                  const float *host, float *out, variant_error *err) {
    vt_kern *kern = loop->kern;
    vt_arena *arena = &loop->arena;
    const vt_tokenizer_config *config = &job->config;
    size_t mark = vt_arena_mark(arena), floats = (size_t)count * picture_floats(job);
    size_t side = (size_t)config->sides[config->scales - 1];
    size_t latents = (size_t)count * side * side * (size_t)config->latent_dim;
    size_t tokens = (size_t)count * (size_t)job->tokens_a_picture;
    float *pictures = vt_arena_floats(arena, floats), *latent = vt_arena_floats(arena, latents);
    float *inputs = vt_arena_floats(arena, tokens * (size_t)config->latent_dim);
    int32_t *chosen = vt_arena_ints(arena, tokens);
    variant_status status = VARIANT_OK;
    VT_CHECK(vt_arena_check(arena, "pictures to reconstruct", err));
    kern->upload(kern, pictures, host, floats * sizeof(float));
    VT_CHECK(vt_tokenizer_encode(job->tokenizer, arena, count, pictures, latent, err));
    VT_CHECK(vt_tokenizer_quantize(job->tokenizer, arena, count, latent, chosen, NULL, err));
    VT_CHECK(vt_tokenizer_inputs(job->tokenizer, arena, count, chosen, inputs, latent, err));
    VT_CHECK(vt_tokenizer_decode(job->tokenizer, arena, count, latent, pictures, err));
    kern->clamp(kern, pictures, pictures, -1.0f, 1.0f, floats);
    VT_CHECK(vt_kern_download(kern, out, pictures, floats * sizeof(float), err));
cleanup:
    vt_arena_rewind(arena, mark);
    return status;
}

/* Mean squared difference over the centre window of `window` pixels a side. */
static double window_mse(const tokenizer_job *job, const float *p, const float *q, int window) {
    int side = vt_tokenizer_side(&job->config), first = (side - window) / 2;
    size_t channels = (size_t)job->config.channels, row = (size_t)window * channels;
    double sum = 0.0;
    for (int y = first; y < first + window; ++y) {
        size_t at = ((size_t)y * (size_t)side + (size_t)first) * channels;
        for (size_t i = 0; i < row; ++i) {
            double difference = (double)p[at + i] - (double)q[at + i];
            sum += difference * difference;
        }
    }
    return sum / ((double)window * (double)row);
}

static const vt_pictures *sheet_pictures(const vt_train_loop *loop) {
    return loop->data.test ? &loop->data.test_pictures : &loop->data.pictures;
}

/* Pictures that are reconstructed at a time, by an evaluation or for a sheet. */
static int sheet_room(const vt_train_loop *loop) {
    int most = loop->options->sample_every > 0 ? SHEET_PICTURES : 0,
        all = sheet_pictures(loop)->count;
    if (loop->data.test) most = EVAL_BATCH;
    return all < most ? all : most;
}

static variant_status read_first(const vt_pictures *pictures, int first, int count, float *out,
                                 variant_error *err) {
    vt_pick picks[EVAL_BATCH];
    for (int i = 0; i < count; ++i) picks[i] = (vt_pick){.position = first + i};
    return vt_pictures_read(pictures, picks, count, out, err);
}

static variant_status tokenizer_evaluate(void *self, vt_train_loop *loop, cJSON *line,
                                         variant_error *err) {
    tokenizer_job *job = self;
    size_t floats = picture_floats(job);
    int side = vt_tokenizer_side(&job->config), native = vt_dataset_native_side(loop->data.test);
    bool padded = native > 0 && native < side;
    double whole = 0.0, inside = 0.0, squares = 0.0;
    int total = loop->data.test_pictures.count, room = sheet_room(loop);
    float *pictures = job->sheet, *got = pictures + (size_t)room * floats;
    for (int first = 0; first < total; first += room) {
        int count = total - first < room ? total - first : room;
        VT_TRY(read_first(&loop->data.test_pictures, first, count, pictures, err));
        VT_TRY(reconstruct(job, loop, count, pictures, got, err));
        for (int i = 0; i < count; ++i) {
            const float *p = pictures + (size_t)i * floats, *q = got + (size_t)i * floats;
            double mse = window_mse(job, p, q, side);
            if (!isfinite(mse))
                return vt_fail(err, VARIANT_E_MODEL,
                               "test picture %d: what the decoder makes of it is not finite, so "
                               "there is no PSNR: the training has diverged",
                               first + i + 1);
            squares += mse;
            whole += psnr(mse);
            if (padded) inside += psnr(window_mse(job, p, q, native));
        }
    }
    vt_json_number(line, "pictures", total);
    vt_log_number(line, "test_mse", squares / total);
    vt_log_number(line, "test_psnr", whole / total);
    if (padded) vt_log_number(line, "test_psnr_native", inside / total);
    return VARIANT_OK;
}

static int sheet_zoom(const tokenizer_job *job) {
    return vt_tokenizer_side(&job->config) < 128 ? 3 : 1;
}

/* Pictures in the first row of every two, what became of them in the second. */
static variant_status tokenizer_sample(void *self, vt_train_loop *loop, const char *path,
                                       variant_error *err) {
    tokenizer_job *job = self;
    const vt_pictures *from = sheet_pictures(loop);
    int side = vt_tokenizer_side(&job->config);
    int count = from->count < SHEET_PICTURES ? from->count : SHEET_PICTURES;
    size_t floats = picture_floats(job);
    vt_image images[2 * SHEET_PICTURES] = {{0}}, sheet = {0};
    variant_status status = VARIANT_OK;
    float *pictures = job->sheet, *got = pictures + (size_t)count * floats;
    VT_CHECK(read_first(from, 0, count, pictures, err));
    VT_CHECK(reconstruct(job, loop, count, pictures, got, err));
    for (int i = 0; i < 2 * count; ++i) {
        VT_CHECK(vt_image_new(&images[i], side, side, job->config.channels, err));
        vt_image_bytes(images[i].data, pictures + (size_t)i * floats, floats);
    }
    VT_CHECK(vt_image_sheet(&sheet, images, 2 * count, count, 2, sheet_zoom(job), err));
    VT_CHECK(vt_image_write_png(&sheet, path, NULL, 0, err));
cleanup:
    for (int i = 0; i < 2 * SHEET_PICTURES; ++i) vt_image_free(&images[i]);
    vt_image_free(&sheet);
    return status;
}

/* ---- files ---- */

static vt_model_save tokenizer_model(void *self, vt_train_loop *loop) {
    (void)loop;
    return (vt_model_save){.tokenizer = ((tokenizer_job *)self)->tokenizer, .type = VT_F32};
}

static variant_status tokenizer_settings(void *self, vt_train_loop *loop, variant_error *err) {
    const tokenizer_job *job = self;
    const vt_train_tokenizer_options *options = &job->options;
    const vt_tokenizer_config *config = &job->config;
    vt_settings *settings = &loop->settings;
    char list[160] = "";
    size_t used = 0;
    (void)err;
    vt_train_settings_common(loop, "tokenizer", vt_dataset_hash(loop->data.train));
    vt_settings_add(settings, "side", "%d", vt_tokenizer_side(config));
    vt_settings_add(settings, "channels", "%d", config->channels);
    vt_settings_add(settings, "width", "%d", config->base_width);
    for (int i = 0; i < config->levels && used < sizeof list; ++i)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, i ? ",%d" : "%d", config->mult[i]);
    vt_settings_add(settings, "mult", "%s", list);
    vt_settings_add(settings, "blocks", "%d", config->blocks);
    vt_settings_add(settings, "codes", "%d", config->codes);
    vt_settings_add(settings, "latent", "%d", config->latent_dim);
    used = 0;
    for (int i = 0; i < config->scales && used < sizeof list; ++i)
        used +=
            (size_t)snprintf(list + used, sizeof list - used, i ? ",%d" : "%d", config->sides[i]);
    vt_settings_add(settings, "sides", "%s", list);
    vt_settings_add(settings, "crop", "%d", options->crop);
    vt_settings_add(settings, "vq-weight", "%g", options->vq_weight);
    vt_settings_add(settings, "revive-after", "%d", options->revive_after);
    return VARIANT_OK;
}

/* ---- a run ---- */

void vt_train_tokenizer_options_init(vt_train_tokenizer_options *options) {
    *options = (vt_train_tokenizer_options){
        .config = {.blocks = 1},
        .vq_weight = 1.0,
        .revive_after = 100,
    };
    vt_train_common_init(&options->common);
    options->common.optimizer.weight_decay = 0.0;
}

static variant_status check_options(const vt_train_tokenizer_options *options, variant_error *err) {
    VT_TRY(vt_train_common_check(&options->common, err));
    if (options->crop < 0 || options->crop > 1024)
        return vt_fail(err, VARIANT_E_ARGUMENT, "crop of %d pixels: expected 0 to 1024",
                       options->crop);
    if (!(options->vq_weight >= 0.0 && options->vq_weight <= 1000.0))
        return vt_fail(err, VARIANT_E_ARGUMENT, "vq weight %g: expected 0 to 1000",
                       options->vq_weight);
    if (options->revive_after < 0)
        return vt_fail(err, VARIANT_E_ARGUMENT, "revive after %d steps: expected 0 (never) or more",
                       options->revive_after);
    return VARIANT_OK;
}

/* As far as it is known before the data is. */
static variant_status check_config(vt_tokenizer_config config, variant_error *err) {
    if (config.channels == 0) config.channels = 1;
    vt_choose_tokenizer_sizes(&config, 1);
    return vt_tokenizer_config_check(&config, err);
}

/* The shape of the run that is gone on with, unless another side was given, which is then told. */
static void recall_shape(const vt_train_loop *loop, vt_tokenizer_config *config, int *side) {
    vt_tokenizer_config was = *config;
    vt_defaults_recall_list(loop, "mult", VT_MAX_LEVELS, was.mult, &was.levels);
    vt_defaults_recall_list(loop, "sides", VT_MAX_SCALES, was.sides, &was.scales);
    if (was.levels < 1 || was.levels > VT_MAX_LEVELS || was.scales < 1) return;
    const int made = vt_tokenizer_side(&was);
    if (*side && vt_choose_multiple(*side, 1 << (was.levels - 1)) != made) return;
    *config = was;
    *side = made;
}

static variant_status tokenizer_shape(void *self, vt_train_loop *loop, vt_train_wanted *wanted,
                                      variant_error *err) {
    tokenizer_job *job = self;
    vt_tokenizer_config *config = &job->config;
    const vt_tokenizer_config given = *config;
    int side = job->options.side;
    if (loop->past) recall_shape(loop, config, &side);
    VT_TRY(vt_choose_tokenizer_shape(config, &side, err));
    VT_TRY(check_config(*config, err));
    if (job->options.side && side != job->options.side)
        vt_train_loop_note(loop, "side %d: %d is the nearest that %d levels can halve (mult)",
                           job->options.side, side, config->levels);
    vt_defaults_chose(loop, job->options.side || given.scales, "side", "%d", side);
    vt_defaults_chose_list(loop, given.levels, "mult", config->mult, config->levels);
    vt_defaults_chose_list(loop, given.scales, "sides", config->sides, config->scales);
    wanted->side = vt_tokenizer_side(config);
    wanted->channels = config->channels;
    wanted->crop = job->options.crop;
    return VARIANT_OK;
}

static variant_status tokenizer_size(void *self, vt_train_loop *loop, int *width,
                                     variant_error *err) {
    vt_tokenizer_config *config = &((tokenizer_job *)self)->config;
    const vt_tokenizer_config given = *config;
    (void)width;
    (void)err;
    config->channels = vt_dataset_channels(loop->data.train);
    vt_defaults_recall_int(loop, "width", &config->base_width);
    vt_defaults_recall_int(loop, "codes", &config->codes);
    vt_defaults_recall_int(loop, "latent", &config->latent_dim);
    vt_choose_tokenizer_sizes(config, loop->data.pictures.count);
    vt_defaults_chose(loop, given.base_width, "width", "%d", config->base_width);
    vt_defaults_chose(loop, given.codes, "codes", "%d", config->codes);
    vt_defaults_chose(loop, given.latent_dim, "latent", "%d", config->latent_dim);
    return VARIANT_OK;
}

static variant_status open_host(tokenizer_job *job, vt_train_loop *loop, variant_error *err) {
    const vt_tokenizer_config *config = &job->config;
    size_t batch = (size_t)loop->slice.count, codes = (size_t)config->codes;
    job->tokens_a_picture = vt_tokenizer_tokens(config);
    job->host = vt_train_host(loop, batch * picture_floats(job), sizeof *job->host);
    job->sheet =
        vt_train_host(loop, 2 * (size_t)sheet_room(loop) * picture_floats(job), sizeof *job->sheet);
    job->tokens = vt_train_host(loop, batch * (size_t)job->tokens_a_picture, sizeof *job->tokens);
    job->age = vt_train_host(loop, codes, sizeof *job->age);
    job->used = vt_train_host(loop, codes * (size_t)config->scales, sizeof *job->used);
    job->unused = vt_train_host(loop, codes, sizeof *job->unused);
    job->seeds = vt_train_host(loop, codes * (size_t)config->latent_dim, sizeof *job->seeds);
    if (!job->unused || !job->seeds || !job->host || !job->sheet || !job->tokens || !job->age ||
        !job->used)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for a batch of %zu pictures", batch);
    int start = job->options.revive_after - FIRST_REVIVAL;
    for (int v = 0; v < config->codes; ++v) job->age[v] = start > 0 ? start : 0;
    loop->counters = job->age;
    loop->counter_count = config->codes;
    return VARIANT_OK;
}

static variant_status tokenizer_open(void *self, vt_train_loop *loop, variant_error *err) {
    tokenizer_job *job = self;
    VT_TRY(open_host(job, loop, err));
    VT_TRY(vt_tokenizer_open(&job->tokenizer, loop->kern, &job->config, err));
    loop->params = vt_tokenizer_params(job->tokenizer);
    vt_params_set_type(loop->params, loop->options->precision, true);
    job->codebook = vt_params_find(loop->params, CODEBOOK);
    if (!job->codebook)
        return vt_fail(err, VARIANT_E_MODEL, "the tokenizer has no tensor " CODEBOOK);
    VT_TRY(vt_tokenizer_initialise(job->tokenizer, loop->options->seed, err));
    return vt_train_loop_gradients(loop, err);
}

static variant_status tokenizer_prepare(void *self, vt_train_loop *loop, variant_error *err) {
    (void)self;
    return vt_params_prepare(loop->params, err);
}

static variant_status tokenizer_rehearse(void *self, vt_train_loop *loop, vt_train_memory *memory,
                                         variant_error *err) {
    tokenizer_job *job = self;
    const int room = sheet_room(loop), zoom = sheet_zoom(job);
    if (loop->options->sample_every > 0) /* bytes of the pictures, and of them on the sheet */
        memory->samples = 2 * SHEET_PICTURES * (1 + (size_t)(zoom * zoom)) * picture_floats(job);
    VT_TRY(tokenizer_plan(job, loop, err));
    VT_TRY(run_slice(job, loop, err));
    job->mse = job->vq_loss = 0.0;
    vt_arena_rewind(&loop->arena, 0);
    return room ? reconstruct(job, loop, room, job->sheet, job->sheet, err) : VARIANT_OK;
}

static void tokenizer_close(void *self) {
    tokenizer_job *job = self;
    vt_tokenizer_close(&job->tokenizer);
    free(job->host);
    free(job->sheet);
    free(job->tokens);
    free(job->age);
    free(job->used);
    free(job->unused);
    free(job->seeds);
    job->host = job->sheet = job->seeds = NULL;
    job->tokens = job->age = job->unused = NULL;
    job->used = NULL;
}

variant_status vt_train_tokenizer(vt_kern *kern, const vt_train_tokenizer_options *options,
                                  vt_train_result *result, variant_error *err) {
    tokenizer_job job = {.options = *options, .config = options->config};
    const vt_trainer trainer = {
        .kind = VT_TRAIN_TOKENIZER,
        .self = &job,
        .common = &job.options.common,
        .shape = tokenizer_shape,
        .size = tokenizer_size,
        .open = tokenizer_open,
        .prepare = tokenizer_prepare,
        .rehearse = tokenizer_rehearse,
        .close = tokenizer_close,
        .describe_settings = tokenizer_settings,
        .plan = tokenizer_plan,
        .step = tokenizer_step,
        .count = tokenizer_count,
        .updated = tokenizer_updated,
        .unite = tokenizer_unite,
        .describe = tokenizer_describe,
        .evaluate = tokenizer_evaluate,
        .sample = tokenizer_sample,
        .file = "tokenizer.safetensors",
        .model = tokenizer_model,
    };
    return vt_train_run(kern, &trainer, check_options(options, err), result, err);
}

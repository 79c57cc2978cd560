/* generate.c - next-scale prediction: the loop of VAR over scales, at the depth that the
 * schedule gives each.
 *
 *     for every scale k:
 *         logits = transformer(input_k; layers S_k over the KV cache)
 *         r_k    = sample(guided logits)
 *         f_hat += phi(up(codes of r_k));  input_{k+1} = area(f_hat)
 *     picture = decoder(f_hat)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/clock.h"
#include "core/rng.h"
#include "engine/blame.h"
#include "engine/picture.h"
#include "engine/session.h"

#define DEFAULT_BATCH 8

/* A request with every choice made. */
typedef struct plan {
    const variant_engine *engine;
    const variant_request *request;
    const vt_transformer_config *config;
    vt_schedule schedule;
    int32_t *labels; /* (count) */
    int batch;
    variant_report *report;
} plan;

void variant_request_init(variant_request *request) {
    *request = (variant_request){.class_name = "random",
                                 .count = 1,
                                 .cfg_scale = 1.5f,
                                 .top_k = 900,
                                 .top_p = 0.96f,
                                 .bridge = -1};
}

/* ---- planning ---- */

static variant_status check_request(const variant_request *r, variant_error *err) {
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
    if (!(r->cfg_scale >= 0.0f && r->cfg_scale <= 100.0f))
        return vt_fail(err, VARIANT_E_ARGUMENT, "cfg scale %g: expected 0 to 100",
                       (double)r->cfg_scale);
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
static variant_status named_labels(const plan *p, int32_t **out, int *count, variant_error *err) {
    const variant_request *r = p->request;
    const char *text = r->class_name;
    if (!r->labels) {
        if (!text || is_all(r) || strcmp(text, "random") == 0) return VARIANT_OK;
        return vt_model_classes(p->engine->model, text, out, count, err);
    }
    if (r->label_count < 1)
        return vt_fail(err, VARIANT_E_ARGUMENT, "%d labels: expected 1 or more", r->label_count);
    for (int i = 0; i < r->label_count; ++i)
        if (r->labels[i] < 0 || r->labels[i] > p->config->classes)
            return vt_fail(err, VARIANT_E_ARGUMENT, "label %d: expected 0 to %d, or %d for none",
                           r->labels[i], p->config->classes - 1, p->config->classes);
    *out = malloc((size_t)r->label_count * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for %d labels", r->label_count);
    memcpy(*out, r->labels, (size_t)r->label_count * sizeof **out);
    *count = r->label_count;
    return VARIANT_OK;
}

static variant_status choose_labels(plan *p, variant_error *err) {
    const variant_request *r = p->request;
    int32_t *named = NULL;
    int count = 0;
    VT_TRY(named_labels(p, &named, &count, err));
    p->labels = malloc((size_t)r->count * sizeof *p->labels);
    for (int i = 0; p->labels && i < r->count; ++i) {
        int image = r->first_image + i;
        double drawn = vt_uniform(r->seed, VT_RNG_CLASS, (uint32_t)image, 0, 0);
        p->labels[i] = count       ? named[image % count]
                       : is_all(r) ? image % p->config->classes
                                   : (int)(drawn * p->config->classes);
    }
    free(named);
    return p->labels ? VARIANT_OK
                     : vt_fail(err, VARIANT_E_MEMORY, "no memory for %d labels", r->count);
}

static void warn_untrained(const plan *p) {
    const vt_supernet_info *supernet = &p->engine->model->supernet;
    if (vt_schedule_is_full(&p->schedule)) return;
    if (!supernet->trained) {
        snprintf(p->report->warning, sizeof p->report->warning,
                 "this model's metadata shows no supernet training: fewer layers will cost quality "
                 "at once");
        return;
    }
    int last = vt_schedule_depth_at(&p->schedule, p->config->scales - 1);
    bool trained = last == p->config->depth;
    for (int i = 0; i < supernet->depth_count; ++i)
        trained = trained || supernet->depths[i] == last;
    if (!trained) {
        snprintf(p->report->warning, sizeof p->report->warning,
                 "this supernet was not trained at depth %d", last);
        return;
    }
    const vt_selector selector = vt_supernet_selector(supernet);
    uint8_t keep[VT_SCHEDULE_LAYERS];
    if (vt_layers_select(selector, p->config->depth, last, keep, NULL) == VARIANT_OK &&
        memcmp(keep, p->schedule.runs[p->config->scales - 1], (size_t)p->config->depth) != 0)
        snprintf(p->report->warning, sizeof p->report->warning,
                 "this supernet was not trained with these %d layers but with %s ones", last,
                 vt_selector_name(selector));
}

static variant_status make_plan(plan *p, variant_error *err) {
    const variant_request *r = p->request;
    VT_TRY(check_request(r, err));
    VT_TRY(choose_labels(p, err));
    const vt_supernet_info *supernet = &p->engine->model->supernet;
    vt_schedule_request words = {.depths = r->depths,
                                 .layers = r->layers,
                                 .depth = r->depth,
                                 .bridge = r->bridge,
                                 .default_bridge = vt_supernet_bridge(supernet, p->config->scales),
                                 .default_selector = vt_supernet_selector(supernet)};
    VT_TRY(vt_schedule_resolve(&p->schedule, p->config->scales, p->config->depth, &words, err));
    p->batch = r->batch ? r->batch : DEFAULT_BATCH;
    if (p->batch > r->count) p->batch = r->count;
    p->report->scales = p->config->scales;
    for (int k = 0; k < p->config->scales; ++k)
        p->report->scale_layers[k] = vt_schedule_depth_at(&p->schedule, k);
    vt_schedule_describe(&p->schedule, p->report->depths, sizeof p->report->depths);
    warn_untrained(p);
    return VARIANT_OK;
}

/* ---- one batch ---- */

static double ramp(const plan *p, int k) {
    return p->config->scales > 1 ? (double)k / (p->config->scales - 1) : 0.0;
}

/* Where the logits of picture i (image `image`) stand at scale k, and how they are drawn from: guided by
 * (1 + t) cond - t uncond, t rising from 0 to cfg_scale over the scales. */
static vt_sample_part picture_part(const plan *p, const vt_session *s, int k, int i, int image) {
    const variant_request *r = p->request;
    const size_t rows = (size_t)(p->config->sides[k] * p->config->sides[k]), picture = (size_t)i;
    const size_t numbers = rows * (size_t)p->config->codes;
    float *cond = s->logits + picture * numbers;
    return (vt_sample_part){.cond = cond,
                            .uncond =
                                s->streams > s->batch ? cond + (size_t)s->batch * numbers : NULL,
                            .guide = (float)(r->cfg_scale * ramp(p, k)),
                            .rows = (int)rows,
                            .seed = r->seed,
                            .image = (uint32_t)image,
                            .scale = (uint32_t)k,
                            .top_k = r->top_k,
                            .top_p = r->top_p,
                            .greedy = r->greedy,
                            .tokens = s->tokens + picture * rows,
                            .weights = s->weights ? s->weights + picture * numbers : NULL,
                            .ramp = ramp(p, k)};
}

/* Draws every token of scale k; with smoothing also each token's mixture of codes. The first `first`
 * pictures of the request came in earlier batches. */
static variant_status sample_scale(const plan *p, vt_session *s, const vt_condition *condition,
                                   int k, int first, variant_error *err) {
    int rows = p->config->sides[k] * p->config->sides[k], total = s->batch * rows;
    for (int i = 0; i < s->batch; ++i)
        s->parts[i] = picture_part(p, s, k, i, p->request->first_image + first + i);
    VT_TRY(vt_session_sample(s, p->config->codes, err));
    s->kern->download(s->kern, s->host_tokens, s->tokens, (size_t)total * sizeof(int32_t));
    for (int i = 0; i < total; ++i)
        if (s->host_tokens[i] < 0)
            return vt_blame_logits(s, p->config, &p->schedule, condition, k, err);
    if (!s->weights) return VARIANT_OK;
    const vt_param *codebook = vt_params_find(vt_tokenizer_params(p->engine->model->tokenizer),
                                              "quantize.embedding.weight");
    s->kern->linear_dx(s->kern, s->embeddings, s->weights, codebook->weight, s->batch, rows, false);
    return VARIANT_OK;
}

/* Adds the scale to f_hat; the next input goes to the conditional and, alike, the unconditional
 * streams. */
static variant_status advance(const plan *p, vt_session *s, int k, variant_error *err) {
    bool last = k + 1 == p->config->scales;
    vt_scale_step step = {.k = k,
                          .batch = s->batch,
                          .tokens = s->weights ? NULL : s->tokens,
                          .embeddings = s->embeddings,
                          .f_hat = s->f_hat,
                          .next = last ? NULL : s->input};
    VT_TRY(vt_tokenizer_step(p->engine->model->tokenizer, &s->arena, &step, err));
    if (last || s->streams == s->batch) return VARIANT_OK;
    size_t floats = (size_t)s->batch * (size_t)(p->config->sides[k + 1] * p->config->sides[k + 1]) *
                    (size_t)p->config->latent_dim;
    s->kern->copy(s->kern, s->input + floats, s->input, floats);
    return VARIANT_OK;
}

static void release_layers(const plan *p, vt_session *s, int k) {
    size_t held = vt_kv_cache_bytes(s->cache);
    if (held > p->report->scale_kv_bytes[k]) p->report->scale_kv_bytes[k] = held;
    if (!p->request->retain_kv) vt_session_release(s, &p->schedule, k);
}

static variant_status decode_batch(const plan *p, vt_session *s, variant_picture *pictures,
                                   int scale, variant_error *err) {
    double start = vt_seconds();
    VT_TRY(vt_session_decode(s, p->engine->model->tokenizer, err));
    bool finite;
    VT_TRY(vt_pictures_take(pictures, s->batch, scale, s->kern, s->picture, &finite, err));
    if (!finite)
        return vt_blame_picture(s, vt_tokenizer_configuration(p->engine->model->tokenizer),
                                scale < 0 ? p->config->scales - 1 : scale, err);
    p->report->decoder_seconds += vt_seconds() - start;
    return VARIANT_OK;
}

static void keep_tokens(const plan *p, const vt_session *s, variant_picture *pictures, int k,
                        int offset) {
    size_t rows = (size_t)(p->config->sides[k] * p->config->sides[k]);
    for (int i = 0; i < s->batch; ++i)
        memcpy(pictures[i].tokens + offset, s->host_tokens + (size_t)i * rows,
               rows * sizeof(int32_t));
}

static bool report_progress(const plan *p, int pictures_done, int scales_done) {
    if (!p->request->progress) return true;
    variant_progress at = {.pictures_done = pictures_done,
                           .pictures = p->request->count,
                           .scale = scales_done,
                           .scales = p->config->scales};
    return p->request->progress(p->request->user, &at);
}

static variant_status run_scale(const plan *p, vt_session *s, const vt_condition *condition, int k,
                                int first, variant_error *err) {
    variant_report *report = p->report;
    vt_transformer_step step = {.k = k,
                                .condition = condition,
                                .schedule = &p->schedule,
                                .cache = s->cache,
                                .input = k ? s->input : NULL,
                                .logits = s->logits,
                                .head_seconds = &report->scale_head_seconds[k]};
    double t0 = vt_seconds();
    VT_TRY(vt_transformer_run_step(p->engine->model->transformer, &s->arena, &step, err));
    double t1 = vt_seconds();
    VT_TRY(sample_scale(p, s, condition, k, first, err));
    double t2 = vt_seconds();
    VT_TRY(advance(p, s, k, err));
    report->transformer_seconds += t1 - t0;
    report->scale_seconds[k] += t1 - t0;
    report->sampling_seconds += t2 - t1;
    report->quantizer_seconds += vt_seconds() - t2;
    return VARIANT_OK;
}

static variant_status condition_batch(const plan *p, vt_session *s, const int32_t *labels,
                                      vt_condition *out, variant_error *err) {
    uint8_t layers[VT_SCHEDULE_LAYERS];
    for (int layer = 0; layer < p->config->depth; ++layer)
        layers[layer] = vt_schedule_last_scale(&p->schedule, layer) >= 0;
    double start = vt_seconds();
    variant_status status = vt_transformer_condition(p->engine->model->transformer, &s->arena,
                                                     s->streams, labels, layers, out, err);
    p->report->condition_seconds += vt_seconds() - start;
    return status;
}

/* The pictures' own labels, then as many times the unconditional one; free() them. */
static variant_status stream_labels(const plan *p, int first, int batch, int32_t **out,
                                    variant_error *err) {
    *out = malloc(2 * (size_t)batch * sizeof **out);
    if (!*out) return vt_fail(err, VARIANT_E_MEMORY, "no memory for labels");
    for (int i = 0; i < 2 * batch; ++i)
        (*out)[i] = i < batch ? p->labels[first + i] : p->config->classes;
    return VARIANT_OK;
}

static vt_session_options session_options(const plan *p, int batch, const int32_t *labels) {
    return (vt_session_options){.batch = batch,
                                .guided = p->request->cfg_scale > 0.0f,
                                .smooth = p->request->smooth,
                                .retain_kv = p->request->retain_kv,
                                .schedule = &p->schedule,
                                .labels = labels};
}

static variant_status generate_batch(const plan *p, int first, int batch, variant_picture *pictures,
                                     variant_error *err) {
    const int scales = p->config->scales;
    vt_session session = {0};
    vt_condition condition;
    variant_status status = VARIANT_OK;
    int32_t *labels = NULL;
    VT_CHECK(stream_labels(p, first, batch, &labels, err));
    vt_session_options options = session_options(p, batch, labels);
    VT_CHECK(vt_session_open(&session, p->engine, &options, err));
    VT_CHECK(condition_batch(p, &session, labels, &condition, err));
    for (int k = 0, offset = 0; k < scales; ++k) {
        VT_CHECK(run_scale(p, &session, &condition, k, first, err));
        keep_tokens(p, &session, pictures, k, offset);
        offset += p->config->sides[k] * p->config->sides[k];
        release_layers(p, &session, k);
        if (p->request->keep_scales) VT_CHECK(decode_batch(p, &session, pictures, k, err));
        if (!report_progress(p, first, k + 1))
            VT_CHECK(vt_fail(err, VARIANT_E_STOPPED, "stopped at scale %d", k + 1));
    }
    VT_CHECK(decode_batch(p, &session, pictures, -1, err));
    if (vt_kv_cache_peak_bytes(session.cache) > p->report->kv_peak_bytes)
        p->report->kv_peak_bytes = vt_kv_cache_peak_bytes(session.cache);
    if (session.arena.peak > p->report->arena_peak_bytes)
        p->report->arena_peak_bytes = session.arena.peak;
cleanup:
    vt_session_close(&session);
    free(labels);
    return status;
}

/* ---- the request ---- */

/* How many of the labels differ, which decides what their condition takes. seen: (classes + 1) */
static int count_labels(const int32_t *labels, int count, uint8_t *seen, int classes) {
    int different = 0;
    memset(seen, 0, (size_t)classes + 1);
    for (int i = 0; i < count; ++i) {
        different += !seen[labels[i]];
        seen[labels[i]] = 1;
    }
    return different;
}

variant_status variant_request_memory(const variant_engine *engine, const variant_request *request,
                                      variant_memory *memory, variant_error *error) {
    variant_report unwanted = {0};
    plan p = {.engine = engine,
              .request = request,
              .report = &unwanted,
              .config = vt_transformer_configuration(engine->model->transformer)};
    variant_status status = VARIANT_OK;
    vt_session_bytes most = {0};
    int32_t *labels = NULL;
    uint8_t *seen = NULL;
    variant_info info;
    variant_engine_info(engine, &info);
    if (error) *error = (variant_error){0};
    VT_CHECK(make_plan(&p, error));
    seen = malloc((size_t)p.config->classes + 1);
    if (!seen) VT_CHECK(vt_fail(error, VARIANT_E_MEMORY, "no memory for labels"));
    int measured_batch = 0, measured_labels = 0;
    for (int first = 0; first < request->count; first += p.batch) {
        int batch = request->count - first < p.batch ? request->count - first : p.batch;
        int different = count_labels(p.labels + first, batch, seen, p.config->classes);
        if (batch <= measured_batch && different <= measured_labels) continue; /* takes no more */
        measured_batch = batch;
        measured_labels = different;
        vt_session_bytes bytes;
        free(labels);
        VT_CHECK(stream_labels(&p, first, batch, &labels, error));
        vt_session_options options = session_options(&p, batch, labels);
        VT_CHECK(vt_session_measure(&bytes, engine, &options, error));
        if (bytes.arena > most.arena) most.arena = bytes.arena;
        if (bytes.kv > most.kv) most.kv = bytes.kv;
    }
    *memory = (variant_memory){.weights = info.weight_bytes,
                               .mapped = info.mapped_bytes,
                               .arena = most.arena,
                               .kv = most.kv};
cleanup:
    free(seen);
    free(labels);
    free(p.labels);
    return status;
}

static variant_status describe_pictures(const plan *p, variant_picture *pictures,
                                        variant_error *err) {
    for (int i = 0; i < p->request->count; ++i)
        VT_TRY(vt_picture_describe(&pictures[i], p->engine, p->request, &p->schedule, i, err));
    return VARIANT_OK;
}

variant_status variant_generate(const variant_engine *engine, const variant_request *request,
                                variant_picture **pictures, variant_report *report,
                                variant_error *error) {
    variant_report unwanted;
    plan p = {.engine = engine,
              .request = request,
              .report = report ? report : &unwanted,
              .config = vt_transformer_configuration(engine->model->transformer)};
    variant_status status = VARIANT_OK;
    double start = vt_seconds();
    *pictures = NULL;
    *p.report = (variant_report){0};
    if (error) *error = (variant_error){0};
    VT_CHECK(make_plan(&p, error));
    VT_CHECK(
        vt_pictures_new(pictures, engine, p.labels, request->count, request->keep_scales, error));
    for (int first = 0; first < request->count; first += p.batch) {
        int batch = request->count - first < p.batch ? request->count - first : p.batch;
        VT_CHECK(generate_batch(&p, first, batch, *pictures + first, error));
        if (!report_progress(&p, first + batch, 0) && first + batch < request->count)
            VT_CHECK(vt_fail(error, VARIANT_E_STOPPED, "stopped after %d pictures", first + batch));
    }
    VT_CHECK(describe_pictures(&p, *pictures, error));
    p.report->kv_end_bytes = p.report->scale_kv_bytes[p.config->scales - 1];
    p.report->total_seconds = vt_seconds() - start;
    p.report->peak_resident_bytes = vt_peak_resident_bytes();
cleanup:
    if (status != VARIANT_OK) variant_pictures_free(pictures, request->count);
    free(p.labels);
    return status;
}

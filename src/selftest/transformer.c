/* transformer.c - the transformer teacher-forced on synthetic tokens: logits, losses and
 * gradients under each of a file's depth schedules; ten optimizer steps; and the sampling filters.
 *
 * Called by selftest.c. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "io/synth.h"
#include "train/optimizer.h"
#include "selftest/parts.h"

/* The one batch that every pass of a file runs on. */
typedef struct teacher {
    vt_selftest *test;
    vt_selftest_model *model;
    int batch;
    int32_t *labels;      /* (B), host */
    int32_t *host_tokens; /* (B, L) */
    int32_t *tokens;      /* (B, L), backend, in the arena */
    float *inputs;        /* (B, L-1, Cvae), likewise */
    float *loss;          /* (B, L), likewise */
} teacher;

static void teacher_close(teacher *teach) {
    free(teach->labels);
    free(teach->host_tokens);
}

static variant_status teacher_open(teacher *out, vt_selftest *test, vt_selftest_model *model,
                                   int batch, variant_error *err) {
    *out = (teacher){.test = test, .model = model, .batch = batch};
    size_t count = (size_t)batch * (size_t)model->length;
    size_t inputs =
        (size_t)batch * (size_t)(model->length - 1) * (size_t)model->config.tokenizer.latent_dim;
    out->labels = malloc((size_t)batch * sizeof *out->labels);
    out->host_tokens = malloc(count * sizeof *out->host_tokens);
    if (!out->labels || !out->host_tokens)
        return vt_fail(err, VARIANT_E_MEMORY, "no memory for tokens and labels");
    VT_TRY(vt_golden_labels(&model->config, batch, out->labels, err));
    VT_TRY(vt_golden_tokens(&model->config, batch, out->host_tokens, err));
    out->tokens = vt_arena_ints(&model->arena, count);
    out->loss = vt_arena_floats(&model->arena, count);
    out->inputs = vt_arena_floats(&model->arena, inputs);
    VT_TRY(vt_arena_check(&model->arena, "the teacher's tokens", err));
    test->kern->upload(test->kern, out->tokens, out->host_tokens, count * sizeof *out->tokens);
    return vt_tokenizer_inputs(model->tokenizer, &model->arena, batch, out->tokens, out->inputs,
                               NULL, err);
}

/* One pass: loss (mean over batch and tokens); gradients are added when asked for; logits, when not
 * NULL, receives (B, L, V) on the host. */
typedef struct teacher_lesson {
    const vt_schedule *schedule;
    float smoothing;
    bool gradient;
    float *logits;
    double loss;
} teacher_lesson;

static variant_status teach(const teacher *t, teacher_lesson *lesson, variant_error *err) {
    vt_kern *kern = t->test->kern;
    vt_arena *arena = &t->model->arena;
    size_t mark = vt_arena_mark(arena), count = (size_t)t->batch * (size_t)t->model->length;
    vt_transformer_pass pass = {
        .batch = t->batch, .labels = t->labels, .inputs = t->inputs, .schedule = lesson->schedule};
    VT_TRY(vt_transformer_forward(t->model->transformer, arena, &pass, err));
    if (lesson->logits)
        kern->download(kern, lesson->logits, pass.logits,
                       count * (size_t)t->model->config.transformer.codes * sizeof(float));
    vt_transformer_loss loss = {
        .targets = t->tokens, .smoothing = lesson->smoothing, .loss = t->loss};
    VT_TRY(
        vt_transformer_backward(t->model->transformer, arena, &pass, &loss, lesson->gradient, err));
    vt_arena_rewind(arena, mark);

    float *host = malloc(count * sizeof *host);
    if (!host) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the loss");
    const variant_status status = vt_kern_download(kern, host, t->loss, count * sizeof *host, err);
    double sum = 0;
    for (size_t i = 0; i < count; ++i) sum += host[i];
    lesson->loss = sum / (double)count;
    free(host);
    return status;
}

/* ---- transformer files ---- */

/* RUN/layers: indices of the layers that the flexible zone keeps. */
static variant_status check_layers(const teacher *t, const char *run, variant_error *err) {
    uint8_t keep[VT_SCHEDULE_LAYERS] = {0};
    if (!vt_golden_zone(&t->model->config, run, keep)) return VARIANT_OK;
    int32_t layers[VT_SCHEDULE_LAYERS];
    int count = 0;
    for (int l = 0; l < t->model->config.transformer.depth; ++l) {
        if (keep[l]) layers[count++] = l;
    }
    char name[128];
    snprintf(name, sizeof name, "%s/layers", run);
    vt_tensor_out got = {.name = name, .type = VT_I32, .rank = 1, .shape = {count}, .data = layers};
    return vt_selftest_check(t->test, &got, 0, err);
}

/* RUN/loss_smoothX for every X in the file. */
static variant_status check_smoothed(const teacher *t, const char *run, const vt_schedule *schedule,
                                     variant_error *err) {
    char prefix[128];
    snprintf(prefix, sizeof prefix, "%s/loss_smooth", run);
    for (int i = 0; i < vt_tensor_file_count(t->test->file); ++i) {
        const char *name = vt_tensor_file_at(t->test->file, i)->name;
        if (strncmp(name, prefix, strlen(prefix)) != 0) continue;
        char *end = NULL;
        teacher_lesson smooth = {.schedule = schedule,
                                 .smoothing = strtof(name + strlen(prefix), &end)};
        if (*end != '\0' || !(smooth.smoothing >= 0 && smooth.smoothing < 1)) continue;
        VT_TRY(teach(t, &smooth, err));
        VT_TRY(vt_selftest_check_scalar(t->test, name, smooth.loss, VT_FORWARD_TOLERANCE, err));
    }
    return VARIANT_OK;
}

static variant_status check_run(const teacher *t, const char *run, variant_error *err) {
    const vt_transformer_config *config = &t->model->config.transformer;
    vt_params *params = vt_transformer_params(t->model->transformer);
    char name[128];
    vt_schedule schedule;
    VT_TRY(vt_golden_schedule(&t->model->config, run, &schedule, err));
    VT_TRY(check_layers(t, run, err));

    size_t count = (size_t)t->batch * (size_t)t->model->length * (size_t)config->codes;
    teacher_lesson full = {.schedule = &schedule,
                           .gradient = !vt_selftest_is_rounded(t->test),
                           .logits = malloc(count * sizeof(float))};
    if (!full.logits) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the logits");
    variant_status status = VARIANT_OK;
    if (full.gradient) vt_params_zero_grad(params);
    VT_CHECK(teach(t, &full, err));
    snprintf(name, sizeof name, "%s/logits", run);
    vt_tensor_out got = {.name = name,
                         .type = VT_F32,
                         .rank = 3,
                         .shape = {t->batch, t->model->length, config->codes},
                         .data = full.logits};
    VT_CHECK(vt_selftest_check(t->test, &got, VT_FORWARD_TOLERANCE, err));
    snprintf(name, sizeof name, "%s/loss", run);
    VT_CHECK(vt_selftest_check_scalar(t->test, name, full.loss, VT_FORWARD_TOLERANCE, err));
    VT_CHECK(check_smoothed(t, run, &schedule, err));
    if (!full.gradient) goto cleanup;
    snprintf(name, sizeof name, "%s/norm/", run);
    VT_CHECK(vt_selftest_check_params(t->test, params, name, VT_GRADIENT_NORMS, err));
    snprintf(name, sizeof name, "%s/grad/", run);
    VT_CHECK(vt_selftest_check_params(t->test, params, name, VT_GRADIENTS, err));
cleanup:
    free(full.logits);
    return status;
}

variant_status vt_selftest_transformer(vt_selftest *test, variant_error *err) {
    static const char *const kinds[] = {"logits", "loss", "layers", "norm/", "grad/", NULL};
    vt_selftest_model model;
    int batch = 0;
    VT_TRY(vt_selftest_batch(test, "tokens", &batch, err));
    VT_TRY(vt_selftest_model_open(&model, test, true, !vt_selftest_is_rounded(test), err));
    teacher t = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(teacher_open(&t, test, &model, batch, err));
    vt_tensor_out tokens = {.name = "tokens",
                            .type = VT_I32,
                            .rank = 2,
                            .shape = {batch, model.length},
                            .data = t.host_tokens};
    VT_CHECK(vt_selftest_check(test, &tokens, 0, err));
    vt_tensor_out labels = {
        .name = "labels", .type = VT_I32, .rank = 1, .shape = {batch}, .data = t.labels};
    VT_CHECK(vt_selftest_check(test, &labels, 0, err));
    char run[64];
    for (int i = 0; i < vt_tensor_file_count(test->file); ++i) {
        if (vt_selftest_is_run(test, i, kinds, run, sizeof run)) VT_CHECK(check_run(&t, run, err));
    }
cleanup:
    teacher_close(&t);
    vt_selftest_model_close(&model, test);
    return status;
}

/* ---- optimizer files ---- */

static variant_status check_steps(const teacher *t, int steps, variant_error *err) {
    vt_params *params = vt_transformer_params(t->model->transformer);
    vt_schedule schedule;
    VT_TRY(vt_golden_schedule(&t->model->config, "full", &schedule, err));
    vt_optimizer_options options;
    vt_optimizer_options_init(&options);
    options.beta1 = 0.9;
    options.beta2 = 0.95;
    options.eps = 1e-8;
    options.weight_decay = 0.05;
    options.clip = 2.0;
    double *losses = malloc((size_t)steps * sizeof *losses),
           *norms = malloc((size_t)steps * sizeof *norms);
    variant_status status = VARIANT_OK;
    if (!losses || !norms) {
        status = vt_fail(err, VARIANT_E_MEMORY, "no memory for the losses");
        goto cleanup;
    }
    for (int s = 0; s < steps; ++s) {
        vt_params_zero_grad(params);
        teacher_lesson full = {.schedule = &schedule, .gradient = true};
        VT_CHECK(teach(t, &full, err));
        losses[s] = full.loss;
        VT_CHECK(vt_optimizer_step(params, &options, 1e-3, s + 1, &norms[s], err));
        vt_params_refresh(params);
        VT_CHECK(vt_transformer_prepare(t->model->transformer, err));
    }
    vt_tensor_out got = {
        .name = "loss", .type = VT_F64, .rank = 1, .shape = {steps}, .data = losses};
    VT_CHECK(vt_selftest_check(t->test, &got, VT_GRADIENT_TOLERANCE, err));
    got.name = "grad_norm";
    got.data = norms;
    VT_CHECK(vt_selftest_check(t->test, &got, VT_GRADIENT_TOLERANCE, err));
    VT_CHECK(vt_selftest_check_params(t->test, params, "final_norm/", VT_VALUE_NORMS, err));
cleanup:
    free(losses);
    free(norms);
    return status;
}

variant_status vt_selftest_adamw(vt_selftest *test, variant_error *err) {
    int steps = 10; /* where a file holds the final norms alone */
    if (vt_selftest_find(test, "loss")) VT_TRY(vt_selftest_batch(test, "loss", &steps, err));
    vt_selftest_model model;
    VT_TRY(vt_selftest_model_open(&model, test, true, true, err));
    teacher t = {0};
    variant_status status = VARIANT_OK;
    VT_CHECK(teacher_open(&t, test, &model, 2, err));
    VT_CHECK(check_steps(&t, steps, err));
cleanup:
    teacher_close(&t);
    vt_selftest_model_close(&model, test);
    return status;
}

/* ---- sampling files ---- */

/* `logits`, on the host, becomes what the filters leave of it. */
static variant_status filter_rows(vt_kern *kern, float *logits, size_t rows, size_t vocab,
                                  int top_k, float top_p, variant_error *err) {
    const size_t bytes = rows * vocab * sizeof *logits;
    vt_sample args = {.count = 1, .vocab = (int)vocab};
    const size_t room = kern->sample_workspace(kern, &args);
    const size_t all = vt_arena_size(bytes) + vt_arena_size(room) + rows * sizeof(int32_t);
    char *memory = NULL;
    VT_TRY(kern->memory_reserve(kern, all, (void **)&memory, err));
    vt_sample_part part = {.cond = (float *)memory,
                           .filtered = (float *)memory,
                           .rows = (int)rows,
                           .top_k = top_k,
                           .top_p = top_p};
    args.parts = &part;
    args.workspace = memory + vt_arena_size(bytes);
    part.tokens = (int32_t *)(memory + vt_arena_size(bytes) + vt_arena_size(room));
    kern->upload(kern, part.cond, logits, bytes);
    kern->sample(kern, &args);
    const variant_status status = vt_kern_download(kern, logits, part.filtered, bytes, err);
    kern->memory_release(kern, memory, all);
    return status;
}

/* probs/k{K}p{P}: softmax of the filtered logits (rows, vocab). */
static variant_status check_filter(vt_selftest *test, const vt_tensor_out *logits, int top_k,
                                   float top_p, const char *name, variant_error *err) {
    size_t vocab = (size_t)logits->shape[logits->rank - 1], rows = 1;
    for (int d = 0; d + 1 < logits->rank; ++d) rows *= (size_t)logits->shape[d];
    float *probs = malloc(rows * vocab * sizeof *probs);
    variant_status status = VARIANT_OK;
    if (!probs) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the probabilities");
    memcpy(probs, logits->data, rows * vocab * sizeof *probs);
    VT_CHECK(filter_rows(test->kern, probs, rows, vocab, top_k, top_p, err));
    for (size_t r = 0; r < rows; ++r) {
        float *row = probs + r * vocab;
        double largest = -INFINITY, sum = 0;
        for (size_t i = 0; i < vocab; ++i) largest = fmax(largest, row[i]);
        for (size_t i = 0; i < vocab; ++i) sum += exp(row[i] - largest);
        for (size_t i = 0; i < vocab; ++i) row[i] = (float)(exp(row[i] - largest) / sum);
    }
    vt_tensor_out got = *logits;
    got.name = name;
    got.data = probs;
    VT_CHECK(vt_selftest_check(test, &got, VT_FORWARD_TOLERANCE, err));
cleanup:
    free(probs);
    return status;
}

/* "probs/k10p0.8" -> 10, 0.8. */
static bool read_filter(const char *name, int *top_k, float *top_p) {
    if (strncmp(name, "probs/k", 7) != 0) return false;
    char *end = NULL;
    long k = strtol(name + 7, &end, 10);
    if (end == name + 7 || *end != 'p' || k < 0 || k > 1 << 24) return false;
    const char *start = end + 1;
    *top_k = (int)k;
    *top_p = strtof(start, &end);
    return end != start && *end == '\0' && *top_p >= 0 && *top_p <= 1;
}

variant_status vt_selftest_sampling(vt_selftest *test, variant_error *err) {
    const vt_tensor *tensor = vt_selftest_find(test, "logits");
    if (!tensor || tensor->rank < 1 || tensor->rank > 4 || tensor->count == 0 ||
        tensor->count > 1 << 26)
        return vt_fail(err, VARIANT_E_FORMAT,
                       "must hold the logits that its probs/... were made of");
    float *logits = malloc(tensor->count * sizeof *logits);
    if (!logits) return vt_fail(err, VARIANT_E_MEMORY, "no memory for the logits");
    variant_status status = VARIANT_OK;
    vt_synth_symmetric(logits, tensor->count, "A/sampling");
    for (size_t i = 0; i < tensor->count; ++i) logits[i] *= 4.0f;
    vt_tensor_out got = {.name = "logits", .type = VT_F32, .rank = tensor->rank, .data = logits};
    for (int d = 0; d < tensor->rank; ++d) got.shape[d] = tensor->shape[d];
    VT_CHECK(vt_selftest_check(test, &got, VT_FORWARD_TOLERANCE, err));
    for (int i = 0; i < vt_tensor_file_count(test->file); ++i) {
        const char *name = vt_tensor_file_at(test->file, i)->name;
        int top_k = 0;
        float top_p = 0;
        if (read_filter(name, &top_k, &top_p))
            VT_CHECK(check_filter(test, &got, top_k, top_p, name, err));
    }
cleanup:
    free(logits);
    return status;
}

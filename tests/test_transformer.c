/* test_transformer.c - the transformer against golden vectors (tests/golden), itself uncached, and
 * finite differences. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "selftest/golden_config.h"
#include "io/synth.h"
#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

#define OK(expression)                                                                             \
    do {                                                                                           \
        variant_error err = {0};                                                                   \
        if ((expression) != VARIANT_OK) fail_msg("%s: %s", #expression, err.message);              \
    } while (0)

enum { ARENA = 1 << 28 };

/* ---- one opened model ---- */

typedef struct fixture {
    vt_kern *kern;
    vt_golden_config golden;
    vt_tensor_file *file;
    vt_tokenizer *tokenizer;
    vt_transformer *transformer;
    vt_arena arena;
    int batch, tokens, codes;
    int32_t labels[8];
    int32_t *targets; /* (B, L), kernel memory in the arena */
    float *inputs;    /* (B, L - 1, Cvae), in the arena */
} fixture;

static void open_kern(fixture *f, const char *backend, int threads) {
    void *memory = NULL;
    memset(f, 0, sizeof *f);
    OK(vt_kern_open(&f->kern, backend, threads, &err));
    OK(f->kern->memory_reserve(f->kern, ARENA, &memory, &err));
    vt_arena_init(&f->arena, memory, ARENA);
}

static void fixture_close(fixture *f) {
    vt_transformer_close(&f->transformer);
    vt_tokenizer_close(&f->tokenizer);
    vt_tensor_file_close(&f->file);
    vt_golden_config_free(&f->golden);
    f->kern->memory_release(f->kern, f->arena.base, ARENA);
    vt_kern_close(&f->kern);
}

/* The golden model's transformer on synthetic weights, its tokens and the inputs that follow from
 * them. */
static void fixture_open(fixture *f, const char *model, const char *backend, int threads) {
    char path[512];
    open_kern(f, backend, threads);
    snprintf(path, sizeof path, VARIANT_TEST_DIR "/golden/%s/transformer.safetensors", model);
    OK(vt_tensor_file_open(&f->file, path, &err));
    OK(vt_golden_config_parse(&f->golden, vt_tensor_file_meta(f->file, "config"), path, &err));
    OK(vt_transformer_open(&f->transformer, f->kern, &f->golden.transformer, &err));
    OK(vt_params_synthesize(vt_transformer_params(f->transformer), f->golden.seed, "var", &err));
    OK(vt_params_train(vt_transformer_params(f->transformer), &err));
    OK(vt_transformer_prepare(f->transformer, &err));
    OK(vt_tokenizer_open(&f->tokenizer, f->kern, &f->golden.tokenizer, &err));
    OK(vt_params_synthesize(vt_tokenizer_params(f->tokenizer), f->golden.seed, "vae", &err));
    OK(vt_params_prepare(vt_tokenizer_params(f->tokenizer), &err));

    const vt_tensor *tokens = vt_tensor_file_find(f->file, NULL, "tokens");
    const vt_tensor *labels = vt_tensor_file_find(f->file, NULL, "labels");
    assert_non_null(tokens);
    assert_non_null(labels);
    f->batch = (int)tokens->shape[0];
    f->tokens = (int)tokens->shape[1];
    f->codes = f->golden.transformer.codes;
    assert_int_equal(f->tokens, vt_transformer_tokens(&f->golden.transformer));
    int32_t *host = malloc(tokens->count * sizeof *host);
    OK(vt_tensor_to_i32(tokens, host, &err));
    OK(vt_tensor_to_i32(labels, f->labels, &err));
    f->targets = vt_arena_ints(&f->arena, tokens->count);
    f->kern->upload(f->kern, f->targets, host, tokens->count * sizeof *host);
    free(host);
    f->inputs = vt_arena_floats(&f->arena, (size_t)f->batch * (size_t)(f->tokens - 1) *
                                               (size_t)f->golden.transformer.latent_dim);
    OK(vt_tokenizer_inputs(f->tokenizer, &f->arena, f->batch, f->targets, f->inputs, NULL, &err));
}

/* ---- comparison ---- */

static void check_close(const float *got, const float *want, size_t n, double tolerance,
                        const char *what) {
    double off = 0, size = 0;
    for (size_t i = 0; i < n; ++i) {
        double d = (double)got[i] - (double)want[i];
        off += d * d;
        size += (double)want[i] * (double)want[i];
    }
    if (!(sqrt(off) <= tolerance * sqrt(size) + 1e-6))
        fail_msg("%s: off by %g of %g (tolerance %g)", what, sqrt(off), sqrt(size), tolerance);
}

static double golden_number(const fixture *f, const char *name) {
    const vt_tensor *tensor = vt_tensor_file_find(f->file, NULL, name);
    if (tensor == NULL) fail_msg("no golden %s", name);
    assert_int_equal(tensor->type, VT_F64);
    return *(const double *)tensor->data;
}

static float *golden_floats(const fixture *f, const char *name, size_t count) {
    const vt_tensor *tensor = vt_tensor_file_find(f->file, NULL, name);
    if (tensor == NULL) fail_msg("no golden %s", name);
    assert_int_equal(tensor->count, count);
    float *values = malloc(count * sizeof *values);
    OK(vt_tensor_to_f32(tensor, values, &err));
    return values;
}

static float *download(const vt_kern *kern, const float *from, size_t count) {
    float *host = malloc((count + 1) * sizeof *host);
    kern->download((vt_kern *)kern, host, from, count * sizeof *host);
    return host;
}

static double mean_of(const float *x, size_t n) {
    double sum = 0;
    for (size_t i = 0; i < n; ++i) sum += (double)x[i];
    return sum / (double)n;
}

/* One pass with the loss of `smoothing`; gradients added when wanted. Logits to the host before
 * they are overwritten (may be NULL). Returns the loss. */
static double run_pass(fixture *f, const vt_schedule *schedule, float smoothing, bool with_gradient,
                       float **logits) {
    size_t mark = vt_arena_mark(&f->arena), n = (size_t)f->batch * (size_t)f->tokens;
    vt_transformer_pass pass = {
        .batch = f->batch, .labels = f->labels, .inputs = f->inputs, .schedule = schedule};
    OK(vt_transformer_forward(f->transformer, &f->arena, &pass, &err));
    if (logits != NULL) *logits = download(f->kern, pass.logits, n * (size_t)f->codes);
    vt_transformer_loss loss = {
        .targets = f->targets, .smoothing = smoothing, .loss = vt_arena_floats(&f->arena, n)};
    OK(vt_transformer_backward(f->transformer, &f->arena, &pass, &loss, with_gradient, &err));
    float *each = download(f->kern, loss.loss, n);
    double mean = mean_of(each, n);
    free(each);
    vt_arena_rewind(&f->arena, mark);
    return mean;
}

static void check_loss(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 1e-5 * fabs(want) + 1e-6))
        fail_msg("%s: %.9g, expected %.9g", what, got, want);
}

/* Every gradient's norm, and those gradients that the file holds whole. */
static int check_gradients(const fixture *f, const char *run) {
    const vt_params *params = vt_transformer_params(f->transformer);
    int norms = 0;
    char name[160];
    for (int i = 0; i < params->count; ++i) {
        const vt_param *param = params->items[i];
        if (param->flags & VT_PARAM_BUFFER) continue;
        float *grad = download(f->kern, param->grad, param->count);
        double sum = 0;
        for (size_t j = 0; j < param->count; ++j) sum += (double)grad[j] * (double)grad[j];
        snprintf(name, sizeof name, "%s/norm/%s", run, param->name);
        double want = golden_number(f, name);
        if (!(fabs(sqrt(sum) - want) <= 1e-4 * want + 1e-6))
            fail_msg("%s: %.9g, expected %.9g", name, sqrt(sum), want);
        ++norms;
        snprintf(name, sizeof name, "%s/grad/%s", run, param->name);
        if (vt_tensor_file_find(f->file, NULL, name) != NULL) {
            float *expected = golden_floats(f, name, param->count);
            check_close(grad, expected, param->count, 1e-4, name);
            free(expected);
        }
        free(grad);
    }
    return norms;
}

/* Layers that never run take no part: their gradient is zero to the bit. */
static int check_idle_layers(const fixture *f, const vt_schedule *schedule) {
    const vt_params *params = vt_transformer_params(f->transformer);
    int idle = 0;
    for (int l = 0; l < schedule->depth; ++l) {
        char prefix[32];
        if (vt_schedule_last_scale(schedule, l) >= 0) continue;
        ++idle;
        snprintf(prefix, sizeof prefix, "blocks.%d.", l);
        for (int i = 0; i < params->count; ++i) {
            const vt_param *param = params->items[i];
            if (param->grad == NULL || strncmp(param->name, prefix, strlen(prefix)) != 0) continue;
            float *grad = download(f->kern, param->grad, param->count);
            for (size_t j = 0; j < param->count; ++j) assert_true(grad[j] == 0.0f);
            free(grad);
        }
    }
    return idle;
}

static void check_golden_run(fixture *f, const char *run) {
    vt_schedule schedule;
    char name[64];
    float *logits = NULL;
    OK(vt_golden_schedule(&f->golden, run, &schedule, &err));
    vt_params_zero_grad(vt_transformer_params(f->transformer));
    double loss = run_pass(f, &schedule, 0, true, &logits);
    size_t n = (size_t)f->batch * (size_t)f->tokens * (size_t)f->codes;
    snprintf(name, sizeof name, "%s/logits", run);
    float *want = golden_floats(f, name, n);
    check_close(logits, want, n, 1e-5, name);
    free(want);
    free(logits);
    snprintf(name, sizeof name, "%s/loss", run);
    check_loss(loss, golden_number(f, name), name);
    check_gradients(f, run);
    int idle = check_idle_layers(f, &schedule);
    if (strcmp(run, "N0d2") == 0) assert_int_equal(idle, schedule.depth - 2);
}

static void check_golden(const char *model, const char *backend, const char *const *runs) {
    fixture f;
    fixture_open(&f, model, backend, 2);
    for (int i = 0; runs[i] != NULL; ++i) check_golden_run(&f, runs[i]);
    vt_schedule full;
    OK(vt_schedule_full(&full, f.golden.transformer.scales, f.golden.transformer.depth, &err));
    check_loss(run_pass(&f, &full, 0.1f, false, NULL), golden_number(&f, "full/loss_smooth0.1"),
               "full/loss_smooth0.1");
    fixture_close(&f);
}

static const char *const runs_a[] = {"full", "N2d3", "N1d2", "N0d2", "list1", "list2", NULL};
static const char *const runs_b[] = {"full", "N1d3", NULL};

static void test_golden_a_ref(void **state) {
    (void)state;
    check_golden("A", "ref", runs_a);
}
static void test_golden_a_cpu(void **state) {
    (void)state;
    check_golden("A", "cpu", runs_a);
}
static void test_golden_b_ref(void **state) {
    (void)state;
    check_golden("B", "ref", runs_b);
}
static void test_golden_b_cpu(void **state) {
    (void)state;
    check_golden("B", "cpu", runs_b);
}

/* ---- generation steps ---- */

enum { MOST_STREAMS = 8 };

typedef struct generation {
    vt_transformer *transformer;
    vt_kern *kern;
    vt_arena *arena;
    const vt_schedule *schedule;
    const vt_schedule *const *schedules; /* (streams), one each; NULL: schedule */
    int streams;
    const int32_t *labels;
    const float *inputs; /* (streams, L - 1, Cvae), kernel memory */
    bool release;
    int stagger; /* steps by which each stream begins after the one before it */
} generation;

static const vt_schedule *schedule_of(const generation *g, int stream) {
    return g->schedules != NULL ? g->schedules[stream] : g->schedule;
}

/* Opens the streams with a class of the condition each, where labels may be there more than once. */
static void streams_open(const generation *g, vt_stream *streams, vt_condition *condition) {
    const vt_transformer_config *config = vt_transformer_configuration(g->transformer);
    int32_t classes[MOST_STREAMS];
    int count = 0;
    assert_true(g->streams <= MOST_STREAMS);
    for (int s = 0; s < g->streams; ++s) {
        int capacity[VT_SCHEDULE_LAYERS], at = 0;
        for (int l = 0; l < config->depth; ++l)
            capacity[l] =
                vt_schedule_layer_tokens(schedule_of(g, s), config->sides, l, config->scales - 1);
        while (at < count && classes[at] != g->labels[s]) ++at;
        if (at == count) classes[count++] = g->labels[s];
        streams[s] =
            (vt_stream){.schedule = schedule_of(g, s), .condition = condition, .class_index = at};
        vt_kv_format format = {.width = config->width, .heads = config->heads};
        OK(vt_kv_cache_open(&streams[s].cache, g->kern, config->depth, &format, capacity, &err));
    }
    OK(vt_transformer_condition(g->transformer, g->arena, g->arena, classes, count, NULL, condition,
                                &err));
}

/* Bytes held are the formula's; then what has had its last scale goes. */
static void check_held(const generation *g, vt_stream *stream) {
    const vt_transformer_config *config = vt_transformer_configuration(g->transformer);
    const size_t element = 2 * (size_t)config->width * sizeof(float);
    assert_int_equal(vt_kv_cache_bytes(stream->cache),
                     element * (size_t)vt_schedule_kv_tokens(stream->schedule, config->sides,
                                                             stream->k, g->release));
    for (int l = 0; g->release && l < config->depth; ++l)
        if (vt_schedule_last_scale(stream->schedule, l) == stream->k)
            vt_kv_cache_release(stream->cache, l);
    if (stream->k + 1 < config->scales) return;
    assert_int_equal(
        vt_kv_cache_peak_bytes(stream->cache),
        element * (size_t)vt_schedule_kv_peak_tokens(stream->schedule, config->sides, g->release));
    if (g->release) assert_int_equal(vt_kv_cache_bytes(stream->cache), 0);
}

/* Every scale of every stream over its KV cache; logits (streams, L, V) to the host. */
static float *generate(const generation *g) {
    const vt_transformer_config *config = vt_transformer_configuration(g->transformer);
    size_t mark = vt_arena_mark(g->arena), v = (size_t)config->codes,
           latent = (size_t)config->latent_dim;
    int tokens = vt_transformer_tokens(config), start[VT_SCHEDULE_SCALES + 1] = {0};
    vt_stream streams[MOST_STREAMS];
    vt_condition condition;
    float *out = malloc((size_t)g->streams * (size_t)tokens * v * sizeof *out);
    for (int k = 0; k < config->scales; ++k)
        start[k + 1] = start[k] + config->sides[k] * config->sides[k];
    streams_open(g, streams, &condition);
    size_t held = vt_arena_mark(g->arena);
    for (int step = 0; step < config->scales + g->stagger * (g->streams - 1); ++step) {
        vt_stream *running[MOST_STREAMS];
        int count = 0, rows = 0;
        for (int s = 0; s < g->streams; ++s) {
            int k = step - g->stagger * s;
            if (k < 0 || k >= config->scales) continue;
            streams[s].k = k;
            if (k > 0)
                streams[s].input =
                    g->inputs +
                    ((size_t)s * (size_t)(tokens - 1) + (size_t)(start[k] - 1)) * latent;
            rows += start[k + 1] - start[k];
            running[count++] = &streams[s];
        }
        if (count == 0) continue;
        vt_transformer_step run = {.streams = running,
                                   .count = count,
                                   .logits = vt_arena_floats(g->arena, (size_t)rows * v)};
        size_t before = vt_arena_mark(g->arena), row = 0;
        OK(vt_transformer_run_step(g->transformer, g->arena, &run, &err));
        assert_int_equal(vt_arena_mark(g->arena), before);
        for (int i = 0; i < count; ++i) {
            size_t s = (size_t)(running[i] - streams), first = (size_t)start[running[i]->k];
            size_t n = (size_t)start[running[i]->k + 1] - first;
            check_held(g, running[i]);
            g->kern->download(g->kern, out + (s * (size_t)tokens + first) * v, run.logits + row * v,
                              n * v * sizeof *out);
            row += n;
        }
        vt_arena_rewind(g->arena, held);
    }
    for (int s = 0; s < g->streams; ++s) {
        vt_kv_cache_close(&streams[s].cache);
        assert_null(streams[s].cache);
    }
    vt_arena_rewind(g->arena, mark);
    return out;
}

/* Cached steps, retained and released, equal an uncached pass over the whole sequence. */
static void check_steps(const char *model, const char *backend, const char *const *runs) {
    fixture f;
    fixture_open(&f, model, backend, 2);
    size_t n = (size_t)f.batch * (size_t)f.tokens * (size_t)f.codes;
    for (int i = 0; runs[i] != NULL; ++i) {
        vt_schedule schedule;
        float *want = NULL;
        OK(vt_golden_schedule(&f.golden, runs[i], &schedule, &err));
        run_pass(&f, &schedule, 0, false, &want);
        generation g = {.transformer = f.transformer,
                        .kern = f.kern,
                        .arena = &f.arena,
                        .schedule = &schedule,
                        .streams = f.batch,
                        .labels = f.labels,
                        .inputs = f.inputs};
        float *retained = generate(&g);
        g.release = true;
        float *released = generate(&g);
        check_close(retained, want, n, 1e-5, runs[i]);
        assert_memory_equal(retained, released, n * sizeof *retained);
        free(want);
        free(retained);
        free(released);
    }
    fixture_close(&f);
}

static void test_steps_ref(void **state) {
    (void)state;
    check_steps("A", "ref", runs_a);
    check_steps("B", "ref", runs_b);
}

static void test_steps_cpu(void **state) {
    (void)state;
    check_steps("A", "cpu", runs_a);
    check_steps("B", "cpu", runs_b);
}

/* A stream's logits depend neither on its neighbours, whatever layers they run and wherever they stand, nor on the number of
 * threads. */
static void check_neighbours(const char *backend, int threads) {
    fixture f;
    enum { STREAMS = 4 };
    static const char *const runs[STREAMS] = {"list1", "full", "N2d3", "list1"};
    vt_schedule schedules[STREAMS];
    const vt_schedule *each[STREAMS];
    fixture_open(&f, "A", backend, threads);
    for (int s = 0; s < STREAMS; ++s) {
        OK(vt_golden_schedule(&f.golden, runs[s], &schedules[s], &err));
        each[s] = &schedules[s];
    }
    size_t one = (size_t)(f.tokens - 1) * (size_t)f.golden.transformer.latent_dim;
    size_t logits = (size_t)f.tokens * (size_t)f.codes * sizeof(float);
    float *host = malloc(STREAMS * one * sizeof *host),
          *inputs = vt_arena_floats(&f.arena, STREAMS * one);
    vt_synth_symmetric(host, STREAMS * one, "neighbours");
    f.kern->upload(f.kern, inputs, host, STREAMS * one * sizeof *host);
    free(host);
    const int32_t labels[STREAMS] = {3, f.golden.transformer.classes, 3, 0};
    for (int stagger = 0; stagger < 3; ++stagger) {
        generation all = {.transformer = f.transformer,
                          .kern = f.kern,
                          .arena = &f.arena,
                          .schedules = each,
                          .streams = STREAMS,
                          .labels = labels,
                          .inputs = inputs,
                          .release = true,
                          .stagger = stagger};
        float *together = generate(&all);
        for (int s = 0; s < STREAMS; ++s) {
            generation alone = all;
            alone.streams = 1;
            alone.schedules = &each[s];
            alone.labels = &labels[s];
            alone.inputs = inputs + (size_t)s * one;
            float *apart = generate(&alone);
            assert_memory_equal(apart, (char *)together + (size_t)s * logits, logits);
            free(apart);
        }
        free(together);
    }
    fixture_close(&f);
}

static void test_neighbours(void **state) {
    (void)state;
    check_neighbours("ref", 1);
    check_neighbours("cpu", 1);
    check_neighbours("cpu", 2);
}

/* Logits of generation, loss and all gradients of training, byte for byte, on one and on two
 * threads. */
static void test_threads(void **state) {
    (void)state;
    float *logits[2], *training[2], *grads[2][512];
    double loss[2];
    int count = 0;
    size_t sizes[512], n = 0;
    for (int i = 0; i < 2; ++i) {
        fixture f;
        vt_schedule schedule;
        fixture_open(&f, "A", "cpu", i + 1);
        OK(vt_golden_schedule(&f.golden, "list2", &schedule, &err));
        generation g = {.transformer = f.transformer,
                        .kern = f.kern,
                        .arena = &f.arena,
                        .schedule = &schedule,
                        .streams = f.batch,
                        .labels = f.labels,
                        .inputs = f.inputs};
        n = (size_t)f.batch * (size_t)f.tokens * (size_t)f.codes * sizeof(float);
        logits[i] = generate(&g);
        vt_params *params = vt_transformer_params(f.transformer);
        vt_params_zero_grad(params);
        loss[i] = run_pass(&f, &schedule, 0.1f, true, &training[i]);
        count = params->count;
        assert_true(count < 512);
        for (int p = 0; p < count; ++p) {
            const vt_param *param = params->items[p];
            sizes[p] = param->grad == NULL ? 0 : param->count;
            grads[i][p] = download(f.kern, param->grad == NULL ? f.inputs : param->grad, sizes[p]);
        }
        fixture_close(&f);
    }
    assert_memory_equal(logits[0], logits[1], n);
    assert_memory_equal(training[0], training[1], n);
    assert_true(loss[0] == loss[1]);
    for (int p = 0; p < count; ++p)
        assert_memory_equal(grads[0][p], grads[1][p], sizes[p] * sizeof(float));
    for (int i = 0; i < 2; ++i) {
        free(logits[i]);
        free(training[i]);
        for (int p = 0; p < count; ++p) free(grads[i][p]);
    }
}

/* ---- a shape of its own: finite differences, initialisation ---- */

static void odd_open(fixture *f, const char *backend, const vt_transformer_config *config,
                     int batch) {
    open_kern(f, backend, 2);
    OK(vt_transformer_open(&f->transformer, f->kern, config, &err));
    f->batch = batch;
    f->tokens = vt_transformer_tokens(config);
    f->codes = config->codes;
    size_t n = (size_t)batch * (size_t)f->tokens, latent = (size_t)config->latent_dim;
    int32_t *tokens = malloc(n * sizeof *tokens);
    vt_synth_integers(tokens, n, "odd/tokens", f->codes);
    f->targets = vt_arena_ints(&f->arena, n);
    f->kern->upload(f->kern, f->targets, tokens, n * sizeof *tokens);
    free(tokens);
    float *inputs = malloc(n * latent * sizeof *inputs);
    vt_synth_symmetric(inputs, n * latent, "odd/inputs");
    f->inputs = vt_arena_floats(&f->arena, n * latent);
    f->kern->upload(f->kern, f->inputs, inputs, n * latent * sizeof *inputs);
    free(inputs);
    for (int i = 0; i < batch; ++i) f->labels[i] = i % (config->classes + 1);
}

/* Along every parameter's own gradient g: (loss(w + h g) - loss(w - h g)) / 2h = |g|^2. */
static void check_differences(bool l2_norm, bool shared) {
    fixture f;
    vt_schedule schedule;
    const vt_transformer_config config = {.depth = 3,
                                          .width = 18,
                                          .heads = 3,
                                          .hidden = 31,
                                          .codes = 11,
                                          .latent_dim = 5,
                                          .classes = 3,
                                          .l2_norm = l2_norm,
                                          .shared_adaln = shared,
                                          .scales = 3,
                                          .sides = {1, 2, 3}};
    odd_open(&f, "ref", &config, 3);
    f.labels[2] = 1; /* one class twice, so that its row's gradient is a sum */
    vt_params *params = vt_transformer_params(f.transformer);
    OK(vt_params_synthesize(params, "odd", "var", &err));
    OK(vt_params_train(params, &err));
    OK(vt_transformer_prepare(f.transformer, &err));
    vt_schedule_request request = {.layers = "0-2;1,2;0,2", .bridge = -1};
    OK(vt_schedule_resolve(&schedule, 3, 3, &request, &err));
    run_pass(&f, &schedule, 0.1f, true, NULL);
    for (int i = 0; i < params->count; ++i) {
        vt_param *param = params->items[i];
        if (param->grad == NULL) continue;
        float *value = download(f.kern, param->value, param->count),
              *grad = download(f.kern, param->grad, param->count);
        float *moved = malloc(param->count * sizeof *moved);
        double square = 0, loss[2];
        for (size_t j = 0; j < param->count; ++j) square += (double)grad[j] * (double)grad[j];
        assert_true(square > 1e-8);
        double h = 2e-2 / sqrt(square);
        for (int side = 0; side < 2; ++side) {
            for (size_t j = 0; j < param->count; ++j)
                moved[j] = (float)((double)value[j] + (side == 0 ? -h : h) * (double)grad[j]);
            OK(vt_param_upload(params, param, moved, param->value, &err));
            OK(vt_transformer_prepare(f.transformer, &err));
            loss[side] = run_pass(&f, &schedule, 0.1f, false, NULL);
        }
        OK(vt_param_upload(params, param, value, param->value, &err));
        OK(vt_transformer_prepare(f.transformer, &err));
        double slope = (loss[1] - loss[0]) / (2 * h);
        if (!(fabs(slope - square) <= 0.02 * square + 2e-5 * sqrt(square)))
            fail_msg("%s: slope %.6g along its gradient, expected %.6g", param->name, slope,
                     square);
        free(value);
        free(grad);
        free(moved);
    }
    fixture_close(&f);
}

static void test_differences(void **state) {
    (void)state;
    check_differences(true, true);
    check_differences(true, false);
    check_differences(false, false);
}

static double deviation(const fixture *f, const char *name, size_t from, size_t to) {
    const vt_param *param = vt_params_find(vt_transformer_params(f->transformer), name);
    assert_non_null(param);
    if (to == 0) to = param->count;
    float *x = download(f->kern, param->value, param->count);
    double sum = 0;
    for (size_t i = from; i < to; ++i) sum += (double)x[i] * (double)x[i];
    free(x);
    return sqrt(sum / (double)(to - from));
}

static void check_deviation(double got, double want, const char *what) {
    if (!(fabs(got - want) <= 0.03 * want))
        fail_msg("%s: deviation %g, expected %g", what, got, want);
}

static void test_initialise(void **state) {
    (void)state;
    fixture f;
    vt_schedule schedule;
    vt_transformer_config config = {.depth = 4,
                                    .width = 96,
                                    .heads = 3,
                                    .hidden = 384,
                                    .codes = 256,
                                    .latent_dim = 16,
                                    .classes = 10,
                                    .l2_norm = true,
                                    .scales = 3,
                                    .sides = {1, 2, 3}};
    odd_open(&f, "cpu", &config, 4);
    OK(vt_transformer_initialise(f.transformer, 1, &err));
    OK(vt_transformer_prepare(f.transformer, &err));
    const size_t c = 96;
    const double std = sqrt(1.0 / 96 / 3) * 0.8796; /* of a normal truncated at two sigma */
    check_deviation(deviation(&f, "blocks.1.attn.mat_qkv.weight", 0, 0), std, "qkv");
    check_deviation(deviation(&f, "blocks.1.attn.proj.weight", 0, 0), std / sqrt(8), "proj");
    check_deviation(deviation(&f, "blocks.3.ffn.fc2.weight", 0, 0), std / sqrt(8), "fc2");
    check_deviation(deviation(&f, "blocks.0.ada_lin.1.weight", 0, 2 * c * c), std * 1e-5, "gammas");
    check_deviation(deviation(&f, "blocks.0.ada_lin.1.weight", 2 * c * c, 0), std / 2,
                    "scales and shifts");
    check_deviation(deviation(&f, "head_nm.ada_lin.1.weight", 0, 0), std / 2, "head_nm");
    check_deviation(deviation(&f, "head.weight", 0, 0), std * 0.02, "head");
    check_deviation(deviation(&f, "blocks.2.attn.scale_mul_1H11", 0, 0), log(4), "scale_mul");
    assert_true(deviation(&f, "blocks.2.ffn.fc1.bias", 0, 0) == 0);
    OK(vt_schedule_full(&schedule, 3, 4, &err));
    assert_true(fabs(run_pass(&f, &schedule, 0, false, NULL) - log(256)) < 0.05);
    double first = deviation(&f, "head.weight", 0, 0);
    OK(vt_transformer_initialise(f.transformer, 2, &err));
    assert_true(deviation(&f, "head.weight", 0, 0) != first);
    OK(vt_transformer_initialise(f.transformer, 1, &err));
    assert_true(deviation(&f, "head.weight", 0, 0) == first);
    fixture_close(&f);

    config.shared_adaln = true;
    odd_open(&f, "cpu", &config, 1);
    OK(vt_transformer_initialise(f.transformer, 1, &err));
    check_deviation(deviation(&f, "shared_ada_lin.1.weight", 0, 0), std, "shared_ada_lin");
    assert_true(fabs(deviation(&f, "blocks.0.ada_gss", 2 * c, 0) * sqrt(96) - 0.5) < 0.1);
    assert_true(deviation(&f, "blocks.0.ada_gss", 0, 2 * c) < 1e-5);
    fixture_close(&f);
}

/* ---- refusals ---- */

static void check_config_refused(vt_transformer_config config, const char *part) {
    variant_error error = {0};
    vt_transformer *transformer = NULL;
    assert_int_equal(vt_transformer_open(&transformer, NULL, &config, &error), VARIANT_E_ARGUMENT);
    assert_null(transformer);
    if (strstr(error.message, part) == NULL)
        fail_msg("\"%s\" does not say \"%s\"", error.message, part);
}

static void test_refusals(void **state) {
    (void)state;
    fixture f;
    vt_schedule schedule, other;
    variant_error error = {0};
    vt_condition condition;
    vt_transformer_config config = {.depth = 2,
                                    .width = 12,
                                    .heads = 3,
                                    .hidden = 20,
                                    .codes = 7,
                                    .latent_dim = 4,
                                    .classes = 3,
                                    .scales = 2,
                                    .sides = {1, 2}};
    odd_open(&f, "ref", &config, 2);
    OK(vt_schedule_full(&schedule, 2, 2, &err));
    OK(vt_schedule_full(&other, 3, 2, &err));
    vt_transformer_pass pass = {
        .batch = 2, .labels = f.labels, .inputs = f.inputs, .schedule = &schedule};
    OK(vt_transformer_initialise(f.transformer, 1, &err));
    assert_int_equal(vt_transformer_forward(f.transformer, &f.arena, &pass, &error),
                     VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "not prepared"));
    OK(vt_transformer_prepare(f.transformer, &err));
    pass.schedule = &other;
    assert_int_equal(vt_transformer_forward(f.transformer, &f.arena, &pass, &error),
                     VARIANT_E_ARGUMENT);
    pass.schedule = &schedule;
    f.labels[1] = 4;
    assert_int_equal(vt_transformer_forward(f.transformer, &f.arena, &pass, &error),
                     VARIANT_E_ARGUMENT);
    assert_int_equal(vt_transformer_condition(f.transformer, &f.arena, &f.arena, f.labels, 2, NULL,
                                              &condition, &error),
                     VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "label 4"));
    f.labels[1] = 3;

    /* an arena too small is a status, not a crash, wherever it runs out */
    int refused[2] = {0, 0};
    for (size_t size = 0; size < 1 << 16; size += 256) {
        vt_arena small;
        vt_arena_init(&small, f.arena.base + f.arena.used, size);
        variant_status status = vt_transformer_forward(f.transformer, &small, &pass, &error);
        assert_true(status == VARIANT_OK || status == VARIANT_E_MEMORY);
        refused[0] += status != VARIANT_OK;
        vt_arena_init(&small, f.arena.base + f.arena.used, size);
        status = vt_transformer_condition(f.transformer, &small, &small, f.labels, 2, NULL,
                                          &condition, &error);
        assert_true(status == VARIANT_OK || status == VARIANT_E_MEMORY);
        refused[1] += status != VARIANT_OK;
    }
    assert_in_range(refused[0], 2, 255);
    assert_in_range(refused[1], 2, 255);
    OK(vt_transformer_forward(f.transformer, &f.arena, &pass, &err));
    vt_transformer_loss loss = {.targets = f.targets, .loss = vt_arena_floats(&f.arena, 10)};
    assert_int_equal(vt_transformer_backward(f.transformer, &f.arena, &pass, &loss, true, &error),
                     VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "gradients"));

    /* steps: no input, no such scale, a cache already full */
    OK(vt_transformer_condition(f.transformer, &f.arena, &f.arena, f.labels, 2, NULL, &condition,
                                &err));
    vt_kv_cache *cache = NULL;
    OK(vt_kv_cache_open(&cache, f.kern, 2, &(vt_kv_format){.width = 12, .heads = 2}, (int[]){5, 5},
                        &err));
    vt_stream stream = {.k = 1, .schedule = &schedule, .condition = &condition, .cache = cache};
    vt_transformer_step step = {.streams = (vt_stream *[]){&stream},
                                .count = 1,
                                .logits = vt_arena_floats(&f.arena, 8 * 7)};
    assert_int_equal(vt_transformer_run_step(f.transformer, &f.arena, &step, &error),
                     VARIANT_E_ARGUMENT);
    stream.input = f.inputs;
    OK(vt_transformer_run_step(f.transformer, &f.arena, &step, &err));
    assert_int_equal(vt_transformer_run_step(f.transformer, &f.arena, &step, &error),
                     VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "capacity"));
    stream.k = 2;
    assert_int_equal(vt_transformer_run_step(f.transformer, &f.arena, &step, &error),
                     VARIANT_E_ARGUMENT);
    vt_kv_cache_close(&cache);
    fixture_close(&f);

    config.heads = 5;
    check_config_refused(config, "5 heads");
    config.heads = 3;
    config.sides[1] = 1;
    check_config_refused(config, "side 1");
    config.sides[0] = 2;
    check_config_refused(config, "first side");
    config.depth = 129;
    check_config_refused(config, "depth is 129");
}

int main(int argc, char **argv) {
    if (argc > 1) cmocka_set_test_filter(argv[1]); /* "test_steps*" runs those alone */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_golden_a_ref), cmocka_unit_test(test_golden_a_cpu),
        cmocka_unit_test(test_golden_b_ref), cmocka_unit_test(test_golden_b_cpu),
        cmocka_unit_test(test_steps_ref),    cmocka_unit_test(test_steps_cpu),
        cmocka_unit_test(test_neighbours),   cmocka_unit_test(test_threads),
        cmocka_unit_test(test_differences),  cmocka_unit_test(test_initialise),
        cmocka_unit_test(test_refusals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

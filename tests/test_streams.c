/* test_streams.c - requests that share steps: whatever joins, leaves or is cancelled around it, a request makes the bytes that it
 * makes alone, on every instruction set, for every type of weights, keys and values; what it takes is told to the byte
 * before it starts and comes back when it ends; one that fails fails alone. */
#include "tests/model_folder.h"

#include <math.h>
#include <pthread.h>

#include "core/cpu.h"
#include "engine/jobs.h"
#include "kern/memory_pool.h"

static variant_engine *engine_of(int threads, const char *weights, const char *kv) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = threads;
    options.weights = weights;
    options.kv = kv;
    assert_ok(variant_engine_open(&engine, &options, err));
    return engine;
}

/* ---- requests: all different, in everything that one can say ---- */

static const struct wish {
    const char *class_name;
    int count, batch, depth, bridge;
    const char *layers;
    int uncond_depth;
    float cfg_scale;
    bool smooth, greedy, retain_kv, keep_scales;
    const float *cfg_scales; /* (4); NULL: cfg_scale */
} wishes[] = {
    {"3", 1, 1, 0, -1, NULL, 0, 1.5f, false, false, false, false, NULL},
    {"all", 5, 3, 2, 2, NULL, 0, 0.0f, false, false, true, false, NULL},
    {"random", 3, 2, 3, 1, "prefix", 0, 2.0f, true, false, false, false, NULL},
    {"uncond", 2, 2, 0, -1, "0,5;0-5;1,4;0-4", 0, 1.0f, false, true, false, true, NULL},
    {"1,3,uncond,1", 6, 6, 0, 0, NULL, 2, 3.0f, false, false, false, false, NULL},
    {"0", 1, 1, 1, 0, NULL, 1, 1.5f, false, false, false, false, NULL},
    {"all", 3, 2, 3, 1, NULL, 1, 0.0f, false, false, false, false, (const float[]){1, 2, 0, 0}},
    {"2,2", 2, 2, 2, 2, NULL, 0, 1.0f, true, false, true, true, (const float[]){0, 0.5f, 2, 0}},
};
enum { WISHES = sizeof wishes / sizeof wishes[0] };

static variant_request request_of(int wish) {
    const struct wish *w = &wishes[wish];
    variant_request request;
    variant_request_init(&request);
    request.class_name = w->class_name;
    request.count = w->count;
    request.batch = w->batch;
    request.depth = w->depth;
    request.bridge = w->bridge;
    request.layers = w->layers;
    request.uncond_depth = w->uncond_depth;
    request.cfg_scale = w->cfg_scale;
    request.cfg_scales = w->cfg_scales;
    request.cfg_scale_count = w->cfg_scales ? 4 : 0;
    request.smooth = w->smooth;
    request.greedy = w->greedy;
    request.retain_kv = w->retain_kv;
    request.keep_scales = w->keep_scales;
    request.seed = (uint64_t)wish + 7;
    return request;
}

static void assert_same(const variant_picture *got, const variant_picture *want, int count,
                        const char *who) {
    const size_t bytes = (size_t)want->width * (size_t)want->height * (size_t)want->channels;
    for (int i = 0; i < count; ++i) {
        const variant_picture *a = &got[i], *b = &want[i];
        bool same = a->label == b->label && memcmp(a->pixels, b->pixels, bytes) == 0 &&
                    memcmp(a->tokens, b->tokens, (size_t)a->token_count * sizeof *a->tokens) == 0 &&
                    a->scale_count == b->scale_count && strcmp(a->settings, b->settings) == 0;
        for (int k = 0; same && k < a->scale_count; ++k)
            same = memcmp(a->scale_pixels[k], b->scale_pixels[k], bytes) == 0;
        if (!same) fail_msg("%s: picture %d differs", who, i);
    }
}

typedef struct alone {
    variant_picture *pictures[WISHES];
    variant_report reports[WISHES];
} alone;

static void draw_alone(alone *out, const variant_engine *engine) {
    for (int w = 0; w < WISHES; ++w) {
        variant_request request = request_of(w);
        variant_report_init(&out->reports[w]);
        assert_ok(variant_generate(engine, &request, &out->pictures[w], &out->reports[w], err));
    }
}

static void alone_free(alone *a) {
    for (int w = 0; w < WISHES; ++w) variant_pictures_free(&a->pictures[w], wishes[w].count);
}

/* ---- joining and leaving at random ---- */

static uint64_t state;

static int draw(int below) {
    state = state * 6364136223846793005u + 1442695040888963407u;
    return (int)((state >> 33) % (uint64_t)below);
}

enum { MOST_JOBS = 7 };

typedef struct running {
    variant_job *job;
    int wish;
    bool cancelled;
} running;

/* Takes what a job made: what it makes alone, or nothing where it was cancelled. */
static void take(running *r, const alone *want, const char *who) {
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    variant_error error = {0};
    variant_status status = variant_job_take(&r->job, &pictures, &report, &error);
    assert_null(r->job);
    if (r->cancelled && status == VARIANT_E_STOPPED) {
        assert_null(pictures);
        assert_non_null(strstr(error.message, "cancelled at scale"));
        return;
    }
    if (status != VARIANT_OK) fail_msg("%s: %s", who, error.message);
    assert_same(pictures, want->pictures[r->wish], wishes[r->wish].count, who);
    /* its keys and values are its own, to the byte, whoever was there */
    const variant_report *single = &want->reports[r->wish];
    assert_int_equal(report.kv_peak_bytes, single->kv_peak_bytes);
    for (int k = 0; k < report.scales; ++k)
        assert_int_equal(report.scale_kv_bytes[k], single->scale_kv_bytes[k]);
    variant_pictures_free(&pictures, wishes[r->wish].count);
}

static void run_randomly(const variant_engine *engine, const alone *want, int steps,
                         const char *who) {
    variant_loop *loop = NULL;
    running jobs[MOST_JOBS];
    int count = 0, left = -1, finished = 0;
    assert_ok(variant_loop_open(&loop, engine, err));
    for (int step = 0; step < steps || left != 0; ++step) {
        for (int n = step < steps ? draw(3) : 0; n > 0 && count < MOST_JOBS; --n) {
            running *r = &jobs[count++];
            *r = (running){.wish = draw(WISHES)};
            variant_request request = request_of(r->wish);
            assert_ok(variant_loop_add(loop, &request, &r->job, err));
        }
        if (count > 0 && draw(4) == 0) {
            running *r = &jobs[draw(count)];
            variant_job_cancel(r->job);
            r->cancelled = true;
        }
        assert_ok(variant_loop_step(loop, &left, err));
        for (int i = 0; i < count;) {
            if (!variant_job_done(jobs[i].job) && draw(40) != 0) {
                ++i;
                continue;
            }
            if (!variant_job_done(jobs[i].job)) { /* taken before it is done: as cancelled */
                variant_picture *none;
                assert_int_equal(variant_job_take(&jobs[i].job, &none, NULL, NULL),
                                 VARIANT_E_STOPPED);
                assert_null(none);
            } else {
                take(&jobs[i], want, who);
                ++finished;
            }
            jobs[i] = jobs[--count];
        }
    }
    assert_true(finished > steps / 8);
    for (int i = 0; i < count; ++i) assert_false(variant_job_done(jobs[i].job));
    variant_loop_close(&loop);
}

static const char *const types[][2] = {{"f32", "f32"},   {"f32", "int8"},  {"bf16", "f32"},
                                       {"bf16", "bf16"}, {"int8", "bf16"}, {"int8", "int8"},
                                       {"int4", "bf16"}};
enum { TYPES = sizeof types / sizeof types[0] };

/* What a request makes depends on the types and, in the last bits, on the instruction set; on nothing else. */
static void joining_leaves_no_trace(void **unused) {
    (void)unused;
    vt_isa best = vt_isa_best();
    const char *asked = getenv("VARIANT_CPU");
    char before[32] = "";
    if (asked) snprintf(before, sizeof before, "%s", asked);
    state = 20;
    for (int isa = 0; isa <= (int)best; ++isa) {
        setenv("VARIANT_CPU", vt_isa_name((vt_isa)isa), 1);
        for (int t = 0; t < TYPES; ++t) {
            char who[96];
            alone want;
            variant_engine *one = engine_of(1, types[t][0], types[t][1]);
            variant_engine *three = engine_of(3, types[t][0], types[t][1]);
            snprintf(who, sizeof who, "%s, %s weights, %s keys", vt_isa_name((vt_isa)isa),
                     types[t][0], types[t][1]);
            draw_alone(&want, one);
            run_randomly(one, &want, 12, who);
            run_randomly(three, &want, 24, who);
            alone_free(&want);
            variant_engine_close(&one);
            variant_engine_close(&three);
        }
    }
    if (before[0])
        setenv("VARIANT_CPU", before, 1);
    else
        unsetenv("VARIANT_CPU");
}

/* ---- memory ---- */

/* The formula of each request's keys and values is tested in test_engine.c; here that those of several are their sum, and that
 * nothing is left. */
static void memory_comes_back(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(2, "bf16", "bf16");
    variant_loop *loop = NULL;
    assert_ok(variant_loop_open(&loop, engine, err));
    variant_engine_trim(engine);
    assert_int_equal(vt_memory_kept(engine->kern), 0);
    variant_job *jobs[3];
    const int which[3] = {0, 3, 5};
    size_t most = 0, held;
    for (int i = 0; i < 3; ++i) {
        variant_request request = request_of(which[i]);
        assert_ok(variant_loop_add(loop, &request, &jobs[i], err));
        assert_ok(variant_loop_step(loop, NULL, err)); /* each a scale behind the one before */
        held = 0;
        for (int d = 0; d < loop->loop.count; ++d)
            held += vt_drawing_kv_bytes(loop->loop.drawings[d]);
        most = held > most ? held : most;
    }
    /* what three joined one after the other need is measured before: it did not grow since */
    const size_t workspace = loop->loop.memory_bytes;
    int left = 1;
    while (left > 0) assert_ok(variant_loop_step(loop, &left, err));
    assert_int_equal(loop->loop.memory_bytes, workspace);
    assert_true(loop->loop.arena.peak <= workspace);
    assert_int_equal(loop->loop.count, 0);
    assert_true(most > 0);
    for (int i = 0; i < 3; ++i) {
        variant_picture *pictures;
        assert_ok(variant_job_take(&jobs[i], &pictures, NULL, err));
        variant_pictures_free(&pictures, wishes[which[i]].count);
    }
    variant_loop_close(&loop);
    assert_true(vt_memory_kept(engine->kern) > 0);
    variant_engine_trim(engine);
    assert_int_equal(vt_memory_kept(engine->kern), 0);
    variant_engine_close(&engine);
}

/* Guidance adds the class of none, but where the first batch is of that class already: the second takes more. */
static void a_later_batch_may_take_more(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    variant_memory memory = {.size = sizeof memory};
    variant_report report = {.size = sizeof report};
    variant_picture *pictures;
    const variant_info info = *variant_engine_info(engine);
    const int32_t labels[] = {info.classes, 3};
    variant_request request = request_of(0);
    request.labels = labels;
    request.label_count = request.count = 2;
    assert_ok(variant_request_memory(engine, &request, &memory, err));
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    assert_int_equal(report.arena_peak_bytes, memory.arena);
    assert_int_equal(report.kv_peak_bytes, memory.kv);
    variant_pictures_free(&pictures, request.count);
    variant_engine_close(&engine);
}

/* A request that follows one like it maps no memory of the backend's: the pool has it all. */
static int reserved;
static variant_status (*real_reserve)(vt_kern *, size_t, void **, variant_error *);
static variant_status count_reserve(vt_kern *kern, size_t bytes, void **out, variant_error *error) {
    ++reserved;
    return real_reserve(kern, bytes, out, error);
}

static void the_next_request_maps_nothing(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "bf16", "bf16");
    variant_request request = request_of(0);
    variant_picture *pictures;
    real_reserve = engine->kern->memory_reserve;
    engine->kern->memory_reserve = count_reserve;
    int first = 0;
    for (int i = 0; i < 3; ++i) {
        reserved = 0;
        assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
        variant_pictures_free(&pictures, 1);
        if (i == 0) first = reserved;
    }
    assert_int_equal(
        first, 4); /* two streams' keys and values, a step's workspace, what the picture holds */
    assert_int_equal(reserved, 0);
    variant_engine_close(&engine);
}

/* ---- what goes wrong goes wrong alone ---- */

static void bad_requests_harm_nobody(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(2, "f32", "f32");
    alone want;
    draw_alone(&want, engine);
    variant_loop *loop = NULL;
    variant_error error;
    assert_ok(variant_loop_open(&loop, engine, err));
    running good = {.wish = 3};
    variant_request request = request_of(3);
    assert_ok(variant_loop_add(loop, &request, &good.job, err));
    assert_ok(variant_loop_step(loop, NULL, err));

    variant_job *bad = NULL;
    request = request_of(0);
    request.class_name = "1,nosuchclass,2";
    assert_int_equal(variant_loop_add(loop, &request, &bad, &error), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "nosuchclass"));
    assert_null(bad);
    request = request_of(0);
    request.first_image = INT32_MAX;
    assert_int_equal(variant_loop_add(loop, &request, &bad, &error), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "first image"));
    request = request_of(0);
    request.uncond_depth = 99;
    assert_int_equal(variant_loop_add(loop, &request, &bad, &error), VARIANT_E_ARGUMENT);
    request = request_of(0);
    request.uncond_depths = "1,2"; /* of a model with other scales */
    assert_int_equal(variant_loop_add(loop, &request, &bad, &error), VARIANT_E_ARGUMENT);

    /* a schedule of another model, past the words of a request */
    vt_schedule other;
    assert_ok(vt_schedule_full(&other, 3, 2, err));
    const vt_join join = {.label = 0, .schedule = &other, .scales = 3};
    assert_int_equal(vt_loop_join(&loop->loop, &join, 1, NULL, &error), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "3 scales of 2 layers"));
    assert_int_equal(loop->loop.count, wishes[3].batch);

    int left = 1;
    while (left > 0) assert_ok(variant_loop_step(loop, &left, err));
    take(&good, &want, "among bad requests");
    variant_loop_close(&loop);
    alone_free(&want);
    variant_engine_close(&engine);
}

/* More than memory allows: the request ends with its line, before anything is taken, and the other goes on. */
static variant_status refuse(vt_kern *kern, size_t bytes, void **out, variant_error *error) {
    if (bytes > (size_t)1 << 22) return vt_fail(error, VARIANT_E_MEMORY, "no room for %zu", bytes);
    return real_reserve(kern, bytes, out, error);
}

static void too_many_harm_nobody(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    alone want;
    draw_alone(&want, engine);
    variant_loop *loop = NULL;
    assert_ok(variant_loop_open(&loop, engine, err));
    running good = {.wish = 4}, many = {0};
    variant_request request = request_of(4);
    assert_ok(variant_loop_add(loop, &request, &good.job, err));
    assert_ok(variant_loop_step(loop, NULL, err));
    real_reserve = engine->kern->memory_reserve;
    engine->kern->memory_reserve = refuse;
    request = request_of(1);
    request.count = request.batch = 400;
    assert_ok(variant_loop_add(loop, &request, &many.job, err));
    int left = 1;
    while (left > 0) assert_ok(variant_loop_step(loop, &left, err));
    engine->kern->memory_reserve = real_reserve;
    variant_picture *none;
    variant_error error;
    assert_int_equal(variant_job_take(&many.job, &none, NULL, &error), VARIANT_E_MEMORY);
    assert_non_null(strstr(error.message, "no room for"));
    take(&good, &want, "beside too many");
    variant_loop_close(&loop);
    alone_free(&want);
    variant_engine_close(&engine);
}

/* A model whose numbers are none for one class: the request for it fails with what made them, the others do not notice. */
static void a_broken_class_breaks_its_request(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(2, "f32", "f32");
    alone want;
    draw_alone(&want, engine);
    vt_param *embedding =
        vt_params_find(vt_transformer_params(engine->model->transformer), "class_emb.weight");
    assert_non_null(embedding);
    const variant_info info = *variant_engine_info(engine);
    const int label = 2; /* which no wish beside "all" and "random" asks for by name */
    float *broken = malloc((size_t)(info.classes + 1) * (size_t)info.width * sizeof *broken);
    assert_non_null(broken);
    const float *whole = embedding->value;
    memcpy(broken, whole, (size_t)(info.classes + 1) * (size_t)info.width * sizeof *broken);
    broken[label * info.width] = NAN;
    embedding->value = broken;

    variant_loop *loop = NULL;
    assert_ok(variant_loop_open(&loop, engine, err));
    running good = {.wish = 4};
    variant_request request = request_of(4);
    assert_ok(variant_loop_add(loop, &request, &good.job, err));
    assert_ok(variant_loop_step(loop, NULL, err));
    const int32_t labels[] = {1, label};
    variant_job *bad = NULL;
    request = request_of(0);
    request.labels = labels;
    request.label_count = request.count = request.batch = 2;
    assert_ok(variant_loop_add(loop, &request, &bad, err));
    int left = 1;
    while (left > 0) assert_ok(variant_loop_step(loop, &left, err));
    variant_picture *none;
    variant_error error;
    assert_int_equal(variant_job_take(&bad, &none, NULL, &error), VARIANT_E_MODEL);
    assert_null(none);
    assert_non_null(strstr(error.message, "the class's embedding"));
    take(&good, &want, "beside a broken class");
    variant_loop_close(&loop);
    embedding->value = (float *)(uintptr_t)whole;
    free(broken);
    alone_free(&want);
    variant_engine_close(&engine);
}

/* ---- beginning with given tokens, ending early ---- */

/* The same settings after given scales make the same picture; another class, depth or seed keeps the given scales and changes
 * the rest; all scales given make the picture whatever else is asked for. */
static void given_scales_are_kept(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(2, "bf16", "bf16");
    const variant_info info = *variant_engine_info(engine);
    variant_request request = request_of(4);
    variant_picture *first, *again;
    assert_ok(variant_generate(engine, &request, &first, NULL, err));
    const size_t bytes = (size_t)first->width * (size_t)first->height * (size_t)first->channels;
    const int length = first->token_count;
    int32_t *tokens = malloc((size_t)(request.count * length) * sizeof *tokens);
    assert_non_null(tokens);
    for (int i = 0; i < request.count; ++i)
        memcpy(tokens + i * length, first[i].tokens, (size_t)length * sizeof *tokens);
    int rows = 0;
    for (int given = 0; given <= info.scales; ++given) {
        for (int other = 0; other < 2; ++other) {
            variant_request r = request_of(4);
            r.given_tokens = tokens;
            r.given_count = r.count;
            r.given_scales = given;
            r.batch = 2;
            if (other) {
                r.class_name = "0";
                r.seed += 1;
                r.depth = 2;
                r.smooth = true;
            }
            assert_ok(variant_generate(engine, &r, &again, NULL, err));
            for (int i = 0; i < r.count; ++i) {
                bool same = memcmp(again[i].pixels, first[i].pixels, bytes) == 0;
                assert_memory_equal(again[i].tokens, first[i].tokens,
                                    (size_t)rows * sizeof *tokens);
                assert_int_equal(same, !other || given == info.scales);
            }
            variant_pictures_free(&again, r.count);
        }
        if (given < info.scales) rows += info.sides[given] * info.sides[given];
    }
    tokens[length] = info.codes;
    variant_error error;
    variant_request r = request_of(4);
    r.given_tokens = tokens;
    r.given_count = r.count;
    r.given_scales = 1;
    assert_int_equal(variant_generate(engine, &r, &again, NULL, &error), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "token 0 of picture 1"));
    r.given_scales = info.scales + 1;
    assert_int_equal(variant_generate(engine, &r, &again, NULL, &error), VARIANT_E_ARGUMENT);
    free(tokens);
    variant_pictures_free(&first, request.count);
    variant_engine_close(&engine);
}

/* A picture of the first scales is the one that keep_scales shows, takes what the formula says, and no more. */
static void scales_may_be_left_out(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    const variant_info info = *variant_engine_info(engine);
    variant_request request = request_of(4);
    variant_picture *whole, *part;
    variant_report report = {.size = sizeof report};
    variant_memory memory = {.size = sizeof memory};
    request.keep_scales = true;
    assert_ok(variant_generate(engine, &request, &whole, NULL, err));
    const size_t bytes = (size_t)whole->width * (size_t)whole->height * (size_t)whole->channels;
    for (int scales = 1; scales < info.scales; ++scales) {
        variant_request r = request_of(4);
        r.scales = scales;
        r.keep_scales = true;
        assert_ok(variant_request_memory(engine, &r, &memory, err));
        assert_ok(variant_generate(engine, &r, &part, &report, err));
        for (int i = 0; i < r.count; ++i)
            assert_memory_equal(part[i].pixels, whole[i].scale_pixels[scales - 1], bytes);
        assert_int_equal(part->scale_count, scales); /* there is no picture of a scale not drawn */
        for (int k = 0; k < scales; ++k)
            assert_memory_equal(part->scale_pixels[k], whole->scale_pixels[k], bytes);
        assert_int_equal(report.kv_end_bytes, report.scale_kv_bytes[scales - 1]);
        assert_int_equal(report.kv_peak_bytes, memory.kv);
        assert_int_equal(report.arena_peak_bytes, memory.arena);
        assert_int_equal(report.scale_kv_bytes[scales], 0);
        variant_pictures_free(&part, r.count);
    }
    variant_pictures_free(&whole, request.count);
    variant_engine_close(&engine);
}

/* ---- cancelling and looking on ---- */

typedef struct seen {
    int previews, last_scale, progress;
    bool in_order;
    int cancel, cancel_at;       /* set by progress at this call */
    const variant_picture *want; /* with its scales kept */
} seen;

static void look(void *user, const variant_preview *at) {
    seen *s = user;
    const size_t bytes = (size_t)at->width * (size_t)at->height * (size_t)at->channels;
    ++s->previews;
    s->in_order = s->in_order && at->scale >= s->last_scale;
    s->last_scale = at->scale;
    if (s->want)
        assert_memory_equal(at->pixels, s->want[at->picture].scale_pixels[at->scale - 1], bytes);
}

static bool count_progress(void *user, const variant_progress *at) {
    seen *s = user;
    (void)at;
    if (++s->progress == s->cancel_at) __atomic_store_n(&s->cancel, 1, __ATOMIC_RELAXED);
    return true;
}

static void each_scale_can_be_seen(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    const variant_info info = *variant_engine_info(engine);
    variant_request request = request_of(3);
    variant_picture *kept, *pictures;
    assert_ok(variant_generate(engine, &request, &kept, NULL, err));
    for (int keep = 0; keep < 2; ++keep) {
        seen s = {.in_order = true, .want = kept};
        request.keep_scales = keep;
        request.preview = look;
        request.user = &s;
        assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
        assert_int_equal(s.previews, request.count * info.scales);
        assert_true(s.in_order);
        assert_memory_equal(pictures[1].pixels, kept[1].pixels,
                            (size_t)kept->width * (size_t)kept->height * (size_t)kept->channels);
        variant_pictures_free(&pictures, request.count);
    }
    variant_pictures_free(&kept, request.count);
    variant_engine_close(&engine);
}

/* Asked at every scale but the last; only those that are wanted are decoded, and the finished picture always comes. */
static bool want_second(void *user, int scale) {
    seen *s = user;
    ++s->progress;
    return scale == 2;
}

static void only_wanted_scales_are_decoded(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    const variant_info info = *variant_engine_info(engine);
    variant_request request = request_of(0);
    variant_picture *pictures;
    seen s = {.in_order = true};
    request.count = 1;
    request.preview = look;
    request.previews = want_second;
    request.user = &s;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    assert_int_equal(s.progress, info.scales - 1);
    assert_int_equal(s.previews, 2);
    assert_int_equal(s.last_scale, info.scales);
    variant_pictures_free(&pictures, 1);
    variant_engine_close(&engine);
}

static void a_flag_cancels(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    const variant_info info = *variant_engine_info(engine);
    for (int at = 1; at < info.scales; ++at) {
        seen s = {.cancel_at = at};
        variant_request request = request_of(1);
        variant_picture *pictures;
        variant_error error;
        request.progress = count_progress;
        request.user = &s;
        request.cancel = &s.cancel;
        assert_int_equal(variant_generate(engine, &request, &pictures, NULL, &error),
                         VARIANT_E_STOPPED);
        assert_null(pictures);
        assert_int_equal(s.progress, at); /* no scale more */
        assert_non_null(strstr(error.message, "cancelled at scale"));
    }
    variant_engine_close(&engine);
}

static void *cancel_soon(void *job) {
    variant_job_cancel(job);
    return NULL;
}

/* From another thread, in the middle of whatever step is at hand. */
static void a_thread_cancels(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    variant_loop *loop = NULL;
    variant_job *job;
    variant_picture *pictures = NULL;
    variant_request request = request_of(1);
    request.count = 3000; /* more than end by themselves */
    assert_ok(variant_loop_open(&loop, engine, err));
    assert_ok(variant_loop_add(loop, &request, &job, err));
    assert_ok(variant_loop_step(loop, NULL, err));
    pthread_t thread;
    assert_int_equal(pthread_create(&thread, NULL, cancel_soon, job), 0);
    int left = 1;
    while (left > 0) assert_ok(variant_loop_step(loop, &left, err));
    pthread_join(thread, NULL);
    assert_int_equal(variant_job_take(&job, &pictures, NULL, NULL), VARIANT_E_STOPPED);
    variant_loop_close(&loop);
    variant_engine_close(&engine);
}

/* ---- callbacks that reach for their own loop ---- */

typedef struct inside {
    variant_loop *loop;
    variant_job *own, *more;
    int calls;
} inside;

/* Steps and takes, which nothing must come of, and once adds a request, which is carried like any other. */
static bool reach_in(void *user, const variant_progress *at) {
    inside *i = user;
    variant_picture *none;
    variant_error error;
    variant_job *own = i->own;
    (void)at;
    assert_int_equal(variant_loop_step(i->loop, NULL, &error), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "callback"));
    assert_int_equal(variant_job_take(&own, &none, NULL, &error), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(error.message, "callback"));
    assert_null(none);
    assert_ptr_equal(own, i->own);
    variant_request request = request_of(2);
    if (i->calls++ == 1) assert_ok(variant_loop_add(i->loop, &request, &i->more, err));
    return true;
}

static void callbacks_may_add_but_not_step(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    alone want;
    draw_alone(&want, engine);
    inside i = {0};
    variant_request request = request_of(1);
    request.progress = reach_in;
    request.user = &i;
    assert_ok(variant_loop_open(&i.loop, engine, err));
    assert_ok(variant_loop_add(i.loop, &request, &i.own, err));
    int left = 1;
    while (left > 0) assert_ok(variant_loop_step(i.loop, &left, err));
    running own = {.job = i.own, .wish = 1}, more = {.job = i.more, .wish = 2};
    take(&own, &want, "that reached into its loop");
    take(&more, &want, "added in a callback");
    variant_picture *none;
    assert_fails(variant_job_take(&own.job, &none, NULL, err), VARIANT_E_ARGUMENT, "taken before");
    variant_loop_close(&i.loop);
    alone_free(&want);
    variant_engine_close(&engine);
}

/* ---- settings that come back ---- */

/* Numbers that no six digits tell: what the settings say is what was asked, to the last bit. */
static void settings_hold_every_digit(void **unused) {
    (void)unused;
    variant_engine *engine = engine_of(1, "f32", "f32");
    const float odd[] = {1e-7f, 0.1f, 1.0f / 3.0f, 0.99999994f, 0.96f};
    const float scales[4] = {3e-7f, 100.0f, 2.0f / 3.0f, 1e-30f};
    char path[128];
    snprintf(path, sizeof path, "%s/odd.png", folder);
    for (int i = 0; i < 5; ++i) {
        variant_picture *made, *again;
        variant_settings *settings;
        variant_request request = request_of(0), back = request;
        request.top_p = odd[i];
        request.cfg_scale = i == 4 ? NAN : 7.0f * odd[i]; /* of no account beside a list */
        request.cfg_scales = i > 2 ? scales : NULL;
        request.cfg_scale_count = i > 2 ? 4 : 0;
        assert_ok(variant_generate(engine, &request, &made, NULL, err));
        assert_ok(variant_picture_write_png(made, path, err));
        assert_ok(variant_settings_read(&settings, path, err));
        assert_ok(variant_settings_request(settings, engine, &back, err));
        assert_true(back.top_p == request.top_p);
        if (i > 2)
            assert_memory_equal(back.cfg_scales, scales, sizeof scales);
        else
            assert_true(back.cfg_scale == request.cfg_scale);
        assert_ok(variant_generate(engine, &back, &again, NULL, err));
        assert_same(again, made, 1, "made again");
        variant_pictures_free(&again, 1);
        variant_pictures_free(&made, 1);
        variant_settings_free(&settings);
    }
    variant_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(joining_leaves_no_trace),
        cmocka_unit_test(memory_comes_back),
        cmocka_unit_test(a_later_batch_may_take_more),
        cmocka_unit_test(the_next_request_maps_nothing),
        cmocka_unit_test(bad_requests_harm_nobody),
        cmocka_unit_test(too_many_harm_nobody),
        cmocka_unit_test(a_broken_class_breaks_its_request),
        cmocka_unit_test(given_scales_are_kept),
        cmocka_unit_test(scales_may_be_left_out),
        cmocka_unit_test(each_scale_can_be_seen),
        cmocka_unit_test(only_wanted_scales_are_decoded),
        cmocka_unit_test(a_flag_cancels),
        cmocka_unit_test(a_thread_cancels),
        cmocka_unit_test(callbacks_may_add_but_not_step),
        cmocka_unit_test(settings_hold_every_digit),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}

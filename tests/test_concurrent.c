/* test_concurrent.c - several threads generate with one engine at the same time, by calls and by loops: each gets the bytes that it
 * gets alone, whatever the others do, ask wrongly, stop or cancel; engines come and go beside them. Also built with the thread
 * sanitizer (preset tsan). test_streams.c has what one thread does with a loop. */
#include "tests/model_folder.h"

#include <pthread.h>
#include <stdatomic.h>

/* ---- what each thread asks for: all different, in everything that a request can say ---- */

static const struct wish {
    const char *class_name;
    int count, batch, depth, bridge;
    const char *layers;
    float cfg_scale;
    bool smooth, greedy, retain_kv, keep_scales;
} wishes[] = {
    {"3", 2, 1, 0, -1, NULL, 1.5f, false, false, false, false},
    {"all", 5, 3, 2, 2, NULL, 0.0f, false, false, true, false},
    {"random", 3, 2, 3, 1, "prefix", 2.0f, true, false, false, false},
    {"uncond", 2, 2, 0, -1, "0,5;0-5;1,4;0-4", 1.0f, false, true, false, true},
};
enum { WISHES = sizeof wishes / sizeof wishes[0], ROUNDS = 4 };

static variant_request request_of(const struct wish *wish) {
    variant_request request;
    variant_request_init(&request);
    request.class_name = wish->class_name;
    request.count = wish->count;
    request.batch = wish->batch;
    request.depth = wish->depth;
    request.bridge = wish->bridge;
    request.layers = wish->layers;
    request.cfg_scale = wish->cfg_scale;
    request.smooth = wish->smooth;
    request.greedy = wish->greedy;
    request.retain_kv = wish->retain_kv;
    request.keep_scales = wish->keep_scales;
    request.seed = (uint64_t)(wish - wishes) + 7;
    return request;
}

static bool same_picture(const variant_picture *a, const variant_picture *b) {
    const size_t bytes = (size_t)a->width * (size_t)a->height * (size_t)a->channels;
    bool same = a->label == b->label && a->token_count == b->token_count &&
                a->scale_count == b->scale_count && memcmp(a->pixels, b->pixels, bytes) == 0 &&
                memcmp(a->tokens, b->tokens, (size_t)a->token_count * sizeof *a->tokens) == 0;
    for (int k = 0; same && k < a->scale_count; ++k)
        same = memcmp(a->scale_pixels[k], b->scale_pixels[k], bytes) == 0;
    return same;
}

/* ---- threads: they count their faults, since cmocka's assertions belong to the main thread ---- */

typedef struct user {
    const variant_engine *engine;
    const struct wish *wish;
    const variant_picture *alone; /* (wish->count) */
    variant_picture **all;        /* (WISHES): everybody's */
    size_t kv_alone;
    _Atomic int *waiting; /* so that all begin together */
    int faults;
} user;

static void begin_together(_Atomic int *waiting) {
    atomic_fetch_sub(waiting, 1);
    while (atomic_load(waiting) > 0) sched_yield();
}

static void *generate_again(void *argument) {
    user *u = argument;
    const variant_request request = request_of(u->wish);
    begin_together(u->waiting);
    for (int round = 0; round < ROUNDS; ++round) {
        variant_picture *pictures = NULL;
        variant_report report = {.size = sizeof report};
        variant_error error;
        if (variant_generate(u->engine, &request, &pictures, &report, &error) != VARIANT_OK) {
            ++u->faults;
            continue;
        }
        u->faults += report.kv_peak_bytes != u->kv_alone;
        for (int i = 0; i < request.count; ++i)
            u->faults += !same_picture(&pictures[i], &u->alone[i]);
        variant_pictures_free(&pictures, request.count);
    }
    return NULL;
}

/* All wishes in a loop of this thread's own, each some steps after the one before. */
static void *share_steps(void *argument) {
    user *u = argument;
    begin_together(u->waiting);
    for (int round = 0; round < ROUNDS / 2; ++round) {
        variant_error error;
        variant_loop *loop = NULL;
        variant_job *jobs[WISHES] = {NULL};
        int running = 1;
        u->faults += variant_loop_open(&loop, u->engine, &error) != VARIANT_OK;
        for (int i = 0; i < WISHES && !u->faults; ++i) {
            const variant_request request = request_of(&wishes[i]);
            u->faults += variant_loop_add(loop, &request, &jobs[i], &error) != VARIANT_OK ||
                         variant_loop_step(loop, NULL, &error) != VARIANT_OK;
        }
        while (running > 0 && !u->faults)
            u->faults += variant_loop_step(loop, &running, &error) != VARIANT_OK;
        for (int i = 0; i < WISHES && !u->faults; ++i) {
            variant_picture *pictures = NULL;
            u->faults += variant_job_take(&jobs[i], &pictures, NULL, &error) != VARIANT_OK;
            for (int k = 0; pictures && k < wishes[i].count; ++k)
                u->faults += !same_picture(&pictures[k], &u->all[i][k]);
            variant_pictures_free(&pictures, wishes[i].count);
        }
        variant_loop_close(&loop);
    }
    return NULL;
}

static void *cancel_job(void *job) {
    variant_job_cancel(job);
    return NULL;
}

static void *set_flag(void *flag) {
    __atomic_store_n((int *)flag, 1, __ATOMIC_SEQ_CST);
    return NULL;
}

/* Requests without end, a job and a call, that other threads end. */
static void *be_cancelled(void *argument) {
    user *u = argument;
    begin_together(u->waiting);
    for (int round = 0; round < ROUNDS / 2; ++round) {
        variant_error error;
        variant_loop *loop = NULL;
        variant_job *job = NULL;
        variant_picture *pictures = NULL;
        variant_request request = request_of(u->wish);
        int running = 1, flag = 0;
        pthread_t other;
        request.count = 3000;
        u->faults += variant_loop_open(&loop, u->engine, &error) != VARIANT_OK ||
                     variant_loop_add(loop, &request, &job, &error) != VARIANT_OK ||
                     variant_loop_step(loop, NULL, &error) != VARIANT_OK;
        if (u->faults || pthread_create(&other, NULL, cancel_job, job) != 0) break;
        while (running > 0) u->faults += variant_loop_step(loop, &running, &error) != VARIANT_OK;
        pthread_join(other, NULL);
        u->faults +=
            variant_job_take(&job, &pictures, NULL, &error) != VARIANT_E_STOPPED || pictures;
        variant_loop_close(&loop);
        request.cancel = &flag;
        if (pthread_create(&other, NULL, set_flag, &flag) != 0) break;
        u->faults +=
            variant_generate(u->engine, &request, &pictures, NULL, &error) != VARIANT_E_STOPPED ||
            pictures;
        pthread_join(other, NULL);
    }
    return NULL;
}

static bool stop_at_third_scale(void *calls, const variant_progress *at) {
    ++*(int *)calls;
    return at->scale < 3;
}

/* Somebody who stops in the middle, asks for what is not there, and plans what memory it would take. */
static void *disturb(void *argument) {
    user *u = argument;
    begin_together(u->waiting);
    for (int round = 0; round < 2 * ROUNDS; ++round) {
        variant_picture *pictures = NULL;
        variant_error error;
        variant_memory memory = {.size = sizeof memory};
        int calls = 0;
        variant_request request = request_of(u->wish);
        u->faults += variant_request_memory(u->engine, &request, &memory, &error) != VARIANT_OK ||
                     memory.kv != u->kv_alone;
        request.progress = stop_at_third_scale;
        request.user = &calls;
        u->faults +=
            variant_generate(u->engine, &request, &pictures, NULL, &error) != VARIANT_E_STOPPED ||
            calls != 3 || pictures;
        request.class_name = "nobody";
        u->faults +=
            variant_generate(u->engine, &request, &pictures, NULL, &error) != VARIANT_E_ARGUMENT ||
            !strstr(error.message, "nobody") || pictures;
    }
    return NULL;
}

/* Engines of other types of weights open and close meanwhile. */
static void *come_and_go(void *argument) {
    static const char *const weights[] = {"f32", "bf16", "int8"};
    user *u = argument;
    begin_together(u->waiting);
    for (int round = 0; round < ROUNDS; ++round) {
        variant_engine *engine = NULL;
        variant_engine_options options;
        variant_error error;
        variant_engine_options_init(&options);
        options.model = model_path;
        options.threads = 1 + round % 2;
        options.weights = weights[round % 3];
        u->faults += variant_engine_open(&engine, &options, &error) != VARIANT_OK;
        variant_engine_close(&engine);
    }
    return NULL;
}

/* ---- all of them at once ---- */

static void generate_alone(user *users, const variant_engine *engine, variant_picture **alone) {
    for (int i = 0; i < WISHES; ++i) {
        variant_request request = request_of(&wishes[i]);
        variant_report report = {.size = sizeof report};
        assert_ok(variant_generate(engine, &request, &alone[i], &report, err));
        users[i] = (user){.engine = engine,
                          .wish = &wishes[i],
                          .alone = alone[i],
                          .all = alone,
                          .kv_alone = report.kv_peak_bytes};
    }
}

static void at_the_same_time(const char *weights, const char *kv, int threads) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.weights = weights;
    options.kv = kv;
    options.threads = threads;
    assert_ok(variant_engine_open(&engine, &options, err));

    static void *(*const others[])(void *) = {share_steps, be_cancelled, disturb, come_and_go};
    enum { OTHERS = sizeof others / sizeof others[0], USERS = WISHES + OTHERS };
    variant_picture *alone[WISHES] = {NULL};
    user users[USERS];
    pthread_t ids[USERS];
    _Atomic int waiting = USERS;
    generate_alone(users, engine, alone);
    for (int i = WISHES; i < USERS; ++i) users[i] = users[0];
    for (int i = 0; i < USERS; ++i) {
        users[i].waiting = &waiting;
        void *(*const life)(void *) = i < WISHES ? generate_again : others[i - WISHES];
        assert_int_equal(pthread_create(&ids[i], NULL, life, &users[i]), 0);
    }
    for (int i = 0; i < USERS; ++i) pthread_join(ids[i], NULL);
    for (int i = 0; i < USERS; ++i)
        if (users[i].faults)
            fail_msg("%s weights, %d threads: user %d met %d faults", weights, threads, i,
                     users[i].faults);
    assert_false(same_picture(&alone[0][0], &alone[0][1])); /* or equal bytes would say nothing */
    for (int i = 0; i < WISHES; ++i) variant_pictures_free(&alone[i], wishes[i].count);
    variant_engine_close(&engine);
}

static void f32_weights(void **state) {
    (void)state;
    at_the_same_time("f32", NULL, 3);
    at_the_same_time("f32", "int8", 1);
}

static void bf16_weights(void **state) {
    (void)state;
    at_the_same_time("bf16", NULL, 3);
    at_the_same_time("bf16", "f32", 1);
}

static void int8_weights(void **state) {
    (void)state;
    at_the_same_time("int8", "int8", 2);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(f32_weights),
        cmocka_unit_test(bf16_weights),
        cmocka_unit_test(int8_weights),
    };
    return cmocka_run_group_tests(tests, write_model, remove_model);
}

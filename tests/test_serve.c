/* test_serve.c - the server without its sockets: JSON members, wishes, who is next in the queue, who may ask, paths, texts. */
#include "tests/fixtures.h"

#include "core/base64.h"
#include "serve/adapt.h"
#include "serve/arguments.h"
#include "serve/forecast.h"
#include "serve/guard.h"
#include "serve/handlers.h"
#include "serve/queue.h"
#include "serve/routes.h"
#include "serve/text.h"
#include "serve/wish.h"

static char folder[64];
static char model_path[128];
static sv_wish_context context;
static variant_engine *engine;

static int open_engine(void **state) {
    (void)state;
    variant_engine_options options;
    make_folder(folder);
    synthetic_file(model_path, sizeof model_path, folder, 'A',
                   NULL); /* 10 classes, 4 scales, 6 layers */
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = 1;
    assert_ok(variant_engine_open(&engine, &options, err));
    context = (sv_wish_context){.engine = engine, .batch = 8, .deadline = 60.0};
    context.info = *variant_engine_info(engine);
    context.planned[SV_LOW] = true;
    context.plans[SV_LOW] = (variant_plan){.depth = 2,
                                           .bridge = 1,
                                           .layers = "prefix",
                                           .uncond_depth = -1,
                                           .cfg_late = -1.0f,
                                           .why = "a test"};
    return 0;
}

static int close_engine(void **state) {
    (void)state;
    variant_engine_close(&engine);
    remove_folder(folder);
    return 0;
}

/* ---- texts ---- */

static void base64_goes_there_and_back(void **state) {
    (void)state;
    uint8_t bytes[67];
    for (size_t i = 0; i < sizeof bytes; ++i) bytes[i] = (uint8_t)(i * 37 + 200);
    for (size_t size = 0; size <= sizeof bytes; ++size) {
        uint8_t *back;
        size_t got;
        char *text = variant_base64(bytes, size);
        assert_int_equal(strlen(text), (size + 2) / 3 * 4);
        assert_true(vt_base64_read(text, strlen(text), &back, &got));
        assert_int_equal(got, size);
        assert_memory_equal(back, bytes, size);
        free(back);
        free(text);
    }
    char *text = variant_base64((const uint8_t *)"any carnal pleas", 16);
    assert_string_equal(text, "YW55IGNhcm5hbCBwbGVhcw==");
    free(text);
    uint8_t *none;
    size_t size;
    const char *const wrong[] = {"YW5$", "Y", "YW5=a", "YW55\x80"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        assert_false(vt_base64_read(wrong[i], strlen(wrong[i]), &none, &size));
        assert_null(none);
    }
    assert_true(vt_base64_read("YW\r\n55", 6, &none, &size)); /* lines */
    assert_int_equal(size, 3);
    free(none);
}

static void broken_letters_are_found(void **state) {
    (void)state;
    const char *const right[] = {"", "abc", "caf\xC3\xA9", "\xE2\x82\xAC", "\xF0\x9F\x98\x80"};
    const char *const wrong[] = {"\x80",         "\xC3",         "\xC0\x80",         "\xE0\x80\x80",
                                 "\xED\xA0\x80", "\xF5\x80\x80", "\xF0\x80\x80\x80", "a\xE2\x82"};
    char text[16];
    for (size_t i = 0; i < sizeof right / sizeof *right; ++i)
        assert_true(sv_is_utf8(right[i], strlen(right[i])));
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        assert_false(sv_is_utf8(wrong[i], strlen(wrong[i])));
        strcpy(text, wrong[i]);
        sv_clean_utf8(text);
        assert_true(sv_is_utf8(text, strlen(text)));
        assert_int_equal(strlen(text), strlen(wrong[i]));
    }
}

static void secrets_are_the_same_only_if_they_are(void **state) {
    (void)state;
    assert_true(sv_same_secret("0123456789abcdef", "0123456789abcdef"));
    assert_false(sv_same_secret("0123456789abcdeF", "0123456789abcdef"));
    assert_false(sv_same_secret("0123456789abcde", "0123456789abcdef"));
    assert_false(sv_same_secret("0123456789abcdef0123456789abcdef", "0123456789abcdef"));
    assert_false(sv_same_secret("", "0123456789abcdef"));
}

/* ---- JSON ---- */

static void bodies_that_are_no_objects_are_refused(void **state) {
    (void)state;
    const char *const wrong[] = {"",      "{",   "[1]", "3", "{\"a\":1} x", "{\"a\":\"\xC3\"}",
                                 "{a:1}", "null"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        sv_fault fault = {0};
        cJSON *json;
        assert_false(sv_json_read(&json, wrong[i], strlen(wrong[i]), &fault));
        assert_null(json);
        assert_int_equal(fault.status, 400);
        assert_string_equal(fault.code, "invalid_json");
    }
    cJSON *json;
    sv_fault fault;
    assert_false(sv_json_read(&json, "{\"a\":\0001}", 8, &fault));
    assert_true(sv_json_read(&json, " {\"a\":1} \r\n", 11, &fault));
    cJSON_Delete(json);
}

/* Values take far more memory than bytes: their number is bounded, whatever stands in strings. */
static void bodies_of_many_values_are_refused(void **state) {
    (void)state;
    enum { MANY = 5000 };
    char body[2 * MANY + 32];
    const char *const begins[] = {"{\"a\":[0", "{\"a\":\"\\\"0"}, *const ends[] = {"]}", "\"}"};
    for (int string = 0; string < 2; ++string) {
        cJSON *json;
        sv_fault fault = {0};
        size_t size = (size_t)snprintf(body, sizeof body, "%s", begins[string]);
        for (int i = 0; i < MANY; ++i, size += 2) memcpy(body + size, ",0", 2);
        size += (size_t)snprintf(body + size, sizeof body - size, "%s", ends[string]);
        assert_int_equal(sv_json_read(&json, body, size, &fault), string);
        if (string == 0) assert_string_equal(fault.message, "the body has more than 4096 values");
        cJSON_Delete(json);
    }
}

/* What a body is refused with; the wish of one that is not, freed. */
static sv_fault read_body(const char *body, sv_wish *out) {
    sv_fault fault = {0};
    cJSON *json;
    assert_true(sv_json_read(&json, body, strlen(body), &fault));
    const bool taken = sv_wish_read(out, &context, NULL, NULL, json, &fault);
    assert_int_equal(taken, fault.status == 0);
    return fault;
}

static void wishes_are_read(void **state) {
    (void)state;
    sv_wish w;
    assert_int_equal(
        read_body(
            "{\"prompt\":\"3\",\"n\":2,\"seed\":7,\"depth\":2,\"bridge\":1,\"cfg_scale\":2,"
            "\"top_k\":5,\"top_p\":0.5,\"uncond_depth\":1,\"model\":\"gpt-image-1\",\"user\":{},"
            "\"size\":\"auto\",\"style\":null,\"output_format\":\"jpeg\",\"output_compression\":"
            "40}",
            &w)
            .status,
        0);
    assert_string_equal(w.request.class_name, "3");
    assert_int_equal(w.request.count, 2);
    assert_true(w.request.seed == 7);
    assert_int_equal(w.request.depth, 2);
    assert_int_equal(w.request.bridge, 1);
    assert_true(w.request.cfg_scale == 2.0f && w.request.top_p == 0.5f);
    assert_int_equal(w.request.top_k, 5);
    assert_int_equal(w.request.uncond_depth, 1);
    assert_string_equal(w.format, "jpeg");
    assert_int_equal(w.compression, 40);
    sv_wish_free(&w);
    assert_int_equal(
        read_body("{\"prompt\":\"random\",\"depths\":[6,6,2,1],\"cfg_scales\":\"0,1,1.5,0\","
                  "\"seed\":\"18446744073709551615\",\"stream\":true,\"partial_images\":3}",
                  &w)
            .status,
        0);
    assert_string_equal(w.request.depths, "6,6,2,1");
    assert_true(w.request.seed == UINT64_MAX);
    assert_int_equal(w.request.cfg_scale_count, 4);
    assert_true(w.request.cfg_scales[2] == 1.5f);
    assert_int_equal(w.partials, 3);
    for (int i = 0; i < 3; ++i) assert_int_equal(sv_partial_scale(&w, 4, i), i + 1);
    assert_int_equal(sv_partial_scale(&w, 10, 0), 2);
    assert_int_equal(sv_partial_scale(&w, 10, 2), 7);
    sv_wish_free(&w);
}

static void a_quality_is_a_plan_unless_a_depth_is_named(void **state) {
    (void)state;
    sv_wish w;
    assert_int_equal(read_body("{\"prompt\":\"1\",\"quality\":\"low\"}", &w).status, 0);
    assert_int_equal(w.request.depth, 2);
    assert_int_equal(w.request.bridge, 1);
    assert_int_equal(w.request.batch, 8);
    assert_string_equal(w.why, "a test");
    sv_wish_free(&w);
    assert_int_equal(read_body("{\"prompt\":\"1\",\"quality\":\"low\",\"depth\":5}", &w).status, 0);
    assert_int_equal(w.request.depth, 5);
    assert_int_equal(w.request.bridge, -1);
    assert_string_equal(w.why, "asked for");
    sv_wish_free(&w);
    assert_int_equal(read_body("{\"prompt\":\"1\",\"quality\":\"standard\"}", &w).status, 0);
    assert_int_equal(w.quality, SV_AUTO);
    assert_int_equal(w.request.depth, 0);
    sv_wish_free(&w);
}

static void a_latency_leaves_the_depth_open(void **state) {
    (void)state;
    sv_wish w;
    const variant_plan plan = {.depth = 3,
                               .bridge = 2,
                               .layers = "rounded",
                               .uncond_depth = 1,
                               .cfg_late = -1.0f,
                               .batch = 1};
    assert_int_equal(
        read_body("{\"prompt\":\"1\",\"max_latency\":2.5,\"quality\":\"auto\"}", &w).status, 0);
    assert_true(w.max_latency == 2.5);
    assert_false(w.auto_depth);
    sv_wish_take_plan(&w, &plan, "in time");
    assert_int_equal(w.request.depth, 3);
    assert_int_equal(w.request.bridge, 2);
    assert_int_equal(w.request.batch, 8);
    assert_ptr_equal(w.request.layers, w.layers); /* not the plan's, which may go */
    assert_ptr_equal(w.request.uncond_layers, w.layers);
    assert_string_equal(w.layers, "rounded");
    assert_string_equal(w.why, "in time");
    sv_wish second;
    sv_fault fault;
    assert_true(sv_wish_read(&second, &context, &w, NULL, cJSON_Parse("{}"), &fault));
    assert_ptr_equal(second.request.layers, second.layers);
    assert_string_equal(second.request.uncond_layers, "rounded");
    assert_true(second.max_latency <= 0.0); /* that was the first one's */
    sv_wish_free(&second);
    sv_wish_free(&w);
    assert_int_equal(read_body("{\"prompt\":\"1\"}", &w).status, 0);
    assert_true(w.auto_depth);
    sv_wish_free(&w);
    assert_int_equal(read_body("{\"prompt\":\"1\",\"depth\":6}", &w).status, 0);
    assert_false(w.auto_depth);
    sv_wish_free(&w);
}

/* Every member with what it cannot be: the fault names it and says what was expected. */
static void wrong_members_are_named(void **state) {
    (void)state;
    static const struct {
        const char *body, *param, *words;
    } wrong[] = {
        {"{}", "prompt", "prompt is missing"},
        {"{\"prompt\":\"\"}", "prompt", "prompt is missing"},
        {"{\"prompt\":3}", "prompt", "expected a string"},
        {"{\"prompt\":\"10\"}", "prompt", "expected 0 to 9"},
        {"{\"prompt\":\"1\",\"n\":0}", "n", "from 1 to 10"},
        {"{\"prompt\":\"1\",\"n\":11}", "n", "from 1 to 10"},
        {"{\"prompt\":\"1\",\"n\":1.5}", "n", "whole number"},
        {"{\"prompt\":\"1\",\"n\":\"2\"}", "n", "whole number"},
        {"{\"prompt\":\"1\",\"n\":1e99}", "n", "whole number"},
        {"{\"prompt\":\"1\",\"size\":\"1024x1024\"}", "size", "this model makes pictures of"},
        {"{\"prompt\":\"1\",\"size\":[]}", "size", "expected a string"},
        {"{\"prompt\":\"1\",\"quality\":\"best\"}", "quality",
         "low, medium, high, auto, standard or hd"},
        {"{\"prompt\":\"1\",\"response_format\":\"png\"}", "response_format", "b64_json or url"},
        {"{\"prompt\":\"1\",\"output_format\":\"webp\"}", "output_format", "png or jpeg"},
        {"{\"prompt\":\"1\",\"output_compression\":101}", "output_compression", "0 to 100"},
        {"{\"prompt\":\"1\",\"stream\":1}", "stream", "true or false"},
        {"{\"prompt\":\"1\",\"stream\":true,\"partial_images\":4}", "partial_images", "0 to 3"},
        {"{\"prompt\":\"1\",\"seed\":-2}", "seed", "0 to 2^53"},
        {"{\"prompt\":\"1\",\"seed\":\"-2\"}", "seed", "-1 for a random one"},
        {"{\"prompt\":\"1\",\"seed\":\"99999999999999999999\"}", "seed", "2^64"},
        {"{\"prompt\":\"1\",\"seed\":0.5}", "seed", "whole number"},
        {"{\"prompt\":\"1\",\"depth\":7}", "depth", "0 to 6"},
        {"{\"prompt\":\"1\",\"bridge\":5}", "bridge", "0 to 4"},
        {"{\"prompt\":\"1\",\"depths\":[6,6]}", "depths", "one for each of 4 scales"},
        {"{\"prompt\":\"1\",\"depths\":[6,6,6,9]}", "depths", "from 1 to 6"},
        {"{\"prompt\":\"1\",\"depths\":[6,6,6,1.5]}", "depths", "whole numbers"},
        {"{\"prompt\":\"1\",\"depths\":[6,6,6,1],\"depth\":2}", "depths", "give no depth"},
        {"{\"prompt\":\"1\",\"depths\":[]}", "depths", "1 to 32 numbers"},
        {"{\"prompt\":\"1\",\"depths\":\"6,,6,6\"}", "depths", "numbers"},
        {"{\"prompt\":\"1\",\"cfg_scale\":-1}", "cfg_scale", "0 to 100"},
        {"{\"prompt\":\"1\",\"cfg_scales\":[1,2,3]}", "cfg_scales", "one for each of 4 scales"},
        {"{\"prompt\":\"1\",\"cfg_scales\":[1,2,3,4],\"cfg_scale\":1}", "cfg_scales",
         "give no cfg_scale"},
        {"{\"prompt\":\"1\",\"uncond_depth\":99}", "uncond_depth", "0 to 6"},
        {"{\"prompt\":\"1\",\"top_k\":-5}", "top_k", "from 0"},
        {"{\"prompt\":\"1\",\"top_p\":1.5}", "top_p", "0 to 1"},
        {"{\"prompt\":\"1\",\"deadline\":0}", "deadline", "to 60"},
        {"{\"prompt\":\"1\",\"deadline\":61}", "deadline", "to 60"},
        {"{\"prompt\":\"1\",\"max_latency\":0}", "max_latency", "0.001 to 86400"},
        {"{\"prompt\":\"1\",\"max_latency\":\"1s\"}", "max_latency", "a number"},
        {"{\"prompt\":\"1\",\"max_latency\":1,\"depth\":2}", "max_latency", "give no depth"},
        {"{\"prompt\":\"1\",\"max_latency\":1,\"bridge\":2}", "max_latency", "give no bridge"},
        {"{\"prompt\":\"1\",\"max_latency\":1,\"depths\":[6,6,6,6]}", "max_latency",
         "give no depths"},
        {"{\"prompt\":\"1\",\"max_latency\":1,\"quality\":\"low\"}", "max_latency",
         "give no quality"},
    };
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        sv_wish w;
        const sv_fault fault = read_body(wrong[i].body, &w);
        if (fault.status != 400 || strcmp(fault.param, wrong[i].param) != 0 ||
            !strstr(fault.message, wrong[i].words))
            fail_msg("%s: %d, param \"%s\", \"%s\"; expected %s, \"%s\"", wrong[i].body,
                     fault.status, fault.param, fault.message, wrong[i].param, wrong[i].words);
        sv_wish_free(&w);
    }
}

static void what_is_not_said_again_holds_when_refined(void **state) {
    (void)state;
    sv_wish first, second;
    sv_fault fault;
    assert_int_equal(
        read_body(
            "{\"prompt\":\"3\",\"n\":2,\"seed\":7,\"depths\":[6,2,2,2],\"cfg_scales\":[0,1,2,3]}",
            &first)
            .status,
        0);
    assert_true(
        sv_wish_read(&second, &context, &first, NULL, cJSON_Parse("{\"depth\":5}"), &fault));
    assert_null(second.request.depths);
    assert_int_equal(second.request.depth, 5);
    assert_int_equal(second.request.count, 2);
    assert_true(second.request.seed == 7);
    assert_ptr_equal(second.request.cfg_scales, second.cfg_scales);
    assert_true(second.cfg_scales[3] == 3.0f);
    assert_null(second.request.class_name); /* labels are whoever refines */
    sv_wish_free(&second);
    assert_false(sv_wish_read(&second, &context, &first, NULL, cJSON_Parse("{\"n\":3}"), &fault));
    assert_string_equal(fault.param, "n");
    sv_wish_free(&second);
    sv_wish_free(&first);
}

/* ---- the queue ---- */

static void nearest_deadline_then_age(void **state) {
    (void)state;
    int passed[4] = {0};
    sv_waiting list[] = {{0, 1, 10, &passed[0]},
                         {50, 2, 10, &passed[1]},
                         {30, 3, 10, &passed[2]},
                         {30, 4, 10, &passed[3]}};
    int at = sv_queue_pick(list, 4, 100);
    assert_int_equal(list[at].number, 3);
    sv_waiting none[] = {{0, 1, 10, &passed[0]}, {0, 0, 10, &passed[1]}};
    at = sv_queue_pick(none, 2, 100);
    assert_int_equal(none[at].number, 0);
    assert_int_equal(sv_queue_pick(none, 2, 9), -1);
    assert_int_equal(sv_queue_pick(none, 0, 9), -1);
}

/* Small ones go by a large one that has no room, but not for ever. */
static void nobody_is_starved(void **state) {
    (void)state;
    int large = 0, small = 0, went_by = 0;
    for (uint64_t arrival = 1; arrival < 100; ++arrival) {
        sv_waiting list[] = {{0, 0, 80, &large}, {0, arrival, 10, &small}};
        const int at = sv_queue_pick(list, 2, 30); /* of 100, 70 are taken again and again */
        if (at < 0) break;
        assert_int_equal(list[at].number, arrival);
        ++went_by;
    }
    assert_int_equal(went_by, SV_MOST_PASSES);
    sv_waiting list[] = {{0, 0, 80, &large}, {0, 100, 10, &small}};
    assert_int_equal(sv_queue_pick(list, 2, 100), 0); /* now there is room, and it is first */
}

static void waiting_time_is_told(void **state) {
    (void)state;
    assert_int_equal(sv_queue_retry_after(0, 1.0), 1);
    assert_int_equal(sv_queue_retry_after(10, 0.5), 5);
    assert_int_equal(sv_queue_retry_after(1000, 9.0), 60);
}

/* ---- forecasts ---- */

/* A request of so many pictures of three scales, whose seconds alone are 1, 2 and 3. */
static sv_task task(int pictures, int batch, bool running) {
    static const double unit[] = {1.0, 2.0, 3.0};
    return (sv_task){.unit = unit,
                     .factor = 1.0,
                     .left = pictures,
                     .batch = batch,
                     .bytes = 10,
                     .running = running};
}

static double forecast_of_last(const sv_task *tasks, int count, size_t memory) {
    sv_task copy[8];
    sv_pace pace;
    sv_pace_init(&pace);
    memcpy(copy, tasks, (size_t)count * sizeof *tasks);
    return sv_forecast(copy, count, count - 1, 3, memory, &pace);
}

static bool is_near(double a, double b) {
    return a > b - 1e-9 && a < b + 1e-9;
}

static void forecasts_add_up(void **state) {
    (void)state;
    sv_task tasks[] = {task(1, 1, true), task(1, 1, false), task(1, 1, false)};
    assert_true(is_near(forecast_of_last(tasks, 1, 100), 6.0));
    assert_true(is_near(forecast_of_last(tasks, 3, 100), 18.0)); /* all share every step */
    tasks[0].scale = 2; /* only its last scale is left, beside the first of the others */
    assert_true(is_near(forecast_of_last(tasks, 3, 100), 15.0));
    assert_true(is_near(forecast_of_last(tasks, 3, 20), 4.0 + 3.0 + 5.0 + 3.0));
    assert_true(is_near(forecast_of_last(tasks, 3, 10), 3.0 + 6.0 + 6.0)); /* one after another */
    tasks[2].bytes = 5; /* a small one goes by one that has no room */
    assert_true(is_near(forecast_of_last(tasks, 3, 15), 3.0 + 1.0 + 2.0 + 3.0 + 1.0 + 2.0));
    const sv_task many = task(10, 8, false);
    assert_true(is_near(forecast_of_last(&many, 1, 100), 60.0));
    sv_task large = task(1, 1, false); /* larger than all memory: alone it is let in */
    large.bytes = 1000;
    assert_true(is_near(forecast_of_last(&large, 1, 100), 6.0));
    tasks[2] = task(1, 1, false);
    tasks[2].factor = 0.5;
    tasks[0].scale = 0;
    assert_true(is_near(forecast_of_last(tasks, 3, 100), 15.0));
}

static void sharing_is_learned_by_the_crowd(void **state) {
    (void)state;
    sv_pace pace;
    sv_pace_init(&pace);
    for (int i = 0; i < 200; ++i) {
        sv_pace_learn(&pace, 1, 1.0, 1.1);
        sv_pace_learn(&pace, 40, 10.0, 6.0);
        sv_pace_learn(&pace, 3, 0.0, 6.0); /* nothing is known of what they take */
    }
    assert_true(sv_pace_of(&pace, 1) > 1.09 && sv_pace_of(&pace, 1) < 1.11);
    assert_true(sv_pace_of(&pace, 64) > 0.59 && sv_pace_of(&pace, 64) < 0.61);
    assert_true(is_near(sv_pace_of(&pace, 2), 1.0));
    sv_pace_learn(&pace, 1, 1e-3, 60.0); /* one step that waited for something else */
    assert_true(sv_pace_of(&pace, 1) < 1.6);
}

/* ---- fewer layers under load ---- */

/* 12 layers at 7 scales, trained for 6, 3 and 2 after 4 full scales. */
static variant_info supernet(void) {
    variant_info info = {.depth = 12,
                         .scales = 7,
                         .sides = {1, 2, 3, 4, 5, 6, 8},
                         .supernet = true,
                         .depth_count = 3,
                         .depths = {6, 2, 3},
                         .bridge = 4};
    return info;
}

static void levels_take_late_scales_first(void **state) {
    (void)state;
    sv_level levels[SV_MOST_LEVELS];
    variant_info info = supernet();
    static const int expected[][2] = {{7, 12}, {6, 6}, {5, 6}, {4, 6}, {4, 3}, {4, 2}};
    assert_int_equal(sv_adapt_levels(&info, levels), 6);
    for (int i = 0; i < 6; ++i) {
        assert_int_equal(levels[i].bridge, expected[i][0]);
        assert_int_equal(levels[i].depth, expected[i][1]);
        if (i > 0) assert_true(levels[i].work < levels[i - 1].work);
    }
    assert_true(is_near(levels[0].work, 1.0));
    info.supernet = false; /* trained for all layers alone */
    assert_int_equal(sv_adapt_levels(&info, levels), 1);
}

/* A server on a simulated clock: requests come at a rate, each takes what its level takes, one after another. */
typedef struct simulation {
    sv_adapt adapt;
    sv_level levels[SV_MOST_LEVELS];
    int count;
    double now, waiting,
        arrived; /* work that is there: seconds of full pictures; fraction of the next request */
    double full; /* seconds of a full picture */
    double most, above; /* largest backlog, seconds above twice the target, since last asked */
    uint64_t changes;
    double depth_sum, requests;
} simulation;

static void simulate(simulation *s, double rate, double seconds) {
    const double tick = 0.1;
    s->most = s->above = s->depth_sum = s->requests = 0.0;
    const uint64_t before = s->adapt.downs + s->adapt.ups;
    for (double until = s->now + seconds; s->now < until; s->now += tick) {
        for (s->arrived += rate * tick; s->arrived >= 1.0; s->arrived -= 1.0) {
            s->waiting += s->full * s->levels[s->adapt.level].work;
            s->depth_sum += s->adapt.level;
            s->requests += 1.0;
        }
        s->waiting = s->waiting > tick ? s->waiting - tick : 0.0;
        if (s->waiting > s->most) s->most = s->waiting;
        if (s->waiting > 2.0 * s->adapt.target) s->above += tick;
        sv_adapt_update(&s->adapt, s->levels, s->count, s->waiting, s->now);
    }
    s->changes = s->adapt.downs + s->adapt.ups - before;
}

static simulation new_simulation(double target) {
    const variant_info info = supernet();
    simulation s = {.now = 1.0, .full = 0.1};
    s.count = sv_adapt_levels(&info, s.levels);
    sv_adapt_init(&s.adapt, target);
    return s;
}

static void depth_follows_the_load(void **state) {
    (void)state;
    simulation s = new_simulation(2.0);
    simulate(&s, 8.0, 60.0); /* 10 a second can be had at full depth */
    assert_int_equal(s.adapt.level, 0);
    assert_int_equal(s.changes, 0);
    simulate(&s, 14.0, 60.0); /* more than that */
    assert_true(s.depth_sum > 0.0 && s.most < 8.0 && s.above < 20.0);
    simulate(&s, 14.0, 600.0); /* and it does not flap */
    if (s.changes > 40 || s.most > 4.0)
        fail_msg("%d changes in ten minutes, backlog up to %.1f s", (int)s.changes, s.most);
    simulate(&s, 100.0, 60.0); /* more than any level can do: the least, which is the trained one */
    assert_int_equal(s.adapt.level, s.count - 1);
    simulate(&s, 0.0, s.waiting + 2.0 * SV_ADAPT_UP);
    assert_int_equal(s.adapt.level, 0); /* all is over: all layers again, at once */
    assert_true(s.adapt.patience <= SV_ADAPT_UP);
    simulate(&s, 8.0, 60.0);
    assert_int_equal(s.adapt.level, 0);
    assert_int_equal(s.changes, 0);
}

/* When less comes, but not nothing, layers come back one level at a time. */
static void layers_come_back(void **state) {
    (void)state;
    simulation s = new_simulation(1.0);
    simulate(&s, 20.0, 30.0);
    const int deep = s.adapt.level;
    assert_true(deep > 0);
    simulate(&s, 3.0, 180.0);
    assert_int_equal(s.adapt.level, 0);
    assert_true(s.changes >= (uint64_t)deep && s.changes < 12);
}

static void without_a_target_nothing_changes(void **state) {
    (void)state;
    simulation s = new_simulation(0.0);
    simulate(&s, 100.0, 30.0);
    assert_int_equal(s.adapt.level, 0);
    assert_int_equal(s.changes, 0);
}

static void pace_is_that_of_the_last_pictures(void **state) {
    (void)state;
    sv_rhythm r = {0};
    assert_true(sv_rhythm_of(&r) <= 0.0);
    for (int i = 0; i < 10; ++i) sv_rhythm_step(&r, 3.0, i == 9); /* a slow model: ten steps */
    assert_true(is_near(sv_rhythm_of(&r), 30.0));
    for (int i = 0; i < 100; ++i) { /* many at a time */
        sv_rhythm_step(&r, 0.1, 0);
        sv_rhythm_step(&r, 0.1, 8);
    }
    assert_true(sv_rhythm_of(&r) > 0.0249 && sv_rhythm_of(&r) < 0.0251);
}

/* ---- who may ask ---- */

static sv_fault ask(const sv_guard *guard, const char *host, const char *origin,
                    const char *authorization, bool open) {
    sv_fault fault = {0};
    const sv_caller caller = {host, origin, authorization};
    const bool admitted = sv_guard_admits(guard, &caller, open, &fault);
    assert_int_equal(admitted, fault.status == 0);
    return fault;
}

static void pages_of_others_may_not_ask(void **state) {
    (void)state;
    const sv_guard guard = {.loopback = true, .listen = "127.0.0.1"};
    const char *const right[] = {"localhost", "localhost:8080", "127.0.0.1:1", "[::1]:80",
                                 "LOCALHOST"};
    const char *const wrong[] = {"example.org", "127.0.0.1.example.org", "localhost.example.org",
                                 "localhost:",  "localhost:80a",         "",
                                 NULL};
    for (size_t i = 0; i < sizeof right / sizeof *right; ++i)
        assert_int_equal(ask(&guard, right[i], NULL, NULL, false).status, 0);
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        assert_int_equal(ask(&guard, wrong[i], NULL, NULL, false).status, 403);
        assert_int_equal(ask(&guard, wrong[i], NULL, NULL, true).status, 403);
    }
    assert_int_equal(ask(&guard, "localhost:8080", "http://localhost:8080", NULL, false).status, 0);
    assert_int_equal(ask(&guard, "localhost:8080", "http://localhost:9999", NULL, false).status,
                     403);
    assert_int_equal(ask(&guard, "localhost:8080", "https://example.org", NULL, false).status, 403);
    assert_int_equal(ask(&guard, "localhost:8080", "null", NULL, false).status, 403);
    sv_guard allowed = guard;
    allowed.origin = "https://example.org";
    assert_int_equal(ask(&allowed, "localhost:8080", "https://example.org", NULL, false).status, 0);
    assert_int_equal(ask(&allowed, "localhost:8080", "https://example.com", NULL, false).status,
                     403);
    allowed.origin = "*";
    assert_int_equal(ask(&allowed, "localhost:8080", "null", NULL, false).status, 0);
}

static void keys_are_asked_for(void **state) {
    (void)state;
    char path[128];
    sv_guard guard;
    vt_serve_options options;
    vt_serve_options_init(&options);
    options.listen = "0.0.0.0";
    assert_fails(sv_guard_open(&guard, &options, err), VARIANT_E_ARGUMENT, "--api-key-file");
    options.insecure = true;
    assert_ok(sv_guard_open(&guard, &options, err));
    assert_int_equal(ask(&guard, "anything", NULL, NULL, false).status, 0);
    sv_guard_close(&guard);
    options.insecure = false;
    snprintf(path, sizeof path, "%s/keys", folder);
    options.api_key_file = path;
    FILE *file = fopen(path, "w");
    fputs("# ours\n0123456789abcdef\r\n\nfedcba9876543210", file);
    fclose(file);
    assert_ok(sv_guard_open(&guard, &options, err));
    assert_int_equal(guard.key_count, 2);
    assert_int_equal(ask(&guard, "x", NULL, NULL, false).status, 401);
    assert_int_equal(ask(&guard, "x", NULL, NULL, true).status, 0);
    assert_int_equal(ask(&guard, "x", NULL, "Bearer 0123456789abcdef", false).status, 0);
    assert_int_equal(ask(&guard, "x", NULL, "bearer fedcba9876543210", false).status, 0);
    assert_int_equal(ask(&guard, "x", NULL, "Bearer fedcba9876543211", false).status, 401);
    assert_int_equal(ask(&guard, "x", NULL, "Basic 0123456789abcdef", false).status, 401);
    sv_guard_close(&guard);
    file = fopen(path, "w");
    fputs("short\n", file);
    fclose(file);
    assert_fails(sv_guard_open(&guard, &options, err), VARIANT_E_ARGUMENT, "at least 16");
    sv_guard_close(&guard);
    file = fopen(path, "w");
    fputs("# none\n", file);
    fclose(file);
    assert_fails(sv_guard_open(&guard, &options, err), VARIANT_E_ARGUMENT, "found none");
    sv_guard_close(&guard);
}

/* ---- paths ---- */

static void a_command_line_is_quoted(void **state) {
    (void)state;
    variant_engine_options options = {.model = "models/fashion", .backend = "cpu"};
    char *line = sv_arguments(&options);
    assert_string_equal(line, "-m models/fashion");
    free(line);
    options = (variant_engine_options){.model = "it's here; $(ls)",
                                       .heads = 4,
                                       .sides = "1,2",
                                       .weights = "int8",
                                       .part = "",
                                       .backend = "ref"};
    line = sv_arguments(&options);
    assert_string_equal(line,
                        "-m 'it'\\''s here; $(ls)' --sides 1,2 --heads 4 --part '' --weights int8 "
                        "--backend ref");
    free(line);
}

static void paths_lead_to_routes(void **state) {
    (void)state;
    sv_call call = {0};
    sv_fault fault = {0};
    const sv_route *route = sv_route_find(&call, "GET", "/api/jobs/abc/images/0.png", &fault);
    assert_non_null(route);
    assert_string_equal(route->path, "/api/jobs/*/images/*");
    assert_string_equal(call.arguments[0], "abc");
    assert_string_equal(call.arguments[1], "0.png");
    assert_non_null(sv_route_find(&call, "HEAD", "/healthz", &fault));
    assert_null(sv_route_find(&call, "POST", "/healthz", &fault));
    assert_int_equal(fault.status, 405);
    assert_string_equal(fault.allow, "GET");
    assert_null(sv_route_find(&call, "PATCH", "/api/jobs/abc", &fault));
    assert_string_equal(fault.allow, "GET, DELETE");
    const char *const wrong[] = {"/page/", "",          "/api/jobs/", "/api/jobs/a/b",
                                 "/v1",    "/healthz/", "//healthz",  "/api/jobs/a/images/"};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i) {
        assert_null(sv_route_find(&call, "GET", wrong[i], &fault));
        assert_int_equal(fault.status, 404);
    }
    char longest[200] = "/api/jobs/";
    memset(longest + 10, 'a', 100);
    assert_null(sv_route_find(&call, "GET", longest, &fault));
}

/* "/api/jobs/{id}" as routes have it. */
static void pattern_of(const char *path, char *out) {
    for (; *path; ++path) {
        if (*path == '{') {
            *out++ = '*';
            path = strchr(path, '}');
        } else
            *out++ = *path;
    }
    *out = '\0';
}

/* Every route is in the document and every operation of it is a route; what needs no key says so. */
static void the_document_has_the_routes(void **state) {
    (void)state;
    cJSON *document = cJSON_Parse(sv_openapi_text), *paths = cJSON_GetObjectItem(document, "paths");
    int operations = 0, routes = 0;
    assert_non_null(paths);
    for (const sv_route *route = sv_routes; route->path; ++route, ++routes) {
        bool found = false;
        for (const cJSON *path = paths->child; path; path = path->next) {
            char pattern[128];
            pattern_of(path->string, pattern);
            if (strcmp(pattern, route->path) != 0) continue;
            const cJSON *operation = cJSON_GetObjectItem(path, route->method); /* in any case */
            if (!operation) continue;
            found = true;
            const cJSON *security = cJSON_GetObjectItem(operation, "security");
            assert_int_equal(security != NULL, (route->flags & SV_OPEN) != 0);
        }
        if (!found) fail_msg("%s %s is not in openapi.json", route->method, route->path);
    }
    for (const cJSON *path = paths->child; path; path = path->next)
        operations += cJSON_GetArraySize(path);
    assert_int_equal(operations, routes);
    cJSON_Delete(document);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(base64_goes_there_and_back),
        cmocka_unit_test(broken_letters_are_found),
        cmocka_unit_test(secrets_are_the_same_only_if_they_are),
        cmocka_unit_test(bodies_that_are_no_objects_are_refused),
        cmocka_unit_test(bodies_of_many_values_are_refused),
        cmocka_unit_test(wishes_are_read),
        cmocka_unit_test(a_quality_is_a_plan_unless_a_depth_is_named),
        cmocka_unit_test(a_latency_leaves_the_depth_open),
        cmocka_unit_test(wrong_members_are_named),
        cmocka_unit_test(what_is_not_said_again_holds_when_refined),
        cmocka_unit_test(nearest_deadline_then_age),
        cmocka_unit_test(nobody_is_starved),
        cmocka_unit_test(waiting_time_is_told),
        cmocka_unit_test(forecasts_add_up),
        cmocka_unit_test(sharing_is_learned_by_the_crowd),
        cmocka_unit_test(levels_take_late_scales_first),
        cmocka_unit_test(depth_follows_the_load),
        cmocka_unit_test(layers_come_back),
        cmocka_unit_test(without_a_target_nothing_changes),
        cmocka_unit_test(pace_is_that_of_the_last_pictures),
        cmocka_unit_test(pages_of_others_may_not_ask),
        cmocka_unit_test(keys_are_asked_for),
        cmocka_unit_test(a_command_line_is_quoted),
        cmocka_unit_test(paths_lead_to_routes),
        cmocka_unit_test(the_document_has_the_routes),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}

/* test_engine.c - generation through the public header: equal to the reference at every depth,
 * equal for any number of
 * threads and any batch, KV bytes equal to the formulas, requests that make no sense refused. */
#include "tests/fixtures.h"

#include "planning/floor.h"
#include "io/file.h"
#include "io/image.h"
#include "supernet/schedule.h"

static char folder[64];
static char model_path[3]
                      [128]; /* A, B; A as a supernet trained for 4 and 2 layers after 2 scales */

static int write_models(void **state) {
    (void)state;
    const vt_supernet_info supernet = {
        .trained = true, .bridge = 2, .depth_count = 2, .depths = {4, 2}};
    make_folder(folder);
    for (int i = 0; i < 3; ++i)
        synthetic_file(model_path[i], sizeof model_path[i], folder, "ABA"[i],
                       i == 2 ? &supernet : NULL);
    return 0;
}

static int remove_models(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

static variant_engine *engine_of_type(char which, int threads, const char *weights,
                                      const char *kv) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.model = model_path[which - 'A'];
    options.threads = threads;
    options.weights = weights;
    options.kv = kv;
    assert_ok(variant_engine_open(&engine, &options, err));
    return engine;
}

static variant_engine *engine_of(char which, int threads) {
    return engine_of_type(which, threads, NULL, NULL);
}

/* ---- against the reference ---- */

typedef struct run {
    const char *name;
    int depth, bridge;
    const char *layers;
} run;

static void compare_run(variant_engine *engine, const vt_tensor_file *golden, const run *r) {
    char name[64];
    snprintf(name, sizeof name, "%s/tokens", r->name);
    const vt_tensor *tokens = vt_tensor_file_find(golden, NULL, name);
    snprintf(name, sizeof name, "%s/image", r->name);
    const vt_tensor *image = vt_tensor_file_find(golden, NULL, name);
    const vt_tensor *labels = vt_tensor_file_find(golden, NULL, "labels");
    assert_true(tokens && image && labels);
    for (int b = 0; b < (int)labels->shape[0]; ++b) {
        char class_name[16];
        snprintf(class_name, sizeof class_name, "%d", ((const int32_t *)labels->data)[b]);
        variant_request request;
        variant_request_init(&request);
        request.class_name = class_name;
        request.greedy = true;
        request.depth = r->depth;
        request.bridge = r->bridge;
        request.layers = r->layers;
        variant_picture *pictures = NULL;
        assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
        size_t length = (size_t)tokens->shape[1];
        assert_int_equal(pictures->token_count, length);
        assert_memory_equal(pictures->tokens, (const int32_t *)tokens->data + (size_t)b * length,
                            length * sizeof(int32_t));
        size_t plane = (size_t)(image->shape[2] * image->shape[3]);
        const float *want = (const float *)image->data + (size_t)b * 3 * plane;
        for (size_t c = 0; c < 3; ++c)
            for (size_t i = 0; i < plane; ++i)
                assert_true(abs((int)pictures->pixels[i * 3 + c] -
                                (int)(want[c * plane + i] * 255.0f + 0.5f)) <= 1);
        variant_pictures_free(&pictures, 1);
    }
}

static void equals_the_reference(void **state) {
    (void)state;
    static const run runs_a[] = {
        {"full", 0, -1, NULL},
        {"N2d3", 3, 2, NULL},
        {"N1d2", 2, 1, NULL},
        {"N0d2", 2, 0, NULL},
        {"list1", 0, -1, "0-5;0,1,3,5;0,2,5;0,5"},
        {"list2", 0, -1, "0,5;0-5;1,4;0-4"},
    };
    static const run runs_b[] = {{"full", 0, -1, NULL}, {"N1d3", 3, 1, NULL}};
    vt_tensor_file *golden = NULL;
    variant_engine *engine = engine_of('A', 2);
    assert_ok(vt_tensor_file_open(&golden, GOLDEN "A/generate.safetensors", err));
    for (size_t i = 0; i < sizeof runs_a / sizeof *runs_a; ++i)
        compare_run(engine, golden, &runs_a[i]);
    vt_tensor_file_close(&golden);
    variant_engine_close(&engine);
    engine = engine_of('B', 2);
    assert_ok(vt_tensor_file_open(&golden, GOLDEN "B/generate.safetensors", err));
    for (size_t i = 0; i < sizeof runs_b / sizeof *runs_b; ++i)
        compare_run(engine, golden, &runs_b[i]);
    vt_tensor_file_close(&golden);
    variant_engine_close(&engine);
}

/* ---- reproducibility ---- */

/* Writes 8 pictures as files named after the variation. */
static void write_eight(int threads, int batch, bool smooth, const char *weights,
                        const char *name) {
    variant_engine *engine = engine_of_type('A', threads, weights, weights);
    variant_request request;
    variant_request_init(&request);
    request.count = 8;
    request.batch = batch;
    request.seed = 12345678901234567890u;
    request.smooth = smooth;
    request.top_k = 40;
    request.top_p = 0.9f;
    variant_picture *pictures = NULL;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    for (int i = 0; i < 8; ++i) {
        char path[160];
        snprintf(path, sizeof path, "%s/%s_%d.png", folder, name, i);
        assert_ok(variant_picture_write_png(&pictures[i], path, err));
    }
    variant_pictures_free(&pictures, 8);
    variant_engine_close(&engine);
}

static bool same_file(const char *a, const char *b) {
    vt_mapping x, y;
    assert_ok(vt_mapping_open(&x, a, err));
    assert_ok(vt_mapping_open(&y, b, err));
    bool same = x.size == y.size && memcmp(x.data, y.data, x.size) == 0;
    vt_mapping_close(&x);
    vt_mapping_close(&y);
    return same;
}

static void same_bytes_for_any_threads_and_batch(void **state) {
    (void)state;
    static const char *const weights[] = {"f32", "f32", "bf16", "int8"};
    for (int i = 0; i < 4; ++i) {
        bool smooth = i == 1;
        write_eight(1, 8, smooth, weights[i], "one");
        write_eight(2, 8, smooth, weights[i], "two");
        write_eight(2, 1, smooth, weights[i], "single");
        write_eight(3, 3, smooth, weights[i], "ragged");
        static const char *const names[] = {"two", "single", "ragged"};
        for (int picture = 0; picture < 8; ++picture)
            for (int j = 0; j < 3; ++j) {
                char a[160], b[160];
                snprintf(a, sizeof a, "%s/one_%d.png", folder, picture);
                snprintf(b, sizeof b, "%s/%s_%d.png", folder, names[j], picture);
                if (!same_file(a, b))
                    fail_msg("%s: picture %d differs between one and %s", weights[i], picture,
                             names[j]);
            }
    }
    char a[160], b[160];
    snprintf(a, sizeof a, "%s/one_0.png", folder);
    snprintf(b, sizeof b, "%s/one_1.png", folder);
    assert_false(same_file(a, b)); /* or the comparison above says nothing */
}

/* A request that names no bridge runs what the engine says: for a model without supernet training, as
 * these are, six scales in ten. */
static void runs_the_bridge_it_names(void **state) {
    (void)state;
    variant_engine *engine = engine_of('A', 1);
    const variant_info info = *variant_engine_info(engine);
    assert_false(info.supernet);
    assert_int_equal(info.bridge, (6 * info.scales + 5) / 10);
    variant_request request;
    variant_request_init(&request);
    request.depth = 2;
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    variant_pictures_free(&pictures, 1);
    for (int k = 0; k < info.scales; ++k)
        assert_int_equal(report.scale_layers[k], k < info.bridge ? info.depth : 2);
    variant_engine_close(&engine);
}

/* ---- KV bytes ---- */

static void kv_case(variant_engine *engine, const char *layers, int depth, int bridge, bool retain,
                    int count, float cfg) {
    const variant_info info = *variant_engine_info(engine);
    variant_request request;
    variant_request_init(&request);
    request.count = count;
    request.layers = layers;
    request.depth = depth;
    request.bridge = bridge;
    request.retain_kv = retain;
    request.cfg_scale = cfg;
    vt_schedule schedule;
    vt_schedule_request words = {.layers = layers, .depth = depth, .bridge = bridge};
    assert_ok(vt_schedule_resolve(&schedule, info.scales, info.depth, &words, err));
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    variant_memory memory = {.size = sizeof memory};
    assert_ok(variant_request_memory(engine, &request, &memory, err));
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    variant_pictures_free(&pictures, count);
    assert_int_equal(report.kv_peak_bytes, memory.kv);
    assert_int_equal(report.arena_peak_bytes, memory.arena);
    int64_t row = strcmp(info.kv, "f32") == 0    ? 4 * info.width
                  : strcmp(info.kv, "bf16") == 0 ? 2 * info.width
                                                 : info.width + 4 * info.heads;
    int64_t unit = 2 * row * count * (cfg > 0 ? 2 : 1);
    for (int k = 0; k < info.scales; ++k)
        assert_int_equal(report.scale_kv_bytes[k],
                         unit * vt_schedule_kv_tokens(&schedule, info.sides, k, !retain));
    assert_int_equal(report.kv_peak_bytes,
                     unit * vt_schedule_kv_peak_tokens(&schedule, info.sides, !retain));
    if (layers || depth == 0) return;
    int64_t l = 0, l_n = 0; /* the two-zone formulas, written out */
    for (int k = 0; k < info.scales; ++k) {
        l += info.sides[k] * info.sides[k];
        if (k < bridge) l_n = l;
    }
    int64_t all = info.depth * l_n, few = depth * l;
    int64_t want = retain ? few + (info.depth - depth) * l_n : all > few ? all : few;
    assert_int_equal(report.kv_peak_bytes, unit * want);
}

/* The unconditional branch in layers of its own, and in the first scales alone. */
static void check_branches(const variant_engine *engine, int uncond_depth, const float *scales,
                           bool retain) {
    const variant_info info = *variant_engine_info(engine);
    variant_request request;
    variant_request_init(&request);
    request.count = request.batch = 3;
    request.depth = 4;
    request.bridge = 1;
    request.uncond_depth = uncond_depth;
    request.cfg_scales = scales;
    request.cfg_scale_count = info.scales;
    request.retain_kv = retain;
    vt_schedule cond, uncond;
    vt_schedule_request words = {.depth = 4, .bridge = 1};
    assert_ok(vt_schedule_resolve(&cond, info.scales, info.depth, &words, err));
    words.depth = uncond_depth;
    assert_ok(vt_schedule_resolve(&uncond, info.scales, info.depth, &words, err));
    int guided = info.scales;
    while (guided > 0 && scales[guided - 1] == 0.0f) --guided;
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    variant_memory memory = {.size = sizeof memory};
    assert_ok(variant_request_memory(engine, &request, &memory, err));
    assert_ok(variant_generate(engine, &request, &pictures, &report, err));
    variant_pictures_free(&pictures, request.count);
    const int64_t unit = 2 * (int64_t)info.width * 4 * request.count;
    int64_t most = 0;
    for (int k = 0; k < info.scales; ++k) {
        int64_t want =
            unit * vt_schedule_branches_kv_tokens(&cond, &uncond, guided, info.sides, k, !retain);
        assert_int_equal(report.scale_kv_bytes[k], want);
        most = want > most ? want : most;
    }
    assert_int_equal(report.kv_peak_bytes, most);
    assert_int_equal(memory.kv, most);
    assert_int_equal(report.arena_peak_bytes, memory.arena);
}

static void branches_hold_what_the_formula_says(void **state) {
    (void)state;
    static const float scales[][4] = {
        {0, 0.5f, 1, 1.5f}, {0, 0.5f, 1, 0}, {1, 0, 0, 0}, {0, 0, 0, 0}, {0, 0, 2, 0}};
    variant_engine *engine = engine_of('A', 2);
    for (size_t i = 0; i < sizeof scales / sizeof *scales; ++i)
        for (int uncond = 1; uncond <= 6; uncond += 2)
            for (int retain = 0; retain < 2; ++retain)
                check_branches(engine, uncond, scales[i], retain);
    variant_engine_close(&engine);
}

/* Guidance that a request leaves to the model: layers of both branches, and what was warned of. */
static void expect_default(const variant_engine *engine, variant_request *request,
                           const char *depths, const char *uncond, const char *warning) {
    variant_picture *pictures = NULL;
    variant_report report = {.size = sizeof report};
    assert_ok(variant_generate(engine, request, &pictures, &report, err));
    assert_string_equal(report.depths, depths);
    assert_string_equal(report.uncond_depths, uncond);
    if (!warning) assert_string_equal(report.warning, "");
    if (warning) assert_non_null(strstr(report.warning, warning));
    variant_pictures_free(&pictures, request->count);
}

static void a_supernet_guides_itself(void **state) {
    (void)state;
    variant_engine *plain = engine_of('A', 1), *net = engine_of('C', 1);
    const variant_info info = *variant_engine_info(net);
    variant_request request;
    variant_request_init(&request);
    expect_default(plain, &request, "6,6,6,6", "6,6,6,6", NULL);
    expect_default(net, &request, "6,6,6,6", "6,6,2,2", NULL);
    request.depth = 4;
    expect_default(net, &request, "6,6,4,4", "6,6,2,2", NULL);
    request.depth = 2; /* no weaker branch than itself */
    expect_default(net, &request, "6,6,2,2", "6,6,2,2", NULL);
    request.depth = 4, request.bridge = 1; /* few layers only from the trained bridge on */
    expect_default(net, &request, "6,4,4,4", "6,4,2,2", NULL);
    request.bridge = -1, request.uncond_depth = 0;
    expect_default(net, &request, "6,6,4,4", "6,6,4,4", NULL);
    request.uncond_depth = 6;
    expect_default(net, &request, "6,6,4,4", "6,6,6,6", "the stronger");
    request.uncond_depth = 3;
    expect_default(net, &request, "6,6,4,4", "6,6,3,3",
                   "not trained at depth 3 of the unconditional branch but at 6, 4, 2");
    request.uncond_depth = -1, request.uncond_depths = "6,2,2,2";
    expect_default(net, &request, "6,6,4,4", "6,2,2,2", "before the bridge of 2 scales");
    request.uncond_depths = NULL, request.cfg_scale = 0.0f;
    expect_default(net, &request, "6,6,4,4", "", NULL);
    assert_int_equal(info.uncond_depth, 2);
    assert_true(info.cfg_late == 1.0f);
    assert_int_equal(variant_engine_info(plain)->uncond_depth, 0);
    assert_true(variant_engine_info(plain)->cfg_late == 1.0f);
    variant_engine_close(&plain);
    variant_engine_close(&net);
}

/* Tokens of one picture (the caller's to free) and what its settings have as `name`, "" for nothing. */
static int32_t *tokens_of(const variant_engine *engine, const variant_request *request,
                          const char *name, char *setting, size_t size) {
    variant_picture *pictures = NULL;
    assert_ok(variant_generate(engine, request, &pictures, NULL, err));
    int32_t *tokens = pictures->tokens;
    pictures->tokens = NULL;
    cJSON *json = cJSON_Parse(pictures->settings);
    char *text = cJSON_PrintUnformatted(cJSON_GetObjectItem(json, name));
    snprintf(setting, size, "%s", text ? text : "");
    cJSON_free(text);
    cJSON_Delete(json);
    variant_pictures_free(&pictures, 1);
    return tokens;
}

/* The factor acts where the unconditional branch is the shallower one, and nowhere else. */
static void late_guidance_is_a_factor(void **state) {
    (void)state;
    static const float ramp[] = {0, 0.5f, 3, 4.5f};
    variant_engine *net = engine_of('C', 1);
    const variant_info info = *variant_engine_info(net);
    char setting[64];
    size_t bytes = 0;
    for (int k = 0; k < info.scales; ++k) bytes += (size_t)(info.sides[k] * info.sides[k]) * 4;
    variant_request request;
    variant_request_init(&request);
    request.seed = 3, request.cfg_late = 3.0f;
    int32_t *late = tokens_of(net, &request, "cfg_late", setting, sizeof setting);
    assert_string_equal(setting, "3");
    request.cfg_scales = ramp, request.cfg_scale_count = 4;
    int32_t *told = tokens_of(net, &request, "cfg_scales", setting, sizeof setting);
    assert_string_equal(setting, "[0,0.5,3,4.5]");
    assert_memory_equal(late, told, bytes);
    free(told);
    request.cfg_scales = NULL, request.cfg_scale_count = 0, request.cfg_late = 1.0f;
    told = tokens_of(net, &request, "cfg_late", setting, sizeof setting);
    assert_true(memcmp(late, told, bytes) != 0);
    free(told), free(late);
    request.uncond_depth = 0; /* both branches alike: no factor */
    told = tokens_of(net, &request, "cfg_late", setting, sizeof setting);
    assert_string_equal(setting, "");
    request.cfg_late = 50.0f;
    late = tokens_of(net, &request, "cfg_late", setting, sizeof setting);
    assert_memory_equal(late, told, bytes);
    free(told), free(late);
    request.uncond_depth = -1, request.cfg_late = 0.0f; /* a factor like any other */
    late = tokens_of(net, &request, "cfg_late", setting, sizeof setting);
    assert_string_equal(setting, "0");
    free(late);
    variant_engine_close(&net);
}

static void kv_bytes_equal_the_formulas(void **state) {
    (void)state;
    static const char *const kv[] = {"bf16", "int8"};
    for (int i = 0; i < 2; ++i) {
        variant_engine *rounded = engine_of_type('A', 2, "bf16", kv[i]);
        kv_case(rounded, NULL, 2, 2, false, 2, 1.5f);
        kv_case(rounded, NULL, 3, 1, true, 3, 0.0f);
        variant_engine_close(&rounded);
    }
    variant_engine *engine = engine_of('A', 2);
    for (int retain = 0; retain < 2; ++retain) {
        kv_case(engine, NULL, 0, 0, retain, 1, 1.5f);
        for (int bridge = 1; bridge < 4; ++bridge)
            for (int depth = 1; depth <= 6; ++depth)
                kv_case(engine, NULL, depth, bridge, retain, 1 + depth % 2,
                        depth % 3 ? 1.5f : 0.0f);
        kv_case(engine, "0-5;0,1,3,5;0,2,5;0,5", 0, -1, retain, 2, 1.5f);
        kv_case(engine, "0,5;0-5;1,4;0-4", 0, -1, retain, 3, 0.0f);
    }
    variant_engine_close(&engine);
}

/* ---- floors ---- */

static double floor_of(const vt_transformer_config *config, int bridge, int d,
                       vt_machine_limits limits) {
    vt_schedule schedule;
    vt_schedule_request words = {.depth = d, .bridge = bridge};
    double seconds = 0.0;
    assert_ok(vt_schedule_resolve(&schedule, config->scales, config->depth, &words, err));
    for (int k = 0; k < config->scales; ++k)
        seconds += vt_floor_scale(config, &schedule, k, 2, limits);
    return seconds;
}

/* VAR-d30: where arithmetic rules, fewer layers give the speed-ups that counting gives; where memory rules, every scale
 * costs the weights of its layers. */
static void floors_count_right(void **state) {
    (void)state;
    vt_transformer_config d30 = {.depth = 30,
                                 .width = 1920,
                                 .heads = 30,
                                 .hidden = 7680,
                                 .codes = 4096,
                                 .latent_dim = 32,
                                 .classes = 1000,
                                 .l2_norm = true,
                                 .scales = 10,
                                 .sides = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16}};
    static const struct {
        int bridge, depth;
        double speedup;
    } ideal[] = {{6, 16, 1.68}, {6, 8, 2.74},  {6, 4, 4.00},
                 {6, 2, 5.20},  {7, 16, 1.56}, {7, 2, 3.58}};
    const vt_machine_limits
        arithmetic = {.flops = 1e9, .attention_flops = 1e9, .decoder_flops = 1e9, .bytes = 1e30},
        memory = {.flops = 1e30, .attention_flops = 1e30, .decoder_flops = 1e30, .bytes = 1e9};
    double full = floor_of(&d30, 10, 30, arithmetic);
    for (size_t i = 0; i < sizeof ideal / sizeof *ideal; ++i)
        assert_float_equal(full / floor_of(&d30, ideal[i].bridge, ideal[i].depth, arithmetic),
                           ideal[i].speedup, 0.05 * ideal[i].speedup);
    double weights = 4.0 * (4.0 * 1920 * 1920 + 2.0 * 1920 * 7680), head = 4.0 * 4096 * 1920;
    double kept = floor_of(&d30, 6, 2, memory) * 1e9, want = (6 * 30 + 4 * 2) * weights + 10 * head;
    assert_true(kept > want && kept < 1.05 * want); /* keys and values on top */
    vt_tokenizer_config small = tokenizer_config('A');
    double one = vt_floor_decoder(&small, 1, arithmetic),
           four = vt_floor_decoder(&small, 4, arithmetic);
    assert_true(one > 0.0);
    assert_float_equal(four / one, 4.0, 1e-6);
}

/* ---- what a request can say ---- */

static variant_status generate_with(variant_engine *engine, variant_request request,
                                    variant_report *report, variant_error *err) {
    variant_picture *pictures = NULL;
    variant_status status = variant_generate(engine, &request, &pictures, report, err);
    if (status != VARIANT_OK) assert_null(pictures);
    variant_pictures_free(&pictures, request.count);
    return status;
}

static bool stop_at_second_scale(void *user, const variant_progress *at) {
    (void)user;
    return at->scale < 2;
}

static void refuses_what_makes_no_sense(void **state) {
    (void)state;
    variant_engine *engine = engine_of('A', 1);
    variant_request good, bad;
    variant_request_init(&good);
    variant_report report = {.size = sizeof report};
    assert_ok(generate_with(engine, good, &report, err));
    assert_string_equal(report.warning, "");
#define REFUSED(field, value, words)                                                               \
    bad = good;                                                                                    \
    bad.field = value;                                                                             \
    assert_fails(generate_with(engine, bad, NULL, err), VARIANT_E_ARGUMENT, words)
    REFUSED(class_name, "10", "expected 0 to 9");
    REFUSED(class_name, "cat", "no class \"cat\"");
    REFUSED(class_name, "-1", "expected 0 to 9");
    REFUSED(depth, 7, "7");
    REFUSED(depths, "6,6,6", "4");
    REFUSED(depths, "6,6,6,9", "9");
    REFUSED(layers, "0,9", "9");
    REFUSED(layers, "diagonal", "diagonal");
    REFUSED(count, 0, "count");
    REFUSED(top_p, 1.5f, "top p");
    REFUSED(cfg_scale, -1.0f, "cfg");
    bad = good;
    bad.greedy = bad.smooth = true;
    assert_fails(generate_with(engine, bad, NULL, err), VARIANT_E_ARGUMENT, "greedy");
    bad = good;
    bad.given_scales = 2; /* of no tokens */
    assert_fails(generate_with(engine, bad, NULL, err), VARIANT_E_ARGUMENT,
                 "2 scales given, but no tokens");
    bad = good;
    bad.first_image = INT32_MAX;
    assert_fails(generate_with(engine, bad, NULL, err), VARIANT_E_ARGUMENT, "first image");
    bad = good;
    bad.depth = 2;
    bad.bridge = 5;
    assert_fails(generate_with(engine, bad, NULL, err), VARIANT_E_ARGUMENT, "5");
    bad = good;
    bad.progress = stop_at_second_scale;
    assert_fails(generate_with(engine, bad, NULL, err), VARIANT_E_STOPPED, "stopped");
    bad = good;
    bad.depth = 2; /* not an error, but worth a word: this model was never trained as a supernet */
    bad.bridge = 2;
    assert_ok(generate_with(engine, bad, &report, err));
    assert_non_null(strstr(report.warning, "no supernet training"));
    variant_engine_close(&engine);
}

static void labels_come_one_after_another(void **state) {
    (void)state;
    variant_engine *engine = engine_of('A', 1);
    variant_request request;
    variant_request_init(&request);
    const int32_t list[3] = {4, 10, 2}, wrong[2] = {4, 11};
    const int expected[4] = {10, 2, 4, 10};
    variant_picture *pictures = NULL;
    request.count = 4;
    request.first_image = 1;
    request.labels = list;
    request.label_count = 3;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    for (int i = 0; i < 4; ++i) assert_int_equal(pictures[i].label, expected[i]);
    variant_pictures_free(&pictures, 4);
    request.labels = wrong;
    request.label_count = 2;
    assert_fails(generate_with(engine, request, NULL, err), VARIANT_E_ARGUMENT, "label 11");
    request.label_count = 0;
    assert_fails(generate_with(engine, request, NULL, err), VARIANT_E_ARGUMENT, "0 labels");
    request.labels = NULL;
    request.label_count = 2;
    assert_fails(generate_with(engine, request, NULL, err), VARIANT_E_ARGUMENT,
                 "label_count 2, but labels is NULL");
    request.label_count = 0;
    request.class_name = "4,uncond,2";
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    for (int i = 0; i < 4; ++i) assert_int_equal(pictures[i].label, expected[i]);
    variant_pictures_free(&pictures, 4);
    int32_t labels[3];
    int count = 0;
    assert_ok(variant_engine_labels(engine, "4,uncond,2", labels, 3, &count, err));
    assert_int_equal(count, 3);
    assert_memory_equal(labels, list, sizeof list);
    assert_fails(variant_engine_labels(engine, "1,2,3,4", labels, 3, &count, err),
                 VARIANT_E_ARGUMENT, "room for 3");
    assert_ok(variant_engine_labels(engine, "1,2,3,4", NULL, 0, &count, err));
    assert_int_equal(count, 4);
    variant_engine_close(&engine);
}

static void pictures_tell_how_they_were_made(void **state) {
    (void)state;
    variant_engine *engine = engine_of('A', 1);
    variant_request request;
    variant_request_init(&request);
    request.class_name = "uncond";
    request.seed = 77;
    request.depth = 3;
    request.bridge = 2;
    request.keep_scales = true;
    variant_picture *pictures = NULL;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    assert_int_equal(pictures->scale_count, 4);
    assert_memory_equal(pictures->pixels, pictures->scale_pixels[3], (size_t)(8 * 8 * 3));
    char path[128], *text = NULL;
    snprintf(path, sizeof path, "%s/told.png", folder);
    assert_ok(variant_picture_write_png(pictures, path, err));
    assert_ok(vt_image_read_text(&text, path, "variant", err));
    assert_string_equal(text, pictures->settings);
    cJSON *json = cJSON_Parse(text);
    assert_string_equal(cJSON_GetObjectItem(json, "seed")->valuestring, "77");
    assert_string_equal(cJSON_GetObjectItem(json, "depths")->valuestring, "6,6,3,3");
    assert_string_equal(cJSON_GetObjectItem(json, "layers")->valuestring, "0-5;0-5;0,2,5;0,2,5");
    assert_string_equal(cJSON_GetObjectItem(json, "class")->valuestring, "uncond");
    assert_int_equal(strlen(cJSON_GetObjectItem(json, "model")->valuestring), 16);
    cJSON_Delete(json);
    free(text);
    variant_pictures_free(&pictures, 1);
    variant_engine_close(&engine);
}

/* tests/cli_animation.sh looks at the frames. */
static void animations_are_of_pictures_that_kept_their_scales(void **state) {
    (void)state;
    variant_engine *engine = engine_of('A', 1);
    variant_animation how;
    variant_request request;
    variant_request_init(&request);
    request.count = 2;
    request.keep_scales = true;
    variant_picture *pictures = NULL;
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    char path[128], *text = NULL;
    snprintf(path, sizeof path, "%s/grows.png", folder);
    variant_animation_init(&how);
    assert_ok(variant_pictures_write_animation(pictures, 1, &how, path, err));
    assert_ok(vt_image_read_text(&text, path, "variant", err));
    assert_string_equal(text, pictures->settings);
    free(text);
    vt_image seen;
    assert_ok(
        vt_image_read(&seen, path, 0, err)); /* who reads one picture reads the finished one */
    assert_memory_equal(seen.data, pictures->pixels, (size_t)(8 * 8 * 3));
    vt_image_free(&seen);
    remove(path);
    assert_fails(variant_pictures_write_animation(pictures, 2, &how, path, err), VARIANT_E_ARGUMENT,
                 "columns");
    how.frame_seconds = 66.0;
    assert_fails(variant_pictures_write_animation(pictures, 1, &how, path, err), VARIANT_E_ARGUMENT,
                 "65535 ms");
    variant_animation_init(&how);
    how.columns = 2;
    const int kept = pictures[1].scale_count;
    pictures[1].scale_count = 0;
    assert_fails(variant_pictures_write_animation(pictures, 2, &how, path, err), VARIANT_E_ARGUMENT,
                 "picture 1 has 0");
    pictures[1].scale_count = kept;
    assert_int_equal(access(path, F_OK), -1);
    variant_pictures_free(&pictures, 2);
    variant_engine_close(&engine);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equals_the_reference),
        cmocka_unit_test(same_bytes_for_any_threads_and_batch),
        cmocka_unit_test(runs_the_bridge_it_names),
        cmocka_unit_test(kv_bytes_equal_the_formulas),
        cmocka_unit_test(branches_hold_what_the_formula_says),
        cmocka_unit_test(a_supernet_guides_itself),
        cmocka_unit_test(late_guidance_is_a_factor),
        cmocka_unit_test(floors_count_right),
        cmocka_unit_test(refuses_what_makes_no_sense),
        cmocka_unit_test(labels_come_one_after_another),
        cmocka_unit_test(pictures_tell_how_they_were_made),
        cmocka_unit_test(animations_are_of_pictures_that_kept_their_scales),
    };
    return cmocka_run_group_tests(tests, write_models, remove_models);
}

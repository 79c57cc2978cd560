/* test_sweep.c - a sweep's points, its state on disk, and the report: numbers, fronts, going on, refusals. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include <math.h>

#include "eval/report.h"
#include "eval/svg.h"
#include "eval/sweep.h"
#include "io/file.h"
#include "selftest/golden_config.h"

/* ---- text and numbers ---- */

static void check_number(double value, const char *expected) {
    char text[32];
    vt_text_number(text, sizeof text, value);
    assert_string_equal(text, expected);
}

static void check_bytes(double value, const char *expected) {
    char text[32];
    variant_text_bytes(text, sizeof text, value);
    assert_string_equal(text, expected);
}

static void numbers_for_people(void **unused) {
    (void)unused;
    check_number(0.0, "0");
    check_number(0.1234, "0.123");
    check_number(1.0, "1.00");
    check_number(9.994, "9.99");
    check_number(9.996, "10.0");
    check_number(12.345, "12.3");
    check_number(999.6, "1000");
    check_number(123456.0, "123456");
    check_number(-1.5, "-1.50");
    check_number(NAN, "-");
    check_bytes(0, "0 B");
    check_bytes(999, "999 B");
    check_bytes(1270000, "1.27 MB");
    check_bytes(999600, "1.00 MB");
    check_bytes(4.6e9, "4.60 GB");
}

static void text_is_escaped(void **unused) {
    (void)unused;
    vt_text text = {0};
    vt_text_add_escaped(&text, "a<b>&\"c'\x01");
    assert_string_equal(text.data, "a&lt;b&gt;&amp;&quot;c&#39;");
    vt_text_free(&text);
    vt_text_add_base64(&text, "M", 1);
    vt_text_add_base64(&text, "Ma", 2);
    vt_text_add_base64(&text, "Man", 3);
    vt_text_add_base64(&text, "", 0);
    vt_text_add_base64(&text, "\xff\xfe\xfd\xfc", 4);
    assert_string_equal(text.data, "TQ==TWE=TWFu//79/A==");
    vt_text_free(&text);
}

/* The ticks cover the range, are round, and there are about as many as wanted. */
static void check_ticks(double low, double high, const char *first, const char *last) {
    char label[32];
    vt_ticks ticks = vt_ticks_choose(low, high, 6);
    assert_in_range(ticks.count, 3, 12);
    vt_ticks_label(&ticks, 0, label, sizeof label);
    assert_string_equal(label, first);
    vt_ticks_label(&ticks, ticks.count - 1, label, sizeof label);
    assert_string_equal(label, last);
}

static void ticks_are_round(void **unused) {
    (void)unused;
    check_ticks(0.0, 100.0, "0", "100");
    check_ticks(3.0, 97.0, "0", "100");
    check_ticks(0.13, 0.58, "0.1", "0.6");
    check_ticks(-1.0, 1.0, "-1.0", "1.0");
    check_ticks(1234.0, 8765.0, "0", "10000");
    check_ticks(5.0, 5.0, "4.4", "5.6"); /* one value: room around it */
    check_ticks(0.0, 0.0, "-1.0", "1.0");
}

static void log_ticks_are_round(void **unused) {
    (void)unused;
    double at[24];
    assert_int_equal(vt_log_ticks_choose(0.29, 10.1, at, 24), 5);
    static const double decades[] = {0.5, 1, 2, 5, 10};
    for (int i = 0; i < 5; ++i) assert_float_equal(at[i], decades[i], 1e-9);
    assert_int_equal(vt_log_ticks_choose(0.5, 20000, at, 24), 5); /* 1 10 100 1000 10000 */
    assert_float_equal(at[4], 10000, 1e-6);
    /* a short stretch: as on a straight axis */
    const int count = vt_log_ticks_choose(0.301, 0.342, at, 24);
    assert_in_range(count, 3, 8);
    for (int i = 0; i < count; ++i) assert_true(at[i] >= 0.301 && at[i] <= 0.342);
    assert_int_equal(vt_log_ticks_choose(1e-9, 1e9, at, 4), 4); /* no more than there is room for */
}

static void front_of_known_points(void **unused) {
    (void)unused;
    const double x[] = {1, 2, 3, 2, 4, 1, 5}, y[] = {9, 5, 4, 6, 4, 9, 1};
    const bool expected[] = {true,  true, true, false,
                             false, true, true}; /* equals stand together */
    bool front[7];
    vt_pareto(x, y, 7, front);
    for (int i = 0; i < 7; ++i) assert_int_equal(front[i], expected[i]);
    vt_pareto(x, y, 1, front);
    assert_true(front[0]);
    vt_pareto(x, y, 0, front);
    /* within the spread of a cheaper one: near the front; far above it: not */
    const double cost[] = {1, 2, 3, 4}, score[] = {10, 10.5, 9, 14}, wide[] = {1, 1, 1, 1},
                 none[] = {0, 0, 0, 0};
    vt_near_pareto(cost, score, wide, 4, front);
    assert_true(front[0] && front[1] && front[2] && !front[3]);
    vt_near_pareto(cost, score, none, 4, front);
    assert_true(front[0] && !front[1] && front[2] && !front[3]);
}

static int count_words(const char *text, const char *word) {
    int count = 0;
    for (const char *at = text; (at = strstr(at, word)) != NULL; at += strlen(word)) ++count;
    return count;
}

/* Labels of dots that lie upon each other are left out rather than drawn upon each other. */
static void labels_do_not_cover(void **unused) {
    (void)unused;
    vt_dot dots[40];
    for (int i = 0; i < 40; ++i) {
        dots[i] = (vt_dot){.x = 5.0 + 1e-6 * i, .y = 5.0, .series = 0};
        snprintf(dots[i].label, sizeof dots[i].label, "a long label %d", i);
        snprintf(dots[i].title, sizeof dots[i].title, "<%d>", i);
    }
    vt_text svg = {0};
    vt_scatter scatter = {.x_title = "x", .y_title = "y", .name = "n", .dots = dots, .count = 40};
    vt_svg_scatter(&svg, &scatter);
    assert_false(svg.failed);
    assert_int_equal(count_words(svg.data, "<circle"), 40);
    assert_int_equal(count_words(svg.data, "&lt;"), 40);
    assert_in_range(count_words(svg.data, "a long label"), 1, 10);
    assert_null(strstr(svg.data, "nan"));
    vt_text_free(&svg);
    dots[1] = (vt_dot){.x = 9.0, .y = 9.0, .label = "far away"};
    scatter.count = 2;
    vt_svg_scatter(&svg, &scatter);
    assert_int_equal(count_words(svg.data, "class=\"dot"), 2);
    vt_text_free(&svg);
}

/* One bad point does not press the others together: equal ratios are equal heights. */
static void quality_is_drawn_by_ratio(void **unused) {
    (void)unused;
    vt_dot dots[] = {
        {.x = 1, .y = 0.3}, {.x = 2, .y = 0.6}, {.x = 3, .y = 9.6}, {.x = 4, .y = 19.2}};
    vt_scatter scatter = {
        .x_title = "x", .y_title = "y", .name = "n", .dots = dots, .count = 4, .y_log = true};
    for (int round = 0; round < 2; ++round) {
        vt_text svg = {0};
        double y[4];
        vt_svg_scatter(&svg, &scatter);
        const char *at = svg.data;
        for (int i = 0; i < 4; ++i) {
            at = strstr(at, "cy=\"");
            assert_non_null(at);
            y[i] = atof(at += 4);
        }
        if (round == 0) {
            assert_float_equal(y[0] - y[1], y[2] - y[3], 0.21);
            assert_true(y[0] - y[1] > 20);
        } else {
            assert_true(y[0] - y[1] < 10); /* one value at 0: no ratio, a straight axis */
        }
        assert_null(strstr(svg.data, "nan"));
        vt_text_free(&svg);
        dots[0].y = 0;
    }
}

/* A label stands by its own dot, or at the end of a line from it; lines and labels do not cross. */
static void labels_are_their_dots(void **unused) {
    (void)unused;
    vt_dot dots[12];
    for (int i = 0; i < 12; ++i) {
        dots[i] = (vt_dot){.x = 5.0 + 0.02 * i, .y = 5.0 + 0.01 * (i % 3), .spread = 0.02};
        snprintf(dots[i].label, sizeof dots[i].label, "label %d", i);
    }
    dots[0].x = 1, dots[0].y = 9;
    vt_text svg = {0};
    vt_scatter scatter = {.x_title = "x", .y_title = "y", .name = "n", .dots = dots, .count = 12};
    vt_svg_scatter(&svg, &scatter);
    assert_in_range(count_words(svg.data, "class=\"leader\""), 2, 11);
    assert_in_range(count_words(svg.data, "class=\"dot"), 6, 12);
    vt_text_free(&svg);
}

/* ---- sweeps ---- */

typedef struct context {
    variant_engine memory;
    const variant_engine *engine;
    char folder[64];
} context;

/* One for all tests: a small model on synthetic weights, 8 layers and 7 scales like the shipped one. */
static const char small_model[] = "{\"seed\": \"S\", \"depth\": 8, \"width\": 64, \"heads\": 2, "
                                  "\"V\": 32, \"Cvae\": 8, \"classes\": 10,"
                                  " \"patch_nums\": [1, 2, 3, 4, 5, 6, 8], \"attn_l2_norm\": true, "
                                  "\"shared_aln\": false, \"ch\": 32,"
                                  " \"ch_mult\": [1], \"nres\": 1}";

static variant_status build_engine(variant_engine *engine, variant_error *err) {
    vt_golden_config config = {0};
    variant_status status = VARIANT_OK;
    vt_model *model = calloc(1, sizeof *model);
    vt_kern *kern = NULL;
    if (!model) return vt_fail(err, VARIANT_E_MEMORY, "no memory");
    VT_CHECK(vt_kern_open(&kern, "cpu", 1, err));
    VT_CHECK(vt_golden_config_parse(&config, small_model, "test", err));
    VT_CHECK(vt_tokenizer_open(&model->tokenizer, kern, &config.tokenizer, err));
    VT_CHECK(vt_params_synthesize(vt_tokenizer_params(model->tokenizer), "S", "vae", err));
    VT_CHECK(vt_params_prepare(vt_tokenizer_params(model->tokenizer), err));
    VT_CHECK(vt_transformer_open(&model->transformer, kern, &config.transformer, err));
    VT_CHECK(vt_params_synthesize(vt_transformer_params(model->transformer), "S", "var", err));
    VT_CHECK(vt_transformer_prepare(model->transformer, err));
    *engine = vt_engine_around(kern, model, VT_NUMBER_F32, VT_NUMBER_F32);
cleanup:
    vt_golden_config_free(&config);
    return status;
}

static int open_engine(void **state) {
    static context c;
    variant_error err;
    c.engine = &c.memory;
    *state = &c;
    if (build_engine(&c.memory, &err) == VARIANT_OK) return 0;
    print_error("%s\n", err.message);
    return -1;
}

static int close_engine(void **state) {
    context *c = *state;
    vt_model_close(&c->memory.model);
    vt_kern_close(&c->memory.kern);
    return 0;
}

static void clean(const char *folder) {
    char command[160];
    snprintf(command, sizeof command, "rm -rf '%s'", folder);
    assert_int_equal(system(command), 0);
}

static vt_sweep_options small_sweep(context *c) {
    vt_sweep_options o = {.engine = c->engine,
                          .folder = c->folder,
                          .subject = "models/<fashion>",
                          .command = "variant sweep",
                          .depth_count = 2,
                          .depths = {8, 2},
                          .bridge_count = 2,
                          .bridges = {2, 4},
                          .selector_count = 1,
                          .selectors = {"equidistant"},
                          .cfg_count = 1,
                          .cfg_scales = {1.5},
                          .zone_depth = 2,
                          .repeat = 1};
    variant_request_init(&o.request);
    o.request.batch = 2;
    strcpy(c->folder, "/tmp/variant_sweep_XXXXXX");
    assert_non_null(mkdtemp(c->folder));
    return o;
}

static void plan_of_a_grid(void **state) {
    context *c = *state;
    vt_sweep_options o = small_sweep(c);
    vt_sweep_task *tasks;
    variant_error err;
    int count;
    clean(c->folder);
    o.selector_count = 2;
    o.selectors[1] = "prefix";
    o.cfg_count = 2;
    o.cfg_scales[1] = 0.0;
    o.zone_count = 2;
    o.zones[0] = (vt_sweep_zone){1, 2};
    o.zones[1] = (vt_sweep_zone){5, 7};
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_OK);
    /* a guidance: the full depth once, depth 2 x 2 bridges x 2 selectors, 2 zones */
    assert_int_equal(count, 2 * (1 + 4 + 2));
    assert_string_equal(tasks[0].depths, "8,8,8,8,8,8,8");
    assert_string_equal(tasks[1].id, "d2-n2-equidistant-cfg1.5");
    assert_string_equal(tasks[1].depths, "8,8,2,2,2,2,2");
    assert_string_equal(tasks[11].id, "zone5-7-d2-equidistant-cfg1.5");
    assert_string_equal(tasks[11].depths, "8,8,8,8,2,2,2");
    for (int i = 0; i < count; ++i)
        for (int j = 0; j < i; ++j) assert_string_not_equal(tasks[i].id, tasks[j].id);
    free(tasks);
    /* the unconditional branch: 0 as the conditional, no more than it, none without guidance */
    o.selector_count = 1;
    o.zone_count = 1;
    o.uncond_count = 3;
    o.uncond_depths[0] = 0;
    o.uncond_depths[1] = 4;
    o.uncond_depths[2] = 1;
    o.late_count = 1;
    o.cfg_lates[0] = 1;
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_OK);
    assert_int_equal(count, (3 + 2 * 2 + 1) + (1 + 2 + 1));
    static const char *const ids[] = {"full-cfg1.5",
                                      "d2-n2-equidistant-cfg1.5",
                                      "d2-n4-equidistant-cfg1.5",
                                      "full-cfg1.5-u4",
                                      "full-cfg1.5-u1",
                                      "d2-n2-equidistant-cfg1.5-u1",
                                      "d2-n4-equidistant-cfg1.5-u1",
                                      "full-cfg0",
                                      "d2-n2-equidistant-cfg0",
                                      "d2-n4-equidistant-cfg0",
                                      "zone1-2-d2-equidistant-cfg1.5",
                                      "zone1-2-d2-equidistant-cfg0"};
    for (int i = 0; i < count; ++i) assert_string_equal(tasks[i].id, ids[i]);
    assert_string_equal(tasks[1].uncond_depths, "8,8,2,2,2,2,2");
    assert_string_equal(tasks[4].depths, "8,8,8,8,8,8,8");
    assert_string_equal(tasks[4].uncond_depths, "8,8,8,8,1,1,1");
    assert_string_equal(tasks[5].uncond_depths, "8,8,1,1,1,1,1");
    assert_string_equal(tasks[8].uncond_depths, "");
    const variant_request request = vt_sweep_request(&o, &tasks[5]);
    assert_string_equal(request.uncond_depths, "8,8,1,1,1,1,1");
    assert_string_equal(request.depths, "8,8,2,2,2,2,2");
    free(tasks);
    /* how it guides, where it is shallower; alone it changes nothing */
    o.uncond_depths[1] = 2;
    o.uncond_count = 2;
    o.late_count = 2;
    o.cfg_lates[1] = 2.5;
    o.zone_count = 0;
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_OK);
    assert_int_equal(count, (3 + 2) + 3);
    assert_string_equal(tasks[3].id, "full-cfg1.5-u2");
    assert_string_equal(tasks[4].id, "full-cfg1.5-u2-late2.5");
    assert_float_equal(vt_sweep_request(&o, &tasks[4]).cfg_late, 2.5, 0);
    assert_float_equal(tasks[4].cfg_late, 2.5, 0);
    assert_true(isnan(tasks[1].cfg_late));
    free(tasks);
    o.late_count = 0;
    o.uncond_depths[1] = 9;
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_E_ARGUMENT);
    assert_non_null(
        strstr(err.message,
               "uncond_depths: depth 9: expected -1 (as the model has it), 0 (as depth) to 8"));
    o.uncond_count = 0;
    o.zone_count = 2;
    o.depths[1] = 9;
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "depth 9: expected 1 to 8"));
    o.depths[1] = 2;
    o.bridges[1] = 7;
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "expected 0 to 6"));
    o.bridges[1] = 4;
    o.zones[1].last = 8;
    assert_int_equal(vt_sweep_plan(&tasks, &count, &o, &err), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "zone 5-8"));
}

/* Judges by counting: what it is given is what it says. */
typedef struct counting {
    int pictures, begun, stop_after;
} counting;

static variant_status count_begin(void *user, variant_error *err) {
    counting *c = user;
    (void)err;
    c->pictures = 0;
    ++c->begun;
    return VARIANT_OK;
}

static variant_status count_add(void *user, const variant_picture *pictures, int count,
                                variant_error *err) {
    counting *c = user;
    (void)err;
    for (int i = 0; i < count; ++i) /* classes alike, one after another */
        assert_int_equal(pictures[i].label, (c->pictures + i) % 10);
    c->pictures += count;
    return VARIANT_OK;
}

static variant_status count_finish(void *user, cJSON **quality, variant_error *err) {
    counting *c = user;
    (void)err;
    *quality = cJSON_CreateObject();
    cJSON_AddNumberToObject(*quality, "frechet", 10.0 * c->begun);
    cJSON_AddStringToObject(*quality, "name", "FID(<counting>)");
    cJSON_AddNumberToObject(*quality, "samples", c->pictures);
    cJSON_AddNumberToObject(*quality, "precision", 0.25);
    if (c->begun > 1) { /* the first point is of a version that did not measure it */
        cJSON_AddNumberToObject(*quality, "kid", 0.5 * c->begun);
        cJSON_AddNumberToObject(*quality, "kid_spread", 0.125);
    }
    cJSON_AddNumberToObject(*quality, "class_share", 0.875);
    cJSON_AddStringToObject(*quality, "warning", "too <few>");
    return VARIANT_OK;
}

static bool stop_later(void *user, const vt_sweep_progress *at) {
    const counting *c = user;
    return at->point < c->stop_after;
}

static char *read_report(const char *folder) {
    char path[128], *text;
    snprintf(path, sizeof path, "%s/report.html", folder);
    assert_int_equal(vt_file_read_text(&text, path, 1 << 24, NULL), VARIANT_OK);
    return text;
}

/* Last in a row, empty where a point has none, under names that older files lack. */
static void check_kid_in_table(const char *folder) {
    char path[128], *csv;
    snprintf(path, sizeof path, "%s/sweep.csv", folder);
    assert_int_equal(vt_file_read_text(&csv, path, 1 << 20, NULL), VARIANT_OK);
    assert_int_equal(count_words(csv, ",class_share_spread,kid,kid_spread\n"), 1);
    assert_int_equal(count_words(csv, ",,\n"), 1);
    for (int i = 2; i <= 4; ++i) {
        char row[32];
        snprintf(row, sizeof row, ",,%g,0.125\n", 0.5 * i);
        assert_int_equal(count_words(csv, row), 1);
    }
    free(csv);
}

static void sweep_with_quality(void **state) {
    context *c = *state;
    variant_error err;
    cJSON *found;
    counting user = {0};
    vt_sweep_judge judge = {.user = &user,
                            .begin = count_begin,
                            .add = count_add,
                            .finish = count_finish,
                            .samples = 70};
    vt_sweep_options o = small_sweep(c);
    o.judge = &judge;
    o.pictures = 2;
    o.zone_count = 1;
    o.zones[0] = (vt_sweep_zone){1, 2};
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_OK);
    assert_int_equal(vt_sweep_state_read(&found, c->folder, &err), VARIANT_OK);
    const cJSON *points = cJSON_GetObjectItem(found, "points"),
                *zones = cJSON_GetObjectItem(found, "zones");
    assert_int_equal(cJSON_GetArraySize(points), 3);
    assert_int_equal(cJSON_GetArraySize(zones), 1);
    for (int i = 0; i < 3; ++i) {
        const cJSON *point = cJSON_GetArrayItem(points, i);
        const cJSON *quality = cJSON_GetObjectItem(point, "quality");
        assert_int_equal(cJSON_GetObjectItem(quality, "samples")->valueint, 70);
        assert_true(cJSON_GetObjectItem(quality, "frechet")->valuedouble == 10.0 * (i + 1));
        assert_true(cJSON_GetObjectItem(point, "picture_ms")->valuedouble > 0.0);
        assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(point, "scale_ms")), 7);
        /* memory as the planner's formula has it, to the byte */
        variant_request request = o.request;
        variant_memory memory = {.size = sizeof memory};
        request.count = request.batch;
        request.depths = cJSON_GetObjectItem(point, "depths")->valuestring;
        assert_int_equal(variant_request_memory(c->engine, &request, &memory, &err), VARIANT_OK);
        assert_true(cJSON_GetObjectItem(point, "kv_peak_bytes")->valuedouble == (double)memory.kv);
        assert_true(cJSON_GetObjectItem(point, "memory_bytes")->valuedouble ==
                    (double)(memory.weights + memory.mapped + memory.arena + memory.kv));
    }
    cJSON_Delete(found);
    char *html = read_report(c->folder);
    assert_non_null(strstr(html, "Quality against time"));
    assert_non_null(strstr(html, "FID(&lt;counting&gt;)"));
    assert_null(strstr(html, "<counting>"));
    assert_null(strstr(html, "<fashion>"));
    assert_null(strstr(html, "Quality was not measured"));
    assert_int_equal(count_words(html, "too &lt;few&gt;"), 1);
    assert_int_equal(
        count_words(html,
                    "<th>KID(&lt;counting&gt;)</th><th>precision</th><th>in their class, %</th>"),
        1);
    assert_int_equal(count_words(html, "<td>-</td><td>0.250</td><td>87.5</td>"), 1);
    assert_int_equal(count_words(html, "<td>1.00 \xc2\xb1 0.12</td><td>0.250</td>"), 1);
    assert_true(count_words(html, ", KID(&lt;counting&gt;) 1.50 \xc2\xb1 0.12") >= 1);
    check_kid_in_table(c->folder);
    assert_int_equal(count_words(html, "<td>0.250</td><td>87.5</td><td>70</td>"), 4);
    assert_null(strstr(html, "<th>recall</th>")); /* nobody said anything of it */
    assert_int_equal(count_words(html, "data:image/png;base64,iVBOR"),
                     3); /* full, depth 2, the zone */
    free(html);
    clean(c->folder);
}

static void sweep_goes_on(void **state) {
    context *c = *state;
    variant_error err;
    cJSON *found;
    counting user = {.stop_after = 2};
    vt_sweep_options o = small_sweep(c);
    o.progress = stop_later;
    o.user = &user;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_E_STOPPED);
    assert_non_null(strstr(err.message, "stopped after 2 of 3 points"));
    assert_int_equal(vt_sweep_state_read(&found, c->folder, &err), VARIANT_OK);
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(found, "points")), 2);
    double before = cJSON_GetObjectItem(cJSON_GetArrayItem(cJSON_GetObjectItem(found, "points"), 0),
                                        "picture_ms")
                        ->valuedouble;
    cJSON_Delete(found);
    char *html = read_report(c->folder); /* of what there is; without quality, and saying so */
    assert_non_null(strstr(html, "Quality was not measured"));
    assert_null(strstr(html, "Quality against"));
    free(html);
    /* another batch is another sweep; nothing is touched */
    o.request.batch = 1;
    user.stop_after = 100;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_E_MISMATCH);
    assert_non_null(strstr(err.message, "another batch (settings): 2 there, 1 asked"));
    o.request.batch = 2;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_OK);
    assert_int_equal(vt_sweep_state_read(&found, c->folder, &err), VARIANT_OK);
    const cJSON *points = cJSON_GetObjectItem(found, "points");
    assert_int_equal(cJSON_GetArraySize(points), 3);
    assert_true(cJSON_GetObjectItem(cJSON_GetArrayItem(points, 0), "picture_ms")->valuedouble ==
                before);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(points, 0), "quality")));
    cJSON_Delete(found);
    clean(c->folder);
}

/* What was at work, each visit of a point once: "1 full, 1 d2-n2, ..." */
typedef struct diary {
    char visits[2048];
    int stop_round, stop_point;
    double share;
    bool backwards;
} diary;

static bool write_diary(void *user, const vt_sweep_progress *at) {
    diary *d = user;
    char visit[128];
    d->backwards = d->backwards || at->share < d->share - 1e-9 || at->share > 1.0 + 1e-9;
    d->share = at->share;
    if (at->id[0]) {
        snprintf(visit, sizeof visit, "%d %s, ", at->round, at->id);
        size_t length = strlen(d->visits), last = strlen(visit);
        if (length < last || strcmp(d->visits + length - last, visit) != 0)
            snprintf(d->visits + length, sizeof d->visits - length, "%s", visit);
    }
    return !(at->round == d->stop_round && at->point == d->stop_point);
}

static const cJSON *runs_of(const cJSON *state, int i) {
    const cJSON *point = cJSON_GetArrayItem(cJSON_GetObjectItem(state, "points"), i);
    return cJSON_GetObjectItem(cJSON_GetObjectItem(point, "runs"), "picture_ms");
}

static const cJSON *point_of(const cJSON *state, int i) {
    return cJSON_GetArrayItem(cJSON_GetObjectItem(state, "points"), i);
}

/* Times that were disturbed are kept as such, shown as such everywhere, and give way to quiet ones. */
static void disturbed_runs_are_marked(void **state) {
    context *c = *state;
    variant_error err;
    cJSON *found;
    char path[4096], *text = NULL;
    vt_sweep_options o = small_sweep(c);
    setenv("VARIANT_WATCH", "always", 1);
    o.repeat = 2;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_OK);
    assert_int_equal(vt_sweep_state_read(&found, c->folder, &err), VARIANT_OK);
    for (int i = 0; i < 3; ++i) {
        const cJSON *point = point_of(found, i);
        const cJSON *why = cJSON_GetObjectItem(cJSON_GetObjectItem(point, "runs"), "disturbed");
        assert_true(cJSON_IsTrue(cJSON_GetObjectItem(point, "disturbed")));
        assert_int_equal(cJSON_GetObjectItem(point, "disturbed_runs")->valueint, 2);
        assert_int_equal(cJSON_GetArraySize(why), 2);
        assert_string_equal(cJSON_GetArrayItem(why, 1)->valuestring, "VARIANT_WATCH=always");
    }
    cJSON_Delete(found);
    snprintf(path, sizeof path, "%s/report.html", c->folder);
    assert_int_equal(vt_file_read_text(&text, path, (size_t)1 << 26, &err), VARIANT_OK);
    assert_non_null(strstr(text, "Disturbed: the times of 3 of 3 points"));
    assert_non_null(strstr(text, "disturbed: 2 of 2 runs"));
    free(text);
    setenv("VARIANT_WATCH", "off", 1); /* three quiet runs more */
    o.repeat = 5;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_OK);
    assert_int_equal(vt_sweep_state_read(&found, c->folder, &err), VARIANT_OK);
    for (int i = 0; i < 3; ++i) {
        const cJSON *point = point_of(found, i);
        assert_true(cJSON_IsFalse(cJSON_GetObjectItem(point, "disturbed")));
        assert_int_equal(cJSON_GetObjectItem(point, "disturbed_runs")->valueint, 2);
        double a[3], ms = cJSON_GetObjectItem(point, "picture_ms")->valuedouble;
        for (int j = 0; j < 3; ++j)
            a[j] = cJSON_GetArrayItem(runs_of(found, i), 2 + j)->valuedouble;
        assert_true(ms == fmax(fmin(a[0], a[1]), fmin(fmax(a[0], a[1]), a[2])));
    }
    cJSON_Delete(found);
    clean(c->folder);
}

/* Made-up times: fewer layers slower than more. Other guidance is another matter. */
static void contradictions_are_marked(void **unused) {
    (void)unused;
    static const char made_up[] =
        "{\"model\": {\"sides\": [1, 2, 4]}, \"points\": ["
        "{\"id\": \"full\", \"cfg_scale\": 1.5, \"picture_ms\": 9, \"transformer_ms\": 7, "
        "\"scale_layers\": [4, 4, 4]},"
        "{\"id\": \"half\", \"cfg_scale\": 1.5, \"picture_ms\": 9.5, \"transformer_ms\": 5, "
        "\"scale_layers\": [4, 2, 2]},"
        "{\"id\": \"one\", \"cfg_scale\": 1.5, \"picture_ms\": 6, \"transformer_ms\": 5.5, "
        "\"scale_layers\": [4, 1, 1]},"
        "{\"id\": \"plain\", \"cfg_scale\": 0, \"picture_ms\": 4, \"transformer_ms\": 3, "
        "\"scale_layers\": [4, 4, 4]}],"
        " \"zones\": [{\"id\": \"zone\", \"cfg_scale\": 1.5, \"picture_ms\": 8, "
        "\"transformer_ms\": 6,"
        " \"scale_layers\": [1, 4, 4], \"contradicts\": \"of an earlier run\"}]}";
    static const char *const expected[] = {
        "", "disturbed: slower than zone, which runs more layers",
        "disturbed: slower than half, which runs more layers", ""};
    char doubt[200];
    cJSON *state = cJSON_Parse(made_up);
    assert_non_null(state);
    vt_sweep_state_check_order(state);
    for (int i = 0; i < 4; ++i) {
        vt_sweep_doubt(point_of(state, i), doubt, sizeof doubt);
        assert_string_equal(doubt, expected[i]);
    }
    vt_sweep_doubt(cJSON_GetArrayItem(cJSON_GetObjectItem(state, "zones"), 0), doubt, sizeof doubt);
    assert_string_equal(doubt, "");
    vt_sweep_doubt(point_of(state, 1), doubt, 12); /* room for less */
    assert_string_equal(doubt, "disturbed: ");
    cJSON_Delete(state);
}

/* Seeds: each judged as a seed alone is, means over them; a folder of other seeds is refused. */
static void sweep_with_seeds(void **state) {
    context *c = *state;
    vt_sweep_options o = small_sweep(c);
    counting counts = {0};
    const vt_sweep_judge judge = {&counts, count_begin, count_add, count_finish, 4, NULL};
    variant_error err;
    cJSON *json;
    o.judge = &judge;
    o.depth_count = 1;
    o.uncond_count = 2;
    o.uncond_depths[1] = 2;
    o.seed_count = 2;
    o.seeds[0] = 7, o.seeds[1] = 9;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_OK);
    assert_int_equal(counts.begun, 4); /* two points of two seeds */
    assert_int_equal(vt_sweep_state_read(&json, c->folder, &err), VARIANT_OK);
    vt_sweep_file file;
    vt_sweep_point point;
    vt_sweep_file_view(&file, json);
    assert_string_equal(file.settings.seeds, "7,9");
    vt_sweep_point_view(&point, point_of(json, 0), 8);
    assert_float_equal(point.quality.frechet, 15.0, 1e-9); /* 10 and 20 */
    assert_int_equal(cJSON_GetArraySize(point.quality.seeds), 2);
    assert_string_equal(point.uncond_depths, "8,8,8,8,8,8,8");
    vt_sweep_point_view(&point, point_of(json, 1), 8);
    assert_string_equal(point.id, "full-cfg1.5-u2");
    assert_int_equal(point.uncond_depth, 2);
    assert_string_equal(point.uncond_depths, "8,8,8,8,2,2,2");
    cJSON_Delete(json);
    char *report = read_report(c->folder);
    assert_non_null(strstr(report, "means of seeds 7,9"));
    assert_non_null(strstr(report, "<h2>Guidance</h2>"));
    assert_non_null(strstr(report, "all 8 layers, unconditional 2"));
    free(report);
    o.seed_count = 0;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_E_MISMATCH);
    assert_non_null(strstr(err.message, "judged with other seeds: 7,9 there, 0 asked"));
    clean(c->folder);
}

/* One run of every point before the next of any; stopped in the second round it goes on there. */
static void points_are_timed_in_rounds(void **state) {
    context *c = *state;
    variant_error err;
    cJSON *before, *after;
    diary user = {.stop_round = 2, .stop_point = 1};
    vt_sweep_options o = small_sweep(c);
    o.repeat = 3;
    o.progress = write_diary;
    o.user = &user;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_E_STOPPED);
    assert_non_null(strstr(err.message, "stopped after 1 of 3 points in round 2 of 3"));
    assert_int_equal(vt_sweep_state_read(&before, c->folder, &err), VARIANT_OK);
    for (int i = 0; i < 3; ++i)
        assert_int_equal(cJSON_GetArraySize(runs_of(before, i)), i == 0 ? 2 : 1);
    user.stop_round = 0;
    assert_int_equal(vt_sweep_run(&o, &err), VARIANT_OK);
    assert_string_equal(user.visits,
                        "1 full-cfg1.5, 1 d2-n2-equidistant-cfg1.5, 1 d2-n4-equidistant-cfg1.5, "
                        "2 full-cfg1.5, 2 d2-n2-equidistant-cfg1.5, 2 d2-n4-equidistant-cfg1.5, "
                        "3 full-cfg1.5, 3 d2-n2-equidistant-cfg1.5, 3 d2-n4-equidistant-cfg1.5, ");
    assert_false(user.backwards);
    assert_true(fabs(user.share - 1.0) < 1e-9);
    assert_int_equal(vt_sweep_state_read(&after, c->folder, &err), VARIANT_OK);
    for (int i = 0; i < 3; ++i) {
        const cJSON *runs = runs_of(after, i);
        double a = cJSON_GetArrayItem(runs, 0)->valuedouble,
               b = cJSON_GetArrayItem(runs, 1)->valuedouble,
               d = cJSON_GetArrayItem(runs, 2)->valuedouble;
        const cJSON *point = cJSON_GetArrayItem(cJSON_GetObjectItem(after, "points"), i);
        assert_int_equal(cJSON_GetArraySize(runs), 3);
        assert_true(a == cJSON_GetArrayItem(runs_of(before, i), 0)->valuedouble);
        assert_true(cJSON_GetObjectItem(point, "picture_ms")->valuedouble ==
                    fmax(fmin(a, b), fmin(fmax(a, b), d)));
        assert_true(cJSON_GetObjectItem(point, "picture_ms_min")->valuedouble ==
                    fmin(a, fmin(b, d)));
        assert_true(cJSON_GetObjectItem(point, "picture_ms_max")->valuedouble ==
                    fmax(a, fmax(b, d)));
    }
    cJSON_Delete(before);
    cJSON_Delete(after);
    clean(c->folder);
}

/* ---- files that are not what they should be ---- */

static void refuse(const char *folder, const char *text, const char *words) {
    char path[128];
    variant_error err;
    snprintf(path, sizeof path, "%s/sweep.json", folder);
    assert_int_equal(vt_file_write(path, text, strlen(text), &err), VARIANT_OK);
    assert_int_equal(vt_report_write(folder, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, words));
}

static void damaged_results(void **unused) {
    (void)unused;
    char folder[] = "/tmp/variant_sweep_XXXXXX";
    variant_error err;
    assert_non_null(mkdtemp(folder));
    assert_int_equal(vt_report_write(folder, &err), VARIANT_E_IO);
    refuse(folder, "", "not the results of a sweep");
    refuse(folder, "{\"points\": [", "not the results of a sweep");
    refuse(folder, "[1]", "not the results of a sweep");
    refuse(folder, "{\"model\":{},\"machine\":{},\"settings\":{},\"points\":[],\"zones\":3}",
           "not the results");
    refuse(folder,
           "{\"model\":{\"depth\":8},\"machine\":{},\"settings\":{},\"points\":[{\"id\":\"x\","
           "\"depth\":"
           "\"four\"}],\"zones\":[]}",
           "point 1 (x) lacks");
    refuse(folder, "{\"model\":{},\"machine\":{},\"settings\":{},\"points\":[7],\"zones\":[]}",
           "point 1");
    /* strange numbers and a picture outside the folder do no harm */
    const char *odd =
        "{\"model\":{\"depth\":1e300,\"sides\":\"no\",\"name\":\"</title>\"},\"machine\":{},"
        "\"settings\":{\"batch\":-5},\"points\":[{\"id\":\"x\",\"depth\":3,\"bridge\":99,"
        "\"cfg_scale\":0,\"picture_ms\":0,\"transformer_ms\":0,\"kv_peak_bytes\":0,"
        "\"memory_bytes\":0,\"pictures\":\"../../etc/passwd\"}],\"zones\":[]}";
    char path[128];
    snprintf(path, sizeof path, "%s/sweep.json", folder);
    assert_int_equal(vt_file_write(path, odd, strlen(odd), &err), VARIANT_OK);
    assert_int_equal(vt_report_write(folder, &err), VARIANT_OK);
    char *html = read_report(folder);
    assert_null(strstr(html, "base64"));
    assert_int_equal(count_words(html, "</title>"), 2 + count_words(html, "<circle") - 1);
    free(html);
    clean(folder);
}

int main(void) {
    setenv("VARIANT_WATCH", "off", 1); /* medians must not depend on the tests beside this one */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers_for_people),
        cmocka_unit_test(text_is_escaped),
        cmocka_unit_test(ticks_are_round),
        cmocka_unit_test(front_of_known_points),
        cmocka_unit_test(log_ticks_are_round),
        cmocka_unit_test(quality_is_drawn_by_ratio),
        cmocka_unit_test(labels_are_their_dots),
        cmocka_unit_test(labels_do_not_cover),
        cmocka_unit_test(plan_of_a_grid),
        cmocka_unit_test(sweep_with_quality),
        cmocka_unit_test(sweep_with_seeds),
        cmocka_unit_test(sweep_goes_on),
        cmocka_unit_test(points_are_timed_in_rounds),
        cmocka_unit_test(disturbed_runs_are_marked),
        cmocka_unit_test(contradictions_are_marked),
        cmocka_unit_test(damaged_results),
    };
    return cmocka_run_group_tests(tests, open_engine, close_engine);
}

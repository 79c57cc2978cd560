/* test_sweep_file.c - sweep.json by its fields: what is read and put again is the same file, what is not there reads as
 * nothing, and nothing is written of it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "planning/sweep_file.h"

static variant_error err;

static void assert_put(variant_status status) {
    if (status != VARIANT_OK) fail_msg("%s", err.message);
}

static void assert_same_json(const cJSON *a, const cJSON *b) {
    if (cJSON_Compare(a, b, true)) return;
    char *before = cJSON_PrintUnformatted(a), *after = cJSON_PrintUnformatted(b);
    fail_msg("%.3000s\nbecame\n%.3000s", before, after);
}

static void put_points(cJSON *list, int depth) {
    cJSON *json;
    cJSON_ArrayForEach(json, list) {
        vt_sweep_point point;
        vt_sweep_point_view(&point, json, depth);
        assert_true(point.id[0] && point.times.picture_ms > 0.0 && point.depth > 0);
        assert_true(point.zone[0] ? point.bridge < 0 : point.bridge >= 0);
        assert_put(vt_sweep_point_put(json, &point, &err));
    }
}

/* Flags are always written: those of a version before the flag say false. */
static void add_flags(cJSON *list) {
    cJSON *json;
    cJSON_ArrayForEach(json, list) if (!cJSON_GetObjectItem(json, "disturbed"))
        cJSON_AddFalseToObject(json, "disturbed");
}

/* The sweeps of this repository, one of them with quality. */
static void test_published(void **state) {
    (void)state;
    static const char *const files[] = {VARIANT_SOURCE_DIR "/docs/sweep/fashion/sweep.json",
                                        VARIANT_SOURCE_DIR "/docs/sweep/var-d30/sweep.json"};
    for (int i = 0; i < 2; ++i) {
        cJSON *json = NULL;
        vt_sweep_file file;
        assert_put(vt_sweep_file_read(&json, files[i], &err));
        cJSON *before = cJSON_Duplicate(json, true);
        add_flags(cJSON_GetObjectItem(before, "points"));
        add_flags(cJSON_GetObjectItem(before, "zones"));
        vt_sweep_file_view(&file, json);
        assert_true(file.model.depth > 1 && file.model.sides.count > 1 && file.machine.threads > 0);
        assert_int_equal(file.settings.samples > 0, file.settings.quality.network[0] != '\0');
        assert_put(vt_sweep_file_put(json, &file, &err));
        put_points(cJSON_GetObjectItem(json, "points"), file.model.depth);
        put_points(cJSON_GetObjectItem(json, "zones"), file.model.depth);
        assert_same_json(before, json);
        cJSON_Delete(before);
        cJSON_Delete(json);
    }
}

static void test_nothing(void **state) {
    (void)state;
    vt_sweep_point point;
    vt_sweep_point_view(&point, NULL, 4);
    assert_string_equal(point.id, "");
    assert_string_equal(point.quality.name, "");
    assert_int_equal(point.depth, -1);
    assert_true(isnan(point.times.picture_ms) && isnan(point.quality.frechet));
    assert_int_equal(point.scale_layers.count, 0);
    assert_false(point.disturbed || point.full);
    assert_int_equal(vt_sweep_timing_count(NULL), -1);
    cJSON *json = cJSON_CreateObject(),
          *wanted = cJSON_Parse("{\"quality\":null,\"disturbed\":false}");
    assert_put(vt_sweep_point_put(json, &point, &err));
    assert_same_json(wanted, json);
    cJSON_Delete(wanted);
    cJSON_Delete(json);
}

/* What the table does not know stays; of the wrong type is as if it were not there, and is replaced. */
static void test_others_fields(void **state) {
    (void)state;
    cJSON *json = cJSON_Parse("{\"id\":\"a\",\"newer\":[1],\"depth\":\"four\",\"cfg_scale\":null,"
                              "\"quality\":{\"frechet\":1.5,\"newest\":true}}");
    cJSON *wanted =
        cJSON_Parse("{\"id\":\"a\",\"newer\":[1],\"depth\":3,\"cfg_scale\":1.5,\"disturbed\":false,"
                    "\"quality\":{\"frechet\":1.5,\"newest\":true,\"samples\":70}}");
    vt_sweep_point point;
    vt_sweep_point_view(&point, json, 3);
    assert_int_equal(point.depth, -1);
    assert_true(isnan(point.cfg_scale));
    const char *id = point.id;
    point.depth = 3;
    point.cfg_scale = 1.5;
    point.quality.samples = 70;
    assert_put(vt_sweep_point_put(json, &point, &err));
    assert_same_json(wanted, json);
    assert_ptr_equal(cJSON_GetObjectItem(json, "id")->valuestring, id); /* still the struct's */
    cJSON_Delete(wanted);
    cJSON_Delete(json);
}

/* A version that did not say which runs were disturbed left fewer of them. */
static void test_timings(void **state) {
    (void)state;
    cJSON *json = cJSON_Parse("{\"runs\":{\"picture_ms\":[2,3],\"scale_ms\":[[1],[1.5]]}}");
    cJSON *disturbed = cJSON_Parse("[null,null,\"steal\"]");
    vt_sweep_timing timing = {.times = {.picture_ms = 4.0,
                                        .transformer_ms = 3.0,
                                        .condition_ms = 1.0,
                                        .sampling_ms = NAN,
                                        .quantizer_ms = 0.5,
                                        .decoder_ms = 0.5,
                                        .scale_ms = {.count = 2, .at = {1.0, 2.0}}},
                              .disturbed = "steal"};
    assert_int_equal(vt_sweep_timing_count(json), 2);
    assert_put(vt_sweep_timing_add(json, &timing, &err));
    assert_int_equal(vt_sweep_timing_count(json), 3);
    assert_same_json(disturbed,
                     cJSON_GetObjectItem(cJSON_GetObjectItem(json, "runs"), "disturbed"));
    vt_sweep_timing_view(&timing, json, 1);
    assert_true(timing.times.picture_ms == 3.0 && isnan(timing.times.decoder_ms));
    assert_true(timing.times.scale_ms.count == 1 && timing.times.scale_ms.at[0] == 1.5);
    assert_string_equal(timing.disturbed, "");
    vt_sweep_timing_view(&timing, json, 2);
    assert_true(timing.times.decoder_ms == 0.5 && isnan(timing.times.sampling_ms));
    assert_string_equal(timing.disturbed, "steal");
    cJSON_Delete(disturbed);
    cJSON_Delete(json);
}

static void test_refused(void **state) {
    (void)state;
    static const struct {
        const char *text, *message;
    } files[] = {{"{", "not the results of a sweep"},
                 {"[]", "not the results of a sweep"},
                 {"{\"model\":{},\"points\":{}}", "not the results of a sweep"},
                 {"{\"format\":3,\"model\":{},\"points\":[]}", "format 3, by a newer version"}};
    const char *path = "test_sweep_file.json";
    for (size_t i = 0; i < sizeof files / sizeof *files; ++i) {
        cJSON *json = NULL;
        FILE *file = fopen(path, "w");
        assert_non_null(file);
        fputs(files[i].text, file);
        fclose(file);
        assert_int_equal(vt_sweep_file_read(&json, path, &err), VARIANT_E_FORMAT);
        assert_null(json);
        assert_non_null(strstr(err.message, files[i].message));
        assert_non_null(strstr(err.message, path));
    }
    remove(path);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_published),     cmocka_unit_test(test_nothing),
        cmocka_unit_test(test_others_fields), cmocka_unit_test(test_timings),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

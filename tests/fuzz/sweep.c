/* sweep.c - the results of a sweep, sweep.json, by vt_sweep_file_read, all of whose views are taken and put again, and by vt_sweep_points_read, which
 * chooses depths from it. */
#include "planning/plan.h"
#include "planning/sweep_file.h"
#include "tests/fuzz/engine.h"

static void view_again(const cJSON *json) {
    vt_sweep_file file, again;
    variant_error err = {0};
    cJSON *copy = cJSON_CreateObject();
    vt_sweep_file_view(&file, json);
    FUZZ_OK(vt_sweep_file_put(copy, &file, &err));
    vt_sweep_file_view(&again, copy);
    FUZZ_EXPECT(again.format == file.format && strcmp(again.model.hash, file.model.hash) == 0);
    FUZZ_EXPECT(again.model.sides.count == file.model.sides.count);
    cJSON_Delete(copy);
}

static void view_points(const cJSON *json) {
    vt_sweep_point *points = NULL;
    variant_error err = {0};
    int count = 0;
    FUZZ_OK(vt_sweep_points_view(&points, &count, cJSON_GetObjectItemCaseSensitive(json, "points"),
                                 12, &err));
    for (int i = 0; i < count; ++i) {
        cJSON *copy = cJSON_CreateObject();
        FUZZ_OK(vt_sweep_point_put(copy, &points[i], &err));
        cJSON_Delete(copy);
        const int runs = vt_sweep_timing_count(points[i].json);
        for (int run = 0; run < runs && run < 8; ++run) {
            vt_sweep_timing timing;
            vt_sweep_timing_view(&timing, points[i].json, run);
            FUZZ_EXPECT(timing.disturbed && timing.times.scale_ms.count >= 0);
        }
    }
    free(points);
}

static void plan_by(const char *path) {
    variant_request request;
    variant_error err = {0};
    vt_sweep_points points;
    variant_request_init(&request);
    const variant_status status = vt_sweep_points_read(&points, path, engine, &request, &err);
    fuzz_told(status, &err);
    if (status == VARIANT_OK) free(points.points);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    variant_error err = {0};
    cJSON *json = NULL;
    fuzz_begin();
    const variant_status status = vt_sweep_file_read(&json, path, &err);
    fuzz_told(status, &err);
    if (status == VARIANT_OK) {
        view_again(json);
        view_points(json);
        cJSON_Delete(json);
        plan_by(path);
    } else {
        FUZZ_EXPECT(strncmp(err.message, path, strlen(path)) == 0);
    }
    fuzz_end(((size_t)4 << 20) + 512 * size);
    return 0;
}

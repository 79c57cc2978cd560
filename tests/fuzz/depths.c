/* depths.c - which layers run at which scale, as a request says it, by vt_schedule_resolve: bytes for scales, layers of the model, depth and bridge, then a
 * line of depths and one of layers. What is taken describes itself in words that mean the same. */
#include <variant.h>

#include "supernet/schedule.h"
#include "tests/fuzz/fuzz.h"

static void say_again(const vt_schedule *schedule) {
    static char layers[VT_SCHEDULE_SCALES * VT_SCHEDULE_LAYERS * 4];
    char depths[VT_SCHEDULE_SCALES * 5];
    static vt_schedule again;
    variant_error err = {0};
    vt_schedule_describe(schedule, depths, sizeof depths);
    vt_schedule_describe_layers(schedule, layers, sizeof layers);
    fuzz_one_line(depths);
    fuzz_one_line(layers);
    const vt_schedule_request request = {.layers = layers, .bridge = -1};
    const variant_status status =
        vt_schedule_resolve(&again, schedule->scales, schedule->depth, &request, &err);
    FUZZ_EXPECT(status == VARIANT_OK);
    for (int k = 0; k < schedule->scales; ++k) {
        FUZZ_EXPECT(vt_schedule_depth_at(schedule, k) >= 1);
        FUZZ_EXPECT(memcmp(again.runs[k], schedule->runs[k], (size_t)schedule->depth) == 0);
    }
}

static void read_lists(const char *text) {
    int whole[8];
    double real[8];
    const int ints = variant_list_ints(text, 0, 100, 8, whole);
    const int reals = variant_list_reals(text, 0.0, 100.0, 8, real);
    FUZZ_EXPECT(ints >= -1 && ints <= 8 && reals >= -1 && reals <= 8);
    for (int i = 0; i < ints; ++i) FUZZ_EXPECT(whole[i] >= 0 && whole[i] <= 100);
    for (int i = 0; i < reals; ++i) FUZZ_EXPECT(real[i] >= 0.0 && real[i] <= 100.0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    static vt_schedule schedule;
    variant_error err = {0};
    if (size < 5) return 0;
    char *depths = fuzz_text(data + 5, size - 5), *layers = strchr(depths, '\n');
    if (layers) *layers++ = '\0';
    const vt_schedule_request request = {.depths = *depths ? depths : NULL,
                                         .layers = layers && *layers ? layers : NULL,
                                         .depth = (int8_t)data[2],
                                         .bridge = (int8_t)data[3],
                                         .default_bridge = data[4] & 15,
                                         .default_selector = (vt_selector)(data[4] >> 4 & 1)};
    fuzz_begin();
    const variant_status status =
        vt_schedule_resolve(&schedule, (int8_t)data[0], (int8_t)data[1], &request, &err);
    fuzz_told(status, &err);
    fuzz_end(1 << 20);
    if (status == VARIANT_OK) say_again(&schedule);
    read_lists(depths);
    free(depths);
    return 0;
}

/* times.c - the times of a model that a plan keeps in a file, by vt_costs_read. What is taken foretells times that are numbers, and is the same once
 * written and read again. */
#include "planning/cost.h"
#include "tests/fuzz/fuzz.h"

static const vt_costs_key key = {"key", "machine"};

static void foretell(const vt_costs *costs) {
    vt_cost_work work = costs->deep.work;
    for (int round = 0; round < 2; ++round, work = costs->shallow.work) {
        const double seconds = vt_costs_seconds(costs, &work);
        FUZZ_EXPECT(seconds == seconds);
        (void)vt_costs_cover(costs, &work);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    const char *path = fuzz_file(data, size);
    static vt_costs costs, again;
    variant_error err = {0};
    char written[256];
    bool there = false;
    fuzz_begin();
    const variant_status status = vt_costs_read(&costs, path, &key, &there, &err);
    fuzz_told(status, &err);
    fuzz_end(((size_t)1 << 20) + 64 * size);
    FUZZ_EXPECT(there);
    if (status != VARIANT_OK) return 0;
    FUZZ_EXPECT(costs.scales >= 1 && costs.scales <= VARIANT_MAX_SCALES);
    foretell(&costs);
    snprintf(written, sizeof written, "%s/times.json", fuzz_folder());
    FUZZ_OK(vt_costs_write(&costs, written, &key, &err));
    FUZZ_OK(vt_costs_read(&again, written, &key, &there, &err));
    FUZZ_EXPECT(again.scales == costs.scales && again.disturbed == costs.disturbed);
    for (int k = 0; k < costs.scales; ++k)
        FUZZ_EXPECT(again.deep.work.layers[k] == costs.deep.work.layers[k]);
    return 0;
}

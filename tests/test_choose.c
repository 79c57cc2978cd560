/* test_choose.c - what follows from the data: over all amounts and sides, choices that a training takes. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "train/choose.h"
#include "train/lr.h"

static variant_error err;

static const int amounts[] = {1, 2, 3, 7, 20, 64, 100, 999, 5000, 12345, 60000, 500000, 1000000};
#define AMOUNTS (sizeof amounts / sizeof *amounts)

static void assert_list(const int *list, int count, const char *want) {
    char text[160] = "";
    size_t used = 0;
    for (int i = 0; i < count; ++i)
        used += (size_t)snprintf(text + used, sizeof text - used, i ? ",%d" : "%d", list[i]);
    assert_string_equal(text, want);
}

/* ---- shapes ---- */

static void test_every_side(void **state) {
    (void)state;
    for (int wanted = 1; wanted <= 512; ++wanted) {
        vt_tokenizer_config config = {.channels = 3, .blocks = 1};
        int side = wanted;
        assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_OK);
        for (size_t i = 0; i < AMOUNTS; ++i) {
            vt_tokenizer_config sized = config;
            vt_choose_tokenizer_sizes(&sized, amounts[i]);
            if (vt_tokenizer_config_check(&sized, &err) != VARIANT_OK)
                fail_msg("side %d, %d pictures: %s", wanted, amounts[i], err.message);
        }
        assert_int_equal(vt_tokenizer_side(&config), side);
        assert_true(abs(side - wanted) <= 1 << (config.levels - 2 > 0 ? config.levels - 2 : 0));
        assert_int_equal(config.sides[0], 1);
        int map = config.sides[config.scales - 1];
        if (wanted >= 8) assert_in_range(map, 4, wanted > 256 ? 32 : 16);

        vt_classifier_config judge = {
            .channels = 3, .width = 32, .blocks = 1, .features = 64, .classes = 2, .side = wanted};
        vt_choose_classifier_shape(&judge);
        if (vt_classifier_config_check(&judge, VARIANT_E_ARGUMENT, &err) != VARIANT_OK)
            fail_msg("classifier, side %d: %s", wanted, err.message);
        if (wanted >= 8) assert_in_range(judge.side >> judge.levels, 3, 8);
    }
}

static void check_shape(int wanted, int side, const char *mult, const char *sides) {
    vt_tokenizer_config config = {0};
    int got = wanted;
    assert_int_equal(vt_choose_tokenizer_shape(&config, &got, &err), VARIANT_OK);
    assert_int_equal(got, side);
    assert_list(config.mult, config.levels, mult);
    assert_list(config.sides, config.scales, sides);
}

static void test_known_sides(void **state) {
    (void)state;
    check_shape(0, 32, "1,2,2", "1,2,3,4,5,6,8"); /* models/fashion */
    check_shape(32, 32, "1,2,2", "1,2,3,4,5,6,8");
    check_shape(64, 64, "1,1,2,4", "1,2,3,4,5,6,8");              /* models/emoji */
    check_shape(256, 256, "1,1,2,2,4", "1,2,3,4,5,6,8,10,13,16"); /* the published one */
    check_shape(8, 8, "1,2", "1,2,3,4");
    check_shape(28, 28, "1,2,2", "1,2,3,4,5,7");
    check_shape(48, 48, "1,2,2", "1,2,3,4,5,6,8,10,12");
    check_shape(100, 96, "1,1,2,4", "1,2,3,4,5,6,8,10,12");
    check_shape(101, 104, "1,1,2,4", "1,2,3,4,5,6,8,10,13");
}

static void test_given_scales(void **state) {
    (void)state;
    vt_tokenizer_config config = {.scales = 3, .sides = {1, 4, 16}};
    int side = 64;
    assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_OK);
    assert_list(config.mult, config.levels, "1,2,2");
    config = (vt_tokenizer_config){.scales = 2, .sides = {1, 4}};
    side = 0; /* 32, if the scales allow that */
    assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_OK);
    assert_int_equal(side, 32);
    config = (vt_tokenizer_config){.scales = 2, .sides = {1, 5}, .levels = 2, .mult = {1, 1}};
    side = 0;
    assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_OK);
    assert_int_equal(side, 10);
    side = 64;
    assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "makes 10"));
    config = (vt_tokenizer_config){.scales = 2, .sides = {1, 5}};
    side = 64;
    assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_E_ARGUMENT);
    assert_non_null(strstr(err.message, "such as 80"));
    config = (vt_tokenizer_config){.levels = 3, .mult = {1, 1, 1}};
    side = 30;
    assert_int_equal(vt_choose_tokenizer_shape(&config, &side, &err), VARIANT_OK);
    assert_int_equal(side, 28); /* the smaller of two */
}

static void test_transformers(void **state) {
    (void)state;
    for (size_t i = 0; i < AMOUNTS; ++i)
        for (int tokens = 1; tokens < 3000; tokens += 151)
            for (int given = 0; given <= 97; ++given) {
                vt_transformer_config config = {.width = given % 2 ? given : 0,
                                                .heads = given % 2 ? 0 : given};
                vt_choose_transformer_shape(&config, (int64_t)amounts[i] * tokens);
                assert_true(config.depth >= 1 && config.heads >= 1);
                assert_int_equal(config.width % config.heads, 0);
                if (given % 2) assert_int_equal(config.width, given);
                if (given && given % 2 == 0) assert_int_equal(config.heads, given);
            }
    vt_transformer_config fashion = {0};
    vt_choose_transformer_shape(&fashion, 60000 * 155);
    assert_int_equal(fashion.depth, 12); /* models/fashion */
    assert_int_equal(fashion.width, 128);
    assert_int_equal(fashion.heads, 2);
}

static void test_depths(void **state) {
    (void)state;
    static const struct {
        int depth;
        const char *depths;
    } models[] = {{12, "6,3"}, {8, "4,2"}, {30, "15,8"}, {16, "8,4"}, {5, "3,2"},
                  {4, "2,1"},  {3, "2,1"}, {2, "1"},     {1, ""}};
    for (size_t i = 0; i < sizeof models / sizeof *models; ++i) {
        vt_phases phases = {0};
        vt_choose_depths(&phases, models[i].depth);
        assert_list(phases.depths, phases.depth_count, models[i].depths);
    }
    vt_phases given = {.depth_count = 1, .depths = {7}};
    vt_choose_depths(&given, 12);
    assert_list(given.depths, given.depth_count, "7");
}

/* ---- runs ---- */

static void test_runs(void **state) {
    (void)state;
    for (int kind = VT_TRAIN_TOKENIZER; kind <= VT_TRAIN_DECODER; ++kind)
        for (size_t i = 0; i < AMOUNTS; ++i)
            for (int side = 8; side <= 256; side *= 2) {
                int batch = vt_choose_batch((vt_train_kind)kind, amounts[i], side);
                assert_in_range(batch, 1, amounts[i]);
                assert_true(batch <= 64);
                int64_t per_epoch = amounts[i] / batch;
                double epochs = vt_choose_epochs((vt_train_kind)kind, amounts[i], per_epoch);
                int64_t steps = llround(epochs * (double)per_epoch);
                assert_true(epochs >= 1.0);
                /* long enough to learn, and no more pictures than that takes unless there are more */
                assert_true(steps >= 250);
                assert_true(epochs * amounts[i] <= 1e6 || epochs <= 1.0);
                int64_t warmup = vt_choose_warmup((vt_train_kind)kind, steps);
                assert_true(warmup * 10 <= steps);
            }
    assert_true(vt_choose_epochs(VT_TRAIN_TRANSFORMER, 60000, 1875) == 6.0); /* models/fashion's */
    assert_true(vt_choose_epochs(VT_TRAIN_TOKENIZER, 1000000, 31250) == 1.0);
}

/* 80 steps end at the lowest rate, whatever the training. */
static void test_short_runs_fall(void **state) {
    (void)state;
    for (int kind = VT_TRAIN_TOKENIZER; kind <= VT_TRAIN_DECODER; ++kind)
        for (int64_t steps = 1; steps < 3000; steps = steps * 3 / 2 + 1) {
            double peak = vt_choose_rate((vt_train_kind)kind, 128, false);
            vt_lr lr = {.peak = peak,
                        .end = peak / 50,
                        .cosine = true,
                        .warmup = vt_choose_warmup((vt_train_kind)kind, steps)};
            double last = vt_lr_at(&lr, steps - 1, steps);
            if (steps >= 20 && !(last < 0.05 * peak))
                fail_msg("%d steps end at %g of %g", (int)steps, last, peak);
        }
}

static void test_rates(void **state) {
    (void)state;
    for (int width = 16; width <= 4096; width += 16)
        for (int given = 0; given < 2; ++given) {
            double rate = vt_choose_rate(VT_TRAIN_SUPERNET, width, given);
            char text[32];
            snprintf(text, sizeof text, "%g", rate); /* as a checkpoint remembers it */
            assert_true(strtod(text, NULL) == rate);
            assert_true(rate >= 5e-6 && rate <= 3e-3);
        }
    assert_true(vt_choose_rate(VT_TRAIN_TRANSFORMER, 128, false) == 1e-3);
    assert_true(vt_choose_rate(VT_TRAIN_SUPERNET, 128, true) == 2e-4);
    assert_true(vt_choose_rate(VT_TRAIN_CLASSIFIER, 0, false) == 2e-3);
}

/* A run that was given another length: no jump where it goes on, and the new cosine's end. */
static void test_replanned(void **state) {
    (void)state;
    vt_lr lr = {.peak = 1e-3, .end = 2e-5, .cosine = true, .warmup = 8};
    double end = vt_lr_at(&lr, 79, 80);
    lr.replanned = 80, lr.rate_then = end;
    double before = end;
    for (int64_t step = 80; step < 240; ++step) {
        double rate = vt_lr_at(&lr, step, 240);
        assert_true(fabs(rate - before) <= 1e-3 / 8);
        before = rate;
    }
    assert_true(before < 3e-5);
    assert_true(vt_lr_at(&lr, 100, 240) > 5e-4); /* where the longer run would be */
    vt_lr longer = {.peak = 1e-3, .end = 2e-5, .cosine = true, .warmup = 8};
    assert_true(vt_lr_at(&lr, 100, 240) == vt_lr_at(&longer, 100, 240));
    lr.hold = true;
    for (int64_t step = 80; step < 240; step += 40)
        assert_true(vt_lr_at(&lr, step, 240) == lr.rate_then);
    assert_true(vt_lr_at(&lr, 79, 240) == vt_lr_at(&longer, 79, 240));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_side),      cmocka_unit_test(test_known_sides),
        cmocka_unit_test(test_given_scales),    cmocka_unit_test(test_transformers),
        cmocka_unit_test(test_depths),          cmocka_unit_test(test_runs),
        cmocka_unit_test(test_short_runs_fall), cmocka_unit_test(test_rates),
        cmocka_unit_test(test_replanned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

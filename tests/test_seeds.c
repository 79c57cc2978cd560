/* test_seeds.c - scores of several seeds: mean, range and spread, pairs of two settings, what is written and read again, files that
 * are no scores; and the batches in which pictures are made before they are judged. */
#include "fixtures.h"

#include <math.h>

#include "eval/score.h"
#include "eval/seeds.h"

static const vt_seed_score *const distance = &vt_seed_score_list[0];

static cJSON *scores_of(double frechet, double spread, double share) {
    cJSON *scores = cJSON_CreateObject();
    cJSON_AddStringToObject(scores, "name", "FID(classifier)");
    cJSON_AddStringToObject(scores, "network_hash", "abc");
    cJSON_AddNumberToObject(scores, "samples", 100);
    cJSON_AddNumberToObject(scores, "reference_samples", 50);
    cJSON_AddNumberToObject(scores, "frechet", frechet);
    if (spread > 0) cJSON_AddNumberToObject(scores, "frechet_spread", spread);
    cJSON_AddNumberToObject(scores, "class_share", share);
    return scores;
}

static void fill(vt_seed_list *list, const uint64_t *seeds, const double *frechet, int count,
                 double spread) {
    *list = (vt_seed_list){0};
    for (int i = 0; i < count; ++i)
        assert_ok(vt_seed_list_add(list, seeds[i], scores_of(frechet[i], spread, 0.5), err));
}

static double mean_of(const vt_seed_list *list, const char *key) {
    cJSON *mean = vt_seeds_mean_json(list);
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(mean, key);
    double value = item ? item->valuedouble : NAN;
    cJSON_Delete(mean);
    return value;
}

static void summary_of_seeds(void **state) {
    (void)state;
    const uint64_t seeds[] = {1, 2, 3};
    const double values[] = {0.2, 0.3, 0.7};
    vt_seed_list list;
    fill(&list, seeds, values, 3, 0.01);
    const vt_seed_summary s = vt_seeds_summary(&list, distance);
    assert_int_equal(s.count, 3);
    assert_float_equal(s.mean, 0.4, 1e-12);
    assert_float_equal(s.least, 0.2, 0);
    assert_float_equal(s.most, 0.7, 0);
    assert_float_equal(s.deviation, sqrt(0.14 / 2), 1e-12);
    assert_float_equal(s.error, sqrt(0.14 / 2 / 3), 1e-12);
    assert_int_equal(vt_seeds_summary(&list, &vt_seed_score_list[1]).count, 0); /* not measured */
    /* seeds differ by more than their spreads: that is believed, and the other way about */
    assert_float_equal(mean_of(&list, "frechet"), 0.4, 1e-12);
    assert_float_equal(mean_of(&list, "frechet_spread"), s.error, 1e-12);
    assert_float_equal(mean_of(&list, "samples"), 100, 0);
    vt_seed_list_free(&list);
    fill(&list, seeds, values, 3, 0.6);
    assert_float_equal(mean_of(&list, "frechet_spread"), 0.6 / sqrt(3), 1e-12);
    vt_seed_list_free(&list);
    fill(&list, seeds, values, 3, 0); /* --draws 0 */
    assert_true(isnan(mean_of(&list, "frechet_spread")));
    vt_seed_list_free(&list);
    fill(&list, seeds, values, 1, 0.01);
    assert_true(isnan(vt_seeds_summary(&list, distance).deviation));
    assert_float_equal(mean_of(&list, "frechet_spread"), 0.01, 0);
    vt_seed_list_free(&list);
}

static void pairs_of_equal_seed(void **state) {
    (void)state;
    const uint64_t seeds[] = {1, 2, 3}, others[] = {9, 3, 2};
    const double a[] = {0.2, 0.3, 0.5}, b[] = {7, 0.4, 0.5};
    vt_seed_list first, other;
    fill(&first, seeds, a, 3, 0.01);
    fill(&other, others, b, 3, 0.01);
    const vt_seed_summary s = vt_seeds_pairs(&first, &other, distance);
    assert_int_equal(s.count, 2); /* seeds 2 and 3 */
    assert_int_equal(s.better, 1);
    assert_float_equal(s.mean, ((0.3 - 0.5) + (0.5 - 0.4)) / 2, 1e-12);
    assert_float_equal(s.relative, s.mean / 0.45, 1e-12);
    assert_float_equal(vt_seeds_difference(&first, &other, 2, distance), -0.2, 1e-12);
    assert_true(isnan(vt_seeds_difference(&first, &other, 1, distance)));
    cJSON *json = cJSON_CreateObject();
    assert_true(vt_seeds_put_pairs(json, &first, &other));
    assert_int_equal(cJSON_GetArraySize(cJSON_GetObjectItem(json, "pairs")), 2);
    const cJSON *of = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "difference"), "frechet");
    assert_float_equal(cJSON_GetObjectItem(of, "mean")->valuedouble, s.mean, 1e-12);
    cJSON_Delete(json);
    vt_seed_list_free(&first);
    vt_seed_list_free(&other);
}

/* ---- files ---- */

static char path[256];

static void write_text(const char *text) {
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs(text, file);
    fclose(file);
}

static void what_is_written_is_read(void **state) {
    (void)state;
    const uint64_t seeds[] = {1, UINT64_MAX};
    const double values[] = {0.2, 0.3};
    vt_seed_list list, again;
    fill(&list, seeds, values, 2, 0.01);
    cJSON *json = cJSON_CreateObject();
    cJSON_AddObjectToObject(json, "settings");
    assert_true(vt_seeds_put(json, &list));
    char *text = cJSON_Print(json);
    write_text(text);
    cJSON_free(text);
    cJSON_Delete(json);
    assert_ok(vt_seed_list_read(&again, path, err));
    assert_int_equal(again.count, 2);
    assert_true(again.at[1].seed == UINT64_MAX);
    assert_true(cJSON_Compare(again.at[1].scores, list.at[1].scores, true));
    vt_seed_list_free(&again);
    vt_seed_list_free(&list);
    /* of one seed, as eval writes it without --seeds */
    write_text("{\"settings\": {\"seed\": \"7\"}, \"scores\": {\"frechet\": 1.5}}");
    assert_ok(vt_seed_list_read(&again, path, err));
    assert_true(again.count == 1 && again.at[0].seed == 7);
    vt_seed_list_free(&again);
}

static void what_is_no_scores(void **state) {
    (void)state;
    vt_seed_list list;
    static const char *const bad[] = {
        "",
        "[]",
        "{\"scores\": {}}",
        "{\"settings\": {\"seed\": 7}, \"scores\": {}}",
        "{\"settings\": {\"seed\": \"-1\"}, \"scores\": {}}",
        "{\"settings\": {\"seed\": \"99999999999999999999\"}, \"scores\": {}}",
        "{\"seeds\": [{\"seed\": \"1\"}]}"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; ++i) {
        write_text(bad[i]);
        assert_fails(vt_seed_list_read(&list, path, err), VARIANT_E_FORMAT,
                     "not scores of generated pictures");
    }
    write_text("{\"seeds\": []}");
    assert_fails(vt_seed_list_read(&list, path, err), VARIANT_E_FORMAT, "no seed was finished");
    write_text(
        "{\"seeds\": [{\"seed\": \"1\", \"scores\": {}}, {\"seed\": \"1\", \"scores\": {}}]}");
    assert_fails(vt_seed_list_read(&list, path, err), VARIANT_E_FORMAT, "seed 1 is there twice");
    remove(path);
    assert_fails(vt_seed_list_read(&list, path, err), VARIANT_E_IO, path);
}

static void what_cannot_stand_beside(void **state) {
    (void)state;
    cJSON *one = scores_of(1, 0, 0.5), *other = scores_of(2, 0, 0.5);
    assert_ok(vt_seeds_comparable(one, other, "x.json", err));
    cJSON_ReplaceItemInObject(other, "samples", cJSON_CreateNumber(50));
    assert_fails(vt_seeds_comparable(one, other, "x.json", err), VARIANT_E_MISMATCH,
                 "x.json: scores of 50 pictures, here of 100");
    cJSON_ReplaceItemInObject(other, "samples", cJSON_CreateNumber(100));
    cJSON_ReplaceItemInObject(other, "reference_samples", cJSON_CreateNumber(51));
    assert_fails(vt_seeds_comparable(one, other, "x.json", err), VARIANT_E_MISMATCH,
                 "beside 51 real pictures, here beside 50");
    cJSON_DeleteItemFromObject(other, "reference_samples");
    assert_fails(vt_seeds_comparable(one, other, "x.json", err), VARIANT_E_MISMATCH, "beside 0");
    cJSON_ReplaceItemInObject(other, "network_hash", cJSON_CreateString("def"));
    assert_fails(vt_seeds_comparable(one, other, "x.json", err), VARIANT_E_MISMATCH,
                 "another network (def, here abc)");
    cJSON_Delete(one);
    cJSON_Delete(other);
}

/* ---- batches ---- */

static void whole_batches_of_the_size_asked(void **state) {
    (void)state;
    static const int want[][3] = {/* batch, left, chunk */
                                  {8, 1000, 64},  {0, 1000, 64},     {50, 1000, 50}, {25, 1000, 50},
                                  {64, 1000, 64}, {100, 1000, 100},  {7, 1000, 63},  {50, 14, 14},
                                  {1, 1000, 64},  {4096, 5000, 4096}};
    for (size_t i = 0; i < sizeof want / sizeof *want; ++i)
        assert_int_equal(vt_score_chunk(want[i][0], want[i][1]), want[i][2]);
}

int main(void) {
    snprintf(path, sizeof path, "/tmp/test_seeds_%d.json", (int)getpid());
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(summary_of_seeds),
        cmocka_unit_test(pairs_of_equal_seed),
        cmocka_unit_test(what_is_written_is_read),
        cmocka_unit_test(what_is_no_scores),
        cmocka_unit_test(what_cannot_stand_beside),
        cmocka_unit_test(whole_batches_of_the_size_asked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

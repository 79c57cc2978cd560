/* test_bounds.c - what input can ask for is bounded, in memory and in time: JSON of very many values, lists of very many classes. Pictures' texts have
 * test_png_text.c, and tests/fuzz/ holds every reader to its bound. */
#include "tests/fixtures.h"

#include <time.h>

#include "engine/engine.h"
#include "io/json.h"
#include "io/tensors.h"

/* ---- JSON ---- */

static void values_are_counted_outside_of_strings(void **state) {
    (void)state;
    static const struct {
        const char *text;
        size_t most;
        bool more;
    } cases[] = {
        {"1", 1, false},
        {"[1,2]", 3, false},
        {"[1,2]", 2, true},
        {"\"[[,,{\"", 1, false},
        {"[\"a\\\"[[[[\"]", 2, false},
        {"{\"a\":{}}", 3, false},
        {"{\"a\":{}}", 2, true},
        {"", 0, true},
        {"[\"\\", 2, false},
    };
    for (size_t i = 0; i < sizeof cases / sizeof *cases; ++i)
        assert_int_equal(vt_json_exceeds(cases[i].text, strlen(cases[i].text), cases[i].most),
                         cases[i].more);
    assert_null(vt_json_of(NULL));
    assert_null(vt_json_of("{"));
    cJSON *json = vt_json_of("{\"a\": [1, 2]} and more");
    assert_true(cJSON_IsObject(json));
    cJSON_Delete(json);
}

/* head, then "1," as often as there may be values, then tail. */
static char *many_values(const char *head, const char *tail, size_t *size) {
    char *text = malloc(strlen(head) + 2 * VT_JSON_VALUES + strlen(tail) + 1);
    assert_non_null(text);
    char *at = stpcpy(text, head);
    for (size_t i = 0; i < VT_JSON_VALUES; ++i) *at++ = '1', *at++ = ',';
    *size = (size_t)(stpcpy(at, tail) - text);
    return text;
}

static void headers_of_very_many_values_are_refused(void **state) {
    (void)state;
    size_t size;
    vt_tensor_file *file = NULL;
    char *text = many_values("........{\"x\":[", "1]}", &size);
    for (size_t i = 0; i < 8; ++i) text[i] = (char)((size - 8) >> 8 * i & 255);
    assert_fails(vt_tensor_file_of_memory(&file, "many", text, size, err), VARIANT_E_FORMAT,
                 "many: header of more than 2097152 values");
    assert_null(file);
    free(text);
    text = many_values("{\"weight_map\":[", "1]}", &size);
    assert_null(vt_json_read(text, size, NULL));
    free(text);
}

/* ---- classes ---- */

enum { NAMES = 1000 };

static double seconds_of_cpu(void) {
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

/* 2000 places in a model of a thousand classes, as a prompt of 4000 letters can say them: when every place was tried together with all those behind it
 * this was two million looks at a thousand names. */
static void a_long_list_of_classes_takes_its_length(void **state) {
    (void)state;
    static char rooms[NAMES][16], text[4001];
    static char *names[NAMES];
    static int32_t labels[2000];
    vt_model model = {.class_count = NAMES, .class_names = names};
    const variant_engine engine = {.model = &model};
    int count = 0;
    for (int i = 0; i < NAMES; ++i) {
        snprintf(rooms[i], sizeof rooms[i], i == 500 ? "7,7" : "class %d", i);
        names[i] = rooms[i];
    }
    for (int i = 0; i < 2000; ++i) memcpy(text + 2 * i, "3,", 2);
    text[3999] = '\0';
    const double began = seconds_of_cpu();
    assert_ok(variant_engine_labels(&engine, text, labels, 2000, &count, err));
    assert_true(seconds_of_cpu() - began < 2.0);
    assert_int_equal(count, 2000);
    for (int i = 0; i < count; ++i) assert_int_equal(labels[i], 3);
    /* names with commas in them are found still, beside others and with blanks about them */
    assert_ok(
        variant_engine_labels(&engine, "3, 7,7 ,7,uncond,  class 12", labels, 8, &count, err));
    static const int32_t expected[] = {3, 500, 7, NAMES, 12};
    assert_int_equal(count, 5);
    assert_memory_equal(labels, expected, sizeof expected);
    assert_fails(variant_engine_labels(&engine, "3,, 4", labels, 8, &count, err),
                 VARIANT_E_ARGUMENT, "a place between commas is empty");
    assert_fails(variant_engine_labels(&engine, "3,nothing", labels, 8, &count, err),
                 VARIANT_E_ARGUMENT, "no class \"nothing\"");
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_counted_outside_of_strings),
        cmocka_unit_test(headers_of_very_many_values_are_refused),
        cmocka_unit_test(a_long_list_of_classes_takes_its_length),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

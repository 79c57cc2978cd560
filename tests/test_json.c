/* test_json.c - what is JSON is told without memory, never where cJSON would refuse it; and JSON that is made is whole or has no text. */
#include "tests/fixtures.h"
#include "tests/random.h"

#include "io/json.h"

enum { TEXT = 200, MUTATIONS = 200000 };

static bool parses(const char *text) {
    cJSON *json = cJSON_Parse(text);
    cJSON_Delete(json);
    return json != NULL;
}

static const char *const texts[] = {
    "{\"a\":[1,-2.5e+3,0.1E-7],\"b\":{\"c\":null,\"d\":true,\"e\":false},\"f\":\"\"}",
    " [ { } , [ ] , \"\\u00e4\\n\\\"\\\\\\/\" , \"\\ud83d\\ude00\" ] ",
    "{\"w\":{\"shape\":[2,3],\"data_offsets\":[0,24]},\"__metadata__\":{\"k\":\"v\"}}",
    "-0.0",
    "\"text\"",
    "\xEF\xBB\xBF{\"marked\":1}",
};

static void whole_texts_are_json(void **state) {
    (void)state;
    static const char *const wrong[] = {"",
                                        "{",
                                        "[1,]",
                                        "{\"a\"}",
                                        "{\"a\":}",
                                        "{a:1}",
                                        "nul",
                                        "-",
                                        "1.",
                                        ".5",
                                        "1e",
                                        "\"open",
                                        "\"\\x\"",
                                        "\"\\u12\"",
                                        "[1 2]",
                                        "{,}",
                                        "]",
                                        "\"\\ud800\"",
                                        "\"\\ud800\\u0041\"",
                                        "\"\\udc00\"",
                                        "[}"};
    for (size_t i = 0; i < sizeof texts / sizeof *texts; ++i) {
        assert_true(parses(texts[i]));
        assert_true(vt_json_is(texts[i], strlen(texts[i])));
        for (size_t n = 0; n + 1 < strlen(texts[i]) && i < 3; ++n)
            assert_false(vt_json_is(texts[i], n)); /* and no part of them */
    }
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; ++i)
        if (vt_json_is(wrong[i], strlen(wrong[i]))) fail_msg("taken for JSON: %s", wrong[i]);
}

/* cJSON passes over a mark of UTF-8 only where enough follows it: a shorter text is refused, and not for want of memory. */
static void short_marked_texts_are_as_cjson_has_them(void **state) {
    (void)state;
    static const char text[] = "\xEF\xBB\xBF"
                               "3   ";
    for (size_t n = 0; n < sizeof text; ++n) {
        cJSON *json = cJSON_ParseWithLength(text, n);
        assert_int_equal(vt_json_is(text, n), json != NULL);
        cJSON_Delete(json);
    }
}

/* Characters of JSON in the place of others, and left out: what is told to be JSON is read. */
static void what_is_json_is_read(void **state) {
    (void)state;
    static const char signs[] = "{}[],:\"\\u/dDcC0189.eE+-nulltrfas \t\n\x01\x80";
    int found = 0;
    for (int i = 0; i < MUTATIONS; ++i) {
        char text[TEXT];
        snprintf(text, sizeof text, "%s", texts[random_int(0, sizeof texts / sizeof *texts - 1)]);
        for (int changes = random_int(1, 3); changes > 0 && text[0]; --changes) {
            char *at = text + random_int(0, (int)strlen(text) - 1);
            if (random_int(0, 2))
                *at = signs[random_int(0, sizeof signs - 2)];
            else
                memmove(at, at + 1, strlen(at));
        }
        if (!vt_json_is(text, strlen(text))) continue;
        ++found;
        if (!parses(text)) fail_msg("told to be JSON, and not read: %s", text);
    }
    assert_in_range(found, MUTATIONS / 50, MUTATIONS);
}

static void depth_and_numbers_have_cjsons_bounds(void **state) {
    (void)state;
    char text[2 * CJSON_NESTING_LIMIT + 3];
    for (int depth = CJSON_NESTING_LIMIT - 1; depth <= CJSON_NESTING_LIMIT + 1; ++depth) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        assert_int_equal(vt_json_is(text, strlen(text)), parses(text));
    }
    for (int digits = 60; digits < 70; ++digits) {
        memset(text, '1', (size_t)digits);
        text[digits] = '\0';
        if (vt_json_is(text, strlen(text))) assert_true(parses(text));
    }
}

/* ---- made ---- */

static int left; /* allocations that are answered */

static void *some(size_t n) {
    return left-- > 0 ? malloc(n) : NULL;
}

static char *make(void) {
    const int numbers[] = {1, 2};
    cJSON *json = cJSON_CreateObject();
    vt_json_number(json, "number", 1.5);
    vt_json_string(json, "text", "words");
    vt_json_string(json, "nothing", NULL);
    vt_json_null(json, "null");
    cJSON *inner = vt_json_object(json, "inner");
    vt_json_bool(inner, "flag", true);
    vt_json_put(inner, "list", cJSON_CreateIntArray(numbers, 2));
    cJSON *array = vt_json_array(inner, "array");
    for (int i = 0; i < 3; ++i) vt_json_append(array, cJSON_CreateNumber(i));
    char *text = vt_json_text(json);
    cJSON_Delete(json);
    return text;
}

static void what_is_made_is_whole(void **state) {
    (void)state;
    static const char whole[] = "{\"number\":1.5,\"text\":\"words\",\"null\":null,"
                                "\"inner\":{\"flag\":true,\"list\":[1,2],\"array\":[0,1,2]}}";
    cJSON_Hooks hooks = {.malloc_fn = some, .free_fn = free};
    int failed = 0;
    cJSON_InitHooks(&hooks);
    for (int n = 0; n < 100; ++n) {
        left = n;
        char *text = make();
        failed += !text;
        if (text) assert_string_equal(text, whole);
        free(text);
    }
    cJSON_InitHooks(NULL);
    assert_in_range(failed, 20, 60);
    assert_null(vt_json_text(NULL));
    assert_null(vt_json_lines(NULL));
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(whole_texts_are_json),
        cmocka_unit_test(short_marked_texts_are_as_cjson_has_them),
        cmocka_unit_test(what_is_json_is_read),
        cmocka_unit_test(depth_and_numbers_have_cjsons_bounds),
        cmocka_unit_test(what_is_made_is_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}

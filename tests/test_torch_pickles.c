/* test_torch_pickles.c - hand-made pickles as the main one of a legacy PyTorch file: views, layouts, and hostile ones, which are refused with
 * a line; nothing in them is ever run. */
#include "torch_file.h"

static void put_string(const char *string) {
    PUT("U");
    made.bytes[made.size++] = (unsigned char)strlen(string);
    put(string, strlen(string));
}

/* Everything before the main pickle. */
static void start(void) {
    made.size = 0;
    PUT("\x80\x02\x8a\x0a\x6c\xfc\x9c\x46\xf9\x20\x6a\xa8\x50\x19.");
    PUT("\x80\x02M\xe9\x03.");
    PUT("\x80\x02}U\x0dlittle_endian\x88s.");
    PUT("\x80\x02");
}

/* STOP and, where the pickle mentions a storage, the list of one storage "0" and its data: six
 * floats 0 to 5. */
static variant_status finish(variant_error *err) {
    bool mentioned = memmem(made.bytes, made.size, "storage", 7) != NULL;
    if (!mentioned) {
        PUT(".\x80\x02].");
        write_bytes(made.bytes, made.size);
        return open_and_touch(err);
    }
    PUT(".\x80\x02]U\x01"
        "0a.");
    int64_t count = 6;
    put(&count, 8);
    for (int i = 0; i < 6; i++) put(&(float){(float)i}, 4);
    write_bytes(made.bytes, made.size);
    return open_and_touch(err);
}

static void put_storage(const char *type) {
    PUT("(U\x07storage");
    PUT("ctorch\n");
    put(type, strlen(type));
    PUT("\nU\x01"
        "0U\x03"
        "cpuK\x06NtQ");
}

/* function(storage, offset, (rows, columns), (down, right), False, {}) */
static void put_tensor(const char *function, int64_t offset, int64_t rows, int64_t columns,
                       int64_t down, int64_t right) {
    put(function, strlen(function));
    PUT("(");
    put_storage("FloatStorage");
    put_int(offset);
    put_int(rows);
    put_int(columns);
    PUT("\x86");
    put_int(down);
    put_int(right);
    PUT("\x86\x89}tR");
}

static variant_status try_view(int64_t offset, int64_t rows, int64_t columns, int64_t down,
                               int64_t right, variant_error *err) {
    start();
    PUT("}U\x01w");
    put_tensor(REBUILD, offset, rows, columns, down, right);
    PUT("s");
    return finish(err);
}

static void views(void **state) {
    (void)state;
    static const float transposed[6] = {0, 3, 1, 4, 2, 5};
    static const float repeated[6] = {2, 3, 2, 3, 2, 3};
    variant_error err;
    vt_tensor_file *file = NULL;
    assert_int_equal(try_view(0, 2, 3, 3, 1, &err), VARIANT_OK);
    assert_int_equal(try_view(0, 3, 2, 1, 3, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_memory_equal(vt_tensor_file_find(file, "", "w")->data, transposed, sizeof transposed);
    vt_tensor_file_close(&file);
    assert_int_equal(try_view(2, 3, 2, 0, 1, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_memory_equal(vt_tensor_file_find(file, "", "w")->data, repeated, sizeof repeated);
    vt_tensor_file_close(&file);
    assert_int_equal(try_view(5, 1, 1, 99, 99, &err),
                     VARIANT_OK); /* strides of single sides do not matter */
    assert_int_equal(try_view(99, 0, 3, 3, 1, &err), VARIANT_OK); /* no elements, no reach */

    const int64_t huge = INT64_MAX;
    const int64_t bad[][5] = {{1, 2, 3, 3, 1},        {6, 1, 1, 1, 1},        {0, 2, 3, 4, 1},
                              {-1, 2, 3, 3, 1},       {0, -2, 3, 3, 1},       {0, 2, 3, -3, 1},
                              {huge, 1, 1, 1, 1},     {0, huge, huge, 1, 1},  {0, huge, 1, 0, 0},
                              {0, 2, 2, huge, huge},  {0, huge / 8, 2, 0, 1}, {huge, 2, 2, huge, 1},
                              {0, 2, 3, huge / 2, 1}, {0, 1 << 30, 1, 0, 0}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        if (try_view(bad[i][0], bad[i][1], bad[i][2], bad[i][3], bad[i][4], &err) !=
            VARIANT_E_FORMAT)
            fail_msg("view %zu is read", i);
    }
}

static void expect_refused(const char *word) {
    variant_error err;
    if (finish(&err) != VARIANT_E_FORMAT) fail_msg("'%s': not refused", word);
    if (!strstr(err.message, word)) fail_msg("'%s' is not in: %s", word, err.message);
}

/* The file is read; its one tensor says what it is when it is asked for its numbers. */
static void expect_other(const char *type) {
    variant_error err;
    float numbers[8];
    vt_tensor_file *file = NULL;
    if (finish(&err) != VARIANT_OK) fail_msg("%s: %s", type, err.message);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    const vt_tensor *tensor = vt_tensor_file_find(file, NULL, "w");
    assert_non_null(tensor);
    assert_int_equal(tensor->type, VT_OTHER);
    assert_string_equal(vt_tensor_type_name(tensor), type);
    vt_tensor asked = *tensor;
    asked.count = 1;
    assert_int_equal(vt_tensor_to_f32(&asked, numbers, &err), VARIANT_E_FORMAT);
    assert_non_null(strstr(err.message, type));
    vt_tensor_file_close(&file);
}

static void unknown_functions(void **state) {
    (void)state;
    variant_error err;
    /* A tensor made by a function that is not known, or of a type that is not read, is named, and an error
     * for whoever asks for its numbers. */
    start();
    PUT("}U\x01w");
    put_tensor("cevil\nmake_tensor\n", 0, 2, 3, 3, 1);
    PUT("s");
    expect_other("evil.make_tensor");
    start();
    PUT("}U\x01wctorch._utils\n_rebuild_tensor_v2\n(");
    put_storage("QInt8Storage");
    put_int(0);
    PUT("K\6\x85K\1\x85tRs");
    expect_other("QInt8Storage");

    /* A call to a function of the system is a record: nothing happens, and what is beside it is
     * read. */
    char marker[sizeof path + 8], command[128];
    snprintf(marker, sizeof marker, "%s.ran", path);
    snprintf(command, sizeof command, "touch %s", marker);
    start();
    PUT("}U\x01xcos\nsystem\n");
    put_string(command);
    PUT("\x85RsU\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    assert_int_equal(finish(&err), VARIANT_OK);
    assert_int_not_equal(access(marker, F_OK), 0);
    start();
    PUT("cos\nsystem\n");
    put_string(command);
    PUT("\x85R");
    expect_refused("no tensors");
    assert_int_not_equal(access(marker, F_OK), 0);
}

static void layouts(void **state) {
    (void)state;
    variant_error err;
    vt_tensor_file *file = NULL;
    /* {"state_dict": {"w": parameter}, "args": Namespace(lr=0.5, name="x"), "groups": [{"k": 1}],
     * "sizes": Size(2, 3), "odd": {7: w2, None: 1}} */
    start();
    PUT("}U\x0astate_dict}U\x01wctorch._utils\n_rebuild_parameter\n(");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("\x88"
        "ccollections\nOrderedDict\n)RtRss");
    PUT("U\x04"
        "argscargparse\nNamespace\n)\x81}U\x02lrG\x3f\xe0\0\0\0\0\0\0sU\x04nameU\x01xsbs");
    PUT("U\x06groups]}U\x01kK\x01sas");
    PUT("U\x05sizesctorch\nSize\nK\x02K\x03\x86\x85Rs");
    PUT("U\x03odd}K\x07");
    put_tensor(REBUILD, 3, 1, 3, 3, 1);
    PUT("sNK\x01ss");
    assert_int_equal(finish(&err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_open(&file, path, &err), VARIANT_OK);
    assert_int_equal(vt_tensor_file_count(file), 2);
    assert_non_null(vt_tensor_file_find(file, "state_dict", "w"));
    assert_non_null(vt_tensor_file_find(file, "odd", "7"));
    assert_true(((const float *)vt_tensor_file_find(file, NULL, "7")->data)[0] == 3.0f);
    assert_string_equal(vt_tensor_file_meta(file, "args/lr"), "0.5");
    assert_string_equal(vt_tensor_file_meta(file, "args/name"), "x");
    assert_string_equal(vt_tensor_file_meta(file, "groups/0/k"), "1");
    assert_string_equal(vt_tensor_file_meta(file, "sizes"), "[2,3]");
    assert_int_equal(vt_tensor_file_meta_count(file), 4);
    vt_tensor_file_close(&file);
    /* Protocol 4: frames, memoised strings, names from the stack. */
    start();
    PUT("\x80\x04\x95\x10\0\0\0\0\0\0\0}\x94\x8c\x01w\x94\x8c\x0ctorch._utils\x94\x8c\x12_rebuild_"
        "tensor_v2\x94\x93\x94(");
    PUT("(\x8c\x07storage\x8c\x05torch\x8c\x0c"
        "FloatStorage\x93\x8c\x01"
        "0\x8c\x03"
        "cpuK\x06NtQK\0K\x06\x85K\x01\x85\x89}tRs");
    assert_int_equal(finish(&err), VARIANT_OK);
    /* The same name twice. */
    start();
    PUT("}U\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("sU\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    expect_refused("twice");
}

static void hostile(void **state) {
    (void)state;
    variant_error err;
    static const struct {
        const char *bytes;
        size_t size;
        const char *word;
    } cases[] = {
#define CASE(literal, word) {literal, sizeof(literal) - 1, word}
        CASE("\xff", "unknown instruction 0xff"),
        CASE("P1\n", "unknown instruction"),
        CASE("i", "unknown instruction"),
        CASE("X\xff\xff\xff\xff", "ends early"),
        CASE("\x8e\xff\xff\xff\xff\xff\xff\xff\xff", "ends early"),
        CASE("\x8b\xff\xff\xff\xff", "ends early"),
        CASE("]r\xff\xff\xff\xff", "memo index"),
        CASE("]r\xff\xff\x3f\0", "memo index"), /* more than the pickle has bytes */
        CASE("]r\x04\0\0\0", "no tensors"),
        CASE("j\xff\xff\xff\xff", "memo index"),
        CASE("h\x07", "memo index"),
        CASE("q\0", "stack is empty"),
        CASE("0", "stack is empty"),
        CASE("\x87", "stack is empty"),
        CASE("K\x01(\x85", "stack is empty"),
        CASE("t", "no mark"),
        CASE("]K\x01K\x01s", "no container"),
        CASE("}(K\x01u", "without a value"),
        CASE("K\x01K\x01R", "no tuple"),
        CASE("K\x01K\x01\x93", "no string"),
        CASE("ccollections\nOrderedDict\n]K\x01"
             "a\x85R",
             "no pairs"),
        CASE("ccollections\nOrderedDict\nK\x01\x85R", "no list"),
        CASE("K\x01Q", "persistent id"),
        CASE("}U\x01wctorch._utils\n_rebuild_tensor_v2\n)Rs", "not rebuilt from"),
        CASE("}q\0U\x01"
             "ah\0s",
             "nested"), /* contains itself */
        CASE("]q\0h\0"
             "a",
             "nested"),
        CASE("cx\ny\n)Rq\0h\0b", "no tensors"), /* its own state */
        CASE("N", "no tensors"),
        CASE("(", "stack is empty"),
        CASE("", "stack is empty"),
#undef CASE
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        start();
        put(cases[i].bytes, cases[i].size);
        expect_refused(cases[i].word);
    }

    /* Nested deeper than a stack of calls would bear. */
    start();
    for (int i = 0; i < 200000; i++) PUT("]");
    for (int i = 0; i < 199999; i++) PUT("a");
    expect_refused("nested");
    start();
    for (int i = 0; i < 200000; i++) PUT("(");
    expect_refused("more values");

    /* Each level holds the last one twice: 2^40 values in 200 bytes, as lists and as dictionaries.
     */
    start();
    PUT("]q\0");
    for (int i = 0; i < 40; i++) PUT("0](h\0h\0eq\0");
    expect_refused("more values");
    start();
    PUT("}q\0");
    for (int i = 0; i < 40; i++) PUT("0}(K\x01h\0K\x02h\0uq\0");
    expect_refused("more memory"); /* that its paths would take */

    /* One list that is the argument of ever more calls of unknown functions. */
    start();
    PUT("]q\0");
    for (int i = 0; i < 40; i++) PUT("0cx\ny\n](h\0h\0e\x85Rq\0");
    expect_refused("no tensors");

    /* A control character in a name stays out of the message. */
    start();
    PUT("}U\x03w\nxctorch._utils\n_rebuild_tensor_v2\n)Rs");
    expect_refused("w?x");

    /* A NUL ends no name early: of a class, by lines or from the stack, of none at all, of a key. */
    static const char *const classes[] = {"\0FloatStorage", "", "Float\0Storage"};
    static const size_t lengths[] = {13, 0, 13};
    for (int i = 0; i < 3; i++) {
        start();
        PUT("}U\x01w(U\x07storagectorch\n");
        put(classes[i], lengths[i]);
        PUT("\nU\x01"
            "0U\x03"
            "cpuK\x06NtQs");
        expect_refused("a name that is empty or has a NUL in it");
    }
    start();
    PUT("}U\x01wU\x05torchU\x04"
        "a\0bc\x93)Rs");
    expect_refused("a name that is empty or has a NUL in it");
    start();
    PUT("}U\x03w\0x");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    expect_refused("a key with a NUL in it");

    /* Noise after each prefix of a sound pickle. */
    start();
    size_t head = made.size;
    PUT("}U\x01w");
    put_tensor(REBUILD, 0, 2, 3, 3, 1);
    PUT("s");
    size_t sound = made.size;
    for (uint64_t i = 0; i < 2000; i++) {
        made.size = head + vt_splitmix64(i) % (sound - head);
        for (int j = 0; j < 24; j++) {
            unsigned char byte = (unsigned char)vt_splitmix64(i * 24 + (uint64_t)j + 9);
            put(&byte, 1);
        }
        finish(&err);
        start();
        PUT("}U\x01w");
        put_tensor(REBUILD, 0, 2, 3, 3, 1);
        PUT("s");
    }
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(views),
        cmocka_unit_test(unknown_functions),
        cmocka_unit_test(layouts),
        cmocka_unit_test(hostile),
    };
    return cmocka_run_group_tests(tests, make_file, drop_file);
}

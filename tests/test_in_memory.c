/* test_in_memory.c - engines of models that a program holds in its memory: whole files and tables of tensors, of every type, make
 * the bytes that the file makes; the memory is only read; and what cannot be a model is refused in one line. */
#include "fixtures.h"

#include "engine/engine.h"
#include "io/file.h"

#define MOST 512

static char folder[64], paths[3][128]; /* in f32, f16, bf16 */
static const char *const types[] = {"f32", "f16", "bf16"};

static int write_models(void **state) {
    (void)state;
    make_folder(folder);
    for (int i = 0; i < 3; ++i) {
        synthetic model;
        synthetic_open(&model, 'A');
        snprintf(paths[i], sizeof paths[i], "%s/%s.safetensors", folder, types[i]);
        const vt_model_save save = {.tokenizer = model.tokenizer,
                                    .transformer = model.transformer,
                                    .force = true,
                                    .type = i == 0   ? VT_F32
                                            : i == 1 ? VT_F16
                                                     : VT_BF16};
        assert_ok(vt_model_write(paths[i], &save, err));
        synthetic_close(&model);
    }
    return 0;
}

static int remove_models(void **state) {
    (void)state;
    remove_folder(folder);
    return 0;
}

/* A file's tensors as a program has them, those that `is` takes; names, shapes and a copy of all data are owned. */
typedef struct table {
    variant_tensor tensors[MOST];
    size_t count, bytes;
    char names[MOST][128];
    int64_t shapes[MOST][6];
    unsigned char *data, *kept; /* the copy, and what it was */
} table;

static bool all(const char *name) {
    (void)name;
    return true;
}

static bool is_tokenizer(const char *name) {
    return strncmp(name, "encoder.", 8) == 0 || strncmp(name, "decoder.", 8) == 0 ||
           strncmp(name, "quant", 5) == 0 || strncmp(name, "post_quant", 10) == 0;
}

static bool is_transformer(const char *name) {
    return !is_tokenizer(name);
}

/* shift: how far each lies behind a multiple of 64. */
static void table_open(table *out, const char *path, bool (*is)(const char *), size_t shift) {
    vt_tensor_file *file;
    assert_ok(vt_tensor_file_open(&file, path, err));
    out->bytes = vt_tensor_file_bytes(file) + (size_t)vt_tensor_file_count(file) * 128;
    assert_int_equal(posix_memalign((void **)&out->data, 64, out->bytes), 0);
    memset(out->data, 0, out->bytes);
    out->count = 0;
    size_t at = shift;
    for (int i = 0; i < vt_tensor_file_count(file); ++i) {
        const vt_tensor *t = vt_tensor_file_at(file, i);
        if (!is(t->name)) continue;
        variant_tensor *made = &out->tensors[out->count];
        snprintf(out->names[out->count], sizeof out->names[0], "%s", t->name);
        memcpy(out->shapes[out->count], t->shape, sizeof t->shape);
        memcpy(out->data + at, t->data, t->bytes);
        *made = (variant_tensor){.name = out->names[out->count],
                                 .dtype = vt_dtype_name(t->type),
                                 .rank = t->rank,
                                 .shape = out->shapes[out->count],
                                 .data = out->data + at};
        at += (t->bytes + 63) / 64 * 64;
        assert_true(++out->count < MOST && at < out->bytes);
    }
    vt_tensor_file_close(&file);
    out->kept = malloc(out->bytes);
    assert_non_null(out->kept);
    memcpy(out->kept, out->data, out->bytes);
}

static void table_close(table *t) {
    assert_memory_equal(t->data, t->kept, t->bytes); /* nobody wrote to it */
    free(t->data);
    free(t->kept);
}

static variant_engine_options options_of(const char *weights) {
    variant_engine_options options;
    variant_engine_options_init(&options);
    options.threads = 1;
    options.weights = weights;
    options.sides = "1,2,3,4";
    options.encoder = true;
    return options;
}

/* Two pictures, one of them edited: the decoder, the transformer and the encoder. */
static variant_picture *draw(const variant_engine_options *options, char hash[17]) {
    variant_engine *engine;
    variant_picture *pictures;
    variant_request request;
    variant_edit edit;
    static const uint8_t grey[8 * 8 * 3], mask[8 * 8] = {255, 255, 255};
    variant_request_init(&request);
    variant_edit_init(&edit);
    edit.width = edit.height = 8;
    edit.channels = 3;
    edit.pixels = grey;
    edit.mask = mask;
    request.edits = &edit;
    request.edit_count = 1;
    request.class_name = "3";
    request.count = 2;
    assert_ok(variant_engine_open(&engine, options, err));
    snprintf(hash, 17, "%s", variant_engine_info(engine)->hash);
    assert_ok(variant_generate(engine, &request, &pictures, NULL, err));
    variant_engine_close(&engine);
    return pictures;
}

static void assert_draws(const variant_engine_options *options, const variant_picture *want,
                         const char *hash) {
    char own[17];
    variant_picture *got = draw(options, own);
    assert_string_equal(own, hash);
    for (int i = 0; i < 2; ++i) {
        assert_memory_equal(got[i].pixels, want[i].pixels,
                            (size_t)want[i].width * (size_t)want[i].height * 3);
        assert_memory_equal(got[i].tokens, want[i].tokens,
                            (size_t)want[i].token_count * sizeof(int32_t));
        assert_string_equal(got[i].settings, want[i].settings);
    }
    variant_pictures_free(&got, 2);
}

static void each_type_makes_the_bytes_of_the_file(void **state) {
    (void)state;
    static const char *const weights[] = {"f32", "bf16", "int8"};
    static table t;
    for (int i = 0; i < 3; ++i) {
        for (int w = 0; w < 3; ++w) {
            char hash[17];
            variant_engine_options options = options_of(weights[w]);
            options.model = paths[i];
            variant_picture *want = draw(&options, hash);
            options.model = NULL;
            for (size_t shift = 0; shift < 3; ++shift) { /* in place, and where it cannot be */
                table_open(&t, paths[i], all, shift);
                options.model_tensors = t.tensors;
                options.model_tensor_count = t.count;
                assert_draws(&options, want, hash);
                table_close(&t);
            }
            variant_pictures_free(&want, 2);
        }
    }
}

static void parts_may_come_apart(void **state) {
    (void)state;
    static table tokenizer, transformer;
    char apart[17], hash[17];
    variant_engine_options options = options_of(NULL);
    options.model = paths[0];
    variant_picture *whole = draw(&options, hash);
    table_open(&tokenizer, paths[0], is_tokenizer, 0);
    table_open(&transformer, paths[0], is_transformer, 0);
    options.model = NULL;
    options.model_tensors = transformer.tensors;
    options.model_tensor_count = transformer.count;
    options.tokenizer_tensors = tokenizer.tensors;
    options.tokenizer_tensor_count = tokenizer.count;
    variant_picture *got = draw(&options, apart);
    assert_memory_equal(got[1].pixels, whole[1].pixels,
                        (size_t)whole[1].width * (size_t)whole[1].height * 3);
    variant_pictures_free(&got, 2);
    options.model_tensors = NULL; /* and one of them from a file */
    options.model_tensor_count = 0;
    options.model = paths[0];
    got = draw(&options, apart);
    assert_memory_equal(got[0].pixels, whole[0].pixels,
                        (size_t)whole[0].width * (size_t)whole[0].height * 3);
    variant_pictures_free(&got, 2);
    variant_pictures_free(&whole, 2);
    table_close(&tokenizer);
    table_close(&transformer);
}

/* How a program gets them out of a wrapped model. */
static void names_may_be_wrapped(void **state) {
    (void)state;
    static table t;
    char hash[17];
    variant_engine_options options = options_of(NULL);
    table_open(&t, paths[0], all, 0);
    options.model_tensors = t.tensors;
    options.model_tensor_count = t.count;
    variant_picture *want = draw(&options, hash);
    for (size_t i = 0; i < t.count; ++i) {
        char name[100];
        snprintf(name, sizeof name, "%s", t.names[i]);
        snprintf(t.names[i], sizeof t.names[i], "module._orig_mod.%s", name);
    }
    assert_draws(&options, want, hash);
    variant_pictures_free(&want, 2);
    table_close(&t);
}

static char *read_whole(const char *path, size_t *size) {
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    fseek(file, 0, SEEK_END);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = malloc(*size);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, *size, file), *size);
    fclose(file);
    return bytes;
}

static void a_whole_file_in_memory(void **state) {
    (void)state;
    for (int i = 0; i < 3; ++i) {
        char hash[17];
        size_t size;
        char *bytes = read_whole(paths[i], &size), *kept = malloc(size);
        assert_non_null(kept);
        memcpy(kept, bytes, size);
        variant_engine_options options = options_of(NULL);
        options.sides = NULL; /* the file has them */
        options.model = paths[i];
        variant_picture *want = draw(&options, hash);
        options.model = NULL;
        options.model_bytes = bytes;
        options.model_size = size;
        assert_draws(&options, want, hash);
        assert_memory_equal(bytes, kept, size);
        for (size_t cut = 0; cut < size; cut = cut * 2 + 1) { /* a buffer of just this length */
            variant_engine *engine;
            char *part = malloc(cut + (cut == 0));
            memcpy(part, bytes, cut);
            options.model_bytes = part;
            options.model_size = cut;
            assert_fails(variant_engine_open(&engine, &options, err), VARIANT_E_FORMAT,
                         "model in memory: ");
            assert_null(engine);
            free(part);
        }
        free(bytes);
        free(kept);
        variant_pictures_free(&want, 2);
    }
}

static void assert_refused(const variant_engine_options *options, variant_status code,
                           const char *words) {
    variant_engine *engine;
    assert_fails(variant_engine_open(&engine, options, err), code, words);
    assert_null(engine);
}

/* Once with tensor `i` as `bad` is. */
static void assert_bad(table *t, size_t i, variant_tensor bad, variant_status code,
                       const char *words) {
    variant_engine_options options = options_of(NULL);
    const variant_tensor good = t->tensors[i];
    options.model_tensors = t->tensors;
    options.model_tensor_count = t->count;
    t->tensors[i] = bad;
    assert_refused(&options, code, words);
    t->tensors[i] = good;
}

static void what_is_no_model_is_refused(void **state) {
    (void)state;
    static table t;
    static const int64_t negative[] = {-1, 4}, huge[] = {INT64_MAX, INT64_MAX};
    table_open(&t, paths[0], all, 0);
    variant_tensor bad = t.tensors[4];
    bad.name = NULL;
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "tensor 4 of the table has no name");
    bad = t.tensors[4], bad.dtype = "float32";
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "dtype 'float32': expected f32, f16 or bf16");
    bad = t.tensors[4], bad.dtype = NULL;
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "expected f32, f16 or bf16");
    bad = t.tensors[4], bad.rank = 7;
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "7 dimensions, expected 0 to 6");
    bad = t.tensors[4], bad.rank = -1;
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "-1 dimensions");
    bad = t.tensors[4], bad.shape = NULL;
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "without a shape");
    bad = t.tensors[4], bad.data = NULL;
    assert_bad(&t, 4, bad, VARIANT_E_ARGUMENT, "no data");
    bad = t.tensors[4], bad.rank = 2, bad.shape = negative;
    assert_bad(&t, 4, bad, VARIANT_E_FORMAT, "shape is negative or too large");
    bad.shape = huge;
    assert_bad(&t, 4, bad, VARIANT_E_FORMAT, "shape is negative or too large");
    bad = t.tensors[5];
    assert_bad(&t, 4, bad, VARIANT_E_FORMAT, "is there twice");

    variant_engine_options options = options_of(NULL);
    assert_refused(&options, VARIANT_E_ARGUMENT, "no model given");
    options.model_tensors = t.tensors;
    assert_refused(&options, VARIANT_E_MODEL, "model in memory: no tokenizer or transformer in it");
    options.model_tensor_count = t.count;
    options.model = paths[0];
    assert_refused(&options, VARIANT_E_ARGUMENT, "model in memory: given 2 times");
    options.model = NULL;
    options.sides = NULL;
    assert_refused(&options, VARIANT_E_MODEL, "");
    table_close(&t);
}

/* ---- what a table's configuration says ---- */

static char told[512];

static void hear(void *user, const char *line) {
    (void)user;
    snprintf(told, sizeof told, "%s", line);
}

#define TEN "\"a\",\"b\",\"c\",\"d\",\"e\",\"f\",\"g\",\"h\",\"i\",\"j\""

/* The file has its names and what it was trained for, and draws what the table draws. */
static void a_table_is_converted(void **state) {
    (void)state;
    static table t;
    char path[128], hash[17];
    variant_engine_options options = options_of(NULL);
    variant_convert_options into;
    variant_inspection *found = NULL;
    table_open(&t, paths[0], all, 0);
    options.model_tensors = t.tensors;
    options.model_tensor_count = t.count;
    options.model_config = "{\"format\":1,\"classes\":[" TEN "],\"supernet\":{\"bridge\":2,"
                           "\"depths\":[3,2],\"layers\":\"equidistant\"}}";
    options.warn = hear;
    told[0] = '\0';
    variant_picture *want = draw(&options, hash);
    variant_convert_options_init(&into);
    snprintf(path, sizeof path, "%s/table.safetensors", folder);
    into.output = path;
    assert_ok(variant_convert(NULL, &options, &into, err));
    assert_string_equal(told, "");
    variant_engine_options file = options_of(NULL);
    file.model = path;
    file.sides = NULL;
    assert_ok(variant_inspect(&found, &file, NULL, err));
    const variant_transformer_facts *facts = found->transformer;
    assert_int_equal(facts->class_name_count, 10);
    assert_string_equal(facts->class_names[9], "j");
    assert_true(facts->supernet && facts->depth_count == 2 && facts->depths[0] == 3);
    assert_true(facts->bridge == 2 && facts->scales == 4);
    variant_inspection_free(&found);
    assert_draws(&file, want, hash);
    variant_pictures_free(&want, 2);
    table_close(&t);
}

/* Names that are more or fewer than the classes are of another model. */
static void names_that_do_not_fit_are_told(void **state) {
    (void)state;
    static table t;
    variant_engine *engine;
    variant_engine_options options = options_of(NULL);
    table_open(&t, paths[0], all, 0);
    options.model_tensors = t.tensors;
    options.model_tensor_count = t.count;
    options.model_config = "{\"format\":1,\"classes\":[\"a\",\"b\",\"c\"]}";
    options.warn = hear;
    told[0] = '\0';
    assert_ok(variant_engine_open(&engine, &options, err));
    assert_non_null(strstr(told, "names 3 classes, but the model has 10: its names are not taken"));
    assert_null(variant_engine_class_name(engine, 0));
    variant_engine_close(&engine);
    told[0] = '\0';
    options.model_config = "{\"format\":1,\"classes\":[" TEN "]}";
    assert_ok(variant_engine_open(&engine, &options, err));
    assert_string_equal(told, "");
    assert_string_equal(variant_engine_class_name(engine, 0), "a");
    variant_engine_close(&engine);
    table_close(&t);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(each_type_makes_the_bytes_of_the_file),
                                       cmocka_unit_test(parts_may_come_apart),
                                       cmocka_unit_test(names_may_be_wrapped),
                                       cmocka_unit_test(a_whole_file_in_memory),
                                       cmocka_unit_test(what_is_no_model_is_refused),
                                       cmocka_unit_test(a_table_is_converted),
                                       cmocka_unit_test(names_that_do_not_fit_are_told)};
    return cmocka_run_group_tests(tests, write_models, remove_models);
}

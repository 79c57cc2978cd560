/* test_transformer_config.c - the shapes of transformers and tokenizers read off names and shapes of
 * files: published and small ones. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "tokenizer/tokenizer.h"
#include "transformer/transformer.h"

#define OK(expression)                                                                             \
    do {                                                                                           \
        variant_error err = {0};                                                                   \
        if ((expression) != VARIANT_OK) fail_msg("%s: %s", #expression, err.message);              \
    } while (0)

/* A safetensors file with a manifest's names and shapes and no data on the disk: its data is one
 * hole. */
static void write_hollow(const char *path, const cJSON *tensors) {
    cJSON *header = cJSON_CreateObject();
    const cJSON *tensor;
    long long at = 0;
    cJSON_ArrayForEach(tensor, tensors) {
        cJSON *entry = cJSON_AddObjectToObject(header, tensor->string);
        const cJSON *dimension;
        long long bytes = 4;
        cJSON_ArrayForEach(dimension, tensor) bytes *= (long long)dimension->valuedouble;
        cJSON_AddStringToObject(entry, "dtype", "F32");
        cJSON_AddItemToObject(entry, "shape", cJSON_Duplicate(tensor, 1));
        cJSON *offsets = cJSON_AddArrayToObject(entry, "data_offsets");
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)at));
        cJSON_AddItemToArray(offsets, cJSON_CreateNumber((double)(at += bytes)));
    }
    char *text = cJSON_PrintUnformatted(header);
    uint64_t length = (strlen(text) + 63) / 64 * 64 + 56; /* data aligned, so that it is mapped */
    FILE *file = fopen(path, "wb");
    assert_non_null(file);
    assert_int_equal(fwrite(&length, 8, 1, file), 1);
    assert_int_equal(fprintf(file, "%-*s", (int)length, text), length);
    assert_int_equal(fflush(file), 0);
    assert_int_equal(ftruncate(fileno(file), (off_t)(8 + length) + at), 0);
    fclose(file);
    cJSON_free(text);
    cJSON_Delete(header);
}

static cJSON *read_json(const char *path) {
    static char text[1 << 18];
    FILE *file = fopen(path, "rb");
    assert_non_null(file);
    size_t n = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[n] = '\0';
    cJSON *json = cJSON_Parse(text);
    assert_non_null(json);
    return json;
}

static char folder[] = "/tmp/variant_transformer_XXXXXX";

static int make_folder(void **state) {
    (void)state;
    return mkdtemp(folder) == NULL;
}

static int remove_folder(void **state) {
    (void)state;
    return rmdir(folder);
}

/* Every tensor of the file is registered under its name and shape, and nothing else is. */
static void check_registered(const vt_params *params, const vt_tensor_file *file) {
    assert_int_equal(params->count, vt_tensor_file_count(file));
    for (int i = 0; i < params->count; ++i) {
        const vt_tensor *tensor = vt_tensor_file_at(file, i);
        const vt_param *param = vt_params_find(params, tensor->name);
        if (!param) fail_msg("%s is not registered", tensor->name);
        assert_int_equal(param->rank, tensor->rank);
        assert_memory_equal(param->shape, tensor->shape,
                            (size_t)tensor->rank * sizeof tensor->shape[0]);
    }
}

static void check_published(const char *name, int depth, bool shared, int last_side) {
    char path[512], hollow[512];
    vt_tensor_file *file = NULL;
    vt_transformer_config config = {0};
    snprintf(path, sizeof path, VARIANT_TEST_DIR "/golden/manifest/manifest_var_%s.json", name);
    snprintf(hollow, sizeof hollow, "%s/%s.safetensors", folder, name);
    cJSON *manifest = read_json(path);
    write_hollow(hollow, cJSON_GetObjectItem(manifest, "var"));
    OK(vt_tensor_file_open(&file, hollow, &err));
    unlink(hollow);
    OK(vt_transformer_config_infer(&config, file, NULL, &err));
    const int wide[10] = {1, 2, 3, 4, 6, 9, 13, 18, 24, 32},
              narrow[10] = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16};
    assert_int_equal(config.depth, depth);
    assert_int_equal(config.width, 64 * depth);
    assert_int_equal(config.heads, depth);
    assert_int_equal(config.hidden, 256 * depth);
    assert_int_equal(config.codes, 4096);
    assert_int_equal(config.latent_dim, 32);
    assert_int_equal(config.classes, 1000);
    assert_true(config.l2_norm);
    assert_int_equal(config.shared_adaln, shared);
    assert_int_equal(config.scales, 10);
    assert_memory_equal(config.sides, last_side == 32 ? wide : narrow, sizeof wide);

    vt_kern *kern = NULL;
    vt_transformer *transformer = NULL;
    OK(vt_kern_open(&kern, "ref", 1, &err));
    OK(vt_transformer_open(&transformer, kern, &config, &err));
    check_registered(vt_transformer_params(transformer), file);
    vt_transformer_close(&transformer);
    vt_kern_close(&kern);
    vt_tensor_file_close(&file);
    cJSON_Delete(manifest);
}

static void test_infer_published(void **state) {
    (void)state;
    check_published("d16", 16, false, 16);
    check_published("d20", 20, false, 16);
    check_published("d24", 24, false, 16);
    check_published("d30", 30, false, 16);
    check_published("d36_512", 36, true, 32);
}

/* The tokenizer that all published transformers share: vae_ch160v4096z32. */
static void test_infer_published_tokenizer(void **state) {
    (void)state;
    char hollow[512];
    vt_tensor_file *file = NULL;
    vt_tokenizer_config config = {.scales = 10, .sides = {1, 2, 3, 4, 5, 6, 8, 10, 13, 16}};
    const int mult[5] = {1, 1, 2, 2, 4};
    snprintf(hollow, sizeof hollow, "%s/vae.safetensors", folder);
    cJSON *manifest = read_json(VARIANT_TEST_DIR "/golden/manifest/manifest_var_d16.json");
    write_hollow(hollow, cJSON_GetObjectItem(manifest, "vae"));
    OK(vt_tensor_file_open(&file, hollow, &err));
    unlink(hollow);
    OK(vt_tokenizer_config_infer(&config, file, NULL, &err));
    assert_int_equal(config.channels, 3);
    assert_int_equal(config.base_width, 160);
    assert_int_equal(config.levels, 5);
    assert_memory_equal(config.mult, mult, sizeof mult);
    assert_int_equal(config.blocks, 2);
    assert_int_equal(config.codes, 4096);
    assert_int_equal(config.latent_dim, 32);
    assert_int_equal(vt_tokenizer_side(&config), 256);
    vt_kern *kern = NULL;
    vt_tokenizer *tokenizer = NULL;
    OK(vt_kern_open(&kern, "ref", 1, &err));
    OK(vt_tokenizer_open(&tokenizer, kern, &config, &err));
    check_registered(vt_tokenizer_params(tokenizer), file);
    vt_tokenizer_close(&tokenizer);
    vt_kern_close(&kern);
    vt_tensor_file_close(&file);
    cJSON_Delete(manifest);
}

/* A small file, changed in one place, and what is said about it. */
static void check_infer(const char *edit_name, const char *edit_shape, vt_transformer_config given,
                        const char *message) {
    cJSON *tensors =
        cJSON_Parse("{\"pos_start\":[1,1,32],\"pos_1LC\":[1,14,32],\"word_embed.weight\":[32,8],"
                    "\"class_emb.weight\":[6,32],"
                    "\"lvl_embed.weight\":[3,32],\"blocks.0.attn.mat_qkv.weight\":[96,32],\"blocks."
                    "0.ffn.fc1.weight\":[48,32],"
                    "\"blocks.1.attn.mat_qkv.weight\":[96,32],\"head.weight\":[12,32]}");
    assert_non_null(tensors);
    if (edit_name != NULL) {
        cJSON_DeleteItemFromObject(tensors, edit_name);
        if (edit_shape != NULL) cJSON_AddItemToObject(tensors, edit_name, cJSON_Parse(edit_shape));
    }
    char path[512];
    snprintf(path, sizeof path, "%s/small.safetensors", folder);
    write_hollow(path, tensors);
    cJSON_Delete(tensors);
    vt_tensor_file *file = NULL;
    variant_error error = {0};
    OK(vt_tensor_file_open(&file, path, &err));
    unlink(path);
    variant_status status = vt_transformer_config_infer(&given, file, NULL, &error);
    if (message == NULL) {
        assert_int_equal(status, VARIANT_OK);
        assert_int_equal(given.depth, 2);
        assert_int_equal(given.width, 32);
        assert_int_equal(given.heads, 4);
        assert_int_equal(given.hidden, 48);
        assert_int_equal(given.classes, 5);
        assert_false(given.l2_norm);
    } else {
        assert_int_equal(status, VARIANT_E_MODEL);
        if (strstr(error.message, message) == NULL)
            fail_msg("\"%s\" does not say \"%s\"", error.message, message);
    }
    vt_tensor_file_close(&file);
}

static void test_infer_small(void **state) {
    (void)state;
    const vt_transformer_config told = {.heads = 4, .scales = 3, .sides = {1, 2, 3}};
    check_infer(NULL, NULL, told, NULL);
    check_infer(NULL, NULL, (vt_transformer_config){.scales = 3, .sides = {1, 2, 3}}, "give heads");
    check_infer(NULL, NULL, (vt_transformer_config){.heads = 4}, "give sides");
    check_infer(NULL, NULL, (vt_transformer_config){.heads = 4, .scales = 3, .sides = {1, 2, 4}},
                "3 scales of 14");
    check_infer(NULL, NULL, (vt_transformer_config){.heads = 5, .scales = 3, .sides = {1, 2, 3}},
                "5 heads");
    /* a tensor tells the heads: a number beside it must be that */
    check_infer("blocks.0.attn.scale_mul_1H11", "[1,4,1,1]", (vt_transformer_config){.heads = 8},
                "heads 8 do not fit: blocks.0.attn.scale_mul_1H11 has 4");
    check_infer("head.weight", NULL, told, "no tensor head.weight");
    check_infer("head.weight", "[12]", told, "head.weight has 1 dimensions");
    check_infer("class_emb.weight", "[1,32]", told, "classes is 0");
    check_infer("word_embed.weight", "[32,0]", told, "word_embed.weight is 0");
}

/* Sides from the original's buffer of levels: right ones, and what is none, which is passed over. */
static void check_levels(const int64_t levels[14], const char *dtype, const char *expected) {
    static float zeros[96 * 32];
    static const int64_t shapes[][3] = {{1, 14, 32}, {32, 8},  {6, 32},  {3, 32},
                                        {96, 32},    {48, 32}, {12, 32}, {1, 14}};
    static const char *const names[] = {"pos_1LC",
                                        "word_embed.weight",
                                        "class_emb.weight",
                                        "lvl_embed.weight",
                                        "blocks.0.attn.mat_qkv.weight",
                                        "blocks.0.ffn.fc1.weight",
                                        "head.weight",
                                        "lvl_1L"};
    variant_tensor table[8];
    variant_error error = {0};
    vt_tensor_file *file = NULL;
    vt_transformer_config config = {.heads = 4};
    for (int i = 0; i < 8; ++i)
        table[i] = (variant_tensor){names[i], "f32", i ? 2 : 3, shapes[i], zeros};
    table[7].dtype = dtype;
    table[7].data = levels;
    OK(vt_tensor_file_of_table(&file, "table", table, 8, &err));
    const variant_status status = vt_transformer_config_infer(&config, file, NULL, &error);
    if (!expected) {
        assert_int_equal(status, VARIANT_E_MODEL);
        assert_non_null(strstr(error.message, "give sides"));
    } else {
        char found[32];
        assert_int_equal(status, VARIANT_OK);
        snprintf(found, sizeof found, "%d,%d,%d", config.sides[0], config.sides[1],
                 config.sides[2]);
        assert_string_equal(found, expected);
    }
    vt_tensor_file_close(&file);
}

static void test_infer_levels(void **state) {
    (void)state;
    int64_t levels[14] = {0, 1, 1, 1, 1, 2, 2, 2, 2, 2, 2, 2, 2, 2};
    check_levels(levels, "I64", "1,2,3");
    check_levels(levels, "F64", NULL); /* other numbers */
    levels[5] = 1;
    check_levels(levels, "I64", NULL); /* 5 and 8 are no squares */
    levels[5] = 3;
    check_levels(levels, "I64", NULL);
    levels[5] = 0;
    check_levels(levels, "I64", NULL);
    levels[5] = 2;
    levels[0] = -1;
    check_levels(levels, "I64", NULL);
    memset(levels, 0, sizeof levels);
    check_levels(levels, "I64", NULL);
}

int main(void) {
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_infer_published),
        cmocka_unit_test(test_infer_published_tokenizer),
        cmocka_unit_test(test_infer_small),
        cmocka_unit_test(test_infer_levels),
    };
    return cmocka_run_group_tests(tests, make_folder, remove_folder);
}

/* config.c - the configuration JSON of a model file, "variant.config", by vt_file_config_read; the same text as a trainer's list of sides. */
#include "engine/model_config.h"
#include "tests/fuzz/fuzz.h"

static void read_as(const char *key, const char *text, size_t size) {
    static const float zero[1];
    static const int64_t shape[] = {1};
    const variant_tensor tensor = {
        .name = "x", .dtype = "f32", .rank = 1, .shape = shape, .data = zero};
    vt_tensor_file *file = NULL;
    vt_file_config config;
    variant_error err = {0};
    FUZZ_OK(vt_tensor_file_of_table(&file, "input", &tensor, 1, &err));
    FUZZ_OK(vt_tensor_file_add_meta(file, key, text, &err));
    fuzz_begin();
    const variant_status status = vt_file_config_read(&config, file, &err);
    fuzz_told(status, &err);
    fuzz_end(((size_t)1 << 20) + 64 * size);
    if (status == VARIANT_OK) {
        FUZZ_EXPECT(config.tokenizer_scales >= 0 && config.tokenizer_scales <= VT_MAX_SCALES);
        for (int k = 0; k < config.tokenizer_scales; ++k)
            FUZZ_EXPECT(config.tokenizer_sides[k] > 0);
        for (int k = 0; k < config.transformer_scales; ++k)
            FUZZ_EXPECT(config.transformer_sides[k] > 0);
        for (int i = 0; i < config.class_count; ++i) FUZZ_EXPECT(config.class_names[i]);
        FUZZ_EXPECT(config.preview.levels >= 0 && config.preview.levels <= VT_MAX_LEVELS);
        vt_file_config_free(&config);
    }
    vt_tensor_file_close(&file);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *text = fuzz_text(data, size);
    read_as(VT_CONFIG_KEY, text, size);
    read_as("trainer/config/patch_nums", text, size);
    free(text);
    return 0;
}

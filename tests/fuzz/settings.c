/* settings.c - the settings that a picture carries, as JSON in a PNG's text, by variant_settings_read and variant_settings_request: the model's hash
 * is put in where the input says "HASH". */
#include <zlib.h>

#include "tests/fuzz/engine.h"

static uint8_t *chunk(uint8_t *at, const char *kind, const void *bytes, size_t size) {
    const uint8_t length[4] = {(uint8_t)(size >> 24), (uint8_t)(size >> 16), (uint8_t)(size >> 8),
                               (uint8_t)size};
    memcpy(at, length, 4);
    memcpy(at + 4, kind, 4);
    if (size) memcpy(at + 8, bytes, size);
    const uint32_t sum = (uint32_t)crc32(0, at + 4, (uInt)size + 4);
    for (int i = 0; i < 4; ++i) at[8 + size + (size_t)i] = (uint8_t)(sum >> (24 - 8 * i));
    return at + 12 + size;
}

/* A grey pixel, with the text; free() it. */
static size_t picture_with(uint8_t **out, const char *text) {
    static const uint8_t head[] = {0, 0, 0, 1, 0, 0, 0, 1, 8, 0, 0, 0, 0};
    static const uint8_t pixel[] = {0x78, 0x9c, 0x63, 0x60, 0, 0, 0, 2, 0, 1};
    const size_t size = strlen(text);
    char *pair = malloc(size + 9);
    uint8_t *at = *out = malloc(size + 200);
    FUZZ_EXPECT(pair && at);
    memcpy(pair, "variant\0", 8);
    memcpy(pair + 8, text, size);
    memcpy(at, "\x89PNG\r\n\x1A\n", 8);
    at = chunk(chunk(at + 8, "IHDR", head, sizeof head), "tEXt", pair, size + 8);
    at = chunk(chunk(at, "IDAT", pixel, sizeof pixel), "IEND", NULL, 0);
    free(pair);
    return (size_t)(at - *out);
}

/* With the model's hash, 16 letters, in the place of HASH. */
static char *with_hash(const char *text) {
    const char *hash = variant_engine_info(engine)->hash, *found = strstr(text, "HASH");
    char *out = malloc(strlen(text) + 20);
    FUZZ_EXPECT(out);
    if (found)
        sprintf(out, "%.*s%s%s", (int)(found - text), text, hash, found + 4);
    else
        strcpy(out, text);
    return out;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *input = fuzz_text(data, size), *text = with_hash(input);
    uint8_t *png;
    variant_error err = {0};
    variant_settings *settings = NULL;
    variant_request request;
    variant_edit edit;
    const size_t bytes = picture_with(&png, text);
    const char *path = fuzz_file(png, bytes);
    fuzz_begin();
    variant_status status = variant_settings_read(&settings, path, &err);
    fuzz_told(status, &err);
    if (status == VARIANT_OK) {
        variant_request_init(&request);
        variant_edit_init(&edit);
        status = variant_settings_request(settings, engine, &request, &err);
        fuzz_told(status, &err);
        if (status == VARIANT_OK) FUZZ_EXPECT(request.label_count == 1 && request.layers);
        (void)variant_settings_edit(settings, &edit);
    }
    variant_settings_free(&settings);
    fuzz_end(((size_t)8 << 20) + 64 * size);
    free(png);
    free(text);
    free(input);
    return 0;
}

/* wish.c - the JSON body of a request for pictures, by sv_json_read and sv_wish_read; and of one to edit a picture, by sv_parts_of_json. */
#include "serve/wish.h"
#include "tests/fuzz/engine.h"

static void refused(bool done, const sv_fault *fault) {
    if (done) return;
    fuzz_one_line(fault->message);
    FUZZ_EXPECT(fault->status == 400 && fault->code);
    cJSON *json = sv_fault_json(fault);
    FUZZ_EXPECT(json);
    cJSON_Delete(json);
}

static void wish_for(const char *body, size_t size) {
    sv_wish_context context = {.engine = engine, .batch = 8, .deadline = 60.0};
    sv_fault fault = {0};
    sv_wish wish;
    cJSON *json;
    const bool done = sv_json_read(&json, body, size, &fault);
    refused(done, &fault);
    if (!done) return;
    context.info = *variant_engine_info(engine);
    const bool read = sv_wish_read(&wish, &context, NULL, NULL, json, &fault);
    refused(read, &fault);
    if (read) FUZZ_EXPECT(wish.request.count >= 1 && wish.request.count <= SV_MOST_PICTURES);
    if (read) FUZZ_EXPECT(wish.partials >= 0 && wish.partials <= SV_MOST_PARTIALS);
    sv_wish_free(&wish);
}

static void edit_of(const char *body, size_t size) {
    sv_fault fault = {0};
    sv_parts parts;
    sv_edit edit = {0};
    const bool read = sv_parts_of_json(&parts, body, size, &fault);
    refused(read, &fault);
    if (read) {
        const bool measured = sv_edit_measure(&edit, &parts, &fault);
        refused(measured, &fault);
        if (measured && edit.bytes < 1 << 20)
            refused(sv_edit_decode(&edit, &parts, &fault), &fault);
        sv_edit_free(&edit);
    }
    sv_parts_free(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size) {
    char *body = malloc(size ? size : 1); /* exactly so long */
    FUZZ_EXPECT(body);
    if (size) memcpy(body, data, size);
    fuzz_begin();
    wish_for(body, size);
    edit_of(body, size);
    fuzz_end(((size_t)8 << 20) + 64 * size);
    free(body);
    return 0;
}

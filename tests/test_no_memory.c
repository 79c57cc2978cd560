/* test_no_memory.c - every allocation of opening a model and drawing from it fails once: each time an error comes back, in one line, and nothing is kept
 * (failing_memory.h). */
#include "tests/failing_memory.h"
#include "tests/model_folder.h"

static uint64_t digest_of(const variant_picture *pictures, int count) {
    uint64_t digest = 0;
    for (int i = 0; i < count; ++i) {
        const variant_picture *p = &pictures[i];
        digest ^=
            vt_fnv1a64(p->pixels, (size_t)p->width * (size_t)p->height * (size_t)p->channels) +
            (uint64_t)i;
    }
    return digest;
}

static variant_status open_and_draw(uint64_t *digest, variant_error *err) {
    variant_engine *engine = NULL;
    variant_engine_options options;
    variant_request request;
    variant_picture *pictures = NULL;
    variant_engine_options_init(&options);
    options.model = model_path;
    options.threads = 1;
    variant_status status = variant_engine_open(&engine, &options, err);
    if (status != VARIANT_OK) {
        assert_null(engine);
        return status;
    }
    variant_request_init(&request);
    request.class_name = "3,1";
    request.count = 2;
    request.depth = 3;
    request.bridge = 2;
    request.keep_scales = true;
    status = variant_generate(engine, &request, &pictures, NULL, err);
    if (status == VARIANT_OK) {
        *digest = digest_of(pictures, request.count);
        variant_pictures_free(&pictures, request.count);
    }
    assert_null(pictures);
    variant_engine_close(&engine);
    return status;
}

static void opening_and_drawing(void **state) {
    (void)state;
    each_allocation_fails_once("open and draw", open_and_draw, 1);
}

int main(void) {
    const struct CMUnitTest tests[] = {cmocka_unit_test(opening_and_drawing)};
    return cmocka_run_group_tests(tests, write_model, remove_model);
}

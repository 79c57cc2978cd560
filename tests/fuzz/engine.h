/* engine.h - a small model, opened once, for targets whose readers ask one: the depth supernet in models/fashion. */
#ifndef TESTS_FUZZ_ENGINE_H
#define TESTS_FUZZ_ENGINE_H

#include "tests/fuzz/fuzz.h"
#include "variant.h"

static variant_engine *engine;

int LLVMFuzzerInitialize(int *count, char ***arguments) {
    (void)count, (void)arguments;
    variant_engine_options options;
    variant_error err = {0};
    variant_engine_options_init(&options);
    options.model = VARIANT_SOURCE_DIR "/models/fashion";
    options.threads = 1;
    FUZZ_OK(variant_engine_open(&engine, &options, &err));
    return 0;
}

#endif

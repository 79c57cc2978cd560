/* fixtures.h - what several tests need: synthetic models of the golden configurations, temporary
 * folders. */
#ifndef TESTS_FIXTURES_H
#define TESTS_FIXTURES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "engine/model.h"

#define GOLDEN VARIANT_TEST_DIR "/golden/"

#define assert_ok(call)                                                                            \
    do {                                                                                           \
        variant_error assert_err_ = {0};                                                           \
        variant_error *err = &assert_err_;                                                         \
        if ((call) != VARIANT_OK) fail_msg("%s: %s", #call, assert_err_.message);                  \
    } while (0)

/* The call fails with `code` and a one-line message that contains `words`. */
#define assert_fails(call, code, words)                                                            \
    do {                                                                                           \
        variant_error assert_err_ = {0};                                                           \
        variant_error *err = &assert_err_;                                                         \
        variant_status assert_got_ = (call);                                                       \
        if (assert_got_ != (code) || !strstr(assert_err_.message, (words)))                        \
            fail_msg("%s: status %s, message \"%s\"; expected %s with \"%s\"", #call,              \
                     variant_status_name(assert_got_), assert_err_.message,                        \
                     variant_status_name(code), (words));                                          \
        assert_null(strchr(assert_err_.message, '\n'));                                            \
    } while (0)

/* A new folder under /tmp, into `out` (64 chars). */
static inline void make_folder(char *out) {
    strcpy(out, "/tmp/variant-test-XXXXXX");
    assert_non_null(mkdtemp(out));
}

static inline void remove_folder(const char *path) {
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", path);
    assert_int_equal(system(command), 0);
}

/* The configurations of the golden vectors A and B. */
static inline vt_tokenizer_config tokenizer_config(char which) {
    if (which == 'A')
        return (vt_tokenizer_config){.channels = 3,
                                     .base_width = 32,
                                     .levels = 2,
                                     .mult = {1, 2},
                                     .blocks = 1,
                                     .codes = 64,
                                     .latent_dim = 8,
                                     .scales = 4,
                                     .sides = {1, 2, 3, 4}};
    return (vt_tokenizer_config){.channels = 3,
                                 .base_width = 32,
                                 .levels = 3,
                                 .mult = {1, 1, 2},
                                 .blocks = 2,
                                 .codes = 48,
                                 .latent_dim = 16,
                                 .scales = 3,
                                 .sides = {1, 2, 4}};
}

static inline vt_transformer_config transformer_config(char which) {
    if (which == 'A')
        return (vt_transformer_config){.depth = 6,
                                       .width = 128,
                                       .heads = 2,
                                       .hidden = 512,
                                       .codes = 64,
                                       .latent_dim = 8,
                                       .classes = 10,
                                       .l2_norm = true,
                                       .scales = 4,
                                       .sides = {1, 2, 3, 4}};
    return (vt_transformer_config){.depth = 5,
                                   .width = 64,
                                   .heads = 1,
                                   .hidden = 256,
                                   .codes = 48,
                                   .latent_dim = 16,
                                   .classes = 4,
                                   .shared_adaln = true,
                                   .scales = 3,
                                   .sides = {1, 2, 4}};
}

typedef struct synthetic {
    vt_kern *kern;
    vt_tokenizer *tokenizer;
    vt_transformer *transformer;
} synthetic;

static inline void synthetic_open(synthetic *out, char which) {
    char seed[2] = {which, '\0'};
    vt_tokenizer_config a = tokenizer_config(which);
    vt_transformer_config b = transformer_config(which);
    assert_ok(vt_kern_open(&out->kern, "cpu", 2, err));
    assert_ok(vt_tokenizer_open(&out->tokenizer, out->kern, &a, err));
    assert_ok(vt_transformer_open(&out->transformer, out->kern, &b, err));
    assert_ok(vt_params_synthesize(vt_tokenizer_params(out->tokenizer), seed, "vae", err));
    assert_ok(vt_params_synthesize(vt_transformer_params(out->transformer), seed, "var", err));
}

static inline void synthetic_close(synthetic *model) {
    vt_transformer_close(&model->transformer);
    vt_tokenizer_close(&model->tokenizer);
    vt_kern_close(&model->kern);
}

/* A file of the synthetic model `which` in `folder`, as a supernet where info is given; its path, into `path`. */
static inline void synthetic_file(char *path, size_t size, const char *folder, char which,
                                  const vt_supernet_info *supernet) {
    synthetic model;
    synthetic_open(&model, which);
    snprintf(path, size, "%s/%c%s.safetensors", folder, which, supernet ? "-net" : "");
    vt_model_save save = {
        .tokenizer = model.tokenizer, .transformer = model.transformer, .supernet = supernet};
    assert_ok(vt_model_write(path, &save, err));
    synthetic_close(&model);
}

#endif

/* parts.h - what the files of the self-test share: the file under test, the synthetic
 * model and the comparison. Nobody else includes it. */
#ifndef VT_SELFTEST_PARTS_H
#define VT_SELFTEST_PARTS_H

#include "selftest/golden_config.h"
#include "selftest/selftest.h"

#define VT_FORWARD_TOLERANCE 1e-5
#define VT_GRADIENT_TOLERANCE 1e-4
/* With packed weights: of every real result, of 8-bit pictures, and of the logits' margin (relative
 * to the spread of a token's logits) that rounding may turn over. */
#define VT_ROUNDED_TOLERANCE 2e-2    /* bf16 ... */
#define VT_COARSE_TOLERANCE 5e-2     /* ... and int8 */
#define VT_COARSEST_TOLERANCE 2.5e-1 /* ... and int4 */
#define VT_ROUNDED_LEVELS 8
#define VT_ROUNDED_MARGIN 0.1f
#define VT_COARSEST_MARGIN 0.5f
#define VT_TIE_MARGIN                                                                              \
    1e-3f /* best minus second logit below which another token is arithmetic, no fault */
#define VT_SELFTEST_BATCH 1024

struct vt_selftest {
    vt_selftest_options options;
    vt_kern *kern;
    vt_selftest_counts counts;
    vt_tensor_out *kept; /* name and data are owned */
    int kept_count, kept_capacity;
    /* the file under test */
    const vt_tensor_file *file;
    char prefix[512]; /* of its names in the dump */
    uint8_t *done;    /* (tensors) already compared */
    size_t
        arena_bytes; /* that its computation takes: the first time it runs, nothing is computed and this
                         * is found out (kern->dry; then nothing is compared) */
};

/* The synthetic model of the file under test, with an arena for all it computes. */
typedef struct vt_selftest_model {
    vt_golden_config config;
    vt_tokenizer *tokenizer;
    vt_transformer *transformer; /* NULL unless asked for */
    vt_arena arena;
    void *memory;
    size_t memory_bytes;
    int length; /* L */
} vt_selftest_model;

/* Are products rounded, so that every stage is fed with the reference's own results? */
static inline bool vt_selftest_is_rounded(const vt_selftest *test) {
    return test->options.weights != VT_NUMBER_F32 || test->options.kv != VT_NUMBER_F32;
}

variant_status vt_selftest_model_open(vt_selftest_model *out, vt_selftest *test, bool transformer,
                                      bool train, variant_error *err);
void vt_selftest_model_close(vt_selftest_model *model, vt_selftest *test);

const vt_tensor *vt_selftest_find(const vt_selftest *test, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* First dimension of a tensor of the file, 1..VT_SELFTEST_BATCH. */
variant_status vt_selftest_batch(const vt_selftest *test, const char *name, int *batch,
                                 variant_error *err);
/* The part before the first '/' of the i-th tensor's name when no earlier tensor has it and `kinds`
 * (a list that ends in NULL) holds a start of what follows; false: not a run of its own. */
bool vt_selftest_is_run(const vt_selftest *test, int index, const char *const *kinds, char *run,
                        size_t size);

/* Compares got (host memory, F32, F64, I32 or U8) with the file's tensor of that name; a name that
 * the file does not have passes silently. */
variant_status vt_selftest_check(vt_selftest *test, const vt_tensor_out *got, double tolerance,
                                 variant_error *err);
/* Tokens whose margin (elements of got) is below VT_TIE_MARGIN may differ (with packed weights: below
 * VT_ROUNDED_MARGIN, with int4 ones VT_COARSEST_MARGIN). margin NULL: none may. */
variant_status vt_selftest_check_tokens(vt_selftest *test, const vt_tensor_out *got,
                                        const float *margin, variant_error *err);
variant_status vt_selftest_check_scalar(vt_selftest *test, const char *name, double got,
                                        double tolerance, variant_error *err);

/* Pictures and latents: backend memory (B, side, side, channels) against (B, channels, side, side).
 */
typedef enum vt_selftest_map { VT_MAP_PLAIN, VT_MAP_CLAMP, VT_MAP_UNIT, VT_MAP_U8 } vt_selftest_map;
typedef struct vt_selftest_maps {
    const char *name;
    const float *buffer;
    int batch, side, channels;
    vt_selftest_map map; /* CLAMP: to [-1, 1]; UNIT: (CLAMP + 1) / 2; U8: UNIT * 255 rounded */
} vt_selftest_maps;
variant_status vt_selftest_check_maps(vt_selftest *test, const vt_selftest_maps *maps,
                                      variant_error *err);

/* Every tensor named prefix/NAME: the gradient (or value) of parameter NAME, whole or its L2 norm.
 */
typedef enum vt_selftest_quantity {
    VT_GRADIENTS,
    VT_GRADIENT_NORMS,
    VT_VALUE_NORMS
} vt_selftest_quantity;
variant_status vt_selftest_check_params(vt_selftest *test, const vt_params *params,
                                        const char *prefix, vt_selftest_quantity quantity,
                                        variant_error *err);

/* Kinds of files. */
variant_status vt_selftest_tokenizer(vt_selftest *test, variant_error *err);
variant_status vt_selftest_transformer(vt_selftest *test, variant_error *err);
variant_status vt_selftest_generate(vt_selftest *test,
                                    variant_error *err); /* with "encode/" tensors too */
variant_status vt_selftest_adamw(vt_selftest *test, variant_error *err);
variant_status vt_selftest_sampling(vt_selftest *test, variant_error *err);
variant_status vt_selftest_inception(vt_selftest *test, variant_error *err);

/* The tokenizer's inference on pictures (B, side, side, channels) in backend memory: latent,
 * tokens, f_hat/k, reconstruction, reconstruction_u8, var_input, each after `prefix`. */
variant_status vt_selftest_encode(vt_selftest *test, vt_selftest_model *model, const char *prefix,
                                  int batch, const float *pictures, variant_error *err);
/* (B, channels, side, side) of the host to (B, side, side, channels) of the backend, in the model's
 * arena. upload_maps: pictures. */
variant_status vt_selftest_upload(vt_selftest *test, vt_selftest_model *model, const float *maps,
                                  int batch, int side, int channels, float **out,
                                  variant_error *err);
variant_status vt_selftest_upload_maps(vt_selftest *test, vt_selftest_model *model,
                                       const float *maps, int batch, int side, float **out,
                                       variant_error *err);

#endif

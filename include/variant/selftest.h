/* variant/selftest.h - this build's results beside reference files, tensor by tensor: `variant selftest`. */
#ifndef VARIANT_SELFTEST_H
#define VARIANT_SELFTEST_H

#include <stdbool.h>
#include <stddef.h>

#include <variant/base.h>

VARIANT_BEGIN

typedef enum variant_verdict {
    VARIANT_VERDICT_PASS,
    VARIANT_VERDICT_FAIL,
    VARIANT_VERDICT_SKIP
} variant_verdict;

/* A tensor, or a whole file where tensor is "". The library's, for the length of the call. */
typedef struct variant_selftest_line {
    const char *file, *tensor;
    variant_verdict verdict;
    /* what error is: "error", relative in L2; "different", integers that are others; "largest_difference", of 8-bit pictures */
    const char *measure;
    double error, tolerance; /* NAN: not measured */
    const char *note;        /* why it failed or was skipped; may be "" */
} variant_selftest_line;

typedef struct variant_selftest_options {
    size_t size;         /* variant_selftest_options_init sets it */
    const char *backend; /* "cpu" (default) or "ref" */
    int threads;         /* as variant_engine_options has it */
    /* types of weights and of keys and values. Other than f32: forward results alone, each stage fed with the reference's own, within
     * 2e-2 (int8 5e-2, int4 2.5e-1). NULL: f32, and as the weights (int8 beside int4) */
    const char *weights, *kv;
    /* a file for what was computed, under the reference's names, behind the file's path where a folder is looked at
     * ("A/tokenizer/latent"); NULL */
    const char *dump;
    void (*line)(void *user, const variant_selftest_line *line); /* each, as it is known; NULL */
    /* once all files were looked at, before the dump is written; NULL */
    void (*counted)(void *user, int passed, int failed, int files, int skipped);
    void *user;
} variant_selftest_options;
/* The processor's backend, float32. */
VARIANT_SIZED(variant_selftest_options);

typedef struct variant_selftest_counts {
    size_t size;        /* variant_selftest_counts_init sets it */
    int passed, failed; /* tensors; a file that cannot be read or computed is one failure */
    int files, skipped; /* files checked; files of no known kind */
} variant_selftest_counts;
/* All 0. */
VARIANT_SIZED(variant_selftest_counts);

/* Checks a reference file, or every *.safetensors file of a folder and those below it in order of their names: its metadata "config"
 * describes a synthetic model (variant_synth_options.config), of which each tensor of the file is computed under the same name;
 * |got - want| <= tolerance |want| + 1e-6 in L2, tolerance 1e-5 for forward results and 1e-4 for gradients, norms and optimizer steps,
 * integers identical, 8-bit pictures within 1. counts may be NULL. E_MISMATCH: something differs, or nothing could be compared;
 * other errors: nothing could be looked at, or the dump not written. Threads: any. */
variant_status variant_selftest(const char *path, const variant_selftest_options *options,
                                variant_selftest_counts *counts, variant_error *error);

VARIANT_END

#endif

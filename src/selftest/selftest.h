/* selftest.h - compares this build's results with reference files, tensor by tensor.
 *
 * A reference file is a safetensors file whose metadata "config" describes a synthetic model
 * (golden_config.h). What it holds is told by its tensors: the tokenizer's results and
 * gradients, the transformer's under depth schedules, greedy generation, optimizer steps, the
 * sampling filters. The model is built by the formula, every tensor of the file is computed under
 * the same name and compared:
 *
 *     |got - want| <= tolerance |want| + 1e-6   in L2; integers identical; *_u8 within 1.
 *
 * Called by `variant selftest`; stands above train/ because it checks optimizer steps too. */
#ifndef VT_SELFTEST_H
#define VT_SELFTEST_H

#include "io/tensors.h"
#include "kern/kern.h"

typedef enum vt_selftest_verdict {
    VT_SELFTEST_PASS,
    VT_SELFTEST_FAIL,
    VT_SELFTEST_SKIP
} vt_selftest_verdict;

/* One tensor, or a whole file when tensor is "". */
typedef struct vt_selftest_line {
    const char *file, *tensor;
    vt_selftest_verdict verdict;
    vt_dtype type;
    double
        error; /* F32, F64: relative L2; integers: elements that differ; U8: largest difference */
    double tolerance;
    const char *note; /* why it failed or was skipped; may be "" */
} vt_selftest_line;

typedef struct vt_selftest_options {
    const char *backend;   /* as in vt_kern_open */
    int threads;           /* 0: one a processor */
    vt_number weights, kv; /* other than F32: forward results alone, within 2e-2 */
    bool keep;             /* hold what was computed for vt_selftest_dump */
    void (*line)(void *user, const vt_selftest_line *line); /* may be NULL */
    void *user;
} vt_selftest_options;

typedef struct vt_selftest_counts {
    int passed, failed; /* tensors; a file that cannot be read or computed is one failure */
    int files, skipped; /* files checked; files of no known kind */
} vt_selftest_counts;

typedef struct vt_selftest vt_selftest;

variant_status vt_selftest_open(vt_selftest **out, const vt_selftest_options *options,
                                variant_error *err);
void vt_selftest_close(vt_selftest **test);

/* Checks a file, or every *.safetensors file of a folder and its sub-folders in order of their
 * names. Fails only when nothing could be looked at; disagreement and broken files are lines and
 * counts. */
variant_status vt_selftest_run(vt_selftest *test, const char *path, variant_error *err);
vt_selftest_counts vt_selftest_result(const vt_selftest *test);

/* Writes what was computed under the reference's names: as they are after checking one file, else
 * with the file's path below the folder before them, less its extension ("A/tokenizer/latent"). */
variant_status vt_selftest_dump(const vt_selftest *test, const char *path, variant_error *err);

#endif
